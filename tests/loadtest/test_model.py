"""The cost model finds what runs were made of, and says so when they cannot tell."""

from __future__ import annotations

import pytest

from loadtest.runs import judge, model


def made(shape: model.Shape) -> model.Point:
    served, waits = shape.served_per_s, shape.waiting_per_s
    cpu = 0.05 + 0.0009 * served + 0.0002 * waits + 0.01 * shape.agents / 1000
    cpu += 1.5e-6 * shape.rules * (served + waits) + 0.02 * (shape.tenants - 1)
    rss = 110 + 0.004 * served * 10 + 0.005 * waits * 10 + 0.03 * shape.agents
    return model.Point(
        shape, served, waits, cpu, rss + 6 * (shape.tenants - 1), waits * 10, served * 10
    )


def test_the_shapes_tell_every_factor_from_the_others() -> None:
    points = [made(shape) for shape in model.SHAPES]
    rows = [[of(point) for _, _, of in model.CPU.values()] for point in points]
    cpu = model.solve(rows, [point.cpu_share for point in points])
    assert cpu == pytest.approx([0.05, 0.0009, 0.0002, 0.01, 1.5e-6, 0.02])
    rows = [[of(point) for _, _, of in model.MEMORY.values()] for point in points]
    memory = model.solve(rows, [point.rss_mb for point in points])
    assert memory == pytest.approx([110, 0.004, 0.005, 0.03, 6])


def test_runs_that_cannot_tell_two_factors_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="do not tell factor 1"):
        model.solve([[1.0, 2.0], [2.0, 4.0]], [1.0, 2.0])


@pytest.mark.parametrize("shape", model.SHAPES, ids=lambda shape: shape.name)
def test_every_shape_is_a_centre_that_can_be_run(shape: model.Shape) -> None:
    profile = model.centre(shape, 5.0)
    judge.check(profile)
    assert sum(agents.count for agents in profile.agents) == shape.agents
    assert len(profile.router["workspaces"]) == shape.tenants
