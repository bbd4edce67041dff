"""Who is at a desk: the open sessions of each agent, and what must reach their screens.

The WebSocket handler opens a session per connection and pulls from it. An agent may have several
(two tabs); the last one gone is `DeskLost`: open offers go back at once. Buffers are bounded: a
session that does not read is ended with `full`, its desk reconnects and resumes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from router.core import commands as c
from router.core.effects import Effect
from router.core.model import AgentId, ContactId
from router.errors import RouterError
from router.runtime.clock import Clock, sleep
from router.runtime.tasks import TaskSet

if TYPE_CHECKING:
    from router.runtime.loop import Workspace

log = logging.getLogger("router.desks")

SESSION_FRAMES = 1000
SESSIONS_PER_AGENT = 8
GRACE_US = 15_000_000
"""After a restart, so long may a desk take to come back before its agent counts as lost."""


class DeskEffect(NamedTuple):
    """An effect for a screen. Desks refuse an epoch lower than one they have seen."""

    epoch: int
    id: str
    effect: Effect


class Typing(NamedTuple):
    """The customer of this contact is typing; worth nothing a moment later."""

    contact: ContactId


class DeskSession:
    """One connection of one agent's desk: a bounded buffer of what it must be told."""

    def __init__(self, agent: AgentId, limit: int = SESSION_FRAMES) -> None:
        self.agent = agent
        self.closed = ""
        """Why it ended: ``full``, ``replaced``, ``stopping``, ``moved``, ``gone``; empty = open."""
        self._limit = limit
        self._buffer: deque[DeskEffect | Typing] = deque()
        self._wake = asyncio.Event()

    def tell(self, item: DeskEffect | Typing) -> None:
        """Put into the buffer; a full one ends the session."""
        if self.closed:
            return
        if len(self._buffer) >= self._limit:
            self.end("full")
            return
        self._buffer.append(item)
        self._wake.set()

    def end(self, reason: str) -> None:
        """End the session from our side; `pull` returns nothing more."""
        if not self.closed:
            self.closed = reason
        self._buffer.clear()
        self._wake.set()

    async def pull(self) -> list[DeskEffect | Typing]:
        """Wait for the next items; an empty list means that the session is over (see `closed`)."""
        while not self._buffer and not self.closed:
            self._wake.clear()
            await self._wake.wait()
        items = list(self._buffer)
        self._buffer.clear()
        return items


class Desks:
    """The sessions of one workspace's agents."""

    def __init__(self, workspace: Workspace, clock: Clock) -> None:
        self._workspace = workspace
        self._clock = clock
        self._sessions: dict[AgentId, dict[DeskSession, None]] = {}
        self._tasks = TaskSet(f"desks:{workspace.name}")
        self._expected: dict[AgentId, None] = {}

    def start(self) -> None:
        """Agents whose desks were open before a restart have a grace to come back."""
        for agent in self._workspace.rows_of("desk"):
            self._expected[AgentId(agent)] = None
        if self._expected:
            self._tasks.spawn(self._miss(), "grace")

    async def open(self, agent: AgentId) -> DeskSession:
        """A desk has connected. Raises NotFound for an agent that is not there.

        The oldest session is ended (``replaced``) when an agent has too many.
        """
        session = DeskSession(agent)
        mine = self._sessions.setdefault(agent, {})
        if len(mine) >= SESSIONS_PER_AGENT:
            next(iter(mine)).end("replaced")
            mine.pop(next(iter(mine)))
        mine[session] = None
        self._expected.pop(agent, None)
        self._workspace.note("desk", agent, b"1")
        try:
            await self._workspace.ask(c.DeskBack(agent=agent))
        except RouterError:
            await self.shut(session)
            raise
        return session

    async def shut(self, session: DeskSession) -> None:
        """A desk's connection is gone; the agent's last one is `DeskLost`. Safe to repeat."""
        session.end("gone")
        mine = self._sessions.get(session.agent)
        if mine is None or session not in mine:
            return
        mine.pop(session)
        if not mine:
            del self._sessions[session.agent]
            await self._lost(session.agent)

    def tell(self, agent: AgentId, item: DeskEffect | Typing) -> None:
        """Show an effect on every screen of this agent."""
        for session in self._sessions.get(agent, ()):
            session.tell(item)

    def connected(self) -> int:
        """How many sessions are open."""
        return sum(map(len, self._sessions.values()))

    def has(self, agent: AgentId) -> bool:
        """Does this agent have a screen?"""
        return agent in self._sessions

    async def stop(self, reason: str = "stopping") -> None:
        """End all sessions. Agents are not lost by this: they come back to the next owner."""
        for sessions in self._sessions.values():
            for session in sessions:
                session.end(reason)
        self._sessions.clear()
        await self._tasks.stop()

    async def _miss(self) -> None:
        await sleep(self._clock, GRACE_US)
        for agent in list(self._expected):
            await self._lost(agent)
        self._expected.clear()

    async def _lost(self, agent: AgentId) -> None:
        self._workspace.forget("desk", agent)
        try:
            await self._workspace.ask(c.DeskLost(agent=agent))
        except RouterError as error:
            log.warning("desk lost, not taken", extra={"agent": agent, "error": str(error)})
