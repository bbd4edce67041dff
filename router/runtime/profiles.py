"""Customers: what is known of one, loaded when a scheduled contact is activated.

A customer is an archive row (kind ``customer``, id the customer's id) and never in the engine's
memory; the engine asks for it with `LoadCustomer` and gets `ProvideCustomer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from router.core import commands as c
from router.core.effects import LoadCustomer
from router.core.record import Value
from router.runtime.clock import Clock
from router.runtime.outbox import tell

if TYPE_CHECKING:
    from router.runtime.loop import Workspace


class Customer(Value, kw_only=True):
    """A customer, as stored."""

    id: str
    segment: str = ""


decode_customer = msgspec.msgpack.Decoder(Customer).decode
encode_customer = msgspec.msgpack.Encoder().encode


class Profiles:
    """The customers of one workspace."""

    def __init__(self, workspace: Workspace, clock: Clock) -> None:
        self._workspace = workspace
        self._clock = clock

    async def load(self, effect: LoadCustomer) -> None:
        """Answer the engine: the customer, or that there is none."""
        rows = await self._workspace.journal.fetch(
            self._workspace.own, "customer", [effect.customer]
        )
        data = rows.get(effect.customer)
        command = c.ProvideCustomer(
            contact=effect.contact,
            customer=effect.customer,
            segment=decode_customer(data).segment if data else "",
            found=data is not None,
        )
        await tell(self._workspace, self._clock, command, [])
