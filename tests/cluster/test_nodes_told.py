"""`GET /v1/nodes`: who lives and who serves, at any node, to each workspace of itself alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.nodes import NEEDS_REDIS, Node, Site, owner_among, until
from tests.cluster.test_two_workspaces import _section

pytestmark = [pytest.mark.peer, pytest.mark.slow, NEEDS_REDIS, pytest.mark.timeout(400)]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, "workspaces:\n" + _section("east") + _section("west"), lease_s=2.0)
    yield made
    await made.close()


async def told(node: Node, token: str) -> Any:
    """What it answers, once the workspace is served by somebody."""
    answers: list[Any] = []

    async def is_told() -> bool:
        status, body = await node.ask("GET", "/v1/nodes", token=token)
        assert status in (200, 503, 507), body
        answers.append(body)
        return status == 200

    await until(is_told, node.log_end)
    return answers[-1]


async def test_the_nodes_are_told_with_who_lives_and_who_serves(site: Site) -> None:
    nodes = [site.node("a"), site.node("b")]
    tokens = {}
    for name in ("east", "west"):
        words = ("token", "create", "admin", "-w", name)
        tokens[name] = (await nodes[0].command(*words)).strip()
    for node in nodes:
        await node.start()

    async def is_shared_out() -> bool:
        return all([len(await node.owns()) == 1 for node in nodes])

    await until(is_shared_out)
    for name, token in tokens.items():
        for node in nodes:

            async def is_said(node: Node = node, name: str = name, token: str = token) -> bool:
                owner = await owner_among(nodes, name)
                answer = await told(node, token)
                assert "east" not in str(answer)
                assert "west" not in str(answer)
                alive = [{"name": one.name, "alive": True, "serves": one is owner} for one in nodes]
                return bool(answer["node"] == owner.name and answer["nodes"] == alive)

            await until(is_said, node.log_end)  # one that is held up for a lease is not alive
    await nodes[1].kill()

    async def is_alone() -> bool:
        return await nodes[0].owns() == ["east", "west"]

    await until(is_alone, nodes[0].log_end)
    for token in tokens.values():
        last = {
            "node": "a",
            "nodes": [
                {"name": "a", "alive": True, "serves": True},
                {"name": "b", "alive": False, "serves": False},
            ],
        }

        async def is_so(token: str = token, last: Any = last) -> bool:
            return bool(await told(nodes[0], token) == last)  # half a lease after the takeover

        await until(is_so, nodes[0].log_end)
