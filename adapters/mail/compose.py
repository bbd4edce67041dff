"""A mail of ours as bytes: RFC 5322, RFC 2047, RFC 3834 where the router itself answers.

Nothing that came from outside can add a line to the header: CR, LF and NUL are refused in every
field (CVE-2024-6923 is of this kind), and addresses are checked. A text that looks like an encoded
word (RFC 2047) is broken up: the standard library decodes it, line ends and all, and writes those
out. What was made is looked at once more before it goes.
"""

from __future__ import annotations

from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime

from adapters.mail.headers import dns_name, is_address
from router.core.record import Value

REFERENCES = 12
"""Message-IDs that we send along: the first of the thread and the last ones."""
ENCODED_WORD = "=?"
"""Begins an encoded word (RFC 2047 section 2)."""
_OWN_FOLDING = ("message-id", "in-reply-to", "references")


class Unsendable(ValueError):
    """It cannot be put into a mail; nothing personal is in the text."""


class Outgoing(Value, kw_only=True):
    """A mail to be sent."""

    sender: str
    sender_name: str = ""
    recipient: str
    recipient_name: str = ""
    subject: str
    text: str
    message_id: str
    """Without angle brackets, as all ids here."""
    references: tuple[str, ...] = ()
    """Oldest first; the last one is what it answers."""
    automatic: str = ""
    """``auto-replied`` or ``auto-generated`` (RFC 3834 section 5): no person has written it."""


class _Policy(EmailPolicy):
    """`email.policy.SMTP`, but ids longer than a line are not made into encoded words, which is
    what the standard library does to them (and nobody finds their thread again)."""

    def fold(self, name: str, value: str) -> str:
        if name.lower() not in _OWN_FOLDING:
            folded: str = super().fold(name, value)
            return folded
        return f"{name}: " + f"{self.linesep} ".join(str(value).split()) + self.linesep

    def fold_binary(self, name: str, value: str) -> bytes:
        if name.lower() not in _OWN_FOLDING:
            folded: bytes = super().fold_binary(name, value)
            return folded
        return self.fold(name, value).encode("ascii", "replace")


_POLICY = _Policy(linesep="\r\n", raise_on_defect=False)


def compose(mail: Outgoing, at: datetime) -> bytes:
    """The mail's bytes, lines ended by CRLF. Raises Unsendable."""
    for value in (mail.sender, mail.sender_name, mail.recipient, mail.recipient_name, mail.subject,
                  mail.message_id, *mail.references):  # fmt: skip
        if any(mark in value for mark in "\r\n\0"):
            raise Unsendable("a line end or NUL in a header field")
    is_plain = (mail.sender + on_the_wire(mail.recipient)).isascii()
    message = EmailMessage(policy=_POLICY if is_plain else _POLICY.clone(utf8=True))
    message["From"] = _address(mail.sender, mail.sender_name)
    message["To"] = _address(mail.recipient, mail.recipient_name)
    message["Subject"] = _visible(mail.subject)[:500]
    message["Date"] = format_datetime(at)
    message["Message-ID"] = _id(mail.message_id)
    references = tuple(id_ for id_ in mail.references if ENCODED_WORD not in id_)
    if references:
        message["In-Reply-To"] = _id(references[-1])
        message["References"] = " ".join(_id(id_) for id_ in shortened(references))
    if mail.automatic:
        message["Auto-Submitted"] = mail.automatic
        message["X-Auto-Response-Suppress"] = "All"  # what Exchange knows instead of RFC 3834
    message.set_content(mail.text.encode("utf-8", "replace").decode(), charset="utf-8")
    data = message.as_bytes()
    _check_head(data, message.keys())
    return data


def _check_head(data: bytes, names: list[str]) -> None:
    """Raises Unsendable for a header that has another field than these, or ends early."""
    head = data.partition(b"\r\n\r\n")[0]
    lines = head.split(b"\r\n")
    found = [line.partition(b":")[0] for line in lines if line[:1] not in (b" ", b"\t")]
    is_odd = any(mark in line for line in lines for mark in (b"\r", b"\n", b"\0"))
    if is_odd or found != [name.encode() for name in names]:
        raise Unsendable("a field would add a line to the header")


def shortened(references: tuple[str, ...]) -> tuple[str, ...]:
    """The first id names the thread, the last ones its end; the middle is of no use."""
    if len(references) <= REFERENCES:
        return references
    return (references[0], *references[1 - REFERENCES :])


def answer_subject(subject: str, fallback: str) -> str:
    """``Re:`` once, whatever language it was answered in before."""
    rest = _visible(subject).strip()
    while True:
        head, colon, tail = rest.partition(":")
        if not colon or head.strip().lower() not in ("re", "aw", "sv", "antw", "rép", "ref", "r"):
            break
        rest = tail.strip()
    return f"Re: {rest}" if rest else fallback


def is_answer(subject: str) -> bool:
    """Does the subject say that this answers something?"""
    head, colon, _ = subject.strip().partition(":")
    return bool(colon) and head.strip().lower() in ("re", "aw", "sv", "antw", "rép", "ref", "r")


def _id(id_: str) -> str:
    if not id_.isascii() or any(mark.isspace() or mark in "<>" for mark in id_):
        raise Unsendable("a Message-ID with spaces, brackets or letters beyond ASCII")
    return f"<{id_}>"


def on_the_wire(address: str) -> str:
    """An address with its domain in ASCII (RFC 5890); only the local part may need SMTPUTF8.

    Raises Unsendable.
    """
    if not is_address(address):
        raise Unsendable("not a mail address")
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{dns_name(domain)}"
    except UnicodeError:
        raise Unsendable("the domain of the address cannot be one") from None


def _address(address: str, name: str) -> HeaderAddress:
    local, _, domain = on_the_wire(address).rpartition("@")
    try:
        return HeaderAddress(_visible(name)[:200], local, domain)
    except (ValueError, IndexError):
        raise Unsendable("not a mail address") from None


def _visible(text: str) -> str:
    """On one line, and nothing in it that the standard library would decode."""
    line = " ".join(text.encode("utf-8", "replace").decode().splitlines())
    kept = "".join(mark for mark in line if ord(mark) >= 32 and mark != "\x7f")
    return kept.replace(ENCODED_WORD, "= ?")
