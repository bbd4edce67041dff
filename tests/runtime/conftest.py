"""Fixtures of the runtime's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.memory import MemoryJournal
from router.runtime.clock import ManualClock
from tests.runtime.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    keys = await BlockKeys.open(MemoryBlocks())
    made = World(ManualClock(), MemoryJournal(), keys)
    yield made
    await made.end()
    await keys.close()
