"""Mail that no person has written: bounces, automatic answers, lists, our own.

RFC 3464 (delivery status notifications), RFC 3834 (automatic answers), RFC 2919 and 2369 (lists).
"""

from __future__ import annotations

from email.message import Message
from typing import Literal

from adapters.mail.headers import field, message_ids, raw, without_addresses
from router.core.record import Value

RECIPIENTS = 20
"""Recipients of one notification that are looked at."""
SEARCHED_CHARS = 200_000
"""So much of an unstructured bounce is searched for our Message-ID."""
Automatic = Literal["", "list", "answer", "bounce", "loop"]


class Status(Value, kw_only=True):
    """What became of one of our mails, by somebody who could not or did deliver it."""

    action: str
    """``failed``, ``delayed``, ``delivered``, ``relayed`` or ``expanded`` (RFC 3464 2.3.3)."""
    status: str = ""
    """Three numbers with dots (RFC 3463)."""
    detail: str = ""
    """What the other server said."""


class Report(Value, kw_only=True):
    """A delivery status notification."""

    references: tuple[str, ...] = ()
    """Ids by which the mail it is about may be known to us: envelope id, Message-IDs."""
    statuses: tuple[Status, ...] = ()


def automatic(message: Message) -> Automatic:
    """Why nobody should be answered: what kind of machine has sent it; empty = a person."""
    if report_type(message) == "delivery-status" or _is_bounce(message):
        return "bounce"
    said = raw(message, "Auto-Submitted").partition(";")[0].strip().lower()
    if said and said != "no":
        return "answer"
    precedence = raw(message, "Precedence").lower()
    if any(message.get(name) is not None for name in ("List-Id", "List-Post", "List-Unsubscribe")):
        return "list"
    if precedence in ("bulk", "list", "junk"):
        return "list"
    answers = ("X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Auto-Response-From")
    if precedence == "auto_reply" or any(message.get(name) is not None for name in answers):
        return "answer"
    if report_type(message) or raw(message, "X-Failed-Recipients"):
        return "answer"  # read receipts (RFC 8098), feedback reports (RFC 5965)
    return ""


def report_type(message: Message) -> str:
    """The kind of a multipart/report; empty for anything else."""
    if message.get_content_type() != "multipart/report":
        return ""
    value = message.get_param("report-type", "")
    return (value if isinstance(value, str) else value[2]).strip().lower() or "unknown"


def _is_bounce(message: Message) -> bool:
    """A notification of before RFC 3464, or of a server that does not keep to it."""
    if raw(message, "Return-Path") not in ("<>", "< >"):
        return False
    sender = raw(message, "From").lower()
    subject = field(message, "Subject").lower()
    return (
        "mailer-daemon" in sender
        or "postmaster" in sender
        or raw(message, "X-Failed-Recipients") != ""
        or any(
            word in subject
            for word in ("undeliver", "returned mail", "delivery status", "failure notice")
        )
    )


def report(message: Message, text: str) -> Report | None:
    """What a bounce says; None if it says nothing that can be understood."""
    known = raw(message, "X-Failed-Recipients") != "" or _is_bounce(message)
    references: list[str] = []
    statuses: list[Status] = []
    for part in message.walk():
        kind = part.get_content_type()
        if kind == "message/delivery-status":
            fields = part.get_payload() if part.is_multipart() else None
            blocks = fields if isinstance(fields, list) else []
            for number, block in enumerate(blocks[: RECIPIENTS + 1]):
                if not isinstance(block, Message):
                    continue
                envelope = raw(block, "Original-Envelope-Id")
                if envelope and not number:
                    references.append(envelope)
                action = raw(block, "Action").lower()
                if action:
                    statuses.append(_status(block, action))
        elif kind in ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers"):
            references += _ids_within(part)
    if statuses or not known:
        return Report(references=tuple(references[:20]), statuses=tuple(statuses))
    # Unstructured (qmail, old gateways): our id stands somewhere in what was returned.
    searched = f"{text[:SEARCHED_CHARS]} "
    found = [word for word in _bracketed(searched) if "@" in word]
    detail = next((line.strip() for line in searched.split("\n") if line.strip()[:3].isdigit()), "")
    status = Status(action="failed", detail=without_addresses(detail)[:200])
    return Report(references=tuple((references + found)[:20]), statuses=(status,))


def _status(block: Message, action: str) -> Status:
    diagnostic = raw(block, "Diagnostic-Code")
    return Status(
        action=action,
        status=raw(block, "Status").split(" ")[0][:20],
        detail=without_addresses(diagnostic.partition(";")[2] or diagnostic)[:150],
    )


def _ids_within(part: Message) -> list[str]:
    """Message-IDs of a returned mail, or of its header."""
    inner = part.get_payload() if part.is_multipart() else None
    if isinstance(inner, list) and inner and isinstance(inner[0], Message):
        return message_ids(inner[0], "Message-ID")
    data = part.get_payload(decode=True)
    head = data[:20_000].decode("latin-1") if isinstance(data, bytes) else ""
    return [
        id_
        for line in head.replace("\r\n", "\n").replace("\n ", " ").split("\n")
        if line[:11].lower() == "message-id:"
        for id_ in _bracketed(line)
    ]


def _bracketed(text: str) -> list[str]:
    """What stands between < and >, on one line each."""
    found = []
    for part in text.split("<")[1:2_000]:
        inside, closed, _ = part[:1_000].partition(">")
        if closed and not any(mark.isspace() for mark in inside):
            found.append(inside)
    return found
