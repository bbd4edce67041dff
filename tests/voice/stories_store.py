"""Call stories of a router that can save nothing: who talks talks on, nobody is forgotten."""

from __future__ import annotations

from pathlib import Path

from tests.voice.centre import LINE, Centre
from tests.voice.pbx import Pbx
from tests.voice.stories_talk import KIM, over, talking

LEE = "+4930900200"
MAX = "+4930900300"


class StoreStories:
    """The adapter's settings decide: on in the dialplan, or music for as long as it takes."""

    async def test_without_a_store_who_waits_goes_on_in_the_dialplan_and_who_talks_talks_on(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        fallback = {"fallback_to": pbx.voicemail, "fallback_after_s": 0.5}
        async with Centre(pbx, tmp_path, settings=fallback) as centre:
            await talking(centre)
            await pbx.call(LEE, LINE)
            await centre.hears_music(LEE)
            await centre.ready("bo")
            await centre.rings("bo")
            await centre.lose_store()

            async def is_in_voicemail(customer: str) -> bool:
                return (await pbx.went_on_to(customer)).startswith("voicemail")

            await centre.until(is_in_voicemail, LEE)
            await centre.until(pbx.is_ringing, "bo", is_=False)
            await pbx.call(MAX, LINE)
            await centre.until(is_in_voicemail, MAX)
            await centre.together(KIM, "ana")
            assert not await is_in_voicemail(KIM)
            centre.find_store()
            await centre.until(centre.is_in, LEE, "closed")
            assert await centre.outcome() == "abandoned"
            assert await centre.is_in(MAX, "closed"), "was never taken"
            await centre.together(KIM, "ana")
            await pbx.hang_up(LEE)
            await pbx.hang_up(MAX)
            await over(centre)
            assert await centre.counted("ContactReceived") == 2

    async def test_without_a_store_and_a_fallback_who_waits_keeps_music_and_place(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        async with Centre(pbx, tmp_path, settings={"fallback_after_s": 0}) as centre:
            await pbx.call(KIM, LINE)
            await centre.hears_music(KIM)
            await centre.lose_store()
            await centre.hears_music(KIM)
            centre.find_store()
            await centre.until(centre.can_save)
            await centre.ready("ana")
            await centre.rings("ana")
            await pbx.answer("ana")
            await centre.together(KIM, "ana")
            await over(centre)
            assert await centre.counted("ContactReceived") == 1
