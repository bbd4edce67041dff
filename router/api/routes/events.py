"""The event stream over HTTP: live as server-sent events, by contact as pages; decision records."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, get_args

from aiohttp import web

from router.api import stalled
from router.api.hub import UNSEEN, event_view
from router.api.problems import ApiError
from router.api.routes.contacts import CLEAR, readable
from router.api.table import PAGING, TEXT, Call, Param, Reply, Route, query, query_int, roles
from router.api.views import View
from router.api.wire import encode_json
from router.core import events as e
from router.core.model import Contact
from router.errors import Invalid, JournalError
from router.runtime.loop import Workspace
from router.runtime.reports import first_seq

log = logging.getLogger("router.api")

BEAT_S = 10.0
SCAN_EVENTS = 20_000
"""Most events looked at for one page of a contact's timeline."""
STREAMS = 50
"""Event streams of one token."""


class TimelineItem(View):
    """An event and its sequence number."""

    seq: int
    event: e.Event


class Timeline(View):
    """A contact's events, oldest first."""

    events: list[TimelineItem]
    next: str = ""


class DecisionPage(View):
    """Why agents got this contact, oldest first."""

    decisions: list[e.ContactOffered]
    next: str = ""


async def stream(call: Call) -> Reply | web.StreamResponse:
    """Everything that happens, from a sequence number on."""
    request, workspace = call.request, call.tenant.workspace
    from_seq = _from(call, workspace)
    wanted = _filter(call)
    key = f"sse:{call.who.token}"
    if call.api.limits.sockets.count(key) >= STREAMS:
        raise ApiError(
            429, "too_many", f"at most {STREAMS} streams for one token", retry_after_s=5.0
        )
    call.api.limits.sockets.enter(key)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    subscription = workspace.feed.subscribe(from_seq)
    call.api.streams[subscription] = None
    try:
        await response.prepare(request)
        await stalled.write(request, response, b": connected\nretry: 2000\n\n")
        while True:
            items = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    items = await subscription.batch()
            if not call.api.tokens.is_current(call.who, call.api.clock.now_us()):
                return response
            if items is None:
                await stalled.write(request, response, b": beat\n\n")
                continue
            if not items:  # the workspace is not served here any more
                return response
            out = bytearray()
            if subscription.skipped:
                out += f"event: gap\ndata: {subscription.skipped}\n\n".encode()
                subscription.skipped = 0
            for seq, event in items:
                if wanted(event):
                    name = type(event).__name__
                    out += b"id: %d\nevent: %s\ndata: " % (seq, name.encode())
                    out += encode_json(event_view(event)) + b"\n\n"
            if out:
                await stalled.write(request, response, bytes(out))
    except ConnectionError:  # gone, or cut off because it does not read
        return response
    except JournalError as error:  # it has begun: no refusal can follow, only its end
        log.warning("a stream was ended", extra={"workspace": workspace.name, "why": str(error)})
        return response
    finally:
        subscription.close()
        call.api.streams.pop(subscription, None)
        call.api.limits.sockets.leave(key)


def _from(call: Call, workspace: Workspace) -> int | None:
    last = call.request.headers.get("Last-Event-ID")
    if last is not None:
        if not (last.isascii() and last.isdigit() and len(last) < 18):
            raise Invalid("invalid", f"expected a number as Last-Event-ID, got {last!r:.40}")
        return int(last) + 1
    from_seq = query_int(call, "from_seq", 0, 0, 1 << 60)
    return from_seq or None


def _filter(call: Call) -> Callable[[e.Event], bool]:
    types = {name for name in query(call, "types", 2000).split(",") if name}
    known = {cls.__name__ for cls in EVENTS}
    if not types <= known:
        raise Invalid("invalid", f"no event {min(types - known)!r:.60} - at `?types`")
    fields = {name: value for name in ("contact", "agent", "queue") if (value := query(call, name))}
    if not types and not fields:
        return lambda _: True
    tests = list(fields.items())

    def wanted(event: e.Event) -> bool:
        if types and type(event).__name__ not in types:
            return False
        return all(getattr(event, name, None) == value for name, value in tests)

    return wanted


EVENTS: tuple[type, ...] = get_args(e.Event)


async def timeline(call: Call) -> Reply:
    """A page of one contact's events."""
    contact = await readable(call)
    workspace = call.tenant.workspace
    cursor = query(call, "cursor", 20)
    if cursor and not (cursor.isascii() and cursor.isdigit()):
        raise Invalid("invalid", "expected `next` of the page before - at `?cursor`")
    limit = query_int(call, "limit", 100, 1, 500)
    if cursor:
        seq = int(cursor)
    else:
        seq = await first_seq(workspace, contact.created_at_us)
    items, following = await _scan(workspace, contact, seq, limit)
    if call.who.agent:  # whoever is listened to is not told
        items = [item for item in items if type(item.event) not in UNSEEN]
    return Reply(200, Timeline(events=items, next=str(following) if following else ""))


async def _scan(
    workspace: Workspace, contact: Contact, seq: int, limit: int
) -> tuple[list[TimelineItem], int]:
    """Events about a contact from `seq` on, and where to go on (0 = nothing left)."""
    items: list[TimelineItem] = []
    reservations: dict[str, None] = dict.fromkeys(contact.reservations)
    seen = 0
    while seen < SCAN_EVENTS:
        frames = await workspace.frames(seq, 50)
        if not frames:
            return items, 0
        for frame in frames:
            for number, data in enumerate(frame.events, frame.first_seq):
                if number < seq:
                    continue
                seen += 1
                seq = number + 1
                event = workspace.veil.event(data)
                if getattr(event, "contact", "") == contact.id:
                    if type(event) is e.ContactOffered:
                        reservations[event.reservation] = None
                elif getattr(event, "reservation", None) not in reservations:
                    continue
                items.append(TimelineItem(seq=number, event=event_view(event)))
                if len(items) == limit:
                    return items, seq
        await asyncio.sleep(0)
    return items, seq


async def decisions(call: Call) -> Reply:
    """A page of a contact's decision records."""
    contact = await readable(call)
    workspace = call.tenant.workspace
    prefix = f"{contact.id}/"
    limit = query_int(call, "limit", 100, 1, 500)
    cursor = query(call, "cursor", 500)
    rows = await workspace.journal.list_archive(
        workspace.own, "decision", prefix, prefix + cursor if cursor else "", limit
    )
    found: list[Any] = [workspace.veil.event(data) for _, data in rows]
    more = rows[-1][0].removeprefix(prefix) if len(rows) == limit else ""
    return Reply(200, DecisionPage(decisions=found, next=more))


ROUTES: tuple[Route, ...] = (
    Route("streamEvents", "GET", "/v1/events", stream, roles("admin supervisor client"),
          {200: "text/event-stream"},
          "Server-sent events: everything from `Last-Event-ID` (or `from_seq`) on, then live.",
          params=(
              Param("types", {"type": "string", "maxLength": 2000}, "Only these, by comma."),
              Param("contact", TEXT, "Only about this contact."),
              Param("agent", TEXT, "Only about this agent."),
              Param("queue", TEXT, "Only about this queue."),
              Param("from_seq", {"type": "integer", "minimum": 0}, "From this sequence number on."),
              Param("Last-Event-ID", {"type": "string", "pattern": "^[0-9]{1,17}$"},
                    "The last event seen: goes on after it.", "header"),
          )),
    Route("listContactEvents", "GET", "/v1/contacts/{id}/events", timeline, CLEAR, {200: Timeline},
          "One contact's events, oldest first; as far back as the log goes.", params=PAGING,
          errors=(404,)),
    Route("listDecisions", "GET", "/v1/contacts/{id}/decisions", decisions, CLEAR,
          {200: DecisionPage}, "Why agents got this contact: each decision with its terms.",
          params=PAGING, errors=(404,)),
)  # fmt: skip
