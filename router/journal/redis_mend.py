"""Gives back to the store what it forgot: an acquisition, the end of the log, or everything.

The store is this owner's as long as nobody owns the workspace by a higher epoch, and as long as its
history is the beginning of the owner's: the digest of its last frame says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from router.journal import ArchiveWrite, Commit
from router.journal.frame import DIGEST_BYTES
from router.journal.redis_keyspace import (
    CHUNK_ROWS,
    Keyspace,
    Line,
    archive_value,
    commit_words,
    read_standing,
)
from router.journal.redis_line import Word
from router.journal.redis_servers import Servers
from router.journal.redis_tail import Diverged, Kept, Owned
from router.journal.shared import Standing
from router.journal.workspace_file import Own, own_crc

log = logging.getLogger("router.journal")

_PARTS_LAST_S = 3600
"""What a seed that was broken off has left behind goes after so long."""


def append_words(
    owned: Owned, commit: Commit, previous: bytes, frame: bytes
) -> tuple[list[str], list[Word], list[Word]]:
    """Keys, words of the function `append`, and those of its words that are rows."""
    own, head = owned.own, frame[-DIGEST_BYTES:]
    crc = own_crc(own.workspace, own.epoch, own.nonce, commit.last_seq, commit.at_us, head)
    keys, rows = commit_words(owned.space, commit)
    place = (commit.first_seq, commit.last_seq, commit.at_us, previous, head, crc)
    return keys, [own.epoch, own.nonce, *place, frame, *rows], rows


class Mender:
    """Brings the store to where its owner has been."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    async def mend(self, owned: Owned) -> bool:
        """Whether the store is now as this owner left it (or never was otherwise).

        False: another owner has it, or its history is another one. Raises JournalFailed, StoreFull.
        """
        async with owned.mending:
            return await self._mend(owned)

    async def _mend(self, owned: Owned) -> bool:
        mine, name = owned.own, owned.own.workspace
        reading = self._servers.reading(owned.space.name)
        stored, standing = await read_standing(reading, name, owned.space)
        is_mine = (stored.epoch, stored.nonce) == (mine.epoch, mine.nonce)
        if is_mine and stored.seq > owned.seq:
            return True  # a commit whose answer was lost
        if is_mine and (stored.seq, stored.head) == (owned.seq, owned.head):
            return True
        if stored.epoch > mine.epoch or (stored.epoch == mine.epoch and not is_mine):
            return False
        self._servers.counters.gaps += 1
        where = {"workspace": name, "stored": stored.seq, "written": owned.seq}
        # Whoever claimed an emptied store, or one that fell back further, has a lower epoch than
        # adapters and desks have seen: what it holds gives way whole.
        is_known = is_mine or (stored.epoch > 0 and (stored.epoch, stored.nonce) == owned.before)
        try:
            missing = owned.after(stored.seq, stored.head) if is_known else None
        except Diverged as error:
            log.error("the store has another history", extra={**where, "why": str(error)})  # noqa: TRY400
            return False
        if missing is None:
            log.error("the store has lost this workspace: it is written anew", extra=where)
            return await self._seed(owned)
        log.error("the store forgot commits: they are written again", extra=where)
        if not is_mine and not await self._retake(owned, stored, standing):
            return False
        return await self._write_again(owned, missing)

    async def _retake(self, owned: Owned, stored: Own, standing: Standing) -> bool:
        """An acquisition that was rolled back, by compare-and-set on what was rolled back to."""
        own, space = owned.own, owned.space
        crc = own_crc(own.workspace, own.epoch, own.nonce, stored.seq, stored.at_us, stored.head)
        as_seen = (stored.epoch, stored.nonce, standing.beat, stored.seq, stored.head)
        taken = await self._servers.writing(space.name).function(
            "claim",
            (space.own, space.log, space.live),
            *as_seen,
            own.epoch,
            own.nonce,
            crc,
            owned.node,
        )
        return bool(taken == 1)

    async def _write_again(self, owned: Owned, missing: Sequence[Kept]) -> bool:
        name = owned.space.name
        quickly, durably = self._servers.writing(name, durable=False), self._servers.writing(name)
        for number, kept in enumerate(missing, 1):
            line = durably if number == len(missing) else quickly
            keys, words, _ = append_words(owned, kept.commit, kept.previous, kept.frame)
            result, *_ = await line.function("append", keys, *words)
            if result not in (b"ok", b"seen"):
                return False
            self._servers.counters.repaired_records += len(kept.commit.events)
        return True

    async def _seed(self, owned: Owned) -> bool:
        """Write the workspace whole. Other keys first, then all at once under the real ones."""
        if owned.rows is None:
            return False  # lost while it was being loaded: nobody knows what was in it
        own, space = owned.own, owned.space
        line = self._servers.writing(space.name, durable=False)
        parts = Keyspace(space.name, ":seed")
        await line.ask("UNLINK", parts.log, parts.live)
        for words in _in_chunks([word for row in owned.rows.items() for word in row]):
            await line.ask("HSET", parts.live, *words)
        tail = owned.tail()
        for kept in tail:
            await line.ask("XADD", parts.log, f"{kept.commit.first_seq}-0", "f", kept.frame)
        for key in (parts.log, parts.live):
            await line.ask("EXPIRE", key, _PARTS_LAST_S)
        await _archive_again(line, space, tail)
        crc = own_crc(own.workspace, own.epoch, own.nonce, owned.seq, owned.at_us, owned.head)
        place = (own.epoch, own.nonce, owned.seq, owned.at_us, owned.head, crc, owned.node)
        taken = await self._servers.writing(space.name).function(
            "seed", (space.own, space.log, space.live, parts.log, parts.live), *place
        )
        if taken:
            self._servers.counters.seeds += 1
        return bool(taken)


async def _archive_again(line: Line, space: Keyspace, tail: Sequence[Kept]) -> None:
    """The archive rows of the last commits. Older ones that the store has lost are lost."""
    rows: dict[tuple[str, str], ArchiveWrite | None] = {}
    for kept in tail:
        rows.update({(row.kind, row.id): row for row in kept.commit.archive})
        rows.update(dict.fromkeys(kept.commit.archive_deletes))
    for kind in sorted({kind for kind, _ in rows}):
        values, ids, ages = space.archive(kind)
        await line.ask("SADD", space.kinds, kind)
        kept_rows = [row for (of, _), row in rows.items() if of == kind and row is not None]
        for start in range(0, len(kept_rows), CHUNK_ROWS):
            some = kept_rows[start : start + CHUNK_ROWS]
            await line.ask(
                "HSET", values, *(word for row in some for word in (row.id, archive_value(*row)))
            )
            await line.ask("ZADD", ids, *(word for row in some for word in (0, row.id)))
            await line.ask("ZADD", ages, *(word for row in some for word in (row.at_us, row.id)))
        for gone in _in_chunks([id_ for (of, id_), row in rows.items() if of == kind and not row]):
            await line.ask("HDEL", values, *gone)
            await line.ask("ZREM", ids, *gone)
            await line.ask("ZREM", ages, *gone)


def _in_chunks(words: list[Word]) -> Iterator[list[Word]]:
    for start in range(0, len(words), 2 * CHUNK_ROWS):
        yield words[start : start + 2 * CHUNK_ROWS]
