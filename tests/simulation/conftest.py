from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", metavar="DIR", help="golden traces to run instead of our own")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_file" in metafunc.fixturenames:
        # The option is known only when this directory is named on the command line.
        directory = metafunc.config.getoption("--golden", None) or DATA / "golden"
        files = sorted(Path(directory).glob("*.json"))
        metafunc.parametrize("golden_file", files, ids=[path.stem for path in files])
