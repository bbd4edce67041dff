"""What the store's audit asks of one Redis server: how it keeps what it has, what we may do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from router.errors import RouterError
from router.journal import Finding
from router.journal.redis_line import Access, Endpoint, RedisLine, Word

READS = (
    "EXISTS", "GET", "HGET", "HGETALL", "HLEN", "HMGET", "HSCAN", "INFO", "MEMORY USAGE", "ROLE",
    "SCAN", "SMEMBERS", "XRANGE", "XREVRANGE", "ZRANGE", "ZRANGEBYSCORE",
)  # fmt: skip
WRITES = (
    "BGREWRITEAOF", "COPY", "DEL", "EXPIRE", "FCALL", "FUNCTION LOAD", "HDEL", "HINCRBY", "HSET",
    "INCR", "PERSIST", "RENAME", "SADD", "SET", "SETRANGE", "SREM", "UNLINK",
    "WAIT", "XADD", "XTRIM", "ZADD", "ZREM",
)  # fmt: skip
"""What the journal asks for itself, and what its functions do in the caller's name."""

_CONFIG = (
    "appendfsync", "aof-load-truncated", "min-replicas-to-write", "min-replicas-max-lag",
    "repl-diskless-sync", "repl-diskless-sync-delay", "client-output-buffer-limit",
    "cluster-require-full-coverage", "cluster-node-timeout",
)  # fmt: skip


@dataclass(slots=True)
class Audited(Finding):
    """A finding about the store's settings."""

    check: str = ""
    """Short name, a label of `router_store_audit_failed`."""


class Asked(Protocol):
    """Something that is asked plain commands."""

    async def ask(self, *words: Word) -> Any:
        """The answer. Raises JournalFailed."""


class Server:
    """One server, over a connection of the audit's own."""

    def __init__(self, access: Access, at: Endpoint) -> None:
        self.at = at
        self._line = RedisLine(access, at)

    async def ask(self, *words: Word) -> Any:
        """See Asked."""
        return await self._line.call(*words)

    async def ask_together(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The answers to several; refusals stand among them."""
        return await self._line.exchange(commands)

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._line.close()


async def server_facts(line: Asked, section: str) -> dict[str, str]:
    """A section of INFO."""
    text: str = (await line.ask("INFO", section)).decode()
    pairs = (row.partition(":") for row in text.splitlines() if ":" in row)
    return {name: value.strip() for name, _, value in pairs}


class Audit:
    """Findings as they are made; what every kind of layout is asked."""

    def __init__(self) -> None:
        self.findings: list[Audited] = []

    def say(self, level: str, check: str, text: str) -> None:
        """Add a finding: level ``ok``, ``warning`` or ``error``, the check's short name, words."""
        self.findings.append(Audited(level, text, check))

    @asynccontextmanager
    async def looking_at(self, what: str, level: str = "error") -> AsyncIterator[None]:
        """A server that does not answer, or not in its usual words, is a finding of its own."""
        try:
            yield
        except (RouterError, ValueError, KeyError, IndexError) as error:
            self.say(level, "unreachable", f"{what}: {error}")

    async def node(self, line: Asked, at: str, *, is_alone: bool) -> None:
        """What is asked of every data node; `at` is said after what it is about."""
        version = (await server_facts(line, "server")).get("redis_version", "0")
        if int(version.partition(".")[0]) >= 7:
            self.say("ok", "version", f"Redis {version}{at}")
        else:
            self.say("error", "version", f"Redis {version}{at}: expected 7.0 or later (functions)")
        policy = (await server_facts(line, "memory")).get("maxmemory_policy", "unknown")
        if policy != "noeviction":
            self.say(
                "error",
                "eviction",
                f"maxmemory-policy is {policy}{at}: expected noeviction, or contacts may vanish. "
                "Set: maxmemory-policy noeviction",
            )
        if (await server_facts(line, "persistence")).get("aof_enabled") != "1":
            empties = "" if is_alone else "; as a master it empties its replicas, too"
            self.say(
                "warning" if is_alone else "error",
                "appendonly",
                f"the append-only file is off{at}: a restart of Redis forgets commits{empties}. "
                "Set: appendonly yes",
            )

    async def config(self, line: Asked, at: str = "") -> dict[str, str]:
        """Settings that INFO does not show; empty if the user may not see them."""
        try:
            flat = [word.decode() for word in await line.ask("CONFIG", "GET", *_CONFIG)]
        except RouterError as error:
            if not _is_denied(error):
                raise
            self.say(
                "warning",
                "unseen",
                f"not seen{at}: {', '.join(_CONFIG)}; our user may not use CONFIG GET. Compare "
                "them with config/redis/redis.conf, or allow it: ACL SETUSER ... +config|get",
            )
            return {}
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def power(self, config: dict[str, str], at: str, *, is_alone: bool = True) -> None:
        """What a power cut does. Behind it replicas and the tail repair stand, if there are any."""
        sync = config.get("appendfsync", "always")
        if sync == "no" or (is_alone and sync != "always"):
            lost = "the last half minute" if sync == "no" else "the last second"
            self.say(
                "warning",
                "appendfsync",
                f"appendfsync is {sync}{at}: a power cut may lose {lost}. "
                f"Set: appendfsync {'always' if is_alone else 'everysec'}",
            )
        if config.get("aof-load-truncated", "yes") != "yes":
            self.say(
                "warning",
                "aof_load_truncated",
                f"aof-load-truncated is off{at}: after a power cut Redis may not start again, "
                "because the end of its file is torn. Set: aof-load-truncated yes",
            )

    async def rights(self, line: Server) -> None:
        """That the user may do what is needed, and no more."""
        who = (await line.ask("ACL", "WHOAMI")).decode()
        try:
            await line.ask("ACL", "GETUSER", who)
        except RouterError:
            self.say("ok", "rights", f"our user {who!r} is no administrator at {line.at}")
        else:
            self.say(
                "warning",
                "rights",
                f"our user {who!r} may do everything at {line.at} (FLUSHALL, CONFIG SET, ACL): "
                "whoever has its password can empty the store. "
                "Give us the user of config/redis/users.acl",
            )
        missing = await _refused(line)
        if missing:
            rules = " ".join(f"+{name.lower().replace(' ', '|')}" for name in missing)
            self.say(
                "error",
                "commands",
                f"our user {who!r} may not use {', '.join(missing)} at {line.at}: commits would "
                f"fail. Set: ACL SETUSER {who} {rules} ~{{*",
            )


async def _refused(line: Server) -> list[str]:
    """Which needed commands are not allowed: queued in a transaction that is never carried out."""
    key = "{contact-router-audit}:x"
    forms: dict[str, Sequence[str | int]] = {
        "BGREWRITEAOF": (), "COPY": (key, key), "EXPIRE": (key, 1), "FCALL": ("f", 1, key),
        "FUNCTION LOAD": ("#!lua name=x",), "HDEL": (key, "f"), "HGET": (key, "f"),
        "HINCRBY": (key, "f", 1), "HMGET": (key, "f"), "HSCAN": (key, 0), "HSET": (key, "f", "v"),
        "INFO": (), "RENAME": (key, key), "ROLE": (), "SADD": (key, "m"), "SCAN": (0,),
        "SET": (key, "v"), "SETRANGE": (key, 0, "v"), "SREM": (key, "m"), "WAIT": (0, 1),
        "XADD": (key, "1-0", "f", "v"), "XRANGE": (key, "-", "+"), "XREVRANGE": (key, "+", "-"),
        "XTRIM": (key, "MAXLEN", 0), "ZADD": (key, 1, "m"), "ZRANGE": (key, 0, 0),
        "ZRANGEBYSCORE": (key, 0, 0), "ZREM": (key, "m"),
    }  # fmt: skip
    commands = [(*name.split(), *forms.get(name, (key,))) for name in (*READS, *WRITES)]
    begun, *answers, _ = await line.ask_together([("MULTI",), *commands, ("DISCARD",)])
    if isinstance(begun, RouterError):
        return []  # cannot be tried without doing it: the first commit will tell
    return [
        name
        for name, answer in zip((*READS, *WRITES), answers, strict=True)
        if isinstance(answer, RouterError) and _is_denied(answer)
    ]


def _is_denied(error: RouterError) -> bool:
    text = str(error)
    return "NOPERM" in text or "no permission" in text.lower()
