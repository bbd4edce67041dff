"""Has this id been archived? Mostly not; then nobody need ask the store.

A Bloom filter (Bloom 1970) over the ids of one archive kind: it may say yes wrongly (the store is
asked then), never no. Most arrivals bring a new id, and each question saved is a fifth of the work
of taking one. Until the archive has been read, and again when the filter is full, it says yes.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.runtime.loop import Workspace

BITS = 24
"""A million ids in 2 MiB, sixteen bits for each: one wrong yes in two hundred."""
MOST = 1 << (BITS - 4)
PAGE = 500


class Seen:
    """The ids of one archive kind; `bits` is the binary logarithm of the filter's size in bits.

    `now` says under which id a row is known now, where those of earlier versions had another.
    """

    def __init__(
        self, kind: str, *, bits: int = BITS, now: Callable[[str], str] | None = None
    ) -> None:
        self._kind = kind
        self._now = now
        # Memory that nobody has written to costs nothing: a workspace with few ids has a small one.
        self._bits = memoryview(mmap.mmap(-1, 1 << (bits - 3)))
        self._mask = (1 << bits) - 1
        self._most = 1 << (bits - 4)
        self._count = 0
        self._is_ready = False

    def add(self, id_: str) -> None:
        """This id is being archived."""
        h = hash(id_)
        bits, mask = self._bits, self._mask
        for place in (h & mask, (h >> 19) & mask, (h >> 38) & mask):
            bits[place >> 3] |= 1 << (place & 7)
        self._count += 1
        if self._count > self._most:
            self._is_ready = False

    def may_hold(self, id_: str) -> bool:
        """False: it is certainly not archived."""
        if not self._is_ready:
            return True
        h = hash(id_)
        bits, mask = self._bits, self._mask
        first, second, third = h & mask, (h >> 19) & mask, (h >> 38) & mask
        return bool(
            bits[first >> 3] >> (first & 7) & 1
            and bits[second >> 3] >> (second & 7) & 1
            and bits[third >> 3] >> (third & 7) & 1
        )

    async def load(self, workspace: Workspace) -> None:
        """Read the archive, a page at a time beside everything else."""
        self.done(await self.read(workspace, self._kind))

    def done(self, is_whole: bool) -> None:
        """The archive has been read; whole, unless there are too many ids in it."""
        self._is_ready = is_whole and self._count <= self._most

    async def read(self, workspace: Workspace, kind: str, prefix: str = "") -> bool:
        """Add the ids of one archive kind, each behind `prefix`; false when they are too many."""
        after = ""
        while self._count <= self._most:
            page = await workspace.journal.list_archive(workspace.own, kind, "", after, PAGE)
            for id_, _ in page:
                self.add(prefix + id_ if self._now is None else self._now(id_))
            if len(page) < PAGE:
                return True
            after = page[-1][0]
            await asyncio.sleep(0)
        return False
