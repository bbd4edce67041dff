"""HTTP as callers use it, well or badly: a real server, real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from router.api.http import SlowClients
from router.api.routes import events as event_routes
from router.errors import JournalFailed
from router.journal import StoredFrame
from tests.api.site import Site, api_of, start

CONTACT = {"channel": "voice", "queue": "front", "peer": {"address": "+4915550001"}}


async def test_the_same_external_id_twice_is_the_same_contact(site: Site) -> None:
    client = await site.client("client")
    first = await client("POST", "/v1/contacts", CONTACT | {"external_id": "x"})
    second = await client("POST", "/v1/contacts", CONTACT | {"external_id": "x"})
    assert (first.status, second.status) == (201, 200)
    assert first.body["contact"] == second.body["contact"]
    assert second.body["created"] is False
    assert first.headers["Location"] == f"/v1/contacts/{first.body['contact']}"
    await client("POST", f"/v1/contacts/{first.body['contact']}:abandon", {})
    third = await client("POST", "/v1/contacts", CONTACT | {"external_id": "x"})
    assert (third.status, third.body["state"]) == (200, "closed")
    assert third.body["outcome"] == "abandoned"


@pytest.mark.parametrize("limit", ["--5", "-", "5-", "+5", "%D9%A3", "1e3", "0", "501", "-1"])
async def test_what_is_no_number_of_rows_is_the_callers_mistake(site: Site, limit: str) -> None:
    admin = await site.client("admin")
    answer = await admin("GET", f"/v1/contacts?limit={limit}")
    assert (answer.status, answer.body["code"]) == (422, "invalid"), answer.body


async def test_a_closed_contact_is_still_there(site: Site) -> None:
    admin = await site.client("admin")
    contact = (await admin("POST", "/v1/contacts", CONTACT)).body["contact"]
    cancelled = await admin("POST", f"/v1/contacts/{contact}:cancel", {"reason": "test"})
    assert cancelled.body["contact"]["state"] == "closed"
    found = (await admin("GET", f"/v1/contacts/{contact}")).body
    assert (found["outcome"], found["peer"]["address"]) == ("cancelled", "+4915550001")
    assert (await admin("GET", "/v1/contacts")).body["contacts"] == []
    closed = (await admin("GET", "/v1/contacts?state=closed")).body["contacts"]
    assert [c["id"] for c in closed] == [contact]
    events = (await admin("GET", f"/v1/contacts/{contact}/events")).body["events"]
    assert [e["event"]["type"] for e in events] == [
        "ContactReceived", "ContactQueued", "ContactClosed",
    ]  # fmt: skip
    again = await admin("POST", f"/v1/contacts/{contact}:cancel", {})
    assert again.status in {404, 409}


async def test_a_batch_answers_each_contact_by_itself(site: Site) -> None:
    client = await site.client("client")
    answer = await client(
        "POST",
        "/v1/contacts:batch",
        {
            "contacts": [
                CONTACT | {"external_id": "a"},
                CONTACT | {"queue": "nowhere"},
                CONTACT | {"external_id": "a"},
                CONTACT | {"requirements": {"billing": 3}},
            ]
        },
    )
    assert answer.status == 200
    statuses = [item["status"] for item in answer.body["results"]]
    assert statuses[0] == 201
    assert statuses[1] == 422
    assert statuses[2:] == [200, 201]
    assert answer.body["created"] == 2


async def test_addresses_are_for_staff_only(site: Site) -> None:
    client, admin = await site.client("client"), await site.client("admin")
    contact = (await client("POST", "/v1/contacts", CONTACT)).body["contact"]
    assert "peer" not in (await client("GET", f"/v1/contacts/{contact}")).body
    assert "peer" in (await admin("GET", f"/v1/contacts/{contact}")).body
    events = await admin("GET", f"/v1/contacts/{contact}/events")
    assert "4915550001" not in json.dumps(events.body)
    assert "sealed" not in json.dumps(events.body)


async def test_etag_and_if_match_guard_a_change(site: Site) -> None:
    admin = await site.client("admin")
    contact = (await admin("POST", "/v1/contacts", CONTACT)).body["contact"]
    path = f"/v1/contacts/{contact}"
    tag = (await admin("GET", path)).headers["ETag"]
    assert (await admin("GET", path, If_None_Match=tag)).status == 304
    changed = await admin("PATCH", path, {"attributes": {"vip": True}}, If_Match=tag)
    assert changed.status == 200
    assert changed.headers["ETag"] != tag
    assert changed.body["contact"]["attributes"] == {"vip": True}
    late = await admin("PATCH", path, {"attributes": {"vip": False}}, If_Match=tag)
    assert late.status == 412
    removed = await admin("PATCH", path, {"attributes": {"vip": None}})
    assert "attributes" not in removed.body["contact"]
    assert (await admin("PATCH", path, {}, If_Match="x")).status == 400


async def test_an_agent_is_created_changed_and_deleted(site: Site) -> None:
    admin = await site.client("admin")
    body = {"name": "Cy", "profile": "all", "skills": {"billing": 4}}
    made = await admin("PUT", "/v1/agents/cy", body, If_None_Match="*")
    assert made.status == 201
    assert (await admin("PUT", "/v1/agents/cy", body, If_None_Match="*")).status == 412
    tag = made.headers["ETag"]
    body["skills"] = {"billing": 5}
    changed = await admin("PUT", "/v1/agents/cy", body, If_Match=tag)
    assert changed.status == 200
    assert changed.body["skills"] == {"billing": 5}
    assert (await admin("PUT", "/v1/agents/cy", body, If_Match=tag)).status == 412
    assert (await admin("PUT", "/v1/agents/c%20y", body)).status == 422
    assert (await admin("PUT", "/v1/agents/cy", body | {"skills": {"x": 11}})).status == 422
    assert (await admin("DELETE", "/v1/agents/cy")).status == 204
    assert (await admin("GET", "/v1/agents/cy")).status == 404
    audit = (await admin("GET", "/v1/audit")).body["rows"]
    assert [row["action"] for row in audit].count("agent.put") >= 2
    assert audit[-1]["action"] == "agent.delete"
    assert audit[-1]["address"] == "127.0.0.1"


async def test_an_idempotency_key_makes_a_request_happen_once(site: Site) -> None:
    admin = await site.client("admin")
    answers = await asyncio.gather(
        *(admin("POST", "/v1/contacts", CONTACT, Idempotency_Key="k1") for _ in range(5))
    )
    assert len({a.body["contact"] for a in answers}) == 1
    assert sorted(a.status for a in answers) == [200, 200, 200, 200, 201]
    assert (await admin("GET", "/v1/contacts")).body["contacts"][0]["id"] == answers[0].body[
        "contact"
    ]
    other = await admin("POST", "/v1/contacts", CONTACT | {"tier": 2}, Idempotency_Key="k1")
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    contact = answers[0].body["contact"]
    path = f"/v1/contacts/{contact}:callback"
    first = await admin("POST", path, {}, Idempotency_Key="k2")
    second = await admin("POST", path, {}, Idempotency_Key="k2")
    assert first.status == second.status == 200, first
    assert "Idempotent-Replayed" in second.headers
    contacts = (await admin("GET", "/v1/contacts?state=scheduled")).body["contacts"]
    queued = (await admin("GET", "/v1/contacts")).body["contacts"]
    assert len(queued) == 1, (contacts, queued)
    assert (await admin("POST", path, {}, Idempotency_Key="")).status == 400
    assert (await admin("POST", path, {}, Idempotency_Key="x" * 201)).status == 400


async def test_an_idempotency_key_outlives_a_restart(site: Site, tmp_path: Any) -> None:
    admin = await site.client("admin")
    first = await admin("POST", "/v1/contacts", CONTACT, Idempotency_Key="k")
    await site.server.stop()
    server = await start(tmp_path)
    again = Site(server, api_of(server), site.session).anybody(admin.token)
    try:
        second = await again("POST", "/v1/contacts", CONTACT, Idempotency_Key="k")
        assert second.body["contact"] == first.body["contact"]
        assert (second.status, second.headers["Idempotent-Replayed"]) == (200, "true")
    finally:
        await server.stop()


async def test_pages_meet_every_contact_once(site: Site) -> None:
    admin = await site.client("admin")
    body = {"contacts": [CONTACT | {"external_id": f"e{n}"} for n in range(23)]}
    made = await admin("POST", "/v1/contacts:batch", body)
    wanted = sorted(item["receipt"]["contact"] for item in made.body["results"])
    for filters in ("queue=front", "channel=voice&state=queued"):
        found: list[str] = []
        cursor = ""
        while True:
            page = (await admin("GET", f"/v1/contacts?limit=5&{filters}&cursor={cursor}")).body
            found += [c["id"] for c in page["contacts"]]
            cursor = page.get("next", "")
            if not cursor:
                break
        assert found == wanted
    assert (await admin("GET", "/v1/contacts?queue=billing")).body["contacts"] == []
    assert len((await admin("GET", "/v1/contacts?external_id=e7")).body["contacts"]) == 1
    for bad in (
        "limit=0",
        "limit=x",
        "limit=501",
        "limit=1e2",
        "state=bored",
        "queue=" + "q" * 300,
    ):
        assert (await admin("GET", f"/v1/contacts?{bad}")).status == 422, bad


async def test_messages_are_written_and_read(site: Site) -> None:
    admin = await site.client("admin")
    new = {
        "channel": "sms",
        "peer": {"address": "+49155", "to": "+4930555300"},
        "message": {"id": "m-1", "text": "Where is it?"},
    }
    first = await admin("POST", "/v1/messages", new)
    assert first.status == 201, first
    contact = first.body["contact"]
    assert (await admin("POST", "/v1/messages", new)).body["contact"] == contact
    second = new | {"message": {"id": "m-2", "text": "Hello?"}}
    assert (await admin("POST", "/v1/messages", second)).body["contact"] == contact
    path = f"/v1/contacts/{contact}/messages"
    posted = {"direction": "from_customer", "id": "m-3", "text": "Anybody?"}
    assert (await admin("POST", path, posted)).status == 200
    assert (await admin("POST", path, posted)).status == 200
    sent = await admin("POST", path, {"text": "On its way"}, Idempotency_Key="s")
    assert sent.status == 200, sent
    again = await admin("POST", path, {"text": "On its way"}, Idempotency_Key="s")
    assert "Idempotent-Replayed" in again.headers
    mine = {"text": "It rings", "message": "mabcdefgh1"}
    first, second = await asyncio.gather(admin("POST", path, mine), admin("POST", path, mine))
    assert first.status == second.status == 200, (first, second)
    assert first.body["message"] == second.body["message"]
    assert (await admin("POST", path, mine)).body["message"] == first.body["message"]
    messages = (await admin("GET", path)).body["messages"]
    assert [(m["from"], m["text"]) for m in messages][:3] == [
        ("customer", "Where is it?"), ("customer", "Hello?"), ("customer", "Anybody?"),
    ]  # fmt: skip
    assert [m["text"] for m in messages[3:]] == ["On its way", "It rings"]
    page = (await admin("GET", f"{path}?limit=2")).body
    rest = (await admin("GET", f"{path}?limit=50&cursor={page['next']}")).body
    assert len(page["messages"] + rest["messages"]) == 5
    assert (await admin("POST", path, {"text": "x" * 65_537})).status == 422


async def test_a_callback_and_a_consult_tell_their_ids(site: Site) -> None:
    admin = await site.client("admin")
    contact = (await admin("POST", "/v1/contacts", CONTACT)).body["contact"]
    answer = await admin("POST", f"/v1/contacts/{contact}:callback", {"address": "+49177"})
    assert answer.status == 200, answer
    callback = (await admin("GET", f"/v1/contacts/{answer.body['callback']}")).body
    assert callback["callback_of"] == contact
    assert callback["peer"]["address"] == "+49177"


async def test_queues_belong_to_the_file(site: Site) -> None:
    admin = await site.client("admin")
    queue = (await admin("GET", "/v1/queues/billing")).body
    assert queue["place"].startswith("test.yaml:")
    refused = await admin("PUT", "/v1/queues/billing", {})
    assert (refused.status, refused.body["place"]) == (409, queue["place"])
    assert queue["place"] in refused.body["detail"]
    preview = (await admin("POST", "/v1/queues/billing:preview", {"channel": "voice"})).body
    assert preview["steps"][0]["step"] == "asked"
    assert preview["steps"][0]["requirements"] == {"billing": 6}
    assert preview["steps"][1]["requirements"] == {"billing": 3}


async def test_a_route_request_is_answered_without_queueing(site: Site) -> None:
    adapter = await site.client("adapter")
    answer = await adapter(
        "POST", "/v1/route", {"request": "r1", "channel": "voice", "to": "+4930555100"}
    )
    assert (answer.status, answer.body["queue"], answer.body["open"]) == (200, "front", True)
    admin = await site.client("admin")
    assert (await admin("GET", "/v1/contacts")).body["contacts"] == []
    lost = {"request": "r2", "channel": "voice", "to": "+1"}
    assert (await adapter("POST", "/v1/route", lost)).status == 422


BOMBS: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"[]", 422),
    (b"null", 422),
    (b'{"channel": "voice", "channel": "sms"}', 400),
    (b'{"channel": "voice", "attributes": {"a": 1, "a": 2}}', 400),
    (b'{"channel": "voice", "attributes": {"a": "x:y", "b": {"c": 1, "c": 2}}}', 400),
    (b'{"channel": "voice", "attributes": {"a": NaN}}', 400),
    (b'{"channel": "voice", "attributes": {"a": 1e999}}', 400),
    (b'{"channel": "voice", "attributes": {"a": 99999999999999999999}}', 400),
    (b'{"channel": "voice", "attributes": {"a": ' + b"9" * 5000 + b"}}", 400),
    (b'{"channel": "voice", "attributes": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}", 400),
    (b"[" * 100_000, 400),
    (b'{"a":' * 50_000, 400),
    (b'{"channel": "voice", "attributes": {"a": "\xff"}}', 400),
    (b'{"channel": "voice", "attributes": {"a": "\\ud800"}}', 400),
    (b'{"channel": "voice", "surprise": 1}', 422),
    (b'{"channel": "voice", "peer": {"address": 5}}', 422),
    (b'{"channel": 7}', 422),
    (b'{"channel": "", "queue": "front"}', 422),
    (b'{"channel": "voice", "requirements": {"billing": 11}}', 422),
    (b'{"channel": "voice", "requirements": {"": 1}}', 422),
    (b'{"channel": "voice", "tier": 1.5}', 422),
    (b'{"channel": "voice", "not_before_us": -1}', 422),
    (json.dumps({"channel": "voice", "attributes": {str(n): n for n in range(65)}}).encode(), 422),
    (json.dumps({"channel": "voice", "attributes": {"a": "x" * 17_000}}).encode(), 422),
    (json.dumps({"channel": "voice", "queue": "nowhere"}).encode(), 422),
    (json.dumps({"channel": "smoke", "queue": "front"}).encode(), 422),
]


@pytest.mark.parametrize(("raw", "status"), BOMBS, ids=[repr(b[0][:50]) for b in BOMBS])
async def test_bad_bodies_get_a_clear_error(raw: bytes, status: int, site: Site) -> None:
    client = await site.client("client")
    answer = await client("POST", "/v1/contacts", raw=raw)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.status == status, answer
    assert answer.body["title"]
    assert answer.body["detail"]
    admin = await site.client("admin")
    assert (await admin("GET", "/v1/contacts")).body["contacts"] == []


async def test_too_large_and_wrongly_typed_bodies_are_refused(site: Site) -> None:
    client = await site.client("client")
    large = json.dumps({"channel": "voice", "attributes": {"a": "x" * (1 << 20)}}).encode()
    assert (await client("POST", "/v1/contacts", raw=large)).status == 413
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"):
        answer = await client("POST", "/v1/contacts", raw=b"{}", Content_Type=kind)
        assert (answer.status, answer.code) == (415, "content_type")
    fine = json.dumps(CONTACT).encode()
    kind = "application/json; charset=utf-8"
    assert (await client("POST", "/v1/contacts", raw=fine, Content_Type=kind)).status == 201


async def test_unknown_paths_methods_and_verbs_get_problems(site: Site) -> None:
    admin = await site.client("admin")
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("POST", "/v1/contacts/c1:explode", 404),
        ("POST", "/v1/contacts/c1", 405),
        ("DELETE", "/v1/contacts", 405),
        ("PATCH", "/v1/agents/ana", 405),
        ("GET", "/v1/desk", 400),
    ):
        answer = await admin(method, path)
        assert answer.status == status, (method, path, answer)
        assert answer.body["status"] == status
    assert (await admin("DELETE", "/v1/contacts")).headers["Allow"] == "GET, POST"


async def test_answers_name_no_versions_and_no_tracebacks(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await site.client("admin")
    answer = await admin("GET", "/v1/agents")
    assert answer.headers["Server"] == "contact-router"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"

    def broken(self: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(site.api.tenants["oak"]), "read", broken)
    answer = await admin("GET", "/v1/agents")
    assert answer.status == 500
    assert "secret" not in json.dumps(answer.body)
    assert "incident" in answer.body["detail"]


async def test_the_stream_goes_on_after_the_last_event_seen(site: Site) -> None:
    admin = await site.client("admin")
    for _ in range(3):
        await admin("POST", "/v1/contacts", CONTACT)
    seen = await events(site, admin.token, "?from_seq=1&types=ContactReceived", 3)
    assert [event["type"] for _, event in seen] == ["ContactReceived"] * 3
    rest = await events(site, admin.token, "?types=ContactReceived", 2, last=seen[0][0])
    assert rest == seen[1:]
    one = seen[1][1]["contact"]
    mine = await events(site, admin.token, f"?from_seq=1&contact={one}", 2)
    assert {event["contact"] for _, event in mine} == {one}
    assert (await admin("GET", "/v1/events?types=Surprise")).status == 422
    assert (await admin("GET", "/v1/events", Last_Event_ID="x")).status == 422


async def events(
    site: Site, token: str, query: str, count: int, last: str = ""
) -> list[tuple[str, dict[str, Any]]]:
    headers = {"Authorization": f"Bearer {token}"}
    if last:
        headers["Last-Event-ID"] = last
    found: list[tuple[str, dict[str, Any]]] = []
    async with (
        asyncio.timeout(30),
        site.session.get(f"{site.base}/v1/events{query}", headers=headers) as response,
    ):
        assert response.headers["Content-Type"] == "text/event-stream"
        id_ = ""
        async for line in response.content:
            if line.startswith(b"id: "):
                id_ = line[4:].strip().decode()
            if line.startswith(b"data: "):
                found.append((id_, json.loads(line[6:])))
                if len(found) == count:
                    break
    return found


async def test_a_revoked_token_sees_nothing_more_on_its_stream(site: Site) -> None:
    admin, supervisor = await site.client("admin"), await site.token("supervisor")
    headers = {"Authorization": f"Bearer {supervisor}"}
    async with (
        asyncio.timeout(30),
        site.session.get(f"{site.base}/v1/events", headers=headers) as response,
    ):
        assert await response.content.readuntil(b"\n\n")
        tokens = (await admin("GET", "/v1/tokens")).body["tokens"]
        (mine,) = (one["id"] for one in tokens if one["role"] == "supervisor")
        assert (await admin("DELETE", f"/v1/tokens/{mine}")).status == 204
        assert b"data:" not in await response.read()


async def test_a_revoked_token_loses_a_stream_on_which_nothing_happens(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_routes, "BEAT_S", 0.1)
    headers = {"Authorization": f"Bearer {await site.token('supervisor')}"}
    async with (
        asyncio.timeout(30),
        site.session.get(f"{site.base}/v1/events?types=ContactParked", headers=headers) as response,
    ):
        assert await response.content.readuntil(b"\n\n")
        for row in site.api.tokens.of("oak"):
            if row.role == "supervisor":
                await site.api.tokens.revoke("oak", row.id, "test")
        await response.read()  # it ends


async def test_a_client_that_never_finishes_its_header_is_cut(site: Site) -> None:
    guard = SlowClients(site.server._runners[0].server, limit_s=0.1)
    guard.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
        writer.write(b"POST /v1/contacts HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        writer.close()
    except ConnectionError:
        pass
    finally:
        guard.stop()


async def test_a_body_that_never_ends_is_answered_408(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.api.http.BODY_TIMEOUT_S", 0.1)
    token = await site.token("client")
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    writer.write(
        b"POST /v1/contacts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\nAuthorization: Bearer " + token.encode() + b'\r\n\r\n{"cha'
    )
    async with asyncio.timeout(30):
        assert b" 408 " in await reader.readline()
    writer.close()


async def test_a_caller_who_asks_too_often_waits(site: Site) -> None:
    site.api.limits.tokens.rate = 0.01
    site.api.limits.tokens.burst = 3.0
    client = await site.client("supervisor")
    answers = [await client("GET", "/v1/agents") for _ in range(5)]
    assert [a.status for a in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_pages_have_strict_headers(site: Site) -> None:
    nobody = site.anybody()
    page = await nobody("GET", "/desk")
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    for part in (
        "default-src 'self'",
        "script-src 'self'",
        "object-src 'none'",
        "frame-ancestors 'none'",
    ):
        assert part in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    script = await nobody("GET", "/widget.js")
    assert script.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert script.headers["Content-Type"].startswith("text/javascript")
    icon = await nobody("GET", "/favicon.ico")
    assert (icon.status, icon.headers["Content-Type"]) == (200, "image/svg+xml")


async def test_requests_after_the_stop_are_told_to_come_back(site: Site) -> None:
    admin = await site.client("admin")
    site.api.context.stopping = True
    answer = await admin("GET", "/v1/agents")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "Retry-After" in answer.headers
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await site.session.ws_connect(f"{site.base}/v1/desk")
    assert refused.value.status == 503


async def test_a_stream_whose_store_does_not_answer_ends_and_goes_on_where_it_was(
    site: Site,
) -> None:
    feed = site.server.hosts["oak"].workspace.feed
    reading, refusals = feed.read, 1

    async def read(first_seq: int, count: int) -> list[StoredFrame]:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise JournalFailed("planted: no answer")
        return await reading(first_seq, count)

    feed.read = read  # type: ignore[method-assign]
    headers = {"Authorization": f"Bearer {await site.token('admin')}"}
    url = f"{site.base}/v1/events?from_seq=1"
    async with asyncio.timeout(30):
        async with site.session.get(url, headers=headers) as response:
            assert response.status == 200
            assert b"data:" not in await response.read()
        async with site.session.get(url, headers=headers) as response:
            assert await response.content.readuntil(b"data: ")
