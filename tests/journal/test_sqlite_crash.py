# ruff: noqa: ASYNC220, ASYNC221  nothing else runs in these loops
"""What is left in the files after a kill, a torn log, a flipped bit and a full disk."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from router.errors import JournalDamaged, StoreFull
from router.journal import AppendResult, Commit, Ownership, RowWrite
from router.journal.sqlite import SqliteJournal
from router.testing.journal_suite import all_events, commit, live_rows
from tests.journal.writer import commit_at, content

ROOT = Path(__file__).parents[2]


async def verify_prefix(journal: SqliteJournal, own: Ownership) -> None:
    """Log, rows and archive are exactly as after some whole number of commits."""
    events = await all_events(journal, own)
    assert len(events) == own.seq
    rows: dict[tuple[str, str], bytes] = {}
    archive: dict[str, bytes] = {}
    seq = 1
    while seq <= own.seq:
        wanted = commit_at(seq)
        rows.update({(kind, id_): data for kind, id_, data in wanted.upserts})
        for gone in wanted.deletes:
            rows.pop(gone, None)
        archive.update({row.id: row.data for row in wanted.archive})
        seq = wanted.last_seq + 1
    assert seq == own.seq + 1, "the sequence ends inside a commit"
    assert events == [content(n) for n in range(1, seq)]
    assert await live_rows(journal, own) == rows
    assert dict(await journal.list_archive(own, "message", limit=10**9)) == archive


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["disk", "process"])
async def test_a_killed_writer_loses_nothing_it_acknowledged(
    tmp_path: Path, durability: str
) -> None:
    rng = random.Random(7)
    acknowledged = 0
    for _ in range(15):
        command = [sys.executable, "-m", "tests.journal.writer", str(tmp_path), durability]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(rng.randrange(1, 300)):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:  # what was still in the pipe was acknowledged as well
                if line.endswith(b"\n"):
                    acknowledged = int(line)
        journal = SqliteJournal(tmp_path)
        own = await journal.acquire("w")
        assert own.seq >= acknowledged
        await verify_prefix(journal, own)
        await journal.close()
    assert acknowledged > 1000


@pytest.mark.slow
async def test_a_torn_log_leaves_a_consistent_prefix(tmp_path: Path) -> None:
    source = tmp_path / "source"
    journal = SqliteJournal(source, durability="process")
    own = await journal.acquire("w")
    seq = 1
    for _ in range(120):
        wanted = commit_at(seq)
        assert await journal.append(own, wanted) is AppendResult.OK
        seq = wanted.last_seq + 1
    frozen = tmp_path / "frozen"
    shutil.copytree(source, frozen)  # as if the power failed: the log is not checkpointed
    await journal.close()
    size = (frozen / "ws-w.db-wal").stat().st_size
    assert size > 100_000
    rng = random.Random(11)
    ends = set()
    for cut in sorted(rng.randrange(size) for _ in range(100)):
        torn = tmp_path / "torn"
        shutil.copytree(frozen, torn)
        os.truncate(torn / "ws-w.db-wal", cut)
        (torn / "ws-w.db-shm").unlink()
        again = SqliteJournal(torn, durability="process")
        survivor = await again.acquire("w")
        await verify_prefix(again, survivor)
        ends.add(survivor.seq)
        next_ = commit(survivor.seq + 1)
        assert await again.append(survivor, next_) is AppendResult.OK
        await again.close()
        shutil.rmtree(torn)
    assert len(ends) > 30


async def filled(directory: Path) -> dict[str, object]:
    """Two workspaces, checkpointed into their files; what can be read of the first one."""
    journal = SqliteJournal(directory, durability="process")
    for name in ("w", "other"):
        own = await journal.acquire(name)
        seq = 1
        while seq < 300:
            wanted = commit_at(seq)
            await journal.append(own, wanted)
            seq = wanted.last_seq + 1
    own = await journal.acquire("w")
    contents = await everything(journal, own)
    await journal.close()
    return contents


async def everything(journal: SqliteJournal, own: Ownership) -> dict[str, object]:
    return {
        "seq": own.seq,
        "events": await all_events(journal, own),
        "rows": await live_rows(journal, own),
        "archive": dict(await journal.list_archive(own, "message", limit=10**9)),
    }


@pytest.mark.slow
async def test_a_flipped_bit_is_seen_or_changes_nothing(tmp_path: Path) -> None:
    contents = await filled(tmp_path / "data")
    path = tmp_path / "data" / "ws-w.db"
    sound = path.read_bytes()
    rng = random.Random(3)
    seen = 0
    for bit in sorted(rng.randrange(8 * len(sound)) for _ in range(300)):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        for leftover in (tmp_path / "data").glob("ws-w.db*"):
            leftover.unlink()
        path.write_bytes(damaged)
        journal = SqliteJournal(tmp_path / "data", durability="process")
        words = ""
        try:
            own = await journal.acquire("w")
            assert await everything(journal, own) == contents, f"bit {bit} changed what is read"
        except JournalDamaged as error:
            words = str(error)
        if words:
            seen += 1
            assert "workspace 'w'" in words
            findings = await journal.check("w")
            assert any(finding.level == "error" for finding in findings), f"bit {bit}: {words}"
        other = await journal.acquire("other")
        assert await journal.append(other, commit(other.seq + 1)) is AppendResult.OK
        await journal.close()
    assert seen > 150


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        (
            "UPDATE live SET data = CAST(x'00' || data AS BLOB) WHERE id='c7'",
            "live row contact 'c7'",
        ),
        ("UPDATE live SET id='c99' WHERE id='c7'", "live row contact 'c99'"),
        ("UPDATE log SET frame = zeroblob(length(frame)) WHERE first_seq=1", "frame 1 of the log"),
        (
            "DELETE FROM log WHERE first_seq=(SELECT min(first_seq) FROM log WHERE first_seq>1)",
            "frame",
        ),
        (
            "UPDATE archive SET at_us=at_us+1 WHERE id='m000000009'",
            "archive row message 'm000000009'",
        ),
        ("UPDATE own SET seq=seq+1", "table own"),
        ("DELETE FROM own", "table own is empty"),
        ("DELETE FROM log WHERE first_seq=(SELECT max(first_seq) FROM log)", "the log ends at"),
        ("PRAGMA user_version=7", "expected format 1, got 7"),
        ("PRAGMA user_version=0", "format number"),
    ],
)
async def test_damage_is_named(tmp_path: Path, statement: str, place: str) -> None:
    await filled(tmp_path)
    with sqlite3.connect(tmp_path / "ws-w.db") as db:
        db.execute(statement)
    db.close()
    journal = SqliteJournal(tmp_path)
    with pytest.raises(JournalDamaged) as damage:
        await everything(journal, await journal.acquire("w"))
    assert "workspace 'w'" in str(damage.value)
    assert place in str(damage.value)
    assert any(finding.level == "error" for finding in await journal.check("w"))
    assert (await journal.acquire("other")).epoch == 2
    await journal.close()


async def test_a_file_of_another_workspace_is_refused(tmp_path: Path) -> None:
    await filled(tmp_path)
    shutil.copy(tmp_path / "ws-other.db", tmp_path / "ws-w.db")
    journal = SqliteJournal(tmp_path)
    with pytest.raises(JournalDamaged, match="this is the file of workspace 'other'"):
        await journal.acquire("w")
    await journal.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ws-w.db").write_bytes(b"nothing that SQLite knows" * 400)
    journal = SqliteJournal(tmp_path)
    with pytest.raises(JournalDamaged, match=r"workspace 'w'.*not a database"):
        await journal.acquire("w")
    own = await journal.acquire("other")
    assert await journal.append(own, commit(1)) is AppendResult.OK
    await journal.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.decode().strip()}")
    return place


async def test_a_full_disk_takes_no_commit_and_recovers_without_a_restart(
    small_disk: Path,
) -> None:
    journal = SqliteJournal(small_disk / "data")
    try:
        own = await journal.acquire("w")
        seq, rows = 1, {}
        words = ""
        while not words:
            row = RowWrite("contact", f"c{seq}", b"%d" % seq * 2000)
            failed = Commit(seq, seq, [b"x" * 2000], [row])
            try:
                await journal.append(own, failed)
                rows["contact", row.id] = row.data
                seq += 1
            except StoreFull as error:
                words = str(error)
            assert seq < 5000, "three megabytes took more than there is room for"
        assert "workspace 'w'" in words
        assert words.endswith("the disk is full")
        for _ in range(3):
            with pytest.raises(StoreFull):
                await journal.append(own, failed)
        assert await live_rows(journal, own) == rows
        subprocess.run(["mount", "-o", "remount,size=12m", str(small_disk)], check=True)
        assert await journal.append(own, failed) is AppendResult.OK
        assert await journal.append(own, Commit(seq + 1, seq, [b"y"])) is AppendResult.OK
        again = await journal.acquire("w")
        assert again.seq == seq + 1
        assert await live_rows(journal, again) == {**rows, ("contact", row.id): row.data}
        assert len(await all_events(journal, again)) == seq + 1
    finally:
        await journal.close()
        subprocess.run(["umount", str(small_disk)], check=True)
