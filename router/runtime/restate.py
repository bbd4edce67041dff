"""What is said again to adapters after a restart, because nobody knows whether they heard it.

An effect that must not be repeated blindly has an outbox row. One that is ``safe`` has none: open
offers and questions are restated from the state (`Engine.resume`), and what is over from the end of
the log, here. An adapter that has heard it finds nothing left to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from router.core import events as e
from router.core.effects import (
    ConferenceContact,
    DisconnectAgent,
    Effect,
    EndContact,
    HoldContact,
    MonitorContact,
    MoveAgent,
    RecordContact,
    RescindOffer,
    StopMonitor,
)
from router.core.events import Event
from router.core.model import AgentId, Contact, ContactId, ReservationId, ReservationState
from router.core.state import State
from router.journal import Journal, Ownership
from router.journal.codec import decode_event, event_name

AGAIN_US = 600 * 1_000_000
"""So far back from the last commit: an adapter that was away longer asks with `open` itself."""
EVENTS = 20_000
"""Most events that are looked at."""
FRAMES = 500
TURN_EVENTS = 500
"""So many are looked at in one turn of the event loop."""
SAID_AGAIN = frozenset(
    kind.__name__
    for kind in (
        e.ContactClosed,
        e.ReservationMoved,
        e.MonitorEnded,
        e.RecordingEnded,
        e.ConferenceEnded,
        e.ContactSwitched,
        e.OfferRescinded,
        e.OfferExpired,
        e.OfferRejected,
        e.WrapUpStarted,
        e.ReservationEnded,
        e.ReservationFailed,
        e.CustomerHeld,
        e.CustomerResumed,
    )
)
"""Events after which something may have to be said again: `said_again` knows what."""


async def log_end(
    journal: Journal,
    own: Ownership,
    last_seq: int,
    decode: Callable[[bytes], Event] = decode_event,
) -> list[Event]:
    """The events of the last minutes before the stop that `said_again` looks at, oldest first."""
    oldest = await journal.oldest_seq(own)
    seq = max(oldest, last_seq - EVENTS + 1)
    found: list[tuple[int, bytes]] = []
    while seq <= last_seq:
        frames = await journal.frames(own, seq, FRAMES)
        if not frames:
            break
        for frame in frames:
            found += [(frame.at_us, data) for data in frame.events]
        seq = frames[-1].first_seq + len(frames[-1].events)
    since_us = found[-1][0] - AGAIN_US if found else 0
    events: list[Event] = []
    for number, (at_us, data) in enumerate(found):
        if at_us >= since_us and ((name := event_name(data)) in SAID_AGAIN or not name):
            events.append(decode(data))
        if number % TURN_EVENTS == 0:
            await asyncio.sleep(0)  # whoever waits to be served after a takeover goes first
    return events


def said_again(events: Iterable[Event], state: State, closed: dict[str, Contact]) -> list[Effect]:
    """The effects of what is over. `closed`: contacts that ended in these events, by id."""
    found: dict[tuple[str, str], Effect] = {}
    handed_over: dict[ContactId, None] = {}
    """Consults whose agent has the customer now: these end nothing."""
    for event in events:
        match event:
            case e.ContactClosed() if event.contact in handed_over:
                pass
            case e.ContactClosed():
                _add_end(found, state, closed.get(event.contact), event)
            case e.ReservationMoved():
                handed_over[event.from_contact] = None
                _add_move(found, state, event)
            case e.MonitorEnded() | e.RecordingEnded() | e.ConferenceEnded():
                _add_call_end(found, state, event)
            case e.ContactSwitched() if event.from_external_id:
                _add_switch(found, state, event)
            case e.OfferRescinded() | e.OfferExpired() | e.OfferRejected():
                _add_leg(found, state, event.contact, event.reservation, event.agent, rings=True)
            case e.WrapUpStarted() | e.ReservationEnded() | e.ReservationFailed():
                _add_leg(found, state, event.contact, event.reservation, event.agent, rings=False)
            case e.CustomerHeld() | e.CustomerResumed():
                _add_hold(found, state, event.reservation)
            case _:
                pass
    return list(found.values())


def _add_end(
    found: dict[tuple[str, str], Effect],
    state: State,
    contact: Contact | None,
    event: e.ContactClosed,
) -> None:
    if contact is None or not (contact.external_id or contact.consult_of):
        return
    if (contact.channel, contact.external_id) in state.by_external:
        return  # the backend's id is a live contact's by now
    found["end", contact.id] = EndContact(
        channel=contact.channel,
        contact=contact.id,
        outcome=event.outcome.value,
        reason=event.reason,
    )


def _add_switch(
    found: dict[tuple[str, str], Effect], state: State, event: e.ContactSwitched
) -> None:
    place = (event.from_channel, event.from_external_id)
    if place not in state.by_external:
        found["end", "/".join(place)] = EndContact(
            channel=event.from_channel,
            contact=event.contact,
            outcome="",
            reason="channel_switched",
            external_id=event.from_external_id,
        )


def _add_leg(
    found: dict[tuple[str, str], Effect],
    state: State,
    contact_id: ContactId,
    reservation: ReservationId,
    agent: AgentId,
    *,
    rings: bool,
) -> None:
    """An agent's leg that rings no more, or is not joined any more, to a customer who is there."""
    contact = state.contacts.get(contact_id)
    if contact is None or not _has_media(state, contact.channel):
        return  # the end of the contact ends its legs
    kind = RescindOffer if rings else DisconnectAgent
    found["leg", reservation] = kind(
        channel=contact.channel, contact=contact.id, reservation=reservation, agent=agent
    )


def _add_hold(
    found: dict[tuple[str, str], Effect], state: State, reservation_id: ReservationId
) -> None:
    reservation = state.reservations.get(reservation_id)
    if reservation is None or reservation.state is not ReservationState.CONNECTED:
        return
    if _has_media(state, reservation.channel):
        found["hold", reservation.id] = HoldContact(
            channel=reservation.channel,
            contact=reservation.contact,
            reservation=reservation.id,
            held=bool(reservation.hold_at_us),
        )


def _add_move(
    found: dict[tuple[str, str], Effect], state: State, event: e.ReservationMoved
) -> None:
    reservation = state.reservations.get(event.reservation)
    if reservation is None or reservation.contact != event.contact:
        return
    if reservation.state is ReservationState.CONNECTED and _has_media(state, reservation.channel):
        found["move", reservation.id] = MoveAgent(
            channel=reservation.channel,
            contact=event.contact,
            from_contact=event.from_contact,
            reservation=reservation.id,
            agent=reservation.agent,
        )


def _add_call_end(
    found: dict[tuple[str, str], Effect],
    state: State,
    event: e.MonitorEnded | e.RecordingEnded | e.ConferenceEnded,
) -> None:
    """Of a contact that is there still; the end of the contact ends all of it."""
    contact = state.contacts.get(event.contact)
    if contact is None or not _has_media(state, contact.channel):
        return
    match event:
        case e.MonitorEnded():
            found["monitor", event.monitor] = StopMonitor(
                channel=contact.channel, contact=contact.id, monitor=event.monitor
            )
        case e.RecordingEnded():
            found["recording", event.recording] = RecordContact(
                channel=contact.channel,
                contact=contact.id,
                reservation=event.reservation,
                recording=event.recording,
                on=False,
            )
        case e.ConferenceEnded():
            reservation = state.reservations.get(event.reservation)
            consult = state.contacts.get(event.consult)
            if reservation is None or consult is None or reservation.conference:
                return
            for id_ in consult.reservations:
                found["conference", reservation.id] = ConferenceContact(
                    channel=contact.channel,
                    contact=contact.id,
                    consult=consult.id,
                    together=False,
                    reservation=reservation.id,
                    consult_reservation=id_,
                )


def listening(state: State) -> list[MonitorContact]:
    """Who listens, as it was told when it began."""
    return [
        MonitorContact(
            channel=reservation.channel,
            contact=reservation.contact,
            reservation=reservation.id,
            monitor=monitor.id,
            agent=monitor.agent,
            endpoint=_endpoint(state, monitor.agent, reservation.channel),
            mode=monitor.mode,
        )
        for reservation in state.reservations.values()
        for monitor in reservation.monitors
    ]


def _endpoint(state: State, agent: AgentId, channel: str) -> str:
    """Where media reach an agent who may be gone by now."""
    known = state.agents.get(agent)
    return known.endpoints.get(channel, "") if known is not None else ""


def _has_media(state: State, channel: str) -> bool:
    settings = state.policy.channels.get(channel)
    return settings is not None and settings.media
