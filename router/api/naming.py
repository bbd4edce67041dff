"""Which agent, contact and reservation an event names."""

from __future__ import annotations

from router.core import events as e
from router.core.model import AgentId, ContactId, ReservationId


def agent_of(event: e.Event) -> AgentId:
    """The agent that an event names; empty = none."""
    return getattr(event, "agent", AgentId(""))


def contact_of(event: e.Event) -> ContactId:
    """The contact that an event names; empty = none."""
    return getattr(event, "contact", ContactId(""))


def reservation_of(event: e.Event) -> ReservationId:
    """The reservation that an event names; empty = none."""
    return getattr(event, "reservation", ReservationId(""))
