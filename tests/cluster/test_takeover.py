"""Owners killed, stopped and frozen while robots post, accept and answer: judged from outside.

The robots and the checker are those of the single server (`tests/outside`): they know sockets and
words, and nothing of the router. They come in by whichever node is up.
"""

from __future__ import annotations

import asyncio
import random
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from loadtest.checker import Checker
from tests.cluster.nodes import NEEDS_REDIS, Node, Site, owner_among, until
from tests.outside import test_kill as single
from tests.outside.robots import Adapter, Agent, Reader, World, submit_batches, submit_singly

pytestmark = [
    pytest.mark.peer,
    NEEDS_REDIS,
    pytest.mark.timeout(600),
    # A robot whose connection breaks in the middle drops what it was about to do.
    pytest.mark.filterwarnings("ignore:coroutine 'Agent.* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
BODY = "queues:" + single.CONFIG.partition("queues:")[2]


class Door:
    """What the robots take for the server: any node that is up."""

    def __init__(self, site: Site) -> None:
        self.admin = site.admin
        self.up: list[Node] = []
        self._turn = 0

    @property
    def session(self) -> aiohttp.ClientSession:
        """Another node each time."""
        self._turn += 1
        return self.up[self._turn % len(self.up)].session

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one request, made again while a workspace is between two nodes."""
        while True:
            with suppress(aiohttp.ClientError):
                found = await self.up[0].ask(method, path, body, token=self.admin)
                if found[0] not in (503, 507):
                    return found
            await asyncio.sleep(0.05)

    async def token(self, role: str, **bound: str) -> str:
        """A new token."""
        status, made = await self.ask("POST", "/v1/tokens", {"role": role, **bound})
        assert status == 201, made
        return str(made["token"])


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, BODY, lease_s=1.0)
    yield made
    await made.close()


async def lose_by_kill(door: Door, owner: Node, others: list[Node]) -> float:
    """Kill -9. Seconds until another node serves."""
    door.up.remove(owner)
    await owner.kill()
    began = time.monotonic()
    await owner_among(others)
    took_s = time.monotonic() - began
    await owner.start()
    door.up.append(owner)
    return took_s


async def lose_by_freezing(door: Door, owner: Node, others: list[Node]) -> float:
    """SIGSTOP until another node has it, and SIGCONT: it has to step down by itself."""
    door.up.remove(owner)
    owner.signal(signal.SIGSTOP)
    began = time.monotonic()
    await owner_among(others)
    took_s = time.monotonic() - began
    owner.signal(signal.SIGCONT)

    async def has_stepped_down() -> bool:
        return not await owner.owns()

    await until(has_stepped_down, owner.log_end)
    door.up.append(owner)
    return took_s


async def lose_by_stopping(door: Door, owner: Node, others: list[Node]) -> float:
    """SIGTERM: handed over. Seconds that no node served it, by the log of who got it."""
    door.up.remove(owner)
    assert await owner.stop() == 0, owner.log_end()
    handed = r'"at":([0-9.]+)[^\n]*"text":"workspace handed over"[^\n]*"took_s":([0-9.]+)'
    given = re.findall(handed, owner.log.read_text().rpartition('"workspace served"')[2])
    # Not handed over: a machine had held it, or all others, up for a lease just then.
    at, length_s = map(float, given[-1]) if given else (0.0, 0.0)
    served: list[float] = []

    async def is_served() -> bool:
        for node in others:
            lines = re.findall(
                r'"at":([0-9.]+)[^\n]*"text":"workspace served"', node.log.read_text()
            )
            served.extend(float(line) for line in lines if float(line) > at - length_s)
        return bool(served)

    await until(is_served)
    await owner_among(others)
    took_s = min(served) - (at - length_s) if given else 0.0
    owner.log.rename(owner.log.with_suffix(f".{time.monotonic_ns()}"))
    await owner.start()
    door.up.append(owner)
    return took_s


LOSSES = (lose_by_kill, lose_by_freezing, lose_by_stopping)


async def befall(site: Site, plan: list[Any], seed: int) -> list[tuple[str, float]]:
    """The whole story: robots work, owners are lost as planned, everything is judged."""
    nodes = await site.start("a", "b", "c")
    door, checker = Door(site), Checker(single.CAPACITY, single.MAXIMUM)
    door.up = list(nodes)
    world = World(door, checker, random.Random(seed))  # type: ignore[arg-type]  # serves as one
    loop = asyncio.get_running_loop()
    desks = [Agent(world, name, await door.token("agent", agent=name)) for name in single.AGENTS]
    adapter = Adapter(world, await door.token("adapter", channel="line"))
    robots = [loop.create_task(robot.run()) for robot in (Reader(world), adapter, *desks)]
    customers = [loop.create_task(submit_singly(world)) for _ in range(2)]
    customers.append(loop.create_task(submit_batches(world)))
    world.up.set()
    took: list[tuple[str, float]] = []
    try:
        for lose in plan:
            before = world.acknowledged

            async def has_worked(before: int = before) -> bool:
                return world.acknowledged > before + 30

            await until(has_worked)
            owner = await owner_among(door.up)
            others = [node for node in door.up if node is not owner]
            took.append((lose.__name__, await lose(door, owner, others)))
        await single.drain(world, adapter, customers)
    finally:
        for robot in (*robots, *customers):
            robot.cancel()
        ended = await asyncio.gather(*robots, return_exceptions=True)
    broken = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
    assert not broken, broken
    restated = await single.judge(world)
    print(
        f"seed {seed}: {[(name, round(s, 2)) for name, s in took]}: {world.acknowledged} "
        f"acknowledged, {checker.seq} events, {len(checker.closed)} closed, "
        f"effects {adapter.effects}, refusals {world.refusals}, {restated} offers restated"
    )
    assert not checker.wrong, "\n".join(checker.wrong[:20])
    for node in nodes:
        text = node.log.read_text()
        assert "Traceback" not in text, text[text.index("Traceback") - 500 :][:3000]
    return took


async def test_an_owner_that_is_killed_frozen_or_stopped_takes_nothing_with_it(
    site: Site,
) -> None:
    took = await befall(site, list(LOSSES), seed=11)
    assert [name for name, _ in took] == [lose.__name__ for lose in LOSSES]


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_nor_do_many(site: Site, losses: int) -> None:
    """`pytest tests/cluster -k do_many --losses 30`: two minutes."""
    rng = random.Random(12)
    await befall(site, [rng.choice(LOSSES) for _ in range(losses)], seed=12)
