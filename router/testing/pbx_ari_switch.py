"""The inside of a conformance Asterisk: what requests and phones do to channels and bridges.

Each order of events follows the recording that its comment names; where there is none it says
"after ARI's description".
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from router.testing.pbx_ari_parts import (
    CAUSE_TEXT,
    Bridge,
    Channel,
    Json,
    Party,
    Playback,
    Problem,
    Races,
    Recording,
    now,
)

SOUND_S = 0.05
"""How long an announcement lasts; beep took 0.3 s when it was recorded."""
RTP_STATISTICS = ("RTPAUDIOQOS", "RTPAUDIOQOSJITTER", "RTPAUDIOQOSLOSS", "RTPAUDIOQOSRTT",
                  "RTPAUDIOQOSMES")  # fmt: skip
"""Set at each hang-up (answered-and-bridged): the flood that an event filter keeps away."""

DOUBLED = ("ChannelStateChange", "Dial", "ChannelVarset", "ChannelHold", "ChannelUnhold",
           "ChannelDtmfReceived", "ChannelHangupRequest", "ChannelDestroyed")  # fmt: skip
"""What an endpoint subscription brings twice (phone-hold-and-digits); StasisStart it does not."""


class Switch:
    """Channels, bridges, playbacks and phones. `tell(app, event)` carries events away."""

    def __init__(self, tell: Callable[[str, Json], None], races: Races) -> None:
        self.races = races
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.playbacks: dict[str, Playback] = {}
        self.recordings: dict[str, Recording] = {}
        self.parties: dict[str, Party] = {}
        self.dialled: list[str] = []
        """Channels that were dialled, each time."""
        self.sounds: set[str] = set()
        """Sounds that do not exist: everything else does."""
        self.active: dict[str, bool] = {}
        """Applications; False: no socket is open for it."""
        self.on_change: Callable[[], None] = lambda: None
        self._tell = tell
        self._numbers = itertools.count(1)
        self.ahead_ms = 0

    def party(self, name: str) -> Party:
        """This phone, made when first named."""
        return self.parties.setdefault(name, Party(name))

    # -- events --------------------------------------------------------------------------------

    def emit(self, app: str, kind: str, **fields: Any) -> None:
        """One event to one application."""
        self.on_change()
        if app:
            event = {
                "type": kind, "timestamp": now(self.ahead_ms), **fields,
                "asterisk_id": "02:00:00:00:00:01", "application": app,
            }  # fmt: skip
            self._tell(app, event)
            if self.races.doubled and kind in DOUBLED:
                self._tell(app, event)

    def of(self, channel: Channel, kind: str, **fields: Any) -> None:
        """One event of a channel."""
        self.emit(channel.app, kind, **fields, channel=channel.json())

    def varset(self, channel: Channel, variable: str, value: str) -> None:
        """A variable is set, and everybody hears of it."""
        channel.variables[variable] = value
        self.of(channel, "ChannelVarset", variable=variable, value=value)

    def dial_event(self, channel: Channel, status: str, dialstring: str = "") -> None:
        """Progress of an outgoing call."""
        self.emit(channel.app, "Dial", dialstatus=status, forward="", dialstring=dialstring,
                  peer=channel.json())  # fmt: skip

    # -- the life of a channel -----------------------------------------------------------------

    def add(self, channel: Channel) -> Channel:
        """A new channel. Raises Problem 409 for an id that is taken."""
        if channel.id in self.channels:
            raise Problem(409, {"message": "Channel with given unique ID already exists"})
        channel.created = now()
        self.channels[channel.id] = channel
        self.on_change()
        return channel

    def number(self) -> int:
        """For names."""
        return next(self._numbers)

    def enter_stasis(self, channel: Channel) -> bool:
        """Run Stasis(); False: the application is not there and the dialplan goes on."""
        if channel.is_gone:
            return False
        if not self.active.get(channel.app, False):
            if channel.is_originated:
                # event-socket-lost: 200, and the channel is gone 0.5 s later.
                asyncio.get_running_loop().call_later(0.5, self.end, channel)
            return False
        channel.is_in_stasis = True
        if channel.is_originated and not channel.enters_when_up:
            # answered-and-bridged: ChannelDialplan and STASISSTATUS before StasisStart.
            data = f"{channel.app},{channel.args}"
            self.of(channel, "ChannelDialplan", dialplan_app="Stasis", dialplan_app_data=data)
        if channel.is_originated:
            self.varset(channel, "STASISSTATUS", "")
        args = channel.args.split(",") if channel.args else []
        self.of(channel, "StasisStart", args=args)
        return True

    def answer(self, channel: Channel) -> None:
        """Up: answered by us (a caller), or by the phone."""
        if channel.state == "Up":
            return
        self._stop_ringing(channel)
        channel.state = "Up"
        self.of(channel, "ChannelStateChange")
        if channel.is_dialled:
            self.dial_event(channel, "ANSWER")
        if channel.enters_when_up and not channel.is_in_stasis:
            self.enter_stasis(channel)

    def dial(self, channel: Channel, timeout_s: float, caller: Channel | None = None) -> None:
        """Ring the phone behind a created channel."""
        party = channel.party
        assert party is not None
        channel.is_dialled = True
        self.dialled.append(channel.id)
        is_engaged = party.channel is not None and party.channel is not channel
        party.rung += 1
        if caller is not None:
            channel.connected = caller.caller
            self.of(channel, "ChannelConnectedLine")
        self.dial_event(channel, "", party.name)
        if not is_engaged:
            party.channel = channel
            party.told = ""
        if party.will == "busy" or is_engaged:
            self.refuse(channel, 17, 486)  # busy-then-next-agent
        elif party.will == "fails":
            self.refuse(channel, 34, 503)  # cause and code after RFC 3398 table 5, not recorded
        elif party.will == "answers" and not party.answers_after_s:
            self.answer(channel)
        else:
            channel.state = "Ringing"
            if self.races.state_first:
                self.of(channel, "ChannelStateChange")
            self.dial_event(channel, "RINGING")
            if not self.races.state_first:
                self.of(channel, "ChannelStateChange")
            loop = asyncio.get_running_loop()
            if party.will == "answers":
                channel.ring_timer = loop.call_later(party.answers_after_s, self.answer, channel)
            elif timeout_s > 0:
                channel.ring_timer = loop.call_later(timeout_s, self.no_answer, channel)

    def refuse(self, channel: Channel, cause: int, tech_cause: int) -> None:
        """The phone says no. Ringing or not, the sequence of busy-then-next-agent."""
        channel.cause, channel.tech_cause = cause, tech_cause
        self.of(channel, "ChannelHangupRequest", cause=cause, tech_cause=tech_cause)
        self.end(channel)

    def no_answer(self, channel: Channel) -> None:
        """The dial's timeout: no-answer-and-cancel."""
        if channel.state != "Ringing":
            return
        channel.cause, channel.tech_cause = 19, 480
        self.of(channel, "ChannelHangupRequest", cause=32, soft=True)
        self.end(channel)

    def hang_up(self, channel: Channel) -> None:
        """The other end does: answered-and-bridged, agent-hangs-up."""
        self.of(channel, "ChannelHangupRequest", cause=16)
        self.end(channel)

    def delete(self, channel: Channel, cause: int) -> None:
        """We do, over ARI: no-answer-and-cancel, parallel-ringing."""
        channel.cause = cause
        self.of(channel, "ChannelHangupRequest", cause=32, soft=True)
        self.end(channel)

    def end(self, channel: Channel) -> None:
        """Out of its bridge, out of Stasis, gone."""
        if channel.is_gone:
            return
        channel.is_gone = True
        self._stop_ringing(channel)
        for playback in list(channel.playbacks):
            self._finish(playback, "failed")
        self.leave_bridge(channel, by_moving=False)
        was_in_stasis, channel.is_in_stasis = channel.is_in_stasis, False
        if was_in_stasis:
            self.of(channel, "StasisEnd")
        self.channels.pop(channel.id, None)
        if channel.party is not None and channel.party.channel is channel:
            channel.party.channel = None
        if channel.is_originated or self.races.tail:
            self._tail(channel, was_in_stasis=was_in_stasis)
        for other in list(self.channels.values()):
            if other.snoops is channel:  # after ARI's description
                self.hang_up(other)
        self.on_change()

    def _tail(self, channel: Channel, *, was_in_stasis: bool) -> None:
        if was_in_stasis:
            self.varset(channel, "STASISSTATUS", "SUCCESS")
        if not channel.is_originated:
            self.of(channel, "ChannelHangupRequest", cause=16, soft=True)
        if channel.state == "Up":
            for name in RTP_STATISTICS:
                self.varset(channel, name, "")
        tech = {"tech_cause": channel.tech_cause} if channel.tech_cause else {}
        text = CAUSE_TEXT.get(channel.cause, "Unknown")
        self.of(channel, "ChannelDestroyed", cause=channel.cause, cause_txt=text, **tech)

    def _stop_ringing(self, channel: Channel) -> None:
        if channel.ring_timer is not None:
            channel.ring_timer.cancel()
        if channel.party is not None and channel.is_gone and channel.state == "Ringing":
            channel.party.told = "elsewhere" if channel.cause == 26 else "cancelled"

    def go_on(self, channel: Channel, where: str) -> None:
        """Back to the dialplan: announce-and-continue."""
        self.leave_bridge(channel, by_moving=True)
        channel.is_in_stasis = False
        self.of(channel, "StasisEnd")
        channel.app = ""
        if channel.party is not None:
            channel.party.went_on_to = where
        self.on_change()

    # -- bridges -------------------------------------------------------------------------------

    def join(self, bridge: Bridge, channels: Iterable[Channel], role: str = "") -> None:
        """Each leaves where it was and enters: answered-and-bridged, hold-consult-..."""
        for channel in channels:
            self.leave_bridge(channel, by_moving=True)
            channel.bridge = bridge
            channel.role = role
            bridge.channels.append(channel)
            bridge.apps[channel.app] = None
            self.of(channel, "ChannelEnteredBridge", bridge=bridge.json())
            bridge.settle()
            self._name_peers(bridge)

    def leave_bridge(self, channel: Channel, *, by_moving: bool) -> None:
        """Out of its bridge, if it is in one."""
        bridge = channel.bridge
        if bridge is None:
            return
        if bridge.type == "mixing" and "BRIDGEPEER" in channel.variables:
            self.varset(channel, "BRIDGEPEER", "")
            self.varset(channel, "BRIDGEPVTCALLID", "")
        channel.bridge = None
        bridge.channels.remove(channel)
        self.of(channel, "ChannelLeftBridge", bridge=bridge.json())
        bridge.settle()
        if by_moving and not any(other.app == channel.app for other in bridge.channels):
            # Nobody hears of its end then: answered-and-bridged has no BridgeDestroyed of the
            # holding bridge, caller-leaves-while-waiting has.
            bridge.apps.pop(channel.app, None)

    def _name_peers(self, bridge: Bridge) -> None:
        if bridge.type != "mixing" or len(bridge.channels) < 2:
            return
        for channel in bridge.channels:
            others = ",".join(c.name for c in bridge.channels if c is not channel)
            if channel.variables.get("BRIDGEPEER") != others:
                self.varset(channel, "BRIDGEPEER", others)
                self.varset(channel, "BRIDGEPVTCALLID", "call")

    def destroy(self, bridge: Bridge) -> None:
        """Members are left without a bridge, but live: bridges and channels are apart."""
        for recording in self.recordings.values():
            if recording.bridge is bridge:
                self.stop_recording(recording)
        for channel in list(bridge.channels):
            self.leave_bridge(channel, by_moving=False)
        del self.bridges[bridge.id]
        for app in bridge.apps:
            self.emit(app, "BridgeDestroyed", bridge=bridge.json())
        self.on_change()

    # -- what is played and recorded -----------------------------------------------------------

    def play(self, channel: Channel, media: str, playback_id: str) -> Playback:
        """Queue an announcement: announce-and-continue."""
        playback = Playback(playback_id, media, channel)
        self.playbacks[playback_id] = playback
        channel.playbacks.append(playback)
        if channel.playbacks == [playback]:
            asyncio.get_running_loop().call_soon(self._begin, playback)
        return playback

    def _begin(self, playback: Playback) -> None:
        if playback.id not in self.playbacks:
            return
        channel = playback.channel
        playback.state = "playing"
        if channel.party is not None:
            channel.party.played.append(playback.media)
        self.emit(channel.app, "PlaybackStarted", playback=playback.json())
        if playback.media.removeprefix("sound:") in self.sounds:
            self._finish(playback, "failed")
        else:
            loop = asyncio.get_running_loop()
            playback.timer = loop.call_later(SOUND_S, self._finish, playback, "done")

    def _finish(self, playback: Playback, state: str) -> None:
        if self.playbacks.pop(playback.id, None) is None:
            return
        if playback.timer is not None:
            playback.timer.cancel()
        playback.state = state
        channel = playback.channel
        channel.playbacks.remove(playback)
        self.emit(channel.app, "PlaybackFinished", playback=playback.json())
        if channel.playbacks and not channel.is_gone:
            self._begin(channel.playbacks[0])

    def stop_playing(self, playback_id: str) -> None:
        """Raises Problem 404: digits-collected. A stopped one ends as done (description)."""
        playback = self.playbacks.get(playback_id)
        if playback is None:
            raise Problem(404, {"message": "Playback not found"})
        self._finish(playback, "done")

    def record(self, bridge: Bridge, name: str, format_: str) -> Recording:
        """After ARI's description. Raises Problem 409 for a name that is in use."""
        if name in self.recordings and self.recordings[name].state != "done":
            raise Problem(409, {"message": "Recording already in progress"})
        recording = self.recordings[name] = Recording(name, format_, bridge)
        for app in bridge.apps:
            self.emit(app, "RecordingStarted", recording=recording.json())
        self.on_change()
        return recording

    def stop_recording(self, recording: Recording) -> None:
        """After ARI's description."""
        if recording.state == "done":
            return
        recording.state = "done"
        for app in recording.bridge.apps:
            self.emit(app, "RecordingFinished", recording=recording.json())

    # -- what is heard (asked by tests, not by ARI) --------------------------------------------

    def hears(self, channel: Channel) -> set[str]:
        """Names of the parties whose voices reach this channel's phone."""
        heard = self._reaching(channel, frozenset({channel.id}))
        return heard - {channel.party.name if channel.party else ""}

    def _reaching(self, channel: Channel, seen: frozenset[str]) -> set[str]:
        heard: set[str] = set()
        bridge = channel.bridge
        if bridge is not None and bridge.type == "mixing":
            for other in bridge.channels:
                if other.id not in seen:
                    heard |= self._spoken(other, seen | {other.id})
        return heard | self._whispered(channel, "out", seen)

    def _spoken(self, channel: Channel, seen: frozenset[str]) -> set[str]:
        """What a member brings into its bridge."""
        if channel.snoops is not None:
            heard: set[str] = set()
            target = channel.snoops
            if channel.spy in ("in", "both"):
                heard |= {target.party.name} if target.party and not target.on_hold else set()
            if channel.spy in ("out", "both"):
                heard |= self._reaching(target, seen)
            return heard
        heard = {channel.party.name} if channel.party and not channel.on_hold else set()
        return heard | self._whispered(channel, "in", seen)

    def _whispered(self, channel: Channel, way: str, seen: frozenset[str]) -> set[str]:
        """What snoop channels bring to its ear (``out``) or into what it says (``in``)."""
        heard: set[str] = set()
        for snoop in self.channels.values():
            whispers = snoop.snoops is channel and snoop.whisper in (way, "both")
            if whispers and snoop.id not in seen:
                heard |= self._reaching(snoop, seen | {snoop.id})
        return heard

    def plays(self, channel: Channel) -> str:
        """What is played to it now: an announcement, ``music``, or nothing."""
        for playback in channel.playbacks:
            if playback.state == "playing":
                return playback.media
        bridge = channel.bridge
        # Heard on a real Asterisk 22: silence without the role, music with it, each time anew.
        waits = bridge is not None and bridge.type == "holding"
        is_played_to = waits and channel.role == "holding_participant"
        return "music" if is_played_to or channel.music else ""
