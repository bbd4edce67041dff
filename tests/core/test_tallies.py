from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.model import MINUTE_US, SECOND_US, ContactId, Presence
from router.core.tallies import (
    ENDS,
    FORMULAS,
    INTERVAL_US,
    KEPT_INTERVALS,
    REASONS,
    SERVICE_LEVELS,
    Cell,
    Count,
    Shift,
    quotient,
    rates,
    ratio,
    service_level,
)


def counts(**given: int) -> list[int]:
    made = [0] * len(Count)
    for name, value in given.items():
        made[Count[name.upper()]] = value
    return made


DAY = counts(
    answered=80, answered_in_target=60, abandoned=20, abandoned_in_target=8, short_abandoned=5,
    deflected=10, overflowed=6, switched=4,
)  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("SL1", 68 / 100),
        ("SL2", 60 / 80),
        ("SL3", 60 / 100),
        ("SL4", 60 / 92),
        ("SL5", 65 / 100),
        ("SL6", 60 / 95),
        ("SL7", 60 / 120),
    ],
)
def test_each_service_level_is_its_formula(variant: str, expected: float) -> None:
    assert service_level(DAY, variant) == pytest.approx(expected)


def test_ours_is_the_sixth_and_every_variant_is_explained() -> None:
    assert service_level(DAY) == service_level(DAY, "SL6")
    assert list(SERVICE_LEVELS) == [f"SL{i}" for i in range(1, 8)]
    with pytest.raises(KeyError):
        service_level(DAY, "SL8")


def test_a_rate_of_nothing_is_nothing() -> None:
    assert service_level(counts()) is None
    assert (ratio(0, 0), quotient(0, 0)) == (None, None)
    assert set(rates(counts()).values()) == {None}


def test_rates_are_made_of_the_counts() -> None:
    made = counts(
        answered=4, wait_us=100, handled=2, talk_us=60, hold_us=20, wrap_us=10, abandoned=1,
        offers=10, missed=3,
    )  # fmt: skip
    assert rates(made) == {
        "service_level": 0.0,
        "asa_us": 25,
        "aht_us": 45,
        "abandon_rate": 0.2,
        "rona_rate": 0.3,
    }


def test_every_count_and_every_rate_has_its_formula() -> None:
    assert {count.name.lower() for count in Count} | rates(DAY).keys() <= FORMULAS.keys()
    assert len(set(ENDS)) == len(ENDS)


def test_a_cell_forgets_what_is_a_day_old_but_not_in_its_total() -> None:
    cell = Cell()
    cell.open(0)
    cell.count(0, Count.RECEIVED, 3)
    cell.open(KEPT_INTERVALS)
    cell.count(KEPT_INTERVALS, Count.RECEIVED)
    assert (cell.recent[Count.RECEIVED], cell.total[Count.RECEIVED]) == (1, 4)
    cell.count(0, Count.ANSWERED)
    assert (cell.recent[Count.ANSWERED], cell.total[Count.ANSWERED]) == (0, 1)


def test_a_cell_tells_how_old_its_waits_are() -> None:
    cell = Cell()
    cell.target_us = 20 * SECOND_US
    now_us = 10 * INTERVAL_US
    for number, age_s in enumerate((5, 10, 15, 20, 30, 50)):
        cell.waiting[ContactId(f"c{number}")] = now_us - age_s * SECOND_US
    numbers = cell.numbers(now_us)
    assert (numbers["waiting"], numbers["longest_wait_us"]) == (6, 50 * SECOND_US)
    assert numbers["waiting_ages"] == [2, 2, 1, 1]
    assert sum(numbers["waiting_ages"]) == 6  # type: ignore[call-overload]


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from(list(Count))), max_size=80))
def test_recent_is_the_sum_of_the_kept_intervals(told: list[tuple[int, Count]]) -> None:
    cell = Cell()
    for interval, count in told:
        cell.open(interval)
        cell.count(interval, count)
        for which in Count:
            assert cell.recent[which] == sum(kept[which] for kept in cell.intervals.values())
    assert sum(cell.total) == len(told)


def test_a_shift_sums_times_until_now_and_looking_changes_nothing() -> None:
    shift = Shift(Presence.READY, "", 0)
    shift.settle(10)
    shift.held = 1
    numbers = shift.until(25).numbers()
    assert (numbers["ready_us"], numbers["available_us"], numbers["handling_us"]) == (25, 10, 15)
    assert numbers["occupancy"] == pytest.approx(15 / 25)
    assert (shift.ready_us, shift.handling_us) == (10, 0)


def test_reasons_beyond_the_bound_are_other() -> None:
    shift = Shift(Presence.NOT_READY, "", 0)
    for number in range(REASONS + 3):
        shift.reason = f"reason {number}"
        shift.settle((number + 1) * MINUTE_US)
    assert len(shift.not_ready_us) == REASONS + 1
    assert shift.not_ready_us["other"] == 3 * MINUTE_US
    assert sum(shift.not_ready_us.values()) == (REASONS + 3) * MINUTE_US
