"""One mail as the router needs it, from the bytes that came: sans-IO, and bounded in every way.

It runs in a process of its own (`worker.py`): the parser of the standard library can be made to
take gigabytes or minutes by a few crafted kilobytes, so what is refused here is only the start.
"""

from __future__ import annotations

import hashlib
import mimetypes
from email import policy
from email.message import Message
from email.parser import BytesParser
from typing import Literal

from adapters.mail.headers import (
    Person,
    as_declared,
    field,
    message_ids,
    people,
    raw,
    unescaped,
    words,
)
from adapters.mail.markup import DEPTH as HTML_DEPTH
from adapters.mail.markup import PICTURES, Picture, shown, walk
from adapters.mail.quoting import split
from adapters.mail.reports import Automatic, Report, automatic, report
from router.core.record import Value

MAIL_BYTES = 25 * 1024 * 1024
HEADER_BYTES = 64 * 1024
PARTS = 100
DEPTH = 10
BODY_CHARS = 2_000_000
"""Of a longer text only so much is read."""
SUBJECT_CHARS = 500


class TooMuch(Exception):
    """A mail beyond the bounds; the text says which."""


class File(Value, kw_only=True):
    """Something that came with the mail."""

    name: str
    type: str
    """As declared: nobody believes it (the router looks into the bytes)."""
    data: bytes
    role: Literal["attachment", "html", "original"] = "attachment"
    """``html``: the body as it may be shown; ``original``: all of the text, history as well"""


class Mail(Value, kw_only=True):
    """A mail, read."""

    digest: str
    """Tells this mail from others: over its Message-ID, sender, date, subject and body, not over
    what relays add."""
    message_id: str = ""
    references: tuple[str, ...] = ()
    """Message-IDs of the mails before it, oldest first; the last one is what it answers."""
    sender: tuple[str, str] | None = None
    """(address, name) to which an answer goes: Reply-To, else From."""
    to: tuple[str, ...] = ()
    subject: str = ""
    text: str = ""
    """What was written now: without history and signature."""
    files: tuple[File, ...] = ()
    automatic: Automatic = ""
    report: Report | None = None


def read(data: bytes) -> Mail:
    """Read a mail. Raises TooMuch."""
    if len(data) > MAIL_BYTES:
        raise TooMuch(f"{len(data)} bytes")
    head = data[: HEADER_BYTES + 4].replace(b"\r\n", b"\n")
    if b"\n\n" not in head and len(data) > HEADER_BYTES:
        raise TooMuch(f"a header of more than {HEADER_BYTES} bytes")
    # Each multipart declares a boundary: cheaper to count than to take apart.
    if data.count(b"boundary=") + data.count(b"BOUNDARY=") > PARTS:
        raise TooMuch(f"more than {PARTS} boundaries")
    try:
        message: Message = BytesParser(policy=policy.compat32).parsebytes(data)
        parts = list(_parts(message))
    except RecursionError:
        raise TooMuch("parts nested too deeply") from None
    kind = automatic(message)
    body = _Body(parts)
    text = body.text
    found = report(message, text) if kind == "bounce" else None
    pieces = split(text)
    files = list(body.files)
    if body.html:
        files.insert(0, _html_file(shown(body.html, body.pictures)))
    elif pieces.quoted or pieces.signature:
        files.insert(0, _file("message.txt", "text/plain", text, "original"))
    senders = people(message, "Reply-To") or people(message, "From")
    written_by = people(message, "From")
    sender = senders[0] if senders else None
    if sender is not None and written_by and not sender.name:
        sender = Person(sender.address, written_by[0].name)
    return Mail(
        digest=_digest(message, data),
        message_id=next(iter(message_ids(message, "Message-ID")), ""),
        references=_references(message),
        sender=(sender.address, sender.name) if sender is not None else None,
        to=tuple(
            p.address
            for name in ("Delivered-To", "X-Original-To", "To", "Cc")
            for p in people(message, name)
        ),
        subject=field(message, "Subject")[:SUBJECT_CHARS],
        text=pieces.reply,
        files=tuple(files),
        automatic=kind,
        report=found,
    )


def _html_file(html: str) -> File:
    return _file("message.html", "text/html", html, "html")


def _file(name: str, type_: str, text: str, role: Literal["html", "original"]) -> File:
    return File(name=name, type=type_, data=text.encode("utf-8", "replace"), role=role)


def _parts(message: Message) -> list[tuple[Message, bool]]:
    """Every leaf part, and whether it stands in a multipart/alternative. Raises TooMuch."""
    found: list[tuple[Message, bool]] = []
    waiting: list[tuple[Message, int, bool]] = [(message, 0, False)]
    count = 0
    while waiting:
        part, depth, is_choice = waiting.pop()
        count += 1
        if count > PARTS:
            raise TooMuch(f"more than {PARTS} parts")
        if depth > DEPTH:
            raise TooMuch(f"parts nested more than {DEPTH} deep")
        payload = part.get_payload() if part.is_multipart() else None
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            is_choice = is_choice or part.get_content_subtype() == "alternative"
            waiting += [
                (p, depth + 1, is_choice) for p in reversed(payload) if isinstance(p, Message)
            ]
        else:
            found.append((part, is_choice))
    return found


class _Body:
    """The parts, sorted: text, HTML, pictures of the HTML, and everything else."""

    def __init__(self, parts: list[tuple[Message, bool]]) -> None:
        self.html = ""
        self.pictures: dict[str, Picture] = {}
        self.files: list[File] = []
        plain: list[str] = []
        inline: list[tuple[str, File]] = []
        chosen = False
        """A plain text was taken from a choice: the other parts of it say the same."""
        for part, is_choice in parts:
            kind = part.get_content_type()
            is_body = not _filename(part) and _disposition(part) != "attachment"
            if is_body and kind == "text/plain" and not (is_choice and chosen):
                plain.append(_text(part))
                chosen = chosen or is_choice
            elif is_body and kind == "text/html" and not self.html:
                self.html = _text(part)
            elif is_body and kind in ("message/delivery-status", "text/rfc822-headers"):
                continue  # read by `reports.py`
            else:
                file = _attachment(part, len(self.files) + len(inline) + 1)
                content_id = raw(part, "Content-ID").strip("<>")
                if content_id and kind in PICTURES:
                    inline.append((content_id, file))
                else:
                    self.files.append(file)
        for content_id, file in inline:
            if f"cid:{content_id}" in self.html:
                self.pictures[content_id] = Picture(file.type, file.data)
            else:
                self.files.append(file)
        joined = "\n".join(text.strip("\n") for text in plain if text.strip())
        walked = walk(self.html)
        self.text = joined or walked.text
        if walked.deepest > HTML_DEPTH:
            self.html = ""


def _text(part: Message) -> str:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    charset = part.get_content_charset()
    text = as_declared(data[: 4 * BODY_CHARS], charset)[:BODY_CHARS].replace("\r\n", "\n")
    if part.get_content_type() == "text/plain" and _param(part, "format").lower() == "flowed":
        text = _unflowed(text, delsp=_param(part, "delsp").lower() == "yes")
    return text


def _unflowed(text: str, *, delsp: bool) -> str:
    """RFC 3676 section 4: lines that end in a space go on in the next one."""
    lines: list[list[str]] = []
    open_depth = -1
    for line in text.split("\n"):
        rest = line.lstrip(">")
        depth = len(line) - len(rest)
        rest = rest.removeprefix(" ")
        is_signature = rest == "-- "
        goes_on = rest.endswith(" ") and not is_signature
        piece = rest[:-1] if goes_on and delsp else rest
        if open_depth == depth and not is_signature:
            lines[-1].append(piece)
        else:
            lines.append([f"{'>' * depth} ", piece] if depth else [piece])
        open_depth = depth if goes_on else -1
    return "\n".join("".join(line) for line in lines)


def _attachment(part: Message, number: int) -> File:
    kind = part.get_content_type()
    name = _filename(part)
    payload = part.get_payload() if part.is_multipart() else None
    if kind == "message/rfc822" and isinstance(payload, list) and payload:
        inner = payload[0]
        data = b""
        if isinstance(inner, Message):
            data = inner.as_bytes(policy=policy.compat32)
            name = name or f"{field(inner, 'Subject')[:80] or 'message'}.eml"
    elif isinstance(payload, list):
        data = part.as_bytes(policy=policy.compat32)
    else:
        decoded = part.get_payload(decode=True)
        data = decoded if isinstance(decoded, bytes) else b""
    return File(
        name=name or f"part-{number}{mimetypes.guess_extension(kind) or ''}", type=kind, data=data
    )


def _filename(part: Message) -> str:
    """RFC 2183 and RFC 2231; also encoded words, which are not allowed there and common."""
    try:
        name = part.get_filename("")
    except (ValueError, LookupError, TypeError):
        return ""
    return words(unescaped(str(name)))[:200]


def _disposition(part: Message) -> str:
    return raw(part, "Content-Disposition").partition(";")[0].strip().lower()


def _param(part: Message, name: str) -> str:
    value = part.get_param(name, "")
    return value if isinstance(value, str) else str(value[2])


def _references(message: Message) -> tuple[str, ...]:
    """Oldest first, with what it answers at the end (RFC 5322 section 3.6.4)."""
    found = message_ids(message, "References")
    for id_ in message_ids(message, "In-Reply-To")[:1]:
        if id_ not in found:
            found.append(id_)
    return tuple(found)


def _digest(message: Message, data: bytes) -> str:
    """The same mail by two ways has the same digest; two mails with one Message-ID have not."""
    hashed = hashlib.sha256()
    for name in ("Message-ID", "From", "Date", "Subject"):
        hashed.update(raw(message, name).encode("utf-8", "replace") + b"\0")
    body = data.replace(b"\r\n", b"\n").partition(b"\n\n")[2].strip()
    hashed.update(body)
    return hashed.hexdigest()[:32]
