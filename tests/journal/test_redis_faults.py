"""Servers die, fall back and wake up under a writer: nothing acknowledged is lost, nothing doubled.

What counts is read from the surviving servers by a plain client, not by the journal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from router.errors import JournalFailed, StoreFull
from router.journal import AppendResult, Commit, Ownership, RowWrite
from router.journal.redis_servers import RedisSettings
from router.journal.redis_store import RedisJournal
from tests.journal.conftest import RedisServer
from tests.journal.redis_processes import REPLICATED, Clustered, Node, Replicated, until
from tests.journal.writer import commit_at, content

pytestmark = [pytest.mark.peer, pytest.mark.usefixtures("redis_server")]
OK, DUP, FENCED = AppendResult.OK, AppendResult.DUP, AppendResult.FENCED
WITHIN_S = 40.0
SOON_S = 1.5
"""A server that does not answer for so long is given up."""


class Owner:
    """Commits one after the other, each until it is acknowledged, as the runtime does."""

    def __init__(self, settings: RedisSettings) -> None:
        self.journal = RedisJournal(settings)
        self.acknowledged = 0
        self.failures = 0
        self.bulk = 0
        """Bytes that each commit carries besides."""

    async def begin(self) -> Ownership:
        self.own = await self.acquire("w")
        self.acknowledged = self.own.seq
        return self.own

    async def acquire(self, workspace: str) -> Ownership:
        while True:
            try:
                own = await self.journal.acquire(workspace)
                async for _ in self.journal.load(own):
                    pass
            except (JournalFailed, StoreFull):
                await asyncio.sleep(0.05)
            else:
                return own

    def next(self) -> Commit:
        commit = commit_at(self.acknowledged + 1)
        if self.bulk:
            commit.upserts = [*commit.upserts, RowWrite("bulk", "b", os.urandom(self.bulk))]
        return commit

    async def write(self, commits: int) -> None:
        async with asyncio.timeout(WITHIN_S):
            for _ in range(commits):
                commit = self.next()
                result = await self.append(self.own, commit)
                assert result in (OK, DUP), result
                self.acknowledged = commit.last_seq

    async def append(self, own: Ownership, commit: Commit) -> AppendResult:
        """Until there is an answer."""
        while True:
            try:
                return await self.journal.append(own, commit)
            except (JournalFailed, StoreFull):
                self.failures += 1
                await asyncio.sleep(0.05)  # what the runtime's writer does, too

    async def still_owns(self, own: Ownership) -> None:
        async with asyncio.timeout(WITHIN_S):
            while True:
                with suppress(JournalFailed):
                    assert await self.journal.renew(own)
                    return
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self.journal.close()


def events_at(node: Node, workspace: str = "w") -> list[bytes]:
    """The log's events as this server has them, checked to be without a hole."""
    events: list[bytes] = []
    for frame in node.events(workspace):
        version, first_seq, _, _, inner = msgspec.msgpack.decode(frame[:-16])
        assert (version, first_seq) == (1, len(events) + 1), "a hole, or one frame twice"
        events += inner
    return events


def has_all(node: Node, owner: Owner) -> None:
    wanted = [content(seq) for seq in range(1, owner.acknowledged + 1)]
    assert events_at(node)[: len(wanted)] == wanted
    rows = {field: value[:-4] for field, value in node.client.hgetall("{w}:live").items()}
    live: dict[bytes, bytes] = {}
    seq = 1
    while seq <= owner.acknowledged:
        commit = commit_at(seq)
        live |= {f"{kind}\0{id_}".encode(): data for kind, id_, data in commit.upserts}
        for kind, id_ in commit.deletes:
            live.pop(f"{kind}\0{id_}".encode(), None)
        seq = commit.last_seq + 1
    assert {field: data for field, data in rows.items() if not field.startswith(b"bulk")} == live
    assert node.client.hlen("{w}:archive:message") == owner.acknowledged


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Replicated]:
    store = Replicated(tmp_path)
    yield store
    store.close()


@pytest.fixture
def unwatched(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Replicated]:
    """A master and two replicas that nobody fails over. Whoever is not there refuses connections,
    so nothing has to be given up soon, and what is counted is counted once."""
    options = getattr(request, "param", REPLICATED)
    store = Replicated(tmp_path, has_sentinels=False, options=options)
    yield store
    store.close()


async def test_the_master_is_killed_and_a_replica_goes_on(store: Replicated) -> None:
    owner = Owner(store.settings(timeout_s=SOON_S))
    own = await owner.begin()
    await owner.write(200)
    old = store.master()
    old.stop()
    await owner.write(200)
    new = await asyncio.to_thread(store.failed_over, old)
    await owner.still_owns(own)
    has_all(new, owner)
    await owner.close()


async def test_a_deposed_master_that_wakes_up_is_not_written_to(store: Replicated) -> None:
    owner = Owner(store.settings(timeout_s=SOON_S))
    await owner.begin()
    await owner.write(50)
    old = store.master()
    old.pause()
    await owner.write(50)
    new = await asyncio.to_thread(store.failed_over, old)
    old.resume()
    other = Owner(store.settings(timeout_s=SOON_S))
    await other.begin()  # asks anew where the master is, right when the old one is back
    assert await owner.append(owner.own, owner.next()) is FENCED
    assert other.own.seq == owner.acknowledged
    await other.write(50)
    has_all(new, other)
    await owner.close()
    await other.close()


async def test_a_replica_that_lags_becomes_master(tmp_path: Path) -> None:
    """The lowest replica-priority wins in Sentinel, however far it is behind."""
    store = Replicated(tmp_path, first_choice=2)
    owner = Owner(store.settings(timeout_s=SOON_S))
    try:
        await owner.begin()
        await owner.write(20)
        old, ahead, behind = store.nodes
        behind.pause()
        owner.bulk = 1_000_000  # more than the sockets between them hold
        await owner.write(24)
        assert ahead.client.xlen("{w}:log") == 44
        old.stop()
        behind.resume()
        owner.bulk = 0
        await owner.write(20)
        new = await asyncio.to_thread(store.failed_over, old)
        assert new is behind
        has_all(new, owner)
        assert owner.journal.stats().extra["repaired_records"] > 0
    finally:
        await owner.close()
        store.close()


async def test_two_of_three_servers_are_lost_with_what_only_they_had(store: Replicated) -> None:
    owner = Owner(store.settings(timeout_s=SOON_S))
    await owner.begin()
    await owner.write(20)
    old = store.master()
    left, lost = [node for node in store.nodes if node is not old]
    left.pause()
    owner.bulk = 1_000_000
    await owner.write(24)
    old.stop()
    lost.stop()
    left.resume()
    owner.bulk = 0

    async def one_comes_back() -> None:
        await asyncio.to_thread(store.failed_over, old)
        for file in (lost.directory / "appendonlydir").iterdir():
            file.unlink()  # a new, empty disk
        await asyncio.to_thread(lost.start)

    async with asyncio.TaskGroup() as group:
        group.create_task(one_comes_back())
        group.create_task(owner.write(20))

    def both_have_it() -> bool:
        return store.master().online() == 1 and all(len(n.events("w")) == 64 for n in (left, lost))

    await asyncio.to_thread(until, "a replica has all of it", both_have_it)
    for node in (left, lost):
        has_all(node, owner)
    extra = owner.journal.stats().extra
    assert extra["repaired_records"] or extra["seeds"]
    await owner.close()


async def test_the_master_comes_back_with_an_older_log_before_anybody_notices(
    unwatched: Replicated,
) -> None:
    """A power cut with appendfsync everysec: the end of the file is gone; replicas follow it."""
    owner = Owner(unwatched.settings())
    await owner.begin()
    await owner.write(100)
    master = unwatched.nodes[0]
    (file,) = (master.directory / "appendonlydir").glob("*.incr.aof")

    def is_in_file() -> bool:  # it waits in memory for as long as the disk is busy
        return master.facts("persistence")["aof_buffer_length"] == 0

    await asyncio.to_thread(until, "the log is in its file", is_in_file)
    size = file.stat().st_size
    await owner.write(100)
    await asyncio.to_thread(until, "the log is in its file", is_in_file)
    master.stop()
    assert file.stat().st_size > size
    os.truncate(file, size)
    await asyncio.to_thread(master.start)
    assert len(master.events("w")) == 100
    await owner.write(100)
    has_all(master, owner)
    unwatched.settle()
    for replica in unwatched.nodes[1:]:
        await asyncio.to_thread(until, "in sync", lambda r=replica: len(r.events("w")) == 300)  # type: ignore[misc]
        has_all(replica, owner)
    extra = owner.journal.stats().extra
    assert extra["gaps"] == 1
    assert extra["repaired_records"] >= 100
    await owner.close()


@pytest.mark.parametrize("unwatched", [("--repl-diskless-sync-delay", "0")], indirect=True)
async def test_a_master_without_a_log_comes_back_empty_and_is_filled_again(
    unwatched: Replicated,
) -> None:
    owner = Owner(unwatched.settings())
    own = await owner.begin()
    await owner.write(100)
    master = unwatched.nodes[0]
    master.stop()
    await asyncio.to_thread(master.start)
    assert master.client.dbsize() == 0
    await owner.write(100)
    has_all(master, owner)
    await owner.still_owns(own)
    assert owner.journal.stats().extra["seeds"] == 1
    await owner.close()


async def test_functions_that_were_flushed_are_there_again(unwatched: Replicated) -> None:
    owner = Owner(unwatched.settings())
    own = await owner.begin()
    unwatched.nodes[0].client.execute_command("FUNCTION", "FLUSH")
    await owner.write(5)
    unwatched.nodes[0].client.execute_command("FUNCTION", "FLUSH")
    assert await owner.journal.renew(own)
    assert owner.failures == 0
    has_all(unwatched.nodes[0], owner)
    await owner.close()


async def test_an_owner_that_was_paused_is_fenced_when_it_wakes(empty_redis: RedisServer) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.journal.redis_writer", empty_redis.url, stdout=-1
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            for _ in range(20):
                assert int(await process.stdout.readline()) > 0
            process.send_signal(signal.SIGSTOP)
            journal = RedisJournal(empty_redis.patient)
            seen = await journal.standing("w")
            own = await journal.claim("w", seen, "taker")
            while own is None:  # what it had sent before it stopped was still on its way
                seen = await journal.standing("w")
                own = await journal.claim("w", seen, "taker")
            for seq in range(own.seq + 1, own.seq + 20):
                assert await journal.append(own, Commit(seq, seq, [b"the taker's"])) is OK
            process.send_signal(signal.SIGCONT)
            words = [b"20"]
            while words[-1] != b"fenced":
                words.append((await process.stdout.readline()).strip())
                assert words[-1], "it ended without having noticed"
            assert await process.wait() == 0
        acknowledged = int(words[-2]) if len(words) > 2 else 0
        assert acknowledged <= own.seq
        log = [
            msgspec.msgpack.decode(f[b"f"][:-16]) for _, f in empty_redis.client.xrange("{w}:log")
        ]
        assert [frame[4] for frame in log if frame[1] > own.seq] == [[b"the taker's"]] * 19
        await journal.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_master_of_a_cluster_is_killed_and_the_others_serve_on(tmp_path: Path) -> None:
    store = Clustered(tmp_path, node_timeout_ms=5_000)  # nobody is made master before we have asked
    owner = Owner(store.settings(timeout_s=SOON_S))
    try:
        await owner.begin()
        await owner.write(50)
        old = store.master_of("w")
        name = next(
            f"other{number}"
            for number in range(1000)
            if store.master_of(f"other{number}") is not old
        )
        other = await owner.acquire(name)
        old.stop()
        assert await owner.append(other, Commit(1, 1, [b"not concerned"])) in (OK, DUP)
        with pytest.raises(JournalFailed):
            await owner.journal.append(owner.own, owner.next())

        def has_another() -> bool:
            return store.master_of("w") is not old

        async def comes_back() -> None:
            await asyncio.to_thread(until, "a failover in the cluster", has_another)
            await asyncio.to_thread(old.start)

        async with asyncio.TaskGroup() as group:
            group.create_task(comes_back())
            group.create_task(owner.write(50))
        has_all(store.master_of("w"), owner)
    finally:
        await owner.close()
        store.close()


async def test_who_waits_for_a_master_that_is_gone_hears_of_another_one_before_the_time_out(
    store: Replicated,
) -> None:
    owner, watcher = (
        Owner(store.settings(timeout_s=10 * WITHIN_S)),
        RedisJournal(store.settings(timeout_s=10 * WITHIN_S)),
    )
    await owner.begin()
    await owner.write(3)
    assert (await watcher.standing("w")).epoch == 1
    master = store.master()
    master.pause()  # connections stay open, and nothing comes any more
    try:
        async with asyncio.timeout(WITHIN_S):
            _, standing = await asyncio.gather(owner.write(3), watcher.standing("w"))
        assert standing.epoch == 1
        assert owner.failures
        has_all(store.failed_over(master), owner)
    finally:
        master.resume()
        await owner.close()
        await watcher.close()
