"""The store goes away and comes back: nothing is acknowledged from memory, nobody takes over."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from tests.cluster.nodes import NEEDS_REDIS, Node, Site, contact, owner_among, until

pytestmark = [
    pytest.mark.peer,
    NEEDS_REDIS,
    pytest.mark.timeout(180),
]


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

    for node in nodes:
        assert await post(node) == 201
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
    site.store.restart()
    assert (await next_of(board, "store"))["away"] is False
    await board.close()

    async def takes_again() -> bool:
        return await post(nodes[1]) == 201

    await until(takes_again, owner.log_end)
    assert await owner.owns() == ["main"], "nobody has taken over for a store that was away"
    assert 'router_epoch{workspace="main"} 2.0' in await owner.metrics()
    status, page = await nodes[1].ask("GET", "/v1/contacts?limit=500", token=site.admin)
    assert status == 200
    there = {row["external_id"] for row in page["contacts"]}
    assert there >= set(acknowledged), set(acknowledged) - there
    assert len(acknowledged) >= 3
