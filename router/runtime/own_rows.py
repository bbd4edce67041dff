"""Rows that are the runtime's own, beside the engine's: outbox, desks, webhooks, tokens, aliases.

All of them are in memory. Some are written in the same commit as the command they belong to; notes
may wait for whatever commit comes next, because losing the last ones does no harm.
"""

from __future__ import annotations

from router.journal import ArchiveWrite, RowWrite


class OwnRows:
    """The runtime's rows of one workspace."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, bytes]] = {}
        self._notes: dict[tuple[str, str], bytes | None] = {}
        self._kept: list[ArchiveWrite] = []

    def of(self, kind: str) -> dict[str, bytes]:
        """All rows of a kind by id: to read."""
        return self._rows.setdefault(kind, {})

    def note(self, kind: str, id_: str, data: bytes) -> None:
        """Keep a row; written with the next commit, whenever that is."""
        self.of(kind)[id_] = data
        self._notes[(kind, id_)] = data

    def forget(self, kind: str, id_: str) -> None:
        """Drop a row with the next commit."""
        if self.of(kind).pop(id_, None) is not None:
            self._notes[(kind, id_)] = None

    def keep(self, row: ArchiveWrite) -> None:
        """Archive a row with the next commit."""
        self._kept.append(row)

    def begin(self) -> None:
        """The journal is read again: only notes that are not written yet survive."""
        self._rows = {}

    def load(self, kind: str, id_: str, data: bytes) -> None:
        """A stored row."""
        self.of(kind)[id_] = data

    def loaded(self) -> None:
        """All stored rows are in."""
        for (kind, id_), data in self._notes.items():
            if data is None:
                self.of(kind).pop(id_, None)
            else:
                self.of(kind)[id_] = data

    def join(
        self,
        rows: list[RowWrite],
        deletes: list[tuple[str, str]],
        archive: list[ArchiveWrite],
    ) -> None:
        """A commit takes shape: these rows are in it, and all that was noted goes along."""
        for row in rows:
            self.of(row.kind)[row.id] = row.data
        for kind, id_ in deletes:
            self.of(kind).pop(id_, None)
        for (kind, id_), note in self._notes.items():
            if note is None:
                deletes.append((kind, id_))
            else:
                rows.append(RowWrite(kind, id_, note))
        archive.extend(self._kept)
        self._notes = {}
        self._kept = []
