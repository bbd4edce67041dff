"""The shipped haproxy.cfg before two real nodes: one is killed, clients go on."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from loadtest.server import ROOT, Server, free_port
from tests.deploy.running import output
from tests.deploy.store import DataNode, missing, password

PROGRAMS = ("haproxy", "redis-server")
CONFIG = ROOT / "config/haproxy/haproxy.cfg"
pytestmark = [pytest.mark.peer, pytest.mark.timeout(180)]
needs_both = pytest.mark.skipif(bool(missing(PROGRAMS)), reason=missing(PROGRAMS))
WITHIN_S = 60
NODE = """
server:
  port: PORT
  trusted_proxies: [127.0.0.1]
  journal:
    store: redis
    url: "redis://127.0.0.1:STORE/0"
    user: contact-router
    password_file: ../store.password
  cluster: {node: NAME, url: "http://127.0.0.1:PORT", secret_file: ../cluster.secret, lease_s: 2}
queues: {care: {offer: {timeout: 60s}, wrap_up: 0}}
entry_points: {texts: {channel: sms, address: "+49302", queue: care}}
profiles: {all: {care: 1}}
agents: {ana: {profile: all}}
adapters: {texts: {type: loopback, channel: sms}}
"""
AGAIN = {502, 503, 504, 507}
"""507: the owner could not renew its ownership in time: a machine may hold it up for a lease."""
LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)


class Site:
    """HAProxy, two nodes, and the store behind them."""

    def __init__(self, directory: Path, store: DataNode) -> None:
        for name, text in (
            ("store.password", password("contact-router")),
            ("cluster.secret", secrets.token_hex(32)),
        ):
            (directory / name).write_text(text)
            (directory / name).chmod(0o600)
        self.directory = directory
        self.nodes = []
        for name in ("node-1", "node-2"):
            (directory / name).mkdir()
            config = NODE.replace("STORE", str(store.port)).replace("NAME", name)
            self.nodes.append(Server(directory / name, config))
        self.port, self.own_port = free_port(), free_port()
        self.proxy: asyncio.subprocess.Process | None = None
        self.session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        token = await self.nodes[0].make_admin()
        for node in self.nodes:
            await node.spawn()
        for node in self.nodes:
            await node.until_ready()
        config = self.directory / "haproxy.cfg"
        config.write_text(
            CONFIG.read_text()
            .replace("bind :8080", f"bind 127.0.0.1:{self.port}")
            .replace("127.0.0.1:8404", f"127.0.0.1:{self.own_port}")
            .replace("10.0.0.21:8080", f"127.0.0.1:{self.nodes[0].port}")
            .replace("10.0.0.22:8080", f"127.0.0.1:{self.nodes[1].port}")
        )
        self.proxy = await asyncio.create_subprocess_exec(
            "haproxy", "-db", "-f", str(config), stdout=asyncio.subprocess.DEVNULL
        )
        headers = {"Authorization": f"Bearer {token}"}
        self.session = aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", headers=headers)
        await self.until_up(2)

    async def until_up(self, count: int) -> None:
        """Until HAProxy sends traffic to so many nodes."""
        async with asyncio.timeout(WITHIN_S):
            while await self.up() != count:
                assert self.proxy is not None
                assert self.proxy.returncode is None, "haproxy ended"
                await asyncio.sleep(0.1)  # another process: only asking tells

    async def up(self) -> int:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.own_port}/metrics") as answer,
            ):
                lines = (await answer.text()).splitlines()
        except LOST:
            return -1
        start = 'haproxy_server_status{proxy="nodes",server="'
        return sum(
            line.endswith(" 1") for line in lines if line.startswith(start) and 'state="UP"' in line
        )

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        assert self.session is not None
        async with self.session.request(method, path, json=body) as answer:
            # HAProxy's own words, while it knows of no node that lives, are a page.
            is_ours = "json" in answer.content_type
            return answer.status, await answer.json(content_type=None) if is_ours else None

    async def insist(self, method: str, path: str, body: Any = None) -> Any:
        """As a careful client: once more with the same ids until there is an answer."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                with suppress(*LOST):
                    status, found = await self.ask(method, path, body)
                    if status < 300:
                        return found
                    assert status in AGAIN, (status, found)
                await asyncio.sleep(0.05)  # Retry-After is a second; the test is in a hurry

    async def desk(self) -> aiohttp.ClientWebSocketResponse:
        """Ana's desk, as soon as there is one."""
        token = (await self.insist("POST", "/v1/tokens", {"role": "agent", "agent": "ana"}))[
            "token"
        ]
        async with asyncio.timeout(WITHIN_S):
            while True:
                with suppress(*LOST):
                    assert self.session is not None
                    socket = await self.session.ws_connect("/v1/desk")
                    await socket.send_json({"type": "hello", "token": token})
                    said = await socket.receive()
                    if said.type is aiohttp.WSMsgType.TEXT and said.json()["type"] == "welcome":
                        return socket
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        async with AsyncExitStack() as ends:
            for node in self.nodes:
                ends.push_async_callback(node.close)
            if self.session is not None:
                ends.push_async_callback(self.session.close)
            if self.proxy is not None and self.proxy.returncode is None:
                self.proxy.kill()
                await self.proxy.wait()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    store = DataNode(tmp_path / "redis", "--min-replicas-to-write", "0")
    try:
        store.start()
        made = Site(tmp_path, store)
        try:
            await made.start()
            yield made
        finally:
            await made.close()
    finally:
        store.close()


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
async def test_haproxy_takes_the_file_without_a_warning(tmp_path: Path) -> None:
    code, said = await output("haproxy", "-c", "-f", str(CONFIG))
    assert (code, "Configuration file is valid" in said) == (0, True), said
    assert "WARNING" not in said, said


def contact(number: int) -> dict[str, Any]:
    return {
        "channel": "sms", "external_id": f"text-{number}", "entry_point": "texts",
        "peer": {"address": f"+4930{number:07}"}, "message": {"text": f"number {number}"},
    }  # fmt: skip


async def until_closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


@needs_both
@pytest.mark.slow
async def test_a_node_is_killed_and_clients_go_on(site: Site) -> None:
    taken = {n: await site.insist("POST", "/v1/contacts", contact(n)) for n in range(20)}
    socket = await site.desk()
    health = await site.insist("GET", "/v1/health")
    owner = next(node for node in site.nodes if f"{node.directory.name}" == health["node"])
    async with asyncio.TaskGroup() as group:
        posting = group.create_task(post_on(site))
        assert owner.process is not None
        owner.process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(WITHIN_S):
            await until_closed(socket)
        socket = await site.desk()
        await site.until_up(1)
    taken |= posting.result()
    assert len(taken) == 60
    assert len({found["contact"] for found in taken.values()}) == 60
    for number, found in taken.items():
        messages = await site.insist("GET", f"/v1/contacts/{found['contact']}/messages")
        assert [message["text"] for message in messages["messages"]] == [f"number {number}"]
    await owner.spawn()
    await site.until_up(2)
    assert (await site.insist("GET", "/v1/agents/ana"))["id"] == "ana"
    await socket.close()


async def post_on(site: Site) -> dict[int, Any]:
    return {n: await site.insist("POST", "/v1/contacts", contact(n)) for n in range(20, 60)}


@needs_both
@pytest.mark.slow
async def test_a_planned_stop_costs_no_request(site: Site) -> None:
    async def post(number: int) -> int:
        status, _ = await site.ask("POST", "/v1/contacts", contact(number))
        return status

    first = site.nodes[0]
    assert first.process is not None
    statuses = [await post(number) for number in range(10)]
    first.process.send_signal(signal.SIGTERM)
    number = 10
    while first.process.returncode is None:
        statuses.append(await post(number := number + 1))
    assert await first.process.wait() == 0
    # While the workspace moves a request may be told to come again; none is lost or in doubt.
    assert set(statuses) <= {201, 503}, statuses
    assert statuses[:10] == [201] * 10
    for extra in range(1, 11):
        await site.insist("POST", "/v1/contacts", contact(number + extra))


@needs_both
@pytest.mark.slow
async def test_metrics_stay_inside(site: Site) -> None:
    status, _ = await site.ask("GET", "/healthz")
    assert status == 200
    assert site.session is not None
    async with site.session.get("/metrics") as answer:
        assert answer.status == 404
