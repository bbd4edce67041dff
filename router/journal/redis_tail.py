"""What an owner keeps in mind, to give back to the store what the store forgets.

A failover, or a restart with a log that lost its end, may take acknowledged commits away. The owner
still has them: the last minute of commits as they were (the *tail*), and every live row as it is
now. So a loss needs the owner to die together with more servers than have to have a commit.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from router.journal import Commit, Ownership
from router.journal.frame import DIGEST_BYTES
from router.journal.redis_keyspace import Keyspace, live_field
from router.journal.redis_line import Word

TAIL_S = 60.0
TAIL_BYTES = 64 << 20


class Kept(NamedTuple):
    """A commit as it was written."""

    commit: Commit
    previous: bytes
    frame: bytes
    at_s: float

    @property
    def head(self) -> bytes:
        """Its digest."""
        return self.frame[-DIGEST_BYTES:]

    @property
    def size(self) -> int:
        """Roughly what it takes in memory, bytes."""
        commit = self.commit
        rows = sum(len(row[2]) + 64 for row in commit.upserts)
        return 2 * len(self.frame) + rows + sum(len(row[3]) + 64 for row in commit.archive)


class Diverged(Exception):
    """The store has another history than this owner."""


class Owned:
    """A workspace that this process owns."""

    def __init__(
        self, own: Ownership, space: Keyspace, node: str, head: bytes, before: tuple[int, str]
    ) -> None:
        self.own = own
        self.space = space
        self.node = node
        self.before = before
        """Epoch and nonce of the owner before, from whom it was taken."""
        self.head = head
        """Digest of the last frame."""
        self.seq = own.seq
        """Of the last event that the store has acknowledged."""
        self.at_us = own.committed_at_us
        self.rows: dict[str, bytes] | None = None
        """Every live row as it is stored, by field; None until they have been loaded."""
        self.mending = asyncio.Lock()
        self._tail: deque[Kept] = deque()
        self._size = 0

    def committed(
        self, commit: Commit, previous: bytes, frame: bytes, words: Sequence[Word]
    ) -> None:
        """Keep what the store has just acknowledged; `words` as `commit_words` made them."""
        kept = Kept(commit, previous, frame, time.monotonic())
        self._tail.append(kept)
        self._size += kept.size
        while self._tail[0].at_s < kept.at_s - TAIL_S or (
            self._size > TAIL_BYTES and len(self._tail) > 1
        ):
            self._size -= self._tail.popleft().size
        self.head, self.seq, self.at_us = kept.head, commit.last_seq, commit.at_us
        if self.rows is not None:
            end = 2 + 2 * len(commit.upserts)
            self.rows.update(zip(words[2:end:2], words[3:end:2], strict=True))  # type: ignore[arg-type]
            for kind, id_ in commit.deletes:
                self.rows.pop(live_field(kind, id_), None)

    def tail(self) -> list[Kept]:
        """All commits kept, oldest first."""
        return list(self._tail)

    def after(self, seq: int, head: bytes) -> list[Kept] | None:
        """What the store lacks if its log ends so; None: more than is kept.

        Raises Diverged if the store's history is another one.
        """
        if seq > self.seq:
            raise Diverged(f"it has commits beyond {self.seq} that are not this owner's")
        if seq == self.seq:
            missing: list[Kept] = []
            known = self.head
        else:
            missing = [kept for kept in self._tail if kept.commit.first_seq > seq]
            if not missing or missing[0].commit.first_seq != seq + 1:
                if len(missing) < len(self._tail):
                    raise Diverged(f"its log ends within one of this owner's commits, at {seq}")
                return None
            known = missing[0].previous
        if known != head:
            raise Diverged(f"its commit that ends at {seq} is not this owner's")
        return missing
