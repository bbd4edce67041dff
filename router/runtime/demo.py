"""The demo's people: customers who call, write and lose patience, agents who answer them.

They use the same doors as everybody: customers come through the loopback adapters, agents give
commands. An agent whose desk is open belongs to whoever opened it, and is left alone. All figures
are drawn from a seeded `random.Random`, so one seed gives one day.

Where the file has rules, half of the customers are regulars (`regulars.py`), and each of them is
to be reminded of something: when and how, the rules and what was learned decide.
"""

from __future__ import annotations

import itertools
import logging
import random
from typing import Any, NamedTuple, Protocol

from router.channel import Address, ChannelError, NewContact, Receipt
from router.core import commands as c
from router.core import events as e
from router.core.model import (
    AgentId,
    ContactId,
    ContactState,
    Direction,
    Presence,
    ReservationId,
)
from router.errors import RouterError
from router.runtime.clock import Clock, sleep
from router.runtime.host import Host
from router.runtime.intake import Routing
from router.runtime.regulars import Regular, make_known, regulars
from router.runtime.tasks import TaskSet

log = logging.getLogger("router.demo")

PER_MINUTE = 18
AT_ONCE = 5
"""How many come in the first seconds, so that there is something to see."""
MOST_LIVE = 80
REMIND_EVERY_S = (4, 9)
TEXTS_FROM = "+4930555300"
ANSWERED = 0.75
"""The share of messages in their hour that regulars answer."""
SECOND = 1_000_000


class Backend(Protocol):
    """The part of the loopback adapter that customers use."""

    name: str

    async def arrive(
        self, address: str, *, to: str = "", name: str = "", text: str = "", external_id: str = ""
    ) -> Receipt:
        """A customer calls or writes."""

    async def write(self, external_id: str, text: str) -> Receipt:
        """The customer writes again."""

    async def leave(self, external_id: str, reason: str = "hung up") -> None:
        """The customer goes."""


class Kind(NamedTuple):
    """One way in which customers come."""

    weight: int
    adapter: str
    to: str
    patience_s: tuple[float, float]
    talk_s: tuple[float, float]
    texts: tuple[str, ...]


KINDS = (
    Kind(5, "phones", "+4930555100", (20, 120), (15, 60), ()),
    Kind(2, "phones", "+4930555200", (30, 150), (20, 80), ()),
    Kind(1, "phones", "+4930555400", (20, 90), (15, 60), ()),
    Kind(
        3,
        "texts",
        "+4930555300",
        (0, 0),
        (15, 45),
        ("Is my table on its way?", "Which oil is right for oak?", "Can I pick it up on Saturday?"),
    ),
    Kind(
        3,
        "visitors",
        "site",
        (60, 240),
        (20, 70),
        ("Hi, is the bench in stock?", "Do you deliver to Potsdam?", "What does the shelf hold?"),
    ),
    Kind(
        2,
        "mail",
        "help@oak.example",
        (0, 0),
        (30, 90),
        ("The drawer sticks since it got warm.", "Please send me the invoice again."),
    ),
    Kind(1, "mail", "orders@oak.example", (0, 0), (30, 60), ("Two chairs as in order 4711.",)),
)
NAMES = ("Ada", "Bela", "Cleo", "Dana", "Eli", "Finn", "Gia", "Hugo", "Ida", "Jon", "Kim", "Lea")
REPLIES = ("Thank you!", "And how long does that take?", "Good, I will do that.")
ANSWERS = ("Let me look that up.", "Yes, it is in stock.", "We will see to it today.")


class Demo:
    """The people of one workspace."""

    def __init__(self, host: Host, clock: Clock, rng: random.Random) -> None:
        self._host = host
        self._clock = clock
        self._rng = rng
        self._tasks = TaskSet("demo")
        self._talk_s: dict[ContactId, tuple[float, float]] = {}
        self._line: dict[ContactId, tuple[Backend, str]] = {}
        self._regulars: list[Regular] = []

    def start(self) -> None:
        """Let them begin."""
        if self._host.workspace.policy.rules.is_asked:
            self._tasks.spawn(self._remind(), "reminders")
        self._tasks.spawn(self._agents(), "agents")
        self._tasks.spawn(self._customers(), "customers")

    async def stop(self) -> None:
        """Send them home."""
        await self._tasks.stop()

    # --- customers ----------------------------------------------------------------------------

    async def _customers(self) -> None:
        state = self._host.workspace.engine.state
        number = self._rng.randrange(1_000_000)
        for come in itertools.count():
            await self._pause(1 if come < AT_ONCE else self._rng.expovariate(PER_MINUTE / 60))
            if len(state.contacts) >= MOST_LIVE:
                continue
            number += 1
            kind = self._rng.choices(KINDS, [kind.weight for kind in KINDS])[0]
            backend: Any = self._host.channels.get(kind.adapter)
            if backend is not None:
                self._tasks.spawn(self._customer(kind, backend, number), "customer")

    async def _customer(self, kind: Kind, backend: Backend, number: int) -> None:
        rng = self._rng
        name, address = self._who(kind, number)
        external_id = f"demo-{number}"
        try:
            receipt = await backend.arrive(
                address,
                to=kind.to,
                name=name,
                text=rng.choice(kind.texts) if kind.texts else "",
                external_id=external_id,
            )
        except (RouterError, ChannelError) as error:
            log.debug("customer was turned away", extra={"why": str(error)})
            return
        contact = ContactId(receipt.contact)
        self._talk_s[contact] = kind.talk_s
        self._line[contact] = (backend, external_id)
        if kind.patience_s[1]:
            await self._pause(rng.uniform(*kind.patience_s))
            await self._lose_patience(contact, backend, external_id)

    def _who(self, kind: Kind, number: int) -> tuple[str, str]:
        """A customer's name and address: a stranger's, or a regular's."""
        rng = self._rng
        if self._regulars and kind.adapter != "visitors" and rng.random() < 0.5:
            person = rng.choice(self._regulars)
            return person.name, (person.email if "@" in kind.to else person.phone)
        address = f"+4930{number:07d}" if "@" not in kind.to else f"c{number}@mail.example"
        trouble = rng.random()
        if trouble < 0.02:  # failures on demand: adapters/loopback
            address += "#slow" if trouble < 0.01 else "#fail"
        return rng.choice(NAMES), address

    async def _remind(self) -> None:
        """Regulars are to be told that their table wants oil; once a day of the calendar."""
        now_us = self._clock.now_us()
        people = regulars(now_us)
        await make_known(self._host, people, now_us)
        self._regulars = people
        day = now_us // (86_400 * SECOND)
        for person in people:
            try:
                await self._host.intake.submit(
                    NewContact(
                        external_id=f"{person.id}-{day}",
                        customer=Address(address=person.phone, name=person.name),
                        to=TEXTS_FROM,
                        attributes={"topic": "yearly oil"},
                    ),
                    "sms",
                    routing=Routing(direction=Direction.OUTBOUND),
                )
            except RouterError as error:
                log.debug("not reminded", extra={"why": str(error)})
            await self._pause(self._rng.uniform(*REMIND_EVERY_S))

    async def _answer(self, id_: ContactId) -> None:
        """A regular answers the message that went out to them, or does not."""
        await self._pause(self._rng.uniform(4, 12))
        contact = self._host.workspace.engine.state.contacts.get(id_)
        backend: Any = self._host.channels.get("texts")
        if contact is None or backend is None or self._rng.random() > ANSWERED:
            return
        self._line[id_] = (backend, contact.external_id)
        try:
            await backend.write(contact.external_id, "YES")
        except (RouterError, ChannelError) as error:
            log.debug("did not answer", extra={"why": str(error)})

    async def _lose_patience(self, id_: ContactId, backend: Backend, external_id: str) -> None:
        contact = self._host.workspace.engine.state.contacts.get(id_)
        if contact is not None and contact.state in (ContactState.QUEUED, ContactState.OFFERED):
            try:
                await backend.leave(external_id)
            except (RouterError, ChannelError) as error:
                log.debug("could not leave", extra={"why": str(error)})

    # --- agents -------------------------------------------------------------------------------

    async def _agents(self) -> None:
        workspace = self._host.workspace
        stream = workspace.feed.subscribe()
        try:
            for agent in list(workspace.engine.state.agents.values()):
                if agent.presence is not Presence.READY and not self._host.desks.has(agent.id):
                    await self._say(c.SetPresence(agent=agent.id, presence=Presence.READY))
            for reservation in list(workspace.engine.state.reservations.values()):
                self._tasks.spawn(self._serve(reservation.id, reservation.agent), "resumed")
            while items := await stream.batch():
                for _, event in items:
                    self._react(event)
        finally:
            stream.close()

    def _react(self, event: e.Event) -> None:
        if isinstance(event, e.ContactOffered):
            self._tasks.spawn(self._serve(event.reservation, event.agent), "serve")
        elif isinstance(event, e.OutboundSent) and event.message:
            self._tasks.spawn(self._answer(event.contact), "answer")
        elif isinstance(event, e.PresenceChanged) and event.reason == "rona":
            self._tasks.spawn(self._come_back(event.agent), "back")
        elif isinstance(event, e.ContactClosed):
            self._talk_s.pop(event.contact, None)
            self._line.pop(event.contact, None)

    async def _come_back(self, agent: AgentId) -> None:
        await self._pause(self._rng.uniform(10, 30))
        if not self._host.desks.has(agent):
            await self._say(c.SetPresence(agent=agent, presence=Presence.READY))

    async def _serve(self, reservation: ReservationId, agent: AgentId) -> None:
        """One agent's part in one contact: answer (or miss it), talk, end, finish wrap-up."""
        rng = self._rng
        await self._pause(rng.uniform(1.5, 5))
        if self._host.desks.has(agent):
            return
        row = self._host.workspace.engine.state.reservations.get(reservation)
        if row is None:
            return
        if row.state == "offered":
            if rng.random() < 0.04:  # looks away: the offer expires (RONA)
                return
            if rng.random() < 0.03:
                await self._say(c.RejectOffer(reservation=reservation, reason="busy"))
                return
            await self._say(c.AcceptOffer(reservation=reservation))
        shortest, longest = self._talk_s.get(row.contact, (15, 45))
        length_s = rng.uniform(shortest, longest)
        if row.channel != "voice":
            await self._pause(length_s / 3)
            await self._talk(row.contact, agent)
            length_s *= 2 / 3
        await self._pause(length_s)
        if self._host.desks.has(agent):
            return
        contact = self._host.workspace.engine.state.contacts.get(row.contact)
        if contact is not None and reservation in contact.reservations:
            await self._say(c.CompleteContact(contact=row.contact, disposition="solved"))
        await self._pause(rng.uniform(2, 8))
        still = self._host.workspace.engine.state.reservations.get(reservation)
        if still is not None and still.state == "wrapping":
            await self._say(c.FinishWrapUp(reservation=reservation))

    async def _talk(self, contact: ContactId, agent: AgentId) -> None:
        """A line from the agent, and one back."""
        if contact not in self._host.workspace.engine.state.contacts:
            return
        try:
            await self._host.intake.send(contact, self._rng.choice(ANSWERS), agent=agent)
            await self._pause(self._rng.uniform(2, 5))
            line = self._line.get(contact)
            if line is not None and contact in self._host.workspace.engine.state.contacts:
                await line[0].write(line[1], self._rng.choice(REPLIES))
        except (RouterError, ChannelError) as error:
            log.debug("not said", extra={"why": str(error)})

    async def _say(self, command: c.Command) -> None:
        try:
            await self._host.workspace.ask(command)
        except RouterError as error:
            log.debug("not done", extra={"command": type(command).__name__, "why": str(error)})

    async def _pause(self, seconds: float) -> None:
        await sleep(self._clock, int(seconds * SECOND))
