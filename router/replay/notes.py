"""What reading a log notes down, and what it notes of agents: offers, presence, settings."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.facts import Outbound
from router.core.model import (
    SECOND_US,
    AgentId,
    ContactId,
    Presence,
    ReservationId,
)
from router.core.policy import Policy
from router.replay.arrivals import Arrivals, copied
from router.replay.recording import (
    ClockInput,
    Given,
    LiveReport,
    Passed,
    PolicyMark,
    Reaction,
    Recording,
    Return,
)
from router.replay.stages import Kind, Place, Stage, Stages

LATE_US_MOST = 10 * SECOND_US
"""A deadline that passed later than this was not slow but down: a restart, which no event tells."""
SLACK_US = SECOND_US // 4
"""How late a deadline may have been that nobody can name."""


class Open:
    """An offer without an answer yet."""

    __slots__ = ("agent", "at_us", "auto", "channel", "contact", "deadline_at_us")

    def __init__(self, event: e.ContactOffered) -> None:
        self.contact = event.contact
        self.agent = event.agent
        self.channel = event.channel
        self.at_us = event.at_us
        self.deadline_at_us = event.deadline_at_us
        self.auto = event.auto_accept


class Notes:
    """Where the reader is in the log, and what it has found so far."""

    def __init__(self, policy: Policy) -> None:
        """`policy`: the one that was in force; it tells what was asked from what it added."""
        self.recording = Recording()
        self.stages = Stages()
        self.stages.ended = self._ended
        self._policy = policy
        self._arrivals = Arrivals(policy)
        self._seq = 0
        self._now_us = 0
        self._moment_before_us = 0
        self._offers: dict[ReservationId, Open] = {}
        self._accepted: tuple[ReservationId, Reaction] | None = None
        self._connecting: dict[ReservationId, int] = {}
        self._deadlines: dict[ReservationId, int] = {}
        self._end_reason: dict[ContactId, str] = {}
        self._end_input: Given | None = None
        self._end_by = "engine"
        self._cooling: dict[tuple[ContactId, AgentId], int] = {}
        self._holds: dict[ContactId, int] = {}
        self._windows: dict[ContactId, int] = {}
        self._opens: dict[ContactId, int] = {}
        self._visits: dict[ContactId, int] = {}
        self._offset_us = 0
        """Calendar minus engine time, as far as the clock was set in this log."""
        self._rona: dict[AgentId, int] = {}
        self._lost: dict[AgentId, int] = {}
        self._silent: dict[ContactId, int] = {}
        self._gone: LiveReport | None = None
        self._closing: tuple[Stage, int] | None = None
        self._pulling: tuple[list[Given], ContactId] | None = None
        self._terms: dict[ContactId, Outbound] = {}
        """On which terms contacts that we begin go out."""
        self._waking = ContactId("")
        """The contact to which the customer has just written."""
        self._before: e.Event | None = None

    # --- noting -------------------------------------------------------------------------------

    def _at_moment(self, given: ClockInput) -> None:
        self._gone = None
        self.recording.clock.append((self._now_us, self._seq, given))

    def _input(self, contact: ContactId, command: c.Command, *, ends: bool = False) -> None:
        """An input of the stage in which the contact stands."""
        self._gone = None
        stage = self.stages.stage(contact)
        if stage is not None:
            self._in_stage(stage, stage.place(self._now_us), command, ends=ends)

    def _in_stage(
        self, stage: Stage, place: Place, command: c.Command, *, ends: bool = False
    ) -> None:
        given = Given(self._seq, place, command)
        self.recording.inputs.setdefault(stage.key, []).append(given)
        if ends:
            self._end_input, self._end_by = given, "input"

    def _tick(self, due_us: int = 0) -> None:
        """Deadlines passed at this moment; one of them was due at `due_us` (0 = not known when).

        The server slept from then until now, so whatever else fell due in between waited, too.
        """
        now_us = self._now_us
        earliest_us = max(self._moment_before_us + 1, now_us - LATE_US_MOST)
        if not earliest_us <= due_us <= now_us:  # else it would have passed the moment before
            due_us = max(self._moment_before_us + 1, now_us - SLACK_US)
        ticks = self.recording.ticks
        if ticks and ticks[-1][0] == now_us:
            ticks[-1] = (now_us, min(ticks[-1][1], due_us))
        else:
            ticks.append((now_us, due_us))

    def _ended(self, stage: Stage, at_us: int) -> None:
        contact = stage.contact
        by, last = self._end_by, self._end_input
        self._end_by, self._end_input = "engine", None
        self.recording.stages[stage.key] = Passed(
            queue=stage.queue,
            channel=contact.channel,
            length_us=at_us - stage.began_us,
            end=stage.place(at_us),
            by=by,
            last=last,
            has_patience=contact.has_patience,
        )
        if stage.kind is Kind.SERVE and stage.leg % 2 and by == "input":
            self.recording.last_served.setdefault(contact.id, []).append(stage.no)

    # --- offers -------------------------------------------------------------------------------

    def _offered(self, event: e.ContactOffered) -> None:
        self._gone = None
        ticks = self.recording.ticks
        if ticks and ticks[-1][0] == event.at_us and (due_us := self._helped_out(event)):
            self._tick(due_us)
        if event.decision.edge == "pull":
            self._pulled(event)
        self._offers[event.reservation] = Open(event)

    def _pulled(self, event: e.ContactOffered) -> None:
        terms = {term.name: term.value for term in event.decision.winner.terms}
        by = str(terms.get("by", ""))
        if by == event.agent and not event.auto_accept:
            by = ""
        pulling, self._pulling = self._pulling, None
        if pulling is not None and pulling[1] == event.contact:
            given = pulling[0]
            given[-1] = given[-1]._replace(
                command=replace(given[-1].command, agent=event.agent, by=by)
            )
            return
        command = c.PullContact(contact=event.contact, agent=event.agent, by=by)
        self._input(event.contact, command)

    def _react(self, offer: Open, kind: str, **more: Any) -> Reaction:
        after_us = self._now_us - offer.at_us
        reaction = Reaction(self._seq, kind, after_us, offer.channel, offer.agent, **more)
        self.recording.offers.setdefault((offer.contact, offer.agent), []).append(reaction)
        if kind != "rescinded" and not offer.auto:
            self.recording.reactions.append(reaction)
        return reaction

    def _taken(self, event: e.OfferAccepted) -> None:
        self._gone = None
        offer = self._offers.pop(event.reservation, None)
        if offer is not None:
            self._accepted = (event.reservation, self._react(offer, "accept"))

    def _connects(self, event: e.ReservationConnecting) -> None:
        self._connecting[event.reservation] = event.deadline_at_us

    def _connected(self, event: e.ReservationConnected) -> None:
        if self._connecting.pop(event.reservation, None) is not None:
            self._input(event.contact, c.ConnectReservation(reservation=event.reservation))
        elif self._accepted is not None and self._accepted[0] == event.reservation:
            reaction = self._accepted[1]
            known = self.recording.offers[event.contact, event.agent]
            known[-1] = reaction._replace(is_direct=True)
        self._accepted = None

    def _rejected(self, event: e.OfferRejected) -> None:
        self._gone = None
        self._cooling[event.contact, event.agent] = event.until_us
        offer = self._offers.pop(event.reservation, None)
        if offer is not None:
            self._react(offer, "reject", reason=event.reason)

    def _missed(self, event: e.OfferExpired) -> None:
        self._cooling[event.contact, event.agent] = event.until_us
        offer = self._offers.pop(event.reservation, None)
        if offer is not None:
            self._tick(offer.deadline_at_us)
            self._react(offer, "miss")

    def _rescinded(self, event: e.OfferRescinded) -> None:
        offer = self._offers.pop(event.reservation, None)
        if offer is not None:
            if event.reason == "window_over":
                self._tick()
            self._react(offer, "rescinded")

    def _failed(self, event: e.ReservationFailed) -> None:
        busy = event.until_us > 0
        self._cooling[event.contact, event.agent] = event.until_us
        offer = self._offers.pop(event.reservation, None)
        if offer is not None:
            self._react(offer, "fail", reason=event.reason, busy=busy)
            return
        connect_by_us = self._connecting.pop(event.reservation, 0)
        if event.reason == "connect_timeout" and connect_by_us:
            self._tick(connect_by_us)
        elif event.reason == "agent_lost":
            self._tick(self._lost.get(event.agent, 0) + self._policy.lost_after_us)
        else:
            command = c.FailReservation(
                reservation=event.reservation, reason=event.reason, busy=busy
            )
            self._input(event.contact, command, ends=True)

    def _helped_out(self, event: e.ContactOffered | e.ReservationResumed) -> int:
        """When the waiting time was over after which these agents help out; 0 = not that."""
        if not isinstance(event, e.ContactOffered) or event.decision.edge != "contact":
            return 0  # an agent looked for work: the contact's own waiting time is not why
        visit_us = self._visits.get(event.contact, 0)
        for profile in self._policy.profiles.values():
            for served in profile.queues:
                due_us = visit_us + served.delay_us
                if served.delay_us and self._moment_before_us < due_us <= event.at_us:
                    return due_us
        return 0

    def _after(self, contact: ContactId, since: dict[ContactId, int], setting: str) -> int:
        """A moment plus a length that the contact's channel sets."""
        stage = self.stages.stage(contact)
        channel = self._policy.channels.get(stage.contact.channel) if stage else None
        length_us: int = getattr(channel, setting, 0)
        return since.get(contact, 0) + length_us

    def _too_long(self, contact: ContactId) -> int:
        stage = self.stages.stage(contact)
        queue = self._policy.queues.get(stage.contact.queue) if stage else None
        if queue is None:
            return 0
        due_us = self._visits.get(contact, 0) + queue.longest_wait_us
        if queue.on_late.condition is not None:
            due_us += max(self._now_us - due_us, 0) // queue.recheck_us * queue.recheck_us
        return due_us

    # --- deadlines ----------------------------------------------------------------------------

    def _cooled(self, event: e.CoolDownEnded) -> None:
        self._tick(self._cooling.pop((event.contact, event.agent), 0))

    def _hold_ended(self, event: e.HoldEnded) -> None:
        due_us = self._holds.pop(event.contact, 0)
        if due_us and event.at_us >= due_us:
            self._tick(due_us)

    def _relaxed(self, event: e.ContactRelaxed) -> None:
        stage = self.stages.stage(event.contact)
        queue = self._policy.queues.get(stage.contact.queue) if stage else None
        if queue is None or event.step > len(queue.steps):
            self._tick()
            return
        step = queue.steps[event.step - 1]
        due_us = self._visits.get(event.contact, 0) + step.after_us
        numbers = (step.wait_over_us, step.eligible_below, step.position_over)
        if step.condition is not None or max(numbers) >= 0:
            checks = max(event.at_us - due_us, 0) // queue.recheck_us
            due_us += checks * queue.recheck_us
        # Whoever comes back to the line is owed at once what fell due while they were away.
        self._tick(max(due_us, stage.began_us) if stage else due_us)

    # --- agents and settings ------------------------------------------------------------------

    def _agent_put(self, event: e.AgentPut) -> None:
        self._at_moment(copied(c.PutAgent, event))

    def _agent_removed(self, event: e.AgentRemoved) -> None:
        self._at_moment(copied(c.RemoveAgent, event))

    def _presence(self, event: e.PresenceChanged) -> None:
        before, agent = self._before, event.agent
        since_us = self._rona.pop(agent, None)
        if event.reason == "rona" and isinstance(before, e.OfferExpired) and before.agent == agent:
            self._rona[agent] = event.at_us
            self.recording.returns[agent, event.at_us] = None
        elif event.reason == "lost" and agent in self._lost and not event.by:
            self._tick(self._lost[agent] + self._policy.lost_after_us)
        elif since_us is not None and event.presence is Presence.READY:
            self._gone = None
            back = Return(self._seq, event.at_us - since_us, event.by)
            self.recording.returns[agent, since_us] = back
        else:
            if event.presence is Presence.READY and agent in self._lost:
                self._lost[agent] = event.at_us  # the grace begins anew
            self._at_moment(copied(c.SetPresence, event))

    def _agent_lost(self, event: e.AgentLost) -> None:
        self._lost[event.agent] = event.at_us
        self._at_moment(c.DeskLost(agent=event.agent))

    def _agent_back(self, event: e.AgentBack) -> None:
        self._lost.pop(event.agent, None)
        self._at_moment(c.DeskBack(agent=event.agent))

    def _channel_paused(self, event: e.ChannelPaused) -> None:
        self._at_moment(copied(c.PauseChannel, event))

    def _channel_resumed(self, event: e.ChannelResumed) -> None:
        if event.reason != "removed":  # else new settings did it, as they do again
            self._at_moment(copied(c.ResumeChannel, event))

    def _clock(self, event: e.ClockStepped) -> None:
        self._offset_us += event.by_us
        self._at_moment(c.StepClock(by_us=event.by_us))

    def _policy_applied(self, event: e.PolicyApplied) -> None:
        self.recording.versions.append((event.at_us, event.version))
        self._at_moment(PolicyMark(version=event.version, by=event.by))
