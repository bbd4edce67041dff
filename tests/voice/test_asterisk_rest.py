"""Requests to an Asterisk that takes them and never answers."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

import pytest

from adapters.asterisk import ari
from adapters.asterisk.rest import Rest
from adapters.asterisk.settings import Settings
from router.channel import ChannelError, ChannelLost


async def test_what_waits_for_a_connection_as_they_are_closed_was_lost_and_not_cancelled() -> None:
    asked, enough = 0, asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with suppress(OSError):
            if await reader.read(65_536):
                asked += 1
                if asked == 2:
                    enough.set()
                await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Settings(
        url=f"http://127.0.0.1:{port}/ari", user="router", password_file="unused", connections=1
    )
    rest = Rest(settings, "of the test", ssl.create_default_context(), lambda _state, _why: None)
    await rest.open()
    requests = [asyncio.get_running_loop().create_task(rest.ask(ari.ping())) for _ in range(4)]
    async with asyncio.timeout(30):
        await enough.wait()
        await rest.close()
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
    server.close()
    assert all(isinstance(outcome, ChannelError) for outcome in outcomes), outcomes
    assert sum(isinstance(outcome, ChannelLost) for outcome in outcomes) >= 2


async def test_a_request_that_is_itself_cancelled_stays_so() -> None:
    heard = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(65_536)
            heard.set()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Settings(url=f"http://127.0.0.1:{port}/ari", user="router", password_file="unused")
    rest = Rest(settings, "of the test", ssl.create_default_context(), lambda _state, _why: None)
    await rest.open()
    request = asyncio.get_running_loop().create_task(rest.ask(ari.ping()))
    async with asyncio.timeout(30):
        await heard.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await rest.close()
    server.close()
