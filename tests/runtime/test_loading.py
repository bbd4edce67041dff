"""Rows brought into memory at a start: whole, sealed as they were, equal values one object."""

from __future__ import annotations

import msgspec

from router.channel import Address, NewContact
from router.core.model import Contact, ContactId
from router.runtime.host import Host
from router.runtime.intake import Routing
from router.runtime.loading import load_rows
from router.runtime.own_rows import OwnRows
from tests.runtime.world import World

LOYAL = Routing(segment="loyal")
ASKED = {"de": 2, "en": 3}


async def filled(world: World, count: int) -> Host:
    host = await world.host()
    await host.start([])
    for number in range(count):
        new = NewContact(
            external_id=f"x{number}",
            customer=Address(address=f"+4930{number}", name="kim"),
            to="shop",
            attributes={"number": number, "order": {"id": number}},
            conversation=f"talk {number}",
            requirements=ASKED,
        )
        await host.intake.submit(new, "chat", routing=LOYAL)
    return host


async def loaded(host: Host) -> dict[ContactId, Contact]:
    workspace = host.workspace
    state = await load_rows(
        workspace.journal, workspace.own, workspace.keys, workspace.veil, OwnRows()
    )
    return state.contacts


async def test_contacts_come_back_whole_and_what_they_have_alike_is_one_object(
    world: World,
) -> None:
    host = await filled(world, 5)
    before = {id_: msgspec.structs.replace(row) for id_, row in host_contacts(host).items()}
    after = await loaded(host)
    assert after == before
    assert len(after) == 5
    for name in ("channel", "queue", "entry_point", "segment", "requirements"):
        assert len({id(getattr(contact, name)) for contact in after.values()}) == 1, name
    asked = {id(contact.requirements_asked) for contact in after.values()}
    assert asked == {id(contact.requirements) for contact in after.values()}
    assert next(iter(after.values())).requirements == tuple(ASKED.items())


async def test_a_loaded_contact_is_written_as_it_was_sealed(world: World) -> None:
    host = await filled(world, 3)
    workspace = host.workspace
    rows: dict[str, bytes] = {}
    async for chunk in workspace.journal.load(workspace.own):
        rows |= {row.id: row.data for row in chunk if row.kind == "contact"}
    for id_, contact in (await loaded(host)).items():
        assert workspace.veil.contact_row(contact) == rows[id_]
        contact.attributes = {"number": -1}
        changed = workspace.veil.contact_row(contact)
        assert changed != rows[id_]
        assert workspace.veil.contact(changed) == contact


def host_contacts(host: Host) -> dict[ContactId, Contact]:
    return host.workspace.engine.state.contacts
