"""What judges the server from outside shares no code with it."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSIDE = {"matching.py", "command.py", "rules.py", "customers.py"}
"""They measure parts in the same process, and judge nothing."""
ESTIMATORS = {path.name for path in (ROOT / "loadtest").glob("preference*.py")}
"""They try the estimators on people of their own making; of the router they know those alone."""


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_checker_and_drivers_import_nothing_of_the_router() -> None:
    outside = [*(ROOT / "tests/outside").glob("*.py"), *(ROOT / "tests/lab").glob("*.py")]
    assert len(outside) > 10
    files = [*outside, *(ROOT / "loadtest").rglob("*.py")]
    for path in files:
        if path.name not in INSIDE:
            found = {n for n in imported(path) if n.split(".")[0] in {"router", "adapters"}}
            if path.name in ESTIMATORS:
                found = {n for n in found if not n.startswith("router.preference.")}
            assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_only_the_command_line_reaches_what_measures_the_engine_itself() -> None:
    for path in [*(ROOT / "tests/outside").glob("*.py"), *(ROOT / "loadtest").rglob("*.py")]:
        if path.name not in {*INSIDE, "__main__.py"}:
            found = imported(path) & {"loadtest.matching", "loadtest.command"}
            assert not found, f"{path.relative_to(ROOT)}: {found}"
