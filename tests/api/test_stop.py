"""The server stops: everybody who is connected is told in their own words, and soon."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.api.auth import Role, make_token
from router.core.model import Presence
from router.errors import ConfigError
from router.runtime.tasks import spawn
from tests.api.site import Site, api_of, start

CONFIG = """
server: {durability: process}
adapters:
  site: {type: webchat, channel: chat, key: shop}
  beeper: {type: remote, channel: sms}
entry_points:
  site: {channel: chat, address: site, queue: front}
queues: {front: {}}
profiles: {all: {front: 1}}
agents: {ana: {name: Ana, profile: all}}
"""
PAGES = 20
SOON_S = 8.0
"""A socket whose close is waited for costs 10 s each."""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    server = await start(tmp_path, CONFIG)
    async with aiohttp.ClientSession() as session:
        yield Site(server, api_of(server), session)
    await server.stop()


async def token(site: Site, role: Role, **bound: str) -> str:
    text, row = make_token(role, now_us=site.api.clock.now_us(), name=role.value, **bound)
    await site.api.tokens.add("main", row)
    return text


async def visit(site: Site, path: str, hello: dict[str, Any]) -> aiohttp.ClientWebSocketResponse:
    socket = await site.session.ws_connect(site.base + path, headers={"Origin": site.base})
    await socket.send_str(json.dumps({"type": "hello", **hello}))
    first = json.loads(await socket.receive_str())
    assert first["type"] == "welcome"
    return socket


async def until_closed(socket: aiohttp.ClientWebSocketResponse) -> int:
    async for _ in socket:
        pass
    assert socket.close_code is not None
    return socket.close_code


async def until_told(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """The last frame before the close."""
    last: dict[str, Any] = {}
    async for message in socket:
        last = json.loads(message.data)
    return last


async def read_out(response: aiohttp.ClientResponse) -> None:
    async for _ in response.content.iter_any():
        pass


async def test_pages_desks_adapters_and_streams_are_told_and_the_stop_is_short(site: Site) -> None:
    chats = [await visit(site, "/v1/webchat/site/ws", {"key": "shop"}) for _ in range(PAGES)]
    hello = {"token": await token(site, Role.AGENT, agent="ana")}
    desks = [await visit(site, "/v1/desk", hello) for _ in range(3)]
    board = await visit(site, "/v1/desk", {"token": await token(site, Role.SUPERVISOR)})
    far = {"token": await token(site, Role.ADAPTER, channel="beeper")}
    beeper = await visit(site, "/v1/channels/beeper", far)
    admin = {"Authorization": f"Bearer {await token(site, Role.ADMIN)}"}
    stream = await site.session.get(f"{site.base}/v1/events", headers=admin)
    assert stream.status == 200
    sockets = [*chats, *desks, board, beeper]
    reading = [spawn(until_closed(socket), "reading") for socket in sockets]
    streaming = spawn(read_out(stream), "streaming")
    async with asyncio.timeout(SOON_S):
        await site.server.stop()
    codes = await asyncio.gather(*reading)
    assert codes[:PAGES] == [1012] * PAGES
    assert codes[PAGES:-1] == [1001] * 4
    assert codes[-1] == 1012
    await streaming


async def test_agents_whose_desks_are_open_are_not_lost_by_a_restart(
    site: Site, tmp_path: Path
) -> None:
    desk = await visit(site, "/v1/desk", {"token": await token(site, Role.AGENT, agent="ana")})
    await desk.send_str(json.dumps({"type": "presence", "cid": "1", "presence": "ready"}))
    async for message in desk:
        if json.loads(message.data)["type"] == "answer":
            break
    reading = spawn(until_told(desk), "reading")
    await site.server.stop()
    assert (await reading)["type"] == "closing"
    again = await start(tmp_path, CONFIG)
    try:
        (ana,) = again.hosts["main"].workspace.engine.state.agents.values()
        assert (ana.presence, ana.lost_at_us) == (Presence.READY, 0)
    finally:
        await again.stop()


async def test_a_page_that_answers_nothing_does_not_hold_the_stop_up(site: Site) -> None:
    socket = await visit(site, "/v1/webchat/site/ws", {"key": "shop"})
    async with asyncio.timeout(SOON_S):  # nobody reads: the close is never answered
        await site.server.stop()
    await socket.close()


async def test_two_web_chats_of_one_name_are_refused_with_words(tmp_path: Path) -> None:
    one = textwrap.indent(CONFIG.partition("\n")[2].partition("\n")[2], "    ")
    text = f"server: {{durability: process}}\nworkspaces:\n  oak:\n{one}  elm:\n{one}"
    where = r":14:7: workspaces\.elm\.adapters\.site"
    with pytest.raises(ConfigError, match=where + ": workspace 'oak' has an adapter 'site' too"):
        await start(tmp_path, text)
