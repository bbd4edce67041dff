"""Commands about contacts that nobody serves yet: arriving, writing, leaving, being asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core import outbound
from router.core.attempts import goes_out, settle
from router.core.contact_events import CUSTOMER_WROTE
from router.core.decide import Decider
from router.core.effects import AnswerRoute, DeliverMessage
from router.core.model import (
    Contact,
    ContactId,
    ContactOutcome,
    ContactState,
    Direction,
    Requirements,
    ReservationState,
)
from router.core.policy import Channel, EntryPoint, Queue
from router.core.ruling import (
    Ruled,
    arrival,
    contact_after,
    count_available,
    received,
    standing,
)
from router.core.skills import merged, signature
from router.errors import Invalid, NotFound, Refused

SKILLS_MOST = 32
LEVELS = range(1, 11)
NAME_MOST = 256


def submit_contact(d: Decider, command: c.SubmitContact) -> None:
    """A contact arrives, or one is to be begun. A known external id ends at the contact it has."""
    if command.external_id:
        place = (command.channel, command.external_id)
        known = d.state.by_external.get(place) or d.state.closed_external.get(place)
        if known is not None:
            d.contact_id = known
            return
    if command.contact in d.state.contacts:
        d.contact_id = command.contact  # the same submission again
        return
    entry_point = _entry_point(d, command)
    queue = _target_queue(d, command, entry_point)
    requirements = check_new(d, command)
    if entry_point is not None:
        requirements = merged(requirements, entry_point.requirements)
    ruled: Ruled | None = None
    if d.policy.rules.is_asked:
        ruled = arrival(d, command, entry_point, queue, requirements)
        command, queue, requirements = ruled.command, ruled.queue, ruled.requirements
    elif entry_point is not None and entry_point.attributes:
        attributes = {**entry_point.attributes, **command.attributes}
        command = replace(command, attributes=attributes)
    point = entry_point.id if entry_point is not None else ""
    d.emit(received(command, queue, requirements, ruled, d.now_us, entry_point=point))
    d.contact_id = command.contact
    contact = d.state.contacts[command.contact]
    if command.message:
        _received(d, contact, command.message, command.message_size)
    if ruled is not None and ruled.plan.then.deflect:
        text = ruled.plan.then.deflect
        d.close(contact, ContactOutcome.DEFLECTED, "rule", text=text)
    elif ruled is not None and ruled.is_scheduled and goes_out(contact):
        outbound.ask_first(d, contact)
    elif contact.not_before_us > d.calendar_us:
        d.begin(contact, queue, "submitted")
    elif goes_out(contact):
        outbound.go_out(d, contact, command.facts, queue)
    else:
        _queue_up(d, contact, command, entry_point, queue)
        if ruled is not None:
            d.tell_and_switch(contact, ruled.plan)


def _queue_up(
    d: Decider,
    contact: Contact,
    command: c.SubmitContact,
    entry_point: EntryPoint | None,
    queue: Queue,
) -> None:
    """Into its queue, and a greeting if it has to wait there."""
    d.enter_queue(
        contact,
        queue,
        "submitted",
        tier=command.tier,
        head_start_us=command.head_start_us,
        target_agent=command.target_agent,
        prefer=(command.prefer_agent, command.prefer_us),
    )
    greeting = (entry_point.greeting if entry_point else "") or queue.treatment.greeting
    music = (entry_point.music if entry_point else "") or queue.treatment.music
    stays = contact.direction is Direction.INBOUND and contact.state is not ContactState.CLOSED
    if stays and (greeting or music):
        d.treat(contact, "greeting", greeting, music)


def receive_message(d: Decider, command: c.ReceiveMessage) -> None:
    """A customer wrote: joins the contact named by the backend's id, or else the one open between
    the two addresses, or begins one."""
    named = d.state.by_external.get((command.contact.channel, command.contact.external_id))
    contact_id = command.to_contact or named or d.state.by_peer.get(command.contact.peer_key)
    contact = d.state.contacts.get(contact_id) if contact_id else None
    if contact is None:
        if command.to_contact:
            raise NotFound("contact", command.to_contact)
        submit_contact(d, command.contact)
        assert d.contact_id is not None
        found = d.state.contacts.get(d.contact_id)
        if found is None or command.contact.message or found.id == command.contact.contact:
            if found is not None and not command.contact.message:
                _received(d, found, command.message, command.size)
            return
        contact = found  # known by the backend's id, under another address
    d.contact_id = contact.id
    _received(d, contact, command.message, command.size)
    settle(d, contact, "replied")
    if contact.state is ContactState.PARKED and not contact.last_agent:
        activate(d, contact, CUSTOMER_WROTE)  # the reply to a message that we sent first
    elif contact.state is ContactState.PARKED:
        channel = d.policy.channels[contact.channel]
        d.enter_queue(
            contact,
            d.queue_of(contact),
            CUSTOMER_WROTE,
            prefer=(contact.last_agent, channel.prefer_last_us),
        )
    elif contact.state is ContactState.SCHEDULED:
        activate(d, contact, CUSTOMER_WROTE)


def send_message(d: Decider, command: c.SendMessage) -> None:
    """We write to the customer; in a consult the two agents write to each other alone."""
    contact = d.contact(command.contact)
    asking = d.state.contacts.get(contact.consult_of)
    if command.agent and not (asking is not None and d.is_served(asking, command.agent)):
        d.serving(contact, command.agent)
    d.emit(
        e.MessageSent(
            at_us=d.now_us,
            contact=contact.id,
            message=command.message,
            size=command.size,
            agent=command.agent,
        )
    )
    if asking is None:
        d.effects.append(
            DeliverMessage(channel=contact.channel, contact=contact.id, message=command.message)
        )


def abandon_contact(d: Decider, command: c.AbandonContact) -> None:
    """The customer left. With an agent on the line the contact is completed, not abandoned."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    if contact.state is ContactState.ACTIVE:
        reservation = d.serving(contact)
        together = reservation.state in (ReservationState.CONNECTED, ReservationState.SUSPENDED)
        d.end_serving(contact, "customer_left", wrap_up=together)
        outcome = ContactOutcome.COMPLETED if together else ContactOutcome.ABANDONED
        d.close(contact, outcome, command.reason or "customer_left")
    elif contact.state is ContactState.PARKED:
        d.close(contact, ContactOutcome.COMPLETED, command.reason or "customer_left")
    else:
        d.close(contact, ContactOutcome.ABANDONED, command.reason)


def cancel_contact(d: Decider, command: c.CancelContact) -> None:
    """Somebody withdraws a contact that no agent has."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    if contact.state is ContactState.ACTIVE:
        raise Refused("active", f"contact {contact.id!r} is being served: complete it instead")
    d.close(contact, ContactOutcome.CANCELLED, command.reason, by=command.by)


def ask_route(d: Decider, command: c.AskRoute) -> None:
    """Where should this go, may it stay, what is the wait? As the rules say; nothing is queued."""
    channel_named(d, command.channel)
    submission = c.SubmitContact(
        contact=ContactId(command.request),
        channel=command.channel,
        entry_point=command.entry_point,
        queue=command.queue,
        customer=command.customer,
        segment=command.segment,
        attributes=command.attributes,
        facts=command.facts,
    )
    requirements = checked_requirements(command.requirements)
    ruled = judged(d, submission, requirements)
    queue, contact = ruled.queue, contact_after(d, ruled)
    eligible = count_available(d, (queue.id,), contact.requirements, command.channel)
    position = standing(d, contact)
    is_open = queue.id not in d.matcher.closed
    answered = e.RouteAnswered(
        at_us=d.now_us,
        request=command.request,
        queue=queue.id,
        wait_us=d.wait_us(queue.id, command.channel, position) if is_open else -1,
        position=position,
        eligible=eligible,
        open=is_open,
        requirements=contact.requirements,
        attributes=contact.attributes,
        segment=contact.segment,
        rule=contact.rule,
        deflect=ruled.plan.then.deflect,
    )
    d.emit(answered)
    d.effects.append(
        AnswerRoute(
            request=command.request,
            channel=command.channel,
            queue=queue.id,
            open=is_open,
            wait_us=answered.wait_us,
            position=position,
            eligible=eligible,
            requirements=contact.requirements,
            attributes=contact.attributes,
            deflect=answered.deflect,
        )
    )


def judged(
    d: Decider, command: c.SubmitContact, requirements: Requirements, *, trace: bool = False
) -> Ruled:
    """What the rules say of a contact that does not arrive. Raises as `submit_contact` does.

    `trace`: each condition and its parts are told as well, and no rule refuses it.
    """
    entry_point = _entry_point(d, command)
    queue = _target_queue(d, command, entry_point)
    if entry_point is not None:
        requirements = merged(requirements, entry_point.requirements)
    return arrival(d, command, entry_point, queue, requirements, trace=trace)


def provide_customer(d: Decider, command: c.ProvideCustomer) -> None:
    """The customer of an activated contact is known: into the queue."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    if contact.state is not ContactState.SCHEDULED or contact.not_before_us > d.calendar_us:
        return  # asked twice, or rescheduled meanwhile
    if command.found and command.segment != contact.segment:
        d.emit(e.ContactUpdated(at_us=d.now_us, contact=contact.id, segment=command.segment))
    if goes_out(contact):
        outbound.go_out(d, contact, command.facts, d.queue_of(contact), provided=command)
    else:
        activate(d, contact)


def activate(d: Decider, contact: Contact, reason: str = "activated") -> None:
    """From the shelf into its queue, as it was asked for: its window is open, or they wrote."""
    d.enter_queue(
        contact,
        d.queue_of(contact),
        reason,
        tier=contact.tier_asked,
        head_start_us=contact.head_start_us,
        visit_at_us=contact.visit_at_us if contact.callback_of else 0,
        target_agent=contact.target_agent,
        prefer=(contact.prefer_agent, contact.prefer_us),
    )


def report_live(d: Decider, command: c.ReportLive) -> None:
    """An adapter lists its live contacts: those it does not have any more were left meanwhile."""
    live = dict.fromkeys(command.external_ids)
    gone = [
        contact
        for contact in d.state.contacts.values()
        if contact.channel == command.channel
        and contact.external_id
        and contact.external_id not in live
    ]
    for contact in gone:
        if contact.id in d.state.contacts:
            abandon_contact(d, c.AbandonContact(contact=contact.id, reason="ended_unobserved"))


def checked_requirements(requirements: Requirements) -> Requirements:
    """In canonical form; raises Invalid for levels out of range, too many, too long names."""
    if len(requirements) > SKILLS_MOST:
        raise Invalid("requirements", f"at most {SKILLS_MOST} skills, got {len(requirements)}")
    before = ""
    in_order = True
    for skill, level in requirements:
        if skill <= before:
            in_order = False
        before = skill
        if not 0 < len(skill) <= NAME_MOST:
            raise Invalid("requirements", f"a skill's name has 1-{NAME_MOST} characters")
        if level not in LEVELS:
            raise Invalid("requirements", f"skill {skill!r}: level must be 1-10, got {level}")
    return requirements if in_order else signature(requirements)


def _received(d: Decider, contact: Contact, message: str, size: int) -> None:
    d.emit(e.MessageReceived(at_us=d.now_us, contact=contact.id, message=message, size=size))


def channel_named(d: Decider, name: str) -> Channel:
    """The channel; raises Invalid, naming those there are."""
    channel = d.policy.channels.get(name)
    if channel is None:
        known = ", ".join(sorted(d.policy.channels))
        raise Invalid("channel", f"no channel {name!r}; there are {known}")
    return channel


def _entry_point(d: Decider, command: c.SubmitContact) -> EntryPoint | None:
    if not command.entry_point:
        return None
    found = d.policy.entry_points.get(command.entry_point)
    if found is None:
        raise NotFound("entry point", command.entry_point)
    return found


def _target_queue(d: Decider, command: c.SubmitContact, entry_point: EntryPoint | None) -> Queue:
    if command.queue:
        return d.queue(command.queue)
    if entry_point is None:
        raise Invalid("queue", "a contact names a queue or an entry point")
    return d.queue(entry_point.queue)


def check_new(d: Decider, command: c.SubmitContact) -> Requirements:
    """Raises what is wrong with the command; returns its requirements in canonical form."""
    if command.channel not in d.policy.channels:
        channel_named(d, command.channel)
    requirements = checked_requirements(command.requirements) if command.requirements else ()
    if len(d.state.contacts) >= d.policy.live_contacts:
        raise Refused("too_many_contacts", f"{len(d.state.contacts)} contacts are live")
    if not 0 < len(command.contact) <= NAME_MOST or len(command.external_id) > NAME_MOST:
        raise Invalid("id", f"an id has at most {NAME_MOST} characters")
    check_window(d, command.not_before_us, command.not_after_us)
    if command.target_agent:
        d.agent(command.target_agent)
    if command.prefer_agent and command.prefer_agent not in d.state.agents:
        raise NotFound("agent", command.prefer_agent)
    return requirements


def check_window(d: Decider, not_before_us: int, not_after_us: int) -> None:
    """Raises Invalid for a window that is over, or never was."""
    if not_after_us and not_after_us <= max(not_before_us, d.calendar_us):
        raise Invalid("window", "not_after must be later than not_before, and in the future")


Handler = Callable[[Decider, Any], None]

HANDLERS: dict[type, Handler] = {
    c.SubmitContact: submit_contact,
    c.ReceiveMessage: receive_message,
    c.SendMessage: send_message,
    c.AbandonContact: abandon_contact,
    c.CancelContact: cancel_contact,
    c.AskRoute: ask_route,
    c.ProvideCustomer: provide_customer,
    c.ReportLive: report_live,
}
