"""Who owns a workspace, in hundreds of drawn schedules on clocks that a test moves.

Nodes are paused, cut off from the store, killed and started anew; acquisitions are rolled back as a
failover of the store may. Whatever happens: at no moment two nodes may act, what is committed is
committed by one owner after the other, and within two leases of peace everything is owned.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
from dataclasses import dataclass, field

import pytest

from router.errors import JournalBusy, JournalFailed, RouterError, StoreFull
from router.journal import AppendResult, Commit, Ownership
from router.journal.memory import MemoryJournal, MemoryWorld
from router.journal.shared import NodeEntry, Standing
from router.runtime.clock import ManualClock
from router.runtime.cluster import Cluster
from router.runtime.lease import Lease
from router.runtime.members import preference

pytestmark = pytest.mark.timeout(300)  # work, and no waiting: a machine may be slow
LEASE_US = 3_000_000
SPACES = ("east", "west", "north")


class ShortJournal(MemoryJournal):
    """Claims are carried out, and not known to be on enough replicas."""

    short = 0
    """So many of them."""
    takes_nothing = False
    """Too few replicas for any write; what is there can be read."""

    def _write(self) -> None:
        if self.takes_nothing:
            raise JournalFailed("NOREPLICAS Not enough good replicas to write.")

    async def renew(self, own: Ownership) -> bool:
        self._write()
        return await super().renew(own)

    async def announce(self, node: NodeEntry) -> None:
        self._write()
        await super().announce(node)

    async def claim(self, workspace: str, seen: Standing, node: str) -> Ownership | None:
        self._write()
        own = await super().claim(workspace, seen, node)
        if own is not None and self.short:
            self.short -= 1
            raise JournalFailed("0 of 1 replicas have it in time")
        return own


@dataclass
class Process:
    """A node as a process: a journal, a clock and a cluster of its own, and what it serves."""

    world: MemoryWorld
    name: str
    number: int
    now_us: int
    spaces: tuple[str, ...] = SPACES
    served: dict[str, tuple[Ownership, Lease]] = field(default_factory=dict)
    seqs: dict[str, int] = field(default_factory=dict)
    warmed: list[tuple[str, bool]] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    ended: str = ""
    behind_us: int = 0
    """How much of the time it has slept through; -1 = it runs."""
    is_paused: bool = False
    peers: dict[str, Process] = field(default_factory=dict)
    start: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.journal = ShortJournal(self.world)
        self.clock = ManualClock(self.now_us)
        boot = f"{self.number:016d}"
        me = NodeEntry(self.name, boot, f"http://{self.name}", 0)
        self.cluster = Cluster(self.journal, self.clock, self, me, self.spaces, lease_us=LEASE_US)

    async def open_workspace(self, name: str, own: Ownership, lease: Lease) -> None:
        assert name not in self.served
        self.served[name] = (own, lease)
        self.seqs[name] = own.seq

    async def close_workspace(self, name: str, why: str, heir: str | None) -> None:
        own, _ = self.served.pop(name, (None, None))
        if own is not None and heir is not None:
            with contextlib.suppress(JournalFailed):
                await self.journal.hand_over(own, heir)

    async def warm_heir(self, address: str, workspace: str) -> bool:
        self.warmed.append((address, workspace in self.served))
        peer = self.peers.get(address)
        if peer is None:
            return False
        return peer.is_paused or await peer.cluster.warm_up(workspace)

    async def warm_up(self, workspace: str) -> None:
        self.warmed.append(("", workspace in self.served))

    async def tell_heir(self, address: str, workspace: str) -> None:
        self.told.append((address, workspace))
        peer = self.peers.get(address)
        if peer is not None and not peer.is_paused:
            peer.cluster.look_now(workspace)

    def usurped(self, why: str) -> None:
        self.ended = why

    async def commit(self, name: str) -> AppendResult | None:
        """One event, as the loop of the workspace writes it; None: it was not acknowledged."""
        own, lease = self.served[name]
        frame = Commit(self.seqs[name] + 1, self.clock.now_us(), [b"event"])
        try:
            result = await self.journal.append(own, frame)
        except JournalFailed:
            return None
        if result is AppendResult.OK:
            self.seqs[name] += 1
            return None if lease.lapsed else result
        self.cluster.ended(name, "fenced")
        return result


class Schedule:
    """Nodes, time, and what befalls them."""

    def __init__(self, seed: int, names: str = "abc") -> None:
        self.rng = random.Random(seed)
        self.world = MemoryWorld()
        self.now_us = 1_800_000_000_000_000
        self.number = 0
        self.nodes: dict[str, Process] = {}
        self.acknowledged: dict[str, list[int]] = {name: [] for name in SPACES}
        """Epochs of acknowledged commits, in their order."""
        self.names = names
        self.rolled_back_us: dict[str, int] = {}
        self.starting: list[asyncio.Task[None]] = []

    async def start(self, name: str, spaces: tuple[str, ...] = SPACES) -> Process:
        self.number += 1
        node = Process(self.world, name, self.number, self.now_us, spaces)
        self.nodes[name] = node
        for other in self.nodes.values():
            other.peers = {f"http://{n}": p for n, p in self.nodes.items()}
        node.start = asyncio.get_running_loop().create_task(node.cluster.start())
        self.starting.append(node.start)
        await settle()
        return node

    async def kill(self, name: str) -> None:
        """Nothing of it runs any more, and nothing was given up."""
        node = self.nodes.pop(name)
        await node.cluster._tasks.stop()

    async def pass_time(self, by_us: int) -> None:
        while by_us > 0:
            step_us = min(by_us, 50_000)
            by_us -= step_us
            self.now_us += step_us
            for node in list(self.nodes.values()):
                if node.is_paused:
                    node.behind_us += step_us
                else:
                    node.clock.advance(step_us)
            await settle()
            self.check()

    def check(self) -> None:
        """At no moment may two nodes act.

        A store that forgets an acquisition (too few replicas had it) makes an exception for the
        length of a lease: what each of them commits is compared all the same.
        """
        for space in SPACES:
            if self.now_us - self.rolled_back_us.get(space, 0) <= LEASE_US:
                continue
            acting = [
                node.name
                for node in self.nodes.values()
                if not node.is_paused and space in node.served
                if not node.served[space][1].lapsed
            ]
            assert len(acting) <= 1, f"{space}: {acting}"

    async def work(self) -> None:
        """Everybody who thinks they own something writes."""
        for node in list(self.nodes.values()):
            for space in list(node.served):
                if not node.is_paused and await node.commit(space) is AppendResult.OK:
                    self.acknowledged[space].append(node.served[space][0].epoch)
        await settle()

    async def wake(self, node: Process) -> None:
        """It goes on where it was, and sees how late it is."""
        node.is_paused = False
        behind_us, node.behind_us = node.behind_us, 0
        for space in list(node.served):  # before any timer of it has fired
            await node.commit(space)
        node.clock.advance(behind_us)
        await settle()

    async def befall(self) -> None:
        rng = self.rng
        what = rng.choice(
            ("pause", "wake", "cut", "heal", "kill", "start", "move", "rollback", "short")
        )
        names = sorted(self.nodes)
        node = self.nodes[rng.choice(names)] if names else None
        if what == "start" or node is None:
            missing = [name for name in self.names if name not in self.nodes]
            if missing:
                await self.start(rng.choice(missing))
        elif what == "pause":
            node.is_paused = True
        elif what == "wake":
            if node.is_paused:
                await self.wake(node)
        elif what == "cut":
            node.journal.cut_off = JournalFailed("cut off")
        elif what == "heal":
            node.journal.cut_off = None
        elif what == "kill" and len(self.nodes) > 1:
            await self.kill(node.name)
        elif what == "move" and not node.is_paused:
            for space in list(node.served)[:1]:
                await node.cluster.hand_over(space, rng.choice(self.names))
        elif what == "rollback":
            await self.roll_back(rng.choice(SPACES))
        elif what == "short":
            node.journal.short = rng.randrange(1, 4)

    async def roll_back(self, space: str) -> None:
        """A failover forgets the last acquisition, and nothing that was acknowledged."""
        store = self.world.stores.get(space)
        if store is None:
            return
        before = copy.copy(store)
        await self.pass_time(self.rng.randrange(100_000, 2 * LEASE_US))
        if store.seq == before.seq and store.nonce != before.nonce:
            self.rolled_back_us[space] = self.now_us
            for name in ("epoch", "nonce", "beat", "node", "heir"):
                setattr(store, name, getattr(before, name))

    async def peace(self) -> None:
        for node in list(self.nodes.values()):
            node.journal.cut_off = None
            node.journal.short = 0
            if node.is_paused:
                await self.wake(node)
        await self.pass_time(2 * LEASE_US)
        for name, node in list(self.nodes.items()):
            if node.start is not None and node.start.done() and node.start.exception():
                await self.kill(name)  # it could not join, for want of a store: the process ends
        if not self.nodes:
            await self.start("a")

    async def close(self) -> None:
        for node in list(self.nodes.values()):
            await node.cluster._tasks.stop()
        for task in self.starting:  # that of a node which died while it looked around waits still
            task.cancel()
        await asyncio.gather(*self.starting, return_exceptions=True)


async def settle() -> None:
    """Let every task run until all of them wait for a clock."""
    for _ in range(25):
        await asyncio.sleep(0)


@pytest.mark.parametrize("part", range(4))
async def test_no_schedule_makes_two_owners_or_leaves_none(part: int) -> None:
    await play(range(part * 25, part * 25 + 25))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(2))
async def test_nor_does_any_of_many_others(part: int, schedules: int) -> None:
    """`pytest tests/cluster -k many_others --schedules 2000`: some five minutes."""
    await play(range(1000 + part, 1000 + schedules, 2))


async def play(seeds: range) -> None:
    """Each schedule, judged at each moment and at its end."""
    for seed in seeds:
        schedule = Schedule(seed)
        try:
            for name in "abc"[: 2 + seed % 2]:
                await schedule.start(name)
            for _ in range(25):
                await schedule.pass_time(schedule.rng.randrange(50_000, LEASE_US))
                await schedule.work()
                await schedule.befall()
                await schedule.work()
            await schedule.peace()
            # Two leases, and the standoff of whoever should not have it first.
            await schedule.pass_time(2 * LEASE_US + LEASE_US // 2)
            await schedule.work()
            for space in SPACES:
                epochs = schedule.acknowledged[space]
                assert epochs == sorted(epochs), f"seed {seed}: {space}: {epochs}"
                owners = [n.name for n in schedule.nodes.values() if space in n.served]
                assert len(owners) == 1, f"seed {seed}: {space} is owned by {owners}"
                store = schedule.world.stores[space]
                assert store.node == owners[0], f"seed {seed}"
        finally:
            await schedule.close()


async def test_a_dead_owner_is_followed_within_two_leases_and_a_paused_one_fenced() -> None:
    schedule = Schedule(1)
    try:
        a = await schedule.start("a")
        await schedule.pass_time(LEASE_US)
        assert set(a.served) == set(SPACES)
        b = await schedule.start("b")
        await schedule.pass_time(LEASE_US // 2)
        a.is_paused = True
        await schedule.pass_time(LEASE_US + LEASE_US // 2)
        assert set(b.served) == set(SPACES)
        own, lease = a.served["east"]
        a.clock.advance(0)
        await schedule.wake(a)
        assert lease.lapsed
        assert own.epoch < b.served["east"][0].epoch
        assert "east" not in a.served, "it has heard that it is fenced"
        assert a.cluster.metrics.fenced._value.get() == len(SPACES)
    finally:
        await schedule.close()


@pytest.mark.parametrize("error", [JournalFailed("no answer"), StoreFull("the disk is full")])
async def test_an_owner_without_its_store_may_not_act_and_goes_on_when_it_is_back(
    error: RouterError,
) -> None:
    schedule = Schedule(2)
    try:
        a = await schedule.start("a")
        await schedule.pass_time(LEASE_US)
        own, lease = a.served["east"]
        a.journal.cut_off = error
        await schedule.pass_time(LEASE_US - LEASE_US // 4)
        await schedule.pass_time(LEASE_US // 2)
        assert lease.lapsed
        assert a.served["east"][0] is own, "nobody else has taken it: it is kept"
        waiting = asyncio.get_running_loop().create_task(lease.confirm())
        a.journal.cut_off = None
        await schedule.pass_time(LEASE_US // 2)
        await waiting
        assert not lease.lapsed
        assert await a.commit("east") is AppendResult.OK
    finally:
        await schedule.close()


async def test_an_heir_reads_ahead_while_the_owner_still_serves_and_may_be_out_of_reach() -> None:
    schedule = Schedule(5)
    try:
        a = await schedule.start("a")
        await schedule.pass_time(LEASE_US)
        b = await schedule.start("b")
        await schedule.pass_time(LEASE_US // 2)
        assert await a.cluster.hand_over("east", "b")
        assert (a.warmed, b.warmed) == ([("http://b", True)], [("", False)])
        await schedule.pass_time(LEASE_US // 8)
        assert "east" in b.served
        b.is_paused = True
        assert await a.cluster.hand_over("west", "b"), "it gets what it has not read"
        assert a.warmed[1:] == [("http://b", True)]
        assert b.warmed[1:] == []
    finally:
        await schedule.close()


async def test_a_claim_that_too_few_replicas_had_in_time_does_not_cost_another_lease() -> None:
    schedule = Schedule(4)
    try:
        await schedule.start("a")
        await schedule.pass_time(LEASE_US)
        b = await schedule.start("b")
        await schedule.pass_time(LEASE_US)
        await schedule.kill("a")
        b.journal.short = 2 * len(SPACES)
        await schedule.pass_time(LEASE_US + LEASE_US // 2 + LEASE_US // 8)
        assert set(b.served) == set(SPACES)
        assert not b.journal.short
    finally:
        await schedule.close()


@pytest.mark.parametrize("length_us", range(LEASE_US - 300_000, LEASE_US + 900_000, 50_000))
@pytest.mark.parametrize("fell_back", [False, True])
async def test_a_living_owner_renews_first_when_a_store_that_took_nothing_takes_again(
    length_us: int, fell_back: bool
) -> None:
    """After a failover the new master has no replicas for a while, and may lack what the owner has.

    Whenever that ends, others who have seen a silent owner for a lease by then do not forestall it.
    """
    schedule = Schedule(5)
    try:
        a = await schedule.start("a")
        await schedule.pass_time(LEASE_US)
        others = [await schedule.start(name) for name in ("b", "c")]
        await schedule.pass_time(LEASE_US)
        owned = {space: own for space, (own, _) in a.served.items()}
        assert set(owned) == set(SPACES)
        for node in (a, *others):
            node.journal.takes_nothing = True
        if fell_back:
            for store in schedule.world.stores.values():
                store.beat -= 2
        await schedule.pass_time(length_us)
        for node in (*others, a):
            node.journal.takes_nothing = False
        await schedule.pass_time(LEASE_US // 2)
        assert {space: own for space, (own, _) in a.served.items()} == owned
        assert not any(lease.lapsed for _, lease in a.served.values())
        for node in (a, *others):  # with a dead owner it takes no longer than it has to
            node.journal.takes_nothing = True
        await schedule.kill("a")
        await schedule.pass_time(LEASE_US + LEASE_US // 2)
        for node in others:
            node.journal.takes_nothing = False
        await schedule.pass_time(LEASE_US)
        assert {space for node in others for space in node.served} == set(SPACES)
    finally:
        await schedule.close()


async def test_an_outage_of_the_store_is_no_reason_to_take_over() -> None:
    schedule = Schedule(3)
    try:
        a = await schedule.start("a")
        await schedule.pass_time(LEASE_US)
        await schedule.start("b")
        await schedule.pass_time(LEASE_US // 2)
        epochs = {space: a.served[space][0].epoch for space in a.served}
        for node in schedule.nodes.values():
            node.journal.cut_off = JournalFailed("the store is away")
        await schedule.pass_time(4 * LEASE_US)
        for node in schedule.nodes.values():
            node.journal.cut_off = None
        await schedule.pass_time(LEASE_US // 2)
        assert {space: a.served[space][0].epoch for space in a.served} == epochs
        assert not any(lease.lapsed for _, lease in a.served.values())
    finally:
        await schedule.close()


async def test_a_new_node_is_given_its_share_calmly_and_a_leaving_one_hands_over() -> None:
    schedule = Schedule(4)
    try:
        a = await schedule.start("a")
        await schedule.pass_time(LEASE_US)
        b = await schedule.start("b")
        await schedule.pass_time(2 * LEASE_US)
        assert not b.served, "it has not been up for long enough"
        await schedule.pass_time(8 * LEASE_US)
        for space in SPACES:
            first = preference(space, "ab")[0]
            assert space in schedule.nodes[first].served, f"{space} is not with {first}"
        began_us = schedule.now_us
        stopping = asyncio.get_running_loop().create_task(a.cluster.stop())
        await settle()
        await schedule.pass_time(100_000)
        await stopping
        assert set(b.served) == set(SPACES), "handed over at once, not after a lease"
        assert schedule.now_us - began_us < LEASE_US
        assert [entry.name for entry in await b.journal.nodes()] == ["b"]
    finally:
        await schedule.close()


async def test_a_node_that_has_been_drained_is_given_nothing_back() -> None:
    schedule = Schedule(6)
    try:
        nodes = [await schedule.start(name) for name in "abc"]
        await schedule.pass_time(10 * LEASE_US)
        drained = next(node for node in nodes if node.served)
        others = [node for node in nodes if node is not drained]
        draining = asyncio.get_running_loop().create_task(drained.cluster.drain())
        await settle()
        await schedule.pass_time(LEASE_US // 4)
        assert await draining
        for _ in range(8 * 10):
            await schedule.pass_time(LEASE_US // 8)
            assert {name for node in others for name in node.served} == set(SPACES)
        # The next one finds no heir but the last: who is drained already says no.
        second, third = others
        draining = asyncio.get_running_loop().create_task(second.cluster.drain())
        await settle()
        await schedule.pass_time(LEASE_US // 4)
        await draining
        assert set(third.served) == set(SPACES)
        assert not await third.cluster.drain(), "nobody is left who would take it"
        assert set(third.served) == set(SPACES)
    finally:
        await schedule.close()


async def test_a_second_process_of_one_name_does_not_start_and_a_silent_first_one_is_replaced() -> (
    None
):
    schedule = Schedule(5)
    try:
        first = await schedule.start("a")
        await schedule.pass_time(LEASE_US)
        second = Process(schedule.world, "a", 99, schedule.now_us)
        start = asyncio.get_running_loop().create_task(second.cluster.start())
        for _ in range(40):
            await schedule.pass_time(50_000)
            second.clock.advance(50_000)
            await settle()
        with pytest.raises(JournalBusy, match="a node named 'a' is running already"):
            await start
        await second.cluster._tasks.stop()
        first.is_paused = True
        third = await schedule.start("a")
        schedule.nodes["old"] = first
        await schedule.pass_time(3 * LEASE_US)
        assert set(third.served) == set(SPACES)
        await schedule.wake(first)
        await schedule.pass_time(LEASE_US)
        assert not first.served
        assert "another process has started as node 'a'" in first.ended
        assert not third.ended
    finally:
        await schedule.close()


async def test_a_workspace_that_breaks_on_one_node_is_tried_on_another() -> None:
    schedule = Schedule(6)
    try:
        a = await schedule.start("a")
        await schedule.pass_time(LEASE_US)
        b = await schedule.start("b")
        await schedule.pass_time(LEASE_US // 2)
        a.cluster.ended("east", "a timer of the engine breaks it each time")
        await schedule.pass_time(LEASE_US)
        assert "east" in b.served
        assert "east" not in a.served
    finally:
        await schedule.close()
