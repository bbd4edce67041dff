"""A server process of the tests, and how to talk to it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from loadtest.server import free_port

ROOT = Path(__file__).parents[2]
CONFIG = """
server: {port: PORT, durability: diskJOURNAL}
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

    def __init__(self, directory: Path, redis_url: str = "") -> None:
        self.directory = directory
        self.config = directory / "router.yaml"
        self.data = directory / "data"
        self.port = free_port()
        journal = f", journal: {{store: redis, url: {redis_url!r}}}" if redis_url else ""
        self.config.write_text(CONFIG.replace("PORT", str(self.port)).replace("JOURNAL", journal))
        self.process: asyncio.subprocess.Process | None = None
        self.session = aiohttp.ClientSession(f"http://127.0.0.1:{self.port}")
        self.token = ""

    async def spawn(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", *words, "-c", str(self.config),
            "--data", str(self.data), cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def attempt(self, *words: str) -> tuple[int, str]:
        """Exit code and all that was printed."""
        process = await self.spawn(*words)
        out, err = await process.communicate()
        return process.returncode or 0, (out + err).decode()

    async def command(self, *words: str) -> str:
        process = await self.spawn(*words)
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
        async with asyncio.timeout(60):
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
        async with asyncio.timeout(60):
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
        async with asyncio.timeout(30):
            while True:
                found = await self.good("GET", path)
                if all(found.get(key) == value for key, value in wanted.items()):
                    return found
                await asyncio.sleep(0.02)  # another process: only asking tells

    async def until_there(self, path: str) -> None:
        async def is_there() -> bool:
            return (await self.call("GET", path))[0] == 200

        await _until(is_there)

    async def until_logged(self, words: str) -> None:
        async def is_logged() -> bool:
            return words in (self.directory / "log").read_text()

        await _until(is_logged)

    @staticmethod
    def text(external_id: str, words: str = "hello") -> dict[str, Any]:
        """A text message, as it is posted."""
        return {
            "channel": "sms",
            "external_id": external_id,
            "peer": {"address": "+4917012345", "name": "Kim", "to": "+49302"},
            "message": {"text": words, "id": f"m-{external_id}"},
        }


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask another process until it says so: nothing here would wake us."""
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.03)
