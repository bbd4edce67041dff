"""The whole installation of the lab: store, routers, robots, and who is who at the moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.lab.network import LabError, Loopback, Namespaces
from tests.lab.processes import Net, Process
from tests.lab.raw import Raw, read
from tests.lab.store import DATA, Store, until
from tests.lab.store_cluster import ClusterStore

ROOT = Path(__file__).parents[2]
ROUTERS = ("router1", "router2", "router3")
CLIENTS = "clients"
LAB = "lab"
ROUTER_PORT = 18080
WORKSPACE = "main"
AGENTS = [f"agent{number}" for number in range(8)]
CAPACITY = 100
MAXIMUM = {"chat": 3, "sms": 5, "email": 10}
READY_S = 60.0
STOP_S = 30.0
ANSWERED_S = 60.0
DRAIN_S = 180.0
WATCH_S = 0.2

CONFIG = """
server:
  address: {address}
  port: {port}
  limits: {{requests_per_s: 100000, requests_burst: 1000000, connections_per_token: 100}}
  journal: {journal}
  cluster: {cluster}
queues:
  ask:
    offer: {{timeout: 2s}}
    decline: {{on_miss: cool_down, cool_down: 300ms}}
    wrap_up: 200ms
  both:
    offer: {{timeout: 2s, parallel: 2}}
    decline: {{on_miss: cool_down, cool_down: 300ms}}
    wrap_up: 200ms
entry_points:
  chat: {{channel: chat, address: site, queue: both}}
  sms: {{channel: sms, address: "+49301", queue: ask}}
  email: {{channel: email, address: post@example.com, queue: ask}}
profiles:
  all: {{ask: 1, both: 1}}
adapters:
  line: {{type: remote, channel: sms}}
grace: 3s
agents:
"""


@dataclass(frozen=True)
class Plan:
    """What is built, and what is planted in it."""

    seed: int = 1
    rate: float = 20.0
    """Contacts a second over HTTP; a third of that by the backend."""
    replicas: int = 1
    """How many replicas confirm what is acknowledged; 0 plants a loss that the lab has to find."""
    min_replicas: int = 1
    lease_s: float = 2.0
    down_after_s: float = 2.0
    is_cluster: bool = False
    """A Redis Cluster instead of Sentinels."""
    routers: tuple[str, ...] = ROUTERS


@dataclass
class World:
    """Made by `world`."""

    plan: Plan
    net: Net
    directory: Path
    store: Store | ClusterStore
    raw: Raw
    routers: dict[str, Process] = field(default_factory=dict)
    robots: dict[str, Process] = field(default_factory=dict)
    admin: str = ""
    last_master: str = DATA[0]
    last_owner: str = ROUTERS[0]
    epoch: int = 0
    watcher: asyncio.Task[None] | None = None
    is_closing: bool = False

    # --- building -------------------------------------------------------------------------------

    def make_routers(self) -> None:
        secret = self.directory / "cluster.secret"
        secret.write_text(secrets.token_hex(32))
        secret.chmod(0o600)
        for name in self.plan.routers:
            home = self.directory / name
            home.mkdir()
            config = home / "router.yaml"
            config.write_text(self._config(name, secret))
            argv = [
                sys.executable, "-m", "router", "serve",
                "-c", str(config), "--data", str(home / "data"),
            ]  # fmt: skip
            self.routers[name] = Process(self.net, name, argv, home / "log", cwd=ROOT)

    def _config(self, name: str, secret: Path) -> str:
        journal = self.store.journal(self.plan.replicas)
        cluster = {
            "secret_file": str(secret),
            "node": name,
            "url": self.url(name),
            "lease_s": self.plan.lease_s,
            "attachments_dir": str(self.directory / "attachments"),
        }
        text = CONFIG.format(
            address=self.net.address[name], port=ROUTER_PORT, journal=json.dumps(journal),
            cluster=json.dumps(cluster),
        )  # fmt: skip
        return text + "".join(f"  {agent}: {{profile: all}}\n" for agent in AGENTS)

    def url(self, router: str) -> str:
        return f"http://{self.net.address[router]}:{ROUTER_PORT}"

    async def start(self) -> None:
        """Everything serves, and the robots are at work."""
        await self.store.start()
        self.make_routers()
        self.admin = await self._make_admin()
        for router in self.routers.values():
            router.start()
        await self.until_served()
        await self._start_robots()
        self.watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _make_admin(self) -> str:
        name = self.plan.routers[0]
        home = self.directory / name
        command = [
            *self.net.command(name), sys.executable, "-m", "router", "token", "create", "admin",
            "-c", str(home / "router.yaml"), "--data", str(home / "data"),
        ]  # fmt: skip
        made = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await made.communicate()
        if made.returncode != 0:
            raise LabError(f"token create: {(out + err).decode()}")
        return out.decode().strip()

    async def _start_robots(self) -> None:
        tokens = {}
        for agent in AGENTS:
            made = await self.good("POST", "/v1/tokens", {"role": "agent", "agent": agent})
            tokens[agent] = made["token"]
        adapter = await self.good("POST", "/v1/tokens", {"role": "adapter", "channel": "line"})
        setting = {
            "nodes": {name: self.url(name) for name in self.routers},
            "admin": self.admin,
            "agents": tokens,
            "adapter": adapter["token"],
            "rate": self.plan.rate,
            "seed": self.plan.seed,
        }
        path = self.directory / "setting.json"
        path.write_text(json.dumps(setting))
        path.chmod(0o600)
        for role in ("streams", "desks", "backend", "customers"):
            argv = [sys.executable, "-m", "tests.lab.robots", role, str(path)]
            robot = Process(
                self.net, CLIENTS, argv, self.directory / f"{role}.log", cwd=ROOT, has_input=True
            )
            robot.start()
            self.robots[role] = robot

    # --- asking ---------------------------------------------------------------------------------

    async def ask(self, router: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one request to this router; 0: no answer."""
        headers = {"Authorization": f"Bearer {self.admin}"}
        timeout = aiohttp.ClientTimeout(total=10, connect=1)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(
                    method, self.url(router) + path, json=body, headers=headers
                ) as answer,
            ):
                text = await answer.text()
                return answer.status, json.loads(text) if text else None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return 0, None

    async def good(self, method: str, path: str, body: Any = None, missing: Any = None) -> Any:
        """The answer of any router that gives one; `missing` for 404. Raises LabError."""
        said: Any = None
        for _ in range(100):
            for router in self.routers:
                status, said = await self.ask(router, method, path, body)
                if status in {200, 201}:
                    return said
                if status == 404 and missing is not None:
                    return missing
            await asyncio.sleep(0.2)
        raise LabError(f"{method} {path}: {said}")

    async def until_served(self) -> float:
        """Every router is up and answers for the workspace; seconds that it took."""
        return await until("all routers serve", self._all_serve, READY_S)

    async def _all_serve(self) -> bool:
        for name, router in self.routers.items():
            if not router.is_up:
                raise LabError(f"{name} ended with {router.exit_code}: {router.log_end()}")
            status, _ = await self.ask(name, "GET", "/v1/contacts?limit=1")
            if status != 200:
                return False
        return True

    async def settle(self) -> float:
        """One fault more would be survived; seconds until that."""
        return await self.store.settle() + await self.until_served()

    async def _watch(self) -> None:
        """Who is master and who owns the workspace, as the store says; written when it changes."""
        while not self.is_closing:  # a cancellation can get lost in a client that gives up
            await self.look()
            await asyncio.sleep(WATCH_S)

    async def look(self) -> None:
        master = await self.store.master()
        if not master:
            return
        if master != self.last_master:
            self.last_master = master
            self.raw.write("master", machine=master)
        found = await self.store.ask_master("HMGET", f"{{{WORKSPACE}}}:own", "epoch", "node")
        epoch, node = (int(found[0] or 0), found[1] or "") if found else (0, "")
        if epoch > self.epoch:
            self.epoch = epoch
            self.last_owner = node if node in self.routers else self.last_owner
            self.raw.write("owner", node=node, epoch=epoch)

    # --- the end --------------------------------------------------------------------------------

    async def drain(self) -> None:
        """No new contacts; those that are there are served to their end."""
        for robot in self.robots.values():
            robot.say("end")
        try:
            await until("all calls answered", self._all_answered, ANSWERED_S)
            await until("all contacts end", self._all_ended, DRAIN_S)
        except LabError as error:
            self.raw.write("odd", text=str(error))

    async def _all_answered(self) -> bool:
        return all(
            any(line["k"] == "done" for line in read(self.directory / f"{role}.jsonl"))
            for role in ("customers", "backend")
        )

    async def _all_ended(self) -> bool:
        page = await self.good("GET", "/v1/contacts?limit=10")
        return not page["contacts"]

    async def collect(self) -> None:
        """Write down all that the installation has at the end."""
        # What is shown to them after the last event that is written down here has no counterpart.
        for name in ("streams", "desks"):
            self.robots[name].kill()
        final = Raw(self.directory / "final.jsonl")
        for state in ("", "&state=closed"):
            cursor = ""
            while True:
                path = f"/v1/contacts?limit=500{state}&cursor={cursor}"
                page = await self.good("GET", path)
                for contact in page["contacts"]:
                    final.write("contact", contact=contact)
                cursor = page.get("next", "")
                if not cursor:
                    break
        await self._collect_stream(final)
        await self._collect_messages(final)
        final.close()

    async def _collect_stream(self, final: Raw) -> None:
        router = next(iter(self.routers))
        headers = {"Authorization": f"Bearer {self.admin}", "Last-Event-ID": "0"}
        quiet = aiohttp.ClientTimeout(total=None, sock_read=3)
        # A stream has no end: three seconds of silence are one, after everything has drained.
        with contextlib.suppress(aiohttp.ServerTimeoutError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=quiet) as session,
                session.get(self.url(router) + "/v1/events", headers=headers) as answer,
            ):
                seq = 0
                async for line in answer.content:
                    if line.startswith(b"id: "):
                        seq = int(line[4:])
                    elif line.startswith(b"data: ") and seq:
                        final.write("event", seq=seq, event=json.loads(line[6:]))

    async def _collect_messages(self, final: Raw) -> None:
        contacts = {
            line["contact"]
            for role in ("customers", "backend")
            for line in read(self.directory / f"{role}.jsonl")
            if line["k"] == "ack" and line["text"]
        }
        contacts |= {
            line["command"]["contact"]
            for line in read(self.directory / "desks.jsonl")
            if line["k"] == "ok" and line["command"]["type"] == "send"
        }
        for contact in sorted(contacts):
            path = f"/v1/contacts/{contact}/messages?limit=500"
            page = await self.good("GET", path, missing={"messages": []})
            texts = [message["text"] for message in page["messages"]]
            final.write("messages", contact=contact, texts=texts)

    async def close(self) -> None:
        """No process is left."""
        self.is_closing = True
        if self.watcher is not None:
            self.watcher.cancel()
            await asyncio.wait([self.watcher], timeout=10)
        for process in (*self.robots.values(), *self.routers.values()):
            process.resume()
            process.kill()
        await self.store.close()

    async def stop_routers(self) -> dict[str, int | None]:
        """SIGTERM to all; their exit codes."""
        for router in self.routers.values():
            router.signal(signal.SIGTERM)

        async def down() -> bool:
            return not any(router.is_up for router in self.routers.values())

        with contextlib.suppress(LabError):
            await until("routers stop", down, STOP_S)
        return {name: router.exit_code for name, router in self.routers.items()}


@contextlib.asynccontextmanager
async def world(plan: Plan, directory: Path, *, namespaces: bool) -> AsyncIterator[World]:
    """A world that serves; taken down at the end, whatever happens."""
    machines = [*DATA, *plan.routers, CLIENTS, LAB]
    net: Net = Namespaces(machines) if namespaces else Loopback(machines)
    try:
        with net.inside(LAB):
            store: Store | ClusterStore
            if plan.is_cluster:
                store = ClusterStore(net, directory)
            else:
                store = Store(
                    net, directory, down_after_s=plan.down_after_s, min_replicas=plan.min_replicas
                )
            made = World(plan, net, directory, store, Raw(directory / "lab.jsonl"))
            try:
                await made.start()
                yield made
            finally:
                await made.close()
    finally:
        net.close()
