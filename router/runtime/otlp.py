"""Spans to an OpenTelemetry collector: the one file that knows OpenTelemetry."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from router.runtime.spans import Span

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Otlp:
    """OTLP over HTTP with protobuf, compressed; repeats by itself within its time."""

    def __init__(
        self, url: str, headers: Mapping[str, str], most_s: float, *, version: str
    ) -> None:
        # It would write a line per failed batch; `tracing` counts them and says so once a minute.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = OTLPSpanExporter(
            endpoint=url,
            headers=dict(headers),
            timeout=most_s,
            compression=Compression.Gzip,
        )
        # OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME are joined in by the library.
        self._resource = Resource.create(
            {"service.name": "contact-router", "service.version": version}
        )
        self._scope = InstrumentationScope("contact-router", version)

    def send(self, spans: Sequence[Span]) -> bool:
        """Did they arrive?"""
        made = [self._made(span) for span in spans]
        return self._exporter.export(made) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Give up what is under way."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _made(self, span: Span) -> ReadableSpan:
        parent = None
        if span.parent:
            parent = SpanContext(span.trace, span.parent, span.is_remote, _SAMPLED)
        kind = SpanKind.CLIENT if span.is_outward else SpanKind.INTERNAL
        return ReadableSpan(
            name=span.name,
            context=SpanContext(span.trace, span.id, False, _SAMPLED),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            events=[
                Event(note.name, attributes=note.attributes, timestamp=note.at_us * 1_000)
                for note in span.notes
            ],
            links=[Link(SpanContext(trace, id_, False, _SAMPLED)) for trace, id_ in span.links],
            kind=SpanKind.SERVER if span.is_remote else kind,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.start_us * 1_000,
            end_time=span.end_us * 1_000,
            instrumentation_scope=self._scope,
        )
