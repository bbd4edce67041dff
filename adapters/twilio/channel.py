"""One messaging account: what the router decides becomes messages, what comes back facts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from adapters import (
    Facts,
    Fence,
    Questions,
    Remembered,
    Sender,
    pieces,
    read_secret,
    read_settings,
    without_leg,
)
from adapters.twilio.codec import FINAL, TEXT, Incoming, Status, plain_and_kind, reason
from adapters.twilio.rest import Rest
from adapters.twilio.settings import Settings
from router.channel import (
    Address,
    Channel,
    ChannelError,
    ChannelLost,
    CollectFromContact,
    DeliverMessage,
    Delivery,
    EndContact,
    NewContact,
    NewMessage,
    Receipt,
    Router,
    StartContact,
    Task,
    TreatContact,
    UnknownOutcome,
)

AGAIN_S = 300.0
"""So long after a start, farewells and questions may come that were sent before it."""
LOOK_BACK = timedelta(minutes=15)
LOOK_EVERY_S = 0.5


class Twilio(Channel):
    """Customers' phones on one side, the router on the other."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        where = f"adapters.{name}"
        self.config = config = read_settings(Settings, settings, where)
        self.token = read_secret(config.token_file, f"{where}.token_file")
        user, secret = config.account, self.token
        if config.api_key_id:
            user = config.api_key_id
            secret = read_secret(config.api_key_file, f"{where}.api_key_file")
        self.rest = Rest(config, user, secret)
        self.facts = Facts(name)
        self.questions = Questions(router, self.facts)
        self.sender = Sender(
            router.state, most=config.waiting, at_once=config.at_once, patience_s=config.patience_s
        )
        self._fence = Fence()
        self._is_stopped = True
        self._began_s = 0.0
        self._done: Remembered[str, None] = Remembered()
        self._sent: Remembered[str, str] = Remembered()
        """SID of each part of an effect, by ``effect/part``, from the answer or a callback."""
        self._news = asyncio.Event()
        self._parts: Remembered[str, set[str]] = Remembered()
        """Delivered parts of messages that have more than one."""

    # -- what the supervisor calls ---------------------------------------------------------------

    async def run(self) -> None:
        """Make sure that the account can be used; serve until the provider cannot be reached."""
        self.router.state("starting")
        if self._is_stopped:
            self._began_s = asyncio.get_running_loop().time()
        self._is_stopped = False
        self.facts.go_on()
        try:
            await self.rest.open()
            self.sender.lost.clear()
            await self.rest.probe()
            self.router.state("up")
            await self.sender.watch(self.rest.probe, self.config.probe_s)
        except asyncio.CancelledError:
            self._is_stopped = True
            self.questions.stop()
            await self.facts.stop()
            raise
        finally:
            self.router.state("down")
            await self.rest.close()

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

    # -- what customers and the network do (called by inbound.py) --------------------------------

    async def arrive(self, incoming: Incoming) -> Receipt:
        """A customer wrote. Raises what the router raises; returns when it is durable."""
        number, _ = plain_and_kind(incoming.sender)
        contact = NewContact(
            external_id=incoming.id,
            customer=Address(address=number, name=incoming.name),
            to=incoming.to,
            entry_point=self.config.entry_point,
            message=NewMessage(id=incoming.id, text=incoming.text, attachments=incoming.media),
        )
        receipt = await self.router.message(contact)
        self.questions.answer(_pair(number, incoming.to), incoming.text)
        return receipt

    async def tell(self, status: Status, ids: dict[str, str]) -> None:
        """A state of a message of ours; `ids` came back with it. Raises what the router raises."""
        part, of = ids.get("part", "1"), ids.get("of", "1")
        self._note_sent(f"{ids.get('effect', '')}/{part}", status.id)
        contact, message = ids.get("contact", ""), ids.get("message", "")
        state = FINAL.get(status.state)
        if state is None or not contact or not message:
            return
        if state == "undelivered":
            detail = reason(status.error, status.state)
            await self._say(contact, message, "undelivered", detail)
        elif self._is_whole(message, part, of):
            await self._say(contact, message, "delivered")

    async def _say(self, contact: str, message: str, state: Delivery, detail: str = "") -> None:
        """Kept until it is taken, too: the provider says a state again for seconds, or never."""
        await self.facts.tell(message, self.router.receipt, contact, message, state, detail)

    def _is_whole(self, message: str, part: str, of: str) -> bool:
        if of == "1" or not of.isdecimal():
            return True
        parts = self._parts.setdefault(message, set())
        parts.add(part)
        return len(parts) >= int(of)

    # -- effects ---------------------------------------------------------------------------------

    async def _carry_out(self, task: Task) -> None:
        effect = task.effect
        match effect:
            case DeliverMessage(contact=contact, message=message):
                await self._send(task, task.text, {"contact": contact, "message": message})
            case TreatContact(kind="position"):
                pass  # each one would be a message that is paid for
            case TreatContact(text=text):
                await self._send(task, text)
            case EndContact(text=text):
                self.questions.withdraw(_pair(task.customer.address, self._ours(task)))
                if text and not await self._was_sent(task, text):
                    await self._send(task, text)
            case CollectFromContact():
                await self._ask(task, effect)
            case _:
                if isinstance(effect, StartContact):
                    self._to(task)
                without_leg(effect, self.router, self.facts)

    async def _ask(self, task: Task, effect: CollectFromContact) -> None:
        who = _pair(task.customer.address, self._ours(task))
        text = self.questions.put(who, task.external_id, effect)
        if not text or await self._was_sent(task, text):
            return
        try:
            await self._send(task, text)
        except BaseException:
            self.questions.withdraw(who)
            raise

    async def _send(self, task: Task, text: str, ids: dict[str, str] | None = None) -> None:
        """A text in as many parts as it needs, one after the other."""
        to, sender = self._to(task), self._ours(task)
        parts = pieces(text, TEXT)
        for number, part in enumerate(parts, 1):
            place = {"effect": task.id, "part": str(number), "of": str(len(parts)), **(ids or {})}
            callback = f"{self.config.public_url}/status?{urlencode(place)}"

            async def attempt(part: str = part, callback: str = callback, number: int = number,
                              ) -> None:  # fmt: skip
                await self._create(f"{task.id}/{number}", to, sender, part, callback)

            try:
                await self.sender.send(attempt)
            except UnknownOutcome:
                raise
            except ChannelError as error:
                if number == 1:
                    raise
                raise UnknownOutcome(f"{number - 1} of {len(parts)} parts went: {error}") from error

    async def _create(self, place: str, to: str, sender: str, text: str, callback: str) -> None:
        began = datetime.now(UTC)
        try:
            sid = await self.rest.create(to, sender, text, callback)
        except UnknownOutcome:
            sid = await self._resolve(place, to, text, began)
            if not sid:
                raise
        self._note_sent(place, sid)

    async def _resolve(self, place: str, to: str, text: str, since: datetime) -> str:
        """The SID of a message whose request was not answered, from whoever knows it first."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.config.resolve_s
        while loop.time() < until_s:
            if place in self._sent:
                return self._sent[place]
            try:
                async with asyncio.timeout_at(until_s):
                    found = await self.rest.search(to, text, since, set(self._sent.values()))
            except (ChannelError, TimeoutError):
                found = ""
            if found:
                return found
            self._news.clear()
            try:
                async with asyncio.timeout(min(LOOK_EVERY_S, max(0.0, until_s - loop.time()))):
                    await self._news.wait()
            except TimeoutError:
                pass
        return self._sent.get(place, "")

    async def _was_sent(self, task: Task, text: str) -> bool:
        """Soon after a start: whether this text went out before it. What is safe to repeat for the
        router is a second message for the customer.
        """
        if asyncio.get_running_loop().time() - self._began_s > AGAIN_S:
            return False
        since = datetime.now(UTC) - LOOK_BACK
        known = set(self._sent.values())
        last = pieces(text, TEXT)[-1]

        async def look() -> str:
            return await self.rest.search(self._to(task), last, since, known)

        return bool(await self.sender.send(look))

    def _to(self, task: Task) -> str:
        """The number, as our own address is written. Raises ChannelError: it is none."""
        number, kind = plain_and_kind(task.customer.address)
        kind = kind or plain_and_kind(self._ours(task))[1]
        digits = number.removeprefix("+")
        if not (digits.isascii() and digits.isdecimal() and 3 <= len(digits) <= 15):
            raise ChannelError("the customer has no number that can be written to")
        return kind + number

    def _ours(self, task: Task) -> str:
        return task.our_address or self.config.sender

    def _note_sent(self, place: str, sid: str) -> None:
        self._sent[place] = sid
        self._news.set()


def _pair(customer: str, ours: str) -> str:
    return f"{customer} {ours}"
