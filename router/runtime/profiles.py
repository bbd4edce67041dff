"""Customers of contacts that become due: the engine asks for them with `LoadCustomer`.

The answer needs no look-up here: the loop brings the row of whoever a command names, and completes
the command from it (`customers.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.core import commands as c
from router.core.effects import LoadCustomer
from router.runtime.clock import Clock
from router.runtime.outbox import tell

if TYPE_CHECKING:
    from router.runtime.loop import Workspace


class Profiles:
    """The customers of one workspace."""

    def __init__(self, workspace: Workspace, clock: Clock) -> None:
        self._workspace = workspace
        self._clock = clock

    async def load(self, effect: LoadCustomer) -> None:
        """Answer the engine: the customer, or that there is none."""
        command = c.ProvideCustomer(contact=effect.contact, customer=effect.customer)
        await tell(self._workspace, self._clock, command, [])
