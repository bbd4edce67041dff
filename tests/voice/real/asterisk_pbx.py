"""A real Asterisk with real phones as call stories hold it: what is heard is heard at the ear."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from loadtest import pbx_server
from loadtest.pbx_exchange import Exchange
from loadtest.pbx_phone import Leg
from loadtest.pbx_server import Asterisk
from router.testing.fault_proxy import FaultProxy
from tests.voice.pbx import Answers, Pbx

AGENTS = ("ana", "bo", "cem", "sue")
SOUNDS = ("welcome", "closed", "menu")
"""Announcements that can be played: each is a tone of its own."""


class RealAsterisk(Pbx):
    kind = "asterisk"
    voicemail = "voicemail/s"

    def __init__(self, sounds: tuple[str, ...] = SOUNDS) -> None:
        # Short: the path of Asterisk's control socket has at most 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="pbx-"))
        self.sounds = sounds
        self.exchange = Exchange(sound=True)
        self.on_change = lambda: None
        self._runs = False
        self._last: dict[str, Leg] = {}
        """The latest call of each party."""
        self._went: dict[str, str] = {}
        self._others: list[asyncio.Task[None]] = []

    # -- configuration and life ------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        secret = self.directory / "ari.secret"
        secret.write_text(pbx_server.PASSWORD + "\n")
        secret.chmod(0o600)
        return {
            "url": f"http://127.0.0.1:{self.proxy.port}/ari",
            "user": pbx_server.USER,
            "password_file": str(secret),
            "trunk": "PJSIP/{number}@trunk",
            "deflect_to": self.voicemail,
        }

    def endpoint(self, phone: str) -> str:
        return f"PJSIP/{phone}"

    def says(self, announcement: str) -> str:
        return f"sound:{announcement}"

    async def start(self) -> None:
        self._runs = True
        self.exchange.open()
        self.exchange.on_change = lambda: self.on_change()
        self.exchange.on_ring = self._on_ring
        self.exchange.tones.hertz["sorry"] = pbx_server.SORRY_HZ
        self.asterisk = Asterisk(self.directory, phone_port=self.exchange.port, phones=AGENTS)
        self.exchange.pbx_port = self.asterisk.sip_port
        for name in self.sounds:
            self.asterisk.sound(name, self.exchange.tones.of(name), 0.6)
        self.proxy = FaultProxy("127.0.0.1", self.asterisk.ari_port)
        await self.asterisk.start()
        await self.proxy.open_door()

    async def stop(self) -> None:
        """May be called again: a story that failed to begin is cleaned up after, too."""
        if not self._runs:
            return
        self._runs = False
        for other in self._others:
            other.cancel()
        await asyncio.gather(*self._others, return_exceptions=True)
        self.proxy.close_door()
        await self.proxy.reset()
        await self.asterisk.close()
        self.exchange.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def kill(self) -> None:
        await self.asterisk.kill()
        self.exchange.drop_all()

    async def restart(self) -> None:
        await self.asterisk.start()

    async def cut_events(self) -> None:
        self.proxy.close_door()
        await self.proxy.reset()

    async def restore_events(self) -> None:
        await self.proxy.open_door()

    async def take_events(self) -> None:
        taken = asyncio.Event()
        self._others.append(asyncio.get_running_loop().create_task(self._listen(taken)))
        await asyncio.wait_for(taken.wait(), 30)

    async def _listen(self, taken: asyncio.Event) -> None:
        url = f"{self.asterisk.url}events?app=contact-router"
        url += f"&api_key={pbx_server.USER}:{pbx_server.PASSWORD}"
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
                taken.set()
                async for _ in socket:
                    pass

    # -- what customers and agents do ------------------------------------------------------------

    def will(self, party: str, answers: Answers) -> None:
        phone = self.exchange.phone(party)
        phone.answers_after_s = 0.0 if answers == "answers" else None
        phone.refuses = {"busy": 486, "fails": 503}.get(answers, 0)
        if answers == "unknown":
            self.asterisk.forget_phone(party)

    async def call(self, customer: str, to: str) -> None:
        self._last[customer] = self.exchange.dial(customer, to)

    async def come_back(self, customer: str, to: str) -> None:
        """By itself: `voicemail/7` of the dialplan waits for a second."""

    async def answer(self, party: str) -> None:
        self._last[party].answer()

    async def refuse(self, party: str) -> None:
        self._last[party].refuse()

    async def hang_up(self, party: str) -> None:
        self._last[party].hang_up()

    async def press(self, party: str, digits: str) -> None:
        sound = self._last[party].sound
        assert sound is not None, f"{party} has no call"
        sound.press(digits)

    async def push_hold(self, party: str, on: bool) -> None:
        self._last[party].hold(on)

    # -- what can be asked -----------------------------------------------------------------------

    async def hears(self, party: str) -> set[str]:
        return self._heard(party) - {"music", "sorry", *self.sounds}

    async def plays(self, party: str) -> str:
        return next((name for name in self._heard(party) if name in self._machines()), "")

    async def played(self, party: str) -> list[str]:
        leg = self._last.get(party)
        heard = leg.sound.heard if leg is not None and leg.sound is not None else []
        return [name for name in heard if name in self._machines() and name != "music"]

    async def is_ringing(self, party: str) -> bool:
        leg = self._last.get(party)
        return leg is not None and leg.incoming and leg.state == "ringing"

    async def is_up(self, party: str) -> bool:
        leg = self._last.get(party)
        return leg is not None and leg.state == "up"

    async def rung(self, party: str) -> int:
        return len(self.exchange.phone(party).rings)

    async def told(self, party: str) -> str:
        leg = self._last.get(party)
        if leg is None or not leg.incoming or leg.status != 487:
            return ""
        return "elsewhere" if leg.cause in (26, 200) else "cancelled"

    async def went_on_to(self, party: str) -> str:
        for channel in await self.asterisk.ask("channels"):
            place = channel["dialplan"]
            if channel["caller"]["number"] == party and place["app_name"] != "Stasis":
                self._went[party] = f"{place['context']}/{place['exten']}"
        return self._went.get(party, "")

    async def recordings(self) -> dict[str, str]:
        """By the files there are; whether one goes on is asked of Asterisk."""
        found = {}
        folder = self.directory / "spool" / "recording"
        for file in sorted(folder.rglob("*.*")):
            name = str(file.relative_to(folder).with_suffix(""))
            found[name] = "done"
            with contextlib.suppress(aiohttp.ClientResponseError):
                state = (await self.asterisk.ask(f"recordings/live/{name}"))["state"]
                found[name] = "paused" if state == "paused" else "on"
        return found

    async def left_over(self) -> list[str]:
        found = [f"phone of {leg.party}: {leg.state}" for leg in self.exchange.legs.values()]
        if self.asterisk.process is None or self.asterisk.process.returncode is not None:
            return found
        found += [f"channel {c['name']} {c['state']}" for c in await self.asterisk.ask("channels")]
        bridges = await self.asterisk.ask("bridges")
        # One where callers wait, kept for the next one, is no rest of a call.
        return found + [
            f"bridge {b['id']} of {len(b['channels'])}"
            for b in bridges
            if b["channels"] or b["bridge_type"] != "holding"
        ]

    def log_end(self) -> str:
        legs = [f"{leg.party}: {leg.state} {leg.status}" for leg in self._last.values()]
        return f"{legs}\n{self.asterisk.log_end()}"

    # -- inside ----------------------------------------------------------------------------------

    def _on_ring(self, leg: Leg) -> None:
        self._last[leg.party] = leg
        self.on_change()

    def _heard(self, party: str) -> set[str]:
        leg = self._last.get(party)
        if leg is None or leg.sound is None or leg.state != "up":
            return set()
        return leg.sound.hears()

    def _machines(self) -> set[str]:
        return {"music", "sorry", *self.sounds}
