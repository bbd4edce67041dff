"""Contacts over HTTP: submit, batch, find, read, change."""

from __future__ import annotations

import asyncio
import heapq

import msgspec

from router.api import bodies as b
from router.api.idempotency import key_id, once
from router.api.problems import describe
from router.api.reach import check_channel, own_channel, reaches
from router.api.table import (
    PAGING,
    TEXT,
    Call,
    Param,
    Reply,
    Route,
    query,
    query_int,
    roles,
)
from router.api.views import ContactView, View
from router.api.wire import check_attributes
from router.channel import Address, NewContact, NewMessage, Receipt
from router.core.model import AgentId, Contact, ContactId, ContactState
from router.errors import Invalid, NotFound, RouterError
from router.journal import ArchiveWrite
from router.runtime.intake import Routing
from router.runtime.loop import Answer, shed_class

ARCHIVE_SCAN = 2_000
"""Closed contacts looked at for one page."""


class ReceiptView(msgspec.Struct, kw_only=True, gc=False):
    """A contact as it stands right after it was submitted."""

    contact: str
    state: str
    created: bool = True
    """False: this external id was known already."""
    outcome: str = ""
    reason: str = ""
    position: int = 0
    wait_us: int = -1
    """Estimated wait; -1 = unknown."""


class BatchItem(View):
    """One contact of a batch: what `POST /v1/contacts` would have answered."""

    status: int
    receipt: ReceiptView | None = None
    code: str = ""
    detail: str = ""


class BatchView(View):
    """The answers, in the order of the contacts."""

    results: list[BatchItem]
    created: int = 0


class ContactPage(View):
    """Some contacts, and where the next page begins."""

    contacts: list[ContactView]
    next: str = ""


def parts(body: b.SubmitBody, trace: str = "") -> tuple[NewContact, Routing]:
    """A body as the intake wants it; `trace` as the header ``traceparent`` says. Raises Invalid."""
    if body.attributes:
        check_attributes(body.attributes)
    if body.not_after_us and body.not_after_us <= max(body.not_before_us, 0):
        raise Invalid("invalid", "expected `not_after_us` after `not_before_us`")
    message = body.message
    peer = body.peer
    new = NewContact(
        external_id=body.external_id,
        customer=Address(address=peer.address, name=peer.name),
        to=peer.to,
        entry_point=body.entry_point,
        attributes=body.attributes,
        requirements=body.requirements,
        message=None
        if message is None
        else NewMessage(id=message.id, text=message.text, subject=message.subject),
        conversation=body.conversation,
        trace=trace[:256],
    )
    routing = Routing(
        direction=body.direction,
        queue=body.queue,
        customer=body.customer,
        segment=body.segment,
        tier=body.tier,
        head_start_us=body.head_start_us,
        not_before_us=body.not_before_us,
        not_after_us=body.not_after_us,
        prefer_agent=body.prefer_agent,
        prefer_us=body.prefer_us,
        target_agent=body.target_agent,
        watched=body.watched,
    )
    return new, routing


def receipt_view(receipt: Receipt) -> ReceiptView:
    """A receipt as it goes out."""
    return ReceiptView(
        contact=receipt.contact,
        state=receipt.state,
        created=receipt.created,
        outcome=receipt.outcome,
        reason=receipt.reason,
        position=receipt.position,
        wait_us=receipt.wait_us,
    )


def _submitted(receipt: Receipt) -> Reply:
    status = 201 if receipt.created else 200
    return Reply(status, receipt_view(receipt), {"Location": f"/v1/contacts/{receipt.contact}"})


async def submit(call: Call) -> Reply:
    """A contact arrives."""
    body = call.body
    check_channel(call.tenant, call.who, body.channel)
    new, routing = parts(body, call.request.headers.get("traceparent", ""))
    if "Idempotency-Key" in call.request.headers:
        return await _submit_once(call, body.channel, new, routing)
    receipt, _ = await call.tenant.intake.submit(new, body.channel, by=call.who.by, routing=routing)
    return _submitted(receipt)


async def _submit_once(call: Call, channel: str, new: NewContact, routing: Routing) -> Reply:
    intake = call.tenant.intake
    # It must be found again before the engine has named it: the caller's own id does that.
    if not new.external_id:
        new = msgspec.structs.replace(new, external_id=f"key-{key_id(call)}")

    async def run(archive: tuple[ArchiveWrite, ...]) -> Reply:
        receipt, _ = await intake.submit(
            new, channel, by=call.who.by, routing=routing, archive=archive
        )
        return _submitted(receipt)

    async def replay() -> Reply:
        live = intake.find(channel, new.external_id)
        if live is not None:
            await call.tenant.workspace.settled()
            return _submitted(await intake.receipt(live))
        receipt = await intake.closed_by_external(channel, new.external_id)
        if receipt is None:
            raise NotFound("contact", new.external_id)
        return _submitted(receipt)

    return await once(call, "submit", run, replay)


async def batch(call: Call) -> Reply:
    """Many contacts, one or few commits; each is answered by itself."""
    tenant = call.tenant
    workspace, intake = tenant.workspace, tenant.intake
    bodies: list[b.SubmitBody] = call.body.contacts
    for body in bodies:
        check_channel(tenant, call.who, body.channel)
    call.api.limits.charge(call.who.token, call.now_us, len(bodies) / 10)
    results: list[BatchItem | None] = [None] * len(bodies)
    waiting: list[tuple[int, asyncio.Future[Answer]]] = []
    await intake.keys_ready()
    for index, body in enumerate(bodies):
        try:
            new, routing = parts(body)
            known = await intake.known(new, body.channel) if body.external_id else None
            if known is not None:
                results[index] = BatchItem(status=200, receipt=receipt_view(known))
                continue
            command, rows = intake.command(new, body.channel, by=call.who.by, routing=routing)
            future = workspace.put(command, rows, shed=shed_class(body.channel))
            waiting.append((index, future))
        except RouterError as error:
            results[index] = _failed(error)
    for index, future in waiting:
        try:
            answer = await future
            view = receipt_view(intake.receipt_of(answer))
            if view.state == ContactState.CLOSED:  # turned away at once, or closed before
                view = receipt_view(await intake.receipt(answer.contact))
                view.created = bool(answer.events)
            results[index] = BatchItem(status=201 if view.created else 200, receipt=view)
        except RouterError as error:
            results[index] = _failed(error)
    done = [item for item in results if item is not None]
    return Reply(200, BatchView(results=done, created=sum(r.status == 201 for r in done)))


def _failed(error: RouterError) -> BatchItem:
    status, problem = describe(error)
    status = 422 if status == 404 else status  # a name in the body, as for a single one
    return BatchItem(status=status, code=problem["code"], detail=problem["detail"])


async def receive_message(call: Call) -> Reply:
    """A message: joins the open contact between these addresses, or begins one."""
    body = call.body
    check_channel(call.tenant, call.who, body.channel)
    if body.message is None:
        raise Invalid("no_message", "expected `message`")
    new, _ = parts(body)
    receipt = await call.tenant.intake.message(new, body.channel, by=call.who.by)
    return _submitted(receipt)


async def find(call: Call) -> Reply:
    """A page of contacts."""
    await call.tenant.read()
    limit = query_int(call, "limit", 100, 1, 500)
    cursor = query(call, "cursor", 500)
    wanted = {
        name: value
        for name in ("state", "queue", "channel", "customer", "external_id", "agent")
        if (value := query(call, name))
    }
    if wanted.get("state") not in {None, *ContactState}:
        raise Invalid("invalid", f"no contact state {wanted['state']!r} - at `?state`")
    watched = query(call, "watched") == "true"
    if own := own_channel(call.tenant, call.who):
        check_channel(call.tenant, call.who, wanted.setdefault("channel", own))
    if call.who.agent:
        if wanted.get("agent") not in {None, call.who.agent}:
            raise NotFound("agent", wanted["agent"])
        wanted["agent"] = call.who.agent
    if wanted.get("state") == ContactState.CLOSED:
        return await _closed(call, wanted, cursor, limit)
    if "agent" in wanted:
        return _page(
            call, _held(call, AgentId(wanted.pop("agent"))), wanted, watched, cursor, limit
        )
    return _page(call, list(call.tenant.state.contacts), wanted, watched, cursor, limit)


def _page(
    call: Call,
    ids: list[ContactId],
    wanted: dict[str, str],
    watched: bool,
    cursor: str,
    limit: int,
) -> Reply:
    contacts = call.tenant.state.contacts
    tests = list(wanted.items())
    matching = (
        id_
        for id_ in ids
        if id_ > cursor
        and all(getattr(contacts[id_], name) == value for name, value in tests)
        and (not watched or contacts[id_].watched)
        and reaches(call.tenant, call.who, contacts[id_])
    )
    found = heapq.nsmallest(limit + 1, matching)
    views = [_view(call, contacts[id_]) for id_ in found[:limit]]
    more = found[limit - 1] if len(found) > limit else ""
    return Reply(200, ContactPage(contacts=views, next=more))


def _held(call: Call, agent: AgentId) -> list[ContactId]:
    """Live contacts that an agent holds."""
    tenant = call.tenant
    ids = {r.contact: None for r in tenant.reservations_of(agent)}
    ids.update(dict.fromkeys(tenant.parked_of(agent)))
    return [id_ for id_ in ids if id_ in tenant.state.contacts]


async def _closed(call: Call, wanted: dict[str, str], cursor: str, limit: int) -> Reply:
    workspace = call.tenant.workspace
    agent = wanted.pop("agent", "")
    tests = [*wanted.items(), *([("last_agent", agent)] if agent else [])]
    views: list[ContactView] = []
    seen = 0
    while seen < ARCHIVE_SCAN:
        rows = await workspace.journal.list_archive(workspace.own, "contact", "", cursor, 500)
        for id_, data in rows:
            seen += 1
            cursor = id_
            contact = workspace.veil.contact(data)
            if not all(getattr(contact, name) == value for name, value in tests):
                continue
            if reaches(call.tenant, call.who, contact):
                views.append(_view(call, contact))
                if len(views) == limit:
                    return Reply(200, ContactPage(contacts=views, next=cursor))
        if len(rows) < 500:
            return Reply(200, ContactPage(contacts=views))
    return Reply(200, ContactPage(contacts=views, next=cursor))


def _view(call: Call, contact: Contact) -> ContactView:
    view = call.tenant.contact(contact, clear=call.who.role in CLEAR)
    if call.who.role in LEADS:
        view.monitors = call.tenant.monitors(contact)
    return view


CLEAR = roles("admin supervisor agent")
"""Who sees addresses and names."""
LEADS = roles("admin supervisor")
"""Who sees that somebody listens."""


async def readable(call: Call) -> Contact:
    """The contact in the path, if this caller may read it. Raises NotFound."""
    await call.tenant.read()
    contact = await call.tenant.find_contact(call.id)
    agent = AgentId(call.who.agent)
    if agent and not call.tenant.has_contact(agent, contact.id):
        raise NotFound("contact", call.id)
    if not reaches(call.tenant, call.who, contact):
        raise NotFound("contact", call.id)
    return contact


async def get(call: Call) -> Reply:
    """One contact, live or closed."""
    contact = await readable(call)
    tag = f'"{contact.version}"'
    if call.request.headers.get("If-None-Match") == tag:
        return Reply(304, None, {"ETag": tag})
    return Reply(200, _view(call, contact), {"ETag": tag})


SUBMIT_DOC = (
    "Durable when answered. The same `external_id` on a channel twice is the same contact: 200 "
    "instead of 201."
)
EVERYBODY = roles("admin supervisor agent adapter client")
_FILTERS: tuple[Param, ...] = (
    Param("state", {"type": "string", "enum": [*ContactState]}, "Only in this state."),
    Param("queue", TEXT, "Only of this queue."),
    Param("channel", TEXT, "Only on this channel."),
    Param("customer", TEXT, "Only of this customer."),
    Param("external_id", TEXT, "Only with this external id."),
    Param("agent", TEXT, "Only held by this agent (closed: served last)."),
    Param("watched", {"type": "string", "enum": ["true", "false"]}, "Only watched ones."),
)

SUBMIT = Route(
    "submitContact", "POST", "/v1/contacts", submit, roles("admin supervisor adapter client"),
    {201: ReceiptView, 200: ReceiptView}, f"Submit a contact. {SUBMIT_DOC}",
    body=b.SubmitBody, idempotent=True, errors=(409, 507), loose=lambda body: (body.attributes,),
)  # fmt: skip
"""Most of them come by `express.py`; here are those with a key, and those among other requests."""

ROUTES: tuple[Route, ...] = (
    SUBMIT,
    Route("submitContacts", "POST", "/v1/contacts:batch", batch,
          roles("admin supervisor adapter client"),
          {200: BatchView}, "Submit up to 512 contacts in one go; each is answered by itself.",
          body=b.BatchBody, loose=lambda body: [one.attributes for one in body.contacts]),
    Route("receiveMessage", "POST", "/v1/messages", receive_message, roles("admin adapter client"),
          {201: ReceiptView, 200: ReceiptView},
          "A customer's message: joins the open contact of these addresses, else begins one.",
          body=b.SubmitBody, errors=(409, 507)),
    Route("listContacts", "GET", "/v1/contacts", find, EVERYBODY, {200: ContactPage},
          "Live contacts by id; `state=closed` for those that ended.", params=(*_FILTERS, *PAGING)),
    Route("getContact", "GET", "/v1/contacts/{id}", get, EVERYBODY, {200: ContactView, 304: None},
          "One contact, live or closed.", errors=(404,)),
)  # fmt: skip
