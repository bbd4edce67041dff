"""Our counters and histograms say what the library's own would say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from router.core import events as e
from router.core.model import ContactId
from router.runtime.meters import Counts, Spreads
from router.runtime.metrics import Metrics

EDGES = (0.001, 0.5, 1.0, 2.5, 60.0)
LABELS = st.tuples(st.sampled_from(["a", 'b"\\', "ü"]), st.sampled_from([200, 404]))


@given(st.lists(st.tuples(LABELS, st.sampled_from(EDGES) | st.floats(0, 1e6)), max_size=20))
def test_the_page_is_the_one_that_the_library_would_make(
    moves: list[tuple[tuple[str, int], float]],
) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    counter = Counter("seen", "Seen", ("what", "code"), registry=theirs)
    histogram = Histogram("took", "Took", ("what", "code"), buckets=EDGES, registry=theirs)
    counts = Counts("seen", "Seen", ("what", "code"), ours)
    spreads = Spreads("took", "Took", ("what", "code"), EDGES, ours)
    for labels, value in moves:
        counter.labels(*labels).inc(value)
        counts.labels(*labels).inc(value)
        histogram.labels(*labels).observe(value)
        spreads.labels(*labels).observe(value)
    assert generate_latest(ours) == generate_latest(theirs)


def test_attempts_are_counted_beside_what_was_expected_and_what_came_of_them() -> None:
    metrics = Metrics()
    main = metrics.workspace("main")
    sent: dict[str, Any] = {
        "at_us": 1, "contact": ContactId("c1"), "customer": "kim", "attempt": "c1/1",
        "channel": "sms", "address": "a", "purpose": "service", "sent_at_us": 1,
    }  # fmt: skip
    main.apply(e.OutboundSent(**sent, probability=0.8))
    main.apply(e.OutboundSent(**sent, probability=0.4, explore=True))
    main.apply(e.OutboundSent(**sent))
    said: dict[str, Any] = {
        "at_us": 2, "customer": "kim", "channel": "sms", "address": "a", "attempt": "c1/1",
        "attempted_at_us": 1, "outcome": "replied",
    }  # fmt: skip
    main.apply(e.OutcomeRecorded(**said))
    main.apply(e.OutcomeRecorded(**said, source="import"))
    text = generate_latest(metrics.registry).decode()
    of = '{channel="sms",workspace="main"}'
    assert f"router_outbound_attempts_total{of} 3.0" in text
    assert f"router_outbound_explored_total{of} 1.0" in text
    assert f"router_outbound_expected_reached_total{of} 1.2" in text
    assert 'outbound_outcomes_total{channel="sms",outcome="replied",workspace="main"} 1.0' in text
