"""The log of a workspace, read without ever writing to it.

The file is opened read-only and read in one transaction: one moment of it, whole, even while a
server goes on writing (the same way `doctor` looks at it). A backup is such a file, too. What is
sealed in it is opened with the keys beside it; events of whom was erased say `erased`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from router.core.events import Event
from router.core.model import Agent
from router.errors import NotFound
from router.journal.codec import decode_row
from router.journal.frame import Frame, file_name, link, open_row, unpack_frame
from router.journal.keys_file import KeysFile, SqliteBlocks
from router.journal.seal import Opener
from router.journal.workspace_file import DATABASE_ERRORS, open_read_only, read_own, translate
from router.runtime.veil import Reader


class Past:
    """What a workspace's file knew at one moment."""

    def __init__(
        self, db: sqlite3.Connection, path: Path, workspace: str, keys: KeysFile | None
    ) -> None:
        """`keys` None: there are none, and what is sealed stays closed."""
        self.workspace = workspace
        self._decode = Reader(Opener(keys or _NoKeys())).event
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
                    event = self._decode(data)
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
        with closing(open_read_only(path)) as db, _keys_beside(directory) as keys:
            db.execute("BEGIN")
            yield Past(db, path, workspace, keys)
    except DATABASE_ERRORS as error:
        raise translate(workspace, path, error) from error


class _NoKeys:
    """Where no keys are."""

    def key(self, key_id: str) -> bytes | None:
        """None."""
        return None


@contextmanager
def _keys_beside(directory: Path) -> Iterator[KeysFile | None]:
    """The keys of a data directory, or of the backup of which this is the journal."""
    for place in (directory, directory.parent / "keys"):
        if (place / SqliteBlocks.FILE).is_file():
            with closing(KeysFile(place)) as keys:
                yield keys
            return
    yield None
