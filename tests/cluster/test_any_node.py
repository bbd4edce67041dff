"""Any node takes any client: requests, streams and sockets reach the owner, and only as themselves.

Two real nodes, one real Redis; what is asked comes from outside.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.nodes import NEEDS_REDIS, Node, Site, contact, owner_among, until

pytestmark = [
    pytest.mark.peer,
    NEEDS_REDIS,
    pytest.mark.timeout(400),
]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A lease that no machine of ours holds up for so long: nobody is lost here."""
    made = Site(tmp_path, lease_s=5.0)
    yield made
    await made.close()


async def next_frame(socket: aiohttp.ClientWebSocketResponse, kind: str, **wanted: Any) -> Any:
    """The next frame of this kind."""
    async with asyncio.timeout(30):
        while True:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, (message, socket.close_code)
            frame = json.loads(message.data)
            if frame["type"] == kind and all(frame.get(k) == v for k, v in wanted.items()):
                return frame


async def test_a_client_of_another_node_is_served_as_at_the_owner(site: Site) -> None:
    nodes = await site.start("b", "a")  # of these two b should have it: it stays where it is
    owner = await owner_among(nodes)
    other = next(node for node in nodes if node is not owner)
    slow = await asyncio.open_connection("127.0.0.1", other.port)
    slow[1].write(
        b"POST /v1/session:password HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        b'Content-Type: application/json\r\n\r\n{"name":'
    )
    await requests(site, other)
    await forgeries(site, owner, other)
    await a_stream(site, other)
    await a_desk(site, owner, other)
    await a_visitor(other)
    async with asyncio.timeout(60):  # a sign-in that never came to its end is not waited for
        assert b" 408 " in await slow[0].readline()
    slow[1].close()
    await commands(owner, other)
    await a_double(site, owner)
    await a_stranger(site, nodes)


async def requests(site: Site, other: Node) -> None:
    """Orders, questions, errors: what they are at the owner."""
    status, made = await other.ask("POST", "/v1/contacts", contact("x1"), token=site.admin)
    assert status == 201, made
    status, again = await other.ask("POST", "/v1/contacts", contact("x1"), token=site.admin)
    assert (status, again["contact"]) == (200, made["contact"])
    found = await other.ask("GET", f"/v1/contacts/{made['contact']}", token=site.admin)
    assert found[0] == 200
    assert found[1]["external_id"] == "x1"
    since_us = found[1]["created_at_us"]
    everybody = {"rule": "{name: all, then: {tier: 5}}", "since_us": since_us}
    tried = await other.ask("POST", "/v1/rules:try", everybody, token=site.admin)
    assert (tried[0], tried[1]["moved"]) == (200, 1), tried
    wrong = await other.ask("GET", "/v1/contacts", token="crt_" + "a" * 49)
    assert (wrong[0], wrong[1]["code"]) == (401, "wrong_token")
    missing = await other.ask("GET", "/v1/contacts/nobody", token=site.admin)
    assert missing[0] == 404
    headers = {"Authorization": f"Bearer {site.admin}", "Content-Type": "application/json"}
    large = io.BytesIO(b" " * (2 << 20))
    async with other.session.post("/v1/contacts", data=large, headers=headers) as answer:
        assert answer.status == 413
    link = (await other.ask("POST", "/v1/tokens", {"role": "client"}, token=site.admin))[1]
    assert (await other.ask("POST", "/v1/contacts", contact("x3"), token=link["token"]))[0] == 201


def signed(secret: bytes, method: str, path: str, address: str, at_us: int) -> str:
    """The header as one node writes it for another, made without the router's code."""
    key = hmac.digest(secret, b"hops between nodes", "sha256")
    text = "\n".join((method, path, str(at_us), "x", address))
    return f"{at_us} x {address or '-'} " + hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


async def forgeries(site: Site, owner: Node, other: Node) -> None:
    """A header that no node signed is no header; a signed one is not passed on a second time."""
    path, now_us = "/nodes/state", time.time_ns() // 1000
    secret = bytes.fromhex(site.secret.read_text())
    good = signed(secret, "GET", path, "", now_us)

    async def status(node: Node, path: str, header: str, method: str = "GET") -> int:
        headers = {"X-Router-Hop": header, "Authorization": f"Bearer {site.admin}"}
        async with node.session.request(method, path, headers=headers) as answer:
            return answer.status

    assert await status(owner, path, good) == 200
    for wrong in (
        signed(b"another secret of thirty-two byte", "GET", path, "", now_us),
        signed(secret, "POST", path, "", now_us),
        signed(secret, "GET", "/nodes/find", "", now_us),
        signed(secret, "GET", path, "", now_us - 120_000_000),
        good.replace(" - ", " 10.0.0.1 "),
        good[:-1],
        "x",
        "",
    ):
        assert await status(owner, path, wrong) == 404, wrong
    # To the owner a forged hop is a client; to another node as well: it is passed on, and answered.
    assert await status(other, "/v1/contacts", "1 x - forged") == 200
    # One that a node has passed on already is not passed on again.
    hopped = signed(secret, "GET", "/v1/contacts", "10.0.0.1", now_us)
    assert await status(owner, "/v1/contacts", hopped) == 200
    assert await status(other, "/v1/contacts", hopped) == 503


async def a_stream(site: Site, other: Node) -> None:
    """Server-sent events come as they happen."""
    headers = {"Authorization": f"Bearer {site.admin}", "Last-Event-ID": "0"}
    async with other.session.get("/v1/events", headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        status, made = await other.ask("POST", "/v1/contacts", contact("s1"), token=site.admin)
        assert status == 201
        async with asyncio.timeout(30):
            async for line in answer.content:
                if line.startswith(b"data: ") and made["contact"].encode() in line:
                    return
    raise AssertionError("the stream ended before the event")


async def a_desk(site: Site, owner: Node, other: Node) -> None:
    """A desk at another node gets an offer and takes it; one that would rather be told is told."""
    body = {"role": "agent", "agent": "ana"}
    token = (await other.ask("POST", "/v1/tokens", body, token=site.admin))[1]["token"]
    hello = {"type": "hello", "token": token}
    protocol = ("contact-router.v1.json",)
    async with other.session.ws_connect("/v1/desk", protocols=protocol) as socket:
        await socket.send_json({**hello, "moves": True})
        moved = await next_frame(socket, "moved")
        assert moved["url"] == owner.url
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4503
    async with other.session.ws_connect("/v1/desk", protocols=protocol) as socket:
        await socket.send_json(hello)
        welcome = await next_frame(socket, "welcome")
        assert welcome["agent"]["id"] == "ana"
        await socket.send_json({"type": "presence", "cid": "1", "presence": "ready"})
        assert (await next_frame(socket, "answer", cid="1"))["ok"]

        async def offered() -> str:
            path = "/v1/agents/ana"
            found = (await other.ask("GET", path, token=site.admin))[1]
            return str(found.get("presence", ""))

        assert await offered() == "ready"
        while True:
            frame = await next_frame(socket, "event")
            if frame["event"]["type"] == "ContactOffered":
                break
        accept = {"type": "accept", "cid": "2", "reservation": frame["event"]["reservation"]}
        await socket.send_json(accept)
        assert (await next_frame(socket, "answer", cid="2"))["ok"]
    # The desk goes on with its session, also where nobody has heard of it.
    async with owner.session.ws_connect("/v1/desk", protocols=protocol) as socket:
        await socket.send_json({**hello, "resume": welcome["resume"], "last_seq": welcome["seq"]})
        again = await next_frame(socket, "welcome")
        assert again["resumed"]
        assert again["session"] == welcome["session"]
    async with other.session.ws_connect("/v1/desk", protocols=protocol) as socket:
        await socket.send_json({"type": "hello", "token": "crt_" + "b" * 49})
        await socket.receive()
        assert socket.close_code == 4401


async def a_visitor(other: Node) -> None:
    """Public paths of adapters, and a visitor's socket."""
    async with other.session.get("/v1/webchat/site/nothing") as answer:
        assert answer.status == 404
    async with other.session.get("/v1/webchat/site/ws") as answer:
        assert answer.status == 403  # no origin: the adapter at the owner says so
    headers = {"Origin": other.url}
    async with other.session.ws_connect("/v1/webchat/site/ws", headers=headers) as socket:
        await socket.send_json({"type": "hello", "key": "demo"})
        message = await asyncio.wait_for(socket.receive(), 30)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        assert json.loads(message.data)["type"] == "welcome"


async def commands(owner: Node, other: Node) -> None:
    """What the command line says of the nodes; draining moves everything to the other one."""
    said = await other.command("nodes")
    assert f"{owner.name}  alive" in said
    assert f"{other.name} (this node)  alive" in said
    assert "owns: main" in said
    assert "handed over: main" in await owner.command("drain")
    assert await owner_among([other]) is other
    code, out = await owner.attempt("token", "create", "client")
    assert code == 3, out
    assert f"is served by node {other.name}: use the API of any node" in out
    assert "this node is drained" in await owner.command("nodes")


async def a_double(site: Site, owner: Node) -> None:
    """A second process with the name of a living node does not start, and says why."""
    double = site.node(owner.name)
    await double.spawn()
    assert double.process is not None
    async with asyncio.timeout(60):
        code = await double.process.wait()
    assert code == 3, double.log_end()
    assert f"a node named '{owner.name}' is running already" in double.log_end()


async def a_stranger(site: Site, nodes: list[Node]) -> None:
    """A node with another secret opens nothing, and says why; the next good one goes on."""
    for node in nodes:
        assert await node.stop() == 0
    secret = site.directory / "another.secret"
    secret.write_text("ab" * 32)
    secret.chmod(0o600)
    stranger = site.node("z", secret)
    await stranger.spawn()

    async def has_refused() -> bool:
        return "was written with another secret" in stranger.log.read_text()

    await until(has_refused, stranger.log_end)
    await stranger.stop()
    await nodes[0].start()
    status, page = await nodes[0].insist("GET", "/v1/contacts", token=site.admin)
    assert status == 200
    assert {row["external_id"] for row in page["contacts"]} >= {"x1", "x3", "s1"}
