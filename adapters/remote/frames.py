"""The frames of the remote adapter's protocol as types, their codecs, and what each call means.

Sans-IO. Both encodings are checked against the types by msgspec while they are decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, assert_never

import msgspec

from router.channel import (
    Address,
    Delivery,
    Effect,
    Line,
    NewContact,
    Receipt,
    Refused,
    RouteAnswer,
    Router,
    RouteRequest,
)

HISTORY_BYTES = 256 * 1024
"""Most text in the answer to `history`: the socket's buffer has room for a few of them."""

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Reason = Annotated[str, msgspec.Meta(max_length=1_000)]
Cid = int | Annotated[str, msgspec.Meta(max_length=128)]


class _Frame(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    """Anything on the wire; ``type`` is the class name in lower case."""


class _Up(_Frame, frozen=True, forbid_unknown_fields=True):
    """From the adapter."""


class Submit(_Up, frozen=True):
    """`Router.submit`."""

    cid: Cid
    contact: NewContact


class Message(_Up, frozen=True):
    """`Router.message`."""

    cid: Cid
    contact: NewContact


class Left(_Up, frozen=True):
    """`Router.left`."""

    cid: Cid
    external_id: Id
    reason: Reason = ""


class Connected(_Up, frozen=True):
    """`Router.connected`."""

    cid: Cid
    reservation: Id


class Failed(_Up, frozen=True):
    """`Router.failed`."""

    cid: Cid
    reservation: Id
    reason: Reason
    busy: bool = False


class Ended(_Up, frozen=True):
    """`Router.ended`."""

    cid: Cid
    external_id: Id
    reason: Reason = ""


class HungUp(_Up, frozen=True, tag="hung_up"):
    """`Router.hung_up`."""

    cid: Cid
    reservation: Id
    reason: Reason = ""


class MonitorEnded(_Up, frozen=True, tag="monitor_ended"):
    """`Router.monitor_ended`."""

    cid: Cid
    monitor: Id
    reason: Reason = ""


class RecordingEnded(_Up, frozen=True, tag="recording_ended"):
    """`Router.recording_ended`."""

    cid: Cid
    recording: Id
    reason: Reason = ""


class Collected(_Up, frozen=True):
    """`Router.collected`."""

    cid: Cid
    external_id: Id
    name: Id
    value: Reason = ""
    ask: Annotated[str, msgspec.Meta(max_length=256)] = ""
    timed_out: bool = False


class Delivered(_Up, frozen=True, tag="receipt"):
    """`Router.receipt`; an `Answer` has a `Receipt` of another kind."""

    cid: Cid
    contact: Id
    message: Id
    state: Delivery
    detail: Reason = ""


class Started(_Up, frozen=True):
    """`Router.started`."""

    cid: Cid
    contact: Id
    external_id: Id


class Route(_Up, frozen=True):
    """`Router.route`."""

    cid: Cid
    request: RouteRequest


class Live(_Up, frozen=True):
    """`Router.live`."""

    cid: Cid
    external_ids: list[Id]


class Open(_Up, frozen=True):
    """`Router.open`."""

    cid: Cid


class History(_Up, frozen=True):
    """`Router.history`."""

    cid: Cid
    external_id: Id
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50


class Typing(_Up, frozen=True):
    """`Router.typing`."""

    external_id: Id


class State(_Up, frozen=True):
    """`Router.state`."""

    state: Literal["starting", "up", "degraded", "down"]
    detail: Reason = ""


class Result(_Up, frozen=True):
    """What became of an effect."""

    effect: Id
    outcome: Literal["done", "failed", "unknown"]
    reason: Reason = ""


class Found(_Up, frozen=True):
    """Whether an effect was carried out; null: cannot say."""

    effect: Id
    found: bool | None


Call = (
    Submit
    | Message
    | Left
    | Connected
    | Failed
    | Ended
    | HungUp
    | MonitorEnded
    | RecordingEnded
    | Collected
    | Delivered
    | Started
    | Route
    | Live
    | Open
    | History
)
Up = Call | Typing | State | Result | Found


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a call was not carried out; `retry_after_s` when it may be made again."""

    code: str
    text: str
    retry_after_s: float = 0.0


class Answer(_Frame, frozen=True, omit_defaults=True):
    """To the call with this `cid`."""

    cid: Cid
    receipt: Receipt | None = None
    route: RouteAnswer | None = None
    open: list[tuple[str, str]] | None = None
    lines: list[Line] | None = None
    error: Error | None = None


class Welcome(_Frame, frozen=True):
    """The session has begun; `epoch` is the highest known, 0 before the first effect."""

    channel: str
    epoch: int
    version: int


class Perform(_Frame, frozen=True, kw_only=True):
    """Carry this out."""

    id: str
    epoch: int
    effect: Effect
    external_id: str
    customer: Address
    our_address: str
    text: str
    author: str
    attributes: dict[str, Any]
    consult_of: str
    first_attempt: bool


class Find(Perform, frozen=True, kw_only=True):
    """Was this carried out?"""


class AgentTyping(_Frame, frozen=True, tag="typing"):
    """`Channel.agent_typing`: the other direction of `Typing`, and as fleeting."""

    external_id: str


class NotUnderstood(_Frame, frozen=True, tag="error"):
    """A frame without a `cid` was not of this protocol."""

    code: str
    text: str


Down = Answer | Welcome | Perform | Find | AgentTyping | NotUnderstood


class Peek(msgspec.Struct, frozen=True):
    """As much of a bad frame as an answer needs."""

    cid: Cid | None = None


class Codec(NamedTuple):
    """How the adapter's side of the wire is read and written in one encoding."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes | str], Up]
    peek: Callable[[bytes | str], Peek]


def _msgpack(kind: Any) -> Callable[[bytes | str], Any]:
    decoder = msgspec.msgpack.Decoder(kind)
    return lambda data: decoder.decode(data.encode() if isinstance(data, str) else data)


CODECS: dict[str, Codec] = {
    "json": Codec(
        msgspec.json.Encoder().encode,
        msgspec.json.Decoder(Up).decode,
        msgspec.json.Decoder(Peek).decode,
    ),
    "msgpack": Codec(msgspec.msgpack.Encoder().encode, _msgpack(Up), _msgpack(Peek)),
}


def key_of(call: Call) -> str:
    """Calls with the same key are carried out in the order in which they came."""
    match call:
        case Submit() | Message():
            return call.contact.external_id
        case Connected() | Failed() | HungUp():
            return f"r/{call.reservation}"
        case Left() | Ended() | Collected() | Started() | History():
            return call.external_id
        case Delivered():
            return f"m/{call.message}"
        case MonitorEnded():
            return f"l/{call.monitor}"
        case RecordingEnded():
            return f"f/{call.recording}"
        case Route():
            return f"q/{call.request.request}"
        case Live() | Open():
            return ""
        case _:
            assert_never(call)


def _newest(lines: list[Line]) -> list[Line]:
    """As many of the last lines as one frame may carry."""
    size = 0
    for place in range(len(lines) - 1, -1, -1):
        size += len(lines[place].text.encode())
        if size > HISTORY_BYTES:
            return lines[place + 1 :]
    return lines


def names_kept_files(contact: NewContact) -> bool:
    """Does its message claim files that this server keeps? None came over this protocol.

    Whoever learned another file's id would else have it go with a message of theirs, or be erased
    with their customer.
    """
    message = contact.message
    return message is not None and any("key" in each for each in message.attachments)


async def say(router: Router, call: Call) -> Answer:
    """Make the call on the router; raises what the router raises."""
    if isinstance(call, (Submit, Message)) and names_kept_files(call.contact):
        raise Refused("attachment", "files cannot be handed over here: give a link to each")
    match call:
        case Submit():
            return Answer(call.cid, receipt=await router.submit(call.contact))
        case Message():
            return Answer(call.cid, receipt=await router.message(call.contact))
        case Route():
            return Answer(call.cid, route=await router.route(call.request))
        case Open():
            return Answer(call.cid, open=await router.open())
        case History():
            lines = await router.history(call.external_id, call.limit)
            return Answer(call.cid, lines=_newest(lines))
        case Left():
            await router.left(call.external_id, call.reason)
        case Connected():
            await router.connected(call.reservation)
        case Failed():
            await router.failed(call.reservation, call.reason, busy=call.busy)
        case Ended():
            await router.ended(call.external_id, call.reason)
        case HungUp():
            await router.hung_up(call.reservation, call.reason)
        case MonitorEnded():
            await router.monitor_ended(call.monitor, call.reason)
        case RecordingEnded():
            await router.recording_ended(call.recording, call.reason)
        case Collected():
            await router.collected(
                call.external_id, call.name, call.value, ask=call.ask, timed_out=call.timed_out
            )
        case Delivered():
            await router.receipt(call.contact, call.message, call.state, call.detail)
        case Started():
            await router.started(call.contact, call.external_id)
        case Live():
            await router.live(list(call.external_ids))
        case _:
            assert_never(call)
    return Answer(call.cid)
