"""What belongs to a person: everything that is known of them, and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator

from router.api import customer_bodies as b
from router.api.audit import audit_row
from router.api.bodies import EmptyBody
from router.api.routes.customers import the_customer
from router.api.table import Call, Reply, Route, roles
from router.api.tenant import message_views
from router.api.wire import plain
from router.core.commands import RecordAudit
from router.core.model import Contact
from router.runtime.erasure import contacts_of, erase
from router.runtime.messages import Message

PAGE = 200
ADMIN = roles("admin")


async def export(call: Call) -> Reply:
    """Everything about a customer."""
    row = await the_customer(call)
    workspace = call.tenant.workspace
    # Before the answer: what has left the house is on record, whether or not it arrived.
    told = RecordAudit(action="customer.export", subject=call.id, by=call.who.by)
    await workspace.ask(told, (audit_row(call, "customer.export", call.id),))
    book = workspace.customers
    found = b.CustomerExport(
        customer=b.customer_view(row, book.zones(row), clear=True),
        ledger=[b.ledger_view(entry) for entry in row.ledger],
        profile=row.profile,
    )
    async for contact in _contacts(call, (row.id, *row.merged_from)):
        found.contacts.append(
            b.ContactExport(
                contact=call.tenant.contact(contact, clear=True),
                messages=message_views(contact.id, await _messages(call, contact.id)),
                decisions=await _decisions(call, contact.id),
            )
        )
    return Reply(200, found, {"Cache-Control": "no-store"})


async def _contacts(call: Call, ids: tuple[str, ...]) -> AsyncIterator[Contact]:
    """The customer's contacts, closed ones first; one that ends meanwhile is told once, too."""
    tenant = call.tenant
    live = dict.fromkeys(map(str, tenant.state.contacts_of(ids[0])))
    async for id_, _ in contacts_of(tenant.workspace, ids):
        live.pop(id_, None)
        contact = await tenant.intake.contact(id_)
        if contact is not None:
            yield contact
    await tenant.workspace.settled()  # who has ended may not be stored yet
    for id_ in live:
        contact = await tenant.intake.contact(id_)
        if contact is not None:
            yield contact


async def _messages(call: Call, contact: str) -> list[Message]:
    found: list[Message] = []
    while True:
        page = await call.tenant.messages.list(contact, found[-1].id if found else "", PAGE)
        found += page
        if len(page) < PAGE:
            return found


async def _decisions(call: Call, contact: str) -> list[dict[str, object]]:
    workspace = call.tenant.workspace
    prefix = f"{contact}/"
    found: list[dict[str, object]] = []
    after = ""
    while True:
        rows = await workspace.journal.list_archive(workspace.own, "decision", prefix, after, PAGE)
        found += [plain(workspace.veil.event(data)) for _, data in rows]
        if len(rows) < PAGE:
            return found
        after = rows[-1][0]


async def erase_customer(call: Call) -> Reply:
    """The end of everything about a customer."""
    await the_customer(call)
    audit = audit_row(call, "customer.erase", call.id)
    files = call.tenant.messages.files
    done = await erase(call.tenant.workspace, call.id, call.who.by, (audit,), files)
    return Reply(
        200,
        b.ErasedView(
            customer=done.customer,
            contacts=done.contacts,
            messages=done.messages,
            rows=done.rows,
            keys=done.keys,
        ),
    )


ROUTES: tuple[Route, ...] = (
    Route("exportCustomer", "GET", "/v1/customers/{id}:export", export, ADMIN,
          {200: b.CustomerExport},
          "Everything about a customer: profile, addresses in clear, consents, contacts, messages, "
          "decisions, what was learned.", audited="customer.export", errors=(404, 507)),
    Route("eraseCustomer", "POST", "/v1/customers/{id}:erase", erase_customer, ADMIN,
          {200: b.ErasedView},
          "Erase a customer: rows are deleted and keys destroyed, so that nothing in the log, in "
          "trimmed copies or in backups can be read any more. Refused while somebody speaks with "
          "them, or they wait.", body=EmptyBody, audited="customer.erase", errors=(404, 409, 507)),
)  # fmt: skip
