"""Traces of a running server, at the receiving end: OTLP read with OpenTelemetry's own protobuf."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from adapters.loopback import Loopback
from router.core.effects import DeliverMessage
from router.runtime.spans import ids_of
from tests.api.site import CONFIG, Site, api_of, start

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CANARIES = (
    "Kim Canary", "+4930777123", "kim.canary@example.com", "the canary sings", "canary-topic",
    "canary-id-1", "canary words of an agent", "Ana", "canary-disposition",
)  # fmt: skip


class Collector:
    """An OTLP receiver: keeps what came, as bytes and as spans."""

    def __init__(self) -> None:
        self.raw = b""
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[Any] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        data = await request.read()  # aiohttp has undone the compression
        self.raw += data
        self.headers.append(request.headers)
        self.requests.append(ExportTraceServiceRequest.FromString(data))
        return web.Response(content_type="application/x-protobuf")

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def resources(self) -> dict[str, str]:
        [first, *_] = self.requests[0].resource_spans
        return {pair.key: pair.value.string_value for pair in first.resource.attributes}


def said(span: Any) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, str(pair.value.WhichOneof("value")))
        for pair in span.attributes
    }


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    yield made
    await runner.cleanup()


@asynccontextmanager
async def traced(folder: Path, url: str, more: str = "") -> AsyncIterator[Site]:
    """A server that traces. What it has to say has been said when the block is over."""
    text = CONFIG.replace("server: {", f'server: {{tracing: {{url: "{url}"{more}}}, ')
    server = await start(folder, text)
    try:
        async with aiohttp.ClientSession() as session:
            yield Site(server, api_of(server), session)
    finally:
        await server.stop()


async def serve_one(site: Site, body: dict[str, Any], **headers: str) -> str:
    """A contact's whole life; its id."""
    admin = await site.client("admin")
    await admin("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    answer = await admin("POST", "/v1/contacts", body, **headers)
    assert answer.status == 201, answer
    contact: str = answer.body["contact"]
    ana = await site.client("agent")
    [row] = (await ana("GET", "/v1/reservations")).body["reservations"]
    accept = f"/v1/reservations/{row['id']}:accept"
    assert (await ana("POST", accept, {})).status == 200
    assert (await ana("POST", f"/v1/contacts/{contact}/messages",
                      {"text": "canary words of an agent"})).status in {200, 201}  # fmt: skip
    done = await ana(
        "POST", f"/v1/contacts/{contact}:complete", {"disposition": "canary-disposition"}
    )
    assert done.status in {200, 422}, done
    if done.status == 422:  # not one of the queue's
        await ana("POST", f"/v1/contacts/{contact}:complete", {"disposition": "solved"})
    await ana("POST", f"/v1/reservations/{row['id']}:finish-wrap-up", {"disposition": "solved"})
    return contact


PERSONAL = {
    "channel": "chat", "queue": "front", "external_id": "canary-id-1",
    "peer": {"address": "kim.canary@example.com", "name": "Kim Canary"},
    "customer": "canary-topic", "attributes": {"topic": "canary-topic", "phone": "+4930777123"},
    "message": {"text": "the canary sings", "subject": "canary-topic"},
}  # fmt: skip


async def test_a_whole_life_arrives_in_the_callers_trace_without_a_word_of_the_customer(
    collector: Collector, tmp_path: Path
) -> None:
    async with traced(tmp_path, collector.url) as site:
        contact = await serve_one(site, PERSONAL, traceparent=PARENT)
    spans = collector.spans()
    names = [span.name for span in spans]
    for name in ("contact", "queued", "offered", "connecting", "in service", "wrap-up"):
        assert names.count(name) == 1, names
    assert {span.trace_id.hex() for span in spans} == {PARENT[3:35]}
    [root] = [span for span in spans if span.name == "contact"]
    assert root.parent_span_id.hex() == PARENT[36:52]
    assert root.kind == Span.SPAN_KIND_SERVER
    assert {s.parent_span_id for s in spans if s.name != "contact"} == {root.span_id}
    assert said(root)["router.contact"] == contact
    assert said(root)["router.outcome"] == "completed"
    assert root.status.code == Status.STATUS_CODE_UNSET
    for span in spans:
        assert root.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= root.end_time_unix_nano
    assert "message received" in [event.name for event in root.events]
    assert collector.resources()["service.name"] == "contact-router"
    for canary in CANARIES:
        assert canary.encode() not in collector.raw, canary


async def test_without_a_caller_the_contacts_id_gives_the_trace(
    collector: Collector, tmp_path: Path
) -> None:
    async with traced(tmp_path, collector.url) as site:
        contact = await serve_one(site, PERSONAL)
        ignored = {**PERSONAL, "external_id": "2"}
        odd = await serve_one(site, ignored, traceparent="00-not-a-trace-01")
    roots = {said(s)["router.contact"]: s for s in collector.spans() if s.name == "contact"}
    assert roots.keys() == {contact, odd}
    for id_, root in roots.items():
        assert root.trace_id.hex() == f"{ids_of(id_)[0]:032x}"
        assert root.parent_span_id == b""


async def test_the_short_way_in_carries_a_trace(collector: Collector, tmp_path: Path) -> None:
    async with traced(tmp_path, collector.url) as site:
        body = b'{"channel":"email","queue":"billing","not_before_us":2000000000000000}'
        head = (
            f"POST /v1/contacts HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {await site.token('client')}\r\n"
            f"Content-Type: application/json\r\ntraceparent: {PARENT}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
        writer.write(head.encode() + body)
        async with asyncio.timeout(30):
            assert b"201" in await reader.readline()
            received = await reader.readuntil(b"}")
        writer.close()
        contact = json.loads(received[received.index(b"{") :])["contact"]
        admin = await site.client("admin")
        assert (await admin("POST", f"/v1/contacts/{contact}:cancel", {})).status == 200
    spans = {span.name: span for span in collector.spans()}
    assert spans.keys() == {"scheduled", "contact"}
    assert spans["contact"].trace_id.hex() == PARENT[3:35]
    assert said(spans["contact"])["router.outcome"] == "cancelled"


async def test_what_an_adapter_is_asked_is_seen(collector: Collector, tmp_path: Path) -> None:
    async with traced(tmp_path, collector.url) as site:
        texts = site.server.hosts["oak"].channels.get("texts")
        assert isinstance(texts, Loopback)
        contact = (await texts.arrive("+4930777123", to="+4930555300", text="canary")).contact
        admin, ana = await site.client("admin"), await site.client("agent")
        await admin("POST", "/v1/agents/ana:presence", {"presence": "ready"})
        [row] = (await ana("GET", "/v1/reservations")).body["reservations"]
        await ana("POST", f"/v1/reservations/{row['id']}:accept", {})
        path = f"/v1/contacts/{contact}/messages"
        assert (await ana("POST", path, {"text": "canary"})).status in {200, 201}

        def delivered() -> bool:
            return any(isinstance(p.task.effect, DeliverMessage) for p in texts.performed)

        await texts.until(delivered, 30)
        await ana("POST", f"/v1/contacts/{contact}:complete", {"disposition": "solved"})
        await ana("POST", f"/v1/reservations/{row['id']}:finish-wrap-up", {})
        await texts.until(lambda: "texts-1" not in texts.lines, 30)
    spans = {span.name: span for span in collector.spans()}
    sent = spans["DeliverMessage"]
    assert sent.trace_id == spans["contact"].trace_id
    assert (sent.kind, sent.parent_span_id) == (Span.SPAN_KIND_CLIENT, spans["contact"].span_id)
    assert said(sent)["router.adapter"] == "texts"
    assert said(sent)["router.result"] == "done"
    settled = [said(e) for e in spans["contact"].events if e.name == "effect settled"]
    assert [one["router.result"] for one in settled] == ["attempting", "done"]
    assert b"canary" not in collector.raw
    assert b"+4930777123" not in collector.raw


async def test_a_collector_that_is_away_holds_nothing_up(tmp_path: Path) -> None:
    async with traced(tmp_path, "http://127.0.0.1:9/v1/traces") as site:
        await serve_one(site, PERSONAL)
        assert (await site.anybody()("GET", "/readyz")).status == 200


async def test_headers_come_from_their_file(collector: Collector, tmp_path: Path) -> None:
    file = tmp_path / "collector.headers"
    file.write_text("x-api-key: s3cret\n", encoding="utf-8")
    file.chmod(0o600)
    async with traced(tmp_path / "data", collector.url, f', headers_file: "{file}"') as site:
        await serve_one(site, PERSONAL)
        admin = await site.client("admin")
        page = (await admin("GET", "/v1/config")).body
        assert "s3cret" not in str(page)
    assert {headers["x-api-key"] for headers in collector.headers} == {"s3cret"}
    assert {headers["Content-Encoding"] for headers in collector.headers} == {"gzip"}
