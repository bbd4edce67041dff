"""What hangs on an agent's leg: recording, conference, listeners. It begins and ends with it."""

from __future__ import annotations

from router.core import events as e
from router.core.edges import Edges
from router.core.effects import HoldContact, RecordContact, StopMonitor
from router.core.model import Contact, Monitor, Reservation, ReservationState
from router.errors import Refused


def check_media(d: Edges, contact: Contact) -> None:
    """Raises Refused where there is nothing to hear."""
    if not d.policy.channels[contact.channel].media:
        raise Refused("no_media", f"channel {contact.channel!r} carries no voice")


def hold(d: Edges, contact: Contact, reservation: Reservation) -> None:
    """Put a connected customer on hold."""
    held(d, contact, reservation)
    tell_hold(d, contact, reservation, held=True)


def held(d: Edges, contact: Contact, reservation: Reservation) -> None:
    """The customer is on hold; whoever put it there tells the adapter."""
    d.emit(
        e.CustomerHeld(
            at_us=d.now_us,
            reservation=reservation.id,
            contact=contact.id,
            agent=reservation.agent,
        )
    )


def resume(d: Edges, contact: Contact, reservation: Reservation) -> None:
    """Take a held customer back."""
    resumed(d, contact, reservation)
    tell_hold(d, contact, reservation, held=False)


def resumed(d: Edges, contact: Contact, reservation: Reservation) -> None:
    """The customer is off hold; whoever did it tells the adapter."""
    d.emit(
        e.CustomerResumed(
            at_us=d.now_us,
            reservation=reservation.id,
            contact=contact.id,
            agent=reservation.agent,
        )
    )


def tell_hold(d: Edges, contact: Contact, reservation: Reservation, *, held: bool) -> None:
    """Have the adapter do it, where there is something to hear."""
    if d.policy.channels[contact.channel].media:
        d.effects.append(
            HoldContact(
                channel=contact.channel,
                contact=contact.id,
                reservation=reservation.id,
                held=held,
            )
        )


def hold_for_consult(d: Edges, consult: Contact) -> None:
    """Somebody takes the consult: the customer must not hear what the two have to say."""
    contact = d.state.contacts[consult.consult_of]
    reservation = next((d.state.reservations[id_] for id_ in contact.reservations), None)
    is_with_agent = reservation is not None and reservation.state is ReservationState.CONNECTED
    if reservation is not None and is_with_agent and not reservation.hold_at_us:
        hold(d, contact, reservation)


def record_from_start(d: Edges, reservation: Reservation) -> None:
    """Agent and customer are together: recorded if the queue says so."""
    contact = d.state.contacts[reservation.contact]
    is_call = d.policy.channels[contact.channel].media and not contact.consult_of
    if is_call and d.queue_of(contact).record and not reservation.recording:
        start_recording(d, contact, reservation, "queue")


def start_recording(d: Edges, contact: Contact, reservation: Reservation, by: str) -> None:
    """Begin one more recording of this conversation."""
    d.emit(
        e.RecordingStarted(
            at_us=d.now_us,
            recording=f"{contact.id}-{reservation.id}-{reservation.recordings + 1}",
            contact=contact.id,
            reservation=reservation.id,
            agent=reservation.agent,
            by=by,
        )
    )
    tell_recording(d, contact, reservation)


def tell_recording(d: Edges, contact: Contact, reservation: Reservation) -> None:
    """Have the adapter record or not, as it stands."""
    d.effects.append(
        RecordContact(
            channel=contact.channel,
            contact=contact.id,
            reservation=reservation.id,
            recording=reservation.recording,
            on=reservation.is_recording,
        )
    )


def let_go(d: Edges, contact: Contact, reservation: Reservation, reason: str) -> None:
    """The agent's leg goes: whatever hangs on it ends."""
    end_conference(d, contact, reservation)
    asking = d.state.contacts.get(contact.consult_of)
    if asking is not None:
        for id_ in asking.reservations:
            end_conference(d, asking, d.state.reservations[id_])
    for monitor in reservation.monitors:
        end_monitor(d, contact, reservation, monitor, reason)
    if reservation.recording:
        if reservation.is_recording:
            d.effects.append(
                RecordContact(
                    channel=contact.channel,
                    contact=contact.id,
                    reservation=reservation.id,
                    recording=reservation.recording,
                    on=False,
                )
            )
        end_recording(d, contact, reservation, reason)


def end_conference(d: Edges, contact: Contact, reservation: Reservation) -> None:
    """Not all three together any more, if they were."""
    if reservation.conference:
        d.emit(
            e.ConferenceEnded(
                at_us=d.now_us,
                contact=contact.id,
                consult=contact.consult,
                reservation=reservation.id,
                agent=reservation.agent,
            )
        )


def end_monitor(
    d: Edges,
    contact: Contact,
    reservation: Reservation,
    monitor: Monitor,
    reason: str,
    by: str = "",
) -> None:
    """Nobody listens by this any more; its leg, if there is one left, goes."""
    d.emit(
        e.MonitorEnded(
            at_us=d.now_us,
            monitor=monitor.id,
            contact=contact.id,
            reservation=reservation.id,
            listener=monitor.agent,
            reason=reason,
            by=by,
        )
    )
    d.effects.append(
        StopMonitor(channel=reservation.channel, contact=contact.id, monitor=monitor.id)
    )


def end_recording(d: Edges, contact: Contact, reservation: Reservation, reason: str) -> None:
    """The recording is complete, or lost."""
    d.emit(
        e.RecordingEnded(
            at_us=d.now_us,
            recording=reservation.recording,
            contact=contact.id,
            reservation=reservation.id,
            agent=reservation.agent,
            reason=reason,
        )
    )
