"""What the fake server knows: a desk and a board, moved by scripted commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SECOND = 1_000_000
MINUTE = 60 * SECOND
ENDINGS = ["solved", "callback_promised", "wrong_number", "complaint"]
TARGETS = {
    "voice": 20 * SECOND,
    "chat": 60 * SECOND,
    "sms": 300 * SECOND,
    "email": 4 * 3600 * SECOND,
}
COSTS = {"voice": 100, "chat": 33, "sms": 20, "email": 10}
OVER = {"done", "rejected", "expired", "rescinded", "failed"}


def now_us() -> int:
    """The fake's clock."""
    return time.time_ns() // 1000


class World:
    """The objects of the protocol. Every change is told as the real server tells it."""

    def __init__(self) -> None:
        self.seq = 100
        self.tell: Callable[[str, dict[str, Any]], None] = lambda mode, frame: None
        self.agent: dict[str, Any] = {
            "id": "ana",
            "name": "Ana Lindqvist",
            "presence": "ready",
            "presence_at_us": now_us() - 14 * MINUTE,
            "profile": "care",
            "skills": {"en": 8, "billing": 6},
            "capacity": 100,
        }
        self.shift: dict[str, Any] = {
            "started_at_us": now_us() - 3 * 3600 * 1_000_000,
            "handled": 12,
            "missed": 1,
            "aht_us": 184_000_000,
            "occupancy": 0.716,
        }
        self.reservations: dict[str, dict[str, Any]] = {}
        self.contacts: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self.decisions: dict[str, list[dict[str, Any]]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.board: dict[str, Any] = {
            "queues": [],
            "agents": [],
            "contacts": [],
            "channels": [],
            "totals": {},
        }
        self.customers: dict[str, dict[str, Any]] = {}
        """By customer: ``profile``, ``preference``, ``contacts``, as far as there are any."""
        self.paused: list[dict[str, Any]] = []
        self.number = 0
        self.directory = {
            "queues": [
                {"id": "care", "channels": TARGETS, "open": True, "dispositions": ENDINGS},
                {
                    "id": "billing",
                    "channels": TARGETS,
                    "open": True,
                    "dispositions": ["credit_note", "complaint"],
                    "require_disposition": True,
                },
                {"id": "technical", "channels": TARGETS},
            ],
            "agents": [
                {"id": "ana", "name": "Ana Lindqvist", "presence": "ready"},
                {"id": "ben", "name": "Ben Okafor", "presence": "ready"},
                {
                    "id": "cleo",
                    "name": "Cleo Marchetti",
                    "presence": "not_ready",
                    "reason": "lunch",
                },
            ],
            "channels": [
                {"name": "voice", "media": True, "cost": 100, "maximum": 1},
                {"name": "chat", "parks": True, "cost": 33, "maximum": 3},
                {"name": "sms", "parks": True, "cost": 20, "maximum": 5},
                {"name": "email", "parks": True, "cost": 10, "maximum": 10},
            ],
        }

    def whole(self, mode: str) -> dict[str, Any]:
        """What a welcome carries besides the connection's own fields."""
        if mode == "supervisor":
            formulas = {
                "service_level": "answered within T / (answered + abandoned - short abandons)"
            }
            return {"board": self.board, "formulas": formulas, "directory": self.directory}
        contacts = [
            {**c, "messages": self.messages.get(c["id"], [])[-50:]} for c in self.contacts.values()
        ]
        return {
            "agent": self.agent,
            "shift": self.shift,
            "reservations": list(self.reservations.values()),
            "contacts": contacts,
            "directory": self.directory,
        }

    def read(self, kind: str, id_: str, what: str) -> dict[str, Any] | None:
        """Answers to GET."""
        match kind, what:
            case "contacts", "":
                return self.contacts.get(id_) or next(
                    (c for c in self.board["contacts"] if c["id"] == id_), None
                )
            case "contacts", "decisions":
                return {"decisions": self.decisions.get(id_, [])}
            case "contacts", "events":
                return {
                    "events": [
                        {"seq": n, "event": each} for n, each in enumerate(self.events.get(id_, []))
                    ]
                }
            case "contacts", "messages":
                return {"messages": self.messages.get(id_, [])}
            case "customers", what:
                found: dict[str, Any] | None = self.customers.get(id_, {}).get(what or "profile")
                return found
            case _:
                return None

    # -- what happens at a desk ------------------------------------------------------------------

    def event(self, type_: str, *, message: dict[str, Any] | None = None, **fields: Any) -> None:
        """Tell an event with the objects beside it, as they are now."""
        self.seq += 1
        event = {"type": type_, "at_us": now_us(), **fields}
        frame: dict[str, Any] = {"type": "event", "epoch": 1, "seq": self.seq, "now_us": now_us()}
        frame |= {"event": event, "agent": self.agent}
        reservation = self.reservations.get(fields.get("reservation", ""))
        contact = self.contacts.get(
            fields.get("contact", reservation["contact"] if reservation else "")
        )
        if reservation:
            frame["reservation"] = dict(reservation)
            if reservation["state"] in OVER:
                del self.reservations[reservation["id"]]
        if contact:
            frame["contact"] = dict(contact)
            if type_ == "ContactOffered":
                frame["contact"]["messages"] = list(self.messages.get(contact["id"], []))
        if message:
            frame["message"] = message
        self.agent["load"] = sum(r.get("units", 0) for r in self.reservations.values())
        self.tell("agent", frame)

    def offer(
        self, channel: str, name: str, *, text: str = "", timeout_s: int = 20, **more: Any
    ) -> str:
        """A contact arrives and is offered to the agent. Gives the reservation's id."""
        self.number += 1
        reservation, contact = f"r{self.number}", f"c{self.number:04}"
        queue = more.pop("queue", "care")
        self.contacts[contact] = {
            "id": contact,
            "channel": channel,
            "direction": "inbound",
            "state": "offered",
            "queue": queue,
            "entry_point": f"{channel}-main",
            "peer": {
                "address": more.pop("address", "+49 30 5550" + str(self.number)),
                "name": name,
                "to": "+49 30 555000",
            },
            "customer": more.pop("customer", f"cu{self.number}"),
            "segment": more.pop("segment", "loyal"),
            "attributes": more.pop("attributes", {"topic": "invoice", "plan": "family"}),
            "requirements": {"en": 5},
            "created_at_us": now_us() - 42 * SECOND,
            "visit_at_us": now_us() - 42 * SECOND,
        } | more
        units = COSTS[channel]
        self.reservations[reservation] = {
            "id": reservation,
            "contact": contact,
            "agent": "ana",
            "queue": queue,
            "channel": channel,
            "state": "offered",
            "units": units,
            "offered_at_us": now_us(),
            "deadline_at_us": now_us() + timeout_s * SECOND,
        }
        if text:
            self._message(contact, "customer", text)
        decision = _decision()
        self.decisions[contact] = [
            {"at_us": now_us(), "reservation": reservation, "agent": "ana", "decision": decision}
        ]
        self.event(
            "ContactOffered",
            reservation=reservation,
            contact=contact,
            agent="ana",
            queue=queue,
            channel=channel,
            decision=decision,
        )
        return reservation

    def offer_again(self, contact: str, text: str) -> None:
        """The customer of a parked contact writes; the last agent is asked first."""
        self.number += 1
        id_, row = f"r{self.number}", self.contacts[contact]
        row |= {"state": "offered", "visit_at_us": now_us()}
        self._message(contact, "customer", text)
        self.reservations[id_] = {
            "id": id_,
            "contact": contact,
            "agent": "ana",
            "queue": row["queue"],
            "channel": row["channel"],
            "state": "offered",
            "units": COSTS[row["channel"]],
            "offered_at_us": now_us(),
            "deadline_at_us": now_us() + 20 * SECOND,
        }
        self.event("ContactOffered", reservation=id_, contact=contact, agent="ana")

    def consult_state(self, contact: str, state: str) -> None:
        """How far the consult about a contact is, as the desk of the asking agent is told."""
        id_ = self.contacts[contact]["consult"]
        self.contacts[id_] = {"id": id_, "channel": "chat", "state": state, "consult_of": contact}
        self.event("OfferAccepted", contact=id_, agent="ben")

    def customer_writes(self, contact: str, text: str, **more: Any) -> None:
        """A message comes in."""
        message = self._message(contact, "customer", text, **more)
        self.event("MessageReceived", contact=contact, message_id=message["id"], message=message)

    def end_offer(self, reservation: str, state: str, type_: str, reason: str = "") -> None:
        """An offer ends without the agent's doing."""
        self.reservations[reservation]["state"] = state
        contact = self.reservations[reservation]["contact"]
        self.contacts[contact]["mine"] = False
        self.event(type_, reservation=reservation, contact=contact, agent="ana", reason=reason)
        del self.contacts[contact]

    def _message(self, contact: str, from_: str, text: str, **more: Any) -> dict[str, Any]:
        self.number += 1
        message = {
            "id": f"m{self.number:08}",
            "contact": contact,
            "from": from_,
            "at_us": now_us(),
            "text": text,
        } | more
        self.messages.setdefault(contact, []).append(message)
        self.contacts[contact]["last_message_at_us"] = message["at_us"]
        return message

    def carry_out(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        """A page's command, as scripted."""
        act = getattr(self, f"_do_{frame['type']}", None)
        return act(frame) if act else None

    def _mine(self, frame: dict[str, Any]) -> dict[str, Any]:
        return next(r for r in self.reservations.values() if r["contact"] == frame["contact"])

    def _do_presence(self, frame: dict[str, Any]) -> None:
        who = frame.get("agent")
        if who:
            self._board_agent(who, frame)
            return
        self.agent |= {
            "presence": frame["presence"],
            "reason": frame.get("reason", ""),
            "presence_at_us": now_us(),
        }
        self.event(
            "PresenceChanged",
            agent_id="ana",
            presence=frame["presence"],
            reason=frame.get("reason", ""),
        )

    def _do_accept(self, frame: dict[str, Any]) -> None:
        reservation = self.reservations[frame["reservation"]]
        self.contacts[reservation["contact"]]["state"] = "active"
        reservation |= {"state": "accepted", "accepted_at_us": now_us(), "deadline_at_us": 0}
        self.event(
            "OfferAccepted",
            reservation=reservation["id"],
            contact=reservation["contact"],
            agent="ana",
        )
        reservation |= {"state": "connected", "connected_at_us": now_us()}
        self.event("ReservationConnected", reservation=reservation["id"])

    def _do_reject(self, frame: dict[str, Any]) -> None:
        self.end_offer(frame["reservation"], "rejected", "OfferRejected")

    def _do_send(self, frame: dict[str, Any]) -> dict[str, Any]:
        contact, ref = frame["contact"], frame["message"]
        known = [each for each in self.messages.get(contact, []) if each.get("ref") == ref]
        if known:
            return {"message": known[0]["id"]}
        message = self._message(contact, "agent", frame["text"], agent="ana", ref=ref)
        self.event("MessageSent", contact=contact, message=message)
        return {"message": message["id"]}

    def _do_hold(self, frame: dict[str, Any]) -> None:
        mine = self._mine(frame)
        mine["hold_at_us"] = now_us()
        self.event("CustomerHeld", reservation=mine["id"])

    def _do_resume(self, frame: dict[str, Any]) -> None:
        mine = self._mine(frame)
        mine["hold_at_us"] = 0
        self.event("CustomerResumed", reservation=mine["id"])

    def _do_park(self, frame: dict[str, Any]) -> None:
        mine = self._mine(frame)
        mine["state"] = "done"
        self.contacts[frame["contact"]] |= {
            "state": "parked",
            "parked_at_us": now_us(),
            "last_agent": "ana",
        }
        self.event("ContactParked", contact=frame["contact"], reservation=mine["id"])

    def customer_ends(self, reservation: str) -> None:
        """The customer hangs up: nobody has said yet how it ended."""
        mine = self.reservations[reservation]
        self._do_complete({"contact": mine["contact"]})
        mine["asks_disposition"] = True
        self.event("WrapUpExtended", reservation=reservation)

    def _do_complete(self, frame: dict[str, Any]) -> None:
        mine = self._mine(frame)
        self.contacts[frame["contact"]] |= {
            "state": "closed",
            "outcome": "completed",
            "closed_at_us": now_us(),
        }
        self.event("ContactClosed", contact=frame["contact"], outcome="completed")
        mine |= {
            "state": "wrapping",
            "wrap_at_us": now_us(),
            "deadline_at_us": now_us() + 30 * SECOND,
        }
        mine["disposition"] = frame.get("disposition", "")
        self.event("WrapUpStarted", reservation=mine["id"])

    def _do_finish_wrap_up(self, frame: dict[str, Any]) -> None:
        reservation = self.reservations[frame["reservation"]]
        reservation["state"] = "done"
        contact = reservation["contact"]
        self.event("ReservationEnded", reservation=reservation["id"])
        self.contacts.pop(contact, None)

    def _do_extend_wrap_up(self, frame: dict[str, Any]) -> None:
        reservation = self.reservations[frame["reservation"]]
        reservation["deadline_at_us"] += frame["by_us"]
        self.event("WrapUpExtended", reservation=reservation["id"])

    def _give_away(self, frame: dict[str, Any], reason: str) -> None:
        mine = self._mine(frame)
        mine["state"] = "done"
        self.contacts[frame["contact"]] |= {"state": "queued", "mine": False}
        self.event(
            "ReservationEnded", reservation=mine["id"], contact=frame["contact"], reason=reason
        )
        del self.contacts[frame["contact"]]

    def _do_transfer(self, frame: dict[str, Any]) -> None:
        self._give_away(frame, "transferred")

    def _do_requeue(self, frame: dict[str, Any]) -> None:
        self._give_away(frame, "requeued")

    def _do_consult(self, frame: dict[str, Any]) -> dict[str, Any]:
        self.contacts[frame["contact"]]["consult"] = "c9000"
        self.event("ConsultStarted", contact=frame["contact"], consult="c9000")
        return {"consult": "c9000"}

    def _do_end_consult(self, frame: dict[str, Any]) -> None:
        self.contacts[frame["contact"]]["consult"] = ""
        if frame.get("hand_over"):
            self._give_away(frame, "handed over")
        else:
            self.event("ConsultEnded", contact=frame["contact"], consult="c9000")

    # -- what a supervisor does ------------------------------------------------------------------

    def delta(self, **lists: Any) -> None:
        """Objects of the board that changed; `gone` drops."""
        self.seq += 1
        self.tell(
            "supervisor",
            {"type": "delta", "epoch": 1, "seq": self.seq, "now_us": now_us(), **lists},
        )

    def _change(self, kind: str, id_: str, **fields: Any) -> None:
        for each in self.board[kind]:
            if each["id"] == id_:
                each |= fields
                self.delta(**{kind: [each]})

    def _board_agent(self, who: str, frame: dict[str, Any]) -> None:
        self._change(
            "agents",
            who,
            presence=frame["presence"],
            reason=frame.get("reason", ""),
            presence_at_us=now_us(),
        )

    def _do_move(self, frame: dict[str, Any]) -> None:
        self._change("contacts", frame["contact"], queue=frame["queue"])

    def _do_reprioritize(self, frame: dict[str, Any]) -> None:
        self._change(
            "contacts",
            frame["contact"],
            tier=frame.get("tier", 0),
            head_start_us=frame.get("head_start_us", 0),
        )

    def _do_watch(self, frame: dict[str, Any]) -> None:
        self._change("contacts", frame["contact"], watched=frame["watched"])

    def _do_pull(self, frame: dict[str, Any]) -> None:
        self._change("contacts", frame["contact"], state="offered", agent=frame["agent"])


def _decision() -> dict[str, Any]:
    idle = now_us()
    return {
        "edge": "contact",
        "strategy": "longest_idle",
        "requirements": [["en", 5]],
        "eligible": 3,
        "winner": {
            "id": "ana",
            "terms": [
                {"name": "rank", "value": 1},
                {"name": "idle_since_us", "value": idle - 252 * SECOND},
            ],
        },
        "runners_up": [
            {
                "id": "ben",
                "terms": [
                    {"name": "rank", "value": 1},
                    {"name": "idle_since_us", "value": idle - 61 * SECOND},
                ],
            },
            {
                "id": "cleo",
                "terms": [
                    {"name": "rank", "value": 2},
                    {"name": "idle_since_us", "value": idle - 400 * SECOND},
                ],
            },
        ],
    }
