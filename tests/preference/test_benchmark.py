"""The benchmark's own parts: the population, its log, and how policies are judged."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from loadtest.preference import capture
from loadtest.preference_bank import auc, calibration_error
from loadtest.preference_learned import Learned, prior_of
from loadtest.preference_policies import Oracle, Random
from loadtest.preference_population import World, read
from loadtest.preference_trial import known, run
from router.preference.gpl import Gpl

POPULATIONS = Path(__file__).parents[2] / "loadtest" / "populations"
PARAMETERS = read(POPULATIONS / "contactpop-1.yaml")
SMALL = copy.deepcopy(PARAMETERS) | {"log": PARAMETERS["log"] | {"customers": 150}}


def test_one_seed_gives_one_population() -> None:
    one, two, other = (World(PARAMETERS, seed, 0) for seed in (1, 1, 2))
    first, again, third = (world.people(3, 4) for world in (one, two, other))
    assert [p.tasks for p in first] == [p.tasks for p in again] != [p.tasks for p in third]
    assert (first[0].epochs[0].logits == again[0].epochs[0].logits).all()
    assert [p.inbound for p in first] == [p.inbound for p in again]


def test_customers_have_the_endpoints_that_their_shares_say() -> None:
    people = World(PARAMETERS, 1, 0).people(400, 1)
    counts = np.array([len(person.endpoints) for person in people])
    # 1.65 phones for voice and sms each, one chat, 1.35 e-mails
    assert counts.mean() == pytest.approx(5.65, abs=0.25)
    unknown = sum(person.segment is None for person in people) / len(people)
    assert unknown == pytest.approx(0.1, abs=0.05)
    assert sum(person.zone_error != 0 for person in people) / 400 == pytest.approx(0.05, abs=0.04)


def test_no_candidate_lies_at_night_nor_a_call_on_a_sunday() -> None:
    world = World(PARAMETERS, 1, 0)
    person = world.people(1, 1)[0]
    hours, allowed = world.candidates(person, 0, 168)
    usable = {
        (c, int(hour))
        for row, (c, _, _) in zip(allowed, person.endpoints, strict=True)
        for hour in hours[row]
    }
    assert {h % 24 for _, h in usable} == set(range(8, 20))
    assert all(h < 144 for c, h in usable if c == 0)


def test_the_oracle_wins_all_and_chance_nothing_and_learning_something() -> None:
    world = World(SMALL, 4, 0)
    people, log = world.people(12, 25), known(world)
    oracle = run(world, people, Oracle(world.generator(1)), 9)
    chance = run(world, people, Random(world.generator(1)), 9)
    learned = run(world, people, Learned(log, 12, Gpl(), prior_of(log).tables()), 9)
    assert capture(oracle) == pytest.approx(1.0)
    assert abs(capture(chance)) < 0.15
    assert 0.2 < capture(learned) < 1.0
    assert (oracle.hits == 1.0).all()
    assert not np.isnan(learned.p).any()
    assert (learned.low < learned.high).all()


def test_structure_of_other_populations_is_there() -> None:
    wants = read(POPULATIONS / "contactpop-2.yaml") | {"alternating_weeks": {"share": 1.0}}
    world, plain = World(wants, 3, 0), World(PARAMETERS, 3, 0)
    person = world.people(1, 2)[0]
    even, odd = world.logits(person, np.arange(168)), world.logits(person, np.arange(168, 336))
    assert np.abs(even - odd).max() > 0.3
    sms = [place for place, (c, _, _) in enumerate(person.endpoints) if c == 1]
    day = 24 * np.array([59, 61]) + 10
    before, after = world.logits(person, day)[sms[0]]
    assert after < before - 3
    assert world.segment(person, 0.0) == person.segment
    assert world.segment(person, 91 * 24.0) == person.segment_later
    stranger = plain.people(1, 2)[0]
    assert (
        plain.logits(stranger, np.arange(168)) == plain.logits(stranger, np.arange(168, 336))
    ).all()


def test_a_file_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("name: Some\nchannels: [voice]\n")
    with pytest.raises(ValueError, match="lacks contactable, base"):
        read(file)


def test_measures_of_predictions_by_hand() -> None:
    p, y = np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True])
    assert auc(p, y) == pytest.approx((2 + 1.5) / 4)
    assert calibration_error(np.array([0.25, 0.25, 0.75, 0.75]), y, 2) == pytest.approx(0.25)
