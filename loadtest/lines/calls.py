"""Customers who call, and the agents' phones: SIP to a real Asterisk, and sound both ways.

Callers dial, wait with music, hang up when their patience is over. Phones ring; agents pick up,
refuse or let them ring, and either side hangs up after the talk. Who hears whom is found out at the
ear: each party speaks in one tone (`loadtest.pbx_tone`).
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from loadtest import pbx_server
from loadtest import pbx_sip as sip
from loadtest.lines.book import Call
from loadtest.lines.line import Line, Plan
from loadtest.pbx_exchange import Exchange
from loadtest.pbx_phone import Leg
from loadtest.pbx_server import Asterisk
from loadtest.runs.measures import AHEAD_S
from loadtest.runs.profile import Agents, Customers

END_S = 15.0
SILENT_S = 60.0
"""A call in which not both hear each other after so long is broken."""
NOBODY = "anonymous"
"""Asterisk's caller number for a leg made for a channel that has just gone."""
DECLINE, BUSY = 603, 486


class Caller:
    """One customer: what they saw, their leg, and the phone of the agent who has them."""

    __slots__ = ("call", "giving_up", "leg", "phone")

    def __init__(self, call: Call, leg: Leg) -> None:
        self.call = call
        self.leg = leg
        self.phone: Leg | None = None
        self.giving_up: asyncio.TimerHandle | None = None

    @property
    def talks(self) -> bool:
        """An agent and they hear each other: whoever picked up too late does not count."""
        return bool(self.call.heard_s) and self.phone is not None and self.phone.state == "up"


class Calls(Line):
    """The voice line."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.exchange = Exchange(sound=True)
        # Short: the path of Asterisk's control socket has at most 107 bytes.
        self._directory = Path(tempfile.mkdtemp(prefix="pbx-"))
        self._asterisk: Asterisk | None = None
        self._callers: dict[str, Caller] = {}
        """By number."""
        self._legs: dict[str, Caller] = {}
        """By Call-ID of a leg: the caller's own, or an agent's who has them."""
        self._is_open = False

    async def open(self) -> dict[str, Any]:
        """Start the PBX. Raises RuntimeError and TimeoutError."""
        exchange, phones = self.exchange, self.plan.phones
        exchange.open()
        self._is_open = True
        exchange.on_ring, exchange.on_end = self._on_ring, self._on_end
        exchange.on_answer, exchange.on_heard = self._on_answer, self._on_heard
        for name in phones:
            exchange.phone(name)
            exchange.tones.of(name)
        asterisk = Asterisk(self._directory, phone_port=exchange.port, phones=list(phones))
        self._asterisk = asterisk
        exchange.pbx_port = asterisk.sip_port
        await asterisk.start()
        secret = Path(self.plan.place) / "ari.secret"
        secret.write_text(pbx_server.PASSWORD + "\n")
        secret.chmod(0o600)
        return {"type": "asterisk", "channel": "voice", "url": asterisk.url.rstrip("/"),
                "user": pbx_server.USER, "password_file": str(secret)}  # fmt: skip

    @property
    def got(self) -> int:
        """Agents answer calls, and no texts."""
        return 0

    # --- customers ----------------------------------------------------------------------------

    def come(self, due_s: float, kind: Customers) -> None:
        """They dial."""
        number = f"+49160{self.number:08d}"
        leg = self.exchange.dial(number, self.address)
        caller = Caller(Call(due_s), leg)
        self._callers[number] = self._legs[leg.call_id] = caller
        self.book.due[number] = due_s
        self.book.calls[number] = caller.call
        if kind.patience is not None:
            caller.giving_up = self.later(kind.patience, self._give_up, caller)

    def _give_up(self, due_s: float, caller: Caller) -> None:
        if caller.phone is None and caller.leg.state != "ended":
            caller.call.gave_up = True
            self.count("gave_up", due_s)
            caller.leg.hang_up()

    def _on_answer(self, leg: Leg) -> None:
        """The PBX answered a caller: they wait, and the router has them durably."""
        caller = self._legs.get(leg.call_id)
        if caller is not None and not leg.incoming:
            caller.call.taken_s = shared_s(leg.answered_at)
            self.record("taken", caller.call.due_s, caller.call.taken_s)
            self.count("taken", caller.call.due_s)

    # --- agents' phones -----------------------------------------------------------------------

    def _on_ring(self, leg: Leg) -> None:
        number = sip.user_of(leg.remote)
        caller = self._callers.get(number)
        if leg.state == "ended":  # it has a call: the PBX took it for free, and it was not
            self.count("rung_engaged", shared_s(leg.began))
            return
        if caller is None:
            if number != NOBODY:
                self.book.faults.append("voice: a phone rings for nobody who called")
            return
        if caller.talks:
            self.book.faults.append(f"voice: {leg.party} is rung for {number}, who has an agent")
        if not caller.call.rung_s:
            caller.call.rung_s = shared_s(leg.began)
        kind = self._agents(leg.party)
        choice = self.rng.random()
        if choice < kind.ignore:
            self.count("ignored")
        elif choice < kind.ignore + kind.reject:
            self.count("rejected")
            self.later(kind.accept, self._refuse, leg)
        else:
            self.later(kind.accept, self._pick_up, leg, caller)

    def _refuse(self, due_s: float, leg: Leg) -> None:
        del due_s
        leg.refuse(self.rng.choice((BUSY, DECLINE)))

    def _pick_up(self, due_s: float, leg: Leg, caller: Caller) -> None:
        if leg.state != "ringing":
            return  # hung up, or somebody else has it
        leg.answer()
        call = caller.call
        if call.gave_up or caller.leg.state == "ended":
            self.count("picked_in_vain", due_s)
            return
        if caller.talks:
            self.book.faults.append(f"voice: two agents have {caller.leg.party}")
        caller.phone = leg
        self._legs[leg.call_id] = caller
        if caller.giving_up is not None:
            caller.giving_up.cancel()
        call.picked_s, call.heard_s = due_s, 0.0
        call.sounded = leg.sound is not None and caller.leg.sound is not None
        if call.sounded:  # they begin to talk when they hear each other
            leg.plans.append(
                asyncio.get_running_loop().call_later(SILENT_S, self._silent, leg, caller)
            )
        else:
            self._talk(leg, caller)

    def _talk(self, leg: Leg, caller: Caller) -> None:
        who = self.rng.choice((leg, caller.leg))
        self.later(self._agents(leg.party).talk, self._hang_up, who)

    def _silent(self, leg: Leg, caller: Caller) -> None:
        """The agent says hello, and hello, and hangs up."""
        if leg.state == "up" and caller.leg.state == "up" and not caller.call.heard_s:
            caller.call.is_silent = True
            leg.hang_up()

    def _hang_up(self, due_s: float, leg: Leg) -> None:
        if leg.state == "up":
            caller = self._legs[leg.call_id]
            other = caller.leg if leg.incoming else caller.phone
            if other is not None:
                other.told_from = due_s
            leg.hang_up()

    def _agents(self, name: str) -> Agents:
        return self.plan.profile.agents[self.plan.phones[name]]

    # --- what legs see ------------------------------------------------------------------------

    def _on_heard(self, leg: Leg) -> None:
        """An ear hears something new: do both hear each other by now?"""
        caller = self._legs.get(leg.call_id)
        if caller is None or caller.phone is None or caller.call.heard_s:
            return
        ours, theirs = caller.leg.sound, caller.phone.sound
        if ours is None or theirs is None:
            return
        if caller.phone.party in ours.heard and caller.leg.party in theirs.heard:
            caller.call.heard_s = perf_counter()
            self.record("hears", caller.call.picked_s, caller.call.heard_s)
            self._talk(caller.phone, caller)

    def _on_end(self, leg: Leg) -> None:
        caller = self._legs.pop(leg.call_id, None)
        if caller is None:
            return
        if leg.told_from and not leg.by_us:
            self.record("ends", leg.told_from, shared_s(leg.ended_at))
        if leg.incoming:
            return
        self.exchange.tones.forget(leg.party)
        if caller.giving_up is not None:
            caller.giving_up.cancel()
        if not leg.by_us and caller.phone is None:
            caller.call.turned_away = True
            self.count("turned_away", caller.call.due_s)

    # --- the end ------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Who still waits hangs up; then no leg may be left."""
        for leg in list(self.exchange.legs.values()):
            if not leg.incoming:
                leg.hang_up()
        gone = asyncio.Event()

        def look() -> None:
            if not self.exchange.legs:
                gone.set()

        self.exchange.on_change = look
        look()
        try:
            await asyncio.wait_for(gone.wait(), END_S)
        except TimeoutError:
            parties = sorted(leg.party for leg in self.exchange.legs.values())
            self.book.faults.append(f"voice: left with a dead call: {', '.join(parties)}")
        if self.exchange.resent:
            self.measures.count("sip_resent", self.exchange.resent)

    async def close(self) -> None:
        """No PBX is left."""
        if self._asterisk is not None:
            await self._asterisk.close()
        if self._is_open:
            self.exchange.close()
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)


def shared_s(wall_s: float) -> float:
    """A moment of the kernel's time stamps on the shared clock."""
    return wall_s - AHEAD_S
