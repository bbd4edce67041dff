"""The journal in Redis (7.0 or later): one fenced function call for each commit.

All keys of a workspace share the hash tag ``{workspace}``; `functions.lua` says what they hold and
is the only code that writes them. A commit is durable as far as the server's `appendfsync` makes it
so. The last owner to acquire a workspace wins; there is no lock to be held.

Each `RedisJournal` has two connections of its own, one for writing and one for reading, that carry
one command at a time. The client library's defaults would repeat a command after a time-out and
write it twice: here nothing is ever repeated by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import unquote

import redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from redis.retry import Retry as BlockingRetry

from router.errors import (
    Fenced,
    JournalBusy,
    JournalDamaged,
    JournalError,
    JournalFailed,
    StoreFull,
)
from router.journal import (
    AppendResult,
    Commit,
    Finding,
    Journal,
    JournalStats,
    Ownership,
    StoredFrame,
    StoredRow,
)
from router.journal.frame import (
    DIGEST_BYTES,
    GENESIS,
    Frame,
    check_commit,
    check_kind,
    file_name,
    holds,
    link,
    pack_frame,
    prefix_end,
)
from router.journal.keys import ERASED, KEY_BYTES, read_keys_file, write_keys_file
from router.journal.redis_audit import audit_workspace, server_facts
from router.journal.redis_copy import copy_workspace, restore_workspace
from router.journal.redis_keyspace import (
    Keyspace,
    commit_words,
    open_archived,
    open_entry,
    open_live,
    read_own,
    scan,
    seq_of,
)
from router.journal.workspace_file import Own, own_crc

_LIBRARY = "router_journal_1"
_CODE = (Path(__file__).parent / "functions.lua").read_text(encoding="utf-8")


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
                if _is_full(error):
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
        call = ("FCALL", f"{_LIBRARY}_{name}", len(keys), *keys, *words)
        try:
            return await self.call(*call)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise JournalFailed(f"Redis refused {name}: {error}") from error
        try:
            await self.call("FUNCTION", "LOAD", "REPLACE", _CODE)
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


class RedisJournal(Journal):
    """Workspaces in one Redis server. Every wait on it ends after `timeout_s`."""

    def __init__(self, url: str, *, password: str | None = None, timeout_s: float = 5.0) -> None:
        self._writing = RedisLine(url, password, timeout_s)
        self._reading = RedisLine(url, password, timeout_s, only_reads=True)
        self._heads: dict[str, bytes] = {}
        """Nonce -> digest of the last frame, for the chain."""
        self._spaces: dict[str, Keyspace] = {}
        self._stats = JournalStats()

    async def acquire(self, workspace: str) -> Ownership:
        """See Journal. Raises JournalError if the server may throw keys away when it is full."""
        space = Keyspace(file_name(workspace))
        await self._refuse_eviction()
        while True:
            own = await read_own(self._reading, workspace, space)
            await self._verify_tail(space, own)
            epoch, nonce = own.epoch + 1, token_hex(8)
            crc = own_crc(workspace, epoch, nonce, own.seq, own.at_us, own.head)
            taken = await self._writing.function(
                "acquire",
                (space.own, space.log, space.live),
                own.epoch,
                own.nonce,
                epoch,
                nonce,
                own.seq,
                own.at_us,
                own.head,
                crc,
            )
            if taken:
                self._heads[nonce] = own.head
                self._spaces[workspace] = space
                return Ownership(workspace, epoch, nonce, own.seq, own.at_us)
            if own.epoch == 0 and not await self._reading.ask("EXISTS", space.own):
                raise JournalDamaged(
                    f"workspace {workspace!r}: {space.own} is gone, but there are rows or frames"
                )
            # Else somebody was faster: look again, and depose them.

    async def _refuse_eviction(self) -> None:
        policy = (await server_facts(self._reading, "memory")).get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise JournalError(
                f"Redis has maxmemory-policy {policy}: expected noeviction, because any other one "
                "may throw contacts away without a word"
            )

    async def _verify_tail(self, space: Keyspace, own: Own) -> None:
        last = await self._reading.ask("XREVRANGE", space.log, "+", "-", "COUNT", 1)
        if not last:
            return
        frame = open_entry(own.workspace, last[0])
        if own.epoch and frame.last_seq < own.seq:
            raise JournalDamaged(
                f"workspace {own.workspace!r}: the log ends at {frame.last_seq}, "
                f"but {space.own} says {own.seq}"
            )

    async def load(self, own: Ownership) -> AsyncIterator[list[StoredRow]]:
        """See Journal."""
        space = self._space(own)
        now = await read_own(self._reading, own.workspace, space)
        if (now.epoch, now.nonce) != (own.epoch, own.nonce):
            raise Fenced(f"workspace {own.workspace!r}: epoch {own.epoch} is over")
        async for pairs in scan(self._reading, space.live):
            yield [open_live(own.workspace, field, stored) for field, stored in pairs]

    async def append(self, own: Ownership, commit: Commit) -> AppendResult:
        """See Journal."""
        check_commit(commit)
        space, began = self._space(own), time.perf_counter()
        previous = self._heads.get(own.nonce, GENESIS)
        frame = pack_frame(commit, previous)
        head = frame[-DIGEST_BYTES:]
        crc = own_crc(own.workspace, own.epoch, own.nonce, commit.last_seq, commit.at_us, head)
        keys, words = commit_words(space, commit)
        result, *seen = await self._writing.function(
            "append",
            keys,
            own.epoch,
            own.nonce,
            commit.first_seq,
            commit.last_seq,
            commit.at_us,
            previous,
            head,
            crc,
            frame,
            *words,
        )
        if result == b"ok":
            self._heads[own.nonce] = head
            self._stats.commits += 1
            self._stats.records += len(commit.events)
            self._stats.last_commit_s = time.perf_counter() - began
            return AppendResult.OK
        if result == b"seen":
            self._heads[own.nonce] = seen[1]
            same = holds(own.workspace, seen[0], commit)
            return AppendResult.DUP if same else AppendResult.FENCED
        return AppendResult(result.decode())

    async def fetch(self, own: Ownership, kind: str, ids: Sequence[str]) -> dict[str, bytes]:
        """See Journal."""
        check_kind(kind)
        if not ids:
            return {}
        rows = await self._reading.ask("HMGET", self._space(own).archive(kind)[0], *ids)
        return {
            id_: open_archived(own.workspace, kind, id_, stored)[1]
            for id_, stored in zip(ids, rows, strict=True)
            if stored is not None
        }

    async def list_archive(
        self, own: Ownership, kind: str, prefix: str = "", after: str = "", limit: int = 100
    ) -> list[tuple[str, bytes]]:
        """See Journal."""
        check_kind(kind)
        low = f"({after}" if after and after >= prefix else f"[{prefix}"
        above = prefix_end(prefix)
        high = "+" if above is None else f"({above}"
        found = await self._reading.ask(
            "ZRANGE", self._space(own).archive(kind)[1], low, high, "BYLEX", "LIMIT", 0, limit
        )
        ids = [name.decode() for name in found]
        return list((await self.fetch(own, kind, ids)).items())

    async def frames(self, own: Ownership, from_seq: int, limit: int = 100) -> list[StoredFrame]:
        """See Journal."""
        space = self._space(own)
        holder = await self._reading.ask("XREVRANGE", space.log, f"{from_seq}-0", "-", "COUNT", 1)
        start = holder[0][0] if holder else "-"
        entries = await self._reading.ask("XRANGE", space.log, start, "+", "COUNT", limit)
        frames: list[StoredFrame] = []
        before: Frame | None = None
        for entry in entries:
            frame = open_entry(own.workspace, entry)
            link(own.workspace, before, frame)
            before = frame
            if frame.last_seq >= from_seq:
                frames.append(StoredFrame(frame.first_seq, frame.at_us, frame.events))
        return frames

    async def oldest_seq(self, own: Ownership) -> int:
        """See Journal."""
        space = self._space(own)
        first = await self._reading.ask("XRANGE", space.log, "-", "+", "COUNT", 1)
        if first:
            return seq_of(first[0])
        return int(await self._reading.ask("HGET", space.own, "seq") or 0) + 1

    async def trim(self, own: Ownership, below_seq: int) -> int:
        """See Journal."""
        space = self._space(own)
        count = await self._writing.function(
            "trim", (space.own, space.log), own.epoch, own.nonce, below_seq
        )
        await self._measure(space)
        return _unless_fenced(own, count)

    async def expire(self, own: Ownership, kind: str, before_us: int, limit: int = 1000) -> int:
        """See Journal."""
        check_kind(kind)
        space = self._space(own)
        keys = (space.own, *space.archive(kind))
        count = await self._writing.function("expire", keys, own.epoch, own.nonce, before_us, limit)
        return _unless_fenced(own, count)

    async def release(self, own: Ownership) -> None:
        """See Journal."""
        space = self._space(own)
        now = await read_own(self._reading, own.workspace, space)
        crc = own_crc(own.workspace, own.epoch, "", now.seq, now.at_us, now.head)
        await self._writing.function("release", (space.own,), own.epoch, own.nonce, crc)
        self._heads.pop(own.nonce, None)

    async def backup(self, directory: Path) -> list[Path]:
        """A copy of every workspace in this Redis, each as of one moment.

        One function call copies the workspace's keys inside the server (it serves nobody else
        meanwhile, and needs the memory twice), then the copies are read at leisure and dropped.
        The file written is an SQLite journal: it can be started from as it is, or brought back into
        Redis by `restore`. Its epoch is far above the original's.
        """
        return [
            await copy_workspace(self._reading, workspace, space, directory)
            for workspace, space in sorted((await self._everything()).items())
        ]

    async def _everything(self) -> dict[str, Keyspace]:
        """The workspaces there are: those of this process, and any other that Redis holds."""
        found = dict(self._spaces)
        cursor = b"0"
        while True:
            cursor, keys = await self._reading.ask("SCAN", cursor, "MATCH", "{*}:own", "COUNT", 500)
            for key in keys:
                name = key.decode().removeprefix("{").removesuffix("}:own")
                found.setdefault(unquote(name), Keyspace(name))
            if cursor == b"0":
                return found

    async def restore(self, path: Path) -> str:
        """Bring a copy (of either backend) into Redis; returns the workspace's name.

        Raises JournalBusy if the server has a workspace of this name, JournalDamaged.
        """
        return await restore_workspace(self._writing, path)

    async def check(self, workspace: str) -> list[Finding]:
        """See Journal."""
        return await audit_workspace(self._reading, workspace)

    def stats(self) -> JournalStats:
        """See Journal. `bytes_stored` is as of the last `trim`."""
        return self._stats

    async def close(self) -> None:
        """See Journal."""
        await self._writing.close()
        await self._reading.close()

    def _space(self, own: Ownership) -> Keyspace:
        return self._spaces.get(own.workspace) or Keyspace(file_name(own.workspace))

    async def _measure(self, space: Keyspace) -> None:
        keys = (space.own, space.log, space.live)
        sizes = [await self._reading.ask("MEMORY", "USAGE", key, "SAMPLES", 5) for key in keys]
        self._stats.bytes_stored = sum(size or 0 for size in sizes)


def _is_full(error: ResponseError) -> bool:
    """No memory left, or no disk for the append-only file (MISCONF)."""
    return isinstance(error, OutOfMemoryError) or str(error).startswith(("OOM", "MISCONF"))


def _unless_fenced(own: Ownership, count: int) -> int:
    if count < 0:
        raise Fenced(f"workspace {own.workspace!r}: epoch {own.epoch} is over")
    return count


class RedisBlocks:
    """Blocks of keys (`keys.BlockKeys`) in Redis; better in another server than the contacts.

    Erasing overwrites the key and has the append-only file rewritten, which would still hold it.
    Calls wait for the server, at most `timeout_s`. Raises StoreFull, JournalFailed.
    """

    _PREFIX = "{router-keys}"

    def __init__(self, url: str, *, password: str | None = None, timeout_s: float = 5.0) -> None:
        settings: dict[str, Any] = {} if password is None else {"password": password}
        self._client: redis.Redis = redis.Redis.from_url(
            url,
            retry=BlockingRetry(NoBackoff(), 0),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            protocol=2,
            **settings,
        )

    def create(self, block: bytes) -> int:
        """See Blocks."""
        number = int(self._ask("INCR", f"{self._PREFIX}:last"))
        self._ask("SET", self._block(number), block)
        return number

    def read(self, number: int) -> bytes | None:
        """See Blocks."""
        block: bytes | None = self._ask("GET", self._block(number))
        return block

    def erase(self, places: list[tuple[int, int]]) -> None:
        """See Blocks."""
        for number, place in places:
            # Listed first: broken off in between, it is erased again by whoever reads the list.
            self._ask("SADD", f"{self._PREFIX}:erased", f"{number}:{place}")
            if self._ask("EXISTS", self._block(number)):
                self._ask("SETRANGE", self._block(number), place * KEY_BYTES, ERASED)
        if self._ask("INFO", "persistence").get("aof_enabled"):
            self._rewrite()

    def _rewrite(self) -> None:
        try:
            self._client.execute_command("BGREWRITEAOF")  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if "in progress" not in str(error):
                raise JournalFailed(f"keys: Redis refused BGREWRITEAOF: {error}") from error
        except RedisError as error:
            raise JournalFailed(f"keys: Redis did not answer BGREWRITEAOF: {error}") from error

    def erased(self) -> list[tuple[int, int]]:
        """See Blocks."""
        members: list[bytes] = list(self._ask("SMEMBERS", f"{self._PREFIX}:erased"))
        pairs = (member.decode().partition(":") for member in members)
        return sorted((int(number), int(place)) for number, _, place in pairs)

    def backup(self, directory: Path) -> list[Path]:
        """See Blocks. The copy is a `keys.db`, as `SqliteBlocks` has it."""
        directory.mkdir(parents=True, exist_ok=True)
        last = int(self._ask("GET", f"{self._PREFIX}:last") or 0)
        numbered = ((n, self.read(n)) for n in range(1, last + 1))
        return [write_keys_file(directory, numbered, self.erased())]

    def restore(self, directory: Path) -> int:
        """Bring a copied `keys.db` into Redis; returns how many blocks. Raises JournalBusy."""
        blocks, erased = read_keys_file(directory)
        if self._ask("EXISTS", f"{self._PREFIX}:last", f"{self._PREFIX}:erased"):
            raise JournalBusy("Redis has keys already: a restore never overwrites them")
        for number, place in erased:
            self._ask("SADD", f"{self._PREFIX}:erased", f"{number}:{place}")
        for number, block in blocks:
            self._ask("SET", self._block(number), block)
        if blocks:
            self._ask("SET", f"{self._PREFIX}:last", blocks[-1][0])
        return len(blocks)

    def close(self) -> None:
        """See Blocks."""
        self._client.close()

    def _block(self, number: int) -> str:
        return f"{self._PREFIX}:block:{number}"

    def _ask(self, *words: str | bytes | int) -> Any:
        try:
            return self._client.execute_command(*words)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if _is_full(error):
                raise StoreFull(f"keys: Redis takes no writes now: {error}") from error
            raise JournalFailed(f"keys: Redis refused {words[0]!r}: {error}") from error
        except RedisError as error:
            raise JournalFailed(f"keys: Redis did not answer {words[0]!r}: {error}") from error
