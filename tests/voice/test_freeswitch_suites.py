"""The FreeSWITCH adapter passes the suites of the contract, on the conformance FreeSWITCH."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from adapters.freeswitch import FreeSwitch
from router.channel import (
    Address,
    ChannelError,
    ChannelLost,
    ConnectAgent,
    MonitorContact,
    OutcomeUnknown,
    Overloaded,
    StartContact,
    Task,
    TreatContact,
    UnknownOutcome,
)
from router.core.model import AgentId, ContactId, ReservationId
from router.testing.adapter_harness import (
    AskingHarness,
    FailingHarness,
    LiveHarness,
    RouterDouble,
    Signal,
)
from router.testing.conformance import (
    CUSTOMER,
    OTHER,
    AdapterSuite,
    FailureSuite,
    LeaveSuite,
    LiveSuite,
    MediaSuite,
    connect,
    offer,
    rescind,
)
from router.testing.conformance_talk import AskingSuite, question
from tests.voice.freeswitch_edge import FreeSwitchEdge

PROMPT = "What is it about?"


class FreeSwitchHarness(FailingHarness, LiveHarness, AskingHarness):
    def __init__(self, calls: int = 100, overflow_to: str = "") -> None:
        self.signal = Signal()
        self.router = RouterDouble(self.signal)
        self.edge = FreeSwitchEdge(
            tick_s=0.002,
            sounds={PROMPT: "topic.wav", "text": "text.wav"},
            ping_s=10,
            calls=calls,
            overflow_to=overflow_to,
        )
        self.edge.on_change = self.signal.notify
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> FreeSwitchHarness:
        await self.edge.start()
        self.channel = self.freeswitch = FreeSwitch("pbx", self.edge.settings(), self.router)
        self.edge.will("busy", "busy")
        for phone in ("phone/ana", "phone/bo", OTHER):
            self.edge.will(phone, "answers")
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.edge.stop()

    async def start(self) -> None:
        self._run = asyncio.get_running_loop().create_task(self.freeswitch.run())
        before = len(self.router.states)
        await self.signal.until(lambda: "up" in self.router.states[before:])

    async def stop(self) -> None:
        assert self._run is not None
        self._run.cancel()
        with suppress(asyncio.CancelledError, ChannelLost):
            await self._run

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        switch = self.edge.switch
        channel = switch.phone(who).channel
        if channel is not None:  # the same event once more
            switch.emit("CHANNEL_PARK", channel)
        else:
            channel = await self.edge.pbx.call(who, "7000")
        await self.signal.until(lambda: channel.is_gone or channel.plays is not None)
        return str(channel.cause)

    async def write(self, who: str, text: str, message_id: str) -> str:
        raise NotImplementedError("callers do not write")

    async def leave(self, who: str) -> None:
        await self.edge.hang_up(who)

    def read(self, who: str) -> list[str]:
        return list(self.edge.switch.phone(who).played)

    async def stall(self) -> int:
        raise NotImplementedError

    def held(self) -> int:
        return len(self.freeswitch.board.legs)

    def troubled(self, word: str) -> str:
        return "busy"

    async def back(self) -> None:
        await self.start()

    async def break_connection(self) -> None:
        await self.edge.cut_events()
        assert self._run is not None
        with pytest.raises(ChannelLost):
            await self._run

    async def vanish(self, who: str) -> None:
        await self.edge.hang_up(who)

    async def restore(self) -> None:
        await self.edge.restore_events()
        await self.start()

    def asked(self, who: str) -> list[str]:
        return [PROMPT for played in self.read(who) if played == "topic.wav"]

    async def answer(self, who: str, value: str) -> None:
        await self.edge.press(who, value)


@pytest.fixture
async def harness() -> AsyncIterator[FreeSwitchHarness]:
    async with FreeSwitchHarness() as harness:
        yield harness


class TestFreeSwitchAsAnAdapter(AdapterSuite, LeaveSuite, MediaSuite, LiveSuite):
    test_an_outbound_contact_is_started_and_named = (
        FailureSuite.test_an_outbound_contact_is_started_and_named
    )
    test_a_busy_customer_makes_the_outbound_contact_fail = (
        FailureSuite.test_a_busy_customer_makes_the_outbound_contact_fail
    )


class TestFreeSwitchAsks(AskingSuite):
    async def test_a_question_that_is_restated_is_put_once(self, harness: AskingHarness) -> None:
        """As the suite's, without a message: a call carries none."""
        await harness.arrive(CUSTOMER)
        for id_ in ("e1", "e1", "e2"):
            await harness.channel.perform(harness.task(CUSTOMER, question("q1"), id_=id_))
        await harness.signal.until(lambda: bool(harness.asked(CUSTOMER)))
        treat = TreatContact(channel="voice", contact=ContactId("c1"), kind="text", text="x")
        await harness.channel.perform(harness.task(CUSTOMER, treat, id_="e3"))
        await harness.answer(CUSTOMER, "1")
        await harness.signal.until(lambda: "text.wav" in harness.read(CUSTOMER))
        assert harness.asked(CUSTOMER) == [PROMPT]


async def test_an_effect_of_a_lower_epoch_is_refused(harness: FreeSwitchHarness) -> None:
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana"), epoch=7))
    with pytest.raises(ChannelError, match="epoch 6 is over"):
        await harness.channel.perform(
            harness.task(CUSTOMER, offer("phone/bo", "r2"), id_="e2", epoch=6)
        )
    assert await harness.edge.rung("phone/bo") == 0


async def test_what_is_there_is_found_and_what_may_have_been_rung_is_not_said(
    harness: FreeSwitchHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    task = harness.task(CUSTOMER, connect("phone/ana"))
    assert await harness.channel.find(task) is False
    await harness.channel.perform(task)
    assert await harness.channel.find(task) is True
    monitor = MonitorContact(
        channel="voice", contact=ContactId("c1"), reservation=ReservationId("r1"), monitor="m1",
        agent=AgentId("sue"), endpoint="phone/sue", mode="listen",
    )  # fmt: skip
    assert await harness.channel.find(harness.task(CUSTOMER, monitor)) is False
    with pytest.raises(UnknownOutcome):
        await harness.channel.find(_start("3-1", epoch=4))  # of a router before this one
    await harness.break_connection()
    with pytest.raises(ChannelLost):
        await harness.channel.perform(_start("4-1", epoch=4))
    await harness.restore()
    assert await harness.channel.find(_start("4-1", epoch=4)) is False  # never sent


async def test_a_listener_who_goes_while_the_router_takes_nothing_is_told_of_afterwards(
    harness: FreeSwitchHarness,
) -> None:
    harness.edge.will("phone/sue", "answers")
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, connect("phone/ana")))
    await harness.signal.until(lambda: bool(harness.router.said("connected")))
    monitor = MonitorContact(
        channel="voice", contact=ContactId("c1"), reservation=ReservationId("r1"), monitor="m1",
        agent=AgentId("sue"), endpoint="phone/sue", mode="listen",
    )  # fmt: skip
    await harness.channel.perform(harness.task(CUSTOMER, monitor, id_="e2"))
    sue = harness.edge.switch.phone("phone/sue")
    await harness.signal.until(lambda: sue.channel is not None and sue.channel.is_up)
    harness.router.fail("monitor_ended", Overloaded("no store", retry_after_s=0.01))
    await harness.edge.hang_up("phone/sue")
    await harness.signal.until(lambda: len(harness.router.said("monitor_ended")) == 2)


def _start(id_: str, epoch: int) -> Task:
    effect = StartContact(
        channel="voice", contact=ContactId("c9"), reservation=ReservationId("r9"),
        agent=AgentId("ana"), endpoint="phone/ana",
    )  # fmt: skip
    return Task(id=id_, epoch=epoch, workspace="main", effect=effect, external_id="",
                customer=Address(address=OTHER), our_address="+4930")  # fmt: skip


@pytest.mark.parametrize(
    ("phone", "does", "words"),
    [
        ("busy", "busy", ("busy", True)),
        ("nobody", "unknown", ("not_registered", True)),
        ("broken", "fails", ("normal_temporary_failure", True)),
    ],
)
async def test_why_a_phone_was_not_reached_is_told_apart(
    phone: str, does: str, words: tuple[str, bool], harness: FreeSwitchHarness
) -> None:
    harness.edge.will(phone, does)  # type: ignore[arg-type]
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, offer(harness.edge.endpoint(phone))))
    await harness.signal.until(lambda: bool(harness.router.said("failed")))
    [said] = harness.router.said("failed")
    assert said.args == words


async def test_a_leg_rescinded_before_its_channel_exists_stops_ringing(
    harness: FreeSwitchHarness,
) -> None:
    """Between bgapi's answer and CHANNEL_CREATE there is nothing that could be killed."""
    await harness.arrive(CUSTOMER)
    switch = harness.edge.switch
    originate = switch.originate
    switch.originate = lambda *args: switch.after_s(0.02, lambda: originate(*args))
    harness.edge.will("phone/cem", "rings")
    await harness.channel.perform(harness.task(CUSTOMER, offer("phone/cem"), id_="e1"))
    await harness.channel.perform(harness.task(CUSTOMER, rescind(), id_="e2"))
    await harness.signal.until(lambda: switch.phone("phone/cem").rung == 1)
    await harness.signal.until(lambda: switch.phone("phone/cem").channel is None)
    assert harness.router.said("failed") == harness.router.said("connected") == []


@pytest.mark.parametrize(
    "endpoint",
    ["user/ana&park", "user/ana,user/bo", "user/ana|user/bo", "user/a b", "{x=1}user/ana", "a\nb"],
)
async def test_an_endpoint_with_syntax_in_it_is_not_dialled(
    endpoint: str, harness: FreeSwitchHarness
) -> None:
    await harness.arrive(CUSTOMER)
    before = len(harness.edge.pbx.commands)
    with pytest.raises(ChannelError, match="cannot be dialled"):
        await harness.channel.perform(harness.task(CUSTOMER, offer(endpoint)))
    assert len(harness.edge.pbx.commands) == before


async def test_a_caller_who_sends_commands_in_their_name_is_a_caller(
    harness: FreeSwitchHarness,
) -> None:
    who = "+4930'},sofia/x\n\napi fsctl shutdown\n\n${uuid}"
    assert not await harness.arrive(who)
    harness.edge.will("phone/ana", "rings")
    await harness.channel.perform(harness.task(who, offer("phone/ana")))
    assert not [line for line in harness.edge.pbx.commands if "fsctl" in line.split(" ")[1:2]]
    assert harness.router.contacts[harness.external_id(who)].customer.address == who


async def test_no_number_and_no_name_is_logged(
    harness: FreeSwitchHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, offer("busy")))
    await harness.signal.until(lambda: bool(harness.router.said("failed")))
    await harness.leave(CUSTOMER)
    await harness.signal.until(lambda: bool(harness.router.said("left")))
    lines = " ".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
    assert CUSTOMER not in lines
    assert "caller" not in lines


async def test_calls_beyond_the_most_are_told_of_congestion() -> None:
    async with FreeSwitchHarness(calls=1) as harness:
        assert not await harness.arrive(CUSTOMER)
        assert await harness.arrive(OTHER) == "SWITCH_CONGESTION"
        assert len(harness.router.contacts) == 1


async def test_callers_that_a_full_router_cannot_take_go_where_the_setting_says() -> None:
    async with FreeSwitchHarness(overflow_to="busy@later") as harness:
        harness.router.fail("submit", Overloaded("full", 0.01))
        await harness.edge.call(CUSTOMER, "7000")
        phone = harness.edge.switch.phone(CUSTOMER)
        await harness.signal.until(lambda: phone.went_on_to == "later/busy")
        assert phone.channel is not None
        assert not harness.router.contacts


async def test_a_pbx_that_cannot_dial_is_spared_and_tried_again(
    harness: FreeSwitchHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    switch, ring = harness.edge.switch, harness.edge.switch.originate

    def congested(values: dict[str, str], dial: str, app: object, job: str) -> None:
        switch.phone(dial).rung += 1
        switch.job_done(job, "-ERR SWITCH_CONGESTION\n")

    switch.originate = congested
    for number in range(5):
        task = harness.task(CUSTOMER, offer("phone/x", f"r{number}"), id_=f"e{number}")
        await harness.channel.perform(task)
        await harness.signal.until(lambda n=number: len(harness.router.said("failed")) > n)  # type: ignore[misc]
    assert harness.router.states[-1] == "degraded"
    with pytest.raises(ChannelError, match="keeps failing"):
        await harness.channel.perform(harness.task(CUSTOMER, offer("phone/x", "r8"), id_="e8"))
    assert await harness.edge.rung("phone/x") == 5
    switch.originate = ring
    harness.freeswitch.board.breaker.pause_s = 0.0
    harness.freeswitch.board.breaker._next_s = 0.0
    await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana", "r9"), id_="e9"))
    await harness.signal.until(lambda: bool(harness.router.said("connected")))
    await harness.signal.until(lambda: harness.router.states[-1] == "up")


async def test_an_address_for_calls_that_is_taken_is_said(harness: FreeSwitchHarness) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    settings = {**harness.edge.settings(), "listen": f"127.0.0.1:{port}"}
    with pytest.raises(ChannelLost, match="cannot listen at"):
        await FreeSwitch("other", settings, RouterDouble(Signal())).run()
    taken.close()


async def test_a_report_that_is_not_taken_is_said_again_after_a_reconnect(
    harness: FreeSwitchHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    harness.router.fail("left", *(OutcomeUnknown("?") for _ in range(2)))
    await harness.leave(CUSTOMER)
    await harness.signal.until(lambda: bool(harness.router.said("left")))
    await harness.break_connection()
    await harness.restore()
    await harness.signal.until(lambda: len(harness.router.said("left")) == 3)


async def test_however_much_is_to_be_told_of_a_call_nothing_of_it_is_left_out(
    harness: FreeSwitchHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    board = harness.freeswitch.board
    (call,) = board.calls.values()
    harness.router.gates["left"] = asyncio.Event()
    harness.router.fail("left", Overloaded("no store", 0.01))
    board.tell(call, lambda: harness.router.left("first"))
    for number in range(150):
        board.tell(call, lambda number=number: harness.router.hung_up(f"r{number}"))  # type: ignore[misc]
    harness.router.gates["left"].set()
    await harness.signal.until(lambda: len(harness.router.said("hung_up")) == 150)
    assert [s.of for s in harness.router.said("hung_up")] == [f"r{n}" for n in range(150)]


async def test_when_too_much_is_under_way_the_connection_is_made_anew_and_nobody_is_forgotten(
    harness: FreeSwitchHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """A caller whose arrival found no room for its task waited in silence for good."""
    crew = harness.freeswitch._crew
    crew.most = len(crew)
    before = len(harness.router.states)
    channel = await harness.edge.pbx.call(CUSTOMER, "7000")
    await harness.signal.until(lambda: "down" in harness.router.states[before:])
    assert "no room for: arrival" in caplog.text
    assert not harness.router.said("submit")
    crew.most = 100
    await harness.start()
    await harness.signal.until(lambda: channel.plays is not None)
    assert len(harness.router.said("submit")) == 1


async def test_an_agent_connected_at_the_desk_is_joined_when_the_phone_answers(
    harness: FreeSwitchHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    effect = connect("phone/ana")
    assert isinstance(effect, ConnectAgent)
    await harness.channel.perform(harness.task(CUSTOMER, effect))
    await harness.signal.until(lambda: bool(harness.router.said("connected")))
    switch = harness.edge.switch
    await harness.signal.until(
        lambda: switch.voices(switch.phone(CUSTOMER).channel) == {"phone/ana"}
    )
