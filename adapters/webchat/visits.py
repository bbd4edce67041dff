"""The visitor's WebSocket: origin, first frame, limits, a bounded buffer; and where files go."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime

from aiohttp import WSMsgType, web

from adapters import TRY_AGAIN
from adapters.webchat.channel import CLOSE_S, WebChat
from adapters.webchat.codec import (
    FRAME_BYTES,
    Choose,
    Down,
    End,
    Error,
    Hello,
    Refused,
    Say,
    Typing,
    decode,
    encode,
    same_origin,
    too_long,
)
from adapters.webchat.conversation import Conversation, Words
from adapters.webchat.door import Crowded, network_of
from adapters.webchat.files import NoFile
from adapters.webchat.uploads import NotTaken, allowed, answer, may_upload, refusal
from router import channel as contract

BUFFER = 128
"""Frames a page may be behind; then it is closed, and comes back for the history."""
BAD_FRAMES = 10
HELLO_S = 10.0
SEND_S = 20.0
HEARTBEAT_S = 20.0


def routes(channel: WebChat) -> list[web.RouteDef]:
    """What the API mounts under ``/v1/webchat/{name}``."""

    async def visit(request: web.Request) -> web.StreamResponse:
        return await _visit(channel, request)

    async def upload(request: web.Request) -> web.Response:
        return await _upload(channel, request)

    return [
        web.get("/ws", visit),
        web.post("/files", upload),
        web.options("/files", upload),
    ]


class OpenPage:
    """One open page: frames are queued here and written by a task of its own."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._socket = socket
        self._transport = transport
        self._frames: deque[Down] = deque()
        self._due = asyncio.Event()
        self._closing: tuple[int, str] | None = None

    @property
    def closing(self) -> bool:
        """Whether it takes no more frames."""
        return self._closing is not None

    def send(self, frame: Down) -> None:
        """Queue a frame; a page that is too far behind is closed."""
        if self._closing is None:
            if len(self._frames) >= BUFFER:
                self._frames.clear()
                self.close(1013, "too far behind: reconnect for the history")
                return
            self._frames.append(frame)
            self._due.set()

    def close(self, code: int, reason: str) -> None:
        """Close after what is queued."""
        if self._closing is None:
            self._closing = (code, reason)
            self._due.set()

    async def write(self) -> None:
        """Write what is queued until the page is closed; a page that takes nothing is cut off."""
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                async with asyncio.timeout(SEND_S):
                    while self._frames:
                        await self._socket.send_str(encode(self._frames.popleft()))
                    if self._closing is not None:
                        code, reason = self._closing
                        await self._socket.close(code=code, message=reason.encode())
                        return
        except (TimeoutError, ConnectionError):
            self._closing = self._closing or (1013, "it takes nothing")
            if self._transport is not None:
                self._transport.abort()


async def _visit(channel: WebChat, request: web.Request) -> web.StreamResponse:
    origin = request.headers.get("Origin", "")
    if not same_origin(origin, channel.config.origins, request.host):
        return web.Response(status=403, text="pages of this origin may not chat here")
    if not channel.up:
        return web.Response(status=503, text="not running", headers={"Retry-After": "2"})
    network = network_of(request.remote or "")
    try:
        channel.door.porch.enter(network)
    except Crowded:
        return web.Response(
            status=503, text="others are at the door: one moment", headers={"Retry-After": "2"}
        )
    try:
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=FRAME_BYTES, compress=False
        )
        await socket.prepare(request)
        hello = await _hello(socket)
    finally:
        channel.door.porch.leave(network)
    if hello is None or hello.key != channel.config.key:
        await socket.close(code=4003, message=b"expected hello with the key of this site")
        return socket
    page = OpenPage(socket, request.transport)
    try:
        entry = channel.door.admit(hello, network, datetime.now(UTC).timestamp())
    except Crowded:
        await socket.close(code=1013, message=b"too many new visitors from your network")
        return socket
    try:
        if not entry.is_new:
            await channel.recall(entry.visitor)
        conversation = channel.enter(page, entry)
        if entry.complaint:
            page.send(Error("identity", entry.complaint))
        writer = channel.writers.start(page.write(), "page")
    except contract.ChannelError:
        await socket.close(code=1013, message=b"full: come back later")
        return socket
    try:
        await _listen(channel, socket, page, conversation, origin)
    finally:
        channel.leave(page, conversation)
        if page.closing:
            await asyncio.wait((writer,), timeout=CLOSE_S)
        writer.cancel()
    return socket


async def _upload(channel: WebChat, request: web.Request) -> web.Response:
    try:
        may_upload(request, channel.config)
        if request.method == "OPTIONS":
            return allowed(request)
        if not channel.up:
            raise NotTaken(503, "try_again", "not running", 2.0)
        token, now_s = request.headers.get("Webchat-Token", ""), datetime.now(UTC).timestamp()
        visitor = channel.signer.check(token, int(now_s))
        if visitor is None:
            raise NotTaken(403, "token", "this token is not ours, or has expired")
        conversation = channel.conversations.get(visitor.id)
        return answer(request, await channel.uploads.take(request, conversation))
    except NotTaken as no:
        return refusal(request, no)


async def _hello(socket: web.WebSocketResponse) -> Hello | None:
    try:
        frame = decode(await socket.receive_str(timeout=HELLO_S))
    except (TimeoutError, TypeError, ValueError):
        return None
    return frame if isinstance(frame, Hello) else None


async def _listen(
    channel: WebChat,
    socket: web.WebSocketResponse,
    page: OpenPage,
    conversation: Conversation,
    origin: str,
) -> None:
    bad = 0
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            break
        try:
            frame = decode(message.data)
        except ValueError as error:
            bad += 1
            if bad > BAD_FRAMES:
                page.close(1008, "too many frames that are not of this protocol")
            page.send(Error("invalid", str(error)))
            continue
        match frame:
            case Say():
                await _say(channel, page, conversation, frame, origin)
            case Choose():
                try:
                    channel.choose(conversation, frame.name, frame.value)
                except contract.ChannelError:
                    page.send(Error("not_asked", "this was not asked, or is answered already"))
            case Typing():
                channel.typing(conversation)
            case End():
                try:
                    channel.end(conversation)
                except contract.ChannelError:
                    page.send(Error("not_ended", "the conversation could not be closed"))
            case Hello():
                page.send(Error("invalid", "hello was said already"))


async def _say(
    channel: WebChat, page: OpenPage, conversation: Conversation, frame: Say, origin: str
) -> None:
    """A message: refused with the reason, or taken by the router."""
    why = too_long(frame.text)
    if why and (frame.text.strip() or not frame.files):
        page.send(Refused(frame.id, "too_long", why))
        return
    if conversation.knows(frame.id) is None:
        wait_s = conversation.bucket.take(asyncio.get_running_loop().time())
        if wait_s > 0:
            page.send(Refused(frame.id, "too_fast", "one message a second, please", wait_s))
            return
    try:
        words = Words(frame.id, frame.text, origin, frame.files)
        await channel.say(conversation, words)
    except NoFile:
        page.send(Refused(frame.id, "no_file", "the file is not here any more: send it again"))
    except contract.Refused as refused:
        page.send(Refused(frame.id, refused.code, "this message cannot be taken"))
    except TRY_AGAIN as error:
        after_s = getattr(error, "retry_after_s", 1.0)
        page.send(Refused(frame.id, "try_again", "we are very busy: one moment", after_s))
