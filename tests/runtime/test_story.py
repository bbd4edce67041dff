"""The thin story, on the real server: a contact is posted, offered, accepted, wrapped up, closed,
and the server is killed with kill -9 in the middle, at every named place."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG = """
server: {port: PORT, durability: disk}
queues:
  care: {target: {sms: 5m}, wrap_up: 30s, offer: {timeout: 5m}}
entry_points:
  texts: {channel: sms, address: "+49302", queue: care}
  line: {channel: voice, address: "+49301", queue: care}
profiles:
  care: {care: 1}
adapters:
  sms: {type: loopback, channel: sms}
  phones: {type: loopback, channel: voice, media: true}
agents:
  ana: {name: Ana, profile: care, endpoints: {voice: desk/ana}}
"""


class Served:
    """A server process and how to talk to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "router.yaml"
        self.data = directory / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config.write_text(CONFIG.replace("PORT", str(self.port)))
        self.process: asyncio.subprocess.Process | None = None
        self.session = aiohttp.ClientSession(f"http://127.0.0.1:{self.port}")
        self.token = ""

    async def command(self, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", *words, "-c", str(self.config),
            "--data", str(self.data), cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode().strip()

    async def start(self, crash_at: str = "") -> None:
        environment = {**os.environ, "CONTACT_ROUTER_CRASH_AT": crash_at}
        with (self.directory / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "router", "serve", "-c", str(self.config),
                "--data", str(self.data), cwd=ROOT, env=environment, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(20):
            while not await self._is_ready():
                assert self.process.returncode is None, (self.directory / "log").read_text()

    async def _is_ready(self) -> bool:
        try:
            async with self.session.get("/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            await asyncio.sleep(
                0.05
            )  # the process is still starting; nothing else can be waited for
            return False

    async def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            return await self.process.wait()

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def good(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = await self.call(method, path, body)
        assert status in (200, 201), answer
        return answer

    async def until(self, path: str, **wanted: str) -> Any:
        """The object once these fields are as wanted."""
        async with asyncio.timeout(10):
            while True:
                found = await self.good("GET", path)
                if all(found.get(key) == value for key, value in wanted.items()):
                    return found
                await asyncio.sleep(0.02)  # another process: only asking tells


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path)
    made.token = await made.command("token", "create", "admin")
    yield made
    if made.process is not None and made.process.returncode is None:
        await made.kill()
    await made.session.close()


def text(external_id: str, words: str = "hello") -> dict[str, Any]:
    return {
        "channel": "sms",
        "external_id": external_id,
        "peer": {"address": "+4917012345", "name": "Kim", "to": "+49302"},
        "message": {"text": words, "id": f"m-{external_id}"},
    }


async def test_a_contact_lives_through_a_crash_from_post_to_closed(served: Served) -> None:
    await served.start()
    await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    contact = (await served.good("POST", "/v1/contacts", text("e1")))["contact"]
    found = await served.until(f"/v1/contacts/{contact}", state="offered")
    reservation = found["reservations"][0]
    await served.kill()

    await served.start()
    found = await served.until(f"/v1/contacts/{contact}", state="offered")
    assert found["reservations"] == [reservation]
    await served.good("POST", f"/v1/reservations/{reservation}:accept", {})
    await served.until(f"/v1/contacts/{contact}", state="active")
    await served.kill()

    await served.start()
    messages = (await served.good("GET", f"/v1/contacts/{contact}/messages"))["messages"]
    assert [message["text"] for message in messages] == ["hello"]
    await served.good("POST", f"/v1/contacts/{contact}:complete", {})
    await served.until(f"/v1/reservations/{reservation}", state="wrapping")
    await served.kill()

    await served.start()
    await served.good("POST", f"/v1/reservations/{reservation}:finish-wrap-up", {})
    found = await served.until(f"/v1/contacts/{contact}", state="closed")
    assert found["outcome"] == "completed"
    status, again = await served.call("POST", "/v1/contacts", text("e1"))
    assert status == 200
    assert again["contact"] == contact
    assert await served.stop() == 0
    log = (served.directory / "log").read_text()
    assert "Traceback" not in log
    assert "4917012345" not in log
    events = (await served.command("tail")).splitlines()
    assert sum('"ContactClosed"' in line for line in events) == 1
    assert sum('"ContactOffered"' in line for line in events) == 1
    assert b"4917012345" not in b"".join(f.read_bytes() for f in served.data.glob("ws-*"))


@pytest.mark.parametrize(
    "point", ["before_commit", "after_commit", "after_effects", "after_answers", "before_effect"]
)
async def test_a_crash_at_a_named_place_loses_nothing_acknowledged(
    served: Served, point: str
) -> None:
    await served.start()
    await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    kept = (await served.good("POST", "/v1/contacts", text("e1")))["contact"]
    await served.kill()
    await served.start(f"{point}:3")
    acknowledged = [kept]
    for number in range(2, 12):
        try:
            status, answer = await served.call("POST", "/v1/contacts", text(f"e{number}"))
            assert status == 201, answer
            acknowledged.append(answer["contact"])
            path = f"/v1/contacts/{acknowledged[-1]}/messages"
            await served.call("POST", path, {"text": "hi"})
        except (aiohttp.ClientError, ConnectionError):
            break
    else:
        pytest.fail(f"it did not crash at {point}")
    assert served.process is not None
    assert await served.process.wait() == 137
    await served.start()
    for contact in acknowledged:
        await served.good("GET", f"/v1/contacts/{contact}")
    listed = (await served.good("GET", "/v1/contacts"))["contacts"]
    externals = [found["external_id"] for found in listed]
    assert len(externals) == len(set(externals))
    for number in range(2, 12):  # what was not answered is said again
        status, answer = await served.call("POST", "/v1/contacts", text(f"e{number}"))
        assert status in (200, 201), answer
    listed = (await served.good("GET", "/v1/contacts"))["contacts"]
    assert sorted(found["external_id"] for found in listed) == sorted(
        f"e{number}" for number in range(1, 12)
    )
    assert await served.stop() == 0
