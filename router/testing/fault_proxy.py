"""A TCP proxy that does to a connection what networks and dying peers do: for tests of adapters.

    async with FaultProxy("127.0.0.1", smsc_port) as proxy:
        proxy.answers.cut_at = 17      # the connection ends after 17 bytes from the server
        connect to ("127.0.0.1", proxy.port)

`requests` is the way from client to server, `answers` the way back. Offsets count the bytes of one
connection and one way from 0, and hold for every connection, also for those that are open; -1 is
never. Bytes before the offset have arrived when the fault happens. Nothing is left behind: leaving
the context ends all connections with a reset.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

CHUNK = 65_536


@dataclass(slots=True)
class Way:
    """What happens to the bytes of one direction; may be changed at any time."""

    delay_s: float = 0.0
    """Each piece waits so long before it is passed on."""
    bytes_per_s: float = 0.0
    """Not faster than this; 0 = as fast as it goes. A fiftieth of it at a time."""
    cut_at: int = -1
    """After so many bytes both ends are closed in an orderly way (FIN)."""
    reset_at: int = -1
    """After so many bytes both ends get a reset (RST)."""
    hang_at: int = -1
    """After so many bytes nothing moves in this direction until `flow`; connections stay open."""
    flip_at: int = -1
    """The byte at this offset arrives with all its bits turned round."""
    passed: int = 0
    """Bytes passed on so far, of all connections."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.flowing.set()

    def hang(self) -> None:
        """Nothing moves from now on; nobody is told."""
        self.flowing.clear()

    def flow(self) -> None:
        """End of `hang` and of what `hang_at` has stopped."""
        self.flowing.set()

    def room(self, offset: int) -> int:
        """How many bytes may be passed on from here before something is to happen."""
        stops = [at - offset for at in (self.cut_at, self.reset_at, self.hang_at) if at > offset]
        pace = [max(1, int(self.bytes_per_s / 50))] if self.bytes_per_s > 0 else []
        return min([CHUNK, *stops, *pace])


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and passes on to (host, port), with faults."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        """Where new connections lead; may be changed."""
        self.port = 0
        """Where to connect to; stays the same over `close_door` and `open_door`."""
        self.requests = Way()
        self.answers = Way()
        self.connections = 0
        """How many were made so far, those that found nobody behind included."""
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[Any], set[asyncio.StreamWriter]] = {}

    async def __aenter__(self) -> FaultProxy:
        await self.open_door()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close_door()
        await self.reset()

    async def open_door(self) -> None:
        """Take connections (again), on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close_door(self) -> None:
        """Take no new connections: they are refused (ECONNREFUSED). Open ones go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def reset(self) -> None:
        """End every open connection with a reset, at both ends; returns when they are gone."""
        tasks = list(self._open)
        for task in tasks:
            for writer in self._open[task]:
                _reset(writer)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        writers = self._open[task] = {writer}
        try:
            await self._join(reader, writer, writers)
        except* OSError:
            pass  # one end is gone: so is the other, below
        except* asyncio.CancelledError:
            pass  # by `reset`; asyncio's own streams would log it
        finally:
            for one in writers:
                one.close()
            del self._open[task]

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                    writers: set[asyncio.StreamWriter]) -> None:  # fmt: skip
        far_reader, far_writer = await asyncio.open_connection(*self.target)
        writers.add(far_writer)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pump(self.requests, reader, far_writer, writers))
            both.create_task(self._pump(self.answers, far_reader, writer, writers))

    async def _pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                    both: set[asyncio.StreamWriter]) -> None:  # fmt: skip
        writer.transport.set_write_buffer_limits(high=0)  # drained = handed to the system
        offset = 0
        data = bytearray()
        while True:
            if offset == way.reset_at:
                for one in both:
                    _reset(one)
                raise ConnectionResetError
            if offset == way.cut_at:
                raise ConnectionError
            if offset == way.hang_at:
                way.hang()
            await way.flowing.wait()
            if not data:
                data += await reader.read(CHUNK)
                if not data:
                    break
                continue  # what is to happen may have been changed while nothing came
            piece = data[: way.room(offset)]
            del data[: len(piece)]
            if way.delay_s > 0:
                await asyncio.sleep(way.delay_s)
            if offset <= way.flip_at < offset + len(piece):
                piece[way.flip_at - offset] ^= 0xFF
            writer.write(piece)
            await writer.drain()
            offset += len(piece)
            way.passed += len(piece)
            if way.bytes_per_s > 0:
                await asyncio.sleep(len(piece) / way.bytes_per_s)
        writer.write_eof()  # the other direction may still have something to say


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.is_closing():
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
