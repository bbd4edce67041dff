"""Rule books for tests: parts written shortly, compiled against one set of names."""

from __future__ import annotations

from typing import Any

from router.core.facts import Facts
from router.core.model import Contact, ContactId, QueueId, Requirements
from router.core.rules.book import Match, Moment, Rule, RuleBook, Segment
from router.core.rules.compile import Expression, compile_expression
from router.core.rules.context import Context, Known, schema
from router.core.rules.schema import Schema
from router.core.rules.verbs import SegmentStrategy, Then

SECOND_US = 1_000_000
NOW_US = 1_795_508_100_000_000
"""2026-11-24T08:15:00Z, a Tuesday; 9:15 in Berlin."""
KNOWN = Known(
    queues={"care": "Europe/Berlin", "billing": "America/New_York"},
    channels=("voice", "sms", "email"),
    segments=("loyal", "passive"),
    entry_points=("main",),
    templates=("offer",),
)
SCHEMA = schema(KNOWN)


class Numbers:
    """A `Look` that answers from a table, and says what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def _answer(self, name: str, otherwise: Any) -> Any:
        self.asked.append(name)
        return self.answers.get(name, otherwise)

    def is_queue(self, queue: str) -> bool:
        return queue in KNOWN.queues

    def waiting(self, queue: str) -> int:
        return int(self._answer("waiting", 4))

    def position(self, contact: ContactId, queue: str) -> int:
        return int(self._answer("position", 5))

    def longest_wait_us(self, queue: str) -> int:
        return int(self._answer("longest_wait_us", 60 * SECOND_US))

    def wait_us(self, queue: str, channel: str) -> int:
        return int(self._answer(f"wait_us {queue} {channel}", 90 * SECOND_US))

    def own_wait_us(self, contact: ContactId, queue: str, channel: str) -> int:
        return int(self._answer("own_wait_us", 80 * SECOND_US))

    def ready(self, queue: str) -> int:
        return int(self._answer("ready", 3))

    def available(self, queue: str, channel: str) -> int:
        return int(self._answer("available", 2))

    def eligible(self, queue: str, requirements: Requirements) -> int:
        return int(self._answer(f"eligible {requirements}", 1))

    def is_open(self, queue: str) -> bool:
        return bool(self._answer("is_open", True))

    def zone(self, queue: str) -> str:
        self.asked.append("zone")
        return KNOWN.queues[queue]


def contact(**values: Any) -> Contact:
    given: dict[str, Any] = {
        "id": "c1",
        "channel": "voice",
        "queue": QueueId("care"),
        "created_at_us": NOW_US - 95 * SECOND_US,
        "visit_at_us": NOW_US - 95 * SECOND_US,
        "attributes": {"topic": "billing"},
        "requirements": (("en", 3),),
    }
    return Contact(**{**given, **values})


def context(facts: Facts | None = None, look: Numbers | None = None, **values: Any) -> Context:
    row = contact(**values)
    return Context(row, facts or Facts(), look or Numbers(), NOW_US, NOW_US)


def when(text: str, names: Schema = SCHEMA) -> Expression:
    return compile_expression(text, names)


def rule(name: str, text: str | None, on: Moment = Moment.RECEIVED, **then: Any) -> Rule:
    condition = when(text) if text is not None else None
    return Rule(name=name, on=on, when=condition, then=Then(**then), place="r.yaml:1")


def segment(name: str, text: str | None, **strategy: Any) -> Segment:
    condition = when(text) if text is not None else None
    return Segment(name=name, when=condition, strategy=SegmentStrategy(**strategy), place="r.yaml")


def book(*rules: Rule, match: Match = Match.FIRST, segments: tuple[Segment, ...] = ()) -> RuleBook:
    return RuleBook(match=match, rules=rules, segments=segments)
