"""The remote adapter passes the suites in both encodings and keeps its protocol when cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Literal

import msgspec
import pytest

import adapters.remote
from adapters.remote import Remote
from adapters.remote.channel import BAD_FRAMES, CALLS
from router.channel import ChannelError, ChannelLost, Line, Refused, Task, UnknownOutcome
from router.core.record import Record
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
)
from router.testing.conformance_talk import AskingSuite, TypingSuite
from tests.adapters.far_half import DOWN, UP, FarHalf


class RemoteHarness(FailingHarness, LiveHarness, ThreadHarness, TypingHarness, AskingHarness):
    def __init__(
        self, encoding: Literal["json", "msgpack"] = "json", *, timeout_s: float = 5.0,
        **backend: Any,
    ) -> None:  # fmt: skip
        self.signal = Signal()
        self.router = RouterDouble(self.signal)
        self._timeout_s, self._encoding, self._backend = timeout_s, encoding, backend
        self._make()
        self._tasks: list[asyncio.Task[None]] = []

    def _make(self) -> None:
        settings = {"outbox": 50, "effect_timeout_s": self._timeout_s}
        self.channel = self.remote = Remote("far", settings, self.router)
        backend = {"slow_s": 0.05, **self._backend}
        self.far = FarHalf(self.remote, self._encoding, backend, self.signal)

    async def __aenter__(self) -> RemoteHarness:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        before = len(self.router.states)
        self._tasks = [loop.create_task(self.remote.run())]
        await self.signal.until(lambda: len(self.router.states) > before)
        self.far.connect()
        self._tasks.append(loop.create_task(self.far.backend.run()))
        await asyncio.sleep(0)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, ChannelLost):
                await task
        await self.far.cut()

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        return await told(self.far.backend.arrive(who, to="1", text=text, external_id=f"x{who}"))

    async def write(self, who: str, text: str, message_id: str) -> str:
        return await told(self.far.backend.write(f"x{who}", text, message_id=message_id))

    async def leave(self, who: str) -> None:
        await self.far.backend.leave(f"x{who}")

    def read(self, who: str) -> list[str]:
        return [
            p.task.text or getattr(p.task.effect, "text", "")
            for p in self.far.backend.performed
            if p.outcome == "done" and p.task.external_id == f"x{who}"
        ]

    async def stall(self) -> int:
        self.far.stalled = True
        return 50

    def held(self) -> int:
        return self.remote.pending

    def troubled(self, word: str) -> str:
        return f"+4930900#{word}"

    async def back(self) -> None:
        with pytest.raises(ChannelLost):
            await self._tasks[1]
        self._tasks[1] = asyncio.get_running_loop().create_task(self.far.backend.run())
        await asyncio.sleep(0)

    async def break_connection(self) -> None:
        await self.far.cut()

    async def vanish(self, who: str) -> None:
        del self.far.backend.lines[f"x{who}"]

    async def restore(self) -> None:
        self.far.connect()

    async def renew(self) -> None:
        await self.stop()
        self._make()
        await self.start()

    def asked(self, who: str) -> list[str]:
        heard = self.far.backend.lines[f"x{who}"].heard
        return [text for text in heard if text.endswith("?")]

    async def answer(self, who: str, value: str) -> None:
        await self.far.backend.press(f"x{who}", value)

    def typed(self, who: str) -> int:
        return self.far.backend.lines[f"x{who}"].typed

    async def reread(self, who: str) -> list[str]:
        return await self.far.backend.reread(f"x{who}")


async def told(call: Any) -> str:
    try:
        await call
    except Exception as error:
        return str(error)
    return ""


class TestRemote(TextSuite, LeaveSuite, FailureSuite, ThreadSuite, TypingSuite, AskingSuite):
    @pytest.fixture(params=["json", "msgpack"])
    async def harness(self, request: pytest.FixtureRequest) -> AsyncIterator[RemoteHarness]:
        async with RemoteHarness(request.param) as harness:
            yield harness


class TestRemotePbx(MediaSuite, LiveSuite):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[RemoteHarness]:
        async with RemoteHarness(media=True, answer_after_s=0.01) as harness:
            yield harness


@pytest.fixture
async def harness() -> AsyncIterator[RemoteHarness]:
    async with RemoteHarness(timeout_s=1.5) as harness:
        await harness.arrive(CUSTOMER)
        yield harness


def performing(harness: RemoteHarness, task: Task) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(harness.remote.perform(task))


async def test_a_newer_session_replaces_the_older(harness: RemoteHarness) -> None:
    second = FarHalf(harness.remote, "json", {}, harness.signal)
    session = second.connect()
    assert harness.far.closed == [(4001, "replaced by a newer session")]
    assert harness.remote.session is session
    await second.call("left", external_id="x", reason="")
    await second.cut()
    assert harness.router.states[-1] == "down"


async def test_the_end_of_a_replaced_session_does_not_end_the_newer(harness: RemoteHarness) -> None:
    older = harness.far.session
    assert older is not None
    second = FarHalf(harness.remote, "json", {}, harness.signal)
    session = second.connect()
    older.detach("late")
    assert harness.remote.session is session
    await second.cut()


async def test_effects_wait_for_a_session_and_are_sent_in_order(harness: RemoteHarness) -> None:
    await harness.far.cut()
    works = [
        performing(harness, harness.task(CUSTOMER, deliver(n), id_=f"e{n}", text=f"{n}"))
        for n in range(5)
    ]
    await asyncio.sleep(0)
    assert harness.remote.pending == 5
    harness.far.connect()
    await asyncio.gather(*works)
    assert harness.read(CUSTOMER) == ["0", "1", "2", "3", "4"]


async def test_an_effect_that_was_never_sent_has_failed_not_unknown(harness: RemoteHarness) -> None:
    await harness.far.cut()
    with pytest.raises(ChannelError, match="no session was attached") as error:
        await harness.remote.perform(harness.task(CUSTOMER, deliver(), text="?"))
    assert not isinstance(error.value, UnknownOutcome)


async def test_a_message_without_result_is_unknown_and_never_sent_again(
    harness: RemoteHarness,
) -> None:
    harness.far.stalled = True
    work = performing(harness, harness.task(CUSTOMER, deliver(), text="?"))
    await harness_saw(harness, "perform")
    await harness.far.cut()
    harness.far.connect()
    with pytest.raises(UnknownOutcome):
        await work
    assert kinds(harness).count("perform") == 1


async def test_a_result_that_comes_after_a_reconnect_counts(harness: RemoteHarness) -> None:
    harness.far.stalled = True
    work = performing(harness, harness.task(CUSTOMER, deliver(), text="?"))
    await harness_saw(harness, "perform")
    await harness.far.cut()
    harness.far.results["e1"] = {"type": "result", "effect": "e1", "outcome": "done"}
    harness.far.connect()
    await work


async def test_an_offer_is_restated_after_a_reconnect(harness: RemoteHarness) -> None:
    harness.far.stalled = True
    work = performing(harness, harness.task(CUSTOMER, offer()))
    await harness_saw(harness, "perform")
    await harness.far.cut()
    harness.far.stalled = False
    harness.far.connect()
    await work
    first, again = (f for f in harness.far.down if f["type"] == "perform")
    assert (first["id"], first["first_attempt"]) == ("e1", True)
    assert (again["id"], again["first_attempt"]) == ("e1", False)


@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_leg_is_asked_about_before_it_is_brought_up_again(
    harness: RemoteHarness, carried_out: bool
) -> None:
    harness.far.stalled = True
    task = harness.task(CUSTOMER, connect("phone/ana"))
    work = performing(harness, task)
    await harness_saw(harness, "perform")
    await harness.far.cut()
    if carried_out:
        await harness.far.backend.perform(task)
    harness.far.stalled = False
    harness.far.connect()
    await work
    expected = ["perform", "find"] if carried_out else ["perform", "find", "perform"]
    assert [k for k in kinds(harness) if k in ("perform", "find")] == expected


async def test_calls_about_one_contact_keep_their_order(harness: RemoteHarness) -> None:
    for cid in range(10):
        await harness.far.send({"type": "submit", "cid": f"s{cid}", "contact": contact(cid)})
        await harness.far.send({"type": "left", "cid": f"l{cid}", "external_id": f"k{cid}"})
    await harness.signal.until(lambda: len(harness.router.said("left")) == 10)
    for cid in range(10):
        said = [s.call for s in harness.router.calls if s.of == f"k{cid}"]
        assert said == ["submit", "left"]


async def test_a_call_waits_for_the_one_before_it_about_the_same_contact(
    harness: RemoteHarness,
) -> None:
    gate = harness.router.gates["submit"] = asyncio.Event()
    await harness.far.send({"type": "submit", "cid": 1, "contact": contact(1)})
    await harness.far.send({"type": "left", "cid": 2, "external_id": "k1"})
    # Of another contact: not held up.
    await harness.far.send({"type": "left", "cid": 3, "external_id": "k2"})
    await harness.signal.until(lambda: bool(harness.router.said("left")))
    assert [s.of for s in harness.router.said("left")] == ["k2"]
    gate.set()
    await harness.signal.until(lambda: len(harness.router.said("left")) == 2)


async def test_nothing_after_live_begins_before_it_has_ended(harness: RemoteHarness) -> None:
    gate = harness.router.gates["live"] = asyncio.Event()

    async def pipelined() -> None:
        await harness.far.send({"type": "live", "cid": 1, "external_ids": []})
        await harness.far.send({"type": "submit", "cid": 2, "contact": contact(1)})

    work = asyncio.get_running_loop().create_task(pipelined())
    await harness.signal.until(lambda: bool(harness.router.said("live")))
    await harness.far.backend.router.ended("somebody else")
    assert len(harness.router.said("submit")) == 1
    gate.set()
    await work
    await harness.signal.until(lambda: len(harness.router.said("submit")) == 2)


async def test_an_old_owners_effect_is_not_even_sent(harness: RemoteHarness) -> None:
    await harness.remote.perform(harness.task(CUSTOMER, deliver(1), epoch=7, text="new"))
    with pytest.raises(ChannelError, match="epoch 6 is over: the current one is 7"):
        await harness.remote.perform(
            harness.task(CUSTOMER, deliver(2), id_="e2", epoch=6, text="old")
        )
    assert [f["epoch"] for f in harness.far.down if f["type"] == "perform"] == [7]


async def test_a_receipt_goes_over_the_wire(harness: RemoteHarness) -> None:
    await harness.far.receipt("c1", "m1", "undelivered", "no such number")
    assert harness.router.said("receipt")[0].args == ("m1", "undelivered", "no such number")
    with pytest.raises(Refused):
        await harness.far.call("receipt", contact="c1", message="m1", state="lost", detail="")


async def test_open_contacts_and_typing_go_over_the_wire(harness: RemoteHarness) -> None:
    external_id = harness.external_id(CUSTOMER)
    harness.router.contact_states[external_id] = "parked"
    assert await harness.far.open() == [(external_id, "parked")]
    harness.far.typing(external_id)
    await harness.signal.until(lambda: bool(harness.router.said("typing")))
    assert harness.router.said("typing")[0].of == external_id


async def test_a_long_history_is_cut_to_what_a_frame_may_carry(harness: RemoteHarness) -> None:
    external_id = harness.external_id(CUSTOMER)
    harness.router.lines[external_id] = [
        Line(id=f"m{number}", author="agent", at_us=number, text="ü" * 30_000)
        for number in range(20)
    ]
    lines = await harness.far.history(external_id)
    assert [line.id for line in lines] == ["m16", "m17", "m18", "m19"]
    with pytest.raises(Refused):
        await harness.far.history("nobody")


async def test_a_sender_without_measure_is_held_back(harness: RemoteHarness) -> None:
    gate = asyncio.Event()

    async def wait(*_: object) -> None:
        await gate.wait()

    harness.router.connected = wait  # type: ignore[method-assign, assignment]
    session = harness.far.session
    assert session is not None

    async def flood() -> None:
        for cid in range(CALLS + 1):
            await harness.far.send({"type": "connected", "cid": cid, "reservation": f"r{cid}"})

    work = asyncio.get_running_loop().create_task(flood())
    done, _ = await asyncio.wait((work,), timeout=0.3)
    assert not done, "more calls were taken than may be under way"
    gate.set()
    async with asyncio.timeout(30):
        await work


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"{", "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"type":"nonsense","cid":1}', "Invalid value 'nonsense'"),
        (b'{"type":"left","cid":1}', "missing required field `external_id`"),
        (b'{"type":"left","cid":1,"external_id":"x","extra":1}', "unknown field `extra`"),
        (b'{"type":"left","cid":1,"external_id":""}', "length >= 1"),
        (b'{"type":"state","state":"sideways"}', "Invalid enum value"),
        (b'{"type":"submit","cid":1,"contact":' + b'{"attributes":{"a":' * 2 + b"[" * 5000, ""),
        (b"\xff\xfe", ""),
    ],
)
async def test_a_bad_frame_is_answered_with_what_was_expected(
    harness: RemoteHarness, frame: bytes, text: str
) -> None:
    session = harness.far.session
    assert session is not None
    seen = len(harness.far.down)
    await session.receive(frame)
    await harness.signal.until(lambda: len(harness.far.down) > seen)
    last = harness.far.down[-1]
    assert text in (last.get("text") or last["error"]["text"])
    assert (await harness.far.call("left", external_id="x"))["type"] == "answer"


async def test_a_stream_of_nonsense_ends_the_session(harness: RemoteHarness) -> None:
    session = harness.far.session
    assert session is not None
    for _ in range(BAD_FRAMES + 1):
        await session.receive(b"nonsense")
    assert harness.far.closed[0][0] == 1008
    assert harness.remote.session is None


async def test_a_call_that_breaks_is_answered_and_logged(
    harness: RemoteHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.router.fail("left", RuntimeError("a fault of ours"))
    with pytest.raises(Exception, match="it is logged"):
        await harness.far.call("left", external_id="x")
    assert "a fault of ours" in caplog.text


async def test_without_run_nothing_attaches() -> None:
    remote = Remote("far", {}, RouterDouble(Signal()))
    with pytest.raises(ChannelLost, match="far is not running"):
        FarHalf(remote, "json", {}, Signal()).connect()


async def test_a_stopped_adapter_closes_its_session() -> None:
    async with RemoteHarness() as harness:
        await harness.stop()
        assert harness.far.closed == [(1012, "the adapter restarts")]


def test_every_frame_is_described_in_the_package() -> None:
    doc = adapters.remote.__doc__ or ""
    for tag in UP + DOWN:
        assert f"type: {tag}" in doc or f"type: {tag}," in doc, tag


def test_every_effect_for_a_channel_can_be_sent() -> None:
    for kind in Record.__subclasses__():
        if hasattr(kind, "REPEAT"):
            assert kind.__struct_config__.tag == kind.__name__
    assert msgspec.json.decode(msgspec.json.encode(offer("x")))["type"] == "OfferContact"


def contact(number: int) -> dict[str, Any]:
    return {"external_id": f"k{number}", "customer": {"address": f"+49{number}"}}


def kinds(harness: RemoteHarness) -> list[str]:
    return [frame["type"] for frame in harness.far.down]


async def harness_saw(harness: RemoteHarness, kind: str) -> None:
    await harness.signal.until(lambda: kind in kinds(harness))


async def test_what_a_pbx_says_of_calls_comes_through(harness: RemoteHarness) -> None:
    await harness.far.hung_up("r1", "bye")
    await harness.far.monitor_ended("l1", "busy")
    await harness.far.recording_ended("c1-r1-1", "disk full")
    said = [(call.call, call.of, call.args) for call in harness.router.calls[-3:]]
    assert said == [
        ("hung_up", "r1", ("bye",)),
        ("monitor_ended", "l1", ("busy",)),
        ("recording_ended", "c1-r1-1", ("disk full",)),
    ]
