from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.core.skills import dropped, fit, lowered, meets, merged, signature, surplus

NAMES = st.sampled_from(["en", "de", "fr", "billing", "vip"])
PAIRS = st.lists(st.tuples(NAMES, st.integers(1, 10)), max_size=8)
LEVELS = st.dictionaries(NAMES, st.integers(1, 10))


def test_a_signature_is_sorted_and_the_higher_level_of_a_double_counts() -> None:
    assert signature([("fr", 2), ("de", 5), ("fr", 7)]) == (("de", 5), ("fr", 7))
    assert signature({"b": 1, "a": 2}) == (("a", 2), ("b", 1))
    assert signature({}) == ()


def test_a_level_is_enough_when_it_is_equal() -> None:
    assert meets({"en": 5}, (("en", 5),))
    assert not meets({"en": 4}, (("en", 5),))
    assert not meets({}, (("en", 1),))
    assert meets({}, ())


@given(PAIRS, LEVELS)
def test_who_meets_a_signature_meets_each_pair_it_was_made_of(
    pairs: list[tuple[str, int]], levels: dict[str, int]
) -> None:
    each = all(levels.get(skill, 0) >= level for skill, level in pairs)
    assert meets(levels, signature(pairs)) == each


@given(PAIRS, PAIRS, LEVELS)
def test_merged_asks_for_both(
    first: list[tuple[str, int]], second: list[tuple[str, int]], levels: dict[str, int]
) -> None:
    a, b = signature(first), signature(second)
    assert merged(a, b) == merged(b, a) == signature([*first, *second])
    assert meets(levels, merged(a, b)) == (meets(levels, a) and meets(levels, b))


@given(PAIRS, NAMES, st.integers(0, 10), LEVELS)
def test_relaxing_never_turns_an_agent_away(
    pairs: list[tuple[str, int]], skill: str, level: int, levels: dict[str, int]
) -> None:
    asked = signature(pairs)
    less = lowered(asked, skill, level)
    assert [name for name, _ in less] == [name for name, _ in asked]
    assert dict(less).get(skill, 0) <= max(level, 0) or dict(less)[skill] == dict(asked)[skill]
    if meets(levels, asked):
        assert meets(levels, less)
        assert meets(levels, dropped(asked, skill))


def test_lowering_never_raises_and_adds_nothing() -> None:
    assert lowered((("en", 3),), "en", 8) == (("en", 3),)
    assert lowered((("en", 3),), "de", 1) == (("en", 3),)


def test_surplus_counts_skills_that_were_not_asked() -> None:
    assert surplus({"en": 9, "de": 1, "fr": 1}, (("en", 2),)) == 2
    assert surplus({"en": 9}, (("en", 2),)) == 0


def test_fit_is_the_weighted_level_over_the_skills_asked() -> None:
    levels = {"billing": 8, "french": 4, "golf": 10}
    assert fit(levels, (("billing", 1), ("french", 1)), {"billing": 2.0}) == 20.0
    assert fit(levels, (), {}) == 0
