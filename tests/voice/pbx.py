"""The edge of a PBX as a call story sees it: callers, phones, and questions about the inside.

`stories.py` is written against this alone, so one story runs on every PBX: conformance servers made
from recordings, and real ones with real phones. A *party* is whoever holds a phone: a customer,
named by their number, or an agent, named by their phone. Each party has at most one call.

What happens at the edge is said to the PBX (`call`, `answer`, `hang_up` ...); these return when the
PBX has taken it, not when its consequences are there. What is asked (`hears`, `plays`, ...) is
answered by the PBX or by the phones, never by the adapter under test.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

Answers = Literal["rings", "answers", "busy", "unknown", "fails"]
"""What a phone does when it is rung: ``rings`` until the story answers, ``answers`` at once, is
``busy``, is ``unknown`` to the PBX (nothing registered), or ``fails`` (the network answers 503)."""


class Pbx(ABC):
    """A PBX whose edge a story holds. Parties are made when they are first named."""

    kind: str
    """The adapter's type in the configuration."""

    voicemail: str
    """A place in its dialplan, as the adapter's settings name one."""

    on_change: Callable[[], None]
    """Set by the story before `start`: to be called whenever an answer may have changed."""

    # -- configuration -------------------------------------------------------------------------

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Settings of the adapter that joins this PBX, for the configuration file."""

    @abstractmethod
    def endpoint(self, phone: str) -> str:
        """What an agent's endpoint is in the configuration."""

    def says(self, announcement: str) -> str:
        """The text of the configuration for which ``welcome``, ``closed`` or ``menu`` is played."""
        return announcement

    # -- the PBX's own life --------------------------------------------------------------------

    @abstractmethod
    async def start(self) -> None:
        """Run; `settings` is asked only after this."""

    @abstractmethod
    async def stop(self) -> None:
        """End, and whatever was started with it."""

    @abstractmethod
    async def kill(self) -> None:
        """kill -9: every call is gone, and nobody is told."""

    @abstractmethod
    async def restart(self) -> None:
        """Run again after `kill`, at the same address, with the same phones and no calls."""

    @abstractmethod
    async def cut_events(self) -> None:
        """The connection that brings events breaks, and cannot be had again; calls stay up."""

    @abstractmethod
    async def restore_events(self) -> None:
        """It can be had again."""

    @abstractmethod
    async def take_events(self) -> None:
        """A second router connects as this one does."""

    # -- what customers and agents do ----------------------------------------------------------

    @abstractmethod
    def will(self, party: str, answers: Answers) -> None:
        """What this party's phone does from now on when it is rung; ``rings`` until told."""

    @abstractmethod
    async def call(self, customer: str, to: str) -> None:
        """The customer dials one of our numbers."""

    @abstractmethod
    async def answer(self, party: str) -> None:
        """A ringing phone is picked up."""

    @abstractmethod
    async def refuse(self, party: str) -> None:
        """A ringing phone is told to refuse (486 Busy Here)."""

    @abstractmethod
    async def hang_up(self, party: str) -> None:
        """The party puts the phone down."""

    @abstractmethod
    async def press(self, party: str, digits: str) -> None:
        """DTMF, one digit after the other."""

    @abstractmethod
    async def push_hold(self, party: str, on: bool) -> None:
        """The phone's own hold key (a re-INVITE)."""

    # -- what can be asked ---------------------------------------------------------------------

    @abstractmethod
    async def hears(self, party: str) -> set[str]:
        """Whose voices reach this party now."""

    @abstractmethod
    async def plays(self, party: str) -> str:
        """What the PBX plays to them now: ``music``, an announcement's name, or empty."""

    @abstractmethod
    async def played(self, party: str) -> list[str]:
        """The announcements that were begun to this party, oldest first."""

    @abstractmethod
    async def is_ringing(self, party: str) -> bool:
        """Whether the phone rings now."""

    @abstractmethod
    async def is_up(self, party: str) -> bool:
        """Whether the party has a call that was answered and has not ended."""

    @abstractmethod
    async def rung(self, party: str) -> int:
        """How often this phone began to ring, or was tried, since it was made."""

    @abstractmethod
    async def told(self, party: str) -> str:
        """Why the phone's last ringing ended unanswered: ``elsewhere``, ``cancelled`` or empty."""

    @abstractmethod
    async def went_on_to(self, party: str) -> str:
        """Where in the dialplan the caller was sent: ``context/extension``, or empty."""

    @abstractmethod
    async def recordings(self) -> dict[str, str]:
        """Recordings by name: ``on``, ``paused`` or ``done``."""

    @abstractmethod
    async def left_over(self) -> list[str]:
        """Calls, bridges and conferences that exist, in the PBX's words; empty when all is over."""

    def log_end(self) -> str:
        """For a failed story: what the PBX said last."""
        return ""
