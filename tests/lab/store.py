"""The replicated Redis of the lab: three data nodes, each with a Sentinel beside it.

Settings are those that docs/nodes.md asks for, where a test does not plant another one.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.lab.network import LabError
from tests.lab.processes import Net, Process

DATA = ("data1", "data2", "data3")
PORT = 16379
SENTINEL_PORT = 26380
MASTER_NAME = "router"
ASK_S = 1.0
SAMPLE_S = 0.1
UNSYNCED_S = 1.0
"""With `everysec` a power failure takes what was written in about the last second."""
SETTLE_S = 60.0
NEAR_BYTES = 1_000_000
"""A replica that is so close to the master has caught up."""

REDIS = """
port {port}
bind {address}
bind-source-addr {address}
replica-announce-ip {address}
dir {directory}
protected-mode no
save ""
appendonly {appendonly}
appendfsync everysec
maxmemory-policy noeviction
min-replicas-to-write {min_replicas}
min-replicas-max-lag 3
repl-diskless-sync-delay 0
repl-backlog-size 64mb
"""
SENTINEL = """
port {port}
bind {address}
sentinel announce-ip {address}
dir {directory}
protected-mode no
sentinel monitor {name} {master} {master_port} 2
sentinel down-after-milliseconds {name} {down_after_ms}
sentinel failover-timeout {name} 10000
sentinel parallel-syncs {name} 1
"""


async def until(what: str, check: Callable[[], Awaitable[bool]], within_s: float) -> float:
    """Ask until it holds; seconds that it took. Raises LabError."""
    began = monotonic()
    while not await check():  # other processes: only asking tells
        if monotonic() - began > within_s:
            raise LabError(f"{what}: not within {within_s:.0f} s")
        await asyncio.sleep(0.05)
    return monotonic() - began


async def ask_redis(
    address: str, port: int, *command: str, within_s: float, raw: bool = False
) -> Any:
    """The answer of one node; None: none came in time. `raw`: as it was sent, not taken apart."""
    client = redis.Redis(
        host=address, port=port, decode_responses=True, socket_timeout=within_s,
        socket_connect_timeout=within_s, retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
    )  # fmt: skip
    if raw:
        client.response_callbacks.clear()
    try:
        async with asyncio.timeout(2 * within_s):
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]
    except (RedisError, OSError, TimeoutError):
        return None
    finally:
        await client.aclose()


class Store:
    """Three data nodes and three Sentinels on machines of their own."""

    def __init__(
        self,
        net: Net,
        directory: Path,
        *,
        down_after_s: float = 2.0,
        min_replicas: int = 1,
        appendonly: bool = True,
    ) -> None:
        self.net = net
        self.directory = directory
        self.data: dict[str, Process] = {}
        self.sentinels: dict[str, Process] = {}
        self._sizes: deque[tuple[float, dict[Path, int]]] = deque(maxlen=50)
        self._sampler: asyncio.Task[None] | None = None
        for machine in DATA:
            address = net.address[machine]
            home = directory / machine
            home.mkdir(parents=True)
            config = REDIS.format(
                port=PORT, address=address, directory=home, min_replicas=min_replicas,
                appendonly="yes" if appendonly else "no",
            )  # fmt: skip
            if machine != DATA[0]:
                config += f"replicaof {net.address[DATA[0]]} {PORT}\n"
            (home / "redis.conf").write_text(config)
            (home / "sentinel.conf").write_text(
                SENTINEL.format(
                    port=SENTINEL_PORT, address=address, directory=home, name=MASTER_NAME,
                    master=net.address[DATA[0]], master_port=PORT,
                    down_after_ms=round(down_after_s * 1000),
                )
            )  # fmt: skip
            self.data[machine] = Process(
                net, machine, ["redis-server", str(home / "redis.conf")], home / "redis.log"
            )
            self.sentinels[machine] = Process(
                net, machine, ["redis-server", str(home / "sentinel.conf"), "--sentinel"],
                home / "sentinel.log",
            )  # fmt: skip

    async def start(self) -> None:
        """Everything is up, every replica in step, every Sentinel knows all others."""
        for process in self.data.values():
            process.start()
        await until("replicas in step", lambda: self.is_in_step(DATA[0]), SETTLE_S)
        for process in self.sentinels.values():
            process.start()
        self._sampler = asyncio.get_running_loop().create_task(self._sample())
        await self.settle()

    async def settle(self) -> float:
        """Wait until one fault more would be survived; how long it took in seconds."""
        return await until("the store settles", self._is_settled, SETTLE_S)

    async def _is_settled(self) -> bool:
        masters = set()
        for machine in DATA:
            found = await self._sentinel_view(machine)
            if found is None or found["flags"] != "master":
                return False
            if int(found["num-slaves"]) != 2 or int(found["num-other-sentinels"]) != 2:
                return False
            masters.add(found["ip"])
        by_address = {address: name for name, address in self.net.address.items()}
        return len(masters) == 1 and await self.is_in_step(by_address[masters.pop()])

    async def is_in_step(self, master: str) -> bool:
        """This node is the master, and both others follow it closely."""
        role = await self.ask(master, "ROLE")
        if not role or role[0] != "master" or len(role[2]) != 2:
            return False
        info = await self.ask(master, "INFO", "replication")
        if not info or info["connected_slaves"] != 2:
            return False
        states = [info[f"slave{number}"] for number in (0, 1)]
        return all(
            state["state"] == "online" and info["master_repl_offset"] - state["offset"] < NEAR_BYTES
            for state in states
        )

    async def _sentinel_view(self, machine: str) -> dict[str, str] | None:
        flat = await self.ask(machine, "SENTINEL", "MASTER", MASTER_NAME, port=SENTINEL_PORT)
        if isinstance(flat, dict):
            return {key: str(value) for key, value in flat.items()} | {
                "flags": ",".join(sorted(flat["flags"]))
                if not isinstance(flat["flags"], str)
                else flat["flags"]
            }
        return None

    async def master(self) -> str:
        """The machine that most Sentinels call master and that says so itself; "" = none now."""
        views = await asyncio.gather(*(self._sentinel_view(machine) for machine in DATA))
        votes = Counter(found["ip"] for found in views if found is not None)
        by_address = {address: name for name, address in self.net.address.items()}
        for address, count in votes.items():
            machine = by_address[address]
            if count >= 2 and (await self.ask(machine, "ROLE") or [""])[0] == "master":
                return machine
        return ""

    async def ask(self, machine: str, *command: str, port: int = PORT) -> Any:
        """The answer of a node of this machine; None: none came in time."""
        return await ask_redis(self.net.address[machine], port, *command, within_s=ASK_S)

    async def ask_master(self, *command: str) -> Any:
        """The answer of the master; None: none came in time."""
        master = await self.master()
        return await self.ask(master, *command) if master else None

    def journal(self, replicas: int) -> dict[str, Any]:
        """What a router's settings say of it."""
        return {
            "store": "redis",
            "sentinels": [f"{self.net.address[machine]}:{SENTINEL_PORT}" for machine in DATA],
            "master": MASTER_NAME,
            "replicas": replicas,
        }

    # --- faults ---------------------------------------------------------------------------------

    def power_off(self, machine: str) -> int:
        """The machine loses its power: bytes of the append-only file that went with it.

        Cut it off first, or the kernel says good-bye for the processes.
        """
        self.data[machine].kill()
        self.sentinels[machine].kill()
        now = monotonic()
        lost = 0
        for when, sizes in self._sizes:
            if now - when > UNSYNCED_S:
                before = sizes
                break
        else:
            return 0
        for path, size in before.items():
            if machine in path.parts and path.exists() and path.stat().st_size > size:
                lost += path.stat().st_size - size
                os.truncate(path, size)
        return lost

    async def _sample(self) -> None:
        """How long the append-only files were a moment ago, newest first."""
        while True:
            sizes = {
                path: path.stat().st_size for path in self.directory.glob("data*/appendonlydir/*")
                if path.suffix == ".aof"
            }  # fmt: skip
            self._sizes.appendleft((monotonic(), sizes))
            await asyncio.sleep(SAMPLE_S)

    async def close(self) -> None:
        """No process is left."""
        if self._sampler is not None:
            self._sampler.cancel()
            await asyncio.gather(self._sampler, return_exceptions=True)
        for process in (*self.sentinels.values(), *self.data.values()):
            process.resume()
            process.kill()
