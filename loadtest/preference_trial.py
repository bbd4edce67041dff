"""One policy through one world: tasks come, attempts are made, outcomes and inbound contacts are
heard, all in the order of time. An outcome is heard at the end of its hour, not before."""

from __future__ import annotations

import heapq
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from loadtest.preference_population import WEEK, Floats, Ints, Person, Task, World

Allowed = NDArray[np.bool_]


class Row(NamedTuple):
    """An attempt in the tenant's log."""

    segment: int | None
    channel: int
    rank: int
    hour: int
    success: bool
    propensity: float
    candidates: int


class Known(NamedTuple):
    """What a tenant knows before the benchmark begins."""

    segments: int
    channels: list[str]
    log: list[Row]
    inbound: list[tuple[int, int]]
    """(channel, hour) of contacts that other customers began."""


class Question(NamedTuple):
    """Where and when to try."""

    person: int
    segment: int | None
    endpoints: list[tuple[int, int, int]]
    now: int
    """Hour."""
    hours: Ints
    allowed: Allowed
    """Shape (endpoints, hours)."""
    truth: Floats
    """True probabilities, for the oracle alone: same shape."""


class Choice(NamedTuple):
    """What a policy says; without probability when it knows none."""

    endpoint: int
    column: int
    p: float = np.nan
    low: float = np.nan
    high: float = np.nan
    propensity: float = 1.0
    explore: bool = False


class Policy(Protocol):
    """Decides where and when, and hears what came of it."""

    def decide(self, question: Question) -> Choice:
        """Where and when to try."""

    def hear(self, question: Question, choice: Choice, success: bool) -> None:
        """What came of a choice."""

    def inbound(self, person: int, endpoint: tuple[int, int, int], hour: int) -> None:
        """The customer came to us."""


class Trial:
    """What one policy did; arrays of shape (people, tasks) unless said otherwise."""

    def __init__(self, people: int, tasks: int) -> None:
        def empty() -> Floats:
            return np.full((people, tasks), np.nan)

        self.chosen = empty()
        """True probability of what was chosen."""
        self.best = empty()
        self.mean = empty()
        """Over all candidates: what choosing at random gives."""
        self.p, self.low, self.high = empty(), empty(), empty()
        """What the policy said of it."""
        self.success = np.zeros((people, tasks), bool)
        """As recorded, with the label's noise."""
        self.random_p, self.random_low, self.random_high = empty(), empty(), empty()
        """What the policy said of one more candidate, taken at random."""
        self.random_truth = empty()
        self.hits = np.zeros((people, 3))
        """After the last task: the best channel, the best hour too, nearly the best."""


def known(world: World, informed: float | None = None) -> Known:
    """The log of the legacy rule, or of agents who know the truth and choose the better hours:
    softmax(informed * logit), a tenth of the time anything."""
    wants = world.parameters["log"]
    rng = world.generator(0 if informed is None else 1)
    rows: list[Row] = []
    inbound: list[tuple[int, int]] = []
    for person in world.strangers(wants["customers"], wants["tasks"]):
        at = person.start
        for task in person.tasks:
            first = int(np.ceil(at + task.gap))
            hours, allowed = world.candidates(person, first, task.window)
            logits = world.logits(person, hours)
            if informed is None:
                shares = _legacy(world, person, hours, allowed)
            else:
                weights = np.where(allowed, np.exp(informed * logits), 0.0)
                shares = 0.9 * weights / weights.sum() + 0.1 * allowed / allowed.sum()
            place = int(np.searchsorted(np.cumsum(shares), rng.random() * shares.sum()))
            endpoint, column = divmod(min(place, shares.size - 1), len(hours))
            at = float(hours[column]) + 1.0
            channel, _, rank = person.endpoints[endpoint]
            _, success = _attempt(world, channel, float(logits[endpoint, column]), task)
            rows.append(
                Row(
                    world.segment(person, -1.0),
                    channel,
                    rank,
                    int(hours[column]),
                    success,
                    float(shares[endpoint, column]),
                    int(allowed.sum()),
                )
            )
        inbound += [(person.endpoints[e][0], int(np.floor(hour))) for hour, e in person.inbound]
    return Known(len(world.personas), world.channels, rows, inbound)


def _legacy(world: World, person: Person, hours: Ints, allowed: Allowed) -> Floats:
    """Propensities of the rule that wrote the log: a channel by share, mostly the primary number,
    office hours; sometimes anything."""
    wants = world.parameters["log"]
    first, last = wants["office_hours"]
    slot = hours % WEEK
    office = (slot < 120) & (slot % 24 >= first) & (slot % 24 < last)
    weight = np.zeros(allowed.shape)
    usable = allowed & office
    hours_of = usable.sum(axis=1)
    for channel, name in enumerate(world.channels):
        of = [i for i, (c, _, _) in enumerate(person.endpoints) if c == channel]
        for i in of:
            share = 1.0
            if len(of) > 1:
                primary = wants["primary_share"]
                share = primary if i == of[0] else (1 - primary) / (len(of) - 1)
            if hours_of[i]:
                weight[i] = wants["channels"][name] * share / hours_of[i] * usable[i]
    uniform = np.asarray(allowed / allowed.sum())
    if not weight.any():
        return uniform
    share = wants["uniform_share"]
    return np.asarray((1 - share) * weight / weight.sum() + share * uniform)


def _attempt(world: World, channel: int, logit: float, task: Task) -> tuple[bool, bool]:
    """Whether it worked, and what was recorded."""
    worked = task.draw < 1 / (1 + np.exp(-(logit + task.chance)))
    return bool(worked), bool(worked or task.noise < world.noise[channel])


def run(world: World, people: list[Person], policy: Policy, stream: int) -> Trial:
    """Let a policy decide every task of these people."""
    shape = (len(people), len(people[0].tasks))
    trial = Trial(*shape)
    rng = world.generator(stream)
    heap: list[tuple[float, int, int, int, object]] = []
    for who, person in enumerate(people):
        heap.append((person.start + person.tasks[0].gap, 2, who, 0, None))
        heap += [(hour, 1, who, e, None) for hour, e in person.inbound]
    heapq.heapify(heap)
    while heap:
        at, kind, who, number, what = heapq.heappop(heap)
        person = people[who]
        if kind == 1:
            policy.inbound(who, person.endpoints[number], int(at // 1))
        elif kind == 0:
            assert isinstance(what, tuple)
            policy.hear(*what)
        else:
            question, choice = _decide(world, person, who, number, at, policy, trial, rng)
            heard = (question, choice, bool(trial.success[who, number]))
            end = float(question.hours[choice.column]) + 1.0
            heapq.heappush(heap, (end, 0, who, number, heard))
            if number + 1 < len(person.tasks):
                later = end + person.tasks[number + 1].gap
                heapq.heappush(heap, (later, 2, who, number + 1, None))
            else:
                trial.hits[who] = _hits(world, person, who, policy, question)
    return trial


def _decide(
    world: World,
    person: Person,
    who: int,
    number: int,
    at: float,
    policy: Policy,
    trial: Trial,
    rng: np.random.Generator,
) -> tuple[Question, Choice]:
    task = person.tasks[number]
    question = _question(world, person, who, at, task.window)
    choice = policy.decide(question)
    truth, allowed = question.truth, question.allowed
    assert allowed[choice.endpoint, choice.column]
    place = who, number
    trial.chosen[place] = p = truth[choice.endpoint, choice.column]
    trial.best[place] = truth[allowed].max()
    trial.mean[place] = truth[allowed].mean()
    trial.p[place], trial.low[place], trial.high[place] = choice.p, choice.low, choice.high
    channel = person.endpoints[choice.endpoint][0]
    _, trial.success[place] = _attempt(world, channel, float(np.log(p / (1 - p))), task)
    opinion = getattr(policy, "opinion", None)
    if opinion is not None:
        places = np.flatnonzero(allowed)
        endpoint, column = divmod(int(places[rng.integers(len(places))]), allowed.shape[1])
        said = opinion(endpoint, column)
        trial.random_p[place], trial.random_low[place], trial.random_high[place] = said
        trial.random_truth[place] = truth[endpoint, column]
    return question, choice


def _question(world: World, person: Person, who: int, at: float, window: int) -> Question:
    first = int(np.ceil(at))
    hours, allowed = world.candidates(person, first, window)
    truth = 1 / (1 + np.exp(-world.logits(person, hours)))
    return Question(who, world.segment(person, at), person.endpoints, first, hours, allowed, truth)


def _hits(world: World, person: Person, who: int, policy: Policy, last: Question) -> list[float]:
    """Where the policy would try within the whole week, against the truth of that week."""
    question = _question(world, person, who, float(last.now), WEEK)
    choice = policy.decide(question)
    best_p = np.where(question.allowed, question.truth, 0.0)
    endpoint, column = divmod(int(best_p.argmax()), len(question.hours))
    channel = [c for c, _, _ in person.endpoints]
    right = channel[endpoint] == channel[choice.endpoint]
    best, mine = (int(question.hours[c]) % WEEK for c in (column, choice.column))
    near = abs(best % 24 - mine % 24) <= 1 and (best >= 120) == (mine >= 120)
    almost = best_p[choice.endpoint, choice.column] >= 0.9 * best_p.max()
    return [float(right), float(right and near), float(almost)]
