"""Mails that come: which contact they belong to, and what of them the router is told.

One contact is one thread of one customer. Its id here (`external_id`) is a keyed hash of the mail
that it began with and the customer's address, so it can be worked out again from the References of
any later mail of that customer, and a mail of ours says it in its Message-ID. A reply joins its
contact while that is open; later it begins a new one, with the same `conversation`.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from adapters import TRY_AGAIN, insist
from adapters.mail.compose import is_answer
from adapters.mail.imap import Verdict
from adapters.mail.mime import Mail
from adapters.mail.reader import Reader, Unreadable
from adapters.mail.reports import Status
from adapters.mail.settings import Mailbox
from adapters.mail.tokens import Signer, Token
from router.channel import Address, Delivery, NewContact, NewMessage, Refused, Router

log = logging.getLogger(__name__)

TEXT_BYTES = 65_536
OPEN = 200_000
HISTORY = 1_000
TAKE_S = 20.0
"""So long is the router asked to take a mail; then the mail waits in its mailbox."""
_CUT = "\n[\u2026]"


class OpenThreads:
    """Ids of contacts that are open, as far as this adapter has heard; the oldest are forgotten."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, id_: str) -> bool:
        return id_ in self._ids

    def add(self, id_: str) -> None:
        """It is open."""
        self._ids[id_] = None
        self._ids.move_to_end(id_)
        while len(self._ids) > OPEN:
            self._ids.popitem(last=False)

    def discard(self, id_: str) -> None:
        """It is closed."""
        self._ids.pop(id_, None)


class Incoming:
    """Takes mails to the router."""

    def __init__(self, name: str, router: Router, signer: Signer,
                 ours: Mapping[str, tuple[Mailbox, str]], reader: Reader, opened: OpenThreads,
                 put_aside: Callable[[str], None]) -> None:  # fmt: skip
        self.name = name
        self.router = router
        self._signer = signer
        self._ours = ours
        self._reader = reader
        self._open = opened
        self._put_aside = put_aside
        self._prepared: dict[str, tuple[str, NewMessage]] = {}
        """By mailbox: the mail that is being taken, by its digest."""

    async def arrived(self, box: Mailbox, data: bytes) -> Verdict:
        """What is to be done with a mail; the router has it durably when it is ``done``."""
        try:
            mail = await self._reader.read(data)
        except Unreadable as why:
            self._put_aside(str(why))
            return "quarantine"
        if self._signer.read(mail.message_id) is not None:
            return "automatic"  # our own mail has come back
        if mail.report is not None:
            return await self._reported(mail)
        if mail.automatic or (mail.sender is not None and mail.sender[0] in self._ours):
            return "automatic"
        if mail.sender is None:
            self._put_aside("no sender that can be answered")
            return "quarantine"
        try:
            await self._submit(box, mail, mail.sender)
        except TRY_AGAIN as error:
            log.info("%s: a mail waits: %s", self.name, type(error).__name__)
            return "again"
        except Refused as refused:
            self._put_aside(f"refused: {refused.code}")
            return "quarantine"
        return "done"

    async def _submit(self, box: Mailbox, mail: Mail, sender: tuple[str, str]) -> None:
        address, name = sender
        first = mail.message_id or mail.digest
        known, _ = self._thread_of(mail, address)
        contact = NewContact(
            external_id=known or self._signer.thread(first, address),
            customer=Address(address=address, name=name),
            to=self._reached(box, mail),
            conversation=self._signer.thread(next(iter(mail.references), first), address),
            message=await self._message_of(box, mail, address),
        )
        # Not insisted upon: the mailbox keeps the mail, and asks again.
        if known or mail.references or is_answer(mail.subject):
            await self.router.message(contact)
        else:
            receipt = await self.router.submit(contact)
            if not receipt.created and not await self._is_there(contact):
                # Another mail with the same Message-ID: programs exist that have only one.
                own = self._signer.thread(mail.digest, address)
                contact = msgspec.structs.replace(contact, external_id=own)
                await self.router.message(contact)
        self._open.add(contact.external_id)
        self._prepared.pop(box.address, None)

    def _reached(self, box: Mailbox, mail: Mail) -> str:
        """Our address that was written to, as the configuration writes it."""
        ours = (self._ours[to] for to in mail.to if to in self._ours)
        return next((written for of, written in ours if of is box), box.address)

    async def _is_there(self, contact: NewContact) -> bool:
        """Has the router this very mail already?"""
        assert contact.message is not None
        lines = await self.router.history(contact.external_id, HISTORY)
        return any(line.backend_id == contact.message.id for line in lines)

    async def _message_of(self, box: Mailbox, mail: Mail, address: str) -> NewMessage:
        """The message for the router; its files are stored once, however often it is tried."""
        digest, message = self._prepared.get(box.address, ("", None))
        if message is None or digest != mail.digest:
            _, whose = self._thread_of(mail, address)
            message = await self._message(mail, address, whose)
            self._prepared[box.address] = (mail.digest, message)
        return message

    async def _message(self, mail: Mail, address: str, whose: str | None) -> NewMessage:
        text = mail.text
        if whose is not None and whose != self._signer.who(address):
            # Somebody else answers in this thread: the agent must see who.
            text = f"From: {address}\n\n{text}"
        files = list(mail.files)
        encoded = text.encode("utf-8", "replace")
        if len(encoded) > TEXT_BYTES:
            whole = await self._attach(encoded, "message.txt", "text/plain", "original")
            kept = [] if any(file.role == "original" for file in files) else [whole]
            text = encoded[: TEXT_BYTES - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT
        else:
            text, kept = encoded.decode(), []
        for file in files:
            kept.append(await self._attach(file.data, file.name, file.type, file.role))
        # The Message-ID is for References; the digest keeps apart what shares one by mistake.
        known = mail.message_id if len(mail.message_id) <= 900 else ""
        return NewMessage(
            id=f"{known} {mail.digest}".strip(),
            text=text,
            subject=mail.subject,
            attachments=tuple(kept),
        )

    async def _attach(self, data: bytes, name: str, kind: str, role: str) -> dict[str, Any]:
        return await self.router.attach(data, name=name, kind=kind, role=role)

    def _thread_of(self, mail: Mail, address: str) -> tuple[str, str | None]:
        """The open contact that a mail belongs to, newest reference first; empty: none is open.

        Also whose it is, as `Signer.who` says it: of the id or mark of ours that led there; None if
        none did. A name of a thread that is worked out from the sender's address is the sender's.
        """
        named: str | None = None
        for reference in reversed(mail.references):
            token = self._signer.read(reference)
            if named is None and token is not None:
                named = token.who
            thread = token.thread if token is not None else self._signer.thread(reference, address)
            if thread in self._open:
                return thread, token.who if token is not None else named
        thread, who = self._signer.in_subject(mail.subject)
        return (thread, who) if thread in self._open else ("", named)

    async def _reported(self, mail: Mail) -> Verdict:
        """A bounce: what became of a message of ours. Without our signature it is only filed."""
        report = mail.report
        assert report is not None
        tokens = [self._signer.read(reference) for reference in report.references]
        token = next((token for token in tokens if token is not None), None)
        if token is None or not token.message.startswith("m"):
            return "automatic"
        for status in report.statuses:
            try:
                await self._tell(token, status)
            except TRY_AGAIN:
                return "again"
            except Refused as refused:
                log.debug("%s: a bounce for nothing that is known: %s", self.name, refused.code)
        return "automatic"

    async def _tell(self, token: Token, status: Status) -> None:
        if status.action not in ("failed", "delivered"):
            return  # it may arrive yet, or nobody will tell
        state: Delivery = "delivered" if status.action == "delivered" else "undelivered"
        detail = f"{status.status} {status.detail}".strip()
        await insist(
            lambda: self.router.receipt(token.contact, token.message, state, detail), for_s=TAKE_S
        )
