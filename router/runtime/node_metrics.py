"""Metrics of a node among others: takeovers, hand-overs, and being fenced."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

TAKEOVER_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 7.5, 10, 15, 30, 60)


class NodeMetrics:
    """What happens between nodes."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.takeover = Histogram(
            "router_takeover_duration_seconds",
            "From when a workspace was last seen owned by another node until it was served here",
            buckets=TAKEOVER_BUCKETS,
            registry=registry,
        )
        self.fenced = Counter(
            "router_fenced", "Workspaces that another node took from this one", registry=registry
        )
        self.handed_over = Counter(
            "router_handed_over", "Workspaces given to another node as planned", registry=registry
        )
