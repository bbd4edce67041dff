"""Calls as the adapter knows them, and where each leg belongs. No I/O, no waiting.

A *call* is one customer and the agents' legs about them, those of a consult too. What happens
changes flags here; `places` says from the flags alone which leg should be in which bridge, so that
the same question answers what to do after an effect, after an event, and after a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from adapters.asterisk.ari import Channel, words_of
from router.channel import CollectFromContact, StartContact, Task

Kind = Literal["customer", "agent", "monitor", "snoop"]

BROKEN = (3, 6, 20, 22, 25, 27, 34, 38, 41, 42, 44, 47, 127)
"""Q.850 causes of a leg that broke; all others that end a conversation are a hang-up."""
WORDS = {
    1: "unknown_number", 3: "unreachable", 17: "busy", 18: "no_answer", 19: "no_answer",
    20: "unreachable", 21: "rejected", 27: "unreachable", 34: "congestion", 38: "congestion",
    41: "congestion", 42: "congestion", 26: "answered_elsewhere",
}  # fmt: skip
"""Q.850 causes in the words that stand in events; others are ``not_reached``."""


class State(StrEnum):
    """How far a leg is."""

    MADE = "made"
    """It is asked for; the PBX may have it."""
    THERE = "there"
    """In our application."""
    RINGING = "ringing"
    UP = "up"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Leg:
    """One channel at the PBX."""

    id: str
    kind: Kind
    contact: str = ""
    """Agents: the contact it was made for, which is the consult's in a consult."""
    reservation: str = ""
    monitor: str = ""
    call: Call | None = None
    state: State = State.MADE
    cause: int = 0
    is_joined: bool = False
    """Agents: the router has confirmed it. Customers: answered."""
    is_dialled: bool = False
    """It has been told to ring."""
    is_unwanted: bool = False
    """We have hung it up: its end is no news."""
    place: str = ""
    """The bridge it is in."""
    digit_at: str = ""
    """Timestamp of its last digit."""
    there: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is in our application, or gone."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is up, or gone."""

    @property
    def lives(self) -> bool:
        """Not gone, and nobody has hung it up."""
        return self.state is not State.GONE and not self.is_unwanted

    @property
    def is_up(self) -> bool:
        """Answered and there."""
        return self.state is State.UP and not self.is_unwanted

    @property
    def is_waiting(self) -> bool:
        """Made, perhaps, and not told to ring: what asked for it was cut off."""
        return self.lives and not self.is_dialled and self.state in (State.MADE, State.THERE)

    def word(self) -> str:
        """Why it ended, for an event."""
        return WORDS.get(self.cause, "not_reached")


@dataclass(slots=True)
class Ask:
    """A question that the customer hears."""

    effect: CollectFromContact
    media: str
    playback: str
    digits: str = ""
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class Monitor:
    """A supervisor who listens in."""

    id: str
    reservation: str
    mode: str
    leg: Leg
    snoop: Leg | None = None
    snoops: int = 0
    """How many were made: each mode needs a new one."""


@dataclass(slots=True, eq=False)
class Call:
    """A customer and all legs about them."""

    external_id: str = ""
    """The customer's channel and visit; empty while we have not begun to dial them."""
    has_come: bool = False
    """The customer has just come from the dialplan, and was not found here after a connect."""
    contact: str = ""
    customer: Leg | None = None
    agents: dict[str, Leg] = field(default_factory=dict)
    """By reservation, in the order in which they were rung; those of its consult too."""
    monitors: dict[str, Monitor] = field(default_factory=dict)
    held: bool = False
    conference: bool = False
    is_over: bool = False
    """The router has ended it, or the customer is gone: nothing is said of it any more."""
    starting: Task | None = None
    """The `StartContact` that is being carried out."""
    ask: Ask | None = None
    recordings: dict[str, bool] = field(default_factory=dict)
    """By name: whether it runs."""
    rung: dict[str, None] = field(default_factory=dict)
    """Reservations whose phones have rung: once for each, also over a restart."""
    bridges: dict[str, None] = field(default_factory=dict)
    """Bridges of its own that exist."""
    farewell: str = ""
    """Playback after which the customer is hung up."""
    said: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is over."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever moves its legs."""

    def serving(self) -> Leg | None:
        """The leg of the agent who has the contact; a consulted one's only if it has nobody."""
        joined = [leg for leg in self.agents.values() if leg.is_joined and leg.is_up]
        own = [leg for leg in joined if leg.contact == self.contact]
        return own[-1] if own else joined[-1] if joined else None

    def start(self) -> StartContact | None:
        """The effect that is being carried out."""
        effect = self.starting.effect if self.starting is not None else None
        return effect if isinstance(effect, StartContact) else None


@dataclass(frozen=True, slots=True)
class Names:
    """Ids of what we make at the PBX: told from the application, the contact and the reservation.

    Reservations count anew in an empty journal, contacts do not: both together name a leg.
    """

    app: str

    rung = "CR_RUNG"
    """Variable of a customer's channel: reservations whose phones have rung, with commas."""

    @property
    def hold(self) -> str:
        """The bridge where customers wait."""
        return f"{self.app}-hold"

    def talk(self, call: Call) -> str:
        """The bridge of the conversation."""
        return f"{self.app}-talk-{call.contact or call.external_id}"

    def listen(self, monitor: str) -> str:
        """The bridge where a supervisor hears a snoop channel."""
        return f"{self.app}-listen-{monitor}"

    def agent(self, contact: str, reservation: str) -> str:
        """An agent's leg."""
        return f"{self.app}-agent-{contact}-{reservation}"

    def customer(self, task: str) -> str:
        """The leg of a customer whom we call: each attempt has its own."""
        return f"{self.app}-out-{task}"

    def monitor(self, monitor: str) -> str:
        """A supervisor's leg."""
        return f"{self.app}-monitor-{monitor}"

    def is_ours(self, id_: str) -> bool:
        """Whether a channel or a bridge was made by us."""
        return id_.startswith(f"{self.app}-")


def places(call: Call, names: Names) -> Iterator[tuple[Leg, str]]:
    """Which bridge each leg that is up belongs in; those that are right already, too."""
    talk, hold = names.talk(call), names.hold
    customer = call.customer
    serving = call.serving()
    has_agent = serving is not None
    is_with_agent = has_agent and (not call.held or call.conference)
    if customer is not None and customer.is_up and customer.is_joined:
        yield customer, talk if is_with_agent else hold
    for leg in call.agents.values():
        if not (leg.is_joined and leg.is_up):
            continue
        # Who is consulted talks to the asking agent as long as the customer is on hold, or with all
        # in a conference; an asking agent who takes the customer back alone leaves them waiting.
        is_consulted = leg.contact != call.contact and leg is not serving
        waits = is_consulted and not (call.held or call.conference)
        if customer is None or not customer.is_up:
            waits = True  # the customer is being called
        yield leg, hold if waits else talk
    for monitor in call.monitors.values():
        if monitor.leg.is_up:
            place = talk if monitor.mode == "barge" else names.listen(monitor.id)
            yield monitor.leg, place
            if monitor.snoop is not None and monitor.snoop.is_up:
                yield monitor.snoop, names.listen(monitor.id)


def moves(call: Call, names: Names) -> dict[str, list[Leg]]:
    """What is not where it belongs, by bridge."""
    wanted: dict[str, list[Leg]] = {}
    for leg, place in places(call, names):
        if leg.place != place:
            wanted.setdefault(place, []).append(leg)
    return wanted


class Book:
    """All calls and legs."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.legs: dict[str, Leg] = {}
        self._by_external: dict[str, Call] = {}
        self._by_contact: dict[str, Call] = {}

    def __len__(self) -> int:
        return len(self.calls())

    def calls(self) -> list[Call]:
        """All of them."""
        both = (*self._by_external.values(), *self._by_contact.values())
        return list({id(call): call for call in both}.values())

    def customers(self) -> list[str]:
        """External ids of all customers who are there."""
        return [
            call.external_id
            for call in self.calls()
            if call.customer is not None and call.customer.state is not State.GONE
        ]

    def find(self, external_id: str, contact: str = "") -> Call | None:
        """By the customer's channel, or by the contact."""
        return self._by_external.get(external_id) or self._by_contact.get(contact)

    def of(self, task: Task) -> Call | None:
        """The call that an effect is about."""
        contact = "" if task.consult_of else str(getattr(task.effect, "contact", ""))
        call = self.find(task.consult_of or task.external_id, contact)
        if call is not None and contact and not call.contact:
            self.name(call, contact)
        return call

    def begin(self, external_id: str = "", contact: str = "") -> Call:
        """A new call."""
        call = Call(external_id=external_id, contact=contact)
        if external_id:
            self._by_external[external_id] = call
        if contact:
            self._by_contact[contact] = call
        return call

    def name(self, call: Call, contact: str) -> None:
        """The router has said which contact it is."""
        call.contact = contact
        self._by_contact[contact] = call

    def link(self, call: Call, external_id: str) -> None:
        """The customer is dialled as this channel."""
        self._by_external.pop(call.external_id, None)
        call.external_id = external_id
        self._by_external[external_id] = call

    def add(self, call: Call, leg: Leg) -> Leg:
        """A leg of a call."""
        leg.call = call
        self.legs[leg.id] = leg
        if leg.kind == "customer":
            call.customer = leg
        elif leg.kind == "agent":
            call.agents[leg.reservation] = leg
        return leg

    def drop_leg(self, leg: Leg) -> None:
        """It is gone."""
        leg.state = State.GONE
        leg.place = ""
        leg.there.set()
        leg.settled.set()
        if self.legs.get(leg.id) is leg:
            del self.legs[leg.id]
        call = leg.call
        if call is not None and call.agents.get(leg.reservation) is leg:
            del call.agents[leg.reservation]

    def drop(self, call: Call) -> None:
        """The call is over."""
        call.is_over = True
        if self._by_external.get(call.external_id) is call:
            del self._by_external[call.external_id]
        if self._by_contact.get(call.contact) is call:
            del self._by_contact[call.contact]


# -- what the router knows a customer's channel by -------------------------------------------------


def visit_of(channel: str, visit: int) -> str:
    """The external id of a channel that comes from the dialplan for the second time, or later.

    A caller who was sent on may come back, and a PBX that was restarted within the second gives the
    names of its channels again: both are new contacts.
    """
    return f"{channel}~{visit}"


def channel_of(external_id: str) -> str:
    """The channel with this external id."""
    channel, mark, visit = external_id.rpartition("~")
    return channel if mark and visit.isdigit() else external_id


# -- what stands in a channel's arguments ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Origin:
    """What a channel of ours was made for, as its Stasis arguments say."""

    kind: Kind
    words: tuple[str, ...]


def origin_of(channel: Channel, app: str) -> Origin | None:
    """Of a channel that is in our application; None for all others.

    A caller from the dialplan has ``inbound,NUMBER`` or no arguments at all.
    """
    its_app, args = channel.app_and_args()
    if its_app != app:
        return None
    words = words_of(args)
    match words[:1]:
        case ["agent"] if len(words) >= 4:
            return Origin("agent", tuple(words[1:]))
        case ["out"] if len(words) >= 3:
            return Origin("customer", tuple(words[1:]))
        case ["monitor"] if len(words) >= 5:
            return Origin("monitor", tuple(words[1:]))
        case ["snoop"] if len(words) >= 2:
            return Origin("snoop", tuple(words[1:]))
        case _:
            return Origin("customer", ())


def dialled(channel: Channel, args: list[str] | tuple[str, ...]) -> str:
    """Which of our numbers a caller has dialled."""
    words = words_of(args)
    if words[:1] == ["inbound"] and len(words) > 1:
        return words[1]
    return channel.dialplan.exten


STATES = {"Up": State.UP, "Ringing": State.RINGING}


def state_of(channel: Channel) -> State:
    """A channel's state as a leg's."""
    return STATES.get(channel.state, State.THERE)
