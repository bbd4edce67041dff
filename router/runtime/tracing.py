"""Traces for OpenTelemetry: events go into a bounded line here, a thread makes and sends the spans.

The loop pays for one append per commit; making spans, encoding and sending happen beside it. When
the collector is slow or away the line fills, and what comes then is dropped and counted: contacts
never wait for their trace.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import router
from router.config import Config, TracingSettings, read_secret
from router.core.events import Event
from router.core.model import Contact, Reservation
from router.errors import ConfigError
from router.runtime.metrics import Metrics
from router.runtime.spans import Lives, Parent, Span, read_parent

log = logging.getLogger("router.tracing")

LOOK_S = 0.5
"""How often the thread looks for what has come."""
BATCH = 512
SEND_S = 10.0
"""One request to the collector, with its repetitions."""
STOP_S = 3.0
COMPLAIN_S = 60.0
MISSING = "server.tracing needs the extra `tracing`: pip install 'contact-router[tracing]'"


class Sender(Protocol):
    """Takes finished spans to a collector."""

    def send(self, spans: Sequence[Span]) -> bool:
        """Did they arrive? May take its time."""

    def close(self) -> None:
        """Give up what is under way."""


class Tracing:
    """The traces of a process."""

    def __init__(
        self, settings: TracingSettings, metrics: Metrics, sender: Sender | None = None
    ) -> None:
        """Raises ConfigError when OpenTelemetry is not installed."""
        self._sender = sender or otlp_sender(settings)
        self._waiting: deque[tuple[int, Callable[..., list[Span]], tuple[Any, ...]]] = deque()
        self._most = settings.waiting
        self._share = settings.share
        self._held = 0
        self._taken = 0
        self._metrics = metrics
        self._ending = threading.Event()
        self._complained_at_s = -COMPLAIN_S
        self._thread = threading.Thread(target=self._run, name="tracing", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send what is there, for a moment; blocks that long."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        self._sender.close()

    def trail(
        self,
        workspace: str,
        contacts: Iterable[Contact] = (),
        reservations: Iterable[Reservation] = (),
    ) -> Trail:
        """What one workspace tells of its contacts, and of those that are there already."""
        lives = Lives(workspace, self._share)
        lives.adopt(contacts, reservations)
        return Trail(self, lives)

    # --- on the loop --------------------------------------------------------------------------

    def put(self, count: int, work: Callable[..., list[Span]], *args: Any) -> None:
        """Something for the thread; dropped and counted when too much waits. Never waits."""
        if self._held - self._taken + count > self._most:
            self._metrics.trace_drops.inc(count)
            return
        self._held += count
        self._waiting.append((count, work, args))

    # --- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        spans: list[Span] = []
        while True:
            is_last = self._ending.wait(LOOK_S)
            try:
                self._work(spans)
                self._send(spans, 1)
            except Exception:  # the thread must live
                log.exception("traces not sent")
                spans.clear()
            if is_last:
                return

    def _work(self, spans: list[Span]) -> None:
        waiting = self._waiting
        while waiting:
            count, work, args = waiting.popleft()
            # `_held` belongs to the loop, `_taken` to this thread: no lock is needed.
            self._taken += count
            try:
                spans += work(*args)
            except Exception:  # a trace less, and the log has why
                log.exception("no trace of this")
            self._send(spans, BATCH)

    def _send(self, spans: list[Span], least: int) -> None:
        while len(spans) >= least and spans:
            batch = spans[:BATCH]
            del spans[:BATCH]
            has_arrived = self._sender.send(batch)
            self._metrics.trace_spans.labels("sent" if has_arrived else "lost").inc(len(batch))
            now_s = time.monotonic()
            if not has_arrived and now_s - self._complained_at_s >= COMPLAIN_S:
                self._complained_at_s = now_s
                log.warning("the collector takes no traces", extra={"spans": len(batch)})


class Trail:
    """The contacts of one workspace on their way to the thread."""

    def __init__(self, tracing: Tracing, lives: Lives) -> None:
        self._put = tracing.put
        self._lives = lives

    def tap(self, first_seq: int, events: Sequence[Event]) -> None:
        """A commit is durable (a tap of the feed)."""
        self._put(len(events), self._all, first_seq, events)

    def expect(self, contact: str, traceparent: str) -> None:
        """A contact arrives out of a caller's trace; what is no traceparent is passed over."""
        parent = read_parent(traceparent)
        if parent is not None:
            self._put(1, self._expect, contact, parent)

    def effect(
        self, contact: str, name: str, start_us: int, end_us: int, **said: str | int
    ) -> None:
        """An adapter was asked for something."""
        attributes = {f"router.{key}": value for key, value in said.items()}
        self._put(1, self._lives.effect, contact, name, start_us, end_us, attributes)

    def _all(self, first_seq: int, events: Sequence[Event]) -> list[Span]:
        done: list[Span] = []
        for seq, event in enumerate(events, first_seq):
            done += self._lives.take(seq, event)
        return done

    def _expect(self, contact: str, parent: Parent) -> list[Span]:
        self._lives.expect(contact, parent)
        return []


def otlp_sender(settings: TracingSettings) -> Sender:
    """Sends by OTLP over HTTP (protobuf). Raises ConfigError: not installed, or a bad header."""
    try:
        from router.runtime.otlp import Otlp
    except ImportError as error:
        raise ConfigError([f"{MISSING} ({error.name} is not there)"]) from None
    return Otlp(settings.url, headers_in(settings.headers_file), SEND_S, version=router.__version__)


def headers_in(file: str) -> dict[str, str]:
    """Headers for the collector, ``name: value`` a line. Raises ConfigError."""
    found: dict[str, str] = {}
    for line in read_secret(Path(file)).decode().splitlines() if file else ():
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not name.strip().isascii():
            raise ConfigError([f"{file}: expected lines such as `x-api-key: ...`"])
        found[name.strip()] = value.strip()
    return found


def tracing_of(config: Config, metrics: Metrics) -> Tracing | None:
    """Traces that have begun, if the configuration asks for them. Raises ConfigError."""
    settings = config.server.tracing
    if settings is None:
        return None
    tracing = Tracing(settings, metrics)
    tracing.start()
    return tracing
