"""Why: what was counted, in words. The model's number is never shown alone.

Counts come from the profile's attempts as they are, unfaded and unweighted, so that anybody can
count them again in the log of events: the last 64 attempts whose outcome is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.preference import evidence
from router.preference.kernel import HOURS, sigmoid
from router.preference.outcomes import Outcome
from router.preference.prior import PriorTables
from router.preference.profile import Endpoint, Profile
from router.preference.windows import Window, confidence

ENOUGH = 3
"""Attempts from which on a level of evidence is spoken of."""
LEVELS = ("exact", "near", "endpoint", "channel", "customer")
_SUCCESS = min(outcome for outcome in Outcome if outcome.success)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Count:
    """Attempts of one level of evidence."""

    attempts: int = 0
    successes: int = 0
    expected: float = 0.0
    """Successes that customers of this segment would have had in the same attempts."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one window of one customer."""

    exact: Count
    """This endpoint, weekday and hour."""
    near: Count
    """This endpoint, up to an hour beside, on days of the same type."""
    endpoint: Count
    channel: Count
    customer: Count
    segment_p: float
    """What is expected of a customer of this segment of whom nothing is known."""
    inbound: int
    """Contacts that the customer began."""
    inbound_near: int
    """Those of them up to an hour beside this one."""
    last_success_hour: int | None
    """Wall hour of the last success on this endpoint."""
    confidence: str
    """low, medium, high: by the customer's attempts, of which older ones count less."""

    def level(self) -> str:
        """The finest level with enough attempts to speak of; "segment" when there is none."""
        for name in LEVELS:
            count: Count = getattr(self, name)
            if count.attempts >= ENOUGH:
                return name
        return "segment"


def evidence_of(
    profile: Profile,
    tables: PriorTables,
    segment: int | None,
    endpoint: Endpoint,
    hour: int,
    now_hour: int,
    fade_days: float = 200.0,
) -> Evidence:
    """Count what is known about an endpoint at a wall hour; pending attempts do not count."""
    level, slot = tables.level[tables.segment(segment)], hour % HOURS
    events = np.array(profile.attempts, np.int64)
    outcome = (events >> 4) & 15
    events = events[outcome != Outcome.PENDING]
    good = outcome[outcome != Outcome.PENDING] >= _SUCCESS
    place, hours = (events >> 8) & 15, events >> 12
    channel, address, rank = (column.take(place) for column in evidence.places(profile.endpoints))
    slots = hours % HOURS
    expected = sigmoid(level[channel, slots] + tables.rank[channel, rank])
    on_channel = channel == endpoint.channel
    here = on_channel & (address == endpoint.address)
    near = here & ((hours - slot + 1) % 24 <= 2) & ((slots >= 120) == (slot >= 120))
    everything = np.ones(len(events), bool)
    which = np.array((here & (slots == slot), near, here, on_channel, everything), float)
    counted = which @ np.array((everything, good, expected), float).T
    exact, beside, at_all, by_channel, of_customer = (
        Count(int(n), int(s), share) for n, s, share in counted.tolist()
    )
    came = [event >> 12 for event in profile.inbound]
    last = hours[here & good]
    start = level[endpoint.channel, slot] + tables.rank[endpoint.channel, endpoint.rank]
    ages = np.maximum(now_hour - hours, 0) / 24.0
    return Evidence(
        exact=exact,
        near=beside,
        endpoint=at_all,
        channel=by_channel,
        customer=of_customer,
        segment_p=float(sigmoid(np.array(start))),
        inbound=len(came),
        inbound_near=sum((hour - slot + 1) % 24 <= 2 for hour in came),
        last_success_hour=int(last.max()) if len(last) else None,
        confidence=confidence(float(np.exp(-ages / fade_days).sum())),
    )


def sentence(
    window: Window,
    found: Evidence,
    channel: str,
    address: str,
    now_hour: int,
    blocked: str | None = None,
) -> str:
    """The window and its evidence as one line for a person.

    `channel` and `address` are names to show ("SMS", "..42"); `blocked` says by what a better hour
    was ruled out ("quiet hours"), if one was.
    """
    parts = [f"{channel} to {address}, {_span(window.hour)}: {_evidence(found, channel, address)}"]
    p, low, high = (100 * value for value in (window.p, window.low, window.high))
    parts.append(f"estimate {p:.0f} % ({low:.0f}-{high:.0f})")
    if found.last_success_hour is not None:
        days = max(now_hour - found.last_success_hour, 0) // 24
        ago = "today" if days == 0 else "yesterday" if days == 1 else f"{days} days ago"
        parts.append(f"last success {ago}")
    if found.inbound_near:
        hour = window.hour % 24
        times = "once" if found.inbound_near == 1 else f"{found.inbound_near} times"
        parts.append(f"also came in {times} between {(hour - 1) % 24} and {(hour + 1) % 24 + 1}")
    if blocked:
        parts.append(f"a better hour is ruled out by {blocked}")
    return "; ".join(parts)


def _evidence(found: Evidence, channel: str, address: str) -> str:
    level = found.level()
    if level == "segment":
        count = found.customer.attempts
        contacts = f"{count} contact" if count == 1 else f"{count} contacts"
        return f"little evidence ({contacts}) - based on similar customers"
    counted: Count = getattr(found, level)
    where = {
        "exact": "",
        "near": " around this hour",
        "endpoint": f" to {address} at any hour",
        "channel": f" by {channel} at any hour",
        "customer": " on all channels",
    }[level]
    return (
        f"{counted.successes} of {counted.attempts} answered{where} "
        f"(expected {counted.expected:.1f} for customers like this)"
    )


def _span(hour: int) -> str:
    start = hour % 24
    return f"{DAYS[hour % HOURS // 24]} {start}-{start + 1}"
