"""What an estimator starts from: the prior of the segment, bent by inbound contacts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.preference import archive, evidence
from router.preference.evidence import Events
from router.preference.kernel import HOURS, Floats, Ints, sigmoid, week_kernel
from router.preference.prior import PriorTables
from router.preference.profile import Endpoint, Profile

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


class Expectation:
    """Settings and tables; `of` makes the start for one customer."""

    def __init__(self, settings: ExpectationSettings | None = None) -> None:
        self.settings = settings or ExpectationSettings()
        wants = self.settings
        self.like = week_kernel(wants.scales_h, wants.same_type, wants.same_day)

    def of(
        self,
        profile: Profile,
        tables: PriorTables,
        segment: int | None,
        endpoints: Sequence[Endpoint],
        now_hour: int,
    ) -> Start:
        """The start for a customer whose addresses are those of `endpoints`."""
        came = evidence.inbound(profile, now_hour)
        row = tables.segment(segment)
        return Start(self.settings, self.like, came, tables, row, endpoints)


class Start:
    """Logits before any attempt is looked at.

    Inbound contacts say nothing of how often attempts succeed, so they change the shape and not the
    level: each part is the log of a share over the share that all of the tenant's customers have.
    """

    __slots__ = ("_base", "_channel", "_hour", "_keys", "_rank", "_share", "_table", "_values")

    def __init__(
        self,
        settings: ExpectationSettings,
        like: Floats,
        came: Events,
        tables: PriorTables,
        row: int,
        endpoints: Sequence[Endpoint],
    ) -> None:
        self._table = tables.level[row]
        self._rank = tables.rank
        self._base = tables.base
        self._share = settings.prior_share
        self._hour: Floats | None = None
        if len(came.slot) == 0:
            return
        faded = np.exp(came.age_days * (-1.0 / settings.fade_days))
        total = faded.sum()
        near = like.take(came.slot, 0)
        weights = faded / (near @ tables.inbound_hour)
        self._hour = settings.hour * np.log(
            (settings.hour_pull + weights @ near) / (settings.hour_pull + total)
        )
        by_channel: Floats = np.bincount(came.channel, faded, _CHANNELS).astype(float)
        usual = by_channel.copy()
        known = len(tables.inbound_channel)
        usual[:known] /= tables.inbound_channel
        pull = settings.channel_pull
        self._channel = settings.channel * np.log((pull + usual) / (pull + total))
        self._keys, self._values = _addresses(came, faded, by_channel, endpoints, settings)

    def at(self, channel: Ints, address: NDArray[np.int64], rank: Ints, slots: Ints) -> Floats:
        """For endpoints (rows) at hours of the week (columns)."""
        start: Floats = self._table.take(channel, 0).take(slots, 1)
        more = self._rank[channel, rank]
        if self._share != 1.0:
            start = self._base + self._share * (start - self._base)
            more *= self._share
        if self._hour is not None:
            more += self._own(channel, address)
            start += self._hour.take(slots)
        start += more[:, None]
        return start

    def each(self, channel: Ints, address: NDArray[np.int64], rank: Ints, slot: Ints) -> Floats:
        """For each of some attempts at its own hour, or hours of the archive."""
        table, hour = self._table, self._hour
        if len(slot) and slot.max() >= HOURS:
            table = np.concatenate((table, table @ _BLOCKS), axis=1)
            hour = hour if hour is None else np.concatenate((hour, hour @ _BLOCKS))
        start = table[channel, slot] + self._rank[channel, rank]
        if self._share != 1.0:
            start = self._base + self._share * (start - self._base)
        if hour is not None:
            start += self._own(channel, address) + hour.take(slot)
        return np.asarray(start)

    def _own(self, channel: Ints, address: NDArray[np.int64]) -> Floats:
        """What inbound contacts say of the channel and the address."""
        keys, values = self._keys, self._values
        wanted = (channel << 32) + address
        at = keys.searchsorted(wanted)
        at[at == len(keys)] = 0
        own = values.take(at)
        own *= keys.take(at) == wanted
        own += self._channel.take(channel)
        return np.asarray(own)


def averaged(mean: Floats, variance: Floats) -> Floats:
    """The logistic curve averaged over a normal logit (MacKay 1992)."""
    return sigmoid(mean / np.sqrt(1 + (np.pi / 8) * variance))


def _addresses(
    came: Events,
    faded: Floats,
    by_channel: Floats,
    endpoints: Sequence[Endpoint],
    settings: ExpectationSettings,
) -> tuple[NDArray[np.int64], Floats]:
    """Keys (channel << 32 | address) in ascending order, and what is added for each."""
    # A handful of endpoints and contacts: lists are faster than arrays.
    keys = sorted((endpoint.channel << 32) + endpoint.address for endpoint in endpoints)
    here, beside = dict.fromkeys(keys, 0.0), [0] * _CHANNELS
    for key in keys:
        beside[key >> 32] += 1
    visits = (came.channel << 32) + came.address
    for key, share in zip(visits.tolist(), faded.tolist(), strict=True):
        if key in here:
            here[key] += share
    pull, of_channel = settings.address_pull, by_channel.tolist()
    values = [
        settings.address
        * math.log((pull + here[key] * beside[key >> 32]) / (pull + of_channel[key >> 32]))
        for key in keys
    ]
    return np.array(keys, np.int64), np.array(values)
