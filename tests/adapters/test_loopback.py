"""The loopback passes the suites, as a PBX and as a text channel, and fails on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from adapters.loopback import Line, Loopback
from router.channel import (
    Address,
    ChannelError,
    ChannelLost,
    ConferenceContact,
    ConnectAgent,
    DisconnectAgent,
    Effect,
    EndContact,
    MonitorContact,
    MoveAgent,
    Overloaded,
    RecordContact,
    Refused,
    StartContact,
    StopMonitor,
    Task,
)
from router.core.model import AgentId, ContactId, ReservationId
from router.errors import ConfigError
from router.testing.adapter_harness import (
    AskingHarness,
    FailingHarness,
    LiveHarness,
    RouterDouble,
    Signal,
    ThreadHarness,
    TypingHarness,
)
from router.testing.conformance import (
    CUSTOMER,
    FailureSuite,
    LeaveSuite,
    LiveSuite,
    MediaSuite,
    TextSuite,
    ThreadSuite,
    connect,
    deliver,
    offer,
    rescind,
)
from router.testing.conformance_talk import AskingSuite, TypingSuite


class LoopbackHarness(FailingHarness, LiveHarness, ThreadHarness, TypingHarness, AskingHarness):
    def __init__(self, **settings: Any) -> None:
        self.signal = Signal()
        self.router = RouterDouble(self.signal)
        self.settings = {"slow_s": 0.05, **settings}
        self.channel = self.loopback = Loopback("loop", self.settings, self.router)
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LoopbackHarness:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._run = asyncio.get_running_loop().create_task(self.loopback.run())
        before = len(self.router.states)
        await self.signal.until(lambda: "up" in self.router.states[before:])

    async def stop(self) -> None:
        assert self._run is not None
        self._run.cancel()
        with suppress(asyncio.CancelledError, ChannelLost):
            await self._run

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        return await told(self.loopback.arrive(who, to="1", text=text, external_id=f"x{who}"))

    async def write(self, who: str, text: str, message_id: str) -> str:
        return await told(self.loopback.write(f"x{who}", text, message_id=message_id))

    async def leave(self, who: str) -> None:
        await self.loopback.leave(f"x{who}")

    def read(self, who: str) -> list[str]:
        kinds = ("DeliverMessage", "TreatContact", "EndContact")
        return [
            p.task.text or getattr(p.task.effect, "text", "")
            for p in self.loopback.performed
            if p.outcome == "done"
            and p.task.external_id == f"x{who}"
            and type(p.task.effect).__name__ in kinds
        ]

    async def stall(self) -> int:
        return 1_000

    def held(self) -> int:
        return max(len(line.heard) for line in self.loopback.lines.values())

    def troubled(self, word: str) -> str:
        return f"+4930900#{word}"

    async def back(self) -> None:
        assert self._run is not None
        with pytest.raises(ChannelLost):
            await self._run
        await self.start()

    async def break_connection(self) -> None:
        self.loopback.lose()
        assert self._run is not None
        with pytest.raises(ChannelLost):
            await self._run

    async def vanish(self, who: str) -> None:
        del self.loopback.lines[f"x{who}"]

    async def restore(self) -> None:
        await self.start()

    async def renew(self) -> None:
        await self.stop()
        self.channel = self.loopback = Loopback("loop", self.settings, self.router)
        await self.start()

    def asked(self, who: str) -> list[str]:
        return [text for text in self.loopback.lines[f"x{who}"].heard if text.endswith("?")]

    async def answer(self, who: str, value: str) -> None:
        await self.loopback.press(f"x{who}", value)

    def typed(self, who: str) -> int:
        return self.loopback.lines[f"x{who}"].typed

    async def reread(self, who: str) -> list[str]:
        return await self.loopback.reread(f"x{who}")


async def told(call: Any) -> str:
    try:
        await call
    except (Overloaded, Refused) as error:
        return str(error)
    return ""


class TestLoopbackAsATextChannel(
    TextSuite, LeaveSuite, FailureSuite, ThreadSuite, TypingSuite, AskingSuite
):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[LoopbackHarness]:
        async with LoopbackHarness() as harness:
            yield harness


class TestLoopbackAsAPbx(TextSuite, LeaveSuite, FailureSuite, MediaSuite, LiveSuite):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[LoopbackHarness]:
        async with LoopbackHarness(media=True, answer_after_s=0.01) as harness:
            yield harness


async def test_a_slow_customer_is_served_late_but_served() -> None:
    async with LoopbackHarness() as harness:
        await harness.arrive("+49#slow")
        loop = asyncio.get_running_loop()
        before = loop.time()
        await harness.channel.perform(harness.task("+49#slow", deliver(), text="at last"))
        assert loop.time() - before >= 0.05
        assert harness.read("+49#slow") == ["at last"]


async def test_the_script_answers_and_declines_a_ringing_endpoint() -> None:
    async with LoopbackHarness(media=True) as harness:
        await harness.arrive(CUSTOMER)
        await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana", "r1"), id_="e1"))
        await harness.channel.perform(harness.task(CUSTOMER, offer("phone/bo", "r2"), id_="e2"))
        await harness.loopback.decline("r1")
        await harness.loopback.answer("r2")
        assert harness.router.said("failed")[0].args == ("busy", True)
        assert harness.router.said("connected")[0].of == "r2"
        with pytest.raises(ChannelError, match="no ringing endpoint"):
            await harness.loopback.answer("r1")


async def test_a_rescinded_ring_cannot_be_answered_any_more() -> None:
    async with LoopbackHarness(media=True) as harness:
        await harness.arrive(CUSTOMER)
        await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana"), id_="e1"))
        await harness.channel.perform(harness.task(CUSTOMER, rescind(), id_="e2"))
        with pytest.raises(ChannelError, match="no ringing endpoint"):
            await harness.loopback.answer("r1")


async def test_a_call_ends_its_rings() -> None:
    async with LoopbackHarness(media=True) as harness:
        await harness.arrive(CUSTOMER)
        await harness.channel.perform(harness.task(CUSTOMER, connect("phone/ana")))
        await harness.signal.until(lambda: bool(harness.router.said("connected")))
        await harness.loopback.hang_up(f"x{CUSTOMER}")
        assert harness.loopback.rings == {}
        assert harness.router.said("ended")[0].of == f"x{CUSTOMER}"


async def test_a_customer_reached_after_the_router_gave_up_is_hung_up_on() -> None:
    async with LoopbackHarness(media=True) as harness:
        harness.router.fail("started", Refused("not_found", "no contact 'c7'"))
        effect = StartContact(channel="voice", contact=ContactId("c7"))
        task = Task(id="e1", epoch=1, workspace="main", effect=effect, external_id="",
                    customer=Address(address=CUSTOMER), our_address="")  # fmt: skip
        await harness.channel.perform(task)
        await harness.loopback.until(lambda: not harness.loopback.lines)
        assert len(harness.router.said("started")) == 1


async def test_a_full_backend_refuses_at_the_door() -> None:
    async with LoopbackHarness(contacts=1) as harness:
        await harness.loopback.arrive("+491")
        with pytest.raises(ChannelError, match="holds 1 contacts and is full"):
            await harness.loopback.arrive("+492")
        assert len(harness.router.contacts) == 1


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ({"meda": True}, "adapters.loop.meda: unknown setting; did you mean 'media'?"),
        ({"media": "yes"}, "adapters.loop.media: Expected `bool`, got `str`"),
        ({"contacts": 0}, "adapters.loop: contacts and keep must be > 0"),
        ({"xyzzy": 1}, "adapters.loop.xyzzy: unknown setting; known: media"),
    ],
)
def test_wrong_settings_say_what_was_expected(settings: dict[str, Any], finding: str) -> None:
    with pytest.raises(ConfigError) as error:
        Loopback("loop", settings, RouterDouble(Signal()))
    assert error.value.findings[0].startswith(finding)


# -- calls ---------------------------------------------------------------------------------------


class Calls:
    """A loopback as a PBX with one caller, and effects for it by hand."""

    def __init__(self, harness: LoopbackHarness) -> None:
        self.harness = harness
        self.pbx = harness.loopback
        self.count = 0

    async def do(self, effect: Effect, *, consult: bool = False) -> None:
        self.count += 1
        there = {"external_id": "", "consult_of": "xcaller"} if consult else {}
        task = Task(
            **{
                "id": f"e{self.count}", "epoch": 1, "workspace": "main", "effect": effect,
                "external_id": "xcaller", "customer": Address(address="caller"),
                "our_address": "1", **there,
            }
        )  # fmt: skip
        await self.pbx.perform(task)

    async def leg(self, contact: str, reservation: str, *, consult: bool = False) -> None:
        """An agent's leg, up."""
        effect = ConnectAgent(
            channel="voice",
            contact=ContactId(contact),
            reservation=ReservationId(reservation),
            agent=AgentId(reservation),
            endpoint=f"SIP/{reservation}",
            deadline_at_us=0,
        )
        await self.do(effect, consult=consult)

    @property
    def line(self) -> Line:
        return self.pbx.lines["xcaller"]


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    async with LoopbackHarness(media=True) as harness:
        await harness.arrive("caller")
        yield Calls(harness)


WHERE: dict[str, Any] = {"channel": "voice", "contact": ContactId("c1")}


async def test_a_consult_a_conference_and_a_hand_over_are_heard_by_the_right_ones(
    calls: Calls,
) -> None:
    await calls.leg("c1", "ana")
    assert calls.line.hears() == ["ana"]
    await calls.leg("k1", "ben", consult=True)
    assert (calls.line.hears(), calls.line.agent_hears()) == ([], ["ben"])
    both = {"reservation": ReservationId("ana"), "consult_reservation": ReservationId("ben")}
    confer = {**WHERE, "consult": ContactId("k1"), **both}
    await calls.do(ConferenceContact(together=True, **confer))
    assert calls.line.hears() == ["ana", "ben"]
    await calls.do(ConferenceContact(together=False, **confer))
    assert (calls.line.hears(), calls.line.agent_hears()) == ([], ["ben"])
    ana = {"reservation": ReservationId("ana"), "agent": AgentId("ana")}
    await calls.do(DisconnectAgent(**WHERE, **ana))
    ben = {"reservation": ReservationId("ben"), "agent": AgentId("ben")}
    await calls.do(MoveAgent(**WHERE, from_contact=ContactId("k1"), **ben))
    assert (calls.line.hears(), calls.line.agent_hears()) == (["ben"], [])
    await calls.pbx.hang_up_agent("ben")
    assert calls.harness.router.said("hung_up")[0].of == "ben"
    assert calls.line.hears() == []


async def test_the_end_of_a_consult_takes_the_consulted_leg_alone(calls: Calls) -> None:
    await calls.leg("c1", "ana")
    await calls.leg("k1", "ben", consult=True)
    over = EndContact(channel="voice", contact=ContactId("k1"), outcome="completed")
    await calls.do(over, consult=True)
    assert list(calls.pbx.rings) == ["ana"]
    assert calls.line.agent_hears() == []


async def test_a_listener_is_rung_once_and_heard_as_the_mode_says(calls: Calls) -> None:
    await calls.leg("c1", "ana")
    who = {"reservation": ReservationId("ana"), "agent": AgentId("cy"), "endpoint": "SIP/cy"}
    for mode, customer, agent in (
        ("listen", ["ana"], []),
        ("whisper", ["ana"], ["SIP/cy"]),
        ("barge", ["ana", "SIP/cy"], ["SIP/cy"]),
    ):
        effect = MonitorContact(**WHERE, monitor="l1", mode=mode, **who)
        await calls.do(effect)
        assert (calls.line.hears(), calls.line.agent_hears()) == (customer, agent)
    assert await calls.pbx.find(calls.harness.task("caller", effect))
    await calls.pbx.stop_listening("l1")
    assert not await calls.pbx.find(calls.harness.task("caller", effect))
    busy = {**who, "endpoint": "SIP/cy#busy"}
    await calls.do(MonitorContact(**WHERE, monitor="l2", mode="listen", **busy))
    await calls.harness.signal.until(
        lambda: [said.of for said in calls.harness.router.said("monitor_ended")] == ["l1", "l2"]
    )
    await calls.do(StopMonitor(**WHERE, monitor="l2"))


async def test_a_recording_is_paused_and_lost(calls: Calls) -> None:
    await calls.leg("c1", "ana")
    name = {"reservation": ReservationId("ana"), "recording": "c1-ana-1"}
    for on in (True, False, True):
        await calls.do(RecordContact(**WHERE, on=on, **name))
        assert calls.line.recordings == {"c1-ana-1": on}
    await calls.pbx.lose_recording("c1-ana-1")
    assert calls.harness.router.said("recording_ended")[0].args == ("disk full",)
