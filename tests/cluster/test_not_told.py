"""An owner that has been followed and has not heard of it: what it says to whoever asks it.

Its line to the store hangs, as after a freeze or in a cut, for as long as the test likes; the other
node owns the workspace, and has what this one has never seen.
"""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest

from router.testing.fault_proxy import FaultProxy
from tests.cluster.nodes import NEEDS_REDIS, Node, Site, contact, owner_among, until
from tests.cluster.test_any_node import signed

pytestmark = [
    pytest.mark.peer,
    NEEDS_REDIS,
    pytest.mark.timeout(400),
]


async def desk_closed_with(node: Node, token: str) -> int | None:
    """What a desk hears that comes with this token."""
    async with node.session.ws_connect("/v1/desk") as socket:
        await socket.send_json({"type": "hello", "token": token})
        async with asyncio.timeout(100):
            while (await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
                pass
        return socket.close_code


async def test_it_sends_away_and_neither_knows_nor_denies_what_its_successor_has(
    site: Site,
) -> None:
    async with FaultProxy("127.0.0.1", site.store.port) as line:
        first, second = site.node("a"), site.node("b")
        site.admin = (await first.command("token", "create", "admin")).strip()
        text = first.config.read_text()
        first.config.write_text(text.replace(f":{site.store.port}/", f":{line.port}/"))
        await first.start()
        await owner_among([first])
        _, old = await first.insist("POST", "/v1/contacts", contact("old"), token=site.admin)
        await second.start()
        streaming = await first.session.get(
            "/v1/events?from_seq=1", headers={"Authorization": f"Bearer {site.admin}"}
        )
        line.requests.hang()
        line.answers.hang()
        await owner_among([second])

        body = {"role": "agent", "agent": "ana"}
        _, made = await second.insist("POST", "/v1/tokens", body, token=site.admin)
        _, new = await second.insist("POST", "/v1/contacts", contact("new"), token=site.admin)
        assert await first.owns() == ["main"], "it has not heard"
        ours = made["token"]
        for method, path, body, token in (
            ("GET", f"/v1/contacts/{new['contact']}", None, site.admin),
            ("GET", f"/v1/contacts/{old['contact']}", None, site.admin),
            ("POST", f"/v1/contacts/{new['contact']}:cancel", {}, site.admin),
            ("DELETE", f"/v1/tokens/{made['id']}", None, site.admin),
            ("GET", "/v1/contacts", None, site.admin),
            ("POST", "/v1/contacts", contact("new"), site.admin),
            ("GET", "/v1/agents/ana", None, ours),
        ):
            status, said = await first.ask(method, path, body, token=token)
            assert status in (503, 507), (method, path, said)
        assert await desk_closed_with(first, ours) == 4503
        assert await desk_closed_with(first, site.admin) == 4503
        # And it does not vouch for the workspace to others who look for a token.
        secret = bytes.fromhex(site.secret.read_text())
        path = "/nodes/find?token=" + "ab" * 32
        hop = signed(secret, "GET", path, "", time.time_ns() // 1000)
        async with first.session.get(path, headers={"X-Router-Hop": hop}) as answer:
            assert json.loads(await answer.read()) == {"workspaces": [""], "serves": []}

        line.requests.flow()
        line.answers.flow()

        async def has_heard() -> bool:
            return not await first.owns()

        await until(has_heard, first.log_end)
        async with asyncio.timeout(100):
            seen = await streaming.content.read()
        assert new["contact"].encode() not in seen
        assert b"event: gap" not in seen
        streaming.close()

        async def is_refused() -> bool:
            code = await desk_closed_with(first, "crt_" + "a" * 49)
            assert code in (4401, 4503), "4503 while the other one may not be sure"
            return code == 4401

        await until(is_refused, first.log_end)
        assert (await first.insist("GET", "/v1/agents/ana", token=ours))[0] == 200
