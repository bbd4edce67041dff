"""A contact centre in a few words: an engine, a clock, and short forms of the usual commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from router.core import commands as c
from router.core import events as e
from router.core.effects import Effect
from router.core.engine import Engine, Outcome
from router.core.model import (
    SECOND_US,
    Agent,
    AgentId,
    Contact,
    ContactId,
    Presence,
    QueueId,
    Reservation,
    ReservationId,
)
from router.core.policy import Policy, Profile, ProfileQueue, Queue, default_channels

START_US = 1_800_000_000 * SECOND_US
"""A Friday in January 2027, 08:00 UTC."""
E = TypeVar("E")


def policy(*queues: Queue, **changes: Any) -> Policy:
    """The default channels and these queues (or one, `q`); profile `all` serves them at rank 1."""
    queues = queues or (Queue(id=QueueId("q")),)
    served = tuple(ProfileQueue(queue=queue.id) for queue in queues)
    settings = {
        "version": "v1",
        "channels": default_channels(),
        "queues": {queue.id: queue for queue in queues},
        "profiles": {"all": Profile(id="all", queues=served)},
        **changes,
    }
    return Policy(**settings)


def profiles(**served: Iterable[tuple[str, int] | tuple[str, int, float]]) -> dict[str, Profile]:
    """``front=[("q", 1), ("r", 2, 30)]``: queue, rank, delay in seconds."""
    return {
        name: Profile(
            id=name,
            queues=tuple(
                ProfileQueue(
                    queue=QueueId(entry[0]),
                    rank=entry[1],
                    delay_us=int(entry[2] * SECOND_US) if len(entry) > 2 else 0,
                )
                for entry in entries
            ),
        )
        for name, entries in served.items()
    }


class Centre:
    """Says commands to an engine and keeps what came of the last one."""

    def __init__(self, settings: Policy | None = None) -> None:
        self.now_us = START_US
        self.engine = Engine(settings or policy(), now_us=START_US)
        self.effects: list[Effect] = []
        self.contact: ContactId | None = None

    def say(self, command: c.Command) -> list[e.Event]:
        """Deadlines first, then the command; raises Refused."""
        self.wait(0)
        return self._took(self.engine.handle(command, self.now_us))

    def wait(self, seconds: float) -> list[e.Event]:
        """Time passes; every deadline fires at its own moment."""
        until_us = self.now_us + int(seconds * SECOND_US)
        events: list[e.Event] = []
        effects: list[Effect] = []
        while (due_us := self.engine.next_deadline()) is not None and due_us <= until_us:
            self.now_us = max(self.now_us, due_us)
            events += self._took(self.engine.advance(self.now_us))
            effects += self.effects
        self.now_us = until_us
        self.effects = effects
        return events

    def _took(self, outcome: Outcome) -> list[e.Event]:
        self.effects, self.contact = outcome.effects, outcome.contact
        return outcome.events

    # --- short forms --------------------------------------------------------------------------

    def agent(
        self, id_: str, skills: dict[str, int] | None = None, *, ready: bool = True, **fields: Any
    ) -> list[e.Event]:
        """An agent of profile `all` unless told otherwise."""
        fields.setdefault("profile", "all")
        events = self.say(c.PutAgent(agent=AgentId(id_), skills=skills or {}, **fields))
        return events + (self.ready(id_) if ready else [])

    def ready(self, id_: str) -> list[e.Event]:
        return self.say(c.SetPresence(agent=AgentId(id_), presence=Presence.READY))

    def away(self, id_: str, presence: Presence = Presence.NOT_READY) -> list[e.Event]:
        return self.say(c.SetPresence(agent=AgentId(id_), presence=presence))

    def submit(self, id_: str, channel: str = "chat", **fields: Any) -> list[e.Event]:
        """A contact for queue `q` unless told otherwise."""
        if "entry_point" not in fields:
            fields.setdefault("queue", QueueId("q"))
        return self.say(c.SubmitContact(contact=ContactId(id_), channel=channel, **fields))

    def accept(self, contact: str) -> list[e.Event]:
        return self.say(c.AcceptOffer(reservation=self.offer_of(contact).id))

    def talk(self, contact: str) -> list[e.Event]:
        """Accept, and the media leg comes up."""
        events = self.accept(contact)
        if self.offer_of(contact).state == "connecting":
            events += self.say(c.ConnectReservation(reservation=self.offer_of(contact).id))
        return events

    def complete(self, contact: str) -> list[e.Event]:
        return self.say(c.CompleteContact(contact=ContactId(contact)))

    def finish(self, reservation: str) -> list[e.Event]:
        return self.say(c.FinishWrapUp(reservation=ReservationId(reservation)))

    # --- looking ------------------------------------------------------------------------------

    def of(self, contact: str) -> Contact:
        return self.engine.state.contacts[ContactId(contact)]

    def who(self, agent: str) -> Agent:
        return self.engine.state.agents[AgentId(agent)]

    def offer_of(self, contact: str) -> Reservation:
        """The contact's first open reservation."""
        return self.engine.state.reservations[self.of(contact).reservations[0]]

    def held_by(self, agent: str) -> dict[str, str]:
        """The agent's open reservations: contact to state."""
        seat = self.engine.state.roster.seats[AgentId(agent)]
        return {r.contact: r.state.value for r in seat.load.reservations.values()}

    def agents_of(self, contact: str) -> list[str]:
        """Who has open reservations of the contact."""
        return [self.engine.state.reservations[r].agent for r in self.of(contact).reservations]


def names(events: Iterable[e.Event]) -> list[str]:
    """Class names, to compare what happened."""
    return [type(event).__name__ for event in events]


def only(events: Iterable[e.Event], kind: type[E]) -> E:
    """The one event of this kind."""
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, f"expected one {kind.__name__}, got {len(found)}"
    return found[0]
