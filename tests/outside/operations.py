"""Draws what adapters, agents, supervisors and administrators may do, over HTTP, one at a time."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from typing import Any

from loadtest.server import Server
from tests.outside.overseer import SECOND_US, Overseer, Settings

Json = dict[str, Any]
SKILLS = ("en", "de", "billing")
PARKING: Json = {"parks": True, "park_after": "1500ms", "close_after": "8s", "prefer_last": "1s"}
CHANNELS: dict[str, Json] = {
    "voice": {"cost": 100, "maximum": 1, "interrupts": ["email"], "media": False},
    "chat": {"cost": 33, "maximum": 3, "interrupts": [], **PARKING},
    "sms": {"cost": 20, "maximum": 5, "interrupts": [], **PARKING},
    "email": {"cost": 10, "maximum": 10, "interrupts": [], **PARKING},
    "fax": {"cost": 50, "maximum": 2, "interrupts": []},
}
WEIGHTS = {"submit": 14, "accept": 24, "complete": 6, "presence": 8, "reload": 3, "pass_time": 9}
"""How often, compared with everything else (2)."""


class Installation:
    """A configuration that is drawn, and drawn again."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.queues = [f"q{number}" for number in range(rng.randint(2, 4))]
        self.profiles = ["p0", "p1"]
        self.channels = list(CHANNELS)
        self.settings = Settings({}, {}, ())
        self.text = ""
        self.draw()

    def change(self) -> None:
        """Queues, a profile and a channel come and go."""
        rng = self.rng
        if len(self.queues) > 1 and rng.random() < 0.6:
            self.queues.remove(rng.choice(self.queues))
        self.queues = list(dict.fromkeys([*self.queues, f"q{rng.randint(0, 8)}"]))
        if len(self.profiles) > 1 and rng.random() < 0.4:
            self.profiles.remove(rng.choice(self.profiles))
        self.profiles = list(dict.fromkeys([*self.profiles, f"p{rng.randint(0, 3)}"]))
        if "fax" in self.channels and rng.random() < 0.5:
            self.channels.remove("fax")
        elif "fax" not in self.channels:
            self.channels.append("fax")
        self.draw()

    def draw(self) -> None:
        """The file's text, and what the overseer has to know of it. JSON is YAML."""
        rng = self.rng
        before = self.settings.channels
        channels = {name: CHANNELS[name] for name in self.channels}
        profiles = {
            name: {
                queue: {"rank": rng.randint(1, 2), "delay": rng.choice(("0", "0", "1500ms"))}
                for queue in rng.sample(self.queues, rng.randint(1, len(self.queues)))
            }
            for name in self.profiles
        }
        addresses = {
            f"in-{name}": {"channel": name, "address": name, "queue": rng.choice(self.queues)}
            for name in channels
        }
        file = {
            "server": {"port": "PORT", "durability": "process"},
            "channels": channels,
            "queues": {queue: self._queue(queue) for queue in self.queues},
            "profiles": profiles,
            "entry_points": addresses,
            "contacting": {"windows": {"ever": {"open": {"mon-sun": "00:00-24:00"}}}},
        }
        self.text = json.dumps(file).replace('"PORT"', "PORT")
        delays = {
            name: {
                queue: 1_500_000 if served["delay"] != "0" else 0
                for queue, served in queues.items()
            }
            for name, queues in profiles.items()
        }
        self.settings = Settings({**before, **channels}, delays, tuple(self.queues))

    def _queue(self, name: str) -> Json:
        rng = self.rng
        later = [queue for queue in self.queues if queue > name]
        drawn: Json = {
            "strategy": rng.choice(("longest_idle", "least_loaded", "best_fit", "ordered")),
            "offer": {
                "timeout": rng.choice(("900ms", "4s")),
                "parallel": rng.choice((1, 1, 2, 3)),
            },
            "decline": {
                "on_miss": rng.choice(("not_ready", "cool_down", "nothing")),
                "cool_down": rng.choice(("300ms", "2s")),
                "exclude_after": rng.choice((0, 0, 2)),
                "exhausted": self._limit(later),
            },
            "wrap_up": rng.choice(("300ms", "1500ms")),
            "prefer_last": rng.choice(("0", "1s")),
            "recheck": "500ms",
            "steps": self._steps(later),
        }
        if rng.random() < 0.3:
            drawn |= {"most_waiting": rng.choice((0, 2)), "on_full": self._limit(later)}
        if rng.random() < 0.4:
            drawn |= {"longest_wait": "2s", "on_late": self._limit(later)}
        if rng.random() < 0.2:
            drawn["require"] = {rng.choice(SKILLS): rng.randint(1, 5)}
        return drawn

    def _limit(self, later: list[str]) -> Json:
        if later and self.rng.random() < 0.5:
            return {"action": "overflow", "queue": self.rng.choice(later)}
        return {"action": self.rng.choice(("deflect", "callback"))}

    def _steps(self, later: list[str]) -> list[Json]:
        rng = self.rng
        steps: list[Json] = []
        for number in range(rng.choice((0, 1, 2))):
            step: Json = {"after": f"{600 + 900 * number}ms"}
            doing: list[Json] = [
                {"drop": [rng.choice(SKILLS)]},
                {"add": {rng.choice(SKILLS): 1}},
                {"head_start": "10s"},
                {"switch_channel": rng.choice(self.channels)},
            ]
            if later:
                doing += [{"add_queues": [rng.choice(later)]}, {"overflow": rng.choice(later)}]
            if rng.random() < 0.3:
                step["when"] = rng.choice(("queue.waiting > 1", "contact.channel != 'voice'"))
            steps.append(step | rng.choice(doing))
            if "overflow" in steps[-1] and "when" not in step:
                break  # nothing is reached after it
        return steps


class Operations:
    """Does one thing after the other; refusals are counted, faults are found."""

    def __init__(
        self, server: Server, overseer: Overseer, installation: Installation, rng: random.Random
    ) -> None:
        self.server = server
        self.overseer = overseer
        self.installation = installation
        self.rng = rng
        self.refused: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._names = [name.removeprefix("do_") for name in dir(self) if name.startswith("do_")]
        self._weights = [WEIGHTS.get(name, 2) for name in self._names]

    async def step(self) -> None:
        """One drawn operation."""
        (name,) = self.rng.choices(self._names, self._weights)
        await getattr(self, f"do_{name}")()

    async def ask(self, what: str, method: str, path: str, body: Json | None = None) -> Json:
        """Ask; everything but success and a refusal with a code is a fault."""
        status, answer = await self.server.ask(method, path, body)
        self.done[what] = self.done.get(what, 0) + 1
        if status >= 300:
            code = answer.get("code", "") if answer is not None else ""
            if status not in {204, 404, 409, 422} or (status != 204 and not code):
                self.overseer.wrong.append(f"{method} {path} {body}: {status} {answer}")
            self.refused[f"{what} {code}"] = self.refused.get(f"{what} {code}", 0) + 1
        return answer or {}

    # --- choosing -----------------------------------------------------------------------------

    def _contact(self, *states: str) -> str:
        found = [one.id for one in self.overseer.contacts.values() if one.state in states]
        return self.rng.choice(found) if found else ""

    def _agent(self) -> str:
        return self.rng.choice(list(self.overseer.agents))

    def _skills(self, share: float) -> Json:
        if self.rng.random() > share:
            return {}
        return {skill: self.rng.randint(1, 6) for skill in self.rng.sample(SKILLS, 1)}

    def _address(self, channel: str) -> str:
        number = self.rng.randint(0, 30)
        phones = channel in {"voice", "sms"}
        return f"+49155500{number:04}" if phones else f"u{number}@shop.example"

    async def _to_contact(self, verb: str, states: str, body: Json | None = None) -> Json:
        contact = self._contact(*states.split())
        if not contact:
            return {}
        return await self.ask(verb, "POST", f"/v1/contacts/{contact}:{verb}", body or {})

    async def _to_reservation(self, verb: str, states: str, body: Json | None = None) -> None:
        wanted = states.split()
        found = [hold.id for hold in self.overseer.holds.values() if hold.state in wanted]
        if found:
            path = f"/v1/reservations/{self.rng.choice(found)}:{verb}"
            await self.ask(verb, "POST", path, body or {})

    # --- what customers do --------------------------------------------------------------------

    async def do_submit(self) -> None:
        rng, now_us = self.rng, now()
        channel = rng.choice(self.installation.channels)
        body: Json = {"channel": channel, "peer": {"address": self._address(channel)}}
        body["queue"] = rng.choice(self.installation.queues)
        body["requirements"] = self._skills(0.4)
        if rng.random() < 0.15:
            body |= {"prefer_agent": self._agent(), "prefer_us": rng.choice((500_000, 2_000_000))}
        elif rng.random() < 0.1:
            body["target_agent"] = self._agent()
        if rng.random() < 0.1:
            body["not_before_us"] = now_us + SECOND_US
        elif rng.random() < 0.1:
            body["not_after_us"] = now_us + 3 * SECOND_US
        if rng.random() < 0.1:
            body["direction"] = rng.choice(("outbound", "callback"))
        elif rng.random() < 0.8:
            body["external_id"] = f"x{next(self._numbers)}"
        await self.ask("submit", "POST", "/v1/contacts", body)

    async def do_message(self) -> None:
        channel = self.rng.choice(("chat", "sms", "email"))
        message = {"id": f"m{next(self._numbers)}", "text": "And another thing"}
        body = {
            "channel": channel,
            "entry_point": f"in-{channel}",
            "peer": {"address": self._address(channel), "to": channel},
            "message": message,
        }
        await self.ask("message", "POST", "/v1/messages", body)

    async def do_abandon(self) -> None:
        await self._to_contact("abandon", "queued offered active parked")

    # --- what agents do -----------------------------------------------------------------------

    async def do_accept(self) -> None:
        for _ in range(2):
            await self._to_reservation("accept", "offered")

    async def do_reject(self) -> None:
        await self._to_reservation("reject", "offered")

    async def do_fail(self) -> None:
        body = {"reason": "gone", "busy": self.rng.random() < 0.5}
        await self._to_reservation("failed", "offered connected", body)

    async def do_hang_up(self) -> None:
        await self._to_reservation("hung-up", "connected")

    async def do_finish(self) -> None:
        await self._to_reservation("finish-wrap-up", "wrapping")

    async def do_complete(self) -> None:
        await self._to_contact("complete", "active parked")

    async def do_park(self) -> None:
        await self._to_contact("park", "active")

    async def do_requeue(self) -> None:
        await self._to_contact("requeue", "active")

    async def do_hold(self) -> None:
        await self._to_contact(self.rng.choice(("hold", "resume")), "active")

    async def do_send(self) -> None:
        if contact := self._contact("active"):
            path = f"/v1/contacts/{contact}/messages"
            await self.ask("send", "POST", path, {"text": "One moment"})

    async def do_transfer(self) -> None:
        body: Json = {"requirements": self._skills(1)}
        if self.rng.random() < 0.6:
            body["queue"] = self.rng.choice(self.installation.queues)
        if self.rng.random() < 0.4:
            body["target_agent"] = self._agent()
        await self._to_contact("transfer", "active", body)

    async def do_consult(self) -> None:
        body = {"queue": self.rng.choice(self.installation.queues)}
        if self.rng.random() < 0.5:
            body["target_agent"] = self._agent()
        await self._to_contact("consult", "active", body)

    async def do_end_consult(self) -> None:
        if self.overseer.asked:
            contact = self.rng.choice(list(self.overseer.asked))
            body = {"hand_over": self.rng.random() < 0.6}
            await self.ask("end-consult", "POST", f"/v1/contacts/{contact}:end-consult", body)

    async def do_switch(self) -> None:
        body = {"channel": self.rng.choice(self.installation.channels)}
        if self.rng.random() < 0.4:
            body["queue"] = self.rng.choice(self.installation.queues)
        await self._to_contact("switch-channel", "queued offered active parked", body)

    async def do_call_back(self) -> None:
        body = {"channel": "voice", "keep_place": self.rng.random() < 0.5}
        await self._to_contact("callback", "queued offered active parked", body)

    # --- what supervisors and administrators do -----------------------------------------------

    async def do_reschedule(self) -> None:
        body = {"not_before_us": now() + SECOND_US}
        await self._to_contact("reschedule", "scheduled queued offered parked", body)

    async def do_reprioritize(self) -> None:
        await self._to_contact("reprioritize", "queued offered", {"tier": self.rng.randint(0, 2)})

    async def do_move(self) -> None:
        body = {"queue": self.rng.choice(self.installation.queues)}
        await self._to_contact("move", "queued offered", body)

    async def do_require(self) -> None:
        await self._to_contact("require", "queued offered", {"requirements": self._skills(0.8)})

    async def do_pull(self) -> None:
        await self._to_contact("pull", "queued offered parked", {"agent": self._agent()})

    async def do_cancel(self) -> None:
        await self._to_contact("cancel", "queued offered scheduled parked")

    async def do_pause(self) -> None:
        channel = self.rng.choice(self.installation.channels)
        verb = self.rng.choice(("pause", "resume", "resume"))
        await self.ask(verb, "POST", f"/v1/channels/{channel}:{verb}", {})

    async def do_presence(self) -> None:
        presence = self.rng.choice(["ready"] * 8 + ["not_ready", "offline"])
        path = f"/v1/agents/{self._agent()}:presence"
        await self.ask("presence", "POST", path, {"presence": presence})

    async def do_agent(self) -> None:
        await self.put(self._agent())

    async def put(self, agent: str) -> None:
        """An agent is made, or becomes another."""
        rng = self.rng
        body: Json = {
            "profile": rng.choice(self.installation.profiles),
            "skills": {skill: rng.randint(1, 9) for skill in SKILLS if rng.random() < 0.6},
        }
        if rng.random() < 0.3:
            body["capacity"] = rng.choice((20, 60, 150))
        if rng.random() < 0.3:
            body["maximum"] = {rng.choice(self.installation.channels): rng.choice((0, 1, 2))}
        await self.ask("agent", "PUT", f"/v1/agents/{agent}", body)

    async def do_evaluate(self) -> None:
        """Who waits stands where a recount puts them, and nobody could take them."""
        contact = self._contact("queued")
        if not contact:
            return
        seq = self.overseer.seq
        found = await self.ask("evaluate", "POST", "/v1/rules:evaluate", {"contact": contact})
        position = found.get("place", {}).get("position")
        waits = found.get("outcome") == "queued"
        if waits and self.overseer.seq == seq and position != self.overseer.position(contact):
            self.overseer.wrong.append(f"{seq}: {contact} is told to stand at {position}")

    async def do_reload(self) -> None:
        self.installation.change()
        self.server.configure(self.installation.text)
        self.overseer.coming.append(self.installation.settings)
        answer = await self.ask("reload", "POST", "/v1/config:reload", {})
        if "changes" not in answer:
            self.overseer.wrong.append(f"reload: {answer}")

    async def do_pass_time(self) -> None:
        await asyncio.sleep(self.rng.choice((0.1, 0.7)))  # timers are part of the world


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000
