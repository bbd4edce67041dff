"""What belongs to the configuration file is shown with its place there, and changed there alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from loadtest.server import free_port
from router import app
from router.offline import NewToken, create_token
from tests.api.site import Client

FILE = """\
server: {port: PORT, durability: process}
hours:
  office:
    zone: Europe/Berlin
    open: {mon-fri: "08:00-12:00, 13:00-18:00"}
    holidays: {2027-12-24: {open: 09:00-12:00, name: Christmas Eve}, 2027-12-25: closed}
queues:
  care: {hours: office}
entry_points:
  hotline: {channel: voice, address: "+4930555100", queue: care, require: {english: 3}}
profiles:
  all: {care: {rank: 2, delay: 30s}}
conditions:
  calls: contact.channel == "voice"
rules:
  - {name: callers, when: calls, then: {tier: 2}}
"""


def change(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in changes:
        text = text.replace(old, new)
    path.write_text(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    text = FILE.replace("PORT", str(free_port()))
    path = tmp_path / "shop.yaml"
    path.write_text(text)
    return path


@pytest.fixture
async def admin(tmp_path: Path, file: Path) -> AsyncIterator[Client]:
    path = file
    (token,) = await create_token(path, tmp_path / "data", "", NewToken(role="admin"))
    server = app.Server(app.load_config(path), path, data=tmp_path / "data")
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield Client(session, f"http://127.0.0.1:{server.port}", token)
    await server.stop()


async def test_hours_entry_points_and_profiles_are_shown_with_their_place(admin: Client) -> None:
    (hours,) = (await admin("GET", "/v1/hours")).body["hours"]
    assert hours.pop("place").endswith("shop.yaml:3")
    week = ["mon", "tue", "wed", "thu", "fri"]
    assert hours == {
        "id": "office",
        "zone": "Europe/Berlin",
        "open": [
            {"days": week, "start": "08:00", "end": "12:00"},
            {"days": week, "start": "13:00", "end": "18:00"},
        ],
        "holidays": [
            {
                "date": "2027-12-24",
                "open": [{"start": "09:00", "end": "12:00"}],
                "name": "Christmas Eve",
            },
            {"date": "2027-12-25"},
        ],
    }
    (point,) = (await admin("GET", "/v1/entry-points")).body["entry_points"]
    assert point.pop("place").endswith("shop.yaml:10")
    assert point == {
        "id": "hotline",
        "channel": "voice",
        "queue": "care",
        "address": "+4930555100",
        "requirements": {"english": 3},
    }
    (profile,) = (await admin("GET", "/v1/profiles")).body["profiles"]
    assert profile.pop("place").endswith("shop.yaml:12")
    served = {"queue": "care", "rank": 2, "delay_us": 30_000_000}
    assert profile == {"id": "all", "queues": [served]}


@pytest.mark.parametrize(
    ("path", "line"),
    [("hours/office", 3), ("entry-points/hotline", 10), ("profiles/all", 12), ("queues/care", 8)],
)
async def test_a_change_is_told_where_the_file_has_it(admin: Client, path: str, line: int) -> None:
    refused = await admin("PUT", f"/v1/{path}", {})
    assert (refused.status, refused.code) == (409, "file_owned")
    assert refused.body["place"].endswith(f"shop.yaml:{line}")
    missing = await admin("PUT", f"/v1/{path}x", {})
    assert (missing.status, missing.code) == (404, "not_found")


async def test_the_configuration_in_force_is_shown_with_its_expressions(admin: Client) -> None:
    shown = await admin("GET", "/v1/config")
    assert shown.status == 200
    (rule,) = shown.body["policy"]["rules"]["rules"]
    assert (rule["name"], rule["when"]) == ("callers", "calls")


async def test_a_precondition_is_kept_or_refused_but_never_passed_over(admin: Client) -> None:
    made = await admin("PUT", "/v1/agents/ana", {"profile": "all"})
    first = made.headers["ETag"]
    changed = await admin("PUT", "/v1/agents/ana", {"profile": "all", "name": "Ana"})
    late = await admin("DELETE", "/v1/agents/ana", If_Match=first)
    assert (late.status, late.code) == (412, "version")
    ready = {"presence": "ready"}
    asked = await admin("POST", "/v1/agents/ana:presence", ready, If_Match=first)
    assert (asked.status, asked.code) == (400, "etag")
    agent = await admin("GET", "/v1/agents/ana")
    assert (agent.body["presence"], agent.headers["ETag"]) == ("offline", changed.headers["ETag"])
    gone = await admin("DELETE", "/v1/agents/ana", If_Match=changed.headers["ETag"])
    assert gone.status == 204


async def test_what_the_file_has_no_more_is_shown_while_somebody_waits_in_it(
    admin: Client, file: Path
) -> None:
    await admin("PUT", "/v1/agents/ana", {"profile": "all"})
    asked = await admin("POST", "/v1/contacts", {"channel": "email", "queue": "care"})
    change(
        file,
        ("care: {hours: office}", "night: {}"),
        ("queue: care", "queue: night"),
        ("all: {care: {rank: 2, delay: 30s}}", "owls: {night: 1}"),
    )
    reloaded = await admin("POST", "/v1/config:reload", {})
    assert reloaded.status == 200, reloaded.body["findings"]
    changes = reloaded.body["changes"]
    assert changes[-1] == (
        "main: there is no profile 'all' any more: 1 agents who have it are offered nothing (ana)"
    )
    queues = (await admin("GET", "/v1/queues")).body["queues"]
    waiting = {queue["id"]: queue["numbers"].get("waiting", 0) for queue in queues}
    assert waiting == {"night": 0, "care": 1}
    refused = await admin("PUT", "/v1/queues/care", {})
    assert (refused.status, refused.body["detail"]) == (
        409,
        "queue 'care' belongs to the file: which has it no more",
    )
    moved = await admin("POST", f"/v1/contacts/{asked.body['contact']}:move", {"queue": "night"})
    assert moved.body["contact"]["queue"] == "night"
