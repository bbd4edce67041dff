"""SMS centres on one side, the router on the other."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import sqlite3
from functools import partial
from typing import Any, Final

from adapters import (
    Breaker,
    Crew,
    Facts,
    Fence,
    Questions,
    is_cancelled,
    read_secret,
    read_settings,
    without_leg,
)
from adapters.smpp import pdu
from adapters.smpp.addresses import placed
from adapters.smpp.alphabets import choose
from adapters.smpp.bind import BUSY, Bind, NotSent
from adapters.smpp.inbound import Inbound, pair
from adapters.smpp.parts import Piece, TooLong, split
from adapters.smpp.receipts import comparable, trace
from adapters.smpp.settings import Centre, Settings, Smsc
from adapters.smpp.store import Store
from router.channel import (
    Channel,
    ChannelError,
    ChannelLost,
    CollectFromContact,
    DeliverMessage,
    EndContact,
    Router,
    StartContact,
    Task,
    TreatContact,
    UnknownOutcome,
)
from router.errors import ConfigError

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
PERFORM_S: Final = 18.5
"""So long may one effect take, all parts together: the router waits for 20 seconds."""
GRACE_S: Final = 2.0
BROKEN: Final = (pdu.SYSTEM_ERROR, 0x45, 0xFE, 0xFF)
"""System error, submit or delivery failed, unknown error: the centre's own trouble (5.1.3)."""
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class Smpp(Channel):
    """Customers' phones, through one or several SMS centres."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        where = f"adapters.{name}"
        self.config = read_settings(Settings, settings, where)
        self.centres = _centres(self.config, where)
        self.binds: list[Bind] = []
        """Connections that are up."""
        self.held = 0
        """Messages of ours on their way."""
        self.store = Store(self.config.state_file)
        self.crew = Crew(name, most=1_000)
        self.inward = Crew(f"{name} deliver_sm", most=self.config.inbound)
        self.facts = Facts(name)
        self.questions = Questions(router, self.facts)
        self.breaker = Breaker()
        self.inbound = self._make_inbound()
        self._fence = Fence()
        self._numbers = itertools.count(1)
        self._rng = random.Random()
        self._reference = self._rng.randrange(0x1_0000)
        self._serves = False
        self._is_open = False
        self._connecting = 0
        self._state = ("", "")
        self._changed = asyncio.Event()

    def _make_inbound(self) -> Inbound:
        return Inbound(
            self.name, self.config, self.store, self.router, self.questions, self.facts, self.crew,
            lambda: self.held > 0,
        )  # fmt: skip

    # -- what the supervisor calls ---------------------------------------------------------------

    async def run(self) -> None:
        """Keep the connections; raises ChannelLost when none is left, and none is being made."""
        self._show("starting")
        try:
            await self._open()
            async with asyncio.TaskGroup() as all_of_it:
                self._connecting = sum(centre.smsc.binds for centre in self.centres)
                for centre in self.centres:
                    for _ in range(centre.smsc.binds):
                        all_of_it.create_task(self._keep_bound(centre))
                # In the body, and not one more task: only so does 3.11 count cancellations right.
                await self.inbound.watch()
        except ExceptionGroup as group:
            if is_cancelled():  # a connection ended in the same moment
                raise asyncio.CancelledError from None
            lost = group.subgroup(ChannelLost)
            raise (lost or group).exceptions[0] from None
        finally:
            self._serves = not is_cancelled()
            self._show("down")
            await self.inward.stop(GRACE_S)
            if is_cancelled():
                await self._close()

    async def _open(self) -> None:
        if self._is_open:
            return
        try:
            found = await self.store.open(asyncio.get_running_loop().time())
        except (OSError, sqlite3.Error) as error:
            raise ChannelLost(f"state_file: {type(error).__name__}") from None
        self.inbound = self._make_inbound()
        self.inbound.recall(*found)
        self.facts.go_on()
        self._is_open = self._serves = True

    async def _close(self) -> None:
        self.questions.stop()
        await self.facts.stop()
        await self.crew.stop(GRACE_S)
        self._is_open = False
        try:
            await self.store.close()
        except (OSError, sqlite3.Error) as error:
            log.warning("state file", extra={"adapter": self.name, "error": type(error).__name__})

    async def _keep_bound(self, centre: Centre) -> None:
        """One connection, made again with back-off as long as another one is there."""
        pause_s = FIRST_PAUSE_S
        while True:
            number = next(self._numbers)
            bind = Bind(
                number, centre, self.config, self.inward, partial(self._hear, centre.name),
                self.inbound.read,
            )  # fmt: skip
            was_up = False

            def up(bind: Bind = bind) -> None:
                nonlocal was_up
                was_up = True
                self._connecting -= 1
                self.binds.append(bind)
                self.inbound.connected(bind.number)
                self._show_binds()

            try:
                await bind.run(up)
            except ChannelLost as lost:
                self._connecting -= 0 if was_up else 1
                log.warning(
                    "SMSC lost",
                    extra={"adapter": self.name, "smsc": centre.name, "why": str(lost)},
                )
                others = [other for other in self.binds if other is not bind]
                if not others and self._connecting == 0:
                    raise
            finally:
                if bind in self.binds:
                    self.binds.remove(bind)
                self.inbound.ended(number)
            self._show_binds()
            pause_s = FIRST_PAUSE_S if was_up else min(2 * pause_s, LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s * (0.5 + self._rng.uniform(0.0, 1.0)))
            self._connecting += 1

    async def _hear(self, centre: str, message: pdu.Message, connection: int) -> int:
        return await self.inbound.hear(message, connection, centre)

    def _show_binds(self) -> None:
        wanted = sum(centre.smsc.binds for centre in self.centres)
        if self.breaker.is_open:
            self._show("degraded", "the SMSC keeps failing")
        elif len(self.binds) == wanted:
            self._show("up")
        elif self.binds:
            self._show("degraded", f"{len(self.binds)} of {wanted} connections")
        self._changed.set()

    def _show(self, state: str, detail: str = "") -> None:
        if self._state != (state, detail):
            self._state = (state, detail)
            self.router.state(state, detail)

    # -- effects ---------------------------------------------------------------------------------

    async def perform(self, task: Task) -> None:
        """Send what the router decided."""
        self._fence.check(task.epoch)
        if not self._serves:
            raise ChannelLost(f"{self.name} is not running")
        if self.held >= self.config.outbound:
            raise ChannelError(f"{self.held} messages are on their way: no more are taken")
        self.held += 1
        try:
            await self._carry_out(task)
        finally:
            self.held -= 1

    async def find(self, task: Task) -> bool:
        """Whether the SMSC has it; what has no text can be done again. Raises UnknownOutcome."""
        try:
            state = await self.store.state_of(_key(task))
        except (OSError, sqlite3.Error):
            raise UnknownOutcome("the state file cannot be read") from None
        if state == "trying":
            raise UnknownOutcome("it may have been written before")
        return state == "done"

    async def _carry_out(self, task: Task) -> None:
        effect = task.effect
        match effect:
            case DeliverMessage(contact=contact, message=message):
                await self._send(task, task.text, contact, message)
            case TreatContact(kind="position"):
                pass  # each one would be a message that is paid for
            case TreatContact(text=text):
                await self._send(task, text)
            case EndContact(text=text):
                self.questions.withdraw(pair(task.customer.address, task.our_address))
                await self._send(task, text)
            case CollectFromContact():
                await self._ask(task, effect)
            case _:
                if isinstance(effect, StartContact):
                    placed(task.customer.address, self._plain)
                without_leg(effect, self.router, self.facts)

    async def _ask(self, task: Task, effect: CollectFromContact) -> None:
        who = pair(task.customer.address, task.our_address)
        text = self.questions.put(who, task.external_id, effect)
        try:
            await self._send(task, text)
        except BaseException:
            self.questions.withdraw(who)
            raise

    # -- sending ---------------------------------------------------------------------------------

    async def _send(self, task: Task, text: str, contact: str = "", message: str = "") -> None:
        """A text, in as many parts as it needs, one after the other; never twice."""
        if not text:
            return
        began_s = asyncio.get_running_loop().time()
        bodies = self._bodies(task, text)
        key = _key(task)
        try:
            state = await self.store.begin(key, contact, message, len(bodies))
        except (OSError, sqlite3.Error) as error:
            raise ChannelError(f"state file: {type(error).__name__}: nothing was sent") from None
        if state == "done":
            return
        if state:
            raise UnknownOutcome("it may have been written before")
        until_s = began_s + self.config.turn_s
        for number, body in enumerate(bodies, 1):
            try:
                centre, id_ = await self._say(body, until_s, began_s + PERFORM_S)
            except UnknownOutcome:
                raise
            except ChannelError as error:
                if number > 1:
                    gone = f"{number - 1} of {len(bodies)} parts went"
                    raise UnknownOutcome(f"{gone}: {error}") from error
                await self._settle(key, was_written=False)
                raise
            until_s = began_s + PERFORM_S - 1.0
            await self._note_given(key, centre, id_, trace(task.customer.address))
        await self._settle(key, was_written=True)

    def _bodies(self, task: Task, text: str) -> list[bytes]:
        coding = choose(text, self.config.coding_0)
        self._reference = (self._reference + 1) & 0xFFFF
        try:
            pieces = split(
                text, coding, self.config.coding_0, self.config.long_messages, self._reference
            )
        except TooLong as error:
            raise ChannelError(f"the text is too long: {error}") from None
        ours = placed(task.our_address or self.config.sender, self._plain, is_sender=True)
        theirs = placed(task.customer.address, self._plain)

        def body(piece: Piece) -> bytes:
            return pdu.submit_body(
                pdu.Message(
                    source=ours.digits,
                    source_ton=ours.ton,
                    source_npi=ours.npi,
                    destination=theirs.digits,
                    destination_ton=theirs.ton,
                    destination_npi=theirs.npi,
                    esm_class=piece.esm_class,
                    data_coding=coding,
                    payload=piece.payload,
                    tlvs=piece.tlvs,
                    registered_delivery=int(self.config.receipts),
                )
            )

        try:
            return [body(piece) for piece in pieces]
        except pdu.Malformed as error:
            raise ChannelError(str(error)) from None

    async def _say(self, body: bytes, until_s: float, answer_until_s: float) -> tuple[str, str]:
        """One submit_sm, on whichever connection has room; (centre, its id for it).

        What was not written, or not taken for want of room, is said again until `until_s`.
        """
        loop = asyncio.get_running_loop()
        while True:
            self.breaker.check(loop.time())
            bind = await self._pick(until_s)
            began_s = loop.time()
            try:
                answer = await bind.submit(body, until_s, answer_until_s)
            except NotSent as error:
                if loop.time() >= until_s or bind.is_up:
                    raise ChannelError(str(error)) from None
                continue
            except UnknownOutcome:
                if bind.is_up:  # silent; a connection that ended is made again, and tells by that
                    self._note_failure(began_s)
                raise
            if answer.status == pdu.OK:
                self._note_success()
                return bind.centre.name, answer.message_id
            if answer.status not in BUSY:
                if answer.status in BROKEN:
                    self._note_failure(began_s)
                else:
                    self._note_success()
                raise ChannelError(f"the SMSC refused it: status {answer.status:#06x}")
            self._note_success()
            if bind.free_at_s >= until_s:
                raise ChannelError(f"the SMSC is busy: status {answer.status:#06x}")

    async def _pick(self, until_s: float) -> Bind:
        """The connection with the most room; waits until there is one. Raises ChannelError."""
        # One that has just ended stands here until its tasks have, and must not be asked again and
        # again meanwhile: nothing of that waits, so nothing else would happen, either.
        while not (ready := [bind for bind in self.binds if bind.is_up]):
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until_s):
                    await self._changed.wait()
            except TimeoutError:
                raise ChannelError("no SMSC is connected: nothing was sent") from None
        now_s = asyncio.get_running_loop().time()
        return min(ready, key=lambda b: (max(0.0, b.free_at_s - now_s), b.waiting / b.smsc.window))

    def _note_failure(self, began_s: float) -> None:
        if self.breaker.failed(began_s, asyncio.get_running_loop().time()):
            self._show_binds()

    def _note_success(self) -> None:
        if self.breaker.succeeded():
            self._show_binds()

    async def _note_given(self, key: str, centre: str, id_: str, who: str) -> None:
        if not id_:
            return
        try:
            await self.store.given(key, centre, comparable(id_), who)
        except (OSError, sqlite3.Error) as error:
            log.warning("state file", extra={"adapter": self.name, "error": type(error).__name__})
        self.inbound.noticed()

    async def _settle(self, key: str, *, was_written: bool) -> None:
        try:
            await self.store.settled(key, was_written=was_written)
        except (OSError, sqlite3.Error) as error:  # what is not settled is never written again
            log.warning("state file", extra={"adapter": self.name, "error": type(error).__name__})

    @property
    def _plain(self) -> tuple[int, int]:
        return self.config.plain_ton, self.config.plain_npi


def _centres(config: Settings, where: str) -> list[Centre]:
    """The centres with their passwords. Raises ConfigError with all that is wrong."""
    found, findings = [], []
    for name, raw in config.smscs.items():
        here = f"{where}.smscs.{name}"
        try:
            smsc = read_settings(Smsc, raw, here)
            password = read_secret(smsc.password_file, f"{here}.password_file")
        except ConfigError as error:
            findings += error.findings
            continue
        found.append(Centre(name, smsc, password))
        if not smsc.tls and smsc.host not in LOOPBACK:
            log.warning("no TLS: the way to this SMSC must be private", extra={"smsc": name})
    if findings:
        raise ConfigError(findings)
    return found


def _key(task: Task) -> str:
    """What must not be written twice, whatever the number of times that it is asked for."""
    match task.effect:
        case DeliverMessage(message=message):
            return f"message/{message}"
        case EndContact(contact=contact):
            return f"end/{contact}/{task.external_id}"
        case CollectFromContact(contact=contact, ask=ask):
            return f"ask/{contact}/{ask}"
        case _:
            return f"effect/{task.id}"
