"""SMPP 3.4 on the wire: bytes to packets and back, without a connection.

Sections cited are those of "Short Message Peer to Peer Protocol Specification v3.4", issue 1.2.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

# 5.1.2.1: command ids; a response has the top bit set.
GENERIC_NACK: Final = 0x80000000
BIND_TRANSCEIVER: Final = 0x00000009
SUBMIT_SM: Final = 0x00000004
DELIVER_SM: Final = 0x00000005
UNBIND: Final = 0x00000006
ENQUIRE_LINK: Final = 0x00000015
ALERT_NOTIFICATION: Final = 0x00000102
RESPONSE: Final = 0x80000000

# 5.1.3: statuses that we send or act on.
OK: Final = 0x00000000
INVALID_LENGTH: Final = 0x00000002
INVALID_COMMAND: Final = 0x00000003
INVALID_BIND_STATE: Final = 0x00000004
SYSTEM_ERROR: Final = 0x00000008
QUEUE_FULL: Final = 0x00000014
THROTTLED: Final = 0x00000058
REJECTED_BY_RECEIVER: Final = 0x00000066

# 5.3.2: optional parameters.
RECEIPTED_MESSAGE_ID: Final = 0x001E
SAR_REFERENCE: Final = 0x020C
SAR_TOTAL: Final = 0x020E
SAR_NUMBER: Final = 0x020F
MESSAGE_PAYLOAD: Final = 0x0424
MESSAGE_STATE: Final = 0x0427

# 5.2.12: esm_class.
UDH_INDICATOR: Final = 0x40
MESSAGE_TYPE: Final = 0x3C
RECEIPT_TYPES: Final = (0x04, 0x08, 0x10, 0x20)
"""SMSC delivery receipt, delivery and manual acknowledgement, intermediate notification."""

HEADER = struct.Struct(">IIII")
MOST: Final = 65_536
"""Longest packet that is taken or made, in bytes."""
SEQUENCE_MOST: Final = 0x7FFFFFFF

# 4.4.1 and 4.6.1: longest C-octet strings, without their zero.
ADDRESS_MOST: Final = 20
MESSAGE_ID_MOST: Final = 64
SHORT_MESSAGE_MOST: Final = 254


class Garbage(Exception):
    """These bytes are no SMPP: where the next packet begins is not known any more."""


class Malformed(Exception):
    """One packet's body is wrong; the next one begins where the length says."""


class Packet(NamedTuple):
    """One packet as it came: its body is read by `read_message` and the like."""

    command: int
    status: int
    sequence: int
    body: bytes


class Message(NamedTuple):
    """The body of a submit_sm or a deliver_sm (4.4.1, 4.6.1); what is always empty is left out."""

    source: str
    source_ton: int
    source_npi: int
    destination: str
    destination_ton: int
    destination_npi: int
    esm_class: int
    data_coding: int
    payload: bytes
    """short_message, or message_payload where that is used; with its user data header."""
    tlvs: dict[int, bytes]
    registered_delivery: int = 0
    protocol_id: int = 0


class Framer:
    """Cuts a stream of bytes into packets (5.1.1); bounded by `MOST`."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that are complete now. Raises Garbage, after which nothing can be read."""
        held = self._held
        held += data
        packets = []
        offset = 0
        while len(held) - offset >= HEADER.size:
            length, command, status, sequence = HEADER.unpack_from(held, offset)
            if not HEADER.size <= length <= MOST:
                raise Garbage(f"a packet of {length} bytes")
            if command & 0x7FFFFFFF > 0x03FF:  # 5.1.2.1: nothing is defined beyond
                raise Garbage(f"command {command:#010x}")
            if len(held) - offset < length:
                break
            body = bytes(held[offset + HEADER.size : offset + length])
            packets.append(Packet(command, status, sequence, body))
            offset += length
        del held[:offset]
        return packets


def packet(command: int, sequence: int, body: bytes = b"", status: int = OK) -> bytes:
    """A whole packet."""
    return HEADER.pack(HEADER.size + len(body), command, status, sequence) + body


def bind_body(system_id: str, password: str, system_type: str) -> bytes:
    """Of bind_transceiver (4.1.5): any address, interface version 3.4."""
    return b"".join(
        (_text(system_id), _text(password), _text(system_type), b"\x34", b"\0\0", _text(""))
    )


def submit_body(message: Message) -> bytes:
    """Of submit_sm (4.4.1). A payload that is too long for short_message becomes message_payload.

    Raises Malformed for what cannot be said in SMPP.
    """
    tlvs = dict(message.tlvs)
    short = message.payload
    if len(short) > SHORT_MESSAGE_MOST:
        tlvs[MESSAGE_PAYLOAD], short = short, b""
    if max(len(message.source), len(message.destination)) > ADDRESS_MOST:
        raise Malformed(f"an address has at most {ADDRESS_MOST} characters")
    body = b"".join(
        (
            b"\0",  # service_type: the default
            bytes((message.source_ton, message.source_npi)),
            _text(message.source),
            bytes((message.destination_ton, message.destination_npi)),
            _text(message.destination),
            bytes((message.esm_class, message.protocol_id, 0)),
            b"\0\0",  # at once, and as long as the SMSC likes
            bytes((message.registered_delivery, 0, message.data_coding, 0)),
            bytes((len(short),)),
            short,
            *(struct.pack(">HH", tag, len(value)) + value for tag, value in tlvs.items()),
        )
    )
    if len(body) + HEADER.size > MOST:
        raise Malformed(f"a packet has at most {MOST} bytes")
    return body


def read_message(body: bytes) -> Message:
    """A deliver_sm's (or submit_sm's) body. Raises Malformed."""
    reader = _Reader(body)
    reader.text(5, "service_type")
    source_ton, source_npi = reader.byte(), reader.byte()
    # 20 characters in the standard; some centres send longer ones, which do no harm.
    source = reader.text(64, "source_addr")
    destination_ton, destination_npi = reader.byte(), reader.byte()
    destination = reader.text(64, "destination_addr")
    esm_class, protocol_id, _ = reader.byte(), reader.byte(), reader.byte()
    reader.text(16, "schedule_delivery_time")
    reader.text(16, "validity_period")
    registered, _, data_coding, _ = reader.byte(), reader.byte(), reader.byte(), reader.byte()
    payload = reader.take(reader.byte())
    tlvs = reader.tlvs()
    return Message(
        source=source,
        source_ton=source_ton,
        source_npi=source_npi,
        destination=destination,
        destination_ton=destination_ton,
        destination_npi=destination_npi,
        esm_class=esm_class,
        data_coding=data_coding,
        # 5.3.2.32: one or the other; centres that fill both mean the longer one.
        payload=tlvs.pop(MESSAGE_PAYLOAD, b"") or payload,
        tlvs=tlvs,
        registered_delivery=registered,
        protocol_id=protocol_id,
    )


def read_message_id(body: bytes) -> str:
    """Of submit_sm_resp (4.4.2): the SMSC's id; empty where it gives none. Raises Malformed."""
    return _Reader(body).text(MESSAGE_ID_MOST + 1, "message_id") if body else ""


def read_tlv_number(tlvs: dict[int, bytes], tag: int) -> int | None:
    """An optional parameter that is a number; None: it is not there, or not of that size."""
    value = tlvs.get(tag, b"")
    return int.from_bytes(value, "big") if 1 <= len(value) <= 4 else None


def _text(value: str) -> bytes:
    """A C-octet string (3.1)."""
    try:
        data = value.encode("ascii")
    except UnicodeEncodeError:
        raise Malformed("SMPP has ASCII only, except in texts") from None
    if b"\0" in data:
        raise Malformed("a zero byte ends a string in SMPP")
    return data + b"\0"


class _Reader:
    """Takes a body apart; never reads beyond its end."""

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._body):
            raise Malformed("the body ends too early")
        taken = self._body[self._at : end]
        self._at = end
        return taken

    def text(self, most: int, name: str) -> str:
        end = self._body.find(b"\0", self._at, self._at + most + 1)
        if end < 0:
            raise Malformed(f"{name} does not end")
        value = self._body[self._at : end]
        self._at = end + 1
        return value.decode("latin-1")

    def tlvs(self) -> dict[int, bytes]:
        """5.3.1; a tag that comes twice counts as it came last."""
        found: dict[int, bytes] = {}
        while self._at < len(self._body):
            tag, size = struct.unpack(">HH", self.take(4))
            found[tag] = self.take(size)
        return found
