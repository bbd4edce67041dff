"""The estimator: Bayesian logistic regression with a kernel over (channel, address, hour of week).

Every attempt says something about its neighbours: the same channel, the same address, hours near
by, days of the same type. A Laplace fit (two Newton steps) on at most 64 attempts gives each
candidate a mean and a variance. What the model starts from is the prior of the customer's segment,
bent by when, how and on which address the customer came to us. Rasmussen and Williams, Gaussian
Processes for Machine Learning (2006), section 3.4, with weighted observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.preference import evidence
from router.preference.evidence import Events
from router.preference.expectation import Expectation, Scores, averaged
from router.preference.kernel import Floats, Ints, blend, hour_kernel, sigmoid
from router.preference.outcomes import OutcomeWeights
from router.preference.prior import PriorTables
from router.preference.profile import Endpoint, Profile


@dataclass(frozen=True, slots=True)
class GplSettings:
    """Variances of the model's parts in squared logits, scales in hours and days."""

    everything: float = 0.20
    channel: float = 1.0
    address: float = 0.50
    hour: float = 0.33
    channel_hour: float = 0.50
    address_hour: float = 0.23
    scales_h: tuple[tuple[float, float], ...] = ((0.5, 1.2), (0.5, 3.5))
    """(share, scale) of the hour kernels; shares sum to 1."""
    same_type: float = 0.30
    same_day: float = 0.12
    fade_days: float = 200.0
    steps: int = 2


class Gpl:
    """The estimator with its settings and kernel tables; holds nothing about anybody."""

    def __init__(
        self,
        settings: GplSettings | None = None,
        weights: OutcomeWeights | None = None,
        expectation: Expectation | None = None,
    ) -> None:
        self.settings = settings or GplSettings()
        self.weights = weights or OutcomeWeights()
        self.expectation = expectation or Expectation()
        wants = self.settings
        self.like = blend(
            [
                (share, hour_kernel(scale, wants.same_type, wants.same_day))
                for share, scale in wants.scales_h
            ]
        )
        self.total = (
            wants.everything
            + wants.channel
            + wants.address
            + wants.hour
            + wants.channel_hour
            + wants.address_hour
        )

    def score(
        self,
        profile: Profile,
        tables: PriorTables,
        segment: int | None,
        endpoints: Sequence[Endpoint],
        slots: Ints,
        now_hour: int,
    ) -> Scores:
        """Score endpoints (rows) at hours of the week (columns), as of a local wall hour."""
        tried = evidence.attempts(profile, now_hour, self.weights)
        channel, address, rank = evidence.places(endpoints)
        start = self.expectation.of(profile, tables, segment, endpoints, now_hour)
        mean = start.at(channel, address, rank, slots)
        count = len(tried.slot)
        if count == 0:
            variance = np.full(mean.shape, self.total)
            return Scores(mean, variance, averaged(mean, variance), 0.0, self.total)
        begun = start.each(tried.channel, tried.address, tried.rank, tried.slot)
        alpha, inverse = self._fit(tried, begun)
        faded = np.exp(-tried.age_days / self.settings.fade_days)
        level, slope = self._shares(channel, address, *tried.endpoints[:2])
        level, slope = level[:, tried.place] * faded, slope[:, tried.place] * faded
        like = self.like.take(slots, 0).take(tried.slot, 1)
        mean += (slope * alpha) @ like.T + (level @ alpha)[:, None]
        variance = np.maximum(self.total - _explained(level, slope, like, inverse), 1e-6)
        effective = float(faded @ tried.weight)
        return Scores(mean, variance, averaged(mean, variance), effective, self.total)

    def _fit(self, tried: Events, start: Floats) -> tuple[Floats, Floats]:
        """The weights of the events in the mean, and (K + 1/W)^-1."""
        channel, address, _ = tried.endpoints
        level, slope = self._shares(channel, address, channel, address)
        place = tried.place
        kernel = self.like.take(tried.slot, 0).take(tried.slot, 1)
        kernel *= slope.take(place, 0).take(place, 1)
        kernel += level.take(place, 0).take(place, 1)
        grown = np.exp((tried.age_days - tried.age_days.min()) / self.settings.fade_days)
        apart = grown[:, None] / grown
        kernel *= np.minimum(apart, apart.T)  # exp(-|age - age'| / fade)
        diagonal = np.arange(len(start))
        latent = np.zeros(len(start))
        for _ in range(self.settings.steps - 1):
            root, wanted, system = self._step(kernel, start, latent, tried, diagonal)
            latent = kernel @ (root * np.linalg.solve(system, root * wanted))
        root, wanted, system = self._step(kernel, start, latent, tried, diagonal)
        inverse: Floats = np.asarray(np.linalg.inv(system), np.float64)
        inverse *= root[:, None]
        inverse *= root
        return inverse @ wanted, inverse

    def _step(
        self, kernel: Floats, start: Floats, latent: Floats, tried: Events, diagonal: Ints
    ) -> tuple[Floats, Floats, Floats]:
        """One Newton step: the root of W, the working response, and I + root(W) K root(W)."""
        p = sigmoid(start + latent)
        v = np.maximum(p * (1 - p), 1e-3)
        root = np.sqrt(v * tried.weight)
        system = kernel * root
        system *= root[:, None]
        system[diagonal, diagonal] += 1.0
        return root, latent + (tried.target - p) / v, system

    def _shares(
        self, channel: Ints, address: Ints, to_channel: Ints, to_address: Ints
    ) -> tuple[Floats, Floats]:
        """Between endpoints: the kernel's constant part, and its factor of the hours' likeness."""
        wants = self.settings
        same_channel = channel[:, None] == to_channel
        same_address = address[:, None] == to_address
        level = wants.everything + wants.channel * same_channel + wants.address * same_address
        slope = wants.hour + wants.channel_hour * same_channel + wants.address_hour * same_address
        return level, slope


def _explained(level: Floats, slope: Floats, like: Floats, inverse: Floats) -> Floats:
    """The variance that attempts take away, shape (endpoints, hours).

    With half the digits and so in half the time: a variance needs no more than four of them. In
    portions that malloc keeps for the next one, since fresh pages cost more than the product.
    """
    half = np.float32
    hours, count = like.shape
    portion = max(1, _PORTION // (hours * count + 1))
    levels, slopes = level.astype(half)[:, None, :], slope.astype(half)[:, None, :]
    likes, middle = like.astype(half), inverse.astype(half)
    parts = []
    for start in range(0, len(level), portion):
        cross = slopes[start : start + portion] * likes
        cross += levels[start : start + portion]
        flat = cross.reshape(-1, count)
        parts.append(np.vecdot(flat @ middle, flat))
    return np.concatenate(parts).reshape(len(level), hours).astype(np.float64)


_PORTION = 24_000
"""Numbers of four bytes: under the 128 kB from which malloc asks for pages each time."""
