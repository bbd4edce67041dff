"""Latencies counted in buckets that grow with the value: each is right to two digits.

Raw values of a long run would not fit, and means hide what percentiles show. A bucket is 1/64 of
its power of two wide, so that its middle is less than 1 % off, from 1 µs up to hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SUB = 64
"""Buckets of each power of two; below it every µs has its own."""


class Histogram:
    """How often which length came up."""

    __slots__ = ("buckets", "count", "most_us", "total_us")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.total_us = 0
        self.most_us = 0

    def record(self, seconds: float) -> None:
        """A length; a negative one (a clock that was set) counts as none."""
        value = max(0, int(seconds * 1e6))
        at = _place(value)
        self.buckets[at] = self.buckets.get(at, 0) + 1
        self.count += 1
        self.total_us += value
        self.most_us = max(self.most_us, value)

    def merge(self, other: Histogram) -> None:
        """All that another one counted, too."""
        for at, count in other.buckets.items():
            self.buckets[at] = self.buckets.get(at, 0) + count
        self.count += other.count
        self.total_us += other.total_us
        self.most_us = max(self.most_us, other.most_us)

    def percentile(self, share: float) -> float:
        """Seconds that `share` (0..1) of the lengths do not exceed; 0 where there are none."""
        wanted, passed = share * self.count, 0
        for at in sorted(self.buckets):
            passed += self.buckets[at]
            if passed >= wanted:
                return min(_middle(at), self.most_us) / 1e6
        return 0.0

    @property
    def mean_s(self) -> float:
        """The mean in seconds."""
        return self.total_us / self.count / 1e6 if self.count else 0.0

    def plain(self) -> dict[str, object]:
        """As JSON."""
        pairs = [[at, self.buckets[at]] for at in sorted(self.buckets)]
        return {"total_us": self.total_us, "most_us": self.most_us, "buckets": pairs}

    @classmethod
    def of(cls, plain: Mapping[str, object]) -> Histogram:
        """From `plain`."""
        made = cls()
        pairs = plain["buckets"]
        assert isinstance(pairs, list)
        made.buckets = {int(at): int(count) for at, count in pairs}
        made.count = sum(made.buckets.values())
        made.total_us, made.most_us = int(str(plain["total_us"])), int(str(plain["most_us"]))
        return made


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One of all."""
    whole = Histogram()
    for one in histograms:
        whole.merge(one)
    return whole


def _place(value: int) -> int:
    if value < SUB:
        return value
    shift = value.bit_length() - SUB.bit_length()
    return (shift + 1) * SUB + (value >> shift) - SUB


def _middle(at: int) -> float:
    if at < SUB:
        return at
    shift, low = divmod(at, SUB)
    return ((low + SUB) << (shift - 1)) + (1 << (shift - 1)) / 2
