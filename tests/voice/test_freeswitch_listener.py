"""The outbound socket's door: whoever knocks in a loop fills no log and keeps nothing open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from adapters.freeswitch import FreeSwitch, listener
from router.testing.adapter_harness import RouterDouble, Signal
from tests.voice.freeswitch_edge import FreeSwitchEdge

PATIENCE_S = 30.0


class Door:
    """An adapter at a conformance FreeSWITCH; strangers connect to its listener."""

    def __init__(self, **settings: object) -> None:
        self.edge = FreeSwitchEdge(listen="127.0.0.1:0", **settings)
        self.router = RouterDouble(Signal())

    async def __aenter__(self) -> Door:
        await self.edge.start()
        self.adapter = FreeSwitch("pbx", self.edge.settings(), self.router)
        self.run = asyncio.get_running_loop().create_task(self.adapter.run())
        await self.router.signal.until(lambda: "up" in self.router.states, PATIENCE_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.run.cancel()
        await asyncio.gather(self.run, return_exceptions=True)
        await self.edge.stop()

    async def knock(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.adapter.listening_on)

    @property
    def inside(self) -> int:
        return len(self.adapter._listener._open)


@pytest.fixture
async def closed_door() -> AsyncIterator[Door]:
    async with Door(listen_allow=["192.0.2.0/24"]) as door:
        yield door


async def is_shut(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await reader.read(1_000):
                pass
    except ConnectionResetError:
        pass
    return True


async def test_who_knocks_in_a_loop_is_told_of_once(
    closed_door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            reader, writer = await closed_door.knock()
            assert await is_shut(reader)
            writer.close()
    lines = [record for record in caplog.records if "not allowed" in record.getMessage()]
    assert [line.getMessage() for line in lines] == [
        "pbx: connections that are not allowed, or too many, were closed: 1"
    ]
    closed_door.adapter._listener._told.take(0)  # a minute later the others are counted
    closed_door.adapter._listener._told._left = 1.0
    with caplog.at_level(logging.WARNING):
        reader, writer = await closed_door.knock()
        assert await is_shut(reader)
        writer.close()
    assert caplog.records[-1].getMessage().endswith("closed: 50")
    assert closed_door.inside == 0


async def test_a_stranger_who_says_nothing_or_nonsense_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "HELLO_S", 0.3)
    async with Door() as door:
        silent = [await door.knock() for _ in range(3)]
        talkers = [await door.knock() for _ in range(3)]
        for _, writer in talkers:
            writer.write(b"Content-Length: 99999999999\n\n")
        for reader, writer in (*talkers, *silent):
            assert await is_shut(reader)
            writer.close()
        assert door.inside == 0


async def test_one_more_than_there_may_be_is_closed_and_room_comes_back() -> None:
    async with Door(calls=2) as door:
        kept = [await door.knock() for _ in range(2)]
        for reader, _ in kept:
            assert (await reader.readline()).startswith(b"connect")
        reader, writer = await door.knock()
        assert await is_shut(reader)
        writer.close()
        for reader, writer in kept:
            writer.write_eof()
            assert await is_shut(reader)
            writer.close()
        assert door.inside == 0
        reader, writer = await door.knock()
        assert (await reader.readline()).startswith(b"connect")
        writer.close()


async def test_a_connection_that_no_task_can_serve_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Door() as door:
        door.adapter.board.crew.most = len(door.adapter.board.crew)  # everybody is busy
        reader, writer = await door.knock()
        assert await is_shut(reader)
        writer.close()
        assert door.inside == 0
    assert any("or too many, were closed" in record.getMessage() for record in caplog.records)


async def test_a_stop_leaves_nothing_open() -> None:
    async with Door() as door:
        knocks = [await door.knock() for _ in range(5)]
        for reader, _ in knocks:
            assert (await reader.readline()).startswith(b"connect")
        door.run.cancel()
        await asyncio.gather(door.run, return_exceptions=True)
        for reader, writer in knocks:
            assert await is_shut(reader)
            writer.close()
        assert door.inside == 0
