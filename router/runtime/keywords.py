"""Keywords: STOP and its like take effect before the message that brought them, and until START.

The words and where they are listened for are settings (`core/consent.py` recognises them). A
message that is nothing but a keyword wakes no agent, and is answered once, in the words of the
entry point (its text ``stop``, ``stop_all`` or ``start``) or of the workspace. That answer is the
last thing sent there: CTIA Messaging Principles 5.1.3 and 47 CFR 64.1200(a)(12) allow one that
confirms, and nothing behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.channel import NewMessage
from router.core import commands as c
from router.core.consent import Keyword, block
from router.core.customer_commands import ChangeDoNotContact
from router.core.customers import EMPTY
from router.core.model import Contact
from router.core.permission_policy import SERVICE_REPLY
from router.errors import Refused
from router.runtime.identities import derived_id

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


def written_to(workspace: Workspace, command: c.SendMessage) -> tuple[str, ...]:
    """The customers whose STOP may forbid this message: whose contact it is, whose the address."""
    contact = _where_keywords_hold(workspace, command)
    return () if contact is None else (contact.customer, derived_id(contact.address))


def check_reply(workspace: Workspace, command: c.SendMessage) -> c.SendMessage:
    """Raises Refused `opted_out` where a keyword from this address stands against the message.

    On other channels a conversation is answered: there nobody cuts it off by one word.
    """
    contact = _where_keywords_hold(workspace, command)
    if contact is None:
        return command
    book = workspace.customers
    rows = [EMPTY]
    for id_ in (contact.customer, derived_id(contact.address)):
        held = book.held(id_)
        rows += [held.row] if held is not None else []
    told = (book.objections.told_now(row, contact.address) for row in rows)
    stops = [said for row in told for said in row.do_not_contact if said.asked_from]
    stop = block(stops, contact.channel, contact.address, SERVICE_REPLY)
    if stop is not None:
        start = "".join(workspace.policy.contacting.keywords.start[:1])
        raise Refused(
            "opted_out",
            f"the customer has objected ({stop.source}): nothing is sent to this address until "
            f"{start or 'a keyword'} comes from it, or consent for it is recorded",
        )
    return command


def _where_keywords_hold(workspace: Workspace, command: c.SendMessage) -> Contact | None:
    contact = workspace.engine.state.contacts.get(command.contact)
    if contact is None or not contact.address:
        return None
    is_one = contact.channel in workspace.policy.contacting.keywords.channels
    return contact if is_one else None
