"""What waits for the loop, who waits for it, and what is refused first under load."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

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


class Input:
    """One command in the inbox, and who waits for it."""

    __slots__ = ("answer", "archive", "command", "failures", "rows", "stamp_us")

    def __init__(
        self,
        command: Command,
        archive: Sequence[ArchiveWrite],
        rows: Sequence[RowWrite],
        stamp_us: int,
        answer: asyncio.Future[Answer],
    ) -> None:
        self.command = command
        self.archive = archive
        self.rows = rows
        self.stamp_us = stamp_us
        self.answer = answer
        self.failures = 0
