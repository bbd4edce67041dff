"""Fixtures of the runtime's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.memory import MemoryJournal
from router.runtime.clock import ManualClock
from tests.runtime.server import Served
from tests.runtime.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    keys = await BlockKeys.open(MemoryBlocks())
    made = World(ManualClock(), MemoryJournal(), keys)
    yield made
    await made.end()
    await keys.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path)
    made.token = await made.command("token", "create", "admin")
    yield made
    if made.process is not None and made.process.returncode is None:
        await made.kill()
    await made.session.close()
