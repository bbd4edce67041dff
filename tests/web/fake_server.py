"""A server that speaks docs/desk-protocol.md from a small world of its own, for the pages' tests.

It decides nothing: what an agent's command leads to is scripted in `World`. Real sockets, port 0,
and the headers that the real server sends, so that a page that breaks the policy fails here.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from tests.web.fake_world import World

WEB = Path(__file__).parents[2] / "router" / "web"
PAGES = {"/": "index.html", "/desk": "desk.html", "/wallboard": "wallboard.html"}
POLICY = (
    "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
TICKETS = {
    "crk_ana": {"role": "agent", "agent": "ana", "name": "Ana Lindqvist"},
    "crk_sup": {"role": "supervisor", "agent": "", "name": "Sam"},
}


def now_us() -> int:
    """The fake's clock."""
    return time.time_ns() // 1000


class Listener:
    """A page that is connected: what it is told goes out in the order in which it was said."""

    def __init__(self, socket: web.WebSocketResponse, mode: str) -> None:
        self.mode = mode
        self._socket = socket
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._writer = asyncio.ensure_future(self._write())  # noqa: TID251 - a test's fake

    def tell(self, frame: dict[str, Any]) -> None:
        self._said.put_nowait(frame)

    def end(self) -> None:
        self._writer.cancel()

    async def _write(self) -> None:
        with suppress(ConnectionError):  # the page has gone, or was cut off
            while True:
                await self._socket.send_json(await self._said.get())


class FakeServer:
    """Serve with `async with FakeServer(world) as server`; `server.url` is its address."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sockets: dict[web.WebSocketResponse, Listener] = {}
        self.commands: list[dict[str, Any]] = []
        """All that pages have sent, in order."""
        self.refuse: dict[str, dict[str, str]] = {}
        """Command type -> the error that the next one gets."""
        self.silent = False
        """Commands are taken but not answered, and nothing is pushed: a network that swallows."""
        self.late: dict[str, asyncio.Event] = {}
        """Command type -> what its answers wait for; the events of the command do not. As on the
        real server, an answer never comes before the events of its command."""
        self.closed_for = 0
        """So many connections are refused before one is let in."""
        self.first: dict[str, Any] = {}
        """Said instead of a welcome, and the connection closed."""
        self.missed: list[dict[str, Any]] = []
        self.broken: set[str] = set()
        """Readings that fail, by the last part of their path ("preference")."""
        self.slow = asyncio.Event()
        """Readings of customers wait for it; set = they do not."""
        self.slow.set()
        self.reads: list[str] = []
        """Paths that pages have read."""
        self.answers: dict[str, dict[str, Any]] = {}
        self._seen = asyncio.Condition()

    async def __aenter__(self) -> FakeServer:
        app = web.Application()
        app.router.add_post("/v1/session", self._session)
        app.router.add_delete("/v1/session", self._sign_out)
        app.router.add_get("/v1/desk", self._socket)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/v1/{kind}/{id}", self._read)
        app.router.add_get("/v1/{kind}/{id}/{what}", self._read)
        app.router.add_get("/{path:.*}", self._page)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.world.tell = self.tell
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        await self._runner.cleanup()

    async def cut(self) -> None:
        """Drop every connection without a word."""
        for socket in list(self.sockets):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()
        self.sockets.clear()

    def tell(self, mode: str, frame: dict[str, Any]) -> None:
        """Push a frame to every page of a mode; kept as missed while nobody listens."""
        listening = [each for each in self.sockets.values() if each.mode == mode]
        if self.silent or not listening:
            self.missed.append(frame)
            return
        for each in listening:
            each.tell(frame)

    async def got(self, type_: str, count: int = 1) -> dict[str, Any]:
        """Wait until a page has sent `count` commands of this type; gives the last."""
        async with asyncio.timeout(30), self._seen:
            await self._seen.wait_for(
                lambda: sum(1 for each in self.commands if each["type"] == type_) >= count
            )
        return [each for each in self.commands if each["type"] == type_][-1]

    async def _session(self, request: web.Request) -> web.Response:
        ticket = (await request.json())["ticket"]
        if ticket not in TICKETS:
            return web.json_response(
                {"code": "ticket", "detail": "ticket is not valid"}, status=401
            )
        session: dict[str, Any] = {"token": f"crt_{ticket}", "workspace": "main", **TICKETS[ticket]}
        session["expires_at_us"] = now_us() + 3600_000_000
        return web.json_response(session, headers=HEADERS)

    async def _sign_out(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers=HEADERS)

    async def _read(self, request: web.Request) -> web.Response:
        if not request.headers.get("Authorization", "").startswith("Bearer crt_"):
            return web.json_response({"code": "unauthorized", "detail": "no token"}, status=401)
        kind, what = request.match_info["kind"], request.match_info.get("what", "")
        self.reads.append(request.path)
        if kind == "customers":
            await self.slow.wait()
        if what in self.broken:
            return web.json_response({"code": "overloaded", "detail": "too much"}, status=503)
        answer = self.world.read(kind, request.match_info["id"], what)
        if answer is None:
            return web.json_response({"code": "not_found", "detail": "no such thing"}, status=404)
        return web.json_response(answer, headers=HEADERS)

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "live"}, headers=HEADERS)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        path = (WEB / PAGES.get(request.path, request.path.lstrip("/"))).resolve()
        if not path.is_relative_to(WEB) or not path.is_file():
            return web.Response(status=404, headers=HEADERS)
        return web.FileResponse(path, headers=HEADERS)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.closed_for:
            self.closed_for -= 1
            return web.Response(status=503)
        socket = web.WebSocketResponse(protocols=("contact-router.v1.json",))
        await socket.prepare(request)
        hello = json.loads((await socket.receive()).data)
        if not str(hello.get("token", "")).startswith("crt_crk_"):
            await socket.close(code=4401, message=b"token")
            return socket
        mode = hello["mode"]
        if self.first:
            await socket.send_json(self.first)
            await socket.close(code=4503, message=b"not now")
            return socket
        listener = self.sockets[socket] = Listener(socket, mode)
        listener.tell(self._welcome(hello, mode))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._command(listener, json.loads(message.data))
        finally:
            self.sockets.pop(socket, None)
            listener.end()
            if not socket.closed:
                await socket.close(code=WSCloseCode.GOING_AWAY)
        return socket

    def _welcome(self, hello: dict[str, Any], mode: str) -> dict[str, Any]:
        resumed = "resume" in hello
        missed, self.missed = (self.missed if resumed else []), []
        return {
            "type": "welcome",
            "version": 1,
            "mode": mode,
            "workspace": "main",
            "session": "s1",
            "resume": "again",
            "resumed": resumed,
            "missed": [each for each in missed if each.get("type") == "event"],
            "epoch": 1,
            "seq": self.world.seq,
            "now_us": now_us(),
            "ping_s": 10,
            "dead_s": 25,
            "paused": self.world.paused,
            **self.world.whole(mode),
        }

    async def _command(self, listener: Listener, frame: dict[str, Any]) -> None:
        async with self._seen:
            self.commands.append(frame)
            self._seen.notify_all()
        if self.silent or frame["type"] == "typing":  # is not answered
            return
        cid = frame["cid"]
        if cid not in self.answers:
            error = self.refuse.pop(frame["type"], None)
            if error and error["code"] == "store_full":  # no answer to keep: nothing was decided
                listener.tell({"type": "answer", "cid": cid, "ok": False, "error": error})
                return
            if error:
                self.answers[cid] = {"ok": False, "error": error}
            else:
                more = self.world.carry_out(frame) or {}
                self.answers[cid] = {"ok": True, "seq": self.world.seq, **more}
        answer = {"type": "answer", "cid": cid, **self.answers[cid]}
        if late := self.late.get(frame["type"]):
            asyncio.ensure_future(self._answer_late(listener, answer, late))  # noqa: TID251, RUF006 - a test's fake
            return
        listener.tell(answer)

    async def _answer_late(
        self, listener: Listener, answer: dict[str, Any], late: asyncio.Event
    ) -> None:
        await late.wait()
        listener.tell(answer)
