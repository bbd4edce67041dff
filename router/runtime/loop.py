"""The loop: one task owns one workspace's engine, and all input goes through its inbox.

A batch of inputs is decided in memory, written as one commit, and only then do its effects go out
and its callers get their answers: facts before acts. While a commit fails nothing else happens:
the same frame is tried again, its callers hear `OutcomeUnknown`, later ones `StoreFull`.
ARCHITECTURE.md, decisions 1-5.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from router.core.commands import ApplyPolicy, Command, DeadLetter, SettleEffect, StepClock
from router.core.effects import Effect
from router.core.engine import Engine, Outcome
from router.core.model import Contact
from router.core.policy import Policy
from router.core.state import State
from router.errors import (
    Fenced,
    JournalDamaged,
    OutcomeUnknown,
    Overloaded,
    Refused,
    RouterError,
    StoreFull,
)
from router.journal import ArchiveWrite, Journal, KeyStore, Ownership, RowWrite, StoredFrame
from router.journal.seal import Sealer
from router.runtime.alarm import Alarm
from router.runtime.clock import Clock
from router.runtime.crash import crash_point
from router.runtime.customers import CustomerBook
from router.runtime.feed import Feed
from router.runtime.frame import Turn
from router.runtime.inbox import INBOX, SHED_NAMES, Answer, Asker, Inbox, Input, shed_class
from router.runtime.lease import Lease
from router.runtime.loading import load_rows
from router.runtime.metrics import WorkspaceMetrics
from router.runtime.own_rows import OwnRows
from router.runtime.recent import RecentlyClosed
from router.runtime.tasks import spawn
from router.runtime.veil import Veil
from router.runtime.warm import Warm
from router.runtime.writer import Stopped, Writer

__all__ = ["Answer", "Asker", "Stopped", "Workspace", "shed_class"]

log = logging.getLogger("router.loop")

BATCH = 512
"""Most inputs in one commit."""
BATCH_EVENTS, BATCH_US = 3000, 20_000
"""A batch ends early once it has so many events (one commit must not hold the store for long), or
was decided upon for so long (meanwhile nothing else happens on the event loop)."""
ADVANCES = 10_000
"""Turns of the timers without an end are a broken invariant."""


class Workspace:
    """A tenant: its engine, its inbox, its journal."""

    def __init__(
        self,
        name: str,
        policy: Policy,
        *,
        journal: Journal,
        keys: KeyStore,
        secret: bytes,
        clock: Clock,
        metrics: WorkspaceMetrics,
        make_engine: Callable[[Policy, State | None, int], Engine] = Engine,
        inbox: int = INBOX,
    ) -> None:
        self.name = name
        self.journal = journal
        self.keys = keys
        self.sealer = Sealer(keys, secret)
        self.clock = clock
        self.metrics = metrics
        self.policy = policy
        self.engine = make_engine(policy, None, 0)
        self.own = Ownership(workspace=name, epoch=0, nonce="", seq=0)
        self.seq = 0
        self.oldest_seq = 1
        """First sequence number that the log had at start."""
        self.veil = Veil(self)
        self.feed = Feed(self.frames, lambda: self.seq, self.veil.event)
        self.perform: Callable[[str, Effect], None] = _nobody
        """Takes effects once they may happen; set by the composition root before `start`."""
        self.on_loaded: list[Callable[[], None]] = []
        """Told when the rows are in memory at start, before the first effect."""
        self.on_closed: list[Callable[[list[Contact]], None]] = []
        """Told about contacts whose end has just become durable."""
        self.on_stopped: list[Callable[[str], None]] = []
        """Told when this workspace ends by itself (fenced, damaged, broken)."""
        self.release: Callable[[Ownership], Awaitable[None]] = journal.release
        """How `stop` gives it up: with several nodes, in favour of one of them."""
        self.stopped = ""
        """Why it is not served any more; empty = it is, or has not started."""
        self._make_engine = make_engine
        self.customers = CustomerBook(self)
        self._own_rows = OwnRows()
        self._recent = RecentlyClosed(2 * BATCH)
        self.writer = Writer(name, journal, clock, metrics, on_suspend=self._suspended)
        self._inbox = Inbox(inbox)
        self._wake = asyncio.Event()
        self._alarm = Alarm(clock, self._wake.set)
        self._ahead_us = 0
        self._last_us = 0
        self._effects = 0
        self._batch: list[Input] = []
        self._is_turning = False
        """Between the first decision of a batch and the end of its commit."""
        self._settling: list[asyncio.Future[None]] = []
        self._broken_timers = 0
        self._running: asyncio.Task[None] | None = None
        self._ending = False

    # --- asking -------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Grows with each new owner; stands in every effect."""
        return self.own.epoch

    def now_us(self) -> int:
        """This workspace's time: never below its last committed moment."""
        return max(self.clock.now_us() + self._ahead_us, self._last_us)

    @property
    def suspended(self) -> str:
        """Why the store takes nothing at the moment; empty = it does."""
        return self.writer.suspended

    async def ask(
        self,
        command: Command,
        archive: Sequence[ArchiveWrite] = (),
        *,
        shed: int = 0,
        rows: Sequence[RowWrite] = (),
    ) -> Answer:
        """Carry a command out; durable when it returns.

        Raises Refused, Overloaded, OutcomeUnknown, StoreFull. `archive` and `rows` are written in
        the same commit, and only if the command has events; an archive id that begins with
        ``{contact}/`` gets the id of the contact at which the command ended.
        """
        return await self.put(command, archive, shed=shed, rows=rows)

    def put(
        self,
        command: Command,
        archive: Sequence[ArchiveWrite] = (),
        *,
        shed: int = 0,
        rows: Sequence[RowWrite] = (),
    ) -> asyncio.Future[Answer]:
        """As `ask`, without waiting: many share a commit. Raises Overloaded and StoreFull."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.begin(command, archive, answer, shed=shed, rows=rows)
        return answer

    def begin(
        self,
        command: Command,
        archive: Sequence[ArchiveWrite],
        asker: Asker,
        *,
        shed: int = 0,
        rows: Sequence[RowWrite] = (),
    ) -> None:
        """As `put`, for who needs no future. Raises Overloaded and StoreFull."""
        self.admit(shed)
        self._inbox.put(Input(command, archive, rows, self.now_us(), asker), shed)
        self._wake.set()

    def admit(self, shed: int) -> None:
        """Is an input of this class taken now? Raises Overloaded and StoreFull.

        `begin` asks too; asked before a command is made, it makes refusing cheap.
        """
        if self.stopped or self._ending:
            raise Overloaded(f"workspace {self.name}: {self.stopped or 'stopping'}", 5.0)
        if self.suspended:
            raise StoreFull(f"workspace {self.name}: {self.suspended}")
        if self._inbox.refuses(shed, self.now_us()):
            self.metrics.shed(name := SHED_NAMES[shed])
            raise Overloaded(f"workspace {self.name}: too much at once ({name})", 1.0)

    async def settled(self) -> None:
        """Wait until all that is in memory now is committed. Raises StoreFull if nothing can be."""
        if self.suspended:
            raise StoreFull(f"workspace {self.name}: {self.suspended}")
        if self._is_turning:
            done = asyncio.get_running_loop().create_future()
            self._settling.append(done)
            await done
        if self.stopped:
            raise Overloaded(f"workspace {self.name}: {self.stopped}", 5.0)

    def waiting_inputs(self) -> int:
        """Inputs in the inbox."""
        return len(self._inbox)

    def load_share(self) -> float:
        """How full the inbox is: reports give way from `SHED_AT[4]` on."""
        return self._inbox.share()

    # --- rows of the runtime's own ------------------------------------------------------------

    def rows_of(self, kind: str) -> dict[str, bytes]:
        """Rows that are the runtime's own (``effect``, ``desk``, ``webhook``, ``token``), by id."""
        return self._own_rows.of(kind)

    def note(self, kind: str, id_: str, data: bytes) -> None:
        """Keep a row of the runtime's own; written with the next commit, whenever that is."""
        self._own_rows.note(kind, id_, data)

    def forget(self, kind: str, id_: str) -> None:
        """Drop a row of the runtime's own with the next commit."""
        self._own_rows.forget(kind, id_)

    def keep(self, row: ArchiveWrite) -> None:
        """Archive a row with the next commit, whenever that is."""
        self._own_rows.keep(row)

    # --- starting and stopping ----------------------------------------------------------------

    async def start(
        self, own: Ownership | None = None, lease: Lease | None = None, warm: Warm | None = None
    ) -> None:
        """Take the workspace, unless it is `own` already; load its rows, restate what is open.

        `warm`: rows that were read before. Raises JournalBusy, JournalDamaged, and Fenced or
        Stopped if it is lost at once.
        """
        self.own = own or await self.journal.acquire(self.name)
        self.writer.lease = lease
        self.seq = self.own.seq
        self._ahead_us = max(0, self.own.committed_at_us - self.clock.now_us())
        self._last_us = self.own.committed_at_us
        self.oldest_seq = await self.journal.oldest_seq(self.own)
        await self._load(warm)
        for tell in self.on_loaded:
            tell()
        self.metrics.started(self.own.epoch)
        await self._turn()
        self._running = spawn(self._run(), f"loop:{self.name}")
        if self._own_rows.of("policy").get("version") != self.policy.version.encode():
            await self.apply(self.policy, "start")
        if self._ahead_us:
            # The wall clock went back while nobody looked: lengths stay, calendar deadlines move.
            await self.ask(StepClock(by_us=-self._ahead_us))

    async def apply(self, policy: Policy, by: str) -> None:
        """New settings, kept in mind so that a restart with the same ones changes nothing."""
        version = RowWrite("policy", "version", policy.version.encode())
        await self.ask(ApplyPolicy(policy=policy, by=by), rows=[version])

    async def stop(self) -> None:
        """Finish what is in the inbox, give the workspace up. Safe to repeat."""
        self._ending = True
        self._wake.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=10)
            self._running.cancel()
        self._alarm.cancel()
        self._refuse_all(lambda: Overloaded(f"workspace {self.name}: stopping", 5.0))
        self.feed.close()
        if not self.stopped and self.own.epoch:
            self.stopped = "stopped"
            await self.release(self.own)

    async def _load(self, warm: Warm | None = None) -> None:
        """A fresh engine from the committed rows; what is open is restated with the next commit."""
        self.customers.drop()
        state = await load_rows(self.journal, self.own, self.keys, self.veil, self._own_rows, warm)
        self.engine = self._make_engine(self.policy, state, self._last_us)
        self._resume = True

    _resume = False

    # --- the loop -----------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while True:
                if not self._inbox and not self._is_due():
                    if self._ending:
                        return
                    due = self.engine.next_deadline()
                    self._alarm.set(None if due is None else due - self._ahead_us)
                    self._wake.clear()
                    await self._wake.wait()
                await self._turn()
        except (Fenced, JournalDamaged, Stopped) as error:
            self.end(str(error))
        except Exception as error:
            log.exception("loop ended", extra={"workspace": self.name})
            self.end(f"internal error: {type(error).__name__}")
        finally:
            self._give_up(self._batch)
            self._settle(None)

    async def _turn(self) -> None:
        """Decide a batch, commit it, release effects, answer."""
        batch = self._batch = self._inbox.take(BATCH, self.now_us())
        turn = Turn(self.seq + 1, self.veil)
        self._is_turning = True
        try:
            await self.customers.bring(batch, turn)
            broken = self._decide(batch, turn)
            if broken is not None:
                await self._recover(batch, broken)
                return
            effects = turn.numbered(self.own.epoch, self._effects)
            self._effects += len(effects)
            if turn.events:
                changes = self.engine.state.drain()
                await self.customers.settle(changes.closed)
                commit = turn.commit(changes, effects, self._own_rows, at_us=self._last_us)
                await self.writer.write(self.own, commit, lambda: self._give_up(batch))
                self.seq = commit.last_seq
                if changes.closed:
                    self._recent.add(changes.closed)
                    for tell in self.on_closed:
                        tell(changes.closed)
                self.feed.publish(commit.first_seq, turn.events)
        finally:
            self._is_turning = False
        crash_point("after_commit")
        for effect_id, effect in effects:
            self.perform(effect_id, effect)
        crash_point("after_effects")
        for item, first, last, contact in turn.answers:
            seq = turn.first_seq + last - 1 if last > first else self.seq
            item.succeed(Answer(seq, tuple(turn.events[first:last]), contact))
        for item, error in turn.refusals:
            item.fail(error)
        self._batch = []
        crash_point("after_answers")
        self._settle(None)
        await asyncio.sleep(0)  # answers and offers leave before the next decision is made

    def _decide(self, batch: list[Input], turn: Turn) -> int | None:
        """Run the engine. Where it broke (-1: in the timers), or None if it did not."""
        at = -1
        try:
            if self._resume:
                self._last_us = self.now_us()
                turn.add(self.engine.resume(self._last_us))
                self.policy = self.engine.policy
                self._resume = False
            if not batch:
                self._advance(self.now_us(), turn)
            began_us = self.clock.now_us()
            for at, item in enumerate(batch):
                if not self._advance(item.stamp_us, turn):
                    self._inbox.put_back(batch[at:])
                    del batch[at:]
                    break
                self._handle(item, turn)
                if len(turn.events) > BATCH_EVENTS or self.clock.now_us() - began_us > BATCH_US:
                    self._inbox.put_back(batch[at + 1 :])
                    del batch[at + 1 :]
                    break
        except Exception:
            log.exception("the engine broke", extra={"workspace": self.name, "at": at})
            self.metrics.broken()
            return at
        if turn.events:
            self._broken_timers = 0
        return None

    def _advance(self, stamp_us: int, turn: Turn) -> bool:
        """Time first: what was due before this input arrived happens before it.

        False: more is due than one commit should hold, and the input must wait for the next.
        """
        if stamp_us > self._last_us:
            self._last_us = stamp_us
        now_us = self._last_us
        for _ in range(ADVANCES):
            due = self.engine.next_deadline()
            if due is None or due > now_us:
                return True
            if len(turn.events) > BATCH_EVENTS:
                return False
            turn.add(self.engine.advance(now_us))
        raise AssertionError(f"timers do not end at {now_us}")

    def _handle(self, item: Input, turn: Turn) -> None:
        command = item.command
        closed = self._recent.find(command, self.engine.state.by_external)
        if closed is not None:
            turn.answers.append((item, len(turn.events), len(turn.events), closed))
            return
        try:
            command = self.customers.prepare(command)
            outcome: Outcome = self.engine.handle(command, self._last_us)
        except Refused as error:
            turn.refusals.append((item, error))
            return
        first = len(turn.events)
        turn.add(outcome)
        contact = outcome.contact or ""
        if len(turn.events) > first:
            turn.keep(item.archive, item.rows, contact)
            if type(command) is SettleEffect and command.effect and command.result != "attempting":
                turn.deletes.append(("effect", command.effect))
        if type(command) is ApplyPolicy:
            self.policy = self.engine.policy
        turn.answers.append((item, first, len(turn.events), contact))

    # --- when something fails -----------------------------------------------------------------

    def _give_up(self, batch: list[Input]) -> None:
        for item in batch:
            item.fail(
                OutcomeUnknown("the store has not answered: it may have happened, or may yet")
            )

    def _settle(self, error: RouterError | None) -> None:
        waiting, self._settling = self._settling, []
        for done in waiting:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

    def _suspended(self, why: str) -> None:
        """What has not been looked at will not be: nothing of it has happened."""
        self._refuse_all(lambda: StoreFull(f"workspace {self.name}: {why}"))
        self._settle(StoreFull(f"workspace {self.name}: {why}"))

    def _refuse_all(self, make: Callable[[], RouterError]) -> None:
        while self._inbox:
            for item in self._inbox.take(BATCH, self.now_us()):
                item.fail(make())

    async def _recover(self, batch: list[Input], broken: int) -> None:
        """Load the committed rows afresh and try again; what breaks it twice is put aside."""
        await self._load()
        if broken < 0:
            self._broken_timers += 1
            self._inbox.put_back(batch)
            if self._broken_timers >= 3:
                raise Stopped("a timer of the engine breaks it each time; see the log")
            return
        item = batch[broken]
        item.failures += 1
        if item.failures >= 2:
            self._bury(item)
            batch.pop(broken)
        self._inbox.put_back(batch)

    def _bury(self, item: Input) -> None:
        name = type(item.command).__name__
        if isinstance(item.command, DeadLetter):
            raise Stopped("the engine cannot even put a broken input aside; see the log")
        log.error("input put aside", extra={"workspace": self.name, "command": name})
        self.metrics.dead_letter()
        item.fail(Refused("poison", f"this {name} breaks the engine and was put aside"))
        letter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        letter.add_done_callback(lambda done: done.cancelled() or done.exception())
        command = DeadLetter(command=name, reason="broke the engine twice")
        self._inbox.put_back([Input(command, (), (), self.now_us(), letter)])

    def end(self, why: str) -> None:
        """This workspace is over in this process: memory is not the truth any more. Repeatable."""
        if self.stopped:
            return
        log.error("workspace stopped", extra={"workspace": self.name, "why": why})
        self.stopped = why
        self.writer.end(why)
        self.metrics.stopped()
        self._refuse_all(lambda: Overloaded(f"workspace {self.name}: {why}", 5.0))
        self.feed.close()
        for tell in self.on_stopped:
            tell(why)

    # --- time ---------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        due = self.engine.next_deadline()
        return self._resume or (due is not None and due <= self.now_us())

    async def frames(self, from_seq: int, limit: int) -> list[StoredFrame]:
        """Frames of the log from `from_seq` on, as far as this owner has committed it."""
        # A store also shows what too few replicas have, and what this one's successor writes.
        found = await self.journal.frames(self.own, from_seq, limit)
        return [frame for frame in found if frame.first_seq <= self.seq]


def _nobody(effect_id: str, effect: Effect) -> None:
    raise AssertionError(f"effect {effect_id} before anybody can carry it out: {effect}")
