"""A long virtual day at a steady rate: does memory stay flat, and do the rules hold at the end?

Run: ``python -m router.testing.soak [--hours 24] [--rate 20] [--seed 1]``. About 1.7 million
contacts in 24 hours at 20 a second; the auditor samples its scans.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from router.core import commands as c
from router.core import events as e
from router.core.engine import Engine, Outcome
from router.core.model import (
    SECOND_US,
    AgentId,
    ContactId,
    ContactOutcome,
    Presence,
    QueueId,
)
from router.core.policy import (
    Action,
    ActionKind,
    Channel,
    Decline,
    Limit,
    MissAction,
    Policy,
    Profile,
    ProfileQueue,
    Queue,
    Step,
)
from router.errors import Refused
from router.testing.auditor import Auditor
from router.testing.worlds import START_US

HOUR_US = 3600 * SECOND_US
SKILLS = ("en", "de", "fr", "billing", "tech")
QUEUES = tuple(QueueId(name) for name in ("care", "sales", "tech", "mail"))
MIX = (("voice", 0.45), ("chat", 0.3), ("sms", 0.15), ("email", 0.1))
HANDLING_S = {"voice": 40.0, "chat": 90.0, "sms": 60.0, "email": 80.0}
WARM_UP_HOURS = 2.0


@dataclass(slots=True)
class Sample:
    """Sizes at one moment."""

    hour: float
    rss_mb: float
    contacts: int
    reservations: int
    timers: int
    shared_dues: int
    waiting: int


@dataclass(slots=True)
class SoakReport:
    """What a soak came to."""

    contacts: int
    events: int
    samples: list[Sample]
    violations: list[str]
    outcomes: dict[str, int]

    @property
    def growth_mb_an_hour(self) -> float:
        """Slope of resident memory after the warm-up, by least squares."""
        points = [(s.hour, s.rss_mb) for s in self.samples if s.hour >= WARM_UP_HOURS]
        if len(points) < 2:
            return 0.0
        mean_x = sum(x for x, _ in points) / len(points)
        mean_y = sum(y for _, y in points) / len(points)
        spread = sum((x - mean_x) ** 2 for x, _ in points)
        return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


class Soak:
    """Customers and agents of a big, well-run centre, on a virtual clock."""

    def __init__(self, rate: float, seed: int) -> None:
        self.rng = Random(seed)
        self.rate = rate
        self.policy = _policy()
        self.engine = Engine(self.policy)
        self.auditor = Auditor(self.policy, sample=997)
        self.now_us = START_US
        self.submitted = 0
        self.events = 0
        self._due: list[tuple[int, int, c.Command]] = []
        self._order = 0
        for number in range(1, int(rate * 55) + 1):
            agent = AgentId(f"a{number:04d}")
            skills = {skill: self.rng.randint(1, 5) for skill in self.rng.sample(SKILLS, 3)}
            profile = "mails" if number % 8 == 0 else f"p{number % 3}"
            self._handle(c.PutAgent(agent=agent, skills=skills, profile=profile))
            self._handle(c.SetPresence(agent=agent, presence=Presence.READY))

    def run(self, hours: float, tell: Callable[[Sample], None]) -> SoakReport:
        """So many virtual hours, then until everybody has gone; `tell` hears each sample."""
        samples = []
        next_us = START_US
        step_us = round(hours / 24 * HOUR_US)
        end_us = START_US + round(hours * HOUR_US)
        sample_at_us = START_US
        while True:
            arrives = next_us < end_us
            due_us = self._due[0][0] if self._due else None
            if self.now_us >= sample_at_us and arrives:
                samples.append(self._sample())
                tell(samples[-1])
                sample_at_us += step_us
            if arrives and (due_us is None or next_us <= due_us):
                self._at(next_us, self._submit())
                next_us += round(self.rng.expovariate(self.rate) * SECOND_US)
            elif due_us is not None:
                at_us, _, command = heapq.heappop(self._due)
                self._at(at_us, command)
            elif self.engine.state.contacts and (deadline := self.engine.next_deadline()):
                self._pass_time(deadline)
            else:
                break
        self._pass_time(self.now_us + HOUR_US)
        samples.append(self._sample())
        self.auditor.finish()
        outcomes = {o.value: self.auditor.closed[o] for o in ContactOutcome}
        violations = [str(violation) for violation in self.auditor.violations]
        return SoakReport(self.submitted, self.events, samples, violations, outcomes)

    def _at(self, at_us: int, command: c.Command) -> None:
        self._pass_time(at_us)
        self._handle(command)

    def _pass_time(self, until_us: int) -> None:
        while (due_us := self.engine.next_deadline()) is not None and due_us <= until_us:
            self.now_us = max(self.now_us, due_us)
            self._take(self.engine.advance(self.now_us))
        self.now_us = max(self.now_us, until_us)

    def _handle(self, command: c.Command) -> None:
        try:
            self._take(self.engine.handle(command, self.now_us))
        except Refused:
            self.engine.state.drain()

    def _take(self, outcome: Outcome) -> None:
        self.engine.state.drain()
        self.events += len(outcome.events)
        self.auditor.frame(outcome.events, self.now_us)
        for event in outcome.events:
            self._react(event)

    def _react(self, event: e.Event) -> None:
        """What customers and agents do next."""
        rng = self.rng
        match event:
            case e.ContactOffered():
                luck = rng.random()
                if luck < 0.95:
                    accept = c.AcceptOffer(reservation=event.reservation)
                    self._later(rng.uniform(0.5, 4.0), accept)
                elif luck < 0.98:
                    reject = c.RejectOffer(reservation=event.reservation)
                    self._later(rng.uniform(0.5, 6.0), reject)
            case e.ReservationConnecting():
                connect = c.ConnectReservation(reservation=event.reservation)
                self._later(rng.uniform(0.2, 2.0), connect)
            case e.ReservationConnected():
                reservation = self.auditor.world.reservations[event.reservation]
                mean_s = HANDLING_S[reservation.channel]
                complete = c.CompleteContact(contact=reservation.contact)
                parks = reservation.channel in ("chat", "sms") and rng.random() < 0.1
                park = c.ParkContact(contact=reservation.contact)
                self._later(rng.expovariate(1 / mean_s), park if parks else complete)
            case e.ContactParked():
                back_s = rng.expovariate(1 / 300)
                self._later(back_s, self._reply(event.contact))
            case e.PresenceChanged() if event.presence is Presence.NOT_READY:
                back = c.SetPresence(agent=event.agent, presence=Presence.READY)
                self._later(rng.uniform(20, 600), back)
            case _:
                pass

    def _reply(self, contact: ContactId) -> c.Command:
        row = self.auditor.world.contacts[contact]
        fresh = c.SubmitContact(
            contact=ContactId(f"{contact}+"),
            channel=row.channel,
            queue=row.queue,
            peer_key=row.peer_key,
        )
        return c.ReceiveMessage(message=f"m{contact}", size=10, contact=fresh)

    def _submit(self) -> c.Command:
        rng = self.rng
        self.submitted += 1
        contact = ContactId(f"c{self.submitted}")
        channel = rng.choices([name for name, _ in MIX], [weight for _, weight in MIX])[0]
        queue = QUEUES[3] if channel == "email" else rng.choice(QUEUES[:3])
        if channel == "voice":
            patience_s = rng.expovariate(1 / 240)
            self._later(patience_s, c.AbandonContact(contact=contact))
        elif rng.random() < 0.002:
            agent = AgentId(f"a{rng.randint(1, int(self.rate * 55)):04d}")
            leave = c.SetPresence(agent=agent, presence=Presence.NOT_READY, reason="break")
            self._later(1.0, leave)
        asks = ((rng.choice(SKILLS), rng.randint(1, 4)),) if rng.random() < 0.6 else ()
        return c.SubmitContact(
            contact=contact,
            channel=channel,
            queue=queue,
            requirements=asks,
            head_start_us=rng.choice((0, 0, 30, 120)) * SECOND_US,
            external_id=f"x{self.submitted}",
            peer_key=f"peer{self.submitted}",
        )

    def _later(self, after_s: float, command: c.Command) -> None:
        self._order += 1
        heapq.heappush(self._due, (self.now_us + round(after_s * SECOND_US), self._order, command))

    def _sample(self) -> Sample:
        state = self.engine.state
        return Sample(
            hour=(self.now_us - START_US) / HOUR_US,
            rss_mb=_rss_mb(),
            contacts=len(state.contacts),
            reservations=len(state.reservations),
            timers=len(state.timers),
            shared_dues=sum(len(dues) for dues in state.dues.values()),
            waiting=len(state.waiting),
        )


def _policy() -> Policy:
    lower = tuple(
        Action(kind=ActionKind.LOWER, skill=skill, level=level)
        for skill in SKILLS
        for level in (1,)
    )
    settings = {
        queue: Queue(
            id=queue,
            steps=(Step(name="lower", after_us=60 * SECOND_US, actions=lower),),
            offer_timeout_us=15 * SECOND_US,
            wrap_up_us={"voice": 5 * SECOND_US},
            longest_wait_us=HOUR_US,
            on_late=Limit(),
            decline=Decline(on_miss=MissAction.NOT_READY, cool_down_us=20 * SECOND_US),
        )
        for queue in QUEUES
    }
    profiles = {
        f"p{number}": Profile(
            id=f"p{number}",
            queues=(
                ProfileQueue(queue=QUEUES[number]),
                ProfileQueue(queue=QUEUES[(number + 1) % 3], rank=2, delay_us=15 * SECOND_US),
                ProfileQueue(queue=QUEUES[3], rank=3, delay_us=60 * SECOND_US),
            ),
        )
        for number in range(3)
    }
    profiles["mails"] = Profile(id="mails", queues=(ProfileQueue(queue=QUEUES[3]),))
    parks = {"parks": True, "close_after_us": HOUR_US, "prefer_last_us": 60 * SECOND_US}
    return Policy(
        version="soak",
        channels={
            "voice": Channel(name="voice", cost=100, maximum=1, media=True, interrupts=("email",)),
            "chat": Channel(name="chat", cost=33, maximum=3, **parks),  # type: ignore[arg-type]
            "sms": Channel(name="sms", cost=20, maximum=5, tier=1, **parks),  # type: ignore[arg-type]
            "email": Channel(name="email", cost=10, maximum=10, tier=1),
        },
        queues=settings,
        profiles=profiles,
    )


def _rss_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(
    hours: float = 24.0,
    rate: float = 20.0,
    seed: int = 1,
    tell: Callable[[Sample], None] = lambda _: None,
) -> SoakReport:
    """A day at `rate` contacts a second."""
    return Soak(rate, seed).run(hours, tell)


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, print the sizes, and say whether memory stayed flat."""
    parser = argparse.ArgumentParser(prog="python -m router.testing.soak")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--rate", type=float, default=20.0, help="contacts a second")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)

    def tell(sample: Sample) -> None:
        sys.stdout.write(f"{sample}\n")
        sys.stdout.flush()

    report = soak(options.hours, options.rate, options.seed, tell)
    sys.stdout.write(f"{report.contacts} contacts, {report.events} events, {report.outcomes}\n")
    sys.stdout.write(f"memory grows by {report.growth_mb_an_hour:.3f} MB an hour\n")
    sys.stdout.writelines(f"{violation}\n" for violation in report.violations)
    return 1 if report.violations or report.growth_mb_an_hour > 1.0 else 0


if __name__ == "__main__":
    sys.exit(main())
