"""The store goes away and comes back: nothing is acknowledged from memory, nobody takes over."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.nodes import NEEDS_REDIS, Node, Site, contact, owner_among, until

pytestmark = [
    pytest.mark.peer,
    NEEDS_REDIS,
    pytest.mark.timeout(400),
]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A lease that no machine of ours holds up for so long, once the store is back."""
    made = Site(tmp_path, lease_s=3.0)
    yield made
    await made.close()


async def next_of(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next frame of this type."""
    async with asyncio.timeout(60):
        while True:
            frame: dict[str, Any] = await socket.receive_json()
            if frame["type"] == kind:
                return frame


async def test_without_its_store_an_owner_acknowledges_nothing_and_goes_on_when_it_is_back(
    site: Site,
) -> None:
    nodes = await site.start("b", "a")  # of these two b should have it: it stays where it is
    owner = await owner_among(nodes)
    numbers = itertools.count(1)
    acknowledged: list[str] = []

    async def post(node: Node) -> int:
        mark = f"c{next(numbers)}"
        with suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(20):
                status, _ = await node.ask("POST", "/v1/contacts", contact(mark), token=site.admin)
            if status == 201:
                acknowledged.append(mark)
            return status
        return 0

    async def is_taken(node: Node) -> bool:
        return await post(node) == 201

    for node in nodes:
        await until(functools.partial(is_taken, node), node.log_end)
    board = await nodes[1].session.ws_connect("/v1/desk", protocols=("contact-router.v1.json",))
    await board.send_json({"type": "hello", "token": site.admin})
    assert await next_of(board, "welcome")
    site.store.kill()
    refused = await asyncio.gather(*(post(node) for node in nodes for _ in range(3)))
    assert set(refused) <= {0, 503, 507}, refused

    async def is_suspended() -> bool:
        return 'router_suspended{workspace="main"} 1.0' in await owner.metrics()

    await until(is_suspended, owner.log_end)
    assert await post(owner) in (503, 507), "now it is refused at once"
    assert (await next_of(board, "store"))["away"] is True, "said through the other node, too"

    async def has_lapsed() -> bool:
        """It says so before it calls a token wrong: it might be its successor's."""
        return (await owner.ask("GET", "/v1/contacts", token="crt_" + "a" * 49))[0] == 503

    await until(has_lapsed, owner.log_end)
    site.store.restart()
    assert (await next_of(board, "store"))["away"] is False
    await board.close()

    await until(functools.partial(is_taken, nodes[1]), owner.log_end)
    assert await owner.owns() == ["main"], "nobody has taken over for a store that was away"
    assert 'router_epoch{workspace="main"} 2.0' in await owner.metrics()
    status, page = await nodes[1].insist("GET", "/v1/contacts?limit=500", token=site.admin)
    assert status == 200
    there = {row["external_id"] for row in page["contacts"]}
    assert there >= set(acknowledged), set(acknowledged) - there
    assert len(acknowledged) >= 3
