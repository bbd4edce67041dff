"""Rows of a workspace read before it is owned, so that taking it over needs to read little more.

Whoever is about to be handed a workspace reads and decodes its rows while the owner still serves.
The load that counts comes later and reads all rows as ever; a row whose bytes are the same as
before, and whose key is still there, need not be decoded again. So nothing has to be known of what
changed in between, and a warm start leads to the same state as a cold one.
"""

from __future__ import annotations

import asyncio

from router.core.model import Contact
from router.core.record import Row
from router.core.state import ROWS
from router.journal import KeyStore
from router.journal.codec import Sealed
from router.journal.shared import SharedJournal
from router.runtime.loading import RowReader


class Warm:
    """What was read of one workspace. Each row is given away once: whoever gets it changes it."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._reader = RowReader(keys)
        self.used = 0
        """Rows that needed no decoding any more."""
        self._rows: dict[tuple[str, str], tuple[bytes, Row, Sealed | None]] = {}

    async def read(self, journal: SharedJournal, workspace: str) -> None:
        """Read and decode all rows as they stand. Raises JournalError."""
        async for chunk in journal.peek(workspace):
            for kind, id_, data in chunk:
                if kind in ROWS:
                    row, sealed = self._reader.read(ROWS[kind], data)
                    if self._has_key(row):
                        self._rows[kind, id_] = (data, row, sealed)
            await asyncio.sleep(0)  # this node serves others meanwhile

    def take(self, kind: str, id_: str, data: bytes) -> tuple[Row, Sealed | None] | None:
        """The row that these bytes are, and what is sealed of it; None: it has to be decoded."""
        found = self._rows.pop((kind, id_), None)
        if found is None or found[0] != data:
            return None
        _, row, sealed = found
        if not self._has_key(row):
            return None  # the customer was erased meanwhile: what was read is nobody's any more
        self.used += 1
        return row, sealed

    def _has_key(self, row: Row) -> bool:
        if not isinstance(row, Contact) or not row.seal_key:
            return True
        return self._keys.key(row.seal_key) is not None
