"""The journal in Redis (7.0 or later): one fenced function call for each commit.

All keys of a workspace share the hash tag ``{workspace}``; `functions.lua` says what they hold and
is the only code that writes them. A commit is durable as far as the server's `appendfsync` makes it
so. The last owner to acquire a workspace wins; there is no lock to be held.

Each `RedisJournal` has two connections of its own, one for writing and one for reading, that carry
one command at a time. The client library's defaults would repeat a command after a time-out and
write it twice: here nothing is ever repeated by itself.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from secrets import token_hex
from urllib.parse import unquote

from router.errors import (
    Fenced,
    JournalDamaged,
    JournalError,
)
from router.journal import (
    AppendResult,
    Commit,
    Finding,
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
from router.journal.redis_audit import audit_workspace, server_facts
from router.journal.redis_copy import copy_workspace, restore_workspace
from router.journal.redis_keyspace import (
    NODES,
    Keyspace,
    commit_words,
    node_mark,
    node_value,
    open_archived,
    open_entry,
    open_live,
    open_nodes,
    read_own,
    read_standing,
    scan,
    seq_of,
)
from router.journal.redis_line import RedisLine
from router.journal.shared import NodeEntry, SharedJournal, Standing
from router.journal.workspace_file import Own, own_crc


class RedisJournal(SharedJournal):
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
        while True:
            own = await self.claim(workspace, await self.standing(workspace), "")
            if own is not None:
                return own
            # Somebody was faster: look again, and depose them.

    async def standing(self, workspace: str) -> Standing:
        """See SharedJournal."""
        return (await read_standing(self._reading, workspace, Keyspace(file_name(workspace))))[1]

    async def claim(self, workspace: str, seen: Standing, node: str) -> Ownership | None:
        """See SharedJournal. Raises JournalError as `acquire` does."""
        space = Keyspace(file_name(workspace))
        await self._refuse_eviction()
        while True:
            own, now = await read_standing(self._reading, workspace, space)
            if now != seen:
                return None
            await self._verify_tail(space, own)
            epoch, nonce = own.epoch + 1, token_hex(8)
            crc = own_crc(workspace, epoch, nonce, own.seq, own.at_us, own.head)
            as_seen = (own.epoch, own.nonce, seen.beat, own.seq, own.head)
            keys = (space.own, space.log, space.live)
            taken = await self._writing.function("claim", keys, *as_seen, epoch, nonce, crc, node)
            if taken > 0:
                self._heads[nonce] = own.head
                self._spaces[workspace] = space
                return Ownership(workspace, epoch, nonce, own.seq, own.at_us)
            if taken < 0:
                raise JournalDamaged(
                    f"workspace {workspace!r}: {space.own} is gone, but there are rows or frames"
                )
            # Else the owner has committed meanwhile, or somebody was faster: look again.

    async def renew(self, own: Ownership) -> bool:
        """See SharedJournal."""
        keys = (self._space(own).own,)
        return bool(await self._writing.function("renew", keys, own.epoch, own.nonce))

    async def hand_over(self, own: Ownership, heir: str = "") -> None:
        """See SharedJournal."""
        space, given_up = self._space(own), -1
        while given_up < 0:  # -1: a commit that nobody waits for any more came in between
            now = await read_own(self._reading, own.workspace, space)
            crc = own_crc(own.workspace, own.epoch, "", now.seq, now.at_us, now.head)
            given_up = await self._writing.function(
                "hand_over", (space.own,), own.epoch, own.nonce, now.seq, crc, heir
            )
        self._heads.pop(own.nonce, None)

    async def announce(self, node: NodeEntry) -> None:
        """See SharedJournal."""
        await self._writing.ask("HSET", NODES, node.name, node_value(node))

    async def forget(self, node: NodeEntry) -> None:
        """See SharedJournal."""
        await self._writing.function("forget", (NODES,), node.name, node_mark(node))

    async def nodes(self) -> list[NodeEntry]:
        """See SharedJournal."""
        return open_nodes(await self._reading.ask("HGETALL", NODES))

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
        await self.hand_over(own)

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


def _unless_fenced(own: Ownership, count: int) -> int:
    if count < 0:
        raise Fenced(f"workspace {own.workspace!r}: epoch {own.epoch} is over")
    return count
