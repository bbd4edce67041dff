from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.effects import CollectFromContact, TreatContact
from router.core.model import SECOND_US, ContactId, QueueId
from router.core.policy import Action, ActionKind, Asking, Queue, Step, Treatment
from router.core.relaxation import relaxed
from router.core.ruling import count_reached
from tests.core.centre import Centre, names, only, policy, profiles


def step(after_s: float, *actions: Action, name: str = "s", **fields: Any) -> Step:
    return Step(name=name, after_us=int(after_s * SECOND_US), actions=actions, **fields)


def act(kind: str, **fields: Any) -> Action:
    return Action(kind=ActionKind(kind), **fields)


def centre_with(*steps: Step, **queue: Any) -> Centre:
    return Centre(
        policy(
            Queue(id=QueueId("q"), steps=steps, **queue),
            Queue(id=QueueId("r")),
            profiles=profiles(all=[("q", 1)], other=[("r", 1)]),
        )
    )


LESS = act("lower", skill="en", level=2)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (LESS, (("de", 4), ("en", 2))),
        (act("drop", skill="en"), (("de", 4),)),
        (act("add", skill="vip", level=3), (("de", 4), ("en", 8), ("vip", 3))),
        (act("add", skill="de", level=1), (("de", 4), ("en", 8))),
        (act("tier", tier=0), (("de", 4), ("en", 8))),
    ],
)
def test_each_action_does_its_own_to_the_requirements(action: Action, expected: object) -> None:
    assert relaxed((("de", 4), ("en", 8)), action) == expected


def test_a_step_is_taken_at_its_moment_and_reaches_somebody_at_once() -> None:
    centre = centre_with(step(20, LESS))
    centre.agent("ana", {"en": 2})
    centre.submit("c1", requirements=(("en", 5),))
    assert centre.wait(19.999999) == []
    assert names(centre.wait(0.000001)) == ["ContactRelaxed", "ContactOffered"]
    assert centre.of("c1").requirements_asked == (("en", 5),)


def test_steps_follow_each_other_and_what_was_reached_stays() -> None:
    centre = centre_with(
        step(5, LESS), step(9, act("tier", tier=0)), step(12, act("head_start", head_start_us=3))
    )
    centre.submit("c1", "sms", requirements=(("en", 5),))
    taken = [ev for ev in centre.wait(20) if isinstance(ev, e.ContactRelaxed)]
    assert [(ev.step, ev.tier, ev.head_start_us) for ev in taken] == [
        (1, 1, 0),
        (2, 0, 0),
        (3, 0, 3),
    ]
    assert {ev.requirements for ev in taken} == {(("en", 2),)}


def test_another_queues_agents_are_added_at_that_queues_rank() -> None:
    centre = centre_with(step(10, act("add_queue", queue=QueueId("r"))))
    centre.agent("helper", profile="other")
    centre.submit("c1")
    centre.wait(10)
    assert centre.agents_of("c1") == ["helper"]
    assert centre.of("c1").queue == "q"


def test_a_condition_that_does_not_hold_is_asked_again() -> None:
    centre = centre_with(step(10, LESS, eligible_below=1), recheck_us=7 * SECOND_US)
    centre.agent("ana", {"en": 9})
    centre.submit("busy", "voice", requirements=(("en", 5),))
    centre.accept("busy")
    centre.submit("c1", "voice", requirements=(("en", 5),))
    centre.say(c.ConnectReservation(reservation=centre.offer_of("busy").id))
    assert centre.wait(10) == []
    centre.away("ana")
    assert centre.wait(6) == []
    assert names(centre.wait(1)) == ["ContactRelaxed"]


def test_a_step_may_be_skipped_for_good() -> None:
    centre = centre_with(
        step(5, LESS, position_over=1, otherwise_skip=True), step(6, act("tier", tier=0))
    )
    centre.submit("c1", requirements=(("en", 5),))
    first, second = (ev for ev in centre.wait(9) if isinstance(ev, e.ContactRelaxed))
    assert (first.taken, first.requirements) == (False, (("en", 5),))
    assert (second.taken, second.step) == (True, 2)


def test_only_those_who_stand_far_back_are_relaxed() -> None:
    centre = centre_with(step(5, LESS, position_over=1))
    for name in ("c1", "c2"):
        centre.submit(name, requirements=(("en", 5),))
    assert [only(centre.wait(5), e.ContactRelaxed).contact] == ["c2"]


def test_an_unknown_wait_counts_as_a_long_one() -> None:
    centre = centre_with(step(5, LESS, wait_over_us=600 * SECOND_US))
    centre.submit("c1", requirements=(("en", 5),))
    assert names(centre.wait(5)) == ["ContactRelaxed"]


def test_messages_and_callback_offers_are_told_to_the_customer() -> None:
    centre = centre_with(
        step(5, act("message", text="Soon"), act("offer_callback", text="Or later?"))
    )
    centre.submit("c1")
    assert names(centre.wait(5)) == ["ContactRelaxed", "CallbackOffered"]
    told = [(ef.kind, ef.text) for ef in centre.effects if isinstance(ef, TreatContact)]
    assert told == [("text", "Soon"), ("callback_offer", "Or later?")]


def test_a_step_can_move_a_contact_on_and_the_rest_of_it_is_left_out() -> None:
    centre = centre_with(step(5, act("overflow", queue=QueueId("r"))))
    centre.submit("c1")
    assert names(centre.wait(5)) == ["ContactRelaxed", "ContactOverflowed"]
    assert centre.of("c1").queue == "r"
    centre = centre_with(step(5, act("deflect", text="Bye"), act("message", text="never")))
    centre.submit("c1")
    assert names(centre.wait(5)) == ["ContactRelaxed", "ContactClosed"]
    assert not any(isinstance(effect, TreatContact) for effect in centre.effects)
    centre = centre_with(step(5, act("switch_channel", channel="sms")))
    centre.submit("c1", "voice")
    assert names(centre.wait(5)) == ["ContactRelaxed", "ContactSwitched"]
    assert (centre.of("c1").id, centre.of("c1").channel) == (ContactId("c1"), "sms")


def test_settings_that_move_a_step_move_it_for_those_who_wait() -> None:
    centre = centre_with(step(10, LESS))
    centre.submit("c1", requirements=(("en", 5),))
    centre.wait(5)
    later = centre_with(step(30, LESS)).engine.policy
    centre.say(c.ApplyPolicy(policy=later))
    assert centre.wait(24) == []
    assert names(centre.wait(1)) == ["ContactRelaxed"]


def test_who_is_reached_is_counted_ready_or_not_room_not_asked() -> None:
    centre = centre_with()
    for name, level, profile in (("a", 5, "all"), ("b", 5, "other"), ("c", 1, "all")):
        centre.agent(name, {"en": level}, profile=profile)
    centre.agent("d", {"en": 9}, ready=False)
    reach = [
        count_reached(centre.engine._decider, queues, (("en", 3),))
        for queues in ((QueueId("q"),), (QueueId("q"), QueueId("r")))
    ]
    assert reach == [1, 2]


def test_a_step_asks_the_customer_once_and_passes_over_who_is_being_asked() -> None:
    question = Asking(name="offer", prompt="1 or 2?", choices={"1": "text", "2": "callback"})
    ask = act("ask", question=question)
    centre = centre_with(step(5, ask), step(8, ask, name="t"))
    centre.submit("c1", "voice", external_id="call-1")
    asked = only(centre.wait(5), e.InputAsked)
    assert (asked.name, asked.choices, asked.by) == ("offer", question.choices, "step")
    assert only(centre.effects, CollectFromContact).prompt == "1 or 2?"
    assert names(centre.wait(3)) == ["ContactRelaxed"], "one question at a time"


def test_who_goes_on_in_writing_reads_first_where_they_stand() -> None:
    told = Treatment(every_us=60 * SECOND_US, text="You are number {position}.")
    centre = centre_with(step(5, act("switch_channel", channel="sms")), treatment=told)
    centre.submit("c1", "voice", external_id="call-1")
    centre.wait(5)
    treat = only(centre.effects, TreatContact)
    assert (treat.channel, treat.position, treat.text) == ("sms", 1, "You are number {position}.")
