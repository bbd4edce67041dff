"""Commands about offers: accept, reject, connect, fail, pull. And what a missed offer does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.core import commands as c
from router.core import events as e
from router.core.attempts import settle
from router.core.capacity import has_room, to_suspend
from router.core.decide import Decider
from router.core.legs import let_go
from router.core.model import (
    FOR_EVER_US,
    AgentId,
    Candidate,
    Contact,
    ContactOutcome,
    ContactState,
    Decision,
    Direction,
    Presence,
    Reservation,
    ReservationState,
    Term,
)
from router.core.moves import back_to_line
from router.core.outbound_events import NOT_BEGUN, NOT_SENT
from router.core.policy import Decline, MissAction
from router.errors import Refused


def accept_offer(d: Decider, command: c.AcceptOffer) -> None:
    """The agent takes it; the first one wins, later ones are told `gone`."""
    reservation = d.reservation(command.reservation, command.agent)
    d.contact_id = reservation.contact
    if reservation.state is not ReservationState.OFFERED:
        if reservation.state is ReservationState.WRAPPING:
            raise Refused("gone", f"reservation {reservation.id} is {reservation.state}")
        return  # accepted already: the same answer again
    d.accept(reservation)


def reject_offer(d: Decider, command: c.RejectOffer) -> None:
    """The agent declines; the contact keeps its place."""
    reservation = d.reservation(command.reservation, command.agent)
    d.contact_id = reservation.contact
    if reservation.state is not ReservationState.OFFERED:
        raise Refused("not_offered", f"reservation {reservation.id} is {reservation.state}")
    contact = d.state.contacts[reservation.contact]
    decline = d.queue_of(contact).decline
    d.emit(
        e.OfferRejected(
            at_us=d.now_us,
            reservation=reservation.id,
            contact=contact.id,
            agent=reservation.agent,
            until_us=_excluded_until_us(d, contact, reservation.agent, decline),
            reason=command.reason,
        )
    )
    d.stop_ringing(reservation, "rejected")
    declined(d, contact, "rejected")


def expire_offer(d: Decider, reservation: Reservation) -> None:
    """Nobody answered in time (RONA): the agent as the policy says, the contact in its place."""
    contact = d.state.contacts[reservation.contact]
    decline = d.queue_of(contact).decline
    counted = contact.declines.get(reservation.agent, 0) + 1
    until_us = 0
    if decline.exclude_after and counted >= decline.exclude_after:
        until_us = FOR_EVER_US
    elif decline.on_miss is MissAction.COOL_DOWN:
        until_us = d.now_us + decline.cool_down_us
    d.emit(
        e.OfferExpired(
            at_us=d.now_us,
            reservation=reservation.id,
            contact=contact.id,
            agent=reservation.agent,
            until_us=until_us,
        )
    )
    d.stop_ringing(reservation, "expired")
    if decline.on_miss is MissAction.NOT_READY:
        d.emit(
            e.PresenceChanged(
                at_us=d.now_us,
                agent=reservation.agent,
                presence=Presence.NOT_READY,
                reason="rona",
                resets_idle=False,
            )
        )
        release_held(d, reservation.agent, offline=False)
    declined(d, contact, "offer_expired", decline.bonus_us)


def declined(d: Decider, contact: Contact, reason: str, bonus_us: int = 0) -> None:
    """One offer is over; when it was the last one the contact is back in its place."""
    if contact.state is not ContactState.OFFERED or contact.reservations:
        return
    d.give_back(contact, reason, bonus_us)


def release_held(d: Decider, agent: AgentId, *, offline: bool) -> None:
    """Contacts held for an agent who went away are anybody's; those sent to them, if offline."""
    for entry in list(d.state.waiting.own.get(agent, {}).values()):
        if not entry.contact.target_agent or offline:
            d.emit(e.HoldEnded(at_us=d.now_us, contact=entry.contact.id))


def connect_reservation(d: Decider, command: c.ConnectReservation) -> None:
    """The media leg is up; an offer that was answered by phone is accepted by that."""
    reservation = d.reservation(command.reservation)
    d.contact_id = reservation.contact
    match reservation.state:
        case ReservationState.OFFERED:
            d.accept(reservation, connected=True)
        case ReservationState.ACCEPTED | ReservationState.CONNECTING:
            d.connected(reservation)
        case ReservationState.CONNECTED | ReservationState.SUSPENDED:
            return  # said twice
        case _:
            raise Refused("gone", f"reservation {reservation.id} is {reservation.state}")


def fail_reservation(d: Decider, command: c.FailReservation) -> None:
    """The leg did not come up, or broke: the contact returns to its place."""
    reservation = d.reservation(command.reservation)
    d.contact_id = reservation.contact
    if reservation.state is ReservationState.WRAPPING:
        raise Refused("gone", f"reservation {reservation.id} is in wrap-up")
    fail(d, reservation, command.reason, busy=command.busy)


def fail(d: Decider, reservation: Reservation, reason: str, *, busy: bool) -> None:
    """End a reservation that came to nothing. `busy`: the agent's side is at fault."""
    contact = d.state.contacts[reservation.contact]
    decline = d.queue_of(contact).decline
    was_offered = reservation.state is ReservationState.OFFERED
    until_us = _excluded_until_us(d, contact, reservation.agent, decline) if busy else 0
    is_being_reached = reservation.begins and reservation.state is ReservationState.CONNECTING
    is_there = bool(contact.external_id) and not is_being_reached
    let_go(d, contact, reservation, reason)
    if contact.consult:
        consult = d.state.contacts[contact.consult]
        d.end_serving(consult, "consult_over", wrap_up=False)
        d.close(consult, ContactOutcome.CANCELLED, "consult_over")
    d.emit(
        e.ReservationFailed(
            at_us=d.now_us,
            reservation=reservation.id,
            contact=contact.id,
            agent=reservation.agent,
            reason=reason,
            until_us=until_us,
        )
    )
    if was_offered:
        declined(d, contact, reason)
    elif contact.direction is not Direction.INBOUND and not busy and not is_there:
        _try_customer_again(d, contact, reason)
    else:
        if is_being_reached and contact.begins and not busy:
            _let_go(d, contact, reason)
        d.give_back(contact, reason)


def _try_customer_again(d: Decider, contact: Contact, reason: str) -> None:
    """An outbound customer was not reached: later, or given up."""
    settle(d, contact, NOT_SENT if reason in NOT_BEGUN else "no_answer")
    at_us = d.calendar_us + d.policy.callback_retry_us
    _let_go(d, contact, reason)
    if contact.attempts >= d.policy.callback_attempts or (
        contact.not_after_us and at_us >= contact.not_after_us
    ):
        d.close(contact, ContactOutcome.FAILED, reason or "not_reached")
        return
    d.emit(
        e.ContactScheduled(
            at_us=d.now_us,
            contact=contact.id,
            not_before_us=at_us,
            not_after_us=contact.not_after_us,
            direction=contact.direction,
            reason=reason or "not_reached",
        )
    )


def _let_go(d: Decider, contact: Contact, reason: str) -> None:
    """The customer was not reached, and the backend may still be ringing."""
    if contact.external_id:
        d.end_there(contact, reason)
        d.emit(e.ContactLinked(at_us=d.now_us, contact=contact.id, external_id=""))


def pull_contact(d: Decider, command: c.PullContact) -> None:
    """Somebody gives this contact to this agent, past order and skills, but not past room.

    An agent who takes up a parked contact again pulls it, too.
    """
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    agent = d.agent(command.agent)
    if contact.state not in (ContactState.QUEUED, ContactState.OFFERED, ContactState.PARKED):
        raise Refused("not_waiting", f"contact {contact.id!r} is {contact.state}")
    if agent.presence is not Presence.READY or agent.lost_at_us:
        raise Refused("not_ready", f"agent {agent.id!r} is {agent.presence}")
    for id_ in contact.reservations:
        if d.state.reservations[id_].agent == agent.id:
            raise Refused("offered", f"contact {contact.id!r} is offered to {agent.id!r} already")
    seat = d.state.roster.seats[agent.id]
    channel = d.policy.channels[contact.channel]
    if not has_room(agent, seat.load, channel, d.policy, d.now_us) and not to_suspend(
        agent, seat.load, channel, d.policy, d.now_us
    ):
        raise Refused("no_room", f"agent {agent.id!r} has no room for {channel.name!r}")
    if contact.state is ContactState.OFFERED:
        back_to_line(d, contact, "pulled")
    elif contact.state is ContactState.PARKED:
        d.enter_queue(contact, d.queue_of(contact), "pulled", target_agent=agent.id)
    decision = Decision(
        edge="pull",
        strategy="named",
        step=contact.step,
        requirements=contact.requirements,
        winner=Candidate(agent.id, (Term("by", command.by or agent.id),)),
        rule=contact.rule,
        policy_version=d.policy.version,
    )
    rank = d.matcher.rank_of(seat, contact, d.now_us)
    d.offer(contact, seat, rank, decision, auto=command.by == agent.id)


def _excluded_until_us(d: Decider, contact: Contact, agent: AgentId, decline: Decline) -> int:
    counted = contact.declines.get(agent, 0) + 1
    if decline.exclude_after and counted >= decline.exclude_after:
        return FOR_EVER_US
    return d.now_us + decline.cool_down_us


HANDLERS: dict[type, Callable[[Decider, Any], None]] = {
    c.AcceptOffer: accept_offer,
    c.RejectOffer: reject_offer,
    c.ConnectReservation: connect_reservation,
    c.FailReservation: fail_reservation,
    c.PullContact: pull_contact,
}
