from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--schedules", type=int, default=300, help="how many lives of nodes are drawn")
    parser.addoption("--losses", type=int, default=8, help="how often an owner is lost")


# The options are known only when this directory is named on the command line.


@pytest.fixture
def schedules(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--schedules", 300))


@pytest.fixture
def losses(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--losses", 8))
