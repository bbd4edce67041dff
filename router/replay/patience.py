"""How long customers wait before they leave: estimated from those who left and those who did not.

Who was answered after 40 s would have waited longer, nobody knows how much: their patience is
*censored* at 40 s. Kaplan and Meier's estimator counts them for as long as they were seen (E. L.
Kaplan, P. Meier, "Nonparametric estimation from incomplete observations", 1958):

    S(t) = product over the moments u <= t at which somebody left of (1 - left at u / waiting at u)

*Tail.* Where fewer than `PRESENT_LEAST` were still waiting, the curve says little, and beyond the
longest wait nothing. From there on people go on leaving at the mean rate of the whole record, rate
= all who left / all time waited, the maximum-likelihood rate of an exponential law under censoring;
where nobody ever left, nobody does.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import groupby
from random import Random
from typing import NamedTuple

LEFT_LEAST = 20
"""With fewer who left, a queue takes its channel's curve, and a channel everybody's."""

PRESENT_LEAST = 30
"""With fewer still waiting a single one who leaves would move the curve by too much."""


class Wait(NamedTuple):
    """One wait, as far as it was seen."""

    length_us: int
    left: bool
    """Ended by the customer; else by an answer or otherwise: censored."""


class Curve:
    """The share of customers who are still there after so long."""

    def __init__(self, waits: Iterable[Wait]) -> None:
        ordered = sorted(waits)
        self.left = sum(1 for wait in ordered if wait.left)
        self.seen = len(ordered)
        self.known_us = 0
        """Up to here the curve is the estimator's, beyond it the tail."""
        waited_us = sum(wait.length_us for wait in ordered)
        self.rate = self.left / max(waited_us, 1)
        """Who leave per µs of waiting, over all."""
        self.times_us: list[int] = []
        self.shares: list[float] = []
        """S at each of these moments and until the next one."""
        share, present = 1.0, len(ordered)
        for at_us, group in groupby(ordered, key=lambda wait: wait.length_us):
            if present < PRESENT_LEAST:
                break
            ended = list(group)
            self.known_us = at_us
            gone = sum(1 for wait in ended if wait.left)
            if gone:
                share *= 1 - gone / present
                self.times_us.append(at_us)
                self.shares.append(share)
            present -= len(ended)

    def share(self, at_us: int) -> float:
        """S(t)."""
        place = bisect_right(self.times_us, at_us)
        share = self.shares[place - 1] if place else 1.0
        if at_us > self.known_us:
            share *= math.exp(-self.rate * (at_us - self.known_us))
        return share

    def draw(self, rng: Random, beyond_us: int = 0) -> int | None:
        """How long somebody waits who has waited `beyond_us`; longer than that. None = for ever."""
        if not self.left:
            return None
        there = self.share(beyond_us)
        if there <= 0.0:  # everybody had left by then: only the rate is known
            return beyond_us + 1 + round(rng.expovariate(self.rate))
        level = (1.0 - rng.random()) * there
        last = self.shares[-1] if self.shares else 1.0
        if level <= last and last > 0.0:
            length_us = self.known_us + round(math.log(last / level) / self.rate)
            return max(length_us, beyond_us + 1)
        # The first moment at which fewer than `level` are left; `shares` falls.
        place = bisect_left(self.shares, -level, key=lambda share: -share)
        place = min(place, len(self.times_us) - 1)
        return max(self.times_us[place], beyond_us + 1)


class Patience:
    """A curve for each queue and channel, with those that stand in where too few left."""

    def __init__(self, waits: dict[tuple[str, str], list[Wait]]) -> None:
        """`waits` by (queue, channel)."""
        everybody = [wait for found in waits.values() for wait in found]
        channels: dict[str, list[Wait]] = {}
        for (_, channel), found in waits.items():
            channels.setdefault(channel, []).extend(found)
        self._by_queue = {key: Curve(found) for key, found in waits.items()}
        self._by_channel = {channel: Curve(found) for channel, found in channels.items()}
        self._all = Curve(everybody)

    def curve(self, queue: str, channel: str) -> tuple[str, Curve]:
        """Whose curve is used, and the curve.

        A channel on which nobody ever left stays one: mail is not judged by telephone.
        """
        own = self._by_queue.get((queue, channel))
        if own is not None and own.left >= LEFT_LEAST:
            return f"{queue}/{channel}", own
        joint = self._by_channel.get(channel)
        if joint is not None:
            return channel, joint
        return "all", self._all

    def table(self) -> dict[str, dict[str, float | int | None]]:
        """The curves in words: who was seen, who left, when half had gone."""
        found: dict[str, dict[str, float | int | None]] = {}
        for (queue, channel), own in sorted(self._by_queue.items()):
            name, used = self.curve(queue, channel)
            found[f"{queue}/{channel}"] = {
                "waits": own.seen,
                "left": own.left,
                "known_up_to_s": own.known_us / 1e6,
                "half_gone_after_s": _half(used),
                "curve_of": name,  # type: ignore[dict-item]
            }
        return found


def _half(curve: Curve) -> float | None:
    for at_us, share in zip(curve.times_us, curve.shares, strict=True):
        if share <= 0.5:
            return at_us / 1e6
    if not curve.rate:
        return None
    last = curve.shares[-1] if curve.shares else 1.0
    return (curve.known_us + math.log(last / 0.5) / curve.rate) / 1e6
