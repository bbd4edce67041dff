"""How contacts and messages come in, whoever brings them: an adapter, the HTTP API, a desk.

Seals addresses and texts, finds the entry point, recognises what was said before (the same external
id, the same message), and knows contacts that are closed already.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from router.channel import NewContact, NewMessage, Receipt
from router.core import commands as c
from router.core.facts import Outbound
from router.core.model import (
    AgentId,
    Contact,
    ContactId,
    ContactState,
    Direction,
    QueueId,
    Requirements,
)
from router.core.policy import EntryPoint, Policy
from router.core.record import Value
from router.errors import Invalid, RouterError
from router.journal import ArchiveWrite
from router.runtime.envelope import Envelope, contact_id, seal_new
from router.runtime.keywords import asked_in, hear
from router.runtime.loop import shed_class
from router.runtime.replies import Replies
from router.runtime.seen import Seen
from router.runtime.tasks import spawn
from router.runtime.tracing import Trail

if TYPE_CHECKING:
    from router.runtime.loop import Answer, Asker, Workspace
    from router.runtime.messages import Messages


class Routing(Value, kw_only=True):
    """What a trusted caller may say beyond what an adapter sees; an adapter leaves it alone."""

    direction: Direction = Direction.INBOUND
    queue: str = ""
    customer: str = ""
    segment: str = ""
    tier: int | None = None
    head_start_us: int = 0
    not_before_us: int = 0
    not_after_us: int = 0
    prefer_agent: str = ""
    prefer_us: int = 0
    target_agent: str = ""
    watched: bool = False
    outbound: Outbound | None = None


DEFAULT = Routing()
REFILL_EVERY = 256
"""Keys handed out between two looks at whether the next block must be made."""
log = logging.getLogger("router.intake")


class Intake:
    """Brings contacts and messages into one workspace."""

    def __init__(self, workspace: Workspace, messages: Messages) -> None:
        self._workspace = workspace
        self._messages = messages
        self._entry_points = _EntryPoints(workspace.policy)
        self._place = workspace.veil.external
        """The archive id of an external id."""
        self._seen = Seen("external", now=self._place_of)
        self._received = Seen("received", now=self._came_of)
        workspace.on_closed.append(self._note_closed)
        self._keys_used = 0
        self._refill: asyncio.Task[None] | None = None
        self._under_way: dict[tuple[str, str], asyncio.Future[Receipt]] = {}
        """Messages whose commit is not done: the same one again waits for the first."""
        self._replies = Replies(workspace, messages, self._received, self._new_key)
        self.trail: Trail | None = None  # where somebody wants traces

    async def load(self) -> None:
        """Learn what the archive knows, beside everything else."""
        await self._seen.load(self._workspace)
        await self._received.load(self._workspace)

    def _note_closed(self, closed: list[Contact]) -> None:
        for contact in closed:
            if contact.external_id:
                self._seen.add(self._place(contact.channel, contact.external_id))

    def _place_of(self, id_: str) -> str:
        """The place of a stored external id; earlier versions wrote ``channel/id``."""
        channel, is_old, external_id = id_.partition("/")
        return self._place(channel, external_id) if is_old else id_

    def _came_of(self, id_: str) -> str:
        channel, is_old, message = id_.partition("/")
        return self._messages.received(channel, message) if is_old else id_

    # --- arrivals -----------------------------------------------------------------------------

    async def submit(
        self,
        new: NewContact,
        channel: str,
        *,
        adapter: str = "",
        by: str = "",
        routing: Routing = DEFAULT,
        archive: tuple[ArchiveWrite, ...] = (),
    ) -> tuple[Receipt, Answer | None]:
        """A contact arrives, durable when it returns; one external id is one contact.

        The answer is None when the contact was closed already. Raises what `Workspace.ask` raises.
        """
        # `known` without its coroutine: nearly all arrivals bring an id that nobody has had.
        if new.external_id and self._seen.may_hold(self._place(channel, new.external_id)):
            known = await self.known(new, channel)
            if known is not None:
                return known, None
        self._workspace.admit(shed_class(channel))  # before a key is used and anything sealed
        if self._refill is not None:
            await self.keys_ready()
        command, rows = self.command(new, channel, adapter=adapter, by=by, routing=routing)
        if archive:
            rows.extend(archive)
        answer = await self._workspace.put(command, rows, shed=shed_class(channel))
        return self.receipt_of(answer), answer

    def begin(
        self,
        new: NewContact,
        channel: str,
        asker: Asker,
        *,
        adapter: str = "",
        by: str = "",
        routing: Routing = DEFAULT,
    ) -> bool:
        """As `submit`, for who need not wait: `asker` is told the answer.

        False: nothing was done: the archive must be asked or a key waited for, as `submit` does.
        Raises what `Workspace.begin` raises.
        """
        if new.external_id and self._seen.may_hold(self._place(channel, new.external_id)):
            return False
        self._workspace.admit(shed_class(channel))
        if self._refill is not None and self._keys_used > REFILL_EVERY:
            return False
        command, rows = self.command(new, channel, adapter=adapter, by=by, routing=routing)
        self._workspace.begin(command, rows, asker, shed=shed_class(channel))
        return True

    async def known(self, new: NewContact, channel: str) -> Receipt | None:
        """The closed contact that an arrival would begin a second time."""
        if not self._seen.may_hold(self._place(channel, new.external_id)):
            return None
        return await self.closed_by_external(channel, new.external_id)

    def receipt_of(self, answer: Answer) -> Receipt:
        """What a submission has come to; to be asked right after its answer."""
        return self._receipt(answer.contact, created=bool(answer.events))

    async def message(
        self, new: NewContact, channel: str, *, adapter: str = "", by: str = ""
    ) -> Receipt:
        """A message arrives: it joins the open contact with this external id, or else the one
        between these two addresses, or begins one.

        The same message id twice is the same message. Raises Invalid without a message.
        """
        message = new.message
        if message is None:
            raise Invalid("no_message", "a message was expected, got a contact without one")
        place = (channel, message.id)
        if message.id and (first := self._under_way.get(place)) is not None:
            return msgspec.structs.replace(await asyncio.shield(first), created=False)
        done: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        if message.id:
            self._under_way[place] = done
        try:
            receipt = await self._message(new, message, channel, adapter, by)
        except BaseException as error:
            done.set_exception(error) if isinstance(error, Exception) else done.cancel()
            raise
        else:
            done.set_result(receipt)
            return receipt
        finally:
            self._under_way.pop(place, None)

    async def _message(
        self, new: NewContact, message: NewMessage, channel: str, adapter: str, by: str
    ) -> Receipt:
        place = self._messages.received(channel, message.id) if message.id else ""
        if place and self._received.may_hold(place):
            known = await self._messages.receiver(channel, message.id)
            if known:
                return await self.receipt(known)
        await self.keys_ready()
        command, archive = self.command(new, channel, adapter=adapter, by=by, listens=False)
        heard = hear(self._workspace, self._messages, command, message)
        if heard is not None:
            archive += heard[1]
        if place:
            state = self._workspace.engine.state
            named = state.by_external.get((channel, command.external_id))
            contact = named or state.by_peer.get(command.peer_key, command.contact)
            now_us = self._workspace.now_us()
            self._received.add(place)
            archive.append(ArchiveWrite("received", place, now_us, contact.encode()))
        answer = await self._workspace.ask(
            heard[0]
            if heard is not None
            else c.ReceiveMessage(
                message=command.message, size=command.message_size, contact=command
            ),
            archive,
            shed=0 if heard is not None else shed_class(channel),
        )
        if answer.contact != command.contact:  # it has joined another one
            self._workspace.veil.enveloped.pop(command.contact, None)
        return self._receipt(answer.contact, created=answer.contact == command.contact)

    async def send(
        self,
        contact: str,
        text: str,
        *,
        agent: str = "",
        by: str = "",
        message: str = "",
        archive: tuple[ArchiveWrite, ...] = (),
    ) -> tuple[Answer, str]:
        """See `Replies.send`."""
        return await self._replies.send(
            contact, text, agent=agent, by=by, message=message, archive=archive
        )

    def command(
        self,
        new: NewContact,
        channel: str,
        *,
        adapter: str = "",
        by: str = "",
        routing: Routing = DEFAULT,
        listens: bool = True,
    ) -> tuple[c.SubmitContact, list[ArchiveWrite]]:
        """The command for an arrival and the rows to write along, for callers that batch.

        `listens`: a first message that is a keyword takes effect before the arrival does.
        """
        workspace = self._workspace
        entry_point = self.entry_point(channel, new.entry_point, new.to, adapter, routing.queue)
        customer, message = new.customer, new.message
        ours, attributes = new.to, new.attributes
        if entry_point is not None and (entry_point.attributes or not ours):
            ours, attributes = ours or entry_point.address, {**entry_point.attributes, **attributes}
        envelope = Envelope(
            customer.address, customer.name, ours, adapter, message.subject if message else "",
            attributes, new.external_id, new.conversation,
        )  # fmt: skip
        key, sealed = seal_new(workspace.sealer, envelope)
        self._count_key()
        who, peer_key = workspace.customers.identities.peer(channel, customer.address, ours)
        rows, id_, size = self._first_message(message, key)
        command = c.SubmitContact(
            contact=ContactId(contact_id(workspace.now_us())),
            channel=channel,
            direction=routing.direction,
            entry_point=entry_point.id if entry_point else "",
            queue=QueueId(routing.queue),
            customer=routing.customer or who,
            segment=routing.segment,
            attributes=attributes,
            requirements=requirements_of(new.requirements),
            tier=routing.tier,
            head_start_us=routing.head_start_us,
            not_before_us=routing.not_before_us,
            not_after_us=routing.not_after_us,
            external_id=new.external_id,
            conversation=new.conversation,
            peer_key=peer_key,
            sealed=sealed,
            seal_key=key,
            prefer_agent=AgentId(routing.prefer_agent),
            prefer_us=routing.prefer_us,
            target_agent=AgentId(routing.target_agent),
            watched=routing.watched,
            outbound=routing.outbound,
            message=id_,
            message_size=size,
            by=by or adapter,
        )
        self._note_new(command, new.trace)
        if listens and message is not None:
            self._listen(command, message)
        return command, rows

    def _note_new(self, command: c.SubmitContact, trace: str) -> None:
        self._workspace.veil.enveloped[command.contact] = command
        if trace and self.trail is not None:
            self.trail.expect(command.contact, trace)

    def _listen(self, command: c.SubmitContact, message: NewMessage) -> None:
        """A keyword takes effect before what it came with."""
        asked = asked_in(self._workspace, command, message.text)
        if asked is not None:
            self._workspace.put(asked[1]).add_done_callback(_ignore)

    def _first_message(
        self, message: NewMessage | None, key: str
    ) -> tuple[list[ArchiveWrite], str, int]:
        if message is None:
            return [], "", 0
        id_ = self._messages.new_id()
        row, size = self._messages.row(id_, "customer", message, key=key)
        return [row], id_, size

    def entry_point(
        self, channel: str, name: str, to: str, adapter: str, queue: str
    ) -> EntryPoint | None:
        """Where an arrival comes in: named, by our address, the adapter's own, or the only one.

        Raises Invalid for a name that is not there or belongs to another channel.
        """
        if self._entry_points.policy is not self._workspace.policy:
            self._entry_points = _EntryPoints(self._workspace.policy)
        return self._entry_points.find(channel, name, to, adapter, queue)

    def _new_key(self) -> str:
        self._count_key()
        return self._workspace.keys.new_key()[0]

    def _count_key(self) -> None:
        """A key is taken; the next block is made long before this one is used up."""
        self._keys_used += 1
        if self._keys_used >= REFILL_EVERY and self._refill is None:
            self._keys_used = 0
            self._refill = spawn(self._refill_keys(), "keys")

    async def _refill_keys(self) -> None:
        try:
            await self._workspace.keys.refill()
        except RouterError as error:  # upkeep tries again; until then `new_key` says so
            log.warning("no new keys", extra={"error": str(error)})
        finally:
            self._refill = None

    async def keys_ready(self) -> None:
        """After a burst: wait for the block that is being made rather than turn a customer away."""
        if self._refill is not None and self._keys_used > REFILL_EVERY:
            await asyncio.wait([self._refill])

    # --- what is known ------------------------------------------------------------------------

    def find(self, channel: str, external_id: str) -> ContactId | None:
        """The live contact that an adapter knows by this id."""
        return self._workspace.engine.state.by_external.get((channel, external_id))

    async def contact(self, id_: str) -> Contact | None:
        """A contact, live or closed; None: there is none. Raises StoreFull: that is not sure."""
        live = self._workspace.engine.state.contacts.get(ContactId(id_))
        if live is not None:
            return live
        found = await self._workspace.journal.fetch(self._workspace.own, "contact", [id_])
        if id_ in found:
            return self._workspace.veil.contact(found[id_])
        self._workspace.writer.sure()
        return None

    async def closed_by_external(self, channel: str, external_id: str) -> Receipt | None:
        """The closed contact that had this external id, if it is still remembered."""
        if self.find(channel, external_id) is not None:
            return None
        await self._workspace.settled()  # its end may be decided, and not stored yet
        place, old = self._place(channel, external_id), f"{channel}/{external_id}"
        own = self._workspace.own
        found = await self._workspace.journal.fetch(own, "external", [place, old])
        id_ = found.get(place, found.get(old))
        return None if id_ is None else await self.receipt(id_.decode())

    async def receipt(self, id_: str) -> Receipt:
        """A contact that was known already, as an adapter is told of it."""
        contact = await self.contact(id_)
        if contact is None:
            return Receipt(contact=id_, state=ContactState.CLOSED, created=False)
        if contact.state is not ContactState.CLOSED:
            return self._receipt(id_, created=False)
        return Receipt(
            contact=id_,
            state=ContactState.CLOSED,
            outcome=contact.outcome or "",
            reason=contact.outcome_reason,
            created=False,
        )

    def _receipt(self, id_: str, *, created: bool) -> Receipt:
        contact = self._workspace.engine.state.contacts.get(ContactId(id_))
        if contact is None:
            return Receipt(contact=id_, state=ContactState.CLOSED, created=created)
        return Receipt(
            contact=id_,
            state=contact.state,
            created=created,
            wait_us=contact.promised_wait_us,
        )

    def note_external(self, channel: str, external_id: str) -> None:
        """An id that no live contact has any more is in the archive now: ask there for it."""
        self._seen.add(self._place(channel, external_id))


def _ignore(done: asyncio.Future[Answer]) -> None:
    """Whoever said it hears of what their message came to, not of the keyword in it."""
    if not done.cancelled():
        done.exception()


class _EntryPoints:
    """The entry points of a policy, by what an arrival says about itself."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._by_id = policy.entry_points
        self._by_address: dict[tuple[str, str], EntryPoint] = {}
        self._only: dict[str, EntryPoint | None] = {}
        for point in policy.entry_points.values():
            if point.address:
                self._by_address[(point.channel, point.address)] = point
            self._only[point.channel] = None if point.channel in self._only else point

    def find(self, channel: str, name: str, to: str, adapter: str, queue: str) -> EntryPoint | None:
        """Named, else by our address, else the adapter's own, else the channel's only one."""
        if name:
            point = self._by_id.get(name)
            if point is None:
                raise Invalid("unknown_entry_point", f"no entry point {name!r}")
            if point.channel != channel:
                raise Invalid(
                    "wrong_channel",
                    f"entry point {name!r} is on channel {point.channel}, not on {channel}",
                )
            return point
        by_address = self._by_address.get((channel, to)) if to else None
        own = self._by_id.get(adapter)
        if by_address is None and own is not None and own.channel == channel:
            return own
        return by_address or (None if queue else self._only.get(channel))


def requirements_of(asked: dict[str, int]) -> Requirements:
    """A requirement signature: by skill, each once."""
    return tuple(asked.items() if len(asked) < 2 else sorted(asked.items()))
