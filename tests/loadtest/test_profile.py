"""Profiles are read strictly: what is wrong is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.runs import conduct, judge, profile
from loadtest.runs.run import PROFILES

GOOD = """\
title: Small
router: {queues: {q: {target: 1m}}}
phases:
  - {name: one, seconds: 2, rate: 5}
customers:
  - {name: c, channel: chat, entry_point: site}
agents:
  - {name: a, profile: p, count: 2}
expect:
  shed: {most: 0}
"""


def read(tmp_path: Path, text: str) -> profile.Profile:
    file = tmp_path / "small.yaml"
    file.write_text(text)
    found = profile.read(file)
    judge.check(found)
    return found


@pytest.mark.parametrize("file", sorted(PROFILES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_profile_that_comes_along_can_be_used(file: Path) -> None:
    found = profile.read(file)
    judge.check(found)
    assert found.expect["audit_faults"].most == 0, "each judges what was lost or doubled"
    assert found.expect["desk_shed"].most == 0, "and that nothing of agents was refused"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("rate: 5", "rait: 5", r"small.yaml:4: .*unknown field `rait`"),
        ("seconds: 2", "seconds: 0", r"small.yaml:4: .*> 0"),
        ("channel: chat", "channel: 3", r"small.yaml:6: Expected `str`, got `int`"),
        ("count: 2", "count: 2, count: 3", r"small.yaml:8: `count` stands here twice"),
        ("title: Small", "title: [", r"small.yaml:\d+: "),
        ("shed:", "shedd:", r"expect: no figure is called 'shedd'"),
        ("agents:\n", "agents: []\nagent:\n", r"small.yaml:\d+: "),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert read(tmp_path, GOOD).seconds == 2
    with pytest.raises(profile.ProfileError, match=says):
        read(tmp_path, GOOD.replace(old, new))


def test_a_grown_centre_has_more_of_both_and_a_short_day_keeps_its_rates(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    large = conduct.grown(found, 3)
    assert (large.phases[0].rate, large.agents[0].count) == (15, 6)
    assert (found.phases[0].rate, found.agents[0].count) == (5, 2), "the first is as it was"
    assert conduct.lasting(found, 1).phases[0] == profile.Phase(name="one", seconds=1, rate=5)
