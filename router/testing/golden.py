"""Golden traces: a model file is translated into settings, and every contact must fare as it says.

A *model* describes classes of contacts, groups of agents and the rules of choice in the terms of
queueing theory; the router has its own terms for the same things:

    class               queue (one each)        strict_priority   tier of the queue
    offset_s            head start              level             rank of the queue in the profile
    relax_delay_s       delay in the profile    waiting_places    policy.waiting_places

Run: ``python -m router.testing.golden FILE...``
"""

from __future__ import annotations

import heapq
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from router.core import commands as c
from router.core import events as e
from router.core.engine import Engine, Outcome
from router.core.model import (
    SECOND_US,
    AgentId,
    ContactId,
    ContactOutcome,
    Presence,
    QueueId,
    ReservationId,
)
from router.core.policy import Channel, Policy, Profile, ProfileQueue, Queue, Strategy
from router.errors import ConfigError

TOLERANCE_S = 1e-4
COLUMNS = ("arrival_s", "class", "service_factor", "patience_s", "outcome", "agent", "at_s")
CONTACT_RULES = {  # rule: (tiers and head starts count, ranks count)
    "fcfs": (False, False),
    "key": (True, False),
    "level_then_fcfs": (False, True),
    "level_then_key": (True, True),
}
AGENT_RULES = {"longest_idle": False, "level_then_longest_idle": True}  # rule: levels count


class ModelClass(msgspec.Struct, forbid_unknown_fields=True):
    """A kind of contact."""

    name: str
    rate_per_s: float
    patience: dict[str, float | str] | None = None
    strict_priority: int = 0
    ageing_slope: float = 1.0
    offset_s: float = 0.0
    fqr_share: float = 0.0


class ModelSkill(msgspec.Struct, forbid_unknown_fields=True):
    """How a group of agents serves one class."""

    mean_service_s: float
    level: int = 1
    relax_delay_s: float = 0.0


class ModelGroup(msgspec.Struct, forbid_unknown_fields=True):
    """Agents who are alike. The keys of `skills` are class numbers."""

    name: str
    count: int
    skills: dict[str, ModelSkill]


class Model(msgspec.Struct, forbid_unknown_fields=True):
    """The whole system."""

    classes: list[ModelClass]
    agent_groups: list[ModelGroup]
    contact_rule: str
    agent_rule: str
    service_dist: str = "exp"
    waiting_places: int | None = None
    trunk_lines: int | None = None
    sl_threshold_s: float = 20.0


class Trace(msgspec.Struct, forbid_unknown_fields=True):
    """A golden file."""

    case: str
    model: Model
    columns: list[str]
    rows: list[list[int | float | str | None]]
    note: str = ""


class Arrival(NamedTuple):
    """One contact, as given."""

    at_s: float
    cls: int
    service_factor: float
    patience_s: float | None


class Fate(NamedTuple):
    """What became of it: served, abandoned or blocked; by whom; when."""

    outcome: str
    agent: int | None
    at_s: float


@dataclass(frozen=True, slots=True)
class Translation:
    """A model in the router's terms."""

    policy: Policy
    agents: tuple[c.PutAgent, ...]
    groups: tuple[int, ...]
    """Group number of each agent."""
    mean_service_s: tuple[dict[int, float], ...]
    """Per agent, by class."""
    channels: tuple[str, ...]
    """Per class."""
    head_starts_us: tuple[int, ...]
    """Per class."""


def load_trace(path: Path) -> Trace:
    """Read a golden file. Raises ConfigError naming file and place."""
    try:
        trace = msgspec.json.decode(path.read_bytes(), type=Trace)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    if tuple(trace.columns) != COLUMNS:
        raise ConfigError([f"{path}: columns must be {list(COLUMNS)}, got {trace.columns}"])
    return trace


def translate(model: Model, name: str) -> Translation:
    """Put a model into the router's terms; `name` stands in errors.

    Raises ConfigError with all findings when the model asks for what the engine does not do.
    """
    findings = [f"{name}: {finding}" for finding in _unsupported(model)]
    if findings:
        raise ConfigError(findings)
    by_key, by_rank = CONTACT_RULES[model.contact_rule]
    by_level = AGENT_RULES[model.agent_rule]
    # Ranks serve both directions. When only the agent's choice looks at levels, and one group has
    # different levels, ranks would disturb the contact's order: levels become skill levels then.
    mixed = any(len({s.level for s in g.skills.values()}) > 1 for g in model.agent_groups)
    by_fit = by_level and not by_rank and mixed
    queues = {}
    for number, cls in enumerate(model.classes):
        queue = QueueId(f"q{number}")
        queues[queue] = Queue(
            id=queue,
            tiers={"line": cls.strict_priority if by_key else 0},
            rank_first=by_level and not by_fit,
            strategy=Strategy.BEST_FIT if by_fit else Strategy.LONGEST_IDLE,
            requirements=((f"s{number}", 1),) if by_fit else (),
        )
    uses_rank = by_rank or (by_level and not by_fit)
    profiles = {
        f"p{number}": _profile(f"p{number}", group, uses_rank)
        for number, group in enumerate(model.agent_groups)
    }
    numbers = [n for n, group in enumerate(model.agent_groups) for _ in range(group.count)]
    return Translation(
        policy=Policy(
            version=name,
            channels={"line": _line(model.sl_threshold_s)},
            queues=queues,
            profiles=profiles,
            waiting_places=model.waiting_places,
        ),
        agents=tuple(
            c.PutAgent(
                agent=AgentId(f"a{index:05d}"),
                profile=f"p{number}",
                skills=_fit_skills(model.agent_groups[number]) if by_fit else {},
            )
            for index, number in enumerate(numbers)
        ),
        groups=tuple(numbers),
        mean_service_s=tuple(
            {int(cls): s.mean_service_s for cls, s in model.agent_groups[n].skills.items()}
            for n in numbers
        ),
        channels=("line",) * len(model.classes),
        head_starts_us=tuple(
            round(cls.offset_s * SECOND_US) if by_key else 0 for cls in model.classes
        ),
    )


def _line(target_s: float) -> Channel:
    return Channel(name="line", cost=100, maximum=1, target_us=round(target_s * SECOND_US))


def _profile(name: str, group: ModelGroup, by_rank: bool) -> Profile:
    return Profile(
        id=name,
        queues=tuple(
            ProfileQueue(
                queue=QueueId(f"q{int(cls)}"),
                rank=skill.level if by_rank else 1,
                delay_us=round(skill.relax_delay_s * SECOND_US),
            )
            for cls, skill in group.skills.items()
        ),
    )


def _fit_skills(group: ModelGroup) -> dict[str, int]:
    return {f"s{int(cls)}": 11 - skill.level for cls, skill in group.skills.items()}


def _unsupported(model: Model) -> Iterator[str]:
    if model.contact_rule not in CONTACT_RULES:
        yield (
            f"model.contact_rule: {model.contact_rule!r} is not a rule of this engine"
            f" (it has {', '.join(CONTACT_RULES)})"
        )
    if model.agent_rule not in AGENT_RULES:
        yield (
            f"model.agent_rule: {model.agent_rule!r} is not a rule of this engine"
            f" (it has {', '.join(AGENT_RULES)})"
        )
    if model.trunk_lines is not None:
        yield f"model.trunk_lines: trunk limits are not modelled, got {model.trunk_lines}"
    if model.waiting_places is not None and model.waiting_places < 0:
        yield f"model.waiting_places: must be 0 or more, got {model.waiting_places}"
    for number, cls in enumerate(model.classes):
        place = f"model.classes[{number}]"
        if cls.ageing_slope != 1.0:
            yield (
                f"{place}.ageing_slope: every contact ages at the same rate,"
                f" must be 1, got {cls.ageing_slope:g}"
            )
        if cls.fqr_share != 0.0:
            yield f"{place}.fqr_share: queue ratios are not done, must be 0, got {cls.fqr_share:g}"
    for number, group in enumerate(model.agent_groups):
        for key, skill in group.skills.items():
            place = f"model.agent_groups[{number}].skills[{key!r}]"
            if not key.isdigit() or int(key) >= len(model.classes):
                yield f"{place}: no such class, there are {len(model.classes)}"
            if not 1 <= skill.level <= 10:
                yield f"{place}.level: must be 1 to 10, got {skill.level}"


class Bench:
    """Drives an engine with given arrivals on a virtual clock; every offer is accepted at once.

    `resolved(index, arrival, fate)` is told when a contact is served, has left, or was refused;
    `ended(agent, cls, start_s, end_s)` when a service is over.
    """

    def __init__(
        self,
        translation: Translation,
        resolved: Callable[[int, Arrival, Fate], None],
        ended: Callable[[int, int, float, float], None] | None = None,
    ) -> None:
        self._t = translation
        self._resolved = resolved
        self._ended = ended
        self.engine = Engine(translation.policy)
        self.open: dict[int, Arrival] = {}
        """Contacts that wait."""
        self.serving: dict[int, tuple[int, int, float]] = {}
        """Contact -> agent, class, start of service."""
        self._heap: list[tuple[float, int, int, bool]] = []
        self._order = 0
        for put in translation.agents:
            self._take(self.engine.handle(put, 0), 0.0)
        for put in translation.agents:
            ready = c.SetPresence(agent=put.agent, presence=Presence.READY)
            self._take(self.engine.handle(ready, 0), 0.0)

    def run(
        self, arrivals: Iterable[Arrival], *, until: Callable[[], bool] = lambda: False
    ) -> None:
        """Feed arrivals until they end, or `until` says so after one of them; then play out."""
        for index, arrival in enumerate(arrivals):
            self._play(arrival.at_s)
            self._arrive(index, arrival)
            if until():
                return
        self._play(float("inf"))

    def _play(self, until_s: float) -> None:
        """Services end, patience ends and deadlines pass, in the order of time."""
        while True:
            due_us = self.engine.next_deadline()
            due_s = float("inf") if due_us is None else due_us / SECOND_US
            mine_s = self._heap[0][0] if self._heap else float("inf")
            if min(due_s, mine_s) > until_s or min(due_s, mine_s) == float("inf"):
                return
            if due_us is not None and due_s <= mine_s:
                self._take(self.engine.advance(due_us), due_s)
                continue
            at_s, _, index, is_end = heapq.heappop(self._heap)
            if is_end:
                self._end(index, at_s)
            elif index in self.open:
                self._give_up(index, at_s)

    def _arrive(self, index: int, arrival: Arrival) -> None:
        self.open[index] = arrival
        submit = c.SubmitContact(
            contact=ContactId(f"c{index:08d}"),
            channel=self._t.channels[arrival.cls],
            queue=QueueId(f"q{arrival.cls}"),
            head_start_us=self._t.head_starts_us[arrival.cls],
        )
        self._handle(submit, arrival.at_s)
        if index in self.open and arrival.patience_s is not None:
            self._later(arrival.at_s + arrival.patience_s, index, is_end=False)

    def _give_up(self, index: int, at_s: float) -> None:
        arrival = self.open.pop(index)
        self._resolved(index, arrival, Fate("abandoned", None, at_s))
        self._handle(c.AbandonContact(contact=ContactId(f"c{index:08d}")), at_s)

    def _end(self, index: int, at_s: float) -> None:
        agent, cls, start_s = self.serving.pop(index)
        if self._ended is not None:
            self._ended(agent, cls, start_s, at_s)
        self._handle(c.CompleteContact(contact=ContactId(f"c{index:08d}")), at_s)

    def _later(self, at_s: float, index: int, *, is_end: bool) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at_s, self._order, index, is_end))

    def _handle(self, command: c.Command, at_s: float) -> None:
        self._take(self.engine.handle(command, round(at_s * SECOND_US)), at_s)

    def _take(self, outcome: Outcome, at_s: float) -> None:
        """Accept what is offered; an accept may lead to further offers."""
        offers: deque[ReservationId] = deque()
        now_us = round(at_s * SECOND_US)
        while True:
            for event in outcome.events:
                if isinstance(event, e.ContactOffered):
                    offers.append(event.reservation)
                elif isinstance(event, e.OfferAccepted):
                    self._serve(event, at_s)
                elif (
                    isinstance(event, e.ContactClosed) and event.outcome == ContactOutcome.DEFLECTED
                ):
                    index = int(event.contact[1:])
                    self._resolved(index, self.open.pop(index), Fate("blocked", None, at_s))
            if not offers:
                return
            outcome = self.engine.handle(c.AcceptOffer(reservation=offers.popleft()), now_us)

    def _serve(self, event: e.OfferAccepted, at_s: float) -> None:
        index, agent = int(event.contact[1:]), int(event.agent[1:])
        arrival = self.open.pop(index)
        self.serving[index] = (agent, arrival.cls, at_s)
        mean_s = self._t.mean_service_s[agent][arrival.cls]
        self._later(at_s + arrival.service_factor * mean_s, index, is_end=True)
        self._resolved(index, arrival, Fate("served", agent, at_s))


def differences(trace: Trace, name: str) -> list[str]:
    """Run a trace through the engine; one sentence for each contact that fared otherwise."""
    fates: dict[int, Fate] = {}

    def resolved(index: int, _: Arrival, fate: Fate) -> None:
        fates[index] = fate

    bench = Bench(translate(trace.model, name), resolved)
    rows = [(Arrival(*row[:4]), Fate(*row[4:])) for row in trace.rows]  # type: ignore[arg-type]
    bench.run(arrival for arrival, _ in rows)
    found = []
    for index, (arrival, expected) in enumerate(rows):
        got = fates.get(index)
        if got is None or not _is_same(got, expected):
            found.append(f"{name}: row {index} ({arrival}): expected {expected}, got {got}")
    return found


def _is_same(got: Fate, expected: Fate) -> bool:
    same = got.outcome == expected.outcome and got.agent == expected.agent
    return same and abs(got.at_s - expected.at_s) <= TOLERANCE_S


def main(arguments: Sequence[str]) -> int:
    """Check the files named; print what differs. Returns the number of contacts that were wrong."""
    wrong = 0
    for name in arguments:
        path = Path(name)
        try:
            trace = load_trace(path)
            found = differences(trace, name)
        except ConfigError as error:
            sys.stdout.write(f"{error}\n")
            wrong += 1
            continue
        wrong += len(found)
        sys.stdout.writelines(f"{line}\n" for line in found[:10])
        sys.stdout.write(f"{name}: {len(trace.rows)} contacts, {len(found)} wrong\n")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
