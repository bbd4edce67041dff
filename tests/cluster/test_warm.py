"""A start from rows that were read ahead leads to the same state as one that reads all afresh.

Rows are read ahead while the owner goes on: whatever it commits meanwhile, and whoever is erased.
"""

from __future__ import annotations

import asyncio
import copy
import random
from typing import Any

import pytest

from router.channel import Address, NewContact
from router.core import commands as c
from router.core.model import Presence
from router.errors import RouterError
from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.memory import MemoryJournal, MemoryWorld
from router.runtime.clock import ManualClock
from router.runtime.host import Host
from router.runtime.loop import Workspace
from router.runtime.warm import Warm
from tests.runtime.world import ANA, SECOND, World

pytestmark = pytest.mark.timeout(300)  # work, and no waiting: a machine may be slow
LIVE = 220
"""More than one chunk of rows."""


class Owner:
    """A workspace that is served, and somebody who draws what happens in it."""

    def __init__(self, world: World, host: Host, rng: random.Random) -> None:
        self.world = world
        self.host = host
        self.rng = rng
        self.number = 0

    @property
    def workspace(self) -> Workspace:
        return self.host.workspace

    async def submit(self) -> None:
        self.number += 1
        new = NewContact(
            external_id=f"x-{self.number}",
            customer=Address(address=f"+49301{self.number}", name="Kim"),
            to="shop",
            attributes={"number": self.number},
        )
        await self.host.intake.submit(new, "chat")

    async def act(self) -> None:
        """Something happens; what the engine refuses does not."""
        rng, state = self.rng, self.workspace.engine.state
        if not state.contacts:
            return await self.submit()
        contact = rng.choice(list(state.contacts.values()))
        commands: list[Any] = [
            c.CancelContact(contact=contact.id),
            c.UpdateContact(contact=contact.id, attributes={"mood": rng.choice(["good", "bad"])}),
            c.ReprioritizeContact(contact=contact.id, tier=rng.randrange(3)),
            c.SetPresence(agent=ANA, presence=rng.choice(list(Presence))),
            *(c.AcceptOffer(reservation=id_, agent=ANA) for id_ in contact.reservations),
            *(c.CompleteContact(contact=contact.id) for _ in contact.reservations),
        ]
        what = rng.randrange(12)
        if what == 0:
            await self.workspace.keys.erase([contact.seal_key])
        elif what == 1:
            self.workspace.note("desk", f"d{rng.randrange(5)}", rng.randbytes(4))
        elif what == 2:
            self.world.clock.advance(rng.randrange(5 * SECOND))
        elif what < 6:
            await self.submit()
        else:
            try:
                await self.workspace.ask(rng.choice(commands))
            except RouterError:
                return None
        return None


def whole(workspace: Workspace) -> dict[str, Any]:
    """All that is known of a workspace, rows and what is laid out beside them."""
    state, veil = workspace.engine.state, workspace.veil
    return {
        "contacts": {id_: repr(row) for id_, row in sorted(state.contacts.items())},
        "reservations": {id_: repr(row) for id_, row in sorted(state.reservations.items())},
        "agents": {id_: repr(row) for id_, row in sorted(state.agents.items())},
        "totals": repr(state.totals),
        "estimates": {id_: repr(row) for id_, row in sorted(state.estimates.items())},
        "rules": {id_: repr(row) for id_, row in sorted(state.rule_counts.items())},
        "external": state.by_external,
        "peers": state.by_peer,
        "customers": state.by_customer,
        "waiting": [entry.contact.id for entry in state.waiting.entries.values()],
        "next": workspace.engine.next_deadline(),
        "own rows": {kind: workspace.rows_of(kind) for kind in ("desk", "effect", "policy")},
        "enveloped": {id_: known.attributes for id_, known in sorted(veil.enveloped.items())},
        "covers": {id_: known.attributes for id_, known in sorted(veil._covers.items())},
        "seq": workspace.seq,
    }


async def started(world: World, store: MemoryWorld, warm: Warm | None) -> Host:
    """Another node takes over what the store holds."""
    host = await world.host(journal=MemoryJournal(copy.deepcopy(store)))
    await host.start([], warm=warm)
    return host


async def play(seed: int) -> int:
    """One owner's life, taken over cold and warm; how many rows were not decoded again."""
    rng = random.Random(seed)
    store, keys = MemoryWorld(), await BlockKeys.open(MemoryBlocks())
    world = World(ManualClock(), MemoryJournal(store), keys)
    try:
        owner = Owner(world, await world.host(), rng)
        await owner.host.start([])
        await owner.workspace.ask(c.PutAgent(agent=ANA, profile="care"))
        await owner.workspace.ask(c.SetPresence(agent=ANA, presence=Presence.READY))
        for _ in range(LIVE):
            await owner.submit()
        warm = Warm(keys)
        reading = asyncio.get_running_loop().create_task(warm.read(MemoryJournal(store), "main"))
        for _ in range(rng.randrange(1, 40)):  # while it is read
            await owner.act()
        await reading
        for _ in range(rng.randrange(40)):  # and until it is handed over
            await owner.act()
        cold = await started(world, store, None)
        quick = await started(world, store, warm)
        assert whole(quick.workspace) == whole(cold.workspace), f"seed {seed}"
        for host in (cold, quick):  # and they go on from it alike
            for id_ in sorted(host.workspace.engine.state.contacts)[:20]:
                await host.workspace.ask(c.UpdateContact(contact=id_, attributes={"late": True}))
        assert whole(quick.workspace) == whole(cold.workspace), f"seed {seed}"
        return warm.used
    finally:
        await world.end()
        await keys.close()


@pytest.mark.parametrize("part", range(2))
async def test_a_warm_start_and_a_cold_one_lead_to_the_same_state(part: int) -> None:
    used = [await play(seed) for seed in range(part * 6, part * 6 + 6)]
    assert min(used) > LIVE // 3, f"most rows were as they had been read: {used}"


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_so_do_many_others(schedules: int) -> None:
    for seed in range(1000, 1000 + schedules):
        await play(seed)
