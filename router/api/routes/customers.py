"""Customers over HTTP: find, read, change, merge, what they said, and may they be contacted.

Export and erasure: `privacy.py` beside this file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from router.api import customer_bodies as b
from router.api.audit import audit_row
from router.api.reach import check_channel
from router.api.routes.actions import version_asked
from router.api.routes.contacts import CLEAR
from router.api.table import TEXT, Call, Param, Reply, Route, query, query_int, roles
from router.api.wire import Malformed, check_attributes
from router.core import customer_commands as cc
from router.core.commands import Command
from router.core.customer_model import Customer, CustomerPatch, Identity
from router.core.model import AgentId, ContactId, ContactState
from router.core.permission_facts import QuietSpan
from router.core.quiet import is_place
from router.errors import Invalid, NotFound
from router.runtime.envelope import customer_id
from router.runtime.identities import hash_in

if TYPE_CHECKING:
    from router.runtime.customers import CustomerBook

ID = re.compile(r"[A-Za-z0-9_.@+-]{1,100}")
MOST_MOMENT = 1 << 53


def _book(call: Call) -> CustomerBook:
    return call.tenant.workspace.customers


def _view(call: Call, row: Customer) -> b.CustomerView:
    return b.customer_view(row, _book(call).zones(row), clear=call.who.role in CLEAR)


def _reply(call: Call, row: Customer, status: int = 200) -> Reply:
    headers = {"ETag": f'"{row.version}"'}
    if status == 201:
        headers["Location"] = f"/v1/customers/{row.id}"
    return Reply(status, _view(call, row), headers)


async def the_customer(call: Call) -> Customer:
    """The customer in the path, if this caller may see them. Raises NotFound."""
    await call.tenant.read()
    row = await _book(call).get(call.id)
    if row is None or (call.who.agent and not await _has(call, row)):
        raise NotFound("customer", call.id)
    return row


async def _has(call: Call, row: Customer) -> bool:
    """Does the agent hold a contact of this customer, in wrap-up at the latest?"""
    tenant, agent = call.tenant, AgentId(call.who.agent)
    live = (tenant.state.contacts[id_] for id_ in tenant.state.contacts_of(row.id))
    if any(agent in tenant.holders(contact) for contact in live):
        return True
    for reservation in tenant.reservations_of(agent):
        if ContactId(reservation.contact) not in tenant.state.contacts:
            closed = await tenant.intake.contact(reservation.contact)
            if closed is not None and closed.state is ContactState.CLOSED:
                found = await _book(call).get(closed.customer)
                if found is not None and found.id == row.id:
                    return True
    return False


async def find(call: Call) -> Reply:
    """The customer of an address."""
    await call.tenant.read()
    address, channel = query(call, "identity", 320), query(call, "channel")
    if not address:
        raise Invalid("invalid", "expected an address - at `?identity`")
    book = _book(call)
    kind = book.identities.kind(channel) if channel else book.identities.kind_of(address)
    row = await book.find(kind, address)
    return Reply(200, b.CustomerPage(customers=[] if row is None else [_view(call, row)]))


async def get(call: Call) -> Reply:
    """One customer."""
    row = await the_customer(call)
    tag = f'"{row.version}"'
    if call.request.headers.get("If-None-Match") == tag:
        return Reply(304, None, {"ETag": tag})
    return _reply(call, row)


async def create(call: Call) -> Reply:
    """A new customer."""
    body: b.NewCustomerBody = call.body
    id_ = body.id or customer_id(call.now_us)
    row = await _put(call, id_, body, 0, "customer.create")
    return _reply(call, row, 201)


async def put(call: Call) -> Reply:
    """Create or change, whole; If-Match / If-None-Match: * as preconditions."""
    if not ID.fullmatch(call.id):
        raise Invalid(
            "invalid",
            f"expected a customer's id of 1-100 of A-Z a-z 0-9 _ . @ + -, got {call.id!r:.60}",
        )
    version = version_asked(call)
    if "If-None-Match" in call.request.headers:
        if call.request.headers["If-None-Match"] != "*":
            raise Malformed("expected If-None-Match: *")
        version = 0
    existed = await _book(call).get(call.id) is not None
    row = await _put(call, call.id, call.body, version, "customer.put")
    return _reply(call, row, 200 if existed else 201)


async def _put(call: Call, id_: str, body: b.CustomerBody, version: int, action: str) -> Customer:
    if hash_in(id_) and await _book(call).get(id_) is None:
        raise Invalid("invalid", "an id like this is given to who is known by an address alone")
    check_attributes(body.attributes)
    patch = CustomerPatch(
        name=body.name,
        attributes=body.attributes,
        segment=body.segment,
        language=body.language,
        zone=_zone(body.zone),
        quiet=_quiet(body.quiet),
        watched=body.watched,
    )
    added = _identities(call, body.identities)
    command = cc.ChangeCustomer(
        customer=id_, patch=patch, whole=True, add=added, version=version, by=call.who.by
    )
    return await _change(call, command, action)


async def patch(call: Call) -> Reply:
    """Change some of it."""
    body: b.CustomerPatchBody = call.body
    if body.attributes is not None:
        check_attributes(body.attributes)
    command = cc.ChangeCustomer(
        customer=call.id,
        patch=CustomerPatch(
            name=body.name,
            attributes=body.attributes,
            segment=body.segment,
            language=body.language,
            zone=None if body.zone is None else _zone(body.zone),
            quiet=None if body.quiet is None else _quiet(body.quiet),
            watched=body.watched,
        ),
        add=_identities(call, body.add_identities),
        remove=tuple(i.hash for i in _identities(call, body.remove_identities)),
        version=version_asked(call),
        creates=False,
        by=call.who.by,
    )
    return _reply(call, await _change(call, command, "customer.patch"))


async def _change(call: Call, command: cc.ChangeCustomer, action: str) -> Customer:
    """Carry a change out. Who was known by one of its addresses alone becomes this customer."""
    book = _book(call)
    wanted = {identity.hash: None for identity in command.add}
    absorbed: dict[str, None] = {}
    kept: list[Identity] = []
    for identity in command.add:
        owner = await book.find(identity.kind, identity.address)
        is_anonymous = (
            owner is not None
            and owner.id != command.customer
            and hash_in(owner.id)
            and not owner.merged_from
            and all(own.hash in wanted for own in owner.identities)
        )
        if owner is not None and is_anonymous:
            absorbed[owner.id] = None
        else:
            kept.append(identity)
    command = cc.ChangeCustomer(
        customer=command.customer,
        patch=command.patch,
        whole=command.whole,
        add=tuple(kept),
        remove=command.remove,
        version=command.version,
        creates=command.creates,
        by=command.by,
    )
    await _ask(call, command, action)
    for other in absorbed:
        merge_ = cc.MergeCustomers(customer=other, into=command.customer, by=call.who.by)
        await _ask(call, merge_, "customer.merge")
    return await _now(call, command.customer)


async def merge(call: Call) -> Reply:
    """Two customers are one."""
    body: b.MergeBody = call.body
    command = cc.MergeCustomers(customer=body.customer, into=call.id, by=call.who.by)
    await _ask(call, command, "customer.merge")
    return _reply(call, await _now(call, call.id))


async def consent(call: Call) -> Reply:
    """Consent given or withdrawn."""
    body: b.ConsentBody = call.body
    await the_customer(call)
    command = cc.ChangeConsent(
        customer=call.id,
        state=body.state,
        channel=body.channel,
        address=_address(call, body.channel, body.address),
        purpose=body.purpose,
        source=body.source or _source(call),
        by=call.who.by,
    )
    await _ask(call, command, "customer.consent")
    return _reply(call, await _now(call, call.id))


async def do_not_contact(call: Call) -> Reply:
    """A block, or its end."""
    body: b.DoNotContactBody = call.body
    await the_customer(call)
    command = cc.ChangeDoNotContact(
        customer=call.id,
        lifted=body.lifted,
        channel=body.channel,
        address=_address(call, body.channel, body.address),
        source=body.source or _source(call),
        by=call.who.by,
    )
    await _ask(call, command, "customer.do_not_contact")
    return _reply(call, await _now(call, call.id))


async def permission(call: Call) -> Reply:
    """May they be contacted?"""
    row = await the_customer(call)
    channel, purpose = query(call, "channel"), query(call, "purpose", 64) or "service"
    if channel not in call.tenant.policy.channels:
        raise Invalid("channel", f"no channel {channel!r} - at `?channel`")
    state = call.tenant.state
    now_us = call.tenant.workspace.now_us() + state.totals.clock_offset_us
    at_us = query_int(call, "at_us", now_us, 0, MOST_MOMENT)
    address = _address(call, channel, query(call, "address", 320))
    owner = await _book(call).owner_of(address)
    found = _book(call).permission(row, channel, address, purpose, at_us, owner=owner)
    return Reply(200, b.permission_view(found, channel, purpose, at_us))


async def outcome(call: Call) -> Reply:
    """What became of an attempt."""
    body: b.OutcomeBody = call.body
    check_channel(call.tenant, call.who, body.channel)
    await the_customer(call)
    command = cc.RecordOutcome(
        customer=call.id,
        channel=body.channel,
        address=_address(call, body.channel, body.address),
        attempted_at_us=body.attempted_at_us,
        outcome=body.outcome,
        attempt=body.attempt,
        contact=ContactId(body.contact),
        source=call.who.by,
    )
    await call.tenant.workspace.ask(command)
    return Reply(204)


# --- parts ------------------------------------------------------------------------------------


async def _ask(call: Call, command: Command, action: str) -> None:
    row = audit_row(call, action, getattr(command, "customer", ""))
    await call.tenant.workspace.ask(command, (row,))


async def _now(call: Call, id_: str) -> Customer:
    row = await _book(call).get(id_)
    if row is None:  # erased in the same moment
        raise NotFound("customer", id_)
    return row


def _identities(call: Call, given: list[b.IdentityBody]) -> tuple[Identity, ...]:
    known = _book(call).identities
    found: list[Identity] = []
    for place, body in enumerate(given):
        kind = body.kind or ("handle" if body.channel else known.kind_of(body.address))
        if kind == "handle":
            if body.channel not in call.tenant.policy.channels:
                raise Invalid(
                    "channel", f"no channel {body.channel!r} - at `$.identities[{place}].channel`"
                )
            kind = known.kind(body.channel)
        address = known.written(kind, body.address)
        if not address:
            raise Invalid("invalid", f"expected an address - at `$.identities[{place}].address`")
        hash_ = known.hash(kind, address)
        found.append(Identity(kind=kind, hash=hash_, address=address, label=body.label))
    return tuple(found)


def _address(call: Call, channel: str, address: str) -> str:
    """The keyed hash of an address given in clear; empty for none. Raises Invalid."""
    if channel and channel not in call.tenant.policy.channels:
        raise Invalid("channel", f"no channel {channel!r} - at `$.channel`")
    if not address:
        return ""
    known = _book(call).identities
    return known.hash(known.kind(channel) if channel else known.kind_of(address), address)


def _zone(name: str) -> str:
    if name and not is_place(name):
        raise Invalid("invalid", f"expected an IANA time zone, got {name!r:.60} - at `$.zone`")
    return name


def _quiet(given: list[b.QuietBody]) -> tuple[QuietSpan, ...]:
    for place, span in enumerate(given):
        if span.start_minute >= span.end_minute:
            raise Invalid(
                "invalid",
                "expected `end_minute` after `start_minute` (a span across midnight is two) - "
                f"at `$.quiet[{place}]`",
            )
    return tuple(
        QuietSpan(
            days=span.days,
            start_minute=span.start_minute,
            end_minute=span.end_minute,
            channels=span.channels,
        )
        for span in given
    )


def _source(call: Call) -> str:
    return "agent" if call.who.agent else "api"


READERS = roles("admin supervisor agent client")
KEEPERS = roles("admin supervisor")
WITNESSES = roles("admin supervisor agent client")
"""Who may say what a customer said."""
AGENTS = "An agent's own token: customers of the contacts they hold."

ROUTES: tuple[Route, ...] = (
    Route("findCustomers", "GET", "/v1/customers", find, roles("admin supervisor client"),
          {200: b.CustomerPage}, "The customer of an address.",
          params=(Param("identity", {"type": "string", "maxLength": 320},
                        "A phone number, a mailbox, a handle."),
                  Param("channel", TEXT, "Where the address is; needed for handles."))),
    Route("createCustomer", "POST", "/v1/customers", create, KEEPERS, {201: b.CustomerView},
          "Make a customer. Who was known by one of the addresses alone becomes this customer.",
          body=b.NewCustomerBody, audited="customer.create", errors=(404, 409, 412, 507)),
    Route("getCustomer", "GET", "/v1/customers/{id}", get, READERS, {200: b.CustomerView,
          304: None}, f"One customer; who was merged is the other one. {AGENTS}", errors=(404,)),
    Route("putCustomer", "PUT", "/v1/customers/{id}", put, KEEPERS, {200: b.CustomerView,
          201: b.CustomerView},
          "Create or change a customer, whole. If-Match: the version; If-None-Match: * = new.",
          body=b.CustomerBody, audited="customer.put", errors=(404, 409, 412, 507)),
    Route("patchCustomer", "PATCH", "/v1/customers/{id}", patch, KEEPERS, {200: b.CustomerView},
          "Change some of a customer. If-Match: the version.", body=b.CustomerPatchBody,
          audited="customer.patch", errors=(404, 409, 412, 507)),
    Route("mergeCustomer", "POST", "/v1/customers/{id}:merge", merge, KEEPERS,
          {200: b.CustomerView},
          "The customer named in the body turned out to be this one: all of theirs goes over.",
          body=b.MergeBody, audited="customer.merge", errors=(404, 409, 507)),
    Route("setConsent", "POST", "/v1/customers/{id}/consents", consent, WITNESSES,
          {200: b.CustomerView}, f"The customer gave or withdrew consent. {AGENTS}",
          body=b.ConsentBody, audited="customer.consent", errors=(404, 409, 507)),
    Route("setDoNotContact", "POST", "/v1/customers/{id}:do-not-contact", do_not_contact,
          WITNESSES, {200: b.CustomerView},
          "Block contact with the customer, or lift the block; what waits to go out is cancelled "
          f"at once. {AGENTS}", body=b.DoNotContactBody, audited="customer.do_not_contact",
          errors=(404, 409, 507)),
    Route("getPermission", "GET", "/v1/customers/{id}/permission", permission, READERS,
          {200: b.PermissionView},
          f"May the customer be contacted: if not, why, and when. {AGENTS}",
          params=(Param("channel", TEXT, "By which channel; needed."),
                  Param("purpose", TEXT, "Default: service."),
                  Param("address", {"type": "string", "maxLength": 320},
                        "At which address; default: the first that the channel reaches."),
                  Param("at_us", {"type": "integer", "minimum": 0, "maximum": MOST_MOMENT},
                        "Calendar moment; default: now.")),
          errors=(404,)),
    Route("recordOutcome", "POST", "/v1/customers/{id}/outcomes", outcome,
          roles("admin supervisor agent adapter client"), {204: None},
          f"What became of an attempt to reach the customer. {AGENTS}", body=b.OutcomeBody,
          errors=(404, 409, 507)),
)  # fmt: skip
