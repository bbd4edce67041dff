"""What the SMSC brings: customers' messages to the router, receipts to their messages.

A message is answered well only when it cannot be lost any more: when the router has it durably, or,
for a part of a long one, when it stands in the state file.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from adapters import TRY_AGAIN, Crew, Facts, Questions
from adapters.smpp import pdu
from adapters.smpp.addresses import written
from adapters.smpp.heard import Heard, Hearing
from adapters.smpp.parts import Part, alone, part_of
from adapters.smpp.reassembly import Reassembly, Whole, shown
from adapters.smpp.receipts import as_answered, is_receipt, read_receipt, trace
from adapters.smpp.settings import Settings
from adapters.smpp.store import Sent, Store
from router.channel import (
    Address,
    ChannelError,
    NewContact,
    NewMessage,
    OutcomeUnknown,
    Refused,
    Router,
)

log = logging.getLogger(__name__)

ROUTER_S: Final = 15.0
"""So long may the router take for a message; then the SMSC is told to say it again."""
EARLY_S: Final = 3.0
"""A receipt may come before the answer to the message that it is about: it waits for so long."""
LONG_OCTETS: Final = 16_777_216
HEARD_MOST: Final = 20_000
OFTEN: Final = 200
"""Of more that may come again, those that were read are looked for once a second."""
HARD: Final = 2
"""So many times the limits, and parts of more long messages are refused."""
BATCH: Final = 100
AGAIN_S: Final = 2.0
EXPIRE_S: Final = 30.0


class Inbound:
    """Customers' messages and receipts of one adapter."""

    def __init__(
        self, name: str, config: Settings, store: Store, router: Router, questions: Questions,
        facts: Facts, crew: Crew, is_sending: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.name = name
        self.hearing = Hearing(config.repeat_s, HEARD_MOST)
        self.reassembly = Reassembly(config.long_wait_s, config.long_most, LONG_OCTETS)
        self._config = config
        self._store = store
        self._router = router
        self._questions = questions
        self._facts = facts
        self._crew = crew
        self._is_sending = is_sending
        self._in_order: dict[str, tuple[asyncio.Lock, int]] = {}
        self._over = asyncio.Event()
        self._news = asyncio.Event()
        self._read_s: dict[int, float] = {}

    def recall(self, heard: list[Heard], wholes: list[Whole]) -> None:
        """What the state file has from before a restart."""
        for one in heard:
            self.hearing.recall(one)
        for whole in wholes:
            for part in list(whole.parts.values()):
                self.reassembly.add(whole, part)

    # -- connections -----------------------------------------------------------------------------

    def connected(self, connection: int) -> None:
        """A connection begins."""
        self.hearing.connected(connection)

    def ended(self, connection: int) -> None:
        """A connection is over: what it has not proved to be read may come again."""
        self.hearing.ended(connection)
        self._read_s.pop(connection, None)

    def read(self, connection: int, until_s: float) -> None:
        """The SMSC has read what was written on this connection before this moment."""
        now_s = asyncio.get_running_loop().time()
        if len(self.hearing) > OFTEN and now_s - self._read_s.get(connection, 0.0) < 1.0:
            return
        self._read_s[connection] = now_s
        self._forget(self.hearing.read_until(connection, until_s))

    def noticed(self) -> None:
        """The id of a message of ours has become known: receipts may wait for it."""
        self._news.set()

    # -- one packet ------------------------------------------------------------------------------

    async def hear(self, message: pdu.Message, connection: int, centre: str) -> int:
        """Take a deliver_sm; the status to answer it with. Never raises."""
        try:
            async with asyncio.timeout(ROUTER_S):
                if is_receipt(message):
                    await self._hear_receipt(message, centre)
                    return pdu.OK
                async with self._turn(message.source):
                    return await self._hear_message(message, connection)
        except OutcomeUnknown:
            return pdu.SYSTEM_ERROR
        except TRY_AGAIN:
            return pdu.QUEUE_FULL
        except Refused as refused:
            log.warning("message refused", extra={"adapter": self.name, "code": refused.code})
            return pdu.REJECTED_BY_RECEIVER
        except TimeoutError:
            return pdu.SYSTEM_ERROR
        except (OSError, sqlite3.Error) as error:
            log.error(  # noqa: TRY400 the reason is the disk's, not the code's
                "the state file cannot be written",
                extra={"adapter": self.name, "error": type(error).__name__},
            )
            return pdu.SYSTEM_ERROR

    async def _hear_message(self, message: pdu.Message, connection: int) -> int:
        now_s = asyncio.get_running_loop().time()
        fresh_id = f"sms-{secrets.token_hex(12)}"
        heard = self.hearing.hear(message, connection, now_s, fresh_id)
        if len(self.hearing) > HEARD_MOST:
            self._over.set()
        status = pdu.SYSTEM_ERROR
        try:
            part = part_of(message)
            if part is not None:
                status = await self._hear_part(heard, message, part)
            elif not heard.is_known:
                await self._store.note(heard)
                text = shown(
                    alone(message), message.data_coding,
                    self._config.coding_0, self._config.coding_1,
                )  # fmt: skip
                await self._pass_on(heard.id, message.source, message.destination, text, message)
                heard.is_known = True
                status = pdu.OK
            else:
                status = pdu.OK
        finally:
            now_s = asyncio.get_running_loop().time()
            self.hearing.answered(heard, connection, now_s, is_ok=status == pdu.OK)
        return status

    async def _hear_part(self, heard: Heard, message: pdu.Message, part: Part) -> int:
        key = "/".join((message.source, message.destination, part.reference, str(part.total)))
        if not heard.is_known:
            other = self.reassembly.disagrees(key, part)
            if other is not None:
                await self._finish(other)
            whole = self.reassembly.waiting(key)
            if whole is None:
                if len(self.reassembly) >= HARD * self.reassembly.most or (
                    self.reassembly.octets >= HARD * self.reassembly.most_octets
                ):
                    return pdu.QUEUE_FULL
                now_s = asyncio.get_running_loop().time()
                ton, to_ton = message.source_ton, message.destination_ton
                whole = Whole(
                    key, heard.id, self._written(message.source, ton),
                    self._written(message.destination, to_ton), part.total, now_s,
                )  # fmt: skip
            await self._store.keep(heard, whole, part)
            self.reassembly.add(whole, part)
            heard.is_known = True
            self._over.set()
        whole = self.reassembly.waiting(key)
        if whole is not None and whole.is_complete:
            await self._finish(whole)
        return pdu.OK

    # -- to the router ---------------------------------------------------------------------------

    async def _finish(self, whole: Whole) -> None:
        """A long message goes on, complete or not. Raises what the router raises."""
        text = whole.text(self._config.coding_0, self._config.coding_1)
        try:
            await self._tell(whole.id, whole.source, whole.destination, text)
        except Refused:
            self.reassembly.remove(whole)  # it can never be taken
            await self._store.went_on(whole)
            raise
        self.reassembly.remove(whole)
        await self._store.went_on(whole)

    async def _pass_on(
        self, id_: str, source: str, destination: str, text: str, message: pdu.Message
    ) -> None:
        who = self._written(source, message.source_ton)
        await self._tell(id_, who, self._written(destination, message.destination_ton), text)

    async def _tell(self, id_: str, source: str, destination: str, text: str) -> None:
        contact = NewContact(
            external_id=id_,
            customer=Address(address=source),
            to=destination,
            entry_point=self._config.entry_point,
            message=NewMessage(id=id_, text=text),
        )
        await self._router.message(contact)
        self._questions.answer(pair(source, destination), text)

    async def watch(self) -> None:
        """Long messages that wait too long, or beyond the limits, go on as they are."""
        loop = asyncio.get_running_loop()
        expire_s = loop.time() + EXPIRE_S
        while True:
            now_s = loop.time()
            self._over.clear()
            pause_s = await self._finish_over(now_s)
            if now_s >= expire_s or len(self.hearing) > HEARD_MOST:
                self._forget(self.hearing.expire(now_s))
                expire_s = now_s + EXPIRE_S
            next_s = self.reassembly.next_s()
            wake_s = expire_s if next_s is None else min(expire_s, max(next_s, now_s + pause_s))
            if pause_s:
                await asyncio.sleep(pause_s)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(wake_s):
                    await self._over.wait()

    async def _finish_over(self, now_s: float) -> float:
        """Returns how long to wait before it is tried again, 0 = all went on."""
        over = self.reassembly.over(now_s)
        if len(over) > BATCH:
            self._over.set()  # the rest in the next round
        for whole in over[:BATCH]:
            try:
                async with asyncio.timeout(ROUTER_S), self._turn(whole.key.partition("/")[0]):
                    if self.reassembly.waiting(whole.key) is whole:
                        await self._finish(whole)
            except Refused as refused:
                log.warning("message refused", extra={"adapter": self.name, "code": refused.code})
            except (*TRY_AGAIN, TimeoutError, OSError, sqlite3.Error) as error:
                log.warning(
                    "a long message waits for the router",
                    extra={"adapter": self.name, "error": type(error).__name__},
                )
                return AGAIN_S
        return 0.0

    # -- receipts --------------------------------------------------------------------------------

    async def _hear_receipt(self, message: pdu.Message, centre: str) -> None:
        receipt = read_receipt(message)
        if receipt is None or not receipt.outcome:
            return
        is_delivered = receipt.outcome == "delivered"
        id_ = as_answered(receipt.id, self._config.receipt_ids)
        # 5.2.12: it comes from whom the message went to; some leave both as we had sent them.
        addresses = frozenset(map(trace, (message.source, message.destination))) - {""}
        sent = await self._sent(centre, id_, addresses)
        if sent is None or not sent.message:
            return
        sent = await self._store.told(centre, id_, sent, delivered=is_delivered)
        if is_delivered and not sent.is_whole:
            return
        told = (sent.contact, sent.message, receipt.outcome, receipt.detail)
        try:
            await self._facts.tell(sent.message, self._router.receipt, *told)
        except Refused as refused:
            log.debug("receipt refused", extra={"adapter": self.name, "code": refused.code})

    async def _sent(self, centre: str, id_: str, addresses: frozenset[str]) -> Sent | None:
        """The message that it is about; while some are being sent it may be known in a moment."""
        until_s = asyncio.get_running_loop().time() + EARLY_S
        while True:
            self._news.clear()
            found = await self._store.sent(centre, id_, addresses)
            if (found is not None and found.is_new) or not self._is_sending():
                return found
            try:
                async with asyncio.timeout_at(until_s):
                    await self._news.wait()
            except TimeoutError:
                return found

    # -- small -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn(self, source: str) -> AsyncIterator[None]:
        """One message of a customer at a time, in the order in which they came."""
        lock, count = self._in_order.get(source, (None, 0))
        lock = lock or asyncio.Lock()
        self._in_order[source] = (lock, count + 1)
        try:
            async with lock:
                yield
        finally:
            lock, count = self._in_order.pop(source)
            if count > 1:
                self._in_order[source] = (lock, count - 1)

    def _written(self, digits: str, ton: int) -> str:
        return written(digits, ton, unknown_is_international=self._config.international)

    def _forget(self, ids: list[str]) -> None:
        if ids:
            with suppress(ChannelError):  # too many tasks: they stay in the file until it is opened
                self._crew.start(self._store.forget(ids), "forget")


def pair(customer: str, ours: str) -> str:
    """The key of a question: who is asked, and from which of our addresses."""
    return f"{customer} {ours}"
