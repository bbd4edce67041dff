"""Call stories through the Asterisk adapter, on the conformance Asterisk."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from router.testing.pbx_ari_parts import Races
from tests.voice.ari_pbx import ConformanceAsterisk
from tests.voice.pbx import Pbx
from tests.voice.stories import CallStories
from tests.voice.stories_back import BackStories


class TestAsterisk(CallStories, BackStories):
    @pytest.fixture
    def pbx(self, tmp_path: Path) -> Pbx:
        return ConformanceAsterisk(tmp_path)


@pytest.mark.slow
class TestAsteriskInAnyOrder(CallStories, BackStories):
    """Answers before or after their events, dials that come too early, everything told twice."""

    @pytest.fixture(params=[1, 2, 3])
    def pbx(self, tmp_path: Path, request: pytest.FixtureRequest) -> Pbx:
        return ConformanceAsterisk(tmp_path, Races.drawn(random.Random(request.param)))
