"""WebSockets: the handshake, the bounded outgoing buffer, liveness. What is said is in `desk.py`
and `channels.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, WSMsgType, web

from router.api.auth import Principal
from router.api.bodies import HelloBody
from router.api.problems import ApiError, problem
from router.api.proxy import HOPPED
from router.api.relay import relay_link
from router.api.wire import FRAME_BYTES, encode_json, pack_frame, parse_json, parse_msgpack, typed
from router.errors import RouterError
from router.runtime.tasks import spawn

if TYPE_CHECKING:
    from router.api.http import Api

JSON = "contact-router.v1.json"
MSGPACK = "contact-router.v1.msgpack"
HELLO_S = 10.0
TICK_S = 10.0
HEARTBEAT_S = 16.0
"""aiohttp pings after so much silence and cuts after half as much again: 24 s."""
GOODBYE_S = 1.0
"""How long all sockets have to hear that the server goes."""
BUFFER_FRAMES = 1000
BUFFER_BYTES = 1 << 20

TOO_SLOW, BAD_FRAME, NO_TOKEN, FORBIDDEN, NO_HELLO, REPLACED, NOT_SERVED = (
    1013, 4400, 4401, 4403, 4408, 4409, 4503,
)  # fmt: skip


class Link:
    """One socket: `send` never waits, and a reader that is too slow is cut."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket
        self.is_msgpack = socket.ws_protocol == MSGPACK
        self._opcode = WSMsgType.BINARY if self.is_msgpack else WSMsgType.TEXT
        self._out: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._ending: tuple[int, str] | None = None
        self.on_tick: Callable[[], None] = _nothing
        self.workspace = ""
        """Whose it is, once its hello has said so."""
        self._pump_task = spawn(self._pump(), "socket-out")
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def encode(self, frame: Any) -> bytes:
        """A frame as this socket's bytes."""
        return pack_frame(frame) if self.is_msgpack else encode_json(frame)

    def decode(self, data: str | bytes) -> Any:
        """A frame from this socket's bytes. Raises Malformed."""
        if self.is_msgpack:
            return parse_msgpack(data if isinstance(data, bytes) else data.encode())
        return parse_json(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)

    def tell(self, frame: Any) -> None:
        """Send a frame."""
        self.send(self.encode(frame))

    def send(self, data: bytes) -> None:
        """Send encoded bytes; never waits."""
        if self._ending is not None:
            return
        # One frame that is larger than that by itself may go: the directory of a very large centre.
        too_much = self._out and self._bytes + len(data) > BUFFER_BYTES
        if too_much or len(self._out) >= BUFFER_FRAMES:
            self.close(TOO_SLOW, "reads too slowly")
            return
        self._out.append(data)
        self._bytes += len(data)
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Begin to close: what waits is sent first, unless the reader was too slow."""
        if self._ending is not None:
            return
        self._ending = (code, reason)
        if code == TOO_SLOW:
            self._out.clear()
        self._wake.set()
        asyncio.get_running_loop().call_later(5.0, self._abort)

    @property
    def is_open(self) -> bool:
        """Still in use?"""
        return self._ending is None and not self._socket.closed

    async def finish(self) -> None:
        """The socket's handler ends."""
        self._timer.cancel()
        if self._ending is None:
            self._ending = (WSCloseCode.OK, "")
        self._wake.set()
        if not self._pump_task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self._pump_task], timeout=3.0)
        self._pump_task.cancel()

    async def _pump(self) -> None:
        socket, out = self._socket, self._out
        try:
            while True:
                while out:
                    data = out.popleft()
                    self._bytes -= len(data)
                    await socket.send_frame(data, self._opcode)
                    del data  # else each silent socket would hold its last frame
                if self._ending is not None:
                    code, reason = self._ending
                    # RFC 6455 5.5: at most 125 bytes with the code; and whole letters (8.1).
                    said = reason.encode()[:120].decode("utf-8", "ignore")
                    await socket.close(code=code, message=said.encode())
                    return
                self._wake.clear()
                await self._wake.wait()
        except (ConnectionError, RuntimeError):  # gone; RuntimeError: aiohttp's "closed already"
            self._ending = self._ending or (WSCloseCode.ABNORMAL_CLOSURE, "gone")

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self.on_tick()

    def _abort(self) -> None:
        if not self._socket.closed and self._request.transport is not None:
            self._request.transport.abort()


def _nothing() -> None:
    pass


class Sockets:
    """All sockets of this process."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._links: dict[Link, None] = {}

    def mount(self, app: web.Application) -> None:
        """Add the socket paths."""
        from router.api.channels import serve_channel
        from router.api.desk import serve_desk

        async def desk(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, serve_desk)

        async def channel(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, serve_channel, FRAME_BYTES * 2)

        app.router.add_get("/v1/desk", desk, allow_head=False)
        app.router.add_get("/v1/channels/{id}", channel, allow_head=False)

    async def close(self, reason: str) -> None:
        """Tell everybody, and close."""
        links = list(self._links)
        for link in links:
            link.tell({"type": "closing", "reason": reason, "retry_after_s": 2})
            link.close(WSCloseCode.GOING_AWAY, reason)
        if links:
            await asyncio.wait([link._pump_task for link in links], timeout=GOODBYE_S)

    def dismiss(self, workspace: str) -> None:
        """Another node serves this workspace now: its sockets come again, to it."""
        for link in list(self._links):
            if link.workspace == workspace:
                link.tell({"type": "closing", "reason": "moved", "retry_after_s": 0})
                link.close(NOT_SERVED, "moved")

    async def _serve(
        self, request: web.Request, conversation: Any, frame_bytes: int = FRAME_BYTES
    ) -> web.StreamResponse:
        try:
            self._admit(request)
        except ApiError as error:
            return problem(error)
        socket = web.WebSocketResponse(
            protocols=(JSON, MSGPACK),
            max_msg_size=frame_bytes,
            heartbeat=HEARTBEAT_S,
            compress=False,
            writer_limit=1 << 16,
        )
        if not socket.can_prepare(request).ok:
            return problem(ApiError(400, "not_a_websocket", "expected a WebSocket handshake"))
        try:
            await socket.prepare(request)
        except ConnectionError:  # gone before we came to it: where many come at once, some give up
            return problem(ApiError(503, "unavailable", "the connection is gone"))
        link = Link(request, socket)
        self._links[link] = None
        entered = ""
        try:
            hello, who = await self._hello(request, socket, link)
            if hello is None or who is None:
                return socket
            self.api.limits.sockets.enter(who.token)
            entered = who.token
            link.workspace = who.workspace
            await conversation(self.api, request, socket, link, hello, who)
        except ApiError as error:
            link.close(TOO_SLOW if error.status == 429 else NOT_SERVED, error.detail)
        except RouterError as error:
            link.close(NOT_SERVED, str(error))
        finally:
            if entered:
                self.api.limits.sockets.leave(entered)
            await link.finish()
            self._links.pop(link, None)
        return socket

    def _admit(self, request: web.Request) -> None:
        """Raises ApiError: foreign origin, too many newcomers, stopping."""
        api = self.api
        if api.context.stopping:
            raise ApiError(503, "stopping", "the server stops", retry_after_s=2.0)
        origin = request.headers.get("Origin")
        if origin is not None and not self._is_ours(origin, request):
            raise ApiError(403, "origin", "pages of this origin may not open sockets here")
        wait_s = api.limits.accepts.take(api.clock.now_us())
        if wait_s:
            raise ApiError(503, "overloaded", "too many connect at once", retry_after_s=wait_s)

    def _is_ours(self, origin: str, request: web.Request) -> bool:
        settings = self.api.settings
        if origin in settings.allowed_origins:
            return True
        if settings.public_url:
            parts = urlsplit(settings.public_url)
            if origin == f"{parts.scheme}://{parts.netloc}":
                return True
        # Browsers set both, and a page cannot choose its Origin: equal hosts = our own page.
        return urlsplit(origin).netloc == request.headers.get("Host", "")

    async def _hello(
        self, request: web.Request, socket: web.WebSocketResponse, link: Link
    ) -> tuple[HelloBody | None, Principal | None]:
        api = self.api
        try:
            message = await socket.receive(timeout=HELLO_S)
        except TimeoutError:
            link.close(NO_HELLO, "no hello in time")
            return None, None
        if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            return None, None
        try:
            hello = typed(link.decode(message.data), HelloBody)
        except RouterError as error:
            link.close(BAD_FRAME, str(error))
            return None, None
        now_us = api.clock.now_us()
        who = api.tokens.find(hello.token, now_us)
        if who is None and await self._is_elsewhere(request, socket, link, hello, message.data):
            return None, None
        if who is None and (unsure := api.unsure()) is not None:
            raise unsure
        if who is None:
            api.limits.charge_address(api.address(request), now_us)
            link.close(NO_TOKEN, "this token is unknown or has expired")
            return None, None
        return hello, who

    async def _is_elsewhere(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        link: Link,
        hello: HelloBody,
        raw: str | bytes,
    ) -> bool:
        """Whether another node serves this token's workspace; if so, the socket was its."""
        proxy = self.api.proxy
        if proxy is None:
            return False
        try:
            workspace = await proxy.workspace_of_token(hello.token, self.api.address(request))
            if not workspace:
                return False
            owner = await proxy.owner_of(workspace, request.get(HOPPED))
        except ApiError as error:
            link.close(TOO_SLOW if error.status == 429 else NOT_SERVED, error.detail)
            return True
        if owner is None:  # it has just come here: whoever asks again finds it
            link.close(NOT_SERVED, "moved")
        elif hello.moves:
            link.tell({"type": "moved", "url": owner.address, "retry_after_s": 0})
            link.close(NOT_SERVED, "moved")
        else:
            link.workspace = workspace
            await relay_link(proxy, request, socket, link, raw, owner)
        return True
