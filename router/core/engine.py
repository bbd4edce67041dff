"""Decides. Three calls: `handle(command, now)`, `advance(now)`, `next_deadline()`.

Pure: no clock, no randomness, no waiting. Each call returns what happened (`events`, which the
runtime makes durable) and what must then be done (`effects`). The handlers stand beside this file,
one file for each group of commands: `arrivals`, `asking`, `calls`, `customer_care`, `moves`,
`offers`, `service`, `staff`; what happens by itself is in `deadlines`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.core import arrivals, asking, calls, customer_care, moves, offers, service, staff
from router.core.commands import Command, SubmitContact
from router.core.deadlines import fire
from router.core.decide import Decider
from router.core.effects import Effect, OfferContact
from router.core.evaluation import Evaluation, evaluate, evaluate_live
from router.core.events import Event
from router.core.facts import Facts
from router.core.model import ContactId, QueueId, Requirements, ReservationState
from router.core.policy import Policy
from router.core.relaxation import Reach, preview
from router.core.restart import lay_out
from router.core.state import State
from router.errors import NotFound

HANDLERS: dict[type, Callable[[Decider, Any], None]] = {
    **arrivals.HANDLERS,
    **asking.HANDLERS,
    **calls.HANDLERS,
    **customer_care.HANDLERS,
    **moves.HANDLERS,
    **offers.HANDLERS,
    **service.HANDLERS,
    **staff.HANDLERS,
}
TIMERS_A_TURN = 1000
"""Most deadlines fired by one `advance`."""


class Outcome:
    """What one call led to."""

    __slots__ = ("contact", "effects", "events")

    def __init__(
        self, events: list[Event], effects: list[Effect], contact: ContactId | None = None
    ) -> None:
        self.events = events
        self.effects = effects
        self.contact = contact
        """The contact that the command ended up at; it may have existed before."""


class Engine:
    """One workspace's decisions. Not thread-safe, has no loop, knows no store."""

    def __init__(self, policy: Policy, state: State | None = None, now_us: int = 0) -> None:
        self.state = state if state is not None else State()
        self._decider = Decider(self.state)
        self._decider.now_us = now_us
        self._decider.use(staff.keeping_live(self._decider, policy))

    @property
    def policy(self) -> Policy:
        """The settings in force."""
        return self.state.policy

    @property
    def now_us(self) -> int:
        """The latest moment the engine was told."""
        return self._decider.now_us

    def handle(self, command: Command, now_us: int) -> Outcome:
        """Decide one command; raises Refused (nothing changed). Call `advance(now_us)` first."""
        d = self._begin(now_us)
        HANDLERS[type(command)](d, command)
        d.settle()
        return Outcome(d.events, d.effects, d.contact_id)

    def advance(self, now_us: int) -> Outcome:
        """Fire what is due at `now_us`, a bounded number; `next_deadline` says if more is left."""
        d = self._begin(now_us)
        for _ in range(TIMERS_A_TURN):
            due = self.state.timers.pop(d.now_us)
            if due is None:
                break
            fire(d, due[1])
        # All that is over takes effect before anything is matched.
        d.settle()
        return Outcome(d.events, d.effects)

    def next_deadline(self) -> int | None:
        """When `advance` should be called next; None = only a command can change anything."""
        return self.state.timers.next()

    def resume(self, now_us: int) -> Outcome:
        """After loading rows: lay out the indexes, give deadlines grace, restate open offers."""
        d = self._begin(now_us)
        if self.state.totals.clock_offset_us:  # engine time begins at the wall clock's anew
            self.state.totals.clock_offset_us = 0
            self.state.touch_totals()
        d.use(staff.keeping_live(d, self.policy))
        lay_out(self.state, d.now_us, self.policy.grace_us)
        staff.drop_pauses(d)  # the file may have been changed meanwhile
        for reservation in self.state.reservations.values():
            if reservation.state is not ReservationState.OFFERED:
                calls.restate(d, reservation)
                continue
            agent = self.state.agents[reservation.agent]
            d.effects.append(
                OfferContact(
                    channel=reservation.channel,
                    contact=reservation.contact,
                    reservation=reservation.id,
                    agent=agent.id,
                    endpoint=agent.endpoints.get(reservation.channel, ""),
                    deadline_at_us=reservation.deadline_at_us,
                )
            )
        for contact in self.state.contacts.values():
            if contact.question is not None:
                asking.put_question(d, contact)
        d.try_all_later()
        for agent_id in self.state.agents:
            d.fill_later(agent_id)
        # Matched by the first `advance`, after what fell due meanwhile has taken effect.
        self.state.timers.set(("resume",), d.now_us)
        return Outcome(d.events, d.effects)

    def preview(self, queue: QueueId, channel: str, asked: Requirements) -> list[Reach]:
        """Whom each relaxation step of the queue would reach now. Raises NotFound."""
        settings = self.policy.queues.get(queue)
        if settings is None:
            raise NotFound("queue", queue)
        if channel not in self.policy.channels:
            raise NotFound("channel", channel)
        return preview(self._decider, settings, channel, asked)

    def evaluate(
        self, asked: SubmitContact | ContactId, now_us: int, leaving: Facts | None = None
    ) -> Evaluation:
        """What would happen to this contact now, arriving or live, and why; changes nothing.

        `leaving`: what is known when it goes out, on the terms that rules set; None = as on
        arrival. Raises NotFound, and what is wrong with a command, but for what rules reject.
        """
        d = Decider(self.state)  # of its own: what it looks up and notes decides nothing
        d.now_us = max(self._decider.now_us, now_us)
        if isinstance(asked, SubmitContact):
            return evaluate(d, asked, leaving)
        return evaluate_live(d, d.contact(asked))

    def _begin(self, now_us: int) -> Decider:
        d = self._decider
        d.now_us = max(d.now_us, now_us)
        d.events, d.effects, d.contact_id = [], [], None
        return d
