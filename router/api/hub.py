"""What happens, told to the desks it concerns: whole objects beside each event.

Called by the feed inside the commit's turn, while the engine's state is exactly what has been
committed; so a desk never sees anything that a crash could take back.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from router.api.board import Board
from router.api.directory import Directory
from router.api.naming import agent_of, contact_of, reservation_of
from router.api.pause_watch import CHANGES, PauseWatch
from router.api.store_watch import StoreWatch
from router.api.tenant import message_view
from router.api.trail import Trail
from router.api.views import reservation_view
from router.core import events as e
from router.core.model import AgentId, Contact, ContactId, ContactState, ReservationId
from router.errors import JournalError
from router.runtime.tasks import spawn

if TYPE_CHECKING:
    from router.api.tenant import Tenant

log = logging.getLogger("router.api")

LINE = 5_000
"""Most frames that wait for texts."""
OVER = (e.OfferRejected, e.OfferExpired, e.OfferRescinded, e.ReservationFailed, e.ReservationEnded)
UNSEEN = (e.MonitorStarted, e.MonitorChanged, e.MonitorEnded)
"""Whether somebody listens is between supervisors and the audit."""
WITH_HISTORY = (e.ContactOffered, e.OfferAccepted)
WITH_TEXT = (e.MessageReceived, e.MessageSent)
SEALED = (e.ContactReceived, e.ContactSwitched)
SEALED_PART = (e.CustomerChanged, e.IdentityAdded)


class Screen(Protocol):
    """An agent's connected desk."""

    def push(self, frame: dict[str, Any]) -> None:
        """Show this; never waits."""


def event_view(event: e.Event) -> Any:
    """An event as it goes out: without sealed fields and the keyed hash of who talks to whom."""
    if type(event) in SEALED:
        return msgspec.structs.replace(event, sealed=b"", seal_key="", peer_key="")
    if type(event) in SEALED_PART:
        return msgspec.structs.replace(event, sealed=b"", seal_key="")
    return event


class Hub:
    """Who holds what in one workspace, and whose screens must hear of it."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.owners: dict[ReservationId, AgentId] = {}
        self.parked: dict[AgentId, dict[ContactId, None]] = {}
        self._parked_by: dict[ContactId, AgentId] = {}
        self._told: dict[ContactId, dict[AgentId, None]] = {}
        """Which agents' screens show a contact as theirs."""
        self._theirs: dict[AgentId, dict[ContactId, None]] = {}
        """The same, by agent."""
        self._lost: list[tuple[ContactId, AgentId]] = []
        self._screens: dict[AgentId, dict[Screen, None]] = {}
        self._line: deque[_Waiting] = deque()
        """Frames that wait for a text to be fetched, and all that come after them, in order."""
        self.board: Board | None = None
        self.directory = Directory(tenant)
        self.trail = Trail()
        self.store = StoreWatch(tenant.workspace)
        self.pauses = PauseWatch(tenant)
        state = tenant.state
        for reservation in state.reservations.values():
            self.owners[reservation.id] = reservation.agent
            self.trail.hold(reservation.contact, reservation.agent)
        for contact in state.contacts.values():
            if contact.state is ContactState.PARKED:
                self._park(contact)
        tenant.workspace.feed.tap(self._published)

    def join(self, agent: AgentId, screen: Screen, contacts: Iterable[ContactId]) -> None:
        """A desk has its welcome, with these contacts; what happens from now on goes there."""
        self._screens.setdefault(agent, {})[screen] = None
        self.trail.know(agent)
        for id_ in contacts:
            self._tell(id_, agent)

    def leave(self, agent: AgentId, screen: Screen) -> None:
        """A desk is gone."""
        screens = self._screens.get(agent)
        if screens is None:
            return
        screens.pop(screen, None)
        if not screens:
            del self._screens[agent]
            for id_ in list(self._theirs.get(agent, ())):
                self._untell(id_, agent)

    def concerned(self, event: e.Event) -> dict[AgentId, None]:
        """The agents whom an event concerns."""
        agents: dict[AgentId, None] = {}
        if type(event) in UNSEEN:
            return agents
        if agent := agent_of(event):
            agents[agent] = None
        if owner := self.owners.get(reservation_of(event)):
            agents[owner] = None
        contact = contact_of(event)
        if contact:
            agents.update(self._told.get(contact, {}))
            row = self._tenant.state.contacts.get(contact)
            if row is not None and row.consult_of:  # the asking agent watches the consult
                agents.update(self._tenant.holders(row))
        return agents

    # --- inside the commit's turn ---------------------------------------------------------------

    def _published(self, first_seq: int, events: Sequence[e.Event]) -> None:
        try:
            for seq, event in enumerate(events, first_seq):
                agents = self.concerned(event)
                if type(event) not in UNSEEN:
                    parker = self._parked_by.get(contact_of(event))
                    self.trail.add(
                        seq, event, agents if parker is None else agents | {parker: None}
                    )
                self._follow(event)
                if self._screens:
                    for agent in agents:
                        screens = self._screens.get(agent)
                        if screens:
                            self._show(seq, event, agent, screens)
                if type(event) in OVER:
                    self.owners.pop(reservation_of(event), None)
            for contact, agent in self._lost:
                self._untell(contact, agent)
            self._lost.clear()
            if any(type(event) in CHANGES for event in events):
                self.pauses.tell()
            if self.board is not None:
                self.board.follow(first_seq, events)
        except Exception:
            log.exception("desk hub", extra={"workspace": self._tenant.name})

    def _follow(self, event: e.Event) -> None:
        kind = type(event)
        if kind is e.ContactOffered:
            self.owners[event.reservation] = event.agent  # type: ignore[union-attr]  # see kind
        elif kind is e.ContactParked:
            row = self._tenant.state.contacts.get(event.contact)  # type: ignore[union-attr]  # see kind
            if row is not None and row.state is ContactState.PARKED:
                self._park(row)
        elif kind in LEAVES_PARKING and event.contact in self._parked_by:  # type: ignore[union-attr]  # see kind
            agent = self._parked_by.pop(event.contact)  # type: ignore[union-attr]  # see kind
            self.parked[agent].pop(event.contact, None)  # type: ignore[union-attr]  # see kind
            if not self.parked[agent]:
                del self.parked[agent]

    def _park(self, contact: Contact) -> None:
        if contact.last_agent:
            self.parked.setdefault(contact.last_agent, {})[contact.id] = None
            self._parked_by[contact.id] = contact.last_agent

    def _show(self, seq: int, event: e.Event, agent: AgentId, screens: dict[Screen, None]) -> None:
        tenant, state = self._tenant, self._tenant.state
        frame: dict[str, Any] = {
            "type": "event",
            "epoch": tenant.workspace.epoch,
            "seq": seq,
            "now_us": tenant.workspace.now_us(),
            "event": event_view(event),
        }
        row = state.agents.get(agent)
        if row is not None:
            frame["agent"] = tenant.agent(row)
        reservation = reservation_of(event)
        found = state.reservations.get(reservation)
        if reservation and self.owners.get(reservation) == agent:
            if found is not None:
                frame["reservation"] = reservation_view(found)
            elif type(event) in OVER:
                frame["reservation"] = {"id": reservation, "state": OVER_STATE[type(event)]}
        id_ = contact_of(event)
        if not id_ and "reservation" in frame and found is not None:
            id_ = found.contact
        fetch = None
        if id_:
            fetch = self._show_contact(frame, event, id_, agent)
        self._send(frame, screens, fetch)

    def _show_contact(
        self, frame: dict[str, Any], event: e.Event, id_: ContactId, agent: AgentId
    ) -> Coroutine[Any, Any, None] | None:
        tenant = self._tenant
        contact = tenant.state.contacts.get(id_)
        mine = tenant.has_contact(agent, id_)
        if contact is None:
            frame["contact"] = {"id": id_, "state": "closed", "mine": mine}
        else:
            view = frame["contact"] = tenant.contact(contact, clear=mine)
            view.mine = mine
        if mine:
            self._tell(id_, agent)
        else:  # after the whole commit: the rest of it concerns this agent still
            self._lost.append((id_, agent))
        if type(event) in WITH_TEXT:
            return self._with_text(frame, id_, event.message)  # type: ignore[union-attr]  # both have
        if mine and type(event) in WITH_HISTORY and contact is not None and contact.messages:
            return self._with_history(frame, id_)
        return None

    def _tell(self, contact: ContactId, agent: AgentId) -> None:
        self._told.setdefault(contact, {})[agent] = None
        self._theirs.setdefault(agent, {})[contact] = None

    def _untell(self, contact: ContactId, agent: AgentId) -> None:
        told = self._told.get(contact)
        if told is None or agent not in told:
            return
        del told[agent], self._theirs[agent][contact]
        if not told:
            del self._told[contact]
        if not self._theirs[agent]:
            del self._theirs[agent]

    async def _with_text(self, frame: dict[str, Any], contact: str, id_: str) -> None:
        message = await self._tenant.messages.one(contact, id_)
        if message is not None:
            frame["message"] = message_view(contact, message)

    async def _with_history(self, frame: dict[str, Any], contact: str) -> None:
        frame["contact"].messages = await self._tenant.history(contact)

    def _send(
        self,
        frame: dict[str, Any],
        screens: dict[Screen, None],
        fetch: Coroutine[Any, Any, None] | None,
    ) -> None:
        """Show it now, or in its turn when something before it waits for a text."""
        if fetch is not None and len(self._line) >= LINE:
            fetch.close()  # the store is far behind: the page asks for this text itself
            fetch = None
        if fetch is None and not self._line:
            for screen in screens:
                screen.push(frame)
            return
        self._line.append(_Waiting(frame, list(screens), fetch))
        if len(self._line) == 1:
            spawn(self._work(), "desk-texts")

    async def _work(self) -> None:
        """Fetch, show, go on with what came meanwhile."""
        while self._line:
            waiting = self._line[0]
            if waiting.fetch is not None:
                try:
                    await waiting.fetch
                except JournalError as error:  # the page asks for this text itself
                    about = {"workspace": self._tenant.name, "why": str(error)}
                    log.warning("a text was not to be had for a desk", extra=about)
                except Exception:
                    log.exception("text for a desk", extra={"workspace": self._tenant.name})
            self._line.popleft()
            for screen in waiting.screens:
                screen.push(waiting.frame)


class _Waiting:
    __slots__ = ("fetch", "frame", "screens")

    def __init__(
        self, frame: dict[str, Any], screens: list[Screen], fetch: Coroutine[Any, Any, None] | None
    ) -> None:
        self.frame = frame
        self.screens = screens
        self.fetch = fetch


LEAVES_PARKING = frozenset({e.ContactQueued, e.ContactClosed, e.ContactScheduled})
OVER_STATE = {
    e.OfferRejected: "rejected",
    e.OfferExpired: "expired",
    e.OfferRescinded: "rescinded",
    e.ReservationFailed: "failed",
    e.ReservationEnded: "done",
}
