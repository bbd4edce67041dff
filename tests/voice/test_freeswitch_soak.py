"""Drawn days at the phones: whatever callers, agents and sockets do, nothing is left over."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest

from adapters.freeswitch import FreeSwitch
from router.core import commands as c
from router.core.model import AgentId, ContactId, ReservationState
from router.errors import Refused
from tests.voice.centre import LINE, Centre
from tests.voice.freeswitch_edge import FreeSwitchEdge

AGENTS = ("ana", "bo", "cem", "sue")
CUSTOMERS = tuple(f"+4930900{number}" for number in range(100, 106))
ACTIONS = 120


class Day:
    """One seed's worth of trouble."""

    def __init__(self, centre: Centre, pbx: FreeSwitchEdge, seed: int) -> None:
        self.centre = centre
        self.pbx = pbx
        self.rng = random.Random(seed)
        self.cuts = 2

    async def act(self) -> None:
        """Something happens."""
        does = self.rng.choice(
            [self.call, self.call, self.call, self.pick_up, self.pick_up, self.pick_up,
             self.hang_up, self.agent_hangs_up, self.hold, self.consult, self.end_consult,
             self.conference, self.transfer, self.record, self.listen_in, self.refuse, self.cut]
        )  # fmt: skip
        with suppress(Refused):
            await does()
        for _ in range(self.rng.randrange(5)):
            self.centre._changed.clear()
            await self.centre._woken()  # sometimes at once, sometimes when it has had its effect

    async def call(self) -> None:
        customer = self.rng.choice(CUSTOMERS)
        if self.pbx.switch.phone(customer).channel is None:
            await self.pbx.call(customer, LINE)

    async def pick_up(self) -> None:
        ringing = [agent for agent in AGENTS if await self.pbx.is_ringing(agent)]
        if ringing:
            await self.pbx.answer(self.rng.choice(ringing))

    async def refuse(self) -> None:
        ringing = [agent for agent in AGENTS if await self.pbx.is_ringing(agent)]
        if ringing:
            await self.pbx.refuse(self.rng.choice(ringing))

    async def hang_up(self) -> None:
        there = [x for x in CUSTOMERS if self.pbx.switch.phone(x).channel is not None]
        if there:
            await self.pbx.hang_up(self.rng.choice(there))

    async def agent_hangs_up(self) -> None:
        there = [agent for agent in AGENTS if await self.pbx.is_up(agent)]
        if there:
            await self.pbx.hang_up(self.rng.choice(there))

    async def hold(self) -> None:
        for contact, agent in self.served():
            kind = self.rng.choice([c.HoldCustomer, c.ResumeCustomer])
            await self.centre.ask(kind(contact=contact, agent=agent))

    async def consult(self) -> None:
        for contact, agent in self.served():
            other = AgentId(self.rng.choice([x for x in AGENTS if x != agent]))
            consult = ContactId(f"consult-{self.rng.random()}")
            await self.centre.ask(
                c.StartConsult(contact=contact, consult=consult, agent=agent, target_agent=other)
            )
            return

    async def end_consult(self) -> None:
        hand_over = self.rng.random() < 0.5
        for contact, agent in self.served():
            await self.centre.ask(c.EndConsult(contact=contact, agent=agent, hand_over=hand_over))

    async def conference(self) -> None:
        together = self.rng.random() < 0.7
        for contact, agent in self.served():
            await self.centre.ask(c.SetConference(contact=contact, together=together, agent=agent))

    async def transfer(self) -> None:
        for contact, agent in self.served():
            other = AgentId(self.rng.choice([x for x in AGENTS if x != agent]))
            await self.centre.ask(
                c.TransferContact(contact=contact, agent=agent, target_agent=other)
            )
            return

    async def record(self) -> None:
        for contact, agent in self.served():
            on = self.rng.random() < 0.7
            await self.centre.ask(c.RecordCall(contact=contact, on=on, agent=agent))

    async def listen_in(self) -> None:
        for contact, _ in self.served():
            mode = self.rng.choice(["listen", "whisper", "barge"])
            monitor = f"m-{contact}"
            await self.centre.ask(
                c.StartMonitor(contact=contact, monitor=monitor, agent=AgentId("sue"), mode=mode)  # type: ignore[arg-type]
            )
            return

    async def cut(self) -> None:
        if self.cuts and self.rng.random() < 0.5:
            self.cuts -= 1
            await self.pbx.cut_events()
            await self.pbx.restore_events()
            if self.rng.random() < 0.7:
                await self.centre.until(self.centre.adapter_is, "up")

    def served(self) -> list[tuple[ContactId, AgentId]]:
        assert self.centre._host is not None
        state = self.centre._host.workspace.engine.state
        found = [
            (reservation.contact, reservation.agent)
            for reservation in state.reservations.values()
            if reservation.state is ReservationState.CONNECTED
        ]
        self.rng.shuffle(found)
        return found


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(0, 1, 2), (3, 4, 5)])
async def test_after_a_drawn_day_nobody_is_left_over(
    seeds: tuple[int, ...], tmp_path: Path
) -> None:
    """Each seed with a PBX and a router of its own; beside each other, for they mostly wait."""
    async with asyncio.TaskGroup() as group:
        for seed in seeds:
            (tmp_path / str(seed)).mkdir()
            group.create_task(one_day(seed, tmp_path / str(seed)), name=f"seed {seed}")


async def one_day(seed: int, directory: Path) -> None:
    pbx = FreeSwitchEdge(tick_s=0.001)
    async with Centre(pbx, directory, offer="2s") as centre:
        await centre.ready(*AGENTS)
        day = Day(centre, pbx, seed)
        for _ in range(ACTIONS):
            await day.act()
        await centre.until(centre.adapter_is, "up")
        for party in (*CUSTOMERS, *AGENTS):
            if pbx.switch.phone(party).channel is not None and party in CUSTOMERS:
                await pbx.hang_up(party)
        await centre.all_is_over()
        assert centre._host is not None
        adapter = centre._host.channels.get("pbx")
        assert isinstance(adapter, FreeSwitch)
        board = adapter.board

        async def is_empty() -> bool:
            return not any((board.calls, board.legs, board.consults, board.monitors, board.begun,
                            board.facts))  # fmt: skip

        await centre.until(is_empty)
        assert await centre.counted("ReservationConnected") > 3, f"seed {seed}: nothing happened"
