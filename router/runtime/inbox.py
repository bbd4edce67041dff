"""What waits for the loop, who waits for it, and what is refused first under load."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from router.core.commands import Command
from router.core.events import Event
from router.journal import ArchiveWrite, RowWrite

INBOX = 4096
"""Inputs waiting; the shares below are parts of it."""
SHED_AT = (4.0, 0.9, 0.75, 0.5, 0.25)
"""How full the inbox may be for an input of shed class 0, 1, 2 and so on. Class 0
(accept, complete, presence) is not shed: its share is a bound on memory, not a policy."""


class Shed(StrEnum):
    """Names of the shed classes, in the order of `SHED_AT`, for metrics and messages."""

    NEVER = "never"
    VOICE = "voice"
    CHAT = "chat"
    LATER = "sms_email"
    REPORT = "report"


SHED_NAMES = tuple(Shed)
SHED_CLASS = {"voice": 1, "chat": 2, "sms": 3, "email": 3}


def shed_class(channel: str) -> int:
    """The shed class of an arrival on this channel; one that is not known is treated like chat."""
    return SHED_CLASS.get(channel, 2)


class Answer(NamedTuple):
    """What came of a command, durable."""

    seq: int
    """Of its last event; of the last commit where it had none."""
    events: tuple[Event, ...]
    contact: str
    """The contact a Submit or Receive command ended up at."""


class Asker(Protocol):
    """Who waits for an answer: a future, or what needs none because it only passes it on.

    It is told once, by the loop, between two turns; it must neither wait nor raise.
    """

    def done(self) -> bool:
        """Has it been told, or does it not wait any more?"""

    def set_result(self, answer: Answer, /) -> None:
        """This came of the command, and it is durable."""

    def set_exception(self, error: Exception, /) -> None:
        """The command was refused, or nobody knows what came of it (`OutcomeUnknown`)."""


class Input:
    """One command in the inbox, and who waits for it."""

    __slots__ = ("answer", "archive", "command", "failures", "rows", "stamp_us")

    def __init__(
        self,
        command: Command,
        archive: Sequence[ArchiveWrite],
        rows: Sequence[RowWrite],
        stamp_us: int,
        answer: Asker,
    ) -> None:
        self.command = command
        self.archive = archive
        self.rows = rows
        self.stamp_us = stamp_us
        self.answer = answer
        self.failures = 0

    def succeed(self, answer: Answer) -> None:
        """Tell who asked, if they still wait."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Tell who asked, if they still wait."""
        if not self.answer.done():
            self.answer.set_exception(error)
