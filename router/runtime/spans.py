"""From a contact's events to the spans of its trace: pure, without OpenTelemetry.

One contact is one trace: its root span lasts from its arrival until everybody is done with it, the
spans in it are what it went through (queued, parked, offered, connecting, in service, wrap-up) and
what adapters were asked to do. Ids come from the contact's id, so a trace that was cut by a restart
goes on under the same ids, and whoever has a contact's id has its trace's: the first 32 hexadecimal
digits of SHA-256 over ``contact/`` and the id.

Nothing about the customer and nobody's name goes into a span: channels, queues, outcomes, ids of
ours, and reasons that the router itself gives.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from router.core import events as e
from router.core.model import Contact, ContactOutcome, Reservation
from router.runtime.veil import SAID

MOST_LIVES = 200_000
"""Contacts that are followed at a time; the one unheard of for longest makes room."""
MOST_NOTES = 128
MOST_REMOTE = 20_000
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Parent(NamedTuple):
    """Where a caller's own trace stands (W3C Trace Context, section 3.2)."""

    trace: int
    span: int
    is_sampled: bool


def read_parent(text: str) -> Parent | None:
    """A ``traceparent`` header; None if it is none."""
    found = _PARENT.fullmatch(text) if len(text) <= 256 else None
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    trace, span = int(found[2], 16), int(found[3], 16)
    return Parent(trace, span, bool(int(found[4], 16) & 1)) if trace and span else None


class Note(NamedTuple):
    """Something that happened at one moment of a span."""

    at_us: int
    name: str
    attributes: dict[str, Any]


class Span(msgspec.Struct):
    """One span; it is over when `end_us` is set."""

    name: str
    trace: int
    id: int
    parent: int
    start_us: int
    end_us: int = 0
    attributes: dict[str, Any] = {}
    notes: list[Note] = []
    links: list[tuple[int, int]] = []
    """(trace, span) of contacts that it came from."""
    is_remote: bool = False
    """Its parent is the caller's."""
    is_outward: bool = False
    """Asks something of a backend."""
    error: str = ""


class _Life(msgspec.Struct):
    """A contact that is followed."""

    root: Span
    is_sampled: bool
    stage: Span | None = None
    """Queued, scheduled or parked."""
    parts: dict[str, Span] = {}
    """Reservation -> what it is at."""
    closed_at_us: int = 0
    notes_left_out: int = 0


class Lives:
    """The contacts of one workspace, as spans to be."""

    def __init__(self, workspace: str, share: float = 1.0) -> None:
        self._workspace = workspace
        self._share = share
        self._lives: OrderedDict[str, _Life] = OrderedDict()
        self._parents: OrderedDict[str, Parent] = OrderedDict()
        self._of: dict[str, str] = {}
        """Reservation -> contact, for events that do not name it."""
        self._seq = 0

    def __len__(self) -> int:
        return len(self._lives)

    def adopt(self, contacts: Iterable[Contact], reservations: Iterable[Reservation] = ()) -> None:
        """Follow what was there before this start, from where it stands."""
        for row in contacts:
            life = self._begin(row.id, row.created_at_us or row.visit_at_us, None)
            life.root.attributes |= {
                "router.channel": row.channel,
                "router.direction": row.direction.value,
                "router.resumed": True,
            }
        for held in reservations:
            found = self._lives.get(held.contact)
            life = found or self._begin(held.contact, held.offered_at_us, None)
            if found is None:  # closed, and in wrap-up
                life.root.attributes["router.resumed"] = True
                life.closed_at_us = held.wrap_at_us
            name, at_us = _stands(held)
            self._of[held.id] = held.contact
            said = _named({"reservation": held.id})
            life.parts[held.id] = self._span(life, name, at_us, said)
            if not life.is_sampled:
                life.parts[held.id] = life.root

    def expect(self, contact: str, parent: Parent) -> None:
        """A contact with this id is about to arrive, out of a caller's trace."""
        if len(self._parents) >= MOST_REMOTE:
            self._parents.popitem(last=False)
        self._parents[contact] = parent

    def take(self, seq: int, event: e.Event) -> list[Span]:
        """An event has become durable; the spans that are over by it."""
        self._seq = seq
        if isinstance(event, e.ContactReceived):
            self._received(event)
            return []
        reservation = getattr(event, "reservation", "")
        contact = getattr(event, "contact", "") or self._of.get(reservation, "")
        life = self._lives.get(contact)
        if life is None:
            return []
        done: list[Span] = []
        if life.is_sampled:
            handler = _HANDLERS.get(type(event))
            if handler is not None:
                handler(self, life, event, done)
            elif type(event) in _NOTED:
                self._note(life, event)
        self._follow(contact, life, event, done)
        return done

    def effect(
        self, contact: str, name: str, start_us: int, end_us: int, said: dict[str, Any]
    ) -> list[Span]:
        """An adapter was asked for something, and this is what came of it."""
        life = self._lives.get(contact)
        trace, root = ids_of(contact)
        if life is not None:
            if not life.is_sampled:
                return []
            trace, root = life.root.trace, life.root.id
        elif not _chosen(trace, self._share):
            return []
        id_ = _id(f"{contact}/effect/{said.get('router.effect', '')}/{start_us}")
        span = Span(name, trace, id_, root, start_us, end_us, {"router.contact": contact, **said})
        span.is_outward = True
        if said.get("router.result") in ("failed", "unknown"):
            span.error = str(said["router.result"])
        return [span]

    # --- lives --------------------------------------------------------------------------------

    def _begin(self, contact: str, at_us: int, parent: Parent | None) -> _Life:
        trace, id_ = ids_of(contact)
        is_sampled = parent.is_sampled if parent else _chosen(trace, self._share)
        root = Span("contact", parent.trace if parent else trace, id_, 0, at_us)
        if parent:
            root.parent, root.is_remote = parent.span, True
        root.attributes = {"router.workspace": self._workspace, "router.contact": contact}
        if len(self._lives) >= MOST_LIVES:
            self._lives.popitem(last=False)
        life = self._lives[contact] = _Life(root, is_sampled)
        return life

    def _received(self, event: e.ContactReceived) -> None:
        life = self._begin(event.contact, event.at_us, self._parents.pop(event.contact, None))
        if not life.is_sampled:
            return
        root = life.root
        root.attributes |= {
            "router.channel": event.channel,
            "router.direction": event.direction.value,
            "router.seq": self._seq,
        }
        for name, value in (
            ("router.entry_point", event.entry_point),
            ("router.queue", event.queue),
            ("router.rule", event.rule),
        ):
            if value:
                root.attributes[name] = value
        for other in (event.consult_of, event.callback_of):
            if other:
                found = self._lives.get(other)
                root.links.append(
                    (found.root.trace, found.root.id) if found is not None else ids_of(other)
                )

    def _follow(self, contact: str, life: _Life, event: e.Event, done: list[Span]) -> None:
        """Which reservations are open, and whether everybody is done with the contact."""
        reservation = getattr(event, "reservation", "")
        if isinstance(event, e.ContactOffered):
            self._of[reservation] = contact
            if not life.is_sampled:
                life.parts[reservation] = life.root
        elif isinstance(event, e.ReservationMoved):
            self._of[reservation] = contact
            old = self._lives.get(event.from_contact)
            if old is not None:
                self._end_part(old, reservation, event.at_us, done, "moved")
                self._finish(event.from_contact, old, event.at_us, done)
            if not life.is_sampled:
                life.parts[reservation] = life.root
        elif isinstance(event, _ENDS):
            self._of.pop(reservation, None)
            life.parts.pop(reservation, None)
        if isinstance(event, e.ContactClosed):
            life.closed_at_us = event.at_us
        self._finish(contact, life, event.at_us, done)

    def _finish(self, contact: str, life: _Life, at_us: int, done: list[Span]) -> None:
        if not life.closed_at_us or life.parts:
            return
        self._lives.pop(contact, None)
        if life.is_sampled:
            life.root.end_us = max(at_us, life.closed_at_us)
            if life.notes_left_out:
                life.root.attributes["router.notes_left_out"] = life.notes_left_out
            done.append(life.root)

    # --- what it goes through -----------------------------------------------------------------

    def _span(self, life: _Life, name: str, at_us: int, attributes: dict[str, Any]) -> Span:
        root = life.root
        id_ = _id(f"{root.attributes['router.contact']}/{name}/{self._seq}")
        return Span(
            name, root.trace, id_, root.id, at_us, 0, {**attributes, "router.seq": self._seq}
        )

    def _stage(
        self, life: _Life, name: str, at_us: int, done: list[Span], **attributes: Any
    ) -> None:
        self._end_stage(life, at_us, done)
        life.stage = self._span(life, name, at_us, _named(attributes))

    def _end_stage(self, life: _Life, at_us: int, done: list[Span]) -> None:
        if life.stage is not None:
            life.stage.end_us = at_us
            done.append(life.stage)
            life.stage = None

    def _part(self, life: _Life, name: str, event: Any, done: list[Span], **more: Any) -> None:
        self._end_part(life, event.reservation, event.at_us, done, "")
        said = _named({"reservation": event.reservation, **more})
        life.parts[event.reservation] = self._span(life, name, event.at_us, said)

    def _end_part(
        self, life: _Life, reservation: str, at_us: int, done: list[Span], result: str
    ) -> None:
        part = life.parts.pop(reservation, None)
        if part is None or part is life.root:
            return
        part.end_us = at_us
        if result:
            part.attributes["router.result"] = result
        done.append(part)

    def _note(self, life: _Life, event: Any, **more: Any) -> None:
        if len(life.root.notes) >= MOST_NOTES:
            life.notes_left_out += 1
            return
        attributes = {"router.seq": self._seq, **_named(more)}
        for field in _NOTED.get(type(event), ()):
            attributes[f"router.{field}"] = str(getattr(event, field))
        life.root.notes.append(Note(event.at_us, _words(type(event).__name__), attributes))

    def _queued(self, life: _Life, event: e.ContactQueued, done: list[Span]) -> None:
        self._stage(
            life, "queued", event.at_us, done, queue=event.queue, tier=event.tier,
            visit=event.visit_no, reason=_said(event.reason),
        )  # fmt: skip

    def _returned(self, life: _Life, event: e.ContactReturned, done: list[Span]) -> None:
        self._stage(life, "queued", event.at_us, done, reason=_said(event.reason), returned=True)

    def _scheduled(self, life: _Life, event: e.ContactScheduled, done: list[Span]) -> None:
        self._stage(life, "scheduled", event.at_us, done, reason=_said(event.reason))

    def _parked(self, life: _Life, event: e.ContactParked, done: list[Span]) -> None:
        self._stage(life, "parked", event.at_us, done, reason=_said(event.reason))

    def _offered(self, life: _Life, event: e.ContactOffered, done: list[Span]) -> None:
        self._end_stage(life, event.at_us, done)
        self._part(
            life, "offered", event, done, queue=event.queue, units=event.units, rank=event.rank
        )

    def _accepted(self, life: _Life, event: e.OfferAccepted, done: list[Span]) -> None:
        self._end_part(life, event.reservation, event.at_us, done, "accepted")
        self._part(life, "connecting", event, done)

    def _connecting(self, life: _Life, event: e.ReservationConnecting, done: list[Span]) -> None:
        part = life.parts.get(event.reservation)
        if part is None or part.name != "connecting":
            self._part(life, "connecting", event, done)

    def _connected(self, life: _Life, event: e.ReservationConnected, done: list[Span]) -> None:
        self._part(life, "in service", event, done)

    def _wrapping(self, life: _Life, event: e.WrapUpStarted, done: list[Span]) -> None:
        self._part(life, "wrap-up", event, done)

    def _moved(self, life: _Life, event: e.ReservationMoved, done: list[Span]) -> None:
        self._part(life, "in service", event, done, moved=True)

    def _over(self, life: _Life, event: Any, done: list[Span]) -> None:
        result = _ENDED_AS[type(event)]
        part = life.parts.get(event.reservation)
        if part is not None and result == "failed":
            part.error = _said(event.reason) or "failed"
        reason = _said(getattr(event, "reason", ""))
        if part is not None and reason:
            part.attributes["router.reason"] = reason
        self._end_part(life, event.reservation, event.at_us, done, result)

    def _closed(self, life: _Life, event: e.ContactClosed, done: list[Span]) -> None:
        self._end_stage(life, event.at_us, done)
        root = life.root
        root.attributes |= {"router.outcome": event.outcome.value, "router.seq_closed": self._seq}
        if reason := _said(event.reason):
            root.attributes["router.reason"] = reason
        if event.outcome is ContactOutcome.FAILED:
            root.error = reason or "failed"


def _stands(held: Reservation) -> tuple[str, int]:
    """What a reservation is at, and since when."""
    if held.wrap_at_us:
        return "wrap-up", held.wrap_at_us
    if held.connected_at_us:
        return "in service", held.connected_at_us
    if held.accepted_at_us:
        return "connecting", held.accepted_at_us
    return "offered", held.offered_at_us


def ids_of(contact: str) -> tuple[int, int]:
    """(trace, root span) of a contact that no caller traces."""
    digest = hashlib.sha256(f"contact/{contact}".encode()).digest()
    return int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")


def _id(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") or 1


def _chosen(trace: int, share: float) -> bool:
    # The lower half decides, as in OpenTelemetry's TraceIdRatioBased: all who see it agree.
    return (trace & (1 << 64) - 1) < share * (1 << 64)


def _said(reason: str) -> str:
    return str(reason) if reason in SAID else "in words"


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        f"router.{name}": value for name, value in attributes.items() if value not in ("", None)
    }


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


_ENDED_AS: dict[type, str] = {
    e.OfferRejected: "rejected",
    e.OfferExpired: "expired",
    e.OfferRescinded: "rescinded",
    e.ReservationFailed: "failed",
    e.ReservationEnded: "ended",
}
_ENDS = tuple(_ENDED_AS)
_HANDLERS: dict[type, Callable[..., None]] = {
    e.ContactQueued: Lives._queued,
    e.ContactReturned: Lives._returned,
    e.ContactScheduled: Lives._scheduled,
    e.ContactParked: Lives._parked,
    e.ContactOffered: Lives._offered,
    e.OfferAccepted: Lives._accepted,
    e.ReservationConnecting: Lives._connecting,
    e.ReservationConnected: Lives._connected,
    e.WrapUpStarted: Lives._wrapping,
    e.ReservationMoved: Lives._moved,
    e.ContactClosed: Lives._closed,
    **dict.fromkeys(_ENDS, Lives._over),
}
_NOTED: dict[type, tuple[str, ...]] = {
    e.ContactOverflowed: ("queue",),
    e.ContactRelaxed: ("step", "taken"),
    e.ContactReprioritized: ("tier",),
    e.RequirementsChanged: (),
    e.HoldEnded: (),
    e.ContactSwitched: ("channel",),
    e.ContactLinked: (),
    e.ContactUpdated: (),
    e.CallbackOffered: (),
    e.InputAsked: (),
    e.InputCollected: ("timed_out",),
    e.MessageReceived: ("size",),
    e.MessageSent: ("size",),
    e.ConsultStarted: (),
    e.ConsultEnded: ("handed_over",),
    e.CustomerHeld: ("reservation",),
    e.CustomerResumed: ("reservation",),
    e.ReservationSuspended: ("reservation",),
    e.ReservationResumed: ("reservation",),
    e.WrapUpExtended: ("reservation",),
    e.RecordingStarted: (),
    e.RecordingEnded: (),
    e.ConferenceStarted: (),
    e.ConferenceEnded: (),
    e.MonitorStarted: (),
    e.MonitorEnded: (),
    e.EffectSettled: ("effect", "result"),
}
"""Noted at their moment, with these fields: none of them is a customer's or an agent's."""
