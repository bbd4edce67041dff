"""What is known of a customer that decides whether they may be contacted: parts of their row.

An *address* here is a keyed hash, never the number or mailbox itself; the empty string as channel,
address or purpose of a statement means "every one". Moments are calendar time in epoch µs.
"""

from __future__ import annotations

from enum import StrEnum

from router.core.record import Value


class ConsentState(StrEnum):
    """What a customer said. Nothing said is no statement at all."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"


class Consent(Value, kw_only=True):
    """One statement about consent. Of all that cover a question, the latest counts."""

    state: ConsentState
    at_us: int
    channel: str = ""
    address: str = ""
    purpose: str = ""
    source: str = ""
    """Where it was said ("web form", "agent ana"): the proof that is asked for later."""


class DoNotContact(Value, kw_only=True):
    """A block, whatever the purpose: all contact, one channel, one address, or both."""

    at_us: int
    channel: str = ""
    address: str = ""
    source: str = ""
    asked_from: str = ""
    """The address that sent a keyword (STOP): START from there lifts it. Empty = set by people,
    and no keyword lifts it."""
    renewed: tuple[tuple[str, str], ...] = ()
    """Channel and purpose to which consent for exactly this address was given since."""


class QuietSpan(Value, kw_only=True):
    """The customer's own wish: not from minute `start` to minute `end` of their local day.

    `days` are 0 = Monday ... 6; half open; a span across midnight is given as two.
    """

    days: tuple[int, ...]
    start_minute: int
    end_minute: int
    channels: tuple[str, ...] = ()
    """Empty = every channel."""


class LedgerEntry(Value, array_like=True):
    """One outbound contact, made or meant. An array when encoded: there are many of them."""

    at_us: int
    """When it was sent; before that, the moment for which it is reserved."""
    channel: str
    address: str
    purpose: str
    id: str
    """Of this attempt: each attempt has its own."""
    sent: bool = False


class PermissionFacts(Value, kw_only=True):
    """All of it, for one customer."""

    zones: tuple[str, ...] = ()
    """IANA names. One = known; several = it is one of these; none = unknown."""
    consents: tuple[Consent, ...] = ()
    do_not_contact: tuple[DoNotContact, ...] = ()
    quiet: tuple[QuietSpan, ...] = ()
    ledger: tuple[LedgerEntry, ...] = ()
    """Sorted by (at_us, id)."""
