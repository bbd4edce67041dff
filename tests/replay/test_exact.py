"""The test of a replay: with the policy unchanged it repeats what happened, to the microsecond."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from router.config import load
from router.core import events as e
from router.core.state import State
from router.replay import notes, run
from router.replay.driver import Driver
from router.replay.people import People
from tests.replay.records import (
    ROOT,
    FastClock,
    RecordedWorld,
    again,
    decided,
    read,
    run_demo,
    write,
)

FEW = range(1, 13)
MANY = range(13, 73)


async def repeats(tmp_path: Path, seed: int) -> set[type]:
    world = RecordedWorld(seed)
    report = world.run()
    assert report.is_clean, str(report)
    await write(tmp_path / str(seed), world.frames)
    recording, happened = read(tmp_path / str(seed), world._policies["v0"])
    repeated, _ = again(recording, world._policies["v0"])
    for was, now in zip(decided(happened), decided(repeated), strict=False):
        assert now == was, f"seed {seed}"
    assert len(decided(repeated)) == len(decided(happened))
    return {type(event) for event in happened}


async def test_drawn_worlds_from_a_real_journal_are_repeated_event_by_event(
    tmp_path: Path,
) -> None:
    seen: set[type] = set()
    for seed in FEW:
        seen |= await repeats(tmp_path, seed)
    assert {
        e.OfferExpired, e.OfferRejected, e.ContactParked, e.ContactRelaxed, e.ContactOverflowed,
        e.ConsultStarted, e.ReservationMoved, e.ReservationSuspended, e.ContactReprioritized,
        e.MessageReceived, e.AgentLost, e.ClockStepped, e.ContactSwitched, e.CoolDownEnded,
        e.ChannelPaused, e.ChannelResumed,
    } <= seen  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
async def test_a_drawn_world_is_repeated(tmp_path: Path, seed: int) -> None:
    await repeats(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("shop", ["demo", "loyalty"])
async def test_the_demo_on_the_real_server_is_repeated_contact_by_contact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop: str
) -> None:
    # Its clock runs faster, and so does what the event loop is late by.
    monkeypatch.setattr(notes, "SLACK_US", notes.SLACK_US * FastClock.SPEED)
    monkeypatch.setattr(notes, "LATE_US_MOST", notes.LATE_US_MOST * FastClock.SPEED)
    config = tmp_path / "demo.yaml"
    config.write_text(
        (ROOT / "config" / f"{shop}.yaml").read_text().replace("../var", str(tmp_path))
    )
    await run_demo(config, tmp_path / "data", contacts=60, seed=5)
    result = run.replay(run.Wanted(config, config, tmp_path / "data"))
    name = next(iter(load(config).workspaces))
    assert result["workspace"] == name
    same = result["equality"]
    assert same["contacts"] >= 60
    assert same["equal"] == same["contacts"], json.dumps(same)
    assert result["columns"]["control"] == result["columns"]["happened"]
    assert result["columns"]["new"] == result["columns"]["happened"]
    assert result["moved"]["contacts"] == []
    assert result["columns"]["happened"]["all"]["answered"] > 30
    assert result["refused"] == {}


@pytest.mark.parametrize("seed", range(1, 9))
async def test_a_span_in_the_middle_begins_with_everybody_where_they_were(
    tmp_path: Path, seed: int
) -> None:
    world = RecordedWorld(seed)
    world.run()
    policy = world._policies["v0"]
    await write(tmp_path, world.frames)
    recording, happened = read(tmp_path, policy)
    since_us = (recording.first_us + recording.last_us) // 2
    before = [(seq, x) for seq, x in enumerate(happened, 1) if x.at_us < since_us]
    found: list[e.Event] = []
    driver = Driver(recording, policy, People(recording, 1), see=found.append)
    driver.begin(State(), before, policy)
    driver.run(recording.last_us)
    expected = decided(happened[len(before) :])
    assert len(expected) > 50
    assert [counted_anew(x) for x in decided(found)] == [counted_anew(x) for x in expected]


def counted_anew(event: e.Event) -> e.Event:
    """Without how far the choice was counted: that depends on what has been looked up before."""
    if not isinstance(event, e.ContactOffered):
        return event
    decision = replace(event.decision, eligible=1, eligible_more=False, runners_up=())
    return replace(event, decision=decision)
