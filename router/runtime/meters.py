"""Counters and histograms that the event loop adds to, and Prometheus reads when it asks.

The library's own ones take a lock for each addition, for programs with many threads. Here one
thread adds, so plain numbers do, at a quarter of the cost: several are moved for each contact. The
thread that renders may see a number that is one addition old.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Count:
    """How often something happened, for one set of label values."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, by: float = 1.0) -> None:
        """It happened."""
        self.value += by


class Spread:
    """How values are spread over buckets, for one set of label values."""

    __slots__ = ("counts", "edges", "sum")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        """By bucket, each with its upper edge; the last one has none."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """A value came up."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.sum += value


class Counts(Collector):
    """A counter with labels."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._about = (name, text, labels)
        self._children: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: object) -> Count:
        """The count of these label values; keep it where it is used often."""
        key = tuple(map(str, values))
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = Count()
        return child

    def describe(self) -> Iterable[CounterMetricFamily]:
        """For the registry: the name, without values."""
        name, text, labels = self._about
        return [CounterMetricFamily(name, text, labels=labels)]

    def collect(self) -> Iterable[CounterMetricFamily]:
        """For the registry: every child."""
        name, text, labels = self._about
        family = CounterMetricFamily(name, text, labels=labels)
        for values, child in list(self._children.items()):
            family.add_metric(values, child.value)
        return [family]


class Spreads(Collector):
    """A histogram with labels; a value that is an edge belongs below it."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        edges: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._about = (name, text, labels)
        self._edges = edges
        self._names = [*map(floatToGoString, edges), "+Inf"]
        self._children: dict[tuple[str, ...], Spread] = {}
        registry.register(self)

    def labels(self, *values: object) -> Spread:
        """The values of these labels; keep it where it is used often."""
        key = tuple(map(str, values))
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = Spread(self._edges)
        return child

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """For the registry: the name, without values."""
        name, text, labels = self._about
        return [HistogramMetricFamily(name, text, labels=labels)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """For the registry: every child, its buckets cumulated."""
        name, text, labels = self._about
        family = HistogramMetricFamily(name, text, labels=labels)
        for values, child in list(self._children.items()):
            total = 0
            buckets: list[tuple[str, float]] = []
            for edge, count in zip(self._names, list(child.counts), strict=True):
                total += count
                buckets.append((edge, total))
            family.add_metric(values, buckets, child.sum)
        return [family]
