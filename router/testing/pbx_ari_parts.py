"""What a conformance Asterisk is made of: channels, bridges, phones, in ARI's own words.

Names and shapes of fields follow the recordings in ``tests/data/recordings/ari`` (Asterisk 20); a
part that is on none of them says so. See `pbx_ari.py`.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

CAUSES = {
    # Q.850 as in ARI's `reason` of DELETE /channels; 26 is on parallel-ringing.jsonl, the others
    # after ARI's description.
    "normal": 16, "busy": 17, "congestion": 34, "no_answer": 19, "timeout": 19, "rejected": 21,
    "unallocated": 1, "normal_unspecified": 31, "failure": 38, "answered_elsewhere": 26,
}  # fmt: skip
CAUSE_TEXT = {
    16: "Normal Clearing", 17: "User busy", 19: "User alerting, no answer",
    26: "Answered elsewhere", 34: "Circuit/channel congestion",
}  # fmt: skip


@dataclass(slots=True)
class Races:
    """What real Asterisk does now one way, now another; `drawn` mixes them by a seed."""

    events_first: bool = True
    """Events of a request come before its answer (answered-and-bridged: answer), or after it
    (agent-hangs-up: DELETE)."""
    late_start_s: float = 0.0
    """A created channel enters Stasis so much later; a `dial` before that is 409
    (dial-too-early-409)."""
    tail: bool = True
    """After StasisEnd a dialplan caller's ChannelDestroyed comes (answered-and-bridged), or nothing
    more (caller-leaves-while-waiting)."""
    state_first: bool = True
    """ChannelStateChange Ringing before Dial RINGING (answered-and-bridged) or after it
    (hold-consult-conference-transfer)."""
    doubled: bool = False
    """Each channel event comes twice, as after an endpoint subscription
    (phone-hold-and-digits)."""

    @classmethod
    def drawn(cls, rng: random.Random) -> Races:
        """Any of them."""
        return cls(
            events_first=rng.random() < 0.5,
            late_start_s=rng.choice((0.0, 0.002)),
            tail=rng.random() < 0.5,
            state_first=rng.random() < 0.5,
            doubled=rng.random() < 0.2,
        )


@dataclass(slots=True)
class Party:
    """Whoever holds a phone: a customer by number, an agent by the name of their phone."""

    name: str
    will: str = "rings"
    """``rings``, ``answers``, ``busy``, ``unknown`` or ``fails``"""
    answers_after_s: float = 0.0
    """``answers``: having rung so long."""
    rung: int = 0
    told: str = ""
    """Why the last ringing ended unanswered: ``elsewhere``, ``cancelled``."""
    played: list[str] = field(default_factory=list)
    went_on_to: str = ""
    channel: Channel | None = None


@dataclass(slots=True)
class Playback:
    """Something that is played to a channel."""

    id: str
    media: str
    channel: Channel
    state: str = "queued"
    timer: asyncio.TimerHandle | None = None

    def json(self) -> Json:
        """As ARI shows it (announce-and-continue)."""
        return {
            "id": self.id, "media_uri": self.media, "target_uri": f"channel:{self.channel.id}",
            "language": "en", "state": self.state,
        }  # fmt: skip


@dataclass(slots=True)
class Channel:
    """One leg."""

    id: str
    name: str
    state: str
    party: Party | None = None
    caller: str = ""
    connected: str = ""
    context: str = "from-sip"
    exten: str = "s"
    app: str = ""
    """The application whose it is; stays after the end for who may still hear of it."""
    args: str = ""
    is_in_stasis: bool = False
    is_originated: bool = False
    """Made over ARI, not by a caller."""
    enters_when_up: bool = False
    """Made by POST /channels: StasisStart comes when it is answered (originate-and-bridged)."""
    variables: dict[str, str] = field(default_factory=dict)
    bridge: Bridge | None = None
    playbacks: list[Playback] = field(default_factory=list)
    music: str = ""
    """Class that was begun on the channel itself."""
    role: str = ""
    """In a holding bridge: ``holding_participant`` hears music, no role hears nothing."""
    on_hold: bool = False
    """The phone's own hold key."""
    snoops: Channel | None = None
    """A snoop channel: whom it listens to (after ARI's description, on no recording)."""
    spy: str = "none"
    whisper: str = "none"
    cause: int = 16
    tech_cause: int = 0
    ring_timer: asyncio.TimerHandle | None = None
    is_dialled: bool = False
    is_gone: bool = False
    created: str = ""

    def json(self) -> Json:
        """As ARI shows it."""
        app_data = f"{self.app},{self.args}" if self.is_in_stasis else ""
        return {
            "id": self.id, "name": self.name, "state": self.state,
            "protocol_id": f"call-{self.id}",
            "caller": {"name": "", "number": self.caller},
            "connected": {"name": "", "number": self.connected},
            "accountcode": "",
            "dialplan": {
                "context": self.context, "exten": self.exten, "priority": 1,
                "app_name": "Stasis" if self.is_in_stasis else "", "app_data": app_data,
            },
            "creationtime": self.created, "language": "en",
        }  # fmt: skip


@dataclass(slots=True)
class Bridge:
    """Where channels meet (mixing) or wait (holding)."""

    id: str
    type: str
    name: str = ""
    channels: list[Channel] = field(default_factory=list)
    technology: str = "simple_bridge"
    music: str = ""
    apps: dict[str, None] = field(default_factory=dict)
    """Applications that hear of it."""
    created: str = ""

    def settle(self) -> None:
        """The technology by the number of members; events show it one step late, as recorded."""
        if self.type == "holding":
            self.technology = "holding_bridge"
        else:
            count = len(self.channels)
            self.technology = (
                "softmix" if count > 2 else "native_rtp" if count == 2 else "simple_bridge"
            )

    def json(self) -> Json:
        """As ARI shows it."""
        return {
            "id": self.id, "technology": self.technology, "bridge_type": self.type,
            "bridge_class": "stasis", "creator": "Stasis", "name": self.name,
            "channels": [channel.id for channel in self.channels],
            "creationtime": self.created, "video_mode": "talker",
        }  # fmt: skip


@dataclass(slots=True)
class Recording:
    """A live recording of a bridge (after ARI's description, on no recording)."""

    name: str
    format: str
    bridge: Bridge
    state: str = "recording"
    """``recording``, ``paused`` or ``done``"""

    def json(self) -> Json:
        """As ARI shows it."""
        return {
            "name": self.name, "format": self.format, "state": self.state,
            "target_uri": f"bridge:{self.bridge.id}",
        }  # fmt: skip


def now(ahead_ms: int = 0) -> str:
    """A moment in ARI's form."""
    moment = datetime.now(UTC) + timedelta(milliseconds=ahead_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


class Problem(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


NOT_IN_STASIS = Problem(409, {"message": "Channel not in Stasis application"})
"""dial-too-early-409"""
