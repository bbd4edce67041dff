"""A real server for the pages' tests: `contact-router demo`, started as a user starts it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]


class Demo:
    """A running demo without simulated people, and what it printed."""

    def __init__(self, printed: str) -> None:
        self.desk = self._find(r"http\S+/desk#ticket=\S+", printed)
        self.wallboard = self._find(r"http\S+/wallboard#ticket=\S+", printed)
        self.token = self._find(r"crt_\S+", printed)
        self.url = self.desk.partition("/desk#")[0]

    @staticmethod
    def _find(pattern: str, printed: str) -> str:
        found = re.search(pattern, printed)
        assert found is not None, f"expected {pattern} in what the demo printed:\n{printed}"
        return found[0]

    async def get(self, path: str) -> dict[str, Any]:
        """GET with the admin's token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(self.url + path) as response,
        ):
            answer: dict[str, Any] = json.loads(await response.text())
            assert response.status == 200, answer
            return answer

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST with the admin's token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(self.url + path, json=body) as response,
        ):
            answer: dict[str, Any] = json.loads(await response.text())
            assert response.status < 300, answer
            return answer


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Demo]:
    """The demo with its data in `folder`, ended when the test is done with it."""
    data = str(folder / "demo")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router", "demo", "--quiet-people", "--port", "0", "--data", data),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    printed = ""
    try:
        async with asyncio.timeout(60):
            while "Ctrl-C" not in printed:
                line = await process.stdout.readline()
                assert line, f"the demo ended at once:\n{printed}"
                printed += line.decode()
        yield Demo(printed)
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(60):
            await process.communicate()
