"""What happened to customers. All events together: `events.py`.

Personal content is sealed with the customer's own key: erasing it erases these events, too.
"""

from __future__ import annotations

from router.core.permission_facts import ConsentState
from router.core.record import Personal, Record


class CustomerChanged(Record, kw_only=True):
    """The profile was made or changed."""

    at_us: int
    customer: str
    fields: tuple[str, ...]
    """Names of what changed."""
    sealed: bytes = b""
    """A `CustomerPatch`."""
    seal_key: str = ""
    by: str = ""


class IdentityAdded(Record, kw_only=True):
    """This address is the customer's."""

    at_us: int
    customer: str
    kind: str
    hash: str
    sealed: bytes
    """An `Identity`."""
    seal_key: str
    by: str = ""


class IdentityRemoved(Record, kw_only=True):
    """This address is the customer's no more."""

    at_us: int
    customer: str
    hash: str
    by: str = ""


class CustomersMerged(Record, kw_only=True):
    """Two customers are one: all of `customer` goes over to `into`."""

    at_us: int
    customer: str
    into: str
    by: str = ""


class ConsentChanged(Personal, kw_only=True):
    """The customer gave or withdrew consent; empty channel, address, purpose = every one."""

    at_us: int
    customer: str
    state: ConsentState
    said_at_us: int
    """Calendar moment."""
    channel: str = ""
    address: str = ""
    purpose: str = ""
    source: str = ""
    by: str = ""


class DoNotContactChanged(Personal, kw_only=True):
    """A block on contacting the customer was set or lifted.

    Lifted with `asked_from` (a keyword, START): what keywords from that address had set on this
    channel. Lifted without: the block of exactly this channel and address, whoever had set it.
    """

    at_us: int
    customer: str
    said_at_us: int
    lifted: bool = False
    channel: str = ""
    address: str = ""
    source: str = ""
    asked_from: str = ""
    by: str = ""


class CustomerErased(Record, kw_only=True):
    """Everything about the customer is being erased: rows with this commit, keys right after it."""

    at_us: int
    customer: str
    by: str = ""
