"""An agent and the customers who write to them over a real protocol: what was shown, what was said.

Each text of a customer is answered after a while; when the last one is answered the contact is
completed. Everything is noted by its mark, to be compared with what the peers saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from loadtest.lines import marks
from loadtest.lines.marks import Text
from loadtest.runs.measures import Measures


class Message(msgspec.Struct, rename={"sender": "from"}):
    """As much of a message as is read."""

    id: str = ""
    sender: str = ""
    text: str = ""


class Offer(msgspec.Struct):
    """A contact of a real protocol, shown to an agent."""

    channel: str
    address: str
    contact: str
    seen_s: float
    is_free: bool
    """The agent was free when it came: no wait is in between."""


class Notes(msgspec.Struct):
    """What the desks of a process know of customers over real protocols."""

    offers: list[Offer] = []
    heard: dict[str, str] = {}
    """Message -> the mark in its text."""
    wrote: dict[str, tuple[str, str]] = {}
    """Message -> channel and mark of an answer that the server took."""


@dataclass
class Letter:
    """An answer that is on its way to the server."""

    contact: str
    channel: str
    mark: str
    answers: Text


@dataclass
class Conversation:
    """With one customer."""

    channel: str
    is_connected: bool = False
    waiting: list[Text] = field(default_factory=list)
    """Texts without an answer."""


class Conversations:
    """Of one agent."""

    def __init__(self, agent: str, notes: Notes, measures: Measures) -> None:
        self._agent = agent
        self._notes = notes
        self._measures = measures
        self._there: dict[str, Conversation] = {}
        """By contact."""
        self._letters: dict[str, Letter] = {}
        """By the id of the command."""
        self._number = 0

    def offered(self, offer: Offer, messages: list[Message]) -> None:
        """A contact is shown, with what its customer has written so far."""
        self._notes.offers.append(offer)
        there = self._there[offer.contact] = Conversation(offer.channel)
        for message in messages:
            self._hear(there, message, offer.seen_s, is_new=False)

    def said(self, contact: str, message: Message, now_s: float) -> bool:
        """A customer wrote: is it to be answered now?"""
        there = self._there.get(contact)
        if there is None or message.id in self._notes.heard:  # again, after a new connection
            return False
        self._hear(there, message, now_s, is_new=True)
        return there.is_connected and bool(there.waiting)

    def _hear(self, there: Conversation, message: Message, now_s: float, *, is_new: bool) -> None:
        text = marks.read(message.text)
        if message.sender != "customer" or text is None:
            return
        self._notes.heard[message.id] = text.mark
        if text not in there.waiting:
            there.waiting.append(text)
        if is_new:
            self._measures.record(f"message.{there.channel}", text.due_s, now_s)

    def connected(self, contact: str) -> bool:
        """The contact is this agent's: is there something to answer?"""
        there = self._there.get(contact)
        if there is None:
            return False
        there.is_connected = True
        return bool(there.waiting)

    def answer(self, contact: str, cid: str, due_s: float) -> str:
        """The text to send under this command; empty: there is nothing to answer."""
        there = self._there.get(contact)
        if there is None or not there.waiting:
            return ""
        text = there.waiting.pop(0)
        self._number += 1
        mark = marks.make(self._agent, self._number, due_s)
        self._letters[cid] = Letter(contact, there.channel, mark, text)
        return f"{mark} re {text.number}/{text.of} we have a look at it and come back to you."

    def over(self, contact: str) -> None:
        """The contact is not this agent's any more."""
        self._there.pop(contact, None)

    def answered(self, cid: str, message: str) -> bool:
        """The server took the answer: is the conversation over?"""
        letter = self._letters.pop(cid, None)
        if letter is None:
            return False
        self._notes.wrote[message] = (letter.channel, letter.mark)
        self._measures.count(f"answers.{letter.channel}")
        return letter.answers.is_last
