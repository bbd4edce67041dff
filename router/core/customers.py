"""What events change in a customer's row. The only code that changes one.

Pure: the runtime fetches and opens rows, and opens what an event carries sealed; the same events
in the same order give the same row. Nothing here refuses: what may not happen was refused before
it was decided (`check_*`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from router.core import events as e
from router.core import ledger
from router.core.consent import block, renewed, with_block, with_consent, without_block
from router.core.customer_model import (
    MOST_IDENTITIES,
    MOST_MERGED,
    Customer,
    CustomerPatch,
    Identity,
)
from router.core.facts import CustomerFacts
from router.core.model import Contact
from router.core.outbound_events import NOT_SENT
from router.core.permission import merged_facts
from router.core.permission_facts import (
    Consent,
    ConsentState,
    DoNotContact,
    LedgerEntry,
    PermissionFacts,
)
from router.errors import Refused

UNCHANGED = CustomerPatch()


def apply(row: Customer, event: e.Event, part: CustomerPatch | Identity | None = None) -> None:
    """Make one event true; `part` is what the event carries sealed. See `FOLDS` for which events.

    `CustomersMerged` has a function of its own: it concerns two rows.
    """
    FOLDS[type(event)](row, event, part)


def close(row: Customer, contact: Contact, at_us: int) -> None:
    """A contact of this customer has ended; `at_us` is its end in calendar time."""
    if contact.consult_of:
        return
    row.contacts += 1
    if at_us >= row.last_contact_at_us:
        row.last_contact_at_us = at_us
        row.last_channel = contact.channel
        row.last_segment = contact.segment or row.last_segment
        row.last_agent = contact.last_agent or row.last_agent


def merge(into: Customer, other: Customer) -> None:
    """Two rows become one: nobody's objection is lost; where both say something, `into` counts.

    Raises Refused where the one row would be too large.
    """
    both = merged_facts(permission_facts(into), permission_facts(other))
    own = dict.fromkeys(identity.hash for identity in into.identities)
    identities = (*into.identities, *(i for i in other.identities if i.hash not in own))
    merged_from = (*into.merged_from, *other.merged_from, other.id)
    if len(identities) > MOST_IDENTITIES or len(merged_from) > MOST_MERGED:
        raise Refused(
            "too_many_identities",
            f"expected at most {MOST_IDENTITIES} identities and {MOST_MERGED} merged customers, "
            f"got {len(identities)} and {len(merged_from)}",
        )
    into.identities, into.merged_from = identities, merged_from
    into.consents, into.do_not_contact = both.consents, both.do_not_contact
    into.quiet, into.ledger = both.quiet, both.ledger
    into.attributes = {**other.attributes, **into.attributes}
    for name in ("name", "segment", "language", "zone", "profile"):
        setattr(into, name, getattr(into, name) or getattr(other, name))
    into.watched = into.watched or other.watched
    into.contacts += other.contacts
    if other.last_contact_at_us > into.last_contact_at_us:
        into.last_contact_at_us = other.last_contact_at_us
        into.last_channel, into.last_agent = other.last_channel, other.last_agent
        into.last_segment = other.last_segment or into.last_segment
    into.created_at_us = min(into.created_at_us or other.created_at_us, other.created_at_us)
    into.version += 1


def tombstone(other: Customer, into: str) -> Customer:
    """What is left of a customer who was merged into another one."""
    return Customer(id=other.id, merged_into=into, version=other.version + 1)


def patched(row: Customer, patch: CustomerPatch, *, whole: bool) -> CustomerPatch:
    """What a change comes to: only what differs. `whole`: what is not given goes to its default.

    Otherwise attributes are merged, and a null removes one.
    """
    wanted = msgspec.structs.asdict(patch)
    if whole:
        for name, value in wanted.items():
            if value is None:
                wanted[name] = getattr(EMPTY, name)
    attributes = {**({} if whole else row.attributes), **(wanted["attributes"] or {})}
    wanted["attributes"] = {key: value for key, value in attributes.items() if value is not None}
    changed = {
        name: value
        for name, value in wanted.items()
        if value is not None and value != getattr(row, name)
    }
    return CustomerPatch(**changed)


def fields_of(patch: CustomerPatch) -> tuple[str, ...]:
    """Names of what a patch changes."""
    return tuple(name for name in patch.__struct_fields__ if getattr(patch, name) is not None)


def facts_of(row: Customer) -> CustomerFacts:
    """What rules see of a customer."""
    return CustomerFacts(
        known=True,
        attributes=row.attributes,
        segment=row.segment,
        language=row.language,
        zone=row.zone,
        contacts=row.contacts,
        last_contact_at_us=row.last_contact_at_us,
        last_channel=row.last_channel,
        last_agent=row.last_agent,
        do_not_contact=block(row.do_not_contact, "", "") is not None,
        watched=row.watched,
    )


def permission_facts(row: Customer, zones: tuple[str, ...] = ()) -> PermissionFacts:
    """What decides whether the customer may be contacted; `zones` where none was given by hand."""
    return PermissionFacts(
        zones=(row.zone,) if row.zone else zones,
        consents=row.consents,
        do_not_contact=row.do_not_contact,
        quiet=row.quiet,
        ledger=row.ledger,
    )


def with_objections(facts: PermissionFacts, owner: Customer) -> PermissionFacts:
    """The same for an address that is another customer's: what they objected to holds, too."""
    withdrawn = (said for said in owner.consents if said.state is ConsentState.WITHDRAWN)
    return msgspec.structs.replace(
        facts,
        do_not_contact=(*facts.do_not_contact, *owner.do_not_contact),
        consents=(*facts.consents, *withdrawn),
    )


def check_version(row: Customer | None, asked: int) -> None:
    """Raises Refused `version` unless the customer has the version asked for; 0 = is not there."""
    if asked < 0:
        return
    version = 0 if row is None else row.version
    if version != asked:
        raise Refused("version", f"customer has version {version}, not {asked}")


def check_consent(row: Customer, said: Consent) -> None:
    """Raises Refused for one statement too many."""
    with_consent(row.consents, said)


def consent_of(event: e.ConsentChanged) -> Consent:
    """The statement that an event carries."""
    return Consent(
        state=event.state,
        at_us=event.said_at_us,
        channel=event.channel,
        address=event.address,
        purpose=event.purpose,
        source=event.source,
    )


def _changed(row: Customer, event: e.CustomerChanged, part: CustomerPatch) -> None:
    for name in fields_of(part):
        setattr(row, name, getattr(part, name))
    row.created_at_us = row.created_at_us or event.at_us
    row.version += 1


def _identity_added(row: Customer, event: e.IdentityAdded, part: Identity) -> None:
    # One that is there already keeps its place: the first of its kind is who we call by default.
    hashes = [identity.hash for identity in row.identities]
    place = hashes.index(event.hash) if event.hash in hashes else len(hashes)
    row.identities = (*row.identities[:place], part, *row.identities[place + 1 :])
    row.version += 1


def _identity_removed(row: Customer, event: e.IdentityRemoved, _: None) -> None:
    row.identities = tuple(i for i in row.identities if i.hash != event.hash)
    # It stands in the address's own row, whoever's that is from now on.
    row.do_not_contact = tuple(b for b in row.do_not_contact if b.address != event.hash)
    row.version += 1


def _consent(row: Customer, event: e.ConsentChanged, _: None) -> None:
    said = consent_of(event)
    row.consents = with_consent(row.consents, said)
    if said.state is ConsentState.GIVEN and said.address:
        after = (renewed(b, said) if b.address == said.address else b for b in row.do_not_contact)
        row.do_not_contact = tuple(b for b in after if b is not None)
    row.version += 1


def _do_not_contact(row: Customer, event: e.DoNotContactChanged, _: None) -> None:
    if not event.lifted:
        row.do_not_contact = with_block(
            row.do_not_contact,
            DoNotContact(
                at_us=event.said_at_us,
                channel=event.channel,
                address=event.address,
                source=event.source,
                asked_from=event.asked_from,
            ),
        )
    elif event.asked_from:
        row.do_not_contact = tuple(
            standing
            for standing in row.do_not_contact
            if standing.asked_from != event.asked_from
            or standing.channel not in ("", event.channel)
        )
    else:
        row.do_not_contact = without_block(row.do_not_contact, event.channel, event.address)
    row.version += 1


def _reserved(row: Customer, event: e.OutboundReserved, _: None) -> None:
    if any(entry.sent and entry.id == event.attempt for entry in row.ledger):
        return  # what has happened stays
    kept = tuple(entry for entry in row.ledger if entry.id != event.attempt)
    # Full: the oldest goes. What was decided is entered whatever else stands there.
    kept = kept[max(0, len(kept) - ledger.MOST_ENTRIES + 1) :]
    row.ledger = ledger.reserve(
        kept,
        LedgerEntry(event.for_at_us, event.channel, event.address, event.purpose, event.attempt),
    )


def _sent(row: Customer, event: e.OutboundSent, _: None) -> None:
    row.ledger = ledger.confirm(
        row.ledger,
        LedgerEntry(event.sent_at_us, event.channel, event.address, event.purpose, event.attempt),
    )[-ledger.MOST_ENTRIES :]


def _released(row: Customer, event: e.OutboundReleased, _: None) -> None:
    row.ledger = ledger.release(row.ledger, event.attempt)


def _outcome(row: Customer, event: e.OutcomeRecorded, _: None) -> None:
    # Otherwise it is for the learned preference alone.
    if event.outcome == NOT_SENT:
        row.ledger = ledger.undone(row.ledger, event.attempt)


Fold = Callable[[Customer, Any, Any], None]
FOLDS: dict[type, Fold] = {
    e.CustomerChanged: _changed,
    e.IdentityAdded: _identity_added,
    e.IdentityRemoved: _identity_removed,
    e.ConsentChanged: _consent,
    e.DoNotContactChanged: _do_not_contact,
    e.OutboundReserved: _reserved,
    e.OutboundSent: _sent,
    e.OutboundReleased: _released,
    e.OutcomeRecorded: _outcome,
}
"""Events that concern one row."""
EMPTY = Customer(id="", by_address=True)
"""A customer of whom nothing is known."""


def counts_for(contact: Contact) -> bool:
    """Does the end of this contact say something about its customer?"""
    return bool(contact.customer) and not contact.consult_of
