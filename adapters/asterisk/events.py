"""Events of the PBX: each changes the book at once; what follows from it goes on beside.

Events may come twice, and before or after the answer to the request that they belong to: what has
been noted already is passed over.
"""

from __future__ import annotations

import asyncio
from functools import partial

from msgspec.structs import replace

from adapters import TRY_AGAIN, insist
from adapters.asterisk import ari
from adapters.asterisk.ari import Channel, Event
from adapters.asterisk.calls import Call, Leg, State, dialled, visit_of
from adapters.asterisk.conversation import Conversation
from adapters.asterisk.switchboard import Switchboard
from router.channel import (
    Address,
    ChannelError,
    NewContact,
    OutcomeUnknown,
    Receipt,
    Refused,
    Router,
)

VISITS = 100
"""A caller comes from the dialplan at most so often in one call."""
CAUSE_S = 0.5
"""So long is a ringing leg's cause waited for after its StasisEnd; it comes with
ChannelDestroyed."""


class Events:
    """Hears what the PBX tells."""

    def __init__(self, board: Switchboard, router: Router, talk: Conversation) -> None:
        self.board = board
        self.book = board.book
        self.router = router
        self.talk = talk
        self.replaced = asyncio.Event()
        """Another router has taken the application over."""

    def hear(self, event: Event) -> None:
        """One event."""
        if event.type == "ApplicationReplaced":
            self.replaced.set()
            return
        channel = event.channel or event.peer
        leg = self.book.legs.get(channel.id) if channel is not None else None
        if event.type == "StasisStart" and channel is not None:
            self._entered(channel, leg, event.args)
        elif leg is not None and channel is not None:
            self._of_leg(event, leg, channel)
        elif event.playback is not None and event.type == "PlaybackFinished":
            self._played(event.playback.id)
        elif event.recording is not None and event.type in (
            "RecordingFailed", "RecordingFinished",
        ):  # fmt: skip
            self._recorded(event.recording.name, event.recording.cause)

    def _of_leg(self, event: Event, leg: Leg, channel: Channel) -> None:
        match event.type:
            case "ChannelStateChange" if channel.state == "Up":
                self.up(leg)
            case "ChannelStateChange" if channel.state == "Ringing":
                self._ringing(leg)
            case "Dial" if event.dialstatus == "ANSWER":
                self.up(leg)
            case "Dial" if event.dialstatus == "RINGING":
                self._ringing(leg)
            case "ChannelHangupRequest" if not event.soft:
                leg.cause = event.cause
            case "ChannelDestroyed":
                leg.cause = leg.cause or event.cause
                self.gone(leg)
            case "StasisEnd":
                self._left(leg)
            case "ChannelDtmfReceived" if leg.kind == "customer" and leg.call is not None:
                if event.timestamp != leg.digit_at:  # told twice where somebody else subscribes
                    leg.digit_at = event.timestamp
                    self.talk.digit(leg.call, event.digit)
            case _:
                pass

    # -- legs ----------------------------------------------------------------------------------

    def _entered(self, channel: Channel, leg: Leg | None, args: tuple[str, ...]) -> None:
        if leg is not None:
            if leg.state is State.MADE:
                leg.state = State.THERE
            leg.there.set()
            if channel.state == "Up" and leg.kind != "customer":
                self.up(leg)
            return
        if self.board.names.is_ours(channel.id):
            self.board.hang_up_soon(Leg(channel.id, "agent"))  # of a call that is over
            return
        self.arrive(channel, args, has_come=True)

    def _ringing(self, leg: Leg) -> None:
        if leg.state in (State.MADE, State.THERE):
            leg.state = State.RINGING

    def up(self, leg: Leg) -> None:
        """It was answered."""
        if leg.state in (State.UP, State.GONE):
            return
        leg.state = State.UP
        leg.there.set()
        leg.settled.set()
        call = leg.call
        if call is None or leg.is_unwanted or call.is_over:
            return
        if leg.kind == "agent":
            self.talk.say_connected(leg)
        elif leg.kind == "customer" and call.starting is not None:
            self.talk.say_started(call)
        elif leg.kind == "monitor" and leg.monitor in call.monitors:
            monitor = call.monitors[leg.monitor]
            self.board.crew.start(self.talk.listen(call, monitor), "listen")

    def _left(self, leg: Leg) -> None:
        """StasisEnd is the end; why a phone did not answer is told a moment later."""
        rang = leg.state is not State.UP and leg.kind in ("agent", "customer", "monitor")
        if rang and not leg.cause and not leg.is_unwanted:
            asyncio.get_running_loop().call_later(CAUSE_S, self.gone, leg)
        else:
            self.gone(leg)

    def gone(self, leg: Leg) -> None:
        """It is no more."""
        if leg.state is State.GONE:
            return
        was_up, call = leg.state is State.UP, leg.call
        self.book.drop_leg(leg)
        if call is None or call.is_over:
            return
        if leg.kind == "customer" and not leg.is_unwanted:
            if was_up or call.starting is None:
                self.board.crew.start(self.talk.customer_gone(call), "customer gone")
            else:
                word = leg.word()
                self.board.crew.start(self.talk.customer_not_reached(call, word), "not reached")
        elif leg.kind == "agent" and not leg.is_unwanted:
            self.board.crew.start(self.talk.agent_gone(leg, was_up), "agent gone")
        elif leg.kind in ("monitor", "snoop") and not leg.is_unwanted:
            self.board.crew.start(self.talk.monitor_gone(leg), "monitor gone")

    # -- arrivals ------------------------------------------------------------------------------

    def arrive(
        self, channel: Channel, args: tuple[str, ...] | list[str], *, has_come: bool = False
    ) -> None:
        """A caller is there from the dialplan; `has_come`: since this moment."""
        if self.book.find(channel.id) is not None and not has_come:
            return  # who has come while that call is known was sent on, and is back already
        if len(self.book) >= self.board.settings.calls:
            self.board.soon(lambda: self.turn_away(channel.id, "congestion"), "full")
            return
        call = self.book.begin(channel.id)
        call.has_come = has_come
        leg = self.book.add(call, Leg(channel.id, "customer"))
        leg.state = State.UP if channel.state == "Up" else State.THERE
        self.submit(call, leg, channel, args)

    def submit(
        self, call: Call, leg: Leg, channel: Channel, args: tuple[str, ...] | list[str]
    ) -> None:
        """Tell the router; the same channel again is the same contact."""
        contact = NewContact(
            external_id=call.external_id,
            customer=Address(address=channel.caller.number, name=channel.caller.name),
            to=dialled(channel, args),
        )
        self.board.crew.start(self._submit(call, leg, contact), "arrive")

    async def _submit(self, call: Call, leg: Leg, contact: NewContact) -> None:
        async with call.lock:
            try:
                # Unanswered until it is durable: who cannot be taken hears no answered silence.
                receipt = await self._receipt(call, leg, contact)
            except TRY_AGAIN:
                self._refuse(call, leg, "congestion")
                return
            except Refused:
                self._refuse(call, leg, "unallocated")
                return
            self.book.name(call, receipt.contact)
            if _is_over(receipt):
                self.board.clear(call)  # since before a restart
                return
            try:
                await self._take_in(call, leg)
            except ChannelError:
                self.board.soon(lambda: self._take_in_later(call, leg), "take in")

    async def _receipt(self, call: Call, leg: Leg, contact: NewContact) -> Receipt:
        """Submitted as the first visit of this channel that is not over."""
        visit = 1
        while True:
            receipt = await insist(partial(self.router.submit, contact), on=(OutcomeUnknown,))
            if not (call.has_come and _is_over(receipt)) or visit == VISITS:
                return receipt
            visit += 1
            self.book.link(call, visit_of(leg.id, visit))
            contact = replace(contact, external_id=call.external_id)

    async def _take_in_later(self, call: Call, leg: Leg) -> None:
        async with call.lock:
            await self._take_in(call, leg)

    async def _take_in(self, call: Call, leg: Leg) -> None:
        """Answer, name the contact to the dialplan, and let them wait with music."""
        if not leg.lives or call.is_over:
            return
        if leg.state is not State.UP:
            if not await self.board.try_(ari.answer(leg.id), 404, 409, 412):
                return  # gone: its end is told by an event
            leg.state = State.UP
        leg.is_joined = True
        leg.settled.set()
        self.board.soon(lambda: self._mark(leg, call.contact), "variable")
        await self.board.arrange(call)

    async def _mark(self, leg: Leg, contact: str) -> None:
        if leg.lives:
            await self.board.try_(ari.set_variable(leg.id, "CR_CONTACT", contact), 404, 409)

    def _refuse(self, call: Call, leg: Leg, reason: str) -> None:
        self.book.drop(call)
        leg.is_unwanted = True
        self.board.soon(lambda: self.turn_away(leg.id, reason), "turn away")

    async def turn_away(self, channel: str, reason: str) -> None:
        """On in the dialplan if it has a place for them, else the network's busy signal."""
        settings = self.board.settings
        context, _, extension = (settings.overflow_to or settings.fallback_to).partition("/")
        if context and reason == "congestion":
            await self.board.try_(ari.go_on(channel, context, extension), 404, 409, 412)
        else:
            await self.board.try_(ari.hang_up(channel, reason), 404)

    # -- the rest ------------------------------------------------------------------------------

    def _played(self, playback: str) -> None:
        for call in self.book.calls() if "-bye-" in playback else ():
            if call.farewell == playback:
                call.said.set()

    def _recorded(self, name: str, cause: str) -> None:
        for call in self.book.calls():
            if name in call.recordings and not call.is_over:
                del call.recordings[name]
                self.talk.tell(name, self.router.recording_ended, name, cause or "over")
                return


def _is_over(receipt: Receipt) -> bool:
    """It was closed before it was submitted this time."""
    return receipt.state == "closed" and not receipt.created
