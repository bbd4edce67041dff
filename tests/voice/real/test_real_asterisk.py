"""The call stories on a real Asterisk, with the real engine, and phones that hear each other."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from loadtest import pbx_server
from tests.voice.pbx import Pbx
from tests.voice.real.asterisk_pbx import RealAsterisk
from tests.voice.stories import CallStories
from tests.voice.stories_back import BackStories

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(bool(pbx_server.missing()), reason=pbx_server.missing() or "there"),
]


class TestRealAsterisk(CallStories, BackStories):
    @pytest.fixture
    async def pbx(self) -> AsyncIterator[Pbx]:
        real = RealAsterisk()
        yield real
        await real.stop()
