"""What an SMPP adapter must know again after a restart, in one SQLite file.

- *heard*: messages whose answer the SMSC may have missed (`heard.py`);
- *part*: parts of long messages that wait for the rest (`reassembly.py`). They were answered, so
  nobody else has them;
- *sent*: what has been written to the SMSC, so that nothing is written twice, and
- *issued*: the SMSC's ids of it, so that a receipt finds its message.

Parts are what customers wrote and stand here in clear, for as long as they wait (minutes): the file
is made for its owner only, and SQLite overwrites what is deleted. Without a file all of it is in
memory and bounded in the same way.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from adapters.smpp.heard import Heard
from adapters.smpp.parts import Part
from adapters.smpp.reassembly import Whole

T = TypeVar("T")

SENT_MOST: Final = 200_000
"""Messages of ours that receipts can be told of."""
MATCHED_S: Final = 7 * 86_400
"""So long a receipt may follow its message. Centres give up within days, and count their ids round:
a receipt for an older one is about another message."""
PRUNE_EVERY: Final = 1_000

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS heard (id TEXT PRIMARY KEY, digest TEXT NOT NULL, known INTEGER);
CREATE TABLE IF NOT EXISTS whole (key TEXT PRIMARY KEY, id TEXT, source TEXT, destination TEXT,
    total INTEGER);
CREATE TABLE IF NOT EXISTS part (key TEXT, number INTEGER, reference TEXT, data BLOB,
    coding INTEGER, PRIMARY KEY (key, number));
CREATE TABLE IF NOT EXISTS sent (number INTEGER PRIMARY KEY AUTOINCREMENT, effect TEXT UNIQUE,
    state TEXT, contact TEXT, message TEXT, parts INTEGER, delivered INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS issued (smsc TEXT, id TEXT, sent INTEGER, who TEXT, at_s INTEGER,
    delivered INTEGER DEFAULT 0, is_told INTEGER DEFAULT 0, PRIMARY KEY (smsc, id, sent));
CREATE INDEX IF NOT EXISTS issued_sent ON issued (sent);
"""


def _now() -> float:
    """The wall clock: what it is needed for outlives this process."""
    return datetime.now(UTC).timestamp()


class Sent(NamedTuple):
    """A message of ours that a receipt is about."""

    contact: str
    message: str
    is_whole: bool
    """Whether all its parts are delivered now."""
    is_new: bool
    """No receipt has come for it yet. Else this one may be about a message that is being sent, to
    which the centre gives an old id."""


class Store:
    """The file and the one thread that touches it; what waits together is committed together."""

    def __init__(self, path: str, now: Callable[[], float] = _now) -> None:
        self._path = path
        self._now = now
        self._db: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._due: deque[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]] = deque()
        self._written = 0

    # -- open and close --------------------------------------------------------------------------

    async def open(self, now_s: float) -> tuple[list[Heard], list[Whole]]:
        """Open it (again); what was there. Raises OSError or sqlite3.Error when it cannot be."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="smpp-store")
        return await self._do(lambda db: _recall(db, now_s))

    async def close(self) -> None:
        """What waits is written first; what is in memory only stays as long as this object."""
        if self._thread is not None:
            await self._do(lambda db: None)
            thread, self._thread = self._thread, None
            if self._path:
                await asyncio.get_running_loop().run_in_executor(thread, self._shut)
            thread.shutdown()

    # -- what comes in ---------------------------------------------------------------------------

    async def note(self, heard: Heard) -> None:
        """Durable before the router is told, so that the same message has the same id."""
        row = ("INSERT OR IGNORE INTO heard VALUES (?, ?, 0)", (heard.id, heard.digest))
        await self._do(lambda db: _all(db, [row]))

    async def keep(self, heard: Heard, whole: Whole, part: Part) -> None:
        """A part, durable before it is answered."""
        rows = [
            ("INSERT OR REPLACE INTO heard VALUES (?, ?, 1)", (heard.id, heard.digest)),
            (
                "INSERT OR IGNORE INTO whole VALUES (?, ?, ?, ?, ?)",
                (whole.key, whole.id, whole.source, whole.destination, whole.total),
            ),
            (
                "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?)",
                (whole.key, part.number, part.reference, part.data, part.data_coding),
            ),
        ]
        await self._do(lambda db: _all(db, rows))

    async def went_on(self, whole: Whole) -> None:
        """The router has it: its parts need not be kept."""
        rows = [
            ("DELETE FROM part WHERE key = ?", (whole.key,)),
            ("DELETE FROM whole WHERE key = ?", (whole.key,)),
        ]
        await self._do(lambda db: _all(db, rows))

    async def forget(self, ids: list[str]) -> None:
        """These messages cannot come again."""
        rows = [("DELETE FROM heard WHERE id = ?", (id_,)) for id_ in ids]
        await self._do(lambda db: _all(db, rows))

    # -- what goes out ---------------------------------------------------------------------------

    async def begin(self, effect: str, contact: str, message: str, parts: int) -> str:
        """Before anything of it is written: empty, or how far an earlier attempt came.

        ``trying``: it may have been written. ``done``: the SMSC has it.
        """

        def work(db: sqlite3.Connection) -> str:
            known = db.execute("SELECT state FROM sent WHERE effect = ?", (effect,)).fetchone()
            if known is not None:
                return str(known[0])
            db.execute(
                "INSERT INTO sent (effect, state, contact, message, parts) VALUES (?, ?, ?, ?, ?)",
                (effect, "trying", contact, message, parts),
            )
            self._prune(db)
            return ""

        return await self._do(work)

    async def given(self, effect: str, smsc: str, id_: str, who: str) -> None:
        """The SMSC has taken a part of it under this id; `who` is the `trace` of the number."""
        query = (
            "INSERT OR REPLACE INTO issued (smsc, id, sent, who, at_s) "
            "SELECT ?, ?, number, ?, ? FROM sent WHERE effect = ?"
        )
        at_s = int(self._now())
        await self._do(lambda db: _all(db, [(query, (smsc, id_, who, at_s, effect))]))

    async def settled(self, effect: str, *, was_written: bool) -> None:
        """The SMSC has all of it; or nothing of it was written, and it may be tried again."""
        query = (
            "UPDATE sent SET state = 'done' WHERE effect = ?"
            if was_written
            else "DELETE FROM sent WHERE effect = ?"
        )
        await self._do(lambda db: _all(db, [(query, (effect,))]))

    async def state_of(self, effect: str) -> str:
        """Empty, ``trying`` or ``done``."""
        row = await self._do(
            lambda db: db.execute("SELECT state FROM sent WHERE effect = ?", (effect,)).fetchone()
        )
        return str(row[0]) if row is not None else ""

    async def sent(self, smsc: str, id_: str, who: frozenset[str]) -> Sent | None:
        """The message that the SMSC knows under this id, and that went to one of `who`.

        `who` has the traces of the addresses in the receipt; empty: it has none. Of several (ids
        come again when the SMSC restarts or has counted round) one without a receipt comes before
        one that has had it, then the newest.
        """
        since_s = int(self._now()) - MATCHED_S

        def work(db: sqlite3.Connection) -> Sent | None:
            rows = db.execute(
                "SELECT who, contact, message, sent.delivered >= parts, is_told"
                " FROM issued JOIN sent ON sent.number = issued.sent"
                " WHERE smsc = ? AND id = ? AND at_s > ? ORDER BY is_told, sent DESC",
                (smsc, id_, since_s),
            ).fetchall()
            for to, contact, message, is_whole, is_told in rows:
                if not to or not who or to in who:
                    return Sent(contact, message, bool(is_whole), not is_told)
            return None

        return await self._do(work)

    async def told(self, smsc: str, id_: str, sent: Sent, *, delivered: bool) -> Sent:
        """A receipt was for this message: its part counts, once. The message as it is then."""

        def work(db: sqlite3.Connection) -> Sent:
            row = db.execute(
                "SELECT number, parts, sent.delivered, issued.delivered"
                " FROM issued JOIN sent ON sent.number = issued.sent"
                " WHERE smsc = ? AND id = ? AND contact = ? AND message = ?",
                (smsc, id_, sent.contact, sent.message),
            ).fetchone()
            if row is None:  # forgotten meanwhile
                return sent
            number, parts, count, is_counted = row
            if delivered and not is_counted:
                count += 1
                db.execute("UPDATE sent SET delivered = ? WHERE number = ?", (count, number))
            db.execute(
                "UPDATE issued SET is_told = 1, delivered = max(delivered, ?)"
                " WHERE smsc = ? AND id = ? AND sent = ?",
                (int(delivered), smsc, id_, number),
            )
            return sent._replace(is_whole=count >= parts)

        return await self._do(work)

    # -- the thread ------------------------------------------------------------------------------

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._thread is None:
            raise OSError("the state file is closed")
        future: Future[T] = Future()
        self._due.append((work, future))
        self._thread.submit(self._drain)
        return await asyncio.wrap_future(future)

    def _drain(self) -> None:
        """In the thread: all that waits, in one commit; nobody is told before it is durable."""
        batch = []
        while self._due:
            batch.append(self._due.popleft())
        if not batch:
            return
        results: list[Any] = []
        try:
            db = self._open()
            with db:
                results.extend(work(db) for work, _ in batch)
        except Exception as error:  # to whoever waits for it
            for _, future in batch:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.set_running_or_notify_cancel():
                future.set_result(result)

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            if self._path:
                file = Path(self._path)
                file.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
            db = sqlite3.connect(self._path or ":memory:", check_same_thread=False)
            db.executescript("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;" + _TABLES)
            _take_over(db, int(self._now()))
            self._db = db
        return self._db

    def _shut(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _prune(self, db: sqlite3.Connection) -> None:
        self._written += 1
        if self._written % PRUNE_EVERY == 0:
            oldest = "(SELECT max(number) FROM sent) - ?"
            db.execute(f"DELETE FROM issued WHERE sent <= {oldest}", (SENT_MOST,))
            db.execute("DELETE FROM issued WHERE at_s <= ?", (int(self._now()) - MATCHED_S,))
            db.execute(f"DELETE FROM sent WHERE number <= {oldest}", (SENT_MOST,))


def _take_over(db: sqlite3.Connection, now_s: int) -> None:
    """Ids from files of earlier versions, which knew neither when nor to whom."""
    is_there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'given'"
    if db.execute(is_there).fetchone() is not None:
        with db:
            db.execute(
                "INSERT OR IGNORE INTO issued SELECT smsc, id, sent, '', ?, delivered, delivered"
                " FROM given",
                (now_s,),
            )
            db.execute("DROP TABLE given")


def _all(db: sqlite3.Connection, rows: list[tuple[str, tuple[Any, ...]]]) -> None:
    for query, values in rows:
        db.execute(query, values)


def _recall(db: sqlite3.Connection, now_s: float) -> tuple[list[Heard], list[Whole]]:
    heard = [
        Heard(id_, digest, 0, now_s, bool(known))
        for id_, digest, known in db.execute("SELECT id, digest, known FROM heard ORDER BY rowid")
    ]
    wholes = {
        key: Whole(key, id_, source, destination, total, now_s)
        for key, id_, source, destination, total in db.execute(
            "SELECT key, id, source, destination, total FROM whole ORDER BY rowid"
        )
    }
    parts = db.execute("SELECT key, number, reference, data, coding FROM part").fetchall()
    for key, number, reference, data, coding in parts:
        if key in wholes:
            part = Part(reference, number, wholes[key].total, data, coding)
            wholes[key].parts[number] = part
    return heard, [whole for whole in wholes.values() if whole.parts]
