"""Events as tests write them, and legal lives of contacts drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from router.core import events as e
from router.core.model import (
    SECOND_US,
    AgentId,
    Candidate,
    ContactId,
    ContactOutcome,
    Decision,
    Presence,
    QueueId,
    ReservationId,
)
from router.core.policy import Hours, HoursSpan, Policy, Queue, default_channels
from router.core.statistics import Count, Measures
from router.core.tallies import ENDS

CARE, SALES = QueueId("care"), QueueId("sales")
MONDAY_US = 1_813_536_000 * SECOND_US
"""2027-06-21T00:00Z."""
DECISION = Decision(edge="contact", strategy="longest_idle", winner=Candidate(id="", terms=()))


def policy(**queue: Any) -> Policy:
    care = Queue(id=CARE, targets_us={"voice": 20 * SECOND_US}, **queue)
    hours = Hours(id="office", spans=(HoursSpan((0, 1, 2, 3, 4), 540, 1020),))
    return Policy(
        version="1",
        channels=default_channels(),
        queues={CARE: care, SALES: Queue(id=SALES)},
        hours={"office": hours},
    )


def received(id_: str, at_us: int, channel: str = "voice", **more: Any) -> e.ContactReceived:
    return e.ContactReceived(
        at_us=at_us,
        contact=ContactId(id_),
        channel=channel,
        queue=CARE,
        **more,
    )


def queued(id_: str, at_us: int, queue: QueueId = CARE) -> e.ContactQueued:
    return e.ContactQueued(
        at_us=at_us,
        contact=ContactId(id_),
        queue=queue,
        tier=0,
        head_start_us=0,
        due_at_us=at_us,
        arrival_no=1,
        visit_no=1,
        visit_at_us=at_us,
    )


def offered(
    id_: str, contact: str, at_us: int, agent: str = "ana", channel: str = "voice"
) -> e.ContactOffered:
    return e.ContactOffered(
        at_us=at_us,
        reservation=ReservationId(id_),
        contact=ContactId(contact),
        agent=AgentId(agent),
        queue=CARE,
        channel=channel,
        units=100,
        rank=1,
        deadline_at_us=at_us + 20 * SECOND_US,
        decision=DECISION,
    )


def named(id_: str, contact: str, agent: str = "ana") -> dict[str, Any]:
    return {
        "reservation": ReservationId(id_),
        "contact": ContactId(contact),
        "agent": AgentId(agent),
    }


def closed(id_: str, at_us: int, outcome: ContactOutcome) -> e.ContactClosed:
    return e.ContactClosed(at_us=at_us, contact=ContactId(id_), outcome=outcome)


def presence(at_us: int, state: Presence, reason: str = "", agent: str = "ana") -> e.Event:
    return e.PresenceChanged(at_us=at_us, agent=AgentId(agent), presence=state, reason=reason)


def answer(measures: Measures, id_: str, at_us: int, *, wrap_us: int = 0, talk_us: int = 0) -> None:
    """Offer at `at_us`, connect at once, talk, wrap up."""
    res = "r" + id_
    ids = named(res, id_)
    measures.apply(offered(res, id_, at_us))
    measures.apply(e.OfferAccepted(at_us=at_us, **ids))
    measures.apply(e.ReservationConnected(at_us=at_us, reservation=ReservationId(res)))
    end_us = at_us + talk_us
    measures.apply(closed(id_, end_us, ContactOutcome.COMPLETED))
    wrap = e.WrapUpStarted(at_us=end_us, reservation=ReservationId(res), deadline_at_us=end_us)
    measures.apply(wrap)
    measures.apply(e.ReservationEnded(at_us=end_us + wrap_us, reservation=ReservationId(res)))


def cell(
    measures: Measures, now_us: int, queue: str = "care", channel: str = "voice"
) -> dict[str, Any]:
    queues = measures.snapshot(now_us)["queues"]
    assert isinstance(queues, dict)
    found = queues[queue][channel]
    assert isinstance(found, dict)
    return found


def agent(measures: Measures, now_us: int, id_: str = "ana") -> dict[str, Any]:
    agents = measures.snapshot(now_us)["agents"]
    assert isinstance(agents, dict)
    found = agents[id_]
    assert isinstance(found, dict)
    return found


def assert_conserved(measures: Measures, now_us: int) -> None:
    snapshot = measures.snapshot(now_us)
    totals, queues = snapshot["totals"], snapshot["queues"]
    assert isinstance(totals, dict)
    assert isinstance(queues, dict)
    for queue, channels in queues.items():
        for channel, numbers in channels.items():
            counts = measures.counts(queue, channel)
            ended = sum(counts[end] for end in ENDS)
            assert counts[Count.RECEIVED] == ended + numbers["waiting"]
    closed_ones = sum(totals[outcome.value] for outcome in ContactOutcome)
    assert totals["received"] == closed_ones + totals["live"]
    assert totals["live"] == sum(totals["by_state"].values())


@dataclass
class Wait:
    """One wait as the generator knows it."""

    queue: str
    channel: str
    start_us: int
    end: str = ""
    end_us: int = 0
    entered_us: int = 0
    """When it came to this queue; `start_us` may be before that."""


@dataclass
class Lives:
    """Draws legal lives of contacts and keeps its own list of waits, never asking the fold."""

    random: Random
    now_us: int = MONDAY_US
    waits: list[Wait] = field(default_factory=list)
    open: dict[str, Wait] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    channel: dict[str, str] = field(default_factory=dict)
    queue: dict[str, QueueId] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    number: int = 0

    def step(self) -> list[e.Event]:
        self.now_us += int(self.random.expovariate(1 / (4 * SECOND_US)))
        if not self.state or self.random.random() < 0.2:
            return self.arrive()
        id_ = self.random.choice(list(self.state))
        options = {
            "queued": (self.offer, self.offer, self.close, self.overflow, self.switch, self.shelve),
            "offered": (self.accept, self.accept, self.miss, self.close),
            "active": (self.close, self.close, self.park, self.transfer, self.hand_back),
            "parked": (self.write, self.close),
            "scheduled": (self.write, self.close),
        }[self.state[id_]]
        return self.random.choice(options)(id_)

    def arrive(self) -> list[e.Event]:
        self.number += 1
        id_ = f"c{self.number}"
        self.channel[id_] = self.random.choice(("voice", "chat", "email"))
        self.queue[id_] = CARE
        event = received(id_, self.now_us, self.channel[id_])
        draw = self.random.random()
        if draw < 0.1:
            self.begin(id_)
            return [event, *self.close(id_, ContactOutcome.DEFLECTED)]
        if draw < 0.2:
            self.state[id_] = "scheduled"
            return [event, self.scheduled(id_)]
        return [event, *self.write(id_)]

    def begin(self, id_: str, start_us: int = 0) -> None:
        wait = Wait(self.queue[id_], self.channel[id_], start_us or self.now_us)
        wait.entered_us = self.now_us
        self.open[id_] = wait
        self.waits.append(wait)

    def end(self, id_: str, how: str) -> None:
        wait = self.open.pop(id_, None)
        if wait is not None:
            wait.end, wait.end_us = how, self.now_us

    def scheduled(self, id_: str) -> e.Event:
        return e.ContactScheduled(
            at_us=self.now_us, contact=ContactId(id_), not_before_us=self.now_us
        )

    def write(self, id_: str) -> list[e.Event]:
        self.state[id_] = "queued"
        self.begin(id_)
        return [queued(id_, self.now_us, self.queue[id_])]

    def shelve(self, id_: str) -> list[e.Event]:
        self.end(id_, "withdrawn")
        self.state[id_] = "scheduled"
        return [self.scheduled(id_)]

    def offer(self, id_: str) -> list[e.Event]:
        self.number += 1
        self.state[id_], self.held[id_] = "offered", f"r{self.number}"
        return [offered(self.held[id_], id_, self.now_us, "ana", self.channel[id_])]

    def ids(self, id_: str) -> dict[str, Any]:
        return named(self.held[id_], id_)

    def accept(self, id_: str) -> list[e.Event]:
        accepted = e.OfferAccepted(at_us=self.now_us, **self.ids(id_))
        if self.channel[id_] == "voice" and self.random.random() < 0.3:
            failed = e.ReservationFailed(
                at_us=self.now_us,
                reason="leg",
                **self.ids(id_),
            )
            return [accepted, failed, *self.back(id_)]
        self.end(id_, "answered")
        self.state[id_] = "active"
        connected = e.ReservationConnected(
            at_us=self.now_us, reservation=ReservationId(self.held[id_])
        )
        return [accepted, connected]

    def back(self, id_: str) -> list[e.Event]:
        del self.held[id_]
        self.state[id_] = "queued"
        return [
            e.ContactReturned(at_us=self.now_us, contact=ContactId(id_), reason="", head_start_us=0)
        ]

    def miss(self, id_: str) -> list[e.Event]:
        kind = self.random.choice((e.OfferExpired, e.OfferRejected, e.OfferRescinded))
        return [kind(at_us=self.now_us, **self.ids(id_)), *self.back(id_)]

    def finish(self, id_: str) -> list[e.Event]:
        held = ReservationId(self.held.pop(id_))
        return [e.ReservationEnded(at_us=self.now_us, reservation=held)]

    def park(self, id_: str) -> list[e.Event]:
        self.state[id_] = "parked"
        parked = e.ContactParked(at_us=self.now_us, contact=ContactId(id_))
        return [*self.finish(id_), parked]

    def transfer(self, id_: str) -> list[e.Event]:
        ended = self.finish(id_)
        self.queue[id_] = self.random.choice((CARE, SALES))
        return [*ended, *self.write(id_)]

    def hand_back(self, id_: str) -> list[e.Event]:
        held = self.held[id_]
        events = self.back(id_)
        self.begin(id_)
        return [e.ReservationEnded(at_us=self.now_us, reservation=ReservationId(held)), *events]

    def overflow(self, id_: str) -> list[e.Event]:
        start_us, old = self.open[id_].start_us, self.queue[id_]
        self.end(id_, "overflowed")
        self.queue[id_] = SALES if old == CARE else CARE
        self.begin(id_, start_us)
        return [
            e.ContactOverflowed(
                at_us=self.now_us,
                contact=ContactId(id_),
                from_queue=old,
                queue=self.queue[id_],
                tier=0,
                head_start_us=0,
                due_at_us=0,
            )
        ]

    def switch(self, id_: str) -> list[e.Event]:
        start_us, old = self.open[id_].start_us, self.channel[id_]
        self.end(id_, "switched")
        self.channel[id_] = "chat" if old != "chat" else "email"
        self.begin(id_, start_us)
        return [
            e.ContactSwitched(
                at_us=self.now_us,
                contact=ContactId(id_),
                from_channel=old,
                channel=self.channel[id_],
                queue=self.queue[id_],
                tier=0,
                due_at_us=0,
                head_start_us=0,
            )
        ]

    def close(self, id_: str, outcome: ContactOutcome | None = None) -> list[e.Event]:
        outcome = outcome or self.random.choice(list(ContactOutcome))
        self.end(id_, outcome.value)
        self.state.pop(id_, None)
        events: list[e.Event] = [closed(id_, self.now_us, outcome)]
        if id_ in self.held:
            events += self.finish(id_)
        return events

    def recount(self, queue: str, channel: str) -> dict[str, int]:
        mine = [w for w in self.waits if (w.queue, w.channel) == (queue, channel)]
        channels = default_channels()
        care_voice = queue == "care" and channel == "voice"
        target_us = 20 * SECOND_US if care_voice else channels[channel].target_us
        counts = {"received": len(mine), "wait_us": 0}
        for wait in mine:
            length_us = wait.end_us - wait.start_us
            names = [wait.end] if wait.end else []
            if wait.end == "answered":
                counts["wait_us"] += length_us
                names += ["answered_in_target"] * (length_us <= target_us)
            if wait.end == "abandoned":
                names += ["abandoned_in_target"] * (length_us <= target_us)
                names += ["short_abandoned"] * (length_us < 5 * SECOND_US)
            for name in names:
                counts[name] = counts.get(name, 0) + 1
        return counts
