"""Desks: who has a screen, who has lost it, and what reaches it."""

from __future__ import annotations

import asyncio

import pytest

from router.core import events as e
from router.core.commands import AbandonContact
from router.core.effects import OfferContact, RescindOffer
from router.core.model import AgentId
from router.errors import NotFound
from router.runtime.desks import GRACE_US, SESSION_FRAMES, SESSIONS_PER_AGENT, DeskEffect
from router.runtime.host import Host
from tests.runtime.world import ANA, World, submit, until, with_ana


async def hosted(world: World) -> Host:
    host = await world.host()
    await host.start([])
    host.serve([])
    return host


async def test_an_offer_reaches_every_screen_of_its_agent(world: World) -> None:
    host = await hosted(world)
    await with_ana(host.workspace)
    screens = [await host.desks.open(ANA) for _ in range(2)]
    await host.workspace.ask(submit("c1"))
    for screen in screens:
        (item,) = await screen.pull()
        assert isinstance(item.effect, OfferContact)
        assert item.epoch == host.workspace.epoch
    assert host.desks.connected() == 2


async def test_the_last_screen_gone_takes_the_offer_back_at_once(world: World) -> None:
    host = await hosted(world)
    await with_ana(host.workspace)
    first, second = await host.desks.open(ANA), await host.desks.open(ANA)
    await host.workspace.ask(submit("c1"))
    await host.desks.shut(first)
    assert host.workspace.engine.state.agents[ANA].lost_at_us == 0
    await host.desks.shut(second)
    await host.desks.shut(second)
    assert host.workspace.engine.state.agents[ANA].lost_at_us > 0
    assert host.workspace.engine.state.contacts["c1"].state == "queued"
    back = await host.desks.open(ANA)
    assert host.workspace.engine.state.agents[ANA].lost_at_us == 0
    assert isinstance((await back.pull())[0].effect, OfferContact)


async def test_a_rescinded_offer_leaves_the_screen(world: World) -> None:
    host = await hosted(world)
    await with_ana(host.workspace)
    screen = await host.desks.open(ANA)
    await host.workspace.ask(submit("c1"))
    await host.workspace.ask(AbandonContact(contact="c1"))
    kinds = [type(item.effect) for item in await screen.pull()]
    assert kinds == [OfferContact, RescindOffer]


async def test_a_desk_of_an_agent_who_is_not_there_is_refused(world: World) -> None:
    host = await hosted(world)
    with pytest.raises(NotFound):
        await host.desks.open(AgentId("nobody"))
    assert host.desks.connected() == 0


async def test_a_screen_that_does_not_read_is_ended_and_its_memory_freed(world: World) -> None:
    host = await hosted(world)
    await with_ana(host.workspace)
    screen = await host.desks.open(ANA)
    effect = OfferContact(
        channel="chat", contact="c1", reservation="r1", agent=ANA, deadline_at_us=1
    )
    for number in range(SESSION_FRAMES + 1):
        host.desks.tell(ANA, DeskEffect(1, f"1-{number}", effect))
    assert screen.closed == "full"
    assert await screen.pull() == []


async def test_an_agent_has_a_bounded_number_of_screens(world: World) -> None:
    host = await hosted(world)
    await with_ana(host.workspace)
    screens = [await host.desks.open(ANA) for _ in range(SESSIONS_PER_AGENT + 1)]
    assert [screen.closed for screen in screens[:2]] == ["replaced", ""]
    assert host.desks.connected() == SESSIONS_PER_AGENT


async def test_after_a_restart_a_desk_has_a_grace_to_come_back(world: World) -> None:
    host = await hosted(world)
    await with_ana(host.workspace)
    await host.desks.open(ANA)
    await host.workspace.ask(submit("c1"))  # the note of the open desk rides along
    for comes_back in (True, False):
        successor = await hosted(world)
        assert successor.workspace.engine.state.agents[ANA].lost_at_us == 0
        if comes_back:
            await successor.desks.open(ANA)
        tasks = successor.desks._tasks
        await until(lambda tasks=tasks: len(tasks) == 1)
        for _ in range(20):  # the grace's timer is set
            await asyncio.sleep(0)
        world.clock.advance(GRACE_US + 1)
        await until(lambda tasks=tasks: len(tasks) == 0)
        assert (successor.workspace.engine.state.agents[ANA].lost_at_us > 0) != comes_back


async def test_stopping_ends_screens_but_loses_no_agent(world: World) -> None:
    host = await hosted(world)
    await with_ana(host.workspace)
    screen = await host.desks.open(ANA)
    await host.stop()
    assert screen.closed == "stopping"
    successor = await hosted(world)
    events = [
        event
        for _, event in await successor.workspace.feed.subscribe(1).batch()
        if isinstance(event, e.AgentLost)
    ]
    assert events == []
