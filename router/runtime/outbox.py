"""Effects on their way to one adapter: in order per contact, bounded, with deadlines.

Each contact has a lane; a lane's jobs are carried out one at a time. What may happen after a crash
stands in the effect's class: ``safe`` is simply done again, ``query`` is asked about first, and
``never`` ends as `unknown` if an adapter may have been asked already.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from router.channel import Channel, ChannelError, ChannelLost, Task, UnknownOutcome
from router.core import commands as c
from router.core.effects import (
    CollectFromContact,
    ConnectAgent,
    DeliverMessage,
    Effect,
    EndContact,
    MonitorContact,
    OfferContact,
    RecordContact,
    RescindOffer,
    StartContact,
    TreatContact,
)
from router.core.model import SECOND_US, ContactId, ReservationId
from router.errors import JournalFailed, OutcomeUnknown, Overloaded, Refused, StoreFull
from router.journal import RowWrite
from router.journal.codec import encode_row
from router.runtime.clock import Clock, sleep
from router.runtime.crash import crash_point
from router.runtime.frame import OutboxRow
from router.runtime.tasks import TaskSet, is_cancelled
from router.runtime.tracing import Trail

if TYPE_CHECKING:
    from router.core.commands import Command
    from router.runtime.loop import Workspace

log = logging.getLogger("router.outbox")

T = TypeVar("T")

JOBS = 10_000
"""Most effects under way to one adapter; one more fails at once."""
AT_ONCE = 64
"""Most contacts served by one adapter at the same moment."""
PERFORM_S = 20.0
"""So long may an adapter take for one effect; then nobody knows whether it happened."""
TRIES = 4
"""How often an effect that is safe to repeat is tried."""
PAUSE_US = (200_000, 1_000_000, 5_000_000)
BREAK_AFTER = 5
"""So many losses in a row and the adapter is left in peace for `BREAK_US`."""
BREAK_US = 10 * SECOND_US
DELIVER_WITHIN_US = 24 * 3600 * SECOND_US
TREAT_WITHIN_US = 60 * SECOND_US
END_WITHIN_US = 3600 * SECOND_US


@dataclass(slots=True)
class Job:
    """One effect on its way."""

    id: str
    effect: Effect
    until_us: int
    """Not begun after this moment."""
    ask_first: bool = False
    """From before a crash: ask the backend whether it happened."""
    only_ask: bool = False
    """It was settled before the crash: ask whether it still is so, and do nothing anew."""
    result: str = ""
    """What came of it, for traces."""


class Outbox:
    """The effects of one adapter."""

    def __init__(
        self,
        name: str,
        workspace: Workspace,
        clock: Clock,
        adapter: Channel,
        make_task: Callable[[Job], Awaitable[Task | None]],
    ) -> None:
        self.name = name
        self.up = asyncio.Event()
        """Set while the adapter serves."""
        self.jobs = 0
        self._workspace = workspace
        self._clock = clock
        self._adapter = adapter
        self._make_task = make_task
        self._lanes: dict[str, deque[Job]] = {}
        self._tasks = TaskSet(f"outbox:{workspace.name}.{name}")
        self._room = asyncio.Semaphore(AT_ONCE)
        self._losses = 0
        self._open_until_us = 0
        self.trail: Trail | None = None
        """Is told what came of each attempt, where somebody wants traces."""

    def put(self, job: Job) -> None:
        """Queue an effect behind the others of its contact. Never waits, never raises."""
        if self.jobs >= JOBS:
            log.error("outbox is full", extra={"adapter": self.name, "effect": job.id})
            self._tasks.spawn(self._fail(job, "outbox_full"), "full")
            return
        self.jobs += 1
        contact = contact_of(job.effect)
        lane = self._lanes.get(contact)
        if lane is not None:
            if isinstance(job.effect, RescindOffer) and _cancel_offer(lane, job.effect):
                self.jobs -= 2
                return
            lane.append(job)
            return
        self._lanes[contact] = deque([job])
        self._tasks.spawn(self._serve(contact), contact)

    async def stop(self) -> None:
        """Leave what has not begun where it is: its rows are there for the next start."""
        await self._tasks.stop()

    async def _serve(self, contact: str) -> None:
        lane = self._lanes[contact]
        while lane:
            job = lane[0]
            try:
                async with self._room:
                    await self._carry_out(job)
            except Exception:
                log.exception("effect failed", extra={"adapter": self.name, "effect": job.id})
            if lane and lane[0] is job:
                lane.popleft()
                self.jobs -= 1
        del self._lanes[contact]

    # --- one effect ---------------------------------------------------------------------------

    async def _carry_out(self, job: Job) -> None:
        attempt = 0
        while attempt < TRIES:
            if not await self._workspace.writer.may_act() or self._workspace.stopped:
                return  # the next owner has its row, and does it or asks about it
            if not await self._ready(job):
                await self._fail(job, "adapter_down")
                return
            try:
                task = await self._made(job)
            except Exception:  # a damaged row, or a fault of ours: nothing was asked of the adapter
                log.exception("effect cannot be made", extra=self._named(job))
                await self._fail(job, "router_broke")
                return
            if task is None:
                await self._fail(job, "contact_gone")
                return
            if self._workspace.now_us() >= job.until_us:  # the store was away for too long
                await self._fail(job, "too_late")
                return
            begun_us = self._workspace.now_us()
            outcome = await self._try(job, task)
            if outcome == "held_up":
                continue  # what was looked at may have changed meanwhile
            self._trace(job, begun_us, attempt + 1, outcome)
            if outcome != "again":
                return
            await sleep(self._clock, PAUSE_US[min(attempt, len(PAUSE_US) - 1)])
            attempt += 1
        await self._fail(job, "gave_up")

    async def _made(self, job: Job) -> Task | None:
        """What the adapter needs to know, however long the store is away."""
        pauses = list(PAUSE_US)
        while True:
            try:
                return await self._make_task(job)
            except (JournalFailed, StoreFull) as error:
                waits = {**self._named(job), "error": str(error)}
                log.warning("effect waits for the store", extra=waits)
            except asyncio.CancelledError:
                if is_cancelled():
                    raise
                log.warning("effect was cancelled by what it waited for", extra=self._named(job))
            await sleep(self._clock, pauses.pop(0) if len(pauses) > 1 else pauses[0])

    def _named(self, job: Job) -> dict[str, str]:
        return {"adapter": self.name, "effect": job.id}

    def _trace(self, job: Job, begun_us: int, attempt: int, outcome: str) -> None:
        trail, contact = self.trail, contact_of(job.effect)
        if trail is not None and contact:
            name, result = type(job.effect).__name__, job.result or outcome
            now_us = self._workspace.now_us()
            trail.effect(
                contact, name, begun_us, now_us, adapter=self.name, effect=job.id,
                attempt=attempt, result=result,
            )  # fmt: skip

    async def _try(self, job: Job, task: Task) -> str:
        """One attempt: ``done``, ``again``, or ``held_up`` before the adapter was asked."""
        repeat = job.effect.REPEAT
        try:
            if job.ask_first and await self._found(task):
                await self._settle(job, "done")
                return "done"
            if job.only_ask:
                await self._fail(job, "gone")
                return "done"
            if isinstance(job.effect, DeliverMessage):
                await self._mark(job)
            if self._workspace.writer.lapsed or self._workspace.stopped:
                return "held_up"
            crash_point("before_effect")
            await _in_time(self._adapter.perform(task))
            crash_point("after_effect")
        except UnknownOutcome as error:
            if repeat == "safe":
                return "again"
            await self._drop_monitor(job, "unknown")
            await self._settle(job, "unknown", str(error))
        except (ChannelLost, TimeoutError) as error:
            self._lost()
            if repeat != "never":
                job.ask_first = repeat == "query"
                return "again"
            await self._settle(job, "unknown", str(error) or "no answer in time")
        except ChannelError as error:
            self._losses = 0
            await self._fail(job, str(error))
        except Refused as error:  # the adapter called back and was refused: its business
            await self._fail(job, error.code)
        except Exception:  # a fault of the adapter's; how far it came nobody knows
            log.exception("adapter broke", extra={"adapter": self.name, "effect": job.id})
            if repeat == "safe":
                await self._fail(job, "adapter_broke")
            else:
                await self._drop_monitor(job, "unknown")
                await self._settle(job, "unknown", "adapter_broke")
        else:
            self._losses = 0
            await self._settle(job, "done")
        return "done"

    async def _found(self, task: Task) -> bool:
        return await _in_time(self._adapter.find(task))

    async def _ready(self, job: Job) -> bool:
        """Wait until the adapter can be asked, at most until the job's deadline."""
        now_us = self._workspace.now_us()
        pause_us = self._open_until_us - now_us
        if pause_us > 0:
            await sleep(self._clock, min(pause_us, max(0, job.until_us - now_us)))
        if not self.up.is_set() and self._workspace.now_us() < job.until_us:
            expired = asyncio.Event()
            timer = self._clock.call_at(
                self._clock.now_us() + job.until_us - self._workspace.now_us(), expired.set
            )
            up = self._tasks.spawn(self.up.wait(), "up")
            late = self._tasks.spawn(expired.wait(), "late")
            try:
                await asyncio.wait({up, late}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                up.cancel()
                late.cancel()
        return self.up.is_set() and self._workspace.now_us() < job.until_us

    def _lost(self) -> None:
        self._losses += 1
        if self._losses >= BREAK_AFTER:
            self._open_until_us = self._workspace.now_us() + BREAK_US
            self._losses = 0

    # --- what came of it ----------------------------------------------------------------------

    async def _mark(self, job: Job) -> None:
        """Durably: from here on it may have been sent. Must stand before the attempt."""
        row = encode_row(
            OutboxRow(at_us=self._workspace.now_us(), effect=job.effect, attempting=True)
        )
        await self._tell(
            c.SettleEffect(effect=job.id, result="attempting", contact=_contact_id(job.effect)),
            [RowWrite("effect", job.id, row)],
        )

    async def _fail(self, job: Job, reason: str) -> None:
        effect, job.result = job.effect, "failed"
        if isinstance(effect, OfferContact):
            self._workspace.metrics.effect(effect.channel, "failed")
            await self._tell(
                c.FailReservation(reservation=effect.reservation, reason=reason, busy=True)
            )
        elif isinstance(effect, (ConnectAgent, StartContact)):
            if effect.reservation:
                await self._tell(c.FailReservation(reservation=effect.reservation, reason=reason))
            await self._settle(job, "failed", reason)
        elif isinstance(effect, RecordContact) and effect.on:
            self._workspace.metrics.effect(effect.channel, "failed")
            await self._tell(c.FailRecording(recording=effect.recording, reason=reason))
        elif effect.REPEAT == "safe":
            self._workspace.metrics.effect(_channel(effect), "failed")
            # One customer's trouble: operators watch the rate, in the metrics.
            log.debug(
                "effect not carried out",
                extra={"adapter": self.name, "effect": type(effect).__name__, "reason": reason},
            )
        else:
            await self._drop_monitor(job, reason)
            await self._settle(job, "failed", reason)

    async def _drop_monitor(self, job: Job, reason: str) -> None:
        """Nobody listens, or nobody knows whether somebody does: the leg must go."""
        if isinstance(job.effect, MonitorContact):
            await self._tell(c.EndMonitor(monitor=job.effect.monitor, reason=reason))

    async def _settle(self, job: Job, result: str, reason: str = "") -> None:
        effect, job.result = job.effect, result
        self._workspace.metrics.effect(_channel(effect), result)
        if effect.REPEAT == "safe" or job.only_ask:
            return
        reservation = ReservationId("")
        if isinstance(effect, (ConnectAgent, StartContact)):
            reservation = effect.reservation
        await self._tell(
            c.SettleEffect(
                effect=job.id,
                result=result,
                contact=_contact_id(effect),
                reservation=reservation,
                message=effect.message if isinstance(effect, DeliverMessage) else "",
                reason=reason[:200],
            )
        )

    async def _tell(self, command: Command, rows: list[RowWrite] | None = None) -> None:
        await tell(self._workspace, self._clock, command, rows or [])


async def _in_time(asked: Awaitable[T]) -> T:
    """What the adapter returns, within `PERFORM_S`. Raises ChannelLost when something cancelled it
    that is not the outbox: aiohttp does that to requests that wait when their session is closed.
    Taken for our own end it would be the end of this contact's effects."""
    try:
        async with asyncio.timeout(PERFORM_S):
            return await asked
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        raise ChannelLost("cancelled by what it waited for") from None


async def tell(workspace: Workspace, clock: Clock, command: Command, rows: list[RowWrite]) -> None:
    """Say something to the engine until it is taken: the outcome of an effect must not be lost."""
    pause_us = 100_000
    while not workspace.stopped:
        try:
            await workspace.ask(command, rows=rows)
        except (Overloaded, StoreFull, OutcomeUnknown):
            pass
        except asyncio.CancelledError:  # by what it waited for: nobody knows, as above
            if is_cancelled():
                raise
        except Refused as error:
            log.info("not taken", extra={"command": type(command).__name__, "code": error.code})
            return
        else:
            return
        await sleep(clock, pause_us)
        pause_us = min(2 * pause_us, 5_000_000)


def deadline(effect: Effect, now_us: int) -> int:
    """After which moment it makes no sense to begin this effect."""
    if isinstance(effect, (OfferContact, ConnectAgent)):
        return effect.deadline_at_us
    if isinstance(effect, CollectFromContact):
        return now_us + effect.timeout_us
    if isinstance(effect, DeliverMessage):
        return now_us + DELIVER_WITHIN_US
    if isinstance(effect, EndContact):
        return now_us + END_WITHIN_US
    return now_us + TREAT_WITHIN_US


def after_crash(row: OutboxRow) -> str:
    """What to do with an effect from before a restart: ``do``, ``ask`` or ``unknown``."""
    if row.effect.REPEAT == "query":
        return "ask"
    if isinstance(row.effect, TreatContact) or row.attempting:
        return "unknown"
    return "do"


def contact_of(effect: Effect) -> str:
    """The contact that an effect is about; empty for none."""
    return getattr(effect, "contact", "")


def _contact_id(effect: Effect) -> ContactId:
    return ContactId(contact_of(effect))


def _channel(effect: Effect) -> str:
    return getattr(effect, "channel", "")


def _cancel_offer(lane: deque[Job], rescind: RescindOffer) -> bool:
    """An offer that has not gone out yet and is taken back: neither need go."""
    for place, job in enumerate(lane):
        effect = job.effect
        if not place or not isinstance(effect, OfferContact):
            continue
        if effect.reservation == rescind.reservation:
            del lane[place]
            return True
    return False
