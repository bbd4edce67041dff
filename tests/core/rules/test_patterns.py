"""Patterns are checked at load and cannot run away."""

from __future__ import annotations

import pytest

from router.core.rules.patterns import PATTERN_MAX, pattern


@pytest.mark.parametrize(
    ("text", "whole", "found"),
    [
        ("^b.*g$", "billing", True),
        ("ill", "billing", True),
        ("^ill", "billing", False),
        (r"\bé", "café é", True),
        ("", "", True),
        ("(?i)BILL", "billing", True),
    ],
)
def test_a_pattern_is_looked_for_anywhere(text: str, whole: str, found: bool) -> None:
    assert (pattern(text).search(whole) is not None) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(", r"missing \)"),
        (r"(a)\1", "invalid escape sequence"),
        ("(?=a)", "invalid perl operator"),
        ("a{1001}", "invalid repetition"),
        ("(((x{100}){100}){100})", "invalid repetition"),
        (r"\pL{1000}" * 20, "pattern too large"),
        ("a" * (PATTERN_MAX + 1), f"at most {PATTERN_MAX} characters, got {PATTERN_MAX + 1}"),
    ],
)
def test_what_re2_does_not_take_is_refused_at_load(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pattern(text)


def test_a_pattern_that_backtracks_for_ever_elsewhere_ends_here() -> None:
    """2^100000 steps for a backtracking engine: this test ends, or the engine is another."""
    assert pattern("(a+)+$").search("a" * 100_000 + "b") is None
    assert pattern("(x+x+)+y").search("x" * 100_000) is None
