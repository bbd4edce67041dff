"""Operators and functions on values of any type."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.rules import operations as o
from router.core.rules.lexer import INT_MAX, INT_MIN
from tests.core.rules.expressions import JSON

INTS = st.integers(INT_MIN, INT_MAX)


@given(JSON, JSON)
def test_equality_tells_truth_values_from_numbers(a: object, b: object) -> None:
    def told_apart(value: object) -> object:
        """Python's own equality, once 1 and true differ in type."""
        if isinstance(value, bool):
            return ("truth", value)
        if isinstance(value, list):
            return [told_apart(item) for item in value]
        if isinstance(value, dict):
            return {key: told_apart(item) for key, item in value.items()}
        return value

    assert o.equal(a, b) == (told_apart(a) == told_apart(b))
    assert o.unequal(a, b) != o.equal(a, b)


def test_what_is_nested_too_deeply_is_not_compared() -> None:
    def nested(levels: int) -> list[object]:
        value: list[object] = []
        for _ in range(levels):
            value = [value]
        return value

    assert o.equal(nested(o.NESTING_MAX - 1), nested(o.NESTING_MAX - 1))
    with pytest.raises(o.Fault, match="nested deeper than 64 levels"):
        o.equal(nested(5_000), nested(5_000))


@given(INTS, INTS)
def test_division_goes_towards_zero_and_leaves_the_remainder(a: int, b: int) -> None:
    if b == 0 or (a == INT_MIN and b == -1):
        with pytest.raises(o.Fault):
            o.divide(a, b)
        with pytest.raises(o.Fault):
            o.remainder(a, b)
        return
    quotient, rest = o.divide(a, b), o.remainder(a, b)
    assert isinstance(quotient, int)
    assert isinstance(rest, int)
    assert quotient * b + rest == a
    assert abs(rest) < abs(b)
    assert rest == 0 or (rest < 0) == (a < 0)


@given(INTS, INTS, st.sampled_from([o.add, o.subtract, o.multiply]))
def test_whole_numbers_have_64_bits(a: int, b: int, operation: Callable[..., object]) -> None:
    signs = {o.add: a + b, o.subtract: a - b, o.multiply: a * b}
    if INT_MIN <= signs[operation] <= INT_MAX:
        assert operation(a, b) == signs[operation]
    else:
        with pytest.raises(o.Fault, match="larger than a 64-bit number"):
            operation(a, b)


@pytest.mark.parametrize(
    ("a", "b", "quotient"),
    [(1.0, 0.0, math.inf), (-1.0, 0.0, -math.inf), (1.0, -0.0, -math.inf), (3.0, 2.0, 1.5)],
)
def test_floating_point_divides_by_zero(a: float, b: float, quotient: float) -> None:
    assert o.divide(a, b) == quotient
    assert math.isnan(float(str(o.divide(0.0, b)))) == (b == 0.0)


@pytest.mark.parametrize(
    ("operation", "operands", "reason"),
    [
        (o.add, (1, 1.0), "'+' does not take int and double"),
        (o.add, (True, 1), "'+' does not take bool and int"),
        (o.subtract, ("a", "b"), "'-' does not take string and string"),
        (o.multiply, (None, 1), "'*' does not take null and int"),
        (o.divide, ([], 1), "'/' does not take list and int"),
        (o.remainder, (1.0, 2.0), "'%' does not take double and double"),
        (o.negate, (True,), "'-' does not take bool"),
        (o.less, (1, "a"), "'<' does not take int and string"),
        (o.greater_or_equal, (True, 1), "'>=' does not take bool and int"),
        (o.contained, (1, "abc"), "'in' does not take int and string"),
        (o.contained, ([1], {"a": 1}), "list cannot be a key"),
        (o.size, (1,), "'size' does not take int"),
        (o.starts_with, (1, "a"), "'startsWith' does not take int and string"),
        (o.at, ([1], 1), "no item 1: the list has 1"),
        (o.at, ([1], -1), "no item -1: the list has 1"),
        (o.at, ([1], 0.5), "'[]' does not take list and double"),
        (o.at, ([1], True), "'[]' does not take list and bool"),
        (o.at, ({"a": 1}, "b"), "no such key"),
        (o.at, ("abc", 0), "'[]' does not take string and int"),
        (o.member, ([1], "a"), "expected a map with the key 'a', got list"),
        (o.member, ({}, "a"), "no such key: 'a'"),
        (o.has_member, ("a", "a"), "expected a map, got string"),
        (o.to_int, ("5.5",), "int() expected a whole number, got another text"),
        (o.to_int, (" 5",), "int() expected a whole number, got another text"),
        (o.to_int, ("9" * 5_000,), "int() expected a whole number, got another text"),
        (o.to_int, (math.nan,), "int() expected a number that 64 bits hold"),
        (o.to_int, (1e19,), "int() expected a number that 64 bits hold"),
        (o.to_int, (True,), "'int' does not take bool"),
        (o.to_double, ("inf",), "double() expected a number, got another text"),
        (o.to_double, ("1e999",), "double() expected a number, got another text"),
        (o.to_double, (None,), "'double' does not take null"),
        (o.truth, (1,), "expected true or false, got int"),
    ],
)
def test_what_has_no_result_says_why(
    operation: Callable[..., object], operands: tuple[object, ...], reason: str
) -> None:
    with pytest.raises(o.Fault) as caught:
        operation(*operands)
    assert reason in caught.value.reason


def test_keys_are_found_by_value_and_not_by_pythons_idea_of_it() -> None:
    assert o.at({1: "one"}, 1.0) == "one"
    assert not o.contained(True, {1: "one"})
    assert not o.contained(1, {True: "yes"})
    assert o.at({True: "yes", False: "no"}, False) == "no"
    assert not o.contained(1.5, {1: "one"})
    assert not o.contained(None, [])


def test_texts_become_numbers() -> None:
    assert o.to_int("-12") == -12
    assert o.to_int(-5.9) == -5
    assert o.to_double("+1.5e3") == 1500.0
    assert o.to_double(2) == 2.0


def test_a_lone_surrogate_is_no_text_for_a_pattern() -> None:
    from router.core.rules.patterns import pattern

    with pytest.raises(o.Fault, match="not valid Unicode"):
        o.matches("\ud800", pattern("a"))
