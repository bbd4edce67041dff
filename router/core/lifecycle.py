"""The state machines, as tables: `state.py` moves by them, tests and docs are made from them.

Nothing here knows what an event does besides the move; an event that has no entry for the state it
meets is a broken invariant.
"""

from __future__ import annotations

from router.core import events as e
from router.core.model import ContactState as C
from router.core.model import Presence
from router.core.model import ReservationState as R

CONTACT: dict[tuple[C, type], C] = {
    (C.RECEIVED, e.ContactQueued): C.QUEUED,
    (C.RECEIVED, e.ContactScheduled): C.SCHEDULED,
    (C.RECEIVED, e.ContactClosed): C.CLOSED,
    (C.SCHEDULED, e.ContactQueued): C.QUEUED,
    (C.SCHEDULED, e.ContactSwitched): C.SCHEDULED,
    (C.SCHEDULED, e.ContactParked): C.PARKED,
    (C.SCHEDULED, e.ContactScheduled): C.SCHEDULED,
    (C.SCHEDULED, e.ContactClosed): C.CLOSED,
    (C.QUEUED, e.ContactOffered): C.OFFERED,
    (C.QUEUED, e.ContactQueued): C.QUEUED,
    (C.QUEUED, e.ContactOverflowed): C.QUEUED,
    (C.QUEUED, e.ContactRelaxed): C.QUEUED,
    (C.QUEUED, e.ContactReprioritized): C.QUEUED,
    (C.QUEUED, e.RequirementsChanged): C.QUEUED,
    (C.QUEUED, e.HoldEnded): C.QUEUED,
    (C.QUEUED, e.CoolDownEnded): C.QUEUED,
    (C.QUEUED, e.ContactSwitched): C.QUEUED,
    (C.QUEUED, e.ContactScheduled): C.SCHEDULED,
    (C.QUEUED, e.ContactClosed): C.CLOSED,
    (C.OFFERED, e.ContactOffered): C.OFFERED,
    (C.OFFERED, e.OfferAccepted): C.ACTIVE,
    (C.OFFERED, e.ContactReturned): C.QUEUED,
    (C.OFFERED, e.CoolDownEnded): C.OFFERED,
    (C.ACTIVE, e.CoolDownEnded): C.ACTIVE,
    (C.PARKED, e.CoolDownEnded): C.PARKED,
    (C.SCHEDULED, e.CoolDownEnded): C.SCHEDULED,
    (C.OFFERED, e.ContactClosed): C.CLOSED,
    (C.ACTIVE, e.ContactReturned): C.QUEUED,
    (C.ACTIVE, e.ContactQueued): C.QUEUED,
    (C.ACTIVE, e.ContactSwitched): C.ACTIVE,
    (C.ACTIVE, e.ContactParked): C.PARKED,
    (C.ACTIVE, e.ContactScheduled): C.SCHEDULED,
    (C.ACTIVE, e.ContactClosed): C.CLOSED,
    (C.PARKED, e.ContactQueued): C.QUEUED,
    (C.PARKED, e.ContactSwitched): C.PARKED,
    (C.PARKED, e.ContactScheduled): C.SCHEDULED,
    (C.PARKED, e.ContactClosed): C.CLOSED,
}

RESERVATION: dict[tuple[R, type], R] = {
    (R.OFFERED, e.OfferAccepted): R.ACCEPTED,
    (R.OFFERED, e.OfferRejected): R.REJECTED,
    (R.OFFERED, e.OfferExpired): R.EXPIRED,
    (R.OFFERED, e.OfferRescinded): R.RESCINDED,
    (R.OFFERED, e.ReservationFailed): R.FAILED,
    (R.ACCEPTED, e.ReservationConnecting): R.CONNECTING,
    (R.ACCEPTED, e.ReservationConnected): R.CONNECTED,
    (R.ACCEPTED, e.ReservationEnded): R.DONE,
    (R.ACCEPTED, e.ReservationFailed): R.FAILED,
    (R.CONNECTING, e.ReservationConnected): R.CONNECTED,
    (R.CONNECTING, e.ReservationFailed): R.FAILED,
    (R.CONNECTING, e.ReservationEnded): R.DONE,
    (R.CONNECTED, e.CustomerHeld): R.CONNECTED,
    (R.CONNECTED, e.CustomerResumed): R.CONNECTED,
    (R.CONNECTED, e.ReservationMoved): R.CONNECTED,
    (R.CONNECTED, e.ReservationSuspended): R.SUSPENDED,
    (R.CONNECTED, e.ReservationConnecting): R.CONNECTING,
    (R.CONNECTED, e.WrapUpStarted): R.WRAPPING,
    (R.CONNECTED, e.ReservationEnded): R.DONE,
    (R.CONNECTED, e.ReservationFailed): R.FAILED,
    (R.SUSPENDED, e.ReservationResumed): R.CONNECTED,
    (R.SUSPENDED, e.ReservationEnded): R.DONE,
    (R.SUSPENDED, e.ReservationFailed): R.FAILED,
    (R.WRAPPING, e.WrapUpExtended): R.WRAPPING,
    (R.WRAPPING, e.ReservationEnded): R.DONE,
}

PRESENCE: dict[tuple[Presence, Presence], bool] = {(a, b): True for a in Presence for b in Presence}
"""Every declared presence may follow every other; kept as a table so that the docs draw it."""

OPEN: frozenset[R] = frozenset(
    {R.OFFERED, R.ACCEPTED, R.CONNECTING, R.CONNECTED, R.SUSPENDED, R.WRAPPING}
)
"""Reservation states that belong to an agent's load."""

SERVING: frozenset[R] = frozenset({R.ACCEPTED, R.CONNECTING, R.CONNECTED, R.SUSPENDED})
"""Reservation states in which the agent has the contact."""


def contact_after(state: C, event: type) -> C:
    """The contact's next state; asserts that the table has one."""
    after = CONTACT.get((state, event))
    assert after is not None, f"contact {state}: no transition for {event.__name__}"
    return after


def reservation_after(state: R, event: type) -> R:
    """The reservation's next state; asserts that the table has one."""
    after = RESERVATION.get((state, event))
    assert after is not None, f"reservation {state}: no transition for {event.__name__}"
    return after
