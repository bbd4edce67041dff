from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.attempts import LIVE_US, goes_out, terms_of
from router.core.facts import Outbound
from router.core.model import Contact, ContactId, Direction
from router.core.outbound_events import NOT_BEGUN
from tests.core.centre import Centre, names, only

C1 = ContactId("c1")


def called(seconds: float) -> list[e.Event]:
    """An outbound call in which the customer is on the line for so long."""
    centre = Centre()
    centre.agent("ana")
    centre.submit(
        "c1", "voice", direction=Direction.OUTBOUND, customer="kim", peer_key="hash/voice/us"
    )
    centre.talk("c1")
    centre.wait(seconds)
    return centre.complete("c1")


def test_ten_seconds_of_talk_count_as_having_reached_the_person() -> None:
    assert LIVE_US == 10_000_000
    assert only(called(10), e.OutcomeRecorded).outcome == "answered"
    assert only(called(9.999999), e.OutcomeRecorded).outcome == "short"


def test_who_does_not_answer_is_tried_again_as_another_attempt() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit(
        "c1", "voice", direction=Direction.OUTBOUND, customer="kim", peer_key="hash/voice/us"
    )
    centre.accept("c1")
    reservation = centre.offer_of("c1").id
    events = centre.say(c.FailReservation(reservation=reservation, reason="no_answer"))
    assert only(events, e.OutcomeRecorded).outcome == "no_answer"
    centre.wait(30 * 60)
    events = centre.say(c.ProvideCustomer(contact=C1, customer="kim"))
    assert only(events, e.OutboundReserved).attempt == "c1/2"


@pytest.mark.parametrize("reason", sorted(NOT_BEGUN))
def test_a_call_that_was_never_dialled_is_no_attempt_without_an_answer(reason: str) -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit(
        "c1", "voice", direction=Direction.OUTBOUND, customer="kim", peer_key="hash/voice/us"
    )
    centre.accept("c1")
    reservation = centre.offer_of("c1").id
    events = centre.say(c.FailReservation(reservation=reservation, reason=reason))
    assert only(events, e.OutcomeRecorded).outcome == "not_sent"
    assert only(events, e.ContactScheduled).reason == reason


def test_a_place_in_the_ledger_is_taken_once_and_given_back_once() -> None:
    centre = Centre()
    events = centre.submit(
        "c1", "sms", direction=Direction.OUTBOUND, customer="kim", peer_key="hash/sms/us"
    )
    assert names(events).count("OutboundReserved") == 1
    events = centre.say(c.CancelContact(contact=C1))
    assert only(events, e.OutboundReleased).attempt == "c1/1"


def test_only_contacts_that_we_begin_with_somebody_known_go_out() -> None:
    made: dict[str, Any] = {"id": C1, "channel": "sms"}
    assert goes_out(Contact(**made, direction=Direction.OUTBOUND, customer="kim"))
    assert goes_out(Contact(**made, direction=Direction.CALLBACK, customer="kim"))
    assert not goes_out(Contact(**made, direction=Direction.OUTBOUND))
    assert not goes_out(Contact(**made, customer="kim"))


def test_a_callback_without_terms_is_for_the_purpose_of_a_callback_until_its_end() -> None:
    contact = Contact(id=C1, channel="voice", direction=Direction.CALLBACK, not_after_us=7)
    assert terms_of(contact) == Outbound(purpose="callback", latest_at_us=7)
    contact.outbound = Outbound(purpose="survey")
    assert terms_of(contact).purpose == "survey"
