"""A raw HTTP/1.1 client whose answers are read: each request's status and body go to a callback.

Dearer than `http.py`, which only counts, and still a tenth of a client library. A server carries
out the requests of one connection one after another, so there are many connections.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

LOST = 0
"""The status of a request whose connection broke before its answer."""
Answered = Callable[[int, bytes], None]


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, on_lost: Callable[[Connection], None]) -> None:
        self._waiting: deque[Answered] = deque()
        self._buffer = b""
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = transport  # type: ignore[assignment]  # always a stream here

    @property
    def waiting(self) -> int:
        """Requests without an answer."""
        return len(self._waiting)

    def send(self, request: bytes, answered: Answered) -> None:
        """Send a request; `answered` is called once."""
        if self._transport is None or self._transport.is_closing():
            answered(LOST, b"")
            return
        self._waiting.append(answered)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Cut the stream into answers (RFC 9112 §6.3: all of ours have a Content-Length)."""
        buffer, at = self._buffer + data, 0
        while True:
            head_ends = buffer.find(b"\r\n\r\n", at)
            if head_ends < 0:
                break
            head = buffer[at:head_ends].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            end = head_ends + 4 + length
            if len(buffer) < end:
                break
            self._waiting.popleft()(int(head[9:12]), buffer[head_ends + 4 : end])
            at = end
        self._buffer = buffer[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """What waits hears that nobody knows."""
        self._transport = None
        waiting, self._waiting = self._waiting, deque()
        for answered in waiting:
            answered(LOST, b"")
        self._on_lost(self)

    def close(self) -> None:
        """Drop it."""
        if self._transport is not None:
            self._transport.abort()


class Client:
    """Connections to one server, used in turn; one that breaks is made anew."""

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._count = connections
        self._connections: list[Connection] = []
        self._turn = 0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect. Raises OSError."""
        for _ in range(self._count):
            await self._connect()

    @property
    def waiting(self) -> int:
        """Requests without an answer."""
        return sum(connection.waiting for connection in self._connections)

    def send(self, request: bytes, answered: Answered) -> None:
        """Send a request on the next connection."""
        if not self._connections:
            answered(LOST, b"")
            return
        self._turn = (self._turn + 1) % len(self._connections)
        self._connections[self._turn].send(request, answered)

    def close(self) -> None:
        """Drop all connections."""
        self._closing = True
        for connection in list(self._connections):
            connection.close()
        for task in self._tasks:
            task.cancel()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: Connection(self._lost), "127.0.0.1", self._port
        )
        self._connections.append(made)

    def _lost(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        if not self._closing:
            task = asyncio.get_running_loop().create_task(self._again())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _again(self) -> None:
        while not self._closing:
            try:
                await self._connect()
            except OSError:
                await asyncio.sleep(0.1)  # another process: only asking tells
            else:
                return
