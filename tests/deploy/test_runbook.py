"""The runbook's blocks are taken from the page and run, in order, against real processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.server import ROOT, Server, is_ready
from tests.deploy import machines as stand_in
from tests.deploy.store import Store, missing, password, until

PROGRAMS = ("redis-server", "redis-sentinel", "redis-cli", "curl", "openssl")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing(PROGRAMS)), reason=missing(PROGRAMS)),
]
PAGE = (ROOT / "docs/runbook.md").read_text()
BLOCK = re.compile(r"<!-- run(?:: (.*?))? -->\n```sh\n(.*?)```\n", re.DOTALL)
BLOCKS = [(before or "", text) for before, text in BLOCK.findall(PAGE)]
NODE = """
server:
  port: PORT
  journal:
    store: redis
    sentinels: [SENTINELS]
    master: contacts
    replicas: 1
    user: contact-router
    password_file: store.password
  cluster: {node: NAME, url: "http://127.0.0.1:PORT", secret_file: cluster.secret, lease_s: 2}
queues: {care: {offer: {timeout: 60s}}}
entry_points: {texts: {channel: sms, address: "+49302", queue: care}}
profiles: {all: {care: 1}}
agents: {ana: {profile: all}}
adapters: {texts: {type: loopback, channel: sms}}
"""
SHIM = '#!/bin/sh\nexec "{python}" "{script}" {role} "$@"\n'


class Site:
    """The runbook's machines: three with Redis and a Sentinel, two nodes."""

    def __init__(self, directory: Path) -> None:
        self.lab = directory
        self.store = Store(directory)
        self.secret = secrets.token_hex(32)
        self.nodes: list[Server] = []
        self.safe = directory / "safe"
        self.token = ""
        self.known: dict[str, str] = {}
        """What an operator knows and a block asks for, as variables."""

    async def start(self) -> None:
        await asyncio.to_thread(self.store.start)
        for name in ("node-1", "node-2"):
            place = self.lab / name
            place.mkdir()
            for file, text in (
                ("store.password", password("contact-router")),
                ("cluster.secret", self.secret),
            ):
                (place / file).write_text(text)
                (place / file).chmod(0o600)
            sentinels = ", ".join(str(sentinel.at) for sentinel in self.store.sentinels)
            config = NODE.replace("SENTINELS", sentinels).replace("NAME", name)
            self.nodes.append(Server(place, config))
        self.token = await self.nodes[0].make_admin()
        self.nodes[1].admin = self.token
        self._write()
        for name in ("node-1", "node-2"):
            code, said = await self.run(f"ssh {name} systemctl start contact-router\n")
            assert code == 0, said
        for node in self.nodes:
            await until_ready(node)

    def _write(self) -> None:
        """The stand-ins, and what they know."""
        programs = self.lab / "bin"
        programs.mkdir()
        script = Path(stand_in.__file__)
        for role in ("ssh", "systemctl"):
            (programs / role).write_text(
                SHIM.format(python=sys.executable, script=script, role=role)
            )
        (programs / "contact-router").write_text(
            f'#!/bin/sh\ncd "{ROOT}" && exec "{sys.executable}" -m router "$@"\n'
        )
        for file in programs.iterdir():
            file.chmod(0o755)
        self.safe.mkdir()
        known: dict[str, Any] = {}
        for node in self.nodes:
            name = node.directory.name
            config = f"{node.config} --data {node.data}"
            command = [sys.executable, "-m", "router", "serve", "-c", str(node.config)]
            command += ["--data", str(node.data)]
            known[name] = {
                "places": {
                    "localhost:8080": f"localhost:{node.port}",
                    "check /etc/contact-router/router.yaml": f"check {node.config}",
                    "nodes --config /etc/contact-router/router.yaml": f"nodes -c {node.config}",
                    "drain --config /etc/contact-router/router.yaml": f"drain -c {node.config}",
                    "/etc/contact-router/router.yaml": config,
                    "/etc/contact-router": str(node.directory),
                    "/var/lib/contact-router": str(node.data),
                },
                "services": {
                    "contact-router": {"name": name, "command": command, "cwd": str(ROOT)}
                },
            }
        for number, (node, sentinel) in enumerate(
            zip(self.store.nodes, self.store.sentinels, strict=True), 1
        ):
            admin = f"--user admin --pass '{password('admin')}' --no-auth-warning"
            known[f"redis-{number}"] = {
                "places": {
                    "redis-cli -p 26379": f"redis-cli -p {sentinel.port}",
                    "redis-cli -p 6379": f"redis-cli -p {node.port} {admin}",
                },
                "services": {
                    "redis-server": {
                        "name": f"redis-{number}",
                        "command": ["redis-server", str(node.directory / "redis.conf")],
                    }
                },
            }
        (self.lab / "machines.json").write_text(json.dumps(known))

    async def run(self, block: str) -> tuple[int, str]:
        """A block in a shell that ends at the first error."""
        environment = {
            **os.environ, "LAB": str(self.lab), "PATH": f"{self.lab / 'bin'}:{os.environ['PATH']}",
            "TOKEN": self.token, "ROUTER": self.nodes[1].url, "SAFE": str(self.safe),
            **self.known,
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            "sh", "-euc", block, cwd=self.lab, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(150):
                out, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return 1, "not within 150 s"
        return process.returncode or 0, out.decode()

    async def before(self, what: str) -> None:
        """What a block says has happened."""
        if what == "node-1 is killed":
            os.kill(int((self.lab / "node-1.pid").read_text()), signal.SIGKILL)
        elif what == "redis-1, the master, is killed":
            assert self._master() == 1
            self.known["OLD_MASTER"] = f"127.0.0.1 {self.store.nodes[0].port}"
            self._kill_redis(1)
        elif what == "both replicas are killed":
            lost = [number for number in (1, 2, 3) if number != self._master()]
            self.known["LOST"] = " ".join(f"redis-{number}" for number in lost)
            for number in lost:
                self._kill_redis(number)
            status, said = await self.nodes[1].ask("POST", "/v1/contacts", contact("short"))
            assert status in (503, 507), (status, said)
        elif what == "every Redis is killed":
            for number in (1, 2, 3):
                self._kill_redis(number)
        elif what == "the store is emptied":
            # A node that still runs would write everything anew.
            for node in self.nodes:
                await self.run(f"ssh {node.directory.name} systemctl stop contact-router\n")
            await asyncio.to_thread(self._empty)
        else:
            assert not what, f"the test does not know how to do this: {what}"

    def _master(self) -> int:
        port = self.store.sentinels[0].knows()["port"]
        return 1 + [node.port for node in self.store.nodes].index(port)

    def _kill_redis(self, number: int) -> None:
        """Started by this test at first, by a block afterwards."""
        self.store.nodes[number - 1].kill()
        file = self.lab / f"redis-{number}.pid"
        if file.exists():
            pid = int(file.read_text())
            file.unlink()
            if stand_in.is_alive(pid):
                os.kill(pid, signal.SIGKILL)
            until(lambda: not stand_in.is_alive(pid), f"redis-{number} is gone")

    def _empty(self) -> None:
        self.store.nodes[self._master() - 1].admin.flushall()

    def close(self) -> None:
        for file in self.lab.glob("*.pid"):
            pid = int(file.read_text())
            if stand_in.is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.store.close()


async def until_ready(node: Server) -> None:
    async with asyncio.timeout(60):
        while not await is_ready(node.port):  # noqa: ASYNC110 - another process: only asking tells
            await asyncio.sleep(0.1)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    try:
        await made.start()
        yield made
    finally:
        for node in made.nodes:
            await node.close()
        made.close()


def contact(mark: str) -> dict[str, Any]:
    return {
        "channel": "sms", "external_id": mark, "entry_point": "texts",
        "peer": {"address": "+49301234567"}, "message": {"text": mark},
    }  # fmt: skip


async def submit(node: Server, mark: str) -> str:
    """As a careful client does: again until there is an answer."""
    async with asyncio.timeout(60):
        while True:
            status, found = await node.ask("POST", "/v1/contacts", contact(mark))
            if status in (200, 201):
                return str(found["contact"])
            assert status in (503, 507), (status, found)  # 507: the store is away
            await asyncio.sleep(0.1)


async def test_every_block_does_what_the_page_says(site: Site) -> None:
    assert len(BLOCKS) >= 6
    assert site.store.nodes[0].admin.ping()
    kept: dict[str, str] = {}
    entry = site.nodes[1]
    backed_up: dict[str, str] = {}
    for number, (before, block) in enumerate(BLOCKS):
        kept[f"before-{number}"] = await submit(entry, f"before-{number}")
        await site.before(before)
        code, said = await site.run(block)
        assert code == 0, f"{block}\n{said}\n{tails(site)}"
        if "SIGUSR1" in block:
            backed_up = dict(kept)
        if "restore" in block:
            kept = backed_up
        assert "error   " not in said, said
        for mark, id_ in kept.items():
            assert await submit(entry, mark) == id_, f"{mark} after\n{block}"
    old = await site.run(
        f"redis-cli -p {site.store.nodes[0].port} --no-auth-warning --user contact-router "
        f"--pass '{password('contact-router')}' ping"
    )
    assert "WRONGPASS" in old[1] or "NOAUTH" in old[1], old


def tails(site: Site) -> str:
    return "\n".join(
        f"{file.name}: {line}"
        for file in sorted(site.lab.glob("*.log"))
        for line in file.read_text().splitlines()[-5:]
    )
