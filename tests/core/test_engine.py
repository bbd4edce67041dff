from __future__ import annotations

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.effects import OfferContact
from router.core.engine import TIMERS_A_TURN, Engine
from router.core.model import SECOND_US, AgentId, ContactId, QueueId, ReservationId, Totals
from router.core.policy import Action, ActionKind, Queue, Step
from router.core.state import State
from router.errors import NotFound, Refused
from tests.core.centre import START_US, Centre, names, only, policy


def reloaded(centre: Centre, later_s: float = 0) -> Centre:
    """The centre after a crash: rows alone, a new engine."""
    old, state = centre.engine.state, State()
    for kind, rows in (
        ("agent", old.agents),
        ("contact", old.contacts),
        ("reservation", old.reservations),
        ("estimate", old.estimates),
    ):
        for row in rows.values():
            state.load(kind, row)
    state.load("totals", old.totals)
    again = Centre(centre.engine.policy)
    again.now_us = centre.now_us + int(later_s * SECOND_US)
    again.engine = Engine(centre.engine.policy, state, now_us=again.now_us)
    again.effects = again.engine.resume(again.now_us).effects
    return again


def test_a_contact_lives_from_arrival_to_the_end_of_wrap_up() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), wrap_up_us={"chat": 10 * SECOND_US})))
    centre.agent("ana")
    assert names(centre.submit("c1")) == ["ContactReceived", "ContactQueued", "ContactOffered"]
    assert names(centre.accept("c1")) == ["OfferAccepted", "ReservationConnected"]
    assert names(centre.complete("c1")) == ["WrapUpStarted", "ContactClosed"]
    assert names(centre.wait(10)) == ["ReservationEnded"]
    assert (centre.engine.state.contacts, centre.engine.state.reservations) == ({}, {})


def test_a_refused_command_changes_nothing() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    centre.engine.state.drain()
    with pytest.raises(NotFound, match="no contact 'nobody'"):
        centre.say(c.CompleteContact(contact=ContactId("nobody")))
    with pytest.raises(Refused, match="nobody serves contact 'c1'"):
        centre.complete("c1")
    assert centre.engine.state.drain().upserts == []
    assert centre.agents_of("c1") == ["ana"]


def test_time_given_never_runs_backwards() -> None:
    centre = Centre()
    centre.engine.advance(START_US + 50)
    outcome = centre.engine.handle(c.PutAgent(agent=AgentId("ana"), profile="all"), START_US + 20)
    assert only(outcome.events, e.AgentPut).at_us == START_US + 50


def test_one_advance_fires_a_bounded_number_of_deadlines_and_says_that_more_is_left() -> None:
    centre = Centre()
    opens_us = START_US + SECOND_US
    for number in range(TIMERS_A_TURN + 5):
        centre.submit(f"c{number}", not_before_us=opens_us)
    assert len(centre.engine.advance(opens_us).events) == TIMERS_A_TURN
    assert centre.engine.next_deadline() == opens_us
    assert len(centre.engine.advance(opens_us).events) == 5
    assert len(centre.engine.state.waiting) == TIMERS_A_TURN + 5


def test_what_is_over_at_once_takes_effect_before_anything_is_matched() -> None:
    """Two wrap-ups end in the same microsecond: the contact goes to who was idle longer by id."""
    centre = Centre(policy(Queue(id=QueueId("q"), wrap_up_us={"voice": 10 * SECOND_US})))
    for name in ("ana", "bo"):
        centre.agent(name)
    for name in ("c1", "c2"):
        centre.submit(name, "voice")
        centre.talk(name)
    for name in ("c2", "c1"):
        centre.complete(name)
    centre.submit("c3", "voice")
    offered = only(centre.wait(10), e.ContactOffered)
    assert offered.agent == "ana"


def test_after_a_crash_open_offers_are_stated_again_with_their_ids() -> None:
    centre = Centre()
    centre.agent("ana", endpoints={"voice": "desk/ana"})
    centre.submit("c1", "voice")
    again = reloaded(centre, later_s=120)
    (effect,) = again.effects
    assert isinstance(effect, OfferContact)
    assert (effect.reservation, effect.agent, effect.endpoint) == ("r1", "ana", "desk/ana")
    assert effect.deadline_at_us == again.now_us + again.engine.policy.grace_us
    assert names(again.accept("c1")) == ["OfferAccepted", "ReservationConnecting"]


def test_after_a_crash_waiting_contacts_keep_their_place_and_numbers_go_on() -> None:
    centre = Centre()
    for name in ("c1", "c2"):
        centre.submit(name)
    again = reloaded(centre)
    again.submit("c3")
    assert again.of("c3").arrival_no == 3
    offered = [ev for ev in again.agent("ana") if isinstance(ev, e.ContactOffered)]
    assert [ev.contact for ev in offered] == ["c1", "c2", "c3"]
    assert [ev.reservation for ev in offered] == ["r1", "r2", "r3"]


def test_the_preview_says_whom_each_step_would_reach() -> None:
    steps = (
        Step(
            name="less", after_us=5, actions=(Action(kind=ActionKind.LOWER, skill="en", level=2),)
        ),
        Step(name="any", after_us=9, actions=(Action(kind=ActionKind.DROP, skill="en"),)),
    )
    centre = Centre(policy(Queue(id=QueueId("q"), steps=steps)))
    for name, level in (("a", 9), ("b", 3), ("c", 1)):
        centre.agent(name, {"en": level})
    centre.submit("busy", "voice", requirements=(("en", 9),))
    found = centre.engine.preview(QueueId("q"), "voice", (("en", 5),))
    assert [(r.step, r.ready, r.available) for r in found] == [
        ("asked", 1, 0),
        ("less", 2, 1),
        ("any", 3, 2),
    ]
    with pytest.raises(NotFound, match="no queue 'x'"):
        centre.engine.preview(QueueId("x"), "voice", ())
    with pytest.raises(NotFound, match="no channel 'fax'"):
        centre.engine.preview(QueueId("q"), "fax", ())


def test_an_input_that_was_put_aside_is_told() -> None:
    centre = Centre()
    events = centre.say(c.DeadLetter(command="AcceptOffer", reason="twice"))
    assert only(events, e.CommandDeadLettered).reason == "twice"
    events = centre.say(c.SettleEffect(effect="1-7", result="unknown", message="m1"))
    assert only(events, e.EffectSettled).result == "unknown"


def test_a_reservation_that_never_was_is_gone() -> None:
    centre = Centre()
    with pytest.raises(Refused) as refused:
        centre.say(c.AcceptOffer(reservation=ReservationId("r9")))
    assert refused.value.code == "gone"


def test_a_clock_that_was_set_is_started_anew_in_memory_and_in_the_row() -> None:
    centre = Centre()
    centre.say(c.StepClock(by_us=5 * SECOND_US))
    centre.engine.state.drain()
    centre.engine.resume(centre.now_us)
    changes = centre.engine.state.drain()
    stored = [row for kind, _, row in changes.upserts if kind == "totals"]
    assert [row.clock_offset_us for row in stored if isinstance(row, Totals)] == [0]
