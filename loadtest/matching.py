"""What a matching decision costs, in *floors*.

A floor is heappush, dict set, heappop, dict delete on a heap as long as the line of waiting
contacts: what any router written in Python must pay at least. It is measured in chunks that
alternate with the engine's, by thread CPU time, so a busy machine slows both alike.

The workload: skills are popular by 1/(i+3); an agent has 3-8 of them at levels 1-5; a contact asks
1-3 of a random agent's own skills, each at that agent's level at most, so that somebody can serve
it. *Saturated*: the line holds W contacts; each cycle one busy agent is released and takes its best
contact, and one contact arrives. *Idle*: each cycle one contact arrives and is served, and one
agent becomes free. A decision is one arrival or one release.
"""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from time import thread_time_ns

from router.core.matching import Matcher
from router.core.model import (
    Agent,
    AgentId,
    Contact,
    ContactId,
    ContactState,
    Presence,
    QueueId,
    Requirements,
    Reservation,
    ReservationId,
)
from router.core.policy import Channel, Policy, Profile, ProfileQueue, Queue
from router.core.queues import Waiting
from router.core.roster import Roster, Seat
from router.core.skills import signature

HEAD_STARTS_US = (0, 30_000_000, 120_000_000)
CHUNK = 500


@dataclass(frozen=True)
class Shape:
    """One case of the benchmark."""

    name: str
    agents: int = 10_000
    waiting: int = 100_000
    skills: int = 200
    signatures: int = 0
    """Size of the pool of requirements; 0 = each drawn anew (nearly all unique)."""
    saturated: bool = True
    queues: int = 1
    channels: int = 1
    ranks: int = 1
    limit: float = 0.0
    """Most floors per decision; 0 = only reported."""
    limit_p99: float = 0.0
    """Most floors for the 99th percentile of a release."""


@dataclass
class Result:
    """What one case cost."""

    shape: Shape
    floor_us: float
    decision_us: float
    release_us: list[float] = field(default_factory=list)
    arrival_us: list[float] = field(default_factory=list)
    served: int = 0

    @property
    def floors(self) -> float:
        """Mean cost of a decision in floors."""
        return self.decision_us / self.floor_us

    def percentile(self, values: list[float], share: float) -> float:
        """A percentile in floors."""
        ordered = sorted(values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / self.floor_us


class World:
    """Agents, lines and the algorithm, without the engine around it."""

    def __init__(self, shape: Shape, rng: random.Random) -> None:
        self.shape = shape
        self.rng = rng
        self.weights = [1 / (i + 3) for i in range(shape.skills)]
        self.roster = Roster()
        self.waiting = Waiting()
        self.matcher = Matcher(self.roster, self.waiting)
        self.channels = [f"ch{i}" for i in range(shape.channels)]
        self.policy = self._policy()
        self.seats: list[Seat] = []
        self.now_us = 1_000_000
        self.contact_no = 0
        self.reservation_no = 0
        self._add_agents()
        self.pool = [self._requirements() for _ in range(shape.signatures)]
        self.pool_weights = [1 / (i + 3) for i in range(shape.signatures)]
        self._drawn: list[Requirements] = []
        self.clock_ns = _clock_overhead_ns()

    def _policy(self) -> Policy:
        shape = self.shape
        costs = (100, 33, 20, 10)
        channels = {
            name: Channel(
                name=name,
                cost=100 if shape.channels == 1 else costs[i % 4],
                maximum=1 if shape.channels == 1 else (1, 3, 5, 10)[i % 4],
            )
            for i, name in enumerate(self.channels)
        }
        queues = {QueueId(f"q{i:02d}"): Queue(id=QueueId(f"q{i:02d}")) for i in range(shape.queues)}
        profiles = {}
        names = list(queues)
        for i in range(max(1, shape.queues)):
            # Each profile serves a fifth of the queues (at least one), spread over the ranks.
            width = max(shape.ranks, shape.queues // 5) if shape.queues > 1 else 1
            served = tuple(
                ProfileQueue(queue=names[(i + k) % len(names)], rank=1 + k % shape.ranks)
                for k in range(width)
            )
            profiles[f"p{i:02d}"] = Profile(id=f"p{i:02d}", queues=served)
        return Policy(version="bench", channels=channels, queues=queues, profiles=profiles)

    def _add_agents(self) -> None:
        names = [f"s{i:03d}" for i in range(self.shape.skills)]
        profiles = list(self.policy.profiles)
        for i in range(self.shape.agents):
            skills: dict[str, int] = {}
            for _ in range(self.rng.randint(3, 8)):
                skill = self.rng.choices(names, self.weights)[0]
                while skill in skills:
                    skill = self.rng.choices(names, self.weights)[0]
                skills[skill] = self.rng.randint(1, 5)
            agent = Agent(
                id=AgentId(f"a{i:05d}"),
                order=i,
                skills=skills,
                profile=profiles[i % len(profiles)],
                presence=Presence.READY,
                idle_since_us=i,
            )
            seat = Seat(agent)
            self.roster.seats[agent.id] = seat
            self.seats.append(seat)
        self.roster.use(self.policy, self.now_us)
        self.matcher.use(self.policy)
        for seat in self.seats:
            self.waiting.enroll(seat.agent.id, seat.reader, seat.agent.skills)

    def _requirements(self) -> Requirements:
        skills = self.rng.choice(self.seats).agent.skills
        chosen = self.rng.sample(list(skills), self.rng.randint(1, min(3, len(skills))))
        return signature({skill: self.rng.randint(1, skills[skill]) for skill in chosen})

    def next_requirements(self) -> Requirements:
        """The next contact's requirements, drawn ahead so that drawing is not measured."""
        if not self._drawn:
            if self.pool:
                self._drawn = self.rng.choices(self.pool, self.pool_weights, k=1000)
            else:
                self._drawn = [self._requirements() for _ in range(1000)]
        return self._drawn.pop()

    def make_contact(self) -> Contact:
        """A contact that has just arrived."""
        self.contact_no += 1
        no = self.contact_no
        return Contact(
            id=ContactId(f"c{no:09d}"),
            channel=self.channels[no % len(self.channels)],
            state=ContactState.QUEUED,
            queue=QueueId(f"q{self.rng.randrange(self.shape.queues):02d}"),
            requirements=self.next_requirements(),
            head_start_us=HEAD_STARTS_US[no % 3],
            due_at_us=self.now_us + 20_000_000,
            arrival_no=no,
            visit_at_us=self.now_us,
        )

    # -- the measured operations --------------------------------------------------------------

    def enqueue(self, contact: Contact) -> None:
        """The contact waits in the lines it can be reached through."""
        entry = self.waiting.add(contact)
        self.waiting.place(entry, self.waiting.line(contact.queue, contact.channel, 0))

    def arrive(self, contact: Contact) -> Seat | None:
        """One arrival: an agent, or a place in the line."""
        selection = self.matcher.select_agents(contact, self.now_us)
        if selection is None:
            self.enqueue(contact)
            return None
        return selection.chosen[0].seat

    def take(self, seat: Seat, contact: Contact, reservation: Reservation) -> None:
        """The agent's capacity is held."""
        self.roster.unshelve(seat)
        seat.load.add(reservation)
        seat.agent.accepted_at_us = self.now_us
        self.roster.shelve(seat, self.now_us)

    def release(self, seat: Seat, reservation: Reservation) -> None:
        """The capacity is free again."""
        self.roster.unshelve(seat)
        seat.load.remove(reservation)
        seat.agent.idle_since_us = self.now_us
        self.roster.shelve(seat, self.now_us)

    def reservation(self, seat: Seat, contact: Contact) -> Reservation:
        """A reservation record (made outside the measured part)."""
        self.reservation_no += 1
        return Reservation(
            id=ReservationId(f"r{self.reservation_no}"),
            contact=contact.id,
            agent=seat.agent.id,
            queue=contact.queue,
            channel=contact.channel,
            units=self.policy.channels[contact.channel].cost,
        )


def floor_chunk(size: int, heap: list[tuple[int, int, int, str]], known: dict[str, int]) -> int:
    """CPU nanoseconds of CHUNK floors on a heap of `size` entries."""
    names = [f"f{i:09d}" for i in range(CHUNK)]
    keys = [random.Random(i).randrange(1 << 40) for i in range(CHUNK)]
    begun = thread_time_ns()
    for key, name in zip(keys, names, strict=True):
        heappush(heap, (0, key, size, name))
        known[name] = key
        gone = heappop(heap)
        known.pop(gone[3], None)
    return thread_time_ns() - begun


def run(shape: Shape, cycles: int = 20_000, seed: int = 1) -> Result:
    """Measure one case."""
    rng = random.Random(seed)
    world = World(shape, rng)
    heap = [(0, rng.randrange(1 << 40), i, f"h{i:09d}") for i in range(shape.waiting)]
    heap.sort()
    known = {item[3]: item[1] for item in heap}
    cycle = _saturated(world) if shape.saturated else _idle(world)
    gc.collect()
    gc.freeze()
    gc.disable()
    floors: list[float] = []
    arrivals: list[float] = []
    releases: list[float] = []
    try:
        for _ in range(max(1, cycles // CHUNK // 2)):  # let popular signatures warm up
            for _ in range(CHUNK):
                cycle([], [])
        for _ in range(max(1, cycles // CHUNK)):
            floors.append(floor_chunk(shape.waiting, heap, known) / CHUNK)
            for _ in range(CHUNK):
                cycle(arrivals, releases)
    finally:
        gc.enable()
        gc.unfreeze()
    arrivals = [ns - world.clock_ns for ns in arrivals]
    releases = [ns - world.clock_ns for ns in releases]
    decisions = arrivals + releases
    return Result(
        shape=shape,
        floor_us=statistics.median(floors) / 1000,
        decision_us=sum(decisions) / len(decisions) / 1000,
        release_us=[ns / 1000 for ns in releases],
        arrival_us=[ns / 1000 for ns in arrivals],
        served=len(releases),
    )


Cycle = Callable[[list[float], list[float]], None]


def _saturated(world: World) -> Cycle:
    """All agents busy, `waiting` contacts in line."""
    held: list[tuple[Seat, Reservation]] = []
    for seat in world.seats:
        while seat.room:
            contact = world.make_contact()
            contact.channel = next(
                name for name, bit in world.roster.bits.items() if seat.room & bit
            )
            reservation = world.reservation(seat, contact)
            world.take(seat, contact, reservation)
            held.append((seat, reservation))
    for _ in range(world.shape.waiting):
        world.now_us += 10
        world.enqueue(world.make_contact())

    def cycle(arrivals: list[float], releases: list[float]) -> None:
        world.now_us += 1000
        at = world.rng.randrange(len(held))
        seat, reservation = held[at]
        held[at] = held[-1]
        held.pop()
        begun = thread_time_ns()
        world.release(seat, reservation)
        spent: float = thread_time_ns() - begun
        picks = 0
        while True:  # an agent with units may take several contacts
            begun = thread_time_ns()
            choice = world.matcher.select_contact(seat, world.now_us)
            if choice is not None:
                world.waiting.remove(choice.contact)
            spent += thread_time_ns() - begun - world.clock_ns
            if choice is None:
                break
            taken = world.reservation(seat, choice.contact)
            begun = thread_time_ns()
            world.take(seat, choice.contact, taken)
            spent += thread_time_ns() - begun - world.clock_ns
            releases.append(spent)
            spent = 0.0
            picks += 1
            held.append((seat, taken))
            if not seat.room:
                break
        if not picks:
            releases.append(spent)
        for _ in range(max(1, picks)):
            _arrival(world, held, arrivals)

    return cycle


def _arrival(world: World, held: list[tuple[Seat, Reservation]], arrivals: list[float]) -> None:
    contact = world.make_contact()
    begun = thread_time_ns()
    seat = world.arrive(contact)
    spent: float = thread_time_ns() - begun
    if seat is not None:
        reservation = world.reservation(seat, contact)
        begun = thread_time_ns()
        world.take(seat, contact, reservation)
        spent += thread_time_ns() - begun - world.clock_ns
        held.append((seat, reservation))
    arrivals.append(spent)


def _idle(world: World) -> Cycle:
    """All agents idle; each contact is served at once and one agent becomes free."""
    busy: list[tuple[Seat, Reservation]] = []

    def cycle(arrivals: list[float], releases: list[float]) -> None:
        world.now_us += 1000
        _arrival(world, busy, arrivals)
        if len(busy) > world.shape.agents // 100:
            at = world.rng.randrange(len(busy))
            freed, done = busy[at]
            busy[at] = busy[-1]
            busy.pop()
            before = thread_time_ns()
            world.release(freed, done)
            choice = world.matcher.select_contact(freed, world.now_us)
            if choice is not None:
                world.waiting.remove(choice.contact)
            releases.append(thread_time_ns() - before)

    return cycle


def _clock_overhead_ns() -> float:
    taken = []
    for _ in range(2000):
        begun = thread_time_ns()
        taken.append(thread_time_ns() - begun)
    return statistics.median(taken)


SHAPES = (
    Shape("300 signatures, saturated", signatures=300, limit=4, limit_p99=60),
    Shape("1500 signatures, saturated", signatures=1500, limit=4, limit_p99=40),
    Shape("nearly unique, saturated", limit=6, limit_p99=40),
    Shape("300 signatures, idle", signatures=300, saturated=False, limit=3),
    Shape("1500 signatures, idle", signatures=1500, saturated=False, limit=3),
    Shape("nearly unique, idle", saturated=False, limit=6),
    Shape(
        "50 queues x 4 channels x 3 ranks, units, saturated",
        signatures=300,
        queues=50,
        channels=4,
        ranks=3,
        limit=8,
        limit_p99=60,
    ),
    Shape(
        "50 queues x 4 channels x 3 ranks, units, idle",
        signatures=300,
        queues=50,
        channels=4,
        ranks=3,
        saturated=False,
        limit=8,
    ),
)
