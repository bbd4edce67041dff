"""Long texts and all alphabets, both ways, and receipts: through a real SMS centre.

What goes out is decoded by the centre's library, what comes in is encoded by it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.smpp.parts import Way
from adapters.smpp.store import Store
from router.channel import OutcomeUnknown, Overloaded, StoreFull
from router.testing.conformance import CUSTOMER, OTHER
from tests.adapters.smsc_peer import OURS, SmppHarness, needs_smsc

pytestmark = [pytest.mark.peer, needs_smsc]

TEXTS = {
    "gsm": "Grüße! " + "abc {x} [y] €5 ~ \\ | ^ ÄÖÜñ@£ " * 14,
    "cyrillic": "Здравствуйте, мой номер не работает. " * 9,
    "emoji": "a" + "😀👩\u200d👧" * 40,
}


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[SmppHarness]:
    async with SmppHarness(tmp_path) as harness:
        yield harness


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[SmppHarness]:
    """Waits for missing parts no longer than it takes to send two."""
    async with SmppHarness(tmp_path, long_wait_s=2.0) as harness:
        yield harness


def joined(rows: list[dict[str, Any]]) -> str:
    """The parts of one text, put together by what the centre saw beside them."""
    found: dict[int, str] = {}
    totals, references = set(), set()
    for row in rows:
        if row["udh"]:
            header = bytes.fromhex(row["udh"])
            element = header[2:]
            references.add(element[:-2])
            total, number = element[-2], element[-1]
        else:
            reference, number, total = row["sar"]
            references.add(reference)
        totals.add(total)
        assert number not in found
        found[number] = row["text"]
    assert len(references) == 1
    assert totals == {len(rows)}
    return "".join(found[number] for number in sorted(found))


# --- out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["udh8", "udh16", "sar", "payload"])
async def test_a_long_answer_is_read_whole_at_the_other_end(way: Way, tmp_path: Path) -> None:
    async with SmppHarness(tmp_path, long_messages=way) as harness:
        for number, text in enumerate(TEXTS.values()):
            assert await harness.send(number, text) == "sent"
        rows = harness.smsc.submits()
        assert {row["coding"] for row in rows} == {0, 8}
        for text in TEXTS.values():
            mine = rows if way == "payload" else rows[: next_text(rows)]
            if way == "payload":
                assert rows.pop(0)["text"] == text
            else:
                assert len(mine) > 1
                assert joined(mine) == text
                del rows[: len(mine)]
        assert rows == []


def next_text(rows: list[dict[str, Any]]) -> int:
    """Where the next text begins: its first part has the number 1."""
    for at, row in enumerate(rows[1:], 1):
        number = bytes.fromhex(row["udh"])[-1] if row["udh"] else row["sar"][1]
        if number == 1:
            return at
    return len(rows)


@pytest.mark.parametrize(
    ("default", "text", "coding"),
    [
        ("gsm", "Grüße @ 5€", 0), ("gsm", "Привет", 8), ("gsm", "naïve", 8),
        ("latin1", "naïve", 0), ("latin1", "5€", 8), ("ascii", "hello", 0), ("ascii", "é", 8),
    ],
)  # fmt: skip
async def test_a_short_answer_takes_the_centres_own_alphabet_where_it_can(
    default: str, text: str, coding: int, tmp_path: Path
) -> None:
    async with SmppHarness(tmp_path, coding_0=default) as harness:
        assert await harness.send(1, text) == "sent"
        [row] = harness.smsc.submits()
        assert row["coding"] == coding
        if default == "gsm" or coding == 8:
            assert row["text"] == text
        assert (row["source"], row["sourceTon"], row["sourceNpi"]) == (OURS[1:], 1, 1)
        assert (row["destination"], row["ton"], row["npi"]) == (CUSTOMER[1:], 1, 1)
        assert row["registered"] == 1


# --- in -------------------------------------------------------------------------------------------


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("kind", ["udh8", "udh16", "sar"])
@pytest.mark.parametrize("alphabet", list(TEXTS))
async def test_a_long_message_arrives_whole_in_any_order(
    kind: str, alphabet: str, harness: SmppHarness
) -> None:
    text = TEXTS[alphabet]
    pieces = cut(text, 60 if alphabet == "cyrillic" else 30)
    order = sorted(range(len(pieces)), key=lambda at: (at % 3, -at))
    for at in [*order, order[1]][: len(order)]:
        more: dict[str, Any] = {"data_coding": 0 if alphabet == "gsm" else 8}
        if kind == "udh8":
            more["udh"] = bytes((5, 0, 3, 77, len(pieces), at + 1)).hex()
        elif kind == "udh16":
            more["udh"] = bytes((6, 8, 4, 1, 77, len(pieces), at + 1)).hex()
        else:
            more |= {"sar_msg_ref_num": 77, "sar_total_segments": len(pieces),
                     "sar_segment_seqnum": at + 1}  # fmt: skip
        assert await harness.smsc.write(f"p{at}", pieces[at], **more) == 0
    assert list(harness.router.messages.values()) == [text]
    assert len(harness.smpp.inbound.reassembly) == 0


@pytest.mark.parametrize(
    ("coding", "text", "setting"),
    [
        (0, "Grüße @ 5€ {x}", "ascii"), (1, "Grüße @ 5€ {x}", "gsm"), (1, "hello", "ascii"),
        (3, "naïve Ärger", "ascii"), (8, "Привет 😀", "ascii"),
    ],
)  # fmt: skip
async def test_a_message_is_read_in_the_alphabet_it_came_in(
    coding: int, text: str, setting: str, tmp_path: Path
) -> None:
    async with SmppHarness(tmp_path, coding_1=setting) as harness:
        assert await harness.smsc.write("m", text, data_coding=coding) == 0
        assert list(harness.router.messages.values()) == [text]


async def test_a_message_in_the_payload_parameter_arrives(harness: SmppHarness) -> None:
    text = "Grüße " * 2_000
    assert await harness.smsc.write("m", text, data_coding=0, payload=True) == 0
    assert list(harness.router.messages.values()) == [text]


async def test_data_that_is_no_text_is_said_to_be_data(harness: SmppHarness) -> None:
    assert await harness.smsc.write("m", hex="00ff10", data_coding=4) == 0
    assert list(harness.router.messages.values()) == ["[3 bytes of data: 00ff10]"]


async def test_an_empty_message_arrives(harness: SmppHarness) -> None:
    assert await harness.smsc.write("m", "") == 0
    assert list(harness.router.messages.values()) == [""]


async def test_a_part_that_never_comes_is_marked_and_the_rest_is_not_lost(
    impatient: SmppHarness,
) -> None:
    harness = impatient
    for number, text in ((1, "first "), (3, " third")):
        udh = bytes((5, 0, 3, 9, 3, number)).hex()
        assert await harness.smsc.write(f"p{number}", text, udh=udh) == 0
    assert harness.router.messages == {}
    await harness.signal.until(lambda: bool(harness.router.messages))
    assert list(harness.router.messages.values()) == ["first [part 2 of 3 is missing] third"]


async def test_parts_wait_over_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state" / "texts.state"
    async with SmppHarness(tmp_path, state_file=str(state)) as harness:
        udh = "05000309020{}".format
        assert await harness.smsc.write("p2", "world", udh=udh(2)) == 0
        await harness.stop()
        assert state.stat().st_mode & 0o077 == 0
        harness.make()
        await harness.start()
        assert await harness.smsc.write("p1", "hello ", udh=udh(1)) == 0
        assert list(harness.router.messages.values()) == ["hello world"]
        await harness.stop()
        assert b"world" not in state.read_bytes(), "what was passed on is left in the file"
        await harness.start()


async def test_a_last_part_that_the_router_does_not_take_is_asked_for_again(
    harness: SmppHarness,
) -> None:
    await harness.smsc.do("set", retry=50)
    assert await harness.smsc.write("p1", "hello ", udh="050003090201") == 0
    harness.router.fail("message", Overloaded("full", 0.01), Overloaded("full", 0.01))
    assert await harness.smsc.write("p2", "world", udh="050003090202") == 0x14
    await harness.signal.until(lambda: bool(harness.router.messages))
    assert list(harness.router.messages.values()) == ["hello world"]


async def test_a_reference_used_again_does_not_mix_two_messages(harness: SmppHarness) -> None:
    assert await harness.smsc.write("a1", "old", udh="050003090201") == 0
    assert await harness.smsc.write("b1", "new ", udh="050003090201") == 0
    assert await harness.smsc.write("b2", "message", udh="050003090202") == 0
    assert list(harness.router.messages.values()) == [
        "old[part 2 of 2 is missing]", "new message",
    ]  # fmt: skip


# --- receipts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["text", "tlv", "both"])
@pytest.mark.parametrize("ids", ["same", "decimal", "hex"])
async def test_a_receipt_finds_its_message(told: str, ids: str, tmp_path: Path) -> None:
    async with SmppHarness(tmp_path, receipt_ids=ids) as harness:
        await harness.smsc.do("set", receipts=told, receiptIds=ids, hold=True)
        for number in range(1, 20):  # beyond 9 the ways to write it differ
            assert await harness.send(number, f"text {number}") == "sent"
        assert harness.router.said("receipt") == []
        await harness.smsc.do("set", hold=False)
        await harness.signal.until(lambda: len(harness.router.said("receipt")) == 19)
        found = {(said.of, *said.args) for said in harness.router.said("receipt")}
        assert found == {("c1", f"m{number}", "delivered", "") for number in range(1, 20)}


async def test_a_receipt_says_why_it_was_not_delivered(harness: SmppHarness) -> None:
    await harness.smsc.do("set", receipts="text", receiptState="UNDELIV")
    assert await harness.send(1, "hello") == "sent"
    await harness.signal.until(lambda: bool(harness.router.said("receipt")))
    [said] = harness.router.said("receipt")
    assert (said.of, *said.args) == ("c1", "m1", "undelivered", "UNDELIV 006")


async def test_a_receipt_before_the_answer_waits_for_it(harness: SmppHarness) -> None:
    await harness.smsc.do("set", receipts="both", early=True)
    assert await harness.send(1, "hello") == "sent"
    await harness.signal.until(lambda: bool(harness.router.said("receipt")))
    [said] = harness.router.said("receipt")
    assert said.args[:2] == ("m1", "delivered")


async def test_a_long_message_is_delivered_when_all_its_parts_are(harness: SmppHarness) -> None:
    await harness.smsc.do("set", receipts="both", hold=True, deliverWindow=1)
    assert await harness.send(1, "x" * 400) == "sent"
    assert await harness.send(2, "short") == "sent"
    gate = harness.router.gates["receipt"] = asyncio.Event()
    await harness.smsc.do("set", hold=False)
    await harness.signal.until(lambda: bool(harness.router.said("receipt")))
    # One at a time: its first two parts are answered, and the third is being told of.
    assert len(harness.smsc.seen("answered")) == 2
    gate.set()
    await harness.signal.until(lambda: len(harness.smsc.seen("answered")) == 4)
    assert [said.args[0] for said in harness.router.said("receipt")] == ["m1", "m2"]


async def test_a_receipt_that_the_router_cannot_take_is_told_again(harness: SmppHarness) -> None:
    await harness.smsc.do("set", receipts="both", retry=50)
    harness.router.fail("receipt", Overloaded("full", 0.01))
    assert await harness.send(1, "hello") == "sent"
    await harness.signal.until(lambda: len(harness.smsc.seen("answered")) == 2)
    assert [event["status"] for event in harness.smsc.seen("answered")] == [0x14, 0]
    # It was kept, besides: some centres never say it again.
    assert [said.args[0] for said in harness.router.said("receipt")] in (["m1"] * 2, ["m1"] * 3)


async def test_a_receipt_that_the_centre_says_once_only_is_told_after_the_outage(
    harness: SmppHarness,
) -> None:
    await harness.smsc.do("set", receipts="both")
    harness.router.fail("receipt", OutcomeUnknown("?"), StoreFull("full"), StoreFull("full"))
    assert await harness.send(1, "hello") == "sent"
    await harness.signal.until(lambda: len(harness.router.said("receipt")) == 4)
    assert [event["status"] for event in harness.smsc.seen("answered")] == [0x08]


async def test_a_receipt_of_nothing_that_we_sent_is_answered_and_is_no_message(
    harness: SmppHarness,
) -> None:
    text = "id:99 sub:001 dlvrd:001 submit date:2611220346 done date:2611220347 stat:DELIVRD err:0"
    assert await harness.smsc.write("r", text, esm_class=4) == 0
    assert await harness.smsc.write("s", "no receipt at all", esm_class=4) == 0
    assert harness.router.calls == []


async def test_ids_that_come_again_lead_each_receipt_to_whom_it_is_about(
    harness: SmppHarness,
) -> None:
    """Centres count from 1 after a restart, or round; receipts may come days after the message."""
    await harness.smsc.do("set", receipts="both", hold=True, ids=["7", "7"])
    assert await harness.send(1, "for one", CUSTOMER) == "sent"
    assert await harness.send(2, "for another", OTHER) == "sent"
    await harness.smsc.do("set", hold=False)
    await harness.signal.until(lambda: len(harness.router.said("receipt")) == 2)
    assert {said.args[:2] for said in harness.router.said("receipt")} == {
        ("m1", "delivered"), ("m2", "delivered"),
    }  # fmt: skip


async def test_a_receipt_before_the_answer_is_not_for_an_older_message_with_that_id(
    harness: SmppHarness,
) -> None:
    await harness.smsc.do("set", receipts="both", ids=["7", "7"])
    assert await harness.send(1, "first") == "sent"
    await harness.signal.until(lambda: len(harness.router.said("receipt")) == 1)
    await harness.smsc.do("set", early=True)
    assert await harness.send(2, "second") == "sent"
    await harness.signal.until(lambda: len(harness.router.said("receipt")) == 2)
    assert [said.args[0] for said in harness.router.said("receipt")] == ["m1", "m2"]


async def test_a_receipt_for_another_number_is_for_none_of_ours(harness: SmppHarness) -> None:
    await harness.smsc.do("set", ids=["7"])
    assert await harness.send(1, "hello") == "sent"
    text = "id:7 sub:001 dlvrd:001 submit date:2611220346 done date:2611220347 stat:DELIVRD err:0"
    assert await harness.smsc.write("a", text, esm_class=4, source="4930900199") == 0
    assert harness.router.said("receipt") == []
    # The same number as a national network writes it.
    national = "0" + CUSTOMER.removeprefix("+49")
    assert await harness.smsc.write("b", text, esm_class=4, source=national) == 0
    assert [said.args[0] for said in harness.router.said("receipt")] == ["m1"]


async def test_an_id_is_matched_for_a_week_and_the_newest_message_has_it() -> None:
    now = [1_000_000.0]
    store = Store("", lambda: now[0])
    await store.open(0.0)
    try:
        for number, who in ((1, "aaa"), (2, "bbb"), (3, "aaa")):
            await store.begin(f"e{number}", "c1", f"m{number}", 1)
            await store.given(f"e{number}", "main", "7", who)
            now[0] += 86_400

        async def found(*who: str) -> str:
            sent = await store.sent("main", "7", frozenset(who))
            return sent.message if sent is not None else ""

        assert [await found(), await found("aaa"), await found("bbb")] == ["m3", "m3", "m2"]
        assert await found("ccc") == ""
        newest = await store.sent("main", "7", frozenset())
        assert newest is not None
        assert (await store.told("main", "7", newest, delivered=True)).is_whole
        assert [await found(), await found("aaa")] == ["m2", "m1"]  # they have had none yet
        now[0] += 4 * 86_400  # the first one's week is over
        assert await found("aaa") == "m3"
        now[0] += 7 * 86_400
        assert await found() == ""
    finally:
        await store.close()


async def test_ids_in_a_state_file_of_an_earlier_version_are_known(tmp_path: Path) -> None:
    file = tmp_path / "texts.state"
    with sqlite3.connect(file) as db:
        db.executescript(
            "CREATE TABLE sent (number INTEGER PRIMARY KEY AUTOINCREMENT, effect TEXT UNIQUE,"
            " state TEXT, contact TEXT, message TEXT, parts INTEGER, delivered INTEGER DEFAULT 0);"
            "CREATE TABLE given (smsc TEXT, id TEXT, sent INTEGER, delivered INTEGER DEFAULT 0,"
            " PRIMARY KEY (smsc, id));"
            "INSERT INTO sent VALUES (1, 'message/m1', 'done', 'c1', 'm1', 1, 0);"
            "INSERT INTO given VALUES ('main', '7', 1, 0);"
        )
    db.close()
    for _ in range(2):
        store = Store(str(file))
        await store.open(0.0)
        sent = await store.sent("main", "7", frozenset(["abc"]))
        assert sent is not None
        assert (sent.contact, sent.message, sent.is_new) == ("c1", "m1", True)
        await store.close()


async def test_receipts_find_their_message_after_a_restart(tmp_path: Path) -> None:
    async with SmppHarness(tmp_path, state_file=str(tmp_path / "texts.state")) as harness:
        await harness.smsc.do("set", receipts="both", hold=True)
        assert await harness.send(1, "hello") == "sent"
        await harness.stop()
        harness.make()
        await harness.start()
        assert await harness.send(1, "hello") == "sent"
        assert harness.smsc.got() == ["hello"], "the same message was sent twice"
        await harness.smsc.do("set", hold=False)
        await harness.signal.until(lambda: bool(harness.router.said("receipt")))
        assert [said.args[0] for said in harness.router.said("receipt")] == ["m1"]
