from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.effects import DeliverMessage, DisconnectAgent, HoldContact
from router.core.model import SECOND_US, AgentId, ContactId, Presence, QueueId, ReservationId
from router.core.policy import Queue
from router.core.service import WRAP_UP_MOST_US
from router.errors import Invalid, NotFound, Refused
from tests.core.centre import Centre, names, only, policy, profiles
from tests.core.ruled import known

C1, K1 = ContactId("c1"), ContactId("k1")
ANA, BO = AgentId("ana"), AgentId("bo")


def talking(channel: str = "voice", **queue: Any) -> Centre:
    """Ana talks with c1."""
    settings = policy(
        Queue(id=QueueId("q"), **queue),
        Queue(id=QueueId("r"), transfer_head_start_us=9 * SECOND_US),
        profiles=profiles(all=[("q", 1)], other=[("r", 1)]),
    )
    centre = Centre(settings)
    centre.agent("ana")
    centre.submit("c1", channel)
    centre.talk("c1")
    return centre


def test_completing_needs_the_agent_who_serves() -> None:
    centre = talking()
    with pytest.raises(Refused, match="served by 'ana'"):
        centre.say(c.CompleteContact(contact=C1, agent=BO))
    events = centre.say(c.CompleteContact(contact=C1, agent=ANA, disposition="solved"))
    assert only(events, e.ReservationEnded).disposition == "solved"
    assert only(events, e.ContactClosed).outcome == "completed"


def test_a_queue_that_lists_dispositions_takes_no_other() -> None:
    centre = talking(dispositions=("solved", "complaint"))
    with pytest.raises(Invalid, match="no disposition 'sovled': did you mean 'solved'") as refused:
        centre.say(c.CompleteContact(contact=C1, agent=ANA, disposition="sovled"))
    assert refused.value.code == "unknown_disposition"
    with pytest.raises(Invalid, match="it has solved, complaint"):
        centre.say(c.CompleteContact(contact=C1, agent=ANA, disposition="zzz"))
    assert centre.held_by("ana") == {"c1": "connected"}
    events = centre.say(c.CompleteContact(contact=C1, agent=ANA, disposition="complaint"))
    assert only(events, e.ContactClosed).disposition == "complaint"
    assert centre.engine.state.drain().closed[0].disposition == "complaint"


def test_a_parked_contact_is_completed_with_a_disposition_too() -> None:
    centre = talking("chat", dispositions=("solved",))
    centre.say(c.ParkContact(contact=C1, agent=ANA))
    with pytest.raises(Invalid, match="did you mean"):
        centre.say(c.CompleteContact(contact=C1, agent=ANA, disposition="solve"))
    events = centre.say(c.CompleteContact(contact=C1, agent=ANA, disposition="solved"))
    assert only(events, e.ContactClosed).disposition == "solved"


def test_where_a_disposition_is_asked_for_the_agent_cannot_do_without() -> None:
    settings: dict[str, Any] = {"dispositions": ("solved",), "require_disposition": True}
    centre = talking(**settings, wrap_up_us={"voice": 60 * SECOND_US})
    with pytest.raises(Refused, match="asks for a disposition: solved") as refused:
        centre.say(c.CompleteContact(contact=C1, agent=ANA))
    assert refused.value.code == "disposition_missing"
    # The customer hangs up: nobody could choose, so wrap-up asks.
    events = centre.say(c.CompleteContact(contact=C1, reason="customer_ended"))
    assert only(events, e.WrapUpStarted).asks_disposition
    with pytest.raises(Refused, match="asks for a disposition"):
        centre.say(c.FinishWrapUp(reservation=ReservationId("r1"), agent=ANA))
    finish = c.FinishWrapUp(reservation=ReservationId("r1"), agent=ANA, disposition="solved")
    assert only(centre.say(finish), e.ReservationEnded).disposition == "solved"


def test_wrap_up_that_asks_for_a_disposition_ends_by_its_time_all_the_same() -> None:
    settings: dict[str, Any] = {"dispositions": ("solved",), "require_disposition": True}
    centre = talking(**settings, wrap_up_us={"voice": 60 * SECOND_US})
    centre.say(c.CompleteContact(contact=C1, reason="customer_ended"))
    assert only(centre.wait(60), e.ReservationEnded).disposition == ""
    centre.submit("c2", "voice")
    assert centre.agents_of("c2") == ["ana"]


def test_who_hands_a_contact_on_is_not_asked_how_it_ended() -> None:
    settings: dict[str, Any] = {"dispositions": ("solved",), "require_disposition": True}
    centre = talking(**settings, wrap_up_us={"voice": 60 * SECOND_US})
    centre.say(c.TransferContact(contact=C1, queue=QueueId("r"), agent=ANA))
    ended = only(
        centre.say(c.FinishWrapUp(reservation=ReservationId("r1"), agent=ANA)), e.ReservationEnded
    )
    assert ended.disposition == ""


def test_wrap_up_holds_the_agent_until_it_is_finished() -> None:
    centre = talking(wrap_up_us={"voice": 60 * SECOND_US})
    centre.complete("c1")
    centre.submit("c2", "voice")
    assert centre.agents_of("c2") == []
    with pytest.raises(NotFound):
        centre.say(c.FinishWrapUp(reservation=ReservationId("r1"), agent=BO))
    events = centre.say(c.FinishWrapUp(reservation=ReservationId("r1"), disposition="noted"))
    assert only(events, e.ReservationEnded).disposition == "noted"
    assert centre.agents_of("c2") == ["ana"]


def test_wrap_up_holds_the_units_of_its_own_contact() -> None:
    centre = talking("chat", wrap_up_us={"chat": 60 * SECOND_US})
    centre.complete("c1")
    centre.submit("call", "voice")
    centre.submit("chat")
    assert (centre.agents_of("call"), centre.agents_of("chat")) == ([], ["ana"])


def test_wrap_up_can_be_made_longer_up_to_an_hour() -> None:
    centre = talking(wrap_up_us={"voice": 60 * SECOND_US})
    with pytest.raises(Refused, match="is connected"):
        centre.say(c.ExtendWrapUp(reservation=ReservationId("r1"), by_us=SECOND_US))
    centre.complete("c1")
    centre.say(c.ExtendWrapUp(reservation=ReservationId("r1"), by_us=30 * SECOND_US))
    assert centre.wait(89) == []
    assert names(centre.wait(1)) == ["ReservationEnded"]
    centre = talking(wrap_up_us={"voice": 60 * SECOND_US})
    centre.complete("c1")
    with pytest.raises(Refused, match="an hour at most"):
        centre.say(c.ExtendWrapUp(reservation=ReservationId("r1"), by_us=WRAP_UP_MOST_US))
    with pytest.raises(Invalid, match="more than 0"):
        centre.say(c.ExtendWrapUp(reservation=ReservationId("r1"), by_us=0))


def test_a_call_is_not_parked_and_a_chat_frees_its_agent() -> None:
    with pytest.raises(Refused, match="'voice' are not parked"):
        talking().say(c.ParkContact(contact=C1))
    centre = talking("chat")
    assert names(centre.say(c.ParkContact(contact=C1, agent=ANA))) == [
        "ReservationEnded",
        "ContactParked",
    ]
    assert centre.held_by("ana") == {}
    assert names(centre.complete("c1")) == ["ContactClosed"]


def test_hold_is_told_to_the_adapter_once_and_its_time_is_counted() -> None:
    centre = talking()
    assert names(centre.say(c.HoldCustomer(contact=C1, agent=ANA))) == ["CustomerHeld"]
    assert [ef.held for ef in centre.effects if isinstance(ef, HoldContact)] == [True]
    assert centre.say(c.HoldCustomer(contact=C1)) == []
    centre.wait(12)
    centre.say(c.ResumeCustomer(contact=C1))
    assert centre.offer_of("c1").hold_us == 12 * SECOND_US
    assert centre.say(c.ResumeCustomer(contact=C1)) == []


def test_a_transfer_begins_a_new_visit_with_the_queues_head_start() -> None:
    centre = talking()
    centre.wait(100)
    events = centre.say(c.TransferContact(contact=C1, queue=QueueId("r"), agent=ANA))
    assert [type(effect) for effect in centre.effects] == [DisconnectAgent]
    queued = only(events, e.ContactQueued)
    assert (queued.queue, queued.visit_no, queued.head_start_us) == ("r", 2, 9 * SECOND_US)
    assert queued.visit_at_us == centre.now_us
    assert centre.held_by("ana") == {}


def test_a_transfer_to_an_agent_waits_for_that_agent() -> None:
    centre = talking()
    centre.agent("bo", profile="other", ready=False)
    with pytest.raises(Refused, match="'bo' is offline"):
        centre.say(c.TransferContact(contact=C1, target_agent=BO))
    centre.away("bo")
    centre.say(c.TransferContact(contact=C1, target_agent=BO))
    assert centre.of("c1").state == "queued"
    centre.ready("bo")
    assert centre.agents_of("c1") == ["bo"]


def test_a_transfer_names_something() -> None:
    centre = talking()
    with pytest.raises(Invalid, match="a queue, an agent, or requirements"):
        centre.say(c.TransferContact(contact=C1))
    assert centre.held_by("ana") == {"c1": "connected"}


def test_a_transfer_with_other_requirements_goes_to_whoever_meets_them() -> None:
    centre = talking()
    centre.agent("bo", {"tech": 7})
    centre.say(c.TransferContact(contact=C1, requirements=(("tech", 5),)))
    assert centre.agents_of("c1") == ["bo"]


def test_a_requeued_contact_keeps_its_place_and_leaves_this_agent_alone() -> None:
    centre = talking()
    key = centre.of("c1").due_at_us, centre.of("c1").arrival_no
    centre.submit("c2", "voice")
    events = centre.say(c.RequeueContact(contact=C1, agent=ANA, reason="no idea"))
    assert names(events)[:2] == ["ReservationFailed", "ContactReturned"]
    assert (centre.of("c1").due_at_us, centre.of("c1").arrival_no) == key
    assert centre.agents_of("c2") == ["ana"]
    centre.agent("bo")
    assert centre.agents_of("c1") == ["bo"]


def test_a_known_customer_is_kept_for_who_served_them_last() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), prefer_last_us=10 * SECOND_US)))
    for name in ("ana", "bo"):
        centre.agent(name, maximum={"chat": 1})
    centre.submit("c1", target_agent=BO)
    centre.talk("c1")
    centre.submit("c2", facts=known(last_agent="bo"))
    assert (centre.of("c2").hold_agent, centre.of("c2").state) == ("bo", "queued")
    centre.complete("c1")
    assert centre.agents_of("c2") == ["bo"]
    centre.submit("c3", facts=known(last_agent="bo"))
    assert centre.agents_of("c3") == []
    centre.wait(10)
    assert centre.agents_of("c3") == ["ana"]


def test_a_transferred_contact_is_not_kept_for_who_transferred_it() -> None:
    centre = talking("chat", prefer_last_us=60 * SECOND_US)
    centre.agent("bo", profile="all")
    centre.say(c.TransferContact(contact=C1, queue=QueueId("q"), agent=ANA))
    assert centre.agents_of("c1") == ["bo"]


def test_who_gives_a_contact_back_is_not_waited_for() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"))))
    centre.agent("ana")
    centre.submit("c1", prefer_agent=ANA, prefer_us=60 * SECOND_US)
    centre.talk("c1")
    centre.agent("bo")
    events = centre.say(c.RequeueContact(contact=C1, agent=ANA))
    assert "HoldEnded" in names(events)
    assert centre.agents_of("c1") == ["bo"]


def consulting(channel: str = "voice") -> Centre:
    centre = talking(channel)
    centre.agent("bo", profile="other")
    centre.say(c.StartConsult(contact=C1, consult=K1, queue=QueueId("r"), agent=ANA))
    return centre


def test_a_consult_is_a_contact_of_its_own_and_the_customer_is_on_hold() -> None:
    centre = consulting()
    assert (centre.of("c1").consult, centre.of("k1").consult_of) == ("k1", "c1")
    assert centre.offer_of("c1").hold_at_us > 0
    assert centre.agents_of("k1") == ["bo"]
    with pytest.raises(Refused, match="has an open consult already"):
        centre.say(c.StartConsult(contact=C1, consult=ContactId("k2")))


def test_after_a_consult_the_agent_goes_on_alone() -> None:
    centre = consulting()
    centre.talk("k1")
    events = centre.say(c.EndConsult(contact=C1, agent=ANA))
    assert {"ConsultEnded", "ContactClosed", "CustomerResumed"} <= set(names(events))
    assert (centre.held_by("ana"), centre.held_by("bo")) == ({"c1": "connected"}, {})
    assert centre.of("c1").consult == ""


@pytest.mark.parametrize(
    "command",
    [
        c.ParkContact(contact=K1),
        c.TransferContact(contact=K1, queue=QueueId("q")),
        c.SwitchChannel(contact=K1, channel="sms"),
        c.RequestCallback(contact=K1, callback=ContactId("k2")),
        c.RescheduleContact(contact=K1, not_before_us=0),
    ],
)
def test_a_consult_goes_nowhere_by_itself(command: c.Command) -> None:
    centre = consulting("chat")
    centre.talk("k1")
    with pytest.raises(Refused, match="is a consult"):
        centre.say(command)
    assert (centre.of("k1").consult_of, centre.of("c1").consult) == ("c1", "k1")


def test_what_is_written_in_a_consult_is_between_the_two_agents() -> None:
    centre = consulting("chat")
    centre.agent("cy")
    centre.talk("k1")
    for agent, message in ((ANA, "m1"), (BO, "m2")):
        sent = centre.say(c.SendMessage(contact=K1, message=message, size=1, agent=agent))
        assert only(sent, e.MessageSent).agent == agent
        assert not any(isinstance(effect, DeliverMessage) for effect in centre.effects)
    with pytest.raises(Refused, match="served by 'bo'"):
        centre.say(c.SendMessage(contact=K1, message="m3", size=1, agent=AgentId("cy")))
    centre.say(c.SendMessage(contact=C1, message="m4", size=1, agent=ANA))
    assert any(isinstance(effect, DeliverMessage) for effect in centre.effects)


def test_nobody_is_asked_about_a_contact_that_was_parked() -> None:
    centre = consulting("chat")
    centre.talk("k1")
    events = centre.say(c.ParkContact(contact=C1, agent=ANA))
    assert [event.contact for event in events if isinstance(event, e.ContactClosed)] == ["k1"]
    assert (centre.of("c1").state, centre.of("c1").consult) == ("parked", "")
    assert centre.held_by("bo") == {}


def test_who_is_silent_while_somebody_is_asked_about_them_is_parked_after_that() -> None:
    centre = consulting("chat")
    centre.talk("k1")
    centre.say(c.SendMessage(contact=C1, message="m1", size=1, agent=ANA))
    assert "ContactParked" not in names(centre.wait(400))
    assert centre.of("c1").state == "active"
    centre.say(c.EndConsult(contact=C1, agent=ANA))
    assert names(centre.wait(0)) == ["ReservationEnded", "ContactParked"]


def test_a_consulted_agent_takes_over() -> None:
    centre = consulting()
    with pytest.raises(Refused):
        centre.say(c.EndConsult(contact=C1, hand_over=True))
    centre.talk("k1")
    events = centre.say(c.EndConsult(contact=C1, hand_over=True))
    assert only(events, e.ReservationMoved).agent == "bo"
    assert (centre.held_by("ana"), centre.held_by("bo")) == ({}, {"c1": "connected"})
    assert centre.of("c1").last_agent == "bo"
    centre.complete("c1")
    assert centre.engine.state.contacts == {}


def test_a_customer_who_leaves_ends_the_consult_too() -> None:
    centre = consulting()
    centre.talk("k1")
    events = centre.say(c.AbandonContact(contact=C1))
    assert names(events).count("ContactClosed") == 2
    assert (centre.held_by("ana"), centre.held_by("bo")) == ({}, {})


def test_nobody_consults_themselves_or_somebody_who_is_not_there() -> None:
    centre = talking()
    centre.agent("bo", ready=False)
    for target, words in ((ANA, "cannot consult themselves"), (BO, "is offline")):
        with pytest.raises(Refused, match=words):
            centre.say(c.StartConsult(contact=C1, consult=K1, target_agent=target))
    with pytest.raises(Refused, match="has no open consult"):
        centre.say(c.EndConsult(contact=C1))
    assert centre.who("bo").presence is Presence.OFFLINE
