from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.decide import Decider
from router.core.effects import EndContact
from router.core.model import SECOND_US, AgentId, ContactId, ContactOutcome, Direction, QueueId
from router.core.policy import Decline, Full, Hours, HoursSpan, Limit, Queue
from tests.core.centre import START_US, Centre, names, only, policy, profiles

NIGHT = Hours(id="night", spans=(HoursSpan((0, 1, 2, 3, 4, 5, 6), 20 * 60, 22 * 60),))
"""Closed at START_US, a Friday at 08:00 UTC; opens at 20:00."""


def two(**first: Any) -> Centre:
    return Centre(
        policy(
            Queue(id=QueueId("q"), **first),
            Queue(id=QueueId("r"), targets_us={"chat": 5 * SECOND_US}, requirements=(("vip", 1),)),
            profiles=profiles(all=[("q", 1)], other=[("r", 1)]),
            hours={"night": NIGHT},
        )
    )


def test_a_key_is_due_after_the_target_less_the_head_start() -> None:
    centre = two(targets_us={"chat": 45 * SECOND_US}, tiers={"chat": 2})
    queued = only(centre.submit("c1", head_start_us=7), e.ContactQueued)
    assert (queued.tier, queued.head_start_us) == (2, 7)
    assert queued.due_at_us == START_US + 45 * SECOND_US
    assert only(centre.submit("c2", tier=0), e.ContactQueued).tier == 0


def test_the_queue_adds_its_own_requirements() -> None:
    centre = two()
    centre.submit("c1", queue=QueueId("r"), requirements=(("vip", 4), ("en", 1)))
    assert centre.of("c1").requirements == (("en", 1), ("vip", 4))


def test_a_target_counts_open_hours_only() -> None:
    centre = two(hours="night", targets_us={"chat": 60 * SECOND_US})
    opens_us = START_US + 12 * 3600 * SECOND_US
    queued = only(centre.submit("c1"), e.ContactQueued)
    assert queued.due_at_us == opens_us + 60 * SECOND_US


@pytest.mark.parametrize(
    ("action", "happens"),
    [
        (Full.QUEUE, ["ContactReceived", "ContactQueued"]),
        (Full.DEFLECT, ["ContactReceived", "ContactQueued", "ContactClosed"]),
        (Full.OVERFLOW, ["ContactReceived", "ContactQueued", "ContactOverflowed"]),
        (
            Full.CALLBACK,
            [
                "ContactReceived",
                "ContactQueued",
                "ContactClosed",
                "ContactReceived",
                "ContactScheduled",
            ],
        ),
    ],
)
def test_a_closed_queue_does_what_it_is_set_to_do(action: Full, happens: list[str]) -> None:
    centre = two(hours="night", on_closed=Limit(action=action, queue=QueueId("r"), text="Closed."))
    assert names(centre.submit("c1")) == happens
    if action is Full.DEFLECT:
        (end,) = (ef for ef in centre.effects if isinstance(ef, EndContact))
        assert (end.outcome, end.reason, end.text) == ("deflected", "closed", "Closed.")
    elif action is Full.CALLBACK:
        callback = centre.of("c1-callback")
        assert callback.not_before_us == START_US + 12 * 3600 * SECOND_US
        assert callback.direction is Direction.CALLBACK


def test_a_full_queue_counts_all_channels_and_lets_in_who_is_served_at_once() -> None:
    centre = two(most_waiting=1)
    centre.submit("c1", "voice")
    assert only(centre.submit("c2", "chat"), e.ContactClosed).reason == "queue_full"
    centre = two(most_waiting=0)
    assert only(centre.submit("c1"), e.ContactClosed).outcome == "deflected"
    centre.agent("ana")
    assert "ContactOffered" in names(centre.submit("c2"))


def test_waiting_places_of_the_workspace_are_bounded() -> None:
    centre = Centre(policy(waiting_places=1))
    centre.submit("c1")
    assert only(centre.submit("c2"), e.ContactClosed).reason == "queue_full"


def test_an_overflow_that_would_go_round_in_a_circle_deflects() -> None:
    limit = {"on_full": Limit(action=Full.OVERFLOW, queue=QueueId("r")), "most_waiting": 0}
    back = {"on_full": Limit(action=Full.OVERFLOW, queue=QueueId("q")), "most_waiting": 0}
    centre = Centre(policy(Queue(id=QueueId("q"), **limit), Queue(id=QueueId("r"), **back)))
    events = centre.submit("c1")
    assert names(events)[-2:] == ["ContactOverflowed", "ContactClosed"]


def test_an_overflowed_contact_keeps_its_start_and_takes_the_new_target() -> None:
    centre = two(most_waiting=0, on_full=Limit(action=Full.OVERFLOW, queue=QueueId("r")))
    overflowed = only(centre.submit("c1"), e.ContactOverflowed)
    assert overflowed.due_at_us == START_US + 5 * SECOND_US
    assert overflowed.requirements == (("vip", 1),)
    assert centre.of("c1").visited == ("q",)


def test_a_hold_is_for_who_is_ready_or_wrapping_up_and_able() -> None:
    centre = two()
    for name, skills in (("able", {"en": 5}), ("unable", {})):
        centre.agent(name, skills)
    centre.agent("away", {"en": 5}, ready=False)
    for agent, held in (("able", "able"), ("unable", ""), ("away", "")):
        events = centre.submit(
            f"for-{agent}",
            requirements=(("en", 3),),
            prefer_agent=AgentId(agent),
            prefer_us=9 * SECOND_US,
        )
        queued = only(events, e.ContactQueued)
        assert (queued.hold_agent, queued.hold_until_us > 0) == (held, bool(held))


def test_a_named_target_needs_no_hold() -> None:
    centre = two()
    centre.agent("ana")
    events = centre.submit(
        "c1", target_agent=AgentId("ana"), prefer_agent=AgentId("ana"), prefer_us=9
    )
    queued = only(events, e.ContactQueued)
    assert (queued.target_agent, queued.hold_agent) == ("ana", "")


def test_the_end_of_a_contact_takes_its_offers_back_and_tells_the_adapter() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), parallel=2)))
    for name in ("ana", "bo"):
        centre.agent(name)
    centre.submit("c1")
    decider = Decider(centre.engine.state)
    decider.now_us = centre.now_us
    decider.close(centre.of("c1"), ContactOutcome.CANCELLED, "test", by="me")
    assert names(decider.events) == ["OfferRescinded", "OfferRescinded", "ContactClosed"]
    assert only(decider.events, e.ContactClosed).by == "me"
    assert isinstance(decider.effects[-1], EndContact)


def test_a_callback_of_a_callback_stands_in_no_line_twice() -> None:
    """A full queue turns an arrival into a callback; the callback itself is not turned away."""
    centre = two(most_waiting=0, on_full=Limit(action=Full.CALLBACK))
    centre.submit("c1")
    assert centre.of("c1-callback").state == "queued"
    assert len(centre.engine.state.contacts) == 1


def test_a_returned_contact_that_was_offered_too_often_is_let_go() -> None:
    decline = Decline(offers=1, exhausted=Limit(action=Full.OVERFLOW, queue=QueueId("r")))
    centre = two(decline=decline)
    centre.agent("ana")
    centre.submit("c1")
    events = centre.say(c.RejectOffer(reservation=centre.offer_of("c1").id))
    assert "ContactOverflowed" in names(events)
    assert only(events, e.ContactOverflowed).reason == "too_many_offers"
    assert centre.of(ContactId("c1")).queue == "r"
