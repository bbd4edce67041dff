"""Conducts a run: starts the server and the client processes, watches, drains, audits."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import yaml

from loadtest.lines import compare
from loadtest.lines.switchboard import Switchboard
from loadtest.runs import allocations, audit, ceilings
from loadtest.runs.client import Plan, Seat
from loadtest.runs.measures import Measures
from loadtest.runs.profile import Profile
from loadtest.runs.watch import Sample, Watch
from loadtest.runs.writing import Notes
from loadtest.server import Server

LEAD_S = 0.5
"""From the command to start to the first moment: all processes have heard it by then."""
TELL_S = 2.0
MAXIMUM = {"voice": 1, "chat": 3, "sms": 5, "email": 10}
"""Contacts of a channel that an agent may have: the router's defaults."""
ANSWER_S = 120.0
PATH = os.environ.get("PATH", "")
SERVER = {
    "port": "PORT",
    "log_level": "warning",
    "limits": {
        "requests_per_s": 1_000_000,
        "requests_burst": 10_000_000,
        "connections_per_token": 10_000,
    },
}


@dataclass
class Outcome:
    """All that a run found, before it is judged."""

    profile: Profile
    measures: Measures = field(default_factory=Measures)
    samples: list[Sample] = field(default_factory=list)
    audits: dict[str, audit.Audit] = field(default_factory=dict)
    """By workspace."""
    peak_per_s: float = 0.0
    peak_per_cpu_s: float = 0.0
    """Served for each second of the server's processor, in the closed loop."""
    ceilings: dict[str, float] = field(default_factory=dict)
    """What the bare stack did just before; empty: it was not asked."""
    unanswered: int = 0
    drained_s: float = 0.0
    """How long it took after the last phase until nobody was left; the limit if some were."""
    idle: tuple[float, float] = (0.0, 0.0)
    """Allocations and bytes a second of the server before anybody came, where they are counted."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Why nobody came over a real protocol, by protocol."""
    channels: dict[str, float] = field(default_factory=dict)
    """Figures of channels over a real protocol, counted at their peers."""


Tell = Callable[[str], None]


class NoProfiler(Exception):
    """py-spy is wanted and not there."""


class Run:
    """One run of one profile."""

    def __init__(
        self, profile: Profile, folder: Path, tell: Tell, root: Path | None, flame: Path | None,
        *, with_ceilings: bool = False, counting: bool = False,
    ) -> None:  # fmt: skip
        """`root`: the source tree of the server, if it is not this one; `flame`: for a graph.

        `counting`: the server runs under an allocator that counts, and is slower.
        """
        self._counting = counting
        self._counter: allocations.Counter | None = None
        self._profiler = _profiler() if flame is not None else ""
        self._flame = flame
        self._with_ceilings = with_ceilings
        self.outcome = Outcome(profile)
        self._profile = profile
        self._folder = folder
        self._tell = tell
        self._place = Path(tempfile.mkdtemp(prefix="lt-"))
        self.server = Server(self._place, yaml.safe_dump(_config(profile), allow_unicode=True))
        self._lines = Switchboard(profile, self._place)
        self.outcome.left_out = self._lines.left_out
        if root is not None:
            self.server.root = root
        self._admins: dict[str, str] = {}
        self._clients: list[asyncio.subprocess.Process] = []
        self._start_s = 0.0

    async def run(self) -> Outcome:
        """Everything; what was made is gone afterwards, whatever happens."""
        async with AsyncExitStack() as stack:
            stack.callback(shutil.rmtree, self._place, ignore_errors=True)
            stack.push_async_callback(self._lines.close)
            stack.push_async_callback(self.server.close)
            stack.push_async_callback(self._end_clients)
            if self._counting:
                self._counter = await allocations.counter(self._place)
                self.server.environment = self._counter.environment
            await self._open()
            if self._with_ceilings:
                self._tell("what the bare stack does on this machine now")
                self.outcome.ceilings = await ceilings.take(self._place)
            base = await self._calibrate()
            if self._counter is not None:
                self.outcome.idle = await self._idle()
            await self._day(base)
            await self._close()
        return self.outcome

    # --- before -------------------------------------------------------------------------------

    async def _open(self) -> None:
        for over, reason in self._lines.left_out.items():
            self._tell(f"nobody comes over {over}: {reason}")
        if self._profile.lines:
            self._tell("peers of real protocols are started")
            await self._lines.open()
            config = _config(self._profile, self._lines)
            self.server.configure(yaml.safe_dump(config, allow_unicode=True))
        names = list(workspaces(self._profile))
        for name in names:
            words = ("-w", name) if name else ()
            made = await self.server.command("token", "create", "admin", *words)
            self._admins[name] = made.strip()
        self.server.admin = self._admins[names[0]]
        await self.server.start()
        self._tell("the server is ready; agents are made")
        await self._lines.until_up(self.server)
        seats = await self._seats()
        of = self._profile.clients
        for index in range(of):
            plan = Plan(
                profile=self._profile, folder=str(self._folder), seen=str(self._seen(index)),
                port=self.server.port, index=index, of=of, tokens=self._admins,
                seats=seats[index::of], real=self._lines.channels,
            )  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "loadtest.runs.client", cwd=Path(__file__).parents[2],
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
            )  # fmt: skip
            self._clients.append(process)
            await _write(process, msgspec.json.encode(plan))
        ready = await asyncio.gather(*map(_hear, self._clients))
        await self._ask_all({"do": "connect", "ports": [one["port"] for one in ready]})

    def _seen(self, index: int) -> Path:
        return self._place / f"seen{index}.json"

    async def _seats(self) -> list[Seat]:
        gate = asyncio.Semaphore(16)

        async def sign(name: str, workspace: str) -> str:
            async with gate:
                status, made = await self.server.ask(
                    "POST", "/v1/tokens", {"role": "agent", "agent": name},
                    token=self._admins[workspace],
                )  # fmt: skip
            if status not in {200, 201}:
                raise RuntimeError(f"no token for {name}: {status} {made}")
            return str(made["token"])

        wanted = [
            (kind, number)
            for kind, agents in enumerate(self._profile.agents)
            for number in range(agents.count)
        ]
        groups = self._profile.agents
        tokens = await asyncio.gather(
            *(sign(f"{groups[kind].name}{n:04}", groups[kind].workspace) for kind, n in wanted)
        )
        seats = []
        for (kind, number), token in zip(wanted, tokens, strict=True):
            agents = groups[kind]
            at_s = agents.login_at_s
            if at_s is not None:
                at_s += agents.login_over_s * number / agents.count
            seats.append(Seat(f"{agents.name}{number:04}", token, kind, at_s))
        return seats

    async def _calibrate(self) -> float:
        if not self._profile.calibrate_s:
            return 1.0
        self._tell(f"closed loop of {self._profile.calibrate_s:g} s to find the peak")
        before_s = self.server.cpu_s()
        served = await self._ask_all({"do": "calibrate"})
        count = sum(int(one["served"]) for one in served)
        whole = sum(int(one["whole"]) for one in served)
        self.outcome.peak_per_cpu_s = whole / max(0.01, self.server.cpu_s() - before_s)
        self.outcome.peak_per_s = count / (self._profile.calibrate_s / 2)
        self._tell(f"the peak is {self.outcome.peak_per_s:,.0f} contacts/s served")
        if not count:
            raise RuntimeError("the closed loop served nobody: look at the profile's agents")
        await self._quiet(10.0)
        return self.outcome.peak_per_s

    async def _idle(self) -> tuple[float, float]:
        """Allocations and bytes a second of the server while nobody comes and it is watched."""
        watch = Watch(self.server, self._admins, Measures(), self._counter)
        watching = asyncio.get_running_loop().create_task(watch.look(perf_counter()))
        try:
            first = await watch.now()
            await asyncio.wait([watching], timeout=allocations.IDLE_S)
            last = await watch.now()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        took_s = last.at_s - first.at_s
        return (
            (last.allocations - first.allocations) / took_s,
            (last.allocated - first.allocated) / took_s,
        )

    async def _quiet(self, most_s: float) -> float:
        """Wait until nobody is left; how long that took."""
        began_s = perf_counter()
        while perf_counter() - began_s < most_s:
            if not await self._left():
                break
            await asyncio.sleep(0.25)  # another process: only asking tells
        return perf_counter() - began_s

    async def _left(self) -> int:
        left = 0
        for token in self._admins.values():
            status, health = await self.server.ask("GET", "/v1/health", token=token)
            if status == 200:
                left += sum(int(one["live"]) for one in health["workspaces"].values())
            else:
                left += 1
        return left

    # --- the day ------------------------------------------------------------------------------

    async def _day(self, base: float) -> None:
        profile, measures = self._profile, self.outcome.measures
        self._start_s = measures.start_s = perf_counter() + LEAD_S
        await asyncio.gather(
            self._ask_all({"do": "start", "at_s": self._start_s, "base": base}),
            self._lines.start(self._start_s),
        )
        watch = Watch(self.server, self._admins, measures, self._counter)
        self.outcome.samples = watch.samples
        watching = asyncio.get_running_loop().create_task(watch.look(self._start_s))
        spy = await self._spy()
        try:
            ends_s = self._start_s + profile.seconds
            while (left_s := ends_s - perf_counter()) > 0:
                await asyncio.wait([watching], timeout=min(TELL_S, left_s))
                if watching.done():
                    watching.result()
                await self._progress(left_s)
            self._tell("draining")
            self.outcome.drained_s = await self._quiet(profile.drain_s)
        finally:
            if spy is not None:
                await asyncio.wait_for(spy.wait(), 60)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _spy(self) -> asyncio.subprocess.Process | None:
        """The profiler, for as long as the day; it ends by itself."""
        if self._flame is None or self.server.process is None:
            return None
        self._flame.parent.mkdir(parents=True, exist_ok=True)
        return await asyncio.create_subprocess_exec(
            self._profiler, "record", "--pid", str(self.server.process.pid), "--output",
            str(self._flame), "--duration", str(math.ceil(self._profile.seconds)), "--rate", "200",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def _progress(self, left_s: float) -> None:
        tallies = await self._ask_all({"do": "tell"})
        total = {name: sum(one[name] for one in tallies) for name in tallies[0]}
        for name, count in (await self._lines.tally()).items():
            total[name] = total.get(name, 0) + count
        self._tell(
            f"{total['due']:,} due, {total['taken']:,} taken, {total['served']:,} served, "
            f"{total['shed']:,} shed, {total['unanswered']:,} open; {max(0.0, left_s):.0f} s left"
        )

    # --- after --------------------------------------------------------------------------------

    async def _close(self) -> None:
        await self._ask_all({"do": "end"})
        outcome = self.outcome
        notes = Notes()
        acknowledged: list[tuple[str, str, str]] = []
        accepted: list[tuple[str, str]] = []
        for index in range(self._profile.clients):
            seen = json.loads(self._seen(index).read_bytes())
            outcome.measures.add(seen)
            outcome.unanswered += seen["unanswered"]
            acknowledged += [tuple(item) for item in seen["acknowledged"]]
            accepted += [tuple(item) for item in seen["accepted"]]
            theirs = msgspec.convert(seen["notes"], Notes)
            notes.offers += theirs.offers
            notes.heard |= theirs.heard
            notes.wrote |= theirs.wrote
        answers = Counter(channel for channel, _ in notes.wrote.values())
        await self._lines.settle(dict(answers))
        await self._lines.end(outcome.measures)
        self._tell("reading the event stream for the audit")
        for name, plain in workspaces(self._profile).items():
            channels = plain.get("channels", {})
            most = {**MAXIMUM, **{c: s["maximum"] for c, s in channels.items() if "maximum" in s}}
            outcome.audits[name] = await audit.read(
                self.server, self._admins[name], name, most,
                [(mark, contact) for where, mark, contact in acknowledged if where == name],
                [id_ for where, id_ in accepted if where == name],
            )  # fmt: skip
        first = outcome.audits[next(iter(outcome.audits))]
        books = self._lines.books
        outcome.channels, wrong = compare.read(books, notes, first, outcome.measures)
        first.wrong += wrong
        code = await self.server.stop()
        log = self.server.log.read_text()
        if code != 0 or "Traceback" in log:
            first.wrong.append(f"the server ended with {code}; its log: {self.server.log_end()}")

    async def _ask_all(self, wish: dict[str, Any]) -> list[dict[str, Any]]:
        line = msgspec.json.encode(wish)
        await asyncio.gather(*(_write(client, line) for client in self._clients))
        return list(await asyncio.gather(*map(_hear, self._clients)))

    async def _end_clients(self) -> None:
        for client in self._clients:
            if client.returncode is None:
                client.kill()
            await client.wait()


def workspaces(profile: Profile) -> dict[str, Any]:
    """The router's configuration by workspace; without any, one that has no name."""
    found: dict[str, Any] = profile.router.get("workspaces") or {"": profile.router}
    return found


def grown(profile: Profile, factor: float) -> Profile:
    """The same centre, `factor` times as large: arrivals and agents alike."""
    larger = copy.deepcopy(profile)
    for phase in larger.phases:
        phase.rate *= factor
        phase.to = None if phase.to is None else phase.to * factor
        if phase.burst is not None:
            phase.burst.size *= factor
    for agents in larger.agents:
        agents.count = max(1, math.ceil(agents.count * factor))
    return larger


def lasting(profile: Profile, seconds: float) -> Profile:
    """The same day in `seconds`: phases and what befalls keep their places, rates stay."""
    factor = seconds / profile.seconds
    shorter = copy.deepcopy(profile)
    for phase in shorter.phases:
        phase.seconds *= factor
        if phase.burst is not None:
            phase.burst.every_s *= factor
            phase.burst.size *= factor
    for cut in shorter.cuts:
        cut.at_s *= factor
    for agents in shorter.agents:
        if agents.login_at_s is not None:
            agents.login_at_s *= factor
        agents.login_over_s *= factor
    return shorter


def _config(profile: Profile, lines: Switchboard | None = None) -> dict[str, Any]:
    # By way of JSON, an alias in the profile becomes two things.
    config: dict[str, Any] = json.loads(json.dumps(profile.router))
    places = config.get("workspaces") or {"": config}
    for agents in profile.agents:
        people = places[agents.workspace].setdefault("agents", {})
        for number in range(agents.count):
            skills = dict(agents.skills)
            if agents.one_skill_of:
                skills[agents.one_skill_of[number % len(agents.one_skill_of)]] = 5
            person: dict[str, Any] = {"profile": agents.profile}
            if skills:
                person["skills"] = skills
            people[f"{agents.name}{number:04}"] = person
            if agents.phone and lines is not None and "sip" in lines.adapters:
                person["endpoints"] = {"voice": f"PJSIP/{agents.name}{number:04}"}
    if lines is not None and lines.adapters:
        config["adapters"] = {**config.get("adapters", {}), **lines.adapters}
    config["server"] = {**SERVER, "durability": profile.durability}
    return config


def _profiler() -> str:
    """Where py-spy is. Raises NoProfiler."""
    found = shutil.which("py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{PATH}")
    if found is None:
        raise NoProfiler("--flame needs py-spy, which is not installed: pip install py-spy")
    return found


async def _write(client: asyncio.subprocess.Process, line: bytes) -> None:
    assert client.stdin is not None
    client.stdin.write(line + b"\n")
    await client.stdin.drain()


async def _hear(client: asyncio.subprocess.Process) -> dict[str, Any]:
    assert client.stdout is not None
    async with asyncio.timeout(ANSWER_S):
        line = await client.stdout.readline()
    if not line:
        raise RuntimeError("a client process ended; its error stands above")
    found: dict[str, Any] = json.loads(line)
    return found
