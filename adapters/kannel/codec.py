"""Kannel's HTTP interface without a connection (User's Guide, "SMS service" and "Sending SMS")."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

Delivery = Literal["delivered", "undelivered"]

GSM: Final = 0
DATA: Final = 1
UCS2: Final = 2

# dlr-mask: delivered to phone, not delivered to phone, refused by the SMSC.
DELIVERED: Final = 1
UNDELIVERED: Final = 2
REFUSED: Final = 16
UNKNOWN: Final = 0x42
WANTED: Final = DELIVERED | UNDELIVERED | REFUSED

REASON_MOST: Final = 100
_QUOTED: Final = re.compile(r"\b(?:text|msg):.*", re.IGNORECASE | re.DOTALL)
_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z])\+?[0-9](?:[ ()./-]?[0-9]){5,}")
"""Not the status of an SMSC, which is hexadecimal: ``NACK/0x0000000b/Invalid Destination``."""

TEXT_MOST: Final = 65_536
ID_MOST: Final = 128
DATA_SHOWN: Final = 64

# 3GPP TS 23.038 6.2.1 and 6.2.1.1.
_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")


class Incoming(NamedTuple):
    """A customer's message."""

    id: str
    """Kannel's own: the same one when it brings the message again."""
    sender: str
    to: str
    text: str


class Status(NamedTuple):
    """What became of a message of ours."""

    contact: str
    message: str
    state: Delivery
    detail: str


def coding_of(text: str) -> int:
    """GSM where its alphabet has every character, else UCS-2."""
    return GSM if all(char in _BASIC or char in _EXTENDED for char in text) else UCS2


def parts_of(text: str) -> int:
    """In how many messages Kannel sends it."""
    if coding_of(text) == UCS2:
        units, whole, part = len(text.encode("utf-16-be", "replace")) // 2, 70, 67
    else:
        units, whole, part = sum(2 if char in _EXTENDED else 1 for char in text), 160, 153
    # One less for each part: Kannel divides no pair, and may leave a place empty.
    return 1 if units <= whole else -(-units // (part - 1))


def sms(text: str, to: str, sender: str, status_url: str) -> dict[str, str]:
    """The parameters of a sendsms request but for user and password."""
    params = {"from": sender, "to": to, "text": text, "charset": "UTF-8"}
    params["coding"] = str(coding_of(text))
    if status_url:
        params |= {"dlr-mask": str(WANTED), "dlr-url": status_url}
    return params


def status_url(public_url: str, key: str, contact: str, message: str) -> str:
    """`dlr-url` of a message: Kannel puts the kind and the SMSC's words in for %d and %A.

    Our ids are hexadecimal in it: any other escape would be read as one of Kannel's.
    """
    ref = f"{contact} {message}".encode().hex()
    secret = f"&key={key.encode().hex()}" if key else ""
    return f"{public_url}/status?type=%d&answer=%A&ref={ref}{secret}"


def query(params: dict[str, str]) -> str:
    """For an address: everything is escaped, and a plus sign is not a space."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in params.items())


def raw_parameters(raw_query: str) -> dict[str, bytes]:
    """Parameters as octets: the text is in the coding that `coding` says, not in UTF-8."""
    found: dict[str, bytes] = {}
    for pair in raw_query.split("&"):
        name, _, value = pair.partition("=")
        found.setdefault(name, _octets(value))
    return found


def incoming(params: dict[str, bytes]) -> Incoming:
    """A message from the parameters of docs/channels/kannel.md. Raises ValueError."""
    id_, sender, to = (_plain(params, name, required=True) for name in ("id", "from", "to"))
    data = params.get("text", b"")
    if len(data) > TEXT_MOST:
        raise ValueError("the text is too long")
    coding = params.get("coding", b"0")
    if coding == b"2":
        text = data.decode("utf-16-be", "replace")
    elif coding == b"1" and params.get("charset") != b"UTF-8":
        text = _data(data)
    else:
        text = data.decode("utf-8", "replace")
    return Incoming(id_, sender, to, text)


def status(params: dict[str, bytes]) -> Status | None:
    """A receipt; None: it says nothing final. Raises ValueError."""
    try:
        kind = int(params.get("type", b""))
        contact, _, message = bytes.fromhex(params.get("ref", b"").decode()).decode().partition(" ")
    except ValueError:
        raise ValueError("expected type and ref") from None
    if not contact or not message:
        raise ValueError("expected a ref of ours")
    if kind == UNKNOWN:
        return None
    if kind & DELIVERED:
        return Status(contact, message, "delivered", "")
    if kind & (UNDELIVERED | REFUSED):
        return Status(contact, message, "undelivered", reason(params.get("answer", b"")))
    return None


def reason(said: bytes) -> str:
    """Why something was refused, in the words of Kannel or of the SMSC, as they may be kept.

    They stand in events, unsealed. What may be the customer's goes: numbers as long as a
    telephone's, and the beginning of the text that a receipt quotes (SMPP 3.4 appendix B).
    """
    text = said[:1_000].decode("utf-8", "replace")
    text = "".join(char if char.isprintable() else " " for char in text)
    text = _NUMBER.sub("\u2026", _QUOTED.sub("", text))
    return " ".join(text.split())[:REASON_MOST]


def _plain(params: dict[str, bytes], name: str, *, required: bool = False) -> str:
    value = params.get(name, b"").decode("utf-8", "replace")
    if (required and not value) or len(value) > ID_MOST or not value.isprintable():
        raise ValueError(f"{name}: expected 1 to {ID_MOST} printable characters")
    return value


def _data(data: bytes) -> str:
    """Octets without an alphabet: as text where they are UTF-8, else their size and beginning."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        more = "..." if len(data) > DATA_SHOWN else ""
        return f"[{len(data)} bytes of data: {data[:DATA_SHOWN].hex()}{more}]"


def _octets(value: str) -> bytes:
    """Escapes undone; what is no escape stands for itself."""
    data = value.replace("+", " ").encode("utf-8", "replace")
    head, *rest = data.split(b"%")
    found = bytearray(head)
    for piece in rest:
        try:
            code = int(piece[:2], 16) if len(piece) >= 2 else -1
            found += bytes((code,)) + piece[2:]
        except ValueError:
            found += b"%" + piece
    return bytes(found)
