"""What Prometheus sees. Children are made once and kept; labels are bounded by the configuration.

Prefix ``router_``, base units, moments instead of ages, no ids as labels. Rendering 10,000 lines
takes a quarter of a second, so it happens in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from router.core import events as e
from router.core.estimates import mean_error_us
from router.core.model import SECOND_US, ContactId, ContactState, Presence, ReservationId
from router.core.state import State
from router.runtime.inbox import Shed
from router.runtime.meters import Count, Counts, Spread, Spreads

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page and say nothing here

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WAIT_BUCKETS = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800)
"""Service-level thresholds are exact bucket edges."""
COMMIT_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
RECORD_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
HANDLE_BUCKETS = (15, 30, 60, 120, 180, 240, 300, 420, 600, 900, 1800, 3600)
HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
WS = "workspace"


class Metrics:
    """All metrics of a process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._refresh: list[Callable[[], None]] = []
        self.loop_lag = Gauge(
            "router_loop_lag_seconds", "How late the event loop came to a timer", registry=registry
        )
        self.tasks = Gauge("router_tasks", "Tasks of the event loop", registry=registry)
        self.http = Spreads(
            "router_http_request_duration_seconds",
            "Duration of HTTP requests",
            ("route", "method", "code"),
            HTTP_BUCKETS,
            registry,
        )
        self.sign_ins = Counts(
            "router_sign_ins", "People who signed in, or were refused", ("way", "outcome"), registry
        )
        self.trace_spans = Counts(
            "router_trace_spans", "Spans sent to the collector, or lost", ("outcome",), registry
        )
        self.trace_drops = Counter(
            "router_trace_events_dropped",
            "Events that became no span: too many waited",
            registry=registry,
        )
        self.task_failures = Counter(
            "router_task_failures", "Tasks that ended by an exception", registry=registry
        )
        self._families = _Families(registry)

    def workspace(self, name: str) -> WorkspaceMetrics:
        """The metrics of one workspace."""
        return WorkspaceMetrics(name, self._families)

    def before_render(self, refresh: Callable[[], None]) -> None:
        """Call this before each rendering, to set gauges."""
        self._refresh.append(refresh)

    async def render(self) -> bytes:
        """The text for ``GET /metrics``."""
        for refresh in self._refresh:
            refresh()
        self.tasks.set(len(asyncio.all_tasks()))
        return await asyncio.get_running_loop().run_in_executor(
            None, generate_latest, self.registry
        )


class _Families:
    """The metrics that carry the workspace as a label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counts:
            return Counts(f"router_{name}", text, (WS, *labels), registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"router_{name}", text, (WS, *labels), registry=registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Spreads:
            return Spreads(f"router_{name}", text, (WS, *labels), buckets, registry)

        self.received = counter("contacts_received", "Contacts received", "channel")
        self.contacts = counter("contacts", "Contacts ended", "channel", "outcome")
        self.answered = counter("contacts_answered", "Contacts an agent took", "channel", "queue")
        self.live = gauge("contacts_live", "Contacts not closed", "channel", "state")
        self.timers = gauge("timers", "Deadlines that are set")
        self.depth = gauge("queue_depth", "Contacts waiting", "queue")
        self.oldest = gauge(
            "queue_oldest_enqueue_timestamp_seconds", "Since when one has waited; 0 = none", "queue"
        )
        each = ("queue", "channel")
        self.promised_bias = gauge(
            "estimated_wait_bias_seconds", "Real less estimated, mean", *each
        )
        self.promised_error = gauge("estimated_wait_error_seconds", "How far off, mean", *each)
        self.wait = histogram(
            "contact_wait_seconds", "Wait from queue entry", WAIT_BUCKETS, "queue", "outcome"
        )
        self.handle = histogram(
            "handle_seconds", "Talk and wrap-up", HANDLE_BUCKETS, "queue", "part"
        )
        self.offers = counter("offers", "Offers by outcome", "outcome")
        self.agents = gauge("agents", "Agents by declared presence", "presence")
        self.commit = histogram("commit_duration_seconds", "Duration of commits", COMMIT_BUCKETS)
        self.records = histogram("commit_records", "Events per commit", RECORD_BUCKETS)
        self.commit_failures = counter("commit_failures", "Commits that had to be tried again")
        self.suspended = gauge("suspended", "1 while the store takes nothing")
        self.seq = gauge("journal_seq", "Last committed sequence number")
        self.fenced = counter("stopped", "Workspaces that stopped by themselves")
        self.epoch = gauge("epoch", "Ownership number")
        self.owned = gauge("workspace_owned", "1 while this process serves the workspace")
        self.due = gauge("outbox_due", "Effects not settled", "channel")
        self.unknown = counter("effect_unknown", "Effects whose outcome nobody knows", "channel")
        self.effects = counter("effects", "Effects carried out", "channel", "outcome")
        self.letters = counter("dead_letters", "Inputs put aside", "kind")
        self.shed = counter("shed", "Inputs refused under load", "class")
        self.broken = counter("engine_restarts", "Engines loaded anew after a broken invariant")
        self.inbox = gauge("inbox", "Inputs waiting for the loop")
        self.adapters = gauge("adapter_up", "1 while the adapter serves", "adapter")
        self.sessions = gauge("desk_sessions", "Open desk connections")
        self.paused = gauge("channel_paused", "1 while nobody is offered its contacts", "channel")
        self.attempts = counter("outbound_attempts", "Attempts to reach a customer", "channel")
        self.explored = counter(
            "outbound_explored", "Of these, those made to learn something", "channel"
        )
        self.expected = counter(
            "outbound_expected_reached", "Of these, so many were expected to succeed", "channel"
        )
        self.outcomes = counter(
            "outbound_outcomes", "What became of attempts, as it was said", "channel", "outcome"
        )


class WorkspaceMetrics:
    """One workspace's children of the families, and the fold of its events into them."""

    def __init__(self, name: str, families: _Families) -> None:
        self._name = name
        self._f = families
        self._commit = families.commit.labels(name)
        self._records = families.records.labels(name)
        self._seq = families.seq.labels(name)
        self._counters: dict[tuple[str, ...], Count] = {}
        self._histograms: dict[tuple[str, ...], Spread] = {}
        self._waiting: dict[ContactId, tuple[int, str, str]] = {}
        """Since when, queue, channel: contacts that no agent has taken yet in this visit."""
        self._serving: dict[ReservationId, tuple[int, str, int]] = {}
        for label in ("accepted", "rejected", "timeout", "revoked"):
            self._count("offers", label)
        # What alerts watch begins with 0: Prometheus sees no increase in a first sample of 1.
        families.commit_failures.labels(name)
        families.broken.labels(name)
        for kind in ("command", "webhook"):
            self._count("letters", kind)
        for shed in Shed:
            self._count("shed", shed)

    # --- told by the loop ---------------------------------------------------------------------

    def committed(self, records: int, took_us: int, seq: int) -> None:
        """A commit went through."""
        self._commit.observe(took_us / SECOND_US)
        self._records.observe(records)
        self._seq.set(seq)

    def commit_failed(self) -> None:
        """A commit has to be tried again."""
        self._f.commit_failures.labels(self._name).inc()

    def suspended(self, is_suspended: bool) -> None:
        """The store takes nothing, or does again."""
        self._f.suspended.labels(self._name).set(is_suspended)

    def started(self, epoch: int) -> None:
        """The workspace is owned."""
        self._f.epoch.labels(self._name).set(epoch)
        self._f.owned.labels(self._name).set(1)
        self._f.suspended.labels(self._name).set(0)

    def stopped(self) -> None:
        """The workspace is not served any more."""
        self._f.fenced.labels(self._name).inc()
        self._f.owned.labels(self._name).set(0)

    def left(self) -> None:
        """The workspace is another node's: what stood in its gauges is over there now."""
        for family in vars(self._f).values():
            if isinstance(family, Gauge):
                family.remove_by_labels({"workspace": self._name})
        self._f.owned.labels(self._name).set(0)

    def shed(self, name: str) -> None:
        """An input was refused under load."""
        self._count("shed", name).inc()

    def broken(self) -> None:
        """The engine was loaded anew."""
        self._f.broken.labels(self._name).inc()

    def dead_letter(self, kind: str = "command") -> None:
        """Something was put aside for good."""
        self._count("letters", kind).inc()

    # --- told by the runtime ------------------------------------------------------------------

    def effect(self, channel: str, outcome: str) -> None:
        """An adapter carried an effect out, or did not (done, failed, unknown)."""
        self._count("effects", channel, outcome).inc()
        if outcome == "unknown":
            self._count("unknown", channel).inc()

    def adapter(self, name: str, is_up: bool) -> None:
        """An adapter's state."""
        self._f.adapters.labels(self._name, name).set(is_up)

    def gauges(self, state: State, inbox: int, sessions: int, due: dict[str, int]) -> None:
        """Set what is read off the state just before rendering."""
        name = self._name
        live: dict[tuple[str, ...], float] = {}
        depth: dict[str, int] = {}
        oldest: dict[str, int] = {}
        for contact in state.contacts.values():
            key = (contact.channel, contact.state.value)
            live[key] = live.get(key, 0) + 1
            if contact.state is ContactState.QUEUED:
                depth[contact.queue] = depth.get(contact.queue, 0) + 1
                since = oldest.get(contact.queue, contact.visit_at_us)
                oldest[contact.queue] = min(since, contact.visit_at_us)
        bias: dict[tuple[str, ...], float] = {}
        error: dict[tuple[str, ...], float] = {}
        for row in state.estimates.values():
            if (errors := mean_error_us(row)) is not None:
                queue_channel = row.id.rpartition("/")[::2]
                bias[queue_channel], error[queue_channel] = (us / SECOND_US for us in errors)
        agents = dict.fromkeys(Presence, 0)
        for agent in state.agents.values():
            agents[agent.presence] += 1
        _set_all(self._f.live, name, live)
        self._f.timers.labels(name).set(len(state.timers))
        _set_all(self._f.depth, name, {(queue,): count for queue, count in depth.items()})
        _set_all(self._f.oldest, name, {(q,): at / SECOND_US for q, at in oldest.items()})
        _set_all(self._f.promised_bias, name, bias)
        _set_all(self._f.promised_error, name, error)
        _set_all(self._f.agents, name, {(p.value,): count for p, count in agents.items()})
        _set_all(self._f.due, name, {(channel,): count for channel, count in due.items()})
        _set_all(self._f.paused, name, {(ch,): ch in state.pauses for ch in state.policy.channels})
        for channel in state.policy.channels:
            self._count("unknown", channel)  # 0 before the first one, as alerts need it
        self._f.inbox.labels(name).set(inbox)
        self._f.sessions.labels(name).set(sessions)

    # --- the fold -----------------------------------------------------------------------------

    def seed(self, state: State) -> None:
        """Contacts that were live at start: their waits are counted from their rows."""
        for contact in state.contacts.values():
            where = (contact.visit_at_us, str(contact.queue), contact.channel)
            self._waiting[contact.id] = where
        for row in state.reservations.values():
            if row.accepted_at_us:
                self._serving[row.id] = (row.accepted_at_us, str(row.queue), row.wrap_at_us)

    def apply(self, event: e.Event) -> None:
        """Count one event."""
        handler = _FOLD.get(type(event))
        if handler is not None:
            handler(self, event)

    def _received(self, event: e.ContactReceived) -> None:
        self._count("received", event.channel).inc()
        self._waiting[event.contact] = (event.at_us, str(event.queue), event.channel)

    def _queued(self, event: e.ContactQueued) -> None:
        since_us, queue, channel = self._waiting.get(event.contact, (0, "", ""))
        if since_us != event.visit_at_us or queue != event.queue:  # else it has just arrived
            self._waiting[event.contact] = (event.visit_at_us, str(event.queue), channel)

    def _offered(self, event: e.ContactOffered) -> None:
        since = self._waiting.get(event.contact, (event.at_us, "", ""))[0]
        self._waiting[event.contact] = (since, str(event.queue), event.channel)

    def _accepted(self, event: e.OfferAccepted) -> None:
        self._count("offers", "accepted").inc()
        since, queue, channel = self._waiting.get(event.contact, (event.at_us, "", ""))
        self._observe("wait", queue, "answered").observe((event.at_us - since) / SECOND_US)
        self._count("answered", channel, queue).inc()
        self._serving[event.reservation] = (event.at_us, queue, 0)

    def _rejected(self, _event: e.OfferRejected) -> None:
        self._count("offers", "rejected").inc()

    def _expired(self, _event: e.OfferExpired) -> None:
        self._count("offers", "timeout").inc()

    def _rescinded(self, _event: e.OfferRescinded) -> None:
        self._count("offers", "revoked").inc()

    def _wrap(self, event: e.WrapUpStarted) -> None:
        since, queue, _ = self._serving.get(event.reservation, (event.at_us, "", 0))
        self._observe("handle", queue, "talk").observe((event.at_us - since) / SECOND_US)
        self._serving[event.reservation] = (since, queue, event.at_us)

    def _ended(self, event: e.ReservationEnded) -> None:
        found = self._serving.pop(event.reservation, None)
        if found is None:
            return
        since, queue, wrap_at_us = found
        part, start = ("wrap", wrap_at_us) if wrap_at_us else ("talk", since)
        self._observe("handle", queue, part).observe((event.at_us - start) / SECOND_US)

    def _failed(self, event: e.ReservationFailed) -> None:
        self._serving.pop(event.reservation, None)

    def _closed(self, event: e.ContactClosed) -> None:
        since, queue, channel = self._waiting.pop(event.contact, (0, "", ""))
        self._count("contacts", channel, event.outcome.value).inc()
        if event.outcome.value != "completed" and since:
            seconds = (event.at_us - since) / SECOND_US
            self._observe("wait", queue, event.outcome.value).observe(seconds)

    def _sent(self, event: e.OutboundSent) -> None:
        self._count("attempts", event.channel).inc()
        if event.explore:
            self._count("explored", event.channel).inc()
        if event.probability >= 0:
            self._count("expected", event.channel).inc(event.probability)

    def _outcome(self, event: e.OutcomeRecorded) -> None:
        if event.source != "import":  # history, not what happens now
            self._count("outcomes", event.channel, event.outcome).inc()

    def _count(self, family: str, *labels: str) -> Count:
        key = (family, *labels)
        child = self._counters.get(key)
        if child is None:
            child = self._counters[key] = getattr(self._f, family).labels(self._name, *labels)
        return child

    def _observe(self, family: str, *labels: str) -> Spread:
        key = (family, *labels)
        child = self._histograms.get(key)
        if child is None:
            child = self._histograms[key] = getattr(self._f, family).labels(self._name, *labels)
        return child


def _set_all(gauge: Gauge, workspace: str, values: dict[tuple[str, ...], float]) -> None:
    """Set these children; those that are not named any more become 0."""
    for labels in list(gauge._metrics):  # the library has no list of children
        if labels[0] == workspace and labels[1:] not in values:
            gauge.labels(*labels).set(0)
    for labels, value in values.items():
        gauge.labels(workspace, *labels).set(value)


_FOLD: dict[type, Callable[[WorkspaceMetrics, Any], None]] = {
    e.ContactReceived: WorkspaceMetrics._received,
    e.ContactQueued: WorkspaceMetrics._queued,
    e.ContactOffered: WorkspaceMetrics._offered,
    e.OfferAccepted: WorkspaceMetrics._accepted,
    e.OfferRejected: WorkspaceMetrics._rejected,
    e.OfferExpired: WorkspaceMetrics._expired,
    e.OfferRescinded: WorkspaceMetrics._rescinded,
    e.WrapUpStarted: WorkspaceMetrics._wrap,
    e.ReservationEnded: WorkspaceMetrics._ended,
    e.ReservationFailed: WorkspaceMetrics._failed,
    e.ContactClosed: WorkspaceMetrics._closed,
    e.OutboundSent: WorkspaceMetrics._sent,
    e.OutcomeRecorded: WorkspaceMetrics._outcome,
}
