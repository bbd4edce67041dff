"""What the customer book tells whoever learns from it, and when."""

from __future__ import annotations

from typing import NamedTuple

from router.core import events as e
from router.core.customer_model import Customer
from router.core.model import Contact


class Whereabouts(NamedTuple):
    """The zone whose clock a customer's evidence is counted by."""

    zone: str
    is_stated: bool
    """Somebody has said so; else it is told from a number or a setting."""


class Evidence:
    """Nobody learns: profiles stay as they are, and of two that join the first one counts."""

    def learn(self, row: Customer, what: e.Event | Contact) -> None:
        """Told of every followed event and closed contact, after it has changed the row. Changes
        `profile` of the row. Raises ValueError for what no profile can hold."""

    def join(self, into: Customer, other: Customer) -> None:
        """Told of two rows that become one, before they do: joins their profiles."""

    def whereabouts(self, row: Customer) -> Whereabouts:
        """Where the customer is, as far as is known; asked before that may change."""
        return Whereabouts(row.zone, is_stated=bool(row.zone))

    def relocated(self, row: Customer, was: Whereabouts) -> None:
        """Told after it may have changed."""
