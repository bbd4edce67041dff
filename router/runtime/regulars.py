"""The demo's regular customers: who they are, and what is known of reaching them.

They live on both sides of the globe, so that at any time of the day there are some who may be
contacted. Numbers are from the ranges that the regulators keep free for film and print.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from router.core import customer_commands as cc
from router.core.customer_model import CustomerPatch, Identity
from router.errors import RouterError
from router.runtime.host import Host

log = logging.getLogger("router.demo")

PLACES = (
    ("Europe/Berlin", "+493023125{:03}"),
    ("America/New_York", "+1212555{:04}"),
    ("Australia/Sydney", "+6125550{:04}"),
)
LOYALTY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("loyal", {"orders": 9, "satisfaction": 5}),
    ("floating", {"orders": 2, "satisfaction": 3}),
    ("passive", {"orders": 7, "satisfaction": 3}),
    ("complaining", {"orders": 3, "satisfaction": 1, "complaints": 2}),
)
"""Segments of loyalty.yaml, and the attributes that lead there."""
NAMES = (
    "Mia Brandt", "Noah Clark", "Olivia Evans", "Paul Fischer", "Quinn Gray", "Rosa Hoffmann",
    "Sam Irving", "Tara Jones", "Udo Krause", "Vera Lang", "Will Moore", "Xenia Neumann",
    "Yara Otto", "Zoe Parker", "Anton Quandt", "Bella Reed", "Carl Sommer", "Dina Turner",
    "Enno Ulrich", "Flora Vogel", "Grace Walker", "Henry Young", "Ines Zimmer", "Jonas Arndt",
)  # fmt: skip
WEEKS = 10
OPEN, SHUT = 9, 20
"""Hours of the day in which somebody was ever tried."""
LATE_MINUTE = 50
"""From here on the hour is nearly over: the next one is theirs."""


class Regular(NamedTuple):
    """A customer whom the shop knows."""

    id: str
    name: str
    phone: str
    email: str
    zone: str
    loyalty: str
    attributes: dict[str, Any]
    channel: str
    """On which they are reached."""
    weekday: int
    """0 = Monday: their day and hour, where they are."""
    hour: int


class Attempt(NamedTuple):
    """One that was made before the demo began."""

    channel: str
    at_us: int
    outcome: str


def regulars(now_us: int) -> list[Regular]:
    """All of them; where it is day, half of them have this hour as theirs, and those come first."""
    found: list[Regular] = []
    first: list[Regular] = []
    for number, name in enumerate(NAMES):
        loyalty, attributes = LOYALTY[number % len(LOYALTY)]
        zone, phone = PLACES[number // len(LOYALTY) % len(PLACES)]
        local = datetime.fromtimestamp(now_us / 1e6, ZoneInfo(zone))
        if local.minute >= LATE_MINUTE:
            local += timedelta(hours=1)
        is_now = number < len(NAMES) // 2 and OPEN <= local.hour < SHUT
        given, family = name.lower().split()
        (first if is_now else found).append(
            Regular(
                id=f"oak-{number + 1:02}",
                name=name,
                phone=phone.format(101 + number),
                email=f"{given}.{family}@mail.example",
                zone=zone,
                loyalty=loyalty,
                attributes=attributes,
                channel="voice" if number % 8 == 4 else "sms",
                weekday=local.weekday() if is_now else (local.weekday() + 1) % 7,
                hour=local.hour if is_now else OPEN + number % (SHUT - OPEN),
            )
        )
    return first + found


def history(person: Regular, now_us: int) -> Iterator[Attempt]:
    """Ten weeks: eight of ten reached in their hour, elsewhere and otherwise hardly ever."""
    other = "sms" if person.channel == "voice" else "voice"
    reached, missed = {"sms": "replied", "voice": "answered"}, {"sms": "ignored"}
    local = datetime.fromtimestamp(now_us / 1e6, ZoneInfo(person.zone))
    first = local.date() - timedelta(days=(local.weekday() - person.weekday) % 7 + 7 * WEEKS)
    for week in range(WEEKS):
        day = first + timedelta(days=7 * week)
        for channel, later_days, hour, outcome in (
            (person.channel, 0, person.hour, reached if week % 5 else missed),
            (other, 1, 9 + (person.hour + 2) % 11, reached if week == 3 else missed),
            (person.channel, 3, 9 + (person.hour + 5) % 11, missed),
        ):
            clock = datetime(day.year, day.month, day.day, hour, 30, tzinfo=ZoneInfo(person.zone))
            at = clock + timedelta(days=later_days)
            at_us = int(at.astimezone(UTC).timestamp()) * 1_000_000
            if at_us < now_us:
                yield Attempt(channel, at_us, outcome.get(channel, "no_answer"))


async def make_known(host: Host, people: list[Regular], now_us: int) -> int:
    """Make their profiles with all that was learned, if they are not there; how many were made."""
    workspace = host.workspace
    book = workspace.customers
    made = 0
    for person in people:
        if await book.get(person.id) is not None:
            continue
        identities = tuple(
            Identity(kind=kind, hash=book.identities.hash(kind, address), address=address)
            for kind, address in (("phone", person.phone), ("email", person.email))
        )
        patch = CustomerPatch(name=person.name, attributes=person.attributes, language="en")
        change = cc.ChangeCustomer(
            customer=person.id, patch=patch, add=identities, version=0, by="demo"
        )
        try:
            await workspace.ask(change)
            for attempt in history(person, now_us):
                await workspace.ask(
                    cc.RecordOutcome(
                        customer=person.id,
                        channel=attempt.channel,
                        address=identities[0].hash,
                        attempted_at_us=attempt.at_us,
                        outcome=attempt.outcome,
                        source="import",
                    )
                )
        except RouterError as error:
            log.warning("a regular customer is missing", extra={"why": str(error)})
            continue
        made += 1
    return made
