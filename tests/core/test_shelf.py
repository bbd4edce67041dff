"""What a contact was asked for stays with it while it waits for its moment."""

from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.facts import Outbound
from router.core.model import SECOND_US, ContactId, Direction
from router.core.rules.verbs import At, Mode, Schedule
from tests.core.centre import START_US, only
from tests.core.ruled import centre, rule

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
