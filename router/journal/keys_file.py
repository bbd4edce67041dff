"""Keys of personal data in `keys.db`, beside the workspaces; and copies of it.

The blocks of `keys.py` in SQLite. What is erased is overwritten in the file and its log.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from router.errors import JournalDamaged, JournalFailed, StoreFull
from router.journal.directory import DirectoryLock, sync_directory
from router.journal.keys import BLOCK_BYTES, ERASED, KEY_BYTES, place_of

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS blocks "
    "(number INTEGER PRIMARY KEY AUTOINCREMENT, keys BLOB NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS erased (number INTEGER NOT NULL, place INTEGER NOT NULL, "
    "PRIMARY KEY (number, place)) STRICT, WITHOUT ROWID",
)
T = TypeVar("T")


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

    def holds(self, number: int) -> bool:
        """See Blocks. Nobody else writes to this file."""
        return True

    def give_back(self, known: Mapping[int, bytes]) -> None:
        """See Blocks; nobody empties this."""

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
        where = place_of(key_id)
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
