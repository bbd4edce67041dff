"""Opening hours against a naive walk over the minutes of a wall clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.core.model import DAY_US, FOR_EVER_US, MINUTE_US, SECOND_US
from router.core.policy import Holiday, Hours, HoursSpan
from router.core.schedule import OpenHours
from router.errors import ConfigError

HOUR_US = 60 * MINUTE_US
EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
WEEKDAYS = (0, 1, 2, 3, 4)

NIGHTS = (
    ("Europe/Berlin", "2027-03-28"),
    ("Europe/Berlin", "2027-10-31"),
    ("America/New_York", "2027-03-14"),
    ("America/New_York", "2027-11-07"),
    ("Australia/Lord_Howe", "2027-04-04"),
    ("Australia/Lord_Howe", "2027-10-03"),
    ("Asia/Kathmandu", "2027-06-15"),
    ("Asia/Kathmandu", "1985-12-31"),
    ("America/St_Johns", "2027-03-14"),
    ("America/St_Johns", "2010-11-07"),
    ("Pacific/Apia", "2011-12-30"),
    ("America/Havana", "2027-03-14"),
    ("Africa/Monrovia", "1972-01-07"),
    ("Europe/London", "2028-02-29"),
    ("Europe/Berlin", "2026-12-31"),
)


def moment(text: str, zone: str = "UTC", fold: int = 0) -> int:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def office(zone: str = "Europe/Berlin", *holidays: Holiday) -> OpenHours:
    span = HoursSpan(days=WEEKDAYS, start_minute=9 * 60, end_minute=17 * 60)
    return OpenHours(Hours(id="office", zone=zone, spans=(span,), holidays=holidays))


def wall_says_open(hours: Hours, at_us: int) -> bool:
    """The definition: what the wall clock shows lies inside a span of that date."""
    local = datetime.fromtimestamp(at_us // SECOND_US, ZoneInfo(hours.zone))
    minute = local.hour * 60 + local.minute
    for holiday in hours.holidays:
        if holiday.date == local.date().isoformat():
            return any(a <= minute < b for a, b in holiday.spans)
    return any(
        local.weekday() in span.days and span.start_minute <= minute < span.end_minute
        for span in hours.spans
    )


minutes_of_day = st.one_of(
    st.sampled_from((0, 30, 60, 90, 120, 150, 180, 240, 540, 1020, 1380, 1440)),
    st.integers(0, 1440),
)
pairs = st.tuples(minutes_of_day, minutes_of_day).filter(lambda p: p[0] != p[1]).map(sorted)
weekly = st.builds(
    lambda days, pair: HoursSpan(
        days=tuple(sorted(days)), start_minute=pair[0], end_minute=pair[1]
    ),
    st.sets(st.sampled_from(EVERY_DAY), min_size=1),
    pairs,
)


@st.composite
def nights(draw: st.DrawFn) -> tuple[Hours, int]:
    zone, day = draw(st.sampled_from(NIGHTS))
    spans = tuple(draw(st.lists(weekly, max_size=4)))
    shifts = draw(st.sets(st.integers(-1, 2), max_size=2))
    holidays = tuple(
        Holiday(
            date=(date.fromisoformat(day) + timedelta(days=shift)).isoformat(),
            spans=tuple((a, b) for a, b in draw(st.lists(pairs, max_size=2))),
        )
        for shift in sorted(shifts)
    )
    start_us = moment(day) - DAY_US + draw(st.integers(0, 1439)) * MINUTE_US
    return Hours(id="drawn", zone=zone, spans=spans, holidays=holidays), start_us


def open_between(opening: OpenHours, start_us: int, end_us: int) -> int:
    """How much of a span is open, by walking the edges."""
    at_us, total_us = start_us, 0
    while (edge_us := opening.next_edge(at_us)) is not None and edge_us < end_us:
        assert opening.is_open(edge_us) != opening.is_open(edge_us - 1)
        total_us += (edge_us - at_us) * opening.is_open(at_us)
        at_us = edge_us
    return total_us + max(end_us - at_us, 0) * opening.is_open(at_us)


@settings(max_examples=150, deadline=None)
@given(nights(), st.integers(0, 2 * 1440), st.integers(1, 3 * 1440))
def test_open_hours_agree_with_a_clock_on_the_wall_read_every_half_minute(
    night: tuple[Hours, int], first: int, length: int
) -> None:
    hours, start_us = night
    opening = OpenHours(hours)
    # Half minutes, because Monrovia was 44 minutes 30 seconds behind UTC until 1972.
    tick_us = 30 * SECOND_US
    marks = range(start_us, start_us + 3 * DAY_US, tick_us)
    reads = [wall_says_open(hours, at_us) for at_us in marks]
    assert [opening.is_open(at_us) for at_us in marks] == reads

    at = first * 2
    changes = [i for i in range(at + 1, len(reads)) if reads[i] != reads[i - 1]]
    edge_us = opening.next_edge(marks[at])
    if changes:
        assert edge_us == marks[changes[0]]
    else:
        assert edge_us is None or edge_us >= marks[-1]
    assert open_between(opening, marks[at], marks[-1]) == sum(reads[at:-1]) * tick_us

    due_us = opening.add_open(marks[at], length * MINUTE_US)
    open_marks = [i for i in range(at, len(reads)) if reads[i]]
    if len(open_marks) >= 2 * length:
        assert due_us == marks[open_marks[2 * length - 1]] + tick_us
    elif opening.next_open(marks[-1] + tick_us) is not None:
        assert due_us > marks[-1]


@settings(max_examples=100, deadline=None)
@given(
    nights(),
    st.integers(0, 2 * DAY_US),
    st.integers(0, 30 * DAY_US),
    st.integers(0, 30 * DAY_US),
)
def test_due_dates_and_open_time_are_each_others_inverse(
    night: tuple[Hours, int], shift_us: int, length_us: int, more_us: int
) -> None:
    hours, start_us = night
    opening = OpenHours(hours)
    at_us = start_us + shift_us
    due_us = opening.add_open(at_us, length_us)
    assert opening.add_open(at_us, length_us + more_us) >= due_us
    open_us = open_between(opening, at_us, due_us)
    if hours.spans:
        assert open_us == length_us
        assert length_us == 0 or opening.is_open(due_us - 1)
    else:
        assert open_us <= length_us
    assert open_between(opening, at_us, due_us + more_us) <= open_us + more_us


def test_a_span_across_the_spring_gap_is_an_hour_short_and_across_the_fold_an_hour_long() -> None:
    night = HoursSpan(days=(6,), start_minute=60, end_minute=240)
    opening = OpenHours(Hours(id="night", zone="Europe/Berlin", spans=(night,)))
    spring = moment("2027-03-28T00:00", "Europe/Berlin")
    autumn = moment("2027-10-31T00:00", "Europe/Berlin")
    assert open_between(opening, spring, spring + DAY_US) == 2 * HOUR_US
    assert open_between(opening, autumn, autumn + DAY_US) == 4 * HOUR_US


def test_a_span_inside_the_gap_does_not_open_and_one_inside_the_fold_opens_twice() -> None:
    span = HoursSpan(days=(6,), start_minute=120, end_minute=150)
    opening = OpenHours(Hours(id="short", zone="Europe/Berlin", spans=(span,)))
    spring = moment("2027-03-28T00:00", "Europe/Berlin")
    assert opening.next_open(spring) == moment("2027-04-04T02:00", "Europe/Berlin")
    first = moment("2027-10-31T02:00", "Europe/Berlin")
    assert opening.next_open(moment("2027-10-31T00:00", "Europe/Berlin")) == first
    assert opening.next_edge(first) == first + HOUR_US // 2
    assert opening.next_edge(first + HOUR_US // 2) == first + HOUR_US


def test_lord_howe_moves_its_clocks_by_half_an_hour() -> None:
    span = HoursSpan(days=EVERY_DAY, start_minute=0, end_minute=360)
    opening = OpenHours(Hours(id="howe", zone="Australia/Lord_Howe", spans=(span,)))
    spring = moment("2027-10-03T00:00", "Australia/Lord_Howe")
    assert opening.next_edge(spring) == spring + 11 * HOUR_US // 2
    autumn = moment("2027-04-04T00:00", "Australia/Lord_Howe")
    assert opening.next_edge(autumn) == autumn + 13 * HOUR_US // 2


def test_spans_are_half_open() -> None:
    opening = office()
    nine = moment("2027-06-16T09:00", "Europe/Berlin")
    five = moment("2027-06-16T17:00", "Europe/Berlin")
    assert not opening.is_open(nine - 1)
    assert opening.is_open(nine)
    assert opening.is_open(five - 1)
    assert not opening.is_open(five)
    assert opening.next_edge(nine - 1) == nine
    assert opening.next_edge(nine) == five


def test_open_time_counts_over_the_weekend() -> None:
    friday = moment("2027-06-18T16:00", "Europe/Berlin")
    opening = office()
    assert opening.add_open(friday, 3 * HOUR_US) == moment("2027-06-21T11:00", "Europe/Berlin")
    assert opening.add_open(friday, HOUR_US) == moment("2027-06-18T17:00", "Europe/Berlin")
    assert opening.add_open(friday, HOUR_US + 1) == moment("2027-06-21T09:00", "Europe/Berlin") + 1
    assert opening.add_open(friday, 0) == friday


def test_hours_over_midnight_given_as_two_spans_are_one_opening() -> None:
    late = HoursSpan(days=EVERY_DAY, start_minute=22 * 60, end_minute=1440)
    early = HoursSpan(days=EVERY_DAY, start_minute=0, end_minute=6 * 60)
    opening = OpenHours(Hours(id="night", zone="America/St_Johns", spans=(late, early)))
    evening = moment("2027-06-16T22:00", "America/St_Johns")
    assert opening.next_edge(evening) == moment("2027-06-17T06:00", "America/St_Johns")
    assert opening.add_open(evening, 8 * HOUR_US) == moment("2027-06-17T06:00", "America/St_Johns")


def test_a_holiday_is_closed_or_has_spans_of_its_own() -> None:
    closed = Holiday(date="2027-06-16", name="closed")
    short = Holiday(date="2027-06-17", spans=((600, 720),))
    opening = office("Asia/Kathmandu", closed, short)
    start = moment("2027-06-15T17:00", "Asia/Kathmandu")
    assert opening.next_open(start) == moment("2027-06-17T10:00", "Asia/Kathmandu")
    assert opening.add_open(start, 3 * HOUR_US) == moment("2027-06-18T10:00", "Asia/Kathmandu")


def test_new_year_after_week_53_and_the_leap_day_are_ordinary_days() -> None:
    assert date(2026, 12, 31).isocalendar().week == 53
    opening = office()
    thursday = moment("2026-12-31T16:00", "Europe/Berlin")
    assert opening.add_open(thursday, 9 * HOUR_US) == moment("2027-01-01T17:00", "Europe/Berlin")
    leap = moment("2028-02-28T16:30", "Europe/Berlin")
    assert opening.add_open(leap, HOUR_US) == moment("2028-02-29T09:30", "Europe/Berlin")
    year = open_between(opening, moment("2028-01-01", "Europe/Berlin"), moment("2029-01-01"))
    weekdays = sum((date(2028, 1, 1) + timedelta(days=n)).weekday() < 5 for n in range(366))
    assert year == weekdays * 8 * HOUR_US


@example(None)
@example(Hours(id="all", spans=(HoursSpan(days=EVERY_DAY, start_minute=0, end_minute=1440),)))
@given(st.none())
def test_what_is_always_open_never_changes(hours: Hours | None) -> None:
    opening = OpenHours(hours)
    assert opening.is_open(0)
    assert opening.next_edge(0) is None
    assert opening.next_open(7) == 7
    assert opening.add_open(7, 40 * DAY_US) == 7 + 40 * DAY_US
    assert open_between(opening, 5, 9) == 4


def test_what_never_opens_gives_due_dates_by_the_clock() -> None:
    opening = OpenHours(Hours(id="shut"))
    assert opening.next_open(0) is None
    assert opening.next_edge(0) is None
    assert opening.add_open(10, DAY_US) == 10 + DAY_US
    assert open_between(opening, 0, 100 * DAY_US) == 0


def test_what_closes_for_good_counts_the_rest_from_the_last_closing() -> None:
    once = Hours(id="once", holidays=(Holiday(date="2030-01-01", spans=((60, 120),)),))
    opening = OpenHours(once)
    now = moment("2027-01-01")
    assert opening.next_open(now) == moment("2030-01-01T01:00")
    assert opening.next_edge(moment("2030-01-01T01:00")) == moment("2030-01-01T02:00")
    assert opening.next_edge(moment("2030-01-01T02:00")) is None
    assert opening.add_open(now, 3 * HOUR_US) == moment("2030-01-01T04:00")


def test_a_holiday_years_ahead_is_the_next_edge_of_what_is_otherwise_always_open() -> None:
    every = HoursSpan(days=EVERY_DAY, start_minute=0, end_minute=1440)
    far = Holiday(date="2037-12-25")
    opening = OpenHours(Hours(id="all", zone="Europe/Berlin", spans=(every,), holidays=(far,)))
    christmas = moment("2037-12-25", "Europe/Berlin")
    assert opening.next_edge(moment("2027-01-01")) == christmas
    assert opening.next_edge(christmas) == moment("2037-12-26", "Europe/Berlin")
    assert opening.next_edge(moment("2037-12-26", "Europe/Berlin")) is None


def test_a_fortnight_of_holidays_does_not_hide_the_next_opening() -> None:
    days = [date(2027, 7, 1) + timedelta(days=n) for n in range(60)]
    opening = office("Europe/Berlin", *(Holiday(date=day.isoformat()) for day in days))
    assert opening.next_open(moment("2027-07-01")) == moment("2027-08-30T09:00", "Europe/Berlin")


def test_moments_outside_the_calendar_are_closed_rather_than_an_error() -> None:
    opening = office()
    assert not opening.is_open(FOR_EVER_US)
    assert opening.next_edge(FOR_EVER_US) is None
    assert opening.add_open(FOR_EVER_US, 5) == FOR_EVER_US + 5
    assert opening.next_edge(moment("0001-01-01")) is not None


def test_local_time_is_that_of_the_zone() -> None:
    local = office("Asia/Kathmandu").local(moment("2027-06-16T09:30", "Asia/Kathmandu"))
    assert (local.hour, local.minute, local.weekday()) == (9, 30, 2)
    assert OpenHours(None).local(0).isoformat() == "1970-01-01T00:00:00+00:00"


def test_wrong_hours_are_refused_with_every_finding() -> None:
    wrong = Hours(
        id="odd",
        zone="Europe/Berlinn",
        spans=(
            HoursSpan(days=(7,), start_minute=0, end_minute=60),
            HoursSpan(days=(1,), start_minute=1380, end_minute=60),
        ),
        holidays=(
            Holiday(date="25.12.2027"),
            Holiday(date="2027-12-26"),
            Holiday(date="2027-12-26"),
            Holiday(date="2027-12-27", spans=((0, 1441),)),
        ),
    )
    with pytest.raises(ConfigError) as caught:
        OpenHours(wrong)
    text = str(caught.value)
    for part in ("Europe/Berlinn", "weekday", "1380-60", "25.12.2027", "twice", "0-1441"):
        assert part in text
    assert len(caught.value.findings) == 6
