"""A connection to Redis: the only file that knows the client library.

The client library's defaults would repeat a command after a time-out and write it twice: here
nothing is ever repeated by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from router.errors import JournalFailed, StoreFull

LIBRARY = "router_journal_2"
CODE = (Path(__file__).parent / "functions.lua").read_text(encoding="utf-8")


class RedisLine:
    """One connection, one command at a time.

    Nothing is repeated, save on a line that `only_reads`, whose server has closed the connection.
    Raises StoreFull, JournalFailed (it may have happened nevertheless) and ResponseError.
    """

    def __init__(
        self, url: str, password: str | None, timeout_s: float, *, only_reads: bool = False
    ) -> None:
        settings: dict[str, Any] = {} if password is None else {"password": password}
        pool = ConnectionPool.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            health_check_interval=0,
            protocol=2,
            **settings,
        )
        self._connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
        self._timeout_s = timeout_s
        self._only_reads = only_reads
        self._one_at_a_time = asyncio.Lock()

    async def call(self, *words: str | bytes | int) -> Any:
        """The raw answer: bytes, int, None, or lists of these."""
        async with self._one_at_a_time:
            try:
                return await self._exchange(words)
            except ResponseError as error:
                if is_full(error):
                    raise StoreFull(f"Redis takes no writes now: {error}") from error
                raise
            except (RedisError, OSError, TimeoutError) as error:
                words_of_error = str(error) or f"no answer within {self._timeout_s:g} s"
                raise JournalFailed(
                    f"Redis did not answer {words[0]!r}: {words_of_error}"
                ) from error

    async def _exchange(self, words: Sequence[str | bytes | int]) -> Any:
        may_repeat = self._only_reads and self._connection.is_connected
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._connection.connect()  # type: ignore[no-untyped-call]
                    await self._connection.send_command(*words)
                    return await self._connection.read_response(disable_decoding=True)
            except ResponseError:
                raise
            except BaseException as error:
                # Also when the caller gave up: a late answer must not meet the next command.
                await self._connection.disconnect(nowait=True)
                if not (may_repeat and isinstance(error, RedisConnectionError)):
                    raise
                may_repeat = False

    async def function(self, name: str, keys: Sequence[str], *words: str | bytes | int) -> Any:
        """Call one of our functions; a server that has lost them gets them again."""
        call = ("FCALL", f"{LIBRARY}_{name}", len(keys), *keys, *words)
        try:
            return await self.call(*call)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise JournalFailed(f"Redis refused {name}: {error}") from error
        try:
            await self.call("FUNCTION", "LOAD", "REPLACE", CODE)
            return await self.call(*call)
        except ResponseError as error:
            raise JournalFailed(f"Redis refused {name}: {error}") from error

    async def ask(self, *words: str | bytes | int) -> Any:
        """A plain command, for which every refusal is a JournalFailed."""
        try:
            return await self.call(*words)
        except ResponseError as error:
            raise JournalFailed(f"Redis refused {words[0]!r}: {error}") from error

    async def close(self) -> None:
        """Safe to repeat."""
        await self._connection.disconnect()


def is_full(error: ResponseError) -> bool:
    """No memory left, or no disk for the append-only file (MISCONF)."""
    return isinstance(error, OutOfMemoryError) or str(error).startswith(("OOM", "MISCONF"))
