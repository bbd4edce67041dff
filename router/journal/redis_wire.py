"""Commands to a Redis server and its answers, on one open connection (RESP2).

redis-py's connection for asyncio is not used: how it packs commands and waits for answers cost a
third of what a commit took.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import hiredis

Word = str | bytes | int


class Lost(OSError):
    """The connection has ended."""


class Refused(Exception):
    """The server's word for why it did not carry a command out. Returned, not raised."""


def pack(commands: Sequence[Sequence[Word]]) -> bytes:
    """Commands as they go over the wire.

    Each word is copied once: where a commit has hundreds of KB, `hiredis.pack_command`, which
    copies all of it several times, takes five times as long.
    """
    pieces: list[bytes] = []
    put = pieces.append
    for command in commands:
        put(b"*%d" % len(command))
        for word in command:
            if type(word) is not bytes:
                word = str(word).encode()
            put(b"$%d" % len(word))
            put(word)
    put(b"")
    return b"\r\n".join(pieces)


_MORE = object()


class Wire(asyncio.Protocol):
    """One exchange at a time. When one fails the connection is given up: a late answer must not
    meet the next command.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(
            protocolError=Lost, replyError=Refused, errors="replace", notEnoughData=_MORE
        )
        self._transport: asyncio.Transport | None = None
        self._answers: list[Any] = []
        self._count = 0
        self._done: asyncio.Future[list[Any]] | None = None
        self._why = Lost("the connection is not open")
        self._gone: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether something can be asked."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, packed: bytes, count: int, until_s: float) -> list[Any]:
        """So many answers, refusals (`Refused`) among them; `until_s` by the loop's clock.

        Raises Lost and TimeoutError: any of the commands may have been carried out nevertheless.
        """
        if self._transport is None or self._transport.is_closing():
            raise Lost(str(self._why))
        self._answers, self._count = [], count
        done: asyncio.Future[list[Any]] = self._loop.create_future()
        self._done = done
        late = self._loop.call_at(until_s, self._late, done)
        self._transport.write(packed)
        try:
            return await done
        except BaseException:  # the caller may have given up
            self.give_up()
            raise
        finally:
            late.cancel()
            self._done, self._answers, self._count = None, [], 0

    def _late(self, done: asyncio.Future[list[Any]]) -> None:
        if not done.done():
            done.set_exception(TimeoutError())

    def give_up(self) -> None:
        """Close it without waiting for anything; whoever waits hears Lost. Safe to repeat."""
        self._end(Lost("the connection was given up"))

    async def close(self) -> None:
        """Close it, and wait until it is. Safe to repeat."""
        self.give_up()
        await asyncio.shield(self._gone)

    def _end(self, why: Lost) -> None:
        if self._transport is None:
            return
        self._transport.abort()
        self._transport, self._why = None, why
        if self._done is not None and not self._done.done():
            self._done.set_exception(why)

    # --- asyncio.Protocol ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. Whoever waits is woken once, by the last answer."""
        answers = self._answers
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets(False)) is not _MORE:
                answers.append(answer)
        except Lost as error:  # these bytes are no RESP
            self._end(error)
            return
        if len(answers) > self._count:
            self._end(Lost(_said(answers) or "an answer that nobody has asked for"))
        elif len(answers) == self._count and self._done is not None and not self._done.done():
            self._answers, self._count = [], 0
            self._done.set_result(answers)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._end(Lost(_said(self._answers) or str(exc or "the server closed the connection")))
        self._gone.set_result(None)


def _said(answers: Sequence[Any]) -> str:
    """What a server says before it closes a connection is why."""
    return next((str(answer) for answer in answers if isinstance(answer, Refused)), "")
