"""Calls from the outside: two agents, a supervisor, and a PBX in memory behind a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.loopback import Line, Loopback
from tests.api.site import Client, Site, api_of, start
from tests.api.test_desk import Desk, desk

CONFIG = """
server: {durability: process}
workspaces:
  oak:
    adapters:
      pbx: {type: loopback, channel: voice, media: true}
    entry_points:
      hotline: {channel: voice, address: "+4930555100", queue: front}
    queues: {front: {}, experts: {}, taped: {record: true}}
    profiles: {all: {front: 1, taped: 1}, gurus: {experts: 1}}
    agents:
      ana: {profile: all, endpoints: {voice: SIP/ana}}
      ben: {profile: gurus, endpoints: {voice: SIP/ben}}
      cy: {profile: gurus, endpoints: {voice: SIP/cy}}
      busy: {profile: gurus, endpoints: {voice: "SIP/busy#busy"}}
"""


class House:
    """The server, its PBX, and short forms."""

    def __init__(self, site: Site) -> None:
        self.site = site
        pbx = site.server.hosts["oak"].channels.get("pbx")
        assert isinstance(pbx, Loopback)
        self.pbx = pbx

    async def talking(self, ana: Desk, queue: str = "front") -> tuple[str, str, Line]:
        """A caller whom Ana has taken: contact, reservation, and the line at the PBX."""
        receipt = await self.pbx.arrive("+491701", to="+4930555100" if queue == "front" else "")
        return await self.taken(ana, receipt.contact)

    async def taken(self, ana: Desk, contact: str) -> tuple[str, str, Line]:
        frame = await ana.until(event="ContactOffered")
        reservation = frame["reservation"]["id"]
        assert (await ana.do("accept", reservation=reservation))["ok"]
        await ana.until(event="ReservationConnected")
        line = self.pbx.rings[reservation].line
        return contact, reservation, line

    async def client(self, role: str, agent: str = "ana") -> Client:
        return await self.site.client(role, "oak", agent)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    server = await start(tmp_path, CONFIG)
    async with aiohttp.ClientSession() as session:
        yield House(Site(server, api_of(server), session))
    await server.stop()


async def ready(page: Desk) -> None:
    assert (await page.do("presence", presence="ready"))["ok"]


async def test_three_talk_and_the_expert_keeps_the_caller(house: House) -> None:
    async with desk(house.site) as (ana, _), desk(house.site, agent="ben") as (ben, _):
        await ready(ana)
        await ready(ben)
        contact, mine, line = await house.talking(ana)
        asked = await ana.do("consult", contact=contact, queue="experts")
        _, theirs, _ = await house.taken(ben, asked["consult"])
        # Another contact's effects: nothing says which of the two calls is set up first.
        await house.pbx.until(lambda: line.held)
        assert (line.hears(), line.agent_hears()) == ([], [theirs])
        assert (await ana.do("conference", contact=contact))["ok"]
        assert (await ana.until(event="ConferenceStarted"))["reservation"]["conference"]
        await house.pbx.until(lambda: line.conference)
        assert line.hears() == [mine, theirs]
        assert (await ana.do("conference", contact=contact, together=False))["ok"]
        await house.pbx.until(lambda: line.held)
        assert (await ana.do("end_consult", contact=contact, hand_over=True))["ok"]
        await house.pbx.until(lambda: line.hears() == [theirs])
        await house.pbx.until(lambda: mine not in house.pbx.rings)
        assert (await ben.until(event="ReservationMoved"))["contact"]["id"] == contact
        assert (await ben.until(event="ContactClosed"))["event"]["reason"] == "handed_over"
        await house.pbx.hang_up_agent(theirs)
        assert (await ben.until(event="ContactClosed"))["event"]["reason"] == "hung up"
        await house.pbx.until(lambda: not house.pbx.lines)


async def test_who_was_consulted_and_hangs_up_gives_the_caller_back(house: House) -> None:
    async with desk(house.site) as (ana, _), desk(house.site, agent="ben") as (ben, _):
        await ready(ana)
        await ready(ben)
        contact, mine, line = await house.talking(ana)
        asked = await ana.do("consult", contact=contact, target_agent="ben")
        _, theirs, _ = await house.taken(ben, asked["consult"])
        await house.pbx.hang_up_agent(theirs)
        await ana.until(event="CustomerResumed")
        await house.pbx.until(lambda: line.hears() == [mine])


async def test_a_supervisor_listens_and_the_agent_is_not_told(house: House) -> None:
    lead = await house.client("supervisor")
    agent = await house.client("agent")
    async with desk(house.site) as (ana, _):
        await ready(ana)
        contact, mine, line = await house.talking(ana)
        path = f"/v1/contacts/{contact}"
        started = await lead("POST", f"{path}:monitor", {"agent": "cy"})
        monitor = started.body["monitor"]
        assert started.body["contact"]["monitors"][0]["by"] == "token:supervisor"
        await house.pbx.until(lambda: monitor in line.listeners)
        assert (line.listeners[monitor].endpoint, line.agent_hears()) == ("SIP/cy", [])
        await lead("POST", f"{path}:monitor", {"monitor": monitor, "mode": "whisper"})
        await house.pbx.until(lambda: line.agent_hears() == ["SIP/cy"])
        assert line.hears() == [mine], "the caller does not hear it"
        await lead("POST", f"{path}:monitor", {"monitor": monitor, "mode": "barge"})
        await house.pbx.until(lambda: line.hears() == [mine, "SIP/cy"])
        # Neither the desk, nor what its token may read, tells the agent.
        assert "monitors" not in (await agent("GET", path)).body
        told = [
            item["event"]["type"] for item in (await agent("GET", f"{path}/events")).body["events"]
        ]
        assert told
        assert not any(kind.startswith("Monitor") for kind in told)
        seen = [item["event"] for item in (await lead("GET", f"{path}/events")).body["events"]]
        assert [event["mode"] for event in seen if event["type"].startswith("Monitor")] == [
            "listen",
            "whisper",
            "barge",
        ]
        stopped = await lead("POST", f"{path}:stop-monitor", {"monitor": monitor})
        assert "monitors" not in stopped.body["contact"]
        await house.pbx.until(lambda: not line.listeners)
        await ana.do("hold", contact=contact)
        assert not any("Monitor" in frame.get("event", {}).get("type", "") for frame in ana.kept)


async def test_a_supervisor_whose_phone_is_busy_does_not_listen(house: House) -> None:
    lead = await house.client("supervisor")
    async with desk(house.site) as (ana, _):
        await ready(ana)
        contact, _, line = await house.talking(ana)
        path = f"/v1/contacts/{contact}"
        answer = await lead("POST", f"{path}:monitor", {"agent": "busy"})
        monitor = answer.body["monitor"]
        ended = await event_of(lead, path, "MonitorEnded")
        assert (ended["monitor"], ended["reason"]) == (monitor, "busy")
        started = await lead("POST", f"{path}:monitor", {"agent": "cy"})
        await house.pbx.until(lambda: bool(line.listeners))
        await house.pbx.stop_listening(started.body["monitor"])
        assert "monitors" not in (await lead("GET", path)).body
        assert (await lead("POST", f"{path}:monitor", {"agent": "nobody"})).status == 404
        assert (await lead("POST", f"{path}:monitor", {"agent": "ana"})).code == "same_agent"


async def event_of(client: Client, path: str, kind: str) -> dict[str, Any]:
    """The contact's last event of this kind, once there is one."""
    async with asyncio.timeout(30):
        while True:
            events = (await client("GET", f"{path}/events")).body["events"]
            found = [item["event"] for item in events if item["event"]["type"] == kind]
            if found:
                return dict(found[-1])


async def test_a_recording_is_seen_at_the_desk_and_never_said_to_run_when_it_does_not(
    house: House,
) -> None:
    admin = await house.client("admin")
    async with desk(house.site) as (ana, _):
        await ready(ana)
        contact, mine, line = await house.talking(ana)
        assert (await ana.do("record", contact=contact))["ok"]
        frame = await ana.until(event="RecordingStarted")
        name = frame["reservation"]["recording"]
        assert (frame["reservation"]["is_recording"], frame["event"]["by"]) == (True, "agent:ana")
        await house.pbx.until(lambda: line.recordings == {name: True})
        assert (await ana.do("record", contact=contact, on=False))["ok"]
        await house.pbx.until(lambda: line.recordings == {name: False})
        assert "is_recording" not in (await ana.until(event="RecordingPaused"))["reservation"]
        assert (await ana.do("record", contact=contact))["ok"]
        await ana.until(event="RecordingResumed")
        await house.pbx.lose_recording(name)
        frame = await ana.until(event="RecordingEnded")
        assert frame["event"]["reason"] == "disk full"
        assert "recording" not in frame["reservation"]
        failed = {"recording": name, "reason": "again"}
        answer = await admin("POST", f"/v1/contacts/{contact}:recording-ended", failed)
        assert answer.status == 200, "said twice"
        answer = await admin("POST", f"/v1/reservations/{mine}:hung-up", {"reason": "bye"})
        assert answer.status == 200
        assert (await ana.until(event="ContactClosed"))["event"]["reason"] == "bye"


async def test_a_queue_that_records_does_so_by_itself(house: House) -> None:
    lead = await house.client("supervisor")
    async with desk(house.site) as (ana, _):
        await ready(ana)
        receipt = await house.pbx.arrive("+491701#fail", to="+4930555100")
        await ana.until(event="ContactOffered")
        await lead("POST", f"/v1/contacts/{receipt.contact}:move", {"queue": "taped"})
        await ana.until(event="OfferRescinded")
        _, _, line = await house.taken(ana, receipt.contact)
        ended = await event_of(lead, f"/v1/contacts/{receipt.contact}", "RecordingEnded")
        assert ended["reason"] == "refused on demand", "what the backend refuses is not running"
        assert line.recordings == {}
