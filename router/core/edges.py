"""Events, and the edges of matching that hang on them; look-ups and numbers that handlers share.

`emit` makes an event true and notes which contact or agent it may have made matchable (`EDGES`);
`Reservations.settle` then tries exactly those. Because the edge hangs on the event, no handler can
forget it.
"""

from __future__ import annotations

from router.core import (  # noqa: F401 - they register the handlers
    apply_agents,
    apply_calls,
    apply_contacts,
    apply_customers,
    apply_outbound,
)
from router.core import events as e
from router.core.effects import Effect
from router.core.estimates import estimate_wait
from router.core.lifecycle import SERVING
from router.core.model import (
    Agent,
    AgentId,
    Contact,
    ContactId,
    QueueId,
    Reservation,
    ReservationId,
)
from router.core.policy import Policy, Queue
from router.core.queues import key_of
from router.core.state import State
from router.errors import NotFound, Refused

CONTACT_EDGE = 1
AGENT_EDGE = 2
CHANNEL_EDGE = 4
"""Of whoever waits on a channel."""

EDGES: dict[type, int] = {
    e.ContactQueued: CONTACT_EDGE,
    e.ContactReturned: CONTACT_EDGE,
    e.ContactOverflowed: CONTACT_EDGE,
    e.ContactRelaxed: CONTACT_EDGE,
    e.ContactReprioritized: CONTACT_EDGE,
    e.RequirementsChanged: CONTACT_EDGE,
    e.HoldEnded: CONTACT_EDGE,
    e.CoolDownEnded: CONTACT_EDGE,
    e.ContactSwitched: CONTACT_EDGE | AGENT_EDGE,
    e.OfferRejected: AGENT_EDGE,
    e.OfferExpired: AGENT_EDGE,
    e.OfferRescinded: AGENT_EDGE,
    e.ReservationFailed: AGENT_EDGE,
    e.ReservationConnected: AGENT_EDGE,
    e.ReservationSuspended: AGENT_EDGE,
    e.ReservationEnded: AGENT_EDGE,
    e.AgentPut: AGENT_EDGE,
    e.PresenceChanged: AGENT_EDGE,
    e.AgentBack: AGENT_EDGE,
    e.ChannelResumed: CHANNEL_EDGE,
}
"""Events after which a contact may find an agent, or an agent a contact."""


class Edges:
    """One workspace's state while a command or deadline is being decided."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.matcher = state.matcher
        self.policy = state.policy
        """The settings in force; `use` changes them."""
        self.now_us = 0
        self.events: list[e.Event] = []
        self.effects: list[Effect] = []
        self.contact_id: ContactId | None = None
        self.oldest: dict[QueueId, tuple[int, int]] = {}
        """Since when the longest waiting contact of a queue has waited, as of a second."""
        self._contacts: dict[ContactId, None] = {}
        self._agents: dict[AgentId, None] = {}
        self._limits: dict[ContactId, None] = {}

    @property
    def calendar_us(self) -> int:
        """Now as the wall clock shows it; hours and windows go by it."""
        return self.now_us + self.state.totals.clock_offset_us

    def use(self, policy: Policy) -> None:
        """New settings: the indexes are laid out anew."""
        self.policy = policy
        self.state.use(policy, self.now_us)

    def emit(self, event: e.Event) -> None:
        """Make it true, remember it for the frame, and note the edges it opens."""
        self.state.apply(event)
        self.events.append(event)
        edge = EDGES.get(type(event))
        if edge is None:
            return
        if edge & CHANNEL_EDGE:
            for contact_id, entry in self.state.waiting.entries.items():
                if entry.contact.channel == event.channel:  # type: ignore[union-attr]
                    self.try_later(contact_id)
        if edge & CONTACT_EDGE:
            self.try_later(event.contact)  # type: ignore[union-attr]
        if edge & AGENT_EDGE:
            if isinstance(event, e.ContactSwitched):
                for id_ in self.state.contacts[event.contact].reservations:
                    self._agents[self.state.reservations[id_].agent] = None
            else:
                self._agents[event.agent] = None  # type: ignore[union-attr]

    def try_later(self, contact: ContactId) -> None:
        """This contact may be reachable by more agents than before."""
        self._contacts[contact] = None

    def try_all_later(self) -> None:
        """The same of everybody who waits."""
        self._contacts.update(dict.fromkeys(self.state.waiting.entries))

    def limit_later(self, contact: ContactId) -> None:
        """This contact found its queue full; it may stay only if it need not wait."""
        self._limits[contact] = None

    def fill_later(self, agent: AgentId) -> None:
        """This agent may have more room than before."""
        self._agents[agent] = None

    def contact(self, id_: ContactId) -> Contact:
        """The live contact; raises NotFound."""
        found = self.state.contacts.get(id_)
        if found is None:
            raise NotFound("contact", id_)
        return found

    def agent(self, id_: AgentId) -> Agent:
        """The agent; raises NotFound."""
        found = self.state.agents.get(id_)
        if found is None:
            raise NotFound("agent", id_)
        return found

    def queue(self, id_: QueueId) -> Queue:
        """The queue; raises NotFound."""
        found = self.policy.queues.get(id_)
        if found is None:
            raise NotFound("queue", id_)
        return found

    def reservation(self, id_: ReservationId, agent: AgentId = AgentId("")) -> Reservation:
        """The open reservation, of this agent if one is named; raises NotFound, Refused `gone`."""
        found = self.state.reservations.get(id_)
        if found is None:
            raise Refused("gone", f"reservation {id_!r} is over, or never was")
        if agent and found.agent != agent:
            raise NotFound("reservation", id_)
        return found

    def serving(self, contact: Contact, agent: AgentId = AgentId("")) -> Reservation:
        """The reservation in which somebody has this contact; raises Refused."""
        for id_ in contact.reservations:
            reservation = self.state.reservations[id_]
            if reservation.state in SERVING:
                if agent and reservation.agent != agent:
                    raise Refused(
                        "not_yours", f"contact {contact.id!r} is served by {reservation.agent!r}"
                    )
                return reservation
        raise Refused("not_active", f"nobody serves contact {contact.id!r} ({contact.state})")

    def is_served(self, contact: Contact, agent: AgentId) -> bool:
        """Whether this agent has the contact."""
        held = (self.state.reservations[id_] for id_ in contact.reservations)
        return any(r.agent == agent and r.state in SERVING for r in held)

    def queue_of(self, contact: Contact) -> Queue:
        """The settings of the queue it is in."""
        return self.policy.queues[contact.queue]

    def queue_settings(self, queue: QueueId) -> Queue:
        """Settings of a queue that may have been removed meanwhile."""
        return self.policy.queues.get(queue) or Queue(id=queue)

    def tier_of(self, queue: Queue, channel: str) -> int:
        """The queue's tier for a channel."""
        tier = queue.tiers.get(channel)
        return self.policy.channels[channel].tier if tier is None else tier

    def due_at_us(self, queue: Queue, channel: str, started_us: int) -> int:
        """Start of the visit plus the service-level target, counted in open hours."""
        target_us = queue.targets_us.get(channel, self.policy.channels[channel].target_us)
        offset_us = self.state.totals.clock_offset_us
        return self.state.hours[queue.id].add_open(started_us + offset_us, target_us) - offset_us

    def promise_us(self, queue: QueueId, channel: str, key: tuple[int, int, int]) -> int:
        """Estimated wait of a contact with this key in this queue; -1 = unknown."""
        return self.wait_us(queue, channel, self.state.positions.of(queue, channel, key))

    def wait_us(self, queue: QueueId, channel: str, position: int) -> int:
        """Estimated wait at a position; -1 = unknown, as it is while the channel is paused."""
        bit = self.state.roster.live[channel]
        if not bit:
            return -1
        pools = self.matcher.pools(queue)
        serving = 0
        for pool in pools:
            serving += pool.ready
        if not serving:
            return -1
        classes = self.state.roster.available(pools, bit) or ()
        free = 0
        for shelves in classes:
            for shelf in shelves:
                free += len(shelf.order)
                if free >= position:
                    return 0  # somebody is free for each of those ahead, and for this one
        row = self.state.estimates.get(f"{queue}/{channel}")
        if row is None:
            return 0 if free else -1
        return estimate_wait(row, position, serving, free)

    def position(self, contact: Contact) -> int:
        """Where a waiting contact stands in its queue and channel; 1 = next."""
        return self.state.positions.of(contact.queue, contact.channel, key_of(contact))
