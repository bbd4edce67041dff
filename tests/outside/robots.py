"""Robots that use a server over its sockets and tell the checker what they heard.

They do what a careful client does: the same ids again when an answer did not come.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from loadtest.checker import Checker, Json
from loadtest.server import Server

LOST = (aiohttp.ClientError, ConnectionError, asyncio.TimeoutError)
ANSWER_S = 20.0
LIVE_AT_ONCE = 120
"""Submitters wait while so many contacts are live."""
AGAIN = frozenset({"overloaded", "outcome_unknown", "store_full", "unavailable", "stopping"})
EXPECTED = frozenset({"gone", "not_offered", "not_found", "wrong_state", "not_waiting", "refused"})


class World:
    """What all robots share."""

    def __init__(self, server: Server, checker: Checker, rng: random.Random) -> None:
        self.server = server
        self.checker = checker
        self.rng = rng
        self.up = asyncio.Event()
        """Set while the server serves."""
        self.ending = False
        """No new contacts."""
        self.numbers = itertools.count(1)
        self.refusals: dict[str, int] = {}
        self.acknowledged = 0

    async def has_room(self) -> bool:
        """Wait until contacts may be submitted; False: never again."""
        while not self.ending and not self._has_room():  # noqa: ASYNC110 - the stream tells
            await asyncio.sleep(0.02)
        return not self.ending

    def _has_room(self) -> bool:
        return self.up.is_set() and len(self.checker.live) < LIVE_AT_ONCE

    async def insist(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Try until there is an answer: connections break and come back."""
        while True:
            await self.up.wait()
            try:
                return await asyncio.wait_for(attempt(), ANSWER_S)
            except LOST:
                await asyncio.sleep(0.02)  # another process: only asking tells

    async def post(self, path: str, body: Json, headers: dict[str, str] | None = None) -> Json:
        """A request that is made again until it is carried out."""
        authorization = {"Authorization": f"Bearer {self.server.admin}", **(headers or {})}

        async def attempt() -> Json:
            async with self.server.session.post(path, json=body, headers=authorization) as answer:
                text = await answer.text()
                if answer.status in {503, 507, 429}:
                    raise ConnectionError(text)
                found: Json = json.loads(text)
                if answer.status not in {200, 201}:
                    self.checker.find(f"POST {path}: {answer.status} {text:.300}")
                return found

        found: Json = await self.insist(attempt)
        return found

    def make(self, kind: str, channel: str) -> tuple[str, Json]:
        """A matter that nobody else brings, and the body that says so."""
        mark = f"{kind}-{next(self.numbers)}"
        body: Json = {
            "channel": channel,
            "external_id": mark,
            "entry_point": channel,
            "peer": {"address": f"{mark}@example.com", "name": f"Name {mark}"},
            "attributes": {"mark": mark},
        }
        if self.rng.random() < 0.5:
            body["message"] = {"id": f"m-{mark}", "text": f"first of {mark}"}
        return mark, body

    def took(self, mark: str, receipt: Json, body: Json) -> bool:
        """The server has acknowledged a matter; or has it?"""
        contact = receipt.get("contact", "")
        if not contact:
            self.checker.find(f"{mark}: no contact in {receipt}")
            return False
        self.acknowledged += 1
        self.checker.acknowledged(mark, contact)
        if "message" in body:
            self.checker.message_acknowledged(contact, body["message"]["text"])
        return True


async def submit_singly(world: World) -> None:
    """Chats by HTTP, one by one; some twice, some with a key instead of an id of their own."""
    said: list[tuple[str, Json, dict[str, str] | None]] = []
    while await world.has_room():
        mark, body = world.make("single", "chat")
        headers = None
        if world.rng.random() < 0.3:
            del body["external_id"]
            headers = {"Idempotency-Key": f"key-{mark}"}
        receipt = await world.post("/v1/contacts", body, headers)
        is_taken = world.took(mark, receipt, body)
        if is_taken and world.rng.random() < 0.3:
            await _write(world, mark, receipt)
        said.append((mark, body, headers))
        if world.rng.random() < 0.3:  # once more, now or long after it was closed
            mark, body, headers = world.rng.choice((said[-1], *said[-200:]))
            world.took(mark, await world.post("/v1/contacts", body, headers), body)


async def _write(world: World, mark: str, receipt: Json) -> None:
    """The customer writes once more: the same message id, however often it is said."""
    text = f"second of {mark}"
    message = {"id": f"n-{mark}", "text": text, "direction": "from_customer"}
    path = f"/v1/contacts/{receipt['contact']}/messages"
    authorization = {"Authorization": f"Bearer {world.server.admin}"}

    async def attempt() -> bool:
        async with world.server.session.post(path, json=message, headers=authorization) as answer:
            said = await answer.text()
            if answer.status in {503, 507, 429}:
                raise ConnectionError(said)
            if answer.status not in {200, 404, 409}:  # closed meanwhile: not taken
                world.checker.find(f"POST {path}: {answer.status} {said:.300}")
            return answer.status == 200

    if await world.insist(attempt):
        world.checker.message_acknowledged(receipt["contact"], text)


async def submit_batches(world: World) -> None:
    """Mails by HTTP, many at once."""
    while await world.has_room():
        made = [world.make("batch", "email") for _ in range(world.rng.randint(2, 12))]
        waiting = dict(made)
        while waiting:
            bodies = list(waiting.items())
            found = await world.post("/v1/contacts:batch", {"contacts": [b for _, b in bodies]})
            for (mark, body), item in zip(bodies, found.get("results", []), strict=True):
                if item["status"] in {200, 201}:
                    world.took(mark, item["receipt"], body)
                    del waiting[mark]
                elif item["status"] not in {503, 507, 429}:
                    world.checker.find(f"batch: {mark}: {item}")
                    del waiting[mark]


class Reader:
    """Reads the event stream, from where it was, and now and then from before that."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.caught_up = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._world.up.wait()
            try:
                await self._read()
            except LOST:
                await asyncio.sleep(0.02)  # another process: only asking tells

    async def _read(self) -> None:
        checker = self._world.checker
        back = self._world.rng.choice((0, 0, 10, 300))
        headers = {"Authorization": f"Bearer {self._world.server.admin}"}
        params = {}
        if checker.seq > back:
            headers["Last-Event-ID"] = str(checker.seq - back)
        else:
            params["from_seq"] = "1"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=25)
        async with self._world.server.session.get(
            "/v1/events", headers=headers, params=params, timeout=timeout
        ) as answer:
            if answer.status != 200:
                raise ConnectionError(await answer.text())
            seq = 0
            async for raw in answer.content:
                line = raw.rstrip(b"\n")
                if line.startswith(b"id: "):
                    seq = int(line[4:])
                elif line == b"event: gap":
                    checker.find(f"the stream has a gap after {checker.seq}")
                elif line.startswith(b"data: ") and seq:
                    checker.event(seq, json.loads(line[6:]))


class Agent:
    """Sits at a desk: takes most offers, rejects some, lets some ring, works, hangs up."""

    def __init__(self, world: World, name: str, token: str) -> None:
        self._world = world
        self._name = name
        self._token = token
        self._cids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: dict[str, asyncio.Future[Json]] = {}
        self._socket: aiohttp.ClientWebSocketResponse
        self._epoch = 0
        self._done: dict[tuple[str, str], None] = {}
        """What was already done about a reservation, in its state."""

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._world.up.wait()
                with contextlib.suppress(*LOST):
                    await self._sit()
                self._drop()
                await asyncio.sleep(0.02)  # another process: only asking tells
        finally:
            self._drop()

    def _drop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for answer in self._answers.values():
            answer.cancel()
        self._answers.clear()
        self._done.clear()

    async def _sit(self) -> None:
        session = self._world.server.session
        async with session.ws_connect("/v1/desk", protocols=["contact-router.v1.json"]) as socket:
            self._socket = socket
            await socket.send_json({"type": "hello", "token": self._token})
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                self._hear(json.loads(message.data))

    def _hear(self, frame: Json) -> None:
        checker = self._world.checker
        match frame["type"]:
            case "welcome":
                if frame["epoch"] < self._epoch:
                    checker.find(f"{self._name}: epoch {frame['epoch']} after {self._epoch}")
                self._epoch = frame["epoch"]
                reservations = frame.get("reservations", [])
                checker.welcomed(frame["seq"], self._name, reservations)
                if frame["agent"].get("presence") != "ready":
                    self._start(self._say({"type": "presence", "presence": "ready"}))
                for reservation in reservations:
                    self._work(reservation)
            case "event":
                checker.pushed(frame["seq"], frame["event"], self._name)
                if "reservation" in frame:
                    self._work(frame["reservation"])
            case "answer":
                waiting = self._answers.pop(frame["cid"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame)

    def _work(self, reservation: Json) -> None:
        key = (reservation["id"], reservation["state"])
        if key in self._done:
            return
        self._done[key] = None
        rng = self._world.rng
        match reservation["state"]:
            case "offered":
                choice = rng.random()
                if choice < 0.8 or self._world.ending:
                    self._start(self._take(reservation))
                elif choice < 0.9:
                    self._start(self._say({"type": "reject", "reservation": reservation["id"]}))
            case "connected":
                self._start(self._serve(reservation))
            case "wrapping" if rng.random() < 0.5:
                self._start(self._say({"type": "finish_wrap_up", "reservation": reservation["id"]}))

    async def _take(self, reservation: Json) -> None:
        await asyncio.sleep(self._world.rng.random() * 0.05)  # people take their time
        answer = await self._say({"type": "accept", "reservation": reservation["id"]})
        if answer["ok"]:
            self._world.checker.accept_acknowledged(reservation["id"])

    async def _serve(self, reservation: Json) -> None:
        contact = reservation["contact"]
        if self._world.rng.random() < 0.4:
            number = next(self._world.numbers)
            text = f"reply {number}"
            said = await self._say({"type": "send", "contact": contact, "text": text})
            if said["ok"]:
                self._world.checker.message_acknowledged(contact, text)
        await asyncio.sleep(self._world.rng.random() * 0.1)
        await self._say({"type": "complete", "contact": contact})

    async def _say(self, command: Json) -> Json:
        """A command, until it is carried out or refused for good."""
        while True:
            cid = f"k{next(self._cids)}"
            answer = self._answers[cid] = asyncio.get_running_loop().create_future()
            await self._socket.send_json({**command, "cid": cid})
            found: Json = await answer
            if found["ok"]:
                return found
            code = found["error"]["code"]
            if code not in AGAIN:
                self._world.refusals[code] = self._world.refusals.get(code, 0) + 1
                if code in {"internal", "invalid", "poison", "forbidden"}:
                    self._world.checker.find(f"{self._name}: {command}: {found['error']}")
                return found
            await asyncio.sleep(0.05)

    def _start(self, doing: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._quietly(doing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _quietly(doing: Any) -> None:
        with contextlib.suppress(*LOST):  # broken off: the next welcome says how things stand
            await doing


class Adapter:
    """The other half of a remote adapter: brings text messages, carries effects out."""

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self._token = token
        self._cids = itertools.count(1)
        self._waiting: dict[int, tuple[str, Json]] = {}
        """Calls without an answer: said again, with the same ids, on the next connection."""
        self._said: list[tuple[str, Json]] = []
        self._results: dict[str, str] = {}
        self._epoch = 0
        self.effects: dict[str, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._world.up.wait()
            with contextlib.suppress(*LOST):
                await self._sit()
            await asyncio.sleep(0.02)  # another process: only asking tells

    @property
    def unanswered(self) -> int:
        """Calls without an answer."""
        return len(self._waiting)

    async def _sit(self) -> None:
        session = self._world.server.session
        async with session.ws_connect(
            "/v1/channels/line", protocols=["contact-router.v1.json"]
        ) as socket:
            await socket.send_json({"type": "hello", "token": self._token})
            feeding = asyncio.get_running_loop().create_task(self._feed(socket))
            try:
                async for message in socket:
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        break
                    await self._hear(socket, json.loads(message.data))
            finally:
                feeding.cancel()

    async def _feed(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            for cid in list(self._waiting):
                await socket.send_json(self._frame(cid))
            while await self._world.has_room():
                if len(self._waiting) < 8:
                    cid = next(self._cids)
                    self._waiting[cid] = self._another()
                    await socket.send_json(self._frame(cid))
                await asyncio.sleep(self._world.rng.random() * 0.02)
        except LOST:
            pass  # the reading side ends as well

    def _another(self) -> tuple[str, Json]:
        if self._said and self._world.rng.random() < 0.1:  # once more, maybe closed long ago
            return self._world.rng.choice(self._said)
        mark, body = self._world.make("line", "sms")
        contact = {
            "external_id": mark,
            "customer": {"address": f"+49{abs(hash(mark)) % 10**9}", "name": f"Name {mark}"},
            "entry_point": "sms",
            "attributes": {"mark": mark},
        }
        if "message" in body:
            contact["message"] = body["message"]
        self._said.append((mark, contact))
        return mark, contact

    def _frame(self, cid: int) -> Json:
        _, contact = self._waiting[cid]
        return {"type": "submit", "cid": cid, "contact": contact}

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, frame: Json) -> None:
        checker = self._world.checker
        match frame["type"]:
            case "answer":
                await self._answered(socket, frame)
            case "perform" | "find":
                if frame["epoch"] < self._epoch:
                    checker.find(f"effect {frame['id']} of epoch {frame['epoch']}, late")
                self._epoch = max(self._epoch, frame["epoch"])
                await self._carry_out(socket, frame)
            case "error":
                checker.find(f"adapter: {frame}")

    async def _answered(self, socket: aiohttp.ClientWebSocketResponse, frame: Json) -> None:
        if frame["cid"] not in self._waiting:
            return
        mark, contact = self._waiting[frame["cid"]]
        error = frame.get("error")
        if error is None:
            del self._waiting[frame["cid"]]
            self._world.took(mark, frame["receipt"], contact)
        elif error["code"] in AGAIN:
            await asyncio.sleep(0.05)
            await socket.send_json(self._frame(frame["cid"]))
        else:
            del self._waiting[frame["cid"]]
            self._world.checker.find(f"adapter: {mark}: {error}")

    async def _carry_out(self, socket: aiohttp.ClientWebSocketResponse, frame: Json) -> None:
        effect = frame["effect"]
        known = frame["id"] in self._results
        if frame["type"] == "find":
            await socket.send_json({"type": "found", "effect": frame["id"], "found": known})
            return
        if not known:
            self._results[frame["id"]] = "done"
            self.effects[effect["type"]] = self.effects.get(effect["type"], 0) + 1
            if effect["type"] == "DeliverMessage":
                self._world.checker.performed(effect["message"])
        await socket.send_json({"type": "result", "effect": frame["id"], "outcome": "done"})
