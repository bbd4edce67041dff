"""Contacts that we begin: what the runtime said each time the moment of one may have come.

The command that says it, `ProvideCustomer`, has no event of its own: it shows by what followed from
it (`core/outbound.py`). A contact went back on the shelf, moved to another address, was queued for
an agent, or its first message went out. Several of these stand in one moment and are one command.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.facts import Facts, Outbound, Permission
from router.core.model import ContactId
from router.core.policy import Policy
from router.replay.arrivals import copied, keyword
from router.replay.notes import Notes
from router.replay.recording import Given
from router.replay.stages import Kind, Stage

GOES_ON = "permitted"
"""Its moment has come: more is to follow. For the other reasons it stays on the shelf."""
WENT_OUT = (GOES_ON, "learned_window", "other_channel", "message_first")
"""Reasons for which an outbound contact goes on the shelf although it may go out."""


class Outward(Notes):
    """Notes down what was said of contacts that we begin."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self._going: tuple[ContactId, int, list[Given]] | None = None
        """The contact whose way out is being decided, when, and the inputs that the command ends;
        no inputs where that came with the contact itself."""

    def _activated(self, event: e.ContactQueued, stage: Stage) -> None:
        if not stage.contact.customer:
            self._tick(self._opens.get(event.contact, 0))
        elif not self._is_going(event.contact):  # else the command is noted already
            self._provided(event.contact, stage)
        self._going = None

    def _scheduled(self, event: e.ContactScheduled) -> None:
        id_ = event.contact
        self._opens[id_] = event.not_before_us - self._offset_us
        if event.reason == "rescheduled":
            self._windows[id_] = event.not_after_us - self._offset_us
            self._input(id_, copied(c.RescheduleContact, event), ends=True)
            return
        if event.reason == "window_over":
            self._tick(self._windows.get(id_, 0))
            self._going = None
            return
        if event.not_after_us:
            self._windows[id_] = event.not_after_us - self._offset_us
        if event.outbound is None:
            return
        facts, stage = _facts_behind(event, event.outbound), self.stages.stage(id_)
        if self._is_going(id_):
            self._add(facts=facts)
        elif stage is not None and stage.kind is Kind.SHELF:
            self._provided(id_, stage, facts)
        else:
            self._going = (id_, self._now_us, [])
        self._terms[id_] = event.outbound
        if event.reason != GOES_ON:
            self._going = None

    def _goes_elsewhere(self, event: e.ContactSwitched) -> None:
        """To the channel and address of its window."""
        stage = self.stages.stage(event.contact)
        if stage is not None and not self._is_going(event.contact):
            self._provided(event.contact, stage)
        self._add(
            channel=event.channel,
            sealed=event.sealed,
            seal_key=event.seal_key,
            peer_key=event.peer_key,
        )

    def _goes_first(self, event: e.OutboundSent) -> None:
        """A message goes out before an agent has it."""
        stage = self.stages.stage(event.contact)
        if not event.message or stage is None or stage.kind is not Kind.SHELF:
            return
        if not self._is_going(event.contact):
            self._provided(event.contact, stage)
        self._add(message=event.message)

    def _first_sent(self, event: e.MessageSent) -> None:
        self._add(message_size=event.size)
        self._going = None

    def _told_to_stop(self, event: e.ContactClosed, stage: Stage | None) -> None:
        """A keyword, on its own or as the answer to our first message, ended the contact."""
        before = self._before
        reply = before if isinstance(before, e.MessageSent) else None
        if stage is None:
            self._arrivals.ended_by_keyword(event.contact, reply)
            return
        given = self.recording.inputs.get(stage.key, [])
        if reply is not None and given:
            given.pop()
        if not given or not isinstance(given[-1].command, c.ReceiveMessage):
            return
        life, said = stage.contact, given[-1].command
        contact = c.SubmitContact(
            contact=event.contact, channel=life.channel, peer_key=life.peer_key
        )
        heard = keyword(contact, said.message, said.size, reply)
        given[-1] = given[-1]._replace(command=heard)
        self._end_input, self._end_by = given[-1], "input"

    def _provided(self, contact: ContactId, stage: Stage, facts: Facts | None = None) -> None:
        """The runtime said who the customer is, and what is permitted."""
        before = self._before
        segment = None
        if isinstance(before, e.ContactUpdated) and before.contact == contact:
            segment = before.segment
        facts = self._as_before(contact) if facts is None else facts
        terms = self._terms.get(contact)
        # Refused was what it waited for: its window, be that on another channel.
        refused = terms.window if terms is not None and not facts.permission.allowed else None
        command = c.ProvideCustomer(
            contact=contact,
            customer=stage.contact.customer,
            segment=segment or "",
            found=segment is not None,
            facts=facts,
            channel=refused.channel if refused is not None else "",
        )
        self._in_stage(stage, stage.place(self._now_us), command, ends=True)
        self._going = (contact, self._now_us, self.recording.inputs[stage.key])

    def _as_before(self, contact: ContactId) -> Facts:
        """Facts that change neither a contact's terms nor until when it may go out."""
        until_us = self._windows.get(contact, 0)
        if until_us:
            until_us += self._offset_us
        terms = self._terms.get(contact)
        window = terms.window if terms is not None else None
        return Facts(
            permission=Permission(until_us=until_us), windows=() if window is None else (window,)
        )

    def _add(self, **said: Any) -> None:
        """More of the command that was noted in this moment."""
        given = self._going[2] if self._going is not None else []
        if given:
            given[-1] = given[-1]._replace(command=replace(given[-1].command, **said))

    def _is_going(self, contact: ContactId) -> bool:
        return self._going is not None and self._going[:2] == (contact, self._now_us)

    def _forget(self, contact: ContactId) -> None:
        """It is closed."""
        for known in (
            *(self._visits, self._holds, self._silent, self._windows, self._opens),
            self._terms,
        ):
            known.pop(contact, None)


def _facts_behind(event: e.ContactScheduled, terms: Outbound) -> Facts:
    """What the engine must have been told to put an outbound contact on the shelf like this."""
    windows = (terms.window,) if terms.window is not None else ()
    if event.reason in WENT_OUT:
        return Facts(permission=Permission(until_us=event.not_after_us), windows=windows)
    refused = Permission(allowed=False, reason=event.reason, next_at_us=event.not_before_us)
    return Facts(permission=refused, windows=windows)
