"""Our router against the PBX's own queue, on the same Asterisk, with the same phones, in one run.

Three questions, each answered at the phones' socket by code that shares nothing with the router:
how soon a phone rings when agents are idle, how soon an agent who hung up is rung again while
callers wait, and how many calls a second go through before people notice. The router is a real
server process with SQLite and durability ``disk``; Asterisk is a real one (`.ci/asterisk`).
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import process_time

from loadtest import pbx_server
from loadtest.pbx_calls import PICK_UP_S, Load, Step
from loadtest.pbx_exchange import Exchange
from loadtest.pbx_phone import now
from loadtest.pbx_server import Asterisk, pbx
from loadtest.report import Report, percentile, progress
from loadtest.server import Commits, Server, installation

CONFIG = """
server:
  port: PORT
  durability: disk
  log_level: warning
  limits: {requests_per_s: 1000000, requests_burst: 10000000}
queues:
  idle: {offer: {timeout: 30s}, wrap_up: 0s}
  full: {offer: {timeout: 30s}, wrap_up: 0s}
entry_points:
  idle: {channel: voice, address: "+4930555100", queue: idle}
  full: {channel: voice, address: "+4930555200", queue: full}
profiles:
  idle: {idle: 1}
  full: {full: 1}
adapters:
  pbx: {type: asterisk, channel: voice, url: "URL", user: USER, password_file: SECRET}
"""
OURS = {"idle": "+4930555100", "full": "+4930555200"}
THEIRS = {"idle": "8000", "full": "8001"}
IDLE = [f"p{number:03d}" for number in range(500)]
FULL = [f"q{number:03d}" for number in range(10)]
WAITING = 40
RATES = (10.0, 25.0, 40.0, 50.0, 60.0, 75.0, 100.0, 125.0)
NOTICED_MS = 100.0
"""A load is too high when one caller of 100 waits longer than this, or one is never rung for."""
GIVE_UP_MS = 2_000.0
TARGET_PER_S = 60.0


@dataclass
class Place:
    """Everything that runs."""

    exchange: Exchange
    asterisk: Asterisk
    server: Server
    load: Load


async def run(calls: int, seconds: float, rates: Sequence[float] = RATES) -> Report:
    """Measure. Raises RuntimeError when there is no Asterisk."""
    if reason := pbx_server.missing():
        raise RuntimeError(reason)
    async with place() as where:
        report = Report("Calls: our router against app_queue, on one Asterisk, at the phones")
        version = (await where.asterisk.ask("asterisk/info?only=system"))["system"]["version"]
        report.add("Asterisk", float(".".join(version.split(".")[:2])), "", note=version)
        await _idle(where, report, calls)
        await _waiting(where, report, seconds)
        await _rising(where, report, rates, seconds)
        return report


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    """Phones, PBX and router, agents ready."""
    exchange = Exchange()
    exchange.open()
    members = {"line-8000": IDLE, "line-8001": FULL}
    try:
        async with pbx(exchange.port, [*IDLE, *FULL], members) as asterisk:
            exchange.pbx_port = asterisk.sip_port
            for name in (*IDLE, *FULL):
                exchange.phone(name).answers_after_s = PICK_UP_S
            secret = asterisk.directory / "ari.secret"
            secret.write_text(pbx_server.PASSWORD + "\n")
            secret.chmod(0o600)
            words = {"URL": asterisk.url.rstrip("/"), "USER": pbx_server.USER}
            config = CONFIG.replace("SECRET", str(secret))
            for word, value in words.items():
                config = config.replace(word, value)
            async with installation(config) as server:
                await server.start()
                progress("agents are made")
                await _add_agents(server)
                yield Place(exchange, asterisk, server, Load(exchange, random.Random(1)))
    finally:
        exchange.close()


async def _add_agents(server: Server) -> None:
    for profile, names in (("idle", IDLE), ("full", FULL)):
        for name in names:
            agent = {"profile": profile, "endpoints": {"voice": f"PJSIP/{name}"}}
            await server.good("PUT", f"/v1/agents/{name}", agent)
            await server.good("POST", f"/v1/agents/{name}:presence", {"presence": "ready"})


async def _idle(where: Place, report: Report, calls: int) -> None:
    """Both in turn, call by call: what else runs on the machine meets both."""
    progress(f"{calls} calls each to idle agents")
    ours: list[float] = []
    theirs: list[float] = []
    await where.load.one(OURS["idle"])
    await where.load.one(THEIRS["idle"])
    before = await where.server.metrics()
    for _ in range(calls):
        ours.append(await where.load.one(OURS["idle"]))
        theirs.append(await where.load.one(THEIRS["idle"]))
    commit_ms = Commits(before, await where.server.metrics()).mean_s * 1e3
    report.add("one commit, mean", commit_ms, "ms", note="SQLite, durability disk")
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        report.add(f"idle, app_queue, {name}", percentile(theirs, share) * 1e3, "ms")
        report.add(f"idle, ours, {name}", percentile(ours, share) * 1e3, "ms")
    more_ms = (percentile(ours, 0.5) - percentile(theirs, 0.5)) * 1e3
    report.add("idle, ours minus app_queue, p50", more_ms, "ms", most=3 + commit_ms,
               note="3 ms + one commit")  # fmt: skip


async def _waiting(where: Place, report: Report, seconds: float) -> None:
    for word, agents_end in (("agent hangs up", True), ("customer hangs up", False)):
        progress(f"{WAITING} callers wait for {len(FULL)} agents, {word}, {seconds:.0f} s each")
        theirs = await where.load.waiting(THEIRS["full"], WAITING, seconds, agents_end=agents_end)
        before = await where.server.metrics()
        ours = await where.load.waiting(OURS["full"], WAITING, seconds, agents_end=agents_end)
        after = await where.server.metrics()
        commit_ms = Commits(before, after).mean_s * 1e3
        slow_ms = slowest_commits_ms(before, after)
        report.add(f"{word}, one commit, mean", commit_ms, "ms", note=f"p99 {slow_ms:.0f} ms")
        # A slow disk is nobody's fault here: 99 of 100 may take as long as 99 of 100 commits.
        limits = {"p50": 10 + commit_ms, "p99": 30 + slow_ms}
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            for who, seen in (("app_queue", theirs), ("ours", ours)):
                most = limits.get(name) if who == "ours" else None
                report.add(f"{word}, rung again, {who}, {name}",
                           percentile(seen.gaps_s, share) * 1e3, "ms", most=most,
                           note=f"{len(seen.gaps_s)} times")  # fmt: skip
        for who, seen in (("app_queue", theirs), ("ours", ours)):
            if seen.engaged or seen.repeated:
                report.add(f"{word}, {who}, phones rung that had a call", seen.engaged, "",
                           note=f"{seen.repeated} callers rung for again")  # fmt: skip


def slowest_commits_ms(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Upper end of the bucket in which the 99th of 100 commits between two looks lies."""
    counts: dict[float, float] = {}
    for key, value in after.items():
        found = re.match(r"router_commit_duration_seconds_bucket\{.*le=\"([^\"]+)\"", key)
        if found:
            end = float(found[1])
            counts[end] = counts.get(end, 0.0) + value - before.get(key, 0.0)
    most = max(counts.values(), default=0.0)
    return min((end for end, n in counts.items() if n >= 0.99 * most), default=0.0) * 1e3


async def _rising(where: Place, report: Report, rates: Sequence[float], seconds: float) -> None:
    lines = {"app_queue": THEIRS["idle"], "ours": OURS["idle"]}
    knees = dict.fromkeys(lines, 0.0)
    for per_s in rates:  # in turn: what else runs on the machine meets both
        for name in list(lines):
            progress(f"{name}: {per_s:.0f} calls/s for {seconds:.0f} s")
            step = await _measured(where, lines[name], per_s, seconds)
            _show(report, name, step)
            if step.holds(NOTICED_MS):
                knees[name] = per_s
            if step.never_rung or step.ms(0.99) > GIVE_UP_MS:
                del lines[name]
    limit = f"p99 <= {NOTICED_MS:.0f} ms, everybody rung for"
    report.add("calls a second, app_queue", knees["app_queue"], "calls/s", note=limit)
    report.add("calls a second, ours", knees["ours"], "calls/s", least=TARGET_PER_S, note=limit)


async def _measured(where: Place, line: str, per_s: float, seconds: float) -> Step:
    programs = {"Asterisk": where.asterisk.cpu_s, "router": where.server.cpu_s,
                "phones": process_time}  # fmt: skip
    before = {name: cpu_s() for name, cpu_s in programs.items()}
    began = now()
    step = await where.load.step(line, per_s, seconds)
    took_s = min(now() - began, seconds + 2)
    step.cpu = {name: (cpu_s() - before[name]) / took_s for name, cpu_s in programs.items()}
    return step


def _show(report: Report, name: str, step: Step) -> None:
    shares = ", ".join(f"{program} {share:.0%}" for program, share in step.cpu.items())
    note = f"p50 {step.ms(0.5):.1f}, of one core: {shares}"
    for count, what in (
        (step.never_rung, "never rung for"), (step.repeated, "rung for twice"),
        (step.in_vain, "rung for as they hung up"),
        (step.resent, "datagrams sent again"), (step.stuck, "left with a dead call"),
    ):  # fmt: skip
        if count:
            note += f", {count} {what}"
    report.add(f"{step.per_s:.0f} calls/s, {name}, p99", step.ms(0.99), "ms", note=note)
