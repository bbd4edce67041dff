"""All servers of the store: which one to ask, callers that share a round trip, enough replicas.

One connection per master carries the writes of all workspaces: what is committed in the same turn
of the loop goes as one batch with one ``WAIT`` behind it, which counts the writes of its own
connection only. Reads go over another connection to the same master. Where one workspace commits
alone there is nobody to wait for: it is sent at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from router.errors import JournalFailed, StoreFull
from router.journal.redis_keyspace import Line
from router.journal.redis_line import (
    Access,
    Endpoint,
    NoFunction,
    Redirected,
    RedisLine,
    Word,
    endpoint_of_url,
    slot_of,
)
from router.journal.redis_masters import ByCluster, BySentinels, Masters, OneServer

log = logging.getLogger("router.journal")
T = TypeVar("T")

LIBRARY = "router_journal_2"
CODE = (Path(__file__).parent / "functions.lua").read_text(encoding="utf-8")
_WAIT_MS = 1000
"""Replicas that are there answer at once; never more than half of the time for an exchange."""
_WAIT_DEGRADED_MS = 20
"""While too few replicas are there anyway, commits only look whether they are back."""
_BATCH = 256
_BATCH_BYTES = 8 << 20
_REDIRECTS = 5
_NEWS_S = 0.3
"""An exchange that takes longer may be one with a machine that is gone."""


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where the store is, and what a commit has to survive."""

    url: str = ""
    """One server."""
    sentinels: tuple[Endpoint, ...] = ()
    master: str = ""
    """The name under which the Sentinels know it."""
    cluster: tuple[Endpoint, ...] = ()
    """Some nodes of a Redis Cluster."""
    access: Access = field(default_factory=Access)
    sentinel_access: Access = field(default_factory=Access)
    replicas: int = 0
    """How many must have a commit before it counts."""
    degrade_after_s: float | None = None
    """Go on without them after so long; None = never."""

    def masters(self) -> Masters:
        """Who finds the masters."""
        if self.sentinels:
            return BySentinels(self.sentinels, self.master, self.sentinel_access)
        if self.cluster:
            return ByCluster(self.cluster, self.access)
        return OneServer(endpoint_of_url(self.url)[0])


@dataclass(slots=True)
class Counters:
    """What went wrong so far, for metrics."""

    short_waits: int = 0
    """Batches that too few replicas had in time."""
    degraded: int = 0
    """Masters whose commits are taken without enough replicas at the moment."""
    gaps: int = 0
    """How often the store had forgotten what it had acknowledged."""
    repaired_records: int = 0
    """Events that were written again because of it."""
    seeds: int = 0
    """Workspaces that were written anew, whole."""


class _Job:
    """One caller's command, and what became of it."""

    __slots__ = ("answer", "asking", "durable", "turn", "words")

    def __init__(self, words: Sequence[Word], *, durable: bool, asking: bool) -> None:
        self.words = words
        self.durable = durable
        self.asking = asking
        self.answer: Any = None
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """False: it is done. True: carry out what is waiting, this first."""

    def size(self) -> int:
        return sum(len(word) for word in self.words if not isinstance(word, int))


class Shard:
    """One master. Callers take turns: the first of those waiting carries out what all want."""

    def __init__(
        self,
        settings: RedisSettings,
        access: Access,
        at: Endpoint,
        counters: Counters,
        *,
        is_certain: bool,
    ) -> None:
        self.reading = RedisLine(access, at, only_reads=True, is_master=not is_certain)
        self._writing = RedisLine(access, at, is_master=not is_certain)
        self._at = at
        self._replicas = settings.replicas
        self._wait_ms = min(_WAIT_MS, int(access.timeout_s * 500))
        self._degrade_after_s = settings.degrade_after_s
        self._counters = counters
        self._waiting: deque[_Job] = deque()
        self._is_busy = False
        self._short_since: float | None = None
        self._is_degraded = False

    async def write(
        self, words: Sequence[Word], *, durable: bool, asking: bool = False, shares: bool = True
    ) -> Any:
        """The answer, once enough replicas have it (if `durable`).

        `shares`: others may want the same in this turn of the loop. Raises JournalFailed (also
        Redirected, NoFunction) and StoreFull.
        """
        job = _Job(words, durable=durable, asking=asking)
        self._waiting.append(job)
        leads = not self._is_busy
        self._is_busy = True
        try:
            if leads or await job.turn:
                leads = True
                if shares:
                    await asyncio.sleep(0)  # who commits in this turn of the loop joins in
                await self._round()
        finally:
            if job in self._waiting:  # its caller gave up
                self._waiting.remove(job)
                leads = leads or (job.turn.done() and not job.turn.cancelled())
            if leads:
                self._pass_on()
        if isinstance(job.answer, Exception):
            raise job.answer
        return job.answer

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting[0].turn
            if not turn.done():
                turn.set_result(True)
                return
            self._waiting.popleft()  # cancelled in this very turn of the loop
        self._is_busy = False

    def _take(self) -> list[_Job]:
        jobs, size = [self._waiting.popleft()], 0
        while self._waiting and len(jobs) < _BATCH:
            size += self._waiting[0].size()
            if size > _BATCH_BYTES:
                break
            jobs.append(self._waiting.popleft())
        return jobs

    async def _round(self) -> None:
        jobs = self._take()
        for job in jobs:
            job.answer = JournalFailed("Redis: whoever asked on behalf of several gave up")
        try:
            answers, short = await self._exchange(jobs)
            for job, answer in zip(jobs, answers, strict=True):
                is_short = short is not None and job.durable and not isinstance(answer, Exception)
                job.answer = short if is_short else answer
        except JournalFailed as error:
            for job in jobs:
                job.answer = error
        finally:
            for job in jobs:
                if not job.turn.done():
                    job.turn.set_result(False)

    async def _exchange(self, jobs: Sequence[_Job]) -> tuple[list[Any], Exception | None]:
        """The answers, and what is wrong with the number of replicas."""
        commands: list[Sequence[Word]] = []
        places = []
        for job in jobs:
            if job.asking:
                commands.append(("ASKING",))
            places.append(len(commands))
            commands.append(job.words)
        if not self._replicas or not any(job.durable for job in jobs):
            answers = await self._writing.exchange(commands)
            return [answers[place] for place in places], None
        wait_ms = _WAIT_DEGRADED_MS if self._is_degraded else self._wait_ms
        commands.append(("WAIT", self._replicas, wait_ms))
        answers = await self._writing.exchange(commands)
        return [answers[place] for place in places], self._short(answers[-1])

    def _short(self, got: Any) -> Exception | None:
        if isinstance(got, Exception):
            return got
        if got >= self._replicas:
            if self._short_since is not None:
                log.warning("enough replicas again", extra={"server": str(self._at)})
                self._leave_degraded()
                self._short_since = None
            return None
        now, where = time.monotonic(), {"server": str(self._at)}
        self._counters.short_waits += 1
        words = f"{got} of {self._replicas} replicas have it in time"
        if self._short_since is None:
            self._short_since = now
            log.warning("too few replicas", extra={**where, "replicas": got})
        if self._degrade_after_s is None or now - self._short_since < self._degrade_after_s:
            return JournalFailed(f"Redis at {self._at}: {words}")
        if not self._is_degraded:
            self._is_degraded = True
            self._counters.degraded += 1
            log.error(
                "COMMITS ARE TAKEN WITHOUT ENOUGH REPLICAS: a failover now may lose them",
                extra={**where, "replicas": got, "wanted": self._replicas},
            )
        return None

    def _leave_degraded(self) -> None:
        if self._is_degraded:
            self._is_degraded = False
            self._counters.degraded -= 1

    async def close(self) -> None:
        """Safe to repeat."""
        self._leave_degraded()
        await self.reading.close()
        await self._writing.close()


class Servers:
    """The store: asks the right server, and asks again where it is after every doubt."""

    def __init__(self, settings: RedisSettings) -> None:
        self.counters = Counters()
        self.writers = 0
        """Workspaces that commit through it."""
        self._settings = settings
        self._masters = settings.masters()
        self._access = settings.access
        if settings.url:
            _, is_tls, database = endpoint_of_url(settings.url)
            is_tls = is_tls or self._access.is_tls
            self._access = replace(self._access, is_tls=is_tls, database=database)
        self._shards: dict[Endpoint, Shard] = {}
        self._under_way = 0
        """Exchanges, where Sentinels may name another master meanwhile."""
        self._news: asyncio.Task[None] | None = None

    def reading(self, tag: str) -> Line:
        """For reading the keys with this hash tag; what it writes is not waited for."""
        return _Tagged(self, tag, writes=False, durable=False)

    def writing(self, tag: str, *, durable: bool = True) -> Line:
        """For writing the keys with this hash tag; `durable`: on enough replicas."""
        return _Tagged(self, tag, writes=True, durable=durable)

    async def read(self, slot: int, words: Sequence[Word]) -> Any:
        """A plain command that changes nothing. Raises JournalFailed."""
        shard = await self._shard(slot)
        commands = [words]
        for _ in range(_REDIRECTS):
            try:
                answer = (await self._attended(shard.reading.exchange(commands)))[-1]
                if not isinstance(answer, Exception):
                    return answer
                raise answer
            except Redirected as error:
                shard, asking = await self._follow(error)
                commands = [("ASKING",), words] if asking else [words]
            except JournalFailed:
                self._masters.doubt()
                before, shard = shard, await self._shard(slot)
                if shard is before:
                    raise
        raise JournalFailed(f"Redis Cluster: slot {slot} is nowhere to be found")

    async def write(self, slot: int, words: Sequence[Word], *, durable: bool) -> Any:
        """A command that may change something. It is carried out once at most.

        Raises StoreFull, and JournalFailed: it may have happened nevertheless.
        """
        shard, asking = await self._shard(slot), False
        for _ in range(_REDIRECTS):
            try:
                return await self._attended(
                    shard.write(words, durable=durable, asking=asking, shares=self.writers > 1)
                )
            except Redirected as error:
                shard, asking = await self._follow(error)
            except NoFunction:
                load = ("FUNCTION", "LOAD", "REPLACE", CODE)
                await shard.write(load, durable=False)
            except (JournalFailed, StoreFull):
                self._masters.doubt()
                raise
        raise JournalFailed(f"Redis Cluster: slot {slot} is nowhere to be found")

    async def masters(self) -> list[tuple[Endpoint, RedisLine]]:
        """Every master with its line for reading."""
        found = await self._masters.all()
        return [(at, self._at(at).reading) for at in found]

    async def replicas(self, tag: str) -> list[RedisLine]:
        """New connections to all replicas of the master of a hash tag, for the caller to close."""
        slot = slot_of(tag)
        _, _, replicas = await self.read(slot, ("ROLE",))
        places = (Endpoint(host.decode(), int(port)) for host, port, _ in replicas)
        return [RedisLine(self._access, at) for at in places]

    async def _attended(self, exchange: Coroutine[Any, Any, T]) -> T:
        """Carry it out. Once it takes long the Sentinels are asked whether the master is another
        one by now: a server that is gone does not even say so, and its time-out is long.
        """
        if not isinstance(self._masters, BySentinels):
            return await exchange
        self._under_way += 1
        late = asyncio.get_running_loop().call_later(_NEWS_S, self._ask_for_news)
        try:
            return await exchange
        finally:
            self._under_way -= 1
            late.cancel()

    def _ask_for_news(self) -> None:
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_task(self._hear(), name="redis: news")

    async def _hear(self) -> None:
        while self._under_way:  # each exchange ends, by its time-out if not before
            self._masters.doubt()
            with contextlib.suppress(JournalFailed):
                await self._shard(0)  # ends what is under way with a master that was deposed
            await asyncio.sleep(_NEWS_S)

    async def _follow(self, error: Redirected) -> tuple[Shard, bool]:
        if not error.is_moving:
            self._masters.moved(error.slot, error.to)
        return self._at(error.to), error.is_moving

    async def _shard(self, slot: int) -> Shard:
        at = await self._masters.find(slot)
        shard = self._at(at)
        if len(self._shards) > 1 and not isinstance(self._masters, ByCluster):
            # A deposed master may still answer: nothing is read or written there any more.
            for other in [self._shards.pop(place) for place in list(self._shards) if place != at]:
                await other.close()
        return shard

    def _at(self, at: Endpoint) -> Shard:
        shard = self._shards.get(at)
        if shard is None:
            shard = self._shards[at] = Shard(
                self._settings,
                self._access,
                at,
                self.counters,
                is_certain=not self._masters.must_say_so,
            )
        return shard

    async def close(self) -> None:
        """Safe to repeat."""
        if self._news is not None:
            self._news.cancel()
            await asyncio.wait([self._news])
        for shard in self._shards.values():
            await shard.close()


class _Tagged:
    """What asks the server of one hash tag."""

    def __init__(self, servers: Servers, tag: str, *, writes: bool, durable: bool) -> None:
        self._servers = servers
        self._slot = slot_of(tag)
        self._writes = writes
        self._durable = durable

    async def ask(self, *words: Word) -> Any:
        """See Line."""
        if self._writes:
            return await self._servers.write(self._slot, words, durable=self._durable)
        return await self._servers.read(self._slot, words)

    async def function(self, name: str, keys: Sequence[str], *words: Word) -> Any:
        """See Line."""
        call = ("FCALL", f"{LIBRARY}_{name}", len(keys), *keys, *words)
        return await self._servers.write(self._slot, call, durable=self._durable)
