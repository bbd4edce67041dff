"""Whole lives: submitted over HTTP, offered at a desk, accepted, completed, wrapped up, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter

import msgspec

from loadtest import contacts
from loadtest.drivers import http, websocket
from loadtest.server import Server

AT_ONCE = 150
"""Contacts alive at a time: fewer than the agents can hold."""
TIMEOUT_S = 120.0


class Happened(msgspec.Struct):
    """As much of an event as a robot reads."""

    type: str = ""
    reservation: str = ""
    contact: str = ""


class Pushed(msgspec.Struct):
    """As much of a desk frame as a robot reads."""

    type: str
    event: Happened | None = None
    cid: str = ""
    ok: bool = True
    error: dict[str, str] | None = None


_decode = msgspec.json.Decoder(Pushed).decode
_encode = msgspec.json.Encoder().encode


class Lives:
    """Robot agents at their desks, and a customer for each contact that ends."""

    def __init__(self, server: Server, agents: list[str]) -> None:
        self._server = server
        self._agents = agents
        self._desks: list[websocket.Socket] = []
        self._client = http.Client(server.port, "201", 8)
        self._rest: Iterator[bytes] = iter(())
        self._posted = 0
        self._wanted = 0
        self._ended = 0
        self._cid = 0
        self._finished: asyncio.Future[None]

    async def open(self) -> None:
        """Sit down at the desks."""
        await self._client.open(None)
        for agent in self._agents:
            desk = await websocket.connect(self._server.port, "/v1/desk", "contact-router.v1.json")
            desk.on_message = self._reader(desk)
            desk.on_close = self._lost
            desk.send(
                _encode({"type": "hello", "token": await self._server.token("agent", agent=agent)})
            )
            self._desks.append(desk)

    async def live(self, numbers: range) -> float:
        """As many whole lives. Seconds from the first submit to the last close."""
        token = self._server.admin
        self._rest = iter(
            [
                http.request("/v1/contacts", contacts.body(n, "life", channel="email"), token)
                for n in numbers
            ]
        )
        self._wanted, self._ended = len(numbers), 0
        self._finished = asyncio.get_running_loop().create_future()
        began_s = perf_counter()
        for _ in range(AT_ONCE):
            self._post()
        try:
            await asyncio.wait_for(self._finished, TIMEOUT_S)
        except TimeoutError:
            raise RuntimeError(f"expected {self._wanted} lives, got {self._ended}") from None
        took_s = perf_counter() - began_s
        await self._client.drained(10)
        self._client.check()
        return took_s

    def close(self) -> None:
        """Go home."""
        self._client.close()
        for desk in self._desks:
            desk.on_close = _ignore
            desk.close()

    def _reader(self, desk: websocket.Socket) -> _Reader:
        return _Reader(self, desk)

    def heard(self, desk: websocket.Socket, data: bytes) -> None:
        """A frame at a desk: take every offer, complete what is taken."""
        frame = _decode(data)
        event = frame.event
        if event is not None:
            if event.type == "ContactOffered":
                self._say(desk, {"type": "accept", "reservation": event.reservation})
            elif event.type == "ReservationConnected":
                self._say(desk, {"type": "complete", "contact": event.contact})
            elif event.type == "ReservationEnded":
                self._ended += 1
                self._post()
                if self._ended == self._wanted and not self._finished.done():
                    self._finished.set_result(None)
        elif frame.type == "answer" and not frame.ok:
            self._fail(RuntimeError(f"a desk command was refused: {data!r:.300}"))

    def _post(self) -> None:
        request = next(self._rest, None)
        if request is not None:
            connections = self._client.connections
            self._posted += 1
            connections[self._posted % len(connections)].send(request, perf_counter())

    def _say(self, desk: websocket.Socket, command: dict[str, str]) -> None:
        self._cid += 1
        desk.send(_encode({**command, "cid": f"k{self._cid}"}))

    def _lost(self, code: int) -> None:
        self._fail(ConnectionError(f"a desk lost its connection ({code})"))

    def _fail(self, error: Exception) -> None:
        if not self._finished.done():
            self._finished.set_exception(error)


class _Reader:
    def __init__(self, lives: Lives, desk: websocket.Socket) -> None:
        self._lives = lives
        self._desk = desk

    def __call__(self, data: bytes) -> None:
        self._lives.heard(self._desk, data)


def _ignore(_: int) -> None:
    pass
