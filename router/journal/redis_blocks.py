"""Keys of personal data in Redis, on as many replicas as commits are."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router.errors import JournalBusy, JournalFailed, StoreFull
from router.journal.keys import ERASED, KEY_BYTES, is_same
from router.journal.keys_file import read_keys_file, write_keys_file
from router.journal.redis_audit import server_facts
from router.journal.redis_line import Word
from router.journal.redis_servers import RedisSettings, Servers

log = logging.getLogger("router.journal")

_TAG = "router-keys"
_PREFIX = f"{{{_TAG}}}"


class RedisBlocks:
    """Blocks of keys (`keys.BlockKeys`) in Redis; better in another server than the contacts.

    Erasing overwrites the key and has the append-only files rewritten, which would still hold it.
    Calls wait for the server, and may come from any thread, also from one that runs a loop: the
    connections belong to a thread of their own. Raises StoreFull, JournalFailed.
    """

    def __init__(self, store: RedisSettings | str) -> None:
        settings = RedisSettings(url=store) if isinstance(store, str) else store
        self._has_replicas = settings.replicas > 0
        self._newest = 0
        """The highest number of a block that was made here."""
        self._loop = asyncio.new_event_loop()
        self._servers = Servers(settings)
        self._reading = self._servers.reading(_TAG)
        self._writing = self._servers.writing(_TAG)
        self._thread = threading.Thread(target=self._loop.run_forever, name="keys", daemon=True)
        self._thread.start()

    def create(self, block: bytes) -> int:
        """See Blocks."""
        while True:
            number = int(self._write("INCR", f"{_PREFIX}:last"))
            if number <= self._newest:  # emptied just now: its keys are to be given back
                return number
            self._newest = number
            if self._write("SET", _block(number), block, "NX"):  # or it was given back just now
                return number

    def read(self, number: int) -> bytes | None:
        """See Blocks."""
        block: bytes | None = self._read("GET", _block(number))
        return block

    def holds(self, number: int) -> bool:
        """See Blocks."""
        return bool(self._read("EXISTS", _block(number)))

    def give_back(self, known: Mapping[int, bytes]) -> None:
        """See Blocks. Several nodes may do so at once."""
        highest, last = max(known, default=0), int(self._read("GET", f"{_PREFIX}:last") or 0)
        if last < highest:  # added, not set: another node may have raised it meanwhile
            self._write("INCRBY", f"{_PREFIX}:last", highest - last)
        for number, block in known.items():
            gone = [at // KEY_BYTES for at in range(0, len(block), KEY_BYTES)
                    if block[at : at + KEY_BYTES] == ERASED]  # fmt: skip
            written = self._write("SET", _block(number), block, "NX")
            if written or is_same(self.read(number) or b"", block):
                self._erase([(number, place) for place in gone])  # another may have known less

    def erase(self, places: list[tuple[int, int]]) -> None:
        """See Blocks."""
        self._erase(places)
        facts = self._run(server_facts(self._reading, "persistence"))
        if facts.get("aof_enabled") == "1":
            self._run(self._rewrite())

    def _erase(self, places: list[tuple[int, int]]) -> None:
        for number, place in places:
            # Listed first: broken off in between, it is erased again by whoever reads the list.
            self._write("SADD", f"{_PREFIX}:erased", f"{number}:{place}")
            if self._read("EXISTS", _block(number)):
                self._write("SETRANGE", _block(number), place * KEY_BYTES, ERASED)

    async def _rewrite(self) -> None:
        try:
            await self._reading.ask("BGREWRITEAOF")
        except JournalFailed as error:
            if "in progress" not in str(error):
                raise
        if not self._has_replicas:
            return
        for line in await self._servers.replicas(_TAG):
            try:
                await line.call("BGREWRITEAOF")
            except JournalFailed as error:
                if "in progress" not in str(error):
                    log.warning(
                        "an erased key is still in a replica's log", extra={"why": str(error)}
                    )
            finally:
                await line.close()

    def erased(self) -> list[tuple[int, int]]:
        """See Blocks."""
        members: list[bytes] = list(self._read("SMEMBERS", f"{_PREFIX}:erased"))
        pairs = (member.decode().partition(":") for member in members)
        return sorted((int(number), int(place)) for number, _, place in pairs)

    def backup(self, directory: Path) -> list[Path]:
        """See Blocks. The copy is a `keys.db`, as `SqliteBlocks` has it."""
        directory.mkdir(parents=True, exist_ok=True)
        last = int(self._read("GET", f"{_PREFIX}:last") or 0)
        numbered = ((n, self.read(n)) for n in range(1, last + 1))
        return [write_keys_file(directory, numbered, self.erased())]

    def restore(self, directory: Path) -> int:
        """Bring a copied `keys.db` into Redis; returns how many blocks. Raises JournalBusy."""
        blocks, erased = read_keys_file(directory)
        if self._read("EXISTS", f"{_PREFIX}:last", f"{_PREFIX}:erased"):
            raise JournalBusy("Redis has keys already: a restore never overwrites them")
        for number, place in erased:
            self._write("SADD", f"{_PREFIX}:erased", f"{number}:{place}")
        for number, block in blocks:
            self._write("SET", _block(number), block)
        if blocks:
            self._write("SET", f"{_PREFIX}:last", blocks[-1][0])
        return len(blocks)

    def close(self) -> None:
        """See Blocks."""
        if self._loop.is_closed():
            return
        self._run(self._servers.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _read(self, *words: Word) -> Any:
        return self._run(self._reading.ask(*words))

    def _write(self, *words: Word) -> Any:
        return self._run(self._writing.ask(*words))

    def _run(self, doing: Any) -> Any:
        try:
            return asyncio.run_coroutine_threadsafe(doing, self._loop).result()
        except JournalFailed as error:
            raise JournalFailed(f"keys: {error}") from error
        except StoreFull as error:
            raise StoreFull(f"keys: {error}") from error


def _block(number: int) -> str:
    return f"{_PREFIX}:block:{number}"
