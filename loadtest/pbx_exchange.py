"""Phones and callers at the edge of a PBX: a SIP user agent that counts from outside.

One `Exchange` is one UDP socket on loopback with any number of phones behind it. It does what RFC
3261 asks of a user agent without registration: INVITE, ACK, BYE, CANCEL, OPTIONS, re-INVITE,
retransmission both ways. Moments are the kernel's receive time stamps, so that a busy process does
not blur what is measured. Knows nothing of the router.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from loadtest import pbx_sip as sip
from loadtest.pbx_phone import Leg, Phone, now
from loadtest.pbx_sip import Message
from loadtest.pbx_tone import Sound, Tones

T1_S = 0.5
"""RFC 3261 17.1.1.1: first wait before a request is sent again."""
GIVE_UP_S = 64 * T1_S
BUFFER = 8 << 20
KEPT = 8192
SO_TIMESTAMPNS = 35
"""Linux: each datagram comes with the moment at which the kernel took it."""


@dataclass(slots=True)
class _Pending:
    """A request of ours without final answer."""

    leg: Leg
    method: str
    data: bytes
    wait_s: float
    until: float
    timer: asyncio.TimerHandle | None = None


class Exchange:
    """All phones and callers of one UDP socket."""

    def __init__(self, *, sound: bool = False) -> None:
        """`sound`: legs send a tone each and listen; otherwise what they get is thrown away."""
        self.phones: dict[str, Phone] = {}
        self.legs: dict[str, Leg] = {}
        """Live ones, by Call-ID."""
        self.pbx_port = 0
        self.port = 0
        self.sink_port = 0
        self.on_change: Callable[[], None] = _nothing
        self.on_ring: Callable[[Leg], None] = _ignore
        self.on_end: Callable[[Leg], None] = _ignore
        self.on_answer: Callable[[Leg], None] = _ignore
        """A call of ours was answered."""
        self.on_heard: Callable[[Leg], None] = _ignore
        """A tone has begun at this leg's ear."""
        self.resent = 0
        """Datagrams that had to be sent again: the machine is too busy."""
        self.tones = Tones()
        self._sound = sound
        self._numbers = itertools.count(1)
        self._run = os.urandom(4).hex()
        self._pending: dict[str, _Pending] = {}
        self._said: OrderedDict[str, bytes] = OrderedDict()
        """Our answers by transaction, for requests that come again."""
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._sink = socket.socket(type=socket.SOCK_DGRAM)

    # --- its life -----------------------------------------------------------------------------

    def open(self) -> None:
        """Take calls. Needs a running loop."""
        for one in (self._socket, self._sink):
            one.setblocking(False)
            one.bind(("127.0.0.1", 0))
        # FORCE: the system's limit for others is far below a burst of calls.
        for option in (socket.SO_RCVBUF, getattr(socket, "SO_RCVBUFFORCE", 33)):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            except PermissionError:
                continue
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.port = self._socket.getsockname()[1]
        self.sink_port = self._sink.getsockname()[1]  # never read: the kernel drops what comes
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """All legs are dropped without a word."""
        for leg in list(self.legs.values()):
            self.over(leg, by_us=True)
        for pending in self._pending.values():
            if pending.timer is not None:
                pending.timer.cancel()
        self._pending.clear()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._sink.close()

    def drop_all(self) -> None:
        """The PBX is gone: no leg lives, no request waits."""
        for leg in list(self.legs.values()):
            self.over(leg)
        for key in list(self._pending):
            self._settle(key)

    def phone(self, name: str) -> Phone:
        """The phone of this name, made when it is first asked for."""
        return self.phones.setdefault(name, Phone(name))

    # --- what parties do ----------------------------------------------------------------------

    def dial(self, party: str, to: str, *, hangs_up_after_s: float | None = None) -> Leg:
        """A customer calls `to`; hangs up by itself so long after dialling."""
        call_id = f"{self._run}-{next(self._numbers)}"
        leg = Leg(
            exchange=self,
            party=party,
            incoming=False,
            call_id=call_id,
            local=f"<sip:{party}@127.0.0.1:{self.port}>;tag=c{call_id}",
            remote=f"<sip:{to}@127.0.0.1:{self.pbx_port}>",
            target=f"sip:{to}@127.0.0.1:{self.pbx_port}",
            invite=Message("", []),
            began=now(),
        )
        self._attach_sound(leg)
        self.legs[call_id] = leg
        offer = leg.offer()
        leg.began = now()
        leg.invite = self.request(leg, "INVITE", offer)
        if hangs_up_after_s is not None:
            leg.hang_up_after(hangs_up_after_s)
        return leg

    def cancel(self, leg: Leg) -> None:
        """Give up an unanswered INVITE of ours (RFC 3261 9.1)."""
        if leg.by_us:
            return
        leg.by_us = True
        same = [(name, leg.invite.get(name)) for name in ("via", "from", "to", "call-id")]
        headers = [*same, ("cseq", "1 CANCEL"), ("max-forwards", "70")]
        message = Message(f"CANCEL {leg.target} SIP/2.0", headers)
        self._request(leg, message)

    def request(self, leg: Leg, method: str, body: str = "") -> Message:
        """Send a request in the leg's dialog, again until it is answered."""
        if method != "INVITE" or leg.state == "up":
            leg.cseq += 1
        branch = f"z9hG4bK{self._run}{next(self._numbers)}"
        message = self._message(leg, method, branch, leg.cseq, body)
        self._request(leg, message)
        return message

    def _request(self, leg: Leg, message: Message) -> None:
        key = message.branch + message.method
        pending = _Pending(leg, message.method, message.to_bytes(), T1_S, now() + GIVE_UP_S)
        self._pending[key] = pending
        self._send(pending.data)
        pending.timer = self._loop.call_later(T1_S, self._again, key)

    def _message(self, leg: Leg, method: str, branch: str, cseq: int, body: str = "") -> Message:
        headers = [
            ("via", f"SIP/2.0/UDP 127.0.0.1:{self.port};rport;branch={branch}"),
            ("max-forwards", "70"), ("from", leg.local), ("to", leg.remote),
            ("call-id", leg.call_id), ("cseq", f"{cseq} {method}"), ("contact", leg.contact),
        ]  # fmt: skip
        if body:
            headers.append(("content-type", "application/sdp"))
        return Message(f"{method} {leg.target} SIP/2.0", headers, body)

    # --- receiving ----------------------------------------------------------------------------

    def _readable(self) -> None:
        for _ in range(64):
            try:
                data, extra, _, _ = self._socket.recvmsg(65_535, 64)
            except (BlockingIOError, ConnectionRefusedError):
                return
            at = now()
            for _, kind, stamp in extra:
                if kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("qq", stamp[:16])
                    at = seconds + nanoseconds / 1e9
            try:
                message = sip.parse(data)
            except sip.Malformed:
                continue
            if message.is_request:
                self._on_request(message, at)
            else:
                self._on_response(message, at)

    def _on_request(self, message: Message, at: float) -> None:
        method = message.method
        leg = self.legs.get(message.get("call-id"))
        if method == "ACK":
            if leg is not None and leg.timer is not None:
                leg.timer.cancel()
                leg.timer = None
            return
        said = self._said.get(message.branch + method)
        if said is not None:
            self._send(said)
        elif method == "OPTIONS":
            self.reply(message, sip.answer(message, 200, tag="o"))
        elif method == "INVITE" and not sip.tag_of(message.get("to")):
            if leg is None:
                self._invited(message, at)
            else:  # the same again: the latest provisional answer (RFC 3261 17.2.1)
                self._say_ringing(leg)
        elif leg is None:
            self.reply(message, sip.answer(message, 481, tag="x"))
        else:
            self._in_dialog(leg, message, at)

    def _in_dialog(self, leg: Leg, message: Message, at: float) -> None:
        match message.method:
            case "CANCEL":
                self.reply(message, sip.answer(message, 200))
                if leg.state == "ringing":
                    leg.cause = sip.cause_of(message)
                    self.refuse(leg, 487, at=at)
            case "BYE":
                self.reply(message, sip.answer(message, 200))
                leg.cause = sip.cause_of(message)
                self.over(leg, at=at)
            case "INVITE" | "UPDATE":
                if leg.sound is not None and message.body:
                    leg.sound.towards(sip.media_port(message.body))
                body = leg.offer() if message.method == "INVITE" or message.body else ""
                self.reply(message, sip.answer(message, 200, contact=leg.contact, body=body))
            case _:
                self.reply(message, sip.answer(message, 501))

    def _invited(self, message: Message, at: float) -> None:
        phone = self.phone(message.user)
        tag = f"p{self._run}{next(self._numbers)}"
        leg = Leg(
            exchange=self,
            party=phone.name,
            incoming=True,
            call_id=message.get("call-id"),
            local=f"{message.get('to')};tag={tag}",
            remote=message.get("from"),
            target=sip.uri_of(message.get("contact")),
            invite=message,
            began=at,
            state="ringing",
            ringing_at=at,
        )
        phone.rings.append(leg)
        self.legs[leg.call_id] = leg
        if phone.refuses or any(one.state != "ended" for one in phone.rings[:-1]):
            self.refuse(leg, phone.refuses or 486, by_us=True)  # one call at a time: busy
            self.on_ring(leg)
            return
        self._attach_sound(leg)
        if leg.sound is not None:
            leg.sound.towards(sip.media_port(message.body))
        self._say_ringing(leg)
        if phone.answers_after_s is not None:
            leg.plans.append(self._loop.call_later(phone.answers_after_s, leg.answer))
        self.on_ring(leg)
        self.on_change()

    def _say_ringing(self, leg: Leg) -> None:
        tag = sip.tag_of(leg.local)
        self._send(sip.answer(leg.invite, 180, tag=tag, contact=leg.contact).to_bytes())

    def _on_response(self, message: Message, at: float) -> None:
        method, status = message.method, message.status
        key = message.branch + method
        pending = self._pending.get(key)
        leg = pending.leg if pending else self.legs.get(message.get("call-id"))
        if method == "INVITE" and status >= 200 and leg is not None:
            self._acknowledge(leg, message)
        if pending is None or leg is None:
            return
        if status < 200:
            if method == "INVITE" and pending.timer is not None:
                pending.timer.cancel()  # 17.1.1.2: no more repeats once something has come
            if status == 180 and leg.state == "dialling":
                leg.state, leg.ringing_at = "ringing", at
                self.on_change()
            return
        self._settle(key)
        if method == "INVITE" and leg.state in ("dialling", "ringing"):
            self._answered(leg, message, at)
        elif method == "INVITE":
            leg.offered()
        if leg.sound is not None and message.body:
            leg.sound.towards(sip.media_port(message.body))

    def _answered(self, leg: Leg, message: Message, at: float) -> None:
        leg.remote = message.get("to")
        if message.status >= 300:
            leg.status = message.status
            leg.cause = sip.cause_of(message)
            self.over(leg, at=at, by_us=leg.by_us)
            return
        leg.state, leg.answered_at = "up", at
        if leg.by_us:  # our CANCEL and their 200 crossed (RFC 3261 9.1): end it properly
            leg.hang_up()
        else:
            self.on_answer(leg)
        self.on_change()

    def _acknowledge(self, leg: Leg, message: Message) -> None:
        number = int(message.get("cseq").split()[0])
        if leg.acknowledged[0] == number:
            self._send(leg.acknowledged[1])  # our ACK was lost
            return
        leg.remote = message.get("to") if not leg.incoming else leg.remote
        if message.status < 300:
            # 13.2.2.4: an ACK of 2xx is a transaction of its own, to the remote target.
            leg.target = sip.uri_of(message.get("contact")) or leg.target
            branch = f"z9hG4bK{self._run}{next(self._numbers)}"
        else:
            branch = message.branch  # 17.1.1.3: of a refusal, in the INVITE's own
        leg.acknowledged = (number, self._message(leg, "ACK", branch, number).to_bytes())
        self._send(leg.acknowledged[1])

    # --- sending ------------------------------------------------------------------------------

    def reply(self, request: Message, response: Message) -> bytes:
        """Answer, and remember the answer for the same request again."""
        data = response.to_bytes()
        self._said[request.branch + request.method] = data
        while len(self._said) > KEPT:
            self._said.popitem(last=False)
        self._send(data)
        return data

    def refuse(
        self, leg: Leg, status: int, *, at: float | None = None, by_us: bool = False
    ) -> None:
        """A final answer other than 200 to the leg's INVITE."""
        leg.status = status
        self.reply(leg.invite, sip.answer(leg.invite, status, tag=sip.tag_of(leg.local)))
        self.over(leg, at=at, by_us=by_us)

    def repeat(self, leg: Leg, data: bytes, wait_s: float = T1_S) -> None:
        """Send our 200 again until the ACK comes; waits double up to 4 s."""

        def again() -> None:
            self.resent += 1
            self._send(data)
            self.repeat(leg, data, min(2 * wait_s, 4.0))

        leg.timer = self._loop.call_later(wait_s, again)

    def after_answer(self, leg: Leg) -> None:
        """Plans of the phone that was picked up."""
        talks_s = self.phone(leg.party).talks_s
        if talks_s is not None:
            leg.hang_up_after(talks_s)
        self.on_change()

    def over(self, leg: Leg, *, at: float | None = None, by_us: bool = False) -> None:
        """The leg has ended."""
        if leg.state == "ended":
            return
        leg.state, leg.ended_at, leg.by_us = "ended", now() if at is None else at, by_us
        for timer in [*leg.plans, leg.timer]:
            if timer is not None:
                timer.cancel()
        leg.plans.clear()
        leg.timer = None
        if leg.sound is not None:
            leg.sound.close()
        self.legs.pop(leg.call_id, None)
        self.on_end(leg)
        self.on_change()

    def _again(self, key: str) -> None:
        pending = self._pending[key]
        if now() > pending.until:
            self._settle(key)
            self.over(pending.leg)
            return
        self.resent += 1
        self._send(pending.data)
        most = GIVE_UP_S if pending.method == "INVITE" else 4.0
        pending.wait_s = min(2 * pending.wait_s, most)
        pending.timer = self._loop.call_later(pending.wait_s, self._again, key)

    def _settle(self, key: str) -> None:
        pending = self._pending.pop(key)
        if pending.timer is not None:
            pending.timer.cancel()

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, ("127.0.0.1", self.pbx_port))
        except (BlockingIOError, ConnectionRefusedError):
            self.resent += 1  # as if the network had lost it: it is sent again

    def _attach_sound(self, leg: Leg) -> None:
        if self._sound and self.tones.has_room(leg.party):
            leg.sound = Sound(self._loop, self.tones, leg.party)
            leg.sound.on_heard = lambda: self.on_heard(leg)


def _nothing() -> None:
    """Nobody wants to know."""


def _ignore(leg: Leg) -> None:
    """Nobody wants to know."""
    del leg
