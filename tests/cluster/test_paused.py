"""A channel that was paused at one node is paused at the node that takes over."""

from __future__ import annotations

import pytest

from tests.cluster.nodes import NEEDS_REDIS, Site, contact, owner_among, until

pytestmark = [
    pytest.mark.peer,
    NEEDS_REDIS,
    pytest.mark.slow,
    pytest.mark.timeout(400),
]


async def test_a_pause_goes_along_to_the_next_owner(site: Site) -> None:
    nodes = await site.start("a", "b")
    owner = await owner_among(nodes)
    other = next(node for node in nodes if node is not owner)
    ready = {"presence": "ready"}
    path = "/v1/agents/ana:presence"
    assert (await other.insist("POST", path, ready, token=site.admin))[0] == 200
    path = "/v1/channels/sms:pause"
    status, said = await other.insist("POST", path, {"reason": "nonsense"}, token=site.admin)
    assert status == 200, said
    _, made = await other.insist("POST", "/v1/contacts", contact("x1"), token=site.admin)
    await owner.kill()
    assert await owner_among([other]) is other
    await other.until_ready()
    _, stats = await other.insist("GET", "/v1/stats", token=site.admin)
    assert stats["paused"] == [said["channel"]["pause"]]
    where = f"/v1/contacts/{made['contact']}"
    assert (await other.insist("GET", where, token=site.admin))[1]["state"] == "queued"
    assert 'router_channel_paused{channel="sms",workspace="main"} 1.0' in await other.metrics()
    path = "/v1/channels/sms:resume"
    assert (await other.insist("POST", path, {}, token=site.admin))[0] == 200

    async def is_offered() -> bool:
        return bool((await other.insist("GET", where, token=site.admin))[1]["state"] == "offered")

    await until(is_offered, other.log_end)
