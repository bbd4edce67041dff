"""What happens by itself: deadlines of offers, wrap-up, windows, holds, delays, steps, hours.

Each timer key begins with its kind; `fire` gives it to the one function that knows it.
"""

from __future__ import annotations

from collections.abc import Callable

from router.core import events as e
from router.core import outbound
from router.core.arrivals import activate
from router.core.asking import give_up_asking
from router.core.attempts import goes_out
from router.core.decide import Decider
from router.core.model import (
    AgentId,
    Contact,
    ContactId,
    ContactOutcome,
    ContactState,
    QueueId,
    ReservationId,
    ReservationState,
)
from router.core.moves import back_to_line
from router.core.offers import expire_offer, fail
from router.core.relaxation import check_step
from router.core.ruling import limit_for
from router.core.service import park
from router.core.staff import lost_for_good, turn_hours
from router.core.timers import TimerKey


def fire(d: Decider, key: TimerKey) -> None:
    """One timer is due."""
    _KINDS[key[0]](d, key)


def _reservation(d: Decider, key: TimerKey) -> None:
    reservation = d.state.reservations[ReservationId(key[1])]
    match reservation.state:
        case ReservationState.OFFERED:
            contact = d.state.contacts[reservation.contact]
            if contact.not_after_us and contact.not_after_us <= d.calendar_us:
                back_to_line(d, contact, "window_over")  # nobody missed it
            else:
                expire_offer(d, reservation)
        case ReservationState.CONNECTING:
            d.disconnect(d.state.contacts[reservation.contact])  # or its phone rings on
            fail(d, reservation, "connect_timeout", busy=True)
        case ReservationState.WRAPPING:
            d.end_reservation(reservation, "wrap_up_over")
        case _:
            raise AssertionError(f"{reservation.id} is {reservation.state} and has no deadline")


def _window(d: Decider, key: TimerKey) -> None:
    contact = d.state.contacts.get(ContactId(key[1]))
    if contact is None:
        return
    if goes_out(contact):
        if contact.state is ContactState.SCHEDULED:
            outbound.ask_customer(d, contact)
        elif contact.state is ContactState.QUEUED and 0 < contact.not_after_us <= d.calendar_us:
            outbound.window_over(d, contact)
    elif contact.not_after_us and contact.not_after_us <= d.calendar_us:
        if contact.state in (ContactState.SCHEDULED, ContactState.QUEUED):
            d.close(contact, ContactOutcome.EXPIRED, "window_over")
    elif contact.state is ContactState.SCHEDULED:
        if contact.customer:
            outbound.ask_customer(d, contact)
        else:
            activate(d, contact)


def _hold(d: Decider, key: TimerKey) -> None:
    contact = d.state.contacts[ContactId(key[1])]
    d.emit(e.HoldEnded(at_us=d.now_us, contact=contact.id))


def _cool(d: Decider, key: TimerKey) -> None:
    contact, agent = ContactId(key[1]), AgentId(key[2])
    d.emit(e.CoolDownEnded(at_us=d.now_us, contact=contact, agent=agent))


def _silence(d: Decider, key: TimerKey) -> None:
    contact = d.state.contacts[ContactId(key[1])]
    is_asked_about = bool(contact.consult or contact.consult_of)
    if contact.state is ContactState.ACTIVE and not is_asked_about:
        park(d, contact, "silence")


def _close(d: Decider, key: TimerKey) -> None:
    contact = d.state.contacts[ContactId(key[1])]
    if contact.state is ContactState.PARKED:
        d.close(contact, ContactOutcome.COMPLETED, "no_answer_from_customer")


def _delay(d: Decider, key: TimerKey) -> None:
    for contact in d.state.pop_due(key, d.now_us, d.policy.turn):
        if not contact.hold_agent and not contact.target_agent:
            d.state.place(contact, d.now_us)
        d.try_later(contact.id)


def _step(d: Decider, key: TimerKey) -> None:
    queue, number = QueueId(key[1]), int(key[2])
    for contact in d.state.pop_due(key, d.now_us, d.policy.turn):
        if _waits(contact) and contact.queue == queue and contact.step == number:
            check_step(d, contact)


def _waits(contact: Contact) -> bool:
    """Still in its line: what one contact of a turn did may have moved another."""
    return contact.state is ContactState.QUEUED


def _late(d: Decider, key: TimerKey) -> None:
    queue = d.policy.queues.get(QueueId(key[1]))
    for contact in d.state.pop_due(key, d.now_us, d.policy.turn):
        if queue is None or not _waits(contact) or contact.queue != queue.id:
            continue
        if contact.target_agent or contact.holds_no_line:
            continue
        limit = limit_for(d, contact, queue.on_late)
        if limit is not None:
            d.apply_limit(contact, limit, "waited_too_long")
            continue
        # No condition holds yet. A grid: one that was offered meanwhile is not asked twice.
        first_us = contact.visit_at_us + queue.longest_wait_us
        turn = (d.now_us - first_us) // queue.recheck_us + 1
        d.state.push_due(key, first_us + turn * queue.recheck_us, contact)


def _treat(d: Decider, key: TimerKey) -> None:
    queue = d.policy.queues.get(QueueId(key[1]))
    for contact in d.state.pop_due(key, d.now_us, d.policy.turn):
        if queue is not None and contact.queue == queue.id and queue.treatment.every_us:
            d.treat(contact, "position", queue.treatment.text)
            every_us = queue.treatment.every_us
            turn = (d.now_us - contact.visit_at_us) // every_us + 1
            d.state.push_due(key, contact.visit_at_us + turn * every_us, contact)


def _ask(d: Decider, key: TimerKey) -> None:
    give_up_asking(d, d.state.contacts[ContactId(key[1])])


def _ramp(d: Decider, key: TimerKey) -> None:
    seat = d.state.roster.seats.get(AgentId(key[1]))
    if seat is not None:
        d.state.reshelve(seat, d.now_us)
        d.fill_later(seat.agent.id)


def _lost(d: Decider, key: TimerKey) -> None:
    agent = d.state.agents[AgentId(key[1])]
    lost_for_good(d, agent)


def _hours(d: Decider, key: TimerKey) -> None:
    turn_hours(d, QueueId(key[1]))


def _resume(d: Decider, key: TimerKey) -> None:
    """After a restart: what fell due meanwhile has fired, now `advance` matches."""


_KINDS: dict[str, Callable[[Decider, TimerKey], None]] = {
    "reservation": _reservation,
    "window": _window,
    "hold": _hold,
    "cool": _cool,
    "silence": _silence,
    "close": _close,
    "delay": _delay,
    "step": _step,
    "late": _late,
    "treat": _treat,
    "ask": _ask,
    "ramp": _ramp,
    "lost": _lost,
    "hours": _hours,
    "resume": _resume,
}
