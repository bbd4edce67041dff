"""The server that most tests of the API talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.api.site import Site, api_of, start


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    server = await start(tmp_path)
    async with aiohttp.ClientSession() as session:
        yield Site(server, api_of(server), session)
    await server.stop()
