"""Erasing a customer: rows go with the commit that says so, keys right after it.

Nothing that is kept for good names a person in clear: what remains of them in the log, in trimmed
copies and in backups is sealed, and cannot be opened once the keys are gone. The list of erased
keys stays in the key store; `apply_list` brings it to a copy that was restored from before.

Between the commit and the end of the keys a live row (kind ``erasure``) names the keys, so that a
crash there only delays it: `finish` is called at every start.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from router.core import customer_commands as cc
from router.errors import NotFound
from router.journal import ArchiveWrite, KeyStore, RowWrite
from router.runtime.attachments import Attachments
from router.runtime.customer_rows import CUSTOMER, IDENTITY, IMPORTED, INDEX, index_id
from router.runtime.identities import derived_id
from router.runtime.messages import Messages, key_of_row

if TYPE_CHECKING:
    from router.runtime.loop import Workspace

log = logging.getLogger("router.customers")
KIND = "erasure"
PAGE = 500
ROUNDS = 20
"""Contacts may end while an erasure is under way: it is looked again, so often at most."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[str]).decode


class Erased(NamedTuple):
    """What was removed."""

    customer: str
    contacts: int = 0
    messages: int = 0
    rows: int = 0
    keys: int = 0


class _Plan:
    """What there is of a customer."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []
        self.keys: dict[str, None] = {}
        self.files: list[str] = []
        self.contacts = 0
        self.messages = 0


async def erase(
    workspace: Workspace,
    customer: str,
    by: str,
    archive: tuple[ArchiveWrite, ...] = (),
    files: Attachments | None = None,
) -> Erased:
    """Erase everything about a customer; durable when it returns, and safe to repeat.

    Files go last: after a crash before that they are there still, and nobody can open them.

    Raises NotFound, and Refused `contact_live` while somebody speaks with them.
    """
    book = workspace.customers
    row = await book.get(customer)
    if row is None:
        raise NotFound("customer", customer)
    ids = (row.id, *row.merged_from)
    contacts = messages = rows = 0
    keys: dict[str, None] = {}
    gone: list[str] = []
    for number in range(ROUNDS):
        plan = await _plan(workspace, ids)
        if number and not plan.rows:
            break
        if not number:
            own_keys = [await book.key_of(id_) for id_ in ids]
            plan.keys.update(dict.fromkeys(key for key in own_keys if key))
            plan.rows += [(CUSTOMER, id_) for id_ in ids]
            plan.rows += [(IDENTITY, identity.hash) for identity in row.identities]
            derived = (derived_id(identity.hash) for identity in row.identities)
            for id_ in dict.fromkeys((*ids, *derived)):
                imported = _below(workspace, IMPORTED, index_id(id_))
                plan.rows += [(IMPORTED, place) async for place, _ in imported]
        keys.update(plan.keys)
        gone += plan.files
        note = RowWrite(KIND, row.id, _encode(list(keys)))
        command = cc.EraseCustomer(customer=row.id, by=by)
        book.to_erase[row.id] = plan.rows
        try:
            await workspace.ask(command, () if number else archive, rows=[note])
        finally:
            book.to_erase.pop(row.id, None)
        contacts, messages = contacts + plan.contacts, messages + plan.messages
        rows += len(plan.rows)
    # Not before the last round: what is sealed tells which rows there are.
    await workspace.keys.erase(keys)
    workspace.forget(KIND, row.id)
    if files is not None:
        await files.erase(gone)
    log.info("customer erased", extra={"workspace": workspace.name, "contacts": contacts})
    return Erased(row.id, contacts, messages, rows, len(keys))


async def finish(workspace: Workspace) -> None:
    """After a start: end the keys of erasures that a crash has cut short."""
    for customer, data in list(workspace.rows_of(KIND).items()):
        await workspace.keys.erase(_decode(data))
        workspace.forget(KIND, customer)


async def apply_list(keys: KeyStore, key_ids: Iterable[str]) -> int:
    """Erase keys that were erased elsewhere after this copy was made; returns how many it had."""
    known = [key_id for key_id in key_ids if keys.key(key_id) is not None]
    await keys.erase(known)
    return len(known)


async def contacts_of(workspace: Workspace, ids: Iterable[str]) -> AsyncIterator[tuple[str, str]]:
    """(contact id, key id) of all closed contacts of these customers, as far as they are kept."""
    for id_ in ids:
        prefix = index_id(id_)
        async for place, key in _below(workspace, INDEX, prefix):
            yield place[len(prefix) :], key.decode()


async def _below(workspace: Workspace, kind: str, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
    """All archive rows of a kind whose id starts with `prefix`."""
    after = ""
    while True:
        page = await workspace.journal.list_archive(workspace.own, kind, prefix, after, PAGE)
        for row in page:
            yield row
        if len(page) < PAGE:
            break
        after = page[-1][0]


async def _plan(workspace: Workspace, ids: tuple[str, ...]) -> _Plan:
    plan = _Plan()
    for id_ in ids:
        async for contact, key in contacts_of(workspace, [id_]):
            plan.contacts += 1
            plan.rows.append((INDEX, index_id(id_, contact)))
            if key:
                plan.keys[key] = None
            await _of_contact(workspace, contact, plan)
    for live in workspace.engine.state.contacts_of(ids[0]):
        # Their rows go when they are closed; the keys of what was written meanwhile go now.
        row = workspace.engine.state.contacts[live]
        if row.seal_key:
            plan.keys[row.seal_key] = None
    return plan


async def _of_contact(workspace: Workspace, contact: str, plan: _Plan) -> None:
    """A closed contact's own row, ids that lead to it, messages and decisions."""
    journal, own, messages = workspace.journal, workspace.own, Messages(workspace)
    stored = await journal.fetch(own, "contact", [contact])
    channel = ""
    if contact in stored:
        row = workspace.veil.contact(stored[contact])
        channel = row.channel
        plan.rows.append(("contact", contact))
        if row.seal_key:
            plan.keys[row.seal_key] = None
        if row.external_id:
            place = workspace.veil.external(row.channel, row.external_id)
            old = f"{row.channel}/{row.external_id}"
            known = await journal.fetch(own, "external", [place, old])
            plan.rows += [("external", id_) for id_ in known]
    prefix = f"{contact}/"
    for kind in ("message", "decision"):
        after = ""
        while True:
            page = await journal.list_archive(own, kind, prefix, after, PAGE)
            for id_, data in page:
                plan.rows.append((kind, id_))
                if kind == "message":
                    plan.messages += 1
                    plan.keys[key_of_row(data)] = None
                    plan.files += [entry.id for entry in messages.files_of(data)]
                    places = messages.came_as(channel, data)
                    plan.rows += [("received", place) for place in places]
            if len(page) < PAGE:
                break
            after = page[-1][0]
