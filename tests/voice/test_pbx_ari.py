"""The conformance Asterisk does what the real one did: each recording, asked again.

Requests go out as they were recorded; what came from outside then (a caller dials, a phone answers)
happens again; answers and the order of each channel's events are compared. The order between two
channels differs on the real one from call to call, and so do the races that `Races` names.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.testing.pbx_ari import AriPbx
from router.testing.pbx_ari_parts import Races

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings" / "ari"
NOT_COMPARED = ("ChannelCreated", "EndpointStateChange", "ChannelConnectedLine", "BridgeDestroyed",
                "PlaybackStarted", "PlaybackFinished")  # fmt: skip
"""The first two come by an endpoint subscription; ConnectedLine comes 0-4 times; BridgeDestroyed
and playbacks are no channel's and are compared apart."""
Line = dict[str, Any]


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


def lines_of(name: str) -> list[Line]:
    return [json.loads(line) for line in (RECORDINGS / name).read_text().splitlines()]


def channel_of(event: Line) -> str:
    return str((event.get("channel") or event.get("peer") or {}).get("id", ""))


def shape(event: Line) -> tuple[Any, ...] | None:
    """What is compared of a channel's event; None: nothing."""
    kind = event["type"]
    variable = event.get("variable", "")
    if kind in NOT_COMPARED or variable.startswith(("RTPAUDIO", "BRIDGE")):
        return None
    if event.get("dialplan_app", "Stasis") != "Stasis":
        return None
    state = event["channel"]["state"] if kind == "ChannelStateChange" else ""
    bridge = event.get("bridge") or {}
    return (
        kind, state, event.get("cause"), event.get("tech_cause"), event.get("soft"),
        event.get("dialstatus"), event.get("digit"), event.get("musicclass"), variable,
        event.get("value"), bridge.get("technology"), len(bridge.get("channels", [])),
    )  # fmt: skip


def story_of(events: list[Line], channel: str) -> list[tuple[Any, ...]]:
    """A channel's events, with the order of ringing that varies put right."""
    told = [
        s for event in events if channel_of(event) == channel if (s := shape(event)) is not None
    ]
    for place in range(len(told) - 1):
        one, two = told[place], told[place + 1]
        if one[5] == "RINGING" and two[1] == "Ringing":
            told[place], told[place + 1] = two, one
    return told


def is_told_in(recorded: list[tuple[Any, ...]], told: list[tuple[Any, ...]]) -> bool:
    """Equal up to StasisEnd; of what comes after it the real one tells some or all, in order."""
    end = next((i for i, s in enumerate(recorded) if s[0] == "StasisEnd"), len(recorded) - 1)
    if recorded[: end + 1] != told[: end + 1]:
        return False
    rest: Iterator[tuple[Any, ...]] = iter(told[end + 1 :])
    return all(any(one == other for other in rest) for one in recorded[end + 1 :])


class Replay:
    """One recording on one conformance PBX."""

    def __init__(self, name: str, pbx: AriPbx, session: aiohttp.ClientSession) -> None:
        self.pbx = pbx
        self.session = session
        self.lines = lines_of(name)
        self.names: dict[str, str] = {}
        """Recorded ids of callers, and the PBX's."""
        self.seen: list[Line] = []
        self.changed = asyncio.Event()
        self.answers: list[tuple[int, Any]] = []
        self.counted: dict[tuple[str, str], int] = {}

    async def listen(self) -> None:
        auth = f"{self.pbx.user}:{self.pbx.password}"
        url = f"{self.pbx.url}/events?app={self.pbx.app}&api_key={auth}"
        async with self.session.ws_connect(url) as socket:
            async for message in socket:
                self.seen.append(message.json())
                self.changed.set()

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(30):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def phones(self) -> None:
        """What each phone did then: refused as busy, or answered at once (Local channels)."""
        endpoints = {
            line["query"]["channelId"]: line["query"]["endpoint"].partition("/")[2]
            for line in self.lines
            if line["dir"] == "request" and "endpoint" in line["query"]
        }
        for line in self.lines:
            event = line.get("event", {})
            party = endpoints.get(channel_of(event))
            if party is not None and event.get("tech_cause") == 486:
                self.pbx.party(party).will = "busy"
        for party in endpoints.values():
            if party == "nobody":
                self.pbx.party(party).will = "unknown"
            elif party.startswith("dtmf"):
                self.pbx.party(party).will = "answers"

    def renamed(self, text: str) -> str:
        for old, new in self.names.items():
            text = text.replace(old, new)
        return text

    async def request(self, number: int, line: Line) -> None:
        query = {key: self.renamed(value) for key, value in line["query"].items()}
        if "timeout" in query:
            query["timeout"] = "0.1" if query["timeout"] == "2" else "60"
        if line["path"].endswith("/create"):
            dial = f"/channels/{line['query']['channelId']}/dial"
            later = [x for x in self.lines if x["dir"] == "response" and x["path"] == dial]
            is_too_early = any(x["status"] == 409 for x in later)
            self.pbx.races.late_start_s = 1.0 if is_too_early else 0.0
        async with self.session.request(
            line["method"], self.pbx.url + self.renamed(line["path"]), params=query,
            json=line["body"], headers=basic(self.pbx.user, self.pbx.password),
        ) as answer:  # fmt: skip
            body = await answer.json() if answer.content_length else None
        recorded = next(x for x in self.lines[number:] if x["dir"] == "response")
        assert recorded["path"] == line["path"]
        assert answer.status == recorded["status"], (line, body)
        if isinstance(body, dict) and "error" not in body and "message" not in body:
            assert set(recorded["body"]) <= set(body), line
        elif isinstance(body, dict):
            assert body == recorded["body"], line

    async def event(self, event: Line) -> None:
        """Do what came from outside; else wait until the PBX has told the same."""
        kind, channel = event["type"], self.renamed(channel_of(event))
        live = self.pbx.switch.channels.get(channel)
        party = live.party.name if live is not None and live.party is not None else ""
        is_up = kind == "ChannelStateChange" and event["channel"]["state"] == "Up"
        if kind == "StasisStart" and event["channel"]["state"] == "Ring":
            made = self.pbx.call(event["channel"]["caller"]["number"], event["args"][1])
            assert made is not None
            self.names[channel] = made.id
        elif is_up and live is not None and live.state == "Ringing":
            self.pbx.answer(party)
        elif kind == "ChannelHangupRequest" and "soft" not in event and "tech_cause" not in event:
            if live is not None:
                self.pbx.hang_up(party)
        elif kind == "ChannelDtmfReceived":
            self.pbx.press(party, event["digit"])
        elif kind in ("ChannelHold", "ChannelUnhold"):
            self.pbx.push_hold(party, on=kind == "ChannelHold")
        if kind in ("StasisStart", "StasisEnd", "PlaybackFinished"):
            key = (kind, self.renamed(channel_of(event)))
            self.counted[key] = self.counted.get(key, 0) + 1
            await self.until(
                lambda: (
                    sum((e["type"], channel_of(e)) == key for e in self.seen) >= self.counted[key]
                )
            )

    async def run(self) -> None:
        self.phones()
        for number, line in enumerate(self.lines):
            if line["dir"] == "request":
                await self.request(number, line)
            elif line["dir"] == "event" and not self.is_said_again(number):
                await self.event(line["event"])
        last = self.pbx.call("the-last-one", "0")
        assert last is not None
        await self.until(lambda: any(channel_of(e) == last.id for e in self.seen))

    def is_said_again(self, number: int) -> bool:
        """What is told twice happened once."""
        before = self.lines[number - 1].get("event")
        return before is not None and shape(before) == shape(self.lines[number]["event"])

    def recorded(self) -> list[Line]:
        return [line["event"] for line in self.lines if line["dir"] == "event"]

    def compare(self) -> None:
        channels = {channel_of(event) for event in self.recorded()} - {""}
        for channel in channels:
            if channel.endswith(";2"):
                continue  # the far half of a Local channel: a dialplan's, not an application's
            recorded = story_of(self.recorded(), channel)
            told = story_of(self.seen, self.renamed(channel))
            assert is_told_in(recorded, told), (channel, recorded, told)


@asynccontextmanager
async def replayed(name: str, **races: Any) -> AsyncIterator[Replay]:
    pbx = AriPbx(races=Races(**races))
    await pbx.start()
    async with aiohttp.ClientSession() as session:
        replay = Replay(name, pbx, session)
        listener = asyncio.get_running_loop().create_task(replay.listen())
        await pbx.until(lambda: pbx.listeners() == 1)
        try:
            yield replay
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
            await pbx.stop()


ASKED = sorted(
    path.name
    for path in RECORDINGS.glob("*.jsonl")
    if path.stem not in ("application-replaced", "phone-hold-and-digits", "event-socket-lost")
)


@pytest.mark.parametrize("name", ASKED)
async def test_what_was_recorded_is_told_again(name: str) -> None:
    async with replayed(name) as replay:
        await replay.run()
        replay.compare()


@pytest.mark.parametrize("name", ["answered-and-bridged.jsonl", "parallel-ringing.jsonl"])
async def test_answers_may_come_before_their_events(name: str) -> None:
    async with replayed(name, events_first=False, state_first=False) as replay:
        await replay.run()
        replay.compare()


async def test_a_phone_that_holds_and_sends_digits_is_told_twice() -> None:
    async with replayed("phone-hold-and-digits.jsonl", doubled=True) as replay:
        query = {"endpoint": "PJSIP/alice", "app": "contact-router", "appArgs": "soft",
                 "channelId": "bs-1", "timeout": "30"}  # fmt: skip
        request = {"dir": "request", "method": "POST", "path": "/channels", "query": query,
                   "body": None}  # fmt: skip
        answer = {"dir": "response", "path": "/channels", "status": 200, "body": {}}
        replay.lines = [request, answer, *replay.lines]
        await replay.run()
        replay.compare()


async def test_a_lost_event_socket_leaves_the_calls_up_and_tells_nothing_again() -> None:
    async with replayed("event-socket-lost.jsonl") as replay:
        pbx = replay.pbx
        recorded = next(
            x["body"] for x in replay.lines if x["dir"] == "response" and x["path"] == "/channels"
        )
        caller = pbx.call("caller", "7000")
        assert caller is not None
        await replay.until(lambda: bool(replay.seen))
        pbx.cut_events()
        await pbx.until(lambda: pbx.listeners() == 0)
        assert pbx.call("another", "7000") is None  # Stasis() fails, the dialplan goes on
        headers = basic(pbx.user, pbx.password)
        async with replay.session.get(f"{pbx.url}/channels", headers=headers) as answer:
            found = await answer.json()
        assert [c["id"] for c in found] == [caller.id]
        assert set(recorded[0]) <= set(found[0])
        async with replay.session.get(
            f"{pbx.url}/applications/contact-router", headers=headers
        ) as answer:
            assert (await answer.json())["channel_ids"] == [caller.id]
        pbx.restore_events()
        replay.seen.clear()
        again = asyncio.get_running_loop().create_task(replay.listen())
        await pbx.until(lambda: pbx.listeners() == 1)
        pbx.hang_up("caller")
        await replay.until(lambda: any(e["type"] == "StasisEnd" for e in replay.seen))
        assert "StasisStart" not in [e["type"] for e in replay.seen]
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)


async def test_of_two_sockets_of_one_application_the_first_is_told_once_and_left_open() -> None:
    async with replayed("application-replaced.jsonl") as replay:
        other = Replay("application-replaced.jsonl", replay.pbx, replay.session)
        second = asyncio.get_running_loop().create_task(other.listen())
        await replay.until(lambda: bool(replay.seen))
        assert [e["type"] for e in replay.seen] == ["ApplicationReplaced"]
        assert replay.recorded()[0]["type"] == "ApplicationReplaced"
        replay.pbx.call("caller", "7000")
        await other.until(lambda: bool(other.seen))
        assert len(replay.seen) == 1
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)


async def test_a_wrong_password_is_refused() -> None:
    async with replayed("errors.jsonl") as replay:
        headers = basic("router", "wrong")
        async with replay.session.get(f"{replay.pbx.url}/channels", headers=headers) as answer:
            assert answer.status == 401
