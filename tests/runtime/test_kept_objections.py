"""An objection belongs to the address: it outlives profiles, moves, merges and erasures."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from router.channel import Address, NewContact, NewMessage
from router.core import customer_commands as cc
from router.core.model import ContactId
from router.core.permission_facts import ConsentState
from router.errors import Refused
from router.journal.keys import BlockKeys
from router.journal.keys_file import SqliteBlocks
from router.journal.memory import MemoryJournal
from router.journal.sqlite import SqliteJournal
from router.runtime import erasure
from router.runtime.clock import ManualClock
from router.runtime.customer_rows import OBJECTION
from router.runtime.host import Host
from router.runtime.intake import Routing
from tests.runtime.test_customers import call, hang_up, named, row, started, who
from tests.runtime.world import SECOND, World

KIM, LEE, MAX = "+4930123456", "+4930777777", "+4930888888"
NOON = 1_792_922_400 * SECOND  # 2026-10-25 11:00 in Berlin


def hash_of(host: Host, address: str) -> str:
    return host.workspace.customers.identities.hash("phone", address)


async def writes(host: Host, text: str, id_: str, address: str = KIM) -> None:
    message = NewMessage(id=id_, text=text)
    new = NewContact(
        external_id="", customer=Address(address=address), to="+49302", message=message
    )
    await host.intake.message(new, "sms")


async def reason(host: Host, customer: str, address: str = KIM, channel: str = "sms") -> str:
    """Why this customer cannot be contacted at this address; empty = they can."""
    book = host.workspace.customers
    hash_ = hash_of(host, address)
    found = book.permission(
        await book.get(customer),
        channel,
        hash_,
        "service",
        NOON,
        number=address,
        owner=await book.owner_of(hash_),
    )
    return found.reason


async def takes_out(host: Host, customer: str, address: str) -> None:
    await host.workspace.ask(cc.ChangeCustomer(customer=customer, remove=(hash_of(host, address),)))


async def objects(host: Host, customer: str, channel: str = "", address: str = "") -> None:
    hash_ = hash_of(host, address) if address else ""
    said = cc.ChangeDoNotContact(
        customer=customer, channel=channel, address=hash_, source="said so on the phone", by="token"
    )
    await host.workspace.ask(said)


async def lifts(host: Host, customer: str, channel: str = "", address: str = "") -> None:
    hash_ = hash_of(host, address) if address else ""
    await host.workspace.ask(
        cc.ChangeDoNotContact(customer=customer, channel=channel, address=hash_, lifted=True)
    )


async def consents(host: Host, customer: str, address: str, purpose: str = "") -> None:
    hash_ = hash_of(host, address)
    await host.workspace.ask(
        cc.ChangeConsent(
            customer=customer, state=ConsentState.GIVEN, channel="sms", address=hash_,
            purpose=purpose,
        )
    )  # fmt: skip


async def test_a_number_taken_out_of_a_profile_keeps_its_stop_whoever_has_it_next(
    world: World,
) -> None:
    host = await started(world)
    await named(host, "kim", KIM)
    await writes(host, "STOP", "m1")
    await takes_out(host, "kim", KIM)
    assert await reason(host, "nobody") == "opted_out"
    assert await reason(host, "kim") == "opted_out"
    assert (await row(host, "kim")).do_not_contact == ()
    lee = await named(host, "lee", KIM)
    assert [said.source for said in lee.do_not_contact] == ["keyword STOP on sms"]
    assert await reason(host, "lee") == "opted_out"
    assert await reason(host, "lee", channel="voice") == ""
    # START from the address takes it back, and not only from who has it now.
    await writes(host, "START", "m2")
    assert await reason(host, "lee") == ""
    await takes_out(host, "lee", KIM)
    await named(host, "kim", KIM)
    assert await reason(host, "kim") == ""


async def test_a_profile_put_anew_without_the_number_does_not_forget(world: World) -> None:
    host = await started(world)
    await named(host, "kim", KIM)
    await objects(host, "kim", "voice", KIM)
    await host.workspace.ask(cc.ChangeCustomer(customer="kim", whole=True))
    assert (await row(host, "kim")).identities == ()
    assert await reason(host, "kim", channel="voice") == "do_not_contact"
    again = await named(host, "kim", KIM)
    assert [(said.channel, said.source) for said in again.do_not_contact] == [("voice", "api")]
    await lifts(host, "kim", "voice", KIM)
    assert await reason(host, "kim", channel="voice") == ""


async def test_who_was_erased_is_still_not_written_to(world: World) -> None:
    journal = MemoryJournal()
    host = await started(world, journal)
    await named(host, "kim", KIM, LEE)
    await writes(host, "STOP", "m1")
    await objects(host, "kim", "voice", LEE)
    await erasure.erase(host.workspace, "kim", "admin")
    assert await host.workspace.customers.get("kim") is None
    await host.stop()
    host = await started(world, journal)
    assert await reason(host, "nobody") == "opted_out"
    assert await reason(host, "nobody", LEE, "voice") == "do_not_contact"
    # They call: somebody new, and nothing but that is known of them.
    await call(host, "c1")
    await hang_up(host, "c1")
    assert await reason(host, who(host)) == "opted_out"
    await writes(host, "START", "m2")
    assert await reason(host, who(host)) == ""
    assert await reason(host, "nobody", LEE, "voice") == "do_not_contact"


async def test_of_an_erased_customer_no_more_is_kept_than_hash_moment_and_means(
    world: World,
) -> None:
    journal = MemoryJournal()
    host = await started(world, journal)
    await named(host, "kim", KIM, LEE, name="Kim Kanarie")
    await writes(host, "STOPALL", "m1")
    await objects(host, "kim", "voice", LEE)
    said = cc.ChangeConsent(
        customer="kim", state=ConsentState.WITHDRAWN, purpose="service", source="a Kanarie", by="x"
    )
    await host.workspace.ask(said)
    await erasure.erase(host.workspace, "kim", "admin")
    kept = await journal.list_archive(host.workspace.own, OBJECTION)
    assert sorted(id_ for id_, _ in kept) == sorted([hash_of(host, KIM), hash_of(host, LEE)])
    data = b"".join(data for _, data in kept)
    for word in (KIM, KIM[1:], LEE, "Kanarie", "kim", "said so", "admin"):
        assert word.encode() not in data
    # Nor does the row of one number say whose other number it was.
    for id_, data in kept:
        for other in {hash_of(host, KIM), hash_of(host, LEE)} - {id_}:
            assert other.encode() not in data


async def test_what_was_said_of_everything_holds_for_each_address_after_the_customer(
    world: World,
) -> None:
    host = await started(world)
    await named(host, "kim", KIM, LEE)
    await objects(host, "kim")
    await takes_out(host, "kim", LEE)
    assert await reason(host, "nobody", LEE, "voice") == "do_not_contact"
    # It comes back to them, and they take it back for all they have.
    await named(host, "kim", LEE)
    assert len((await row(host, "kim")).do_not_contact) == 1
    await lifts(host, "kim")
    assert await reason(host, "kim", LEE, "voice") == ""
    await writes(host, "stop all", "m1")
    await erasure.erase(host.workspace, "kim", "admin")
    assert await reason(host, "nobody", LEE, "voice") == "opted_out"
    await writes(host, "start", "m2", LEE)
    assert await reason(host, "nobody", LEE, "voice") == ""
    assert await reason(host, "nobody", KIM) == "opted_out"


async def test_consent_withdrawn_outlives_the_customer(world: World) -> None:
    host = await started(world)
    await named(host, "kim", KIM)
    said = cc.ChangeConsent(customer="kim", state=ConsentState.WITHDRAWN, purpose="service")
    await host.workspace.ask(said)
    await erasure.erase(host.workspace, "kim", "admin")
    await named(host, "lee", KIM)
    assert await reason(host, "lee") == "consent_withdrawn"
    world.clock.advance(SECOND)
    await consents(host, "lee", KIM, "service")
    assert await reason(host, "lee") == ""


async def test_a_merge_takes_the_numbers_and_what_was_objected_to_there(world: World) -> None:
    host = await started(world)
    await writes(host, "STOP", "m1")  # known by the number alone
    await named(host, "lee", LEE)
    await objects(host, "lee", "voice", LEE)
    await named(host, "max", MAX)
    for other in (who(host), "lee"):
        await host.workspace.ask(cc.MergeCustomers(customer=other, into="max"))
    assert await reason(host, "max", KIM) == "opted_out"
    assert await reason(host, "max", LEE, "voice") == "do_not_contact"
    assert len((await row(host, "max")).do_not_contact) == 2
    await erasure.erase(host.workspace, "max", "admin")
    assert await reason(host, "nobody", KIM) == "opted_out"
    assert await reason(host, "nobody", LEE, "voice") == "do_not_contact"


async def test_later_consent_for_exactly_that_address_ends_its_stop(world: World) -> None:
    host = await started(world)
    await named(host, "kim", KIM)
    await writes(host, "STOP", "m1")
    wide = cc.ChangeConsent(customer="kim", state=ConsentState.GIVEN)
    await host.workspace.ask(wide)
    assert await reason(host, "kim") == "opted_out"
    world.clock.advance(SECOND)
    await consents(host, "kim", KIM, "marketing")
    assert await reason(host, "kim") == "opted_out", "that was for something else"
    await consents(host, "kim", KIM, "service")
    assert await reason(host, "kim") == ""
    world.clock.advance(SECOND)
    await writes(host, "STOP", "m2")
    assert await reason(host, "kim") == "opted_out", "said again is said"
    world.clock.advance(SECOND)
    await consents(host, "kim", KIM)
    assert (await row(host, "kim")).do_not_contact == ()
    await erasure.erase(host.workspace, "kim", "admin")
    assert await reason(host, "nobody") == ""


async def test_nobody_ends_the_objection_of_another_customers_address(world: World) -> None:
    host = await started(world)
    await named(host, "kim", KIM)
    await named(host, "lee", LEE)
    await writes(host, "STOP", "m1")
    for asked in (lifts(host, "lee", "sms", KIM), consents(host, "lee", KIM)):
        with pytest.raises(Refused, match="another customer's") as caught:
            await asked
        assert caught.value.code == "identity_taken"
    assert await reason(host, "kim") == "opted_out"
    assert await reason(host, "lee") == "opted_out"


async def test_more_addresses_than_fit_into_memory_lose_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await started(world)
    monkeypatch.setattr(host.workspace.customers, "most", 5)
    numbers = [f"+4930{number:07}" for number in range(40)]
    for place, number in enumerate(numbers):
        await writes(host, "STOP", f"m{place}", number)
    for number in numbers[::2]:
        await writes(host, "START", f"s{number}", number)
    assert len(host.workspace.customers.objections.rows) < 10
    for place, number in enumerate(numbers):
        wanted = "opted_out" if place % 2 else ""
        assert await reason(host, who(host, number), number) == wanted


async def test_an_address_learned_from_a_call_brings_what_was_objected_to_there(
    world: World,
) -> None:
    journal = MemoryJournal()
    host = await started(world, journal)
    await named(host, "kim", KIM)
    await writes(host, "STOP", "m1", LEE)
    await erasure.erase(host.workspace, who(host, LEE), "admin")
    await host.stop()
    host = await started(world, journal)
    calls = NewContact(external_id="", customer=Address(address=LEE), to="+49301")
    receipt, _ = await host.intake.submit(calls, "voice", routing=Routing(customer="kim"))
    await hang_up(host, receipt.contact)
    assert {i.address for i in (await row(host, "kim")).identities} == {KIM, LEE}
    assert await reason(host, "kim", LEE) == "opted_out"
    await takes_out(host, "kim", LEE)
    assert await reason(host, "nobody", LEE) == "opted_out"


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """What a server left behind whose customers' rows had all objections."""
    with tarfile.open(Path(__file__).parent / "before_objections.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.mark.parametrize("first", ["asked", "erased", "taken out", "merged"])
async def test_what_earlier_versions_kept_with_the_customer_goes_on_to_hold(
    before: Path, first: str
) -> None:
    keys = await BlockKeys.open(SqliteBlocks(before))
    journal = SqliteJournal(before)
    world = World(ManualClock(NOON), journal, keys)
    try:
        host = await started(world)
        kim, lee, anonymous = "kim", "lee", who(host, MAX)
        if first == "asked":
            told = (await row(host, "lee")).do_not_contact
            assert [said.source for said in told] == ["said so to the driver"]
        elif first == "erased":
            for customer in (kim, lee, anonymous):
                await erasure.erase(host.workspace, customer, "admin")
        elif first == "taken out":
            await takes_out(host, kim, KIM)
            await takes_out(host, lee, LEE)
        else:
            await host.workspace.ask(cc.MergeCustomers(customer=anonymous, into=kim))
            await host.workspace.ask(cc.MergeCustomers(customer=kim, into=lee))
        await host.stop()
        host = await started(world)
        assert await reason(host, kim, KIM) == "opted_out"
        assert await reason(host, anonymous, MAX) == "opted_out"
        assert await reason(host, lee, LEE, "voice") == "do_not_contact"
        assert await reason(host, lee, LEE) == "consent_withdrawn"
        assert await reason(host, "nobody", KIM, "voice") == ""
        await writes(host, "START", "m9", KIM)
        await writes(host, "START", "m8", MAX)
        assert await reason(host, kim, KIM) == await reason(host, anonymous, MAX) == ""
        assert ContactId("m9") not in host.workspace.engine.state.contacts
    finally:
        await world.end()
        await keys.close()
        await journal.close()


async def test_a_number_taken_out_after_a_restart_is_nobodys(world: World) -> None:
    journal = MemoryJournal()
    host = await started(world, journal)
    await named(host, "kim", KIM)
    await host.stop()
    host = await started(world, journal)
    await takes_out(host, "kim", KIM)
    await host.stop()
    host = await started(world, journal)
    assert await host.workspace.customers.get(who(host)) is None
    assert (await named(host, "lee", KIM)).id == (await row(host, who(host))).id == "lee"
