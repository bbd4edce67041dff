"""The ladder: observed over expected attempts, from the customer down to a part of the day.

Simple enough to check by hand, and nearly as good as the kernel model: it is what remains when that
one is switched off. On each rung the odds are moved by l = log((O + k) / (E e^parents + k)), where
O are the successes, E what the prior expects of the same attempts, both fading, and k holds a
single attempt from deciding anything. This is an empirical-Bayes gamma-Poisson ratio per rung.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.preference import evidence
from router.preference.expectation import Expectation, Scores, averaged
from router.preference.kernel import HOURS, Floats, Ints, sigmoid
from router.preference.outcomes import OutcomeWeights
from router.preference.prior import PriorTables
from router.preference.profile import Endpoint, Profile

_HOUR = np.arange(HOURS) % 24
PART: Ints = np.where(
    np.arange(HOURS) < 120,
    (_HOUR >= 11).astype(int) + (_HOUR >= 14) + (_HOUR >= 17),
    4 + (_HOUR >= 14),
)
"""Part of the day of each hour of the week: four of a working day, two of a weekend's."""
PARTS = 6


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """Pulls of the three rungs in expected successes, and how fast attempts fade."""

    customer: float = 19.9
    endpoint: float = 1.66
    part: float = 0.72
    fade_days: float = 66.0
    gain: float = 1.2
    variance: float = 2.76
    """Of a logit of which nothing is known."""


class Ladder:
    """The estimator with its settings; holds nothing about anybody."""

    def __init__(
        self,
        settings: LadderSettings | None = None,
        weights: OutcomeWeights | None = None,
        expectation: Expectation | None = None,
    ) -> None:
        self.settings = settings or LadderSettings()
        self.weights = weights or OutcomeWeights()
        self.expectation = expectation or Expectation()

    def score(
        self,
        profile: Profile,
        tables: PriorTables,
        segment: int | None,
        endpoints: Sequence[Endpoint],
        slots: Ints,
        now_hour: int,
    ) -> Scores:
        """Score endpoints (rows) at hours of the week (columns), as of a local wall hour.

        The variance is that of a logit seen through so many attempts on the same endpoint.
        """
        wants = self.settings
        tried, came = evidence.read(profile, now_hour, self.weights)
        start = self.expectation.of(tried, came, tables, segment, endpoints)
        mean = start.at(slots)
        faded = np.exp(-tried.age_days / wants.fade_days) * tried.weight
        expected = faded * sigmoid(start.each())
        got = faded * tried.target
        known = [endpoint[:2] for endpoint in tried.endpoints]
        alike = [[endpoint[:2] == other for other in known] for endpoint in endpoints]
        same = np.array(alike, bool).reshape(len(endpoints), -1).take(tried.place, 1)
        step_c = _step(got.sum(), expected.sum(), 0.0, wants.customer)
        step_e = _step(same @ got, same @ expected, step_c, wants.endpoint)
        part = np.zeros((len(tried.slot), PARTS))
        part[np.arange(len(tried.slot)), PART[tried.slot]] = 1.0
        step_p = _step(
            (same * got) @ part,
            (same * expected) @ part,
            (step_c + step_e)[:, None],
            wants.part,
        )
        steps = (step_c + step_e)[:, None] + step_p[:, PART[slots]]
        mean = mean + wants.gain * steps
        p = sigmoid(mean)
        variance = 1.0 / (1.0 / wants.variance + (same @ faded)[:, None] * p * (1.0 - p))
        return Scores(mean, variance, averaged(mean, variance), float(faded.sum()), wants.variance)


def _step(got: Floats, expected: Floats, parents: float | Floats, pull: float) -> Floats:
    """How far a rung moves the odds."""
    return np.asarray(np.log((got + pull) / (expected * np.exp(parents) + pull)))
