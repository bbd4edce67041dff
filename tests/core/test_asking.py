from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.asking import QUESTIONS_MOST
from router.core.effects import CollectFromContact, EndContact, TreatContact
from router.core.engine import Engine
from router.core.model import SECOND_US, ContactId, QueueId
from router.core.policy import Queue
from router.core.rules.book import Moment
from router.core.rules.types import STRING
from router.core.rules.verbs import Experiment, PreferAgent
from router.core.state import State
from router.errors import Invalid, Refused
from tests.core.centre import Centre, names, only, policy
from tests.core.ruled import centre as ruled
from tests.core.ruled import known, rule, when

C1 = ContactId("c1")
BILLING = QueueId("billing")


def asked(centre: Centre, **fields: Any) -> CollectFromContact:
    settings = {"name": "pin", "prompt": "Your number?", "timeout_us": 10 * SECOND_US, **fields}
    centre.say(c.CollectInput(contact=ContactId("c1"), **settings))
    (effect,) = centre.effects
    assert isinstance(effect, CollectFromContact)
    return effect


def test_input_is_asked_for_and_becomes_an_attribute() -> None:
    centre = Centre()
    centre.submit("c1", "voice", attributes={"a": 1})
    effect = asked(centre, digits=4)
    assert (effect.name, effect.digits, effect.ask) == ("pin", 4, "q1")
    assert centre.of("c1").asking == "pin"
    with pytest.raises(Refused, match="is being asked 'pin'"):
        centre.say(c.CollectInput(contact=ContactId("c1"), name="more", prompt="And?"))
    answer = c.ReportInput(contact=ContactId("c1"), name="pin", value="0815", ask="q1")
    collected = only(centre.say(answer), e.InputCollected)
    assert (collected.ask, collected.value, collected.timed_out) == ("q1", "0815", False)
    assert centre.of("c1").attributes == {"a": 1, "input.pin": "0815"}
    assert (centre.of("c1").asking, centre.of("c1").question) == ("", None)
    assert centre.say(answer) == [], "the same answer again changes nothing"
    assert asked(centre).ask == "q2"
    assert centre.say(answer) == [], "nor does it answer the next question"
    assert centre.of("c1").asking == "pin"


def test_nobody_answers_what_was_not_asked_or_not_offered() -> None:
    centre = Centre()
    centre.submit("c1", "voice")
    with pytest.raises(Refused, match="not asked 'pin'"):
        centre.say(c.ReportInput(contact=ContactId("c1"), name="pin", value="1"))
    asked(centre, choices={"1": "Billing", "2": "Repairs"})
    with pytest.raises(Invalid, match="'pin' is one of 1, 2, got '9'"):
        centre.say(c.ReportInput(contact=ContactId("c1"), name="pin", value="9"))
    centre.say(c.ReportInput(contact=ContactId("c1"), name="pin", value="2"))
    assert centre.of("c1").attributes == {"input.pin": "2"}


def test_a_question_ends_by_the_adapters_word_or_by_itself() -> None:
    centre = Centre()
    centre.submit("c1", "voice")
    asked(centre)
    late = c.ReportInput(contact=ContactId("c1"), name="pin", value="", ask="q1", timed_out=True)
    assert only(centre.say(late), e.InputCollected).timed_out
    assert centre.of("c1").attributes == {"input.pin": ""}
    asked(centre)
    assert [e_ for e_ in centre.wait(19) if isinstance(e_, e.InputCollected)] == []
    over = only(centre.wait(1), e.InputCollected)
    assert (over.ask, over.timed_out) == ("q2", True)
    assert centre.of("c1").asking == ""


def test_a_question_ends_with_its_channel_and_with_its_contact() -> None:
    centre = Centre()
    centre.submit("c1", "chat")
    asked(centre)
    centre.say(c.SwitchChannel(contact=ContactId("c1"), channel="sms"))
    assert (centre.of("c1").asking, "input.pin" in centre.of("c1").attributes) == ("", False)
    asked(centre)
    centre.say(c.CancelContact(contact=ContactId("c1")))
    assert centre.wait(60) == []


def test_an_open_question_is_restated_after_a_restart_for_the_time_that_is_left() -> None:
    centre = Centre()
    centre.submit("c1", "voice")
    asked(centre, choices={"1": "Billing"})
    state = State()
    for kind, _, row in centre.engine.state.drain().upserts:
        state.load(kind, row)
    engine = Engine(policy(), state)
    effects = engine.resume(centre.now_us + 4 * SECOND_US).effects
    [again] = [effect for effect in effects if isinstance(effect, CollectFromContact)]
    assert (again.ask, again.choices, again.timeout_us) == ("q1", {"1": "Billing"}, 6 * SECOND_US)
    assert engine.next_deadline() is not None
    over = engine.advance(centre.now_us + 20 * SECOND_US).events
    assert only(over, e.InputCollected).timed_out


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "no spaces"}, "letters, digits and _"),
        ({"prompt": ""}, "1-4000 characters"),
        ({"choices": {str(n): "x" for n in range(21)}}, "at most 20 choices"),
        ({"digits": 41}, "1-40 digits"),
        ({"timeout_us": 301 * SECOND_US}, "1 s to 5 min"),
    ],
)
def test_a_question_has_bounds(wrong: dict[str, Any], words: str) -> None:
    centre = Centre()
    centre.submit("c1", "voice")
    with pytest.raises(Invalid, match=words):
        asked(centre, **wrong)
    assert centre.of("c1").asking == ""


def test_questions_are_bounded() -> None:
    centre = Centre()
    centre.submit("c1", "voice")
    for _ in range(QUESTIONS_MOST):
        asked(centre)
        centre.say(c.ReportInput(contact=C1, name="pin", value="1"))
    with pytest.raises(Refused, match="was asked 50"):
        asked(centre)


@pytest.mark.parametrize("state", ["scheduled", "parked"])
def test_nobody_is_asked_who_is_not_there(state: str) -> None:
    centre = Centre()
    if state == "scheduled":
        centre.submit("c1", not_before_us=centre.now_us + 9 * SECOND_US)
    else:
        centre.agent("ana")
        centre.submit("c1")
        centre.accept("c1")
        centre.say(c.ParkContact(contact=C1))
    with pytest.raises(Refused, match="nobody to ask"):
        asked(centre)


# --- rules for input ------------------------------------------------------------------------------


def on_input(name: str, digit: str = "", **then: Any) -> Any:
    text = f'contact.attributes["input.pin"] == "{digit}"' if digit else None
    return rule(name, text, Moment.INPUT, **then)


def answer(centre: Centre, value: str) -> list[e.Event]:
    asked(centre)
    return centre.say(c.ReportInput(contact=C1, name="pin", value=value))


def test_an_answer_is_an_input_to_rules() -> None:
    world = ruled(
        on_input("bills", "1", queue="billing", require=(("billing", 3),), set={"topic": "bill"}),
        on_input("other", "2", queue="q"),
        queues=(Queue(id=BILLING, requirements=(("de", 1),)),),
    )
    world.submit("c1", "voice", requirements=(("en", 2),))
    events = answer(world, "1")
    assert names(events) == [
        "InputCollected",
        "ContactUpdated",
        "RequirementsChanged",
        "ContactOverflowed",
    ]
    contact = world.of("c1")
    assert (contact.queue, contact.rule) == ("billing", "bills")
    assert contact.requirements == (("billing", 3), ("de", 1), ("en", 2))
    assert contact.attributes == {"input.pin": "1", "topic": "bill"}


def test_an_answer_that_no_rule_is_for_changes_nothing_else() -> None:
    world = ruled(on_input("bills", "1", queue="billing"), rule("all", set={"seen": 1}))
    world.submit("c1", "voice")
    assert names(answer(world, "2")) == ["InputCollected"]
    assert world.of("c1").rule == "all"
    assert names(answer(world, "")) == ["InputCollected"], "no answer is none"


def test_rules_that_matched_on_input_stand_behind_those_on_arrival() -> None:
    world = ruled(rule("all", set={"seen": 1}), on_input("again", watch=True))
    world.submit("c1", "voice")
    updated = only(answer(world, "1"), e.ContactUpdated)
    assert (updated.rule, updated.attributes) == ("again", None)
    answer(world, "1")
    contact = world.of("c1")
    assert (contact.rule, contact.watched) == ("all,again", True)


@pytest.mark.parametrize("verb", ["deflect", "reject"])
def test_an_answer_may_end_the_contact(verb: str) -> None:
    world = ruled(on_input("end", "9", **{verb: "Good bye"}))
    world.submit("c1", "voice")
    closed = only(answer(world, "9"), e.ContactClosed)
    assert (closed.outcome, closed.reason) == ("deflected", "rule")
    [end] = [effect for effect in world.effects if isinstance(effect, EndContact)]
    assert end.text == "Good bye"


def test_an_answer_changes_the_place_in_line() -> None:
    world = ruled(on_input("sooner", "1", tier=-1, head_start_us=5 * SECOND_US))
    world.submit("c0", "voice")
    world.submit("c1", "voice", head_start_us=SECOND_US)
    moved = only(answer(world, "1"), e.ContactReprioritized)
    assert (moved.tier, moved.head_start_us) == (-1, 6 * SECOND_US)
    world.agent("ana")
    assert world.agents_of("c1") == ["ana"]


def test_an_answer_does_not_hold_the_contact_for_an_agent_who_is_away() -> None:
    prefer = PreferAgent(for_us=30 * SECOND_US)
    world = ruled(on_input("mine", "1", prefer_agent=prefer, queue="billing"))
    world.agent("bo", ready=False)
    world.submit("c1", "voice", facts=known(last_agent="bo"), customer="kim")
    assert "ContactQueued" not in names(answer(world, "1"))
    assert (world.of("c1").queue, world.of("c1").hold_agent) == ("billing", "")


@pytest.mark.parametrize("agent", ["", "bo"])
def test_an_answer_holds_the_contact_and_its_wait_runs_on(agent: str) -> None:
    prefer = PreferAgent(agent=agent, for_us=30 * SECOND_US)
    world = ruled(on_input("mine", "1", prefer_agent=prefer))
    world.agent("ana")
    world.agent("bo")
    for id_ in ("x1", "x2"):
        world.submit(id_, "voice")
        world.talk(id_)
    facts = known(last_agent="bo")
    world.submit("c1", "voice", tier=3, head_start_us=SECOND_US, facts=facts, customer="kim")
    began_us = world.now_us
    world.wait(3)
    queued = only(answer(world, "1"), e.ContactQueued)
    assert queued.visit_at_us == began_us
    assert (queued.hold_agent, queued.reason) == ("bo", "rule")
    assert (queued.tier, queued.head_start_us) == (3, SECOND_US)
    world.complete("x1")
    assert world.of("c1").state == "queued", "ana has room, and it is held for bo"
    world.complete("x2")
    assert world.agents_of("c1") == ["bo"]


def test_an_answer_is_told_something_and_goes_on_elsewhere() -> None:
    world = ruled(on_input("sms", "1", message="See your phone", switch_channel="sms"))
    world.submit("c1", "voice")
    events = answer(world, "1")
    assert names(events) == ["InputCollected", "ContactUpdated", "ContactSwitched"]
    assert [f.text for f in world.effects if isinstance(f, TreatContact)] == ["See your phone"]


def test_attributes_of_an_answer_may_be_worked_out() -> None:
    arms = (Experiment(name="x", arms={"a": 1}),)
    text = 'contact.attributes["input.pin"] + "!"'
    world = ruled(on_input("mark", set={"loud": when(text, STRING)}, experiment=arms))
    world.submit("c1", "voice")
    answer(world, "7")
    assert world.of("c1").attributes == {"input.pin": "7", "loud": "7!", "experiment.x": "a"}


def test_whoever_is_served_already_stays_where_they_are() -> None:
    world = ruled(on_input("bills", queue="billing", deflect=""))
    world.agent("ana")
    world.submit("c1", "voice")
    world.talk("c1")
    assert names(answer(world, "1")) == ["InputCollected"]
    assert world.of("c1").state == "active"


def test_an_answer_is_called_back_in_the_same_place() -> None:
    world = ruled(on_input("back", "2", callback="voice"))
    world.submit("c1", "voice", peer_key="ann/voice/1")
    world.wait(40)
    began_us = world.of("c1").visit_at_us
    events = answer(world, "2")
    assert only(events, e.ContactClosed).outcome == "deflected"
    received = only(events, e.ContactReceived)
    assert (received.contact, received.callback_of) == ("c1-callback", "c1")
    assert (received.direction, received.visit_at_us) == ("callback", began_us)


def test_nobody_is_called_back_by_a_handle() -> None:
    world = ruled(on_input("back", "2", callback="voice"))
    world.submit("c1", "chat", peer_key="visitor/chat/site")
    assert names(answer(world, "2")) == ["InputCollected", "ContactUpdated"]
    assert world.of("c1").state == "queued"


def test_who_presses_while_an_agent_is_rung_has_what_they_chose() -> None:
    world = ruled(on_input("sms", "1", switch_channel="sms"), on_input("vip", "2", tier=0))
    for number, chosen in ((1, "sms"), (2, "voice")):
        world.submit(f"c{number}", "voice", peer_key=f"ann{number}/voice/1")
        world.say(c.CollectInput(contact=ContactId(f"c{number}"), name="pin", prompt="?"))
        world.agent(f"a{number}")
        assert world.of(f"c{number}").state == "offered"
        pressed = c.ReportInput(contact=ContactId(f"c{number}"), name="pin", value=str(number))
        told = names(world.say(pressed))
        assert world.of(f"c{number}").channel == chosen
        assert ("OfferRescinded" in told) == (chosen == "sms")
        world.talk(f"c{number}")


def test_a_phone_number_is_the_same_customer_on_the_other_channel() -> None:
    world = ruled(on_input("sms", "1", switch_channel="sms"))
    world.submit("c1", "voice", peer_key="ann/voice/+49301")
    switched = only(answer(world, "1"), e.ContactSwitched)
    assert switched.peer_key == "ann/sms/"
    assert world.engine.state.by_peer["ann/sms/"] == "c1"
