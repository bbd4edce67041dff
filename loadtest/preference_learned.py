"""The estimators of `router.preference` as policies of the benchmark."""

from __future__ import annotations

import numpy as np

from loadtest.preference_trial import Choice, Known, Question
from router.preference.calibration import Calibration
from router.preference.outcomes import Outcome
from router.preference.prior import Prior, PriorTables
from router.preference.profile import Endpoint, Profile
from router.preference.windows import Estimator, Ranking, Request, rank

START = 2 * 168 * 150
"""Wall hour at which the benchmark begins: a Monday of an even week."""


def prior_of(known: Known) -> Prior:
    """What the tenant's log says of strangers."""
    prior = Prior(known.segments, len(known.channels))
    for row in known.log:
        prior.observe(
            row.segment,
            row.channel,
            row.rank,
            START + row.hour,
            float(row.success),
            propensity=row.propensity,
            candidates=row.candidates,
        )
    for channel, hour in known.inbound:
        prior.observe_inbound(channel, START + hour)
    return prior


class Learned:
    """A profile for each customer, one prior and one calibration for the tenant."""

    def __init__(
        self,
        known: Known,
        people: int,
        estimator: Estimator,
        tables: PriorTables,
        explore: np.random.Generator | None = None,
    ) -> None:
        """`explore`: with these random numbers 4 % of the choices are any window."""
        self.profiles = [Profile() for _ in range(people)]
        self.tables = tables
        self.calibration = Calibration(len(known.channels))
        self._estimator = estimator
        self._explore = explore
        self._ranking: Ranking | None = None
        self._raw: dict[int, float] = {}

    def decide(self, question: Question) -> Choice:
        """Ask for a ranking and take the best, or explore."""
        endpoints = [Endpoint(*endpoint) for endpoint in question.endpoints]
        request = Request(
            endpoints, START + int(question.hours[0]), question.allowed, question.segment
        )
        ranking = rank(
            self._estimator,
            self.profiles[question.person],
            self.tables,
            request,
            START + question.now,
            self.calibration,
        )
        self._ranking = ranking
        if self._explore is None:
            choice = ranking.choose(0.0, 0.0)
        else:
            choice = ranking.choose(0.04, float(self._explore.random()))
        window = choice.window
        self._raw[question.person] = window.raw
        return Choice(
            endpoints.index(window.endpoint),
            window.hour - request.first_hour,
            window.p,
            window.low,
            window.high,
            choice.propensity,
            choice.explore,
        )

    def opinion(self, endpoint: int, column: int) -> tuple[float, float, float]:
        """Probability and interval of any candidate of the last question."""
        assert self._ranking is not None
        window = self._ranking.window(endpoint, column)
        return window.p, window.low, window.high

    def hear(self, question: Question, choice: Choice, success: bool) -> None:
        """Remember an outcome, and hold the prediction against it."""
        endpoint = Endpoint(*question.endpoints[choice.endpoint])
        hour = START + int(question.hours[choice.column])
        outcome = Outcome.REPLIED if success else Outcome.IGNORED
        self.profiles[question.person].record_attempt(
            endpoint, hour, outcome, explore=choice.explore
        )
        raw = self._raw[question.person]
        self.calibration.observe(endpoint.channel, raw, float(success))

    def inbound(self, person: int, endpoint: tuple[int, int, int], hour: int) -> None:
        """Remember that the customer came to us."""
        self.profiles[person].record_inbound(Endpoint(*endpoint), START + hour)
