"""The edge of the conformance FreeSWITCH, for call stories."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from router.testing.pbx_esl import EslPbx
from router.testing.pbx_esl_channel import Channel
from router.testing.pbx_esl_switch import MUSIC
from tests.voice.pbx import Answers, Pbx

PASSWORD = "of the stories"
NOT_LEFT = "dialplan"


class FreeSwitchEdge(Pbx):
    kind = "freeswitch"
    voicemail = "0@voicemail"

    def __init__(self, *, tick_s: float = 0.004, **settings: Any) -> None:
        self.pbx = EslPbx(password=PASSWORD, tick_s=tick_s)
        self.pbx.on_change = lambda: self.on_change()
        self.on_change = lambda: None
        self.folder = tempfile.TemporaryDirectory()
        self.more = settings
        self.other: asyncio.StreamWriter | None = None

    @property
    def switch(self) -> Any:
        return self.pbx.switch

    def settings(self) -> dict[str, Any]:
        file = Path(self.folder.name) / "password"
        file.write_text(PASSWORD)
        file.chmod(0o600)
        return {
            "port": self.pbx.port,
            "password_file": str(file),
            "deflect_to": self.voicemail,
            "dial": "user/{number}@127.0.0.1",
            "recordings": "/recordings",
            "sounds": {"greeting": "welcome.wav", "callback_offer": "offer.wav",
                       "position": "position.wav", "text": "text.wav", "menu": "menu.wav"},
            "ping_s": 0.2,
            "reply_s": 2,
            **self.more,
        }  # fmt: skip

    def endpoint(self, phone: str) -> str:
        return f"user/{phone}@127.0.0.1"

    async def start(self) -> None:
        if not self.pbx.port:
            await self.pbx.start()

    async def stop(self) -> None:
        await self.pbx.stop()
        self.folder.cleanup()

    async def kill(self) -> None:
        await self.pbx.kill()

    async def restart(self) -> None:
        await self.pbx.start()

    async def cut_events(self) -> None:
        await self.pbx.cut()

    async def restore_events(self) -> None:
        await self.pbx.start()

    async def take_events(self) -> None:
        """Another router writes its mark, as `adapters/freeswitch/owner.py` does."""
        for name in list(self.switch.global_variables):
            self.switch.global_variables[name] = "another:1"

    def will(self, party: str, answers: Answers) -> None:
        self.switch.phone(party).answers = answers

    async def call(self, customer: str, to: str) -> None:
        await self.pbx.call(customer, to)

    async def answer(self, party: str) -> None:
        self.switch.pick_up(self.channel(party))

    async def refuse(self, party: str) -> None:
        self.switch.hang_up(self.channel(party), "USER_BUSY", by_phone=True)

    async def hang_up(self, party: str) -> None:
        self.switch.hang_up(self.channel(party), "NORMAL_CLEARING", by_phone=True)

    async def press(self, party: str, digits: str) -> None:
        for digit in digits:
            self.switch.press(self.channel(party), digit)

    async def push_hold(self, party: str, on: bool) -> None:
        channel = self.channel(party)
        channel.call_state = "HELD" if on else "ACTIVE"
        self.switch.emit("CHANNEL_HOLD" if on else "CHANNEL_UNHOLD", channel)

    async def hears(self, party: str) -> set[str]:
        channel = self.switch.phone(party).channel
        return self.switch.voices(channel) if channel is not None else set()

    async def plays(self, party: str) -> str:
        channel = self.switch.phone(party).channel
        task = channel.plays if channel is not None else None
        if task is None:
            return ""
        return "music" if task.data.startswith(MUSIC) else named(task.data)

    async def played(self, party: str) -> list[str]:
        return [named(data) for data in self.switch.phone(party).played]

    async def is_ringing(self, party: str) -> bool:
        return bool(self.switch.phone(party).is_ringing)

    async def is_up(self, party: str) -> bool:
        channel = self.switch.phone(party).channel
        return channel is not None and channel.is_up

    async def rung(self, party: str) -> int:
        return int(self.switch.phone(party).rung)

    async def told(self, party: str) -> str:
        return str(self.switch.phone(party).told)

    async def went_on_to(self, party: str) -> str:
        return str(self.switch.phone(party).went_on_to)

    async def recordings(self) -> dict[str, str]:
        return {Path(path).stem: state for path, state in self.switch.recordings.items()}

    async def left_over(self) -> list[str]:
        return [
            f"{channel.uuid} of {channel.phone.party}"
            for channel in self.switch.channels.values()
            if channel.variables.get("current_application") != NOT_LEFT
        ]

    def channel(self, party: str) -> Channel:
        channel: Channel | None = self.switch.phone(party).channel
        assert channel is not None, f"{party} has no call"
        return channel


def named(data: str) -> str:
    """``welcome.wav`` is announcement ``welcome``; a question is named by its prompt's file."""
    words = data.split(" ")
    return Path(words[5] if len(words) > 5 else words[0]).stem
