"""The fault proxy does what its settings say, byte for byte, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.testing.fault_proxy import FaultProxy

TEXT = bytes(range(256)) * 4


class Echo:
    """A server that sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.got = b""
        self.ends: list[str] = []
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(4096):
                self.got += data
                writer.write(data)
                await writer.drain()
            self.ends.append("closed")
        except ConnectionError:
            self.ends.append("reset")
        finally:
            writer.close()
            self.ended.set()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, FaultProxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    try:
        async with FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
            yield echo, proxy
    finally:
        server.close()


async def converse(proxy: FaultProxy, data: bytes = TEXT) -> bytes:
    """Send, end, and read to the end; raises ConnectionResetError when the end was a reset."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            writer.write(data)
            await writer.drain()
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()


async def test_without_a_fault_every_byte_passes(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    big = TEXT * 2_000
    assert await converse(proxy, big) == big
    assert server.got == big
    assert proxy.requests.passed == proxy.answers.passed == len(big)
    assert server.ends == ["closed"]


@pytest.mark.parametrize("offset", [0, 1, 17, 1023])
async def test_an_answer_is_cut_at_the_byte(offset: int, echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    proxy.answers.cut_at = offset
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(TEXT)
    async with asyncio.timeout(30):
        assert await reader.read() == TEXT[:offset]
    writer.close()


async def test_a_request_is_cut_at_the_byte(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    proxy.requests.cut_at = 17
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(TEXT)
    async with asyncio.timeout(30):
        await server.ended.wait()
    writer.close()
    assert server.got == TEXT[:17]


async def test_a_reset_is_a_reset_at_both_ends(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    proxy.answers.reset_at = 100
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(TEXT)
    async with asyncio.timeout(30):
        assert len(await reader.readexactly(100)) == 100
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        await server.ended.wait()
    writer.close()
    assert server.ends == ["reset"]


async def test_a_hang_keeps_the_connection_and_loses_nothing(
    echo: tuple[Echo, FaultProxy],
) -> None:
    _, proxy = echo
    proxy.answers.hang_at = 10
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(TEXT)
    writer.write_eof()
    async with asyncio.timeout(30):
        assert await reader.readexactly(10) == TEXT[:10]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        proxy.answers.flow()
        assert await reader.read() == TEXT[10:]
    writer.close()


async def test_a_hang_now_stops_what_comes_next(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"one")
    async with asyncio.timeout(30):
        assert await reader.readexactly(3) == b"one"
        proxy.requests.hang()
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert server.got == b"one"
        proxy.requests.flow()
        assert await reader.readexactly(3) == b"two"
    writer.close()


async def test_one_byte_arrives_turned_round(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    proxy.requests.flip_at = 300
    got = await converse(proxy)
    assert [at for at in range(len(TEXT)) if got[at] != TEXT[at]] == [300]
    assert got[300] == TEXT[300] ^ 0xFF


async def test_a_slow_line_takes_its_time_and_a_delayed_one_waits(
    echo: tuple[Echo, FaultProxy],
) -> None:
    _, proxy = echo
    loop = asyncio.get_running_loop()
    proxy.requests.bytes_per_s = len(TEXT) * 5
    before = loop.time()
    assert await converse(proxy) == TEXT
    assert loop.time() - before >= 0.2
    proxy.requests.bytes_per_s, proxy.answers.delay_s = 0, 0.1
    before = loop.time()
    assert await converse(proxy, b"x") == b"x"
    assert loop.time() - before >= 0.1


@pytest.mark.parametrize("offset", [3, 5])
async def test_a_fault_set_on_an_open_connection_happens_there(
    offset: int, echo: tuple[Echo, FaultProxy]
) -> None:
    _, proxy = echo
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"one")
    async with asyncio.timeout(30):
        assert await reader.readexactly(3) == b"one"
        proxy.answers.cut_at = offset
        writer.write(b"two and more")
        assert await reader.read() == b"two and more"[: offset - 3]
    writer.close()


async def test_open_connections_can_be_reset_and_new_ones_work(
    echo: tuple[Echo, FaultProxy],
) -> None:
    server, proxy = echo
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"one")
    async with asyncio.timeout(30):
        assert await reader.readexactly(3) == b"one"
        await proxy.reset()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        await server.ended.wait()
    writer.close()
    assert await converse(proxy) == TEXT
    assert proxy.connections == 2


async def test_a_closed_door_refuses_and_opens_on_the_same_port(
    echo: tuple[Echo, FaultProxy],
) -> None:
    _, proxy = echo
    port = proxy.port
    proxy.close_door()
    with pytest.raises(ConnectionRefusedError):
        await converse(proxy)
    await proxy.open_door()
    assert proxy.port == port
    assert await converse(proxy) == TEXT


async def test_nobody_behind_the_door_ends_the_connection(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    good, proxy.target = proxy.target, ("127.0.0.1", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()
    proxy.target = good
    assert await converse(proxy) == TEXT


async def test_leaving_ends_every_connection_even_a_hanging_one() -> None:
    server = Echo()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with FaultProxy("127.0.0.1", listener.sockets[0].getsockname()[1]) as proxy:
        proxy.answers.hang_at = 3
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(TEXT)
        assert await reader.readexactly(3) == TEXT[:3]
    async with asyncio.timeout(30):
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        await server.ended.wait()
    writer.close()
    listener.close()
