"""Keys of sealed personal fields: made in blocks that are durable before a key of them is used.

A key's id is ``<block>-<place>`` in hexadecimal. After a restart nobody knows which keys of the
last block were used, so a fresh block is begun and the rest of the old one is never handed out: a
key must never serve two customers, or erasing one would erase the other.

`BlockKeys` is the key store; where the blocks lie is a `Blocks`: in memory, in `keys.db` beside the
workspaces (`SqliteBlocks`), or in Redis (`redis_store.RedisBlocks`).
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import closing
from os import urandom
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from router.errors import JournalDamaged, JournalFailed, Overloaded, StoreFull
from router.journal import KeyStore
from router.journal.directory import DirectoryLock, sync_directory

KEY_BYTES = 32
BLOCK_KEYS = 1024
BLOCK_BYTES = KEY_BYTES * BLOCK_KEYS
LEAST_UNUSED = 4 * BLOCK_KEYS
"""So many keys are kept ready: a burst of a few thousand contacts needs no new block."""
ERASED = bytes(KEY_BYTES)
"""What an erased key is overwritten with; no random key is all zero."""

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS blocks "
    "(number INTEGER PRIMARY KEY AUTOINCREMENT, keys BLOB NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS erased (number INTEGER NOT NULL, place INTEGER NOT NULL, "
    "PRIMARY KEY (number, place)) STRICT, WITHOUT ROWID",
)
T = TypeVar("T")


class Blocks(Protocol):
    """Where blocks lie. Calls wait for the store, and may come from any thread."""

    def create(self, block: bytes) -> int:
        """Make a block durable; returns its number, greater than all before it."""

    def read(self, number: int) -> bytes | None:
        """A block; None if there is none of this number."""

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
            while self.unused < wanted:
                block = urandom(BLOCK_BYTES)
                number = await asyncio.to_thread(self._blocks.create, block)
                self._unused.append((number, bytearray(block)))

    def key(self, key_id: str) -> bytes | None:
        """See KeyStore. A block that is not in memory is read from the store, waiting for it."""
        where = _parse(key_id)
        block = None if where is None else self._block(where[0])
        if where is None or block is None:
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
        for number, block in list(self._unused):
            stored = await asyncio.to_thread(self._blocks.read, number)
            if stored is None or not _is_same(stored, block):
                self._drop(number)
            else:
                block[:] = stored
        await self.refill()

    async def erase(self, key_ids: Iterable[str]) -> None:
        """See KeyStore. Ids that are no keys' are ignored: there is nothing to erase."""
        places = sorted({place for place in map(_parse, key_ids) if place is not None})
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
        for known, block in self._unused:
            if known == number:
                return block
        cached = self._cache.get(number)
        if cached is not None:
            self._cache.move_to_end(number)
            return cached
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


def _is_same(stored: bytes, block: bytearray) -> bool:
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


def _parse(key_id: str) -> tuple[int, int] | None:
    """(block, place) of an id as `new_key` makes them; None for anything else."""
    number, _, place = key_id.partition("-")
    try:
        where = int(number, 16), int(place, 16)
    except ValueError:
        return None
    is_ours = f"{where[0]:x}-{where[1]:x}" == key_id and 0 <= where[1] < BLOCK_KEYS
    return where if is_ours and 0 < where[0] < 1 << 62 else None


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


class SqliteBlocks:
    """Blocks in `keys.db` of a directory, which no other process may use at the same time.

    Erased keys are overwritten in the file (`secure_delete`) and the write-ahead log that still
    held them is truncated. Raises JournalBusy, JournalDamaged, StoreFull, JournalFailed.
    """

    FILE = "keys.db"

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / self.FILE
        self._lock = DirectoryLock(directory, "keys.lock")
        self._guard = threading.Lock()
        is_new = not self._path.exists()
        try:
            self._db = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=1.0
            )
            self._run(self._prepare)
        except BaseException:
            self._lock.release()
            raise
        if is_new:
            self._path.chmod(0o600)
            sync_directory(directory)

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA secure_delete=ON")
        finding = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if finding != "ok":
            raise JournalDamaged(f"keys: {self._path}: {finding}")
        for statement in _SCHEMA:
            self._db.execute(statement)

    def create(self, block: bytes) -> int:
        """See Blocks."""
        number = self._run(
            lambda: self._db.execute("INSERT INTO blocks (keys) VALUES (?)", (block,)).lastrowid
        )
        assert number is not None
        return number

    def read(self, number: int) -> bytes | None:
        """See Blocks."""
        found = self._run(
            lambda: self._db.execute("SELECT keys FROM blocks WHERE number=?", (number,)).fetchone()
        )
        return None if found is None else bytes(found[0])

    def erase(self, places: list[tuple[int, int]]) -> None:
        """See Blocks."""
        self._run(lambda: self._erase(places))

    def _erase(self, places: list[tuple[int, int]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for number, place in places:
                if self._db.execute("SELECT 1 FROM blocks WHERE number=?", (number,)).fetchone():
                    with self._db.blobopen("blocks", "keys", number) as block:
                        block.seek(place * KEY_BYTES)
                        block.write(ERASED)
            self._db.executemany("INSERT OR IGNORE INTO erased VALUES (?, ?)", places)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise JournalFailed(
                f"keys: {self._path}: erased, but a reader keeps the write-ahead log from being "
                "truncated; the erased keys are still in it"
            )

    def erased(self) -> list[tuple[int, int]]:
        """See Blocks."""
        return self._run(
            lambda: self._db.execute(
                "SELECT number, place FROM erased ORDER BY number, place"
            ).fetchall()
        )

    def backup(self, directory: Path) -> list[Path]:
        """See Blocks."""
        directory.mkdir(parents=True, exist_ok=True)
        target = directory / self.FILE
        self._run(lambda: self._copy(target))
        sync_directory(directory)
        return [target]

    def _copy(self, target: Path) -> None:
        partial = target.with_name(target.name + ".partial")
        partial.unlink(missing_ok=True)
        copy = sqlite3.connect(partial)
        try:
            self._db.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        finally:
            copy.close()
        partial.chmod(0o600)
        partial.replace(target)

    def close(self) -> None:
        """See Blocks."""
        with self._guard:
            self._db.close()
        self._lock.release()

    def _run(self, step: Callable[[], T]) -> T:
        with self._guard:
            try:
                return step()
            except sqlite3.Error as error:
                raise _translate(self._path, error) from error


def _translate(path: Path, error: sqlite3.Error) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"keys: {path}: the disk is full")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return JournalDamaged(f"keys: {path}: {error}")
    return JournalFailed(f"keys: {path}: {error}")


class KeysFile:
    """The keys of a data directory or a backup, to look only: nothing is locked or written.

    Keys erased while it is open may stay readable here. Raises JournalDamaged.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / SqliteBlocks.FILE
        self._db = sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True)
        self._blocks: dict[int, bytes] = {}

    def key(self, key_id: str) -> bytes | None:
        """A key's bytes; None if it was erased or never was."""
        where = _parse(key_id)
        if where is None:
            return None
        block = self._blocks.get(where[0])
        if block is None:
            block = self._blocks[where[0]] = self._read(where[0])
        key = block[where[1] * KEY_BYTES : (where[1] + 1) * KEY_BYTES]
        return None if key in (b"", ERASED) else key

    def _read(self, number: int) -> bytes:
        try:
            found = self._db.execute("SELECT keys FROM blocks WHERE number=?", (number,)).fetchone()
        except sqlite3.Error as error:
            raise JournalDamaged(f"{self._path}: {error}") from error
        return b"" if found is None else bytes(found[0])

    def close(self) -> None:
        """Safe to repeat."""
        self._db.close()


def read_keys_file(directory: Path) -> tuple[list[tuple[int, bytes]], list[tuple[int, int]]]:
    """The blocks and erased places of a copied `keys.db`. Raises JournalDamaged."""
    path = directory / SqliteBlocks.FILE
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            blocks = db.execute("SELECT number, keys FROM blocks ORDER BY number").fetchall()
            erased = db.execute("SELECT number, place FROM erased").fetchall()
    except sqlite3.Error as error:
        raise JournalDamaged(f"{path}: {error}") from error
    for number, block in blocks:
        if len(block) != BLOCK_BYTES:
            raise JournalDamaged(f"{path}: block {number}: expected {BLOCK_BYTES} bytes")
    return blocks, erased


def write_keys_file(
    directory: Path,
    blocks: Iterable[tuple[int, bytes | None]],
    erased: Iterable[tuple[int, int]],
) -> Path:
    """Write a `keys.db` with these blocks (None = there is none of this number)."""
    target = directory / SqliteBlocks.FILE
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(partial, isolation_level=None)) as db:
        for statement in ("BEGIN", *_SCHEMA):
            db.execute(statement)
        stored = ((number, block) for number, block in blocks if block is not None)
        db.executemany("INSERT INTO blocks (number, keys) VALUES (?, ?)", stored)
        db.executemany("INSERT INTO erased VALUES (?, ?)", erased)
        db.execute("COMMIT")
    partial.chmod(0o600)
    partial.replace(target)
    sync_directory(directory)
    return target
