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
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr

from router.core import commands as c
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
    row_splitter,
    split_event,
)
from router.journal.seal import Opener
from router.runtime.envelope import read_arrival

if TYPE_CHECKING:
    from router.runtime.loop import Workspace

_SAID = (
    "abandoned accepted_by_another activated adapter_broke adapter_down agent agent_hung_up "
    "agent_lost agent_not_ready answered away busy callback cancelled change_the_requirements_of "
    "channel_switched closed completed connect_timeout consult consult_over "
    "contact_abandoned contact_cancelled contact_completed contact_deflected contact_expired "
    "contact_failed contact_gone crash customer_ended customer_erased customer_left "
    "customer_objected customer_waits customer_wrote desk_lost ended_unobserved failed "
    "gave_up gone handed_over hung_up keyword latest_moment learned_window left_to_api "
    "message_first move moved no_adapter no_agents no_answer no_answer_from_customer "
    "not_permitted not_reached not_sent offer_expired other_channel outbox_full parked "
    "permitted pulled queue_full quiet_hours re-prioritise rejected relaxed replied requeued "
    "rescheduled rona rule scheduled_by_rule sent silence submitted too_many_offers "
    "transferred unknown waited_too_long window_over wrap_up_finished wrap_up_over"
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
    e.MonitorEnded: ("reason",),
    e.RecordingEnded: ("reason",),
    e.EffectSettled: ("reason",),
    e.OutboundReleased: ("reason",),
    e.OutcomeRecorded: ("attempt", "source"),
    e.ConsentChanged: ("source",),
    e.DoNotContactChanged: ("source",),
    e.RouteAnswered: ("request", "attributes"),
}
_ROW = (
    "attributes", "external_id", "conversation", "facts", "outbound", "question", "outcome_reason",
)  # fmt: skip
KEYS_KEPT = 8192
"""Closed contacts whose key is remembered: something may still be said of them."""
COVERS_MORE = 16_384


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
_BLANK_ROW = _defaults(Contact, _ROW)
_ARRIVAL = ("attributes", "external_id", "conversation")
_LOST = Sealed(*IN_ENVELOPE)
"""Sealed nowhere: what was taken out of the record is not kept."""
_NO_ATTRIBUTES: dict[str, Any] = {}
_OF_CUSTOMERS = (e.OutcomeRecorded, e.ConsentChanged, e.DoNotContactChanged)
_REASONED = frozenset(kind for kind, names in _NAMES.items() if names == ("reason",))
_split_contact = row_splitter(Contact)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Hidden).decode


def is_said(name: str, value: Any) -> bool:
    """Whether this is nothing personal: a word of the router's own, counts and nothing else."""
    if name in ("reason", "outcome_reason"):
        return value in SAID
    if name == "facts":
        return not _tells(value)
    own = _OWN.get(name)
    return own is not None and own.fullmatch(value) is not None


def _tells(facts: Facts) -> bool:
    """Whether facts say more of a customer than how often they were here, and when last."""
    customer = facts.customer
    return bool(
        customer.attributes
        or customer.language
        or customer.zone
        or facts.windows
        or facts.preference.channel
        or facts.preference.text
        or facts.preference.by_channel
    )


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
            found: Any = read_arrival(self._opener, event.seal_key, event.sealed)
            names: Iterable[str] = _ARRIVAL
        else:
            found, names = self._hidden(sealed), FIELDS[type(event)]
        if found is None:
            force_setattr(event, "erased", True)
            return event
        for name in names:
            value = getattr(found, name)
            if value and value != NO_FACTS:
                force_setattr(event, name, value)
        return event

    def contact(self, data: bytes) -> Contact:
        """A contact's row, live or closed. Raises JournalDamaged."""
        return self._contact(data)[0]

    def row(self, kind: type[Row], data: bytes) -> tuple[Row, Sealed | None]:
        """A state row, and what is sealed of it. Raises JournalDamaged."""
        return self._contact(data) if kind is Contact else (decode_row(kind, data), None)

    def _contact(self, data: bytes) -> tuple[Contact, Sealed | None]:
        contact, sealed = _split_contact(data)
        if sealed is None:
            return contact, None
        if not sealed.key:
            arrival = read_arrival(self._opener, contact.seal_key, contact.sealed)
            if arrival is not None:
                contact.attributes = arrival.attributes
                contact.external_id = arrival.external_id
                contact.conversation = arrival.conversation
            return contact, sealed
        hidden = self._hidden(sealed)
        if hidden is not None:
            for name in _BLANK_ROW:
                value = getattr(hidden, name)
                if value and value != NO_FACTS:
                    setattr(contact, name, value)
        return contact, sealed

    def _hidden(self, sealed: Sealed) -> Hidden | None:
        plain = self._opener.open(sealed.key, sealed.data) if sealed.key else None
        return None if plain is None else _decode(plain)


class _Cover(msgspec.Struct, gc=False):
    """What is sealed of a contact already: where, and the values as they were then."""

    hidden: Sealed
    sealed: bytes
    attributes: dict[str, Any]
    external_id: str
    conversation: str
    facts: Facts
    outbound: Outbound | None
    question: Question | None


def _cover_of(hidden: Sealed, of: Contact | e.ContactReceived) -> _Cover:
    return _Cover(
        hidden,
        of.sealed,
        of.attributes,
        of.external_id,
        of.conversation,
        of.facts,
        of.outbound,
        of.question if isinstance(of, Contact) else None,
    )


class Veil(Reader):
    """Writes the events and contacts of one workspace, and reads them again."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.sealer)
        self._workspace = workspace
        self._sealer = workspace.sealer
        self.place = workspace.sealer.place
        """The id of an archive row that is found by what a caller has given; see `Sealer`."""
        self.external = partial(self.place, "external")
        """The same for the external id of a channel."""
        self.enveloped: dict[ContactId, c.SubmitContact | e.ContactReceived | _Cover] = {}
        """Contacts of whom all lies in the envelope, with the values that do. Whoever seals an
        envelope with a command's values in it puts the command here.
        """
        self._covers: dict[ContactId, _Cover] = {}
        self._keys: OrderedDict[ContactId, str] = OrderedDict()
        """Key by contact, of those closed lately."""
        self.writers: dict[type, Callable[[Any], bytes]] = {
            **dict.fromkeys(FIELDS, self._personal),
            **dict.fromkeys(_REASONED, self._reasoned),
            e.ContactReceived: self._arrival,
        }
        """What makes bytes of an event, by type; of any other, `encode_event`."""
        self._tidy_at = COVERS_MORE

    # --- what is known ------------------------------------------------------------------------

    def load(self, contact: Contact, hidden: Sealed) -> None:
        """A contact's row at start, as `contact` reads it: may be written as it is sealed."""
        if hidden == IN_ENVELOPE:
            self.enveloped[contact.id] = _cover_of(IN_ENVELOPE, contact)
        else:
            self._covers[contact.id] = _cover_of(hidden, contact)

    def closed(self, contacts: Iterable[Contact]) -> None:
        """These end with the commit that is being written: what is said of them later is theirs."""
        for contact in contacts:
            if contact.seal_key:
                self._keys[contact.id] = contact.seal_key
        while len(self._keys) > KEYS_KEPT:
            self._keys.popitem(last=False)
        if len(self.enveloped) > self._tidy_at:  # who was turned away never closes
            live = self._workspace.engine.state.contacts
            self.enveloped = {id_: known for id_, known in self.enveloped.items() if id_ in live}
            self._tidy_at = 2 * len(self.enveloped) + COVERS_MORE

    def drop(self) -> None:
        """The rows are read again."""
        self.enveloped.clear()
        self._covers.clear()

    # --- events -------------------------------------------------------------------------------

    def encode(self, event: e.Event) -> bytes:
        """An event's bytes. Its fields are empty while it is encoded, and only then."""
        return self.writers.get(type(event), encode_event)(event)

    def _reasoned(self, event: e.ContactQueued) -> bytes:
        return encode_event(event) if event.reason in SAID else self._personal(event)

    def _arrival(self, event: e.ContactReceived) -> bytes:
        attributes, known = event.attributes, self.enveloped.get(event.contact)
        if (
            known is None
            or (attributes is not known.attributes and attributes != known.attributes)
            or event.outbound is not None
            or (event.facts is not NO_FACTS and _tells(event.facts))
        ):
            return self._personal(event)
        # The way of nearly every contact: no copy of the record, no second seal.
        if attributes is not known.attributes or event.facts is not known.facts:
            self.enveloped[event.contact] = event
        external_id, conversation = event.external_id, event.conversation
        if not (attributes or external_id or conversation):
            return encode_event(event)
        force_setattr(event, "attributes", _NO_ATTRIBUTES)
        force_setattr(event, "external_id", "")
        if conversation:
            force_setattr(event, "conversation", "")
        try:
            return encode_veiled_event(event, IN_ENVELOPE)
        finally:
            force_setattr(event, "attributes", attributes)
            force_setattr(event, "external_id", external_id)
            if conversation:
                force_setattr(event, "conversation", conversation)

    def _personal(self, event: Any) -> bytes:
        blank = FIELDS[type(event)]
        hidden = {
            name: value
            for name in blank
            if (value := getattr(event, name)) and not is_said(name, value)
        }
        key = self._key(event) if hidden else None
        if key is None:
            return encode_event(event)
        sealed = self._seal(key, hidden)
        if type(event) is e.ContactReceived:
            self.enveloped.pop(event.contact, None)
            self._covers[event.contact] = _cover_of(sealed, event)
        return self._without(event, hidden, blank, sealed)

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
        if type(event) is e.ContactReceived:
            return event.seal_key or None
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

    def contact_row(self, contact: Contact) -> bytes:
        """A contact's row, live or closed. Its fields are empty while it is encoded."""
        known = self.enveloped.get(contact.id)
        attributes, external_id = contact.attributes, contact.external_id
        if contact.state is ContactState.CLOSED:
            self.enveloped.pop(contact.id, None)
            if contact.outcome_reason not in SAID:
                known = None
        # Values are replaced when they change, never altered: the same one is the same.
        if (
            known is None
            or attributes is not known.attributes
            or external_id is not known.external_id
            or contact.facts is not known.facts
            or contact.sealed is not known.sealed
            or contact.outbound is not None
            or contact.question is not None
        ):
            return self._other_row(contact)
        conversation = contact.conversation
        if not (attributes or external_id or conversation):
            return encode_row(contact)
        contact.attributes = _NO_ATTRIBUTES
        contact.external_id = contact.conversation = ""
        try:
            return encode_veiled_row(contact, IN_ENVELOPE)
        finally:
            contact.attributes = attributes
            contact.external_id, contact.conversation = external_id, conversation

    def _other_row(self, contact: Contact) -> bytes:
        """The row of a contact of whom something has changed since it came."""
        cover = self._covers.get(contact.id)
        if (
            cover is None
            or cover.attributes is not contact.attributes
            or cover.external_id != contact.external_id
            or cover.conversation != contact.conversation
            or cover.facts is not contact.facts
            or cover.outbound is not contact.outbound
            or cover.question is not contact.question
            or contact.outcome_reason not in SAID
        ):
            cover = self._cover(contact)
        if contact.state is ContactState.CLOSED:
            self._covers.pop(contact.id, None)
        if cover is None:
            return encode_row(contact)
        kept = [
            (name, value)
            for name in _BLANK_ROW
            if not is_said(name, value := getattr(contact, name))
        ]
        for name, _ in kept:
            setattr(contact, name, _BLANK_ROW[name])
        try:
            return encode_veiled_row(contact, cover.hidden)
        finally:
            for name, value in kept:
                setattr(contact, name, value)

    def _cover(self, contact: Contact) -> _Cover | None:
        """Seal anew; None: there is nothing to seal, or nothing to seal it with."""
        hidden = {
            name: value
            for name in _BLANK_ROW
            if (value := getattr(contact, name)) and not is_said(name, value)
        }
        if not hidden or not contact.seal_key:
            return None
        self.enveloped.pop(contact.id, None)
        sealed = self._seal(contact.seal_key, hidden)
        cover = self._covers[contact.id] = _cover_of(sealed, contact)
        return cover
