"""Commands about contacts that an agent has: complete, park, hold, transfer, consult, wrap up."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from router.core import commands as c
from router.core import events as e
from router.core.arrivals import checked_requirements
from router.core.decide import Decider
from router.core.effects import MoveAgent
from router.core.legs import end_conference, hold, record_from_start, resume
from router.core.model import (
    AgentId,
    Contact,
    ContactOutcome,
    ContactState,
    Presence,
    Requirements,
    Reservation,
    ReservationState,
)
from router.core.moves import check_not_consult
from router.core.offers import fail
from router.core.policy import Queue
from router.errors import Invalid, Refused

WRAP_UP_MOST_US = 3600 * 1_000_000


def complete_contact(d: Decider, command: c.CompleteContact) -> None:
    """The matter is done: the contact is closed, wrap-up begins."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    queue = d.queue_of(contact)
    given = checked_disposition(queue, command.disposition)
    missing = queue.require_disposition and not given and not contact.consult_of
    if contact.state is not ContactState.PARKED:
        d.serving(contact, command.agent)
        if missing and command.agent:
            raise _no_disposition(queue)
        d.end_serving(
            contact, "completed", wrap_up=True, disposition=given, asks_disposition=missing
        )
    d.close(contact, ContactOutcome.COMPLETED, command.reason, by=command.agent, disposition=given)


def finish_wrap_up(d: Decider, command: c.FinishWrapUp) -> None:
    """The agent is done with after-contact work."""
    reservation = _wrapping(d, command.reservation, command.agent)
    queue = d.queue_settings(reservation.queue)
    given = checked_disposition(queue, command.disposition) or reservation.disposition
    if reservation.asks_disposition and command.agent and not given:
        raise _no_disposition(queue)
    d.end_reservation(reservation, "wrap_up_finished", given)


def checked_disposition(queue: Queue, given: str) -> str:
    """What the agent says of how it ended. Raises Invalid if the queue lists others."""
    if not given or not queue.dispositions or given in queue.dispositions:
        return given
    close = get_close_matches(given, queue.dispositions, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(queue.dispositions)}"
    raise Invalid("unknown_disposition", f"queue {queue.id!r} has no disposition {given!r}: {hint}")


def _no_disposition(queue: Queue) -> Refused:
    known = ", ".join(queue.dispositions) or "any word"
    return Refused("disposition_missing", f"queue {queue.id!r} asks for a disposition: {known}")


def extend_wrap_up(d: Decider, command: c.ExtendWrapUp) -> None:
    """More time for it, up to an hour in all."""
    reservation = _wrapping(d, command.reservation, command.agent)
    if command.by_us <= 0:
        raise Invalid("by", f"wrap-up is extended by more than 0, got {command.by_us} µs")
    deadline_at_us = reservation.deadline_at_us + command.by_us
    if deadline_at_us > reservation.wrap_at_us + WRAP_UP_MOST_US:
        raise Refused("too_long", "wrap-up lasts an hour at most")
    d.emit(
        e.WrapUpExtended(
            at_us=d.now_us,
            reservation=reservation.id,
            deadline_at_us=deadline_at_us,
            contact=reservation.contact,
            agent=reservation.agent,
        )
    )


def park_contact(d: Decider, command: c.ParkContact) -> None:
    """The agent waits for the customer, without holding capacity."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    if not d.policy.channels[contact.channel].parks:
        raise Refused("cannot_park", f"contacts on {contact.channel!r} are not parked")
    check_not_consult(contact)
    d.serving(contact, command.agent)
    park(d, contact, command.reason or "agent")


def park(d: Decider, contact: Contact, reason: str) -> None:
    """Park an active contact; nobody is asked about it any more."""
    end_open_consult(d, contact)
    d.end_serving(contact, "parked", wrap_up=False)
    d.emit(e.ContactParked(at_us=d.now_us, contact=contact.id, reason=reason))


def hold_customer(d: Decider, command: c.HoldCustomer) -> None:
    """The customer on hold."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    reservation = connected(d, contact, command.agent)
    if reservation.hold_at_us:
        return
    if reservation.conference:
        raise Refused("conference", "take the conference apart first")
    hold(d, contact, reservation)


def resume_customer(d: Decider, command: c.ResumeCustomer) -> None:
    """The customer off hold."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    reservation = connected(d, contact, command.agent)
    if not reservation.hold_at_us:
        return
    if contact.consult and connected_by(d, d.state.contacts[contact.consult]) is not None:
        raise Refused("consulting", "end the consult first, or make a conference of it")
    resume(d, contact, reservation)


def transfer_contact(d: Decider, command: c.TransferContact) -> None:
    """Hand it on: a new visit begins, with the queue's head start for transfers."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    check_not_consult(contact)
    giver = d.serving(contact, command.agent).agent
    queue = d.queue(command.queue) if command.queue else d.queue_of(contact)
    requirements = _asked(contact, command.requirements)
    if contact.hops >= d.policy.hops:
        raise Refused("too_many_hops", f"contact {contact.id!r} was moved {contact.hops} times")
    if command.target_agent:
        target = d.agent(command.target_agent)
        if target.presence is Presence.OFFLINE:
            raise Refused("agent_offline", f"agent {target.id!r} is offline")
    elif not command.queue and command.requirements is None:
        raise Invalid("transfer", "a transfer names a queue, an agent, or requirements")
    end_open_consult(d, contact)
    d.disconnect(contact)
    d.end_serving(contact, "transferred", wrap_up=True)
    d.enter_queue(
        contact,
        queue,
        command.reason or "transferred",
        requirements=requirements,
        head_start_us=queue.transfer_head_start_us,
        target_agent=command.target_agent,
        not_agent=AgentId("") if command.target_agent == giver else giver,
    )


def requeue_contact(d: Decider, command: c.RequeueContact) -> None:
    """The agent cannot help now: the contact is back in its place, for somebody else."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    reservation = d.serving(contact, command.agent)
    d.disconnect(contact)
    fail(d, reservation, command.reason or "requeued", busy=True)


def start_consult(d: Decider, command: c.StartConsult) -> None:
    """Ask somebody, through a contact of its own in the same queue model."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    reservation = connected(d, contact, command.agent)
    if contact.consult:
        raise Refused("consulting", f"contact {contact.id!r} has an open consult already")
    if contact.consult_of:
        raise Refused("consulting", f"contact {contact.id!r} is a consult itself")
    if command.consult in d.state.contacts:
        raise Refused("exists", f"contact {command.consult!r} exists already")
    requirements = checked_requirements(command.requirements)
    if command.target_agent:
        target = d.agent(command.target_agent)
        if target.id == reservation.agent:
            raise Refused("same_agent", "an agent cannot consult themselves")
        if target.presence is Presence.OFFLINE:
            raise Refused("agent_offline", f"agent {target.id!r} is offline")
    queue = d.queue(command.queue) if command.queue else d.queue_of(contact)
    d.emit(
        e.ContactReceived(
            at_us=d.now_us,
            contact=command.consult,
            channel=contact.channel,
            queue=queue.id,
            customer=contact.customer,
            segment=contact.segment,
            attributes=contact.attributes,
            requirements=requirements,
            sealed=contact.sealed,
            seal_key=contact.seal_key,
            target_agent=command.target_agent,
            consult_of=contact.id,
            by=reservation.agent,
        )
    )
    d.emit(e.ConsultStarted(at_us=d.now_us, contact=contact.id, consult=command.consult))
    if not reservation.hold_at_us:
        hold(d, contact, reservation)
    d.enter_queue(
        d.state.contacts[command.consult],
        queue,
        "consult",
        requirements=requirements,
        head_start_us=queue.transfer_head_start_us,
        target_agent=command.target_agent,
        not_agent=reservation.agent,
    )


def end_consult(d: Decider, command: c.EndConsult) -> None:
    """Hand over to the consulted agent, or go on alone."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    reservation = connected(d, contact, command.agent)
    if not contact.consult:
        raise Refused("no_consult", f"contact {contact.id!r} has no open consult")
    consult = d.state.contacts[contact.consult]
    if not command.hand_over:
        end_open_consult(d, contact)
        if reservation.hold_at_us:
            resume(d, contact, reservation)
        return
    taking = d.serving(consult)
    if taking.state is not ReservationState.CONNECTED:
        raise Refused("not_connected", "the consulted agent is not connected yet")
    hand_over(d, contact, consult)


def hand_over(d: Decider, contact: Contact, consult: Contact) -> None:
    """The consulted agent, who is connected, has the customer from now on."""
    reservation, taking = d.serving(contact), d.serving(consult)
    if reservation.hold_at_us:
        resume(d, contact, reservation)
    d.disconnect(contact)
    d.end_serving(contact, "handed_over", wrap_up=True)
    d.emit(
        e.ReservationMoved(
            at_us=d.now_us,
            reservation=taking.id,
            from_contact=consult.id,
            contact=contact.id,
            agent=taking.agent,
        )
    )
    d.emit(e.ConsultEnded(at_us=d.now_us, contact=contact.id, consult=consult.id, handed_over=True))
    # The consulted agent's leg stays: its backend is told to move it, not that the consult is over.
    media = d.policy.channels[contact.channel].media
    d.close(consult, ContactOutcome.COMPLETED, "handed_over", is_told=not media)
    if media:
        d.effects.append(
            MoveAgent(
                channel=contact.channel,
                contact=contact.id,
                from_contact=consult.id,
                reservation=taking.id,
                agent=taking.agent,
            )
        )
    record_from_start(d, taking)


def end_open_consult(d: Decider, contact: Contact) -> None:
    """Nobody is asked about it any more."""
    if not contact.consult:
        return
    consult = d.state.contacts[contact.consult]
    end_conference(d, contact, d.serving(contact))
    d.emit(e.ConsultEnded(at_us=d.now_us, contact=contact.id, consult=consult.id))
    served = consult.state is ContactState.ACTIVE
    d.end_serving(consult, "consult_over", wrap_up=False)
    outcome = ContactOutcome.COMPLETED if served else ContactOutcome.CANCELLED
    d.close(consult, outcome, "consult_over")


def _asked(contact: Contact, requirements: Requirements | None) -> Requirements:
    return (
        contact.requirements_asked if requirements is None else checked_requirements(requirements)
    )


def connected_by(d: Decider, contact: Contact) -> Reservation | None:
    """The reservation in which agent and customer are together, if they are."""
    for id_ in contact.reservations:
        reservation = d.state.reservations[id_]
        if reservation.state is ReservationState.CONNECTED:
            return reservation
    return None


def connected(d: Decider, contact: Contact, agent: AgentId) -> Reservation:
    """The same; raises Refused."""
    reservation = d.serving(contact, agent)
    if reservation.state is not ReservationState.CONNECTED:
        raise Refused("not_connected", f"reservation {reservation.id} is {reservation.state}")
    return reservation


def _wrapping(d: Decider, reservation_id: Any, agent: AgentId) -> Reservation:
    reservation = d.reservation(reservation_id, agent)
    d.contact_id = reservation.contact
    if reservation.state is not ReservationState.WRAPPING:
        raise Refused("not_wrapping", f"reservation {reservation.id} is {reservation.state}")
    return reservation


HANDLERS: dict[type, Callable[[Decider, Any], None]] = {
    c.CompleteContact: complete_contact,
    c.FinishWrapUp: finish_wrap_up,
    c.ExtendWrapUp: extend_wrap_up,
    c.ParkContact: park_contact,
    c.HoldCustomer: hold_customer,
    c.ResumeCustomer: resume_customer,
    c.TransferContact: transfer_contact,
    c.RequeueContact: requeue_contact,
    c.StartConsult: start_consult,
    c.EndConsult: end_consult,
}
