"""From loaded rows to indexes and deadlines: what handlers of events had laid out before a stop.

The same calls as theirs for each contact that waits; only what costs more one by one (positions) is
added for everybody at once. Nothing that is derived is stored, so this is all that a start needs.
"""

from __future__ import annotations

from operator import attrgetter

from router.core.model import (
    ANSWER_GRACE_US,
    FOR_EVER_US,
    Agent,
    Contact,
    ContactState,
    Presence,
    Reservation,
)
from router.core.roster import Seat
from router.core.state import State


def lay_out(state: State, now_us: int, grace_us: int) -> None:
    """Lay the indexes out from the loaded rows; nothing falls due before the grace is over.

    Raises AssertionError or KeyError if rows contradict each other.
    """
    soonest_us = now_us + grace_us
    timers, seats = state.timers, state.roster.seats
    state.roster.pause(state.pauses)
    for agent in sorted(state.agents.values(), key=attrgetter("order")):
        _seat(state, agent, soonest_us)
    for reservation in sorted(state.reservations.values(), key=_in_order):
        seats[reservation.agent].load.add(reservation)
        for attached in (reservation.recording, *(m.id for m in reservation.monitors)):
            if attached:
                state.attached[attached] = reservation.id
        if reservation.deadline_at_us:
            reservation.deadline_at_us = max(reservation.deadline_at_us, soonest_us)
            timers.set(("reservation", reservation.id), reservation.deadline_at_us)
    for seat in seats.values():
        state.reshelve(seat, now_us)
    entered = []
    for contact in sorted(state.contacts.values(), key=attrgetter("arrival_no")):
        if contact.external_id:
            state.by_external[contact.channel, contact.external_id] = contact.id
        if contact.peer_key:
            state.by_peer[contact.peer_key] = contact.id
        if contact.customer:
            state.link_customer(contact)
        _set_timers(state, contact, soonest_us)
        if contact.state is ContactState.QUEUED:
            entered.append(state.enter(contact, now_us))
    state.positions.add_all(entered)


def _in_order(reservation: Reservation) -> tuple[int, int, str]:
    """As they were made: `r9` before `r10`, whatever order a store gives rows in."""
    return reservation.offered_at_us, len(reservation.id), reservation.id


def _seat(state: State, agent: Agent, soonest_us: int) -> None:
    seat = state.roster.seats[agent.id] = Seat(agent)
    state.waiting.enroll(agent.id, seat.reader, agent.skills)
    if agent.presence is Presence.READY:
        state.roster.pool(seat).ready += 1
    if agent.lost_at_us:
        is_ready = agent.presence is Presence.READY
        since_us = max(agent.lost_at_us, agent.presence_at_us if is_ready else 0)
        at_us = max(since_us + state.policy.lost_after_us, soonest_us)
        state.timers.set(("lost", agent.id), at_us)


def _set_timers(state: State, contact: Contact, soonest_us: int) -> None:
    """All of the contact's own deadlines but those of waiting, which it gets with its place."""
    if contact.state is not ContactState.QUEUED:
        _set_timer_of_state(state, contact, soonest_us)
    if contact.question is not None:
        at_us = max(contact.question.deadline_at_us + ANSWER_GRACE_US, soonest_us)
        state.timers.set(("ask", contact.id), at_us)
    for agent, until_us in contact.excluded.items():
        if until_us < FOR_EVER_US:
            state.timers.set(("cool", contact.id, agent), until_us)


def _set_timer_of_state(state: State, contact: Contact, soonest_us: int) -> None:
    channel = state.policy.channels[contact.channel]
    if contact.state is ContactState.SCHEDULED:
        state.set_window(contact, contact.not_before_us)
    elif contact.state is ContactState.PARKED and channel.close_after_us:
        at_us = max(contact.parked_at_us + channel.close_after_us, soonest_us)
        state.timers.set(("close", contact.id), at_us)
    elif (
        contact.state is ContactState.ACTIVE
        and channel.parks
        and channel.park_after_us
        and contact.silent_since_us
    ):
        at_us = max(contact.silent_since_us + channel.park_after_us, soonest_us)
        state.timers.set(("silence", contact.id), at_us)
