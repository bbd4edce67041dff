"""The event socket's connection on the loop that production runs: uvloop."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from adapters.freeswitch import esl
from adapters.freeswitch.connection import Connection
from router.channel import ChannelLost


def test_a_command_in_the_moment_the_connection_breaks_hears_that_it_is_lost() -> None:
    """The transport is closed, and whoever reads has not been woken yet: uvloop's write raises
    RuntimeError then, which was taken for a fault of the adapter's, with its effect's end unknown.
    """

    async def breaks() -> None:
        ends: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: ends.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        connection = Connection(reader, writer, 30.0, lambda _: None)
        try:
            writer.transport.abort()
            await writer.wait_closed()
            with pytest.raises(ChannelLost, match="ended"):
                await connection.ask(esl.api("status"))
        finally:
            server.close()
            for end in ends:
                end.close()

    uvloop.run(breaks())
