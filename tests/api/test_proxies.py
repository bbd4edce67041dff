"""Who somebody is behind a proxy, where an adapter lets in by address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.api.site import start

CONFIG = """
server: {{trusted_proxies: [{proxies}]}}
workspaces:
  oak:
    adapters:
      texts: {{type: kannel, channel: sms, send_url: "http://127.0.0.1:1/", username: router,
               password_file: {secret}, peers: [{peers}]}}
    queues: {{front: {{}}}}
"""
LET_IN, NOT_LET_IN = 400, 403
"""The request itself is wrong: only who was let in hears so."""


@asynccontextmanager
async def asking(folder: Path, proxies: str, peers: str) -> AsyncIterator[str]:
    secret = folder / "secret"
    secret.write_text("sesame")
    secret.chmod(0o600)
    config = CONFIG.format(proxies=proxies, peers=peers, secret=secret)
    server = await start(folder / "var", config)
    try:
        yield f"http://127.0.0.1:{server.port}/v1/kannel/texts/status"
    finally:
        await server.stop()


async def status_of(url: str, *forwarded: str) -> int:
    headers = [("X-Forwarded-For", each) for each in forwarded]
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (["10.0.0.7"], LET_IN),
        (["203.0.113.9, 10.0.0.7"], LET_IN),
        (["203.0.113.9"], NOT_LET_IN),
        (["10.0.0.7, 203.0.113.9"], NOT_LET_IN),
        (["10.0.0.7", "203.0.113.9"], NOT_LET_IN),  # HAProxy adds a field of its own
        (["10.0.0.7", "203.0.113.9, 127.0.0.1"], NOT_LET_IN),
        (["10.0.0.7, nonsense"], NOT_LET_IN),
        ([], NOT_LET_IN),
    ],
)
async def test_what_a_client_says_of_itself_is_not_believed(
    tmp_path: Path, forwarded: list[str], expected: int
) -> None:
    async with asking(tmp_path, proxies="127.0.0.1", peers="10.0.0.7") as url:
        assert await status_of(url, *forwarded) == expected


@pytest.mark.parametrize("proxies", ["", "192.0.2.1"])
async def test_who_comes_by_a_proxy_that_nobody_has_named_is_not_from_this_machine(
    tmp_path: Path, proxies: str
) -> None:
    async with asking(tmp_path, proxies=proxies, peers="127.0.0.1") as url:
        assert await status_of(url) == LET_IN
        assert await status_of(url, "203.0.113.9") == NOT_LET_IN
        assert await status_of(url, "127.0.0.1") == NOT_LET_IN
