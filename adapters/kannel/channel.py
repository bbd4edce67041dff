"""A Kannel on one side, the router on the other."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any, Final

from adapters import (
    Facts,
    Fence,
    NotSent,
    Questions,
    Remembered,
    Sender,
    read_secret,
    read_settings,
    without_leg,
)
from adapters.kannel.codec import Incoming, Status, parts_of, sms, status_url
from adapters.kannel.said import Said
from adapters.kannel.sendsms import SendSms
from adapters.kannel.settings import Settings
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
    Receipt,
    Router,
    StartContact,
    Task,
    TreatContact,
    UnknownOutcome,
)

_SPACING: Final = str.maketrans("", "", " -()./\u00a0")


class Kannel(Channel):
    """Customers' phones, through Kannel."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        where = f"adapters.{name}"
        self.config = config = read_settings(Settings, settings, where)
        self.key = read_secret(config.key_file, f"{where}.key_file") if config.key_file else ""
        self.peers = [ipaddress.ip_network(peer) for peer in config.peers]
        self.out = SendSms(config, read_secret(config.password_file, f"{where}.password_file"))
        self.facts = Facts(name)
        self.questions = Questions(router, self.facts)
        self.sender = Sender(
            router.state, most=config.waiting, at_once=config.at_once, patience_s=config.patience_s
        )
        self._fence = Fence()
        self._serves = False
        self.said = Said(config.state_file)
        self._saying = asyncio.Lock()
        self._done: Remembered[str, None] = Remembered()
        self._tried: Remembered[str, None] = Remembered()
        """Effects of which Kannel may have something."""

    # -- what the supervisor calls ---------------------------------------------------------------

    async def run(self) -> None:
        """Serve until Kannel is gone; what it brings meanwhile is taken all the same."""
        self.router.state("starting")
        self.facts.go_on()
        try:
            if not self._serves:
                await self._recall()
            await self.out.open()
            self.sender.lost.clear()
            await self.out.probe()
            self._serves = True
            self.router.state("up")
            await self.sender.watch(self.out.probe, self.config.probe_s)
        except asyncio.CancelledError:
            self._serves = False
            self.questions.stop()
            await self.facts.stop()
            await self.out.close()
            raise
        finally:
            self.router.state("down")

    async def _recall(self) -> None:
        try:
            await asyncio.to_thread(self.said.load)
        except OSError as error:
            raise ChannelLost(f"state_file: {error.strerror}") from None

    async def perform(self, task: Task) -> None:
        """Send what the router decided."""
        self._fence.check(task.epoch)
        if not self._serves:
            raise ChannelLost(f"{self.name} is not running")
        if task.id in self._done:
            return
        if task.id in self._tried:
            raise UnknownOutcome("it may have been sent before")
        await self._carry_out(task)
        self._done[task.id] = None

    async def find(self, task: Task) -> bool:
        """Whether this was carried out; what is asked here (a thread begins) may come again."""
        if task.id in self._tried and task.id not in self._done:
            raise UnknownOutcome("it may have been sent before")
        return task.id in self._done

    # -- what Kannel brings (called by inbound.py) -----------------------------------------------

    async def arrive(self, incoming: Incoming) -> Receipt:
        """A customer wrote. Raises what the router raises; returns when it is durable."""
        contact = NewContact(
            external_id=incoming.id,
            customer=Address(address=incoming.sender),
            to=incoming.to,
            entry_point=self.config.entry_point,
            message=NewMessage(id=incoming.id, text=incoming.text),
        )
        receipt = await self.router.message(contact)
        self.questions.answer(_pair(incoming.sender, incoming.to), incoming.text)
        return receipt

    async def tell(self, status: Status) -> None:
        """What became of a message of ours. Raises what the router raises; kept until it is taken,
        because how often Kannel says it again is its own setting."""
        told = (status.contact, status.message, status.state, status.detail)
        await self.facts.tell(status.message, self.router.receipt, *told)

    # -- effects ---------------------------------------------------------------------------------

    async def _carry_out(self, task: Task) -> None:
        effect = task.effect
        match effect:
            case DeliverMessage(contact=contact, message=message):
                await self._send(task, task.text, contact, message)
            case TreatContact(kind="position"):
                pass  # each one would be a message that is paid for
            case TreatContact(text=text):
                await self._send(task, text)
            case EndContact(text=text):
                self.questions.withdraw(_pair(task.customer.address, task.our_address))
                if text and await self._is_first(f"end {effect.contact} {task.external_id}"):
                    await self._send(task, text)
            case CollectFromContact():
                await self._ask(task, effect)
            case _:
                if isinstance(effect, StartContact):
                    _number(task)
                without_leg(effect, self.router, self.facts)

    async def _ask(self, task: Task, effect: CollectFromContact) -> None:
        who = _pair(task.customer.address, task.our_address)
        text = self.questions.put(who, task.external_id, effect)
        try:
            if text and await self._is_first(f"ask {effect.contact} {effect.ask}"):
                await self._send(task, text)
        except BaseException:
            self.questions.withdraw(who)
            raise

    async def _is_first(self, key: str) -> bool:
        """Whether it was not said before, by this process or an earlier one."""
        try:
            async with self._saying:
                return await asyncio.to_thread(self.said.add, key)
        except OSError as error:
            raise ChannelError(f"state_file: {error.strerror}: nothing was sent") from None

    async def _send(self, task: Task, text: str, contact: str = "", message: str = "") -> None:
        """A text, whole: Kannel splits it. Handed over once."""
        if not text:
            return
        if (parts := parts_of(text)) > self.config.parts:
            raise ChannelError(f"the text needs {parts} messages, and may have {self.config.parts}")
        sender = task.our_address or self.config.sender
        if not sender:
            raise ChannelError("our address is none")
        wanted = bool(message and self.config.public_url)
        told = status_url(self.config.public_url, self.key, contact, message) if wanted else ""
        params = sms(text, _number(task), sender, told)

        async def attempt() -> None:
            self._tried[task.id] = None
            try:
                await self.out.send(params)
            except UnknownOutcome:
                raise
            except ChannelError:
                del self._tried[task.id]  # it is known that nothing was taken
                raise

        try:
            await self.sender.send(attempt)
        except NotSent as error:
            raise ChannelError(str(error)) from None


def _number(task: Task) -> str:
    """The customer's number. Raises ChannelError: it is none."""
    number = task.customer.address.translate(_SPACING)
    digits = number.removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and 3 <= len(digits) <= 20):
        raise ChannelError("the customer has no number that can be written to")
    return number


def _pair(customer: str, ours: str) -> str:
    return f"{customer} {ours}"
