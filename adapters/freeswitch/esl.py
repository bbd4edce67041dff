"""FreeSWITCH's event socket protocol (ESL), without a socket: bytes to frames, words to commands.

A frame is a block of ``Name: value`` lines, an empty line, and a body as long as ``Content-Length``
says (mod_event_socket in FreeSWITCH's documentation). Frames come split and joined as the network
likes, a command's reply may stand behind an event, and replies come in the order of their commands.
Everything that goes out passes `command` or `sendmsg`: a line break in a word would be a second
command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

HEAD_MOST = 262_144
"""Longest block of headers in bytes; the reply to ``connect`` carries a whole channel."""
BODY_MOST = 64 * 1024 * 1024
"""Longest body: ``show channels as json`` has some 900 bytes a channel."""
NO_OUTPUT = "-ERR no reply"
"""What mod_event_socket says of an api call that succeeded and printed nothing (``uuid_break``,
``uuid_recv_dtmf``, ``global_getvar`` of what is not set). After the documentation."""


class ProtocolError(Exception):
    """What came is no event socket protocol; the connection is of no use any more."""


class Unsafe(ValueError):
    """A word would mean something else to FreeSWITCH than it does to us."""


@dataclass(slots=True, frozen=True)
class Frame:
    """One message of FreeSWITCH."""

    headers: dict[str, str]
    body: bytes = b""

    @property
    def type(self) -> str:
        """``auth/request``, ``command/reply``, ``api/response``, ``text/event-json``, ..."""
        return self.headers.get("Content-Type", "")

    @property
    def reply(self) -> str:
        """``+OK ...`` or ``-ERR ...`` of a command, the output of an api call without its end."""
        if self.type == "api/response":
            text = self.body.decode("utf-8", "replace").rstrip("\n")
            return "" if text == NO_OUTPUT else text
        return self.headers.get("Reply-Text", "")

    @property
    def is_refused(self) -> bool:
        """The command was not carried out."""
        return self.reply.startswith("-")

    @property
    def is_event(self) -> bool:
        """An event, or a call's own notice; everything else answers a command."""
        return self.type in ("text/event-json", "text/disconnect-notice")


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event, or a ``uuid_dump``: the fields that are looked at; all others are passed over."""

    name: str = msgspec.field(name="Event-Name", default="")
    uuid: str = msgspec.field(name="Unique-ID", default="")
    direction: str = msgspec.field(name="Call-Direction", default="")
    state: str = msgspec.field(name="Channel-State", default="")
    answer_state: str = msgspec.field(name="Answer-State", default="")
    cause: str = msgspec.field(name="Hangup-Cause", default="")
    other: str = msgspec.field(name="Other-Leg-Unique-ID", default="")
    number: str = msgspec.field(name="Caller-Caller-ID-Number", default="")
    caller_name: str = msgspec.field(name="Caller-Caller-ID-Name", default="")
    dialled: str = msgspec.field(name="Caller-Destination-Number", default="")
    application: str = msgspec.field(name="Application", default="")
    application_uuid: str = msgspec.field(name="Application-UUID", default="")
    job: str = msgspec.field(name="Job-UUID", default="")
    body: str = msgspec.field(name="_body", default="")
    record_path: str = msgspec.field(name="Record-File-Path", default="")
    current: str = msgspec.field(name="variable_current_application", default="")
    mark: str = msgspec.field(name="variable_contact_router", default="")
    router: str = msgspec.field(name="variable_cr_router", default="")
    role: str = msgspec.field(name="variable_cr_role", default="")
    call: str = msgspec.field(name="variable_cr_call", default="")
    contact: str = msgspec.field(name="variable_cr_contact", default="")
    reservation: str = msgspec.field(name="variable_cr_reservation", default="")
    epoch: str = msgspec.field(name="variable_cr_epoch", default="")
    leg: str = msgspec.field(name="variable_cr_leg", default="")
    held: str = msgspec.field(name="variable_cr_held", default="")
    serving: str = msgspec.field(name="variable_cr_serving", default="")
    recording: str = msgspec.field(name="variable_cr_recording", default="")
    digits: str = msgspec.field(name="variable_cr_digits", default="")


_EVENT = msgspec.json.Decoder(Event, strict=False)


def event_of(body: bytes) -> Event:
    """The event in a frame's body, or in the output of ``uuid_dump ... json``.

    Raises ProtocolError.
    """
    try:
        return _EVENT.decode(_readable(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"an event that is no JSON: {error}") from None


def fields_of(body: bytes) -> dict[str, Any]:
    """All fields of an event: what a call brings along may have any name. Raises ProtocolError."""
    try:
        fields: dict[str, Any] = msgspec.json.decode(_readable(body), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"an event that is no JSON: {error}") from None
    return fields


def _readable(body: bytes) -> bytes:
    """The same in UTF-8. FreeSWITCH puts into its JSON what a phone has sent, byte for byte, and
    some phones send their owner's name in Latin-1: one caller must not deafen us to all others."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return body.decode("utf-8", "replace").encode()
    return body


def channels_of(body: bytes) -> list[str]:
    """The ids in the output of ``show channels as json``. Raises ProtocolError.

    Without a channel there is no ``rows`` at all, only ``row_count``.
    """
    rows = fields_of(body).get("rows", [])
    if not isinstance(rows, list):
        raise ProtocolError("show channels: rows is no list")
    return [str(row["uuid"]) for row in rows if isinstance(row, dict) and row.get("uuid")]


class Decoder:
    """Bytes in, frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: dict[str, str] | None = None
        self._length = 0
        self._scanned = 0

    def feed(self, data: bytes) -> list[Frame]:
        """What is complete now. Raises ProtocolError; then nothing more may be fed."""
        self._buffer += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    @property
    def held(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._buffer)

    def _next(self) -> Frame | None:
        if self._head is None and not self._read_head():
            return None
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        head, self._head = self._head, None
        assert head is not None
        return Frame(head, body)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\n\n", self._scanned)
        if end < 0:
            if len(self._buffer) > HEAD_MOST:
                raise ProtocolError(f"no end of the headers in {HEAD_MOST} bytes")
            self._scanned = max(0, len(self._buffer) - 1)
            return False
        block = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._scanned = 0
        self._head = _headers(block)
        length = self._head.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > BODY_MOST:
            raise ProtocolError(f"Content-Length: expected 0 to {BODY_MOST}, got {length[:20]!r}")
        self._length = int(length)
        if "Content-Type" not in self._head:
            raise ProtocolError("headers without Content-Type")
        return True


def _headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\n"):
        name, colon, value = line.partition(":")
        if not line:
            continue
        if not colon:
            raise ProtocolError(f"a header without a colon: {line[:40]!r}")
        headers.setdefault(name.strip(), value.strip())
    return headers


def decoded(headers: Mapping[str, str]) -> dict[str, str]:
    """A channel's headers as the reply to ``connect`` brings them: percent-encoded."""
    return {name: unquote(value) for name, value in headers.items()}


# --- what goes out ----------------------------------------------------------------------------

_UUID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_WORD = re.compile(r"[^\s;|,'\"\\{}\[\]<>()&$`^]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def channel_id(uuid: str) -> str:
    """An id of a channel as it may stand in a command. Raises Unsafe."""
    if not _UUID.fullmatch(uuid):
        raise Unsafe(f"no channel id: {uuid[:40]!r}")
    return uuid


def word(value: str) -> str:
    """One argument: no space, quote, list or command separator, nothing FreeSWITCH expands.

    Raises Unsafe.
    """
    if not _WORD.fullmatch(value) or not value.isprintable():
        raise Unsafe("an argument has a character that FreeSWITCH would read as syntax")
    return value


def quoted(value: str) -> str:
    """A channel variable's value inside ``{...}`` of a dial string. Raises Unsafe.

    Commas and spaces are harmless in single quotes; what would end the quotes, the list or the
    line is refused, and so is ``$``, which FreeSWITCH expands.
    """
    if re.search(r"['\\{}\[\]$`^;|\x00-\x1f\x7f]", value):
        raise Unsafe("a value has a character that FreeSWITCH would read as syntax")
    return f"'{value}'" if re.search(r"[^A-Za-z0-9_.:@/+-]", value) else value


def variables(values: Mapping[str, str]) -> str:
    """``{name=value,...}`` before a dial string; empty values are left out. Raises Unsafe."""
    for name in values:
        if not _NAME.fullmatch(name):
            raise Unsafe(f"no variable name: {name[:40]!r}")
    return "{" + ",".join(f"{name}={quoted(v)}" for name, v in values.items() if v) + "}"


def command(line: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A command as it goes out. Raises Unsafe for a line break in it."""
    lines = [line, *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if any(re.search(r"[\r\n\x00]", each) for each in lines):
        raise Unsafe("a line break in a command")
    return ("\n".join(lines) + "\n\n").encode()


def api(line: str) -> bytes:
    """Asks for output now; FreeSWITCH does nothing else on this socket meanwhile."""
    return command(f"api {line}")


def bgapi(line: str, job: str) -> bytes:
    """As `api`, in a thread of its own: BACKGROUND_JOB with this id brings the output."""
    return command(f"bgapi {line}", {"Job-UUID": channel_id(job)})


def execute(uuid: str, application: str, argument: str, event_id: str) -> bytes:
    """Runs an application on a parked channel: CHANNEL_EXECUTE_COMPLETE brings `event_id` back.

    The documentation's ``sendmsg``, not recorded. Raises Unsafe.
    """
    headers = {
        "call-command": "execute",
        "execute-app-name": word(application),
        "execute-app-arg": argument,
        "event-uuid": channel_id(event_id),
    }
    return command(f"sendmsg {channel_id(uuid)}", headers)
