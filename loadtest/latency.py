"""How long from submit to the offer on an idle agent's screen, at half of the HTTP load.

The load is a closed loop first (how much the server takes), then half of that as an open loop.
Among it, probes: contacts for agents who are idle and look at their desks. All requests are sent
when they are due, whether or not the answers before them have come.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter

import msgspec

from loadtest import contacts
from loadtest.drivers import http, websocket
from loadtest.report import Report, percentile, progress
from loadtest.server import ROOT, Commits, Server, installation
from loadtest.throughput import CONFIG, CONNECTIONS, WINDOW, add_agents, post

AGENTS = 40
PROBES_PER_S = 100.0
CALIBRATION = 4_000


class Happened(msgspec.Struct):
    """As much of an event as is read."""

    type: str = ""
    reservation: str = ""
    contact: str = ""


class Seen(msgspec.Struct):
    """As much of the contact beside it as is read."""

    external_id: str = ""


class Pushed(msgspec.Struct):
    """As much of a desk frame as is read."""

    type: str
    event: Happened | None = None
    contact: Seen | None = None


_decode = msgspec.json.Decoder(Pushed).decode
_encode = msgspec.json.Encoder().encode


class Desk:
    """An idle agent's screen: notes when an offer appears, then serves it at once."""

    def __init__(self, socket: websocket.Socket, seen_s: dict[str, float]) -> None:
        self._socket = socket
        self._seen_s = seen_s
        self._cid = 0
        self.welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        socket.on_message = self._hear

    def _hear(self, data: bytes) -> None:
        now_s = perf_counter()
        frame = _decode(data)
        if frame.type == "welcome":
            self.welcome.set_result(None)
        if frame.event is None:
            return
        if frame.event.type == "ContactOffered":
            if frame.contact is not None:
                self._seen_s.setdefault(frame.contact.external_id, now_s)
            self._say({"type": "accept", "reservation": frame.event.reservation})
        elif frame.event.type == "ReservationConnected":
            self._say({"type": "complete", "contact": frame.event.contact})

    def _say(self, command: dict[str, str]) -> None:
        self._cid += 1
        self._socket.send(_encode({**command, "cid": f"k{self._cid}"}))


async def run(seconds: float = 10.0, tree: Path = ROOT) -> Report:
    """Measure."""
    async with installation(CONFIG) as server:
        server.root = tree
        await server.start()
        await add_agents(server, "care", 50)
        names = await add_agents(server, "lives", AGENTS)
        seen_s: dict[str, float] = {}
        sockets = []
        for name in names:
            socket = await websocket.connect(server.port, "/v1/desk", "contact-router.v1.json")
            desk = Desk(socket, seen_s)
            token = await server.token("agent", agent=name)
            socket.send(_encode({"type": "hello", "token": token}))
            await desk.welcome
            sockets.append(socket)
        await _load(server, range(1_000))
        took_s = await _load(server, range(1_000, 1_000 + CALIBRATION))
        full_per_s = CALIBRATION / took_s
        progress(f"closed loop: {full_per_s:,.0f} contacts/s; now half of it")
        before = await server.metrics()
        client, sent_s = await _half(server, full_per_s / 2, seconds)
        async with asyncio.timeout(20):
            while len(seen_s) < len(sent_s):  # noqa: ASYNC110 - the desks tell
                await asyncio.sleep(0.02)
        commits = Commits(before, await server.metrics())
        for socket in sockets:
            socket.close()
        latency_s = [seen_s[mark] - at_s for mark, at_s in sent_s.items()]
        return _report(full_per_s, client, latency_s, commits)


async def _load(server: Server, numbers: range) -> float:
    bodies = (contacts.body(n, "load") for n in numbers)
    requests = [http.request("/v1/contacts", b, server.admin) for b in bodies]
    return await post(server.port, requests, connections=CONNECTIONS, window=WINDOW)


async def _half(
    server: Server, per_s: float, seconds: float
) -> tuple[http.Client, dict[str, float]]:
    """The open loop with probes in it; when each probe was sent."""
    count = int(per_s * seconds)
    every = max(1, int(per_s / PROBES_PER_S))
    requests: list[bytes] = []
    probes: dict[int, str] = {}
    for n in range(count):
        is_probe = n % every == 0
        number = 1_000_000 + n
        if is_probe:
            probes[n] = f"probe-{number:09d}"
            body = contacts.body(number, "probe", channel="email")
        else:
            body = contacts.body(number, "half")
        requests.append(http.request("/v1/contacts", body, server.admin))
    client = http.Client(server.port, "201", CONNECTIONS)
    sent_s = await client.open_loop(requests, per_s)
    await client.drained(20)
    client.check()
    client.close()
    return client, {mark: sent_s[n] for n, mark in probes.items()}


def _report(
    full_per_s: float, client: http.Client, latency_s: list[float], commits: Commits
) -> Report:
    report = Report("Routing latency at half load: submit to offer seen on an idle agent's desk")
    commit_ms = commits.mean_s * 1e3
    report.add("closed loop", full_per_s, "contacts/s")
    report.add("open loop, half of it", full_per_s / 2, "contacts/s")
    report.add("frame commit, mean", commit_ms, "ms", note=f"{commits.count} commits")
    report.add("events per commit", commits.events / max(1, commits.count), "")
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        answer_ms = percentile(client.tally.latency_s, share) * 1e3
        report.add(f"submit answered, {name}", answer_ms, "ms")
    limits = {"p50": 2 * commit_ms + 1, "p99": 8 * commit_ms + 10}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        offer_ms = percentile(latency_s, share) * 1e3
        note = "2 commits + 1 ms" if name == "p50" else "8 commits + 10 ms"
        report.add(f"offer seen, {name}", offer_ms, "ms", most=limits[name], note=note)
    report.add("offer seen, worst", max(latency_s) * 1e3, "ms", note=f"{len(latency_s)} probes")
    return report
