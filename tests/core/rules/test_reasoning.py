"""What is said of conditions without a context holds in every context."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.rules.compile import Expression, compile_expression
from router.core.rules.place import EvaluationError
from router.core.rules.reasoning import ERROR, FALSE, TRUE, implies, outcomes
from router.core.rules.schema import Schema
from router.core.rules.types import BOOL, DOUBLE, INT, JSON_OBJECT, STRING, Field

SCHEMA = Schema(
    {
        "n": INT,
        "d": DOUBLE,
        "s": STRING,
        "kind": Field(STRING, values=("a", "b", "c")),
        "maybe": Field(INT, optional=True),
        "flag": BOOL,
        "m": JSON_OBJECT,
    }
)


@dataclass
class Given:
    n: int
    d: float
    s: str
    kind: str
    maybe: int | None
    flag: bool
    m: dict[str, Any]


WORLDS = [
    Given(n, d, s, kind, maybe, flag, m)
    for n, d, s, kind, maybe, flag, m in product(
        (1, 2, 3), (1.5, float("nan")), ("a",), ("a", "c"), (None, 2), (True, False),
        ({}, {"x": 1}, {"x": True}, {"x": "a"}),
    )
]  # fmt: skip


def made(text: str) -> Expression:
    return compile_expression(text, SCHEMA)


def value(expression: Expression, world: Given) -> object:
    try:
        return expression.evaluate(world)
    except EvaluationError:
        return None


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("true", True),
        ("1 < 2 && !false", True),
        ("m.x == 1 || true", True),
        ("flag || !flag", True),
        ("n < 2 || n >= 2", True),
        ('s == "a" || s != "a"', True),
        ('kind in ["a", "b", "c"]', True),
        ('kind != "a" || kind != "b"', True),
        ('!(kind != "a" && kind != "b" && kind != "c")', True),
        ("flag || n == n", None),
        ("false", False),
        ("m.x == 1 && false", False),
        ("flag && !flag", False),
        ("n > 1 && n < 2", False),
        ("n >= 2 && n <= 2", None),
        ("3 < n && n < 3", False),
        ('s == "a" && s in ["b", "c"]', False),
        ('s > "b" && s < "b"', False),
        ('kind != "a" && kind != "b" && kind != "c"', False),
        ('!(kind in ["a", "b", "c"])', False),
        ("m.x == 1 && m.x == 2", False),
        ("m.x == 1 && m.x != true", None),
        ("maybe == 1 && maybe == 2", False),
        ("maybe == 1 || maybe != 1", None),
        ("d < 1.0 || d >= 1.0", None),
        ("d == 1.5 && d < 2.0", None),
        ('m.x == "a" && m.x > 0', None),
        ("(flag ? n == 1 : n == 1) && n == 2", None),
        ("n == 1 && (n == 2 || n == 3)", None),
        ("flag ? true : true", True),
        ('s.contains("a") && !s.contains("a")', False),
    ],
)
def test_what_is_always_or_never_true_is_found(text: str, constant: bool | None) -> None:
    assert made(text).constant is constant


ATOMS = [
    *("n == 1", "n != 1", "n > 1", "n >= 2", "n < 3", "2 <= n", "n in [1, 2]", "n in [3]"),
    *('kind == "a"', 'kind in ["a", "b"]', 'kind != "c"', 's == "a"', 's < "b"', "flag"),
    *("maybe == 2", "maybe != 2", "maybe > 1", "m.x == 1", "m.x != 1", 'm.x == "a"', "has(m.x)"),
    *("d < 2.0", "d >= 2.0", "m.x > 0", "m.x", "true", "false", "n / (n - 1) > 0", "m.x in [1]"),
    "maybe in [2]",
]  # fmt: skip


def conditions(depth: int = 2) -> st.SearchStrategy[str]:
    atoms = st.sampled_from(ATOMS)
    if depth == 0:
        return atoms
    inner = conditions(depth - 1)
    return st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda p: f"({' '.join(p)})"),
        inner.map(lambda text: f"!({text})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} ? {p[1]} : {p[2]})"),
        atoms,
    )


@settings(max_examples=150, deadline=None)
@given(conditions())
def test_a_condition_comes_to_nothing_that_was_not_said_possible(text: str) -> None:
    expression = made(text)
    possible = outcomes(expression.root)
    bits = {True: TRUE, False: FALSE, None: ERROR}
    for world in WORLDS:
        got = value(expression, world)
        assert bits[got] & possible, f"{text} is {got} for {world}"  # type: ignore[index]


@settings(max_examples=200, deadline=None)
@given(conditions(1), conditions(1))
def test_what_is_implied_is_true_wherever_the_other_is(a: str, b: str) -> None:
    first, second = made(a), made(b)
    if implies(first.root, second.root):
        for world in WORLDS:
            if value(first, world) is True:
                assert value(second, world) is True, f"{a} without {b} for {world}"


@pytest.mark.parametrize(
    ("condition", "other"),
    [
        ('kind == "a" && flag', 'kind == "a"'),
        ('flag && kind  ==  "a"', '"a" == kind'),
        ('kind == "a"', 'kind in ["a", "b"]'),
        ("n > 5", "n > 3"),
        ("n == 7 && flag", "n >= 7 && flag"),
        ('kind == "a" || kind == "b"', 'kind != "c"'),
        ("flag", "flag || m.x == 1"),
        ("m.x == 1 && flag", "m.x in [1, 2]"),
        ("maybe > 3", "maybe > 2"),
        ("n > 1 && n < 2", "flag"),
        ("m.x == 1", "true"),
        ("n / m.x == 1 && flag", "n / m.x == 1"),
    ],
)
def test_a_condition_within_another_is_found(condition: str, other: str) -> None:
    assert implies(made(condition).root, made(other).root)


@pytest.mark.parametrize(
    ("condition", "other"),
    [
        ('kind == "a"', 'kind == "b"'),
        ("n > 3", "n > 5"),
        ("flag", "maybe > 1 || maybe <= 1"),
        ('kind in ["a", "b"]', 'kind == "a"'),
        ("flag || n == 1", "flag"),
        ("!flag", "flag || maybe > 1 || maybe <= 1"),
        ("d >= 1.0", "!(d < 1.0 && flag) && d > 0.5"),
    ],
)
def test_a_condition_not_within_another_is_not_said_to_be(condition: str, other: str) -> None:
    assert not implies(made(condition).root, made(other).root)


def test_of_large_conditions_what_is_missing_is_seen() -> None:
    large = " && ".join(f"n != {number}" for number in range(300))
    fewer = " && ".join(f"n != {number}" for number in range(299))
    assert implies(made(large).root, made(fewer).root)
    assert not implies(made(fewer).root, made(large).root)
