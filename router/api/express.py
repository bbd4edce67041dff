"""The short way for contacts over HTTP, for connections that bring nothing but submissions.

Every connection begins here. As long as each request on it is a plain ``POST /v1/contacts`` with a
good token, it goes into the workspace's inbox and is answered without a task, a request object or a
future: a third of what the long way costs. The first request that is anything else, and everything
after it, goes to aiohttp, which serves all operations (`http.py`); so does whatever is slow, large
or odd. A connection changes hands once and never back.

Nothing of HTTP is understood here beyond where a head ends: heads are read by aiohttp's parser, and
remembered, because a client's heads repeat. Pipelined requests share a commit; the answers go out
in the order of the requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser

from router.api.problems import problem
from router.api.reach import check_channel
from router.api.routes.contacts import SUBMIT, parts, receipt_view
from router.api.table import reader_of
from router.api.wire import encode_json
from router.channel import NewContact, Receipt
from router.errors import Invalid, NotFound, Overloaded
from router.runtime.intake import Intake, Routing
from router.runtime.loop import Answer
from router.runtime.tasks import spawn

if TYPE_CHECKING:
    from router.api.http import Api

log = logging.getLogger("router.api")

BODY_BYTES = 64 << 10
HEAD_BYTES = 8 << 10
HEADS, HEAD_KEPT_BYTES = 1024, 1024
"""Heads remembered, each at most so long: 1 MiB in all."""
PIPELINED = 64
"""Requests of one connection under way; then it is not read."""
LOOK_S = 2.0
IDLE_S = 75.0
"""A connection without a request for so long is closed, as aiohttp is told to do, too."""
END = b"\r\n\r\n"
TITLES = {200: "OK", 201: "Created"}


class Head(NamedTuple):
    """What matters of a request's head."""

    token: str
    length: int
    """Of the body, in bytes."""
    trace: str = ""
    """Its ``traceparent``."""


class Express:
    """All connections that are on the short way."""

    def __init__(self, api: Api, aiohttp: Callable[[], asyncio.Protocol]) -> None:
        """`aiohttp` makes the protocol that takes a connection over."""
        self.api = api
        self.aiohttp = aiohttp
        self.stopping = False
        self._read = reader_of(SUBMIT)
        self._heads: dict[bytes, Head] = {}
        self._connections: dict[Connection, None] = {}
        self._empty = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def connection(self) -> Connection:
        """For a server: the protocol of a new connection."""
        return Connection(self)

    def enter(self, connection: Connection) -> None:
        """It is open."""
        self._connections[connection] = None

    def leave(self, connection: Connection) -> None:
        """It is closed, or aiohttp's."""
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()

    def start(self) -> None:
        """Look after connections on which nothing happens, from now on."""
        self.look()
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self.start)

    async def stop(self, timeout_s: float) -> None:
        """Close them all; what is under way may take so long. Nobody new may come any more."""
        self.stopping = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.close()
        if self._connections:
            self._empty.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._empty.wait()
            except TimeoutError:
                for connection in list(self._connections):
                    connection.abort()

    def look(self) -> None:
        """Who dawdles is aiohttp's, which has a limit for each kind of it."""
        now_s = asyncio.get_running_loop().time()
        for connection in list(self._connections):
            connection.look(now_s)

    def head(self, data: bytes) -> Head | None:
        """A request's head, with the empty line; None: not one for the short way."""
        found = self._heads.get(data)
        if found is None:
            found = read_head(data)
            # A head with a trace of its own does not come again.
            if found is not None and not found.trace and len(data) <= HEAD_KEPT_BYTES:
                if len(self._heads) >= HEADS:
                    self._heads.clear()
                self._heads[data] = found
        return found

    def submit(self, head: Head, raw: bytes, asked: Asked) -> bool:
        """Put a contact into its workspace's inbox; False: aiohttp must say what is wrong."""
        api = self.api
        who = api.tokens.find(head.token, asked.began_us)
        if who is None or who.role not in SUBMIT.roles:
            return False
        try:
            api.limits.charge(who.token, asked.began_us)
            tenant = api.tenant_of(who)
            asked.intake = intake = tenant.intake
            body = self._read(raw)
            check_channel(tenant, who, body.channel)
            new, routing = parts(body, head.trace)
            if not intake.begin(new, body.channel, asked, by=who.by, routing=routing):
                spawn(_submit(asked, new, body.channel, who.by, routing), "submit")
        except Exception as error:
            asked.set_exception(error)
        return True


async def _submit(asked: Asked, new: NewContact, channel: str, by: str, routing: Routing) -> None:
    """A contact that may be known from the archive: the way with a coroutine."""
    try:
        receipt, _ = await asked.intake.submit(new, channel, by=by, routing=routing)
    except Exception as error:
        asked.set_exception(error)
    else:
        asked.succeed(receipt)


class Asked:
    """A submission under way: is told its answer, and makes its bytes."""

    __slots__ = ("_connection", "began_us", "data", "intake")

    intake: Intake

    def __init__(self, connection: Connection, began_us: int) -> None:
        self._connection = connection
        self.began_us = began_us
        self.data = b""
        """The whole response, once there is one."""

    def done(self) -> bool:
        """Has it been told?"""
        return self.data != b""

    def set_result(self, answer: Answer, /) -> None:
        """The contact is durable."""
        try:
            self.succeed(self.intake.receipt_of(answer))
        except Exception as error:
            self.set_exception(error)

    def set_exception(self, error: Exception, /) -> None:
        """It was refused, or nobody knows what came of it."""
        if isinstance(error, NotFound):  # a name in a body that means nothing makes the body wrong
            error = Invalid(error.code, str(error))
        if isinstance(error, Overloaded):
            self._finish(*_overloaded(str(error), error.retry_after_s))
        else:
            self._finish(*_refusal(error))

    def succeed(self, receipt: Receipt) -> None:
        """This is the answer."""
        status = 201 if receipt.created else 200
        head = (
            f"{status} {TITLES[status]}\r\nLocation: /v1/contacts/{receipt.contact}\r\n"
            "Content-Type: application/json"
        )
        self._finish(status, head, encode_json(receipt_view(receipt)))

    def _finish(self, status: int, head: str, body: bytes) -> None:
        self.data = (
            f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\nServer: contact-router\r\n"
            f"X-Content-Type-Options: nosniff\r\nDate: {rfc822_formatted_time()}\r\n\r\n"
        ).encode() + body
        self._connection.answered(status, self.began_us)


def _refusal(error: Exception) -> tuple[int, str, bytes]:
    """Status, head and body of the answer for an error."""
    response = problem(error)
    assert isinstance(response.body, bytes)
    lines = [f"{name}: {value}" for name, value in response.headers.items()]
    first = f"{response.status} {response.reason}"
    return response.status, "\r\n".join([first, *lines]), response.body


@lru_cache(maxsize=256)
def _overloaded(text: str, retry_after_s: float) -> tuple[int, str, bytes]:
    """The same words each time: who refuses thousands a second must not work for it."""
    return _refusal(Overloaded(text, retry_after_s))


class Connection(asyncio.Protocol):
    """One connection that has brought nothing but submissions so far."""

    def __init__(self, express: Express) -> None:
        self._express = express
        self._held = b""
        """What has come and is not carried out: part of a request, or too many of them."""
        self._asked: deque[Asked] = deque()
        self._seen_s = asyncio.get_running_loop().time()
        self._served = False
        self._leaving = False
        """The next request is aiohttp's."""
        self._reading = True
        self._taking = False
        self._flushing = False
        self._is_slow = False
        """The other side does not read its answers."""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = transport  # type: ignore[assignment]  # always a stream here
        self._express.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone; what is under way is carried out all the same."""
        self._asked.clear()
        self._held = b""
        self._express.leave(self)

    def pause_writing(self) -> None:
        """The other side does not read: take nothing more from it."""
        self._is_slow = True
        self._set_reading(False)

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_slow = False
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Requests, whole or in part."""
        self._held = self._held + data if self._held else data
        self._seen_s = asyncio.get_running_loop().time()
        self._take()

    def answered(self, status: int, began_us: int) -> None:
        """A request has its answer: send it, with others that share its commit."""
        api, asked = self._express.api, self._asked
        now_us = api.clock.now_us()
        api.observe(SUBMIT.operation, SUBMIT.method, status, (now_us - began_us) * 1e-6)
        if asked and asked[-1].data:
            self._flush()
        elif not self._flushing:  # the next answer is likely to follow at once
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Send the answers whose turn it is."""
        asked = self._asked
        self._flushing = False
        ready = []
        while asked and asked[0].data:
            ready.append(asked.popleft().data)
        if not ready:
            return
        self._transport.write(b"".join(ready))
        if not self._taking and (not asked or not self._reading):
            self._go_on()

    def look(self, now_s: float) -> None:
        """Some time has passed."""
        quiet_s = now_s - self._seen_s
        if self._asked or quiet_s < LOOK_S:
            return
        if self._held or not self._served:
            self._leave()
        elif quiet_s > IDLE_S:
            self._transport.close()

    def close(self) -> None:
        """Close it when all is answered that was asked."""
        self._set_reading(False)
        if not self._asked:
            self._transport.close()

    def abort(self) -> None:
        """Drop it."""
        self._transport.abort()

    def _take(self) -> None:
        """Carry out the requests that are held, as far as they are whole."""
        data, at, express = self._held, 0, self._express
        self._taking = True  # one that is refused at once is answered before this ends
        while at < len(data) and not self._leaving and not self._is_slow:
            if len(self._asked) >= PIPELINED:
                self._set_reading(False)
                break
            begin = data.find(END, at, at + HEAD_BYTES) + len(END)
            if begin < len(END):
                self._leaving = len(data) - at >= HEAD_BYTES
                break
            head = express.head(data[at:begin])
            if head is None:
                self._leaving = True
                break
            end = begin + head.length
            if end > len(data):
                break
            asked = Asked(self, express.api.clock.now_us())
            self._asked.append(asked)
            if not express.submit(head, data[begin:end], asked):
                self._asked.pop()
                self._leaving = True
                break
            self._served = True
            at = end
        self._held = data[at:]
        self._taking = False
        if self._leaving:
            self._leave()

    def _go_on(self) -> None:
        """Answers are out, or there is room for them again."""
        if self._express.stopping:
            if not self._asked:
                self._transport.close()
        elif self._leaving:
            self._leave()
        elif not self._is_slow and len(self._asked) <= PIPELINED // 2:
            self._set_reading(True)
            if self._held:
                self._take()

    def _leave(self) -> None:
        """Hand the connection over, once all before it is answered."""
        self._leaving = True
        if self._asked:
            self._set_reading(False)
            return
        if self._transport.is_closing():
            return
        self._express.leave(self)
        self._set_reading(True)
        protocol, held = self._express.aiohttp(), self._held
        self._held = b""
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if self._is_slow:
            protocol.pause_writing()
        if held:
            protocol.data_received(held)

    def _set_reading(self, reading: bool) -> None:
        if reading is self._reading or self._transport.is_closing():
            return
        self._reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()


def read_head(data: bytes) -> Head | None:
    """A head as aiohttp reads it; None unless it is that of a plain, small submission."""
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, BODY_BYTES)
    try:
        messages, _, tail = parser.feed_data(data)
    except HttpProcessingError:
        return None
    if len(messages) != 1 or tail:
        return None
    request, payload = messages[0]
    headers = request.headers
    length = headers.get("Content-Length", "")
    authorization = headers.get("Authorization", "")
    is_plain = (
        request.method == SUBMIT.method
        and request.path == SUBMIT.path
        and (request.version.major, request.version.minor) == (1, 1)
        and not (request.should_close or request.upgrade or request.chunked or request.compression)
        and not payload.total_bytes
        and headers.get("Content-Type") == "application/json"
        and length.isdecimal()
        and 0 < int(length) <= BODY_BYTES
        and authorization.startswith("Bearer ")
        and not any(name in headers for name in ("Idempotency-Key", "Expect", "Transfer-Encoding"))
    )
    trace = headers.get("traceparent", "")
    return Head(authorization[7:], int(length), trace) if is_plain else None
