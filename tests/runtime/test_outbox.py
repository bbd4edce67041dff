"""Effects on their way to an adapter: what is repeated, what is asked about, what never is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.loopback import Loopback
from router.channel import (
    Address,
    Channel,
    ChannelError,
    ChannelLost,
    NewContact,
    NewMessage,
    Task,
    UnknownOutcome,
)
from router.config import AdapterSettings
from router.core import commands as c
from router.core import events as e
from router.core.effects import (
    ConnectAgent,
    DeliverMessage,
    Effect,
    EndContact,
    OfferContact,
    RescindOffer,
    TreatContact,
)
from router.core.model import ContactId, ReservationId
from router.errors import JournalDamaged, JournalFailed
from router.runtime.frame import OutboxRow
from router.runtime.host import Host
from router.runtime.lease import Lease
from router.runtime.loop import Workspace
from router.runtime.outbox import BREAK_AFTER, JOBS, Job, Outbox, after_crash
from tests.runtime.world import ANA, SECOND, World, submit, until, with_ana

C1 = ContactId("c1")
R1 = ReservationId("r1")
CALL = 1 << 60
END = EndContact(channel="chat", contact=C1, outcome="completed")
DELIVER = DeliverMessage(channel="chat", contact=C1, message="m1")
CONNECT = ConnectAgent(
    channel="chat", contact=C1, reservation=R1, agent=ANA, endpoint="x", deadline_at_us=CALL
)


class Scripted(Channel):
    """An adapter that does what the test says."""

    def __init__(self) -> None:
        super().__init__("scripted", {}, None)  # type: ignore[arg-type]  # it says nothing
        self.outcomes: list[BaseException | None] = []
        self.performed: list[str] = []
        self.asked: list[str] = []
        self.found = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self) -> None:
        raise NotImplementedError

    async def perform(self, task: Task) -> None:
        self.performed.append(task.id)
        await self.gate.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome

    async def find(self, task: Task) -> bool:
        self.asked.append(task.id)
        return self.found


class Bench:
    """An outbox with a scripted adapter in a real workspace."""

    def __init__(self, world: World, workspace: Workspace) -> None:
        self.world = world
        self.workspace = workspace
        self.adapter = Scripted()
        self.unread: list[BaseException] = []
        """What the store says instead of a contact."""
        self.outbox = Outbox("scripted", workspace, world.clock, self.adapter, self._task)
        self.outbox.up.set()
        self._stream = workspace.feed.subscribe()

    async def _task(self, job: Job) -> Task | None:
        if self.unread:
            raise self.unread.pop()
        return Task(job.id, 1, "main", job.effect, "x1", Address(), "")

    def put(
        self, id_: str, effect: Effect, *, until_us: int = CALL, ask_first: bool = False
    ) -> None:
        self.outbox.put(Job(id_, effect, until_us, ask_first))

    async def settled(self, id_: str) -> e.EffectSettled:
        while True:
            for _, event in await self._stream.batch():
                is_settled = isinstance(event, e.EffectSettled) and event.result != "attempting"
                if is_settled and event.effect == id_:
                    return event

    async def through(self) -> None:
        """Let time pass until nothing is under way."""
        for _ in range(400):
            if not self.outbox.jobs:
                return
            await asyncio.sleep(0)
            self.world.clock.advance(SECOND // 4)
        raise AssertionError("effects did not come through")


@pytest.fixture
async def bench(world: World) -> Any:
    made = Bench(world, await world.workspace())
    yield made
    await made.outbox.stop()


async def test_a_safe_effect_is_repeated_until_it_is_carried_out(bench: Bench) -> None:
    bench.adapter.outcomes = [UnknownOutcome("?"), ChannelLost("gone"), None]
    bench.put("1-1", END)
    await bench.through()
    assert bench.adapter.performed == ["1-1"] * 3


async def test_a_message_whose_outcome_is_unknown_is_never_sent_again(bench: Bench) -> None:
    for outcome in (UnknownOutcome("no answer"), ChannelLost("gone")):
        bench.adapter.outcomes = [outcome]
        bench.adapter.performed.clear()
        bench.put("1-1", DELIVER)
        settled = await bench.settled("1-1")
        assert (settled.result, settled.message) == ("unknown", "m1")
        await bench.through()
        assert bench.adapter.performed == ["1-1"]


async def test_a_fault_of_the_adapter_leaves_no_message_without_an_outcome(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.adapter.outcomes = [KeyError("planted")]
    bench.put("1-1", DELIVER)
    settled = await bench.settled("1-1")
    assert (settled.result, settled.reason) == ("unknown", "adapter_broke")
    await bench.through()
    assert bench.adapter.performed == ["1-1"]  # how far it came nobody knows: not again
    assert "adapter broke" in caplog.messages


async def test_an_effect_that_is_cancelled_below_the_adapter_stops_no_other(bench: Bench) -> None:
    """As aiohttp does with requests that wait for a connection when their session is closed."""
    bench.adapter.outcomes = [asyncio.CancelledError(), asyncio.CancelledError(), None]
    bench.put("1-1", DELIVER)
    bench.put("1-2", END)
    settled = await bench.settled("1-1")
    assert (settled.result, settled.reason) == ("unknown", "cancelled by what it waited for")
    await bench.through()
    assert bench.adapter.performed == ["1-1", "1-2", "1-2"]


async def test_a_fault_of_the_adapter_at_an_offer_gives_the_agent_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    workspace, media = bench.workspace, {"chat": "x"}
    await with_ana(workspace, media)
    await workspace.ask(submit("c1"))
    (reservation,) = workspace.engine.state.reservations
    bench.adapter.outcomes = [KeyError("planted")]
    offer = OfferContact(
        channel="chat", contact=C1, reservation=reservation, agent=ANA, endpoint="x",
        deadline_at_us=CALL,
    )  # fmt: skip
    bench.put("1-1", offer)
    await until(lambda: reservation not in workspace.engine.state.reservations)
    assert "adapter broke" in caplog.messages


async def test_a_message_is_marked_as_attempted_before_it_is_sent(bench: Bench) -> None:
    bench.adapter.gate.clear()
    bench.put("1-1", DELIVER)
    await until(lambda: bench.adapter.performed)
    again = await bench.world.workspace()  # what a successor would read
    assert list(again.rows_of("effect")) == ["1-1"]
    bench.adapter.gate.set()


@pytest.mark.parametrize("where", ["between tries", "while the backend was asked"])
async def test_an_owner_that_was_frozen_lets_no_effect_out_until_its_lease_is_renewed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    clock, adapter = bench.world.clock, bench.adapter
    lease = bench.workspace.writer.lease = Lease(clock, 3 * SECOND, clock.now_us())
    find = adapter.find

    async def asleep_meanwhile(task: Task) -> bool:
        monkeypatch.undo()
        clock.advance(4 * SECOND)
        return await find(task)

    pause_us = 4 * SECOND
    if where != "between tries":
        monkeypatch.setattr(adapter, "find", asleep_meanwhile)
        pause_us = SECOND
    adapter.outcomes = [ChannelLost("gone"), None]
    bench.put("1-1", CONNECT)
    await until(lambda: adapter.performed)
    clock.advance(pause_us)
    for _ in range(100):
        await asyncio.sleep(0)
    assert lease.lapsed
    assert adapter.performed == ["1-1"]
    lease.renewed(clock.now_us())  # nobody else has taken it
    assert (await bench.settled("1-1")).result == "done"
    assert adapter.performed == ["1-1"] * 2


async def test_what_waited_for_the_lease_beyond_its_deadline_is_not_begun(bench: Bench) -> None:
    clock = bench.world.clock
    lease = bench.workspace.writer.lease = Lease(clock, 3 * SECOND, clock.now_us())
    bench.adapter.outcomes = [ChannelLost("gone")]
    bench.put("1-1", CONNECT, until_us=clock.now_us() + 10 * SECOND)
    await until(lambda: bench.adapter.performed)
    clock.advance(12 * SECOND)
    lease.renewed(clock.now_us())
    assert (await bench.settled("1-1")).result == "failed"
    assert bench.adapter.performed == ["1-1"]


async def test_an_owner_that_hears_that_it_is_deposed_leaves_effects_to_its_successor(
    bench: Bench,
) -> None:
    clock = bench.world.clock
    lease = bench.workspace.writer.lease = Lease(clock, SECOND, clock.now_us())
    bench.outbox.up.clear()
    bench.put("1-1", CONNECT)
    bench.put("1-2", END)
    clock.advance(2 * SECOND)
    bench.outbox.up.set()
    lease.end("another node has taken it over")
    await bench.through()
    assert bench.adapter.performed == []


async def test_a_message_that_could_not_be_marked_is_not_sent(bench: Bench) -> None:
    """Whoever owns the workspace now sends it: it has no mark, so nobody has."""
    successor = await bench.world.workspace()
    bench.put("1-1", DELIVER)
    await until(lambda: bench.workspace.stopped)
    await bench.through()
    assert bench.adapter.performed == []
    assert successor.rows_of("effect") == {}


async def test_after_a_loss_the_backend_is_asked_before_a_leg_is_set_up_again(
    bench: Bench,
) -> None:
    bench.adapter.outcomes = [ChannelLost("gone")]
    bench.adapter.found = True
    bench.put("1-1", CONNECT)
    await bench.through()
    assert bench.adapter.performed == ["1-1"]
    assert bench.adapter.asked == ["1-1"]
    assert (await bench.settled("1-1")).result == "done"


async def test_a_leg_that_is_not_there_is_set_up_again(bench: Bench) -> None:
    bench.put("1-1", CONNECT, ask_first=True)
    await bench.through()
    assert bench.adapter.asked == ["1-1"]
    assert bench.adapter.performed == ["1-1"]


async def test_a_failed_message_says_why(bench: Bench) -> None:
    bench.adapter.outcomes = [ChannelError("number does not exist")]
    bench.put("1-1", DELIVER)
    settled = await bench.settled("1-1")
    assert (settled.result, settled.reason) == ("failed", "number does not exist")


async def test_effects_of_one_contact_keep_their_order_and_others_do_not_wait(
    bench: Bench,
) -> None:
    bench.adapter.gate.clear()
    bench.put("1-1", END)
    bench.put("1-2", CONNECT)
    bench.put("1-3", EndContact(channel="chat", contact=ContactId("c2"), outcome="completed"))
    await until(lambda: len(bench.adapter.performed) == 2)
    assert bench.adapter.performed == ["1-1", "1-3"]
    bench.adapter.gate.set()
    await bench.through()
    assert bench.adapter.performed == ["1-1", "1-3", "1-2"]


async def test_an_offer_that_was_taken_back_before_it_went_out_is_not_made(bench: Bench) -> None:
    offer = OfferContact(
        channel="chat", contact=C1, reservation=R1, agent=ANA, endpoint="x", deadline_at_us=CALL
    )
    bench.adapter.gate.clear()
    bench.put("1-1", END)
    bench.put("1-2", offer)
    bench.put("1-3", RescindOffer(channel="chat", contact=C1, reservation=R1, agent=ANA))
    bench.adapter.gate.set()
    await bench.through()
    assert bench.adapter.performed == ["1-1"]


async def test_effects_wait_for_an_adapter_that_is_down_but_not_beyond_their_deadline(
    bench: Bench,
) -> None:
    bench.outbox.up.clear()
    now_us = bench.workspace.now_us()
    bench.put("1-1", DELIVER, until_us=now_us + 5 * SECOND)
    waits = DeliverMessage(channel="chat", contact=ContactId("c2"), message="m2")
    bench.put("1-2", waits, until_us=now_us + 60 * SECOND)
    await until(lambda: bench.world.clock.pending())
    bench.world.clock.advance(6 * SECOND)
    settled = await bench.settled("1-1")
    assert (settled.result, settled.reason) == ("failed", "adapter_down")
    bench.outbox.up.set()
    assert (await bench.settled("1-2")).result == "done"
    assert bench.adapter.performed == ["1-2"]


async def test_what_waited_for_the_store_beyond_its_deadline_is_not_begun(bench: Bench) -> None:
    """A phone that rings for an offer of minutes ago rings for nobody."""
    bench.unread = [JournalFailed("away")]
    until_us = bench.workspace.now_us() + SECOND // 10
    offer = OfferContact(
        channel="chat", contact=C1, reservation=R1, agent=ANA, endpoint="x", deadline_at_us=until_us
    )
    bench.put("1-1", offer, until_us=until_us)
    await bench.through()
    assert not bench.unread, "the store was not asked"
    assert bench.adapter.performed == []


@pytest.mark.parametrize("error", [KeyError("planted"), JournalDamaged("a row")])
async def test_an_effect_whose_contact_cannot_be_read_has_failed_and_those_behind_it_go_on(
    bench: Bench, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    bench.unread = [error]
    bench.put("1-1", DELIVER)
    bench.put("1-2", END)
    settled = await bench.settled("1-1")
    assert (settled.result, settled.message, settled.reason) == ("failed", "m1", "router_broke")
    await bench.through()
    assert bench.adapter.performed == ["1-2"]
    assert "effect cannot be made" in caplog.messages


async def test_an_offer_whose_contact_cannot_be_read_gives_the_agent_back(bench: Bench) -> None:
    await with_ana(bench.workspace, {"chat": "x"})
    await bench.workspace.ask(submit("c1"))
    (reservation,) = bench.workspace.engine.state.reservations
    bench.unread = [KeyError("planted")]
    bench.put(
        "1-1",
        OfferContact(
            channel="chat", contact=C1, reservation=reservation, agent=ANA, endpoint="x",
            deadline_at_us=CALL,
        ),
    )  # fmt: skip
    await until(lambda: reservation not in bench.workspace.engine.state.reservations)
    assert bench.adapter.performed == []


async def test_a_look_into_the_store_that_is_cancelled_below_ends_no_lane(bench: Bench) -> None:
    """As happens to whoever waits for a connection that another task gives up."""
    bench.unread = [asyncio.CancelledError()]
    bench.put("1-1", DELIVER)
    bench.put("1-2", END)
    await bench.through()
    assert bench.adapter.performed == ["1-1", "1-2"]


async def test_an_outcome_whose_saying_is_cancelled_below_is_said_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, cut = bench.workspace.ask, [asyncio.CancelledError()]

    async def asked(command: c.Command, **more: Any) -> Any:
        if cut and isinstance(command, c.SettleEffect) and command.result == "done":
            raise cut.pop()
        return await ask(command, **more)

    monkeypatch.setattr(bench.workspace, "ask", asked)
    bench.put("1-1", DELIVER)
    bench.put("1-2", END)
    await bench.through()
    assert (await bench.settled("1-1")).result == "done"
    assert bench.adapter.performed == ["1-1", "1-2"]


async def test_an_adapter_that_fails_each_time_is_left_in_peace_for_a_while(bench: Bench) -> None:
    for number in range(BREAK_AFTER):
        bench.adapter.outcomes = [ChannelLost("gone")]
        bench.put(f"1-{number}", DELIVER)
        await bench.settled(f"1-{number}")
    bench.adapter.performed.clear()
    bench.put("1-9", DELIVER)
    await until(lambda: bench.world.clock.pending())
    assert bench.adapter.performed == []
    bench.world.clock.advance(11 * SECOND)
    assert (await bench.settled("1-9")).result == "done"


async def test_an_outbox_that_is_full_says_so(bench: Bench) -> None:
    bench.outbox.jobs = JOBS
    bench.put("1-1", DELIVER)
    settled = await bench.settled("1-1")
    assert (settled.result, settled.reason) == ("failed", "outbox_full")
    bench.outbox.jobs = 0


def test_the_rule_for_each_class_of_effect_after_a_crash() -> None:
    treat = TreatContact(channel="chat", contact=C1, kind="text")
    assert after_crash(OutboxRow(at_us=1, effect=CONNECT)) == "ask"
    assert after_crash(OutboxRow(at_us=1, effect=DELIVER)) == "do"
    assert after_crash(OutboxRow(at_us=1, effect=DELIVER, attempting=True)) == "unknown"
    assert after_crash(OutboxRow(at_us=1, effect=treat)) == "unknown"


# --- with adapters as they are configured -------------------------------------------------------


async def served(world: World, **settings: Any) -> tuple[Host, Loopback]:
    host = await world.host()
    host.load({"site": AdapterSettings(type="loopback", channel="chat", settings=settings)})
    await host.start([])
    host.serve([])
    adapter = host.channels.get("site")
    assert isinstance(adapter, Loopback)
    await until(lambda: adapter.up)
    return host, adapter


async def accepted(host: Host, adapter: Loopback, address: str) -> ContactId:
    await with_ana(host.workspace)
    receipt = await adapter.arrive(address, text="hello", external_id="x1")
    contact = ContactId(receipt.contact)
    reservation = host.workspace.engine.state.contacts[contact].reservations[0]
    await host.workspace.ask(c.AcceptOffer(reservation=reservation))
    return contact


async def test_a_message_written_before_a_crash_is_sent_after_it_once(world: World) -> None:
    host, adapter = await served(world)
    contact = await accepted(host, adapter, "visitor")
    adapter.lose()
    await until(lambda: not adapter.up)
    await host.intake.send(contact, "your table is here", agent=ANA)
    # kill -9: nothing is said to the first host any more
    _, successor = await served(world)
    await successor.until(lambda: bool(successor.performed))
    sent = [p.task.text for p in successor.performed if isinstance(p.task.effect, DeliverMessage)]
    assert sent == ["your table is here"]


async def test_a_message_under_way_in_a_crash_is_reported_unknown_and_not_sent_again(
    world: World,
) -> None:
    host, adapter = await served(world, slow_s=3600.0)
    contact = await accepted(host, adapter, "visitor#slow")
    await host.intake.send(contact, "your table is here", agent=ANA)
    await until(lambda: b"attempting" in b"".join(host.workspace.rows_of("effect").values()))
    successor, adapter = await served(world)
    await until(lambda: not successor.workspace.rows_of("effect"))
    stream = successor.workspace.feed.subscribe(1)
    settled = [event for _, event in await stream.batch() if isinstance(event, e.EffectSettled)]
    assert [event.result for event in settled] == ["attempting", "unknown"]
    assert not [p for p in adapter.performed if isinstance(p.task.effect, DeliverMessage)]


async def test_an_adapter_that_loses_its_backend_is_started_again(world: World) -> None:
    host, adapter = await served(world)
    adapter.lose()
    await until(lambda: host.channels.states()[0]["restarts"] == 1)
    assert host.channels.states()[0]["state"] == "down"
    world.clock.advance(SECOND)
    await until(lambda: adapter.up)
    assert host.channels.states()[0]["state"] == "up"


async def test_a_contact_without_an_adapter_is_routed_and_left_to_the_api(world: World) -> None:
    host = await world.host()
    await host.start([])
    host.serve([])
    await with_ana(host.workspace, {"voice": "desk/ana"})
    answer = await host.workspace.ask(submit("c1", channel="voice", entry_point="line"))
    offered = answer.events[-1]
    assert isinstance(offered, e.ContactOffered)
    await host.workspace.ask(c.AcceptOffer(reservation=offered.reservation))
    await host.workspace.ask(c.ConnectReservation(reservation=offered.reservation))
    await until(lambda: not host.workspace.rows_of("effect"))
    assert host.workspace.engine.state.contacts[C1].state == "active"


async def test_personal_data_reaches_the_adapter_and_no_row_of_the_journal(world: World) -> None:
    host, adapter = await served(world)
    contact = await accepted(host, adapter, "kim@mail.example")
    await host.intake.send(contact, "a secret sentence", agent=ANA)
    await adapter.until(lambda: "a secret sentence" in adapter.lines["x1"].heard)
    assert adapter.performed[-1].task.customer.address == "kim@mail.example"
    own = host.workspace.own
    frames = await world.journal.frames(own, 1, 1000)
    rows = [row.data async for chunk in world.journal.load(own) for row in chunk]
    bodies = [data for _, data in await world.journal.list_archive(own, "message")]
    stored = b"".join([*(data for frame in frames for data in frame.events), *rows, *bodies])
    assert len(bodies) == 2
    assert b"kim@mail" not in stored
    assert b"secret sentence" not in stored


async def test_the_same_arrival_and_the_same_message_are_taken_once(world: World) -> None:
    host, _ = await served(world)
    new = NewContact(
        external_id="x1",
        customer=Address(address="v1"),
        to="shop",
        message=NewMessage(id="1", text="hello"),
    )
    first, _ = await host.intake.submit(new, "chat")
    second, _ = await host.intake.submit(new, "chat")
    assert (first.contact, first.created, second.created) == (second.contact, True, False)
    follow = NewContact(
        external_id="x1",
        customer=Address(address="v1"),
        to="shop",
        message=NewMessage(id="2", text="anybody?"),
    )
    receipts = await asyncio.gather(*(host.intake.message(follow, "chat") for _ in range(3)))
    later = await host.intake.message(follow, "chat")
    assert {r.contact for r in (*receipts, later)} == {first.contact}
    texts = [message.text for message in await host.messages.list(first.contact)]
    assert texts == ["hello", "anybody?"]
    await host.workspace.ask(c.AbandonContact(contact=ContactId(first.contact)))
    closed, answer = await host.intake.submit(new, "chat")
    assert (closed.state, closed.outcome, answer) == ("closed", "abandoned", None)


async def test_an_erased_key_takes_address_and_texts_with_it(world: World) -> None:
    host, adapter = await served(world)
    contact = await accepted(host, adapter, "v1")
    key = host.workspace.engine.state.contacts[contact].seal_key
    await world.keys.erase([key])
    (message,) = await host.messages.list(contact)
    assert (message.text, message.erased) == ("", True)


async def test_an_answer_goes_the_way_the_contact_came_though_it_is_closed(world: World) -> None:
    host = await world.host()
    loopback = AdapterSettings(type="loopback", channel="chat")
    host.load({"first": loopback, "second": loopback})
    await host.start([])
    host.serve([])
    adapter = host.channels.get("second")
    assert isinstance(adapter, Loopback)
    await until(lambda: adapter.up)
    contact = await accepted(host, adapter, "v1")
    await host.intake.send(contact, "hello back", agent=ANA)
    await host.workspace.ask(c.CompleteContact(contact=contact))
    await adapter.until(
        lambda: any(isinstance(p.task.effect, EndContact) for p in adapter.performed)
    )
    other = host.channels.get("first")
    assert isinstance(other, Loopback)
    assert not other.performed
