"""What contact events change. See `state.py`."""

from __future__ import annotations

from router.core import estimates
from router.core import events as e
from router.core.contact_events import CUSTOMER_WROTE
from router.core.lifecycle import contact_after
from router.core.model import (
    ANSWER_GRACE_US,
    FOR_EVER_US,
    AgentId,
    Contact,
    ContactId,
    ContactOutcome,
    ContactState,
    Question,
)
from router.core.rule_counts import RULE, SEGMENT
from router.core.state import State, applies


@applies(e.ContactReceived)
def _received(state: State, event: e.ContactReceived) -> None:
    contact = Contact(
        id=event.contact,
        channel=event.channel,
        direction=event.direction,
        entry_point=event.entry_point,
        queue=event.queue,
        customer=event.customer,
        segment=event.segment,
        attributes=event.attributes,
        requirements=event.requirements,
        requirements_asked=event.requirements,
        external_id=event.external_id,
        conversation=event.conversation,
        peer_key=event.peer_key,
        sealed=event.sealed,
        seal_key=event.seal_key,
        tier_asked=event.tier,
        head_start_us=event.head_start_us,
        not_before_us=event.not_before_us,
        not_after_us=event.not_after_us,
        target_agent=event.target_agent,
        prefer_agent=event.prefer_agent,
        prefer_us=event.prefer_us,
        callback_of=event.callback_of,
        consult_of=event.consult_of,
        created_at_us=event.at_us,
        visit_at_us=event.visit_at_us,
        watched=event.watched,
        watched_for=event.watched_for,
        rule=event.rule,
        segment_reason=event.segment_reason,
        facts=event.facts,
        outbound=event.outbound,
    )
    state.contacts[contact.id] = contact
    if contact.external_id:
        state.by_external[contact.channel, contact.external_id] = contact.id
    if contact.peer_key:
        state.by_peer[contact.peer_key] = contact.id
    if contact.customer:
        state.link_customer(contact)
    _count(state, event.rule, event.at_us)
    if event.segment_matched:
        state.count_match(SEGMENT, event.segment, event.at_us)
    state.touch(contact)


def _count(state: State, rules: str, at_us: int) -> None:
    for name in rules.split(",") if rules else ():
        state.count_match(RULE, name, at_us)


@applies(e.ContactScheduled)
def _scheduled(state: State, event: e.ContactScheduled) -> None:
    contact = _leaving(state, event.contact)
    contact.state = contact_after(contact.state, e.ContactScheduled)
    contact.not_before_us = event.not_before_us
    contact.not_after_us = event.not_after_us
    contact.direction = event.direction
    if event.outbound is not None:
        contact.outbound = event.outbound
    contact.reservations = ()
    state.set_window(contact, event.not_before_us)
    state.timers.cancel(("close", contact.id))
    state.timers.cancel(("silence", contact.id))
    state.touch(contact)


@applies(e.ContactQueued)
def _queued(state: State, event: e.ContactQueued) -> None:
    contact = _leaving(state, event.contact)
    contact.state = contact_after(contact.state, e.ContactQueued)
    contact.queue = event.queue
    if event.reason == CUSTOMER_WROTE:
        contact.not_after_us = 0
    contact.tier = event.tier
    contact.head_start_us = event.head_start_us
    contact.due_at_us = event.due_at_us
    contact.arrival_no = event.arrival_no
    contact.visit_no = event.visit_no
    contact.visit_at_us = event.visit_at_us
    contact.requirements = event.requirements
    contact.hold_agent = event.hold_agent
    contact.hold_until_us = event.hold_until_us
    contact.target_agent = event.target_agent
    contact.promised_wait_us = event.promised_wait_us
    contact.step = 0
    contact.extra_queues = ()
    contact.visited = ()
    for agent in contact.excluded:
        state.timers.cancel(("cool", contact.id, agent))
    contact.excluded = {event.not_agent: FOR_EVER_US} if event.not_agent else {}
    contact.declines = {}
    contact.offers = 0
    contact.reservations = ()
    contact.parked_at_us = 0
    if event.visit_no > 1:
        contact.hops += 1
        state.timers.cancel(("close", contact.id))
        state.timers.cancel(("silence", contact.id))
    state.totals.arrival_no = event.arrival_no
    state.touch_totals()
    state.enter_line(contact, event.at_us)
    state.touch(contact)


@applies(e.ContactReturned)
def _returned(state: State, event: e.ContactReturned) -> None:
    contact = state.contacts[event.contact]
    contact.state = contact_after(contact.state, e.ContactReturned)
    contact.head_start_us = event.head_start_us
    contact.reservations = ()
    if contact.hold_until_us <= event.at_us:
        contact.hold_agent, contact.hold_until_us = AgentId(""), 0
    state.timers.cancel(("silence", contact.id))
    state.enter_line(contact, event.at_us)
    state.touch(contact)


@applies(e.ContactOverflowed)
def _overflowed(state: State, event: e.ContactOverflowed) -> None:
    contact = _leaving(state, event.contact)
    contact.state = contact_after(contact.state, e.ContactOverflowed)
    contact.visited = (*contact.visited, event.from_queue)
    contact.queue = event.queue
    contact.tier = event.tier
    contact.head_start_us = event.head_start_us
    contact.due_at_us = event.due_at_us
    contact.requirements = event.requirements
    contact.step = 0
    contact.extra_queues = ()
    contact.hops += 1
    contact.hold_agent, contact.hold_until_us = AgentId(""), 0
    contact.target_agent = AgentId("")
    state.enter_line(contact, event.at_us)
    state.touch(contact)


@applies(e.ContactRelaxed)
def _relaxed(state: State, event: e.ContactRelaxed) -> None:
    contact = _leaving(state, event.contact)
    contact.state = contact_after(contact.state, e.ContactRelaxed)
    contact.step = event.step
    contact.requirements = event.requirements
    contact.extra_queues = event.extra_queues
    contact.tier = event.tier
    contact.head_start_us = event.head_start_us
    state.stand(contact, event.at_us)
    steps = state.policy.queues[contact.queue].steps
    if contact.step < len(steps):
        state.push_step(contact, contact.visit_at_us + steps[contact.step].after_us)
    state.touch(contact)


@applies(e.ContactReprioritized)
def _reprioritized(state: State, event: e.ContactReprioritized) -> None:
    contact = _leaving(state, event.contact)
    contact.state = contact_after(contact.state, e.ContactReprioritized)
    contact.tier = event.tier
    contact.head_start_us = event.head_start_us
    state.stand(contact, event.at_us)
    state.touch(contact)


@applies(e.RequirementsChanged)
def _requirements_changed(state: State, event: e.RequirementsChanged) -> None:
    contact = _leaving(state, event.contact)
    contact.state = contact_after(contact.state, e.RequirementsChanged)
    contact.requirements = event.requirements
    contact.requirements_asked = event.requirements
    state.stand(contact, event.at_us)
    state.touch(contact)


@applies(e.HoldEnded)
def _hold_ended(state: State, event: e.HoldEnded) -> None:
    contact = _leaving(state, event.contact)
    contact.state = contact_after(contact.state, e.HoldEnded)
    contact.hold_agent, contact.hold_until_us = AgentId(""), 0
    contact.target_agent = AgentId("")
    state.stand(contact, event.at_us)
    state.touch(contact)


@applies(e.CoolDownEnded)
def _cool_down_ended(state: State, event: e.CoolDownEnded) -> None:
    contact = state.contacts[event.contact]
    contact.state = contact_after(contact.state, e.CoolDownEnded)
    contact.excluded.pop(event.agent, None)
    state.timers.cancel(("cool", contact.id, event.agent))
    state.touch(contact)


@applies(e.ContactParked)
def _parked(state: State, event: e.ContactParked) -> None:
    contact = state.contacts[event.contact]
    contact.state = contact_after(contact.state, e.ContactParked)
    contact.parked_at_us = event.at_us
    contact.reservations = ()
    state.timers.cancel(("silence", contact.id))
    _close_later(state, contact)
    state.touch(contact)


def _close_later(state: State, contact: Contact) -> None:
    """A parked contact ends by itself, as its channel says."""
    close_after_us = state.policy.channels[contact.channel].close_after_us
    if close_after_us:
        state.timers.set(("close", contact.id), contact.parked_at_us + close_after_us)
    else:
        state.timers.cancel(("close", contact.id))


@applies(e.ContactSwitched)
def _switched(state: State, event: e.ContactSwitched) -> None:
    contact = _leaving(state, event.contact)
    contact.state = contact_after(contact.state, e.ContactSwitched)
    if state.by_external.get((contact.channel, contact.external_id)) == contact.id:
        del state.by_external[contact.channel, contact.external_id]
    if state.by_peer.get(contact.peer_key) == contact.id:
        del state.by_peer[contact.peer_key]
    if contact.question is not None:
        _ask_no_more(state, contact)  # it was put on the channel that is left
    contact.channel = event.channel
    contact.queue = event.queue
    contact.tier = event.tier
    contact.due_at_us = event.due_at_us
    contact.head_start_us = event.head_start_us
    contact.external_id = event.external_id
    contact.begins = not event.external_id
    contact.peer_key = event.peer_key
    contact.sealed = event.sealed
    contact.seal_key = event.seal_key
    contact.hops += 1
    if event.requirements is not None:
        contact.requirements = event.requirements
        contact.step = 0
        contact.extra_queues = ()
        contact.hold_agent, contact.hold_until_us = AgentId(""), 0
        contact.target_agent = AgentId("")
    if contact.external_id:
        state.by_external[contact.channel, contact.external_id] = contact.id
    if contact.peer_key:
        state.by_peer[contact.peer_key] = contact.id
    if contact.state is ContactState.QUEUED:
        state.enter_line(contact, event.at_us)
    elif contact.state is ContactState.PARKED:
        _close_later(state, contact)
    for id_ in contact.reservations:
        reservation = state.reservations[id_]
        seat = state.unshelve(reservation.agent)
        seat.load.remove(reservation)
        reservation.channel = event.channel
        reservation.cost = reservation.units = state.policy.channels[event.channel].cost
        seat.load.add(reservation)
        state.shelve(seat, event.at_us)
        state.touch_reservation(reservation)
    state.touch(contact)


@applies(e.ContactLinked)
def _linked(state: State, event: e.ContactLinked) -> None:
    contact = state.contacts[event.contact]
    if state.by_external.get((contact.channel, contact.external_id)) == contact.id:
        del state.by_external[contact.channel, contact.external_id]
    contact.external_id = event.external_id
    if contact.external_id:
        state.by_external[contact.channel, contact.external_id] = contact.id
    state.touch(contact)


@applies(e.ContactUpdated)
def _updated(state: State, event: e.ContactUpdated) -> None:
    contact = state.contacts[event.contact]
    if event.attributes is not None:
        contact.attributes = event.attributes
    if event.customer is not None:
        if contact.customer:
            state.unlink_customer(contact)
        contact.customer = event.customer
        if contact.customer:
            state.link_customer(contact)
    if event.segment is not None:
        contact.segment = event.segment
    if event.watched is not None:
        contact.watched = event.watched
        contact.watched_for = (event.watched_for or event.by) if event.watched else ""
    if event.rule:
        _count(state, event.rule, event.at_us)
        names = dict.fromkeys((*contact.rule.split(","), *event.rule.split(",")))
        contact.rule = ",".join(filter(None, names))
    state.touch(contact)


@applies(e.ContactClosed)
def _closed(state: State, event: e.ContactClosed) -> None:
    contact = _leaving(state, event.contact)
    before = contact.state
    contact.state = contact_after(contact.state, e.ContactClosed)
    contact.outcome = event.outcome
    contact.outcome_reason = event.reason
    contact.disposition = event.disposition
    contact.closed_at_us = event.at_us
    contact.reservations = ()
    if contact.question is not None:
        _ask_no_more(state, contact)
    if event.outcome is ContactOutcome.ABANDONED and before in _WAITING:
        row = state.estimate(contact.queue, contact.channel)
        estimates.abandoned(row, event.at_us - contact.visit_at_us)
    if contact.consult_of in state.contacts:
        parent = state.contacts[contact.consult_of]
        parent.consult = ContactId("")
        _park_later(state, parent)  # it did not while somebody was asked about it
        state.touch(parent)
    contact.version += 1
    state.close(contact)


_WAITING = (ContactState.QUEUED, ContactState.OFFERED)


@applies(e.CallbackOffered)
def _callback_offered(state: State, event: e.CallbackOffered) -> None:
    state.touch(state.contacts[event.contact])


@applies(e.InputAsked)
def _input_asked(state: State, event: e.InputAsked) -> None:
    contact = state.contacts[event.contact]
    contact.asking = event.name
    contact.asked += 1
    contact.question = Question(
        ask=event.ask,
        name=event.name,
        prompt=event.prompt,
        choices=event.choices,
        digits=event.digits,
        deadline_at_us=event.deadline_at_us,
    )
    state.timers.set(("ask", contact.id), event.deadline_at_us + ANSWER_GRACE_US)
    state.touch(contact)


@applies(e.InputCollected)
def _input_collected(state: State, event: e.InputCollected) -> None:
    contact = state.contacts[event.contact]
    contact.attributes = {**contact.attributes, f"input.{event.name}": event.value}
    _ask_no_more(state, contact)
    state.touch(contact)


def _ask_no_more(state: State, contact: Contact) -> None:
    contact.asking, contact.question = "", None
    state.timers.cancel(("ask", contact.id))


@applies(e.MessageReceived)
def _message_received(state: State, event: e.MessageReceived) -> None:
    contact = state.contacts[event.contact]
    contact.messages += 1
    contact.last_message_at_us = event.at_us
    contact.silent_since_us = 0
    state.timers.cancel(("silence", contact.id))
    state.touch(contact)


@applies(e.MessageSent)
def _message_sent(state: State, event: e.MessageSent) -> None:
    contact = state.contacts[event.contact]
    contact.messages += 1
    contact.last_message_at_us = event.at_us
    contact.silent_since_us = event.at_us
    _park_later(state, contact)
    state.touch(contact)


def _park_later(state: State, contact: Contact) -> None:
    """A contact whose customer is silent parks by itself, as its channel says."""
    channel = state.policy.channels[contact.channel]
    is_silent = contact.state is ContactState.ACTIVE and contact.silent_since_us
    if is_silent and channel.parks and channel.park_after_us:
        state.timers.set(("silence", contact.id), contact.silent_since_us + channel.park_after_us)


@applies(e.ConsultStarted)
def _consult_started(state: State, event: e.ConsultStarted) -> None:
    contact = state.contacts[event.contact]
    contact.consult = event.consult
    state.touch(contact)


@applies(e.ConsultEnded)
def _consult_ended(state: State, event: e.ConsultEnded) -> None:
    contact = state.contacts.get(event.contact)
    if contact is not None:
        contact.consult = ContactId("")
        _park_later(state, contact)
        state.touch(contact)


def _leaving(state: State, contact_id: ContactId) -> Contact:
    """The contact, out of its line if it stood in one."""
    contact = state.contacts[contact_id]
    if contact.state is ContactState.QUEUED:
        state.leave_line(contact)
    return contact
