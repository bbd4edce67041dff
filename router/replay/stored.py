"""The log of a workspace, read without ever writing to it.

The file is opened read-only and read in one transaction: one moment of it, whole, even while a
server goes on writing (the same way `doctor` looks at it). A backup is such a file, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from router.core.events import Event
from router.core.model import Agent
from router.errors import NotFound
from router.journal.codec import decode_event, decode_row
from router.journal.frame import Frame, file_name, link, open_row, unpack_frame
from router.journal.workspace_file import DATABASE_ERRORS, open_read_only, read_own, translate


class Past:
    """What a workspace's file knew at one moment."""

    def __init__(self, db: sqlite3.Connection, path: Path, workspace: str) -> None:
        self.workspace = workspace
        self._db = db
        self._path = path
        self.last_seq = read_own(db, workspace).seq
        first = db.execute("SELECT first_seq, frame FROM log ORDER BY first_seq LIMIT 1").fetchone()
        self.first_seq = first[0] if first else self.last_seq + 1
        """The first event still kept; 1 = nothing was trimmed."""
        self.oldest_us = unpack_frame(workspace, *first).at_us if first else 0
        """The oldest moment still kept."""

    @property
    def is_trimmed(self) -> bool:
        """Older events are gone."""
        return bool(self.first_seq > 1)

    def events(self, before_us: int | None = None) -> Iterator[tuple[int, Event]]:
        """(number, event) from the oldest on; with `before_us` only those before that moment.

        Raises JournalDamaged for a log that is not whole, JournalFailed if it cannot be read.
        """
        before: Frame | None = None
        try:
            rows = self._db.execute("SELECT first_seq, frame FROM log ORDER BY first_seq")
            for seq, stored in rows:
                frame = unpack_frame(self.workspace, seq, stored)
                link(self.workspace, before, frame)
                before = frame
                for number, data in enumerate(frame.events, frame.first_seq):
                    event = decode_event(data)
                    if before_us is not None and event.at_us >= before_us:
                        return
                    yield number, event
        except DATABASE_ERRORS as error:
            raise translate(self.workspace, self._path, error) from error

    def agents(self) -> list[Agent]:
        """The agents as they are at the end of the log."""
        rows = self._db.execute("SELECT kind, id, data FROM live WHERE kind='agent' ORDER BY no")
        return [
            decode_row(Agent, open_row(self.workspace, "live", kind, id_, data))
            for kind, id_, data in rows
        ]


@contextmanager
def open_past(directory: Path, workspace: str) -> Iterator[Past]:
    """The workspace's file in a data directory or a backup.

    Raises NotFound if there is none, JournalDamaged and JournalFailed.
    """
    path = directory / f"ws-{file_name(workspace)}.db"
    if not path.exists():
        raise NotFound("journal", f"{path} (a data directory or a backup is expected)")
    try:
        with closing(open_read_only(path)) as db:
            db.execute("BEGIN")
            yield Past(db, path, workspace)
    except DATABASE_ERRORS as error:
        raise translate(workspace, path, error) from error
