"""One timer for the nearest deadline of an engine."""

from __future__ import annotations

from collections.abc import Callable

from router.runtime.clock import Clock, Timer


class Alarm:
    """Rings at a moment, or somewhat earlier: one that is set already is left alone."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._timer: Timer | None = None
        self._at_us = 0

    def set(self, at_us: int | None) -> None:
        """Ring at this moment of the clock at the latest; None: nothing more is due."""
        if at_us is None or (self._timer is not None and self._at_us <= at_us):
            return
        self.cancel()
        self._at_us = at_us
        self._timer = self._clock.call_at(at_us, self._rings)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rings(self) -> None:
        self._timer = None
        self._ring()
