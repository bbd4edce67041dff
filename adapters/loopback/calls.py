"""What the loopback's PBX knows: who is on the line, whose phone rings, who hears whom.

No waiting and no router here: `channel.py` carries effects out on this, and tests look at it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from router.channel import (
    Address,
    CollectFromContact,
    ConferenceContact,
    MonitorContact,
    MoveAgent,
    RecordContact,
)


@dataclass(slots=True)
class Listener:
    """A supervisor's phone on somebody else's call."""

    endpoint: str
    mode: str


@dataclass(slots=True)
class Line:
    """A contact at the backend: one customer and what they heard or read."""

    external_id: str
    customer: Address
    to: str = ""
    heard: deque[str] = field(default_factory=lambda: deque(maxlen=1_000))
    asked: CollectFromContact | None = None
    """The question that waits for an answer."""
    held: bool = False
    typed: int = 0
    """How often the customer was shown that the agent types."""
    reservation: str = ""
    """Whose leg is up."""
    consulted: str = ""
    """Whose leg is joined to that one, to be asked about the customer."""
    conference: bool = False
    listeners: dict[str, Listener] = field(default_factory=dict)
    """By monitor."""
    recordings: dict[str, bool] = field(default_factory=dict)
    """By name; false = paused, or complete."""

    def hears(self) -> list[str]:
        """Whom the customer hears: reservations, and supervisors by their endpoint."""
        if self.held or not self.reservation:
            return []
        barging = [x.endpoint for x in self.listeners.values() if x.mode == "barge"]
        return [self.reservation, *([self.consulted] if self.conference else []), *barging]

    def agent_hears(self) -> list[str]:
        """Whom the agent hears besides the customer."""
        voices = [x.endpoint for x in self.listeners.values() if x.mode != "listen"]
        return [*([self.consulted] if self.consulted else []), *voices]


@dataclass(slots=True)
class Ring:
    """An agent's endpoint that rings, or is connected."""

    reservation: str
    endpoint: str
    line: Line
    contact: str
    is_consult: bool = False
    """It is to be joined to the agent who has the line, not to the customer."""

    def is_up(self) -> bool:
        """Has the agent picked up?"""
        return self.reservation in (self.line.reservation, self.line.consulted)

    def join(self) -> None:
        """The agent has picked up."""
        if self.is_consult:
            self.line.consulted, self.line.held = self.reservation, True
        else:
            self.line.reservation = self.reservation

    def leave(self) -> None:
        """The agent's leg goes; whoever else is there stays."""
        if self.line.consulted == self.reservation:
            self.line.consulted, self.line.conference = "", False
        elif self.line.reservation == self.reservation:
            self.line.reservation = ""


def move(ring: Ring, effect: MoveAgent) -> None:
    """The consulted agent has the customer from now on."""
    ring.leave()
    ring.contact, ring.is_consult = effect.contact, False
    ring.line.held = False
    ring.join()


def confer(line: Line, effect: ConferenceContact) -> None:
    """All three hear each other, or the customer hears music again."""
    line.conference = effect.together
    line.held = not effect.together


def listen(line: Line, effect: MonitorContact) -> None:
    """A supervisor's leg is up, or is heard by others than before."""
    line.listeners[effect.monitor] = Listener(effect.endpoint, effect.mode)


def record(line: Line, effect: RecordContact) -> None:
    """From now on, or not any more."""
    line.recordings[effect.recording] = effect.on
