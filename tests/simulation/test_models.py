"""Random models: the engine fares as a queueing simulator of 80 lines that knows nothing of it.

The golden traces pin eight models; here are mixtures they do not have (levels that only one
direction of choice looks at, limits with priorities, delays with patience, several of them).
"""

from __future__ import annotations

import heapq
from random import Random

import pytest

from router.testing.golden import Arrival, Bench, Fate, Model, ModelClass, ModelGroup, ModelSkill
from router.testing.golden import translate as translated

CONTACT_RULES = ("fcfs", "key", "level_then_fcfs", "level_then_key")
AGENT_RULES = ("longest_idle", "level_then_longest_idle")


def random_model(rng: Random) -> Model:
    classes = [
        ModelClass(
            f"c{number}",
            rate_per_s=rng.uniform(0.05, 0.2),
            strict_priority=rng.randint(0, 2),
            offset_s=rng.choice((0.0, 0.0, rng.uniform(1, 40))),
        )
        for number in range(rng.randint(1, 3))
    ]
    groups = []
    for number in range(rng.randint(1, 4)):
        served = rng.sample(range(len(classes)), rng.randint(1, len(classes)))
        skills = {
            str(cls): ModelSkill(
                mean_service_s=rng.uniform(3, 20),
                level=rng.randint(1, 3),
                relax_delay_s=rng.choice((0.0, 0.0, rng.uniform(1, 20))),
            )
            for cls in served
        }
        groups.append(ModelGroup(f"g{number}", rng.randint(1, 3), skills))
    return Model(
        classes=classes,
        agent_groups=groups,
        contact_rule=rng.choice(CONTACT_RULES),
        agent_rule=rng.choice(AGENT_RULES),
        waiting_places=rng.choice((None, None, 0, 2, 5)),
    )


def random_arrivals(rng: Random, model: Model, count: int) -> list[Arrival]:
    at_s, arrivals = 0.0, []
    weights = [cls.rate_per_s for cls in model.classes]
    patient = rng.random() < 0.5
    for _ in range(count):
        at_s = round(at_s + rng.expovariate(sum(weights)), 6)
        cls = rng.choices(range(len(weights)), weights)[0]
        patience_s = None if patient else round(rng.expovariate(1 / 30), 6)
        arrivals.append(Arrival(at_s, cls, round(rng.expovariate(1), 9), patience_s))
    return arrivals


class Reference:
    """Lists and scans."""

    def __init__(self, model: Model, arrivals: list[Arrival]) -> None:
        self.model = model
        self.arrivals = arrivals
        self.skills = [g.skills for g in model.agent_groups for _ in range(g.count)]
        self.idle: dict[int, float] = dict.fromkeys(range(len(self.skills)), 0.0)
        self.waiting: dict[int, None] = {}
        self.fates: dict[int, Fate] = {}
        self.events: list[tuple[float, int, str, int]] = []

    def run(self) -> dict[int, Fate]:
        for number, arrival in enumerate(self.arrivals):
            heapq.heappush(self.events, (arrival.at_s, number, "arrival", number))
        while self.events:
            at_s, _, kind, number = heapq.heappop(self.events)
            if kind == "arrival":
                self.arrive(at_s, number)
            elif kind == "end":
                self.idle[number] = at_s
                self.choose_contact(at_s, number)
            elif number in self.waiting and kind == "patience":
                del self.waiting[number]
                self.fates[number] = Fate("abandoned", None, at_s)
            elif number in self.waiting:
                self.choose_agent(at_s, number)
        return self.fates

    def arrive(self, at_s: float, number: int) -> None:
        self.waiting[number] = None
        self.choose_agent(at_s, number)
        if number not in self.waiting:
            return
        places = self.model.waiting_places
        if places is not None and len(self.waiting) > places:
            del self.waiting[number]
            self.fates[number] = Fate("blocked", None, at_s)
            return
        arrival = self.arrivals[number]
        if arrival.patience_s is not None:
            self.later(at_s + arrival.patience_s, "patience", number)
        for skills in self.skills:
            skill = skills.get(str(arrival.cls))
            if skill is not None and skill.relax_delay_s:
                # As the engine counts: in whole microseconds.
                self.later(at_s + round(skill.relax_delay_s, 6), "delay", number)

    def may(self, at_s: float, agent: int, number: int) -> ModelSkill | None:
        arrival = self.arrivals[number]
        skill = self.skills[agent].get(str(arrival.cls))
        if skill is None or at_s - arrival.at_s < round(skill.relax_delay_s, 6) - 5e-7:
            return None
        return skill

    def choose_agent(self, at_s: float, number: int) -> None:
        by_level = self.model.agent_rule == "level_then_longest_idle"
        found = [
            (skill.level if by_level else 0, since_s, agent)
            for agent, since_s in self.idle.items()
            if (skill := self.may(at_s, agent, number)) is not None
        ]
        if found:
            self.serve(at_s, min(found)[2], number)

    def choose_contact(self, at_s: float, agent: int) -> None:
        rule = self.model.contact_rule
        found = []
        for number in self.waiting:
            skill = self.may(at_s, agent, number)
            if skill is None:
                continue
            arrival = self.arrivals[number]
            cls = self.model.classes[arrival.cls]
            key = (cls.strict_priority, arrival.at_s - cls.offset_s) if "key" in rule else (0, 0.0)
            found.append((skill.level if "level" in rule else 0, *key, number))
        if found:
            self.serve(at_s, agent, min(found)[3])

    def serve(self, at_s: float, agent: int, number: int) -> None:
        del self.waiting[number], self.idle[agent]
        self.fates[number] = Fate("served", agent, at_s)
        arrival = self.arrivals[number]
        mean_s = self.skills[agent][str(arrival.cls)].mean_service_s
        self.later(at_s + arrival.service_factor * mean_s, "end", agent)

    def later(self, at_s: float, kind: str, number: int) -> None:
        heapq.heappush(self.events, (at_s, len(self.arrivals) + number, kind, number))


@pytest.mark.parametrize("seed", range(60))
def test_the_engine_fares_as_the_reference(seed: int) -> None:
    rng = Random(seed)
    model = random_model(rng)
    arrivals = random_arrivals(rng, model, 250)
    expected = Reference(model, arrivals).run()
    got: dict[int, Fate] = {}
    bench = Bench(translated(model, f"seed {seed}"), lambda n, _, fate: got.update({n: fate}))
    bench.run(iter(arrivals))
    for number, arrival in enumerate(arrivals):
        mine, theirs = got.get(number), expected.get(number)
        if mine is None or theirs is None:  # nobody serves its class
            assert mine == theirs, (number, arrival, mine, theirs)
            continue
        assert mine[:2] == theirs[:2], (number, arrival, mine, theirs)
        assert abs(mine.at_s - theirs.at_s) < 1e-4
