"""A process that commits as fast as it can and says so, until it is killed.

Each line on its output is a sequence number that was acknowledged as durable.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from router.journal import AppendResult, ArchiveWrite, Commit, RowWrite
from router.journal.sqlite import SqliteJournal


def content(seq: int) -> bytes:
    return b"event %d " % seq + b"x" * (seq * 37 % 400)


def commit_at(seq: int) -> Commit:
    """The commit that begins at `seq`; a reader can tell from the numbers what must be there."""
    count = 1 + seq % 7
    numbers = range(seq, seq + count)
    return Commit(
        seq,
        seq * 1000,
        [content(n) for n in numbers],
        [RowWrite("contact", f"c{n % 50}", b"%d" % n) for n in numbers],
        [("contact", f"c{(seq + 25) % 50}")],
        [ArchiveWrite("message", f"m{n:09}", n, content(n)) for n in numbers],
    )


async def main(directory: Path, durability: str) -> None:
    journal = SqliteJournal(directory, durability="disk" if durability == "disk" else "process")
    own = await journal.acquire("w")
    seq = own.seq + 1
    while True:
        commit = commit_at(seq)
        result = await journal.append(own, commit)
        assert result is AppendResult.OK, result
        os.write(1, b"%d\n" % commit.last_seq)
        seq = commit.last_seq + 1


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
