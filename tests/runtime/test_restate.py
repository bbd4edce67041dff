"""What is over is said again to adapters after a crash: they may not have heard it."""

from __future__ import annotations

from adapters.loopback import Loopback
from router.config import AdapterSettings
from router.core import commands as c
from router.core.effects import DisconnectAgent, EndContact, HoldContact, RescindOffer
from router.core.model import ContactId, QueueId
from router.runtime.host import Host
from router.runtime.restate import AGAIN_US, log_end
from tests.runtime.world import ANA, CARE, World, until, with_ana

CHAT = AdapterSettings(type="loopback", channel="chat")
VOICE = AdapterSettings(type="loopback", channel="voice", settings={"media": False})
AGAIN = (EndContact, RescindOffer, DisconnectAgent, HoldContact)


async def served(world: World) -> tuple[Host, Loopback, Loopback]:
    host = await world.host()
    host.load({"site": CHAT, "phones": VOICE})
    await host.start([])
    host.serve([])
    site, phones = host.channels.get("site"), host.channels.get("phones")
    assert isinstance(site, Loopback)
    assert isinstance(phones, Loopback)
    await until(lambda: site.up and phones.up)
    return host, site, phones


async def cut_off(*adapters: Loopback) -> None:
    """From here on effects wait in memory, and are lost with the process."""
    for adapter in adapters:
        adapter.lose()
    await until(lambda: not any(adapter.up for adapter in adapters))


def said(adapter: Loopback) -> list[tuple[str, str]]:
    return [
        (type(p.task.effect).__name__, p.task.external_id)
        for p in adapter.performed
        if isinstance(p.task.effect, AGAIN)
    ]


async def accept(host: Host, contact: str) -> None:
    (reservation,) = host.workspace.engine.state.contacts[ContactId(contact)].reservations
    await host.workspace.ask(c.AcceptOffer(reservation=reservation))


async def test_the_end_of_a_contact_that_nobody_heard_is_said_after_the_crash(
    world: World,
) -> None:
    host, site, _ = await served(world)
    await with_ana(host.workspace)
    receipt = await site.arrive("v1", text="hello", external_id="x1")
    await accept(host, receipt.contact)
    await cut_off(site)
    await host.workspace.ask(c.CompleteContact(contact=ContactId(receipt.contact)))
    assert said(site) == []
    _, successor, _ = await served(world)
    await successor.until(lambda: bool(said(successor)))
    assert said(successor) == [("EndContact", "x1")]


async def test_an_id_that_is_a_live_contacts_by_now_is_not_ended(world: World) -> None:
    host, site, _ = await served(world)
    await with_ana(host.workspace)
    receipt = await site.arrive("v1", text="hello", external_id="x1")
    other = await site.arrive("v2", text="hello", external_id="x2")
    await accept(host, receipt.contact)
    await cut_off(site)
    switch = c.SwitchChannel(contact=ContactId(receipt.contact), channel="sms", external_id="s1")
    await host.workspace.ask(switch)
    await host.workspace.ask(c.LinkContact(contact=ContactId(other.contact), external_id="x1"))
    await host.workspace.ask(c.AbandonContact(contact=ContactId(other.contact)))
    fresh = c.SubmitContact(
        contact=ContactId("c-new"), channel="chat", queue=QueueId(CARE), external_id="x9"
    )
    await host.workspace.ask(fresh)
    await host.workspace.ask(c.LinkContact(contact=ContactId("c-new"), external_id="x1"))
    successor, adapter, _ = await served(world)
    await successor.workspace.ask(c.CancelContact(contact=ContactId("c-new")))
    await adapter.until(lambda: bool(said(adapter)))
    assert said(adapter) == [("EndContact", "x1")], "once, when it is over"


async def test_legs_and_holds_are_said_again_for_a_customer_who_is_still_there(
    world: World,
) -> None:
    host, _, phones = await served(world)
    await with_ana(host.workspace, {"voice": "desk/ana"})
    first = await phones.arrive("+491", to="+49301", external_id="call-1")
    await phones.until(lambda: bool(phones.rings))
    await accept(host, first.contact)
    state = host.workspace.engine.state
    await until(lambda: [r.state for r in state.reservations.values()] == ["connected"])
    await cut_off(phones)
    await host.workspace.ask(c.HoldCustomer(contact=ContactId(first.contact)))
    _, _, successor = await served(world)
    await successor.arrive("+491", to="+49301", external_id="call-1")
    await successor.until(lambda: ("HoldContact", "call-1") in said(successor))

    host, _, phones = await served(world)
    await cut_off(phones)
    await host.workspace.ask(c.RequeueContact(contact=ContactId(first.contact)))
    _, _, successor = await served(world)
    await successor.until(lambda: ("DisconnectAgent", "call-1") in said(successor))


async def test_only_the_last_minutes_are_looked_at(world: World) -> None:
    host, site, _ = await served(world)
    old = await site.arrive("v1", text="hello", external_id="x1")
    await host.workspace.ask(c.CancelContact(contact=ContactId(old.contact)))
    world.clock.advance(AGAIN_US + 1_000_000)
    new = await site.arrive("v2", text="hello", external_id="x2")
    await host.workspace.ask(c.CancelContact(contact=ContactId(new.contact)))
    events = await log_end(world.journal, host.workspace.own, host.workspace.seq)
    contacts = {getattr(event, "contact", "") for event in events}
    assert (new.contact in contacts, old.contact in contacts) == (True, False)
    assert ANA not in contacts
