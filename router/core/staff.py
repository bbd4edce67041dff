"""Commands about agents, settings and the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from router.core import commands as c
from router.core import events as e
from router.core.arrivals import LEVELS, NAME_MOST
from router.core.decide import Decider
from router.core.lifecycle import SERVING
from router.core.model import (
    Agent,
    AgentId,
    Presence,
    QueueId,
    Reservation,
    ReservationState,
)
from router.core.offers import declined, fail, release_held
from router.core.outbound import bounced, not_sent
from router.core.policy import Channel, Policy, Queue
from router.errors import Invalid, NotFound, Refused

SKILLS_MOST = 256


def put_agent(d: Decider, command: c.PutAgent) -> None:
    """Create an agent, or change one."""
    known = d.state.agents.get(command.agent)
    _check_agent(d, command, known)
    d.emit(
        e.AgentPut(
            at_us=d.now_us,
            agent=command.agent,
            order=known.order if known else d.state.totals.agent_no + 1,
            name=command.name,
            skills=dict(sorted(command.skills.items())),
            profile=command.profile,
            capacity=command.capacity,
            maximum=command.maximum,
            endpoints=command.endpoints,
            auto_accept=command.auto_accept,
            by=command.by,
        )
    )


def _check_agent(d: Decider, command: c.PutAgent, known: Agent | None) -> None:
    if not 0 < len(command.agent) <= NAME_MOST or len(command.name) > NAME_MOST:
        raise Invalid("agent", f"an agent's id and name have at most {NAME_MOST} characters")
    version = known.version if known else 0
    if command.version >= 0 and command.version != version:
        raise Refused("version", f"agent has version {version}, not {command.version}")
    if command.profile and command.profile not in d.policy.profiles:
        raise Invalid("profile", f"no routing profile {command.profile!r}")
    if len(command.skills) > SKILLS_MOST:
        raise Invalid("skills", f"at most {SKILLS_MOST} skills, got {len(command.skills)}")
    for skill, level in command.skills.items():
        if level not in LEVELS or not 0 < len(skill) <= NAME_MOST:
            raise Invalid("skills", f"skill {skill!r}: level must be 1-10, got {level}")
    if command.capacity < 0:
        raise Invalid("capacity", f"capacity must not be negative, got {command.capacity}")
    for name in (*command.maximum, *command.endpoints, *command.auto_accept):
        if name not in d.policy.channels:
            raise Invalid("channel", f"no channel {name!r}")


def remove_agent(d: Decider, command: c.RemoveAgent) -> None:
    """Delete an agent who holds nothing."""
    agent = d.agent(command.agent)
    if command.version >= 0 and command.version != agent.version:
        raise Refused("version", f"agent has version {agent.version}, not {command.version}")
    if d.state.roster.seats[agent.id].load.reservations:
        raise Refused("busy", f"agent {agent.id!r} still holds reservations")
    release_held(d, agent.id, offline=True)
    d.emit(e.AgentRemoved(at_us=d.now_us, agent=agent.id, by=command.by))


def set_presence(d: Decider, command: c.SetPresence) -> None:
    """What the agent declares; open offers go back unless the agent is ready."""
    agent = d.agent(command.agent)
    if len(command.reason) > NAME_MOST:
        raise Invalid("reason", f"a reason has at most {NAME_MOST} characters")
    reason = command.reason if command.presence is Presence.NOT_READY else ""
    if agent.presence is command.presence and agent.reason == reason:
        return
    resets_idle = agent.reason != "rona" and agent.presence is not Presence.READY
    change_presence(d, agent, command.presence, reason, resets_idle=resets_idle, by=command.by)


def change_presence(
    d: Decider,
    agent: Agent,
    presence: Presence,
    reason: str,
    *,
    resets_idle: bool = True,
    by: str = "",
) -> None:
    """Change presence and take back what an agent who is not ready must not have."""
    is_gone = bool(agent.lost_at_us) and presence is Presence.OFFLINE
    d.emit(
        e.PresenceChanged(
            at_us=d.now_us,
            agent=agent.id,
            presence=presence,
            reason=reason,
            resets_idle=resets_idle,
            by=by,
        )
    )
    if presence is not Presence.READY:
        _take_offers_back(d, agent.id, "agent_not_ready")
        release_held(d, agent.id, offline=presence is Presence.OFFLINE)
    if is_gone:
        _give_back(d, agent.id)


def desk_lost(d: Decider, command: c.DeskLost) -> None:
    """The desk is gone: open offers go back at once, the rest waits for the agent a while."""
    agent = d.agent(command.agent)
    is_over = agent.presence is Presence.OFFLINE and not any(_texts(d, agent.id))
    if agent.lost_at_us or is_over:
        return
    d.emit(e.AgentLost(at_us=d.now_us, agent=agent.id))
    _take_offers_back(d, agent.id, "desk_lost")
    release_held(d, agent.id, offline=False)


def desk_back(d: Decider, command: c.DeskBack) -> None:
    """The agent is connected again."""
    agent = d.agent(command.agent)
    if agent.lost_at_us:
        d.emit(e.AgentBack(at_us=d.now_us, agent=agent.id))


def lost_for_good(d: Decider, agent: Agent) -> None:
    """The grace is over: not ready, and text contacts go back to their places."""
    _give_back(d, agent.id)
    if agent.presence is Presence.READY:
        change_presence(d, agent, Presence.NOT_READY, "lost")
    elif agent.presence is Presence.OFFLINE:  # nobody is expected any more
        change_presence(d, agent, Presence.OFFLINE, agent.reason)


def _give_back(d: Decider, agent: AgentId) -> None:
    """Nobody sits at the desk: its text contacts go back to their places."""
    for reservation in list(_texts(d, agent)):
        # A consult may have ended with the one before.
        if reservation.id in d.state.reservations and reservation.state in SERVING:
            fail(d, reservation, "agent_lost", busy=False)


def _texts(d: Decider, agent: AgentId) -> Iterator[Reservation]:
    """What the agent serves in writing: it needs the desk, where a call goes on without."""
    for reservation in d.state.roster.seats[agent].load.reservations.values():
        if reservation.state in SERVING and not d.policy.channels[reservation.channel].media:
            yield reservation


def _take_offers_back(d: Decider, agent: AgentId, reason: str) -> None:
    for reservation in list(d.state.roster.seats[agent].load.reservations.values()):
        if reservation.state is ReservationState.OFFERED:
            d.rescind(reservation, reason)
            declined(d, d.state.contacts[reservation.contact], reason)


def apply_policy(d: Decider, command: c.ApplyPolicy) -> None:
    """New settings. What live contacts still need of the old ones stays until they are gone."""
    policy = keeping_live(d, command.policy)
    waiting = list(d.state.waiting.entries)
    d.use(policy)
    d.emit(e.PolicyApplied(at_us=d.now_us, version=policy.version, by=command.by))
    drop_pauses(d, by=command.by)
    for contact_id in waiting:
        d.try_later(contact_id)
    for agent in d.state.agents:
        d.fill_later(agent)


def keeping_live(d: Decider, new: Policy) -> Policy:
    """The new policy plus the queues and channels that live contacts are in: they drain.

    So does what those queues lead to by their limits and steps.

    With the old settings where those are known; after a restart on a changed file they are not,
    and a removed queue's contacts wait, reached by nobody, until somebody moves them.
    """
    old = d.policy
    used_queues = dict.fromkeys(map(attrgetter("queue"), d.state.contacts.values()))
    used_channels = dict.fromkeys(map(attrgetter("channel"), d.state.contacts.values()))
    used_channels |= dict.fromkeys(r.channel for r in d.state.reservations.values())
    for contact in d.state.contacts.values():  # and those on which they are to go out
        window = contact.outbound.window if contact.outbound is not None else None
        if window is not None:
            used_channels[window.channel] = None
    queues = {q: old.queues.get(q) or Queue(id=q) for q in used_queues if q not in new.queues}
    leading = list(queues.values())
    while leading:
        queue = leading.pop()
        for target in queue.leads_to():
            if target not in new.queues and target not in queues:
                queues[target] = old.queues[target]
                leading.append(old.queues[target])
        used_channels |= dict.fromkeys(queue.switches_to())
    channels = {
        name: old.channels.get(name) or Channel(name=name, cost=new.capacity, maximum=1)
        for name in used_channels
        if name not in new.channels
    }
    if not queues and not channels:
        return new
    profiles = dict(new.profiles)
    for id_, profile in old.profiles.items():
        kept = tuple(served for served in profile.queues if served.queue in queues)
        if id_ in profiles and kept:
            profiles[id_] = type(profile)(id=id_, queues=profiles[id_].queues + kept)
    hours = {q.hours: old.hours[q.hours] for q in queues.values() if q.hours} | new.hours
    settings = {name: getattr(new, name) for name in new.__struct_fields__}
    settings |= {
        "queues": {**new.queues, **queues},
        "channels": {**new.channels, **channels},
        "profiles": profiles,
        "hours": hours,
    }
    return Policy(**settings)


def pause_channel(d: Decider, command: c.PauseChannel) -> None:
    """Nobody is offered anything of it; what is offered or served already goes on."""
    if command.channel not in d.policy.channels:
        raise NotFound("channel", command.channel)
    if len(command.reason) > NAME_MOST:
        raise Invalid("reason", f"a reason has at most {NAME_MOST} characters")
    if command.channel not in d.state.pauses:
        d.emit(
            e.ChannelPaused(
                at_us=d.now_us, channel=command.channel, reason=command.reason, by=command.by
            )
        )


def resume_channel(d: Decider, command: c.ResumeChannel) -> None:
    """All who wait on it look for an agent, in the order of the line."""
    if command.channel not in d.policy.channels:
        raise NotFound("channel", command.channel)
    if command.channel in d.state.pauses:
        d.emit(e.ChannelResumed(at_us=d.now_us, channel=command.channel, by=command.by))


def drop_pauses(d: Decider, by: str = "") -> None:
    """Channels that the settings have no more are not paused any more, either."""
    for channel in list(d.state.pauses):
        if channel not in d.policy.channels:
            d.emit(e.ChannelResumed(at_us=d.now_us, channel=channel, reason="removed", by=by))


def step_clock(d: Decider, command: c.StepClock) -> None:
    """The wall clock was set; calendars are read anew, lengths run on."""
    d.emit(e.ClockStepped(at_us=d.now_us, by_us=command.by_us))
    for queue in d.policy.queues:
        turn_hours(d, queue)


def turn_hours(d: Decider, queue: QueueId) -> None:
    """Open or close a queue by the calendar, and match what that makes matchable."""
    if queue not in d.policy.queues or not d.state.turn_hours(queue, d.now_us):
        return
    for contact_id, entry in d.state.waiting.entries.items():
        if entry.contact.queue == queue or queue in entry.contact.extra_queues:
            d.try_later(contact_id)


def settle_effect(d: Decider, command: c.SettleEffect) -> None:
    """What became of an effect."""
    d.emit(
        e.EffectSettled(
            at_us=d.now_us,
            effect=command.effect,
            result=command.result,
            contact=command.contact,
            message=command.message,
            reason=command.reason,
        )
    )
    contact = d.state.contacts.get(command.contact)
    if contact is None or not command.message:
        return
    if command.result == "failed":
        not_sent(d, contact, command.message)
    elif command.result == "undelivered":
        bounced(d, contact, command.message)


def record_audit(d: Decider, command: c.RecordAudit) -> None:
    """What somebody did, for the stream; nothing hangs on it."""
    d.emit(
        e.AuditRecorded(
            at_us=d.now_us, action=command.action, subject=command.subject, by=command.by
        )
    )


def dead_letter(d: Decider, command: c.DeadLetter) -> None:
    """An input that broke the engine twice."""
    d.emit(e.CommandDeadLettered(at_us=d.now_us, command=command.command, reason=command.reason))


HANDLERS: dict[type, Callable[[Decider, Any], None]] = {
    c.PutAgent: put_agent,
    c.RemoveAgent: remove_agent,
    c.SetPresence: set_presence,
    c.DeskLost: desk_lost,
    c.DeskBack: desk_back,
    c.ApplyPolicy: apply_policy,
    c.PauseChannel: pause_channel,
    c.ResumeChannel: resume_channel,
    c.StepClock: step_clock,
    c.SettleEffect: settle_effect,
    c.RecordAudit: record_audit,
    c.DeadLetter: dead_letter,
}
