"""A connection to one Redis server: the only file that knows the client library.

The client library's defaults would repeat a command after a time-out and write it twice: here
nothing is ever repeated by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from router.errors import JournalFailed, StoreFull

Word = str | bytes | int


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

    def connection(self, endpoint: Endpoint) -> AbstractConnection:
        """A connection, not open yet."""
        settings: dict[str, Any] = {
            "db": self.database,
            "username": self.user or None,
            "password": self.password,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,  # the whole exchange has one
            "socket_connect_timeout": min(CONNECT_S, self.timeout_s),
            "health_check_interval": 0,
            "protocol": 2,
        }
        if not endpoint.port:
            return UnixDomainSocketConnection(path=endpoint.host, **settings)
        settings |= {"host": endpoint.host, "port": endpoint.port}
        if not self.is_tls:
            return Connection(**settings)
        return SSLConnection(
            ssl_ca_certs=self.ca_file or None,
            ssl_certfile=self.certificate_file or None,
            ssl_keyfile=self.certificate_key_file or None,
            **settings,
        )


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
    parts = parse_url(url)
    database = int(parts.get("db", 0))
    if "path" in parts:
        return Endpoint(parts["path"], 0), False, database
    is_tls = parts.get("connection_class") is SSLConnection
    return Endpoint(parts.get("host", "localhost"), parts.get("port", 6379)), is_tls, database


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
        self._connection = access.connection(at)
        self._at = at
        self._timeout_s = access.timeout_s
        self._only_reads = only_reads
        self._is_master = is_master
        """It has to say so itself, each time it is connected to."""
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
                return await self._exchange(commands)
            except (RedisError, OSError, TimeoutError) as error:
                words = str(error) or f"no answer within {self._timeout_s:g} s"
                raise JournalFailed(
                    f"Redis did not answer {commands[0][0]!r} at {self._at}: {words}"
                ) from error

    async def _exchange(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        may_repeat = self._only_reads and self._connection.is_connected
        packed = self._connection.pack_commands(commands)
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    if not self._connection.is_connected:
                        await self._connect()
                    await self._connection.send_packed_command(packed)
                    return [await self._answer(command) for command in commands]
            except BaseException as error:
                # Also when the caller gave up: a late answer must not meet the next command.
                await self._connection.disconnect(nowait=True)
                is_lost = isinstance(error, RedisConnectionError) and not self._is_closed
                if not (may_repeat and is_lost):
                    raise
                may_repeat = False

    async def _connect(self) -> None:
        await self._connection.connect()  # type: ignore[no-untyped-call]
        if self._is_master:
            await self._connection.send_command("ROLE")
            role = await self._connection.read_response(disable_decoding=True)
            if role[0] != b"master":
                raise OSError(f"it is no master but {role[0].decode()}")

    async def _answer(self, command: Sequence[Word]) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except ResponseError as error:
            return _refusal(command[0], error, self._at)

    async def close(self) -> None:
        """For good; whoever still waits for an answer hears JournalFailed. Safe to repeat."""
        self._is_closed = True
        await self._connection.disconnect()


def _refusal(command: Word, error: ResponseError, at: Endpoint) -> Exception:
    words = str(error)
    if isinstance(error, AskError):  # a MovedError is one
        to = Endpoint(error.host or at.host, error.port)
        return Redirected(error.slot_id, to, is_moving=not isinstance(error, MovedError))
    if isinstance(error, OutOfMemoryError) or words.startswith(("OOM", "MISCONF")):
        # No memory left, or no disk for the append-only file.
        return StoreFull(f"Redis takes no writes now: {words}")
    if "Function not found" in words:
        return NoFunction(f"Redis: {words}")
    return JournalFailed(f"Redis refused {command!r}: {words}")
