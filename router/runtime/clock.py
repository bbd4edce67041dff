"""Where the runtime gets its time from: one integer of microseconds, given to the core.

Time is the wall clock at start plus the monotonic time since, so it never jumps. A step of the wall
clock (somebody set it, a virtual machine woke up) is reported as an input, `StepClock`.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Protocol

STEP_US = 2_000_000
"""A smaller difference between wall clock and our time is drift, not a step."""


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget it; harmless when it has happened."""


class Clock(Protocol):
    """The time of one process."""

    def now_us(self) -> int:
        """Microseconds since 1970, never going back."""

    def stepped_us(self) -> int:
        """By how much the wall clock was set since the last call; 0 = it was not."""

    def call_at(self, at_us: int, callback: Callable[[], None]) -> Timer:
        """Call back at this moment, or at once if it has passed."""


async def sleep(clock: Clock, length_us: int) -> None:
    """Wait this long on the given clock."""
    done = asyncio.Event()
    timer = clock.call_at(clock.now_us() + length_us, done.set)
    try:
        await done.wait()
    finally:
        timer.cancel()


class SystemClock:
    """Wall clock at start plus monotonic time since."""

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._base_ns = wall_ns() - monotonic_ns()
        self._seen_ns = self._base_ns

    def now_us(self) -> int:
        """Microseconds since 1970, never going back."""
        return (self._base_ns + self._monotonic_ns()) // 1000

    def stepped_us(self) -> int:
        """By how much the wall clock was set since the last call; 0 = it was not."""
        offset = self._wall_ns() - self._monotonic_ns()
        step_us = (offset - self._seen_ns) // 1000
        if -STEP_US < step_us < STEP_US:
            return 0
        self._seen_ns = offset
        return step_us

    def call_at(self, at_us: int, callback: Callable[[], None]) -> Timer:
        """Call back at this moment, or at once if it has passed."""
        delay_s = max(0, at_us - self.now_us()) / 1e6
        return asyncio.get_running_loop().call_later(delay_s, callback)


class ManualTimer:
    """A call that is due on a `ManualClock`."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget it."""
        self.callback = None


class ManualClock:
    """A clock that a test moves by hand."""

    def __init__(self, now_us: int = 1_800_000_000_000_000) -> None:
        self._now_us = now_us
        self._step_us = 0
        self._timers: list[tuple[int, int, ManualTimer]] = []
        self._count = 0

    def now_us(self) -> int:
        """The moment the test has set."""
        return self._now_us

    def stepped_us(self) -> int:
        """The step the test has made with `step`, once."""
        step, self._step_us = self._step_us, 0
        return step

    def step(self, by_us: int) -> None:
        """Pretend that somebody set the wall clock."""
        self._step_us += by_us

    def call_at(self, at_us: int, callback: Callable[[], None]) -> Timer:
        """Call back when `advance` reaches this moment."""
        timer = ManualTimer(callback)
        if at_us <= self._now_us:
            asyncio.get_running_loop().call_soon(self._fire, timer)
        else:
            self._count += 1
            heapq.heappush(self._timers, (at_us, self._count, timer))
        return timer

    def pending(self) -> int:
        """How many calls are due later."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    def advance(self, by_us: int) -> None:
        """Let time pass; timers fire in order."""
        end_us = self._now_us + by_us
        while self._timers and self._timers[0][0] <= end_us:
            at_us, _, timer = heapq.heappop(self._timers)
            self._now_us = max(self._now_us, at_us)
            self._fire(timer)
        self._now_us = end_us

    def _fire(self, timer: ManualTimer) -> None:
        callback, timer.callback = timer.callback, None
        if callback is not None:
            callback()
