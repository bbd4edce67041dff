"""The loop: facts before acts, whatever fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.effects import OfferContact
from router.core.engine import Engine, Outcome
from router.core.model import Contact, ContactId, ContactState, Presence, ReservationId
from router.errors import JournalFailed, OutcomeUnknown, Overloaded, Refused, StoreFull
from router.journal import AppendResult, ArchiveWrite, Commit, Ownership, RowWrite, StoredRow
from router.journal.codec import decode_event, decode_row
from router.journal.memory import MemoryJournal
from router.runtime import loop
from tests.runtime.world import ANA, SECOND, World, submit, until, with_ana


class GatedJournal(MemoryJournal):
    """A journal whose commits wait for `open`."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.entered = asyncio.Event()
        self.result: AppendResult | None = None

    async def append(self, own: Ownership, commit: Commit) -> AppendResult:
        self.entered.set()
        await self.open.wait()
        return self.result or await super().append(own, commit)


class BrittleEngine(Engine):
    """Breaks an invariant for contacts named `poison`, and once for `fragile`."""

    broke: dict[str, int]

    def handle(self, command: c.Command, now_us: int) -> Outcome:
        outcome = super().handle(command, now_us)
        name = getattr(command, "contact", "")
        self.broke.setdefault(name, 0)
        if name == "poison" or (name == "fragile" and not self.broke[name]):
            self.broke[name] += 1
            raise AssertionError(f"planted: {name}")
        return outcome


@pytest.fixture
def brittle() -> type[BrittleEngine]:
    class Engine(BrittleEngine):
        broke: dict[str, int] = {}

    return Engine


async def rows_of(journal: MemoryJournal, own: Ownership) -> list[StoredRow]:
    return [row async for chunk in journal.load(own) for row in chunk]


async def stored_events(journal: MemoryJournal, own: Ownership) -> list[Any]:
    frames = await journal.frames(own, 1, 10_000)
    return [decode_event(data) for frame in frames for data in frame.events]


async def test_a_contact_is_durable_when_the_answer_comes(world: World) -> None:
    workspace = await world.workspace()
    answer = await workspace.ask(submit("c1"))
    assert answer.contact == "c1"
    assert answer.seq == workspace.seq
    rows = await rows_of(world.journal, workspace.own)
    contact = next(decode_row(Contact, row.data) for row in rows if row.kind == "contact")
    assert contact.state is ContactState.QUEUED


async def test_commands_that_come_together_share_one_commit(world: World) -> None:
    workspace = await world.workspace()
    first_seq = workspace.seq + 1
    answers = await asyncio.gather(*(workspace.ask(submit(f"c{n}")) for n in range(100)))
    assert [a.contact for a in answers] == [f"c{n}" for n in range(100)]
    assert len(await world.journal.frames(workspace.own, first_seq, 1000)) == 1


async def test_a_refused_command_writes_nothing_and_says_why(world: World) -> None:
    workspace = await world.workspace()
    before = workspace.seq
    row = ArchiveWrite("message", "m1", 1, b"body")
    with pytest.raises(Refused) as caught:
        await workspace.ask(c.AcceptOffer(reservation=ReservationId("r9")), [row])
    assert caught.value.code == "gone"
    assert workspace.seq == before
    assert await world.journal.fetch(workspace.own, "message", ["m1"]) == {}


async def test_effects_and_answers_wait_for_the_commit(world: World) -> None:
    journal = GatedJournal()
    workspace = await world.workspace(journal=journal)
    await with_ana(workspace)
    journal.open.clear()
    journal.entered.clear()
    answer = workspace.put(submit("c1"))
    await journal.entered.wait()
    reading = asyncio.ensure_future(workspace.settled())  # noqa: TID251 - a test's own task
    await asyncio.sleep(0)
    assert not answer.done()
    assert not reading.done()
    assert world.effects == []
    journal.open.set()
    await answer
    await reading
    assert [type(effect) for _, effect in world.effects] == [OfferContact]


async def test_a_commit_that_hangs_leaves_its_callers_in_doubt_and_turns_later_ones_away(
    world: World,
) -> None:
    journal = GatedJournal()
    workspace = await world.workspace(journal=journal)
    await with_ana(workspace)
    journal.open.clear()
    journal.entered.clear()
    first = workspace.put(submit("c1"))
    await journal.entered.wait()
    waiting = workspace.put(submit("c2"))
    world.clock.advance(6 * SECOND)
    with pytest.raises(OutcomeUnknown):
        await first
    with pytest.raises(StoreFull):
        await waiting
    with pytest.raises(StoreFull):
        await workspace.ask(submit("c3"))
    with pytest.raises(StoreFull):
        await workspace.settled()
    assert world.effects == []
    journal.open.set()
    await until(lambda: not workspace.suspended)
    await workspace.ask(submit("c4"))
    contacts = workspace.engine.state.contacts
    assert sorted(contacts) == ["c1", "c4"]
    assert isinstance(world.effects[0][1], OfferContact)


async def test_the_same_frame_is_tried_again_when_the_answer_was_lost(world: World) -> None:
    assert isinstance(world.journal, MemoryJournal)
    workspace = await world.workspace()
    before = workspace.seq
    world.journal.fail(JournalFailed("planted"), stored=True)
    answer = workspace.put(submit("c1"))
    while not answer.done():
        await asyncio.sleep(0)
        world.clock.advance(10_000)
    assert (await answer).contact == "c1"
    assert workspace.seq == before + 2
    assert len(await stored_events(world.journal, workspace.own)) == before + 2


async def test_a_full_store_refuses_later_callers_and_recovers_without_a_restart(
    world: World,
) -> None:
    assert isinstance(world.journal, MemoryJournal)
    workspace = await world.workspace()
    for _ in range(3):
        world.journal.fail(StoreFull("disk full"))
    first = workspace.put(submit("c1"))
    await until(lambda: workspace.suspended)
    with pytest.raises(StoreFull, match="disk full"):
        await workspace.ask(submit("c2"))
    while not first.done():
        await asyncio.sleep(0)
        world.clock.advance(50_000)
    assert (await first).contact == "c1"
    assert not workspace.suspended
    assert (await workspace.ask(submit("c3"))).contact == "c3"
    assert "c2" not in workspace.engine.state.contacts


async def test_a_deposed_owner_stops_and_releases_no_effects(world: World) -> None:
    workspace = await world.workspace()
    await with_ana(workspace)
    ended: list[str] = []
    workspace.on_stopped.append(ended.append)
    await world.journal.acquire("main")
    with pytest.raises(OutcomeUnknown):
        await workspace.ask(submit("c1"))
    assert "another owner" in workspace.stopped
    assert ended == [workspace.stopped]
    assert world.effects == []
    with pytest.raises(Overloaded):
        await workspace.ask(submit("c2"))


async def test_a_store_that_forgot_commits_stops_the_workspace_with_words(world: World) -> None:
    journal = GatedJournal()
    workspace = await world.workspace(journal=journal)
    journal.result = AppendResult.GAP
    with pytest.raises(OutcomeUnknown):
        await workspace.ask(submit("c1"))
    assert "forgotten committed events" in workspace.stopped


async def test_poison_is_put_aside_and_its_neighbours_are_served(
    world: World, brittle: type[BrittleEngine]
) -> None:
    workspace = await world.workspace(engine=brittle)
    other = await world.workspace("other")
    results = await asyncio.gather(
        workspace.ask(submit("c1")),
        workspace.ask(submit("poison")),
        workspace.ask(submit("c2")),
        other.ask(submit("c3")),
        return_exceptions=True,
    )
    assert [getattr(r, "contact", None) for r in results] == ["c1", None, "c2", "c3"]
    assert isinstance(results[1], Refused)
    assert results[1].code == "poison"
    assert brittle.broke["poison"] == 2
    await workspace.ask(submit("c4"))
    assert sorted(workspace.engine.state.contacts) == ["c1", "c2", "c4"]
    events = await stored_events(world.journal, workspace.own)
    letters = [event for event in events if isinstance(event, e.CommandDeadLettered)]
    assert [letter.command for letter in letters] == ["SubmitContact"]
    assert not workspace.stopped


async def test_an_input_that_breaks_the_engine_once_is_carried_out_at_the_second_try(
    world: World, brittle: type[BrittleEngine]
) -> None:
    workspace = await world.workspace(engine=brittle)
    await workspace.ask(submit("c1"))
    assert (await workspace.ask(submit("fragile"))).contact == "fragile"
    assert sorted(workspace.engine.state.contacts) == ["c1", "fragile"]


async def test_a_timer_that_breaks_each_time_ends_the_workspace_with_words(world: World) -> None:
    class BrokenTimers(Engine):
        def next_deadline(self) -> int | None:
            return 1 if self.state.contacts else None

        def advance(self, now_us: int) -> Outcome:
            raise AssertionError("planted")

    workspace = await world.workspace(engine=BrokenTimers)
    other = await world.workspace("other")
    await workspace.ask(submit("c1"))
    await until(lambda: workspace.stopped)
    assert "timer" in workspace.stopped
    assert (await other.ask(submit("c2"))).contact == "c2"


async def test_load_is_shed_in_order_and_accepts_are_never_shed(world: World) -> None:
    workspace = await world.workspace(inbox=100)
    refused: dict[int, int] = {}
    futures = []
    for n in range(100):
        for shed in (4, 3, 2, 1):
            try:
                futures.append(workspace.put(submit(f"c{shed}.{n}"), shed=shed))
                break
            except Overloaded:
                refused.setdefault(shed, len(futures))
    assert refused == {4: 25, 3: 50, 2: 75, 1: 90}
    accepts = [workspace.put(c.AcceptOffer(reservation=ReservationId("r1"))) for _ in range(50)]
    answers = await asyncio.gather(*futures, *accepts, return_exceptions=True)
    assert sum(isinstance(a, Refused) for a in answers) == 50
    assert len(workspace.engine.state.contacts) == 90


async def test_an_accept_does_not_wait_behind_the_arrivals_before_it(world: World) -> None:
    workspace = await world.workspace()
    told: list[str] = []
    waiting = []
    for n in range(1000):  # more than one batch
        future = workspace.put(submit(f"c{n}"), shed=3)
        future.add_done_callback(lambda _, n=n: told.append(f"c{n}"))
        waiting.append(future)
    accept = workspace.put(c.AcceptOffer(reservation=ReservationId("r1")))
    accept.add_done_callback(lambda _: told.append("accept"))
    answers = await asyncio.gather(*waiting, accept, return_exceptions=True)
    assert sum(isinstance(a, Refused) for a in answers) == 1, "there was no such offer"
    assert told.index("accept") < 512, "it was in the first batch"
    assert [name for name in told if name != "accept"] == [f"c{n}" for n in range(1000)]


async def test_arrivals_are_refused_when_the_oldest_has_waited_too_long(world: World) -> None:
    workspace = await world.workspace()
    futures = [workspace.put(submit("c0"), shed=3)]
    world.clock.advance(SECOND * 12 // 10)
    with pytest.raises(Overloaded, match="sms_email"):
        workspace.put(submit("c1"), shed=3)
    futures.append(workspace.put(submit("c2"), shed=2))
    world.clock.advance(SECOND * 12 // 10)
    with pytest.raises(Overloaded, match="chat"):
        workspace.put(submit("c3"), shed=2)
    futures.append(workspace.put(submit("c4"), shed=1))
    world.clock.advance(2 * SECOND)
    with pytest.raises(Overloaded, match="voice"):
        workspace.put(submit("c5"), shed=1)
    futures.append(workspace.put(submit("c6")))
    assert {answer.contact for answer in await asyncio.gather(*futures)} == {"c0", "c2", "c4", "c6"}


async def test_deadlines_fire_without_any_input(world: World) -> None:
    workspace = await world.workspace()
    await with_ana(workspace)
    await workspace.ask(submit("c1"))
    stream = workspace.feed.subscribe()
    world.clock.advance(21 * SECOND)
    items = await stream.batch()
    assert [type(event) for _, event in items][:1] == [e.OfferExpired]
    assert items[0][1].at_us == workspace.engine.now_us


async def test_all_that_is_due_happens_before_an_input_however_much_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "BATCH_EVENTS", 30)
    workspace = await world.workspace()
    await workspace.ask(c.PutAgent(agent=ANA, profile="care"))
    until_us = workspace.now_us() + 10 * SECOND
    contacts = [submit(f"c{number}", not_after_us=until_us) for number in range(1500)]
    await asyncio.gather(*(workspace.put(contact) for contact in contacts))
    seq = workspace.seq
    world.clock.advance(11 * SECOND)
    await workspace.ask(c.SetPresence(agent=ANA, presence=Presence.READY))
    assert not workspace.engine.state.contacts
    frames = await world.journal.frames(workspace.own, seq + 1, 500)
    events = [decode_event(data) for frame in frames for data in frame.events]
    offered = [event for event in events if isinstance(event, e.ContactOffered)]
    assert not offered, "to an agent, after its time was over"


async def test_an_accept_that_came_in_time_is_in_time_though_it_was_read_late(
    world: World,
) -> None:
    workspace = await world.workspace()
    await with_ana(workspace)
    offered = (await workspace.ask(submit("c1"))).events[-1]
    assert isinstance(offered, e.ContactOffered)
    accept = workspace.put(c.AcceptOffer(reservation=offered.reservation))
    world.clock.advance(60 * SECOND)  # before the loop comes to it
    assert isinstance((await accept).events[0], e.OfferAccepted)


async def test_a_restart_restates_open_offers_in_a_higher_epoch(world: World) -> None:
    workspace = await world.workspace()
    await with_ana(workspace)
    offered = (await workspace.ask(submit("c1"))).events[-1]
    assert isinstance(offered, e.ContactOffered)
    before = workspace.epoch
    world.effects.clear()
    again = await world.workspace()  # no goodbye: as after kill -9
    assert again.epoch > before
    (id_, effect), *_ = world.effects
    assert isinstance(effect, OfferContact)
    assert effect.reservation == offered.reservation
    assert id_.startswith(f"{again.epoch}-")
    await again.ask(c.AcceptOffer(reservation=offered.reservation))


async def test_time_never_goes_below_the_last_committed_moment(world: World) -> None:
    workspace = await world.workspace()
    world.clock.advance(3600 * SECOND)
    await workspace.ask(submit("c1"))
    committed_us = workspace.engine.now_us
    world.clock._now_us -= 1800 * SECOND  # the wall clock is set back while nobody serves
    again = await world.workspace()
    assert again.now_us() >= committed_us
    events = await stored_events(world.journal, again.own)
    steps = [event.by_us for event in events if isinstance(event, e.ClockStepped)]
    assert steps == [-1800 * SECOND]


async def test_rows_of_the_runtime_ride_on_the_next_commit_and_survive(world: World) -> None:
    workspace = await world.workspace()
    workspace.note("desk", "ana", b"1")
    workspace.note("desk", "bo", b"1")
    workspace.forget("desk", "bo")
    await workspace.ask(submit("c1"), rows=[RowWrite("token", "t1", b"x")])
    again = await world.workspace()
    assert again.rows_of("desk") == {"ana": b"1"}
    assert again.rows_of("token") == {"t1": b"x"}


async def test_what_a_contact_leaves_behind_can_be_found(world: World) -> None:
    workspace = await world.workspace()
    await with_ana(workspace)
    body = ArchiveWrite("message", "{contact}/m1", 1, b"body")
    offered = (await workspace.ask(submit("c1", external_id="x1"), [body])).events[-1]
    assert isinstance(offered, e.ContactOffered)
    await workspace.ask(c.AcceptOffer(reservation=offered.reservation))
    await workspace.ask(c.CompleteContact(contact=ContactId("c1")))
    fetch, own = world.journal.fetch, workspace.own
    place = workspace.veil.place("external", "chat", "x1")
    assert await fetch(own, "external", [place]) == {place: b"c1"}
    closed = decode_row(Contact, (await fetch(own, "contact", ["c1"]))["c1"])
    assert closed.outcome == "completed"
    assert await fetch(own, "message", ["c1/m1"]) == {"c1/m1": b"body"}
    ((id_, data),) = await world.journal.list_archive(own, "decision", "c1/")
    decision = decode_event(data)
    assert isinstance(decision, e.ContactOffered)
    assert decision.decision.winner.id == ANA
    assert int(id_.partition("/")[2]) > 0


async def test_stop_finishes_what_is_under_way_and_refuses_the_rest(world: World) -> None:
    workspace = await world.workspace()
    answer = workspace.put(submit("c1"))
    await workspace.stop()
    assert (await answer).contact == "c1"
    with pytest.raises(Overloaded):
        workspace.put(submit("c2"))


async def test_an_arrival_whose_contact_closes_while_it_waits_is_not_taken_twice(
    world: World,
) -> None:
    workspace = await world.workspace()
    await workspace.ask(submit("c1", external_id="x1"))
    await workspace.ask(c.AbandonContact(contact=ContactId("c1")))
    answer = await workspace.ask(submit("c2", external_id="x1"))
    assert (answer.contact, answer.events) == ("c1", ())
    assert workspace.engine.state.contacts == {}
