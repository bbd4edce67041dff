"""A phone and its calls, as somebody who sits beside it sees them.

Each call leg remembers when it was rung, answered and ended. What goes over the wire is the
business of `pbx_exchange`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from loadtest import pbx_sip as sip
from loadtest.pbx_sip import Message
from loadtest.pbx_tone import Sound

if TYPE_CHECKING:
    from loadtest.pbx_exchange import Exchange

State = Literal["dialling", "ringing", "up", "ended"]


def now() -> float:
    """Wall clock in seconds: what the kernel's time stamps are in, too."""
    return time.clock_gettime(time.CLOCK_REALTIME)


@dataclass(eq=False)
class Leg:
    """One call of one party, from its INVITE to its end. Moments are 0 until they come."""

    exchange: Exchange
    party: str
    incoming: bool
    call_id: str
    local: str
    """Our From or To, with our tag."""
    remote: str
    target: str
    """Where requests inside the dialog go (RFC 3261 12.2.1.1)."""
    invite: Message
    began: float
    state: State = "dialling"
    ringing_at: float = 0.0
    answered_at: float = 0.0
    ended_at: float = 0.0
    status: int = 0
    """Final status of an INVITE that failed, as sent or received."""
    cause: int = 0
    """Why the other side ended it (RFC 3326), if it said so."""
    by_us: bool = False
    """We ended it."""
    told_from: float = 0.0
    """When the party at the other end meant to hang up, by whoever drives both; 0: they did not."""
    cseq: int = 1
    version: int = 1
    offering: bool = False
    """A re-INVITE of ours is under way."""
    next_hold: bool | None = None
    acknowledged: tuple[int, bytes] = (0, b"")
    """CSeq of the INVITE whose final answer came last, and our ACK of it."""
    sound: Sound | None = None
    timer: asyncio.TimerHandle | None = None
    """Repeats our 200 until its ACK comes (RFC 3261 13.3.1.4)."""
    plans: list[asyncio.TimerHandle] = field(default_factory=list)

    def answer(self) -> None:
        """Pick up."""
        if self.state != "ringing" or not self.incoming:
            return
        self.state, self.answered_at = "up", now()
        reply = sip.answer(
            self.invite, 200, tag=sip.tag_of(self.local), contact=self.contact, body=self.offer()
        )
        data = self.exchange.reply(self.invite, reply)
        self.exchange.repeat(self, data)
        self.exchange.after_answer(self)

    def refuse(self, status: int = 486) -> None:
        """Do not pick up: say so."""
        if self.state == "ringing" and self.incoming:
            self.exchange.refuse(self, status, by_us=True)

    def hang_up(self) -> None:
        """Put the phone down, in whatever state it is."""
        match self.state:
            case "up":
                self.exchange.request(self, "BYE")
                self.exchange.over(self, by_us=True)
            case "ringing" if self.incoming:
                self.refuse(603)
            case "dialling" | "ringing":
                self.exchange.cancel(self)
            case "ended":
                pass

    def hang_up_after(self, seconds: float) -> None:
        """Put it down later."""
        self.plans.append(asyncio.get_running_loop().call_later(seconds, self.hang_up))

    def hold(self, on: bool) -> None:
        """The phone's own hold key: a re-INVITE (RFC 3264 8.4)."""
        if self.offering:
            self.next_hold = on  # 14.1: not before the one under way is answered
        elif self.state == "up":
            self.offering = True
            self.version += 1
            if self.sound is not None:
                self.sound.muted = on
            way = "sendonly" if on else "sendrecv"
            self.exchange.request(self, "INVITE", self.offer(way))

    def offered(self) -> None:
        """Our re-INVITE was answered."""
        self.offering = False
        if self.next_hold is not None:
            on, self.next_hold = self.next_hold, None
            self.hold(on)

    def offer(self, way: str = "sendrecv") -> str:
        """Our session description."""
        port = self.sound.port if self.sound else self.exchange.sink_port
        return sip.sdp(port, self.version, way=way)

    @property
    def contact(self) -> str:
        """Where this leg is reached."""
        return f"<sip:{self.party}@127.0.0.1:{self.exchange.port}>"


@dataclass(eq=False)
class Phone:
    """An agent's phone and what it does when it is rung."""

    name: str
    answers_after_s: float | None = None
    """None: rings until somebody picks up."""
    refuses: int = 0
    """Answers every call with this status at once; 0: rings."""
    talks_s: float | None = None
    """Hangs up by itself so long after it was answered."""
    rings: list[Leg] = field(default_factory=list)
    """Every call it ever got, those it refused included."""

    @property
    def leg(self) -> Leg | None:
        """The call it has now."""
        return next((leg for leg in reversed(self.rings) if leg.state != "ended"), None)
