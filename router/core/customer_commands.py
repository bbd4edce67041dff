"""What may be asked about customers. All commands together: `commands.py`.

The runtime completes these from the customer's row in the moment before they are decided (seals
what is personal, refuses what the row does not allow); the engine only says what happened, and what
that means for contacts under way.
"""

from __future__ import annotations

from router.core.customer_model import CustomerPatch, Identity
from router.core.model import ContactId
from router.core.permission_facts import ConsentState
from router.core.record import Record, Value


class SealedIdentity(Value, kw_only=True):
    """An identity as an event carries it."""

    kind: str
    hash: str
    sealed: bytes


class ChangeCustomer(Record, kw_only=True):
    """Make a customer, or change the profile and identities of one."""

    customer: str
    patch: CustomerPatch = CustomerPatch()
    whole: bool = False
    """What is not given goes back to its default, other identities are removed (PUT)."""
    add: tuple[Identity, ...] = ()
    remove: tuple[str, ...] = ()
    """Hashes of identities."""
    version: int = -1
    """Refused unless the customer has this version; 0 = must not exist yet; -1 = not asked."""
    creates: bool = True
    """Whether a customer who is not there is made (otherwise NotFound)."""
    by: str = ""
    fields: tuple[str, ...] = ()
    """Completed by the runtime, as the four below."""
    sealed: bytes = b""
    seal_key: str = ""
    sealed_identities: tuple[SealedIdentity, ...] = ()
    contacts: tuple[ContactId, ...] = ()
    """Live ones of who was known by an added address alone: this customer's from now on."""


class MergeCustomers(Record, kw_only=True):
    """Two customers turned out to be one."""

    customer: str
    into: str
    by: str = ""


class ChangeConsent(Record, kw_only=True):
    """The customer gave or withdrew consent."""

    customer: str
    state: ConsentState
    channel: str = ""
    address: str = ""
    purpose: str = ""
    source: str = ""
    by: str = ""


class ChangeDoNotContact(Record, kw_only=True):
    """Set or lift a block on contacting the customer; see `DoNotContactChanged`."""

    customer: str
    lifted: bool = False
    channel: str = ""
    address: str = ""
    source: str = ""
    asked_from: str = ""
    by: str = ""


class RecordOutcome(Record, kw_only=True):
    """What became of an attempt to reach the customer, said from outside."""

    customer: str
    channel: str
    address: str
    attempted_at_us: int
    """Calendar moment."""
    outcome: str
    attempt: str = ""
    contact: ContactId = ContactId("")
    source: str = ""


class EraseCustomer(Record, kw_only=True):
    """Erase everything about the customer. Refused while somebody speaks with them."""

    customer: str
    by: str = ""


CustomerCommand = (
    ChangeCustomer
    | MergeCustomers
    | ChangeConsent
    | ChangeDoNotContact
    | RecordOutcome
    | EraseCustomer
)
