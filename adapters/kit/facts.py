"""Facts that the router must hear: said until they are taken, however long its store is away."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, ParamSpec

from adapters.kit.crew import TRY_AGAIN, Crew, is_cancelled
from router.channel import ChannelError, Overloaded, Refused

log = logging.getLogger(__name__)

P = ParamSpec("P")

MOST: Final = 10_000
AT_ONCE: Final = 32
FIRST_S, LONGEST_S = 0.2, 5.0
"""Pauses between two attempts at the same fact."""


class _Fact(NamedTuple):
    """A call on the router; two with the same arguments are the same fact."""

    call: Callable[..., Awaitable[object]]
    args: tuple[Any, ...]
    named: dict[str, Any]


class Facts:
    """What one adapter has to tell the router and nobody else will.

    Facts about the same thing (`whose`: a call, a contact, a message) are said in their order; a
    fact that waits already is not kept twice. At most `most` wait. Beyond that a new one is not
    kept: ChannelError, and a line in the log when it begins, because an older fact is as true as a
    newer one and has been promised. In memory: what a backend can say again is not acknowledged to
    it before it is durable (`tell`).
    """

    def __init__(self, name: str, most: int = MOST) -> None:
        self.name = name
        self.most = most
        self._lanes: dict[str, deque[_Fact]] = {}
        self._due: deque[str] = deque()
        """Lanes that nobody serves yet."""
        self._crew = Crew(f"{name} facts", most=2 * AT_ONCE)
        self._serving = 0
        self._count = 0
        self._is_full = False
        self._is_stopped = False

    def __len__(self) -> int:
        return self._count

    def later(
        self, whose: str, call: Callable[P, Awaitable[object]], *args: P.args, **named: P.kwargs
    ) -> None:
        """Say it beside, until it is taken or refused. Raises ChannelError: too many wait."""
        fact = _Fact(call, args, named)
        lane = self._lanes.get(whose)
        if lane is not None and fact in lane:
            return
        if self._count >= self.most:
            if not self._is_full:
                self._is_full = True
                log.error(
                    "%s: %d facts wait for the router: no more are kept", self.name, self.most
                )
            raise ChannelError(f"{self.name} has {self.most} facts to tell and keeps no more")
        self._count += 1
        if lane is None:
            self._lanes[whose] = deque([fact])
            self._due.append(whose)
            self._help()
        else:
            lane.append(fact)

    async def tell(
        self, whose: str, call: Callable[P, Awaitable[object]], *args: P.args, **named: P.kwargs
    ) -> None:
        """Say it now. What cannot be saved now is said `later`, and raised all the same.

        So the backend that brought it hears that it was not taken, and may bring it again; one that
        never does loses nothing, either, as long as this process lives.
        """
        if whose not in self._lanes:
            try:
                await call(*args, **named)
            except (*TRY_AGAIN, asyncio.CancelledError):  # or the backend's patience has ended
                self._keep(whose, call, *args, **named)
                raise
        else:
            self._keep(whose, call, *args, **named)
            raise Overloaded("what was said of it before waits for the store")

    def go_on(self) -> None:
        """Say what a `stop` has left."""
        self._is_stopped = False
        for _ in range(min(len(self._due), AT_ONCE)):
            self._help()

    async def stop(self, grace_s: float = 1.0) -> None:
        """Say for so long what waits; the rest stays, for `go_on` on the same object."""
        await self._crew.stop(grace_s)
        self._is_stopped = True
        await self._crew.stop()
        self._serving = 0

    def _keep(
        self, whose: str, call: Callable[P, Awaitable[object]], *args: P.args, **named: P.kwargs
    ) -> None:
        with suppress(ChannelError):  # it is in the log, and the backend is told
            self.later(whose, call, *args, **named)

    def _help(self) -> None:
        if self._serving < AT_ONCE and not self._is_stopped:
            self._serving += 1
            self._crew.start(self._serve(), "tell")

    async def _serve(self) -> None:
        try:
            while self._due:
                await self._serve_lane(self._due.popleft())
        finally:
            self._serving -= 1

    async def _serve_lane(self, whose: str) -> None:
        lane = self._lanes[whose]
        try:
            while lane:
                await self._say(lane[0])
                lane.popleft()
                self._count -= 1
                self._is_full = False
        finally:
            if lane:
                self._due.appendleft(whose)
            else:
                del self._lanes[whose]

    async def _say(self, fact: _Fact) -> None:
        """Until the router has taken or refused it."""
        pause_s = FIRST_S
        while True:
            try:
                await fact.call(*fact.args, **fact.named)
            except TRY_AGAIN as error:
                pause_s = min(LONGEST_S, max(pause_s, getattr(error, "retry_after_s", 0.0)))
            except Refused as refused:  # over for the router meanwhile
                log.debug("%s: refused: %s", self.name, refused.code)
                return
            except ChannelError as error:  # what followed from it could not be done
                log.info("%s: %s", self.name, error)
                return
            except asyncio.CancelledError:
                if is_cancelled():
                    raise
                # Cancelled by what it waited for, and not by us: nobody knows what came of it.
            except Exception:
                log.exception("%s: a fact was not told", self.name)
                return
            else:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_S)
