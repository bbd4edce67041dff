"""SMPP without a connection: packets, alphabets, long texts."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.smpp import alphabets, pdu
from adapters.smpp.parts import TooLong, Way, alone, part_of, split
from adapters.smpp.receipts import read_receipt

GSM_CHARS = "".join(alphabets.from_gsm(bytes((code,))) for code in range(128) if code != 0x1B)
EXTENSION = "\f^{}\\[~]|€"
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=900)
gsm_text = st.text(st.sampled_from(GSM_CHARS + EXTENSION), max_size=900)


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


# --- packets --------------------------------------------------------------------------------------

STREAM = b"".join(
    (
        pdu.packet(pdu.ENQUIRE_LINK, 1),
        pdu.packet(pdu.DELIVER_SM, 2, pdu.submit_body(message())),
        pdu.packet(pdu.DELIVER_SM, 3, pdu.submit_body(message(b"x" * 1000, tlvs={0x1400: b"v"}))),
        pdu.packet(pdu.SUBMIT_SM | pdu.RESPONSE, 4, b"id\0"),
        pdu.packet(pdu.SUBMIT_SM | pdu.RESPONSE, 5, status=pdu.THROTTLED),
    )
)


def test_a_stream_cut_anywhere_is_the_same_packets() -> None:
    whole = pdu.Framer().feed(STREAM)
    assert [one.sequence for one in whole] == [1, 2, 3, 4, 5]
    for cut in range(len(STREAM) + 1):
        framer = pdu.Framer()
        assert framer.feed(STREAM[:cut]) + framer.feed(STREAM[cut:]) == whole


def test_a_stream_byte_by_byte_is_the_same_packets() -> None:
    framer = pdu.Framer()
    found = [one for byte in STREAM for one in framer.feed(bytes((byte,)))]
    assert found == pdu.Framer().feed(STREAM)


@pytest.mark.parametrize("length", [0, 1, 15, pdu.MOST + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_length_that_cannot_be_ends_the_reading(length: int) -> None:
    with pytest.raises(pdu.Garbage):
        pdu.Framer().feed(struct.pack(">IIII", length, pdu.ENQUIRE_LINK, 0, 1))


def test_a_command_that_cannot_be_ends_the_reading() -> None:
    with pytest.raises(pdu.Garbage):
        pdu.Framer().feed(struct.pack(">IIII", 16, 0x48545450, 0, 1))


def test_the_longest_packet_is_taken_and_none_is_made_longer() -> None:
    longest = pdu.packet(pdu.DELIVER_SM, 1, b"\0" * (pdu.MOST - 16))
    assert len(pdu.Framer().feed(longest)) == 1
    with pytest.raises(pdu.Malformed, match="at most"):
        pdu.submit_body(message(b"x" * 65_500))


def test_a_message_is_read_as_it_was_written() -> None:
    for payload in (b"", b"x", b"x" * 254, b"x" * 255, b"x" * 64_000):
        one = message(payload, esm_class=0x40, data_coding=8, tlvs={0x1400: b"", 0x0204: b"ab"})
        assert pdu.read_message(pdu.submit_body(one)) == one


def test_a_body_that_ends_early_is_malformed_wherever_it_ends() -> None:
    body = pdu.submit_body(message(b"hello", tlvs={0x0204: b"ab"}))
    bare = len(pdu.submit_body(message(b"hello")))
    for end in range(len(body)):
        if end == bare:
            continue  # without its optional parameter it is whole
        with pytest.raises(pdu.Malformed):
            pdu.read_message(body[:end])


@given(st.binary(max_size=400))
@settings(max_examples=500)
def test_no_octets_break_the_reading(data: bytes) -> None:
    with suppress(pdu.Garbage):
        pdu.Framer().feed(data)
    for read in (pdu.read_message, pdu.read_message_id):
        with suppress(pdu.Malformed):
            read(data)


def test_flipped_octets_of_a_message_are_a_message_or_malformed() -> None:
    rng = random.Random(7)
    body = pdu.submit_body(
        message(bytes((5, 0, 3, 9, 2, 1)) + b"hello", esm_class=0x40, tlvs={pdu.SAR_TOTAL: b"\2"})
    )
    for _ in range(5_000):
        bad = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        try:
            found = pdu.read_message(bytes(bad))
        except pdu.Malformed:
            continue
        part = part_of(found)
        data = part.data if part is not None else alone(found)
        text = alphabets.text_of(data, found.data_coding, "gsm", "ascii")
        assert text is None or len(text) <= len(body)
        read_receipt(found)


@pytest.mark.parametrize("bad", ["käse", "a\0b"])
def test_what_smpp_cannot_say_is_refused(bad: str) -> None:
    with pytest.raises(pdu.Malformed):
        pdu.bind_body("router", bad, "")


# --- alphabets ------------------------------------------------------------------------------------


def test_the_gsm_alphabet_is_the_one_of_the_standard() -> None:
    # 3GPP TS 23.038 6.2.1, a row of eight columns at a time, from its table.
    table = [
        "@Δ 0¡P¿p", "£_!1AQaq", "$Φ\"2BRbr", "¥Γ#3CScs", "èΛ¤4DTdt", "éΩ%5EUeu", "ùΠ&6FVfv",
        "ìΨ'7GWgw", "òΣ(8HXhx", "ÇΘ)9IYiy", "\nΞ*:JZjz", "Ø\x1b+;KÄkä", "øÆ,<LÖlö", "\ræ-=MÑmñ",
        "Åß.>NÜnü", "åÉ/?O§oà",
    ]  # fmt: skip
    for low, row in enumerate(table):
        for high, char in enumerate(row):
            if char != "\x1b":
                assert alphabets.from_gsm(bytes((high * 16 + low,))) == char
    extension = {0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~",
                 0x3E: "]", 0x40: "|", 0x65: "€"}  # fmt: skip
    for code, char in extension.items():
        assert alphabets.from_gsm(bytes((0x1B, code))) == char
        assert alphabets.to_gsm(char) == bytes((0x1B, code))


@given(gsm_text)
def test_a_gsm_text_comes_back(text: str) -> None:
    assert alphabets.is_gsm(text)
    assert alphabets.from_gsm(alphabets.to_gsm(text)) == text


@given(anything)
def test_any_text_comes_back_in_the_alphabet_that_is_chosen_for_it(text: str) -> None:
    for default in ("gsm", "latin1", "ascii"):
        coding = alphabets.choose(text, default)  # type: ignore[arg-type]
        data = alphabets.octets(text, coding, default)  # type: ignore[arg-type]
        if data[:2] in (b"\xfe\xff", b"\xff\xfe") and coding == alphabets.UCS2:
            continue  # a text that begins with a byte order mark loses it
        assert alphabets.text_of(data, coding, default, "ascii") == text  # type: ignore[arg-type]


def test_odd_gsm_octets_are_shown_as_far_as_they_go() -> None:
    assert alphabets.from_gsm(b"a\x1b") == "a"
    assert alphabets.from_gsm(b"a\x1b\x1bb") == "a b"
    assert alphabets.from_gsm(b"\x1ba") == "a"
    assert alphabets.from_gsm(b"\x80a") == "\ufffda"


@pytest.mark.parametrize(
    ("data", "coding", "text"),
    [
        (b"\x00", 0, "@"), (b"\x00", 0xF0, "@"), (b"\x00", 0x10, "@"), (b"\x00", 0xC8, "@"),
        (b"@", 1, "@"), (b"\xe9", 3, "é"), (b"\x20\xac", 8, "€"), (b"\x20\xac", 0x18, "€"),
        (b"\x20\xac", 0xE0, "€"), (b"\xff\xfe\xac\x20", 8, "€"), (b"\xd8\x3d\xde\x00", 8, "😀"),
        (b"\xd8\x3d", 8, "\ufffd"), (b"\x00a\x00", 8, "a\ufffd"), (b"\xb0", 6, "А"),
        (b"\xe0", 7, "א"), (b"abc", 4, None), (b"abc", 2, None), (b"abc", 0xF5, None),
        (b"abc", 0x14, None),
    ],
)  # fmt: skip
def test_data_coding_says_how_octets_are_read(data: bytes, coding: int, text: str | None) -> None:
    assert alphabets.text_of(data, coding, "gsm", "ascii") == text


def test_octets_of_the_gsm_alphabet_sent_as_ascii_are_read_where_the_setting_says_so() -> None:
    data = alphabets.to_gsm("Grüße @ 5€")
    assert alphabets.text_of(data, 1, "gsm", "gsm") == "Grüße @ 5€"


# --- long texts -----------------------------------------------------------------------------------

WAYS: tuple[Way, ...] = ("udh8", "udh16", "sar")


def carried(text: str, way: Way) -> list[pdu.Message]:
    coding = alphabets.choose(text, "gsm")
    return [
        message(piece.payload, esm_class=piece.esm_class, data_coding=coding, tlvs=piece.tlvs)
        for piece in split(text, coding, "gsm", way, 0x1FF)
    ]


def rejoined(messages: list[pdu.Message]) -> str:
    """By the rules of the standard, not by the code under test: data after data, then read."""
    coding = messages[0].data_coding
    data = b""
    for one in messages:
        start = 1 + one.payload[0] if one.esm_class & 0x40 else 0
        data += one.payload[start:]
    return data.decode("utf-16-be") if coding == 8 else alphabets.from_gsm(data)


@pytest.mark.parametrize("way", WAYS)
@given(text=st.one_of(anything, gsm_text))
@settings(max_examples=150)
def test_a_text_in_parts_is_whole_again_and_each_part_fits(way: Way, text: str) -> None:
    messages = carried(text, way)
    assert rejoined(messages) == text
    for one in messages:
        is_ucs2 = one.data_coding == 8
        header = 1 + one.payload[0] if one.esm_class & 0x40 else (7 if one.tlvs else 0)
        body = len(one.payload) - (header if one.esm_class & 0x40 else 0)
        on_air = body if is_ucs2 else -(-body * 7 // 8)
        assert header + on_air <= 140
    if len(messages) > 1:
        parts = [part_of(one) for one in messages]
        assert [part.number for part in parts if part] == [*range(1, len(messages) + 1)]
        assert {part.total for part in parts if part} == {len(messages)}
        assert len({part.reference for part in parts if part}) == 1


@pytest.mark.parametrize("way", WAYS)
def test_no_pair_is_divided(way: Way) -> None:
    for lead in range(3):
        for one in carried("x" * lead + "€" * 400, way):
            part = part_of(one)
            assert part is not None
            assert part.data[-1] != 0x1B
            assert len(part.data) <= (153 if way == "udh8" else 152)
        for one in carried("x" * lead + "😀" * 400, way):
            part = part_of(one)
            assert part is not None
            part.data.decode("utf-16-be")  # raises for half a pair
            assert len(part.data) <= (134 if way == "udh8" else 132)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("x" * 160, (1, 1, 1)), ("x" * 161, (2, 2, 2)), ("x" * 306, (2, 3, 3)),
        ("€" * 80, (1, 1, 1)), ("€" * 81, (2, 2, 2)), ("я" * 70, (1, 1, 1)),
        ("я" * 71, (2, 2, 2)), ("я" * 134, (2, 3, 3)), ("😀" * 35, (1, 1, 1)),
        ("😀" * 66, (2, 2, 2)),
    ],
)  # fmt: skip
def test_as_many_parts_as_it_takes(text: str, counts: tuple[int, int, int]) -> None:
    assert tuple(len(carried(text, way)) for way in WAYS) == counts


def test_a_text_that_no_phone_could_show_is_refused() -> None:
    with pytest.raises(TooLong):
        carried("x" * 153 * 256, "udh8")
    with pytest.raises(TooLong):
        split("x" * 64_001, 0, "gsm", "payload", 1)
    assert len(split("x" * 64_000, 0, "gsm", "payload", 1)) == 1


@pytest.mark.parametrize(
    ("header", "tlvs", "is_part"),
    [
        (b"\x05\x00\x03\x07\x02\x01", {}, True),
        (b"\x06\x08\x04\x00\x07\x02\x01", {}, True),
        (b"\x0b\x05\x04\x0b\x84\x23\xf0\x00\x03\x07\x02\x02", {}, True),  # behind port numbers
        (b"\x05\x00\x03\x07\x02\x03", {}, False),  # the third of two
        (b"\x05\x00\x03\x07\x02\x00", {}, False),
        (b"\x05\x00\x03\x07\x00\x00", {}, False),
        (b"\x05\x00\x09\x07\x02\x01", {}, False),  # says that it is longer than the header
        (b"\xff\x00\x03\x07\x02\x01", {}, False),
        (b"\x05", {}, False),  # one octet longer than all of it
        (b"\x00", {}, False),
        (b"\x02\x70\x00", {}, False),
        (b"", {pdu.SAR_REFERENCE: b"\0\7", pdu.SAR_TOTAL: b"\2", pdu.SAR_NUMBER: b"\1"}, True),
        (b"", {pdu.SAR_REFERENCE: b"\0\7", pdu.SAR_TOTAL: b"\2"}, False),
        (b"", {pdu.SAR_REFERENCE: b"", pdu.SAR_TOTAL: b"\2", pdu.SAR_NUMBER: b"\1"}, False),
        (
            b"",
            {pdu.SAR_REFERENCE: b"\7" * 2_000, pdu.SAR_TOTAL: b"\2", pdu.SAR_NUMBER: b"\1"},
            False,
        ),
    ],
)
def test_a_header_says_which_part_it_is_or_is_none(
    header: bytes, tlvs: dict[int, bytes], is_part: bool
) -> None:
    one = message(header + b"text", esm_class=0x40 if header else 0, tlvs=tlvs)
    part = part_of(one)
    assert (part is not None) == is_part
    data = part.data if part is not None else alone(one)
    assert data.endswith(b"text")


def test_the_same_number_told_in_another_way_is_another_message() -> None:
    told = [
        message(b"\x05\x00\x03\x07\x02\x01a", esm_class=0x40),
        message(b"\x06\x08\x04\x00\x07\x02\x01a", esm_class=0x40),
        message(b"a", tlvs={pdu.SAR_REFERENCE: b"\0\7", pdu.SAR_TOTAL: b"\2",
                            pdu.SAR_NUMBER: b"\1"}),
    ]  # fmt: skip
    references = [part.reference for one in told if (part := part_of(one)) is not None]
    assert len(set(references)) == 3
