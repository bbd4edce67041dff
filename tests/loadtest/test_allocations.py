"""Allocations are counted by a library that knows nothing of Python: against a known number."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from loadtest.runs import allocations, conduct, judge, profile, run
from loadtest.runs.conduct import Outcome
from loadtest.runs.watch import Sample

OBJECTS = 50_000


@pytest.mark.skipif(shutil.which("cc") is None, reason="compiling needs a C compiler")
async def test_each_object_is_one_and_children_do_not_count(tmp_path: Path) -> None:
    counter = await allocations.counter(tmp_path)

    async def spent(objects: int, child: str = "") -> int:
        program = f"import subprocess, sys\nkept = [object() for _ in [0] * {objects}]\n{child}"
        (tmp_path / "counts").unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, env={**os.environ, **counter.environment}
        )
        assert await process.wait() == 0
        return counter.read()[0]

    few = await spent(0)
    many = await spent(OBJECTS)
    assert many - few == pytest.approx(OBJECTS, rel=0.02)
    child = f"subprocess.run([sys.executable, '-c', '[object() for _ in [0] * {OBJECTS}]'])"
    assert await spent(0, child) - few < OBJECTS / 2


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(shutil.which("cc") is None, reason="compiling needs a C compiler")
def test_a_short_day_counts_what_the_server_makes_for_a_contact() -> None:
    wanted, folder = run.read("freed", 4.0)
    found = run.count(conduct.grown(wanted, 0.3), folder)
    # A contact's life is some requests and frames, each of some hundred objects.
    assert 200 < found["allocations_per_contact"] < 50_000
    assert found["allocated_kb_per_contact"] > 1


async def test_without_a_compiler_the_words_say_what_brings_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(allocations.NotCounted, match="apt-get install gcc libc6-dev"):
        await allocations.counter(tmp_path)


def test_what_the_idle_server_makes_is_taken_off() -> None:
    wanted = profile.Profile(
        title="", router={}, phases=[profile.Phase(name="one", seconds=10)],
        customers=[profile.Customers(name="c", channel="chat", entry_point="site")],
        agents=[profile.Agents(name="a", profile="p", count=1)], expect={},
    )  # fmt: skip
    outcome = Outcome(wanted, idle=(100.0, 2_000.0))
    plain = {"cpu_s": 0.0, "rss": 0, "live": 0, "waiting": 0, "loop_lag_s": 0, "commits": 0,
             "commit_s": 0}  # fmt: skip
    outcome.samples = [
        Sample(at_s=0, allocations=5_000, allocated=10_000, **plain),
        Sample(at_s=10, allocations=56_000, allocated=1_030_000, **plain),
    ]
    outcome.measures.count("served", 50)
    assert judge.allocated(outcome) == {
        "allocations_per_contact": 1_000.0, "allocated_kb_per_contact": 20.0,
    }  # fmt: skip
    outcome.measures.counts.clear()
    outcome.measures.count("served", allocations.LEAST_SERVED - 1)
    assert judge.allocated(outcome) == {}, "too few to say anything"
