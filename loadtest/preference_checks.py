"""What must hold exactly (C2, C3), and what a query costs (P9, P10)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from router.preference.explain import Count, evidence_of
from router.preference.gpl import Gpl
from router.preference.ladder import Ladder
from router.preference.outcomes import Outcome
from router.preference.prior import Prior, PriorTables
from router.preference.profile import ATTEMPTS, Endpoint, Profile
from router.preference.windows import Estimator, Request, rank

NOW = 60_480
ENDPOINTS = [
    *(Endpoint(0, 11, 0), Endpoint(1, 11, 0), Endpoint(3, 11, 0)),
    *(Endpoint(0, 12, 1), Endpoint(1, 12, 1), Endpoint(2, 21, 0)),
]
SETTLED = [o for o in Outcome if o is not Outcome.PENDING]
Attempt = tuple[Endpoint, int, Outcome]


def some_tables(rng: np.random.Generator) -> PriorTables:
    """A prior of made-up attempts."""
    prior = Prior(8, 4)
    for _ in range(4000):
        segment, channel, slot = (int(rng.integers(n)) for n in (8, 4, 168))
        prior.observe(segment, channel, 0, NOW - 168 + slot, float(rng.random() < 0.3))
    return prior.tables()


def some_log(rng: np.random.Generator, attempts: int) -> list[Attempt]:
    """Attempts of the last weeks, some of them within one hour and on one endpoint."""
    hours = NOW - rng.integers(1, max(2, 12 * attempts), attempts)
    return [
        (
            ENDPOINTS[rng.integers(len(ENDPOINTS))],
            int(hour // 3 * 3 if rng.random() < 0.5 else hour),
            Outcome(int(rng.integers(len(Outcome)))),
        )
        for hour in hours
    ]


def profile_of(log: list[Attempt]) -> Profile:
    """The profile that remembers a log."""
    profile = Profile()
    for endpoint, hour, outcome in log:
        profile.record_attempt(endpoint, hour, outcome)
    return profile


def miscounted(states: int, rng: np.random.Generator) -> int:
    """C2: states in which an explanation's counts are not those of the log, or change when the
    profile is stored and read, or when the log is replayed in another order."""
    tables = some_tables(rng)
    wrong = 0
    for _ in range(states):
        log = some_log(rng, int(rng.integers(0, 90)))
        shuffled = [log[i] for i in rng.permutation(len(log))]
        profile = profile_of(log)
        endpoint = ENDPOINTS[rng.integers(len(ENDPOINTS))]
        hour = NOW + int(rng.integers(168))
        if log and rng.random() < 0.7:
            endpoint, past, _ = log[rng.integers(len(log))]
            hour = NOW - NOW % 168 + past % 168
        found = [
            evidence_of(p, tables, 1, endpoint, hour, NOW)
            for p in (profile, Profile.decode(profile.encode()), profile_of(shuffled))
        ]
        counts = [(c.attempts, c.successes) for c in _levels(found[0])]
        same = found[0] == found[1] and all(
            abs(a.expected - b.expected) < 1e-9 and a.attempts == b.attempts
            for a, b in zip(_levels(found[0]), _levels(found[2]), strict=True)
        )
        wrong += not same or counts != _counted(log, endpoint, hour % 168)
    return wrong


def _levels(found: object) -> list[Count]:
    return [getattr(found, name) for name in ("exact", "near", "endpoint", "channel", "customer")]


def _counted(log: list[Attempt], endpoint: Endpoint, slot: int) -> list[tuple[int, int]]:
    """The same counts from the log alone: redials within an hour are one attempt, the last 64 are
    remembered, pending ones do not count."""
    last: dict[tuple[int, Endpoint], Outcome] = {}
    for where, hour, outcome in log:
        last[hour, where] = max(outcome, last.get((hour, where), Outcome.PENDING))
    kept = sorted(last.items())[-ATTEMPTS:]
    done = [(hour, where, o >= Outcome.REPLIED) for (hour, where), o in kept if o]
    here = [(hour % 168, ok) for hour, where, ok in done if where[:2] == endpoint[:2]]
    beside = [
        (s, ok)
        for s, ok in here
        if min((s - slot) % 24, (slot - s) % 24) <= 1 and (s >= 120) == (slot >= 120)
    ]
    groups = [
        [ok for s, ok in here if s == slot],
        [ok for _, ok in beside],
        [ok for _, ok in here],
        [ok for _, where, ok in done if where.channel == endpoint.channel],
        [ok for _, _, ok in done],
    ]
    return [(len(group), sum(group)) for group in groups]


def order_matters(states: int, rng: np.random.Generator) -> float:
    """C3: the largest difference in any probability when the events of each hour arrive in another
    order."""
    tables, slots = some_tables(rng), np.arange(168)
    worst = 0.0
    for _ in range(states):
        log = sorted(some_log(rng, int(rng.integers(1, 90))), key=lambda a: a[1])
        keys = rng.random(len(log))
        other = [log[i] for i in sorted(range(len(log)), key=lambda i: (log[i][1], keys[i]))]
        for model in (Gpl(), Ladder()):
            one, two = (
                model.score(profile_of(events), tables, 2, ENDPOINTS, slots, NOW).p
                for events in (log, other)
            )
            worst = max(worst, float(np.abs(one - two).max()))
    return worst


@dataclass(frozen=True)
class Costs:
    """Bytes, and medians of microseconds of this thread's processor time: other processes do not
    count, but for what they take away of caches and clock rate."""

    update: float
    query_12: float
    query_64: float
    ranking_64: float
    kept: float
    ladder_64: float
    bytes_12: float
    bytes_most: int


def costs(rng: np.random.Generator) -> Costs:
    """P9: 546 candidates (six endpoints, 91 hours), scored anew; P10: stored bytes."""
    tables = some_tables(rng)
    slots = np.array([day * 24 + hour for day in range(7) for hour in range(8, 21)])
    small, full = (_spread(rng, n, came) for n, came in ((12, 3), (ATTEMPTS, 16)))
    gpl, ladder = Gpl(), Ladder()

    def query(model: Estimator, profile: Profile) -> Callable[[], object]:
        return lambda: model.score(profile, tables, 3, ENDPOINTS, slots, NOW)

    allowed = np.zeros((len(ENDPOINTS), 168), bool)
    allowed[:, slots] = True
    request = Request(ENDPOINTS, NOW, allowed, 3)
    kept = {("customer", 0): rank(gpl, full, tables, request, NOW).best(8)}
    hours = iter(range(NOW, NOW + 500_000))
    growing = _spread(rng, ATTEMPTS, 0)
    return Costs(
        update=_median(
            lambda: growing.record_attempt(ENDPOINTS[1], next(hours), Outcome.IGNORED), 20_000
        ),
        query_12=_median(query(gpl, small), 2000),
        query_64=_median(query(gpl, full), 2000),
        ranking_64=_median(lambda: rank(gpl, full, tables, request, NOW).best(8), 1000),
        kept=_median(lambda: kept["customer", 0], 20_000),
        ladder_64=_median(query(ladder, full), 2000),
        bytes_12=float(np.mean([len(_spread(rng, 10, 2).encode()) for _ in range(200)])),
        bytes_most=_largest(),
    )


def _spread(rng: np.random.Generator, attempts: int, came: int) -> Profile:
    profile = Profile()
    for number in range(attempts):
        hour = NOW - 84 * (attempts - number) + int(rng.integers(60))
        outcome = Outcome.REPLIED if rng.random() < 0.3 else Outcome.IGNORED
        profile.record_attempt(ENDPOINTS[rng.integers(len(ENDPOINTS))], hour, outcome)
    for number in range(came):
        profile.record_inbound(ENDPOINTS[rng.integers(len(ENDPOINTS))], NOW - 300 * number - 1)
    return profile


def _largest() -> int:
    profile, most = Profile(), 0
    for number in range(400):
        endpoint = Endpoint(number % 4, number % 16, 0)
        profile.record_attempt(endpoint, NOW + number, Outcome.IGNORED)
        profile.record_inbound(endpoint, NOW + number)
        most = max(most, len(profile.encode()))
    return most


def _median(call: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        before = time.thread_time_ns()
        call()
        taken.append(time.thread_time_ns() - before)
    empty = []
    for _ in range(1000):
        before = time.thread_time_ns()
        empty.append(time.thread_time_ns() - before)
    return float(np.median(taken) - np.median(empty)) / 1000
