"""The journal in Redis (7.0 or later): one fenced function call for each commit.

All keys of a workspace share the hash tag ``{workspace}``; `functions.lua` says what they hold and
is the only code that writes them. A commit counts when as many replicas have it as the settings
say; each server keeps it as well as its `appendfsync` lets it. What the store forgets nevertheless,
the owner gives back (`redis_mend.py`).

The last owner to claim a workspace wins; there is no lock to be held.
"""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
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
from router.journal.redis_copy import copy_workspace, restore_workspace, workspace_of
from router.journal.redis_keyspace import (
    NODES,
    NODES_TAG,
    PEEK_ROWS,
    Keyspace,
    Line,
    node_mark,
    node_value,
    open_archived,
    open_entry,
    open_live,
    open_nodes,
    read_own,
    read_standing,
    scan,
    scan_still,
    seq_of,
)
from router.journal.redis_mend import Mender, append_words
from router.journal.redis_servers import RedisSettings, Servers
from router.journal.redis_tail import Owned
from router.journal.shared import NodeEntry, SharedJournal, Standing
from router.journal.workspace_file import Own, own_crc

_TRIES = 3
"""The store may fall back again while it is being mended."""


class RedisJournal(SharedJournal):
    """Workspaces in one Redis server, behind Sentinels, or in a Redis Cluster.

    `store`: a URL stands for one server without replicas and password.
    """

    def __init__(self, store: RedisSettings | str) -> None:
        settings = RedisSettings(url=store) if isinstance(store, str) else store
        self._servers = Servers(settings)
        self._mender = Mender(self._servers)
        self._owned: dict[str, Owned] = {}
        """By nonce."""
        self._claimed: dict[str, Owned] = {}
        """By workspace: claims of which is not known yet whether enough replicas have them."""
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
        space = Keyspace(file_name(workspace))
        return (await read_standing(self._servers.reading(space.name), workspace, space))[1]

    async def claim(self, workspace: str, seen: Standing, node: str) -> Ownership | None:
        """See SharedJournal. Raises JournalError as `acquire` does."""
        space = Keyspace(file_name(workspace))
        reading, writing = self._servers.reading(space.name), self._servers.writing(space.name)
        await _refuse_eviction(reading)
        while True:
            own, now = await read_standing(reading, workspace, space)
            if now != seen:
                return None
            before = self._claimed.get(workspace)
            if before is not None and seen.nonce == before.own.nonce:
                # It was carried out; now it only has to be on enough replicas.
                return self._begin(before) if await self.renew(before.own) else None
            await _verify_tail(reading, space, own)
            epoch, nonce = own.epoch + 1, token_hex(8)
            crc = own_crc(workspace, epoch, nonce, own.seq, own.at_us, own.head)
            as_seen = (own.epoch, own.nonce, seen.beat, own.seq, own.head)
            claimed = Owned(
                Ownership(workspace, epoch, nonce, own.seq, own.at_us),
                space,
                node,
                own.head,
                (own.epoch, own.nonce),
            )
            self._claimed[workspace] = claimed
            taken = await writing.function(
                "claim",
                (space.own, space.log, space.live),
                *as_seen,
                epoch,
                nonce,
                crc,
                node,
            )
            if taken > 0:
                return self._begin(claimed)
            if taken < 0:
                raise JournalDamaged(
                    f"workspace {workspace!r}: {space.own} is gone, but there are rows or frames"
                )
            # Else the owner has committed meanwhile, or somebody was faster: look again.

    def _begin(self, owned: Owned) -> Ownership:
        workspace = owned.own.workspace
        self._claimed.pop(workspace, None)
        for nonce in [nonce for nonce, o in self._owned.items() if o.own.workspace == workspace]:
            del self._owned[nonce]
        self._owned[owned.own.nonce] = owned
        self._servers.writers = len(self._owned)
        self._spaces[workspace] = owned.space
        return owned.own

    async def renew(self, own: Ownership) -> bool:
        """See SharedJournal."""
        space, owned = self._space(own), self._owned.get(own.nonce)
        line = self._servers.writing(space.name)
        for _ in range(_TRIES):
            written = owned.seq if owned else 0
            stored = await line.function("renew", (space.own,), own.epoch, own.nonce)
            if stored is None:
                raise JournalDamaged(
                    f"workspace {own.workspace!r}: {space.own} names its owner and no sequence"
                )
            if stored >= written:
                return True
            # An owner that has nothing to commit hears of a loss here.
            if owned is None or not await self._mender.mend(owned):
                return False
        return False

    async def hand_over(self, own: Ownership, heir: str = "") -> None:
        """See SharedJournal."""
        space, given_up = self._space(own), -1
        reading, writing = self._servers.reading(space.name), self._servers.writing(space.name)
        owned = self._owned.pop(own.nonce, None)
        self._servers.writers = len(self._owned)
        if owned is not None and not await self._mender.mend(owned):
            return  # another owner has it
        while given_up < 0:  # -1: a commit that nobody waits for any more came in between
            now = await read_own(reading, own.workspace, space)
            crc = own_crc(own.workspace, own.epoch, "", now.seq, now.at_us, now.head)
            given_up = await writing.function(
                "hand_over", (space.own,), own.epoch, own.nonce, now.seq, crc, heir
            )

    async def release(self, own: Ownership) -> None:
        """See Journal."""
        await self.hand_over(own)

    async def announce(self, node: NodeEntry) -> None:
        """See SharedJournal."""
        line = self._servers.writing(NODES_TAG, durable=False)
        await line.ask("HSET", NODES, node.name, node_value(node))

    async def forget(self, node: NodeEntry) -> None:
        """See SharedJournal."""
        line = self._servers.writing(NODES_TAG, durable=False)
        await line.function("forget", (NODES,), node.name, node_mark(node))

    async def nodes(self) -> list[NodeEntry]:
        """See SharedJournal."""
        return open_nodes(await self._servers.reading(NODES_TAG).ask("HGETALL", NODES))

    async def load(self, own: Ownership) -> AsyncIterator[list[StoredRow]]:
        """See Journal."""
        space, owned = self._space(own), self._owned.get(own.nonce)
        reading = self._servers.reading(space.name)
        now = await read_own(reading, own.workspace, space)
        if (now.epoch, now.nonce) != (own.epoch, own.nonce):
            raise Fenced(f"workspace {own.workspace!r}: epoch {own.epoch} is over")
        kept: dict[str, bytes] = {}
        collects = gc.isenabled()
        gc.disable()  # it would walk over all rows loaded so far, again and again
        try:
            async for pairs in scan_still(reading, space.live):
                yield open_live(own.workspace, pairs)
                kept.update((field.decode(), stored) for field, stored in pairs)
        finally:
            if collects:
                gc.enable()
        if owned is not None:
            owned.rows = kept

    async def peek(self, workspace: str) -> AsyncIterator[list[StoredRow]]:
        """See SharedJournal."""
        space = Keyspace(file_name(workspace))
        async for pairs in scan(self._servers.reading(space.name), space.live, PEEK_ROWS):
            yield open_live(workspace, pairs)

    async def append(self, own: Ownership, commit: Commit) -> AppendResult:
        """See Journal."""
        check_commit(commit)
        began = time.perf_counter()
        owned = self._owned.get(own.nonce) or Owned(own, self._space(own), "", GENESIS, (0, ""))
        result = await self._append(owned, commit)
        for _ in range(_TRIES):
            if result in (AppendResult.OK, AppendResult.DUP) or own.nonce not in self._owned:
                break
            if not await self._mender.mend(owned):
                return AppendResult.FENCED
            result = await self._append(owned, commit)
        if result is AppendResult.OK:
            self._stats.commits += 1
            self._stats.records += len(commit.events)
            self._stats.last_commit_s = time.perf_counter() - began
        return result

    async def _append(self, owned: Owned, commit: Commit) -> AppendResult:
        previous = owned.head
        frame = pack_frame(commit, previous)
        keys, words, rows = append_words(owned, commit, previous, frame)
        line = self._servers.writing(owned.space.name)
        result, *seen = await line.function("append", keys, *words)
        if result == b"seen":
            same = holds(owned.own.workspace, seen[0], commit)
            if same and commit.first_seq == owned.seq + 1:
                owned.committed(commit, previous, seen[0], rows)
            return AppendResult.DUP if same else AppendResult.FENCED
        if result == b"ok":
            owned.committed(commit, previous, frame, rows)
        return AppendResult(result.decode())

    async def fetch(self, own: Ownership, kind: str, ids: Sequence[str]) -> dict[str, bytes]:
        """See Journal."""
        check_kind(kind)
        if not ids:
            return {}
        rows = await self._reading(own).ask("HMGET", self._space(own).archive(kind)[0], *ids)
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
        found = await self._reading(own).ask(
            "ZRANGE", self._space(own).archive(kind)[1], low, high, "BYLEX", "LIMIT", 0, limit
        )
        ids = [name.decode() for name in found]
        return list((await self.fetch(own, kind, ids)).items())

    async def frames(self, own: Ownership, from_seq: int, limit: int = 100) -> list[StoredFrame]:
        """See Journal."""
        space = self._space(own)
        holder = await self._reading(own).ask(
            "XREVRANGE", space.log, f"{from_seq}-0", "-", "COUNT", 1
        )
        start = holder[0][0] if holder else "-"
        entries = await self._reading(own).ask("XRANGE", space.log, start, "+", "COUNT", limit)
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
        first = await self._reading(own).ask("XRANGE", space.log, "-", "+", "COUNT", 1)
        if first:
            return seq_of(first[0])
        return int(await self._reading(own).ask("HGET", space.own, "seq") or 0) + 1

    async def trim(self, own: Ownership, below_seq: int) -> int:
        """See Journal."""
        space = self._space(own)
        line = self._servers.writing(space.name, durable=False)
        count = await line.function("trim", (space.own, space.log), own.epoch, own.nonce, below_seq)
        await self._measure(own)
        return _unless_fenced(own, count)

    async def expire(self, own: Ownership, kind: str, before_us: int, limit: int = 1000) -> int:
        """See Journal."""
        check_kind(kind)
        space = self._space(own)
        keys = (space.own, *space.archive(kind))
        line = self._servers.writing(space.name, durable=False)
        count = await line.function("expire", keys, own.epoch, own.nonce, before_us, limit)
        return _unless_fenced(own, count)

    async def backup(self, directory: Path) -> list[Path]:
        """A copy of every workspace in this Redis, each as of one moment.

        One function call copies the workspace's keys inside the server (it serves nobody else
        meanwhile, and needs the memory twice), then the copies are read at leisure and dropped.
        The file written is an SQLite journal: it can be started from as it is, or brought back into
        Redis by `restore`. Its epoch is far above the original's.
        """
        return [
            await copy_workspace(self._servers.reading(space.name), workspace, space, directory)
            for workspace, space in sorted((await self._everything()).items())
        ]

    async def _everything(self) -> dict[str, Keyspace]:
        """The workspaces there are: those of this process, and any other that Redis holds."""
        found = dict(self._spaces)
        for _, line in await self._servers.masters():
            cursor = b"0"
            while True:
                cursor, keys = await line.call("SCAN", cursor, "MATCH", "{*}:own", "COUNT", 500)
                for key in keys:
                    name = key.decode().removeprefix("{").removesuffix("}:own")
                    found.setdefault(unquote(name), Keyspace(name))
                if cursor == b"0":
                    break
        return found

    async def restore(self, path: Path) -> str:
        """Bring a copy (of either backend) into Redis; returns the workspace's name.

        Raises JournalBusy if the server has a workspace of this name, JournalDamaged.
        """
        space = Keyspace(file_name(workspace_of(path)))
        return await restore_workspace(self._servers.writing(space.name), path)

    async def check(self, workspace: str) -> list[Finding]:
        """See Journal."""
        line = self._servers.reading(file_name(workspace))
        return await audit_workspace(line, workspace)

    def stats(self) -> JournalStats:
        """See Journal. `bytes_stored` is as of the last `trim`."""
        self._stats.extra = {
            name: float(value) for name, value in asdict(self._servers.counters).items()
        }
        return self._stats

    async def close(self) -> None:
        """See Journal."""
        await self._servers.close()

    def _space(self, own: Ownership) -> Keyspace:
        return self._spaces.get(own.workspace) or Keyspace(file_name(own.workspace))

    def _reading(self, own: Ownership) -> Line:
        return self._servers.reading(self._space(own).name)

    async def _measure(self, own: Ownership) -> None:
        space = self._space(own)
        keys = (space.own, space.log, space.live)
        sizes = [await self._reading(own).ask("MEMORY", "USAGE", key, "SAMPLES", 5) for key in keys]
        self._stats.bytes_stored = sum(size or 0 for size in sizes)


def _unless_fenced(own: Ownership, count: int) -> int:
    if count < 0:
        raise Fenced(f"workspace {own.workspace!r}: epoch {own.epoch} is over")
    return count


async def _refuse_eviction(reading: Line) -> None:
    policy = (await server_facts(reading, "memory")).get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise JournalError(
            f"Redis has maxmemory-policy {policy}: expected noeviction, because any other one "
            "may throw contacts away without a word"
        )


async def _verify_tail(reading: Line, space: Keyspace, own: Own) -> None:
    last = await reading.ask("XREVRANGE", space.log, "+", "-", "COUNT", 1)
    if not last:
        return
    frame = open_entry(own.workspace, last[0])
    if own.epoch and frame.last_seq < own.seq:
        raise JournalDamaged(
            f"workspace {own.workspace!r}: the log ends at {frame.last_seq}, "
            f"but {space.own} says {own.seq}"
        )
