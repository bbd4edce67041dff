"""What one more costs: a small set of designed runs, and a line through them.

Each run is a short day of a made-up centre in which one thing is more than in the others: contacts
that are served, contacts that wait, agents, rules, tenants. Processor and memory of the server over
all runs are fitted by least squares, so an operator can work out a machine for a centre of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from loadtest.report import Report, progress
from loadtest.runs import profile, run

TALK_S, WAIT_S = 0.4, 0.1
"""Of the robots: short, so that a small machine makes many lives."""
SETTLE_S = 3.0


@dataclass(frozen=True)
class Shape:
    """One run."""

    name: str
    served_per_s: float = 60.0
    """Contacts with a whole life: submitted, offered, accepted, completed."""
    waiting_per_s: float = 0.0
    """Contacts for whom nobody is there."""
    agents: int = 100
    """Signed in, in all tenants together."""
    rules: int = 0
    """Asked about each contact, and not matching."""
    tenants: int = 1


BASE = Shape("base")
SHAPES = (
    BASE,
    Shape("few contacts", served_per_s=20.0),
    Shape("many contacts", served_per_s=160.0, agents=200),
    Shape("contacts wait", waiting_per_s=250.0),
    Shape("more of them wait", waiting_per_s=500.0),
    Shape("agents", agents=1000),
    Shape("more agents", agents=2000, served_per_s=20.0),
    Shape("rules", rules=100),
    Shape("rules and contacts", rules=100, served_per_s=160.0, agents=200),
    Shape("tenants", tenants=10),
)


@dataclass
class Point:
    """What a run showed."""

    shape: Shape
    served_per_s: float
    waiting_per_s: float
    cpu_share: float
    """Of one core, while the day went on."""
    rss_mb: float
    """At its end."""
    waiting: float
    """How many waited at its end."""
    served: float
    """How many had been served by then."""


Terms = dict[str, tuple[str, str, Callable[[Point], float]]]
"""By name: unit, in words, and how much of it a run had."""
CPU: Terms = {
    "process": ("% of a core", "a server without anything", lambda _: 1.0),
    "served": ("ms", "one more contact, its whole life", lambda p: p.served_per_s),
    "waiting": ("ms", "one more contact that comes and waits", lambda p: p.waiting_per_s),
    "agent": ("% of a core", "1,000 more agents, signed in", lambda p: p.shape.agents / 1000),
    "rule": (
        "µs", "one more rule, for each contact",
        lambda p: p.shape.rules * (p.served_per_s + p.waiting_per_s),
    ),
    "tenant": ("% of a core", "one more tenant", lambda p: p.shape.tenants - 1.0),
}  # fmt: skip
MEMORY: Terms = {
    "process": ("MB", "a server without anything", lambda _: 1.0),
    "served": ("kB", "one more contact that was served", lambda p: p.served),
    "waiting": ("kB", "one more contact that waits", lambda p: p.waiting),
    "agent": ("kB", "one more agent, signed in", lambda p: float(p.shape.agents)),
    "tenant": ("MB", "one more tenant", lambda p: p.shape.tenants - 1.0),
}
SCALE = {"% of a core": 100.0, "ms": 1e3, "µs": 1e6, "MB": 1.0, "kB": 1e3}


def fit(seconds: float, out: Path) -> Report:
    """All runs, and what came of them; `model.json` goes to `out`."""
    points: list[Point] = []
    for shape in SHAPES:
        points.append(measure(shape, seconds))
        progress(f"{shape.name}: {points[-1].cpu_share:.1%} of a core, {points[-1].rss_mb:.0f} MB")
    report = Report(f"What one more costs: {len(points)} runs of {seconds:g} s")
    _add(report, "processor", CPU, points, [point.cpu_share for point in points])
    _add(report, "memory", MEMORY, points, [point.rss_mb for point in points])
    out.mkdir(parents=True, exist_ok=True)
    whole = {"points": [asdict(p) for p in points], "lines": [asdict(x) for x in report.lines]}
    (out / "model.json").write_text(json.dumps(whole, indent=1) + "\n")
    return report


def _add(
    report: Report, title: str, terms: Terms, points: Sequence[Point], values: Sequence[float]
) -> None:
    rows = [[of(point) for _, _, of in terms.values()] for point in points]
    factors = solve(rows, values)
    for (unit, text, _), factor in zip(terms.values(), factors, strict=True):
        report.add(f"{title}: {text}", factor * SCALE[unit], unit)
    wrong = [
        abs(sum(f * cell for f, cell in zip(factors, row, strict=True)) / value - 1)
        for row, value in zip(rows, values, strict=True)
    ]
    report.add(f"{title}: the worst run is off by", 100 * max(wrong), "%")


def measure(shape: Shape, seconds: float) -> Point:
    """One run. Raises RuntimeError."""
    found = run.run(centre(shape, seconds), Path(), ceilings=False)
    inside = [s for s in found.outcome.samples if SETTLE_S <= s.at_s <= seconds]
    first, last = inside[0], inside[-1]
    lasted_s = last.at_s - first.at_s
    measures, whole = found.outcome.measures, range(round(first.at_s), round(last.at_s))
    served = measures.total("served", whole) / lasted_s
    return Point(
        shape,
        served_per_s=served,
        waiting_per_s=max(0.0, measures.total("taken", whole) / lasted_s - served),
        cpu_share=(last.cpu_s - first.cpu_s) / lasted_s,
        rss_mb=last.rss / 1e6,
        waiting=last.waiting,
        served=float(measures.total("served")),
    )


def centre(shape: Shape, seconds: float) -> profile.Profile:
    """The profile of a shape."""
    names = [f"t{n}" for n in range(shape.tenants)]
    customers: list[dict[str, Any]] = []
    for name in names:
        kind = {"channel": "sms", "workspace": name}
        customers.append({**kind, "name": f"{name}s", "entry_point": "served",
                          "share": shape.served_per_s})  # fmt: skip
        if shape.waiting_per_s:
            customers.append({**kind, "name": f"{name}w", "entry_point": "waiting",
                              "share": shape.waiting_per_s})  # fmt: skip
    agents = [
        {"name": f"{name}a", "profile": "care", "workspace": name,
         "count": shape.agents // shape.tenants, "accept": {"mean_s": WAIT_S},
         "talk": {"mean_s": TALK_S}}
        for name in names
    ]  # fmt: skip
    rate = shape.served_per_s + shape.waiting_per_s
    plain = {
        "title": f"Model: {shape.name}",
        "router": {"workspaces": {name: _workspace(shape) for name in names}},
        "phases": [{"name": "day", "seconds": seconds, "rate": rate}],
        "customers": customers,
        "agents": agents,
        "drain_s": 1,
        "expect": {"audit_faults": {"most": 0}},
    }
    return msgspec.convert(plain, profile.Profile)


def _workspace(shape: Shape) -> dict[str, Any]:
    queue = {"target": "5m", "offer": {"timeout": "60s"}, "wrap_up": "0s"}
    rules = [
        {"name": f"r{n}", "when": f'contact.attributes.topic == "topic {n}"', "then": {"tier": 1}}
        for n in range(shape.rules)
    ]
    return {
        "queues": {"care": dict(queue), "nobody": dict(queue)},
        "entry_points": {
            "served": {"channel": "sms", "address": "+4930555200", "queue": "care"},
            "waiting": {"channel": "sms", "address": "+4930555201", "queue": "nobody"},
        },
        "profiles": {"care": {"care": 1}},
        "channels": {"sms": {"park_after": 0, "close_after": 0}},
        **({"rules": rules} if rules else {}),
    }


def solve(rows: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """Least squares by the normal equations, each run weighted by one over its value.

    Columns are scaled first: contacts and rules differ by powers of ten. Raises ValueError when the
    runs do not tell two factors apart.
    """
    width = len(rows[0])
    size = [max(abs(row[k]) for row in rows) or 1.0 for k in range(width)]
    scaled = [
        [cell / size[k] / value for k, cell in enumerate(row)]
        for row, value in zip(rows, values, strict=True)
    ]
    left = [[sum(r[i] * r[j] for r in scaled) for j in range(width)] for i in range(width)]
    right = [sum(r[i] for r in scaled) for i in range(width)]
    for k in range(width):
        at = max(range(k, width), key=lambda i: abs(left[i][k]))
        if abs(left[at][k]) < 1e-12:
            raise ValueError(f"the runs do not tell factor {k} from the others")
        left[k], left[at], right[k], right[at] = left[at], left[k], right[at], right[k]
        for i in range(k + 1, width):
            part = left[i][k] / left[k][k]
            left[i] = [a - part * b for a, b in zip(left[i], left[k], strict=True)]
            right[i] -= part * right[k]
    found = [0.0] * width
    for k in reversed(range(width)):
        rest = sum(left[k][j] * found[j] for j in range(k + 1, width))
        found[k] = (right[k] - rest) / left[k][k]
    return [factor / size[k] for k, factor in enumerate(found)]
