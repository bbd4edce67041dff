"""A customer as stored: who they are, what they said about being contacted, what they came to.

Rows of customers can be millions, so the engine keeps none: they lie in the archive, sealed, and
the runtime (`customers.py` there) brings those that a command names. Moments are calendar µs, but
for `created_at_us`, which is engine time. An *address* is a keyed hash wherever it is not called
the address itself.
"""

from __future__ import annotations

from typing import Any

from router.core.permission_facts import Consent, DoNotContact, LedgerEntry, QuietSpan
from router.core.record import Row, Value

MOST_IDENTITIES = 32
MOST_MERGED = 200
"""Other customers that were merged into one."""


class Identity(Value, kw_only=True):
    """One way in which a customer is known: a phone number, a mailbox, a handle on a channel."""

    kind: str
    """``phone``, ``email`` or ``handle:<channel>``."""
    hash: str
    """Keyed hash of kind and address: what events, contacts and the ledger name."""
    address: str = ""
    """In clear: E.164, lower-case mailbox, handle as it came. Only ever stored sealed."""
    label: str = ""
    """For people: "mobile", "office"."""
    added_at_us: int = 0


class CustomerPatch(Value, kw_only=True):
    """What changes of a profile; None = stays as it is. Stored sealed."""

    name: str | None = None
    attributes: dict[str, Any] | None = None
    """All of them after the change."""
    segment: str | None = None
    """Given by hand: wins over the segment rules. Empty = the rules decide."""
    language: str | None = None
    zone: str | None = None
    """IANA time zone; empty = not known."""
    quiet: tuple[QuietSpan, ...] | None = None
    watched: bool | None = None


class Customer(Row, kw_only=True):
    """One customer, all that is known of them."""

    id: str
    identities: tuple[Identity, ...] = ()
    name: str = ""
    attributes: dict[str, Any] = {}
    segment: str = ""
    language: str = ""
    zone: str = ""
    quiet: tuple[QuietSpan, ...] = ()
    watched: bool = False
    consents: tuple[Consent, ...] = ()
    do_not_contact: tuple[DoNotContact, ...] = ()
    by_address: bool = False
    """What was objected to for one address stands in that address's own row (`objections.py`), and
    here for its words alone. False in rows from before addresses had rows: all of it counts."""
    ledger: tuple[LedgerEntry, ...] = ()
    """Outbound contacts made or meant, sorted by (at_us, id)."""
    profile: bytes = b""
    """The learned preference, as its own code writes it."""
    contacts: int = 0
    """Contacts closed so far."""
    last_contact_at_us: int = 0
    last_channel: str = ""
    last_agent: str = ""
    last_segment: str = ""
    """As the segment rules had it at the last contact: who is compared with whom."""
    created_at_us: int = 0
    merged_into: str = ""
    """This customer is another one: nothing else of the row counts."""
    merged_from: tuple[str, ...] = ()
    version: int = 0
    """Counts what somebody said or decided about the customer, not contacts that came and went."""
