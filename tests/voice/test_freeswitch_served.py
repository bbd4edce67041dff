"""The page's sample on a real server: router, socket and PBX die, counted at the phones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.adapters.documented import sample, serving
from tests.runtime.server import ROOT, Served
from tests.voice.freeswitch_edge import PASSWORD, FreeSwitchEdge

OURS = "+4930555100"
AGENTS = ("ana", "bo")


class Phones:
    """Callers and agents at the conformance FreeSWITCH, and what is counted there."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.edge = FreeSwitchEdge()
        self.edge.on_change = self.changed.set
        self.callers = 0

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Asked again at each change at the PBX."""
        async with asyncio.timeout(30):
            while True:
                self.changed.clear()
                if await holds():
                    return
                await self.changed.wait()

    async def call(self) -> str:
        """The next customer dials."""
        self.callers += 1
        customer = f"+493090{self.callers:04}"
        await self.edge.call(customer, OURS)
        return customer

    async def connected(self, *customers: str) -> tuple[str, str]:
        """One of these customers and the agent whom they hear, waited for."""
        served: list[str] = []

        async def hears() -> bool:
            served[:] = [one for one in customers if await self.edge.hears(one)]
            return bool(served)

        await self.until(hears)
        [agent] = await self.edge.hears(served[0])
        assert await self.edge.hears(agent) == {served[0]}
        return served[0], agent

    async def rung(self) -> int:
        """How often agents' phones were rung."""
        return sum([await self.edge.rung(agent) for agent in AGENTS])


async def states(served: Served) -> list[str]:
    """Of all live contacts."""
    return [row["state"] for row in (await served.good("GET", "/v1/contacts"))["contacts"]]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_router_socket_and_pbx_die_and_nobody_is_lost_or_rung_twice(tmp_path: Path) -> None:
    phones = Phones()
    edge = phones.edge
    await edge.start()
    for agent in AGENTS:
        edge.will(agent, "answers")
    config = sample("freeswitch").replace("port: 8021", f"port: {edge.pbx.port}")
    config = config.replace("wrap_up: {voice: 30s}", "wrap_up: {}")  # nobody has time for it here
    try:
        async with serving(tmp_path, config, {"esl.password": PASSWORD}) as served:
            for agent in AGENTS:
                await served.good("POST", f"/v1/agents/{agent}:presence", {"presence": "ready"})
            first, second = await phones.call(), await phones.call()
            agents = {(await phones.connected(caller))[1] for caller in (first, second)}
            assert agents == set(AGENTS)
            waiting = [await phones.call() for _ in range(4)]

            await served.kill()  # two talk, four wait
            late = await phones.call()  # nobody listens
            await edge.hang_up(waiting.pop())
            await served.start()
            await phones.connected(first)
            await phones.connected(second)
            assert await phones.rung() == 2
            left = [first, second, *waiting, late]
            while left:
                caller, _ = await phones.connected(*left)
                left.remove(caller)
                await edge.hang_up(caller)
                if len(left) == 3:
                    await edge.cut_events()
                    await edge.restore_events()
            assert await phones.rung() == 6

            for agent in AGENTS:
                edge.will(agent, "rings")
            ringing = await phones.call()

            async def rings() -> bool:
                return await edge.is_ringing("ana") or await edge.is_ringing("bo")

            await phones.until(rings)
            await served.kill()  # one rings
            await served.start()
            [agent] = [agent for agent in AGENTS if await edge.is_ringing(agent)]
            await edge.answer(agent)
            assert await phones.connected(ringing) == (ringing, agent)
            assert await phones.rung() == 7

            await edge.kill()
            await edge.restart()
            await _nobody_left(served, phones)
            for agent in AGENTS:
                edge.will(agent, "answers")
            again = await phones.call()
            await phones.connected(again)
            await edge.hang_up(again)
            await _nobody_left(served, phones)
            assert await served.stop() == 0
            assert await phones.rung() == 8
        log = (tmp_path / "log").read_text()
        assert "Traceback" not in log
        assert "493090" not in log
        assert PASSWORD not in log
    finally:
        await edge.stop()


async def _nobody_left(served: Served, phones: Phones) -> None:
    async with asyncio.timeout(30):
        while await states(served):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # another process: it gives no signal here

    async def nothing_rings() -> bool:  # legs are hung up once the end is stored
        return await phones.edge.left_over() == []

    await phones.until(nothing_rings)


def test_what_the_pbx_needs_is_well_formed_and_names_no_known_password() -> None:
    folder = ROOT / "config" / "freeswitch"
    files = sorted(folder.glob("*.xml"))
    assert len(files) == 5
    for file in files:
        ElementTree.parse(file)
        assert "ClueCon" not in file.read_text()
    dialplan = (folder / "dialplan.xml").read_text()
    assert 'data="contact_router=yes"' in dialplan  # the default of `mark`
    place = (folder / "voicemail.xml").read_text()
    assert 'context name="voicemail"' in place  # the sample's deflect_to
    assert 'expression="^0$"' in place
    assert 'name="contact-router"' in (folder / "conference.xml").read_text()
