"""Days of a report are those of a calendar, also when the clock is changed in between."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from router.core.recount import Recount
from router.core.tallies import INTERVAL_US
from router.runtime.local_time import HOUR_US, wall_days
from tests.core.contact_lives import policy, queued, received

BERLIN = ZoneInfo("Europe/Berlin")


def us(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("changed", "hours"),
    [(datetime(2026, 10, 25, tzinfo=BERLIN), 25), (datetime(2026, 3, 29, tzinfo=BERLIN), 23)],
)
def test_the_day_of_a_clock_change_is_one_day(changed: datetime, hours: int) -> None:
    midnights = [us(changed + timedelta(days=place)) for place in range(-2, 4)]
    days = wall_days("Europe/Berlin", midnights[0], midnights[-1])
    assert days == midnights[:-1]
    assert midnights[3] - midnights[2] == hours * HOUR_US


def test_a_day_begins_with_the_span_and_where_midnight_is_skipped_an_hour_later() -> None:
    # Cairo went from 23:59 on 23 April 2026 to 1:00: that day has no midnight.
    cairo = ZoneInfo("Africa/Cairo")
    begun = us(datetime(2026, 4, 22, 9, 30, tzinfo=cairo))
    days = wall_days("Africa/Cairo", begun, us(datetime(2026, 4, 25, 12, tzinfo=cairo)))
    assert days == [
        begun,
        us(datetime(2026, 4, 23, tzinfo=cairo)),
        us(datetime(2026, 4, 24, 1, tzinfo=cairo)),
        us(datetime(2026, 4, 25, tzinfo=cairo)),
    ]


def test_a_contact_stands_at_its_own_day_after_the_clock_was_set_back() -> None:
    from_us = us(datetime(2026, 10, 23, tzinfo=BERLIN))
    to_us = us(datetime(2026, 10, 28, tzinfo=BERLIN))
    recount = Recount(policy(), from_us, to_us)
    came = [datetime(2026, 10, day, 23, 40, tzinfo=BERLIN) for day in (24, 25, 26, 27)]
    for number, moment in enumerate(came):
        for event in (received(f"c{number}", us(moment)), queued(f"c{number}", us(moment))):
            recount.apply(event)
    days = wall_days("Europe/Berlin", from_us, to_us)
    rows = list(recount.rows(("queue",), 96, to_us, days))
    assert [row["start_us"] for row in rows] == [
        us(moment.replace(hour=0, minute=0)) for moment in came
    ]
    assert {row["received"] for row in rows} == {1}
    # What stood there before: a day too early, from the change on.
    assert [row["start_us"] for row in recount.rows(("queue",), 96, to_us)] != [
        row["start_us"] for row in rows
    ]
    assert all(row["start_us"] % INTERVAL_US == 0 for row in rows)
