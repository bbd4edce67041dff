"""Agents of the lab at their desks: they take what rings, work, hang up, and come back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from time import monotonic

import aiohttp

from tests.lab.nodes import AGAIN, CONNECT_S, LOST, SOCKET_DEAD_S, Client, Json, Robot, Setting

PROTOCOL = "contact-router.v1.json"
OVER = frozenset({"done", "rejected", "expired", "rescinded", "failed"})


class Desks(Robot):
    """All desks of a workspace, in one process."""

    def __init__(self, setting: Setting) -> None:
        super().__init__("desks", setting)

    async def run(self) -> None:
        """Until the lab ends it."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            desks = [Desk(self, name, session) for name in self.setting.agents]
            await asyncio.gather(*(desk.run() for desk in desks))


class Desk:
    """One agent. Commands without an answer are sent again, with the same cid, after a resume."""

    def __init__(self, robot: Desks, name: str, session: aiohttp.ClientSession) -> None:
        self._robot = robot
        self._name = name
        self._client = Client(robot.setting, robot.rng, session)
        self._cids = itertools.count(1)
        self._open: dict[str, tuple[Json, asyncio.Future[Json]]] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._resume: Json = {}
        self._done: set[tuple[str, str]] = set()
        """What was begun about a reservation, in its state."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        while True:
            node = self._client.node
            why = "closed"
            try:
                why = await self._sit()
            except LOST as error:
                why = f"{type(error).__name__} {error}"
            self._socket = None
            self._robot.raw.write("lost", agent=self._name, node=node, why=why)
            await self._client.elsewhere()

    async def _sit(self) -> str:
        async with asyncio.timeout(CONNECT_S):
            opening = self._client.session.ws_connect(
                self._client.url("/v1/desk"), protocols=[PROTOCOL]
            )
            socket = await opening
        herd = asyncio.get_running_loop().create_task(self._robot.herd.wait())
        try:
            token = self._robot.setting.agents[self._name]
            await socket.send_json({"type": "hello", "token": token, **self._resume})
            while True:
                hearing = asyncio.get_running_loop().create_task(socket.receive())
                await asyncio.wait(
                    {hearing, herd}, timeout=SOCKET_DEAD_S, return_when=asyncio.FIRST_COMPLETED
                )
                if not hearing.done():
                    hearing.cancel()
                    return "herd" if herd.done() else "silent"
                message = hearing.result()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return f"{message.type.name} {socket.close_code}"
                await self._hear(socket, message.json())
        finally:
            herd.cancel()
            await let_go(socket)

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, frame: Json) -> None:
        raw, name = self._robot.raw, self._name
        if "epoch" in frame and "seq" in frame:
            self._resume |= {"epoch": frame["epoch"], "last_seq": frame["seq"]}
        match frame["type"]:
            case "welcome":
                held = [[r["id"], r["contact"], r["state"]] for r in frame.get("reservations", [])]
                resumed = bool(frame.get("resumed"))
                raw.write(
                    "welcome", agent=name, node=self._client.node, epoch=frame["epoch"],
                    seq=frame["seq"], resumed=resumed, held=held,
                )  # fmt: skip
                await self._welcomed(socket, frame, resumed=resumed)
            case "event":
                raw.write(
                    "push", agent=name, epoch=frame["epoch"], seq=frame["seq"],
                    event=frame["event"],
                )  # fmt: skip
                self._see(frame.get("agent"))
                if "reservation" in frame:
                    self._work(frame["reservation"])
            case "answer":
                waiting = self._open.pop(frame["cid"], None)
                if waiting is not None and not waiting[1].done():
                    waiting[1].set_result(frame)

    async def _welcomed(
        self, socket: aiohttp.ClientWebSocketResponse, frame: Json, *, resumed: bool
    ) -> None:
        self._client.fine()
        self._resume["resume"] = frame.get("resume", "")
        self._socket = socket
        if resumed:
            for command, _ in list(self._open.values()):
                await socket.send_json(command)
        else:
            self._forget()
        self._see(frame["agent"])
        for reservation in frame.get("reservations", []):
            self._work(reservation)

    def _forget(self) -> None:
        """A new session: the state in the welcome says what is to be done."""
        for task in self._tasks:
            task.cancel()
        self._open.clear()
        self._done.clear()

    def _see(self, agent: Json | None) -> None:
        if agent is None:
            return
        key = ("presence", f"{agent.get('presence')} {agent.get('presence_at_us')}")
        if agent.get("presence") != "ready" and key not in self._done:
            self._done.add(key)
            self._start({"type": "presence", "presence": "ready"})

    def _work(self, reservation: Json) -> None:
        key = (reservation["id"], reservation["state"])
        if reservation["state"] in OVER or key in self._done:
            return
        self._done.add(key)
        rng, ending = self._robot.rng, self._robot.ending.is_set()
        id_, contact = reservation["id"], reservation["contact"]
        match reservation["state"]:
            case "offered":
                choice = rng.random()
                if choice < 0.85 or ending:
                    self._start({"type": "accept", "reservation": id_}, after_s=rng.random() * 0.2)
                elif choice < 0.92:
                    self._start({"type": "reject", "reservation": id_})
            case "connected":
                wait = rng.random() * 0.6
                text = f"reply to {id_}"
                if reference(text) < "m6":  # the same decision whenever it is made again
                    reply = {"type": "send", "contact": contact, "text": text}
                    self._start({**reply, "message": reference(text)})
                self._start({"type": "complete", "contact": contact}, after_s=wait)

    def _start(self, command: Json, after_s: float = 0.0) -> None:
        task = self._robot.start(self._say(command, after_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _say(self, command: Json, after_s: float) -> None:
        """A command, until it is carried out or refused for good."""
        await asyncio.sleep(after_s)  # people take their time
        began = monotonic()
        while True:
            cid = f"k{next(self._cids)}"
            future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
            frame = {**command, "cid": cid}
            self._open[cid] = (frame, future)
            self._robot.raw.write("say", agent=self._name, cid=cid, command=command)
            if self._socket is not None:
                with contextlib.suppress(*LOST):  # sent again after the next welcome
                    await self._socket.send_json(frame)
            answer = await future
            took = round(monotonic() - began, 4)
            if answer["ok"]:
                self._robot.raw.write(
                    "ok", agent=self._name, cid=cid, command=command, seq=answer.get("seq", 0),
                    message=answer.get("message", ""), s=took,
                )  # fmt: skip
                return
            code = answer["error"]["code"]
            self._robot.raw.write(
                "no", agent=self._name, cid=cid, command=command, error=answer["error"]
            )
            if code not in AGAIN:
                return
            await asyncio.sleep(0.1)


def reference(text: str) -> str:
    """The same for the same reply, so that saying it again is safe."""
    return "m" + hashlib.sha256(text.encode()).hexdigest()[:24]


async def let_go(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Close without waiting for a peer that may be gone."""
    with contextlib.suppress(*LOST):
        async with asyncio.timeout(0.5):
            await socket.close()
