"""What must agree after each frame: events, effects, the engine's memory, and the rows stored.

The auditor reads events alone; here they are compared with everything else that the engine
hands out. Each function yields (invariant, sentence) pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from router.core import effects as f
from router.core import events as e
from router.core.model import ReservationState
from router.core.policy import Policy
from router.core.record import Row
from router.core.state import ROWS, State
from router.testing.naive import SERVING, World

Id = TypeVar("Id", bound=str)
Broken = Iterator[tuple[str, str]]
Rows = Mapping[tuple[str, str], bytes]

COMPARED: dict[str, tuple[str, ...]] = {
    "contacts": (
        "state", "channel", "queue", "tier", "head_start_us", "due_at_us", "arrival_no",
        "visit_at_us", "visit_no", "requirements", "reservations", "step", "extra_queues",
        "hold_agent", "target_agent", "excluded", "external_id", "peer_key", "last_agent",
    ),
    "reservations": ("state", "contact", "agent", "channel", "units", "deadline_at_us"),
    "agents": (
        "skills", "profile", "presence", "idle_since_us", "accepted_at_us", "offered_at_us",
        "lost_at_us", "ready_at_us",
    ),
}  # fmt: skip
"""What the auditor folds from events, and must find in the engine's rows."""


def memory(world: World, state: State) -> Broken:
    """The engine's memory is what its events say, and holds no more than what is live."""
    if len(state.by_external) > len(state.contacts) or len(state.by_peer) > len(state.contacts):
        yield "I14", "more external ids or peers than contacts"
    yield from _compare("contacts", world.contacts, state.contacts)
    yield from _compare("reservations", world.reservations, state.reservations)
    yield from _compare("agents", world.agents, state.agents)
    by_events = {name: (p.at_us, p.by, p.reason) for name, p in world.paused.items()}
    in_memory = {name: (p.at_us, p.by, p.reason) for name, p in state.pauses.items()}
    if by_events != in_memory:
        yield "I7", f"paused are {in_memory}, by the events {by_events}"


def _compare(kind: str, said: Mapping[Id, Row], held: Mapping[Id, Row]) -> Broken:
    if said.keys() != held.keys():
        extra = sorted(said.keys() ^ held.keys())
        yield "I14", f"{kind} in memory and by the events differ: {extra}"
        return
    for id_, row in said.items():
        other = held[id_]
        for name in COMPARED[kind]:
            by_events, in_memory = getattr(row, name), getattr(other, name)
            if by_events != in_memory:
                yield "I7", f"{id_}.{name} is {in_memory!r}, by the events {by_events!r}"


def rows(stored: Rows, state: State) -> Broken:
    """What is stored is what is in memory: no change was forgotten."""
    expected = {(kind, id_): _encode(row) for kind, id_, row in _all_rows(state)}
    for key in expected.keys() | stored.keys():
        mine, theirs = expected.get(key), stored.get(key)
        if mine != theirs:
            kind, id_ = key
            held = None if mine is None else msgspec.msgpack.decode(mine, type=ROWS[kind])
            kept = None if theirs is None else msgspec.msgpack.decode(theirs, type=ROWS[kind])
            yield "I7", f"row {kind} {id_} is stored as {kept}, in memory {held}"


def fold(log: Sequence[e.Event], policies: Mapping[str, Policy], state: State) -> Broken:
    """The events alone, applied to nothing, give the same rows. `policies`: the first one first."""
    other = State()
    if log:
        other.use(next(iter(policies.values())), log[0].at_us)
    for event in log:
        if isinstance(event, e.PolicyApplied):
            other.use(policies[event.version], event.at_us)
        other.apply(event)
    yield from (
        (id_, text.replace("is stored as", "folds to"))
        for id_, text in rows({(k, i): _encode(r) for k, i, r in _all_rows(other)}, state)
    )


def _all_rows(state: State) -> Iterator[tuple[str, str, Row]]:
    for kind, found in (
        ("contact", state.contacts),
        ("reservation", state.reservations),
        ("agent", state.agents),
        ("estimate", state.estimates),
        ("pause", state.pauses),
    ):
        for id_, row in found.items():
            yield kind, id_, row
    if state.totals != type(state.totals)():
        yield "totals", "", state.totals


def _encode(row: Row) -> bytes:
    return msgspec.msgpack.encode(row)


class Effects:
    """Every effect has a fact behind it, and every fact that asks for one has its effect."""

    def __init__(self) -> None:
        self._delivered: dict[str, None] = {}
        self._attached = Attached()

    def check(
        self, world: World, events: Sequence[e.Event], effects: Sequence[f.Effect], now_us: int
    ) -> Broken:
        """One committed frame, after the auditor has read it."""
        for effect in effects:
            text = self._without_fact(world, effect)
            if text:
                yield "I8", f"{effect}: {text}"
        offered = {x.reservation for x in effects if isinstance(x, f.OfferContact)}
        rescinded = {x.reservation for x in effects if isinstance(x, f.RescindOffer)}
        ended = {x.contact for x in effects if isinstance(x, f.EndContact)}
        ended |= {x.from_contact for x in effects if isinstance(x, f.MoveAgent)}
        for text in self._attached.check(events, effects):
            yield "I8", text
        for event in events:
            match event:
                case e.ContactOffered() if event.reservation not in offered:
                    yield "I8", f"{event.reservation} is offered and nobody is told"
                case e.OfferRescinded() if event.reservation not in rescinded:
                    yield "I8", f"{event.reservation} is rescinded and nobody is told"
                case e.ContactClosed() if event.contact not in ended:
                    yield "I8", f"{event.contact} is closed and its adapter is not told"
                case _:
                    pass

    def _without_fact(self, world: World, effect: f.Effect) -> str:
        match effect:
            case f.OfferContact():
                reservation = world.reservations.get(effect.reservation)
                if reservation is not None and reservation.agent != effect.agent:
                    return f"the offer is to {reservation.agent}"
            case f.ConnectAgent():
                reservation = world.reservations.get(effect.reservation)
                if reservation is not None and reservation.agent != effect.agent:
                    return f"the reservation is {reservation.agent}'s"
            case f.RescindOffer():
                reservation = world.reservations.get(effect.reservation)
                if reservation is not None and reservation.state is ReservationState.OFFERED:
                    return "the offer is still open"
            case f.DisconnectAgent():
                reservation = world.reservations.get(effect.reservation)
                still = reservation is not None and reservation.contact == effect.contact
                if still and reservation is not None and reservation.state in SERVING:
                    return "the agent is still serving it"
            case f.EndContact(external_id=left) if effect.contact in world.contacts:
                contact = world.contacts[effect.contact]
                if left == "" or (effect.channel, left) == (contact.channel, contact.external_id):
                    return "the contact lives"
            case f.DeliverMessage():
                if effect.message in self._delivered:
                    return "it was sent before"
                self._delivered[effect.message] = None
            case _:
                pass
        return ""


class Attached:
    """Whoever listens or is recorded does so while an agent has the contact, and not longer."""

    def __init__(self) -> None:
        self._on: dict[str, dict[str, None]] = {}
        """Monitors and recordings, by reservation."""

    def check(self, events: Sequence[e.Event], effects: Sequence[f.Effect]) -> Iterator[str]:
        """One committed frame: each turn is told, each end comes before its reservation's."""
        listening = {x.monitor for x in effects if isinstance(x, f.MonitorContact)}
        stopped = {x.monitor for x in effects if isinstance(x, f.StopMonitor)}
        recorded = {(x.recording, x.on) for x in effects if isinstance(x, f.RecordContact)}
        for event in events:
            match event:
                case e.MonitorStarted() | e.MonitorChanged():
                    self._on.setdefault(event.reservation, {})[event.monitor] = None
                    if event.monitor not in listening:
                        yield f"{event.monitor} listens and nobody is told"
                case e.MonitorEnded():
                    del self._on[event.reservation][event.monitor]
                    if event.monitor not in stopped:
                        yield f"{event.monitor} has ended and nobody is told"
                case e.RecordingStarted() | e.RecordingResumed():
                    self._on.setdefault(event.reservation, {})[event.recording] = None
                    if (event.recording, True) not in recorded:
                        yield f"{event.recording} is recorded and nobody is told"
                case e.RecordingPaused() if (event.recording, False) not in recorded:
                    yield f"{event.recording} is paused and nobody is told"
                case e.RecordingEnded():
                    del self._on[event.reservation][event.recording]
                case e.WrapUpStarted() | e.ReservationEnded() | e.ReservationFailed():
                    left = self._on.pop(event.reservation, None)
                    if left:
                        yield f"{event.reservation} is over, but not {', '.join(left)}"
                case _:
                    pass
