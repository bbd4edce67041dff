from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.effects import AnswerRoute, EndContact, LoadCustomer, TreatContact
from router.core.facts import CustomerFacts, Facts, LearnedWindow, Outbound
from router.core.model import SECOND_US, AgentId, ContactId, Direction, QueueId
from router.core.policy import (
    Action,
    ActionKind,
    Decline,
    EntryPoint,
    Full,
    Hours,
    Limit,
    Queue,
    Step,
)
from router.core.rules.book import Match
from router.core.rules.types import DURATION, INT, STRING, TIMESTAMP
from router.core.rules.verbs import (
    At,
    Experiment,
    GiveUp,
    Mode,
    PreferAgent,
    Schedule,
    Then,
)
from router.core.ruling import GIVEN, NEVER_US, holds, limit_for, reads_preference
from router.errors import Refused
from tests.core.centre import START_US, Centre, names, only
from tests.core.ruled import centre, known, rule, segment, when

C1 = ContactId("c1")
BILLING = QueueId("billing")
TOPIC = 'has(contact.attributes.topic) && contact.attributes.topic == "bill"'
BILL: dict[str, Any] = {"attributes": {"topic": "bill"}}
OUT: dict[str, Any] = {"direction": Direction.OUTBOUND, "customer": "kim"}


# --- verbs ----------------------------------------------------------------------------------------


def test_a_rule_says_where_a_contact_waits_and_what_it_asks_for() -> None:
    queues = (Queue(id=BILLING, requirements=(("billing", 2),)),)
    world = centre(rule("bills", TOPIC, queue="billing", require=(("en", 4),)), queues=queues)
    events = world.submit("c1", requirements=(("de", 1), ("en", 2)), **BILL)
    received = only(events, e.ContactReceived)
    assert (received.queue, received.rule) == ("billing", "bills")
    assert received.requirements == (("de", 1), ("en", 4))
    contact = world.of("c1")
    assert (contact.queue, contact.rule) == ("billing", "bills")
    assert contact.requirements == (("billing", 2), ("de", 1), ("en", 4))
    assert contact.requirements_asked == (("de", 1), ("en", 4))


def test_whom_no_rule_matches_goes_where_it_was_sent() -> None:
    world = centre(rule("bills", TOPIC, queue="billing"))
    world.submit("c1", attributes={"topic": "other"})
    assert (world.of("c1").queue, world.of("c1").rule) == ("q", "")


@pytest.mark.parametrize(
    "prefer", [PreferAgent(for_us=SECOND_US), PreferAgent(agent="bo", for_us=SECOND_US)]
)
def test_a_contact_is_held_for_the_last_agent_or_a_named_one(prefer: PreferAgent) -> None:
    world = centre(rule("hold", prefer_agent=prefer))
    world.agent("ana")
    world.agent("bo")
    world.submit("c1", customer="kim", facts=known(last_agent="bo"))
    assert world.agents_of("c1") == ["bo"], "ana is longer idle"


def test_a_rule_that_prefers_nobody_who_is_known_leaves_the_callers_wish() -> None:
    world = centre(rule("hold", prefer_agent=PreferAgent(for_us=SECOND_US)))
    world.agent("ana")
    world.agent("bo")
    for facts in (Facts(), known(last_agent="gone")):
        world.submit("c1", prefer_agent=AgentId("bo"), prefer_us=SECOND_US, facts=facts)
        assert world.agents_of("c1") == ["bo"]
        world.say(c.CancelContact(contact=C1))


def test_tier_and_head_start_change_the_place_in_line() -> None:
    world = centre(
        rule("first", 'contact.attributes.x == "tier"', tier=-1),
        rule("sooner", 'contact.attributes.x == "start"', head_start_us=90 * SECOND_US),
    )
    for id_, x in (("c1", ""), ("c2", "start"), ("c3", "tier")):
        world.submit(id_, attributes={"x": x})
        world.wait(1)
    assert (world.of("c3").tier, world.of("c2").head_start_us) == (-1, 90 * SECOND_US)
    world.agent("ana")
    assert world.agents_of("c3") == ["ana"]
    assert only(world.submit("c4", head_start_us=SECOND_US, attributes={"x": "start"}),
                e.ContactQueued).head_start_us == 91 * SECOND_US  # fmt: skip


def test_attributes_are_set_to_constants_and_to_what_expressions_come_to() -> None:
    world = centre(
        rule("mark", set={"vip": True, "who": when('customer.id + "!"', STRING)}),
    )
    world.submit("c1", customer="kim", attributes={"vip": False, "left": 1})
    assert world.of("c1").attributes == {"vip": True, "who": "kim!", "left": 1}


def test_the_entry_points_attributes_are_seen_and_what_rules_set_wins() -> None:
    point = EntryPoint(id="line", channel="chat", queue=QueueId("q"), attributes={"topic": "bill"})
    world = centre(
        rule("bills", f'{TOPIC} && contact.entry_point == "line"', set={"topic": "b"}),
        entry_points={"line": point},
    )
    world.submit("c1", entry_point="line")
    assert world.of("c1").attributes == {"topic": "b"}


def test_a_customer_is_always_in_the_same_arm_of_an_experiment() -> None:
    arms = {"a": 50, "b": 50}
    world = centre(rule("try", experiment=(Experiment(name="wording", arms=arms),)))
    found = {}
    for n in range(40):
        world.submit(f"c{n}", customer=f"k{n // 2}")
        found[n] = world.of(f"c{n}").attributes["experiment.wording"]
    assert all(found[n] == found[n + 1] for n in range(0, 40, 2))
    assert set(found.values()) == {"a", "b"}


def test_a_rule_tells_the_customer_something_and_goes_on_by_another_channel() -> None:
    world = centre(rule("sms", message="See your phone", switch_channel="sms"))
    events = world.submit("c1")
    assert names(events) == ["ContactReceived", "ContactQueued", "ContactSwitched"]
    assert (world.of("c1").channel, world.of("c1").state) == ("sms", "queued")
    [told] = [effect for effect in world.effects if isinstance(effect, TreatContact)]
    assert (told.kind, told.text, told.channel) == ("text", "See your phone", "chat")


def test_a_watched_contact_stands_before_the_supervisor() -> None:
    world = centre(rule("watch", watch=True))
    world.submit("c1")
    assert world.of("c1").watched
    quiet = centre(rule("not", watch=False))
    quiet.submit("c1", watched=True)
    assert not quiet.of("c1").watched


def test_a_deflected_contact_is_told_why_and_waits_nowhere() -> None:
    world = centre(rule("later", deflect="Please write to us"))
    events = world.submit("c1")
    assert names(events) == ["ContactReceived", "ContactClosed"]
    closed = only(events, e.ContactClosed)
    assert (closed.outcome, closed.reason) == ("deflected", "rule")
    [end] = [effect for effect in world.effects if isinstance(effect, EndContact)]
    assert end.text == "Please write to us"


def test_a_rejected_contact_never_was() -> None:
    world = centre(rule("no", TOPIC, reject="not_for_us"))
    with pytest.raises(Refused, match="not_for_us"):
        world.submit("c1", **BILL)
    assert world.engine.state.contacts == {}
    assert names(world.submit("c1"))[0] == "ContactReceived"


# --- schedule -------------------------------------------------------------------------------------


def test_a_rule_sets_the_terms_on_which_a_contact_goes_out() -> None:
    schedule = Schedule(
        at=At.LEARNED_WINDOW, mode=Mode.MESSAGE_FIRST, template="offer", purpose="marketing",
        within_us=3600 * SECOND_US, latest_us=7200 * SECOND_US, give_up=GiveUp.SEND, explore=False,
    )  # fmt: skip
    world = centre(rule("offer", schedule=schedule, queue="billing"))
    events = world.submit("c1", "sms", **OUT)
    assert names(events) == ["ContactReceived", "ContactScheduled", "OutboundReserved"]
    contact = world.of("c1")
    terms = contact.outbound
    assert terms is not None
    assert (terms.mode, terms.template, terms.purpose) == ("message_first", "offer", "marketing")
    assert (terms.learned, terms.explore, terms.give_up) == (True, False, "send")
    assert terms.latest_at_us == START_US + 7200 * SECOND_US
    assert (contact.queue, contact.state) == ("billing", "scheduled")
    world.wait(0)
    assert [type(effect) for effect in world.effects] == [LoadCustomer], "asked on these terms"


def test_a_learned_window_is_waited_for_and_the_contact_queued_in_it() -> None:
    world = centre(rule("hour", schedule=Schedule(at=At.LEARNED_WINDOW), queue="billing"))
    world.submit("c1", **OUT, peer_key="h/chat/us")
    world.wait(0)
    window = LearnedWindow(
        channel="chat", address="h", start_us=START_US + 60 * SECOND_US,
        end_us=START_US + 120 * SECOND_US, probability=0.8, low=0.7, high=0.9,
    )  # fmt: skip
    facts = Facts(windows=(window,))
    world.say(c.ProvideCustomer(contact=C1, customer="kim", facts=facts))
    assert world.of("c1").not_before_us == window.start_us
    world.wait(60)
    events = world.say(c.ProvideCustomer(contact=C1, customer="kim", facts=facts))
    assert only(events, e.ContactQueued).queue == "billing"


def test_now_means_as_soon_as_the_customer_is_known() -> None:
    world = centre(rule("now", schedule=Schedule(at=At.NOW)))
    world.submit("c1", **OUT)
    assert world.of("c1").not_before_us == START_US
    world.wait(0)
    events = world.say(c.ProvideCustomer(contact=C1, customer="kim"))
    assert only(events, e.ContactQueued).reason == "activated"


def test_an_expression_names_the_moment() -> None:
    moment = when('now + duration("90s")', TIMESTAMP)
    world = centre(rule("soon", schedule=Schedule(at=At.MOMENT, moment=moment)))
    world.submit("c1", **OUT)
    assert world.of("c1").not_before_us == START_US + 90 * SECOND_US


def test_a_moment_without_a_value_schedules_nothing_and_the_contact_goes_out_as_asked() -> None:
    moment = when('customer.last_contact_at + duration("90s")', TIMESTAMP)
    world = centre(rule("soon", schedule=Schedule(at=At.MOMENT, moment=moment)))
    events = world.submit("c1", **OUT, facts=known())
    assert only(events, e.ContactQueued).reason == "activated"


def test_an_inbound_contact_is_not_scheduled() -> None:
    world = centre(rule("hour", schedule=Schedule(at=At.LEARNED_WINDOW)))
    world.submit("c1", customer="kim")
    assert (world.of("c1").state, world.of("c1").outbound) == ("queued", None)


def test_a_segments_channels_bind_what_goes_out_on_the_callers_terms() -> None:
    world = centre(segments=(segment("passive", channels=("email", "sms"), explore=False),))
    late_us = START_US + 3600 * SECOND_US
    world.submit("c1", **OUT, outbound=Outbound(template="hi"), not_after_us=late_us)
    terms = world.of("c1").outbound
    assert terms is not None
    assert (terms.channels, terms.explore, terms.latest_at_us) == (("email", "sms"), False, late_us)


# --- segments -------------------------------------------------------------------------------------

LOYAL = segment("loyal", "customer.contacts > 10", then=Then(head_start_us=60 * SECOND_US))
PASSIVE = segment("passive")


@pytest.mark.parametrize(
    ("facts", "given", "found", "reason"),
    [
        (known(contacts=11), "", "loyal", "customer.contacts > 10"),
        (known(contacts=10), "", "passive", "everybody"),
        (known(contacts=10, segment="loyal"), "", "loyal", "given by hand"),
        (known(contacts=11), "passive", "passive", GIVEN),
        (known(contacts=11, segment="passive"), "loyal", "loyal", GIVEN),
        (known(segment="loyal"), "loyal", "loyal", "given by hand"),
    ],
)
def test_a_segment_is_given_with_the_contact_or_by_hand_or_found(
    facts: Facts, given: str, found: str, reason: str
) -> None:
    world = centre(rule("mark", set={"s": when("segment", STRING)}), segments=(LOYAL, PASSIVE))
    world.submit("c1", customer="kim", facts=facts, segment=given)
    contact = world.of("c1")
    assert (contact.segment, contact.segment_reason) == (found, reason)
    assert contact.attributes == {"s": found}, "rules see it"
    assert contact.head_start_us == (60 * SECOND_US if found == "loyal" else 0)


def test_without_a_segment_that_matches_the_reason_says_so() -> None:
    world = centre(segments=(LOYAL,))
    world.submit("c1")
    assert (world.of("c1").segment, world.of("c1").segment_reason) == ("", "no segment matched")


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "rules", "queue", "attributes"),
    [
        (Match.FIRST, "one", "billing", {"a": 1}),
        (Match.ALL, "one,two", "q", {"a": 2, "b": 2}),
    ],
)
def test_the_first_rule_decides_or_all_of_them(
    match: Match, rules: str, queue: str, attributes: dict[str, Any]
) -> None:
    world = centre(
        rule("none", "false", set={"n": 1}),
        rule("one", set={"a": 1}, queue="billing"),
        rule("two", set={"a": 2, "b": 2}, queue="q"),
        match=match,
    )
    world.submit("c1")
    contact = world.of("c1")
    assert (contact.rule, contact.queue, contact.attributes) == (rules, queue, attributes)


def test_a_condition_without_a_value_does_not_match() -> None:
    world = centre(
        rule("broken", 'contact.attributes.topic == "bill"', queue="billing"),
        rule("next", set={"seen": True}),
    )
    world.submit("c1")
    assert (world.of("c1").queue, world.of("c1").rule) == ("q", "next")


def test_the_rules_decide_by_queues_and_agents_as_they_are() -> None:
    world = centre(
        rule("full", "queues.q.waiting >= 2 && queues.billing.eligible >= 1", queue="billing"),
        rule("alone", "queue.ready == 0 && queue.available == 0", set={"alone": True}),
        queues=(Queue(id=BILLING, requirements=(("billing", 5),)),),
    )
    world.submit("c1")
    world.submit("c2")
    world.submit("c3")
    assert [world.of(id_).queue for id_ in ("c1", "c2", "c3")] == ["q", "q", "q"]
    assert world.of("c1").attributes == {"alone": True}
    world.agent("ana", {"billing": 4})
    world.submit("c4")
    assert world.of("c4").queue == "q", "nobody meets what the queue asks"
    world.agent("bo", {"billing": 5})
    for n in range(5, 12):
        world.submit(f"c{n}")
    assert world.of("c11").queue == "billing"


def test_a_contact_that_arrives_knows_its_place_by_its_key() -> None:
    place = rule("place", set={"place": when("contact.position", INT)})
    world = centre(place)
    world.submit("c1", tier=5)
    world.submit("c2")
    world.submit("c3", tier=9)
    world.submit("c4", "sms")
    found = [world.of(id_).attributes["place"] for id_ in ("c1", "c2", "c3", "c4")]
    assert found == [1, 1, 3, 1]


def test_a_contacts_own_wait_goes_by_its_place_and_the_queues_by_the_end_of_the_line() -> None:
    waits = {
        "own": when("contact.estimated_wait", DURATION),
        "queue": when("queue.estimated_wait", DURATION),
    }
    world = centre(rule("waits", set=waits))
    world.submit("c0")
    assert world.of("c0").attributes == {"own": NEVER_US, "queue": NEVER_US}, "nobody is there"
    world.agent("ana")
    world.accept("c0")
    world.wait(30)
    world.complete("c0")
    for n in range(1, 8):
        world.submit(f"c{n}")
    world.submit("c8", tier=-1)
    attributes = world.of("c8").attributes
    assert 0 < attributes["own"] < attributes["queue"] < NEVER_US


def test_the_longest_wait_is_that_of_the_first_and_nothing_where_nobody_waits() -> None:
    wait = rule("wait", set={"w": when("queue.longest_wait", DURATION)})
    world = centre(wait)
    world.submit("c1")
    world.wait(90)
    world.submit("c2")
    assert [world.of(id_).attributes["w"] for id_ in ("c1", "c2")] == [0, 90 * SECOND_US]


# --- conditions elsewhere -------------------------------------------------------------------------


def test_a_step_is_taken_when_its_condition_holds_and_asked_again_until_then() -> None:
    step = Step(
        name="less",
        after_us=10 * SECOND_US,
        actions=(Action(kind=ActionKind.DROP, skill="en"),),
        condition=when("queue.waiting > 1"),
    )
    world = centre(queues=(Queue(id=QueueId("q"), steps=(step,)),))
    world.submit("c1", requirements=(("en", 5),))
    assert [e_ for e_ in world.wait(25) if isinstance(e_, e.ContactRelaxed)] == []
    world.submit("c2")
    relaxed = [e_ for e_ in world.wait(5) if isinstance(e_, e.ContactRelaxed)]
    assert [(e_.contact, e_.at_us - START_US) for e_ in relaxed] == [("c1", 30 * SECOND_US)]


def limits() -> Limit:
    last = Limit(action=Full.DEFLECT, text="sorry")
    second = Limit(action=Full.OVERFLOW, queue=BILLING, condition=when(TOPIC), otherwise=last)
    return Limit(action=Full.QUEUE, condition=when('segment == "loyal"'), otherwise=second)


@pytest.mark.parametrize(
    ("fields", "came"),
    [
        ({"segment": "loyal"}, ("q", "queued")),
        (BILL, ("billing", "queued")),
        ({}, None),
    ],
)
@pytest.mark.parametrize("limit", ["on_full", "on_late", "on_closed"])
def test_of_what_a_limit_may_do_the_first_whose_condition_holds_is_done(
    limit: str, fields: dict[str, Any], came: tuple[str, str] | None
) -> None:
    settings: dict[str, Any] = {limit: limits()}
    if limit == "on_full":
        settings["most_waiting"] = 0
    elif limit == "on_late":
        settings["longest_wait_us"] = 5 * SECOND_US
    else:
        settings["hours"] = "never"
    world = centre(queues=(Queue(id=QueueId("q"), **settings),), hours={"never": Hours(id="never")})
    world.submit("c1", **fields)
    world.wait(5)
    contact = world.engine.state.contacts.get(C1)
    assert (None if contact is None else (contact.queue, contact.state)) == came


def test_where_every_condition_fails_a_limit_does_nothing() -> None:
    world = centre()
    world.submit("c1")
    never = Limit(condition=when("false"))
    decider = world.engine._decider
    assert limit_for(decider, world.of("c1"), never) is None
    assert limit_for(decider, world.of("c1"), Limit()) == Limit()
    assert holds(decider, world.of("c1"), None)
    assert not holds(decider, world.of("c1"), when('contact.attributes.none == "x"'))


@pytest.mark.parametrize("limit", ["on_full", "on_late", "on_closed", "decline", "steps", ""])
def test_what_was_learned_is_gathered_for_the_conditions_of_queues_too(limit: str) -> None:
    learned = when("preference.attempts > 3")
    asks = Limit(condition=when("false"), otherwise=Limit(condition=learned))
    step = Step(name="s", after_us=1, actions=(), condition=learned)
    settings: dict[str, Any] = {
        "decline": {"decline": Decline(exhausted=asks)},
        "steps": {"steps": (step,)},
        "": {},
    }.get(limit, {limit: asks})
    world = centre(queues=(Queue(id=QueueId("q"), **settings),))
    assert reads_preference(world.engine.policy) is bool(limit)


# --- route requests -------------------------------------------------------------------------------


def asked(world: Centre, **fields: Any) -> AnswerRoute:
    fields.setdefault("queue", QueueId("q"))
    world.say(c.AskRoute(request="r1", channel="voice", **fields))
    [answer] = world.effects
    assert isinstance(answer, AnswerRoute)
    return answer


def test_a_route_request_goes_by_the_rules() -> None:
    point = EntryPoint(
        id="line", channel="voice", queue=QueueId("q"), attributes={"topic": "bill"},
        requirements=(("de", 2),),
    )  # fmt: skip
    world = centre(
        rule("bills", TOPIC, queue="billing", require=(("en", 3),), set={"list": "short"}, tier=-1),
        segments=(LOYAL,),
        queues=(Queue(id=BILLING, requirements=(("billing", 1),)),),
        entry_points={"line": point},
    )
    world.submit("c1", "voice", queue=BILLING, requirements=(("none", 9),))
    answer = asked(
        world, entry_point="line", queue=QueueId(""), facts=known(contacts=11), customer="kim"
    )
    assert (answer.queue, answer.position) == ("billing", 1), "before the one who waits there"
    assert answer.requirements == (("billing", 1), ("de", 2), ("en", 3))
    assert answer.attributes == {"topic": "bill", "list": "short"}
    events = world.say(c.AskRoute(request="r2", channel="voice", queue=QueueId("q"), **BILL))
    told = only(events, e.RouteAnswered)
    assert (told.rule, told.segment, told.deflect) == ("bills", "", "")
    assert list(world.engine.state.contacts) == ["c1"]


def test_a_route_request_hears_that_it_would_be_turned_away() -> None:
    world = centre(rule("no", TOPIC, reject="not_for_us"), rule("later", deflect="Write to us"))
    assert asked(world).deflect == "Write to us"
    with pytest.raises(Refused, match="not_for_us"):
        asked(world, **BILL)


def test_facts_are_given_with_the_contact_and_stay_with_it() -> None:
    world = centre(rule("lang", 'customer.language == "de"', require=(("de", 1),)))
    facts = Facts(customer=CustomerFacts(known=True, language="de"))
    world.submit("c1", customer="kim", facts=facts)
    assert world.of("c1").requirements == (("de", 1),)
    assert world.of("c1").facts == facts


# --- callbacks, and what was asked for before ----------------------------------------------------


def test_a_callback_is_asked_about_as_a_contact_of_its_own() -> None:
    world = centre(
        rule(
            "call-back-on-their-hour",
            'contact.direction == "callback"',
            schedule=Schedule(at=At.LEARNED_WINDOW, latest_us=600 * SECOND_US),
            tier=3,
            require=(("en", 4),),
        )
    )
    world.submit("c1", "voice", customer="kim", peer_key="hash/voice/us")
    events = world.say(
        c.RequestCallback(contact=C1, callback=ContactId("b1"), peer_key="hash/voice/us")
    )
    received = only(events, e.ContactReceived)
    assert (received.rule, received.requirements) == ("call-back-on-their-hour", (("en", 4),))
    callback = world.of("b1")
    assert callback.outbound is not None
    assert (callback.outbound.learned, callback.state) == (True, "scheduled")
    assert callback.outbound.latest_at_us == START_US + 600 * SECOND_US


def test_a_callback_that_was_promised_is_not_taken_back_by_a_rule() -> None:
    world = centre(rule("never", 'contact.direction == "callback"', reject="no"))
    world.submit("c1", "voice", customer="kim", peer_key="hash/voice/us")
    world.say(c.RequestCallback(contact=C1, callback=ContactId("b1")))
    assert world.of("b1").state == "scheduled"


def test_the_event_keeps_what_was_asked_for_before_the_rules() -> None:
    queues = (Queue(id=BILLING),)
    world = centre(
        rule("bills", TOPIC, queue="billing", tier=2, set={"seen": True}, watch=True),
        queues=queues,
    )
    events = world.submit("c1", requirements=(("de", 1),), head_start_us=5, **BILL)
    asked = only(events, e.ContactReceived).asked
    assert asked is not None
    assert (asked.queue, asked.tier, asked.head_start_us, asked.watched) == ("q", None, 5, False)
    assert (asked.requirements, asked.set) == ((("de", 1),), ("seen",))
