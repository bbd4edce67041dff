"""A backend of the lab: a remote adapter that brings messages and carries effects out.

It keeps the rules of docs/desk-protocol.md: one session, the highest epoch, each effect once.
"""

from __future__ import annotations

import asyncio
import itertools
from time import monotonic

import aiohttp

from tests.lab.desks import PROTOCOL, let_go
from tests.lab.nodes import AGAIN, CONNECT_S, LOST, SOCKET_DEAD_S, Client, Json, Robot, Setting

UNDER_WAY = 20
"""Submissions without an answer: no new ones meanwhile."""


class Backend(Robot):
    """The other half of the remote adapter `line`."""

    def __init__(self, setting: Setting) -> None:
        super().__init__("backend", setting)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[str, Json, float]] = {}
        """Calls without an answer: said again, with the same ids, on the next connection."""
        self._results: dict[str, str] = {}
        self._epoch = 0
        self._told = False

    async def run(self) -> None:
        """Until the lab ends it."""
        async with aiohttp.ClientSession() as session:
            client = Client(self.setting, self.rng, session)
            while True:
                node, why = client.node, "closed"
                try:
                    why = await self._sit(client)
                except LOST as error:
                    why = f"{type(error).__name__} {error}"
                self.raw.write("lost", node=node, why=why)
                await client.elsewhere()

    async def _sit(self, client: Client) -> str:
        async with asyncio.timeout(CONNECT_S):
            socket = await client.session.ws_connect(
                client.url("/v1/channels/line"), protocols=[PROTOCOL]
            )
        feeding: asyncio.Task[None] | None = None
        try:
            await socket.send_json({"type": "hello", "token": self.setting.adapter})
            while True:
                async with asyncio.timeout(SOCKET_DEAD_S):
                    message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return f"{message.type.name} {socket.close_code}"
                frame = message.json()
                if frame["type"] == "welcome" and feeding is None:
                    client.fine()
                    self.raw.write("welcome", node=client.node, epoch=frame["epoch"])
                    self._epoch = max(self._epoch, frame["epoch"])
                    feeding = asyncio.get_running_loop().create_task(self._feed(socket))
                await self._hear(socket, frame)
        finally:
            if feeding is not None:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)
            await let_go(socket)

    async def _feed(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        for cid in list(self._waiting):
            await socket.send_json(self._frame(cid))
        while not self.ending.is_set():
            await asyncio.sleep(self.rng.expovariate(self.setting.rate / 3))
            if len(self._waiting) < UNDER_WAY:
                number = next(self._numbers)
                mark = f"l-{number}"
                contact: Json = {
                    "external_id": mark,
                    "customer": {"address": f"+4930{number:07}", "name": f"Name {mark}"},
                    "entry_point": "sms",
                    "attributes": {"mark": mark},
                    "message": {"id": f"m-{mark}", "text": f"first of {mark}"},
                }
                self._waiting[number] = (mark, contact, monotonic())
                self.raw.write("ask", mark=mark, node="")
                await socket.send_json(self._frame(number))
        self._tell_when_done()

    def _frame(self, cid: int) -> Json:
        return {"type": "submit", "cid": cid, "contact": self._waiting[cid][1]}

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, frame: Json) -> None:
        match frame["type"]:
            case "answer":
                await self._answered(socket, frame)
            case "perform":
                await self._carry_out(socket, frame)
            case "find":
                known = frame["id"] in self._results
                await socket.send_json({"type": "found", "effect": frame["id"], "found": known})
            case "error":
                self.raw.write("odd", text=f"backend: {frame}")

    async def _answered(self, socket: aiohttp.ClientWebSocketResponse, frame: Json) -> None:
        cid = frame["cid"]
        if cid not in self._waiting:
            return
        mark, contact, began = self._waiting[cid]
        error = frame.get("error")
        if error is None:
            del self._waiting[cid]
            self.raw.write(
                "ack", mark=mark, contact=frame["receipt"]["contact"], node="line",
                text=contact["message"]["text"], s=round(monotonic() - began, 4),
            )  # fmt: skip
        elif error["code"] in AGAIN:
            await asyncio.sleep(0.1)
            await socket.send_json(self._frame(cid))
        else:
            del self._waiting[cid]
            self.raw.write("odd", text=f"backend: {mark}: {error}")
        self._tell_when_done()

    def _tell_when_done(self) -> None:
        if self.ending.is_set() and not self._waiting and not self._told:
            self._told = True
            self.raw.write("done")

    async def _carry_out(self, socket: aiohttp.ClientWebSocketResponse, frame: Json) -> None:
        effect, id_, epoch = frame["effect"], frame["id"], frame["epoch"]
        is_late = epoch < self._epoch
        is_again = id_ in self._results
        self._epoch = max(self._epoch, epoch)
        self.raw.write(
            "effect", id=id_, epoch=epoch, type=effect["type"],
            message=effect.get("message", ""), reservation=effect.get("reservation", ""),
            done=not is_late and not is_again, late=is_late, again=is_again,
        )  # fmt: skip
        if is_late:
            result = {"type": "result", "effect": id_, "outcome": "failed", "reason": "old epoch"}
        else:
            self._results[id_] = "done"
            result = {"type": "result", "effect": id_, "outcome": "done"}
        await socket.send_json(result)
