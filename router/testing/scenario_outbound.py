"""Words of scenarios for contacts that we begin: terms, windows, and what the runtime brings.

``mode=message_first latest=+2d give_up=send learned``; ``window=sms:+1d:+25h`` (channel, from,
to; several with ``|``); ``refused=quiet_hours next=+10h``, ``permitted_until=+1h``.
"""

from __future__ import annotations

from collections.abc import Callable

from router.core import commands as c
from router.core.facts import NO_FACTS, Facts, LearnedWindow, Outbound, Permission
from router.core.model import ContactId
from router.testing.scenario_words import Words

At = Callable[[str], int]


def outbound_terms(words: Words, at: At) -> Outbound | None:
    """The terms that a caller gives; None = no word of them."""
    mode, latest = words.text("mode", ""), words.text("latest", "")
    give_up, learned = words.text("give_up", ""), words.flag("learned")
    if not (mode or latest or give_up or learned):
        return None
    return Outbound(
        mode=mode or "agent_first",
        template="hello",
        learned=learned,
        latest_at_us=at(latest) if latest else 0,
        give_up=give_up or "expire",
    )


def facts(words: Words, at: At) -> Facts:
    """What the runtime knows."""
    refused, next_at = words.text("refused", ""), words.text("next", "")
    until, windows = words.text("permitted_until", ""), words.text("window", "")
    if not (refused or until or windows):
        return NO_FACTS
    permission = Permission(
        allowed=not refused,
        reason=refused,
        next_at_us=at(next_at) if next_at else 0,
        until_us=at(until) if until else 0,
    )
    found = tuple(_window(text, at) for text in windows.split("|") if text)
    return Facts(permission=permission, windows=found)


def provided(words: Words, at: At) -> c.ProvideCustomer:
    """The runtime's answer when a window opens."""
    contact, customer = ContactId(words.name("contact")), words.name("customer")
    channel, message = words.text("channel", ""), words.text("message", "")
    peer = words.text("from", "")
    return c.ProvideCustomer(
        contact=contact,
        customer=customer,
        facts=facts(words, at),
        channel=channel,
        peer_key=peer,
        message=message,
        message_size=len(message),
    )


def _window(text: str, at: At) -> LearnedWindow:
    channel, start, end = text.split(":")
    return LearnedWindow(
        channel=channel,
        address=customer_address(channel),
        start_us=at(start),
        end_us=at(end),
        probability=0.8,
        low=0.7,
        high=0.9,
    )


def customer_address(channel: str) -> str:
    """In stories a customer has one address per channel."""
    return f"{channel}-address"
