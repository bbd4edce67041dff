"""What somebody objected to holds for their address, under whichever customer it is contacted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from router.channel import Address, NewContact, NewMessage
from router.core import customer_commands as cc
from router.core.customer_model import CustomerPatch
from router.core.model import Contact, ContactId, ContactOutcome, ContactState, Direction
from router.core.permission_facts import ConsentState
from router.runtime.intake import Routing
from tests.runtime.test_learned_hour import LEARNED, Shop, open_shop
from tests.runtime.world import until

OFFER = replace(LEARNED, learned=False)
OFFERED = "Hello Kim, shall we talk?"
DESK = "+491709999942"
"""A number that a client gave for Kim, and that is in nobody's profile."""
MINUTE = 60_000_000


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = await open_shop()
    patch = CustomerPatch(name="Kim", zone="Europe/Berlin")
    await made.host.workspace.ask(cc.ChangeCustomer(customer="kim", patch=patch))
    yield made
    await made.world.end()


async def offer(shop: Shop, external: str, not_before_us: int = 0) -> str:
    """A client wants to reach Kim at this number."""
    _, answer = await shop.host.intake.submit(
        NewContact(external_id=external, customer=Address(address=DESK), to="+49302"),
        "sms",
        routing=Routing(
            direction=Direction.OUTBOUND,
            outbound=OFFER,
            customer="kim",
            not_before_us=not_before_us,
        ),
    )
    assert answer is not None
    assert answer.contact is not None
    return answer.contact


async def writes(shop: Shop, text: str, id_: str) -> None:
    message = NewMessage(id=id_, text=text)
    new = NewContact(external_id="", customer=Address(address=DESK), to="+49302", message=message)
    await shop.host.intake.message(new, "sms")


def live(shop: Shop, id_: str) -> Contact | None:
    return shop.host.workspace.engine.state.contacts.get(ContactId(id_))


async def test_after_stop_from_a_number_given_for_a_customer_nothing_more_goes_there(
    shop: Shop,
) -> None:
    await offer(shop, "one")
    await until(lambda: shop.sent() == [OFFERED])
    await writes(shop, "STOP", "m1")
    refused = await shop.closed(await offer(shop, "two"))
    assert (refused.outcome, refused.outcome_reason) == (ContactOutcome.CANCELLED, "opted_out")
    assert shop.sent().count(OFFERED) == 1
    await writes(shop, "START", "m2")
    again = await offer(shop, "three")
    await until(lambda: shop.sent().count(OFFERED) == 2)
    assert live(shop, again) is not None


async def test_a_contact_that_waited_for_its_moment_meets_the_stop_of_meanwhile(
    shop: Shop,
) -> None:
    await offer(shop, "one")
    await until(lambda: shop.sent() == [OFFERED])
    await writes(shop, "STOP", "m1")
    now_us = shop.world.clock.now_us()
    at_us = now_us + 10 * MINUTE
    waits = await offer(shop, "two", not_before_us=at_us)
    await shop.at(at_us)
    closed = await shop.closed(waits)
    assert closed.outcome is ContactOutcome.CANCELLED
    assert shop.sent().count(OFFERED) == 1


async def test_stop_between_the_decision_and_the_sending_holds_the_message_back(
    shop: Shop,
) -> None:
    shop.texts.router.state("down")
    contact = await offer(shop, "one")
    await until(lambda: getattr(live(shop, contact), "state", None) is ContactState.PARKED)
    await writes(shop, "STOP", "m1")
    shop.texts.router.state("up")
    closed = await shop.closed(contact)
    assert (closed.outcome, closed.outcome_reason) == (ContactOutcome.DEFLECTED, "keyword")
    await until(lambda: len(shop.sent()) == 1)  # the answer to STOP, which stood behind it
    assert OFFERED not in shop.sent()


async def test_consent_withdrawn_by_who_has_the_number_holds_for_everybody(shop: Shop) -> None:
    ask = shop.host.workspace.ask
    known = shop.host.workspace.customers
    from_address = known.identities.hash("phone", DESK)
    await offer(shop, "one")
    await until(lambda: shop.sent() == [OFFERED])
    await writes(shop, "STOP", "m1")
    await writes(shop, "START", "m2")
    owner = f"p{from_address}"
    await ask(cc.ChangeConsent(customer=owner, state=ConsentState.WITHDRAWN, purpose="service"))
    refused = await shop.closed(await offer(shop, "two"))
    assert refused.outcome_reason == "consent_withdrawn"


async def test_what_rules_see_of_a_channel_ends_with_the_objection_to_it(shop: Shop) -> None:
    host, book = shop.host, shop.host.workspace.customers
    now_us = shop.world.clock.now_us()

    async def channel() -> str:
        row = await book.get(shop.customer)
        assert row is not None
        return host.preferences.facts(row, "service", now_us).channel

    assert await channel() == "sms"
    await host.workspace.ask(cc.ChangeDoNotContact(customer=shop.customer, channel="sms"))
    assert await channel() == "voice"
    await host.workspace.ask(
        cc.ChangeDoNotContact(customer=shop.customer, channel="sms", lifted=True)
    )
    assert await channel() == "sms"
