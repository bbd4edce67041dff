"""Traces go out beside the loop: bounded, counted when dropped or lost, and over when told so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from router.config.server import TracingSettings
from router.core import events as e
from router.core.model import ContactId, ContactOutcome
from router.errors import ConfigError
from router.runtime import tracing
from router.runtime.metrics import Metrics
from router.runtime.spans import Span
from router.runtime.tracing import BATCH, Tracing, headers_in

SETTINGS = TracingSettings(url="http://127.0.0.1:9/v1/traces", waiting=100)


class Collector:
    """Takes spans, or not, when it is let to."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()
        self.got: list[int] = []
        self.is_closed = False

    def send(self, spans: Sequence[Span]) -> bool:
        self.asked.set()
        assert self.open.wait(30)
        self.got.append(len(spans))
        return self.takes

    def close(self) -> None:
        self.is_closed = True
        self.open.set()


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def contact(number: int) -> list[e.Event]:
    id_ = ContactId(f"c{number}")
    return [
        e.ContactReceived(at_us=1, contact=id_, channel="chat"),
        e.ContactClosed(at_us=2, contact=id_, outcome=ContactOutcome.COMPLETED),
    ]


def ended(tracing: Tracing) -> None:
    tracing.stop()
    assert not tracing._thread.is_alive()


def test_what_was_told_before_the_end_arrives() -> None:
    metrics, collector = Metrics(), Collector()
    tracing = Tracing(SETTINGS, metrics, collector)
    trail = tracing.trail("oak")
    tracing.start()
    for number in range(20):
        trail.tap(2 * number + 1, contact(number))
    ended(tracing)
    assert sum(collector.got) == 20
    assert collector.is_closed
    assert value(metrics, "router_trace_spans_total", outcome="sent") == 20
    assert value(metrics, "router_trace_events_dropped_total") == 0


def test_a_slow_collector_costs_traces_and_nothing_else() -> None:
    metrics, collector = Metrics(), Collector()
    collector.open.clear()
    tracing = Tracing(SETTINGS, metrics, collector)
    trail = tracing.trail("oak")
    tracing.start()
    trail.tap(1, contact(0))
    assert collector.asked.wait(30), "the thread hangs in the collector from here on"
    for number in range(1, 200):
        trail.tap(2 * number + 1, contact(number))
    assert len(tracing._waiting) == 50, "100 events of 2 a commit"
    assert value(metrics, "router_trace_events_dropped_total") == 2 * (199 - 50)
    collector.open.set()
    ended(tracing)
    assert sum(collector.got) == 51
    # Room again: what comes is told.
    assert tracing._held - tracing._taken == 0


def test_what_the_collector_does_not_take_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    metrics, collector = Metrics(), Collector(takes=False)
    tracing = Tracing(SETTINGS, metrics, collector)
    trail = tracing.trail("oak")
    tracing.start()
    for number in range(40):
        trail.tap(2 * number + 1, contact(number))
    ended(tracing)
    assert value(metrics, "router_trace_spans_total", outcome="lost") == 40
    said = [record.message for record in caplog.records]
    assert said == ["the collector takes no traces"], "once a minute, not once a batch"


def test_many_go_in_batches() -> None:
    collector = Collector()
    many = TracingSettings(url=SETTINGS.url, waiting=10_000)
    tracing = Tracing(many, Metrics(), collector)
    trail = tracing.trail("oak")
    for number in range(1_200):
        trail.tap(2 * number + 1, contact(number))
    tracing.start()
    ended(tracing)
    assert collector.got == [BATCH, BATCH, 1_200 - 2 * BATCH]


def test_one_bad_event_costs_one_trace(caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector()
    tracing = Tracing(SETTINGS, Metrics(), collector)
    trail = tracing.trail("oak")
    broken: Callable[..., list[Span]] = lambda: 1 // 0  # type: ignore[assignment,return-value]  # noqa: E731
    tracing.put(1, broken)
    tracing.start()
    trail.tap(1, contact(1))
    ended(tracing)
    assert collector.got == [1]
    assert [record.message for record in caplog.records] == ["no trace of this"]


def test_the_collectors_headers_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("x-api-key: s3cret:with:colons\nauthorization: Bearer x\n", encoding="utf-8")
    file.chmod(0o600)
    assert headers_in(str(file)) == {
        "x-api-key": "s3cret:with:colons", "authorization": "Bearer x",
    }  # fmt: skip
    assert headers_in("") == {}
    file.write_text("s3cret", encoding="utf-8")
    with pytest.raises(ConfigError, match="expected lines") as caught:
        headers_in(str(file))
    assert "s3cret" not in str(caught.value)


def test_without_the_extra_the_configuration_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "router.runtime.otlp", None)
    with pytest.raises(ConfigError, match=r"contact-router\[tracing\]"):
        tracing.otlp_sender(SETTINGS)
