"""The real server, killed again and again while robots use it: nothing acknowledged is lost.

`pytest tests/outside -m slow` kills it 50 times, `--kills N` as often as you like.
"""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest

from loadtest.checker import Checker, Json
from loadtest.server import Server
from tests.outside.robots import Adapter, Agent, Reader, World, submit_batches, submit_singly

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CAPACITY = 100
MAXIMUM = {"chat": 3, "sms": 5, "email": 10}
AGENTS = [f"agent{number}" for number in range(8)]
CONFIG = """
server:
  port: PORT
  durability: disk
  limits: {requests_per_s: 100000, requests_burst: 1000000, connections_per_token: 100}
queues:
  ask:
    offer: {timeout: 1s}
    decline: {on_miss: cool_down, cool_down: 300ms}
    wrap_up: 300ms
  both:
    offer: {timeout: 1s, parallel: 2}
    decline: {on_miss: cool_down, cool_down: 300ms}
entry_points:
  chat: {channel: chat, address: site, queue: both}
  sms: {channel: sms, address: "+49301", queue: ask}
  email: {channel: email, address: post@example.com, queue: ask}
profiles:
  all: {ask: 1, both: 1}
adapters:
  line: {type: remote, channel: sms}
grace: 1s
agents:
""" + "".join(f"  {name}: {{profile: all}}\n" for name in AGENTS)

POINTS = (
    "before_commit",
    "after_commit",
    "after_effects",
    "after_answers",
    "before_effect",
    "after_effect",
)
LIFE_S = (0.3, 1.2)
"""How long the server lives under load before it is killed."""
SELF_S = 20.0
"""How long it may take until it kills itself at a named place."""
DRAIN_S = 40.0


async def test_no_kill_loses_or_doubles_anything_acknowledged(
    tmp_path: Path, kills: int, seed: int
) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    server = Server(tmp_path, CONFIG)
    checker = Checker(CAPACITY, MAXIMUM)
    world = World(server, checker, rng)
    try:
        await server.make_admin()
        await server.start()
        desks = [Agent(world, name, await server.token("agent", agent=name)) for name in AGENTS]
        adapter = Adapter(world, await server.token("adapter", channel="line"))
        reader = Reader(world)
        loop = asyncio.get_running_loop()
        robots = [loop.create_task(robot.run()) for robot in (reader, adapter, *desks)]
        customers = [loop.create_task(submit_singly(world)) for _ in range(3)]
        customers.append(loop.create_task(submit_batches(world)))
        deaths = await kill_often(world, kills)
        await drain(world, adapter, customers)
        for robot in robots:
            robot.cancel()
        ended = await asyncio.gather(*robots, return_exceptions=True)
        broken = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
        assert not broken, broken
        restated = await judge(world)
        code = await server.stop()
    finally:
        await server.close()
    print(
        f"{kills} kills {deaths}: {world.acknowledged} acknowledged, {checker.seq} events, "
        f"{len(checker.closed)} closed, effects {adapter.effects}, "
        f"refusals {world.refusals}, {restated} desks told of open offers"
    )
    assert not checker.wrong, "\n".join(checker.wrong[:20])
    assert code == 0
    failures = [line for line in server.log.read_text().splitlines() if "Traceback" in line]
    assert not failures, failures[:3]
    assert world.acknowledged > 10 * kills
    assert restated > kills / 5, "too few offers were open at a restart to prove anything"
    if kills >= 27:  # each three times
        assert all(deaths.get(point) for point in POINTS), deaths


async def kill_often(world: World, kills: int) -> dict[str, int]:
    """Kill and restart; how it died how often."""
    deaths: dict[str, int] = {}
    server, rng = world.server, world.rng
    world.up.set()
    plan = ["random", *POINTS, "random", "random"] * (kills // 9 + 1)
    for number, point in enumerate(plan[:kills], 1):
        if point == "random":
            await asyncio.sleep(rng.uniform(*LIFE_S))  # the moment is meant to be any
            assert server.process is not None
            assert server.process.returncode is None, server.log_end()
        else:
            assert server.process is not None
            try:
                await asyncio.wait_for(server.process.wait(), SELF_S)
            except TimeoutError:
                point = f"late {point}"
        world.up.clear()
        code = await server.kill()
        assert code in {137, -9}, f"exit code {code}: {server.log_end()}"
        deaths[point] = deaths.get(point, 0) + 1
        following = plan[number] if number < kills else "random"
        await server.start("" if following == "random" else f"{following}:{rng.randint(3, 40)}")
        world.up.set()
    return deaths


async def drain(world: World, adapter: Adapter, customers: list[asyncio.Task[None]]) -> None:
    """No new contacts; those that are there are served to their end."""
    world.ending = True
    checker = world.checker
    try:
        async with asyncio.timeout(DRAIN_S):
            await asyncio.gather(*customers)
            while checker.live or checker.holds or adapter.unanswered:  # noqa: ASYNC110 - it tells
                await asyncio.sleep(0.05)
    except TimeoutError:
        checker.find(
            f"after {DRAIN_S:.0f} s {len(checker.live)} contacts live {list(checker.live)[:5]}, "
            f"{len(checker.holds)} reservations open {list(checker.holds)[:5]}, "
            f"{adapter.unanswered} calls not answered"
        )


async def judge(world: World) -> int:
    """Ask for everything that is there, read the stream from its beginning, compare."""
    server, checker = world.server, world.checker
    listed: list[Json] = []
    for state in ("", "&state=closed"):
        following = ""
        while True:
            path = f"/v1/contacts?limit=500{state}&cursor={following}"
            status, page = await server.ask("GET", path)
            if status != 200:
                checker.find(f"GET {path}: {status} {page}")
                break
            listed += page["contacts"]
            following = page.get("next", "")
            if not following:
                break
    for contact in list(checker.said):
        status, page = await server.ask("GET", f"/v1/contacts/{contact}/messages?limit=500")
        if status == 200:
            checker.messages(contact, [message["text"] for message in page["messages"]])
        else:
            checker.find(f"messages of {contact}: {status} {page}")
    checker.finish(listed)
    async with asyncio.timeout(60):
        await read_again(world)
    return checker.compare_welcomes()


async def read_again(world: World) -> None:
    """The whole stream: the same as it was when it was live."""
    checker, last = world.checker, world.checker.seq
    headers = {"Authorization": f"Bearer {world.server.admin}", "Last-Event-ID": "0"}
    seq = expected = 0
    async with world.server.session.get("/v1/events", headers=headers) as answer:
        async for line in answer.content:
            if line.startswith(b"id: "):
                seq, expected = int(line[4:]), expected + 1
                if seq != expected:
                    checker.find(f"read again, the stream has {seq} where {expected} was expected")
            elif line.startswith(b"data: ") and seq:
                checker.event(seq, json.loads(line[6:]))
                if seq >= last:
                    return
