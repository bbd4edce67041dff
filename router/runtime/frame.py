"""From what the engine decided in one turn to the one commit that makes it true.

Besides the events and the changed state rows a commit holds: decision records, closed contacts and
their external ids (archive), outbox rows for effects that must not be repeated blindly, and what
callers gave along (message bodies).

Archive rows written here:
    contact    contact id                     the closed contact, encoded as its row
    external   keyed hash of channel and id   the contact id, so that a late duplicate finds it
                                              (closed, or known by another id now)
    decision   contact id/sequence number     the `ContactOffered` event with its decision
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from router.core.effects import Effect, EndContact
from router.core.engine import Outcome
from router.core.events import ContactOffered, Event
from router.core.model import Contact
from router.core.record import Row
from router.core.state import Changes
from router.errors import Refused
from router.journal import ArchiveWrite, Commit, RowWrite
from router.journal.codec import encode_event, encode_row
from router.runtime.inbox import Input
from router.runtime.own_rows import OwnRows
from router.runtime.veil import Veil

HERE = "{contact}/"
"""Stands in an archive id for the contact at which the command ended."""


class OutboxRow(Row, kw_only=True):
    """An effect whose outcome must be known: kept until it is settled."""

    at_us: int
    effect: Effect
    attempting: bool = False
    """It may have been carried out: an adapter has been asked to."""


class Turn:
    """What one batch came to, in order."""

    __slots__ = (
        "answers", "archive", "archive_deletes", "deletes", "effects", "events", "first_seq",
        "refusals", "rows", "veil",
    )  # fmt: skip

    def __init__(self, first_seq: int, veil: Veil) -> None:
        self.first_seq = first_seq
        self.veil = veil
        self.events: list[Event] = []
        self.effects: list[Effect] = []
        self.answers: list[tuple[Input, int, int, str]] = []
        """Who asked; its events' places, first and beyond last; the contact."""
        self.refusals: list[tuple[Input, Refused]] = []
        self.archive: list[ArchiveWrite] = []
        self.rows: list[RowWrite] = []
        self.deletes: list[tuple[str, str]] = []
        self.archive_deletes: list[tuple[str, str]] = []

    def add(self, outcome: Outcome) -> None:
        """What the engine said."""
        self.events.extend(outcome.events)
        self.effects.extend(outcome.effects)

    def numbered(self, epoch: int, before: int) -> list[tuple[str, Effect]]:
        """The effects with ids that no other ever had: ``epoch-number``; `before`: so many were."""
        return [(f"{epoch}-{n}", effect) for n, effect in enumerate(self.effects, before + 1)]

    def keep(self, archive: Sequence[ArchiveWrite], rows: Sequence[RowWrite], contact: str) -> None:
        """What the caller wants written along."""
        for row in archive:
            if row.id.startswith(HERE):
                row = row._replace(id=f"{contact}/{row.id[len(HERE) :]}")
            self.archive.append(row)
        self.rows.extend(rows)

    def commit(
        self,
        changes: Changes,
        effects: Sequence[tuple[str, Effect]],
        own_rows: OwnRows,
        *,
        at_us: int,
    ) -> Commit:
        """Everything as one commit; `own_rows` follow it in memory and add what was noted."""
        encoded: list[bytes] = []
        veil = self.veil
        writer = veil.writers.get
        veil.closed(changes.closed)
        for seq, event in enumerate(self.events, self.first_seq):
            data = writer(type(event), encode_event)(event)
            encoded.append(data)
            if type(event) is ContactOffered:
                id_ = f"{event.contact}/{seq:015d}"
                self.archive.append(ArchiveWrite("decision", id_, at_us, data))
        for effect_id, effect in effects:
            if effect.REPEAT != "safe":
                row = encode_row(OutboxRow(at_us=at_us, effect=effect))
                self.rows.append(RowWrite("effect", effect_id, row))
            elif type(effect) is EndContact and effect.external_id:
                id_ = veil.external(effect.channel, effect.external_id)
                self.archive.append(ArchiveWrite("external", id_, at_us, effect.contact.encode()))
        self.archive.extend(_closed(changes, veil, at_us))
        own_rows.join(self.rows, self.deletes, self.archive)
        encode_contact = veil.contact_row
        upserts = [
            RowWrite(kind, id_, encode_contact(row) if type(row) is Contact else encode_row(row))
            for kind, id_, row in changes.upserts
        ]
        return Commit(
            first_seq=self.first_seq,
            at_us=at_us,
            events=encoded,
            upserts=upserts + self.rows,
            deletes=changes.deletes + self.deletes,
            archive=self.archive,
            archive_deletes=self.archive_deletes,
        )


def _closed(changes: Changes, veil: Veil, at_us: int) -> Iterable[ArchiveWrite]:
    for contact in changes.closed:
        yield ArchiveWrite("contact", contact.id, at_us, veil.contact_row(contact))
        if contact.external_id:
            id_ = veil.external(contact.channel, contact.external_id)
            yield ArchiveWrite("external", id_, at_us, contact.id.encode())
