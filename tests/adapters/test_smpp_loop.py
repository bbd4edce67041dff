"""A bind on the loop that production runs: uvloop, whose closed transport breaks what writes."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
import uvloop

from adapters import Crew
from adapters.smpp import pdu
from adapters.smpp.bind import Bind
from adapters.smpp.settings import Centre, Settings, Smsc
from router.channel import ChannelLost


async def _accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A centre that accepts the bind and says nothing more."""
    with suppress(OSError, EOFError):
        head = await reader.readexactly(pdu.HEADER.size)
        length, _, _, sequence = pdu.HEADER.unpack(head)
        await reader.readexactly(length - pdu.HEADER.size)
        answer = pdu.packet(pdu.BIND_TRANSCEIVER | pdu.RESPONSE, sequence, b"smsc\0")
        writer.write(answer)
        await reader.read()
    writer.close()


def test_a_centre_that_is_asked_in_the_moment_the_connection_breaks_is_lost() -> None:
    """The transport is closed, and whoever reads has not been woken yet. Uvloop's RuntimeError was
    taken for a fault of the adapter's."""

    async def breaks() -> None:
        server = await asyncio.start_server(_accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        smsc = Smsc(host="127.0.0.1", port=port, system_id="us", password_file="")
        crew = Crew("texts", most=10)

        async def hear(_message: pdu.Message, _bind: int) -> int:
            return pdu.OK

        bind = Bind(
            1, Centre("centre", smsc, "secret"), Settings(smscs={"centre": {}}),
            crew, hear, lambda _bind, _at_s: None,
        )  # fmt: skip
        serving = asyncio.Event()
        running = asyncio.get_running_loop().create_task(bind.run(serving.set))
        try:
            async with asyncio.timeout(30):
                await serving.wait()
                await asyncio.sleep(0)  # it reads
                writer = bind._writer
                assert writer is not None
                writer.transport.abort()
                bind._ask.set()
                with pytest.raises(ChannelLost, match="ended"):
                    await running
        finally:
            await asyncio.gather(running, return_exceptions=True)
            await crew.stop()
            server.close()

    uvloop.run(breaks())
