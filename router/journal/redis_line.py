"""A connection to one Redis server: opened as the settings say, and again when it was lost.

A command is never repeated by itself after a time-out: it would be written twice.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.connection import SSLConnection, parse_url
from redis.crc import key_slot

from router.errors import JournalFailed, StoreFull
from router.journal.redis_wire import Lost, Refused, Wire, Word, pack

__all__ = [
    "Access", "Endpoint", "NoFunction", "Redirected", "RedisLine", "Word", "endpoint_of_url",
    "slot_of",
]  # fmt: skip


class Endpoint(NamedTuple):
    """Where a server listens; port 0: `host` is the path of a Unix socket."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


CONNECT_S = 1.0
"""A server that is there takes a connection at once; one whose machine is gone never answers."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in, alike at all servers of one kind (data nodes, Sentinels)."""

    user: str = ""
    password: str | None = None
    is_tls: bool = False
    ca_file: str = ""
    """PEM; empty = the system's authorities."""
    certificate_file: str = ""
    """PEM, for servers that want to see one."""
    certificate_key_file: str = ""
    database: int = 0
    timeout_s: float = 3.0
    """An exchange that takes longer has failed."""

    def greeting(self) -> list[tuple[Word, ...]]:
        """What is said first on each connection."""
        said: list[tuple[Word, ...]] = []
        if self.user or self.password is not None:
            said.append(("AUTH", *([self.user] if self.user else []), self.password or ""))
        if self.database:
            said.append(("SELECT", self.database))
        return said

    def tls(self) -> ssl.SSLContext | None:
        """How the server's certificate is checked and ours is shown. Raises OSError."""
        if not self.is_tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.certificate_key_file or None)
        return context


class Redirected(JournalFailed):
    """Not carried out: in this cluster another server has the slot."""

    def __init__(self, slot: int, to: Endpoint, *, is_moving: bool) -> None:
        super().__init__(f"Redis: slot {slot} is at {to}")
        self.slot = slot
        self.to = to
        self.is_moving = is_moving
        """The slot is on its way: ask there this once (ASK), go on asking here."""


class NoFunction(JournalFailed):
    """Not carried out: the server does not have our functions, or has lost them."""


def endpoint_of_url(url: str) -> tuple[Endpoint, bool, int]:
    """Where, whether by TLS, and which database."""
    parts = parse_url(url)  # type: ignore[no-untyped-call]
    database = int(parts.get("db", 0))
    if "path" in parts:
        return Endpoint(parts["path"], 0), False, database
    is_tls = parts.get("connection_class") is SSLConnection
    return Endpoint(parts.get("host", "localhost"), parts.get("port", 6379)), is_tls, database


@functools.lru_cache(maxsize=1000)
def slot_of(tag: str) -> int:
    """The slot of a cluster in which the keys with this hash tag lie."""
    return int(key_slot(tag.encode()))


class RedisLine:
    """One connection, one exchange at a time.

    Nothing is repeated, save on a line that `only_reads`, whose server has closed the connection.
    """

    def __init__(
        self, access: Access, at: Endpoint, *, only_reads: bool = False, is_master: bool = False
    ) -> None:
        self._access = access
        self._at = at
        self._only_reads = only_reads
        self._is_master = is_master
        """It has to say so itself, each time it is connected to."""
        self._wire: Wire | None = None
        self._tls: ssl.SSLContext | None = None
        self._one_at_a_time = asyncio.Lock()
        self._is_closed = False

    async def call(self, *words: Word) -> Any:
        """The raw answer: bytes, int, None, or lists of these. Raises what `exchange` returns."""
        (answer,) = await self.exchange([words])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def exchange(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The answers to commands sent together; refusals are StoreFull or JournalFailed among
        them.

        Raises JournalFailed when an answer is missing: any of them may have happened nevertheless.
        """
        async with self._one_at_a_time:
            if self._is_closed:
                raise JournalFailed(f"Redis: the connection to {self._at} was given up")
            try:
                answers = await self._exchange(pack(commands), len(commands))
            except (OSError, TimeoutError) as error:
                words = str(error) or f"no answer within {self._access.timeout_s:g} s"
                raise JournalFailed(
                    f"Redis did not answer {commands[0][0]!r} at {self._at}: {words}"
                ) from error
        return [
            _refusal(command[0], str(answer), self._at) if isinstance(answer, Refused) else answer
            for command, answer in zip(commands, answers, strict=True)
        ]

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        until_s = asyncio.get_running_loop().time() + self._access.timeout_s
        wire = self._wire
        if wire is not None and wire.is_open:
            try:
                return await wire.exchange(packed, count, until_s)
            except Lost:
                if self._is_closed or not self._only_reads:
                    raise
        wire = await self._connect(until_s)
        return await wire.exchange(packed, count, until_s)

    async def _connect(self, until_s: float) -> Wire:
        """Raises OSError and TimeoutError."""
        loop, (host, port) = asyncio.get_running_loop(), self._at
        connect_s = min(CONNECT_S, self._access.timeout_s)
        async with asyncio.timeout_at(min(until_s, loop.time() + connect_s)):
            if not port:
                _, wire = await loop.create_unix_connection(Wire, host)
            else:
                self._tls = self._tls or self._access.tls()
                _, wire = await loop.create_connection(Wire, host, port, ssl=self._tls)
        if self._is_closed:
            wire.give_up()
            raise Lost("the connection was given up")
        self._wire = wire
        greeting = self._access.greeting()
        if self._is_master:
            greeting.append(("ROLE",))
        if greeting:
            answers = await wire.exchange(pack(greeting), len(greeting), until_s)
            self._check(wire, answers)
        return wire

    def _check(self, wire: Wire, answers: Sequence[Any]) -> None:
        why = next((str(answer) for answer in answers if isinstance(answer, Refused)), "")
        if not why and self._is_master and answers[-1][0] != b"master":
            why = f"it is no master but {answers[-1][0].decode()}"
        if why:
            wire.give_up()
            raise OSError(why)

    async def close(self) -> None:
        """For good; whoever still waits for an answer hears JournalFailed. Safe to repeat."""
        self._is_closed = True
        if self._wire is not None:
            await self._wire.close()


def _refusal(command: Word, words: str, at: Endpoint) -> Exception:
    kind, *said = words.split()
    if kind in ("ASK", "MOVED"):
        host, _, port = said[1].rpartition(":")
        to = Endpoint(at.host if host in ("", "?") else host, int(port))
        return Redirected(int(said[0]), to, is_moving=kind == "ASK")
    if kind in ("OOM", "MISCONF"):
        # No memory left, or no disk for the append-only file.
        return StoreFull(f"Redis takes no writes now: {words}")
    if "Function not found" in words:
        return NoFunction(f"Redis: {words}")
    return JournalFailed(f"Redis refused {command!r}: {words}")
