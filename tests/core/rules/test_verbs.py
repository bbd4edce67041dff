"""Verbs as settings, and who is in which arm of an experiment."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from router.core.rules.compile import compile_expression
from router.core.rules.verbs import (
    At,
    Experiment,
    GiveUp,
    Mode,
    PreferAgent,
    Schedule,
    Then,
    settings_of,
    written,
)
from tests.core.rules.books import SCHEMA, rule

SECOND_US = 1_000_000


def test_only_verbs_that_are_given_are_named() -> None:
    assert Then().verbs() == ()
    assert Then(queue="care", tier=0, head_start_us=0, watch=False).verbs() == (
        "queue",
        "tier",
        "head_start",
        "watch",
    )


def test_verbs_are_written_as_the_configuration_has_them() -> None:
    late = compile_expression("contact.waited > duration('1m')", SCHEMA)
    then = Then(
        require=(("billing", 6),),
        prefer_agent=PreferAgent(for_us=30 * SECOND_US),
        head_start_us=90 * SECOND_US,
        set={"topic": "x", "late": late},
        schedule=Schedule(mode=Mode.MESSAGE_FIRST, template="offer", give_up=GiveUp.SEND),
        experiment=(Experiment(name="greeting", arms={"a": 50, "b": 50}),),
    )
    assert settings_of(then) == {
        "require": {"billing": 6},
        "prefer_agent": {"last": "30s"},
        "head_start": "90s",
        "set": {"topic": "x", "late": {"cel": "contact.waited > duration('1m')"}},
        "schedule": {
            "at": "learned_window",
            "mode": "message_first",
            "template": "offer",
            "purpose": "service",
            "within": "604800s",
            "latest": "0s",
            "give_up": "send",
            "explore": True,
        },
        "experiment": [{"name": "greeting", "arms": {"a": 50, "b": 50}}],
    }
    agent = Then(prefer_agent=PreferAgent(agent="ana", for_us=SECOND_US))
    assert settings_of(agent) == {"prefer_agent": {"agent": "ana", "for": "1s"}}
    moment = Then(
        schedule=Schedule(at=At.MOMENT, moment=compile_expression("now", SCHEMA, expects=None))
    )
    assert settings_of(moment)["schedule"]["at"] == {"cel": "now"}


def test_a_customer_is_always_in_the_same_arm_and_arms_have_their_shares() -> None:
    experiment = Experiment(name="greeting", arms={"a": 1, "b": 3, "c": 0})
    arms = Counter(experiment.arm(f"customer{number}") for number in range(4_000))
    assert arms["c"] == 0
    assert 850 < arms["a"] < 1_150
    assert experiment.arm("customer7") == experiment.arm("customer7")


def test_experiments_with_names_of_one_length_are_independent() -> None:
    first, second = (Experiment(name=name, arms={"a": 1, "b": 1}) for name in ("one", "two"))
    same = sum(first.arm(f"c{n}") == second.arm(f"c{n}") for n in range(2_000))
    assert 900 < same < 1_100


def test_rules_are_written_the_same_if_they_say_the_same() -> None:
    one = rule("a", 'segment == "loyal"', queue="care", set={"x": 1})
    assert json.loads(written(one)) == {
        "name": "a",
        "when": {"cel": 'segment == "loyal"'},
        "then": {"queue": "care", "set": {"x": 1}},
        "place": "r.yaml:1",
    }
    assert written(one) == written(rule("a", 'segment == "loyal"', queue="care", set={"x": 1}))
    assert one == rule("a", 'segment   == "loyal"', queue="care", set={"x": 1})
    assert one != rule("a", 'segment == "passive"', queue="care", set={"x": 1})
    with pytest.raises(NotImplementedError):
        written(object())
