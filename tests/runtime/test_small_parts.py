"""Clock, tasks, logs, metrics, health, upkeep: the small parts, each alone."""

from __future__ import annotations

import asyncio
import io
import json
import logging

import pytest

from router.channel import Address, NewContact
from router.core import commands as c
from router.core import estimates
from router.core import events as e
from router.core.model import DAY_US, ContactId
from router.errors import StoreFull
from router.journal import ArchiveWrite
from router.journal.memory import MemoryJournal
from router.runtime import logs, tasks
from router.runtime.clock import ManualClock, SystemClock, sleep
from router.runtime.health import Health
from router.runtime.metrics import Metrics
from router.runtime.upkeep import Upkeep, expire
from tests.runtime.world import CARE, SECOND, World, submit, until, with_ana


def test_time_does_not_jump_when_somebody_sets_the_wall_clock() -> None:
    wall, monotonic = [10**18], [5 * 10**9]
    clock = SystemClock(lambda: wall[0], lambda: monotonic[0])
    before_us = clock.now_us()
    wall[0] += 3600 * 10**9 + 10**9
    monotonic[0] += 10**9
    assert clock.now_us() - before_us == SECOND
    assert clock.stepped_us() == 3600 * SECOND
    assert clock.stepped_us() == 0
    wall[0] += 10**9  # a second of drift is not a step
    assert clock.stepped_us() == 0


async def test_a_manual_clock_fires_in_order_and_forgets_what_is_cancelled() -> None:
    clock = ManualClock(0)
    fired: list[str] = []
    clock.call_at(20, lambda: fired.append("b"))
    clock.call_at(10, lambda: fired.append("a"))
    clock.call_at(15, lambda: fired.append("never")).cancel()
    clock.advance(30)
    assert fired == ["a", "b"]
    assert clock.now_us() == 30


async def test_no_task_dies_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks() -> None:
        raise ValueError("planted")

    told: list[str] = []
    tasks.FATAL.append(lambda name, error: told.append(f"{name}: {error}"))
    task = tasks.spawn(breaks(), "breaks")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    tasks.FATAL.pop()
    assert told == ["breaks: planted"]
    assert "task ended by an exception" in caplog.text


async def test_a_task_set_ends_what_it_started() -> None:
    owner = tasks.TaskSet("owner")
    for _ in range(3):
        owner.spawn(asyncio.Event().wait(), "waits")
    assert len(owner) == 3
    assert await owner.stop() == []
    assert len(owner) == 0


def test_log_lines_are_json_and_hide_addresses() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    log = logging.getLogger("test.lines")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.addHandler(handler)
    log.info("from kim@mail.example", extra={"to": "+49 30 1234567", "contact": "c019f3a", "n": 3})
    log.debug("from kim@mail.example")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["text"] == "from ***"
    assert (first["to"], first["contact"], first["n"]) == ("***", "c019f3a", 3)
    assert second["text"] == "from kim@mail.example"


def test_log_lines_for_people_are_sentences_and_hide_addresses() -> None:
    record = logging.makeLogRecord(
        {"msg": "adapter is started again", "levelname": "WARNING", "adapter": "phones"}
        | {"why": "kim@mail.example hung up", "exc_info": (ValueError, ValueError("odd"), None)}
    )
    line = logs.Sentences().format(record)
    said = "warning: adapter is started again (adapter phones, why *** hung up, ValueError: odd)"
    assert line.endswith(said)
    assert "{" not in line


async def test_metrics_follow_a_contact_from_post_to_closed(world: World) -> None:
    metrics = Metrics()
    host = await world.host()
    host.metrics._f = metrics._families  # one registry, to render
    await host.start([])
    await with_ana(host.workspace)
    await host.workspace.ask(submit("c1"))
    reservation = next(iter(host.workspace.engine.state.reservations))
    world.clock.advance(12 * SECOND)
    await host.workspace.ask(c.AcceptOffer(reservation=reservation))
    await host.workspace.ask(c.CompleteContact(contact=ContactId("c1")))
    await until(lambda: host._stream is not None and host._stream.next_seq > host.workspace.seq)
    host.refresh_gauges()
    text = (await metrics.render()).decode()
    labels = 'queue="care",workspace="main"'
    assert 'router_contacts_total{channel="chat",outcome="completed",workspace="main"} 1.0' in text
    assert (
        f'router_contact_wait_seconds_bucket{{le="10.0",outcome="answered",{labels}}} 0.0' in text
    )
    assert (
        f'router_contact_wait_seconds_bucket{{le="15.0",outcome="answered",{labels}}} 1.0' in text
    )
    assert 'router_agents{presence="ready",workspace="main"} 1.0' in text
    place = 'channel="chat",queue="care",workspace="main"'
    assert f"router_estimated_wait_error_seconds{{{place}}} 12.0" in text, "at once, it was said"
    assert "c1" not in text.replace("gc1", "")


async def test_metrics_tell_how_far_estimated_waits_were_off(world: World) -> None:
    metrics = Metrics()
    host = await world.host()
    host.metrics._f = metrics._families
    await host.start([])
    await with_ana(host.workspace)
    row = host.workspace.engine.state.estimate(CARE, "chat")
    estimates.answered(row, 40 * SECOND, promised_us=30 * SECOND, at_us=1)
    estimates.answered(row, 20 * SECOND, promised_us=40 * SECOND, at_us=2)
    host.refresh_gauges()
    found = {}
    for line in (await metrics.render()).decode().splitlines():
        if line.startswith("router_estimated_wait_"):
            found[line.partition("{")[0]] = float(line.rpartition(" ")[2])
            assert '{channel="chat",queue="care",workspace="main"}' in line
    assert found["router_estimated_wait_bias_seconds"] == pytest.approx(-5.0, abs=0.5)
    assert found["router_estimated_wait_error_seconds"] == pytest.approx(15.0, abs=0.5)


async def test_health_tells_ready_from_degraded_from_down(world: World) -> None:
    health = Health()
    assert health.not_ready() == ["starting"]
    host, other = await world.host(), await world.host("other")
    await host.start([])
    await other.start([])
    health.watch(
        {"main": host.workspace, "other": other.workspace},
        {"main": host.channels, "other": other.channels},
    )
    assert health.report()["status"] == "ok"
    await world.journal.acquire("main")
    answer = host.workspace.put(submit("c1"))
    await until(lambda: host.workspace.stopped)
    assert isinstance(answer.exception(), Exception)
    assert health.report()["status"] == "degraded"
    assert health.not_ready() == []
    await other.stop()
    assert health.report()["status"] == "down"


async def test_upkeep_reports_that_the_clock_was_set(world: World) -> None:
    workspace = await world.workspace()
    upkeep = Upkeep([workspace], world.clock, Metrics(), Health())
    upkeep.start()
    stream = workspace.feed.subscribe()
    world.clock.step(7200 * SECOND)
    for _ in range(10):
        await asyncio.sleep(0)
        world.clock.advance(SECOND)
    (_, event), *_ = await stream.batch()
    assert isinstance(event, e.ClockStepped)
    assert event.by_us == 7200 * SECOND
    await upkeep.stop()


async def test_a_burst_of_customers_does_not_run_out_of_keys(world: World) -> None:
    host = await world.host()
    await host.start([])
    news = [
        NewContact(external_id=f"x{n}", customer=Address(address=f"v{n}"), to="shop")
        for n in range(3000)
    ]
    for first in range(0, 3000, 100):
        batch = news[first : first + 100]
        await asyncio.gather(*(host.intake.submit(new, "chat") for new in batch))
    keys = {contact.seal_key for contact in host.workspace.engine.state.contacts.values()}
    assert len(keys) == 3000


async def test_old_rows_and_old_events_go_and_young_ones_stay(world: World) -> None:
    assert isinstance(world.journal, MemoryJournal)
    workspace = await world.workspace()
    old_us = workspace.now_us()
    await workspace.ask(submit("c1"), [ArchiveWrite("idempotency", "k1", old_us, b"x")])
    world.clock.advance(2 * DAY_US)
    young_us = workspace.now_us()
    await workspace.ask(submit("c2"), [ArchiveWrite("idempotency", "k2", young_us, b"y")])
    assert await expire(workspace) == 1
    found = await world.journal.fetch(workspace.own, "idempotency", ["k1", "k2"])
    assert found == {"k2": b"y"}
    assert await world.journal.oldest_seq(workspace.own) == 1
    world.clock.advance(29 * DAY_US)
    assert await expire(workspace) > 0
    oldest = await world.journal.oldest_seq(workspace.own)
    assert 1 < oldest <= workspace.seq
    assert "c1" in workspace.engine.state.contacts


async def test_what_is_too_old_goes_as_fast_as_it_came(world: World) -> None:
    assert isinstance(world.journal, MemoryJournal)
    workspace = await world.workspace()
    old_us = workspace.now_us()
    await workspace.ask(
        submit("c1"), [ArchiveWrite("idempotency", f"k{n}", old_us, b"x") for n in range(2500)]
    )
    for number in range(1200):  # each a frame of its own
        await workspace.ask(c.RecordAudit(action="test", subject=str(number), by="x"))
    young = workspace.seq
    world.clock.advance(31 * DAY_US)
    await workspace.ask(c.RecordAudit(action="test", subject="young", by="x"))
    upkeep = Upkeep([workspace], world.clock, Metrics(), Health())
    upkeep.start()
    await passes(world, 70)
    left = await world.journal.list_archive(workspace.own, "idempotency", "k", "", 3000)
    assert left == []
    assert await world.journal.oldest_seq(workspace.own) > young
    await upkeep.stop()


async def test_upkeep_goes_on_after_a_store_that_was_full(world: World) -> None:
    assert isinstance(world.journal, MemoryJournal)
    workspace = await world.workspace()
    old_us = workspace.now_us()
    await workspace.ask(submit("c1"), [ArchiveWrite("idempotency", "k1", old_us, b"x")])
    world.clock.advance(2 * DAY_US)
    upkeep = Upkeep([workspace], world.clock, Metrics(), Health())
    upkeep.start()
    world.journal.cut_off = StoreFull("the disk is full")
    await passes(world, 70)
    world.journal.cut_off = None
    await passes(world, 70)
    assert await world.journal.fetch(workspace.own, "idempotency", ["k1"]) == {}
    await upkeep.stop()


async def test_a_step_of_the_clock_is_told_when_the_store_is_back(world: World) -> None:
    assert isinstance(world.journal, MemoryJournal)
    workspace = await world.workspace()
    upkeep = Upkeep([workspace], world.clock, Metrics(), Health())
    upkeep.start()
    stream = workspace.feed.subscribe()
    world.journal.cut_off = StoreFull("the disk is full")
    stuck = tasks.spawn(workspace.ask(submit("c1")), "stuck")
    await until(lambda: workspace.suspended)
    world.clock.step(7200 * SECOND)
    await passes(world, 3)
    world.journal.cut_off = None
    await passes(world, 10)
    await stuck
    steps: list[int] = []
    while not steps:
        events = [event for _, event in await stream.batch()]
        assert events, "the stream has ended"
        steps += [event.by_us for event in events if isinstance(event, e.ClockStepped)]
    assert steps == [7200 * SECOND]
    assert workspace.engine.state.totals.clock_offset_us == 7200 * SECOND
    await upkeep.stop()


async def passes(world: World, seconds: int) -> None:
    """Let time pass, and what it wakes come through."""
    for _ in range(4 * seconds):
        for _ in range(10):
            await asyncio.sleep(0)
        world.clock.advance(SECOND // 4)


async def test_sleep_ends_when_the_clock_says_so() -> None:
    clock = ManualClock()
    waiting = tasks.spawn(sleep(clock, 5 * SECOND), "sleep")
    await until(lambda: clock.pending())
    clock.advance(4 * SECOND)
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(SECOND)
    await waiting
