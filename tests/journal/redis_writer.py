"""A process that owns a workspace in Redis, commits and renews as fast as it can, and says so.

Each line on its output is a sequence number that was acknowledged; ``fenced`` is its last word.
"""

from __future__ import annotations

import asyncio
import os
import sys

from router.journal import AppendResult
from router.journal.redis_store import RedisJournal
from tests.journal.writer import commit_at


async def main(url: str) -> None:
    journal = RedisJournal(url)
    own = await journal.claim("w", await journal.standing("w"), "paused")
    assert own is not None
    seq = own.seq + 1
    while True:
        commit = commit_at(seq)
        result = await journal.append(own, commit)
        if result is AppendResult.FENCED or not await journal.renew(own):
            os.write(1, b"fenced\n")
            await journal.close()
            return
        os.write(1, b"%d\n" % commit.last_seq)
        seq = commit.last_seq + 1


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
