from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.model import SECOND_US, AgentId, ContactId, Presence, QueueId, ReservationId
from router.core.policy import (
    Action,
    ActionKind,
    Decline,
    Full,
    Hours,
    HoursSpan,
    Limit,
    Queue,
    Step,
    default_channels,
)
from router.core.restart import lay_out
from router.core.staff import SKILLS_MOST, keeping_live
from router.errors import Invalid, NotFound, Refused
from tests.core.centre import START_US, Centre, names, only, policy, profiles
from tests.core.ruled import when

ANA = AgentId("ana")
TO_R = Action(kind=ActionKind.OVERFLOW, queue=QueueId("r"))
OVER_TO_R = Limit(action=Full.OVERFLOW, queue=QueueId("r"))
NEVER = when("false")


def test_agents_are_numbered_in_the_order_in_which_they_were_made() -> None:
    centre = Centre()
    orders = [only(centre.agent(name, ready=False), e.AgentPut).order for name in ("b", "a")]
    assert orders == [1, 2]
    changed = centre.say(c.PutAgent(agent=AgentId("b"), name="Bo", profile="all"))
    assert (only(changed, e.AgentPut).order, centre.who("b").name) == (1, "Bo")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"agent": AgentId("")}, "at most 256 characters"),
        ({"name": "x" * 257}, "at most 256 characters"),
        ({"profile": "x"}, "no routing profile 'x'"),
        ({"skills": {"en": 0}}, "'en': level must be 1-10, got 0"),
        ({"skills": {f"s{i}": 1 for i in range(SKILLS_MOST + 1)}}, "at most 256 skills, got 257"),
        ({"capacity": -1}, "must not be negative, got -1"),
        ({"maximum": {"fax": 1}}, "no channel 'fax'"),
        ({"auto_accept": ("fax",)}, "no channel 'fax'"),
    ],
)
def test_an_agent_that_cannot_be_is_refused_with_the_reason(
    fields: dict[str, Any], words: str
) -> None:
    centre = Centre()
    with pytest.raises(Invalid, match=words):
        centre.say(c.PutAgent(**{"agent": ANA, **fields}))
    assert centre.engine.state.agents == {}


def test_a_change_on_top_of_a_stale_version_is_refused() -> None:
    centre = Centre()
    centre.agent("ana", ready=False, version=0)
    with pytest.raises(Refused, match="version 1, not 0"):
        centre.agent("ana", ready=False, version=0)
    centre.agent("ana", ready=False, version=1)


def test_who_holds_something_is_not_removed() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    with pytest.raises(Refused, match="still holds reservations"):
        centre.say(c.RemoveAgent(agent=ANA))
    centre.away("ana")
    centre.say(c.RemoveAgent(agent=ANA))
    with pytest.raises(NotFound):
        centre.ready("ana")
    assert centre.of("c1").state == "queued"


def test_contacts_for_an_agent_who_is_removed_are_anybodys() -> None:
    centre = Centre()
    for name in ("ana", "bo"):
        centre.agent(name)
    centre.away("ana")
    centre.submit("c1", target_agent=ANA)
    centre.say(c.RemoveAgent(agent=ANA))
    assert centre.agents_of("c1") == ["bo"]


def test_saying_the_same_presence_again_is_nothing() -> None:
    centre = Centre()
    centre.agent("ana")
    assert centre.ready("ana") == []
    with pytest.raises(Invalid, match="256 characters"):
        centre.say(c.SetPresence(agent=ANA, presence=Presence.NOT_READY, reason="x" * 257))


def test_a_break_begins_the_idle_time_anew_and_a_rona_does_not() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.wait(10)
    centre.say(c.SetPresence(agent=ANA, presence=Presence.NOT_READY, reason="break"))
    centre.wait(10)
    centre.ready("ana")
    assert centre.who("ana").idle_since_us == centre.now_us
    idle_us = centre.now_us
    centre.submit("c1")
    centre.wait(20)
    assert centre.who("ana").reason == "rona"
    centre.ready("ana")
    assert centre.who("ana").idle_since_us == idle_us


def test_an_agent_who_goes_away_keeps_what_they_serve_and_gives_offers_back() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    centre.accept("c1")
    centre.submit("c2")
    centre.away("ana")
    assert centre.held_by("ana") == {"c1": "connected"}
    assert centre.of("c2").state == "queued"
    assert centre.of("c2").declines == {}


def test_a_lost_desk_gives_offers_back_at_once_and_text_contacts_after_a_grace() -> None:
    centre = Centre()
    centre.agent("ana", maximum={"voice": 1}, capacity=200)
    for name, channel in (("call", "voice"), ("chat", "chat"), ("open", "chat")):
        centre.submit(name, channel)
        if name != "open":
            centre.talk(name)
    events = centre.say(c.DeskLost(agent=ANA))
    assert names(events)[:2] == ["AgentLost", "OfferRescinded"]
    assert centre.say(c.DeskLost(agent=ANA)) == []
    assert centre.wait(29) == []
    centre.wait(1)
    assert centre.held_by("ana") == {"call": "connected"}
    assert (centre.who("ana").presence, centre.who("ana").reason) == ("not_ready", "lost")


def test_who_goes_offline_and_leaves_the_desk_keeps_no_text_contact() -> None:
    centre = Centre()
    centre.agent("ana", maximum={"voice": 1}, capacity=200)
    for name, channel in (("call", "voice"), ("chat", "chat")):
        centre.submit(name, channel)
        centre.talk(name)
    centre.say(c.SetPresence(agent=ANA, presence=Presence.OFFLINE, by="ana"))
    assert centre.held_by("ana") == {"call": "connected", "chat": "connected"}
    assert names(centre.say(c.DeskLost(agent=ANA))) == ["AgentLost"]
    centre.wait(29)
    assert centre.held_by("ana") == {"call": "connected", "chat": "connected"}
    centre.wait(1)
    assert centre.held_by("ana") == {"call": "connected"}
    assert centre.of("chat").state == "queued"
    assert (centre.who("ana").presence, centre.who("ana").lost_at_us) == ("offline", 0)
    assert centre.engine.next_deadline() is None
    assert centre.say(c.DeskLost(agent=ANA)) == []


def test_who_is_sent_offline_while_the_desk_is_gone_gives_text_contacts_back_at_once() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    centre.talk("c1")
    centre.say(c.DeskLost(agent=ANA))
    centre.say(c.SetPresence(agent=ANA, presence=Presence.OFFLINE, by="sue"))
    assert centre.held_by("ana") == {}
    assert centre.of("c1").state == "queued"


def test_who_is_made_ready_while_the_desk_is_gone_has_the_grace_again() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.say(c.DeskLost(agent=ANA))
    centre.away("ana")
    centre.wait(60)
    centre.say(c.SetPresence(agent=ANA, presence=Presence.READY, by="sue"))
    # A restart would set the same deadline: it follows from the row.
    assert centre.engine.next_deadline() == centre.now_us + 30_000_000
    lay_out(centre.engine.state, centre.now_us, 0)
    assert centre.engine.next_deadline() == centre.now_us + 30_000_000
    centre.wait(30)
    assert (centre.who("ana").presence, centre.who("ana").reason) == ("not_ready", "lost")


def test_a_desk_that_comes_back_in_time_goes_on() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    centre.accept("c1")
    centre.say(c.DeskLost(agent=ANA))
    centre.submit("c2")
    assert centre.of("c2").state == "queued"
    centre.wait(20)
    assert names(centre.say(c.DeskBack(agent=ANA))) == ["AgentBack", "ContactOffered"]
    centre.wait(15)
    assert centre.held_by("ana")["c1"] == "connected"
    assert centre.say(c.DeskBack(agent=ANA)) == []


def test_contacts_in_a_queue_that_is_removed_drain_with_its_old_settings() -> None:
    old = policy(
        Queue(id=QueueId("q")),
        Queue(id=QueueId("r"), wrap_up_us={"chat": 5 * SECOND_US}),
        profiles=profiles(all=[("q", 1), ("r", 2)]),
    )
    centre = Centre(old)
    centre.submit("c1", queue=QueueId("r"))
    events = centre.say(c.ApplyPolicy(policy=policy(version="v2")))
    assert only(events, e.PolicyApplied).version == "v2"
    assert set(centre.engine.policy.queues) == {"q", "r"}
    centre.agent("ana")
    assert centre.agents_of("c1") == ["ana"]
    centre.accept("c1")
    centre.complete("c1")
    assert names(centre.wait(5)) == ["ReservationEnded"]
    centre.say(c.ApplyPolicy(policy=policy(version="v3")))
    assert set(centre.engine.policy.queues) == {"q"}


def test_a_channel_that_is_removed_lives_as_long_as_its_contacts() -> None:
    centre = Centre()
    centre.submit("c1", "sms")
    without = {name: ch for name, ch in default_channels().items() if name != "sms"}
    centre.say(c.ApplyPolicy(policy=policy(version="v2", channels=without)))
    assert "sms" in centre.engine.policy.channels
    centre.say(c.CancelContact(contact=ContactId("c1")))
    centre.say(c.ApplyPolicy(policy=policy(version="v3", channels=without)))
    with pytest.raises(Invalid, match="no channel 'sms'"):
        centre.submit("c2", "sms")


@pytest.mark.parametrize(
    "leading",
    [
        {"steps": (Step(name="s", after_us=SECOND_US, actions=(TO_R,)),)},
        {"longest_wait_us": SECOND_US, "on_late": OVER_TO_R},
        {"longest_wait_us": SECOND_US, "on_late": Limit(condition=NEVER, otherwise=OVER_TO_R)},
        {"decline": Decline(offers=1, exhausted=OVER_TO_R)},
    ],
)
def test_a_queue_that_is_removed_still_leads_to_one_that_is_removed_with_it(
    leading: dict[str, Any],
) -> None:
    last = Action(kind=ActionKind.SWITCH_CHANNEL, channel="sms")
    queues = [
        Queue(id=QueueId("q")),
        Queue(id=QueueId("old"), **leading),
        Queue(id=QueueId("r"), steps=(Step(name="s", after_us=40 * SECOND_US, actions=(last,)),)),
    ]
    served = {"all": [("q", 1), ("r", 1)], "old": [("old", 1)]}
    centre = Centre(policy(*queues, profiles=profiles(**served)))
    centre.agent("ana", profile="old")
    centre.submit("c1", queue=QueueId("old"))
    without = {name: ch for name, ch in default_channels().items() if name != "sms"}
    centre.say(c.ApplyPolicy(policy=policy(version="v2", channels=without)))
    if "decline" not in leading:
        centre.away("ana")
    centre.wait(30)
    assert (centre.of("c1").queue, centre.of("c1").channel) == ("r", "chat")
    centre.wait(10)
    assert centre.of("c1").channel == "sms"
    centre.agent("ben")
    assert centre.agents_of("c1") == ["ben"]


def test_nothing_is_kept_when_nothing_needs_it() -> None:
    centre = Centre()
    new = policy(Queue(id=QueueId("other")))
    assert keeping_live(centre.engine._decider, new) is new


def test_new_settings_are_tried_at_once() -> None:
    centre = Centre(policy(Queue(id=QueueId("q")), profiles=profiles(all=[])))
    centre.agent("ana")
    centre.submit("c1")
    assert centre.of("c1").state == "queued"
    assert names(centre.say(c.ApplyPolicy(policy=policy(version="v2"))))[:2] == [
        "PolicyApplied",
        "ContactOffered",
    ]


def test_the_clock_may_be_set_across_an_opening_hour() -> None:
    """START_US is a Friday, 08:00 UTC; the queue opens at nine."""
    spans = (HoursSpan((0, 1, 2, 3, 4), 9 * 60, 17 * 60),)
    settings = policy(
        Queue(id=QueueId("q"), hours="day"), hours={"day": Hours(id="day", spans=spans)}
    )
    centre = Centre(settings)
    centre.agent("ana")
    centre.submit("c1")
    assert (centre.now_us, centre.of("c1").state) == (START_US, "queued")
    events = centre.say(c.StepClock(by_us=3600 * SECOND_US))
    assert names(events) == ["ClockStepped", "ContactOffered"]
    assert only(events, e.ContactOffered).reservation == ReservationId("r1")
