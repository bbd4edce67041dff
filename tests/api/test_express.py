"""The short way for submissions says and does what the long way does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from router.api import express
from router.errors import StoreFull
from router.runtime.tasks import spawn
from tests.api.site import Site

SOON_S = 30


class Raw:
    """A connection on which bytes are chosen freely and answers are read one by one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """The next response: status, headers, JSON."""
        async with asyncio.timeout(SOON_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers["Content-Length"]))
        return int(head[0].split()[1]), headers, json.loads(body)

    async def ended(self) -> bool:
        async with asyncio.timeout(SOON_S):
            return await self.reader.read() == b""


Connect = Callable[[], Awaitable[Raw]]


@pytest.fixture
async def connect(site: Site) -> AsyncIterator[Connect]:
    made: list[Raw] = []

    async def one() -> Raw:
        raw = Raw(*await asyncio.open_connection("127.0.0.1", site.server.port))
        made.append(raw)
        return raw

    yield one
    for raw in made:
        raw.writer.close()


def request(
    token: str, body: dict[str, Any] | bytes, path: str = "/v1/contacts", **headers: str
) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {token}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    if "Content_Type" not in headers:
        lines.append("Content-Type: application/json")
    if "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(raw)}")
    return "\r\n".join([*lines, "", ""]).encode() + raw


def contact(number: int) -> dict[str, Any]:
    return {
        "channel": "sms",
        "entry_point": "texting",
        "external_id": f"x{number}",
        "peer": {"address": f"+49301{number:04d}"},
    }


def express_of(site: Site) -> express.Express:
    found = site.server._express
    assert found is not None
    return found


def short_ways(site: Site) -> int:
    """Connections that aiohttp has not got."""
    return len(express_of(site)._connections)


async def test_pipelined_submissions_are_answered_in_order_and_share_a_commit(
    site: Site, connect: Connect
) -> None:
    token = await site.token("client")
    raw = await connect()
    first = site.server.hosts["oak"].workspace.seq
    raw.writer.write(b"".join(request(token, contact(n)) for n in range(100)))
    answers = [await raw.answer() for _ in range(100)]
    assert [status for status, _, _ in answers] == [201] * 100
    state = site.server.hosts["oak"].workspace.engine.state
    ids = [body["contact"] for _, _, body in answers]
    assert [state.contacts[id_].external_id for id_ in ids] == [f"x{n}" for n in range(100)]
    assert site.server.hosts["oak"].workspace.seq >= first + 200
    assert short_ways(site) == 1


async def test_an_answer_is_the_same_as_that_of_the_long_way(site: Site, connect: Connect) -> None:
    token = await site.token("client")
    short, long = await connect(), await connect()
    short.writer.write(request(token, contact(1)))
    long.writer.write(request(token, contact(2), Idempotency_Key="k"))
    a, b = await short.answer(), await long.answer()
    assert short_ways(site) == 1
    assert a[0] == b[0] == 201
    assert a[1].keys() == b[1].keys()
    assert a[1]["Location"] == f"/v1/contacts/{a[2]['contact']}"
    assert a[2].keys() == b[2].keys()
    same = ("Content-Type", "Server", "X-Content-Type-Options")
    assert [a[1][name] for name in same] == [b[1][name] for name in same]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed"),
        (b'{"channel": "sms", "channel": "sms"}', 400, "malformed"),
        (b'{"channel": "sms", "attributes": {"a": %b%b}}' % (b"[" * 40, b"]" * 40),
         400, "malformed"),
        (b'{"channel": "sms", "what": 1}', 422, "invalid"),
        (b'{"channel": "sms", "entry_point": "nowhere"}', 422, "unknown_entry_point"),
    ],
)  # fmt: skip
async def test_a_bad_body_is_a_problem_and_the_next_request_is_served(
    site: Site, connect: Connect, body: bytes, status: int, code: str
) -> None:
    token = await site.token("client")
    raw, long = await connect(), await connect()
    raw.writer.write(request(token, body) + request(token, contact(1)))
    found = await raw.answer()
    assert (found[0], found[2]["code"]) == (status, code)
    assert found[1]["Content-Type"] == "application/problem+json"
    assert (await raw.answer())[0] == 201
    long.writer.write(request(token, body, X_Other="1", Idempotency_Key="k"))
    other = await long.answer()
    assert (other[0], other[1].keys(), other[2]) == (found[0], found[1].keys(), found[2])
    assert short_ways(site) == 1


async def test_what_follows_goes_to_aiohttp_after_the_answers_before_it(
    site: Site, connect: Connect
) -> None:
    token = await site.token("client")
    raw = await connect()
    get = f"GET /v1/contacts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    read = await site.token("admin")
    get = get.replace(token, read)
    one, two = request(token, contact(1)), request(token, contact(2))
    raw.writer.write(one + get.encode() + two)
    assert (await raw.answer())[0] == 201
    status, _, page = await raw.answer()
    assert (status, len(page["contacts"])) == (200, 1)
    assert (await raw.answer())[0] == 201
    assert short_ways(site) == 0
    raw.writer.write(request(token, contact(2)))
    assert (await raw.answer())[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer crt_wrong"}, 401),
        ({"Content_Type": "text/plain"}, 415),
        ({"Idempotency_Key": "once"}, 201),
        ({"Connection": "close"}, 201),
        ({"Expect": "100-continue"}, 201),
    ],
)
async def test_odd_heads_are_for_aiohttp(
    site: Site, connect: Connect, headers: dict[str, str], status: int
) -> None:
    token = await site.token("client")
    raw = await connect()
    data = request(token, contact(1), **headers)
    if "Authorization" in headers:
        data = data.replace(f"Authorization: Bearer {token}\r\n".encode(), b"")
    raw.writer.write(data)
    if "Expect" in headers:
        assert await raw.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await raw.answer())[0] == status
    assert short_ways(site) == 0


async def test_chunked_and_large_bodies_are_for_aiohttp(site: Site, connect: Connect) -> None:
    token = await site.token("client")
    raw = await connect()
    plain = json.dumps(contact(1)).encode()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(plain), plain)
    raw.writer.write(request(token, chunked, Transfer_Encoding="chunked"))
    assert (await raw.answer())[0] == 201
    raw = await connect()
    raw.writer.write(request(token, json.dumps(contact(2)).encode() + b" " * express.BODY_BYTES))
    assert (await raw.answer())[0] == 201
    assert short_ways(site) == 0


@pytest.mark.parametrize("cut", [5, 40, 250])
async def test_a_request_in_pieces_is_put_together(site: Site, connect: Connect, cut: int) -> None:
    token = await site.token("client")
    raw = await connect()
    data = request(token, contact(1)) + request(token, contact(2))
    raw.writer.write(data[:-cut])
    assert (await raw.answer())[0] == 201
    raw.writer.write(data[-cut:])
    assert (await raw.answer())[0] == 201
    assert short_ways(site) == 1


async def test_the_same_external_id_is_the_same_contact_live_and_closed(
    site: Site, connect: Connect
) -> None:
    token = await site.token("client")
    raw = await connect()
    raw.writer.write(request(token, contact(1)) * 2)
    first, again = await raw.answer(), await raw.answer()
    assert (first[0], again[0]) == (201, 200)
    assert first[2]["contact"] == again[2]["contact"]
    admin = await site.client("admin")
    assert (await admin("POST", f"/v1/contacts/{first[2]['contact']}:cancel", {})).status == 200
    raw.writer.write(request(token, contact(1)) + request(token, contact(2)))
    closed, fresh = await raw.answer(), await raw.answer()
    assert (closed[0], closed[2]["state"], closed[2]["contact"]) == (
        200, "closed", first[2]["contact"]
    )  # fmt: skip
    assert fresh[0] == 201
    assert short_ways(site) == 1


async def test_too_many_requests_are_refused_one_by_one(site: Site, connect: Connect) -> None:
    site.api.limits.tokens.rate = 0.001
    site.api.limits.tokens.burst = 2.0
    token = await site.token("client")
    raw = await connect()
    raw.writer.write(b"".join(request(token, contact(n)) for n in range(4)))
    answers = [await raw.answer() for _ in range(4)]
    assert [status for status, _, _ in answers] == [201, 201, 429, 429]
    assert int(answers[3][1]["Retry-After"]) >= 1
    assert short_ways(site) == 1


async def test_a_store_that_is_full_is_said_in_its_place(
    site: Site, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = site.server.hosts["oak"].workspace
    begin, calls = workspace.begin, []

    def sometimes(*args: Any, **options: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise StoreFull("no room")
        begin(*args, **options)

    monkeypatch.setattr(workspace, "begin", sometimes)
    token = await site.token("client")
    calls.clear()
    raw = await connect()
    raw.writer.write(b"".join(request(token, contact(n)) for n in range(3)))
    assert [(await raw.answer())[0] for _ in range(3)] == [201, 507, 201]


async def test_who_says_nothing_or_half_a_request_is_handed_to_aiohttp(
    site: Site, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await site.token("client")
    silent, half, busy = await connect(), await connect(), await connect()
    half.writer.write(request(token, contact(1))[:-1])
    busy.writer.write(request(token, contact(2)))
    assert (await busy.answer())[0] == 201
    assert short_ways(site) == 3
    monkeypatch.setattr(express, "LOOK_S", 0.0)
    express_of(site).look()
    assert short_ways(site) == 1
    half.writer.write(b"}")
    assert (await half.answer())[0] == 201
    silent.writer.write(request(token, contact(3)))
    assert (await silent.answer())[0] == 201
    monkeypatch.setattr(express, "IDLE_S", 0.0)
    express_of(site).look()
    assert await busy.ended()
    assert short_ways(site) == 0


async def test_a_stop_answers_what_is_under_way_and_closes(site: Site, connect: Connect) -> None:
    token = await site.token("client")
    raw, idle = await connect(), await connect()
    idle.writer.write(request(token, contact(0)))
    await idle.answer()
    raw.writer.write(b"".join(request(token, contact(n)) for n in range(1, 11)))
    first = await raw.answer()
    stopping = spawn(site.server.stop(), "stop")
    rest = [await raw.answer() for _ in range(9)]
    assert {status for status, _, _ in [first, *rest]} <= {201, 503}
    assert await raw.ended()
    assert await idle.ended()
    await stopping


async def test_a_flood_on_one_connection_is_read_as_it_is_answered(
    site: Site, connect: Connect
) -> None:
    token = await site.token("client")
    raw = await connect()
    flood = b"".join(request(token, contact(n)) for n in range(1_000))
    raw.writer.write(flood)
    most = 0
    for _ in range(1_000):
        assert (await raw.answer())[0] == 201
        for connection in express_of(site)._connections:
            most = max(most, len(connection._asked))
    assert most <= express.PIPELINED
    assert short_ways(site) == 1
