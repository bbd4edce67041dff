"""From candidates to ranked windows, and the choice of one.

The caller says which moments are allowed (consent, quiet hours, the ledger, opening hours: a mask
of endpoints by hours) and what each success is worth; nothing outside the mask is ever returned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from router.preference.calibration import Calibration
from router.preference.expectation import Scores
from router.preference.kernel import HOURS, Floats, Ints, sigmoid
from router.preference.prior import PriorTables
from router.preference.profile import Endpoint, Profile

MOST_EXPLORATION = 0.1
SPREAD_80 = 1.2816
"""Standard deviations to either side that hold 80 % of a normal."""


class Estimator(Protocol):
    """`Gpl` or `Ladder`."""

    def score(
        self,
        profile: Profile,
        tables: PriorTables,
        segment: int | None,
        endpoints: Sequence[Endpoint],
        slots: Ints,
        now_hour: int,
    ) -> Scores:
        """Score endpoints (rows) at hours of the week (columns)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What may be done: endpoints (rows) in the hours from `first_hour` on (columns)."""

    endpoints: Sequence[Endpoint]
    first_hour: int
    """Local wall hour of column 0."""
    allowed: NDArray[np.bool_]
    """Shape (endpoints, hours)."""
    segment: int | None = None
    value: float = 1.0
    """Of a success; cost and fatigue are in the same unit."""
    cost: Sequence[float] = ()
    """Of an attempt, per endpoint; empty is none."""
    fatigue: Sequence[float] = ()
    """What one more attempt wears out, per endpoint; empty is none."""


@dataclass(frozen=True, slots=True)
class Window:
    """An hour on an endpoint, and what is thought of it."""

    endpoint: Endpoint
    hour: int
    """Local wall hour in which it lies."""
    p: float
    """Probability of success as published."""
    low: float
    high: float
    """The published interval in which the true one lies with 80 %."""
    utility: float
    """p * value - cost - fatigue."""
    raw: float
    """The estimator's own p: what `Calibration.observe` is told."""
    prior_share: float
    """1: all from segment and population, 0: all from this customer's attempts."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The window that was taken, with what an honest log needs."""

    window: Window
    propensity: float
    """The probability with which this window was going to be chosen."""
    candidates: int
    explore: bool


class Ranking:
    """All allowed candidates of one request, scored; made by `rank`."""

    __slots__ = ("_calibration", "_columns", "_p", "_profile", "_request", "_scores", "_utility",
                 "candidates", "effective")  # fmt: skip

    def __init__(
        self,
        request: Request,
        scores: Scores,
        columns: Ints,
        calibration: Calibration | None,
        profile: Profile,
    ) -> None:
        self._profile = profile
        self._request = request
        self._scores = scores
        self._columns = columns
        self._calibration = calibration
        self._p = scores.p
        if calibration is not None:
            channel = np.array([endpoint.channel for endpoint in request.endpoints], np.intp)
            self._p = calibration.probability(channel, scores.p)
        worth = self._p * request.value
        worth -= _per_row(request.cost, request) + _per_row(request.fatigue, request)
        self._utility: Floats = np.where(request.allowed, worth[:, columns], -np.inf)
        self.candidates = int(np.count_nonzero(request.allowed))
        """How many windows are allowed."""
        self.effective = scores.effective
        """Attempts that count, weighted by age."""

    def best(self, limit: int = 8) -> list[Window]:
        """The best windows, best first; of equal ones the earlier, then the lesser endpoint.

        Of those that are as good as the first, the one that was tried most comes first: what worked
        at nine on Tuesdays is not asked for at eight because of a hair's breadth.
        """
        limit = min(limit, self.candidates)
        if limit <= 0:
            return []
        flat = self._utility.ravel()
        looked_at = min(max(limit, _AS_GOOD_MOST), self.candidates)
        if looked_at < flat.size:
            border = np.partition(flat, flat.size - looked_at)[flat.size - looked_at]
            places = np.flatnonzero(flat >= border - _TIE)
        else:
            places = np.arange(flat.size)
        row, column = np.divmod(places, len(self._columns))
        order = sorted(
            range(len(places)),
            key=lambda i: (
                -round(float(flat[places[i]]) / _TIE),
                int(column[i]),
                self._request.endpoints[int(row[i])],
            ),
        )
        found = [(int(row[i]), int(column[i])) for i in order]
        first = self._most_tried(found)
        if first:
            found.insert(0, found.pop(first))
        return [self.window(*place) for place in found[:limit]]

    def _most_tried(self, found: list[tuple[int, int]]) -> int:
        """Of the places as good as the first, which one was tried most, and often enough."""
        least = self._utility[found[0]] - _AS_GOOD * self._request.value
        best, most = 0, TRIED - 1
        for number, (row, column) in enumerate(found[:_AS_GOOD_MOST]):
            if self._utility[row, column] < least:
                break
            endpoint = self._request.endpoints[row]
            slot = (self._request.first_hour + column) % HOURS
            tried = self._profile.tried_at(endpoint, slot)
            if tried > most:
                best, most = number, tried
        return best

    def window(self, row: int, column: int) -> Window:
        """One candidate: an endpoint's index and an hour counted from the request's first."""
        request, at = self._request, int(self._columns[column])
        endpoint = request.endpoints[row]
        mean, variance = float(self._scores.mean[row, at]), float(self._scores.variance[row, at])
        if self._calibration is None:
            spread = SPREAD_80 * math.sqrt(variance)
            ends = mean - spread, mean + spread
        else:
            ends = self._calibration.interval(endpoint.channel, mean, variance, SPREAD_80)
        low, high = sigmoid(np.array(ends))
        return Window(
            endpoint=endpoint,
            hour=request.first_hour + column,
            p=float(self._p[row, at]),
            low=float(low),
            high=float(high),
            utility=float(self._utility[row, column]),
            raw=float(self._scores.p[row, at]),
            prior_share=float(self._scores.variance[row, at] / self._scores.unknown),
        )

    def choose(self, explore_share: float, draw: float) -> Choice:
        """Take the best window, or now and then any: `draw` in [0, 1) decides; 0 never explores.

        Raises ValueError when nothing is allowed, or for a share above a tenth.
        """
        if not 0.0 <= explore_share <= MOST_EXPLORATION or not 0.0 <= draw < 1.0:
            raise ValueError(
                f"exploration: a share up to {MOST_EXPLORATION} and a draw in [0, 1), "
                f"got {explore_share} and {draw}"
            )
        count = self.candidates
        if count == 0:
            raise ValueError("choice: at least one allowed window, got none")
        best = self.best(1)[0]
        if draw >= explore_share:
            return Choice(best, 1.0 - explore_share + explore_share / count, count, explore=False)
        places = np.flatnonzero(self._request.allowed.T)  # by hour: the same in any order of rows
        hour, row = divmod(
            int(places[int(draw / explore_share * count)]), len(self._request.endpoints)
        )
        taken = self.window(row, hour)
        propensity = explore_share / count
        if taken == best:
            propensity += 1.0 - explore_share
        return Choice(taken, propensity, count, explore=True)


_TIE = 1e-9
_AS_GOOD = 0.01
"""Probabilities so close are the same: far less than a hundred attempts tell apart."""
_AS_GOOD_MOST = 12
"""Windows that are compared for that."""
TRIED = 3
"""Attempts from which on an hour counts as tried."""


def rank(
    estimator: Estimator,
    profile: Profile,
    tables: PriorTables,
    request: Request,
    now_hour: int,
    calibration: Calibration | None = None,
) -> Ranking:
    """Score all that a request allows, as of a local wall hour.

    Raises ValueError when the mask does not fit the endpoints, or cost or fatigue does not.
    """
    if request.allowed.ndim != 2 or len(request.allowed) != len(request.endpoints):
        raise ValueError(
            f"allowed: one row for each of {len(request.endpoints)} endpoints, "
            f"got shape {request.allowed.shape}"
        )
    hours = request.first_hour + np.flatnonzero(request.allowed.any(axis=0))
    # Where nothing is allowed one column is scored all the same: shapes stay as they are.
    slots = np.unique(hours % HOURS) if hours.size else np.array([request.first_hour % HOURS])
    scores = estimator.score(profile, tables, request.segment, request.endpoints, slots, now_hour)
    every = (request.first_hour + np.arange(request.allowed.shape[1])) % HOURS
    columns = np.minimum(np.searchsorted(slots, every), max(len(slots) - 1, 0))
    return Ranking(request, scores, columns, calibration, profile)


def confidence(effective: float) -> str:
    """In a word, how much is known of a customer after so many (age-weighted) attempts."""
    if effective < 3:
        return "low"
    return "medium" if effective < 12 else "high"


def _per_row(values: Sequence[float], request: Request) -> Floats:
    if not values:
        return np.zeros((len(request.endpoints), 1))
    if len(values) != len(request.endpoints):
        raise ValueError(
            f"cost and fatigue: one for each of {len(request.endpoints)} endpoints, got {values}"
        )
    return np.array(values, float)[:, None]
