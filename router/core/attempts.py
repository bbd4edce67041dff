"""Attempts to reach a customer: decided, gone out, given up, and what became of them.

An attempt holds its place in the customer's frequency ledger from the decision on.
"""

from __future__ import annotations

from router.core import events as e
from router.core.edges import Edges
from router.core.facts import Outbound
from router.core.model import Contact, ContactState, Direction

NO_EXPECTATION = -1.0
LIVE_US = 10_000_000
"""Talk of this length counts as having reached the person."""


def goes_out(contact: Contact) -> bool:
    """We begin it, and know whom we would reach: permission and the ledger are asked."""
    return contact.direction is not Direction.INBOUND and bool(contact.customer)


def terms_of(contact: Contact) -> Outbound:
    """The terms of a contact that we begin, also where nobody gave any."""
    if contact.outbound is not None:
        return contact.outbound
    purpose = "callback" if contact.direction is Direction.CALLBACK else "service"
    return Outbound(purpose=purpose, latest_at_us=contact.not_after_us)


def is_to_go_out(contact: Contact) -> bool:
    """It waits for its moment, or for an agent who begins it.

    Not so where the customer has answered what we sent: then it is they who wait.
    """
    if contact.direction is Direction.INBOUND:
        return False
    if contact.state is not ContactState.QUEUED:
        return contact.state is ContactState.SCHEDULED
    terms = contact.outbound
    return terms is None or not (terms.sent_at_us and terms.is_settled)


def reserve(d: Edges, contact: Contact, for_at_us: int) -> None:
    """The next attempt, or the one that is not out yet, has its place at this moment."""
    terms = terms_of(contact)
    if terms.is_reserved and terms.reserved_at_us == for_at_us:
        return
    number = terms.tries if terms.is_reserved else terms.tries + 1
    window = terms.window
    d.emit(
        e.OutboundReserved(
            at_us=d.now_us,
            contact=contact.id,
            customer=contact.customer,
            attempt=f"{contact.id}/{number}",
            channel=window.channel if window else contact.channel,
            address=window.address if window else contact.address,
            purpose=terms.purpose,
            for_at_us=for_at_us,
        )
    )


def sent(d: Edges, contact: Contact, message: str = "") -> None:
    """It goes out now."""
    if not terms_of(contact).is_reserved:
        reserve(d, contact, d.calendar_us)
    terms = terms_of(contact)
    window = terms.window
    d.emit(
        e.OutboundSent(
            at_us=d.now_us,
            contact=contact.id,
            customer=contact.customer,
            attempt=terms.attempt,
            channel=contact.channel,
            address=contact.address,
            purpose=terms.purpose,
            sent_at_us=d.calendar_us,
            message=message,
            probability=window.probability if window else NO_EXPECTATION,
            explore=window.explore if window else False,
            propensity=window.propensity if window else 1.0,
            candidates=window.candidates if window else 1,
        )
    )


def release(d: Edges, contact: Contact, reason: str) -> None:
    """The attempt will not go out: its place in the ledger is free."""
    terms = contact.outbound
    if terms is None or not terms.is_reserved:
        return
    d.emit(
        e.OutboundReleased(
            at_us=d.now_us,
            contact=contact.id,
            customer=contact.customer,
            attempt=terms.attempt,
            reason=reason,
        )
    )


def settle(d: Edges, contact: Contact, outcome: str) -> None:
    """What became of the attempt that is out, if that is not known yet."""
    terms = contact.outbound
    if terms is None or not terms.sent_at_us or terms.is_settled:
        return
    d.emit(
        e.OutcomeRecorded(
            at_us=d.now_us,
            customer=contact.customer,
            channel=contact.channel,
            address=contact.address,
            attempt=terms.attempt,
            attempted_at_us=terms.sent_at_us,
            outcome=outcome,
            contact=contact.id,
            source="engine",
        )
    )
