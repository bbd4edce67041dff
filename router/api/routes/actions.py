"""Actions over HTTP: ``POST /v1/contacts/{id}:transfer`` and so on, from the table of actions."""

from __future__ import annotations

from collections.abc import Mapping

from router.api import bodies as b
from router.api.actions import (
    ACTIONS,
    ALWAYS,
    BY_NAME,
    SUPERVISING,
    Action,
    Asked,
    audited_as,
    check_owner,
    is_audited,
    perform,
    subject,
)
from router.api.audit import audit_row
from router.api.channel_views import ChannelView, channel_view
from router.api.idempotency import once
from router.api.problems import ApiError
from router.api.reach import check_contact, check_reservation, reaches
from router.api.routes.contacts import CLEAR, _view, readable
from router.api.table import PAGING, Call, Reply, Route, query, query_int, roles
from router.api.tenant import message_views
from router.api.views import (
    AgentView,
    ContactView,
    MessageView,
    ReservationView,
    View,
    reservation_view,
)
from router.core.model import AgentId, ContactId, ReservationId
from router.errors import Invalid, NotFound
from router.journal import ArchiveWrite

PLACES = {
    "contact": "/v1/contacts", "reservation": "/v1/reservations", "agent": "/v1/agents",
    "channel": "/v1/channels",
}  # fmt: skip


class ActionAnswer(View):
    """Done and durable: the commit's sequence number, and the object as it is now."""

    seq: int = 0
    contact: ContactView | None = None
    reservation: ReservationView | None = None
    agent: AgentView | None = None
    channel: ChannelView | None = None
    consult: str = ""
    """Id of the consult that was begun."""
    callback: str = ""
    """Id of the callback that was made."""
    message: str = ""
    """Id of the message that was sent."""
    monitor: str = ""
    """Id under which somebody listens."""


class MessagePage(View):
    """Messages, oldest first."""

    messages: list[MessageView]
    next: str = ""


def version_asked(call: Call) -> int:
    """The version that If-Match names; -1 = none asked. Raises ApiError 400."""
    tag = call.request.headers.get("If-Match", "*")
    if tag == "*":
        return -1
    text = tag.removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise ApiError(400, "etag", f'expected If-Match: "version", got {tag!r:.60}')
    return int(text)


async def act(call: Call, action: Action, body: b.Body) -> Reply:
    """Carry an action out once, answer with its object.

    Raises ApiError 400 for a precondition that would be passed over.
    """
    if call.request.method == "POST" and version_asked(call) >= 0:
        raise ApiError(400, "etag", "If-Match goes with PUT, PATCH and DELETE, not with an action")
    asked = Asked(call.tenant, call.who, call.id, call.now_us)
    check_owner(asked, action)
    if action.target == "contact":
        await check_contact(call.tenant, call.who, call.id)
    elif action.target == "reservation":
        await check_reservation(call.tenant, call.who, call.id)

    async def run(archive: tuple[ArchiveWrite, ...]) -> Reply:
        if is_audited(asked, action):
            archive = (*archive, audit_row(call, audited_as(action), subject(asked, action, body)))
        answer, extra = await perform(action, asked, body, archive)
        return await _answer(call, action, answer.seq, extra)

    async def replay() -> Reply:
        await call.tenant.read()
        return await _answer(call, action, 0, {})

    return await once(call, action.name, run, replay)


async def _answer(call: Call, action: Action, seq: int, extra: Mapping[str, str]) -> Reply:
    answer = ActionAnswer(seq=seq)
    for name, value in extra.items():
        setattr(answer, name, value)
    state = call.tenant.state
    headers: dict[str, str] = {}
    if action.target == "contact":
        contact = await call.tenant.intake.contact(call.id)
        if contact is not None:
            answer.contact = _view(call, contact)
            headers["ETag"] = f'"{contact.version}"'
    elif action.target == "reservation":
        row = state.reservations.get(ReservationId(call.id))
        if row is not None:
            answer.reservation = reservation_view(row)
    elif action.target == "channel":
        answer.channel = channel_view(call.tenant, call.id)
    else:
        agent = state.agents.get(AgentId(call.id))
        if agent is not None:
            answer.agent = call.tenant.agent(agent)
            headers["ETag"] = f'"{agent.version}"'
    return Reply(200, answer, headers)


def _route(action: Action) -> Route:
    async def handler(call: Call) -> Reply:
        return await act(call, action, call.body)

    verb = action.word.replace("_", "-")
    operation = action.target + "".join(part.capitalize() for part in action.word.split("_"))
    return Route(
        operation, "POST", f"{PLACES[action.target]}/{{id}}:{verb}", handler, action.roles,
        {200: ActionAnswer}, action.doc, body=action.body, idempotent=True, errors=(404, 409, 507),
        audited=audited_as(action) if action.name in (*ALWAYS, *SUPERVISING) else "",
    )  # fmt: skip


async def patch(call: Call) -> Reply:
    """Change attributes, customer or segment; If-Match as precondition."""
    body: b.UpdateBody = call.body
    asked = version_asked(call)
    if asked >= 0:
        body.version = asked
    return await act(call, BY_NAME["update"], body)


async def messages(call: Call) -> Reply:
    """The messages of a contact, opened."""
    contact = await readable(call)
    limit = query_int(call, "limit", 100, 1, 500)
    found = await call.tenant.messages.list(contact.id, query(call, "cursor", 500), limit)
    views = message_views(contact.id, found)
    return Reply(200, MessagePage(messages=views, next=found[-1].id if len(found) == limit else ""))


async def post_message(call: Call) -> Reply:
    """Write to the customer, or hand in what the customer wrote."""
    body: b.MessagePostBody = call.body
    if body.direction == "to_customer":
        if call.who.role not in CLEAR:
            raise ApiError(403, "forbidden", f"role {call.who.role} may not write to customers")
        sent = b.SendBody(text=body.text, message=body.message)
        return await act(call, BY_NAME["send"], sent)
    if call.who.role not in FROM_CUSTOMER:
        raise ApiError(403, "forbidden", f"role {call.who.role} may not speak for customers")
    if not body.id:
        raise Invalid("invalid", "expected `id`: the sender's id of the message - at `$.id`")
    await call.tenant.workspace.settled()
    contact = call.tenant.state.contacts.get(ContactId(call.id))
    if contact is None or not reaches(call.tenant, call.who, contact):
        raise NotFound("contact", call.id)
    answer = await call.tenant.receive_into(contact, body.id, body.text, body.subject, call.who.by)
    return await _answer(call, BY_NAME["update"], answer.seq, {})


FROM_CUSTOMER = roles("admin adapter client")

ROUTES: tuple[Route, ...] = (
    *(_route(action) for action in ACTIONS if action.name not in {"update", "send"}),
    Route("updateContact", "PATCH", "/v1/contacts/{id}", patch, BY_NAME["update"].roles,
          {200: ActionAnswer},
          "Merge attributes (null removes), name the customer; If-Match is honoured.",
          body=b.UpdateBody, idempotent=True, errors=(404, 409, 412, 507)),
    Route("listMessages", "GET", "/v1/contacts/{id}/messages", messages,
          roles("admin supervisor agent"), {200: MessagePage}, "Its messages, oldest first.",
          params=PAGING, errors=(404,)),
    Route("postMessage", "POST", "/v1/contacts/{id}/messages", post_message,
          roles("admin supervisor agent adapter client"), {200: ActionAnswer},
          "Write to the customer (agents), or hand in what the customer wrote (`from_customer`).",
          body=b.MessagePostBody, idempotent=True, errors=(404, 409, 507)),
)  # fmt: skip
