"""Export and erasure: what there is of a person is told whole, and afterwards is nowhere.

Canaries (texts that stand nowhere else) go in by every way in; every file of the store, of a backup
made before, the log and the metrics are searched for them, and whatever is sealed must not open.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router import offline
from router.config import loads
from router.journal.keys import BlockKeys, SqliteBlocks
from router.journal.seal import Sealer
from router.runtime import erasure, logs
from router.runtime.customer_rows import opened
from tests.api.site import CONFIG, Client, Site, api_of, start
from tests.journal.conftest import RedisServer

NUMBER = "+4930192837465"
MAIL = "canary.kim@example.org"
NAME = "Kim Canarisch"
TEXT = "my canary sings at noon"
LABEL = "canarylabel"
CANARIES = (NUMBER, NUMBER[1:], MAIL, "canary.kim", NAME, "Canarisch", TEXT, LABEL)


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


def bytes_of(*places: Path) -> dict[str, bytes]:
    files = [file for place in places for file in sorted(place.rglob("*")) if file.is_file()]
    return {str(file): file.read_bytes() for file in files}


def seen_in(files: dict[str, bytes]) -> list[tuple[str, str]]:
    return [
        (name, canary)
        for name, data in files.items()
        for canary in CANARIES
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
    backup = site.server.data / "backup"
    await site.server.backup()
    host = site.server.hosts["oak"]
    before = await host.workspace.journal.fetch(host.workspace.own, "customer", ["kim"])
    done = await admin("POST", "/v1/customers/kim:erase", {})
    assert done.status == 200, done
    assert (done.body["contacts"], done.body["messages"]) == (2, 4)
    assert done.body["keys"] >= 3

    for path in ("kim", "kim:export"):
        assert (await admin("GET", f"/v1/customers/{path}")).status == 404
    number = NUMBER.replace("+", "%2B")
    assert (await admin("GET", f"/v1/customers?identity={number}")).body["customers"] == []
    assert (await admin("GET", f"/v1/customers?identity={MAIL}")).body["customers"] == []
    assert (await admin("GET", f"/v1/contacts/{contact}")).status == 404
    assert (await admin("GET", f"/v1/contacts/{contact}/messages")).status == 404
    assert host.workspace.sealer.open(*_parts(before["kim"])) is None
    assert (await admin("POST", "/v1/customers/kim:erase", {})).status == 404

    metrics = (await admin("GET", "/metrics")).body
    stream = json.dumps((await admin("GET", "/v1/audit")).body)
    await site.server.stop()
    out = capfd.readouterr()
    texts = {
        "log": log.getvalue().encode(),
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


async def test_a_backup_from_before_cannot_be_read_once_the_list_was_applied(
    site: Site, tmp_path: Path
) -> None:
    admin = await site.client("admin")
    await life(admin)
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
        assert await erasure.apply_list(keys, erased) == len(erased)
        assert opened(sealer, stored) is None
        assert _openable(sealer, copy / "journal" / "ws-oak.db") == []
        assert await erasure.apply_list(keys, erased) == 0
    finally:
        await keys.close()
    await site.server.stop()
    assert seen_in(bytes_of(copy)) == []


async def test_an_older_journal_restored_with_the_newest_keys_keeps_the_erased_erased(
    site: Site, tmp_path: Path
) -> None:
    admin = await site.client("admin")
    contact = await life(admin)
    await site.server.backup()
    (before,) = (site.server.data / "backup").iterdir()
    await admin("POST", "/v1/customers/kim:erase", {})
    newest = site.server.data / "newest"
    await site.server._keys.backup(newest)  # type: ignore[union-attr]
    shutil.copy(site.server.data / "secret", newest / "secret")
    await site.server.stop()
    config = loads(CONFIG, "test.yaml")
    target = tmp_path / "restored"
    await offline.restore(config, target, before / "journal", newest)
    server = await start(target)
    again = Site(server, api_of(server), site.session)
    try:
        client = again.anybody(admin.token)
        assert (await client("GET", "/v1/customers/kim")).status == 404
        found = (await client("GET", f"/v1/contacts/{contact}")).body
        assert found["peer"] == {"erased": True}
        messages = (await client("GET", f"/v1/contacts/{contact}/messages")).body["messages"]
        assert [m["erased"] for m in messages] == [True, True]
    finally:
        await server.stop()
    assert seen_in(bytes_of(target)) == []


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
            workspace = server.hosts["oak"].workspace
            stored = (await workspace.journal.fetch(workspace.own, "customer", ["kim"]))["kim"]
            done = await admin("POST", "/v1/customers/kim:erase", {})
            assert (done.status, done.body["contacts"]) == (200, 2)
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
    assert "do_not_contact" not in found
    assert found["id"] != "kim"


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
