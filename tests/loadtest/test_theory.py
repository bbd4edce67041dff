"""What theory says of a line is what the books say; what does not fit it is left out."""

from __future__ import annotations

import pytest

from loadtest.runs import theory
from loadtest.runs.conduct import Outcome
from loadtest.runs.run import read
from loadtest.runs.watch import Sample


def test_erlang_c_is_that_of_the_tables() -> None:
    found = theory.line(rate=8.0, length_s=1.0, agents=10)
    assert found.delayed == pytest.approx(0.4092, abs=1e-4)
    assert found.waiting == pytest.approx(0.4092 * 0.8 / 0.2, abs=1e-3)
    assert found.gives_up == 0
    one = theory.line(rate=0.5, length_s=1.0, agents=1)
    assert (one.delayed, one.waiting) == (pytest.approx(0.5), pytest.approx(0.5)), "M/M/1"
    with pytest.raises(ValueError, match="grows for ever"):
        theory.line(rate=10.0, length_s=1.0, agents=10)


def test_with_patience_as_long_as_the_service_everybody_is_alike() -> None:
    """M/M/c+M with patience = length is M/M/inf: the number there is Poisson of the load."""
    found = theory.line(rate=5.0, length_s=1.0, agents=5, patience_s=1.0)
    assert found.delayed == pytest.approx(0.5595, abs=1e-4)
    assert found.waiting == pytest.approx(5 * 0.17546737, abs=1e-4)  # 5 * P(5) of Poisson(5)
    assert found.gives_up == pytest.approx(found.waiting / 5)


def test_a_thousand_agents_are_no_matter() -> None:
    found = theory.line(rate=950.0, length_s=1.0, agents=1000)
    assert 0.05 < found.delayed < 0.12
    assert theory.line(rate=1500.0, length_s=1.0, agents=1000, patience_s=2.0).gives_up == (
        pytest.approx(1 / 3, abs=0.01)
    )


def sample(at_s: float, waiting: float) -> Sample:
    return Sample(at_s, 0.0, 0, 0.0, waiting, 0.0, 0.0, 0.0)


def test_a_steady_phase_stands_beside_what_was_seen() -> None:
    profile, _ = read("steady-line")
    outcome = Outcome(profile)
    outcome.samples = [sample(float(at), 4.5) for at in range(300)]
    for second in range(300):
        outcome.measures.count("due", 9, at_s=second + 0.5)
    (row,) = theory.rows(outcome)
    assert (row.phase, row.agents) == ("steady", 40)
    assert row.load == pytest.approx(36, abs=0.5)
    assert row.seen_wait_s == pytest.approx(0.5)
    assert 0.2 < row.wait_s < 1.0


@pytest.mark.parametrize("name", ["mixed-channels", "reconnect-storm", "login-wave", "freed"])
def test_where_agents_do_several_things_or_decline_nothing_is_said(name: str) -> None:
    profile, _ = read(name)
    assert all(theory.steady(profile, phase) is None for phase in profile.phases)
