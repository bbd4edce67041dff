"""Requests to an HTTP backend: repeated while nothing was sent, bounded, spared while it fails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from router.channel import ChannelError, ChannelLost, UnknownOutcome

T = TypeVar("T")


class Breaker:
    """Spares a backend that keeps failing: effects fail at once, one each `pause_s` tries again."""

    def __init__(self, after: int = 5, pause_s: float = 5.0) -> None:
        self.after = after
        self.pause_s = pause_s
        self._failures = 0
        self._failed_s = 0.0
        self._next_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it fails what it is asked, but for one attempt now and then."""
        return self._failures >= self.after

    def check(self, now_s: float) -> None:
        """Before an attempt; raises ChannelError while the backend is left in peace."""
        if not self.is_open:
            return
        if now_s < self._next_s:
            raise ChannelError("the backend keeps failing: nothing was sent")
        self._next_s = now_s + self.pause_s  # this one tries for all

    def failed(self, began_s: float, now_s: float) -> bool:
        """An attempt failed for the backend's sake. True: that opens the breaker.

        Those that were under way together fail together, when a backend dies: they count once.
        """
        self._next_s = now_s + self.pause_s
        if began_s < self._failed_s:
            return False
        self._failed_s = now_s
        self._failures += 1
        return self._failures == self.after

    def succeeded(self) -> bool:
        """The backend has answered. True: that closes the breaker."""
        was_open, self._failures = self.is_open, 0
        return was_open


class Bucket:
    """A rate: `burst` at once, then `per_s` a second."""

    __slots__ = ("_at_s", "_left", "burst", "per_s")

    def __init__(self, per_s: float, burst: int) -> None:
        self.per_s = per_s
        self.burst = burst
        self._left = float(burst)
        self._at_s = 0.0

    def take(self, now_s: float) -> float:
        """0 and one is taken, or the seconds until one is there."""
        self._left = min(float(self.burst), self._left + (now_s - self._at_s) * self.per_s)
        self._at_s = now_s
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self.per_s


class NotSent(ChannelError):
    """The backend has not taken it: it may be tried again."""


class Throttled(NotSent):
    """The backend is well and says: not so fast."""

    def __init__(self, text: str, retry_after_s: float = 1.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Sender:
    """Requests to an HTTP backend: bounded, patient while nothing was sent, none while it fails."""

    def __init__(
        self, state: Callable[[str, str], None], *, most: int, at_once: int, patience_s: float
    ) -> None:
        self.most = most
        self.patience_s = patience_s
        self.held = 0
        self.lost = asyncio.Event()
        """Set when nobody was there `LOST` times in a row; cleared by whoever connects anew."""
        self.breaker = Breaker()
        self._state = state
        self._room = asyncio.Semaphore(at_once)
        self._nobody = 0

    async def send(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns. It is made again (for `patience_s`) when it raises `NotSent`."""
        if self.held >= self.most:
            raise ChannelError(f"{self.most} effects are under way: no more are taken")
        self.held += 1
        try:
            return await self._patiently(attempt)
        finally:
            self.held -= 1

    async def watch(self, probe: Callable[[], Awaitable[None]], every_s: float) -> None:
        """Until nobody is there: ChannelLost. `probe` asks now and then, for a quiet channel."""
        while True:
            try:
                async with asyncio.timeout(every_s):
                    await self.lost.wait()
            except TimeoutError:
                await probe()
            else:
                raise ChannelLost("the backend cannot be reached")

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        now_s = asyncio.get_running_loop().time
        until_s, pause_s = now_s() + self.patience_s, 0.2
        while True:
            async with self._room:
                began_s = now_s()
                self.breaker.check(began_s)
                try:
                    done = await attempt()
                except Throttled as slow:
                    wait_s, last = max(pause_s, slow.retry_after_s), ChannelError(str(slow))
                except NotSent as error:
                    wait_s, last = pause_s, ChannelError(str(error))
                    self._nobody += 1
                    if self._nobody >= LOST:
                        self.lost.set()
                except UnknownOutcome as error:
                    if self.breaker.failed(began_s, now_s()):
                        self._state("degraded", str(error))
                    raise
                except ChannelError:
                    self._answered()
                    raise
                else:
                    self._answered()
                    return done
            if now_s() + wait_s > until_s:
                raise last
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, 2.0)

    def _answered(self) -> None:
        self._nobody = 0
        if self.breaker.succeeded():
            self._state("up", "")


LOST = 3
"""So often in a row was nobody there, and the adapter connects anew."""


def http_trouble(error: Exception) -> ChannelError:
    """What an aiohttp error means for a request that does something: not sent, or nobody knows."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return NotSent("the backend cannot be reached")
    return UnknownOutcome(f"the backend did not answer: {type(error).__name__}")


async def bounded_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """An answer's body. Raises UnknownOutcome when it is longer than `most` bytes."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > most:
            raise UnknownOutcome("the backend's answer is too long")
    return bytes(body)


def retry_after(value: str | None, default_s: float = 1.0) -> float:
    """Seconds of a Retry-After header (RFC 9110 10.2.3); a date or nonsense is the default."""
    digits = (value or "").strip()
    return (
        min(3600.0, float(digits)) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", digits) else default_s
    )
