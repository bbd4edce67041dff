"""The load test of calls, in small: it counts what the phones saw, of both queues."""

from __future__ import annotations

import math

import pytest

from loadtest import pbx, pbx_server

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(bool(pbx_server.missing()), reason=pbx_server.missing() or "there"),
]


async def test_both_queues_ring_every_caller_and_the_report_says_how_soon() -> None:
    report = await pbx.run(calls=3, seconds=2.0, rates=(5.0,))
    figures = {line.name: line for line in report.lines}
    for who in ("app_queue", "ours"):
        assert 0.5 < figures[f"idle, {who}, p50"].value < math.inf
        step = figures[f"5 calls/s, {who}, p99"]
        assert math.isfinite(step.value)
        assert "never rung for" not in step.note
        assert "rung for twice" not in step.note
        for word in ("agent hangs up", "customer hangs up"):
            again = figures[f"{word}, rung again, {who}, p50"]
            assert again.value > 0
            assert int(again.note.split()[0]) > 0
    # The difference that the whole thing is about, far above any noise.
    assert (
        figures["agent hangs up, rung again, ours, p50"].value
        < figures["agent hangs up, rung again, app_queue, p50"].value
    )
