"""How large a centre the server carries: the same profile, larger and larger, until it bends.

Arrivals and agents grow alike, so that the agents are never the limit. Carried means: nothing shed,
lost or left over, and the 99th percentiles of submit and accept below a bound. The last size that
was carried is the knee; two more runs between it and the first that was not make it sharper.
"""

from __future__ import annotations

import json
from pathlib import Path

from loadtest.report import Report, progress
from loadtest.runs import conduct, plot, run
from loadtest.runs.page import STYLE
from loadtest.runs.run import Result

BOUND_MS = 250.0
GROWTH = 1.6
STEPS = 8
REFINE = 2
ALWAYS = ("audit_faults", "unanswered", "desk_shed", "wrong_answers", "client_errors", "shed")
COLUMNS = ("served_per_s", "durable_p99_ms", "accept_p99_ms", "offer_p99_ms",
           "cpu_us_per_contact", "cpu_share", "rss_mb")  # fmt: skip


class Step:
    """One size."""

    def __init__(self, factor: float, result: Result) -> None:
        self.factor = factor
        found, profile = result.figures, result.outcome.profile
        seconds = sum(phase.seconds for phase in profile.phases)
        self.agents = sum(agents.count for agents in profile.agents)
        self.due_per_s = found["due"] / seconds
        self.figures = {**found, "served_per_s": found["served"] / seconds}
        self.why = [name for name in ALWAYS if found.get(name)]
        for name in ("durable_p99_ms", "accept_p99_ms"):
            if found.get(name, 0.0) > BOUND_MS:
                self.why.append(f"{name} {found[name]:.0f}")
        if found["served_share"] < 0.95:
            self.why.append(f"served {found['served_share']:.0%}")

    @property
    def carried(self) -> bool:
        """It was."""
        return not self.why


def find(name: str, seconds: float, out: Path) -> Report:
    """Grow, then narrow down. Raises ProfileError and RuntimeError."""
    profile, folder = run.read(name, seconds)
    profile.calibrate_s = 0.0
    steps: list[Step] = []

    def at(factor: float) -> Step:
        step = Step(factor, run.run(conduct.grown(profile, factor), folder))
        word = "carried" if step.carried else ", ".join(step.why)
        progress(f"{step.agents} agents, {step.due_per_s:,.0f} contacts/s: {word}")
        steps.append(step)
        return step

    good, bad, factor = 0.0, 0.0, 1.0
    for _ in range(STEPS):
        if not at(factor).carried:
            bad = factor
            break
        good, factor = factor, factor * GROWTH
    for _ in range(REFINE if bad and good else 0):
        middle = (good + bad) / 2
        if at(middle).carried:
            good = middle
        else:
            bad = middle
    report = _report(profile.title, steps)
    out.mkdir(parents=True, exist_ok=True)
    _write(out / f"knee-{Path(name).stem}", profile.title, steps)
    return report


def _report(title: str, steps: list[Step]) -> Report:
    report = Report(f"The knee of: {title}")
    for step in sorted(steps, key=lambda step: step.factor):
        figures = step.figures
        note = (
            f"{step.agents} agents, submit p99 {figures.get('durable_p99_ms', 0):.0f} ms, accept "
            f"p99 {figures.get('accept_p99_ms', 0):.0f} ms, "
            f"{figures.get('cpu_us_per_contact', 0):.0f} µs each; {', '.join(step.why)}"
        )
        report.add(f"offered {step.due_per_s:,.0f}/s", figures["served_per_s"], "served/s",
                   note=note.rstrip("; "))  # fmt: skip
    best = _best(steps)
    note = f"{best.agents} agents" if best else "not even the smallest"
    report.add("knee", best.due_per_s if best else 0.0, "contacts/s", least=0.001, note=note)
    return report


def _best(steps: list[Step]) -> Step | None:
    """The largest that was carried."""
    carried = [step for step in steps if step.carried]
    return max(carried, key=lambda step: step.factor) if carried else None


def _write(file: Path, title: str, steps: list[Step]) -> None:
    steps = sorted(steps, key=lambda step: step.factor)
    rows = [
        {"agents": s.agents, "offered_per_s": s.due_per_s, "carried": s.carried, "why": s.why,
         **{name: s.figures.get(name) for name in COLUMNS}}
        for s in steps
    ]  # fmt: skip
    file.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")

    best = _best(steps)
    marks = {"the knee": best.due_per_s} if best else {}

    def line(name: str) -> list[tuple[float, float]]:
        return [(s.due_per_s, s.figures.get(name, 0.0)) for s in steps]

    parts = [
        plot.lines("Throughput against offered load", "contacts a second",
                   {"served": line("served_per_s"),
                    "offered": [(s.due_per_s, s.due_per_s) for s in steps]},
                   x_name="/s", marks=marks),
        plot.lines("Latency against offered load", "ms, p99",
                   {leg: line(f"{leg}_p99_ms") for leg in ("durable", "offer", "accept")},
                   logarithmic=True, x_name="/s", marks=marks),
        plot.lines("Processor for each contact", "µs", {"server": line("cpu_us_per_contact")},
                   x_name="/s", marks=marks),
    ]  # fmt: skip
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{STYLE}</style>'
    file.with_suffix(".html").write_text(f"{head}<h1>The knee of: {title}</h1>{''.join(parts)}")
