"""The simulator: a seeded day in a small contact centre, with everything going wrong, audited.

Virtual time, a store in memory, an outside world that loses, doubles, delays and reorders what it
is told, agents who vanish, crashes before and after a commit. First *safety* (anything may happen,
the auditor watches), then *liveness* (everybody cooperates, and the house must become empty).

Run: ``python -m router.testing.simulator --seed N [--steps N] [--count N]``; a failure prints the
command that repeats it.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec

from router.core import commands as c
from router.core import effects as f
from router.core import events as e
from router.core.engine import Engine, Outcome
from router.core.model import SECOND_US, AgentId, ReservationState
from router.core.record import Row
from router.core.state import ROWS, State
from router.errors import Refused
from router.testing import consistency
from router.testing.auditor import Auditor, Violation
from router.testing.scenario_words import event_line
from router.testing.workload import Workload
from router.testing.worlds import START_US, random_agent, random_policy

STEPS = 200
MOST_TURNS = 200
"""`advance` calls at one moment; more is an engine that turns in a circle."""
CALM_STEPS = 3000


@dataclass(slots=True)
class Report:
    """What one seed came to."""

    seed: int
    steps: int
    violations: list[Violation] = field(default_factory=list)
    crash: str = ""
    """The traceback of an engine that broke."""
    digest: str = ""
    """SHA-256 over the bytes of all committed events."""
    events: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """Nothing was broken."""
        return not self.violations and not self.crash

    def __str__(self) -> str:
        lines = [str(violation) for violation in self.violations]
        lines += [self.crash] if self.crash else []
        again = f"python -m router.testing.simulator --seed {self.seed} --steps {self.steps}"
        return "\n".join([*lines, f"repeat: {again}"])


class Store:
    """The journal as far as the engine needs one: rows and event bytes, committed together."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], bytes] = {}
        self.hash = hashlib.sha256()
        self._encode = msgspec.msgpack.Encoder().encode

    def commit(self, events: Sequence[e.Event], state: State) -> None:
        """One frame."""
        for event in events:
            self.hash.update(self._encode(event))
        changes = state.drain()
        for kind, id_, row in changes.upserts:
            self.rows[kind, id_] = self._encode(row)
        for key in changes.deletes:
            self.rows.pop(key, None)

    def load(self) -> State:
        """All rows, as after a restart."""
        state = State()
        for (kind, _), data in self.rows.items():
            row: Row = msgspec.msgpack.decode(data, type=ROWS[kind])
            state.load(kind, row)
        return state


class Outside:
    """Adapters, desks and customers: hears effects, answers with commands, not always, not once."""

    def __init__(self, rng: Random, fault: float) -> None:
        self._rng = rng
        self.fault = fault
        self._due: list[tuple[int, int, c.Command]] = []
        self._order = 0

    def hear(self, effects: Sequence[f.Effect], now_us: int) -> None:
        """Effects of a committed frame; some are lost, some heard twice."""
        for effect in effects:
            if self._rng.random() < self.fault:
                continue
            self._react(effect, now_us)
            if self._rng.random() < self.fault:
                self._react(effect, now_us)

    def next_at(self) -> int | None:
        """When the next answer comes."""
        return self._due[0][0] if self._due else None

    def pop(self) -> tuple[int, c.Command]:
        """The next answer and its moment."""
        at_us, _, command = heapq.heappop(self._due)
        return at_us, command

    def _react(self, effect: f.Effect, now_us: int) -> None:
        answer = self._answer(effect)
        if answer is None:
            return
        within_s = 60 if self._rng.random() < self.fault else 8  # late answers overtake others
        self._order += 1
        at_us = now_us + self._rng.randrange(1, within_s * SECOND_US)
        heapq.heappush(self._due, (at_us, self._order, answer))

    def _answer(self, effect: f.Effect) -> c.Command | None:
        luck = self._rng.random()
        match effect:
            case f.OfferContact():
                if luck < 0.6:
                    return c.AcceptOffer(reservation=effect.reservation, agent=effect.agent)
                if luck < 0.7:
                    return c.RejectOffer(reservation=effect.reservation, agent=effect.agent)
            case f.ConnectAgent():
                if luck < 0.8:
                    return c.ConnectReservation(reservation=effect.reservation)
                if luck < 0.95:
                    return c.FailReservation(
                        reservation=effect.reservation, reason="no answer", busy=luck < 0.9
                    )
            case f.StartContact():
                if luck < 0.3:
                    self._order += 1
                    there = f"out{self._order}"
                    return c.LinkContact(contact=effect.contact, external_id=there)
                if effect.reservation and luck < 0.8:
                    return c.ConnectReservation(reservation=effect.reservation)
                result = "done" if luck < 0.7 else "failed"
                return c.SettleEffect(
                    effect="e",
                    result=result,
                    contact=effect.contact,
                    reservation=effect.reservation,
                )
            case f.DeliverMessage():
                result = "done" if luck < 0.7 else "failed" if luck < 0.9 else "unknown"
                return c.SettleEffect(
                    effect="e", result=result, contact=effect.contact, message=effect.message
                )
            case f.CollectFromContact():
                late = luck > 0.8
                return c.ReportInput(
                    contact=effect.contact,
                    name=effect.name,
                    value="1",
                    ask=effect.ask,
                    timed_out=late,
                )
            case f.LoadCustomer():
                return c.ProvideCustomer(contact=effect.contact, customer=effect.customer)
            case _:
                pass
        return None


class Coarse(Random):
    """Draws moments and lengths in whole seconds, so that many things happen at one moment."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """As always, but long lengths are whole seconds."""
        value = super().randrange(start, stop, step)
        return value - value % SECOND_US if value >= SECOND_US else value


class Simulation:
    """One seed."""

    def __init__(self, seed: int, steps: int, *, trace: bool = False) -> None:
        self.rng = Coarse(seed) if seed % 4 == 0 else Random(seed)
        self.trace = trace
        self.report = Report(seed, steps)
        self.now_us = START_US + self.rng.randrange(4 * 3600 * SECOND_US)
        self.policy = random_policy(self.rng, version="v0", now_us=self.now_us)
        self.engine = Engine(self.policy)
        self.store = Store()
        self.auditor = Auditor(self.policy)
        fault = self.rng.choice((0.0, 0.03, 0.15))
        self.outside = Outside(self.rng, fault)
        self.crash_rate = self.rng.choice((0.0, 0.0, 0.02))
        self.workload = Workload(self.rng, self.auditor.world, most_live=self.rng.randint(5, 40))
        self.crashes = 0
        self._frame: list[e.Event] = []
        self._effects: list[f.Effect] = []
        self._pulled = ""
        self._told = consistency.Effects()
        self._log: list[e.Event] = []
        self._policies = {self.policy.version: self.policy}

    def run(self) -> Report:
        """Safety, then liveness."""
        try:
            self._set_up()
            for _ in range(self.report.steps):
                self._step()
                if self.auditor.violations:
                    break
            else:
                self._drain()
        except Exception:  # whatever breaks is what is looked for
            self.report.crash = traceback.format_exc(limit=-6)
        self.report.violations += self.auditor.violations
        self.report.events = self.auditor.events
        self.report.digest = self.store.hash.hexdigest()
        return self.report

    def _set_up(self) -> None:
        for number in range(1, self.rng.randint(1, 12) + 1):
            agent = AgentId(f"a{number:02d}")
            self._input(random_agent(self.rng, self.policy, agent))

    def _step(self) -> None:
        rng = self.rng
        mean_us = rng.choice((0.2, 2, 2, 10)) * SECOND_US
        wait_us = rng.randrange(int(rng.expovariate(1.0) * mean_us) + 1)
        until_us = self.now_us + wait_us
        while (at_us := self.outside.next_at()) is not None and at_us <= until_us:
            at_us, command = self.outside.pop()
            self._input(command, max(at_us, self.now_us))
        self._input(self.workload.next(), until_us)
        if rng.random() < self.crash_rate:
            self._crash()

    def _input(self, command: c.Command, at_us: int | None = None) -> None:
        """A command at its stamp: time first, then the command, then the commit."""
        if at_us is not None:
            self._pass_time(at_us)
        self._advance()
        self.report.commands[type(command).__name__] += 1
        if self.trace:
            sys.stdout.write(f"> {self.now_us - START_US} {command}\n")
        try:
            outcome = self.engine.handle(command, self.now_us)
        except Refused as refusal:
            self.report.refused[f"{type(command).__name__} {refusal.code}"] += 1
        else:
            if isinstance(command, c.PullContact):
                self._pulled = command.contact
            if isinstance(command, c.ApplyPolicy):
                self.policy = command.policy
                self._policies[self.policy.version] = self.engine.policy
                self.auditor.expect_policy(self.engine.policy)
            self._take(outcome)
            self._check_same_contact(command, outcome)
        lost = self.crash_rate and self.rng.random() < self.crash_rate / 10
        if lost:
            self._crash(uncommitted=True)
        else:
            self._advance()
            self._commit()

    def _check_same_contact(self, command: c.Command, outcome: Outcome) -> None:
        if isinstance(command, c.SubmitContact) and not outcome.contact:
            self._broken("I12", f"{command.contact}: the outcome names no contact")

    def _pass_time(self, until_us: int) -> None:
        """Each deadline on the way is a frame of its own."""
        while (due_us := self.engine.next_deadline()) is not None and due_us <= until_us:
            # A process that slept too long comes late to its deadlines.
            late_us = self.rng.randrange(SECOND_US) if self.rng.random() < 0.1 else 0
            self.now_us = max(self.now_us, min(until_us, due_us + late_us))
            self._advance()
            self._commit()
        self.now_us = max(self.now_us, until_us)

    def _advance(self) -> None:
        for _ in range(MOST_TURNS):
            due_us = self.engine.next_deadline()
            if due_us is None or due_us > self.now_us:
                return
            self._take(self.engine.advance(self.now_us))
        raise AssertionError(f"a deadline is still due after {MOST_TURNS} turns")

    def _take(self, outcome: Outcome) -> None:
        self._frame += outcome.events
        self._effects += outcome.effects

    def _commit(self) -> None:
        events, effects = self._frame, self._effects
        self._frame, self._effects = [], []
        if self.trace:
            sys.stdout.writelines(f"{event_line(event, START_US)}\n" for event in events)
        self.store.commit(events, self.engine.state)
        self._log += events if not self.crashes else []
        if events or effects:
            self.auditor.frame(events, self.now_us, pulled=self._pulled)
            world = self.auditor.world
            self._blame(self._told.check(world, events, effects, self.now_us))
            self._blame(consistency.memory(world, self.engine.state))
        self._pulled = ""
        self.outside.hear(effects, self.now_us)

    def _crash(self, *, uncommitted: bool = False) -> None:
        """The process dies, with or without an uncommitted frame; its rows are loaded again."""
        if not uncommitted:
            self._commit()
        else:
            self.engine.state.drain()
        self._frame, self._effects, self._pulled = [], [], ""
        self.crashes += 1
        if self.trace:
            sys.stdout.write(f"> {self.now_us - START_US} crash, uncommitted frame {uncommitted}\n")
        # Engine time begins at the wall clock's anew, but never below the last commit.
        self.now_us += max(0, self.auditor.world.clock_offset_us)
        self.now_us += self.rng.randrange(60 * SECOND_US)
        self.engine = Engine(self.policy, self.store.load())
        self.auditor.recovered(self.now_us, self.engine.policy)
        outcome = self.engine.resume(self.now_us)
        self._take(outcome)
        restated = {x.reservation for x in outcome.effects if isinstance(x, f.OfferContact)}
        self._advance()
        self._commit()
        for reservation in self.auditor.world.reservations.values():
            is_open = reservation.state is ReservationState.OFFERED
            older = is_open and reservation.offered_at_us < self.now_us
            if older and reservation.id not in restated:
                self._broken("I8", f"{reservation.id} is not restated after a restart")

    def _drain(self) -> None:
        """Liveness: no faults, everybody cooperates, nobody new comes."""
        self.outside.fault = 0.0
        self.crash_rate = 0.0
        while self.outside.next_at() is not None and not self.auditor.violations:
            at_us, command = self.outside.pop()
            self._input(command, max(at_us, self.now_us))
        for _ in range(CALM_STEPS):
            soothing = self.workload.soothing()
            if soothing is None or self.auditor.violations:
                break
            self._input(soothing, self.now_us + self.rng.randrange(SECOND_US))
        due_us = self.engine.next_deadline()
        if due_us is not None and not self.auditor.violations:
            self._pass_time(self.now_us + 3600 * SECOND_US)
        self.auditor.finish()
        self._blame(consistency.rows(self.store.rows, self.engine.state))
        if not self.crashes:
            self._blame(consistency.fold(self._log, self._policies, self.engine.state))

    def _blame(self, found: consistency.Broken) -> None:
        for id_, text in found:
            self._broken(id_, text)

    def _broken(self, id_: str, text: str) -> None:
        self.auditor.violations.append(Violation(id_, self.now_us, text))


def run(seed: int, steps: int = STEPS, *, trace: bool = False) -> Report:
    """Simulate one seed; `trace` prints all commands and events."""
    return Simulation(seed, steps, trace=trace).run()


def main(
    arguments: Sequence[str] | None = None, prog: str = "python -m router.testing.simulator"
) -> int:
    """Simulate seeds; print what breaks. Returns how many seeds broke."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="so many seeds from --seed on")
    parser.add_argument("--steps", type=int, default=STEPS, help="commands of each seed")
    parser.add_argument("--most", type=int, default=10, help="stop after so many broken seeds")
    parser.add_argument("--trace", action="store_true", help="print all commands and events")
    parser.add_argument("--digest", action="store_true", help="print the digest of each seed")
    options = parser.parse_args(arguments)
    broken = 0
    events: Counter[str] = Counter()
    for seed in range(options.seed, options.seed + options.count):
        report = run(seed, options.steps, trace=options.trace)
        events.update(report.events)
        if options.digest:
            sys.stdout.write(f"{seed} {report.digest}\n")
        if not report.is_clean:
            broken += 1
            sys.stdout.write(f"{report}\n\n")
            sys.stdout.flush()
            if broken >= options.most:
                break
    sys.stdout.write(f"{options.count} seeds, {broken} broken, {sum(events.values())} events\n")
    return broken


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
