"""Arrivals: as many and as irregular as Poisson says, whatever the server does."""

from __future__ import annotations

import random
import statistics
from itertools import pairwise
from pathlib import Path

import pytest

from loadtest.runs.arrivals import moments, recorded
from loadtest.runs.profile import Burst, Phase


def test_the_gaps_of_a_steady_rate_are_exponential() -> None:
    found = list(moments([Phase(name="a", seconds=200, rate=100)], random.Random(1)))
    gaps = [b - a for a, b in pairwise(found)]
    assert len(found) == pytest.approx(20_000, rel=0.03)
    assert statistics.fmean(gaps) == pytest.approx(0.01, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(0.01, rel=0.05)
    assert found == sorted(found)


def test_a_rising_rate_brings_three_quarters_in_the_second_half() -> None:
    found = list(moments([Phase(name="a", seconds=100, rate=0, to=200)], random.Random(2)))
    assert len(found) == pytest.approx(10_000, rel=0.05)
    assert sum(at > 50 for at in found) / len(found) == pytest.approx(0.75, abs=0.02)


def test_the_parts_of_several_processes_make_the_whole() -> None:
    phases = [Phase(name="a", seconds=50, rate=100), Phase(name="b", seconds=50, rate=300)]
    parts = [list(moments(phases, random.Random(seed), 1 / 4)) for seed in range(4)]
    whole = sorted(at for part in parts for at in part)
    assert sum(at < 50 for at in whole) == pytest.approx(5_000, rel=0.06)
    assert sum(at >= 50 for at in whole) == pytest.approx(15_000, rel=0.06)


def test_a_burst_comes_together_on_top_of_the_rest() -> None:
    phase = Phase(name="a", seconds=10, rate=0, burst=Burst(every_s=5, size=40, within_s=0.1))
    found = list(moments([phase], random.Random(3)))
    assert len(found) == 80
    assert all(5 <= at <= 5.1 for at in found[:40])
    assert all(at == 10 for at in found[40:])


def test_a_trace_is_dealt_out_in_turn_and_a_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text("# seconds\n100.0\n100.5,sms\n101.0, voice # a remark\n\n103.0\n")
    assert recorded(file, 0, 2) == [(0.0, ""), (1.0, "voice")]
    assert recorded(file, 1, 2) == [(0.5, "sms"), (3.0, "")]
    assert recorded(file, 1, 2, speed=5.0) == [(0.1, "sms"), (0.6, "")]
    file.write_text("1\n2\nsoon\n")
    with pytest.raises(ValueError, match=r"trace:3: expected seconds, got 'soon'"):
        recorded(file, 0, 1)
    file.write_text("2\n1\n")
    with pytest.raises(ValueError, match=r"trace:2: 1 comes before"):
        recorded(file, 0, 1)
