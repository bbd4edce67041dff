"""The other half of a remote adapter, as somebody would write it: the frames, around a backend.

The backend is a loopback; what it says as a `Router` call becomes a frame, and back. The wire is a
pair of queues, so that a test can cut it at any frame.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import Any, Literal, TypeVar, get_args

import msgspec

from adapters.loopback import Loopback
from adapters.remote import Remote, Session
from adapters.remote.frames import Down, Up
from router.channel import (
    Address,
    ChannelError,
    Delivery,
    Effect,
    Line,
    NewContact,
    OutcomeUnknown,
    Overloaded,
    Receipt,
    Refused,
    RouteAnswer,
    RouteRequest,
    Task,
    Teller,
    UnknownOutcome,
)
from router.testing.adapter_harness import Signal

EFFECTS: Any = Effect
T = TypeVar("T")


class FarHalf:
    """A process elsewhere: keeps its backend over reconnects and says undelivered results again."""

    def __init__(
        self,
        remote: Remote,
        encoding: Literal["json", "msgpack"],
        settings: dict[str, Any],
        signal: Signal,
    ) -> None:
        self.remote = remote
        self.signal = signal
        self.encoding = encoding
        self.backend = Loopback("far", settings, self)
        self.closed: list[tuple[int, str]] = []
        self.down: list[dict[str, Any]] = []
        """Every frame received."""
        self.stalled = False
        self.results: dict[str, dict[str, Any]] = {}
        self.session: Session | None = None
        self._wire: asyncio.Queue[bytes] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None
        self._cids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    def connect(self) -> Session:
        """Attach (the API's socket has authorised us) and read what comes."""
        wire: asyncio.Queue[bytes] = asyncio.Queue()
        self._wire = wire
        self.session = self.remote.attach(wire.put_nowait, self._closed, self.encoding)
        self._reader = asyncio.get_running_loop().create_task(self._read(wire))
        return self.session

    async def cut(self) -> None:
        """The connection breaks: what is on the wire is lost."""
        assert self._reader is not None
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        if self.session is not None:
            self.session.detach("connection lost")
            self.session = None
        for answer in self._answers.values():
            answer.set_exception(OutcomeUnknown("the connection is gone"))
        self._answers.clear()

    async def send(self, frame: dict[str, Any]) -> None:
        """One frame up, raw."""
        assert self.session is not None
        encode = msgspec.json.encode if self.encoding == "json" else msgspec.msgpack.encode
        await self.session.receive(encode(frame))

    async def call(self, type_: str, **fields: Any) -> dict[str, Any]:
        """A call; raises what the answer says."""
        if self.session is None:
            raise OutcomeUnknown("not connected")
        cid = next(self._cids)
        future = self._answers[cid] = asyncio.get_running_loop().create_future()
        await self.send({"type": type_, "cid": cid, **fields})
        answer: dict[str, Any] = await future
        error = answer.get("error")
        if error is None:
            return answer
        if error["code"] == "overloaded":
            raise Overloaded(error["text"], error["retry_after_s"])
        if error["code"] == "outcome_unknown":
            raise OutcomeUnknown(error["text"])
        raise Refused(error["code"], error["text"])

    async def _read(self, wire: asyncio.Queue[bytes]) -> None:
        decode = msgspec.json.decode if self.encoding == "json" else msgspec.msgpack.decode
        async with asyncio.TaskGroup() as tasks:
            while True:
                frame = decode(await wire.get())
                self.down.append(frame)
                self.signal.notify()
                match frame["type"]:
                    case "answer":
                        future = self._answers.pop(frame["cid"], None)
                        if future is not None:
                            future.set_result(frame)
                    case "welcome":
                        for result in list(self.results.values()):
                            await self.send(result)
                        if self.backend.config.media and self.backend.up:
                            tasks.create_task(self._say_live())
                    case "perform" if not self.stalled:
                        tasks.create_task(self._perform(frame))
                    case "typing":
                        self.backend.agent_typing(frame["external_id"])
                        self.signal.notify()
                    case "find" if not self.stalled:
                        tasks.create_task(self._find(frame))

    async def _say_live(self) -> None:
        while self.session is not None:
            with suppress(Overloaded, OutcomeUnknown):
                await self.live(list(self.backend.lines))
                return

    async def _perform(self, frame: dict[str, Any]) -> None:
        outcome, reason = "done", ""
        try:
            await self.backend.perform(task_of(frame))
        except UnknownOutcome as error:
            outcome, reason = "unknown", str(error)
        except ChannelError as error:
            outcome, reason = "failed", str(error)
        result = {"type": "result", "effect": frame["id"], "outcome": outcome, "reason": reason}
        self.results[frame["id"]] = result
        await self.send(result)

    async def _find(self, frame: dict[str, Any]) -> None:
        found = await self.backend.find(task_of(frame))
        await self.send({"type": "found", "effect": frame["id"], "found": found})

    def _closed(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))
        self.session = None

    # -- Router, over the wire -------------------------------------------------------------------

    def begin(self, contact: NewContact, teller: Teller) -> bool:
        return False

    async def submit(self, contact: NewContact) -> Receipt:
        answer = await self.call("submit", contact=contact)
        return msgspec.convert(answer["receipt"], Receipt)

    async def message(self, contact: NewContact) -> Receipt:
        answer = await self.call("message", contact=contact)
        return msgspec.convert(answer["receipt"], Receipt)

    async def left(self, external_id: str, reason: str = "") -> None:
        await self.call("left", external_id=external_id, reason=reason)

    async def connected(self, reservation: str) -> None:
        await self.call("connected", reservation=reservation)

    async def failed(self, reservation: str, reason: str, *, busy: bool = False) -> None:
        await self.call("failed", reservation=reservation, reason=reason, busy=busy)

    async def ended(self, external_id: str, reason: str = "") -> None:
        await self.call("ended", external_id=external_id, reason=reason)

    async def hung_up(self, reservation: str, reason: str = "") -> None:
        await self.call("hung_up", reservation=reservation, reason=reason)

    async def monitor_ended(self, monitor: str, reason: str = "") -> None:
        await self.call("monitor_ended", monitor=monitor, reason=reason)

    async def recording_ended(self, recording: str, reason: str = "") -> None:
        await self.call("recording_ended", recording=recording, reason=reason)

    async def collected(
        self, external_id: str, name: str, value: str, *, ask: str = "", timed_out: bool = False
    ) -> None:
        await self.call(
            "collected",
            external_id=external_id, name=name, value=value, ask=ask, timed_out=timed_out,
        )  # fmt: skip

    async def started(self, contact: str, external_id: str) -> None:
        await self.call("started", contact=contact, external_id=external_id)

    async def route(self, request: RouteRequest) -> RouteAnswer:
        answer = await self.call("route", request=request)
        return msgspec.convert(answer["route"], RouteAnswer)

    async def receipt(self, contact: str, message: str, state: Delivery, detail: str = "") -> None:
        await self.call("receipt", contact=contact, message=message, state=state, detail=detail)

    async def live(self, external_ids: list[str]) -> None:
        await self.call("live", external_ids=external_ids)

    async def open(self) -> list[tuple[str, str]]:
        answer = await self.call("open")
        return msgspec.convert(answer["open"], list[tuple[str, str]])

    async def history(self, external_id: str, limit: int = 50) -> list[Line]:
        answer = await self.call("history", external_id=external_id, limit=limit)
        return msgspec.convert(answer["lines"], list[Line])

    def typing(self, external_id: str) -> None:
        frame = {"type": "typing", "external_id": external_id}
        asyncio.get_running_loop().create_task(self.send(frame))

    def state(self, state: str, detail: str = "") -> None:
        pass


def task_of(frame: dict[str, Any]) -> Task:
    """The effect of a `perform` or `find` frame."""
    return Task(
        id=frame["id"],
        epoch=frame["epoch"],
        workspace="",
        effect=msgspec.convert(frame["effect"], EFFECTS),
        external_id=frame["external_id"],
        customer=msgspec.convert(frame["customer"], Address),
        our_address=frame["our_address"],
        text=frame["text"],
        author=frame["author"],
        attributes=frame["attributes"],
        consult_of=frame["consult_of"],
        first_attempt=frame["first_attempt"],
    )


def tags(union: Any) -> list[str]:
    """The ``type`` of every frame in a union."""
    return sorted(str(kind.__struct_config__.tag) for kind in get_args(union))


UP, DOWN = tags(Up), tags(Down)
