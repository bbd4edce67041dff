"""What one whole command costs in the engine, in floors (see `loadtest.matching`).

State machine, events, capacity, matching, timers, indexes and the changed rows: everything between
the inbox and the journal. Cycles of submit, accept, complete on 10,000 agents with 100,000 waiting.
"""

from __future__ import annotations

import gc
import random
import statistics
from time import thread_time_ns

from loadtest.matching import CHUNK, Shape, World, floor_chunk
from router.core import commands as c
from router.core.effects import OfferContact
from router.core.engine import Engine, Outcome
from router.core.model import AgentId, ContactId, Presence, QueueId, Requirements
from router.core.policy import Policy

COMMANDS = ("SubmitContact", "AcceptOffer", "CompleteContact")


class Floor:
    """The world of the matching workload, inside a whole engine."""

    def __init__(self, shape: Shape, rng: random.Random) -> None:
        drawn = World(shape, rng)
        self._drawn = drawn
        self._queues = list(drawn.policy.queues)
        self.rng = rng
        policy: Policy = drawn.policy
        self.engine = Engine(policy)
        self.now_us = 1_000_000
        self.number = 0
        for seat in drawn.seats:
            agent = seat.agent
            self.do(c.PutAgent(agent=agent.id, skills=dict(agent.skills), profile=agent.profile))
            self.do(c.SetPresence(agent=agent.id, presence=Presence.READY))
        self.offered: list[OfferContact] = []
        self.held: list[ContactId] = []

    def do(self, command: c.Command) -> Outcome:
        """Time, the command, and the rows it changed: what a loop does."""
        self.now_us += 100
        engine = self.engine
        due = engine.next_deadline()
        if due is not None and due <= self.now_us:
            engine.advance(self.now_us)
        outcome = engine.handle(command, self.now_us)
        engine.state.drain()
        return outcome

    def note(self, outcome: Outcome) -> None:
        """Remember who is asked."""
        for effect in outcome.effects:
            if isinstance(effect, OfferContact):
                self.offered.append(effect)

    def submit(self) -> c.SubmitContact:
        """The next arrival."""
        self.number += 1
        requirements: Requirements = self._drawn.next_requirements()
        return c.SubmitContact(
            contact=ContactId(f"c{self.number:09d}"),
            channel=self._drawn.channels[self.number % len(self._drawn.channels)],
            queue=QueueId(self._queues[self.number % len(self._queues)]),
            requirements=requirements,
            external_id=f"e{self.number:09d}",
        )


def run(shape: Shape, cycles: int = 5_000, seed: int = 1) -> tuple[float, dict[str, float]]:
    """Microseconds of a floor, and the floors of each command."""
    floor = Floor(shape, random.Random(seed))
    for _ in range(shape.agents + shape.waiting):
        floor.note(floor.do(floor.submit()))
        while floor.offered:
            _accept(floor)
    heap = [(0, floor.rng.randrange(1 << 40), i, f"h{i:09d}") for i in range(shape.waiting)]
    heap.sort()
    known = {item[3]: item[1] for item in heap}
    spent: dict[str, list[int]] = {name: [] for name in COMMANDS}
    floors: list[float] = []
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for _ in range(max(1, cycles // CHUNK)):
            floors.append(floor_chunk(shape.waiting, heap, known) / CHUNK)
            for _ in range(CHUNK):
                _cycle(floor, spent)
            gc.collect(0)
    finally:
        gc.enable()
        gc.unfreeze()
    floor_ns = statistics.median(floors)
    return floor_ns / 1000, {
        name: sum(values) / len(values) / floor_ns for name, values in spent.items() if values
    }


def _accept(floor: Floor) -> None:
    effect = floor.offered.pop()
    floor.do(c.AcceptOffer(reservation=effect.reservation, agent=AgentId(effect.agent)))
    floor.held.append(effect.contact)


def _cycle(floor: Floor, spent: dict[str, list[int]]) -> None:
    """One agent's contact ends, the next one is offered and taken, one more customer comes."""
    at = floor.rng.randrange(len(floor.held))
    contact = floor.held[at]
    floor.held[at] = floor.held[-1]
    floor.held.pop()
    for command in (c.CompleteContact(contact=contact), floor.submit()):
        begun = thread_time_ns()
        outcome = floor.do(command)
        spent[type(command).__name__].append(thread_time_ns() - begun)
        floor.note(outcome)
    while floor.offered:
        effect = floor.offered.pop()
        accept = c.AcceptOffer(reservation=effect.reservation, agent=effect.agent)
        begun = thread_time_ns()
        floor.do(accept)
        spent["AcceptOffer"].append(thread_time_ns() - begun)
        floor.held.append(effect.contact)
