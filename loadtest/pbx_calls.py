"""Calls as a load: callers dial, phones ring and answer, and every moment is taken at a phone.

Works against any PBX behind an `Exchange`; what distributes the calls is not known here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from loadtest import pbx_sip as sip
from loadtest.pbx_exchange import Exchange
from loadtest.pbx_phone import Leg, now
from loadtest.report import percentile, progress

PICK_UP_S = 0.02
"""How long a phone rings before it is answered."""
CALL_S = 2.0
"""Length of a call under rising load."""
RING_WITHIN_S = 10.0
STUCK_S = 10.0
NOBODY = "anonymous"
"""Asterisk's caller number for a leg made for a channel that has just gone."""


@dataclass
class Step:
    """One rate of calls, held for some seconds."""

    per_s: float
    calls: int = 0
    waits_s: list[float] = field(default_factory=list)
    """From the caller's INVITE to the first INVITE at an agent's phone."""
    repeated: int = 0
    """Rings of a phone for a caller who had been rung for before."""
    in_vain: int = 0
    """Rings of a phone for a caller who hung up at that moment: it shows no number."""
    cpu: dict[str, float] = field(default_factory=dict)
    """Shares of one core, by program."""
    resent: int = 0
    stuck: int = 0
    """Legs that were still there long after every caller had gone."""

    @property
    def never_rung(self) -> int:
        """Callers for whom no phone rang."""
        return self.calls - len(self.waits_s)

    def ms(self, share: float) -> float:
        """A percentile of the waits."""
        return percentile(self.waits_s, share) * 1e3 if self.waits_s else float("inf")

    def holds(self, most_ms: float) -> bool:
        """Everybody was rung for, and 99 of 100 within so long."""
        return self.never_rung == 0 and self.ms(0.99) <= most_ms


@dataclass
class Waiting:
    """What was seen while callers waited."""

    gaps_s: list[float] = field(default_factory=list)
    """From a phone's end of one call to its next INVITE."""
    engaged: int = 0
    """Phones rung while they still had a call."""
    repeated: int = 0
    """Rings for a caller who had been rung for before."""


class Load:
    """Drives one Exchange."""

    def __init__(self, exchange: Exchange, rng: random.Random) -> None:
        self.exchange = exchange
        self.rng = rng
        self._number = 0

    def caller(self) -> str:
        """A number that nobody has called from yet."""
        self._number += 1
        return f"+4915{self._number:09d}"

    # --- idle agents --------------------------------------------------------------------------

    async def one(self, to: str) -> float:
        """One call to idle agents, answered and ended. Seconds from INVITE to INVITE."""
        rung: asyncio.Future[Leg] = asyncio.get_running_loop().create_future()

        def on_ring(leg: Leg) -> None:
            if not rung.done():
                rung.set_result(leg)

        self.exchange.on_ring = on_ring
        caller = self.exchange.dial(self.caller(), to)
        async with asyncio.timeout(RING_WITHIN_S):
            ring = await rung
            await self._until(lambda: ring.state == "up")
        await asyncio.sleep(0.1)  # they talk
        caller.hang_up()
        async with asyncio.timeout(RING_WITHIN_S):
            await self._until(lambda: not self.exchange.legs)
        await asyncio.sleep(0.03)  # and what is behind the phones comes to rest
        return ring.began - caller.began

    # --- callers wait -------------------------------------------------------------------------

    async def waiting(
        self, to: str, callers: int, seconds: float, *, agents_end: bool = True
    ) -> Waiting:
        """So many callers on the line all the time, calls of 0.5 to 1.5 s.

        Either agents hang up, and the time runs from their BYE, or (`agents_end` false) customers
        do, and it runs from the BYE that the phone gets. The first second is not counted.
        """
        result = Waiting()
        dialled: dict[str, Leg] = {}
        counted_from = now() + 1.0
        until = counted_from + seconds

        def on_ring(leg: Leg) -> None:
            phone = self.exchange.phones[leg.party]
            talks_s = self.rng.uniform(0.5, 1.5)
            phone.talks_s = talks_s if agents_end else None
            number = sip.user_of(leg.remote)
            caller = dialled.pop(number, None)
            if caller is None:
                result.repeated += number != NOBODY
            elif not agents_end:
                caller.hang_up_after(talks_s)
            before = phone.rings[-2] if len(phone.rings) > 1 else None
            if before is None or not counted_from < leg.began < until:
                return
            if leg.status == 486:
                result.engaged += 1  # the PBX took it for free, and it was not
            elif before.by_us is agents_end and before.ended_at > counted_from:
                result.gaps_s.append(leg.began - before.ended_at)

        def dial() -> None:
            number = self.caller()
            dialled[number] = self.exchange.dial(number, to)

        def on_end(leg: Leg) -> None:
            if not leg.incoming and now() < until:
                dial()

        self.exchange.on_ring, self.exchange.on_end = on_ring, on_end
        for _ in range(callers):
            dial()
            await asyncio.sleep(0.01)
        await asyncio.sleep(until - now())
        await self._clear()
        return result

    # --- rising load --------------------------------------------------------------------------

    async def step(self, to: str, per_s: float, seconds: float) -> Step:
        """Calls at this rate, whether or not those before are answered; each lasts CALL_S."""
        step = Step(per_s, calls=int(per_s * seconds))
        dialled: dict[str, Leg] = {}
        resent = self.exchange.resent

        def on_ring(leg: Leg) -> None:
            number = sip.user_of(leg.remote)
            caller = dialled.pop(number, None)
            if number == NOBODY:
                step.in_vain += 1
            elif caller is None:
                step.repeated += 1
            else:
                step.waits_s.append(leg.began - caller.began)

        self.exchange.on_ring = on_ring
        began = now()
        for n in range(step.calls):
            due = began + n / per_s
            if due > now():
                await asyncio.sleep(due - now())
            number = self.caller()
            dialled[number] = self.exchange.dial(number, to, hangs_up_after_s=CALL_S)
        try:
            async with asyncio.timeout(RING_WITHIN_S):
                await self._until(lambda: not self.exchange.legs)
        except TimeoutError:
            step.stuck = await self._clear()
        self.exchange.on_ring = _ignore
        step.resent = self.exchange.resent - resent
        return step

    async def _clear(self) -> int:
        """Callers hang up. How many legs are left after STUCK_S, which end then."""
        self.exchange.on_end = self.exchange.on_ring = _ignore
        for phone in self.exchange.phones.values():
            phone.talks_s = None
        for leg in list(self.exchange.legs.values()):
            if not leg.incoming:
                leg.hang_up()
        stuck = 0
        try:
            async with asyncio.timeout(STUCK_S):
                await self._until(lambda: not self.exchange.legs)
        except TimeoutError:
            for leg in list(self.exchange.legs.values()):
                stuck += 1
                kind = "phone" if leg.incoming else "caller"
                progress(f"left with a dead call: {kind} {leg.party}, {leg.state}")
                leg.hang_up()
                self.exchange.over(leg, by_us=True)
        await asyncio.sleep(0.5)
        return stuck

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110 - nothing is measured by this
            await asyncio.sleep(0.005)


def _ignore(leg: Leg) -> None:
    """Nobody counts."""
    del leg
