"""The right to act for a workspace, for as long as its last renewal carries.

What keeps the journal safe is the compare-and-set of every commit. The lease is the cheap first
line: an owner that cannot renew acknowledges nothing and lets no effect out, although nobody may
have told it yet that another one has taken over.
"""

from __future__ import annotations

import asyncio

from router.errors import Fenced
from router.runtime.clock import Clock


class Lease:
    """Counted by this process's own monotonic clock, from before the renewal was sent."""

    def __init__(self, clock: Clock, length_us: int, sent_us: int) -> None:
        """`sent_us` is when the claim was sent that won the workspace."""
        self._clock = clock
        self._length_us = length_us
        self._until_us = sent_us + length_us
        self._over = ""
        self._changed = asyncio.Event()

    def renewed(self, sent_us: int) -> None:
        """A renewal that was sent at this moment has come back as good."""
        self._until_us = max(self._until_us, sent_us + self._length_us)
        self._changed.set()

    def end(self, why: str) -> None:
        """Another node owns the workspace, or this one has given it up."""
        self._over = self._over or why
        self._changed.set()

    @property
    def over(self) -> str:
        """Why it is over for good; empty = it is not."""
        return self._over

    @property
    def lapsed(self) -> str:
        """Why this node may not act now; empty = it may."""
        if self._over:
            return self._over
        if self._clock.now_us() < self._until_us:
            return ""
        return "this node could not renew its ownership in time"

    async def confirm(self) -> None:
        """Wait until the lease is known to hold. Raises Fenced once it is known to be over."""
        while self.lapsed:
            if self._over:
                raise Fenced(self._over)
            self._changed.clear()
            await self._changed.wait()
