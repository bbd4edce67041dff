"""What happens between people: picking up, hanging up, digits, listening in; told to the router.

Everything here begins with an event or an effect and ends with the legs in their places. Facts go
to the router first (`connected` is refused to the second of two phones), then legs are moved.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import ParamSpec

from adapters import TRY_AGAIN, Facts, insist
from adapters.asterisk import ari
from adapters.asterisk.announce import media_of
from adapters.asterisk.calls import BROKEN, Ask, Call, Leg, Monitor, State
from adapters.asterisk.switchboard import Switchboard
from router.channel import ChannelError, Refused, Router

log = logging.getLogger(__name__)

P = ParamSpec("P")

FAREWELL_S = 15.0
"""A farewell is cut off after so long."""


class Conversation:
    """Consequences of what callers, agents and supervisors do."""

    def __init__(self, board: Switchboard, router: Router, facts: Facts) -> None:
        self.board = board
        self.book = board.book
        self.router = router
        self.facts = facts

    def tell(
        self, whose: str, call: Callable[P, Awaitable[object]], *args: P.args, **named: P.kwargs
    ) -> None:
        """A fact that nobody else would tell, in its order for each `whose`, until it is taken."""
        with suppress(ChannelError):  # too many wait: the log says so, and `live` who is there
            self.facts.later(whose, call, *args, **named)

    # -- an agent picks up ---------------------------------------------------------------------

    def say_connected(self, leg: Leg) -> None:
        """The agent's leg is up: tell the router, then join it."""
        self.board.crew.start(self._connect(leg), "connected")

    async def _connect(self, leg: Leg) -> None:
        call = leg.call
        if call is None or not leg.is_up:
            return
        start = call.start()
        if start is not None and start.reservation == leg.reservation:
            await self._join_outbound(call, leg)
            return
        try:
            await insist(lambda: self.router.connected(leg.reservation))
        except Refused:
            self.board.hang_up_soon(leg, "answered_elsewhere")
            return
        except TRY_AGAIN:
            self.board.hang_up_soon(leg)
            raise
        leg.is_joined = True
        if leg.contact == call.contact and not leg.place:
            call.held = call.conference = False
        await self._join(call, leg)

    async def _join(self, call: Call, leg: Leg) -> None:
        try:
            async with call.lock:
                await self.board.arrange(call)
        except ChannelError as error:
            self.board.hang_up_soon(leg)
            self.tell(leg.reservation, self.router.failed, leg.reservation, str(error))

    def agent_not_reached(self, reservation: str, reason: str) -> None:
        """The agent's phone is at fault."""
        self.tell(reservation, self.router.failed, reservation, reason, busy=True)

    # -- a customer whom we call ---------------------------------------------------------------

    def dial_customer(self, call: Call) -> None:
        """Begin to ring the customer of a `StartContact`; once for each."""
        task = call.starting
        if task is None or (call.customer is not None and call.customer.lives):
            return
        external_id = self.board.names.customer(task.id)
        leg = Leg(external_id, "customer", call.contact)
        self.book.link(call, external_id)
        self.book.add(call, leg)
        self.board.crew.start(self._dial_customer(call, leg), "call")

    async def _dial_customer(self, call: Call, leg: Leg) -> None:
        task, start = call.starting, call.start()
        assert task is not None
        assert start is not None
        endpoint = self.board.settings.trunk.replace("{number}", task.customer.address)
        args = ari.arguments("out", call.contact, start.reservation, str(task.epoch))
        variables = {"CR_CONTACT": call.contact, "CR_EPOCH": str(task.epoch)}
        if task.our_address:
            # Whom the carrier is told: after Asterisk's documentation, not recorded.
            variables["CALLERID(num)"] = task.our_address
            variables["CONNECTEDLINE(num,i)"] = task.our_address
        try:
            await self.board.ring(
                leg, endpoint, args, timeout_s=self.board.settings.ring_s, variables=variables
            )
        except ChannelError as error:
            await self.customer_not_reached(call, str(error))

    def say_started(self, call: Call) -> None:
        """The customer has picked up."""
        self.board.crew.start(self._started(call), "started")

    async def _started(self, call: Call) -> None:
        start, customer = call.start(), call.customer
        if start is None or customer is None:
            return
        customer.is_joined = True
        try:
            await insist(lambda: self.router.started(call.contact, call.external_id))
        except Refused:  # over for the router meanwhile: nobody else will hang up
            self.board.clear(call)
            return
        reservation = start.reservation
        if not reservation:
            self.board.settle(call)
            return
        agent = call.agents.get(reservation)
        if agent is not None and agent.is_up:
            await self._join_outbound(call, agent)
        elif agent is None and call.starting is not None:
            await self._ring_second(call, start.endpoint, reservation)

    async def _ring_second(self, call: Call, endpoint: str, reservation: str) -> None:
        """Customer first: now the agent, while the customer hears music."""
        self.board.settle(call)
        assert call.starting is not None
        ring_s = float(self.board.settings.ring_s)
        try:
            await self.board.ring_agent(call, call.starting, reservation, endpoint, ring_s)
        except ChannelError as error:
            self.agent_not_reached(reservation, str(error))

    async def _join_outbound(self, call: Call, agent: Leg) -> None:
        """Both are up: together. Only the agent is: the customer's turn."""
        agent.is_joined = True
        customer = call.customer
        if customer is None or not customer.lives:
            self.dial_customer(call)
            self.board.settle(call)
            return
        if not customer.is_joined:
            return
        try:
            await insist(lambda: self.router.connected(agent.reservation))
        except Refused:
            self.board.clear(call)
            return
        call.starting = None
        await self._join(call, agent)

    async def customer_not_reached(self, call: Call, reason: str) -> None:
        """The customer did not answer: the agent is free again."""
        start = call.start()
        if call.is_over or start is None:
            return
        self.board.clear(call)
        if start.reservation:
            self.tell(start.reservation, self.router.failed, start.reservation, reason)

    # -- somebody goes -------------------------------------------------------------------------

    async def customer_gone(self, call: Call) -> None:
        """The customer has hung up."""
        if call.is_over:
            return
        async with call.lock:  # an arrival that is being submitted is known by then
            was_served = call.serving() is not None
            self.board.clear(call)
        say = self.router.ended if was_served else self.router.left
        self.tell(_lane(call), say, call.external_id, "hung up")

    async def agent_gone(self, leg: Leg, was_up: bool) -> None:
        """An agent's leg ended, and we did not do it."""
        call = leg.call
        if call is None or call.is_over:
            return
        if self.was_calling(call, leg.reservation):
            self.board.clear(call)  # nobody is there for the customer whom we ring
            self.agent_not_reached(leg.reservation, leg.word() if not was_up else "hung up")
            return
        if not was_up:
            self.agent_not_reached(leg.reservation, leg.word())
        elif leg.cause in BROKEN or not leg.is_joined:
            reason = "leg_lost" if leg.is_joined else "hung up"
            self.tell(_lane(call), self.router.failed, leg.reservation, reason, busy=True)
        else:
            self.tell(_lane(call), self.router.hung_up, leg.reservation, "hung up")
        self.board.settle(call)

    def was_calling(self, call: Call, reservation: str) -> bool:
        """The customer is being called for this reservation and has not picked up."""
        start = call.start()
        is_there = call.customer is not None and call.customer.is_joined
        return start is not None and start.reservation == reservation and not is_there

    async def end(self, call: Call, text: str, *, deflected: bool) -> None:
        """The router has ended it: a last word, then hang up, or on in the dialplan."""
        async with call.lock:  # an arrival that is being taken in is there by then
            customer = call.customer
        if customer is None or not customer.lives:
            self.board.clear(call)
            return
        media = media_of(text, self.board.settings)
        for leg in call.agents.values():
            if leg.lives:
                self.board.hang_up_soon(leg)
        if media and customer.is_up:
            call.farewell = f"{self.board.names.app}-bye-{customer.id}"
            self.board.crew.start(self._farewell(call, media, deflected=deflected), "farewell")
        else:
            await self._let_go(call, deflected=deflected)

    async def _farewell(self, call: Call, media: str, *, deflected: bool) -> None:
        assert call.customer is not None
        with suppress(ChannelError, TimeoutError):
            await self.board.ask(ari.play(call.customer.id, media, call.farewell))
            async with asyncio.timeout(FAREWELL_S):
                await call.said.wait()
        self.board.soon(lambda: self._let_go(call, deflected=deflected), "let go")

    async def _let_go(self, call: Call, *, deflected: bool) -> None:
        customer = call.customer
        if customer is not None and deflected and customer.lives and not call.is_over:
            await self._send_on(customer, self.board.settings.deflect_to)
        self.board.clear(call)

    async def _send_on(self, customer: Leg, place: str) -> None:
        """On in the dialplan, out of our hands. Raises ChannelError."""
        context, _, extension = place.partition("/")
        customer.is_unwanted = True  # its StasisEnd may come before the answer
        try:
            request = ari.go_on(customer.id, context, extension)
            customer.is_unwanted = await self.board.try_(request, 404, 409, 412)
        except ChannelError:
            customer.is_unwanted = False
            raise

    # -- while nothing can be saved ------------------------------------------------------------

    async def fall_back(self) -> None:
        """Whoever waits goes on in the dialplan; who has been put through talks on."""
        if self.board.settings.fallback_to:
            await asyncio.gather(*(self._fall_back(call) for call in self.book.calls()))

    async def _fall_back(self, call: Call) -> None:
        if not self._is_waiting(call):
            return
        try:
            async with call.lock:
                if call.customer is not None and self._is_waiting(call):
                    await self._send_on(call.customer, self.board.settings.fallback_to)
                    self.board.clear(call)
        except ChannelError as error:  # at the next look once more
            log.info("a caller could not be sent on: %s", error)

    def _is_waiting(self, call: Call) -> bool:
        """Taken in, and not with an agent; who is hearing a farewell is on the way out."""
        customer = call.customer
        is_there = customer is not None and customer.is_up and customer.is_joined
        is_ours = bool(call.contact) and call.starting is None and not call.is_over
        return is_there and is_ours and call.serving() is None and not call.farewell

    async def say_who_is_there(self) -> None:
        """Whoever went while nobody listened, or while nothing could be saved, is over."""
        await insist(lambda: self.router.live(self.book.customers()))

    # -- digits --------------------------------------------------------------------------------

    def put_question(self, call: Call, ask: Ask) -> None:
        """From now on digits answer it; the prompt is played by the caller."""
        self._forget_question(call)
        loop = asyncio.get_running_loop()
        call.ask = ask
        ask.timer = loop.call_later(ask.effect.timeout_us / 1e6, self._timed_out, call, ask)

    def _timed_out(self, call: Call, ask: Ask) -> None:
        if call.ask is ask:
            call.ask = None
            self._collected(call, ask, "", timed_out=True)

    def digit(self, call: Call, digit: str) -> None:
        """The customer pressed a key."""
        ask = call.ask
        if ask is None:
            return
        if not ask.digits:
            self.board.soon(
                lambda: self.board.try_(ari.stop_playing(ask.playback), 404), "stop prompt"
            )
        if digit != "#":
            ask.digits += digit
        if digit != "#" and len(ask.digits) < max(1, ask.effect.digits):
            return
        if not ask.digits or (ask.effect.choices and ask.digits not in ask.effect.choices):
            ask.digits = ""  # no such choice: the question stands, and is put again
            ask.playback += "+"
            customer = call.customer
            if customer is not None and customer.is_up:
                again = ari.play(customer.id, ask.media, ask.playback)
                self.board.soon(lambda: self.board.ask(again), "prompt")
            return
        self._forget_question(call)
        self._collected(call, ask, ask.digits, timed_out=False)

    def _forget_question(self, call: Call) -> None:
        if call.ask is not None and call.ask.timer is not None:
            call.ask.timer.cancel()
        call.ask = None

    def _collected(self, call: Call, ask: Ask, value: str, *, timed_out: bool) -> None:
        effect, external_id = ask.effect, call.external_id
        self.tell(
            _lane(call), self.router.collected,
            external_id, effect.name, value, ask=effect.ask, timed_out=timed_out,
        )  # fmt: skip

    # -- supervisors ---------------------------------------------------------------------------

    async def listen(self, call: Call, monitor: Monitor) -> None:
        """Let a supervisor who has picked up hear the conversation, in their mode."""
        async with call.lock:
            old, monitor.snoop = monitor.snoop, None
            served = call.agents.get(monitor.reservation) or call.serving()
            try:
                if monitor.mode != "barge":
                    if served is None or not served.is_up:
                        raise ChannelError("nobody is being served")
                    await self._snoop(call, monitor, served)
                await self.board.arrange(call)
            except ChannelError as error:
                await self._drop_monitor(call, monitor)
                self.tell(monitor.id, self.router.monitor_ended, monitor.id, str(error))
            finally:
                if old is not None:
                    self.board.hang_up_soon(old)

    async def _snoop(self, call: Call, monitor: Monitor, served: Leg) -> None:
        monitor.snoops += 1
        id_ = f"{self.board.names.app}-snoop-{monitor.id}-{monitor.mode}-{monitor.snoops}"
        leg = Leg(id_, "snoop", monitor=monitor.id)
        self.book.add(call, leg)
        args = ari.arguments("snoop", monitor.id)
        whisper = "out" if monitor.mode == "whisper" else "none"
        request = ari.snoop(served.id, id_, self.board.settings.app, args, whisper)
        try:
            await self.board.try_(request, 409)
            async with asyncio.timeout(self.board.settings.timeout_s):
                await leg.there.wait()
        except (ChannelError, TimeoutError):
            self.book.drop_leg(leg)
            raise ChannelError("the PBX made no snoop channel") from None
        leg.state = State.UP
        monitor.snoop = leg

    async def stop_monitor(self, call: Call, id_: str) -> None:
        """The supervisor's leg goes."""
        monitor = call.monitors.get(id_)
        if monitor is not None:
            await self._drop_monitor(call, monitor)

    async def _drop_monitor(self, call: Call, monitor: Monitor) -> None:
        call.monitors.pop(monitor.id, None)
        for leg in (monitor.leg, monitor.snoop):
            if leg is not None and leg.lives:
                self.board.hang_up_soon(leg)
        bridge = self.board.names.listen(monitor.id)
        if call.bridges.pop(bridge, bridge) is None:
            self.board.soon(lambda: self.board.try_(ari.delete_bridge(bridge), 404), "bridge")

    async def monitor_gone(self, leg: Leg) -> None:
        """The supervisor has hung up or was not reached, or what they heard is over."""
        call = leg.call
        monitor = call.monitors.get(leg.monitor) if call is not None else None
        if call is None or monitor is None or leg not in (monitor.leg, monitor.snoop):
            return
        await self._drop_monitor(call, monitor)
        reason = "over" if leg.kind == "snoop" else leg.word() if leg.cause != 16 else "hung up"
        self.tell(monitor.id, self.router.monitor_ended, monitor.id, reason)


def _lane(call: Call) -> str:
    """What is told of one call keeps its order."""
    return call.contact or call.external_id
