"""One mailbox is one customer, whichever of its forms a mail, a caller of the API or a row has."""

from __future__ import annotations

from unicodedata import normalize

import pytest

from router.channel import Address, NewContact, NewMessage
from router.core import commands as c
from router.core.model import ContactId
from router.runtime import identities
from router.runtime.host import Host
from router.runtime.intake import Routing
from tests.runtime.world import World, until

FORMS = ["kim@b\u00fccher.example", "Kim@XN--BCHER-KVA.example", "kim@bu\u0308cher.example"]


async def started(world: World) -> Host:
    host = await world.host()
    await host.start([])
    await until(lambda: host.workspace.customers.known._is_ready)
    return host


async def write(host: Host, address: str, id_: str) -> str:
    """A mail that is dealt with; its customer."""
    message = NewMessage(id=id_, text="hello")
    new = NewContact(external_id=id_, customer=Address(address=address), message=message)
    receipt, answer = await host.intake.submit(new, "email", routing=Routing(queue="care"))
    assert answer is not None
    contact = host.workspace.engine.state.contacts[ContactId(receipt.contact)]
    customer = contact.customer
    await host.workspace.ask(c.AbandonContact(contact=contact.id))
    return customer


async def test_a_mailbox_in_each_of_its_forms_is_one_customer(world: World) -> None:
    host = await started(world)
    told = {await write(host, form, f"x{n}") for n, form in enumerate(FORMS)}
    assert len(told) == 1
    for form in FORMS:
        found = await host.workspace.customers.find("email", form)
        assert found is not None
        assert found.id in told
        assert [i.address for i in found.identities] == ["kim@xn--bcher-kva.example"]


@pytest.mark.parametrize("former", [FORMS[0], "jose\u0301@example.org"])
async def test_who_was_stored_by_an_earlier_version_is_found_after_the_upgrade(
    world: World, monkeypatch: pytest.MonkeyPatch, former: str
) -> None:
    with monkeypatch.context() as before:
        before.setattr(identities, "_mailbox", str.lower)
        host = await started(world)
        stored = await write(host, former, "x1")
        await host.stop()
    host = await started(world)
    one = host.workspace.customers.identities.written("email", former)
    assert one != former
    for number, form in enumerate((one, normalize("NFC", former), normalize("NFD", former))):
        assert await write(host, form, f"y{number}") == stored
        found = await host.workspace.customers.find("email", form)
        assert found is not None
        assert found.id == stored
        assert len(found.identities) == 1, "one mailbox is shown twice"
