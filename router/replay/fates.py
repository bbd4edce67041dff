"""What came of it: one line for each contact, and the numbers of queues, channels and agents.

What happened and what a replay did are folded by the same code. Only contacts that arrived in the
span count; agents' time counts from the beginning of the span.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from router.core import events as e
from router.core.model import AgentId, ContactId, Presence, ReservationId
from router.core.policy import Policy
from router.core.statistics import Measures
from router.core.tallies import Count, Shift, ratio, service_level

OUTSIDE = (
    e.RouteAnswered,
    e.AuditRecorded,
    e.CommandDeadLettered,
    e.PolicyApplied,
    e.ChannelPaused,
    e.ChannelResumed,
    e.OutcomeRecorded,
)
"""Events that tell nothing of a contact's fate."""
SAID = ("agent", "queue", "outcome", "step", "reason", "presence")
"""Besides kind and moment, what of an event makes a difference between two fates."""


class Fate:
    """What became of a contact."""

    __slots__ = (
        *("agent", "arrived_us", "channel", "consult", "digest", "missed", "offers"),
        *("outcome", "queue", "since_us", "stands", "steps", "wait_us", "why"),
    )

    def __init__(self, event: e.ContactReceived) -> None:
        self.arrived_us = event.at_us
        self.channel = event.channel
        self.queue = event.queue
        """Where it was first answered, or stood last."""
        self.stands = event.queue
        """Where it is now."""
        self.agent = AgentId("")
        """Who had it first."""
        self.wait_us: int | None = None
        """Until the first answer, or until it left."""
        self.outcome = ""
        """Empty: still open at the end of the span."""
        self.why = event.rule
        self.offers = self.missed = 0
        self.steps: list[str] = []
        self.since_us: int | None = None
        self.consult = bool(event.consult_of)
        self.digest = blake2b(digest_size=8)

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "queue": self.queue,
            "agent": self.agent,
            "wait_s": None if self.wait_us is None else self.wait_us / 1e6,
            "outcome": self.outcome or "open",
            "offers": self.offers,
            "missed": self.missed,
            "why": self.why,
        }


class Fates:
    """Folds the events of one column."""

    def __init__(self, policy: Policy, since_us: int) -> None:
        self.contacts: dict[ContactId, Fate] = {}
        self._since_us = since_us
        self._measures = Measures(policy)
        self._policy = policy
        self._waits: dict[tuple[str, str], list[int]] = {}
        self._why: dict[ReservationId, str] = {}
        self._held: dict[ReservationId, AgentId] = {}
        self._shifts: dict[AgentId, Shift] = {}
        self._counts = False
        self._now_us = 0

    def take(self, event: e.Event) -> None:
        """The next event; those before the span tell who is there and who is busy."""
        if not self._counts and event.at_us >= self._since_us:
            self._begin()
        self._now_us = event.at_us
        self._agents(event)
        if not self._counts:
            return
        self._measures.apply(event)
        if isinstance(event, e.ContactReceived):
            self.contacts[event.contact] = Fate(event)
        fate = self.contacts.get(getattr(event, "contact", ContactId("")))
        if fate is None or isinstance(event, OUTSIDE):
            return
        said = [getattr(event, name, None) for name in SAID]
        fate.digest.update(f"{type(event).__name__} {event.at_us} {said}".encode())
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, fate, event)

    def numbers(self, until_us: int) -> dict[str, Any]:
        """All measures, by queue and channel and in all."""
        queues: dict[str, dict[str, Any]] = {}
        total = [0] * len(Count)
        every: list[int] = []
        cells = self._measures.snapshot(until_us)["queues"]
        assert isinstance(cells, dict)
        for queue, channels in cells.items():
            for channel in channels:
                counts = self._measures.counts(queue, channel)
                waits = self._waits.get((queue, channel), [])
                every += waits
                total = [a + b for a, b in zip(total, counts, strict=True)]
                target_us = channels[channel]["target_us"]
                row = {"target_s": target_us / 1e6, **_row(counts, waits)}
                queues.setdefault(queue, {})[channel] = row
        contacts = [fate for fate in self.contacts.values() if not fate.consult]
        outcomes: dict[str, int] = {}
        for fate in contacts:
            name = fate.outcome or "open"
            outcomes[name] = outcomes.get(name, 0) + 1
        shifts = [shift.until(until_us) for shift in self._shifts.values()]
        handling_us = sum(shift.handling_us for shift in shifts)
        available_us = sum(shift.available_us for shift in shifts)
        return {
            "contacts": len(contacts),
            "outcomes": dict(sorted(outcomes.items())),
            "occupancy": ratio(handling_us, handling_us + available_us),
            "all": _row(total, every),
            "queues": queues,
        }

    def _begin(self) -> None:
        """The span begins: agents' times are counted from here."""
        self._counts = True
        for id_, shift in self._shifts.items():
            fresh = self._shifts[id_] = Shift(shift.presence, shift.reason, self._since_us)
            fresh.held = shift.held

    # --- contacts -----------------------------------------------------------------------------

    def _queued(self, fate: Fate, event: e.ContactQueued) -> None:
        fate.stands = event.queue
        if not fate.agent:
            fate.queue = event.queue
        if fate.since_us is None:
            fate.since_us = event.at_us

    def _returned(self, fate: Fate, event: e.ContactReturned) -> None:
        if fate.since_us is None:
            fate.since_us = event.at_us

    def _moved(self, fate: Fate, event: e.ContactOverflowed | e.ContactSwitched) -> None:
        fate.stands = event.queue
        if not fate.agent:
            fate.queue = event.queue
            fate.steps.append(f"to {event.queue}")
        if isinstance(event, e.ContactSwitched):
            fate.channel = event.channel

    def _relaxed(self, fate: Fate, event: e.ContactRelaxed) -> None:
        if event.taken and not fate.agent:
            fate.steps.append(event.name)

    def _offered(self, fate: Fate, event: e.ContactOffered) -> None:
        fate.offers += 1
        decision = event.decision
        words = [f"rule {decision.rule}"] if decision.rule else []
        words += [f"step {name}" for name in fate.steps[-1:]]
        among = f"{decision.eligible}{'+' if decision.eligible_more else ''} eligible"
        words.append(f"{decision.strategy} among {among}")
        self._why[event.reservation] = ", ".join(words)

    def _missed(self, fate: Fate, event: e.OfferExpired) -> None:
        fate.missed += 1
        self._why.pop(event.reservation, None)

    def _accepted(self, fate: Fate, event: e.OfferAccepted) -> None:
        why = self._why.pop(event.reservation, "")
        if not fate.agent:
            fate.agent = event.agent
            fate.why = why

    def _connected(self, fate: Fate, event: e.ReservationConnected) -> None:
        if fate.since_us is None or fate.consult:
            return
        wait_us, fate.since_us = event.at_us - fate.since_us, None
        self._waits.setdefault((fate.stands, fate.channel), []).append(wait_us)
        if fate.wait_us is None:
            fate.wait_us = wait_us

    def _closed(self, fate: Fate, event: e.ContactClosed) -> None:
        fate.outcome = event.outcome.value
        if event.reason and event.outcome.value not in ("completed", "abandoned"):
            fate.why = event.reason
        if fate.wait_us is None and fate.since_us is not None:
            fate.wait_us = event.at_us - fate.since_us

    # --- agents -------------------------------------------------------------------------------

    def _agents(self, event: e.Event) -> None:
        match event:
            case e.AgentPut():
                self._shift(event.agent)
            case e.AgentRemoved():
                self._shifts.pop(event.agent, None)
            case e.PresenceChanged():
                shift = self._shift(event.agent)
                shift.settle(event.at_us)
                shift.presence, shift.reason = event.presence, event.reason
            case e.OfferAccepted():
                self._held[event.reservation] = event.agent
                self._hold(event.agent, 1)
            case e.ReservationSuspended():
                self._hold_of(event.reservation, -1)
            case e.ReservationResumed():
                self._hold_of(event.reservation, 1)
            case e.ReservationEnded() | e.ReservationFailed():
                self._hold_of(event.reservation, -1)
                self._held.pop(event.reservation, None)
            case _:
                pass

    def _shift(self, agent: AgentId) -> Shift:
        shift = self._shifts.get(agent)
        if shift is None:
            shift = self._shifts[agent] = Shift(Presence.OFFLINE, "", self._now_us)
        return shift

    def _hold(self, agent: AgentId, by: int) -> None:
        shift = self._shift(agent)
        shift.settle(self._now_us)
        shift.held = max(shift.held + by, 0)

    def _hold_of(self, reservation: ReservationId, by: int) -> None:
        agent = self._held.get(reservation)
        if agent is not None:
            self._hold(agent, by)


def percentile(ordered: Sequence[int], share: float) -> int | None:
    """The least value that `share` of all do not exceed (nearest rank); None of nothing."""
    if not ordered:
        return None
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def _row(counts: Sequence[int], waits: Sequence[int]) -> dict[str, Any]:
    ordered = sorted(waits)
    left = counts[Count.ABANDONED]
    return {
        "received": counts[Count.RECEIVED],
        "answered": counts[Count.ANSWERED],
        "answered_in_target": counts[Count.ANSWERED_IN_TARGET],
        "service_level": service_level(counts),
        "wait_mean_s": sum(ordered) / len(ordered) / 1e6 if ordered else None,
        **{f"wait_p{p}_s": _seconds(percentile(ordered, p / 100)) for p in (50, 90, 99)},
        "abandoned": left,
        "short_abandoned": counts[Count.SHORT_ABANDONED],
        "abandon_rate": ratio(left, counts[Count.ANSWERED] + left),
        "deflected": counts[Count.DEFLECTED],
        "overflowed": counts[Count.OVERFLOWED],
        "offers": counts[Count.OFFERS],
        "rejected": counts[Count.REJECTED],
        "missed": counts[Count.MISSED],
        "rona_rate": ratio(counts[Count.MISSED], counts[Count.OFFERS]),
        "handled": counts[Count.HANDLED],
    }


def _seconds(value_us: int | None) -> float | None:
    return None if value_us is None else value_us / 1e6


_HANDLERS: dict[type, Callable[[Fates, Fate, Any], None]] = {
    e.ContactQueued: Fates._queued,
    e.ContactReturned: Fates._returned,
    e.ContactOverflowed: Fates._moved,
    e.ContactSwitched: Fates._moved,
    e.ContactRelaxed: Fates._relaxed,
    e.ContactOffered: Fates._offered,
    e.OfferExpired: Fates._missed,
    e.OfferAccepted: Fates._accepted,
    e.ReservationConnected: Fates._connected,
    e.ContactClosed: Fates._closed,
}
