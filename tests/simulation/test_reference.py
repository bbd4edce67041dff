"""Reference results: a short set; the whole by `python -m router.testing.reference`."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from router.errors import ConfigError
from router.testing import reference

FILE = Path(__file__).parent.parent / "data" / "reference.json"
CASES = reference.load(FILE)
SHORT = ("EB-20-15.0", "EA-01", "EA-04", "PR-2", "OFF-2", "ALIS-5", "HUNT-6", "RELAX-15")
CONTACTS = 30_000


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SHORT)
def test_figures_are_within_the_files_tolerance(name: str) -> None:
    case = next(case for case in CASES.simulated_cases if case.id == name)
    missed = [str(f) for f in reference.check(case, CONTACTS, seed=1) if not f.is_met]
    assert not missed, "\n".join(missed)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_one_agent_with_capacity_units_loses_what_the_product_form_says() -> None:
    for case in CASES.exact_cases:
        missed = [str(f) for f in reference.check_loss(case, CONTACTS, seed=1) if not f.is_met]
        assert not missed, "\n".join(missed)


def test_a_law_that_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    raw = msgspec.json.decode(FILE.read_bytes())
    raw["simulated_cases"] = raw["simulated_cases"][:1]
    raw["simulated_cases"][0]["model"]["service_dist"] = "pareto"
    path = tmp_path / "odd.json"
    path.write_bytes(msgspec.json.encode(raw))
    case = reference.load(path).simulated_cases[0]
    with pytest.raises(ConfigError, match=r"EB-20-15.0: model.service_dist: 'pareto' is not known"):
        reference.check(case, 10, seed=1)


def test_a_figure_outside_the_tolerance_is_a_miss() -> None:
    near = reference.Finding("x", "all.p_wait", 0.5, 0.49, 0.02)
    far = reference.Finding("x", "all.p_wait", 0.5, 0.4, 0.02)
    assert (near.is_met, far.is_met) == (True, False)
    assert str(far).startswith("MISS x")
