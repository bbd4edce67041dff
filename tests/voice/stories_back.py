"""Call stories of a PBX whose dialplan sends callers into the application again."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tests.voice.centre import LINE, Centre
from tests.voice.pbx import Pbx
from tests.voice.stories_talk import KIM, over

PLACE = "voicemail/7"
"""Where the dialplan lets them wait."""


class Returning(Protocol):
    """A PBX whose callers come back."""

    async def come_back(self, customer: str, to: str) -> None:
        """The dialplan sends the caller, who is elsewhere in it, into the application again."""


class BackStories:
    """Sent on, and back again in the same call."""

    async def test_a_caller_who_comes_back_from_the_dialplan_is_a_new_contact(
        self, pbx: Pbx, tmp_path: Path
    ) -> None:
        late = "longest_wait: 1s\n    on_late: deflect"
        back: Returning = pbx  # type: ignore[assignment]
        async with Centre(pbx, tmp_path, queue=late, settings={"deflect_to": PLACE}) as centre:

            async def is_sent_on(times: int) -> bool:
                return await pbx.went_on_to(KIM) == PLACE and centre.said("ContactClosed") >= times

            await pbx.call(KIM, LINE)
            await centre.until(is_sent_on, 1)
            await back.come_back(KIM, LINE)
            await centre.until(is_sent_on, 2)
            pbx.will("ana", "answers")
            await centre.ready("ana")
            await back.come_back(KIM, LINE)
            await centre.together(KIM, "ana")
            await centre.restart()  # its channel says of itself that it has come more than once
            await centre.together(KIM, "ana")
            await centre.hold("ana")
            await centre.hears_music(KIM)
            await centre.hold("ana", on=False)
            await centre.together(KIM, "ana")
            await over(centre)
            assert await centre.counted("ContactReceived") > 2
            assert await pbx.rung("ana") == 1
