"""Customers who write mail: mailboxes in a Dovecot, and the server that sends for us (aiosmtpd).

A customer's mail is laid into our mailbox by LMTP, where the server reads it by IMAP. What an agent
answers comes by SMTP to the sending server, which says 250 when it lies in the customer's mailbox.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from loadtest.lines import marks
from loadtest.lines.dovecot import PASSWORD, Dovecot
from loadtest.lines.line import Line, Plan
from loadtest.runs.profile import Customers

DOMAIN = "customers.example"


class Writer:
    """One customer."""

    __slots__ = ("address", "kind", "of", "thread", "written")

    def __init__(self, address: str, kind: Customers) -> None:
        self.address = address
        self.kind = kind
        self.written = 0
        self.of = 1 + kind.messages
        self.thread: list[str] = []
        """Message-IDs of what they wrote and got, oldest first."""


class Sending:
    """The handler of the sending server (aiosmtpd calls these names)."""

    def __init__(self, post: Post) -> None:
        self._post = post

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """A mail of ours: laid into each receiver's mailbox before it is answered."""
        del server, session
        content = envelope.content
        data = content if isinstance(content, bytes) else str(content).encode()
        for to in envelope.rcpt_tos:
            await self._post.dovecot.deliver(to, data, envelope.mail_from or "")
            self._post.arrived(to, data)
        return "250 2.0.0 it is in the mailbox"


class Post(Line):
    """The mail line."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.dovecot = Dovecot()
        self._server: asyncio.Server | None = None
        self._writers: dict[str, Writer] = {}
        self._got = 0

    async def open(self) -> dict[str, Any]:
        """Start both servers. Raises RuntimeError."""
        await self.dovecot.start()
        loop = asyncio.get_running_loop()
        handler = Sending(self)
        self._server = await loop.create_server(
            lambda: SMTP(handler, hostname="sending.example", enable_SMTPUTF8=True, loop=loop),
            "127.0.0.1", 0,
        )  # fmt: skip
        port = self._server.sockets[0].getsockname()[1]
        place = Path(self.plan.place)
        secret = place / "mailbox.secret"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        box = {"address": self.address, "name": "Help", "host": "127.0.0.1", "tls": "none",
               "port": self.dovecot.imap, "password_file": str(secret)}  # fmt: skip
        return {"type": "mail", "channel": "email", "mailboxes": [box],
                "smtp": {"host": "127.0.0.1", "port": port, "tls": "none"},
                "secret_file": str(place / "mail.secret")}  # fmt: skip

    @property
    def got(self) -> int:
        """Answers that lie in customers' mailboxes."""
        return self._got

    # --- customers ----------------------------------------------------------------------------

    def come(self, due_s: float, kind: Customers) -> None:
        """Their first mail."""
        writer = Writer(f"customer{self.number}@{DOMAIN}", kind)
        self._writers[writer.address] = writer
        self.book.due[writer.address] = due_s
        self._write(due_s, writer)

    def _write(self, due_s: float, writer: Writer) -> None:
        writer.written += 1
        name = writer.address.partition("@")[0]
        mark = marks.make(name, writer.written, due_s)
        self.book.sent[mark] = False
        mail = EmailMessage(policy=policy.SMTP)
        mail["From"] = f"{name} <{writer.address}>"
        mail["To"] = self.address
        mail["Subject"] = "My line" if writer.written == 1 else "Re: My line"
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["Message-ID"] = f"<{mark}@{DOMAIN}>"
        if writer.thread:
            mail["In-Reply-To"] = writer.thread[-1]
            mail["References"] = " ".join(writer.thread)
        mail.set_content(f"{mark} {writer.written}/{writer.of}\n\nMy line is dead.\n")
        writer.thread.append(f"<{mark}@{DOMAIN}>")
        self.beside.spawn(self._bring(due_s, writer, mark, mail.as_bytes()))

    async def _bring(self, due_s: float, writer: Writer, mark: str, data: bytes) -> None:
        first = writer.written == 1
        await self.dovecot.deliver(self.address, data, writer.address)
        self.book.sent[mark] = True
        if first:
            self.record("taken", due_s, perf_counter())
            self.count("taken", due_s)

    def arrived(self, to: str, data: bytes) -> None:
        """A mail lies in a customer's mailbox."""
        now_s = perf_counter()
        self._got += 1
        mail, said = _read(data)
        writer = self._writers.get(to)
        if writer is None or said is None:
            self.book.faults.append("email: a mail that nobody wrote, or for nobody")
            return
        self.record("reply", said.due_s, now_s)
        writer.thread.append(str(mail["Message-ID"]))
        if said.number == writer.written < writer.of:
            self.later(writer.kind.reply, self._write, writer)

    async def finish(self) -> None:
        """What lies in the customers' mailboxes, read from the disk."""
        mails = await asyncio.to_thread(lambda: list(self.dovecot.mails(self.address)))
        found = [_read(data)[1] for data in mails]
        self.book.got = dict(Counter(said.mark for said in found if said is not None))

    async def close(self) -> None:
        """No server is left."""
        if self._server is not None:
            self._server.close()
        await self.dovecot.close()


def _read(data: bytes) -> tuple[EmailMessage, marks.Text | None]:
    mail = message_from_bytes(data, EmailMessage, policy=policy.default)
    body = mail.get_body(("plain",))
    return mail, marks.read(str(body.get_content())) if body is not None else None
