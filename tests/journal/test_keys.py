"""Keys and sealing: a key is used once, and an erased one is gone from everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from router.errors import JournalBusy, JournalDamaged, JournalError, JournalFailed, Overloaded
from router.journal.keys import BLOCK_KEYS, LEAST_UNUSED, BlockKeys, Blocks, MemoryBlocks
from router.journal.keys_file import SqliteBlocks
from router.journal.pieces import Pieces
from router.journal.redis_blocks import RedisBlocks
from router.journal.seal import Sealer
from tests.journal.conftest import RedisServer

SECRET = b"secret of this installation, 32 bytes or more"


class KeysSuite:
    """What every place for blocks must do. `reopen` gives the same place after a restart."""

    def reopen(self) -> Blocks:
        raise NotImplementedError

    @pytest.fixture
    async def keys(self) -> AsyncIterator[BlockKeys]:
        store = await BlockKeys.open(self.reopen())
        yield store
        await store.close()

    async def test_a_key_is_found_by_its_id(self, keys: BlockKeys) -> None:
        made = dict(keys.new_key() for _ in range(100))
        assert len(made) == len(set(made.values())) == 100
        assert all(len(key) == 32 for key in made.values())
        assert all(keys.key(key_id) == key for key_id, key in made.items())

    async def test_a_restart_finds_old_keys_and_hands_out_only_new_ones(
        self, keys: BlockKeys
    ) -> None:
        made = dict(keys.new_key() for _ in range(10))
        await keys.close()
        again = await BlockKeys.open(self.reopen())
        assert {key_id: again.key(key_id) for key_id in made} == made
        renewed = dict(again.new_key() for _ in range(BLOCK_KEYS))
        assert not made.keys() & renewed.keys()
        await again.close()

    async def test_an_erased_key_is_gone_and_listed(self, keys: BlockKeys) -> None:
        made = [keys.new_key() for _ in range(5)]
        await keys.erase([made[1][0], made[3][0], "nonsense", "1-zz", "ffff-1"])
        found = [keys.key(key_id) for key_id, _ in made]
        assert found == [made[0][1], None, made[2][1], None, made[4][1]]
        erased = await keys.erased()
        assert {made[1][0], made[3][0]} <= set(erased)
        await keys.close()
        again = await BlockKeys.open(self.reopen())
        assert again.key(made[1][0]) is None
        assert again.key(made[2][0]) == made[2][1]
        assert set(await again.erased()) == set(erased)
        await again.close()

    async def test_what_is_no_key_is_none(self, keys: BlockKeys) -> None:
        for key_id in ("", "-", "1", "1-", "0-0", "-1-0", "1-400", "1-0 ", "01-0", "9999-0", "ü-0"):
            assert keys.key(key_id) is None, key_id

    async def test_refill_keeps_up_with_what_is_used(self, keys: BlockKeys) -> None:
        assert keys.unused == LEAST_UNUSED >= 4 * BLOCK_KEYS
        used = {keys.new_key()[0] for _ in range(LEAST_UNUSED)}
        with pytest.raises(Overloaded, match="no unused key"):
            keys.new_key()
        await keys.refill()
        assert keys.unused == 2 * LEAST_UNUSED
        used |= {keys.new_key()[0] for _ in range(2 * LEAST_UNUSED)}
        assert len(used) == 3 * LEAST_UNUSED

    async def test_a_used_block_is_replaced_at_the_next_refill(self, keys: BlockKeys) -> None:
        for _ in range(BLOCK_KEYS + 1):
            keys.new_key()
        await keys.refill()
        assert keys.unused >= LEAST_UNUSED

    async def test_blocks_beyond_the_cache_are_read_again(self) -> None:
        keys = await BlockKeys.open(self.reopen(), cached_blocks=1)
        made = []
        for _ in range(4):
            made += [keys.new_key() for _ in range(BLOCK_KEYS)]
            await keys.refill()
        await keys.erase([made[0][0]])
        assert keys.key(made[0][0]) is None
        assert all(keys.key(key_id) == key for key_id, key in made[1 :: BLOCK_KEYS // 2])
        await keys.close()


class TestMemory(KeysSuite):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.blocks = MemoryBlocks()

    def reopen(self) -> Blocks:
        return self.blocks


class TestSqlite(KeysSuite):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "data"

    def reopen(self) -> Blocks:
        return SqliteBlocks(self.directory)

    async def test_no_file_holds_an_erased_key(self, keys: BlockKeys) -> None:
        made = [keys.new_key() for _ in range(20)]
        await keys.erase(key_id for key_id, _ in made[:10])
        files = b"".join(path.read_bytes() for path in self.directory.iterdir())
        # a key may lie across two pages: one half of it is always in one piece
        assert not any(key[:16] in files or key[16:] in files for _, key in made[:10])
        assert all(key[:16] in files or key[16:] in files for _, key in made[10:])

    async def test_a_second_process_is_refused_with_words(self, keys: BlockKeys) -> None:
        assert keys.unused
        with pytest.raises(JournalBusy, match="in use by another contact-router"):
            SqliteBlocks(self.directory)

    async def test_the_file_is_for_the_owner_only(self, keys: BlockKeys) -> None:
        assert keys.unused
        assert (self.directory / "keys.db").stat().st_mode & 0o077 == 0

    async def test_a_file_that_is_none_is_refused_and_the_lock_let_go(self) -> None:
        self.directory.mkdir()
        (self.directory / "keys.db").write_bytes(b"not a database at all" * 100)
        for _ in range(2):
            with pytest.raises(JournalDamaged, match=r"keys.*not a database"):
                SqliteBlocks(self.directory)

    async def test_a_restored_copy_forgets_what_was_erased_since(
        self, keys: BlockKeys, tmp_path: Path
    ) -> None:
        (kept_id, kept), (lost_id, lost) = keys.new_key(), keys.new_key()
        (copy,) = await keys.backup(tmp_path / "copy")
        assert lost in copy.read_bytes()
        await keys.erase([lost_id])
        erased = await keys.erased()
        await keys.close()
        restored = await BlockKeys.open(SqliteBlocks(tmp_path / "copy"))
        await restored.erase(erased)
        assert restored.key(lost_id) is None
        assert restored.key(kept_id) == kept
        await restored.close()


@pytest.mark.peer
class TestRedis(KeysSuite):
    @pytest.fixture(autouse=True)
    def _place(self, empty_redis: RedisServer) -> None:
        self.server = empty_redis

    def reopen(self) -> Blocks:
        return RedisBlocks(self.server.url)

    async def test_a_copy_is_a_file_that_can_be_opened(
        self, keys: BlockKeys, tmp_path: Path
    ) -> None:
        (kept_id, kept), (lost_id, _) = keys.new_key(), keys.new_key()
        await keys.erase([lost_id])
        await keys.backup(tmp_path / "copy")
        restored = await BlockKeys.open(SqliteBlocks(tmp_path / "copy"))
        assert restored.key(kept_id) == kept
        assert restored.key(lost_id) is None
        assert await restored.erased() == [lost_id]
        await restored.close()

    async def test_a_server_that_is_gone_is_a_failure_with_words(self) -> None:
        blocks = RedisBlocks("redis://127.0.0.1:1/0")
        with pytest.raises(JournalFailed, match="keys: Redis did not answer"):
            await BlockKeys.open(blocks)
        blocks.close()


class TestSealing:
    @pytest.fixture
    async def keys(self) -> BlockKeys:
        return await BlockKeys.open(MemoryBlocks())

    async def test_what_was_sealed_can_be_opened(self, keys: BlockKeys) -> None:
        sealer = Sealer(keys, SECRET)
        key_id, _ = keys.new_key()
        for plain in (b"", b"+15551234567", b"x" * 100_000):
            sealed = sealer.seal(key_id, plain)
            assert plain == b"" or plain not in sealed
            assert sealer.open(key_id, sealed) == plain
            assert Sealer(keys, SECRET).open(key_id, sealed) == plain

    async def test_the_same_text_is_never_sealed_alike(self, keys: BlockKeys) -> None:
        sealer = Sealer(keys, SECRET)
        key_id, _ = keys.new_key()
        assert len({sealer.seal(key_id, b"same") for _ in range(100)}) == 100

    async def test_nothing_is_opened_after_its_key_was_erased(self, keys: BlockKeys) -> None:
        sealer = Sealer(keys, SECRET)
        key_id, _ = keys.new_key()
        sealed = sealer.seal(key_id, b"secret")
        await keys.erase([key_id])
        assert sealer.open(key_id, sealed) is None
        with pytest.raises(JournalError, match="was erased or never was"):
            sealer.seal(key_id, b"more")

    async def test_a_field_cannot_be_changed_or_moved_to_another_key(self, keys: BlockKeys) -> None:
        sealer = Sealer(keys, SECRET)
        (one, _), (two, _) = keys.new_key(), keys.new_key()
        sealed = sealer.seal(one, b"secret")
        for byte in range(len(sealed)):
            damaged = bytearray(sealed)
            damaged[byte] ^= 1
            with pytest.raises(JournalDamaged, match=f"sealed by key '{one}'"):
                sealer.open(one, bytes(damaged))
        with pytest.raises(JournalDamaged):
            sealer.open(two, sealed)
        with pytest.raises(JournalDamaged):
            sealer.open(one, b"")

    async def test_few_ciphers_are_kept(self, keys: BlockKeys) -> None:
        sealer = Sealer(keys, SECRET, ciphers_max=2)
        sealed = {}
        for _ in range(10):
            key_id, _ = keys.new_key()
            sealed[key_id] = sealer.seal(key_id, key_id.encode())
        assert all(
            sealer.open(key_id, field) == key_id.encode() for key_id, field in sealed.items()
        )

    async def test_peer_keys_tell_every_triple_apart(self, keys: BlockKeys) -> None:
        sealer = Sealer(keys, SECRET)
        triples = [("sms", "1", "2"), ("sms", "12", ""), ("sms", "", "12"), ("sms1", "", "2")]
        triples += [("chat", "1", "2"), ("sms", "2", "1")]
        made = [sealer.peer_key(*triple) for triple in triples]
        assert len(set(made)) == len(triples)
        assert all(len(key) == 32 for key in made)
        assert made[0] == Sealer(keys, SECRET).peer_key("sms", "1", "2")
        assert made[0] != Sealer(keys, SECRET[::-1]).peer_key("sms", "1", "2")

    async def test_a_short_secret_is_refused(self, keys: BlockKeys) -> None:
        with pytest.raises(ValueError, match="at least 16 bytes, got 3"):
            Sealer(keys, b"abc")


def test_random_pieces_are_handed_out_once() -> None:
    pieces = Pieces(12)
    made = [pieces.take() for _ in range(5_000)]
    assert {len(piece) for piece in made} == {12}
    assert len(set(made)) == len(made)


@pytest.mark.peer
async def test_two_nodes_hand_out_no_key_twice_after_a_backup_came_back(
    empty_redis: RedisServer, tmp_path: Path
) -> None:
    first = await BlockKeys.open(RedisBlocks(empty_redis.url))
    [copy] = await first.backup(tmp_path / "copy")
    frozen = await BlockKeys.open(RedisBlocks(empty_redis.url))  # has blocks that the copy lacks
    lost_id, lost = frozen.new_key()
    await first.close()
    empty_redis.client.flushall()
    bringing = RedisBlocks(empty_redis.url)
    bringing.restore(copy.parent)
    bringing.close()
    second = await BlockKeys.open(RedisBlocks(empty_redis.url))
    theirs = [second.new_key() for _ in range(3)]
    assert lost_id in dict(theirs), "the number is another block's by now"
    await frozen.reread()  # it takes a workspace over
    assert frozen.unused >= LEAST_UNUSED
    assert frozen.key(lost_id) == dict(theirs)[lost_id] != lost
    ours = [frozen.new_key() for _ in range(3)]
    assert not {*dict(ours)} & {*dict(theirs)}
    await second.close()
    again = await BlockKeys.open(RedisBlocks(empty_redis.url))
    assert [again.key(key_id) for key_id, _ in ours] == [key for _, key in ours]
    # What was erased meanwhile is no reason to give up the rest of a block.
    kept_id, kept = frozen.new_key()
    await again.erase([ours[0][0], frozen.new_key()[0]])
    await frozen.reread()
    assert frozen.key(kept_id) == kept
    assert frozen.key(ours[0][0]) is None
    assert frozen.new_key()[0].partition("-")[0] == kept_id.partition("-")[0]
    await again.close()
    await frozen.close()


@pytest.mark.peer
async def test_an_emptied_server_gets_back_the_keys_that_nodes_know(
    empty_redis: RedisServer,
) -> None:
    before = await BlockKeys.open(RedisBlocks(empty_redis.url))
    old_id, old = before.new_key()
    await before.close()
    nodes = [await BlockKeys.open(RedisBlocks(empty_redis.url)) for _ in range(2)]
    owner, other = nodes
    await owner.fetch([old_id, "no key"])  # of a contact that it has loaded
    made = [node.new_key() for node in nodes for _ in range(3)]
    await other.fetch([made[0][0]])
    await owner.erase([made[0][0]])  # which the other has read before
    last = int(empty_redis.client.get("{router-keys}:last"))
    empty_redis.client.flushall()
    await other.refill()  # upkeep does so
    await owner.refill()
    again = await BlockKeys.open(RedisBlocks(empty_redis.url))
    assert again.key(old_id) == old
    assert [again.key(key_id) for key_id, _ in made[1:]] == [key for _, key in made[1:]]
    assert again.key(made[0][0]) is None, "erased stays erased, whoever came first"
    assert made[0][0] in await again.erased()
    new = [node.new_key()[0] for node in (*nodes, again) for _ in range(3)]
    assert len({*new, *dict(made), old_id}) == len(new) + len(made) + 1, "none is used twice"
    assert min(int(id_.partition("-")[0], 16) for id_ in new[6:]) > last
    for node in (*nodes, again):
        await node.close()


@pytest.mark.peer
async def test_a_server_that_was_emptied_while_a_block_was_made_gets_the_others_back(
    empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = RedisBlocks(empty_redis.url)
    keys = await BlockKeys.open(blocks)
    known = [keys.new_key() for _ in range(3)]
    write = blocks._write

    def emptied_before(*words: Any) -> Any:
        if words[0] == "SET":  # its number was given out by the server as it was before
            monkeypatch.undo()
            empty_redis.client.flushall()
        return write(*words)

    monkeypatch.setattr(blocks, "_write", emptied_before)
    await keys.refill()
    await keys.refill()  # upkeep does so
    again = await BlockKeys.open(RedisBlocks(empty_redis.url))
    assert [again.key(key_id) for key_id, _ in known] == [key for _, key in known]
    fresh = [node.new_key()[0] for node in (keys, again) for _ in range(3)]
    assert len({*fresh, *dict(known)}) == len(fresh) + len(known), "none is used twice"
    for node in (keys, again):
        await node.close()


@pytest.mark.peer
async def test_a_block_made_in_a_server_that_was_emptied_just_now_is_not_used(
    empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = RedisBlocks(empty_redis.url)
    keys = await BlockKeys.open(blocks)
    known = [keys.new_key() for _ in range(BLOCK_KEYS)]
    monkeypatch.setattr(blocks, "holds", lambda number: True)  # asked a moment too early
    empty_redis.client.flushall()
    await keys.refill()
    fresh = [keys.new_key()[0] for _ in range(keys.unused)]
    assert not {*fresh} & {*dict(known)}
    again = await BlockKeys.open(RedisBlocks(empty_redis.url))
    for node in (keys, again):
        assert [node.key(key_id) for key_id, _ in known] == [key for _, key in known]
        await node.close()
