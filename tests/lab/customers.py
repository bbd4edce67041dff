"""Customers of the lab: contacts over HTTP, said again with the same key until acknowledged."""

from __future__ import annotations

import asyncio
import itertools
from time import monotonic

import aiohttp

from tests.lab.nodes import LOST, Client, Json, Robot, Setting, timeouts

CHANNELS = ("chat", "chat", "email")
REPEATED = 0.1
"""Share of posts that say once more what was acknowledged long ago."""
KEPT = 2_000


class Customers(Robot):
    """Many customers; each has a client of its own."""

    def __init__(self, setting: Setting) -> None:
        super().__init__("customers", setting)
        self._numbers = itertools.count(1)
        self._said: list[tuple[str, Json, str]] = []
        self._clients: list[Client] = []

    async def run(self) -> None:
        """Until the lab says `end` and all are answered."""
        connector = aiohttp.TCPConnector(limit=0, enable_cleanup_closed=False)
        async with aiohttp.ClientSession(timeout=timeouts(), connector=connector) as session:
            self._clients = [Client(self.setting, self.rng, session) for _ in range(12)]
            posts: set[asyncio.Task[None]] = set()
            due = monotonic()
            while not self.ending.is_set():
                due += self.rng.expovariate(self.setting.rate)
                await asyncio.sleep(max(0.0, due - monotonic()))  # arrivals do not wait for answers
                task = self.start(self._post(*self._another()))
                posts.add(task)
                task.add_done_callback(posts.discard)
            while posts:
                await asyncio.wait(posts)
        self.raw.write("done")

    def _another(self) -> tuple[str, Json, str]:
        if self._said and self.rng.random() < REPEATED:
            return self.rng.choice(self._said)
        mark = f"c-{next(self._numbers)}"
        channel = self.rng.choice(CHANNELS)
        body: Json = {
            "channel": channel,
            "entry_point": channel,
            "peer": {"address": f"{mark}@example.com", "name": f"Name {mark}"},
            "attributes": {"mark": mark},
        }
        key = ""
        if self.rng.random() < 0.5:
            key = f"key-{mark}"
        else:
            body["external_id"] = mark
        if self.rng.random() < 0.5:
            body["message"] = {"id": f"m-{mark}", "text": f"first of {mark}"}
        return mark, body, key

    async def _post(self, mark: str, body: Json, key: str) -> None:
        client = self.rng.choice(self._clients)
        began = monotonic()
        self.raw.write("ask", mark=mark, node=client.node)
        while True:
            node = client.node
            try:
                receipt = await client.post("/v1/contacts", body, key)
            except LOST as error:
                self.raw.write("fail", mark=mark, node=node, why=f"{type(error).__name__} {error}")
                if client.node == node:  # another of this client's posts may have moved it on
                    await client.elsewhere()
                continue
            except ValueError as error:
                self.raw.write("odd", text=str(error), mark=mark)
                return
            text = body["message"]["text"] if "message" in body else ""
            self.raw.write(
                "ack", mark=mark, contact=receipt.get("contact", ""), node=node, text=text,
                s=round(monotonic() - began, 4),
            )  # fmt: skip
            if len(self._said) < KEPT:
                self._said.append((mark, body, key))
            else:
                self._said[self.rng.randrange(KEPT)] = (mark, body, key)
            return
