"""The Kannel adapter passes the suites against a real Kannel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.testing.conformance import FailureSuite, TextSuite
from router.testing.conformance_talk import AskingSuite
from tests.adapters.kannel_peer import KannelHarness, needs_kannel

pytestmark = [pytest.mark.peer, needs_kannel]


class TestKannel(TextSuite, FailureSuite, AskingSuite):
    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[KannelHarness]:
        async with KannelHarness(tmp_path) as harness:
            yield harness
