"""Writes commits, for as long as it takes: a frame that fails is tried again, unchanged."""

from __future__ import annotations

import logging
from collections.abc import Callable

from router.errors import Fenced, JournalFailed, RouterError, StoreFull
from router.journal import AppendResult, Commit, Journal, Ownership
from router.runtime.clock import Clock, sleep
from router.runtime.crash import crash_point
from router.runtime.lease import Lease
from router.runtime.metrics import WorkspaceMetrics

log = logging.getLogger("router.loop")

UNKNOWN_AFTER_US = 5_000_000
"""A commit that takes longer: its callers are told that the outcome is unknown."""
RETRY_US = (50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000)
PATIENCE = 3
"""So many failures of one frame, and later callers are refused instead of kept waiting."""


class Stopped(RouterError):
    """This workspace is not served by this process any more (why, in words)."""


class Writer:
    """One workspace's way into the journal."""

    def __init__(
        self,
        name: str,
        journal: Journal,
        clock: Clock,
        metrics: WorkspaceMetrics,
        *,
        on_suspend: Callable[[str], None],
    ) -> None:
        self.lease: Lease | None = None
        """With several nodes: until when this one may act; set before the first commit."""
        self._stuck = ""
        self._name = name
        self._journal = journal
        self._clock = clock
        self._metrics = metrics
        self._on_suspend = on_suspend

    @property
    def suspended(self) -> str:
        """Why nothing can be made durable at the moment; empty = it can."""
        return self._stuck or self.lapsed

    @property
    def lapsed(self) -> str:
        """Why this node may not act now: another one may own the workspace, and know better than
        what is in memory here. Empty = it may; always so where there is one node only."""
        return "" if self.lease is None else self.lease.lapsed

    def sure(self) -> None:
        """Before a "no" from memory. Raises StoreFull while another node may know better."""
        if self.lapsed:
            raise StoreFull(f"workspace {self._name}: {self.lapsed}")

    def end(self, why: str) -> None:
        """This process does not serve the workspace any more."""
        if self.lease is not None:
            self.lease.end(why)

    async def may_act(self) -> bool:
        """Wait until an effect may go out. False: another node is the owner now."""
        if self.lease is not None:
            try:
                await self.lease.confirm()
            except Fenced:
                return False
        return True

    async def write(self, own: Ownership, commit: Commit, on_unknown: Callable[[], None]) -> None:
        """Make the commit durable. Raises Fenced and Stopped: this process has lost the workspace.

        `on_unknown` is called, once, when the store has not answered in time.
        """
        crash_point("before_commit")
        started_us = self._clock.now_us()

        def give_up() -> None:
            self._suspend("a commit has not come back")
            on_unknown()

        timer = self._clock.call_at(started_us + UNKNOWN_AFTER_US, give_up)
        try:
            result = await self._insist(own, commit)
            if self.lease is not None and result in (AppendResult.OK, AppendResult.DUP):
                await self.lease.confirm()
        finally:
            timer.cancel()
        if result is AppendResult.FENCED:
            raise Fenced(f"another owner has taken workspace {self._name}")
        if result is AppendResult.GAP:
            raise Stopped(
                f"the store ends before sequence {commit.first_seq}: it has forgotten committed "
                "events; restore it, or start again from what it has"
            )
        if self._stuck:
            log.warning("the store takes commits again", extra={"workspace": self._name})
            self._stuck = ""
            self._metrics.suspended(False)
        took_us = self._clock.now_us() - started_us
        self._metrics.committed(len(commit.events), took_us, commit.last_seq)

    async def _insist(self, own: Ownership, commit: Commit) -> AppendResult:
        failures = 0
        while True:
            try:
                return await self._journal.append(own, commit)
            except (JournalFailed, StoreFull) as error:
                failures += 1
                log.error(  # noqa: TRY400 - the store's words are enough
                    "commit failed",
                    extra={"workspace": self._name, "error": str(error), "try": failures},
                )
                self._metrics.commit_failed()
                if isinstance(error, StoreFull) or failures >= PATIENCE:
                    self._suspend(str(error))
                if self.lease is not None and self.lease.over:
                    raise Fenced(self.lease.over) from error
                await sleep(self._clock, RETRY_US[min(failures, len(RETRY_US)) - 1])

    def _suspend(self, why: str) -> None:
        if not self._stuck:
            self._metrics.suspended(True)
        self._stuck = why
        self._on_suspend(why)
