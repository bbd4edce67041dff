"""Several real server processes over one real Redis, on loopback, from outside.

Knows the command line and the sockets of contact-router and nothing of its code.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis

from loadtest.server import free_port

ROOT = Path(__file__).parents[2]
WAIT_S = 100.0
"""A loaded machine may take its time; nothing here is a measure."""
NEEDS_REDIS = pytest.mark.skipif(
    shutil.which("redis-server") is None,
    reason="redis-server is not installed (Debian: apt-get install redis-server)",
)

CONFIG = """
server:
  port: PORT
  journal: {store: redis, url: "redis://127.0.0.1:STORE/0", when_short: block}
  cluster: {node: NODE, url: "http://127.0.0.1:PORT", secret_file: SECRET, lease_s: LEASE}
  limits: {requests_per_s: 100000, requests_burst: 1000000, connections_per_token: 100}
  metrics: {port: METRICS}
"""
WORKSPACE = """
queues:
  ask:
    offer: {timeout: 60s}
    wrap_up: 0
entry_points:
  chat: {channel: chat, address: site, queue: ask}
  sms: {channel: sms, address: "+49301", queue: ask}
profiles:
  all: {ask: 1}
adapters:
  line: {type: remote, channel: sms}
  site: {type: webchat, channel: chat, key: demo, to: site}
grace: 5s
agents:
  ana: {profile: all}
  ben: {profile: all}
"""


class Store:
    """A redis-server process with a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory
        directory.mkdir()
        self.client = redis.Redis(port=self.port, socket_timeout=5, protocol=2)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir",
             str(self.directory), "--save", "", "--appendonly", "yes", "--appendfsync", "always"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + WAIT_S
        while True:
            assert process.poll() is None, "redis-server ended"
            try:
                if self.client.ping():
                    return process
            except redis.exceptions.RedisError:
                assert time.monotonic() < until, "redis-server does not answer"
                time.sleep(0.02)  # a poll of another process, which has no signal to wait for

    def restart(self) -> None:
        """After `kill`, with what is on its disk."""
        self.process = self._start()

    def kill(self) -> None:
        """As if its machine had lost power, less what the kernel holds."""
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        """No process is left."""
        self.client.close()
        self.process.kill()
        self.process.wait(10)


class Node:
    """One server process among several."""

    def __init__(
        self, directory: Path, name: str, store: Store, secret: Path, body: str, lease_s: float
    ) -> None:
        self.name = name
        self.port, self.metrics_port = free_port(), free_port()
        self.directory = directory / f"{name}-{self.port}"
        self.directory.mkdir()
        self.log = self.directory / "log"
        self.config = self.directory / "router.yaml"
        text = CONFIG.replace("PORT", str(self.port)).replace("STORE", str(store.port))
        text = text.replace("NODE", name).replace("SECRET", str(secret))
        text = text.replace("LEASE", str(lease_s)).replace("METRICS", str(self.metrics_port))
        self.config.write_text(text + body)
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: asyncio.subprocess.Process | None = None
        self.session = aiohttp.ClientSession(self.url)

    async def command(self, *words: str) -> str:
        """What `contact-router …` prints."""
        code, out = await self.attempt(*words)
        assert code == 0, out
        return out

    async def attempt(self, *words: str) -> tuple[int, str]:
        """Exit code and all that was printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", *words, "-c", str(self.config), cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    async def spawn(self, crash_at: str = "") -> None:
        """Start the process."""
        environment = {**os.environ, "CONTACT_ROUTER_CRASH_AT": crash_at}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "router", "serve", "-c", str(self.config),
                "--data", str(self.directory / "data"), cwd=ROOT, env=environment,
                stdout=log, stderr=log,
            )  # fmt: skip

    async def start(self) -> None:
        """Start, and wait until it is a way in."""
        await self.spawn()
        await self.until_ready()

    async def until_ready(self) -> None:
        """Until /readyz answers 200."""

        async def is_ready() -> bool:
            assert self.process is not None
            assert self.process.returncode is None, self.log_end()
            with suppress(aiohttp.ClientError):
                async with self.session.get("/readyz") as answer:
                    return answer.status == 200
            return False

        await until(is_ready, self.log_end)

    def log_end(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text().splitlines()[-25:])

    def signal(self, number: signal.Signals) -> None:
        """To this process alone."""
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        """Kill -9."""
        assert self.process is not None
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()

    async def close(self) -> None:
        """No process and no connection is left."""
        await self.session.close()
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.signal(signal.SIGCONT)
            await self.kill()

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str, **headers: str
    ) -> tuple[int, Any]:
        """Status and JSON of one request."""
        headers["Authorization"] = f"Bearer {token}"
        async with self.session.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def insist(
        self, method: str, path: str, body: Any = None, *, token: str, **headers: str
    ) -> tuple[int, Any]:
        """As `ask`, and again on 503 and 507, as any client must: a machine that holds a node up
        for a lease lets it be followed. What is asked must be right to ask twice."""
        found: list[tuple[int, Any]] = []

        async def is_decided() -> bool:
            found.append(await self.ask(method, path, body, token=token, **headers))
            return found[-1][0] not in (503, 507)

        await until(is_decided, self.log_end)
        return found[-1]

    async def owns(self) -> list[str]:
        """The workspaces that it serves, by its own metrics."""
        found = [
            line.partition('"')[2].partition('"')[0]
            for line in (await self.metrics()).splitlines()
            if line.startswith("router_workspace_owned{") and line.endswith(" 1.0")
        ]
        return sorted(found)

    async def metrics(self) -> str:
        """Its page of metrics."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer,
        ):
            return await answer.text()


async def owner_among(nodes: list[Node], workspace: str = "main") -> Node:
    """The node that serves the workspace, once one of them does."""
    found: list[Node] = []

    async def is_owned() -> bool:
        for node in nodes:
            with suppress(aiohttp.ClientError):
                if workspace in await node.owns():
                    found.append(node)
                    return True
        return False

    await until(is_owned, lambda: "\n\n".join(node.log_end() for node in nodes))
    return found[-1]


class Site:
    """An installation: a store and its nodes."""

    def __init__(self, directory: Path, body: str = WORKSPACE, lease_s: float = 1.0) -> None:
        self.directory = directory
        self.body = body
        self.lease_s = lease_s
        self.store = Store(directory / "redis")
        self.secret = directory / "cluster.secret"
        self.secret.write_text(secrets.token_hex(32))
        self.secret.chmod(0o600)
        self.nodes: list[Node] = []
        self.admin = ""

    def node(self, name: str, secret: Path | None = None) -> Node:
        """A node, not started."""
        made = Node(
            self.directory, name, self.store, secret or self.secret, self.body, self.lease_s
        )
        self.nodes.append(made)
        return made

    async def start(self, *names: str, workspace: str = "") -> list[Node]:
        """Nodes of these names, started, with an admin token of the (first) workspace."""
        made = [self.node(name) for name in names]
        words = ("-w", workspace) if workspace else ()
        self.admin = (await made[0].command("token", "create", "admin", *words)).strip()
        for node in made:
            await node.start()
        return made

    async def close(self) -> None:
        """Nothing is left."""
        for node in self.nodes:
            await node.close()
        self.store.close()


async def until(holds: Any, tell: Any = lambda: "") -> None:
    """Ask another process until it says so: nothing here would wake us."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not await holds():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"it did not come true in {WAIT_S:.0f} s\n{tell()}") from None


def contact(external_id: str, text: str = "hello") -> dict[str, Any]:
    """A text message, as it is posted."""
    return {
        "channel": "sms",
        "external_id": external_id,
        "peer": {"address": "+4917012345", "name": "Kim", "to": "+49301"},
        "message": {"text": text, "id": f"m-{external_id}"},
    }
