"""Robot agents at their desks: they take, reject or miss offers, talk, wrap up, and come back."""

from __future__ import annotations

import asyncio
import random
from time import perf_counter
from typing import Protocol

import msgspec

from loadtest.drivers import websocket
from loadtest.lines import marks
from loadtest.runs.measures import Mark, Measures, shared_s
from loadtest.runs.profile import Agents, Span
from loadtest.runs.spans import drawn
from loadtest.runs.writing import Conversations, Message, Notes, Offer

SAME_MOMENT_US = 1_000
"""A contact that is offered within so much of its arrival met an agent who was free."""
OVER = frozenset({"done", "rejected", "expired", "rescinded", "failed"})
WAIT_S = 20.0


class Happened(msgspec.Struct):
    """As much of an event as is read."""

    type: str = ""
    at_us: int = 0
    reservation: str = ""
    contact: str = ""


class Held(msgspec.Struct):
    """As much of a reservation as is read."""

    id: str = ""
    state: str = ""
    contact: str = ""
    channel: str = ""


class Peer(msgspec.Struct):
    """As much of a customer as is read."""

    address: str = ""


class Seen(msgspec.Struct):
    """As much of a contact as is read."""

    id: str = ""
    external_id: str = ""
    channel: str = ""
    peer: Peer | None = None
    created_at_us: int = 0
    messages: list[Message] = []


class Pushed(msgspec.Struct):
    """As much of a desk frame as is read."""

    type: str
    epoch: int = 0
    seq: int = 0
    now_us: int = 0
    resume: str = ""
    agent: dict[str, object] = {}
    event: Happened | None = None
    reservation: Held | None = None
    contact: Seen | None = None
    message: Message | str | None = None
    """Of an event: what was written; of an answer: the id of what we wrote."""
    reservations: list[Held] = []
    contacts: list[Seen] = []
    cid: str = ""
    ok: bool = True
    error: dict[str, object] | None = None


_decode = msgspec.json.Decoder(Pushed).decode
_encode = msgspec.json.Encoder().encode


class Tell(Protocol):
    """Lets a customer know how it stands with their contact."""

    def __call__(self, what: str, mark: str, reservation: str, /) -> None:
        """`what` is ``ringing`` (their call can be put through), ``connected`` or ``over``."""


class Asked(msgspec.Struct):
    """A command without an answer."""

    leg: str
    due_s: float
    frame: bytes
    about: str
    """Reservation or contact."""
    line: int
    """On which connection it was said; 0: on none."""


class Agent:
    """One person."""

    def __init__(
        self, name: str, token: str, kind: Agents, *, port: int, measures: Measures, tell: Tell,
        rng: random.Random, notes: Notes, real: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        """`real`: channels whose customers come over their own protocol."""
        self.name = name
        self.kind = kind
        self.accepted: list[str] = []
        """Reservations of which the server said that they are this agent's."""
        self._token = token
        self._port = port
        self._measures = measures
        self._tell = tell
        self._rng = rng
        self._socket: websocket.Socket | None = None
        self._asked: dict[str, Asked] = {}
        self._done: dict[str, tuple[str, str]] = {}
        """Reservation -> the state about which something was done, and its contact."""
        self._marks: dict[str, str] = {}
        """Contact -> its mark."""
        self._accept_due: dict[str, float] = {}
        self._cid = 0
        self._resume, self._epoch, self._seq = "", 0, 0
        self._freed_s = 0.0
        self._lines = 0
        self._leaving = False
        self._welcome: asyncio.Future[None] | None = None
        self._notes = notes
        self._real = real
        self._writing = Conversations(name, notes, measures)
        self._tasks: set[asyncio.Task[None]] = set()

    async def come(self, due_s: float, leg: str) -> None:
        """Sit down; comes again until it works."""
        wait_s = 0.5
        while not self._leaving:
            try:
                await self._sit()
            except (OSError, ConnectionError, TimeoutError):
                self._measures.count("desk_failed")
                await asyncio.sleep(self._rng.random() * wait_s)  # as the desk protocol asks
                wait_s = min(30.0, 2 * wait_s)
            else:
                self._measures.record(leg, due_s, perf_counter())
                return

    def cut(self, within_s: float) -> None:
        """The line breaks; back after a random time."""
        if self._socket is not None:
            self._socket.on_close = _ignore
            self._socket.close()
            self._socket = None
        self._freed_s = 0.0
        wait_s = self._rng.random() * within_s
        due_s = perf_counter() + wait_s
        asyncio.get_running_loop().call_later(wait_s, self._come_back, due_s)

    def leave(self) -> None:
        """Go home, without a word."""
        self._leaving = True
        for task in self._tasks:
            task.cancel()
        if self._socket is not None:
            self._socket.on_close = _ignore
            self._socket.close()

    # --- the connection -----------------------------------------------------------------------

    async def _sit(self) -> None:
        socket = await websocket.connect(self._port, "/v1/desk", "contact-router.v1.json")
        self._welcome = asyncio.get_running_loop().create_future()
        socket.on_message = self._hear
        socket.on_close = self._lost
        hello: dict[str, object] = {"type": "hello", "token": self._token}
        if self._resume:
            hello |= {"resume": self._resume, "epoch": self._epoch, "last_seq": self._seq}
        self._socket = socket
        socket.send(_encode(hello))
        async with asyncio.timeout(WAIT_S):
            await self._welcome

    def _lost(self, code: int) -> None:
        self._measures.count("desk_lost")
        if self._welcome is not None and not self._welcome.done():
            self._welcome.set_exception(ConnectionError(f"closed with {code}"))
        elif not self._leaving:
            self._come_back(perf_counter())

    def _come_back(self, due_s: float) -> None:
        task = asyncio.get_running_loop().create_task(self.come(due_s, "reconnect"))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what is heard ------------------------------------------------------------------------

    def _hear(self, data: bytes) -> None:
        now_s = perf_counter()
        frame = _decode(data)
        if frame.type == "answer":
            self._answered(frame, now_s)
        elif frame.type == "event" and frame.event is not None:
            self._epoch, self._seq = frame.epoch, frame.seq
            self._happened(frame, frame.event, now_s)
        elif frame.type == "welcome":
            self._welcomed(frame)

    def _welcomed(self, frame: Pushed) -> None:
        self._resume, self._epoch, self._seq = frame.resume, frame.epoch, frame.seq
        self._lines += 1
        if self._welcome is not None and not self._welcome.done():
            self._welcome.set_result(None)
        waiting = list(self._asked.values())
        for asked in waiting:  # the same cid again: carried out once
            self._write(asked.frame)
        if frame.agent.get("presence") != "ready":
            self._say("presence", "", perf_counter(), presence="ready")
        self._marks |= {contact.id: contact.external_id for contact in frame.contacts}
        for held in frame.reservations:
            self._look_at(held)

    def _happened(self, frame: Pushed, event: Happened, now_s: float) -> None:
        measures = self._measures
        if frame.contact is not None and frame.contact.external_id:  # a closed one has none
            self._marks[frame.contact.id] = frame.contact.external_id
        if event.type == "ContactOffered" and frame.contact is not None:
            self._offered(frame, frame.contact, event, now_s)
        elif event.type == "ReservationConnected":
            due_s = self._accept_due.pop(event.reservation, 0.0)
            if due_s:
                measures.record("connected", due_s, now_s)
            measures.count("connected", at_s=now_s)
            self._tell("connected", self._marks.get(event.contact, ""), event.reservation)
        elif event.type == "MessageReceived" and isinstance(frame.message, Message):
            self._received(event.contact, frame.message, now_s)
        elif event.type in {"OfferExpired", "OfferRescinded"}:
            measures.count("expired" if event.type == "OfferExpired" else "rescinded")
        elif event.type == "PresenceChanged" and frame.agent.get("presence") == "not_ready":
            self._later(Span(mean_s=0.5), self._ready)  # taken out after a missed offer
        if frame.reservation is not None:
            self._look_at(frame.reservation)

    def _offered(self, frame: Pushed, contact: Seen, event: Happened, now_s: float) -> None:
        measures = self._measures
        measures.count("offered", at_s=now_s)
        is_real = contact.channel in self._real and contact.peer is not None
        if not is_real and not contact.external_id.startswith("lt-"):
            return
        decided_s, sent_s = shared_s(event.at_us), shared_s(frame.now_us)
        measures.record("pushed", decided_s, sent_s)
        measures.record("seen", sent_s, now_s)
        is_free = event.at_us - contact.created_at_us <= SAME_MOMENT_US
        if contact.peer is not None and is_real:
            address = contact.peer.address
            offer = Offer(contact.channel, address, contact.id, now_s, is_free)
            self._writing.offered(offer, contact.messages)
        elif is_free:
            due_s = Mark.due_s(contact.external_id)
            measures.record("decided", due_s, decided_s)
            measures.record("offer", due_s, now_s)
        if not is_free and self._freed_s and shared_s(contact.created_at_us) < self._freed_s:
            measures.record("freed", self._freed_s, now_s)
        self._freed_s = 0.0

    def _look_at(self, held: Held) -> None:
        known, contact = self._done.get(held.id, ("", held.contact))
        if held.state in OVER:  # it says no more than its id
            self._writing.over(contact)
            mark = self._marks.pop(contact, "")
            if self._done.pop(held.id, None) and held.state == "done":
                self._measures.count("served")
                self._tell("over", mark, held.id)
            return
        if known == held.state:
            return
        self._done[held.id] = (held.state, held.contact)
        match held.state:
            case "offered" if held.channel == "voice" and self._has_phone:
                pass  # it rings there, too, and there they decide
            case "offered":
                self._choose(held)
            case "connecting":
                self._tell("ringing", self._marks.get(held.contact, ""), held.id)
            case "connected" if held.channel == "voice" and self._has_phone:
                pass  # until one of them hangs up
            case "connected" if held.channel in self._real:
                if self._writing.connected(held.contact):
                    self._later(self.kind.talk, self._answer, held)
            case "connected":
                self._later(self.kind.talk, self._complete, held)
            case "wrapping":
                self._later(self.kind.wrap, self._finish, held)
            case _:
                pass

    def _answered(self, frame: Pushed, now_s: float) -> None:
        asked = self._asked.pop(frame.cid, None)
        if asked is None:
            return
        if frame.ok:
            if asked.leg:
                leg = asked.leg if asked.line == self._lines else "resent"
                self._measures.record(leg, asked.due_s, now_s)
            if asked.leg == "accept":
                self.accepted.append(asked.about)
                self._measures.count("accepted", at_s=now_s)
            elif asked.leg == "complete":
                self._measures.count("completed", at_s=now_s)
            elif asked.leg == "send" and isinstance(frame.message, str):
                contact = asked.about
                if self._writing.answered(frame.cid, frame.message):
                    self._complete(perf_counter(), Held(contact=contact))
            return
        code = str((frame.error or {}).get("code", "unknown"))
        self._measures.count(f"desk_refused.{code}", at_s=now_s)
        if code in {"overloaded", "outcome_unknown", "store_full"}:
            self._asked[frame.cid] = asked
            self._later(Span(mean_s=0.2), lambda _due_s: self._write(asked.frame))

    # --- what is done -------------------------------------------------------------------------

    def _choose(self, held: Held) -> None:
        choice = self._rng.random()
        if choice < self.kind.ignore:
            self._measures.count("ignored")
        elif choice < self.kind.ignore + self.kind.reject:
            self._measures.count("rejected")
            self._later(self.kind.accept, self._reject, held)
        else:
            self._later(self.kind.accept, self._accept, held)

    def _accept(self, due_s: float, held: Held) -> None:
        self._accept_due[held.id] = due_s
        self._say("accept", "accept", due_s, held.id, reservation=held.id)

    def _reject(self, due_s: float, held: Held) -> None:
        self._say("reject", "", due_s, reservation=held.id)

    def _complete(self, due_s: float, held: Held) -> None:
        self._freed_s = due_s
        self._say("complete", "complete", due_s, held.id, contact=held.contact)

    def _received(self, contact: str, message: Message, now_s: float) -> None:
        if self._writing.said(contact, message, now_s):
            self._later(self.kind.talk, self._answer, Held(contact=contact))
        elif message.text.startswith("lt-") and marks.read(message.text) is None:
            self._measures.record("message", Mark.due_s(message.text), now_s)

    def _answer(self, due_s: float, held: Held) -> None:
        text = self._writing.answer(held.contact, f"k{self._cid + 1}", due_s)
        if text:
            self._say("send", "send", due_s, held.contact, contact=held.contact, text=text)

    @property
    def _has_phone(self) -> bool:
        return self.kind.phone and "voice" in self._real

    def _finish(self, due_s: float, held: Held) -> None:
        self._freed_s = due_s
        self._say("finish_wrap_up", "", due_s, reservation=held.id)

    def _ready(self, due_s: float) -> None:
        self._say("presence", "", due_s, presence="ready")

    def _later(self, span: Span, do: object, *held: Held) -> None:
        """Act after a drawn time; the moment that was meant is handed on."""
        wait_s = drawn(span, self._rng)
        due_s = perf_counter() + wait_s
        asyncio.get_running_loop().call_later(wait_s, do, due_s, *held)  # type: ignore[arg-type]

    def _say(self, type_: str, leg: str, due_s: float, about: str = "", **fields: str) -> None:
        if self._leaving:
            return
        self._cid += 1
        cid = f"k{self._cid}"
        frame = _encode({"type": type_, "cid": cid, **fields})
        line = self._lines if self._socket is not None and self._socket.is_open else 0
        self._asked[cid] = Asked(leg, due_s, frame, about, line)
        self._write(frame)

    def _write(self, frame: bytes) -> None:
        if self._socket is not None and self._socket.is_open:
            self._socket.send(frame)

    @property
    def unanswered(self) -> int:
        """Commands without an answer."""
        return len(self._asked)


def _ignore(_: int) -> None:
    pass
