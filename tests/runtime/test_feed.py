"""The event stream: everything once in order, from the journal, then live."""

from __future__ import annotations

import asyncio

import pytest

from router.core import events as e
from router.errors import JournalFailed
from router.journal import AppendResult, Commit, Ownership, StoredFrame
from router.journal.memory import MemoryJournal
from router.runtime import feed
from router.runtime.feed import Subscription
from router.runtime.loop import Workspace
from tests.runtime.world import World, submit


async def take(stream: Subscription, count: int) -> list[int]:
    seen: list[int] = []
    while len(seen) < count:
        seen += [seq for seq, _ in await stream.batch()]
    return seen


async def contacts(workspace: Workspace, first: int, count: int) -> None:
    for number in range(first, first + count):
        await workspace.ask(submit(f"c{number}"))


async def test_a_reader_gets_the_stored_events_and_then_the_live_ones(world: World) -> None:
    workspace = await world.workspace()
    await contacts(workspace, 0, 5)
    stream = workspace.feed.subscribe(3)
    stored = await take(stream, workspace.seq - 2)
    await contacts(workspace, 5, 5)
    live = await take(stream, workspace.seq - stored[-1])
    assert stored + live == list(range(3, workspace.seq + 1))


async def test_events_that_come_while_the_past_is_read_are_not_missed(world: World) -> None:
    workspace = await world.workspace()
    await contacts(workspace, 0, 200)
    stream = workspace.feed.subscribe(1)
    seen = [seq for seq, _ in await stream.batch()]
    await contacts(workspace, 200, 50)
    seen += await take(stream, workspace.seq - len(seen))
    assert seen == list(range(1, workspace.seq + 1))


async def test_what_is_stored_and_not_yet_confirmed_is_shown_to_nobody(world: World) -> None:
    class Unconfirmed(MemoryJournal):
        """Its commits are there to be read before it says that they are safe."""

        def __init__(self) -> None:
            super().__init__()
            self.confirmed, self.stored = asyncio.Event(), asyncio.Event()
            self.confirmed.set()

        async def append(self, own: Ownership, commit: Commit) -> AppendResult:
            self.stored.clear()
            result = await super().append(own, commit)
            self.stored.set()
            await self.confirmed.wait()
            return result

    journal = Unconfirmed()
    workspace = await world.workspace(journal=journal)
    await contacts(workspace, 0, 2)
    stream = workspace.feed.subscribe(1)
    confirmed = workspace.seq
    journal.confirmed.clear()
    journal.stored.clear()
    answer = workspace.put(submit("c2"))
    await journal.stored.wait()
    assert [seq for seq, _ in await stream.batch()] == list(range(1, confirmed + 1))
    journal.confirmed.set()
    await answer
    rest = await take(stream, workspace.seq - confirmed)
    assert rest == list(range(confirmed + 1, workspace.seq + 1))
    assert stream.skipped == 0


async def test_who_insists_reads_on_when_the_store_answers_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "READ_AGAIN_S", 0.0)
    workspace = await world.workspace()
    await contacts(workspace, 0, 3)
    reading, refusals = workspace.feed.read, 2

    async def read(first_seq: int, count: int) -> list[StoredFrame]:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise JournalFailed("planted: no answer")
        return await reading(first_seq, count)

    workspace.feed.read = read  # type: ignore[method-assign]
    stream = workspace.feed.subscribe(1)
    assert [seq for seq, _ in await stream.insist()] == list(range(1, workspace.seq + 1))
    assert refusals < 0


async def test_a_slow_reader_holds_bounded_memory_and_misses_nothing(
    world: World,
) -> None:
    workspace = await world.workspace()
    stream = workspace.feed.subscribe()
    stream._behind = False
    first = workspace.seq + 1
    held = 0
    for number in range(feed.LIVE_EVENTS // 2 + 100):
        workspace.put(submit(f"c{number}"))
        if number % 400 == 399:
            await workspace.ask(submit(f"d{number}"))
        held = max(held, stream._held)
    await workspace.ask(submit("last"))
    assert held <= feed.LIVE_EVENTS
    assert workspace.seq - first >= feed.LIVE_EVENTS
    assert await take(stream, workspace.seq - first + 1) == list(range(first, workspace.seq + 1))


async def test_trimmed_events_are_counted_as_skipped(world: World) -> None:
    workspace = await world.workspace()
    await contacts(workspace, 0, 10)
    await world.journal.trim(workspace.own, 12)
    oldest = await world.journal.oldest_seq(workspace.own)
    stream = workspace.feed.subscribe(1)
    seen = await take(stream, workspace.seq - oldest + 1)
    assert seen == list(range(oldest, workspace.seq + 1))
    assert stream.skipped == oldest - 1 > 0


async def test_what_comes_while_a_trimmed_log_is_read_is_not_skipped(world: World) -> None:
    class Slow(MemoryJournal):
        """Asks to wait for something before it answers a reader of its log."""

        meanwhile = staticmethod(asyncio.sleep)

        async def frames(
            self, own: Ownership, from_seq: int, limit: int = 100
        ) -> list[StoredFrame]:
            found = await super().frames(own, from_seq, limit)
            await self.meanwhile(0)
            return found

    journal = Slow()
    workspace = await world.workspace(journal=journal)
    await contacts(workspace, 0, 5)
    before = workspace.seq
    await journal.trim(workspace.own, before + 1)
    stream = workspace.feed.subscribe(1)

    async def one_more(_: float) -> None:
        journal.meanwhile = asyncio.sleep
        await contacts(workspace, 5, 1)

    journal.meanwhile = one_more
    seen = [seq for seq, _ in await stream.batch()]
    assert seen == list(range(before + 1, workspace.seq + 1))
    assert stream.skipped == before


async def test_a_deposed_owner_tells_of_no_gap_in_what_its_successor_writes(world: World) -> None:
    workspace = await world.workspace()
    await contacts(workspace, 0, 5)
    mine = workspace.seq
    # Another takes it, as from an owner that is frozen: this one does not know yet.
    successor = await world.workspace()
    await contacts(successor, 5, 5)
    stream = workspace.feed.subscribe(1)
    assert await take(stream, mine) == list(range(1, mine + 1))
    workspace.feed.close()
    assert await stream.batch() == []
    assert stream.skipped == 0


async def test_a_tap_sees_the_state_as_it_was_committed(world: World) -> None:
    workspace = await world.workspace()
    seen: list[tuple[int, int]] = []

    def look(first_seq: int, events: object) -> None:
        seen.append((first_seq, len(workspace.engine.state.contacts)))

    end = workspace.feed.tap(look)
    await contacts(workspace, 0, 2)
    end()
    await contacts(workspace, 2, 1)
    assert [count for _, count in seen] == [1, 2]


async def test_a_stopped_workspace_ends_its_streams(world: World) -> None:
    workspace = await world.workspace()
    stream = workspace.feed.subscribe()
    await contacts(workspace, 0, 1)
    assert isinstance((await stream.batch())[0][1], e.ContactReceived)
    await workspace.stop()
    assert await stream.batch() == []
    assert len(workspace.feed) == 0
