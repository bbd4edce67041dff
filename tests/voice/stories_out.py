"""Call stories of callers who are told and asked something, turned away, or called by us."""

from __future__ import annotations

from pathlib import Path

from tests.voice.centre import LINE, Centre
from tests.voice.pbx import Pbx
from tests.voice.stories_talk import KIM, over


class AskingStories:
    """While the caller waits."""

    async def test_a_waiting_caller_is_greeted_and_goes_on_hearing_music(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path, treatment={"greeting": pbx.says("welcome")}) as centre:
            await pbx.call(KIM, LINE)
            await centre.until(self._was_played, pbx, ["welcome"])
            await centre.hears_music(KIM)
            await over(centre)

    async def test_a_waiting_caller_presses_a_key(self, pbx: Pbx, tmp_path: Path) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await pbx.call(KIM, LINE)
            await centre.hears_music(KIM)
            choices = {"1": "SMS", "2": "callback"}
            await centre.put_question(KIM, pbx.says("menu"), choices=choices)
            await centre.until(self._was_played, pbx, ["menu"])
            await pbx.press(KIM, "2")
            await centre.until(self._answered, centre, "2")
            await centre.hears_music(KIM)
            await over(centre)

    async def test_several_digits_end_with_the_last_or_with_a_hash(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await pbx.call(KIM, LINE)
            await centre.hears_music(KIM)
            await centre.put_question(KIM, pbx.says("menu"), digits=6)
            await centre.until(self._was_played, pbx, ["menu"])
            await pbx.press(KIM, "4711#")
            await centre.until(self._answered, centre, "4711")
            await over(centre)

    async def test_a_caller_who_presses_nothing_is_said_not_to_have_answered(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await pbx.call(KIM, LINE)
            await centre.hears_music(KIM)
            await centre.put_question(KIM, pbx.says("menu"), within_s=1.0)
            await centre.until(self._answered, centre, "")
            await over(centre)

    async def test_an_agent_answers_while_the_caller_is_being_asked(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await pbx.call(KIM, LINE)
            await centre.hears_music(KIM)
            await centre.put_question(KIM, pbx.says("menu"))
            await centre.ready("ana")
            await centre.rings("ana")
            await pbx.answer("ana")
            await centre.together(KIM, "ana")
            await over(centre)

    async def test_a_caller_who_is_turned_away_goes_on_in_the_dialplan(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        late = "longest_wait: 1s\n    on_late: deflect"
        async with Centre(pbx, tmp_path, queue=late) as centre:
            await pbx.call(KIM, LINE)
            await centre.until(self._is_elsewhere, pbx)
            assert await centre.outcome() == "deflected"

    async def _was_played(self, pbx: Pbx, names: list[str]) -> bool:
        return await pbx.played(KIM) == names

    async def _answered(self, centre: Centre, value: str) -> bool:
        return centre.answer_of(KIM) == value

    async def _is_elsewhere(self, pbx: Pbx) -> bool:
        return (await pbx.went_on_to(KIM)).startswith("voicemail")


class OutboundStories:
    """We call the customer."""

    async def test_a_callback_rings_the_agent_first_and_then_the_customer(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await centre.ready("ana")
            await centre.call_back(KIM)
            await centre.rings("ana")
            assert await pbx.rung(KIM) == 0
            await pbx.answer("ana")
            await centre.rings(KIM)
            await pbx.answer(KIM)
            await centre.together(KIM, "ana")
            await centre.until(centre.has, "ana", "connected")
            assert await pbx.rung("ana") == await pbx.rung(KIM) == 1
            await over(centre)
            assert await centre.outcome() == "completed"

    async def test_a_callback_rings_the_customer_first_if_it_is_set_so(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path, settings={"dial_first": "customer"}) as centre:
            await centre.ready("ana")
            await centre.call_back(KIM)
            await centre.accept("ana")
            await centre.rings(KIM)
            assert await pbx.rung("ana") == 0
            await pbx.answer(KIM)
            await centre.rings("ana")
            await pbx.answer("ana")
            await centre.together(KIM, "ana")
            await over(centre)

    async def test_a_customer_who_is_busy_is_tried_again_later_and_the_agent_is_free(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            pbx.will(KIM, "busy")
            await centre.ready("ana")
            await centre.call_back(KIM)
            await centre.rings("ana")
            await pbx.answer("ana")
            await centre.until(centre.is_in, KIM, "scheduled")
            await centre.until(pbx.is_up, "ana", is_=False)
            await centre.until(centre.has, "ana", "nothing")
            assert await pbx.rung(KIM) == 1
            await centre.until(self._nothing_is_left, pbx)

    async def test_an_agent_who_is_busy_leaves_the_callback_to_the_next(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            pbx.will("ana", "busy")
            await centre.ready("ana", "bo")
            await centre.call_back(KIM)
            await centre.rings("bo")
            await pbx.answer("bo")
            await centre.rings(KIM)
            await pbx.answer(KIM)
            await centre.together(KIM, "bo")
            assert await pbx.rung(KIM) == 1
            await over(centre)

    async def test_an_agent_who_hangs_up_while_the_customer_is_being_rung_stops_the_call(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await centre.ready("ana")
            await centre.call_back(KIM)
            await centre.rings("ana")
            await pbx.answer("ana")
            await centre.rings(KIM)
            await pbx.hang_up("ana")
            await centre.until(pbx.is_ringing, KIM, is_=False)
            await centre.until(self._nothing_is_left, pbx)

    async def _nothing_is_left(self, pbx: Pbx) -> bool:
        return not await pbx.left_over()
