"""What a load test found: a table for people, JSON for machines, a target met or missed."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Line:
    """One figure."""

    name: str
    value: float
    unit: str
    target: str = ""
    passed: bool | None = None
    """None: only reported."""
    note: str = ""


@dataclass
class Report:
    """All figures of one run."""

    title: str
    lines: list[Line] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        least: float | None = None,
        most: float | None = None,
        note: str = "",
    ) -> None:
        """A figure; with `least` or `most` it can miss."""
        if least is not None:
            line = Line(name, value, unit, f">= {least:g} {unit}", value >= least, note)
        elif most is not None:
            line = Line(name, value, unit, f"<= {most:.4g} {unit}", value <= most, note)
        else:
            line = Line(name, value, unit, note=note)
        self.lines.append(line)

    @property
    def passed(self) -> bool:
        """No target was missed."""
        return all(line.passed is not False for line in self.lines)

    def text(self) -> str:
        """The table."""
        width = max((len(line.name) for line in self.lines), default=10)
        rows = [self.title, "-" * len(self.title)]
        for line in self.lines:
            verdict = {True: "pass", False: "MISS", None: ""}[line.passed]
            row = f"{line.name:{width}}  {_figure(line.value):>10} {line.unit:12} "
            rows.append(f"{row} {verdict:5} {line.target:22} {line.note}".rstrip())
        return "\n".join(rows)

    def show(self, file: Path | None) -> None:
        """Print it, and write it as JSON."""
        print(self.text(), flush=True)
        if file is not None:
            whole = asdict(self) | {"passed": self.passed}
            file.write_text(json.dumps(whole, indent=1) + "\n")


def progress(text: str) -> None:
    """How far it is: not part of the report."""
    print(f"… {text}", file=sys.stderr, flush=True)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _figure(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
