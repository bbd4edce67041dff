"""Commands that move a contact: another key, queue, window, channel; and what it carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.core import commands as c
from router.core import events as e
from router.core.arrivals import NAME_MOST, channel_named, check_window, checked_requirements
from router.core.decide import Decider
from router.core.legs import let_go
from router.core.model import Contact, ContactId, ContactState, ReservationState
from router.errors import Invalid, Refused

_WAITS = (ContactState.QUEUED, ContactState.OFFERED)


def reprioritize_contact(d: Decider, command: c.ReprioritizeContact) -> None:
    """Change tier or head start of a waiting contact."""
    contact = _waiting(d, command.contact, "re-prioritise")
    d.emit(
        e.ContactReprioritized(
            at_us=d.now_us,
            contact=contact.id,
            tier=contact.tier if command.tier is None else command.tier,
            head_start_us=(
                contact.head_start_us if command.head_start_us is None else command.head_start_us
            ),
            by=command.by,
        )
    )


def move_contact(d: Decider, command: c.MoveContact) -> None:
    """A supervisor moves a waiting contact to another queue; it keeps its start."""
    queue = d.queue(command.queue)
    contact = d.contact(command.contact)
    if contact.queue == queue.id:
        raise Refused("same_queue", f"contact {contact.id!r} waits in {queue.id!r} already")
    if queue.id in contact.visited:
        raise Refused("visited", f"contact {contact.id!r} has been in {queue.id!r} in this visit")
    if contact.hops >= d.policy.hops:
        raise Refused("too_many_hops", f"contact {contact.id!r} was moved {contact.hops} times")
    d.overflow(_waiting(d, contact.id, "move"), queue.id, "moved", by=command.by)


def require_skills(d: Decider, command: c.RequireSkills) -> None:
    """Replace what a waiting contact asks of its agent."""
    requirements = checked_requirements(command.requirements)
    contact = _waiting(d, command.contact, "change the requirements of")
    d.emit(
        e.RequirementsChanged(
            at_us=d.now_us, contact=contact.id, requirements=requirements, by=command.by
        )
    )


def watch_contact(d: Decider, command: c.WatchContact) -> None:
    """Put a contact before the supervisor, or take it away."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    d.emit(
        e.ContactUpdated(at_us=d.now_us, contact=contact.id, watched=command.watched, by=command.by)
    )


def update_contact(d: Decider, command: c.UpdateContact) -> None:
    """Merge attributes (a null removes one), name the customer."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    if command.version >= 0 and command.version != contact.version:
        raise Refused("version", f"contact has version {contact.version}, not {command.version}")
    merged_attributes = {**contact.attributes, **command.attributes}
    d.emit(
        e.ContactUpdated(
            at_us=d.now_us,
            contact=contact.id,
            attributes={k: v for k, v in merged_attributes.items() if v is not None},
            customer=command.customer or None,
            segment=command.segment or None,
            by=command.by,
        )
    )


def request_callback(d: Decider, command: c.RequestCallback) -> None:
    """The customer takes a callback instead of waiting on."""
    channel_named(d, command.channel)
    if command.callback in d.state.contacts:
        d.contact_id = command.callback
        return
    contact = d.contact(command.contact)
    check_not_consult(contact)
    check_window(d, command.not_before_us, command.not_after_us)
    if contact.state is ContactState.ACTIVE:
        d.serving(contact)
        d.disconnect(contact)
        d.end_serving(contact, "callback", wrap_up=True)
    address = (command.sealed, command.seal_key, command.peer_key) if command.sealed else None
    d.begin_callback(
        contact,
        command.callback,
        "callback",
        channel=command.channel,
        window=(command.not_before_us, command.not_after_us),
        address=address,
        keep_place=command.keep_place,
        by=command.by,
    )
    d.contact_id = command.callback


def reschedule_contact(d: Decider, command: c.RescheduleContact) -> None:
    """Another window for a contact that nobody serves."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    check_not_consult(contact)
    check_window(d, command.not_before_us, command.not_after_us)
    if contact.state is ContactState.ACTIVE:
        raise Refused("active", f"contact {contact.id!r} is being served")
    if contact.state is ContactState.OFFERED:
        back_to_line(d, contact, "rescheduled")
    d.emit(
        e.ContactScheduled(
            at_us=d.now_us,
            contact=contact.id,
            not_before_us=max(command.not_before_us, d.calendar_us),
            not_after_us=command.not_after_us,
            direction=contact.direction,
            reason="rescheduled",
        )
    )


def switch_channel(d: Decider, command: c.SwitchChannel) -> None:
    """The same contact goes on by another channel, with its age and history."""
    channel = channel_named(d, command.channel)
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    check_not_consult(contact)
    if contact.channel == channel.name:
        raise Refused("same_channel", f"contact {contact.id!r} is on {channel.name!r} already")
    queue = d.queue(command.queue) if command.queue else d.queue_of(contact)
    if contact.hops >= d.policy.hops:
        raise Refused("too_many_hops", f"contact {contact.id!r} was moved {contact.hops} times")
    if contact.state is ContactState.OFFERED:
        back_to_line(d, contact, "channel_switched")
    if contact.state is ContactState.ACTIVE:
        if contact.consult:
            raise Refused("consulting", f"contact {contact.id!r} has an open consult")
        _check_switch_room(d, contact, channel.name)
        let_go(d, contact, d.serving(contact), "channel_switched")
    elif contact.state is ContactState.SCHEDULED:
        raise Refused("scheduled", f"contact {contact.id!r} waits for its window")
    d.switch(
        contact,
        channel.name,
        queue,
        due_from_us=contact.visit_at_us,
        address=(command.sealed, command.seal_key, command.peer_key),
        external_id=command.external_id,
        by=command.by,
    )
    if contact.state is ContactState.ACTIVE and (channel.media or not contact.external_id):
        d.bring_up(d.serving(contact), begins=not contact.external_id)


def link_contact(d: Decider, command: c.LinkContact) -> None:
    """The adapter has begun it: from now on it is known by the backend's id."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    if not 0 < len(command.external_id) <= NAME_MOST:
        raise Invalid("id", f"an id has 1-{NAME_MOST} characters")
    owner = d.state.by_external.get((contact.channel, command.external_id))
    if owner == contact.id:
        return
    if owner is not None:
        raise Refused("taken", f"{command.external_id!r} is contact {owner!r}")
    d.emit(e.ContactLinked(at_us=d.now_us, contact=contact.id, external_id=command.external_id))


def check_not_consult(contact: Contact) -> None:
    """Raises Refused for one agent's asking of another: it ends, or is handed over."""
    if contact.consult_of:
        raise Refused("consult", f"contact {contact.id!r} is a consult: end it instead")


def _check_switch_room(d: Decider, contact: Contact, channel: str) -> None:
    reservation = d.serving(contact)
    if reservation.state is not ReservationState.CONNECTED:
        raise Refused("not_connected", f"reservation {reservation.id} is {reservation.state}")
    seat = d.state.roster.seats[reservation.agent]
    settings = d.policy.channels[channel]
    units = seat.load.units - reservation.units + settings.cost
    most = seat.agent.maximum.get(channel, settings.maximum)
    total = seat.agent.capacity or d.policy.capacity
    if units > total or seat.load.counts.get(channel, 0) + 1 > most:
        raise Refused("no_room", f"agent {seat.agent.id!r} has no room for {channel!r}")


def back_to_line(d: Decider, contact: Contact, reason: str) -> None:
    """Take all offers of a contact back, so that it is simply queued."""
    d.rescind_offers(contact, reason)
    d.emit(
        e.ContactReturned(
            at_us=d.now_us, contact=contact.id, reason=reason, head_start_us=contact.head_start_us
        )
    )


def _waiting(d: Decider, contact_id: ContactId, what: str) -> Contact:
    """The contact, in its line; open offers are taken back for it."""
    contact = d.contact(contact_id)
    d.contact_id = contact.id
    if contact.state not in _WAITS:
        raise Refused("not_waiting", f"cannot {what} a contact that is {contact.state}")
    if contact.state is ContactState.OFFERED:
        back_to_line(d, contact, what.replace(" ", "_"))
    return contact


HANDLERS: dict[type, Callable[[Decider, Any], None]] = {
    c.ReprioritizeContact: reprioritize_contact,
    c.MoveContact: move_contact,
    c.RequireSkills: require_skills,
    c.WatchContact: watch_contact,
    c.UpdateContact: update_contact,
    c.RequestCallback: request_callback,
    c.RescheduleContact: reschedule_contact,
    c.SwitchChannel: switch_channel,
    c.LinkContact: link_contact,
}
