"""A server goes on with what an earlier release left behind, and with rows of the next one.

What was left behind lies in `releases/<release>`: a real server's files and its Redis, after a
kill -9.
The rule for those who change rows stands in docs/runbook.md.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tarfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
import pytest
import yaml

from loadtest.server import free_port
from router import app, offline
from router.api.auth import Role, make_token
from router.config import load
from router.journal import Commit
from router.journal.frame import GENESIS, guard_row, open_row, pack_frame, unpack_frame
from router.journal.workspace_file import own_crc
from router.runtime.clock import SystemClock
from tests.journal.conftest import RedisServer

GOLDEN = Path(__file__).parent / "releases"
RELEASES = sorted(path.name for path in GOLDEN.iterdir() if (path / "embedded.tar.xz").exists())
LIVE = {
    "agent", "contact", "effect", "estimate", "learned", "login", "policy", "reservation", "rule",
    "token", "totals", "webhook",
}  # fmt: skip
ARCHIVE = {
    "audit", "contact", "customer", "customer_contact", "decision", "external", "idempotency",
    "identity", "imported", "message", "received", "seed",
}  # fmt: skip
"""What the recorded server has rows of. Not among them: a desk's mark, an erasure that a crash cut
short, and deliveries that a webhook gave up after a day."""
LATER = "field_of_the_next_release"


class Recorded:
    """A recorded server's directory, unpacked, and what stands in it by other readers than ours."""

    def __init__(self, release: str, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.data.mkdir(parents=True)
        for name in ("hook.secret", "site.secret"):
            (directory / name).write_text("x" * 40)
            (directory / name).chmod(0o600)
        text = (GOLDEN / release / "router.yaml").read_text()
        self.config = directory / "router.yaml"
        self.config.write_text(text.replace("PORT", str(free_port())))
        unpack(GOLDEN / release / "embedded.tar.xz", self.data)
        self.at_us = 0

    @property
    def journal(self) -> Path:
        return self.data / "ws-main.db"

    def on_redis(self, release: str, url: str) -> None:
        for file in self.data.iterdir():
            file.unlink()
        unpack(GOLDEN / release / "redis.tar.xz", self.data)
        (self.data / "dump.rdb").unlink()
        settings = yaml.safe_load(self.config.read_text())
        settings["server"]["journal"] = {"store": "redis", "url": url}
        self.config.write_text(yaml.safe_dump(settings))

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Asking]:
        """Today's code on it, five seconds of its time later."""
        began_ns, then_ns = time.time_ns(), (self.at_us + 5_000_000) * 1000
        clock = SystemClock(wall_ns=lambda: then_ns + time.time_ns() - began_ns)
        server = app.Server(load(self.config), self.config, data=self.data, clock=clock)
        await server.start()
        try:
            text, row = make_token(Role.ADMIN, now_us=clock.now_us(), name="test", by="test")
            await server.tokens().add("main", row)
            headers = {"Authorization": f"Bearer {text}"}
            url = f"http://127.0.0.1:{server.port}"
            async with aiohttp.ClientSession(url, headers=headers) as session:
                yield Asking(session)
        finally:
            await server.stop()


class Asking:
    """Requests to a server."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        async with self.session.request(method, path, json=body, headers=headers) as answer:
            assert answer.status < 300, (method, path, answer.status, await answer.text())
            return await answer.json()


def unpack(archive: Path, directory: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")


def rows(journal: Path, table: str) -> dict[tuple[str, str], bytes]:
    """By a plain SQLite connection: (kind, id) -> bytes without their checksum."""
    with closing(sqlite3.connect(journal)) as db:
        found = db.execute(f"SELECT kind, id, data FROM {table}").fetchall()
    return {(kind, id_): data[:-4] for kind, id_, data in found}


def contacts(live: dict[tuple[str, str], bytes]) -> dict[str, dict[str, Any]]:
    """The live contacts, by the msgpack package."""
    return {
        id_: msgpack.unpackb(data)[1] for (kind, id_), data in live.items() if kind == "contact"
    }


@pytest.fixture(params=RELEASES)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Recorded:
    made = Recorded(request.param, tmp_path)
    with closing(sqlite3.connect(made.journal)) as db:
        (made.at_us,) = db.execute("SELECT at_us FROM own").fetchone()
    return made


def test_there_is_a_recording_of_every_release() -> None:
    assert RELEASES
    size = sum(file.stat().st_size for file in GOLDEN.rglob("*") if file.is_file())
    assert size < 1_000_000 * len(RELEASES)


def test_the_recording_holds_rows_of_every_kind(recorded: Recorded) -> None:
    assert {kind for kind, _ in rows(recorded.journal, "live")} >= LIVE
    assert {kind for kind, _ in rows(recorded.journal, "archive")} >= ARCHIVE


async def test_doctor_finds_every_frame_and_row_of_it_whole(recorded: Recorded) -> None:
    findings = await offline.diagnose(load(recorded.config), recorded.data)
    assert [finding.text for finding in findings if finding.level == "error"] == []


async def see_that_it_goes_on(
    asking: Asking, live: dict[tuple[str, str], bytes], archive: dict[tuple[str, str], bytes]
) -> None:
    """Everything is there, and what was begun goes on."""
    for id_, fields in contacts(live).items():
        seen = await asking("GET", f"/v1/contacts/{id_}")
        # Calls of a PBX that only pretends to be one are gone with its process.
        assert seen["channel"] == fields["channel"]
        assert seen["state"] != "closed" or fields["channel"] in ("voice", "chat"), seen
        if fields["channel"] == "email":
            assert seen["peer"]["address"], "its key opens the envelope"
            assert await asking("GET", f"/v1/contacts/{id_}/messages")
    closed = [id_ for kind, id_ in archive if kind == "contact"]
    for id_ in closed[:20]:
        assert (await asking("GET", f"/v1/contacts/{id_}"))["state"] == "closed"
    for kind, id_ in archive:
        if kind == "decision":
            contact = id_.partition("/")[0]
            assert (await asking("GET", f"/v1/contacts/{contact}/decisions"))["decisions"]
            break
    assert (await asking("GET", "/v1/customers/kim"))["attributes"] == {"orders": 7}
    assert {row["action"] for row in (await asking("GET", "/v1/audit"))["rows"]} >= {
        "login.put", "agent.put", "customer.erase", "history.import",
    }  # fmt: skip
    agents = (await asking("GET", "/v1/agents"))["agents"]
    assert {agent["id"] for agent in agents} == {id_ for kind, id_ in live if kind == "agent"}
    await see_that_nothing_happens_twice(asking)


async def see_that_nothing_happens_twice(asking: Asking) -> None:
    text = {
        "channel": "sms", "external_id": "story-2", "message": {"text": "Is my table ready?"},
        "peer": {"address": "+4915112345678", "to": "+4930555300"},
    }  # fmt: skip
    again = await asking("POST", "/v1/contacts", text, **{"Idempotency-Key": "story-key-2"})
    by_id = await asking("POST", "/v1/contacts", text)
    assert by_id["created"] is False
    assert by_id["contact"] == again["contact"]
    words = [
        m["text"]
        for m in (await asking("GET", f"/v1/contacts/{again['contact']}/messages"))["messages"]
    ]
    assert words[:2] == ["Is my table ready?", "Not yet."]
    password = {"name": "sue", "password": "correct horse battery"}
    assert (await asking("POST", "/v1/session:password", password))["role"] == "supervisor"
    imported = {"customer": "kim", "channel": "sms", "address": "+4915112345678",
                "at_us": 1793700000000000, "outcome": "answered"}  # fmt: skip
    (result,) = (await asking("POST", "/v1/outcomes:import", {"rows": [imported]}))["results"]
    assert result["status"] != "recorded"
    fresh = {
        **text,
        "external_id": "after-the-upgrade",
        "peer": {"address": "+4915119999999", "to": "+4930555300"},
    }
    assert (await asking("POST", "/v1/contacts", fresh))["created"] is True


async def stored_events(asking: Asking, last: int) -> list[int]:
    """The numbers of the stored events, from the first one on."""
    numbers: list[int] = []
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "0"}
    async with asyncio.timeout(30), asking.session.get("/v1/events", headers=headers) as answer:
        async for line in answer.content:
            if line.startswith(b"id:"):
                numbers.append(int(line[3:]))
                if numbers[-1] >= last:
                    break
    return numbers


async def test_today_goes_on_with_the_files_of_an_earlier_release(recorded: Recorded) -> None:
    live, archive = rows(recorded.journal, "live"), rows(recorded.journal, "archive")
    with closing(sqlite3.connect(recorded.journal)) as db:
        (last,) = db.execute("SELECT seq FROM own").fetchone()
    async with recorded.served() as asking:
        await see_that_it_goes_on(asking, live, archive)
        assert await stored_events(asking, last) == list(range(1, last + 1))
    async with recorded.served() as asking:  # what it has written itself by now
        await see_that_nothing_happens_twice_again(asking)
    findings = await offline.diagnose(load(recorded.config), recorded.data)
    assert [finding.text for finding in findings if finding.level == "error"] == []


async def see_that_nothing_happens_twice_again(asking: Asking) -> None:
    text = {
        "channel": "sms", "external_id": "after-the-upgrade", "message": {"text": "?"},
        "peer": {"address": "+4915119999999", "to": "+4930555300"},
    }  # fmt: skip
    assert (await asking("POST", "/v1/contacts", text))["created"] is False


@pytest.mark.peer
async def test_today_goes_on_with_the_redis_of_an_earlier_release(
    recorded: Recorded, tmp_path: Path
) -> None:
    release = RELEASES[-1]
    recorded.on_redis(release, "")
    place = tmp_path / "redis"
    place.mkdir()
    unpack(GOLDEN / release / "redis.tar.xz", place)
    server = RedisServer(place)
    try:
        recorded.on_redis(release, server.url)
        live = {
            tuple(field.decode().split("\0", 1)): value[:-4]
            for field, value in server.client.hgetall("{main}:live").items()
        }
        recorded.at_us = int(server.client.hget("{main}:own", "at"))
        archive = {
            (kind.decode(), id_.decode()): b""
            for kind in server.client.smembers("{main}:kinds")
            for id_ in server.client.hkeys(f"{{main}}:archive:{kind.decode()}")
        }
        assert {kind for kind, _ in live} >= LIVE
        async with recorded.served() as asking:
            await see_that_it_goes_on(asking, live, archive)
    finally:
        server.close()


# --- rows of the next release: a downgrade by one ----------------------------------------------


def with_a_later_field(data: bytes) -> bytes:
    """What the next release might have written: one field more in each record."""
    try:
        found = msgpack.unpackb(data)
    except ValueError:
        return data  # no msgpack: a bare word
    match found:
        case dict():
            return bytes(msgpack.packb({**found, LATER: [1]}))
        case [int(version), dict(fields), *rest]:
            return bytes(msgpack.packb([version, {**fields, LATER: [1]}, *rest]))
    return data


def rewrite(journal: Path, change: Callable[[bytes], bytes]) -> int:
    """Change every row and event, with good checksums; how many are different now."""
    different = 0
    with closing(sqlite3.connect(journal)) as db, db:
        for no, kind, id_, stored in db.execute("SELECT no, kind, id, data FROM live").fetchall():
            data = change(before := open_row("main", "live", kind, id_, stored))
            different += data != before
            db.execute("UPDATE live SET data=? WHERE no=?", (guard_row(kind, id_, data), no))
        for no, kind, id_, at_us, stored in db.execute(
            "SELECT no, kind, id, at_us, data FROM archive"
        ).fetchall():
            data = change(before := open_row("main", "archive", kind, id_, stored, at_us))
            different += data != before
            guarded = guard_row(kind, id_, data, at_us)
            db.execute("UPDATE archive SET data=? WHERE no=?", (guarded, no))
        head = GENESIS
        for seq, stored in db.execute("SELECT first_seq, frame FROM log ORDER BY 1").fetchall():
            frame = unpack_frame("main", seq, stored)
            events = [change(event) for event in frame.events]
            different += sum(a != b for a, b in zip(events, frame.events, strict=True))
            packed = pack_frame(Commit(seq, frame.at_us, events), head)
            head = unpack_frame("main", seq, packed).digest
            db.execute("UPDATE log SET frame=? WHERE first_seq=?", (packed, seq))
        epoch, nonce, seq, at_us = db.execute("SELECT epoch, nonce, seq, at_us FROM own").fetchone()
        crc = own_crc("main", epoch, nonce, seq, at_us, head)
        db.execute("UPDATE own SET head=?, crc=?", (head, crc))
    return different


async def test_fields_of_the_next_release_are_passed_over(recorded: Recorded) -> None:
    live, archive = rows(recorded.journal, "live"), rows(recorded.journal, "archive")
    assert rewrite(recorded.journal, with_a_later_field) > 1000
    findings = await offline.diagnose(load(recorded.config), recorded.data)
    assert [finding.text for finding in findings if finding.level == "error"] == []
    async with recorded.served() as asking:
        await see_that_it_goes_on(asking, live, archive)


async def test_rows_of_a_kind_that_is_not_known_are_left_alone(recorded: Recorded) -> None:
    later = ("shape", "x1", b"\x81\xa1a\x01")
    with closing(sqlite3.connect(recorded.journal)) as db, db:
        db.execute(
            "INSERT INTO live (kind, id, data) VALUES (?,?,?)", (*later[:2], guard_row(*later))
        )
        db.execute(
            "INSERT INTO archive (kind, id, at_us, data) VALUES (?,?,?,?)",
            (*later[:2], 5, guard_row(*later, 5)),
        )
    async with recorded.served() as asking:
        await see_that_nothing_happens_twice(asking)
    assert rows(recorded.journal, "live")[later[:2]] == later[2]
    assert rows(recorded.journal, "archive")[later[:2]] == later[2]
