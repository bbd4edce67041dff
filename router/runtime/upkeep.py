"""What must be done now and then: trim the log, expire old rows, make new keys, watch the clock.

Kept: events 30 days, closed contacts with their messages and decisions 30 days (`keep_closed_us`),
external ids and idempotency keys 3 days and 1 day, dead webhook deliveries 30 days.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from router.core.commands import StepClock
from router.core.model import DAY_US, SECOND_US
from router.errors import JournalError, Overloaded, RouterError, StoreFull
from router.runtime.attachments import Attachments
from router.runtime.clock import Clock, sleep
from router.runtime.health import Health
from router.runtime.loop import Workspace
from router.runtime.metrics import Metrics
from router.runtime.tasks import TaskSet
from router.runtime.watchdog import Watchdog

log = logging.getLogger("router.upkeep")

TICK_US = 250_000
BLOCKED_S = 5.0
"""A loop that does not turn for so long has its stacks written to the log."""
KEEP_US = {
    "external": 3 * DAY_US,
    "received": 3 * DAY_US,
    "idempotency": DAY_US,
    "webhook_dead": 30 * DAY_US,
    "audit": 400 * DAY_US,
}
CLOSED = ("contact", "decision", "message", "customer_contact")
EXPIRE_EVERY_US = 60 * SECOND_US
EXPIRE_AGAIN_US = SECOND_US
"""The pause when a portion was full: more is written in a busy minute than one portion holds."""
TRIM_FRAMES = 500
EXPIRE_ROWS = 1000
FULL = min(TRIM_FRAMES, EXPIRE_ROWS)
"""Whoever has dropped so many may have left some."""


class Upkeep:
    """The housekeeping of a process."""

    def __init__(
        self,
        workspaces: Sequence[Workspace],
        clock: Clock,
        metrics: Metrics,
        health: Health,
        *,
        files: Mapping[str, Attachments | None] = MappingProxyType({}),
        dump_stacks: bool = False,
    ) -> None:
        self._workspaces = list(workspaces)
        self._clock = clock
        self._metrics = metrics
        self._health = health
        self._files = files
        self._watchdog = Watchdog(BLOCKED_S) if dump_stacks else None
        self._tasks = TaskSet("upkeep")

    def start(self) -> None:
        """Begin."""
        if self._watchdog is not None:
            self._watchdog.start()
        self._tasks.spawn(self._tick(), "tick")
        self._tasks.spawn(self._keys(), "keys")
        for workspace in self._workspaces:
            self._tasks.spawn(self._expire(workspace, self._files.get(workspace.name)), "expire")

    def admit(self, workspace: Workspace, files: Attachments | None) -> None:
        """Look after this one, too, until it stops."""
        self._workspaces.append(workspace)
        self._tasks.spawn(self._expire(workspace, files), "expire")

    def dismiss(self, workspace: Workspace) -> None:
        """It is not served here any more."""
        self._workspaces = [known for known in self._workspaces if known is not workspace]

    async def stop(self) -> None:
        """End."""
        if self._watchdog is not None:
            self._watchdog.stop()
        await self._tasks.stop()

    async def _tick(self) -> None:
        """Four times a second: how late is the loop, was the clock set?"""
        loop = asyncio.get_running_loop()
        while True:
            if self._watchdog is not None:
                self._watchdog.turned()
            before = loop.time()
            await sleep(self._clock, TICK_US)
            self._health.lag_s = max(0.0, loop.time() - before - TICK_US / 1e6)
            self._metrics.loop_lag.set(self._health.lag_s)
            step_us = self._clock.stepped_us()
            if step_us:
                log.warning("the wall clock was set", extra={"by_s": step_us / 1e6})
                for workspace in self._workspaces:
                    self._tasks.spawn(self._step(workspace, step_us), "step")

    async def _step(self, workspace: Workspace, by_us: int) -> None:
        """Say it until it is taken: a machine that was asleep has often lost its store, too."""
        while not workspace.stopped:
            try:
                await workspace.ask(StepClock(by_us=by_us))
            except (Overloaded, StoreFull):  # nothing was done
                await sleep(self._clock, SECOND_US)
            except RouterError as error:  # may yet be done: said twice it would count twice
                log.warning("clock step not taken", extra={"error": str(error)})
                return
            else:
                return

    async def _keys(self) -> None:
        """The next block of keys is durable before the last one is used up."""
        while True:
            for keys in {id(w.keys): w.keys for w in self._workspaces}.values():
                try:
                    await keys.refill()
                except RouterError as error:
                    log.warning("no new keys", extra={"error": str(error)})
            await sleep(self._clock, TICK_US)

    async def _expire(self, workspace: Workspace, files: Attachments | None) -> None:
        while not workspace.stopped:
            await sleep(self._clock, EXPIRE_EVERY_US)
            try:
                while await self._expired(workspace, files) >= FULL and not workspace.stopped:
                    await sleep(self._clock, EXPIRE_AGAIN_US)
            except (JournalError, StoreFull, OSError) as error:
                log.warning("upkeep failed", extra={"error": str(error)})

    async def _expired(self, workspace: Workspace, files: Attachments | None) -> int:
        dropped = await expire(workspace)
        if files is not None:  # as old as the messages that they came with
            dropped += await files.expire(workspace.now_us() - workspace.policy.keep_closed_us)
        return dropped


async def expire(workspace: Workspace) -> int:
    """Drop a bounded part of what is too old; returns how many rows and frames."""
    journal, own, now_us = workspace.journal, workspace.own, workspace.now_us()
    keep_closed_us = workspace.policy.keep_closed_us
    kinds = {**KEEP_US, **dict.fromkeys(CLOSED, keep_closed_us)}
    dropped = 0
    for kind, keep_us in kinds.items():
        dropped += await journal.expire(own, kind, now_us - keep_us, EXPIRE_ROWS)
    return dropped + await _trim(workspace, now_us - keep_closed_us)


async def _trim(workspace: Workspace, before_us: int) -> int:
    """Drop whole frames of the log from before this moment."""
    journal, own = workspace.journal, workspace.own
    oldest = await journal.oldest_seq(own)
    frames = await journal.frames(own, oldest, TRIM_FRAMES)
    below = oldest
    for frame in frames:
        if frame.at_us >= before_us:
            break
        below = frame.first_seq + len(frame.events)
    return await journal.trim(own, below) if below > oldest else 0
