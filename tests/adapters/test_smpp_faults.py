"""What goes wrong: slow, silent, refusing, dying, lying centres. Counted in the centre's file."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.smpp import Smpp
from router.channel import ChannelLost, OutcomeUnknown, Overloaded, Refused
from router.errors import ConfigError
from router.testing.adapter_harness import RouterDouble, Signal
from router.testing.conformance import CUSTOMER
from tests.adapters.smsc_peer import SmppHarness, Smsc, needs_smsc, settings_for

pytestmark = [pytest.mark.peer, needs_smsc]


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[SmppHarness]:
    async with SmppHarness(tmp_path) as harness:
        yield harness


# --- throttling, window, rate ---------------------------------------------------------------------


async def test_a_centre_without_room_is_waited_for(tmp_path: Path) -> None:
    async with SmppHarness(tmp_path, turn_s=14.0) as harness:
        await harness.smsc.do("set", answers=[0x58, 0x14, 0x58])
        assert await harness.send(1, "hello") == "sent"
        rows = harness.smsc.submits()
        assert [row["status"] for row in rows] == [0x58, 0x14, 0x58, 0]
        pauses = [after["at"] - before["at"] for before, after in itertools.pairwise(rows)]
        for pause_ms, least_ms in zip(pauses, (240, 490, 990), strict=True):
            assert pause_ms >= least_ms, "it does not slow down"


async def test_a_centre_that_never_has_room_fails_the_message_and_does_not_have_it(
    tmp_path: Path,
) -> None:
    async with SmppHarness(tmp_path, turn_s=0.6) as harness:
        await harness.smsc.do("set", answers=[0x58] * 100)
        assert await harness.send(1, "hello") == "failed"
        assert harness.smsc.got() == []
        assert 2 <= len(harness.smsc.submits()) <= 4
        await harness.smsc.do("set", answers=[])
        assert await harness.send(1, "hello") == "sent", "it was known to be not sent"


async def test_not_more_than_the_window_wait_for_an_answer(tmp_path: Path) -> None:
    settings = {"smsc": {"window": 3}, "turn_s": 5.0}
    async with SmppHarness(tmp_path, **settings) as harness:
        await harness.smsc.do("set", delay=20, window=3)
        outcomes = await asyncio.gather(*(harness.send(n, f"text {n}") for n in range(30)))
        assert set(outcomes) == {"sent"}
        rows = harness.smsc.submits()
        assert {row["status"] for row in rows} == {0}, "the centre saw more than its window"
        assert max(row["most"] for row in rows) == 3
        assert sorted(harness.smsc.got()) == sorted(f"text {n}" for n in range(30))


async def test_the_rate_is_kept(tmp_path: Path) -> None:
    async with SmppHarness(tmp_path, smsc={"per_s": 50.0}, turn_s=5.0) as harness:
        assert set(await asyncio.gather(*(harness.send(n, "x") for n in range(26)))) == {"sent"}
        times = [row["at"] for row in harness.smsc.submits()]
        assert max(times) - min(times) >= 450  # 25 spaces of 20 ms, less the clock's grain


# --- failures -------------------------------------------------------------------------------------


async def test_a_message_without_an_answer_is_unknown_and_is_not_sent_again(
    harness: SmppHarness,
) -> None:
    await harness.smsc.do("set", silent=1)
    assert await harness.send(1, "perhaps") == "unknown"
    assert await harness.send(1, "perhaps") == "unknown"
    assert await harness.send(2, "next") == "sent"
    assert harness.smsc.got() == ["perhaps", "next"]


async def test_a_connection_that_ends_instead_of_an_answer_is_unknown(
    harness: SmppHarness,
) -> None:
    await harness.smsc.do("set", drop=1)
    assert await harness.send(1, "perhaps") == "unknown"
    await harness.signal.until(lambda: "down" in harness.router.states)
    await harness.back()
    assert await harness.send(2, "next") == "sent"
    assert harness.smsc.got() == ["perhaps", "next"]


async def test_what_waits_for_the_window_as_the_connection_ends_goes_over_the_next_one(
    tmp_path: Path,
) -> None:
    async with SmppHarness(tmp_path, smsc={"window": 1}) as harness:
        await harness.smsc.do("set", drop=1)
        outcomes = [*await asyncio.gather(harness.send(1, "perhaps"), harness.send(2, "waits"))]
        assert outcomes == ["unknown", "sent"]
        assert harness.smsc.got() == ["perhaps", "waits"]


async def test_a_centre_that_keeps_failing_is_spared(harness: SmppHarness) -> None:
    harness.smpp.breaker.pause_s = 60.0
    await harness.smsc.do("set", answers=[8] * 6)
    for number in range(5):
        assert await harness.send(number, "no") == "failed"
    assert harness.router.states[-1] == "degraded"
    asked = len(harness.smsc.submits())
    assert await harness.send(6, "at once") == "failed"
    assert len(harness.smsc.submits()) == asked, "the centre was asked though it keeps failing"
    harness.smpp.breaker.pause_s = harness.smpp.breaker._next_s = 0.0
    # One tries for all, after a while: it is refused, and the next one after another while is not.
    assert await until_asked(harness, asked) == "failed"
    assert len(harness.smsc.submits()) == asked + 1
    assert await until_asked(harness, asked + 1) == "sent"
    assert harness.router.states[-1] == "up"


async def until_asked(harness: SmppHarness, count: int) -> str:
    """Send until the centre is asked once more; how that ended."""
    async with asyncio.timeout(30):
        for number in itertools.count(100 * (count + 1)):
            outcome = await harness.send(number, "probe")
            if len(harness.smsc.submits()) > count:
                return outcome
    raise AssertionError("unreachable")


async def test_a_part_that_is_refused_after_others_went_is_unknown(harness: SmppHarness) -> None:
    await harness.smsc.do("set", answers=[0, 0x0B])
    assert await harness.send(1, "x" * 400) == "unknown"
    assert [row["status"] for row in harness.smsc.submits()] == [0, 0x0B]


async def test_what_the_router_says_is_told_to_the_centre(harness: SmppHarness) -> None:
    await harness.smsc.do("set", retry=30)
    for error, status in (
        (Overloaded("full", 0.01), 0x14),
        (OutcomeUnknown("?"), 0x08),
        (Refused("no_entry_point", "nobody is reached here"), 0x66),
    ):
        harness.router.fail("message", error)
        assert await harness.smsc.write(f"m{status}", f"text {status}") == status
    await harness.signal.until(lambda: len(harness.router.messages) == 2)
    assert list(harness.router.messages.values()) == ["text 20", "text 8"]


async def test_more_messages_than_may_be_on_their_way_are_told_to_come_later(
    tmp_path: Path,
) -> None:
    async with SmppHarness(tmp_path, inbound=3) as harness:
        await harness.smsc.do("set", retry=50)
        gate = harness.router.gates["message"] = asyncio.Event()
        for number in range(8):
            source = f"49309001{number:02}"
            await harness.smsc.write(f"m{number}", f"text {number}", source=source, wait=False)
        await harness.signal.until(lambda: len(harness.smsc.seen("answered")) >= 5)
        assert {event["status"] for event in harness.smsc.seen("answered")} == {0x14}
        assert len(harness.router.said("message")) == 3
        gate.set()
        await harness.signal.until(lambda: len(harness.router.messages) == 8)


async def test_messages_of_one_customer_keep_their_order(harness: SmppHarness) -> None:
    texts = [f"text {number}" for number in range(40)]
    for number, text in enumerate(texts):
        await harness.smsc.write(f"m{number}", text, wait=False)
    await harness.signal.until(lambda: len(harness.router.messages) == 40)
    assert list(harness.router.messages.values()) == texts


# --- connections ----------------------------------------------------------------------------------


async def test_a_wrong_password_is_said_and_nothing_else(tmp_path: Path) -> None:
    smsc = await Smsc(tmp_path / "smsc").start(password="other")
    smpp = Smpp("texts", settings_for(tmp_path, smsc.port), RouterDouble(Signal()))
    try:
        with pytest.raises(ChannelLost, match="the bind was refused: status 0x000e"):
            await smpp.run()
    finally:
        await smsc.kill()


async def test_nobody_there_is_lost_at_once(tmp_path: Path) -> None:
    smpp = Smpp("texts", settings_for(tmp_path, 1), RouterDouble(Signal()))
    with pytest.raises(ChannelLost, match="cannot connect"):
        await smpp.run()


async def test_one_who_does_not_speak_smpp_is_lost(tmp_path: Path) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(web, "127.0.0.1", 0)
    smpp = Smpp(
        "texts", settings_for(tmp_path, server.sockets[0].getsockname()[1]), RouterDouble(Signal())
    )
    with pytest.raises(ChannelLost, match="no SMPP is spoken there"):
        await smpp.run()
    server.close()


@pytest.mark.parametrize("where", ["answers", "requests"])
async def test_a_silent_centre_is_noticed_and_left(where: str, tmp_path: Path) -> None:
    settings = {"enquire_s": 0.2, "response_s": 0.3}
    async with SmppHarness(tmp_path, proxied=True, **settings) as harness:
        assert harness.proxy is not None
        assert await harness.send(1, "before") == "sent"
        way = getattr(harness.proxy, where)
        way.hang()
        await harness.signal.until(lambda: harness.router.states[-1] == "down")
        way.flow()
        await harness.back()
        assert await harness.send(2, "after") == "sent"
        assert harness.smsc.got() == ["before", "after"]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("00000000" * 4, {"generic_nack", "unbind"}),
        ("7fffffff00000005" + "00" * 8, {"generic_nack", "unbind"}),
        ("474554202f20485454502f312e310d0a", {"generic_nack", "unbind"}),
    ],
)
async def test_garbage_ends_the_connection_and_the_next_one_works(
    raw: str, told: set[str], harness: SmppHarness
) -> None:
    await harness.smsc.do("raw", hex=raw)
    await harness.signal.until(lambda: "down" in harness.router.states)
    await harness.back()
    await harness.signal.until(lambda: bool(harness.smsc.seen("closed")))
    assert harness.smsc.seen("generic_nack")
    assert harness.smsc.seen("unbound")
    assert await harness.send(1, "hello") == "sent"


async def test_odd_packets_are_answered_and_the_connection_stays(harness: SmppHarness) -> None:
    broken = "0000001400000005000000000000000700000000"  # a deliver_sm that ends early
    for raw in (
        broken,
        "00000010000001030000000000000008",  # data_sm: not for us
        "00000010800000040000000000000999",  # an answer to nothing
        "00000010000001020000000000000009",  # alert_notification: has no answer
    ):
        await harness.smsc.do("raw", hex=raw)
    await harness.signal.until(lambda: bool(harness.smsc.seen("generic_nack")))
    assert await harness.send(1, "hello") == "sent"
    assert await harness.smsc.write("m", "hello") == 0
    assert "down" not in harness.router.states


async def test_a_centre_that_unbinds_is_bound_again(harness: SmppHarness) -> None:
    await harness.smsc.do("call", name="unbind")
    await harness.signal.until(lambda: "down" in harness.router.states)
    await harness.back()
    assert harness.smsc.seen("unbind_resp")
    assert await harness.send(1, "hello") == "sent"


async def test_an_orderly_stop_waits_for_answers_and_unbinds(harness: SmppHarness) -> None:
    await harness.smsc.do("set", delay=200)
    sending = asyncio.get_running_loop().create_task(harness.send(1, "hello"))
    await harness.signal.until(lambda: harness.smsc.got() == ["hello"])
    await harness.stop()
    assert await sending == "sent"
    await harness.signal.until(lambda: bool(harness.smsc.seen("unbound")))
    await harness.start()


async def test_one_of_two_centres_goes_on_alone(tmp_path: Path) -> None:
    signal = Signal()
    router = RouterDouble(signal)
    smscs = [await Smsc(tmp_path / name, signal).start() for name in ("one", "two")]
    settings = settings_for(tmp_path, smscs[0].port)
    settings["smscs"]["other"] = {**settings["smscs"]["main"], "port": smscs[1].port, "binds": 2}
    smpp = Smpp("texts", settings, router)
    harness = SmppHarness(tmp_path)
    harness.smpp = smpp
    run = asyncio.get_running_loop().create_task(smpp.run())
    try:
        await signal.until(lambda: router.states[-1:] == ["up"])
        assert set(await asyncio.gather(*(harness.send(n, f"a{n}") for n in range(20)))) == {"sent"}
        assert all(smsc.got() for smsc in smscs), "one of them got nothing"
        await smscs[0].kill()
        await signal.until(lambda: router.states[-1] == "degraded")
        for number in range(20, 40):
            assert await harness.send(number, f"a{number}") == "sent"
        await smscs[0].start()
        await signal.until(lambda: router.states[-1:] == ["up"])
        got = Counter(smscs[0].got() + smscs[1].got())
        assert got == Counter(f"a{number}" for number in range(40))
        for smsc in smscs:
            await smsc.kill()
        with pytest.raises(ChannelLost):
            await run
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        for smsc in smscs:
            await smsc.kill()


# --- what the centre says twice -------------------------------------------------------------------


async def test_a_customer_may_say_the_same_twice(harness: SmppHarness) -> None:
    for number in range(3):
        assert await harness.smsc.write(f"m{number}", "yes") == 0
    assert list(harness.router.messages.values()) == ["yes"] * 3


async def test_what_comes_again_after_a_lost_answer_is_one_message(tmp_path: Path) -> None:
    """The same words twice, and the second one's answer is lost: two messages, not three."""
    async with SmppHarness(tmp_path, proxied=True) as harness:
        assert harness.proxy is not None
        assert await harness.smsc.write("m1", "yes") == 0
        harness.proxy.requests.hang()
        await harness.smsc.write("m2", "yes", wait=False)
        await harness.signal.until(lambda: len(harness.router.messages) == 2)
        await harness.proxy.reset()
        harness.proxy.requests.flow()
        assert await harness.smsc.answer("m2") == 0
        assert list(harness.router.messages.values()) == ["yes", "yes"]


async def test_the_same_words_after_an_orderly_restart_are_another_message(
    tmp_path: Path,
) -> None:
    """The answer to our unbind proves that the centre has read our answers."""
    settings: dict[str, Any] = {"state_file": str(tmp_path / "texts.state")}
    async with SmppHarness(tmp_path, **settings) as harness:
        for number in range(3):
            assert await harness.smsc.write(f"m{number}", "yes") == 0
            await harness.stop()
            harness.make()
            await harness.start()
        assert list(harness.router.messages.values()) == ["yes"] * 3


async def test_what_comes_again_after_our_restart_is_one_message(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"state_file": str(tmp_path / "texts.state")}
    async with SmppHarness(tmp_path, proxied=True, **settings) as harness:
        assert harness.proxy is not None
        harness.proxy.requests.hang()
        await harness.smsc.write("m1", "yes", wait=False)
        await harness.smsc.write("p1", "long ", udh="050003090201", wait=False)
        await harness.smsc.write("p2", "text", udh="050003090202", wait=False)
        await harness.signal.until(lambda: len(harness.router.messages) == 2)
        await harness.proxy.reset()
        await harness.stop()
        harness.make()
        harness.proxy.requests.flow()
        await harness.start()
        for id_ in ("m1", "p1", "p2"):
            assert await harness.smsc.answer(id_) == 0
        assert sorted(harness.router.messages.values()) == ["long text", "yes"]


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"smsc": {"windw": 3}}, "adapters.texts.smscs.main.windw: unknown setting"),
        ({"smsc": {"window": 0}}, "adapters.texts.smscs.main: binds must be 1 to 50, window"),
        ({"smsc": {"password_file": "nowhere"}}, "adapters.texts.smscs.main.password_file: nowher"),
        ({"smscs": {}}, "adapters.texts: smscs must name one SMS centre at least"),
        ({"response_s": 15.0, "turn_s": 5.0}, "adapters.texts: response_s + turn_s must be <= 18"),
        ({"long_messages": "udh"}, "adapters.texts.long_messages: Invalid enum value 'udh'"),
        ({"recepits": False}, "adapters.texts.recepits: unknown setting; did you mean 'receipts'?"),
    ],
)
def test_wrong_settings_say_what_was_expected(
    change: dict[str, Any], finding: str, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, 2775)
    settings["smscs"]["main"].update(change.pop("smsc", {}))
    with pytest.raises(ConfigError) as error:
        Smpp("texts", {**settings, **change}, RouterDouble(Signal()))
    assert error.value.findings[0].startswith(finding)


def test_a_password_that_others_may_read_is_refused(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 2775)
    (tmp_path / "password").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Smpp("texts", settings, RouterDouble(Signal()))


def test_the_password_stands_in_no_setting(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 2775)
    smpp = Smpp("texts", settings, RouterDouble(Signal()))
    assert "secret" not in json.dumps(smpp.settings).replace("password", "")
    assert CUSTOMER not in repr(smpp.config)
