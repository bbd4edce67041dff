"""Contacts that we begin: when they go out, by whom first, and when they are given up.

The runtime says beforehand what is permitted and which windows were learned (`Facts`), and says it
again when the moment has come (`ProvideCustomer`); here it is decided what follows from it. An
attempt holds its place in the customer's frequency ledger from the decision on (`OutboundReserved`)
until it goes out (`OutboundSent`) or never will (`OutboundReleased`).
"""

from __future__ import annotations

from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.attempts import reserve, sent, settle, terms_of
from router.core.decide import Decider
from router.core.effects import DeliverMessage, LoadCustomer
from router.core.facts import Facts, LearnedWindow, Outbound
from router.core.model import Contact, ContactOutcome, ContactState
from router.core.outbound_events import NOT_SENT
from router.core.policy import Queue

ASK_AGAIN_US = 30_000_000
"""The runtime is asked for a customer once more if it has not answered."""
MESSAGE_FIRST = "message_first"
SEND = "send"


def ask_customer(d: Decider, contact: Contact) -> None:
    """Ask the runtime for the customer; asked again if no answer comes."""
    d.effects.append(LoadCustomer(contact=contact.id, customer=contact.customer))
    d.state.timers.set(("window", contact.id), d.now_us + ASK_AGAIN_US)


def go_out(
    d: Decider,
    contact: Contact,
    facts: Facts,
    queue: Queue,
    *,
    provided: c.ProvideCustomer | None = None,
) -> None:
    """Now, in a window to come, or not at all. `provided`: the runtime has prepared the sending."""
    terms, now_us = terms_of(contact), d.calendar_us
    is_last = bool(terms.latest_at_us) and now_us >= terms.latest_at_us
    if is_last and terms.give_up != SEND:
        d.close(contact, ContactOutcome.EXPIRED, "latest_moment")
        return
    allowed, until_us = facts.permission.allowed, facts.permission.until_us
    if terms.learned and not is_last:
        window, is_fresh = window_for(contact, terms, facts, now_us)
        terms = replace(terms, window=window)
        if window is not None:
            if window.start_us > now_us:
                _shelve(d, contact, window.start_us, window.end_us, terms, "learned_window")
                return
            if is_fresh:  # learned windows are given within what is permitted
                allowed, until_us = True, window.end_us
            until_us = min(until_us or window.end_us, window.end_us)
            elsewhere = not _is_there(contact, window)
            if elsewhere and (provided is None or provided.channel != window.channel):
                _shelve(d, contact, now_us, window.end_us, terms, "other_channel")
                return
    if not allowed:
        _not_now(d, contact, facts, terms)
        return
    if provided is not None and provided.channel:
        _switch(d, contact, queue, provided)
    if terms.latest_at_us > now_us:
        until_us = min(until_us or terms.latest_at_us, terms.latest_at_us)
    if terms.mode == MESSAGE_FIRST and (provided is None or not provided.message):
        _shelve(d, contact, now_us, until_us, terms, "message_first")
    elif terms.mode == MESSAGE_FIRST:
        assert provided is not None
        _open(d, contact, until_us, terms)
        _send(d, contact, provided, until_us)
    else:
        _open(d, contact, until_us, terms)
        d.enter_queue(
            contact,
            queue,
            "activated",
            tier=contact.tier_asked,
            head_start_us=contact.head_start_us,
            visit_at_us=contact.visit_at_us if contact.callback_of else 0,
            target_agent=contact.target_agent,
            prefer=(contact.prefer_agent, contact.prefer_us),
        )


def ask_first(d: Decider, contact: Contact) -> None:
    """A rule has set the terms: what is permitted and learned on these is to be asked for."""
    at_us = max(contact.not_before_us, d.calendar_us)
    _shelve(d, contact, at_us, 0, terms_of(contact), "scheduled_by_rule")


def window_over(d: Decider, contact: Contact) -> None:
    """Nobody took it in its window: back on the shelf, to be asked about again at once."""
    _schedule(d, contact, d.calendar_us, 0, terms_of(contact), "window_over")


def not_sent(d: Decider, contact: Contact, message: str) -> None:
    """The first message could not be handed over: as if it had not been tried, and once more."""
    terms = _waits_for_reply(contact, message)
    if terms is None:
        return
    settle(d, contact, NOT_SENT)
    if terms.tries >= d.policy.callback_attempts:
        d.close(contact, ContactOutcome.FAILED, "not_sent")
    else:
        again_us = d.calendar_us + d.policy.callback_retry_us
        _schedule(d, contact, again_us, 0, terms_of(contact), "not_sent")


def bounced(d: Decider, contact: Contact, message: str) -> None:
    """The first message came back: there is no reply to wait for."""
    if _waits_for_reply(contact, message) is None:
        return
    settle(d, contact, "bounced")
    d.close(contact, ContactOutcome.FAILED, "not_reached")


def _waits_for_reply(contact: Contact, message: str) -> Outbound | None:
    """The terms, where this is the first message and nothing has come of it yet.

    Others may have been written behind it: what becomes of those is another matter.
    """
    terms = contact.outbound
    if terms is None or contact.state is not ContactState.PARKED or terms.is_settled:
        return None
    return terms if terms.message in ("", message) else None


def window_for(
    contact: Contact, terms: Outbound, facts: Facts, now_us: int
) -> tuple[LearnedWindow | None, bool]:
    """The window it goes out in, and whether it was learned just now: the open one, or the best."""
    chosen = terms.window
    if chosen is not None and chosen.start_us <= now_us < chosen.end_us:
        return chosen, False
    first_us = max(now_us, contact.not_before_us)
    last_us = now_us + terms.within_us if terms.within_us else 0
    for window in facts.windows:
        if terms.channels and window.channel not in terms.channels:
            continue
        if window.explore and not terms.explore:
            continue
        if last_us and window.start_us > last_us:
            continue
        if window.end_us > first_us:
            start_us = max(window.start_us, contact.not_before_us)
            return replace(window, start_us=start_us), True
    return None, False


def _is_there(contact: Contact, window: LearnedWindow) -> bool:
    """The contact is on the window's channel and address already."""
    return (contact.channel, contact.address) == (window.channel, window.address)


def _not_now(d: Decider, contact: Contact, facts: Facts, terms: Outbound) -> None:
    """Not permitted: at the next permitted moment, or never."""
    permission = facts.permission
    next_us = permission.next_at_us
    if next_us <= d.calendar_us or (terms.latest_at_us and next_us >= terms.latest_at_us):
        d.close(contact, ContactOutcome.CANCELLED, permission.reason or "not_permitted")
        return
    _shelve(d, contact, next_us, 0, replace(terms, window=None), permission.reason)


def _shelve(
    d: Decider, contact: Contact, at_us: int, until_us: int, terms: Outbound, reason: str
) -> None:
    """On the shelf until a moment, with its place in the ledger there."""
    latest_us = terms.latest_at_us
    if latest_us > d.calendar_us:
        at_us = min(at_us, latest_us)
        until_us = min(until_us or latest_us, latest_us)
    until_us = until_us if until_us > at_us else 0
    _schedule(d, contact, at_us, until_us, terms, reason)
    reserve(d, contact, at_us)


def _open(d: Decider, contact: Contact, until_us: int, terms: Outbound) -> None:
    """Its moment has come: until when it may be begun, and its place in the ledger now."""
    if contact.not_after_us != until_us or contact.outbound != terms:
        _schedule(d, contact, d.calendar_us, until_us, terms, "permitted")
    reserve(d, contact, d.calendar_us)


def _schedule(
    d: Decider, contact: Contact, at_us: int, until_us: int, terms: Outbound, reason: str
) -> None:
    d.emit(
        e.ContactScheduled(
            at_us=d.now_us,
            contact=contact.id,
            not_before_us=at_us,
            not_after_us=until_us,
            direction=contact.direction,
            reason=reason,
            outbound=terms,
        )
    )


def _switch(d: Decider, contact: Contact, queue: Queue, provided: c.ProvideCustomer) -> None:
    """To the channel and address of its window."""
    if contact.state is ContactState.SCHEDULED and contact.peer_key != provided.peer_key:
        d.switch(
            contact,
            provided.channel,
            queue,
            due_from_us=d.now_us,
            address=(provided.sealed, provided.seal_key, provided.peer_key),
            by="learned_window",
        )


def _send(d: Decider, contact: Contact, provided: c.ProvideCustomer, until_us: int) -> None:
    """The first message, without an agent; then it waits for the reply."""
    sent(d, contact, provided.message)
    d.emit(
        e.MessageSent(
            at_us=d.now_us,
            contact=contact.id,
            message=provided.message,
            size=provided.message_size,
        )
    )
    d.emit(e.ContactParked(at_us=d.now_us, contact=contact.id, reason=MESSAGE_FIRST))
    d.effects.append(
        DeliverMessage(
            channel=contact.channel,
            contact=contact.id,
            message=provided.message,
            not_after_us=until_us,
            attempt=terms_of(contact).attempt,
        )
    )
