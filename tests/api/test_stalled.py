"""Clients that ask for a stream and do not read it, at the owner and at another node."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from router.api import stalled
from router.api.proxy import pass_back

PIECE = b"x" * 65_536
LAST_CHUNK = b"0\r\n\r\n"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Owner:
    """Serves a stream without end, and a short one; another node passes both on."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.session = aiohttp.ClientSession()
        self.runners: list[web.AppRunner] = []
        self.port = self.entry_port = 0

    async def start(self) -> None:
        self.port = await self._listen(self._endless, self._short)
        self.entry_port = await self._listen(self._pass, self._pass)

    async def _listen(self, endless: Handler, short: Handler) -> int:
        app = web.Application()
        app.router.add_get("/endless", endless)
        app.router.add_get("/short", short)
        runner = web.AppRunner(app)
        await runner.setup()
        self.runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await stalled.write(request, response, PIECE)
        except ConnectionError:
            return response
        finally:
            self.ended.set()

    async def _short(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="all of it")

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        answer = await self.session.get(f"http://127.0.0.1:{self.port}{request.path}")
        async with answer:
            return await pass_back(request, answer)

    async def stop(self) -> None:
        await self.session.close()
        for runner in reversed(self.runners):
            await runner.cleanup()


@pytest.fixture
async def owner(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Owner]:
    monkeypatch.setattr(stalled, "STALLED_S", 0.2)
    made = Owner()
    await made.start()
    yield made
    await made.stop()


async def ask(port: int, path: str) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nHost: router\r\n\r\n".encode())
    return client


async def rest_of(client: socket.socket) -> bytes:
    """What was under way when the connection was ended; the last of it."""
    loop, last = asyncio.get_running_loop(), b""
    with contextlib.suppress(ConnectionResetError):
        while data := await loop.sock_recv(client, 1 << 20):
            last = (last + data)[-64:]
    return last


@pytest.mark.parametrize("where", ["at the owner", "at another node"])
async def test_who_does_not_read_is_cut_off(owner: Owner, where: str) -> None:
    port = owner.port if where == "at the owner" else owner.entry_port
    client = await ask(port, "/endless")
    with client:
        async with asyncio.timeout(30):
            await owner.ended.wait()
            assert not (await rest_of(client)).endswith(LAST_CHUNK), "half must not look whole"


async def test_an_answer_that_is_read_comes_whole(owner: Owner) -> None:
    url = f"http://127.0.0.1:{owner.entry_port}/short"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert await answer.text() == "all of it"
