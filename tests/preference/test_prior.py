"""The prior of a tenant, against its formulas written out slowly."""

from __future__ import annotations

import math

import numpy as np
import pytest

from router.preference.kernel import HOURS, hour_kernel
from router.preference.prior import Prior, PriorSettings, PriorTables

HOUR = 60_480  # a Monday, 00:00
NINE = HOUR + 9


def slow_like(one: int, two: int) -> float:
    chord = 24 / math.pi * abs(math.sin(math.pi * (one - two) / 24))
    share = 0.15 + 0.45 * ((one >= 120) == (two >= 120)) + 0.40 * (one // 24 == two // 24)
    return math.exp(-(chord**2) / (2 * 1.2**2)) * share


def slow_rate(
    attempts: list[tuple[int, int, int, float, float]], segment: int, channel: int, slot: int
) -> float:
    """Section by section as the prior's description has it; (segment, channel, slot, y, weight)."""
    wants = PriorSettings()
    mean = (sum(y * w for *_, y, w in attempts) + 0.5) / (sum(w for *_, w in attempts) + 2)
    of_channel = [a for a in attempts if a[1] == channel]
    r = (sum(y * w for *_, y, w in of_channel) + wants.rate * mean) / (
        sum(w for *_, w in of_channel) + wants.rate
    )

    def of_all(at: int) -> float:
        up = sum(slow_like(s, at) * y * w for _, _, s, y, w in of_channel)
        down = sum(slow_like(s, at) * w for _, _, s, _, w in of_channel)
        return (up + wants.hour * r) / (down + wants.hour)

    own = [a for a in of_channel if a[0] == segment]
    got = sum(y * w for *_, y, w in own)
    expected = sum(w * of_all(s) for _, _, s, _, w in own)
    factor = (got + wants.segment * r) / (expected + wants.segment * r)
    base = of_all(slot) * factor / (1 - of_all(slot) + of_all(slot) * factor)
    up = sum(slow_like(s, slot) * y * w for _, _, s, y, w in own)
    down = sum(slow_like(s, slot) * w for _, _, s, _, w in own)
    return (up + wants.segment_hour * base) / (down + wants.segment_hour)


def some_attempts() -> list[tuple[int, int, int, float, float]]:
    rng = np.random.default_rng(3)
    return [
        (int(rng.integers(3)), int(rng.integers(2)), int(rng.integers(HOURS)), float(y), 1.0)
        for y in rng.random(300) < 0.3
    ]


def test_the_rates_are_those_of_the_written_out_formula() -> None:
    attempts = some_attempts()
    prior = Prior(3, 2, PriorSettings(fade_days=1e9))
    for segment, channel, slot, y, _ in attempts:
        prior.observe(segment, channel, 0, HOUR + slot, y)
    tables = prior.tables()
    for segment, channel, slot in ((0, 0, 9), (1, 1, 33), (2, 0, 130), (2, 1, 167)):
        wanted = slow_rate(attempts, segment, channel, slot)
        assert tables.rate[segment, channel, slot] == pytest.approx(wanted, abs=1e-6)


def test_an_unlikely_choice_weighs_more_up_to_a_cap() -> None:
    def rate(propensity: float, candidates: int) -> float:
        prior = Prior(1, 1)
        prior.observe(0, 0, 0, NINE, 1.0, propensity=propensity, candidates=candidates)
        return float(prior.tables().rate[0, 0, 9])

    def weighted(weight: float) -> float:
        prior = Prior(1, 1)
        prior.observe(0, 0, 0, NINE, 1.0, weight=weight)
        return float(prior.tables().rate[0, 0, 9])

    assert rate(1 / 50, 50) == pytest.approx(weighted(1.0))
    assert rate(1 / 500, 50) == pytest.approx(weighted(10.0))
    assert rate(1e-9, 50) == pytest.approx(weighted(20.0))


@pytest.mark.parametrize(("propensity", "candidates"), [(0.0, 5), (1.1, 5), (0.5, 0)])
def test_an_impossible_propensity_is_refused(propensity: float, candidates: int) -> None:
    with pytest.raises(ValueError, match="propensity above 0 up to 1"):
        Prior(1, 1).observe(0, 0, 0, HOUR, 1.0, propensity=propensity, candidates=candidates)


def test_an_informed_log_is_set_right_by_its_propensities() -> None:
    """Agents call at 9, where 8 of 10 answer, and rarely at 15, where 2 of 10 do."""
    weighted, naive = Prior(1, 1), Prior(1, 1)
    for number in range(2000):
        good = number % 20 != 0
        y = float(number % 10 < 8) if good else float(number % 200 < 40)
        hour = NINE if good else NINE + 6
        weighted.observe(0, 0, 0, hour, y, propensity=0.95 if good else 0.05, candidates=2)
        naive.observe(0, 0, 0, hour, y)
    # 0.2 of the few afternoon attempts and 0.8 of the many mornings were answered
    assert naive.tables().base == pytest.approx(math.log(0.769 / 0.231), abs=0.1)
    assert weighted.tables().base == pytest.approx(0.0, abs=0.15)


def test_older_attempts_fade_and_the_order_of_counting_does_not_matter() -> None:
    days = [0, 40, 80, 400, 3000]
    forwards, backwards = Prior(1, 1), Prior(1, 1)
    for prior, order in ((forwards, days), (backwards, days[::-1])):
        for day in order:
            prior.observe(0, 0, 0, NINE + 24 * day, float(day == 0))
    one, two = forwards.tables(), backwards.tables()
    assert one.rate == pytest.approx(two.rate, abs=1e-9)
    fresh = Prior(1, 1)
    fresh.observe(0, 0, 0, NINE, 1.0)
    assert one.rate[0, 0, 9] < fresh.tables().rate[0, 0, 9]


def test_later_addresses_are_set_off_against_the_primary_one() -> None:
    prior = Prior(1, 1)
    for number in range(400):
        prior.observe(0, 0, 0, NINE, float(number % 2))
        prior.observe(0, 0, 1, NINE, float(number % 10 == 0))
    rank = prior.tables().rank[0]
    assert rank[0] > 0 > rank[1]
    assert rank[1] == pytest.approx(math.log(0.1 / 0.9) - math.log(0.3 / 0.7), abs=0.15)
    assert set(rank[2:].tolist()) == {rank[2]}


def test_a_segment_that_is_not_known_has_the_rates_of_all() -> None:
    prior = Prior(2, 1)
    for number in range(300):
        prior.observe(number % 2, 0, 0, NINE, float(number % 2))
        prior.observe(None, 0, 0, NINE, 1.0)
    tables = prior.tables()
    assert tables.segment(None) == tables.segment(7) == tables.segment(-1) == 2
    assert tables.rate[0, 0, 9] < tables.rate[1, 0, 9]
    assert tables.rate[2, 0, 9] == pytest.approx(0.75, abs=0.02)


def test_inbound_profiles_sum_to_one() -> None:
    prior = Prior(1, 2)
    for day in range(50):
        prior.observe_inbound(1, NINE + 24 * day)
    tables: PriorTables = prior.tables()
    assert tables.inbound_hour.sum() == pytest.approx(1.0)
    assert tables.inbound_channel.sum() == pytest.approx(1.0)
    assert tables.inbound_channel[1] > tables.inbound_channel[0]
    assert tables.inbound_hour[9] > 3 * tables.inbound_hour[15]


def test_what_is_stored_is_read_again() -> None:
    prior = Prior(3, 2)
    for segment, channel, slot, y, _ in some_attempts():
        prior.observe(segment, channel, slot % 3, HOUR + slot, y)
        prior.observe_inbound(channel, HOUR + slot)
    again = Prior.decode(prior.encode())
    assert again.encode() == prior.encode()
    assert (again.tables().level == prior.tables().level).all()
    with pytest.raises(ValueError, match="version 1 expected, got nothing"):
        Prior.decode(b"")
    with pytest.raises(ValueError, match=r"bytes for 4 segments, got"):
        Prior.decode(prior.encode()[:-1])


def test_the_kernel_of_hours_is_positive_definite() -> None:
    for scale in (0.5, 2.0, 4.0):
        like = hour_kernel(scale, 0.3, 0.12)
        assert np.diag(like) == pytest.approx(1.0)
        assert np.linalg.eigvalsh(like).min() > -1e-9
