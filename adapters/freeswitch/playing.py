"""What a waiting caller is told and asked: announcements, a place in the line, a menu.

Both run on the parked channel by ``sendmsg`` (applications ``playback``, ``say``, ``speak`` and
``play_and_get_digits``), after the documentation, not recorded; music between them is the recorded
``uuid_broadcast``.
"""

from __future__ import annotations

import asyncio
import re
import uuid as uuids

from adapters.freeswitch import esl
from adapters.freeswitch.board import Board, LiveCall
from adapters.freeswitch.calls import BUSY, Play
from adapters.freeswitch.settings import music_url
from router.channel import ChannelError, CollectFromContact, EndContact, TreatContact

SILENCE = "silence_stream://250"
TERMINATORS = "#"
FAREWELL_S = 30.0
"""A farewell that does not end is cut off."""


class Player:
    """Plays and asks."""

    def __init__(self, board: Board) -> None:
        self.board = board

    async def treat(self, call: LiveCall, effect: TreatContact) -> None:
        """Greeting, place in the line, words of a rule; and the music from now on."""
        if effect.music:
            try:
                call.music = music_url(esl.word(effect.music))
            except esl.Unsafe as error:
                raise ChannelError(f"music: {error}") from None
        if call.serving:
            return  # it was meant for somebody who waits
        call.to_play.extend(self.plays(effect.kind, effect.text, effect.position, effect.wait_us))
        await self.board.settle(call)

    def plays(self, kind: str, text: str, position: int = 0, wait_us: int = -1) -> list[Play]:
        """How a text is played: by its file, its kind's file, or spoken; empty: it cannot be."""
        config = self.board.config
        file = config.sounds.get(text) or config.sounds.get(kind)
        if file:
            found = [Play(_new(), "playback", file)]
            if kind == "position" and position > 0 and config.say:
                say = f"{config.say} number pronounced {position}"
                found.append(Play(_new(), "say", say))
            return found
        spoken = filled(text, position, wait_us)
        if spoken and config.speak:
            return [Play(_new(), "speak", f"{config.speak}|{plain(spoken)}")]
        return []

    async def collect(self, call: LiveCall, question: CollectFromContact) -> None:
        """Put a question; the answer is told when it comes. The same `ask` is asked once."""
        if not call.is_there:
            raise ChannelError("the caller is not there yet")
        id_ = f"ask-{call.customer}-{question.ask or question.name}"
        if call.asked == id_:
            return  # restated: it is being asked
        if call.asked:
            raise ChannelError("another question is being asked")
        call.asked = id_
        self.board.later(self._ask(call, question, id_), "question")

    async def _ask(self, call: LiveCall, question: CollectFromContact, id_: str) -> None:
        """Until there is an answer that counts, or the time is over."""
        value = ""
        try:
            async with asyncio.timeout(question.timeout_us / 1e6):
                while not value:
                    digits = await self._ask_once(call, question, id_)
                    value = digits if not question.choices or digits in question.choices else ""
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if not call.is_over:
                raise
            return
        finally:
            call.asked, call.answer = "", None
        if call.is_over:
            return
        if not value:
            await self._stop(call, id_)
        router = self.board.router
        self.board.tell(
            call,
            lambda: router.collected(
                call.customer, question.name, value, ask=question.ask, timed_out=not value
            ),
        )

    async def _ask_once(self, call: LiveCall, question: CollectFromContact, id_: str) -> str:
        call.answer = asyncio.get_running_loop().create_future()
        longest = max([question.digits, *(len(choice) for choice in question.choices)])
        milliseconds = max(1_000, question.timeout_us // 1_000)
        # <min> <max> <tries> <timeout ms> <terminators> <file> <invalid file> <variable>
        argument = (
            f"1 {longest} 1 {milliseconds} {TERMINATORS} {self._prompt(question)} {SILENCE}"
            " cr_digits"
        )
        # Of the question before, digits would still stand there if nobody pressed any.
        await self.board.link.ask(esl.api(f"uuid_setvar {call.customer} cr_digits"))
        call.to_play.appendleft(Play(id_, "play_and_get_digits", argument))
        await self.board.settle(call)
        return await call.answer

    def _prompt(self, question: CollectFromContact) -> str:
        config = self.board.config
        file = config.sounds.get(question.prompt) or config.sounds.get(question.name)
        if file:
            return file
        if config.speak and question.prompt:
            # The application's arguments are separated by spaces, and so is the text spoken.
            return f"say:{plain(question.prompt).replace(' ', '_')}"
        return SILENCE

    async def _stop(self, call: LiveCall, id_: str) -> None:
        if call.playing is not None and call.playing.id == id_ and call.at == BUSY:
            await self.board.link.ask(esl.api(f"uuid_break {call.customer} all"))

    async def farewell(self, call: LiveCall, effect: EndContact) -> bool:
        """Say goodbye and hang up then; False: there is nothing to be said."""
        plays = self.plays(effect.outcome, effect.text) if effect.text else []
        if not plays or call.serving:
            return False
        plays[-1].ends = True
        call.to_play.clear()
        call.to_play.extend(plays)
        for leg in list(call.legs.values()):
            self.board.drop_soon(call, leg, "ORIGINATOR_CANCEL")
        await self.board.settle(call)
        self.board.later(self._cut_off(call), "farewell")
        return True

    async def _cut_off(self, call: LiveCall) -> None:
        await asyncio.sleep(FAREWELL_S)
        if not call.is_over:
            await self.board.hang_up(call)


def filled(text: str, position: int, wait_us: int) -> str:
    """The queue's text with its numbers; empty if one of them is not known."""
    if ("{wait_minutes}" in text and wait_us < 0) or ("{position}" in text and position < 1):
        return ""
    minutes = max(1, -(-wait_us // 60_000_000))
    return text.replace("{position}", str(position)).replace("{wait_minutes}", str(minutes))


def plain(text: str) -> str:
    """A text as a speech module may have it: nothing that FreeSWITCH reads as syntax."""
    return re.sub(r"\s+", " ", re.sub(r"[|'\"\\{}\[\]$`^;<>&]", " ", text)).strip()[:2_000]


def _new() -> str:
    return f"play-{uuids.uuid4()}"
