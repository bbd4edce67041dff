"""The journal in memory: the contract's real semantics without a disk, for tests and simulation.

What it holds outlives an owner, not the process: acquire a workspace again to play a restart.
Journals made over one `MemoryWorld` are nodes at one store. `fail` makes the coming commits fail
the way a real store may, `cut_off` takes a node away from the store.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

from router.errors import Fenced, RouterError
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
    guard_row,
    holds,
    link,
    open_row,
    pack_frame,
    prefix_end,
    unpack_frame,
)
from router.journal.shared import NodeEntry, SharedJournal, Standing

_CHUNK_ROWS = 2000
_PEEK_ROWS = 50


@dataclass(slots=True)
class _Archived:
    at_us: int
    data: bytes


@dataclass(slots=True)
class _Store:
    """One workspace."""

    epoch: int = 0
    nonce: str = ""
    beat: int = 0
    node: str = ""
    heir: str = ""
    seq: int = 0
    at_us: int = 0
    head: bytes = GENESIS
    log: dict[int, bytes] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    """The keys of `log`, ascending."""
    rows: dict[tuple[str, str], bytes] = field(default_factory=dict)
    archive: dict[str, dict[str, _Archived]] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)
    """Archive ids by kind, ascending."""


class MemoryWorld:
    """What a store holds; several journals may stand over one."""

    def __init__(self) -> None:
        self.stores: dict[str, _Store] = {}
        self.nodes: dict[str, NodeEntry] = {}


class MemoryJournal(SharedJournal):
    """A store of workspaces that lasts as long as its world. Nothing in it ever suspends."""

    def __init__(self, world: MemoryWorld | None = None) -> None:
        self._world = world or MemoryWorld()
        self._stores = self._world.stores
        self._failures: deque[tuple[Exception, bool]] = deque()
        self._stats = JournalStats()
        self.cut_off: RouterError | None = None
        """Why this journal cannot reach its store: all that asks it raises this."""

    def fail(self, error: Exception, *, stored: bool = False) -> None:
        """Let the next commit raise `error`; `stored`: although it was written (a lost answer)."""
        self._failures.append((error, stored))

    async def acquire(self, workspace: str) -> Ownership:
        """See Journal."""
        own = await self.claim(workspace, await self.standing(workspace), "")
        assert own is not None, "nothing suspends between the two"
        return own

    async def standing(self, workspace: str) -> Standing:
        """See SharedJournal."""
        file_name(workspace)
        self._reach()
        store = self._stores.get(workspace) or _Store()
        return Standing(store.epoch, store.nonce, store.beat, store.node, store.heir)

    async def claim(self, workspace: str, seen: Standing, node: str) -> Ownership | None:
        """See SharedJournal."""
        if await self.standing(workspace) != seen:
            return None
        store = self._stores.setdefault(workspace, _Store())
        store.epoch += 1
        store.nonce = token_hex(8)
        store.beat, store.node, store.heir = 0, node, ""
        return Ownership(workspace, store.epoch, store.nonce, store.seq, store.at_us)

    async def renew(self, own: Ownership) -> bool:
        """See SharedJournal."""
        store = self._store(own)
        if not self._owns(store, own):
            return False
        store.beat += 1
        return True

    async def hand_over(self, own: Ownership, heir: str = "") -> None:
        """See SharedJournal."""
        store = self._store(own)
        if self._owns(store, own):
            store.nonce, store.heir = "", heir

    async def peek(self, workspace: str) -> AsyncIterator[list[StoredRow]]:
        """See SharedJournal."""
        self._reach()
        store = self._stores.get(workspace) or _Store()
        keys = sorted(store.rows)
        for start in range(0, len(keys), _PEEK_ROWS):
            yield [
                StoredRow(k, i, open_row(workspace, "live", k, i, store.rows[k, i]))
                for k, i in keys[start : start + _PEEK_ROWS]
                if (k, i) in store.rows
            ]

    async def announce(self, node: NodeEntry) -> None:
        """See SharedJournal."""
        self._reach()
        self._world.nodes[node.name] = node

    async def forget(self, node: NodeEntry) -> None:
        """See SharedJournal."""
        self._reach()
        known = self._world.nodes.get(node.name)
        if known is not None and known.boot == node.boot:
            del self._world.nodes[node.name]

    async def nodes(self) -> list[NodeEntry]:
        """See SharedJournal."""
        self._reach()
        return sorted(self._world.nodes.values())

    def _store(self, own: Ownership) -> _Store:
        self._reach()
        return self._stores[own.workspace]

    def _reach(self) -> None:
        if self.cut_off is not None:
            raise self.cut_off

    async def load(self, own: Ownership) -> AsyncIterator[list[StoredRow]]:
        """See Journal."""
        store = self._owned(own)
        keys = sorted(store.rows)
        for start in range(0, len(keys), _CHUNK_ROWS):
            yield [
                StoredRow(k, i, open_row(own.workspace, "live", k, i, store.rows[k, i]))
                for k, i in keys[start : start + _CHUNK_ROWS]
            ]

    async def append(self, own: Ownership, commit: Commit) -> AppendResult:
        """See Journal."""
        check_commit(commit)
        failure, stored = self._failures.popleft() if self._failures else (None, False)
        if failure is not None and not stored:
            raise failure
        result = self._append(own, commit)
        if failure is not None:
            raise failure
        return result

    def _append(self, own: Ownership, commit: Commit) -> AppendResult:
        store = self._store(own)
        if not self._owns(store, own):
            return AppendResult.FENCED
        if commit.first_seq > store.seq + 1:
            return AppendResult.GAP
        if commit.first_seq <= store.seq:
            known = store.log.get(commit.first_seq)
            same = known is not None and holds(own.workspace, known, commit)
            return AppendResult.DUP if same else AppendResult.FENCED
        frame = pack_frame(commit, store.head)
        rows = {(k, i): guard_row(k, i, data) for k, i, data in commit.upserts}
        store.log[commit.first_seq] = frame
        store.starts.append(commit.first_seq)
        store.head = frame[-DIGEST_BYTES:]
        store.seq, store.at_us = commit.last_seq, commit.at_us
        store.rows.update(rows)
        for key in commit.deletes:
            store.rows.pop(key, None)
        self._write_archive(store, commit)
        self._stats.commits += 1
        self._stats.records += len(commit.events)
        self._stats.bytes_stored += len(frame)
        return AppendResult.OK

    @staticmethod
    def _write_archive(store: _Store, commit: Commit) -> None:
        for kind, id_, at_us, data in commit.archive:
            known = store.archive.setdefault(kind, {})
            if id_ not in known:
                insort(store.ids.setdefault(kind, []), id_)
            known[id_] = _Archived(at_us, guard_row(kind, id_, data, at_us))
        for kind, id_ in commit.archive_deletes:
            _forget(store, kind, id_)

    async def fetch(self, own: Ownership, kind: str, ids: Sequence[str]) -> dict[str, bytes]:
        """See Journal."""
        check_kind(kind)
        known = self._store(own).archive.get(kind, {})
        return {i: _opened(own, kind, i, known[i]) for i in ids if i in known}

    async def list_archive(
        self, own: Ownership, kind: str, prefix: str = "", after: str = "", limit: int = 100
    ) -> list[tuple[str, bytes]]:
        """See Journal."""
        check_kind(kind)
        store = self._store(own)
        ids, known = store.ids.get(kind, []), store.archive.get(kind, {})
        start = max(bisect_left(ids, prefix), bisect_right(ids, after) if after else 0)
        above = prefix_end(prefix)
        end = len(ids) if above is None else bisect_left(ids, above)
        return [(i, _opened(own, kind, i, known[i])) for i in ids[start : min(end, start + limit)]]

    async def frames(self, own: Ownership, from_seq: int, limit: int = 100) -> list[StoredFrame]:
        """See Journal."""
        store = self._store(own)
        if from_seq > store.seq:
            return []
        start = max(bisect_right(store.starts, from_seq) - 1, 0)
        frames, before = [], None
        for seq in store.starts[start : start + limit]:
            frame = unpack_frame(own.workspace, seq, store.log[seq])
            link(own.workspace, before, frame)
            frames.append(StoredFrame(frame.first_seq, frame.at_us, frame.events))
            before = frame
        return frames

    async def oldest_seq(self, own: Ownership) -> int:
        """See Journal."""
        store = self._store(own)
        return store.starts[0] if store.starts else store.seq + 1

    async def trim(self, own: Ownership, below_seq: int) -> int:
        """See Journal."""
        store = self._owned(own)
        count = len(store.starts)
        if below_seq <= store.seq:
            count = max(bisect_right(store.starts, below_seq) - 1, 0)
        for seq in store.starts[:count]:
            self._stats.bytes_stored -= len(store.log.pop(seq))
        del store.starts[:count]
        return count

    async def expire(self, own: Ownership, kind: str, before_us: int, limit: int = 1000) -> int:
        """See Journal."""
        check_kind(kind)
        store = self._owned(own)
        known = store.archive.get(kind, {})
        old = sorted((row.at_us, id_) for id_, row in known.items() if row.at_us < before_us)
        for _, id_ in old[:limit]:
            _forget(store, kind, id_)
        return len(old[:limit])

    async def release(self, own: Ownership) -> None:
        """See Journal."""
        await self.hand_over(own)

    async def backup(self, directory: Path) -> list[Path]:
        """Refused with NotImplementedError: memory is for tests, there is nothing to keep."""
        raise NotImplementedError(f"a journal in memory has no backup (asked for {directory})")

    async def check(self, workspace: str) -> list[Finding]:
        """See Journal."""
        store = self._stores.get(workspace)
        if store is None:
            return [Finding("error", f"workspace {workspace!r}: there is no such workspace")]
        before: Frame | None = None
        for seq in store.starts:
            frame = unpack_frame(workspace, seq, store.log[seq])
            link(workspace, before, frame)
            before = frame
        return [
            Finding("warning", "this journal is in memory: nothing survives the process"),
            Finding("ok", f"workspace {workspace!r}: {len(store.log)} frames are whole"),
        ]

    def stats(self) -> JournalStats:
        """See Journal."""
        return self._stats

    async def close(self) -> None:
        """See Journal."""

    @staticmethod
    def _owns(store: _Store, own: Ownership) -> bool:
        return (store.epoch, store.nonce) == (own.epoch, own.nonce)

    def _owned(self, own: Ownership) -> _Store:
        store = self._store(own)
        if not self._owns(store, own):
            raise Fenced(
                f"workspace {own.workspace!r}: epoch {own.epoch} is over, "
                f"epoch {store.epoch} owns it"
            )
        return store


def _opened(own: Ownership, kind: str, id_: str, row: _Archived) -> bytes:
    return open_row(own.workspace, "archive", kind, id_, row.data, row.at_us)


def _forget(store: _Store, kind: str, id_: str) -> None:
    if store.archive.get(kind, {}).pop(id_, None) is not None:
        ids = store.ids[kind]
        del ids[bisect_left(ids, id_)]
