"""The wallboard's picture of a workspace: kept by the events, shown as whole objects that changed.

Made when the first supervisor (or queue listing) asks, and kept from then on: an event costs about
a microsecond, a look costs what has changed since the last one.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from router.api.naming import agent_of, contact_of, reservation_of
from router.api.pause_watch import CHANGES
from router.api.views import View
from router.core import events as e
from router.core.edges import Edges
from router.core.model import (
    AgentId,
    Contact,
    ContactId,
    ContactState,
    Direction,
    Presence,
    QueueId,
    ReservationState,
)

if TYPE_CHECKING:
    from router.api.tenant import Tenant
    from router.api.websocket import Link

DELTA_S = 0.25
CHANNELS_S = 1.0
"""Channels come and go without a commit: somebody has to look."""
NUMBERS_US = 1_000_000
"""Measures are folded into numbers at most so often: that costs what waits."""
CONTACTS = 2_000
EVENTS = 50
SHOWN = frozenset({ContactState.QUEUED, ContactState.OFFERED, ContactState.ACTIVE})
TOLD = (
    e.ContactOffered, e.OfferAccepted, e.OfferRejected, e.OfferExpired, e.OfferRescinded,
    e.ReservationFailed, e.PresenceChanged, e.AgentLost, e.AgentBack, e.ContactClosed,
    e.ContactOverflowed, e.CommandDeadLettered, e.PolicyApplied, e.EffectSettled, *CHANGES,
)  # fmt: skip


class BoardChannelNumbers(View):
    """A queue on one channel."""

    waiting: int = 0
    oldest_at_us: int = 0
    active: int = 0
    ewt_us: int = -1
    target_us: int = 0
    service_level: float | None = None
    received: int = 0
    answered: int = 0
    abandoned: int = 0
    short_abandoned: int = 0
    arrivals: list[int] = []
    waiting_ages: list[int] = []


class BoardQueue(View):
    """A queue as the wallboard shows it."""

    id: str
    open: bool = True
    waiting: int = 0
    oldest_at_us: int = 0
    active: int = 0
    parked: int = 0
    scheduled: int = 0
    agents_ready: int = 0
    by_channel: dict[str, BoardChannelNumbers] = {}
    ewt_us: int = -1
    service_level: float | None = None
    goal: float = 0.0
    """Of the service level, 0..1."""
    received: int = 0
    answered: int = 0
    abandoned: int = 0


class BoardReservation(View):
    """What an agent is doing."""

    id: str
    contact: str
    channel: str
    queue: str
    state: ReservationState
    since_at_us: int = 0


class BoardAgent(View):
    """An agent as the wallboard shows it."""

    id: str
    presence: Presence
    name: str = ""
    reason: str = ""
    presence_at_us: int = 0
    profile: str = ""
    capacity: int = 0
    load: int = 0
    by_channel: dict[str, int] = {}
    reservations: list[BoardReservation] = []
    lost_at_us: int = 0


class BoardContact(View):
    """A live contact as the wallboard shows it: no addresses, no texts."""

    id: str
    channel: str
    state: ContactState
    direction: Direction = Direction.INBOUND
    queue: str = ""
    tier: int = 0
    due_at_us: int = 0
    head_start_us: int = 0
    created_at_us: int = 0
    visit_at_us: int = 0
    answered_at_us: int = 0
    segment: str = ""
    segment_reason: str = ""
    watched: bool = False
    watched_for: str = ""
    """``customer`` (all contacts of theirs are watched), ``segment loyal``, ``rule complaints``, or
    the name of whoever asked for it; empty = nobody was named."""
    step: int = 0
    agent: str = ""
    reservation: str = ""
    requirements: dict[str, int] = {}


class BoardTotals(View):
    """The whole workspace."""

    waiting: int = 0
    active: int = 0
    parked: int = 0
    scheduled: int = 0
    oldest_at_us: int = 0
    agents: dict[str, int] = {}
    received: int = 0
    answered: int = 0
    abandoned: int = 0
    service_level: float | None = None
    goal: float | None = None
    """Of the service level: the queues' goals, weighted by what counts in their levels."""


class _Place:
    """Counts of one queue and channel."""

    __slots__ = ("counts", "oldest")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(ContactState, 0)
        self.oldest: list[tuple[int, ContactId]] = []
        """Heap of (visit began, contact) of waiting ones; stale entries are dropped when met."""


Seen = tuple[QueueId, str, ContactState, int]


class Board:
    """One workspace's picture."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._seen: dict[ContactId, Seen] = {}
        self._places: dict[tuple[QueueId, str], _Place] = {}
        self._shown: dict[ContactId, None] = {}
        self._links: dict[Link, None] = {}
        self._queues: dict[QueueId, None] = {}
        self._agents: dict[AgentId, None] = {}
        self._contacts: dict[ContactId, None] = {}
        self._events: deque[Any] = deque(maxlen=EVENTS)
        self._changed = False
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._numbers: dict[str, Any] = {}
        self._numbers_at_us = 0
        self._known: dict[str, dict[str, Any]] = {"queues": {}, "agents": {}}
        self._channels: list[dict[str, Any]] = []
        for id_ in tenant.state.contacts:
            self._touch(id_)
        self._forget_changes()

    # --- events ---------------------------------------------------------------------------------

    def follow(self, first_seq: int, events: Sequence[e.Event]) -> None:
        """A commit happened; the state is that of right after it."""
        owners = self._tenant.hub.owners
        for event in events:
            if contact := contact_of(event):
                self._touch(contact)
            if agent := agent_of(event) or owners.get(reservation_of(event)):
                self._agents[agent] = None
            if type(event) in TOLD:
                self._events.append(event)
            if type(event) in CHANGES:  # the estimates of all queues
                self._queues |= dict.fromkeys(self._tenant.policy.queues)
        self._changed = True
        if self._links and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELTA_S, self._tell)

    def _touch(self, id_: ContactId) -> None:
        """Move a contact from where it was counted to where it is."""
        row = self._tenant.state.contacts.get(id_)
        old = self._seen.get(id_)
        new = None if row is None else (row.queue, row.channel, row.state, row.visit_at_us)
        self._contacts[id_] = None
        if row is not None and (row.state in SHOWN or row.watched):
            if len(self._shown) < CONTACTS:
                self._shown[id_] = None
        else:
            self._shown.pop(id_, None)
        if new == old:
            return
        if old is not None:
            place = self._places[old[0], old[1]]
            place.counts[old[2]] -= 1
            self._queues[old[0]] = None
        if new is None:
            del self._seen[id_]
            return
        self._seen[id_] = new
        place_of = self._places.get((new[0], new[1]))
        if place_of is None:
            place_of = self._places[new[0], new[1]] = _Place()
        place_of.counts[new[2]] += 1
        if new[2] in WAITING:
            heapq.heappush(place_of.oldest, (new[3], id_))
        self._queues[new[0]] = None

    def _oldest(self, queue: QueueId, channel: str, place: _Place) -> int:
        heap = place.oldest
        while heap:
            at_us, id_ = heap[0]
            seen = self._seen.get(id_)
            if seen and seen[2] in WAITING and seen == (queue, channel, seen[2], at_us):
                return at_us
            heapq.heappop(heap)
        return 0

    # --- supervisors ----------------------------------------------------------------------------

    def join(self, link: Link) -> None:
        """A wallboard has its snapshot; deltas follow."""
        if not self._links:
            self._forget_changes()
        self._links[link] = None
        if self._look is None:
            self._look_again()

    def leave(self, link: Link) -> None:
        """A wallboard is gone."""
        self._links.pop(link, None)
        if self._links:
            return
        for timer in (self._timer, self._look):
            if timer is not None:
                timer.cancel()
        self._timer = self._look = None

    def snapshot(self) -> dict[str, Any]:
        """Everything."""
        self._measure()
        tenant = self._tenant
        return {
            "queues": self.queues(),
            "agents": [self.agent(id_) for id_ in tenant.state.agents],
            "contacts": [self._contact(tenant.state.contacts[id_]) for id_ in self._shown],
            "contacts_more": len(self._shown) >= CONTACTS,
            "channels": tenant.channels.states(),
            "totals": self.totals(),
        }

    def _tell(self) -> None:
        """One delta for everybody."""
        self._timer = None
        if not self._changed and not self._links:
            return
        self._measure()
        workspace, state = self._tenant.workspace, self._tenant.state
        gone = [id_ for id_ in self._contacts if id_ not in self._shown]
        agents_gone = [id_ for id_ in self._agents if id_ not in state.agents]
        frame: dict[str, Any] = {
            "type": "delta",
            "epoch": workspace.epoch,
            "seq": workspace.seq,
            "now_us": workspace.now_us(),
            "queues": [
                self.queue(id_) for id_ in self._queues if id_ in self._tenant.policy.queues
            ],
            "agents": [self.agent(id_) for id_ in self._agents if id_ in state.agents],
            "contacts": [
                self._contact(state.contacts[id_])
                for id_ in self._contacts
                if id_ in self._shown and id_ in state.contacts
            ],
            "totals": self.totals(),
            "gone": {"queues": [], "agents": agents_gone, "contacts": gone},
            "events": list(self._events),
        }
        channels = self._tenant.channels.states()
        if channels != self._channels:
            self._channels = frame["channels"] = channels
        self._forget_changes()
        self._send(frame)

    def _look_again(self) -> None:
        """A channel that went down is told, also where nothing is committed because of it."""
        self._look = asyncio.get_running_loop().call_later(CHANNELS_S, self._look_again)
        channels = self._tenant.channels.states()
        if channels != self._channels:
            self._channels = channels
            self._send({"type": "channels", "channels": channels})

    def _send(self, frame: dict[str, Any]) -> None:
        encoded: dict[bool, bytes] = {}
        for link in list(self._links):
            data = encoded.get(link.is_msgpack)
            if data is None:
                data = encoded[link.is_msgpack] = link.encode(frame)
            link.send(data)

    def _forget_changes(self) -> None:
        self._queues, self._agents, self._contacts = {}, {}, {}
        self._events.clear()
        self._changed = False

    # --- objects --------------------------------------------------------------------------------

    def _measure(self) -> None:
        now_us = self._tenant.workspace.now_us()
        if not self._numbers or now_us - self._numbers_at_us >= NUMBERS_US:
            self._numbers = self._tenant.measures.snapshot(now_us)
            self._numbers_at_us = now_us

    def queues(self) -> list[BoardQueue]:
        """All queues."""
        self._measure()
        return [self.queue(id_) for id_ in self._tenant.policy.queues]

    def queue(self, id_: QueueId) -> BoardQueue:
        """One queue."""
        tenant = self._tenant
        state, settings = tenant.state, tenant.policy.queues[id_]
        hours = state.hours.get(id_)
        edges = Edges(state)
        view = BoardQueue(id=id_)
        view.goal = settings.goal
        view.open = hours is None or hours.is_open(tenant.workspace.now_us())
        numbers: dict[str, Any] = self._numbers.get("queues", {}).get(id_, {})
        level = [0.0, 0.0]
        for name, channel in tenant.policy.channels.items():
            place = self._places.get((id_, name))
            measured = numbers.get(name)
            if place is None and measured is None:
                continue
            cell = self._cell(edges, id_, name, place, measured or {})
            cell.target_us = settings.targets_us.get(name, channel.target_us)
            view.by_channel[name] = cell
            view.waiting += cell.waiting
            view.active += cell.active
            view.received += cell.received
            view.answered += cell.answered
            view.abandoned += cell.abandoned
            view.ewt_us = max(view.ewt_us, cell.ewt_us)
            counted = cell.answered + cell.abandoned - cell.short_abandoned
            if cell.service_level is not None:
                level[0] += cell.service_level * counted
                level[1] += counted
            if cell.oldest_at_us:
                view.oldest_at_us = min(view.oldest_at_us or cell.oldest_at_us, cell.oldest_at_us)
            if place is not None:
                view.parked += place.counts[ContactState.PARKED]
                view.scheduled += place.counts[ContactState.SCHEDULED]
        view.service_level = level[0] / level[1] if level[1] else None
        view.agents_ready = sum(pool.ready for pool in state.matcher.pools(id_))
        return view

    def _cell(
        self,
        edges: Edges,
        queue: QueueId,
        channel: str,
        place: _Place | None,
        numbers: dict[str, Any],
    ) -> BoardChannelNumbers:
        cell = BoardChannelNumbers(
            service_level=numbers.get("service_level"),
            received=numbers.get("received", 0),
            answered=numbers.get("answered", 0),
            abandoned=numbers.get("abandoned", 0),
            short_abandoned=numbers.get("short_abandoned", 0),
            arrivals=numbers.get("arrivals", []),
            waiting_ages=numbers.get("waiting_ages", []),
        )
        if place is not None:
            counts = place.counts
            cell.waiting = counts[ContactState.QUEUED] + counts[ContactState.OFFERED]
            cell.active = counts[ContactState.ACTIVE]
            cell.oldest_at_us = self._oldest(queue, channel, place)
        cell.ewt_us = edges.wait_us(queue, channel, cell.waiting + 1)
        return cell

    def agent(self, id_: AgentId) -> BoardAgent:
        """One agent."""
        state = self._tenant.state
        row, seat = state.agents[id_], state.roster.seats[id_]
        held = list(seat.load.reservations.values())
        return BoardAgent(
            id=id_,
            presence=row.presence,
            name=row.name,
            reason=row.reason,
            presence_at_us=row.presence_at_us,
            profile=row.profile,
            capacity=row.capacity or self._tenant.policy.capacity,
            load=seat.load.units,
            by_channel={name: count for name, count in seat.load.counts.items() if count},
            reservations=[
                BoardReservation(
                    id=r.id,
                    contact=r.contact,
                    channel=r.channel,
                    queue=r.queue,
                    state=r.state,
                    since_at_us=r.wrap_at_us
                    or r.connected_at_us
                    or r.accepted_at_us
                    or r.offered_at_us,
                )
                for r in held
            ],
            lost_at_us=row.lost_at_us,
        )

    def _contact(self, row: Contact) -> BoardContact:
        reservation = row.reservations[0] if row.reservations else ""
        found = self._tenant.state.reservations.get(reservation)  # type: ignore[arg-type]  # "" = none
        return BoardContact(
            id=row.id,
            channel=row.channel,
            state=row.state,
            direction=row.direction,
            queue=row.queue,
            tier=row.tier,
            due_at_us=row.due_at_us,
            head_start_us=row.head_start_us,
            created_at_us=row.created_at_us,
            visit_at_us=row.visit_at_us,
            answered_at_us=row.answered_at_us,
            segment=row.segment,
            segment_reason=row.segment_reason,
            watched=row.watched,
            watched_for=row.watched_for,
            step=row.step,
            agent=found.agent if found else "",
            reservation=reservation,
            requirements=dict(row.requirements),
        )

    def totals(self) -> BoardTotals:
        """The whole workspace."""
        view = BoardTotals()
        for (queue, channel), place in self._places.items():
            counts = place.counts
            view.waiting += counts[ContactState.QUEUED] + counts[ContactState.OFFERED]
            view.active += counts[ContactState.ACTIVE]
            view.parked += counts[ContactState.PARKED]
            view.scheduled += counts[ContactState.SCHEDULED]
            oldest = self._oldest(queue, channel, place)
            if oldest:
                view.oldest_at_us = min(view.oldest_at_us or oldest, oldest)
        presences = dict.fromkeys((p.value for p in Presence), 0)
        for agent in self._tenant.state.agents.values():
            presences[agent.presence.value] += 1
        view.agents = presences
        totals: dict[str, Any] = self._numbers.get("totals", {})
        for cells in self._numbers.get("queues", {}).values():
            for cell in cells.values():
                view.received += cell.get("received", 0)
                view.answered += cell.get("answered", 0)
                view.abandoned += cell.get("abandoned", 0)
        view.service_level = totals.get("day", {}).get("service_level")
        view.goal = totals.get("goal")
        return view


WAITING = frozenset({ContactState.QUEUED, ContactState.OFFERED})
