"""Outbound contacts, completed in the moment before they are decided: windows, address, first text.

The engine decides whether and when (`core/outbound.py`); what it cannot know comes from here: the
learned windows, the envelope of another address of the customer, and the text of a first message.
The text's row is written only if the engine decides that the message goes out.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import msgspec

from router.channel import NewMessage
from router.core import commands as c
from router.core.attempts import goes_out, terms_of
from router.core.effects import DeliverMessage, Effect, StartContact
from router.core.facts import Facts, LearnedWindow, Outbound
from router.core.model import Contact, ContactOutcome, ContactState
from router.core.outbound import MESSAGE_FIRST, window_for
from router.core.policy import Policy
from router.core.ruling import reads_preference
from router.runtime.envelope import Envelope, open_envelope, seal

if TYPE_CHECKING:
    from router.core.customer_model import Customer
    from router.runtime.customers import CustomerBook, Held
    from router.runtime.loop import Workspace
    from router.runtime.messages import Messages
    from router.runtime.preferences import Preferences

log = logging.getLogger("router.sending")
PLACEHOLDER = re.compile(r"\{(\w+)\}")
replace = msgspec.structs.replace


class Sending:
    """Completes what goes out of one workspace."""

    def __init__(
        self,
        workspace: Workspace,
        book: CustomerBook,
        messages: Messages,
        preferences: Preferences,
    ) -> None:
        self._workspace = workspace
        self._book = book
        self._messages = messages
        self._preferences = preferences
        self._asked: Policy | None = None
        self._reads = False
        book.sending = self

    async def may_go(self, contact: Contact, effect: Effect) -> bool:
        """The last look before something is handed to an adapter: a STOP may have come since."""
        if not isinstance(effect, (DeliverMessage, StartContact)) or not effect.attempt:
            return True
        workspace = self._workspace
        row = await self._book.get(contact.customer)
        owner = await self._book.owner_of(contact.address)
        now_us = workspace.now_us() + workspace.engine.state.totals.clock_offset_us
        if effect.not_after_us and now_us >= effect.not_after_us:
            return False
        if contact.outcome is ContactOutcome.CANCELLED:
            return False
        found = self._book.permission(
            row,
            contact.channel,
            contact.address,
            terms_of(contact).purpose,
            now_us,
            besides=effect.attempt,
            sealed=(contact.seal_key, contact.sealed),
            owner=owner,
        )
        if not found.allowed:
            log.info("not sent", extra={"contact": contact.id, "reason": found.reason})
        return found.allowed

    def facts(self, facts: Facts, row: Customer, command: c.SubmitContact, now_us: int) -> Facts:
        """What was learned, where somebody asks for it: a rule, or the terms of the contact."""
        terms = command.outbound
        if self._reads_preference():
            purpose = terms.purpose if terms is not None else "service"
            preference = self._preferences.facts(row, purpose, now_us)
            facts = replace(facts, preference=preference)
        if terms is not None and terms.learned:
            start_us = max(now_us, command.not_before_us)
            facts = replace(facts, windows=self._windows(row, terms, start_us))
        return facts

    def provide(
        self, command: c.ProvideCustomer, contact: Contact, held: Held | None, now_us: int
    ) -> c.ProvideCustomer:
        """Windows, address and text for a contact whose moment may have come."""
        if contact.state is not ContactState.SCHEDULED or not goes_out(contact):
            return command
        terms, facts = terms_of(contact), command.facts
        if held is not None and terms.learned:
            facts = replace(facts, windows=self._windows(held.row, terms, now_us))
            command = replace(command, facts=facts)
            window, _ = window_for(contact, terms, facts, now_us)
            elsewhere = window is not None and (
                (window.channel, window.address) != (contact.channel, contact.address)
            )
            if window is not None and elsewhere and window.start_us <= now_us:
                command = self._at(command, contact, held, window, now_us)
        if terms.mode == MESSAGE_FIRST:
            command = self._draft(command, contact, terms, held)
        return command

    def _reads_preference(self) -> bool:
        """Does a rule or a queue ask for it? Worked out once for each set of settings."""
        policy = self._workspace.policy
        if self._asked is not policy:
            self._asked, self._reads = policy, reads_preference(policy)
        return self._reads

    def _windows(self, row: Customer, terms: Outbound, at_us: int) -> tuple[LearnedWindow, ...]:
        return self._preferences.windows(
            row,
            terms.purpose,
            at_us,
            channels=terms.channels,
            explore=terms.explore,
            besides=terms.attempt if terms.is_reserved else "",
        )

    def _at(
        self,
        command: c.ProvideCustomer,
        contact: Contact,
        held: Held,
        window: LearnedWindow,
        now_us: int,
    ) -> c.ProvideCustomer:
        """The customer's address there, sealed for the contact, and what is permitted there."""
        identity = next((i for i in held.row.identities if i.hash == window.address), None)
        key = contact.seal_key or held.key  # one for its whole life: an erasure must find it
        if identity is None or not key:
            return command
        ours = self._our_address(contact, window.channel)
        envelope = Envelope(identity.address, held.row.name, ours)
        _, peer_key = self._book.identities.peer(window.channel, identity.address, ours)
        # What is permitted where it stands says nothing of where it goes.
        terms = terms_of(contact)
        permission = self._book.permission(
            held.row,
            window.channel,
            window.address,
            terms.purpose,
            now_us,
            besides=terms.attempt if terms.is_reserved else "",
        )
        return replace(
            command,
            channel=window.channel,
            sealed=seal(self._workspace.sealer, key, envelope),
            seal_key=key,
            peer_key=peer_key,
            facts=replace(command.facts, permission=permission),
        )

    def _our_address(self, contact: Contact, channel: str) -> str:
        """From which of our addresses: of the same brand, where there is one."""
        points = self._workspace.policy.entry_points
        own = points.get(contact.entry_point)
        found = [point for point in points.values() if point.channel == channel and point.address]
        if own is not None:
            found.sort(key=lambda point: point.brand != own.brand)
        return found[0].address if found else ""

    def _draft(
        self, command: c.ProvideCustomer, contact: Contact, terms: Outbound, held: Held | None
    ) -> c.ProvideCustomer:
        template = self._workspace.policy.templates.get(terms.template, terms.template)
        key = command.seal_key or contact.seal_key
        if not template or not key:
            return command
        name = open_envelope(self._workspace.sealer, contact).name
        if held is not None and held.row.name:
            name = held.row.name
        id_ = self._messages.new_id()
        text = filled(template, contact, name)
        row, size = self._messages.row(
            id_, "router", NewMessage(id="", text=text), key=key, contact=contact.id
        )
        self._book.drafts[id_] = row
        return replace(command, message=id_, message_size=size)


def filled(template: str, contact: Contact, name: str) -> str:
    """A template with ``{name}`` and the contact's attributes in their places; unknown = empty."""
    values = {**contact.attributes, "name": name}
    return PLACEHOLDER.sub(lambda found: str(values.get(found[1], "")), template)
