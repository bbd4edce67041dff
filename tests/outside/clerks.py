"""A clerk at a desk who answers every message of a customer once, whatever dies in between."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import random
import re
from typing import Any

import aiohttp

from loadtest.server import Server

Json = dict[str, Any]
LOST = (aiohttp.ClientError, ConnectionError, asyncio.TimeoutError)
ANSWER_S = 10.0
COMPLETES = 0.3
"""How often a clerk closes a contact once everything in it is answered."""
AGAIN = {429, 503, 507}


MARK = re.compile(r"q\d{3}x\d{3}")
"""In every question, and in its answer: which customer's, and which of theirs."""


def answer_to(mark: str) -> str:
    """What a clerk writes."""
    return f"The answer is {mark}."


def message_id(mark: str) -> str:
    """The id of that answer: the same one however often the clerk tries to send it."""
    return "m" + hashlib.sha256(mark.encode()).hexdigest()[:20]


class Clerk:
    """Sits at a desk, takes every offer, answers what was written, sometimes completes."""

    def __init__(self, server: Server, token: str, rng: random.Random) -> None:
        self.sent: dict[str, str] = {}
        """Mark of each answer that the server took, by the id that it gave the message."""
        self._answered: set[str] = set()
        self.wrong: list[str] = []
        self._server = server
        self._token = token
        self._rng = rng
        self._cids = itertools.count(1)
        self._contacts: dict[str, asyncio.Event] = {}
        """Contacts at this desk; the event says that there may be something to answer."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled; comes back after each cut."""
        try:
            while True:
                with contextlib.suppress(*LOST):
                    await self._sit()
                await asyncio.sleep(0.05)  # another process: only asking tells
        finally:
            for task in self._tasks:
                task.cancel()

    async def _sit(self) -> None:
        session = self._server.session
        async with session.ws_connect("/v1/desk", protocols=["contact-router.v1.json"]) as socket:
            await socket.send_json({"type": "hello", "token": self._token})
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                for command in self._hear(message.json()):
                    await socket.send_json({**command, "cid": f"k{next(self._cids)}"})

    def _hear(self, frame: Json) -> list[Json]:
        if frame["type"] == "welcome":
            commands = [c for r in frame.get("reservations", []) for c in self._look_at(r)]
            if frame["agent"].get("presence") != "ready":
                commands.append({"type": "presence", "presence": "ready"})
            return commands
        if frame["type"] != "event":
            return []
        event = frame["event"]
        if event["type"] == "MessageReceived" and event["contact"] in self._contacts:
            self._contacts[event["contact"]].set()
        return self._look_at(frame["reservation"]) if "reservation" in frame else []

    def _look_at(self, reservation: Json) -> list[Json]:
        match reservation["state"]:
            case "offered":
                return [{"type": "accept", "reservation": reservation["id"]}]
            case "wrapping":
                return [{"type": "finish_wrap_up", "reservation": reservation["id"]}]
            case "connected":
                contact = reservation["contact"]
                if contact not in self._contacts:
                    self._contacts[contact] = asyncio.Event()
                    self._start(self._serve(contact))
                self._contacts[contact].set()
        return []

    async def _serve(self, contact: str) -> None:
        due = self._contacts[contact]
        try:
            while True:
                await due.wait()
                due.clear()
                if not await self._answer_all(contact):
                    return
                if not due.is_set() and self._rng.random() < COMPLETES:
                    status, _ = await self._post(f"/v1/contacts/{contact}:complete", {})
                    if status == 200:
                        return
        finally:
            del self._contacts[contact]

    async def _answer_all(self, contact: str) -> bool:
        """Answer what is not answered yet; False: the contact is this clerk's no more."""
        page = await self._get(f"/v1/contacts/{contact}/messages?limit=500")
        for message in page["messages"]:
            if message["from"] != "customer":
                continue
            found = MARK.search(message["text"])
            if found is None or found[0] in self._answered:
                continue
            mark = found[0]
            path = f"/v1/contacts/{contact}/messages"
            body = {"text": answer_to(mark), "message": message_id(mark)}
            status, answer = await self._post(path, body)
            if status in {404, 409}:
                return False
            if status == 200:
                self._answered.add(mark)
                self.sent[answer["message"]] = mark
        return True

    async def _get(self, path: str) -> Json:
        while True:
            with contextlib.suppress(*LOST):
                status, answer = await asyncio.wait_for(
                    self._server.ask("GET", path, token=self._token), ANSWER_S
                )
                if status == 200:
                    found: Json = answer
                    return found
                if status not in AGAIN:
                    self.wrong.append(f"GET {path}: {status} {answer}")
                    return {"messages": []}
            await asyncio.sleep(0.05)

    async def _post(self, path: str, body: Json) -> tuple[int, Json]:
        while True:
            with contextlib.suppress(*LOST):
                status, answer = await asyncio.wait_for(
                    self._server.ask("POST", path, body, token=self._token), ANSWER_S
                )
                if status not in AGAIN:
                    if status not in {200, 404, 409}:
                        self.wrong.append(f"POST {path}: {status} {answer}")
                    return status, answer
            await asyncio.sleep(0.05)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
