"""The measures of the past, worked out anew from the log: interval by interval.

The same fold as the live measures (`statistics.py`), kept for longer and told apart by segment; so
a report of a span says what the wallboard said then. Intervals are those of arrival; an agent's
times are those of the clock. T, hours and short-abandon limits are today's: a target that was
changed since is applied to the past, too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from router.core import events as e
from router.core.model import AgentId, ContactId, ReservationId
from router.core.policy import Policy
from router.core.statistics import Measures
from router.core.tallies import INTERVAL_US, Count, Shift, quotient, rates, ratio

DIMENSIONS = ("queue", "channel", "segment", "agent")
NOTHING = ReservationId("")
_FOREVER = 1 << 40
"""Intervals: more than any log has."""
_AGENT_COUNTS = ("offers", "accepted", "rejected", "missed", "handled")
_AGENT_SUMS = (
    *_AGENT_COUNTS, "ready_us", "not_ready_us", "available_us", "handling_us",
    "talk_us", "hold_us", "wrap_us",
)  # fmt: skip

Row = dict[str, Any]
"""One line of a report: where and when, counts, lengths in µs, rates."""


class Recount:
    """Takes all events of a span, and those before it that say what it began with."""

    def __init__(self, policy: Policy, from_us: int, to_us: int) -> None:
        """Both moments are multiples of a quarter of an hour."""
        self._policy = policy
        self._from, self._to = from_us // INTERVAL_US, to_us // INTERVAL_US
        self._segments: dict[str, Measures] = {}
        self._of: dict[ContactId, Measures] = {}
        self._contacts: dict[ReservationId, ContactId] = {}
        self._agents = _AgentTimes(policy, self._from, self._to)
        self.now_us = 0

    def apply(self, event: e.Event) -> None:
        """Count one event; events come in the order of the journal."""
        self.now_us = event.at_us
        self._agents.apply(event)
        measures = self._measures_of(event)
        if measures is not None:
            measures.apply(event)

    def _measures_of(self, event: e.Event) -> Measures | None:
        """Who counts it: those of the contact's segment, as it was when the contact arrived."""
        reservation = getattr(event, "reservation", None)
        contact = getattr(event, "contact", None) or self._contacts.get(reservation or NOTHING)
        if type(event) is e.ContactReceived:
            found = self._segments.get(event.segment)
            if found is None:
                found = Measures(self._policy, kept=_FOREVER)
                self._segments[event.segment] = found
            self._of[event.contact] = found
            return found
        if contact is None:
            return None
        if type(event) is e.ContactOffered or type(event) is e.ReservationMoved:
            self._contacts[event.reservation] = contact
        elif type(event) is e.ReservationEnded or type(event) is e.ReservationFailed:
            self._contacts.pop(event.reservation, None)
        return self._of.get(contact)

    def is_settled(self) -> bool:
        """Whether the span is over and all that began in it has come to its end."""
        if self.now_us < self._to * INTERVAL_US:
            return False
        return not any(
            self._from <= interval < self._to
            for measures in self._segments.values()
            for interval in measures.unsettled()
        )

    def rows(
        self, by: Sequence[str], every: int, now_us: int, days: Sequence[int] = ()
    ) -> Iterator[Row]:
        """Lines by time, then by name. `every`: so many quarters of an hour make an interval.

        `by` is of `DIMENSIONS`, ``agent`` alone or the others. Agents' times end with `now_us`.
        `days`: when each interval begins, in µs, the first with the span, where they are not all of
        one length (a day on which the clock is changed); `every` is then passed over.
        """
        begins = [each // INTERVAL_US for each in days]
        if "agent" in by:
            yield from self._agents.rows(every, now_us, begins)
            return
        sums: dict[tuple[int, tuple[str, ...]], list[int]] = {}
        for segment, measures in self._segments.items():
            for queue, channel, interval, counts in measures.all_intervals():
                if not self._from <= interval < self._to:
                    continue
                where = {"queue": str(queue), "channel": channel, "segment": segment}
                begun = _begun(interval, self._from, every, begins)
                key = (begun, tuple(where[name] for name in by))
                found = sums.setdefault(key, [0] * len(Count))
                for column, count in enumerate(counts):
                    found[column] += count
        for (begun, names), counts in sorted(sums.items()):
            yield {
                "start_us": begun * INTERVAL_US,
                **dict(zip(by, names, strict=True)),
                **{count.name.lower(): counts[count] for count in Count},
                **rates(counts),
            }


class _AgentTimes:
    """What each agent did in each quarter of an hour: the growth of their numbers in it."""

    def __init__(self, policy: Policy, first: int, last: int) -> None:
        self._measures = Measures(policy, kept=1)
        self._first, self._last = first, last
        self._at = 0
        self._before: dict[AgentId, tuple[Shift, dict[str, int]]] = {}
        self._grown: dict[tuple[int, AgentId], dict[str, int]] = {}

    def apply(self, event: e.Event) -> None:
        """The next event; what is before it in time is cut at every boundary."""
        interval = event.at_us // INTERVAL_US
        if not self._at:
            self._at = interval
        self._cut_before(interval)
        self._measures.apply(event)

    def _cut_before(self, interval: int) -> None:
        while self._at < interval and self._at < self._last:
            self._cut((self._at + 1) * INTERVAL_US)

    def _cut(self, end_us: int) -> None:
        """The interval `_at` is over, or goes on and is looked at now."""
        for id_, shift in self._measures.shifts():
            numbers = _plain(shift.until(end_us))
            known = self._before.get(id_)
            # After a long absence a new shift begins at nothing.
            before = known[1] if known is not None and known[0] is shift else {}
            self._before[id_] = (shift, numbers)
            grown = {name: number - before.get(name, 0) for name, number in numbers.items()}
            if self._at >= self._first and any(grown.values()):
                self._grown[self._at, id_] = grown
        self._at += 1

    def rows(self, every: int, now_us: int, begins: Sequence[int]) -> Iterator[Row]:
        """Lines by time, then by agent; the last thing that is asked of this object."""
        if self._at:
            self._cut_before(now_us // INTERVAL_US)
            if self._at < self._last and now_us > self._at * INTERVAL_US:
                self._cut(now_us)
        sums: dict[tuple[int, AgentId], dict[str, int]] = {}
        for (interval, id_), grown in self._grown.items():
            begun = _begun(interval, self._first, every, begins)
            found = sums.setdefault((begun, id_), dict.fromkeys(grown, 0))
            for name, number in grown.items():
                found[name] += number
        for (begun, id_), found in sorted(sums.items()):
            yield {
                "start_us": begun * INTERVAL_US,
                "agent": str(id_),
                **found,
                **_agent_rates(found),
            }


def _begun(interval: int, first: int, every: int, begins: Sequence[int]) -> int:
    """The quarter of an hour with which the line of `interval` begins."""
    if begins:
        return begins[bisect_right(begins, interval) - 1]
    return first + (interval - first) // every * every


def total(rows: Sequence[Row]) -> Row:
    """All lines of a report as one, without a name: sums, and rates made of the sums.

    Never means of means: ten contacts of a quiet queue weigh as ten. A wait that went on in another
    queue counts in both, as it does in the lines.
    """
    if not rows:
        return {}
    if "agent" in rows[0]:
        sums = {name: sum(row[name] for row in rows) for name in _AGENT_SUMS}
        return sums | _agent_rates(sums)
    counts = [sum(row[count.name.lower()] for row in rows) for count in Count]
    return {count.name.lower(): counts[count] for count in Count} | rates(counts)


def _agent_rates(sums: dict[str, int]) -> Row:
    handled_us = sums["talk_us"] + sums["hold_us"] + sums["wrap_us"]
    busy_us, free_us = sums["handling_us"], sums["available_us"]
    return {
        "aht_us": quotient(handled_us, sums["handled"]),
        "rona_rate": ratio(sums["missed"], sums["offers"]),
        "occupancy": ratio(busy_us, busy_us + free_us),
    }


def _plain(shift: Shift) -> dict[str, int]:
    numbers: dict[str, int] = {name: getattr(shift, name) for name in _AGENT_COUNTS}
    lengths: dict[str, int] = {
        "ready_us": shift.ready_us,
        "not_ready_us": sum(shift.not_ready_us.values()),
        "available_us": shift.available_us,
        "handling_us": shift.handling_us,
        **{f"{name}_us": length_us for name, length_us in shift.times.items()},
    }
    return numbers | lengths


def quarters(interval_s: int) -> int:
    """How many quarters of an hour an interval has. Raises ValueError: it is none of them."""
    every, rest = divmod(interval_s * 1_000_000, INTERVAL_US)
    if rest or every not in (1, 2, 4, 96):
        raise ValueError(f"an interval has 900, 1800, 3600 or 86400 s, got {interval_s}")
    return every


def checked_dimensions(names: Iterable[str]) -> tuple[str, ...]:
    """Raises ValueError for names that are none, and for agents among others."""
    given = tuple(dict.fromkeys(names))
    unknown = [name for name in given if name not in DIMENSIONS]
    if unknown or not given:
        raise ValueError(f"expected some of {', '.join(DIMENSIONS)}, got {', '.join(unknown)!r}")
    if "agent" in given and len(given) > 1:
        raise ValueError("a report by agent is by agent alone: waits belong to queues")
    return given
