"""Reports over HTTP and on the command line: the same numbers as the live ones, from the log."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from click.testing import CliRunner

from router.__main__ import main
from router.core.tallies import Count
from router.errors import RouterError
from router.remote.reporting import moment_us
from router.runtime import reports
from router.runtime.clock import SystemClock
from tests.api.site import Site, api_of, start

TODAY = datetime(2027, 6, 15, 10, 20, tzinfo=UTC)
"""By the server's clock: no hour and no day ends while a test runs."""
CONTACT = {"channel": "sms", "queue": "front", "peer": {"address": "+4915550001"}}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    off_ns = int(TODAY.timestamp() * 1e9) - time.time_ns()
    server = await start(tmp_path, clock=SystemClock(wall_ns=lambda: time.time_ns() + off_ns))
    async with aiohttp.ClientSession() as session:
        yield Site(server, api_of(server), session)
    await server.stop()


async def serve(site: Site, count: int, **more: Any) -> None:
    """Ana answers so many contacts, and one more customer gives up."""
    admin, ana = await site.client("admin"), await site.client("agent")
    await ana("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    for number in range(count):
        body = CONTACT | {"external_id": f"x{number}", **more}
        contact = (await admin("POST", "/v1/contacts", body)).body["contact"]
        [held] = (await ana("GET", f"/v1/contacts/{contact}")).body["reservations"]
        await ana("POST", f"/v1/reservations/{held}:accept", {})
        await ana("POST", f"/v1/contacts/{contact}:complete", {"disposition": "solved"})
        await ana("POST", f"/v1/reservations/{held}:finish-wrap-up", {})
    await ana("POST", "/v1/agents/ana:presence", {"presence": "not_ready", "reason": "lunch"})
    gone = (await admin("POST", "/v1/contacts", CONTACT | {"external_id": "gone"})).body["contact"]
    await admin("POST", f"/v1/contacts/{gone}:abandon", {})


async def test_a_report_says_what_the_live_measures_say(site: Site) -> None:
    await serve(site, 3, segment="gold")
    supervisor = await site.client("supervisor")
    found = (await supervisor("GET", "/v1/reports?by=queue,channel")).body
    live = (await supervisor("GET", "/v1/stats")).body["queues"]["front"]["sms"]
    for name in (count.name.lower() for count in Count):
        assert sum(row[name] for row in found["rows"]) == live[name], name
    assert live["answered"] == 3
    assert found["rows"][0]["queue"] == "front"
    assert found["formulas"]["service_level"].startswith("SL6: answered within T /")
    by_segment = (await supervisor("GET", "/v1/reports?by=segment&interval_s=86400")).body["rows"]
    received = {}
    for row in by_segment:
        received[row["segment"]] = received.get(row["segment"], 0) + row["received"]
    assert received == {"gold": 3, "": 1}


async def test_an_agents_report_says_what_the_desk_says(site: Site) -> None:
    await serve(site, 2)
    supervisor = await site.client("supervisor")
    rows = (await supervisor("GET", "/v1/reports?by=agent")).body["rows"]
    live = (await supervisor("GET", "/v1/stats")).body["agents"]["ana"]
    for name in ("offers", "accepted", "handled", "talk_us", "wrap_us"):
        assert sum(row[name] for row in rows if row["agent"] == "ana") == live[name], name


async def test_a_day_of_a_zone_begins_at_its_midnight(site: Site) -> None:
    zone = ZoneInfo("Asia/Kathmandu")
    await serve(site, 1)
    supervisor = await site.client("supervisor")
    span = f"from_us={int(TODAY.timestamp() - 172_800) * 1_000_000}&interval_s=86400"
    rows = (await supervisor("GET", f"/v1/reports?by=queue&{span}&zone={zone.key}")).body["rows"]
    midnight = TODAY.astimezone(zone).replace(hour=0, minute=0)
    assert {row["start_us"] for row in rows} == {int(midnight.timestamp()) * 1_000_000}


async def test_as_csv_it_is_for_spreadsheets(site: Site) -> None:
    await serve(site, 1, segment="=cmd|' /C calc'!A0")
    supervisor = await site.client("supervisor")
    answer = await supervisor("GET", "/v1/reports.csv?by=queue,segment")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert {row["segment"] for row in rows} == {"", "'=cmd|' /C calc'!A0"}
    [served] = [row for row in rows if row["segment"]]
    assert served["start"].endswith(":00Z")
    assert (served["answered"], served["service_level"]) == ("1", "1.0000")
    assert float(served["wait_s"]) < 1000, "no microseconds"
    assert served["rona_rate"] == "0.0000"


async def test_nothing_happened_is_an_empty_report(site: Site) -> None:
    supervisor = await site.client("supervisor")
    found = (await supervisor("GET", "/v1/reports")).body
    assert found["rows"] == []
    answer = await supervisor("GET", "/v1/reports.csv")
    assert answer.body == b"start,queue,channel\r\n"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("by=colour", "expected some of queue, channel, segment, agent"),
        ("by=agent,queue", "by agent alone"),
        ("interval_s=901", "900, 1800, 3600 or 86400"),
        ("from_us=5&to_us=5", "more than nothing"),
        ("from_us=0", "at most 32 days"),
        ("zone=Mars/Olympus", "expected a name such as Europe/Berlin"),
    ],
)
async def test_what_cannot_be_reported_is_refused(site: Site, query: str, why: str) -> None:
    supervisor = await site.client("supervisor")
    answer = await supervisor("GET", f"/v1/reports?{query}")
    assert answer.status == 422
    assert why in answer.body["detail"]


async def test_reports_wait_for_each_other(site: Site) -> None:
    supervisor = await site.client("supervisor")
    asked = [supervisor("GET", f"/v1/reports?by={by}") for by in ("queue", "agent", "channel")]
    answers = await asyncio.gather(*asked)
    assert [(each.status, each.body["by"]) for each in answers] == [
        (200, ["queue"]),
        (200, ["agent"]),
        (200, ["channel"]),
    ]


async def test_too_many_reports_at_once_are_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reports._asked, "oak", reports.WAITING_MOST + 1)
    supervisor = await site.client("supervisor")
    answer = await supervisor("GET", "/v1/reports")
    assert (answer.status, answer.code) == (503, "overloaded")


async def test_the_command_line_prints_it(site: Site, tmp_path: Path) -> None:
    await serve(site, 1)
    token = tmp_path / "token"
    token.write_text(await site.token("supervisor"))
    run = CliRunner().invoke
    words = ["report", "--server", site.base, "--token-file", str(token), "--interval", "1h"]
    # The command has a loop of its own.
    done = await asyncio.to_thread(run, main, words)
    assert done.exit_code == 0, done.output
    [row] = csv.DictReader(io.StringIO(done.output))
    assert (row["queue"], row["channel"], row["received"]) == ("front", "sms", "2")
    wrong = await asyncio.to_thread(run, main, [*words, "--from", "yesterday"])
    assert wrong.exit_code != 0
    assert "--from: expected 2026-11-24" in wrong.output


def test_moments_are_utc_where_no_zone_is_given() -> None:
    assert moment_us("--from", "2026-11-24T09:30+01:00") == moment_us("--to", "2026-11-24T08:30")
    with pytest.raises(RouterError, match="got 'soon'"):
        moment_us("--to", "soon")
