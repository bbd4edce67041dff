"""Where each contact stands: on the shelf, waiting, served, parked; which time, and since when.

The recording and the replay follow events by the same code, so that "seven seconds into the second
time it was served" is the same place in both.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

from router.core import events as e
from router.core.model import AgentId, ContactId, Direction, QueueId, Requirements, ReservationId


class Kind(StrEnum):
    """What a contact is doing."""

    SHELF = "shelf"
    WAIT = "wait"
    SERVE = "serve"
    PARK = "park"


class Place(NamedTuple):
    """A moment in a stage, as a distance."""

    leg: int
    after_us: int
    """Since the leg began, without the time in which the agent was interrupted."""
    paused_us: int
    """Since the interruption in which it lies began; 0 outside one."""
    pause: int = 0
    """The how-manieth interruption of the leg that is; 0 outside one."""


class Stage:
    """One stretch of a contact's life.

    Being served has legs: 0 from the accept until agent and customer are together, 1 from then on;
    a change of channel that brings up another leg goes on with 2 and 3.
    """

    __slots__ = (
        *("agent", "began_us", "contact", "kind", "leg", "leg_us", "no"),
        *("paused_us", "pauses", "queue", "reservation", "since_us"),
    )

    def __init__(self, contact: Life, kind: Kind, no: int, at_us: int) -> None:
        self.contact = contact
        self.kind = kind
        self.no = no
        self.began_us = at_us
        self.queue = contact.queue
        """Where it began."""
        self.reservation = ReservationId("")
        self.agent = AgentId("")
        self.leg = 0
        self.leg_us = at_us
        self.paused_us = 0
        """Interruptions of this leg that are over."""
        self.pauses = 0
        """How many there were, the one going on included."""
        self.since_us = 0
        """Interrupted since; 0 = not."""

    @property
    def key(self) -> tuple[ContactId, Kind, int]:
        """Whose, what, the how-manieth."""
        return self.contact.id, self.kind, self.no

    def place(self, at_us: int) -> Place:
        """Where in this stage a moment lies."""
        if self.since_us:
            talked_us = self.since_us - self.leg_us - self.paused_us
            return Place(self.leg, talked_us, at_us - self.since_us, self.pauses)
        return Place(self.leg, at_us - self.leg_us - self.paused_us, 0)


class Life:
    """A contact that is not closed."""

    __slots__ = (
        *("asked", "channel", "consult_of", "counts", "customer", "direction"),
        *("id", "outbound", "peer_key", "queue", "stage"),
    )

    def __init__(self, event: e.ContactReceived) -> None:
        self.id = event.contact
        self.channel = event.channel
        self.queue: QueueId = event.queue
        self.direction: Direction = event.direction
        self.consult_of = event.consult_of
        self.customer = event.customer
        self.outbound = event.outbound is not None
        self.peer_key = event.peer_key
        self.asked: Requirements = event.requirements
        self.counts = dict.fromkeys(Kind, 0)
        self.stage: Stage | None = None

    @property
    def has_patience(self) -> bool:
        """There is a customer on the line who may leave."""
        return self.direction is Direction.INBOUND and not self.consult_of


class Wrap(NamedTuple):
    """After-contact work under way."""

    contact: ContactId
    service: int
    reservation: ReservationId
    agent: AgentId
    began_us: int


class Stages:
    """Follows events. The five functions are told what begins, turns and ends."""

    def __init__(self) -> None:
        self.lives: dict[ContactId, Life] = {}
        self.services: dict[ReservationId, Stage] = {}
        self.wraps: dict[ReservationId, Wrap] = {}
        self.began: Callable[[Stage, int], None] = _ignore
        self.turned: Callable[[Stage, int], None] = _ignore
        """A leg begins, or an interruption begins or ends."""
        self.ended: Callable[[Stage, int], None] = _ignore
        self.wrapping: Callable[[Wrap], None] = _ignore_wrap

    def apply(self, event: e.Event) -> None:
        """Take one event in."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def stage(self, contact: ContactId) -> Stage | None:
        """Where the contact stands."""
        life = self.lives.get(contact)
        return life.stage if life else None

    def _enter(self, id_: ContactId, kind: Kind, at_us: int) -> Stage | None:
        life = self.lives.get(id_)
        if life is None:
            return None
        self._leave(life, at_us)
        life.counts[kind] += 1
        stage = life.stage = Stage(life, kind, life.counts[kind], at_us)
        return stage

    def _leave(self, life: Life, at_us: int) -> None:
        if life.stage is not None:
            stage, life.stage = life.stage, None
            self.ended(stage, at_us)

    def _received(self, event: e.ContactReceived) -> None:
        self.lives[event.contact] = Life(event)

    def _scheduled(self, event: e.ContactScheduled) -> None:
        stage = self._enter(event.contact, Kind.SHELF, event.at_us)
        if stage is not None:
            stage.contact.direction = event.direction
            self.began(stage, event.at_us)

    def _queued(self, event: e.ContactQueued) -> None:
        life = self.lives.get(event.contact)
        if life is None:
            return
        life.queue = event.queue
        if life.stage is None or life.stage.kind is not Kind.WAIT:
            stage = self._enter(event.contact, Kind.WAIT, event.at_us)
            assert stage is not None
            self.began(stage, event.at_us)

    def _returned(self, event: e.ContactReturned) -> None:
        stage = self.stage(event.contact)
        if stage is not None and stage.kind is not Kind.WAIT:
            stage = self._enter(event.contact, Kind.WAIT, event.at_us)
            assert stage is not None
            self.began(stage, event.at_us)

    def _moved(self, event: e.ContactOverflowed | e.ContactSwitched) -> None:
        life = self.lives.get(event.contact)
        if life is None:
            return
        life.queue = event.queue
        if isinstance(event, e.ContactSwitched):
            life.channel = event.channel
            life.peer_key = event.peer_key

    def _asked(self, event: e.RequirementsChanged) -> None:
        life = self.lives.get(event.contact)
        if life is not None:
            life.asked = event.requirements

    def _updated(self, event: e.ContactUpdated) -> None:
        life = self.lives.get(event.contact)
        if life is not None and event.customer is not None:
            life.customer = event.customer

    def _accepted(self, event: e.OfferAccepted) -> None:
        stage = self._enter(event.contact, Kind.SERVE, event.at_us)
        if stage is not None:
            self._serves(stage, event.reservation, event.agent)
            self.began(stage, event.at_us)

    def _serves(self, stage: Stage, reservation: ReservationId, agent: AgentId) -> None:
        stage.reservation, stage.agent = reservation, agent
        self.services[reservation] = stage

    def _connecting(self, event: e.ReservationConnecting) -> None:
        stage = self._serving(event.reservation)
        if stage is not None and stage.leg % 2:
            self._turn(stage, event.at_us)

    def _connected(self, event: e.ReservationConnected) -> None:
        stage = self._serving(event.reservation)
        if stage is not None and not stage.leg % 2:
            self._turn(stage, event.at_us)

    def _turn(self, stage: Stage, at_us: int) -> None:
        stage.leg += 1
        stage.leg_us, stage.paused_us, stage.pauses, stage.since_us = at_us, 0, 0, 0
        self.turned(stage, at_us)

    def _suspended(self, event: e.ReservationSuspended) -> None:
        stage = self._serving(event.reservation)
        if stage is not None:
            stage.since_us = event.at_us
            stage.pauses += 1
            self.turned(stage, event.at_us)

    def _resumed(self, event: e.ReservationResumed) -> None:
        stage = self._serving(event.reservation)
        if stage is not None and stage.since_us:
            stage.paused_us += event.at_us - stage.since_us
            stage.since_us = 0
            self.turned(stage, event.at_us)

    def _serving(self, reservation: ReservationId) -> Stage | None:
        stage = self.services.get(reservation)
        return stage if stage is not None and stage.contact.stage is stage else None

    def _wrap(self, event: e.WrapUpStarted) -> None:
        stage = self.services.get(event.reservation)
        if stage is not None:
            wrap = Wrap(stage.contact.id, stage.no, event.reservation, stage.agent, event.at_us)
            self.wraps[event.reservation] = wrap
            self.wrapping(wrap)

    def _over(self, event: e.ReservationEnded | e.ReservationFailed) -> None:
        self.services.pop(event.reservation, None)
        self.wraps.pop(event.reservation, None)

    def _handed_over(self, event: e.ReservationMoved) -> None:
        asked = self.lives.get(event.from_contact)
        taking = self.services.get(event.reservation)
        if taking is None:
            return
        if asked is not None:
            self._leave(asked, event.at_us)
        stage = self._enter(event.contact, Kind.SERVE, event.at_us)
        if stage is not None:
            stage.leg = 1
            self._serves(stage, event.reservation, taking.agent)
            self.began(stage, event.at_us)

    def _parked(self, event: e.ContactParked) -> None:
        stage = self._enter(event.contact, Kind.PARK, event.at_us)
        if stage is not None:
            self.began(stage, event.at_us)

    def _closed(self, event: e.ContactClosed) -> None:
        life = self.lives.pop(event.contact, None)
        if life is not None:
            self._leave(life, event.at_us)


def _ignore(_stage: Stage, _at_us: int) -> None:
    """Nobody asked."""


def _ignore_wrap(_wrap: Wrap) -> None:
    """Nobody asked."""


_HANDLERS: dict[type, Callable[[Stages, Any], None]] = {
    e.ContactReceived: Stages._received,
    e.ContactScheduled: Stages._scheduled,
    e.ContactQueued: Stages._queued,
    e.ContactReturned: Stages._returned,
    e.ContactOverflowed: Stages._moved,
    e.ContactSwitched: Stages._moved,
    e.RequirementsChanged: Stages._asked,
    e.ContactUpdated: Stages._updated,
    e.OfferAccepted: Stages._accepted,
    e.ReservationConnecting: Stages._connecting,
    e.ReservationConnected: Stages._connected,
    e.ReservationSuspended: Stages._suspended,
    e.ReservationResumed: Stages._resumed,
    e.WrapUpStarted: Stages._wrap,
    e.ReservationEnded: Stages._over,
    e.ReservationFailed: Stages._over,
    e.ReservationMoved: Stages._handed_over,
    e.ContactParked: Stages._parked,
    e.ContactClosed: Stages._closed,
}
