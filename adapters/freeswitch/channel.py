"""The shell of the FreeSWITCH adapter: connects, performs the router's effects.

One event socket carries commands and events; a second, optional way in is FreeSWITCH's own
``socket`` application (`listener.py`). What is wanted of each call stands in `calls.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from adapters import Crew, Facts, Fence, is_cancelled, read_settings, watch_store
from adapters.freeswitch import esl
from adapters.freeswitch.board import Board, LiveCall
from adapters.freeswitch.connection import Connection
from adapters.freeswitch.dialling import Dialler
from adapters.freeswitch.ears import EVENTS, Ears
from adapters.freeswitch.listener import Listener
from adapters.freeswitch.owner import Owner
from adapters.freeswitch.playing import Player
from adapters.freeswitch.reconcile import Reconciler
from adapters.freeswitch.settings import Settings, read_password
from router.channel import (
    Channel,
    ChannelError,
    ChannelLost,
    CollectFromContact,
    ConferenceContact,
    ConnectAgent,
    DisconnectAgent,
    EndContact,
    HoldContact,
    MonitorContact,
    MoveAgent,
    OfferContact,
    RecordContact,
    RescindOffer,
    Router,
    StartContact,
    StopMonitor,
    Task,
    TreatContact,
    UnknownOutcome,
)
from router.errors import ConfigError

TRIED = 10_000
"""So many of them are remembered."""


class FreeSwitch(Channel):
    """Calls of one FreeSWITCH."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        where = f"adapters.{name}"
        try:
            esl.word(name)  # it stands on every channel of ours
        except esl.Unsafe as error:
            raise ConfigError([f"{where}: the adapter's name: {error}"]) from None
        self.config = read_settings(Settings, settings, where)
        self._password = read_password(self.config.password_file, where)
        self._fence = Fence()
        self._crew = Crew(name, most=4 * self.config.calls)
        self._facts = Facts(name, most=8 * self.config.calls)
        self.board = Board(name, self.config, router, self._crew, self._facts)
        self._dialler = Dialler(self.board)
        self._ears = Ears(self.board, self._dialler)
        self._player = Player(self.board)
        self._owner = Owner(name, secrets.token_hex(8), self.config)
        self._listener = Listener(self.board, self._ears)
        self._tried: dict[str, None] = {}
        """Effects of this process that may have dialled a customer."""

    # -- what the supervisor calls ---------------------------------------------------------------

    async def run(self) -> None:
        """Connect, find out who is there, serve until the connection is lost."""
        self.router.state("starting")
        self._facts.go_on()
        await self._owner.wait_for_turn(self._connect)
        connection = await self._connect()
        lost: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(connection.run(), name=f"{self.name}:read")
                group.create_task(self._serve(connection), name=f"{self.name}:serve")
        except* ChannelError as errors:
            lost = errors.exceptions[0]
        finally:
            self.board.stopped()
            connection.close("the adapter stops")
            self.router.state("down")
            await self._listener.stop()
            await self._crew.stop()
            if is_cancelled():  # not only the connection is over: facts need none
                await self._facts.stop()
        raise ChannelLost(str(lost) if lost is not None else "the connection ended")

    async def _connect(self) -> Connection:
        config = self.config
        return await Connection.open(
            config.host, config.port, self._password, config.reply_s, self._ears.hear
        )

    async def _serve(self, connection: Connection) -> None:
        self.board.connection = connection
        await self._owner.take(connection)
        frame = await connection.ask(esl.command(f"event json {EVENTS}"))
        if not frame.reply.startswith("+OK"):
            raise ChannelLost("FreeSWITCH does not tell events")
        await Reconciler(self.board, self._ears).run()
        await self._listener.start()
        self.board.is_serving = True
        self.router.state("up")
        self._crew.start(self._watch_store(), "store")
        while True:
            await asyncio.sleep(self.config.ping_s)
            await self._owner.beat(connection)

    async def _watch_store(self) -> None:
        await watch_store(
            self.router,
            after_s=self.config.fallback_after_s,
            away=self.board.fall_back,
            back=self.board.say_again,
        )

    @property
    def listening_on(self) -> int:
        """The port of the outbound socket; 0: nobody listens."""
        return self._listener.port

    async def perform(self, task: Task) -> None:
        """Carry out one effect."""
        self._fence.check(task.epoch)
        self.board.epoch, self.board.workspace = task.epoch, task.workspace
        self.board.link  # noqa: B018  raises ChannelLost: nothing is done without a connection
        try:
            await self._carry_out(task)
        except esl.Unsafe as error:
            raise ChannelError(str(error)) from None

    async def _carry_out(self, task: Task) -> None:
        effect = task.effect
        match effect:
            case OfferContact(endpoint=""):
                pass  # the agent answers at the desk
            case OfferContact():
                await self._offer(task, effect)
            case ConnectAgent():
                await self._dialler.ring(self._call_of(task), task, effect, taken=True)
            case StartContact():
                self._tried[task.id] = None
                while len(self._tried) > TRIED:
                    self._tried.pop(next(iter(self._tried)))
                await self._dialler.start(task, effect)
            case RescindOffer(reason=reason):
                cause = "LOSE_RACE" if reason == "accepted_by_another" else "ORIGINATOR_CANCEL"
                await self._drop(effect.reservation, cause)
            case DisconnectAgent():
                await self._drop(effect.reservation, "NORMAL_CLEARING")
            case HoldContact(held=held):
                call = self._call_of(task)
                call.is_held = held
                await self._note(call, "cr_held", str(held).lower())
                await self.board.settle(call)
            case MoveAgent():
                await self._move(self._call_of(task), effect)
            case ConferenceContact(together=together):
                call = self._call_of(task)
                call.is_together, call.is_held = together, not together
                await self._note(call, "cr_held", str(call.is_held).lower())
                await self.board.settle(call)
            case TreatContact():
                await self._player.treat(self._call_of(task), effect)
            case CollectFromContact():
                await self._player.collect(self._call_of(task), effect)
            case MonitorContact():
                await self._monitor(self._call_of(task), effect)
            case StopMonitor(monitor=monitor):
                await self._stop_monitor(monitor)
            case RecordContact():
                await self._record(self._call_of(task), effect)
            case EndContact():
                await self._end(task, effect)
            case _:
                raise ChannelError(f"calls have no {type(effect).__name__}")

    async def find(self, task: Task) -> bool:
        """Whether what this effect dials is there. Raises UnknownOutcome, ChannelLost."""
        effect, board = task.effect, self.board
        board.workspace = task.workspace
        match effect:
            case ConnectAgent(reservation=reservation):
                return await self._exists(board.id_of("leg", reservation))
            case MonitorContact(monitor=monitor):
                return await self._exists(board.id_of("monitor", monitor))
            case StartContact(contact=contact, reservation=reservation):
                if await self._exists(board.id_of("customer", contact, reservation)):
                    return True
                if task.id.partition("-")[0] == str(task.epoch) and task.id not in self._tried:
                    return False  # decided by this process, and never sent
                leg = board.id_of("leg", reservation)
                frame = await board.link.ask(esl.api(f"uuid_getvar {leg} cr_dialled"))
                if not frame.is_refused and frame.reply != "true":
                    return False  # the agent is on the line, the customer was not dialled yet
                raise UnknownOutcome("the customer may have been rung before: not again")
            case _:
                raise UnknownOutcome(f"{self.name} cannot tell")

    async def _exists(self, uuid: str) -> bool:
        frame = await self.board.link.ask(esl.api(f"uuid_exists {uuid}"))
        return frame.reply.strip() == "true"

    # -- effects ---------------------------------------------------------------------------------

    def _call_of(self, task: Task) -> LiveCall:
        board = self.board
        found = board.calls.get(task.consult_of or task.external_id)
        if found is None:
            found = board.begun.get(getattr(task.effect, "contact", ""))
        if found is None:
            raise ChannelError("the caller is not here any more")
        if not task.consult_of and not found.contact:
            found.contact = str(getattr(task.effect, "contact", ""))
        return found

    async def _offer(self, task: Task, effect: OfferContact) -> None:
        board = self.board
        if not task.external_id and not task.consult_of:
            if self.config.dial_first == "customer":
                return  # the agent answers at the desk; the phone rings when the customer is there
            board.begun.setdefault(effect.contact, LiveCall(contact=effect.contact))
        await self._dialler.ring(self._call_of(task), task, effect, taken=False)

    async def _drop(self, reservation: str, cause: str) -> None:
        board = self.board
        leg_of = board.legs.get(board.id_of("leg", reservation))
        if leg_of is None:
            return  # gone by itself
        call, leg = leg_of
        await board.drop(call, leg, cause if not leg.is_up else "NORMAL_CLEARING")
        if not call.customer and not call.legs:
            board.begun.pop(call.contact, None)
        await board.settle(call)

    async def _move(self, call: LiveCall, effect: MoveAgent) -> None:
        leg = call.legs.get(effect.reservation)
        if leg is None:
            raise ChannelError("the consulted agent is not here any more")
        self.board.consults.pop(leg.contact, None)
        leg.role, leg.contact = "agent", effect.contact
        call.consult, call.serving = "", leg.reservation
        call.is_held = call.is_together = False
        link = self.board.link
        await link.ask(esl.api(f"uuid_setvar {leg.uuid} cr_role agent"))
        await self._note(call, "cr_held", "false")
        await self._note(call, "cr_serving", leg.reservation)
        await self.board.settle(call)

    async def _note(self, call: LiveCall, variable: str, value: str) -> None:
        """Write on the customer's channel what the next router must know."""
        if call.is_there:
            line = f"uuid_setvar {call.customer} {variable} {esl.word(value)}"
            await self.board.link.ask(esl.api(line))

    async def _monitor(self, call: LiveCall, effect: MonitorContact) -> None:
        monitor = self.board.monitors.get(effect.monitor)
        if monitor is None:
            await self._dialler.listen_in(call, effect)
            return
        if monitor.mode != effect.mode:
            monitor.mode = effect.mode
            await self._ears.tune(monitor)

    async def _stop_monitor(self, id_: str) -> None:
        monitor = self.board.monitors.get(id_)
        uuid = monitor.uuid if monitor is not None else self.board.id_of("monitor", id_)
        if monitor is not None:
            monitor.is_dropped = True
        await self.board.link.ask(esl.api(f"uuid_kill {uuid}"))

    async def _record(self, call: LiveCall, effect: RecordContact) -> None:
        """``uuid_record``: masked while it is paused. After the documentation, not recorded."""
        path = f"{self.config.recordings}/{esl.word(effect.recording)}.wav"
        if call.recording != effect.recording:
            if not effect.on:
                return  # it never began
            action = "start"
        elif call.is_recording == effect.on:
            return
        else:
            action = "unmask" if effect.on else "mask"
        await self.board.link.do(f"uuid_record {call.customer} {action} {path}")
        call.recording, call.is_recording = effect.recording, effect.on
        await self._note(call, "cr_recording", f"{effect.recording}/{'on' if effect.on else 'off'}")

    async def _end(self, task: Task, effect: EndContact) -> None:
        board = self.board
        if not task.external_id and effect.contact in board.consults:
            call = board.consults[effect.contact]
            for leg in [x for x in call.legs.values() if x.contact == effect.contact]:
                await board.drop(call, leg, "NORMAL_CLEARING")
            await board.settle(call)
            return
        found = board.calls.get(task.external_id) or board.begun.get(effect.contact)
        if found is None:
            return  # gone by itself
        if effect.outcome == "deflected" and found.is_there and self.config.deflect_to:
            await board.send_on(found, self.config.deflect_to)
        elif not (found.is_there and await self._player.farewell(found, effect)):
            await board.hang_up(found)
