"""What is written to customers: said twice with the same id of the sender's, it is sent once.

The answer to a reply can be lost, with its connection or with the node that gave it. So where the
sender gives an id, that is remembered in the commit of the message: in the archive, as ids of
incoming messages are, and as long as those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from router.channel import NewMessage
from router.core import commands as c
from router.core.model import AgentId, ContactId
from router.errors import NotFound
from router.journal import ArchiveWrite
from router.runtime.inbox import Answer
from router.runtime.seen import Seen

if TYPE_CHECKING:
    from router.runtime.loop import Workspace
    from router.runtime.messages import Messages


class Replies:
    """Writes to the customers of one workspace."""

    def __init__(
        self,
        workspace: Workspace,
        messages: Messages,
        remembered: Seen,
        new_key: Callable[[], str],
    ) -> None:
        """`remembered` knows the rows of kind ``received``."""
        self._workspace = workspace
        self._messages = messages
        self._remembered = remembered
        self._new_key = new_key
        self._under_way: dict[str, asyncio.Future[None]] = {}
        """Messages whose commit is not done: the same one again waits for the first."""

    async def send(
        self,
        contact: str,
        text: str,
        *,
        agent: str = "",
        by: str = "",
        message: str = "",
        archive: tuple[ArchiveWrite, ...] = (),
    ) -> tuple[Answer, str]:
        """An agent (or the router: no agent) writes to the customer of a live contact.

        `message` is the sender's own id for it: the same twice is the same message, and the second
        answer has no events. Also our id of the message. Raises NotFound, Invalid and what `ask`
        raises.
        """
        if not message:
            return await self._send(contact, text, agent, by, message, archive)
        to = f"to {contact}"
        place = self._messages.received(to, message)
        while (first := self._under_way.get(place)) is not None:
            await asyncio.shield(first)
        done = self._under_way[place] = asyncio.get_running_loop().create_future()
        try:
            if self._remembered.may_hold(place):
                await self._workspace.settled()  # whoever asked first may have given up waiting
                known = await self._messages.receiver(to, message)
                if known:
                    return Answer(self._workspace.seq, (), contact), known
            return await self._send(contact, text, agent, by, message, archive)
        finally:
            del self._under_way[place]
            done.set_result(None)

    async def _send(
        self,
        contact: str,
        text: str,
        agent: str,
        by: str,
        message: str,
        archive: tuple[ArchiveWrite, ...],
    ) -> tuple[Answer, str]:
        row = self._workspace.engine.state.contacts.get(ContactId(contact))
        if row is None:
            raise NotFound("contact", contact)
        id_ = self._messages.new_id()
        key = row.seal_key or self._new_key()
        archived, size = self._messages.row(
            id_,
            "agent" if agent else "router",
            NewMessage(id=message, text=text),
            key=key,
            contact=contact,
            agent=agent,
        )
        if message:
            place = self._messages.received(f"to {contact}", message)
            now_us = self._workspace.now_us()
            self._remembered.add(place)
            archive = (ArchiveWrite("received", place, now_us, id_.encode()), *archive)
        command = c.SendMessage(contact=row.id, message=id_, size=size, agent=AgentId(agent), by=by)
        return await self._workspace.ask(command, (archived, *archive)), id_
