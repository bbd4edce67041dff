"""Planted bugs: each breaks the engine in one way, so that it can be seen that this is found.

``with PLANTS["level off by one"]():`` runs the planted engine. Run
``python -m router.testing.plants`` to see after how many seeds each one is caught.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from router.core import capacity, deadlines, edges, lifecycle, matching, offers, queues, relaxation
from router.core import events as e
from router.core import roster as rosters
from router.core import state as states
from router.core.capacity import Load
from router.core.decide import Decider
from router.core.matching import Matcher
from router.core.model import (
    Contact,
    ContactState,
    Requirements,
    Reservation,
    ReservationState,
)
from router.core.policy import Channel
from router.core.reservations import Reservations
from router.core.roster import Roster, Seat, Shelf
from router.core.state import State
from router.testing.simulator import Report, run

K = TypeVar("K")
V = TypeVar("V")
MOST_SEEDS = 60
PLANTS: dict[str, Callable[[], AbstractContextManager[None]]] = {}


def plant(name: str) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Iterator[None]]]:
    """Register a planted bug under its name."""

    def register(make: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        PLANTS[name] = contextmanager(make)
        return make

    return register


@contextmanager
def put(owner: object, name: str, value: object) -> Iterator[None]:
    """An attribute is another one for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def entry(table: MutableMapping[K, V], key: K, value: V | None) -> Iterator[None]:
    """An entry of a table is another one, or missing, for a while."""
    before = table.get(key)
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
    try:
        yield
    finally:
        if before is None:
            table.pop(key, None)
        else:
            table[key] = before


@plant("level off by one")
def _level() -> Iterator[None]:
    def meets(levels: Mapping[str, int], requirements: Requirements) -> bool:
        return all(levels.get(skill, 0) + 1 >= level for skill, level in requirements)

    with put(matching, "meets", meets), put(rosters, "meets", meets):
        yield


@plant("tier inverted")
def _tier() -> Iterator[None]:
    def key_of(contact: Contact) -> tuple[int, int, int]:
        due_us = contact.due_at_us - contact.head_start_us
        return (-contact.tier, due_us, contact.arrival_no)

    with put(queues, "key_of", key_of):
        yield


@plant("head start counted the wrong way")
def _head_start() -> Iterator[None]:
    def key_of(contact: Contact) -> tuple[int, int, int]:
        due_us = contact.due_at_us + contact.head_start_us
        return (contact.tier, due_us, contact.arrival_no)

    with put(queues, "key_of", key_of):
        yield


@plant("capacity counted late")
def _late_capacity() -> Iterator[None]:
    def add(load: Load, reservation: Reservation) -> None:
        load.reservations[reservation.id] = reservation
        load.counts[reservation.channel] = load.counts.get(reservation.channel, 0) + 1
        load.units = _counted(load)

    def remove(load: Load, reservation: Reservation) -> None:
        del load.reservations[reservation.id]
        load.counts[reservation.channel] -= 1
        load.units = _counted(load)

    def _counted(load: Load) -> int:
        asked = ReservationState.OFFERED
        return sum(r.units for r in load.reservations.values() if r.state is not asked)

    with put(Load, "add", add), put(Load, "remove", remove):
        yield


@plant("no retry after wrap-up")
def _edge_wrap_up() -> Iterator[None]:
    with entry(edges.EDGES, e.ReservationEnded, None):
        yield


@plant("no retry after a cool-down")
def _edge_cool_down() -> Iterator[None]:
    with entry(edges.EDGES, e.CoolDownEnded, None):
        yield


@plant("no retry after a step")
def _edge_step() -> Iterator[None]:
    with entry(edges.EDGES, e.ContactRelaxed, None):
        yield


@plant("no retry after a delay")
def _edge_delay() -> Iterator[None]:
    def delay(d: Decider, key: tuple[str, ...]) -> None:
        for contact in d.state.pop_due(key, d.now_us, d.policy.turn):
            if not contact.hold_agent and not contact.target_agent:
                d.state.place(contact, d.now_us)

    with entry(deadlines._KINDS, "delay", delay):
        yield


@plant("no retry when a channel is resumed")
def _edge_resume() -> Iterator[None]:
    with entry(edges.EDGES, e.ChannelResumed, None):
        yield


@plant("a paused channel's own contacts are offered")
def _pause_own() -> Iterator[None]:
    def is_reachable(matcher: Matcher, seat: Seat, contact: Contact, now_us: int) -> bool:
        room = seat.room | seat.interrupted
        has_room = bool(room & matcher.roster.bits[contact.channel])
        return has_room and matcher.may_serve(seat, contact, now_us)

    with put(Matcher, "is_reachable", is_reachable):
        yield


@plant("a pause is forgotten in a restart")
def _pause_lost() -> Iterator[None]:
    before = State.load

    def load(state: State, kind: str, row: Any) -> None:
        if kind != "pause":
            before(state, kind, row)

    with put(State, "load", load):
        yield


@plant("no retry when the agent comes back")
def _edge_back() -> Iterator[None]:
    with entry(edges.EDGES, e.PresenceChanged, None):
        yield


@plant("doubled accept")
def _doubled_accept() -> Iterator[None]:
    before = Reservations.rescind_offers

    def rescind_offers(
        d: Reservations, contact: Contact, reason: str, *rest: Any, **more: Any
    ) -> None:
        if reason != "accepted_by_another":
            before(d, contact, reason, *rest, **more)

    twice = (ContactState.ACTIVE, e.OfferAccepted)
    with (
        put(Reservations, "rescind_offers", rescind_offers),
        entry(lifecycle.CONTACT, twice, ContactState.ACTIVE),
    ):
        yield


@plant("a key that changes on return")
def _key_on_return() -> Iterator[None]:
    before = Decider.give_back

    def give_back(d: Decider, contact: Contact, reason: str, bonus_us: int = 0) -> None:
        before(d, contact, reason, bonus_us + 5)

    with put(Decider, "give_back", give_back):
        yield


@plant("rank ignored")
def _rank() -> Iterator[None]:
    before = Matcher._walk

    def walk(matcher: Matcher, profile: str, room: int) -> list[matching.Lines]:
        ranks = before(matcher, profile, room)
        lines = [line for found in ranks for line in sorted(found.lines, key=lambda line: line.no)]
        return [matching.lines_at(ranks[0].rank, lines)] if ranks else []

    with put(Matcher, "_walk", walk):
        yield


@plant("shortest idle instead of longest")
def _idle() -> Iterator[None]:
    def longest_idle(classes: list[list[Shelf]], contact: Contact, *_: object) -> Seat | None:
        for shelves in classes:
            found = [seat for shelf in shelves for seat in shelf.walk(contact)]
            if found:
                return max(found, key=lambda seat: seat.idle)
        return None

    with put(matching, "_longest_idle", longest_idle):
        yield


@plant("a break does not reset idle time")
def _break() -> Iterator[None]:
    before = states.APPLY[e.PresenceChanged]

    def presence(state: State, event: e.PresenceChanged) -> None:
        idle_since_us = state.agents[event.agent].idle_since_us
        before(state, event)
        seat = state.unshelve(event.agent)
        seat.agent.idle_since_us = idle_since_us
        state.roster.shelve(seat, event.at_us)

    with entry(states.APPLY, e.PresenceChanged, presence):
        yield


@plant("a miss counts though another accepted")
def _miss() -> Iterator[None]:
    before = Reservations.rescind

    def rescind(d: Reservations, reservation: Reservation, reason: str, *rest: Any) -> None:
        if reason != "accepted_by_another":
            before(d, reservation, reason, *rest)
            return
        named = {"reservation": reservation.id, "contact": reservation.contact}
        d.emit(e.OfferExpired(at_us=d.now_us, agent=reservation.agent, **named))  # type: ignore[arg-type]

    with put(Reservations, "rescind", rescind):
        yield


@plant("hold ignored")
def _hold() -> Iterator[None]:
    before = Matcher.select_agents

    def select_agents(matcher: Matcher, contact: Contact, now_us: int, count: int = 1) -> Any:
        agent = contact.hold_agent
        contact.hold_agent = type(agent)("")
        try:
            return before(matcher, contact, now_us, count)
        finally:
            contact.hold_agent = agent

    with put(Matcher, "select_agents", select_agents):
        yield


@plant("step applied twice")
def _step() -> Iterator[None]:
    before = relaxation.check_step

    def check_step(d: Decider, contact: Contact) -> None:
        before(d, contact)
        waits = contact.state is ContactState.QUEUED and contact.id in d.state.contacts
        if waits and 0 < contact.step < len(d.queue_of(contact).steps):
            before(d, contact)
            relaxation._take(d, contact, d.queue_of(contact).steps[contact.step - 1], taken=True)

    with put(deadlines, "check_step", check_step):
        yield


@plant("wrap-up holds no units")
def _wrap_up() -> Iterator[None]:
    before = states.APPLY[e.WrapUpStarted]

    def wrap_up(state: State, event: e.WrapUpStarted) -> None:
        before(state, event)
        reservation = state.reservations[event.reservation]
        seat = state.unshelve(reservation.agent)
        seat.load.remove(reservation)
        reservation.units = 0
        seat.load.add(reservation)
        state.roster.shelve(seat, event.at_us)

    with entry(states.APPLY, e.WrapUpStarted, wrap_up):
        yield


@plant("interrupted work never goes on")
def _interruption() -> Iterator[None]:
    def suspended(_: Load) -> list[Reservation]:
        return []

    with put(Load, "suspended", suspended):
        yield


@plant("interruption though somebody has true room")
def _true_room() -> Iterator[None]:
    before = Roster.available

    def available(roster: Roster, pools: Any, bit: int) -> Any:
        found = before(roster, pools, bit)
        return found[::-1] if found else None

    with put(Roster, "available", available):
        yield


@plant("external id forgotten")
def _external() -> Iterator[None]:
    before = states.APPLY[e.ContactReceived]

    def received(state: State, event: e.ContactReceived) -> None:
        before(state, event)
        state.by_external.pop((event.channel, event.external_id), None)

    with entry(states.APPLY, e.ContactReceived, received):
        yield


@plant("no cool-down after a rejection")
def _rejection() -> Iterator[None]:
    def excluded_until_us(d: Decider, *_: Any) -> int:
        return d.now_us + 1

    with put(offers, "_excluded_until_us", excluded_until_us):
        yield


@plant("log-on ramp ignored")
def _ramp() -> Iterator[None]:
    def ramped(_: Any, channel: Channel, __: int) -> int:
        return channel.maximum

    with put(capacity, "ramped", ramped):
        yield


@plant("offers never expire")
def _deadline() -> Iterator[None]:
    def nothing(_: Decider, __: tuple[str, ...]) -> None:
        return

    with entry(deadlines._KINDS, "reservation", nothing):
        yield


@plant("a closed queue serves")
def _hours() -> Iterator[None]:
    def set_closed(_: Matcher, __: str, ___: bool) -> None:
        return

    with put(Matcher, "set_closed", set_closed):
        yield


@plant("offers of a contact that left stay open")
def _left() -> Iterator[None]:
    before = Reservations.rescind_offers

    def rescind_offers(
        d: Reservations, contact: Contact, reason: str, *rest: Any, **more: Any
    ) -> None:
        if not reason.startswith("contact_"):
            before(d, contact, reason, *rest, **more)

    with put(Reservations, "rescind_offers", rescind_offers):
        yield


@plant("open offers are not stored")
def _not_stored() -> Iterator[None]:
    before = State.touch_reservation

    def touch_reservation(state: State, reservation: Reservation) -> None:
        if reservation.state is not ReservationState.OFFERED:
            before(state, reservation)

    with put(State, "touch_reservation", touch_reservation):
        yield


def hunt(name: str, most: int = MOST_SEEDS) -> Report | None:
    """Simulate seeds with a plant until one breaks; None if none of them does."""
    with PLANTS[name]():
        for seed in range(1, most + 1):
            report = run(seed)
            is_stale = "TypeError" in report.crash or "AttributeError" in report.crash
            assert not is_stale, f"the plant does not fit the engine any more:\n{report.crash}"
            if not report.is_clean:
                return report
    return None


def main() -> int:
    """Hunt all plants; returns how many were missed."""
    missed = 0
    for name in PLANTS:
        report = hunt(name)
        missed += report is None
        found = "MISSED" if report is None else f"seed {report.seed}"
        why = ""
        if report is not None:
            why = str(report.violations[0] if report.violations else report.crash.splitlines()[-1])
        sys.stdout.write(f"{name:44} {found:9} {why[:110]}\n")
        sys.stdout.flush()
    return missed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
