"""A backend in memory and its adapter in one object.

Its customers are driven by a script (`arrive`, `write`, `leave`, `hang_up`, `press`), its agents'
phones answer by themselves or by script (`answer`, `decline`), and it records what it carried out
(`performed`). With ``media: true`` it behaves like a PBX: contacts are calls, endpoints ring, legs
come up. Without, like a store-and-forward channel (SMS, email, chat).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from adapters import Crew, Fence, Remembered, insist, read_settings
from adapters.loopback.calls import Line, Ring, confer, listen, move, record
from adapters.loopback.failures import subject, trouble
from router.channel import (
    Address,
    Channel,
    ChannelError,
    ChannelLost,
    CollectFromContact,
    ConferenceContact,
    ConnectAgent,
    DeliverMessage,
    DisconnectAgent,
    EndContact,
    HoldContact,
    MonitorContact,
    MoveAgent,
    NewContact,
    NewMessage,
    OfferContact,
    OutcomeUnknown,
    Receipt,
    RecordContact,
    Refused,
    RescindOffer,
    Router,
    StartContact,
    StopMonitor,
    Task,
    TreatContact,
    UnknownOutcome,
)
from router.core.record import Value


class Settings(Value, kw_only=True):
    """Settings of a loopback adapter."""

    media: bool = False
    """Behave like a PBX: contacts are calls that end with the connection, endpoints ring."""
    answer_after_s: float = -1.0
    """A ringing endpoint answers by itself after so many seconds; negative: only by script."""
    slow_s: float = 2.0
    """How long ``#slow`` takes."""
    contacts: int = 10_000
    """Most contacts at once; one more is refused at the door."""
    keep: int = 10_000
    """How many carried-out effects are remembered."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot work."""
        if self.contacts < 1 or self.keep < 1 or self.slow_s < 0:
            raise ValueError("contacts and keep must be > 0, slow_s >= 0")


class Performed(NamedTuple):
    """One effect as the backend saw it."""

    task: Task
    outcome: str
    """``done``, ``failed``, ``unknown`` or ``lost``"""


class Loopback(Channel):
    """A backend and its adapter in one object."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        self.config = read_settings(Settings, settings, f"adapters.{name}")
        self.lines: dict[str, Line] = {}
        self.rings: dict[str, Ring] = {}
        self.performed: deque[Performed] = deque(maxlen=self.config.keep)
        self._done: Remembered[str, None] = Remembered(self.config.keep)
        """Ids of effects that were carried out: the same one again is done already."""
        self._was_lost: Remembered[str, None] = Remembered(self.config.keep)
        self._numbers = itertools.count(1)
        self._fence = Fence()
        self._crew = Crew(name, most=1_000)
        self._lost = asyncio.Event()
        self._changed = asyncio.Event()
        self.up = False

    # -- what the supervisor calls ---------------------------------------------------------------

    async def run(self) -> None:
        """Connect, tell which contacts live, serve until the backend is lost."""
        self.router.state("starting")
        self._lost.clear()
        self.up = True
        try:
            if self.config.media:
                # Calls end with their connection, messages do not: only a PBX can say "no others".
                await insist(lambda: self.router.live(list(self.lines)))
            self.router.state("up")
            await self._lost.wait()
            raise ChannelLost("the loopback backend was lost on demand")
        finally:
            self.up = False
            self.router.state("down")
            await self._crew.stop()

    async def perform(self, task: Task) -> None:
        """Carry out one effect, or fail in the way its address asks for."""
        self._fence.check(task.epoch)
        if not self.up:
            raise ChannelLost("the loopback backend is not connected")
        if task.id in self._done:
            return
        outcome = "failed"
        try:
            word = trouble(task)
            await self._before(task, word)
            self._carry_out(task, word)
            self._done[task.id] = None
            outcome = "done"
            if word == "unknown":
                raise UnknownOutcome("the backend did not say whether it happened")
        except UnknownOutcome:
            outcome = "unknown"
            raise
        except ChannelLost:
            outcome = "lost"
            raise
        finally:
            self.performed.append(Performed(task, outcome))
            self._changed.set()

    def agent_typing(self, external_id: str) -> None:
        """The customer sees that somebody types."""
        if self.up and external_id in self.lines:
            self.lines[external_id].typed += 1
            self._changed.set()

    async def find(self, task: Task) -> bool:
        """Whether this effect was carried out; tells its consequence again if it was."""
        if not self.up:
            raise ChannelLost("the loopback backend is not connected")
        if task.id not in self._done and not isinstance(task.effect, MonitorContact):
            return False
        match task.effect:
            case ConnectAgent(reservation=reservation) if reservation in self.rings:
                self._report_connected(reservation)
            case StartContact(contact=contact) if f"out-{contact}" in self.lines:
                self._report_started(contact, f"out-{contact}", task.effect.reservation)
            case MonitorContact(monitor=monitor):
                return any(monitor in line.listeners for line in self.lines.values())
            case _:
                pass
        return True

    # -- what customers do -----------------------------------------------------------------------

    async def arrive(
        self,
        address: str,
        *,
        to: str = "",
        name: str = "",
        text: str = "",
        attributes: dict[str, Any] | None = None,
        requirements: dict[str, int] | None = None,
        external_id: str = "",
    ) -> Receipt:
        """A customer calls, or writes for the first time. Raises what the router raises."""
        line = Line(
            external_id=external_id or f"{self.name}-{next(self._numbers)}",
            customer=Address(address=address, name=name),
            to=to,
        )
        fresh = line.external_id not in self.lines
        # Before the call: effects may come before the receipt does.
        self._keep(self.lines.get(line.external_id, line))
        contact = NewContact(
            external_id=line.external_id,
            customer=line.customer,
            to=to,
            attributes=attributes or {},
            requirements=requirements or {},
            message=NewMessage(id=f"{line.external_id}/1", text=text) if text else None,
        )
        try:
            # Same external id: after an unknown outcome it is safe to say it again.
            return await insist(lambda: self.router.submit(contact), on=(OutcomeUnknown,))
        except BaseException:
            if fresh:
                self.lines.pop(line.external_id, None)
            raise

    async def write(self, external_id: str, text: str, *, message_id: str = "") -> Receipt:
        """The customer writes; joins the open contact between the two addresses."""
        line = self._line(external_id)
        message = NewMessage(id=message_id or f"{external_id}/{next(self._numbers)}.w", text=text)
        contact = NewContact(
            external_id=external_id, customer=line.customer, to=line.to, message=message
        )
        return await insist(lambda: self.router.message(contact), on=(OutcomeUnknown,))

    async def bounce(self, sent: DeliverMessage, detail: str = "no such customer") -> None:
        """The network says that a message which went out was not delivered."""
        await insist(lambda: self.router.receipt(sent.contact, sent.message, "undelivered", detail))

    async def reread(self, external_id: str) -> list[str]:
        """The customer opens the thread again, perhaps after a restart: all that was said."""
        return [line.text for line in await self.router.history(external_id)]

    async def leave(self, external_id: str, reason: str = "hung up") -> None:
        """The customer goes while waiting."""
        self._forget(self._line(external_id))
        await insist(lambda: self.router.left(external_id, reason))

    async def hang_up(self, external_id: str, reason: str = "hung up") -> None:
        """Customer and agent have finished."""
        self._forget(self._line(external_id))
        await insist(lambda: self.router.ended(external_id, reason))

    async def press(self, external_id: str, value: str) -> None:
        """The customer answers the question that was put last. Raises ChannelError: none was."""
        line = self._line(external_id)
        asked, line.asked = line.asked, None
        if asked is None:
            raise ChannelError(f"{external_id} is asked nothing")
        await insist(lambda: self.router.collected(external_id, asked.name, value, ask=asked.ask))

    # -- what agents' phones do ------------------------------------------------------------------

    async def answer(self, reservation: str) -> None:
        """The agent picks up the ringing endpoint."""
        self._connect(self._ring(reservation))
        await insist(lambda: self.router.connected(reservation))

    async def decline(self, reservation: str, reason: str = "busy") -> None:
        """The agent's phone refuses the call."""
        self._ring(reservation)
        del self.rings[reservation]
        await insist(lambda: self.router.failed(reservation, reason, busy=True))

    async def hang_up_agent(self, reservation: str) -> None:
        """The agent hangs up a call that was connected."""
        self._ring(reservation).leave()
        del self.rings[reservation]
        await insist(lambda: self.router.hung_up(reservation, "hung up"))

    async def stop_listening(self, monitor: str) -> None:
        """The supervisor hangs up."""
        for line in self.lines.values():
            line.listeners.pop(monitor, None)
        await insist(lambda: self.router.monitor_ended(monitor, "hung up"))

    async def lose_recording(self, recording: str, reason: str = "disk full") -> None:
        """The backend records no more, by itself."""
        for line in self.lines.values():
            line.recordings.pop(recording, None)
        await insist(lambda: self.router.recording_ended(recording, reason))

    # -- what tests and the demo do --------------------------------------------------------------

    def lose(self) -> None:
        """The backend dies: `run` ends with ChannelLost, effects fail until it is run again."""
        self.up = False
        self._lost.set()

    async def until(self, holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait until `holds()`; looked at after each effect. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    # -- carrying out ----------------------------------------------------------------------------

    async def _before(self, task: Task, word: str) -> None:
        match word:
            case "slow":
                await asyncio.sleep(self.config.slow_s)
            case "fail":
                raise ChannelError("refused on demand")
            case "lost" if subject(task) not in self._was_lost:
                self._was_lost[subject(task)] = None
                self.lose()
                raise ChannelLost("the loopback backend was lost on demand")

    def _carry_out(self, task: Task, word: str) -> None:
        effect = task.effect
        match effect:
            case OfferContact(endpoint=endpoint) if endpoint:
                self._ring_endpoint(task, effect, word)
            case ConnectAgent():
                self._ring_endpoint(task, effect, word)
            case RescindOffer(reservation=reservation) | DisconnectAgent(reservation=reservation):
                ring = self.rings.pop(reservation, None)
                if ring is not None:
                    ring.leave()
            case HoldContact(held=held):
                self._line_of(task).held = held
            case MoveAgent(reservation=reservation):
                move(self._ring(reservation), effect)
            case ConferenceContact():
                confer(self._line_of(task), effect)
            case MonitorContact():
                self._ring_listener(self._line_of(task), effect, word)
            case StopMonitor(monitor=monitor):
                self._line_of(task).listeners.pop(monitor, None)
            case RecordContact():
                record(self._line_of(task), effect)
            case TreatContact(text=text, kind=kind):
                self._line_of(task).heard.append(text or kind)
            case CollectFromContact():
                self._put_question(self._line_of(task), effect)
            case DeliverMessage():
                self._line_of(task).heard.append(task.text)
            case StartContact():
                self._start_contact(task, effect, word)
            case EndContact(text=text):
                ended = self.lines.get(task.external_id)
                if ended is not None:
                    ended.heard.append(text)
                    self._forget(ended)
                self._end_legs(effect.contact)
            case _:
                pass  # an offer without an endpoint: the agent answers at the desk

    def _ring_endpoint(self, task: Task, effect: OfferContact | ConnectAgent, word: str) -> None:
        reservation = effect.reservation
        if word == "busy":
            self._later(
                lambda: self.router.failed(reservation, "busy", busy=True), "endpoint is busy"
            )
            return
        known = self.rings.get(reservation)
        ring = known or Ring(
            reservation,
            effect.endpoint,
            self._line_to_ring_for(task),
            effect.contact,
            is_consult=bool(task.consult_of),
        )
        self.rings[reservation] = ring
        if word == "no-answer":
            return
        if isinstance(effect, ConnectAgent):
            # The agent has accepted at the desk and waits for this call: answered at once.
            self._connect(ring)
            self._report_connected(reservation)
        elif known is None and (effect.auto_accept or self.config.answer_after_s >= 0):
            self._crew.start(self._answer_by_itself(ring), "answer")

    async def _answer_by_itself(self, ring: Ring) -> None:
        await asyncio.sleep(max(0.0, self.config.answer_after_s))
        if self.rings.get(ring.reservation) is ring and not ring.is_up():
            await self.answer(ring.reservation)

    def _start_contact(self, task: Task, effect: StartContact, word: str) -> None:
        if word in ("busy", "no-answer"):
            raise ChannelError(word)
        id_ = f"out-{effect.contact}"
        line = self.lines.get(id_) or Line(id_, task.customer, task.our_address)
        self._keep(line)
        if effect.reservation:
            ring = Ring(effect.reservation, effect.endpoint, line, effect.contact)
            self.rings[effect.reservation] = ring
            self._connect(ring)
        self._report_started(effect.contact, line.external_id, effect.reservation)

    def _ring_listener(self, line: Line, effect: MonitorContact, word: str) -> None:
        if effect.monitor not in line.listeners and word in ("busy", "no-answer"):
            self._later(lambda: self.router.monitor_ended(effect.monitor, word), "listener")
            return
        listen(line, effect)

    def _put_question(self, line: Line, question: CollectFromContact) -> None:
        if line.asked is not None and line.asked.ask == question.ask:
            return  # restated: it is being asked
        line.asked = question
        line.heard.append(question.prompt)
        self._crew.start(self._wait_for_answer(line, question), "answer")

    async def _wait_for_answer(self, line: Line, question: CollectFromContact) -> None:
        await asyncio.sleep(question.timeout_us / 1e6)
        if line.asked is question:
            line.asked = None
            await insist(
                lambda: self.router.collected(
                    line.external_id, question.name, "", ask=question.ask, timed_out=True
                )
            )

    def _report_started(self, contact: str, external_id: str, reservation: str) -> None:
        self._later(lambda: self._say_started(contact, external_id, reservation), "started")

    async def _say_started(self, contact: str, external_id: str, reservation: str) -> None:
        try:
            await self.router.started(contact, external_id)
        except Refused:  # over for the router meanwhile: nobody else will hang up
            line = self.lines.get(external_id)
            if line is not None:
                self._forget(line)
        else:
            if reservation:
                await self.router.connected(reservation)

    def _report_connected(self, reservation: str) -> None:
        self._later(lambda: self.router.connected(reservation), "connected")

    def _later(self, call: Callable[[], Any], what: str) -> None:
        self._crew.start(insist(call), what)

    # -- the backend's memory --------------------------------------------------------------------

    def _line(self, external_id: str) -> Line:
        line = self.lines.get(external_id)
        if line is None:
            raise ChannelError(f"{self.name} has no contact {external_id!r}")
        return line

    def _line_of(self, task: Task) -> Line:
        id_ = task.external_id or task.consult_of
        if not self.config.media:
            # A text channel has no connection to lose: whoever has an address can be written to.
            contact: str = getattr(task.effect, "contact", "")
            id_ = id_ or f"out-{contact}"
            if id_ not in self.lines:
                self._keep(Line(id_, task.customer, task.our_address))
                if not task.external_id:  # it came over from another channel
                    self._report_started(contact, id_, "")
        return self._line(id_)

    def _line_to_ring_for(self, task: Task) -> Line:
        is_there = task.external_id or task.consult_of
        if isinstance(task.effect, OfferContact) and not is_there:
            return Line("", task.customer)  # dialled only once the agent has answered
        return self._line_of(task)

    def _ring(self, reservation: str) -> Ring:
        ring = self.rings.get(reservation)
        if ring is None:
            raise ChannelError(f"{self.name} has no ringing endpoint for {reservation!r}")
        return ring

    def _keep(self, line: Line) -> None:
        if line.external_id not in self.lines and len(self.lines) >= self.config.contacts:
            raise ChannelError(f"{self.name} holds {self.config.contacts} contacts and is full")
        self.lines[line.external_id] = line

    def _forget(self, line: Line) -> None:
        self.lines.pop(line.external_id, None)
        for reservation in [r.reservation for r in self.rings.values() if r.line is line]:
            del self.rings[reservation]
        self._changed.set()

    def _connect(self, ring: Ring) -> None:
        ring.join()
        self._changed.set()

    def _end_legs(self, contact: str) -> None:
        """The contact is over: whoever was rung or connected for it is not any more."""
        for ring in [ring for ring in self.rings.values() if ring.contact == contact]:
            ring.leave()
            del self.rings[ring.reservation]
