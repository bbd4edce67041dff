"""What is counted of queues and agents, and the formula of each measure made of it.

`statistics.py` folds events into these; here are the columns and what they mean.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec

from router.core.model import (
    MINUTE_US,
    SECOND_US,
    AgentId,
    ContactId,
    ContactState,
    Presence,
    QueueId,
    Reservation,
    ReservationState,
)
from router.core.schedule import OpenHours

INTERVAL_US = 15 * MINUTE_US
KEPT_INTERVALS = 96
"""A day: what `recent` sums and `intervals` lists."""
SPARK_INTERVALS = 4
"""Arrivals of the last hour, shown with each queue."""
REASONS = 16
"""Most reasons for not being ready kept apart per agent; further ones are `other`."""


class Count(IntEnum):
    """What is counted per queue and channel; FORMULAS says what each one means."""

    RECEIVED = 0
    MOVED_IN = 1
    REPEAT = 2
    ANSWERED = 3
    ANSWERED_IN_TARGET = 4
    ABANDONED = 5
    ABANDONED_IN_TARGET = 6
    SHORT_ABANDONED = 7
    DEFLECTED = 8
    EXPIRED = 9
    CANCELLED = 10
    FAILED = 11
    COMPLETED = 12
    OVERFLOWED = 13
    SWITCHED = 14
    WITHDRAWN = 15
    OFFERS = 16
    ACCEPTED = 17
    REJECTED = 18
    MISSED = 19
    RESCINDED = 20
    HANDLED = 21
    WAIT_US = 22
    TALK_US = 23
    HOLD_US = 24
    WRAP_US = 25


ENDS = (
    *(Count.ANSWERED, Count.ABANDONED, Count.DEFLECTED, Count.EXPIRED, Count.CANCELLED),
    *(Count.FAILED, Count.COMPLETED, Count.OVERFLOWED, Count.SWITCHED, Count.WITHDRAWN),
)
"""A wait ends as exactly one of these."""

FORMULAS: dict[str, str] = {
    "received": "received (offered): waits begun here, by interval of arrival",
    "moved_in": "of the received, those that came from another queue or channel and kept their age",
    "repeat": "of the received, those whose contact had been answered before",
    "answered": "waits that ended with agent and customer connected",
    "answered_in_target": "answered within T, counted in the queue's open hours",
    "abandoned": "waits that the customer ended, short ones included",
    "abandoned_in_target": "abandoned within T",
    "short_abandoned": "abandoned before the channel's short-abandon limit (5 s unless set)",
    "deflected": "waits that ended out of the system: voicemail, callback, closed, full",
    "expired": "waits that outlived their window",
    "cancelled": "waits withdrawn by somebody",
    "failed": "waits that ended by a failure",
    "completed": "waits completed without an agent",
    "overflowed": "waits moved to another queue before an answer",
    "switched": "waits that went on by another channel before an answer",
    "withdrawn": "waits put back on the schedule",
    "offers": "offers made to agents",
    "accepted": "offers accepted",
    "rejected": "offers declined",
    "missed": "offers not answered in time (RONA)",
    "rescinded": "offers taken back by the router",
    "handled": "reservations that were connected and have ended",
    "waiting": "contacts waiting now, offered ones included",
    "longest_wait_us": "now - start of the oldest wait",
    "waiting_ages": "waiting now for up to T/2, T, 2 T, and longer",
    "goal": "the share that should be answered within T; in totals: of the queues, by what counts"
    " in their levels",
    "target_us": "T: the service-level target, counted in open hours",
    "arrivals": "received in each of the last four quarters of an hour, the running one last",
    "service_level": "SL6: answered within T / (answered + abandoned - short abandons)",
    "asa_us": "average speed of answer: waiting time of answered / answered",
    "aht_us": "average handle time: (talk + hold + wrap-up) / handled, contact time",
    "abandon_rate": "abandoned / (answered + abandoned), short abandons included",
    "rona_rate": "offers not answered in time / offers",
    "occupancy": "(handling + wrap-up) / (handling + wrap-up + available), agent time: several "
    "contacts at once count once",
    "live": "contacts not closed: received - closed",
    "ready_us": "time ready in this shift",
    "not_ready_us": "time not ready in this shift, by reason",
    "available_us": "time ready and holding no contact",
    "handling_us": "time holding at least one contact, wrap-up included (agent time)",
    "wait_us": "waiting time of answered, summed",
    "talk_us": "time connected, less hold and suspension, summed over contacts",
    "hold_us": "time with the customer on hold, summed over contacts",
    "wrap_us": "wrap-up time, summed over contacts",
}
"""What to show beside each measure of `Measures.snapshot`."""

SERVICE_LEVELS: dict[str, str] = {
    "SL1": "(answered within T + abandoned within T) / (answered + abandoned)",
    "SL2": "answered within T / answered",
    "SL3": "answered within T / (answered + abandoned)",
    "SL4": "answered within T / (answered + abandoned after T)",
    "SL5": "(answered within T + short abandons) / (answered + abandoned)",
    "SL6": "answered within T / (answered + abandoned - short abandons)",
    "SL7": "answered within T / (answered + abandoned + deflected + overflowed + switched)",
}
"""The variants in use in the field; SL6 is ours wherever no other is named."""


def service_level(counts: Sequence[int], variant: str = "SL6") -> float | None:
    """Service level by one of SERVICE_LEVELS (KeyError for others); None when nothing counts."""
    answered, in_target = counts[Count.ANSWERED], counts[Count.ANSWERED_IN_TARGET]
    abandoned, short = counts[Count.ABANDONED], counts[Count.SHORT_ABANDONED]
    early = counts[Count.ABANDONED_IN_TARGET]
    flowed = counts[Count.DEFLECTED] + counts[Count.OVERFLOWED] + counts[Count.SWITCHED]
    part, whole = {
        "SL1": (in_target + early, answered + abandoned),
        "SL2": (in_target, answered),
        "SL3": (in_target, answered + abandoned),
        "SL4": (in_target, answered + abandoned - early),
        "SL5": (in_target + short, answered + abandoned),
        "SL6": (in_target, answered + abandoned - short),
        "SL7": (in_target, answered + abandoned + flowed),
    }[variant]
    return ratio(part, whole)


class Cell:
    """One queue on one channel: counts since the beginning, of the last day, and per interval."""

    __slots__ = (
        *("goal", "hours", "intervals", "kept", "recent"),
        *("short_us", "target_us", "total", "waiting"),
    )

    def __init__(self, kept: int = KEPT_INTERVALS) -> None:
        self.kept = kept
        """How many intervals are remembered."""
        self.total = [0] * len(Count)
        self.recent = [0] * len(Count)
        """Sum of the kept intervals."""
        self.intervals: dict[int, list[int]] = {}
        """By number of the interval of arrival, oldest first."""
        self.waiting: dict[ContactId, int] = {}
        """Start of each wait that goes on."""
        self.goal = 0.8
        self.target_us = 20 * SECOND_US
        self.short_us = 5 * SECOND_US
        self.hours = OpenHours(None)

    def open(self, interval: int) -> None:
        """Make room for arrivals of this interval; later ones are opened later."""
        if interval not in self.intervals:
            self.prune(interval)
            latest = next(reversed(self.intervals), interval)
            if interval >= latest:
                self.intervals[interval] = [0] * len(Count)

    def prune(self, now: int) -> None:
        """Forget the intervals that are too old at interval `now`: a day, where nothing is said."""
        while self.intervals and (first := next(iter(self.intervals))) <= now - self.kept:
            gone = self.intervals.pop(first)
            self.recent = [a - b for a, b in zip(self.recent, gone, strict=True)]

    def count(self, interval: int, count: Count, by: int = 1) -> None:
        """Add to a count of the waits that began in `interval`."""
        self.total[count] += by
        counts = self.intervals.get(interval)
        if counts is not None:
            counts[count] += by
            self.recent[count] += by

    def numbers(self, now_us: int) -> dict[str, object]:
        """The last day and this moment, as JSON."""
        starts = sorted(self.waiting.values())
        limits = (self.target_us // 2, self.target_us, 2 * self.target_us)
        older = [bisect_left(starts, now_us - limit_us) for limit_us in limits]
        ages = [len(starts) - older[0], older[0] - older[1], older[1] - older[2], older[2]]
        last = now_us // INTERVAL_US
        spark = range(last - SPARK_INTERVALS + 1, last + 1)
        empty = (0,) * len(Count)
        return {
            "waiting": len(starts),
            "longest_wait_us": max(now_us - starts[0], 0) if starts else 0,
            "waiting_ages": ages,
            "goal": self.goal,
            "target_us": self.target_us,
            "arrivals": [self.intervals.get(n, empty)[Count.RECEIVED] for n in spark],
            **{count.name.lower(): self.recent[count] for count in Count},
            **rates(self.recent),
        }


class Life(msgspec.Struct, gc=False):
    """A contact that is not closed. One for each, so it is made as cheaply as a row."""

    queue: QueueId
    channel: str
    consult: bool
    state: ContactState
    waiting: bool = False
    repeat: bool = False
    """It was answered before."""
    cell: Cell | None = None
    """Of the wait that goes on, or the last one."""
    interval: int = 0
    start_us: int = 0
    due_us: int = 0


class Work:
    """An open reservation, and how long it was in which phase."""

    __slots__ = (
        *("agent", "cell", "connected", "contact", "interval"),
        *("media", "phase", "since_us", "times"),
    )

    def __init__(self, agent: AgentId, contact: ContactId, at_us: int, *, media: bool) -> None:
        self.agent = agent
        self.contact = contact
        self.media = media
        self.phase = "offered"
        self.since_us = at_us
        self.connected = False
        self.times = {"talk": 0, "hold": 0, "wrap": 0}
        self.cell: Cell | None = None
        self.interval = 0

    def place(self, life: Life | None) -> None:
        """Count with this contact's latest wait."""
        if life is not None:
            self.cell, self.interval = life.cell, life.interval

    def count(self, count: Count, by: int = 1) -> None:
        """Add to a count of the wait that this reservation serves."""
        if self.cell is not None:
            self.cell.count(self.interval, count, by)

    def turn(self, phase: str, at_us: int) -> None:
        """Begin another phase."""
        if self.phase in self.times:
            self.times[self.phase] += at_us - self.since_us
        self.phase, self.since_us = phase, at_us

    def restore(self, row: Reservation) -> None:
        """Take phase and times from the stored row (suspensions that are over count as talk)."""
        self.connected = row.connected_at_us > 0
        self.phase = _PHASE_OF[row.state]
        self.since_us = row.connected_at_us or row.accepted_at_us or row.offered_at_us
        self.times["hold"] = row.hold_us
        self.times["talk"] = -row.hold_us if self.connected else 0
        left_us = row.wrap_at_us or row.suspended_at_us or row.hold_at_us
        if left_us and self.connected:
            self.times["talk"] += left_us - row.connected_at_us
            self.since_us = left_us
            if self.phase == "talk":
                self.phase = "hold"


class Shift:
    """An agent's numbers since signing in."""

    __slots__ = (
        *("accepted", "available_us", "handled", "handling_us", "held", "missed", "not_ready_us"),
        *("offers", "presence", "presence_at_us", "ready_us", "reason", "rejected", "since_us"),
        *("started_at_us", "times"),
    )

    def __init__(self, presence: Presence, reason: str, at_us: int) -> None:
        self.presence = presence
        self.reason = reason
        self.presence_at_us = at_us
        self.started_at_us = at_us
        self.since_us = at_us
        """Times are summed up to here."""
        self.held = 0
        """Reservations accepted and neither ended nor suspended."""
        self.offers = self.accepted = self.rejected = self.missed = self.handled = 0
        self.ready_us = self.available_us = self.handling_us = 0
        self.not_ready_us: dict[str, int] = {}
        self.times = {"talk": 0, "hold": 0, "wrap": 0}

    def settle(self, at_us: int) -> None:
        """Sum the times up to `at_us`: before anything about the agent changes."""
        passed_us = max(at_us - self.since_us, 0)
        self.since_us = max(at_us, self.since_us)
        if self.held:
            self.handling_us += passed_us
        if self.presence is Presence.READY:
            self.ready_us += passed_us
            if not self.held:
                self.available_us += passed_us
        elif self.presence is Presence.NOT_READY:
            known = self.reason in self.not_ready_us or len(self.not_ready_us) < REASONS
            reason = self.reason if known else "other"
            self.not_ready_us[reason] = self.not_ready_us.get(reason, 0) + passed_us

    def until(self, now_us: int) -> Shift:
        """A copy with the times summed up to `now_us`; this one stays as it is."""
        copy = Shift(self.presence, self.reason, self.since_us)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.not_ready_us = dict(self.not_ready_us)
        copy.settle(now_us)
        return copy

    def numbers(self) -> dict[str, object]:
        """As JSON; times of contacts that are still served count when those end."""
        return {
            "presence": self.presence.value,
            "reason": self.reason,
            "presence_at_us": self.presence_at_us,
            "started_at_us": self.started_at_us,
            "holding": self.held,
            "offers": self.offers,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "missed": self.missed,
            "handled": self.handled,
            "ready_us": self.ready_us,
            "not_ready_us": self.not_ready_us,
            "available_us": self.available_us,
            "handling_us": self.handling_us,
            **{f"{name}_us": length_us for name, length_us in self.times.items()},
            "aht_us": quotient(sum(self.times.values()), self.handled),
            "rona_rate": ratio(self.missed, self.offers),
            "occupancy": ratio(self.handling_us, self.handling_us + self.available_us),
        }


def rates(counts: Sequence[int]) -> dict[str, object]:
    """The measures that are made of counts."""
    handled_us = counts[Count.TALK_US] + counts[Count.HOLD_US] + counts[Count.WRAP_US]
    left = counts[Count.ABANDONED]
    return {
        "service_level": service_level(counts),
        "asa_us": quotient(counts[Count.WAIT_US], counts[Count.ANSWERED]),
        "aht_us": quotient(handled_us, counts[Count.HANDLED]),
        "abandon_rate": ratio(left, counts[Count.ANSWERED] + left),
        "rona_rate": ratio(counts[Count.MISSED], counts[Count.OFFERS]),
    }


def overall_goal(cells: Iterable[Cell]) -> float | None:
    """The level of a workspace in which each queue is at its goal; None while nothing counts."""
    whole = part = 0.0
    for cell in cells:
        counts = cell.recent
        base = counts[Count.ANSWERED] + counts[Count.ABANDONED] - counts[Count.SHORT_ABANDONED]
        whole += base
        part += cell.goal * base
    return part / whole if whole else None


def ratio(part: int, whole: int) -> float | None:
    """A share; None of nothing."""
    return part / whole if whole > 0 else None


def quotient(sum_us: int, number: int) -> int | None:
    """A mean length in whole µs; None of nothing."""
    return sum_us // number if number > 0 else None


_PHASE_OF = {
    ReservationState.OFFERED: "offered",
    ReservationState.ACCEPTED: "connecting",
    ReservationState.CONNECTING: "connecting",
    ReservationState.CONNECTED: "talk",
    ReservationState.SUSPENDED: "suspended",
    ReservationState.WRAPPING: "wrap",
}
