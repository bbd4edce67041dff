"""Long texts: how one becomes several messages, and which part of what one that comes in is.

Texts are cut between characters: no escape pair of the GSM alphabet and no surrogate pair of UTF-16
is ever divided. Concatenation is said in the user data header (3GPP TS 23.040, 9.2.3.24.1 and .8)
or in the sar_* parameters (SMPP 3.4, 5.3.2.22 to 24).
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from adapters.smpp.alphabets import UCS2, Default, octets
from adapters.smpp.pdu import SAR_NUMBER, SAR_REFERENCE, SAR_TOTAL, UDH_INDICATOR, Message

Way = Literal["udh8", "udh16", "sar", "payload"]
"""How a long text is said: user data header, sar_* parameters, or whole in message_payload."""

CONCAT_8: Final = 0x00
CONCAT_16: Final = 0x08

PARTS_MOST: Final = 255
PAYLOAD_MOST: Final = 64_000
"""Octets of a text in message_payload, so that the packet stays below 64 KiB."""

# One message has 140 octets on the air: 160 septets, or 70 UTF-16 units (23.040 9.2.3.16). With a
# header: 140 - 6 octets are 153 septets, 140 - 7 are 152. With sar_* the centre makes the header.
_WHOLE = {False: 160, True: 140}
_PIECE = {"udh8": {False: 153, True: 134}, "udh16": {False: 152, True: 132},
          "sar": {False: 152, True: 132}}  # fmt: skip
_WHOLE_8BIT: Final = 140
_PIECE_8BIT: Final = 132


class TooLong(Exception):
    """The text needs more parts than there can be."""


class Piece(NamedTuple):
    """What one submit_sm carries of a text."""

    payload: bytes
    esm_class: int
    tlvs: dict[int, bytes]


class Part(NamedTuple):
    """Which part of a longer message something is."""

    reference: str
    """Tells messages of one sender apart; says which of the ways it was told in, too."""
    number: int
    """From 1."""
    total: int
    data: bytes
    """The octets of its text."""
    data_coding: int


def split(text: str, data_coding: int, default: Default, way: Way, reference: int) -> list[Piece]:
    """One piece if it fits, else as many as it takes. Raises TooLong."""
    data = octets(text, data_coding, default)
    is_ucs2 = data_coding == UCS2
    # Latin-1 and ASCII are 8 bits a character on the air, unless the centre knows better.
    most = _WHOLE[is_ucs2] if is_ucs2 or default == "gsm" else _WHOLE_8BIT
    if len(data) <= most:
        return [Piece(data, 0, {})]
    if way == "payload":
        if len(data) > PAYLOAD_MOST:
            raise TooLong(f"{len(data)} octets")
        return [Piece(data, 0, {})]
    size = _PIECE[way][is_ucs2] if is_ucs2 or default == "gsm" else _PIECE_8BIT
    chunks = _cut(text, data_coding, default, size)
    total = len(chunks)
    if total > PARTS_MOST:
        raise TooLong(f"{total} parts")
    if way == "sar":
        return [Piece(chunk, 0, _sar(reference, total, n)) for n, chunk in enumerate(chunks, 1)]
    return [
        Piece(_header(way, reference, total, n) + chunk, UDH_INDICATOR, {})
        for n, chunk in enumerate(chunks, 1)
    ]


def part_of(message: Message) -> Part | None:
    """Which part a message is; None: it stands alone. A header that makes no sense is no header.

    For one that stands alone, see `alone`.
    """
    header, data = _divide(message)
    concat = _concat(header)
    way = "udh"
    if concat is None:
        tlvs = message.tlvs
        if not all(1 <= len(tlvs.get(t, b"")) <= 4 for t in (SAR_REFERENCE, SAR_TOTAL, SAR_NUMBER)):
            return None
        way = "sar"
        concat = (
            int.from_bytes(tlvs[SAR_REFERENCE], "big"),
            tlvs[SAR_TOTAL][-1],
            tlvs[SAR_NUMBER][-1],
        )
    reference, total, number = concat
    if total < 2 or not 1 <= number <= total:
        return None
    return Part(f"{way}{reference}", number, total, data, message.data_coding)


def alone(message: Message) -> bytes:
    """The octets of the text of a message that is no part, without its header."""
    return _divide(message)[1]


def _divide(message: Message) -> tuple[bytes, bytes]:
    """(header without its length, the rest); no header where the octets cannot hold it."""
    payload = message.payload
    if not message.esm_class & UDH_INDICATOR or not payload or payload[0] >= len(payload):
        return b"", payload
    end = 1 + payload[0]
    return payload[1:end], payload[end:]


def _concat(header: bytes) -> tuple[int, int, int] | None:
    """(reference, total, number) from the information elements (23.040 9.2.3.24)."""
    at = 0
    while at + 2 <= len(header):
        element, size = header[at], header[at + 1]
        value = header[at + 2 : at + 2 + size]
        if element == CONCAT_8 and len(value) == size == 3:
            return value[0], value[1], value[2]
        if element == CONCAT_16 and len(value) == size == 4:
            # Told apart from the 8-bit ones, which count for themselves.
            return 0x1_0000 + int.from_bytes(value[:2], "big"), value[2], value[3]
        at += 2 + size
    return None


def _cut(text: str, data_coding: int, default: Default, size: int) -> list[bytes]:
    chunks = []
    chunk = bytearray()
    for char in text:
        data = octets(char, data_coding, default)
        if len(chunk) + len(data) > size:
            chunks.append(bytes(chunk))
            chunk.clear()
        chunk += data
    chunks.append(bytes(chunk))
    return chunks


def _header(way: Way, reference: int, total: int, number: int) -> bytes:
    if way == "udh8":
        return bytes((5, CONCAT_8, 3, reference & 0xFF, total, number))
    high, low = reference >> 8 & 0xFF, reference & 0xFF
    return bytes((6, CONCAT_16, 4, high, low, total, number))


def _sar(reference: int, total: int, number: int) -> dict[int, bytes]:
    return {
        SAR_REFERENCE: (reference & 0xFFFF).to_bytes(2, "big"),
        SAR_TOTAL: bytes((total,)),
        SAR_NUMBER: bytes((number,)),
    }
