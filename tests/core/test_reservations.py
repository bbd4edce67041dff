from __future__ import annotations

from router.core import commands as c
from router.core import events as e
from router.core.effects import ConnectAgent, DisconnectAgent, OfferContact, RescindOffer
from router.core.model import SECOND_US, AgentId, ContactId, Decision, QueueId
from router.core.policy import Action, ActionKind, Decline, MissAction, Queue, Step
from router.core.reservations import Reservations
from tests.core.centre import Centre, names, only, policy, profiles


def test_an_offer_says_who_is_asked_where_and_until_when() -> None:
    centre = Centre()
    centre.agent("ana", endpoints={"voice": "desk/ana"})
    events = centre.submit("c1", "voice")
    offered = only(events, e.ContactOffered)
    (effect,) = (ef for ef in centre.effects if isinstance(ef, OfferContact))
    assert (effect.reservation, effect.agent, effect.endpoint) == ("r1", "ana", "desk/ana")
    assert effect.deadline_at_us == offered.deadline_at_us == centre.now_us + 20 * SECOND_US
    assert offered.units == 100


def test_an_agent_with_room_takes_contacts_as_long_as_there_is_room() -> None:
    centre = Centre()
    for number in range(5):
        centre.submit(f"c{number}")
    assert names(centre.agent("ana")).count("ContactOffered") == 3


def test_contacts_are_tried_in_the_order_of_their_keys() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"))))
    for name, start in (("late", 0), ("early", 30)):
        centre.submit(name, "voice", requirements=(("en", 1),), head_start_us=start * SECOND_US)
    centre.agent("ana", {"en": 1}, ready=False)
    assert only(centre.ready("ana"), e.ContactOffered).contact == "early"


def test_interrupted_work_goes_on_before_any_new_work() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("mail", "email")
    centre.accept("mail")
    centre.submit("call", "voice")
    centre.talk("call")
    centre.submit("next", "voice")
    events = centre.complete("call")
    assert names(events) == [
        "ReservationEnded", "ContactClosed", "ReservationResumed", "ReservationSuspended",
        "ContactOffered",
    ]  # fmt: skip


def test_interrupted_work_goes_on_as_soon_as_there_is_room_for_it() -> None:
    centre = Centre()
    centre.agent("ana", capacity=100)
    for name in ("m1", "m2"):
        centre.submit(name, "email")
        centre.accept(name)
    centre.submit("call", "voice")
    assert centre.held_by("ana") == {"m1": "suspended", "m2": "suspended", "call": "offered"}
    events = centre.say(c.AbandonContact(contact=ContactId("call")))
    resumed = [ev.contact for ev in events if isinstance(ev, e.ReservationResumed)]
    assert resumed == ["m1", "m2"]  # both were interrupted at one moment: by id


def test_the_leg_is_asked_for_when_the_agent_has_accepted() -> None:
    centre = Centre()
    centre.agent("ana", endpoints={"voice": "desk/ana"})
    centre.submit("c1", "voice")
    assert names(centre.accept("c1")) == ["OfferAccepted", "ReservationConnecting"]
    (effect,) = centre.effects
    assert isinstance(effect, ConnectAgent)
    assert (effect.endpoint, effect.deadline_at_us) == ("desk/ana", centre.now_us + 20 * SECOND_US)


def test_only_other_offers_are_taken_back() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), parallel=3)))
    for name in ("ana", "bo", "cy"):
        centre.agent(name)
    centre.submit("c1")
    machine = Reservations(centre.engine.state)
    machine.now_us = centre.now_us
    keep = centre.of("c1").reservations[1]
    machine.rescind_offers(centre.of("c1"), "test", keep=keep, until_us=centre.now_us + 5)
    assert [ev.agent for ev in machine.events if isinstance(ev, e.OfferRescinded)] == ["ana", "cy"]
    assert [ef.reason for ef in machine.effects if isinstance(ef, RescindOffer)] == ["test"] * 2
    assert centre.of("c1").reservations == (keep,)
    assert sorted(centre.of("c1").excluded) == ["ana", "cy"]


def test_a_leg_is_taken_away_on_media_channels_only() -> None:
    centre = Centre()
    centre.agent("ana", capacity=300)
    for name, channel in (("call", "voice"), ("chat", "chat")):
        centre.submit(name, channel)
        centre.talk(name)
    machine = Reservations(centre.engine.state)
    for name in ("call", "chat"):
        machine.disconnect(centre.of(name))
    assert [
        (type(ef), ef.contact) for ef in machine.effects if isinstance(ef, DisconnectAgent)
    ] == [(DisconnectAgent, "call")]
    assert len(machine.effects) == 1


def test_a_queue_without_wrap_up_frees_the_agent_at_once() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1", "voice")
    centre.talk("c1")
    centre.submit("c2", "voice")
    events = centre.complete("c1")
    assert names(events) == ["ReservationEnded", "ContactClosed", "ContactOffered"]


def test_each_offer_carries_its_decision() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), parallel=2)))
    for name in ("ana", "bo", "cy"):
        centre.agent(name)
        centre.wait(1)
    offers = [ev for ev in centre.submit("c1") if isinstance(ev, e.ContactOffered)]
    decisions: list[Decision] = [ev.decision for ev in offers]
    assert [d.winner.id for d in decisions] == ["ana", "bo"]
    assert [[r.id for r in d.runners_up] for d in decisions] == [["bo", "cy"], ["cy"]]
    assert {ev.agent for ev in offers} == {AgentId("ana"), AgentId("bo")}


def test_who_has_waited_goes_before_one_who_comes_back_beside_a_third() -> None:
    # Ana would like `fresh` best, which goes to bo; then `waited` comes before `back`.
    step = Step(
        name="wide",
        after_us=20 * SECOND_US,
        actions=(Action(kind=ActionKind.ADD_QUEUE, queue=QueueId("own")),),
    )
    centre = Centre(
        policy(
            Queue(id=QueueId("own")),
            Queue(id=QueueId("help"), decline=Decline(on_miss=MissAction.NOTHING)),
            Queue(id=QueueId("far"), steps=(step,)),
            profiles=profiles(ana=[("own", 1), ("help", 3)], bo=[("own", 1)]),
        )
    )
    centre.agent("bo", profile="bo")
    centre.wait(1)
    centre.agent("ana", profile="ana")
    centre.submit("back", "voice", queue=QueueId("help"))
    centre.submit(
        "waited",
        "voice",
        queue=QueueId("help"),
        target_agent=AgentId("ana"),
        head_start_us=100 * SECOND_US,
    )
    centre.submit("fresh", "voice", queue=QueueId("far"))
    centre.wait(20)
    assert centre.agents_of("fresh") == ["bo"]
    assert centre.agents_of("waited") == ["ana"]
    assert centre.agents_of("back") == []
