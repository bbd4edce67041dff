"""All calls of one FreeSWITCH, the way to it, and the order in which the router hears of them."""

from __future__ import annotations

import asyncio
import logging
import uuid as uuids
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from adapters import Breaker, Crew, Facts, insist
from adapters.freeswitch import esl
from adapters.freeswitch.calls import MOVING, PARKED, WITH, Call, Leg, plan
from adapters.freeswitch.connection import Connection
from adapters.freeswitch.settings import Settings
from router.channel import ChannelError, ChannelLost, Router

log = logging.getLogger(__name__)

NAMES = uuids.UUID("6c1b6f3e-5f0e-4f0f-9d6c-3a1f3c8e2b11")
"""Ids of channels that we dial are made from names: after a restart they are the same."""
ROUNDS = 12
"""Most rounds of `plan` at once; each ends nearer to what is wanted."""
KILL_AGAIN_S = (0.05, 0.2, 1.0, 5.0)

Say = Callable[[], Awaitable[object]]


@dataclass(slots=True, eq=False)
class LiveCall(Call):
    """A call with what the shell needs for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    will_settle: bool = False
    """A task is about to bring the PBX to what is wanted: one is enough."""
    name: str = field(default_factory=lambda: uuids.uuid4().hex)
    """For the order in which the router hears of it: who is to be dialled has no channel yet."""
    start: str = ""
    """The reservation whose StartContact is being carried out."""
    endpoint: str = ""
    number: str = ""
    caller_id: str = ""
    is_begun: bool = False
    """The router knows this outbound contact by its channel."""
    asked: str = ""
    """The question that is being put."""
    answer: asyncio.Future[str] | None = None


@dataclass(slots=True, eq=False)
class Monitor:
    """A supervisor's channel."""

    id: str
    uuid: str
    leg: str
    """The channel of the agent who is listened to."""
    mode: str
    is_up: bool = False
    is_dropped: bool = False


class Board:
    """Who is where, as far as this router has to do with it."""

    def __init__(
        self, name: str, config: Settings, router: Router, crew: Crew, facts: Facts
    ) -> None:
        self.name = name
        self.config = config
        self.router = router
        self.crew = crew
        self.facts = facts
        self.epoch = 0
        self.workspace = ""
        self.calls: dict[str, LiveCall] = {}
        """By the customer's channel."""
        self.begun: dict[str, LiveCall] = {}
        """Outbound contacts by the router's id, until their customer hangs up."""
        self.legs: dict[str, tuple[LiveCall, Leg]] = {}
        """By channel."""
        self.consults: dict[str, LiveCall] = {}
        """The call that a consult is about, by the consult's id."""
        self.monitors: dict[str, Monitor] = {}
        self.jobs: dict[str, str] = {}
        """The channel that an originate is for, by its job."""
        self.is_serving = False
        self.breaker = Breaker()
        self.connection: Connection | None = None

    # -- the way to FreeSWITCH -----------------------------------------------------------------

    @property
    def link(self) -> Connection:
        """The connection. Raises ChannelLost when there is none."""
        if self.connection is None:
            raise ChannelLost(f"{self.name} is not connected to FreeSWITCH")
        return self.connection

    def id_of(self, *names: str) -> str:
        """The id of a channel that is dialled for this: always the same."""
        return str(uuids.uuid5(NAMES, "/".join((self.workspace, self.name, *names))))

    def later(self, work: Awaitable[None], what: str) -> asyncio.Task[None] | None:
        """Go on beside; a connection that breaks meanwhile is the next connection's business.

        None: too much is under way. What was to be done would be missing for good (a caller who is
        never taken in, a leg that nobody hangs up): the connection is made anew, which finds out.
        """

        async def guarded() -> None:
            try:
                await work
            except ChannelLost:
                log.debug("%s: %s: the connection was lost", self.name, what)
            except ChannelError as error:
                log.info("%s: %s: %s", self.name, what, error)

        try:
            return self.crew.start(guarded(), what)
        except ChannelError:
            close = getattr(work, "close", None)
            if close is not None:
                close()
            most = self.crew.most
            log.error("%s: %d tasks, no room for: %s", self.name, most, what)  # noqa: TRY400 no fault
            if self.connection is not None:
                self.connection.close("too much was under way at once")
            return None

    # -- what the router hears, one thing after the other for each call ----------------------------

    def tell(self, call: LiveCall, say: Say) -> None:
        """Say it to the router behind what was said of this call before, until it is taken."""
        with suppress(ChannelError):  # too many wait: the log says so, and `live` who is there
            self.facts.later(call.name, say)

    async def say_again(self) -> None:
        """It can save again: whoever went meanwhile is over."""
        await insist(lambda: self.router.live(list(self.calls)))

    # -- making it so --------------------------------------------------------------------------

    async def settle(self, call: LiveCall) -> None:
        """Bring the PBX to what is wanted of this call. Raises ChannelError, ChannelLost."""
        async with call.lock:
            call.will_settle = False
            for _ in range(ROUNDS):
                steps = plan(call, self.config.music_url, self.config.conference)
                if not steps:
                    return
                for step in steps:
                    before = {uuid: _place_of(call, uuid) for uuid, _ in step.places}
                    for uuid, at in step.places:
                        call.place(uuid, at)
                    if step.plays is not None and call.to_play:
                        call.playing = call.to_play.popleft()
                    frame = await self.link.ask(step.data)
                    if frame.is_refused:
                        self._undo(call, step.places, before)
                        raise ChannelError(f"FreeSWITCH: {frame.reply[:100]}")
            log.warning("%s: a call does not come to rest", self.name)

    def _undo(
        self, call: LiveCall, places: tuple[tuple[str, str], ...], before: dict[str, str]
    ) -> None:
        call.playing = None
        for uuid, at in places:
            if _place_of(call, uuid) == at:
                call.place(uuid, before[uuid])

    def settle_soon(self, call: LiveCall) -> None:
        """The same, beside: for what events want."""
        if not call.is_over and not call.will_settle:
            call.will_settle = self.later(self.settle(call), "settle") is not None

    # -- legs ------------------------------------------------------------------------------------

    def add_leg(self, call: LiveCall, leg: Leg) -> None:
        """Know it by reservation and by channel."""
        call.legs[leg.reservation] = leg
        self.legs[leg.uuid] = (call, leg)
        if leg.role == "consult":
            self.consults[leg.contact] = call

    def take(self, call: LiveCall, leg: Leg) -> None:
        """This agent has the customer, or the asking agent."""
        leg.is_taken = True
        if leg.role == "consult":
            call.consult = leg.reservation
        else:
            call.serving = leg.reservation
        self.later(self._join(call, leg), "join")

    async def _join(self, call: LiveCall, leg: Leg) -> None:
        await self.settle(call)
        if leg.reservation == call.serving and call.is_there:
            # For the next router: whose leg it was, if it is gone by then.
            line = f"uuid_setvar {call.customer} cr_serving {esl.word(leg.reservation)}"
            await self.link.ask(esl.api(line))

    async def drop(self, call: LiveCall, leg: Leg, cause: str = "NORMAL_CLEARING") -> None:
        """Take a leg away. Raises ChannelLost."""
        leg.is_dropped = True
        self.forget_leg(call, leg)
        for pause in (0.0, *KILL_AGAIN_S):
            # Between bgapi's answer and CHANNEL_CREATE there is nothing to be killed yet.
            await asyncio.sleep(pause)
            frame = await self.link.ask(esl.api(f"uuid_kill {leg.uuid} {cause}"))
            if leg.is_gone or frame.reply.startswith("+"):
                return
            if leg.is_up:
                return  # gone by itself

    def drop_soon(self, call: LiveCall, leg: Leg, cause: str = "NORMAL_CLEARING") -> None:
        """The same, beside."""
        leg.is_dropped = True
        self.later(self.drop(call, leg, cause), "hang up")

    def forget_leg(self, call: LiveCall, leg: Leg) -> None:
        """It plays no part in the call any more; the channel is known until it is gone."""
        call.legs.pop(leg.reservation, None)
        if call.at == f"{WITH}{leg.uuid}":
            call.at = MOVING  # park_after_bridge: CHANNEL_PARK will say so
        if leg.reservation == call.serving:
            call.serving, call.is_held, call.is_together = "", False, False
        if leg.reservation == call.consult:
            call.consult, call.is_together = "", False
        if leg.role == "consult":
            self.consults.pop(leg.contact, None)

    # -- ends ------------------------------------------------------------------------------------

    def forget(self, call: LiveCall, cause: str) -> None:
        """The customer's channel is gone: nobody is left to be joined."""
        call.is_over = True
        self.calls.pop(call.customer, None)
        if self.begun.get(call.contact) is call:
            del self.begun[call.contact]
        if call.answer is not None and not call.answer.done():
            call.answer.cancel()
        for leg in list(call.legs.values()):
            self.drop_soon(call, leg, cause if leg.rings else "NORMAL_CLEARING")

    def stopped(self) -> None:
        """The connection is gone, and all that was under way with it."""
        self.connection = None
        self.is_serving = False
        for call in {
            *self.calls.values(),
            *self.begun.values(),
            *(c for c, _ in self.legs.values()),
        }:
            call.will_settle = False
        for call in list(self.calls.values()):
            if not call.contact and not call.start:
                del self.calls[call.customer]  # not submitted yet: it will arrive once more

    async def hang_up(self, call: LiveCall, cause: str = "NORMAL_CLEARING") -> None:
        """End a customer's call, and the legs with it. Raises ChannelLost."""
        self.forget(call, cause)
        if call.customer:
            await self.link.ask(esl.api(f"uuid_kill {esl.channel_id(call.customer)} {cause}"))

    async def send_on(self, call: LiveCall, place: str) -> None:
        """The PBX's own dialplan goes on: voicemail, an announcement. `place` is
        ``extension@context``. Raises ChannelError, ChannelLost.
        """
        extension, _, context = place.partition("@")
        uuid = call.customer
        self.forget(call, "ORIGINATOR_CANCEL")
        for line in (
            f"uuid_setvar {uuid} park_after_bridge false",
            f"uuid_setvar {uuid} cr_router",
        ):
            await self.link.ask(esl.api(line))  # not ours any more, also after a restart
        await self.link.do(f"uuid_transfer {uuid} {extension} XML {context}")

    async def fall_back(self) -> None:
        """Nothing can be saved: who waits goes on in the dialplan, who was put through talks on."""
        place = self.config.fallback_to
        for call in list(self.calls.values()) if place else ():
            if _is_waiting(call):
                self.tell(call, lambda gone=call.customer: self.router.left(gone, "no_store"))  # type: ignore[misc]
                self.later(self.send_on(call, place), "fallback")


def _is_waiting(call: LiveCall) -> bool:
    """Taken in, and not with an agent; who is hearing a farewell is on the way out."""
    is_leaving = call.playing is not None and call.playing.ends
    is_ours = call.is_there and bool(call.contact) and not call.start and not call.is_over
    return is_ours and not call.serving and not is_leaving


def _place_of(call: Call, uuid: str) -> str:
    if uuid == call.customer:
        return call.at
    return next((leg.at for leg in call.legs.values() if leg.uuid == uuid), PARKED)
