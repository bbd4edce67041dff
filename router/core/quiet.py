"""At which hours a customer may be contacted, by the clock on *their* wall.

The workspace's windows say when contact is allowed, the customer's own quiet spans take away from
it. What is left is a week of minutes, which `schedule.OpenHours` lays into a time zone with its
clock changes (rules from `zoneinfo`). If the zone is one of several, contact is allowed only where
every one of them allows it.
"""

from __future__ import annotations

from datetime import date

from router.core.model import DAY_US
from router.core.permission_facts import QuietSpan
from router.core.permission_policy import EVERY_DAY, ContactPolicy, ContactWindow, applies
from router.core.policy import Holiday, Hours, HoursSpan
from router.core.rules.moments import zone_named
from router.core.schedule import FIRST_DAY, LAST_DAY, MINUTES_A_DAY, OpenHours
from router.errors import ConfigError

LOOK_AHEAD_DAYS = 92
"""How far is looked for a moment that several zones allow, and the longest stretch that
`LocalWindows.intervals` lays out."""
CACHED_WINDOWS = 512
CACHED_DAYS = 400
NO_PLACES = ("Factory", "localtime", "posixrules")
"""Names that the zone database answers to and that say nothing about where somebody is."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Minutes = list[tuple[int, int]]
Interval = tuple[int, int]
"""Half open, in epoch µs."""


class LocalWindows:
    """When contact is allowed: at moments at which all of these hours are open."""

    def __init__(self, hours: tuple[OpenHours, ...], zones: tuple[str, ...]) -> None:
        self._hours = hours
        self._zones = zones
        self._days: dict[int, list[Interval]] = {}

    def is_open(self, at_us: int) -> bool:
        """Whether contact is allowed at this moment."""
        return any(start_us <= at_us < end_us for start_us, end_us in self._day(at_us // DAY_US))

    def next_open(self, at_us: int) -> int | None:
        """The first moment from `at_us` on at which contact is allowed.

        None = never again; with several zones, not within `LOOK_AHEAD_DAYS`.
        """
        if len(self._hours) == 1:
            return self._hours[0].next_open(at_us)
        first_day = at_us // DAY_US
        for day in range(first_day, first_day + LOOK_AHEAD_DAYS):
            for start_us, end_us in self._day(day):
                if end_us > at_us:
                    return max(start_us, at_us)
        return None

    def intervals(self, from_us: int, until_us: int) -> list[Interval]:
        """The stretches of `[from_us, until_us)` in which contact is allowed, in order.

        No further than `LOOK_AHEAD_DAYS` from `from_us`.
        """
        until_us = min(until_us, from_us + LOOK_AHEAD_DAYS * DAY_US)
        found: list[Interval] = []
        for day in range(from_us // DAY_US, -(-until_us // DAY_US)):
            for start_us, end_us in self._day(day):
                start_us, end_us = max(start_us, from_us), min(end_us, until_us)
                if found and found[-1][1] == start_us < end_us:
                    found[-1] = (found[-1][0], end_us)
                elif start_us < end_us:
                    found.append((start_us, end_us))
        return found

    def shut_in(self, at_us: int) -> tuple[str, str]:
        """The first zone in which contact is not allowed, and what its clock shows."""
        for hours, zone in zip(self._hours, self._zones, strict=True):
            if not hours.is_open(at_us):
                if not FIRST_DAY <= at_us // DAY_US <= LAST_DAY:
                    return zone, "outside the calendar"
                local = hours.local(at_us)
                return zone, f"{WEEKDAYS[local.weekday()]} {local:%Y-%m-%d %H:%M:%S}"
        return "", ""

    def _day(self, day: int) -> list[Interval]:
        """What one UTC day has, cut at the day's ends."""
        found = self._days.get(day)
        if found is None:
            if len(self._days) >= CACHED_DAYS:
                self._days.clear()
            found = [(day * DAY_US, (day + 1) * DAY_US)]
            for hours in self._hours:
                found = intersection(found, _open_intervals(hours, day))
            self._days[day] = found
        return found


class QuietHours:
    """The windows of one workspace, asked for a channel, a purpose and a customer's zones.

    Raises ConfigError with every finding (spans outside the day, unknown zones).
    """

    def __init__(self, policy: ContactPolicy) -> None:
        self._windows = policy.windows
        self._exempt = policy.exempt
        self._unknown_zones = policy.unknown_zones
        self._compiled: dict[
            tuple[tuple[int, ...], tuple[QuietSpan, ...], tuple[str, ...]], LocalWindows
        ] = {}
        self._places: dict[str, bool] = {}
        findings: list[str] = []
        for window in policy.windows:
            try:
                OpenHours(_as_given(window))
            except ConfigError as error:
                findings.extend(error.findings)
        findings.extend(
            f"unknown_zones: expected an IANA time zone, got {zone!r}"
            for zone in policy.unknown_zones
            if not self._is_place(zone)
        )
        if findings:
            raise ConfigError(findings)

    def is_exempt(self, channel: str, purpose: str, quiet: tuple[QuietSpan, ...]) -> bool:
        """Whether no hours hold this purpose on this channel, wherever the customer is."""
        return not self._holding(channel, purpose) and not self._wished(channel, purpose, quiet)

    def local_windows(
        self,
        channel: str,
        purpose: str,
        zones: tuple[str, ...],
        quiet: tuple[QuietSpan, ...] = (),
    ) -> LocalWindows | None:
        """When contact is allowed for a customer who lives in one of these zones.

        None = the zone is unknown, or a name no zone has, and the policy names no candidates.
        """
        candidates = self._candidates(zones)
        if not candidates:
            return None
        holding = self._holding(channel, purpose)
        wishes = self._wished(channel, purpose, quiet)
        key = (holding, wishes, candidates)
        found = self._compiled.get(key)
        if found is None:
            if len(self._compiled) >= CACHED_WINDOWS:
                del self._compiled[next(iter(self._compiled))]
            windows = tuple(self._windows[index] for index in holding)
            found = self._compiled[key] = LocalWindows(
                tuple(OpenHours(_hours(windows, wishes, zone)) for zone in candidates), candidates
            )
        return found

    def _holding(self, channel: str, purpose: str) -> tuple[int, ...]:
        """Places of the windows that hold this purpose on this channel."""
        return tuple(
            index
            for index, window in enumerate(self._windows)
            if applies(window.channels, window.purposes, channel, purpose, self._exempt)
        )

    def _wished(
        self, channel: str, purpose: str, quiet: tuple[QuietSpan, ...]
    ) -> tuple[QuietSpan, ...]:
        return tuple(s for s in quiet if applies(s.channels, (), channel, purpose, self._exempt))

    def _candidates(self, zones: tuple[str, ...]) -> tuple[str, ...]:
        """Where the customer may be; a wrong name stands for every zone that is possible."""
        places = dict.fromkeys(zone for zone in zones if self._is_place(zone))
        if len(places) == len(zones) > 0:
            return tuple(places)
        if not self._unknown_zones:
            return ()
        return tuple(dict.fromkeys((*places, *self._unknown_zones)))

    def _is_place(self, zone: str) -> bool:
        known = self._places.get(zone)
        if known is None:
            if len(self._places) >= CACHED_WINDOWS * 4:
                self._places.clear()
            known = self._places[zone] = is_place(zone)
        return known


def is_place(zone: str) -> bool:
    """Whether the zone database knows this name, and it says where somebody is."""
    if zone in NO_PLACES or zone.startswith(("right/", "posix/")):
        return False
    return zone_named(zone) is not None


def intersection(one: list[Interval], other: list[Interval]) -> list[Interval]:
    """What two lists of intervals have in common; each in order and without overlap."""
    common: list[Interval] = []
    i = j = 0
    while i < len(one) and j < len(other):
        start_us, end_us = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if start_us < end_us:
            common.append((start_us, end_us))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return common


def _open_intervals(hours: OpenHours, day: int) -> list[Interval]:
    found: list[Interval] = []
    until_us = (day + 1) * DAY_US
    start_us = hours.next_open(day * DAY_US)
    while start_us is not None and start_us < until_us:
        end_us = hours.next_edge(start_us)
        if end_us is None or end_us >= until_us:
            found.append((start_us, until_us))
            break
        found.append((start_us, end_us))
        start_us = hours.next_open(end_us)
    return found


def _hours(windows: tuple[ContactWindow, ...], quiet: tuple[QuietSpan, ...], zone: str) -> Hours:
    """All windows open at once and no quiet span, as opening hours of this zone."""
    week = tuple(
        HoursSpan((day,), start, end)
        for day in EVERY_DAY
        for start, end in _left([_weekly(window, day) for window in windows], quiet, day)
    )
    dates = sorted({special.date: None for window in windows for special in window.holidays})
    holidays = tuple(
        Holiday(day, tuple(_left([_on(window, day) for window in windows], quiet, _weekday(day))))
        for day in dates
    )
    return Hours(id="contact", zone=zone, spans=week, holidays=holidays)


def _as_given(window: ContactWindow) -> Hours:
    """One window alone, unchanged, so that its mistakes are found and named."""
    return Hours(
        id=f"contact window {window.name}",
        spans=tuple(HoursSpan(s.days, s.start_minute, s.end_minute) for s in window.spans),
        holidays=tuple(Holiday(day.date, day.spans, day.name) for day in window.holidays),
    )


def _left(windows: list[Minutes], quiet: tuple[QuietSpan, ...], weekday: int) -> Minutes:
    """Minutes of one day that all windows have and no quiet span takes away."""
    left: Minutes = [(0, MINUTES_A_DAY)]
    for minutes in windows:
        left = intersection(left, minutes)
    taken = _merged([(s.start_minute, s.end_minute) for s in quiet if weekday in s.days])
    ends = [0, *(edge for span in taken for edge in span), MINUTES_A_DAY]
    free = [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]
    return intersection(left, free)


def _weekly(window: ContactWindow, weekday: int) -> Minutes:
    return _merged([(s.start_minute, s.end_minute) for s in window.spans if weekday in s.days])


def _on(window: ContactWindow, day: str) -> Minutes:
    for special in window.holidays:
        if special.date == day:
            return _merged(list(special.spans))
    return _weekly(window, _weekday(day))


def _weekday(day: str) -> int:
    return date.fromisoformat(day).weekday()


def _merged(minutes: Minutes) -> Minutes:
    """In order, with those that touch or overlap joined."""
    merged: Minutes = []
    for start, end in sorted(minutes):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
