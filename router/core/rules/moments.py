"""Timestamps and durations of the rule language: µs since 1970, and µs.

RFC 3339 for timestamps, sums of units for durations ("1h30m", as in Go's time.ParseDuration), and
the parts of a moment in a zone (the date and time functions of https://github.com/google/cel-spec).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from fractions import Fraction
from zoneinfo import ZoneInfo

from router.core.rules.operations import Fault, kind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TIMESTAMP_MIN = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
TIMESTAMP_MAX = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
DURATION_MAX = 315_576_000_000 * 1_000_000
"""Ten thousand years, as google.protobuf.Duration has it."""
TEXT_MAX = 64
"""Characters of a moment, a length or a zone."""

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_LENGTH = re.compile(r"[+-]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:h|ms|us|ns|m|s))+)", re.ASCII)
_TERM = re.compile(r"([0-9]*\.?[0-9]*)(h|ms|us|ns|m|s)", re.ASCII)
_UNITS = {
    "h": Fraction(3_600_000_000),
    "m": Fraction(60_000_000),
    "s": Fraction(1_000_000),
    "ms": Fraction(1_000),
    "us": Fraction(1),
    "ns": Fraction(1, 1_000),
}
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


def timestamp(a: object) -> int:
    """``timestamp(a)`` of a text by RFC 3339, or of seconds since 1970."""
    if isinstance(a, int) and not isinstance(a, bool):
        return _moment(a * 1_000_000)
    if not isinstance(a, str):
        raise Fault(f"timestamp() expected a text or seconds since 1970, got {kind(a)}")
    found = _RFC3339.fullmatch(a) if len(a) <= TEXT_MAX else None
    if found is None:
        raise Fault('timestamp() expected a text like "2026-03-29T01:00:00Z", got another text')
    day, clock, fraction, zone = found.groups()
    micros = (fraction or "").ljust(9, "0")
    if micros[6:] != "000":
        raise Fault("timestamp() expected at most microseconds, got nanoseconds")
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.replace('Z', '+00:00')}")
    except ValueError:
        raise Fault("timestamp() expected a day and time that exist, got none") from None
    return _moment((moment - EPOCH) // MICROSECOND + int(micros[:6]))


def duration(a: object) -> int:
    """``duration(a)`` of a text."""
    if not isinstance(a, str):
        raise Fault(f"duration() expected a text, got {kind(a)}")
    if len(a) > TEXT_MAX or _LENGTH.fullmatch(a) is None:
        raise Fault('duration() expected a text like "90s" or "1h30m" (h, m, s, ms, us), got none')
    total = sum(
        (Fraction(number) * _UNITS[unit] for number, unit in _TERM.findall(a)), start=Fraction()
    )
    if total.denominator != 1:
        raise Fault("duration() expected whole microseconds, got a part of one")
    return _length(-int(total) if a.startswith("-") else int(total))


def rfc3339(moment_us: int) -> str:
    """The moment as `timestamp` reads it, in UTC."""
    moment = EPOCH + timedelta(microseconds=moment_us)
    return moment.isoformat().replace("+00:00", "Z")


def seconds(length_us: int) -> str:
    """The length as `duration` reads it, in seconds."""
    whole, part = divmod(abs(length_us), 1_000_000)
    fraction = f".{part:06}".rstrip("0") if part else ""
    return f"{'-' if length_us < 0 else ''}{whole}{fraction}s"


def _moment(value_us: int) -> int:
    if TIMESTAMP_MIN <= value_us <= TIMESTAMP_MAX:
        return value_us
    raise Fault("the result is no moment of the years 1 to 9999")


def _length(value_us: int) -> int:
    if -DURATION_MAX <= value_us <= DURATION_MAX:
        return value_us
    raise Fault("the result is a duration of more than 10,000 years")


def add_duration(a: int, b: int) -> int:
    """A timestamp and a duration, in either order."""
    return _moment(a + b)


def subtract_duration(a: int, b: int) -> int:
    """A timestamp less a duration."""
    return _moment(a - b)


def between(a: int, b: int) -> int:
    """A timestamp less a timestamp."""
    return _length(a - b)


def add_durations(a: int, b: int) -> int:
    """Two durations."""
    return _length(a + b)


def subtract_durations(a: int, b: int) -> int:
    """A duration less a duration."""
    return _length(a - b)


def seconds_since_1970(a: int) -> int:
    """``int(timestamp)``."""
    return a // 1_000_000


# --- parts ----------------------------------------------------------------------------------------


def zone_named(name: str) -> tzinfo | None:
    """The zone of an IANA name such as "Europe/Berlin"; None for a name that means nothing."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown; no name; a folder, or a name too long
        return None


def zone_of(name: object) -> tzinfo:
    """The zone of an IANA name ("Europe/Berlin"), or of an offset ("+02:00"). Raises Fault."""
    if not isinstance(name, str):
        raise Fault(f"expected a time zone's name, got {kind(name)}")
    offset = _OFFSET.fullmatch(name) if len(name) <= TEXT_MAX else None
    if offset is not None:
        sign, hours, minutes = offset.groups()
        if int(hours) < 24 and int(minutes) < 60:
            length = timedelta(hours=int(hours), minutes=int(minutes))
            return timezone(-length if sign == "-" else length)
    zone = zone_named(name[: TEXT_MAX + 1])
    if zone is None:
        raise Fault('expected a time zone like "Europe/Berlin" or "+02:00", got none')
    return zone


def local_time(moment_us: int, zone: tzinfo) -> datetime:
    """The moment on the wall clock there. Raises Fault at the edges of the calendar."""
    try:
        return (EPOCH + timedelta(microseconds=moment_us)).astimezone(zone)
    except OverflowError:
        raise Fault("the local time is not in the years 1 to 9999") from None


Part = Callable[..., int]


def _part(of: Callable[[datetime], int]) -> Part:
    def part(moment_us: int, zone: object = None) -> int:
        return of(local_time(moment_us, UTC if zone is None else zone_of(zone)))

    return part


MOMENT_PARTS: dict[str, Part] = {
    "getFullYear": _part(lambda t: t.year),
    "getMonth": _part(lambda t: t.month - 1),
    "getDate": _part(lambda t: t.day),
    "getDayOfMonth": _part(lambda t: t.day - 1),
    "getDayOfWeek": _part(lambda t: t.isoweekday() % 7),
    "getDayOfYear": _part(lambda t: t.timetuple().tm_yday - 1),
    "getHours": _part(lambda t: t.hour),
    "getMinutes": _part(lambda t: t.minute),
    "getSeconds": _part(lambda t: t.second),
    "getMilliseconds": _part(lambda t: t.microsecond // 1000),
}
"""Months, days of the month and days of the year count from 0, getDate from 1; Sunday is 0."""


def _towards_zero(value: int, unit: int) -> int:
    return value // unit if value >= 0 else -(-value // unit)


def _milliseconds(value_us: int) -> int:
    rest = abs(value_us) % 1_000_000 // 1000
    return -rest if value_us < 0 else rest


DURATION_PARTS: dict[str, Part] = {
    "getHours": lambda value: _towards_zero(value, 3_600_000_000),
    "getMinutes": lambda value: _towards_zero(value, 60_000_000),
    "getSeconds": lambda value: _towards_zero(value, 1_000_000),
    "getMilliseconds": _milliseconds,
}
"""The whole length in that unit, except milliseconds: those beyond the full seconds."""
