"""Segments and rules: which match, what they come to together, and what is said of the rest."""

from __future__ import annotations

import pytest

from router.core.facts import CustomerFacts, Facts
from router.core.rules.book import EMPTY, Match, Moment, RuleBook
from router.core.rules.compile import compile_expression
from router.core.rules.verbs import At, Experiment, PreferAgent, Schedule, Then
from tests.core.rules.books import NOW_US, SCHEMA, SECOND_US, book, context, rule, segment


def test_the_first_rule_that_matches_decides() -> None:
    rules = book(
        rule("never", "contact.hops > 3", queue="care"),
        rule("billing", 'contact.attributes.topic == "billing"', queue="billing", tier=2),
        rule("rest", None, queue="care", watch=True),
    )
    plan = rules.decide(context(), Moment.RECEIVED)
    assert plan.rules == ("billing",)
    assert plan.then == Then(queue="billing", tier=2)
    assert plan.sources == {"queue": "billing", "tier": "billing"}
    assert plan.verdicts == ()


def test_all_rules_that_match_add_up_and_the_later_one_wins_verb_by_verb() -> None:
    rules = book(
        rule("one", None, queue="care", tier=1, require=(("a", 1), ("b", 2)), set={"x": 1, "y": 1}),
        rule("no", "!queue.open", reject="closed"),
        rule("two", "queue.open", queue="billing", require=(("b", 5),), set={"y": 2}),
        match=Match.ALL,
    )
    plan = rules.decide(context(), Moment.RECEIVED)
    assert plan.rules == ("one", "two")
    assert plan.then == Then(
        queue="billing", tier=1, require=(("a", 1), ("b", 5)), set={"x": 1, "y": 2}
    )
    assert plan.sources == {
        "queue": "two",
        "tier": "one",
        "require.a": "one",
        "require.b": "two",
        "set.x": "one",
        "set.y": "two",
    }
    assert plan.attributes == {"x": 1, "y": 2}


def test_rules_are_asked_at_their_moment() -> None:
    rules = book(
        rule("arrived", None, queue="care"),
        rule("answered", 'contact.attributes.topic == "billing"', Moment.INPUT, queue="billing"),
    )
    assert rules.decide(context(), Moment.RECEIVED).rules == ("arrived",)
    assert rules.decide(context(), Moment.INPUT).rules == ("answered",)


def test_a_condition_without_a_value_does_not_match_and_says_why() -> None:
    rules = book(
        rule("broken", "contact.attributes.level > 3", queue="billing"),
        rule("rest", None, queue="care"),
    )
    plan = rules.decide(context(), Moment.RECEIVED, trace=True)
    assert plan.then.queue == "care"
    assert plan.errors == ("broken: expression:1:1: no such key: 'level'",)
    assert [v.matched for v in plan.verdicts] == [False, True]
    assert plan.verdicts[0].error == "expression:1:1: no such key: 'level'"
    step = plan.verdicts[0].step
    assert step is not None
    assert step.outcome == "error"


def test_a_traced_decision_shows_every_rule() -> None:
    rules = book(
        rule("no", "contact.hops > 3 && queue.open", queue="care"),
        rule("yes", "contact.hops == 0", queue="care"),
        rule("after", "queue.open", queue="care"),
    )
    plan = rules.decide(context(), Moment.RECEIVED, trace=True)
    assert [(v.name, v.matched, v.looked_at) for v in plan.verdicts] == [
        ("no", False, True),
        ("yes", True, True),
        ("after", False, False),
    ]
    step = plan.verdicts[0].step
    assert step is not None
    assert [part.outcome for part in step.parts] == ["value", "skipped"]


SEGMENTS = (
    segment("loyal", "customer.contacts >= 5", then=Then(tier=0, head_start_us=90 * SECOND_US)),
    segment("passive", None, channels=("sms", "email"), explore=False),
)


def test_the_first_segment_that_matches_is_the_customers() -> None:
    rules = book(segments=SEGMENTS)
    verdict = rules.segment_of(context(Facts(customer=CustomerFacts(contacts=5))), trace=True)
    assert (verdict.segment, verdict.reason) == ("loyal", "customer.contacts >= 5")
    assert [v.looked_at for v in verdict.verdicts] == [True, False]
    verdict = rules.segment_of(context())
    assert (verdict.segment, verdict.reason) == ("passive", "everybody")
    assert verdict.verdicts == ()


def test_a_segment_given_by_hand_wins() -> None:
    facts = Facts(customer=CustomerFacts(contacts=9, segment="passive"))
    verdict = book(segments=SEGMENTS).segment_of(context(facts), trace=True)
    assert (verdict.segment, verdict.reason) == ("passive", "given by hand")
    assert [v.looked_at for v in verdict.verdicts] == [False, False]


def test_without_a_segment_the_reason_says_so() -> None:
    verdict = EMPTY.segment_of(context())
    assert (verdict.segment, verdict.reason) == ("", "no segment matched")
    assert EMPTY.decide(context(), Moment.RECEIVED).then == Then()


def test_a_segments_strategy_holds_where_no_rule_says_otherwise() -> None:
    rules = book(rule("urgent", "queue.open", tier=5), segments=SEGMENTS)
    seen = context()
    seen.segment = "loyal"
    plan = rules.decide(seen, Moment.RECEIVED)
    assert plan.then == Then(tier=5, head_start_us=90 * SECOND_US)
    assert plan.sources == {"tier": "urgent", "head_start": "segment loyal"}
    seen.segment = "passive"
    plan = rules.decide(seen, Moment.RECEIVED)
    assert (plan.channels, plan.explore) == (("sms", "email"), False)
    assert rules.decide(seen, Moment.INPUT).then == Then()


def test_attributes_come_from_constants_expressions_and_experiments() -> None:
    late = compile_expression("contact.waited > duration('1m')", SCHEMA)
    broken = compile_expression("contact.attributes.nowhere + 1", SCHEMA, expects=None)
    experiment = Experiment(name="greeting", arms={"a": 1})
    plan = book(
        rule(
            "r", None, set={"fixed": [1], "late": late, "broken": broken}, experiment=(experiment,)
        )
    ).decide(context(), Moment.RECEIVED)
    assert plan.attributes == {"fixed": [1], "late": True, "experiment.greeting": "a"}
    assert plan.errors == ("r: expression:1:1: no such key: 'nowhere'",)


def test_somebody_unknown_is_in_the_arm_of_the_contact() -> None:
    experiment = Experiment(name="greeting", arms={"a": 1, "b": 1})
    rules = book(rule("r", None, experiment=(experiment,)))
    for known, unknown in (("k1", "c1"), ("k2", "c2"), ("k3", "c3")):
        plan = rules.decide(context(customer=known, id=unknown), Moment.RECEIVED)
        assert plan.attributes["experiment.greeting"] == experiment.arm(known)
        plan = rules.decide(context(id=unknown), Moment.RECEIVED)
        assert plan.attributes["experiment.greeting"] == experiment.arm(unknown)


def test_a_schedule_may_be_a_moment_that_is_worked_out() -> None:
    def plan_for(text: str) -> tuple[object, ...]:
        moment = compile_expression(text, SCHEMA, expects=None)
        schedule = Schedule(at=At.MOMENT, moment=moment)
        plan = book(rule("r", None, schedule=schedule)).decide(context(), Moment.RECEIVED)
        return plan.moment_us, plan.then.schedule == schedule, len(plan.errors)

    assert plan_for('now + duration("1h")') == (NOW_US + 3_600 * SECOND_US, True, 0)
    assert plan_for("timestamp(contact.attributes.due)") == (None, False, 1)


def test_preferring_an_agent_is_one_verb() -> None:
    rules = book(
        rule("a", None, prefer_agent=PreferAgent(for_us=1)),
        rule("b", None, prefer_agent=PreferAgent(agent="ana", for_us=2)),
        match=Match.ALL,
    )
    plan = rules.decide(context(), Moment.RECEIVED)
    assert plan.then.prefer_agent == PreferAgent(agent="ana", for_us=2)
    assert plan.sources == {"prefer_agent": "b"}


LEARNED = compile_expression("preference.attempts", SCHEMA, expects=None)
EVENING = compile_expression(
    'preference.attempts > 3 ? now + duration("1h") : now', SCHEMA, expects=None
)


@pytest.mark.parametrize(
    ("asked", "reads"),
    [
        (book(rule("a", "queue.open")), False),
        (book(rule("a", "queue.open", set={"preference": "sms"})), False),
        (book(rule("a", "preference.attempts > 3")), True),
        (book(segments=(segment("a", "preference.attempts > 3"),)), True),
        (book(rule("a", "queue.open", set={"tries": LEARNED})), True),
        (book(rule("a", None, schedule=Schedule(at=At.MOMENT, moment=EVENING))), True),
    ],
)
def test_what_was_learned_is_gathered_where_anything_reads_it(asked: RuleBook, reads: bool) -> None:
    assert asked.reads_preference is reads
