"""One visitor's conversation, and what the adapter needs of an open page."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from adapters import Bucket
from adapters.webchat.codec import (
    Ask,
    Down,
    Message,
    Phase,
    Place,
    Visitor,
    Welcome,
    Who,
)
from adapters.webchat.files import Shelf
from adapters.webchat.settings import Settings
from router.channel import ChannelError, Line

ANSWER = 1_000
"""So much of a message is the answer to a question, in characters."""
TYPING_S = 2.0
"""Typing is told so often at most."""


class Page(Protocol):
    """An open page of a visitor (`visits.py`)."""

    def send(self, frame: Down) -> None:
        """Queue a frame; a page that does not keep up is closed."""

    def close(self, code: int, reason: str) -> None:
        """Begin closing."""


class Words(NamedTuple):
    """What a visitor says."""

    id: str
    """The page's own."""
    text: str
    origin: str
    """Of the page."""
    files: tuple[str, ...] = ()
    """Ids that the uploads were answered."""


@dataclass(slots=True)
class Conversation:
    """One visitor's conversation, as long as it is in memory."""

    visitor: str
    number: int
    messages: deque[Message]
    bucket: Bucket
    name: str = ""
    known_as: str = ""
    """The site's own id of the visitor, if it vouched for one."""
    facts: dict[str, str | int | float | bool] = field(default_factory=dict)
    """What else it vouched for."""
    files: Shelf = field(default_factory=Shelf)
    """Uploaded, and named by no message yet."""
    phase: Phase = "idle"
    begun: bool = False
    """The router has (or had) a contact for this number."""
    place: Place = field(default_factory=Place)
    held: bool = False
    ask: Ask | None = None
    question: str = ""
    """The router's id of it."""
    pages: list[Page] = field(default_factory=list)
    recalled: bool = False
    """`messages` has what was said before this process."""
    typed_at_s: float = -TYPING_S
    """When the agent was last told that the visitor types, on the loop's clock."""
    away: asyncio.TimerHandle | None = None
    saying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One message at a time: of two first ones, the second must join what the first began."""

    @property
    def address(self) -> str:
        """Who the customer is to the router: the site's id of them, or a stranger's visitor id."""
        return self.known_as or self.visitor

    @property
    def external_id(self) -> str:
        """The contact's id at this backend."""
        return f"{self.visitor}.{self.number}"

    def welcome(self, token: str, config: Settings) -> Welcome:
        """What a page is told first."""
        return Welcome(
            token=token,
            state=self.phase,
            messages=list(self.messages),
            position=self.place.position,
            wait_s=self.place.wait_s,
            held=self.held,
            ask=self.ask,
            files=config.files,
            file_bytes=config.file_bytes if config.files else 0,
            file_types=config.file_types if config.files else (),
        )

    def recall(self, lines: list[Message]) -> None:
        """What was said before, and what has been said since."""
        self.recalled = True
        known = {line.id for line in lines}
        lines = lines + [message for message in self.messages if message.id not in known]
        self.messages.clear()
        self.messages.extend(sorted(lines, key=lambda line: line.at_ms))

    def knows(self, message_id: str) -> Message | None:
        """The message of this id, if it is in the history."""
        return next((m for m in self.messages if m.id == message_id), None)


def message_of(conversation: Conversation, line: Line) -> Message:
    """A line of the router's history as pages know it."""
    who: Who = "visitor" if line.author == "customer" else "agent"
    if line.author == "router":
        who = "router"
    own = line.backend_id.removeprefix(f"{conversation.external_id}/")
    return Message(own or f"a:{line.id}", who, line.text, line.at_us // 1000)


def filled(text: str, position: int, wait_s: int) -> str:
    """The queue's text with its numbers; empty (the page says it itself) if one is not known."""
    if ("{wait_minutes}" in text and wait_s < 0) or ("{position}" in text and position < 1):
        return ""
    minutes = max(1, -(-wait_s // 60))
    return text.replace("{position}", str(position)).replace("{wait_minutes}", str(minutes))


def parts_of(external_id: str) -> Visitor:
    """Visitor and number of an external id. Raises ChannelError for one that is none of ours."""
    visitor, _, number = external_id.rpartition(".")
    if not visitor or not number.isdecimal():
        raise ChannelError("this contact is not of this site: its external id is none of ours")
    return Visitor(visitor, int(number))
