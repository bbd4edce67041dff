"""Waiting contacts, indexed so that an agent finds the best one without scanning the line.

A contact stands in one *bucket* per line it can be reached through. A *line* is (queue, channel,
delay): agents whose profile delays a queue read the line of that delay, which a contact joins when
it has waited that long. A bucket holds the contacts of one line with one requirement signature, in
order of their static key ``(tier, due - head start, arrival number)``.

Buckets are grouped by *which skills* they ask (at most the three first of them): an agent
knows the groups within its reach (a new group is made known to those who have its rarest skill) and
compares bucket heads there. Splitting a group by level vector, and comparing heads only, keeps
a backlog that this agent cannot serve from being scanned contact by contact.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush

from sortedcontainers import SortedList

from router.core.model import AgentId, Contact, ContactId, QueueId, Requirements

Key = tuple[int, int, int]
LineKey = tuple[QueueId, str, int]

_SUBSET = 3
"""Skills of a requirement that name its group; more are checked with the levels."""
_GROUPS_MOST = 100_000
"""Groups kept, empty ones too; then the empty ones are forgotten."""


def key_of(contact: Contact) -> Key:
    """The static order of waiting contacts; smaller is served first."""
    return (contact.tier, contact.due_at_us - contact.head_start_us, contact.arrival_no)


def packed_key(contact: Contact) -> int:
    """The same order as one number: it is compared at once, and lies in one place in memory."""
    return packed(key_of(contact))


def packed(key: Key) -> int:
    """A key as one number."""
    tier, due_us, arrival_no = key
    return (((tier << 64) + due_us) << 48) + arrival_no


BEHIND_ALL = 1 << 256
"""Greater than any packed key."""


class Line:
    """The contacts that one kind of agent can reach in one queue and channel."""

    __slots__ = ("buckets", "channel", "count", "delay_us", "no", "queue")

    def __init__(self, no: int, queue: QueueId, channel: str, delay_us: int) -> None:
        self.no = no
        self.queue = queue
        self.channel = channel
        self.delay_us = delay_us
        self.count = 0
        self.buckets: dict[Requirements, Bucket] = {}


class Entry:
    """A waiting contact's place."""

    __slots__ = ("alive", "buckets", "contact", "key", "no")

    def __init__(self, contact: Contact, no: int) -> None:
        self.no = no
        """Tells it from a dead entry of the same contact with the same key."""
        self.contact = contact
        self.key = packed_key(contact)
        self.buckets: tuple[Bucket, ...] = ()
        self.alive = True


Head = tuple[int, int, "Bucket"]
"""Key of a bucket's first contact, number of the bucket."""


class Bucket:
    """Contacts of one line with one signature: a heap by key, dead entries skipped lazily."""

    __slots__ = ("alive", "group", "head", "heap", "line", "no", "requirements")

    def __init__(self, no: int, line: Line, requirements: Requirements, group: Group) -> None:
        self.no = no
        self.line = line
        self.requirements = requirements
        self.group = group
        self.heap: list[tuple[int, int, Entry]] = []
        self.alive = 0
        self.head: Head | None = None

    def add(self, entry: Entry) -> None:
        """A contact stands here; becomes the head if its key is the smallest."""
        key = entry.key
        heappush(self.heap, (key, entry.no, entry))
        self.alive += 1
        head = self.head
        if head is None or key < head[0]:
            self.head = (key, self.no, self)
            self.group.show(self.line.queue, head, self.head)

    def discard(self, entry: Entry) -> None:
        """`entry` is dead now (its `alive` is False already)."""
        self.alive -= 1
        heap = self.heap
        if heap[0][2] is not entry:
            if len(heap) > 64 and len(heap) > 3 * self.alive:
                self.heap = [item for item in heap if item[2].alive]
                heapify(self.heap)
            return
        heappop(heap)
        while heap and not heap[0][2].alive:
            heappop(heap)
        head = self.head
        self.head = (heap[0][0], self.no, self) if heap else None
        self.group.show(self.line.queue, head, self.head)

    def in_order(self) -> Iterator[Entry]:
        """Entries by key without disturbing the heap: walks its tree, best first."""
        heap = self.heap
        if not heap:
            return
        frontier = [(heap[0][:2], 0)]
        while frontier:
            _, at = heappop(frontier)
            if heap[at][2].alive:
                yield heap[at][2]
            for child in (2 * at + 1, 2 * at + 2):
                if child < len(heap):
                    heappush(frontier, (heap[child][:2], child))


class Group:
    """The buckets that ask for the same skills: their heads in order, queue by queue."""

    __slots__ = ("first", "heads", "mask")

    def __init__(self, mask: int) -> None:
        self.mask = mask
        self.heads: dict[QueueId, list[Head]] = {}
        self.first = BEHIND_ALL
        """The smallest key here: agents look at this first, and mostly at nothing else."""

    def show(self, queue: QueueId, old: Head | None, new: Head | None) -> None:
        """A bucket of this queue has a new head in place of an old one; None for an empty one."""
        heads = self.heads.get(queue)
        if heads is None:
            heads = self.heads[queue] = []
        if old is not None:
            del heads[0 if heads[0] is old else bisect_left(heads, old)]
        if new is not None:
            insort(heads, new)
        elif not heads:
            del self.heads[queue]
        if new is not None and new[0] < self.first:
            self.first = new[0]
        elif old is not None and old[0] == self.first:
            self.first = self._least()

    def _least(self) -> int:
        by_queue = self.heads.values()
        if len(by_queue) > 1:
            return min([heads[0][0] for heads in by_queue])
        for heads in by_queue:
            return heads[0][0]
        return BEHIND_ALL


class Positions:
    """Keys of everything waiting per queue and channel: who stands where in the line."""

    def __init__(self) -> None:
        self._keys: dict[tuple[QueueId, str], SortedList[int]] = {}

    def add(self, entry: Entry) -> None:
        """The contact stands in its line."""
        self._of(entry.contact.queue, entry.contact.channel).add(entry.key)

    def add_all(self, entries: Iterable[Entry]) -> None:
        """The same for many, sorted once."""
        found: dict[tuple[QueueId, str], list[int]] = {}
        for entry in entries:
            place = entry.contact.queue, entry.contact.channel
            keys = found.get(place)
            if keys is None:
                keys = found[place] = []
            keys.append(entry.key)
        for (queue, channel), keys in found.items():
            self._of(queue, channel).update(keys)

    def remove(self, entry: Entry) -> None:
        """The contact leaves; its queue and channel are those it stood there with."""
        self._keys[entry.contact.queue, entry.contact.channel].remove(entry.key)

    def of(self, queue: QueueId, channel: str, key: Key) -> int:
        """The place of somebody with this key; 1 = next."""
        keys = self._keys.get((queue, channel))
        return keys.bisect_left(packed(key)) + 1 if keys else 1

    def count(self, queue: QueueId, channel: str) -> int:
        """How many wait on one channel."""
        return len(self._keys.get((queue, channel), ()))

    def count_all(self, queue: QueueId) -> int:
        """How many wait in a queue, on all channels."""
        return sum(len(keys) for (name, _), keys in self._keys.items() if name == queue)

    def _of(self, queue: QueueId, channel: str) -> SortedList[int]:
        keys = self._keys.get((queue, channel))
        if keys is None:
            keys = self._keys[queue, channel] = SortedList()
        return keys


class Reader:
    """What an agent knows of the groups: its skills as a mask, and the groups within reach."""

    __slots__ = ("groups", "mask")

    def __init__(self) -> None:
        self.mask = 0
        self.groups: list[Group] = []


Reached = list[set[AgentId]]
"""Agents who reach a level, for each skill asked; none of the sets is to be changed."""


class Readers:
    """The agents with one skill."""

    __slots__ = ("_levels", "_reached", "by_agent", "turn")

    def __init__(self) -> None:
        self.by_agent: dict[AgentId, Reader] = {}
        self.turn = 0
        """How often somebody has come, gone or changed."""
        self._levels: dict[AgentId, int] = {}
        self._reached: dict[int, set[AgentId]] = {}

    def __len__(self) -> int:
        return len(self.by_agent)

    def enroll(self, agent: AgentId, reader: Reader, level: int) -> None:
        """The agent has the skill at this level."""
        self.by_agent[agent] = reader
        self._levels[agent] = level
        self.turn += 1
        for least, reached in self._reached.items():
            if level >= least:
                reached.add(agent)

    def withdraw(self, agent: AgentId) -> None:
        """The agent, if it was here, is so no more."""
        if self.by_agent.pop(agent, None) is not None:
            del self._levels[agent]
            self.turn += 1
            for reached in self._reached.values():
                reached.discard(agent)

    def reached(self, least: int) -> set[AgentId]:
        """Those with the skill at this level at least; not to be changed."""
        found = self._reached.get(least)
        if found is None:
            found = {agent for agent, level in self._levels.items() if level >= least}
            self._reached[least] = found
        return found


class Waiting:
    """All contacts in state *queued*, and where each of them can be reached."""

    def __init__(self) -> None:
        self.entries: dict[ContactId, Entry] = {}
        self.groups: dict[int, Group] = {}
        self.lines: dict[LineKey, Line] = {}
        self.own: dict[AgentId, dict[ContactId, Entry]] = {}
        """Contacts that only this agent may have: held for it, or sent to it."""
        self.busy: set[Line] = set()
        """Lines with somebody in them."""
        self._readers: dict[int, Readers] = {0: Readers()}
        """Agents by the bit of each of their skills; 0: all of them."""
        self._skills: dict[str, int] = {}
        self._no = 0

    def __len__(self) -> int:
        return len(self.entries)

    def line(self, queue: QueueId, channel: str, delay_us: int) -> Line:
        """The line with this name; made on first use and kept."""
        found = self.lines.get((queue, channel, delay_us))
        if found is None:
            found = Line(len(self.lines), queue, channel, delay_us)
            self.lines[queue, channel, delay_us] = found
        return found

    def add(self, contact: Contact) -> Entry:
        """The contact waits; nobody can reach it before it is placed."""
        assert contact.id not in self.entries, f"{contact.id} waits already"
        self._no += 1
        entry = Entry(contact, self._no)
        self.entries[contact.id] = entry
        return entry

    def place(self, entry: Entry, line: Line) -> None:
        """Agents who read `line` can reach it from now on."""
        requirements = entry.contact.requirements
        bucket = line.buckets.get(requirements)
        if bucket is None:
            bucket = line.buckets[requirements] = self._new_bucket(line, requirements)
        elif bucket in entry.buckets:
            return
        entry.buckets += (bucket,)
        bucket.add(entry)
        line.count += 1
        if line.count == 1:
            self.busy.add(line)

    def keep_for(self, entry: Entry, agent: AgentId) -> None:
        """Only this agent can reach it."""
        self.own.setdefault(agent, {})[entry.contact.id] = entry

    def remove(self, contact: Contact) -> Entry:
        """It waits no more. Uses the place it was given, whatever the contact says by now."""
        entry = self.entries.pop(contact.id)
        entry.alive = False
        for bucket in entry.buckets:
            bucket.discard(entry)
            line = bucket.line
            line.count -= 1
            if bucket.head is None:
                del line.buckets[bucket.requirements]
                if not line.count:
                    self.busy.discard(line)
        for agent in (contact.hold_agent, contact.target_agent):
            if agent and agent in self.own:
                self.own[agent].pop(contact.id, None)
                if not self.own[agent]:
                    del self.own[agent]
        return entry

    def enroll(self, agent: AgentId, reader: Reader, skills: Mapping[str, int]) -> None:
        """An agent with these skills: told of every group within reach, now and later."""
        reader.mask = 0
        self._readers[0].enroll(agent, reader, 0)
        for skill, level in skills.items():
            bit = self._bit(skill)
            reader.mask |= bit
            self._with(bit).enroll(agent, reader, level)
        reader.groups = [g for mask, g in self.groups.items() if not mask & ~reader.mask]

    def withdraw(self, agent: AgentId, reader: Reader) -> None:
        """The agent is gone, or its skills change."""
        for bit, readers in self._readers.items():
            if not bit & ~reader.mask:
                readers.withdraw(agent)

    def reached(self, requirements: Requirements) -> Reached:
        """The agents who have each of these skills at its level, the fewest first."""
        found = [self._with(self._bit(skill)).reached(level) for skill, level in requirements]
        found.sort(key=len)
        return found

    def rarest(self, requirements: Requirements) -> Readers:
        """The agents with that skill of these which the fewest have."""
        found = [self._with(self._bit(skill)) for skill, _ in requirements]
        return min(found, key=len)

    def _with(self, bit: int) -> Readers:
        readers = self._readers.get(bit)
        if readers is None:
            readers = self._readers[bit] = Readers()
        return readers

    def _new_group(self, mask: int) -> Group:
        if len(self.groups) >= _GROUPS_MOST:
            self.groups = {m: group for m, group in self.groups.items() if group.heads}
            for reader in self._readers[0].by_agent.values():
                reader.groups = [group for group in reader.groups if group.heads]
        group = self.groups[mask] = Group(mask)
        readers = sorted((self._with(bit) for bit in _bits(mask)), key=len) or [self._readers[0]]
        first, *others = [each.reached(0) for each in readers]
        for agent in sorted(first.intersection(*others)):
            readers[0].by_agent[agent].groups.append(group)
        return group

    def _new_bucket(self, line: Line, requirements: Requirements) -> Bucket:
        mask = 0
        for skill, _ in requirements[:_SUBSET]:
            mask |= self._bit(skill)
        group = self.groups.get(mask)
        if group is None:
            group = self._new_group(mask)
        self._no += 1
        return Bucket(self._no, line, requirements, group)

    def _bit(self, skill: str) -> int:
        bit = self._skills.get(skill)
        if bit is None:
            bit = self._skills[skill] = 1 << len(self._skills)
        return bit


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        bit = mask & -mask
        found.append(bit)
        mask ^= bit
    return found
