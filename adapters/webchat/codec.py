"""What visitor and adapter say to each other, the signed visitor token, and the message rate.

Sans-IO: time is given, nothing is sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Annotated, Literal, NamedTuple

import msgspec

TEXT_BYTES = 4_096
"""Longest message, in bytes of UTF-8."""
FRAME_BYTES = 32_768
"""Longest frame: a text whose every character is escaped (RFC 8259 §7), and its envelope."""

MessageId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Short = Annotated[str, msgspec.Meta(max_length=200)]
Who = Literal["visitor", "agent", "router"]
Phase = Literal["idle", "waiting", "talking", "ended"]


class _Up(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, forbid_unknown_fields=True):
    """From the visitor; ``type`` is the class name in lower case."""


class Hello(_Up, frozen=True):
    """First frame of a page."""

    key: Short
    token: Short = ""
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    identity: Annotated[str, msgspec.Meta(max_length=6_000)] = ""
    """What the site's server signed about the visitor (`identity.py`)."""


class Say(_Up, frozen=True):
    """A message; `id` is the page's own, the same one twice is the same message."""

    id: MessageId
    text: str
    files: Annotated[tuple[Short, ...], msgspec.Meta(max_length=5)] = ()
    """What the uploads answered (`uploads.py`); with a file the text may be empty."""


class Choose(_Up, frozen=True):
    """The answer to an `Ask`."""

    name: Short
    value: Short


class Typing(_Up, frozen=True):
    """The visitor is typing; shown at the desk, never kept."""


class End(_Up, frozen=True):
    """The visitor closes the conversation."""


Up = Hello | Say | Choose | Typing | End


class _Down(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, omit_defaults=True):
    """To the visitor."""


class Message(_Down, frozen=True):
    """A message of the conversation. The visitor's own comes back when it is durable."""

    id: str
    who: Who
    text: str
    at_ms: int
    files: tuple[str, ...] = ()
    """Names of its files; after a restart those of a message without words are its text."""


class Place(_Down, frozen=True):
    """Where the visitor stands; `wait_s` -1 = nobody can say."""

    position: int = 0
    wait_s: int = -1
    text: str = ""


class Ask(_Down, frozen=True):
    """A question with choices, answered by `Choose`."""

    name: str
    prompt: str
    choices: dict[str, str] = {}


class Answered(_Down, frozen=True):
    """This question is over, answered on any page or by nobody."""

    name: str


class Welcome(_Down, frozen=True, kw_only=True):
    """The visitor is known; everything said so far."""

    token: str
    state: Phase
    messages: list[Message] = []
    position: int = 0
    wait_s: int = -1
    held: bool = False
    ask: Ask | None = None
    files: bool = False
    """Whether files are taken; then `file_bytes` and `file_types` say which."""
    file_bytes: int = 0
    file_types: tuple[str, ...] = ()


class Hold(_Down, frozen=True):
    """The agent is away for a moment, or back."""

    held: bool = False


class Joined(_Down, frozen=True):
    """An agent has the conversation now: nobody waits any more."""


class AgentTyping(_Down, frozen=True, tag="typing"):
    """The agent is typing; shown for a few seconds."""


class Ended(_Down, frozen=True):
    """The conversation is over; the next message begins a new one."""


class Token(_Down, frozen=True):
    """A newer token: keep this one."""

    token: str


class Refused(_Down, frozen=True):
    """The message was not taken; with `retry_after_s` it may be said again."""

    id: str
    code: str
    text: str
    retry_after_s: float = 0.0


class Error(_Down, frozen=True):
    """A frame that nobody understood."""

    code: str
    text: str


Down = (
    Message
    | Place
    | Ask
    | Answered
    | Welcome
    | Hold
    | Joined
    | AgentTyping
    | Ended
    | Token
    | Refused
    | Error
)

_DECODER: msgspec.json.Decoder[Up] = msgspec.json.Decoder(Up)
_ENCODER = msgspec.json.Encoder()


def decode(data: str | bytes) -> Up:
    """One frame of the visitor; raises ValueError saying what was expected."""
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def encode(frame: Down) -> str:
    """One frame to the visitor."""
    return _ENCODER.encode(frame).decode()


class Visitor(NamedTuple):
    """Who a token stands for: a visitor and the number of their conversation."""

    id: str
    number: int


class Signer:
    """Makes visitor tokens and checks them: ``<visitor>.<number>.<expires>.<signature>``."""

    def __init__(self, secret: bytes, site: str, days: int) -> None:
        self._secret = secret
        self._site = site
        self._length_s = days * 86_400

    def sign(self, visitor: Visitor, now_s: int) -> str:
        """A token that is good for the configured number of days."""
        body = f"{visitor.id}.{visitor.number}.{now_s + self._length_s}"
        return f"{body}.{self._signature(body)}"

    def check(self, token: str, now_s: int) -> Visitor | None:
        """The visitor; None for a token that is not ours, was changed, or has expired."""
        body, _, signature = token.rpartition(".")
        # Compared as bytes: compare_digest refuses text that is not ASCII.
        if not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            return None
        visitor, number, expires = body.rsplit(".", 2)
        return Visitor(visitor, int(number)) if int(expires) > now_s else None

    def _signature(self, body: str) -> str:
        # The site's name is signed too: a token of one site is worth nothing on another.
        text = f"webchat\n{self._site}\n{body}".encode()
        digest = hmac.new(self._secret, text, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def too_long(text: str) -> str:
    """Why this text cannot be a message; empty when it can."""
    if not text.strip():
        return "the message is empty"
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > TEXT_BYTES:
        return f"the message has {size} bytes; at most {TEXT_BYTES} are taken"
    return ""


def same_origin(origin: str, allowed: tuple[str, ...], host: str) -> bool:
    """Whether a page of this origin may connect; ``self`` in the list stands for our own host."""
    scheme, mark, place = origin.lower().partition("://")
    if not mark or scheme not in ("http", "https"):
        return False
    return any(
        place == host.lower() if entry == "self" else origin.lower() == entry.lower().rstrip("/")
        for entry in allowed
    )
