"""Tests that stand in the rule book itself."""

from __future__ import annotations

from typing import Any

import pytest

from router.core.rules.book import Match, Moment
from router.core.rules.cases import Result, RuleTest, run_tests
from router.core.rules.verbs import Experiment, PreferAgent, Schedule, Then
from tests.core.rules.books import KNOWN, SECOND_US, book, rule, segment

BOOK = book(
    rule(
        "sms-hour",
        'contact.direction == "outbound" && preference.channel == "sms" '
        "&& preference.confidence >= 0.8",
        schedule=Schedule(template="offer"),
        queue="care",
    ),
    rule(
        "loyal-billing",
        'segment == "loyal" && contact.attributes.topic == "billing"',
        queue="billing",
        require=(("billing", 6),),
        head_start_us=90 * SECOND_US,
        prefer_agent=PreferAgent(for_us=30 * SECOND_US),
        experiment=(Experiment(name="e", arms={"a": 1}),),
    ),
    rule("morning", 'local.hour < 12 && local.day == "tue"', tier=1),
    rule("busy", "queues.care.waiting > 2 || queue.longest_wait > duration('1m')", watch=True),
    rule("answered", 'contact.attributes.digit == "1"', Moment.INPUT, queue="billing"),
    segments=(
        segment("loyal", "customer.contacts >= 5", then=Then(tier=0)),
        segment("passive", None),
    ),
)


def run(given: dict[str, Any], expect: dict[str, Any]) -> Result:
    (result,) = run_tests(BOOK, KNOWN, (RuleTest(name="t", given=given, expect=expect),))
    return result


LOYAL = {"customer": {"contacts": 9}, "contact": {"attributes": {"topic": "billing"}}}


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        (
            LOYAL,
            {
                "segment": "loyal",
                "rules": ["loyal-billing"],
                "queue": "billing",
                "require": {"billing": 6},
                "head_start": "1m30s",
                "prefer_agent": {"last": "30s"},
                "tier": 0,
                "set": {"experiment.e": "a"},
            },
        ),
        (
            {
                "contact": {"direction": "outbound"},
                "preference": {"channel": "sms", "confidence": 1},
            },
            {"rules": ["sms-hour"], "schedule": "learned_window", "segment": "passive"},
        ),
        (
            {
                "contact": {"direction": "outbound"},
                "preference": {"channel": "sms", "confidence": 0.9},
            },
            {"schedule": {"template": "offer", "within": "7d"}},
        ),
        ({"at": "2026-11-24T09:30+01:00", "contact": {"queue": "care"}}, {"rules": ["morning"]}),
        (
            {"at": "2026-11-24T21:30+01:00", "customer": {"zone": "America/New_York"}},
            {"rules": []},
        ),
        ({"queues": {"care": {"waiting": 3}}}, {"watch": True, "queue": None}),
        (
            {"contact": {"queue": "care"}, "queues": {"care": {"longest_wait": "90s"}}},
            {"rules": ["busy"]},
        ),
        ({"queue": {"longest_wait": "2d"}}, {"rules": ["busy"]}),
        ({"local": {"hour": 9, "day": "tue"}}, {"tier": 1}),
        ({"on": "input", "contact": {"attributes": {"digit": "1"}}}, {"queue": "billing"}),
        ({"segment": "loyal"}, {"segment": "loyal"}),
        ({"customer": {"segment": "loyal"}}, {"segment": "loyal"}),
        ({}, {}),
    ],
)
def test_a_test_that_holds_passes(given: dict[str, Any], expect: dict[str, Any]) -> None:
    assert run(given, expect).failures == ()


@pytest.mark.parametrize(
    ("expect", "failure"),
    [
        ({"queue": "care"}, "expected queue 'care', got 'billing'"),
        ({"require": {"billing": 7}}, "expected require.billing 7, got 6"),
        ({"require": {"sales": 1}}, "expected require.sales 1, got None"),
        ({"head_start": "2m"}, "expected head_start '2m', got '90s'"),
        ({"rules": ["busy"]}, "expected rules ['busy'], got ['loyal-billing']"),
        ({"segment": "passive"}, "expected segment 'passive', got 'loyal'"),
        ({"watch": True}, "expected watch True, got None"),
        ({"tier": False}, "expected tier False, got 0"),
        ({"schedule": "now"}, "expected schedule {'at': 'now'}, got None"),
        ({"quee": "care"}, "expect: unknown 'quee', did you mean 'queue'?"),
    ],
)
def test_what_is_not_as_expected_is_named(expect: dict[str, Any], failure: str) -> None:
    assert run(LOYAL, expect).failures == (failure,)


@pytest.mark.parametrize(
    ("given", "failure"),
    [
        ({"contct": {}}, "given: unknown 'contct', did you mean 'contact'?"),
        ({"contact": {"chanel": "sms"}}, "contact has no field 'chanel', did you mean 'channel'?"),
        ({"contact": {"channel": "fax"}}, "contact.channel is never 'fax'"),
        ({"contact": 5}, "contact: expected its fields (name: value), got int"),
        ({"contact": {"position": "x"}}, "contact.position: expected int, got string"),
        ({"contact": {"waited": 5}}, "contact.waited: expected a length like 90s or 2d, got 5"),
        ({"contact": {"requirements": {"en": "x"}}}, "requirements.en: expected int, got string"),
        ({"queues": {"car": {}}}, "queues: unknown queue 'car', did you mean 'care'?"),
        ({"queues": {"care": {"open": "no"}}}, "queues.care.open: expected bool, got string"),
        ({"at": "2026-11-24T09:30"}, "at: expected a moment like 2026-11-24T09:30+01:00, got"),
        ({"at": "tomorrow"}, "at: expected a moment like"),
        ({"on": "later"}, "on: expected received or input, got 'later'"),
        ({"customer": {"zone": "Mars"}}, "local: expected a time zone like"),
        ({"customer": {"segment": "loyl"}}, "unknown segment 'loyl', did you mean 'loyal'?"),
    ],
)
def test_what_cannot_be_given_is_named(given: dict[str, Any], failure: str) -> None:
    (found,) = run(given, {}).failures
    assert failure in found


def test_a_result_shows_what_became_of_each_condition() -> None:
    result = run({"queues": {"care": {"waiting": 3}}}, {"watch": False})
    assert result.failures == ("expected watch False, got True",)
    assert "morning: no match" in result.verdicts
    assert "loyal-billing: no match" in result.verdicts
    assert '  queues.care.waiting > 2 || queue.longest_wait > duration(\'1m\') -> true' in (
        result.verdicts
    )  # fmt: skip


def test_a_condition_without_a_value_is_shown_with_its_reason() -> None:
    broken = book(rule("b", "contact.attributes.x > 1", tier=1), match=Match.ALL)
    (result,) = run_tests(broken, KNOWN, (RuleTest(name="t", expect={"rules": ["b"]}),))
    assert result.failures == ("expected rules ['b'], got []",)
    assert result.verdicts[:1] == ("b: no match, expression:1:1: no such key: 'x'",)
