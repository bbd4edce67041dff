"""Arrivals as they were asked for: the command behind each received contact.

The log says what a contact became. What its entry point had added (queue, requirements, attributes)
is taken off again, so that a changed entry point can add its own; a hold for a preferred agent,
which the log shows when the contact is queued, goes back to the arrival.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec.structs import replace

from router.core import commands as c
from router.core import customer_commands as cc
from router.core import events as e
from router.core.model import ContactId, QueueId, Requirements
from router.core.policy import Policy
from router.core.trying import asked_for

C = TypeVar("C")


class Arrival:
    """One contact that came from outside."""

    __slots__ = ("at_us", "command", "heard", "joins", "message", "ruled", "seq", "size")

    def __init__(
        self, seq: int, event: e.ContactReceived, command: c.SubmitContact, *, joins: bool
    ) -> None:
        self.seq = seq
        self.at_us = event.at_us
        self.ruled = event.asked is not None
        """Rules were asked: what it asked for before stands in the event, a hold included."""
        self.command = command
        self.joins = joins
        """Nobody was open between these addresses: it may have come as a message."""
        self.message = ""
        self.size = 0
        self.heard: c.HearKeyword | None = None
        """It was a keyword alone: the contact ended where it began."""


class Arrivals:
    """Collects them."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._found: list[Arrival] = []
        self._peers: dict[str, ContactId] = {}
        self.fresh: Arrival | None = None
        """The one whose command is still being read."""
        self.consult: e.ContactReceived | None = None

    def received(self, seq: int, event: e.ContactReceived) -> None:
        """A contact that was submitted, or began with a message."""
        command = self._command(event)
        joins = bool(event.peer_key) and event.peer_key not in self._peers
        self.fresh = Arrival(seq, event, command, joins=joins)
        self._found.append(self.fresh)
        if event.peer_key:
            self._peers[event.peer_key] = event.contact

    def queued(self, event: e.ContactQueued) -> None:
        """Its first visit: a hold for an agent was asked for with the contact."""
        fresh = self.fresh
        if fresh is None or fresh.command.contact != event.contact or fresh.ruled:
            return
        if event.hold_agent:
            hold_us = event.hold_until_us - event.at_us
            fresh.command = replace(fresh.command, prefer_agent=event.hold_agent, prefer_us=hold_us)

    def message(self, event: e.MessageReceived, before: e.Event | None) -> bool:
        """Whether this message came with the contact."""
        fresh = self.fresh
        if (
            fresh is None
            or fresh.message
            or fresh.command.contact != event.contact
            or fresh.at_us != event.at_us
        ):
            return False
        fresh.message, fresh.size = event.message, event.size
        if isinstance(before, e.ContactReceived):
            fresh.command = replace(fresh.command, message=event.message, message_size=event.size)
        return True

    def ended_by_keyword(self, contact: ContactId, reply: e.MessageSent | None) -> None:
        """The contact that came last was nothing but a keyword, and our reply to it."""
        last = self._found[-1] if self._found else None
        if last is not None and last.command.contact == contact:
            asked = replace(last.command, message="", message_size=0)
            last.heard = keyword(asked, last.message, last.size, reply)

    def forget(self, contact: ContactId, peer_key: str) -> None:
        """It is closed, or goes on by another address."""
        if self._peers.get(peer_key) == contact:
            del self._peers[peer_key]

    def meet(self, contact: ContactId, peer_key: str) -> None:
        """It is found by this address from now on."""
        if peer_key:
            self._peers[peer_key] = contact

    def commands(self) -> list[tuple[int, int, c.Command]]:
        """(moment, number, command) of each."""
        return [(found.at_us, found.seq, _ask(found)) for found in self._found]

    def _command(self, event: e.ContactReceived) -> c.SubmitContact:
        command = asked_for(event)
        point = self._policy.entry_points.get(event.entry_point)
        if point is None:
            return command
        return replace(
            command,
            queue=QueueId("") if point.queue == command.queue else command.queue,
            requirements=_without(command.requirements, point.requirements),
            attributes={
                name: value
                for name, value in command.attributes.items()
                if name not in point.attributes or point.attributes[name] != value
            },
        )


def keyword(
    contact: c.SubmitContact, message: str, size: int, reply: e.MessageSent | None
) -> c.HearKeyword:
    """What a customer said; of whom it holds is left out, because profiles are not replayed."""
    return c.HearKeyword(
        asked=cc.ChangeDoNotContact(customer=""),
        contact=contact,
        message=message,
        size=size,
        reply=reply.message if reply is not None else "",
        reply_size=reply.size if reply is not None else 0,
    )


def _ask(found: Arrival) -> c.Command:
    if found.heard is not None:
        return found.heard
    by_itself = found.message and not found.command.message
    if found.message and (found.joins or by_itself):
        return c.ReceiveMessage(message=found.message, size=found.size, contact=found.command)
    return found.command


def _without(asked: Requirements, added: Requirements) -> Requirements:
    """What is left when the entry point's own requirements are taken off."""
    return tuple(one for one in asked if one not in added)


def copied(command: type[C], event: Any) -> C:
    """The command with every field that the event has, too."""
    names = _SHARED.get((command, type(event)))
    if names is None:
        theirs = type(event).__struct_fields__
        mine: tuple[str, ...] = command.__struct_fields__  # type: ignore[attr-defined]
        names = tuple(name for name in mine if name in theirs)
        _SHARED[command, type(event)] = names
    return command(**{name: getattr(event, name) for name in names})


_SHARED: dict[tuple[type, type], tuple[str, ...]] = {}
