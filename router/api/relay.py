"""WebSockets of workspaces that another node owns: frames go through, both ways, with their rules.

Neither side is read faster than the other takes it. The owner checks what is said; here are only
the size of a frame and that somebody is still there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import WSMsgType, web
from yarl import URL

from router.api.hops import HEADER
from router.api.problems import ApiError, problem
from router.journal.shared import NodeEntry
from router.runtime.tasks import spawn

if TYPE_CHECKING:
    from router.api.proxy import Proxy
    from router.api.websocket import Link

FRAME_BYTES = 4 << 20
HEARTBEAT_S = 16.0
HANDSHAKE_S = 5.0
GONE = 1012
"""Service restart: the node at the other end is gone; come again (RFC 6455 7.4, IANA registry)."""
Say = Callable[[aiohttp.WSMessage], Awaitable[None]]


async def relay(proxy: Proxy, request: web.Request, owner: NodeEntry) -> web.StreamResponse:
    """A socket whose path says whose it is: opened at the owner first, then here."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    names = tuple(name.strip() for name in offered.split(",") if name.strip())
    upstream = await connect(proxy, request, owner, names)
    chosen = (upstream.protocol,) if upstream.protocol else ()
    socket = web.WebSocketResponse(
        protocols=chosen, heartbeat=HEARTBEAT_S, max_msg_size=FRAME_BYTES, compress=False
    )
    try:
        try:
            await socket.prepare(request)
        except ConnectionError:  # gone while the owner was asked
            return problem(ApiError(503, "unavailable", "the connection is gone"))
        back = spawn(_back(upstream, socket), "relay")
        try:
            await _forth(socket, upstream)
        finally:
            await _end(upstream, socket.close_code)
            await asyncio.wait([back], timeout=5)
            back.cancel()
    finally:
        await _end(upstream, None)
    return socket


async def relay_link(
    proxy: Proxy, request: web.Request, socket: web.WebSocketResponse, link: Link,
    hello: str | bytes, owner: NodeEntry,
) -> None:  # fmt: skip
    """A desk's or an adapter's socket, whose first frame has said whose it is."""
    names = (socket.ws_protocol,) if socket.ws_protocol else ()
    try:
        upstream = await connect(proxy, request, owner, names)
    except ApiError as error:
        link.close(GONE, error.detail)
        return
    back = spawn(_back_to_link(upstream, link), "relay")
    try:
        await _send(upstream, hello)
        await _forth(socket, upstream)
    finally:
        await _end(upstream, socket.close_code)
        await asyncio.wait([back], timeout=5)
        back.cancel()


async def connect(
    proxy: Proxy, request: web.Request, owner: NodeEntry, protocols: tuple[str, ...]
) -> aiohttp.ClientWebSocketResponse:
    """The same handshake at the owner. Raises ApiError with what it said, or 503."""
    headers = proxy.headers_for(request)
    for name in [n for n in headers if n.lower().startswith("sec-websocket-")]:
        headers.popall(name, None)
    # A handshake is a GET, whatever the first hop's path was: signed as the owner will read it.
    headers[HEADER] = proxy.hops.sign("GET", request.raw_path, proxy.api.address(request))
    url = URL(owner.address.rstrip("/") + request.raw_path, encoded=True)
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            return await proxy.peers.session.ws_connect(
                url, headers=headers, protocols=protocols, heartbeat=HEARTBEAT_S,
                max_msg_size=FRAME_BYTES, compress=0,
            )  # fmt: skip
    except aiohttp.WSServerHandshakeError as error:
        status = error.status if error.status in (400, 401, 403, 404, 429) else 503
        raise ApiError(
            status, "handshake", f"the owner refused the socket with {error.status}",
            retry_after_s=2.0 if status == 503 else 0.0,
        ) from None  # fmt: skip
    except (
        aiohttp.ClientError,
        TimeoutError,
        OSError,
        RuntimeError,
    ):  # RuntimeError: this node stops
        raise ApiError(
            503, "unavailable", "the node that serves this workspace cannot be reached",
            retry_after_s=1.0,
        ) from None  # fmt: skip


async def _forth(socket: web.WebSocketResponse, upstream: aiohttp.ClientWebSocketResponse) -> None:
    async for message in socket:
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return
        await _send(upstream, message.data)


async def _send(upstream: aiohttp.ClientWebSocketResponse, data: str | bytes) -> None:
    # A socket that closes meanwhile: what it closed with is passed back by the other direction.
    with contextlib.suppress(ConnectionError, RuntimeError):
        if isinstance(data, str):
            await upstream.send_str(data)
        else:
            await upstream.send_bytes(data)


async def _back(upstream: aiohttp.ClientWebSocketResponse, socket: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError, RuntimeError):
        async for message in upstream:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            else:
                break
        await socket.close(code=sayable(upstream.close_code))


async def _back_to_link(upstream: aiohttp.ClientWebSocketResponse, link: Link) -> None:
    async for message in upstream:
        if message.type is WSMsgType.TEXT:
            link.send(message.data.encode("utf-8", "surrogatepass"))
        elif message.type is WSMsgType.BINARY:
            link.send(message.data)
        else:
            break
    link.close(sayable(upstream.close_code), "")


async def _end(upstream: aiohttp.ClientWebSocketResponse, code: int | None) -> None:
    if not upstream.closed:
        with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
            async with asyncio.timeout(2):
                await upstream.close(code=sayable(code))


def sayable(code: int | None) -> int:
    """A close code that may stand in a frame (RFC 6455 7.4.1); one that broke off becomes 1012."""
    return code if code is not None and code not in (1005, 1006, 1015) else GONE
