"""`python -m loadtest run PROFILE`: a day at the centre, judged, with its report."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

from loadtest.lines.compare import OF_CHANNEL
from loadtest.lines.switchboard import NoLine
from loadtest.runs import allocations, conduct, judge, page, profile
from loadtest.runs.conduct import Outcome
from loadtest.runs.judge import Verdict
from loadtest.runs.measures import REAL_LEGS
from loadtest.runs.profile import CHANNEL

BUSY_MS = 20.0
"""Robots later than this measure the machine, and not the server."""
BRIEF = ("title", "passed", "machine", "left_out", "expectations", "theory", "audit", "figures")
COSTS = {
    "cpu_us_per_contact": "µs of processor",
    "allocations_per_contact": "allocations",
    "allocated_kb_per_contact": "kB asked for in them",
}
PROFILES = Path(__file__).parents[1] / "profiles"


@dataclass
class Result:
    """A run and its verdict."""

    outcome: Outcome
    figures: dict[str, float]
    verdicts: list[Verdict]
    machine: dict[str, Any]

    @property
    def passed(self) -> bool:
        """All that was expected came true."""
        return all(verdict.passed for verdict in self.verdicts)

    def write(self, folder: Path, name: str, *, is_brief: bool = False) -> Path:
        """`NAME.html` and `NAME.json` in `folder`; the first one's path.

        `is_brief`: figures and verdicts alone in the JSON, without every second of every leg.
        """
        folder.mkdir(parents=True, exist_ok=True)
        whole = page.plain(self.outcome, self.figures, self.verdicts, self.machine)
        if is_brief:
            whole = {key: whole[key] for key in BRIEF}
        (folder / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")
        file = folder / f"{name}.html"
        file.write_text(page.html(self.outcome, self.figures, self.verdicts, self.machine))
        return file

    def keep(self, out: Path, kept: Path | None, name: str) -> Path:
        """Write it to `out`, and what is to be kept to `kept`, if there is one."""
        if kept is not None:
            self.write(kept, name, is_brief=True)
        return self.write(out, name)

    def _channels(self) -> list[str]:
        """Legs of customers over real protocols, and what was counted at their peers."""
        rows = []
        for leg in REAL_LEGS:
            p50, p99 = (self.figures.get(f"{leg}_{at}_ms") for at in ("p50", "p99"))
            if p50 is not None and p99 is not None:
                rows.append(f"  {leg:14} p50 {p50:8.1f} ms  p99 {p99:8.1f} ms  {REAL_LEGS[leg]}")
        for channel in self.outcome.profile.channels:
            counts = [
                f"{self.figures[key]:,.0f} {name.replace('_', ' ')}"
                for name in OF_CHANNEL
                if (key := f"{channel}: {name}") in self.figures
            ]
            if counts:
                rows.append(f"  {channel}: {', '.join(counts)}")
        return rows

    def text(self) -> str:
        """What was expected, one line each."""
        rows = [self.outcome.profile.title]
        for over, reason in self.outcome.left_out.items():
            rows.append(f"  left out: {CHANNEL[over]} over {over}: {reason}")
        rows += self._channels()
        cost = [f"{self.figures[name]:,.0f} {words}" for name, words in COSTS.items()
                if name in self.figures]  # fmt: skip
        rows.append(f"  a contact costs the server: {', '.join(cost)}")
        for verdict in self.verdicts:
            value = "not there" if verdict.value is None else page.figure(verdict.value)
            word = "pass" if verdict.passed else "MISS"
            rows.append(f"  {verdict.name:36} {value:>12}  {word}  {verdict.bound}")
        lag_ms = self.figures.get("client_lag_p99_ms", 0.0)
        if lag_ms > BUSY_MS:
            rows.append(
                f"  the machine was busy: the robots' own loops were {lag_ms:.0f} ms late (p99), "
                "so the lengths of time say little"
            )
        return "\n".join(rows)


def find(name: str) -> Path:
    """A profile's file: a path, or the name of one that comes along."""
    path = Path(name)
    if path.suffix == ".yaml" or path.exists():
        return path
    known = PROFILES / f"{name}.yaml"
    if not known.exists():
        there = ", ".join(sorted(file.stem for file in PROFILES.glob("*.yaml")))
        raise profile.ProfileError(f"no profile {name!r}; there are {there}")
    return known


def read(name: str, seconds: float = 0.0, clients: int = 0) -> tuple[profile.Profile, Path]:
    """A profile, changed as asked, and the folder it stands in. Raises ProfileError."""
    file = find(name)
    found = profile.read(file)
    judge.check(found)
    if seconds:
        found = conduct.lasting(found, seconds)
    if clients:
        found.clients = clients
    return found, file.parent


def run(
    wanted: profile.Profile, folder: Path, root: Path | None = None, flame: Path | None = None,
    *, ceilings: bool = False,
) -> Result:  # fmt: skip
    """Run it. Progress goes to the standard error. Raises RuntimeError.

    `root`: the source tree to serve, if not this one; `flame`: the file for a flame graph;
    `ceilings`: measure the bare stack, too.
    """
    load = os.getloadavg()[0]
    day = conduct.Run(wanted, folder, Teller(), root, flame, with_ceilings=ceilings)
    outcome = uvloop.run(day.run())
    found = judge.figures(outcome)
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "load before": round(load, 2),
        "clients": wanted.clients,
        "durability": wanted.durability,
    }
    verdicts = judge.judge(wanted, found, outcome.left_out)
    return Result(outcome, found, verdicts, machine)


def count(wanted: profile.Profile, folder: Path) -> dict[str, float]:
    """Allocations for each contact, from a short day of their own. Raises NotCounted."""
    short = conduct.lasting(wanted, min(wanted.seconds, allocations.DAY_S))
    short.drain_s = min(short.drain_s, allocations.DRAIN_S)
    talk_s = max(agents.talk.mean_s for agents in wanted.agents)
    if talk_s > allocations.DAY_S:
        raise allocations.NotCounted(f"a contact takes {talk_s:g} s here, too long for a short day")
    tell = Teller()
    day = conduct.Run(short, folder, tell, None, None, counting=True)
    tell("a short day in which allocations are counted")
    found = judge.allocated(uvloop.run(day.run()))
    if not found:
        raise allocations.NotCounted("too few contacts were served in a short day")
    return found


def command(
    name: str, out: Path, *, seconds: float = 0.0, clients: int = 0, flame: bool = False,
    keep: Path | None = None, counting: bool = True,
) -> int:  # fmt: skip
    """The whole command; its exit code: 0 passed, 1 missed, 2 the profile cannot be used.

    `keep`: a folder for the page and a small JSON, to be kept; `counting`: a second, short day in
    which allocations are counted.
    """
    try:
        wanted, folder = read(name, seconds, clients)
        svg = out / f"{Path(name).stem}.svg" if flame else None
        result = run(wanted, folder, flame=svg, ceilings=True)
    except (profile.ProfileError, conduct.NoProfiler, NoLine) as error:
        print(error, file=sys.stderr)
        return 2
    file = result.keep(out, keep, Path(name).stem)
    if counting:
        try:
            result.figures |= count(wanted, folder)
            result.keep(out, keep, Path(name).stem)
        except (allocations.NotCounted, NoLine, OSError, RuntimeError, TimeoutError) as error:
            print(f"allocations are not counted: {error}", file=sys.stderr)
    print(result.text())
    print(f"{file}: {'passed' if result.passed else 'MISSED'}", flush=True)
    return 0 if result.passed else 1


class Teller:
    """The line that shows how far it is; on a terminal it is one line, over and over."""

    def __init__(self) -> None:
        self._began_s = perf_counter()

    def __call__(self, text: str) -> None:
        """Show this."""
        line = f"{perf_counter() - self._began_s:5.0f} s  {text}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line}")
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
