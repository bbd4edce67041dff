"""What waits for the loop, who waits for it, and what is refused first under load."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from router.core.commands import Command, SubmitContact
from router.core.events import Event
from router.journal import ArchiveWrite, RowWrite

INBOX = 4096
"""Inputs waiting; the shares below are parts of it."""
SHED_AT = (4.0, 0.9, 0.75, 0.5, 0.25)
"""How full the inbox may be for an input of shed class 0, 1, 2 and so on. Class 0
(accept, complete, presence) is not shed: its share is a bound on memory, not a policy."""

SHED_AFTER_US = (0, 4_000_000, 2_000_000, 1_000_000, 500_000)
"""How long the oldest arrival may have waited for one of each class to be taken. A full inbox of a
slow machine is many seconds of work: without this bound all would wait so long before the first one
was refused. It is also how long an arrival may expect to wait, by how the line moves: one that
would be taken too late is refused at once, and no line of seconds is left when the rush is over."""

SMOOTH = 0.2
"""What the latest turn counts for in how long each arrival takes."""

ARRIVALS = 256
"""Most of them decided in one go: so long nothing else happens on the event loop."""


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

    __slots__ = ("answer", "archive", "command", "failures", "is_arrival", "rows", "stamp_us")

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
        self.is_arrival = False
        """It waits in the second line."""

    def succeed(self, answer: Answer) -> None:
        """Tell who asked, if they still wait."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Tell who asked, if they still wait."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Inbox:
    """What waits for the loop: first all else, then the arrivals that may be refused.

    Under load an arrival that waits loses little, while an agent who waits for the answer to an
    accept or a completion serves nobody: with one line for both, the more came the fewer were
    served. An arrival that is overtaken is in no other's way: who brings a contact knows its id
    only from the answer.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._first: deque[Input] = deque()
        self._arrivals: deque[Input] = deque()
        self._each_us = 0.0
        """How long the loop has taken for an arrival of late, all else that it does included;
        0 while none has had to wait for the next turn."""
        self._taken_us = 0
        """When arrivals were left waiting; 0: none were."""

    def __len__(self) -> int:
        return len(self._first) + len(self._arrivals)

    def refuses(self, shed: int, now_us: int) -> bool:
        """Is an input of this class not taken now?"""
        if len(self) >= self._most * SHED_AT[shed]:
            return True
        arrivals = self._arrivals
        if not shed or not arrivals:
            return False
        waited_us = now_us - arrivals[0].stamp_us
        return max(waited_us, len(arrivals) * self._each_us) > SHED_AFTER_US[shed]

    def put(self, item: Input, shed: int) -> None:
        """Wait in the line of its kind."""
        item.is_arrival = shed > 0 and type(item.command) is SubmitContact
        (self._arrivals if item.is_arrival else self._first).append(item)

    def put_back(self, items: Sequence[Input]) -> None:
        """These were taken and come before all others of their line again, in their order."""
        for item in reversed(items):
            if item.is_arrival and not item.failures:
                self._arrivals.appendleft(item)
            else:
                self._first.appendleft(item)

    def take(self, most: int, now_us: int) -> list[Input]:
        """The next ones; an input that broke the engine once is tried alone."""
        batch: list[Input] = []
        first, arrivals = self._first, self._arrivals
        while first and len(batch) < most:
            if first[0].failures:
                return batch or [first.popleft()]
            batch.append(first.popleft())
        before = len(arrivals)
        while arrivals and len(batch) < min(most, ARRIVALS):
            batch.append(arrivals.popleft())
        self._learn(before - len(arrivals), now_us)
        return batch

    def _learn(self, taken: int, now_us: int) -> None:
        """So many arrivals were taken now; others may be left."""
        if self._taken_us:
            each_us = (now_us - self._taken_us) / max(1, taken)
            self._each_us += (each_us - self._each_us) * (SMOOTH if self._each_us else 1.0)
        self._taken_us = now_us if self._arrivals else 0
        if not self._arrivals:
            self._each_us = 0.0

    def share(self) -> float:
        """How full it is: reports give way from `SHED_AT[4]` on."""
        return len(self) / self._most
