"""Commands about customers: what is said of them, and what that means for contacts under way.

The engine keeps no customers. The runtime has completed each command from the customer's row, and
changes the row by the events that come of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.core import commands as c
from router.core import customer_commands as cc
from router.core import events as e
from router.core.attempts import is_to_go_out, settle
from router.core.decide import Decider
from router.core.effects import DeliverMessage
from router.core.model import Contact, ContactOutcome, ContactState, Direction
from router.core.permission_facts import ConsentState
from router.errors import Refused

LATER = (ContactState.SCHEDULED, ContactState.PARKED)


def change_customer(d: Decider, command: cc.ChangeCustomer) -> None:
    """The profile and identities as the runtime has found them to change."""
    if command.fields:
        d.emit(
            e.CustomerChanged(
                at_us=d.now_us,
                customer=command.customer,
                fields=command.fields,
                sealed=command.sealed,
                seal_key=command.seal_key,
                by=command.by,
            )
        )
    for identity in command.sealed_identities:
        d.emit(
            e.IdentityAdded(
                at_us=d.now_us,
                customer=command.customer,
                kind=identity.kind,
                hash=identity.hash,
                sealed=identity.sealed,
                seal_key=command.seal_key,
                by=command.by,
            )
        )
    for id_ in command.contacts:
        d.emit(
            e.ContactUpdated(at_us=d.now_us, contact=id_, customer=command.customer, by=command.by)
        )
    for hash_ in command.remove:
        d.emit(
            e.IdentityRemoved(at_us=d.now_us, customer=command.customer, hash=hash_, by=command.by)
        )


def merge_customers(d: Decider, command: cc.MergeCustomers) -> None:
    """All of one customer goes over to another; contacts under way go along."""
    d.emit(
        e.CustomersMerged(
            at_us=d.now_us, customer=command.customer, into=command.into, by=command.by
        )
    )
    for id_ in d.state.contacts_of(command.customer):
        d.emit(e.ContactUpdated(at_us=d.now_us, contact=id_, customer=command.into, by=command.by))


def change_consent(d: Decider, command: cc.ChangeConsent) -> None:
    """Consent given, or withdrawn: then what it allowed and is not out yet is cancelled."""
    d.emit(
        e.ConsentChanged(
            at_us=d.now_us,
            customer=command.customer,
            state=command.state,
            said_at_us=d.calendar_us,
            channel=command.channel,
            address=command.address,
            purpose=command.purpose,
            source=command.source,
            by=command.by,
        )
    )
    if command.state is ConsentState.WITHDRAWN:
        _cancel(d, command.customer, command.channel, command.address, command.purpose, command.by)


def change_do_not_contact(d: Decider, command: cc.ChangeDoNotContact) -> None:
    """A block set or lifted; one that is set cancels what is not out yet, at once."""
    d.emit(
        e.DoNotContactChanged(
            at_us=d.now_us,
            customer=command.customer,
            said_at_us=d.calendar_us,
            lifted=command.lifted,
            channel=command.channel,
            address=command.address,
            source=command.source,
            asked_from=command.asked_from,
            by=command.by,
        )
    )
    if not command.lifted:
        _cancel(d, command.customer, command.channel, command.address, "", command.by)


def record_outcome(d: Decider, command: cc.RecordOutcome) -> None:
    """What became of an attempt, as somebody outside says."""
    d.emit(
        e.OutcomeRecorded(
            at_us=d.now_us,
            customer=command.customer,
            channel=command.channel,
            address=command.address,
            attempt=command.attempt,
            attempted_at_us=command.attempted_at_us,
            outcome=command.outcome,
            contact=command.contact,
            source=command.source,
        )
    )


def erase_customer(d: Decider, command: cc.EraseCustomer) -> None:
    """Contacts that nobody has are closed; refused while an agent, or the line, has one."""
    for contact in _contacts(d, command.customer):
        if contact.state not in LATER and not is_to_go_out(contact):
            raise Refused(
                "contact_live",
                f"contact {contact.id!r} of this customer is {contact.state}: "
                "complete or cancel it first",
            )
    for contact in _contacts(d, command.customer):
        if contact.id in d.state.contacts:  # a consult ends with what it is about
            d.close(contact, ContactOutcome.CANCELLED, "customer_erased", by=command.by)
    d.emit(e.CustomerErased(at_us=d.now_us, customer=command.customer, by=command.by))


def hear_keyword(d: Decider, command: c.HearKeyword) -> None:
    """The customer's whole message is STOP, or its like: it takes effect before anything else.

    The message joins the open contact without waking anybody; where none is open, one begins and
    ends here, so that it is on record. One reply, where there is one, says what was understood.
    """
    asked = command.asked
    change_do_not_contact(d, asked)
    new = command.contact
    contact_id = d.state.by_peer.get(new.peer_key)
    contact = d.state.contacts.get(contact_id) if contact_id else None
    if contact is None:
        contact, ends = _begin(d, new), True
    else:
        # A reply to what we sent first: there is nobody to write to any more.
        is_ours = contact.direction is not Direction.INBOUND
        ends = is_ours and contact.state is ContactState.PARKED and not asked.lifted
        settle(d, contact, "replied" if asked.lifted else "refused")
    d.contact_id = contact.id
    d.emit(
        e.MessageReceived(
            at_us=d.now_us, contact=contact.id, message=command.message, size=command.size
        )
    )
    if command.reply:
        d.emit(
            e.MessageSent(
                at_us=d.now_us, contact=contact.id, message=command.reply, size=command.reply_size
            )
        )
        d.effects.append(
            DeliverMessage(channel=contact.channel, contact=contact.id, message=command.reply)
        )
    if ends:
        d.close(contact, ContactOutcome.DEFLECTED, "keyword")


def _begin(d: Decider, new: c.SubmitContact) -> Contact:
    """A contact that carries nothing but the keyword and our reply."""
    point = d.policy.entry_points.get(new.entry_point)
    d.emit(
        e.ContactReceived(
            at_us=d.now_us,
            contact=new.contact,
            channel=new.channel,
            entry_point=new.entry_point,
            queue=new.queue or (point.queue if point else new.queue),
            customer=new.customer,
            external_id=new.external_id,
            conversation=new.conversation,
            peer_key=new.peer_key,
            sealed=new.sealed,
            seal_key=new.seal_key,
            by=new.by,
        )
    )
    return d.state.contacts[new.contact]


def _cancel(d: Decider, customer: str, channel: str, address: str, purpose: str, by: str) -> None:
    """Close what would go out to this customer against what they have just said."""
    for contact in _contacts(d, customer):
        terms = contact.outbound
        if (
            contact.id in d.state.contacts
            and is_to_go_out(contact)
            and channel in ("", contact.channel)
            and address in ("", contact.address)
            and purpose in ("", terms.purpose if terms is not None else purpose)
        ):
            d.close(contact, ContactOutcome.CANCELLED, "customer_objected", by=by)


def _contacts(d: Decider, customer: str) -> list[Contact]:
    return [d.state.contacts[id_] for id_ in d.state.contacts_of(customer)]


Handler = Callable[[Decider, Any], None]

HANDLERS: dict[type, Handler] = {
    cc.ChangeCustomer: change_customer,
    cc.MergeCustomers: merge_customers,
    cc.ChangeConsent: change_consent,
    cc.ChangeDoNotContact: change_do_not_contact,
    cc.RecordOutcome: record_outcome,
    cc.EraseCustomer: erase_customer,
    c.HearKeyword: hear_keyword,
}
