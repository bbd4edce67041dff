"""The journal in SQLite: one file for each workspace, one writer thread for all of them.

`fetch` and `list_archive` read on the event loop's own thread, by a read-only connection: 9-15 µs a
question, less than handing it to a thread would cost. Long reads (`load`, `frames`, `check`,
`backup`) go to a thread.

A process with a busy event loop must call ``sys.setswitchinterval(SWITCH_INTERVAL_S)`` at start.
CPython's waiting thread asks for the interpreter lock only after a whole switch interval in which
the holder never let go; a loop that lets go for an instant at every poll, and takes the lock back
before the other has woken up, starts that wait anew each time: 11 s were seen with 0.5 ms.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from router.errors import Fenced, JournalError
from router.journal import (
    AppendResult,
    Commit,
    Finding,
    Journal,
    JournalStats,
    Ownership,
    StoredFrame,
    StoredRow,
)
from router.journal.audit import audit_file
from router.journal.directory import DirectoryLock, Place, sync_directory
from router.journal.frame import (
    Frame,
    check_commit,
    check_kind,
    file_name,
    link,
    open_row,
    open_rows,
    prefix_end,
    unpack_frame,
)
from router.journal.workspace_file import (
    DATABASE_ERRORS,
    Durability,
    WorkspaceFile,
    disown_copy,
    open_read_only,
    read_own,
    translate,
)

log = logging.getLogger("router.journal")

SWITCH_INTERVAL_S = 0.00002
"""Shorter than one round of a busy event loop; costs nothing measurable."""

_CHUNK_ROWS = 2000
_ROWS_AT_ONCE = 250
"""So few are in the processor's cache still when their checksums are looked at."""
_IDLE_S = 0.05
_PAGES_WHEN_IDLE = 1000
_PAGES_MAX = 1000
"""Pages written after which a checkpoint is made: when there is a pause, and in any case."""

T = TypeVar("T")


class SqliteJournal(Journal):
    """Workspaces in a directory, which no other process may open at the same time.

    `durability` ``disk``: a commit is on the disk when `append` returns. ``process``: it survives
    the end of this process, but the last commits may be lost in a power cut.
    """

    def __init__(self, directory: Path, *, durability: Durability = "disk") -> None:
        self.directory = directory
        self._durability = durability
        self._lock: DirectoryLock | None = None
        self._writer: _Writer | None = None
        self._files: dict[str, WorkspaceFile] = {}
        self._readers: dict[str, sqlite3.Connection] = {}
        self._stats = JournalStats()

    async def acquire(self, workspace: str) -> Ownership:
        """See Journal."""
        path = self._path(workspace)
        self._begin()
        file = self._files.get(workspace)
        if file is None:
            file = WorkspaceFile(path, workspace, self._durability)
        own = await self._do(file.acquire)
        self._files[workspace] = file
        return own

    async def load(self, own: Ownership) -> AsyncIterator[list[StoredRow]]:
        """See Journal."""
        last = 0
        while True:
            chunk, last = await asyncio.to_thread(self._load_chunk, own, last)
            if not chunk:
                return
            yield chunk

    def _load_chunk(self, own: Ownership, after: int) -> tuple[list[StoredRow], int]:
        with self._reading(own.workspace) as db:
            now = read_own(db, own.workspace)
            if (now.epoch, now.nonce) != (own.epoch, own.nonce):
                raise Fenced(f"workspace {own.workspace!r}: epoch {own.epoch} is over")
            chunk: list[StoredRow] = []
            found = db.execute(
                "SELECT no, kind, id, data FROM live WHERE no > ? ORDER BY no LIMIT ?",
                (after, _CHUNK_ROWS),
            )
            while rows := found.fetchmany(_ROWS_AT_ONCE):
                chunk += open_rows(own.workspace, [row[1:] for row in rows])
                after = rows[-1][0]
        return chunk, after

    async def append(self, own: Ownership, commit: Commit) -> AppendResult:
        """See Journal."""
        check_commit(commit)
        file = self._file(own)
        began = time.perf_counter()
        result = await self._do(lambda: file.append(own, commit))
        if result is AppendResult.OK:
            self._stats.commits += 1
            self._stats.records += len(commit.events)
            self._stats.last_commit_s = time.perf_counter() - began
        return result

    async def fetch(self, own: Ownership, kind: str, ids: Sequence[str]) -> dict[str, bytes]:
        """See Journal."""
        check_kind(kind)
        found: dict[str, bytes] = {}
        with self._read(own) as db:
            for id_ in ids:
                row = db.execute(
                    "SELECT at_us, data FROM archive WHERE kind=? AND id=?", (kind, id_)
                ).fetchone()
                if row is not None:
                    found[id_] = open_row(own.workspace, "archive", kind, id_, row[1], row[0])
        return found

    async def list_archive(
        self, own: Ownership, kind: str, prefix: str = "", after: str = "", limit: int = 100
    ) -> list[tuple[str, bytes]]:
        """See Journal."""
        check_kind(kind)
        above = prefix_end(prefix)
        bound, values = ("", ()) if above is None else ("AND id < ?", (above,))
        with self._read(own) as db:
            rows = db.execute(
                f"SELECT id, at_us, data FROM archive WHERE kind=? AND id >= ? AND id > ? {bound} "
                "ORDER BY id LIMIT ?",
                (kind, prefix, after, *values, limit),
            ).fetchall()
        return [(i, open_row(own.workspace, "archive", kind, i, d, at)) for i, at, d in rows]

    async def frames(self, own: Ownership, from_seq: int, limit: int = 100) -> list[StoredFrame]:
        """See Journal."""
        self._file(own)
        return await asyncio.to_thread(self._frames, own.workspace, from_seq, limit)

    def _frames(self, workspace: str, from_seq: int, limit: int) -> list[StoredFrame]:
        with self._reading(workspace) as db:
            if from_seq > read_own(db, workspace).seq:
                return []
            rows = db.execute(
                "SELECT first_seq, frame FROM log WHERE first_seq >= coalesce("
                "(SELECT max(first_seq) FROM log WHERE first_seq <= ?), 0) "
                "ORDER BY first_seq LIMIT ?",
                (from_seq, limit),
            ).fetchall()
        frames: list[StoredFrame] = []
        before: Frame | None = None
        for seq, stored in rows:
            frame = unpack_frame(workspace, seq, stored)
            link(workspace, before, frame)
            frames.append(StoredFrame(frame.first_seq, frame.at_us, frame.events))
            before = frame
        return frames

    async def oldest_seq(self, own: Ownership) -> int:
        """See Journal."""
        with self._read(own) as db:
            first, seq = db.execute(
                "SELECT (SELECT min(first_seq) FROM log), seq FROM own"
            ).fetchone()
        return int(seq + 1 if first is None else first)

    async def trim(self, own: Ownership, below_seq: int) -> int:
        """See Journal."""
        file = self._file(own)
        return await self._do(lambda: file.trim(own, below_seq))

    async def expire(self, own: Ownership, kind: str, before_us: int, limit: int = 1000) -> int:
        """See Journal."""
        check_kind(kind)
        file = self._file(own)
        return await self._do(lambda: file.expire(own, kind, before_us, limit))

    async def release(self, own: Ownership) -> None:
        """See Journal."""
        file = self._file(own)
        await self._do(lambda: file.release(own))

    async def backup(self, directory: Path) -> list[Path]:
        """A copy of every workspace in the directory, each as of one moment, while commits go on.

        A copy is a file like the original: to restore it, put it into an empty data directory and
        start. Its epoch is far above the original's, so adapters that have seen the original accept
        it, and nobody who owned the original can write to it.
        """
        return await asyncio.to_thread(self._copy_all, directory)

    def _copy_all(self, directory: Path) -> list[Path]:
        directory.mkdir(parents=True, exist_ok=True)
        copies = [
            self._copy(unquote(path.stem.removeprefix("ws-")), directory / path.name)
            for path in sorted(self.directory.glob("ws-*.db"))
        ]
        sync_directory(directory)
        return copies

    def _copy(self, workspace: str, target: Path) -> Path:
        partial = target.with_name(target.name + ".partial")
        partial.unlink(missing_ok=True)
        with self._reading(workspace) as db, closing(sqlite3.connect(partial)) as copy:
            db.backup(copy)
        disown_copy(partial)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        return partial.replace(target)

    async def check(self, workspace: str) -> list[Finding]:
        """See Journal. Reads only, so it may look at a file that a running server uses."""
        path = self._path(workspace)
        return await asyncio.to_thread(audit_file, path, workspace)

    def stats(self) -> JournalStats:
        """See Journal. `extra`: bytes of the write-ahead logs, and the last checkpoint's cost."""
        sizes = [_size(file.path) for file in self._files.values()]
        logs = [_size(Path(f"{file.path}-wal")) for file in self._files.values()]
        self._stats.bytes_stored = sum(sizes) + sum(logs)
        self._stats.extra = {"wal_bytes": float(sum(logs))}
        if self._writer is not None:
            self._stats.extra["checkpoint_s"] = self._writer.checkpoint_s
        return self._stats

    async def close(self) -> None:
        """See Journal."""
        for db in self._readers.values():
            db.close()
        self._readers.clear()
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.jobs.put(None)
            await asyncio.to_thread(writer.join)
        self._files.clear()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _path(self, workspace: str) -> Path:
        return self.directory / f"ws-{file_name(workspace)}.db"

    def _begin(self) -> None:
        if self._lock is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = DirectoryLock(self.directory, "journal.lock")
            self._own_up_to_a_copy()
        if self._writer is None:
            self._writer = _Writer(self._files)
            self._writer.start()

    def _own_up_to_a_copy(self) -> None:
        place = Place(self.directory)
        if place.is_elsewhere():
            log.warning(
                "this directory was copied or moved: it goes on as a copy, and adapters refuse "
                "the original",
                extra={"directory": str(self.directory)},
            )
            for path in self.directory.glob("ws-*.db"):
                try:
                    disown_copy(path)
                except (sqlite3.Error, JournalError) as error:  # its workspace is refused later
                    log.warning("not read", extra={"file": path.name, "why": str(error)})
        place.settle()

    def _file(self, own: Ownership) -> WorkspaceFile:
        file = self._files.get(own.workspace)
        if file is None:
            raise JournalError(f"workspace {own.workspace!r}: this journal is closed")
        return file

    async def _do(self, step: Callable[[], T]) -> T:
        if self._writer is None:
            raise JournalError(f"{self.directory}: this journal is closed")
        return await self._writer.submit(step)

    @contextmanager
    def _read(self, own: Ownership) -> Iterator[sqlite3.Connection]:
        """The loop thread's read-only connection."""
        path = self._file(own).path
        try:
            db = self._readers.get(own.workspace)
            if db is None:
                db = self._readers[own.workspace] = open_read_only(path)
            yield db
        except DATABASE_ERRORS as error:
            raise translate(own.workspace, path, error) from error

    @contextmanager
    def _reading(self, workspace: str) -> Iterator[sqlite3.Connection]:
        """A read-only connection for a longer read in another thread."""
        path = self._path(workspace)
        try:
            with closing(open_read_only(path)) as db:
                yield db
        except DATABASE_ERRORS as error:
            raise translate(workspace, path, error) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Writer(threading.Thread):
    """Runs what it is given, in order; makes checkpoints in the pauses between."""

    def __init__(self, files: dict[str, WorkspaceFile]) -> None:
        super().__init__(name="journal", daemon=True)
        self.jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.checkpoint_s = 0.0
        self._files = files

    def submit(self, step: Callable[[], T]) -> asyncio.Future[T]:
        """Run `step` on this thread. Giving up waiting does not undo it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                answer, error = step(), None
            except Exception as failure:
                answer, error = None, failure
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, future, answer, error)

        self.jobs.put(job)
        return future

    def run(self) -> None:
        """Work until told to stop, then close the files."""
        while True:
            due = self._due(_PAGES_WHEN_IDLE)
            try:
                job = self.jobs.get(timeout=_IDLE_S if due else None)
            except queue.Empty:
                self._checkpoint(due)
                continue
            if job is None:
                break
            job()
            self._checkpoint(self._due(_PAGES_MAX))
        for file in list(self._files.values()):
            file.close()

    def _due(self, pages: int) -> list[WorkspaceFile]:
        return [file for file in list(self._files.values()) if file.pages_pending >= pages]

    def _checkpoint(self, due: list[WorkspaceFile]) -> None:
        for file in due:
            began = time.perf_counter()
            try:
                file.checkpoint()
            except Exception:
                # The log keeps everything: the next checkpoint, or the next commit, will tell.
                continue
            self.checkpoint_s = time.perf_counter() - began


def _settle(future: asyncio.Future[Any], answer: object, error: Exception | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(answer)
    else:
        future.set_exception(error)
