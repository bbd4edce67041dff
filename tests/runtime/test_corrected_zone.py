"""Where a customer is, told wrongly and put right: what was learned keeps its moments.

A customer who moves keeps their habits instead.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from router.core import customer_commands as cc
from router.core.customer_model import Customer, CustomerPatch, Identity
from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.memory import MemoryJournal
from router.preference.outcomes import Outcome
from router.preference.profile import wall_hour
from router.runtime.clock import ManualClock
from router.runtime.host import Host
from router.runtime.local_time import offset_minutes
from tests.runtime.world import World, make_policy

BERLIN, NEW_YORK, KOLKATA = "Europe/Berlin", "America/New_York", "Asia/Kolkata"


def berlin(text: str) -> int:
    """A moment on a clock in Berlin."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN)).timestamp()) * 10**6


TRIED = [berlin(f"2026-{day}T09:30") for day in (
    "02-10", "03-10", "03-17", "03-24", "04-14", "06-16", "08-11", "09-15", "10-13", "10-20",
)]  # fmt: skip
"""Ten Tuesdays; three of them between the two changes to summer time, which are weeks apart."""


class Shop:
    """A German workspace that learns."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def change(
        self, customer: str, zone: str | None = None, kind: str = "", address: str = ""
    ) -> None:
        """State a zone (empty: none any more), or give an address."""
        add = (self.identity(kind, address),) if kind else ()
        await self.host.workspace.ask(
            cc.ChangeCustomer(customer=customer, patch=CustomerPatch(zone=zone), add=add)
        )

    def identity(self, kind: str, address: str) -> Identity:
        hash_ = self.host.workspace.customers.identities.hash(kind, address)
        return Identity(kind=kind, hash=hash_, address=address, added_at_us=1)

    async def outcome(
        self,
        customer: str,
        at_us: int,
        outcome: str,
        kind: str = "phone",
        address: str = "+4930123",
    ) -> None:
        """What an attempt at a moment came to."""
        await self.host.workspace.ask(
            cc.RecordOutcome(
                customer=customer,
                channel="email" if kind == "email" else "sms",
                address=self.identity(kind, address).hash,
                attempted_at_us=at_us,
                outcome=outcome,
                source="import",
            )
        )

    async def row(self, customer: str) -> Customer:
        """As it is stored."""
        await self.host.workspace.settled()
        self.host.workspace.customers.drop()
        found = await self.host.workspace.customers.get(customer)
        assert found is not None
        return found

    async def hours(self, customer: str) -> list[int]:
        """The wall hours of the attempts that are remembered."""
        row = await self.row(customer)
        profile = self.host.learner.profile(row, self.host.workspace.now_us())
        return [event.hour for event in profile.events()]


def hours_in(zone: str) -> list[int]:
    return [wall_hour(at_us, offset_minutes(zone, at_us)) for at_us in TRIED]


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    keys = await BlockKeys.open(MemoryBlocks())
    world = World(ManualClock(berlin("2026-10-23T15:00")), MemoryJournal(), keys)
    policy = make_policy()
    channels = {**policy.channels, "email": policy.channels["sms"]}
    host = await world.host(policy=replace(policy, country="DE", channels=channels))
    await host.start([])
    yield Shop(host)
    await world.end()


async def known(shop: Shop, customer: str, zone: str | None = None) -> None:
    """A customer with ten attempts behind them, on a German number."""
    await shop.change(customer, zone, "phone", "+4930123")
    for at_us in TRIED:
        await shop.outcome(customer, at_us, "replied")


async def test_a_stated_zone_puts_right_what_was_told_from_the_number_moment_by_moment(
    shop: Shop,
) -> None:
    await known(shop, "kim")
    assert await shop.hours("kim") == hours_in(BERLIN)
    await shop.change("kim", NEW_YORK)
    assert await shop.hours("kim") == hours_in(NEW_YORK)
    assert {hour % 24 for hour in hours_in(NEW_YORK)} == {3, 4}, "five hours in March, else six"


async def test_one_stated_zone_after_another_is_a_move_and_habits_are_kept(shop: Shop) -> None:
    await known(shop, "kim", BERLIN)
    await shop.change("kim", NEW_YORK)
    assert await shop.hours("kim") == hours_in(BERLIN)


async def test_a_zone_taken_back_and_stated_again_changes_nothing(shop: Shop) -> None:
    await known(shop, "kim", NEW_YORK)
    await shop.change("kim", "")
    assert await shop.hours("kim") == hours_in(BERLIN), "again as the number tells"
    await shop.change("kim", NEW_YORK)
    assert await shop.hours("kim") == hours_in(NEW_YORK)


async def test_zones_that_differ_by_half_an_hour_are_right_to_the_hour(shop: Shop) -> None:
    await known(shop, "kim")
    await shop.change("kim", KOLKATA)
    off = [a - b for a, b in zip(await shop.hours("kim"), hours_in(KOLKATA), strict=True)]
    assert {*off} <= {0, 1}


async def test_the_outcome_of_an_attempt_that_was_open_meanwhile_finds_it(shop: Shop) -> None:
    await known(shop, "kim")
    await shop.change("kim", NEW_YORK)
    await shop.outcome("kim", TRIED[-1], "answered")
    row = await shop.row("kim")
    profile = shop.host.learner.profile(row, shop.host.workspace.now_us())
    assert len(profile.events()) == len(TRIED), "one attempt, not two"
    assert profile.events()[-1].outcome is Outcome.ANSWERED


async def test_a_number_learned_later_tells_the_zone_better_than_the_country(shop: Shop) -> None:
    await shop.change("kim", None, "email", "kim@example.org")
    for at_us in TRIED:
        await shop.outcome("kim", at_us, "replied", "email", "kim@example.org")
    assert await shop.hours("kim") == hours_in(BERLIN)
    await shop.change("kim", None, "phone", "+12125550123")
    assert await shop.hours("kim") == hours_in(NEW_YORK)


@pytest.mark.parametrize("customer", ["kim", "lee"])
async def test_two_that_become_one_are_counted_by_the_clock_of_that_one(
    shop: Shop, customer: str
) -> None:
    await known(shop, customer)
    other = {"kim": "lee", "lee": "kim"}[customer]
    await shop.change(other, NEW_YORK, "email", "lee@example.org")
    await shop.host.workspace.ask(cc.MergeCustomers(customer="lee", into="kim"))
    row = await shop.row("kim")
    assert row.zone == NEW_YORK
    assert await shop.hours("kim") == hours_in(NEW_YORK)


async def test_evidence_by_two_stated_clocks_is_joined_hour_by_hour(shop: Shop) -> None:
    await known(shop, "kim", BERLIN)
    await shop.change("lee", NEW_YORK, "email", "lee@example.org")
    await shop.host.workspace.ask(cc.MergeCustomers(customer="kim", into="lee"))
    assert await shop.hours("lee") == hours_in(BERLIN)
