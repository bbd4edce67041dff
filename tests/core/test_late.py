"""Contacts that have waited too long, where what is done about it has conditions."""

from __future__ import annotations

from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.model import SECOND_US, QueueId
from router.core.policy import Full, Limit, Queue
from tests.core.centre import START_US, Centre, only
from tests.core.ruled import centre, when
from tests.replay.records import again, decided
from tests.replay.test_outward import read

Q = QueueId("q")
CROWDED = Limit(action=Full.DEFLECT, text="Please write.", condition=when("queue.waiting > 1"))
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
