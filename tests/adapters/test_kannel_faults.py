"""Kannel's texts, receipts and refusals, and what it does when parts of it die."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.kannel import Kannel
from adapters.kannel.codec import (
    GSM,
    UCS2,
    coding_of,
    incoming,
    parts_of,
    query,
    raw_parameters,
    reason,
    status,
    status_url,
)
from adapters.kannel.said import Said
from router.channel import Address, EndContact, Overloaded, Refused, Task
from router.core.model import ContactId
from router.errors import ConfigError
from router.testing.adapter_harness import RouterDouble, Signal
from router.testing.conformance import CUSTOMER
from tests.adapters.kannel_peer import OURS, KannelHarness, needs_kannel, parts
from tests.adapters.smsc_peer import Smsc, needs_smsc

pytestmark = [pytest.mark.peer, needs_kannel]
PATIENCE_S = 90.0
"""Bearerbox, smsbox and centre together take their time: Kannel asks again after whole seconds."""


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[KannelHarness]:
    async with KannelHarness(tmp_path) as harness:
        yield harness


# --- texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    "text",
    ["Grüße @ {5€} + & = %d", "Привет + %I", "naïve 😀", "two\nlines", "x " * 300, "я" * 200],
)
async def test_an_answer_is_read_at_the_other_end(method: str, text: str, tmp_path: Path) -> None:
    async with KannelHarness(tmp_path, method=method) as harness:
        assert await harness.send(1, text) == "sent"
        await harness.signal.until(lambda: len(harness.line.got) == expected(text))
        got = harness.line.got
        assert (parts(got) if len(got) > 1 else got[0][3]) == text
        assert {(who, ours) for who, ours, _, _ in got} == {(CUSTOMER, OURS)}


def expected(text: str) -> int:
    size = len(text)
    return -(-size // (67 if text[0] == "я" else 153)) if size > 160 else 1


@pytest.mark.parametrize("text", ["hello + world", "Grüße 5€", "Привет 😀", "a%20b"])
async def test_a_message_is_brought_by_kannel(text: str, harness: KannelHarness) -> None:
    harness.line.write(CUSTOMER, text)
    await harness.signal.until(lambda: bool(harness.router.messages))
    [(id_, got)] = harness.router.messages.items()
    assert got == text
    assert re.fullmatch("[0-9a-f-]{36}", id_)
    [said] = harness.router.said("message")
    assert (said.args[0].customer.address, said.args[0].to) == (CUSTOMER, OURS)


async def test_a_text_that_kannel_would_cut_off_is_refused(harness: KannelHarness) -> None:
    assert await harness.send(1, "x" * 1_520) == "sent"
    await harness.signal.until(lambda: len(harness.line.got) == 10)
    assert parts(harness.line.got) == "x" * 1_520
    assert await harness.send(2, "x" * 1_531) == "failed"
    assert await harness.send(3, "€" * 800) == "failed"
    assert len(harness.line.got) == 10


# --- receipts -------------------------------------------------------------------------------------


async def test_a_receipt_is_told_with_the_routers_ids(harness: KannelHarness) -> None:
    for number in range(3):
        assert await harness.send(number, f"text {number}") == "sent"
    await harness.signal.until(lambda: len(harness.router.said("receipt")) == 3)
    found = {(said.of, *said.args) for said in harness.router.said("receipt")}
    assert found == {("c1", f"m{number}", "delivered", "") for number in range(3)}


async def test_a_receipt_that_the_router_cannot_take_is_told_again(
    harness: KannelHarness,
) -> None:
    harness.router.fail("receipt", Overloaded("full", 0.01))
    assert await harness.send(1, "hello") == "sent"
    await harness.signal.until(lambda: len(harness.router.said("receipt")) == 2)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (1, ("delivered", "")), (2, ("undelivered", "NACK 11")), (16, ("undelivered", "NACK 11")),
        (34, ("undelivered", "NACK 11")), (66, None), (8, None), (4, None),
    ],
)  # fmt: skip
def test_kinds_of_receipts(kind: int, found: tuple[str, str] | None) -> None:
    url = status_url("http://r/v1/kannel/t", "", "c-1", "m/2")
    filled = url.replace("%d", str(kind)).replace("%A", "NACK+11")
    assert "%" not in filled
    told = status(raw_parameters(filled.partition("?")[2]))
    assert (None if told is None else (told.state, told.detail)) == found
    assert told is None or (told.contact, told.message) == ("c-1", "m/2")


# --- what the router says, and who may come -------------------------------------------------------


async def test_a_message_that_the_router_cannot_take_is_brought_again_with_its_id(
    harness: KannelHarness,
) -> None:
    harness.router.fail("message", Overloaded("full", 0.01))
    harness.line.write(CUSTOMER, "hello")
    await harness.signal.until(lambda: bool(harness.router.messages))
    assert len({said.of for said in harness.router.said("message")}) == 1
    assert len(harness.router.said("message")) == 2


async def test_answers_have_no_text_that_kannel_would_send(harness: KannelHarness) -> None:
    assert await harness.fetch(CUSTOMER, "hello", "a") == 200
    assert await harness.fetch(CUSTOMER, "hello", "") == 400
    harness.router.fail("message", Refused("no", "never"), Overloaded("full", 0.01))
    assert await harness.fetch(CUSTOMER, "hello", "b") == 422
    assert await harness.fetch(CUSTOMER, "hello", "c") == 503
    assert await harness.fetch(CUSTOMER, "x" * 50_000, "d") == 413
    harness.line.write(CUSTOMER, "hello")
    await harness.signal.until(lambda: len(harness.router.messages) == 2)
    assert await harness.send(1, "only this") == "sent"
    await harness.signal.until(lambda: bool(harness.line.got))
    assert harness.line.texts(CUSTOMER) == ["only this"]


async def test_who_is_no_peer_or_has_no_key_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("open sesame\n")
    key.chmod(0o600)
    async with KannelHarness(tmp_path, key_file=str(key)) as harness:
        assert await harness.fetch(CUSTOMER, "hello", "a") == 403
        assert await harness.fetch(CUSTOMER, "hello", "a", key="open") == 403
        assert await harness.fetch(CUSTOMER, "hello", "a", key="open sesame") == 200
        assert await harness.send(1, "hello") == "sent"
        await harness.signal.until(lambda: bool(harness.router.said("receipt")))
        harness.kannel.peers = []
        assert await harness.fetch(CUSTOMER, "hello", "b", key="open sesame") == 403
        assert len(harness.router.messages) == 1


async def test_whoever_is_refused_fills_no_log_and_uses_up_no_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = tmp_path / "key"
    key.write_text("open sesame\n")
    key.chmod(0o600)
    async with KannelHarness(tmp_path, key_file=str(key), per_s=0.001, burst=2) as harness:
        for _ in range(20):
            assert await harness.fetch(CUSTOMER, "hello", "a", key="open") == 403
        assert len([r for r in caplog.records if "without the key" in r.message]) == 3
        assert await harness.fetch(CUSTOMER, "hello", "a", key="open sesame") == 200
        assert await harness.fetch(CUSTOMER, "hello", "b", key="open sesame") == 200
        assert await harness.fetch(CUSTOMER, "hello", "c", key="open sesame") == 429


async def test_a_kannel_without_room_is_tried_again_and_has_it_once(tmp_path: Path) -> None:
    async with KannelHarness(tmp_path, patience_s=10.0, timeout_s=6.0) as harness:
        await harness.boxes.kill()
        harness.boxes.most = 3
        await harness.line.close()  # nothing leaves Kannel
        await harness.boxes.start()
        await harness.signal.until(lambda: harness.router.states[-1] == "up")
        statuses: list[int] = []
        ask = harness.kannel.out._ask

        async def seen(*args: Any) -> tuple[int, bytes, str | None]:
            answer = await ask(*args)
            statuses.append(answer[0])
            return answer

        harness.kannel.out._ask = seen  # type: ignore[method-assign]
        loop = asyncio.get_running_loop()
        sending = [loop.create_task(harness.send(n, f"text {n}")) for n in range(8)]
        async with asyncio.timeout(30):
            while 503 not in statuses:
                await asyncio.wait(sending, timeout=0.1)
        await harness.line.connect()
        outcomes = await asyncio.gather(*sending)
        assert set(outcomes) == {"sent"}
        await harness.signal.until(lambda: len(harness.line.got) >= 8)
        assert sorted(harness.line.texts(CUSTOMER)) == [f"text {n}" for n in range(8)]


async def test_a_wrong_password_fails_each_message(tmp_path: Path) -> None:
    async with KannelHarness(tmp_path, username="nobody") as harness:
        assert await harness.send(1, "hello") == "failed"


# --- what dies ------------------------------------------------------------------------------------


async def test_a_farewell_is_not_said_twice_over_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state" / "kannel"
    bye = EndContact(channel="sms", contact=ContactId("c1"), outcome="completed", text="Bye.")

    def farewell(number: int) -> Task:
        return Task(
            id=f"1-again-{number}", epoch=1, workspace="main", effect=bye, external_id="x1",
            customer=Address(address=CUSTOMER), our_address=OURS,
        )  # fmt: skip

    async with KannelHarness(tmp_path, state_file=str(state)) as harness:
        await harness.kannel.perform(farewell(1))
        await harness.stop()
        settings = {**harness.kannel.settings}
        harness.channel = harness.kannel = Kannel("texts", settings, harness.router)
        await harness.start()
        await harness.kannel.perform(farewell(2))
        assert await harness.send(1, "after") == "sent"
        await harness.signal.until(lambda: "after" in harness.line.texts(CUSTOMER))
        assert harness.line.texts(CUSTOMER) == ["Bye.", "after"]


def test_what_was_said_survives_a_torn_line_and_stays_short(tmp_path: Path) -> None:
    path = tmp_path / "said"
    said = Said(str(path), most=50)
    said.load()
    for number in range(110):
        assert said.add(f"key {number}")
    assert len(path.read_text().splitlines()) <= 100
    with path.open("a") as file:
        file.write("torn")
    again = Said(str(path), most=50)
    again.load()
    assert not again.add("key 109")
    assert again.add("new")


@pytest.mark.slow
@pytest.mark.timeout(200)
@needs_smsc
async def test_bearerbox_killed_under_traffic_loses_nothing_and_is_asked_once(
    tmp_path: Path,
) -> None:
    """Counted at an SMS centre that answers each message, and in smsbox's log of requests.

    Kannel's fake centre answers nothing: what bearerbox has written and not sent dies with it.
    """
    count = 120
    smsc = await Smsc(tmp_path / "smsc").start(delay=5, retry=100, patience=2_000)
    settings: dict[str, Any] = {"timeout_s": 4.0, "patience_s": 10.0, "waiting": 500}
    async with KannelHarness(tmp_path, centre=smsc.port, **settings) as harness:
        await smsc.signal.until(lambda: bool(smsc.seen("bound")))
        outcomes: dict[str, str] = {}

        async def agent(which: int) -> None:
            for number in range(which, count, 5):
                text = f"out{number}"
                outcomes[text] = await harness.send(number, text)

        async def customers() -> None:
            for number in range(count):
                await smsc.write(f"m{number}", f"in{number}", wait=False)

        async def death() -> None:
            for goal in (count // 5, count // 2):
                await smsc.signal.until(lambda goal=goal: len(smsc.got()) >= goal, PATIENCE_S)  # type: ignore[misc]
                await harness.boxes.kill("bearerbox")
                await asyncio.sleep(0.2)  # as long as an init system takes
                await harness.boxes.start("bearerbox")

        async with asyncio.TaskGroup() as all_of_it:
            for which in range(5):
                all_of_it.create_task(agent(which))
            all_of_it.create_task(customers())
            all_of_it.create_task(death())
        sent = {text for text, how in outcomes.items() if how == "sent"}
        texts = {f"in{number}" for number in range(count)}
        await smsc.signal.until(lambda: sent <= set(smsc.got()), PATIENCE_S)
        await harness.signal.until(
            lambda: texts <= set(harness.router.messages.values()), PATIENCE_S
        )
        await smsc.kill()
        requests, got = Counter(harness.boxes.taken()), Counter(smsc.got())
        came = Counter(harness.router.messages.values())
        print(f"{dict(Counter(outcomes.values()))} of {count} out, {sum(got.values())} came;"
              f" {sum(came.values())} of {count} in")  # fmt: skip
        assert max(requests.values()) == 1, "we asked twice for one message"
        assert not {t for t, how in outcomes.items() if how == "failed"} & set(got)
        assert len(sent) > count // 2
        # Kannel says again what it did not know to be answered: one each time that it died.
        assert sum(got.values()) - len(got) <= 2
        assert sum(came.values()) - len(came) <= 2 * 10


# --- the codec ------------------------------------------------------------------------------------


def test_parameters_are_octets_however_they_are_escaped() -> None:
    found = raw_parameters("id=a%2Db&from=%2B49+30&text=%04%1F%00%2B%&coding=2&x&=y")
    assert found["id"] == b"a-b"
    assert found["from"] == b"+49 30"
    assert found["text"] == b"\x04\x1f\x00+%"
    assert incoming({**found, "to": b"1", "text": b"\x04\x1f"}).text == "П"


@pytest.mark.parametrize(
    ("coding", "charset", "data", "text"),
    [
        (b"0", b"UTF-8", "Grüße".encode(), "Grüße"), (b"2", b"UTF-16BE", b"\x04\x1f", "П"),
        (b"1", b"8-BIT", b"\xff\x00", "[2 bytes of data: ff00]"), (b"1", b"8-BIT", b"ok", "ok"),
        (b"", b"", b"ok", "ok"),
    ],
)  # fmt: skip
def test_a_text_is_read_in_its_coding(
    coding: bytes, charset: bytes, data: bytes, text: str
) -> None:
    params = {"id": b"i", "from": b"+49", "to": b"1", "text": data, "coding": coding,
              "charset": charset}  # fmt: skip
    assert incoming(params).text == text


@pytest.mark.parametrize(
    "params", [{}, {"id": b"i"}, {"id": b"i", "from": b"f"}, {"id": b"i" * 200, "from": b"f",
               "to": b"t"}, {"id": b"i\n", "from": b"f", "to": b"t"}],
)  # fmt: skip
def test_a_message_that_does_not_say_whose_it_is_is_refused(params: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="expected"):
        incoming(params)


@pytest.mark.parametrize("ref", [b"", b"zz", b"c0ffee", b"a b".hex().encode()])
def test_a_receipt_without_our_reference_is_refused(ref: bytes) -> None:
    if ref.endswith(b"62"):
        assert status({"type": b"1", "ref": ref}) is not None
        return
    with pytest.raises(ValueError, match="expected"):
        status({"type": b"1", "ref": ref})


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (b"Not routable. Do not try again.", "Not routable. Do not try again."),
        (b"NACK/0x0000000b/Invalid Destination Address",
         "NACK/0x0000000b/Invalid Destination Address"),
        (b"+4915112345678 is denied (0151 123-45678)", "\u2026 is denied (\u2026)"),
        (b"id:0123456789 sub:001 dlvrd:000 submit date:2611220700 stat:UNDELIV err:027 "
         b"Text:Dear Kim, your PIN",
         "id:\u2026 sub:001 dlvrd:000 submit date:\u2026 stat:UNDELIV err:027"),
        (b"a\r\nSet-Cookie: b\x00\x1b[31m", "a Set-Cookie: b [31m"),
        (b"\xff" * 5_000, "\ufffd" * 100),
        (b"1" * 5_000, "\u2026"),
        (b"", ""),
    ],
)  # fmt: skip
def test_what_an_smsc_says_is_kept_without_numbers_and_texts(said: bytes, kept: str) -> None:
    assert reason(said) == kept
    ref = b"c1 m1".hex().encode()
    found = status({"type": b"2", "ref": ref, "answer": said})
    assert found is not None
    assert (found.state, found.detail) == ("undelivered", kept)


def test_the_alphabet_is_chosen_and_parts_are_counted() -> None:
    assert (coding_of("Grüße €"), coding_of("naïve")) == (GSM, UCS2)
    assert [parts_of(text) for text in ("x" * 160, "x" * 161, "я" * 70, "я" * 71)] == [1, 2, 1, 2]
    assert query({"a": "+ &%ü"}) == "a=%2B%20%26%25%C3%BC"


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"send_url": "kannel"}, "adapters.texts: send_url: expected http://host/path"),
        ({"peers": ["home"]}, "adapters.texts: 'home' does not appear to be an IPv4 or IPv6"),
        ({"timeout_s": 15.0}, "adapters.texts: timeout_s + patience_s must be <= 18"),
        ({"metod": "get"}, "adapters.texts.metod: unknown setting; did you mean 'method'?"),
        ({"password_file": "nowhere"}, "adapters.texts.password_file: nowhere"),
    ],
)
def test_wrong_settings_say_what_was_expected(
    change: dict[str, Any], finding: str, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o600)
    settings = {"send_url": "http://127.0.0.1:1/s", "username": "u",
                "password_file": str(password), **change}  # fmt: skip
    with pytest.raises(ConfigError) as error:
        Kannel("texts", settings, RouterDouble(Signal()))
    assert error.value.findings[0].startswith(finding)
