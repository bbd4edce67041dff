"""Stands in this process for an adapter in another: effects out, calls in, over sessions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from adapters import Fence, read_settings
from adapters.remote.frames import (
    CODECS,
    AgentTyping,
    Answer,
    Call,
    Cid,
    Error,
    Find,
    Found,
    Live,
    NotUnderstood,
    Perform,
    Result,
    State,
    Submit,
    Typing,
    Welcome,
    key_of,
    names_kept_files,
    say,
)
from router.channel import (
    Channel,
    ChannelError,
    ChannelLost,
    OutcomeUnknown,
    Overloaded,
    Receipt,
    Refused,
    Router,
    Task,
    UnknownOutcome,
)
from router.core.record import Value
from router.errors import StoreFull

log = logging.getLogger(__name__)

VERSION = 1
CALLS = 1_024
"""Most calls of one session under way; then the socket is not read."""
BAD_FRAMES = 100
"""After so many frames that nobody understood the session is closed."""
REPLACED, RESTARTING, POLICY = 4001, 1012, 1008


class Settings(Value, kw_only=True):
    """Settings of a remote adapter."""

    effect_timeout_s: float = 15.0
    """How long an effect may take, from when it is due to its result."""
    outbox: int = 1_000
    """Most effects without a result, while attached and while not; one more fails at once."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot work."""
        if self.outbox < 1 or self.effect_timeout_s <= 0:
            raise ValueError("outbox and effect_timeout_s must be > 0")


class Remote(Channel):
    """Stands for an adapter in another process; at most one session is attached."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        self.config = read_settings(Settings, settings, f"adapters.{name}")
        self.fence = Fence()
        self.calls: dict[asyncio.Task[None] | Begun, None] = {}
        """Calls under way, of this session and of earlier ones."""
        self.session: Session | None = None
        self.last: dict[str, asyncio.Task[None] | Begun] = {}
        """The newest call under way, per contact: the next one waits for it."""
        self._pending: dict[str, Pending] = {}
        self._running = False

    @property
    def pending(self) -> int:
        """Effects without a result."""
        return len(self._pending)

    async def run(self) -> None:
        """Wait for sessions until cancelled."""
        self._running = True
        self.router.state("down", "no session is attached")
        try:
            await asyncio.Event().wait()
        finally:
            self._running = False
            if self.session is not None:
                self.session.end(RESTARTING, "the adapter restarts")
            for pending in list(self._pending.values()):
                pending.fail(ChannelLost(f"{self.name} was stopped"))
            tasks = [call for call in self.calls if isinstance(call, asyncio.Task)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.calls.clear()  # one that had not begun cannot take itself out
            self.last.clear()

    async def perform(self, task: Task) -> None:
        """Have the other half carry it out; waits for its result, at most `effect_timeout_s`."""
        self.fence.check(task.epoch)
        await self._ask(task, asks=False)

    def agent_typing(self, external_id: str) -> None:
        """Told to the other half if one is attached; kept for nobody."""
        if self.session is not None:
            self.session.send(AgentTyping(external_id))

    async def find(self, task: Task) -> bool:
        """Ask the other half whether it carried this out."""
        self.fence.check(task.epoch)
        return await self._ask(task, asks=True)

    def attach(
        self,
        send: Callable[[bytes], None],
        close: Callable[[int, str], None],
        encoding: Literal["json", "msgpack"] = "json",
    ) -> Session:
        """A new connection of the other half, already authorised; replaces an older one.

        `send` takes a frame and never waits (the socket bounds its buffer and closes when it is
        full); `close` begins closing. Raises ChannelLost when the adapter does not run.
        """
        if not self._running:
            raise ChannelLost(f"{self.name} is not running")
        older = self.session
        session = Session(self, send, close, encoding)
        self.session = session
        if older is not None:
            older.end(REPLACED, "replaced by a newer session")
        self.router.state("up")
        session.send(Welcome(channel=self.name, epoch=self.fence.epoch, version=VERSION))
        for pending in list(self._pending.values()):
            pending.restate(session)
        return session

    def settle(self, frame: Result | Found) -> None:
        """What the other half says about an effect; too late or unknown ones are ignored."""
        pending = self._pending.get(frame.effect)
        if pending is None:
            return
        if isinstance(frame, Result):
            pending.result(frame)
        else:
            pending.found(frame, self.session)

    async def _ask(self, task: Task, *, asks: bool) -> bool:
        if not self._running:
            raise ChannelLost(f"{self.name} is not running")
        pending = self._pending.get(task.id)
        if pending is None:
            if len(self._pending) >= self.config.outbox:
                raise ChannelError(f"the outbox of {self.name} is full: {self.config.outbox}")
            pending = self._pending[task.id] = Pending(task, asks=asks)
            if self.session is not None:
                pending.state(self.session)
        try:
            async with asyncio.timeout(self.config.effect_timeout_s):
                return await asyncio.shield(pending.answer)
        except TimeoutError:
            raise pending.too_late(self.config.effect_timeout_s) from None
        finally:
            if self._pending.get(task.id) is pending:
                del self._pending[task.id]


class Session:
    """One connection of the other half. The socket gives it every frame, raw, and its end."""

    def __init__(
        self,
        channel: Remote,
        send: Callable[[bytes], None],
        close: Callable[[int, str], None],
        encoding: Literal["json", "msgpack"],
    ) -> None:
        self._channel = channel
        self._send = send
        self._close = close
        self._encode, self._decode, self._peek = CODECS[encoding]
        self._under_way = 0
        self._room = asyncio.Event()
        self._bad = 0
        self.attached = True

    async def receive(self, data: bytes | str) -> None:
        """One frame from the other half. Waits only while too many calls are under way."""
        if not self.attached:
            return
        try:
            frame = self._decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            self._not_understood(data, error)
            return
        if type(frame) is Submit and self._begin(frame):
            return
        match frame:
            case Result() | Found():
                self._channel.settle(frame)
            case State():
                self._channel.router.state(frame.state, frame.detail[:200])
            case Typing():
                self._channel.router.typing(frame.external_id)
            case Live():
                await self._call(frame)
            case _:
                await self._start(frame)

    def detach(self, reason: str = "") -> None:
        """The socket is gone. Calls under way are finished; effects wait for the next session."""
        if not self.attached:
            return
        self.attached = False
        if self._channel.session is self:
            self._channel.session = None
            self._channel.router.state("down", reason or "no session is attached")

    def end(self, code: int, reason: str) -> None:
        """Close from our side."""
        if self.attached:
            self.detach(reason)
            self._close(code, reason)

    def send(self, frame: msgspec.Struct) -> None:
        """To the other half; nothing when it is gone."""
        if self.attached:
            self._send(self._encode(frame))

    async def _start(self, call: Call) -> None:
        """Let a call go on beside, after those that are under way for the same contact."""
        while self._under_way >= CALLS:
            self._room.clear()
            await self._room.wait()
        channel = self._channel
        if len(channel.calls) >= 2 * CALLS:
            full = f"{channel.name} has {2 * CALLS} calls under way and takes no more"
            self.send(Answer(call.cid, error=Error("overloaded", full, 1.0)))
            return
        key = key_of(call)
        before = channel.last.get(key)
        task = asyncio.get_running_loop().create_task(self._in_turn(call, key, before))
        self._enter(task, key)

    def _begin(self, call: Submit) -> bool:
        """A submission with room for it and nothing before it needs no task. False: it does."""
        channel, key = self._channel, call.contact.external_id
        if (
            self._under_way >= CALLS
            or names_kept_files(call.contact)
            or len(channel.calls) >= 2 * CALLS
            or channel.last.get(key) is not None
        ):
            return False
        begun = Begun(self, call.cid, key)
        self._enter(begun, key)
        try:
            if channel.router.begin(call.contact, begun):
                return True
        except Exception as error:
            begun.refused(error)
            return True
        self.leave(begun, key)
        return False

    async def _in_turn(
        self, call: Call, key: str, before: asyncio.Task[None] | Begun | None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None, "a call that waits is a task of its own"
        try:
            if isinstance(before, Begun):
                await before.over()
            elif before is not None:
                await asyncio.wait((before,))
            await self._call(call)
        finally:
            self.leave(task, key)

    def _enter(self, call: asyncio.Task[None] | Begun, key: str) -> None:
        """A call is under way, the newest one with this key."""
        self._channel.calls[call] = None
        self._channel.last[key] = call
        self._under_way += 1

    def leave(self, call: asyncio.Task[None] | Begun, key: str) -> None:
        """A call has ended."""
        channel = self._channel
        channel.calls.pop(call, None)
        if channel.last.get(key) is call:
            del channel.last[key]
        self._under_way -= 1
        self._room.set()

    async def _call(self, call: Call) -> None:
        try:
            answer = await say(self._channel.router, call)
        except Exception as error:
            answer = self.failure(call.cid, error)
        self.send(answer)

    def failure(self, cid: Cid, error: Exception) -> Answer:
        """The answer to a call that was not carried out."""
        match error:
            case Overloaded():
                why = Error("overloaded", str(error), error.retry_after_s)
            case OutcomeUnknown():
                why = Error("outcome_unknown", str(error), 1.0)
            case StoreFull():
                why = Error("store_full", str(error), 5.0)
            case Refused():
                why = Error(error.code, str(error))
            case _:
                log.error("%s: a call failed", self._channel.name, exc_info=error)
                why = Error("internal", "the call failed; it is logged")
        return Answer(cid, error=why)

    def _not_understood(self, data: bytes | str, error: Exception) -> None:
        text = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        try:
            cid = self._peek(data).cid
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            cid = None
        if cid is None:
            self.send(NotUnderstood("invalid", text))
        else:
            self.send(Answer(cid, error=Error("invalid", text)))
        self._bad += 1
        if self._bad > BAD_FRAMES:
            self.end(POLICY, f"more than {BAD_FRAMES} frames that are not of this protocol")


class Begun:
    """A submission under way without a task: the router tells it what came of it."""

    __slots__ = ("_cid", "_is_over", "_key", "_over", "_session")

    def __init__(self, session: Session, cid: Cid, key: str) -> None:
        self._session = session
        self._cid = cid
        self._key = key
        self._is_over = False
        self._over: asyncio.Future[None] | None = None

    def submitted(self, receipt: Receipt) -> None:
        """The contact is durable."""
        self._session.send(Answer(self._cid, receipt=receipt))
        self._end()

    def refused(self, error: Exception) -> None:
        """It was not carried out, or nobody knows."""
        self._session.send(self._session.failure(self._cid, error))
        self._end()

    async def over(self) -> None:
        """Wait until it has been told."""
        if self._is_over:
            return
        if self._over is None:
            self._over = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._over)

    def _end(self) -> None:
        self._is_over = True
        self._session.leave(self, self._key)
        if self._over is not None:
            self._over.set_result(None)


class Pending:
    """An effect without a result, or a question about one."""

    __slots__ = ("answer", "asks", "sent", "task")

    def __init__(self, task: Task, *, asks: bool) -> None:
        self.task = task
        self.asks = asks
        self.sent = False
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        # An answer may come when nobody waits any more (a deadline): that is no error.
        self.answer.add_done_callback(lambda done: done.cancelled() or done.exception())

    def state(self, session: Session, *, again: bool = False) -> None:
        """Send it, as a question or to be carried out."""
        self.sent = True
        session.send(self._frame(Find if self.asks else Perform, again=again))

    def restate(self, session: Session) -> None:
        """Send what a new session must know; see the last rule in the package's docstring."""
        repeat = self.task.effect.REPEAT
        if self.asks or not self.sent or repeat == "safe":
            self.state(session, again=self.sent)
        elif repeat == "query":
            session.send(self._frame(Find, again=True))

    def result(self, frame: Result) -> None:
        """The other half's word on it."""
        reason = frame.reason[:200] or "the other half gave no reason"
        match frame.outcome:
            case "done":
                self._set(True)
            case "failed":
                self.fail(ChannelError(reason))
            case "unknown":
                self.fail(UnknownOutcome(reason))

    def found(self, frame: Found, session: Session | None) -> None:
        """What the other half's backend says: done, not done (then do it), or cannot say."""
        if frame.found is None:
            self.fail(UnknownOutcome("the backend cannot say whether it happened"))
        elif frame.found or self.asks:
            self._set(frame.found)
        elif session is not None:
            self.state(session, again=True)

    def fail(self, error: ChannelError) -> None:
        """Give up with this error."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def too_late(self, after_s: float) -> ChannelError:
        """What no result within the deadline means."""
        if not self.sent:
            return ChannelError(f"no session was attached for {after_s:g} s")
        if self.asks or self.task.effect.REPEAT != "safe":
            return UnknownOutcome(f"no result within {after_s:g} s")
        return ChannelError(f"no result within {after_s:g} s")

    def _set(self, value: bool) -> None:
        if not self.answer.done():
            self.answer.set_result(value)

    def _frame(self, kind: type[Perform], *, again: bool) -> Perform:
        task = self.task
        return kind(
            id=task.id,
            epoch=task.epoch,
            effect=task.effect,
            external_id=task.external_id,
            customer=task.customer,
            our_address=task.our_address,
            text=task.text,
            author=task.author,
            attributes=task.attributes,
            consult_of=task.consult_of,
            first_attempt=task.first_attempt and not again,
        )
