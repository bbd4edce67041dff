"""A real server under drawn operations of all kinds: nobody waits while somebody free could serve.

What agents, supervisors and administrators do is drawn, reloads that take queues, profiles and
channels away among it. After each operation the stream's own story is compared with what is listed.
"""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest

from loadtest.server import Server
from tests.outside.operations import Installation, Operations, now
from tests.outside.overseer import Json, Overseer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
STEPS = 120
AGENTS = 5
READY = {"presence": "ready"}
PATIENCE_S = 5.0
"""Whoever is overlooked for so long, while nothing else happens, is overlooked for good."""


@pytest.mark.parametrize("drawn", range(3))
async def test_nobody_waits_while_somebody_free_could_serve(tmp_path: Path, drawn: int) -> None:
    rng = random.Random(drawn)
    installation = Installation(rng)
    server = Server(tmp_path, installation.text)
    overseer = Overseer(installation.settings)
    operations = Operations(server, overseer, installation, rng)
    try:
        await server.make_admin()
        await server.start()
        following = asyncio.get_running_loop().create_task(follow(server, overseer))
        for number in range(AGENTS):
            await operations.put(f"a{number}")
            await operations.ask("ready", "POST", f"/v1/agents/a{number}:presence", READY)
        await caught_up(server, overseer)
        looks = 0
        for _ in range(STEPS):
            await operations.step()
            looks += await look(server, overseer)
            assert not overseer.wrong, overseer.wrong[:5]
            assert not following.done(), "the stream ended"
        following.cancel()
        code = await server.stop()
    finally:
        await server.close()
    log = server.log.read_text()
    print(f"{overseer.seq} events, {looks} looks, {operations.done}, refused {operations.refused}")
    assert '"level":"error"' not in log, server.log_end()
    assert code == 0
    assert looks > STEPS / 2
    assert len(overseer.closed) > 5


async def follow(server: Server, overseer: Overseer) -> None:
    """Tell the overseer every event from the beginning."""
    headers = {"Authorization": f"Bearer {server.admin}", "Last-Event-ID": "0"}
    seq = 0
    async with server.session.get("/v1/events", headers=headers, timeout=None) as answer:
        async for line in answer.content:
            if line.startswith(b"id: "):
                seq = int(line[4:])
            elif line.startswith(b"data: ") and seq > overseer.seq:
                overseer.event(seq, json.loads(line[6:]))


async def caught_up(server: Server, overseer: Overseer) -> int:
    """Wait until the stream is where the server was when it was asked; the sequence number."""
    async with asyncio.timeout(30):
        while True:
            health = await server.good("GET", "/v1/health")
            seq = int(health["workspaces"]["main"]["seq"])
            if overseer.seq >= seq:
                return seq
            await asyncio.sleep(0.005)  # another process: only asking tells


async def look(server: Server, overseer: Overseer) -> bool:
    """Compare, if nothing happens meanwhile. False: something did."""
    seq = await caught_up(server, overseer)
    if overseer.overlooked(now()):
        # A timer may be due in this very moment: then events follow by themselves.
        try:
            async with asyncio.timeout(PATIENCE_S):
                while overseer.seq == seq:  # noqa: ASYNC110 - the stream tells
                    await asyncio.sleep(0.005)
        except TimeoutError:
            overseer.wrong += [
                f"{seq}: {contact} waits, {agent} is free"
                for contact, agent in overseer.overlooked(now())
            ]
        return False
    pages = [
        await whole(server, "contacts"),
        await whole(server, "reservations"),
        await whole(server, "agents"),
    ]
    if await caught_up(server, overseer) != seq or overseer.seq != seq:
        return False
    overseer.compare(*pages)
    return True


async def whole(server: Server, what: str) -> list[Json]:
    """All pages of a list."""
    found: list[Json] = []
    following = ""
    while True:
        page = await server.good("GET", f"/v1/{what}?limit=20&cursor={following}")
        found += page[what]
        following = page.get("next", "")
        if not following:
            return found
