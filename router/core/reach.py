"""Who could serve what, present or not: for signatures that are asked for again and again.

Skills change seldom, room changes all the time. So the agents who meet a signature are worked out
once, and again only when somebody with its rarest skill has come, gone or changed. Where a rank has
only a few of them, a contact asks each; where it has none, nobody is asked at all.
"""

from __future__ import annotations

from typing import NamedTuple

from router.core.model import AgentId, QueueId, Requirements
from router.core.queues import Reached, Readers, Waiting
from router.core.roster import Pool, Roster, Seat

_FEW = 16
"""Agents at one rank up to which each of them is asked."""
_WIDE = 600
"""Agents above which a signature is left to the shelves: somebody is found soon."""
_LOOK = 32
"""Agents up to which it is seen at once that none of them has room."""
_ASKED_BEFORE = 2
"""How often a signature is asked for before its agents are remembered."""
_KNOWN_MOST = 4096
"""Signatures kept; then all are forgotten, and those still asked for come back."""


class Rank(NamedTuple):
    """Agents who could serve a contact at one rank of their profiles."""

    rank: int
    pools: list[Pool]
    few: list[Seat] | None = None
    """All of them, if they are few."""
    reached: Reached | None = None
    """If they are not: sets of agents; who is in all of them meets the requirements."""
    new: bool = False
    """Nobody has asked for this signature before, so nothing is remembered about it."""


class _Able:
    """The agents who meet one signature."""

    __slots__ = ("_agents", "_by_profile", "_by_queue", "anchor", "reached", "small", "turn")

    def __init__(self, anchor: Readers, reached: Reached) -> None:
        self.anchor = anchor
        """Those with its rarest skill, ..."""
        self.turn = anchor.turn
        """... and how often they had changed by then."""
        self._agents = reached[0].intersection(*reached[1:]) if len(reached[0]) <= _WIDE else None
        """None: too many to say."""
        self.reached = reached if self._agents is None else [self._agents]
        """Who is in all of these."""
        self.small = len(self.reached[0]) <= _LOOK
        self._by_profile: dict[str, list[Seat]] | None = None
        self._by_queue: dict[QueueId, list[Rank]] = {}

    def in_queue(self, queue: QueueId, ranks: list[Rank], roster: Roster) -> list[Rank]:
        """Of the queue's ranks what the signature leaves."""
        found = self._by_queue.get(queue)
        if found is None:
            agents = self._agents
            if agents is None or (len(agents) > _FEW and len(ranks) == len(ranks[0].pools) == 1):
                found = [Rank(rank, pools, None, self.reached) for rank, pools, *_ in ranks]
            else:
                found = self._narrowed(ranks, self._profiles(agents, roster))
            self._by_queue[queue] = found
        return found

    def _profiles(self, agents: set[AgentId], roster: Roster) -> dict[str, list[Seat]]:
        if self._by_profile is None:
            self._by_profile = {}
            for agent in sorted(agents):
                seat = roster.seats[agent]
                self._by_profile.setdefault(seat.agent.profile, []).append(seat)
        return self._by_profile

    def _narrowed(self, ranks: list[Rank], by_profile: dict[str, list[Seat]]) -> list[Rank]:
        found = []
        for rank, pools, *_ in ranks:
            left = [pool for pool in pools if pool.profile in by_profile]
            seats = [seat for pool in left for seat in by_profile[pool.profile]]
            if seats:
                found.append(Rank(rank, left, seats if len(seats) <= _FEW else None, self.reached))
        return found


class Reach:
    """Cache over roster and waiting: whom a popular signature reaches in each queue."""

    def __init__(self, roster: Roster, waiting: Waiting) -> None:
        self._roster = roster
        self._waiting = waiting
        self._known: dict[Requirements, _Able | int] = {}
        """Of signatures that are new: how often they were asked for."""

    def forget(self) -> None:
        """Profiles have changed."""
        self._known = {}

    def narrow(self, ranks: list[Rank], queue: QueueId, requirements: Requirements) -> list[Rank]:
        """Of a queue's ranks what the requirements leave."""
        able = self._known.get(requirements, 0)
        if isinstance(able, int):
            if able < _ASKED_BEFORE:
                if len(self._known) >= _KNOWN_MOST:
                    self._known = {}
                self._known[requirements] = able + 1
                return self._narrow_once(ranks, requirements)
            able = self._known[requirements] = self._list(requirements)
        elif able.turn != able.anchor.turn:
            able = self._known[requirements] = self._list(requirements)
        if (able.small or len(self._roster.open) <= _LOOK) and self._have_no_room(able.reached[0]):
            return []
        return able.in_queue(queue, ranks, self._roster)

    def _narrow_once(self, ranks: list[Rank], requirements: Requirements) -> list[Rank]:
        """For a signature that may never come again."""
        reached = self._waiting.reached(requirements)
        if len(reached) > 1 and len(reached[0]) <= _WIDE:
            reached = [reached[0].intersection(*reached[1:])]
        if len(reached[0]) <= _LOOK and self._have_no_room(reached[0]):
            return []
        return [Rank(rank, pools, None, reached, new=True) for rank, pools, *_ in ranks]

    def _have_no_room(self, agents: set[AgentId]) -> bool:
        """Whether no one of them has room for anything."""
        return self._roster.open.keys().isdisjoint(agents)

    def _list(self, requirements: Requirements) -> _Able:
        waiting = self._waiting
        return _Able(waiting.rarest(requirements), waiting.reached(requirements))
