"""Seeded input about calls for the simulator: conferences, listeners, recordings, hang-ups.

Beside `workload.py`, so that what a seed has always drawn stays what it was.
"""

from __future__ import annotations

from random import Random

from router.core import commands as c
from router.core.model import Contact, ContactId, ReservationState
from router.testing.naive import World
from router.testing.workload import Workload


class CallWorkload(Workload):
    """Draws calls' commands among the others; about one in three."""

    def __init__(self, rng: Random, world: World, *, most_live: int = 40) -> None:
        super().__init__(rng, world, most_live=most_live)
        self._begun: dict[ContactId, str] = {}
        """The last monitor asked for on a contact: the same again is another mode."""

    def next(self) -> c.Command:
        """Something that may happen now."""
        if self._rng.random() < 0.33:
            for kind in self._rng.sample(CALLS, 6):
                command = kind(self)
                if command is not None:
                    return command
        return super().next()

    def _talking(self) -> Contact | None:
        """A contact on a channel with media that somebody serves."""
        media = self._world.policy.channels
        found = [
            contact
            for r in self._world.reservations.values()
            if r.state is ReservationState.CONNECTED
            and (contact := self._world.contacts.get(r.contact)) is not None
            and contact.channel in media
            and media[contact.channel].media
        ]
        return self._rng.choice(found) if found else None

    def _equip(self) -> c.Command | None:
        """An agent gets a phone."""
        bare = [agent for agent in self._world.agents.values() if not agent.endpoints]
        if not bare:
            return None
        agent = self._rng.choice(bare)
        return c.PutAgent(
            agent=agent.id,
            name=agent.name,
            skills=agent.skills,
            profile=agent.profile,
            capacity=agent.capacity,
            maximum=agent.maximum,
            endpoints={"voice": f"SIP/{agent.id}"},
            auto_accept=agent.auto_accept,
        )

    def _consult_call(self) -> c.Command | None:
        return self._consult() if self._talking() else None

    def _take_consult(self) -> c.Command | None:
        """Whoever is asked takes it."""
        for reservation in self._world.reservations.values():
            contact = self._world.contacts.get(reservation.contact)
            if contact is None or not contact.consult_of:
                continue
            match reservation.state:
                case ReservationState.OFFERED:
                    return c.AcceptOffer(reservation=reservation.id)
                case ReservationState.ACCEPTED | ReservationState.CONNECTING:
                    return c.ConnectReservation(reservation=reservation.id)
                case _:
                    pass
        return None

    def _confer(self) -> c.Command | None:
        asked = {
            contact.consult_of: None
            for r in self._world.reservations.values()
            if r.state is ReservationState.CONNECTED
            and (contact := self._world.contacts.get(r.contact)) is not None
        }
        asking = [contact for id_ in asked if (contact := self._world.contacts.get(id_))]
        if not asking:
            return None
        contact = self._rng.choice(asking)
        return c.SetConference(contact=contact.id, together=self._rng.random() < 0.7)

    def _monitor(self) -> c.Command | None:
        contact = self._talking()
        if contact is None:
            return None
        monitor = self._begun.get(contact.id, "")
        if not monitor or self._rng.random() < 0.5:
            self._number += 1
            monitor = self._begun[contact.id] = f"l{self._number}"
        return c.StartMonitor(
            contact=contact.id,
            monitor=monitor,
            agent=self._some_agent(1.0),
            mode=self._rng.choice(("listen", "whisper", "barge")),
            by="lead",
        )

    def _stop_monitor(self) -> c.Command | None:
        monitors = list(self._begun.values())
        return c.EndMonitor(monitor=self._rng.choice(monitors), reason="bye") if monitors else None

    def _record(self) -> c.Command | None:
        contact = self._talking()
        if contact is None:
            return None
        return c.RecordCall(contact=contact.id, on=self._rng.random() < 0.7)

    def _lose_recording(self) -> c.Command | None:
        contact = self._talking()
        if contact is None or not contact.reservations:
            return None
        recording = f"{contact.id}-{contact.reservations[0]}-1"
        return c.FailRecording(recording=recording, reason="disk full")

    def _hang_up(self) -> c.Command | None:
        found = [*self._world.reservations.values()]
        return c.AgentHungUp(reservation=self._rng.choice(found).id) if found else None


CALLS = (
    CallWorkload._equip,
    CallWorkload._consult_call,
    CallWorkload._take_consult,
    CallWorkload._take_consult,
    CallWorkload._confer,
    CallWorkload._confer,
    CallWorkload._monitor,
    CallWorkload._monitor,
    CallWorkload._stop_monitor,
    CallWorkload._record,
    CallWorkload._record,
    CallWorkload._lose_recording,
    CallWorkload._hang_up,
)
