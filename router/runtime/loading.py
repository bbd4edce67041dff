"""The committed rows of a workspace, brought into memory: the engine's state and the runtime's own.

What a start and a takeover do before anything else. Each row is read, verified (by the journal),
decoded and opened here; `core/restart.py` lays the indexes out when all are in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.core.model import Contact
from router.core.record import Row
from router.core.state import ROWS, State
from router.journal import Journal, KeyStore, Ownership
from router.journal.codec import Sealed
from router.journal.seal import Opener
from router.runtime.own_rows import OwnRows
from router.runtime.veil import Reader, Veil

if TYPE_CHECKING:
    from router.runtime.warm import Warm


class RowReader:
    """Decodes and opens the rows of one workspace, each once.

    Values that many contacts have alike are one object: a tenth of the memory of them all.
    """

    def __init__(self, keys: KeyStore) -> None:
        self._row = Reader(Opener(keys, ciphers_max=0)).row
        self._words: dict[Any, Any] = {}

    def read(self, type_: type[Row], data: bytes) -> tuple[Row, Sealed | None]:
        """A row, and what is sealed of it. Raises JournalDamaged."""
        read = self._row(type_, data)
        if isinstance(read[0], Contact):
            self._share(read[0])
        return read

    def _share(self, contact: Contact) -> None:
        share = self._words.setdefault
        contact.channel = share(contact.channel, contact.channel)
        contact.queue = share(contact.queue, contact.queue)
        contact.entry_point = share(contact.entry_point, contact.entry_point)
        contact.segment = share(contact.segment, contact.segment)
        asked = contact.requirements_asked
        contact.requirements_asked = share(asked, asked)
        if contact.requirements == asked:
            contact.requirements = contact.requirements_asked
        else:
            contact.requirements = share(contact.requirements, contact.requirements)


async def load_rows(
    journal: Journal,
    own: Ownership,
    keys: KeyStore,
    veil: Veil,
    own_rows: OwnRows,
    warm: Warm | None = None,
) -> State:
    """The state as committed. `veil` and `own_rows` forget what they had, and take their part.

    `warm`: rows that were read before. Raises what `Journal.load` raises, and JournalDamaged.
    """
    state = State()
    reader = RowReader(keys)
    veil.drop()
    own_rows.begin()
    async for chunk in journal.load(own):
        for kind, id_, data in chunk:
            type_ = ROWS.get(kind)
            if type_ is None:
                own_rows.load(kind, id_, data)
                continue
            row, sealed = (warm and warm.take(kind, id_, data)) or reader.read(type_, data)
            if sealed is not None and isinstance(row, Contact):
                veil.load(row, sealed)
            state.load(kind, row)
    own_rows.loaded()
    return state
