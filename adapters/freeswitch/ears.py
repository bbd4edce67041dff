"""What FreeSWITCH's events mean for the calls: arrivals, answers, hang-ups, things played.

Only these events are subscribed to; each has some 5 KB. Order and fields are those of the
recordings; CHANNEL_EXECUTE_COMPLETE of a ``sendmsg`` and RECORD_STOP are after the documentation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from adapters import insist
from adapters.freeswitch import esl
from adapters.freeswitch.board import Board, LiveCall, Monitor
from adapters.freeswitch.calls import BUSY, MOVING, PARKED, Leg
from adapters.freeswitch.dialling import Dialler, whispering
from adapters.freeswitch.esl import Event
from router.channel import (
    Address,
    ChannelError,
    NewContact,
    OutcomeUnknown,
    Overloaded,
    Refused,
    StoreFull,
)

log = logging.getLogger(__name__)

EVENTS = "CHANNEL_PARK CHANNEL_HANGUP CHANNEL_EXECUTE_COMPLETE BACKGROUND_JOB RECORD_STOP"
ON_PURPOSE = ("NORMAL_CLEARING", "NORMAL_UNSPECIFIED")
"""Causes of an agent who put the phone down; all others broke."""
UNHEARD = ""
"""It ended while nobody listened: then it is taken for an agent who had finished."""
WORDS = {
    # busy-then-next-agent, no-answer-and-cancel, errors; the others after the documentation.
    "USER_BUSY": "busy", "NO_ANSWER": "no_answer", "NO_USER_RESPONSE": "no_answer",
    "SUBSCRIBER_ABSENT": "not_registered", "USER_NOT_REGISTERED": "not_registered",
    "CALL_REJECTED": "rejected", "ALLOTTED_TIMEOUT": "no_answer",
}  # fmt: skip
OF_THE_PBX = ("SWITCH_CONGESTION", "NETWORK_OUT_OF_ORDER", "CHAN_NOT_IMPLEMENTED")
"""Causes that are no phone's fault: FreeSWITCH itself cannot dial."""
SUBMIT_FOR_S = 10.0


class Ears:
    """Takes every event."""

    def __init__(self, board: Board, dialler: Dialler) -> None:
        self.board = board
        self.dialler = dialler

    def hear(self, frame: esl.Frame) -> None:
        """An event has come. Never waits."""
        event = esl.event_of(frame.body)
        match event.name:
            case "CHANNEL_PARK":
                self._parked(event, frame.body)
            case "CHANNEL_HANGUP":
                self.gone(event.uuid, event.cause)
            case "BACKGROUND_JOB":
                self._job(event)
            case "CHANNEL_EXECUTE_COMPLETE":
                self._played(event)
            case "RECORD_STOP":
                self._record_stopped(event)
            case _:
                pass  # asked for by nobody

    # -- arrivals ------------------------------------------------------------------------------

    def _parked(self, event: Event, body: bytes) -> None:
        uuid = event.uuid
        call = self.board.calls.get(uuid)
        if uuid in self.board.legs:
            call, leg = self.board.legs[uuid]
            if not leg.is_up:
                self.leg_up(call, leg)
            elif leg.at == MOVING:
                leg.at = PARKED
                self.board.settle_soon(call)
        elif call is not None:
            if not call.is_there and call.start:
                self.dialler.customer_up(call)
            elif call.at == MOVING:
                call.at = PARKED
                self.board.settle_soon(call)
        elif event.direction == "inbound" and not event.router and self._is_ours(event):
            self.arrive(uuid, esl.fields_of(body))

    def _is_ours(self, event: Event) -> bool:
        mark = self.board.config.mark
        return not mark or event.mark == mark

    def arrive(self, uuid: str, fields: Mapping[str, object]) -> LiveCall | None:
        """A caller is parked and wants in. The same one twice is nothing new."""
        board = self.board
        if uuid in board.calls:
            return None
        if len(board.calls) >= board.config.calls:
            board.later(self._turn_away(uuid, "SWITCH_CONGESTION"), "turn away")
            return None
        call = board.calls[uuid] = LiveCall(customer=uuid)
        board.later(self._submit(call, fields), "arrival")
        return call

    async def _submit(self, call: LiveCall, fields: Mapping[str, object]) -> None:
        """Known to the router first, answered then: a caller who is refused pays nothing."""
        board = self.board
        contact = self._contact_of(call.customer, fields)
        try:
            receipt = await insist(
                lambda: board.router.submit(contact), on=(OutcomeUnknown,), for_s=SUBMIT_FOR_S
            )
        except (Overloaded, StoreFull, OutcomeUnknown):
            await self._refuse(call, "SWITCH_CONGESTION")
            return
        except Refused:
            await self._refuse(call, "CALL_REJECTED")
            return
        call.contact = receipt.contact
        if call.is_over:
            board.tell(call, lambda: board.router.left(call.customer, "hung up"))
        elif receipt.state == "closed" and not receipt.created:
            await board.hang_up(call)  # it was over before: the same channel is parked once more
        elif receipt.state != "closed":
            await self.welcome(call)

    async def _refuse(self, call: LiveCall, cause: str) -> None:
        self.board.forget(call, cause)
        await self._turn_away(call.customer, cause)

    async def _turn_away(self, uuid: str, cause: str) -> None:
        config = self.board.config
        extension, _, context = (config.overflow_to or config.fallback_to).partition("@")
        if extension and cause == "SWITCH_CONGESTION":
            line = f"uuid_transfer {esl.channel_id(uuid)} {extension} XML {context}"
            await self.board.link.ask(esl.api(line))
            return
        await self.board.link.ask(esl.api(f"uuid_kill {esl.channel_id(uuid)} {cause}"))

    def _contact_of(self, uuid: str, fields: Mapping[str, object]) -> NewContact:
        config = self.board.config
        attributes = {
            name: str(fields[f"variable_{variable}"])[:1000]
            for name, variable in config.attributes.items()
            if fields.get(f"variable_{variable}")
        }
        number = str(fields.get("Caller-Caller-ID-Number", ""))
        shown = str(fields.get("Caller-Caller-ID-Name", ""))
        return NewContact(
            external_id=uuid,
            customer=Address(address=number, name=shown if shown != number else ""),
            to=str(fields.get("Caller-Destination-Number", "")),
            entry_point=config.entry_point,
            attributes=attributes,
        )

    async def welcome(self, call: LiveCall) -> None:
        """Answer, and write on the channel whose it is. Raises ChannelError, ChannelLost."""
        board = self.board
        uuid = call.customer
        lines = [
            f"uuid_answer {uuid}",
            f"uuid_setvar {uuid} cr_router {board.name}",
            f"uuid_setvar {uuid} cr_contact {esl.word(call.contact)}",
            f"uuid_setvar {uuid} park_after_bridge true",
        ]
        engine, _, voice = board.config.speak.partition("|")
        if engine:  # for questions, whose text is spoken by ``say:``
            lines += [f"uuid_setvar {uuid} tts_engine {engine}"]
            lines += [f"uuid_setvar {uuid} tts_voice {voice or engine}"]
        frames = await asyncio.gather(*(board.link.ask(esl.api(line)) for line in lines))
        if any(frame.is_refused for frame in frames):
            return  # hung up meanwhile: its event is under way
        call.is_there = True
        await board.settle(call)

    # -- legs and customers that were dialled ------------------------------------------------------

    def leg_up(self, call: LiveCall, leg: Leg) -> None:
        """The agent has picked up. The router says whether this one has the customer."""
        board = self.board
        leg.is_up = True
        leg.at = PARKED
        self._weigh("")
        if leg.is_dropped or call.is_over:
            board.drop_soon(call, leg)
            return
        if leg.is_taken:
            board.take(call, leg)
            if call.start:
                self.dialler.agent_ready(call)
            else:
                board.tell(call, lambda: board.router.connected(leg.reservation))
        else:
            board.tell(call, lambda: self._connected(call, leg))

    async def _connected(self, call: LiveCall, leg: Leg) -> None:
        try:
            await self.board.router.connected(leg.reservation)
        except Refused:  # another one was quicker
            self.board.drop_soon(call, leg, "LOSE_RACE")
            return
        if not leg.is_gone and not leg.is_dropped:
            self.board.take(call, leg)

    def _job(self, event: Event) -> None:
        uuid = self.board.jobs.pop(event.job, "")
        if not uuid:
            return
        if event.body.startswith("+OK"):
            monitor = self._monitor_of(uuid)
            if monitor is not None:
                self.monitor_up(monitor)
            elif uuid in self.board.legs and not self.board.legs[uuid][1].is_up:
                self.leg_up(*self.board.legs[uuid])
            elif uuid in self.board.calls and not self.board.calls[uuid].is_there:
                self.dialler.customer_up(self.board.calls[uuid])
        else:
            self.gone(uuid, event.body.removeprefix("-ERR").strip())

    # -- hang-ups ------------------------------------------------------------------------------

    def gone(self, uuid: str, cause: str) -> None:
        """A channel is over, or never began. The second time is nothing new."""
        board = self.board
        if uuid in board.calls:
            call = board.calls[uuid]
            if call.start and not call.is_there:
                self.dialler.customer_failed(call, WORDS.get(cause, cause.lower()[:60]))
            else:
                self._customer_gone(call)
        elif uuid in board.legs:
            call, leg = board.legs.pop(uuid)
            leg.is_gone = True
            self._leg_gone(call, leg, cause)
        else:
            monitor = self._monitor_of(uuid)
            if monitor is not None:
                del board.monitors[monitor.id]
                if not monitor.is_dropped:
                    self._tell_monitor_ended(monitor, cause)

    def _customer_gone(self, call: LiveCall) -> None:
        board = self.board
        was_served = bool(call.serving)
        board.forget(call, "ORIGINATOR_CANCEL")
        if was_served:
            board.tell(call, lambda: board.router.ended(call.customer, "hung up"))
        elif call.contact:  # else `_submit` says it
            board.tell(call, lambda: board.router.left(call.customer, "hung up"))

    def _leg_gone(self, call: LiveCall, leg: Leg, cause: str) -> None:
        board = self.board
        was_up = leg.is_up
        board.forget_leg(call, leg)
        if not leg.is_dropped:
            self._weigh(cause)
        if not leg.is_dropped and not call.is_over:
            reservation = leg.reservation
            word = WORDS.get(cause, cause.lower()[:60] or "lost")
            if was_up and cause in (*ON_PURPOSE, UNHEARD):
                board.tell(call, lambda: board.router.hung_up(reservation, "hung up"))
            else:
                board.tell(call, lambda: board.router.failed(reservation, word, busy=not was_up))
        if call.customer and not call.is_there and leg.reservation == call.start:
            board.later(board.hang_up(call, "ORIGINATOR_CANCEL"), "hang up")  # still ringing
            return
        board.settle_soon(call)

    def _weigh(self, cause: str) -> None:
        """Whether it is FreeSWITCH itself that cannot dial: then it is spared for a while."""
        now_s = asyncio.get_running_loop().time()
        if not self.board.is_serving:
            return
        if cause in OF_THE_PBX and self.board.breaker.failed(now_s, now_s):
            self.board.router.state("degraded", f"FreeSWITCH cannot dial: {cause}")
        elif cause not in OF_THE_PBX and self.board.breaker.succeeded():
            self.board.router.state("up")

    # -- supervisors -----------------------------------------------------------------------------

    def _monitor_of(self, uuid: str) -> Monitor | None:
        return next((m for m in self.board.monitors.values() if m.uuid == uuid), None)

    def monitor_up(self, monitor: Monitor) -> None:
        """The supervisor has picked up and listens."""
        monitor.is_up = True
        if monitor.is_dropped:
            self.board.later(self._turn_away(monitor.uuid, "NORMAL_CLEARING"), "monitor")

    async def tune(self, monitor: Monitor) -> None:
        """Change what is heard of the supervisor. Raises ChannelError, ChannelLost.

        The application reads its variables when it begins, so it begins once more. After the
        documentation, not recorded.
        """
        link = self.board.link
        for variable, value in whispering(monitor.mode).items():
            await link.do(f"uuid_setvar {monitor.uuid} {variable} {value}")
        if monitor.is_up:
            await link.do(f"uuid_transfer {monitor.uuid} eavesdrop:{monitor.leg} inline")

    def _tell_monitor_ended(self, monitor: Monitor, cause: str) -> None:
        reason = WORDS.get(cause, cause.lower()[:60])
        router = self.board.router
        with suppress(ChannelError):  # too many facts wait: the log says so
            self.board.facts.later(monitor.id, router.monitor_ended, monitor.id, reason)

    # -- what was played, asked, recorded --------------------------------------------------------

    def _played(self, event: Event) -> None:
        if not event.application_uuid:
            return
        call = self.board.calls.get(event.uuid)
        play = call.playing if call is not None else None
        if call is None or play is None or play.id != event.application_uuid:
            return
        call.playing = None
        if call.at == BUSY:
            call.at = PARKED
        if call.answer is not None and call.asked == play.id and not call.answer.done():
            call.answer.set_result(event.digits)
        if play.ends:
            self.board.later(self.board.hang_up(call), "farewell")
        else:
            self.board.settle_soon(call)

    def _record_stopped(self, event: Event) -> None:
        call = self.board.calls.get(event.uuid)
        if call is None or not call.recording or call.recording not in event.record_path:
            return
        recording, call.recording = call.recording, ""
        if not call.is_over and not event.cause:
            router = self.board.router
            self.board.tell(call, lambda: router.recording_ended(recording, "stopped"))
