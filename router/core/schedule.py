"""When a queue is open: weekly spans, holidays and daylight saving, as moments in UTC.

Hours are *wall-clock* hours: open means that a clock on the wall in that zone shows a time inside a
span. So a span across the spring gap is shorter by the gap and one across the autumn fold longer by
it (PEP 495 has the words); a span inside the gap does not open, one inside the fold opens twice.
RFC 5545 §3.3.5 maps such a time to one moment instead: right for appointments, but it would keep a
queue closed while the sign on the door says open.
Spans are half open, `[start, end)`, and those that cross midnight are given as two.
The same class serves every window of this kind (quiet hours, for one).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, timedelta, tzinfo

from router.core.model import DAY_US, MINUTE_US, SECOND_US
from router.core.policy import Hours
from router.core.rules.moments import zone_named
from router.errors import ConfigError

HOUR_US = 60 * MINUTE_US
MINUTES_A_DAY = 1440
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = EPOCH.toordinal()
FIRST_DAY = date(2, 1, 1).toordinal() - EPOCH_DAY
LAST_DAY = date(9998, 12, 31).toordinal() - EPOCH_DAY
"""Outside the calendar's years nothing is open and nothing changes."""
QUIET_DAYS = 15
"""So many plain days without a change hold each weekday twice: once may fall into a gap."""
CACHED_DAYS = 2048

Spans = tuple[tuple[int, int], ...]


class OpenHours:
    """One set of opening hours, asked at moments in epoch µs; None as hours = always open.

    Raises ConfigError with every finding (unknown zone, spans outside the day, dates given twice).
    """

    def __init__(self, hours: Hours | None) -> None:
        self._zone: tzinfo = UTC
        self._always = hours is None
        self._week: tuple[Spans, ...] = ()
        self._holidays: dict[int, Spans] = {}
        self._special: tuple[int, ...] = ()
        self._days: dict[int, tuple[int, ...]] = {}
        if hours is not None:
            self._compile(hours)

    def is_open(self, at_us: int) -> bool:
        """Whether it is open at this moment."""
        if self._always:
            return True
        day = at_us // DAY_US
        edges = self._days.get(day)
        if edges is None:
            edges = self._edges(day)
        return bisect_right(edges, at_us) & 1 == 1

    def next_edge(self, at_us: int) -> int | None:
        """The first moment after `at_us` at which it opens or closes; None = it stays as it is."""
        if self._always:
            return None
        was_open = self.is_open(at_us)
        day = max(at_us // DAY_US, FIRST_DAY)
        quiet = 0
        while day <= LAST_DAY:
            edges = self._edges(day)
            start_us = day * DAY_US
            if start_us > at_us and bool(edges and edges[0] == start_us) != was_open:
                return start_us
            index = bisect_right(edges, max(at_us, start_us))
            # An interval that reaches the day's end may go on: the next day's start decides.
            if index < len(edges) and edges[index] < start_us + DAY_US:
                return edges[index]
            place = bisect_left(self._special, day)
            quiet = 0 if place < len(self._special) and self._special[place] == day else quiet + 1
            day += 1
            if quiet > QUIET_DAYS:
                # The week as such never changes: only a holiday can.
                if place == len(self._special):
                    return None
                day, quiet = self._special[place], 0
        return None

    def next_open(self, at_us: int) -> int | None:
        """`at_us` itself if open, else the next opening; None = it never opens again."""
        return at_us if self.is_open(at_us) else self.next_edge(at_us)

    def add_open(self, at_us: int, length_us: int) -> int:
        """The moment at which `length_us` of open time has passed since `at_us` (due dates).

        Where it closes for good, the rest counts on by the clock from that closing: hours that
        never open give `at_us + length_us`.
        """
        if self._always or length_us <= 0:
            return at_us + max(length_us, 0)
        rest_us = length_us
        now_us = at_us
        while True:
            day = now_us // DAY_US
            edges = self._days.get(day)
            if edges is None:
                edges = self._edges(day)
            for index in range(0, len(edges), 2):
                start_us, end_us = max(edges[index], now_us), edges[index + 1]
                if end_us > start_us:
                    if end_us - start_us >= rest_us:
                        return start_us + rest_us
                    rest_us -= end_us - start_us
                    now_us = end_us
            following = self.next_open(max(now_us, (day + 1) * DAY_US))
            if following is None:
                return now_us + rest_us
            now_us = following

    def local(self, at_us: int) -> datetime:
        """What calendar and clock show in the zone of these hours."""
        return (EPOCH + timedelta(microseconds=at_us)).astimezone(self._zone)

    def _compile(self, hours: Hours) -> None:
        findings: list[str] = []
        where = f'hours "{hours.id}"'
        zone = zone_named(hours.zone)
        if zone is None:
            findings.append(f"{where}: expected an IANA time zone, got {hours.zone!r}")
        self._zone = zone or UTC
        week: list[list[tuple[int, int]]] = [[] for _ in range(7)]
        for span in hours.spans:
            minutes = (span.start_minute, span.end_minute)
            findings.extend(_wrong_span(where, minutes))
            for weekday in span.days:
                if 0 <= weekday <= 6:
                    week[weekday].append(minutes)
                else:
                    findings.append(f"{where}: expected a weekday from 0 to 6, got {weekday}")
        for holiday in hours.holidays:
            try:
                day = date.fromisoformat(holiday.date).toordinal() - EPOCH_DAY
            except ValueError:
                findings.append(f"{where}: expected a date like 2027-12-25, got {holiday.date!r}")
                continue
            if day in self._holidays:
                findings.append(f"{where}: holiday {holiday.date} is given twice")
            for minutes in holiday.spans:
                findings.extend(_wrong_span(f"{where}: holiday {holiday.date}", minutes))
            self._holidays[day] = _merged(list(holiday.spans))
        if findings:
            raise ConfigError(findings)
        self._week = tuple(_merged(spans) for spans in week)
        # Local dates lie within one day of the UTC day of the same number.
        near = {day + shift: None for day in self._holidays for shift in (-1, 0, 1)}
        self._special = tuple(sorted(near))

    def _edges(self, day: int) -> tuple[int, ...]:
        """Openings and closings of one UTC day in turn, cut at the day's ends."""
        edges = self._days.get(day)
        if edges is None:
            if len(self._days) >= CACHED_DAYS:
                self._days.clear()
            edges = self._days[day] = self._compute(day) if FIRST_DAY <= day <= LAST_DAY else ()
        return edges

    def _compute(self, day: int) -> tuple[int, ...]:
        edges: list[int] = []
        for from_us, to_us, offset_us in self._stretches(day):
            first_date = (from_us + offset_us) // DAY_US
            last_date = (to_us + offset_us - 1) // DAY_US
            for local_date in range(first_date, last_date + 1):
                midnight_us = local_date * DAY_US - offset_us
                for start_us, end_us in self._spans(local_date):
                    a_us = max(midnight_us + start_us, from_us)
                    b_us = min(midnight_us + end_us, to_us)
                    if b_us <= a_us:
                        continue
                    if edges and edges[-1] == a_us:
                        edges[-1] = b_us
                    else:
                        edges += (a_us, b_us)
        return tuple(edges)

    def _spans(self, local_date: int) -> Spans:
        spans = self._holidays.get(local_date)
        # 1970-01-01, day 0, was a Thursday; weekday 0 is Monday.
        return self._week[(local_date + 3) % 7] if spans is None else spans

    def _stretches(self, day: int) -> list[tuple[int, int, int]]:
        """One UTC day as stretches `(from, to, offset)` of one offset from UTC each."""
        start_us = day * DAY_US
        from_us, offset_us = start_us, self._offset_us(start_us)
        stretches: list[tuple[int, int, int]] = []
        for hour_us in range(start_us + HOUR_US, start_us + DAY_US + 1, HOUR_US):
            after_us = self._offset_us(hour_us)
            if after_us == offset_us:
                continue
            low, high = (hour_us - HOUR_US) // SECOND_US, hour_us // SECOND_US
            while high - low > 1:
                middle = (low + high) // 2
                if self._offset_us(middle * SECOND_US) == offset_us:
                    low = middle
                else:
                    high = middle
            stretches.append((from_us, high * SECOND_US, offset_us))
            from_us, offset_us = high * SECOND_US, after_us
        if from_us < start_us + DAY_US:
            stretches.append((from_us, start_us + DAY_US, offset_us))
        return stretches

    def _offset_us(self, at_us: int) -> int:
        offset = self.local(at_us).utcoffset()
        assert offset is not None
        return offset // timedelta(microseconds=1)


def _wrong_span(where: str, minutes: tuple[int, int]) -> list[str]:
    start, end = minutes
    if 0 <= start < end <= MINUTES_A_DAY:
        return []
    return [f"{where}: expected 0 <= start < end <= {MINUTES_A_DAY} minutes, got {start}-{end}"]


def _merged(minutes: list[tuple[int, int]]) -> Spans:
    """Sorted, in µs, with those that touch or overlap joined."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted(minutes):
        if spans and start * MINUTE_US <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end * MINUTE_US))
        else:
            spans.append((start * MINUTE_US, end * MINUTE_US))
    return tuple(spans)
