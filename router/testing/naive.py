"""The auditor's own world: events folded into rows, and product rules read off them by plain scans.

Nothing of the engine is used here, only its vocabulary. Slow and obvious on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from router.core import events as e
from router.core.model import (
    FOR_EVER_US,
    Agent,
    AgentId,
    Contact,
    ContactId,
    ContactState,
    Presence,
    QueueId,
    Reservation,
    ReservationId,
    ReservationState,
)
from router.core.policy import Channel, Policy, Queue
from router.testing.open_minutes import OpenMinutes

SERVING = (
    ReservationState.ACCEPTED,
    ReservationState.CONNECTING,
    ReservationState.CONNECTED,
    ReservationState.SUSPENDED,
)


class World:
    """All rows as the events tell them. Handlers raise `KeyError` for what they do not know."""

    def __init__(self, policy: Policy) -> None:
        self.now_us = 0
        self.clock_offset_us = 0
        """How far the calendar has been set ahead of engine time since the start."""
        self.contacts: dict[ContactId, Contact] = {}
        """Live ones."""
        self.reservations: dict[ReservationId, Reservation] = {}
        """Open ones."""
        self.agents: dict[AgentId, Agent] = {}
        self.held: dict[AgentId, dict[ReservationId, Reservation]] = {}
        """Open reservations per agent."""
        self.paused: dict[str, e.ChannelPaused] = {}
        """Channels of which nobody may be offered anything."""
        self.use(policy)

    def use(self, policy: Policy) -> None:
        """New settings."""
        self.policy = policy
        self._hours = {name: OpenMinutes(hours) for name, hours in policy.hours.items()}

    def apply(self, event: e.Event) -> None:
        """What happened, happened."""
        self.now_us = event.at_us
        fold = FOLDS.get(type(event))
        if fold is not None:
            fold(self, event)

    # What the rows say, by the product's words.

    def channel(self, name: str) -> Channel:
        """Settings of a channel; one that is gone has none of its own."""
        return self.policy.channels.get(name) or Channel(name=name, cost=100, maximum=1)

    def hours(self, queue: Queue) -> OpenMinutes | None:
        """None = always open."""
        return self._hours[queue.hours] if queue.hours else None

    def is_open(self, queue: Queue) -> bool:
        """Whether the queue serves at this moment."""
        hours = self.hours(queue)
        return hours is None or hours.is_open(self.now_us + self.clock_offset_us)

    def load(self, agent: AgentId) -> int:
        """Units held."""
        return sum(r.units for r in self.held.get(agent, {}).values())

    def capacity(self, agent: Agent) -> int:
        """Units there are."""
        return agent.capacity or self.policy.capacity

    def counts(self, agent: AgentId, channel: str) -> int:
        """Open reservations of a channel, suspended ones too."""
        return sum(r.channel == channel for r in self.held.get(agent, {}).values())

    def most(self, agent: Agent, channel: Channel) -> int:
        """How many of a channel at once: the maximum, and what the log-on ramp has opened."""
        most = agent.maximum.get(channel.name, channel.maximum)
        if channel.ramp_us:
            most = min(most, 1 + (self.now_us - agent.ready_at_us) // channel.ramp_us)
        return most

    def room(self, agent: Agent, channel: Channel) -> int | None:
        """0 = true room, 1 = by interruption, None = no room."""
        if self.counts(agent.id, channel.name) >= self.most(agent, channel):
            return None
        free = self.capacity(agent) - self.load(agent.id)
        if free >= channel.cost:
            return 0
        free += sum(
            r.units
            for r in self.held[agent.id].values()
            if r.state is ReservationState.CONNECTED and r.channel in channel.interrupts
        )
        return 1 if free >= channel.cost else None

    def is_available(self, agent: Agent) -> bool:
        """Ready, and the desk is there."""
        return agent.presence is Presence.READY and not agent.lost_at_us

    def is_kept_from(self, agent: AgentId, contact: Contact) -> bool:
        """Excluded, cooling down, held for or sent to somebody else, or asked already."""
        if contact.excluded.get(agent, 0) > self.now_us:
            return True
        if contact.target_agent:
            if contact.target_agent != agent:
                return True
        elif contact.hold_agent not in ("", agent) and self.now_us < contact.hold_until_us:
            return True
        return any(r in self.held.get(agent, {}) for r in contact.reservations)

    def rank(self, agent: Agent, contact: Contact) -> int | None:
        """The least rank by which the profile reaches the contact now; None = it does not."""
        profile = self.policy.profiles.get(agent.profile)
        waited_us = self.now_us - contact.visit_at_us
        ranks = [
            entry.rank
            for entry in (profile.queues if profile else ())
            if waited_us >= entry.delay_us and self._is_reached_by(entry.queue, contact)
        ]
        if contact.target_agent:  # the profile is not asked
            return min(ranks, default=0)
        return min(ranks, default=None)

    def _is_reached_by(self, queue_id: QueueId, contact: Contact) -> bool:
        """The contact's own queue, or one that a step has added; a closed one lends nobody."""
        if queue_id != contact.queue and queue_id not in contact.extra_queues:
            return False
        queue = self.policy.queues.get(queue_id)
        return queue is not None and self.is_open(queue)

    def eligible(self, agent: Agent, contact: Contact) -> tuple[int, int] | None:
        """(0 or 1 = by interruption, rank), or None when the pair may not meet now."""
        if contact.channel in self.paused:
            return None
        if not self.is_available(agent) or self.is_kept_from(agent.id, contact):
            return None
        if not contact.target_agent and not self._may_serve(agent, contact):
            return None
        rank = self.rank(agent, contact)
        if rank is None:
            return None
        room = self.room(agent, self.channel(contact.channel))
        return None if room is None else (room, rank)

    def _may_serve(self, agent: Agent, contact: Contact) -> bool:
        queue = self.policy.queues.get(contact.queue)
        if queue is None or not self.is_open(queue):
            return False
        return all(agent.skills.get(s, 0) >= level for s, level in contact.requirements)

    def waiting(self) -> Iterator[Contact]:
        """Contacts that nobody is asked about."""
        return (c for c in self.contacts.values() if c.state is ContactState.QUEUED)

    def idle_order(self, agent: Agent) -> tuple[bool, int, AgentId]:
        """Unloaded first by idle time, then loaded ones by their last accept."""
        if self.held.get(agent.id):
            return (True, agent.accepted_at_us, agent.id)
        return (False, agent.idle_since_us, agent.id)

    # Folding.

    def _received(self, event: e.ContactReceived) -> None:
        self.contacts[event.contact] = Contact(
            id=event.contact,
            channel=event.channel,
            direction=event.direction,
            queue=event.queue,
            external_id=event.external_id,
            peer_key=event.peer_key,
            requirements=event.requirements,
            customer=event.customer,
            head_start_us=event.head_start_us,
            visit_at_us=event.visit_at_us,
            not_before_us=event.not_before_us,
            not_after_us=event.not_after_us,
            target_agent=event.target_agent,
            consult_of=event.consult_of,
            callback_of=event.callback_of,
            created_at_us=event.at_us,
        )

    def _scheduled(self, event: e.ContactScheduled) -> None:
        contact = self.contacts[event.contact]
        contact.state = ContactState.SCHEDULED
        contact.not_before_us, contact.not_after_us = event.not_before_us, event.not_after_us
        contact.direction = event.direction

    def _queued(self, event: e.ContactQueued) -> None:
        contact = self.contacts[event.contact]
        contact.state = ContactState.QUEUED
        contact.queue = event.queue
        contact.tier, contact.head_start_us = event.tier, event.head_start_us
        contact.due_at_us, contact.arrival_no = event.due_at_us, event.arrival_no
        contact.visit_at_us, contact.visit_no = event.visit_at_us, event.visit_no
        contact.requirements = event.requirements
        contact.hold_agent, contact.hold_until_us = event.hold_agent, event.hold_until_us
        contact.target_agent = event.target_agent
        contact.excluded = {event.not_agent: FOR_EVER_US} if event.not_agent else {}
        contact.step, contact.extra_queues, contact.offers = 0, (), 0

    def _returned(self, event: e.ContactReturned) -> None:
        contact = self.contacts[event.contact]
        contact.state = ContactState.QUEUED
        contact.head_start_us = event.head_start_us
        if contact.hold_until_us <= event.at_us:
            contact.hold_agent, contact.hold_until_us = AgentId(""), 0

    def _overflowed(self, event: e.ContactOverflowed) -> None:
        contact = self.contacts[event.contact]
        contact.queue = event.queue
        contact.tier, contact.head_start_us = event.tier, event.head_start_us
        contact.due_at_us, contact.requirements = event.due_at_us, event.requirements
        contact.step, contact.extra_queues = 0, ()
        contact.hold_agent, contact.hold_until_us = AgentId(""), 0
        contact.target_agent = AgentId("")

    def _relaxed(self, event: e.ContactRelaxed) -> None:
        contact = self.contacts[event.contact]
        contact.step, contact.requirements = event.step, event.requirements
        contact.extra_queues = event.extra_queues
        contact.tier, contact.head_start_us = event.tier, event.head_start_us

    def _reprioritized(self, event: e.ContactReprioritized) -> None:
        contact = self.contacts[event.contact]
        contact.tier, contact.head_start_us = event.tier, event.head_start_us

    def _requirements(self, event: e.RequirementsChanged) -> None:
        self.contacts[event.contact].requirements = event.requirements

    def _hold_ended(self, event: e.HoldEnded) -> None:
        contact = self.contacts[event.contact]
        contact.hold_agent, contact.hold_until_us = AgentId(""), 0
        contact.target_agent = AgentId("")

    def _cool_down_ended(self, event: e.CoolDownEnded) -> None:
        self.contacts[event.contact].excluded.pop(event.agent, None)

    def _parked(self, event: e.ContactParked) -> None:
        contact = self.contacts[event.contact]
        contact.state, contact.parked_at_us = ContactState.PARKED, event.at_us

    def _switched(self, event: e.ContactSwitched) -> None:
        contact = self.contacts[event.contact]
        contact.channel, contact.queue = event.channel, event.queue
        contact.tier, contact.head_start_us = event.tier, event.head_start_us
        contact.due_at_us = event.due_at_us
        if event.requirements is not None:
            contact.requirements, contact.step, contact.extra_queues = event.requirements, 0, ()
            contact.hold_agent, contact.hold_until_us = AgentId(""), 0
            contact.target_agent = AgentId("")
        contact.external_id, contact.peer_key = event.external_id, event.peer_key
        cost = self.channel(event.channel).cost
        for reservation_id in contact.reservations:
            reservation = self.reservations[reservation_id]
            reservation.channel, reservation.cost = event.channel, cost
            if reservation.state is not ReservationState.SUSPENDED:
                reservation.units = cost

    def _linked(self, event: e.ContactLinked) -> None:
        self.contacts[event.contact].external_id = event.external_id

    def _closed(self, event: e.ContactClosed) -> None:
        del self.contacts[event.contact]

    def _consult(self, event: e.ConsultStarted | e.ConsultEnded) -> None:
        is_open = isinstance(event, e.ConsultStarted)
        self.contacts[event.contact].consult = event.consult if is_open else ContactId("")

    def _offered(self, event: e.ContactOffered) -> None:
        contact = self.contacts[event.contact]
        contact.state = ContactState.OFFERED
        contact.reservations += (event.reservation,)
        contact.offers += 1
        reservation = Reservation(
            id=event.reservation,
            contact=event.contact,
            agent=event.agent,
            queue=event.queue,
            channel=event.channel,
            units=event.units,
            cost=event.units,
            rank=event.rank,
            offered_at_us=event.at_us,
            deadline_at_us=event.deadline_at_us,
            visit_no=contact.visit_no,
        )
        self.reservations[event.reservation] = reservation
        self.held.setdefault(event.agent, {})[event.reservation] = reservation
        self.agents[event.agent].offered_at_us = event.at_us

    def _accepted(self, event: e.OfferAccepted) -> None:
        contact = self.contacts[event.contact]
        contact.state, contact.last_agent = ContactState.ACTIVE, event.agent
        reservation = self.reservations[event.reservation]
        reservation.state = ReservationState.ACCEPTED
        reservation.accepted_at_us, reservation.deadline_at_us = event.at_us, 0
        self.agents[event.agent].accepted_at_us = event.at_us

    def _gone(self, event: e.OfferRejected | e.OfferExpired | e.OfferRescinded) -> None:
        contact = self.contacts.get(event.contact)
        if contact is not None and event.until_us > event.at_us:
            contact.excluded[event.agent] = event.until_us
        self._drop(event.reservation)

    def _failed(self, event: e.ReservationFailed) -> None:
        was_serving = self.reservations[event.reservation].state in SERVING
        contact = self.contacts.get(event.contact)
        if contact is not None and event.until_us > event.at_us:
            contact.excluded[event.agent] = event.until_us
        self._drop(event.reservation)
        if was_serving:
            self.agents[event.agent].idle_since_us = event.at_us

    def _connecting(self, event: e.ReservationConnecting) -> None:
        reservation = self.reservations[event.reservation]
        reservation.state = ReservationState.CONNECTING
        reservation.deadline_at_us = event.deadline_at_us

    def _connected(self, event: e.ReservationConnected) -> None:
        reservation = self.reservations[event.reservation]
        reservation.state, reservation.deadline_at_us = ReservationState.CONNECTED, 0
        reservation.connected_at_us = event.at_us

    def _suspended(self, event: e.ReservationSuspended) -> None:
        reservation = self.reservations[event.reservation]
        reservation.state, reservation.units = ReservationState.SUSPENDED, 0
        reservation.suspended_by = event.by
        reservation.suspended_at_us = event.at_us

    def _resumed(self, event: e.ReservationResumed) -> None:
        reservation = self.reservations[event.reservation]
        reservation.state, reservation.units = ReservationState.CONNECTED, event.units
        reservation.suspended_by = ReservationId("")

    def _held(self, event: e.CustomerHeld) -> None:
        self.reservations[event.reservation].hold_at_us = event.at_us

    def _unheld(self, event: e.CustomerResumed) -> None:
        self.reservations[event.reservation].hold_at_us = 0

    def _wrapping(self, event: e.WrapUpStarted) -> None:
        reservation = self.reservations[event.reservation]
        reservation.state = ReservationState.WRAPPING
        reservation.deadline_at_us = event.deadline_at_us
        self._let_go(reservation)

    def _extended(self, event: e.WrapUpExtended) -> None:
        self.reservations[event.reservation].deadline_at_us = event.deadline_at_us

    def _ended(self, event: e.ReservationEnded) -> None:
        agent = self.reservations[event.reservation].agent
        self._drop(event.reservation)
        self.agents[agent].idle_since_us = event.at_us

    def _moved(self, event: e.ReservationMoved) -> None:
        reservation = self.reservations[event.reservation]
        self._let_go(reservation)
        reservation.contact = event.contact
        contact = self.contacts[event.contact]
        contact.reservations += (event.reservation,)
        contact.last_agent = reservation.agent

    def _drop(self, reservation_id: ReservationId) -> None:
        reservation = self.reservations.pop(reservation_id)
        del self.held[reservation.agent][reservation_id]
        self._let_go(reservation)

    def _let_go(self, reservation: Reservation) -> None:
        contact = self.contacts.get(reservation.contact)
        if contact is not None:
            contact.reservations = tuple(r for r in contact.reservations if r != reservation.id)

    def _put(self, event: e.AgentPut) -> None:
        agent = self.agents.get(event.agent)
        if agent is None:
            agent = self.agents[event.agent] = Agent(id=event.agent, order=event.order)
            self.held[event.agent] = {}
        agent.name, agent.skills, agent.profile = event.name, event.skills, event.profile
        agent.capacity, agent.maximum = event.capacity, event.maximum
        agent.endpoints, agent.auto_accept = event.endpoints, event.auto_accept

    def _removed(self, event: e.AgentRemoved) -> None:
        del self.agents[event.agent], self.held[event.agent]

    def _presence(self, event: e.PresenceChanged) -> None:
        agent = self.agents[event.agent]
        if event.presence is Presence.READY and agent.presence is not Presence.READY:
            agent.ready_at_us = event.at_us
            if agent.reason != "rona":  # a break resets idle time, a RONA does not
                agent.idle_since_us = event.at_us
        agent.presence, agent.reason = event.presence, event.reason
        if event.presence is Presence.OFFLINE:  # nobody is expected to be there
            agent.lost_at_us = 0
        agent.presence_at_us = event.at_us

    def _stepped(self, event: e.ClockStepped) -> None:
        self.clock_offset_us += event.by_us

    def _paused(self, event: e.ChannelPaused) -> None:
        assert event.channel not in self.paused, f"{event.channel} is paused twice"
        self.paused[event.channel] = event

    def _running(self, event: e.ChannelResumed) -> None:
        del self.paused[event.channel]

    def _desk(self, event: e.AgentLost | e.AgentBack) -> None:
        is_lost = isinstance(event, e.AgentLost)
        self.agents[event.agent].lost_at_us = event.at_us if is_lost else 0


FOLDS: dict[type, Callable[[World, Any], None]] = {
    e.ContactReceived: World._received,
    e.ContactScheduled: World._scheduled,
    e.ContactQueued: World._queued,
    e.ContactReturned: World._returned,
    e.ContactOverflowed: World._overflowed,
    e.ContactRelaxed: World._relaxed,
    e.ContactReprioritized: World._reprioritized,
    e.RequirementsChanged: World._requirements,
    e.HoldEnded: World._hold_ended,
    e.CoolDownEnded: World._cool_down_ended,
    e.ContactParked: World._parked,
    e.ContactSwitched: World._switched,
    e.ContactLinked: World._linked,
    e.ContactClosed: World._closed,
    e.ConsultStarted: World._consult,
    e.ConsultEnded: World._consult,
    e.ContactOffered: World._offered,
    e.OfferAccepted: World._accepted,
    e.OfferRejected: World._gone,
    e.OfferExpired: World._gone,
    e.OfferRescinded: World._gone,
    e.ReservationConnecting: World._connecting,
    e.ReservationConnected: World._connected,
    e.ReservationFailed: World._failed,
    e.ReservationSuspended: World._suspended,
    e.ReservationResumed: World._resumed,
    e.CustomerHeld: World._held,
    e.CustomerResumed: World._unheld,
    e.WrapUpStarted: World._wrapping,
    e.WrapUpExtended: World._extended,
    e.ReservationEnded: World._ended,
    e.ReservationMoved: World._moved,
    e.AgentPut: World._put,
    e.AgentRemoved: World._removed,
    e.PresenceChanged: World._presence,
    e.ClockStepped: World._stepped,
    e.AgentLost: World._desk,
    e.AgentBack: World._desk,
    e.ChannelPaused: World._paused,
    e.ChannelResumed: World._running,
}
"""Events that change nothing here (messages, routes, effects settled, ...) are not listed."""
