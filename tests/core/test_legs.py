from __future__ import annotations

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.effects import RecordContact, StopMonitor
from router.core.legs import check_media
from router.core.model import AgentId, ContactId, QueueId
from router.core.policy import Queue
from router.errors import Refused
from tests.core.centre import Centre, names, only, policy

C1 = ContactId("c1")


def test_where_there_is_nothing_to_hear_nothing_hangs_on_a_leg() -> None:
    centre = recorded()
    check_media(centre.engine._decider, centre.of("c1"))
    centre.submit("c2", "email")
    with pytest.raises(Refused, match="carries no voice"):
        check_media(centre.engine._decider, centre.of("c2"))


def recorded(channel: str = "voice", **agents: str) -> Centre:
    """Ana talks with c1 in a queue that records, and Cy listens."""
    centre = Centre(policy(Queue(id=QueueId("q"), record=True), Queue(id=QueueId("r"))))
    centre.agent("ana", endpoints={"voice": "SIP/ana"})
    centre.submit("c1", channel, external_id="call-1")
    centre.talk("c1")
    if channel == "voice":
        centre.agent("cy", endpoints={"voice": "SIP/cy"}, ready=False)
        centre.say(c.StartMonitor(contact=C1, monitor="m1", agent=AgentId("cy")))
    return centre


def test_a_queue_that_records_does_so_from_the_moment_of_connection() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), record=True)))
    centre.agent("ana")
    centre.submit("c1", "voice", external_id="call-1")
    assert "RecordingStarted" not in names(centre.accept("c1"))
    reservation = centre.offer_of("c1")
    events = centre.say(c.ConnectReservation(reservation=reservation.id))
    assert only(events, e.RecordingStarted).by == "queue"
    assert only(centre.effects, RecordContact).recording == reservation.recording


def test_a_chat_in_a_queue_that_records_is_no_call() -> None:
    assert recorded("chat").offer_of("c1").recording == ""


def test_all_that_hangs_on_a_leg_ends_before_it() -> None:
    for command in (
        c.CompleteContact(contact=C1),
        c.TransferContact(contact=C1, queue=QueueId("r")),
        c.RequeueContact(contact=C1),
        c.AbandonContact(contact=C1),
    ):
        centre = recorded()
        told = names(centre.say(command))
        ends = next(
            told.index(name) for name in ("ReservationEnded", "ReservationFailed") if name in told
        )
        assert told.index("MonitorEnded") < ends > told.index("RecordingEnded"), command
        assert only(centre.effects, StopMonitor).monitor == "m1"
        assert not only(centre.effects, RecordContact).on
        assert centre.engine.state.attached == {}


def test_a_paused_recording_is_not_paused_once_more_at_its_end() -> None:
    centre = recorded()
    centre.say(c.RecordCall(contact=C1, on=False))
    centre.complete("c1")
    assert [x for x in centre.effects if isinstance(x, RecordContact)] == []


def test_the_next_agent_is_recorded_under_another_name() -> None:
    centre = recorded()
    first = centre.offer_of("c1").recording
    centre.agent("bo")
    centre.say(c.TransferContact(contact=C1, target_agent=AgentId("bo")))
    centre.talk("c1")
    assert centre.offer_of("c1").recording not in ("", first)


def test_who_takes_over_after_a_consult_is_recorded_though_the_consult_was_not() -> None:
    centre = recorded()
    centre.agent("bo")
    centre.say(c.StartConsult(contact=C1, consult=ContactId("k1"), target_agent=AgentId("bo")))
    assert "RecordingStarted" not in names(centre.talk("k1"))
    events = centre.say(c.EndConsult(contact=C1, hand_over=True))
    assert only(events, e.RecordingStarted).agent == "bo"


def test_a_call_that_goes_on_as_a_chat_is_not_recorded_any_more() -> None:
    centre = recorded()
    events = centre.say(c.SwitchChannel(contact=C1, channel="sms"))
    assert names(events)[:2] == ["MonitorEnded", "RecordingEnded"]


def test_holding_for_a_consult_leaves_alone_who_is_on_hold() -> None:
    centre = recorded()
    centre.agent("bo")
    centre.say(c.StartConsult(contact=C1, consult=ContactId("k1"), target_agent=AgentId("bo")))
    since_us = centre.offer_of("c1").hold_at_us
    centre.wait(1)
    assert "CustomerHeld" not in names(centre.accept("k1"))
    assert centre.offer_of("c1").hold_at_us == since_us > 0
