"""An export while the customer's contacts go on."""

from __future__ import annotations

import pytest

from router.api.routes import privacy
from router.api.table import Call
from router.core.commands import AbandonContact
from router.core.model import ContactId
from router.runtime.messages import Message
from tests.api.site import Site

KIM = "+4930123456"


async def test_a_contact_that_ends_while_its_customer_is_exported_is_told_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await site.client("admin")
    made = {"id": "kim", "identities": [{"address": KIM}]}
    assert (await admin("POST", "/v1/customers", made)).status == 201
    contacts: list[str] = []
    for external in ("one", "two"):
        body = {"channel": "voice", "queue": "front", "peer": {"address": KIM}}
        answer = await admin("POST", "/v1/contacts", {**body, "external_id": external})
        contacts.append(answer.body["contact"])
    workspace = site.api.context.workspaces["oak"]
    reads = privacy._messages

    async def meanwhile(call: Call, contact: str) -> list[Message]:
        """The other one hangs up while the first is being read."""
        if contact == contacts[0]:
            await workspace.ask(AbandonContact(contact=ContactId(contacts[1])))
        return await reads(call, contact)

    monkeypatch.setattr(privacy, "_messages", meanwhile)
    told = await admin("GET", "/v1/customers/kim:export")
    assert told.status == 200, told
    states = {each["contact"]["id"]: each["contact"]["state"] for each in told.body["contacts"]}
    assert states == {contacts[0]: "queued", contacts[1]: "closed"}
    assert len(told.body["contacts"]) == 2
