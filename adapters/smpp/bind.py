"""One connection to an SMS centre, bound as transceiver: window, pace, keep-alive, orderly end.

What is written and not answered has an unknown outcome; what was not written may be said elsewhere.
The other side is not trusted: it may be slow, silent, cut off in the middle or talk nonsense.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, NamedTuple

from adapters import Crew, is_cancelled
from adapters.smpp import pdu
from adapters.smpp.settings import Centre, Settings, Smsc
from router.channel import ChannelError, ChannelLost, UnknownOutcome

log = logging.getLogger(__name__)

BUSY: Final = (pdu.THROTTLED, pdu.QUEUE_FULL)
"""The centre is well but has no room now: nothing was taken, say it again more slowly (4.4.2)."""
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 4.0
UNREAD_MOST: Final = 262_144
"""Bytes that the centre may leave unread; it takes nothing then, and the connection is ended."""
FAREWELL_S: Final = 2.0
CONFIRM_S: Final = 1.0
"""So long after a message the centre is asked something, to know that it has read our answer."""


class NotSent(ChannelError):
    """Nothing was written: it may be said on another connection."""


class Answer(NamedTuple):
    """What the centre said to a submit_sm."""

    status: int
    message_id: str


Hear = Callable[[pdu.Message, int], Awaitable[int]]
"""Takes a message that came on this connection; returns the status to answer with."""
Read = Callable[[int, float], None]
"""The centre has read all that was written on this connection before this moment."""


class Bind:
    """One connection: `run` keeps it until it ends, `submit` says something on it."""

    def __init__(
        self, number: int, centre: Centre, settings: Settings, crew: Crew, hear: Hear, read: Read
    ) -> None:  # fmt: skip
        self.number = number
        """Of this connection; never used again."""
        self.centre = centre
        self.smsc = smsc = centre.smsc
        self.is_up = False
        self._settings = settings
        self._crew = crew
        self._hear = hear
        self._read = read
        self._pending: dict[int, asyncio.Future[pdu.Packet]] = {}
        self._window = asyncio.Semaphore(smsc.window)
        self._written_at: dict[int, float] = {}
        self._sequence = 0
        self.free_at_s = 0.0
        """Nothing is written before this moment, by the rate and what the centre said."""
        self._pause_s = FIRST_PAUSE_S
        self._answered = asyncio.Event()
        self._ask = asyncio.Event()
        self._will_ask = False
        self._is_leaving = False
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None

    @property
    def waiting(self) -> int:
        """Messages that wait for their answer."""
        return len(self._pending)

    # -- the connection --------------------------------------------------------------------------

    async def run(self, up: Callable[[], None]) -> None:
        """Connect, bind, say `up`, serve. Raises ChannelLost with the reason when it ends."""
        try:
            await self._connect()
            up()
            await self._serve()
        except ChannelLost:
            raise
        except (OSError, EOFError, TimeoutError) as error:
            raise ChannelLost(f"cannot connect: {type(error).__name__}") from None
        except ExceptionGroup as group:
            if is_cancelled():  # the connection ended in the same moment
                raise asyncio.CancelledError from None
            raise _first(group) from None
        finally:
            self.is_up = False
            self._end()

    async def _connect(self) -> None:
        context = await asyncio.to_thread(_context, self.smsc) if self.smsc.tls else None
        async with asyncio.timeout(self._settings.connect_s):
            self._reader, self._writer = await asyncio.open_connection(
                self.smsc.host, self.smsc.port, ssl=context
            )
            try:
                body = pdu.bind_body(
                    self.smsc.system_id, self.centre.password, self.smsc.system_type
                )
            except pdu.Malformed as error:
                raise ChannelLost(f"cannot bind: {error}") from None
            self._sequence += 1
            self._write(pdu.packet(pdu.BIND_TRANSCEIVER, self._sequence, body))
            # What comes right behind the answer is read by `_serve`: byte by packet here.
            head = await self._reader.readexactly(pdu.HEADER.size)
            length, command, status, sequence = pdu.HEADER.unpack(head)
            if not pdu.HEADER.size <= length <= 1_024:
                raise ChannelLost("no SMPP is spoken there")
            await self._reader.readexactly(length - pdu.HEADER.size)
        if command not in (pdu.BIND_TRANSCEIVER | pdu.RESPONSE, pdu.GENERIC_NACK):
            raise ChannelLost("the answer to bind_transceiver is none")
        if status != pdu.OK or command == pdu.GENERIC_NACK:
            raise ChannelLost(f"the bind was refused: status {status:#06x}")
        if sequence != self._sequence:
            raise ChannelLost("the answer to bind_transceiver has another sequence number")
        self.is_up = True

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._until_lost(self._listen()))
            both.create_task(self._until_lost(self._keep_alive()))
            try:
                await asyncio.Event().wait()
            finally:
                if self.is_up:  # cancelled from outside, and not because one of the two has ended
                    await self._say_farewell()

    async def _until_lost(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (ChannelLost, OSError):
            self._fail_pending()
            if not self._is_leaving:
                self.is_up = False
                raise

    async def _say_farewell(self) -> None:
        """Take no more, wait a little for what is unanswered, unbind (4.2)."""
        self.is_up, self._is_leaving = False, True
        try:
            async with asyncio.timeout(FAREWELL_S):
                while self._pending:
                    self._answered.clear()
                    await self._answered.wait()
                await self._request(pdu.UNBIND)
        except (TimeoutError, ChannelError):
            pass

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._fail_pending()

    def _fail_pending(self) -> None:
        """Whatever was written and is not answered has an unknown outcome."""
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(UnknownOutcome("the connection ended before the answer"))

    # -- what we say -----------------------------------------------------------------------------

    async def submit(self, body: bytes, until_s: float, answer_until_s: float) -> Answer:
        """Say a submit_sm when its turn comes, and wait for the answer.

        Raises NotSent when it was not written, not even in part, and UnknownOutcome when it was
        and the answer is lost or does not come in time.
        """
        try:
            async with asyncio.timeout_at(until_s):
                await self._window.acquire()
        except TimeoutError:
            raise NotSent("no room in the window in time") from None
        try:
            await self._wait_turn(until_s)
            packet = await self._request(pdu.SUBMIT_SM, body, answer_until_s)
        finally:
            self._window.release()
        if packet.status == pdu.OK and packet.command == pdu.GENERIC_NACK:
            raise UnknownOutcome("the SMSC answered with a generic_nack without a reason")
        if packet.status in BUSY:
            self._slow_down()
        else:
            self._pause_s = FIRST_PAUSE_S
        try:
            message_id = pdu.read_message_id(packet.body) if packet.status == pdu.OK else ""
        except pdu.Malformed:
            message_id = ""  # it was taken; only its receipt will find nobody
        return Answer(packet.status, message_id)

    async def _wait_turn(self, until_s: float) -> None:
        """By the rate, by what the centre said, and until it reads what was written before."""
        loop = asyncio.get_running_loop()
        while True:
            now_s = loop.time()
            if self.free_at_s <= now_s:
                break
            if self.free_at_s > until_s:
                raise NotSent("no turn in time: the SMSC, or the rate that is set, is too slow")
            await asyncio.sleep(self.free_at_s - now_s)
        if self.smsc.per_s > 0:
            self.free_at_s = max(self.free_at_s, loop.time()) + 1.0 / self.smsc.per_s
        if not self.is_up or self._writer is None:
            raise NotSent("the connection ended before its turn")
        try:
            async with asyncio.timeout_at(until_s):
                await self._writer.drain()
        except (TimeoutError, OSError):
            raise NotSent("the SMSC does not read") from None
        if not self.is_up or self._writer.is_closing():
            raise NotSent("the connection ended before its turn")

    def _slow_down(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self.free_at_s <= now_s:  # one step for all that were refused together
            self.free_at_s = now_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    async def _request(
        self, command: int, body: bytes = b"", until_s: float | None = None
    ) -> pdu.Packet:
        """Write a request and wait for its answer; from the first byte on nobody knows."""
        loop = asyncio.get_running_loop()
        self._sequence = self._sequence % pdu.SEQUENCE_MOST + 1
        sequence = self._sequence
        answer: asyncio.Future[pdu.Packet] = loop.create_future()
        self._pending[sequence] = answer
        self._written_at[sequence] = loop.time()
        wait_s = self._settings.response_s
        if until_s is not None:
            wait_s = max(0.0, min(wait_s, until_s - loop.time()))
        try:
            self._write(pdu.packet(command, sequence, body))
            async with asyncio.timeout(wait_s):
                return await answer
        except TimeoutError:
            self._ask.set()  # is it there at all?
            raise UnknownOutcome("the SMSC did not answer in time") from None
        finally:
            self._pending.pop(sequence, None)
            self._written_at.pop(sequence, None)
            self._answered.set()

    def _write(self, data: bytes) -> None:
        if self._writer is None or self._writer.is_closing():  # uvloop's breaks what writes then
            raise ChannelLost("the connection has ended")
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > UNREAD_MOST:
            self._writer.transport.abort()
            raise ChannelLost("the SMSC does not read")

    # -- what the centre says --------------------------------------------------------------------

    async def _listen(self) -> None:
        assert self._reader is not None
        framer = pdu.Framer()
        while True:
            data = await self._reader.read(65_536)
            if not data:
                raise ChannelLost("the SMSC closed the connection")
            try:
                packets = framer.feed(data)
            except pdu.Garbage as garbage:
                # 4.3: nothing more can be understood, so we go, and say why.
                self._sequence = self._sequence % pdu.SEQUENCE_MOST + 1
                self._write(pdu.packet(pdu.GENERIC_NACK, 0, status=pdu.INVALID_LENGTH))
                self._write(pdu.packet(pdu.UNBIND, self._sequence))
                raise ChannelLost(f"the SMSC sent what is no SMPP: {garbage}") from None
            for packet in packets:
                self._take(packet)

    def _take(self, packet: pdu.Packet) -> None:
        command, sequence = packet.command, packet.sequence
        if command & pdu.RESPONSE:
            written_s = self._written_at.get(sequence)
            answer = self._pending.get(sequence)
            if answer is None or answer.done() or written_s is None:
                log.debug("answer to nothing", extra={"sequence": sequence})
                return
            answer.set_result(packet)
            self._read(self.number, written_s)
        elif command == pdu.DELIVER_SM:
            try:
                self._crew.start(self._deliver(packet), "deliver_sm")
            except ChannelError:  # as many as may be are on their way
                self._answer(packet, pdu.QUEUE_FULL)
        elif command == pdu.ENQUIRE_LINK:
            self._answer(packet, pdu.OK)
        elif command == pdu.UNBIND:
            with suppress(ChannelLost):  # it may not have waited for the answer
                self._answer(packet, pdu.OK)
            raise ChannelLost("the SMSC unbound")
        elif command != pdu.ALERT_NOTIFICATION:  # 4.12.1: has no answer
            status = (
                pdu.INVALID_BIND_STATE if command == pdu.BIND_TRANSCEIVER else pdu.INVALID_COMMAND
            )
            self._write(pdu.packet(pdu.GENERIC_NACK, sequence, status=status))

    async def _deliver(self, packet: pdu.Packet) -> None:
        status = pdu.SYSTEM_ERROR  # whatever goes wrong: the centre is to say it again
        try:
            status = await self._hear(pdu.read_message(packet.body), self.number)
        except pdu.Malformed as malformed:
            log.warning("deliver_sm refused", extra={"reason": str(malformed)})
            status = pdu.INVALID_LENGTH
        finally:
            if self._writer is not None and not self._writer.is_closing():
                with suppress(ChannelLost):  # it is ended; whoever reads it says so
                    self._answer(packet, status)

    def _answer(self, packet: pdu.Packet, status: int) -> None:
        # 4.6.2: message_id is there and empty; 3.2: on an error there is no body.
        if packet.command == pdu.DELIVER_SM and not self._will_ask:
            self._will_ask = True
            asyncio.get_running_loop().call_later(CONFIRM_S, self._ask.set)
        body = b"\0" if packet.command == pdu.DELIVER_SM and status == pdu.OK else b""
        self._write(pdu.packet(packet.command | pdu.RESPONSE, packet.sequence, body, status))

    async def _keep_alive(self) -> None:
        """4.11: ask now and then, soon after a message, and at once when an answer did not come."""
        while True:
            self._ask.clear()
            try:
                async with asyncio.timeout(self._settings.enquire_s):
                    await self._ask.wait()
            except TimeoutError:
                pass
            self._will_ask = False
            try:
                await self._request(pdu.ENQUIRE_LINK)
            except UnknownOutcome:
                raise ChannelLost("the SMSC does not answer") from None


def _context(smsc: Smsc) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=smsc.ca_file or None)
    except OSError as error:  # a file that is not there, or no certificate
        raise ChannelLost(f"ca_file: {error.strerror or 'no certificate'}") from None


def _first(group: ExceptionGroup[Exception]) -> ChannelLost:
    found: Exception = group
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    if isinstance(found, ChannelLost):
        return found
    if isinstance(found, OSError):
        return ChannelLost(f"connection lost: {type(found).__name__}")
    raise found
