from __future__ import annotations

import pytest
from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.deadlines import _KINDS, fire
from router.core.effects import TreatContact
from router.core.model import SECOND_US, AgentId, ContactId, QueueId
from router.core.policy import (
    Action,
    ActionKind,
    Channel,
    Decline,
    Full,
    Hours,
    HoursSpan,
    Limit,
    MissAction,
    Queue,
    Step,
    Treatment,
    default_channels,
)
from tests.core.centre import START_US, Centre, names, only, policy, profiles
from tests.core.ruled import centre, when
from tests.replay.records import again, decided
from tests.replay.test_outward import read

MINUTE_S = 60


def test_a_leg_that_is_not_up_in_time_has_failed() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1", "voice")
    centre.accept("c1")
    assert centre.wait(19) == []
    failed = only(centre.wait(1), e.ReservationFailed)
    assert (failed.reason, centre.of("c1").state) == ("connect_timeout", "queued")


def test_wrap_up_ends_by_itself() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), wrap_up_us={"chat": 7 * SECOND_US})))
    centre.agent("ana")
    centre.submit("c1")
    centre.accept("c1")
    centre.complete("c1")
    assert centre.wait(6) == []
    assert only(centre.wait(1), e.ReservationEnded).reason == "wrap_up_over"


def test_a_window_opens_and_a_window_that_closes_expires_the_contact() -> None:
    centre = Centre()
    centre.submit(
        "c1",
        not_before_us=START_US + 10 * SECOND_US,
        not_after_us=START_US + 30 * SECOND_US,
    )
    assert centre.wait(9) == []
    assert names(centre.wait(1)) == ["ContactQueued"]
    assert centre.wait(19) == []
    assert only(centre.wait(1), e.ContactClosed).outcome == "expired"


def test_a_window_that_closes_while_the_contact_is_offered_counts_when_it_returns() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1", not_after_us=START_US + 10 * SECOND_US)
    assert centre.wait(19) == []
    events = centre.wait(1)
    assert only(events, e.ContactClosed).outcome == "expired"


def test_a_hold_ends_and_anybody_may_have_the_contact() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("full", "voice")
    centre.agent("bo")
    centre.submit("c1", "voice", prefer_agent=AgentId("ana"), prefer_us=15 * SECOND_US)
    assert centre.wait(14) == []
    assert names(centre.wait(1)) == ["HoldEnded", "ContactOffered"]
    assert centre.agents_of("c1") == ["bo"]


def test_a_helpers_delay_is_over_to_the_microsecond() -> None:
    centre = Centre(policy(profiles=profiles(all=[("q", 2, 30)])))
    centre.agent("ana")
    centre.submit("c1")
    assert centre.wait(29.999999) == []
    assert names(centre.wait(0.000001)) == ["ContactOffered"]


def test_silence_parks_a_contact_and_more_silence_completes_it() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    centre.accept("c1")
    centre.say(c.SendMessage(contact=ContactId("c1"), message="m1", size=1))
    parked = only(centre.wait(5 * MINUTE_S), e.ContactParked)
    assert (parked.reason, centre.held_by("ana")) == ("silence", {})
    assert centre.wait(24 * 60 * MINUTE_S - 1) == []
    closed = only(centre.wait(1), e.ContactClosed)
    assert (closed.outcome, closed.reason) == ("completed", "no_answer_from_customer")


def test_a_customer_who_answers_is_not_silent() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1", peer_key="kim")
    centre.accept("c1")
    centre.say(c.SendMessage(contact=ContactId("c1"), message="m1", size=1))
    submit = c.SubmitContact(contact=ContactId("x"), channel="chat", peer_key="kim")
    centre.say(c.ReceiveMessage(message="m2", size=1, contact=submit))
    assert centre.wait(10 * MINUTE_S) == []


def test_who_waits_too_long_is_treated_as_the_queue_says() -> None:
    queue = Queue(
        id=QueueId("q"),
        longest_wait_us=30 * SECOND_US,
        on_late=Limit(action=Full.DEFLECT, text="Please write."),
    )
    centre = Centre(policy(queue))
    centre.submit("c1")
    closed = only(centre.wait(30), e.ContactClosed)
    assert (closed.outcome, closed.reason) == ("deflected", "waited_too_long")


def test_position_and_wait_are_told_at_a_steady_pace() -> None:
    queue = Queue(id=QueueId("q"), treatment=Treatment(every_us=30 * SECOND_US, text="{position}"))
    centre = Centre(policy(queue))
    for name in ("c1", "c2"):
        centre.submit(name)
    centre.wait(95)
    told = [(ef.contact, ef.position) for ef in centre.effects if isinstance(ef, TreatContact)]
    assert told == [("c1", 1), ("c2", 2)] * 3


def test_a_ramp_opens_by_itself() -> None:
    chat = Channel(name="chat", cost=10, maximum=3, ramp_us=60 * SECOND_US)
    centre = Centre(policy(channels={**default_channels(), "chat": chat}))
    for number in range(4):
        centre.submit(f"c{number}")
    assert names(centre.agent("ana")).count("ContactOffered") == 1
    centre.accept("c0")
    assert names(centre.wait(59)) == []
    assert names(centre.wait(1)) == ["ContactOffered"]
    centre.accept("c1")
    assert names(centre.wait(60)) == ["ContactOffered"]
    centre.accept("c2")
    assert names(centre.wait(600)) == []


def test_a_queue_opens_and_closes_by_the_clock() -> None:
    """START_US is a Friday, 08:00 UTC."""
    spans = (HoursSpan((4,), 9 * 60, 10 * 60),)
    settings = policy(
        Queue(id=QueueId("q"), hours="day"), hours={"day": Hours(id="day", spans=spans)}
    )
    centre = Centre(settings)
    centre.submit("c1")
    centre.agent("ana")
    assert centre.wait(60 * MINUTE_S - 1) == []
    assert names(centre.wait(1)) == ["ContactOffered"]
    centre.say(c.RejectOffer(reservation=centre.offer_of("c1").id))
    centre.wait(20)
    centre.submit("c2", "voice")
    centre.wait(60 * MINUTE_S)
    assert "q" in centre.engine.state.matcher.closed


def test_every_timer_that_the_state_sets_has_somebody_who_fires_it() -> None:
    assert sorted(_KINDS) == [
        "ask", "close", "cool", "delay", "hold", "hours", "late", "lost", "ramp", "reservation",
        "resume", "silence", "step", "treat", "window",
    ]  # fmt: skip


def test_a_deadline_of_a_state_without_one_is_a_broken_invariant() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    centre.accept("c1")
    with pytest.raises(AssertionError, match="r1 is connected and has no deadline"):
        fire(centre.engine._decider, ("reservation", "r1"))


# --- waited too long, with conditions -------------------------------------------------------------

Q, R = QueueId("q"), QueueId("r")
CROWDED = Limit(action=Full.DEFLECT, text="Please write.", condition=when("queue.waiting > 1"))


def callback_of(centre: Centre, contact: str) -> str:
    """The one callback that came of it, its window open."""
    callback = f"{contact}-callback"
    centre.say(c.ProvideCustomer(contact=ContactId(callback), customer="", found=False))
    return callback


def test_whoever_waited_too_long_is_called_back_once() -> None:
    limit = Limit(action=Full.CALLBACK)
    centre = Centre(policy(Queue(id=Q, longest_wait_us=30 * SECOND_US, on_late=limit)))
    centre.submit("c1", "voice")
    assert only(centre.wait(30), e.ContactClosed).reason == "waited_too_long"
    callback = callback_of(centre, "c1")
    assert centre.wait(3600) == []
    assert [contact.id for contact in centre.engine.state.contacts.values()] == [callback]
    centre.agent("ana")
    assert centre.agents_of(callback) == ["ana"]


def test_a_callback_that_nobody_takes_waits_on_and_is_not_turned_away_by_a_step() -> None:
    decline = Decline(on_miss=MissAction.NOTHING, offers=2, exhausted=Limit(action=Full.CALLBACK))
    deflect = Action(kind=ActionKind.DEFLECT, text="Bye")
    steps = (Step(name="s", after_us=60 * SECOND_US, actions=(deflect,)),)
    centre = Centre(policy(Queue(id=Q, decline=decline, steps=steps)))
    centre.agent("ana")
    centre.submit("c1", "voice")
    centre.wait(40)
    callback = callback_of(centre, "c1")
    centre.wait(100)
    assert [contact.id for contact in centre.engine.state.contacts.values()] == [callback]


def test_a_consult_does_not_become_a_callback() -> None:
    limit = Limit(action=Full.CALLBACK)
    queues = [Queue(id=Q), Queue(id=R, longest_wait_us=5 * SECOND_US, on_late=limit)]
    centre = Centre(policy(*queues, profiles=profiles(all=[("q", 1)], other=[("r", 1)])))
    centre.agent("ana")
    centre.submit("c1", "voice")
    centre.talk("c1")
    centre.say(c.StartConsult(contact=ContactId("c1"), consult=ContactId("k1"), queue=R))
    assert centre.wait(60) == []
    assert centre.of("k1").state == "queued"


QUEUE = Queue(id=Q, longest_wait_us=30 * SECOND_US, recheck_us=10 * SECOND_US, on_late=CROWDED)


def closed_after_s(events: list[e.Event], world: Centre) -> float:
    closed = only(events, e.ContactClosed)
    assert closed.reason == "waited_too_long"
    return (closed.at_us - START_US) / SECOND_US


def test_where_no_condition_holds_yet_they_are_asked_again() -> None:
    world = centre(queues=(QUEUE,))
    world.submit("c1")
    assert world.wait(35) == []
    world.submit("c2")
    assert closed_after_s(world.wait(20), world) == 40
    assert world.of("c2").state == "queued"


def test_an_alternative_that_holds_ends_the_asking() -> None:
    stays = Limit(action=Full.QUEUE, condition=when("queue.waiting < 2"), otherwise=CROWDED)
    world = centre(queues=(replace(QUEUE, on_late=stays),))
    world.submit("c1")
    world.wait(35)
    world.submit("c2")
    world.submit("c3")
    assert world.wait(20) == [], "it was told that it may stay"


def test_one_that_was_offered_meanwhile_is_asked_on_the_same_grid() -> None:
    world = centre(queues=(QUEUE,))
    world.submit("c1")
    world.wait(33)
    world.agent("ana")
    assert world.of("c1").state == "offered"
    world.say(c.RejectOffer(reservation=world.offer_of("c1").id))
    world.away("ana")
    world.wait(3)
    world.submit("c2")
    assert closed_after_s(world.wait(20), world) == 40


def test_a_replay_asks_on_the_same_grid() -> None:
    world = centre(queues=(QUEUE,))
    happened = [*world.submit("c1"), *world.wait(35), *world.submit("c2"), *world.wait(20)]
    policy = world.engine.policy
    repeated, _ = again(read(happened, policy), policy)
    assert decided(repeated) == decided(happened)
