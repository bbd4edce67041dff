"""Customers in the loop: brought when named, changed in the same commit, never decided stale."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from router.channel import Address, NewContact, NewMessage
from router.core import commands as c
from router.core import customer_commands as cc
from router.core import events as e
from router.core.customer_model import Customer, CustomerPatch, Identity
from router.core.engine import Engine, Outcome
from router.core.facts import Facts, Outbound
from router.core.model import ContactId, Direction
from router.core.permission_facts import ConsentState
from router.errors import NotFound, Refused
from router.journal import Ownership
from router.journal.memory import MemoryJournal
from router.runtime import erasure
from router.runtime.host import Host
from router.runtime.loop import Answer
from tests.runtime.world import SECOND, World, submit, until

KIM = "+4930123456"
HOUR = 3600 * SECOND


class Counting(MemoryJournal):
    """Counts what is asked of the archive, by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, int] = {}

    async def fetch(self, own: Ownership, kind: str, ids: Sequence[str]) -> dict[str, bytes]:
        self.asked[kind] = self.asked.get(kind, 0) + 1
        return await super().fetch(own, kind, ids)


async def started(world: World, journal: MemoryJournal | None = None) -> Host:
    host = await world.host(journal=journal)
    await host.start([])
    await until(lambda: host.workspace.customers.known._is_ready)
    return host


def texts(text: str, id_: str, address: str = KIM) -> NewContact:
    return NewContact(
        external_id="",
        customer=Address(address=address, name="Kim"),
        to="+49302",
        message=NewMessage(id=id_, text=text),
    )


def who(host: Host, address: str = KIM) -> str:
    return host.workspace.customers.identities.peer("sms", address, "")[0]


async def row(host: Host, id_: str) -> Customer:
    found = await host.workspace.customers.get(id_)
    assert found is not None
    return found


async def named(host: Host, id_: str = "kim", *addresses: str, **patch: Any) -> Customer:
    """A customer made by hand."""
    known = host.workspace.customers.identities
    added = tuple(
        Identity(kind="phone", hash=known.hash("phone", address), address=address)
        for address in addresses
    )
    command = cc.ChangeCustomer(customer=id_, patch=CustomerPatch(**patch), add=added)
    await host.workspace.ask(command)
    return await row(host, id_)


def received(answer: Answer) -> e.ContactReceived:
    return next(event for event in answer.events if isinstance(event, e.ContactReceived))


async def call(host: Host, id_: str, address: str = KIM, **fields: Any) -> Answer:
    """Somebody calls; submitted as the intake would."""
    customer, peer_key = host.workspace.customers.identities.peer("voice", address, "+49301")
    given = {"customer": customer, "peer_key": peer_key, **fields}
    return await host.workspace.ask(submit(id_, channel="voice", entry_point="line", **given))


async def hang_up(host: Host, id_: str) -> None:
    await host.workspace.ask(c.AbandonContact(contact=ContactId(id_)))


async def test_nobody_is_looked_up_for_somebody_who_was_never_here(world: World) -> None:
    journal = Counting()
    host = await started(world, journal)
    asked = dict(journal.asked)
    for number in range(50):
        new = NewContact(external_id="", customer=Address(address=f"+4930{number:07}"), to="+49301")
        receipt, answer = await host.intake.submit(new, "voice")
        assert answer is not None
        assert received(answer).facts == Facts()
        await hang_up(host, receipt.contact)
    assert journal.asked == asked


async def test_rules_see_the_profile_of_who_is_known_and_the_contact_gets_their_id(
    world: World,
) -> None:
    host = await started(world)
    await named(host, "kim", KIM, attributes={"tier": "gold"}, segment="loyal", watched=True)
    event = received(await call(host, "c1"))
    assert (event.customer, event.segment, event.watched) == ("kim", "loyal", True)
    facts = event.facts.customer
    assert (facts.known, facts.attributes, facts.contacts) == (True, {"tier": "gold"}, 0)
    assert received(await call(host, "c2", segment="vip")).segment == "vip"
    await hang_up(host, "c1")
    assert received(await call(host, "c3")).facts.customer.contacts == 1


async def test_rows_are_brought_from_the_store_after_a_restart(world: World) -> None:
    journal = Counting()
    host = await started(world, journal)
    await named(host, "kim", KIM, name="Kim")
    await call(host, "c1", "+4930777777")
    await hang_up(host, "c1")
    await host.stop()
    again = await started(world, journal)
    assert received(await call(again, "c2")).customer == "kim"
    assert received(await call(again, "c3", "+4930777777")).facts.customer.contacts == 1
    await hang_up(again, "c2")
    found = await row(again, who(again))
    assert (found.id, found.name, found.contacts) == ("kim", "Kim", 1)


async def test_more_customers_than_fit_into_memory_lose_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await started(world)
    monkeypatch.setattr(host.workspace.customers, "most", 5)
    numbers = [f"+4930{number:07}" for number in range(40)]
    for turn in range(3):
        for place, number in enumerate(numbers):
            await call(host, f"c{turn}-{place}", number)
            await hang_up(host, f"c{turn}-{place}")
    assert len(host.workspace.customers._rows) < 10
    for number in numbers:
        assert (await row(host, who(host, number))).contacts == 3


async def test_what_comes_in_one_batch_stands_on_what_came_before_it(world: World) -> None:
    host = await started(world)
    await named(host, "kim", KIM)
    put = host.workspace.put
    answers = [
        put(cc.ChangeCustomer(customer="kim", patch=CustomerPatch(segment="loyal"), version=2)),
        put(cc.ChangeCustomer(customer="kim", patch=CustomerPatch(segment="late"), version=2)),
        put(cc.ChangeDoNotContact(customer="kim")),
        put(submit("out", channel="sms", entry_point="texts", customer="kim",
            direction=Direction.OUTBOUND, peer_key=f"{who(host)[1:]}/sms/us",
            outbound=Outbound(purpose="service"))),
        put(submit("in", channel="sms", entry_point="texts", customer="kim")),
    ]  # fmt: skip
    changed, late, blocked, out, incoming = await asyncio.gather(*answers, return_exceptions=True)
    assert isinstance(changed, Answer)
    assert isinstance(late, Refused)
    assert late.code == "version"
    assert isinstance(blocked, Answer)
    assert isinstance(out, Answer)
    permission = received(out).facts.permission
    assert (permission.allowed, permission.reason) == (False, "do_not_contact")
    assert ContactId("out") not in host.workspace.engine.state.contacts
    assert isinstance(incoming, Answer)
    assert received(incoming).segment == "loyal"
    assert received(incoming).facts.customer.do_not_contact is True


async def test_an_address_given_twice_in_one_batch_goes_to_who_came_first(world: World) -> None:
    host = await started(world)
    added = (Identity(kind="phone", hash=who(host)[1:], address=KIM),)
    both = [
        host.workspace.put(cc.ChangeCustomer(customer=id_, add=added)) for id_ in ("kim", "lee")
    ]
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(first, Answer)
    assert isinstance(second, Refused)
    assert second.code == "identity_taken"
    assert (await row(host, who(host))).id == "kim"


async def test_an_address_that_moves_within_one_batch_has_its_new_owner_after_a_restart(
    world: World,
) -> None:
    journal = MemoryJournal()
    host = await started(world, journal)
    await named(host, "kim", KIM)
    hash_ = who(host)[1:]
    taken = cc.ChangeCustomer(customer="kim", remove=(hash_,))
    given = cc.ChangeCustomer(
        customer="lee", add=(Identity(kind="phone", hash=hash_, address=KIM),)
    )
    await asyncio.gather(host.workspace.put(taken), host.workspace.put(given))
    await host.stop()
    again = await started(world, journal)
    assert (await row(again, who(again))).id == "lee"
    assert (await row(again, "kim")).identities == ()


async def test_nothing_is_written_or_sealed_in_clear(world: World) -> None:
    journal = MemoryJournal()
    host = await started(world, journal)
    await named(host, "kim", KIM, name="Kim Kanarie")
    await host.intake.message(texts("Kanarie", "m1"), "sms")
    await call(host, "c1")
    await hang_up(host, "c1")
    own = host.workspace.own
    rows = await journal.list_archive(own, "customer")
    frames = [event for frame in await journal.frames(own, 1) for event in frame.events]
    whole = b"".join([data for _, data in rows] + frames)
    assert b"Kanarie" not in whole
    assert KIM.encode() not in whole


async def test_a_crash_of_the_engine_counts_nothing_twice(world: World) -> None:
    class Brittle(Engine):
        broke = 0

        def handle(self, command: c.Command, now_us: int) -> Outcome:
            outcome = super().handle(command, now_us)
            if getattr(command, "contact", "") == "fragile" and not Brittle.broke:
                Brittle.broke += 1
                raise AssertionError("planted")
            return outcome

    workspace = await world.workspace(engine=Brittle)
    await workspace.ask(cc.ChangeCustomer(customer="kim", patch=CustomerPatch(name="Kim")))
    await workspace.ask(submit("c1", customer="kim"))
    done = [
        workspace.put(c.AbandonContact(contact=ContactId("c1"))),
        workspace.put(cc.ChangeConsent(customer="kim", state=ConsentState.GIVEN)),
        workspace.put(submit("fragile", customer="kim")),
    ]
    await asyncio.gather(*done)
    found = await workspace.customers.get("kim")
    assert found is not None
    assert (found.contacts, len(found.consents), found.version) == (1, 1, 2)


async def test_a_customer_who_is_not_there_is_refused(world: World) -> None:
    host = await started(world)
    for command in (
        cc.ChangeCustomer(customer="kim", creates=False),
        cc.MergeCustomers(customer="kim", into="lee"),
        cc.ChangeConsent(customer="kim", state=ConsentState.GIVEN),
        cc.ChangeDoNotContact(customer="kim"),
        cc.RecordOutcome(customer="kim", channel="sms", address="", attempted_at_us=0, outcome="x"),
        cc.EraseCustomer(customer="kim"),
    ):
        with pytest.raises(NotFound, match="customer 'kim'"):
            await host.workspace.ask(command)


async def test_a_scheduled_contact_is_asked_about_again_when_its_moment_has_come(
    world: World,
) -> None:
    host = await started(world)
    await named(host, "kim", KIM, zone="Pacific/Kiritimati")
    now_us = host.workspace.now_us()
    answer = await call(host, "c1", direction=Direction.CALLBACK, not_before_us=now_us + HOUR)
    assert received(answer).facts.customer.known is True
    provided = await host.workspace.ask(
        c.ProvideCustomer(contact=ContactId("c1"), customer="kim", segment="")
    )
    assert provided.events == ()  # too early: nothing happens


async def test_merged_customers_are_one_for_who_was_on_the_way_already(world: World) -> None:
    host = await started(world)
    await call(host, "c1")
    await hang_up(host, "c1")
    await named(host, "kim", name="Kim")
    put = host.workspace.put
    merged, later = await asyncio.gather(
        put(cc.MergeCustomers(customer=who(host), into="kim")),
        put(submit("c2", channel="sms", entry_point="texts", customer=who(host))),
    )
    assert merged.events
    assert received(later).customer == "kim"
    found = await row(host, who(host))
    assert (found.id, found.name, found.contacts) == ("kim", "Kim", 1)
    assert [identity.hash for identity in found.identities] == [who(host)[1:]] or (
        found.identities == ()
    )


# --- keywords ---------------------------------------------------------------------------------


async def test_stop_takes_effect_before_the_message_and_is_answered_once(world: World) -> None:
    host = await started(world)
    receipt = await host.intake.message(texts(" Stop! ", "m1"), "sms")
    assert (receipt.state, receipt.created) == ("closed", True)
    found = await row(host, who(host))
    (block,) = found.do_not_contact
    assert (block.channel, block.address, block.asked_from) == ("sms", who(host)[1:], who(host)[1:])
    assert (found.contacts, found.identities[0].address) == (1, KIM)
    messages = await host.messages.list(receipt.contact)
    assert [message.sender for message in messages] == ["customer", "router"]
    assert messages[0].text == " Stop! "
    assert "START" in messages[1].text
    again = await host.intake.message(texts(" Stop! ", "m1"), "sms")
    assert (again.contact, again.created) == (receipt.contact, False)
    assert len((await row(host, who(host))).do_not_contact) == 1


async def test_start_takes_back_what_stop_did(world: World) -> None:
    host = await started(world)
    await host.intake.message(texts("STOP", "m1"), "sms")
    await host.intake.message(texts("start", "m2"), "sms")
    assert (await row(host, who(host))).do_not_contact == ()


async def test_stop_from_a_number_of_a_named_customer_is_theirs(world: World) -> None:
    host = await started(world)
    await named(host, "kim", KIM)
    now_us = host.workspace.now_us()
    out = submit(
        "out", channel="sms", entry_point="texts", customer="kim", direction=Direction.OUTBOUND,
        not_before_us=now_us + HOUR, peer_key=f"{who(host)[1:]}/sms/+49302",
    )  # fmt: skip
    await host.workspace.ask(out)
    await host.intake.message(texts("STOP", "m1"), "sms")
    assert len((await row(host, "kim")).do_not_contact) == 1
    assert ContactId("out") not in host.workspace.engine.state.contacts


async def test_a_keyword_in_a_submission_takes_effect_too(world: World) -> None:
    host = await started(world)
    receipt, _ = await host.intake.submit(texts("STOPALL", "m1"), "sms")
    assert receipt.state == "queued"
    (block,) = (await row(host, who(host))).do_not_contact
    assert (block.channel, block.address) == ("", "")


async def test_an_ordinary_message_is_no_keyword(world: World) -> None:
    host = await started(world)
    receipt = await host.intake.message(texts("please stop calling", "m1"), "sms")
    assert receipt.state == "queued"
    receipt = await host.intake.message(
        NewContact(
            external_id="", customer=Address(address="v1"), to="shop",
            message=NewMessage(id="m1", text="STOP"),
        ),
        "chat",
    )  # fmt: skip
    assert receipt.state == "queued", "in a chat it may be an answer"


async def test_the_reply_is_the_entry_points_own(world: World) -> None:
    host = await started(world)
    policy = host.workspace.policy
    point = policy.entry_points["texts"]
    german = type(point)(
        id="texts", channel="sms", queue=point.queue, address="+49302", texts={"stop": "Schluss."}
    )
    await host.apply(
        type(policy)(
            version="2", channels=policy.channels, queues=policy.queues,
            profiles=policy.profiles, entry_points={**policy.entry_points, "texts": german},
        ),
        "test",
    )  # fmt: skip
    receipt = await host.intake.message(texts("STOP", "m1"), "sms")
    messages = await host.messages.list(receipt.contact)
    assert messages[1].text == "Schluss."


async def test_who_is_entered_while_their_first_contact_is_live_has_that_contact(
    world: World,
) -> None:
    host = await started(world)
    await call(host, "c1")
    state = host.workspace.engine.state
    assert state.contacts_of(who(host)) == ("c1",)
    await named(host, "kim", KIM)
    assert state.contacts_of("kim") == ("c1",)
    # What concerns the customer reaches the contact: nobody is erased in mid-conversation.
    with pytest.raises(Refused, match="of this customer is queued"):
        await erasure.erase(host.workspace, "kim", "admin")
    await hang_up(host, "c1")
    assert (await row(host, "kim")).contacts == 1


async def test_a_contact_given_to_who_was_merged_belongs_to_who_they_are_now(world: World) -> None:
    host = await started(world)
    await named(host, "kim", KIM)
    await named(host, "lee", "+4930777777")
    await host.workspace.ask(cc.MergeCustomers(customer="lee", into="kim"))
    await call(host, "c1", "+4930888888")
    await host.workspace.ask(c.UpdateContact(contact=ContactId("c1"), customer="lee"))
    state = host.workspace.engine.state
    assert (state.contacts_of("kim"), state.contacts_of("lee")) == (("c1",), ())


async def test_somebody_with_numbers_of_two_zones_is_contacted_where_both_allow_it(
    world: World,
) -> None:
    host = await started(world)
    kim = await named(host, "kim", KIM, "+12125551234")
    book = host.workspace.customers
    assert book.zones(kim) == ("Europe/Berlin", "America/New_York")
    nine_in_berlin = 1_793_001_600 * SECOND  # 2026-10-26 09:00, and 04:00 in New York
    for identity in kim.identities:
        found = book.permission(kim, "voice", identity.hash, "service", nine_in_berlin)
        assert (found.allowed, found.reason) == (False, "outside_hours")
        assert found.next_at_us == nine_in_berlin + 4 * HOUR
