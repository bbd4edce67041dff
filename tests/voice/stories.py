"""Call stories: what callers and agents live through, on any PBX. Subclass with a fixture `pbx`.

    class TestAsterisk(CallStories):
        @pytest.fixture
        def pbx(self) -> Pbx:
            return AriPbx()

Each story says what people do and checks what they hear: at the PBX or at the phones, never in the
adapter. Every story ends with nothing left over.
"""

from __future__ import annotations

from pathlib import Path

from tests.voice.centre import LINE, Centre
from tests.voice.pbx import Pbx
from tests.voice.stories_faults import FaultStories
from tests.voice.stories_out import AskingStories, OutboundStories
from tests.voice.stories_store import StoreStories
from tests.voice.stories_talk import TalkStories

KIM = "+4930900100"
LEE = "+4930900200"


class CallStories(TalkStories, AskingStories, OutboundStories, FaultStories, StoreStories):
    """All stories; here those of one caller and the agents' phones."""

    async def test_a_caller_waits_with_music_and_is_answered(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await pbx.call(KIM, LINE)
            await centre.hears_music(KIM)
            await centre.ready("ana")
            await centre.rings("ana")
            await centre.hears_music(KIM)
            await pbx.answer("ana")
            await centre.together(KIM, "ana")
            await centre.until(centre.has, "ana", "connected")
            await pbx.hang_up(KIM)
            await centre.all_is_over()
            assert await centre.outcome() == "completed"
            assert await pbx.rung("ana") == 1
            await centre.until(pbx.is_up, "ana", is_=False)

    async def test_an_agent_accepts_at_the_desk_and_then_picks_up(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await centre.ready("ana")
            await pbx.call(KIM, LINE)
            await centre.rings("ana")
            await centre.accept("ana")
            await pbx.answer("ana")
            await centre.together(KIM, "ana")
            await centre.until(centre.has, "ana", "connected")
            assert await pbx.rung("ana") == 1
            await centre.complete("ana")
            await centre.all_is_over()
            await centre.until(pbx.is_up, KIM, is_=False)

    async def test_an_agent_who_hangs_up_has_finished_and_wraps_up(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path, wrap_up="1m") as centre:
            await centre.ready("ana")
            await pbx.call(KIM, LINE)
            await centre.rings("ana")
            await pbx.answer("ana")
            await centre.together(KIM, "ana")
            await pbx.hang_up("ana")
            await centre.until(centre.has, "ana", "wrapping")
            await centre.all_is_over()
            assert await centre.outcome() == "completed"
            await centre.until(pbx.is_up, KIM, is_=False)

    async def test_a_busy_phone_makes_way_for_the_next_agent(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            pbx.will("ana", "busy")
            await centre.ready("ana", "bo")
            await pbx.call(KIM, LINE)
            await centre.rings("bo")
            await centre.hears_music(KIM)
            await pbx.answer("bo")
            await centre.together(KIM, "bo")
            assert await pbx.rung("ana") == 1
            await pbx.hang_up(KIM)
            await centre.all_is_over()

    async def test_a_phone_that_nobody_picks_up_stops_and_the_next_one_rings(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path, offer="3s") as centre:
            await centre.ready("ana")
            await pbx.call(KIM, LINE)
            await centre.rings("ana")
            await centre.ready("bo")
            await centre.rings("bo")
            await pbx.answer("bo")
            await centre.together(KIM, "bo")
            await centre.until(pbx.is_ringing, "ana", is_=False)
            assert await pbx.told("ana") == "cancelled"
            assert await pbx.rung("ana") == 1
            await pbx.hang_up(KIM)
            await centre.all_is_over()

    async def test_a_caller_who_leaves_while_it_rings_stops_the_ringing(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await centre.ready("ana")
            await pbx.call(KIM, LINE)
            await centre.rings("ana")
            await pbx.hang_up(KIM)
            await centre.until(pbx.is_ringing, "ana", is_=False)
            await centre.all_is_over()
            assert await centre.outcome() == "abandoned"
            assert await pbx.told("ana") == "cancelled"

    async def test_a_caller_who_leaves_while_waiting_is_counted_as_gone(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await pbx.call(KIM, LINE)
            await centre.hears_music(KIM)
            await pbx.hang_up(KIM)
            await centre.all_is_over()
            assert await centre.outcome() == "abandoned"

    async def test_of_two_phones_that_ring_the_first_wins_and_the_other_is_told(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path, parallel=2) as centre:
            await centre.ready("ana", "bo")
            await pbx.call(KIM, LINE)
            await centre.rings("ana")
            await centre.rings("bo")
            await pbx.answer("bo")
            await centre.together(KIM, "bo")
            await centre.until(pbx.is_ringing, "ana", is_=False)
            assert await pbx.told("ana") == "elsewhere"
            assert await pbx.rung("ana") == await pbx.rung("bo") == 1
            await pbx.hang_up(KIM)
            await centre.all_is_over()
