"""The conformance FreeSWITCH says what the recorded one said, to the same commands and phones."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from router.testing.pbx_esl import EslPbx
from tests.voice.esl_recordings import NAMES, Chunk, chunks

SEEN = (
    "Event-Name", "Channel-State", "Channel-Call-State", "Answer-State", "Call-Direction",
    "Hangup-Cause", "Application", "Application-Response", "Job-Command", "_body",
)  # fmt: skip
LEFT_FROM_BEFORE = "45010dbb-24f1-430f-8f19-6cf1ed281bcd"
"""A channel of the scenario before, in two recordings' ``show channels``."""
PASSED_OVER = ("HEARTBEAT",)


class Said(NamedTuple):
    """A frame of FreeSWITCH."""

    kind: str
    body: str
    event: dict[str, Any]


class Reader:
    """Frames out of bytes, independent of the adapter's codec."""

    def __init__(self) -> None:
        self.buffer = b""

    def feed(self, data: bytes) -> list[Said]:
        self.buffer += data
        found = []
        while b"\n\n" in self.buffer:
            head, rest = self.buffer.split(b"\n\n", 1)
            lines = head.decode().split("\n")
            headers = dict(line.split(": ", 1) for line in lines)
            length = int(headers.get("Content-Length", 0))
            if len(rest) < length:
                break
            body, self.buffer = rest[:length].decode(), rest[length:]
            kind = headers["Content-Type"]
            event = json.loads(body) if kind == "text/event-json" else {}
            if event.get("Event-Name") not in PASSED_OVER:
                found.append(Said(kind, body or headers.get("Reply-Text", ""), event))
        return found


class Session:
    """A connection to the conformance server; `names` puts recorded ids in the place of its own."""

    def __init__(self, pbx: EslPbx) -> None:
        self.pbx = pbx
        self.said: list[Said] = []
        self.names: dict[str, str] = {}
        self.changed = asyncio.Event()
        self.reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        reader, self.writer = await asyncio.open_connection("127.0.0.1", self.pbx.port)
        self.reading = asyncio.get_running_loop().create_task(self.read(reader))

    async def read(self, reader: asyncio.StreamReader) -> None:
        frames = Reader()
        while data := await reader.read(65536):
            self.said += frames.feed(data)
            self.changed.set()

    async def until(self, number: int) -> None:
        async with asyncio.timeout(30):
            while len(self.said) < number:
                self.changed.clear()
                await self.changed.wait()

    async def close(self) -> None:
        self.writer.close()
        if self.reading is not None:
            self.reading.cancel()
            await asyncio.gather(self.reading, return_exceptions=True)

    def ours(self, line: str) -> str:
        for recorded, own in self.names.items():
            line = line.replace(recorded, own)
        return line


@pytest.fixture
async def pbx() -> AsyncIterator[EslPbx]:
    pbx = EslPbx(tick_s=0.002)
    pbx.switch.entry = {}
    await pbx.start()
    for phone, does in (("busy01", "busy"), ("nobody", "unknown"), ("x", "fails")):
        pbx.switch.phone(phone).answers = does  # type: ignore[assignment]
    for phone in ("agent0001", "agent0002", "agent0003", "agent0004", "talk001"):
        pbx.switch.phone(phone).answers = "answers"
    yield pbx
    await pbx.stop()


@pytest.mark.parametrize("name", NAMES)
async def test_the_same_commands_bring_the_same_answers_and_events(name: str, pbx: EslPbx) -> None:
    session = Session(pbx)
    recorded: list[Said] = []
    reader = Reader()
    killed: set[str] = set()
    await session.open()
    try:
        for chunk in chunks(name):
            if chunk.what == "received":
                for said in reader.feed(chunk.data):
                    await act(said, session, killed, len(recorded))
                    recorded.append(said)
            elif chunk.what == "sent":
                await session.until(len(recorded))
                await send(chunk, session, killed)
            elif chunk.data == b"socket closed by the client":
                await session.until(len(recorded))
                await session.close()
                await session.open()
        await session.until(len(recorded))
    except TimeoutError:
        pass  # the comparison says what is missing
    finally:
        await session.close()
    ours, theirs = told(session.said, {}), told(recorded, session.names)
    assert ours.keys() == theirs.keys()
    for key, lines in theirs.items():
        assert ours[key] == lines, key


async def send(chunk: Chunk, session: Session, killed: set[str]) -> None:
    line = chunk.data.decode()
    if "uuid_kill" in line or "uuid_hold" in line:
        killed |= {word for word in line.split() if len(word) == 36}
    session.writer.write(session.ours(line).encode())


async def act(said: Said, session: Session, killed: set[str], number: int) -> None:
    """What somebody at the edge did to bring this event about."""
    event, switch = said.event, session.pbx.switch
    uuid = event.get("Unique-ID", "")
    if event.get("Event-Name") == "CHANNEL_CREATE" and event["Call-Direction"] == "inbound":
        await session.until(number)
        channel = await session.pbx.call("caller", "7000")
        session.names[uuid] = channel.uuid
    elif event.get("Event-Name") == "CHANNEL_HANGUP" and uuid not in killed:
        channel_of = switch.channels.get(session.names.get(uuid, uuid))
        spontaneous = event["Call-Direction"] == "inbound" or "talk" in event["Channel-Name"]
        if channel_of is not None and spontaneous:
            await session.until(number)
            switch.hang_up(channel_of, event["Hangup-Cause"], by_phone=True)


def told(said: list[Said], names: dict[str, str]) -> dict[str, list[Any]]:
    """What was said, by channel; and the answers, in order, with ids as they are here."""
    found: dict[str, list[Any]] = defaultdict(list)
    for kind, body, event in said:
        if event:
            uuid = event.get("Unique-ID", "")
            found[names.get(uuid, uuid)].append(
                " ".join(renamed(str(event[key]), names) for key in SEEN if key in event)
            )
        else:
            found["answers"].append((kind, plain(renamed(body, names))))
    return dict(found)


def renamed(text: str, names: dict[str, str]) -> str:
    for recorded, own in names.items():
        text = text.replace(recorded, own)
    return text


def plain(body: str) -> object:
    """An answer without what is never the same twice."""
    if body.startswith("UP "):
        return [line.split("(Version")[0] for line in body.split("\n")[1:2]]
    if body.startswith("{"):
        rows = [row for row in json.loads(body).get("rows", []) if row["uuid"] != LEFT_FROM_BEFORE]
        keys = ("uuid", "direction", "state", "dest", "application", "application_data")
        dump = ("Event-Name", "Unique-ID", "Channel-State", "variable_cr_contact")
        return [{k: row[k] for k in keys} for row in rows] or {
            k: json.loads(body)[k] for k in dump if k in json.loads(body)
        }
    return body


async def test_no_field_is_invented(pbx: EslPbx) -> None:
    real: set[str] = set()
    rows: set[str] = set()
    for name in NAMES:
        reader = Reader()
        for chunk in chunks(name):
            if chunk.what == "received":
                for said in reader.feed(chunk.data):
                    real |= said.event.keys()
                    if said.body.startswith('{"row_count'):
                        rows |= {key for row in json.loads(said.body)["rows"] for key in row}
    session = Session(pbx)
    await session.open()
    session.writer.write(b"auth esl-secret\n\nevent json CHANNEL_CREATE CHANNEL_PARK\n\n")
    await session.until(3)
    await pbx.call("caller", "7000")
    session.writer.write(b"api show channels as json\n\n")
    await session.until(6)
    await session.close()
    [created, parked] = [said.event for said in session.said if said.event]
    assert created.keys() | parked.keys() <= real
    assert {key for row in json.loads(session.said[-1].body)["rows"] for key in row} <= rows
