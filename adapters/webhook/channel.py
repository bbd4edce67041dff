"""A described backend: its calls become facts, what the router decides becomes requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import aiohttp

from adapters import (
    Crew,
    Facts,
    Fence,
    NotSent,
    Questions,
    Remembered,
    Sender,
    Throttled,
    bounded_body,
    http_trouble,
    pieces,
    read_secret,
    read_settings,
    retry_after,
    without_leg,
)
from adapters.webhook.reading import AnswerReader, MessageReader, ReceiptReader, Told, Written
from adapters.webhook.settings import Settings
from adapters.webhook.templates import Ready, Template
from adapters.webhook.verify import Gate
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
    Refused,
    Router,
    StartContact,
    Task,
    TreatContact,
    UnknownOutcome,
)

ANSWER_BYTES = 256 * 1024
CONNECT_S = 3.0
TYPING_AT_ONCE = 10


class Webhook(Channel):
    """Customers of one backend on one side, the router on the other."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        where = f"adapters.{name}"
        self.config = config = read_settings(Settings, settings, where)
        token_file = config.verify.challenge_token_file
        self.gate = Gate(
            config.verify,
            read_secret(config.verify.secret_file, f"{where}.verify.secret_file"),
            read_secret(token_file, f"{where}.verify.challenge_token_file") if token_file else "",
        )
        secrets = {
            key.removesuffix("_file"): read_secret(path, f"{where}.secrets.{key}")
            for key, path in config.secrets.items()
        }
        self._readers = [MessageReader(one) for one in config.messages]
        self._receipts = ReceiptReader(config.receipts) if config.receipts is not None else None
        self._template = Template(config.send, secrets)
        self._answers = AnswerReader(config.send.answers, config.send.message_id)
        self._typing = Template(config.typing, secrets) if config.typing is not None else None
        self.facts = Facts(name)
        self.typists = Crew(f"{name} typing", most=TYPING_AT_ONCE)
        self.questions = Questions(router, self.facts)
        self.sender = Sender(
            self._state, most=config.waiting, at_once=config.at_once, patience_s=config.patience_s
        )
        self._fence = Fence()
        self._is_stopped = True
        self._session: aiohttp.ClientSession | None = None
        self._done: Remembered[str, None] = Remembered()
        self._sent: Remembered[str, tuple[str, str]] = Remembered()
        """Contact and message by the backend's id, where receipts do not bring our reference."""
        self._customers: Remembered[str, str] = Remembered()
        """Who types what to whom: the customer of an external id."""

    # -- what the supervisor calls ---------------------------------------------------------------

    async def run(self) -> None:
        """Look whether anybody is there; serve until nobody is."""
        self.router.state("starting")
        self._is_stopped = False
        self.facts.go_on()
        try:
            self.sender.lost.clear()
            await self.look()
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self.config.timeout_s, connect=CONNECT_S)
            )
            self.router.state("up")
            await self.sender.watch(self.look, self.config.probe_s)
        except asyncio.CancelledError:
            self._is_stopped = True
            self.questions.stop()
            await self.typists.stop()
            await self.facts.stop()
            raise
        finally:
            self.router.state("down")
            session, self._session = self._session, None
            if session is not None:
                await session.close()

    async def look(self) -> None:
        """Whether anybody listens there. Raises ChannelLost."""
        host, port, is_tls = self._template.place
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(host, port, ssl=is_tls or None)
        except (OSError, TimeoutError) as error:
            raise ChannelLost("the backend cannot be reached") from error
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                await writer.wait_closed()

    async def perform(self, task: Task) -> None:
        """Send what the router decided."""
        self._fence.check(task.epoch)
        if self._is_stopped:
            raise ChannelLost(f"{self.name} is not running")
        if task.id in self._done:
            return
        if task.external_id:
            self._remember_customer(task.external_id, task.customer.address)
        await self._carry_out(task)
        self._done[task.id] = None

    async def find(self, task: Task) -> bool:
        """Whether this was carried out; what is asked here (a thread begins) may come again."""
        return task.id in self._done

    def agent_typing(self, external_id: str) -> None:
        """The customer sees it, where the backend has a request for it."""
        customer = self._customers.get(external_id)
        if self._typing is None or customer is None or self._session is None:
            return
        with suppress(ChannelError, ValueError):  # worth nothing later: no room, no matter
            values = {"customer": self._plain(customer), "ours": self._ours("")}
            self.typists.start(self._show_typing(self._typing.fill(values)), "typing")

    async def _show_typing(self, request: Ready) -> None:
        with suppress(ChannelError):
            await self._request(request)

    # -- what the backend says (called by inbound.py) --------------------------------------------

    def read(self, document: Any) -> list[Callable[[], Awaitable[object]]]:
        """What a call says, each as a call on the router. Raises ValueError."""
        said: list[Callable[[], Awaitable[object]]] = []
        for reader in self._readers:
            said += [partial(self._arrive, written) for written in reader.read(document)]
        if self._receipts is not None:
            said += [partial(self._tell, told) for told in self._receipts.read(document)]
        return said

    async def _arrive(self, written: Written) -> None:
        ours = self._ours(written.to)
        id_ = f"{self.name}/{written.id}"  # other backends of the channel may count from 1, too
        contact = NewContact(
            external_id=id_,
            customer=Address(address=written.sender, name=written.name),
            to=ours,
            entry_point=self.config.entry_point,
            attributes=written.attributes,
            message=NewMessage(id=id_, text=written.text, attachments=written.attachments),
        )
        receipt = await self.router.message(contact)
        if receipt.created:
            self._remember_customer(id_, written.sender)
        self.questions.answer(f"{written.sender} {ours}", written.text)

    async def _tell(self, told: Told) -> None:
        contact, slash, message = told.reference.partition("/")
        if not slash:
            contact, message = self._sent.get(told.message_id, ("", ""))
        if contact:
            with suppress(Refused):  # not known any more: nothing to say again
                said = (contact, message, told.state, told.reason)
                await self.facts.tell(message, self.router.receipt, *said)

    # -- effects ---------------------------------------------------------------------------------

    async def _carry_out(self, task: Task) -> None:
        effect = task.effect
        match effect:
            case DeliverMessage():
                await self._send(task, task.text)
            case TreatContact(kind="position"):
                pass  # a number that changes is no message in a thread that stays
            case TreatContact(text=text):
                await self._send(task, text)
            case EndContact(text=text):
                self.questions.withdraw(self._pair(task))
                await self._send(task, text)
            case CollectFromContact():
                await self._ask(task, effect)
            case _:
                if isinstance(effect, StartContact):
                    self._check(task)
                without_leg(effect, self.router, self.facts)

    async def _ask(self, task: Task, effect: CollectFromContact) -> None:
        text = self.questions.put(self._pair(task), task.external_id, effect)
        try:
            await self._send(task, text)
        except BaseException:
            self.questions.withdraw(self._pair(task))
            raise

    def _check(self, task: Task) -> None:
        """Raises ChannelError when nobody can be written to under this address."""
        self._fill(task, "x", 1)

    def _fill(self, task: Task, text: str, part: int) -> Ready:
        effect = task.effect
        contact = getattr(effect, "contact", "")
        message = effect.message if isinstance(effect, DeliverMessage) else ""
        if not task.customer.address:
            raise ChannelError("the customer has no address here")
        values = {
            "text": text,
            "customer": self._plain(task.customer.address),
            "name": task.customer.name,
            "ours": self._ours(task.our_address),
            "contact": contact,
            "message": message,
            "effect": task.id,
            "part": str(part),
            "reference": f"{contact}/{message}" if message else "",
        }
        try:
            return self._template.fill(values)
        except ValueError as error:
            raise ChannelError(str(error)) from error

    async def _send(self, task: Task, text: str) -> None:
        """A text in as many parts as it needs, one after the other."""
        parts = pieces(text, self.config.send.longest)
        for number, part in enumerate(parts, 1):
            request = self._fill(task, part, number)

            async def attempt(request: Ready = request) -> str:
                return await self._request_once(request)

            try:
                id_ = await self.sender.send(attempt)
            except UnknownOutcome:
                raise
            except ChannelError as error:
                if number == 1:
                    raise
                raise UnknownOutcome(f"{number - 1} of {len(parts)} parts went: {error}") from error
            # The last part's receipt is the message's.
            if id_ and number == len(parts) and isinstance(task.effect, DeliverMessage):
                self._sent[id_] = (task.effect.contact, task.effect.message)

    async def _request_once(self, request: Ready) -> str:
        """The backend's id of a message that it has accepted."""
        try:
            status, headers, body = await self._request(request)
            outcome = self._answers.read(status, body)
            if outcome.means == "unknown":
                raise UnknownOutcome(f"the backend answered {status}")
        except UnknownOutcome as error:
            if self.config.send.repeats:
                raise NotSent(str(error)) from error
            raise
        if outcome.means == "later":
            after_s = outcome.after_s
            if after_s < 0:
                after_s = retry_after(headers.get("Retry-After"))
            raise Throttled("the backend says: later", after_s)
        if outcome.means == "refused":
            raise ChannelError(outcome.reason)
        return outcome.message_id

    async def _request(self, request: Ready) -> tuple[int, Any, bytes]:
        if self._session is None:
            raise NotSent("not connected")
        try:
            async with self._session.request(
                request.method, request.url, data=request.body, headers=request.headers,
                allow_redirects=False,
            ) as response:  # fmt: skip
                return response.status, response.headers, await bounded_body(response, ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise http_trouble(error) from error

    def _state(self, state: str, detail: str) -> None:
        self.router.state(state, detail)

    # -- who is who ------------------------------------------------------------------------------

    def _plain(self, address: str) -> str:
        """The address as the backend has it."""
        return address.removeprefix(self._readers[0].prefix)

    def _ours(self, address: str) -> str:
        return address or self.config.to or self.name

    def _pair(self, task: Task) -> str:
        return f"{task.customer.address} {self._ours(task.our_address)}"

    def _remember_customer(self, external_id: str, address: str) -> None:
        self._customers[external_id] = address
