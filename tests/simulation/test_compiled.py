from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from router import compiled

INDEXES = ("queues", "roster", "matching", "reach", "scoring", "skills")
"""What most depends on how Python keeps values: a part, for a test that takes seconds."""
PLACES = """
import router.core.matching, router.core.queues, router.core.roster
for module in (router.core.matching, router.core.queues, router.core.roster):
    print(module.__file__)
"""


def run(target: Path, *words: str) -> str:
    ran = subprocess.run(
        [sys.executable, *words],
        cwd=target,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compiled_indexes_decide_as_the_source_does(tmp_path: Path) -> None:
    lacking = compiled.missing()
    if lacking:
        pytest.skip(f"compiling needs {lacking}")
    target = tmp_path / "made"
    chosen = [path for path in compiled.modules() if Path(path).stem in INDEXES]
    assert len(chosen) == len(INDEXES)
    compiled.build(target, chosen, level=0)
    for place in run(target, "-c", PLACES).split():
        assert place.startswith(str(target))
        assert place.endswith(".so")
    # Drawn days with faults: the auditor and the scans of `testing/naive.py` look at each step.
    audited = run(target, "-m", "router.testing.simulator", "--count", "40", "--seed", "11")
    source = run(compiled.ROOT, "-m", "router.testing.simulator", "--count", "40", "--seed", "11")
    assert "40 seeds, 0 broken" in audited
    assert audited == source  # as many events, to the last one


def test_records_are_left_to_msgspec_and_what_decides_is_compiled() -> None:
    stems = [Path(path).stem for path in compiled.modules()]
    assert {"engine", "matching", "state", "queues", "roster", "decide"} <= set(stems)
    assert not {"model", "record", "commands", "contact_events", "policy", "events"} & set(stems)


def test_what_it_takes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert compiled.missing().startswith("a C compiler")
    with pytest.raises(SystemExit, match="not compiled: this needs a C compiler"):
        compiled.main([str(tmp_path / "made")])


def test_nothing_is_written_over_what_it_has_not_made(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(SystemExit, match="holds something else"):
        compiled.main([str(tmp_path)])
    assert (tmp_path / "letters.txt").read_text() == "dear"
    with pytest.raises(SystemExit, match="is the source itself"):
        compiled.main([str(compiled.ROOT)])
    assert (compiled.ROOT / "router" / "compiled.py").is_file()


def test_it_says_how_it_is_called() -> None:
    with pytest.raises(SystemExit, match="usage:"):
        compiled.main([])
