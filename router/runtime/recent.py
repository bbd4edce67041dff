"""Contacts that closed just now, by their external id.

An arrival looks into the archive before it is put into the inbox. If its contact closes in between,
the archive is too late and the engine has forgotten it: this remembers it for that while.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable

from router.core.commands import Command, SubmitContact
from router.core.model import Contact, ContactId


class RecentlyClosed:
    """The last contacts closed, bounded."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._contacts: OrderedDict[tuple[str, str], ContactId] = OrderedDict()

    def add(self, closed: Iterable[Contact]) -> None:
        """These are closed, durably."""
        for contact in closed:
            if contact.external_id:
                self._contacts[(contact.channel, contact.external_id)] = contact.id
        while len(self._contacts) > self._most:
            self._contacts.popitem(last=False)

    def find(self, command: Command, live: Container[tuple[str, str]]) -> ContactId | None:
        """The closed contact that this command would begin a second time, if none is live."""
        if type(command) is not SubmitContact or not command.external_id:
            return None
        key = (command.channel, command.external_id)
        return None if key in live else self._contacts.get(key)
