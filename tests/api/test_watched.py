"""Contacts of a watched customer stand before the supervisor, and say why."""

from __future__ import annotations

from tests.api.site import Site
from tests.api.test_desk import desk

KIM = "+4930123456"


async def test_every_contact_of_a_watched_customer_is_on_the_wallboard_with_the_reason(
    site: Site,
) -> None:
    admin = await site.client("admin")
    body = {"id": "kim", "watched": True, "identities": [{"address": KIM}]}
    assert (await admin("POST", "/v1/customers", body)).status == 201
    ids = []
    for peer in (KIM, "+4930654321"):
        sent = {"channel": "sms", "queue": "front", "peer": {"address": peer}}
        ids.append((await admin("POST", "/v1/contacts", sent)).body["contact"])
    await admin("POST", f"/v1/contacts/{ids[1]}:watch", {"watched": True})
    async with desk(site, "supervisor") as (_, welcome):
        shown = {each["id"]: each for each in welcome["board"]["contacts"]}
        assert (shown[ids[0]]["watched"], shown[ids[0]]["watched_for"]) == (True, "customer")
        assert (shown[ids[1]]["watched"], shown[ids[1]].get("watched_for", "")) == (
            True,
            "token:admin",
        )
    listed = (await admin("GET", "/v1/contacts?watched=true")).body["contacts"]
    assert [each["id"] for each in listed] == ids
