"""A call and its legs as the router wants them, and the commands that make the PBX look like that.

`plan` is the heart: it compares where each channel is with where it should be and says what to do
next. It decides nothing about contacts; events and effects change a `Call`, and `plan` follows.

Where FreeSWITCH decides how it is done:

- Customer and agent are bridged by ``uuid_bridge`` with the customer first: the first leg parks
  when the other one goes (``park_after_bridge``), the second one is hung up with the first
  (recorded: agent-hangs-up, hold-refused-by-phone).
- Hold parks the customer with music. ``uuid_hold`` sends the phone a re-INVITE, and a phone that
  refuses it ends the call (recorded: hold-refused-by-phone).
- Two agents who consult, and three in a conference, meet in mod_conference: whoever goes, the
  others stay. In a bridge the second agent would be hung up with the first, and ``three_way``
  hangs on somebody else's bridge. After the documentation, not recorded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from adapters.freeswitch import esl

PARKED = "parked"
MUSIC = "music"
BUSY = "busy"
"""Something is played or asked that ends by itself."""
MOVING = "moving"
"""On its way into park: CHANNEL_PARK says that it is there."""
ROOM = "room"
"""In the call's conference."""
WITH = "with "
"""Prefix: bridged with the channel of this id."""

Role = Literal["agent", "consult"]


@dataclass(slots=True, eq=False)
class Leg:
    """An agent's channel: it rings or is up."""

    uuid: str
    reservation: str
    contact: str
    role: Role = "agent"
    is_up: bool = False
    is_gone: bool = False
    is_taken: bool = False
    """The router has chosen this agent: the leg may be joined."""
    is_dropped: bool = False
    """We take it away: its end is no news."""
    at: str = PARKED

    @property
    def rings(self) -> bool:
        """Dialled, neither answered nor over."""
        return not self.is_up and not self.is_gone


@dataclass(slots=True, eq=False)
class Play:
    """Something to be played or asked, once."""

    id: str
    application: str
    argument: str
    ends: bool = False
    """The caller is hung up after it."""


@dataclass(slots=True, eq=False)
class Call:
    """One customer and the agents around them."""

    customer: str = ""
    """The customer's channel: the external id. Empty until they are dialled."""
    contact: str = ""
    is_there: bool = False
    """The customer's channel is answered and ours."""
    is_over: bool = False
    at: str = PARKED
    legs: dict[str, Leg] = field(default_factory=dict)
    """By reservation."""
    serving: str = ""
    """The reservation that has the customer."""
    consult: str = ""
    """The consulted agent's, once up."""
    is_held: bool = False
    is_together: bool = False
    music: str = ""
    recording: str = ""
    is_recording: bool = False
    to_play: deque[Play] = field(default_factory=lambda: deque(maxlen=8))
    playing: Play | None = None

    def leg(self, reservation: str) -> Leg | None:
        """The leg of a reservation, if it is up."""
        leg = self.legs.get(reservation)
        return leg if leg is not None and leg.is_up else None

    def place(self, uuid: str, at: str) -> None:
        """A channel of this call is now here."""
        if uuid == self.customer:
            self.at = at
        for leg in self.legs.values():
            if leg.uuid == uuid:
                leg.at = at


@dataclass(slots=True, frozen=True)
class Step:
    """One command, and where channels are as soon as it is given."""

    data: bytes
    places: tuple[tuple[str, str], ...] = ()
    plays: Play | None = None


def plan(call: Call, music: str, profile: str) -> list[Step]:
    """What to do next; empty: nothing, or nothing before the next event.

    `music` is what is played by default, `profile` the conference's.
    """
    if call.is_over:
        return []
    room = f"conference:cr-{call.customer}@{profile}"
    serving, consult = call.leg(call.serving), call.leg(call.consult)
    in_room = _wanted_in_room(call, serving, consult)
    talking = serving is not None and call.is_there and not call.is_held and not in_room
    return (
        _separate(call, serving, in_room, talking, room)
        or _move(call, serving, consult, in_room, talking, room)
        or _join(call, serving, talking)
        or _fill(call, in_room, talking, music)
    )


def _wanted_in_room(call: Call, serving: Leg | None, consult: Leg | None) -> list[str]:
    """The channels that should be in the conference."""
    if serving is None or consult is None:
        return []
    agents = [serving.uuid, consult.uuid]
    if call.is_together and call.is_there:
        return [*agents, call.customer]
    return agents if call.is_held else []


def _separate(
    call: Call, serving: Leg | None, in_room: list[str], talking: bool, room: str
) -> list[Step]:
    """A bridge that must not be: into the conference, or both into park (recorded:
    park-agent-and-transfer).
    """
    if serving is None or call.at != f"{WITH}{serving.uuid}" or talking:
        return []
    pair = (call.customer, serving.uuid)
    if call.customer in in_room:
        line = f"uuid_transfer {call.customer} -both {room} inline"
        return [Step(esl.api(line), tuple((uuid, ROOM) for uuid in pair))]
    line = f"uuid_transfer {call.customer} -bleg park inline"
    return [Step(esl.api(line), tuple((uuid, MOVING) for uuid in pair))]


def _move(
    call: Call,
    serving: Leg | None,
    consult: Leg | None,
    in_room: list[str],
    talking: bool,
    room: str,
) -> list[Step]:
    """Into the conference and out of it."""
    places = {call.customer: call.at} if call.is_there else {}
    places |= {leg.uuid: leg.at for leg in (serving, consult) if leg is not None}
    steps = [
        Step(esl.api(f"uuid_transfer {uuid} {room} inline"), ((uuid, ROOM),))
        for uuid in in_room
        if places.get(uuid) in (PARKED, MUSIC, BUSY)
    ]
    both_there = serving is not None and call.at == serving.at == ROOM
    if talking and both_there and (consult is None or consult.at != ROOM):
        return steps  # they hear each other: a bridge instead would be a gap
    out = [
        uuid
        for uuid, at in places.items()
        if at == ROOM and uuid not in in_room and (consult is None or uuid != consult.uuid)
    ]
    return steps + [
        Step(esl.api(f"uuid_transfer {uuid} park inline"), ((uuid, MOVING),)) for uuid in out
    ]


def _join(call: Call, serving: Leg | None, talking: bool) -> list[Step]:
    """Customer and agent together (recorded: answered-and-bridged)."""
    if not talking or serving is None:
        return []
    if call.at not in (PARKED, MUSIC, BUSY) or serving.at != PARKED:
        return []
    line = f"uuid_bridge {call.customer} {serving.uuid}"
    joined = ((call.customer, f"{WITH}{serving.uuid}"), (serving.uuid, f"{WITH}{call.customer}"))
    return [Step(esl.api(line), joined)]


def _fill(call: Call, in_room: list[str], talking: bool, music: str) -> list[Step]:
    """What somebody hears who hears nobody: what is to be said, and music between."""
    if not call.is_there or talking or call.customer in in_room:
        return []
    if call.at not in (PARKED, MUSIC):
        return []
    uuid = call.customer
    if call.to_play and not call.serving:
        play = call.to_play[0]
        data = esl.execute(uuid, play.application, play.argument, play.id)
        step = Step(data, ((uuid, BUSY),), plays=play)
        stop = [Step(esl.api(f"uuid_break {uuid} all"))] if call.at == MUSIC else []
        return [*stop, step]
    if call.at == PARKED:
        line = f"uuid_broadcast {uuid} {call.music or music} aleg"
        return [Step(esl.api(line), ((uuid, MUSIC),))]
    return []
