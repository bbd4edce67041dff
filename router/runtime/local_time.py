"""The clock on a customer's wall."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from router.core.rules.moments import zone_named

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MINUTE_US = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)
def zone_or_utc(name: str) -> tzinfo:
    """An IANA zone; UTC for a name that means nothing."""
    return zone_named(name) or UTC


def offset_minutes(zone: str, at_us: int) -> int:
    """Minutes that a wall clock in this zone is ahead of UTC at a moment."""
    moment = (EPOCH + timedelta(microseconds=at_us)).astimezone(zone_or_utc(zone))
    offset = moment.utcoffset()
    return 0 if offset is None else int(offset.total_seconds()) // 60


def wall_moment(zone: str, wall_us: int) -> int:
    """When a wall clock in this zone shows so many µs since 1970; the first time, if twice."""
    shown = (EPOCH + timedelta(microseconds=wall_us)).replace(tzinfo=zone_or_utc(zone))
    return (shown - EPOCH) // timedelta(microseconds=1)


def wall_hours(zone: str, from_us: int, until_us: int) -> Iterator[tuple[int, int, int]]:
    """Each hour of the wall clock in a span of time: (hours since 1970 on the wall, start, end).

    The first one begins where the hour of `from_us` began. An hour that the clock skips does not
    come, one that it shows twice comes twice.
    """
    at_us = from_us
    changes = offset_minutes(zone, from_us) != offset_minutes(zone, until_us)
    offset_us = offset_minutes(zone, at_us) * MINUTE_US
    at_us -= (at_us + offset_us) % HOUR_US
    while at_us < until_us:
        if changes:
            offset_us = offset_minutes(zone, at_us) * MINUTE_US
        wall_us = at_us + offset_us
        end_us = at_us + HOUR_US - wall_us % HOUR_US
        yield wall_us // HOUR_US, at_us, end_us
        at_us = end_us


def wall_days(zone: str, from_us: int, until_us: int) -> list[int]:
    """When each day of the wall clock in a span of time begins; the first begins with the span.

    A day on which the clock is changed has 23 or 25 hours, and is one day.
    """
    wall_us = from_us + offset_minutes(zone, from_us) * MINUTE_US
    begun = [from_us]
    midnight_us = wall_us - wall_us % DAY_US + DAY_US
    while (at_us := wall_moment(zone, midnight_us)) < until_us:
        begun.append(at_us)
        midnight_us += DAY_US
    return begun
