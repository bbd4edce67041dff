"""Which workspaces this node owns: claimed, renewed, handed over, lost. docs/nodes.md.

The store is the arbiter (`router/journal/shared.py`); here is only when to ask it for what. An
owner raises its beat four times in a lease. Whoever has seen a standing unchanged for a whole lease
by its own clock claims the workspace, the node that should have it first. Nothing here is needed
for safety: two nodes that both think they own a workspace cannot both commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from router.errors import JournalBusy, JournalError, RouterError, StoreFull
from router.journal import Ownership
from router.journal.shared import NodeEntry, SharedJournal, Standing
from router.runtime.clock import Clock, sleep
from router.runtime.lease import Lease
from router.runtime.members import Members, preference
from router.runtime.node_metrics import NodeMetrics
from router.runtime.places import Hosting, Place
from router.runtime.tasks import TaskSet

log = logging.getLogger("router.cluster")

STORE_FAILS = (JournalError, StoreFull)
"""It does not answer, or takes nothing now: neither says anything about who owns what."""
BEATS = 4
"""Renewals in one lease."""
CALM_LEASES = 3
"""A node gets workspaces handed over once it has been up for so many leases."""
SICK_US = 30_000_000
"""A workspace that broke on this node is left to the others for so long."""
DECLINED_US = 600_000_000
"""A node that did not keep what it was given is given it again after so long."""
LOOK_US = 50_000
"""A workspace is looked at no more often, however many clients wait for it."""
GONE_US = 3_600_000_000
"""The entry of a node that is silent for so long is taken out."""


class Cluster:
    """This node among the others."""

    def __init__(
        self,
        journal: SharedJournal,
        clock: Clock,
        hosting: Hosting,
        me: NodeEntry,
        workspaces: Sequence[str],
        *,
        lease_us: int,
        metrics: NodeMetrics | None = None,
    ) -> None:
        """`me.boot` sorts by the moment of the start: the later of two wins the name."""
        self.me = me
        self.draining = False
        """True: hand over, claim nothing."""
        self.members = Members(lease_us + lease_us // 2)
        self.metrics = metrics or NodeMetrics()
        self.lease_us = lease_us
        self.started_us = clock.now_us()
        self.places = {name: Place(name) for name in workspaces}
        self._journal = journal
        self._clock = clock
        self._hosting = hosting
        self._beat_us = lease_us // BEATS
        self._look_us = self._beat_us // 2
        """So soon a new beat is seen: what is seen late is counted late."""
        self._admitted = False
        """Nobody else has this node's name."""
        self._store_error = ""
        self._changed = asyncio.Event()
        self._tasks = TaskSet("cluster")

    # --- coming and going -----------------------------------------------------------------------

    async def start(self) -> None:
        """Join. Raises JournalBusy: a node of this name is alive."""
        for place in self.places.values():
            self._tasks.spawn(self._mind(place), place.name)
        await self._refuse_double()
        await self._announce()
        self._admitted = True
        self._tasks.spawn(self._keep_announcing(), "announce")
        self._tasks.spawn(self._balance(), "balance")
        for place in self.places.values():
            place.wake.set()

    async def drain(self) -> list[str]:
        """Hand over all that others can take, and claim nothing any more; what was handed over."""
        self.draining = True
        with contextlib.suppress(*STORE_FAILS):
            self._look_around(await self._journal.nodes())
        at_once = asyncio.Semaphore(BEATS)

        async def move(place: Place) -> str:
            async with at_once:
                while heir := self._heir(place):
                    if await self.hand_over(place.name, heir):
                        return place.name
                    if place.own is None or place.broken:
                        break
                return ""

        owned = [place for place in self.places.values() if place.own is not None]
        return [name for name in await asyncio.gather(*map(move, owned)) if name]

    async def stop(self) -> None:
        """Hand over what others can take, give up the rest, leave. Safe to repeat."""
        await self.drain()
        await self._tasks.stop()
        for place in self.places.values():
            if place.own is not None:
                await self._hosting.close_workspace(place.name, "stopping", "")
                self._forget(place, "stopping")
        try:
            await self._journal.forget(self.me)
        except STORE_FAILS as error:
            log.warning("node not signed off", extra={"error": str(error)})

    def owner(self, workspace: str) -> NodeEntry | None:
        """The node that owns it, as last seen; None = nobody, or it is not known where."""
        place = self.places[workspace]
        if place.own is not None:
            return self.me
        if place.seen is None or place.seen.is_free:
            return None
        return self.members.get(place.seen.node)

    def now_us(self) -> int:
        """The time by which this node counts."""
        return self._clock.now_us()

    def look_now(self, workspace: str) -> None:
        """It has been handed over, perhaps to this node."""
        place = self.places.get(workspace)
        if place is not None:
            place.wake.set()

    async def warm_up(self, workspace: str) -> bool:
        """It is about to be handed over to this node; False: it would not be taken."""
        place = self.places.get(workspace)
        if place is None or self.draining:
            return False
        if place.own is None:
            await self._hosting.warm_up(workspace)
        return not self.draining

    def look_soon(self) -> None:
        """An owner does not answer: perhaps there is another one."""
        now_us = self._clock.now_us()
        for place in self.places.values():
            if place.own is None and now_us - place.looked_us > LOOK_US:
                place.wake.set()

    async def served(self, workspace: str, wait_s: float) -> bool:
        """Wait until it is served here, at most so long."""
        place = self.places[workspace]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not place.is_open:
                    await self.change(workspace)
        return place.is_open

    async def change(self, workspace: str = "") -> None:
        """Wait until who serves it may have changed; without a name, any."""
        await (self.places[workspace].changed if workspace else self._changed).wait()

    def _tell(self, place: Place) -> None:
        """Wake who waits for a change."""
        for changed in (place.changed, self._changed):
            changed.set()
            changed.clear()

    def ended(self, workspace: str, why: str) -> None:
        """A workspace that was served here has ended by itself."""
        place = self.places[workspace]
        if place.own is not None and not place.moving:
            place.broken = why
            place.wake.set()

    # --- one workspace --------------------------------------------------------------------------

    async def _mind(self, place: Place) -> None:
        while True:
            place.wake.clear()
            if place.own is None:
                pause_us = await self._look(place)
            elif place.broken:
                pause_us = await self._bury(place)
            else:
                pause_us = await self._renew(place)
            if pause_us > 0:
                await self._pause(place.wake, pause_us)

    async def _look(self, place: Place) -> int:
        """Watch the owner; claim what is free or abandoned. When to look again, in µs."""
        try:
            standing = await self._journal.standing(place.name)
        except STORE_FAILS as error:
            # A store that does not answer says nothing about the owner: count from anew.
            place.seen = None
            self._store_fails(error)
            return self._beat_us
        now_us = self._clock.now_us()
        place.newest = max(place.newest, (standing.epoch, standing.beat))
        if place.seen != standing or now_us - place.looked_us > self.lease_us:
            is_news = place.seen is None or place.seen.nonce != standing.nonce
            place.seen, place.since_us = standing, now_us
            if is_news:
                self._tell(place)
        place.looked_us = now_us
        if not self._admitted or self.draining or now_us < place.not_before_us:
            return self._look_us
        wait_us = self._due_us(place, standing) - now_us
        if wait_us > 0:
            return min(wait_us, self._look_us)
        return await self._claim(place, standing)

    def _due_us(self, place: Place, standing: Standing) -> int:
        """When this node may claim what it has seen so since `place.since_us`."""
        if standing.is_free and standing.heir == self.me.name:
            return place.since_us
        if (standing.epoch, standing.node) == (place.tried_epoch, self.me.name):
            return place.since_us  # claimed already, but not known to be on enough replicas
        alive = {*self.members.alive(self._clock.now_us()), self.me.name}
        if standing.node != self.me.name:
            alive.discard(standing.node)  # it is silent for a lease, or has given it up
        rank = preference(place.name, alive).index(self.me.name)
        due_us = place.since_us + rank * (self.lease_us // 8)
        if (standing.epoch, standing.beat) < place.newest:
            # The store fell back: its owner, if it lives, has what is missing.
            return due_us + 2 * self.lease_us
        if standing.is_free and not standing.heir and standing.epoch:
            return due_us
        # Epoch 0 is a new workspace, or a store that has lost all: then its owner, if it lives,
        # writes it anew when it renews, and must not be forestalled.
        return due_us + self.lease_us

    async def _claim(self, place: Place, standing: Standing) -> int:
        sent_us = self._clock.now_us()
        place.seen = None
        try:
            own = await self._journal.claim(place.name, standing, self.me.name)
        except STORE_FAILS as error:
            self._store_fails(error)
            place.tried_epoch = standing.epoch + 1  # it may have happened
            place.not_before_us = sent_us + self._look_us
            return self._look_us
        if own is None:
            return 1  # somebody was faster
        since_us, place.tried_epoch = place.since_us, 0
        place.own = own
        place.lease = lease = Lease(self._clock, self.lease_us, sent_us)
        if place.given[0]:
            place.declined[place.given[0]] = sent_us + DECLINED_US
            place.given = ("", 0)
        log.info(
            "workspace claimed",
            extra={"workspace": place.name, "epoch": own.epoch, "from": standing.node},
        )
        place.opening = self._tasks.spawn(self._open(place, own, lease, since_us), "open")
        return self._beat_us

    async def _open(self, place: Place, own: Ownership, lease: Lease, since_us: int) -> None:
        try:
            await self._hosting.open_workspace(place.name, own, lease)
        except (RouterError, OSError) as error:
            self.ended(place.name, str(error))
            return
        except Exception as error:
            log.exception("workspace not opened", extra={"workspace": place.name})
            self.ended(place.name, f"internal error: {type(error).__name__}")
            return
        place.is_open = True
        self._tell(place)
        took_s = (self._clock.now_us() - since_us) / 1e6
        self.metrics.takeover.observe(took_s)
        log.info(
            "workspace served",
            extra={"workspace": place.name, "epoch": own.epoch, "unowned_s": round(took_s, 3)},
        )

    async def _renew(self, place: Place) -> int:
        own, lease = place.own, place.lease
        assert own is not None
        assert lease is not None
        sent_us = self._clock.now_us()
        try:
            is_ours = await self._journal.renew(own)
        except STORE_FAILS as error:
            self._store_fails(error)
            return self._beat_us // 2
        if is_ours:  # while it is handed over as well: its last commits need the lease
            self._store_error = ""
            lease.renewed(sent_us)
            return max(1, sent_us + self._beat_us - self._clock.now_us())
        if place.own is not own or place.moving:
            return self._beat_us
        self.metrics.fenced.inc()
        await self._lose(place, "another node has taken it over")
        return 1

    async def _bury(self, place: Place) -> int:
        """It ended by itself: taken by another node, or broken here and perhaps not elsewhere."""
        own, why = place.own, place.broken
        place.broken = ""
        assert own is not None
        try:
            if await self._journal.renew(own):
                await self._journal.hand_over(own)
                place.not_before_us = self._clock.now_us() + SICK_US
            else:
                self.metrics.fenced.inc()
        except STORE_FAILS as error:
            self._store_fails(error)
        await self._lose(place, why)
        return 1

    async def _lose(self, place: Place, why: str) -> None:
        log.error("workspace lost", extra={"workspace": place.name, "why": why})
        if place.lease is not None:
            place.lease.end(why)
        if place.opening is not None and not place.opening.done():
            place.opening.cancel()
            await asyncio.wait([place.opening])
        await self._hosting.close_workspace(place.name, why, None)
        self._forget(place, why)

    def _forget(self, place: Place, why: str) -> None:
        if place.lease is not None:
            place.lease.end(why)
        place.own = place.lease = place.opening = place.seen = None
        place.is_open = False
        place.broken = ""

    async def hand_over(self, workspace: str, heir: str) -> bool:
        """Give a workspace to another node, after what is under way; False: it is not ours, or
        that node would not take it."""
        place = self.places[workspace]
        async with place.handing:
            return await self._hand_over(place, heir)

    async def _hand_over(self, place: Place, heir: str) -> bool:
        workspace, own, entry = place.name, place.own, self.members.get(heir)
        if own is None or place.broken:
            return False
        if entry is not None:  # while it is served here
            if not await self._hosting.warm_heir(entry.address, workspace):
                place.declined[heir] = self._clock.now_us() + CALM_LEASES * self.lease_us
                return False
            if place.own is not own or place.broken:
                return False
        began_us = self._clock.now_us()
        place.moving = True
        try:
            if place.opening is not None and not place.opening.done():
                await asyncio.wait([place.opening])
            await self._hosting.close_workspace(workspace, "moved", heir)
            self._forget(place, "moved")
            place.given = (heir, began_us)
        finally:
            place.moving = False
            place.wake.set()
        took_s = (self._clock.now_us() - began_us) / 1e6
        self.metrics.handed_over.inc()
        log.info(
            "workspace handed over",
            extra={"workspace": workspace, "heir": heir, "took_s": round(took_s, 3)},
        )
        if entry is not None:
            await self._hosting.tell_heir(entry.address, workspace)
        return True

    # --- the node among the others --------------------------------------------------------------

    async def _refuse_double(self) -> None:
        """Raises JournalBusy if another process of this name is alive, after watching it a lease.

        One that is silent is replaced: what it owns is claimed as any dead node's.
        """
        before = await self._entry()
        if before is None or before.boot == self.me.boot:
            return
        for _ in range(BEATS + 1):
            await sleep(self._clock, self._beat_us)
            after = await self._entry()
            if after is None:
                return
            if after != before:
                raise JournalBusy(
                    f"a node named {self.me.name!r} is running already, at {after.address}: "
                    "give each node a name of its own (server.cluster.node)"
                )

    async def _entry(self) -> NodeEntry | None:
        entries = await self._journal.nodes()
        return next((entry for entry in entries if entry.name == self.me.name), None)

    async def _keep_announcing(self) -> None:
        while True:
            await sleep(self._clock, self._beat_us)
            try:
                await self._announce()
            except STORE_FAILS as error:
                self._store_fails(error)
                # A store that can be read may still take nothing, for want of replicas: then owners
                # cannot renew, and have half a lease for it once it does.
                least_us = self._clock.now_us() - self.lease_us // 2
                for place in self.places.values():
                    place.since_us = max(place.since_us, least_us)

    async def _announce(self) -> None:
        entries = await self._journal.nodes()
        for entry in entries:
            if entry.name == self.me.name and entry.boot > self.me.boot:
                self._hosting.usurped(
                    f"another process has started as node {self.me.name!r}, at {entry.address}"
                )
                return
        self.me = self.me._replace(beat=self.me.beat + 1)
        await self._journal.announce(self.me)
        self._look_around(entries)
        for entry in self.members.silent(self._clock.now_us(), GONE_US):
            await self._journal.forget(entry)

    def _look_around(self, entries: list[NodeEntry]) -> None:
        others = [entry for entry in entries if entry.name != self.me.name]
        self.members.look([*others, self.me], self._clock.now_us())

    async def _balance(self) -> None:
        """Hand over what others should have: one at a time, to nodes that have been up a while."""
        while True:
            await sleep(self._clock, self.lease_us)
            if self._clock.now_us() - self.started_us < CALM_LEASES * self.lease_us:
                continue
            for place in list(self.places.values()):
                if not place.is_open or place.moving or self.draining:
                    continue
                heir = self._heir(place, calm_us=CALM_LEASES * self.lease_us, also_me=True)
                if heir and heir != self.me.name:
                    try:
                        await self.hand_over(place.name, heir)
                    except (RouterError, OSError) as error:
                        log.warning("not handed over", extra={"error": str(error)})
                    break

    def _heir(self, place: Place, *, calm_us: int = 0, also_me: bool = False) -> str:
        """The node that should have it; empty = there is none."""
        now_us = self._clock.now_us()
        alive = [
            name
            for name in self.members.alive(now_us, for_us=calm_us)
            if name != self.me.name and place.declined.get(name, 0) <= now_us
        ]
        if also_me:
            alive.append(self.me.name)
        return next(iter(preference(place.name, alive)), "")

    def _store_fails(self, error: RouterError) -> None:
        """One line when it begins, not one for each try."""
        if not self._store_error:
            log.warning("the store does not answer the cluster", extra={"error": str(error)})
        self._store_error = str(error)

    async def _pause(self, wake: asyncio.Event, length_us: int) -> None:
        timer = self._clock.call_at(self._clock.now_us() + length_us, wake.set)
        try:
            await wake.wait()
        finally:
            timer.cancel()
