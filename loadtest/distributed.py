"""What the journal in replicated Redis costs: the same load on it and on the embedded one.

Both servers stand ready in one run and are driven in turn, A B B A, so that a machine that is busy
with something else slows both alike. Redis: a master and two replicas, appendfsync everysec, and
each commit waits for one replica. Added latency is given in round trips to Redis: what a plain
client needs for a write that one replica has, measured between the turns.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter

from loadtest import contacts
from loadtest.drivers import http
from loadtest.report import Report, percentile, progress
from loadtest.server import ROOT, Commits, Server, free_port, installation
from loadtest.throughput import CONFIG, CONNECTIONS, add_agents, post

ORDER = "ABBA"
WARM_UP = 4_000
LOAD = 3
"""The open loop is this fraction of what the slower one takes in a closed loop."""
ROUND_TRIPS = 1_000
SHARE = 85.0
ADDED_ROUND_TRIPS = 2.0
READY_S = 30.0


class Redis:
    """A master with two replicas on this machine."""

    def __init__(self, directory: Path) -> None:
        self.ports: list[int] = []
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []

    async def start(self) -> None:
        """Wait until both replicas follow."""
        for number in range(3):
            port = free_port()
            place = self._directory / f"redis{number}"
            place.mkdir()
            command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
            command += ["--dir", str(place), "--appendonly", "yes", "--appendfsync", "everysec"]
            command += ["--repl-diskless-sync-delay", "0"]
            if self.ports:
                command += ["--replicaof", f"127.0.0.1 {self.ports[0]}"]
            self.ports.append(port)
            self._processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))  # noqa: ASYNC220
        until = monotonic() + READY_S
        while b"slave1" not in await self._replication():
            if monotonic() > until:
                raise RuntimeError(f"no two replicas of Redis in {READY_S:.0f} s")
            await asyncio.sleep(0.05)  # another process: only asking tells

    async def _replication(self) -> bytes:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[0])
        except OSError:
            return b""
        writer.write(_packed("INFO", "replication"))
        head = await reader.readline()
        if not head.startswith(b"$"):
            return b""
        facts = await reader.readexactly(int(head[1:]))
        writer.close()
        return facts if facts.count(b"state=online") == 2 else b""

    async def round_trips_s(self) -> list[float]:
        """How long a write takes until one replica has it, one after the other."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[0])
        words = _packed("SET", "{loadtest}", "x" * 1000) + _packed("WAIT", "1", "1000")
        took_s = []
        for _ in range(ROUND_TRIPS):
            began_s = perf_counter()
            writer.write(words)
            await reader.readline()
            if int((await reader.readline())[1:]) < 1:
                raise RuntimeError("no replica answers")
            took_s.append(perf_counter() - began_s)
        writer.close()
        return took_s

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.wait(10)


def _packed(*words: str) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return (f"*{len(words)}\r\n" + "".join(parts)).encode()


class Side:
    """One of the two, and what it showed."""

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.server = server
        self.rate: list[float] = []
        self.cpu_us: list[float] = []
        self.answered_s: dict[str, list[float]] = {"p50": [], "p99": []}
        self.commit_s: list[float] = []
        self._number = 0

    async def start(self) -> None:
        """Nobody is free: each contact is matched in vain and waits."""
        await self.server.start()
        await add_agents(self.server, "care", 50)
        await self._closed(WARM_UP)

    async def throughput(self, seconds: float) -> None:
        """A closed loop."""
        count = int(self.rate[-1] * seconds) if self.rate else WARM_UP
        before_s = self.server.cpu_s()
        took_s = await self._closed(count)
        self.rate.append(count / took_s)
        self.cpu_us.append((self.server.cpu_s() - before_s) / count * 1e6)
        progress(f"{self.name}: {self.rate[-1]:,.0f} contacts/s, {self.cpu_us[-1]:.0f} µs each")

    async def latency(self, per_s: float, seconds: float) -> None:
        """An open loop: submit to the answer, which comes after the commit."""
        before = await self.server.metrics()
        client = http.Client(self.server.port, "201", CONNECTIONS)
        await client.open_loop(self._requests(int(per_s * seconds)), per_s)
        await client.drained(20)
        client.check()
        client.close()
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            self.answered_s[name].append(percentile(client.tally.latency_s, share))
        self.commit_s.append(Commits(before, await self.server.metrics()).mean_s)
        progress(f"{self.name}: answered in {self.answered_s['p50'][-1] * 1e3:.2f} ms (p50)")

    async def _closed(self, count: int) -> float:
        return await post(self.server.port, self._requests(count))

    def _requests(self, count: int) -> list[bytes]:
        self._number += count
        numbers = range(self._number - count, self._number)
        token = self.server.admin
        # Chat may wait longer than SMS before it is refused: a slow machine is no failure here.
        bodies = (contacts.body(n, "distributed", channel="chat") for n in numbers)
        return [http.request("/v1/contacts", body, token) for body in bodies]


async def run(seconds: float = 4.0, rounds: int = 2, tree: Path = ROOT) -> Report:
    """Measure, `rounds` times A B B A of each kind."""
    async with _both(tree) as (embedded, distributed, redis):
        sides = {"A": embedded, "B": distributed}
        for number in range(rounds + 1):  # the first finds the rates
            progress(f"throughput, round {number} of {rounds}" if number else "warming up")
            for letter in ORDER:
                await sides[letter].throughput(seconds)
        for side in sides.values():
            del side.rate[: len(ORDER) // 2], side.cpu_us[: len(ORDER) // 2]
        per_s = min(median(side.rate) for side in sides.values()) / LOAD
        round_trips_s: list[float] = []
        for number in range(rounds):
            progress(f"latency at {per_s:,.0f} contacts/s, round {number + 1} of {rounds}")
            for letter in ORDER:
                await sides[letter].latency(per_s, seconds)
                round_trips_s += await redis.round_trips_s()
        return _report(embedded, distributed, per_s, round_trips_s)


@asynccontextmanager
async def _both(tree: Path) -> AsyncIterator[tuple[Side, Side, Redis]]:
    directory = Path(tempfile.mkdtemp(prefix="contact-router-redis-"))
    redis = Redis(directory)
    try:
        await redis.start()
        journal = f"journal: {{store: redis, url: 'redis://127.0.0.1:{redis.ports[0]}/0', "
        config = CONFIG.replace("  port: PORT", f"  port: PORT\n  {journal}replicas: 1}}", 1)
        async with installation(CONFIG) as one, installation(config) as other:
            one.root = other.root = tree
            sides = Side("embedded", one), Side("in Redis", other)
            for side in sides:
                await side.start()
            yield *sides, redis
    finally:
        redis.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _report(one: Side, other: Side, per_s: float, round_trips_s: Sequence[float]) -> Report:
    report = Report("The journal in Redis, each commit on one replica, against the embedded one")
    for side in (one, other):
        note = f"{median(side.cpu_us):.0f} µs of server CPU each"
        report.add(f"closed loop, {side.name}", median(side.rate), "contacts/s", note=note)
    shares = [b / a * 100 for a, b in zip(one.rate, other.rate, strict=True)]
    report.add("in Redis / embedded, by rate", median(shares), "%", least=SHARE)
    report.add(
        "in Redis / embedded, by CPU", median(one.cpu_us) / median(other.cpu_us) * 100, "%",
        note="of the server; Redis' own not counted",
    )  # fmt: skip
    report.add("open loop", per_s, "contacts/s")
    for side in (one, other):
        report.add(f"frame commit, mean, {side.name}", median(side.commit_s) * 1e3, "ms")
        for name, values in side.answered_s.items():
            report.add(f"submit answered, {name}, {side.name}", median(values) * 1e3, "ms")
    trip_s = percentile(list(round_trips_s), 0.5)
    report.add("write that one replica has, p50", trip_s * 1e3, "ms", note="an otherwise idle line")
    added_s = median(other.answered_s["p50"]) - median(one.answered_s["p50"])
    report.add("added to p50", added_s * 1e3, "ms")
    report.add("added to p50, in round trips", added_s / trip_s, "", most=ADDED_ROUND_TRIPS)
    return report
