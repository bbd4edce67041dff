"""What a condition costs, against the lambda that a programmer would write for it.

Both are called in turn, in small chunks, on the same context, so that both see the same machine.
The lambda is what one would write by hand: no checks that the condition's types do not ask for.
"""

from __future__ import annotations

import gc
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from time import thread_time_ns
from typing import Any

from router.core.rules.compile import compile_expression
from router.core.rules.schema import Schema
from router.core.rules.types import (
    BOOL,
    DOUBLE,
    DURATION,
    INT,
    JSON_OBJECT,
    STRING,
    TIMESTAMP,
    Field,
    list_of,
    map_of,
    record_of,
)

CHUNK = 2_000
TARGET = 1.5
"""Times the lambda that a condition may cost."""
SECOND_US = 1_000_000

SCHEMA = Schema(
    {
        "segment": STRING,
        "now": TIMESTAMP,
        "contact": record_of(
            "contact",
            {
                "direction": STRING,
                "waited": DURATION,
                "position": INT,
                "attributes": JSON_OBJECT,
                "requirements": map_of(STRING, INT),
                "tags": list_of(STRING),
            },
        ),
        "preference": record_of(
            "preference", {"channel": Field(STRING, optional=True), "confidence": DOUBLE}
        ),
        "local": record_of("local", {"hour": INT, "day": STRING}),
        "queue": record_of("queue", {"waiting": INT, "is_open": BOOL}),
    }
)


@dataclass(slots=True)
class Contact:
    """A contact as conditions see it."""

    direction: str = "outbound"
    waited: int = 95 * SECOND_US
    position: int = 3
    attributes: dict[str, Any] = field(
        default_factory=lambda: {"topic": "billing", "order": 1200, "number": "+4930123"}
    )
    requirements: dict[str, int] = field(default_factory=lambda: {"billing": 6})
    tags: list[str] = field(default_factory=lambda: ["new"])


@dataclass(slots=True)
class Preference:
    """A learned preference as conditions see it."""

    channel: str | None = "sms"
    confidence: float = 0.9


@dataclass(slots=True)
class Local:
    """The customer's local time."""

    hour: int = 10
    day: str = "tue"


@dataclass(slots=True)
class Queue:
    """The queue's numbers."""

    waiting: int = 4
    is_open: bool = True


@dataclass(slots=True)
class Context:
    """Everything that conditions see."""

    segment: str = "loyal"
    now: int = 1_774_747_805_123_456
    contact: Contact = field(default_factory=Contact)
    preference: Preference = field(default_factory=Preference)
    local: Local = field(default_factory=Local)
    queue: Queue = field(default_factory=Queue)


CASES: tuple[tuple[str, str, Callable[[Context], object]], ...] = (
    (
        "segment and attribute",
        'segment == "loyal" && contact.attributes.topic == "billing"',
        lambda c: c.segment == "loyal" and c.contact.attributes["topic"] == "billing",
    ),
    (
        "learned channel",
        'contact.direction == "outbound" && preference.channel == "sms" '
        "&& preference.confidence >= 0.8",
        lambda c: (
            c.contact.direction == "outbound"
            and c.preference.channel == "sms"
            and c.preference.confidence >= 0.8
        ),
    ),
    (
        "skill and hour",
        'segment == "loyal" && "billing" in contact.requirements && local.hour >= 9',
        lambda c: (
            c.segment == "loyal" and "billing" in c.contact.requirements and c.local.hour >= 9
        ),
    ),
    (
        "waiting",
        'contact.waited > duration("2m") || queue.waiting + contact.position >= 7',
        lambda c: c.contact.waited > 120 * SECOND_US or c.queue.waiting + c.contact.position >= 7,
    ),
    (
        "days, not open",
        'local.day in ["tue", "wed"] && !queue.is_open || "vip" in contact.tags',
        lambda c: (
            (c.local.day in ("tue", "wed") and not c.queue.is_open) or "vip" in c.contact.tags
        ),
    ),
    (
        "number in an attribute",
        "has(contact.attributes.order) && contact.attributes.order >= 1000",
        lambda c: "order" in c.contact.attributes and c.contact.attributes["order"] >= 1000,
    ),
    (
        "text in an attribute",
        'contact.attributes.number.startsWith("+49") ? queue.waiting < 10 : queue.waiting < 5',
        lambda c: (
            c.queue.waiting < 10
            if c.contact.attributes["number"].startswith("+49")
            else c.queue.waiting < 5
        ),
    ),
)


@dataclass
class Figure:
    """One case: ns for each, and how often the condition's is the lambda's."""

    name: str
    condition_ns: float
    lambda_ns: float
    compile_us: float

    @property
    def ratio(self) -> float:
        """How many times the lambda."""
        return self.condition_ns / self.lambda_ns


def run(rounds: int = 300) -> list[Figure]:
    """Every case, once."""
    return [_measured(*case, rounds) for case in CASES]


def _measured(name: str, text: str, by_hand: Callable[[Any], object], rounds: int) -> Figure:
    context = Context()
    begun = thread_time_ns()
    evaluate = compile_expression(text, SCHEMA).evaluate
    compile_us = (thread_time_ns() - begun) / 1000
    assert evaluate(context) == by_hand(context)
    gc.collect()
    gc.disable()
    try:
        condition, own = [], []
        for _ in range(rounds):
            condition.append(_chunk(evaluate, context))
            own.append(_chunk(by_hand, context))
    finally:
        gc.enable()
    return Figure(name, statistics.median(condition), statistics.median(own), compile_us)


def _chunk(function: Callable[[Any], object], context: Context) -> float:
    """CPU nanoseconds of one call; the loop around it runs in C (a deque that keeps nothing)."""
    calls = map(function, repeat(context, CHUNK))
    begun = thread_time_ns()
    deque(calls, maxlen=0)
    return (thread_time_ns() - begun) / CHUNK
