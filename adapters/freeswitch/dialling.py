"""Rings agents, supervisors and customers: every ``originate`` of this adapter.

Channels that we dial get ids made from the reservation, so the same effect again finds the channel
that rings already, also after a restart. Failures are told apart by BACKGROUND_JOB's words and
CHANNEL_HANGUP's cause (recorded: busy-then-next-agent, no-answer-and-cancel, errors).
"""

from __future__ import annotations

import asyncio
import re
import uuid as uuids

from adapters.freeswitch import esl
from adapters.freeswitch.board import Board, LiveCall, Monitor
from adapters.freeswitch.calls import PARKED, Leg
from router.channel import (
    ChannelError,
    ConnectAgent,
    MonitorContact,
    OfferContact,
    Refused,
    StartContact,
    Task,
    UnknownOutcome,
)

WAIT_S = 15.0
"""So long a customer without an agent is waited for, before nobody knows."""


class Dialler:
    """Dials, and goes on when somebody has answered."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._waiting: dict[str, asyncio.Future[str]] = {}

    # -- agents --------------------------------------------------------------------------------

    async def ring(
        self, call: LiveCall, task: Task, effect: OfferContact | ConnectAgent, *, taken: bool
    ) -> None:
        """Ring the agent's endpoint, once for each reservation. Raises ChannelError."""
        board = self.board
        leg = call.legs.get(effect.reservation)
        if leg is not None:
            leg.is_taken = leg.is_taken or taken
            if taken and leg.is_up:
                board.take(call, leg)
                board.tell(call, lambda: board.router.connected(leg.reservation))
            return
        auto = isinstance(effect, OfferContact) and effect.auto_accept
        role = "consult" if task.consult_of else "agent"
        await self._ring(call, effect.reservation, effect.contact, effect.endpoint, role,
                         taken=taken, auto=auto, caller=task.customer.address)  # fmt: skip

    async def _ring(
        self, call: LiveCall, reservation: str, contact: str, endpoint: str, role: str, *,
        taken: bool, auto: bool = False, caller: str = "",
    ) -> None:  # fmt: skip
        board = self.board
        board.breaker.check(asyncio.get_running_loop().time())
        leg = Leg(
            board.id_of("leg", reservation), reservation, contact,
            "consult" if role == "consult" else "agent", is_taken=taken,
        )  # fmt: skip
        values = {
            "origination_uuid": leg.uuid,
            "cr_router": board.name,
            "cr_role": role,
            "cr_call": call.customer,
            "cr_contact": contact,
            "cr_reservation": reservation,
            "cr_epoch": str(board.epoch),
            "originate_timeout": str(round(board.config.ring_s)),
            "ignore_early_media": "true",
            "origination_caller_id_number": shown(caller),
            "sip_auto_answer": "true" if auto else "",
        }
        board.add_leg(call, leg)
        try:
            await self._originate(values, endpoint, "park", leg.uuid)
        except BaseException:
            if not leg.is_up:
                # The router repeats the effect; if it rings all the same, it is found by its id.
                board.forget_leg(call, leg)
                board.legs.pop(leg.uuid, None)
            raise

    async def _originate(
        self, values: dict[str, str], endpoint: str, application: str, uuid: str
    ) -> None:
        """Raises ChannelError: refused; ChannelLost: nobody knows, `find` asks."""
        board = self.board
        try:
            line = f"originate {esl.variables(values)}{esl.word(endpoint)} &{application}"
        except esl.Unsafe as error:
            raise ChannelError(f"cannot be dialled: {error}") from None
        job = str(uuids.uuid4())
        board.jobs[job] = uuid
        if len(board.jobs) > 4 * board.config.calls:
            board.jobs.pop(next(iter(board.jobs)))  # jobs of connections that are gone
        frame = await board.link.ask(esl.bgapi(line, job))
        if frame.is_refused:
            board.jobs.pop(job, None)
            raise ChannelError(f"originate: {frame.reply[:100]}")

    # -- supervisors ---------------------------------------------------------------------------

    async def listen_in(self, call: LiveCall, effect: MonitorContact) -> None:
        """Ring a supervisor, whose channel runs ``eavesdrop`` on the agent's leg.

        After the documentation, not recorded. The listener's keys are switched off: whoever may
        listen must not be able to speak by pressing one. Raises ChannelError.
        """
        board = self.board
        leg = call.leg(effect.reservation)
        if leg is None:
            raise ChannelError("the agent's leg is not up: nothing to be heard")
        monitor = Monitor(
            effect.monitor, board.id_of("monitor", effect.monitor), leg.uuid, effect.mode
        )
        values = {
            "origination_uuid": monitor.uuid,
            "cr_router": board.name,
            "cr_role": "monitor",
            "cr_call": call.customer,
            "cr_contact": effect.contact,
            "cr_reservation": effect.monitor,
            "cr_epoch": str(board.epoch),
            "originate_timeout": str(round(board.config.ring_s)),
            "ignore_early_media": "true",
            "cr_leg": leg.uuid,
            "eavesdrop_enable_dtmf": "false",
            **whispering(effect.mode),
        }
        board.monitors[effect.monitor] = monitor
        try:
            await self._originate(values, effect.endpoint, f"eavesdrop({leg.uuid})", monitor.uuid)
        except ChannelError:
            board.monitors.pop(effect.monitor, None)
            raise

    # -- customers -------------------------------------------------------------------------------

    async def start(self, task: Task, effect: StartContact) -> None:
        """Dial a customer for an agent, in the order of the setting. Raises ChannelError."""
        board = self.board
        if not board.config.dial:
            raise ChannelError("no setting `dial`: customers cannot be dialled")
        call = board.begun.setdefault(effect.contact, LiveCall(contact=effect.contact))
        if call.customer:
            return  # the same effect again: it is being dialled
        call.start = effect.reservation or effect.contact
        call.endpoint = effect.endpoint
        call.number = task.customer.address
        call.caller_id = board.config.caller_id or task.our_address
        leg = call.legs.get(effect.reservation)
        agent_first = board.config.dial_first == "agent" and effect.reservation and effect.endpoint
        if not agent_first or (leg is not None and leg.is_up):
            await self._dial(call, effect.reservation)
            if not effect.reservation:
                await self._wait(call)
        elif leg is not None:
            leg.is_taken = True
        else:
            await self._ring(
                call, effect.reservation, effect.contact, effect.endpoint, "agent",
                taken=True, caller=task.customer.address,
            )  # fmt: skip

    async def _dial(self, call: LiveCall, reservation: str) -> None:
        board = self.board
        board.breaker.check(asyncio.get_running_loop().time())
        number = re.sub(r"[\s()./-]", "", call.number)
        if not re.fullmatch(r"\+?[0-9A-Za-z_*#]{1,64}", number):
            raise ChannelError("the customer's address is no number that can be dialled")
        uuid = board.id_of("customer", call.contact, reservation)
        values = {
            "origination_uuid": uuid,
            "cr_router": board.name,
            "cr_role": "customer",
            "cr_contact": call.contact,
            "cr_reservation": reservation,
            "cr_epoch": str(board.epoch),
            "originate_timeout": str(round(board.config.dial_s)),
            "ignore_early_media": "true",
            "park_after_bridge": "true",
            "origination_caller_id_number": shown(call.caller_id),
        }
        call.customer = uuid
        board.calls[uuid] = call
        if not reservation:
            self._waiting[uuid] = asyncio.get_running_loop().create_future()
        try:
            leg = call.leg(reservation)
            if leg is not None:  # a router that starts later must know that it happened
                await board.link.do(f"uuid_setvar {leg.uuid} cr_dialled true")
            endpoint = board.config.dial.replace("{number}", number)
            await self._originate(values, endpoint, "park", uuid)
        except ChannelError:
            if not call.is_there:
                board.calls.pop(uuid, None)
                call.customer = ""
            raise

    async def _wait(self, call: LiveCall) -> None:
        """Without an agent nobody else hears of a failure."""
        waiting = self._waiting[call.customer]
        try:
            async with asyncio.timeout(WAIT_S):
                word = await waiting
        except TimeoutError:
            raise UnknownOutcome("the customer's phone rings") from None
        finally:
            self._waiting.pop(call.customer, None)
        if word:
            raise ChannelError(word)

    # -- what comes of it ------------------------------------------------------------------------

    def agent_ready(self, call: LiveCall) -> None:
        """The agent of an outbound contact is on the line: the customer next, or both now."""
        if call.is_there:
            self._both(call)
        elif not call.customer:
            self.board.later(self._dial_or_fail(call, call.start), "dial")

    async def _dial_or_fail(self, call: LiveCall, reservation: str) -> None:
        try:
            await self._dial(call, reservation)
        except ChannelError as error:
            self.customer_failed(call, str(error))
            raise

    def customer_up(self, call: LiveCall) -> None:
        """The dialled customer has picked up: the router is told, then the agent joined."""
        call.is_there = True
        call.at = PARKED
        waiting = self._waiting.get(call.customer)
        if waiting is not None and not waiting.done():
            waiting.set_result("")
        self.board.tell(call, lambda: self._begun(call))

    async def _begun(self, call: LiveCall) -> None:
        board = self.board
        try:
            await board.router.started(call.contact, call.customer)
        except Refused:  # over for the router meanwhile: nobody else will hang up
            board.later(board.hang_up(call), "hang up")
            return
        call.is_begun = True
        leg = call.legs.get(call.start)
        if leg is not None and leg.is_up:
            self._both(call)
        elif leg is None and call.endpoint:
            board.later(self._ring_for_customer(call), "ring")
        else:
            board.settle_soon(call)

    async def _ring_for_customer(self, call: LiveCall) -> None:
        """dial_first: customer. They hear music until the agent is there."""
        board = self.board
        reservation = call.start
        board.settle_soon(call)
        try:
            await self._ring(call, reservation, call.contact, call.endpoint, "agent",
                             taken=True, caller=call.number)  # fmt: skip
        except ChannelError as error:
            why = str(error)
            board.tell(call, lambda: board.router.failed(reservation, why, busy=True))

    def _both(self, call: LiveCall) -> None:
        board = self.board
        reservation, call.start = call.start, ""
        leg = call.legs.get(reservation)
        if leg is not None:
            board.take(call, leg)
            board.tell(call, lambda: board.router.connected(reservation))

    def customer_failed(self, call: LiveCall, word: str) -> None:
        """The customer was not reached; the agent's leg goes with it."""
        board = self.board
        reservation = call.start
        waiting = self._waiting.get(call.customer)
        board.forget(call, "ORIGINATOR_CANCEL")
        if waiting is not None and not waiting.done():
            waiting.set_result(word or "not_reached")
        elif reservation:
            board.tell(call, lambda: board.router.failed(reservation, word or "not_reached"))


def whispering(mode: str) -> dict[str, str]:
    """Who hears the listener: by FreeSWITCH's own test (tests/unit/switch_eavesdrop.c) the channel
    that is listened to with ``whisper_bleg``, the other side with ``whisper_aleg``.
    """
    return {
        "eavesdrop_whisper_bleg": "true" if mode in ("whisper", "barge") else "false",
        "eavesdrop_whisper_aleg": "true" if mode == "barge" else "false",
    }


def shown(number: str) -> str:
    """A caller's number as a phone may show it: digits and what callers' ids have besides."""
    return re.sub(r"[^0-9A-Za-z+*#@._-]", "", number)[:64]
