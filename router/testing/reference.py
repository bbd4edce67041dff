"""Reference results: simulated figures must meet closed forms and exact chains.

Run: ``python -m router.testing.reference [FILE] [--case ID] [--contacts N] [--seed N]``. The rule
for accepting a figure stands in the file: |measured - value| <= 4 se(1e6) sqrt(1e6/N) + 0.2 % of
the value, N measured contacts after the first max(20,000, 5 %).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from random import Random

import msgspec

from router.core.commands import PutAgent
from router.core.model import SECOND_US, AgentId, QueueId
from router.core.policy import Channel, Policy, Profile, ProfileQueue, Queue
from router.errors import ConfigError
from router.testing.golden import (
    Arrival,
    Bench,
    Fate,
    Model,
    ModelClass,
    Translation,
    translate,
)

WARM_UP = 20_000
BATCHES = 20


class Expected(msgspec.Struct):
    """A figure and its standard error at a million contacts."""

    value: float
    se_1e6: float


class Case(msgspec.Struct):
    """A model and what it must come to."""

    id: str
    family: str
    model: Model
    expected: dict[str, Expected]


class LossChannel(msgspec.Struct, forbid_unknown_fields=True):
    """A channel of the agent who serves several at once."""

    rate_per_s: float
    mean_service_s: float
    units: int
    max_concurrent: int


class LossModel(msgspec.Struct, forbid_unknown_fields=True):
    """One agent with capacity units; who finds no room is refused."""

    capacity_units: int
    channels: list[LossChannel]
    queue: int = 0


class LossCase(msgspec.Struct):
    """Exact figures: a list has one per channel."""

    id: str
    family: str
    model: LossModel
    expected: dict[str, float | list[float]]


class ReferenceFile(msgspec.Struct):
    """A file of cases."""

    simulated_cases: list[Case] = []
    exact_cases: list[LossCase] = []


@dataclass(slots=True)
class Tally:
    """Sums over measured contacts of one class."""

    offered: int = 0
    blocked: int = 0
    abandoned: int = 0
    served: int = 0
    waited: int = 0
    in_time: int = 0
    wait_s: float = 0.0
    served_wait_s: float = 0.0

    def figure(self, name: str) -> float:
        """The measure by its name in the file. Raises ConfigError for a name that is not known."""
        match name:
            case "p_wait":
                return self.waited / self.offered
            case "p_abandon":
                return self.abandoned / self.offered
            case "p_block":
                return self.blocked / self.offered
            case "wait_all":
                return self.wait_s / (self.offered - self.blocked)
            case "asa_served":
                return self.served_wait_s / self.served
            case "sl_offered":
                return self.in_time / self.offered
            case "sl_served":
                return self.in_time / self.served
            case _:
                raise ConfigError([f"no such measure: {name!r}"])

    def add(self, fate: Fate, wait_s: float, target_s: float) -> None:
        """One contact more."""
        self.offered += 1
        self.waited += wait_s > 0 or fate.outcome != "served"
        if fate.outcome == "blocked":
            self.blocked += 1
            return
        self.wait_s += wait_s
        if fate.outcome == "abandoned":
            self.abandoned += 1
        else:
            self.served += 1
            self.served_wait_s += wait_s
            self.in_time += wait_s <= target_s


@dataclass(slots=True)
class Window:
    """The stretch of time that is measured, known only as it goes on."""

    start_s: float = math.inf
    end_s: float = math.inf

    def overlap(self, start_s: float, end_s: float) -> float:
        """How much of a span lies inside."""
        return max(0.0, min(end_s, self.end_s) - max(start_s, self.start_s))

    @property
    def length_s(self) -> float:
        """Seconds measured."""
        return self.end_s - self.start_s


@dataclass(slots=True)
class Measurement:
    """One run of one model."""

    translation: Translation
    rates: Sequence[float]
    target_s: float
    contacts: int
    window: Window = field(default_factory=Window)
    classes: list[Tally] = field(default_factory=list)
    busy_agent_s: dict[int, float] = field(default_factory=dict)
    busy_class_s: dict[int, float] = field(default_factory=dict)
    queue_s: float = 0.0
    batches: list[list[tuple[int, int]]] = field(default_factory=list)
    """Per class: (offered, blocked) of each of twenty stretches, where no error is stored."""

    @property
    def warm_up(self) -> int:
        """Contacts that are not measured."""
        return max(WARM_UP, self.contacts // 20)

    def run(self, arrivals: Iterator[Arrival]) -> None:
        """Simulate until all measured contacts are through."""
        total, first = self.warm_up + self.contacts, self.warm_up
        self.classes = [Tally() for _ in self.rates]
        self.batches = [[(0, 0)] * BATCHES for _ in self.rates]
        missing = self.contacts

        def resolved(index: int, arrival: Arrival, fate: Fate) -> None:
            nonlocal missing
            self.queue_s += self.window.overlap(arrival.at_s, fate.at_s)
            if not first <= index < total:
                return
            missing -= 1
            self.classes[arrival.cls].add(fate, fate.at_s - arrival.at_s, self.target_s)
            batch = (index - first) * BATCHES // self.contacts
            offered, blocked = self.batches[arrival.cls][batch]
            was_blocked = fate.outcome == "blocked"
            self.batches[arrival.cls][batch] = (offered + 1, blocked + was_blocked)

        def marked() -> Iterator[Arrival]:
            for index, arrival in enumerate(arrivals):
                if index == first:
                    self.window.start_s = arrival.at_s
                if index == total - 1:
                    self.window.end_s = arrival.at_s
                yield arrival

        bench = Bench(self.translation, resolved, self._ended)
        bench.run(marked(), until=lambda: missing == 0)
        for agent, cls, start_s in bench.serving.values():
            self._ended(agent, cls, start_s, math.inf)
        for arrival in bench.open.values():
            self.queue_s += self.window.overlap(arrival.at_s, math.inf)

    def _ended(self, agent: int, cls: int, start_s: float, end_s: float) -> None:
        span_s = self.window.overlap(start_s, end_s)
        self.busy_agent_s[agent] = self.busy_agent_s.get(agent, 0.0) + span_s
        self.busy_class_s[cls] = self.busy_class_s.get(cls, 0.0) + span_s

    def figure(self, key: str) -> float:
        """A figure by its key: ``all.p_wait``, ``c1.wait_all``, ``g0.occupancy``, ``occupancy``."""
        if key == "occupancy":
            return self._occupancy(range(len(self.translation.groups)))
        where, _, name = key.partition(".")
        if name == "occupancy":
            group = int(where[1:])
            return self._occupancy([i for i, g in enumerate(self.translation.groups) if g == group])
        if key == "all.mean_queue":
            return self.queue_s / self.window.length_s
        return (self._all() if where == "all" else self.classes[int(where[1:])]).figure(name)

    def _all(self) -> Tally:
        total = Tally()
        for name in Tally.__slots__:
            setattr(total, name, sum(getattr(tally, name) for tally in self.classes))
        return total

    def _occupancy(self, agents: Sequence[int]) -> float:
        busy_s = sum(self.busy_agent_s.get(agent, 0.0) for agent in agents)
        return busy_s / (len(agents) * self.window.length_s)


def draw(model: Model, name: str, rng: Random) -> Iterator[Arrival]:
    """Arrivals without end, as the model says. Raises ConfigError for a law that is not known."""
    return _draw(
        [cls.rate_per_s for cls in model.classes], model.classes, model.service_dist, name, rng
    )


def _draw(
    rates: Sequence[float], classes: Sequence[ModelClass], law: str, name: str, rng: Random
) -> Iterator[Arrival]:
    limits, total, at_s = list(accumulate(rates)), sum(rates), 0.0
    _law(law, 1.0, f"{name}: model.service_dist", Random(0))
    while True:
        at_s += rng.expovariate(total)
        point = rng.random() * total
        cls = next(i for i, limit in enumerate(limits) if point < limit or i == len(limits) - 1)
        factor = _law(law, 1.0, name, rng)
        patience = classes[cls].patience if classes else None
        patience_s = None
        if patience is not None:
            place = f"{name}: model.classes[{cls}].patience"
            patience_s = _law(str(patience.get("kind")), float(patience["mean_s"]), place, rng)
        yield Arrival(at_s, cls, factor, patience_s)


def _law(kind: str, mean: float, place: str, rng: Random) -> float:
    if kind == "exp":
        return rng.expovariate(1.0 / mean)
    if kind in ("det", "deterministic", "constant"):
        return mean
    if kind.startswith("erlang") and kind[6:].isdigit():
        phases = int(kind[6:])
        return rng.gammavariate(phases, mean / phases)
    raise ConfigError([f"{place}: {kind!r} is not known (it has exp, det, erlang2, erlang3, ...)"])


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure against its reference."""

    case: str
    key: str
    measured: float
    expected: float
    allowed: float

    @property
    def is_met(self) -> bool:
        """Within the rule."""
        return abs(self.measured - self.expected) <= self.allowed

    def __str__(self) -> str:
        verdict = "ok  " if self.is_met else "MISS"
        off = abs(self.measured - self.expected) / self.allowed if self.allowed else 0.0
        return (
            f"{verdict} {self.case:12} {self.key:18} measured {self.measured:<12.6g}"
            f" expected {self.expected:<12.6g} +- {self.allowed:<10.4g} ({off:.0%} of it)"
        )


def check(case: Case, contacts: int, seed: int) -> list[Finding]:
    """Simulate a case with so many measured contacts."""
    run = Measurement(
        translate(case.model, case.id),
        [cls.rate_per_s for cls in case.model.classes],
        case.model.sl_threshold_s,
        contacts,
    )
    run.run(draw(case.model, case.id, Random(f"{case.id}/{seed}")))
    scale = 4 * math.sqrt(1e6 / contacts)
    return [
        Finding(
            case.id,
            key,
            run.figure(key),
            expected.value,
            expected.se_1e6 * scale + 0.002 * abs(expected.value),
        )
        for key, expected in case.expected.items()
    ]


def check_loss(case: LossCase, contacts: int, seed: int) -> list[Finding]:
    """One agent, several channels, no queue. The error is estimated from twenty stretches."""
    model = case.model
    if model.queue != 0:
        raise ConfigError([f"{case.id}: model.queue must be 0, got {model.queue}"])
    rates = [channel.rate_per_s for channel in model.channels]
    run = Measurement(_translate_loss(case), rates, 0.0, contacts)
    run.run(_draw(rates, (), "exp", case.id, Random(f"{case.id}/{seed}")))
    active = [run.busy_class_s[i] / run.window.length_s for i in range(len(rates))]
    measured: dict[str, list[float]] = {
        "p_block": [tally.blocked / tally.offered for tally in run.classes],
        "mean_active": active,
        "mean_units": [sum(a * ch.units for a, ch in zip(active, model.channels, strict=True))],
    }
    relative = max(_relative_error(batches) for batches in run.batches)
    findings = []
    for key, value in case.expected.items():
        if key not in measured:
            raise ConfigError([f"{case.id}: no such measure: {key!r}"])
        values = value if isinstance(value, list) else [value]
        for number, (got, want) in enumerate(zip(measured[key], values, strict=True)):
            allowed = 4 * relative * want + 0.002 * want
            findings.append(Finding(case.id, f"{key}[{number}]", got, want, allowed))
    return findings


def _translate_loss(case: LossCase) -> Translation:
    names = [f"ch{number}" for number in range(len(case.model.channels))]
    queues = {q: Queue(id=q) for q in (QueueId(f"q{n}") for n in range(len(names)))}
    return Translation(
        policy=Policy(
            version=case.id,
            channels={
                name: Channel(
                    name=name,
                    cost=channel.units,
                    maximum=channel.max_concurrent,
                    target_us=20 * SECOND_US,
                )
                for name, channel in zip(names, case.model.channels, strict=True)
            },
            queues=queues,
            profiles={
                "p0": Profile(id="p0", queues=tuple(ProfileQueue(queue=queue) for queue in queues))
            },
            capacity=case.model.capacity_units,
            waiting_places=0,
        ),
        agents=(PutAgent(agent=AgentId("a00000"), profile="p0"),),
        groups=(0,),
        mean_service_s=({n: ch.mean_service_s for n, ch in enumerate(case.model.channels)},),
        channels=tuple(names),
        head_starts_us=(0,) * len(names),
    )


def _relative_error(batches: Sequence[tuple[int, int]]) -> float:
    """Standard error of the blocked share over its mean, by batch means."""
    shares = [blocked / offered for offered, blocked in batches if offered]
    mean = sum(shares) / len(shares)
    variance = sum((share - mean) ** 2 for share in shares) / (len(shares) - 1)
    return math.sqrt(variance / len(shares)) / mean if mean else 0.0


def load(path: Path) -> ReferenceFile:
    """Read a file of cases. Raises ConfigError naming the place."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ReferenceFile)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run cases and print each figure. Returns how many missed."""
    parser = argparse.ArgumentParser(prog="python -m router.testing.reference")
    parser.add_argument("file", nargs="?", type=Path, default=Path("tests/data/reference.json"))
    parser.add_argument("--case", help="only this case")
    parser.add_argument(
        "--contacts", type=int, default=1_000_000, help="measured contacts per case"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    found = load(options.file)
    cases: list[Case | LossCase] = [*found.simulated_cases, *found.exact_cases]
    missed = 0
    for case in cases:
        if options.case not in (None, case.id):
            continue
        try:
            if isinstance(case, Case):
                findings = check(case, options.contacts, options.seed)
            else:
                findings = check_loss(case, options.contacts, options.seed)
        except ConfigError as error:
            sys.stdout.write(f"MISS {options.file}: {error}\n")
            missed += 1
            continue
        sys.stdout.writelines(f"{finding}\n" for finding in findings)
        sys.stdout.flush()
        missed += sum(not finding.is_met for finding in findings)
    return missed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
