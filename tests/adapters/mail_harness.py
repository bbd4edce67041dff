"""Customers with real mailboxes, the sending server between, and the adapter in front of a double.

Mail of ours goes through `Relay` (aiosmtpd) into Dovecot by LMTP, where customers' mailboxes are
read from the disk; mail of customers goes into our mailbox in the same Dovecot.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from email import policy
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from adapters.mail import MailChannel
from adapters.mail.imap import Verdict
from adapters.mail.mime import read
from loadtest.server import free_port
from router.channel import Address, ChannelLost, NewContact, Task
from router.core.effects import Effect
from router.testing.adapter_harness import FailingHarness, RouterDouble, Signal
from tests.peers.dovecot import PASSWORD, Dovecot, shared

OURS = "help@ours.example"


class Relay:
    """The sending server: takes mail, delivers it, and misbehaves where the address asks for it."""

    def __init__(self, dovecot: Dovecot | None = None) -> None:
        self.port = free_port()
        self.dovecot = dovecot
        self.taken: list[Envelope] = []
        """Every mail that was answered with 250, or whose answer was cut off."""
        self.greylisted: Counter[str] = Counter()
        self.gate = asyncio.Event()
        """Cleared: DATA is not answered."""
        self.gate.set()
        self.signal = Signal()
        self._server: asyncio.Server | None = None
        self._protocols: set[SMTP] = set()

    async def __aenter__(self) -> Relay:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            self._protocol, "127.0.0.1", self.port
        )

    async def close(self) -> None:
        """Dead: no new connections, and the open ones are cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.gate.set()
        for protocol in self._protocols:
            if protocol.transport is not None:
                protocol.transport.abort()
        self._protocols.clear()

    def _protocol(self) -> SMTP:
        protocol = SMTP(self, enable_SMTPUTF8=True, loop=asyncio.get_running_loop())
        self._protocols.add(protocol)
        return protocol

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "fail" in address:
            return "550 5.1.1 no such mailbox"
        if "grey" in address:
            self.greylisted[address] += 1
            if self.greylisted[address] < 3:
                return "451 4.7.1 come back later"
        if "lost" in address and self._server is not None:
            await self.close()
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        await self.gate.wait()
        to = envelope.rcpt_tos[0]
        if "busy" in to:
            return "452 4.2.2 full"
        self.taken.append(envelope)
        self.signal.notify()
        if self.dovecot is not None and to in self.dovecot.users:
            await self.dovecot.deliver(to, envelope.content, envelope.mail_from or "")
        if "unknown" in to:
            assert server.transport is not None
            server.transport.abort()
        return "250 2.0.0 taken"

    def texts(self, who: str) -> list[str]:
        """What this customer was sent, oldest first."""
        return [read(mail.content).text for mail in self.taken if mail.rcpt_tos == [who]]


def mail(
    sender: str,
    text: str = "",
    *,
    to: str = OURS,
    subject: str = "My line",
    html: str = "",
    name: str = "",
    message_id: str = "",
    answers: str = "",
    **headers: str,
) -> bytes:
    """A customer's mail as a good program writes it."""
    made = EmailMessage(policy=policy.SMTP.clone(max_line_length=990))
    made["From"] = f"{name} <{sender}>" if name else sender
    made["To"] = to
    made["Subject"] = subject
    made["Date"] = "Sun, 22 Nov 2026 10:00:00 +0100"
    made["Message-ID"] = message_id or make_msgid(domain="customer.example")
    if answers:
        made["In-Reply-To"] = f"<{answers}>"
        made["References"] = f"<{answers}>"
    for key, value in headers.items():
        made[key.replace("_", "-")] = value
    made.set_content(text.encode("utf-8", "replace").decode(), cte="base64")
    if html:
        made.add_alternative(html, subtype="html")
    return made.as_bytes()


class MailHarness(FailingHarness):
    """One mailbox in a Dovecot of its own."""

    def __init__(self, base: Path, customers: list[str] | None = None, **settings: Any) -> None:
        self.base = base
        self.signal = Signal()
        self.router = RouterDouble(self.signal)
        self.users = [OURS, *(customers or [])]
        self.capabilities = settings.pop("capabilities", "")
        self.dovecot: Dovecot
        self.relay = Relay()
        self.given = settings
        self.verdicts: list[Verdict] = []
        self.ids: dict[str, str] = {}
        """Message-ID of the first mail, by customer."""
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> MailHarness:
        try:
            await self.open()
            self.make()
            await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def open(self) -> None:
        """The servers, without the adapter."""
        if self.capabilities:
            self.dovecot = await Dovecot(self.users, self.capabilities).__aenter__()
        else:
            self.dovecot = await shared(self.users)
        self.relay.dovecot = self.dovecot
        await self.relay.open()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.relay.close()
        if self.capabilities:
            await self.dovecot.__aexit__()

    def make(self) -> None:
        """A new process: nothing is remembered but what is on the disk."""
        password = self.base / "password"
        password.write_text(PASSWORD + "\n")
        password.chmod(0o600)
        box = {
            "address": OURS, "host": "127.0.0.1", "port": self.dovecot.imap, "tls": "none",
            "password_file": str(password), "name": "Help", **self.given.get("box", {}),
        }  # fmt: skip
        settings = {
            "mailboxes": [box],
            "smtp": {"host": "127.0.0.1", "port": self.relay.port, "tls": "none"},
            "secret_file": str(self.base / "secret"),
            "automatic_per_day": 100,
            "outbox": 20,
            **{key: value for key, value in self.given.items() if key != "box"},
        }
        self.channel = self.mail = MailChannel("mail", settings, self.router)
        self.mail.rng = random.Random(1)
        arrived = self.mail._incoming.arrived

        async def seen(box: Any, data: bytes) -> Verdict:
            verdict = await arrived(box, data)
            self.verdicts.append(verdict)
            self.signal.notify()
            return verdict

        self.mail._incoming.arrived = seen  # type: ignore[method-assign]

    async def start(self) -> None:
        before = len(self.router.states)
        self._run = asyncio.get_running_loop().create_task(self.mail.run())
        await self.signal.until(lambda: "up" in self.router.states[before:])

    async def stop(self) -> None:
        if self._run is None:
            return
        self._run.cancel()
        with suppress(asyncio.CancelledError, ChannelLost):
            await self._run

    async def renew(self) -> None:
        await self.stop()
        self.make()
        await self.start()

    def address(self, who: str) -> str:
        """Telephone numbers of the suites as mail addresses."""
        return who if "@" in who else f"p{who.strip('+')}@customer.example"

    def is_of(self, who: str, customer: Address) -> bool:
        return customer.address == self.address(who)

    async def bring(self, data: bytes, sender: str = "kim@customer.example") -> Verdict:
        """A mail is put into our mailbox; returns what the adapter decided about it first."""
        before = len(self.verdicts)
        await self.dovecot.deliver(OURS, data, sender)
        await self.signal.until(lambda: len(self.verdicts) > before)
        return self.verdicts[before]

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        address = self.address(who)
        if again and self.verdicts and self.verdicts[-1] == "again":
            # It waits in the mailbox, and is looked at again by itself.
            before = len(self.verdicts)
            await self.signal.until(lambda: len(self.verdicts) > before)
            return told(self.verdicts[-1])
        id_ = self.ids.setdefault(who, make_msgid(domain="customer.example"))
        return told(await self.bring(mail(address, text, message_id=id_), address))

    async def write(self, who: str, text: str, message_id: str) -> str:
        address = self.address(who)
        first = self.ids[who].strip("<>")
        data = mail(address, text, message_id=f"<{message_id}@customer.example>", answers=first)
        return told(await self.bring(data, address))

    async def leave(self, who: str) -> None:
        raise NotImplementedError

    def read(self, who: str) -> list[str]:
        return self.relay.texts(self.address(who))

    def task(self, who: str, effect: Effect, **fields: Any) -> Task:
        return super().task(self.address(who), effect, **fields)

    def external_id(self, who: str) -> str:
        return super().external_id(self.address(who))

    async def stall(self) -> int:
        self.relay.gate.clear()
        return 20

    def held(self) -> int:
        return self.mail.held

    def troubled(self, word: str) -> str:
        return "no address" if word == "busy" else f"{word}@customer.example"

    async def back(self) -> None:
        if self.relay._server is None:
            await self.relay.open()
        await self.signal.until(lambda: self.router.states[-1] == "up")


def told(verdict: Verdict) -> str:
    """What a customer's mail came to, where it was not taken; empty where it was."""
    return "" if verdict == "done" else verdict


def contact_of(router: RouterDouble, number: int = 0) -> NewContact:
    """The contact of a call that brought something."""
    said = [said for said in router.calls if said.call in ("submit", "message")]
    contact: NewContact = said[number].args[0]
    return contact
