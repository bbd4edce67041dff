from __future__ import annotations

import msgspec
import pytest

from router.core import commands as c
from router.core import events as e
from router.core.engine import Engine
from router.core.model import SECOND_US, AgentId, ContactId, Direction, QueueId
from router.core.pauses import ChannelPause
from router.core.policy import (
    Action,
    ActionKind,
    Limit,
    Policy,
    Queue,
    Step,
    default_channels,
)
from router.core.state import ROWS, State
from router.errors import Invalid, NotFound
from tests.core.centre import START_US, Centre, only, policy, profiles


def pause(centre: Centre, channel: str = "sms", **fields: str) -> list[e.Event]:
    return centre.say(c.PauseChannel(channel=channel, by="sue", **fields))


def resume(centre: Centre, channel: str = "sms") -> list[e.Event]:
    return centre.say(c.ResumeChannel(channel=channel, by="tom"))


def test_a_paused_channel_keeps_its_contacts_and_offers_nobody_any() -> None:
    centre = Centre()
    said = only(pause(centre, reason="nonsense"), e.ChannelPaused)
    assert (said.channel, said.reason, said.by, said.at_us) == ("sms", "nonsense", "sue", START_US)
    centre.agent("ana")
    centre.submit("s1", "sms")
    centre.submit("s2", "sms", target_agent=AgentId("ana"))
    centre.submit("s3", "sms", prefer_agent=AgentId("ana"), prefer_us=60 * SECOND_US)
    centre.submit("c1", "chat")
    assert [centre.of(id_).state for id_ in ("s1", "s2", "s3", "c1")] == [
        *["queued"] * 3,
        "offered",
    ]
    place = centre.of("s1").arrival_no, centre.of("s1").due_at_us
    centre.wait(300)
    centre.ready("ana")
    resume(centre)
    assert centre.agents_of("s1") == ["ana"]
    assert (centre.of("s1").arrival_no, centre.of("s1").due_at_us) == place


def test_what_is_offered_and_served_goes_on() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("s1", "sms")
    centre.submit("s2", "sms")
    centre.talk("s1")
    pause(centre)
    centre.talk("s2")
    assert [centre.of(id_).state for id_ in ("s1", "s2")] == ["active", "active"]
    centre.say(c.RequeueContact(contact=ContactId("s2")))
    assert centre.of("s2").state == "queued", "handed back, it waits like everybody"


def test_whoever_has_waited_longest_is_first_when_it_goes_on() -> None:
    limited = {
        **default_channels(),
        "sms": msgspec.structs.replace(default_channels()["sms"], maximum=1),
    }
    centre = Centre(policy(channels=limited))
    pause(centre)
    centre.agent("ana")
    for number in range(1, 5):
        centre.submit(f"s{number}", "sms", head_start_us=(number == 3) * 60 * SECOND_US)
        centre.wait(1)
    assert [event.contact for event in resume(centre) if isinstance(event, e.ContactOffered)] == [
        "s3"
    ]


def test_the_best_pairs_are_made_when_it_goes_on() -> None:
    served = profiles(own=[("q", 1)], helper=[("q", 2)])
    centre = Centre(policy(profiles=served))
    pause(centre, "voice")
    centre.agent("helper", profile="helper")
    centre.wait(1)
    centre.agent("own", profile="own")
    centre.agent("german", {"de": 5}, profile="own")
    centre.submit("c1", "voice", requirements=(("de", 5),))
    centre.submit("c2", "voice")
    centre.submit("c3", "voice")
    resume(centre, "voice")
    pairs = {id_: centre.agents_of(id_) for id_ in ("c1", "c2", "c3")}
    assert pairs == {"c1": ["german"], "c2": ["own"], "c3": ["helper"]}


def test_an_agent_who_gets_room_passes_a_paused_channel_by() -> None:
    centre = Centre()
    centre.agent("ana", ready=False)
    centre.submit("s1", "sms")
    centre.wait(1)
    centre.submit("m1", "email")
    pause(centre)
    offers = [event for event in centre.ready("ana") if isinstance(event, e.ContactOffered)]
    assert [offer.contact for offer in offers] == ["m1"]
    assert offers[0].decision.runners_up == ()


def test_no_work_is_interrupted_for_a_paused_channel() -> None:
    channels = default_channels()
    channels["voice"] = msgspec.structs.replace(channels["voice"], interrupts=("email",))
    centre = Centre(policy(channels=channels, capacity=100))
    pause(centre, "voice")
    centre.agent("ana")
    centre.submit("m1", "email")
    centre.talk("m1")
    centre.submit("c1", "voice")
    assert centre.of("c1").state == "queued"
    assert any(isinstance(event, e.ReservationSuspended) for event in resume(centre, "voice"))


def test_who_asks_for_it_by_name_gets_it() -> None:
    centre = Centre()
    pause(centre)
    centre.agent("ana")
    centre.submit("s1", "sms")
    centre.say(c.PullContact(contact=ContactId("s1"), agent=AgentId("ana"), by="sue"))
    assert centre.agents_of("s1") == ["ana"]


def test_a_switch_takes_a_contact_out_of_the_pause() -> None:
    centre = Centre()
    pause(centre)
    centre.agent("ana")
    centre.submit("s1", "sms")
    centre.say(c.SwitchChannel(contact=ContactId("s1"), channel="chat"))
    assert centre.agents_of("s1") == ["ana"]


def test_steps_limits_and_windows_go_on() -> None:
    queue = Queue(
        id=QueueId("q"),
        most_waiting=2,
        longest_wait_us=90 * SECOND_US,
        on_late=Limit(),
        steps=(Step(name="any", after_us=30 * SECOND_US, actions=(
            Action(kind=ActionKind.DROP, skill="de"),)),),
    )  # fmt: skip
    centre = Centre(policy(queue))
    pause(centre)
    centre.agent("ana")
    centre.submit("s1", "sms", requirements=(("de", 5),))
    centre.submit("s2", "sms", not_after_us=START_US + 60 * SECOND_US)
    closed = only(centre.submit("s3", "sms"), e.ContactClosed)
    assert (closed.outcome, closed.reason) == ("deflected", "queue_full")
    assert any(isinstance(event, e.ContactRelaxed) for event in centre.wait(31))
    assert only(centre.wait(30), e.ContactClosed).outcome == "expired"
    assert only(centre.wait(30), e.ContactClosed).reason == "waited_too_long"


def test_how_long_it_will_take_nobody_knows() -> None:
    centre = Centre()
    centre.agent("ana")
    ask = c.AskRoute(request="q1", channel="sms", queue=QueueId("q"))
    before = only(centre.say(ask), e.RouteAnswered)
    assert (before.wait_us, before.eligible) == (0, 1)
    pause(centre)
    paused = only(centre.say(ask), e.RouteAnswered)
    assert (paused.wait_us, paused.eligible, paused.open) == (-1, 0, True)
    other = only(centre.say(msgspec.structs.replace(ask, channel="chat")), e.RouteAnswered)
    assert (other.wait_us, other.eligible) == (0, 1)
    assert only(centre.submit("s1", "sms"), e.ContactQueued).promised_wait_us == -1
    resume(centre)
    assert only(centre.say(ask), e.RouteAnswered).eligible == 1


def test_an_evaluation_says_that_it_is_paused() -> None:
    centre = Centre()
    centre.agent("ana")
    pause(centre, reason="nonsense")
    arriving = c.SubmitContact(contact=ContactId("s1"), channel="sms", queue=QueueId("q"))
    told = centre.engine.evaluate(arriving, centre.now_us)
    paused = ChannelPause(channel="sms", at_us=START_US, by="sue", reason="nonsense")
    assert (told.outcome, told.pause, told.agents, told.wait_us) == ("waits", paused, None, -1)
    assert [reach.available for reach in told.steps] == [0]
    centre.submit("s1", "sms")
    assert centre.engine.evaluate(ContactId("s1"), centre.now_us).pause == paused
    resume(centre)
    assert centre.engine.evaluate(ContactId("s1"), centre.now_us).pause is None


def test_an_outbound_contact_is_not_handed_out_either() -> None:
    centre = Centre()
    pause(centre, "voice")
    centre.agent("ana")
    centre.submit("c1", "voice", direction=Direction.OUTBOUND)
    assert centre.of("c1").state == "queued"
    resume(centre, "voice")
    assert centre.agents_of("c1") == ["ana"]


def test_twice_is_once() -> None:
    centre = Centre()
    assert resume(centre) == []
    pause(centre, reason="first")
    centre.wait(5)
    assert pause(centre, reason="second") == []
    assert centre.engine.state.pauses["sms"].reason == "first"
    assert only(resume(centre), e.ChannelResumed).by == "tom"
    assert centre.engine.state.pauses == {}


def test_what_cannot_be_paused_is_refused_with_words() -> None:
    centre = Centre()
    with pytest.raises(NotFound, match="no channel 'fax'"):
        pause(centre, "fax")
    with pytest.raises(NotFound, match="no channel 'fax'"):
        resume(centre, "fax")
    with pytest.raises(Invalid, match="at most 256 characters"):
        pause(centre, reason="x" * 257)


def test_a_pause_outlives_a_restart() -> None:
    centre = Centre()
    pause(centre, reason="nonsense")
    centre.agent("ana")
    centre.submit("s1", "sms")
    again = restarted(centre.engine)
    outcome = again.resume(centre.now_us)
    assert outcome.events == []
    assert again.advance(centre.now_us).events == []
    events = again.handle(c.ResumeChannel(channel="sms", by="tom"), centre.now_us).events
    assert [type(event) for event in events] == [e.ChannelResumed, e.ContactOffered]


def test_new_settings_keep_a_pause_and_drop_that_of_a_channel_that_is_gone() -> None:
    centre = Centre()
    pause(centre)
    pause(centre, "email")
    centre.agent("ana")
    centre.submit("s1", "sms")
    without = {name: ch for name, ch in default_channels().items() if name not in ("chat", "email")}
    events = centre.say(c.ApplyPolicy(policy=policy(channels=without, version="v2"), by="al"))
    dropped = only(events, e.ChannelResumed)
    assert (dropped.channel, dropped.reason, dropped.by) == ("email", "removed", "al")
    assert centre.of("s1").state == "queued"
    assert set(centre.engine.state.pauses) == {"sms"}
    resume(centre)
    assert centre.agents_of("s1") == ["ana"]


def test_a_pause_of_a_channel_that_went_while_the_server_was_down_is_dropped() -> None:
    centre = Centre()
    pause(centre, "email")
    without = {name: ch for name, ch in default_channels().items() if name != "email"}
    again = restarted(centre.engine, policy(channels=without, version="v2"))
    dropped = only(again.resume(centre.now_us).events, e.ChannelResumed)
    assert (dropped.channel, dropped.reason) == ("email", "removed")
    assert ("pause", "email") in again.state.drain().deletes


def test_rows_of_a_release_without_pauses_load() -> None:
    state = State()
    Engine(policy(), state).resume(START_US)
    assert state.pauses == {}


def restarted(engine: Engine, settings: Policy | None = None) -> Engine:
    """Another engine on the rows of this one, as bytes."""
    state = State()
    for kind, _, row in engine.state.drain().upserts:
        data = msgspec.msgpack.encode(row)
        state.load(kind, msgspec.msgpack.decode(data, type=ROWS[kind]))
    return Engine(settings or policy(), state)


def test_a_transfer_and_a_consult_wait_like_the_others() -> None:
    centre = Centre()
    for name in ("ana", "ben"):
        centre.agent(name)
    centre.submit("s1", "sms")
    centre.submit("s2", "sms")
    centre.talk("s1")
    centre.talk("s2")
    pause(centre)
    ask = c.StartConsult(
        contact=ContactId("s1"), consult=ContactId("k1"), target_agent=AgentId("ben")
    )
    centre.say(ask)
    centre.say(c.TransferContact(contact=ContactId("s2"), target_agent=AgentId("ana")))
    assert [centre.of(id_).state for id_ in ("k1", "s2")] == ["queued", "queued"]
    assert centre.of("s1").state == "active", "the customer is talked to meanwhile"
    resume(centre)
    assert (centre.agents_of("k1"), centre.agents_of("s2")) == (["ben"], ["ana"])
