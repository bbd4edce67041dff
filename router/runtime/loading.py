"""The committed rows of a workspace, brought into memory: the engine's state and the runtime's own.

What a start and a takeover do before anything else. Each row is read, verified (by the journal),
decoded and opened here; `State.restart` lays the indexes out when all are in.
"""

from __future__ import annotations

from typing import Any

from router.core.model import Contact
from router.core.state import ROWS, State
from router.journal import Journal, KeyStore, Ownership
from router.journal.seal import Opener
from router.runtime.own_rows import OwnRows
from router.runtime.veil import Reader, Veil
from router.runtime.warm import Warm


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
    words: dict[Any, Any] = {}
    reader = Reader(Opener(keys, ciphers_max=0))
    veil.drop()
    own_rows.begin()
    async for chunk in journal.load(own):
        for kind, id_, data in chunk:
            type_ = ROWS.get(kind)
            if type_ is None:
                own_rows.load(kind, id_, data)
                continue
            row, sealed = (warm and warm.take(kind, id_, data)) or reader.row(type_, data)
            if isinstance(row, Contact):
                _share(row, words)
                if sealed is not None:
                    veil.load(row, sealed)
            state.load(kind, row)
    own_rows.loaded()
    return state


def _share(contact: Contact, words: dict[Any, Any]) -> None:
    """Values that many contacts have alike are one object: a tenth of the memory of them all."""
    share = words.setdefault
    contact.channel = share(contact.channel, contact.channel)
    contact.queue = share(contact.queue, contact.queue)
    contact.entry_point = share(contact.entry_point, contact.entry_point)
    contact.segment = share(contact.segment, contact.segment)
    contact.requirements = share(contact.requirements, contact.requirements)
    contact.requirements_asked = share(contact.requirements_asked, contact.requirements_asked)
