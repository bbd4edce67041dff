"""After STOP one answer goes out, and nothing that anybody writes behind it, until START."""

from __future__ import annotations

import asyncio

import pytest

from router.channel import Address, NewContact, NewMessage
from router.core import commands as c
from router.core import customer_commands as cc
from router.core.model import ContactId, ReservationState
from router.core.permission_facts import ConsentState
from router.errors import Refused
from router.journal.memory import MemoryJournal
from router.runtime import erasure
from router.runtime.host import Host
from tests.runtime.test_customers import named, started, who
from tests.runtime.world import ANA, SECOND, World, with_ana

KIM, LEE = "+4930123456", "+4930777777"


async def writes(host: Host, text: str, id_: str, address: str = KIM, channel: str = "sms") -> str:
    to = {"sms": "+49302", "chat": "shop"}[channel]
    message = NewMessage(id=id_, text=text)
    new = NewContact(external_id="", customer=Address(address=address), to=to, message=message)
    return (await host.intake.message(new, channel)).contact


async def conversation(host: Host, address: str = KIM) -> str:
    """Ana speaks with somebody by SMS."""
    await with_ana(host.workspace)
    contact = await writes(host, "Where is my parcel?", f"q{address}", address)
    (offer,) = host.workspace.engine.state.reservations.values()
    assert offer.state is ReservationState.OFFERED
    await host.workspace.ask(c.AcceptOffer(reservation=offer.id))
    await host.intake.send(contact, "On its way.", agent=ANA)
    return contact


async def sent(host: Host, contact: str) -> list[str]:
    found = await host.messages.list(contact)
    return [message.text for message in found if message.sender != "customer"]


async def test_what_an_agent_writes_after_stop_is_refused_in_words_until_start(
    world: World,
) -> None:
    host = await started(world)
    contact = await conversation(host)
    await writes(host, "STOP", "m1")
    before = await sent(host, contact)
    assert before[0] == "On its way."
    assert len(before) == 2, "and the one that confirms it"
    for agent in (ANA, ""):
        with pytest.raises(Refused, match=r"keyword STOP on sms.*START") as caught:
            await host.intake.send(contact, "But wait!", agent=agent)
        assert caught.value.code == "opted_out"
    # A question behind it does not take it back: providers and carriers block until START, too.
    await writes(host, "What about my parcel?", "m2")
    with pytest.raises(Refused, match="keyword STOP"):
        await host.intake.send(contact, "It is at the post office.", agent=ANA)
    assert await sent(host, contact) == before
    await writes(host, "START", "m3")
    await host.intake.send(contact, "It is at the post office.", agent=ANA)
    assert (await sent(host, contact))[-1] == "It is at the post office."


async def test_consent_recorded_for_the_address_lets_the_agent_answer(world: World) -> None:
    host = await started(world)
    contact = await conversation(host)
    await writes(host, "STOP", "m1")
    await writes(host, "I meant the newsletter. Please do answer.", "m2")
    world.clock.advance(SECOND)
    hash_ = who(host)[1:]
    said = cc.ChangeConsent(
        customer=who(host), state=ConsentState.GIVEN, channel="sms", address=hash_, by="agent:ana"
    )
    await host.workspace.ask(said)
    await host.intake.send(contact, "Gladly.", agent=ANA)
    assert (await sent(host, contact))[-1] == "Gladly."


async def test_stop_holds_a_reply_in_the_same_batch(world: World) -> None:
    host = await started(world)
    contact = await conversation(host)
    hash_ = who(host)[1:]
    stop = cc.ChangeDoNotContact(
        customer=who(host), channel="sms", address=hash_, asked_from=hash_, source="keyword STOP"
    )
    reply = c.SendMessage(contact=ContactId(contact), message="m9", size=2, agent=ANA)
    put = host.workspace.put
    _, refused = await asyncio.gather(put(stop), put(reply), return_exceptions=True)
    assert isinstance(refused, Refused)
    assert refused.code == "opted_out"


async def test_who_stopped_and_was_erased_and_asks_again_gets_no_answer_by_that_channel(
    world: World,
) -> None:
    journal = MemoryJournal()
    host = await started(world, journal)
    await named(host, "kim", KIM)
    await writes(host, "STOP", "m1")
    await erasure.erase(host.workspace, "kim", "admin")
    await host.stop()
    host = await started(world, journal)
    contact = await writes(host, "Where is my parcel?", "m2")
    with pytest.raises(Refused, match="keyword STOP"):
        await host.intake.send(contact, "On its way.")


async def test_stop_all_from_one_number_holds_at_the_other(world: World) -> None:
    host = await started(world)
    await named(host, "kim", KIM, LEE)
    contact = await conversation(host, LEE)
    await writes(host, "STOPALL", "m1")
    with pytest.raises(Refused, match="keyword STOPALL"):
        await host.intake.send(contact, "But wait!", agent=ANA)


async def test_a_conversation_elsewhere_and_what_people_entered_are_no_word_of_stop(
    world: World,
) -> None:
    host = await started(world)
    chat = await writes(host, "hello", "m1", "visitor-1", "chat")
    await writes(host, "STOP", "m2", "visitor-1", "chat")
    await host.intake.send(chat, "Stop what?")
    await named(host, "kim", KIM)
    await host.workspace.ask(cc.ChangeDoNotContact(customer="kim", source="no advertising"))
    text = await writes(host, "Where is my parcel?", "m3")
    await host.intake.send(text, "On its way.")
    assert await sent(host, chat) == ["Stop what?"]
    assert await sent(host, text) == ["On its way."]
