"""One workspace as its API sees it: what belongs to whom, and the objects that go out.

Handlers get the tenant of the token's workspace and nothing else, so nothing can cross.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from router.api.board import Board
from router.api.views import (
    AgentView,
    AttachmentView,
    ContactView,
    MessageView,
    MonitorView,
    PeerView,
    agent_view,
    contact_view,
    monitor_view,
)
from router.channel import Address, NewContact, NewMessage
from router.core.commands import FinishWrapUp, ReceiveMessage
from router.core.model import (
    Agent,
    AgentId,
    Contact,
    ContactId,
    ContactState,
    Reservation,
    ReservationId,
)
from router.core.policy import Policy
from router.core.state import State
from router.errors import NotFound, Overloaded
from router.journal import ArchiveWrite
from router.runtime.attachments import entries
from router.runtime.envelope import contact_id, open_envelope, resealed
from router.runtime.inbox import SHED_AT, shed_class
from router.runtime.intake import Routing
from router.runtime.loop import Answer
from router.runtime.messages import Message

if TYPE_CHECKING:
    from router.api.hub import Hub
    from router.core.statistics import Measures
    from router.runtime.channels import Channels
    from router.runtime.desks import Desks
    from router.runtime.intake import Intake
    from router.runtime.loop import Workspace
    from router.runtime.messages import Messages


class Tenant:
    """One workspace's pieces."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        desks: Desks,
        channels: Channels,
        intake: Intake,
        messages: Messages,
        measures: Measures,
    ) -> None:
        self.name = workspace.name
        self.workspace = workspace
        self.desks = desks
        self.channels = channels
        self.intake = intake
        self.messages = messages
        self.measures = measures
        self.hub: Hub
        """Set by `http.build`: who holds what, for desks."""

    async def read(self) -> None:
        """Before answering from memory: give way under load, then wait until it is all committed.

        Raises Overloaded and StoreFull.
        """
        workspace = self.workspace
        if workspace.load_share() > SHED_AT[4]:
            workspace.metrics.shed("report")
            raise Overloaded("reads give way: too much at once", 2.0)
        await workspace.settled()

    @property
    def state(self) -> State:
        """The engine's state: read it only after `workspace.settled()`."""
        return self.workspace.engine.state

    @property
    def policy(self) -> Policy:
        """The settings in force."""
        return self.workspace.policy

    def board(self) -> Board:
        """The wallboard's picture, made when first asked for. Read after `workspace.settled()`."""
        if self.hub.board is None:
            self.hub.board = Board(self)
        return self.hub.board

    # --- what belongs to whom -----------------------------------------------------------------

    def has_reservation(self, agent: AgentId, id_: str) -> bool:
        """Is this open reservation the agent's?"""
        row = self.state.reservations.get(ReservationId(id_))
        return row is not None and row.agent == agent

    def is_open(self, id_: str) -> bool:
        """Is this an open reservation?"""
        return ReservationId(id_) in self.state.reservations

    def was_reservation(self, id_: str) -> bool:
        """Was this ever a reservation here? They are numbered from r1 on."""
        number = id_[1:]
        if id_[:1] != "r" or not (number.isascii() and number.isdigit() and len(number) < 18):
            return False
        return 0 < int(number) <= self.state.totals.reservation_no

    def has_contact(self, agent: AgentId, id_: str) -> bool:
        """Does the agent hold it: offered, served, wrapping, consulted about, or parked?"""
        contact = self.state.contacts.get(ContactId(id_))
        if contact is None:  # closed: in wrap-up only
            return any(r.contact == id_ for r in self.reservations_of(agent))
        return agent in self.holders(contact)

    def holders(self, contact: Contact) -> dict[AgentId, None]:
        """The agents who hold a contact now."""
        reservations = self.state.reservations
        agents: dict[AgentId, None] = {}
        for id_ in contact.reservations:
            row = reservations.get(id_)
            if row is not None:
                agents[row.agent] = None
        if contact.state is ContactState.PARKED and contact.last_agent:
            agents[contact.last_agent] = None
        if contact.consult_of:
            about = self.state.contacts.get(contact.consult_of)
            if about is not None and about.consult == contact.id:
                agents.update(self.holders(about))
        return agents

    def may_pull(self, agent: AgentId, id_: str) -> bool:
        """Does the contact wait in a queue of the agent's profile?"""
        contact = self.state.contacts.get(ContactId(id_))
        row = self.state.agents.get(agent)
        if contact is None or row is None or contact.state is not ContactState.QUEUED:
            return False
        profile = self.policy.profiles.get(row.profile)
        return profile is not None and any(q.queue == contact.queue for q in profile.queues)

    def reservations_of(self, agent: AgentId) -> list[Reservation]:
        """The agent's open reservations."""
        seat = self.state.roster.seats.get(agent)
        return [] if seat is None else list(seat.load.reservations.values())

    # --- objects ------------------------------------------------------------------------------

    def agent(self, row: Agent) -> AgentView:
        """An agent with the load of now."""
        seat = self.state.roster.seats.get(row.id)
        return agent_view(row, seat.load.units if seat else 0, self.policy.capacity)

    def contact(
        self, row: Contact, *, clear: bool, messages: list[MessageView] | None = None
    ) -> ContactView:
        """A contact; `clear`: with the customer's address and name."""
        peer = self.peer(row) if clear and row.sealed else None
        if peer is not None and not (peer.address or peer.name or peer.to or peer.erased):
            peer = None
        return contact_view(row, peer, messages)

    def monitors(self, row: Contact) -> list[MonitorView]:
        """Who listens to it."""
        found = [self.state.reservations.get(id_) for id_ in row.reservations]
        return [monitor_view(m) for r in found if r is not None for m in r.monitors]

    def peer(self, row: Contact) -> PeerView:
        """Who is at the other end."""
        envelope = open_envelope(self.workspace.sealer, row)
        view = PeerView(address=envelope.address, name=envelope.name, to=envelope.our_address)
        view.erased = self.workspace.keys.key(row.seal_key) is None
        return view

    async def find_contact(self, id_: str) -> Contact:
        """A contact, live or closed. Raises NotFound."""
        found = await self.intake.contact(id_)
        if found is None:
            raise NotFound("contact", id_)
        return found

    async def history(self, contact: str, most: int = 50) -> list[MessageView]:
        """The last messages of a contact, oldest first."""
        return message_views(contact, await self.messages.last(contact, most))

    # --- making -------------------------------------------------------------------------------

    def new_contact_id(self, now_us: int) -> ContactId:
        """An id for a contact made here."""
        return ContactId(contact_id(now_us))

    def reseal(self, contact: str, channel: str, address: str) -> tuple[bytes, str, str]:
        """The sealed fields (bytes, key, peer key) of a contact that goes on at another address.

        Empty ones where no address is given: the contact keeps what it has.
        """
        if not address:
            return b"", "", ""
        row = self.state.contacts.get(ContactId(contact))
        return resealed(self.workspace, row, channel, address)

    async def receive_into(
        self, contact: Contact, id_: str, text: str, subject: str, by: str
    ) -> Answer:
        """What the customer of this contact wrote, by the caller's word.

        The same message id twice is the same message. Raises what `Workspace.ask` raises.
        """
        workspace = self.workspace
        new = NewContact(
            external_id="",
            customer=Address(),
            message=NewMessage(id=id_, text=text, subject=subject),
        )
        if await self.messages.receiver(contact.channel, id_):
            return Answer(workspace.seq, (), contact.id)
        command, rows = self.intake.command(
            new, contact.channel, by=by, routing=Routing(queue=contact.queue)
        )
        place = self.messages.received(contact.channel, id_)
        rows.append(ArchiveWrite("received", place, workspace.now_us(), contact.id.encode()))
        return await workspace.ask(
            ReceiveMessage(
                message=command.message,
                size=command.message_size,
                contact=command,
                to_contact=contact.id,
            ),
            rows,
            shed=shed_class(contact.channel),
        )

    async def disposed(self, command: FinishWrapUp) -> list[ArchiveWrite]:
        """The closed contact of a wrap-up with what the agent says now of how it ended."""
        reservation = self.state.reservations.get(command.reservation)
        if reservation is None:
            return []
        await self.workspace.settled()
        contact = await self.intake.contact(reservation.contact)
        if contact is None or contact.state is not ContactState.CLOSED:
            return []  # transferred: others have it
        contact.disposition = command.disposition
        row = self.workspace.veil.contact_row(contact)
        return [ArchiveWrite("contact", contact.id, contact.closed_at_us, row)]

    def parked_of(self, agent: AgentId) -> list[ContactId]:
        """Contacts parked by this agent, who waits for the customer."""
        return list(self.hub.parked.get(agent, ()))


def message_views(contact: str, messages: Iterable[Message]) -> list[MessageView]:
    """Messages as they go out."""
    return [message_view(contact, message) for message in messages]


def message_view(contact: str, message: Message) -> MessageView:
    """One message as it goes out."""
    return MessageView(
        id=message.id,
        contact=contact,
        from_=message.sender,
        agent=message.agent,
        at_us=message.at_us,
        text=message.text,
        subject=message.subject,
        size=message.size,
        ref=message.external,
        erased=message.erased,
        attachments=[
            AttachmentView(id=e.id, name=e.name, type=e.type, size=e.size, role=e.role)
            for e in entries(message.attachments)
        ],
    )
