"""Ranked windows under a mask, the choice of one, and published probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.preference.calibration import Calibration
from router.preference.expectation import Scores
from router.preference.gpl import Gpl
from router.preference.ladder import Ladder
from router.preference.online import OnlineLogistic
from router.preference.outcomes import Outcome
from router.preference.prior import Prior
from router.preference.profile import Endpoint, Profile
from router.preference.windows import Ranking, Request, confidence, rank

NOW = 60_480  # a Monday, 00:00
VOICE, SMS = Endpoint(0, 1), Endpoint(1, 1)
TABLES = Prior(1, 2).tables()
GPL = Gpl()


def known() -> Profile:
    profile = Profile()
    for week in range(1, 6):
        profile.record_attempt(SMS, NOW - 168 * week + 33, Outcome.REPLIED)  # Tuesday at 9
        profile.record_attempt(VOICE, NOW - 168 * week + 12, Outcome.IGNORED)
    return profile


def ranking(allowed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], **wants: object) -> Ranking:
    request = Request([VOICE, SMS], NOW, allowed, 0, **wants)  # type: ignore[arg-type]
    return rank(GPL, known(), TABLES, request, NOW)


def everything(hours: int = 168) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.ones((2, hours), bool)


def test_the_learned_window_comes_first() -> None:
    best = ranking(everything()).best(3)
    assert (best[0].endpoint, best[0].hour) == (SMS, NOW + 33)
    assert best[0].p > best[1].p >= best[2].p
    assert best[0].low < best[0].p < best[0].high
    assert 0 < best[0].prior_share < 1


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.999))
def test_nothing_outside_the_mask_is_ever_given(seed: int, draw: float) -> None:
    rng = np.random.default_rng(seed)
    allowed = rng.random((2, int(rng.integers(1, 200)))) < 0.05
    found = ranking(allowed)
    assert found.candidates == allowed.sum()
    assert len(found.best(8)) == min(8, found.candidates)
    windows = found.best(500)
    assert len(windows) == found.candidates
    if found.candidates:
        windows.append(found.choose(0.1, draw).window)
    for window in windows:
        assert allowed[(VOICE, SMS).index(window.endpoint), window.hour - NOW]


def test_a_horizon_of_weeks_repeats_the_week_and_prefers_the_earlier() -> None:
    best = ranking(everything(400)).best(2)
    assert [window.hour for window in best] == [NOW + 33, NOW + 33 + 168]
    assert best[0].p == best[1].p


def test_cost_and_fatigue_count_against_an_endpoint() -> None:
    cheap = ranking(everything()).best(1)[0]
    assert cheap.endpoint == SMS
    dear = ranking(everything(), value=2.0, cost=[0.0, 1.9], fatigue=[0.0, 0.2]).best(1)[0]
    assert dear.endpoint == VOICE
    assert dear.utility == pytest.approx(2.0 * dear.p)
    with pytest.raises(ValueError, match="one for each of 2 endpoints"):
        ranking(everything(), cost=[1.0])


def test_the_order_of_endpoints_does_not_matter() -> None:
    stranger = Profile()
    first = Request([VOICE, SMS], NOW, everything(), 0)
    second = Request([SMS, VOICE], NOW, everything(), 0)
    one, two = (rank(GPL, stranger, TABLES, r, NOW).best(5) for r in (first, second))
    assert [(w.endpoint, w.hour) for w in one] == [(w.endpoint, w.hour) for w in two]


def test_exploration_takes_each_candidate_evenly_and_says_so() -> None:
    allowed = np.zeros((2, 168), bool)
    allowed[0, 9:12] = allowed[1, 33] = True
    found = ranking(allowed)
    greedy = found.choose(0.04, 0.04)
    assert not greedy.explore
    assert greedy.window.hour == NOW + 33
    assert greedy.propensity == pytest.approx(0.97)
    assert greedy.candidates == 4
    explored = [found.choose(0.04, (n + 0.5) / 100) for n in range(4)]
    assert all(choice.explore for choice in explored)
    assert [choice.window.hour - NOW for choice in explored] == [9, 10, 11, 33]
    assert [c.propensity for c in explored] == pytest.approx([0.01, 0.01, 0.01, 0.97])


def test_exploration_can_be_switched_off() -> None:
    found = ranking(everything())
    for draw in (0.0, 0.5, 0.999):
        choice = found.choose(0.0, draw)
        assert (choice.explore, choice.propensity) == (False, 1.0)
    with pytest.raises(ValueError, match=r"a share up to 0.1 and a draw in \[0, 1\)"):
        found.choose(0.5, 0.1)
    with pytest.raises(ValueError, match="at least one allowed window, got none"):
        ranking(np.zeros((2, 5), bool)).choose(0.0, 0.0)


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="one row for each of 2 endpoints"):
        ranking(np.ones((3, 5), bool))


def test_confidence_grows_with_attempts() -> None:
    assert [confidence(n) for n in (0, 2.9, 3, 11.9, 12)] == [
        "low",
        "low",
        "medium",
        "medium",
        "high",
    ]


def test_published_probabilities_come_to_what_happens() -> None:
    layer = Calibration(2)
    rng = np.random.default_rng(1)
    for _ in range(4000):
        layer.observe(0, 0.6, float(rng.random() < 0.3))
    published = layer.probability(np.array([0, 1]), np.array([[0.6], [0.6]]))
    assert published[0, 0] == pytest.approx(0.3, abs=0.03)
    assert published[1, 0] == pytest.approx(0.6)


def test_a_channel_that_dies_is_noticed_within_some_dozen_attempts() -> None:
    layer = Calibration(1)
    rng = np.random.default_rng(1)
    for _ in range(4000):
        layer.observe(0, 0.6, float(rng.random() < 0.6))
    for _ in range(60):
        layer.observe(0, 0.6, 0.0)
    assert layer.probability(np.array([0]), np.array([[0.6]]))[0, 0] < 0.2


def test_a_calibration_is_stored_and_read_again() -> None:
    layer = Calibration(2)
    for number in range(50):
        layer.observe(number % 2, 0.1 + 0.01 * number, float(number % 3 == 0))
    again = Calibration.decode(layer.encode())
    assert again.encode() == layer.encode()
    layer.observe(1, 0.4, 1.0)
    again.observe(1, 0.4, 1.0)
    assert again.encode() == layer.encode()
    with pytest.raises(ValueError, match="version 1 expected, got nothing"):
        Calibration.decode(b"")
    with pytest.raises(ValueError, match="bytes for 2 channels"):
        Calibration.decode(layer.encode() + b"x")


def test_one_step_of_the_online_regression_by_hand() -> None:
    model = OnlineLogistic(np.array([0.0]), np.array([4.0]), 1.0)
    model.learn(np.array([1.0]), 1.0)
    # p = 1/2, v = 1/4: gain 4 / (1 + 4/4) = 2, times the error of 1/2
    assert model.weights == pytest.approx([1.0])
    assert model.covariance == pytest.approx(np.array([[2.0]]))
    model.doubt(3.0)
    assert model.covariance == pytest.approx(np.array([[12.0]]))


def test_both_estimators_can_be_ranked() -> None:
    request = Request([VOICE, SMS], NOW, everything(), None)
    for model in (GPL, Ladder()):
        best = rank(model, known(), TABLES, request, NOW, Calibration(2)).best(1)[0]
        assert best.endpoint == SMS


class Told:
    """An estimator that says what it is told of the hours of a week, on each endpoint alike."""

    def __init__(self, p: dict[int, float]) -> None:
        self._p = p

    def score(
        self, profile: Profile, tables: object, segment: object, endpoints: list[Endpoint],
        slots: np.ndarray[tuple[int], np.dtype[np.int64]], now_hour: int,
    ) -> Scores:  # fmt: skip
        row = np.array([self._p.get(int(slot), 0.1) for slot in slots])
        p = np.repeat(row[None, :], len(endpoints), axis=0)
        return Scores(np.log(p / (1 - p)), np.full(p.shape, 0.5), p, 5.0, 1.0)


@pytest.mark.parametrize(
    ("eight", "attempts", "first"),
    [
        (0.608, 5, 33),  # as good: where it was tried
        (0.62, 5, 32),  # better
        (0.608, 2, 32),  # hardly tried
        (0.59, 0, 33),  # better anyway
    ],
)
def test_of_windows_as_good_as_each_other_the_tried_one_comes_first(
    eight: float, attempts: int, first: int
) -> None:
    profile = Profile()
    for week in range(1, attempts + 1):
        profile.record_attempt(SMS, NOW - 168 * week + 33, Outcome.REPLIED)
    profile.record_attempt(SMS, NOW - 168 * 9 + 32)  # nobody knows what became of it
    request = Request([SMS], NOW, everything()[:1], 0)
    found = rank(Told({32: eight, 33: 0.60}), profile, TABLES, request, NOW)  # type: ignore[arg-type]
    assert [found.best(n)[0].hour - NOW for n in (1, 2, 8)] == [first] * 3
    assert {window.hour - NOW for window in found.best(2)} == {32, 33}
    assert found.choose(0.0, 0.5).window.hour - NOW == first


def test_an_attempt_counts_for_its_address_whatever_its_rank() -> None:
    profile = known()
    assert profile.tried_at(SMS, 33) == 5
    assert profile.tried_at(SMS._replace(rank=3), 33) == 5
    assert profile.tried_at(SMS._replace(address=9), 33) == 0
    assert profile.tried_at(VOICE, 33) == 0
