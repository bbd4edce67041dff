"""FreeSWITCH connects to us for each call: the dialplan's ``socket`` application, async and full.

    <action application="socket" data="127.0.0.1:8084 async full"/>

Its worth: when no router listens, the application fails at once and the dialplan goes on (to
voicemail, to another queue), where a parked caller would wait in silence. The call is commanded
over the inbound socket like every other. After the documentation, not recorded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging

from adapters import Bucket
from adapters.freeswitch import esl
from adapters.freeswitch.board import Board
from adapters.freeswitch.ears import Ears
from adapters.freeswitch.settings import address_of
from router.channel import ChannelError, ChannelLost

log = logging.getLogger(__name__)

HELLO_S = 5.0
"""So long may FreeSWITCH take to say which channel it brings."""
TOLD_EVERY_S = 60.0


class Listener:
    """Takes calls that FreeSWITCH brings."""

    def __init__(self, board: Board, ears: Ears) -> None:
        self.board = board
        self.ears = ears
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._refused = 0
        """Since it was told last."""
        self._told = Bucket(1 / TOLD_EVERY_S, 1)
        self._allowed = [ipaddress.ip_network(each) for each in board.config.listen_allow]

    @property
    def port(self) -> int:
        """Where it listens; 0: nowhere."""
        return self._server.sockets[0].getsockname()[1] if self._server is not None else 0

    async def start(self) -> None:
        """Listen, if the settings say so. Raises ChannelLost: the address is taken."""
        if self.board.config.listen:
            host, port = address_of(self.board.config.listen)
            try:
                self._server = await asyncio.start_server(self._greet, host, port)
            except OSError as error:
                raise ChannelLost(f"cannot listen at {host}:{port}: {error.strerror}") from None

    async def stop(self) -> None:
        """Listen no more; FreeSWITCH goes on with the dialplan of calls it brings from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.close()

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        is_welcome = any(ipaddress.ip_address(peer) in each for each in self._allowed if peer)
        if not is_welcome or len(self._open) >= self.board.config.calls:
            self._refuse(writer)
            return
        try:
            task = self.board.crew.start(self._serve(reader, writer), "outbound socket")
        except ChannelError:  # whoever connects must not take the event socket down: not `later`
            self._refuse(writer)
            return
        self._open.add(writer)
        # Also when it is cancelled before it has begun.
        task.add_done_callback(lambda _: self._end(writer))

    def _refuse(self, writer: asyncio.StreamWriter) -> None:
        """Close it; told once a minute, or whoever connects in a loop would fill the log."""
        writer.transport.abort()
        self._refused += 1
        if self._told.take(asyncio.get_running_loop().time()) == 0:
            log.warning(
                "%s: connections that are not allowed, or too many, were closed: %d",
                self.board.name,
                self._refused,
            )
            self._refused = 0

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        # Nothing that still waits to be written matters, and who does not read must not keep it.
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer.is_closing():  # gone before its turn
            return
        decoder = esl.Decoder()
        try:
            # linger: the last events come although the call is over.
            for line in ("connect", "myevents json", "linger"):
                writer.write(esl.command(line))
            async with asyncio.timeout(HELLO_S):
                frames: list[esl.Frame] = []
                while not frames:
                    frames = decoder.feed(await _some(reader))
            fields = esl.decoded(frames.pop(0).headers)
            uuid = esl.channel_id(fields.get("Unique-ID", ""))
            self.ears.arrive(uuid, fields)
            while True:
                for frame in frames:
                    self._hear(uuid, frame)
                frames = decoder.feed(await _some(reader))
        except (esl.ProtocolError, esl.Unsafe, TimeoutError, EOFError, OSError) as error:
            log.debug("%s: outbound socket: %s", self.board.name, type(error).__name__)

    def _hear(self, uuid: str, frame: esl.Frame) -> None:
        """Only the end is of interest; everything else comes over the inbound socket, too."""
        if frame.type == "text/event-json":
            event = esl.event_of(frame.body)
            if event.name == "CHANNEL_HANGUP" and event.uuid == uuid:
                self.ears.gone(uuid, event.cause)


async def _some(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(65_536)
    if not data:
        raise EOFError
    return data
