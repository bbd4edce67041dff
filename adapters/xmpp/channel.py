"""An XMPP component: what customers write becomes facts, what the router decides stanzas."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree as ET

from slixmpp.jid import JID, InvalidJID

from adapters import (
    TRY_AGAIN,
    Bucket,
    Crew,
    Facts,
    Fence,
    Questions,
    Remembered,
    insist,
    read_secret,
    read_settings,
    without_leg,
)
from adapters.xmpp import stanzas
from adapters.xmpp.link import Link
from adapters.xmpp.receipts import Receipts
from adapters.xmpp.settings import Settings
from adapters.xmpp.stanzas import Said
from router.channel import (
    Address,
    Channel,
    ChannelError,
    ChannelLost,
    CollectFromContact,
    DeliverMessage,
    EndContact,
    NewContact,
    NewMessage,
    OutcomeUnknown,
    Refused,
    Router,
    StartContact,
    Task,
    TreatContact,
    UnknownOutcome,
)

PAUSED_S = 6.0
"""So long is an agent who says nothing more shown as typing."""
UNKNOWN_FOR_S = 10.0
"""So long is the router asked again before a customer hears that it did not work."""


class _Customer:
    """One person, writing to one address of ours."""

    __slots__ = ("bucket", "external_id", "paused", "shows_states")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.external_id = ""
        """Of the contact that is open; empty: not known."""
        self.shows_states = False
        """Their client has sent a chat state: only then may we (XEP-0085 5.1)."""
        self.paused: asyncio.TimerHandle | None = None


class Xmpp(Channel):
    """Anybody on XMPP on one side, the router on the other."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        where = f"adapters.{name}"
        self.config = read_settings(Settings, settings, where)
        self._secret = read_secret(self.config.secret_file, f"{where}.secret_file")
        self.crew = Crew(name, most=2 * self.config.incoming)
        """Those whose messages are being taken."""
        self.facts = Facts(name)
        self.questions = Questions(router, self.facts)
        self._receipts = Receipts(self.config.jid, router, self.facts)
        self.held = 0
        """Messages to customers under way."""
        self._link: Link | None = None
        self._up = asyncio.Event()
        self._is_stopped = True
        self._fence = Fence()
        self._done: Remembered[str, None] = Remembered()
        self._failed: dict[str, str] = {}
        """Condition by id, of messages under way that came back."""
        self._under_way: dict[str, str] = {}
        """By id: to whom it goes."""
        self._lanes: dict[str, deque[Said]] = {}
        """Messages that wait for the router, in order for each person."""
        self._waiting = 0
        self._customers: Remembered[tuple[str, str], _Customer] = Remembered()
        self._by_contact: Remembered[str, tuple[str, str]] = Remembered()
        """(person, our address) by external id: whom to show that the agent types."""

    # -- what the supervisor calls ---------------------------------------------------------------

    async def run(self) -> None:
        """Connect, serve until the stream ends."""
        self.router.state("starting")
        self._is_stopped = False
        self.facts.go_on()
        link = Link(self.config, self._secret, self._hear, self._presence)
        try:
            await link.open(self.config.connect_s)
            await link.echo(self.config.answer_s)
            self._link = link
            self._up.set()
            self.router.state("up")
            while not link.lost.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.config.alive_s):
                        await link.lost.wait()
                if not link.lost.is_set():
                    await link.echo(self.config.answer_s)
            raise ChannelLost(link.why)
        except asyncio.CancelledError:
            self._is_stopped = True
            raise
        finally:
            self._up.clear()
            self._link = None
            self.router.state("down")
            await link.close()
            if self._is_stopped:
                self.questions.stop()
                await self.crew.stop()
                await self.facts.stop()

    async def perform(self, task: Task) -> None:
        """Send what the router decided."""
        self._fence.check(task.epoch)
        if self._is_stopped:
            raise ChannelLost(f"{self.name} is not running")
        if task.id in self._done:
            return
        await self._carry_out(task)
        self._done[task.id] = None

    async def find(self, task: Task) -> bool:
        """Whether this was carried out; what is asked here (a thread begins) may come again."""
        return task.id in self._done

    def agent_typing(self, external_id: str) -> None:
        """The customer's client shows it, if it has shown that it understands."""
        pair = self._by_contact.get(external_id)
        customer = self._customers.get(pair) if pair is not None else None
        if pair is None or customer is None or not customer.shows_states:
            return
        self._show(pair, "composing")
        if customer.paused is not None:
            customer.paused.cancel()
        loop = asyncio.get_running_loop()
        customer.paused = loop.call_later(PAUSED_S, self._show, pair, "paused")

    def _show(self, pair: tuple[str, str], state: str) -> None:
        if self._link is not None:
            with suppress(ChannelLost):
                self._link.send(stanzas.state(*pair, state))

    # -- what customers do -----------------------------------------------------------------------

    def _hear(self, said: Said) -> None:
        """A message stanza, as it comes."""
        if said.kind == "error":
            self._bounced(said)
        elif said.received:
            self._receipts.told(said.received, _bare(said.sender), "delivered")
        elif said.kind in ("chat", "normal"):
            person, ours = _pair(said)
            if not person or not ours:
                return
            customer = self._customer(person, ours)
            customer.shows_states = customer.shows_states or bool(said.state)
            if said.body or said.urls:
                self._queue(person, said, customer)
            elif said.state == "composing" and customer.external_id:
                self.router.typing(customer.external_id)
            elif said.state == "gone" and customer.external_id:
                self._gone(customer)

    def _queue(self, person: str, said: Said, customer: _Customer) -> None:
        """In order for each person; beyond the bounds they hear that they should wait."""
        now_s = asyncio.get_running_loop().time()
        if self._waiting >= self.config.incoming or customer.bucket.take(now_s) > 0:
            self._answer(stanzas.refusal(said, "wait", "resource-constraint"))
            return
        self._waiting += 1
        lane = self._lanes.get(person)
        if lane is not None:
            lane.append(said)
            return
        self._lanes[person] = deque([said])
        try:
            self.crew.start(self._serve(person), "messages")
        except ChannelError:  # full: a lane that nobody serves would hold them up for good
            del self._lanes[person]
            self._waiting -= 1
            self._answer(stanzas.refusal(said, "wait", "resource-constraint"))

    async def _serve(self, person: str) -> None:
        lane = self._lanes[person]
        try:
            while lane:
                await self._arrive(lane[0])
                lane.popleft()
                self._waiting -= 1
        finally:
            self._waiting -= len(lane)
            del self._lanes[person]
            for said in lane:  # we stop, or are at fault: they are told, and may say it again
                self._answer(stanzas.refusal(said, "wait", "resource-constraint"))

    async def _arrive(self, said: Said) -> None:
        """A message: acknowledged when it is durable, refused when it is not."""
        person, ours = _pair(said)
        id_ = f"{self.name}/{stanzas.identity(said) or secrets.token_hex(16)}"
        contact = NewContact(
            external_id=id_,
            customer=Address(address=person),
            to=ours,
            entry_point=self.config.entry_point,
            message=NewMessage(
                id=id_,
                text=said.body,
                attachments=tuple({"url": url} for url in said.urls),
            ),
        )
        try:
            receipt = await insist(
                lambda: self.router.message(contact), on=(OutcomeUnknown,), for_s=UNKNOWN_FOR_S
            )
        except TRY_AGAIN:
            self._answer(stanzas.refusal(said, "wait", "resource-constraint"))
        except Refused:
            self._answer(stanzas.refusal(said, "modify", "not-acceptable"))
        else:
            if receipt.created:
                self._know(id_, person, ours)
            if said.asks_receipt and said.id:
                self._answer(stanzas.receipt(said))
            self.questions.answer(f"{person} {ours}", said.body)

    def _gone(self, customer: _Customer) -> None:
        """They have ended the conversation (XEP-0085 5.2)."""
        external_id, customer.external_id = customer.external_id, ""
        self._by_contact.pop(external_id, None)
        with suppress(ChannelError):  # too many facts wait: the log says so
            self.facts.later(external_id, self.router.left, external_id, "gone")

    def _bounced(self, said: Said) -> None:
        """A message of ours came back: while it is waited for, or later as a receipt."""
        person = self._under_way.get(said.id)
        if person is not None:
            # Ids can be guessed: only who was written to, or a server on the way, may say this.
            if _bare(said.sender) in (person, person.partition("@")[2], self.config.jid):
                self._failed[said.id] = said.error
        else:
            self._receipts.told(said.id, _bare(said.sender), "undelivered", said.error)

    def _presence(self, xml: ET.Element) -> None:
        """Whoever wants to see us may, and we are there (RFC 6121 3.1.3, 4.3)."""
        kind, sender, to = xml.get("type", ""), xml.get("from", ""), xml.get("to", "")
        if kind in ("subscribe", "probe") and sender and to:
            ours = _bare(to)
            if kind == "subscribe":
                self._answer(stanzas.presence(_bare(sender), ours, "subscribed"))
            self._answer(stanzas.presence(sender, ours))

    def _answer(self, stanza: str) -> None:
        if self._link is not None:
            with suppress(ChannelLost):  # they will say it again, or ask again
                self._link.send(stanza)

    # -- effects ---------------------------------------------------------------------------------

    async def _carry_out(self, task: Task) -> None:
        effect = task.effect
        match effect:
            case DeliverMessage(contact=contact, message=message):
                await self._send(task, task.text, f"{contact}/{message}")
            case TreatContact(kind="position"):
                pass  # a number that changes is no message in a thread that stays
            case TreatContact(text=text):
                await self._send(task, text, f"e/{task.id}")
            case EndContact(text=text):
                self.questions.withdraw(" ".join(self._addresses(task)))
                if text:
                    await self._send(task, text, f"e/{task.id}")
                self._forget(task)
            case CollectFromContact():
                await self._ask(task, effect)
            case _:
                if isinstance(effect, StartContact):
                    self._addresses(task)
                without_leg(effect, self.router, self.facts)

    async def _ask(self, task: Task, effect: CollectFromContact) -> None:
        who = " ".join(self._addresses(task))
        text = self.questions.put(who, task.external_id, effect)
        if text:
            try:
                await self._send(task, text, f"e/{task.id}")
            except BaseException:
                self.questions.withdraw(who)
                raise

    async def _send(self, task: Task, text: str, id_: str) -> None:
        if self.held >= self.config.waiting:
            raise ChannelError(f"{self.config.waiting} messages are under way: no more are taken")
        person, ours = self._addresses(task)
        if task.external_id and not isinstance(task.effect, EndContact):
            self._know(task.external_id, person, ours)
        self.held += 1
        try:
            await self._deliver(stanzas.message(person, ours, id_, text), id_, person)
        finally:
            self.held -= 1

    async def _deliver(self, stanza: str, id_: str, person: str) -> None:
        """Write it, and wait until the server has processed it."""
        self._under_way[id_] = person
        self._receipts.sent(id_, person)
        try:
            link = await self._write(stanza)
            try:
                # Twice: after the first the server has processed the message, after the second it
                # has written what it processed then. A server killed between the two loses it.
                await link.echo(self.config.answer_s)
                if id_ not in self._failed:
                    await link.echo(self.config.answer_s)
            except ChannelLost as error:
                raise UnknownOutcome(f"sent, then: {error}") from error
            condition = self._failed.get(id_)
            if condition is not None:
                raise ChannelError(f"the server refused it: {condition}")
        finally:
            self._under_way.pop(id_, None)
            self._failed.pop(id_, None)

    async def _write(self, stanza: str) -> Link:
        """Write it now, or when the connection is back. Raises ChannelError: it was not written."""
        try:
            async with asyncio.timeout(self.config.patience_s):
                while True:
                    await self._up.wait()
                    link = self._link
                    if link is not None:
                        with suppress(ChannelLost):
                            link.send(stanza)
                            return link
                    await asyncio.sleep(0.05)  # lost, and `run` has not noticed yet
        except TimeoutError:
            raise ChannelError("not connected: nothing was sent") from None

    # -- who is who ------------------------------------------------------------------------------

    def _addresses(self, task: Task) -> tuple[str, str]:
        """(customer, ours), both bare. Raises ChannelError: it cannot be written to."""
        person = _bare(task.customer.address)
        ours = _bare(task.our_address or f"{self.config.sender}@{self.config.jid}")
        if not person or not ours:
            raise ChannelError("the customer has no address on XMPP")
        return person, ours

    def _customer(self, person: str, ours: str) -> _Customer:
        found = self._customers.get((person, ours))
        if found is None:
            found = _Customer(Bucket(self.config.per_s, self.config.burst))
            self._customers[person, ours] = found
        else:
            self._customers.move_to_end((person, ours))
        return found

    def _know(self, external_id: str, person: str, ours: str) -> None:
        self._customer(person, ours).external_id = external_id
        self._by_contact[external_id] = (person, ours)

    def _forget(self, task: Task) -> None:
        pair = self._by_contact.pop(task.external_id, None)
        customer = self._customers.get(pair) if pair is not None else None
        if customer is not None and customer.external_id == task.external_id:
            customer.external_id = ""


def _bare(address: str) -> str:
    """Without resource, in the one written form (RFC 7622); empty for what is no address."""
    try:
        jid = JID(address)
    except InvalidJID:
        return ""
    return str(jid.bare) if jid.domain and len(jid.bare) <= 1_023 else ""


def _pair(said: Said) -> tuple[str, str]:
    return _bare(said.sender), _bare(said.to)
