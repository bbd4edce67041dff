from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.effects import DeliverMessage, LoadCustomer, StartContact
from router.core.facts import Facts, LearnedWindow, Outbound, Permission
from router.core.model import SECOND_US, AgentId, ContactId, ContactOutcome, Direction
from router.core.outbound import window_for
from router.core.policy import default_channels
from tests.core.centre import START_US, Centre, names, only, policy

HOUR = 3600
C1 = ContactId("c1")


def window(start: float, end: float, channel: str = "sms", **fields: Any) -> LearnedWindow:
    """From and to in hours from the start."""
    values = {"address": f"{channel}-hash", "probability": 0.8, "low": 0.7, "high": 0.9, **fields}
    return LearnedWindow(
        channel=channel,
        start_us=START_US + int(start * HOUR) * SECOND_US,
        end_us=START_US + int(end * HOUR) * SECOND_US,
        **values,
    )


def out(centre: Centre, *windows: LearnedWindow, **fields: Any) -> list[e.Event]:
    """An outbound text message to a customer who is known."""
    permission = fields.pop("permission", Permission())
    return centre.submit(
        "c1",
        fields.pop("channel", "sms"),
        direction=Direction.OUTBOUND,
        customer="kim",
        peer_key=fields.pop("peer_key", "sms-hash/sms/us"),
        facts=Facts(permission=permission, windows=windows),
        **fields.pop("asks", {}),
        outbound=Outbound(**{"template": "hello", **fields}),
    )


def provide(centre: Centre, *windows: LearnedWindow, **fields: Any) -> list[e.Event]:
    """The runtime's answer when the moment has come."""
    permission = fields.pop("permission", Permission())
    facts = Facts(permission=permission, windows=windows)
    return centre.say(c.ProvideCustomer(contact=C1, customer="kim", facts=facts, **fields))


def test_of_the_windows_given_the_first_one_that_is_not_over_is_taken() -> None:
    centre = Centre()
    events = out(centre, window(-2, -1), window(5, 6), window(1, 2), learned=True)
    scheduled = only(events, e.ContactScheduled)
    assert scheduled.not_before_us == START_US + 5 * HOUR * SECOND_US
    assert scheduled.not_after_us == START_US + 6 * HOUR * SECOND_US
    assert only(events, e.OutboundReserved).for_at_us == scheduled.not_before_us


def test_a_window_begins_no_earlier_than_the_contact_may() -> None:
    centre = Centre()
    out(centre, learned=True)
    contact = centre.of("c1")
    contact.not_before_us = START_US + 90 * 60 * SECOND_US
    facts = Facts(windows=(window(0, 1), window(1, 2)))
    chosen, is_fresh = window_for(contact, Outbound(learned=True), facts, START_US)
    assert is_fresh
    assert chosen is not None
    assert chosen.start_us == contact.not_before_us


def test_without_a_window_it_goes_out_when_it_may() -> None:
    centre = Centre()
    centre.agent("ana")
    events = out(centre, learned=True, mode="agent_first")
    assert names(events)[-2:] == ["ContactQueued", "ContactOffered"]


def test_who_was_preferred_calls_when_the_window_opens() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.agent("bob", ready=False)
    out(
        centre, window(1, 3), learned=True, mode="agent_first",
        asks={"prefer_agent": AgentId("bob"), "prefer_us": 30 * SECOND_US},
    )  # fmt: skip
    centre.ready("bob")
    centre.wait(HOUR)
    events = provide(centre, window(0, 2))
    assert only(events, e.ContactQueued).hold_agent == "bob"
    assert centre.offer_of("c1").agent == "bob"


def test_the_first_message_goes_out_once_the_runtime_has_made_it() -> None:
    centre = Centre()
    events = out(centre, mode="message_first")
    assert names(events)[-1] == "OutboundReserved"
    centre.wait(0)
    assert isinstance(centre.effects[-1], LoadCustomer)
    events = provide(centre, message="m1", message_size=5)
    assert names(events)[-3:] == ["OutboundSent", "MessageSent", "ContactParked"]
    effect = centre.effects[-1]
    assert isinstance(effect, DeliverMessage)
    assert (effect.message, effect.attempt) == ("m1", "c1/1")


def test_a_message_without_text_is_asked_for_again_and_never_sent_empty() -> None:
    centre = Centre()
    out(centre, mode="message_first")
    centre.wait(0)
    events = provide(centre)
    assert "MessageSent" not in names(events)
    assert centre.of("c1").state == "scheduled"


def test_the_expectation_and_the_draw_go_into_the_event() -> None:
    centre = Centre()
    chosen = window(-1, 1, explore=True, propensity=0.01, candidates=77)
    out(centre, chosen, mode="message_first", learned=True)
    centre.wait(0)
    sent = only(provide(centre, chosen, message="m1"), e.OutboundSent)
    assert (sent.probability, sent.explore, sent.propensity) == (0.8, True, 0.01)
    assert sent.candidates == 77


def test_permission_that_ends_sooner_than_the_window_ends_the_window() -> None:
    centre = Centre()
    chosen = window(1, 3)
    out(centre, chosen, learned=True, mode="agent_first")
    centre.wait(HOUR)
    until_us = START_US + 2 * HOUR * SECOND_US
    provide(centre, permission=Permission(until_us=until_us))
    assert centre.of("c1").not_after_us == until_us
    centre.wait(HOUR - 0.000001)
    assert centre.of("c1").state == "queued"
    assert only(centre.wait(0.000001), e.ContactScheduled).reason == "window_over"


@pytest.mark.parametrize(("give_up", "ends"), [("expire", True), ("send", False)])
def test_at_the_latest_moment_it_expires_or_goes_anyway(give_up: str, ends: bool) -> None:
    centre = Centre()
    latest_us = START_US + 2 * HOUR * SECOND_US
    out(centre, window(5, 6), learned=True, latest_at_us=latest_us, give_up=give_up)
    assert centre.of("c1").not_before_us == latest_us
    centre.wait(2 * HOUR)
    events = provide(centre)
    if ends:
        closed = only(events, e.ContactClosed)
        assert (closed.outcome, closed.reason) == (ContactOutcome.EXPIRED, "latest_moment")
        assert "OutboundReleased" in names(events)
    else:
        assert names(events)[-1] == "ContactQueued"


def test_who_never_may_be_contacted_ends_it_at_once() -> None:
    centre = Centre()
    events = out(centre, permission=Permission(allowed=False, reason="opted_out"))
    closed = only(events, e.ContactClosed)
    assert (closed.outcome, closed.reason) == (ContactOutcome.CANCELLED, "opted_out")
    assert "OutboundReserved" not in names(events)


def test_a_contact_that_is_dialled_counts_as_sent_when_the_agent_accepts() -> None:
    centre = Centre()
    centre.agent("ana")
    out(centre, channel="voice", peer_key="voice-hash/voice/us")
    events = centre.accept("c1")
    assert only(events, e.OutboundSent).channel == "voice"
    start = centre.effects[-1]
    assert isinstance(start, StartContact)
    assert start.attempt == "c1/1"


def test_on_another_channel_the_same_contact_waits_for_its_envelope() -> None:
    centre = Centre()
    centre.agent("ana")
    chosen = window(-1, 1, "sms")
    out(centre, chosen, channel="voice", peer_key="voice-hash/voice/us", learned=True)
    centre.wait(0)
    assert isinstance(centre.effects[-1], LoadCustomer)
    assert centre.of("c1").channel == "voice"
    events = provide(
        centre, chosen, channel="sms", peer_key="sms-hash/sms/us", sealed=b"s", seal_key="k1"
    )
    assert only(events, e.ContactSwitched).channel == "sms"
    contact = centre.of("c1")
    assert (contact.channel, contact.address, contact.sealed) == ("sms", "sms-hash", b"s")
    assert contact.state == "offered"


def test_it_goes_out_on_the_channel_of_its_window_though_the_file_has_that_no_more() -> None:
    centre = Centre()
    centre.agent("ana")
    chosen = window(1, 2, "sms")
    out(centre, chosen, channel="voice", peer_key="voice-hash/voice/us", learned=True)
    without = {name: ch for name, ch in default_channels().items() if name != "sms"}
    centre.say(c.ApplyPolicy(policy=policy(version="v2", channels=without)))
    centre.wait(HOUR)
    provide(centre, chosen, channel="sms", peer_key="sms-hash/sms/us", sealed=b"s", seal_key="k1")
    assert (centre.of("c1").channel, centre.of("c1").state) == ("sms", "offered")


def test_a_contact_without_a_last_moment_stays_queued_however_long_nobody_is_there() -> None:
    centre = Centre()
    events = out(centre, mode="agent_first", learned=True)
    assert names(events)[-1] == "ContactQueued"
    centre.wait(HOUR)
    assert centre.of("c1").state == "queued"
    centre = Centre()
    out(centre, mode="agent_first", permission=Permission(allowed=False, next_at_us=START_US + 1))
    centre.wait(1)
    provide(centre)
    centre.wait(HOUR)
    assert centre.of("c1").state == "queued"


def parked(centre: Centre) -> None:
    """The first message has gone out as m1; its reply is waited for."""
    out(centre, mode="message_first")
    centre.wait(0)
    provide(centre, message="m1", message_size=5)
    assert centre.of("c1").state == "parked"


@pytest.mark.parametrize("result", ["failed", "undelivered"])
def test_what_becomes_of_a_later_message_says_nothing_of_the_first(result: str) -> None:
    centre = Centre()
    parked(centre)
    centre.say(c.SendMessage(contact=C1, message="m2", size=3))
    later = c.SettleEffect(effect="1-9", result=result, contact=C1, message="m2", reason="x")
    assert names(centre.say(later)) == ["EffectSettled"]
    assert centre.of("c1").state == "parked"
    first = c.SettleEffect(effect="1-8", result=result, contact=C1, message="m1", reason="x")
    outcome = only(centre.say(first), e.OutcomeRecorded).outcome
    assert outcome == {"failed": "not_sent", "undelivered": "bounced"}[result]


def test_who_has_replied_waits_on_when_the_window_for_writing_to_them_ends() -> None:
    centre = Centre()
    ends_us = centre.now_us + 2 * HOUR * SECOND_US
    out(centre, mode="message_first")
    centre.wait(0)
    provide(centre, message="m1", permission=Permission(until_us=ends_us))
    reply = c.SubmitContact(contact=ContactId("c9"), channel="sms", peer_key="sms-hash/sms/us")
    centre.say(c.ReceiveMessage(message="m2", size=3, contact=reply))
    assert centre.of("c1").state == "queued"
    centre.wait(3 * HOUR)
    contact = centre.of("c1")
    assert (contact.state, contact.messages) == ("queued", 2)


def test_who_writes_to_a_parked_contact_is_not_sent_away_by_its_old_window() -> None:
    centre = Centre()
    centre.agent("ana")
    ends_us = centre.now_us + HOUR * SECOND_US
    centre.submit("c1", "sms", peer_key="h/sms/us", not_after_us=ends_us)
    centre.accept("c1")
    centre.say(c.ParkContact(contact=C1, agent=AgentId("ana")))
    centre.wait(2 * HOUR)
    centre.away("ana")
    again = c.SubmitContact(contact=ContactId("c9"), channel="sms", peer_key="h/sms/us")
    centre.say(c.ReceiveMessage(message="m2", size=3, contact=again))
    centre.wait(1)
    assert centre.of("c1").state == "queued"
