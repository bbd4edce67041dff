"""Keys of sealed personal fields: made in blocks that are durable before a key of them is used.

A key's id is ``<block>-<place>`` in hexadecimal. After a restart nobody knows which keys of the
last block were used, so a fresh block is begun and the rest of the old one is never handed out: a
key must never serve two customers, or erasing one would erase the other.

`BlockKeys` is the key store; where the blocks lie is a `Blocks`: in memory, in `keys.db` beside the
workspaces (`SqliteBlocks`), or in Redis (`redis_store.RedisBlocks`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from os import urandom
from pathlib import Path
from typing import Protocol, TypeVar

from router.errors import JournalDamaged, JournalError, Overloaded, StoreFull
from router.journal import KeyStore

log = logging.getLogger("router.journal")

KEY_BYTES = 32
BLOCK_KEYS = 1024
BLOCK_BYTES = KEY_BYTES * BLOCK_KEYS
LEAST_UNUSED = 4 * BLOCK_KEYS
"""So many keys are kept ready: a burst of a few thousand contacts needs no new block."""
_PLACES = {f"{place:x}": place for place in range(BLOCK_KEYS)}
"""By the second half of a key's id: a start asks for a hundred thousand of them."""
ERASED = bytes(KEY_BYTES)
"""What an erased key is overwritten with; no random key is all zero."""

T = TypeVar("T")


class Blocks(Protocol):
    """Where blocks lie. Calls wait for the store, and may come from any thread."""

    def create(self, block: bytes) -> int:
        """Make a block durable; returns its number, greater than all before it.

        One that is not greater comes of a server that was emptied: nothing was made.
        """

    def read(self, number: int) -> bytes | None:
        """A block; None if there is none of this number."""

    def holds(self, number: int) -> bool:
        """Is this block still there? A server may come back empty."""

    def give_back(self, known: Mapping[int, bytes]) -> None:
        """Write those of these blocks (by number) that are lost, and what is erased in them.

        No number up to the highest of them is given to a new block any more.
        """

    def erase(self, places: list[tuple[int, int]]) -> None:
        """Overwrite the keys at these (block, place) with zeros, durably, and list them."""

    def erased(self) -> list[tuple[int, int]]:
        """Every (block, place) ever erased, ascending."""

    def backup(self, directory: Path) -> list[Path]:
        """A consistent copy while running."""

    def close(self) -> None:
        """Safe to repeat."""


class BlockKeys(KeyStore):
    """The key store over any `Blocks`. `open` makes it ready.

    Read blocks stay in memory, at most `cached_blocks` of 32 KiB, least recently used first out.
    """

    def __init__(self, blocks: Blocks, *, cached_blocks: int = 512) -> None:
        self._blocks = blocks
        self._cached_max = cached_blocks
        self._cache: OrderedDict[int, bytearray] = OrderedDict()
        self._unused: list[tuple[int, bytearray]] = []
        """Blocks with unused keys, oldest first; the first one is in use."""
        self._place = 0
        """The next unused key of the first of them."""
        self._used_since_refill = 0
        self._newest = 0
        """The last block that was made here."""
        self._refilling = asyncio.Lock()

    @classmethod
    async def open(cls, blocks: Blocks, *, cached_blocks: int = 512) -> BlockKeys:
        """A key store with its first blocks durable."""
        keys = cls(blocks, cached_blocks=cached_blocks)
        await keys.refill()
        return keys

    @property
    def unused(self) -> int:
        """Keys that can be handed out before the next `refill`."""
        return len(self._unused) * BLOCK_KEYS - self._place

    def new_key(self) -> tuple[str, bytes]:
        """See KeyStore. Raises Overloaded when `refill` did not keep up."""
        if not self._unused:
            raise Overloaded("no unused key is left: the key store has not made the next block")
        number, block = self._unused[0]
        place = self._place
        self._place += 1
        self._used_since_refill += 1
        if self._place == BLOCK_KEYS:
            self._place = 0
            del self._unused[0]
            self._keep(number, block)
        return f"{number:x}-{place:x}", _key_at(block, place)

    async def refill(self) -> None:
        """See KeyStore: keeps `LEAST_UNUSED`, or twice what was used since the last refill."""
        async with self._refilling:
            wanted = max(LEAST_UNUSED, 2 * self._used_since_refill)
            self._used_since_refill = 0
            if not await self._holds_ours():
                await self._give_back()
            while self.unused < wanted:
                block = urandom(BLOCK_BYTES)
                number = await asyncio.to_thread(self._blocks.create, block)
                if number <= self._newest:  # it was emptied just now, and counts anew
                    await self._give_back()
                    continue
                self._newest = number
                self._unused.append((number, bytearray(block)))

    async def fetch(self, key_ids: Iterable[str]) -> None:
        """See KeyStore: reads their blocks, at most as many as are kept, the newest."""
        named = {key_id.rpartition("-")[0] for key_id in key_ids}  # a thousand share a block
        numbers = {where[0] for name in named if (where := place_of(f"{name}-0")) is not None}
        numbers -= {*self._cache, *(number for number, _ in self._unused)}
        for number in sorted(numbers)[-self._cached_max :]:
            stored = await asyncio.to_thread(self._blocks.read, number)
            if stored is not None and len(stored) == BLOCK_BYTES:
                self._keep(number, bytearray(stored))

    async def _holds_ours(self) -> bool:
        """False: the store answers, and has lost what was made here."""
        # The newest alone tells nothing where it was emptied while that one was being made.
        oldest = self._unused[0][0] if self._unused else self._newest
        numbers = sorted({oldest, self._newest} - {0})
        try:
            held = [await asyncio.to_thread(self._blocks.holds, number) for number in numbers]
        except (JournalError, StoreFull):
            return True  # nothing is known, and nobody needs a new block now
        return all(held)

    async def _give_back(self) -> None:
        """The store was emptied: it gets what is in memory here."""
        known = {n: bytes(block) for n, block in (*self._cache.items(), *self._unused)}
        log.error("the key store has lost keys: those known here are written again",
                  extra={"blocks": len(known)})  # fmt: skip
        await asyncio.to_thread(self._blocks.give_back, known)
        await self._drop_foreign()

    def key(self, key_id: str) -> bytes | None:
        """See KeyStore. A block that is not in memory is read from the store, waiting for it."""
        where = place_of(key_id)
        if where is None:
            return None
        block = self._block(where[0])
        if block is None:
            return None
        key = _key_at(block, where[1])
        return None if key == ERASED else key

    async def reread(self) -> None:
        """Believe nothing that was read before: other nodes may have erased keys meanwhile.

        Also in blocks that were made here: their keys are of contacts that moved to another node.
        No key is handed out any more of a block that the store does not have, or has with other
        keys: it fell back, or a backup was brought back, and the number is somebody else's by now.
        """
        self._cache.clear()
        await self._drop_foreign()
        await self.refill()

    async def _drop_foreign(self) -> None:
        for number, block in list(self._unused):
            stored = await asyncio.to_thread(self._blocks.read, number)
            if stored is None or not is_same(stored, block):
                self._drop(number)
            else:
                block[:] = stored

    async def erase(self, key_ids: Iterable[str]) -> None:
        """See KeyStore. Ids that are no keys' are ignored: there is nothing to erase."""
        places = sorted({place for place in map(place_of, key_ids) if place is not None})
        if not places:
            return
        for number, place in places:  # first, so that nobody reads one while it is being erased
            self._forget(number, place)
        await asyncio.to_thread(self._blocks.erase, places)
        for number, place in places:  # again: a block may have been read in the meantime
            self._forget(number, place)

    async def erased(self) -> list[str]:
        """See KeyStore."""
        places = await asyncio.to_thread(self._blocks.erased)
        return [f"{number:x}-{place:x}" for number, place in places]

    async def backup(self, directory: Path) -> list[Path]:
        """See KeyStore."""
        return await asyncio.to_thread(self._blocks.backup, directory)

    async def close(self) -> None:
        """See KeyStore."""
        self._unused.clear()
        await asyncio.to_thread(self._blocks.close)

    def _block(self, number: int) -> bytearray | None:
        cached = self._cache.get(number)
        if cached is not None:
            self._cache.move_to_end(number)
            return cached
        for known, block in self._unused:
            if known == number:
                return block
        stored = self._blocks.read(number)
        if stored is None:
            return None
        if len(stored) != BLOCK_BYTES:
            raise JournalDamaged(
                f"keys: block {number}: expected {BLOCK_BYTES} bytes, got {len(stored)}"
            )
        return self._keep(number, bytearray(stored))

    def _drop(self, number: int) -> None:
        if self._unused and self._unused[0][0] == number:
            self._place = 0
        self._unused = [pair for pair in self._unused if pair[0] != number]

    def _keep(self, number: int, block: bytearray) -> bytearray:
        self._cache[number] = block
        if len(self._cache) > self._cached_max:
            self._cache.popitem(last=False)
        return block

    def _forget(self, number: int, place: int) -> None:
        for known, block in (*self._unused, *self._cache.items()):
            if known == number:
                block[place * KEY_BYTES : (place + 1) * KEY_BYTES] = ERASED


def is_same(stored: bytes, block: bytes | bytearray) -> bool:
    """Are these the same keys, less those that one of the two has erased?"""
    if len(stored) != BLOCK_BYTES:
        return False
    if stored == block:
        return True
    pairs = ((stored[at : at + KEY_BYTES], block[at : at + KEY_BYTES])
             for at in range(0, BLOCK_BYTES, KEY_BYTES))  # fmt: skip
    return all(one == other or ERASED in (one, other) for one, other in pairs)


def _key_at(block: bytearray, place: int) -> bytes:
    return bytes(block[place * KEY_BYTES : (place + 1) * KEY_BYTES])


def place_of(key_id: str) -> tuple[int, int] | None:
    """(block, place) of an id as `new_key` makes them; None for anything else."""
    block, _, name = key_id.partition("-")
    place, number = _PLACES.get(name), _number_of(block)
    return None if place is None or number is None else (number, place)


@lru_cache(1024)
def _number_of(name: str) -> int | None:
    """The block that the first half of a key's id names."""
    try:
        number = int(name, 16)
    except ValueError:
        return None
    return number if 0 < number < 1 << 62 and f"{number:x}" == name else None


class MemoryBlocks:
    """Blocks that last as long as this object, for tests and simulation."""

    def __init__(self) -> None:
        self._stored: dict[int, bytearray] = {}
        self._erased: dict[tuple[int, int], None] = {}

    def create(self, block: bytes) -> int:
        """See Blocks."""
        number = len(self._stored) + 1
        self._stored[number] = bytearray(block)
        return number

    def read(self, number: int) -> bytes | None:
        """See Blocks."""
        block = self._stored.get(number)
        return None if block is None else bytes(block)

    def holds(self, number: int) -> bool:
        """See Blocks."""
        return number in self._stored

    def give_back(self, known: Mapping[int, bytes]) -> None:
        """See Blocks; nobody empties this."""

    def erase(self, places: list[tuple[int, int]]) -> None:
        """See Blocks."""
        for number, place in places:
            if number in self._stored:
                at = place * KEY_BYTES
                self._stored[number][at : at + KEY_BYTES] = ERASED
            self._erased[number, place] = None

    def erased(self) -> list[tuple[int, int]]:
        """See Blocks."""
        return sorted(self._erased)

    def backup(self, directory: Path) -> list[Path]:
        """Refused with NotImplementedError: memory is for tests, there is nothing to keep."""
        raise NotImplementedError(f"keys in memory have no backup (asked for {directory})")

    def close(self) -> None:
        """See Blocks."""
