"""Two builds under the same day, in turn: is one better, and by how much?

Runs alternate (A B, B A, A B ...), so that a machine that warms up or is busy with something else
treats both alike; figures are compared within each pair.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.report import Report, progress
from loadtest.runs import run

ROOT = Path(__file__).parents[2]
FIGURES = ("cpu_us_per_contact", "durable_p50_ms", "durable_p99_ms", "offer_p50_ms", "offer_p99_ms",
           "accept_p50_ms", "accept_p99_ms", "complete_p99_ms", "rss_mb", "served")  # fmt: skip
ALWAYS = ("audit_faults", "unanswered", "desk_shed", "wrong_answers", "client_errors")


@contextmanager
def tree(name: str) -> Iterator[Path]:
    """The source tree of a build: a directory, or a git reference checked out for the while."""
    if Path(name).is_dir():
        yield Path(name).resolve()
        return
    place = Path(tempfile.mkdtemp(prefix="lt-tree-")) / "tree"
    made = subprocess.run(
        ["git", "worktree", "add", "--detach", str(place), name],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        if made.returncode != 0:
            raise RuntimeError(f"{name}: neither a directory nor a git reference: {made.stderr}")
        yield place
    finally:
        subprocess.run(
            ["git", "worktree", "remove", "--force", str(place)],
            cwd=ROOT, capture_output=True, check=False,
        )  # fmt: skip
        shutil.rmtree(place.parent, ignore_errors=True)


def pairs(name: str, a: str, b: str, *, seconds: float, count: int, most: float) -> Report:
    """Run `count` pairs. `most`: B's processor time for a contact, as a multiple of A's."""
    profile, folder = run.read(name, seconds)
    profile.calibrate_s = 0.0
    found: dict[str, list[tuple[float, float]]] = {figure: [] for figure in FIGURES}
    wrong = dict.fromkeys("AB", 0.0)
    with tree(a) as root_a, tree(b) as root_b:
        roots = {"A": root_a, "B": root_b}
        for number in range(count):
            figures: dict[str, dict[str, float]] = {}
            for side in "AB" if number % 2 == 0 else "BA":
                progress(f"pair {number + 1} of {count}: {side}")
                figures[side] = run.run(profile, folder, roots[side]).figures
                wrong[side] += sum(figures[side].get(figure, 0.0) for figure in ALWAYS)
            for figure in FIGURES:
                one, other = figures["A"].get(figure), figures["B"].get(figure)
                if one and other:
                    found[figure].append((one, other))
    report = Report(f"{profile.title}: B ({b}) against A ({a}), {count} pairs")
    for figure, both in found.items():
        if not both:
            continue
        ratios = sorted(other / one for one, other in both)
        note = (
            f"A {statistics.median(one for one, _ in both):.1f}, "
            f"B {statistics.median(other for _, other in both):.1f}; "
            f"pairs {ratios[0]:.2f} to {ratios[-1]:.2f}"
        )
        limit = most if figure == "cpu_us_per_contact" else None
        report.add(figure, statistics.median(ratios), "B / A", most=limit, note=note)
    for side, count_wrong in wrong.items():
        report.add(f"{side}: lost, doubled, unanswered", count_wrong, "", most=0)
    return report
