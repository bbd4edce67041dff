"""What is particular to Redis: lost answers, a server that forgets, fills up or goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from router.errors import (
    JournalBusy,
    JournalDamaged,
    JournalError,
    JournalFailed,
    StoreFull,
)
from router.journal import AppendResult, ArchiveWrite, Commit, RowWrite, redis_tail
from router.journal.frame import GENESIS, pack_frame
from router.journal.redis_keyspace import Keyspace, commit_words
from router.journal.redis_line import Access
from router.journal.redis_servers import RedisSettings
from router.journal.redis_store import RedisJournal
from router.journal.shared import Standing
from router.journal.sqlite import SqliteJournal
from router.journal.workspace_file import EPOCH_STEP_OF_COPY, own_crc
from router.testing.journal_suite import all_events, commit, live_rows
from tests.journal.conftest import RedisServer
from tests.journal.writer import commit_at, content

pytestmark = pytest.mark.peer
OK = AppendResult.OK
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
async def journal(empty_redis: RedisServer) -> AsyncIterator[RedisJournal]:
    store = RedisJournal(empty_redis.patient)
    yield store
    await store.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, to be stopped and misconfigured."""
    server = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.close()


def memory_of(server: RedisServer) -> dict[bytes, bytes]:
    """All that the server holds at this moment."""
    return {key: server.client.dump(key) for key in server.client.keys("*")}


def go_back(server: RedisServer, memory: dict[bytes, bytes]) -> None:
    """Let the server be as it was: a failover or a restart that lost what came later."""
    server.client.flushdb()
    for key, value in memory.items():
        server.client.restore(key, 0, value)


class DeafLine:
    """A relay before the server that can keep the answers to itself."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.is_deaf = False
        self.joined: list[asyncio.Task[None]] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> DeafLine:
        self.server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*self.joined, return_exceptions=True)
        await self.server.wait_closed()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        self.joined.append(me)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers += (writer, to_server)

        async def pump(
            source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool
        ) -> None:
            while data := await source.read(65536):
                if not (answers and self.is_deaf):
                    target.write(data)
            target.close()
            await target.wait_closed()

        await asyncio.gather(
            pump(reader, to_server, answers=False), pump(from_server, writer, answers=True)
        )


async def test_a_commit_whose_answer_was_lost_is_there_once(empty_redis: RedisServer) -> None:
    async with DeafLine(empty_redis.port) as line:
        journal = RedisJournal(RedisSettings(line.url, access=Access(timeout_s=1.5)))
        own = await journal.acquire("w")
        assert await journal.append(own, commit(1)) is OK
        line.is_deaf = True
        with pytest.raises(JournalFailed, match="Redis did not answer"):
            await journal.append(own, commit(2))
        line.is_deaf = False
        assert await journal.append(own, commit(2)) is AppendResult.DUP
        assert await journal.append(own, commit(3)) is OK
        assert await all_events(journal, own) == [b"event 1", b"event 2", b"event 3"]
        assert empty_redis.client.xlen("{w}:log") == 3
        await journal.close()


async def test_giving_up_on_a_call_does_not_mix_up_the_answers(
    journal: RedisJournal, empty_redis: RedisServer
) -> None:
    own = await journal.acquire("w")
    archive = [ArchiveWrite("message", f"m{n}", n, b"%d" % n) for n in range(50)]
    await journal.append(own, commit(1, archive=archive))
    for number in range(50):
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(journal.fetch(own, "message", ["m1"]))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            asking.cancel()
        wanted = f"m{number}"
        assert await journal.fetch(own, "message", [wanted]) == {wanted: b"%d" % number}


async def test_a_server_that_lost_the_functions_gets_them_again(
    journal: RedisJournal, empty_redis: RedisServer
) -> None:
    own = await journal.acquire("w")
    empty_redis.client.execute_command("FUNCTION", "FLUSH")
    assert await journal.append(own, commit(1)) is OK


async def test_a_server_that_evicts_is_refused_with_words(own_redis: RedisServer) -> None:
    own_redis.client.config_set("maxmemory-policy", "allkeys-lru")
    journal = RedisJournal(own_redis.patient)
    with pytest.raises(JournalError, match="maxmemory-policy allkeys-lru: expected noeviction"):
        await journal.acquire("w")
    assert any("allkeys-lru" in finding.text for finding in await journal.check("w"))
    await journal.close()


async def test_doctor_warns_of_a_server_that_forgets(own_redis: RedisServer) -> None:
    journal = RedisJournal(own_redis.patient)
    await journal.acquire("w")
    assert all(finding.level == "ok" for finding in await journal.check("w"))
    own_redis.client.config_set("appendfsync", "everysec")
    assert any("power cut" in finding.text for finding in await journal.check("w"))
    own_redis.client.config_set("appendonly", "no")
    warnings = [finding.text for finding in await journal.check("w") if finding.level == "warning"]
    assert any("append-only file is off" in text for text in warnings)
    await journal.close()


async def test_a_full_server_takes_nothing_and_recovers(own_redis: RedisServer) -> None:
    journal = RedisJournal(own_redis.patient)
    own = await journal.acquire("w")
    assert await journal.append(own, commit(1)) is OK
    own_redis.client.config_set("maxmemory", 1_000_000)
    for _ in range(2):
        with pytest.raises(StoreFull, match="Redis takes no writes now"):
            await journal.append(own, commit(2))
    own_redis.client.config_set("maxmemory", 0)
    assert await journal.append(own, commit(2)) is OK
    await journal.close()


async def test_a_killed_server_comes_back_with_every_commit(own_redis: RedisServer) -> None:
    journal = RedisJournal(own_redis.patient)
    own = await journal.acquire("w")
    seq = 1
    for _ in range(50):
        assert await journal.append(own, commit_at(seq)) is OK
        seq = commit_at(seq).last_seq + 1
    own_redis.stop()
    with pytest.raises(JournalFailed):
        await journal.append(own, commit_at(seq))
    own_redis.start()
    assert await journal.append(own, commit_at(seq)) is OK
    last = commit_at(seq).last_seq
    assert await all_events(journal, own) == [content(n) for n in range(1, last + 1)]
    await journal.close()


async def test_what_the_server_forgot_is_written_again(
    journal: RedisJournal, empty_redis: RedisServer
) -> None:
    own = await journal.acquire("w")
    await journal.append(own, commit(1, upserts=[RowWrite("contact", "c1", b"first")]))
    before = memory_of(empty_redis)
    archive = [ArchiveWrite("message", "m", 5, b"x")]
    await journal.append(own, commit(2, upserts=[RowWrite("contact", "c1", b"second")]))
    await journal.append(own, commit(3, 2, archive=archive))
    go_back(empty_redis, before)
    assert await journal.append(own, commit(5)) is OK
    again = await journal.acquire("w")
    assert await all_events(journal, again) == [b"event %d" % seq for seq in range(1, 6)]
    assert await live_rows(journal, again) == {("contact", "c1"): b"second"}
    assert await journal.fetch(again, "message", ["m"]) == {"m": b"x"}
    extra = journal.stats().extra
    assert (extra["gaps"], extra["repaired_records"], extra["seeds"]) == (1, 3, 0)


async def test_an_idle_owner_notices_a_loss_when_it_renews_and_when_it_leaves(
    journal: RedisJournal, empty_redis: RedisServer
) -> None:
    own = await journal.acquire("w")
    await journal.append(own, commit(1))
    before = memory_of(empty_redis)
    await journal.append(own, commit(2))
    go_back(empty_redis, before)
    assert await journal.renew(own)
    assert empty_redis.client.xlen("{w}:log") == 2
    go_back(empty_redis, before)
    await journal.hand_over(own, "n2")
    assert (await journal.standing("w")).heir == "n2"
    assert empty_redis.client.xlen("{w}:log") == 2


async def test_an_acquisition_that_the_server_forgot_is_made_again(
    journal: RedisJournal, empty_redis: RedisServer
) -> None:
    first = await journal.acquire("w")
    assert await journal.append(first, commit(1)) is OK
    before = memory_of(empty_redis)
    own = await journal.claim("w", await journal.standing("w"), "n1")
    assert own is not None
    assert await journal.append(own, commit(2)) is OK
    for change in (journal.renew(own), journal.append(own, commit(3))):
        go_back(empty_redis, before)
        assert await change
        standing = await journal.standing("w")
        assert (standing.epoch, standing.nonce, standing.node) == (own.epoch, own.nonce, "n1")
    assert await journal.append(first, commit(4)) is AppendResult.FENCED
    assert await all_events(journal, own) == [b"event 1", b"event 2", b"event 3"]


async def test_who_took_over_after_the_server_forgot_is_not_deposed(
    journal: RedisJournal, empty_redis: RedisServer
) -> None:
    other = RedisJournal(empty_redis.patient)
    await journal.append(await journal.acquire("w"), commit(1))
    before = memory_of(empty_redis)
    lost = await journal.acquire("w")
    assert await journal.append(lost, commit(2)) is OK
    go_back(empty_redis, before)
    own = await other.acquire("w")
    assert own.epoch == lost.epoch, "the epoch was handed out twice: only the nonce differs"
    assert await journal.append(lost, commit(3)) is AppendResult.FENCED
    assert not await journal.renew(lost)
    assert await other.append(own, commit(2)) is OK
    await other.close()


@pytest.mark.parametrize("empties", [True, False])
async def test_what_the_server_lost_whole_is_written_anew(
    journal: RedisJournal,
    empty_redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    empties: bool,
) -> None:
    first = await journal.acquire("w")
    rows = [RowWrite("contact", f"c{n}", b"%d" % n) for n in range(5000)]
    await journal.append(first, commit(1, upserts=rows))
    own = await journal.acquire("w")
    before = memory_of(empty_redis)
    assert len(await live_rows(journal, own)) == 5000
    monkeypatch.setattr(redis_tail, "TAIL_BYTES", 1)  # the tail holds the last commit only
    change = commit(
        2, upserts=[RowWrite("contact", "c1", b"new")], deletes=[("contact", "c2"), ("agent", "a")]
    )
    assert await journal.append(own, change) is OK
    archive = [ArchiveWrite("message", "m1", 7, b"one"), ArchiveWrite("message", "m2", 7, b"two")]
    assert await journal.append(own, commit(3, archive=archive)) is OK
    go_back(empty_redis, {} if empties else before)
    gone = commit(4, archive_deletes=[("message", "m2")])
    assert await journal.append(own, gone) is OK
    assert await journal.renew(own)
    assert empty_redis.client.keys("*:seed") == []
    assert journal.stats().extra["seeds"] == 1
    again = await journal.acquire("w")
    assert (again.epoch, again.seq) == (own.epoch + 1, 4)
    rows = [*rows[:1], RowWrite("contact", "c1", b"new"), *rows[3:]]
    assert await live_rows(journal, again) == {(kind, id_): data for kind, id_, data in rows}
    assert await journal.fetch(again, "message", ["m1", "m2"]) == {"m1": b"one"}
    assert await journal.oldest_seq(again) == 3, "what is no longer kept is lost to the log"
    assert await all_events(journal, again, 3) == [b"event 3", b"event 4"]
    assert not [f for f in await journal.check("w") if f.level == "error" and "frame" in f.text]
    assert empty_redis.client.ttl("{w}:live") == -1


async def test_an_emptied_server_is_filled_by_the_owner_not_by_whoever_came_first(
    journal: RedisJournal, empty_redis: RedisServer
) -> None:
    await journal.release(await journal.acquire("w"))
    own = await journal.acquire("w")
    await live_rows(journal, own)
    await journal.append(own, commit(1, upserts=[RowWrite("contact", "c1", b"x")]))
    empty_redis.client.flushall()
    other = RedisJournal(empty_redis.patient)
    hasty = await other.acquire("w")
    assert await other.append(hasty, commit(1)) is OK
    assert await journal.renew(own)
    assert await other.append(hasty, commit(2)) is AppendResult.FENCED
    assert await live_rows(journal, own) == {("contact", "c1"): b"x"}
    assert await all_events(journal, own) == [b"event 1"]
    await other.close()


async def test_a_server_whose_history_differs_is_fenced(
    journal: RedisJournal, empty_redis: RedisServer
) -> None:
    own = await journal.acquire("w")
    await journal.append(own, commit(1))
    crc = own_crc("w", own.epoch, own.nonce, 1, 1000, b"another frame's.")
    empty_redis.client.hset("{w}:own", mapping={"head": b"another frame's.", "crc": crc})
    assert await journal.append(own, commit(2)) is AppendResult.FENCED


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        (lambda db: db.hset("{w}:live", b"contact\0c7", b"junk"), "live row contact 'c7'"),
        (lambda db: db.hset("{w}:archive:message", "m000000009", b"j"), "row message 'm000000009'"),
        (lambda db: db.hincrby("{w}:own", "epoch", 1), "table own"),
        (lambda db: db.hdel("{w}:own", "head"), "{w}:own"),
        (lambda db: db.delete("{w}:own"), "{w}:own is gone"),
        (lambda db: db.xdel("{w}:log", "1-0"), ""),
        (lambda db: db.xadd("{w}:log", {"f": b"junk"}, id="9000-0"), "frame 9000 of the log"),
    ],
)
async def test_damage_is_named(
    journal: RedisJournal, empty_redis: RedisServer, damage: object, place: str
) -> None:
    own = await journal.acquire("w")
    seq = 1
    for _ in range(20):
        await journal.append(own, commit_at(seq))
        seq = commit_at(seq).last_seq + 1
    damage(empty_redis.client)  # type: ignore[operator]
    words = ""
    try:
        again = await journal.acquire("w")
        await live_rows(journal, again)
        await journal.list_archive(again, "message")
        await journal.frames(again, 1)
    except JournalDamaged as error:
        words = str(error)
    if place:
        assert "workspace 'w'" in words
        assert place in words
        assert any(finding.level == "error" for finding in await journal.check("w"))
    else:  # looks as if it had been trimmed, which is no damage
        assert words == ""
    other = await journal.acquire("other")
    assert await journal.append(other, commit(1)) is OK


async def test_a_copy_goes_through_a_file_into_another_server_and_into_sqlite(
    journal: RedisJournal, empty_redis: RedisServer, tmp_path: Path
) -> None:
    own = await journal.acquire("w/ü")
    seq = 1
    for _ in range(60):
        await journal.append(own, commit_at(seq))
        seq = commit_at(seq).last_seq + 1
    rows = await live_rows(journal, own)
    archive = await journal.list_archive(own, "message", limit=1000)
    events = await all_events(journal, own)
    (path,) = await journal.backup(tmp_path / "copy")
    assert empty_redis.client.keys("*:copy") == []
    with pytest.raises(JournalBusy, match="in Redis already"):
        await journal.restore(path)
    empty_redis.client.flushall()
    assert await journal.restore(path) == "w/ü"
    embedded = SqliteJournal(tmp_path / "copy")
    for store in (journal, embedded):
        again = await store.acquire("w/ü")
        assert again.epoch == own.epoch + EPOCH_STEP_OF_COPY + 1
        assert await live_rows(store, again) == rows
        assert await store.list_archive(again, "message", limit=1000) == archive
        assert await all_events(store, again) == events
        assert not [f for f in await store.check("w/ü") if f.level == "error"]
        assert await store.append(own, commit_at(seq)) is AppendResult.FENCED
        assert await store.append(again, commit_at(seq)) is OK
        assert await store.expire(again, "message", 5) == 4
    await embedded.close()


async def test_a_password_is_needed_and_used(own_redis: RedisServer) -> None:
    own_redis.client.config_set("requirepass", "tell nobody")
    without = RedisJournal(own_redis.url)
    with pytest.raises(JournalFailed, match=r"(?i)auth"):
        await without.acquire("w")
    await without.close()
    journal = RedisJournal(RedisSettings(own_redis.url, access=Access(password="tell nobody")))
    own = await journal.acquire("w")
    big = Commit(1, 1, [b"x"] * 600, [RowWrite("contact", f"c{n}", b"x") for n in range(5000)])
    assert await journal.append(own, big) is OK
    assert await journal.trim(own, 601) == 1
    assert journal.stats().bytes_stored > 0
    await journal.close()


async def test_a_server_that_is_not_there_is_a_failure_with_words() -> None:
    journal = RedisJournal("redis://127.0.0.1:1/0")
    with pytest.raises(JournalFailed, match="Redis did not answer"):
        await journal.acquire("w")
    findings = await journal.check("w")
    assert [finding.level for finding in findings] == ["error"]
    await journal.close()


async def test_what_version_1_wrote_is_taken_over_and_its_owner_is_fenced(
    journal: RedisJournal, empty_redis: RedisServer
) -> None:
    db = empty_redis.client
    db.execute_command("FUNCTION", "LOAD", "REPLACE", (GOLDEN / "functions-1.lua").read_bytes())
    space = Keyspace("w")

    def call(name: str, keys: list[str], *words: object) -> object:
        return db.execute_command("FCALL", f"router_journal_1_{name}", len(keys), *keys, *words)

    crc = own_crc("w", 1, "old nonce", 0, 0, GENESIS)
    first = (1, "old nonce", 0, 0, GENESIS, crc)
    assert call("acquire", [space.own, space.log, space.live], 0, "", *first) == 1

    def append(what: Commit, previous: bytes) -> object:
        frame = pack_frame(what, previous)
        head = frame[-16:]
        crc = own_crc("w", 1, "old nonce", what.last_seq, what.at_us, head)
        keys, words = commit_words(space, what)
        fixed = (1, "old nonce", what.first_seq, what.last_seq, what.at_us, previous, head, crc)
        return call("append", keys, *fixed, frame, *words)

    rows = [RowWrite("contact", "c1", b"of old")]
    archive = [ArchiveWrite("message", "m1", 5, b"kept")]
    assert append(commit(1, 3, upserts=rows, archive=archive), GENESIS) == [b"ok"]
    seen = await journal.standing("w")
    assert seen == Standing(1, "old nonce", 0, "")
    own = await journal.claim("w", seen, "n1")
    assert own is not None
    assert (own.epoch, own.seq, own.committed_at_us) == (2, 3, 1000)
    assert await live_rows(journal, own) == {("contact", "c1"): b"of old"}
    assert await journal.fetch(own, "message", ["m1"]) == {"m1": b"kept"}
    assert append(commit(4), pack_frame(commit(1, 3), GENESIS)[-16:]) == [b"fenced"]
    assert await journal.append(own, commit(4)) is OK
    assert await all_events(journal, own) == [b"event %d" % seq for seq in range(1, 5)]
