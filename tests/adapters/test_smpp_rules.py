"""Reassembly, receipts, what the centre says twice, and addresses: rules without a connection."""

from __future__ import annotations

import itertools

import pytest

from adapters.smpp import pdu
from adapters.smpp.addresses import Place, placed, written
from adapters.smpp.heard import Hearing
from adapters.smpp.parts import Part
from adapters.smpp.reassembly import Reassembly, Whole
from adapters.smpp.receipts import Receipt, as_answered, comparable, is_receipt, read_receipt
from router.channel import ChannelError


def message(
    payload: bytes = b"hello",
    *,
    esm_class: int = 0,
    data_coding: int = 0,
    tlvs: dict[int, bytes] | None = None,
) -> pdu.Message:
    return pdu.Message(
        source="4930900100", source_ton=1, source_npi=1, destination="4930555300",
        destination_ton=1, destination_npi=1, esm_class=esm_class, data_coding=data_coding,
        payload=payload, tlvs=tlvs or {},
    )  # fmt: skip


# --- reassembly -----------------------------------------------------------------------------------


def whole(total: int, key: str = "k", at_s: float = 0.0) -> Whole:
    return Whole(key, f"id-{key}", "+49", "1", total, at_s)


def part(number: int, total: int, data: bytes, coding: int = 0) -> Part:
    return Part("udh7", number, total, data, coding)


def test_parts_in_any_order_and_more_than_once_are_one_text() -> None:
    for order in itertools.permutations([1, 2, 3, 2]):
        waiting = Reassembly(60, 10, 1_000)
        one = whole(3)
        for number in order:
            waiting.add(one, part(number, 3, b"%d" % number))
        assert one.is_complete
        assert one.text("gsm", "ascii") == "123"
        assert waiting.octets == 3
        waiting.remove(one)
        assert (len(waiting), waiting.octets) == (0, 0)


def test_a_missing_part_is_marked_where_it_is_missing() -> None:
    one = whole(4)
    waiting = Reassembly(60, 10, 1_000)
    waiting.add(one, part(3, 4, b"c"))
    waiting.add(one, part(1, 4, b"a"))
    assert waiting.over(59.9) == []
    assert waiting.next_s() == 60
    assert waiting.over(60.0) == [one]
    assert one.text("gsm", "ascii") == "a[part 2 of 4 is missing]c[part 4 of 4 is missing]"


def test_a_pair_that_a_phone_has_divided_is_read_as_one() -> None:
    one = whole(2)
    waiting = Reassembly(60, 10, 1_000)
    waiting.add(one, part(1, 2, b"\x00a\xd8\x3d", 8))
    waiting.add(one, part(2, 2, b"\xde\x00\x00b", 8))
    assert one.text("gsm", "ascii") == "a😀b"
    mixed = whole(2, "m")
    waiting.add(mixed, part(1, 2, b"a\x1b"))
    waiting.add(mixed, part(2, 2, b"\x00e", 8))
    assert mixed.text("gsm", "ascii") == "ae"


def test_a_reference_that_is_used_again_is_another_message() -> None:
    one = whole(2)
    waiting = Reassembly(60, 10, 1_000)
    waiting.add(one, part(1, 2, b"old"))
    assert waiting.disagrees("k", part(1, 2, b"old")) is None
    assert waiting.disagrees("k", part(2, 2, b"new")) is None
    assert waiting.disagrees("k", part(1, 2, b"new")) is one


def test_what_waits_is_bounded_in_number_and_octets() -> None:
    waiting = Reassembly(1e9, 3, 1_000_000)
    for number in range(5):
        waiting.add(whole(2, str(number)), part(1, 2, b"x"))
    assert [one.key for one in waiting.over(0.0)] == ["0", "1"]
    large = Reassembly(1e9, 1_000, 250)
    for number in range(5):
        large.add(whole(2, str(number)), part(1, 2, b"x" * 100))
    assert [one.key for one in large.over(0.0)] == ["0", "1", "2"]


# --- receipts -------------------------------------------------------------------------------------

TEXT = (
    b"id:%s sub:001 dlvrd:001 submit date:2611220346 done date:2611220347 stat:%s err:%s "
    b"text:id:9 stat:UNDELIV"
)


@pytest.mark.parametrize(
    ("payload", "tlvs", "receipt"),
    [
        (TEXT % (b"17", b"DELIVRD", b"000"), {}, Receipt("17", "delivered", "")),
        (TEXT % (b"17", b"UNDELIV", b"006"), {}, Receipt("17", "undelivered", "UNDELIV 006")),
        (TEXT % (b"17", b"EXPIRED", b"1"), {}, Receipt("17", "undelivered", "EXPIRED 1")),
        (TEXT % (b"17", b"REJECTD", b""), {}, Receipt("17", "undelivered", "REJECTD")),
        (TEXT % (b"17", b"ENROUTE", b"000"), {}, Receipt("17", "", "")),
        (TEXT % (b"17", b"ACCEPTD", b"000"), {}, Receipt("17", "", "")),
        (TEXT % (b"17", b"UNKNOWN", b"000"), {}, Receipt("17", "", "")),
        (TEXT.lower() % (b"17", b"DELIVRD", b"000"), {}, Receipt("17", "delivered", "")),
        (b"", {0x1E: b"0A\0", 0x427: b"\2"}, Receipt("0A", "delivered", "")),
        (TEXT % (b"10", b"UNDELIV", b"6"), {0x1E: b"0A\0", 0x427: b"\2"},
         Receipt("0A", "delivered", "")),
        (TEXT % (b"10", b"UNDELIV", b"6"), {0x1E: b"0A\0"}, Receipt("0A", "undelivered",
                                                                   "UNDELIV 6")),
        (b"hello", {}, None),
        (b"", {}, None),
        (b"x" * 60_000, {}, None),
    ],
)  # fmt: skip
def test_a_receipt_says_what_became_of_which_message(
    payload: bytes, tlvs: dict[int, bytes], receipt: Receipt | None
) -> None:
    assert read_receipt(message(payload, esm_class=4, tlvs=tlvs)) == receipt


@pytest.mark.parametrize(
    ("esm_class", "is_one"),
    [(0, False), (4, True), (0x44, True), (0x08, True), (0x10, True), (0x20, True), (0x40, False),
     (0x03, False)],
)  # fmt: skip
def test_the_class_tells_receipts_from_customers(esm_class: int, is_one: bool) -> None:
    assert is_receipt(message(esm_class=esm_class)) == is_one


@pytest.mark.parametrize(
    ("answered", "told", "ids"),
    [
        ("1A2B", "1a2b", "same"), ("0000001A", "1A", "same"), ("a-b-c", "A-B-C", "same"),
        ("1A2B", "6699", "decimal"), ("00ff", "0000000255", "decimal"),
        ("6699", "1A2B", "hex"), ("255", "000000FF", "hex"), ("0", "0", "same"),
        ("uuid-x", "uuid-x", "decimal"),
    ],
)  # fmt: skip
def test_ids_are_the_same_however_they_are_written(answered: str, told: str, ids: str) -> None:
    assert as_answered(told, ids) == comparable(answered)


# --- what is said twice ---------------------------------------------------------------------------


class Centre:
    """A centre's side of the rule: what it says, and when its connection is there."""

    def __init__(self) -> None:
        self.hearing = Hearing(keep_s=3_600, most=1_000)
        self.now_s = 100.0
        self._ids = (f"m{number}" for number in itertools.count())
        self.connection = 0
        self.reconnect()

    def reconnect(self) -> None:
        self.hearing.ended(self.connection)
        self.connection += 1
        self.hearing.connected(self.connection)

    def say(self, text: bytes = b"yes", *, after_s: float = 0.1, is_ok: bool | None = True,
            tlvs: dict[int, bytes] | None = None) -> str:  # fmt: skip
        one = self.hearing.hear(message(text, tlvs=tlvs), self.connection, self.now_s,
                                next(self._ids))  # fmt: skip
        self.now_s += after_s
        if is_ok is not None:
            self.hearing.answered(one, self.connection, self.now_s, is_ok=is_ok)
        return one.id


def test_the_same_words_are_a_new_message_when_the_first_was_answered() -> None:
    centre = Centre()
    assert centre.say() != centre.say()


def test_the_same_words_are_a_new_message_while_the_first_is_on_its_way() -> None:
    centre = Centre()
    assert centre.say(is_ok=None) != centre.say()


def test_what_was_refused_comes_again() -> None:
    centre = Centre()
    first = centre.say(is_ok=False)
    assert centre.say() == first
    assert centre.say() != first


def test_what_was_not_answered_comes_again_after_a_reconnect() -> None:
    centre = Centre()
    first = centre.say(is_ok=None)
    centre.reconnect()
    assert centre.say() == first
    assert centre.say() != first


def test_what_was_answered_comes_again_if_the_connection_ended_before_it_was_read() -> None:
    centre = Centre()
    first = centre.say()
    centre.reconnect()
    assert centre.say() == first


def test_what_was_answered_and_read_does_not_come_again() -> None:
    centre = Centre()
    first = centre.say()
    assert centre.hearing.read_until(centre.connection, centre.now_s) == []
    assert centre.hearing.read_until(centre.connection, centre.now_s + 0.1) == [first]
    centre.reconnect()
    assert centre.say() != first


def test_what_was_answered_late_may_come_again_on_the_same_connection() -> None:
    centre = Centre()
    first = centre.say(after_s=12.0)
    assert centre.say() == first


def test_two_that_are_the_same_and_both_unanswered_stay_two() -> None:
    centre = Centre()
    firsts = [centre.say(is_ok=None), centre.say(is_ok=None)]
    centre.reconnect()
    assert [centre.say(), centre.say()] == firsts
    assert centre.say() not in firsts


def test_an_id_that_the_centre_gives_decides_alone() -> None:
    centre = Centre()
    first = centre.say(tlvs={pdu.RECEIPTED_MESSAGE_ID: b"abc\0"})
    assert centre.say(tlvs={pdu.RECEIPTED_MESSAGE_ID: b"abc\0"}) == first
    assert centre.say(tlvs={pdu.RECEIPTED_MESSAGE_ID: b"abd\0"}) != first


def test_what_may_come_again_is_bounded_in_time_and_number() -> None:
    centre = Centre()
    first = centre.say(is_ok=False)
    centre.now_s += 3_601
    assert centre.hearing.expire(centre.now_s) == [first]
    assert centre.say() != first
    centre.hearing.most = 10
    for number in range(100):
        centre.say(b"%d" % number, is_ok=False)
    centre.hearing.expire(centre.now_s)
    assert len(centre.hearing) == 10


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "sender", "place"),
    [
        ("+4930900100", False, Place("4930900100", 1, 1)),
        ("+49 (30) 900-100", False, Place("4930900100", 1, 1)),
        ("030900100", False, Place("030900100", 0, 1)),
        ("72000", True, Place("72000", 0, 1)),
        ("Example Ltd", True, Place("Example Ltd", 5, 0)),
        ("A very long name", True, Place("A very long", 5, 0)),
    ],
)
def test_numbers_are_placed_with_their_type(address: str, sender: bool, place: Place) -> None:
    assert placed(address, (0, 1), is_sender=sender) == place


@pytest.mark.parametrize("address", ["", "anonymous", "+", "+49x", "1" * 21, "+٤٩"])
def test_who_has_no_number_is_not_written_to(address: str) -> None:
    with pytest.raises(ChannelError):
        placed(address, (0, 1))


@pytest.mark.parametrize(
    ("digits", "ton", "unknown", "result"),
    [
        ("4930900100", 1, False, "+4930900100"), ("4930900100", 0, False, "4930900100"),
        ("4930900100", 0, True, "+4930900100"), ("+4930900100", 1, False, "+4930900100"),
        ("72000", 3, True, "72000"), ("Example", 5, True, "Example"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_the_router_writes_them(
    digits: str, ton: int, unknown: bool, result: str
) -> None:
    assert written(digits, ton, unknown_is_international=unknown) == result
