"""The estimator: Bayesian logistic regression with a kernel over (channel, address, hour of week).

Every attempt says something about its neighbours: the same channel, the same address, hours near
by, days of the same type. A Laplace fit on at most 64 attempts and 18 counts of older ones gives
each candidate a mean and a variance. What an attempt says fades partly within months and partly
within years: some of what is true of a customer changes, and some never does.

What the model starts from is the prior of the customer's segment,
bent by when, how and on which address the customer came to us. Rasmussen and Williams, Gaussian
Processes for Machine Learning (2006), section 3.4, with weighted observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.preference import archive, evidence
from router.preference.evidence import Events
from router.preference.expectation import Expectation, Scores, averaged
from router.preference.kernel import HOURS, Floats, Ints, sigmoid, week_kernel
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
    fades_days: tuple[tuple[float, float], ...] = ((0.5, 100.0), (0.5, 1000.0))
    """(share, days until 1/e) of what fades; shares sum to 1."""


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
        like = week_kernel(wants.scales_h, wants.same_type, wants.same_day)
        hours = np.vstack((np.eye(HOURS), archive.averages()))
        self.like: Floats = hours @ like @ hours.T
        """Likeness of hours of the week, and after them of the archive's blocks: the mean over the
        hours of a block."""
        self._share = np.array([share for share, _ in wants.fades_days])
        self._pace = 1.0 / np.array([days for _, days in wants.fades_days])
        same = np.arange(4)
        self._level = wants.everything + wants.channel * (same & 1) + wants.address * (same >> 1)
        self._slope = (
            wants.hour + wants.channel_hour * (same & 1) + wants.address_hour * (same >> 1)
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
        tried = evidence.remembered(profile, now_hour, self.weights)
        channel, address, rank = evidence.places(endpoints)
        start = self.expectation.of(profile, tables, segment, endpoints, now_hour)
        mean = start.at(channel, address, rank, slots)
        if len(tried.slot) == 0:
            variance = np.full(mean.shape, self.total)
            return Scores(mean, variance, averaged(mean, variance), 0.0, self.total)
        begun = start.each(tried.channel, tried.address, tried.rank, tried.slot)
        alpha, inverse = self._fit(tried, begun)
        faded = np.exp(np.multiply.outer(tried.age_days, -self._pace)) @ self._share
        code = _same(channel, address, *tried.endpoints[:2])
        level = self._level[code].take(tried.place, 1) * faded
        slope = self._slope[code].take(tried.place, 1) * faded
        like = self.like.take(np.add.outer(slots * len(self.like), tried.slot))
        mean += (slope * alpha) @ like.T
        mean += (level @ alpha)[:, None]
        variance = np.maximum(self.total - _explained(level, slope, like, inverse), 1e-6)
        effective = float(faded @ tried.weight)
        return Scores(mean, variance, averaged(mean, variance), effective, self.total)

    def _fit(self, tried: Events, start: Floats) -> tuple[Floats, Floats]:
        """The weights of the events in the mean, and (K + 1/W)^-1.

        W is taken once, at a guess that needs no inverse: each event's neighbours, shrunk. With it
        one more (chord) step of Newton's comes to the mean that two full ones come to.
        """
        kernel = self._kernel(tried)
        target, weight = tried.target, tried.weight
        p = sigmoid(start)
        pull = kernel @ (weight * (target - p))
        latent = pull / (1 + kernel @ (weight * p * (1 - p)))
        p = sigmoid(start + latent)
        v = np.maximum(p * (1 - p), 1e-3)
        system = kernel.copy()
        system.flat[:: len(v) + 1] += 1.0 / (v * weight)
        inverse = _inverse(system)
        latent = kernel @ (inverse @ (latent + (target - p) / v))
        p = sigmoid(start + latent)
        return inverse @ (latent + (target - p) / v), inverse

    def _kernel(self, tried: Events) -> Floats:
        """The prior covariance of the events' logits."""
        channel, address, _ = tried.endpoints
        code = _same(channel, address, channel, address)
        pairs = np.add.outer(tried.place * len(code), tried.place)
        kernel = self.like.take(np.add.outer(tried.slot * len(self.like), tried.slot))
        kernel *= self._slope[code].take(pairs)
        kernel += self._level[code].take(pairs)
        grown = np.exp(np.multiply.outer(tried.age_days - tried.age_days.min(), self._pace))
        apart = (grown * self._share) @ (1.0 / grown).T
        kernel *= np.minimum(apart, apart.T)  # sum of share * exp(-|age - age'| / days)
        return np.asarray(kernel)


def _inverse(matrix: Floats) -> Floats:
    """Of a symmetric positive definite matrix; of a large one by halves, which are in the cache."""
    count = len(matrix)
    if count < _HALVED:
        return np.asarray(np.linalg.inv(matrix))
    half = count // 2
    beside, out = matrix[:half, half:], np.empty_like(matrix)
    first = np.linalg.inv(matrix[:half, :half])
    through = first @ beside
    rest = np.linalg.inv(matrix[half:, half:] - beside.T @ through)
    cross = through @ rest
    out[:half, :half] = first + cross @ through.T
    out[:half, half:] = -cross
    out[half:, :half] = -cross.T
    out[half:, half:] = rest
    return out


def _same(channel: Ints, address: Ints, to_channel: Ints, to_address: Ints) -> Ints:
    """Of each two endpoints: 1 for the same channel, plus 2 for the same address."""
    return np.asarray((channel[:, None] == to_channel) + 2 * (address[:, None] == to_address))


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
    ones, parts = np.ones(count, half), []
    for start in range(0, len(level), portion):
        cross = slopes[start : start + portion] * likes
        cross += levels[start : start + portion]
        flat = cross.reshape(-1, count)
        product = _times(flat, middle)
        product *= flat
        parts.append(product @ ones)
    return np.concatenate(parts).reshape(len(level), hours).astype(np.float64)


def _times(rows: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """The matrix product in pieces so small that BLAS starts no threads for them: waking those
    costs more than the product, most of all where other processes want the cores."""
    count = len(matrix)
    piece = _ALONE // (count * count)
    whole = len(rows) // piece * piece
    out = np.empty_like(rows)
    if whole:
        shape = (-1, piece, count)
        np.matmul(rows[:whole].reshape(shape), matrix, out=out[:whole].reshape(shape))
    np.matmul(rows[whole:], matrix, out=out[whole:])
    return out


_ALONE = 262_144
"""Multiplications up to which OpenBLAS keeps to one thread."""
_HALVED = 40
_PORTION = 24_000
"""Numbers of four bytes: under the 128 kB from which malloc asks for pages each time."""
