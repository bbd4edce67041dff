"""Many callers, phones and faults at once: nobody is lost, rung twice for one offer, or shared.

Counted at the PBX: which channels were dialled, who was in a bridge with whom at any moment, what
is left at the end. Event sockets are cut, requests fail or lose their answers, the router is
restarted; callers come and go meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from router.core.events import ContactClosed, ContactReceived
from router.testing.pbx_ari_parts import Races
from tests.voice.ari_pbx import ConformanceAsterisk
from tests.voice.centre import LINE, Centre

pytestmark = pytest.mark.slow

CALLERS = 60
TROUBLES = ("/answer", "/addChannel", "/create", "/dial")
"""Not ``/variable``: a phone that has rung and refuses unheard, while the mark that it has rung
fails and the router is restarted, rings once more (docs/channels/asterisk.md, Limits)."""
AGENTS = ("ana", "bo")


class Chaos:
    def __init__(self, seed: int, directory: Path) -> None:
        self.rng = random.Random(seed)
        self.edge = ConformanceAsterisk(directory, Races.drawn(self.rng))
        self.pbx = self.edge.pbx
        self.centre = Centre(self.edge, directory, parallel=2, offer="2s")
        self.shared: list[str] = []
        self.calls: dict[str, int] = {}
        self.unheard: set[str] = set()
        """Who hung up while no router knew of them: as many as the machine is slow."""
        self.is_late = False
        """Nobody calls any more: no more faults."""
        wake = self.edge.on_change

        def look() -> None:
            self.watch()
            wake()

        self.edge.on_change = look

    def watch(self) -> None:
        """At every moment: in a conversation there is one customer and one agent at most."""
        for bridge in self.pbx.switch.bridges.values():
            names = [c.party.name for c in bridge.channels if c.party is not None]
            agents = [name for name in names if name in AGENTS]
            if bridge.type == "mixing" and (len(agents) > 1 or len(names) - len(agents) > 1):
                self.shared.append(f"{bridge.id}: {names}")

    def is_known(self, name: str) -> bool:
        return self.centre._host is not None and self.centre.find(name) is not None

    async def is_known_or_gone(self, name: str) -> bool:
        return self.pbx.party(name).channel is None or self.is_known(name)

    async def pause(self, most_s: float) -> None:
        await asyncio.wait([asyncio.get_running_loop().create_future()],
                           timeout=self.rng.random() * most_s)  # fmt: skip

    async def callers(self) -> None:
        for number in range(CALLERS):
            name = f"+4930900{number:03}"
            channel = self.pbx.call(name, LINE)
            if channel is not None:  # else the dialplan has them
                self.calls[name] = number
            await self.pause(0.2)
            gone = self.rng.choice(list(self.calls)) if self.calls else ""
            if self.rng.random() < 0.25 and self.pbx.party(gone).channel is not None:
                if not self.is_known(gone):
                    self.unheard.add(gone)
                self.pbx.hang_up(gone)

    async def phones(self) -> None:
        while True:
            await self.pause(0.06)
            for name in AGENTS:
                channel = self.pbx.party(name).channel
                if channel is None:
                    self.pbx.party(name).will = self.rng.choice(("rings", "rings", "busy"))
                elif channel.state == "Ringing":
                    self.rng.choice((self.pbx.answer, self.pbx.answer, self.pbx.refuse))(name)
                elif channel.state == "Up" and self.rng.random() < 0.3:
                    self.pbx.hang_up(name)

    async def faults(self) -> None:
        while not self.is_late:
            await self.pause(0.7)
            match self.rng.randrange(5):
                case 0 | 1:
                    what = self.rng.choice((503, "cut", "cut"))
                    self.pbx.trouble("POST", self.rng.choice(TROUBLES), what)
                case 2:
                    self.pbx.trouble("DELETE", "", self.rng.choice((503, "cut")))
                case 3:
                    self.pbx.cut_events()
                    await self.pause(0.5)
                    self.pbx.restore_events()
                case _:
                    await self.centre.restart()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        others = [loop.create_task(self.phones()), loop.create_task(self.faults())]
        _, faults = others
        try:
            await self.callers()
            self.is_late = True
            await faults  # cancelled in the middle of a restart it would leave half a router
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        self.pbx.restore_events()
        await self.centre.until(self.centre.adapter_is, "up")


@pytest.mark.parametrize("seeds", [(0, 1, 2), (3, 4, 5)])
async def test_nobody_is_lost_rung_twice_or_shared(seeds: tuple[int, ...], tmp_path: Path) -> None:
    """Each seed with a PBX and a router of its own; beside each other, for they mostly wait."""
    async with asyncio.TaskGroup() as group:
        for seed in seeds:
            (tmp_path / str(seed)).mkdir()
            group.create_task(one_chaos(seed, tmp_path / str(seed)), name=f"seed {seed}")


async def one_chaos(seed: int, directory: Path) -> None:
    chaos = Chaos(seed, directory)
    async with chaos.centre as centre:
        await centre.ready(*AGENTS)
        await chaos.run()
        for name in chaos.calls:  # whoever is there is known
            if chaos.pbx.party(name).channel is not None:
                await centre.until(chaos.is_known_or_gone, name)
        for name in chaos.calls:
            if chaos.pbx.party(name).channel is not None:
                chaos.pbx.hang_up(name)
        await centre.all_is_over()
        received = [e.contact for e in centre.events if isinstance(e, ContactReceived)]
        closed = [e.contact for e in centre.events if isinstance(e, ContactClosed)]
        assert sorted(received) == sorted(closed), f"{seed}: a contact was lost or closed twice"
        # Who came and went while nobody listened may never have been taken.
        assert len(chaos.calls) - len(chaos.unheard) <= len(received) <= len(chaos.calls)
        assert len(chaos.unheard) < len(chaos.calls) // 2, f"seed {seed}: hardly anybody was heard"
        dialled = Counter(chaos.pbx.switch.dialled)
        assert [id_ for id_, times in dialled.items() if times > 1] == []
        assert chaos.shared == [], f"seed {seed}"
        assert dialled, f"seed {seed}: no phone was rung at all"
