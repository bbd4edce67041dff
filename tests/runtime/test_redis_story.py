"""The same story with Redis as the store: a killed server loses nothing acknowledged."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis

from loadtest.server import free_port
from tests.runtime.server import Served

REDIS = shutil.which("redis-server")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.peer,
    pytest.mark.skipif(REDIS is None, reason="redis-server is not installed"),
]


@pytest.fixture
async def redis_url(tmp_path: Path) -> AsyncIterator[str]:
    port = free_port()
    (tmp_path / "redis").mkdir()
    process = await asyncio.create_subprocess_exec(
        str(REDIS), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path / "redis"),
        "--appendonly", "yes", "--appendfsync", "always", "--save", "",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"Ready to accept" not in await process.stdout.readline():
            pass
    yield f"redis://127.0.0.1:{port}/0"
    process.kill()
    await process.wait()


@pytest.fixture
async def served_by_redis(tmp_path: Path, redis_url: str) -> AsyncIterator[tuple[Served, str]]:
    made = Served(tmp_path, redis_url)
    yield made, redis_url
    if made.process is not None and made.process.returncode is None:
        await made.kill()
    await made.session.close()


async def test_a_contact_lives_through_a_crash_with_redis_as_the_store(
    tmp_path: Path, served_by_redis: tuple[Served, str]
) -> None:
    served, redis_url = served_by_redis
    served.token = await served.command("token", "create", "admin")
    await served.start()
    await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    contact = (await served.good("POST", "/v1/contacts", served.text("e1")))["contact"]
    found = await served.until(f"/v1/contacts/{contact}", state="offered")
    await served.kill()
    await served.start()
    (reservation,) = (await served.until(f"/v1/contacts/{contact}", state="offered"))[
        "reservations"
    ]
    assert [reservation] == found["reservations"]
    await served.good("POST", f"/v1/reservations/{reservation}:accept", {})
    await served.good("POST", f"/v1/contacts/{contact}:complete", {})
    await served.kill()
    await served.start()
    found = await served.good("GET", f"/v1/contacts/{contact}")
    assert (found["state"], found["outcome"]) == ("closed", "completed")
    messages = (await served.good("GET", f"/v1/contacts/{contact}/messages"))["messages"]
    assert [message["text"] for message in messages] == ["hello"]
    assert await served.stop() == 0
    # A copy of it, brought into a Redis that has nothing.
    await served.command("backup", str(tmp_path / "copy"))
    code, text = await served.attempt("restore", str(tmp_path / "copy"))
    assert (code, "never overwrites" in text) == (3, True), text
    served.data = tmp_path / "elsewhere"
    code, text = await served.attempt("restore", str(tmp_path / "copy"))
    assert (code, "Redis has keys already" in text) == (3, True), text
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    client.close()
    lines = (await served.command("restore", str(tmp_path / "copy"))).splitlines()
    assert "workspace main" in lines
    await served.start()
    found = await served.good("GET", f"/v1/contacts/{contact}/messages")
    assert [message["text"] for message in found["messages"]] == ["hello"]
    assert await served.stop() == 0
