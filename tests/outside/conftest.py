from __future__ import annotations

import random

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=50, help="how often the server is killed")
    parser.addoption("--kill-seed", type=int, default=None, help="of the moments of death")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    # The option is known only when this directory is named on the command line.
    return int(request.config.getoption("--kills", 50))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given = request.config.getoption("--kill-seed", None)
    return random.SystemRandom().randrange(1 << 32) if given is None else int(given)
