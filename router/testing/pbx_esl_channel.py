"""A channel and a phone of the conformance FreeSWITCH, and what an event says of a channel.

The fields are those of the recordings in ``tests/data/recordings/freeswitch``, without the many
that describe SIP and RTP. See `pbx_esl.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Answers = Literal["rings", "answers", "busy", "unknown", "fails"]

CORE_UUID = "e676a233-0e35-4808-9414-d39f3c6b8f3b"
_sequence = itertools.count(2500)


class Task(NamedTuple):
    """An application that a channel is told to run."""

    app: str
    data: str = ""
    uuid: str = ""
    """``event-uuid`` of a sendmsg: comes back as Application-UUID."""


PARK = Task("park")


@dataclass(eq=False, slots=True)
class Phone:
    """Whoever holds a phone: a customer or an agent, with at most one call."""

    party: str
    answers: Answers = "rings"
    rung: int = 0
    """How often it rang or was tried."""
    told: str = ""
    """Why its last ringing ended: ``elsewhere``, ``cancelled`` or empty."""
    refuses_hold: bool = True
    """A re-INVITE is answered by 488 (hold-refused-by-phone)."""
    channel: Channel | None = None
    is_ringing: bool = False
    played: list[str] = field(default_factory=list)
    went_on_to: str = ""


@dataclass(eq=False, slots=True)
class Channel:
    """One leg of a call."""

    uuid: str
    phone: Phone
    name: str
    direction: Literal["inbound", "outbound"]
    number: str
    caller_name: str
    dialled: str
    variables: dict[str, str] = field(default_factory=dict)
    state: str = "CS_INIT"
    call_state: str = "DOWN"
    answer_state: str = "ringing"
    cause: str = ""
    is_gone: bool = False
    running: deque[Task] = field(default_factory=deque)
    """What runs: the first is heard, those behind wait for it."""
    is_parked: bool = False
    peer: Channel | None = None
    """Bridged with, or being bridged with."""
    is_joined: bool = False
    """Both hear each other."""
    is_originator: bool = False
    room: str = ""
    spied: str = ""
    """The channel that this one listens to."""
    spy_digit: str = "0"
    job: str = ""
    """The originate that waits for it."""
    app: Task = PARK
    """What it runs once it is answered."""
    turn: int = 0
    """Raised by whatever makes steps that are under way pointless."""
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    digits: str = ""
    created_us: int = field(default_factory=lambda: time.time_ns() // 1000)

    @property
    def is_up(self) -> bool:
        """Answered and not over."""
        return self.answer_state == "answered" and not self.is_gone

    @property
    def parks(self) -> bool:
        """It stays when what it is bridged with goes."""
        return self.variables.get("park_after_bridge") == "true"

    @property
    def plays(self) -> Task | None:
        """What is played to it."""
        return self.running[0] if self.running else None


def fields(name: str, channel: Channel) -> dict[str, Any]:
    """An event about a channel, as `answered-and-bridged.jsonl` has it."""
    body = {
        **stamps(name),
        "Channel-State": channel.state,
        "Channel-Call-State": channel.call_state,
        "Channel-Name": channel.name,
        "Unique-ID": channel.uuid,
        "Call-Direction": channel.direction,
        "Presence-Call-Direction": channel.direction,
        "Answer-State": channel.answer_state,
        "Caller-Direction": channel.direction,
        "Caller-Caller-ID-Name": channel.caller_name,
        "Caller-Caller-ID-Number": channel.number,
        "Caller-Destination-Number": channel.dialled,
        "Caller-Unique-ID": channel.uuid,
        "Caller-Context": "default",
    }
    if channel.cause:
        body["Hangup-Cause"] = channel.cause
    if channel.peer is not None:
        body["Other-Leg-Unique-ID"] = channel.peer.uuid
    return {**body, **{f"variable_{key}": value for key, value in channel.variables.items()}}


def stamps(name: str) -> dict[str, Any]:
    """What every event begins with."""
    return {
        "Event-Name": name,
        "Core-UUID": CORE_UUID,
        "FreeSWITCH-Hostname": "conformance",
        "FreeSWITCH-Switchname": "conformance",
        "Event-Date-Timestamp": str(time.time_ns() // 1000),
        "Event-Sequence": str(next(_sequence)),
    }


def row(channel: Channel) -> dict[str, Any]:
    """A row of ``show channels as json``, as `socket-lost.jsonl` has it."""
    task = channel.plays or (PARK if channel.is_parked else Task(""))
    return {
        "uuid": channel.uuid,
        "direction": channel.direction,
        "created_epoch": str(channel.created_us // 1_000_000),
        "name": channel.name,
        "state": channel.state,
        "cid_name": channel.caller_name,
        "cid_num": channel.number,
        "dest": channel.dialled,
        "application": task.app,
        "application_data": task.data,
        "context": "default",
        "callstate": channel.call_state,
        "hostname": "conformance",
    }


def voices(channels: list[Channel], channel: Channel) -> set[str]:
    """Whose voices reach a channel: bridge, conference, and who listens in and speaks."""
    found = {each.phone.party for each in _partners(channels, channel)}
    for target in channels:
        if channel.spied == target.uuid:
            found |= {target.phone.party} | {c.phone.party for c in _partners(channels, target)}
    for other in channels:
        for target in channels:
            if other.spied != target.uuid or other.is_gone:
                continue
            to_target = other.spy_digit in "23" and target is channel
            to_others = other.spy_digit in "13" and channel in _partners(channels, target)
            if to_target or to_others:
                found.add(other.phone.party)
    return found - {channel.phone.party}


def _partners(channels: list[Channel], channel: Channel) -> list[Channel]:
    if channel.is_joined and channel.peer is not None:
        return [channel.peer]
    if channel.room:
        return [each for each in channels if each.room == channel.room and each is not channel]
    return []
