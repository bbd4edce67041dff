"""A rule that is tried says what an engine with the changed rule book really does.

The oracle is a second engine: it is given the changed book and the same submissions, and what it
does with each contact is compared with what the trial said of the first engine's events.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.facts import Facts, PreferenceFacts
from router.core.model import SECOND_US, AgentId, ContactId, Direction, QueueId
from router.core.policy import EntryPoint, Hours, HoursSpan, Queue
from router.core.rules.book import Match, Moment, Rule, RuleBook
from router.core.rules.verbs import At, Experiment, PreferAgent, Schedule, Then
from router.core.trying import Change, Judged, NotJudged, Trial, placed
from router.errors import Invalid, Refused
from tests.core.centre import Centre
from tests.core.ruled import centre, known, rule, segment, when

BILL = 'has(contact.attributes.topic) && contact.attributes.topic == "bill"'
SEGMENTS = (segment("loyal", "customer.contacts > 5", then=Then(head_start_us=30 * SECOND_US)),)


def received(events: list[e.Event]) -> e.ContactReceived:
    return next(event for event in events if isinstance(event, e.ContactReceived))


def judged(world: Centre, event: e.ContactReceived, tried: Rule, **place: str) -> Judged:
    found = Trial(world.engine.state, tried, **place).judge(event, as_now=True)
    assert isinstance(found, Judged), found
    return found


# --- against an engine that has the changed book ------------------------------------------------

CONDITIONS = [
    None, BILL, 'contact.channel == "chat"', 'segment == "loyal"', "customer.known", "queue.open",
    'contact.direction == "outbound"', "contact.attributes.n > 2", 'contact.queue == "billing"',
    'customer.zone == "Europe/Berlin" && local.hour >= 9',
]  # fmt: skip
VERBS: list[dict[str, Any]] = [
    {"queue": "billing"}, {"queue": "q"}, {"require": (("en", 5),)}, {"tier": 3},
    {"head_start_us": 20 * SECOND_US}, {"watch": True}, {"set": {"seen": "yes"}},
    {"set": {"where": when("contact.queue", None)}}, {"deflect": "write"}, {"reject": "no"},
    {"prefer_agent": PreferAgent(agent="ana", for_us=SECOND_US)},
    {"experiment": (Experiment(name="x", arms={"a": 1, "b": 1}),)},
    {"prefer_agent": PreferAgent(for_us=2 * SECOND_US)},
]  # fmt: skip
some_rules = st.lists(
    st.tuples(st.sampled_from(CONDITIONS), st.sampled_from(VERBS)), min_size=1, max_size=5
)
contacts = st.lists(
    st.fixed_dictionaries(
        {
            "channel": st.sampled_from(["chat", "voice", "email"]),
            "queue": st.sampled_from(["q", "billing"]),
            "direction": st.sampled_from([Direction.INBOUND, Direction.OUTBOUND]),
            "attributes": st.sampled_from(
                [{}, {"topic": "bill"}, {"n": 3}, {"topic": "x", "n": 1}]
            ),
            "facts": st.sampled_from(
                [
                    Facts(),
                    known(contacts=9, last_agent="ana"),
                    known(contacts=1, zone="Europe/Berlin"),
                ]
            ),
            "requirements": st.sampled_from([(), (("de", 4),)]),
            "head_start_us": st.sampled_from([0, 5 * SECOND_US]),
        }
    ),
    min_size=1,
    max_size=6,
)


def drawn(rules: list[tuple[str | None, dict[str, Any]]]) -> tuple[Rule, ...]:
    return tuple(rule(f"r{n}", text, **then) for n, (text, then) in enumerate(rules))


def world_of(book: RuleBook) -> Centre:
    world = centre(*book.rules, segments=book.segments, match=book.match)
    world.agent("ana", ready=False)
    return world


def submitted(world: Centre, number: int, fields: dict[str, Any]) -> e.ContactReceived | str:
    """The event, or why it was refused."""
    queue = QueueId(fields["queue"])
    try:
        events = world.submit(f"c{number}", **{**fields, "queue": queue})
    except Refused as refused:
        return str(refused)
    return received(events)


def fate(world: Centre, arrived: e.ContactReceived | str) -> dict[str, Any]:
    """What an engine has done with a contact, told from its event and its state."""
    if isinstance(arrived, str):
        return {"reject": arrived}
    default = world.engine.state.policy.channels[arrived.channel].tier
    found: dict[str, Any] = {
        "require": arrived.requirements,
        "tier": default if arrived.tier is None else arrived.tier,
        "head_start": arrived.head_start_us,
        "watch": arrived.watched,
        "set": arrived.attributes,
    }
    if arrived.contact not in world.engine.state.contacts:
        return found | {"deflect": True}
    prefer = {"prefer_agent": (arrived.prefer_agent, arrived.prefer_us)}
    return found | {"queue": arrived.queue} | (prefer if arrived.prefer_agent else {})


@settings(max_examples=150, deadline=None)
@given(some_rules, contacts, st.sampled_from(CONDITIONS), st.sampled_from(VERBS), st.data())
def test_those_are_moved_with_whom_an_engine_with_the_changed_book_deals_otherwise(
    rules: list[tuple[str | None, dict[str, Any]]],
    days: list[dict[str, Any]],
    text: str | None,
    then: dict[str, Any],
    data: st.DataObject,
) -> None:
    match = data.draw(st.sampled_from(list(Match)))
    now = RuleBook(match=match, rules=drawn(rules), segments=SEGMENTS)
    names = [each.name for each in now.rules]
    place = data.draw(
        st.sampled_from([{}, *({key: n} for key in ("before", "instead_of") for n in names)])
    )
    tried = rule("tried", text, **then)
    changed = placed(now, tried, **place)
    one, other = world_of(now), world_of(changed)
    trial = Trial(one.engine.state, tried, **place)
    for number, fields in enumerate(days):
        was, would = submitted(one, number, fields), submitted(other, number, fields)
        if isinstance(was, str):
            continue  # it was rejected: no trace of it is left
        found = trial.judge(was, as_now=True)
        assert isinstance(found, Judged), found
        before, after = fate(one, was), fate(other, would)
        verbs = {name for name in before | after if before.get(name) != after.get(name)}
        if "reject" in before | after:
            verbs &= {"reject", "deflect", "queue"}
        assert {change.verb.split(".")[0] for change in found.changes} == verbs, (before, after)
        assert ",".join(found.before) == was.rule
        if isinstance(would, e.ContactReceived):
            assert ",".join(found.after) == would.rule


@settings(max_examples=60, deadline=None)
@given(some_rules, contacts, st.sampled_from(list(Match)))
def test_a_rule_in_its_own_place_moves_nobody_whatever_it_asks(
    rules: list[tuple[str | None, dict[str, Any]]], days: list[dict[str, Any]], match: Match
) -> None:
    numbers = (
        rule("busy", "queue.waiting > 1 && contact.position > 1", tier=2),
        rule("alone", 'queues["billing"].ready == 0 && contact.channel == "chat"', watch=True),
        rule("late", "contact.estimated_wait > duration('1m')", set={"late": True}),
        rule("said", "has(contact.attributes.seen)", head_start_us=SECOND_US),
    )
    book = RuleBook(match=match, rules=(*numbers, *drawn(rules)), segments=SEGMENTS)
    world = world_of(book)
    arrived = [submitted(world, number, fields) for number, fields in enumerate(days)]
    for each in book.rules:
        trial = Trial(world.engine.state, replace(each, place="rule:1"), instead_of=each.name)
        for event in arrived:
            if isinstance(event, e.ContactReceived):
                found = trial.judge(event, as_now=True)
                assert isinstance(found, Judged)
                assert (found.changes, found.before) == ((), found.after), each.name


# --- what is told -----------------------------------------------------------------------------


def test_each_verb_is_told_as_rules_write_it() -> None:
    world = centre(rule("now", tier=1, set={"seen": "x"}))
    world.agent("ana", ready=False)
    event = received(world.submit("c1", attributes={"topic": "bill"}, requirements=(("en", 2),)))
    tried = rule(
        "then", BILL, queue="billing", require=(("en", 5),), tier=4, head_start_us=90 * SECOND_US,
        watch=True, message="one moment", switch_channel="sms", set={"size": 3},
        prefer_agent=PreferAgent(agent="ana", for_us=30 * SECOND_US),
    )  # fmt: skip
    found = judged(world, event, tried, before="now")
    assert (found.before, found.after) == (("now",), ("then",))
    assert sorted(found.changes) == [
        Change("head_start", "0s", "90s"),
        Change("message", None, "one moment"),
        Change("prefer_agent", None, {"agent": "ana", "for": "30s"}),
        Change("queue", "q", "billing"),
        Change("require", {"en": 2}, {"en": 5}),
        Change("set.seen", "x", None),
        Change("set.size", None, 3),
        Change("switch_channel", None, "sms"),
        Change("tier", 1, 4),
        Change("watch", False, True),
    ]


def test_what_is_to_go_out_has_other_terms() -> None:
    world = centre()
    out: dict[str, Any] = {"direction": Direction.OUTBOUND, "customer": "kim"}
    event = received(world.submit("c1", **out))
    schedule = Schedule(at=At.LEARNED_WINDOW, purpose="marketing", latest_us=3600 * SECOND_US)
    [change] = judged(world, event, rule("offer", schedule=schedule)).changes
    assert (change.verb, change.before) == ("schedule", None)
    assert change.after["at"] == "learned_window"
    assert change.after["purpose"] == "marketing"
    assert change.after["latest_at_us"] == event.at_us + 3600 * SECOND_US


def test_what_the_entry_point_gave_is_still_there() -> None:
    point = EntryPoint(
        id="line", channel="chat", queue=QueueId("billing"), attributes={"topic": "bill"},
        requirements=(("en", 3),),
    )  # fmt: skip
    world = centre(rule("now", tier=1), entry_points={"line": point})
    event = received(world.submit("c1", entry_point="line"))
    found = judged(world, event, rule("bills", BILL, tier=1, queue="q"), before="now")
    assert found.changes == (Change("queue", "billing", "q"),)


def test_a_callback_is_neither_rejected_nor_deflected() -> None:
    world = centre(rule("now", tier=0))
    world.submit("c1", "voice")
    events = world.say(
        c.RequestCallback(
            contact=ContactId("c1"), callback=ContactId("c2"), channel="voice", keep_place=True
        )
    )
    tried = rule("no", 'contact.direction == "callback"', reject="not now")
    assert judged(world, received(events), tried, before="now").changes == ()


def test_opening_hours_are_those_of_its_moment() -> None:
    hours = Hours(id="day", spans=(HoursSpan((0, 1, 2, 3, 4, 5, 6), 480, 540),))
    world = centre(queues=(Queue(id=QueueId("q"), hours="day"),), hours={"day": hours})
    events = []
    for name in ("c1", "c2"):
        events.append(received(world.submit(name)))
        world.wait(3600)
    tried = rule("open", "queue.open", tier=5)
    found = [judged(world, event, tried).after for event in events]
    assert found == [("open",), ()]


# --- what cannot be known -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("queue.waiting > 3", "queue.waiting"),
        ("queues['billing'].estimated_wait > duration('1m')", "queue.estimated_wait"),
        ("queue.longest_wait > duration('1m')", "queue.longest_wait"),
        ("queue.ready + queue.available == 0", "queue.ready"),
        ("0 == queue.available", "queue.available"),
        ("queue.eligible == 0", "queue.eligible"),
        ("contact.position == 1", "contact.position"),
        ("contact.estimated_wait > duration('1m')", "contact.estimated_wait"),
        ("preference.confidence > 0.5", "preference.confidence"),
        ("queue.waiting > 3 || contact.channel == 'chat'", ""),
        ("queue.waiting > 3 && contact.channel == 'voice'", ""),
        ("contact.attributes.no == 1 || queue.waiting > 3", "queue.waiting"),
    ],
)
def test_numbers_that_were_not_kept_are_no_guess(text: str, missing: str) -> None:
    world = centre()
    event = received(world.submit("c1", facts=known(contacts=2)))
    found = Trial(world.engine.state, rule("new", text, tier=5)).judge(event, as_now=True)
    if missing:
        assert found == NotJudged("not_recorded", missing)
    else:
        assert isinstance(found, Judged)


def test_nobody_hangs_on_a_number_that_is_not_asked() -> None:
    world = centre(rule("chats", 'contact.channel == "chat"', tier=1))
    trial = Trial(world.engine.state, rule("busy", "queue.waiting > 3", tier=5))
    chat, call = received(world.submit("c1")), received(world.submit("c2", "voice"))
    assert isinstance(trial.judge(chat, as_now=True), Judged)
    assert trial.judge(call, as_now=True) == NotJudged("not_recorded", "queue.waiting")


def test_a_number_counts_as_it_came_out_under_the_settings_in_force() -> None:
    busy = rule("busy", "queue.waiting > 0", tier=5)
    world = centre(busy, rule("rest", watch=True))
    first, second = received(world.submit("c1")), received(world.submit("c2"))
    other = rule("busy", "queue.waiting > 0", tier=7)
    trial = Trial(world.engine.state, other, instead_of="busy")
    assert trial.judge(first, as_now=True) == Judged(("rest",), ("rest",), ())
    assert trial.judge(second, as_now=True) == Judged(("busy",), ("busy",), (Change("tier", 5, 7),))
    for event in (first, second):
        assert trial.judge(event, as_now=False) == NotJudged("not_recorded", "queue.waiting")


def test_what_was_learned_is_known_where_rules_asked_for_it() -> None:
    asks = rule("asks", "preference.confidence > 0.8", tier=1)
    kim = replace(known(), preference=PreferenceFacts(channel="sms", confidence=0.7))
    tried = rule("new", "preference.confidence > 0.5", tier=5)
    for world in (centre(), centre(asks)):
        event = received(world.submit("c1", facts=kim))
        assert judged(world, event, tried).after == ("new",)
    world = centre(asks)  # nothing was learned of this one, and somebody asked
    event = received(world.submit("c1", facts=known()))
    assert judged(world, event, tried).after == ()
    found = Trial(world.engine.state, tried).judge(event, as_now=False)
    assert found == NotJudged("not_recorded", "preference.confidence")


def test_an_attribute_that_a_rule_has_set_is_not_believed() -> None:
    world = centre(rule("mark", 'contact.channel == "voice"', set={"topic": "bill"}))
    chat, call = received(world.submit("c1")), received(world.submit("c2", "voice"))
    trial = Trial(world.engine.state, rule("bills", BILL, tier=5), before="mark")
    assert trial.judge(chat, as_now=True) == Judged((), (), ())
    lost = NotJudged("overwritten", "contact.attributes.topic")
    assert trial.judge(call, as_now=True) == lost


def test_who_was_erased_and_what_is_gone_are_not_judged() -> None:
    world = centre()
    event = received(world.submit("c1"))
    trial = Trial(world.engine.state, rule("new", tier=5))
    assert trial.judge(replace(event, erased=True), as_now=True) == NotJudged("erased")
    gone = replace(event, queue=QueueId("old"))
    assert trial.judge(gone, as_now=False) == NotJudged("gone", "old")
    assert trial.judge(replace(event, channel="fax"), as_now=False) == NotJudged("gone", "fax")


@pytest.mark.parametrize(
    ("tried", "place", "why"),
    [
        (rule("new"), {"before": "ruel"}, "no rule 'ruel', did you mean 'rule'? - at `before`"),
        (rule("new"), {"instead_of": "zzz"}, "there are rule, key - at `instead_of`"),
        (rule("rule"), {}, "there is a rule 'rule' already"),
        (rule("rule"), {"instead_of": "key"}, "there is a rule 'rule' already"),
        (rule("new"), {"instead_of": "key"}, "rule 'key' is asked on input"),
    ],
)
def test_a_place_that_is_none_is_refused(tried: Rule, place: dict[str, str], why: str) -> None:
    book = RuleBook(rules=(rule("rule"), rule("key", on=Moment.INPUT)))
    with pytest.raises(Invalid) as refused:
        placed(book, tried, **place)
    assert why in str(refused.value)


def test_the_place_is_where_it_was_asked_for() -> None:
    book = RuleBook(rules=(rule("a"), rule("b")))
    for place, names in (
        ({}, "abn"), ({"before": "a"}, "nab"), ({"before": "b"}, "anb"),
        ({"instead_of": "a"}, "nb"), ({"instead_of": "b"}, "an"),
    ):  # fmt: skip
        assert "".join(each.name for each in placed(book, rule("n"), **place).rules) == names


def test_trying_changes_nothing() -> None:
    world = centre(rule("now", tier=1))
    world.agent("ana")
    event = received(world.submit("c1"))
    before = [repr(contact) for contact in world.engine.state.contacts.values()]
    held = world.held_by("ana")
    trial = Trial(world.engine.state, rule("new", queue="billing", set={"a": 1}), before="now")
    assert isinstance(trial.judge(event, as_now=True), Judged)
    assert [repr(contact) for contact in world.engine.state.contacts.values()] == before
    assert world.held_by("ana") == held
    assert world.who("ana").id == AgentId("ana")
    assert event.attributes == {}
