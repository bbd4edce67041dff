"""What callers send about customers, and what they get. See `bodies.py` and `views.py`."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from router.api.bodies import Attributes, Body, Id, Moment, Name, OptionalId
from router.api.views import ContactView, MessageView, View
from router.core.customer_model import Customer, Identity
from router.core.facts import Permission
from router.core.permission_facts import Consent, ConsentState, DoNotContact, LedgerEntry, QuietSpan

Address = Annotated[str, Meta(min_length=1, max_length=320)]
OptionalAddress = Annotated[str, Meta(max_length=320)]
Language = Annotated[str, Meta(pattern="^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?$", max_length=35)]
"""BCP 47."""
Zone = Annotated[str, Meta(max_length=64)]
Minute = Annotated[int, Meta(ge=0, le=1440)]
CustomerId = Annotated[str, Meta(pattern="^[A-Za-z0-9_.@+-]{1,100}$")]
Word = Annotated[str, Meta(max_length=64)]
OUTCOMES = (
    "answered", "replied", "replied_late", "refused", "wrong_party", "machine", "ignored",
    "no_answer", "busy", "bounced",
)  # fmt: skip


class IdentityBody(Body):
    """An address of the customer's. Personal data: sealed before it is stored."""

    address: Address
    kind: Annotated[str, Meta(pattern="^(phone|email|handle)?$")] = ""
    """Default: email with an @ in it, else phone; handle, where a channel is given."""
    channel: OptionalId = ""
    """A handle's channel."""
    label: Word = ""
    """For people: "mobile"."""


class QuietBody(Body):
    """Not from minute `start` to minute `end` of the customer's own day."""

    days: Annotated[tuple[Annotated[int, Meta(ge=0, le=6)], ...], Meta(min_length=1, max_length=7)]
    """0 = Monday."""
    start_minute: Minute
    end_minute: Minute
    channels: Annotated[tuple[Id, ...], Meta(max_length=20)] = ()


Quiet = Annotated[list[QuietBody], Meta(max_length=20)]
IdentityList = Annotated[list[IdentityBody], Meta(max_length=32)]


class CustomerBody(Body):
    """A customer, whole: what is not given goes back to its default."""

    name: Name = ""
    attributes: Attributes = {}
    segment: OptionalId = ""
    """By hand: wins over the segment rules."""
    language: Language = ""
    zone: Zone = ""
    """IANA; empty: told from their phone number, where that tells."""
    quiet: Quiet = []
    watched: bool = False
    identities: IdentityList = []


class NewCustomerBody(CustomerBody):
    """A customer to be made."""

    id: Annotated[str, Meta(pattern="^([A-Za-z0-9_.@+-]{1,100})?$")] = ""
    """Your id, no personal data in it; empty: one is made."""


class CustomerPatchBody(Body):
    """What changes. Attributes are merged; a null removes one."""

    name: Name | None = None
    attributes: Attributes | None = None
    segment: OptionalId | None = None
    language: Language | None = None
    zone: Zone | None = None
    quiet: Quiet | None = None
    watched: bool | None = None
    add_identities: IdentityList = []
    remove_identities: IdentityList = []


class MergeBody(Body):
    """Who turned out to be this customer, too."""

    customer: Id


class ConsentBody(Body):
    """What the customer said. Empty channel, address or purpose: every one."""

    state: ConsentState
    channel: OptionalId = ""
    address: OptionalAddress = ""
    purpose: Word = ""
    source: Annotated[str, Meta(max_length=200)] = ""
    """Where it was said: the proof that is asked for later. No personal data."""


class DoNotContactBody(Body):
    """A block, or its end. Empty channel or address: every one."""

    lifted: bool = False
    channel: OptionalId = ""
    address: OptionalAddress = ""
    source: Annotated[str, Meta(max_length=200)] = ""


class OutcomeBody(Body):
    """What became of an attempt to reach the customer."""

    channel: Id
    address: Address
    outcome: Annotated[str, Meta(pattern=f"^({'|'.join(OUTCOMES)})$")]
    attempted_at_us: Moment
    attempt: Annotated[str, Meta(max_length=300)] = ""
    """Its id, where it is known; the same one again corrects what was said before."""
    contact: OptionalId = ""


class IdentityView(View):
    """An address of the customer's."""

    kind: str
    hash: str
    """As events, consents and the ledger name it."""
    address: str = ""
    """In clear, for whoever may see it."""
    label: str = ""
    added_at_us: int = 0


class CustomerView(View):
    """A customer."""

    id: str
    name: str = ""
    identities: list[IdentityView] = []
    attributes: dict[str, Any] = {}
    segment: str = ""
    language: str = ""
    zone: str = ""
    """As given."""
    zones: tuple[str, ...] = ()
    """Where the customer may be: the zone given, else what their number tells."""
    quiet: tuple[QuietSpan, ...] = ()
    watched: bool = False
    consents: tuple[Consent, ...] = ()
    do_not_contact: tuple[DoNotContact, ...] = ()
    contacts: int = 0
    """Contacts closed so far."""
    last_contact_at_us: int = 0
    last_channel: str = ""
    last_agent: str = ""
    created_at_us: int = 0
    merged_from: tuple[str, ...] = ()
    version: int = 0


class CustomerPage(View):
    """The customers found: one, or none."""

    customers: list[CustomerView]


class PermissionView(View):
    """May the customer be contacted?"""

    allowed: bool
    channel: str
    purpose: str
    at_us: int
    reason: str = ""
    """Why not: do_not_contact, opted_out, consent_withdrawn, consent_missing, zone_unknown,
    outside_hours, too_often, unnamed."""
    text: str = ""
    until_us: int = 0
    """Allowed: the moment at which it ends; 0 = no end within a week."""
    next_at_us: int = 0
    """Refused: when it will be allowed; 0 = not by waiting."""


class ContactExport(View):
    """A contact with all that was written and decided."""

    contact: ContactView
    messages: list[MessageView] = []
    decisions: list[dict[str, Any]] = []


class CustomerExport(View):
    """Everything about a customer."""

    customer: CustomerView
    ledger: list[dict[str, Any]] = []
    """Outbound contacts made or meant, as far as limits still count them."""
    profile: bytes = b""
    """The learned preference, base64."""
    contacts: list[ContactExport] = []


class ErasedView(View):
    """What was removed."""

    customer: str
    contacts: int = 0
    messages: int = 0
    rows: int = 0
    keys: int = 0


def identity_view(identity: Identity, *, clear: bool) -> IdentityView:
    """An identity; `clear`: with the address."""
    return IdentityView(
        kind=identity.kind,
        address=identity.address if clear else "",
        hash=identity.hash,
        label=identity.label,
        added_at_us=identity.added_at_us,
    )


def customer_view(row: Customer, zones: tuple[str, ...], *, clear: bool) -> CustomerView:
    """A customer; `clear`: with name and addresses."""
    return CustomerView(
        id=row.id,
        name=row.name if clear else "",
        identities=[identity_view(identity, clear=clear) for identity in row.identities],
        attributes=row.attributes,
        segment=row.segment,
        language=row.language,
        zone=row.zone,
        zones=zones,
        quiet=row.quiet,
        watched=row.watched,
        consents=row.consents,
        do_not_contact=row.do_not_contact,
        contacts=row.contacts,
        last_contact_at_us=row.last_contact_at_us,
        last_channel=row.last_channel,
        last_agent=row.last_agent,
        created_at_us=row.created_at_us,
        merged_from=row.merged_from,
        version=row.version,
    )


def ledger_view(entry: LedgerEntry) -> dict[str, Any]:
    """One entry of the frequency ledger."""
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


def permission_view(found: Permission, channel: str, purpose: str, at_us: int) -> PermissionView:
    """What was found about contacting a customer."""
    return PermissionView(
        allowed=found.allowed,
        channel=channel,
        purpose=purpose,
        at_us=at_us,
        reason=found.reason,
        text=found.text,
        until_us=found.until_us,
        next_at_us=found.next_at_us,
    )
