"""Mails of ours: what strangers have written cannot become a header field, or the text."""

from __future__ import annotations

import base64
import email
from datetime import UTC, datetime

import pytest
from aiosmtplib import SMTPRecipientRefused

from adapters.mail.compose import Outgoing, Unsendable, answer_subject, compose, on_the_wire
from adapters.mail.headers import canonical
from adapters.mail.mime import read
from adapters.mail.smtp import _refused


def outgoing(**fields: object) -> Outgoing:
    given = {
        "sender": "help@ours.example", "recipient": "kim@customer.example", "subject": "Re: x",
        "text": "ours", "message_id": "a.b@ours.example", **fields,
    }  # fmt: skip
    return Outgoing(**given)  # type: ignore[arg-type]


ENCODED = "=?utf-8?q?x=0D=0AX-Evil:_1=0D=0A=0D=0Anot_our_words?="
"""An encoded word with line ends in it: whoever decodes it writes them out."""


@pytest.mark.parametrize("name", ["subject", "sender_name", "recipient_name"])
@pytest.mark.parametrize(
    "value",
    [ENCODED, f"Re: {ENCODED}", f'"{ENCODED}"', ENCODED.replace("=?", "==??"), f"ü {ENCODED}",
     "x" * 90 + f" {ENCODED} {ENCODED}", "a\u2028X-Evil: 1", "a\x85X-Evil: 1", "\ud800"],
)  # fmt: skip
def test_what_looks_encoded_adds_no_line_either(name: str, value: str) -> None:
    data = compose(outgoing(**{name: value}, text="ours"), datetime.now(UTC))
    seen = email.message_from_bytes(data)
    assert seen.keys() == ["From", "To", "Subject", "Date", "Message-ID", "Content-Type",
                           "Content-Transfer-Encoding", "MIME-Version"]  # fmt: skip
    assert seen.get_payload(decode=True) == b"ours\r\n"


def test_a_stranger_cannot_write_the_answer_they_get() -> None:
    """An encoded word within an encoded word becomes one when it is read, and is answered to."""
    inner = base64.b64encode(ENCODED.encode()).decode()
    mail = read(
        f"From: =?utf-8?b?{inner}?= <lee@customer.example>\r\nReply-To: kim@customer.example\r\n"
        f"Message-ID: <{ENCODED.replace(':', '=3A')}@customer.example>\r\n"
        f"Subject: =?utf-8?b?{inner}?=\r\n\r\nhello\r\n".encode()
    )
    assert "=?utf-8?q?" in mail.subject
    assert mail.sender is not None
    address, name = mail.sender
    answer = outgoing(recipient=address, recipient_name=name, text="ours",
                      subject=answer_subject(mail.subject, ""),
                      references=(mail.message_id,))  # fmt: skip
    seen = email.message_from_bytes(compose(answer, datetime.now(UTC)))
    assert "X-Evil" not in seen
    assert seen.get_payload(decode=True) == b"ours\r\n"


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ("kim@b\u00fccher.example", "kim@xn--bcher-kva.example"),
        ("kim@xn--bcher-kva.example", "kim@xn--bcher-kva.example"),
        ("kim@stra\u00dfe.example", "kim@xn--strae-oqa.example"),
        ("kim@\u2603.example", "kim@xn--n3h.example"),
        ("kim@a_b.example", "kim@a_b.example"),
    ],
)
def test_a_mail_goes_to_the_domain_that_was_meant(address: str, wire: str) -> None:
    """By IDNA of 2003 one with a German sharp s would be somebody else's, who could read it."""
    assert on_the_wire(address) == canonical(address) == wire
    head = compose(outgoing(recipient=address), datetime.now(UTC)).partition(b"\r\n\r\n")[0]
    assert f"To: {wire}".encode() in head


@pytest.mark.parametrize("domain", ["\u00fc..example", "\u00fc" * 80, "a" * 64 + ".example"])
def test_a_mail_to_what_is_no_domain_is_not_sent(domain: str) -> None:
    assert canonical(f"Kim@{domain}") == f"kim@{domain}"
    with pytest.raises(Unsendable):
        on_the_wire(f"kim@{domain}")


def test_the_sender_of_a_mail_is_the_same_in_each_form() -> None:
    forms = ("Kim@B\u00fcCHER.example", "kim@bu\u0308cher.example", "kim@xn--BCHER-kva.example")
    senders = {read(f"From: {form}\r\n\r\nhello".encode()).sender for form in forms}
    assert senders == {("kim@xn--bcher-kva.example", "")}


def test_an_address_that_looks_encoded_is_none() -> None:
    with pytest.raises(Unsendable):
        compose(outgoing(recipient="=?utf-8?q?a=0D=0ABcc=3A_x?=@y.example"), datetime.now(UTC))


def test_what_a_server_says_is_passed_on_without_addresses() -> None:
    refusal = SMTPRecipientRefused(550, "5.1.1 <Kim@customer.example>:\r\n no such user", "kim")
    assert str(_refused(refusal)) == (
        "the sending server refused it: 550 5.1.1 [address] no such user"
    )
    parts = (
        "Content-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.example\r\n\r\n"
        "Final-Recipient: rfc822; kim@customer.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 <kim@customer.example>... unknown, ask kim@x.example\r\n"
    )
    bounce = read(
        "From: MAILER-DAEMON@mx.example\r\nReturn-Path: <>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        f"--b\r\n{parts}\r\n--b--\r\n".encode()
    )
    assert bounce.report is not None
    (status,) = bounce.report.statuses
    assert status.detail == "550 [address] unknown, ask [address]"
