"""What would happen to a contact now, and why. Asking changes nothing.

The parts are those that decide for real: the rule book, limits, matching's own selection, the
outbound windows. `tests/core/test_evaluation.py` holds what is said here against what then happens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from router.core import commands as c
from router.core.arrivals import check_new, judged
from router.core.attempts import goes_out, terms_of
from router.core.decide import Decider
from router.core.facts import Facts, LearnedWindow, Outbound
from router.core.model import (
    AgentId,
    Contact,
    ContactState,
    Decision,
    Direction,
    QueueId,
    Requirements,
)
from router.core.outbound import SEND, window_for
from router.core.pauses import ChannelPause
from router.core.policy import Full, Limit
from router.core.record import Value
from router.core.relaxation import Reach, preview
from router.core.rules.book import Moment, Plan, SegmentVerdict
from router.core.ruling import GIVEN, contact_after, context_of, limit_for, standing


class Turned(Value, kw_only=True):
    """What its queue does with a contact that it cannot take."""

    reason: str
    """``closed`` or ``queue_full``."""
    action: Full
    queue: QueueId = QueueId("")
    """With `Full.OVERFLOW`."""
    text: str = ""


class Going(Value, kw_only=True):
    """When a contact goes out to the customer."""

    terms: Outbound
    reason: str
    """``now``, ``learned_window``, why not now, or why never."""
    at_us: int = 0
    """Calendar moment; 0 = never."""
    until_us: int = 0
    """It may be begun until then; 0 = no end is known."""
    window: LearnedWindow | None = None


class Evaluation(Value, kw_only=True):
    """What would happen to a contact now. Moments of `due_at_us` are engine time."""

    at_us: int
    """Calendar moment of the evaluation."""
    contact: str
    is_live: bool
    """It exists, and is shown as it is; the rules are asked as if it came again."""
    channel: str
    direction: Direction
    outcome: str
    """``rejected``, ``deflected``, ``cancelled`` or ``expired`` (outbound), ``scheduled``,
    ``callback``, ``offered``, ``waits``; of a live contact its state."""
    text: str = ""
    """What the customer, or whoever submits it, is told then."""
    customer: str = ""
    segment: SegmentVerdict
    plan: Plan
    queue: QueueId
    is_open: bool
    attributes: dict[str, Any]
    requirements: Requirements
    """With those of the queue."""
    tier: int
    head_start_us: int
    due_at_us: int
    position: int
    wait_us: int
    """Estimated; -1 = unknown."""
    hold_agent: AgentId = AgentId("")
    hold_us: int = 0
    turned: Turned | None = None
    """Not None: the queue does not take it, or not in this way."""
    agents: Decision | None = None
    """Who would get it now, who would come next, and the terms of the choice; None = nobody."""
    steps: tuple[Reach, ...] = ()
    """Whom each relaxation step would reach now; the first is without any."""
    step: int = 0
    """Steps taken already."""
    pause: ChannelPause | None = None
    """Its channel is paused: nobody would be offered it."""
    facts: Facts = Facts()
    going: Going | None = None
    """Of contacts that we begin."""


class _Place(NamedTuple):
    """Where a contact would come to."""

    outcome: str
    text: str = ""
    turned: Turned | None = None
    agents: Decision | None = None


def evaluate(d: Decider, command: c.SubmitContact, leaving: Facts | None = None) -> Evaluation:
    """What would happen if this were submitted now; `d` is one that nobody decides with.

    `leaving`: what is known when it goes out; None = as on arrival. Raises Invalid, NotFound and
    Refused as `submit_contact` does, but for what rules reject.
    """
    ruled = judged(d, command, check_new(d, command), trace=True)
    contact = contact_after(d, ruled)
    then = ruled.plan.then
    prefer = (ruled.command.prefer_agent, ruled.command.prefer_us)
    hold_agent, hold_us = d.hold(
        contact, ruled.queue, ruled.requirements, prefer, contact.target_agent
    )
    contact.hold_agent = hold_agent
    going: Going | None = None
    if then.reject:
        place = _Place("rejected", then.reject)
    elif then.deflect:
        place = _Place("deflected", then.deflect)
    elif goes_out(contact):
        contact.not_before_us = ruled.command.not_before_us
        contact.facts = leaving or command.facts
        going = _going(d, contact, contact.facts)
        place = _leaves(d, contact, going)
    elif ruled.command.not_before_us > d.calendar_us:
        place = _Place("scheduled")
    else:
        place = _arrives(d, contact)
    return _evaluation(d, contact, ruled.segment, ruled.plan, place, hold_us, going)


def evaluate_live(d: Decider, contact: Contact) -> Evaluation:
    """A live contact as it is, and what the rules would say if it came now."""
    book = d.policy.rules
    context = context_of(d, contact, contact.facts)
    verdict = book.segment_of(context, trace=True)
    if contact.segment and contact.segment_reason in ("", GIVEN) and not context.given_segment:
        verdict = replace(verdict, segment=contact.segment, reason=GIVEN)
    context.segment = verdict.segment
    plan = book.decide(context, Moment.RECEIVED, trace=True)
    agents = _choice(d, contact) if contact.state is ContactState.QUEUED else None
    hold_us = max(0, contact.hold_until_us - d.now_us) if contact.hold_agent else 0
    going: Going | None = None
    if contact.state is ContactState.SCHEDULED and goes_out(contact):
        going = _going(d, contact, contact.facts)
    place = _Place(contact.state.value, agents=agents)
    return _evaluation(d, contact, verdict, plan, place, hold_us, going, is_live=True)


def _evaluation(
    d: Decider,
    contact: Contact,
    segment: SegmentVerdict,
    plan: Plan,
    place: _Place,
    hold_us: int,
    going: Going | None,
    *,
    is_live: bool = False,
) -> Evaluation:
    queue = d.queue_settings(contact.queue)
    is_open = contact.queue not in d.matcher.closed
    position = standing(d, contact)
    return Evaluation(
        at_us=d.calendar_us,
        contact=contact.id,
        is_live=is_live,
        channel=contact.channel,
        direction=contact.direction,
        outcome=place.outcome,
        text=place.text,
        customer=contact.customer,
        segment=segment,
        plan=plan,
        queue=contact.queue,
        is_open=is_open,
        attributes=contact.attributes,
        requirements=contact.requirements,
        tier=contact.tier,
        head_start_us=contact.head_start_us,
        due_at_us=contact.due_at_us,
        position=position,
        wait_us=d.wait_us(contact.queue, contact.channel, position) if is_open else -1,
        hold_agent=contact.hold_agent,
        hold_us=hold_us,
        turned=place.turned,
        agents=place.agents,
        steps=tuple(preview(d, queue, contact.channel, contact.requirements_asked)),
        step=contact.step,
        pause=d.state.pauses.get(contact.channel),
        facts=contact.facts,
        going=going,
    )


def _arrives(d: Decider, contact: Contact) -> _Place:
    """It comes into its queue: is that open, who takes it, and may it wait?"""
    queue = d.queue_of(contact)
    has_limits = not contact.target_agent and contact.direction is not Direction.CALLBACK
    if has_limits and queue.id in d.matcher.closed:
        turned = _turned(d, contact, queue.on_closed, "closed")
        if turned is not None and turned.action is not Full.QUEUE:
            return _turned_away(turned)
        return _Place("waits", turned=turned)
    agents = _choice(d, contact)
    if agents is not None:
        return _Place("offered", agents=agents)
    if has_limits:
        limit = _full(d, contact)
        turned = _turned(d, contact, limit, "queue_full") if limit is not None else None
        if turned is not None and turned.action is not Full.QUEUE:
            return _turned_away(turned)
        return _Place("waits", turned=turned)
    return _Place("waits")


def _full(d: Decider, contact: Contact) -> Limit | None:
    """What the queue does with one more than its places; None = there is a place."""
    most, places = d.queue_of(contact).most_waiting, d.policy.waiting_places
    if most is not None and d.state.positions.count_all(contact.queue) >= most:
        return d.queue_of(contact).on_full
    if places is not None and len(d.state.waiting) >= places:
        return Limit()
    return None


def _turned(d: Decider, contact: Contact, limit: Limit, reason: str) -> Turned | None:
    found = limit_for(d, contact, limit)
    if found is None:
        return None
    return Turned(reason=reason, action=found.action, queue=found.queue, text=found.text)


def _turned_away(turned: Turned) -> _Place:
    outcome = {Full.OVERFLOW: "waits", Full.CALLBACK: "callback"}.get(turned.action, "deflected")
    return _Place(outcome, turned.text, turned)


def _choice(d: Decider, contact: Contact) -> Decision | None:
    """Who would get it: the selection that decides for real, which changes nothing."""
    selection = d.matcher.select_agents(contact, d.now_us)
    return d.matcher.agent_decision(selection, 0, contact) if selection is not None else None


def _leaves(d: Decider, contact: Contact, going: Going) -> _Place:
    """It goes out to the customer: now, later, or never."""
    if not going.at_us:
        over = "expired" if going.reason == "latest_moment" else "cancelled"
        return _Place(over, contact.facts.permission.text)
    if going.at_us > d.calendar_us or going.terms.mode != "agent_first":
        return _Place("scheduled")
    if going.window is not None and going.window.channel != contact.channel:
        return _Place("scheduled")  # it is switched when the customer's address there is known
    return _arrives(d, contact)


def _going(d: Decider, contact: Contact, facts: Facts) -> Going:
    """As `outbound.go_out` decides, for the moment at which it may be begun first."""
    terms = terms_of(contact)
    now_us = max(d.calendar_us, contact.not_before_us)
    if terms.latest_at_us and now_us >= terms.latest_at_us and terms.give_up != SEND:
        return Going(terms=terms, reason="latest_moment")
    is_last = bool(terms.latest_at_us) and now_us >= terms.latest_at_us
    if terms.learned and not is_last:
        window, _ = window_for(contact, terms, facts, now_us)
        if window is not None and (not terms.latest_at_us or window.start_us < terms.latest_at_us):
            at_us = max(window.start_us, now_us)
            return Going(
                terms=terms,
                reason="learned_window",
                at_us=at_us,
                until_us=_sooner(window.end_us, terms.latest_at_us),
                window=window,
            )
        if window is not None:  # it lies behind the last moment: then, if it is sent at all
            sent_us = terms.latest_at_us if terms.give_up == SEND else 0
            return Going(terms=terms, reason="latest_moment", at_us=sent_us)
    permission = facts.permission
    if permission.allowed:
        until_us = _sooner(permission.until_us, terms.latest_at_us)
        reason = "now" if now_us == d.calendar_us else "not_before"
        return Going(terms=terms, reason=reason, at_us=now_us, until_us=until_us)
    next_us, reason = permission.next_at_us, permission.reason or "not_permitted"
    if next_us <= now_us or (terms.latest_at_us and next_us >= terms.latest_at_us):
        return Going(terms=terms, reason=reason)
    return Going(terms=terms, reason=reason, at_us=next_us)


def _sooner(one_us: int, other_us: int) -> int:
    """The earlier of two moments, of which 0 is none."""
    return min(one_us or other_us, other_us or one_us)
