from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.arrivals import LEVELS, SKILLS_MOST, checked_requirements
from router.core.effects import (
    AnswerRoute,
    DeliverMessage,
    EndContact,
    LoadCustomer,
    TreatContact,
)
from router.core.facts import Outbound
from router.core.model import SECOND_US, AgentId, ContactId, Direction, QueueId
from router.core.policy import EntryPoint, Queue, Treatment
from router.core.rules.verbs import At, Mode, Schedule
from router.errors import Invalid, NotFound, Refused
from tests.core.centre import START_US, Centre, names, only, policy
from tests.core.ruled import centre, rule


def message(id_: str, contact: str, peer: str = "kim", **fields: Any) -> c.ReceiveMessage:
    submit = c.SubmitContact(
        contact=ContactId(contact), channel="sms", queue=QueueId("q"), peer_key=peer
    )
    return c.ReceiveMessage(message=id_, size=5, contact=submit, **fields)


def test_the_same_external_id_twice_is_the_same_contact() -> None:
    centre = Centre()
    centre.submit("c1", external_id="call-1")
    assert centre.submit("c2", external_id="call-1") == []
    assert centre.contact == "c1"
    centre.submit("c3", "voice", external_id="call-1")  # another channel, another contact
    assert centre.contact == "c3"


def test_an_external_id_leads_to_its_contact_also_in_the_frame_that_closes_it() -> None:
    centre = Centre()
    centre.submit("c1", external_id="call-1")
    centre.say(c.CancelContact(contact=ContactId("c1")))
    assert centre.submit("c2", external_id="call-1") == []
    assert centre.contact == "c1"
    centre.engine.state.drain()  # from here on the archive knows it
    centre.submit("c3", external_id="call-1")
    assert centre.contact == "c3"


def test_the_same_contact_id_twice_is_the_same_contact() -> None:
    centre = Centre()
    centre.submit("c1")
    assert centre.submit("c1", "voice") == []
    assert centre.contact == "c1"


def test_an_entry_point_gives_queue_attributes_requirements_and_greeting() -> None:
    point = EntryPoint(
        id="line",
        channel="voice",
        queue=QueueId("q"),
        attributes={"brand": "oak", "topic": "any"},
        requirements=(("en", 3),),
        greeting="Welcome",
        music="waltz",
    )
    centre = Centre(policy(entry_points={"line": point}))
    centre.submit(
        "c1", "voice", entry_point="line", attributes={"topic": "bill"}, requirements=(("en", 5),)
    )
    contact = centre.of("c1")
    assert (contact.queue, contact.attributes) == ("q", {"brand": "oak", "topic": "bill"})
    assert contact.requirements == (("en", 5),)
    (treat,) = centre.effects
    assert isinstance(treat, TreatContact)
    assert (treat.kind, treat.text, treat.music, treat.position) == (
        "greeting",
        "Welcome",
        "waltz",
        1,
    )


def test_the_queue_greets_where_the_entry_point_says_nothing() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), treatment=Treatment(greeting="Hello"))))
    centre.submit("c1")
    assert [f.text for f in centre.effects if isinstance(f, TreatContact)] == ["Hello"]
    centre.submit("c2", direction=Direction.OUTBOUND)
    assert centre.effects == []


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"channel": "fax"}, Invalid, "no channel 'fax'; there are chat, email, sms, voice"),
        ({"queue": QueueId("x")}, NotFound, "no queue 'x'"),
        ({"queue": QueueId("")}, Invalid, "names a queue or an entry point"),
        ({"entry_point": "x"}, NotFound, "no entry point 'x'"),
        ({"requirements": (("en", 11),)}, Invalid, "'en': level must be 1-10, got 11"),
        ({"requirements": (("", 1),)}, Invalid, "1-256 characters"),
        ({"not_after_us": START_US}, Invalid, "not_after"),
        ({"not_before_us": START_US + 9, "not_after_us": START_US + 9}, Invalid, "not_after"),
        ({"external_id": "x" * 257}, Invalid, "256 characters"),
        ({"target_agent": AgentId("x")}, NotFound, "no agent 'x'"),
        ({"prefer_agent": AgentId("x")}, NotFound, "no agent 'x'"),
    ],
)
def test_a_contact_that_cannot_be_is_refused_with_the_reason(
    fields: dict[str, Any], kind: type[Exception], words: str
) -> None:
    centre = Centre()
    with pytest.raises(kind, match=words):
        centre.submit("c1", **fields)
    assert centre.engine.state.contacts == {}


def test_live_contacts_are_bounded() -> None:
    centre = Centre(policy(live_contacts=1))
    centre.submit("c1")
    with pytest.raises(Refused, match="1 contacts are live"):
        centre.submit("c2")


def test_requirements_are_bounded_and_put_in_order() -> None:
    assert checked_requirements((("fr", 2), ("de", 1), ("fr", 4))) == (("de", 1), ("fr", 4))
    with pytest.raises(Invalid, match=f"at most {SKILLS_MOST} skills"):
        checked_requirements(tuple((f"s{i}", 1) for i in range(SKILLS_MOST + 1)))
    assert (min(LEVELS), max(LEVELS)) == (1, 10)


def test_a_message_begins_a_contact_and_the_next_one_joins_it() -> None:
    centre = Centre()
    events = centre.say(message("m1", "c1"))
    assert names(events) == ["ContactReceived", "ContactQueued", "MessageReceived"]
    assert names(centre.say(message("m2", "c2"))) == ["MessageReceived"]
    assert (centre.contact, centre.of("c1").messages) == ("c1", 2)
    centre.say(message("m3", "c3", peer="lee"))
    assert centre.contact == "c3"


def test_a_message_joins_the_contact_that_the_backend_names_before_the_newest_of_its_peer() -> None:
    centre = Centre()
    centre.submit("c1", "sms", peer_key="kim", external_id="thread-1")
    centre.submit("c2", "sms", peer_key="kim", external_id="thread-2")
    old = message("m1", "x", peer="kim")
    named = replace(old, contact=replace(old.contact, external_id="thread-1"))
    centre.say(named)
    assert (centre.contact, centre.of("c1").messages, centre.of("c2").messages) == ("c1", 1, 0)
    centre.say(message("m2", "y", peer="kim"))
    assert (centre.contact, centre.of("c2").messages) == ("c2", 1)


def test_a_message_to_a_named_contact_needs_that_contact() -> None:
    centre = Centre()
    centre.submit("c1", "sms")
    centre.say(message("m1", "c2", to_contact=ContactId("c1")))
    assert centre.of("c1").messages == 1
    with pytest.raises(NotFound, match="no contact 'gone'"):
        centre.say(message("m2", "c2", to_contact=ContactId("gone")))


def test_the_next_message_of_a_parked_contact_queues_it_for_its_last_agent() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.say(message("m1", "c1"))
    centre.accept("c1")
    centre.say(c.ParkContact(contact=ContactId("c1")))
    centre.agent("bo")
    events = centre.say(message("m2", "x"))
    queued = only(events, e.ContactQueued)
    assert (queued.hold_agent, queued.reason, queued.visit_no) == ("ana", "customer_wrote", 2)
    assert centre.agents_of("c1") == ["ana"]


def test_what_we_write_is_delivered_once_and_by_whom_is_asked() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    centre.accept("c1")
    say = c.SendMessage(contact=ContactId("c1"), message="m1", size=3, agent=AgentId("ana"))
    assert names(centre.say(say)) == ["MessageSent"]
    assert centre.effects == [DeliverMessage(channel="chat", contact=ContactId("c1"), message="m1")]
    with pytest.raises(Refused, match="served by 'ana'"):
        centre.say(
            c.SendMessage(contact=ContactId("c1"), message="m2", size=3, agent=AgentId("bo"))
        )


@pytest.mark.parametrize(
    ("until", "outcome"),
    [
        ("waiting", "abandoned"),
        ("offered", "abandoned"),
        ("accepted", "abandoned"),
        ("talking", "completed"),
    ],
)
def test_leaving_is_abandoning_unless_an_agent_was_there(until: str, outcome: str) -> None:
    centre = Centre()
    if until != "waiting":
        centre.agent("ana")
    centre.submit("c1", "voice")
    if until == "accepted":
        centre.accept("c1")
    elif until == "talking":
        centre.talk("c1")
    events = centre.say(c.AbandonContact(contact=ContactId("c1")))
    assert only(events, e.ContactClosed).outcome == outcome
    assert any(isinstance(effect, EndContact) for effect in centre.effects)
    if until != "waiting":
        assert centre.held_by("ana") == {}


def test_a_parked_customer_who_leaves_has_been_served() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    centre.accept("c1")
    centre.say(c.ParkContact(contact=ContactId("c1")))
    events = centre.say(c.AbandonContact(contact=ContactId("c1")))
    assert only(events, e.ContactClosed).outcome == "completed"


def test_what_is_served_cannot_be_cancelled() -> None:
    centre = Centre()
    centre.submit("c1")
    centre.submit("c2")
    events = centre.say(c.CancelContact(contact=ContactId("c1"), reason="test", by="shop"))
    assert (only(events, e.ContactClosed).outcome, only(events, e.ContactClosed).by) == (
        "cancelled",
        "shop",
    )
    centre.agent("ana")
    centre.accept("c2")
    with pytest.raises(Refused, match="complete it instead"):
        centre.say(c.CancelContact(contact=ContactId("c2")))


def test_a_route_request_is_answered_and_nothing_is_queued() -> None:
    centre = Centre()
    centre.agent("ana", {"en": 5})
    centre.agent("bo")
    centre.say(
        c.AskRoute(request="q1", channel="voice", queue=QueueId("q"), requirements=(("en", 3),))
    )
    (answer,) = centre.effects
    assert isinstance(answer, AnswerRoute)
    assert (answer.queue, answer.open, answer.position, answer.eligible, answer.wait_us) == (
        "q", True, 1, 1, 0,
    )  # fmt: skip
    assert centre.engine.state.contacts == {}
    with pytest.raises(Invalid, match="names a queue or an entry point"):
        centre.say(c.AskRoute(request="q2", channel="voice"))
    with pytest.raises(NotFound, match="no entry point 'x'"):
        centre.say(c.AskRoute(request="q3", channel="voice", entry_point="x"))


def test_an_activated_contact_asks_for_its_customer_and_waits_for_the_answer() -> None:
    centre = Centre()
    opens_us = centre.now_us + 60 * SECOND_US
    centre.submit("c1", customer="kim", not_before_us=opens_us)
    assert centre.of("c1").state == "scheduled"
    centre.wait(60)
    assert centre.effects == [LoadCustomer(contact=ContactId("c1"), customer="kim")]
    events = centre.say(c.ProvideCustomer(contact=ContactId("c1"), customer="kim", segment="loyal"))
    assert names(events) == ["ContactUpdated", "ContactQueued"]
    assert centre.of("c1").segment == "loyal"
    assert centre.say(c.ProvideCustomer(contact=ContactId("c1"), customer="kim")) == []


def test_an_answer_that_does_not_come_is_asked_for_again() -> None:
    centre = Centre()
    centre.submit("c1", customer="kim", not_before_us=centre.now_us + SECOND_US)
    centre.wait(62)
    assert [type(effect) for effect in centre.effects] == [LoadCustomer] * 3


def test_contacts_that_an_adapter_does_not_have_any_more_have_left() -> None:
    centre = Centre()
    for name in ("c1", "c2"):
        centre.submit(name, "voice", external_id=f"x{name}")
    centre.submit("c3", "chat", external_id="xc3")
    centre.submit("c4", "voice")
    centre.say(c.ReportLive(channel="voice", external_ids=("xc2",)))
    assert list(centre.engine.state.contacts) == ["c2", "c3", "c4"]


def test_a_message_under_the_backends_id_wakes_a_parked_contact_too() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1", external_id="x1", peer_key="kim/chat/us")
    centre.accept("c1")
    centre.say(c.ParkContact(contact=ContactId("c1")))
    again = c.SubmitContact(
        contact=ContactId("c2"),
        channel="chat",
        queue=QueueId("q"),
        external_id="x1",
        peer_key="kim/chat/another-address-of-ours",
    )
    events = centre.say(c.ReceiveMessage(message="m1", size=3, contact=again))
    assert names(events)[:2] == ["MessageReceived", "ContactQueued"]
    assert centre.contact == "c1"


# --- what was asked for stays with it on the shelf ------------------------------------------------

C1 = ContactId("c1")
OUT: dict[str, Any] = {"direction": Direction.OUTBOUND, "customer": "kim"}
FIRST = {"tier": 5, "head_start_us": 30 * SECOND_US}


@pytest.mark.parametrize("schedule", [None, Schedule(at=At.NOW), Schedule(at=At.LEARNED_WINDOW)])
def test_a_rules_tier_holds_when_its_window_opens(schedule: Schedule | None) -> None:
    world = centre(rule("first", schedule=schedule, **FIRST))
    later_us = START_US + 60 * SECOND_US
    world.submit("c1", **OUT, not_before_us=later_us)
    assert world.of("c1").tier_asked == 5
    world.wait(60)
    queued = only(world.say(c.ProvideCustomer(contact=C1, customer="kim")), e.ContactQueued)
    assert (queued.reason, queued.tier, queued.head_start_us) == ("activated", 5, 30 * SECOND_US)


def test_an_inbound_contact_with_a_moment_of_its_own_keeps_it_too() -> None:
    world = centre(rule("first", **FIRST))
    world.submit("c1", not_before_us=START_US + 60 * SECOND_US)
    assert only(world.wait(60), e.ContactQueued).tier == 5


def test_off_the_shelf_it_is_held_for_whom_it_was_asked() -> None:
    world = Centre()
    world.agent("ana", ready=False)
    opens_us = START_US + 60 * SECOND_US
    hers = {"prefer_agent": AgentId("ana"), "prefer_us": 9 * SECOND_US}
    world.submit("c1", not_before_us=opens_us, **hers)
    world.submit("c2", not_before_us=opens_us)
    world.agent("bob")
    world.wait(30)
    world.ready("ana")  # who is asked for need not have been there when it came
    (first, second) = [ev for ev in world.wait(30) if isinstance(ev, e.ContactQueued)]
    assert (first.hold_agent, first.hold_until_us) == ("ana", opens_us + 9 * SECOND_US)
    assert second.hold_agent == ""
    assert (world.offer_of("c1").agent, world.offer_of("c2").agent) == ("ana", "bob")


def test_whom_it_was_asked_for_and_is_gone_by_then_holds_nothing() -> None:
    world = Centre()
    world.agent("ana")
    hers = {"prefer_agent": AgentId("ana"), "prefer_us": 9 * SECOND_US}
    world.submit("c1", not_before_us=START_US + 60 * SECOND_US, **hers)
    world.say(c.RemoveAgent(agent=AgentId("ana")))
    world.agent("bob")
    assert only(world.wait(60), e.ContactQueued).hold_agent == ""
    assert world.offer_of("c1").agent == "bob"


def test_without_one_the_queue_and_its_channel_say_which() -> None:
    world = centre()
    world.submit("c1", "email", not_before_us=START_US + 60 * SECOND_US)
    world.submit("c2", "email")
    assert only(world.wait(60), e.ContactQueued).tier == world.of("c2").tier


def test_the_tier_of_a_callback_is_on_record_and_holds() -> None:
    world = centre(rule("first", 'contact.direction == "callback"', **FIRST))
    world.submit("c1", "voice", customer="kim", peer_key="hash/voice/us")
    events = world.say(c.RequestCallback(contact=C1, callback=ContactId("b1")))
    received = only(events, e.ContactReceived)
    assert (received.tier, received.callback_of, received.visit_at_us) == (5, "c1", START_US)
    world.wait(0)
    events = world.say(c.ProvideCustomer(contact=ContactId("b1"), customer="kim"))
    assert only(events, e.ContactQueued).tier == 5


def test_the_reply_to_a_first_message_waits_as_the_rule_said() -> None:
    schedule = Schedule(at=At.NOW, mode=Mode.MESSAGE_FIRST, template="offer")
    world = centre(rule("first", schedule=schedule, **FIRST))
    world.submit("c1", "sms", **OUT, peer_key="hash/sms/us")
    world.wait(0)
    world.say(c.ProvideCustomer(contact=C1, customer="kim", message="m1", message_size=3))
    assert world.of("c1").state == "parked"
    world.wait(10)
    answer = c.SubmitContact(contact=ContactId("c2"), channel="sms", peer_key="hash/sms/us")
    queued = only(
        world.say(c.ReceiveMessage(message="m2", size=3, contact=answer)), e.ContactQueued
    )
    assert (queued.contact, queued.reason) == (C1, "customer_wrote")
    assert (queued.tier, queued.head_start_us) == (5, 30 * SECOND_US)


def test_who_writes_before_the_window_opens_waits_as_asked() -> None:
    world = centre()
    world.submit(
        "c1", "sms", **OUT, tier=4, peer_key="hash/sms/us",
        not_before_us=START_US + 60 * SECOND_US, outbound=Outbound(),
    )  # fmt: skip
    answer = c.SubmitContact(contact=ContactId("c2"), channel="sms", peer_key="hash/sms/us")
    events = world.say(c.ReceiveMessage(message="m2", size=3, contact=answer))
    assert only(events, e.ContactQueued).tier == 4


def test_after_it_was_served_the_queue_says_where_it_waits_again() -> None:
    world = centre(rule("first", **FIRST))
    world.agent("ana")
    world.submit("c1", peer_key="hash/chat/us")
    world.talk("c1")
    world.say(c.ParkContact(contact=C1))
    answer = c.SubmitContact(contact=ContactId("c2"), channel="chat", peer_key="hash/chat/us")
    world.away("ana")
    events = world.say(c.ReceiveMessage(message="m2", size=3, contact=answer))
    assert only(events, e.ContactQueued).tier == 0
