"""Call stories of people who talk: hold, transfer, consult, conference, listening in, recording."""

from __future__ import annotations

from pathlib import Path

from tests.voice.centre import LINE, Centre
from tests.voice.pbx import Pbx

KIM = "+4930900100"


async def talking(centre: Centre, agent: str = "ana") -> None:
    """A caller and an agent who talk."""
    await centre.ready(agent)
    await centre.pbx.call(KIM, LINE)
    await centre.rings(agent)
    await centre.pbx.answer(agent)
    await centre.together(KIM, agent)
    await centre.until(centre.has, agent, "connected")


async def over(centre: Centre, customer: str = KIM) -> None:
    """The customer hangs up, and nothing is left."""
    await centre.pbx.hang_up(customer)
    await centre.all_is_over()


class TalkStories:
    """While agent and caller are together."""

    async def test_a_caller_on_hold_hears_music_and_comes_back(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.hold("ana")
            await centre.hears_music(KIM)
            await centre.until(self._hears, pbx, "ana", set())
            await centre.hold("ana", on=False)
            await centre.together(KIM, "ana")
            await over(centre)

    async def test_a_caller_who_leaves_while_on_hold_ends_the_call(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.hold("ana")
            await centre.hears_music(KIM)
            await over(centre)
            assert await centre.outcome() == "completed"
            await centre.until(pbx.is_up, "ana", is_=False)

    async def test_a_call_is_passed_on_to_a_queue_and_the_caller_waits_with_music(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path, wrap_up="1m") as centre:
            await talking(centre)
            await centre.transfer("ana", queue="second")
            await centre.hears_music(KIM)
            await centre.until(pbx.is_up, "ana", is_=False)
            await centre.until(centre.has, "ana", "wrapping")
            await centre.ready("cem")
            await centre.rings("cem")
            await pbx.answer("cem")
            await centre.together(KIM, "cem")
            await over(centre)

    async def test_a_call_is_passed_on_to_a_colleague(self, pbx: Pbx, tmp_path: Path) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.ready("bo")
            await centre.transfer("ana", to="bo")
            await centre.rings("bo")
            await pbx.answer("bo")
            await centre.together(KIM, "bo")
            await centre.until(pbx.is_up, "ana", is_=False)
            await over(centre)

    async def test_a_colleague_is_asked_while_the_caller_hears_music_and_takes_over(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.ready("bo")
            await centre.consult("ana", to="bo")
            await centre.hears_music(KIM)
            await centre.rings("bo")
            await pbx.answer("bo")
            await centre.together("ana", "bo")
            await centre.until(centre.has, "bo", "connected")
            await centre.until(self._hears, pbx, KIM, set())
            await centre.end_consult("ana", hand_over=True)
            await centre.together(KIM, "bo")
            await centre.until(pbx.is_up, "ana", is_=False)
            assert await pbx.is_up("bo")
            assert await pbx.rung("bo") == 1
            await over(centre)

    async def test_after_a_consult_the_agent_goes_on_alone(self, pbx: Pbx, tmp_path: Path) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.ready("bo")
            await centre.consult("ana", to="bo")
            await centre.rings("bo")
            await pbx.answer("bo")
            await centre.together("ana", "bo")
            await centre.until(centre.has, "bo", "connected")
            await centre.end_consult("ana", hand_over=False)
            await centre.together(KIM, "ana")
            await centre.until(pbx.is_up, "bo", is_=False)
            await over(centre)

    async def test_a_consulted_colleague_who_hangs_up_gives_the_caller_back(
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
            await pbx.hang_up("bo")
            await centre.together(KIM, "ana")
            await over(centre)

    async def test_an_agent_who_hangs_up_in_a_consult_leaves_the_caller_to_the_colleague(
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
            await pbx.hang_up("ana")
            await centre.together(KIM, "bo")
            await over(centre)

    async def test_three_in_a_conference_and_apart_again(self, pbx: Pbx, tmp_path: Path) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.ready("bo")
            await centre.consult("ana", to="bo")
            await centre.rings("bo")
            await pbx.answer("bo")
            await centre.together("ana", "bo")
            await centre.until(centre.has, "bo", "connected")
            await centre.conference("ana", together=True)
            await centre.together(KIM, "ana", "bo")
            await centre.conference("ana", together=False)
            await centre.together("ana", "bo")
            await centre.hears_music(KIM)
            await centre.conference("ana", together=True)
            await centre.together(KIM, "ana", "bo")
            await centre.end_consult("ana", hand_over=True)
            await centre.together(KIM, "bo")
            await over(centre)

    async def test_a_supervisor_listens_whispers_and_barges_in(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.monitor("sue", "ana", "listen")
            await centre.rings("sue")
            await pbx.answer("sue")
            await centre.until(self._hears, pbx, "sue", {KIM, "ana"})
            await centre.until(self._hears, pbx, KIM, {"ana"})
            await centre.until(self._hears, pbx, "ana", {KIM})
            await centre.monitor("sue", "ana", "whisper")
            await centre.until(self._hears, pbx, "ana", {KIM, "sue"})
            await centre.until(self._hears, pbx, "sue", {KIM, "ana"})
            await centre.until(self._hears, pbx, KIM, {"ana"})
            await centre.monitor("sue", "ana", "barge")
            await centre.together(KIM, "ana", "sue")
            await centre.monitor("sue", "ana", "listen")
            await centre.together(KIM, "ana")
            await centre.until(self._hears, pbx, "sue", {KIM, "ana"})
            await centre.stop_monitor("sue")
            await centre.until(pbx.is_up, "sue", is_=False)
            await centre.together(KIM, "ana")
            assert await pbx.rung("sue") == 1
            await over(centre)

    async def test_a_supervisor_who_hangs_up_listens_no_more(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.monitor("sue", "ana", "listen")
            await centre.rings("sue")
            await pbx.answer("sue")
            await centre.until(self._hears, pbx, "sue", {KIM, "ana"})
            await pbx.hang_up("sue")
            await centre.until(self._was_said, centre, "MonitorEnded", 1)
            await centre.together(KIM, "ana")
            await over(centre)

    async def test_who_listens_is_let_go_when_the_call_is_over(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.monitor("sue", "ana", "whisper")
            await centre.rings("sue")
            await pbx.answer("sue")
            await centre.until(self._hears, pbx, "sue", {KIM, "ana"})
            await over(centre)
            await centre.until(pbx.is_up, "sue", is_=False)

    async def test_a_call_is_recorded_and_the_recording_pauses(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await centre.record("ana", on=True)
            await centre.until(self._records, pbx, "on")
            await centre.record("ana", on=False)
            await centre.until(self._records, pbx, "paused")
            await centre.record("ana", on=True)
            await centre.until(self._records, pbx, "on")
            await centre.together(KIM, "ana")
            await over(centre)
            await centre.until(self._records, pbx, "done")

    async def _hears(self, pbx: Pbx, party: str, whom: set[str]) -> bool:
        return await pbx.hears(party) == whom

    async def _records(self, pbx: Pbx, how: str) -> bool:
        return list((await pbx.recordings()).values()) == [how]

    async def _was_said(self, centre: Centre, kind: str, times: int) -> bool:
        return centre.said(kind) == times
