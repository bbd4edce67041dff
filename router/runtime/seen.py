"""Has this id been archived? Mostly not; then nobody need ask the store.

A Bloom filter (Bloom 1970) over the ids of one archive kind: it may say yes wrongly (the store is
asked then), never no. Most arrivals bring a new id, and each question saved is a fifth of the work
of taking one. Until the archive has been read, and again when the filter is full, it says yes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.runtime.loop import Workspace

BITS = 24
MASK = (1 << BITS) - 1
MOST = 1 << (BITS - 4)
"""A million ids in 2 MiB: one wrong yes in two hundred."""
PAGE = 500


class Seen:
    """The ids of one archive kind."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._bits = bytearray(1 << (BITS - 3))
        self._count = 0
        self._is_ready = False

    def add(self, id_: str) -> None:
        """This id is being archived."""
        h = hash(id_)
        bits = self._bits
        for place in (h & MASK, (h >> 19) & MASK, (h >> 38) & MASK):
            bits[place >> 3] |= 1 << (place & 7)
        self._count += 1
        if self._count > MOST:
            self._is_ready = False

    def may_hold(self, id_: str) -> bool:
        """False: it is certainly not archived."""
        if not self._is_ready:
            return True
        h = hash(id_)
        bits = self._bits
        first, second, third = h & MASK, (h >> 19) & MASK, (h >> 38) & MASK
        return bool(
            bits[first >> 3] >> (first & 7) & 1
            and bits[second >> 3] >> (second & 7) & 1
            and bits[third >> 3] >> (third & 7) & 1
        )

    async def load(self, workspace: Workspace) -> None:
        """Read the archive, a page at a time beside everything else."""
        after = ""
        while self._count <= MOST:
            page = await workspace.journal.list_archive(workspace.own, self._kind, "", after, PAGE)
            for id_, _ in page:
                self.add(id_)
            if len(page) < PAGE:
                self._is_ready = self._count <= MOST
                return
            after = page[-1][0]
            await asyncio.sleep(0)
