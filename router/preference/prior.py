"""What is expected of a customer of whom nothing is known: by segment, channel, hour of the week.

`Prior` collects attempts and inbound contacts of the whole tenant, fading with age; `tables` turns
the counts into smooth rates, and is asked for now and then (daily is enough), not per query.

Attempts are weighted by one over their propensity (times the number of candidates they were
chosen from), capped: agents who know their customers call at good hours, and a naive count of
their log promises 21 to 31 points too much.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from router.preference.kernel import HOURS, Floats, hour_kernel, logit

RANKS = 3
"""The primary address, the second, and all further ones."""
_HEAD = struct.Struct("<BBHqd")
_VERSION = 1
_REBASE = 30.0


@dataclass(frozen=True, slots=True)
class PriorSettings:
    """Strengths of the prior, in (weighted) attempts unless said otherwise."""

    fade_days: float = 90.0
    """Age at which an attempt counts 1/e."""
    weight_cap: float = 20.0
    """Largest weight of one attempt; a uniform choice weighs 1."""
    rate: float = 1.0
    """Pull of a channel's rate towards the tenant's."""
    hour: float = 30.0
    """Pull of an hour's rate towards its channel's."""
    segment: float = 50.0
    """Pull of a segment's rate on a channel towards the tenant's."""
    segment_hour: float = 60.0
    """Pull of a segment's hour towards the tenant's hour."""
    rank: float = 20.0
    """Pull of a rank's rate towards that of all addresses."""
    inbound: float = 20.0
    """Pull of the inbound profile towards evenness over 07 to 21 h, in contacts."""


@dataclass(frozen=True, slots=True)
class PriorTables:
    """What the estimators read. The last segment stands for "unknown"."""

    rate: Floats
    """Smoothed success rate, shape (segments + 1, channels, 168)."""
    base: float
    """The tenant's mean rate, as a logit."""
    level: Floats
    """Logit of `rate`, same shape."""
    rank: Floats
    """What is added for an address's rank, shape (channels, 16)."""
    inbound_hour: Floats
    """The tenant's inbound contacts by hour of the week, sums to 1, shape (168,)."""
    inbound_channel: Floats
    """Their share by channel, sums to 1."""

    def segment(self, index: int | None) -> int:
        """The row of a segment; that of unknown ones for None and for segments not met yet."""
        unknown = self.rate.shape[0] - 1
        return index if index is not None and 0 <= index < unknown else unknown


class Prior:
    """Faded counts of one tenant. Serialised by `encode`; a few hundred kilobytes at most."""

    __slots__ = ("_hour", "_inbound", "_n", "_rank_n", "_rank_s", "_s", "_scale", "settings")

    def __init__(self, segments: int, channels: int, settings: PriorSettings | None = None) -> None:
        self.settings = settings or PriorSettings()
        self._n: Floats = np.zeros((segments + 1, channels, HOURS))
        self._s: Floats = np.zeros((segments + 1, channels, HOURS))
        self._rank_n: Floats = np.zeros((RANKS, channels, HOURS))
        self._rank_s: Floats = np.zeros((RANKS, channels, HOURS))
        self._inbound: Floats = np.zeros((channels, HOURS))
        self._hour = 0
        self._scale = 0.0

    @property
    def segments(self) -> int:
        """Number of segments; attempts of other or unknown ones count for the tenant alone."""
        return int(self._n.shape[0]) - 1

    def observe(
        self,
        segment: int | None,
        channel: int,
        rank: int,
        hour: int,
        target: float,
        *,
        weight: float = 1.0,
        propensity: float | None = None,
        candidates: int = 1,
    ) -> None:
        """Count an attempt whose outcome is settled.

        `hour` is the local wall hour, `target` the share of a success (0 to 1), `propensity` the
        probability with which this moment and endpoint were chosen among so many `candidates`;
        None when nobody knows, which counts as an even choice.
        """
        if propensity is not None:
            if not 0.0 < propensity <= 1.0 or candidates < 1:
                raise ValueError(
                    f"attempt: propensity above 0 up to 1 among at least 1 candidate, "
                    f"got {propensity} among {candidates}"
                )
            weight *= min(1.0 / (propensity * candidates), self.settings.weight_cap)
        weight *= self._grown(hour)
        slot = hour % HOURS
        row = self._row(segment)
        self._n[row, channel, slot] += weight
        self._s[row, channel, slot] += weight * target
        at = min(rank, RANKS - 1)
        self._rank_n[at, channel, slot] += weight
        self._rank_s[at, channel, slot] += weight * target

    def observe_inbound(self, channel: int, hour: int) -> None:
        """Count a contact that a customer began."""
        self._inbound[channel, hour % HOURS] += self._grown(hour)

    def tables(self) -> PriorTables:
        """Smooth rates from the counts."""
        now = np.exp(-self._scale)
        like = hour_kernel(1.2, 0.45, 0.40)
        wants = self.settings
        n, s = self._n * now, self._s * now
        total_n, total_s = n.sum(axis=0), s.sum(axis=0)
        mean = (total_s.sum() + 0.5) / (total_n.sum() + 2.0)
        rate_c = (total_s.sum(axis=1) + wants.rate * mean) / (total_n.sum(axis=1) + wants.rate)
        of_all = (total_s @ like + wants.hour * rate_c[:, None]) / (total_n @ like + wants.hour)
        expected = (n * of_all).sum(axis=2)
        pull = wants.segment * rate_c
        factor = ((s.sum(axis=2) + pull) / (expected + pull))[:, :, None]
        base = of_all * factor / (1 - of_all + of_all * factor)
        rate = (s @ like + wants.segment_hour * base) / (n @ like + wants.segment_hour)
        rate[-1] = of_all
        inbound = self._inbound * now
        return PriorTables(
            rate=rate,
            base=float(logit(np.array(mean))),
            level=logit(rate),
            rank=self._ranks(of_all, now),
            inbound_hour=_profile(inbound.sum(axis=0), like, wants.inbound),
            inbound_channel=(inbound.sum(axis=1) + wants.inbound / len(inbound))
            / (inbound.sum() + wants.inbound),
        )

    def _ranks(self, of_all: Floats, now: float) -> Floats:
        """Log-odds observed minus expected, by channel and rank, towards that of the rank."""
        n, s = self._rank_n * now, self._rank_s * now
        got, expected = s.sum(axis=2), (n * of_all).sum(axis=2)
        count = n.sum(axis=2)
        strength = self.settings.rank

        def offset(got: Floats, expected: Floats, count: Floats) -> Floats:
            mean = (expected + 0.5) / (count + 1.0)
            pull = strength * mean
            return logit((got + pull) / (count + strength)) - logit(
                (expected + pull) / (count + strength)
            )

        by_rank = offset(got.sum(axis=1), expected.sum(axis=1), count.sum(axis=1))
        spread = np.zeros((n.shape[1], 16))
        spread[:, :RANKS] = by_rank
        spread[:, RANKS:] = by_rank[-1]
        return spread

    def encode(self) -> bytes:
        """The stored form."""
        segments, channels, _ = self._n.shape
        head = _HEAD.pack(_VERSION, channels, segments, self._hour, self._scale)
        return head + b"".join(part.astype("<f8").tobytes() for part in self._parts())

    @classmethod
    def decode(cls, data: bytes, settings: PriorSettings | None = None) -> Prior:
        """The counts of stored bytes. Raises ValueError when they are none."""
        if len(data) < _HEAD.size or data[0] != _VERSION:
            raise ValueError(
                f"prior: version {_VERSION} expected, got {data[:1].hex() or 'nothing'}"
            )
        _, channels, segments, hour, scale = _HEAD.unpack_from(data)
        prior = cls(segments - 1, channels, settings)
        size = sum(part.size for part in prior._parts()) * 8 + _HEAD.size
        if len(data) != size:
            raise ValueError(f"prior: {size} bytes for {segments} segments, got {len(data)}")
        prior._hour, prior._scale = hour, scale
        values = np.frombuffer(data, "<f8", offset=_HEAD.size)
        start = 0
        for part in prior._parts():
            part[...] = values[start : start + part.size].reshape(part.shape)
            start += part.size
        return prior

    def _parts(self) -> tuple[Floats, ...]:
        return (self._n, self._s, self._rank_n, self._rank_s, self._inbound)

    def _row(self, segment: int | None) -> int:
        last = self.segments
        return segment if segment is not None and 0 <= segment < last else last

    def _grown(self, hour: int) -> float:
        """The weight of an event at this hour: instead of fading all counts at every event, newer
        events weigh more, and now and then everything is scaled down."""
        if self._hour == 0:
            self._hour = hour
        scale = (hour - self._hour) / (24.0 * self.settings.fade_days)
        if scale > _REBASE:
            shrink = np.exp(-scale)
            for part in self._parts():
                part *= shrink
            self._hour, self._scale, scale = hour, 0.0, 0.0
        self._scale = max(self._scale, scale)
        return float(np.exp(scale))


def _profile(counts: Floats, like: Floats, pull: float) -> Floats:
    """Shares of the hours, smooth, pulled to an even spread over 07 to 21 h."""
    hour = np.arange(HOURS) % 24
    even = np.where((hour >= 7) & (hour < 21), 1.0, 0.02)
    even /= even.sum()
    total = counts.sum()
    smooth = (counts @ (like / like.sum(axis=0))) if total else counts
    return np.asarray((smooth + pull * even) / (smooth.sum() + pull))
