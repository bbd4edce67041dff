"""A restore does not bring anybody back: what newer copies of the keys know is taken over."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from router.journal import erasures
from router.journal.keys import BLOCK_KEYS, BlockKeys
from router.journal.keys_file import KeysFile, SqliteBlocks, read_keys_file


class Installation:
    """Keys at work in a directory, and copies of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.ids: list[str] = []

    async def use(self, keys: int, *erased: int) -> None:
        """Run for a while: so many new keys, and the ones with these numbers erased."""
        store = await BlockKeys.open(SqliteBlocks(self.data))
        try:
            for _ in range(keys):
                if not store.unused:
                    await store.refill()
                self.ids.append(store.new_key()[0])
            await store.erase([self.ids[number] for number in erased])
        finally:
            await store.close()
        if not (self.data / "secret").exists():
            (self.data / "secret").write_bytes(bytes(self.directory.name, "ascii") * 4)

    def copy(self, name: str) -> Path:
        """A backup of it."""
        target = self.directory / "copies" / name / "keys"
        target.mkdir(parents=True)
        for file in ("keys.db", "secret"):
            shutil.copy(self.data / file, target / file)
        return target

    def place(self, number: int) -> tuple[int, int]:
        block, _, place = self.ids[number].partition("-")
        return int(block), int(place)


@pytest.fixture
async def oak(tmp_path: Path) -> Installation:
    found = Installation(tmp_path / "oak")
    await found.use(6, 0)
    return found


def readable(keys: Path, oak: Installation) -> list[int]:
    """Numbers of the keys that can still be read."""
    file = KeysFile(keys)
    try:
        return [number for number, id_ in enumerate(oak.ids) if file.key(id_) is not None]
    finally:
        file.close()


async def test_what_was_erased_after_the_backup_is_found_in_the_live_keys(
    oak: Installation, tmp_path: Path
) -> None:
    before = oak.copy("before")
    await oak.use(3, 2, 4, 7)  # the last one came after the backup
    found = erasures.since(before, [oak.data], [])
    assert found.places == [oak.place(2), oak.place(4)]
    assert (found.sources, found.passed_over) == ([oak.data], [])
    (tmp_path / "restored").mkdir()
    made = erasures.without(before, found.places, tmp_path / "restored")
    assert made.stat().st_mode & 0o077 == 0
    assert readable(before, oak)[:5] == [1, 2, 3, 4, 5]
    assert readable(tmp_path / "restored", oak)[:3] == [1, 3, 5]
    _, listed = read_keys_file(tmp_path / "restored")
    assert listed == [oak.place(0), oak.place(2), oak.place(4)]


async def test_every_copy_counts_and_each_adds_what_it_knows(oak: Installation) -> None:
    before = oak.copy("before")
    fork = Installation(oak.directory)
    await oak.use(0, 1)
    later = oak.copy("later")
    shutil.rmtree(oak.data)
    shutil.copytree(before, oak.data)  # it was restored once already, and went on from there
    fork.ids = list(oak.ids)
    await fork.use(0, 3)
    forked = fork.copy("forked")
    found = erasures.since(before, [], [later, forked, later, before])
    assert found.places == [oak.place(1), oak.place(3)]
    assert found.sources == [later, forked]


async def test_a_copy_that_is_the_same_says_nothing_but_live_keys_do(oak: Installation) -> None:
    before, same = oak.copy("before"), oak.copy("same")
    assert erasures.since(before, [], [same]).sources == []
    assert erasures.since(before, [oak.data], [same]).sources == [oak.data]


async def test_older_and_foreign_and_damaged_copies_are_passed_over_and_named(
    oak: Installation, tmp_path: Path
) -> None:
    older = oak.copy("older")
    await oak.use(2, 5)
    before = oak.copy("before")
    elm = Installation(tmp_path / "elm")
    await elm.use(9, 8)
    damaged = oak.copy("damaged")
    (damaged / "keys.db").write_bytes(b"not a database" * 100)
    found = erasures.since(before, [elm.data], [older, damaged, tmp_path / "nothing"])
    assert (found.places, found.sources) == ([], [])
    assert [reason.partition(": ")[2][:16] for reason in found.passed_over] == [
        "keys of another ", "keys that are ol", "cannot be read: ",
    ]  # fmt: skip


async def test_blocks_made_after_the_backup_are_not_marked_in_it(oak: Installation) -> None:
    before = oak.copy("before")
    await oak.use(5 * BLOCK_KEYS)
    await oak.use(0, 5 * BLOCK_KEYS)
    found = erasures.since(before, [oak.data], [])
    assert (found.places, found.sources) == ([], [oak.data])
