from __future__ import annotations

from typing import Any

from router.core import apply_outbound, state
from router.core import events as e
from router.core.facts import Outbound
from router.core.model import Contact, ContactId
from router.core.state import APPLY, State

C1 = ContactId("c1")
WHO: dict[str, Any] = {"at_us": 5, "contact": C1, "customer": "kim"}
WHERE: dict[str, Any] = {**WHO, "channel": "sms", "address": "hash", "purpose": "service"}


def world() -> tuple[State, Contact]:
    made = State()
    contact = made.contacts[C1] = Contact(id=C1, channel="sms", outbound=Outbound(template="t"))
    return made, contact


def reserved(attempt: str, at_us: int) -> e.OutboundReserved:
    return e.OutboundReserved(**WHERE, attempt=attempt, for_at_us=at_us)


def test_attempts_are_counted_once_each_however_often_their_moment_moves() -> None:
    made, contact = world()
    for attempt, at_us in (("c1/1", 10), ("c1/1", 20), ("c1/2", 30)):
        made.apply(reserved(attempt, at_us))
    assert contact.outbound is not None
    assert (contact.outbound.tries, contact.outbound.reserved_at_us) == (2, 30)
    assert contact.outbound.template == "t"


def test_what_is_sent_is_no_reservation_any_more_and_not_settled_yet() -> None:
    made, contact = world()
    made.apply(reserved("c1/1", 10))
    made.apply(e.OutboundSent(**WHERE, attempt="c1/1", sent_at_us=11))
    terms = contact.outbound
    assert terms is not None
    assert (terms.is_reserved, terms.sent_at_us, terms.is_settled) == (False, 11, False)


def test_only_the_outcome_of_the_last_attempt_settles_it() -> None:
    made, contact = world()
    made.apply(reserved("c1/2", 10))
    made.apply(e.OutboundSent(**WHERE, attempt="c1/2", sent_at_us=11))
    told = {**WHERE, "attempted_at_us": 1, "outcome": "replied"}
    del told["purpose"]
    made.apply(e.OutcomeRecorded(**told, attempt="c1/1"))
    assert contact.outbound is not None
    assert not contact.outbound.is_settled
    made.apply(e.OutcomeRecorded(**told, attempt="c1/2"))
    assert contact.outbound.is_settled


def test_an_outcome_of_a_contact_that_is_over_changes_nothing() -> None:
    made, _ = world()
    told = {**WHERE, "contact": ContactId("gone"), "attempted_at_us": 1, "outcome": "replied"}
    del told["purpose"]
    made.apply(e.OutcomeRecorded(**told, attempt="gone/1"))
    assert made.drain().upserts == []


def test_every_outbound_event_has_its_handler_here() -> None:
    mine = {
        event for event, handler in APPLY.items() if handler.__module__ == apply_outbound.__name__
    }
    assert mine == {e.OutboundReserved, e.OutboundSent, e.OutboundReleased, e.OutcomeRecorded}
    assert state.APPLY is APPLY
