"""Header fields as they really come: encoded words, raw bytes, wrong charsets, broken addresses.

Read with the lenient old parser of the standard library (`compat32`) and decoded here: nothing in
here raises for what a stranger has written.
"""

from __future__ import annotations

import binascii
import codecs
from contextlib import suppress
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses
from typing import NamedTuple
from unicodedata import normalize

import idna

VALUE_CHARS = 10_000
"""Of a longer header field only so much is read."""
ADDRESS_CHARS = 254
"""RFC 5321 section 4.5.3.1.3: a path has at most 256 octets with its angle brackets."""
NAME_CHARS = 200
REFERENCES = 50
"""Message-IDs that are read from References: the newest, and the first."""
_CHARSETS = {
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "ks_c_5601-1987": "cp949",
    "iso-8859-8-i": "iso-8859-8", "x-sjis": "cp932", "shift_jis": "cp932",
    "unicode-1-1-utf-7": "utf-7",
    "iso-8859-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252",
    "x-unknown": "utf-8", "unknown-8bit": "utf-8", "binary": "utf-8", "8bit": "utf-8",
}  # fmt: skip
"""What senders call one thing and mean another (WHATWG Encoding, section 4.2, among others)."""


class Person(NamedTuple):
    """Who is named in an address field."""

    address: str
    name: str


def decoded(data: bytes, charset: str | None) -> str:
    """Text from bytes: UTF-8 where it is UTF-8, else as declared, else Windows-1252."""
    name = (charset or "utf-8").strip().strip("\"'").lower()
    name = _CHARSETS.get(name, name)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        codec = codecs.lookup(name)
        if codec.name in ("utf-8", "idna", "punycode", "unicode_escape", "raw_unicode_escape"):
            name = "cp1252"
        return _whole(data.decode(name, "replace"))
    except (LookupError, ValueError, UnicodeError):
        return data.decode("cp1252", "replace")


def as_declared(data: bytes, charset: str | None) -> str:
    """Text of a body: charsets that look like UTF-8 or ASCII but are not come first."""
    name = (charset or "").strip().lower()
    if name.startswith(("utf-7", "utf-16", "utf-32", "iso-2022", "hz")):
        try:
            return _whole(data.decode(name, "replace"))
        except (LookupError, ValueError, UnicodeError):
            pass
    return decoded(data, charset)


def _whole(text: str) -> str:
    """Without halves of pairs, which nobody can encode: UTF-7 brings them through."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def field(message: Message, name: str) -> str:
    """A header field, decoded, on one line; empty if it is not there."""
    return words(raw(message, name))


def raw(message: Message, name: str) -> str:
    """A header field as it came, unfolded; bytes beyond ASCII are read as text."""
    value = message.get(name)
    if value is None:
        return ""
    text = str(value) if isinstance(value, str) else _of_header(value)
    return " ".join(unescaped(text)[:VALUE_CHARS].split())


def _of_header(value: object) -> str:
    """compat32 gives a Header for bytes beyond ASCII; its chunks have them as surrogates."""
    chunks = getattr(value, "_chunks", None)
    if not chunks:
        return str(value)
    return "".join(str(chunk[0]) for chunk in chunks)


def unescaped(text: str) -> str:
    """Bytes that the parser has kept as surrogates become text."""
    if text.isascii():
        return text
    try:
        return decoded(text.encode("utf-8", "surrogateescape"), None)
    except UnicodeEncodeError:  # half a pair, from a charset in which one can be written (UTF-7)
        return _whole(text)


def words(value: str) -> str:
    """RFC 2047 encoded words become text; what is none stays as it is."""
    if "=?" not in value:
        return _plain(value)
    try:
        parts = decode_header(value)
    except (HeaderParseError, binascii.Error, ValueError):
        return _plain(value)
    text = []
    for part, charset in parts:
        if isinstance(part, str):
            text.append(part)
        elif charset is None:
            text.append(decoded(part, None))
        else:
            text.append(as_declared(part, charset))
    return _plain("".join(text))


def _plain(text: str) -> str:
    return " ".join(
        "".join(" " if ord(mark) < 32 or mark == "\x7f" else mark for mark in text).split()
    )


def people(message: Message, name: str) -> list[Person]:
    """Everybody named in an address field whose address can be one, at most 50."""
    found: list[Person] = []
    values = [unescaped(_of_header(v) if not isinstance(v, str) else v)[:VALUE_CHARS]
              for v in message.get_all(name, [])[:5]]  # fmt: skip
    for display, address in getaddresses(values)[:50]:
        address = address.strip()
        if is_address(address):
            found.append(Person(canonical(address), words(display)[:NAME_CHARS]))
    return found


def is_address(address: str) -> bool:
    """Can a mail be sent to it? One @, something on both sides, nothing that ends a line.

    Stricter than RFC 5321: no quoted local parts, no address literals, nothing that looks like an
    encoded word (RFC 2047), which composers decode; nobody writes from them.
    """
    local, at, domain = address.rpartition("@")
    return (
        bool(at and local and domain)
        and len(address) <= ADDRESS_CHARS
        and "@" not in local
        and "=?" not in address
        and not any(
            mark.isspace() or ord(mark) < 33 or mark in '<>()[]",;:\\\x7f' for mark in address
        )
        and not address.startswith("-")
        and ".." not in domain
        and domain.strip(".-") == domain
    )


def canonical(address: str) -> str:
    """An address as it is compared: the domain in lower case (RFC 5321 section 2.4), and the local
    part, too: no provider tells people apart by its case, and people write it as they like.

    The domain as DNS has it (RFC 5890), an accent as part of its letter (RFC 6532 section 3.1): one
    mailbox comes in either form.
    """
    if address.isascii():
        return address.lower()
    local, at, domain = normalize("NFC", address.lower()).rpartition("@")
    with suppress(UnicodeError):  # no domain: it is refused where it is to be written to
        domain = dns_name(domain)
    return f"{local}{at}{domain}"


def dns_name(domain: str) -> str:
    """A domain in ASCII: IDNA 2008 with the mapping of UTS 46, as mail programs have it, else 2003
    (emoji). Raises UnicodeError.

    Not by 2003 first: it makes ``ss`` of the German letter, and with it somebody else's domain.
    """
    if domain.isascii():
        return domain.encode("idna").decode()  # checked, and left as it is
    try:
        return idna.encode(domain, uts46=True).decode()
    except UnicodeError:  # IDNAError is one
        return domain.encode("idna").decode()


def without_addresses(text: str) -> str:
    """What a server says, without whom it says it of: it goes into the log of events, in clear."""
    return " ".join("[address]" if "@" in word else word for word in text.split())


def message_ids(message: Message, name: str) -> list[str]:
    """The Message-IDs of a field, in their order, at most `REFERENCES` (RFC 5322 section 3.6.4)."""
    found = []
    rest = raw(message, name)
    while rest:
        _, opened, rest = rest.partition("<")
        id_, closed, rest = rest.partition(">")
        if not opened or not closed:
            break
        id_ = "".join(id_.split())
        if 3 <= len(id_) <= 900 and "<" not in id_:
            found.append(id_)
    return found if len(found) <= REFERENCES else [found[0], *found[1 - REFERENCES :]]
