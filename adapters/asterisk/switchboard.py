"""What is done with legs at the PBX: ring, hang up, put each where it belongs, play, record.

Ids are chosen before the request and the leg is in the book before the PBX has it, because events
overtake answers (telephony on a real Asterisk: StasisStart before the POST's own answer).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from adapters import Crew
from adapters.asterisk import ari
from adapters.asterisk.calls import Book, Call, Leg, Names, State, moves, state_of
from adapters.asterisk.rest import AriRefused, Rest
from adapters.asterisk.settings import Settings
from router.channel import ChannelError, ChannelLost, Task, UnknownOutcome

THERE_S = 5.0
"""A channel that was made is in our application by then."""
RUNG = 20
"""Most reservations that a customer's channel names."""
DIAL_TRIES = 5
DIAL_AGAIN_S = 0.02
"""dial-too-early-409: between two tries."""
GONE = (404, 409, 412, 422, 400)
"""Answers that mean: the channel is gone or going."""


class Switchboard:
    """The PBX's legs and bridges, for one adapter."""

    def __init__(self, settings: Settings, rest: Rest, crew: Crew) -> None:
        self.settings = settings
        self.rest = rest
        self.crew = crew
        self.names = Names(settings.app)
        self.book = Book(self.names)

    async def ask(self, request: ari.Request) -> bytes:
        """See `Rest.ask`."""
        return await self.rest.ask(request)

    async def try_(self, request: ari.Request, *fine: int) -> bool:
        """Ask; False: the PBX refused with one of these statuses. Raises as `Rest.ask`."""
        try:
            await self.rest.ask(request)
        except AriRefused as refused:
            if refused.status not in fine:
                raise
            return False
        return True

    # -- ringing and hanging up ----------------------------------------------------------------

    async def ring(
        self,
        leg: Leg,
        endpoint: str,
        args: str,
        *,
        timeout_s: float,
        caller: str = "",
        variables: dict[str, str] | None = None,
    ) -> None:
        """Make a leg and dial it; it is in the book already.

        Returns when it rings or will at once. Raises ChannelError: it does not, and the leg is
        dropped; of an unknown outcome it stays in the book, to be rung again or taken away.
        """
        try:
            await self._make(leg, endpoint, args, caller, variables or {})
            if leg.is_unwanted:  # given up meanwhile, and perhaps before the PBX had made it
                self.hang_up_soon(leg)
                return
            async with asyncio.timeout(THERE_S):
                await leg.there.wait()
            if leg.is_unwanted:  # the call ended while it was being made
                self.hang_up_soon(leg)
            elif leg.is_waiting:
                leg.is_dialled = True
                self._mark_rung(leg)
                await self._dial(leg, max(1, round(timeout_s)), caller)
        except TimeoutError:
            self.hang_up_soon(leg)
            raise ChannelError("the PBX made a channel and lost it") from None
        except (ChannelLost, UnknownOutcome):
            raise
        except ChannelError:
            self.book.drop_leg(leg)
            raise

    def _mark_rung(self, leg: Leg) -> None:
        """For a restart: this phone has rung for this reservation, and does not again."""
        call = leg.call
        if call is None or not leg.reservation:
            return
        call.rung[leg.reservation] = None
        customer = call.customer
        if customer is not None and customer.lives:
            value = ",".join(list(call.rung)[-RUNG:])
            mark = ari.set_variable(customer.id, self.names.rung, value)
            self.soon(lambda: self.try_(mark, 404, 409), "variable")

    async def ring_agent(
        self, call: Call, task: Task, reservation: str, endpoint: str, timeout_s: float
    ) -> None:
        """Ring an agent for this effect's contact. Raises ChannelError."""
        contact = str(getattr(task.effect, "contact", ""))
        leg = call.agents.get(reservation)
        if leg is None:
            leg = Leg(self.names.agent(contact, reservation), "agent", contact, reservation)
            self.book.add(call, leg)
        args = ari.arguments("agent", contact, reservation, call.external_id, str(task.epoch))
        variables = {"CR_CONTACT": contact, "CR_EPOCH": str(task.epoch)}
        customer = call.customer
        caller = customer.id if customer is not None and customer.lives else ""
        await self.ring(
            leg, endpoint, args, timeout_s=timeout_s, caller=caller, variables=variables
        )

    async def _make(
        self, leg: Leg, endpoint: str, args: str, caller: str, variables: dict[str, str]
    ) -> None:
        request = ari.create_channel(
            leg.id, endpoint, self.settings.app, args, originator=caller, variables=variables
        )
        try:
            await self.rest.ask(request)
        except AriRefused as refused:
            if refused.status == 409:  # it was made before: by us, before a restart
                await self._recall(leg)
            elif refused.status == 500:  # errors: no such endpoint, or nothing registered
                raise ChannelError("unreachable") from None
            else:
                raise
        except UnknownOutcome:
            await self._recall(leg)

    async def _recall(self, leg: Leg) -> None:
        """Ask for a channel that may have been made. Raises UnknownOutcome, ChannelError."""
        try:
            found = ari.channel_of(await self.rest.ask(ari.get_channel(leg.id)))
        except AriRefused as refused:
            raise ChannelError(f"the PBX made no channel: {refused.status}") from None
        except ChannelError as error:
            raise UnknownOutcome(str(error)) from error
        if found.dialplan.app_name == "Stasis":
            leg.there.set()
        if leg.state in (State.MADE, State.THERE):
            leg.state = state_of(found)
        if leg.state is State.UP:
            leg.settled.set()

    async def _dial(self, leg: Leg, timeout_s: int, caller: str) -> None:
        request = ari.dial(leg.id, timeout_s, caller)
        for attempt in range(DIAL_TRIES):
            if not leg.lives or leg.state not in (State.MADE, State.THERE):
                return
            try:
                await self.rest.ask(request)
            except AriRefused as refused:
                if refused.status == 409 and attempt < DIAL_TRIES - 1:
                    await asyncio.sleep(DIAL_AGAIN_S)
                    continue
                if refused.status == 404:
                    return  # gone: its end is told by an event
                raise
            except UnknownOutcome:
                return  # ringing or not: events will tell, or the router's own deadline ends it
            return

    async def hang_up(self, leg: Leg, reason: str = "normal") -> None:
        """Take a leg away; one that is gone is fine. Raises ChannelError."""
        leg.is_unwanted = True
        if not await self.try_(ari.hang_up(leg.id, reason), 404):
            self.book.drop_leg(leg)  # no event will tell

    def hang_up_soon(self, leg: Leg, reason: str = "normal") -> None:
        """The same beside, tried until the PBX has said that it is gone."""
        leg.is_unwanted = True
        self.soon(lambda: self.hang_up(leg, reason), "hang up")

    def soon(self, deed: Callable[[], Awaitable[object]], what: str) -> None:
        """A deed that can be repeated, tried for a minute; what is left then the next reconnect
        finds."""

        async def insist() -> None:
            pause_s = 0.2
            for _ in range(10):
                try:
                    await deed()
                except AriRefused:
                    return
                except ChannelError:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, 10.0)
                else:
                    return

        self.crew.start(insist(), what)

    # -- bridges -------------------------------------------------------------------------------

    async def ensure_bridge(self, call: Call, id_: str) -> None:
        """A bridge of this call exists."""
        if id_ in call.bridges or id_ == self.names.hold:
            return
        call.bridges[id_] = None
        try:
            await self.try_(ari.create_bridge(id_, "mixing"), 409)
        except AriRefused:
            call.bridges.pop(id_, None)  # after any other error it may exist
            raise

    async def ensure_hold(self) -> None:
        """The bridge where customers wait exists."""
        await self.try_(ari.create_bridge(self.names.hold, "holding"), 409)

    async def arrange(self, call: Call) -> None:
        """Put each leg where it belongs; the caller holds the call's lock. Raises ChannelError."""
        for _ in range(2):  # a leg that ended while another was moved changes the plan
            wanted = moves(call, self.names)
            if not wanted or call.is_over:
                return
            for bridge, legs in wanted.items():
                await self._place(call, bridge, legs)

    def settle(self, call: Call) -> None:
        """The same beside, until the PBX has done it."""

        async def locked() -> None:
            async with call.lock:
                await self.arrange(call)

        self.soon(locked, "settle")

    async def _place(self, call: Call, bridge: str, legs: list[Leg]) -> None:
        await self.ensure_bridge(call, bridge)
        try:
            waits = bridge == self.names.hold
            await self.rest.ask(ari.add_channels(bridge, [leg.id for leg in legs], waits=waits))
        except AriRefused as refused:
            if refused.status == 404:  # somebody took the bridge away: once more
                call.bridges.pop(bridge, None)
                if bridge == self.names.hold:
                    await self.ensure_hold()
                else:
                    await self.ensure_bridge(call, bridge)
            elif refused.status not in GONE:
                raise
            await self._place_each(bridge, legs)
        else:
            for leg in legs:
                leg.place = bridge

    async def _place_each(self, bridge: str, legs: list[Leg]) -> None:
        """One of them is gone: the others all the same."""
        for leg in legs:
            waits = bridge == self.names.hold
            if await self.try_(ari.add_channels(bridge, [leg.id], waits=waits), *GONE):
                leg.place = bridge

    # -- the end of a call ---------------------------------------------------------------------

    def clear(self, call: Call) -> None:
        """The customer is gone: take away all that is left of the call."""
        if call.is_over:
            return
        self.book.drop(call)
        if call.ask is not None and call.ask.timer is not None:
            call.ask.timer.cancel()
        legs = [*call.agents.values(), *(m.leg for m in call.monitors.values())]
        legs += [m.snoop for m in call.monitors.values() if m.snoop is not None]
        if call.customer is not None:
            legs.append(call.customer)
        for leg in legs:
            if leg.state is not State.GONE and not leg.is_unwanted:
                self.hang_up_soon(leg)
        self.soon(lambda: self._delete_bridges(call), "bridges")

    async def _delete_bridges(self, call: Call) -> None:
        async with call.lock:  # whoever moves its legs now has made all bridges by then
            for bridge in list(call.bridges):
                await self.try_(ari.delete_bridge(bridge), 404)
                call.bridges.pop(bridge, None)
