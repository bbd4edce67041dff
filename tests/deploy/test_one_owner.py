"""Embedded: two servers on one directory, on a copy of it, on what was moved or restored."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from loadtest.server import Server
from router.errors import JournalBusy
from router.journal import AppendResult, Ownership
from router.journal.sqlite import SqliteJournal
from router.journal.workspace_file import EPOCH_STEP_OF_COPY
from router.testing.journal_suite import commit, live_rows
from tests.deploy.running import SMALL


async def began(directory: Path) -> Ownership:
    """What whoever starts on it owns; ended as by kill -9, without a release."""
    journal = SqliteJournal(directory)
    own = await journal.acquire("w")
    await journal.append(own, commit(own.seq + 1))
    await journal.close()
    return own


async def test_a_copied_directory_begins_above_the_original(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    await began(original)
    running = SqliteJournal(original)
    own = await running.acquire("w")
    shutil.copytree(original, copy)
    other = SqliteJournal(copy)
    theirs = await other.acquire("w")
    # Adapters and desks refuse whoever has the lower one: it is the original.
    assert theirs.epoch > own.epoch + EPOCH_STEP_OF_COPY
    assert theirs.seq == own.seq
    assert await other.append(own, commit(own.seq + 1)) is AppendResult.FENCED
    assert await live_rows(other, theirs) == await live_rows(running, own)
    await running.close()
    # Once: from now on it is a directory like any other, and so is the original.
    await other.close()
    assert (await began(copy)).epoch == theirs.epoch + 1
    assert (await began(original)).epoch == own.epoch + 1


async def test_a_directory_that_was_only_renamed_goes_on(tmp_path: Path) -> None:
    own = await began(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert (await began(tmp_path / "there")).epoch == own.epoch + 1


async def test_a_copy_of_a_damaged_file_hurts_no_other_workspace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await began(tmp_path / "original")
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    (tmp_path / "copy/ws-torn.db").write_bytes(b"no database" * 100)
    with caplog.at_level(logging.WARNING):
        assert (await began(tmp_path / "copy")).epoch > EPOCH_STEP_OF_COPY
    assert "copied or moved" in caplog.text
    assert "ws-torn.db" in str([record.__dict__ for record in caplog.records])


async def test_a_second_one_on_the_same_directory_hears_who_has_it(tmp_path: Path) -> None:
    first = SqliteJournal(tmp_path)
    await first.acquire("w")
    second = SqliteJournal(tmp_path)
    with pytest.raises(JournalBusy, match=r"in use by another contact-router \(process \d+\)"):
        await second.acquire("w")
    await second.close()
    await first.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_servers_on_one_directory_on_its_copy_and_on_its_backup(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("one", "two", "three", "shared")]
    for place in places:
        place.mkdir()
    one, two, three = (Server(place, SMALL) for place in places[:3])
    try:
        await one.make_admin()
        await one.start()
        text = {"channel": "sms", "peer": {"address": "+4930123", "to": "+49302"}}
        made = await one.good("POST", "/v1/contacts", {**text, "message": {"text": "hi"}})
        # On the same directory: refused, with exit code 3.
        shared = Server(places[3], SMALL)
        shared.data = one.data
        await shared.spawn()
        assert shared.process is not None
        assert await shared.process.wait() == 3
        assert "in use by another contact-router" in shared.log_end()
        # After a crash, on a copy beside it: both serve, and the copy is above.
        await one.kill()
        shutil.copytree(one.data, two.data)
        await one.command("backup", str(tmp_path / "backup"))
        for server in (one, two):
            server.admin = one.admin
            await server.start()
            found = await server.good("GET", f"/v1/contacts/{made['contact']}")
            assert found["id"] == made["contact"]
        original, copy = await epoch(one), await epoch(two)
        # The backup owned the original once more in between.
        assert copy > original + EPOCH_STEP_OF_COPY - 10
        # Restored from a backup: above the original, too.
        three.admin = one.admin
        await three.command("restore", str(tmp_path / "backup"))
        await three.start()
        assert await epoch(three) > original + EPOCH_STEP_OF_COPY - 10
    finally:
        for server in (one, two, three):
            await server.close()


async def epoch(server: Server) -> int:
    return int((await server.good("GET", "/v1/health"))["workspaces"]["main"]["epoch"])
