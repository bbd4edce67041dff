"""What the journal gives: every input that came from outside, tied to where its contact stood.

Given: arrivals with all their fields, agents' profiles and presence, customers' patience, how
agents took each offer, talk and wrap-up, messages, transfers, what supervisors did. Not given,
because it is decided anew: order, agents chosen, relaxation, overflow, limits, missed offers,
parking after silence.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import count, takewhile
from typing import NamedTuple

from router.core import commands as c
from router.core.facts import LearnedWindow
from router.core.model import AgentId, ContactId, QueueId
from router.core.record import Record
from router.replay.stages import Kind, Place

StageKey = tuple[ContactId, Kind, int]


class Given(NamedTuple):
    """An input that belongs to a stage."""

    seq: int
    """Number of its event in the log: the order among inputs of one moment."""
    place: Place
    command: c.Command
    """With the ids as they were; the driver puts in who serves now."""


class Reaction(NamedTuple):
    """How an agent took an offer."""

    seq: int
    kind: str
    """``accept``, ``reject``, ``fail``, ``miss``; ``rescinded``: taken back before an answer."""
    after_us: int
    channel: str
    agent: AgentId
    reason: str = ""
    busy: bool = False
    is_direct: bool = False
    """Accepted by the media leg coming up."""


class Passed(NamedTuple):
    """A stage that has been."""

    queue: QueueId
    channel: str
    length_us: int
    end: Place
    by: str
    """What ended it: ``input``, ``silence``, ``engine``, or ``open``: the log ends before it."""
    last: Given | None
    """The input that ended it."""
    has_patience: bool
    """A customer was on the line who could leave."""


class Return(NamedTuple):
    """An agent is ready again after a missed offer."""

    seq: int
    after_us: int
    by: str = ""


class PolicyMark(Record, kw_only=True):
    """The settings were applied (again) at this moment."""

    version: str
    by: str = ""


class LiveReport(Record, kw_only=True):
    """An adapter listed what it has; these were gone."""

    channel: str
    gone: list[ContactId] = []


ClockInput = c.Command | PolicyMark | LiveReport


class Recording:
    """All that is given, by where it belongs."""

    def __init__(self) -> None:
        self.clock: list[tuple[int, int, ClockInput]] = []
        """(moment, number, input) of what happens at its moment whatever is decided."""
        self.inputs: dict[StageKey, list[Given]] = {}
        self.stages: dict[StageKey, Passed] = {}
        self.last_served: dict[ContactId, list[int]] = {}
        """Numbers of the services that came to an end of their own, by contact."""
        self.offers: dict[tuple[ContactId, AgentId], list[Reaction]] = {}
        self.reactions: list[Reaction] = []
        """Those that the agent has shown, in the order of the log."""
        self.wraps: dict[tuple[ContactId, int], list[Given]] = {}
        self.returns: dict[tuple[AgentId, int], Return | None] = {}
        """By agent and moment of the missed offer; None = came back in some other way."""
        self.ticks: list[tuple[int, int]] = []
        """(moment, since): what fell due between these passed at the moment, late."""
        self.versions: list[tuple[int, str]] = []
        self.aside: Counter[str] = Counter()
        """Inputs that change nothing of what is compared, and are not asked again."""
        self.first_us = 0
        self.last_us = 0
        self.last_seq = 0

    def given(self, key: StageKey) -> list[Given]:
        """Inputs of a stage, in the order of the log."""
        return self.inputs.get(key, [])

    def fires_at(self, due_us: int, limit_us: int) -> int:
        """When a deadline passes: as late as the server was then, never past `limit_us`."""
        at = bisect_left(self.ticks, (due_us, 0))
        if at < len(self.ticks):
            moment_us, since_us = self.ticks[at]
            if since_us <= due_us and moment_us <= limit_us:
                return moment_us
        return due_us

    def windows(self, contact: ContactId) -> tuple[LearnedWindow, ...]:
        """Those that were chosen for a contact after it came."""
        shelves = ((contact, Kind.SHELF, number) for number in count(1))
        said = (
            given.command
            for key in takewhile(self.stages.__contains__, shelves)
            for given in self.given(key)
        )
        provided = (command for command in said if isinstance(command, c.ProvideCustomer))
        return tuple(window for command in provided for window in command.facts.windows)

    def services(self) -> Iterator[tuple[StageKey, Passed]]:
        """Stages of being served that their own end ended."""
        for contact, numbers in self.last_served.items():
            for number in numbers:
                key = (contact, Kind.SERVE, number)
                yield key, self.stages[key]
