"""How a client of the lab finds a node that answers, as a careful client does.

A client stays with a node until it fails, waits a moment of its own, and takes another.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiohttp

from tests.lab.raw import Raw

Json = dict[str, Any]
LOST = (aiohttp.ClientError, ConnectionError, TimeoutError, asyncio.TimeoutError)
CONNECT_S = 2.0
ANSWER_S = 8.0
SOCKET_DEAD_S = 25.0
"""So long without any frame, and a socket is dead (docs/desk-protocol.md)."""
MAX_PAUSE_S = 1.0
AGAIN = frozenset({"overloaded", "outcome_unknown", "store_full", "unavailable", "stopping"})


class Away(ConnectionError):
    """This node does not carry it out now; another may, or later."""


class Setting:
    """What the lab tells its robots: read from a file when they start."""

    def __init__(self, path: Path) -> None:
        said: Json = json.loads(path.read_text())
        self.nodes: dict[str, str] = said["nodes"]
        """Name -> base URL."""
        self.admin: str = said["admin"]
        self.agents: dict[str, str] = said["agents"]
        """Name -> token."""
        self.adapter: str = said["adapter"]
        self.rate: float = said["rate"]
        """Contacts a second, over HTTP."""
        self.directory = path.parent
        self.seed: int = said["seed"]


class Client:
    """One client with its node of the moment."""

    def __init__(
        self, setting: Setting, rng: random.Random, session: aiohttp.ClientSession
    ) -> None:
        self.setting = setting
        self.session = session
        self._rng = rng
        self.node = rng.choice(list(setting.nodes))
        self._failures = 0

    def url(self, path: str) -> str:
        return self.setting.nodes[self.node] + path

    def fine(self) -> None:
        """The node has answered."""
        self._failures = 0

    async def elsewhere(self) -> None:
        """The node has failed: after a moment, another one."""
        self._failures += 1
        longest = min(MAX_PAUSE_S, 0.1 * 2 ** min(self._failures, 10))
        await asyncio.sleep(self._rng.uniform(0.02, longest))
        others = [name for name in self.setting.nodes if name != self.node]
        self.node = self._rng.choice(others or [self.node])

    async def post(self, path: str, body: Json, key: str = "") -> Json:
        """One attempt. Raises LOST when it has to be made again, ValueError for a refusal."""
        headers = {"Authorization": f"Bearer {self.setting.admin}"}
        if key:
            headers["Idempotency-Key"] = key
        async with self.session.post(self.url(path), json=body, headers=headers) as answer:
            text = await answer.text()
            if answer.status in {429, 502, 503, 504, 507}:
                raise Away(f"{answer.status} {text:.200}")
            if answer.status not in {200, 201}:
                raise ValueError(f"POST {path} at {self.node}: {answer.status} {text:.300}")
            self.fine()
            found: Json = json.loads(text)
            return found


def timeouts() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=ANSWER_S, connect=CONNECT_S)


class Robot:
    """What every robot process is: a log, a will to go on, and an ear for the lab."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.setting = setting
        self.rng = random.Random(f"{setting.seed} {name}")
        self.raw = Raw(setting.directory / f"{name}.jsonl")
        self.ending = asyncio.Event()
        """No new matters; what was begun is brought to its end."""
        self.herd = asyncio.Event()
        """Drop all connections now, and come back."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Do what this robot does, until cancelled or done."""
        raise NotImplementedError

    def start(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task whose failure ends the robot loudly."""
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.raw.write("odd", text=f"the robot itself failed: {error!r}")
            raise error

    async def listen(self) -> None:
        """What the lab says on standard input: `end`, `herd`; its end is ours."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        while word := (await reader.readline()).strip():
            if word == b"end":
                self.ending.set()
            elif word == b"herd":
                self.herd.set()
                self.herd.clear()
