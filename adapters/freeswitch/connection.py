"""One connection to the event socket: logs in, sends commands, hands events on.

Replies come in the order of the commands, so a command without its reply in time ends the
connection: what comes afterwards could be anybody's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from adapters.freeswitch import esl
from router.channel import ChannelError, ChannelLost

log = logging.getLogger(__name__)

PENDING = 2_000
"""Most commands that wait for their reply."""
READ = 262_144

OnEvent = Callable[[esl.Frame], None]


class Connection:
    """An open event socket. Reads as long as `run` runs."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        reply_s: float,
        on_event: OnEvent,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._reply_s = reply_s
        self._on_event = on_event
        self._decoder = esl.Decoder()
        self._pending: deque[asyncio.Future[esl.Frame]] = deque()
        self._why = ""

    @classmethod
    async def open(
        cls, host: str, port: int, password: str, reply_s: float, on_event: OnEvent
    ) -> Connection:
        """Connect and log in. Raises ChannelLost: nobody there, or the password is refused."""
        try:
            async with asyncio.timeout(reply_s):
                reader, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            raise ChannelLost(f"no event socket at {host}:{port}: {error}") from None
        made = cls(reader, writer, reply_s, on_event)
        try:
            async with asyncio.timeout(reply_s):
                await made._log_in(password)
        except BaseException as error:
            made.close("the login failed")
            if isinstance(error, TimeoutError | OSError | esl.ProtocolError):
                raise ChannelLost(f"no login at the event socket: {type(error).__name__}") from None
            raise
        return made

    async def _log_in(self, password: str) -> None:
        greeting = await self._one_frame()
        if greeting.type == "text/rude-rejection":
            raise ChannelLost(
                "FreeSWITCH does not let this address in: its ACL (apply-inbound-acl)"
            )
        if greeting.type != "auth/request":
            raise ChannelLost(f"this is no event socket: it began with {greeting.type[:40]!r}")
        self._writer.write(esl.command(f"auth {password}"))
        answer = await self._one_frame()
        if not answer.reply.startswith("+OK"):
            raise ChannelLost("FreeSWITCH refuses the event socket's password")

    async def _one_frame(self) -> esl.Frame:
        while True:
            data = await self._reader.read(READ)
            if not data:
                raise ChannelLost("FreeSWITCH closed the connection at the login")
            frames = self._decoder.feed(data)
            if frames:
                return frames[0]  # at the login it says one thing at a time

    async def run(self) -> None:
        """Read until the connection ends; raises ChannelLost then."""
        try:
            while data := await self._reader.read(READ):
                for frame in self._decoder.feed(data):
                    self._take(frame)
            self.close(self._why or "FreeSWITCH closed the connection")
        except esl.ProtocolError as error:
            self.close(f"FreeSWITCH said something else than its protocol: {error}")
        except OSError as error:
            self.close(f"the connection broke: {error.strerror or type(error).__name__}")
        finally:
            self.close("the adapter stops")
        raise ChannelLost(self._why)

    def _take(self, frame: esl.Frame) -> None:
        if frame.type == "text/disconnect-notice":
            self.close("FreeSWITCH said goodbye")
        elif frame.is_event:
            self._on_event(frame)
        elif self._pending:
            waiting = self._pending.popleft()
            if not waiting.done():
                waiting.set_result(frame)
        else:
            raise esl.ProtocolError("an answer to nothing")

    async def ask(self, data: bytes) -> esl.Frame:
        """Send a command and wait for its reply.

        Raises ChannelLost when the connection ends before it, ChannelError when too many wait.
        """
        if self._why or self._writer.is_closing():  # uvloop's transport breaks what writes then
            raise ChannelLost(self._why or "the connection has just ended")
        if len(self._pending) >= PENDING:
            raise ChannelError(f"{PENDING} commands wait for FreeSWITCH")
        waiting: asyncio.Future[esl.Frame] = asyncio.get_running_loop().create_future()
        self._pending.append(waiting)
        self._writer.write(data)
        try:
            async with asyncio.timeout(self._reply_s):
                return await waiting
        except TimeoutError:
            self.close(f"FreeSWITCH has not answered for {self._reply_s:g} s")
            raise ChannelLost(self._why) from None

    async def do(self, line: str) -> str:
        """An api call that must succeed: its output. Raises ChannelError for ``-ERR``."""
        frame = await self.ask(esl.api(line))
        if frame.is_refused:
            raise ChannelError(f"{line.partition(' ')[0]}: {frame.reply[:100]}")
        return frame.reply

    def close(self, why: str) -> None:
        """End it; whoever waits for a reply hears ChannelLost. The first reason counts."""
        if self._why:
            return
        self._why = why
        with suppress(RuntimeError):  # the loop is closed
            self._writer.close()
        while self._pending:
            waiting = self._pending.popleft()
            if not waiting.done():
                waiting.set_exception(ChannelLost(why))
                waiting.exception()  # whoever waited may be gone
