from __future__ import annotations

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.calls import MONITORS_MOST
from router.core.effects import (
    ConferenceContact,
    EndContact,
    HoldContact,
    MonitorContact,
    MoveAgent,
    RecordContact,
    StopMonitor,
)
from router.core.model import AgentId, ContactId, QueueId, ReservationId
from router.core.policy import Queue
from router.errors import Invalid, NotFound, Refused
from tests.core.centre import Centre, names, only, policy, profiles

C1, K1 = ContactId("c1"), ContactId("k1")
ANA, BO, CY = AgentId("ana"), AgentId("bo"), AgentId("cy")


def talking(channel: str = "voice") -> Centre:
    """Ana talks with c1; Bo serves another queue; Cy is a supervisor with a phone."""
    settings = policy(
        Queue(id=QueueId("q"), require_disposition=True, wrap_up_us={"voice": 30_000_000}),
        Queue(id=QueueId("r")),
        profiles=profiles(all=[("q", 1)], other=[("r", 1)]),
    )
    centre = Centre(settings)
    centre.agent("ana", endpoints={"voice": "SIP/ana"})
    centre.agent("bo", profile="other", endpoints={"voice": "SIP/bo"})
    centre.agent("cy", profile="", endpoints={"voice": "SIP/cy"}, ready=False)
    centre.submit("c1", channel, external_id="call-1")
    centre.talk("c1")
    return centre


def consulting() -> Centre:
    """Ana asks Bo about c1, and they talk."""
    centre = talking()
    centre.say(c.StartConsult(contact=C1, consult=K1, queue=QueueId("r"), agent=ANA))
    centre.talk("k1")
    return centre


def listening(monitor: str = "m1", **fields: object) -> c.StartMonitor:
    return c.StartMonitor(contact=C1, monitor=monitor, **{"agent": CY, "by": "lead", **fields})


def test_in_a_conference_nobody_is_on_hold_and_apart_the_customer_is_again() -> None:
    centre = consulting()
    events = centre.say(c.SetConference(contact=C1, agent=ANA))
    assert names(events) == ["CustomerResumed", "ConferenceStarted"]
    assert [type(effect) for effect in centre.effects] == [ConferenceContact]
    assert (centre.offer_of("c1").conference, centre.offer_of("c1").hold_at_us) == (True, 0)
    assert centre.say(c.SetConference(contact=C1)) == []
    with pytest.raises(Refused, match="take the conference apart first"):
        centre.say(c.HoldCustomer(contact=C1))
    events = centre.say(c.SetConference(contact=C1, together=False))
    assert names(events) == ["ConferenceEnded", "CustomerHeld"]
    assert [(x.together, x.reservation) for x in centre.effects] == [  # type: ignore[union-attr]
        (False, centre.offer_of("c1").id)
    ]
    assert centre.offer_of("c1").hold_at_us > 0


def test_a_conference_needs_somebody_who_is_consulted_and_there() -> None:
    centre = talking()
    with pytest.raises(Refused, match="has no open consult"):
        centre.say(c.SetConference(contact=C1))
    centre.say(c.StartConsult(contact=C1, consult=K1, queue=QueueId("r"), agent=ANA))
    with pytest.raises(Refused, match="is not connected yet"):
        centre.say(c.SetConference(contact=C1))
    centre.talk("k1")
    with pytest.raises(Refused, match="served by 'ana'"):
        centre.say(c.SetConference(contact=C1, agent=BO))
    assert centre.of("c1").consult == K1


def test_only_calls_are_conferences_or_recorded_or_listened_to() -> None:
    centre = talking("chat")
    for command in (c.SetConference(contact=C1), c.RecordCall(contact=C1), listening()):
        with pytest.raises(Refused, match="carries no voice"):
            centre.say(command)
    assert centre.effects == []


def test_handing_over_moves_the_leg_and_does_not_end_the_consult_at_the_backend() -> None:
    centre = consulting()
    centre.say(c.SetConference(contact=C1))
    taking = centre.offer_of("k1").id
    events = centre.say(c.EndConsult(contact=C1, hand_over=True, agent=ANA))
    assert only(events, e.ConferenceEnded).consult == K1
    moved = only(centre.effects, MoveAgent)
    assert (moved.contact, moved.from_contact, moved.reservation) == (C1, K1, taking)
    assert [x for x in centre.effects if isinstance(x, EndContact)] == []


def test_going_on_alone_ends_the_consult_at_the_backend() -> None:
    centre = consulting()
    centre.say(c.SetConference(contact=C1))
    events = centre.say(c.EndConsult(contact=C1))
    assert names(events)[0] == "ConferenceEnded"
    assert only(centre.effects, EndContact).contact == K1
    assert not centre.offer_of("c1").conference


def test_a_consulted_agent_whose_leg_fails_leaves_the_other_two_together() -> None:
    centre = consulting()
    centre.say(c.SetConference(contact=C1))
    events = centre.say(c.FailReservation(reservation=centre.offer_of("k1").id, reason="broke"))
    assert "ConferenceEnded" in names(events)
    assert "CustomerHeld" not in names(events)
    assert centre.of("c1").consult == K1, "it is asked again"


def test_who_takes_the_consult_must_not_be_heard_by_a_customer_who_was_taken_back() -> None:
    centre = talking()
    centre.say(c.StartConsult(contact=C1, consult=K1, queue=QueueId("r"), agent=ANA))
    centre.say(c.ResumeCustomer(contact=C1, agent=ANA))
    events = centre.accept("k1")
    assert "CustomerHeld" in names(events)
    assert type(centre.effects[0]) is HoldContact
    centre.say(c.ConnectReservation(reservation=centre.offer_of("k1").id))
    with pytest.raises(Refused, match="end the consult first"):
        centre.say(c.ResumeCustomer(contact=C1, agent=ANA))


def test_a_supervisor_listens_whispers_and_stops() -> None:
    centre = talking()
    started = only(centre.say(listening()), e.MonitorStarted)
    assert (started.listener, started.mode, started.by) == (CY, "listen", "lead")
    assert only(centre.effects, MonitorContact).endpoint == "SIP/cy"
    assert centre.say(listening()) == [], "said twice"
    changed = only(centre.say(listening(mode="whisper", agent=AgentId(""))), e.MonitorChanged)
    assert (changed.listener, changed.mode) == (CY, "whisper")
    assert only(centre.effects, MonitorContact).monitor == "m1"
    [monitor] = centre.offer_of("c1").monitors
    assert (monitor.mode, monitor.at_us) == ("whisper", started.at_us)
    ended = only(centre.say(c.EndMonitor(monitor="m1", contact=C1, by="lead")), e.MonitorEnded)
    assert ended.by == "lead"
    assert only(centre.effects, StopMonitor).monitor == "m1"
    assert centre.say(c.EndMonitor(monitor="m1")) == []
    assert centre.engine.state.attached == {}


def test_nobody_listens_to_themselves_twice_or_without_a_phone() -> None:
    centre = talking()
    centre.agent("di", profile="")
    for fields, words in (
        ({"agent": ANA}, "cannot listen to themselves"),
        ({"agent": AgentId("di")}, "no endpoint for 'voice'"),
    ):
        with pytest.raises(Refused, match=words):
            centre.say(listening(**fields))
    with pytest.raises(Invalid, match="expected `agent`"):
        centre.say(listening(agent=AgentId("")))
    with pytest.raises(NotFound):
        centre.say(listening(agent=AgentId("nobody")))
    centre.say(listening())
    with pytest.raises(Refused, match="listens already"):
        centre.say(listening("m2"))
    for number in range(MONITORS_MOST - 1):
        centre.agent(f"x{number}", profile="", endpoints={"voice": f"SIP/{number}"})
        centre.say(listening(f"n{number}", agent=AgentId(f"x{number}")))
    with pytest.raises(Refused, match="at most 5"):
        centre.say(listening("m9", agent=BO))


def test_a_consult_is_neither_listened_to_nor_recorded_by_itself() -> None:
    centre = consulting()
    with pytest.raises(Refused, match="listen to its contact"):
        centre.say(c.StartMonitor(contact=K1, monitor="m1", agent=CY))
    with pytest.raises(Refused, match="its contact is recorded"):
        centre.say(c.RecordCall(contact=K1))


def test_a_monitor_of_another_contact_is_not_there() -> None:
    centre = talking()
    centre.say(listening())
    centre.agent("di", endpoints={"voice": "SIP/di"})
    centre.submit("c3", "voice", external_id="call-3")
    centre.talk("c3")
    centre.submit("c2", "chat")
    with pytest.raises(NotFound):
        centre.say(c.EndMonitor(monitor="m1", contact=ContactId("c2")))
    with pytest.raises(NotFound):
        centre.say(c.EndMonitor(monitor="m1", contact=ContactId("c9")))
    with pytest.raises(Refused, match="another conversation"):
        centre.say(c.StartMonitor(contact=ContactId("c3"), monitor="m1", agent=CY))


def test_a_recording_is_paused_goes_on_and_is_begun_anew_after_it_failed() -> None:
    centre = talking()
    first = only(centre.say(c.RecordCall(contact=C1, agent=ANA, by="ana")), e.RecordingStarted)
    assert first.recording == f"c1-{centre.offer_of('c1').id}-1"
    assert only(centre.effects, RecordContact).on
    assert centre.say(c.RecordCall(contact=C1)) == []
    assert names(centre.say(c.RecordCall(contact=C1, on=False))) == ["RecordingPaused"]
    assert not only(centre.effects, RecordContact).on
    assert names(centre.say(c.RecordCall(contact=C1))) == ["RecordingResumed"]
    failed = c.FailRecording(recording=first.recording, contact=C1, reason="disk full")
    assert only(centre.say(failed), e.RecordingEnded).reason == "disk full"
    assert centre.say(failed) == []
    assert not centre.offer_of("c1").is_recording
    second = only(centre.say(c.RecordCall(contact=C1)), e.RecordingStarted)
    assert second.recording.endswith("-2")
    centre.submit("c2", "chat")
    with pytest.raises(NotFound):
        centre.say(c.FailRecording(recording=second.recording, contact=ContactId("c2")))
    with pytest.raises(Refused, match="served by 'ana'"):
        centre.say(c.RecordCall(contact=C1, on=False, agent=BO))


def hang_up(centre: Centre, contact: str) -> list[e.Event]:
    return centre.say(c.AgentHungUp(reservation=centre.offer_of(contact).id, reason="bye"))


def test_an_agent_who_hangs_up_has_completed_the_call() -> None:
    centre = talking()
    reservation = centre.offer_of("c1").id
    events = hang_up(centre, "c1")
    assert only(events, e.WrapUpStarted).asks_disposition
    assert only(events, e.ContactClosed).outcome == "completed"
    assert only(centre.effects, EndContact).contact == C1
    assert centre.say(c.AgentHungUp(reservation=reservation)) == []
    assert centre.say(c.AgentHungUp(reservation=ReservationId("r99"))) == []


def test_an_agent_who_hangs_up_before_the_leg_is_up_has_declined() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1", "voice", external_id="call-1")
    centre.accept("c1")
    events = hang_up(centre, "c1")
    assert names(events) == ["ReservationFailed", "ContactReturned"]
    assert centre.of("c1").declines == {ANA: 1}


def test_who_asks_and_hangs_up_has_handed_over() -> None:
    centre = consulting()
    events = hang_up(centre, "c1")
    assert only(events, e.ReservationMoved).agent == BO
    assert centre.held_by("bo") == {"c1": "connected"}
    assert only(centre.effects, MoveAgent).from_contact == K1


def test_a_customer_on_hold_is_not_hung_up_on() -> None:
    centre = talking()
    centre.say(c.HoldCustomer(contact=C1))
    events = hang_up(centre, "c1")
    assert names(events)[:2] == ["ReservationFailed", "ContactReturned"]
    assert centre.of("c1").state == "queued"


def test_who_was_asked_and_hangs_up_gives_the_customer_back() -> None:
    centre = consulting()
    events = hang_up(centre, "k1")
    assert {"ConsultEnded", "CustomerResumed"} <= set(names(events))
    assert centre.held_by("ana") == {"c1": "connected"}
    assert centre.of("c1").consult == ""


def test_after_a_restart_recordings_and_conferences_are_said_again_and_nobody_is_rung() -> None:
    centre = consulting()
    centre.say(c.SetConference(contact=C1))
    centre.say(c.RecordCall(contact=C1))
    centre.say(listening())
    effects = centre.engine.resume(centre.now_us).effects
    assert sorted(type(effect).__name__ for effect in effects) == [
        "ConferenceContact",
        "RecordContact",
    ]
    assert centre.engine.state.attached.keys() == {"m1", f"c1-{centre.offer_of('c1').id}-1"}
