"""The journal: the contract that every store keeps.

One workspace has one owner at a time. Each commit is one atomic write of a *frame* (the events),
the state rows they changed, the outbox and archive rows, and it is a compare-and-set on
(epoch, nonce, sequence): whoever lost the ownership cannot write. Backends: `memory.py`,
`sqlite.py`, `redis_store.py`. All pass one conformance suite, `router/testing/journal_suite.py`.

Vocabulary: a *row* is live state, loaded whole at start (`load`). An *archive* row is history or a
body (messages, decisions, closed contacts, external ids, idempotency keys): never loaded, fetched
by id or listed by prefix, expired by age. `kind` is a short lower-case word.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class AppendResult(StrEnum):
    """What became of a commit."""

    OK = "ok"
    DUP = "dup"
    """Exactly this frame is stored already: treat as success."""
    GAP = "gap"
    """The store's last sequence is below the frame's predecessor: it forgot something."""
    FENCED = "fenced"
    """Another epoch or nonce owns the workspace, or its history differs: acquire anew."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """The right to write: handed out by `acquire`, checked by every `append`."""

    workspace: str
    epoch: int
    """Grows with each acquisition; adapters and desks refuse a lower one."""
    nonce: str
    seq: int
    """The last committed sequence number when ownership began; 0 = nothing yet."""
    committed_at_us: int = 0
    """`at_us` of the last committed frame; engine time never goes below it."""


class RowWrite(NamedTuple):
    """One live state row to upsert."""

    kind: str
    id: str
    data: bytes


class ArchiveWrite(NamedTuple):
    """One archive row to upsert; `at_us` is what `expire` compares."""

    kind: str
    id: str
    at_us: int
    data: bytes


@dataclass(slots=True)
class Commit:
    """One atomic write. Events have the numbers first_seq ... first_seq + len(events) - 1; deletes
    are applied after upserts.

    A commit without events is refused with ValueError: every write moves the sequence.
    """

    first_seq: int
    at_us: int
    events: Sequence[bytes]
    """Encoded events (`codec.encode_event`), in order."""
    upserts: Sequence[RowWrite] = ()
    deletes: Sequence[tuple[str, str]] = ()
    """(kind, id) of live rows to remove; removing what is not there is no error."""
    archive: Sequence[ArchiveWrite] = ()
    archive_deletes: Sequence[tuple[str, str]] = ()

    @property
    def last_seq(self) -> int:
        """Sequence number of the last event."""
        return self.first_seq + len(self.events) - 1


class StoredFrame(NamedTuple):
    """A frame as read back: its first sequence number, moment, and encoded events."""

    first_seq: int
    at_us: int
    events: list[bytes]


class StoredRow(NamedTuple):
    """A live row as read back."""

    kind: str
    id: str
    data: bytes


@dataclass(slots=True)
class Finding:
    """One thing that `check` (and `contact-router doctor`) has to say."""

    level: str
    """``ok``, ``warning`` or ``error``"""
    text: str


@dataclass(slots=True)
class JournalStats:
    """Sizes and costs, for metrics."""

    commits: int = 0
    records: int = 0
    last_commit_s: float = 0.0
    """Duration of the latest commit."""
    bytes_stored: int = 0
    extra: dict[str, float] = field(default_factory=dict)


class Journal(ABC):
    """A store of one or more workspaces. Methods are called from one event loop."""

    @abstractmethod
    async def acquire(self, workspace: str) -> Ownership:
        """Take the workspace: new epoch and nonce, durable before this returns.

        Raises JournalBusy if another process holds the store, JournalDamaged if checks fail.
        """

    @abstractmethod
    def load(self, own: Ownership) -> AsyncIterator[list[StoredRow]]:
        """All live rows, in chunks, checksums verified (JournalDamaged names the row)."""

    @abstractmethod
    async def append(self, own: Ownership, commit: Commit) -> AppendResult:
        """Write one commit atomically and durably. Raises JournalFailed (retry the same commit) or
        StoreFull (nothing was written; retry later)."""

    @abstractmethod
    async def fetch(self, own: Ownership, kind: str, ids: Sequence[str]) -> dict[str, bytes]:
        """Archive rows by id; ids that are not there are not in the answer."""

    @abstractmethod
    async def list_archive(
        self, own: Ownership, kind: str, prefix: str = "", after: str = "", limit: int = 100
    ) -> list[tuple[str, bytes]]:
        """Archive rows of a kind whose id starts with `prefix`, ids ascending, beyond `after`."""

    @abstractmethod
    async def frames(self, own: Ownership, from_seq: int, limit: int = 100) -> list[StoredFrame]:
        """Frames that hold `from_seq` or later, oldest first, at most `limit`.

        A `from_seq` below the trimmed part starts at the oldest frame kept.
        """

    @abstractmethod
    async def oldest_seq(self, own: Ownership) -> int:
        """First sequence number still in the log; last + 1 when the log is empty."""

    @abstractmethod
    async def trim(self, own: Ownership, below_seq: int) -> int:
        """Drop whole frames that end below `below_seq`; returns how many."""

    @abstractmethod
    async def expire(self, own: Ownership, kind: str, before_us: int, limit: int = 1000) -> int:
        """Drop archive rows of a kind older than `before_us`; returns how many, `limit` at most."""

    @abstractmethod
    async def release(self, own: Ownership) -> None:
        """Give the workspace up, so that the next owner need not wait."""

    @abstractmethod
    async def backup(self, directory: Path) -> list[Path]:
        """A consistent copy while running; returns the files written."""

    @abstractmethod
    async def check(self, workspace: str) -> list[Finding]:
        """Settings, versions, checksums: what `doctor` prints. Never raises for what it finds."""

    @abstractmethod
    def stats(self) -> JournalStats:
        """Sizes and costs so far."""

    @abstractmethod
    async def close(self) -> None:
        """Wait for what is in flight, then close. Safe to repeat."""


class KeyStore(ABC):
    """Keys of sealed personal fields, in a store of their own with a backup of its own.

    Keys come from blocks made and committed in advance, so a new contact costs no extra write.
    Erasing a key erases the person from events, rows, trimmed copies and backups alike.
    """

    @abstractmethod
    def new_key(self) -> tuple[str, bytes]:
        """An unused key: its id and 32 random bytes. Both durable already."""

    @abstractmethod
    async def refill(self) -> None:
        """Make the next block durable if few unused keys are left; upkeep calls it."""

    @abstractmethod
    def key(self, key_id: str) -> bytes | None:
        """The key, or None if it was erased (or never was)."""

    @abstractmethod
    async def fetch(self, key_ids: Iterable[str]) -> None:
        """Read these keys ahead: what is known here is given back to a store that is emptied."""

    @abstractmethod
    async def erase(self, key_ids: Iterable[str]) -> None:
        """Overwrite these keys, durably; listed for restores (`erased`)."""

    @abstractmethod
    async def erased(self) -> list[str]:
        """All key ids ever erased: a restore applies this list first."""

    @abstractmethod
    async def backup(self, directory: Path) -> list[Path]:
        """A consistent copy while running."""

    @abstractmethod
    async def close(self) -> None:
        """Safe to repeat."""
