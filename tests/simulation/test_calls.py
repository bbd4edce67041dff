"""Drawn days with calls: conferences, listeners and recordings, crashes and restarts, audited."""

from __future__ import annotations

from collections import Counter

import pytest

from router.core import events as e
from router.core.effects import RecordContact
from router.core.model import AgentId, ContactId, ReservationId
from router.testing.consistency import Attached
from router.testing.simulator import Report, Simulation
from router.testing.workload_calls import CallWorkload

MANY = range(100, 160)


def day(seed: int, steps: int = 400) -> Report:
    simulation = Simulation(seed, steps)
    simulation.workload = CallWorkload(simulation.rng, simulation.auditor.world, most_live=20)
    return simulation.run()


def test_days_with_calls_hold_every_invariant() -> None:
    seen: Counter[str] = Counter()
    for seed in range(40):
        report = day(seed)
        assert report.is_clean, str(report)
        seen.update(report.events)
    kinds = (
        e.ConferenceStarted, e.ConferenceEnded, e.MonitorStarted, e.MonitorChanged, e.MonitorEnded,
        e.RecordingStarted, e.RecordingPaused, e.RecordingResumed, e.RecordingEnded,
    )  # fmt: skip
    assert {kind.__name__ for kind in kinds} <= seen.keys()


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_a_day_with_calls_is_clean(seed: int) -> None:
    report = day(seed, 1_000)
    assert report.is_clean, str(report)


def recording(kind: type[e.Event]) -> e.Event:
    return kind(
        at_us=1,
        recording="c1-r1-1",
        contact=ContactId("c1"),
        reservation=ReservationId("r1"),
        agent=AgentId("ana"),
    )


def test_what_outlives_its_conversation_or_is_told_to_nobody_is_found() -> None:
    on = RecordContact(
        channel="voice",
        contact=ContactId("c1"),
        reservation=ReservationId("r1"),
        recording="c1-r1-1",
        on=True,
    )
    ended = e.ReservationEnded(at_us=2, reservation=ReservationId("r1"))
    attached = Attached()
    assert list(attached.check([recording(e.RecordingStarted)], [on])) == []
    assert list(attached.check([ended], [])) == ["r1 is over, but not c1-r1-1"]
    assert list(attached.check([recording(e.RecordingStarted)], [])) == [
        "c1-r1-1 is recorded and nobody is told"
    ]
    assert list(attached.check([recording(e.RecordingEnded), ended], [])) == []
