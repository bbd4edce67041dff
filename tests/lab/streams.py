"""Readers of the event stream: each goes from node to node and writes down all it is shown."""

from __future__ import annotations

import asyncio
import json
import random

import aiohttp

from tests.lab.nodes import CONNECT_S, LOST, Client, Robot, Setting

READERS = 2
SILENT_S = 25.0
OVERLAP = (0, 0, 5, 100)
"""Now and then a reader asks for what it has seen already: it has to be the same."""


class Streams(Robot):
    """Some readers, in one process, each with a log of its own."""

    def __init__(self, setting: Setting) -> None:
        super().__init__("streams", setting)

    async def run(self) -> None:
        """Until the lab ends it."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            readers = [Reader(self, number, session) for number in range(READERS)]
            await asyncio.gather(*(reader.run() for reader in readers))


class Reader:
    """One reader."""

    def __init__(self, robot: Streams, number: int, session: aiohttp.ClientSession) -> None:
        self._robot = robot
        self._number = number
        self._rng = random.Random(f"{robot.setting.seed} reader {number}")
        self._client = Client(robot.setting, self._rng, session)
        self._seq = 0

    async def run(self) -> None:
        while True:
            why = "ended"
            try:
                await self._read()
            except LOST as error:
                why = f"{type(error).__name__} {error}"
            self._robot.raw.write("lost", reader=self._number, node=self._client.node, why=why)
            await self._client.elsewhere()

    async def _read(self) -> None:
        headers = {"Authorization": f"Bearer {self._robot.setting.admin}"}
        start = max(0, self._seq - self._rng.choice(OVERLAP))
        headers["Last-Event-ID"] = str(start)
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=SILENT_S)
        url = self._client.url("/v1/events")
        async with self._client.session.get(url, headers=headers, timeout=timeout) as answer:
            if answer.status != 200:
                raise ConnectionError(f"{answer.status} {(await answer.text())[:200]}")
            self._client.fine()
            self._robot.raw.write(
                "open", reader=self._number, node=self._client.node, after=start
            )  # fmt: skip
            seq = 0
            async for line in answer.content:
                if line.startswith(b"id: "):
                    seq = int(line[4:])
                elif line.startswith(b"event: gap"):
                    self._robot.raw.write("gap", reader=self._number, after=self._seq)
                elif line.startswith(b"data: ") and seq:
                    event = json.loads(line[6:])
                    self._robot.raw.write("event", reader=self._number, seq=seq, event=event)
                    self._seq = max(self._seq, seq)
