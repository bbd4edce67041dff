"""Call stories of what breaks: phones, connections, the PBX, the router."""

from __future__ import annotations

from pathlib import Path

from tests.voice.centre import LINE, Centre
from tests.voice.pbx import Pbx
from tests.voice.stories_talk import KIM, over, talking


class FaultStories:
    """Whatever breaks: who was accepted keeps the place, nobody is rung twice for one offer."""

    async def test_a_phone_that_is_not_registered_makes_way_for_the_next(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            pbx.will("ana", "unknown")
            await centre.ready("ana", "bo")
            await pbx.call(KIM, LINE)
            await centre.rings("bo")
            await pbx.answer("bo")
            await centre.together(KIM, "bo")
            await over(centre)

    async def test_a_phone_whose_network_fails_makes_way_for_the_next(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            pbx.will("ana", "fails")
            await centre.ready("ana", "bo")
            await pbx.call(KIM, LINE)
            await centre.rings("bo")
            await pbx.answer("bo")
            await centre.together(KIM, "bo")
            await over(centre)

    async def test_a_call_outlives_the_event_connection(self, pbx: Pbx, tmp_path: Path) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await pbx.cut_events()
            await centre.until(centre.adapter_is, "down")
            await centre.until(centre.are_together, KIM, "ana")
            await pbx.restore_events()
            await centre.until(centre.adapter_is, "up")
            await centre.hold("ana")
            await centre.hears_music(KIM)
            await centre.hold("ana", on=False)
            await centre.together(KIM, "ana")
            await over(centre)
            assert await pbx.rung("ana") == 1

    async def test_a_caller_who_leaves_unheard_is_gone_when_the_connection_is_back(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await pbx.call(KIM, LINE)
            await centre.hears_music(KIM)
            await pbx.cut_events()
            await centre.until(centre.adapter_is, "down")
            await pbx.hang_up(KIM)
            await pbx.restore_events()
            await centre.all_is_over()
            assert await centre.outcome() == "abandoned"

    async def test_an_agent_who_picks_up_unheard_is_joined_when_the_connection_is_back(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await centre.ready("ana")
            await pbx.call(KIM, LINE)
            await centre.rings("ana")
            await pbx.cut_events()
            await centre.until(centre.adapter_is, "down")
            await pbx.answer("ana")
            await pbx.restore_events()
            await centre.together(KIM, "ana")
            await centre.until(centre.has, "ana", "connected")
            assert await pbx.rung("ana") == 1
            await over(centre)

    async def test_an_agent_who_hangs_up_unheard_has_finished(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await pbx.cut_events()
            await centre.until(centre.adapter_is, "down")
            await pbx.hang_up("ana")
            await pbx.restore_events()
            await centre.all_is_over()
            assert await centre.outcome() == "completed"

    async def test_who_waits_keeps_waiting_when_the_router_is_restarted(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await pbx.call(KIM, LINE)
            await centre.hears_music(KIM)
            await centre.restart()
            assert await pbx.plays(KIM) == "music"
            await centre.ready("ana")
            await centre.rings("ana")
            await pbx.answer("ana")
            await centre.together(KIM, "ana")
            assert await centre.counted("ContactReceived") == 1
            await over(centre)

    async def test_a_phone_that_rings_goes_on_ringing_when_the_router_is_restarted(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await centre.ready("ana")
            await pbx.call(KIM, LINE)
            await centre.rings("ana")
            await centre.restart()
            assert await pbx.is_ringing("ana")
            await pbx.answer("ana")
            await centre.together(KIM, "ana")
            await centre.until(centre.has, "ana", "connected")
            assert await pbx.rung("ana") == 1
            await over(centre)
            assert await centre.outcome() == "completed"

    async def test_who_talks_goes_on_talking_when_the_router_is_restarted(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.restart()
            await centre.together(KIM, "ana")
            await centre.hold("ana")
            await centre.hears_music(KIM)
            await centre.restart()
            await centre.hears_music(KIM)
            await centre.hold("ana", on=False)
            await centre.together(KIM, "ana")
            await over(centre)
            assert await pbx.rung("ana") == 1

    async def test_a_consult_goes_on_when_the_router_is_restarted(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.ready("bo")
            await centre.consult("ana", to="bo")
            await centre.rings("bo")
            await pbx.answer("bo")
            await centre.together("ana", "bo")
            await centre.until(centre.has, "bo", "connected")
            await centre.restart()
            await centre.together("ana", "bo")
            await centre.hears_music(KIM)
            await centre.end_consult("ana", hand_over=True)
            await centre.together(KIM, "bo")
            await over(centre)

    async def test_what_happened_while_no_router_ran_is_found(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.close()
            await pbx.hang_up("ana")
            await centre.open()
            await centre.all_is_over()
            assert await centre.outcome() == "completed"

    async def test_a_caller_who_left_while_no_router_ran_is_gone(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.close()
            await pbx.hang_up(KIM)
            await centre.open()
            await centre.all_is_over()
            await centre.until(pbx.is_up, "ana", is_=False)

    async def test_after_the_pbx_was_killed_its_calls_are_over_and_new_ones_are_taken(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await pbx.kill()
            await centre.until(centre.adapter_is, "down")
            await pbx.restart()
            await centre.until(centre.adapter_is, "up")
            await centre.all_is_over()
            await pbx.call(KIM, LINE)
            await centre.rings("ana")
            await pbx.answer("ana")
            await centre.together(KIM, "ana")
            await over(centre)

    async def test_a_second_router_takes_over_and_the_first_does_not_fight(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await pbx.call(KIM, LINE)
            await centre.hears_music(KIM)
            await pbx.take_events()
            await centre.until(centre.adapter_is, "down")
            await centre.hears_music(KIM)
