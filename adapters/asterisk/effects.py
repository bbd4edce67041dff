"""The router's effects, carried out at the PBX."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import UTC, datetime

from adapters.asterisk import ari
from adapters.asterisk.announce import media_of, treatment
from adapters.asterisk.calls import Ask, Call, Leg, Monitor, State
from adapters.asterisk.conversation import Conversation
from adapters.asterisk.switchboard import Switchboard
from router.channel import (
    ChannelError,
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

NUMBER = re.compile(r"\+?[0-9*#]{2,32}")
"""What may be put into a dial string."""
MARGIN_S = 2.0
"""A phone rings this much longer than the offer, so that the router ends it and not the PBX."""
CUSTOMER_S = 18.0
"""A customer who is called for nobody: the effect's own deadline is 20 s."""


class Effects:
    """Carries out one effect after the other for each contact."""

    def __init__(self, board: Switchboard, router: Router, talk: Conversation) -> None:
        self.board = board
        self.book = board.book
        self.router = router
        self.talk = talk

    async def carry_out(self, task: Task) -> None:
        """Raises ChannelError when it was not."""
        effect = task.effect
        match effect:
            case OfferContact():
                await self._offer(task, effect)
            case ConnectAgent():
                await self._connect(task, effect)
            case RescindOffer(reservation=reservation, reason=reason):
                elsewhere = reason == "accepted_by_another"
                await self._take_away(
                    task, reservation, "answered_elsewhere" if elsewhere else "normal"
                )
            case DisconnectAgent(reservation=reservation):
                await self._take_away(task, reservation, "normal")
            case HoldContact() | MoveAgent() | ConferenceContact():
                await self._rearrange(task, effect)
            case TreatContact():
                await self._treat(task, effect)
            case CollectFromContact():
                await self._collect(task, effect)
            case StartContact():
                await self._start(task, effect)
            case EndContact():
                await self._end(task, effect)
            case MonitorContact():
                await self._monitor(task, effect)
            case StopMonitor(monitor=monitor):
                await self.talk.stop_monitor(self._call(task), monitor)
            case RecordContact():
                await self._record(task, effect)
            case _:
                raise ChannelError(f"calls carry no {type(effect).__name__}")

    # -- agents' legs --------------------------------------------------------------------------

    async def _offer(self, task: Task, effect: OfferContact) -> None:
        if not effect.endpoint:
            return
        call = self.book.of(task)
        if call is None and (task.external_id or task.consult_of):
            raise ChannelError("customer_gone")
        if call is None:  # we are to call the customer
            if self.board.settings.dial_first == "customer":
                return
            call = self.book.begin(contact=effect.contact)
        leg = call.agents.get(effect.reservation)
        if leg is not None and not leg.is_waiting:
            return  # restated: it rings
        if effect.reservation in call.rung:  # it has rung, and ended unheard before a restart
            self.talk.agent_not_reached(effect.reservation, "not_reached")
            return
        until_s = effect.deadline_at_us / 1e6 - datetime.now(UTC).timestamp() + MARGIN_S
        if until_s <= 0:
            until_s = self.board.settings.ring_s
        await self.board.ring_agent(call, task, effect.reservation, effect.endpoint, until_s)

    async def _connect(self, task: Task, effect: ConnectAgent) -> None:
        call = self._call(task)
        leg = call.agents.get(effect.reservation)
        if leg is not None and leg.lives and not leg.is_waiting:
            if leg.is_up:
                self.talk.say_connected(leg)
            return  # it rings since the offer
        if effect.reservation in call.rung:
            raise ChannelError("not_reached")
        if not effect.endpoint:
            raise ChannelError("the agent has no endpoint")
        ring_s = float(self.board.settings.ring_s)
        await self.board.ring_agent(call, task, effect.reservation, effect.endpoint, ring_s)

    async def _take_away(self, task: Task, reservation: str, reason: str) -> None:
        call = self.book.of(task)
        leg = call.agents.get(reservation) if call is not None else None
        if call is not None and self.talk.was_calling(call, reservation):
            self.board.clear(call)  # given up before the customer has picked up
            return
        if call is None or leg is None:
            return
        await self.board.hang_up(leg, reason)
        async with call.lock:
            await self.board.arrange(call)

    async def _rearrange(
        self, task: Task, effect: HoldContact | MoveAgent | ConferenceContact
    ) -> None:
        call = self._call(task)
        match effect:
            case HoldContact(held=held):
                call.held = held
            case MoveAgent(reservation=reservation, contact=contact):
                leg = call.agents.get(reservation)
                if leg is None or not leg.lives:
                    raise ChannelError("the consulted agent's leg is gone")
                leg.contact = contact
                call.held = call.conference = False
            case ConferenceContact(together=together):
                call.conference = together
                call.held = call.held or not together
        async with call.lock:
            await self.board.arrange(call)

    # -- what the customer hears ---------------------------------------------------------------

    async def _treat(self, task: Task, effect: TreatContact) -> None:
        call = self._call(task)
        media = treatment(effect, self.board.settings)
        if effect.text and not media and effect.kind != "position":
            raise ChannelError("no sound for this text: see `announcements`")
        async with call.lock:
            customer = self._customer(call)
            if effect.music:
                name = "CHANNEL(musicclass)"
                await self.board.ask(ari.set_variable(customer.id, name, effect.music))
                if customer.place == self.board.names.hold:
                    customer.place = ""  # enters again, to the other music
                    await self.board.arrange(call)
            if media:
                await self.board.ask(ari.play(customer.id, media, self.playback(task)))

    def playback(self, task: Task) -> str:
        """An id that is the same when it is asked again."""
        return f"{self.board.names.app}-play-{task.id}"

    async def _collect(self, task: Task, effect: CollectFromContact) -> None:
        call = self._call(task)
        if call.ask is not None and call.ask.effect.ask == effect.ask:
            return  # restated: it is being asked
        media = media_of(effect.prompt, self.board.settings)
        if not media:
            raise ChannelError("no sound for this question: see `announcements`")
        async with call.lock:
            customer = self._customer(call)
            ask = Ask(effect, media, self.playback(task))
            self.talk.put_question(call, ask)
            await self.board.ask(ari.play(customer.id, media, ask.playback))

    async def _record(self, task: Task, effect: RecordContact) -> None:
        call = self._call(task)
        try:
            await self._switch_recording(call, effect)
        except ChannelError as error:
            call.recordings.pop(effect.recording, None)
            self.talk.tell(
                effect.recording, self.router.recording_ended, effect.recording, str(error)
            )
            raise

    async def _switch_recording(self, call: Call, effect: RecordContact) -> None:
        name = effect.recording
        async with call.lock:
            if name not in call.recordings:
                if not effect.on:
                    return
                talk = self.board.names.talk(call)
                await self.board.ensure_bridge(call, talk)
                format_ = self.board.settings.recording_format
                call.recordings[name] = True
                # 409: it runs since before a restart, or is paused.
                if not await self.board.try_(ari.record(talk, name, format_), 409):
                    await self.board.try_(ari.pause_recording(name, on=False), 404, 409)
            else:
                await self.board.ask(ari.pause_recording(name, on=not effect.on))
                call.recordings[name] = effect.on

    # -- beginning and ending ------------------------------------------------------------------

    async def _start(self, task: Task, effect: StartContact) -> None:
        number = task.customer.address
        if not self.board.settings.trunk:
            raise ChannelError("no trunk is configured: nobody can be called")
        if not NUMBER.fullmatch(number):
            raise ChannelError("the address is no number")
        if effect.not_after_us and datetime.now(UTC).timestamp() * 1e6 > effect.not_after_us:
            raise ChannelError("too_late")
        call = self.book.of(task) or self.book.begin(contact=effect.contact)
        if call.starting is not None and call.starting.id == task.id:
            return
        call.starting = task
        agent = call.agents.get(effect.reservation)
        waits_for_agent = effect.reservation and self.board.settings.dial_first == "agent"
        if waits_for_agent and (agent is None or agent.is_waiting):
            ring_s = float(self.board.settings.ring_s)
            try:
                await self.board.ring_agent(call, task, effect.reservation, effect.endpoint, ring_s)
            except ChannelError as error:
                self.talk.agent_not_reached(effect.reservation, str(error))
                raise
        elif waits_for_agent and agent is not None and not agent.is_up:
            pass  # the customer is dialled when the agent picks up
        else:
            self.talk.dial_customer(call)
        if not effect.reservation:
            await self._wait_for_customer(call)

    async def _wait_for_customer(self, call: Call) -> None:
        """For nobody in particular: what came of it is this effect's outcome."""
        customer = call.customer
        if customer is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CUSTOMER_S):
                    await customer.settled.wait()
        if customer is None or not customer.is_up:
            self.board.clear(call)
            raise ChannelError(customer.word() if customer is not None else "not_reached")

    async def _end(self, task: Task, effect: EndContact) -> None:
        call = self.book.of(task)
        if call is None:
            return
        if task.consult_of:
            for leg in list(call.agents.values()):
                if leg.contact == effect.contact:
                    await self.board.hang_up(leg)
            async with call.lock:
                await self.board.arrange(call)
            return
        deflected = effect.outcome == "deflected" and bool(self.board.settings.deflect_to)
        await self.talk.end(call, effect.text, deflected=deflected)

    # -- supervisors ---------------------------------------------------------------------------

    async def _monitor(self, task: Task, effect: MonitorContact) -> None:
        call = self._call(task)
        known = call.monitors.get(effect.monitor)
        if known is not None:
            known.mode = effect.mode
            known.reservation = effect.reservation
            if known.leg.is_up:
                await self.talk.listen(call, known)
            return
        leg = Leg(self.board.names.monitor(effect.monitor), "monitor", monitor=effect.monitor)
        monitor = Monitor(effect.monitor, effect.reservation, effect.mode, leg)
        call.monitors[effect.monitor] = monitor
        self.book.add(call, leg)
        args = ari.arguments(
            "monitor", effect.monitor, call.external_id, effect.reservation, effect.mode
        )
        variables = {"CR_MONITOR": effect.monitor, "CR_EPOCH": str(task.epoch)}
        try:
            await self.board.ring(
                leg, effect.endpoint, args, timeout_s=self.board.settings.ring_s,
                variables=variables,
            )  # fmt: skip
        except ChannelError as error:
            call.monitors.pop(effect.monitor, None)
            self.board.hang_up_soon(leg)
            self.talk.tell(effect.monitor, self.router.monitor_ended, effect.monitor, str(error))
            raise

    # -- finding -------------------------------------------------------------------------------

    def find(self, task: Task) -> bool:
        """Whether this was carried out before a restart: what the PBX has is in the book by now."""
        call = self.book.of(task)
        if call is None:
            return False
        match task.effect:
            case ConnectAgent(reservation=reservation):
                leg = call.agents.get(reservation)
                if leg is None or not leg.lives or leg.is_waiting:
                    return False
                if leg.is_up:
                    self.talk.say_connected(leg)
                return True
            case StartContact():
                return self._find_start(call, task)
            case MonitorContact(monitor=monitor):
                return monitor in call.monitors
            case _:
                raise UnknownOutcome("the PBX cannot be asked about this")

    def _find_start(self, call: Call, task: Task) -> bool:
        if call.customer is None or not call.customer.lives:
            return False
        call.starting = task
        if call.customer.state is State.UP:
            self.talk.say_started(call)
        return True

    def _call(self, task: Task) -> Call:
        call = self.book.of(task)
        if call is None:
            raise ChannelError("the PBX has no such call")
        return call

    def _customer(self, call: Call) -> Leg:
        customer = call.customer
        if customer is None or not customer.is_up:
            raise ChannelError("the customer is not there")
        return customer
