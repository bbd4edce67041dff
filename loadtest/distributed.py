"""What the journal in replicated Redis costs: the same load on it and on the embedded one.

Both servers stand ready in one run and are driven in turn, A B B A, so that a machine that is busy
with something else slows both alike. Redis: a master and two replicas, as config/redis sets them
up, and each commit waits for one replica. Added latency is given in round trips to Redis: what a
plain client needs for a write that one replica has, measured between the turns.

All of it runs on this machine: who used its processors is told for each side, so that a rate that
is lower because three Redis servers ran beside it can be told from one that is the server's own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, process_time
from typing import NamedTuple

from loadtest import contacts
from loadtest.drivers import http
from loadtest.report import Report, percentile, progress
from loadtest.server import ROOT, TICK_S, Commits, Server, cpu_s, free_port, installation
from loadtest.throughput import CONFIG, CONNECTIONS, add_agents, post

SAMPLE = ROOT / "config" / "redis" / "redis.conf"
NOT_HERE = ("port", "bind", "dir", "aclfile", "include", "masteruser", "min-replicas")
ORDER = "ABBA"
WARM_UP = 4_000
LOADS = {"a third": 3, "a tenth": 10}
"""Open loops: fractions of what the slower one takes in a closed loop. Whoever comes while a commit
is under way waits for its end, too: the more come, the more often the line is paid twice."""
JUDGED = "a third"
ROUND_TRIPS = 1_000
WAIT = ("WAIT", "1", "1000")
EXCHANGES: Mapping[str, tuple[Sequence[Sequence[str]], int]] = {
    "in PINGs": ([("PING",)], 1),
    "in round trips": ([("SET", "{loadtest}", "x" * 1000), WAIT], 2),
    "in bare commits": (
        [
            ("MULTI",),
            ("XADD", "{loadtest}:log", "*", "f", "x" * 1100),
            ("HSET", "{loadtest}:own", "seq", "1", "at", "1", "head", "x" * 16, "crc", "1"),
            ("HSET", "{loadtest}:live", "contact", "x" * 740, "totals", "x" * 30),
            ("EXEC",),
            WAIT,
        ],
        10,
    ),
}
"""What added latency is counted in: what is sent, and how many lines the answers have. A bare
commit writes what one of one contact of this load does, without the function that fences it."""
ROUND_TRIP = "in round trips"
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
            command = ["redis-server", *_settings(), "--port", str(port), "--bind", "127.0.0.1"]
            command += ["--dir", str(place)]
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

    async def round_trips_s(self) -> dict[str, list[float]]:
        """How long a plain client waits, one exchange after the other; by what it asks for."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[0])
        took_s: dict[str, list[float]] = {name: [] for name in EXCHANGES}
        for _ in range(ROUND_TRIPS):
            for name, (commands, lines) in EXCHANGES.items():
                words = b"".join(_packed(*command) for command in commands)
                began_s = perf_counter()
                writer.write(words)
                said = [await reader.readline() for _ in range(lines)]
                took_s[name].append(perf_counter() - began_s)
                if commands[-1] == WAIT and int(said[-1][1:]) < 1:
                    raise RuntimeError("no replica answers")
        writer.close()
        return took_s

    def cpu_s(self) -> tuple[float, float]:
        """Processor seconds of the master, and of both replicas, their rewriting of files too."""
        master, *replicas = [cpu_s(process.pid, children=True) for process in self._processes]
        return master, sum(replicas)

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.wait(10)


def _settings() -> list[str]:
    """The sample's, without what belongs to a place: addresses, users, who may be away."""
    words = []
    for line in SAMPLE.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name and not name.startswith(("#", *NOT_HERE)):
            words += [f"--{name}", *value.split(" ")]
    return [word.strip('"') for word in words]


def _packed(*words: str) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return (f"*{len(words)}\r\n" + "".join(parts)).encode()


class Spent(NamedTuple):
    """Processor seconds so far."""

    server: float
    master: float
    replicas: float
    client: float
    others: float

    def since(self, before: Spent) -> Spent:
        """What came to it."""
        return Spent(*(now - then for now, then in zip(self, before, strict=True)))


class Answered:
    """One open loop."""

    def __init__(self) -> None:
        self.p50_s: list[float] = []
        self.p99_s: list[float] = []
        self.commit_s: list[float] = []


class Side:
    """One of the two, and what it showed."""

    def __init__(self, name: str, server: Server, redis: Redis) -> None:
        self.name = name
        self.server = server
        self.rate: list[float] = []
        self.spent_us: list[Spent] = []
        """For each contact."""
        self.loads = {load: Answered() for load in LOADS}
        self._redis = redis
        self._number = 0

    async def start(self) -> None:
        """Nobody is free: each contact is matched in vain and waits."""
        await self.server.start()
        await add_agents(self.server, "care", 50)
        await self._closed(WARM_UP)

    async def throughput(self, seconds: float) -> None:
        """A closed loop."""
        count = int(self.rate[-1] * seconds) if self.rate else WARM_UP
        requests = self._requests(count)
        before = self._spent()
        took_s = await post(self.server.port, requests)
        spent = self._spent().since(before)
        self.rate.append(count / took_s)
        self.spent_us.append(Spent(*(part / count * 1e6 for part in spent)))
        progress(f"{self.name}: {self.rate[-1]:,.0f} contacts/s, {self.cpu_us:.0f} µs each")

    @property
    def cpu_us(self) -> float:
        """Processor time of the server for one contact."""
        return median(spent.server for spent in self.spent_us)

    def _spent(self) -> Spent:
        known = (self.server.cpu_s(), *self._redis.cpu_s(), process_time())
        return Spent(*known, _machine_s() - sum(known))

    async def latency(self, load: str, per_s: float, seconds: float) -> None:
        """An open loop: submit to the answer, which comes after the commit."""
        before = await self.server.metrics()
        client = http.Client(self.server.port, "201", CONNECTIONS)
        await client.open_loop(self._requests(int(per_s * seconds)), per_s)
        await client.drained(20)
        client.check()
        client.close()
        shown = self.loads[load]
        shown.p50_s.append(percentile(client.tally.latency_s, 0.5))
        shown.p99_s.append(percentile(client.tally.latency_s, 0.99))
        shown.commit_s.append(Commits(before, await self.server.metrics()).mean_s)
        progress(f"{self.name}: answered in {shown.p50_s[-1] * 1e3:.2f} ms (p50)")

    async def _closed(self, count: int) -> float:
        return await post(self.server.port, self._requests(count))

    def _requests(self, count: int) -> list[bytes]:
        self._number += count
        numbers = range(self._number - count, self._number)
        token = self.server.admin
        # Chat may wait longer than SMS before it is refused: a slow machine is no failure here.
        bodies = (contacts.body(n, "distributed", channel="chat") for n in numbers)
        return [http.request("/v1/contacts", body, token) for body in bodies]


def _machine_s() -> float:
    """Processor seconds of this machine that were not idle (proc(5), stat)."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) * TICK_S


async def run(seconds: float = 4.0, rounds: int = 2, tree: Path = ROOT) -> Report:
    """Measure, `rounds` times A B B A of each kind."""
    async with _both(tree) as (embedded, distributed, redis):
        sides = {"A": embedded, "B": distributed}
        for number in range(rounds + 1):  # the first finds the rates
            progress(f"throughput, round {number} of {rounds}" if number else "warming up")
            for letter in ORDER:
                await sides[letter].throughput(seconds)
        for side in sides.values():
            del side.rate[: len(ORDER) // 2], side.spent_us[: len(ORDER) // 2]
        most_per_s = min(median(side.rate) for side in sides.values())
        trips_s: dict[str, list[float]] = {name: [] for name in EXCHANGES}
        for load, part in LOADS.items():
            for number in range(rounds):
                progress(f"latency at {load} of the rate, round {number + 1} of {rounds}")
                for letter in ORDER:
                    await sides[letter].latency(load, most_per_s / part, seconds)
                    for name, took_s in (await redis.round_trips_s()).items():
                        trips_s[name] += took_s
        report = Report(
            "The journal in Redis, each commit on one replica, against the embedded one"
        )
        _rates(report, embedded, distributed)
        for load, part in LOADS.items():
            report.add(f"open loop at {load}", most_per_s / part, "contacts/s")
            _latencies(report, embedded, distributed, load, trips_s)
        return report


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
            sides = Side("embedded", one, redis), Side("in Redis", other, redis)
            for side in sides:
                await side.start()
            yield *sides, redis
    finally:
        redis.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _rates(report: Report, one: Side, other: Side) -> None:
    for side in (one, other):
        note = f"{side.cpu_us:.0f} µs of server CPU each"
        report.add(f"closed loop, {side.name}", median(side.rate), "contacts/s", note=note)
    shares = [b / a * 100 for a, b in zip(one.rate, other.rate, strict=True)]
    report.add("in Redis / embedded, by rate", median(shares), "%", least=SHARE)
    report.add(
        "in Redis / embedded, by CPU", one.cpu_us / other.cpu_us * 100, "%",
        note="of the server; Redis' own not counted",
    )  # fmt: skip
    for side in (one, other):
        parts = Spent(*(median(part) for part in zip(*side.spent_us, strict=True)))
        of_all = median(side.rate) / (os.cpu_count() or 1) / 1e4
        words = [f"{part * of_all:.0f} % {name}" for name, part in parts._asdict().items()]
        report.add(f"processors busy, {side.name}", sum(parts) * of_all, "%", note=", ".join(words))


def _latencies(
    report: Report, one: Side, other: Side, load: str, trips_s: Mapping[str, list[float]]
) -> None:
    for side in (one, other):
        shown = side.loads[load]
        for name, values in (
            ("frame commit, mean", shown.commit_s),
            ("submit answered, p50", shown.p50_s),
            ("submit answered, p99", shown.p99_s),
        ):
            report.add(f"{name}, {side.name}", median(values) * 1e3, "ms")
    added_s = median(other.loads[load].p50_s) - median(one.loads[load].p50_s)
    report.add(f"added to p50 at {load}", added_s * 1e3, "ms")
    for name, took_s in trips_s.items():
        trip_s = median(took_s)
        most = ADDED_ROUND_TRIPS if (name, load) == (ROUND_TRIP, JUDGED) else None
        note = f"of {trip_s * 1e3:.3f} ms each, on an otherwise idle line"
        report.add(f"added to p50 at {load}, {name}", added_s / trip_s, "", most=most, note=note)
