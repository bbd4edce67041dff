"""The simulator: 2,000 seeds with faults are clean, planted bugs are not, and a seed is a seed."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from router.core import call_events, customer_events
from router.core.events import Event
from router.testing import soak
from router.testing.plants import PLANTS, hunt
from router.testing.simulator import Report, run

ROOT = Path(__file__).parent.parent.parent
QUICK = range(1, 61)
SEEDS = range(61, 2_001)
STRETCH = 97
MOST_SEEDS = 60
"""Seeds within which each planted bug must be found."""


def broken(seeds: range) -> list[Report]:
    return [report for report in map(run, seeds) if not report.is_clean]


@cache
def quick() -> list[Report]:
    return [run(seed) for seed in QUICK]


def test_sixty_seeds_are_clean() -> None:
    found = [report for report in quick() if not report.is_clean]
    assert not found, "\n\n".join(map(str, found[:3]))


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", range(SEEDS.start, SEEDS.stop, STRETCH))
def test_two_thousand_seeds_are_clean(first: int) -> None:
    found = broken(range(first, min(first + STRETCH, SEEDS.stop)))
    assert not found, "\n\n".join(map(str, found[:3]))


def test_the_seeds_reach_every_kind_of_event_that_a_day_has() -> None:
    seen = {kind for report in quick() for kind in report.events}
    rare = {"ReservationMoved", "CommandDeadLettered"}
    # Rows of customers are the runtime's: the simulator has the engine alone. Calls: test_calls.py.
    apart = (customer_events.__name__, call_events.__name__)
    rare |= {kind.__name__ for kind in get_args(Event) if kind.__module__ in apart}
    missing = {kind.__name__ for kind in get_args(Event)} - seen - rare
    assert not missing, f"never seen: {sorted(missing)}"


def test_most_commands_meet_something_they_can_change() -> None:
    asked = sum(sum(report.commands.values()) for report in quick())
    refused = sum(sum(report.refused.values()) for report in quick())
    assert refused < asked / 6


def test_one_seed_gives_the_same_bytes_under_every_hash_seed() -> None:
    command = [sys.executable, "-m", "router.testing.simulator", "--seed", "3", "--count", "8"]
    digests = []
    for hash_seed in ("0", "1", "4242"):
        done = subprocess.run(
            [*command, "--digest"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        digests.append(done.stdout)
    assert len(digests[0].splitlines()) == 9
    assert digests[0] == digests[1] == digests[2]


def test_a_failure_says_how_to_repeat_it() -> None:
    with PLANTS["level off by one"]():
        report = next(r for r in map(run, range(1, MOST_SEEDS)) if not r.is_clean)
        again = run(report.seed)
    assert f"python -m router.testing.simulator --seed {report.seed}" in str(report)
    assert str(again) == str(report)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    assert hunt(name, MOST_SEEDS) is not None, f"{name}: not seen in {MOST_SEEDS} seeds"


def test_there_are_plants_enough() -> None:
    assert len(PLANTS) >= 12


def test_a_plant_leaves_no_trace() -> None:
    before = run(5).digest
    for make in PLANTS.values():
        with make():
            pass
    assert run(5).digest == before


@pytest.mark.slow
def test_an_hour_at_a_steady_rate_leaves_nothing_behind() -> None:
    report = soak.soak(hours=0.25, rate=4.0, seed=7)
    last = report.samples[-1]
    assert report.violations == []
    assert sum(report.outcomes.values()) >= report.contacts > 3_000
    assert (last.contacts, last.reservations, last.timers, last.waiting) == (0, 0, 0, 0)
