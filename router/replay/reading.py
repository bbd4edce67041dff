"""Reads a log: which events were asked for from outside, by which command, at which place.

Everything else follows from the policy. Each command of the engine shows in the log by one event at
which it is recognised; what it drags along (an offer taken back, wrap-up begun) is passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.facts import Facts, Permission
from router.core.model import AgentId, ContactId, ContactOutcome, ReservationId
from router.core.skills import merged
from router.replay.arrivals import copied
from router.replay.outward import Outward
from router.replay.recording import Given, LiveReport, Recording
from router.replay.stages import Kind, Place, Stage

DECIDED = ("step", "rule")
"""In whose name the engine itself does what somebody could have asked for, too."""
FRESH = (
    e.ContactReceived,
    e.ContactQueued,
    e.ContactScheduled,
    e.ContactOverflowed,
    e.OutboundReserved,
)
"""What one arrival may show before the message that came with it."""


class Reader(Outward):
    """Takes events in order; `recording` is complete after `finish`."""

    def take(self, seq: int, event: e.Event) -> None:
        """The next event of the log and its number."""
        if not self.recording.first_us:
            self.recording.first_us = event.at_us
        if event.at_us != self._now_us:
            self._moment_before_us, self._now_us = self._now_us, event.at_us
            if isinstance(event, (e.ContactOffered, e.ReservationResumed)):
                self._tick(self._helped_out(event))
        self._seq = seq
        if self._waking and not isinstance(event, (e.OutcomeRecorded, e.OutboundReleased)):
            self._woken(event)
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)
        if self._arrivals.fresh and not isinstance(event, FRESH):
            self._arrivals.fresh = None
        self.stages.apply(event)
        self._before = event
        if isinstance(event, e.ContactClosed):
            self._forget(event.contact)

    def finish(self) -> Recording:
        """The log has ended: what is open stays open."""
        recording = self.recording
        recording.last_us, recording.last_seq = self._now_us, self._seq
        for life in list(self.stages.lives.values()):
            if life.stage is not None:
                self._end_by = "open"
                self._ended(life.stage, self._now_us)
        for offer in self._offers.values():
            self._react(offer, "rescinded")
        recording.clock += self._arrivals.commands()
        recording.clock.sort(key=lambda given: (given[0], given[1]))
        return recording

    # --- arrivals and messages ----------------------------------------------------------------

    def _received(self, event: e.ContactReceived) -> None:
        if event.not_after_us:
            self._windows[event.contact] = event.not_after_us - self._offset_us
        if event.outbound is not None:
            self._terms[event.contact] = event.outbound
        if event.consult_of:
            self._arrivals.consult = event
        elif event.callback_of and event.by in DECIDED:
            pass
        elif event.callback_of:
            if self._closing is not None and self._closing[0].contact.id == event.callback_of:
                stage, at_us = self._closing
                self._in_stage(stage, stage.place(at_us), _callback(event), ends=True)
                passed = self.recording.stages[stage.key]
                last = self.recording.inputs[stage.key][-1]
                self.recording.stages[stage.key] = passed._replace(by="input", last=last)
                self._end_by, self._end_input = "engine", None
        else:
            self._gone = None
            self._arrivals.received(self._seq, event)
        self._closing = None

    def _queued(self, event: e.ContactQueued) -> None:
        self._visits[event.contact] = event.visit_at_us
        if event.hold_agent:
            self._holds[event.contact] = event.hold_until_us
        if event.reason == "submitted":
            self._arrivals.queued(event)
            return
        stage = self.stages.stage(event.contact)
        if stage is None:
            return
        if stage.kind is Kind.SERVE:
            self._transferred(event, stage)
        elif event.reason == "activated":
            self._activated(event, stage)
        elif event.reason == "pulled" and stage.kind is Kind.PARK:
            pull = c.PullContact(contact=event.contact, agent=event.target_agent)
            self._input(event.contact, pull, ends=True)
            self._pulling = (self.recording.inputs[stage.key], event.contact)

    def _transferred(self, event: e.ContactQueued, stage: Stage) -> None:
        self._drop_ended_consult(stage)
        life = stage.contact
        queue = self._policy.queues.get(event.queue)
        own = queue.requirements if queue else ()
        same = merged(own, life.asked) == event.requirements
        command = c.TransferContact(
            contact=event.contact,
            queue=event.queue,
            target_agent=event.target_agent,
            requirements=None if same else event.requirements,
            agent=stage.agent,
            reason=event.reason,
        )
        self._input(event.contact, command, ends=True)

    def _drop_ended_consult(self, stage: Stage) -> None:
        """Who transfers or parks a contact ends its consult by that."""
        given = self.recording.inputs.get(stage.key, [])
        last = given[-1] if given else None
        now = stage.place(self._now_us)
        if last and isinstance(last.command, c.EndConsult) and last.place == now:
            given.pop()

    def _message(self, event: e.MessageReceived) -> None:
        if self._arrivals.message(event, self._before):
            return
        stage = self.stages.stage(event.contact)
        if stage is None:
            return
        asked = c.SubmitContact(contact=event.contact, channel=stage.contact.channel)
        command = c.ReceiveMessage(
            message=event.message, size=event.size, contact=asked, to_contact=event.contact
        )
        wakes = stage.kind in (Kind.PARK, Kind.SHELF)
        self._input(event.contact, command, ends=wakes)
        if wakes:
            self._waking = event.contact

    def _woken(self, event: e.Event) -> None:
        """Whether the message of the event before brought its contact back into its queue.

        One that was found by its external id, and not by its addresses, stays where it is.
        """
        contact, self._waking = self._waking, ContactId("")
        if isinstance(event, e.ContactQueued) and event.contact == contact:
            return
        stage = self.stages.stage(contact)
        if stage is not None:
            self._end_by, self._end_input = "engine", None
            given = self.recording.inputs[stage.key]
            asleep = replace(given[-1].command, to_contact=ContactId(""))
            given[-1] = given[-1]._replace(command=asleep)

    def _said(self, event: e.MessageSent) -> None:
        self._silent[event.contact] = event.at_us
        stage = self.stages.stage(event.contact)
        if stage is not None and stage.kind is Kind.SHELF:
            self._first_sent(event)
        else:
            self._input(event.contact, copied(c.SendMessage, event))

    # --- the customer, the backend, supervisors -----------------------------------------------

    def _updated(self, event: e.ContactUpdated) -> None:
        if event.rule:
            return
        if event.attributes is not None:
            update = c.UpdateContact(
                contact=event.contact,
                attributes=event.attributes,
                customer=event.customer or "",
                segment=event.segment or "",
                by=event.by,
            )
            self._input(event.contact, update)
        elif event.watched is not None:
            watch = c.WatchContact(contact=event.contact, watched=event.watched, by=event.by)
            self._input(event.contact, watch)

    def _moved(self, event: e.ContactOverflowed) -> None:
        if event.reason == "moved":
            command = c.MoveContact(contact=event.contact, queue=event.queue, by=event.by)
            self._input(event.contact, command)
        elif event.reason == "waited_too_long":
            self._tick(self._too_long(event.contact))

    def _switched(self, event: e.ContactSwitched) -> None:
        stage = self.stages.stage(event.contact)
        if stage is not None:
            self._arrivals.forget(event.contact, stage.contact.peer_key)
            self._arrivals.meet(event.contact, event.peer_key)
        if event.by == "learned_window":
            self._goes_elsewhere(event)
        elif event.by not in DECIDED:
            self._input(event.contact, copied(c.SwitchChannel, event))

    def _linked(self, event: e.ContactLinked) -> None:
        if event.external_id:
            self._input(event.contact, copied(c.LinkContact, event))

    def _as_told(self, event: e.Event) -> None:
        """One command, one event, the same fields."""
        if getattr(event, "by", "") in DECIDED:
            return
        self._input(event.contact, copied(_TOLD[type(event)], event))  # type: ignore[union-attr]

    def _asked(self, event: e.InputAsked) -> None:
        if event.by in DECIDED:
            return
        command = c.CollectInput(
            contact=event.contact,
            name=event.name,
            prompt=event.prompt,
            choices=event.choices,
            digits=event.digits,
            timeout_us=event.deadline_at_us - event.at_us,
            by=event.by,
        )
        self._input(event.contact, command)

    def _collected(self, event: e.InputCollected) -> None:
        if event.timed_out:
            self._tick(event.at_us)
        command = c.ReportInput(
            contact=event.contact, name=event.name, value=event.value, timed_out=event.timed_out
        )
        self._input(event.contact, command)

    def _settled(self, event: e.EffectSettled) -> None:
        if self.stages.stage(event.contact) is not None:
            self._input(event.contact, copied(c.SettleEffect, event))
        else:
            self._at_moment(copied(c.SettleEffect, event))

    # --- the ends of serving ------------------------------------------------------------------

    def _consulting(self, event: e.ConsultStarted) -> None:
        asked = self._arrivals.consult
        if asked is None:
            return
        command = c.StartConsult(
            contact=event.contact,
            consult=event.consult,
            queue=asked.queue,
            target_agent=asked.target_agent,
            requirements=asked.requirements,
            agent=AgentId(asked.by),
        )
        self._input(event.contact, command)

    def _consulted(self, event: e.ConsultEnded) -> None:
        if not event.handed_over:
            self._input(event.contact, c.EndConsult(contact=event.contact))

    def _handed_over(self, event: e.ReservationMoved) -> None:
        stage = self.stages.stage(event.contact)
        given = self.recording.inputs.get(stage.key) if stage is not None else None
        if (
            stage is not None
            and given
            and isinstance(given[-1].command, c.ResumeCustomer)
            and given[-1].place == stage.place(self._now_us)
        ):
            given.pop()  # taken off hold to be handed over
        command = c.EndConsult(contact=event.contact, hand_over=True)
        self._input(event.contact, command, ends=True)
        # The consult's own stage ends first, and by no input of its own.
        asked = self.stages.lives.get(event.from_contact)
        if asked is not None and asked.stage is not None:
            mine = (self._end_by, self._end_input)
            self._end_by, self._end_input = "engine", None
            self.stages._leave(asked, event.at_us)
            self._end_by, self._end_input = mine

    def _wraps(self, event: e.WrapUpStarted) -> None:
        self._deadlines[event.reservation] = event.deadline_at_us
        self._end_reason[event.contact] = "complete" if event.asks_disposition else ""

    def _extended(self, event: e.WrapUpExtended) -> None:
        by_us = event.deadline_at_us - self._deadlines.get(event.reservation, 0)
        self._deadlines[event.reservation] = event.deadline_at_us
        self._in_wrap(event.reservation, c.ExtendWrapUp(reservation=event.reservation, by_us=by_us))

    def _freed(self, event: e.ReservationEnded) -> None:
        self._connecting.pop(event.reservation, None)
        due_us = self._deadlines.pop(event.reservation, 0)
        if event.reservation not in self.stages.wraps:
            self._end_reason[event.contact] = event.reason
            return
        if event.reason == "wrap_up_over":
            self._tick(due_us)
        command = c.FinishWrapUp(reservation=event.reservation, disposition=event.disposition)
        self._in_wrap(event.reservation, command)

    def _in_wrap(self, reservation: ReservationId, command: c.Command) -> None:
        wrap = self.stages.wraps.get(reservation)
        if wrap is not None:
            self._gone = None
            given = Given(self._seq, Place(0, self._now_us - wrap.began_us, 0), command)
            self.recording.wraps.setdefault((wrap.contact, wrap.service), []).append(given)

    def _parked(self, event: e.ContactParked) -> None:
        if event.reason == "silence":
            self._tick(self._after(event.contact, self._silent, "park_after_us"))
            self._end_by = "silence"
        elif event.reason != "message_first":
            if (stage := self.stages.stage(event.contact)) is not None:
                self._drop_ended_consult(stage)
            self._input(event.contact, copied(c.ParkContact, event), ends=True)

    def _closed(self, event: e.ContactClosed) -> None:
        stage = self.stages.stage(event.contact)
        if stage is not None:
            self._arrivals.forget(event.contact, stage.contact.peer_key)
        reason = self._end_reason.pop(event.contact, "")
        self._closing = None
        if stage is None or self._is_consequence(event, stage):
            if event.outcome is ContactOutcome.EXPIRED:
                self._tick(self._windows.get(event.contact, 0))
            elif event.reason == "waited_too_long":
                self._tick(self._too_long(event.contact))
            if stage is not None and event.reason == "callback":
                self._closing = (stage, event.at_us)
            elif event.reason == "keyword":
                self._told_to_stop(event, stage)
            return
        if event.reason == "ended_unobserved":
            self._unobserved(event.contact, stage)
        elif event.outcome is ContactOutcome.CANCELLED:
            self._input(event.contact, copied(c.CancelContact, event), ends=True)
        elif event.outcome is ContactOutcome.ABANDONED or _customer_left(event, reason):
            self._input(event.contact, copied(c.AbandonContact, event), ends=True)
        else:
            command = c.CompleteContact(
                contact=event.contact,
                agent=AgentId(event.by),
                reason=event.reason,
                disposition=event.disposition,
            )
            self._input(event.contact, command, ends=True)

    def _is_consequence(self, event: e.ContactClosed, stage: Stage) -> bool:
        if event.outcome in (
            ContactOutcome.EXPIRED, ContactOutcome.FAILED, ContactOutcome.DEFLECTED
        ):  # fmt: skip
            return True
        if stage.contact.consult_of:
            over = ("consult_over", "handed_over")
            return event.reason in over or event.reason.startswith("contact_")
        if stage.kind is Kind.PARK and event.reason == "no_answer_from_customer":
            began = {event.contact: stage.began_us}
            self._tick(self._after(event.contact, began, "close_after_us"))
            return True
        if event.outcome is not ContactOutcome.CANCELLED or event.by:
            return False
        if stage.kind is not Kind.SHELF or not stage.contact.outbound:
            return False
        permission = Permission(allowed=False, reason=event.reason)
        self._provided(event.contact, stage, Facts(permission=permission))
        return True

    def _unobserved(self, contact: ContactId, stage: Stage) -> None:
        group = self._gone
        is_same = bool(self.recording.clock) and self.recording.clock[-1][0] == self._now_us
        if group is None or not is_same or group.channel != stage.contact.channel:
            group = LiveReport(channel=stage.contact.channel, gone=[])
            self._at_moment(group)
            self._gone = group
        group.gone.append(contact)
        self._end_by = "input"

    def _not_asked(self, event: e.Event) -> None:
        self.recording.aside[_ASIDE[type(event)]] += 1


def _customer_left(event: e.ContactClosed, reason: str) -> bool:
    """Completed because the customer went; else an agent, or somebody for them, ended it."""
    if event.by or event.disposition or not event.reason or reason == "complete":
        return False
    return reason != "completed"


def _callback(event: e.ContactReceived) -> c.RequestCallback:
    return c.RequestCallback(
        contact=event.callback_of,
        callback=event.contact,
        channel=event.channel,
        not_before_us=event.not_before_us if event.asked is None else event.asked.not_before_us,
        not_after_us=event.not_after_us,
        sealed=event.sealed,
        seal_key=event.seal_key,
        peer_key=event.peer_key,
        keep_place=event.visit_at_us > 0,
        by=event.by,
    )


_TOLD: dict[type, type[c.Command]] = {
    e.ContactReprioritized: c.ReprioritizeContact,
    e.RequirementsChanged: c.RequireSkills,
    e.CustomerHeld: c.HoldCustomer,
    e.CustomerResumed: c.ResumeCustomer,
}
_ASIDE: dict[type, str] = {
    e.RouteAnswered: "route requests",
    e.AuditRecorded: "audit records",
    e.CommandDeadLettered: "inputs that were put aside",
    e.OutcomeRecorded: "outcomes of attempts",
    **dict.fromkeys((e.ConferenceStarted, e.ConferenceEnded), "conferences"),
    **dict.fromkeys((e.MonitorStarted, e.MonitorChanged, e.MonitorEnded), "listeners"),
    **dict.fromkeys(
        (e.RecordingStarted, e.RecordingPaused, e.RecordingResumed, e.RecordingEnded), "recordings"
    ),
    **dict.fromkeys(
        (
            e.CustomerChanged,
            e.IdentityAdded,
            e.IdentityRemoved,
            e.CustomersMerged,
            e.ConsentChanged,
            e.DoNotContactChanged,
            e.CustomerErased,
        ),
        "changes of customers' profiles",
    ),
}
_HANDLERS: dict[type, Callable[[Reader, Any], None]] = {
    **dict.fromkeys(_TOLD, Reader._as_told),
    **dict.fromkeys(_ASIDE, Reader._not_asked),
    e.ContactRelaxed: Reader._relaxed,
    e.CoolDownEnded: Reader._cooled,
    e.HoldEnded: Reader._hold_ended,
    e.ContactReceived: Reader._received,
    e.ContactQueued: Reader._queued,
    e.ContactScheduled: Reader._scheduled,
    e.OutboundSent: Reader._goes_first,
    e.ContactOverflowed: Reader._moved,
    e.ContactSwitched: Reader._switched,
    e.ContactLinked: Reader._linked,
    e.ContactUpdated: Reader._updated,
    e.ContactParked: Reader._parked,
    e.ContactClosed: Reader._closed,
    e.MessageReceived: Reader._message,
    e.MessageSent: Reader._said,
    e.EffectSettled: Reader._settled,
    e.InputAsked: Reader._asked,
    e.InputCollected: Reader._collected,
    e.ConsultStarted: Reader._consulting,
    e.ConsultEnded: Reader._consulted,
    e.ContactOffered: Reader._offered,
    e.OfferAccepted: Reader._taken,
    e.OfferRejected: Reader._rejected,
    e.OfferExpired: Reader._missed,
    e.OfferRescinded: Reader._rescinded,
    e.ReservationConnecting: Reader._connects,
    e.ReservationConnected: Reader._connected,
    e.ReservationFailed: Reader._failed,
    e.WrapUpStarted: Reader._wraps,
    e.WrapUpExtended: Reader._extended,
    e.ReservationEnded: Reader._freed,
    e.ReservationMoved: Reader._handed_over,
    e.AgentPut: Reader._agent_put,
    e.AgentRemoved: Reader._agent_removed,
    e.PresenceChanged: Reader._presence,
    e.AgentLost: Reader._agent_lost,
    e.AgentBack: Reader._agent_back,
    e.ChannelPaused: Reader._channel_paused,
    e.ChannelResumed: Reader._channel_resumed,
    e.ClockStepped: Reader._clock,
    e.PolicyApplied: Reader._policy_applied,
}
