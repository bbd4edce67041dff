"""ARI's words: the requests that are made and the events that come, as values. No I/O.

ARI has no standard but its own description (Asterisk's ``rest-api/api-docs``); what a real Asterisk
answers and tells is recorded in ``tests/data/recordings/ari``, and comments name the recording.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar
from urllib.parse import quote, unquote

import msgspec

from router.channel import ChannelError

_T = TypeVar("_T")
PLAYABLE = ("sound:", "recording:", "number:", "digits:", "characters:", "tone:")
"""Kinds of media that ARI plays."""
UNWANTED = ("ChannelVarset", "ChannelDialplan", "ChannelConnectedLine", "ChannelCallerId",
            "DeviceStateChanged", "ChannelTalkingStarted", "ChannelTalkingFinished")  # fmt: skip
"""Events that are of no use here; the first comes 4-5 times at each hang-up."""


class Garbage(Exception):
    """What came on the event socket is no event."""


class Caller(msgspec.Struct, frozen=True):
    """Who a channel says it is."""

    number: str = ""
    name: str = ""


class Dialplan(msgspec.Struct, frozen=True):
    """Where in the dialplan a channel is."""

    exten: str = ""
    app_name: str = ""
    app_data: str = ""


class Channel(msgspec.Struct, frozen=True):
    """A channel as ARI shows it."""

    id: str
    state: str = ""
    """``Down``, ``Ring``, ``Ringing``, ``Up``, ``Busy`` ..."""
    name: str = ""
    caller: Caller = Caller()
    dialplan: Dialplan = Dialplan()

    def app_and_args(self) -> tuple[str, list[str]]:
        """In whose Stasis application it is, and with which arguments; empty: in none."""
        if self.dialplan.app_name != "Stasis":
            return "", []
        app, *args = self.dialplan.app_data.split(",")
        return app, args


class Bridge(msgspec.Struct, frozen=True):
    """A bridge as ARI shows it."""

    id: str
    bridge_type: str = ""
    channels: tuple[str, ...] = ()


class Playback(msgspec.Struct, frozen=True):
    """Something that is played."""

    id: str
    state: str = ""


class Recording(msgspec.Struct, frozen=True):
    """A recording."""

    name: str
    cause: str = ""


class Event(msgspec.Struct, frozen=True):
    """An event; fields that its kind does not have are empty."""

    type: str
    timestamp: str = ""
    """To the millisecond; one event that comes twice has the same one twice."""
    application: str = ""
    args: tuple[str, ...] = ()
    channel: Channel | None = None
    peer: Channel | None = None
    playback: Playback | None = None
    recording: Recording | None = None
    dialstatus: str = ""
    digit: str = ""
    cause: int = 0
    """Q.850"""
    soft: bool = False
    """The hang-up was asked for on this side."""


class Value(msgspec.Struct, frozen=True):
    """A variable."""

    value: str = ""


_event = msgspec.json.Decoder(Event)
_channels = msgspec.json.Decoder(list[Channel])
_channel = msgspec.json.Decoder(Channel)
_bridges = msgspec.json.Decoder(list[Bridge])
_value = msgspec.json.Decoder(Value)


def event_of(data: str | bytes) -> Event:
    """One message of the event socket. Raises Garbage."""
    try:
        return _event.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Garbage(str(error)) from None


def channels_of(body: bytes) -> list[Channel]:
    """The answer to `list_channels`. Raises ChannelError."""
    return _read(_channels, body)


def channel_of(body: bytes) -> Channel:
    """A channel that was asked for. Raises ChannelError."""
    return _read(_channel, body)


def value_of(body: bytes) -> str:
    """The answer to `get_variable`. Raises ChannelError."""
    return _read(_value, body).value


def bridges_of(body: bytes) -> list[Bridge]:
    """The answer to `list_bridges`. Raises ChannelError."""
    return _read(_bridges, body)


class Request(NamedTuple):
    """One request; `path` is below ARI's base and quoted."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, object] | None = None


def checked(text: str, what: str) -> str:
    """The same text. Raises ChannelError for control characters.

    A line break in a caller's name must not become a second header or command anywhere behind us.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ChannelError(f"{what} holds control characters")
    return text


def arguments(*words: str) -> str:
    """Words as one ``appArgs``; commas in them do not split."""
    return ",".join(quote(checked(word, "an argument"), safe="+:@ ") for word in words)


def words_of(args: list[str] | tuple[str, ...]) -> list[str]:
    """What `arguments` joined, as an event or a channel brings it back."""
    return [unquote(word) for word in args]


# -- channels ----------------------------------------------------------------------------------


def list_channels() -> Request:
    """event-socket-lost"""
    return Request("GET", "/channels", {})


def get_channel(id_: str) -> Request:
    """announce-and-continue; 404 for one that is gone."""
    return Request("GET", f"/channels/{_id(id_)}", {})


def create_channel(
    id_: str, endpoint: str, app: str, args: str, *, originator: str, variables: dict[str, str]
) -> Request:
    """answered-and-bridged. The variables are the channel's before it dials."""
    query = {
        "endpoint": checked(endpoint, "an endpoint"),
        "app": app,
        "appArgs": args,
        "channelId": checked(id_, "an id"),
    }
    if originator:
        query["originator"] = checked(originator, "an id")
    clean = {name: checked(value, "a variable") for name, value in variables.items()}
    return Request("POST", "/channels/create", query, {"variables": clean})


def dial(id_: str, timeout_s: int, caller: str = "") -> Request:
    """answered-and-bridged; 409 before the channel's StasisStart (dial-too-early-409)."""
    query = {"timeout": str(timeout_s)}
    if caller:
        query["caller"] = checked(caller, "an id")
    return Request("POST", f"/channels/{_id(id_)}/dial", query)


def answer(id_: str) -> Request:
    """answered-and-bridged"""
    return Request("POST", f"/channels/{_id(id_)}/answer", {})


def hang_up(id_: str, reason: str = "normal") -> Request:
    """parallel-ringing (``answered_elsewhere``: cause 26); 404 for one that is gone."""
    return Request("DELETE", f"/channels/{_id(id_)}", {"reason": reason})


def go_on(id_: str, context: str, extension: str) -> Request:
    """announce-and-continue: on in the dialplan, out of our hands."""
    query = {"context": checked(context, "a context"), "extension": checked(extension, "it")}
    return Request("POST", f"/channels/{_id(id_)}/continue", {**query, "priority": "1"})


def set_variable(id_: str, name: str, value: str) -> Request:
    """announce-and-continue"""
    query = {"variable": name, "value": checked(value, "a variable")}
    return Request("POST", f"/channels/{_id(id_)}/variable", query)


def get_variable(id_: str, name: str) -> Request:
    """announce-and-continue; 404 when it was not set."""
    return Request("GET", f"/channels/{_id(id_)}/variable", {"variable": name})


def play(id_: str, media: str, playback: str) -> Request:
    """announce-and-continue: 201, also for a sound that does not exist."""
    query = {"media": checked(media, "media"), "playbackId": playback}
    return Request("POST", f"/channels/{_id(id_)}/play", query)


def stop_playing(playback: str) -> Request:
    """digits-collected; 404 when it is over."""
    return Request("DELETE", f"/playbacks/{_id(playback)}", {})


def snoop(id_: str, snoop_id: str, app: str, args: str, whisper: str) -> Request:
    """A channel that hears what this one says and hears; `whisper`: ``none`` or ``out`` (to its
    ear). After ARI's description, on no recording."""
    query = {"app": app, "appArgs": args, "spy": "both", "whisper": whisper}
    return Request("POST", f"/channels/{_id(id_)}/snoop/{_id(snoop_id)}", query)


# -- bridges and recordings ----------------------------------------------------------------------


def list_bridges() -> Request:
    """event-socket-lost"""
    return Request("GET", "/bridges", {})


def create_bridge(id_: str, kind: str) -> Request:
    """answered-and-bridged. ``holding``; mixing always with DTMF events: without them Asterisk 22
    sends the digits of a bridge of two past us."""
    type_ = "holding" if kind == "holding" else "mixing,dtmf_events"
    return Request("POST", "/bridges", {"type": type_, "bridgeId": id_, "name": id_})


def delete_bridge(id_: str) -> Request:
    """answered-and-bridged; 404 for one that is gone."""
    return Request("DELETE", f"/bridges/{_id(id_)}", {})


def add_channels(bridge: str, channels: list[str], *, waits: bool = False) -> Request:
    """answered-and-bridged: each leaves the bridge that it is in by itself.

    `waits`: with music, in a holding bridge. Without this role Asterisk puts a channel there into
    silence (heard on 22).
    """
    query = {"channel": ",".join(channels)}
    if waits:
        query["role"] = "holding_participant"
    return Request("POST", f"/bridges/{_id(bridge)}/addChannel", query)


def record(bridge: str, name: str, format_: str) -> Request:
    """After ARI's description; 409 while it is being recorded under this name."""
    query = {"name": checked(name, "a name"), "format": format_, "ifExists": "append"}
    return Request("POST", f"/bridges/{_id(bridge)}/record", query)


def pause_recording(name: str, *, on: bool) -> Request:
    """After ARI's description."""
    return Request("POST" if on else "DELETE", f"/recordings/live/{_id(name)}/pause", {})


# -- the PBX itself ------------------------------------------------------------------------------


def info() -> Request:
    """Version and more."""
    return Request("GET", "/asterisk/info", {"only": "system"})


def ping() -> Request:
    """Whether anybody is there."""
    return Request("GET", "/asterisk/ping", {})


def module(name: str) -> Request:
    """404 when it is not loaded."""
    return Request("GET", f"/asterisk/modules/{_id(name)}", {})


def application(name: str) -> Request:
    """404 when nobody ever connected as it (event-socket-lost)."""
    return Request("GET", f"/applications/{_id(name)}", {})


def filter_events(app: str) -> Request:
    """Keep `UNWANTED` away from us (Asterisk 16.2 and later)."""
    disallowed = [{"type": kind} for kind in UNWANTED]
    path = f"/applications/{_id(app)}/eventFilter"
    return Request("PUT", path, {}, {"disallowed": disallowed})


def endpoint(tech: str, resource: str) -> Request:
    """404 when it is not configured."""
    return Request("GET", f"/endpoints/{_id(tech)}/{_id(resource)}", {})


def sound(name: str) -> Request:
    """404 when it does not exist in any language."""
    return Request("GET", f"/sounds/{quote(checked(name, 'a sound'), safe='')}", {})


def _read(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ChannelError("the PBX's answer cannot be read") from None


def _id(text: str) -> str:
    return quote(checked(text, "an id"), safe="")
