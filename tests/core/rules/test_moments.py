"""Timestamps, durations and their parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.rules import moments as m
from router.core.rules.operations import Fault
from tests.core.rules.world import SUNDAY_US

MOMENTS = st.integers(m.TIMESTAMP_MIN, m.TIMESTAMP_MAX)


@given(MOMENTS)
def test_a_moment_is_written_as_it_is_read(moment_us: int) -> None:
    assert m.timestamp(m.rfc3339(moment_us)) == moment_us


@given(st.integers(-m.DURATION_MAX, m.DURATION_MAX))
def test_a_length_is_written_as_it_is_read(length_us: int) -> None:
    assert m.duration(m.seconds(length_us)) == length_us


@pytest.mark.parametrize(
    ("text", "length_us"),
    [
        ("90s", 90_000_000),
        ("1h30m", 5_400_000_000),
        ("-1.5h", -5_400_000_000),
        ("+.5s", 500_000),
        ("1ms", 1_000),
        ("1000ns", 1),
        ("0", 0),
        ("2.s", 2_000_000),
    ],
)
def test_a_length_is_a_sum_of_units(text: str, length_us: int) -> None:
    assert m.duration(text) == length_us


@pytest.mark.parametrize(
    "text", ["", "10", "1d", "h", "1 s", "1µs", "1s-1m", "1e3s", "1ns", "99999999999h", "1" * 99]
)
def test_what_is_no_length_has_no_value(text: str) -> None:
    with pytest.raises(Fault):
        m.duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-03-29",
        "2026-03-29T01:00:00",
        "2026-02-30T01:00:00Z",
        "2026-03-29 01:00:00Z",
        "2026-03-29T24:00:00Z",
        "2026-03-29T01:00:60Z",
        "2026-03-29T01:00:00.1234567Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "٢٠٢٦-03-29T01:00:00Z",
    ],
)
def test_what_is_no_moment_has_no_value(text: str) -> None:
    with pytest.raises(Fault):
        m.timestamp(text)


def test_a_moment_may_be_given_in_seconds() -> None:
    assert m.timestamp(-1) == -1_000_000
    with pytest.raises(Fault):
        m.timestamp(10**18)
    with pytest.raises(Fault):
        m.timestamp(True)


@given(MOMENTS, st.integers(-m.DURATION_MAX, m.DURATION_MAX))
def test_sums_stay_within_the_calendar(moment_us: int, length_us: int) -> None:
    try:
        later = m.add_duration(moment_us, length_us)
    except Fault:
        assert not m.TIMESTAMP_MIN <= moment_us + length_us <= m.TIMESTAMP_MAX
    else:
        assert m.between(later, moment_us) == length_us
        assert m.subtract_duration(later, length_us) == moment_us


def test_lengths_have_a_bound() -> None:
    assert m.add_durations(m.DURATION_MAX, -1) == m.DURATION_MAX - 1
    with pytest.raises(Fault):
        m.add_durations(m.DURATION_MAX, 1)
    with pytest.raises(Fault):
        m.subtract_durations(-m.DURATION_MAX, 1)


@given(st.integers(SUNDAY_US - 10**15, SUNDAY_US + 10**15))
def test_the_parts_of_a_moment_are_those_of_the_calendar(moment_us: int) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment_us)
    parts = {name: part(moment_us) for name, part in m.MOMENT_PARTS.items()}
    assert parts == {
        "getFullYear": at.year,
        "getMonth": at.month - 1,
        "getDate": at.day,
        "getDayOfMonth": at.day - 1,
        "getDayOfWeek": (at.weekday() + 1) % 7,
        "getDayOfYear": (at.date() - at.date().replace(month=1, day=1)).days,
        "getHours": at.hour,
        "getMinutes": at.minute,
        "getSeconds": at.second,
        "getMilliseconds": at.microsecond // 1000,
    }


@pytest.mark.parametrize(
    ("zone", "hour", "minute"),
    [
        ("Europe/Berlin", 3, 30),
        ("America/New_York", 21, 30),
        ("Asia/Kolkata", 7, 0),
        ("+02:00", 3, 30),
        ("-08:30", 17, 0),
        ("05:45", 7, 15),
        ("UTC", 1, 30),
    ],
)
def test_a_zone_gives_its_own_clock(zone: str, hour: int, minute: int) -> None:
    parts = m.MOMENT_PARTS
    assert parts["getHours"](SUNDAY_US, zone) == hour
    assert parts["getMinutes"](SUNDAY_US, zone) == minute


def test_the_clock_jumps_where_the_zone_says_so() -> None:
    hours = [m.MOMENT_PARTS["getHours"](SUNDAY_US - s * 1_000_000, "Europe/Berlin") for s in
             (1806, 1805)]  # fmt: skip
    assert hours == [1, 3]


@pytest.mark.parametrize(
    "zone", ["", "Nope", "Europe", "../etc/passwd", "+25:00", "a\0b", "x" * 100_000, None, 5]
)
def test_what_is_no_zone_has_no_value(zone: object) -> None:
    with pytest.raises(Fault):
        m.zone_of(zone)


def test_the_edge_of_the_calendar_has_no_local_time_beyond_it() -> None:
    with pytest.raises(Fault):
        m.MOMENT_PARTS["getHours"](m.TIMESTAMP_MAX, "+01:00")


def test_parts_of_a_length_are_the_whole_of_it_in_that_unit() -> None:
    length_us = -123_321_456_789
    assert {name: part(length_us) for name, part in m.DURATION_PARTS.items()} == {
        "getHours": -34,
        "getMinutes": -2055,
        "getSeconds": -123321,
        "getMilliseconds": -456,
    }


def test_a_zone_has_its_clock() -> None:
    zone = m.zone_named("Europe/Berlin")
    assert zone is not None
    assert datetime(2026, 7, 1, tzinfo=UTC).astimezone(zone).utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize("name", ["", "Mars/Base", "Europe", "../etc/passwd", "x" * 5000, "a\0b"])
def test_a_name_that_means_nothing_is_no_zone(name: str) -> None:
    assert m.zone_named(name) is None
