"""Rules, segments and conditions in the file: what comes of them, their tests, their reload."""

import re
from pathlib import Path

import pytest

from router.config import load, loads
from router.config.diff import compare, reload
from router.core.model import DAY_US, MINUTE_US, SECOND_US, QueueId
from router.core.policy import Full, Limit
from router.core.rules.book import Match, Moment
from router.core.rules.types import TIMESTAMP
from router.core.rules.verbs import (
    At,
    Experiment,
    GiveUp,
    Mode,
    PreferAgent,
    Schedule,
    SegmentStrategy,
    Then,
)
from router.errors import ConfigError
from tests.config.rulebook import BOOK, edited, errors, rules, settings

# --- what comes out -------------------------------------------------------------------------------


def test_everything_a_rule_and_a_segment_may_say_reaches_the_book() -> None:
    book = settings(BOOK).policy.rules
    assert book.match is Match.ALL
    assert list(book.conditions) == ["works_late", "in_office"]
    loyal, others = book.segments
    assert (loyal.name, loyal.place, others.when) == ("loyal", "f.yaml:12", None)
    assert loyal.strategy == SegmentStrategy(
        then=Then(
            head_start_us=MINUTE_US,
            tier=0,
            watch=True,
            prefer_agent=PreferAgent(for_us=20 * SECOND_US),
            require=(("english", 3),),
        ),
        channels=("sms", "voice"),
        explore=False,
    )
    sms, answered, never, spam, later = book.rules
    assert (sms.name, sms.on, sms.place) == ("sms-people", Moment.RECEIVED, "f.yaml:25")
    assert sms.then == Then(
        queue="care",
        schedule=Schedule(
            at=At.LEARNED_WINDOW,
            mode=Mode.MESSAGE_FIRST,
            template="offer",
            purpose="offers",
            within_us=3 * DAY_US,
            latest_us=4 * DAY_US,
            give_up=GiveUp.SEND,
            explore=False,
        ),
    )
    assert answered.on is Moment.INPUT
    then = answered.then
    assert (then.queue, then.require, then.tier) == ("billing", (("billing", 6),), 1)
    assert then.prefer_agent == PreferAgent(agent="ana", for_us=30 * SECOND_US)
    assert (then.head_start_us, then.switch_channel) == (90 * SECOND_US, "chat")
    assert (then.message, then.watch) == ("One moment please.", False)
    assert (then.set["topic"], then.set["list"]) == ("billing", [1, True])
    assert then.set["late"].source == "local.hour >= 17"
    assert then.experiment == (
        Experiment(name="greeting", arms={"long": 40, "short": 60}),
        Experiment(name="music", arms={"none": 1}),
    )
    assert list(then.experiment[0].arms) == ["long", "short"]  # whatever their order in the file
    assert (never.then.deflect, spam.then.reject) == ("Please write to us.", "spam")
    assert later.then.schedule is not None
    assert later.then.schedule.at is At.MOMENT
    assert later.then.schedule.moment is not None
    assert later.then.schedule.moment.type == TIMESTAMP


def test_the_rules_of_the_design_are_taken_as_they_stand_there() -> None:
    book = settings("""\
queues: {care: {}, billing: {}}
segments: {loyal: {when: customer.contacts > 9}}
templates: {offer: Hello}
rules:
  - name: sms-people-on-their-hour
    when: contact.direction == "outbound" && preference.channel == "sms" && preference.confidence >= 0.8
    then: { schedule: learned_window, mode: message_first, template: offer, queue: care }
  - name: loyal-billing
    when: segment == "loyal" && contact.attributes.topic == "billing"
    then: { queue: billing, require: { billing: 6 }, head_start: 90s, prefer_agent: { last: 30s } }
""").policy.rules  # noqa: E501 - as it stands there
    assert book.match is Match.FIRST
    first, second = book.rules
    assert first.then.schedule == Schedule(mode=Mode.MESSAGE_FIRST, template="offer")
    assert second.then.prefer_agent == PreferAgent(for_us=30 * SECOND_US)


def test_conditions_of_steps_and_limits_are_expressions_too() -> None:
    queue = settings("""\
queues:
  care:
    most_waiting: 5
    on_full:
      - {when: 'queues.night.open', action: overflow, queue: night}
      - {when: long, action: queue}
      - callback
    longest_wait: 5m
    on_late: {when: contact.channel == "voice", action: deflect, text: Please write.}
    decline: {exhausted: [{when: long, action: callback}, {action: overflow, queue: night}]}
    steps:
      - {after: 10s, when: queue.eligible < 2, add_queues: [night]}
      - {after: 20s, when: {wait_over: 1m}, deflect: Sorry.}
      - {after: 30s, deflect: Sorry.}
  night: {}
conditions: {long: queue.estimated_wait > duration("5m")}
""").policy.queues[QueueId("care")]
    first = queue.on_full
    assert (first.action, first.queue) == (Full.OVERFLOW, "night")
    assert first.condition is not None
    assert first.otherwise is not None
    assert first.otherwise.action is Full.QUEUE
    assert first.otherwise.otherwise == Limit(action=Full.CALLBACK)
    assert queue.on_late.condition is not None
    assert queue.on_late.otherwise is None
    assert queue.decline.exhausted.otherwise == Limit(action=Full.OVERFLOW, queue=QueueId("night"))
    assert queue.steps[0].condition is not None
    assert queue.steps[0].condition.source == "queue.eligible < 2"
    assert (queue.steps[1].condition, queue.steps[1].wait_over_us) == (None, MINUTE_US)


def test_what_is_learned_goes_by_the_settings() -> None:
    learning = settings("""\
queues: {care: {dispositions: [sold, wrong_number]}}
learning:
  explore: 0%
  reply_within: {sms: 2h}
  within: 3d
  outcomes: {no_answer: {target: 12.5%, weight: 0.5}}
  dispositions: {wrong_number: wrong_party}
  costs: {voice: 5%}
  zone: Europe/Berlin
""").policy.learning
    assert learning.explore == 0
    assert (learning.within("sms"), learning.within("email")) == (120 * MINUTE_US, DAY_US)
    assert learning.within_us == 3 * DAY_US
    weight = learning.weights["no_answer"]
    assert (weight.target, weight.weight) == (0.125, 0.5)
    assert learning.dispositions == {"wrong_number": "wrong_party"}
    assert (learning.costs, learning.zone) == ({"voice": 0.05}, "Europe/Berlin")
    everywhere = settings("queues: {care: {}}\nlearning: {reply_within: 1h}").policy.learning
    assert everywhere.within("email") == everywhere.within("voice") == 60 * MINUTE_US


def test_everything_with_a_name_has_its_place() -> None:
    config = loads(BOOK, "f.yaml")
    assert config.place("rule", "main", "answered") == "f.yaml:38"
    assert config.place("segment", "main", "others") == "f.yaml:22"
    assert config.place("condition", "main", "in_office") == "f.yaml:10"
    assert config.place("test", "main", "a loyal customer") == "f.yaml:64"
    assert config.place("template", "main", "offer") == "f.yaml:67"
    assert config.place("rule", "main", "nobody") is None


# --- warnings and tests ---------------------------------------------------------------------------


def test_rules_that_nobody_reaches_are_warnings() -> None:
    found = settings(
        rules(
            """\
  - {name: all, when: contact.channel == "sms", then: {tier: 1}}
  - {name: some, when: contact.channel == "sms" && contact.hops > 1, then: {tier: 2}}
  - {name: none, when: contact.hops > 1 && contact.hops < 1, then: {tier: 2}}
  - {name: agent, when: contact.hops > 3, then: {prefer_agent: {agent: anna, for: 5s}}}
""",
            rest="profiles: {all: {care: 1}}\nagents: {ana: {profile: all}}\n",
        )
    ).warnings
    assert [line.split(" (")[0] for line in found] == [
        "f.yaml:6:5: rules[1]: 'some' is never reached: whenever it would match, rule 'all' "
        "before it does",
        "f.yaml:7:5: rules[2]: 'none' never matches: its condition is true for no contact",
        "f.yaml:8:65: rules[3].then.prefer_agent.agent: no agent 'anna' is made by this file, "
        "did you mean 'ana'?",
    ]
    assert settings(BOOK).warnings == ()


def test_a_step_that_is_never_done_is_a_warning() -> None:
    found = settings(
        "queues: {care: {steps: [{after: 5s, when: contact.hops < 0 && contact.hops > 0, "
        "tier: 1}]}}"
    ).warnings
    assert len(found) == 1
    assert "queues.care.steps[0].when: never holds: this step is never done" in found[0]


def test_a_file_that_fails_its_own_tests_is_refused_with_the_verdicts() -> None:
    (found,) = errors(edited(("head_start: 60s,", "head_start: 90s, tier: 0,")))
    lines = found.split("\n")
    assert lines[0] == (
        "f.yaml:66:30: tests[0].expect.head_start: 'a loyal customer': "
        "expected head_start '90s', got '60s'"
    )
    assert lines[1:4] == [
        "    loyal: match",
        "      customer.contacts >= 5 && in_office -> true",
        "        customer.contacts >= 5 -> true (customer.contacts = 7)",
    ]
    assert "    sms-people: no match" in lines


def test_tests_see_the_zone_of_the_queue_and_the_names_of_the_file() -> None:
    text = rules(
        """\
  - {name: early, when: queue_local.hour == 9 && contact.queue == "care", then: {tier: 1}}
tests:
  - name: half past eight in London is half past nine in Berlin
    given: {at: 2026-11-24T08:30+00:00, contact: {queue: care}}
    expect: {rules: [early], tier: 1}
""",
        rest="hours: {office: {zone: Europe/Berlin, open: {mon-fri: 08:00-18:00}}}\n",
    ).replace("care: {}", "care: {hours: office}")
    assert len(settings(text).tests) == 1
    (found,) = errors(text.replace("{queue: care}", "{queue: crae}"))
    assert "contact.queue is never 'crae', did you mean 'care'?" in found


# --- versions and reload --------------------------------------------------------------------------


def version(text: str) -> str:
    return settings(text).policy.version


def test_lines_comments_and_spacing_make_no_new_version() -> None:
    moved = "# hello\n\n" + BOOK.replace(
        "rules:\n  - name: sms", "rules:\n  # first\n  - name: sms"
    )
    assert version(moved) == version(BOOK)
    folded = edited(
        (
            "when: customer.contacts >= 5 && in_office",
            "when: >-\n      customer.contacts >= 5\n      &&  in_office",
        )
    )
    assert version(folded) == version(BOOK)
    diff = compare(loads(BOOK, "f.yaml"), loads(folded, "f.yaml"))
    assert diff.lines() == ["nothing changed"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (">= 5 &&", ">= 6 &&"),
        ("local.weekday <= 5", "local.weekday <= 4"),
        ("tier: 1", "tier: 2"),
        ("{short: 60, long: 40}", "{short: 50, long: 50}"),
        ("rule_match: all", "rule_match: first"),
        ("Hello {name}", "Hi {name}"),
        ("now + duration", "now - duration"),
        ("local.hour >= 17}", "local.hour >= 18}"),
    ],
)
def test_what_is_decided_differently_is_another_version(old: str, new: str) -> None:
    text = BOOK.replace('"local.hour >= 17"', "local.hour >= 17")
    assert old in text
    assert version(text.replace(old, new)) != version(text)


def test_a_reload_names_each_changed_rule() -> None:
    after = edited(
        ("works_late: in_office && local.hour >= 17", "works_late: in_office && local.hour >= 18"),
        ("  others: {}", "  rest: {}"),
        ("      head_start: 1m\n", "      head_start: 2m\n"),
        ("head_start: 60s", "head_start: 120s"),
        ("- name: spam", "- name: junk"),
        ("Hello {name}", "Hi {name}"),
    )
    diff = compare(loads(BOOK, "f.yaml"), loads(after, "f.yaml"))
    assert diff.restart == ()
    assert sorted(line.removeprefix("main: ") for line in diff.lines()) == [
        "condition 'works_late' changed",
        "rule 'junk' added",
        "rule 'never' changed",
        "rule 'spam' removed",
        "segment 'loyal' changed",
        "segment 'others' removed",
        "segment 'rest' added",
        "template 'offer' changed",
        "test 'a loyal customer' changed",
    ]


def test_another_order_of_rules_is_a_change_and_another_test_touches_nothing() -> None:
    one, two = (
        "  - {name: a, when: contact.hops == 1, then: {tier: 1}}\n",
        "  - {name: b, when: contact.hops == 2, then: {tier: 2}}\n",
    )
    diff = compare(loads(rules(one + two)), loads(rules(two + one)))
    assert diff.lines() == ["main: setting 'order of rules' changed"]
    assert diff.touched() == ["main"]
    tested = "tests: [{name: t, given: {contact: {hops: 1}}, expect: {tier: 1}}]\n"
    diff = compare(loads(rules(one)), loads(rules(one) + tested))
    assert diff.lines() == ["main: test 't' added"]
    assert diff.touched() == []


def test_a_reload_refuses_rules_that_do_not_compile_and_tests_that_fail(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(BOOK, encoding="utf-8")
    running = load(path)
    for old, new, finding in (
        ("works_late\n", "works_lat\n", "did you mean 'works_late'?"),
        ("segment: loyal", "segment: others", "expected segment 'others', got 'loyal'"),
    ):
        path.write_text(edited((old, new)), encoding="utf-8")
        with pytest.raises(ConfigError, match=re.escape(finding)):
            reload(running, path)
