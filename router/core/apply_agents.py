"""What reservation and agent events change. See `state.py`."""

from __future__ import annotations

from router.core import estimates
from router.core import events as e
from router.core.lifecycle import contact_after, reservation_after
from router.core.model import (
    FOR_EVER_US,
    Agent,
    AgentId,
    Contact,
    Presence,
    Reservation,
    ReservationId,
)
from router.core.pauses import ChannelPause
from router.core.roster import Seat
from router.core.state import State, applies


@applies(e.ContactOffered)
def _offered(state: State, event: e.ContactOffered) -> None:
    contact = state.contacts[event.contact]
    if not contact.reservations:
        state.offered_from_line(contact)
    contact.state = contact_after(contact.state, e.ContactOffered)
    reservation = Reservation(
        id=event.reservation,
        contact=event.contact,
        agent=event.agent,
        queue=event.queue,
        channel=event.channel,
        units=event.units,
        cost=event.units,
        visit_no=contact.visit_no,
        rank=event.rank,
        offered_at_us=event.at_us,
        deadline_at_us=event.deadline_at_us,
    )
    state.reservations[reservation.id] = reservation
    contact.reservations = (*contact.reservations, reservation.id)
    contact.offers += 1
    seat = state.unshelve(event.agent)
    seat.agent.offered_at_us = event.at_us
    seat.load.add(reservation)
    state.shelve(seat, event.at_us)
    state.totals.reservation_no += 1
    state.timers.set(("reservation", reservation.id), event.deadline_at_us)
    state.touch_totals()
    state.touch(contact)
    state.touch_reservation(reservation)
    state.touch_agent(seat.agent)


@applies(e.OfferAccepted)
def _accepted(state: State, event: e.OfferAccepted) -> None:
    reservation = _moved(state, event.reservation, e.OfferAccepted)
    contact = state.contacts[event.contact]
    contact.state = contact_after(contact.state, e.OfferAccepted)
    contact.last_agent = event.agent
    if not contact.answered_at_us:
        contact.answered_at_us = event.at_us
    row = state.estimate(contact.queue, contact.channel)
    wait_us = event.at_us - contact.visit_at_us
    estimates.answered(row, wait_us, contact.promised_wait_us, event.at_us)
    reservation.accepted_at_us = event.at_us
    _deadline(state, reservation, 0)
    seat = state.unshelve(event.agent)
    seat.agent.accepted_at_us = event.at_us
    state.shelve(seat, event.at_us)
    state.touch(contact)
    state.touch_agent(seat.agent)


@applies(e.OfferRejected)
def _rejected(state: State, event: e.OfferRejected) -> None:
    _offer_over(state, event, counts=True)


@applies(e.OfferExpired)
def _expired(state: State, event: e.OfferExpired) -> None:
    _offer_over(state, event, counts=True)


@applies(e.OfferRescinded)
def _rescinded(state: State, event: e.OfferRescinded) -> None:
    _offer_over(state, event, counts=False)


@applies(e.ReservationFailed)
def _failed(state: State, event: e.ReservationFailed) -> None:
    _offer_over(state, event, counts=event.until_us > event.at_us)


def _offer_over(
    state: State,
    event: e.OfferRejected | e.OfferExpired | e.OfferRescinded | e.ReservationFailed,
    *,
    counts: bool,
) -> None:
    """The reservation ends without the contact being served by it."""
    was_accepted = state.reservations[event.reservation].accepted_at_us > 0
    reservation = _moved(state, event.reservation, type(event))
    seat = _free(state, reservation, event.at_us if was_accepted else 0)
    contact = _unlink(state, reservation)
    if contact is not None:
        if counts:
            contact.declines = {
                **contact.declines,
                event.agent: contact.declines.get(event.agent, 0) + 1,
            }
        if event.until_us > event.at_us:
            contact.excluded[event.agent] = event.until_us
            if event.until_us < FOR_EVER_US:
                state.timers.set(("cool", contact.id, event.agent), event.until_us)
        state.touch(contact)
    state.shelve(seat, event.at_us)


@applies(e.ReservationConnecting)
def _connecting(state: State, event: e.ReservationConnecting) -> None:
    reservation = _moved(state, event.reservation, e.ReservationConnecting)
    _deadline(state, reservation, event.deadline_at_us)
    reservation.begins = event.begins
    contact = state.contacts[reservation.contact]
    contact.attempts += 1
    state.touch(contact)


@applies(e.ReservationConnected)
def _connected(state: State, event: e.ReservationConnected) -> None:
    reservation = _moved(state, event.reservation, e.ReservationConnected)
    reservation.connected_at_us = event.at_us
    _deadline(state, reservation, 0)
    # From now on it may be interrupted, which may open a channel by interruption.
    _reshelve(state, reservation.agent, event.at_us)


@applies(e.ReservationSuspended)
def _suspended(state: State, event: e.ReservationSuspended) -> None:
    reservation = state.reservations[event.reservation]
    seat = state.unshelve(reservation.agent)
    seat.load.remove(reservation)
    _moved(state, event.reservation, e.ReservationSuspended)
    reservation.units = 0
    reservation.suspended_at_us = event.at_us
    reservation.suspended_by = event.by
    seat.load.add(reservation)
    state.shelve(seat, event.at_us)


@applies(e.ReservationResumed)
def _resumed(state: State, event: e.ReservationResumed) -> None:
    reservation = state.reservations[event.reservation]
    seat = state.unshelve(reservation.agent)
    seat.load.remove(reservation)
    _moved(state, event.reservation, e.ReservationResumed)
    reservation.units = event.units
    reservation.suspended_at_us = 0
    reservation.suspended_by = ReservationId("")
    seat.load.add(reservation)
    state.shelve(seat, event.at_us)


@applies(e.CustomerHeld)
def _held(state: State, event: e.CustomerHeld) -> None:
    reservation = _moved(state, event.reservation, e.CustomerHeld)
    reservation.hold_at_us = event.at_us


@applies(e.CustomerResumed)
def _customer_resumed(state: State, event: e.CustomerResumed) -> None:
    reservation = _moved(state, event.reservation, e.CustomerResumed)
    reservation.hold_us += event.at_us - reservation.hold_at_us
    reservation.hold_at_us = 0


@applies(e.WrapUpStarted)
def _wrap_up_started(state: State, event: e.WrapUpStarted) -> None:
    reservation = _moved(state, event.reservation, e.WrapUpStarted)
    if reservation.hold_at_us:
        reservation.hold_us += event.at_us - reservation.hold_at_us
        reservation.hold_at_us = 0
    _unlink(state, reservation)
    reservation.wrap_at_us = event.at_us
    reservation.disposition = event.disposition
    reservation.asks_disposition = event.asks_disposition
    _deadline(state, reservation, event.deadline_at_us)
    # Wrap-up cannot be interrupted.
    _reshelve(state, reservation.agent, event.at_us)


@applies(e.WrapUpExtended)
def _wrap_up_extended(state: State, event: e.WrapUpExtended) -> None:
    reservation = _moved(state, event.reservation, e.WrapUpExtended)
    _deadline(state, reservation, event.deadline_at_us)


@applies(e.ReservationEnded)
def _ended(state: State, event: e.ReservationEnded) -> None:
    reservation = _moved(state, event.reservation, e.ReservationEnded)
    _unlink(state, reservation)
    if reservation.connected_at_us:
        row = state.estimate(reservation.queue, reservation.channel)
        estimates.handled(row, event.at_us - reservation.accepted_at_us)
    state.shelve(_free(state, reservation, event.at_us), event.at_us)


@applies(e.ReservationMoved)
def _reservation_moved(state: State, event: e.ReservationMoved) -> None:
    reservation = _moved(state, event.reservation, e.ReservationMoved)
    reservation.contact = event.contact
    state.contacts[event.from_contact].reservations = ()
    contact = state.contacts[event.contact]
    contact.reservations = (reservation.id,)
    contact.last_agent = reservation.agent
    state.touch(contact)


@applies(e.AgentPut)
def _agent_put(state: State, event: e.AgentPut) -> None:
    seat = state.roster.seats.get(event.agent)
    if seat is None:
        agent = Agent(id=event.agent, order=event.order)
        state.agents[agent.id] = agent
        seat = state.roster.seats[agent.id] = Seat(agent)
        state.totals.agent_no = event.order
        state.touch_totals()
    else:
        state.roster.unshelve(seat)
        state.waiting.withdraw(event.agent, seat.reader)
        if seat.agent.presence is Presence.READY:
            state.roster.pool(seat).ready -= 1
    agent = seat.agent
    agent.name = event.name
    agent.skills = event.skills
    agent.profile = event.profile
    agent.capacity = event.capacity
    agent.maximum = event.maximum
    agent.endpoints = event.endpoints
    agent.auto_accept = event.auto_accept
    agent.version += 1
    state.waiting.enroll(agent.id, seat.reader, agent.skills)
    seat.lists = {}
    if agent.presence is Presence.READY:
        state.roster.pool(seat).ready += 1
    state.shelve(seat, event.at_us)
    state.touch_agent(agent)


@applies(e.AgentRemoved)
def _agent_removed(state: State, event: e.AgentRemoved) -> None:
    seat = state.unshelve(event.agent)
    if seat.agent.presence is Presence.READY:
        state.roster.pool(seat).ready -= 1
    state.waiting.withdraw(event.agent, seat.reader)
    del state.roster.seats[event.agent]
    del state.agents[event.agent]
    state.timers.cancel(("lost", event.agent))
    state.drop("agent", event.agent)


@applies(e.PresenceChanged)
def _presence_changed(state: State, event: e.PresenceChanged) -> None:
    seat = state.unshelve(event.agent)
    agent = seat.agent
    pool = state.roster.pool(seat)
    if agent.presence is Presence.READY:
        pool.ready -= 1
    agent.presence = event.presence
    agent.reason = event.reason
    agent.presence_at_us = event.at_us
    if event.presence is Presence.READY:
        pool.ready += 1
        agent.ready_at_us = event.at_us
        if event.resets_idle:
            agent.idle_since_us = event.at_us
        if agent.lost_at_us:  # made ready by somebody else: time to come back to the desk
            state.timers.set(("lost", agent.id), event.at_us + state.policy.lost_after_us)
    if event.presence is Presence.OFFLINE:
        agent.lost_at_us = 0
        state.timers.cancel(("lost", agent.id))
    agent.version += 1
    state.shelve(seat, event.at_us)
    state.touch_agent(agent)


@applies(e.AgentLost)
def _agent_lost(state: State, event: e.AgentLost) -> None:
    seat = state.unshelve(event.agent)
    seat.agent.lost_at_us = event.at_us
    state.timers.set(("lost", event.agent), event.at_us + state.policy.lost_after_us)
    state.touch_agent(seat.agent)


@applies(e.AgentBack)
def _agent_back(state: State, event: e.AgentBack) -> None:
    seat = state.unshelve(event.agent)
    seat.agent.lost_at_us = 0
    state.timers.cancel(("lost", event.agent))
    state.shelve(seat, event.at_us)
    state.touch_agent(seat.agent)


@applies(e.ClockStepped)
def _clock_stepped(state: State, event: e.ClockStepped) -> None:
    state.step_clock(event.by_us)


@applies(e.ChannelPaused)
def _channel_paused(state: State, event: e.ChannelPaused) -> None:
    row = ChannelPause(channel=event.channel, at_us=event.at_us, by=event.by, reason=event.reason)
    state.pause(event.channel, row)


@applies(e.ChannelResumed)
def _channel_resumed(state: State, event: e.ChannelResumed) -> None:
    state.pause(event.channel, None)


@applies(e.RouteAnswered)
@applies(e.EffectSettled)
@applies(e.PolicyApplied)
def _policy_applied(state: State, event: e.PolicyApplied) -> None:
    state.forget_counts()


@applies(e.AuditRecorded)
@applies(e.CommandDeadLettered)
def _nothing(state: State, event: e.Event) -> None:
    """Facts for the stream, the audit and reports; no state hangs on them."""


def _moved(state: State, reservation_id: ReservationId, event: type) -> Reservation:
    """The reservation in the state that the table gives."""
    reservation = state.reservations[reservation_id]
    reservation.state = reservation_after(reservation.state, event)
    state.touch_reservation(reservation)
    return reservation


def _unlink(state: State, reservation: Reservation) -> Contact | None:
    """The contact, if it is live, does not stand in this reservation any more."""
    contact = state.contacts.get(reservation.contact)
    if contact is not None and reservation.id in contact.reservations:
        contact.reservations = tuple(r for r in contact.reservations if r != reservation.id)
        state.touch(contact)
    return contact


def _deadline(state: State, reservation: Reservation, at_us: int) -> None:
    reservation.deadline_at_us = at_us
    if at_us:
        state.timers.set(("reservation", reservation.id), at_us)
    else:
        state.timers.cancel(("reservation", reservation.id))


def _free(state: State, reservation: Reservation, idle_since_us: int) -> Seat:
    """The capacity is free; the agent is off the shelf until `_shelve`."""
    seat = state.unshelve(reservation.agent)
    seat.load.remove(reservation)
    if idle_since_us:
        seat.agent.idle_since_us = idle_since_us
        state.touch_agent(seat.agent)
    del state.reservations[reservation.id]
    state.drop("reservation", reservation.id)
    state.timers.cancel(("reservation", reservation.id))
    return seat


def _reshelve(state: State, agent: AgentId, at_us: int) -> None:
    state.shelve(state.unshelve(agent), at_us)
