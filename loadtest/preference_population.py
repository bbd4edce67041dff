"""The synthetic population of the preference benchmark: customers whose true habits are known.

Numpy alone, no part of the router: what is judged cannot leak into the judge. The model is logistic

    logit p = base[channel] + customer + liking[channel] + persona(channel, hour)
              + habits(channel, hour) + address(hour)  (+ chance of the attempt)

with all parameters from a file (`populations/*.yaml`). Hours count from the Monday on which the
benchmark begins; hour of the week 0 is Monday 00:00.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Parameters = dict[str, Any]
WEEK = 168
_HOUR = np.arange(WEEK) % 24
_DAY = np.arange(WEEK) // 24
_OFFICE = (_DAY < 5) & (_HOUR >= 9) & (_HOUR < 17)


@dataclass
class Task:
    """Something to tell a customer within a time."""

    gap: float
    """Hours since the one before was tried, or since the start."""
    window: int
    """Hours."""
    chance: float
    draw: float
    noise: float
    """The random numbers that settle the attempt, the same whatever a policy chooses."""


@dataclass
class Epoch:
    """A time in which habits and addresses stay as they are."""

    start: float
    logits: Floats
    """Shape (2, endpoints, 168): even weeks and odd weeks."""
    address: Floats
    """The address's part of them, shape (endpoints, 168)."""


@dataclass
class Person:
    """A customer: endpoints, what is true of them, what is seen of them, and what will happen."""

    endpoints: list[tuple[int, int, int]]
    """(channel, address, rank); voice and sms share a phone's address."""
    persona: int
    segment: int | None
    segment_later: int | None
    """The label after segments were given new names, if they are."""
    zone_error: int
    """True local hour minus the hour we believe it to be."""
    epochs: list[Epoch]
    start: float
    tasks: list[Task] = field(default_factory=list)
    inbound: list[tuple[float, int]] = field(default_factory=list)
    """(hour as we believe it, index of the endpoint), by time."""


class World:
    """Personas, and the customers who have them."""

    def __init__(self, parameters: Parameters, seed: int, world: int) -> None:
        self.parameters = parameters
        self.channels: list[str] = list(parameters["channels"])
        self._rng = np.random.Generator(np.random.PCG64([seed, world, 0]))
        self._seed, self._world = seed, world
        self.base = np.array([parameters["base"][name] for name in self.channels])
        self.noise = np.array([parameters["label_noise"][name] for name in self.channels])
        count = parameters["personas"]["count"]
        self.personas = np.array([self._persona() for _ in range(count)])
        size = (count, len(self.channels))
        self.liking = self._rng.normal(0, parameters["personas"]["channel_sd"], size)
        self.renamed = self._rng.permutation(count)
        self.open = self._contactable()
        self._strangers: list[Person] = []

    def people(self, count: int, tasks: int) -> list[Person]:
        """The customers on whom policies are judged."""
        rng = np.random.Generator(np.random.PCG64([self._seed, self._world, 1]))
        return [self._person(rng, tasks, 0.0) for _ in range(count)]

    def strangers(self, count: int, tasks: int) -> list[Person]:
        """Other customers, contacted before the benchmark begins; made once."""
        if self._strangers:
            return self._strangers
        rng = np.random.Generator(np.random.PCG64([self._seed, self._world, 2]))
        days = self.parameters["tasks"]["gap_days"] * tasks
        start = -np.ceil(days / 7 + 3) * WEEK
        self._strangers = [self._person(rng, tasks, float(start)) for _ in range(count)]
        return self._strangers

    def generator(self, stream: int) -> np.random.Generator:
        """Randomness of a policy or a log, apart from that of the population."""
        return np.random.Generator(np.random.PCG64([self._seed, self._world, 3, stream]))

    def logits(self, person: Person, hours: Ints) -> Floats:
        """True logits of each endpoint (rows) at hours as believed (columns), without chance."""
        out = np.empty((len(person.endpoints), len(hours)))
        true = hours + person.zone_error
        slot, odd = self._slot(true), (true // WEEK) % 2
        epoch = _epoch(person, hours)
        for number in range(epoch[0], epoch[-1] + 1):
            at = epoch == number
            out[:, at] = person.epochs[number].logits[odd[at], :, slot[at]].T
        self._adjust(out, person, hours)
        return out

    def candidates(self, person: Person, first: int, count: int) -> tuple[Ints, NDArray[np.bool_]]:
        """The hours of a window, and which endpoint may be used when: (hours, allowed)."""
        hours = np.arange(first, first + count)
        channel = np.array([c for c, _, _ in person.endpoints])
        return hours, self.open[channel][:, hours % WEEK]

    def segment(self, person: Person, hour: float) -> int | None:
        """The label that is seen at an hour."""
        change = self.parameters.get("relabelled_segments")
        if change and hour >= change["day"] * 24:
            return person.segment_later
        return person.segment

    def _slot(self, true: Ints) -> Ints:
        """Hour of the week that a true local hour is like."""
        holidays = self.parameters.get("holidays")
        if holidays and holidays.get("like_sunday"):
            off = np.isin(true // 24, holidays["days"])
            return np.where(off, 144 + true % 24, true % WEEK)
        return true % WEEK

    def _adjust(self, out: Floats, person: Person, hours: Ints) -> None:
        """What changes by the calendar, for everybody."""
        wants, day = self.parameters, hours // 24
        if holidays := wants.get("holidays"):
            out += holidays.get("shift", 0.0) * np.isin(day, holidays["days"])
        if payday := wants.get("payday"):
            out += payday["shift"] * (day % payday["every_days"] < payday["days"])
        if dying := wants.get("dying_channel"):
            dead = self.channels.index(dying["channel"])
            channel = np.array([c for c, _, _ in person.endpoints])
            out += dying["shift"] * np.outer(channel == dead, day >= dying["day"])

    def _contactable(self) -> NDArray[np.bool_]:
        wants = self.parameters["contactable"]
        within = (wants["from_hour"] <= _HOUR) & (wants["until_hour"] > _HOUR)
        allowed = np.tile(within, (len(self.channels), 1))
        for name in wants["no_sunday"]:
            allowed[self.channels.index(name)] &= _DAY < 6
        return allowed

    # --- personas and habits ----------------------------------------------------------------

    def _persona(self) -> Floats:
        wants, rng = self.parameters["personas"], self._rng
        table = np.zeros((len(self.channels), WEEK))
        for _ in range(1 + rng.poisson(wants["bumps_poisson"])):
            amplitude = rng.normal(*wants["amplitude_normal"])
            shape = self._bump(rng, amplitude, wants["width"])
            first, second = wants["loading_beta"]
            loading = rng.beta(first, second, len(self.channels))
            table += loading[:, None] * shape
        for name, shift in wants["saturday"].items():
            table[self.channels.index(name), _DAY == 5] += shift
        return table

    def _bump(self, rng: np.random.Generator, amplitude: float, width: list[float]) -> Floats:
        centre = rng.uniform(*self.parameters["bump_centre"])
        scale = rng.uniform(width[0], width[1])
        days = self._days(rng)
        return np.asarray(amplitude * days * np.exp(-((_HOUR - centre) ** 2) / (2 * scale**2)))

    def _days(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        match _pick(rng, self.parameters["daysets"]):
            case "workdays":
                return _DAY < 5
            case "weekend":
                return _DAY >= 5
            case "all":
                return _DAY >= 0
            case "two_workdays":
                return np.isin(_DAY, rng.choice(5, 2, replace=False))
            case "one_day":
                return np.asarray(rng.integers(7) == _DAY)
            case other:
                raise ValueError(f"daysets: {other!r} is none of the five kinds")

    def _habits(self, rng: np.random.Generator) -> Floats:
        wants = self.parameters["habits"]
        table = np.zeros((len(self.channels), WEEK))
        for _ in range(1 + rng.binomial(*wants["bumps_binomial"])):
            amplitude = max(wants["amplitude_least"], rng.normal(*wants["amplitude_normal"]))
            loading = np.full(len(self.channels), wants["other_channels"])
            loading[rng.integers(len(loading))] = 1.0
            table += loading[:, None] * self._bump(rng, amplitude, wants["width"])
        table += self._bump(rng, wants["busy_amplitude"], wants["busy_width"])
        return table

    # --- one customer -----------------------------------------------------------------------

    def _person(self, rng: np.random.Generator, tasks: int, start: float) -> Person:
        wants = self.parameters
        endpoints = self._endpoints(rng)
        persona = int(rng.integers(len(self.personas)))
        segment: int | None = persona
        if rng.random() >= wants["segment"]["right_share"]:
            segment = int(rng.integers(len(self.personas)))
        if rng.random() >= wants["segment"]["known_share"]:
            segment = None
        zone = 0
        if rng.random() < wants["zone_wrong"]["share"]:
            zone = int(rng.integers(1, wants["zone_wrong"]["most_hours"] + 1))
            zone *= 1 if rng.random() < 0.5 else -1
        ease = rng.normal(0, wants["customer_sd"])
        later = None if segment is None else int(self.renamed[segment])
        person = Person(endpoints, persona, segment, later, zone, [], start)
        gaps = rng.exponential(wants["tasks"]["gap_days"] * 24, tasks)
        lengths = [int(_pick(rng, wants["tasks"]["windows_hours"])) for _ in range(tasks)]
        chances = rng.normal(0, wants["attempt_sd"], tasks)
        draws = rng.random((2, tasks))
        person.tasks = [
            Task(float(gap), window, float(chance), float(draw), float(noise))
            for gap, window, chance, draw, noise in zip(
                gaps, lengths, chances, draws[0], draws[1], strict=True
            )
        ]
        end = start + float(gaps.sum()) + sum(lengths) + WEEK
        person.epochs = self._epochs(rng, person, self.base + ease, start, end)
        person.inbound = self._inbound(rng, person, start, end)
        return person

    def _endpoints(self, rng: np.random.Generator) -> list[tuple[int, int, int]]:
        """Phones are addresses 0, 1, 2, e-mails 3 and 4."""
        phones = int(_pick(rng, self.parameters["phones"]))
        emails = int(_pick(rng, self.parameters["emails"]))
        found = []
        for channel, name in enumerate(self.channels):
            if name == "email":
                found += [(channel, 3 + rank, rank) for rank in range(emails)]
            else:
                count = phones if name in ("voice", "sms") else 1
                found += [(channel, rank, rank) for rank in range(count)]
        return found

    def _epochs(
        self, rng: np.random.Generator, person: Person, base: Floats, start: float, end: float
    ) -> list[Epoch]:
        """Habits change, addresses and likings change, each at its own pace."""
        wants = self.parameters["drift"]
        changes = []
        for what, per_day in (
            ("habits", wants["habits_per_day"]),
            ("addresses", wants["addresses_per_day"]),
        ):
            at = start
            while per_day > 0:
                at += rng.exponential(24 / per_day)
                if at >= end:
                    break
                changes.append((at, what))
        changes = sorted(changes)[: wants["most_epochs"] - 1]
        habits, other = self._habits(rng), self._habits(rng)
        liking, address = self._likings(rng, person), self._addresses(rng, person)
        alternates = self.parameters.get("alternating_weeks")
        if not alternates or rng.random() >= alternates["share"]:
            other = habits
        epochs = []
        for at, what in [(start, ""), *changes]:
            if what == "habits":
                same = other is habits
                habits = self._habits(rng)
                other = habits if same else self._habits(rng)
            elif what == "addresses":
                liking, address = self._likings(rng, person), self._addresses(rng, person)
            channel = [c for c, _, _ in person.endpoints]
            level = (base + liking)[:, None] + self.personas[person.persona]
            both = np.array([(level + h)[channel] + address for h in (habits, other)])
            epochs.append(Epoch(at, both, address))
        return epochs

    def _likings(self, rng: np.random.Generator, person: Person) -> Floats:
        own = rng.normal(0, self.parameters["channel_sd"], len(self.channels))
        return np.asarray(self.liking[person.persona] + own)

    def _addresses(self, rng: np.random.Generator, person: Person) -> Floats:
        """Logits of each endpoint's address over the week."""
        wants = self.parameters["address"]
        table = {}
        for address, rank in sorted({(a, r) for _, a, r in person.endpoints}):
            effect = np.full(WEEK, rng.normal(0, wants["quality_sd"]))
            dead = wants["dead_share_primary" if rank == 0 else "dead_share_other"]
            if rng.random() < dead:
                effect += wants["dead"]
            if address < 3 and rank > 0:
                kind = rng.random()
                for name in ("work", "home"):
                    of = wants[name]
                    if 0 <= kind < of["share"]:
                        effect += np.where(_OFFICE, of["office_hours"], of["else"])
                    kind -= of["share"]
            table[address] = effect
        return np.array([table[a] for _, a, _ in person.endpoints])

    def _inbound(
        self, rng: np.random.Generator, person: Person, start: float, end: float
    ) -> list[tuple[float, int]]:
        """Contacts that the customer begins: more likely when and where they can be reached."""
        wants = self.parameters["inbound"]
        shape, scale = wants["per_week_gamma"]
        count = rng.poisson(rng.gamma(shape, scale) * (end - start) / WEEK)
        weeks = np.sort(rng.integers(int(start // WEEK), int(end // WEEK) + 1, count))
        within = (wants["from_hour"] <= _HOUR) & (wants["until_hour"] > _HOUR)
        slots = np.flatnonzero(within)
        found = []
        for week in weeks:
            hours = int(week) * WEEK + slots - person.zone_error
            logits = self.logits(person, hours)
            channel = np.array([c for c, _, _ in person.endpoints])
            first = np.array([np.flatnonzero(channel == c)[0] for c in range(len(self.channels))])
            now = person.epochs[_epoch(person, hours[:1])[0]]
            tables = now.address[:, self._slot(hours + person.zone_error)]
            plain = (logits - tables)[first]
            c, slot = divmod(_softmax(rng, plain.ravel()), len(slots))
            of = np.flatnonzero(channel == c)
            endpoint = int(of[_softmax(rng, tables[of, slot])])
            found.append((float(hours[slot]) + rng.random(), endpoint))
        return sorted(e for e in found if start <= e[0] < end)


def read(path: Path) -> Parameters:
    """The parameters in a file (YAML, of which JSON is a part).

    Raises ValueError when it lacks a part that `populations/contactpop-1.yaml` has.
    """
    found: Parameters = yaml.safe_load(path.read_text("utf-8"))
    if missing := [name for name in NEEDED if name not in found]:
        raise ValueError(f"{path}: lacks {', '.join(missing)}")
    return found


NEEDED = (
    *("name", "channels", "contactable", "base", "customer_sd", "channel_sd", "attempt_sd"),
    *("phones", "emails", "daysets", "bump_centre", "personas", "habits", "address", "segment"),
    *("zone_wrong", "drift", "tasks", "label_noise", "inbound", "log"),
)


def _epoch(person: Person, hours: Ints) -> Ints:
    """Which epoch each of some ascending hours lies in."""
    number = np.zeros(len(hours), np.intp)
    for later, epoch in enumerate(person.epochs):
        number[hours >= epoch.start] = later
    return number


def _pick(rng: np.random.Generator, shares: dict[Any, float]) -> Any:
    """One of the keys, by share."""
    left = rng.random() * sum(shares.values())
    for name, share in shares.items():
        left -= share
        if left < 0:
            return name
    return name


def _softmax(rng: np.random.Generator, logits: Floats) -> int:
    """An index, with odds that the logits give."""
    weights = np.exp(logits - logits.max())
    return int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum()))
