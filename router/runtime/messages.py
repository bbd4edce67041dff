"""Bodies of messages: rows of their own in the commit of the command that brings them.

Archive kind ``message``, id ``<contact>/<message id>``; message ids sort by time. The text is
sealed with a key that the row names, so erasing the key erases the text. Kind ``received``, id the
keyed hash of channel and the backend's message id, remembers for a while where each incoming one
went.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from router.channel import NewMessage
from router.core.record import Value
from router.errors import Invalid
from router.journal import ArchiveWrite
from router.runtime.attachments import Attachments, Entry, entries
from router.runtime.envelope import message_id
from router.runtime.frame import HERE

if TYPE_CHECKING:
    from router.runtime.loop import Workspace

TEXT_BYTES = 65_536
"""Most bytes of one message."""
HISTORY = 1000
PAGE = 200


class Stored(Value, kw_only=True):
    """A message as its row has it."""

    id: str
    sender: str = msgspec.field(name="from")
    """``customer``, ``agent`` or ``router``"""
    agent: str = ""
    at_us: int
    key: str
    body: bytes
    """Sealed: msgpack of `Body`."""
    size: int
    external: str = ""
    """The backend's own id, in rows of earlier versions; now it is sealed, too."""


class Body(Value):
    """What is sealed."""

    text: str
    subject: str = ""
    attachments: tuple[dict[str, Any], ...] = ()
    external: str = ""
    """The backend's own id."""


class Message(Value, kw_only=True):
    """A message, opened."""

    id: str
    sender: str
    agent: str
    at_us: int
    size: int
    text: str = ""
    subject: str = ""
    attachments: tuple[dict[str, Any], ...] = ()
    external: str = ""
    """The sender's own id."""
    erased: bool = False
    """Its key is gone: the text cannot be read any more by anybody."""


_encode = msgspec.msgpack.Encoder().encode
_stored = msgspec.msgpack.Decoder(Stored).decode
_body = msgspec.msgpack.Decoder(Body).decode


class Messages:
    """Writes and reads the message rows of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._last_us = 0
        self.files: Attachments | None = None
        """Where files that come with messages are kept; None: nowhere, they are refused."""

    def new_id(self) -> str:
        """An id that sorts behind every earlier one of this workspace."""
        self._last_us = max(self._workspace.now_us(), self._last_us + 1)
        return message_id(self._last_us)

    def row(
        self,
        id_: str,
        sender: str,
        message: NewMessage,
        *,
        key: str,
        contact: str = "",
        agent: str = "",
    ) -> tuple[ArchiveWrite, int]:
        """The row to give along with the command, and the message's size.

        Raises Invalid for more than `TEXT_BYTES`. Without `contact` it goes where the command ends.
        """
        size = len(message.text.encode())
        if size > TEXT_BYTES:
            raise Invalid("too_long", f"a message has at most {TEXT_BYTES} bytes, got {size}")
        body = Body(message.text, message.subject, message.attachments, message.id)
        at_us = self._workspace.now_us()
        stored = Stored(
            id=id_,
            sender=sender,
            agent=agent,
            at_us=at_us,
            key=key,
            body=self._workspace.sealer.seal(key, _encode(body)),
            size=size,
        )
        place = f"{contact}/{id_}" if contact else f"{HERE}{id_}"
        return ArchiveWrite("message", place, at_us, _encode(stored)), size

    async def one(self, contact: str, id_: str) -> Message | None:
        """One message of a contact."""
        journal, own = self._workspace.journal, self._workspace.own
        place = f"{contact}/{id_}"
        found = await journal.fetch(own, "message", [place])
        return self._open(found[place]) if place in found else None

    async def last(self, contact: str, most: int) -> list[Message]:
        """The last messages of a contact, oldest first (of its first `HISTORY`)."""
        found: list[Message] = []
        after = ""
        while len(found) < HISTORY:
            page = await self.list(contact, after, PAGE)
            found += page
            if len(page) < PAGE:
                break
            after = page[-1].id
        return found[-most:] if most > 0 else []

    async def list(self, contact: str, after: str = "", limit: int = 100) -> list[Message]:
        """Messages of a contact, oldest first, beyond the message id `after`."""
        prefix = f"{contact}/"
        rows = await self._workspace.journal.list_archive(
            self._workspace.own, "message", prefix, prefix + after if after else "", limit
        )
        return [self._open(data) for _, data in rows]

    def received(self, channel: str, id_: str) -> str:
        """Where it is remembered that this message of the backend's came."""
        return self._workspace.veil.place("received", channel, id_)

    async def receiver(self, channel: str, id_: str) -> str:
        """The contact to which this message of the backend's went; empty = it is not known."""
        journal, own = self._workspace.journal, self._workspace.own
        place = self.received(channel, id_)
        old = f"{channel}/{id_}"
        found = await journal.fetch(own, "received", [place, old])
        return found.get(place, found.get(old, b"")).decode()

    def files_of(self, data: bytes) -> tuple[Entry, ...]:
        """The files that came with a stored message, by its row."""
        return tuple(entries(self._open(data).attachments))

    def came_as(self, channel: str, data: bytes) -> tuple[str, ...]:
        """The rows that remember an incoming message, by its own row; none where it has no id."""
        row = _stored(data)
        if row.sender != "customer":
            return ()
        id_ = self._open(data).external
        if not id_:
            return ()
        old = (f"{channel}/{id_}",) if row.external else ()
        return (self.received(channel, id_), *old)

    def _open(self, data: bytes) -> Message:
        row = _stored(data)
        plain = self._workspace.sealer.open(row.key, row.body)
        body = Body("") if plain is None else _body(plain)
        return Message(
            id=row.id,
            sender=row.sender,
            agent=row.agent,
            at_us=row.at_us,
            size=row.size,
            text=body.text,
            subject=body.subject,
            attachments=body.attachments,
            external=body.external or row.external,
            erased=plain is None,
        )


def key_of_row(data: bytes) -> str:
    """The key that seals a stored message."""
    return _stored(data).key
