"""How many contacts a second the server takes, as a fraction of what its stack can do at all.

The ceiling and the server are driven in turn, by the same client, in the same run: a machine that
is busy with something else slows both alike. Besides the rate, the processor time that the server
spends on one contact is compared, which hardly depends on what else runs.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import msgspec

from loadtest import contacts
from loadtest.ceiling import Bare, bare_commits
from loadtest.drivers import http, websocket
from loadtest.lives import Lives
from loadtest.report import Report, progress
from loadtest.server import ROOT, Commits, Server, installation

CONFIG = """
server:
  port: PORT
  durability: disk
  log_level: warning
  limits: {requests_per_s: 1000000, requests_burst: 10000000, connections_per_token: 1000,
           inbox_commands: 100000}
channels:
  chat: {cost: 1, maximum: 1000, close_after: 1d}
  sms: {park_after: 0, close_after: 0}
queues:
  care: {target: 5m, offer: {timeout: 1h}}
  direct: {target: 5m, offer: {timeout: 1h}}
  lives: {target: 5m, offer: {timeout: 1h}, wrap_up: 0s}
entry_points:
  sms: {channel: sms, address: "+4930555100", queue: care}
  chat: {channel: chat, address: site, queue: direct}
  email: {channel: email, address: help@example.com, queue: lives}
profiles:
  care: {care: 1}
  direct: {direct: 1}
  lives: {lives: 1}
adapters:
  line: {type: remote, channel: sms}
"""
CONNECTIONS = 128
WINDOW = 2
SOCKET_WINDOW = 512
BATCH = 100
HTTP_SHARE, SOCKET_SHARE, SOCKET_STRETCH = 45.0, 12.0, 20.0


@dataclass
class Series:
    """Rounds of one measurement."""

    rate: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def add(self, count: int, seconds: float, cpu_s: float) -> None:
        """One round."""
        self.rate.append(count / seconds)
        self.cpu_us.append(cpu_s / count * 1e6)


class Run:
    """One run: the bare server and the real one, and what they showed."""

    def __init__(self, server: Server, bare: Bare, seconds: float) -> None:
        self.server = server
        self.bare = bare
        self.seconds = seconds
        self.series: dict[str, Series] = {}
        self.number = 0
        self.adapter = ""

    async def measure(
        self,
        name: str,
        cpu_s: Callable[[], float],
        drive: Callable[[int], Awaitable[float]],
        per_call: int = 1,
        least: int = 2_000,
    ) -> None:
        """One round: as many contacts as take about `seconds` by the round before."""
        series = self.series.setdefault(name, Series())
        count = int(series.rate[-1] * self.seconds) if series.rate else least
        count = max(per_call, count // per_call * per_call)
        before_s = cpu_s()
        took_s = await drive(count)
        series.add(count, took_s, cpu_s() - before_s)
        progress(f"{name}: {series.rate[-1]:,.0f}/s, {series.cpu_us[-1]:.1f} µs each")

    def numbers(self, count: int) -> range:
        """Numbers that no contact has had yet."""
        self.number += count
        return range(self.number - count, self.number)

    # --- what is driven -----------------------------------------------------------------------

    async def bare_post(self, count: int) -> float:
        """The bare handler."""
        bodies = (contacts.body(n, "bare") for n in self.numbers(count))
        return await post(self.bare.port, [http.request("/v1/contacts", b) for b in bodies])

    async def post(self, count: int, channel: str = "sms") -> float:
        """One contact a request; nobody is free, so each is matched in vain and waits."""
        token = self.server.admin
        bodies = (contacts.body(n, "post", channel=channel) for n in self.numbers(count))
        requests = [http.request("/v1/contacts", b, token) for b in bodies]
        return await post(self.server.port, requests)

    async def post_offered(self, count: int) -> float:
        """One contact a request, offered to an agent in the same commit."""
        return await self.post(count, "chat")

    async def batch(self, count: int) -> float:
        """BATCH contacts a request."""
        token = self.server.admin
        requests = []
        for first in range(0, count, BATCH):
            body = contacts.batch_body(self.numbers(min(BATCH, count - first)), "batch")
            requests.append(http.request("/v1/contacts:batch", body, token))
        return await post(
            self.server.port, requests, "200", connections=8, window=1, needle=created(BATCH)
        )

    async def bare_socket(self, count: int) -> float:
        """The bare socket."""
        socket = await websocket.connect(self.bare.port, "/socket")
        return await self._pipelined(socket, "bare", count)

    async def socket(self, count: int) -> float:
        """The adapter socket."""
        socket = await websocket.connect(
            self.server.port, "/v1/channels/line", "contact-router.v1.json"
        )
        welcome: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        socket.on_message = welcome.set_result
        hello = {"type": "hello", "token": self.adapter}
        socket.send(msgspec.json.encode(hello))
        async with asyncio.timeout(10):
            await welcome
        return await self._pipelined(socket, "socket", count)

    async def _pipelined(self, socket: websocket.Socket, run: str, count: int) -> float:
        """SOCKET_WINDOW frames under way; each answer lets the next one go."""
        frames = [websocket.frame(contacts.submit_frame(n, run)) for n in self.numbers(count)]
        return await pipelined(socket, frames)


def created(count: int) -> bytes:
    """How the answer to a batch of new contacts ends."""
    return f'"created":{count}}}'.encode()


async def post(
    port: int,
    requests: list[bytes],
    good: str = "201",
    connections: int = CONNECTIONS,
    window: int = WINDOW,
    needle: bytes = b"",
) -> float:
    """Send these in a closed loop. Raises RuntimeError if one is not answered as expected."""
    client = http.Client(port, good, connections, needle)
    try:
        took_s = await client.closed_loop(requests, window, 120)
    finally:
        client.close()
    client.check()
    return took_s


async def add_agents(server: Server, profile: str, count: int, **settings: object) -> list[str]:
    """Agents of a profile, ready."""
    names = [f"{profile}{number:03d}" for number in range(count)]
    for name in names:
        await server.good(
            "PUT",
            f"/v1/agents/{name}",
            {"profile": profile, "skills": {"english": 8}, **settings},
        )
        await server.good("POST", f"/v1/agents/{name}:presence", {"presence": "ready"})
    return names


async def run(seconds: float = 3.0, rounds: int = 3, tree: Path = ROOT) -> Report:
    """Everything, in `rounds` rounds."""
    bare = Bare()
    async with installation(CONFIG) as server:
        server.root = tree
        try:
            await bare.start()
            await server.start()
            progress("agents are made")
            await add_agents(server, "care", 200)
            await add_agents(server, "direct", 100, capacity=10_000, maximum={"chat": 1000})
            desks = await add_agents(server, "lives", 20)
            one = Run(server, bare, seconds)
            one.adapter = await server.token("adapter", channel="line")
            lives = Lives(server, desks)
            await lives.open()
            before = await server.metrics()
            for number in range(rounds + 1):  # the first warms up and finds the rates
                progress(f"round {number} of {rounds}" if number else "warming up")
                await _round(one, lives)
            after = await server.metrics()
            lives.close()
            disk = bare_commits(server.directory)
            return _report(one, Commits(before, after), disk)
        finally:
            await bare.stop()


async def _round(one: Run, lives: Lives) -> None:
    server, bare = one.server, one.bare
    await one.measure("bare POST", bare.cpu_s, one.bare_post)
    await one.measure("POST, waits", server.cpu_s, one.post)
    await one.measure("POST, offered", server.cpu_s, one.post_offered)
    await one.measure("bare socket", bare.cpu_s, one.bare_socket)
    await one.measure("adapter socket", server.cpu_s, one.socket)
    await one.measure("batch POST", server.cpu_s, one.batch, per_call=BATCH)
    await one.measure("whole lives", server.cpu_s, lambda n: lives.live(one.numbers(n)), least=400)


def _report(one: Run, commits: Commits, disk: tuple[float, float]) -> Report:
    """Medians of the rounds after the first."""
    report = Report("Throughput against the stack's own ceiling")
    rate = {name: statistics.median(s.rate[1:]) for name, s in one.series.items()}
    cpu = {name: statistics.median(s.cpu_us[1:]) for name, s in one.series.items()}
    for name in one.series:
        report.add(name, rate[name], "contacts/s", note=f"{cpu[name]:.1f} µs of server CPU each")

    def share(name: str, bare: str, least: float, note: str = "") -> None:
        shares = [
            a / b * 100 for a, b in zip(one.series[name].rate, one.series[bare].rate, strict=True)
        ]
        value = statistics.median(shares[1:])
        report.add(f"{name} / {bare}, by rate", value, "%", least=least, note=note)
        report.add(f"{name} / {bare}, by CPU", cpu[bare] / cpu[name] * 100, "%")

    share("POST, waits", "bare POST", HTTP_SHARE)
    share("POST, offered", "bare POST", HTTP_SHARE)
    share("adapter socket", "bare socket", SOCKET_SHARE, f"stretch {SOCKET_STRETCH:g} %")
    report.add(
        "batch POST / adapter socket",
        rate["batch POST"] / rate["adapter socket"] * 100, "%", least=100,
    )  # fmt: skip
    report.add("commit, mean", commits.mean_s * 1e3, "ms", note=f"{commits.count} commits")
    report.add("events per commit", commits.events / max(1, commits.count), "")
    report.add(
        "bare write + fdatasync of 64 KiB, p50", disk[1] * 1e3, "ms", note=f"{disk[0]:.0f}/s"
    )
    return report


async def pipelined(socket: websocket.Socket, frames: list[bytes]) -> float:
    """SOCKET_WINDOW frames under way; each receipt lets the next one go. Seconds; closes it."""
    count = len(frames)
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done = at = 0

    def answered(payload: bytes) -> None:
        nonlocal done, at
        if b'"answer"' not in payload or b'"receipt"' not in payload:
            if not finished.done():
                finished.set_exception(RuntimeError(f"expected a receipt, got {payload!r:.300}"))
            return
        done += 1
        if at < count:
            socket.send_raw(frames[at])
            at += 1
        if done == count and not finished.done():
            finished.set_result(None)

    socket.on_message = answered
    began_s = perf_counter()
    at = min(SOCKET_WINDOW, count)
    socket.send_raw(b"".join(frames[:at]))
    async with asyncio.timeout(120):
        await finished
    took_s = perf_counter() - began_s
    socket.close()
    return took_s
