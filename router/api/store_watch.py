"""Tells a workspace's desks when nothing can be saved, and when it can again.

A lease runs out by time alone, without any event, so the workspace is looked at; only as long as
somebody is there to be told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router.api.websocket import Link
    from router.runtime.clock import Timer
    from router.runtime.loop import Workspace

LOOK_US = 1_000_000
"""So often it is looked at: what is over sooner nobody need hear of."""


class StoreWatch:
    """Whether this workspace's store takes anything, for those who watch."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._links: dict[Link, None] = {}
        self._since_us = 0
        """Since when it takes nothing; 0 = it does."""
        self._timer: Timer | None = None

    def frame(self) -> dict[str, Any]:
        """How it is now, as it is told."""
        self._see()
        if not self._since_us:
            return {"type": "store", "away": False}
        return {"type": "store", "away": True, "since_us": self._since_us}

    def join(self, link: Link) -> None:
        """This one has its welcome: told at once if nothing can be saved, and of each change."""
        if not self._links:
            self._see()
            self._look_later()
        self._links[link] = None
        if self._since_us:
            link.tell(self.frame())

    def leave(self, link: Link) -> None:
        """It is gone; one that never joined may be named."""
        self._links.pop(link, None)
        if not self._links and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _see(self) -> bool:
        """Look; whether it has changed. One that is stopped is served elsewhere, or nowhere."""
        workspace = self._workspace
        is_away = bool(workspace.suspended) and not workspace.stopped
        if is_away == bool(self._since_us):
            return False
        self._since_us = workspace.now_us() if is_away else 0
        return True

    def _look_later(self) -> None:
        clock = self._workspace.clock
        self._timer = clock.call_at(clock.now_us() + LOOK_US, self._look)

    def _look(self) -> None:
        if self._see():
            frame = self.frame()
            for link in self._links:
                link.tell(frame)
        self._look_later()
