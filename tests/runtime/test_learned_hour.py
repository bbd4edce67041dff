"""The learned hour, from a customer's history to the message that goes out, and what holds it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from adapters.loopback import Loopback
from router.channel import Address, NewContact, NewMessage
from router.config import AdapterSettings, loads
from router.core import commands as c
from router.core import customer_commands as cc
from router.core.customer_model import CustomerPatch
from router.core.events import ContactOffered
from router.core.facts import Outbound
from router.core.model import Contact, ContactId, ContactOutcome, ContactState, Direction
from router.core.permission_policy import (
    EVERY_DAY,
    ContactPolicy,
    ContactWindow,
    DaySpan,
    FrequencyLimit,
)
from router.core.policy import Policy
from router.journal.codec import decode_event
from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.memory import MemoryJournal
from router.runtime.clock import ManualClock
from router.runtime.host import Host
from router.runtime.identities import derived_id
from router.runtime.intake import Routing
from tests.runtime.world import World, make_policy, until, with_ana

BERLIN = ZoneInfo("Europe/Berlin")
NUMBER = "+491701234542"
MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LEARNED = Outbound(
    mode="message_first", template="offer", purpose="service", learned=True, explore=False
)


def berlin(text: str) -> int:
    """A moment on a clock in Berlin."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()) * 1_000_000


FRIDAY = berlin("2026-10-23T15:00")
TUESDAY = berlin("2026-10-27T09:00")
"""The clocks go back in between, on Sunday the 25th."""


class Shop:
    """A workspace with a text channel, and one customer with a history."""

    def __init__(self, world: World, host: Host) -> None:
        self.world = world
        self.host = host
        self.customer = ""

    @property
    def texts(self) -> Loopback:
        """The backend of the text channel."""
        adapter = self.host.channels.get("texts")
        assert isinstance(adapter, Loopback)
        return adapter

    def sent(self) -> list[str]:
        """What was handed to the backend."""
        return [done.task.text for done in self.texts.performed if done.task.text]

    def contact(self, id_: str) -> Contact | None:
        """A live contact."""
        return self.host.workspace.engine.state.contacts.get(ContactId(id_))

    async def history(self) -> None:
        """Ten Tuesdays at half past nine: eight replies. Other hours and calls came to nothing."""
        host = self.host
        hash_ = host.workspace.customers.identities.hash("phone", NUMBER)
        self.customer = derived_id(hash_)
        # Whoever is called after an address is made by a first contact from it.
        await host.intake.submit(
            NewContact(
                external_id="first", customer=Address(address=NUMBER, name="Ada"), to="+49302"
            ),
            "sms",
        )
        first = next(iter(host.workspace.engine.state.contacts.values()))
        await host.workspace.ask(c.AbandonContact(contact=first.id))
        await host.workspace.ask(
            cc.ChangeCustomer(
                customer=self.customer, patch=CustomerPatch(zone="Europe/Berlin"), creates=False
            )
        )
        for week in range(10):
            at_us = berlin("2026-08-11T09:30") + week * 7 * DAY
            for channel, outcome, later_us in (
                ("sms", "replied" if week % 5 else "ignored", 0),
                ("voice", "no_answer", 5 * HOUR),
                ("sms", "ignored", 2 * DAY + 6 * HOUR),
                ("sms", "ignored", 3 * DAY + 5 * HOUR),
            ):
                await host.workspace.ask(
                    cc.RecordOutcome(
                        customer=self.customer,
                        channel=channel,
                        address=hash_,
                        attempted_at_us=at_us + later_us,
                        outcome=outcome,
                        source="import",
                    )
                )

    async def offer(self, external: str = "out", terms: Outbound = LEARNED) -> Contact:
        """Somebody wants to reach the customer."""
        _, answer = await self.host.intake.submit(
            NewContact(external_id=external, customer=Address(address=NUMBER), to="+49302"),
            "sms",
            routing=Routing(direction=Direction.OUTBOUND, outbound=terms),
        )
        assert answer is not None
        contact = self.contact(answer.contact)
        assert contact is not None
        return contact

    async def at(self, moment_us: int) -> None:
        """Let the clock get there."""
        self.world.clock.advance(moment_us - self.world.clock.now_us())
        await self.host.workspace.settled()

    async def closed(self, id_: str) -> Contact:
        """The contact, once it is closed."""
        await until(lambda: self.contact(id_) is None)
        found = await self.host.intake.contact(id_)
        assert found is not None
        return found


RULES = """
server: {}
country: DE
channels: {sms: {}}
entry_points: {texts: {channel: sms, address: "+49302", queue: care}}
queues: {care: {}, front: {}}
profiles: {care: {care: 1}}
agents: {ana: {profile: care}}
templates: {offer: "Hello {name}, shall we talk?"}
learning: {explore: 0%}
rules:
  - name: sms-people-on-their-hour
    when: >-
      contact.direction == "outbound" && preference.channel == "sms"
      && preference.window == "tue 09-10" && preference.attempts >= 8
    then:
      schedule: {at: learned_window, mode: message_first, template: offer, latest: 14d}
      queue: care
"""


def ruled_policy() -> Policy:
    """As the configuration file gives it."""
    return loads(RULES, "shop.yaml").workspaces["main"].policy


def shop_policy(contacting: ContactPolicy | None = None) -> Policy:
    return replace(
        make_policy(),
        country="DE",
        templates={"offer": "Hello {name}, shall we talk?"},
        contacting=contacting or ContactPolicy(),
    )


async def open_shop(contacting: ContactPolicy | None = None, policy: Policy | None = None) -> Shop:
    keys = await BlockKeys.open(MemoryBlocks())
    world = World(ManualClock(FRIDAY), MemoryJournal(), keys)
    host = await world.host(policy=policy or shop_policy(contacting))
    host.load({"texts": AdapterSettings(type="loopback", channel="sms")})
    await host.start([])
    host.serve([])
    shop = Shop(world, host)
    await shop.history()
    return shop


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = await open_shop()
    yield made
    await made.world.end()


async def test_the_message_waits_for_tuesday_nine_across_the_clock_change(shop: Shop) -> None:
    contact = await shop.offer()
    assert contact.state is ContactState.SCHEDULED
    assert contact.outbound is not None
    window = contact.outbound.window
    assert window is not None
    assert (window.channel, window.start_us, window.end_us) == ("sms", TUESDAY, TUESDAY + HOUR)
    assert (window.attempts, window.successes) == (10, 8)
    assert "8 of 10 answered" in window.text

    await shop.at(TUESDAY - 1)
    assert shop.sent() == []
    await shop.at(TUESDAY)
    await until(lambda: shop.sent() == ["Hello Ada, shall we talk?"])
    await until(lambda: contact.state is ContactState.PARKED)
    messages = await shop.host.messages.last(contact.id, 10)
    assert [message.text for message in messages] == ["Hello Ada, shall we talk?"]


async def test_the_reply_queues_the_same_contact_and_counts_as_reached(shop: Shop) -> None:
    contact = await shop.offer()
    await with_ana(shop.host.workspace)
    await shop.at(TUESDAY)
    await until(lambda: contact.state is ContactState.PARKED)
    await shop.host.intake.message(
        NewContact(
            external_id="",
            customer=Address(address=NUMBER),
            to="+49302",
            message=NewMessage(id="m1", text="yes please"),
        ),
        "sms",
    )
    assert contact.state is ContactState.OFFERED
    assert contact.outbound is not None
    assert contact.outbound.is_settled
    row = await shop.host.workspace.customers.get(shop.customer)
    assert row is not None
    known = shop.host.preferences.windows(row, "service", TUESDAY + DAY, channels=("sms",))
    assert (known[0].start_us, known[0].attempts, known[0].successes) == (TUESDAY + 7 * DAY, 11, 9)


async def test_nothing_goes_out_one_second_past_nine_in_the_evening(shop: Shop) -> None:
    now = replace(LEARNED, learned=False)
    await shop.at(berlin("2026-10-26T21:00:01"))
    contact = await shop.offer(terms=now)
    assert contact.state is ContactState.SCHEDULED
    assert contact.not_before_us == TUESDAY - HOUR
    await shop.at(TUESDAY - HOUR - 1)
    assert shop.sent() == []
    await shop.at(TUESDAY - HOUR)
    await until(lambda: len(shop.sent()) == 1)


async def test_a_second_before_nine_in_the_evening_it_still_goes_out(shop: Shop) -> None:
    await shop.at(berlin("2026-10-26T20:59:59"))
    await shop.offer(terms=replace(LEARNED, learned=False))
    await until(lambda: len(shop.sent()) == 1)


async def test_a_message_that_the_backend_could_not_take_by_then_stays_unsent(shop: Shop) -> None:
    await shop.at(berlin("2026-10-26T20:59:59"))
    shop.texts.router.state("down")
    contact = await shop.offer(terms=replace(LEARNED, learned=False))
    await until(lambda: contact.state is ContactState.PARKED)
    await shop.at(berlin("2026-10-26T21:00:01"))
    shop.texts.router.state("up")
    await until(lambda: contact.state is ContactState.SCHEDULED)
    assert shop.sent() == []
    row = await shop.host.workspace.customers.get(shop.customer)
    assert row is not None
    assert row.ledger == ()  # nobody was reached: no limit may count it
    await shop.at(TUESDAY - HOUR)
    await until(lambda: len(shop.sent()) == 1)


async def test_after_stop_nothing_goes_out_and_the_waiting_contact_is_cancelled(shop: Shop) -> None:
    contact = await shop.offer()
    await shop.host.intake.message(
        NewContact(
            external_id="",
            customer=Address(address=NUMBER),
            to="+49302",
            message=NewMessage(id="m1", text=" stop "),
        ),
        "sms",
    )
    found = await shop.closed(contact.id)
    assert found.outcome is ContactOutcome.CANCELLED
    _, answer = await shop.host.intake.submit(
        NewContact(external_id="again", customer=Address(address=NUMBER), to="+49302"),
        "sms",
        routing=Routing(direction=Direction.OUTBOUND, outbound=replace(LEARNED, learned=False)),
    )
    assert answer is not None
    refused = await shop.closed(answer.contact)
    assert (refused.outcome, refused.outcome_reason) == (ContactOutcome.CANCELLED, "opted_out")
    await shop.at(TUESDAY + DAY)
    assert "Hello Ada, shall we talk?" not in shop.sent()


async def test_over_the_ledgers_limit_it_waits_until_the_limit_frees() -> None:
    limit = FrequencyLimit(name="one a day", most=1, per_us=DAY)
    shop = await open_shop(ContactPolicy(limits=(limit,)))
    try:
        now = replace(LEARNED, learned=False)
        await shop.offer("one", now)
        await until(lambda: len(shop.sent()) == 1)
        second = await shop.offer("two", now)
        assert second.state is ContactState.SCHEDULED
        assert second.not_before_us == FRIDAY + DAY
        await shop.at(FRIDAY + DAY)
        await until(lambda: len(shop.sent()) == 2)
    finally:
        await shop.world.end()


async def test_a_clock_that_was_set_back_does_not_free_a_limit_early() -> None:
    limit = FrequencyLimit(name="one in three days", most=1, per_us=3 * DAY)
    shop = await open_shop(ContactPolicy(limits=(limit,)))
    try:
        now = replace(LEARNED, learned=False)
        await shop.host.workspace.ask(c.StepClock(by_us=-2 * DAY))
        await shop.offer("one", now)
        await until(lambda: len(shop.sent()) == 1)
        shop.world.clock.advance(2 * DAY)
        patch = CustomerPatch(name="Ada L.")  # the row is written, and its ledger pruned
        await shop.host.workspace.ask(cc.ChangeCustomer(customer=shop.customer, patch=patch))
        second = await shop.offer("two", now)
        assert second.state is ContactState.SCHEDULED
        assert second.not_before_us == FRIDAY + DAY, "three days after the first, by the calendar"
        assert len(shop.sent()) == 1
    finally:
        await shop.world.end()


async def test_its_window_on_another_channel_counts_though_its_own_is_shut(shop: Shop) -> None:
    calls_later = ContactWindow(
        name="calls", channels=("voice",), spans=(DaySpan(EVERY_DAY, 12 * 60, 20 * 60),)
    )
    host = shop.host
    policy = shop_policy(ContactPolicy(windows=(calls_later,)))
    await host.workspace.ask(c.ApplyPolicy(policy=policy))
    _, answer = await host.intake.submit(
        NewContact(external_id="call", customer=Address(address=NUMBER), to="+49301"),
        "voice",
        routing=Routing(direction=Direction.OUTBOUND, outbound=LEARNED),
    )
    assert answer is not None
    contact = shop.contact(answer.contact)
    assert contact is not None
    assert (contact.channel, contact.not_before_us) == ("voice", TUESDAY)
    await shop.at(TUESDAY)
    await until(lambda: shop.sent() == ["Hello Ada, shall we talk?"])
    await until(lambda: (contact.channel, contact.state) == ("sms", ContactState.PARKED))


async def test_a_restart_mixes_up_no_channels(shop: Shop) -> None:
    """Customers' rows name a channel by its number: that is there as soon as they are."""
    before = await shop.offer()
    await shop.host.stop()
    again = await shop.world.host(policy=shop_policy())
    again.load({"texts": AdapterSettings(type="loopback", channel="sms")})
    await again.start([])
    again.serve([])
    restarted = Shop(shop.world, again)
    await again.workspace.ask(
        cc.RecordOutcome(
            customer=shop.customer,
            channel="voice",
            address=before.address,
            attempted_at_us=FRIDAY - HOUR,
            outcome="no_answer",
            source="import",
        )
    )
    await again.workspace.ask(c.CancelContact(contact=before.id))
    after = await restarted.offer("two")
    assert before.outbound is not None
    assert after.outbound is not None
    assert before.outbound.window is not None
    assert after.outbound.window is not None
    assert after.outbound.window.channel == before.outbound.window.channel == "sms"
    counts = [found.outbound.window.text.partition(" (")[0] for found in (before, after)]
    assert counts[0] == counts[1]


async def test_what_was_learned_survives_a_restart(shop: Shop) -> None:
    contact = await shop.offer()
    shop.host.learner.keep()
    await shop.at(TUESDAY - DAY)
    await shop.host.stop()
    again = await shop.world.host(policy=shop_policy())
    again.load({"texts": AdapterSettings(type="loopback", channel="sms")})
    await again.start([])
    again.serve([])
    restarted = Shop(shop.world, again)
    found = restarted.contact(contact.id)
    assert found is not None
    assert found.outbound is not None
    assert found.outbound.window is not None
    await restarted.at(TUESDAY)
    await until(lambda: restarted.sent() == ["Hello Ada, shall we talk?"])


async def test_a_rule_of_the_file_makes_it_wait_for_the_customers_hour() -> None:
    shop = await open_shop(policy=ruled_policy())
    try:
        workspace = shop.host.workspace
        _, answer = await shop.host.intake.submit(
            NewContact(external_id="out", customer=Address(address=NUMBER), to="+49302"),
            "sms",
            routing=Routing(direction=Direction.OUTBOUND, queue="front"),
        )
        assert answer is not None
        contact = shop.contact(answer.contact)
        assert contact is not None
        assert (contact.rule, contact.queue) == ("sms-people-on-their-hour", "care")
        await until(lambda: contact.not_before_us == TUESDAY)
        await shop.at(TUESDAY - 1)
        assert shop.sent() == []
        await shop.at(TUESDAY)
        await until(lambda: shop.sent() == ["Hello Ada, shall we talk?"])
        await until(lambda: contact.state is ContactState.PARKED)
        await with_ana(workspace)
        await shop.host.intake.message(
            NewContact(
                external_id="",
                customer=Address(address=NUMBER),
                to="+49302",
                message=NewMessage(id="m1", text="yes"),
            ),
            "sms",
        )
        (decision,) = [
            decode_event(data)
            for _, data in await workspace.journal.list_archive(
                workspace.own, "decision", contact.id
            )
        ]
        assert isinstance(decision, ContactOffered)
        assert decision.decision.rule == "sms-people-on-their-hour"
        assert contact.outbound is not None
        assert contact.outbound.window is not None
        assert "8 of 10 answered" in contact.outbound.window.text
    finally:
        await shop.world.end()


async def test_a_rule_that_does_not_fit_leaves_the_contact_where_it_was_sent() -> None:
    shop = await open_shop(policy=ruled_policy())
    try:
        _, answer = await shop.host.intake.submit(
            NewContact(external_id="out", customer=Address(address="+491709999999"), to="+49302"),
            "sms",
            routing=Routing(direction=Direction.OUTBOUND, queue="front"),
        )
        assert answer is not None
        contact = shop.contact(answer.contact)
        assert contact is not None
        assert (contact.rule, contact.queue, contact.outbound is None) == ("", "front", False)
    finally:
        await shop.world.end()
