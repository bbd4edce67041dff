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
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush

from sortedcontainers import SortedList

from router.core.model import AgentId, Contact, ContactId, QueueId, Requirements

Key = tuple[int, int, int]
LineKey = tuple[QueueId, str, int]

_SUBSET = 3
"""Skills of a requirement that name its group; more are checked with the levels."""
_GROUPS_MOST = 100_000
"""Groups kept, empty ones too; then the empty ones are forgotten."""
_BY_LINE_FROM = 48
"""A group with more heads than this is indexed by line as well."""


def key_of(contact: Contact) -> Key:
    """The static order of waiting contacts; smaller is served first."""
    return (contact.tier, contact.due_at_us - contact.head_start_us, contact.arrival_no)


class Line:
    """The contacts that one kind of agent can reach in one queue and channel."""

    __slots__ = ("channel", "count", "delay_us", "no", "queue")

    def __init__(self, no: int, queue: QueueId, channel: str, delay_us: int) -> None:
        self.no = no
        self.queue = queue
        self.channel = channel
        self.delay_us = delay_us
        self.count = 0


class Entry:
    """A waiting contact's place."""

    __slots__ = ("alive", "buckets", "contact", "key", "no")

    def __init__(self, contact: Contact, no: int) -> None:
        self.no = no
        """Tells it from a dead entry of the same contact with the same key."""
        self.contact = contact
        self.key = key_of(contact)
        self.buckets: list[Bucket] = []
        self.alive = True


Head = tuple[int, int, int, int, "Bucket"]


class Bucket:
    """Contacts of one line with one signature: a heap by key, dead entries skipped lazily."""

    __slots__ = ("alive", "group", "head", "heap", "line", "no", "requirements")

    def __init__(self, no: int, line: Line, requirements: Requirements, group: Group) -> None:
        self.no = no
        self.line = line
        self.requirements = requirements
        self.group = group
        self.heap: list[tuple[int, int, int, int, Entry]] = []
        self.alive = 0
        self.head: Head | None = None

    def add(self, entry: Entry) -> None:
        """A contact stands here; becomes the head if its key is the smallest."""
        key = entry.key
        heap = self.heap
        heappush(heap, (*key, entry.no, entry))
        self.alive += 1
        head = self.head
        if head is None:
            self.head = (*key, self.no, self)
            self.group.show(self.head)
        elif key < (head[0], head[1], head[2]):
            self.group.hide(head)
            self.head = (*key, self.no, self)
            self.group.show(self.head)

    def discard(self, entry: Entry) -> None:
        """`entry` is dead now (its `alive` is False already)."""
        self.alive -= 1
        heap = self.heap
        if heap[0][4] is not entry:
            if len(heap) > 64 and len(heap) > 3 * self.alive:
                self.heap = [item for item in heap if item[4].alive]
                heapify(self.heap)
            return
        while heap and not heap[0][4].alive:
            heappop(heap)
        assert self.head is not None
        self.group.hide(self.head)
        if heap:
            first = heap[0]
            self.head = (first[0], first[1], first[2], self.no, self)
            self.group.show(self.head)
        else:
            self.head = None

    def in_order(self) -> Iterator[Entry]:
        """Entries by key without disturbing the heap: walks its tree, best first."""
        heap = self.heap
        if not heap:
            return
        frontier = [(heap[0][:4], 0)]
        while frontier:
            _, at = heappop(frontier)
            if heap[at][4].alive:
                yield heap[at][4]
            for child in (2 * at + 1, 2 * at + 2):
                if child < len(heap):
                    heappush(frontier, (heap[child][:4], child))


class Group:
    """The buckets that ask for the same skills, by their heads."""

    __slots__ = ("by_line", "heads", "mask")

    def __init__(self, mask: int) -> None:
        self.mask = mask
        self.heads: list[Head] = []
        self.by_line: dict[Line, list[Head]] | None = None

    def show(self, head: Head) -> None:
        """A bucket has a new head."""
        insort(self.heads, head)
        if self.by_line is not None:
            insort(self.by_line.setdefault(head[4].line, []), head)
        elif len(self.heads) > _BY_LINE_FROM:
            self.by_line = {}
            for known in self.heads:
                self.by_line.setdefault(known[4].line, []).append(known)

    def hide(self, head: Head) -> None:
        """A bucket's head is its head no more."""
        heads = self.heads
        del heads[bisect_left(heads, head)]
        if self.by_line is not None:
            line = self.by_line[head[4].line]
            del line[bisect_left(line, head)]
            if not line:
                del self.by_line[head[4].line]


class Positions:
    """Keys of everything waiting per queue and channel: who stands where in the line."""

    def __init__(self) -> None:
        self._keys: dict[tuple[QueueId, str], SortedList[Key]] = {}

    def add(self, contact: Contact) -> None:
        """The contact stands in its line."""
        keys = self._keys.get((contact.queue, contact.channel))
        if keys is None:
            keys = self._keys[contact.queue, contact.channel] = SortedList()
        keys.add(key_of(contact))

    def remove(self, contact: Contact) -> None:
        """The contact leaves; queue, channel and key are those it stood there with."""
        self._keys[contact.queue, contact.channel].remove(key_of(contact))

    def of(self, queue: QueueId, channel: str, key: Key) -> int:
        """The place of somebody with this key; 1 = next."""
        keys = self._keys.get((queue, channel))
        return keys.bisect_left(key) + 1 if keys else 1

    def count(self, queue: QueueId, channel: str) -> int:
        """How many wait on one channel."""
        return len(self._keys.get((queue, channel), ()))

    def count_all(self, queue: QueueId) -> int:
        """How many wait in a queue, on all channels."""
        return sum(len(keys) for (name, _), keys in self._keys.items() if name == queue)


class Reader:
    """What an agent knows of the groups: its skills as a mask, and the groups within reach."""

    __slots__ = ("groups", "mask")

    def __init__(self) -> None:
        self.mask = 0
        self.groups: list[Group] = []


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
        self._readers: dict[int, dict[AgentId, Reader]] = {}
        """Agents by the bit of each of their skills; 0: all of them."""
        self._skills: dict[str, int] = {}
        self._buckets: dict[tuple[Line, Requirements], Bucket] = {}
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
        bucket = self._bucket(line, entry.contact.requirements)
        if bucket in entry.buckets:
            return
        entry.buckets.append(bucket)
        bucket.add(entry)
        line.count += 1
        if line.count == 1:
            self.busy.add(line)

    def keep_for(self, entry: Entry, agent: AgentId) -> None:
        """Only this agent can reach it."""
        self.own.setdefault(agent, {})[entry.contact.id] = entry

    def remove(self, contact: Contact) -> None:
        """It waits no more. Uses the place it was given, whatever the contact says by now."""
        entry = self.entries.pop(contact.id)
        entry.alive = False
        for bucket in entry.buckets:
            bucket.discard(entry)
            bucket.line.count -= 1
            if bucket.line.count == 0:
                self.busy.discard(bucket.line)
            if bucket.head is None:
                del self._buckets[bucket.line, bucket.requirements]
        for agent in (contact.hold_agent, contact.target_agent):
            if agent and agent in self.own:
                self.own[agent].pop(contact.id, None)
                if not self.own[agent]:
                    del self.own[agent]

    def enroll(self, agent: AgentId, reader: Reader, skills: Iterable[str]) -> None:
        """An agent with these skills: told of every group within reach, now and later."""
        reader.mask = 0
        for skill in skills:
            bit = self._bit(skill)
            reader.mask |= bit
            self._readers.setdefault(bit, {})[agent] = reader
        self._readers.setdefault(0, {})[agent] = reader
        reader.groups = [g for mask, g in self.groups.items() if not mask & ~reader.mask]

    def withdraw(self, agent: AgentId, reader: Reader) -> None:
        """The agent is gone, or its skills change."""
        for bit, readers in self._readers.items():
            if not bit & ~reader.mask:
                readers.pop(agent, None)

    def _new_group(self, mask: int) -> Group:
        if len(self.groups) >= _GROUPS_MOST:
            self.groups = {m: group for m, group in self.groups.items() if group.heads}
            for reader in self._readers.get(0, {}).values():
                reader.groups = [group for group in reader.groups if group.heads]
        group = self.groups[mask] = Group(mask)
        rarest: dict[AgentId, Reader] | None = self._readers.get(0, {}) if not mask else None
        for bit in _bits(mask):
            readers = self._readers.get(bit)
            if not readers:
                return group
            if rarest is None or len(readers) < len(rarest):
                rarest = readers
        for reader in (rarest or {}).values():
            if not mask & ~reader.mask:
                reader.groups.append(group)
        return group

    def _bucket(self, line: Line, requirements: Requirements) -> Bucket:
        bucket = self._buckets.get((line, requirements))
        if bucket is None:
            mask = 0
            for skill, _ in requirements[:_SUBSET]:
                mask |= self._bit(skill)
            group = self.groups.get(mask)
            if group is None:
                group = self._new_group(mask)
            self._no += 1
            bucket = Bucket(self._no, line, requirements, group)
            self._buckets[line, requirements] = bucket
        return bucket

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
