"""Seeded input for the simulator: commands drawn from what is possible now.

A blind workload guesses ids and finds nothing; this one reads the auditor's world, so that nearly
every command meets something it can change. Refusals still happen: they are part of life.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from router.core import commands as c
from router.core.model import (
    SECOND_US,
    Agent,
    AgentId,
    Contact,
    ContactId,
    ContactState,
    Direction,
    Presence,
    QueueId,
    Requirements,
    Reservation,
    ReservationState,
)
from router.core.policy import Profile
from router.testing.naive import World
from router.testing.worlds import random_agent, random_policy

MESSAGING = ("chat", "sms", "email")


class Workload:
    """Draws the next input. Same seed, same history: same input."""

    def __init__(self, rng: Random, world: World, *, most_live: int = 40) -> None:
        self._rng = rng
        self._world = world
        self._most_live = most_live
        self._number = 0
        self._external: list[tuple[str, str]] = []
        self._kinds, self._weights = list(WEIGHTS), list(WEIGHTS.values())

    def next(self) -> c.Command:
        """Something that may happen now; at worst a new contact."""
        for kind in self._rng.choices(self._kinds, self._weights, k=12):
            command = kind(self)
            if command is not None:
                return command
        return self.submit()

    def soothing(self) -> c.Command | None:
        """The next step towards an empty house, everybody cooperating; None = done."""
        world, rng = self._world, self._rng
        for channel in world.paused:
            return c.ResumeChannel(channel=channel)
        for agent in world.agents.values():
            if agent.lost_at_us:
                return c.DeskBack(agent=agent.id)
            if agent.presence is not Presence.READY:
                return c.SetPresence(agent=agent.id, presence=Presence.READY)
        for reservation in world.reservations.values():
            match reservation.state:
                case ReservationState.OFFERED:
                    return c.AcceptOffer(reservation=reservation.id)
                case ReservationState.ACCEPTED | ReservationState.CONNECTING:
                    return c.ConnectReservation(reservation=reservation.id)
                case ReservationState.CONNECTED:
                    return c.CompleteContact(contact=reservation.contact)
                case ReservationState.WRAPPING:
                    return c.FinishWrapUp(reservation=reservation.id)
                case _:
                    pass
        for contact in world.contacts.values():
            match contact.state:
                case ContactState.SCHEDULED:
                    return c.CancelContact(contact=contact.id)
                case ContactState.PARKED:
                    return c.CompleteContact(contact=contact.id)
                case ContactState.QUEUED if rng.random() < 0.5:
                    return c.AbandonContact(contact=contact.id)
                case _:
                    pass
        left = list(world.contacts)
        return c.AbandonContact(contact=left[0]) if left else None

    # Arrivals.

    def submit(self) -> c.SubmitContact:
        """A new contact; now and then one whose external id is known already."""
        rng, policy = self._rng, self._world.policy
        self._number += 1
        channel = rng.choice(list(policy.channels))
        external = (channel, f"x{self._number}")
        if self._external and rng.random() < 0.05:
            external = rng.choice(self._external)
        elif rng.random() < 0.3:
            self._external = [*self._external[-20:], external]
        else:
            external = (channel, "")
        now_us = self._world.now_us
        later_us = rng.randrange(1, 600 * SECOND_US) if rng.random() < 0.1 else 0
        outbound = bool(later_us) and rng.random() < 0.5
        # Who writes by the same address again belongs to the same contact.
        peer = f"{external[0]}/peer{self._number}" if external[0] in MESSAGING else ""
        return c.SubmitContact(
            contact=ContactId(f"c{self._number}"),
            channel=external[0],
            direction=Direction.OUTBOUND if outbound else Direction.INBOUND,
            queue=rng.choice(list(policy.queues)),
            customer=f"p{rng.randrange(5)}" if rng.random() < 0.3 else "",
            requirements=self._requirements(),
            tier=rng.choice((None, None, None, 0, 1, 2)),
            head_start_us=rng.choice((0, 0, 0, rng.randrange(60 * SECOND_US))),
            not_before_us=now_us + later_us if later_us else 0,
            not_after_us=now_us + later_us + 300 * SECOND_US if rng.random() < 0.05 else 0,
            external_id=external[1],
            peer_key=peer,
            prefer_agent=self._some_agent(0.1),
            prefer_us=rng.randrange(1, 40 * SECOND_US),
            target_agent=self._some_agent(0.04),
        )

    def _submit(self) -> c.Command | None:
        return self.submit() if len(self._world.contacts) < self._most_live else None

    def _message(self) -> c.Command | None:
        contact = self._contact(ContactState.PARKED, ContactState.ACTIVE, ContactState.QUEUED)
        if contact is None or contact.channel not in MESSAGING or not contact.peer_key:
            first = self.submit()
            if first.channel not in MESSAGING or len(self._world.contacts) >= self._most_live:
                return None
            return c.ReceiveMessage(message=f"m{self._number}", size=40, contact=first)
        self._number += 1
        fresh = c.SubmitContact(
            contact=ContactId(f"c{self._number}"),
            channel=contact.channel,
            queue=contact.queue,
            peer_key=contact.peer_key,
        )
        return c.ReceiveMessage(message=f"m{self._number}", size=40, contact=fresh)

    def _send(self) -> c.Command | None:
        served = self._served()
        if served is None or served[0].channel not in MESSAGING:
            return None
        self._number += 1
        contact, reservation = served
        return c.SendMessage(
            contact=contact.id, message=f"m{self._number}", size=20, agent=reservation.agent
        )

    # Customers and supervisors on contacts that wait.

    def _abandon(self) -> c.Command | None:
        contact = self._contact(ContactState.QUEUED, ContactState.OFFERED, ContactState.ACTIVE)
        return c.AbandonContact(contact=contact.id) if contact else None

    def _cancel(self) -> c.Command | None:
        contact = self._contact(ContactState.SCHEDULED, ContactState.QUEUED, ContactState.PARKED)
        return c.CancelContact(contact=contact.id, reason="withdrawn") if contact else None

    def _reprioritize(self) -> c.Command | None:
        contact = self._contact(ContactState.QUEUED)
        if contact is None:
            return None
        rng = self._rng
        return c.ReprioritizeContact(
            contact=contact.id,
            tier=rng.choice((None, 0, 1, 2)),
            head_start_us=rng.choice((None, rng.randrange(90 * SECOND_US))),
        )

    def _move(self) -> c.Command | None:
        contact, queue = self._contact(ContactState.QUEUED), self._queue()
        if contact is None or contact.queue == queue:
            return None
        return c.MoveContact(contact=contact.id, queue=queue)

    def _require(self) -> c.Command | None:
        contact = self._contact(ContactState.QUEUED)
        if contact is None:
            return None
        return c.RequireSkills(contact=contact.id, requirements=self._requirements())

    def _pull(self) -> c.Command | None:
        contact, agent = self._contact(ContactState.QUEUED), self._agent(Presence.READY)
        if contact is None or agent is None:
            return None
        return c.PullContact(contact=contact.id, agent=agent.id)

    def _update(self) -> c.Command | None:
        contact = self._contact(*ContactState)
        if contact is None:
            return None
        if self._rng.random() < 0.3:
            return c.WatchContact(contact=contact.id, watched=self._rng.random() < 0.5)
        return c.UpdateContact(contact=contact.id, attributes={"mood": self._rng.randrange(3)})

    def _callback(self) -> c.Command | None:
        contact = self._contact(ContactState.QUEUED)
        if contact is None:
            return None
        self._number += 1
        rng, now_us = self._rng, self._world.now_us
        return c.RequestCallback(
            contact=contact.id,
            callback=ContactId(f"c{self._number}"),
            channel=rng.choice(list(self._world.policy.channels)),
            not_before_us=rng.choice((0, now_us + rng.randrange(120 * SECOND_US))),
            keep_place=rng.random() < 0.5,
        )

    def _reschedule(self) -> c.Command | None:
        contact = self._contact(ContactState.SCHEDULED, ContactState.QUEUED)
        if contact is None:
            return None
        at_us = self._world.now_us + self._rng.randrange(1, 300 * SECOND_US)
        return c.RescheduleContact(contact=contact.id, not_before_us=at_us)

    def _switch(self) -> c.Command | None:
        contact = self._contact(ContactState.QUEUED, ContactState.ACTIVE, ContactState.PARKED)
        if contact is None:
            return None
        channel = self._rng.choice(list(self._world.policy.channels))
        if channel == contact.channel:
            return None
        queue = self._queue() if self._rng.random() < 0.3 else QueueId("")
        return c.SwitchChannel(contact=contact.id, channel=channel, queue=queue)

    def _link(self) -> c.Command | None:
        unlinked = [c for c in self._world.contacts.values() if not c.external_id]
        if not unlinked:
            return None
        self._number += 1
        contact = self._rng.choice(unlinked)
        return c.LinkContact(contact=contact.id, external_id=f"x{self._number}")

    # Agents on what they serve.

    def _accept(self) -> c.Command | None:
        reservation = self._reservation(ReservationState.OFFERED)
        return c.AcceptOffer(reservation=reservation.id) if reservation else None

    def _reject(self) -> c.Command | None:
        reservation = self._reservation(ReservationState.OFFERED)
        return c.RejectOffer(reservation=reservation.id, reason="busy") if reservation else None

    def _connect(self) -> c.Command | None:
        reservation = self._reservation(ReservationState.CONNECTING)
        return c.ConnectReservation(reservation=reservation.id) if reservation else None

    def _fail(self) -> c.Command | None:
        reservation = self._reservation(ReservationState.CONNECTING, ReservationState.OFFERED)
        if reservation is None:
            return None
        busy = self._rng.random() < 0.5
        return c.FailReservation(reservation=reservation.id, reason="no answer", busy=busy)

    def _complete(self) -> c.Command | None:
        served = self._served()
        return c.CompleteContact(contact=served[0].id, disposition="done") if served else None

    def _finish(self) -> c.Command | None:
        reservation = self._reservation(ReservationState.WRAPPING)
        return c.FinishWrapUp(reservation=reservation.id) if reservation else None

    def _extend(self) -> c.Command | None:
        reservation = self._reservation(ReservationState.WRAPPING)
        by_us = self._rng.randrange(1, 20 * SECOND_US)
        return c.ExtendWrapUp(reservation=reservation.id, by_us=by_us) if reservation else None

    def _park(self) -> c.Command | None:
        served = self._served()
        if served is None or served[0].channel not in MESSAGING:
            return None
        return c.ParkContact(contact=served[0].id)

    def _hold(self) -> c.Command | None:
        served = self._served()
        return c.HoldCustomer(contact=served[0].id) if served else None

    def _unhold(self) -> c.Command | None:
        held = [r for r in self._world.reservations.values() if r.hold_at_us]
        return c.ResumeCustomer(contact=self._rng.choice(held).contact) if held else None

    def _transfer(self) -> c.Command | None:
        served = self._served()
        if served is None:
            return None
        contact, rng = served[0], self._rng
        if rng.random() < 0.3:
            return c.TransferContact(contact=contact.id, target_agent=self._some_agent(1.0))
        requirements = self._requirements() if rng.random() < 0.4 else None
        return c.TransferContact(contact=contact.id, queue=self._queue(), requirements=requirements)

    def _requeue(self) -> c.Command | None:
        served = self._served()
        return c.RequeueContact(contact=served[0].id) if served else None

    def _consult(self) -> c.Command | None:
        served = self._served()
        if served is None or served[0].consult_of or served[0].consult:
            return None
        self._number += 1
        return c.StartConsult(
            contact=served[0].id,
            consult=ContactId(f"c{self._number}"),
            queue=self._queue(),
            target_agent=self._some_agent(0.5),
        )

    def _end_consult(self) -> c.Command | None:
        consulting = [contact for contact in self._world.contacts.values() if contact.consult]
        if not consulting:
            return None
        contact = self._rng.choice(consulting)
        return c.EndConsult(contact=contact.id, hand_over=self._rng.random() < 0.7)

    # Agents as such.

    def _ready(self) -> c.Command | None:
        agent = self._agent(Presence.OFFLINE, Presence.NOT_READY)
        return c.SetPresence(agent=agent.id, presence=Presence.READY) if agent else None

    def _leave(self) -> c.Command | None:
        agent = self._agent(Presence.READY)
        if agent is None:
            return None
        presence = self._rng.choice((Presence.OFFLINE, Presence.NOT_READY))
        return c.SetPresence(agent=agent.id, presence=presence, reason="break")

    def _vanish(self) -> c.Command | None:
        agent = self._agent(Presence.READY, Presence.NOT_READY)
        return c.DeskLost(agent=agent.id) if agent and not agent.lost_at_us else None

    def _return(self) -> c.Command | None:
        lost = [agent for agent in self._world.agents.values() if agent.lost_at_us]
        return c.DeskBack(agent=self._rng.choice(lost).id) if lost else None

    def _remove_agent(self) -> c.Command | None:
        agent = self._agent(Presence.OFFLINE)
        return c.RemoveAgent(agent=agent.id) if agent and len(self._world.agents) > 2 else None

    def _hire(self) -> c.Command | None:
        self._number += 1
        return random_agent(self._rng, self._world.policy, AgentId(f"a{self._number:02d}"))

    def _put_agent(self) -> c.Command | None:
        agent = self._agent(*Presence)
        if agent is None:
            return None
        return random_agent(self._rng, self._world.policy, agent.id)

    # The rest of the world.

    def _ask_route(self) -> c.Command | None:
        self._number += 1
        channel = self._rng.choice(list(self._world.policy.channels))
        return c.AskRoute(request=f"q{self._number}", channel=channel, queue=self._queue())

    def _collect(self) -> c.Command | None:
        found = self._contact(ContactState.QUEUED)
        return c.CollectInput(contact=found.id, name="menu", prompt="1 or 2?") if found else None

    def _step_clock(self) -> c.Command | None:
        by_us = self._rng.randrange(1, 900 * SECOND_US)
        return c.StepClock(by_us=by_us if self._rng.random() < 0.6 else -by_us)

    def _pause(self) -> c.Command | None:
        channel = self._rng.choice(list(self._world.policy.channels))
        return c.PauseChannel(channel=channel, reason="nonsense", by="sue")

    def _resume(self) -> c.Command | None:
        paused = list(self._world.paused)
        return c.ResumeChannel(channel=self._rng.choice(paused), by="sue") if paused else None

    def _audit(self) -> c.Command | None:
        return c.RecordAudit(action="token.create", subject="t1", by="somebody")

    def _dead_letter(self) -> c.Command | None:
        return c.DeadLetter(command="SubmitContact", reason="broke the engine twice")

    def _live(self) -> c.Command | None:
        channel = self._rng.choice(list(self._world.policy.channels))
        there = tuple(
            contact.external_id
            for contact in self._world.contacts.values()
            if contact.channel == channel and contact.external_id and self._rng.random() < 0.8
        )
        return c.ReportLive(channel=channel, external_ids=there)

    def _new_policy(self) -> c.Command | None:
        self._number += 1
        rng, old = self._rng, self._world.policy
        queues, channels = list(old.queues), dict(old.channels)
        if len(queues) > 1 and rng.random() < 0.3:
            queues.remove(rng.choice(queues))
        if rng.random() < 0.2:
            queues.append(QueueId(f"q{self._number}"))
        if len(channels) > 1 and rng.random() < 0.1:
            del channels[rng.choice(list(channels))]
        policy = random_policy(
            rng, version=f"v{self._number}", now_us=self._world.now_us, queues=queues
        )
        kept = {
            name: Profile(id=name, queues=tuple(q for q in old_profile.queues if q.queue in queues))
            for name, old_profile in old.profiles.items()
        }
        policy = msgspec.structs.replace(
            policy, channels=channels, profiles={**kept, **policy.profiles}
        )
        return c.ApplyPolicy(policy=policy)

    # Drawing.

    def _contact(self, *states: ContactState) -> Contact | None:
        found = [contact for contact in self._world.contacts.values() if contact.state in states]
        return self._rng.choice(found) if found else None

    def _reservation(self, *states: ReservationState) -> Reservation | None:
        found = [r for r in self._world.reservations.values() if r.state in states]
        return self._rng.choice(found) if found else None

    def _served(self) -> tuple[Contact, Reservation] | None:
        reservation = self._reservation(ReservationState.CONNECTED, ReservationState.SUSPENDED)
        contact = self._world.contacts.get(reservation.contact) if reservation else None
        return (contact, reservation) if contact and reservation else None

    def _agent(self, *presences: Presence) -> Agent | None:
        found = [agent for agent in self._world.agents.values() if agent.presence in presences]
        return self._rng.choice(found) if found else None

    def _some_agent(self, chance: float) -> AgentId:
        agents = list(self._world.agents)
        return self._rng.choice(agents) if agents and self._rng.random() < chance else AgentId("")

    def _queue(self) -> QueueId:
        return self._rng.choice(list(self._world.policy.queues))

    def _requirements(self) -> Requirements:
        """What some agent could meet, mostly."""
        rng, agents = self._rng, list(self._world.agents.values())
        if not agents or rng.random() < 0.3:
            return ()
        skills = rng.choice(agents).skills
        chosen = rng.sample(sorted(skills), min(len(skills), rng.randrange(1, 3)))
        return tuple(sorted((skill, rng.randint(1, skills[skill])) for skill in chosen))


WEIGHTS: dict[Callable[[Workload], c.Command | None], float] = {
    Workload._submit: 22,
    Workload._message: 4,
    Workload._send: 3,
    Workload._abandon: 3,
    Workload._cancel: 0.5,
    Workload._reprioritize: 1.5,
    Workload._move: 1,
    Workload._require: 1,
    Workload._pull: 0.7,
    Workload._update: 0.5,
    Workload._callback: 0.7,
    Workload._reschedule: 0.5,
    Workload._switch: 1,
    Workload._link: 0.7,
    Workload._accept: 10,
    Workload._reject: 3,
    Workload._connect: 6,
    Workload._fail: 1.5,
    Workload._complete: 12,
    Workload._finish: 6,
    Workload._extend: 0.5,
    Workload._park: 2,
    Workload._hold: 1,
    Workload._unhold: 1,
    Workload._transfer: 1.5,
    Workload._requeue: 0.7,
    Workload._consult: 1.5,
    Workload._end_consult: 1.5,
    Workload._ready: 8,
    Workload._leave: 1.5,
    Workload._vanish: 0.7,
    Workload._return: 1.5,
    Workload._put_agent: 0.7,
    Workload._remove_agent: 0.3,
    Workload._hire: 0.3,
    Workload._pause: 0.4,
    Workload._resume: 1.5,
    Workload._step_clock: 0.1,
    Workload._dead_letter: 0.05,
    Workload._audit: 0.05,
    Workload._ask_route: 0.3,
    Workload._collect: 0.3,
    Workload._live: 0.2,
    Workload._new_policy: 0.5,
}
"""How often each kind is tried."""
