"""The knee is the largest centre that was carried, and is marked where it stands."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from loadtest.runs import knee, plot, run


def step(factor: float, *, late_ms: float = 10.0, shed: float = 0.0) -> knee.Step:
    profile, _ = run.read("mixed-channels")
    seconds = profile.seconds
    figures: dict[str, Any] = {
        "due": 100 * factor * seconds, "served": 99 * factor * seconds, "served_share": 1.0,
        "durable_p99_ms": late_ms, "accept_p99_ms": 5.0, "shed": shed,
    }  # fmt: skip
    result = SimpleNamespace(figures=figures, outcome=SimpleNamespace(profile=profile))
    return knee.Step(factor, cast("run.Result", result))


def test_the_knee_is_named_and_marked(tmp_path: Path) -> None:
    steps = [step(1.0), step(3.0, late_ms=400.0), step(2.0), step(2.5, shed=3.0)]
    assert [each.carried for each in steps] == [True, False, True, False]
    report = knee._report("A centre", steps)
    assert (report.lines[-1].name, round(report.lines[-1].value)) == ("knee", 200)
    knee._write(tmp_path / "knee", "A centre", steps)
    page = (tmp_path / "knee.html").read_text()
    assert page.count(">the knee</text>") == 3, "in each of the plots"
    rows = json.loads((tmp_path / "knee.json").read_text())
    assert [row["carried"] for row in rows] == [True, True, False, False]


def test_without_one_that_was_carried_nothing_is_marked(tmp_path: Path) -> None:
    steps = [step(1.0, late_ms=900.0)]
    assert not knee._report("A centre", steps).passed
    knee._write(tmp_path / "knee", "A centre", steps)
    assert "the knee</text>" not in (tmp_path / "knee.html").read_text()


def test_a_line_of_hours_keeps_its_peaks_and_stays_small() -> None:
    points = [(float(at), 900.0 if at == 1234 else 1.0) for at in range(10_000)]
    thinned = plot._thinned(points)
    assert len(thinned) <= plot.MOST
    assert max(y for _, y in thinned) == 900.0
    assert plot._thinned(points[:100]) == points[:100]
