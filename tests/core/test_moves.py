from __future__ import annotations

import msgspec
import pytest

from router.core import commands as c
from router.core import events as e
from router.core.effects import StartContact
from router.core.model import SECOND_US, AgentId, ContactId, QueueId
from router.core.moves import HANDLERS
from router.core.policy import Action, ActionKind, Full, Hours, Limit, Queue, Step
from router.errors import Invalid, NotFound, Refused
from tests.core.centre import Centre, names, only, policy, profiles

C1 = ContactId("c1")
TWO = policy(
    Queue(id=QueueId("q"), targets_us={"chat": 60 * SECOND_US}),
    Queue(id=QueueId("r"), targets_us={"chat": 10 * SECOND_US}, requirements=(("vip", 1),)),
    profiles=profiles(all=[("q", 1)], other=[("r", 1)]),
)


def test_every_command_here_moves_a_contact_that_is_there() -> None:
    centre = Centre(TWO)
    for kind in HANDLERS:
        given = {"contact": ContactId("gone"), "callback": ContactId("c2"), "channel": "sms"}
        given |= {"queue": QueueId("q"), "requirements": (), "not_before_us": 0, "external_id": "x"}
        known = {field.name for field in msgspec.structs.fields(kind)}
        with pytest.raises(NotFound, match="no contact 'gone'"):
            centre.say(kind(**{name: value for name, value in given.items() if name in known}))


def test_a_head_start_moves_a_contact_forward_at_once() -> None:
    centre = Centre()
    for name in ("c1", "c2"):
        centre.submit(name)
    centre.say(c.ReprioritizeContact(contact=ContactId("c2"), head_start_us=5 * SECOND_US))
    offered = [ev for ev in centre.agent("ana") if isinstance(ev, e.ContactOffered)]
    assert [ev.contact for ev in offered] == ["c2", "c1"]


def test_what_is_not_named_stays_when_a_contact_is_reprioritised() -> None:
    centre = Centre()
    centre.submit("c1", tier=1, head_start_us=7)
    centre.say(c.ReprioritizeContact(contact=C1, tier=0))
    assert (centre.of("c1").tier, centre.of("c1").head_start_us) == (0, 7)


def test_a_moved_contact_keeps_its_start_and_takes_target_and_requirements_of_the_queue() -> None:
    centre = Centre(TWO)
    centre.submit("c1")
    started_us = centre.of("c1").visit_at_us
    centre.wait(5)
    centre.say(c.MoveContact(contact=C1, queue=QueueId("r"), by="sue"))
    contact = centre.of("c1")
    assert (contact.queue, contact.visit_at_us) == ("r", started_us)
    assert contact.due_at_us == started_us + 10 * SECOND_US
    assert contact.requirements == (("vip", 1),)


def test_a_contact_is_not_moved_in_a_circle() -> None:
    centre = Centre(TWO)
    centre.submit("c1")
    centre.say(c.MoveContact(contact=C1, queue=QueueId("r")))
    with pytest.raises(Refused, match="has been in 'q'"):
        centre.say(c.MoveContact(contact=C1, queue=QueueId("q")))
    with pytest.raises(Refused, match="waits in 'r' already"):
        centre.say(c.MoveContact(contact=C1, queue=QueueId("r")))


def test_moving_takes_an_open_offer_back() -> None:
    centre = Centre(TWO)
    centre.agent("ana")
    centre.submit("c1")
    events = centre.say(c.MoveContact(contact=C1, queue=QueueId("r")))
    assert names(events)[:2] == ["OfferRescinded", "ContactReturned"]
    assert centre.held_by("ana") == {}


def test_new_requirements_are_those_asked_from_now_on() -> None:
    centre = Centre()
    centre.agent("ana", {"en": 2})
    centre.submit("c1", requirements=(("en", 9),))
    events = centre.say(c.RequireSkills(contact=C1, requirements=(("en", 2),)))
    assert names(events) == ["RequirementsChanged", "ContactOffered"]
    assert centre.of("c1").requirements_asked == (("en", 2),)


def test_only_what_waits_can_be_changed_in_its_line() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    centre.accept("c1")
    for command in (
        c.ReprioritizeContact(contact=C1, tier=0),
        c.RequireSkills(contact=C1, requirements=()),
    ):
        with pytest.raises(Refused, match="a contact that is active"):
            centre.say(command)


def test_attributes_are_merged_and_a_null_removes_one() -> None:
    centre = Centre()
    centre.submit("c1", attributes={"a": 1, "b": 2})
    centre.say(c.UpdateContact(contact=C1, attributes={"b": None, "d": [4]}, customer="kim"))
    contact = centre.of("c1")
    assert (contact.attributes, contact.customer) == ({"a": 1, "d": [4]}, "kim")
    with pytest.raises(Refused, match="not 0") as refused:
        centre.say(c.UpdateContact(contact=C1, version=0))
    assert refused.value.code == "version"


def test_a_callback_keeps_the_place_and_the_first_contact_is_deflected() -> None:
    centre = Centre()
    centre.submit("c1", "voice", customer="kim", requirements=(("en", 3),))
    started_us = centre.of("c1").visit_at_us
    centre.wait(30)
    events = centre.say(c.RequestCallback(contact=C1, callback=ContactId("c2")))
    assert only(events, e.ContactClosed).outcome == "deflected"
    contact = centre.of("c2")
    assert (contact.direction, contact.callback_of, contact.visit_at_us) == (
        "callback",
        "c1",
        started_us,
    )
    assert (contact.customer, contact.requirements) == ("kim", (("en", 3),))
    assert centre.contact == "c2"
    again = centre.say(c.RequestCallback(contact=C1, callback=ContactId("c2")))
    assert (again, centre.contact) == ([], "c2")


def test_a_callback_without_a_place_begins_anew_when_its_window_opens() -> None:
    centre = Centre()
    centre.submit("c1", "voice")
    opens_us = centre.now_us + 100 * SECOND_US
    centre.say(
        c.RequestCallback(
            contact=C1, callback=ContactId("c2"), keep_place=False, not_before_us=opens_us
        )
    )
    assert centre.of("c2").state == "scheduled"
    centre.wait(100)
    assert centre.of("c2").visit_at_us == opens_us


def test_a_callback_whose_window_is_over_is_refused_and_the_contact_waits_on() -> None:
    centre = Centre()
    centre.submit("c1", "voice")
    now_us = centre.now_us
    for window in ((0, now_us), (1, 2), (now_us + 9, now_us + 9)):
        for kind, given in ((c.RequestCallback, {"callback": "c2"}), (c.RescheduleContact, {})):
            command = kind(contact=C1, not_before_us=window[0], not_after_us=window[1], **given)
            with pytest.raises(Invalid, match="in the future"):
                centre.say(command)
    assert list(centre.engine.state.contacts) == ["c1"]
    assert centre.of("c1").state == "queued"


def test_a_callback_for_now_has_its_place_in_the_ledger_now() -> None:
    centre = Centre()
    centre.submit("c1", "voice", customer="kim", peer_key="hash/voice/us")
    past = c.RequestCallback(contact=C1, callback=ContactId("c2"), not_before_us=1)
    events = centre.say(past)
    assert only(events, e.OutboundReserved).for_at_us == centre.now_us


def test_an_outbound_contact_is_dialled_when_an_agent_accepts() -> None:
    centre = Centre()
    centre.submit("c1", "voice")
    centre.say(c.RequestCallback(contact=C1, callback=ContactId("c2")))
    centre.agent("ana", endpoints={"voice": "desk/ana"})
    centre.accept("c2")
    (start,) = (effect for effect in centre.effects if isinstance(effect, StartContact))
    assert (start.contact, start.agent, start.endpoint) == ("c2", "ana", "desk/ana")


def test_a_waiting_contact_can_be_put_back_on_the_shelf() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    later_us = centre.now_us + 50 * SECOND_US
    events = centre.say(c.RescheduleContact(contact=C1, not_before_us=later_us))
    assert names(events) == ["OfferRescinded", "ContactReturned", "ContactScheduled"]
    assert centre.held_by("ana") == {}
    centre.wait(50)
    assert centre.agents_of("c1") == ["ana"]
    centre.accept("c1")
    with pytest.raises(Refused, match="is being served"):
        centre.say(c.RescheduleContact(contact=C1, not_before_us=later_us))
    with pytest.raises(Invalid, match="not_after"):
        centre.say(c.RescheduleContact(contact=C1, not_before_us=9, not_after_us=9))


def test_a_switched_contact_keeps_id_and_age_and_takes_the_new_channels_numbers() -> None:
    centre = Centre()
    centre.submit("c1", "chat", external_id="web-1")
    started_us = centre.of("c1").visit_at_us
    centre.wait(20)
    centre.say(c.SwitchChannel(contact=C1, channel="sms", external_id="sms-1"))
    contact = centre.of("c1")
    assert (contact.channel, contact.visit_at_us, contact.tier) == ("sms", started_us, 1)
    assert contact.due_at_us == started_us + 600 * SECOND_US
    assert centre.engine.state.by_external == {("sms", "sms-1"): "c1"}
    centre.submit("c2", "sms", external_id="sms-1")
    assert centre.contact == "c1"


def test_a_switch_into_another_queue_asks_what_that_one_asks_and_begins_its_steps() -> None:
    lowers = Action(kind=ActionKind.LOWER, skill="en", level=2)
    adds = Action(kind=ActionKind.ADD_QUEUE, queue=QueueId("q"))
    steps = (Step(name="s", after_us=5 * SECOND_US, actions=(lowers, adds)),)
    tech = Queue(
        id=QueueId("tech"),
        requirements=(("tech", 5),),
        steps=(Step(name="t", after_us=9 * SECOND_US, actions=(lowers,)),),
    )
    centre = Centre(policy(Queue(id=QueueId("q"), steps=steps), tech))
    centre.agent("ana", ready=False)
    centre.submit("c1", "sms", requirements=(("en", 9),), target_agent=AgentId("ana"))
    centre.wait(5)
    assert centre.of("c1").requirements == (("en", 2),)
    centre.say(c.SwitchChannel(contact=C1, channel="chat", queue=QueueId("tech")))
    contact = centre.of("c1")
    assert (contact.queue, contact.requirements) == ("tech", (("en", 9), ("tech", 5)))
    assert (contact.step, contact.extra_queues, contact.target_agent) == (0, (), "")
    centre.agent("ben", {"en": 2, "tech": 5})
    assert contact.state == "queued"
    centre.wait(4)
    assert centre.agents_of("c1") == ["ben"]


def test_a_switch_into_a_closed_queue_does_what_that_queue_does() -> None:
    never = Hours(id="never", spans=())
    shut = Queue(id=QueueId("shut"), hours="never", on_closed=Limit(action=Full.DEFLECT))
    centre = Centre(policy(Queue(id=QueueId("q")), shut, hours={"never": never}))
    centre.submit("c1", "sms")
    events = centre.say(c.SwitchChannel(contact=C1, channel="chat", queue=QueueId("shut")))
    assert names(events) == ["ContactSwitched", "ContactClosed"]
    assert (only(events, e.ContactClosed).outcome, only(events, e.ContactClosed).reason) == (
        "deflected",
        "closed",
    )


def test_a_served_contact_switches_within_the_agents_room() -> None:
    centre = Centre()
    centre.agent("ana")
    for name in ("c1", "c2"):
        centre.submit(name)
        centre.accept(name)
    with pytest.raises(Refused, match="no room for 'voice'"):
        centre.say(c.SwitchChannel(contact=C1, channel="voice"))
    centre.complete("c2")
    centre.say(c.SwitchChannel(contact=C1, channel="voice"))
    reservation = centre.offer_of("c1")
    assert (reservation.channel, reservation.units, reservation.state) == (
        "voice",
        100,
        "connecting",
    )
    with pytest.raises(Refused, match="is on 'voice' already"):
        centre.say(c.SwitchChannel(contact=C1, channel="voice"))


def test_a_contact_is_not_moved_for_ever() -> None:
    settings = policy(*(Queue(id=QueueId(f"q{i}")) for i in range(5)), hops=3)
    centre = Centre(settings)
    centre.submit("c1", queue=QueueId("q0"))
    for number in range(1, 4):
        centre.say(c.MoveContact(contact=C1, queue=QueueId(f"q{number}")))
    with pytest.raises(Refused, match="was moved 3 times"):
        centre.say(c.MoveContact(contact=C1, queue=QueueId("q4")))
    with pytest.raises(Refused, match="was moved 3 times"):
        centre.say(c.SwitchChannel(contact=C1, channel="voice"))


def test_a_contact_is_watched_and_no_longer_watched() -> None:
    centre = Centre()
    centre.submit("c1")
    events = centre.say(c.WatchContact(contact=C1, watched=True, by="sue"))
    assert only(events, e.ContactUpdated).by == "sue"
    centre.say(c.WatchContact(contact=C1, watched=False))
    assert not centre.of("c1").watched
    with pytest.raises(NotFound):
        centre.say(c.WatchContact(contact=ContactId("gone")))


def test_an_agent_named_for_a_contact_is_the_only_one() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.agent("bo", ready=False)
    centre.submit("c1", target_agent=AgentId("bo"))
    assert centre.agents_of("c1") == []
    centre.ready("bo")
    assert centre.agents_of("c1") == ["bo"]
