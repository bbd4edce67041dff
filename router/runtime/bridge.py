"""What an adapter in this process may say: `router.channel.Router` over a workspace.

Everything an adapter says becomes a command; it returns when that is durable.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from router.channel import (
    Delivery,
    Line,
    NewContact,
    Receipt,
    RouteAnswer,
    RouteRequest,
    Teller,
)
from router.core import commands as c
from router.core.events import RouteAnswered
from router.core.model import Contact, ContactId, ContactState, QueueId, ReservationId
from router.errors import JournalFailed, NotFound, Overloaded, Refused, StoreFull
from router.runtime.attachments import entries
from router.runtime.envelope import message_id
from router.runtime.intake import Intake, requirements_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from router.core.commands import Command
    from router.runtime.loop import Answer, Workspace
    from router.runtime.messages import Messages

AGAIN_S = 5.0
RECEIPTS = 1_000
"""Messages whose receipt is remembered: backends tell the same one again."""


P = ParamSpec("P")
T = TypeVar("T")


def _or_later(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """What the store could not read or write now may be said again: the adapter hears Overloaded.

    What asks before it commits (a receipt: for its message) finds a store that is away while
    reading, and no adapter knows the journal's errors.
    """

    @wraps(call)
    async def called(*args: P.args, **named: P.kwargs) -> T:
        try:
            return await call(*args, **named)
        except (JournalFailed, StoreFull) as error:
            raise Overloaded(str(error), AGAIN_S) from error

    return called


class Bridge:
    """One adapter's view of its workspace."""

    def __init__(
        self,
        name: str,
        channel: str,
        workspace: Workspace,
        intake: Intake,
        *,
        messages: Messages,
        is_mine: Callable[[Contact], bool],
        on_state: Callable[[str, str], None],
        on_live: Callable[[list[str]], list[str] | None],
        on_typing: Callable[[Contact], None],
    ) -> None:
        self._name = name
        self._channel = channel
        self._workspace = workspace
        self._intake = intake
        self._messages = messages
        self._is_mine = is_mine
        self._on_state = on_state
        self._on_live = on_live
        self._on_typing = on_typing
        self._receipts: OrderedDict[str, Delivery] = OrderedDict()

    @_or_later
    async def submit(self, contact: NewContact) -> Receipt:
        """A contact arrives."""
        receipt, _ = await self._intake.submit(contact, self._channel, adapter=self._name)
        return receipt

    def begin(self, contact: NewContact, teller: Teller) -> bool:
        """A contact arrives; the teller hears of it."""
        asker = _Submission(self._intake, teller)
        try:
            return self._intake.begin(contact, self._channel, asker, adapter=self._name)
        except StoreFull as error:
            raise Overloaded(str(error), AGAIN_S) from error

    @_or_later
    async def message(self, contact: NewContact) -> Receipt:
        """A message arrives: joins the open contact between these addresses."""
        return await self._intake.message(contact, self._channel, adapter=self._name)

    @_or_later
    async def left(self, external_id: str, reason: str = "") -> None:
        """The customer is gone. One who was being served has ended the contact."""
        contact = await self._find(external_id)
        if contact is not None:
            await self._over(contact, reason, is_served=contact.state is ContactState.ACTIVE)

    @_or_later
    async def ended(self, external_id: str, reason: str = "") -> None:
        """Agent and customer are done."""
        contact = await self._find(external_id)
        if contact is not None:
            await self._over(contact, reason, is_served=contact.state is not ContactState.QUEUED)

    async def connected(self, reservation: str) -> None:
        """The agent's leg is up."""
        await self._ask(c.ConnectReservation(reservation=ReservationId(reservation)))

    async def failed(self, reservation: str, reason: str, *, busy: bool = False) -> None:
        """The agent's leg failed."""
        id_ = ReservationId(reservation)
        await self._ask(c.FailReservation(reservation=id_, reason=reason, busy=busy))

    async def hung_up(self, reservation: str, reason: str = "") -> None:
        """The agent's leg was up, and the agent hung up."""
        await self._ask(c.AgentHungUp(reservation=ReservationId(reservation), reason=reason))

    async def monitor_ended(self, monitor: str, reason: str = "") -> None:
        """A supervisor hung up, or was not reached."""
        await self._ask(c.EndMonitor(monitor=monitor, reason=reason or "hung_up"))

    async def recording_ended(self, recording: str, reason: str = "") -> None:
        """The backend does not record (any more)."""
        await self._ask(c.FailRecording(recording=recording, reason=reason))

    @_or_later
    async def collected(
        self, external_id: str, name: str, value: str, *, ask: str = "", timed_out: bool = False
    ) -> None:
        """What play-and-collect got."""
        contact = await self._find(external_id)
        if contact is not None:
            await self._ask(
                c.ReportInput(
                    contact=contact.id, name=name, value=value, ask=ask, timed_out=timed_out
                )
            )

    @_or_later
    async def attach(
        self, data: bytes, *, name: str, kind: str = "", role: str = "attachment"
    ) -> dict[str, Any]:
        """Keep a file that came with a message."""
        if self._messages.files is None:
            raise Refused("no_attachments", "this server keeps no files")
        return await self._messages.files.keep(data, name=name, kind=kind, role=role)

    @_or_later
    async def discard(self, attachment: dict[str, Any]) -> None:
        """Remove a file that no message has named."""
        if self._messages.files is not None:
            await self._messages.files.erase([entry.id for entry in entries((attachment,))])

    @_or_later
    async def receipt(self, contact: str, message: str, state: Delivery, detail: str = "") -> None:
        """What the network said of a message that went out."""
        found = await self._intake.contact(contact)
        if found is None or not self._is_mine(found):
            raise NotFound("contact", contact)
        sent = await self._messages.one(contact, message)
        if sent is None or sent.sender == "customer":
            raise NotFound("message", message)
        if self._receipts.get(message) == state:
            return
        await self._ask(
            c.SettleEffect(
                effect="",  # carried out long ago: its row is gone
                result=state,
                contact=found.id,
                message=message,
                reason=detail[:200],
            )
        )
        self._receipts[message] = state
        while len(self._receipts) > RECEIPTS:
            self._receipts.popitem(last=False)

    async def started(self, contact: str, external_id: str) -> None:
        """An outbound contact exists at the backend under this id."""
        await self._ask(c.LinkContact(contact=ContactId(contact), external_id=external_id))

    async def route(self, request: RouteRequest) -> RouteAnswer:
        """Where should this go? Raises Refused when no queue can be named."""
        point = self._intake.entry_point(
            self._channel, request.entry_point, request.to, self._name, request.queue
        )
        identities = self._workspace.customers.identities
        who, _ = identities.peer(self._channel, request.customer.address, "")
        answer = await self._ask(
            c.AskRoute(
                request=request.request or message_id(self._workspace.now_us()),
                channel=self._channel,
                entry_point=point.id if point else "",
                queue=QueueId(request.queue),
                requirements=requirements_of(request.requirements),
                attributes=request.attributes,
                customer=who,
            )
        )
        found = next(event for event in answer.events if isinstance(event, RouteAnswered))
        return RouteAnswer(
            queue=found.queue,
            open=found.open,
            wait_us=found.wait_us,
            position=found.position,
            eligible=found.eligible,
            requirements=dict(found.requirements),
            attributes=found.attributes,
            deflect=found.deflect,
        )

    async def live(self, external_ids: list[str]) -> None:
        """These contacts exist at the backend, no others."""
        all_ids = self._on_live(external_ids)
        if all_ids is not None:
            await self._ask(c.ReportLive(channel=self._channel, external_ids=tuple(all_ids)))

    @_or_later
    async def open(self) -> list[tuple[str, str]]:
        """This adapter's contacts that the router still has."""
        await self._workspace.settled()
        return [
            (contact.external_id, contact.state.value)
            for contact in self._workspace.engine.state.contacts.values()
            if contact.channel == self._channel and contact.external_id and self._is_mine(contact)
        ]

    @_or_later
    async def history(self, external_id: str, limit: int = 50) -> list[Line]:
        """What was said, oldest first. Raises NotFound for an id that is none of this adapter's."""
        id_: str | None = self._intake.find(self._channel, external_id)
        if id_ is None:
            known = await self._intake.closed_by_external(self._channel, external_id)
            id_ = known.contact if known is not None else None
        contact = await self._intake.contact(id_) if id_ is not None else None
        if contact is None or not self._is_mine(contact):
            raise NotFound("contact", external_id)
        return [
            Line(
                id=message.id,
                author=message.sender,
                at_us=message.at_us,
                text=message.text,
                backend_id=message.external if message.sender == "customer" else "",
                subject=message.subject,
            )
            for message in await self._messages.last(contact.id, limit)
            if not message.erased
        ]

    def typing(self, external_id: str) -> None:
        """The customer types: whoever serves the contact sees it."""
        id_ = self._intake.find(self._channel, external_id)
        contact = self._workspace.engine.state.contacts.get(id_ or ContactId(""))
        if contact is not None and contact.state is ContactState.ACTIVE:
            self._on_typing(contact)

    def state(self, state: str, detail: str = "") -> None:
        """How the adapter is."""
        self._on_state(state, detail)

    async def _find(self, external_id: str) -> Contact | None:
        """The live contact; None for one that is closed. Raises NotFound for one never heard of."""
        id_ = self._intake.find(self._channel, external_id)
        contact = self._workspace.engine.state.contacts.get(id_ or ContactId(""))
        if contact is None:
            known = await self._intake.closed_by_external(self._channel, external_id)
            if known is None and id_ is None:
                raise NotFound("contact", external_id)
        return contact

    async def _over(self, contact: Contact, reason: str, *, is_served: bool) -> None:
        """Complete what is served, abandon what waits; it may change between looking and asking."""
        complete = c.CompleteContact(contact=contact.id, reason=reason or "customer_ended")
        abandon = c.AbandonContact(contact=contact.id, reason=reason)
        commands: list[Command] = [complete, abandon] if is_served else [abandon, complete]
        try:
            await self._ask(commands[0])
        except Refused:
            if contact.id in self._workspace.engine.state.contacts:
                await self._ask(commands[1])

    async def _ask(self, command: Command) -> Answer:
        try:
            return await self._workspace.ask(command)
        except StoreFull as error:
            raise Overloaded(str(error), AGAIN_S) from error


class _Submission:
    """Passes the loop's answer on to an adapter, in the adapter's words."""

    __slots__ = ("_intake", "_is_done", "_teller")

    def __init__(self, intake: Intake, teller: Teller) -> None:
        self._intake = intake
        self._teller = teller
        self._is_done = False

    def done(self) -> bool:
        """Has it been told?"""
        return self._is_done

    def set_result(self, answer: Answer, /) -> None:
        """The contact is durable."""
        self._is_done = True
        self._teller.submitted(self._intake.receipt_of(answer))

    def set_exception(self, error: Exception, /) -> None:
        """It was refused, or nobody knows what came of it."""
        self._is_done = True
        self._teller.refused(
            Overloaded(str(error), AGAIN_S) if isinstance(error, StoreFull) else error
        )
