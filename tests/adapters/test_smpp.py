"""The SMPP adapter passes the suites against a real SMS centre."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.testing.conformance import FailureSuite, TextSuite
from router.testing.conformance_talk import AskingSuite
from tests.adapters.smsc_peer import SmppHarness, needs_smsc

pytestmark = [pytest.mark.peer, needs_smsc]


class TestSmpp(TextSuite, FailureSuite, AskingSuite):
    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[SmppHarness]:
        async with SmppHarness(tmp_path) as harness:
            yield harness
