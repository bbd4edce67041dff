"""All that is true, and the only code that changes it: `apply(event)`.

Rows (contacts, reservations, agents, totals, estimates, counts of rules, pauses) are what is
stored; the indexes (waiting, roster, timers) are kept beside them by the same handlers and rebuilt
from the rows at start.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from router.core import events as e
from router.core.capacity import next_ramp_us
from router.core.estimates import QueueEstimate
from router.core.matching import Matcher
from router.core.model import (
    Agent,
    AgentId,
    Contact,
    ContactId,
    ContactState,
    Presence,
    QueueId,
    Reservation,
    ReservationId,
    Totals,
)
from router.core.pauses import ChannelPause
from router.core.policy import Channel, Policy
from router.core.queues import Entry, Positions, Waiting
from router.core.record import Row
from router.core.roster import Roster, Seat
from router.core.rule_counts import RULE, SEGMENT, RuleCount, count_id, counted
from router.core.schedule import OpenHours
from router.core.timers import TimerKey, Timers

ROWS: dict[str, type[Row]] = {
    "contact": Contact,
    "reservation": Reservation,
    "agent": Agent,
    "totals": Totals,
    "estimate": QueueEstimate,
    "rule": RuleCount,
    "pause": ChannelPause,
}

Due = tuple[int, int, ContactId, int]
"""(at, arrival number, contact, visit): a contact's turn with a timer that many contacts share."""


class Changes(NamedTuple):
    """What changed since the last `drain`: the rows of the next commit."""

    upserts: list[tuple[str, str, Row]]
    deletes: list[tuple[str, str]]
    closed: list[Contact]


class State:
    """One workspace's state and its indexes."""

    def __init__(self) -> None:
        self.policy = Policy(version="")
        self.contacts: dict[ContactId, Contact] = {}
        self.reservations: dict[ReservationId, Reservation] = {}
        self.agents: dict[AgentId, Agent] = {}
        self.totals = Totals()
        self.estimates: dict[str, QueueEstimate] = {}
        self.rule_counts: dict[str, RuleCount] = {}
        self.pauses: dict[str, ChannelPause] = {}
        """Channels of which nobody is offered anything."""
        self.by_external: dict[tuple[str, str], ContactId] = {}
        self.by_peer: dict[str, ContactId] = {}
        self.by_customer: dict[str, ContactId | dict[ContactId, None]] = {}
        """The live contact of each customer, or all of them in their order; see `contacts_of`."""
        self.attached: dict[str, ReservationId] = {}
        """Whose conversation a monitor or recording hangs on, by its id."""
        self.roster = Roster()
        self._waiting = Waiting()
        self._positions = Positions()
        self._timers = Timers()
        self._entering: dict[ContactId, tuple[Contact, int]] = {}
        """Who has come into a line, and when, and is indexed once somebody looks there."""
        self.matcher = Matcher(self.roster, self._waiting)
        self.hours: dict[QueueId, OpenHours] = {}
        self.ramps: tuple[Channel, ...] = ()
        self.delays: dict[QueueId, tuple[int, ...]] = {}
        self.dues: dict[TimerKey, list[Due]] = {}
        self._dirty: dict[tuple[str, str], Row | None] = {}
        self._closed: list[Contact] = []
        self.closed_external: dict[tuple[str, str], ContactId] = {}
        """External ids of contacts closed since the last `drain`: no archive knows them yet."""

    # -- the outside --------------------------------------------------------------------------

    def apply(self, event: e.Event) -> None:
        """Make the event true."""
        APPLY[type(event)](self, event)

    def load(self, kind: str, row: Row) -> None:
        """Take one stored row; `restart.lay_out` when all are in."""
        if isinstance(row, Contact):
            self.contacts[row.id] = row
        elif isinstance(row, Reservation):
            self.reservations[row.id] = row
        elif isinstance(row, Agent):
            self.agents[row.id] = row
        elif isinstance(row, Totals):
            self.totals = row
        elif isinstance(row, QueueEstimate):
            self.estimates[row.id] = row
        elif isinstance(row, RuleCount):
            self.rule_counts[row.id] = row
        elif isinstance(row, ChannelPause):
            self.pauses[row.channel] = row
        else:
            raise TypeError(f"no state row {kind!r}")

    def drain(self) -> Changes:
        """Rows that changed since the last call."""
        upserts: list[tuple[str, str, Row]] = []
        deletes: list[tuple[str, str]] = []
        for (kind, id_), row in self._dirty.items():
            if row is None:
                deletes.append((kind, id_))
            else:
                upserts.append((kind, id_, row))
        closed, self._closed = self._closed, []
        self.closed_external = {}
        self._dirty = {}
        return Changes(upserts, deletes, closed)

    def use(self, policy: Policy, now_us: int) -> None:
        """New settings: indexes are laid out anew, keys and places stay."""
        waiting = [entry.contact for entry in self.waiting.entries.values()]
        for contact in waiting:
            self.leave_line(contact)
        self.policy = policy
        self.ramps = tuple(c for c in policy.channels.values() if c.ramp_us)
        self.roster.use(policy, now_us)
        self.matcher.use(policy)
        compiled = {id_: OpenHours(hours) for id_, hours in policy.hours.items()}
        always = OpenHours(None)
        self.hours = {
            queue.id: compiled[queue.hours] if queue.hours else always
            for queue in policy.queues.values()
        }
        delays: dict[QueueId, dict[int, None]] = {}
        for profile in policy.profiles.values():
            for served in profile.queues:
                delays.setdefault(served.queue, {})[served.delay_us] = None
        self.delays = {queue: tuple(sorted(found)) for queue, found in delays.items()}
        for queue_id in policy.queues:
            self.turn_hours(queue_id, now_us)
        for contact in waiting:
            self.enter_line(contact, now_us)

    def reshelve(self, seat: Seat, now_us: int) -> None:
        """Off the shelf and on the one that fits now; the ramp's next step on the clock."""
        self.roster.unshelve(seat)
        self.shelve(seat, now_us)

    def shelve(self, seat: Seat, now_us: int) -> None:
        """On the shelf that fits; the ramp's next step on the clock."""
        agent = seat.agent
        self.roster.shelve(seat, now_us)
        if not self.ramps or agent.presence is not Presence.READY:
            return
        for channel in self.ramps:
            at = next_ramp_us(agent, channel, now_us)
            if at is not None:
                self.timers.set(("ramp", agent.id, channel.name), at)

    # -- lines and shared timers --------------------------------------------------------------

    @property
    def waiting(self) -> Waiting:
        """Whoever waits, and where agents can reach them."""
        if self._entering:
            self.lay_out_lines()
        return self._waiting

    @property
    def positions(self) -> Positions:
        """Who stands where in which line."""
        if self._entering:
            self.lay_out_lines()
        return self._positions

    @property
    def timers(self) -> Timers:
        """What happens by itself, and when."""
        if self._entering:
            self.lay_out_lines()
        return self._timers

    def enter_line(self, contact: Contact, now_us: int) -> None:
        """The contact begins to wait, or waits again.

        Who is offered to an agent at once is looked for in no line: the work of indexing it, and
        of taking it out again, is done only when somebody looks.
        """
        self._entering[contact.id] = (contact, now_us)

    def lay_out_lines(self) -> None:
        """Index whoever has come into a line since somebody looked, with the timers of waiting."""
        if self._entering:
            entering, self._entering = self._entering, {}
            for contact, now_us in entering.values():
                self._positions.add(self.enter(contact, now_us))

    def enter(self, contact: Contact, now_us: int) -> Entry:
        """Index a contact that waits, but for its position: a start adds those of all at once."""
        entry = self._stand(contact, now_us)
        queue = self.policy.queues[contact.queue]
        if contact.step < len(queue.steps):
            self.push_step(contact, contact.visit_at_us + queue.steps[contact.step].after_us)
        if queue.longest_wait_us:
            self.push_due(("late", queue.id), contact.visit_at_us + queue.longest_wait_us, contact)
        every_us = queue.treatment.every_us
        if every_us:
            # A grid from the start of the visit: a returned contact meets its own entry again.
            turn = (now_us - contact.visit_at_us) // every_us + 1
            self.push_due(("treat", queue.id), contact.visit_at_us + turn * every_us, contact)
        return entry

    def stand(self, contact: Contact, now_us: int) -> None:
        """Index a waiting contact by what it is now; `leave_line` before changing that."""
        self.positions.add(self._stand(contact, now_us))

    def _stand(self, contact: Contact, now_us: int) -> Entry:
        entry = self.waiting.add(contact)
        if contact.target_agent:
            self.waiting.keep_for(entry, contact.target_agent)
        elif contact.hold_agent:
            self.waiting.keep_for(entry, contact.hold_agent)
            for delay_us in self.delays.get(contact.queue, ()):
                if now_us < contact.visit_at_us + delay_us:
                    key = ("delay", contact.queue, str(delay_us))
                    self.push_due(key, contact.visit_at_us + delay_us, contact)
            self.timers.set(("hold", contact.id), contact.hold_until_us)
        else:
            self._place(entry, now_us)
        if contact.not_after_us:
            self.set_window(contact, contact.not_after_us)
        return entry

    def set_window(self, contact: Contact, at_us: int) -> None:
        """A calendar moment at which the contact's window opens or closes."""
        self.timers.set(("window", contact.id), at_us - self.totals.clock_offset_us)

    def step_clock(self, by_us: int) -> None:
        """The wall clock was set: what hangs on the calendar is due at another moment now."""
        self.totals.clock_offset_us += by_us
        self.touch_totals()
        for contact in self.contacts.values():
            if contact.state is ContactState.SCHEDULED:
                self.set_window(contact, contact.not_before_us)
            elif contact.state is ContactState.QUEUED and contact.not_after_us:
                self.set_window(contact, contact.not_after_us)

    def push_step(self, contact: Contact, at_us: int) -> None:
        """The contact's next relaxation step is due at."""
        self.push_due(("step", contact.queue, str(contact.step)), at_us, contact)

    def offered_from_line(self, contact: Contact) -> None:
        """The contact waits no more; if it waits again, it comes back by `enter_line`."""
        if self._entering.pop(contact.id, None) is None:
            self.leave_line(contact)

    def leave_line(self, contact: Contact) -> None:
        """The contact waits no more. Before anything that its place depends on is changed."""
        self.positions.remove(self.waiting.remove(contact))
        if contact.hold_agent:
            self.timers.cancel(("hold", contact.id))
        if contact.not_after_us:
            self.timers.cancel(("window", contact.id))

    def place(self, contact: Contact, now_us: int) -> None:
        """Put a waiting contact into every line in which its waiting time allows it to stand."""
        self._place(self.waiting.entries[contact.id], now_us)

    def _place(self, entry: Entry, now_us: int) -> None:
        contact = entry.contact
        waited = now_us - contact.visit_at_us
        queues: tuple[QueueId, ...] = (contact.queue,)
        # A queue's own line is not read while it is closed; others must not be, either.
        if contact.extra_queues and contact.queue not in self.matcher.closed:
            queues += contact.extra_queues
        for name in queues:
            for delay_us in self.delays.get(name, ()):
                if waited >= delay_us:
                    self.waiting.place(entry, self.waiting.line(name, contact.channel, delay_us))
                else:
                    key = ("delay", name, str(delay_us))
                    self.push_due(key, contact.visit_at_us + delay_us, contact)

    def turn_hours(self, queue: QueueId, now_us: int) -> bool:
        """Open or close a queue as its hours say at this moment; true when it changed."""
        hours = self.hours[queue]
        offset_us = self.totals.clock_offset_us
        edge = hours.next_edge(now_us + offset_us)
        if edge is None:
            self.timers.cancel(("hours", queue))
        else:
            self.timers.set(("hours", queue), edge - offset_us)
        closed = not hours.is_open(now_us + offset_us)
        if closed == (queue in self.matcher.closed):
            return False
        borrowed = [
            entry.contact
            for entry in self.waiting.entries.values()
            if entry.contact.queue == queue and entry.contact.extra_queues
        ]
        for contact in borrowed:
            self.leave_line(contact)
        self.matcher.set_closed(queue, closed)
        for contact in borrowed:
            self.stand(contact, now_us)
        return True

    def push_due(self, key: TimerKey, at_us: int, contact: Contact) -> None:
        """Join a timer that many contacts share."""
        heap = self.dues.get(key)
        if heap is None:
            heap = self.dues[key] = []
        if len(heap) > 1000 + 4 * len(self.waiting.entries):
            # Those who were served at once leave entries behind that are due much later.
            live = dict.fromkeys(due for due in heap if not self._is_stale(due))
            heap[:] = live
            heapify(heap)
        heappush(heap, (at_us, contact.arrival_no, contact.id, contact.visit_no))
        if heap[0][0] == at_us:
            self.timers.set(key, at_us)

    def pop_due(self, key: TimerKey, now_us: int, most: int) -> list[Contact]:
        """Waiting contacts whose turn has come, at most `most`; sets the timer for the next one."""
        heap = self.dues.get(key, [])
        found: list[Contact] = []
        while heap and (heap[0][0] <= now_us or self._is_stale(heap[0])):
            if len(found) >= most:
                break
            due = heappop(heap)
            if not self._is_stale(due) and (not found or found[-1].id != due[2]):
                found.append(self.contacts[due[2]])
        if heap:
            self.timers.set(key, heap[0][0])
        else:
            self.dues.pop(key, None)
        return found

    def _is_stale(self, due: Due) -> bool:
        contact = self.contacts.get(due[2])
        return (
            contact is None
            or contact.state is not ContactState.QUEUED
            or contact.visit_no != due[3]
        )

    # -- what handlers share ------------------------------------------------------------------

    def touch(self, contact: Contact) -> None:
        """The contact's row changed."""
        contact.version += 1
        self._dirty["contact", contact.id] = contact

    def touch_reservation(self, reservation: Reservation) -> None:
        """The reservation's row changed."""
        self._dirty["reservation", reservation.id] = reservation

    def touch_agent(self, agent: Agent) -> None:
        """The agent's row changed."""
        self._dirty["agent", agent.id] = agent

    def touch_totals(self) -> None:
        """A counter moved."""
        self._dirty["totals", ""] = self.totals

    def estimate(self, queue: QueueId, channel: str) -> QueueEstimate:
        """What this queue and channel have taught about waits; its row counts as changed."""
        id_ = f"{queue}/{channel}"
        row = self.estimates.get(id_)
        if row is None:
            row = self.estimates[id_] = QueueEstimate(id=id_)
        self._dirty["estimate", id_] = row
        return row

    def count_match(self, kind: str, name: str, at_us: int) -> None:
        """A rule or segment has matched."""
        id_ = count_id(kind, name)
        row = self.rule_counts.get(id_)
        if row is None:
            row = self.rule_counts[id_] = RuleCount(id=id_, name=name)
        counted(row, at_us)
        self._dirty["rule", id_] = row

    def pause(self, channel: str, row: ChannelPause | None) -> None:
        """Nobody is offered anything of the channel; None = as always again."""
        if row is None:
            del self.pauses[channel]
        else:
            self.pauses[channel] = row
        self._dirty["pause", channel] = row
        self.roster.pause(self.pauses)

    def forget_counts(self) -> None:
        """Counts of rules and segments that the settings do not have any more are gone."""
        book = self.policy.rules
        kept = dict.fromkeys(count_id(RULE, rule.name) for rule in book.rules)
        kept |= dict.fromkeys(count_id(SEGMENT, segment.name) for segment in book.segments)
        for id_ in [id_ for id_ in self.rule_counts if id_ not in kept]:
            del self.rule_counts[id_]
            self.drop("rule", id_)

    def drop(self, kind: str, id_: str) -> None:
        """A row is gone."""
        self._dirty[kind, id_] = None

    def close(self, contact: Contact) -> None:
        """The contact leaves memory; its row goes to the archive with the next commit."""
        del self.contacts[contact.id]
        self.drop("contact", contact.id)
        self._closed.append(contact)
        if contact.external_id:
            self.closed_external[contact.channel, contact.external_id] = contact.id
        if self.by_external.get((contact.channel, contact.external_id)) == contact.id:
            del self.by_external[contact.channel, contact.external_id]
        if self.by_peer.get(contact.peer_key) == contact.id:
            del self.by_peer[contact.peer_key]
        if contact.customer:
            self.unlink_customer(contact)
        for kind in ("window", "silence", "close"):
            self.timers.cancel((kind, contact.id))
        for agent in contact.excluded:
            self.timers.cancel(("cool", contact.id, agent))

    def contacts_of(self, customer: str) -> tuple[ContactId, ...]:
        """The customer's live contacts, in the order in which they became theirs."""
        held = self.by_customer.get(customer)
        if held is None:
            return ()
        return tuple(held) if isinstance(held, dict) else (held,)

    def link_customer(self, contact: Contact) -> None:
        """The contact is one of its customer's; not to be called where it has none."""
        held = self.by_customer.setdefault(contact.customer, contact.id)
        if held is contact.id:
            return
        if isinstance(held, dict):
            held[contact.id] = None
        elif held != contact.id:
            self.by_customer[contact.customer] = {held: None, contact.id: None}

    def unlink_customer(self, contact: Contact) -> None:
        """The contact is this customer's no more."""
        held = self.by_customer[contact.customer]
        if isinstance(held, dict):
            del held[contact.id]
            if not held:
                del self.by_customer[contact.customer]
        else:
            del self.by_customer[contact.customer]

    def unshelve(self, agent: AgentId) -> Seat:
        """Take the agent off the roster's shelf before its load or presence changes."""
        seat = self.roster.seats[agent]
        self.roster.unshelve(seat)
        return seat


Handler = Callable[[State, Any], None]
APPLY: dict[type, Handler] = {}


def applies(event: type) -> Callable[[Handler], Handler]:
    """Register the one handler of an event type; `apply_*.py` files do so when imported."""

    def register(handler: Handler) -> Handler:
        assert event not in APPLY, f"{event.__name__} has a handler"
        APPLY[event] = handler
        return handler

    return register
