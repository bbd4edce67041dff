"""What happened to each agent of late, kept for desks that come back after their line broke.

When a switch fails, all desks come back within seconds, and each asks what it has missed. Reading
that from the journal costs each of them every event since, so the more desks there are the longer
each takes; here an event is put down once, under the agents it concerned, as it happens.
"""

from __future__ import annotations

from collections import deque

from router.core import events as e
from router.core.model import AgentId, ContactId

ENTRIES = 10_000
"""Most that are kept, over all agents: some 10 MB; minutes of a centre of a thousand agents."""
MISSED = 200
"""Most that one desk is told."""


class Trail:
    """The latest events by agent. Lives as long as an epoch: a restart begins anew."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._order: deque[AgentId] = deque()
        """Whose entry is the oldest, the next, and so on."""
        self._of: dict[AgentId, deque[tuple[int, e.Event]]] = {}
        self._known: dict[AgentId, None] = {}
        """Agents who have had a desk: nobody else can come back to one."""
        self._holders: dict[ContactId, dict[AgentId, None]] = {}
        """Who was asked about a contact, or serves it, whether or not they have a screen."""
        self._dropped: dict[AgentId, int] = {}
        """The last one of each agent that had to go; empty: of all agents."""

    def know(self, agent: AgentId) -> None:
        """This agent has a desk."""
        self._known[agent] = None

    def hold(self, contact: ContactId, agent: AgentId) -> None:
        """The contact is this agent's from now on."""
        self._holders.setdefault(contact, {})[agent] = None

    def add(self, seq: int, event: e.Event, concerned: dict[AgentId, None]) -> None:
        """It happened to these, and to whoever holds the contact."""
        kind = type(event)
        if kind is e.CustomerErased:  # nothing that was said of them stays here
            self._of.clear()
            self._order.clear()
            self._dropped = {AgentId(""): seq}
            return
        contact: ContactId = getattr(event, "contact", ContactId(""))
        if kind is e.ContactOffered or kind is e.ReservationMoved:
            self.hold(contact, event.agent)  # type: ignore[union-attr]  # see kind
        held = self._holders.get(contact) if contact else None
        for agent in concerned if held is None else {**concerned, **held}:
            if agent in self._known:
                self._of.setdefault(agent, deque()).append((seq, event))
                self._order.append(agent)
        if held is not None:
            if kind is e.ContactClosed:
                del self._holders[contact]
            elif kind in LETS_GO:
                held.pop(event.agent, None)  # type: ignore[union-attr]  # see kind
                if not held:
                    del self._holders[contact]
        while len(self._order) > self._entries:
            self._drop(self._order.popleft())

    def since(self, agent: AgentId, seq: int) -> tuple[list[tuple[int, e.Event]], bool]:
        """What happened to the agent after `seq`, oldest first; and whether there was more."""
        found: list[tuple[int, e.Event]] = []
        for item in reversed(self._of.get(agent, ())):
            if item[0] <= seq:
                break
            if len(found) == MISSED:
                return found[::-1], True
            found.append(item)
        dropped = max(self._dropped.get(agent, 0), self._dropped.get(AgentId(""), 0))
        return found[::-1], seq < dropped

    def _drop(self, agent: AgentId) -> None:
        mine = self._of[agent]
        self._dropped[agent] = mine.popleft()[0]
        if not mine:
            del self._of[agent]


LETS_GO = frozenset({e.OfferRejected, e.OfferExpired, e.OfferRescinded, e.ReservationFailed,
                     e.ReservationEnded})  # fmt: skip
"""Events after which the agent whom they name has no part in the contact any more."""
