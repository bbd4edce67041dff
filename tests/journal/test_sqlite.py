"""What is particular to SQLite: the lock, the writer thread, checkpoints, copies."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from router.errors import JournalBusy, JournalError, JournalFailed
from router.journal import AppendResult, ArchiveWrite, Commit, RowWrite
from router.journal.audit import _sqlite_version
from router.journal.memory import MemoryJournal
from router.journal.sqlite import SqliteJournal
from router.journal.workspace_file import EPOCH_STEP_OF_COPY
from router.testing.journal_suite import all_events, commit, live_rows
from tests.journal.test_sqlite_crash import verify_prefix
from tests.journal.writer import commit_at

OK = AppendResult.OK


async def test_a_directory_in_use_is_refused_with_words(tmp_path: Path) -> None:
    first, second = SqliteJournal(tmp_path), SqliteJournal(tmp_path)
    await first.acquire("w")
    with pytest.raises(JournalBusy, match=r"in use by another contact-router \(process \d+\)"):
        await second.acquire("w")
    with pytest.raises(JournalBusy):
        await second.acquire("another workspace of it")
    await first.close()
    assert (await second.acquire("w")).epoch == 2
    await second.close()


def test_the_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, pathlib, sys\n"
        "from router.journal.sqlite import SqliteJournal\n"
        "async def main():\n"
        "    await SqliteJournal(pathlib.Path(sys.argv[1])).acquire('w')\n"
        "    os._exit(9)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parents[2], check=False
    )
    assert ended.returncode == 9

    async def acquire() -> int:
        journal = SqliteJournal(tmp_path)
        own = await journal.acquire("w")
        await journal.close()
        return own.epoch

    assert asyncio.run(acquire()) == 2


async def test_nobody_else_on_the_machine_can_read_a_journal_or_its_copy(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        journal = SqliteJournal(tmp_path / "data")
        own = await journal.acquire("w")
        assert await journal.append(own, commit(1)) is OK
        await journal.backup(tmp_path / "copy")
        modes = modes_below(tmp_path)
        assert set(modes) >= {"data/ws-w.db", "data/ws-w.db-wal", "copy/ws-w.db"}
        assert set(modes.values()) == {"0o600"}, modes
        await journal.close()
    finally:
        os.umask(before)


def modes_below(directory: Path) -> dict[str, str]:
    files = directory.glob("*/ws-*")
    return {str(f.relative_to(directory)): oct(f.stat().st_mode & 0o777) for f in files}


async def test_an_owner_who_gave_up_waiting_still_commits(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path)
    own = await journal.acquire("w")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(journal.append(own, commit(1)))
        await asyncio.sleep(0)
        waiting.cancel()
    assert waiting.cancelled()
    assert await journal.append(own, commit(1)) is AppendResult.DUP
    assert await journal.append(own, commit(2)) is OK
    await journal.close()


async def test_commits_of_several_workspaces_do_not_mix(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path, durability="process")
    owners = [await journal.acquire(f"w{n}") for n in range(5)]

    async def fill(number: int) -> None:
        seq = 1
        for _ in range(20):
            assert await journal.append(owners[number], commit_at(seq)) is OK
            seq = commit_at(seq).last_seq + 1

    await asyncio.gather(*map(fill, range(5)))
    await journal.close()
    again = SqliteJournal(tmp_path)
    for number in range(5):
        await verify_prefix(again, await again.acquire(f"w{number}"))
    await again.close()


async def test_an_input_output_error_is_a_failure_and_the_same_commit_can_be_tried_again(
    tmp_path: Path,
) -> None:
    journal = SqliteJournal(tmp_path)
    own = await journal.acquire("w")
    big = commit(2, upserts=[RowWrite("contact", "c1", b"x" * 500_000)])
    assert await journal.append(own, commit(1)) is OK
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        for _ in range(2):
            with pytest.raises(JournalFailed, match=r"workspace 'w'.*disk I/O error"):
                await journal.append(own, big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert await journal.append(own, big) is OK
    assert await journal.append(own, commit(3)) is OK
    again = await journal.acquire("w")
    assert again.seq == 3
    assert await live_rows(journal, again) == {("contact", "c1"): b"x" * 500_000}
    await journal.close()


async def test_the_write_ahead_log_stays_bounded(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path, durability="process")
    own = await journal.acquire("w")
    row = b"x" * 2000
    written, largest = 0, 0.0
    for number in range(150):
        rows = [RowWrite("contact", f"c{n}", row) for n in range(number, number + 200)]
        await journal.append(own, commit(number + 1, upserts=rows))
        written += len(rows) * len(row)
        largest = max(largest, journal.stats().extra["wal_bytes"])
    assert written > 50_000_000
    assert largest < 50_000_000
    assert journal.stats().bytes_stored > 0
    await journal.close()
    assert not (tmp_path / "ws-w.db-wal").exists()


async def test_both_durabilities_are_what_they_say(tmp_path: Path) -> None:
    levels = {}
    for durability in ("disk", "process"):
        journal = SqliteJournal(tmp_path / durability, durability=durability)  # type: ignore[arg-type]
        await journal.acquire("w")
        file = journal._files["w"]
        assert file._db is not None
        levels[durability] = file._db.execute("PRAGMA synchronous").fetchone()[0]
        await journal.close()
    assert levels == {"disk": 2, "process": 1}  # FULL, NORMAL


async def test_a_copy_made_under_load_is_a_consistent_prefix(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "data", durability="process")
    own = await journal.acquire("w")
    begun, copied = asyncio.Event(), asyncio.Event()

    async def write() -> int:
        seq = 1
        while not copied.is_set() or seq < 100:
            assert await journal.append(own, commit_at(seq)) is OK
            seq = commit_at(seq).last_seq + 1
            if seq > 20:
                begun.set()
        return seq - 1

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        await begun.wait()
        paths = await journal.backup(tmp_path / "copy")
        copied.set()
    last = writing.result()
    assert paths == [tmp_path / "copy" / "ws-w.db"]
    restored = SqliteJournal(tmp_path / "copy")
    survivor = await restored.acquire("w")
    assert 20 <= survivor.seq <= last
    await verify_prefix(restored, survivor)
    findings = await restored.check("w")
    assert not [finding for finding in findings if finding.level == "error"]
    await restored.close()
    await journal.close()


async def test_a_restored_copy_fences_the_old_owner_and_outranks_its_epochs(
    tmp_path: Path,
) -> None:
    journal = SqliteJournal(tmp_path / "data")
    old = await journal.acquire("w")
    await journal.append(old, commit(1))
    await journal.backup(tmp_path / "copy")
    for _ in range(3):
        latest = await journal.acquire("w")
    await journal.append(latest, commit(2))
    await journal.close()
    shutil.rmtree(tmp_path / "data")
    shutil.copytree(tmp_path / "copy", tmp_path / "data")
    own = await journal.acquire("w")
    assert own.epoch == old.epoch + EPOCH_STEP_OF_COPY + 1 > latest.epoch
    assert own.seq == 1
    assert await journal.append(latest, commit(2)) is AppendResult.FENCED
    assert await journal.append(old, commit(2)) is AppendResult.FENCED
    assert await journal.append(own, commit(2)) is OK
    await journal.close()


async def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path)
    own = await journal.acquire("w")
    await journal.close()
    for doing in (
        journal.append(own, commit(1)),
        journal.fetch(own, "message", ["m"]),
        journal.frames(own, 1),
        journal.trim(own, 1),
    ):
        with pytest.raises(JournalError, match="closed"):
            await doing


async def test_reading_the_archive_never_scans_it(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path)
    own = await journal.acquire("w")
    archive = [ArchiveWrite("message", "m", 1, b"")]
    rows = [RowWrite("contact", "c1", b"")]
    deletes, lost = [("contact", "c1")], [("message", "m")]
    await journal.append(
        own, Commit(1, 1, [b"x"], rows, deletes, archive=archive, archive_deletes=lost)
    )
    await journal.close()
    with sqlite3.connect(tmp_path / "ws-w.db") as db:
        from router.journal.workspace_file import _STATEMENTS

        plans = [
            row[3]
            for statement in _STATEMENTS.values()
            for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", (1,) * statement.count("?"))
        ]
    db.close()
    assert not [plan for plan in plans if plan in ("SCAN live", "SCAN archive")]


def test_doctor_knows_the_versions_with_the_log_reset_bug() -> None:
    levels = {
        version: _sqlite_version(version).level
        for version in ((3, 40, 1), (3, 44, 6), (3, 50, 7), (3, 51, 2), (3, 51, 3), (3, 54, 0))
    }
    assert [version for version, level in levels.items() if level == "warning"] == [
        (3, 40, 1),
        (3, 51, 2),
    ]


async def test_the_store_in_memory_fails_on_demand() -> None:
    journal = MemoryJournal()
    own = await journal.acquire("w")
    journal.fail(JournalFailed("lost before"))
    journal.fail(JournalFailed("lost answer"), stored=True)
    with pytest.raises(JournalFailed, match="lost before"):
        await journal.append(own, commit(1))
    with pytest.raises(JournalFailed, match="lost answer"):
        await journal.append(own, commit(1))
    assert await journal.append(own, commit(1)) is AppendResult.DUP
    assert await all_events(journal, own) == [b"event 1"]
    with pytest.raises(NotImplementedError):
        await journal.backup(Path("anywhere"))
