"""Histograms against sorted values."""

from __future__ import annotations

import random

import pytest

from loadtest.runs.histogram import Histogram, merged


def drawn(seed: int, count: int) -> list[float]:
    rng = random.Random(seed)
    return [rng.lognormvariate(-6, 2) for _ in range(count)]


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_percentiles_are_within_a_hundredth_of_the_sorted_value(share: float) -> None:
    values = drawn(1, 20_000)
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    rank = min(len(values) - 1, max(0, round(share * len(values)) - 1))
    truth = sorted(values)[rank]
    assert histogram.percentile(share) == pytest.approx(truth, rel=0.01, abs=1.5e-6)
    assert histogram.mean_s == pytest.approx(sum(values) / len(values), rel=0.01)


def test_the_whole_of_two_is_what_one_would_have_counted() -> None:
    parts, whole = [Histogram(), Histogram()], Histogram()
    for number, value in enumerate(drawn(2, 5_000)):
        parts[number % 2].record(value)
        whole.record(value)
    again = merged(Histogram.of(part.plain()) for part in parts)
    assert again.plain() == whole.plain()
    assert again.count == 5_000


def test_nothing_counted_has_no_percentile_and_negative_lengths_count_as_none() -> None:
    histogram = Histogram()
    assert histogram.percentile(0.99) == 0.0
    histogram.record(-1.0)
    assert histogram.percentile(1.0) == 0.0
    assert histogram.count == 1
