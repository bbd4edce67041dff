"""Hours by the customer's clock against a walk over the minutes of walls in every zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.model import DAY_US, FOR_EVER_US, MINUTE_US, SECOND_US
from router.core.permission_facts import QuietSpan
from router.core.permission_policy import (
    EVERY_DAY,
    ContactPolicy,
    ContactWindow,
    DaySpan,
    SpecialDay,
)
from router.core.quiet import (
    CACHED_DAYS,
    CACHED_WINDOWS,
    LOOK_AHEAD_DAYS,
    LocalWindows,
    QuietHours,
    intersection,
    is_place,
)
from router.errors import ConfigError

HOUR_US = 60 * MINUTE_US
NIGHTS = (
    ("Europe/Berlin", "2027-03-28"),
    ("Europe/Berlin", "2027-10-31"),
    ("America/New_York", "2027-03-14"),
    ("America/New_York", "2027-11-07"),
    ("Australia/Lord_Howe", "2027-04-04"),
    ("Australia/Lord_Howe", "2027-10-03"),
    ("Pacific/Apia", "2011-12-30"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("Asia/Kathmandu", "2027-06-15"),
)
ZONES = tuple(dict.fromkeys(zone for zone, _ in NIGHTS))


def moment(text: str, zone: str = "UTC", fold: int = 0) -> int:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def window(
    *spans: DaySpan, holidays: tuple[SpecialDay, ...] = (), name: str = "drawn"
) -> ContactWindow:
    return ContactWindow(name=name, spans=spans, holidays=holidays)


def compiled(
    windows: Sequence[ContactWindow],
    zones: tuple[str, ...],
    quiet: tuple[QuietSpan, ...] = (),
) -> LocalWindows:
    found = QuietHours(ContactPolicy(windows=tuple(windows))).local_windows(
        "sms", "marketing", zones, quiet
    )
    assert found is not None
    return found


DAYTIME = window(DaySpan(EVERY_DAY, 480, 1260))


def walls_say_open(
    windows: Sequence[ContactWindow], quiet: Sequence[QuietSpan], zones: Sequence[str], at_us: int
) -> bool:
    """The definition: in every zone the wall's clock lies in each window and in no quiet span."""
    for zone in zones:
        local = datetime.fromtimestamp(at_us // SECOND_US, ZoneInfo(zone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if any(day in s.days and s.start_minute <= minute < s.end_minute for s in quiet):
            return False
        for one in windows:
            spans = [(s.start_minute, s.end_minute) for s in one.spans if day in s.days]
            for special in one.holidays:
                if special.date == local.date().isoformat():
                    spans = list(special.spans)
            if not any(start <= minute < end for start, end in spans):
                return False
    return True


minutes_of_day = st.one_of(
    st.sampled_from((0, 30, 60, 90, 120, 150, 180, 240, 480, 1260, 1380, 1440)),
    st.integers(0, 1440),
)
pairs = st.tuples(minutes_of_day, minutes_of_day).filter(lambda p: p[0] != p[1]).map(sorted)
weekdays = st.sets(st.sampled_from(EVERY_DAY), min_size=3).map(lambda days: tuple(sorted(days)))
spans = st.builds(lambda days, pair: DaySpan(days, *pair), weekdays, pairs)
quiet_spans = st.builds(
    lambda days, pair: QuietSpan(days=days, start_minute=pair[0], end_minute=pair[1]),
    weekdays,
    pairs,
)


@st.composite
def walls(
    draw: st.DrawFn,
) -> tuple[list[ContactWindow], tuple[QuietSpan, ...], tuple[str, ...], int]:
    zone, day = draw(st.sampled_from(NIGHTS))
    others = draw(st.lists(st.sampled_from(ZONES), max_size=2))
    zones = tuple(dict.fromkeys((zone, *others)))
    windows = []
    for _ in range(draw(st.integers(0, 2))):
        shifts = draw(st.sets(st.integers(-1, 2), max_size=2))
        holidays = tuple(
            SpecialDay(
                (date.fromisoformat(day) + timedelta(days=shift)).isoformat(),
                tuple((a, b) for a, b in draw(st.lists(pairs, max_size=2))),
            )
            for shift in sorted(shifts)
        )
        windows.append(window(*draw(st.lists(spans, max_size=3)), holidays=holidays))
    quiet = tuple(draw(st.lists(quiet_spans, max_size=2)))
    start_us = moment(day) - DAY_US + draw(st.integers(0, 1439)) * MINUTE_US
    return windows, quiet, zones, start_us


@settings(max_examples=120, deadline=None)
@given(walls(), st.integers(0, 2 * 1440), st.integers(1, 1440))
def test_windows_agree_with_the_clocks_on_all_walls_read_every_minute(
    wall: tuple[list[ContactWindow], tuple[QuietSpan, ...], tuple[str, ...], int],
    first: int,
    length: int,
) -> None:
    windows, quiet, zones, start_us = wall
    asked = compiled(windows, zones, quiet)
    marks = range(start_us, start_us + 3 * DAY_US, MINUTE_US)
    reads = [walls_say_open(windows, quiet, zones, at_us) for at_us in marks]
    assert [asked.is_open(at_us) for at_us in marks] == reads
    # Everything changes on whole minutes here: just before a mark it is as at the mark before.
    assert [asked.is_open(at_us - 1) for at_us in marks[1:]] == reads[:-1]

    following = asked.next_open(marks[first])
    open_marks = [index for index in range(first, len(reads)) if reads[index]]
    if open_marks:
        assert following == marks[open_marks[0]]
    else:
        assert following is None or following > marks[-1]

    from_us, until_us = marks[first], marks[min(first + length, len(marks) - 1)]
    found = asked.intervals(from_us, until_us)
    assert all(a < b for a, b in found)
    assert all(one[1] < two[0] for one, two in pairwise(found))
    covered = [any(a <= at_us < b for a, b in found) for at_us in marks]
    assert covered == [
        is_open and from_us <= at_us < until_us for is_open, at_us in zip(reads, marks, strict=True)
    ]


def test_nine_in_the_evening_is_the_end_to_the_microsecond() -> None:
    for day in ("2027-03-27", "2027-03-28", "2027-10-31"):
        asked = compiled([DAYTIME], ("Europe/Berlin",))
        nine = moment(f"{day}T21:00", "Europe/Berlin")
        assert asked.is_open(nine - 1)
        assert not asked.is_open(nine)
        assert not asked.is_open(nine + SECOND_US)
        eight = moment(
            (date.fromisoformat(day) + timedelta(days=1)).isoformat() + "T08:00", "Europe/Berlin"
        )
        assert asked.next_open(nine) == eight
        assert not asked.is_open(eight - 1)


def test_the_night_of_the_clock_change_is_an_hour_shorter_or_longer() -> None:
    asked = compiled([DAYTIME], ("Europe/Berlin",))
    for day, hours in (("2027-03-27", 10), ("2027-10-30", 12)):
        nine = moment(f"{day}T21:00", "Europe/Berlin")
        assert asked.next_open(nine) == nine + hours * HOUR_US


def test_the_day_that_apia_skipped_had_no_hours() -> None:
    asked = compiled([DAYTIME], ("Pacific/Apia",))
    thursday = moment("2011-12-29T21:00", "Pacific/Apia")
    assert asked.next_open(thursday) == moment("2011-12-31T08:00", "Pacific/Apia")
    assert asked.next_open(thursday) == thursday + 11 * HOUR_US


def test_of_several_zones_all_must_allow_it() -> None:
    asked = compiled([DAYTIME], ("America/New_York", "America/Los_Angeles"))
    day = moment("2027-06-16T00:00", "America/New_York")
    assert asked.intervals(day, day + DAY_US) == [(day + 11 * HOUR_US, day + 21 * HOUR_US)]
    assert asked.shut_in(day + 9 * HOUR_US) == (
        "America/Los_Angeles",
        "Wednesday 2027-06-16 06:00:00",
    )
    assert asked.shut_in(day + 12 * HOUR_US) == ("", "")


def test_zones_with_no_hour_in_common_have_none() -> None:
    office = window(DaySpan(EVERY_DAY, 540, 1020))
    asked = compiled([office], ("Europe/Berlin", "Pacific/Apia"))
    now = moment("2027-06-16T10:00", "Europe/Berlin")
    assert asked.next_open(now) is None
    assert asked.intervals(now, now + 400 * DAY_US) == []


def test_a_far_holiday_opening_is_found_in_one_zone() -> None:
    once = window(holidays=(SpecialDay("2030-01-01", ((600, 660),)),))
    opening = moment("2030-01-01T10:00", "Europe/Berlin")
    assert compiled([once], ("Europe/Berlin",)).next_open(moment("2027-01-01")) == opening


def test_intervals_reach_no_further_than_is_looked_ahead() -> None:
    asked = compiled([DAYTIME], ("Europe/Berlin",), ())
    now = moment("2027-01-01")
    assert len(asked.intervals(now, FOR_EVER_US)) == LOOK_AHEAD_DAYS
    assert asked.intervals(now, now) == []


def test_moments_outside_the_calendar_are_refused_rather_than_an_error() -> None:
    asked = compiled([DAYTIME], ("Europe/Berlin",))
    assert not asked.is_open(FOR_EVER_US)
    assert asked.next_open(FOR_EVER_US) is None
    assert asked.shut_in(FOR_EVER_US) == ("Europe/Berlin", "outside the calendar")


def test_a_holiday_of_one_window_does_not_open_another() -> None:
    christmas = SpecialDay("2027-12-25", ((0, 1440),))
    sundays_free = window(DaySpan((0, 1, 2, 3, 4), 480, 1260), name="weekdays")
    asked = compiled([window(holidays=(christmas,)), sundays_free], ("Europe/Berlin",))
    assert asked.next_open(moment("2027-12-25T10:00", "Europe/Berlin")) is None


def test_the_customers_own_quiet_hours_are_taken_away_on_their_channels() -> None:
    hours = QuietHours(ContactPolicy())
    mornings = QuietSpan(days=EVERY_DAY, start_minute=0, end_minute=600, channels=("voice",))
    eight = moment("2027-06-16T08:00", "Europe/Berlin")
    zones = ("Europe/Berlin",)
    voice = hours.local_windows("voice", "service", zones, (mornings,))
    sms = hours.local_windows("sms", "service", zones, (mornings,))
    assert voice is not None
    assert sms is not None
    assert voice.next_open(eight) == eight + 2 * HOUR_US
    assert sms.is_open(eight)
    # A wish counts where the workspace itself has no window.
    email = QuietSpan(days=EVERY_DAY, start_minute=0, end_minute=600, channels=("email",))
    assert hours.is_exempt("email", "service", ())
    assert not hours.is_exempt("email", "service", (email,))
    mail = hours.local_windows("email", "service", zones, (email,))
    assert mail is not None
    assert mail.next_open(eight) == eight + 2 * HOUR_US


def test_replies_are_held_by_no_hours_unless_a_window_names_them() -> None:
    night = QuietSpan(days=EVERY_DAY, start_minute=0, end_minute=480)
    assert QuietHours(ContactPolicy()).is_exempt("sms", "service_reply", (night,))
    named = ContactWindow(
        name="replies", purposes=("service_reply",), spans=(DaySpan(EVERY_DAY, 360, 1320),)
    )
    policy = ContactPolicy(windows=(*ContactPolicy().windows, named))
    assert not QuietHours(policy).is_exempt("sms", "service_reply", ())


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Europe",
        "Europe/Berlinn",
        "../etc/passwd",
        "/etc/passwd",
        "UTC+2",
        "zone.tab",
        "Factory",
        "localtime",
        "right/Europe/Berlin",
        "Europe/Ber\0lin",
        "Ü",
    ],
)
def test_what_is_no_place_is_an_unknown_zone(zone: str) -> None:
    assert not is_place(zone)
    strict = QuietHours(ContactPolicy())
    assert strict.local_windows("sms", "service", (zone,)) is None
    assert strict.local_windows("sms", "service", ("Europe/Berlin", zone)) is None
    lenient = QuietHours(ContactPolicy(unknown_zones=("Asia/Kathmandu",)))
    only = lenient.local_windows("sms", "service", (zone,))
    both = lenient.local_windows("sms", "service", ("Europe/Berlin", zone))
    assert only is not None
    assert both is not None
    at_us = moment("2027-06-16T08:00", "Europe/Berlin")
    assert only.is_open(moment("2027-06-16T08:00", "Asia/Kathmandu"))
    assert not both.is_open(moment("2027-06-16T08:00", "Asia/Kathmandu"))
    assert both.is_open(at_us)


def test_no_zone_at_all_is_every_zone_the_policy_names() -> None:
    assert QuietHours(ContactPolicy()).local_windows("sms", "service", ()) is None
    hours = QuietHours(ContactPolicy(unknown_zones=("America/New_York", "America/Los_Angeles")))
    asked = hours.local_windows("sms", "service", ())
    assert asked is not None
    assert not asked.is_open(moment("2027-06-16T20:30", "America/Los_Angeles"))
    assert not asked.is_open(moment("2027-06-16T08:30", "America/New_York"))


def test_many_zones_and_long_times_are_forgotten_in_turn_and_answered_the_same() -> None:
    hours = QuietHours(ContactPolicy())
    first = hours.local_windows("sms", "service", ("Europe/Berlin",))
    assert hours.local_windows("sms", "service", ("Europe/Berlin",)) is first
    for minute in range(CACHED_WINDOWS):
        wish = QuietSpan(days=(0,), start_minute=minute, end_minute=minute + 1)
        assert hours.local_windows("sms", "service", ("Europe/Berlin",), (wish,)) is not None
    again = hours.local_windows("sms", "service", ("Europe/Berlin",))
    assert again is not None
    assert again is not first
    noon = moment("2027-06-16T12:00", "Europe/Berlin")
    for day in range(CACHED_DAYS + 10):
        assert again.is_open(noon + day * DAY_US)
    assert not again.is_open(noon + 10 * HOUR_US)


def test_intersection_keeps_what_both_have() -> None:
    one, other = [(0, 10), (20, 30), (40, 50)], [(5, 25), (30, 40), (45, 60)]
    assert intersection(one, other) == [(5, 10), (20, 25), (45, 50)]
    assert intersection(one, []) == []


def test_wrong_windows_are_refused_with_every_finding() -> None:
    wrong = window(
        DaySpan((7,), 0, 60),
        DaySpan((1,), 1260, 480),
        holidays=(SpecialDay("25.12.2027"), SpecialDay("2027-12-26"), SpecialDay("2027-12-26")),
        name="odd",
    )
    with pytest.raises(ConfigError) as caught:
        QuietHours(ContactPolicy(windows=(wrong,), unknown_zones=("Europe/Berlinn",)))
    text = str(caught.value)
    for part in ('"contact window odd"', "weekday", "1260-480", "25.12.2027", "twice", "Berlinn"):
        assert part in text
    assert len(caught.value.findings) == 5
