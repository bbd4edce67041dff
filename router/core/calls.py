"""Commands about calls: conference, listening in, recording, and what an agent's hang-up means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.core import commands as c
from router.core import events as e
from router.core.decide import Decider
from router.core.effects import ConferenceContact, MonitorContact
from router.core.legs import (
    check_media,
    end_conference,
    end_monitor,
    end_recording,
    held,
    resume,
    resumed,
    start_recording,
    tell_recording,
)
from router.core.model import AgentId, Contact, ContactOutcome, Reservation, ReservationState
from router.core.offers import fail
from router.core.service import connected, connected_by, end_open_consult, hand_over
from router.errors import Invalid, NotFound, Refused

MONITORS_MOST = 5
"""Most who listen to one conversation."""
NAME_MOST = 100


def set_conference(d: Decider, command: c.SetConference) -> None:
    """Customer, serving and consulted agent together, or apart: then the customer is on hold."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    check_media(d, contact)
    reservation = connected(d, contact, command.agent)
    if not contact.consult:
        raise Refused("no_consult", f"contact {contact.id!r} has no open consult")
    consulted = connected_by(d, d.state.contacts[contact.consult])
    if consulted is None:
        raise Refused("not_connected", "the consulted agent is not connected yet")
    if command.together == reservation.conference:
        return
    # The bridge itself takes the customer off hold, and back: HoldContact would do so once more.
    if command.together:
        if reservation.hold_at_us:
            resumed(d, contact, reservation)
        d.emit(
            e.ConferenceStarted(
                at_us=d.now_us,
                contact=contact.id,
                consult=contact.consult,
                reservation=reservation.id,
                agent=reservation.agent,
            )
        )
    else:
        end_conference(d, contact, reservation)
        held(d, contact, reservation)
    tell_conference(d, contact, reservation, consulted)


def tell_conference(
    d: Decider, contact: Contact, reservation: Reservation, consulted: Reservation
) -> None:
    """Have the adapter join or part the three, as it stands."""
    d.effects.append(
        ConferenceContact(
            channel=contact.channel,
            contact=contact.id,
            consult=contact.consult,
            together=reservation.conference,
            reservation=reservation.id,
            consult_reservation=consulted.id,
        )
    )


def start_monitor(d: Decider, command: c.StartMonitor) -> None:
    """Somebody listens to what is being served; again with another mode: heard by others."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    check_media(d, contact)
    if contact.consult_of:
        raise Refused("consult", f"contact {contact.id!r} is a consult: listen to its contact")
    reservation = connected(d, contact, AgentId(""))
    if not 0 < len(command.monitor) <= NAME_MOST:
        raise Invalid("id", f"an id has 1-{NAME_MOST} characters")
    known = {monitor.id: monitor for monitor in reservation.monitors}
    mine = known.get(command.monitor)
    if mine is None:
        _check_listener(d, command, reservation)
    elif mine.mode == command.mode:
        return
    listener = d.agent(command.agent if mine is None else mine.agent)
    kind = e.MonitorStarted if mine is None else e.MonitorChanged
    d.emit(
        kind(
            at_us=d.now_us,
            monitor=command.monitor,
            contact=contact.id,
            reservation=reservation.id,
            listener=listener.id,
            mode=command.mode,
            by=command.by,
        )
    )
    d.effects.append(
        MonitorContact(
            channel=contact.channel,
            contact=contact.id,
            reservation=reservation.id,
            monitor=command.monitor,
            agent=listener.id,
            endpoint=listener.endpoints.get(contact.channel, ""),
            mode=command.mode,
        )
    )


def _check_listener(d: Decider, command: c.StartMonitor, reservation: Reservation) -> None:
    if command.monitor in d.state.attached:
        raise Refused("exists", f"monitor {command.monitor!r} listens to another conversation")
    if not command.agent:
        raise Invalid("invalid", "expected `agent`: whose endpoint is to be rung")
    listener = d.agent(command.agent)
    if listener.id == reservation.agent:
        raise Refused("same_agent", "an agent cannot listen to themselves")
    if not listener.endpoints.get(reservation.channel):
        raise Refused(
            "no_endpoint", f"agent {listener.id!r} has no endpoint for {reservation.channel!r}"
        )
    if any(monitor.agent == listener.id for monitor in reservation.monitors):
        raise Refused("monitoring", f"agent {listener.id!r} listens already")
    if len(reservation.monitors) >= MONITORS_MOST:
        raise Refused("too_many", f"at most {MONITORS_MOST} listen to one conversation")


def stop_monitor(d: Decider, command: c.EndMonitor) -> None:
    """Nobody listens by this any more. One that is over is over."""
    if command.contact:
        d.contact_id = d.contact(command.contact).id
    id_ = d.state.attached.get(command.monitor)
    if id_ is None:
        return
    reservation = d.state.reservations[id_]
    if command.contact not in ("", reservation.contact):
        raise NotFound("monitor", command.monitor)
    d.contact_id = reservation.contact
    contact = d.state.contacts[reservation.contact]
    for monitor in reservation.monitors:
        if monitor.id == command.monitor:
            end_monitor(d, contact, reservation, monitor, command.reason, command.by)


def record_call(d: Decider, command: c.RecordCall) -> None:
    """Record, pause, go on."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    check_media(d, contact)
    if contact.consult_of:
        raise Refused("consult", f"contact {contact.id!r} is a consult: its contact is recorded")
    reservation = connected(d, contact, command.agent)
    if command.on == reservation.is_recording:
        return
    if not reservation.recording:
        start_recording(d, contact, reservation, command.by)
        return
    kind = e.RecordingResumed if command.on else e.RecordingPaused
    d.emit(
        kind(
            at_us=d.now_us,
            recording=reservation.recording,
            contact=contact.id,
            reservation=reservation.id,
            agent=reservation.agent,
            by=command.by,
        )
    )
    tell_recording(d, contact, reservation)


def fail_recording(d: Decider, command: c.FailRecording) -> None:
    """The backend does not record (any more): nobody may believe that it does."""
    if command.contact:
        d.contact_id = d.contact(command.contact).id
    id_ = d.state.attached.get(command.recording)
    if id_ is None:
        return
    reservation = d.state.reservations[id_]
    if command.contact not in ("", reservation.contact):
        raise NotFound("recording", command.recording)
    if reservation.recording == command.recording:
        d.contact_id = reservation.contact
        contact = d.state.contacts[reservation.contact]
        end_recording(d, contact, reservation, command.reason or "failed")


def agent_hung_up(d: Decider, command: c.AgentHungUp) -> None:
    """The agent hung up on purpose; a customer on hold is not hung up on by that."""
    reservation = d.state.reservations.get(command.reservation)
    if reservation is None or reservation.state is ReservationState.WRAPPING:
        return
    contact = d.state.contacts[reservation.contact]
    d.contact_id = contact.id
    reason = command.reason or "agent_hung_up"
    if reservation.state is not ReservationState.CONNECTED:
        fail(d, reservation, reason, busy=True)
        return
    if contact.consult_of:
        _leave_consult(d, d.state.contacts[contact.consult_of])
        return
    consult = d.state.contacts.get(contact.consult)
    if consult is not None and connected_by(d, consult) is not None:
        hand_over(d, contact, consult)
    elif reservation.hold_at_us:
        fail(d, reservation, reason, busy=True)
    else:
        asks = d.queue_of(contact).require_disposition
        d.end_serving(contact, "completed", wrap_up=True, asks_disposition=asks)
        d.close(contact, ContactOutcome.COMPLETED, reason)


def _leave_consult(d: Decider, asking: Contact) -> None:
    """The consulted agent went: the asking one has the customer again."""
    end_open_consult(d, asking)
    reservation = connected_by(d, asking)
    if reservation is not None and reservation.hold_at_us:
        resume(d, asking, reservation)


def restate(d: Decider, reservation: Reservation) -> None:
    """After a restart: whether it is recorded, and who is in one bridge, as it should be.

    Who listens is not said again: whoever hung up meanwhile must not be rung.
    """
    contact = d.state.contacts.get(reservation.contact)
    if contact is None or reservation.state is ReservationState.WRAPPING:
        return
    if reservation.recording:
        tell_recording(d, contact, reservation)
    consult = d.state.contacts.get(contact.consult)
    consulted = connected_by(d, consult) if consult is not None else None
    if reservation.conference and consulted is not None:
        tell_conference(d, contact, reservation, consulted)


HANDLERS: dict[type, Callable[[Decider, Any], None]] = {
    c.SetConference: set_conference,
    c.StartMonitor: start_monitor,
    c.EndMonitor: stop_monitor,
    c.RecordCall: record_call,
    c.FailRecording: fail_recording,
    c.AgentHungUp: agent_hung_up,
}
