"""Files that came with messages: a link to one, and what is behind the link.

A page cannot send its token along when it opens a frame or downloads a file, so whoever may read a
contact asks for a link first. It is signed, names one file and holds for five minutes.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
from urllib.parse import quote

import msgspec
from aiohttp import web

from router.api.bodies import Body, Id
from router.api.problems import ApiError
from router.api.routes.contacts import readable
from router.api.table import ANYBODY, Call, Param, Reply, Route, query, roles
from router.api.views import View
from router.core.model import SECOND_US
from router.errors import NotFound
from router.runtime.attachments import Entry, Opened, clean_name, entries

LINK_US = 300 * SECOND_US
TICKET_CHARS = 1_000
_COMMON = "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
POLICIES = {
    # No allow-scripts and no allow-same-origin: it is nobody's origin, and nothing in it runs.
    "html": "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    f"style-src 'unsafe-inline'; img-src data:; {_COMMON}",
    "original": f"sandbox; default-src 'none'; {_COMMON}",
    "attachment": f"sandbox; default-src 'none'; {_COMMON}",
}
_PAGE = (
    b'<!doctype html><html><head><meta charset="utf-8"><title></title><style>'
    b"body{margin:12px;font:14px/1.45 system-ui,sans-serif;color:#111;background:#fff;"
    b"overflow-wrap:anywhere}img{max-width:100%;height:auto}blockquote{margin:0 0 0 8px;"
    b"padding-left:8px;border-left:2px solid #bbb}</style></head><body>"
)


class LinkBody(Body):
    """Which file."""

    message: Id
    attachment: Id


class LinkView(View):
    """Where the file is for the next minutes."""

    url: str
    until_us: int


class _Ticket(msgspec.Struct, array_like=True):
    workspace: str
    contact: str
    message: str
    attachment: str
    until_us: int


async def link(call: Call) -> Reply:
    """A link to a file of a message, for who may read the contact."""
    contact = await readable(call)
    body: LinkBody = call.body
    await _entry(call.tenant.messages, contact.id, body.message, body.attachment)
    until_us = call.now_us + LINK_US
    ticket = _Ticket(call.who.workspace, contact.id, body.message, body.attachment, until_us)
    plain = msgspec.msgpack.encode(ticket)
    signed = base64.urlsafe_b64encode(plain + _signature(call, plain)).decode()
    return Reply(200, LinkView(url=f"/v1/files?ticket={signed}", until_us=until_us))


async def file(call: Call) -> web.Response:
    """What a link leads to."""
    ticket = _read(call, query(call, "ticket", TICKET_CHARS))
    if ticket is None or ticket.until_us < call.now_us:
        raise ApiError(403, "ticket", "this link has ended: ask for another one")
    tenant = call.api.tenants.get(ticket.workspace)
    found = None
    if tenant is not None and tenant.messages.files is not None:
        messages = tenant.messages
        with contextlib.suppress(NotFound):
            entry = await _entry(messages, ticket.contact, ticket.message, ticket.attachment)
            found = await messages.files.read(entry)
    if found is None:
        raise ApiError(404, "not_found", "this file is not there any more")
    return _response(found)


def _response(found: Opened) -> web.Response:
    entry, data = found
    kind, disposition = entry.type, f"attachment; {_named(entry.name)}"
    if entry.role == "html":
        kind, disposition, data = "text/html; charset=utf-8", "inline", _PAGE + data
    elif entry.role == "original" or kind == "text/plain":
        kind = "text/plain; charset=utf-8"
        disposition = "inline" if entry.role == "original" else disposition
    return web.Response(
        body=data,
        headers={
            "Content-Type": kind,
            "Content-Disposition": disposition,
            "Content-Security-Policy": POLICIES.get(entry.role, POLICIES["attachment"]),
            "Cache-Control": "private, no-store",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        },
    )


def _named(name: str) -> str:
    """RFC 6266 section 4.3: the name for everybody, and for who knows RFC 5987."""
    name = clean_name(name)  # an adapter elsewhere may have named it
    plain = "".join(mark if mark.isascii() and mark not in '"\\%' else "_" for mark in name)
    return f"filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


async def _entry(messages, contact: str, message: str, attachment: str) -> Entry:  # type: ignore[no-untyped-def]  # runtime's Messages
    found = await messages.one(contact, message)
    for entry in entries(found.attachments) if found is not None else []:
        if entry.id == attachment:
            return entry
    raise NotFound("attachment", attachment)


def _signature(call: Call, plain: bytes) -> bytes:
    key = hmac.digest(call.api.context.secret, b"attachment link", "sha256")
    return hmac.digest(key, plain, "sha256")


def _read(call: Call, text: str) -> _Ticket | None:
    try:
        signed = base64.urlsafe_b64decode(text.encode("ascii", "replace"))
    except (binascii.Error, ValueError):
        return None
    plain, signature = signed[:-32], signed[-32:]
    if not hmac.compare_digest(signature, _signature(call, plain)):
        return None
    return msgspec.msgpack.decode(plain, type=_Ticket)


def workspace_of_ticket(text: str) -> str:
    """The workspace that a link names, whoever wrote it: only to pass it on. Empty: none."""
    try:
        signed = base64.urlsafe_b64decode(text[:TICKET_CHARS].encode("ascii", "replace"))
        return msgspec.msgpack.decode(signed[:-32], type=_Ticket).workspace
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return ""


TICKET = Param("ticket", {"type": "string", "maxLength": TICKET_CHARS}, "From the link.")
ROUTES: tuple[Route, ...] = (
    Route("linkAttachment", "POST", "/v1/contacts/{id}:link-attachment", link,
          roles("admin supervisor agent"), {200: LinkView},
          "A link to a file that came with a message: it needs no token and ends after five "
          "minutes.", body=LinkBody, errors=(404,)),
    Route("getFile", "GET", "/v1/files", file, ANYBODY, {200: "application/octet-stream"},
          "The file behind a link. Attachments are downloads; the body of an e-mail may be shown "
          "in a sandboxed frame.", params=(TICKET,),
          errors=(403, 404)),
)  # fmt: skip
