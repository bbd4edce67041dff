"""The conformance Asterisk as call stories hold it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import aiohttp

from router.testing.pbx_ari import AriPbx
from router.testing.pbx_ari_parts import Races
from tests.voice.pbx import Answers, Pbx


class ConformanceAsterisk(Pbx):
    kind = "asterisk"
    voicemail = "voicemail/s"

    def __init__(self, directory: Path, races: Races | None = None) -> None:
        self.pbx = AriPbx(races=races)
        self.pbx.on_change = lambda: self.on_change()
        self.on_change = lambda: None
        self._secret = directory / "ari.secret"
        self._others: list[asyncio.Task[None]] = []

    def settings(self) -> dict[str, Any]:
        self._secret.write_text(self.pbx.password + "\n")
        self._secret.chmod(0o600)
        return {
            "url": self.pbx.url,
            "user": self.pbx.user,
            "password_file": str(self._secret),
            "trunk": "PJSIP/{number}@trunk",
            "deflect_to": self.voicemail,
        }

    def endpoint(self, phone: str) -> str:
        return f"PJSIP/{phone}"

    def says(self, announcement: str) -> str:
        return f"sound:{announcement}"

    async def start(self) -> None:
        await self.pbx.start()

    async def stop(self) -> None:
        for other in self._others:
            other.cancel()
        await asyncio.gather(*self._others, return_exceptions=True)
        await self.pbx.stop()

    async def kill(self) -> None:
        await self.pbx.kill()

    async def restart(self) -> None:
        await self.pbx.start()

    async def cut_events(self) -> None:
        self.pbx.cut_events()

    async def restore_events(self) -> None:
        self.pbx.restore_events()

    async def take_events(self) -> None:
        before = self.pbx.sockets_opened
        self._others.append(asyncio.get_running_loop().create_task(self._listen()))
        await self.pbx.until(lambda: self.pbx.sockets_opened > before)

    async def _listen(self) -> None:
        url = f"{self.pbx.url}/events?app={self.pbx.app}"
        url += f"&api_key={self.pbx.user}:{self.pbx.password}"
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
                async for _ in socket:
                    pass

    def will(self, party: str, answers: Answers) -> None:
        self.pbx.party(party).will = answers

    async def call(self, customer: str, to: str) -> None:
        self.pbx.call(customer, to)

    async def come_back(self, customer: str, to: str) -> None:
        channel = self.pbx.party(customer).channel
        assert channel is not None
        await self.pbx.until(lambda: not channel.is_in_stasis)
        self.pbx.come_back(customer, to)

    async def answer(self, party: str) -> None:
        self.pbx.answer(party)

    async def refuse(self, party: str) -> None:
        self.pbx.refuse(party)

    async def hang_up(self, party: str) -> None:
        self.pbx.hang_up(party)

    async def press(self, party: str, digits: str) -> None:
        self.pbx.press(party, digits)

    async def push_hold(self, party: str, on: bool) -> None:
        self.pbx.push_hold(party, on=on)

    async def hears(self, party: str) -> set[str]:
        channel = self.pbx.party(party).channel
        return self.pbx.switch.hears(channel) if channel is not None else set()

    async def plays(self, party: str) -> str:
        channel = self.pbx.party(party).channel
        playing = self.pbx.switch.plays(channel) if channel is not None else ""
        return playing.removeprefix("sound:")

    async def played(self, party: str) -> list[str]:
        return [media.removeprefix("sound:") for media in self.pbx.party(party).played]

    async def is_ringing(self, party: str) -> bool:
        channel = self.pbx.party(party).channel
        return channel is not None and channel.state == "Ringing"

    async def is_up(self, party: str) -> bool:
        channel = self.pbx.party(party).channel
        return channel is not None and channel.state == "Up"

    async def rung(self, party: str) -> int:
        return self.pbx.party(party).rung

    async def told(self, party: str) -> str:
        return self.pbx.party(party).told

    async def went_on_to(self, party: str) -> str:
        return self.pbx.party(party).went_on_to

    async def recordings(self) -> dict[str, str]:
        words = {"recording": "on", "paused": "paused", "done": "done"}
        found = self.pbx.switch.recordings.values()
        return {recording.name: words[recording.state] for recording in found}

    async def left_over(self) -> list[str]:
        return [name for name in self.pbx.left_over() if name != f"{self.pbx.app}-hold"]
