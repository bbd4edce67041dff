"""An independent auditor: reads events alone, keeps its own world, and says what breaks a rule.

It shares the vocabulary with the engine and nothing else, so a fault of the engine is not repeated
here. Feed it each frame; `violations` holds an id and a sentence for each broken rule:

    I1  each contact is received once and closed once, nothing happens to it later, none is lost
    I2  no agent holds more units or contacts than there is capacity
    I3  at most one agent serves a contact, and exactly one accept wins
    I4  order: the best contact for the agent, the best agent for the contact; keys keep still
    I5  no offer to an agent who is not ready or not there
    I6  nobody waits while an eligible agent has room
    I11 nothing outlives its deadline
    I12 one external id, one contact
    I16 (our own) events come in the order of time, and name only what exists
    I17 (our own) the decision record tells what was decided
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from router.core import events as e
from router.core.model import (
    Agent,
    AgentId,
    Contact,
    ContactId,
    ContactOutcome,
    ContactState,
    Reservation,
    ReservationState,
)
from router.core.policy import Policy
from router.testing.naive import SERVING, World
from router.testing.oracle import (
    MOVES,
    better_agent,
    better_contact,
    decision_fault,
    passed_over,
    relaxed,
)

KEEP_CLOSED = 4096
"""Closed contacts remembered, to see a second end or an event after the end."""
MOST_VIOLATIONS = 20

AFTER_THE_END = (
    e.EffectSettled,
    e.MessageSent,
    e.ContactUpdated,
    e.OfferAccepted,
    e.OfferRejected,
    e.OfferExpired,
    e.OfferRescinded,
    e.ReservationConnecting,
    e.ReservationConnected,
    e.ReservationFailed,
    e.ReservationSuspended,
    e.ReservationResumed,
    e.CustomerHeld,
    e.CustomerResumed,
    e.WrapUpStarted,
    e.WrapUpExtended,
    e.ReservationEnded,
)

NAMES_ANYBODY = (e.AgentPut, e.MessageSent, e.CoolDownEnded)
"""Events that may name an agent who is not there: not yet, or no more."""


class Violation(NamedTuple):
    """A broken rule."""

    id: str
    at_us: int
    text: str

    def __str__(self) -> str:
        return f"{self.id} at {self.at_us / 1e6:.6f} s: {self.text}"


class Auditor:
    """Reads frames. `sample` n: of the scans over everybody only each n-th is made."""

    def __init__(self, policy: Policy, *, sample: int = 1) -> None:
        self.world = World(policy)
        self.violations: list[Violation] = []
        self.received = 0
        self.closed: Counter[ContactOutcome] = Counter()
        self.offers = 0
        self.accepts = 0
        self.frames = 0
        self.events: Counter[str] = Counter()
        self._policies = {policy.version: policy}
        self._sample = sample
        self._ended: dict[ContactId, None] = {}
        self._external: dict[tuple[str, str], ContactId] = {}
        self._grown: dict[tuple[AgentId, str], None] = {}
        self._grace_until_us = 0
        self._pulled = ""

    def expect_policy(self, policy: Policy) -> None:
        """Settings that a later `PolicyApplied` will name."""
        self._policies[policy.version] = policy

    def recovered(self, now_us: int, policy: Policy | None = None) -> None:
        """The engine was started again: no deadline is earlier than the grace from now."""
        if policy is not None:
            self.world.use(policy)
        self.world.clock_offset_us = 0  # engine time begins at the wall clock's anew
        grace_until_us = now_us + self.world.policy.grace_us
        for reservation in self.world.reservations.values():
            if 0 < reservation.deadline_at_us < grace_until_us:
                reservation.deadline_at_us = grace_until_us
        self._grace_until_us = grace_until_us

    def frame(self, events: Sequence[e.Event], now_us: int, *, pulled: str = "") -> None:
        """One committed frame, and what must hold after it.

        `pulled` names the contact that a command in this frame gave to an agent by hand: its offer
        need not be the best one.
        """
        self.frames += 1
        self._pulled = pulled
        for event in events:
            self._event(event)
        self.world.now_us = now_us
        for agent, channel in self._grown:
            self._check_capacity(agent, channel)
        self._grown.clear()
        if self.frames % self._sample == 0:
            self._check_contacts()
            self._check_deadlines()
            self._check_nobody_waits()

    def finish(self) -> None:
        """Everybody has gone home: nothing may be left."""
        for contact in self.world.contacts.values():
            self._broken("I1", f"{contact.id} never ended, it is {contact.state.value}")
        for reservation in self.world.reservations.values():
            self._broken("I1", f"{reservation.id} never ended, it is {reservation.state.value}")

    # One event.

    def _event(self, event: e.Event) -> None:
        world = self.world
        if event.at_us < world.now_us:
            self._broken("I16", f"{type(event).__name__} at {event.at_us} after {world.now_us}")
        world.now_us = max(world.now_us, event.at_us)
        self.events[type(event).__name__] += 1
        if not self._knows(event):
            return
        check = CHECKS.get(type(event))
        if check is not None:
            check(self, event)
        world.apply(event)

    def _knows(self, event: e.Event) -> bool:
        """Contacts, reservations and agents named must be there, in a state where it can happen."""
        name = type(event).__name__
        contact = getattr(event, "contact", "")
        if isinstance(event, e.ContactReceived):
            if contact in self.world.contacts or contact in self._ended:
                return self._broken("I1", f"{contact} is received a second time")
        elif contact and contact not in self.world.contacts:
            if contact in self._ended:
                allowed = isinstance(event, AFTER_THE_END)
                if not allowed:
                    return self._broken("I1", f"{name} for {contact}, which has ended")
            elif not isinstance(event, e.EffectSettled):
                return self._broken("I16", f"{name} for {contact}, which does not exist")
        moves = MOVES.get(type(event))
        if moves is not None:
            reservation = self.world.reservations.get(event.reservation)  # type: ignore[union-attr]
            if reservation is None:
                return self._broken("I3", f"{name} for a reservation that is not open: {event}")
            if reservation.state not in moves:
                return self._broken("I3", f"{name} for {reservation.id}, {reservation.state.value}")
        agent = getattr(event, "agent", "")
        known = agent in self.world.agents or isinstance(event, NAMES_ANYBODY)
        if agent and not known:
            return self._broken("I16", f"{name} for agent {agent}, who does not exist")
        return True

    def _on_resumed(self, event: e.ReservationResumed) -> None:
        # It was held all the time: only its units come back, its channel's count does not grow.
        self._grown[self.world.reservations[event.reservation].agent, ""] = None

    def _on_policy(self, event: e.PolicyApplied) -> None:
        self.world.use(self._policies[event.version])

    def _on_received(self, event: e.ContactReceived) -> None:
        self.received += 1
        if event.external_id:
            self._take_external(event.channel, event.external_id, event.contact)

    def _on_queued(self, event: e.ContactQueued) -> None:
        contact = self.world.contacts[event.contact]
        if event.visit_no <= contact.visit_no and contact.visit_no:
            self._broken("I4", f"{event.contact}: visit {event.visit_no} after {contact.visit_no}")
        self._check_due(event, contact.channel, event.visit_at_us)

    def _on_returned(self, event: e.ContactReturned) -> None:
        contact = self.world.contacts[event.contact]
        queue = self.world.policy.queues.get(contact.queue)
        bonus_us = event.head_start_us - contact.head_start_us
        may_be = (0,) if queue is None else (0, queue.decline.bonus_us)
        if bonus_us not in may_be:
            self._broken(
                "I4",
                f"{event.contact} returned ({event.reason}) with another key:"
                f" head start {contact.head_start_us} became {event.head_start_us}",
            )
        if any(r.contact == event.contact for r in self._open_reservations(contact)):
            self._broken("I3", f"{event.contact} returned to its queue while still reserved")

    def _on_new_target(self, event: e.ContactOverflowed | e.ContactSwitched) -> None:
        contact = self.world.contacts[event.contact]
        channel = contact.channel
        if isinstance(event, e.ContactSwitched):
            channel = event.channel
            there = (contact.channel, contact.external_id)
            if there != (event.from_channel, event.from_external_id):
                self._broken("I12", f"{event.contact} is {there}, and switched from elsewhere")
            self._change_external(contact, channel, event.external_id)
        if contact.state is ContactState.QUEUED:
            self._check_due(event, channel, contact.visit_at_us)

    def _on_linked(self, event: e.ContactLinked) -> None:
        contact = self.world.contacts[event.contact]
        self._change_external(contact, contact.channel, event.external_id)

    def _on_relaxed(self, event: e.ContactRelaxed) -> None:
        contact = self.world.contacts[event.contact]
        if event.step != contact.step + 1:
            self._broken("I4", f"{event.contact}: step {event.step} after step {contact.step}")
        queue = self.world.policy.queues.get(contact.queue)
        if queue is None or event.step > len(queue.steps):
            return
        step = queue.steps[event.step - 1]
        if self.world.now_us - contact.visit_at_us < step.after_us:
            self._broken("I4", f"{event.contact}: step {step.name!r} before it was due")
        if event.taken:
            expected = relaxed(contact.requirements, step.actions)
            if event.requirements != expected:
                self._broken(
                    "I4",
                    f"{event.contact}: step {step.name!r} of {contact.requirements}"
                    f" gives {expected}, not {event.requirements}",
                )

    def _on_accepted(self, event: e.OfferAccepted) -> None:
        self.accepts += 1
        contact = self.world.contacts.get(event.contact)
        if contact is None:
            self._broken("I3", f"{event.contact} was accepted after its end")
            return
        reservation = self.world.reservations[event.reservation]
        if reservation.agent != event.agent or reservation.contact != event.contact:
            self._broken("I3", f"{event} does not fit {reservation.id} of {reservation.agent}")
        for other in self._open_reservations(contact):
            if other.id != event.reservation and other.state in SERVING:
                self._broken("I3", f"{event.contact} is served by {other.agent} and {event.agent}")

    def _on_expired(self, event: e.OfferExpired) -> None:
        """A miss counts only if nobody accepted."""
        deadline_at_us = self.world.reservations[event.reservation].deadline_at_us
        if event.at_us < deadline_at_us:
            self._broken("I11", f"{event.reservation} expired before its deadline")
        contact = self.world.contacts.get(event.contact)
        if contact is None or contact.state is not ContactState.OFFERED:
            self._broken("I3", f"{event.reservation} counts as missed though somebody accepted")

    def _on_rejected(self, event: e.OfferRejected) -> None:
        contact = self.world.contacts.get(event.contact)
        queue = self.world.policy.queues.get(contact.queue) if contact else None
        if queue is not None and event.until_us < event.at_us + queue.decline.cool_down_us:
            self._broken("I4", f"{event.contact} may go to {event.agent} again without cool-down")

    def _on_closed(self, event: e.ContactClosed) -> None:
        contact = self.world.contacts[event.contact]
        self.closed[event.outcome] += 1
        self._ended[event.contact] = None
        while len(self._ended) > KEEP_CLOSED:
            del self._ended[next(iter(self._ended))]
        self._change_external(contact, contact.channel, "")

    def _change_external(self, contact: Contact, channel: str, external_id: str) -> None:
        self._external.pop((contact.channel, contact.external_id), None)
        if external_id:
            self._take_external(channel, external_id, contact.id)

    def _take_external(self, channel: str, external_id: str, contact: ContactId) -> None:
        owner = self._external.setdefault((channel, external_id), contact)
        if owner != contact:
            self._broken("I12", f"{channel} {external_id!r} is both {owner} and {contact}")

    def _check_due(
        self,
        event: e.ContactQueued | e.ContactOverflowed | e.ContactSwitched,
        channel_name: str,
        visit_at_us: int,
    ) -> None:
        contact, due_at_us = event.contact, event.due_at_us
        queue = self.world.policy.queues.get(event.queue)
        if queue is None:
            self._broken("I16", f"{contact} is queued in {event.queue!r}, which does not exist")
            return
        channel = self.world.channel(channel_name)
        target_us = queue.targets_us.get(channel_name, channel.target_us)
        hours = self.world.hours(queue)
        if hours is None:
            expected: int | None = visit_at_us + target_us
        else:
            offset_us = self.world.clock_offset_us
            expected = hours.add_open(visit_at_us + offset_us, target_us)
            expected = None if expected is None else expected - offset_us
        if expected is not None and due_at_us != expected:
            self._broken("I4", f"{contact} is due at {expected}, not at {due_at_us}")

    # Offers: the oracle of matching.

    def _on_offered(self, event: e.ContactOffered) -> None:
        self.offers += 1
        self._grown[event.agent, event.channel] = None
        world = self.world
        contact, agent = world.contacts[event.contact], world.agents[event.agent]
        if not world.is_available(agent):
            self._broken("I5", f"{contact.id} is offered to {agent.id}, who is not ready or lost")
            return
        if contact.state not in (ContactState.QUEUED, ContactState.OFFERED):
            self._broken("I3", f"{contact.id} is offered while {contact.state.value}")
            return
        queue = world.policy.queues[contact.queue]
        if contact.state is ContactState.OFFERED and len(contact.reservations) >= queue.parallel:
            self._broken("I3", f"{contact.id} is offered to more than {queue.parallel}")
        if event.units != world.channel(contact.channel).cost:
            self._broken("I2", f"{event.reservation} holds {event.units} units")
        made_room = [
            r for r in world.held[agent.id].values() if r.suspended_by == event.reservation
        ]
        for reservation in made_room:  # as it was before the interruption
            reservation.state, reservation.units = ReservationState.CONNECTED, reservation.cost
        self._check_choice(event, agent, contact)
        for reservation in made_room:
            reservation.state, reservation.units = ReservationState.SUSPENDED, 0

    def _check_choice(self, event: e.ContactOffered, agent: Agent, contact: Contact) -> None:
        world = self.world
        self._check_resumed_first(agent)
        if contact.id == self._pulled or self.offers % self._sample:
            return
        queue = world.policy.queues[contact.queue]
        fit = world.eligible(agent, contact)
        if fit is None:
            self._broken("I4", f"{contact.id} is offered to {agent.id}, who is not eligible")
            return
        if event.decision.edge == "agent":
            self._blame("I4", better_contact(world, agent, contact))
        else:
            self._blame("I4", better_agent(world, agent, contact, queue))
            self._blame("I4", passed_over(world, agent, contact))
        self._blame("I17", decision_fault(world, event, queue))

    def _check_resumed_first(self, agent: Agent) -> None:
        """Interrupted work goes on before any new work."""
        free = self.world.capacity(agent) - self.world.load(agent.id)
        for reservation in self.world.held[agent.id].values():
            waits_for = self.world.reservations.get(reservation.suspended_by)
            if (
                reservation.state is ReservationState.SUSPENDED
                and waits_for is None
                and reservation.cost <= free
            ):
                self._broken("I4", f"{agent.id} gets new work while {reservation.id} is suspended")

    # After each frame.

    def _check_capacity(self, agent_id: AgentId, channel: str) -> None:
        """After an increase. Less capacity than is held already is no breach of anything."""
        agent = self.world.agents.get(agent_id)
        if agent is None:
            return
        load, capacity = self.world.load(agent_id), self.world.capacity(agent)
        if load > capacity:
            self._broken("I2", f"{agent_id} holds {load} of {capacity} units")
        if not channel:
            return
        count = self.world.counts(agent_id, channel)
        most = agent.maximum.get(channel, self.world.channel(channel).maximum)
        if count > most:
            self._broken("I2", f"{agent_id} holds {count} {channel} contacts, at most {most}")

    def _check_contacts(self) -> None:
        if self.received != sum(self.closed.values()) + len(self.world.contacts):
            self._broken("I1", "received is not closed + live")
        for contact in self.world.contacts.values():
            states = [r.state for r in self._open_reservations(contact)]
            serving = sum(state in SERVING for state in states)
            offered = states.count(ReservationState.OFFERED)
            match contact.state:
                case ContactState.RECEIVED:
                    fits = False
                case ContactState.OFFERED:
                    fits = offered > 0 and serving == 0
                case ContactState.ACTIVE:
                    fits = serving == 1 and offered == 0
                case _:
                    fits = offered == serving == 0
            if not fits:
                self._broken(
                    "I3",
                    f"{contact.id} is {contact.state.value} with {offered} offers"
                    f" and {serving} serving",
                )

    def _check_deadlines(self) -> None:
        now_us = self.world.now_us
        if now_us < self._grace_until_us:
            return
        for reservation in self.world.reservations.values():
            if 0 < reservation.deadline_at_us < now_us:
                self._broken(
                    "I11",
                    f"{reservation.id} is {reservation.state.value} beyond its deadline"
                    f" {reservation.deadline_at_us / 1e6:.6f}",
                )
        for contact in self.world.contacts.values():
            if contact.state is ContactState.SCHEDULED:
                # One with a customer waits until the runtime has brought the profile.
                calendar_us = now_us + self.world.clock_offset_us
                if contact.not_before_us < calendar_us and not contact.customer:
                    self._broken("I11", f"{contact.id} is scheduled beyond its moment")
            elif contact.state is ContactState.QUEUED:
                self._check_step(contact)

    def _check_step(self, contact: Contact) -> None:
        queue = self.world.policy.queues.get(contact.queue)
        if queue is None or contact.step >= len(queue.steps):
            return
        step = queue.steps[contact.step]
        asks = step.wait_over_us >= 0 or step.eligible_below >= 0 or step.position_over >= 0
        due_at_us = contact.visit_at_us + step.after_us
        if due_at_us < self.world.now_us and not asks:
            self._broken("I11", f"{contact.id}: step {step.name!r} is overdue")

    def _check_nobody_waits(self) -> None:
        world = self.world
        waiting = list(world.waiting())
        if not waiting:
            return
        channels = {contact.channel: world.channel(contact.channel) for contact in waiting}
        for agent in world.agents.values():
            if not world.is_available(agent):
                continue
            open_channels = {
                name for name, ch in channels.items() if world.room(agent, ch) is not None
            }
            for contact in waiting if open_channels else ():
                if contact.channel in open_channels and world.eligible(agent, contact) is not None:
                    self._broken(
                        "I6", f"{contact.id} waits in {contact.queue} while {agent.id} has room"
                    )

    def _open_reservations(self, contact: Contact) -> list[Reservation]:
        known = self.world.reservations
        return [known[r] for r in contact.reservations if r in known]

    def _blame(self, id_: str, text: str | None) -> None:
        if text is not None:
            self._broken(id_, text)

    def _broken(self, id_: str, text: str) -> bool:
        if len(self.violations) < MOST_VIOLATIONS:
            self.violations.append(Violation(id_, self.world.now_us, text))
        return False


CHECKS: dict[type, Callable[[Auditor, Any], None]] = {
    e.ContactReceived: Auditor._on_received,
    e.ContactQueued: Auditor._on_queued,
    e.ContactReturned: Auditor._on_returned,
    e.ContactOverflowed: Auditor._on_new_target,
    e.ContactSwitched: Auditor._on_new_target,
    e.ContactLinked: Auditor._on_linked,
    e.ContactRelaxed: Auditor._on_relaxed,
    e.ContactOffered: Auditor._on_offered,
    e.ContactClosed: Auditor._on_closed,
    e.OfferAccepted: Auditor._on_accepted,
    e.OfferExpired: Auditor._on_expired,
    e.OfferRejected: Auditor._on_rejected,
    e.ReservationResumed: Auditor._on_resumed,
    e.PolicyApplied: Auditor._on_policy,
}
"""What is looked at before an event is folded; the others are only folded."""
