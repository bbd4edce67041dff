"""The Asterisk adapter passes the suites of the contract, and keeps its word when the PBX lies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adapters.asterisk import Asterisk, switchboard
from router.channel import (
    Address,
    ChannelError,
    ChannelLost,
    Effect,
    EndContact,
    OfferContact,
    Overloaded,
    RecordContact,
    StartContact,
    Task,
    TreatContact,
    UnknownOutcome,
)
from router.core.model import AgentId, ContactId, ReservationId
from router.errors import ConfigError, StoreFull
from router.testing.adapter_harness import FailingHarness, LiveHarness, RouterDouble, Signal
from router.testing.conformance import (
    CUSTOMER,
    OTHER,
    AdapterSuite,
    LeaveSuite,
    LiveSuite,
    MediaSuite,
    connect,
    deliver,
    offer,
)
from router.testing.fault_proxy import FaultProxy
from router.testing.pbx_ari import AriPbx

LINE = "+4930555100"


class AsteriskHarness(FailingHarness, LiveHarness):
    """Phones answer at once when they are rung; ``phone/ana`` of the suites is PJSIP/ana."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.signal = Signal()
        self.router = RouterDouble(self.signal)
        self.pbx = AriPbx()
        self.pbx.on_change = self.signal.notify
        self.directory = directory
        self.more = settings
        self._run: asyncio.Task[None] | None = None
        self._calls: dict[str, str] = {}

    async def __aenter__(self) -> AsteriskHarness:
        if not self.pbx.port:
            await self.pbx.start()
        secret = self.directory / "secret"
        secret.write_text(self.pbx.password)
        secret.chmod(0o600)
        settings = {"url": self.pbx.url, "user": self.pbx.user, "password_file": str(secret),
                    "trunk": "PJSIP/{number}@trunk", "timeout_s": 1.0, **self.more}  # fmt: skip
        self.channel = self.asterisk = Asterisk("pbx", settings, self.router)
        for phone in ("ana", "bo"):
            self.pbx.party(phone).will = "answers"
            self.pbx.party(phone).answers_after_s = 0.05
        self.pbx.party("#busy").will = "busy"
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.pbx.stop()

    async def start(self) -> None:
        before = len(self.router.states)
        self._run = asyncio.get_running_loop().create_task(self.asterisk.run())
        await self.signal.until(lambda: "up" in self.router.states[before:])

    async def stop(self) -> None:
        assert self._run is not None
        self._run.cancel()
        with suppress(asyncio.CancelledError, ChannelLost):
            await self._run

    async def ended(self) -> str:
        """Why `run` ended."""
        assert self._run is not None
        with pytest.raises(ChannelLost) as error:
            await self._run
        return str(error.value)

    async def ended_and_back(self, heal: Callable[[], None]) -> None:
        """If the connection breaks within a moment, run again, as the supervisor does."""
        assert self._run is not None
        await asyncio.wait({self._run}, timeout=3.0)
        heal()
        if self._run.done():
            await self.back()

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        before = len(self.router.said("submit"))
        if again and self.pbx.party(who).channel is not None:
            # The PBX says it once more: the same channel enters the application.
            channel = self.pbx.party(who).channel
            assert channel is not None
            self.pbx.switch.of(channel, "StasisStart", args=["inbound", LINE])
            await asyncio.sleep(0)
            return ""
        channel = self.pbx.call(who, LINE)
        assert channel is not None
        await self.signal.until(lambda: len(self.router.said("submit")) > before)
        await self.signal.until(lambda: channel.is_gone or channel.bridge is not None)
        return f"hung up, cause {channel.cause}" if channel.is_gone else ""

    async def write(self, who: str, text: str, message_id: str) -> str:
        raise AssertionError("callers do not write")

    async def leave(self, who: str) -> None:
        self.pbx.hang_up(who)

    def read(self, who: str) -> list[str]:
        return list(self.pbx.party(who).played)

    async def stall(self) -> int:
        raise AssertionError("callers do not write")

    def held(self) -> int:
        return len(self.asterisk.crew)

    def troubled(self, word: str) -> str:
        return f"PJSIP/#{word}"

    async def back(self) -> None:
        await self.ended()
        await self.start()

    async def break_connection(self) -> None:
        self.pbx.cut_events()
        await self.ended()

    async def vanish(self, who: str) -> None:
        self.pbx.hang_up(who)

    async def restore(self) -> None:
        self.pbx.restore_events()
        await self.start()

    def task(self, who: str, effect: Effect, **more: Any) -> Task:
        task = super().task(who, effect, **more)
        endpoint = getattr(effect, "endpoint", "")
        if endpoint.startswith("phone/"):
            words = {**{f: getattr(effect, f) for f in effect.__struct_fields__}}
            words["endpoint"] = endpoint.replace("phone/", "PJSIP/")
            task.effect = type(effect)(**words)
        return task

    def channel_of(self, who: str) -> Any:
        return self.pbx.party(who).channel

    def out(self, number: str = CUSTOMER, **fields: Any) -> Task:
        """A call to a customer, for nobody in particular."""
        effect = StartContact(channel="voice", contact=ContactId("c7"), **fields)
        return Task(id="9-1", epoch=1, workspace="main", effect=effect, external_id="",
                    customer=Address(address=number), our_address="+49305550")  # fmt: skip


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[AsteriskHarness]:
    async with AsteriskHarness(tmp_path) as harness:
        yield harness


class TestAsteriskKeepsTheContract(AdapterSuite, LeaveSuite, MediaSuite, LiveSuite):
    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[AsteriskHarness]:
        async with AsteriskHarness(tmp_path) as harness:
            yield harness

    async def test_the_same_arrival_twice_is_one_contact(  # type: ignore[override]
        self, harness: AsteriskHarness
    ) -> None:
        await harness.arrive(CUSTOMER)
        await harness.arrive(CUSTOMER, again=True)
        await harness.arrive(OTHER)  # comes after whatever the second one would have caused
        assert len(harness.router.contacts) == 2


# -- callers we cannot take ------------------------------------------------------------------------


async def test_a_caller_too_many_hears_congestion(tmp_path: Path) -> None:
    async with AsteriskHarness(tmp_path, calls=1) as harness:
        await harness.arrive(CUSTOMER)
        channel = harness.pbx.call(OTHER, LINE)
        assert channel is not None
        await harness.signal.until(lambda: channel.is_gone)
        assert channel.cause == 34
        assert len(harness.router.contacts) == 1


async def test_a_caller_too_many_goes_where_the_dialplan_has_a_place(tmp_path: Path) -> None:
    async with AsteriskHarness(tmp_path, calls=1, overflow_to="overflow/s") as harness:
        await harness.arrive(CUSTOMER)
        harness.pbx.call(OTHER, LINE)
        await harness.signal.until(lambda: harness.pbx.party(OTHER).went_on_to == "overflow/s")


async def test_who_cannot_be_taken_was_never_answered(harness: AsteriskHarness) -> None:
    harness.router.gates["submit"] = asyncio.Event()
    channel = harness.pbx.call(CUSTOMER, LINE)
    assert channel is not None
    await harness.signal.until(lambda: bool(harness.router.said("submit")))
    assert channel.state == "Ring"


# -- a PBX that fails, lies or is silent -----------------------------------------------------------


async def problem(harness: AsteriskHarness, task: Task) -> ChannelError:
    with pytest.raises(ChannelError) as error:
        await harness.channel.perform(task)
    return error.value


async def test_a_channel_whose_answer_was_lost_is_asked_for_and_not_made_again(
    harness: AsteriskHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    harness.pbx.trouble("POST", "/create", "cut")
    await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana")))
    await harness.signal.until(lambda: bool(harness.router.said("connected")))
    made = [path for method, path, _ in harness.pbx.requests if path == "/channels/create"]
    assert len(made) == 1
    assert harness.pbx.party("ana").rung == 1


async def test_a_request_that_is_never_answered_has_a_deadline(harness: AsteriskHarness) -> None:
    await harness.arrive(CUSTOMER)
    harness.pbx.trouble("POST", "/create", "silence")
    async with asyncio.timeout(30):
        await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana")))
    await harness.signal.until(lambda: bool(harness.router.said("connected")))
    assert harness.pbx.party("ana").rung == 1


async def test_what_nobody_can_know_is_an_unknown_outcome(harness: AsteriskHarness) -> None:
    await harness.arrive(CUSTOMER)
    harness.pbx.trouble("POST", "/create", "cut")
    harness.pbx.trouble("GET", "-c1-r1", 503, 503, 503)
    error = await problem(harness, harness.task(CUSTOMER, offer("phone/ana")))
    assert isinstance(error, UnknownOutcome)


async def test_a_channel_that_never_enters_the_application_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "THERE_S", 0.5)
    async with AsteriskHarness(tmp_path) as harness:
        await harness.arrive(CUSTOMER)
        harness.pbx.races.late_start_s = 60.0
        error = await problem(harness, harness.task(CUSTOMER, offer("phone/ana")))
        assert "lost it" in str(error)
        await harness.signal.until(lambda: "ana" not in str(harness.pbx.left_over()))


async def test_a_pbx_that_keeps_failing_is_left_in_peace_and_tried_again(
    harness: AsteriskHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    await harness.signal.until(lambda: "CR_CONTACT" in harness.channel_of(CUSTOMER).variables)
    harness.asterisk.rest.breaker.pause_s = 60.0
    music = TreatContact(channel="voice", contact=ContactId("c1"), kind="text", text="sound:beep")
    for number in range(15):
        # What the arrival still asks for may succeed in between, and is counted from anew.
        harness.pbx.trouble("POST", "/play", 503)
        await problem(harness, harness.task(CUSTOMER, music, id_=f"e{number}"))
        if harness.router.states[-1] == "degraded":
            break
    assert harness.router.states[-1] == "degraded"
    asked = len(harness.pbx.requests)
    error = await problem(harness, harness.task(CUSTOMER, music, id_="late"))
    assert "keeps failing" in str(error)
    assert len(harness.pbx.requests) == asked
    harness.asterisk.rest.breaker.pause_s = 0.0
    harness.asterisk.rest.breaker._next_s = 0.0
    await harness.channel.perform(harness.task(CUSTOMER, music, id_="again"))
    assert harness.router.states[-1] == "up"
    await harness.signal.until(lambda: harness.read(CUSTOMER) == ["sound:beep"])


async def test_a_pbx_that_falls_silent_is_lost(tmp_path: Path) -> None:
    harness = AsteriskHarness(tmp_path, ping_s=0.1)
    await harness.pbx.start()
    async with FaultProxy("127.0.0.1", harness.pbx.port) as proxy:
        harness.more["url"] = f"http://127.0.0.1:{proxy.port}/ari"
        async with harness:
            assert not await harness.arrive(CUSTOMER)
            proxy.answers.hang()
            assert "event socket is closed" in await harness.ended()
            proxy.answers.flow()
            await harness.start()
            assert harness.router.said("live")[-1].args == (harness.external_id(CUSTOMER),)


@pytest.mark.parametrize("at", [1, 200, 900, 1700, 2500, 4000, 6000])
async def test_an_event_socket_cut_in_the_middle_of_a_message_loses_nothing(
    tmp_path: Path, at: int
) -> None:
    harness = AsteriskHarness(tmp_path)
    await harness.pbx.start()
    async with FaultProxy("127.0.0.1", harness.pbx.port) as proxy:
        harness.more["url"] = f"http://127.0.0.1:{proxy.port}/ari"
        async with harness:
            proxy.answers.reset_at = proxy.answers.passed + at
            harness.pbx.call(CUSTOMER, LINE)
            harness.pbx.call(OTHER, LINE)
            await harness.ended_and_back(lambda: setattr(proxy.answers, "reset_at", -1))
            await harness.signal.until(lambda: len(harness.router.contacts) == 2)
            plays = harness.pbx.switch.plays
            for who in (CUSTOMER, OTHER):
                await harness.signal.until(
                    lambda who=who: plays(harness.channel_of(who)) == "music"
                )
            assert len({said.of for said in harness.router.said("submit")}) == 2


async def test_nonsense_on_the_event_socket_is_passed_over(harness: AsteriskHarness) -> None:
    for text in ("", "{", "[]", '{"type": 7}', "\x00\xff", '{"type":"StasisStart"}',
                 '{"type":"ChannelStateChange","channel":{"id":"nobody","state":"Up"}}',
                 '{"type":"Dial","peer":{"id":"nobody"},"dialstatus":"ANSWER"}'):  # fmt: skip
        await harness.pbx.say_raw(text)
    assert not await harness.arrive(CUSTOMER)
    assert harness.asterisk.garbage == 5


@pytest.mark.parametrize("ending", ["/answer", "/addChannel", "/variable"])
async def test_a_caller_is_taken_in_though_requests_fail_now_and_then(
    harness: AsteriskHarness, ending: str
) -> None:
    harness.pbx.trouble("POST", ending, 503, "cut")
    assert not await harness.arrive(CUSTOMER)
    assert harness.pbx.switch.plays(harness.channel_of(CUSTOMER)) == "music"
    assert len(harness.router.said("submit")) == 1


@pytest.mark.parametrize("what", [503, "cut"])
async def test_who_is_turned_away_is_turned_away_though_a_request_fails(
    tmp_path: Path, what: int | str
) -> None:
    async with AsteriskHarness(tmp_path, overflow_to="full/s", deflect_to="bye/s") as harness:
        harness.router.fail("submit", Overloaded("full", 0.01))
        harness.pbx.trouble("POST", "/continue", what)
        harness.pbx.call(CUSTOMER, LINE)
        await harness.signal.until(lambda: harness.pbx.party(CUSTOMER).went_on_to == "full/s")
        await harness.arrive(OTHER)
        effect = EndContact(channel="voice", contact=ContactId("c1"), outcome="deflected",
                            text="sound:sorry")  # fmt: skip
        harness.pbx.trouble("POST", "/continue", what)
        await harness.channel.perform(harness.task(OTHER, effect))
        await harness.signal.until(lambda: harness.pbx.party(OTHER).went_on_to == "bye/s")
        assert harness.read(OTHER) == ["sound:sorry"]
        assert not harness.router.said("left")


async def test_a_recording_that_cannot_begin_is_said_to_have_ended(
    harness: AsteriskHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, connect("phone/ana")))
    await harness.signal.until(lambda: bool(harness.router.said("connected")))
    harness.pbx.trouble("POST", "/record", 500)
    effect = RecordContact(channel="voice", contact=ContactId("c1"), recording="c1-r1-1",
                           reservation=ReservationId("r1"), on=True)  # fmt: skip
    await problem(harness, harness.task(CUSTOMER, effect, id_="e2"))
    await harness.signal.until(lambda: bool(harness.router.said("recording_ended")))
    assert harness.router.said("recording_ended")[0].of == "c1-r1-1"


async def test_a_pbx_without_event_filters_is_fine(tmp_path: Path) -> None:
    harness = AsteriskHarness(tmp_path)
    harness.pbx.trouble("PUT", "/eventFilter", 404)
    async with harness:
        assert not await harness.arrive(CUSTOMER)


async def test_a_pbx_that_cannot_list_its_channels_is_tried_again(tmp_path: Path) -> None:
    async with AsteriskHarness(tmp_path) as harness:
        await harness.stop()
        harness.pbx.trouble("GET", "/channels", 503, 500)
        for _ in range(2):
            with pytest.raises(ChannelLost, match="GET channels"):
                await harness.asterisk.run()
        await harness.start()


async def test_a_caller_who_comes_while_the_channels_are_being_listed_is_said_to_live(
    harness: AsteriskHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    await harness.break_connection()
    harness.pbx.restore_events()
    harness.router.fail("live", Overloaded("busy", 0.3))
    before = len(harness.router.said("live"))
    again = asyncio.get_running_loop().create_task(harness.start())
    await harness.signal.until(lambda: len(harness.router.said("live")) > before)
    harness.pbx.call(OTHER, LINE)
    await harness.signal.until(lambda: len(harness.router.said("submit")) == 2)
    await again
    assert set(harness.router.said("live")[-1].args) == {
        harness.external_id(CUSTOMER), harness.external_id(OTHER),
    }  # fmt: skip


async def test_a_wrong_password_is_said_in_words(tmp_path: Path) -> None:
    async with AsteriskHarness(tmp_path) as harness:
        await harness.stop()
        harness.pbx.password = "changed meanwhile"
        with pytest.raises(ChannelLost, match="user or password is wrong"):
            await harness.asterisk.run()


async def test_an_agent_who_hangs_up_while_nothing_can_be_saved_is_told_of_afterwards(
    harness: AsteriskHarness,
) -> None:
    """However long that lasts: the customer has music meanwhile, and then whoever is next."""
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana"), id_="e1"))
    await harness.channel.perform(harness.task(CUSTOMER, connect("phone/ana"), id_="e2"))

    def place() -> str:
        bridge = harness.channel_of(CUSTOMER).bridge
        return bridge.id if bridge is not None else ""

    await harness.signal.until(lambda: "-talk-" in place())
    away = StoreFull("no store")
    harness.router.fail("hung_up", away, away)
    harness.pbx.hang_up("ana")
    await harness.signal.until(lambda: place().endswith("-hold"))
    await harness.signal.until(lambda: len(harness.router.said("hung_up")) == 3)
    assert {said.of for said in harness.router.said("hung_up")} == {"r1"}


async def test_a_bridge_that_somebody_deleted_is_made_again(harness: AsteriskHarness) -> None:
    await harness.arrive(CUSTOMER)
    hold = harness.pbx.switch.bridges["contact-router-hold"]
    harness.pbx.switch.destroy(hold)
    assert not await harness.arrive(OTHER)
    assert harness.channel_of(OTHER).bridge.id == "contact-router-hold"


async def test_an_application_that_was_taken_over_is_not_taken_back(tmp_path: Path) -> None:
    async with AsteriskHarness(tmp_path, replaced_pause_s=0.3) as harness:
        before = harness.pbx.sockets_opened
        harness.pbx.replace()
        await harness.signal.until(lambda: harness.router.states[-1] == "down")
        with pytest.raises(ChannelLost):
            await harness.channel.perform(harness.out())
        assert "taken the application over" in await harness.ended()
        assert harness.pbx.sockets_opened == before


# -- what is asked for twice, or of nobody ---------------------------------------------------------


async def test_an_effect_of_a_lower_epoch_is_refused(harness: AsteriskHarness) -> None:
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana"), id_="a", epoch=7))
    task = harness.task(CUSTOMER, offer("phone/bo", "r2"), id_="b", epoch=6)
    assert "epoch 6 is over" in str(await problem(harness, task))
    assert harness.pbx.party("bo").rung == 0


async def test_a_connect_after_a_restart_is_found_at_the_pbx(
    harness: AsteriskHarness, tmp_path: Path
) -> None:
    await harness.arrive(CUSTOMER)
    harness.pbx.party("ana").will = "rings"
    task = harness.task(CUSTOMER, connect("phone/ana"))
    assert await harness.channel.find(task) is False
    await harness.channel.perform(task)
    await harness.stop()
    harness.channel = harness.asterisk = Asterisk("pbx", harness.asterisk.settings, harness.router)
    await harness.start()
    assert await harness.channel.find(task) is True
    harness.pbx.answer("ana")
    await harness.signal.until(lambda: bool(harness.router.said("connected")))
    assert harness.pbx.party("ana").rung == 1


async def test_a_customer_who_was_being_called_at_a_restart_is_not_called_twice(
    harness: AsteriskHarness,
) -> None:
    call = asyncio.get_running_loop().create_task(harness.channel.perform(harness.out()))
    await harness.signal.until(lambda: harness.pbx.party(CUSTOMER).rung == 1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await harness.stop()
    harness.channel = harness.asterisk = Asterisk("pbx", harness.asterisk.settings, harness.router)
    await harness.start()
    assert await harness.channel.find(harness.out()) is True
    harness.pbx.answer(CUSTOMER)
    await harness.signal.until(lambda: bool(harness.router.said("started")))
    assert harness.pbx.party(CUSTOMER).rung == 1


async def test_a_customer_for_nobody_in_particular_is_called_and_named(
    harness: AsteriskHarness,
) -> None:
    harness.pbx.party(CUSTOMER).will = "answers"
    await harness.channel.perform(harness.out())
    await harness.signal.until(lambda: bool(harness.router.said("started")))
    assert harness.router.said("started")[0].args == ("c7",)
    create = next(q for _, path, q in harness.pbx.requests if path == "/channels/create")
    assert create["endpoint"] == f"PJSIP/{CUSTOMER}@trunk"


async def test_a_busy_customer_makes_the_call_fail(harness: AsteriskHarness) -> None:
    harness.pbx.party(CUSTOMER).will = "busy"
    assert str(await problem(harness, harness.out())) == "busy"
    assert not harness.router.said("started")
    await harness.signal.until(lambda: harness.pbx.left_over() == ["contact-router-hold"])


@pytest.mark.parametrize("number", ["+49&30", "anna@example.com", "+4930\r\nX: y", "", "1" * 40])
async def test_what_is_no_number_is_not_dialled(harness: AsteriskHarness, number: str) -> None:
    assert "no number" in str(await problem(harness, harness.out(number)))


async def test_a_customer_is_not_called_after_the_permitted_time(harness: AsteriskHarness) -> None:
    assert str(await problem(harness, harness.out(not_after_us=1))) == "too_late"


async def test_effects_about_callers_who_are_gone_change_nothing(harness: AsteriskHarness) -> None:
    await harness.arrive(CUSTOMER)
    task = harness.task(CUSTOMER, offer("phone/ana"))
    bye = harness.task(
        CUSTOMER, EndContact(channel="voice", contact=ContactId("c1"), outcome="x"), id_="e2"
    )
    harness.pbx.hang_up(CUSTOMER)
    await harness.signal.until(lambda: bool(harness.router.said("left")))
    assert str(await problem(harness, task)) == "customer_gone"
    await harness.channel.perform(bye)
    assert harness.pbx.party("ana").rung == 0


@pytest.mark.parametrize("endpoint", ["PJSIP/ana\r\nDELETE /", "PJSIP/a\x00b", "PJSIP/ana\x7f"])
async def test_line_breaks_never_reach_the_pbx(harness: AsteriskHarness, endpoint: str) -> None:
    await harness.arrive(CUSTOMER)
    asked = len(harness.pbx.requests)
    effect = OfferContact(
        channel="voice", contact=ContactId("c1"), reservation=ReservationId("r1"),
        agent=AgentId("ana"), endpoint=endpoint, deadline_at_us=1,
    )  # fmt: skip
    assert "control characters" in str(await problem(harness, harness.task(CUSTOMER, effect)))
    assert len(harness.pbx.requests) == asked


async def test_calls_carry_no_messages(harness: AsteriskHarness) -> None:
    await harness.arrive(CUSTOMER)
    assert "DeliverMessage" in str(await problem(harness, harness.task(CUSTOMER, deliver())))


async def test_no_personal_data_is_logged(
    harness: AsteriskHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await harness.arrive(CUSTOMER)
    harness.pbx.party("ana").will = "busy"
    await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana")))
    await harness.signal.until(lambda: bool(harness.router.said("failed")))
    await problem(harness, harness.out("+4930secret"))
    await harness.leave(CUSTOMER)
    await harness.signal.until(lambda: bool(harness.router.said("left")))
    text = " ".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
    assert CUSTOMER not in text
    assert "secret" not in text


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"url": "http://pbx.example.com:8088/ari"}, "use https to another machine"),
        ({"url": "pbx:8088"}, "expected http://host:8088/ari"),
        ({"url": "http://u:p@127.0.0.1:8088/ari"}, "`password_file`"),
        ({"user": ""}, "must not be empty"),
        ({"app": "a,b"}, "app has no comma"),
        ({"trunk": "PJSIP/carrier"}, "must hold {number}"),
        ({"deflect_to": "voicemail"}, "expected context/extension"),
        ({"fallback_to": "voicemail"}, "expected context/extension"),
        ({"fallback_after_s": -1}, "fallback_after_s >= 0"),
        ({"announcements": {"Hello": "hello.wav"}}, "media begins with"),
        ({"dial_first": "nobody"}, "dial_first"),
        ({"usr": "x"}, "did you mean 'user'?"),
        ({"ring_s": 0}, "ring_s must be > 0"),
    ],
)
def test_wrong_settings_say_what_was_expected(
    tmp_path: Path, change: dict[str, Any], finding: str
) -> None:
    (tmp_path / "secret").write_text("a good one")
    (tmp_path / "secret").chmod(0o600)
    settings = {"url": "http://127.0.0.1:8088/ari", "user": "router",
                "password_file": str(tmp_path / "secret"), **change}  # fmt: skip
    with pytest.raises(ConfigError) as error:
        Asterisk("pbx", settings, RouterDouble(Signal()))
    assert finding in str(error.value.findings)


@pytest.mark.parametrize("password", ["asterisk", "secret", "Password", "router"])
def test_a_password_that_everybody_knows_is_refused(tmp_path: Path, password: str) -> None:
    (tmp_path / "secret").write_text(password)
    (tmp_path / "secret").chmod(0o600)
    settings = {"url": "http://127.0.0.1:8088/ari", "user": "router",
                "password_file": str(tmp_path / "secret")}  # fmt: skip
    with pytest.raises(ConfigError, match="stands in every guide"):
        Asterisk("pbx", settings, RouterDouble(Signal()))
