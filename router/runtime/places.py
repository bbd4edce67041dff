"""A workspace as one node sees it, and what the node's own cluster asks of who serves it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from router.journal import Ownership
from router.journal.shared import Standing
from router.runtime.lease import Lease


class Hosting(Protocol):
    """What carries out what is decided here: the composition root."""

    async def open_workspace(self, name: str, own: Ownership, lease: Lease) -> None:
        """Load and serve it. What it raises means that it is not served."""

    async def close_workspace(self, name: str, why: str, heir: str | None) -> None:
        """Serve it no more. With `heir`: finish what is under way, then give it up in its favour
        (empty: whoever comes). None: it is another node's already."""

    async def warm_heir(self, address: str, workspace: str) -> bool:
        """Let the node at this address read ahead what it will be given; returns when it has, or
        after a while. False: it would not take it, or is not there. Never raises: an heir that
        has not read ahead takes longer to serve, that is all."""

    async def warm_up(self, workspace: str) -> None:
        """Read ahead what another node is about to hand over to this one. Never raises."""

    async def tell_heir(self, address: str, workspace: str) -> None:
        """Say to the node at this address that the workspace is free for it."""

    def usurped(self, why: str) -> None:
        """Another process has this node's name: end this one."""


@dataclass(slots=True)
class Place:
    """One workspace, as this node sees it."""

    name: str
    seen: Standing | None = None
    since_us: int = 0
    """Since when it has been seen unchanged."""
    looked_us: int = 0
    newest: tuple[int, int] = (0, 0)
    """The highest epoch and beat that were seen."""
    own: Ownership | None = None
    lease: Lease | None = None
    is_open: bool = False
    opening: asyncio.Task[None] | None = None
    handing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from before its heir reads ahead until it is handed over."""
    moving: bool = False
    """It is served no more, and given up as soon as what is under way is finished."""
    broken: str = ""
    """Why it ended by itself on this node."""
    not_before_us: int = 0
    tried_epoch: int = 0
    """The epoch of a claim of this node of which nobody knows yet whether it counts."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set and cleared each time when who serves it may have changed."""
    given: tuple[str, int] = ("", 0)
    """To whom it was handed over last, and when."""
    declined: dict[str, int] = field(default_factory=dict)
    """Nodes that did not keep it, and until when they are passed over."""
