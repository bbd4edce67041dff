"""Policies to compare with: what a dialler, a mailing tool or a clairvoyant would do.

They count for themselves: nothing here comes from the router.
"""

from __future__ import annotations

import numpy as np

from loadtest.preference_population import WEEK, Floats
from loadtest.preference_trial import Choice, Known, Question

_SLOT = np.arange(WEEK)
_APART = np.abs((_SLOT[:, None] - _SLOT[None, :] + 12) % 24 - 12)
_SAME_TYPE = (_SLOT[:, None] >= 120) == (_SLOT[None, :] >= 120)
_NEAR: Floats = np.exp(-(_APART**2) / (2 * 1.5**2)) * np.where(_SAME_TYPE, 1.0, 0.2)


def _best(question: Question, worth: Floats, rng: np.random.Generator) -> Choice:
    """The allowed candidate of the greatest worth; of equal ones any."""
    worth = np.where(question.allowed, worth, -np.inf)
    places = np.flatnonzero(worth.ravel() == worth.max())
    endpoint, column = divmod(int(rng.choice(places)), worth.shape[1])
    return Choice(endpoint, column)


class Oracle:
    """Knows the truth."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def decide(self, question: Question) -> Choice:
        """The best there is."""
        return _best(question, question.truth, self._rng)

    def hear(self, question: Question, choice: Choice, success: bool) -> None:
        """Learns nothing."""

    def inbound(self, person: int, endpoint: tuple[int, int, int], hour: int) -> None:
        """Learns nothing."""


class Random(Oracle):
    """Tries anything."""

    def decide(self, question: Question) -> Choice:
        """Any candidate."""
        return _best(question, np.zeros(question.allowed.shape), self._rng)


class BestSlot(Oracle):
    """The hour and channel that work best for everybody, or for the customer's segment, on the
    primary address: smoothed rates of the log, attempts weighted against their propensity."""

    def __init__(self, known: Known, rng: np.random.Generator, *, by_segment: bool) -> None:
        super().__init__(rng)
        n = np.zeros((known.segments + 1, len(known.channels), WEEK))
        s = np.zeros_like(n)
        for row in known.log:
            weight = min(1 / (row.propensity * row.candidates), 20.0)
            segment = known.segments if row.segment is None else row.segment
            n[segment, row.channel, row.hour % WEEK] += weight
            s[segment, row.channel, row.hour % WEEK] += weight * row.success
        n, s = n @ _NEAR, s @ _NEAR
        overall = s.sum() / n.sum()
        everybody = (s.sum(axis=0) + 30 * overall) / (n.sum(axis=0) + 30)
        self._rate = (s + 60 * everybody) / (n + 60)
        self._rate[-1] = everybody
        self._by_segment = by_segment

    def decide(self, question: Question) -> Choice:
        """The best slot of the table."""
        row = question.segment if self._by_segment and question.segment is not None else -1
        channel = np.array([c for c, _, _ in question.endpoints])
        rank = np.array([r for _, _, r in question.endpoints])
        worth = self._rate[row, channel][:, question.hours % WEEK] - (rank > 0)[:, None]
        return _best(question, worth, self._rng)


class Counts(Oracle):
    """Successes over attempts of each endpoint and hour of the week; where there are none, the
    customer's own rate."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self._n: dict[tuple[int, int, int, int], int] = {}
        self._s: dict[tuple[int, int, int, int], int] = {}
        self._own: dict[int, tuple[int, int]] = {}

    def decide(self, question: Question) -> Choice:
        """The best rate seen."""
        s, n = self._own.get(question.person, (0, 0))
        worth = np.full(question.allowed.shape, s / n if n else 0.0)
        slots = question.hours % WEEK
        for place, (channel, address, _) in enumerate(question.endpoints):
            for column, slot in enumerate(slots):
                key = question.person, channel, address, int(slot)
                if tried := self._n.get(key):
                    worth[place, column] = self._s[key] / tried
        return _best(question, worth, self._rng)

    def hear(self, question: Question, choice: Choice, success: bool) -> None:
        """Count."""
        channel, address, _ = question.endpoints[choice.endpoint]
        slot = int(question.hours[choice.column]) % WEEK
        key = question.person, channel, address, slot
        self._n[key] = self._n.get(key, 0) + 1
        self._s[key] = self._s.get(key, 0) + success
        s, n = self._own.get(question.person, (0, 0))
        self._own[question.person] = s + success, n + 1


class Histogram(Oracle):
    """What most send-time products describe: the density of a customer's successes over the week,
    times the share of the channel and address among them; inbound contacts are successes too."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self._density: dict[int, Floats] = {}
        self._by_endpoint: dict[tuple[int, int, int], float] = {}

    def decide(self, question: Question) -> Choice:
        """The densest hour on the endpoint with most successes."""
        density = self._density.get(question.person)
        hours = np.ones(WEEK) if density is None else 0.1 + density
        share = np.array(
            [0.5 + self._by_endpoint.get((question.person, c, a), 0.0)
             for c, a, _ in question.endpoints]
        )  # fmt: skip
        worth = share[:, None] * hours[question.hours % WEEK]
        return _best(question, worth, self._rng)

    def hear(self, question: Question, choice: Choice, success: bool) -> None:
        """Count a success."""
        if success:
            hour = int(question.hours[choice.column])
            self.inbound(question.person, question.endpoints[choice.endpoint], hour)

    def inbound(self, person: int, endpoint: tuple[int, int, int], hour: int) -> None:
        """Count a contact that the customer began."""
        known = self._density.setdefault(person, np.zeros(WEEK))
        known += _NEAR[hour % WEEK]
        key = person, endpoint[0], endpoint[1]
        self._by_endpoint[key] = self._by_endpoint.get(key, 0.0) + 1.0
