from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.nodes import Site


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--schedules", type=int, default=100, help="how many lives of nodes are drawn")
    parser.addoption("--losses", type=int, default=8, help="how often an owner is lost")


# The options are known only when this directory is named on the command line.


@pytest.fixture
def schedules(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--schedules", 100))


@pytest.fixture
def losses(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--losses", 8))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Nodes of one workspace on one Redis; leases as short as docs/nodes.md lets them be."""
    made = Site(tmp_path, lease_s=2.0)
    yield made
    await made.close()
