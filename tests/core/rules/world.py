"""A schema with a field of every kind, and contexts for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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

SECOND_US = 1_000_000
SUNDAY_US = 1_774_747_805_123_456
"""2026-03-29T01:30:05.123456Z: in Berlin the clock has just gone from 2:00 to 3:00."""

SCHEMA = Schema(
    {
        "segment": Field(STRING, values=("loyal", "floating", "passive", "complaining")),
        "now": TIMESTAMP,
        "zone": STRING,
        "open": BOOL,
        "contact": record_of(
            "contact",
            {
                "direction": STRING,
                "position": INT,
                "waited": DURATION,
                "received": TIMESTAMP,
                "attributes": JSON_OBJECT,
                "skills": map_of(STRING, INT),
                "tags": list_of(STRING),
                "levels": list_of(INT),
            },
        ),
        "preference": record_of(
            "preference",
            {
                "channel": Field(STRING, optional=True),
                "confidence": Field(DOUBLE, optional=True),
                "attempts": Field(INT, optional=True),
                "share": DOUBLE,
            },
        ),
    }
)


@dataclass
class Contact:
    """What rules see of a contact."""

    direction: str = "inbound"
    position: int = 3
    waited: int = 95 * SECOND_US
    received: int = SUNDAY_US - 95 * SECOND_US
    attributes: dict[str, Any] = field(default_factory=lambda: {"topic": "billing", "n": 3})
    skills: dict[str, int] = field(default_factory=lambda: {"en": 3, "de": 7})
    tags: list[str] = field(default_factory=lambda: ["vip", "new"])
    levels: list[int] = field(default_factory=lambda: [1, 5])


@dataclass
class Preference:
    """What rules see of a learned preference."""

    channel: str | None = "sms"
    confidence: float | None = 0.9
    attempts: int | None = 10
    share: float = 0.25


@dataclass
class Context:
    """One context."""

    segment: str = "loyal"
    now: int = SUNDAY_US
    zone: str = "Europe/Berlin"
    open: bool = True
    contact: Contact = field(default_factory=Contact)
    preference: Preference = field(default_factory=Preference)
