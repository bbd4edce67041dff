"""The veil: what callers say of a customer is sealed wherever it is stored, not only who they are.

In memory records are whole. When an event or a contact's row becomes bytes, its personal fields
(`FIELDS`) are taken out and stand sealed beside the rest, with the contact's key; when it is read
they come back if the key is there. If it was erased they stay empty, and the event says `erased`.

One seal serves for most: what a contact arrives with lies in the envelope that is sealed anyway
(`envelope.py`), and the event of its arrival and its rows only say so. Something else is sealed
when it changes (`UpdateContact`, an answer), and the rows after that share it. Words that the
router itself says (`SAID`) are nobody's secret and stand in clear.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr

from router.core import events as e
from router.core.facts import NO_FACTS, Facts, Outbound
from router.core.model import Contact, ContactId, ContactState, Question
from router.core.permission import Reason
from router.core.record import Personal, Row, Value
from router.errors import JournalError
from router.journal.codec import (
    IN_ENVELOPE,
    Sealed,
    decode_row,
    encode_event,
    encode_row,
    encode_veiled_event,
    encode_veiled_row,
    split_event,
    split_row,
)
from router.journal.seal import Opener
from router.runtime.envelope import read_envelope

if TYPE_CHECKING:
    from router.runtime.loop import Workspace

_SAID = (
    "abandoned accepted_by_another activated adapter_down agent agent_lost agent_not_ready "
    "answered away busy callback cancelled change_the_requirements_of channel_switched closed "
    "completed connect_timeout consult consult_over contact_abandoned contact_cancelled "
    "contact_completed contact_deflected contact_expired contact_failed contact_gone crash "
    "customer_ended customer_erased customer_left customer_objected customer_waits "
    "customer_wrote desk_lost ended_unobserved failed gave_up gone handed_over keyword "
    "latest_moment learned_window left_to_api message_first move moved no_adapter no_agents "
    "no_answer no_answer_from_customer not_permitted not_reached not_sent offer_expired "
    "other_channel outbox_full parked permitted pulled queue_full quiet_hours re-prioritise "
    "rejected relaxed replied requeued rescheduled rona rule scheduled_by_rule sent silence "
    "submitted too_many_offers transferred unknown waited_too_long window_over wrap_up_finished "
    "wrap_up_over"
)
SAID = frozenset(_SAID.split()) | {"", "no answer", "hung up", "closed by the visitor", *Reason}
"""Reasons that the router and its adapters give; whatever else stands there, somebody wrote."""
_OWN = {
    "source": re.compile(r"engine|api|agent|import(/[A-Za-z0-9_.-]*)?|keyword \S+ on \S+"),
    "attempt": re.compile(r"c[0-9a-f]{12,40}/\d+|import/[0-9a-f]{24}|reported/[^/]+/\d+"),
    "request": re.compile(r"m[0-9a-f]{20}"),
}
"""What the router makes up itself."""

_NAMES: dict[type[Personal], tuple[str, ...]] = {
    e.ContactReceived: ("attributes", "external_id", "conversation", "facts", "outbound"),
    e.ContactScheduled: ("outbound", "reason"),
    e.ContactQueued: ("reason",),
    e.ContactReturned: ("reason",),
    e.ContactOverflowed: ("reason",),
    e.ContactParked: ("reason",),
    e.ContactSwitched: ("from_external_id", "external_id"),
    e.ContactLinked: ("external_id",),
    e.ContactUpdated: ("attributes",),
    e.ContactClosed: ("reason",),
    e.InputAsked: ("prompt", "choices"),
    e.InputCollected: ("value",),
    e.OfferRejected: ("reason",),
    e.OfferRescinded: ("reason",),
    e.ReservationFailed: ("reason",),
    e.ReservationEnded: ("reason",),
    e.EffectSettled: ("reason",),
    e.OutboundReleased: ("reason",),
    e.OutcomeRecorded: ("attempt", "source"),
    e.ConsentChanged: ("source",),
    e.DoNotContactChanged: ("source",),
    e.RouteAnswered: ("request", "attributes"),
}
_ROW = ("attributes", "external_id", "conversation", "facts", "outbound", "question")
KEYS_KEPT = 8192
"""Closed contacts whose key is remembered: something may still be said of them."""
COVERS_MORE = 4096


class Hidden(Value, kw_only=True):
    """What is sealed of an event or a row: those of its personal fields that it has."""

    attributes: dict[str, Any] = {}
    external_id: str = ""
    from_external_id: str = ""
    conversation: str = ""
    facts: Facts = NO_FACTS
    outbound: Outbound | None = None
    question: Question | None = None
    reason: str = ""
    outcome_reason: str = ""
    prompt: str = ""
    choices: dict[str, str] = {}
    value: str = ""
    source: str = ""
    attempt: str = ""


def _defaults(kind: type[Any], names: Iterable[str]) -> dict[str, Any]:
    """What stands in place of a personal field where it is not to be read."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.default_factory is not msgspec.NODEFAULT:
            found[field.name] = field.default_factory()
        else:
            found[field.name] = "" if field.default is msgspec.NODEFAULT else field.default
    return {name: found[name] for name in names}


FIELDS: dict[type[Any], dict[str, Any]] = {
    kind: _defaults(kind, names) for kind, names in _NAMES.items()
}
"""The personal fields of events, and what stands in their place."""
_BLANK_ROW = _defaults(Contact, (*_ROW, "outcome_reason"))
_ARRIVAL = ("attributes", "external_id", "conversation")
_LOST = Sealed(*IN_ENVELOPE)
"""Sealed nowhere: what was taken out of the record is not kept."""
_NO_ATTRIBUTES: dict[str, Any] = {}
_OF_CUSTOMERS = (e.OutcomeRecorded, e.ConsentChanged, e.DoNotContactChanged)
_REASONED = frozenset(kind for kind, names in _NAMES.items() if names == ("reason",))
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Hidden).decode


def is_said(name: str, value: Any) -> bool:
    """Whether this is nothing personal: a word of the router's own."""
    if name in ("reason", "outcome_reason"):
        return value in SAID
    own = _OWN.get(name)
    return own is not None and own.fullmatch(value) is not None


class Reader:
    """Reads events and rows with what is sealed of them, as far as the keys are there."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener

    def event(self, data: bytes) -> e.Event:
        """A stored event. Raises JournalDamaged."""
        event, sealed = split_event(data)
        if sealed is None:
            return event
        if not sealed.key and type(event) is e.ContactReceived:
            envelope = read_envelope(self._opener, event.seal_key, event.sealed)
            found: Any = envelope
            names: Iterable[str] = _ARRIVAL
        else:
            found, names = self._hidden(sealed), FIELDS[type(event)]
        if found is None:
            force_setattr(event, "erased", True)
            return event
        for name in names:
            value = getattr(found, name, "")
            if value:
                force_setattr(event, name, value)
        return event

    def contact(self, data: bytes) -> Contact:
        """A contact's row, live or closed. Raises JournalDamaged."""
        return self._contact(data)[0]

    def _contact(self, data: bytes) -> tuple[Contact, Sealed | None]:
        contact, sealed = split_row(Contact, data)
        if sealed is None:
            return contact, None
        if not sealed.key:
            envelope = read_envelope(self._opener, contact.seal_key, contact.sealed)
            if envelope is not None:
                contact.attributes = envelope.attributes
                contact.external_id = envelope.external_id
                contact.conversation = envelope.conversation
            return contact, sealed
        hidden = self._hidden(sealed)
        if hidden is not None:
            for name in _ROW:
                setattr(contact, name, getattr(hidden, name))
            contact.outcome_reason = hidden.outcome_reason or contact.outcome_reason
        return contact, sealed

    def _hidden(self, sealed: Sealed) -> Hidden | None:
        plain = self._opener.open(sealed.key, sealed.data) if sealed.key else None
        return None if plain is None else _decode(plain)


class _Cover:
    """What is sealed of a contact already: where, and the values as they were then."""

    __slots__ = (
        "attributes", "conversation", "envelope", "external_id", "facts", "outbound", "question",
        "sealed",
    )  # fmt: skip

    def __init__(self, sealed: Sealed, envelope: bytes, record: Any) -> None:
        self.sealed = sealed
        self.envelope = envelope
        """Where the values lie in the envelope: that one."""
        self.attributes: dict[str, Any] = record.attributes
        self.external_id: str = record.external_id
        self.conversation: str = record.conversation
        self.facts: Facts = record.facts
        self.outbound: Outbound | None = record.outbound
        self.question: Question | None = getattr(record, "question", None)

    def fits(self, record: Any) -> bool:
        """Whether it is all still so. Values are replaced when they change, never altered."""
        return (
            (self.attributes is record.attributes or self.attributes == record.attributes)
            and self.external_id == record.external_id
            and self.conversation == record.conversation
            and self.facts is record.facts
            and self.outbound is record.outbound
            and (self.sealed is not IN_ENVELOPE or self.envelope is record.sealed)
        )


class Veil(Reader):
    """Writes the events and contacts of one workspace, and reads them again."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.sealer)
        self._workspace = workspace
        self._sealer = workspace.sealer
        self.place = workspace.sealer.place
        """The id of an archive row that is found by what a caller has given; see `Sealer`."""
        self._covers: dict[ContactId, _Cover] = {}
        self._keys: OrderedDict[ContactId, str] = OrderedDict()
        """Key by contact, of those closed lately."""
        self._tidy_at = COVERS_MORE

    # --- what is known ------------------------------------------------------------------------

    def arrives(self, command: Any, attributes: dict[str, Any]) -> None:
        """The envelope of this `SubmitContact` has these attributes and its ids in it, too."""
        cover = self._covers[command.contact] = _Cover(IN_ENVELOPE, command.sealed, command)
        cover.attributes, cover.facts, cover.outbound = attributes, NO_FACTS, None

    def load(self, kind: type[Row], data: bytes) -> Row:
        """A state row at start; a contact's may be written again as it is sealed."""
        if kind is not Contact:
            return decode_row(kind, data)
        contact, sealed = self._contact(data)
        if sealed is not None:
            known = IN_ENVELOPE if sealed == IN_ENVELOPE else sealed
            self._covers[contact.id] = _Cover(known, contact.sealed, contact)
        return contact

    def closed(self, contacts: Iterable[Contact]) -> None:
        """These end with the commit that is being written: what is said of them later is theirs."""
        for contact in contacts:
            if contact.seal_key:
                self._keys[contact.id] = contact.seal_key
        while len(self._keys) > KEYS_KEPT:
            self._keys.popitem(last=False)
        if len(self._covers) > self._tidy_at:
            self._tidy()

    def drop(self) -> None:
        """The rows are read again."""
        self._covers.clear()

    def _tidy(self) -> None:
        """Forget what is sealed of those who never came, or are gone."""
        live = self._workspace.engine.state.contacts
        self._covers = {id_: cover for id_, cover in self._covers.items() if id_ in live}
        self._tidy_at = 2 * len(self._covers) + COVERS_MORE

    # --- events -------------------------------------------------------------------------------

    def encode(self, event: e.Event) -> bytes:
        """An event's bytes. Its fields are empty while it is encoded, and only then."""
        kind = type(event)
        if kind in _REASONED:
            if event.reason in SAID:  # type: ignore[union-attr]
                return encode_event(event)
        elif kind is e.ContactReceived:
            return self._encode_arrival(event)  # type: ignore[arg-type]
        elif kind not in FIELDS:
            return encode_event(event)
        blank = FIELDS[kind]
        hidden = {
            name: value
            for name in blank
            if (value := getattr(event, name)) and not is_said(name, value)
        }
        if not hidden:
            return encode_event(event)
        key = self._key(event)
        if key is None:
            return encode_event(event)
        return self._without(event, hidden, blank, self._seal(key, hidden))

    def _encode_arrival(self, event: e.ContactReceived) -> bytes:
        cover = self._covers.get(event.contact)
        blank = FIELDS[e.ContactReceived]
        if cover is None or not cover.fits(event):
            hidden = {name: value for name in blank if (value := getattr(event, name))}
            if event.facts == NO_FACTS:
                hidden.pop("facts", None)
            key = event.seal_key
            if not hidden or not key:
                return encode_event(event)
            cover = _Cover(self._seal(key, hidden), b"", event)
            self._covers[event.contact] = cover
            return self._without(event, hidden, blank, cover.sealed)
        if cover.sealed is not IN_ENVELOPE:
            return self._without(event, blank, blank, cover.sealed)
        cover.attributes = attributes = event.attributes
        external_id, conversation = event.external_id, event.conversation
        if not (attributes or external_id or conversation):
            return encode_event(event)
        # The way of nearly every contact: no copy of the record, no second seal.
        force_setattr(event, "attributes", _NO_ATTRIBUTES)
        force_setattr(event, "external_id", "")
        force_setattr(event, "conversation", "")
        try:
            return encode_veiled_event(event, IN_ENVELOPE)
        finally:
            force_setattr(event, "attributes", attributes)
            force_setattr(event, "external_id", external_id)
            force_setattr(event, "conversation", conversation)

    def _without(
        self, event: e.Event, names: Iterable[str], blank: dict[str, Any], sealed: Sealed
    ) -> bytes:
        kept = [(name, getattr(event, name)) for name in names]
        for name, _ in kept:
            force_setattr(event, name, blank[name])
        try:
            return encode_veiled_event(event, sealed)
        finally:
            for name, value in kept:
                force_setattr(event, name, value)

    def _key(self, event: Any) -> str | None:
        """The key of whom it is about. None: theirs has none, and nothing is sealed of it; empty:
        nobody knows it any more, and what is said now is not kept.
        """
        if type(event) is e.RouteAnswered:
            return ""  # nobody's contact: no erasure would find it
        if type(event) in _OF_CUSTOMERS:
            held = self._workspace.customers.held(event.customer)
            return "" if held is None else held.key
        contact = self._workspace.engine.state.contacts.get(event.contact)
        if contact is not None:
            return contact.seal_key or None
        return self._keys.get(event.contact, "")

    def _seal(self, key: str, hidden: dict[str, Any]) -> Sealed:
        if not key:
            return _LOST
        try:
            return Sealed(key, self._sealer.seal(key, _encode(hidden)))
        except JournalError:  # erased in between: there is nobody any more whom it is about
            return _LOST

    # --- rows ---------------------------------------------------------------------------------

    def row(self, row: Row) -> bytes:
        """A state row's bytes; see `encode`."""
        return self.contact_row(row) if type(row) is Contact else encode_row(row)

    def contact_row(self, contact: Contact) -> bytes:
        """A contact's row, live or closed. Its fields are empty while it is encoded."""
        covers = self._covers
        cover = covers.get(contact.id)
        if (
            cover is None
            or not cover.fits(contact)
            or cover.question is not contact.question
            or contact.outcome_reason not in SAID
        ):
            cover = self._cover(contact)
        if contact.state is ContactState.CLOSED:
            covers.pop(contact.id, None)
        if cover is None:
            return encode_row(contact)
        if cover.sealed is not IN_ENVELOPE:
            return self._row_without(contact, cover.sealed)
        attributes, external_id = contact.attributes, contact.external_id
        conversation = contact.conversation
        contact.attributes = _NO_ATTRIBUTES
        contact.external_id = contact.conversation = ""
        try:
            return encode_veiled_row(contact, IN_ENVELOPE)
        finally:
            contact.attributes, contact.external_id = attributes, external_id
            contact.conversation = conversation

    def _cover(self, contact: Contact) -> _Cover | None:
        """Seal anew; None: there is nothing to seal, or nothing to seal it with."""
        hidden = {name: value for name in _ROW if (value := getattr(contact, name))}
        if contact.facts == NO_FACTS:
            hidden.pop("facts", None)
        if contact.outcome_reason not in SAID:
            hidden["outcome_reason"] = contact.outcome_reason
        if not hidden or not contact.seal_key:
            return None
        cover = self._covers[contact.id] = _Cover(
            self._seal(contact.seal_key, hidden), contact.sealed, contact
        )
        return cover

    def _row_without(self, contact: Contact, sealed: Sealed) -> bytes:
        kept = [(name, getattr(contact, name)) for name in _ROW]
        if contact.outcome_reason not in SAID:
            kept.append(("outcome_reason", contact.outcome_reason))
        for name, _ in kept:
            setattr(contact, name, _BLANK_ROW[name])
        try:
            return encode_veiled_row(contact, sealed)
        finally:
            for name, value in kept:
                setattr(contact, name, value)
