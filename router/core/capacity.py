"""Room: units, costs, counts, interruption and the log-on ramp. Computed, never stored."""

from __future__ import annotations

from collections.abc import Iterable

from router.core.model import Agent, Reservation, ReservationId, ReservationState
from router.core.policy import Channel, Policy

# Reservations that may be interrupted: the agent is with the customer, nothing is under way.
_INTERRUPTIBLE = ReservationState.CONNECTED


class Load:
    """What an agent's open reservations hold."""

    __slots__ = ("counts", "reservations", "units")

    def __init__(self) -> None:
        self.reservations: dict[ReservationId, Reservation] = {}
        self.units = 0
        self.counts: dict[str, int] = {}

    def add(self, reservation: Reservation) -> None:
        """The reservation is open; its units count from now on."""
        self.reservations[reservation.id] = reservation
        self.units += reservation.units
        self.counts[reservation.channel] = self.counts.get(reservation.channel, 0) + 1

    def remove(self, reservation: Reservation) -> None:
        """The reservation is over. Units and channel must be those it was added with."""
        del self.reservations[reservation.id]
        self.units -= reservation.units
        self.counts[reservation.channel] -= 1

    def suspended(self) -> list[Reservation]:
        """Interrupted ones, the earliest interrupted first."""
        found = [r for r in self.reservations.values() if r.state is ReservationState.SUSPENDED]
        found.sort(key=lambda r: (r.suspended_at_us, r.id))
        return found


def total_units(agent: Agent, policy: Policy) -> int:
    """The agent's capacity."""
    return agent.capacity or policy.capacity


def most(agent: Agent, channel: Channel) -> int:
    """Most contacts of a channel at once for this agent."""
    return agent.maximum.get(channel.name, channel.maximum)


def ramped(agent: Agent, channel: Channel, now_us: int) -> int:
    """How many of this channel the log-on ramp allows by now."""
    return 1 + (now_us - agent.ready_at_us) // channel.ramp_us


def next_ramp_us(agent: Agent, channel: Channel, now_us: int) -> int | None:
    """When the ramp allows one more, or None when it is over."""
    if not channel.ramp_us:
        return None
    allowed = ramped(agent, channel, now_us)
    if allowed >= most(agent, channel):
        return None
    return agent.ready_at_us + allowed * channel.ramp_us


def has_room(agent: Agent, load: Load, channel: Channel, policy: Policy, now_us: int) -> bool:
    """True room: units and count allow one more, without interrupting anything."""
    return load.units + channel.cost <= total_units(agent, policy) and _may_add(
        agent, load, channel, now_us
    )


def to_suspend(
    agent: Agent, load: Load, channel: Channel, policy: Policy, now_us: int
) -> list[Reservation]:
    """What must be interrupted to make room, latest accepted first; empty if it cannot be made."""
    missing = load.units + channel.cost - total_units(agent, policy)
    chosen: list[Reservation] = []
    if missing <= 0 or not channel.interrupts or not _may_add(agent, load, channel, now_us):
        return chosen
    candidates = [
        r
        for r in load.reservations.values()
        if r.state is _INTERRUPTIBLE and r.channel in channel.interrupts and r.units
    ]
    candidates.sort(key=lambda r: (-r.accepted_at_us, r.id))
    for reservation in candidates:
        chosen.append(reservation)
        missing -= reservation.units
        if missing <= 0:
            return chosen
    return []


def room_masks(
    agent: Agent, load: Load, channels: Iterable[tuple[int, Channel]], policy: Policy, now_us: int
) -> tuple[int, int]:
    """Bits of the channels with true room, and of those with room by interruption only."""
    free = (agent.capacity or policy.capacity) - load.units
    counts = load.counts
    true = interrupted = 0
    for bit, channel in channels:
        count = counts.get(channel.name, 0)
        if count >= agent.maximum.get(channel.name, channel.maximum) or (
            channel.ramp_us and count >= ramped(agent, channel, now_us)
        ):
            continue
        if channel.cost <= free:
            true |= bit
        elif channel.interrupts and to_suspend(agent, load, channel, policy, now_us):
            interrupted |= bit
    return true, interrupted


def _may_add(agent: Agent, load: Load, channel: Channel, now_us: int) -> bool:
    count = load.counts.get(channel.name, 0)
    if count >= most(agent, channel):
        return False
    return not channel.ramp_us or count < ramped(agent, channel, now_us)
