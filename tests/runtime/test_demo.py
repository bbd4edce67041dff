"""The demo with a rule book: segments and the learned hour are at work within a minute."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from router.config import AdapterSettings, Config, load
from router.core import commands as c
from router.core.model import AgentId, Contact, ContactState, Direction, Presence
from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.memory import MemoryJournal
from router.runtime.clock import ManualClock
from router.runtime.demo import ANSWERED, Demo
from router.runtime.host import Host
from router.runtime.regulars import LOYALTY, NAMES, history, make_known, regulars
from tests.runtime.world import World, until

CONFIG = Path(__file__).parents[2] / "config" / "loyalty.yaml"
HOUR = 3_600_000_000
NOON = int(datetime(2026, 11, 25, 12, 10, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * 10**6


@pytest.fixture(scope="module")
def shop() -> Config:
    return load(CONFIG)


@pytest.mark.parametrize("hour", range(24))
def test_at_any_hour_somebody_of_each_segment_may_be_contacted(hour: int) -> None:
    now_us = NOON + hour * HOUR
    people = regulars(now_us)
    assert len(people) == len(NAMES)
    local = [datetime.fromtimestamp(now_us / 1e6, ZoneInfo(person.zone)) for person in people]
    now = [
        person.loyalty
        for person, at in zip(people, local, strict=True)
        if (person.weekday, person.hour) == (at.weekday(), at.hour) and 9 <= at.hour < 20
    ]
    assert {loyalty for loyalty, _ in LOYALTY} <= set(now)
    assert now == [person.loyalty for person in people[: len(now)]]


def test_their_history_says_eight_of_ten_in_their_hour() -> None:
    for person in regulars(NOON):
        own = [
            attempt
            for attempt in history(person, NOON)
            for at in [datetime.fromtimestamp(attempt.at_us / 1e6, ZoneInfo(person.zone))]
            if (attempt.channel, at.weekday(), at.hour)
            == (person.channel, person.weekday, person.hour)
        ]
        assert len(own) == 10
        assert sum(attempt.outcome in ("replied", "answered") for attempt in own) == 8
        assert all(attempt.at_us < NOON for attempt in history(person, NOON))


def _is_over(turns: Iterator[int]) -> bool:
    return next(turns) >= 100


class Street:
    """The shop with its regulars, on a clock that tests turn."""

    def __init__(self, world: World, host: Host) -> None:
        self.world = world
        self.host = host
        self.seen: dict[str, Contact] = {}

    async def seconds(self, count: int) -> None:
        """Let time pass, and look at every contact."""
        for _ in range(count * 2):
            self.world.clock.advance(500_000)
            # What one answer leads to is asked for by the next task.
            ahead = itertools.count()
            await until(partial(_is_over, ahead))
            self.seen.update(
                {
                    contact.id: contact
                    for contact in self.host.workspace.engine.state.contacts.values()
                }
            )


@pytest.fixture
async def street(shop: Config) -> AsyncIterator[Street]:
    world = World(ManualClock(NOON), MemoryJournal(), await BlockKeys.open(MemoryBlocks()))
    settings = shop.workspaces["main"]
    host = await world.host(policy=settings.policy)
    adapters = {name: one for name, one in settings.adapters.items() if one.type == "loopback"}
    host.load({**adapters, "visitors": AdapterSettings(type="loopback", channel="chat")})
    await host.start(settings.agents)
    host.serve([])
    yield Street(world, host)
    await world.end()


async def test_in_a_minute_segments_and_the_learned_hour_are_at_work(street: Street) -> None:
    host = street.host
    demo = Demo(host, street.world.clock, random.Random(7))
    demo.start()
    try:
        # Their profiles are made first, and that takes no time on this clock.
        live = host.workspace.engine.state.contacts
        await until(
            lambda: any(one.direction is Direction.OUTBOUND for one in live.values()),
            turns=1_000_000,
        )
        await street.seconds(60)
    finally:
        await demo.stop()
    seen = list(street.seen.values())
    assert {contact.segment for contact in seen} >= {loyalty for loyalty, _ in LOYALTY}
    assert all(contact.watched for contact in seen if contact.segment == "complaining")
    out = [contact for contact in seen if contact.direction is Direction.OUTBOUND]
    rules = [contact.rule for contact in out]
    assert rules.count("sms-people-on-their-hour") >= 3
    sent = [contact for contact in out if contact.outbound and contact.outbound.sent_at_us]
    assert len(sent) >= 2
    window = sent[0].outbound.window if sent[0].outbound else None
    assert window is not None
    assert "8 of 10 answered" in window.text
    answered = [contact for contact in sent if contact.outbound and contact.outbound.is_settled]
    assert answered, f"{ANSWERED:.0%} answer, and an agent gets it"
    assert any(contact.visit_no > 0 for contact in answered)


async def test_a_reminder_outside_the_hour_waits_for_it_with_its_evidence(street: Street) -> None:
    people = [person for person in regulars(NOON) if person.zone == "Australia/Sydney"]
    assert await make_known(street.host, people, NOON) == len(people)
    assert await make_known(street.host, people, NOON) == 0
    demo = Demo(street.host, street.world.clock, random.Random(7))
    demo.start()
    try:
        contacts = street.host.workspace.engine.state.contacts.values

        def waiting() -> list[Contact]:
            return [
                contact
                for contact in contacts()
                if contact.state is ContactState.SCHEDULED and contact.customer == people[0].id
            ]

        for _ in range(40):
            await street.seconds(5)
            if waiting() and waiting()[0].not_before_us:
                break
        (contact,) = waiting()
        assert contact.outbound is not None
        assert contact.outbound.window is not None
        local = datetime.fromtimestamp(
            contact.outbound.window.start_us / 1e6, ZoneInfo("Australia/Sydney")
        )
        assert (local.weekday(), local.hour) == (people[0].weekday, people[0].hour)
        assert contact.not_before_us == contact.outbound.window.start_us
    finally:
        await demo.stop()


async def test_loyal_bills_go_to_billing_ahead_of_others(street: Street) -> None:
    (loyal,) = [person for person in regulars(NOON) if person.id == "oak-01"]
    await make_known(street.host, [loyal], NOON)
    for agent in ("dora", "emil"):
        await street.host.workspace.ask(
            c.SetPresence(agent=AgentId(agent), presence=Presence.NOT_READY)
        )
    backend = street.host.channels.get("phones")
    assert backend is not None
    receipt = await backend.arrive(loyal.phone, to="+4930555200")  # type: ignore[attr-defined]
    contact = street.host.workspace.engine.state.contacts[receipt.contact]
    assert (contact.segment, contact.rule) == ("loyal", "loyal-billing")
    assert contact.segment_reason == "buys_often && likes_us"
    assert (contact.queue, contact.head_start_us) == ("billing", 90_000_000)
