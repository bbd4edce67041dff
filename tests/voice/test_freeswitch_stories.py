"""The call stories on FreeSWITCH: the adapter against the conformance FreeSWITCH."""

from __future__ import annotations

import pytest

from tests.voice.freeswitch_edge import FreeSwitchEdge
from tests.voice.pbx import Pbx
from tests.voice.stories import CallStories


class TestFreeSwitch(CallStories):
    @pytest.fixture
    def pbx(self) -> Pbx:
        return FreeSwitchEdge()
