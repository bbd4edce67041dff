"""Texts with a form of their own: lengths of time, clock spans, dates, addresses.

Every function raises ValueError with what it expected and what came.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from ipaddress import ip_network
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from router.config.reader import Unknown, shown
from router.core.rules.moments import zone_named

_UNITS_US = {
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
}
_LENGTH = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,3})?(?:d|h|ms|m|s))+")
_PART = re.compile(r"([0-9]+)(?:\.([0-9]+))?(d|h|ms|m|s)")
LENGTH_MAX_US = 3_660 * _UNITS_US["d"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def length(text: str) -> int:
    """``20s``, ``1m30s``, ``4h``, ``2d``, ``0``, in µs."""
    if text == "0":
        return 0
    if not _LENGTH.fullmatch(text):
        wrong = "expected a length of time such as 20s, 5m, 4h or 2d"
        if text.startswith("-"):
            raise ValueError(f"{wrong}, not below zero, got {shown(text)}")
        if re.fullmatch(r"[0-9.]+", text):
            raise ValueError(f"{wrong}, got {shown(text)} without a unit")
        raise ValueError(f"{wrong}, got {shown(text)}")
    total_us = 0
    last_us = 1 << 62
    for whole, part, unit in _PART.findall(text):
        unit_us = _UNITS_US[unit]
        if unit_us >= last_us:
            raise ValueError(f"expected larger units before smaller ones, got {shown(text)}")
        last_us = unit_us
        total_us += int(whole) * unit_us
        if part:
            # At most three digits, and each unit is a multiple of 1000 µs: no rounding.
            total_us += int(part.ljust(3, "0")) * (unit_us // 1000)
    if total_us > LENGTH_MAX_US:
        raise ValueError(f"expected at most ten years, got {shown(text)}")
    return total_us


def length_over_zero(text: str) -> int:
    """A length of at least a tenth of a second: a shorter one only keeps the machine busy."""
    value_us = length(text)
    if value_us < 100_000:
        raise ValueError(f"must be at least 100ms, got {shown(text)}")
    return value_us


def written_length(value_us: int) -> str:
    """The text that `length` reads as this."""
    parts = []
    for unit, unit_us in _UNITS_US.items():
        count, value_us = divmod(value_us, unit_us)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0"


def percent(text: str) -> float:
    """``80%``, ``92.5%`` as a share of one."""
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?%", text)
    if not match or not 0 < float(match[1]) <= 100:
        raise ValueError(f"expected a share such as 80%, over 0% and up to 100%, got {shown(text)}")
    return round(float(match[1]) / 100, 4)


def share(text: str) -> float:
    """``4%``, ``0%``: the same, and it may be none."""
    return 0.0 if text in ("0", "0%") else percent(text)


def zone(text: str) -> str:
    """An IANA time zone."""
    if zone_named(text) is None:
        raise Unknown(
            f"expected an IANA time zone such as Europe/Berlin, got {shown(text)}", text, _zones()
        )
    return text


@cache
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


def days(text: str) -> tuple[int, ...]:
    """``mon-fri``, ``sat``, ``mon,wed,fri``: days of the week, 0 = Monday."""
    found: list[int] = []
    for part in text.lower().replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"expected days such as mon-fri or sat,sun, got {shown(text)}")
        start, end = DAYS.index(first), DAYS.index(last or first)
        count = (end - start) % 7 + 1
        found.extend((start + i) % 7 for i in range(count))
    if len(set(found)) < len(found):
        raise ValueError(f"names a day twice: {shown(text)}")
    return tuple(found)


_SPAN = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")


def spans(text: str) -> tuple[tuple[int, int], ...]:
    """``08:00-12:00, 13:00-17:30``: minutes of the day; an end before the start is next day's.

    ``closed`` is no span.
    """
    if text == "closed":
        return ()
    found = []
    for part in text.replace(" ", "").split(","):
        match = _SPAN.fullmatch(part)
        if not match:
            raise ValueError(f"expected times such as 08:00-17:30, or closed, got {shown(text)}")
        h1, m1, h2, m2 = map(int, match.groups())
        start, end = h1 * 60 + m1, h2 * 60 + m2
        if m1 > 59 or m2 > 59 or start >= 1440 or end > 1440:
            raise ValueError(f"expected times from 00:00 to 24:00, got {shown(part)}")
        if start == end:
            raise ValueError(f"expected a start and another end, got {shown(part)}")
        found.append((start, end))
    return tuple(found)


def day(text: str) -> str:
    """A date, ISO 8601."""
    try:
        if len(text) == 10:
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise ValueError(f"expected a date such as 2027-12-25, got {shown(text)}")


def network(text: str) -> str:
    """An address or a network (CIDR)."""
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ValueError(f"expected an address or a network such as 10.0.0.0/8: {error}") from None


def origin(text: str) -> str:
    """A web origin (RFC 6454): scheme, host, port, nothing behind."""
    parts = _url(text, ("http", "https"), "an origin such as https://www.example.com")
    if parts != f"{urlsplit(parts).scheme}://{urlsplit(parts).netloc}":
        raise ValueError(f"expected an origin without a path, got {shown(text)}")
    return text.lower()


def web_url(text: str) -> str:
    """A http(s) URL without credentials in it."""
    return _url(text, ("http", "https"), "a URL such as https://example.com/hook")


def issuer(text: str) -> str:
    """An identity provider: https, or http on this machine. OpenID Connect Discovery 1.0, 3."""
    parts = urlsplit(_url(text, ("http", "https"), "a URL such as https://id.example.com"))
    if parts.query or parts.fragment:
        raise ValueError(f"expected a URL without ? and #, got {shown(text)}")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError(f"expected https, got {shown(text)}")
    return text


LOOPBACK = ("127.0.0.1", "::1", "localhost")


def redis_url(text: str) -> str:
    """A Redis URL without credentials in it."""
    return _url(text, ("redis", "rediss", "unix"), "a URL such as redis://localhost:6379/0")


def _url(text: str, schemes: tuple[str, ...], wanted: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"expected {wanted}, got {shown(text)}") from None
    if parts.password is not None:
        # The text is not repeated: it holds a secret.
        raise ValueError("expected a URL without a password: secrets stand in files of their own")
    has_place = bool(parts.hostname) or (parts.scheme == "unix" and bool(parts.path))
    if parts.scheme not in schemes or not has_place or port == 0 or re.search(r"\s", text):
        raise ValueError(f"expected {wanted}, got {shown(text)}")
    return text


def host_and_port(text: str) -> str:
    """A server's address, such as 10.0.0.1:6379, redis-1.example:6379 or [::1]:6379."""
    wrong = f"expected host:port such as 10.0.0.1:6379, got {shown(text)}"
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.port and text == parts.netloc and "@" not in text:
            return text
    except ValueError as error:
        raise ValueError(wrong) from error
    raise ValueError(wrong)
