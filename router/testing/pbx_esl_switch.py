"""The inside of the conformance FreeSWITCH: callers, phones, bridges, and the events they cause.

Each flow names the recording whose order of events it follows (``tests/data/recordings/
freeswitch``, FreeSWITCH 1.11.1); a flow that is on none of them says "after the documentation".
FreeSWITCH moves in ticks of 20 ms; here a tick may be shorter.
"""

from __future__ import annotations

import asyncio
import re
import uuid as uuids
from collections.abc import Callable
from typing import Any

from router.testing.pbx_esl_channel import Channel, Phone, Task, fields, stamps, voices

Emit = Callable[[dict[str, Any]], None]
PARTY = re.compile(r"(?:user/|sofia/[^/]+/|sofia/gateway/[^/]+/)(?:sip:)?([^@]+)")
MUSIC = "local_stream://"


class Switch:
    """All channels, and what happens to them."""

    def __init__(self, emit: Emit, changed: Callable[[], None], tick_s: float) -> None:
        self.channels: dict[str, Channel] = {}
        self.phones: dict[str, Phone] = {}
        self.recordings: dict[str, str] = {}
        """``on``, ``paused`` or ``done``, by path."""
        self.global_variables: dict[str, str] = {}
        self.entry: dict[str, str] = {"contact_router": "yes"}
        """What the dialplan sets before it parks a caller."""
        self.tick_s = tick_s
        self.play_ticks = 5
        """So long lasts an announcement."""
        self._emit = emit
        self._changed = changed
        self._timers: set[asyncio.TimerHandle] = set()

    # -- time and events -----------------------------------------------------------------------

    def later(self, ticks: float, step: Callable[[], None]) -> asyncio.TimerHandle:
        """Do it so many ticks from now."""
        return self.after_s(ticks * self.tick_s, step)

    def after_s(self, seconds: float, step: Callable[[], None]) -> asyncio.TimerHandle:
        """Do it so many seconds from now."""

        def run() -> None:
            self._timers.discard(timer)
            step()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)
        return timer

    def emit(self, name: str, channel: Channel, **more: str) -> None:
        """Say an event about a channel."""
        extra = {key.replace("_", "-"): value for key, value in more.items()}
        self._emit({**fields(name, channel), **extra})
        self._changed()

    def job_done(self, job: str, body: str) -> None:
        """BACKGROUND_JOB with an originate's end."""
        if job:
            event = {**stamps("BACKGROUND_JOB"), "Job-UUID": job, "Job-Command": "originate"}
            self._emit({**event, "Content-Length": str(len(body)), "_body": body})

    def vanish(self) -> None:
        """kill -9: nothing is left, nobody is told."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.channels.clear()
        self.global_variables.clear()
        for phone in self.phones.values():
            phone.channel, phone.is_ringing = None, False
        self.recordings = dict.fromkeys(self.recordings, "done")
        self._changed()

    def phone(self, party: str) -> Phone:
        """Whoever is named so."""
        return self.phones.setdefault(party, Phone(party))

    # -- callers -------------------------------------------------------------------------------

    def new_call(self, customer: str, to: str) -> Channel:
        """An INVITE has come (answered-and-bridged: CHANNEL_CREATE)."""
        phone = self.phone(customer)
        channel = Channel(
            str(uuids.uuid4()), phone, f"sofia/internal/{customer}@127.0.0.1", "inbound",
            customer, "caller", to, {"direction": "inbound"},
        )  # fmt: skip
        phone.channel = channel
        phone.went_on_to = ""
        self.channels[channel.uuid] = channel
        self.emit("CHANNEL_CREATE", channel)
        return channel

    def enter_dialplan(self, channel: Channel) -> None:
        """The dialplan sets its variables and parks (answered-and-bridged: CHANNEL_PARK)."""
        channel.variables |= {**self.entry, "current_application": "park"}
        channel.state, channel.call_state = "CS_EXECUTE", "RINGING"
        channel.is_parked = True
        self.emit("CHANNEL_PARK", channel)

    def answer(self, channel: Channel) -> None:
        """uuid_answer (answered-and-bridged: the event says RINGING still)."""
        if not channel.is_up and not channel.is_gone:
            channel.answer_state = "answered"
            self.emit("CHANNEL_ANSWER", channel)
            channel.call_state = "ACTIVE"

    # -- dialling ------------------------------------------------------------------------------

    def originate(self, values: dict[str, str], dial: str, app: Task, job: str) -> None:
        """Ring a phone (busy-then-next-agent, no-answer-and-cancel, errors)."""
        found = PARTY.match(dial)
        phone = self.phone(found[1] if found else dial)
        phone.rung += 1
        phone.told = ""
        uuid = values.get("origination_uuid") or str(uuids.uuid4())
        if phone.answers == "unknown":
            self.job_done(job, "-ERR SUBSCRIBER_ABSENT\n")
            return
        if uuid in self.channels:  # after the documentation: an id is given once
            self.job_done(job, "-ERR NORMAL_TEMPORARY_FAILURE\n")
            return
        number = values.get("origination_caller_id_number", "0000000000")
        name = values.get("origination_caller_id_name", "")
        channel = Channel(uuid, phone, dial, "outbound", number, name, phone.party, dict(values))
        channel.job, channel.app = job, app
        self.channels[uuid] = channel
        self.emit("CHANNEL_CREATE", channel)
        channel.state = "CS_CONSUME_MEDIA"
        is_busy = phone.answers == "busy" or phone.channel is not None
        if not is_busy:
            phone.channel = channel
        self.later(1, lambda: self._ring(channel, is_busy=is_busy))
        self.after_s(
            float(values.get("originate_timeout", "60")), lambda: self._give_up_ringing(channel)
        )

    def _ring(self, channel: Channel, *, is_busy: bool) -> None:
        phone = channel.phone
        if channel.is_gone:
            return
        if is_busy or phone.answers == "fails":
            self.hang_up(channel, "USER_BUSY" if is_busy else "NORMAL_TEMPORARY_FAILURE")
            return
        phone.is_ringing = True
        self.emit("CHANNEL_PROGRESS", channel)
        channel.call_state = "RINGING"
        if phone.answers == "answers":
            self.later(1, lambda: self.pick_up(channel))

    def _give_up_ringing(self, channel: Channel) -> None:
        if not channel.is_up and not channel.is_gone:
            channel.phone.told = "cancelled"
            self.hang_up(channel, "NO_ANSWER")

    def pick_up(self, channel: Channel) -> None:
        """The phone answers (answered-and-bridged: ANSWER, a tick later the job and PARK)."""
        if channel.is_up or channel.is_gone:
            return
        channel.phone.is_ringing = False
        channel.answer_state = "answered"
        self.emit("CHANNEL_ANSWER", channel)
        self.later(1, lambda: self._run_first(channel))

    def _run_first(self, channel: Channel) -> None:
        if channel.is_gone:
            return
        channel.state, channel.call_state = "CS_EXECUTE", "ACTIVE"
        channel.variables["current_application"] = channel.app.app
        job, channel.job = channel.job, ""
        self.job_done(job, f"+OK {channel.uuid}\n")
        if channel.app.app == "park":
            channel.is_parked = True
            self.emit("CHANNEL_PARK", channel)
        else:
            self.run_inline(channel, [channel.app])

    # -- bridges -------------------------------------------------------------------------------

    def bridge(self, a: Channel, b: Channel) -> None:
        """uuid_bridge (answered-and-bridged; park-agent-and-transfer from CS_PARK)."""
        for channel, other in ((a, b), (b, a)):
            self._leave_peer(channel, keep=other)
            channel.turn += 1
            channel.is_joined = False
        a.peer, b.peer = b, a
        a.is_originator, b.is_originator = True, False
        turns = a.turn, b.turn
        self.later(1, lambda: self._stop_for_bridge(b, turns[1]))
        playing = a.plays is not None
        self.later(6 if playing else 1, lambda: self._stop_for_bridge(a, turns[0]))
        self.later(7 if playing else 2, lambda: self._join(a, b, turns))

    def _stop_for_bridge(self, channel: Channel, turn: int) -> None:
        if channel.turn == turn and not channel.is_gone:
            self._stop_applications(channel, "PLAYBACK ERROR")

    def _stop_applications(self, channel: Channel, response: str) -> None:
        """What runs ends: the application above park, park itself, the conference."""
        in_park_state = channel.state == "CS_PARK"
        played = channel.plays
        channel.running.clear()
        self._stop_timers(channel)
        if played is not None:
            self._complete(channel, played, response)
        if channel.room or channel.spied:
            app = "conference" if channel.room else "eavesdrop"
            channel.room = channel.spied = ""
            self._complete(channel, Task(app), "_none_")
        if channel.is_parked:
            channel.is_parked = False
            self.emit("CHANNEL_UNPARK", channel)
            if not in_park_state:
                self._complete(channel, Task("park"), response if played else "_none_")

    def _complete(self, channel: Channel, task: Task, response: str) -> None:
        more = {"Application": task.app, "Application_Response": response}
        if task.uuid:
            more["Application_UUID"] = task.uuid
        self.emit("CHANNEL_EXECUTE_COMPLETE", channel, **more)

    def _join(self, a: Channel, b: Channel, turns: tuple[int, int]) -> None:
        if (a.turn, b.turn) != turns or a.is_gone or b.is_gone:
            return
        a.state, b.state = "CS_SOFT_EXECUTE", "CS_EXCHANGE_MEDIA"
        a.call_state = b.call_state = "ACTIVE"
        a.is_joined = b.is_joined = True
        self.emit(
            "CHANNEL_BRIDGE", a, Bridge_A_Unique_ID=a.uuid, Bridge_B_Unique_ID=b.uuid
        )  # fmt: skip

    def _unbridged(self, a: Channel, b: Channel) -> None:
        self.emit("CHANNEL_UNBRIDGE", a, Bridge_A_Unique_ID=a.uuid, Bridge_B_Unique_ID=b.uuid)

    def _part(self, channel: Channel) -> Channel | None:
        """Take it from its peer, who is returned."""
        peer, channel.peer = channel.peer, None
        channel.is_joined = False
        if peer is not None:
            peer.peer, peer.is_joined = None, False
            peer.turn += 1
        return peer

    def _leave_peer(self, channel: Channel, keep: Channel) -> None:
        """It goes elsewhere: its peer parks or is hung up (after the documentation)."""
        if channel.peer is None or channel.peer is keep:
            return
        was_originator = channel.is_originator
        peer = self._part(channel)
        assert peer is not None
        a, b = (channel, peer) if was_originator else (peer, channel)

        def step() -> None:
            self._unbridged(a, b)
            self._after_bridge(peer, was_first=peer is a)

        self.later(1, step)

    def _after_bridge(self, channel: Channel, *, was_first: bool) -> None:
        """What `park_after_bridge` decides for the bridge's first leg (agent-hangs-up)."""
        if channel.is_gone or channel.peer is not None:
            return
        if channel.parks and was_first:
            self.park(channel, "CS_PARK")
        else:
            self.hang_up(channel, "NORMAL_CLEARING")

    def park(self, channel: Channel, state: str) -> None:
        """CHANNEL_PARK: in the application (CS_EXECUTE), or as a state (CS_PARK)."""
        channel.state = state
        channel.is_parked = True
        self.emit("CHANNEL_PARK", channel)

    # -- ends ----------------------------------------------------------------------------------

    def hang_up(self, channel: Channel, cause: str, *, by_phone: bool = False) -> None:
        """A channel ends: HANGUP, then its peer's fate, then the rest of its events."""
        if channel.is_gone:
            return
        channel.is_gone = True
        channel.turn += 1
        channel.cause = cause
        phone = channel.phone
        if phone.is_ringing and phone.channel is channel and not phone.told:
            phone.told = "elsewhere" if cause == "LOSE_RACE" else "cancelled"
        was_answered = channel.answer_state == "answered"
        channel.answer_state = "hangup"
        if phone.channel is channel:
            phone.channel, phone.is_ringing = None, False
        self.emit("CHANNEL_HANGUP", channel)
        self._end_spies(channel)
        peer = channel.peer
        a = channel if channel.is_originator else peer
        if peer is not None and not channel.is_joined:
            # uuid_bridge was on its way: FreeSWITCH hangs up the other one, whatever
            # park_after_bridge says (uuid_bridge_on_soft_execute in its source, not recorded).
            self.hang_up(peer, "DESTINATION_OUT_OF_ORDER")
        elif peer is not None and (channel.is_originator or not peer.parks):
            # answered-and-bridged: at once; hold-refused-by-phone: the second leg of uuid_bridge
            # never parks when the first one ends, park_after_bridge or not.
            self.hang_up(peer, "NORMAL_CLEARING")
        response = "PLAYBACK ERROR" if by_phone else "FILE PLAYED"
        if was_answered and not by_phone:
            self.later(1, lambda: self._bury(channel, a, response))
        else:
            self._bury(channel, a, response)

    def _bury(self, channel: Channel, a: Channel | None, response: str) -> None:
        peer = self._part(channel)
        if a is channel and peer is not None:
            self._unbridged(channel, peer)
        self._stop_applications(channel, response)
        for path, state in self.recordings.items():
            if state != "done" and channel.variables.get("record") == path:
                self.recordings[path] = "done"
                self.emit("RECORD_STOP", channel, Record_File_Path=path)
        channel.state, channel.call_state = "CS_REPORTING", "HANGUP"
        channel.variables["hangup_cause"] = channel.cause
        self.emit("CHANNEL_HANGUP_COMPLETE", channel)
        job, channel.job = channel.job, ""
        self.job_done(job, f"-ERR {channel.cause}\n")
        if peer is not None and not peer.is_gone:
            self.later(1, lambda: self._leave_survivor(channel, peer, is_a=a is peer))
        self.channels.pop(channel.uuid, None)
        self.emit("CHANNEL_DESTROY", channel)

    def _leave_survivor(self, gone: Channel, peer: Channel, *, is_a: bool) -> None:
        if is_a and not peer.is_gone:
            self._unbridged(peer, gone)  # agent-hangs-up: UNBRIDGE, then PARK
        self._after_bridge(peer, was_first=is_a)

    def _end_spies(self, channel: Channel) -> None:
        for other in list(self.channels.values()):
            if other.spied == channel.uuid:  # after the documentation
                self.later(1, lambda other=other: self.hang_up(other, "NORMAL_CLEARING"))  # type: ignore[misc]

    # -- applications --------------------------------------------------------------------------

    def transfer(self, channel: Channel, tasks: list[Task], which: str) -> None:
        """uuid_transfer to the inline dialplan (park-agent-and-transfer: -bleg park)."""
        was_originator = channel.is_originator
        peer = self._part(channel)
        channel.turn += 1
        moved = {"-bleg": [peer], "-both": [channel, peer]}.get(which, [channel])
        stays = [each for each in (channel, peer) if each not in moved]

        def step() -> None:
            for each in moved:
                if each is not None and not each.is_gone:
                    self._stop_applications(each, "PLAYBACK ERROR")
                    each.state = "CS_EXECUTE"
                    self.run_inline(each, tasks)
            a, b = (channel, peer) if was_originator else (peer, channel)
            if a is not None and b is not None:
                self._unbridged(a, b)
            for each in stays:
                if each is not None and peer is not None:
                    self._after_bridge(each, was_first=each is a)

        self.later(1, step)

    def run_inline(self, channel: Channel, tasks: list[Task]) -> None:
        """Applications one after the other. All but park are after the documentation."""
        first, rest = tasks[0], tasks[1:]
        channel.variables["current_application"] = first.app
        match first.app:
            case "park":
                self.park(channel, "CS_EXECUTE")
            case "conference":
                channel.room = first.data.partition("@")[0]
            case "eavesdrop":
                # FreeSWITCH's own test (tests/unit/switch_eavesdrop.c): with whisper_bleg it is the
                # channel listened to that hears the listener, with whisper_aleg the other side.
                to_it = channel.variables.get("eavesdrop_whisper_bleg") == "true"
                to_others = channel.variables.get("eavesdrop_whisper_aleg") == "true"
                channel.spy_digit = "3" if to_it and to_others else "021"[to_it + 2 * to_others]
                channel.spied = first.data
                if first.data not in self.channels:
                    self.hang_up(channel, "NORMAL_CLEARING")
            case "hangup":
                self.hang_up(channel, first.data or "NORMAL_CLEARING")
            case "playback" | "speak":
                channel.phone.played.append(first.data)
                channel.running.append(first)

                def on() -> None:
                    channel.running.clear()
                    if rest:
                        self.run_inline(channel, rest)

                self.later(self.play_ticks, lambda: None if channel.is_gone else on())
            case _:
                pass  # ``dialplan``: it goes on alone
        self._changed()

    def run(self, channel: Channel, task: Task) -> None:
        """uuid_broadcast and sendmsg: above park, behind what runs already."""
        if channel.is_joined or channel.is_gone:
            return
        channel.running.append(task)
        if len(channel.running) == 1:
            self._begin(channel)

    def _begin(self, channel: Channel) -> None:
        task = channel.running[0]
        channel.variables["current_application"] = task.app
        self._changed()
        if task.data.startswith(MUSIC):
            return
        turn = channel.turn
        if task.app == "play_and_get_digits":
            words = task.data.split(" ")
            channel.digits = ""
            channel.phone.played.append(words[5])
            timer = self.after_s(int(words[3]) / 1000, lambda: self._end_app(channel, turn))
        else:
            channel.phone.played.append(task.data)
            timer = self.later(self.play_ticks, lambda: self._end_app(channel, turn))
        channel.timers.append(timer)

    def _end_app(self, channel: Channel, turn: int, response: str = "FILE PLAYED") -> None:
        if channel.is_gone or channel.turn != turn or not channel.running:
            return
        self._stop_timers(channel)
        task = channel.running.popleft()
        if task.app == "play_and_get_digits":
            channel.variables[task.data.split(" ")[7]] = channel.digits
        self._complete(channel, task, response)
        if channel.running:
            self._begin(channel)

    def stop_playing(self, channel: Channel, *, all_: bool) -> None:
        """uuid_break (after the documentation)."""
        if all_:
            for waiting in list(channel.running)[1:]:
                channel.running.remove(waiting)
        self._end_app(channel, channel.turn, "PLAYBACK ERROR")

    def press(self, channel: Channel, digit: str) -> None:
        """A digit from the phone (after the documentation)."""
        self.emit("DTMF", channel, DTMF_Digit=digit)
        if channel.spied and channel.variables.get("eavesdrop_enable_dtmf") != "false":
            channel.spy_digit = digit if digit in "0123" else channel.spy_digit
        task = channel.plays
        if task is not None and task.app == "play_and_get_digits":
            words = task.data.split(" ")
            if digit not in words[4]:
                channel.digits += digit
            if digit in words[4] or len(channel.digits) >= int(words[1]):
                self._end_app(channel, channel.turn)

    def _stop_timers(self, channel: Channel) -> None:
        for timer in channel.timers:
            timer.cancel()
            self._timers.discard(timer)
        channel.timers.clear()

    def hold(self, channel: Channel) -> None:
        """uuid_hold: a re-INVITE, which the phone may refuse (hold-refused-by-phone)."""
        channel.call_state = "HELD"
        self.emit("CHANNEL_HOLD", channel)
        if channel.phone.refuses_hold:

            def refused() -> None:
                channel.call_state = "UNHELD"
                self.emit("CHANNEL_UNHOLD", channel)
                self.hang_up(channel, "NORMAL_TEMPORARY_FAILURE", by_phone=True)

            self.later(2, refused)

    def voices(self, channel: Channel) -> set[str]:
        """Whose voices reach it."""
        return voices(list(self.channels.values()), channel)
