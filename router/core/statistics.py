"""The measures of a contact centre: a fold over events, each measure with its formula.

The unit is the *wait*: from the moment a contact enters a queue on a channel until it is answered
(agent and customer are connected), or ends otherwise. A contact that waits again (transferred,
handed back, the customer of a parked contact wrote) begins another wait. For each queue and
channel, at every moment:

    received = answered + abandoned + deflected + expired + cancelled + failed + completed
             + overflowed + switched + withdrawn + waiting

and of contacts: received = completed + abandoned + deflected + expired + cancelled + failed + live.
Intervals are those of *arrival*: what becomes of a wait counts in the 15 minutes in which it began.
A measure of nothing is None, not 100 %. Consults are agents' time, not waits of customers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter

from router.core import events as e
from router.core.model import (
    MINUTE_US,
    Agent,
    AgentId,
    Contact,
    ContactId,
    ContactOutcome,
    ContactState,
    Presence,
    QueueId,
    Reservation,
    ReservationId,
    ReservationState,
)
from router.core.policy import Policy
from router.core.schedule import OpenHours
from router.core.tallies import (
    FORMULAS,
    INTERVAL_US,
    KEPT_INTERVALS,
    SERVICE_LEVELS,
    Cell,
    Count,
    Life,
    Shift,
    Work,
    overall_goal,
    rates,
    ratio,
    service_level,
)

__all__ = ["FORMULAS", "SERVICE_LEVELS", "Count", "Measures", "service_level"]

SHIFT_GAP_US = 6 * 60 * MINUTE_US
"""An agent's numbers begin anew after being offline this long."""

ALWAYS = OpenHours(None)

_Phased = (
    e.ReservationConnecting
    | e.ReservationSuspended
    | e.ReservationResumed
    | e.CustomerHeld
    | e.CustomerResumed
    | e.WrapUpStarted
)


class Measures:
    """Folds events into the measures; holds live contacts, a day of intervals, and the agents.

    Events of contacts it has not seen begin are passed over: after a restart over a trimmed journal
    `adopt` gives it what is live.
    """

    def __init__(self, policy: Policy, *, kept: int = KEPT_INTERVALS) -> None:
        self._kept = kept
        self.since_us = 0
        self.received = 0
        self.consults = 0
        self.closed = dict.fromkeys(ContactOutcome, 0)
        self._lives: dict[ContactId, Life] = {}
        self._live = dict.fromkeys(ContactState, 0)
        self._work: dict[ReservationId, Work] = {}
        self._agents: dict[AgentId, Shift] = {}
        self._cells: dict[tuple[QueueId, str], Cell] = {}
        self.use(policy)

    def use(self, policy: Policy) -> None:
        """Take T, short-abandon limits and hours from `policy`; forget queues that it dropped."""
        self._policy = policy
        self._hours = {name: OpenHours(hours) for name, hours in policy.hours.items()}
        kept = {k: c for k, c in self._cells.items() if k[0] in policy.queues or c.waiting}
        self._cells = kept
        for key, cell in kept.items():
            self._set(cell, *key)

    def apply(self, event: e.Event) -> None:
        """Count one event; events come in the order of the journal."""
        if not self.since_us:
            self.since_us = event.at_us
        handler = HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def adopt(
        self,
        contacts: Iterable[Contact],
        reservations: Iterable[Reservation],
        agents: Iterable[Agent],
        at_us: int,
    ) -> None:
        """Begin with what is live; numbers of the past (agents' too) start from here."""
        self.since_us = at_us
        for agent in agents:
            self._agents[agent.id] = Shift(agent.presence, agent.reason, at_us)
            self._agents[agent.id].presence_at_us = agent.presence_at_us
        open_ones = sorted(reservations, key=lambda r: r.id)
        ringing = {r.contact: True for r in open_ones if not r.connected_at_us}
        for contact in sorted(contacts, key=attrgetter("visit_at_us", "id")):
            consult, state = bool(contact.consult_of), contact.state
            life = self._enter(contact.id, contact.queue, contact.channel, state, consult=consult)
            life.repeat = contact.visit_no > 1 and contact.answered_at_us > 0
            waits = state is ContactState.QUEUED or state is ContactState.OFFERED
            if waits or (state is ContactState.ACTIVE and contact.id in ringing):
                self._begin(contact.id, life, contact.visit_at_us, contact.visit_at_us)
        for row in open_ones:
            work = self._work[row.id] = Work(
                row.agent, row.contact, row.offered_at_us, media=self._has_media(row.channel)
            )
            work.place(self._lives.get(row.contact))
            work.restore(row)
            if row.state is not ReservationState.OFFERED:
                self._hold(row.agent, at_us, 0 if row.state is ReservationState.SUSPENDED else 1)

    def counts(self, queue: QueueId, channel: str) -> list[int]:
        """All counts since the fold began, indexed by Count."""
        cell = self._cells.get((queue, channel))
        return list(cell.total) if cell else [0] * len(Count)

    def intervals(self, queue: QueueId, channel: str) -> list[tuple[int, list[int]]]:
        """(start of the interval in µs, counts) of the kept intervals that had arrivals."""
        cell = self._cells.get((queue, channel))
        rows = cell.intervals.items() if cell else ()
        return [(number * INTERVAL_US, list(counts)) for number, counts in rows]

    def all_intervals(self) -> Iterator[tuple[QueueId, str, int, list[int]]]:
        """(queue, channel, number of the interval, counts) of all that are kept."""
        for (queue, channel), cell in self._cells.items():
            for number, counts in cell.intervals.items():
                yield queue, channel, number, counts

    def unsettled(self) -> Iterator[int]:
        """Intervals of waits that go on, and of those that an agent serves."""
        for life in self._lives.values():
            if life.waiting:
                yield life.interval
        for work in self._work.values():
            yield work.interval

    def shifts(self) -> Iterator[tuple[AgentId, Shift]]:
        """The agents and their numbers, times summed up to `Shift.since_us`."""
        yield from self._agents.items()

    def shift(self, agent: AgentId, now_us: int) -> dict[str, object]:
        """One agent's numbers as JSON; empty for one that is not known."""
        found = self._agents.get(agent)
        return found.until(now_us).numbers() if found is not None else {}

    def snapshot(self, now_us: int) -> dict[str, object]:
        """All measures as JSON: `totals`, `queues` by id and channel (the last day), `agents`."""
        queues: dict[str, dict[str, object]] = {}
        recent = [0] * len(Count)
        for (queue, channel), cell in sorted(self._cells.items()):
            cell.prune(now_us // INTERVAL_US)
            recent = [a + b for a, b in zip(recent, cell.recent, strict=True)]
            queues.setdefault(queue, {})[channel] = cell.numbers(now_us)
        shifts = {id_: shift.until(now_us) for id_, shift in sorted(self._agents.items())}
        presence = dict.fromkeys((p.value for p in Presence), 0)
        for shift in shifts.values():
            presence[shift.presence.value] += 1
        handling_us = sum(shift.handling_us for shift in shifts.values())
        available_us = sum(shift.available_us for shift in shifts.values())
        totals: dict[str, object] = {
            "received": self.received,
            **{outcome.value: count for outcome, count in self.closed.items()},
            "live": sum(self._live.values()),
            "by_state": {state.value: count for state, count in self._live.items() if count},
            "consults": self.consults,
            "waiting": sum(len(cell.waiting) for cell in self._cells.values()),
            "agents": presence,
            "occupancy": ratio(handling_us, handling_us + available_us),
            "goal": overall_goal(self._cells.values()),
            "day": rates(recent),
        }
        return {
            "at_us": now_us,
            "since_us": self.since_us,
            "kept_us": INTERVAL_US * KEPT_INTERVALS,
            "totals": totals,
            "queues": queues,
            "agents": {id_: shift.numbers() for id_, shift in shifts.items()},
        }

    def _received(self, event: e.ContactReceived) -> None:
        consult = bool(event.consult_of)
        self._enter(event.contact, event.queue, event.channel, consult=consult)

    def _queued(self, event: e.ContactQueued) -> None:
        life = self._lives.get(event.contact)
        if life is None:
            return
        start_us, moved = event.at_us, False
        if life.waiting:
            start_us, moved = life.start_us, True
            self._end(event.contact, life, Count.OVERFLOWED, event.at_us)
        life.queue = event.queue
        self._move(life, ContactState.QUEUED)
        self._begin(event.contact, life, event.at_us, start_us, moved=moved)

    def _moved(self, event: e.ContactOverflowed | e.ContactSwitched) -> None:
        life = self._lives.get(event.contact)
        if life is None:
            return
        switched = isinstance(event, e.ContactSwitched)
        waited = life.waiting
        self._end(
            event.contact, life, Count.SWITCHED if switched else Count.OVERFLOWED, event.at_us
        )
        life.queue = event.queue
        if isinstance(event, e.ContactSwitched):
            life.channel = event.channel
        if waited:
            self._begin(event.contact, life, event.at_us, life.start_us, moved=True)

    def _returned(self, event: e.ContactReturned) -> None:
        life = self._lives.get(event.contact)
        if life is None:
            return
        self._move(life, ContactState.QUEUED)
        if not life.waiting:
            self._begin(event.contact, life, event.at_us, event.at_us)

    def _scheduled(self, event: e.ContactScheduled) -> None:
        life = self._lives.get(event.contact)
        if life is not None:
            self._end(event.contact, life, Count.WITHDRAWN, event.at_us)
            self._move(life, ContactState.SCHEDULED)

    def _parked(self, event: e.ContactParked) -> None:
        life = self._lives.get(event.contact)
        if life is not None:
            self._move(life, ContactState.PARKED)

    def _closed(self, event: e.ContactClosed) -> None:
        life = self._lives.get(event.contact)
        if life is None:
            return
        if life.state is ContactState.RECEIVED:
            # Turned away at the door (queue full, closed): it came to this queue all the same.
            self._begin(event.contact, life, event.at_us, event.at_us)
        self._end(event.contact, life, Count[event.outcome.name], event.at_us)
        self._live[life.state] -= 0 if life.consult else 1
        self.closed[event.outcome] += 0 if life.consult else 1
        del self._lives[event.contact]

    def _offered(self, event: e.ContactOffered) -> None:
        media = self._has_media(event.channel)
        work = Work(event.agent, event.contact, event.at_us, media=media)
        self._work[event.reservation] = work
        life = self._lives.get(event.contact)
        work.place(life)
        if life is not None:
            self._move(life, ContactState.OFFERED)
        work.count(Count.OFFERS)
        self._shift(event.agent, event.at_us).offers += 1

    def _accepted(self, event: e.OfferAccepted) -> None:
        work = self._work.get(event.reservation)
        if work is None:
            return
        life = self._lives.get(work.contact)
        if life is not None:
            self._move(life, ContactState.ACTIVE)
        work.turn("connecting", event.at_us)
        work.count(Count.ACCEPTED)
        self._hold(work.agent, event.at_us, 1).accepted += 1
        if not work.media:
            self._connect(work, event.at_us)

    def _declined(self, event: e.OfferRejected | e.OfferExpired | e.OfferRescinded) -> None:
        work = self._work.pop(event.reservation, None)
        if work is None:
            return
        shift = self._shift(work.agent, event.at_us)
        if isinstance(event, e.OfferExpired):
            work.count(Count.MISSED)
            shift.missed += 1
        elif isinstance(event, e.OfferRejected):
            work.count(Count.REJECTED)
            shift.rejected += 1
        else:
            work.count(Count.RESCINDED)

    def _connected(self, event: e.ReservationConnected) -> None:
        work = self._work.get(event.reservation)
        if work is not None:
            self._connect(work, event.at_us)

    def _phase(self, event: _Phased) -> None:
        work = self._work.get(event.reservation)
        if work is None:
            return
        work.turn(PHASES[type(event)], event.at_us)
        if isinstance(event, e.ReservationSuspended):
            self._hold(work.agent, event.at_us, -1)
        elif isinstance(event, e.ReservationResumed):
            self._hold(work.agent, event.at_us, 1)

    def _transferred(self, event: e.ReservationMoved) -> None:
        work = self._work.get(event.reservation)
        if work is not None:
            work.contact = event.contact
            work.place(self._lives.get(event.contact))

    def _done(self, event: e.ReservationEnded | e.ReservationFailed) -> None:
        work = self._work.pop(event.reservation, None)
        if work is None:
            return
        phase = work.phase
        work.turn("done", event.at_us)
        shift = self._shift(work.agent, event.at_us)
        if phase not in ("offered", "suspended"):
            self._hold(work.agent, event.at_us, -1)
        elif phase == "offered":
            work.count(Count.RESCINDED)
        if work.connected:
            shift.handled += 1
            work.count(Count.HANDLED)
            for name, length_us in work.times.items():
                work.count(TIMED[name], length_us)
                shift.times[name] += length_us

    def _agent_put(self, event: e.AgentPut) -> None:
        self._shift(event.agent, event.at_us)

    def _agent_removed(self, event: e.AgentRemoved) -> None:
        self._agents.pop(event.agent, None)

    def _presence(self, event: e.PresenceChanged) -> None:
        shift = self._shift(event.agent, event.at_us)
        signs_in = shift.presence is Presence.OFFLINE and event.presence is not Presence.OFFLINE
        if signs_in and event.at_us - shift.presence_at_us >= SHIFT_GAP_US:
            held = shift.held
            shift = self._agents[event.agent] = Shift(event.presence, event.reason, event.at_us)
            shift.held = held
        shift.settle(event.at_us)
        shift.presence, shift.reason = event.presence, event.reason
        shift.presence_at_us = event.at_us

    def _enter(
        self,
        id_: ContactId,
        queue: QueueId,
        channel: str,
        state: ContactState = ContactState.RECEIVED,
        *,
        consult: bool,
    ) -> Life:
        life = self._lives[id_] = Life(queue, channel, consult, state)
        if consult:
            self.consults += 1
        else:
            self.received += 1
            self._live[state] += 1
        return life

    def _move(self, life: Life, state: ContactState) -> None:
        if not life.consult:
            self._live[life.state] -= 1
            self._live[state] += 1
        life.state = state

    def _begin(
        self, id_: ContactId, life: Life, at_us: int, start_us: int, *, moved: bool = False
    ) -> None:
        if life.consult or not life.queue:
            return
        key = (life.queue, life.channel)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Cell(self._kept)
            self._set(cell, *key)
        life.cell, life.interval, life.start_us = cell, at_us // INTERVAL_US, start_us
        life.due_us = cell.hours.add_open(start_us, cell.target_us)
        life.waiting = True
        if life.interval not in cell.intervals:
            cell.open(life.interval)
        cell.waiting[id_] = start_us
        cell.count(life.interval, Count.RECEIVED)
        if moved:
            cell.count(life.interval, Count.MOVED_IN)
        if life.repeat:
            cell.count(life.interval, Count.REPEAT)

    def _end(self, id_: ContactId, life: Life, end: Count, at_us: int) -> None:
        cell = life.cell
        if not life.waiting or cell is None:
            return
        life.waiting = False
        del cell.waiting[id_]
        cell.count(life.interval, end)
        if end is Count.ANSWERED:
            life.repeat = True
            cell.count(life.interval, Count.WAIT_US, at_us - life.start_us)
            cell.count(life.interval, Count.ANSWERED_IN_TARGET, int(at_us <= life.due_us))
        elif end is Count.ABANDONED:
            short = at_us - life.start_us < cell.short_us
            cell.count(life.interval, Count.SHORT_ABANDONED, int(short))
            cell.count(life.interval, Count.ABANDONED_IN_TARGET, int(at_us <= life.due_us))

    def _connect(self, work: Work, at_us: int) -> None:
        work.turn("talk", at_us)
        work.connected = True
        life = self._lives.get(work.contact)
        if life is not None:
            self._end(work.contact, life, Count.ANSWERED, at_us)

    def _shift(self, agent: AgentId, at_us: int) -> Shift:
        shift = self._agents.get(agent)
        if shift is None:
            shift = self._agents[agent] = Shift(Presence.OFFLINE, "", at_us)
        return shift

    def _hold(self, agent: AgentId, at_us: int, by: int) -> Shift:
        shift = self._shift(agent, at_us)
        shift.settle(at_us)
        shift.held = max(shift.held + by, 0)
        return shift

    def _has_media(self, channel: str) -> bool:
        settings = self._policy.channels.get(channel)
        return settings is not None and settings.media

    def _set(self, cell: Cell, queue: QueueId, channel: str) -> None:
        settings = self._policy.channels.get(channel)
        if settings is not None:
            cell.target_us, cell.short_us = settings.target_us, settings.short_abandon_us
        line = self._policy.queues.get(queue)
        if line is not None:
            cell.target_us = line.targets_us.get(channel, cell.target_us)
            cell.goal = line.goal
            cell.hours = self._hours.get(line.hours, ALWAYS)


TIMED = {"talk": Count.TALK_US, "hold": Count.HOLD_US, "wrap": Count.WRAP_US}

PHASES: dict[type, str] = {
    e.ReservationConnecting: "connecting",
    e.ReservationSuspended: "suspended",
    e.ReservationResumed: "talk",
    e.CustomerHeld: "hold",
    e.CustomerResumed: "talk",
    e.WrapUpStarted: "wrap",
}

HANDLERS: dict[type, Callable[..., None]] = {
    e.ContactReceived: Measures._received,
    e.ContactQueued: Measures._queued,
    e.ContactOverflowed: Measures._moved,
    e.ContactSwitched: Measures._moved,
    e.ContactReturned: Measures._returned,
    e.ContactScheduled: Measures._scheduled,
    e.ContactParked: Measures._parked,
    e.ContactClosed: Measures._closed,
    e.ContactOffered: Measures._offered,
    e.OfferAccepted: Measures._accepted,
    e.OfferRejected: Measures._declined,
    e.OfferExpired: Measures._declined,
    e.OfferRescinded: Measures._declined,
    e.ReservationConnected: Measures._connected,
    **dict.fromkeys(PHASES, Measures._phase),
    e.ReservationMoved: Measures._transferred,
    e.ReservationEnded: Measures._done,
    e.ReservationFailed: Measures._done,
    e.AgentPut: Measures._agent_put,
    e.AgentRemoved: Measures._agent_removed,
    e.PresenceChanged: Measures._presence,
}
"""By event; the others change no measure (a test holds the list of them)."""
