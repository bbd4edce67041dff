"""How a backend is described: who calls, where things are in what it says, how it is written to."""

from __future__ import annotations

from typing import Any, Literal

from router.core.record import Value

Paths = str | tuple[str, ...]
"""Where a value is (`paths.py`); of several the first that is there."""


class Verify(Value, kw_only=True):
    """How a call of the backend's is told from anybody else's."""

    kind: Literal["header", "body_hmac", "timed_hmac"]
    """``header``: a header has the secret itself. ``body_hmac``: it has HMAC-SHA256(secret, body),
    in hex, perhaps after ``sha256=``. ``timed_hmac``: of timestamp, a full stop and body."""
    header: str
    secret_file: str
    timestamp_header: str = ""
    """For ``timed_hmac``: seconds since 1970."""
    within_s: int = 300
    """For ``timed_hmac``: so far may the timestamp be from our clock, either way."""
    challenge_token_file: str = ""
    """The backend asks once by GET (``hub.mode``, ``hub.verify_token``, ``hub.challenge``), and
    must hear the challenge if the token is this one."""


class Messages(Value, kw_only=True):
    """Where messages of customers are in a call; other paths begin at each message."""

    each: str = ""
    """Where they are; empty: the whole body is one."""
    where: dict[str, str] = {}
    """Only those where these values stand (path: value; ``*``: any)."""
    id: Paths
    """The backend's id of it: the same one twice is one message."""
    sender: Paths
    """The customer's address, and where an answer goes."""
    sender_prefix: str = ""
    """Put before the sender, and taken off again when we write (``+`` makes a number E.164)."""
    name: Paths = ()
    to: Paths = ()
    """Our address that was written to, if the body says it."""
    text: Paths = ()
    attachments: dict[str, str] = {}
    """Kind: path of what the backend calls the file. At most ten are listed, none is fetched."""
    attributes: dict[str, str] = {}
    """Name: path of what rules may know. Only what the backend vouches for."""


class Receipts(Value, kw_only=True):
    """Where the backend says what became of our messages; paths begin at each receipt."""

    each: str = ""
    state: Paths
    delivered: tuple[str, ...]
    """Words of `state` that mean: it has reached the customer."""
    undelivered: tuple[str, ...] = ()
    """Words that mean: it never will."""
    reason: Paths = ()
    """A code of the backend's; only short words and numbers are passed on."""
    reference: Paths = ()
    """Where our ``{reference}`` comes back: then receipts are understood after a restart, too."""
    message_id: Paths = ()
    """Where the backend's id is, if it does not bring our reference back."""


class Answer(Value, kw_only=True):
    """What an answer of the backend's means; the first that fits counts."""

    status: str
    """A status (``200``) or a class of them (``2xx``)."""
    where: dict[str, str] = {}
    """Only if these values stand in the answer (path: value; ``*``: any)."""
    means: Literal["accepted", "later", "refused"]
    """``later``: nothing was done, and it may be tried again. What fits nowhere is unknown."""
    after_s: Paths = ()
    """For ``later``: where the number of seconds is; else the header Retry-After says it."""
    reason: Paths = ()
    """For ``refused``: a code of the backend's, as for receipts."""


DEFAULT_ANSWERS = (
    Answer(status="2xx", means="accepted"),
    Answer(status="429", means="later"),
    Answer(status="4xx", means="refused"),
)


class Request(Value, kw_only=True):
    """A request of ours."""

    url: str
    """Placeholders in it are percent-encoded."""
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, str] = {}
    body: Any
    """JSON. A text that is a placeholder and nothing else (``"{text}"``, ``"{customer:int}"``)
    becomes that value; nothing is ever joined into a text."""


class Send(Request, kw_only=True):
    """The request that sends a message."""

    answers: tuple[Answer, ...] = DEFAULT_ANSWERS
    message_id: Paths = ()
    """Where in the answer the backend's id is."""
    longest: int = 4_096
    """Most characters; a longer text goes in parts, cut at blanks."""
    repeats: bool = False
    """The backend does the same ``{effect}`` only once: what was not answered is sent again."""
