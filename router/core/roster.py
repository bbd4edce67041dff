"""Agents who have room, indexed so that a contact finds the best one without asking all of them.

Ready agents with room stand on *shelves*: one per routing profile, set of channels with room, and
whether they are loaded. An agent stands on exactly one shelf, so a change of load moves it once.
On a shelf agents are in idle order (longest idle first); each skill has its own list in the same
order. A requirement walks the list of its rarest skill, and remembers how far it has come: whom it
stepped over once, it need not look at again. Who leaves is not taken out of the lists, only struck
out: its place in them is void.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import islice

from router.core.capacity import Load, room_masks
from router.core.model import Agent, AgentId, Contact, Presence, Requirements
from router.core.policy import Channel, Policy
from router.core.queues import Reached, Reader
from router.core.skills import meets

IdleKey = tuple[int, AgentId]
ShelfKey = tuple[bool, int, int]
"""Loaded, channels with true room, channels with room by interruption."""
Place = tuple[int, AgentId, int, "Seat", dict[str, int]]
"""Idle key, a number that tells places of one agent apart, the agent, its skills.

A tuple has no identity once `make compiled` has unpacked it: places are told apart by number.
"""

_WALKS_MOST = 8192
"""Most signatures whose walks one shelf remembers; more and all begin anew."""
_EACH = 100
"""Agents up to which each is asked for a signature that is new."""
_VOID = 64
"""Void places that a list may have beyond half as many as are taken."""

_NEVER = -(1 << 62)
"""Less than any count of free units: a channel that interrupts may have room in spite of all."""


class Seat:
    """An agent in the roster: row, load, and where it stands."""

    __slots__ = (
        "agent",
        "idle",
        "interrupted",
        "lists",
        "load",
        "loaded",
        "place",
        "reader",
        "room",
        "shelf",
        "standing",
        "stood",
    )

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.load = Load()
        self.room = 0
        """Bits of the channels with true room, if the agent is ready."""
        self.interrupted = 0
        """Bits of the channels with room only by interruption."""
        self.shelf: Shelf | None = None
        self.place: Place | None = None
        """Its place in the lists of its shelf."""
        self.standing = 0
        """The number of that place, 0 without one; any other place of it is void."""
        self.stood = 0
        """How many places it has had."""
        self.idle: IdleKey = (0, AgentId(""))
        self.loaded = False
        """Whether it serves anybody; like `idle`, as of the last `shelve` that found room."""
        self.reader = Reader()
        self.lists: dict[Shelf, list[IdleOrder]] = {}
        """The lists it stands in on each shelf; forgotten when its skills change."""


class IdleOrder:
    """Places in idle order, void ones among them."""

    __slots__ = ("edition", "late", "late_before", "most", "places")

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.most = _VOID
        self.late: list[Place] = []
        """Places that were put in before the end."""
        self.edition = 0
        """Counts how often void places were taken out."""
        self.late_before = 0
        """How many late ones there were before that."""

    def tidy(self) -> None:
        """Take the void places out."""
        kept = [place for place in self.places if place[3].standing == place[2]]
        self.places = kept
        self.most = len(kept) + len(kept) // 2 + _VOID
        self.late_before += len(self.late)
        self.late = []
        self.edition += 1

    def put(self, place: Place) -> None:
        """Put in a place that is not the last one."""
        insort(self.places, place)
        self.late.append(place)
        if len(self.places) > self.most:
            self.tidy()


class _Walk:
    """How far a signature has come in a list, and whom it has found there."""

    __slots__ = ("_at", "_edition", "_found", "_late", "_order", "_passed", "_requirements")

    def __init__(
        self, order: IdleOrder, requirements: Requirements, passed: Place | None = None
    ) -> None:
        self._order = order
        self._requirements = requirements
        self._begin(passed)

    def _begin(self, passed: Place | None = None) -> None:
        order = self._order
        self._passed = passed
        """The place before `_at`."""
        self._at = 0 if passed is None else bisect_right(order.places, passed)
        self._found: list[Place] = []
        self._late = order.late_before + len(order.late)
        self._edition = order.edition

    def _go_on(self) -> None:
        """Void places were taken out: go on where the walk was, unless it missed a late one."""
        order = self._order
        if self._passed is None or order.late or self._late < order.late_before:
            self._begin()
            return
        self._at = bisect_right(order.places, self._passed)
        self._edition = order.edition

    def _catch_up(self) -> None:
        order = self._order
        if self._edition != order.edition:
            self._go_on()
        elif self._late < order.late_before + len(order.late):
            self._look_at_late()

    def first(self, reached: Reached | None) -> Seat | None:
        """The longest idle agent who meets the requirements."""
        self._catch_up()
        found = self._found
        while found:
            place = found[0]
            if place[3].standing == place[2]:
                return place[3]
            del found[0]
        places = self._order.places
        at = self._next_meeting() if reached is None else self._next_reached(reached)
        if at < 0:
            self._at = len(places)
        else:
            self._at = at + 1
            found.append(places[at])
        if self._at:
            self._passed = places[self._at - 1]
        return found[0][3] if found else None

    def _next_meeting(self) -> int:
        """Where the next agent stands who meets the requirements; -1: nowhere."""
        for at, place in enumerate(islice(self._order.places, self._at, None), self._at):
            if place[3].standing == place[2] and meets(place[4], self._requirements):
                return at
        return -1

    def _next_reached(self, reached: Reached) -> int:
        """The same, for less: sets are asked, which touches neither the agent nor its skills."""
        fewest = reached[0]
        others = reached[1:]
        for at, place in enumerate(islice(self._order.places, self._at, None), self._at):
            agent = place[1]
            if agent in fewest:
                for more in others:
                    if agent not in more:
                        break
                else:
                    if place[3].standing == place[2]:
                        return at
        return -1

    def _look_at_late(self) -> None:
        """Those who were put in where the walk has passed already, back from an offer perhaps."""
        order = self._order
        for place in order.late[self._late - order.late_before :]:
            if self._passed is not None and place < self._passed:
                self._at += 1
                if meets(place[4], self._requirements):
                    insort(self._found, place)
        self._late = order.late_before + len(order.late)

    def after(self, first: Seat, beyond: int, most: int) -> list[Seat]:
        """Who comes next after `first`, just found: `most` of the `beyond` agents behind."""
        behind = first.place
        assert behind is not None
        self._catch_up()  # `first` may have been found without the walk
        found = [p[3] for p in self._found if p > behind and p[3].standing == p[2]]
        places = self._order.places
        begin = self._at
        if self._passed is None or self._passed < behind:
            begin = bisect_right(places, behind)
        for place in islice(places, begin, None):
            if beyond == 0 or len(found) >= most:
                break
            seat = place[3]
            if seat.standing == place[2]:
                beyond -= 1
                if meets(place[4], self._requirements):
                    found.append(seat)
        return found[:most]


class Shelf:
    """Agents of one profile with the same channels open, in idle order."""

    __slots__ = (
        "_everybody",
        "_newest",
        "_walks",
        "by_skill",
        "interrupted",
        "key",
        "loaded",
        "order",
        "pool",
        "room",
    )

    def __init__(self, pool: Pool, key: ShelfKey) -> None:
        self.pool = pool
        self.key = key
        self.loaded, self.room, self.interrupted = key
        self.order: dict[AgentId, Place] = {}
        """Who stands here, in no order."""
        self.by_skill: dict[str, IdleOrder] = {}
        self._everybody = IdleOrder()
        self._newest: IdleKey = (0, AgentId(""))
        self._walks: dict[Requirements, _Walk] = {}

    def add(self, seat: Seat) -> None:
        """The agent stands here now, at the place its idle key gives."""
        agent = seat.agent
        idle = seat.idle
        seat.stood += 1
        seat.standing = seat.stood
        place: Place = (idle[0], idle[1], seat.stood, seat, agent.skills)
        seat.place = place
        self.order[agent.id] = place
        lists = seat.lists.get(self)
        if lists is None:
            by_skill = self.by_skill
            lists = [by_skill.setdefault(skill, IdleOrder()) for skill in agent.skills]
            lists = seat.lists[self] = [self._everybody, *lists]
        if idle >= self._newest:
            self._newest = idle
            for listed in lists:
                listed.places.append(place)
                if len(listed.places) > listed.most:
                    listed.tidy()
        else:  # back from an offer that came to nothing: its idle time runs on
            for listed in lists:
                listed.put(place)

    def remove(self, seat: Seat) -> None:
        """The agent stands elsewhere, or nowhere."""
        del self.order[seat.agent.id]
        seat.place, seat.standing = None, 0

    def first(
        self, contact: Contact, reached: Reached | None = None, new: bool = False
    ) -> Seat | None:
        """The longest idle agent here who meets what the contact asks.

        `reached`: sets of agents, here and elsewhere; who is in all of them meets it.
        `new`: nobody has asked for this before, so that a walk would have to begin in front.
        """
        requirements = contact.requirements
        if new and reached and len(reached) == 1 and len(reached[0]) <= _EACH:
            agents = reached[0].difference(contact.excluded) if contact.excluded else reached[0]
            best = min(filter(None, map(self.order.get, agents)), default=None)
            return best[3] if best is not None else None
        walk = self._walks.get(requirements)
        if walk is None:
            listed = self._rarest(requirements)
            if not listed.places:
                return None
            if len(self._walks) >= _WALKS_MOST:
                self._walks = {}
            walk = self._walks[requirements] = _Walk(listed, requirements)
        seat = walk.first(reached)
        if seat is not None and seat.agent.id in contact.excluded:
            return next(self.walk(contact), None)
        return seat

    def walk(self, contact: Contact) -> Iterator[Seat]:
        """All agents here who meet what the contact asks, longest idle first."""
        requirements = contact.requirements
        for place in self._rarest(requirements).places:
            seat = place[3]
            if (
                seat.standing == place[2]
                and meets(place[4], requirements)
                and seat.agent.id not in contact.excluded
            ):
                yield seat

    def after(self, first: Seat, contact: Contact, beyond: int, most: int) -> list[Seat]:
        """Who comes next after `first` (found by `first()`): `most` of the `beyond` behind."""
        requirements = contact.requirements
        walk = self._walks.get(requirements)
        if walk is None:
            walk = _Walk(self._rarest(requirements), requirements, first.place)
        excluded = contact.excluded
        seats = walk.after(first, beyond, most + len(excluded))
        if excluded:
            seats = [seat for seat in seats if seat.agent.id not in excluded]
        return seats[:most]

    def _rarest(self, requirements: Requirements) -> IdleOrder:
        """The shortest list that everybody who meets the requirements stands in."""
        shortest = self._everybody
        for skill, _ in requirements:
            found = self.by_skill.get(skill)
            if found is None:
                return IdleOrder()
            if len(found.places) < len(shortest.places):
                shortest = found
        return shortest


class Pool:
    """All agents of one routing profile."""

    __slots__ = ("profile", "ready", "shelves", "standing")

    def __init__(self, profile: str) -> None:
        self.profile = profile
        self.ready = 0
        """Agents of this profile who are ready, with room or not."""
        self.shelves: dict[ShelfKey, Shelf] = {}
        self.standing: dict[ShelfKey, Shelf] = {}
        """Shelves with somebody on them."""


class Roster:
    """All agents of the workspace."""

    def __init__(self) -> None:
        self.seats: dict[AgentId, Seat] = {}
        self.pools: dict[str, Pool] = {}
        self.bits: dict[str, int] = {}
        """Bit of each channel in room masks."""
        self.live: dict[str, int] = {}
        """The same; 0 while the channel is paused, and nobody is offered anything of it."""
        self.running = 0
        """All of `live` together."""
        self._paused: tuple[str, ...] = ()
        self.open: dict[AgentId, Seat] = {}
        """Agents with room for anything, by interruption at least."""
        self._unplaced: dict[AgentId, Seat] = {}
        self._all = 0
        self._uniform = False
        """An agent with nothing to do, and no numbers of its own, has room for every channel."""
        self._policy = Policy(version="")
        self._capacity = 0
        self._cheapest = 0
        """Units free below which there is room for nothing."""
        self._channels: list[tuple[int, Channel]] = []
        self._profile_channels: dict[str, list[tuple[int, Channel]]] = {}

    def use(self, policy: Policy, now_us: int) -> None:
        """New settings: everybody is shelved anew."""
        for seat in self.seats.values():
            self.unshelve(seat)
        self._policy = policy
        self.bits = {name: 1 << i for i, name in enumerate(policy.channels)}
        self.pause(self._paused)
        self._all = (1 << len(policy.channels)) - 1
        self._uniform = all(
            c.cost <= policy.capacity and c.maximum > 0 for c in policy.channels.values()
        )
        self._capacity = policy.capacity
        costs = [_NEVER if c.interrupts else c.cost for c in policy.channels.values()]
        self._cheapest = min(costs, default=0)
        self._channels = [(self.bits[c.name], c) for c in policy.channels.values()]
        self.pools = {name: Pool(name) for name in policy.profiles}
        for seat in self.seats.values():
            seat.lists = {}
            if seat.agent.presence is Presence.READY:
                self.pool(seat).ready += 1
            self.shelve(seat, now_us)

    def pause(self, channels: Iterable[str]) -> None:
        """Exactly these channels are paused. Who has room for them still has."""
        self._paused = tuple(channels)
        self.live = self.bits | {name: 0 for name in self._paused if name in self.bits}
        self.running = sum(self.live.values())

    def pool(self, seat: Seat) -> Pool:
        """The agent's pool; an unknown profile serves nothing and has a pool all the same."""
        name = seat.agent.profile
        found = self.pools.get(name)
        if found is None:
            found = self.pools[name] = Pool(name)
        return found

    def shelve(self, seat: Seat, now_us: int) -> None:
        """Work out the agent's room; `unshelve` before changing presence or load.

        The agent is put on a shelf only when somebody looks there (`available`): one who frees
        up and is given the next contact at once never needs to be.
        """
        agent = seat.agent
        if agent.presence is not Presence.READY or agent.lost_at_us:
            return
        load = seat.load
        if not load.reservations and self._uniform and not agent.capacity and not agent.maximum:
            seat.room, seat.interrupted = self._all, 0
        elif self._capacity - load.units < self._cheapest and not agent.capacity:
            return  # full, the common case in a busy centre
        else:
            seat.room, seat.interrupted = room_masks(
                agent, load, self._channels, self._policy, now_us
            )
        if seat.room or seat.interrupted:
            # Unloaded ones by how long they are idle, then loaded ones by their last accept.
            seat.loaded = bool(load.reservations)
            seat.idle = (agent.accepted_at_us if seat.loaded else agent.idle_since_us, agent.id)
            self._unplaced[agent.id] = seat
            self.open[agent.id] = seat

    def unshelve(self, seat: Seat) -> None:
        """The agent has no room, until `shelve`."""
        if not seat.room and not seat.interrupted:
            return
        del self.open[seat.agent.id]
        seat.room = seat.interrupted = 0
        shelf = seat.shelf
        if shelf is not None:
            shelf.remove(seat)
            seat.shelf = None
            if not shelf.order:
                del shelf.pool.standing[shelf.key]
        else:
            del self._unplaced[seat.agent.id]

    def _place(self) -> None:
        for seat in self._unplaced.values():
            key = (seat.loaded, seat.room, seat.interrupted)
            pool = self.pool(seat)
            shelf = pool.shelves.get(key)
            if shelf is None:
                shelf = pool.shelves[key] = Shelf(pool, key)
            if not shelf.order:
                pool.standing[key] = shelf
            shelf.add(seat)
            seat.shelf = shelf
        self._unplaced = {}

    def available(self, pools: Iterable[Pool], bit: int) -> list[list[Shelf]] | None:
        """Shelves with room for a channel: unloaded, loaded, and by interruption only; or None."""
        if self._unplaced:
            self._place()
        classes: list[list[Shelf]] | None = None
        for pool in pools:
            for shelf in pool.standing.values():
                if shelf.room & bit:
                    at = 1 if shelf.loaded else 0
                elif shelf.interrupted & bit:
                    at = 2
                else:
                    continue
                if classes is None:
                    classes = [[], [], []]
                classes[at].append(shelf)
        return classes
