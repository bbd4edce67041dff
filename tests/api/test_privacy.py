"""Export and erasure: what there is of a person is told whole, and afterwards is nowhere.

Canaries (texts that stand nowhere else) go in by every way in; every file of the store, of a backup
made before, the log and the metrics are searched for them, and whatever is sealed must not open.
"""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router import offline
from router.config import loads
from router.core.commands import RecordAudit
from router.journal import ArchiveWrite
from router.journal.keys import BlockKeys
from router.journal.keys_file import SqliteBlocks
from router.journal.seal import Sealer
from router.runtime import erasure, logs
from router.runtime.customer_rows import opened
from router.runtime.veil import Reader
from tests.api.site import CONFIG, Client, Site, api_of, start
from tests.journal.conftest import RedisServer

NUMBER = "+4930192837465"
MAIL = "canary.kim@example.org"
NAME = "Kim Canarisch"
TEXT = "my canary sings at noon"
LABEL = "canarylabel"
CANARIES = (NUMBER, NUMBER[1:], MAIL, "canary.kim", NAME, "Canarisch", TEXT, LABEL)
FIELDS = (
    "attribute", "attributes_name", "external", "conversation", "message_id", "subject", "later",
    "prompt", "choice", "value", "reject", "cancel", "transfer", "idempotency", "consent",
    "objection", "attempt", "request", "route", "profile", "profiles_name",
)  # fmt: skip
"""Every field that a caller can fill; the text that stands in it: `bird`."""


async def life(admin: Client) -> str:
    """A customer with everything: contacts, messages, a decision, consent, STOP, a merge."""
    sms = {"channel": "sms", "peer": {"address": NUMBER, "name": NAME}, "queue": "front"}
    await admin("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    message = {**sms, "message": {"text": TEXT, "id": "sms-1"}, "external_id": "thread-1"}
    contact: str = (await admin("POST", "/v1/contacts", message)).body["contact"]
    (offer,) = (await admin("GET", "/v1/reservations")).body["reservations"]
    await admin("POST", f"/v1/reservations/{offer['id']}:accept", {})
    await admin("POST", f"/v1/contacts/{contact}/messages", {"text": f"You said: {TEXT}"})
    await admin("POST", f"/v1/contacts/{contact}:complete", {})
    await admin("POST", f"/v1/reservations/{offer['id']}:finish-wrap-up", {})
    body = {
        "id": "kim",
        "name": NAME,
        "attributes": {"remark": TEXT},
        "identities": [{"address": NUMBER, "label": LABEL}, {"address": MAIL}],
    }
    made = await admin("POST", "/v1/customers", body)
    assert made.status == 201, made
    assert made.body["contacts"] == 1
    await admin("POST", "/v1/customers/kim/consents", {"state": "given", "purpose": "marketing"})
    stop = {**sms, "queue": "", "message": {"text": "STOP", "id": "sms-2"}}
    assert (await admin("POST", "/v1/messages", stop)).status == 201
    return contact


def bird(field: str) -> str:
    """A text that stands in this field and nowhere else."""
    return f"zaunkoenig-{field.replace('_', '-')}"


async def many_fields(admin: Client) -> list[str]:
    """More of the same customer's life, with a bird in every field that a caller can fill."""
    client = await _said(admin)
    contacts = [await _asked(admin), await _refused(admin)]
    seen = (await admin("GET", f"/v1/contacts/{contacts[0]}")).body
    outcome = {
        "channel": "sms", "address": NUMBER, "outcome": "no_answer",
        "attempted_at_us": seen["created_at_us"], "attempt": bird("attempt"),
    }  # fmt: skip
    assert (await admin("POST", f"{client}/outcomes", outcome)).status == 204
    route = {
        "request": bird("request"), "channel": "voice", "queue": "front", "address": NUMBER,
        "attributes": {"why": bird("route")},
    }  # fmt: skip
    assert (await admin("POST", "/v1/route", route)).status == 200
    return contacts


async def _said(admin: Client) -> str:
    """What is said of the customer: profile, consent, an objection."""
    client = "/v1/customers/kim"
    attributes = {bird("profiles_name"): bird("profile")}
    assert (await admin("PATCH", client, {"attributes": attributes})).status == 200
    consent = {"state": "given", "purpose": "news", "source": bird("consent")}
    assert (await admin("POST", f"{client}/consents", consent)).status == 200
    objection = {"channel": "email", "source": bird("objection")}
    assert (await admin("POST", f"{client}:do-not-contact", objection)).status == 200
    return client


async def _asked(admin: Client) -> str:
    """A waiting caller whose contact is changed, asked something, and withdrawn."""
    await admin("POST", "/v1/agents/ana:presence", {"presence": "not_ready", "reason": "lunch"})
    body = {
        "channel": "voice", "peer": {"address": NUMBER, "name": NAME}, "queue": "front",
        "external_id": bird("external"), "conversation": bird("conversation"),
        "attributes": {bird("attributes_name"): bird("attribute")},
        "message": {"text": TEXT, "id": bird("message_id"), "subject": bird("subject")},
    }  # fmt: skip
    headers = {"Idempotency_Key": bird("idempotency")}
    made = await admin("POST", "/v1/contacts", body, **headers)
    assert made.status == 201, made
    contact: str = made.body["contact"]
    assert (await admin("POST", "/v1/contacts", body, **headers)).body["contact"] == contact
    place = f"/v1/contacts/{contact}"
    assert (await admin("PATCH", place, {"attributes": {"later": bird("later")}})).status == 200
    ask = {"name": "pin", "prompt": bird("prompt"), "choices": {"1": bird("choice")}}
    assert (await admin("POST", f"{place}:collect", ask)).status == 200
    answer = {"name": "pin", "value": "1"}
    assert (await admin("POST", f"{place}:input", answer)).status == 200
    ask = {"name": "why", "prompt": bird("prompt"), "digits": 40}
    assert (await admin("POST", f"{place}:collect", ask)).status == 200
    answer = {"name": "why", "value": bird("value")}
    assert (await admin("POST", f"{place}:input", answer)).status == 200
    assert (await admin("POST", f"{place}:cancel", {"reason": bird("cancel")})).status == 200
    return contact


async def _refused(admin: Client) -> str:
    """A caller whom one agent declines and then transfers, with words."""
    body = {"channel": "voice", "peer": {"address": NUMBER}, "queue": "front"}
    contact: str = (await admin("POST", "/v1/contacts", body)).body["contact"]
    for verb, agent in (("reject", "ana"), ("accept", "ben")):
        await admin("POST", f"/v1/agents/{agent}:presence", {"presence": "ready"})
        (offer,) = (await admin("GET", "/v1/reservations")).body["reservations"]
        place = f"/v1/reservations/{offer['id']}"
        reason = {"reason": bird("reject")} if verb == "reject" else {}
        assert (await admin("POST", f"{place}:{verb}", reason)).status == 200
        if verb == "reject":
            lunch = {"presence": "not_ready", "reason": "lunch"}
            await admin("POST", "/v1/agents/ana:presence", lunch)
    await admin("POST", f"{place}:connected", {})
    away = {"queue": "billing", "reason": bird("transfer")}
    moved = await admin("POST", f"/v1/contacts/{contact}:transfer", away)
    assert moved.status == 200, moved
    await admin("POST", f"/v1/contacts/{contact}:cancel", {})
    for open_ in (await admin("GET", "/v1/reservations")).body["reservations"]:
        await admin("POST", f"/v1/reservations/{open_['id']}:finish-wrap-up", {})
    return contact


async def streamed(admin: Client) -> bytes:
    """All events from the first on, as they are told now."""
    found = b""
    url = f"{admin.base}/v1/events?from_seq=1"
    headers = {"Authorization": f"Bearer {admin.token}"}
    async with admin.session.get(url, headers=headers) as answer:
        async for line in answer.content:
            found += line
            if b"CustomerErased" in line:
                return found
    return found


def bytes_of(*places: Path) -> dict[str, bytes]:
    files = [file for place in places for file in sorted(place.rglob("*")) if file.is_file()]
    return {str(file): file.read_bytes() for file in files}


def seen_in(files: dict[str, bytes]) -> list[tuple[str, str]]:
    return [
        (name, canary)
        for name, data in files.items()
        for canary in (*CANARIES, *map(bird, FIELDS))
        if canary.encode() in data or canary.encode("utf-16-le") in data
    ]


async def test_the_export_tells_everything(site: Site) -> None:
    admin = await site.client("admin")
    contact = await life(admin)
    told = (await admin("GET", "/v1/customers/kim:export")).body
    assert {i["address"] for i in told["customer"]["identities"]} == {NUMBER, MAIL}
    assert told["customer"]["attributes"] == {"remark": TEXT}
    assert [said["purpose"] for said in told["customer"]["consents"]] == ["marketing"]
    assert told["customer"]["do_not_contact"][0]["asked_from"]
    first = next(c for c in told["contacts"] if c["contact"]["id"] == contact)
    assert first["contact"]["peer"]["address"] == NUMBER
    assert [m["text"] for m in first["messages"]] == [TEXT, f"You said: {TEXT}"]
    assert first["decisions"][0]["type"] == "ContactOffered"
    assert len(told["contacts"]) == 2
    for role in ("supervisor", "client"):
        client = await site.client(role)
        assert (await client("GET", "/v1/customers/kim:export")).status == 403


async def test_an_export_tells_every_decision_however_many(site: Site) -> None:
    admin = await site.client("admin")
    contact = await life(admin)
    workspace = site.api.context.workspaces["oak"]
    (row,) = await workspace.journal.list_archive(workspace.own, "decision", f"{contact}/", "", 2)
    for number in range(450):
        id_ = f"{contact}/9{number:014d}"
        workspace.keep(ArchiveWrite("decision", id_, workspace.now_us(), row[1]))
    await workspace.ask(RecordAudit(action="test", subject="", by="test"))
    told = (await admin("GET", "/v1/customers/kim:export")).body
    first = next(c for c in told["contacts"] if c["contact"]["id"] == contact)
    assert len(first["decisions"]) == 451


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, as the server writes it at its most talkative."""
    root, names = logging.getLogger(), ("", "router", "adapters")
    handlers, levels = root.handlers[:], [logging.getLogger(name).level for name in names]
    stream = io.StringIO()
    logs.set_up("debug", stream)
    yield stream
    root.handlers[:] = handlers
    for name, level in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(level)


async def test_an_erased_customer_is_nowhere(
    log: io.StringIO, site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    admin = await site.client("admin")
    contact = await life(admin)
    others = await many_fields(admin)
    backup = site.server.data / "backup"
    await site.server.backup()
    host = site.server.hosts["oak"]
    before = await host.workspace.journal.fetch(host.workspace.own, "customer", ["kim"])
    done = await admin("POST", "/v1/customers/kim:erase", {})
    assert done.status == 200, done
    assert (done.body["contacts"], done.body["messages"]) == (4, 5)
    assert done.body["keys"] >= 5

    for path in ("kim", "kim:export"):
        assert (await admin("GET", f"/v1/customers/{path}")).status == 404
    number = NUMBER.replace("+", "%2B")
    assert (await admin("GET", f"/v1/customers?identity={number}")).body["customers"] == []
    assert (await admin("GET", f"/v1/customers?identity={MAIL}")).body["customers"] == []
    assert (await admin("GET", f"/v1/contacts/{contact}")).status == 404
    assert (await admin("GET", f"/v1/contacts/{contact}/messages")).status == 404
    assert host.workspace.sealer.open(*_parts(before["kim"])) is None
    assert (await admin("POST", "/v1/customers/kim:erase", {})).status == 404
    for other in others:
        assert (await admin("GET", f"/v1/contacts/{other}")).status == 404
    for kind in ("external", "received"):
        assert await host.workspace.journal.list_archive(host.workspace.own, kind) == []
    told = await streamed(admin)
    assert told.count(b'"erased":true') > 10
    another = await _export_of(admin, "lee")

    metrics = (await admin("GET", "/metrics")).body
    stream = json.dumps((await admin("GET", "/v1/audit")).body)
    await site.server.stop()
    out = capfd.readouterr()
    texts = {
        "log": log.getvalue().encode(),
        "events": told,
        "export of another": json.dumps(another).encode(),
        "metrics": metrics if isinstance(metrics, bytes) else str(metrics).encode(),
        "audit": stream.encode(),
        "stdout": (out.out + out.err).encode(),
    }
    assert "ContactReceived" in log.getvalue()
    files = bytes_of(site.server.data)
    assert any(b"ContactReceived" in data for data in files.values()), (
        "it is looked at the right place"
    )
    assert seen_in(files | texts) == []
    assert str(backup) in str(list(bytes_of(site.server.data)))


async def _export_of(admin: Client, customer: str) -> Any:
    await admin("POST", "/v1/customers", {"id": customer, "name": "Lee"})
    return (await admin("GET", f"/v1/customers/{customer}:export")).body


async def test_a_backup_from_before_cannot_be_read_once_the_list_was_applied(
    site: Site, tmp_path: Path
) -> None:
    admin = await site.client("admin")
    await life(admin)
    await many_fields(admin)
    await site.server.backup()
    workspace = site.server.hosts["oak"].workspace
    stored = (await workspace.journal.fetch(workspace.own, "customer", ["kim"]))["kim"]
    await admin("POST", "/v1/customers/kim:erase", {})
    erased = await site.server.hosts["oak"].workspace.keys.erased()
    (copy,) = (site.server.data / "backup").iterdir()
    keys = await BlockKeys.open(SqliteBlocks(copy / "keys"))
    try:
        sealer = Sealer(keys, b"any secret of enough bytes")
        assert opened(sealer, stored) is not None, "the copy still has the key"
        place = copy / "journal" / "ws-oak.db"
        assert set(map(bird, FIELDS)) - _readable(sealer, place) == UNSTORED
        assert await erasure.apply_list(keys, erased) == len(erased)
        assert opened(sealer, stored) is None
        assert [found for found in _readable(sealer, place) if "zaunkoenig" in found] == []
        assert _openable(sealer, copy / "journal" / "ws-oak.db") == []
        assert await erasure.apply_list(keys, erased) == 0
    finally:
        await keys.close()
    await site.server.stop()
    assert seen_in(bytes_of(copy)) == []


@pytest.mark.parametrize("with_newest", [True, False])
async def test_an_older_backup_that_is_restored_keeps_the_erased_erased(
    site: Site, tmp_path: Path, with_newest: bool
) -> None:
    """With the newest copy of the keys named, and with what is found by itself."""
    admin = await site.client("admin")
    contact = await life(admin)
    other, _ = await many_fields(admin)
    await site.server.backup()
    (before,) = (site.server.data / "backup").iterdir()
    await admin("POST", "/v1/customers/kim:erase", {})
    newest = site.server.data / "newest"
    await site.server._keys.backup(newest)  # type: ignore[union-attr]
    shutil.copy(site.server.data / "secret", newest / "secret")
    await site.server.stop()
    config = loads(CONFIG, "test.yaml")
    target = tmp_path / "restored"
    keys = newest if with_newest else before / "keys"
    told = await offline.restore(config, target, before / "journal", keys)
    counted = "0 keys" if with_newest else "6 keys"
    assert told[-2:] == [
        f"erasures read: {site.server.data}",
        f"{counted} of the backup were erased since, and stay so",
    ]
    server = await start(target)
    again = Site(server, api_of(server), site.session)
    try:
        client = again.anybody(admin.token)
        assert (await client("GET", "/v1/customers/kim")).status == 404
        found = (await client("GET", f"/v1/contacts/{contact}")).body
        assert found["peer"] == {"erased": True}
        found = (await client("GET", f"/v1/contacts/{other}")).body
        assert (found["peer"], found.get("attributes"), found.get("external_id")) == (
            {"erased": True}, None, None,
        )  # fmt: skip
        events = (await client("GET", f"/v1/contacts/{other}/events")).body["events"]
        assert [item["event"]["type"] for item in events if item["event"].get("erased")] == [
            "ContactReceived", "ContactUpdated", "InputAsked", "InputCollected", "InputAsked",
            "InputCollected", "ContactClosed",
        ]  # fmt: skip
        messages = (await client("GET", f"/v1/contacts/{contact}/messages")).body["messages"]
        assert [m["erased"] for m in messages] == [True, True]
    finally:
        await server.stop()
    assert seen_in(bytes_of(target)) == []


async def test_a_stopped_servers_events_are_told_whole_until_somebody_is_erased(
    site: Site, tmp_path: Path
) -> None:
    admin = await site.client("admin")
    await life(admin)
    await many_fields(admin)
    await site.server.stop()
    (tmp_path / "test.yaml").write_text(CONFIG)
    told: list[str] = []
    data = site.server.data
    await offline.tail_store(tmp_path / "test.yaml", data, "oak", 1, told.append)
    known = {name for name in FIELDS if any(bird(name) in line for line in told)}
    assert {bird(name) for name in FIELDS} - {bird(name) for name in known} == UNSTORED
    server = await start(data)
    again = Site(server, api_of(server), site.session).anybody(admin.token)
    assert (await again("POST", "/v1/customers/kim:erase", {})).status == 200
    await server.stop()
    told.clear()
    await offline.tail_store(tmp_path / "test.yaml", data, "oak", 1, told.append)
    assert seen_in({"tail": "".join(told).encode()}) == []
    assert any('"erased":true' in line for line in told)


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_an_erased_customer_is_nowhere_in_redis(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    redis = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    text = CONFIG.replace("server: {", f"server: {{journal: {{store: redis, url: '{redis.url}'}}, ")
    server = await start(tmp_path / "data", text)
    try:
        async with aiohttp.ClientSession() as session:
            site = Site(server, api_of(server), session)
            admin = await site.client("admin")
            contact = await life(admin)
            await many_fields(admin)
            workspace = server.hosts["oak"].workspace
            stored = (await workspace.journal.fetch(workspace.own, "customer", ["kim"]))["kim"]
            done = await admin("POST", "/v1/customers/kim:erase", {})
            assert (done.status, done.body["contacts"]) == (200, 4)
            assert workspace.sealer.open(*_parts(stored)) is None
            assert (await admin("GET", f"/v1/contacts/{contact}")).status == 404
            left = [key for key in redis.client.scan_iter() if b"message" in key]
            assert left == []
    finally:
        await server.stop()
        redis.close()
    files = bytes_of(tmp_path)
    assert any(b"ContactReceived" in data for data in files.values()), "the append-only file"
    assert seen_in(files) == []


UNSTORED = {bird(name) for name in ("idempotency", "request", "route", "message_id", "subject")}
"""Not in the log: kept as a hash, not at all, or in rows of their own."""


def _readable(sealer: Sealer, path: Path) -> set[str]:
    """All texts in the events of a copied journal that can be opened."""
    from router.journal.frame import unpack_frame

    read = Reader(sealer).event
    found: set[str] = set()
    with sqlite3.connect(path) as db:
        for seq, stored in db.execute("SELECT first_seq, frame FROM log").fetchall():
            for data in unpack_frame("oak", seq, stored).events:
                found.update(re.findall(r"zaunkoenig-[a-z-]+", repr(read(data))))
    return found


def _parts(data: bytes) -> tuple[str, bytes]:
    import msgspec

    key, sealed = msgspec.msgpack.decode(data, type=tuple[str, bytes])
    return key, sealed


def _openable(sealer: Sealer, path: Path) -> list[str]:
    """Customer rows and messages in a copied journal that can still be opened."""
    import msgspec

    from router.journal.frame import open_row
    from router.runtime.messages import key_of_row

    found = []
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT kind, id, at_us, data FROM archive").fetchall()
    for kind, id_, at_us, data in rows:
        plain = open_row("oak", "archive", kind, id_, data, at_us)
        if kind == "customer" and opened(sealer, plain) is not None:
            found.append(f"{kind}/{id_}")
        if kind == "message":
            body = msgspec.msgpack.decode(plain, type=dict[str, Any])["body"]
            if sealer.open(key_of_row(plain), body) is not None:
                found.append(f"{kind}/{id_}")
    assert {kind for kind, *_ in rows} >= {"customer", "message", "contact", "identity"}
    return found


async def test_nobody_is_erased_in_the_middle_of_a_conversation(site: Site) -> None:
    admin = await site.client("admin")
    await admin("POST", "/v1/customers", {"id": "kim"})
    body = {"channel": "email", "queue": "front", "customer": "kim"}
    contact = (await admin("POST", "/v1/contacts", body)).body["contact"]
    refused = await admin("POST", "/v1/customers/kim:erase", {})
    assert (refused.status, refused.code) == (409, "contact_live")
    assert (await admin("GET", "/v1/customers/kim")).status == 200
    await admin("POST", f"/v1/contacts/{contact}:cancel", {})
    assert (await admin("POST", "/v1/customers/kim:erase", {})).status == 200
    assert (await admin("GET", f"/v1/contacts/{contact}")).status == 404


async def test_who_was_erased_and_calls_again_is_somebody_new(site: Site) -> None:
    admin = await site.client("admin")
    await life(admin)
    await admin("POST", "/v1/customers/kim:erase", {})
    body = {"channel": "voice", "queue": "front", "peer": {"address": NUMBER}}
    contact = (await admin("POST", "/v1/contacts", body)).body["contact"]
    await admin("POST", f"/v1/contacts/{contact}:abandon", {})
    number = NUMBER.replace("+", "%2B")
    (found,) = (await admin("GET", f"/v1/customers?identity={number}")).body["customers"]
    assert found["contacts"] == 1
    assert found["id"] != "kim"
    # But for their STOP, of which no more is kept than the hash of the number and its means.
    (stop,) = found["do_not_contact"]
    (identity,) = found["identities"]
    assert stop["source"] == "keyword STOP on sms"
    assert stop["channel"] == "sms"
    assert stop["address"] == stop["asked_from"] == identity["hash"]
    question = f"/v1/customers/{found['id']}/permission?channel=sms&purpose=service"
    assert (await admin("GET", question)).body["reason"] == "opted_out"


async def test_an_erasure_cut_short_is_finished_at_the_next_start(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await site.client("admin")
    await life(admin)
    workspace = site.server.hosts["oak"].workspace
    key = await workspace.customers.key_of("kim")

    async def broken(_: Any) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(workspace.keys, "erase", broken)
        assert (await admin("POST", "/v1/customers/kim:erase", {})).status == 500
    assert workspace.keys.key(key) is not None
    assert (await admin("GET", "/v1/customers/kim")).status == 404
    await site.server.stop()
    server = await start(tmp_path)
    again = Site(server, api_of(server), site.session)
    try:
        assert server.hosts["oak"].workspace.keys.key(key) is None
        assert "erasure" not in str(server.hosts["oak"].workspace.rows_of("erasure"))
        async with aiohttp.ClientSession() as session:
            client = Client(session, again.base, admin.token)
            assert (await client("GET", "/v1/customers/kim")).status == 404
    finally:
        await server.stop()
