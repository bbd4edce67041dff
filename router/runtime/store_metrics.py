"""Metrics of a store of several servers: too few replicas, and what it forgot and got back."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from router.journal import Journal

COUNTERS = {
    "short_waits": (
        "router_journal_short_waits",
        "Batches of commits that too few replicas had in time",
    ),
    "gaps": (
        "router_journal_gaps",
        "How often the store had forgotten commits that it had acknowledged",
    ),
    "repaired_records": (
        "router_journal_repaired_records",
        "Events that were written again because the store had forgotten them",
    ),
    "seeds": (
        "router_journal_seeds",
        "Workspaces that were written anew because the store had lost them",
    ),
}
GAUGES = {
    "degraded": (
        "router_journal_degraded",
        "Masters whose commits are acknowledged without enough replicas",
    ),
}


class StoreMetrics(Collector):
    """What the journal counts itself; a store that has no such counts shows none."""

    def __init__(self, journal: Journal, registry: CollectorRegistry) -> None:
        self._journal = journal
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """See Collector."""
        known = self._journal.stats().extra
        for name, (metric, text) in COUNTERS.items():
            if name in known:
                yield CounterMetricFamily(metric, text, value=known[name])
        for name, (metric, text) in GAUGES.items():
            if name in known:
                yield GaugeMetricFamily(metric, text, value=known[name])
