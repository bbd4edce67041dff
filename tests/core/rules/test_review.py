"""What is said against a rule book without any contact."""

from __future__ import annotations

from typing import Any

import pytest

from router.core.rules.book import Match, Moment, RuleBook
from router.core.rules.compile import compile_expression
from router.core.rules.review import findings
from router.core.rules.verbs import At, Experiment, Mode, PreferAgent, Schedule, Then
from tests.core.rules.books import KNOWN, SCHEMA, book, rule, segment


def said(rules: RuleBook) -> list[tuple[str, str]]:
    return [(found.name, found.message) for found in findings(rules, KNOWN)]


def test_a_good_book_has_no_findings() -> None:
    good = book(
        rule("loyal", 'segment == "loyal" && queue.open', queue="billing", require=(("a", 1),)),
        rule("loyal-closed", 'segment == "loyal"', deflect="We are closed"),
        rule("rest", None, queue="care", prefer_agent=PreferAgent(for_us=1)),
        segments=(segment("loyal", "customer.known"), segment("passive", None, channels=("sms",))),
    )
    assert findings(good, KNOWN) == []


def test_a_rule_behind_one_that_matches_whenever_it_does_is_never_reached() -> None:
    rules = book(
        rule("wide", 'segment == "loyal"', queue="care"),
        rule("narrow", 'queue.open && segment == "loyal" && contact.hops > 2', queue="billing"),
        rule("other", 'segment == "passive"', queue="care"),
        rule("answer", 'segment == "loyal"', Moment.INPUT, queue="care"),
        rule("all", "true || queue.open", queue="care"),
        rule("last", "contact.hops == 7", queue="care"),
    )
    assert said(rules) == [
        (
            "narrow",
            "is never reached: whenever it would match, rule 'wide' before it does "
            '(segment == "loyal")',
        ),
        ("last", "is never reached: rule 'all' before it always matches"),
    ]


def test_where_all_rules_count_none_hides_another() -> None:
    rules = book(
        rule("wide", None, queue="care"), rule("narrow", "queue.open", tier=1), match=Match.ALL
    )
    assert said(rules) == []


def test_a_rule_that_can_never_match_is_named() -> None:
    rules = book(rule("no", 'segment == "loyal" && segment == "passive"', queue="care"))
    assert said(rules) == [("no", "never matches: its condition is true for no contact")]
    (found,) = findings(rules, KNOWN)
    assert str(found) == "r.yaml:1: no: never matches: its condition is true for no contact"
    assert not found.is_error


def test_segments_hide_each_other_too() -> None:
    rules = book(
        segments=(segment("loyal", None), segment("passive", "customer.contacts > 3")),
        match=Match.ALL,
    )
    assert said(rules) == [
        ("passive", "is never reached: segment 'loyal' before it always matches")
    ]


MOMENT = compile_expression("now", SCHEMA, expects=None)
OURS = 'contact.direction == "outbound"'


@pytest.mark.parametrize(
    ("then", "message", "is_error"),
    [
        ({}, "does nothing: it has no verb", False),
        ({"deflect": "x", "queue": "care"}, "'deflect' and 'queue' exclude each other", True),
        ({"reject": "x", "deflect": "y"}, "'reject' and 'deflect' exclude each other", True),
        ({"reject": "x", "schedule": Schedule()}, "'reject' and 'schedule' exclude", True),
        ({"queue": "bill"}, "unknown queue 'bill', did you mean 'billing'?", True),
        ({"switch_channel": "fax"}, "unknown channel 'fax': there are voice, sms, email", True),
        ({"experiment": (Experiment(name="e", arms={"a": 0}),)}, "no arm that anybody", True),
        ({"schedule": Schedule(at=At.MOMENT)}, "needs an expression, and nothing else", True),
        ({"schedule": Schedule(moment=MOMENT)}, "needs an expression, and nothing else", True),
        ({"schedule": Schedule(mode=Mode.MESSAGE_FIRST)}, "needs a template", True),
        ({"schedule": Schedule(template="offer")}, "no effect without message_first", False),
        (
            {"schedule": Schedule(mode=Mode.MESSAGE_FIRST, template="ofer")},
            "unknown template 'ofer', did you mean 'offer'?",
            True,
        ),
    ],
)
def test_verbs_that_cannot_work_are_named(
    then: dict[str, Any], message: str, is_error: bool
) -> None:
    (found,) = findings(book(rule("r", OURS, **then)), KNOWN)
    assert message in found.message
    assert found.is_error == is_error


def test_a_text_written_out_needs_no_template_of_that_name() -> None:
    schedule = Schedule(mode=Mode.MESSAGE_FIRST, template="We have an offer for you")
    assert findings(book(rule("r", OURS, schedule=schedule)), KNOWN) == []


def test_a_strategy_has_its_own_verbs() -> None:
    rules = book(segments=(segment("loyal", None, then=Then(queue="care"), channels=("fax",)),))
    assert said(rules) == [
        (
            "loyal",
            "'queue' is for rules: a strategy has head_start, tier, watch, prefer_agent, require",
        ),
        ("loyal", "unknown channel 'fax': there are voice, sms, email"),
    ]


HOUR = Schedule(at=At.LEARNED_WINDOW)
LETS_IN = (
    "'schedule' has no effect on inbound contacts, which its condition lets in: "
    'add contact.direction != "inbound", or give those a rule of their own before it'
)


@pytest.mark.parametrize(
    "text",
    [
        'contact.direction == "outbound"',
        'contact.direction != "inbound" && queue.open',
        'contact.direction in ["outbound", "callback"]',
        '(contact.direction == "outbound" || contact.direction == "callback") && customer.known',
    ],
)
def test_a_rule_that_schedules_what_we_begin_is_good(text: str) -> None:
    assert said(book(rule("hour", text, schedule=HOUR))) == []


@pytest.mark.parametrize(
    "text", [None, "customer.known", 'contact.direction in ["inbound", "callback"]']
)
def test_a_rule_that_would_schedule_inbound_contacts_is_named(text: str | None) -> None:
    assert said(book(rule("hour", text, schedule=HOUR))) == [("hour", LETS_IN)]
    (found,) = findings(book(rule("hour", text, schedule=HOUR)), KNOWN)
    assert str(found).startswith("r.yaml:1: hour: 'schedule' has no effect on inbound")


def test_a_rule_that_schedules_inbound_contacts_alone_does_nothing() -> None:
    rules = book(rule("hour", 'contact.direction == "inbound" && queue.open', schedule=HOUR))
    message = "'schedule' has no effect: its condition holds for inbound contacts only"
    assert said(rules) == [("hour", message)]


def test_where_inbound_contacts_have_a_rule_before_it_nothing_is_said() -> None:
    first = rule("in", 'contact.direction == "inbound"', queue="care")
    some = rule("in", 'contact.direction == "inbound" && queue.open', queue="care")
    hour = rule("hour", "customer.known", schedule=HOUR)
    assert said(book(first, hour)) == []
    assert said(book(some, hour)) == [("hour", LETS_IN)]
    assert said(book(first, hour, match=Match.ALL)) == [("hour", LETS_IN)]


def test_a_rule_on_input_schedules_nothing() -> None:
    rules = book(rule("later", "customer.known", Moment.INPUT, schedule=HOUR))
    message = "'schedule' has no effect on input: who answers a question is there already"
    assert said(rules) == [("later", message)]
