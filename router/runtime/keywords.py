"""Keywords at arrival: STOP and its like take effect before the message that brought them.

The words and where they are listened for are settings (`core/consent.py` recognises them). A
message that is nothing but a keyword wakes no agent, and is answered once, in the words of the
entry point (its text ``stop``, ``stop_all`` or ``start``) or of the workspace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.channel import NewMessage
from router.core import commands as c
from router.core.consent import Keyword
from router.core.customer_commands import ChangeDoNotContact

if TYPE_CHECKING:
    from router.journal import ArchiveWrite
    from router.runtime.loop import Workspace
    from router.runtime.messages import Messages


def asked_in(
    workspace: Workspace, command: c.SubmitContact, text: str
) -> tuple[Keyword, ChangeDoNotContact] | None:
    """What a first message asks for; None = it is no keyword, or tells nobody."""
    listener = workspace.customers.permissions.listener
    found = listener.keyword(command.channel, text)
    if found is None or not command.customer:
        return None
    keyword, word = found
    address = command.peer_key.partition("/")[0]
    everywhere = keyword is Keyword.STOP_ALL
    return keyword, ChangeDoNotContact(
        customer=command.customer,
        lifted=keyword is Keyword.START,
        channel="" if everywhere else command.channel,
        address="" if everywhere else address,
        source=f"keyword {word} on {command.channel}",
        asked_from=address,
        by="keyword",
    )


def hear(
    workspace: Workspace, messages: Messages, command: c.SubmitContact, message: NewMessage
) -> tuple[c.HearKeyword, list[ArchiveWrite]] | None:
    """The command for a message that is a keyword, and the row of our reply; None = it is none."""
    asked = asked_in(workspace, command, message.text)
    if asked is None:
        return None
    keyword, change = asked
    policy = workspace.policy
    point = policy.entry_points.get(command.entry_point)
    own = point.texts.get(keyword.value, "") if point is not None else ""
    text = own or getattr(policy.keyword_replies, keyword.value)
    rows: list[ArchiveWrite] = []
    reply, size = "", 0
    if text:
        reply = messages.new_id()
        row, size = messages.row(
            reply, "router", NewMessage(id="", text=text), key=command.seal_key
        )
        rows.append(row)
    heard = c.HearKeyword(
        asked=change,
        contact=command,
        message=command.message,
        size=command.message_size,
        reply=reply,
        reply_size=size,
    )
    return heard, rows
