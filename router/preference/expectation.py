"""What an estimator starts from: the prior of the segment, bent by inbound contacts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from router.preference import archive
from router.preference.evidence import Events, Visits
from router.preference.kernel import HOURS, Floats, Ints, week_kernel
from router.preference.prior import PriorTables
from router.preference.profile import Endpoint

_CHANNELS = 16
_BLOCKS: Floats = archive.averages().T


@dataclass(frozen=True, slots=True)
class ExpectationSettings:
    """How much of the prior is believed, and how much inbound contacts say."""

    prior_share: float = 1.0
    """How much of the prior's deviation from the tenant's mean is believed."""
    scales_h: tuple[tuple[float, float], ...] = ((1.0, 2.0),)
    same_type: float = 0.30
    same_day: float = 0.12
    fade_days: float = 150.0
    hour: float = 1.2
    hour_pull: float = 4.0
    channel: float = 1.0
    channel_pull: float = 4.0
    address: float = 0.65
    address_pull: float = 2.5


class Scores(NamedTuple):
    """What is thought of each endpoint at each hour of the week; arrays of one shape."""

    mean: Floats
    """Logit."""
    variance: Floats
    p: Floats
    """Probability of success, with the uncertainty of the logit averaged out."""
    effective: float
    """Attempts that count, weighted by age."""
    unknown: float
    """The variance of one of which nothing is known."""


class _Prepared(NamedTuple):
    """What is the same for all customers, from one smoothing of the prior to the next."""

    tables: PriorTables
    level: Floats
    """The prior as far as it is believed, shape (segments + 1, channels, hours and blocks)."""
    rank: list[list[float]]
    like: Floats
    """Likeness of hours of the week, each row over the share of all inbound contacts that lies
    around that hour."""
    usual: list[float]
    """The share of all inbound contacts that each channel has."""


class Expectation:
    """Settings and tables; `of` makes the start for one customer."""

    def __init__(self, settings: ExpectationSettings | None = None) -> None:
        self.settings = settings or ExpectationSettings()
        wants = self.settings
        self.like = week_kernel(wants.scales_h, wants.same_type, wants.same_day)
        self._prepared: _Prepared | None = None

    def of(
        self,
        tried: Events,
        came: Visits,
        tables: PriorTables,
        segment: int | None,
        endpoints: Sequence[Endpoint],
    ) -> Start:
        """The start for a customer who has these addresses, and was tried and came like this."""
        known = self._prepared
        if known is None or known.tables is not tables:
            known = self._prepared = self._prepare(tables)
        every, ranks = [*endpoints, *tried.endpoints], known.rank
        channels = np.array([endpoint[0] for endpoint in every], np.intp)
        logits: Floats = known.level[tables.segment(segment)].take(channels, 0)
        if len(came.slot):
            wants = self.settings
            faded = np.exp(came.age_days * (-1.0 / wants.fade_days))
            share = np.bincount(came.place, faded, len(came.endpoints)).tolist()
            hour = np.log(wants.hour_pull + faded @ known.like.take(came.slot, 0))
            hour -= math.log(wants.hour_pull + sum(share))
            hour *= wants.hour
            logits[:, :HOURS] += hour
            if tried.older:
                logits[:, HOURS:] += hour @ _BLOCKS
            of_channel, of_place = _places(wants, came.endpoints, share, known.usual, endpoints)
            own = [ranks[c][rank] + of_place.get((c, a), of_channel[c]) for c, a, rank in every]
        else:
            own = [ranks[c][rank] for c, _, rank in every]
        logits += np.array(own).reshape(-1, 1)
        return Start(logits, len(endpoints), tried)

    def _prepare(self, tables: PriorTables) -> _Prepared:
        share = self.settings.prior_share
        level = tables.base + share * (tables.level - tables.base)
        usual = tables.inbound_channel.tolist()
        return _Prepared(
            tables=tables,
            level=np.concatenate((level, level @ _BLOCKS), axis=2),
            rank=(share * tables.rank).tolist(),
            like=self.like / (self.like @ tables.inbound_hour)[:, None],
            usual=usual + [1.0] * (_CHANNELS - len(usual)),
        )


class Start(NamedTuple):
    """Logits before any attempt is looked at.

    Inbound contacts say nothing of how often attempts succeed, so they change the shape and not the
    level: each part is the log of a share over the share that all of the tenant's customers have.
    """

    logits: Floats
    """Of the endpoints asked for, and after them of those tried, at all hours and blocks."""
    asked: int
    """How many are asked for."""
    tried: Events

    def at(self, slots: Ints) -> Floats:
        """For the endpoints (rows) at hours of the week (columns)."""
        return np.asarray(self.logits[: self.asked].take(slots, 1))

    def each(self) -> Floats:
        """For each attempt at its own hour, or hours of the archive."""
        width = self.logits.shape[1]
        return np.asarray(
            self.logits[self.asked :].take(self.tried.place * width + self.tried.slot)
        )


def _places(
    wants: ExpectationSettings,
    known: Sequence[Endpoint],
    came: Sequence[float],
    usual: Sequence[float],
    endpoints: Sequence[Endpoint],
) -> tuple[list[float], dict[tuple[int, int], float]]:
    """What inbound contacts, by known endpoint, say of each channel, and of each (channel, address)
    asked for. A handful of any: lists are faster than arrays."""
    by_channel, by_place = [0.0] * _CHANNELS, {}
    for (channel, address, _), share in zip(known, came, strict=True):
        by_channel[channel] += share
        by_place[channel, address] = share
    beside = [0] * _CHANNELS
    for channel, _, _ in endpoints:
        beside[channel] += 1
    pull, log = wants.channel_pull, math.log
    none = wants.channel * log(pull / (pull + sum(came)))
    of_channel, of_place = [none] * _CHANNELS, {}
    for channel, share in enumerate(by_channel):
        if share:
            of_channel[channel] = none + wants.channel * log(1.0 + share / usual[channel] / pull)
    pull = wants.address_pull
    for channel, address, _ in endpoints:
        here = pull + by_place.get((channel, address), 0.0) * beside[channel]
        own = wants.address * log(here / (pull + by_channel[channel]))
        of_place[channel, address] = of_channel[channel] + own
    return of_channel, of_place


def averaged(mean: Floats, variance: Floats) -> Floats:
    """The logistic curve averaged over a normal logit (MacKay 1992)."""
    # sigmoid(mean / sqrt(1 + pi / 8 * variance))
    width = variance * (np.pi / 2)
    width += 4.0
    np.sqrt(width, out=width)
    p = np.divide(mean, width, out=width)
    np.tanh(p, out=p)
    p *= 0.5
    p += 0.5
    return p
