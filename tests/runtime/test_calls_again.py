"""Calls across a crash: what nobody heard is said again; of who listens the PBX is asked."""

from __future__ import annotations

from adapters.loopback import Line, Loopback
from router.channel import Address, Task
from router.config import AdapterSettings
from router.core import commands as c
from router.core import events as e
from router.core.effects import (
    ConferenceContact,
    EndContact,
    MonitorContact,
    MoveAgent,
    RecordContact,
    StopMonitor,
)
from router.core.model import AgentId, ContactId, Presence, Reservation
from router.runtime.host import Host
from tests.runtime.world import ANA, World, until, with_ana

# Its calls survive the router: as a text backend it knows whomever it is told of.
PHONES = AdapterSettings(type="loopback", channel="voice", settings={"media": False})
CY, BEN = AgentId("cy"), AgentId("ben")
CALLS = (ConferenceContact, EndContact, MoveAgent, MonitorContact, RecordContact, StopMonitor)


async def served(world: World, *lines: Line) -> tuple[Host, Loopback]:
    """A router, and a PBX on which these calls are there already."""
    host = await world.host()
    host.load({"phones": PHONES})
    phones = host.channels.get("phones")
    assert isinstance(phones, Loopback)
    phones.lines.update({line.external_id: line for line in lines})
    await host.start([])
    host.serve([])
    await until(lambda: phones.up)
    return host, phones


async def cut_off(phones: Loopback) -> None:
    """From here on effects wait in memory, and are lost with the process."""
    phones.lose()
    await until(lambda: not phones.up)


def told(phones: Loopback) -> list[Task]:
    return [done.task for done in phones.performed if isinstance(done.task.effect, CALLS)]


def kinds(phones: Loopback) -> list[str]:
    return sorted(type(task.effect).__name__ for task in told(phones))


async def talking(host: Host, phones: Loopback) -> ContactId:
    """Ana talks with a caller; Cy and Ben have phones."""
    ask = host.workspace.ask
    await with_ana(host.workspace, {"voice": "SIP/ana"})
    for agent in (CY, BEN):
        endpoints = {"voice": f"SIP/{agent}"}
        await ask(c.PutAgent(agent=agent, profile="care", endpoints=endpoints))
    receipt = await phones.arrive("+491701", to="+49301", external_id="call-1")
    await connected(host, receipt.contact)
    return ContactId(receipt.contact)


async def connected(host: Host, contact: str) -> Reservation:
    """Whoever is offered it takes it."""
    state = host.workspace.engine.state
    await until(lambda: state.contacts[ContactId(contact)].reservations)
    (id_,) = state.contacts[ContactId(contact)].reservations
    await host.workspace.ask(c.AcceptOffer(reservation=id_))
    await until(lambda: state.reservations[id_].state == "connected")
    return state.reservations[id_]


async def consulting(host: Host, contact: ContactId) -> None:
    """Ana asks Ben, who takes it."""
    await host.workspace.ask(c.SetPresence(agent=BEN, presence=Presence.READY))
    asked = c.StartConsult(contact=contact, consult=ContactId("k1"), target_agent=BEN, agent=ANA)
    await host.workspace.ask(asked)
    await connected(host, "k1")


async def test_a_recording_is_as_it_should_be_and_a_listener_who_was_stopped_is_gone(
    world: World,
) -> None:
    host, phones = await served(world)
    contact = await talking(host, phones)
    ask = host.workspace.ask
    await ask(c.RecordCall(contact=contact))
    await ask(c.StartMonitor(contact=contact, monitor="m1", agent=CY))
    await until(lambda: kinds(phones) == ["MonitorContact", "RecordContact"])
    await cut_off(phones)
    await ask(c.RecordCall(contact=contact, on=False))
    await ask(c.EndMonitor(monitor="m1"))
    _, again = await served(world)
    await until(lambda: kinds(again) == ["RecordContact", "StopMonitor"])
    assert [task.effect.on for task in told(again) if type(task.effect) is RecordContact] == [False]


async def listening(host: Host, phones: Loopback, contact: ContactId) -> None:
    """Cy listens, and that it is so is written down."""
    settled: list[e.Event] = []
    host.workspace.feed.tap(lambda _, events: settled.extend(events))
    await host.workspace.ask(c.StartMonitor(contact=contact, monitor="m1", agent=CY))
    await until(lambda: any(isinstance(event, e.EffectSettled) for event in settled))
    assert kinds(phones) == ["MonitorContact"]


async def test_who_hung_up_meanwhile_is_not_rung_but_over(world: World) -> None:
    host, phones = await served(world)
    contact = await talking(host, phones)
    await listening(host, phones, contact)
    await cut_off(phones)
    successor, again = await served(world)
    await until(lambda: kinds(again) == ["StopMonitor"])
    assert successor.workspace.engine.state.attached == {}


async def test_who_listens_still_is_left_in_peace(world: World) -> None:
    host, phones = await served(world)
    contact = await talking(host, phones)
    await listening(host, phones, contact)
    await cut_off(phones)
    line = Line("call-1", Address(address="+491701"))
    line.listeners.update(phones.lines["call-1"].listeners)
    successor, again = await served(world, line)
    await successor.workspace.ask(c.RecordCall(contact=contact))
    await until(lambda: "RecordContact" in kinds(again))
    assert kinds(again) == ["RecordContact"]
    assert "m1" in successor.workspace.engine.state.attached


async def test_a_hand_over_that_nobody_heard_is_a_move_and_no_end(world: World) -> None:
    host, phones = await served(world)
    contact = await talking(host, phones)
    await consulting(host, contact)
    await cut_off(phones)
    await host.workspace.ask(c.EndConsult(contact=contact, hand_over=True))
    _, again = await served(world)
    await until(lambda: "MoveAgent" in kinds(again))
    assert "EndContact" not in kinds(again)


async def test_a_consult_that_ended_unheard_is_ended_and_names_its_call(world: World) -> None:
    host, phones = await served(world)
    contact = await talking(host, phones)
    await consulting(host, contact)
    await host.workspace.ask(c.SetConference(contact=contact))
    await until(lambda: kinds(phones) == ["ConferenceContact"])
    await cut_off(phones)
    await host.workspace.ask(c.EndConsult(contact=contact))
    _, again = await served(world)
    await until(lambda: kinds(again) == ["EndContact"])
    (ended,) = told(again)
    assert (ended.effect.contact, ended.consult_of, ended.external_id) == ("k1", "call-1", "")


async def test_an_open_conference_is_stated_again(world: World) -> None:
    host, phones = await served(world)
    contact = await talking(host, phones)
    await consulting(host, contact)
    await host.workspace.ask(c.SetConference(contact=contact))
    await cut_off(phones)
    _, again = await served(world)
    await until(lambda: "ConferenceContact" in kinds(again))
    assert again.lines["call-1"].conference


async def test_a_listener_whose_phone_cannot_be_asked_for_is_over(world: World) -> None:
    host, phones = await served(world)
    contact = await talking(host, phones)
    endpoints = {"voice": "SIP/cy#unknown"}
    await host.workspace.ask(c.PutAgent(agent=CY, profile="care", endpoints=endpoints))
    await host.workspace.ask(c.StartMonitor(contact=contact, monitor="m1", agent=CY))
    await until(lambda: kinds(phones) == ["MonitorContact", "StopMonitor"])
    assert phones.lines["call-1"].listeners == {}, "nobody knows whether it rang: it must not"
