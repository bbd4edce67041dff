"""Calls on a real Asterisk while it is killed, and the router too: counted at the phones.

Customers dial, wait, talk, sometimes give up; agents' phones answer by themselves and hang up.
Every call comes from a number of its own, and each phone shows who calls, so the phones tell for
whom they rang. Nothing of the router's code is used. What must hold in the end:

- nobody is rung for twice, and no phone rings for a caller who is gone. Only who was rung for just
  before the router died, or was answered while it was away, and so talked to nobody, is rung for
  once more;
- a caller whom the router has answered is served, unless they hang up or the PBX dies;
- the router has one contact for each of them, closed, and calls it completed if they talked;
- nothing is left at the PBX, and every agent can be reached.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest import pbx_server
from loadtest import pbx_sip as sip
from loadtest.pbx_exchange import Exchange
from loadtest.pbx_phone import Leg, now
from loadtest.pbx_server import Asterisk
from loadtest.server import Server

LINE = "+4930555100"
AGENTS = [f"p{number:02d}" for number in range(8)]
CUSTOMERS = 14
NOTICE_S = 40.0
DRAIN_S = 60.0
LATE_S = 3.0
"""A phone may be rung so long after its caller has hung up: both were under way."""
JUST_S = 1.5
"""Phones answer 0.1 s after they ring: who was rung for longer ago than this talks, also where the
machine is slow."""
TALKED_S = 0.4
"""Who was on the line for longer has not just hung up as the phone was picked up."""
ENGAGED = 486
"""A phone whose last call was not quite over: it says so and does not ring, the next one does."""
CONFIG = """
server:
  port: PORT
  durability: disk
  limits: {requests_per_s: 100000, requests_burst: 1000000}
queues:
  care: {offer: {timeout: 20s}, decline: {on_miss: nothing, cool_down: 200ms}, wrap_up: 0s}
entry_points:
  line: {channel: voice, address: "+4930555100", queue: care}
profiles:
  care: {care: 1}
adapters:
  pbx:
    {type: asterisk, channel: voice, url: "URL", user: router, password_file: SECRET}
agents:
""" + "".join(
    f"  {name}: {{profile: care, endpoints: {{voice: PJSIP/{name}}}}}\n" for name in AGENTS
)


@dataclass
class Story:
    """What became of one call, as the customer and the phones saw it."""

    leg: Leg
    rings: list[Leg] = field(default_factory=list)
    impatient: bool = False
    """The customer hung up."""
    killed: bool = False
    """The PBX died during it, or nobody was there who could take it."""


class KillLab:
    """One run."""

    def __init__(self, directory: Path, asterisk_directory: Path, seed: int) -> None:
        self.wrong: list[str] = []
        self.stories: dict[str, Story] = {}
        self.exchange = Exchange()
        self.exchange.open()
        self.exchange.on_ring = self._on_ring
        self.asterisk = Asterisk(asterisk_directory, phone_port=self.exchange.port, phones=AGENTS)
        self.exchange.pbx_port = self.asterisk.sip_port
        secret = directory / "ari.secret"
        secret.write_text(pbx_server.PASSWORD + "\n")
        secret.chmod(0o600)
        config = CONFIG.replace("URL", self.asterisk.url.rstrip("/")).replace("SECRET", str(secret))
        self.server = Server(directory, config)
        self._rng = random.Random(seed)
        self._numbers = 0
        self._is_over = False
        self._blind: list[tuple[float, float]] = []
        """When the router was away, from shortly before."""
        self._nameless: list[Leg] = []
        """Rings that did not show for whom: the caller hung up at that moment."""
        self._served = True
        """PBX and router both run and know each other: a call now must be taken."""

    # --- the run ------------------------------------------------------------------------------

    async def run(self, what_dies: list[str], each_s: float) -> str:
        """Traffic, with a death every `each_s` seconds; a line about it."""
        loop = asyncio.get_running_loop()
        customers: list[asyncio.Task[None]] = []
        try:
            await self.asterisk.start()
            await self.server.make_admin()
            await self.server.start()
            await self._adapter_is("up")
            for name in AGENTS:
                phone = self.exchange.phone(name)
                phone.answers_after_s = 0.1
                await self.server.good("POST", f"/v1/agents/{name}:presence", {"presence": "ready"})
            customers = [loop.create_task(self._customer()) for _ in range(CUSTOMERS)]
            for victim in what_dies:
                await asyncio.sleep(each_s)
                await (self._kill_asterisk() if victim == "asterisk" else self._kill_router())
            await asyncio.sleep(each_s)
            self._is_over = True
            await asyncio.gather(*customers)
            await self._until(lambda: not self.exchange.legs, "all legs have ended")
            await self._last_wave()
            return await self._judge()
        finally:
            for customer in customers:
                customer.cancel()
            await asyncio.gather(*customers, return_exceptions=True)
            await self.server.close()
            await self.asterisk.close()
            self.exchange.close()

    async def _customer(self) -> None:
        await asyncio.sleep(self._rng.random())
        while not self._is_over:
            story = self._dial()
            patience_s = self._rng.choice((0.3, 1.0, 20.0, 20.0, 20.0))
            try:
                async with asyncio.timeout(patience_s):
                    while story.leg.state != "ended":  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
            except TimeoutError:
                if not any(ring.state == "up" for ring in story.rings):
                    story.impatient = True
                    story.leg.hang_up()
                await self._until(lambda leg=story.leg: leg.state == "ended", "a call ends")  # type: ignore[misc]
            await asyncio.sleep(self._rng.uniform(0.05, 0.3))

    def _dial(self) -> Story:
        self._numbers += 1
        number = f"+4915{self._numbers:09d}"
        story = Story(self.exchange.dial(number, LINE), killed=not self._served)
        self.stories[number] = story
        return story

    def _on_ring(self, ring: Leg) -> None:
        self.exchange.phone(ring.party).talks_s = self._rng.uniform(0.8, 1.4)
        story = self.stories.get(sip.user_of(ring.remote))
        if story is None:
            self._nameless.append(ring)
            return
        story.rings.append(ring)
        if story.leg.state == "ended" and now() - story.leg.ended_at > LATE_S:
            self.wrong.append(f"{ring.party} was rung for {story.leg.party}, who had gone")

    async def _kill_asterisk(self) -> None:
        self._served = False
        for story in self.stories.values():
            story.killed |= story.leg.state != "ended"
        await self.asterisk.kill()
        self.exchange.drop_all()
        await self._adapter_is("down")
        await self.asterisk.start()
        await self._adapter_is("up")
        for story in self.stories.values():
            story.killed |= story.leg.state != "ended"  # dialled while nobody was there
        self._served = True

    async def _kill_router(self) -> None:
        self._served = False
        began = now() - JUST_S
        await self.server.kill()
        await asyncio.sleep(0.5)  # calls go on without it
        await self.server.start()
        await self._adapter_is("up")
        self._blind.append((began, now()))
        self._served = True

    async def _last_wave(self) -> None:
        """As many callers as agents, at once: every phone rings."""
        before = {name: len(self.exchange.phone(name).rings) for name in AGENTS}
        wave = [self._dial() for _ in AGENTS]
        await self._until(
            lambda: all(len(self.exchange.phone(n).rings) > before[n] for n in AGENTS),
            "every agent's phone rings in the end",
        )
        await self._until(lambda: all(s.leg.state == "ended" for s in wave), "the last wave ends")

    # --- asking -------------------------------------------------------------------------------

    async def _adapter_is(self, state: str) -> None:
        found: Any = None
        try:
            async with asyncio.timeout(NOTICE_S):
                while True:
                    health = await self.server.good("GET", "/v1/health")
                    found = health["adapters"]["main"][0]
                    if (found["state"] == "up") is (state == "up"):
                        return
                    await asyncio.sleep(0.02)  # another process: only asking tells
        except TimeoutError:
            self.wrong.append(f"{NOTICE_S:.0f} s later the adapter is not {state}: {found}")

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                while not holds():  # noqa: ASYNC110 - phones tell by themselves
                    await asyncio.sleep(0.02)
        except TimeoutError:
            self.wrong.append(f"not within {DRAIN_S:.0f} s: {what}")

    # --- judging ------------------------------------------------------------------------------

    async def _judge(self) -> str:
        await self._rest()
        contacts = await self._contacts()
        known = Counter(contact["peer"]["address"] for contact in contacts)
        outcomes = {c["peer"]["address"]: c["outcome"] for c in contacts}
        self.wrong += [f"{number} is {n} contacts" for number, n in known.items() if n > 1]
        talked = 0
        for number, story in self.stories.items():
            answered = [r for r in story.rings if self._talked(r, story)]
            heard = [ring for ring in story.rings if ring.status != ENGAGED]
            if len(heard) > 1 + any(self._was_blind(ring) for ring in heard[:1]):
                where = [
                    f"{r.party} {r.status} {r.began:.2f}-{r.ended_at:.2f}" for r in story.rings
                ]
                self.wrong.append(f"{number} was rung for {len(story.rings)} times: {where}")
            if story.killed:
                continue
            if answered:
                talked += 1
                if outcomes.get(number) != "completed":
                    self.wrong.append(f"{number} talked, but is {outcomes.get(number)}")
            elif not story.impatient and outcomes.get(number) != "completed":
                self.wrong.append(
                    f"{number} was lost: {story.leg.status or 'hung up on'}, never answered,"
                    f" the router says {outcomes.get(number)}"
                )
        for ring in self._nameless:
            if ring.ended_at - ring.began > LATE_S:
                self.wrong.append(f"{ring.party} was rung for nobody: {ring.remote}")
        rings = sum(len(s.rings) for s in self.stories.values())
        blind = [f"{start:.2f}-{end:.2f}" for start, end in self._blind]
        self.wrong += [f"(the router was away {blind})"] if self.wrong else []
        return (
            f"{len(self.stories)} calls, {talked} of them undisturbed and talked, {rings} rings, "
            f"{sum(s.killed for s in self.stories.values())} hit by a death, "
            f"{sum(s.impatient for s in self.stories.values())} gave up, {len(contacts)} contacts"
        )

    def _talked(self, ring: Leg, story: Story) -> bool:
        """Surely: somebody was there, and the caller did not leave as the phone was picked up."""
        together_s = story.leg.ended_at - ring.answered_at if ring.answered_at else 0.0
        return together_s > TALKED_S and not self._was_blind(ring)

    def _was_blind(self, ring: Leg) -> bool:
        """Picked up while the router was away: perhaps to nobody."""
        return any(start < ring.began < end for start, end in self._blind)

    async def _rest(self) -> None:
        """Nothing is left, at the router or at the PBX."""
        left: Any = None
        try:
            async with asyncio.timeout(NOTICE_S):
                while True:
                    left = [c["id"] for c in (await self._page("/v1/contacts?limit=500"))[0]]
                    left += [c["name"] for c in await self.asterisk.ask("channels")]
                    bridges = await self.asterisk.ask("bridges")
                    left += [b["id"] for b in bridges if b["bridge_type"] != "holding"]
                    if not left:
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            self.wrong.append(f"left over: {left}")

    async def _contacts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        following = ""
        while True:
            path = f"/v1/contacts?limit=500&state=closed&cursor={following}"
            contacts, following = await self._page(path)
            found += contacts
            if not following:
                return found

    async def _page(self, path: str) -> tuple[list[dict[str, Any]], str]:
        page = await self.server.good("GET", path)
        return page["contacts"], page.get("next", "")
