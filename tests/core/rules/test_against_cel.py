"""Our language against Google's CEL: what both accept has the same value, what CEL's types refuse
we refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from router.core.rules.checked import Apply, Key, Node, children
from router.core.rules.compile import Expression, compile_expression
from router.core.rules.place import EvaluationError, ExpressionError
from router.core.rules.types import DURATION, DYN
from tests.core.rules import cel
from tests.core.rules.expressions import (
    COMPARABLE,
    FORMS,
    as_text,
    contexts,
    sample,
    typed,
    untyped,
)
from tests.core.rules.world import SCHEMA, Context

CHECKED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
LONG = settings(CHECKED, max_examples=500)
KINDS = st.sampled_from([*COMPARABLE, "bool", "bool", "bool", "dyn", "list(int)"])
NANOSECONDS_US = (1 << 63) // 1000
DEVIATIONS = ("this never has a value", "is never", "expected at most", "expected a constant")


def ours(text: str) -> Expression | None:
    try:
        return compile_expression(text, SCHEMA, expects=None)
    except ExpressionError:
        return None


def complaints(text: str) -> list[str]:
    try:
        compile_expression(text, SCHEMA, expects=None)
    except ExpressionError as error:
        return [found.message for found in error.problems]
    return []


def value(expression: Expression, context: Context) -> Any:
    try:
        return expression.evaluate(context)
    except EvaluationError:
        return cel.ERROR


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list | tuple) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


def infers_more_narrowly(node: Node) -> bool:
    """An index on a JSON value: to CEL's checker its type is still free, and the next operator may
    bind it; to ours it is a JSON value."""
    base = node.base if isinstance(node, Key) else None
    if isinstance(node, Apply) and node.sign == "[]":
        base = node.arguments[0]
    if base is not None and base.type == DYN:
        return True
    return any(infers_more_narrowly(child) for child in children(node))


def takes_moments_apart(node: Node) -> bool:
    """One moment less another, or a length less another, somewhere."""
    is_here = isinstance(node, Apply) and node.sign == "-" and node.type == DURATION
    return is_here or any(takes_moments_apart(child) for child in children(node))


def compare(text: str, context: Context) -> None:
    """What we accept CEL accepts, and the values are the same."""
    expression = ours(text)
    assume(expression is not None)
    assert expression is not None
    theirs = cel.compiled(text)
    if theirs is None:
        assert infers_more_narrowly(expression.root), f"{text}: refused by CEL"
        return
    expected = cel.value_of(theirs, context)
    got = value(expression, context)
    is_length = expression.type == DURATION and got != cel.ERROR
    if expected == cel.ERROR and is_length and abs(got) > NANOSECONDS_US:
        return  # a length of over 292 years, which Google's code in places counts in nanoseconds
    if expected == cel.ERROR and got != cel.ERROR and takes_moments_apart(expression.root):
        return  # such a length within
    assert same(got, expected), f"{text}: CEL {expected!r}, got {got!r}, for {as_text(context)}"


def agree(text: str, context: Context) -> None:
    """Compiled code, explanation and what is said without a context do not contradict."""
    expression = ours(text)
    assume(expression is not None)
    assert expression is not None
    got = value(expression, context)
    step = expression.explain(context)
    assert (step.value if step.outcome == "value" else cel.ERROR) == got
    if expression.constant is not None:
        assert (got is True) == expression.constant, f"{text} for {as_text(context)}"


@CHECKED
@given(KINDS.flatmap(typed), contexts())
def test_a_well_typed_expression_has_the_value_that_cel_gives(text: str, context: Context) -> None:
    compare(text, context)


@pytest.mark.slow
@pytest.mark.timeout(600)
@LONG
@given(KINDS.flatmap(typed), contexts())
def test_hundreds_of_well_typed_expressions(text: str, context: Context) -> None:
    compare(text, context)


@CHECKED
@given(untyped(), contexts())
def test_what_cel_refuses_by_type_is_refused(text: str, context: Context) -> None:
    compare(text, context)


@pytest.mark.slow
@pytest.mark.timeout(600)
@LONG
@given(untyped(), contexts())
def test_hundreds_of_expressions_put_together_blindly(text: str, context: Context) -> None:
    compare(text, context)


@CHECKED
@given(KINDS.flatmap(typed))
def test_a_well_typed_expression_is_accepted(text: str) -> None:
    assume(cel.compiled(text) is not None)
    unexpected = [m for m in complaints(text) if not any(d in m for d in DEVIATIONS)]
    assert unexpected == []


@CHECKED
@given(typed("bool", 4), contexts())
@example("contact.attributes.nowhere == 1 || open", Context())
def test_code_walk_and_reasoning_agree(text: str, context: Context) -> None:
    agree(text, context)


@pytest.mark.slow
@pytest.mark.timeout(600)
@LONG
@given(typed("bool", 4), contexts())
def test_code_walk_and_reasoning_agree_hundreds_of_times(text: str, context: Context) -> None:
    agree(text, context)


@pytest.mark.parametrize("form", [form for forms in FORMS.values() for form in forms])
def test_every_form_that_is_drawn_is_known_to_cel(form: str) -> None:
    assert cel.compiled(sample(form)) is not None
