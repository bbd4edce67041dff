"""One workspace's SQLite file, as the journal's writer thread sees it: the only writing connection.

SQLite up to 3.51.2 can damage a file when two connections write or checkpoint at the same instant
(the WAL-reset bug), so every other connection of this project opens the file read-only.

A commit is one transaction whose first statement is the fence: ``UPDATE own ... WHERE epoch AND
nonce AND seq`` must change exactly one row. Rows are written many to a statement, because each
statement hands the interpreter lock over twice, and a busy event loop is slow to hand it back.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal, TypeVar
from zlib import crc32

from router.errors import Fenced, JournalDamaged, JournalFailed, StoreFull
from router.journal import AppendResult, Commit, Ownership
from router.journal.directory import sync_directory
from router.journal.frame import (
    DIGEST_BYTES,
    GENESIS,
    Frame,
    guard_row,
    holds,
    link,
    pack_frame,
    split,
    unpack_frame,
)

Durability = Literal["disk", "process"]
"""``disk``: a commit outlives a power cut. ``process``: it outlives a crash of this program."""

FORMAT = 1
EPOCH_STEP_OF_COPY = 1 << 20
"""A copy's epoch is ahead by this, so that it stays above any epoch that the original hands out."""

_SCHEMA = """
CREATE TABLE own (
    one INTEGER PRIMARY KEY CHECK (one = 1), workspace TEXT NOT NULL, epoch INTEGER NOT NULL,
    nonce TEXT NOT NULL, seq INTEGER NOT NULL, at_us INTEGER NOT NULL, head BLOB NOT NULL,
    crc INTEGER NOT NULL) STRICT;
CREATE TABLE log (first_seq INTEGER PRIMARY KEY, frame BLOB NOT NULL) STRICT;
CREATE TABLE live (
    no INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL,
    UNIQUE (kind, id)) STRICT;
CREATE TABLE archive (
    no INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, at_us INTEGER NOT NULL,
    data BLOB NOT NULL, UNIQUE (kind, id)) STRICT;
CREATE INDEX archive_age ON archive (kind, at_us);
"""
# Rows lie in the order in which they came, whatever their ids: those that change together are
# neighbours, and an update leaves the index alone. Half the cost of a table sorted by id.
_PUT_LIVE = (
    "INSERT INTO live (kind, id, data) VALUES ",
    "(?,?,?)",
    " ON CONFLICT (kind, id) DO UPDATE SET data=excluded.data",
)
_PUT_ARCHIVE = (
    "INSERT INTO archive (kind, id, at_us, data) VALUES ",
    "(?,?,?,?)",
    " ON CONFLICT (kind, id) DO UPDATE SET at_us=excluded.at_us, data=excluded.data",
)
# Not "WHERE (kind, id) IN (VALUES ...)": SQLite 3.40 scans the whole table for that.
_DELETE = (
    "DELETE FROM {0} WHERE no IN (SELECT {0}.no FROM (VALUES ",
    "(?,?)",
    ") AS gone CROSS JOIN {0} ON {0}.kind = gone.column1 AND {0}.id = gone.column2)",
)
_DELETE_LIVE, _DELETE_ARCHIVE = (
    tuple(part.format(table) for part in _DELETE) for table in ("live", "archive")
)
_ROWS_AT_A_TIME = (256, 64, 16, 4, 1)
_STATEMENTS = {
    (start, size): start + ",".join([row] * size) + end
    for start, row, end in (_PUT_LIVE, _PUT_ARCHIVE, _DELETE_LIVE, _DELETE_ARCHIVE)
    for size in _ROWS_AT_A_TIME
}
DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What a damaged file may answer with: some flipped bits lie in a text, some in an error's text."""

_PAGE_BYTES = 4096
_FREE_BYTES_MIN = 1 << 20
_WHOLE_CHECK_BYTES = 256 << 20
"""Files up to this size are checked whole at `acquire` (3 s a GB), of others the live rows only."""

T = TypeVar("T")


class Own:
    """The row that says who may write, and where the log ends."""

    __slots__ = ("at_us", "epoch", "head", "nonce", "seq", "workspace")

    def __init__(self, row: Sequence[Any]) -> None:
        self.workspace, self.epoch, self.nonce, self.seq, self.at_us, self.head = row[:6]
        if row[6] != own_crc(
            self.workspace, self.epoch, self.nonce, self.seq, self.at_us, self.head
        ):
            raise JournalDamaged(
                f"workspace {self.workspace!r}: table own: its checksum does not match its row"
            )


def own_crc(workspace: str, epoch: int, nonce: str, seq: int, at_us: int, head: bytes) -> int:
    """Checksum of the own row."""
    return crc32(head, crc32(f"{workspace}\0{epoch}\0{nonce}\0{seq}\0{at_us}".encode()))


def read_own(db: sqlite3.Connection, workspace: str) -> Own:
    """The own row, verified. Raises JournalDamaged."""
    row = db.execute("SELECT workspace, epoch, nonce, seq, at_us, head, crc FROM own").fetchone()
    if row is None:
        raise JournalDamaged(f"workspace {workspace!r}: table own is empty")
    own = Own(row)
    if own.workspace != workspace:
        raise JournalDamaged(
            f"workspace {workspace!r}: this is the file of workspace {own.workspace!r}"
        )
    return own


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that can neither write nor checkpoint. Raises sqlite3.OperationalError."""
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0
    )
    db.execute("PRAGMA cell_size_check=ON")
    return db


def translate(workspace: str, path: Path, error: Exception) -> Exception:
    """What one of `DATABASE_ERRORS` means to a caller, in words."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    place = f"workspace {workspace!r}: {path}"
    if isinstance(error, UnicodeDecodeError):
        return JournalDamaged(f"{place}: a text in it is none: {error}")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT):
        return JournalDamaged(f"{place}: {error}")
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and is_full(path.parent)):
        return StoreFull(f"{place}: the disk is full")
    return JournalFailed(f"{place}: {error}")


def is_full(directory: Path) -> bool:
    """Whether so little room is left that a failed write is best explained by it."""
    try:
        room = os.statvfs(directory)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _FREE_BYTES_MIN


class WorkspaceFile:
    """Writes one workspace. All methods run on the writer thread, one at a time."""

    def __init__(self, path: Path, workspace: str, durability: Durability) -> None:
        self.path = path
        self.workspace = workspace
        self.pages_pending = 0
        """Rough number of pages written since the last checkpoint."""
        self._durability = durability
        self._db: sqlite3.Connection | None = None
        self._head = GENESIS

    def acquire(self) -> Ownership:
        """A new epoch and nonce, durable whatever the durability of commits."""
        return self._run(self._acquire)

    def _acquire(self, db: sqlite3.Connection) -> Ownership:
        self._verify(db)
        own = read_own(db, self.workspace)
        epoch, nonce = own.epoch + 1, token_hex(8)
        crc = own_crc(self.workspace, epoch, nonce, own.seq, own.at_us, own.head)
        db.execute("PRAGMA synchronous=FULL")
        db.execute("UPDATE own SET epoch=?, nonce=?, crc=?", (epoch, nonce, crc))
        self._set_durability(db)
        return Ownership(self.workspace, epoch, nonce, own.seq, own.at_us)

    def _verify(self, db: sqlite3.Connection) -> None:
        """The file's structure and the end of the log; rows are verified as they are loaded.

        `quick_check` would not do: it does not compare an index with its table, and a row that its
        index has lost would be written a second time instead of updated.
        """
        whole = self.path.stat().st_size <= _WHOLE_CHECK_BYTES
        parts = ["1"] if whole else ["own", "live"]
        for pragma in (f"integrity_check({part})" for part in parts):
            finding = db.execute(f"PRAGMA {pragma}").fetchone()[0]
            if finding != "ok":
                raise JournalDamaged(f"workspace {self.workspace!r}: {self.path}: {finding}")
        own = read_own(db, self.workspace)
        tail = db.execute("SELECT * FROM log ORDER BY first_seq DESC LIMIT 2").fetchall()
        before: Frame | None = None
        for seq, stored in reversed(tail):
            frame = unpack_frame(self.workspace, seq, stored)
            link(self.workspace, before, frame)
            before = frame
        if before is not None and (before.last_seq, before.digest) != (own.seq, own.head):
            raise JournalDamaged(
                f"workspace {self.workspace!r}: the log ends at {before.last_seq}, "
                f"but table own says {own.seq}"
            )

    def append(self, own: Ownership, commit: Commit) -> AppendResult:
        """One transaction; see Journal."""
        return self._run(lambda db: self._append(db, own, commit))

    def _append(self, db: sqlite3.Connection, own: Ownership, commit: Commit) -> AppendResult:
        frame = pack_frame(commit, self._head)
        head = frame[-DIGEST_BYTES:]
        seq, at_us = commit.last_seq, commit.at_us
        crc = own_crc(self.workspace, own.epoch, own.nonce, seq, at_us, head)
        db.execute("BEGIN IMMEDIATE")
        changed = db.execute(
            "UPDATE own SET seq=?, at_us=?, head=?, crc=? WHERE epoch=? AND nonce=? AND seq=?",
            (seq, at_us, head, crc, own.epoch, own.nonce, commit.first_seq - 1),
        ).rowcount
        if changed != 1:
            db.execute("ROLLBACK")
            return self._explain(db, own, commit)
        db.execute("INSERT INTO log VALUES (?,?)", (commit.first_seq, frame))
        live = [(k, i, guard_row(k, i, data)) for k, i, data in commit.upserts]
        archive = [(k, i, at, guard_row(k, i, data, at)) for k, i, at, data in commit.archive]
        _write(db, _PUT_LIVE[0], live)
        _write(db, _DELETE_LIVE[0], commit.deletes)
        _write(db, _PUT_ARCHIVE[0], archive)
        _write(db, _DELETE_ARCHIVE[0], commit.archive_deletes)
        db.execute("COMMIT")
        self._head = head
        size = len(frame) + sum(len(row[2]) for row in live) + sum(len(row[3]) for row in archive)
        rows = len(live) + len(archive) + len(commit.deletes) + len(commit.archive_deletes)
        self.pages_pending += 2 + size // _PAGE_BYTES + rows // 2
        return AppendResult.OK

    def _explain(self, db: sqlite3.Connection, own: Ownership, commit: Commit) -> AppendResult:
        """Why the fence held."""
        now = read_own(db, self.workspace)
        if (now.epoch, now.nonce) != (own.epoch, own.nonce):
            return AppendResult.FENCED
        if commit.first_seq > now.seq + 1:
            return AppendResult.GAP
        stored = db.execute(
            "SELECT frame FROM log WHERE first_seq=?", (commit.first_seq,)
        ).fetchone()
        same = stored is not None and holds(self.workspace, stored[0], commit)
        return AppendResult.DUP if same else AppendResult.FENCED

    def trim(self, own: Ownership, below_seq: int) -> int:
        """See Journal. The frame that holds `below_seq` stays."""

        def step(db: sqlite3.Connection) -> int:
            if below_seq > self._fence(db, own).seq:
                return db.execute("DELETE FROM log").rowcount
            return db.execute(
                "DELETE FROM log WHERE first_seq < "
                "(SELECT max(first_seq) FROM log WHERE first_seq <= ?)",
                (below_seq,),
            ).rowcount

        return self._transaction(step)

    def expire(self, own: Ownership, kind: str, before_us: int, limit: int) -> int:
        """See Journal."""

        def step(db: sqlite3.Connection) -> int:
            self._fence(db, own)
            return db.execute(
                "DELETE FROM archive WHERE no IN (SELECT no FROM archive "
                "WHERE kind=? AND at_us < ? ORDER BY at_us LIMIT ?)",
                (kind, before_us, limit),
            ).rowcount

        return self._transaction(step)

    def release(self, own: Ownership) -> None:
        """See Journal; nothing happens if it is another's by now."""

        def step(db: sqlite3.Connection) -> int:
            now = read_own(db, self.workspace)
            if (now.epoch, now.nonce) != (own.epoch, own.nonce):
                return 0
            crc = own_crc(self.workspace, now.epoch, "", now.seq, now.at_us, now.head)
            return db.execute("UPDATE own SET nonce='', crc=?", (crc,)).rowcount

        self._transaction(step)

    def checkpoint(self) -> None:
        """Move committed pages from the write-ahead log into the file."""
        self.pages_pending = 0
        self._run(lambda db: db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())

    def close(self) -> None:
        """Safe to repeat; the next call opens the file again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _fence(self, db: sqlite3.Connection, own: Ownership) -> Own:
        now = read_own(db, self.workspace)
        if (now.epoch, now.nonce) != (own.epoch, own.nonce):
            raise Fenced(
                f"workspace {self.workspace!r}: epoch {own.epoch} is over, "
                f"epoch {now.epoch} owns it"
            )
        return now

    def _transaction(self, step: Callable[[sqlite3.Connection], int]) -> int:
        def run(db: sqlite3.Connection) -> int:
            db.execute("BEGIN IMMEDIATE")
            count = step(db)
            db.execute("COMMIT")
            self.pages_pending += 2 + count
            return count

        return self._run(run)

    def _run(self, step: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return step(self._open())
        except DATABASE_ERRORS as error:
            self._abandon(error)
            raise translate(self.workspace, self.path, error) from error
        except BaseException:
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _abandon(self, error: Exception) -> None:
        """After an error: no transaction is left open, and a doubtful connection is not kept."""
        if self._db is None:
            return
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()
            return
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
            self.close()

    def _open(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        if is_new := not self.path.exists():
            _reserve(self.path)
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA wal_autocheckpoint=0")
            db.execute("PRAGMA cell_size_check=ON")
            self._set_durability(db)
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                _create(db, self.workspace)
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != FORMAT:
                raise JournalDamaged(
                    f"workspace {self.workspace!r}: {self.path}: expected format {FORMAT}, "
                    f"got {version}"
                )
            self._head = read_own(db, self.workspace).head
        except BaseException:
            db.close()
            raise
        if is_new:
            sync_directory(self.path.parent)
        self._db = db
        return db

    def _set_durability(self, db: sqlite3.Connection) -> None:
        level = "FULL" if self._durability == "disk" else "NORMAL"
        db.execute(f"PRAGMA synchronous={level}")


def _write(db: sqlite3.Connection, start: str, rows: Sequence[tuple[Any, ...]]) -> None:
    at = 0
    for size in split(rows, _ROWS_AT_A_TIME):
        db.execute(_STATEMENTS[start, size], tuple(chain.from_iterable(rows[at : at + size])))
        at += size


def disown_copy(path: Path) -> None:
    """Make a copied file an owner of its own: see `EPOCH_STEP_OF_COPY`. Also leaves WAL mode."""
    path.chmod(0o600)
    db = sqlite3.connect(path, isolation_level=None)
    try:
        row = db.execute("SELECT workspace, epoch, nonce, seq, at_us, head, crc FROM own")
        own = Own(row.fetchone())
        epoch = own.epoch + EPOCH_STEP_OF_COPY
        crc = own_crc(own.workspace, epoch, "", own.seq, own.at_us, own.head)
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("UPDATE own SET epoch=?, nonce='', crc=?", (epoch, crc))
    finally:
        db.close()


def _create(db: sqlite3.Connection, workspace: str) -> None:
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise JournalDamaged(
            f"workspace {workspace!r}: its file has lost its format number, or is no journal"
        )
    crc = own_crc(workspace, 0, "", 0, 0, GENESIS)
    db.execute("BEGIN IMMEDIATE")
    for statement in filter(str.strip, _SCHEMA.split(";")):
        db.execute(statement)
    db.execute("INSERT INTO own VALUES (1,?,0,'',0,0,?,?)", (workspace, GENESIS, crc))
    db.execute(f"PRAGMA user_version={FORMAT}")
    db.execute("COMMIT")


def _reserve(path: Path) -> None:
    """Make the file, its owner's alone: whoever reads it could try passwords against its hashes.

    SQLite gives the log beside it the same mode.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def create_file(path: Path, workspace: str) -> sqlite3.Connection:
    """A new, empty journal to be filled by hand (a copy made from another store)."""
    _reserve(path)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    _create(db, workspace)
    return db
