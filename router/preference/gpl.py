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
from itertools import pairwise

import numpy as np

from router.preference import archive, evidence
from router.preference.evidence import Events
from router.preference.expectation import Expectation, Scores, averaged
from router.preference.kernel import HOURS, Floats, Ints, week_kernel
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
        self._parts = np.array(
            (
                wants.everything + wants.channel * (same & 1) + wants.address * (same >> 1),
                wants.hour + wants.channel_hour * (same & 1) + wants.address_hour * (same >> 1),
            )
        )
        """Level and slope of the likeness of two endpoints by what they share: 1 the channel, plus
        2 the address."""
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
        recent, came = evidence.read(profile, now_hour, self.weights)
        tried = evidence.with_older(profile, now_hour, self.weights, recent)
        start = self.expectation.of(tried, came, tables, segment, endpoints)
        mean = start.at(slots)
        if len(tried.slot) == 0:
            variance = np.full(mean.shape, self.total)
            return Scores(mean, variance, averaged(mean, variance), 0.0, self.total)
        decay = np.exp(np.multiply.outer(tried.age_days, -self._pace))
        faded = decay @ self._share
        like = self.like.take(tried.slot, 0)
        same = self._parts.take(_same(endpoints, tried.endpoints), 1)
        near, count = same.take(tried.place, 2), len(endpoints)
        kernel = self._kernel(tried, near[:, count:], like, decay)
        alpha, root = _fit(kernel, tried, start.each())
        near, like = near[:, :count], like.take(slots, 1)
        alpha *= faded
        mean += (near[1] * alpha) @ like
        mean += (near[0] @ alpha)[:, None]
        root *= faded
        explained = _explained(near, like, root, tried, same[:, :count])
        variance = np.maximum(self.total - explained, 1e-6)
        effective = float(faded @ tried.weight)
        return Scores(mean, variance, averaged(mean, variance), effective, self.total)

    def _kernel(self, tried: Events, near: Floats, like: Floats, decay: Floats) -> Floats:
        """The prior covariance of the events' logits. `near`: level and slope, shape (2, endpoints,
        n); `like`: of each event's hours to all, shape (n, hours and blocks); `decay`: shape
        (n, fades)."""
        level, slope = near.take(tried.place, 1)
        kernel = like.take(tried.slot, 1)
        kernel *= slope
        kernel += level
        apart = (decay * self._share) @ (1.0 / decay).T
        kernel *= np.minimum(apart, apart.T)  # sum of share * exp(-|age - age'| / days)
        return kernel


def _fit(kernel: Floats, tried: Events, start: Floats) -> tuple[Floats, Floats]:
    """The weights of the events in the mean, and R of (K + 1/W)^-1 = R^T R. The kernel is used up.

    W is taken once, at a guess that needs no inverse: each event's neighbours, shrunk. With it
    one more (chord) step of Newton's comes to the mean that two full ones come to.

    In half logits h, where p = (1 + t) / 2 and p (1 - p) = (1 - t^2) / 4 with t = tanh h.
    """
    wanted, weight, half = 2.0 * tried.target - 1.0, tried.weight, 0.5 * start
    t = np.tanh(half)
    latent = kernel @ (weight * (wanted - t))
    latent /= 4.0 + kernel @ (weight * (1.0 - t * t))
    t = np.tanh(half + latent)
    v = np.maximum(1.0 - t * t, 4e-3)
    own = 4.0 / (v * weight)
    kernel.ravel()[:: len(v) + 1] += own
    root = _inverse_root(kernel)
    latent += (wanted - t) / v
    latent -= own * (root.T @ (root @ latent))  # K (K + 1/W)^-1 of it
    t = np.tanh(half + latent)
    latent += (wanted - t) / v
    latent *= 2.0
    return root.T @ (root @ latent), root


def _inverse_root(matrix: Floats) -> Floats:
    """R of R^T R = A^-1, for a symmetric positive definite A: the inverse of its Cholesky factor.

    By blocks, since numpy inverts a triangle as it does any matrix, at six times the work.
    """
    lower, count = np.linalg.cholesky(matrix), len(matrix)
    if count <= _BLOCK:
        return np.asarray(np.linalg.inv(lower))
    root, whole = np.zeros((count, count)), count // _BLOCK * _BLOCK
    shape = (whole // _BLOCK, _BLOCK) * 2
    of, to = (np.einsum("ijik->ijk", m[:whole, :whole].reshape(shape)) for m in (lower, root))
    to[...] = np.linalg.inv(of)
    if whole < count:
        root[whole:, whole:] = np.linalg.inv(lower[whole:, whole:])
    for start in range(_BLOCK, count, _BLOCK):
        here, before = slice(start, start + _BLOCK), slice(start)
        beside = lower[here, before] @ root[before, before]
        np.matmul(-root[here, here], beside, out=root[here, before])
    return root


def _same(endpoints: Sequence[Endpoint], others: Sequence[Endpoint]) -> Ints:
    """What endpoints (rows), and after them the others, share with each of the others (columns): 1
    the channel, plus 2 the address."""
    both = [*endpoints, *others]
    places = np.array([[e.channel for e in both], [e.address for e in both]])
    channel, address = places[:, :, None] == places[:, None, len(endpoints) :]
    return np.asarray(channel + 2 * address)


def _explained(near: Floats, like: Floats, root: Floats, tried: Events, same: Floats) -> Floats:
    """What attempts take from the variance of each endpoint and hour: |R c|^2, where c are the
    candidate's covariances with the attempts, a level plus a slope times the likeness of hours.

    `near`: levels and slopes, shape (2, endpoints, n); `same`: the same with one column for each
    endpoint that was tried; `like`: shape (n, hours); R is faded.
    """
    level, slope = near
    turned = np.ascontiguousarray(root.T)
    moved = level @ turned
    if len(turned) <= _SMALL:
        # R is sloped for each endpoint asked for, not for each candidate.
        found = np.matmul(like.T, slope[:, :, None] * turned)
        found += moved[:, None]
        return np.asarray(np.vecdot(found, found))
    found = _by_place(like, turned, tried.place, same[1])
    explained = np.vecdot(found, found)
    explained += 2.0 * np.matmul(found, moved[:, :, None])[:, :, 0]
    explained += np.vecdot(moved, moved)[:, None]
    return np.asarray(explained)


def _by_place(like: Floats, turned: Floats, place: Ints, slope: Floats) -> Floats:
    """R times slopes and likenesses, shape (endpoints, hours, n): R goes through the hours once for
    each endpoint tried (`place` of each attempt, ascending), not for each one asked for."""
    (asked, places), hours, count = slope.shape, like.shape[1], len(turned)
    begins = place.searchsorted(np.arange(places + 1)).tolist()
    parts = list(pairwise(begins))
    most = max(end - begin for begin, end in parts)
    portion = max(1, _ALONE // (count * max(most, asked * places)))
    if hours > portion:
        columns = (like[:, first : first + portion] for first in range(0, hours, portion))
        return np.concatenate([_by_place(part, turned, place, slope) for part in columns], 1)
    ways = np.empty((places, hours, count))
    for way, (begin, end) in zip(ways, parts, strict=True):
        np.matmul(like[begin:end].T, turned[begin:end], out=way)
    return (slope @ ways.reshape(places, -1)).reshape(asked, hours, count)


_SMALL = 32
"""Attempts up to which the shorter of two ways is the faster."""
_BLOCK = 16
"""Rows of a triangle that LAPACK inverts in one piece."""
_ALONE = 262_144
"""Multiplications up to which OpenBLAS keeps to one thread: waking more of them costs more than the
product, most of all where other processes want the cores."""
