"""A raw HTTP/1.1 client: requests are bytes made beforehand, answers are only counted.

Many keep-alive connections, since a server carries out the requests of one connection one after
another; `window` requests are under way on each. A driver that parses costs more than the server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

STATUS = b"HTTP/1.1 "
CARRY = len(STATUS) + 2


class Tally:
    """What came back: how much, how soon, and what was not as expected."""

    def __init__(self) -> None:
        self.sent = 0
        self.done = 0
        self.wrong = 0
        self.first_wrong = b""
        self.needle = b""
        """If given, stands in every good answer once."""
        self.needles = 0
        self.latency_s: list[float] = []
        self.on_done: Callable[[], None] = _nothing


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, tally: Tally, good: bytes, more: Iterator[bytes] | None) -> None:
        """`more`: closed loop, the next request follows each answer; None: open loop."""
        self._tally = tally
        self._good = STATUS + good
        self._more = more
        self._carry = b""
        self._tail = b""
        self._sent_s: deque[float] = deque()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = transport  # type: ignore[assignment]  # always a stream here

    def send(self, request: bytes, at_s: float) -> None:
        """Send a request whose time counts from `at_s`."""
        self._tally.sent += 1
        self._sent_s.append(at_s)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count answers by their status lines, which may be split between two reads."""
        text = self._carry + data
        count = text.count(STATUS)
        self._carry = text[-CARRY:] if len(text) > CARRY else text
        if self._carry.count(STATUS):  # counted already: leave only what may begin another
            self._carry = self._carry[self._carry.rfind(STATUS) + len(STATUS) :]
        if self._tally.needle:
            self._look(data)
        if not count:
            return
        tally, now_s = self._tally, perf_counter()
        if text.count(self._good) < count:
            tally.wrong += count - text.count(self._good)
            tally.first_wrong = tally.first_wrong or text[:600]
        tally.done += count
        for _ in range(count):
            tally.latency_s.append(now_s - self._sent_s.popleft())
        if self._more is not None:
            batch = []
            for request in self._more:
                batch.append(request)
                if len(batch) == count:
                    break
            tally.sent += len(batch)
            self._sent_s.extend([now_s] * len(batch))
            if batch:
                self._transport.write(b"".join(batch))
        tally.on_done()

    def _look(self, data: bytes) -> None:
        needle = self._tally.needle
        text = self._tail + data
        self._tally.needles += text.count(needle)
        self._tail = text[-len(needle) + 1 :]

    def close(self) -> None:
        """Drop it."""
        self._transport.close()


class Client:
    """Connections to one server."""

    def __init__(self, port: int, good: str, connections: int, needle: bytes = b"") -> None:
        """`good` is the status that is expected, `needle` what else each answer must say."""
        self.tally = Tally()
        self.tally.needle = needle
        self._port = port
        self._good = good.encode()
        self._connections = connections
        self.connections: list[Connection] = []

    async def open(self, requests: Iterator[bytes] | None) -> None:
        """Connect. With `requests`: closed loop."""
        loop = asyncio.get_running_loop()
        for _ in range(self._connections):
            _, made = await loop.create_connection(
                lambda: Connection(self.tally, self._good, requests), "127.0.0.1", self._port
            )
            self.connections.append(made)

    async def closed_loop(self, requests: Sequence[bytes], window: int, timeout_s: float) -> float:
        """Send them all, `window` at a time on each connection. Seconds until the last answer."""
        rest = iter(requests)
        await self.open(rest)
        finished = asyncio.get_running_loop().create_future()
        tally, wanted = self.tally, len(requests)

        def look() -> None:
            if tally.done >= wanted and not finished.done():
                finished.set_result(None)

        tally.on_done = look
        began_s = perf_counter()
        for _ in range(window):
            for connection in self.connections:
                request = next(rest, None)
                if request is not None:
                    connection.send(request, perf_counter())
        try:
            await asyncio.wait_for(finished, timeout_s)
        except TimeoutError:
            raise RuntimeError(
                f"expected {wanted} answers, got {tally.done} in {timeout_s:.0f} s"
            ) from None
        return perf_counter() - began_s

    async def open_loop(self, requests: Sequence[bytes], per_s: float) -> list[float]:
        """Send one every `1 / per_s` seconds, come what may. When each was sent."""
        await self.open(None)
        count, at = len(self.connections), 0
        sent_s: list[float] = []
        began_s = perf_counter()
        while at < len(requests):
            now_s = perf_counter()
            due = min(len(requests), int((now_s - began_s) * per_s) + 1)
            while at < due:
                sent_s.append(perf_counter())
                self.connections[at % count].send(requests[at], sent_s[-1])
                at += 1
            await asyncio.sleep(max(0.0, began_s + at / per_s - perf_counter()))
        return sent_s

    async def drained(self, timeout_s: float) -> None:
        """Wait until all that was sent is answered. Raises RuntimeError."""
        if self.tally.done < self.tally.sent:
            finished = asyncio.get_running_loop().create_future()

            def look() -> None:
                if self.tally.done >= self.tally.sent and not finished.done():
                    finished.set_result(None)

            self.tally.on_done = look
            try:
                await asyncio.wait_for(finished, timeout_s)
            except TimeoutError:
                missing = self.tally.sent - self.tally.done
                raise RuntimeError(f"{missing} answers missing after {timeout_s:.0f} s") from None

    def close(self) -> None:
        """Drop all connections."""
        for connection in self.connections:
            connection.close()

    def check(self) -> None:
        """Raises RuntimeError if an answer was not as expected."""
        if self.tally.wrong:
            text = self.tally.first_wrong.decode("utf-8", "replace")
            raise RuntimeError(f"{self.tally.wrong} answers were not {self._good!r}: {text}")
        if self.tally.needle and self.tally.needles != self.tally.done:
            missing = self.tally.done - self.tally.needles
            raise RuntimeError(f"{missing} answers did not say {self.tally.needle!r}")


def request(path: str, body: bytes, token: str = "") -> bytes:
    """A POST as it goes over the wire."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _nothing() -> None:
    pass
