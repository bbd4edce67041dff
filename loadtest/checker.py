"""Judges a server from what it said on its sockets, and from nothing else.

Shares no code with the router. It is told what clients heard (answers, pushes, welcomes, effects)
and every event of the stream, and finds what cannot both be true.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

OVER = frozenset(
    {"OfferRejected", "OfferExpired", "OfferRescinded", "ReservationFailed", "ReservationEnded"}
)
STATE = {
    "OfferAccepted": "accepted",
    "ReservationConnecting": "connecting",
    "ReservationConnected": "connected",
    "ReservationResumed": "connected",
    "ReservationSuspended": "suspended",
    "WrapUpStarted": "wrapping",
}
SAME = ("type", "at_us", "contact", "reservation", "agent", "message", "queue", "outcome")
"""Fields in which two sights of one event must agree."""


class Hold:
    """An agent's capacity held for a contact."""

    __slots__ = ("agent", "channel", "contact", "state", "units")

    def __init__(self, agent: str, contact: str, channel: str, units: int) -> None:
        self.agent = agent
        self.contact = contact
        self.channel = channel
        self.units = units
        self.state = "offered"


class Checker:
    """What was heard, and what is wrong with it."""

    def __init__(self, capacity: int, maximum: dict[str, int], *, keep_events: bool = True) -> None:
        """`keep_events` False: for long streams, read once; nothing can be compared with them."""
        self.wrong: list[str] = []
        self.seq = 0
        """Of the last event that was looked at."""
        self.events: dict[int, Json] = {}
        self.live: dict[str, None] = {}
        self.closed: dict[str, str] = {}
        """Contact -> outcome."""
        self.holds: dict[str, Hold] = {}
        self._capacity = capacity
        self._maximum = maximum
        self._keep_events = keep_events
        self._held_by: dict[str, dict[str, Hold]] = {}
        self._held_of: dict[str, dict[str, Hold]] = {}
        self._by_mark: dict[str, str] = {}
        self._by_external: dict[tuple[str, str], str] = {}
        self._offered: dict[str, None] = {}
        self._accepted: dict[str, int] = {}
        self._messages: dict[str, int] = {}
        self._acked: dict[str, str] = {}
        self._heard_accepts: dict[str, None] = {}
        self._seen: list[tuple[int, Json, str]] = []
        self.welcomes: dict[int, list[tuple[str, Json]]] = {}
        """Sequence number -> what desks were told they hold as of it."""
        self._performed: dict[str, int] = {}
        self.said: dict[str, dict[str, None]] = {}
        """Contact -> texts that were acknowledged as part of it."""

    def find(self, text: str) -> None:
        """Something is wrong."""
        if len(self.wrong) < 200:
            self.wrong.append(text)

    # --- what clients heard -------------------------------------------------------------------

    def acknowledged(self, mark: str, contact: str) -> None:
        """The server said that this submitted matter is this contact."""
        known = self._acked.setdefault(mark, contact)
        if known != contact:
            self.find(f"{mark}: acknowledged as {known}, later as {contact}")

    def message_acknowledged(self, contact: str, text: str) -> None:
        """The server said that this text is a message of this contact."""
        self.said.setdefault(contact, {})[text] = None

    def accept_acknowledged(self, reservation: str) -> None:
        """An agent was told that the contact is theirs."""
        self._heard_accepts[reservation] = None

    def pushed(self, seq: int, event: Json, where: str) -> None:
        """An event shown on a screen."""
        self._seen.append((seq, event, where))

    def welcomed(self, seq: int, agent: str, reservations: list[Json]) -> None:
        """What a desk was told it holds as of `seq`; see `compare_welcomes`."""
        held = {r["id"]: (r["contact"], r["state"]) for r in reservations}
        self.welcomes.setdefault(seq, []).append((agent, held))

    def performed(self, message: str) -> None:
        """An adapter was told to deliver this message: never twice."""
        self._performed[message] = self._performed.get(message, 0) + 1
        if self._performed[message] > 1:
            self.find(f"message {message} was to be delivered {self._performed[message]} times")

    # --- the stream ---------------------------------------------------------------------------

    def event(self, seq: int, event: Json) -> None:
        """The next event of the stream, or one seen before."""
        known = self.events.get(seq)
        if known is not None:
            if known != event:
                self.find(f"sequence number {seq} has two meanings: {known} and {event}")
            return
        if seq != self.seq + 1:
            self.find(f"the stream jumps from {self.seq} to {seq}")
        self.seq = seq
        if self._keep_events:
            self.events[seq] = event
        self._fold(seq, event)

    def _fold(self, seq: int, event: Json) -> None:
        kind = event["type"]
        if kind == "ContactReceived":
            self._received(seq, event)
        elif kind == "ContactClosed":
            contact = event["contact"]
            if contact in self.closed:
                self.find(f"{seq}: {contact} is closed twice")
            if contact not in self.live:
                self.find(f"{seq}: {contact} is closed and was not live")
            self.live.pop(contact, None)
            self.closed[contact] = event["outcome"]
        elif kind == "ContactOffered":
            self._offer(seq, event)
        elif kind in {"MessageReceived", "MessageSent"}:
            message = event["message"]
            self._messages[message] = self._messages.get(message, 0) + 1
            if self._messages[message] > 1:
                self.find(f"{seq}: message {message} is there {self._messages[message]} times")
        elif "reservation" in event:
            self._reservation(seq, kind, event)

    def _received(self, seq: int, event: Json) -> None:
        contact = event["contact"]
        if contact in self.live or contact in self.closed:
            self.find(f"{seq}: {contact} is received twice")
        self.live[contact] = None
        mark = event.get("attributes", {}).get("mark", "")
        if mark:
            if mark in self._by_mark:
                self.find(f"{seq}: {mark} became {self._by_mark[mark]} and again {contact}")
            self._by_mark[mark] = contact
        if external := event.get("external_id", ""):
            place = (event["channel"], external)
            if place in self._by_external:
                self.find(f"{seq}: {place} became {self._by_external[place]} and again {contact}")
            self._by_external[place] = contact

    def _offer(self, seq: int, event: Json) -> None:
        reservation, agent, contact = event["reservation"], event["agent"], event["contact"]
        if reservation in self._offered:
            self.find(f"{seq}: reservation {reservation} is made twice")
        if contact not in self.live:
            self.find(f"{seq}: {contact} is offered and not live")
        self._offered[reservation] = None
        made = Hold(agent, contact, event["channel"], event["units"])
        self.holds[reservation] = made
        self._held_by.setdefault(agent, {})[reservation] = made
        self._held_of.setdefault(contact, {})[reservation] = made
        mine = self._held_by[agent].values()
        load = sum(hold.units for hold in mine if hold.state != "suspended")
        if load > self._capacity:
            self.find(f"{seq}: {agent} holds {load} of {self._capacity} units")
        same = sum(hold.channel == event["channel"] for hold in mine)
        if same > self._maximum[event["channel"]]:
            self.find(f"{seq}: {agent} holds {same} of channel {event['channel']}")

    def _reservation(self, seq: int, kind: str, event: Json) -> None:
        reservation = event["reservation"]
        hold = self.holds.get(reservation)
        if hold is None:
            self.find(f"{seq}: {kind} of {reservation}, which is not open")
            return
        if kind == "OfferAccepted":
            self._accepted[reservation] = seq
            others = [
                id_
                for id_, other in self._held_of[hold.contact].items()
                if id_ != reservation and other.state not in {"offered", "wrapping"}
            ]
            if others or hold.state != "offered":
                self.find(
                    f"{seq}: {hold.contact} accepted by {reservation} ({hold.state}), {others}"
                )
        if kind in OVER:
            del self.holds[reservation]
            del self._held_by[hold.agent][reservation]
            del self._held_of[hold.contact][reservation]
            if not self._held_of[hold.contact]:
                del self._held_of[hold.contact]
        elif kind in STATE:
            hold.state = STATE[kind]

    def _compare(self, seq: int, agent: str, told: Json) -> None:
        open_ = {
            id_: (hold.contact, hold.state)
            for id_, hold in self.holds.items()
            if hold.agent == agent
        }
        if told != open_:
            self.find(f"{seq}: the desk of {agent} was told {told}, the stream says {open_}")

    def compare_welcomes(self) -> int:
        """Fold the stream once more and compare what each desk was told; how many with offers.

        After a restart this shows that open offers are restated, under the ids they had.
        """
        again = Checker(self._capacity, self._maximum)
        offers = 0
        for seq, event in self.events.items():
            again.event(seq, event)
            for agent, told in self.welcomes.get(seq, ()):
                again._compare(seq, agent, told)
                offers += any(state == "offered" for _, state in told.values())
        self.wrong += [text for text in again.wrong if text not in self.wrong]
        return offers

    # --- the end ------------------------------------------------------------------------------

    def messages(self, contact: str, texts: list[str]) -> None:
        """The texts that the server has of a contact."""
        for text in self.said.get(contact, ()):
            if texts.count(text) != 1:
                self.find(f"{contact}: acknowledged {text!r} is there {texts.count(text)} times")
        for text in dict.fromkeys(texts):
            if texts.count(text) > 1:
                self.find(f"{contact}: {text!r} is there {texts.count(text)} times")

    def finish_stream(
        self, acknowledged: Iterable[tuple[str, str]], accepted: Iterable[str]
    ) -> None:
        """The end, by the stream alone: external ids with their contacts, and reservations.

        For runs too long to list: what was acknowledged is there, once, and is what was said.
        """
        by_external = {external: contact for (_, external), contact in self._by_external.items()}
        for external, contact in acknowledged:
            found = by_external.get(external)
            if found is None:
                self.find(f"{external}: acknowledged as {contact}, which is not there")
            elif found != contact:
                self.find(f"{external}: acknowledged as {contact}, the stream says {found}")
        for reservation in accepted:
            if reservation not in self._accepted:
                self.find(f"{reservation}: an agent was told it is theirs, the stream says nothing")

    def finish(self, contacts: Iterable[Json]) -> None:
        """Everything the server lists at the end."""
        listed: dict[str, Json] = {}
        for contact in contacts:
            if contact["id"] in listed:
                self.find(f"{contact['id']} is listed twice")
            listed[contact["id"]] = contact
        for mark, id_ in self._acked.items():
            if id_ not in listed:
                self.find(f"{mark}: acknowledged as {id_}, which is not there")
            if self._by_mark.get(mark, id_) != id_:
                self.find(f"{mark}: acknowledged as {id_}, the stream says {self._by_mark[mark]}")
            if id_ not in self.live and id_ not in self.closed:
                self.find(f"{mark}: {id_} never was on the stream")
        for id_, contact in listed.items():
            state = "live" if id_ in self.live else self.closed.get(id_, "unknown")
            told = contact.get("outcome", "live") if contact["state"] == "closed" else "live"
            if state != told:
                self.find(f"{id_}: listed as {told}, the stream says {state}")
        for id_ in (*self.live, *self.closed):
            if id_ not in listed:
                self.find(f"{id_}: on the stream, not listed")
        for reservation in self._heard_accepts:
            if reservation not in self._accepted:
                self.find(f"{reservation}: an agent was told it is theirs, the stream says nothing")
        for seq, event, where in self._seen:
            self._same(seq, event, where)

    def _same(self, seq: int, event: Json, where: str) -> None:
        truth = self.events.get(seq)
        if truth is None:
            self.find(f"{where} was shown {seq} {event['type']}, which is not on the stream")
        elif any(truth.get(name) != event.get(name) for name in SAME):
            self.find(f"{where} was shown {seq} as {event}, the stream says {truth}")
