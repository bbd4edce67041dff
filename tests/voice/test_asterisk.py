"""Call stories through the Asterisk adapter, on the conformance Asterisk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.voice.ari_pbx import ConformanceAsterisk
from tests.voice.pbx import Pbx
from tests.voice.stories import CallStories


class TestAsterisk(CallStories):
    @pytest.fixture
    def pbx(self, tmp_path: Path) -> Pbx:
        return ConformanceAsterisk(tmp_path)
