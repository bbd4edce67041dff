"""A Redis Cluster for the lab: a master on each of three machines, its replica on the next one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.lab.network import LabError
from tests.lab.processes import Net, Process
from tests.lab.store import ASK_S, DATA, PORT, SETTLE_S, ask_redis, until

REPLICA_PORT = PORT + 1
NODE_TIMEOUT_MS = 2000
SLOTS = 16384
KEY = "{main}:own"
"""All keys of the workspace are where this one is."""

CONFIG = """
port {port}
bind {address}
bind-source-addr {address}
cluster-enabled yes
cluster-config-file nodes-{port}.conf
cluster-announce-ip {address}
cluster-node-timeout {timeout}
cluster-replica-validity-factor 0
replica-announce-ip {address}
dir {directory}
protected-mode no
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
repl-diskless-sync-delay 0
repl-backlog-size 64mb
"""


class ClusterStore:
    """Six nodes. `data` are the three that begin as masters."""

    def __init__(self, net: Net, directory: Path) -> None:
        self.net = net
        self.directory = directory
        self.data: dict[str, Process] = {}
        self.replicas: dict[str, Process] = {}
        self.sentinels: dict[str, Process] = {}
        """There are none: the masters vote among themselves."""
        for machine in DATA:
            self.data[machine] = self._process(directory, machine, PORT)
            self.replicas[machine] = self._process(directory, machine, REPLICA_PORT)

    def _process(self, directory: Path, machine: str, port: int) -> Process:
        home = directory / f"{machine}-{port}"
        home.mkdir(parents=True)
        config = home / "redis.conf"
        config.write_text(
            CONFIG.format(
                port=port, address=self.net.address[machine], directory=home,
                timeout=NODE_TIMEOUT_MS,
            )
        )  # fmt: skip
        return Process(self.net, machine, ["redis-server", str(config)], home / "redis.log")

    async def start(self) -> None:
        """All six are up, meet, share the slots, and follow each other."""
        for process in (*self.data.values(), *self.replicas.values()):
            process.start()
        await until("six nodes answer", self._answer, SETTLE_S)
        address = self.net.address
        for number, machine in enumerate(DATA):
            share = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            await self._good(machine, PORT, "CLUSTER", "ADDSLOTSRANGE", *map(str, share))
            for port in (PORT, REPLICA_PORT):
                await self._good(DATA[0], PORT, "CLUSTER", "MEET", address[machine], str(port))
        await until("six nodes have met", self._have_met, SETTLE_S)
        for number, machine in enumerate(DATA):
            master = await self.ask(machine, "CLUSTER", "MYID")
            after = DATA[(number + 1) % 3]
            await self._good(after, REPLICA_PORT, "CLUSTER", "REPLICATE", master)
        await self.settle()

    async def _good(self, machine: str, port: int, *command: str) -> None:
        if await self.ask(machine, *command, port=port) is None:
            raise LabError(f"{command} at {machine}:{port}: no answer")

    async def _answer(self) -> bool:
        pongs = [await self.ask(m, "PING", port=p) for m in DATA for p in (PORT, REPLICA_PORT)]
        return all(pongs)

    async def _have_met(self) -> bool:
        for machine in DATA:
            for port in (PORT, REPLICA_PORT):
                text = await self._text(machine, port, "CLUSTER", "NODES")
                if len(text.splitlines()) != 6 or "handshake" in text:
                    return False
        return True

    async def _text(self, machine: str, port: int, *command: str) -> str:
        answer = await self.ask(machine, *command, port=port, raw=True)
        return str(answer or "")

    async def settle(self) -> float:
        """Wait until one fault more would be survived; how long it took in seconds."""
        return await until("the cluster settles", self._is_settled, SETTLE_S)

    async def _is_settled(self) -> bool:
        masters = 0
        for machine in DATA:
            for port in (PORT, REPLICA_PORT):
                info = await self._text(machine, port, "CLUSTER", "INFO")
                text = await self._text(machine, port, "CLUSTER", "NODES")
                if "cluster_state:ok" not in info or "fail" in text:
                    return False
                role = await self.ask(machine, "ROLE", port=port)
                if not role or (role[0] == "slave" and role[3] != "connected"):
                    return False
                if role[0] == "master" and len(role[2]) != 1:
                    return False
                masters += role[0] == "master"
        return masters == 3

    async def owner_of(self, key: str) -> tuple[str, int]:
        """Machine and port of the master that has this key; ("", 0): none at the moment."""
        for machine in DATA:
            slot = await self.ask(machine, "CLUSTER", "KEYSLOT", key)
            for line in (await self._text(machine, PORT, "CLUSTER", "NODES")).splitlines():
                fields = line.split()
                if "master" not in fields[2] or "fail" in fields[2]:
                    continue
                for part in fields[8:]:
                    first, _, last = part.partition("-")
                    if first.isdigit() and int(first) <= slot <= int(last or first):
                        host, port = fields[1].partition("@")[0].rsplit(":", 1)
                        return self._machine_at(host), int(port)
        return "", 0

    async def master(self) -> str:
        """The machine on which the master of our workspace is; "" = none now."""
        return (await self.owner_of(KEY))[0]

    async def ask_master(self, *command: str) -> Any:
        """The answer of the master of our workspace; None: none came in time."""
        machine, port = await self.owner_of(KEY)
        return await self.ask(machine, *command, port=port) if machine else None

    def journal(self, replicas: int) -> dict[str, Any]:
        """What a router's settings say of it."""
        nodes = [f"{self.net.address[machine]}:{PORT}" for machine in DATA]
        return {"store": "redis", "cluster": nodes, "replicas": replicas}

    def _machine_at(self, address: str) -> str:
        return next(name for name, there in self.net.address.items() if there == address)

    def process_at(self, machine: str, port: int) -> Process:
        return self.data[machine] if port == PORT else self.replicas[machine]

    async def ask(self, machine: str, *command: str, port: int = PORT, raw: bool = False) -> Any:
        """The answer of a node of this machine; None: none came in time."""
        return await ask_redis(self.net.address[machine], port, *command, within_s=ASK_S, raw=raw)

    async def close(self) -> None:
        """No process is left."""
        await asyncio.sleep(0)
        for process in (*self.data.values(), *self.replicas.values()):
            process.resume()
            process.kill()
