"""Keys of personal data in Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry as BlockingRetry

from router.errors import JournalBusy, JournalFailed, StoreFull
from router.journal.keys import ERASED, KEY_BYTES, read_keys_file, write_keys_file
from router.journal.redis_line import is_full


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
            if is_full(error):
                raise StoreFull(f"keys: Redis takes no writes now: {error}") from error
            raise JournalFailed(f"keys: Redis refused {words[0]!r}: {error}") from error
        except RedisError as error:
            raise JournalFailed(f"keys: Redis did not answer {words[0]!r}: {error}") from error
