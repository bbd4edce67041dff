"""The journal behind Sentinels and in a Redis Cluster: the contract, replicas, moving slots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from router.errors import JournalFailed
from router.journal import AppendResult, ArchiveWrite, RowWrite
from router.journal.keys import BlockKeys
from router.journal.redis_blocks import RedisBlocks
from router.journal.redis_line import Endpoint
from router.journal.redis_servers import RedisSettings
from router.journal.redis_store import RedisJournal
from router.journal.shared import SharedJournal
from router.runtime.store_metrics import StoreMetrics
from router.testing.journal_suite import SharedJournalSuite, all_events, commit, live_rows
from tests.journal.redis_processes import Clustered, Node, Replicated, until

pytestmark = pytest.mark.peer
OK, DUP = AppendResult.OK, AppendResult.DUP


@pytest.fixture(scope="module")
def replicated(
    tmp_path_factory: pytest.TempPathFactory, redis_server: object
) -> Iterator[Replicated]:
    store = Replicated(tmp_path_factory.mktemp("sentinels"), down_after_ms=20_000)
    yield store
    store.close()


@pytest.fixture(scope="module")
def clustered(
    tmp_path_factory: pytest.TempPathFactory, redis_server: object
) -> Iterator[Clustered]:
    store = Clustered(tmp_path_factory.mktemp("cluster"), node_timeout_ms=20_000)
    yield store
    store.close()


class TestSentinels(SharedJournalSuite):
    @pytest.fixture
    async def journal(self, replicated: Replicated) -> AsyncIterator[SharedJournal]:
        replicated.empty()
        store = RedisJournal(replicated.settings())
        yield store
        await store.close()

    @pytest.fixture
    async def another(self, replicated: Replicated) -> AsyncIterator[SharedJournal]:
        store = RedisJournal(replicated.settings())
        yield store
        await store.close()


class TestCluster(SharedJournalSuite):
    @pytest.fixture
    async def journal(self, clustered: Clustered) -> AsyncIterator[SharedJournal]:
        clustered.empty()
        store = RedisJournal(clustered.settings())
        yield store
        await store.close()

    @pytest.fixture
    async def another(self, clustered: Clustered) -> AsyncIterator[SharedJournal]:
        store = RedisJournal(clustered.settings())
        yield store
        await store.close()


@pytest.fixture
async def paused(replicated: Replicated) -> AsyncIterator[list[Node]]:
    """Both replicas, paused; to be resumed by the test, or after it."""
    replicated.empty()
    replicas = [node for node in replicated.nodes if node is not replicated.master()]
    for node in replicas:
        node.pause()
    yield replicas
    for node in replicas:
        node.resume()


async def test_a_commit_that_no_replica_has_does_not_count(
    replicated: Replicated, paused: list[Node]
) -> None:
    for node in paused:
        node.resume()
    journal = RedisJournal(replicated.settings())
    own = await journal.acquire("w")
    assert await journal.append(own, commit(1)) is OK
    for node in paused:
        node.pause()
    with pytest.raises(JournalFailed, match="0 of 1 replicas have it in time"):
        await journal.append(own, commit(2))
    with pytest.raises(JournalFailed, match="0 of 1 replicas have it in time"):
        await journal.append(own, commit(2))
    with pytest.raises(JournalFailed, match="0 of 1 replicas have it in time"):
        await journal.renew(own)
    # On a connection that has written nothing yet, the commit is there already: that it is a
    # duplicate must not make it look replicated.
    other = RedisJournal(replicated.settings())
    other._owned, other._spaces = journal._owned, journal._spaces
    with pytest.raises(JournalFailed, match="0 of 1 replicas have it in time"):
        await other.append(own, commit(2))
    paused[0].resume()
    assert await journal.append(own, commit(2)) is DUP
    assert await journal.renew(own)
    assert await journal.append(own, commit(3)) is OK
    assert journal.stats().extra["short_waits"] == 3
    metrics = CollectorRegistry()
    StoreMetrics(journal, metrics)
    assert metrics.get_sample_value("router_journal_short_waits_total") == 3
    assert metrics.get_sample_value("router_journal_gaps_total") == 0
    assert metrics.get_sample_value("router_journal_degraded") == 0
    await journal.close()
    await other.close()


async def test_a_claim_that_no_replica_has_is_finished_by_the_next_try(
    replicated: Replicated, paused: list[Node]
) -> None:
    journal = RedisJournal(replicated.settings())
    seen = await journal.standing("w")
    with pytest.raises(JournalFailed, match="0 of 1 replicas"):
        await journal.claim("w", seen, "n1")
    assert await journal.claim("w", seen, "n1") is None
    seen = await journal.standing("w")
    assert (seen.epoch, seen.node) == (1, "n1")
    paused[0].resume()
    own = await journal.claim("w", seen, "n1")
    assert own is not None
    assert (own.epoch, own.nonce) == (1, seen.nonce), "it is the same acquisition"
    assert await journal.append(own, commit(1)) is OK
    await journal.close()


async def test_when_told_to_it_goes_on_without_replicas_until_they_are_back(
    replicated: Replicated, paused: list[Node], caplog: pytest.LogCaptureFixture
) -> None:
    journal = RedisJournal(replicated.settings(degrade_after_s=0.5))
    with pytest.raises(JournalFailed):
        await journal.acquire("w")
    own = await journal.claim("w", await journal.standing("w"), "")
    assert own is not None
    for seq in range(1, 20):
        assert await journal.append(own, commit(seq)) is OK
    assert journal.stats().extra["degraded"] == 1
    assert "COMMITS ARE TAKEN WITHOUT ENOUGH REPLICAS" in caplog.text
    for node in paused:
        node.resume()
    seq = 20
    while journal.stats().extra["degraded"]:
        assert await journal.append(own, commit(seq)) in (OK, DUP)
        seq += 1
    assert "enough replicas again" in caplog.text
    await journal.close()


async def test_commits_of_one_turn_share_one_wait(replicated: Replicated) -> None:
    replicated.empty()
    journal = RedisJournal(replicated.settings())
    owners = [await journal.acquire(f"w{number}") for number in range(40)]
    master = replicated.master()
    master.client.config_resetstat()
    for seq in range(1, 6):
        results = await asyncio.gather(*(journal.append(own, commit(seq)) for own in owners))
        assert results == [OK] * 40
    stats = master.facts("commandstats")
    assert stats["cmdstat_fcall"]["calls"] == 200  # type: ignore[index]
    assert stats["cmdstat_wait"]["calls"] == 5  # type: ignore[index]
    await journal.close()


async def test_a_workspace_that_commits_alone_waits_for_nobody_to_join_in(
    replicated: Replicated,
) -> None:
    replicated.empty()
    journal = RedisJournal(replicated.settings())
    master = replicated.master()

    async def waits(*doing: Coroutine[Any, Any, object]) -> object:
        master.client.config_resetstat()
        await asyncio.gather(*doing)
        return master.facts("commandstats")["cmdstat_wait"]["calls"]  # type: ignore[index]

    own = await journal.acquire("w")
    assert await waits(journal.append(own, commit(1)), journal.renew(own)) == 2
    other = await journal.acquire("other")
    assert await waits(journal.append(own, commit(2)), journal.renew(own)) == 1
    await journal.release(other)
    assert await waits(journal.append(own, commit(3)), journal.renew(own)) == 2
    await journal.close()


async def test_whoever_gives_up_takes_nobody_along(replicated: Replicated) -> None:
    replicated.empty()
    journal = RedisJournal(replicated.settings())
    owners = [await journal.acquire(f"w{number}") for number in range(20)]
    given_up = 0
    for seq in range(1, 15):

        async def write(number: int, seq: int = seq) -> None:
            nonlocal given_up
            mine = commit(seq)
            is_written = False
            while not is_written:
                try:
                    is_written = await journal.append(owners[number], mine) in (OK, DUP)
                    assert is_written
                except JournalFailed:  # whoever spoke for several has gone
                    given_up += 1

        async with asyncio.TaskGroup() as group:
            writing = [group.create_task(write(number)) for number in range(20)]
            asking = [group.create_task(journal.renew(own)) for own in owners[:5]]
            for _ in range(seq % 4):
                await asyncio.sleep(0)
            for task in asking:
                task.cancel()
            del writing
    for own in owners:
        assert await all_events(journal, own) == [b"event %d" % n for n in range(1, 15)]
    await journal.close()


async def test_keys_of_personal_data_are_on_replicas_too(
    replicated: Replicated, paused: list[Node]
) -> None:
    blocks = RedisBlocks(replicated.settings(timeout_s=2.0))
    with pytest.raises(JournalFailed, match=r"keys: Redis at .*: 0 of 1 replicas"):
        await BlockKeys.open(blocks)
    paused[0].resume()
    keys = await BlockKeys.open(blocks)
    key_id, key = keys.new_key()
    lost_id, _ = keys.new_key()
    await keys.erase([lost_id])

    def is_rewritten() -> bool:
        nodes = (replicated.nodes[0], paused[0])  # asking the one that is paused takes long
        return all(node.facts("persistence")["aof_rewrites"] for node in nodes)

    await asyncio.to_thread(until, "the log is rewritten, the replica's too", is_rewritten)
    await keys.close()
    until("the replica has it", lambda: bool(paused[0].client.exists("{router-keys}:erased")))
    again = await BlockKeys.open(RedisBlocks(replicated.settings()))
    assert again.key(key_id) == key
    assert again.key(lost_id) is None
    await again.close()


async def test_a_slot_that_moves_is_followed(clustered: Clustered) -> None:
    clustered.empty()
    journal = RedisJournal(clustered.settings())
    own = await journal.acquire("w")
    rows, archive = [RowWrite("contact", "c1", b"x")], [ArchiveWrite("message", "m", 1, b"x")]
    assert await journal.append(own, commit(1, upserts=rows, archive=archive)) is OK
    old = clustered.master_of("w")
    new = next(node for node in clustered.masters() if node is not old)
    slot = int(old.client.cluster("keyslot", "{w}:own"))
    ids = {node: node.client.execute_command("CLUSTER MYID").decode() for node in (old, new)}
    new.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[old])
    old.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[new])
    assert await journal.append(own, commit(2)) is OK, "all keys are still there"
    another_kind = commit(3, archive=[ArchiveWrite("decision", "d", 1, b"x")])
    with pytest.raises(JournalFailed, match="during rehashing of slot"):
        await journal.append(own, another_kind)  # a key that does not exist yet: neither has it
    keys = old.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100)
    old.client.execute_command("MIGRATE", "127.0.0.1", new.port, "", 0, 5000, "KEYS", *keys)
    assert await journal.append(own, commit(3)) is OK, "the old server says ASK"
    assert len(await live_rows(journal, own)) == 1
    for node in (new, old, *clustered.masters()):
        node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[new])
    assert await journal.append(own, commit(4)) is OK, "the old server says MOVED"
    assert len(await all_events(journal, own)) == 4
    assert len(new.events("w")) == 4
    await journal.close()


async def test_a_cluster_is_backed_up_whole(clustered: Clustered, tmp_path: object) -> None:
    clustered.empty()
    journal = RedisJournal(clustered.settings())
    names = [f"w{number}" for number in range(12)]
    for name in names:
        own = await journal.acquire(name)
        row = RowWrite("contact", "c1", name.encode())
        await journal.append(own, commit(1, upserts=[row]))
    other = RedisJournal(clustered.settings())
    copies = await other.backup(tmp_path / "copy")  # type: ignore[operator]
    assert len(copies) == 12
    clustered.empty()
    for copy in copies:
        await other.restore(copy)
    for name in names:
        own = await other.acquire(name)
        assert await live_rows(other, own) == {("contact", "c1"): name.encode()}
    await journal.close()
    await other.close()


async def test_sentinels_that_know_nothing_are_a_failure_with_words() -> None:
    settings = RedisSettings(sentinels=(Endpoint("127.0.0.1", 1),), master="m")
    for wrong, words in (
        (settings, "no Sentinel of 1 knows 'm'"),
        (RedisSettings(cluster=(Endpoint("127.0.0.1", 1),)), "none of 1 nodes says that it works"),
    ):
        journal = RedisJournal(wrong)
        with pytest.raises(JournalFailed, match=words):
            await journal.acquire("w")
        assert [finding.level for finding in await journal.check("w")] == ["error"]
        await journal.close()


def test_nothing_in_the_store_ends_by_the_clock(clustered: Clustered) -> None:
    """A clock that jumps ahead can end nothing: no key of a workspace has a time to live."""
    for node in clustered.masters():
        assert all(node.client.pttl(key) == -1 for key in node.client.keys("*"))
