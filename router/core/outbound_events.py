"""What happened when we tried to reach a customer. All events together: `events.py`.

The customer's row (frequency ledger, learned preference) follows these and nothing else.
An `attempt` has an id of its own, `{contact}/{number}`; an `address` is a keyed hash.
"""

from __future__ import annotations

from router.core.model import ContactId
from router.core.record import Personal, Record

NOT_SENT = "not_sent"
"""What became of an attempt that was none: neither the ledger nor the learned hour counts it."""
NOT_BEGUN = frozenset({"adapter_down", "contact_gone", "outbox_full", "too_late"})
"""Why a call was never dialled: reasons of the outbox, which did not get as far as the adapter."""


class OutboundReserved(Record, kw_only=True):
    """An attempt is decided for a moment: it counts in the ledger from now on.

    The same attempt again = its moment, channel or address is another.
    """

    at_us: int
    contact: ContactId
    customer: str
    attempt: str
    channel: str
    address: str
    purpose: str
    for_at_us: int
    """Calendar moment at which it is meant to go out."""


class OutboundSent(Record, kw_only=True):
    """It goes out: a message is handed over, or the customer is dialled."""

    at_us: int
    contact: ContactId
    customer: str
    attempt: str
    channel: str
    address: str
    purpose: str
    sent_at_us: int
    """Calendar moment."""
    message: str = ""
    probability: float = -1.0
    """As it was expected; -1 = no expectation."""
    explore: bool = False
    propensity: float = 1.0
    candidates: int = 1


class OutboundReleased(Personal, kw_only=True):
    """It did not go out and will not: the ledger forgets it."""

    at_us: int
    contact: ContactId
    customer: str
    attempt: str
    reason: str = ""


class OutcomeRecorded(Personal, kw_only=True):
    """What became of an attempt. The last one said of an attempt counts."""

    at_us: int
    customer: str
    channel: str
    address: str
    attempt: str
    attempted_at_us: int
    """Calendar moment of the attempt."""
    outcome: str
    """``answered``, ``replied``, ``ignored``, ``refused``, ``no_answer``, ``bounced`` ..."""
    contact: ContactId = ContactId("")
    source: str = ""
    """Who says so: ``engine``, an agent, a token, ``import``."""
