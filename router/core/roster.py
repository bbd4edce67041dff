"""Agents who have room, indexed so that a contact finds the best one without asking all of them.

Ready agents with room stand on *shelves*: one per routing profile, set of channels with room, and
whether they are loaded. An agent stands on exactly one shelf, so a change of load moves it once.
On a shelf agents are in idle order (longest idle first); each skill has its own list in the same
order. A requirement walks the list of its rarest skill; a signature whose walk is long gets a list
of its own (*hot*), so that popular signatures do not step over the same unqualified agents again
and again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from router.core.capacity import Load, room_masks
from router.core.model import Agent, AgentId, Contact, Presence, Requirements
from router.core.policy import Channel, Policy
from router.core.queues import Reader
from router.core.skills import meets

IdleOrder = OrderedDict[AgentId, "Seat"]
IdleKey = tuple[int, str]
ShelfKey = tuple[bool, int, int]
"""Loaded, channels with true room, channels with room by interruption."""

_NOBODY: IdleOrder = OrderedDict()
_LONG_WALK = 16
"""Agents stepped over after which a walk counts as long."""
_HOT_AFTER = 3
"""Long walks after which a signature gets a list of its own."""
_HOT_MOST = 2048
"""Most such lists on one shelf; more and all are dropped to begin anew."""


class Seat:
    """An agent in the roster: row, load, and where it stands."""

    __slots__ = (
        "agent",
        "idle",
        "interrupted",
        "lists",
        "load",
        "reader",
        "room",
        "shelf",
    )

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.load = Load()
        self.room = 0
        """Bits of the channels with true room, if the agent is ready."""
        self.interrupted = 0
        """Bits of the channels with room only by interruption."""
        self.shelf: Shelf | None = None
        self.idle: IdleKey = (0, "")
        self.reader = Reader()
        self.lists: dict[Shelf, _Lists] = {}
        """Where it stands on each shelf; forgotten when its skills change."""


class _Lists:
    """The lists of one shelf that one agent belongs to: its skills', and hot ones as evaluated."""

    __slots__ = ("generation", "lists", "seen")

    def __init__(self, generation: int, lists: list[IdleOrder]) -> None:
        self.generation = generation
        self.lists = lists
        self.seen = 0


class Shelf:
    """Agents of one profile with the same channels open, in idle order."""

    __slots__ = (
        "_generation",
        "_hot",
        "_hot_all",
        "_warm",
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
        self.order: IdleOrder = OrderedDict()
        self.by_skill: dict[str, IdleOrder] = {}
        self._hot: dict[Requirements, IdleOrder] = {}
        self._hot_all: list[tuple[Requirements, IdleOrder]] = []
        self._warm: dict[Requirements, int] = {}
        self._generation = 0

    def add(self, seat: Seat) -> None:
        """The agent stands here now, at the place its idle key gives."""
        id_ = seat.agent.id
        order = self.order
        lists = self._lists_of(seat)
        if not order or next(reversed(order.values())).idle <= seat.idle:
            order[id_] = seat
            for listed in lists:
                listed[id_] = seat
        else:  # back from an offer that came to nothing: its idle time runs on
            _insert(order, seat)
            for listed in lists:
                _insert(listed, seat)

    def remove(self, seat: Seat) -> None:
        """The agent stands elsewhere, or nowhere."""
        id_ = seat.agent.id
        del self.order[id_]
        known = seat.lists[self]
        for listed in known.lists:
            del listed[id_]
        # While it stood here it was entered in every new list it belongs to.
        known.seen = len(self._hot_all)

    def first(self, contact: Contact) -> Seat | None:
        """The longest idle agent here who meets what the contact asks."""
        requirements = contact.requirements
        excluded = contact.excluded
        listed = self._hot.get(requirements) if requirements else self.order
        if listed is not None:
            for id_, seat in listed.items():
                if id_ not in excluded:
                    return seat
            return None
        listed = self._rarest(requirements)
        # Being in the other skills' lists is asked first: it touches less memory than the agent.
        others = [self.by_skill[skill] for skill, _ in requirements if listed]
        others = [other for other in others if other is not listed]
        for misses, (id_, seat) in enumerate(listed.items()):
            for other in others:
                if id_ not in other:
                    break
            else:
                if id_ not in excluded and meets(seat.agent.skills, requirements):
                    return seat
            if misses == _LONG_WALK and self._is_hot(requirements, listed):
                return self.first(contact)
        return None

    def walk(self, contact: Contact) -> Iterator[Seat]:
        """All agents here who meet what the contact asks, longest idle first."""
        requirements = contact.requirements
        for id_, seat in self._listed(requirements).items():
            if id_ not in contact.excluded and meets(seat.agent.skills, requirements):
                yield seat

    def after(self, first: Seat, contact: Contact, beyond: int) -> list[Seat]:
        """Who comes next after `first` (found by `first()`), among the `beyond` agents behind."""
        requirements = contact.requirements
        found = []
        looked = -1
        for id_, seat in self._listed(requirements).items():
            if looked < 0:
                if seat is first:
                    looked = 0
                continue
            if id_ not in contact.excluded and meets(seat.agent.skills, requirements):
                found.append(seat)
            looked += 1
            if looked == beyond:
                break
        return found

    def _listed(self, requirements: Requirements) -> IdleOrder:
        """The shortest list that everybody who meets the requirements stands in."""
        if not requirements:
            return self.order
        hot = self._hot.get(requirements)
        return self._rarest(requirements) if hot is None else hot

    def _rarest(self, requirements: Requirements) -> IdleOrder:
        """The shortest list that everybody who meets the requirements stands in."""
        shortest: IdleOrder | None = None
        for skill, _ in requirements:
            found = self.by_skill.get(skill)
            if not found:
                return _NOBODY
            if shortest is None or len(found) < len(shortest):
                shortest = found
        assert shortest is not None
        return shortest

    def _is_hot(self, requirements: Requirements, listed: IdleOrder) -> bool:
        """A long walk for this signature; the third one gives it a list of its own."""
        walks = self._warm.get(requirements, 0) + 1
        if walks < _HOT_AFTER:
            if len(self._warm) >= _HOT_MOST:
                self._warm = {}
            self._warm[requirements] = walks
            return False
        if len(self._hot_all) >= _HOT_MOST:
            self._cool_down()
        hot: IdleOrder = OrderedDict()
        for id_, seat in listed.items():
            if meets(seat.agent.skills, requirements):
                hot[id_] = seat
                seat.lists[self].lists.append(hot)
        self._hot[requirements] = hot
        self._hot_all.append((requirements, hot))
        return True

    def _cool_down(self) -> None:
        """Too many signatures have a list: drop them all, those still popular come back."""
        self._hot, self._hot_all, self._warm = {}, [], {}
        self._generation += 1
        for seat in self.order.values():
            seat.lists[self] = _Lists(self._generation, self._skill_lists(seat))

    def _skill_lists(self, seat: Seat) -> list[IdleOrder]:
        by_skill = self.by_skill
        return [by_skill.setdefault(skill, OrderedDict()) for skill in seat.agent.skills]

    def _lists_of(self, seat: Seat) -> list[IdleOrder]:
        """The lists that an agent who comes here belongs to."""
        known = seat.lists.get(self)
        if known is None or known.generation != self._generation:
            known = seat.lists[self] = _Lists(self._generation, self._skill_lists(seat))
        if known.seen < len(self._hot_all):
            skills = seat.agent.skills
            for requirements, listed in self._hot_all[known.seen :]:
                if meets(skills, requirements):
                    known.lists.append(listed)
            known.seen = len(self._hot_all)
        return known.lists


def _insert(order: IdleOrder, seat: Seat) -> None:
    """Put a seat that is not the newest at its place, looking from both ends at once."""
    id_, idle = seat.agent.id, seat.idle
    older: list[AgentId] = []
    newer: list[AgentId] = []
    for (front, first), (back, last) in zip(order.items(), reversed(order.items()), strict=True):
        if first.idle > idle:
            order[id_] = seat
            order.move_to_end(id_, last=False)
            for other in reversed(older):
                order.move_to_end(other, last=False)
            return
        if last.idle < idle:
            order[id_] = seat
            for other in reversed(newer):
                order.move_to_end(other)
            return
        older.append(front)
        newer.append(back)
    order[id_] = seat


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
        self._unplaced: dict[AgentId, Seat] = {}
        self._all = 0
        self._uniform = False
        """An agent with nothing to do, and no numbers of its own, has room for every channel."""
        self._policy = Policy(version="")
        self._channels: list[tuple[int, Channel]] = []
        self._profile_channels: dict[str, list[tuple[int, Channel]]] = {}

    def use(self, policy: Policy, now_us: int) -> None:
        """New settings: everybody is shelved anew."""
        for seat in self.seats.values():
            self.unshelve(seat)
        self._policy = policy
        self.bits = {name: 1 << i for i, name in enumerate(policy.channels)}
        self._all = (1 << len(policy.channels)) - 1
        self._uniform = all(
            c.cost <= policy.capacity and c.maximum > 0 for c in policy.channels.values()
        )
        self._channels = [(self.bits[c.name], c) for c in policy.channels.values()]
        self.pools = {name: Pool(name) for name in policy.profiles}
        for seat in self.seats.values():
            seat.lists = {}
            if seat.agent.presence is Presence.READY:
                self.pool(seat).ready += 1
            self.shelve(seat, now_us)

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
        else:
            seat.room, seat.interrupted = room_masks(
                agent, load, self._channels, self._policy, now_us
            )
        if seat.room or seat.interrupted:
            # Unloaded ones by how long they are idle, then loaded ones by their last accept.
            seat.idle = (
                agent.accepted_at_us if load.reservations else agent.idle_since_us,
                agent.id,
            )
            self._unplaced[agent.id] = seat

    def unshelve(self, seat: Seat) -> None:
        """The agent has no room, until `shelve`."""
        seat.room = seat.interrupted = 0
        shelf = seat.shelf
        if shelf is not None:
            shelf.remove(seat)
            seat.shelf = None
            if not shelf.order:
                del shelf.pool.standing[shelf.key]
        else:
            self._unplaced.pop(seat.agent.id, None)

    def _place(self) -> None:
        for seat in self._unplaced.values():
            key = (bool(seat.load.reservations), seat.room, seat.interrupted)
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
