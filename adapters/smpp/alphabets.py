"""Texts and the octets they become: the GSM alphabet, Latin-1, UCS-2, and how to tell which.

The GSM alphabet (3GPP TS 23.038, 6.2.1) is carried with one septet in each octet, as SMPP does.
"""

from __future__ import annotations

from typing import Final, Literal

Default = Literal["gsm", "latin1", "ascii"]
"""What data_coding 0, "the SMSC's default alphabet", means there."""

GSM: Final = 0
IA5: Final = 1
LATIN1: Final = 3
UCS2: Final = 8

ESCAPE: Final = 0x1B

_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = {
    0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]",
    0x40: "|", 0x65: "€",
}  # fmt: skip
_TO_GSM: Final[dict[str, bytes]] = {
    **{char: bytes((code,)) for code, char in enumerate(_BASIC) if code != ESCAPE},
    **{char: bytes((ESCAPE, code)) for code, char in _EXTENDED.items()},
}

# 3GPP TS 23.038 4 and SMPP 3.4 5.2.19; those that Python's own codecs know.
_CODECS: Final = {LATIN1: "latin-1", 5: "shift_jis", 6: "iso8859-5", 7: "iso8859-8",
                  10: "iso2022_jp", 13: "euc_jp", 14: "euc_kr"}  # fmt: skip


def is_gsm(text: str) -> bool:
    """Whether the GSM alphabet has every character."""
    return all(char in _TO_GSM for char in text)


def to_gsm(text: str) -> bytes:
    """In the GSM alphabet; what it does not have becomes a question mark."""
    return b"".join(_TO_GSM.get(char, b"?") for char in text)


def from_gsm(data: bytes) -> str:
    """From the GSM alphabet.

    A code that the extension table does not have is the basic character, a second escape is a
    space (23.038 6.2.1.1); codes above 127 cannot be and are shown as U+FFFD.
    """
    chars = []
    escaped = False
    for code in data:
        if code == ESCAPE and not escaped:
            escaped = True
        elif code > 0x7F:
            chars.append("\ufffd")
            escaped = False
        elif escaped:
            chars.append(_EXTENDED.get(code) or (" " if code == ESCAPE else _BASIC[code]))
            escaped = False
        else:
            chars.append(_BASIC[code])
    return "".join(chars)


def to_ucs2(text: str) -> bytes:
    """UTF-16, high byte first: UCS-2, and pairs for what lies beyond it, as phones do."""
    return text.encode("utf-16-be", "replace")


def from_ucs2(data: bytes) -> str:
    """Halves of pairs and an odd byte at the end are shown as U+FFFD."""
    if data[:2] in (b"\xfe\xff", b"\xff\xfe"):  # some centres send a byte order mark
        return data.decode("utf-16", "replace")
    return data.decode("utf-16-be", "replace")


def octets(text: str, data_coding: int, default: Default) -> bytes:
    """The text under this data_coding, for one that `choose` returned."""
    if data_coding == UCS2:
        return to_ucs2(text)
    if data_coding == LATIN1 or default == "latin1":
        return text.encode("latin-1", "replace")
    return text.encode("ascii", "replace") if default == "ascii" else to_gsm(text)


def choose(text: str, default: Default) -> int:
    """The data_coding for a text: the SMSC's default alphabet where that has all of it."""
    if default == "gsm":
        return GSM if is_gsm(text) else UCS2
    codec = "latin-1" if default == "latin1" else "ascii"
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return UCS2
    return GSM


def text_of(data: bytes, data_coding: int, default: Default, ia5: Default) -> str | None:
    """What was written; None: it is no text but data.

    `default` is the meaning of data_coding 0, `ia5` of 1: some centres send GSM octets as 1.
    """
    coding = _plain(data_coding)
    if coding == UCS2:
        return from_ucs2(data)
    if coding in (2, 4):
        return None
    if coding in _CODECS:
        return data.decode(_CODECS[coding], "replace")
    meaning = ia5 if coding == IA5 else default
    if meaning == "gsm":
        return from_gsm(data)
    return data.decode("latin-1" if meaning == "latin1" else "ascii", "replace")


def _plain(data_coding: int) -> int:
    """The groups of 3GPP TS 23.038 4, which some centres pass through, as 0, 4 or 8."""
    if data_coding & 0xF0 == 0xF0:  # message class
        return 4 if data_coding & 0x04 else GSM
    if data_coding >= 0x10:
        if data_coding & 0xC0 == 0xC0:  # message waiting: discard, store, store in UCS-2
            return UCS2 if data_coding & 0xF0 == 0xE0 else GSM
        return {0x04: 4, 0x08: UCS2}.get(data_coding & 0x0C, GSM)  # general data coding
    return data_coding
