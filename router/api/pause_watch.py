"""Tells a workspace's desks and wallboards which channels are paused, when that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.api.channel_views import pause_views
from router.core import events as e

if TYPE_CHECKING:
    from router.api.tenant import Tenant
    from router.api.websocket import Link

CHANGES = (e.ChannelPaused, e.ChannelResumed)


class PauseWatch:
    """Who is to be told. How it is when they come stands in their welcome."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._links: dict[Link, None] = {}

    def join(self, link: Link) -> None:
        """This one has its welcome: told of each change from now on."""
        self._links[link] = None

    def leave(self, link: Link) -> None:
        """It is gone; one that never joined may be named."""
        self._links.pop(link, None)

    def tell(self) -> None:
        """All that are paused now, to everybody."""
        frame: dict[str, Any] = {"type": "paused", "channels": pause_views(self._tenant)}
        for link in self._links:
            link.tell(frame)
