"""The audit of the store's settings: every fault is set on real servers, and found.

The servers run the shipped redis.conf, users.acl and sentinel.conf, about which there is nothing
to say.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from loadtest.server import ROOT, Server, free_port
from router.journal import AppendResult
from router.journal.redis_audit import Audited, audit_store, failed_checks, refusals
from router.journal.redis_audit_server import READS, WRITES
from router.journal.redis_line import Access, Endpoint
from router.journal.redis_servers import RedisSettings
from router.journal.redis_store import RedisJournal
from router.testing.journal_suite import commit
from tests.deploy.store import DataNode, Store, missing, password, until

PROGRAMS = ("redis-server", "redis-sentinel", "redis-cli")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(missing(PROGRAMS)), reason=missing(PROGRAMS)),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One master, two replicas, three Sentinels. What a test changes it changes back."""
    made = Store(tmp_path_factory.mktemp("store"))
    try:
        made.start()
        yield made
    finally:
        made.close()


def found(findings: list[Audited]) -> dict[str, str]:
    """check -> text of what is wrong."""
    return {finding.check: finding.text for finding in findings if finding.level != "ok"}


@contextmanager
def changed(node: DataNode, **settings: str) -> Iterator[None]:
    names = {name.replace("_", "-"): value for name, value in settings.items()}
    before = {name: node.admin.config_get(name)[name] for name in names}
    for name, value in names.items():
        node.admin.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            node.admin.config_set(name, value)


async def test_about_the_shipped_files_there_is_only_to_say_what_our_user_may_not_see(
    store: Store,
) -> None:
    findings = await audit_store(store.settings())
    assert set(found(findings)) == {"unseen"}
    assert "CONFIG GET" in found(findings)["unseen"]
    assert "appendfsync" in found(findings)["unseen"]
    assert refusals(findings, is_strict=False) == []
    assert len(refusals(findings, is_strict=True)) == 3  # of a master and two replicas
    for node in store.nodes:
        node.allow("+config|get")
    try:
        findings = await audit_store(store.settings())
        assert found(findings) == {}
        assert {finding.check for finding in findings} == {"version", "replicas", "rights"}
        assert refusals(findings, is_strict=True) == []
    finally:
        for node in store.nodes:
            node.allow("-config|get")


async def test_the_shipped_user_can_do_all_that_a_journal_does_and_nothing_else(
    store: Store,
) -> None:
    journal = RedisJournal(store.settings())
    own = await journal.acquire("audited")
    assert await journal.append(own, commit(1)) is AppendResult.OK
    await journal.close()

    ours = redis.Redis(
        port=store.nodes[0].port, username="contact-router",
        password=password("contact-router"), protocol=2,
    )  # fmt: skip
    denied = (
        "CONFIG GET requirepass", "CONFIG SET appendonly no", "KEYS *", "FLUSHALL", "FLUSHDB",
        "ACL LIST", "SHUTDOWN", "REPLICAOF NO ONE", "SCRIPT FLUSH",
        "FUNCTION FLUSH", "FUNCTION DELETE router_journal_2", "GET plain", "SWAPDB 0 1", "MONITOR",
        "EVAL return 0", "CLIENT KILL ID 1", "FAILOVER", "SAVE",
    )  # fmt: skip
    for words in denied:
        with pytest.raises(redis.exceptions.NoPermissionError):
            ours.execute_command(*words.split())
    ours.close()


def test_the_audit_asks_for_every_command_that_our_functions_use() -> None:
    code = (ROOT / "router/journal/functions.lua").read_text()
    used = set(re.findall(r"redis\.p?call\('([A-Z]+)'", code))
    assert used
    assert used <= {*READS, *WRITES}


SEEN_BY_ALL = [
    ({"maxmemory_policy": "allkeys-lru"}, 0, "eviction", "error", "maxmemory-policy noeviction"),
    ({"maxmemory_policy": "volatile-ttl"}, 1, "eviction", "error", "contacts may vanish"),
    ({"appendonly": "no"}, 0, "appendonly", "error", "empties its replicas"),
    ({"appendonly": "no"}, 2, "appendonly", "error", "Set: appendonly yes"),
    ({"replica_priority": "10"}, 1, "priority", "warning", "the lowest becomes master"),
    ({"replica_priority": "0"}, 2, "priority", "warning", "replica-priority 100"),
    ({"repl_backlog_size": "1mb"}, 0, "backlog", "warning", "repl-backlog-size 64mb"),
]
SEEN_WITH_CONFIG = [
    ({"appendfsync": "no"}, 0, "appendfsync", "warning", "half minute"),
    ({"appendfsync": "no"}, 1, "appendfsync", "warning", "Set: appendfsync everysec"),
    ({"min_replicas_to_write": "0"}, 0, "min_replicas", "warning", "min-replicas-to-write 1"),
    ({"min_replicas_max_lag": "10"}, 0, "min_replicas", "warning", "cut off"),
    ({"repl_diskless_sync_delay": "5"}, 0, "sync_delay", "warning", "repl-diskless-sync-delay 0"),
    ({"client_output_buffer_limit": "replica 1mb 1mb 60"}, 0, "output_buffer", "warning", "256mb"),
    ({"aof_load_truncated": "no"}, 0, "aof_load_truncated", "warning", "torn"),
]


@pytest.mark.parametrize(("fault", "node", "check", "level", "words"), SEEN_BY_ALL)
async def test_a_wrong_setting_is_found(
    store: Store, fault: dict[str, str], node: int, check: str, level: str, words: str
) -> None:
    with changed(store.nodes[node], **fault):
        findings = await audit_store(store.settings())
    (finding,) = [one for one in findings if one.check == check]
    assert (finding.level, words in finding.text) == (level, True), finding.text
    assert bool(refusals([finding], is_strict=False)) == (level == "error")
    assert refusals([finding], is_strict=True)
    assert failed_checks(findings)[check] == 1


@pytest.mark.parametrize(("fault", "node", "check", "level", "words"), SEEN_WITH_CONFIG)
async def test_a_wrong_setting_is_found_by_who_may_look(
    store: Store, fault: dict[str, str], node: int, check: str, level: str, words: str
) -> None:
    with changed(store.nodes[node], **fault):
        findings = await audit_store(store.settings(user="admin"))
    (finding,) = [one for one in findings if one.check == check]
    assert (finding.level, words in finding.text) == (level, True), finding.text


async def test_an_almighty_user_is_found(store: Store) -> None:
    said = found(await audit_store(store.settings(user="admin")))
    assert set(said) == {"rights"}
    assert "may do everything" in said["rights"]


async def test_a_user_who_may_not_do_what_is_needed_is_refused(store: Store) -> None:
    replica = store.nodes[2]  # users are no part of what is replicated
    replica.allow("-xadd", "-function|load", "-wait")
    try:
        said = found(await audit_store(store.settings()))
    finally:
        replica.allow("+xadd", "+function|load", "+wait")
    assert "FUNCTION LOAD, WAIT, XADD" in said["commands"]
    assert "+function|load +wait +xadd" in said["commands"]
    assert str(replica.at) in said["commands"]


@pytest.mark.parametrize(
    ("option", "value", "check", "words"),
    [
        ("down-after-milliseconds", "60000", "down_after", "2000"),
        ("down-after-milliseconds", "200", "down_after", "a pause for a death"),
        ("failover-timeout", "180000", "failover_timeout", "10000"),
        ("quorum", "1", "quorum", "minority"),
        ("quorum", "4", "quorum", "no failover can ever begin"),
    ],
)
async def test_a_sentinel_that_is_set_wrongly_is_found(
    store: Store, option: str, value: str, check: str, words: str
) -> None:
    sentinel = store.sentinels[1]
    before = str(sentinel.knows()[option])
    sentinel.admin.sentinel_set("contacts", option, value)
    try:
        findings = await audit_store(store.settings())
    finally:
        sentinel.admin.sentinel_set("contacts", option, before)
    (finding,) = [one for one in findings if one.check == check]
    assert words in finding.text
    assert str(sentinel.at) in finding.text


async def test_sentinels_that_are_too_few_silent_or_strange_are_found(store: Store) -> None:
    settings = store.settings()
    two = RedisSettings(
        sentinels=settings.sentinels[:2], master="contacts", access=settings.access, replicas=1
    )
    assert "fewer than three" in found(await audit_store(two))["sentinels"]
    deaf = RedisSettings(
        sentinels=(*settings.sentinels[:2], Endpoint("127.0.0.1", 1)), master="contacts",
        access=settings.access, replicas=1,
    )  # fmt: skip
    assert "Sentinel 127.0.0.1:1" in found(await audit_store(deaf))["unreachable"]
    strange = RedisSettings(
        sentinels=settings.sentinels, master="others", access=settings.access, replicas=1
    )
    assert refusals(await audit_store(strange), is_strict=False)
    # A Sentinel that is away keeps no server from starting.
    assert refusals(await audit_store(deaf), is_strict=False) == []


async def test_a_missing_replica_is_found(tmp_path: Path) -> None:
    small = Store(tmp_path, replicas=1, sentinels=0)
    try:
        small.start()
        said = found(await audit_store(small.settings()))
        assert "1 replicas are connected" in said["replicas"]
        assert "when one is lost, nothing is acknowledged" in said["replicas"]
        small.nodes[1].kill()
        until(lambda: small.online() == 0, "the replica is gone")
        said = found(await audit_store(small.settings()))
        assert "commits wait for 1, so nothing is acknowledged" in said["replicas"]
    finally:
        small.close()


async def test_a_replica_is_no_place_to_write(store: Store) -> None:
    url = f"redis://127.0.0.1:{store.nodes[1].port}/0"
    access = Access(user="contact-router", password=password("contact-router"))
    findings = await audit_store(RedisSettings(url=url, access=access, replicas=1))
    assert "is a replica" in found(findings)["role"]
    assert refusals(findings, is_strict=False)


async def test_nobody_there_and_a_wrong_password_are_errors_with_words(store: Store) -> None:
    findings = await audit_store(RedisSettings(url="redis://127.0.0.1:1/0"))
    assert [finding.level for finding in findings] == ["error"]
    wrong = RedisSettings(
        url=f"redis://127.0.0.1:{store.nodes[0].port}/0",
        access=Access(user="contact-router", password="guessed"),
    )
    assert refusals(await audit_store(wrong), is_strict=False)
    assert "guessed" not in str(await audit_store(wrong))


def test_a_restarted_redis_has_its_transactions_under_the_shipped_users(tmp_path: Path) -> None:
    # Redis 7.0 replays its file as the default user: without rights it drops every transaction.
    node = DataNode(tmp_path / "redis", "--min-replicas-to-write", "0", "--appendfsync", "always")
    try:
        node.start()
        with node.admin.pipeline(transaction=True) as both:
            both.set("one", 1)
            both.set("two", 2)
            both.execute()
        node.kill()
        node.start()
        assert until(lambda: node.admin.mget("one", "two"), "it has loaded") == [b"1", b"2"]
        with pytest.raises(redis.exceptions.RedisError), redis.Redis(port=node.port) as anybody:
            anybody.ping()
    finally:
        node.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[DataNode]]:
    """Three masters with a replica each, as the lines of redis.conf for a cluster make it."""
    options = {"cluster-enabled": "yes", "cluster-node-timeout": "3000"}
    options["cluster-require-full-coverage"] = "no"
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    buses = [str(free_port()) for _ in range(6)]
    nodes = [
        DataNode(tmp_path / f"redis-{n}", *words, "--cluster-port", bus)
        for n, bus in enumerate(buses)
    ]
    try:
        for node in nodes:
            node.start()
        subprocess.run(
            ["redis-cli", "--user", "admin", "--pass", password("admin"), "--no-auth-warning",
             "--cluster", "create", *(str(node.at) for node in nodes),
             "--cluster-replicas", "1", "--cluster-yes"],
            check=True, stdout=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        until(lambda: all(is_whole(node) for node in nodes), "the cluster is whole")
        yield nodes
    finally:
        for node in nodes:
            node.close()


def is_whole(node: DataNode) -> bool:
    rows = node.admin.execute_command("CLUSTER NODES").values()
    followed = {row["master_id"] for row in rows} - {"-"}
    ok = node.admin.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
    links = [row["connected"] for row in rows]
    facts = node.facts("replication")
    is_followed = facts["role"] == "slave" or facts["connected_slaves"] == 1
    return ok and len(links) == 6 and all(links) and is_followed and len(followed) == 3


async def test_a_cluster_is_looked_at_node_by_node(cluster: list[DataNode]) -> None:
    settings = RedisSettings(
        cluster=(cluster[0].at, cluster[4].at),
        access=Access(user="admin", password=password("admin")), replicas=1,
    )  # fmt: skip
    said = found(await audit_store(settings))
    # One replica per shard: when it is lost, nothing is acknowledged.
    assert set(said) == {"rights", "replicas"}
    by_role = {str(node.facts("replication")["role"]): node for node in cluster}
    master, replica = by_role["master"], by_role["slave"]
    with changed(master, cluster_require_full_coverage="yes", cluster_node_timeout="15000"):
        said = found(await audit_store(settings))
        assert "one shard stops all" in said["full_coverage"]
        assert "cluster-node-timeout 5000" in said["node_timeout"]
        assert str(master.at) in said["full_coverage"]
    with changed(replica, maxmemory_policy="allkeys-lru"):
        assert str(replica.at) in found(await audit_store(settings))["eviction"]
    replica.kill()
    until(lambda: gone(cluster, replica), "all know that the replica is gone")
    assert "has no replica" in found(await audit_store(settings))["cluster_replica"]


def gone(nodes: list[DataNode], lost: DataNode) -> bool:
    others = [node for node in nodes if node is not lost]
    return all(
        "fail" in node.admin.execute_command("CLUSTER NODES")[str(lost.at)]["flags"].split(",")
        for node in others
    )


SERVED = """
server:
  port: PORT
  journal:
    store: redis
    sentinels: [SENTINELS]
    master: contacts
    user: contact-router
    password_file: store.password
    audit: AUDIT
queues: {care: {}}
entry_points: {texts: {channel: sms, address: "+49302", queue: care}}
"""


def served(store: Store, directory: Path, audit: str) -> Server:
    sentinels = ", ".join(str(sentinel.at) for sentinel in store.sentinels)
    secret = directory / "store.password"
    secret.write_text(password("contact-router"))
    secret.chmod(0o600)
    return Server(directory, SERVED.replace("SENTINELS", sentinels).replace("AUDIT", audit))


async def test_a_server_starts_with_warnings_and_counts_them(store: Store, tmp_path: Path) -> None:
    server = served(store, tmp_path, "default")
    try:
        await server.make_admin()
        await server.start()
        samples = await server.metrics()
        assert samples['router_store_audit_failed{check="unseen"}'] == 3
        assert "CONFIG GET" in server.log.read_text()
        assert await server.stop() == 0
        doctor = await server.command("doctor")
        assert doctor.count("warning  not seen") == 3
        assert "3 replicas" not in doctor
        assert "2 replicas are connected" in doctor
        with (
            changed(store.nodes[1], appendonly="no"),
            pytest.raises(RuntimeError, match=r"error +the append-only file is off"),
        ):
            await server.command("doctor")
    finally:
        await server.close()


async def test_a_server_refuses_what_may_lose_contacts_and_strictly_whatever_is_found(
    store: Store, tmp_path: Path
) -> None:
    server = served(store, tmp_path, "default")
    try:
        with changed(store.nodes[2], appendonly="no"):
            await server.spawn()
            assert server.process is not None
            assert await server.process.wait() == 2
        assert "append-only file is off" in server.log_end()
        strict = served(store, tmp_path, "strict")
        await strict.spawn()
        assert strict.process is not None
        assert await strict.process.wait() == 2
        assert "not seen" in strict.log_end()
    finally:
        await server.close()


async def test_a_server_whose_store_is_away_says_so_and_may_be_started_again(
    tmp_path: Path,
) -> None:
    config = "server: {port: PORT, journal: {store: redis, url: 'redis://127.0.0.1:1/0'}}\n"
    server = Server(tmp_path, config + "queues: {care: {}}\n")
    try:
        await server.spawn()
        assert server.process is not None
        assert await server.process.wait() not in (0, 2)  # 2: start it again in vain
        assert "Redis did not answer" in server.log_end()
    finally:
        await server.close()
