"""Our counters and histograms say what the library's own would say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from router.runtime.meters import Counts, Spreads

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
