"""What a line wrote down at its own end, to be compared with what desks and the stream say."""

from __future__ import annotations

import msgspec


class Call(msgspec.Struct):
    """A caller, as seen at the phones. Moments by the shared clock; 0: it did not happen."""

    due_s: float
    taken_s: float = 0.0
    """The PBX answered: the router has the contact durably."""
    rung_s: float = 0.0
    """The first phone rang for them."""
    picked_s: float = 0.0
    """When an agent meant to pick up and did."""
    sounded: bool = False
    """Both ends had a tone of their own."""
    heard_s: float = 0.0
    """Both heard each other."""
    is_silent: bool = False
    """They had a call for long, and did not."""
    gave_up: bool = False
    turned_away: bool = False
    """The other side ended it, and no agent had been there."""


class Book(msgspec.Struct):
    """Of one line."""

    over: str
    due: dict[str, float] = {}
    """When each customer was due, by their address."""
    sent: dict[str, bool] = {}
    """Customers' texts by their mark; True: the peer was told that they have arrived."""
    got: dict[str, int] = {}
    """How often each of the agents' answers arrived, by its mark."""
    calls: dict[str, Call] = {}
    """By number."""
    faults: list[str] = []
    """What must not be, as seen here."""
