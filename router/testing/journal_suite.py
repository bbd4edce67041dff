# ruff: noqa: D102  the tests' names are sentences
"""The conformance suite of the journal: every rule of the contract, for any backend.

Inherit from `JournalSuite` in a test module and give it a fixture `journal`, an empty store::

    class TestMyStore(JournalSuite):
        @pytest.fixture
        async def journal(self):
            store = MyStore(...)
            yield store
            await store.close()
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from router.errors import Fenced
from router.journal import (
    AppendResult,
    ArchiveWrite,
    Commit,
    Journal,
    Ownership,
    RowWrite,
)
from router.journal.shared import NodeEntry, SharedJournal, Standing

OK, DUP, GAP, FENCED = AppendResult.OK, AppendResult.DUP, AppendResult.GAP, AppendResult.FENCED
_AWKWARD_IDS = (
    "a:b",
    "a/b/c",
    "Zoë ☎ 客户",
    "a'b\"c",
    "a%2Fb",
    "{a}",
    "a\\b",
    "a\U0010ffff",
    " ",
    "a*?[",
)


def commit(first_seq: int, count: int = 1, **rows: Sequence[object]) -> Commit:
    """A commit of `count` events whose bytes and moment follow from their numbers."""
    events = [b"event %d" % seq for seq in range(first_seq, first_seq + count)]
    return Commit(first_seq, first_seq * 1000, events, **rows)  # type: ignore[arg-type]


async def live_rows(journal: Journal, own: Ownership) -> dict[tuple[str, str], bytes]:
    """All live rows; a row that is loaded twice is an error."""
    rows: dict[tuple[str, str], bytes] = {}
    async for chunk in journal.load(own):
        assert chunk, "an empty chunk was loaded"
        for row in chunk:
            assert (row.kind, row.id) not in rows, f"{row.kind} {row.id!r} was loaded twice"
            rows[row.kind, row.id] = row.data
    return rows


async def all_events(journal: Journal, own: Ownership, from_seq: int = 1) -> list[bytes]:
    """All events from `from_seq` on, a few frames at a time; the numbers must be contiguous."""
    events: list[bytes] = []
    seq = from_seq
    while frames := await journal.frames(own, seq, limit=3):
        for frame in frames:
            skip = max(0, seq - frame.first_seq)
            assert frame.first_seq + skip == seq, f"expected {seq}, got frame {frame.first_seq}"
            events += frame.events[skip:]
            seq += len(frame.events) - skip
    return events


class JournalSuite:
    """The rules. Tests take the fixture `journal`: an empty store."""

    async def test_a_new_workspace_is_empty(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        assert (own.workspace, own.epoch, own.seq, own.committed_at_us) == ("w", 1, 0, 0)
        assert own.nonce
        assert await live_rows(journal, own) == {}
        assert await journal.frames(own, 1) == []
        assert await journal.oldest_seq(own) == 1
        assert await journal.fetch(own, "message", ["x"]) == {}
        assert await journal.list_archive(own, "message") == []
        assert await journal.trim(own, 1) == 0
        assert await journal.expire(own, "message", 1) == 0

    async def test_a_commit_is_there_for_the_next_owner(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        rows = [RowWrite("contact", "c1", b"one"), RowWrite("agent", "c1", b"other kind")]
        assert await journal.append(own, commit(1, 3, upserts=rows)) is OK
        again = await journal.acquire("w")
        assert (again.epoch, again.seq, again.committed_at_us) == (2, 3, 1000)
        assert again.nonce != own.nonce
        assert await live_rows(journal, again) == {
            ("contact", "c1"): b"one",
            ("agent", "c1"): b"other kind",
        }
        assert await all_events(journal, again) == [b"event 1", b"event 2", b"event 3"]

    async def test_a_second_acquire_fences_the_first(self, journal: Journal) -> None:
        first = await journal.acquire("w")
        assert await journal.append(first, commit(1)) is OK
        second = await journal.acquire("w")
        assert await journal.append(first, commit(2)) is FENCED
        assert await journal.append(first, commit(1)) is FENCED
        assert await journal.append(second, commit(2)) is OK
        assert await all_events(journal, second) == [b"event 1", b"event 2"]

    async def test_a_deposed_owner_may_not_load_trim_or_expire(self, journal: Journal) -> None:
        first = await journal.acquire("w")
        archive = [ArchiveWrite("message", "m", 1, b"x")]
        upserts = [RowWrite("contact", "c1", b"x")]
        await journal.append(first, commit(1, archive=archive, upserts=upserts))
        second = await journal.acquire("w")
        assert await _raised(live_rows(journal, first), Fenced)
        assert await _raised(journal.trim(first, 2), Fenced)
        assert await _raised(journal.expire(first, "message", 100), Fenced)
        await journal.release(first)
        assert await journal.append(second, commit(2)) is OK
        assert await journal.fetch(second, "message", ["m"]) == {"m": b"x"}
        assert await journal.oldest_seq(second) == 1

    async def test_the_same_epoch_with_another_nonce_is_fenced(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        forged = Ownership("w", own.epoch, "0" * len(own.nonce), own.seq)
        assert await journal.append(forged, commit(1)) is FENCED
        assert await journal.append(own, commit(1)) is OK

    async def test_a_released_workspace_takes_no_more_commits(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        await journal.append(own, commit(1))
        await journal.release(own)
        assert await journal.append(own, commit(2)) is FENCED
        again = await journal.acquire("w")
        assert (again.epoch, again.seq) == (2, 1)
        assert await journal.append(again, commit(2)) is OK

    async def test_the_same_commit_again_is_a_dup_and_changes_nothing(
        self, journal: Journal
    ) -> None:
        own = await journal.acquire("w")
        first = commit(1, 2, upserts=[RowWrite("contact", "c1", b"old")])
        second = commit(3, 1, upserts=[RowWrite("contact", "c1", b"new")])
        assert await journal.append(own, first) is OK
        assert await journal.append(own, first) is DUP
        assert await journal.append(own, second) is OK
        assert await journal.append(own, second) is DUP
        assert await journal.append(own, first) is DUP
        assert await live_rows(journal, own) == {("contact", "c1"): b"new"}
        assert await journal.append(own, commit(4)) is OK
        assert len(await all_events(journal, own)) == 4

    async def test_another_commit_under_the_same_number_is_fenced(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        assert await journal.append(own, commit(1, 2)) is OK
        assert await journal.append(own, Commit(1, 1000, [b"event 1", b"EVENT 2"])) is FENCED
        assert await journal.append(own, Commit(1, 1001, [b"event 1", b"event 2"])) is FENCED
        assert await journal.append(own, commit(1, 3)) is FENCED
        assert await journal.append(own, commit(2, 1)) is FENCED
        assert await all_events(journal, own) == [b"event 1", b"event 2"]
        assert await journal.append(own, commit(3)) is OK

    async def test_a_commit_beyond_the_next_number_is_a_gap(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        assert await journal.append(own, commit(2)) is GAP
        assert await journal.append(own, commit(1)) is OK
        assert await journal.append(own, commit(3)) is GAP
        assert await journal.append(own, commit(2)) is OK

    async def test_what_cannot_be_a_commit_is_a_value_error(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        for wrong in (
            Commit(1, 0, []),
            Commit(0, 0, [b"x"]),
            Commit(1, 0, [b"x"], [RowWrite("", "c1", b"")]),
            Commit(1, 0, [b"x"], [RowWrite("Not A Word", "c1", b"")]),
            Commit(1, 0, [b"x"], archive=[ArchiveWrite("a:b", "c1", 0, b"")]),
        ):
            assert await _raised(journal.append(own, wrong), ValueError), f"{wrong} was taken"
        assert await journal.append(own, commit(1)) is OK

    async def test_rows_are_replaced_and_deleted(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        rows = [RowWrite("contact", f"c{n}", b"old") for n in range(5)]
        await journal.append(own, commit(1, upserts=rows))
        change = commit(
            2,
            upserts=[RowWrite("contact", "c1", b"new"), RowWrite("contact", "c9", b"brief")],
            deletes=[("contact", "c2"), ("contact", "never was"), ("contact", "c9")],
        )
        assert await journal.append(own, change) is OK
        assert await live_rows(journal, own) == {
            ("contact", "c0"): b"old",
            ("contact", "c1"): b"new",
            ("contact", "c3"): b"old",
            ("contact", "c4"): b"old",
        }

    async def test_the_last_of_two_writes_of_one_row_counts(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        twice = [RowWrite("contact", "c1", b"first"), RowWrite("contact", "c1", b"second")]
        archive = [ArchiveWrite("message", "m", 1, b"first"), ArchiveWrite("message", "m", 2, b"2")]
        await journal.append(own, commit(1, upserts=twice, archive=archive))
        assert await live_rows(journal, own) == {("contact", "c1"): b"second"}
        assert await journal.fetch(own, "message", ["m"]) == {"m": b"2"}

    async def test_awkward_ids_and_empty_data_come_back_as_they_were(
        self, journal: Journal
    ) -> None:
        own = await journal.acquire("w")
        rows = [RowWrite("contact", id_, id_.encode()) for id_ in _AWKWARD_IDS]
        archive = [ArchiveWrite("message", id_, 5, b"") for id_ in _AWKWARD_IDS]
        await journal.append(own, commit(1, upserts=rows, archive=archive))
        assert await live_rows(journal, own) == {("contact", i): i.encode() for i in _AWKWARD_IDS}
        assert await journal.fetch(own, "message", _AWKWARD_IDS) == dict.fromkeys(_AWKWARD_IDS, b"")
        listed = [id_ for id_, _ in await journal.list_archive(own, "message")]
        assert listed == sorted(_AWKWARD_IDS)
        gone = [("contact", id_) for id_ in _AWKWARD_IDS]
        lost = [("message", id_) for id_ in _AWKWARD_IDS]
        await journal.append(own, commit(2, deletes=gone, archive_deletes=lost))
        assert await live_rows(journal, own) == {}
        assert await journal.list_archive(own, "message") == []

    async def test_awkward_workspaces_stay_apart(self, journal: Journal) -> None:
        names = ["w", "W", "a/b", "a%2Fb", "..", "a:b", "{a}", "Zoë", "keys"]
        owners = [await journal.acquire(name) for name in names]
        for number, own in enumerate(owners):
            row = RowWrite("contact", "c1", str(number).encode())
            assert await journal.append(own, commit(1, number + 1, upserts=[row])) is OK
        for number, own in enumerate(owners):
            assert await live_rows(journal, own) == {("contact", "c1"): str(number).encode()}
            assert len(await all_events(journal, own)) == number + 1

    async def test_a_workspace_without_a_name_is_refused(self, journal: Journal) -> None:
        for name in ("", "x" * 300):
            assert await _raised(journal.acquire(name), ValueError), f"{name!r} was acquired"

    async def test_a_big_commit_is_one_commit(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        rows = [RowWrite("contact", f"c{n:05}", b"%d" % n * 50) for n in range(10_000)]
        archive = [ArchiveWrite("message", f"m{n:05}", n, b"%d" % n) for n in range(9_999)]
        assert await journal.append(own, commit(1, 512, upserts=rows, archive=archive)) is OK
        loaded = await live_rows(journal, own)
        assert len(loaded) == 10_000
        assert loaded["contact", "c09999"] == b"9999" * 50
        assert len(await journal.list_archive(own, "message", limit=20_000)) == 9_999
        deletes = [("contact", row.id) for row in rows]
        lost = [("message", row.id) for row in archive[1:]]
        assert await journal.append(own, commit(513, deletes=deletes, archive_deletes=lost)) is OK
        assert await live_rows(journal, own) == {}
        assert await journal.list_archive(own, "message") == [("m00000", b"0")]

    async def test_frames_are_read_from_any_number(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        for first, count in ((1, 3), (4, 1), (5, 4)):
            await journal.append(own, commit(first, count))
        starts = {
            seq: [frame.first_seq for frame in await journal.frames(own, seq)]
            for seq in (0, 1, 3, 4, 5, 8, 9)
        }
        assert starts == {
            0: [1, 4, 5],
            1: [1, 4, 5],
            3: [1, 4, 5],
            4: [4, 5],
            5: [5],
            8: [5],
            9: [],
        }
        only = await journal.frames(own, 1, limit=2)
        assert [(f.first_seq, f.at_us, f.events) for f in only] == [
            (1, 1000, [b"event 1", b"event 2", b"event 3"]),
            (4, 4000, [b"event 4"]),
        ]

    async def test_trimming_drops_whole_frames_only(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        for first, count in ((1, 3), (4, 1), (5, 4)):
            await journal.append(own, commit(first, count))
        assert await journal.trim(own, 3) == 0
        assert await journal.trim(own, 4) == 1
        assert await journal.oldest_seq(own) == 4
        assert [f.first_seq for f in await journal.frames(own, 1)] == [4, 5]
        assert await journal.trim(own, 8) == 1
        assert await journal.oldest_seq(own) == 5
        assert await journal.trim(own, 1000) == 1
        assert await journal.oldest_seq(own) == 9
        assert await journal.frames(own, 1) == []
        again = await journal.acquire("w")
        assert (again.seq, again.committed_at_us) == (8, 5000)
        assert await journal.append(again, commit(1, 3)) is FENCED
        assert await journal.append(again, commit(9)) is OK
        assert [f.first_seq for f in await journal.frames(again, 1)] == [9]

    async def test_the_archive_is_listed_by_prefix_page_by_page(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        ids = [f"c{n}/m{m}" for n in (1, 10, 2) for m in range(5)]
        archive = [ArchiveWrite("message", id_, 1, id_.encode()) for id_ in ids]
        archive.append(ArchiveWrite("decision", "c1/d1", 1, b"other kind"))
        await journal.append(own, commit(1, archive=archive))
        pages: list[str] = []
        while page := await journal.list_archive(
            own, "message", "c1/", after=pages[-1] if pages else "", limit=2
        ):
            assert len(page) <= 2
            assert all(data == id_.encode() for id_, data in page)
            pages += [id_ for id_, _ in page]
        assert pages == [f"c1/m{m}" for m in range(5)]
        everything = [id_ for id_, _ in await journal.list_archive(own, "message")]
        assert everything == sorted(ids)
        after = await journal.list_archive(own, "message", "c10/", after="c1/m3")
        assert [id_ for id_, _ in after] == [f"c10/m{m}" for m in range(5)]
        assert await journal.list_archive(own, "message", "c1/", after="c2") == []
        assert await journal.list_archive(own, "message", "zzz") == []

    async def test_the_archive_is_fetched_by_id(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        archive = [ArchiveWrite("message", f"m{n}", n, b"%d" % n) for n in range(4)]
        await journal.append(own, commit(1, archive=archive))
        found = await journal.fetch(own, "message", ["m3", "nothing", "m1"])
        assert found == {"m3": b"3", "m1": b"1"}
        assert await journal.fetch(own, "decision", ["m1"]) == {}
        assert await journal.fetch(own, "message", []) == {}
        renewed = [ArchiveWrite("message", "m1", 9, b"new")]
        await journal.append(own, commit(2, archive=renewed, archive_deletes=[("message", "m3")]))
        assert await journal.fetch(own, "message", ["m1", "m3"]) == {"m1": b"new"}

    async def test_the_archive_expires_by_age_and_kind(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        moments = [1_700_000_000_000_000 + n for n in range(6)]
        archive = [ArchiveWrite("message", f"m{n}", at, b"x") for n, at in enumerate(moments)]
        archive.append(ArchiveWrite("decision", "d", 1, b"x"))
        await journal.append(own, commit(1, archive=archive))
        assert await journal.expire(own, "message", moments[0]) == 0
        assert await journal.expire(own, "message", moments[4], limit=3) == 3
        assert [i for i, _ in await journal.list_archive(own, "message")] == ["m3", "m4", "m5"]
        assert await journal.expire(own, "message", moments[4], limit=3) == 1
        assert [i for i, _ in await journal.list_archive(own, "message")] == ["m4", "m5"]
        renewed = [ArchiveWrite("message", "m4", moments[5] + 9, b"x")]
        await journal.append(own, commit(2, archive=renewed))
        assert await journal.expire(own, "message", moments[5] + 1) == 1
        assert [i for i, _ in await journal.list_archive(own, "message")] == ["m4"]
        assert await journal.fetch(own, "decision", ["d"]) == {"d": b"x"}

    async def test_check_finds_nothing_wrong_with_a_sound_store(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        rows = [RowWrite("contact", f"c{n}", b"x") for n in range(10)]
        archive = [ArchiveWrite("message", "m", 1, b"x")]
        await journal.append(own, commit(1, 3, upserts=rows, archive=archive))
        await journal.append(own, commit(4))
        findings = await journal.check("w")
        assert findings
        assert [finding for finding in findings if finding.level == "error"] == []
        missing = await journal.check("no such workspace")
        assert any(f.level == "error" and "no such workspace" in f.text for f in missing)

    async def test_stats_count_what_was_committed(self, journal: Journal) -> None:
        own = await journal.acquire("w")
        await journal.append(own, commit(1, 3))
        await journal.append(own, commit(4, 2))
        await journal.append(own, commit(4, 2))
        stats = journal.stats()
        assert (stats.commits, stats.records) == (2, 5)

    async def test_closing_twice_is_harmless(self, journal: Journal) -> None:
        await journal.acquire("w")
        await journal.close()
        await journal.close()


class SharedJournalSuite(JournalSuite):
    """The rules of a store that several nodes share. Tests take `journal` as above, and `another`:
    a journal of another node at the same store."""

    async def test_nobody_owns_a_new_workspace(self, journal: SharedJournal) -> None:
        assert await journal.standing("w") == Standing(0, "", 0, "")
        assert (await journal.standing("w")).is_free

    async def test_what_was_seen_free_can_be_claimed_once(
        self, journal: SharedJournal, another: SharedJournal
    ) -> None:
        seen = await another.standing("w")
        own = await journal.claim("w", await journal.standing("w"), "n1")
        assert own is not None
        assert (own.workspace, own.epoch, own.seq) == ("w", 1, 0)
        assert await another.standing("w") == Standing(1, own.nonce, 0, "n1")
        assert await another.claim("w", seen, "n2") is None
        assert await journal.append(own, commit(1)) is OK

    async def test_whoever_renews_is_not_taken_over(
        self, journal: SharedJournal, another: SharedJournal
    ) -> None:
        own = await journal.acquire("w")
        seen = await another.standing("w")
        assert await journal.renew(own)
        assert await another.standing("w") != seen
        assert await another.claim("w", seen, "n2") is None
        assert await journal.append(own, commit(1)) is OK

    async def test_another_node_may_look_at_the_rows_and_changes_nothing_by_it(
        self, journal: SharedJournal, another: SharedJournal
    ) -> None:
        own = await journal.acquire("w")
        for seq in range(1, 4):
            assert await journal.append(own, commit(seq)) is OK
        seen = [row async for chunk in another.peek("w") for row in chunk]
        assert {(row.kind, row.id): row.data for row in seen} == await live_rows(journal, own)
        assert [row async for chunk in another.peek("nobody") for row in chunk] == []
        assert await journal.append(own, commit(4)) is OK

    async def test_whoever_stopped_renewing_is_fenced(
        self, journal: SharedJournal, another: SharedJournal
    ) -> None:
        own = await journal.acquire("w")
        assert await journal.append(own, commit(1, 3)) is OK
        assert await journal.renew(own)
        seen = await another.standing("w")
        assert await journal.append(own, commit(4)) is OK, "commits alone do not renew"
        taken = await another.claim("w", seen, "n2")
        assert taken is not None
        assert (taken.epoch, taken.seq, taken.committed_at_us) == (own.epoch + 1, 4, 4000)
        assert not await journal.renew(own)
        assert await journal.append(own, commit(5)) is FENCED
        assert await another.append(taken, commit(5)) is OK
        await journal.hand_over(own, "n1")
        standing = await another.standing("w")
        assert (standing.nonce, standing.node, standing.heir) == (taken.nonce, "n2", "")
        assert len(await all_events(another, taken)) == 5

    async def test_of_two_that_claim_at_once_one_owns(
        self, journal: SharedJournal, another: SharedJournal
    ) -> None:
        for number in range(1, 20):
            seen = await journal.standing("w")
            claims = await asyncio.gather(
                journal.claim("w", seen, "n1"), another.claim("w", seen, "n2")
            )
            (won,) = [pair for pair in zip(claims, (journal, another), strict=True) if pair[0]]
            own, its = won
            assert own is not None
            assert own.epoch == number
            assert await its.append(own, commit(number)) is OK

    async def test_a_workspace_is_handed_over_to_its_heir(
        self, journal: SharedJournal, another: SharedJournal
    ) -> None:
        own = await journal.claim("w", await journal.standing("w"), "n1")
        assert own is not None
        await journal.append(own, commit(1))
        await journal.hand_over(own, "n2")
        seen = await another.standing("w")
        assert (seen.is_free, seen.node, seen.heir) == (True, "n1", "n2")
        assert await journal.append(own, commit(2)) is FENCED
        taken = await another.claim("w", seen, "n2")
        assert taken is not None
        assert (await journal.standing("w")).heir == ""
        assert await another.append(taken, commit(2)) is OK

    async def test_nodes_announce_themselves_and_are_forgotten(
        self, journal: SharedJournal, another: SharedJournal
    ) -> None:
        one = NodeEntry("n1", "boot a", "http://127.0.0.1:8001", 1)
        two = NodeEntry("n2 ü", "boot b", "http://[::1]:8002", 7)
        assert await journal.nodes() == []
        await another.announce(two)
        await journal.announce(one)
        assert await journal.nodes() == await another.nodes() == [one, two]
        await journal.announce(one._replace(beat=2))
        again = two._replace(boot="boot c", beat=0)
        await another.announce(again)
        await another.forget(two)
        assert await journal.nodes() == [one._replace(beat=2), again]
        await another.forget(again)
        await another.forget(again)
        assert await journal.nodes() == [one._replace(beat=2)]


async def _raised(doing: Awaitable[object], error: type[Exception]) -> bool:
    try:
        await doing
    except error:
        return True
    return False
