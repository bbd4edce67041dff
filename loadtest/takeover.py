"""How long nobody serves a workspace that moves between nodes: its owner killed, or stopped.

Two nodes at their default settings on a replicated Redis. A client outside posts a contact fifty
times a second to the node that stays; the silence is the longest time between two answers which
say that a contact is saved.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic

import aiohttp

from loadtest import contacts
from loadtest.distributed import Redis
from loadtest.drivers import http
from loadtest.report import Report, progress
from loadtest.server import ROOT, Server, free_port
from loadtest.throughput import CONFIG, add_agents, created, post

BATCH = 200
EVERY_S = 0.02
ANSWER_S = 10.0
SERVED_S = 60.0
MORE = 25
"""So many contacts are saved before the node is lost, and after it."""
CALM_S = 12.0
"""A node that is back is given its share after three leases: then nothing moves any more."""
PLANNED_LIVE = 10_000
PLANNED_S = 0.5
KILLED_S = {10_000: 5.0, 100_000: 8.0}


class Prober:
    """Posts contacts to one node, each by itself, and notes when one was saved."""

    def __init__(self, node: Server, admin: str, run: str) -> None:
        self.saved_at: list[float] = []
        self.refused = 0
        self._node = node
        self._admin = admin
        self._run = run
        self._saved = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        headers = {"Authorization": f"Bearer {self._admin}", "Content-Type": "application/json"}
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with (
            aiohttp.ClientSession(
                self._node.url, headers=headers, connector=connector, timeout=timeout
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            number, due = 0, monotonic()
            while True:
                group.create_task(self._post(session, number))
                number += 1
                due += EVERY_S
                await asyncio.sleep(max(0.0, due - monotonic()))  # an open loop: at fixed times

    async def _post(self, session: aiohttp.ClientSession, number: int) -> None:
        try:
            body = contacts.body(number, self._run)
            async with session.post("/v1/contacts", data=body) as answer:
                await answer.read()
                if answer.status != 201:
                    self.refused += 1
                    return
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.refused += 1
            return
        self.saved_at.append(monotonic())
        self._saved.set()

    async def saved(self, count: int, sent_after: float = 0.0) -> None:
        """Wait until so many were saved after a moment. Raises TimeoutError."""
        async with asyncio.timeout(SERVED_S):
            while sum(at > sent_after for at in self.saved_at) < count:
                self._saved.clear()
                await self._saved.wait()

    def silence_s(self) -> float:
        """The longest time without one."""
        return max(b - a for a, b in zip(self.saved_at, self.saved_at[1:], strict=False))


class Nodes:
    """Two nodes, and what happens to them."""

    def __init__(self, nodes: list[Server]) -> None:
        self.nodes = nodes
        self._runs = 0

    @property
    def admin(self) -> str:
        """The token that is good at both."""
        return self.nodes[0].admin

    async def owner(self) -> Server:
        """Who serves the workspace."""
        health = await self.nodes[0].good("GET", "/v1/health")
        return next(node for node in self.nodes if node.config.parent.name == health["node"])

    async def fill(self, live: int) -> None:
        """So many contacts that wait."""
        owner = await self.owner()
        await add_agents(owner, "care", 50)
        for first in range(0, live, 20 * BATCH):
            last = min(live, first + 20 * BATCH)
            bodies = [
                contacts.batch_body(range(at, min(at + BATCH, last)), "live")
                for at in range(first, last, BATCH)
            ]
            requests = [http.request("/v1/contacts:batch", b, self.admin) for b in bodies]
            await post(owner.port, requests, "200", connections=1, window=1, needle=created(BATCH))
            progress(f"{last:,} of {live:,} contacts")

    async def lose(self, number: signal.Signals) -> tuple[float, int]:
        """Send the owner this signal: seconds of silence, and requests that were refused."""
        owner = await self.owner()
        other = next(node for node in self.nodes if node is not owner)
        self._runs += 1
        prober = Prober(other, self.admin, f"probe{self._runs}")
        probing = asyncio.get_running_loop().create_task(prober.run())
        try:
            await prober.saved(MORE)
            assert owner.process is not None, "not started"
            owner.process.send_signal(number)
            await owner.process.wait()
            await prober.saved(MORE, monotonic())
        finally:
            probing.cancel()
            with suppress(asyncio.CancelledError):
                await probing
        await owner.start()
        await asyncio.sleep(CALM_S)  # nothing outside says that nothing will move any more
        return prober.silence_s(), prober.refused


async def run(live: int = 10_000, times: int = 3, tree: Path = ROOT) -> Report:
    """Fill, lose the owner by kill -9 and by SIGTERM in turn, and count."""
    report = Report(f"A workspace with {live:,} live contacts changes its node")
    async with _nodes(tree) as nodes:
        await nodes.fill(live)
        for name, number, most in (
            ("kill -9 of the owner", signal.SIGKILL, KILLED_S.get(live)),
            ("SIGTERM: handed over", signal.SIGTERM, PLANNED_S if live <= PLANNED_LIVE else None),
        ):
            for turn in range(1, times + 1):
                took_s, refused = await nodes.lose(number)
                progress(f"{name}, {turn}: {took_s:.2f} s")
                note = f"{refused} requests refused meanwhile"
                report.add(f"{name}, {turn}: silence", took_s, "s", most=most, note=note)
    return report


@asynccontextmanager
async def _nodes(tree: Path) -> AsyncIterator[Nodes]:
    directory = Path(tempfile.mkdtemp(prefix="contact-router-takeover-"))
    redis = Redis(directory)
    nodes: list[Server] = []
    try:
        await redis.start()
        secret = directory / "cluster.secret"
        secret.write_text(secrets.token_hex(32))
        secret.chmod(0o600)
        for name in ("a", "b"):
            place = directory / name
            place.mkdir()
            nodes.append(Server(place, _config(name, redis.ports[0], secret)))
            nodes[-1].root = tree
        nodes[0].admin = nodes[1].admin = await nodes[0].make_admin()
        for node in nodes:
            await node.start()
        await asyncio.sleep(CALM_S)  # as after each loss
        yield Nodes(nodes)
    finally:
        for node in nodes:
            await node.close()
        redis.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _config(name: str, redis_port: int, secret: Path) -> str:
    server = (
        f"  port: PORT\n"
        f"  journal: {{store: redis, url: 'redis://127.0.0.1:{redis_port}/0', replicas: 1}}\n"
        f"  cluster: {{node: {name}, url: 'http://127.0.0.1:PORT', secret_file: {secret}}}\n"
        f"  metrics: {{port: {free_port()}}}"
    )
    return CONFIG.replace("  port: PORT", server, 1).replace(
        "log_level: warning", "log_level: info"
    )
