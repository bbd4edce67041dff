from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.effects import ConnectAgent, RescindOffer
from router.core.model import FOR_EVER_US, SECOND_US, AgentId, ContactId, QueueId, ReservationId
from router.core.offers import HANDLERS
from router.core.policy import Decline, Full, Limit, MissAction, Queue
from router.errors import NotFound, Refused
from tests.core.centre import Centre, names, only, policy

R1 = ReservationId("r1")
C1 = ContactId("c1")


def centre_with(*agents: str, **queue: Any) -> Centre:
    centre = Centre(policy(Queue(id=QueueId("q"), **queue)))
    for name in agents:
        centre.agent(name)
    return centre


def test_of_two_who_are_asked_the_first_gets_it_and_the_other_is_told() -> None:
    centre = centre_with("ana", "bo", parallel=2)
    centre.submit("c1")
    assert centre.agents_of("c1") == ["ana", "bo"]
    events = centre.say(c.AcceptOffer(reservation=ReservationId("r2"), agent=AgentId("bo")))
    assert names(events) == ["OfferAccepted", "OfferRescinded", "ReservationConnected"]
    assert [ef.agent for ef in centre.effects if isinstance(ef, RescindOffer)] == ["ana"]
    with pytest.raises(Refused) as refused:
        centre.say(c.AcceptOffer(reservation=R1, agent=AgentId("ana")))
    assert refused.value.code == "gone"


def test_accepting_twice_is_answered_twice_and_done_once() -> None:
    centre = centre_with("ana")
    centre.submit("c1")
    centre.accept("c1")
    assert centre.say(c.AcceptOffer(reservation=R1, agent=AgentId("ana"))) == []
    assert centre.contact == "c1"


def test_nobody_accepts_for_somebody_else() -> None:
    centre = centre_with("ana", "bo")
    centre.submit("c1")
    with pytest.raises(NotFound):
        centre.say(c.AcceptOffer(reservation=R1, agent=AgentId("bo")))


def test_an_accept_at_the_last_moment_is_in_time_and_one_after_is_not() -> None:
    in_time, late = centre_with("ana"), centre_with("ana")
    for centre in (in_time, late):
        centre.submit("c1")
    in_time.wait(19.999999)
    assert names(in_time.accept("c1"))[0] == "OfferAccepted"
    late.wait(20)
    with pytest.raises(Refused):
        late.say(c.AcceptOffer(reservation=R1))


def test_a_rejected_contact_goes_to_the_next_and_comes_back_after_the_cool_down() -> None:
    centre = centre_with("ana", "bo", decline=Decline(cool_down_us=30 * SECOND_US))
    centre.submit("c1", "voice")
    centre.say(c.RejectOffer(reservation=R1, agent=AgentId("ana"), reason="busy"))
    assert centre.agents_of("c1") == ["bo"]
    centre.say(c.RejectOffer(reservation=ReservationId("r2")))
    assert centre.of("c1").state == "queued"
    centre.wait(29)
    assert centre.of("c1").state == "queued"
    centre.wait(1)
    assert centre.agents_of("c1") == ["ana"]


def test_only_an_open_offer_can_be_rejected() -> None:
    centre = centre_with("ana")
    centre.submit("c1")
    centre.accept("c1")
    with pytest.raises(Refused, match="is connected"):
        centre.say(c.RejectOffer(reservation=R1))


@pytest.mark.parametrize(
    ("action", "presence", "again_after_s"),
    [
        (MissAction.NOT_READY, "not_ready", None),
        (MissAction.COOL_DOWN, "ready", 30),
        (MissAction.NOTHING, "ready", 0),
    ],
)
def test_a_missed_offer_does_what_the_policy_says(
    action: MissAction, presence: str, again_after_s: int | None
) -> None:
    centre = centre_with("ana", decline=Decline(on_miss=action, cool_down_us=30 * SECOND_US))
    idle_us = centre.who("ana").idle_since_us
    centre.submit("c1")
    assert "OfferExpired" in names(centre.wait(20))
    assert centre.who("ana").presence == presence
    assert centre.who("ana").idle_since_us == idle_us
    if again_after_s is None:
        assert centre.who("ana").reason == "rona"
        centre.wait(600)
        assert centre.of("c1").state == "queued"
        centre.ready("ana")
    else:
        centre.wait(again_after_s)
    assert centre.agents_of("c1") == ["ana"]


def test_a_miss_moves_the_contact_forward_where_the_queue_gives_a_bonus() -> None:
    centre = centre_with("ana", decline=Decline(bonus_us=7 * SECOND_US))
    centre.submit("c1", head_start_us=SECOND_US)
    returned = only(centre.wait(20), e.ContactReturned)
    assert returned.head_start_us == 8 * SECOND_US


def test_after_so_many_declines_the_agent_is_excluded_for_this_visit() -> None:
    centre = centre_with("ana", decline=Decline(exclude_after=2, cool_down_us=SECOND_US))
    centre.submit("c1")
    for _ in range(2):
        centre.say(c.RejectOffer(reservation=centre.offer_of("c1").id))
        centre.wait(1)
    assert centre.of("c1").excluded == {"ana": FOR_EVER_US}
    assert centre.of("c1").state == "queued"


def test_a_contact_is_not_offered_for_ever() -> None:
    limit = Limit(action=Full.DEFLECT, text="Please write to us.")
    decline = Decline(on_miss=MissAction.NOTHING, offers=3, exhausted=limit)
    centre = centre_with("ana", decline=decline)
    centre.submit("c1")
    events = centre.wait(60)
    assert names(events).count("OfferExpired") == 3
    assert only(events, e.ContactClosed).reason == "too_many_offers"


def test_a_leg_that_does_not_come_up_counts_against_a_busy_endpoint_only() -> None:
    for busy in (False, True):
        centre = centre_with("ana")
        centre.agent("bo", ready=False)
        centre.submit("c1", "voice")
        centre.accept("c1")
        assert any(isinstance(effect, ConnectAgent) for effect in centre.effects)
        centre.ready("bo")
        centre.wait(1)
        centre.say(c.FailReservation(reservation=R1, reason="no answer", busy=busy))
        assert centre.of("c1").declines == ({"ana": 1} if busy else {})
        assert centre.agents_of("c1") == ["bo"]  # ana's last reservation has just ended


def test_an_offer_that_is_answered_by_phone_is_accepted_by_that() -> None:
    centre = centre_with("ana")
    centre.submit("c1", "voice")
    events = centre.say(c.ConnectReservation(reservation=R1))
    assert names(events) == ["OfferAccepted", "ReservationConnected"]
    assert centre.say(c.ConnectReservation(reservation=R1)) == []


def test_a_reservation_in_wrap_up_neither_connects_nor_fails() -> None:
    centre = centre_with("ana", wrap_up_us={"voice": 60 * SECOND_US})
    centre.submit("c1", "voice")
    centre.talk("c1")
    centre.complete("c1")
    for command in (
        c.ConnectReservation(reservation=R1),
        c.FailReservation(reservation=R1, reason="late"),
        c.AcceptOffer(reservation=R1),
    ):
        with pytest.raises(Refused) as refused:
            centre.say(command)
        assert refused.value.code == "gone"


def test_pulling_passes_order_and_skills_but_not_room() -> None:
    centre = centre_with()
    for name in ("c1", "c2", "c3"):
        centre.submit(name, "voice", requirements=(("rare", 9),))
    centre.agent("ana")
    events = centre.say(c.PullContact(contact=ContactId("c2"), agent=AgentId("ana"), by="sue"))
    decision = only(events, e.ContactOffered).decision
    assert (decision.edge, decision.winner.terms[0].value) == ("pull", "sue")
    with pytest.raises(Refused, match="has no room"):
        centre.say(c.PullContact(contact=ContactId("c3"), agent=AgentId("ana")))
    with pytest.raises(Refused, match="offered to 'ana' already"):
        centre.say(c.PullContact(contact=ContactId("c2"), agent=AgentId("ana")))
    centre.away("ana")
    with pytest.raises(Refused, match="is not_ready"):
        centre.say(c.PullContact(contact=ContactId("c3"), agent=AgentId("ana")))


def test_who_pulls_for_themselves_has_accepted() -> None:
    centre = centre_with()
    centre.submit("c1", requirements=(("rare", 9),))
    centre.agent("ana")
    events = centre.say(c.PullContact(contact=C1, agent=AgentId("ana"), by="ana"))
    assert names(events) == ["ContactOffered", "OfferAccepted", "ReservationConnected"]


def test_a_customer_who_is_not_reached_is_tried_again_and_then_given_up() -> None:
    settings = policy(callback_attempts=2, callback_retry_us=60 * SECOND_US)
    centre = Centre(settings)
    centre.agent("ana")
    centre.submit("c0", "voice")
    centre.say(c.RequestCallback(contact=ContactId("c0"), callback=C1))
    centre.accept("c1")
    events = centre.say(c.FailReservation(reservation=centre.offer_of("c1").id, reason="no answer"))
    assert names(events) == ["ReservationFailed", "ContactScheduled"]
    centre.wait(60)
    centre.accept("c1")
    events = centre.say(c.FailReservation(reservation=centre.offer_of("c1").id, reason="no answer"))
    assert only(events, e.ContactClosed).outcome == "failed"


def test_an_agent_who_accepts_automatically_is_not_asked() -> None:
    centre = centre_with()
    centre.agent("ana", auto_accept=("chat",))
    assert names(centre.submit("c1"))[-2:] == ["OfferAccepted", "ReservationConnected"]
    centre.submit("c2", "sms")
    assert centre.of("c2").state == "offered"


def test_these_are_the_commands_about_offers() -> None:
    assert sorted(kind.__name__ for kind in HANDLERS) == [
        "AcceptOffer", "ConnectReservation", "FailReservation", "PullContact", "RejectOffer",
    ]  # fmt: skip
