"""One matter, two channels: the whole runtime between two backends, from a configuration file."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest

from adapters.loopback import Loopback
from router.channel import Address, NewContact, NewMessage
from router.config import loads
from router.core import commands as c
from router.core import customer_commands as cc
from router.core import events as e
from router.core.customer_model import CustomerPatch, Identity
from router.core.effects import EndContact, StartContact, TreatContact
from router.core.model import (
    AgentId,
    Contact,
    ContactId,
    ContactOutcome,
    Direction,
    Presence,
)
from router.core.record import Record
from router.errors import Refused
from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.memory import MemoryJournal
from router.runtime.clock import ManualClock
from router.runtime.envelope import resealed
from router.runtime.host import Host
from router.runtime.metrics import Metrics
from tests.runtime.world import SECOND, SECRET, until

NUMBER, MAILBOX = "+491701234542", "ada@example.org"
ANA = AgentId("ana")
CONFIG = """
adapters:
  pbx: {type: loopback, channel: voice, media: true}
  texts: {type: loopback, channel: sms}
  site: {type: loopback, channel: chat}
  mails: {type: loopback, channel: email}
entry_points:
  hotline: {channel: voice, address: "+4930555100", queue: care}
  texting: {channel: sms, address: "+4930555300", queue: care}
  shop: {channel: chat, address: shop, queue: care}
  desk: {channel: email, address: help@example.com, queue: care}
queues:
  care:
    treatment: {every: 60s, text: "You are number {position}."}
    steps:
      - after: 30s
        when: contact.channel == "voice"
        message: "You are number {position}, about {wait_minutes} minutes."
        ask:
          name: offer
          prompt: Press 1 to go on by text message, 2 to be called back.
          choices: {"1": go on by text, "2": call me back}
rules:
  - {name: by-text, on: input, when: 'contact.attributes["input.offer"] == "1"',
     then: {switch_channel: sms}}
  - {name: call-back, on: input, when: 'contact.attributes["input.offer"] == "2"',
     then: {callback: voice}}
profiles: {all: {care: 1}}
agents:
  ana: {profile: all, endpoints: {voice: SIP/ana}}
  bo: {profile: all, endpoints: {voice: SIP/bo}}
"""
R = TypeVar("R", bound=Record)


class House:
    """A running workspace with four backends, its clock moved by hand."""

    def __init__(self, host: Host, clock: ManualClock) -> None:
        self.host = host
        self.clock = clock
        self.events: list[e.Event] = []
        host.workspace.feed.tap(lambda _, events: self.events.extend(events))

    def backend(self, name: str) -> Loopback:
        adapter = self.host.channels.get(name)
        assert isinstance(adapter, Loopback)
        return adapter

    def told(self, name: str, kind: type[R]) -> list[R]:
        """Effects that this backend has carried out."""
        done = [done.task.effect for done in self.backend(name).performed]
        return [effect for effect in done if isinstance(effect, kind)]

    def contact(self, id_: str) -> Contact:
        return self.host.workspace.engine.state.contacts[ContactId(id_)]

    async def wait(self, seconds: int) -> None:
        """Time passes, in steps that everybody hears."""
        for _ in range(seconds):
            self.clock.advance(SECOND)
            await self.host.workspace.settled()

    async def serve(self, id_: str) -> Contact:
        """The agent to whom the contact is offered takes it; connected when it returns."""
        state = self.host.workspace.engine.state
        await until(lambda: self.contact(id_).reservations)
        [reservation] = self.contact(id_).reservations
        if state.reservations[reservation].state == "offered":
            await self.host.workspace.ask(c.AcceptOffer(reservation=reservation))
        await until(lambda: state.reservations[reservation].state == "connected")
        return self.contact(id_)

    async def known(self, *addresses: tuple[str, str]) -> str:
        """A customer with these addresses (kind, address); the customer's id."""
        book = self.host.workspace.customers.identities
        identities = tuple(
            Identity(kind=kind, hash=book.hash(kind, address), address=address)
            for kind, address in addresses
        )
        await self.host.workspace.ask(
            cc.ChangeCustomer(customer="ada", patch=CustomerPatch(name="Ada"), add=identities)
        )
        return "ada"


@pytest.fixture
async def house() -> AsyncIterator[House]:
    section = loads(CONFIG, "across.yaml").workspaces["main"]
    clock, keys = ManualClock(), await BlockKeys.open(MemoryBlocks())
    host = Host(
        "main",
        section.policy,
        journal=MemoryJournal(),
        keys=keys,
        secret=SECRET,
        clock=clock,
        metrics=Metrics().workspace("main"),
        inbox=4096,
        rng=random.Random(1),
    )
    host.channels.load(section.adapters)
    await host.start(section.agents)
    host.serve([])
    made = House(host, clock)
    for name in ("pbx", "texts", "site", "mails"):
        backend = made.backend(name)
        await until(lambda backend=backend: backend.up)  # type: ignore[misc]
    yield made
    await host.stop()
    await keys.close()


async def ready(house: House, agent: str = "ana") -> None:
    await house.host.workspace.ask(c.SetPresence(agent=AgentId(agent), presence=Presence.READY))


async def ask_caller(house: House) -> tuple[str, str]:
    """A caller waits until the queue offers something else; contact and call."""
    pbx = house.backend("pbx")
    receipt = await pbx.arrive(NUMBER, to="+4930555100", name="Ada")
    call = house.contact(receipt.contact).external_id
    await house.wait(30)
    await pbx.until(lambda: pbx.lines[call].asked is not None)
    assert list(pbx.lines[call].heard) == [
        "You are number {position}, about {wait_minutes} minutes.",
        "Press 1 to go on by text message, 2 to be called back.",
    ]
    told = [treat for treat in house.told("pbx", TreatContact) if treat.kind == "text"]
    assert [treat.position for treat in told] == [1]
    return receipt.contact, call


async def test_a_waiting_caller_presses_1_and_goes_on_by_text_as_the_same_contact(
    house: House,
) -> None:
    id_, call = await ask_caller(house)
    before = house.contact(id_)
    began_us, customer = before.visit_at_us, before.customer
    pbx, texts = house.backend("pbx"), house.backend("texts")
    await pbx.press(call, "1")
    await until(lambda: call not in pbx.lines)
    assert [end.outcome for end in house.told("pbx", EndContact)] == [""], "it goes on elsewhere"
    await texts.until(lambda: bool(texts.lines))
    contact = house.contact(id_)
    assert (contact.channel, contact.state) == ("sms", "queued")
    assert (contact.visit_at_us, contact.customer) == (began_us, customer)
    [line] = texts.lines.values()
    assert (line.customer.address, line.to) == (NUMBER, "+4930555300"), "our number for texts"
    assert list(line.heard) == ["You are number {position}."]
    await ready(house)
    await house.serve(id_)
    await house.host.intake.send(id_, "What is it about?", agent="ana")
    await texts.until(lambda: "What is it about?" in line.heard)
    answer = await texts.write(line.external_id, "My invoice")
    assert (answer.contact, answer.created) == (id_, False)
    unnamed = NewContact(
        external_id="sms-2",
        customer=Address(address=NUMBER),
        to="+4930555300",
        message=NewMessage(id="sms-2", text="PS: of May"),
    )
    receipt = await texts.router.message(unnamed)
    assert receipt.contact == id_, "by the two numbers alone it is the same contact"
    written = [message.text for message in await house.host.messages.last(id_, 10)]
    assert written == ["What is it about?", "My invoice", "PS: of May"]


async def test_a_waiting_caller_presses_2_and_is_called_back_in_the_same_place(
    house: House,
) -> None:
    id_, call = await ask_caller(house)
    began_us = house.contact(id_).visit_at_us
    pbx = house.backend("pbx")
    await pbx.press(call, "2")
    await until(lambda: call not in pbx.lines)
    assert [end.outcome for end in house.told("pbx", EndContact)] == ["deflected"]
    callback = house.contact(f"{id_}-callback")
    assert (callback.direction, callback.visit_at_us) == (Direction.CALLBACK, began_us)
    later = await pbx.arrive("+49301111111", to="+4930555100")
    await ready(house)
    assert (await house.serve(callback.id)).customer == callback.customer
    [start] = house.told("pbx", StartContact)
    assert (start.agent, start.endpoint) == (ANA, "SIP/ana")
    line = pbx.lines[f"out-{callback.id}"]
    assert (line.customer.address, line.customer.name) == (NUMBER, "Ada")
    assert house.contact(later.contact).state == "queued", "who came later waits behind"


async def test_an_agent_moves_a_chat_to_voice_and_goes_on_with_the_same_customer(
    house: House,
) -> None:
    customer = await house.known(("handle:chat", "visitor-7"), ("phone", NUMBER))
    site, pbx = house.backend("site"), house.backend("pbx")
    await ready(house)
    receipt = await site.arrive("visitor-7", to="shop", text="Can we talk?")
    chat = (await house.serve(receipt.contact)).external_id
    began_us = house.contact(receipt.contact).created_at_us
    switch = c.SwitchChannel(contact=ContactId(receipt.contact), channel="voice", by="agent:ana")
    await house.host.workspace.ask(switch)
    await until(lambda: chat not in site.lines)
    contact = await house.serve(receipt.contact)
    assert (contact.channel, contact.customer, contact.created_at_us) == (
        "voice",
        customer,
        began_us,
    )
    [start] = house.told("pbx", StartContact)
    assert start.endpoint == "SIP/ana"
    line = pbx.lines[f"out-{contact.id}"]
    assert line.customer.address == NUMBER, "the number of the customer, not of the chat"
    assert line.hears() == list(contact.reservations)
    texts = [message.text for message in await house.host.messages.last(contact.id, 10)]
    assert texts == ["Can we talk?"], "the history comes along"
    await pbx.hang_up(line.external_id)
    await until(lambda: contact.id not in house.host.workspace.engine.state.contacts)


async def test_an_email_becomes_a_callback_to_the_number_of_the_same_customer(
    house: House,
) -> None:
    customer = await house.known(("email", MAILBOX), ("phone", NUMBER))
    mails, pbx = house.backend("mails"), house.backend("pbx")
    receipt = await mails.arrive(MAILBOX, to="help@example.com", text="Please call me.")
    await ready(house)
    await house.serve(receipt.contact)
    back = ContactId("back-1")
    asked = c.RequestCallback(contact=ContactId(receipt.contact), callback=back, by="agent:ana")
    await house.host.workspace.ask(asked)
    callback = house.contact(back)
    assert (callback.channel, callback.customer, callback.callback_of) == (
        "voice",
        customer,
        receipt.contact,
    )
    await house.serve(back)
    assert pbx.lines[f"out-{back}"].customer.address == NUMBER
    closed = await house.host.intake.contact(receipt.contact)
    assert closed is not None
    assert closed.outcome is ContactOutcome.DEFLECTED


async def test_a_number_that_the_customer_gives_the_agent_is_called(house: House) -> None:
    await house.known(("email", MAILBOX))
    mails, pbx = house.backend("mails"), house.backend("pbx")
    receipt = await mails.arrive(MAILBOX, to="help@example.com", text="Call me: 0170 1234542")
    await ready(house)
    await house.serve(receipt.contact)
    contact, back = house.contact(receipt.contact), ContactId("back-1")
    sealed, key, peer = resealed(house.host.workspace, contact, "voice", NUMBER)
    await house.host.workspace.ask(
        c.RequestCallback(
            contact=contact.id, callback=back, sealed=sealed, seal_key=key, peer_key=peer
        )
    )
    await house.serve(back)
    assert pbx.lines[f"out-{back}"].customer.address == NUMBER


async def test_nobody_dials_an_email_address(house: House) -> None:
    mails = house.backend("mails")
    receipt = await mails.arrive(MAILBOX, to="help@example.com", text="Please call me.")
    contact = ContactId(receipt.contact)
    for command in (
        c.RequestCallback(contact=contact, callback=ContactId("back-1")),
        c.SwitchChannel(contact=contact, channel="voice"),
    ):
        with pytest.raises(Refused, match="no phone address"):
            await house.host.workspace.ask(command)
    assert house.contact(contact).channel == "email"


async def test_who_presses_nothing_goes_on_waiting(house: House) -> None:
    id_, call = await ask_caller(house)
    await house.wait(45)
    await until(lambda: house.contact(id_).question is None)
    contact = house.contact(id_)
    assert (contact.channel, contact.state, contact.external_id) == ("voice", "queued", call)
    assert contact.attributes == {"input.offer": ""}
