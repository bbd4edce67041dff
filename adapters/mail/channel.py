"""E-mail joined to the router: mailboxes and sending server kept up, and what is sent.

What comes in is in `incoming.py`. Mails that go out have a Message-ID that is the same whenever it
is worked out (contact, message, signature), and References made of the contact's history.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from adapters import (
    TRY_AGAIN,
    Facts,
    Fence,
    NotSent,
    Remembered,
    Sender,
    insist,
    read_settings,
    without_leg,
)
from adapters.mail.compose import Outgoing, Unsendable, answer_subject, compose, on_the_wire
from adapters.mail.headers import canonical, dns_name
from adapters.mail.imap import MailboxReader, Verdict
from adapters.mail.incoming import Incoming, OpenThreads
from adapters.mail.login import Login
from adapters.mail.reader import Reader
from adapters.mail.settings import (
    Mailbox,
    Settings,
    signing_secret,
    tls_context,
)
from adapters.mail.smtp import PATIENCE_S, Smtps
from adapters.mail.tokens import Signer, Token, is_thread, plain
from router.channel import (
    Channel,
    ChannelError,
    ChannelLost,
    DeliverMessage,
    EndContact,
    Line,
    Refused,
    Router,
    StartContact,
    Task,
    TreatContact,
    UnknownOutcome,
)

log = logging.getLogger(__name__)

DAY_S = 86_400.0
CONNECT_S = 10.0
PROBE_S = 30.0
HISTORY = 50
"""Messages of a contact that an answer's References are made of."""


class MailChannel(Channel):
    """Mailboxes on one side, the router on the other."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        where = f"adapters.{name}"
        self.config = config = read_settings(Settings, settings, where)
        self._tls = tls_context(config.ca_file, where)
        self._logins = [
            Login(box, f"{where}.mailboxes[{number}]")
            for number, box in enumerate(config.mailboxes)
        ]
        self._signer = Signer(signing_secret(config.secret_file, where), name)
        self._ours = {
            canonical(a): (box, a.lower())
            for box in config.mailboxes
            for a in (box.address, *box.aliases)
        }
        """By address: the mailbox, and the address as the configuration writes it."""
        self._helo = dns_name(config.mailboxes[0].address.rpartition("@")[2])
        self._smtp = Smtps(
            config.smtp,
            Login(config.smtp, f"{where}.smtp"),
            self._tls,
            self._helo,
        )
        self._sender = Sender(
            self._note_smtp,
            most=config.outbox,
            at_once=config.smtp.connections,
            patience_s=PATIENCE_S,
        )
        self._reader = Reader()
        self._facts = Facts(name)
        self._fence = Fence()
        self._done: Remembered[str, None] = Remembered()
        self._open = OpenThreads()
        self._incoming = Incoming(
            name, router, self._signer, self._ours, self._reader, self._open, self._put_aside
        )
        self._answered: Remembered[str, deque[float]] = Remembered()
        """When an address got automatic answers lately."""
        self._states: dict[str, tuple[str, str]] = {}
        """By mailbox: ``up``, ``lost`` or ``again``, and why."""
        self._smtp_state = ("starting", "")
        self._aside = 0
        self._up = False
        self._changed = asyncio.Event()

    @property
    def held(self) -> int:
        """Mails on their way out."""
        return self._sender.held

    # -- what the supervisor calls ---------------------------------------------------------------

    async def run(self) -> None:
        """Read the mailboxes and send until cancelled."""
        self.router.state("starting")
        self._facts.go_on()
        for external_id, _ in await insist(self.router.open):
            self._open.add(external_id)
        self._states = {box.address: ("starting", "") for box in self.config.mailboxes}
        self._smtp_state = ("starting", "")
        loop = asyncio.get_running_loop()
        threads = [self._thread(box, login, loop) for box, login in
                   zip(self.config.mailboxes, self._logins, strict=True)]  # fmt: skip
        self._up = True
        try:
            for thread in threads:
                thread.start()
            await self._first_contact()
            while True:
                self._tell_state()
                try:
                    await self._sender.watch(self._probe, PROBE_S)
                except ChannelLost as lost:
                    state, why = self._smtp_state  # a refused login says more than "not there"
                    await self._until_smtp(why if state == "lost" else str(lost))
        finally:
            self._up = False
            await self._end(threads)
            self.router.state("down")

    async def perform(self, task: Task) -> None:
        """Send what the router decided."""
        self._fence.check(task.epoch)
        if not self._up:
            raise ChannelLost(f"{self.name} is not running")
        if task.id in self._done:
            return
        await self._carry_out(task)
        self._done[task.id] = None

    async def find(self, task: Task) -> bool:
        """Whether this was carried out in this process; nothing is sent by what is asked about."""
        return task.id in self._done

    # -- effects ---------------------------------------------------------------------------------

    async def _carry_out(self, task: Task) -> None:
        effect = task.effect
        match effect:
            case DeliverMessage(message=message):
                by_itself = task.author == "router" and not effect.attempt
                if by_itself and not self._may_answer(task):
                    raise ChannelError("this address had its automatic answers for today")
                kind = "auto-replied" if by_itself else "auto-generated" if effect.attempt else ""
                await self._write(task, message, task.text, kind)
            case TreatContact(kind="greeting" | "text" | "callback_offer", text=text) if text:
                await self._answer_by_itself(task, text)
            case EndContact(text=text):
                self._open.discard(task.external_id)
                if text:
                    await self._say_goodbye(task, text)
            case TreatContact():
                pass  # positions are old when they are read
            case StartContact():
                await self._start(task, effect)
            case _:
                without_leg(effect, self.router, self._facts)

    async def _start(self, task: Task, effect: StartContact) -> None:
        """A thread that begins with us: its first mail names it."""
        address = canonical(task.customer.address)
        try:
            compose(self._outgoing(task, "start", "", ()), datetime.now(UTC))
        except Unsendable as error:
            raise ChannelError(str(error)) from None
        external_id = self._signer.thread(effect.contact, address)
        self._open.add(external_id)
        self._facts.later(effect.contact, self.router.started, effect.contact, external_id)
        if effect.reservation:
            self._facts.later(effect.contact, self.router.connected, effect.reservation)

    async def _answer_by_itself(self, task: Task, text: str) -> None:
        if not self._may_answer(task):
            log.debug("%s: no automatic answer: rate, or written by a machine", self.name)
            return
        await self._write(task, f"e{plain(task.id)}", text, "auto-replied")

    async def _say_goodbye(self, task: Task, text: str) -> None:
        """The router tries an `EndContact` of unknown outcome again: a mail must not be."""
        try:
            await self._answer_by_itself(task, text)
        except UnknownOutcome as error:
            log.info("%s: nobody knows whether a farewell was sent: %s", self.name, error)

    def _may_answer(self, task: Task) -> bool:
        """RFC 3834 section 2: never a machine, and not without end."""
        if task.attributes.get("automatic"):
            return False
        now_s = asyncio.get_running_loop().time()
        who = self._signer.who(canonical(task.customer.address))
        times = self._answered.pop(who, None) or deque()
        while times and now_s - times[0] > DAY_S:
            times.popleft()
        may = len(times) < self.config.automatic_per_day
        if may:
            times.append(now_s)
        self._answered[who] = times
        return may

    async def _write(self, task: Task, message: str, text: str, automatic: str) -> None:
        lines = await self._said(task.external_id) if task.external_id else []
        mail = self._outgoing(task, message, text, lines, automatic)
        try:
            data = compose(mail, datetime.now(UTC))
            sender, recipient = on_the_wire(mail.sender), on_the_wire(mail.recipient)
        except Unsendable as error:
            raise ChannelError(str(error)) from None
        # RFC 3834 section 3.3: nobody is to be told that an automatic answer did not arrive.
        sender = "" if automatic == "auto-replied" else sender
        envelope_id = mail.message_id.partition("@")[0]
        await self._sender.send(lambda: self._smtp.send(sender, recipient, data, envelope_id))
        contact = getattr(task.effect, "contact", "")
        if not task.external_id and contact and isinstance(task.effect, DeliverMessage):
            external_id = self._signer.thread(contact, canonical(task.customer.address))
            self._open.add(external_id)
            self._facts.later(contact, self.router.started, contact, external_id)

    async def _said(self, external_id: str) -> list[Line]:
        try:
            return await insist(lambda: self.router.history(external_id, HISTORY), for_s=3.0)
        except (Refused, *TRY_AGAIN):
            return []  # a mail without References arrives, too

    def _outgoing(
        self,
        task: Task,
        message: str,
        text: str,
        lines: list[Line] | tuple[()],
        automatic: str = "",
    ) -> Outgoing:
        first = self.config.mailboxes[0]
        box, sender = self._ours.get(canonical(task.our_address), (first, first.address))
        address = canonical(task.customer.address)
        contact = plain(getattr(task.effect, "contact", ""))
        thread = task.external_id or self._signer.thread(contact, address)
        host = dns_name(box.address.rpartition("@")[2])

        def our_id(of: str) -> str:
            token = Token(plain(of), contact, thread if is_thread(thread) else "", who)
            return self._signer.message_id(token, host)

        who = self._signer.who(address)
        references = [
            our_id(line.id) if line.author != "customer" else line.backend_id.partition(" ")[0]
            for line in lines
            if line.author == "customer" or line.id != message
        ]
        last = next((line.subject for line in reversed(lines) if line.subject), "")
        given = str(task.attributes.get("subject") or self.config.subject)
        subject = answer_subject(last, f"Re: {given}" if references else given)
        mark = self._signer.subject_mark(thread, who) if is_thread(thread) else ""
        if self.config.subject_mark and mark and mark not in subject:
            subject = f"{subject} {mark}"
        return Outgoing(
            sender=sender,
            sender_name=box.name,
            recipient=task.customer.address,
            recipient_name=_one_line(task.customer.name),
            subject=_one_line(subject),
            text=text,
            message_id=our_id(message),
            references=tuple(id_ for id_ in references if "@" in id_ and id_.isascii()),
            automatic=automatic,
        )

    # -- how it is -------------------------------------------------------------------------------

    def _thread(self, box: Mailbox, login: Login, loop: asyncio.AbstractEventLoop) -> MailboxReader:
        def judge(data: bytes) -> Future[Verdict]:
            return asyncio.run_coroutine_threadsafe(self._incoming.arrived(box, data), loop)

        def told(state: str, why: str) -> None:
            loop.call_soon_threadsafe(self._note_mailbox, box.address, state, why)

        rng = random.Random(f"{self.name} {box.address}")
        return MailboxReader(box, self.config, login, self._tls, judge, told, rng)

    async def _first_contact(self) -> None:
        """Until every mailbox and the sending server were reached or not."""
        try:
            await self._probe()
        except (NotSent, ChannelError) as error:
            self._smtp_state = ("lost", str(error))
            self._sender.lost.set()
        else:
            self._smtp_state = ("up", "")
        try:
            async with asyncio.timeout(CONNECT_S):
                while any(state == "starting" for state, _ in self._states.values()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            for address, (state, _) in list(self._states.items()):
                if state == "starting":
                    self._states[address] = ("lost", "it does not answer")

    async def _probe(self) -> None:
        """Raises ChannelLost: the sending server is not there."""
        try:
            await self._smtp.probe()
        except ChannelError as error:
            raise ChannelLost(str(error)) from None

    async def _until_smtp(self, why: str) -> None:
        """Nothing can be sent: the router keeps what is to be sent until it can."""
        self._smtp_state = ("lost", why)
        self._tell_state()
        pause_s = 0.5
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._smtp.probe()
            except ChannelError as error:
                if self._smtp_state != ("lost", str(error)):
                    self._note_smtp("lost", str(error))
                pause_s = min(2 * pause_s, 30.0)
            else:
                break
        self._sender.lost.clear()
        self._smtp_state = ("up", "")

    def _put_aside(self, why: str) -> None:
        self._aside += 1
        log.warning("%s: a mail is put aside: %s", self.name, why)
        self._tell_state()

    def _note_smtp(self, state: str, why: str) -> None:
        self._smtp_state = (state, why)
        self._tell_state()

    def _note_mailbox(self, address: str, state: str, why: str) -> None:
        if self._states.get(address) == (state, why):
            return
        self._states[address] = (state, why)
        self._changed.set()
        self._tell_state()

    def _tell_state(self) -> None:
        """``down`` while nothing can be sent (the router then keeps what is to be sent),
        ``degraded`` while some mailbox is not read."""
        state, why = self._smtp_state
        unread = [w for s, w in self._states.values() if s in ("lost", "again")]
        if (
            not self._up
            or state == "starting"
            or any(s == "starting" for s, _ in self._states.values())
        ):
            return
        aside = f"{self._aside} mails put aside" if self._aside else ""
        if state == "lost":
            self.router.state("down", f"sending: {why}")
        elif state == "degraded" or unread:
            what = (
                f"sending: {why}"
                if state == "degraded"
                else f"{len(unread)} mailboxes: {unread[0]}"
            )
            self.router.state("degraded", what)
        else:
            self.router.state("up", aside)

    async def _end(self, threads: list[MailboxReader]) -> None:
        for thread in threads:
            thread.end()
        for thread in threads:
            if thread.ident is not None:
                await asyncio.to_thread(thread.join, 1.0)
                if thread.is_alive():
                    thread.cut()
                    await asyncio.to_thread(thread.join, 2.0)
        await self._facts.stop()
        await self._reader.stop()
        await self._smtp.close()


def _one_line(text: str) -> str:
    """What customers and attributes bring: folded, never a second header field."""
    return " ".join("".join(" " if ord(mark) < 32 else mark for mark in text).split())
