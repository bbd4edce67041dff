"""After a connect: what is at the PBX, compared with what is known and what the router has.

FreeSWITCH replays no events, but its calls go on while nobody listens (recorded: socket-lost).
``show channels as json`` and a ``uuid_dump`` of each say who is there; our channel variables say
whose they are, so a router that has just started knows them, too.
"""

from __future__ import annotations

import asyncio

from adapters import insist
from adapters.freeswitch import esl
from adapters.freeswitch.board import Board, LiveCall, Monitor
from adapters.freeswitch.calls import BUSY, MUSIC, PARKED, ROOM, WITH, Leg
from adapters.freeswitch.ears import Ears
from adapters.freeswitch.esl import Event
from router.channel import ChannelLost

AT_ONCE = 50
"""Dumps that are asked for at the same moment."""


class Reconciler:
    """Brings board and PBX together."""

    def __init__(self, board: Board, ears: Ears) -> None:
        self.board = board
        self.ears = ears
        self._unheard: dict[LiveCall, str] = {}
        """Adopted calls, each with the reservation that had the customer last."""

    async def run(self) -> None:
        """Adopt, drop, and tell the router which customers live. Raises ChannelLost."""
        board = self.board
        known = [*board.calls, *board.legs, *(m.uuid for m in board.monitors.values())]
        dumps = await self._dumps()
        for uuid in known:
            if uuid not in dumps:
                self.ears.gone(uuid, "")
        is_open = {external_id for external_id, _ in await insist(board.router.open)}
        found = [(event, body) for event, body in dumps.values() if event.cause == ""]
        for event, body in found:
            self._customer(event, body, is_open)
        for event, _ in found:
            self._leg(event)
        for event, _ in found:
            self._place(event)
        await insist(lambda: board.router.live(list(board.calls)))
        for call, reservation in self._unheard.items():
            if reservation and reservation not in call.legs:
                board.tell(call, lambda r=reservation: board.router.hung_up(r, "gone"))  # type: ignore[misc]
        self._unheard.clear()
        for call in {*board.calls.values(), *board.begun.values()}:
            for leg in list(call.legs.values()):
                if leg.is_up and not leg.is_taken:
                    # Answered while nobody listened, or by a phone that we have just adopted.
                    self.ears.leg_up(call, leg)
            board.settle_soon(call)

    async def _dumps(self) -> dict[str, tuple[Event, bytes]]:
        link = self.board.link
        listed = await link.ask(esl.api("show channels as json"))
        if not listed.body.lstrip().startswith(b"{"):
            raise ChannelLost("FreeSWITCH does not list its channels")
        ids = esl.channels_of(listed.body)
        found: dict[str, tuple[Event, bytes]] = {}
        for start in range(0, len(ids), AT_ONCE):
            lines = [
                f"uuid_dump {esl.channel_id(id_)} json" for id_ in ids[start : start + AT_ONCE]
            ]
            for frame in await asyncio.gather(*(link.ask(esl.api(line)) for line in lines)):
                if frame.body.startswith(b"{"):
                    event = esl.event_of(frame.body)
                    found[event.uuid] = (event, frame.body)
        return found

    def _customer(self, event: Event, body: bytes, is_open: set[str]) -> None:
        """A caller, or a customer that was dialled."""
        board, uuid = self.board, event.uuid
        if uuid in board.calls:
            known = board.calls[uuid]
            if known.contact and not known.is_there and not known.start:
                board.later(self.ears.welcome(known), "welcome")  # the connection broke before
            return
        if event.role == "customer" and event.router == board.name:
            call = board.begun.get(event.contact) or LiveCall(contact=event.contact)
            call.customer, call.start = uuid, event.reservation
            board.calls[uuid] = board.begun[event.contact] = call
            if event.answer_state == "answered":
                if uuid in is_open:
                    call.is_there, call.is_begun, call.start = True, True, ""
                else:
                    self.ears.dialler.customer_up(call)
        elif event.router == board.name and not event.role:
            if uuid not in is_open:
                board.later(self._end(uuid), "over for the router")
                return
            call = board.calls[uuid] = LiveCall(customer=uuid, contact=event.contact)
            call.is_there = True
            call.is_held = event.held == "true"
            self._unheard[call] = event.serving
            call.recording, _, state = event.recording.partition("/")
            call.is_recording = state == "on"
        elif event.direction == "inbound" and not event.router and self._is_parked_for_us(event):
            self.ears.arrive(uuid, esl.fields_of(body))

    def _is_parked_for_us(self, event: Event) -> bool:
        mark = self.board.config.mark
        is_parked = event.state == "CS_PARK" or event.current == "park"
        return is_parked and (not mark or event.mark == mark)

    async def _end(self, uuid: str) -> None:
        await self.board.link.ask(esl.api(f"uuid_kill {esl.channel_id(uuid)}"))

    def _leg(self, event: Event) -> None:
        """A channel that we have dialled for an agent or a supervisor."""
        board, uuid = self.board, event.uuid
        if event.router != board.name or not event.role or event.role == "customer":
            return
        call = board.calls.get(event.call) or board.begun.get(event.contact)
        if event.role == "monitor":
            if event.reservation not in board.monitors and call is not None:
                monitor = Monitor(event.reservation, uuid, event.leg, "")
                monitor.is_up = event.answer_state == "answered"
                board.monitors[monitor.id] = monitor
            elif call is None:
                board.later(self._end(uuid), "nobody to listen to")
            return
        if uuid in board.legs:
            return
        if call is None and not event.call:  # the agent of a contact that is still to be dialled
            call = board.begun.setdefault(event.contact, LiveCall(contact=event.contact))
        if call is None:
            board.later(self._end(uuid), "nobody to be joined")
            return
        leg = Leg(uuid, event.reservation, event.contact)
        leg.role = "consult" if event.role == "consult" else "agent"
        leg.is_up = event.answer_state == "answered"
        board.add_leg(call, leg)

    def _place(self, event: Event) -> None:
        """Where a channel of ours is."""
        board, uuid = self.board, event.uuid
        call: LiveCall | None = board.calls.get(uuid)
        if uuid in board.legs:
            call, leg = board.legs[uuid]
            leg.is_up = leg.is_up or event.answer_state == "answered"
        if call is not None:
            call.place(uuid, place_of(event))


def place_of(event: Event) -> str:
    """Where a channel is, by its dump: bridged legs are in these states in every recording."""
    if event.state in ("CS_SOFT_EXECUTE", "CS_EXCHANGE_MEDIA") and event.other:
        return f"{WITH}{event.other}"
    if event.state == "CS_EXECUTE":
        places = {"conference": ROOM, "playback": MUSIC, "play_and_get_digits": BUSY}
        return places.get(event.current, PARKED)
    return PARKED
