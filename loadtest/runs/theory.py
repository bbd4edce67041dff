"""What queueing theory expects of a phase, beside what was seen: a check of router and robots both.

Poisson arrivals, c agents who serve one contact at a time, exponential lengths: Erlang C, and with
customers who give up Erlang A. Only where a profile is like that: one group of agents, who take
contacts of one channel at a time, a steady rate without bursts, nobody who declines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from loadtest.runs.conduct import Outcome
from loadtest.runs.profile import Agents, Phase, Profile

SETTLED = 0.25
"""Part of a phase that is left out at its beginning."""
MOST = 200_000
TINY = 1e-12


@dataclass
class Row:
    """One phase."""

    phase: str
    agents: int
    load: float
    """Arrivals times mean length: agents that are busy on average, if nobody gives up."""
    wait_s: float
    seen_wait_s: float
    """Mean over all who came, whether they were served or gave up."""
    gave_up: float
    seen_gave_up: float


@dataclass
class Line:
    """A waiting line in its steady state."""

    waiting: float
    """People in it, on average."""
    delayed: float
    """Share of those who come and must wait."""
    gives_up: float
    """Share of those who come and give up."""


def line(rate: float, length_s: float, agents: int, patience_s: float = 0.0) -> Line:
    """Erlang A; with `patience_s` 0 nobody gives up: Erlang C, which needs rate * length < agents.

    Raises ValueError if the line would grow for ever.
    """
    if not patience_s and rate * length_s >= agents:
        raise ValueError(f"{rate * length_s:.1f} busy agents of {agents}: the line grows for ever")
    leave = 1 / patience_s if patience_s else 0.0
    # Weights of the states 0, 1, 2 ... people, against the heaviest so far, so that none overflows.
    weights = [1.0]
    for n in range(1, MOST):
        death = min(n, agents) / length_s + max(0, n - agents) * leave
        weight = weights[-1] * rate / death
        weights.append(weight)
        if weight > 1e200:
            weights = [each / weight for each in weights]
        if n > agents and weight < TINY * max(weights[agents], TINY):
            break
    total = math.fsum(weights)
    waiting = math.fsum((n - agents) * w for n, w in enumerate(weights) if n > agents) / total
    delayed = math.fsum(weights[agents:]) / total
    return Line(waiting, delayed, waiting * leave / rate)


def rows(outcome: Outcome) -> list[Row]:
    """Every phase of a run that theory can say something about."""
    profile, found, began_s = outcome.profile, [], 0.0
    for phase in profile.phases:
        begin_s, end_s = began_s + SETTLED * phase.seconds, began_s + phase.seconds
        began_s = end_s
        inside = [s for s in outcome.samples if begin_s <= s.at_s <= end_s]
        agents = steady(profile, phase)
        if agents is None or len(inside) < 3:
            continue
        seconds = range(math.ceil(begin_s), math.floor(end_s))
        due = outcome.measures.total("due", seconds)
        rate = due / max(1, len(seconds))
        customers = profile.customers[0]
        length_s = agents.accept.mean_s + agents.talk.mean_s + agents.wrap.mean_s
        if customers.channel == "voice":
            length_s += customers.connect.mean_s
        patience_s = customers.patience.mean_s if customers.patience else 0.0
        try:
            wanted = line(rate, length_s, agents.count, patience_s)
        except ValueError:
            continue
        seen = sum(sample.waiting for sample in inside) / len(inside)
        found.append(
            Row(
                phase.name, agents.count, rate * length_s, wanted.waiting / rate, seen / rate,
                wanted.gives_up, outcome.measures.total("gave_up", seconds) / max(1, due),
            )
        )  # fmt: skip
    return found


def steady(profile: Profile, phase: Phase) -> Agents | None:
    """The agents of a phase to which the theory applies; None: it does not."""
    customers, agents = profile.customers, profile.agents
    simple = (
        len(customers) == len(agents) == 1
        and phase.to is None
        and phase.burst is None
        and phase.rate > 0
        and not profile.calibrate_s
        and not profile.trace
        and not profile.cuts
        and not customers[0].messages
        and customers[0].channel == "voice"
        and not customers[0].one_skill_of
        and agents[0].reject == agents[0].ignore == 0
        and agents[0].login_at_s is None
    )
    return agents[0] if simple else None
