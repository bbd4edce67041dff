"""What can be done to a contact, a reservation, an agent: one table for HTTP and for sockets.

Over HTTP an action is ``POST /v1/contacts/{id}:finish-…`` (dashes), on a socket
``{"type": "finish_…"}`` (underscores); the body's fields are the same. An agent's own token may act
on what is theirs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from router.api import bodies as b
from router.api.auth import Principal, Role
from router.api.tenant import Tenant
from router.api.wire import check_attributes, signature
from router.core import commands as c
from router.core.model import AgentId, ContactId, QueueId, ReservationId
from router.errors import Invalid, NotFound
from router.journal import ArchiveWrite
from router.runtime.loop import Answer


class Asked(NamedTuple):
    """One action as asked for."""

    tenant: Tenant
    who: Principal
    id: str
    """Of the contact, reservation or agent; of a channel its name."""
    now_us: int

    @property
    def agent(self) -> AgentId:
        """The agent whose own token this is; empty for everybody else."""
        return AgentId(self.who.agent)


class Planned(NamedTuple):
    """What is to be asked of the engine, and what goes along."""

    command: c.Command
    extra: Mapping[str, str] = {}
    """Ids made here that the answer tells."""


class Action(NamedTuple):
    """One thing that can be done."""

    name: str
    target: str
    """``contact``, ``reservation``, ``agent`` or ``channel``"""
    body: type[b.Body]
    plan: Callable[[Asked, Any], Planned] | None
    """None: `send`, whose text the intake seals."""
    roles: frozenset[Role]
    doc: str

    @property
    def word(self) -> str:
        """Its name without what it is done to: what stands in the path and in the audit."""
        return self.name.removesuffix(f"_{self.target}")


def _accept(a: Asked, _: b.EmptyBody) -> Planned:
    return Planned(c.AcceptOffer(reservation=ReservationId(a.id), agent=a.agent))


def _reject(a: Asked, body: b.ReasonBody) -> Planned:
    return Planned(
        c.RejectOffer(reservation=ReservationId(a.id), agent=a.agent, reason=body.reason)
    )


def _connected(a: Asked, _: b.EmptyBody) -> Planned:
    return Planned(c.ConnectReservation(reservation=ReservationId(a.id)))


def _failed(a: Asked, body: b.FailBody) -> Planned:
    return Planned(
        c.FailReservation(reservation=ReservationId(a.id), reason=body.reason, busy=body.busy)
    )


def _finish_wrap_up(a: Asked, body: b.FinishBody) -> Planned:
    return Planned(
        c.FinishWrapUp(reservation=ReservationId(a.id), agent=a.agent, disposition=body.disposition)
    )


def _extend_wrap_up(a: Asked, body: b.ExtendBody) -> Planned:
    return Planned(c.ExtendWrapUp(reservation=ReservationId(a.id), agent=a.agent, by_us=body.by_us))


def _cancel(a: Asked, body: b.ReasonBody) -> Planned:
    return Planned(c.CancelContact(contact=ContactId(a.id), reason=body.reason, by=a.who.by))


def _abandon(a: Asked, body: b.ReasonBody) -> Planned:
    return Planned(c.AbandonContact(contact=ContactId(a.id), reason=body.reason))


def _reprioritize(a: Asked, body: b.ReprioritizeBody) -> Planned:
    if body.tier is None and body.head_start_us is None:
        raise Invalid("invalid", "expected `tier` or `head_start_us`, got neither")
    return Planned(
        c.ReprioritizeContact(
            contact=ContactId(a.id),
            tier=body.tier,
            head_start_us=body.head_start_us,
            by=a.who.by,
        )
    )


def _move(a: Asked, body: b.MoveBody) -> Planned:
    return Planned(c.MoveContact(contact=ContactId(a.id), queue=QueueId(body.queue), by=a.who.by))


def _require(a: Asked, body: b.RequireBody) -> Planned:
    return Planned(
        c.RequireSkills(
            contact=ContactId(a.id), requirements=signature(body.requirements), by=a.who.by
        )
    )


def _pull(a: Asked, body: b.PullBody) -> Planned:
    agent = a.agent or AgentId(body.agent)
    if not agent:
        raise Invalid("invalid", "expected `agent`: who takes it")
    if a.agent and body.agent not in {"", a.agent}:
        raise NotFound("agent", body.agent)
    return Planned(c.PullContact(contact=ContactId(a.id), agent=agent, by=a.who.by))


def _watch(a: Asked, body: b.WatchBody) -> Planned:
    return Planned(c.WatchContact(contact=ContactId(a.id), watched=body.watched, by=a.who.by))


def _update(a: Asked, body: b.UpdateBody) -> Planned:
    check_attributes(body.attributes)
    return Planned(
        c.UpdateContact(
            contact=ContactId(a.id),
            attributes=body.attributes,
            customer=body.customer,
            segment=body.segment,
            version=body.version,
            by=a.who.by,
        )
    )


def _transfer(a: Asked, body: b.TransferBody) -> Planned:
    return Planned(
        c.TransferContact(
            contact=ContactId(a.id),
            queue=QueueId(body.queue),
            target_agent=AgentId(body.target_agent),
            requirements=None if body.requirements is None else signature(body.requirements),
            agent=a.agent,
            reason=body.reason,
        )
    )


def _requeue(a: Asked, body: b.ReasonBody) -> Planned:
    return Planned(c.RequeueContact(contact=ContactId(a.id), agent=a.agent, reason=body.reason))


def _park(a: Asked, body: b.ReasonBody) -> Planned:
    return Planned(c.ParkContact(contact=ContactId(a.id), agent=a.agent, reason=body.reason))


def _hold(a: Asked, _: b.EmptyBody) -> Planned:
    return Planned(c.HoldCustomer(contact=ContactId(a.id), agent=a.agent))


def _resume(a: Asked, _: b.EmptyBody) -> Planned:
    return Planned(c.ResumeCustomer(contact=ContactId(a.id), agent=a.agent))


def _complete(a: Asked, body: b.CompleteBody) -> Planned:
    return Planned(
        c.CompleteContact(
            contact=ContactId(a.id),
            agent=a.agent,
            reason=body.reason,
            disposition=body.disposition,
        )
    )


def _consult(a: Asked, body: b.ConsultBody) -> Planned:
    consult = a.tenant.new_contact_id(a.now_us)
    command = c.StartConsult(
        contact=ContactId(a.id),
        consult=consult,
        queue=QueueId(body.queue),
        target_agent=AgentId(body.target_agent),
        requirements=signature(body.requirements),
        agent=a.agent,
    )
    return Planned(command, extra={"consult": consult})


def _end_consult(a: Asked, body: b.EndConsultBody) -> Planned:
    return Planned(c.EndConsult(contact=ContactId(a.id), hand_over=body.hand_over, agent=a.agent))


def _conference(a: Asked, body: b.ConferenceBody) -> Planned:
    return Planned(c.SetConference(contact=ContactId(a.id), together=body.together, agent=a.agent))


def _record(a: Asked, body: b.RecordBody) -> Planned:
    return Planned(c.RecordCall(contact=ContactId(a.id), on=body.on, agent=a.agent, by=a.who.by))


def _monitor(a: Asked, body: b.MonitorBody) -> Planned:
    monitor = body.monitor or f"l{a.tenant.new_contact_id(a.now_us)}"
    command = c.StartMonitor(
        contact=ContactId(a.id),
        monitor=monitor,
        agent=AgentId(body.agent),
        mode=body.mode,
        by=a.who.by,
    )
    return Planned(command, extra={"monitor": monitor})


def _stop_monitor(a: Asked, body: b.StopMonitorBody) -> Planned:
    return Planned(
        c.EndMonitor(
            monitor=body.monitor,
            contact=ContactId(a.id),
            reason=body.reason or "stopped",
            by=a.who.by,
        )
    )


def _recording_ended(a: Asked, body: b.RecordingEndedBody) -> Planned:
    return Planned(
        c.FailRecording(recording=body.recording, contact=ContactId(a.id), reason=body.reason)
    )


def _hung_up(a: Asked, body: b.ReasonBody) -> Planned:
    return Planned(c.AgentHungUp(reservation=ReservationId(a.id), reason=body.reason))


def _switch_channel(a: Asked, body: b.SwitchBody) -> Planned:
    sealed, key, peer_key = a.tenant.reseal(a.id, body.channel, body.address)
    return Planned(
        c.SwitchChannel(
            contact=ContactId(a.id),
            channel=body.channel,
            queue=QueueId(body.queue),
            external_id=body.external_id,
            sealed=sealed,
            seal_key=key,
            peer_key=peer_key,
            by=a.who.by,
        )
    )


def _callback(a: Asked, body: b.CallbackBody) -> Planned:
    callback = a.tenant.new_contact_id(a.now_us)
    sealed, key, peer_key = a.tenant.reseal(a.id, body.channel, body.address)
    command = c.RequestCallback(
        contact=ContactId(a.id),
        callback=callback,
        channel=body.channel,
        not_before_us=body.not_before_us,
        not_after_us=body.not_after_us,
        sealed=sealed,
        seal_key=key,
        peer_key=peer_key,
        keep_place=body.keep_place,
        by=a.who.by,
    )
    return Planned(command, extra={"callback": callback})


def _reschedule(a: Asked, body: b.RescheduleBody) -> Planned:
    return Planned(
        c.RescheduleContact(
            contact=ContactId(a.id),
            not_before_us=body.not_before_us,
            not_after_us=body.not_after_us,
            by=a.who.by,
        )
    )


def _collect(a: Asked, body: b.CollectBody) -> Planned:
    return Planned(
        c.CollectInput(
            contact=ContactId(a.id),
            name=body.name,
            prompt=body.prompt,
            choices=body.choices,
            digits=body.digits,
            timeout_us=body.timeout_us,
            by=a.who.by,
        )
    )


def _input(a: Asked, body: b.InputBody) -> Planned:
    return Planned(
        c.ReportInput(
            contact=ContactId(a.id),
            name=body.name,
            value=body.value,
            ask=body.ask,
            timed_out=body.timed_out,
        )
    )


def _presence(a: Asked, body: b.PresenceBody) -> Planned:
    return Planned(
        c.SetPresence(agent=AgentId(a.id), presence=body.presence, reason=body.reason, by=a.who.by)
    )


def _pause_channel(a: Asked, body: b.ReasonBody) -> Planned:
    return Planned(c.PauseChannel(channel=a.id, reason=body.reason, by=a.who.by))


def _resume_channel(a: Asked, _: b.EmptyBody) -> Planned:
    return Planned(c.ResumeChannel(channel=a.id, by=a.who.by))


def _roles(text: str) -> frozenset[Role]:
    return frozenset(Role(word) for word in text.split())


STAFF = _roles("admin supervisor agent")
LEADS = _roles("admin supervisor")
MEDIA = _roles("admin adapter")
CALLERS = _roles("admin supervisor adapter client")

ACTIONS: tuple[Action, ...] = (
    Action("accept", "reservation", b.EmptyBody, _accept, STAFF, "Take an offer."),
    Action("reject", "reservation", b.ReasonBody, _reject, STAFF, "Decline an offer."),
    Action("connected", "reservation", b.EmptyBody, _connected, MEDIA,
           "The agent's media leg is up."),
    Action("failed", "reservation", b.FailBody, _failed, MEDIA, "The agent's media leg failed."),
    Action("hung_up", "reservation", b.ReasonBody, _hung_up, MEDIA,
           "The agent hung up: completes it, or leaves it to the consulted agent."),
    Action("finish_wrap_up", "reservation", b.FinishBody, _finish_wrap_up, STAFF,
           "Wrap-up is done."),
    Action("extend_wrap_up", "reservation", b.ExtendBody, _extend_wrap_up, STAFF,
           "More time for wrap-up."),
    Action("cancel", "contact", b.ReasonBody, _cancel, _roles("admin supervisor client"),
           "Withdraw a contact that nobody serves."),
    Action("abandon", "contact", b.ReasonBody, _abandon, _roles("admin adapter client"),
           "The customer left."),
    Action("reprioritize", "contact", b.ReprioritizeBody, _reprioritize, LEADS,
           "Change tier or head start; takes effect at once."),
    Action("move", "contact", b.MoveBody, _move, LEADS, "Move a waiting contact to another queue."),
    Action("require", "contact", b.RequireBody, _require, LEADS,
           "Replace what a waiting contact asks of its agent."),
    Action("pull", "contact", b.PullBody, _pull, STAFF, "Give a waiting contact to an agent now."),
    Action("watch", "contact", b.WatchBody, _watch, STAFF,
           "Put it before the supervisor, or take it away."),
    Action("update", "contact", b.UpdateBody, _update,
           _roles("admin supervisor agent adapter client"),
           "Set attributes (merged; null removes), name the customer."),
    Action("transfer", "contact", b.TransferBody, _transfer, STAFF,
           "Hand on to a queue, an agent, or other requirements."),
    Action("requeue", "contact", b.ReasonBody, _requeue, STAFF,
           "Give it back to its place in the queue."),
    Action("park", "contact", b.ReasonBody, _park, STAFF,
           "Wait for the customer without holding capacity."),
    Action("hold", "contact", b.EmptyBody, _hold, STAFF, "Put the customer on hold."),
    Action("resume", "contact", b.EmptyBody, _resume, STAFF, "Take the customer off hold."),
    Action("complete", "contact", b.CompleteBody, _complete,
           _roles("admin supervisor agent adapter"),
           "The matter is done; wrap-up begins."),
    Action("switch_channel", "contact", b.SwitchBody, _switch_channel,
           _roles("admin supervisor agent client"),
           "Go on by another channel as the same contact, with its age."),
    Action("callback", "contact", b.CallbackBody, _callback,
           _roles("admin supervisor agent adapter client"),
           "Deflect this contact; a callback inherits its age, queue and requirements."),
    Action("reschedule", "contact", b.RescheduleBody, _reschedule, CALLERS,
           "Move a scheduled contact's window."),
    Action("consult", "contact", b.ConsultBody, _consult, STAFF, "Ask another agent about it."),
    Action("end_consult", "contact", b.EndConsultBody, _end_consult, STAFF,
           "End a consult: hand over, or go on alone."),
    Action("conference", "contact", b.ConferenceBody, _conference, STAFF,
           "Customer, agent and consulted agent together, or apart again."),
    Action("record", "contact", b.RecordBody, _record, STAFF, "Record the call, pause, go on."),
    Action("monitor", "contact", b.MonitorBody, _monitor, LEADS,
           "Listen to a call, whisper to its agent, or barge in; `monitor` changes the mode."),
    Action("stop_monitor", "contact", b.StopMonitorBody, _stop_monitor,
           _roles("admin supervisor adapter"), "Listen no more."),
    Action("recording_ended", "contact", b.RecordingEndedBody, _recording_ended, MEDIA,
           "The backend does not record (any more)."),
    Action("collect", "contact", b.CollectBody, _collect, LEADS,
           "Play a prompt to the waiting customer and collect an answer."),
    Action("input", "contact", b.InputBody, _input, _roles("admin adapter client"),
           "What play-and-collect got."),
    Action("send", "contact", b.SendBody, None, STAFF, "Write to the customer."),
    Action("presence", "agent", b.PresenceBody, _presence, STAFF,
           "Ready, not ready (why), offline."),
    Action("pause_channel", "channel", b.ReasonBody, _pause_channel, LEADS,
           "Offer nobody its contacts until it is resumed; what waits keeps its place and age."),
    Action("resume_channel", "channel", b.EmptyBody, _resume_channel, LEADS,
           "Offer its contacts again, those first that come first in the line."),
)  # fmt: skip

ALWAYS = ("monitor", "stop_monitor", "record", "pause_channel", "resume_channel")
SUPERVISING = ("move", "reprioritize", "require", "pull", "presence")

BY_NAME: dict[str, Action] = {action.name: action for action in ACTIONS}


async def perform(
    action: Action, asked: Asked, body: Any, archive: tuple[ArchiveWrite, ...] = ()
) -> tuple[Answer, Mapping[str, str]]:
    """Carry it out; durable when it returns. Also the ids that were made.

    Raises what `Workspace.ask` raises. `archive` is written in the same commit.
    """
    if action.plan is None:
        answer, sent = await asked.tenant.intake.send(
            asked.id,
            body.text,
            agent=asked.who.agent,
            by=asked.who.by,
            message=body.message,
            archive=archive,
        )
        return answer, {"message": sent}
    plan = action.plan(asked, body)
    if type(plan.command) is c.FinishWrapUp and plan.command.disposition:
        archive = (*archive, *await asked.tenant.disposed(plan.command))
    answer = await asked.tenant.workspace.ask(plan.command, archive)
    return answer, plan.extra


def is_audited(asked: Asked, action: Action) -> bool:
    """Listening in, recording and pauses always; what else supervisors do to others' work."""
    return action.name in ALWAYS or (
        asked.who.role is Role.SUPERVISOR and action.name in SUPERVISING
    )


def audited_as(action: Action) -> str:
    """The audit's name for it."""
    return f"{action.target}.{action.word}"


def subject(asked: Asked, action: Action, body: b.Body) -> str:
    """What it was done to; for listening also for whose ears, for a pause why."""
    if action.target == "channel":
        return ": ".join(filter(None, (asked.id, getattr(body, "reason", ""))))
    listener = getattr(body, "agent", "") if action.name == "monitor" else ""
    return f"{asked.id} for {listener}" if listener else asked.id


def check_owner(asked: Asked, action: Action) -> None:
    """An agent's token acts on what is theirs; anything else looks as if it were not there.

    Raises NotFound; a reservation that is over is left to the engine, which says `gone`.
    """
    agent = asked.agent
    if action.target == "reservation" and not asked.tenant.is_open(asked.id):
        if not asked.tenant.was_reservation(asked.id):
            raise NotFound("reservation", asked.id)
        return
    if not agent:
        return
    match action.target:
        case "reservation":
            mine = asked.tenant.has_reservation(agent, asked.id)
        case "contact":
            mine = asked.tenant.has_contact(agent, asked.id) or (
                action.name == "pull" and asked.tenant.may_pull(agent, asked.id)
            )
        case _:
            mine = asked.id == agent
    if not mine:
        raise NotFound(action.target, asked.id)
