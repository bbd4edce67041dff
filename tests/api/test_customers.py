"""Customers over HTTP: found by address, kept, changed, merged; may they be contacted?"""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import Client, Site

KIM = "+4930123456"


async def closed_call(admin: Client, address: str, name: str = "", **body: Any) -> str:
    """Somebody calls and hangs up."""
    peer = {"address": address, "name": name}
    sent = {"channel": "voice", "queue": "front", "peer": peer, **body}
    contact: str = (await admin("POST", "/v1/contacts", sent)).body["contact"]
    await admin("POST", f"/v1/contacts/{contact}:abandon", {})
    return contact


async def found(client: Client, address: str, channel: str = "") -> list[Any]:
    path = f"/v1/customers?identity={address.replace('+', '%2B')}&channel={channel}"
    answer = await client("GET", path)
    assert answer.status == 200, answer
    customers: list[Any] = answer.body["customers"]
    return customers


async def test_somebody_who_called_is_a_customer_found_by_their_number(site: Site) -> None:
    admin = await site.client("admin")
    assert await found(admin, KIM) == []
    await closed_call(admin, KIM, "Kim")
    (kim,) = await found(admin, KIM)
    assert (kim["name"], kim["contacts"], kim["last_channel"]) == ("Kim", 1, "voice")
    assert kim["zones"] == ["Europe/Berlin"]
    assert [(i["kind"], i["address"]) for i in kim["identities"]] == [("phone", KIM)]
    body = {"channel": "sms", "queue": "front", "peer": {"address": KIM}}
    contact = (await admin("POST", "/v1/contacts", body)).body["contact"]
    assert (await admin("GET", f"/v1/contacts/{contact}")).body["customer"] == kim["id"]


async def test_a_customer_is_made_read_changed_and_replaced(site: Site) -> None:
    admin = await site.client("admin")
    body = {
        "id": "kim",
        "name": "Kim",
        "attributes": {"tier": "gold", "age": 40},
        "identities": [{"address": KIM, "label": "mobile"}, {"address": "Kim@Example.ORG"}],
    }
    made = await admin("POST", "/v1/customers", body)
    assert (made.status, made.headers["ETag"]) == (201, '"3"'), made
    assert made.headers["Location"] == "/v1/customers/kim"
    assert [i["address"] for i in made.body["identities"]] == [KIM, "kim@example.org"]
    assert (await admin("POST", "/v1/customers", body)).status == 412
    assert (await found(admin, "KIM@example.org"))[0]["id"] == "kim"
    stale = await admin("PATCH", "/v1/customers/kim", {"name": "K"}, If_Match='"1"')
    assert (stale.status, stale.code) == (412, "version")
    change = {"attributes": {"age": None, "city": "Bonn"}, "watched": True, "zone": "Europe/Paris"}
    changed = await admin("PATCH", "/v1/customers/kim", change, If_Match='"3"')
    assert changed.status == 200, changed
    assert changed.body["attributes"] == {"tier": "gold", "city": "Bonn"}
    assert (changed.body["watched"], changed.body["zones"]) == (True, ["Europe/Paris"])
    again = await admin("GET", "/v1/customers/kim", If_None_Match=changed.headers["ETag"])
    assert again.status == 304
    put = await admin("PUT", "/v1/customers/kim", {"name": "Kim K.", "identities": []})
    assert put.status == 200, put
    assert "attributes" not in put.body
    assert "identities" not in put.body
    assert await found(admin, KIM) == []
    assert (await admin("GET", "/v1/customers/nobody")).status == 404
    assert (await admin("PATCH", "/v1/customers/nobody", {})).status == 404
    new = await admin("PUT", "/v1/customers/lee", {}, If_None_Match="*")
    assert new.status == 201, new
    assert (await admin("PUT", "/v1/customers/lee", {}, If_None_Match="*")).status == 412


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"zone": "Mars/Base"}, "IANA"),
        ({"identities": [{"address": "kim", "kind": "handle", "channel": "fax"}]}, "no channel"),
        ({"identities": [{"address": " "}]}, "an address - at `$.identities[0].address`"),
        ({"quiet": [{"days": [0], "start_minute": 9, "end_minute": 9}]}, "midnight"),
        ({"language": "not a tag"}, "$.language"),
        ({"attributes": {str(n): n for n in range(65)}}, "attributes"),
    ],
)
async def test_what_can_never_be_right_is_refused(
    site: Site, body: dict[str, Any], words: str
) -> None:
    admin = await site.client("admin")
    answer = await admin("PUT", "/v1/customers/kim", body)
    assert answer.status == 422, answer
    assert words in answer.body["detail"]
    assert (await admin("GET", "/v1/customers/kim")).status == 404


async def test_an_address_belongs_to_one_customer(site: Site) -> None:
    admin = await site.client("admin")
    body = {"id": "kim", "identities": [{"address": KIM}]}
    assert (await admin("POST", "/v1/customers", body)).status == 201
    taken = await admin("POST", "/v1/customers", {**body, "id": "lee"})
    assert (taken.status, taken.code) == (409, "identity_taken")
    assert KIM not in str(taken.body)


async def test_who_was_known_by_an_address_alone_becomes_the_customer_that_is_made(
    site: Site,
) -> None:
    admin = await site.client("admin")
    await closed_call(admin, KIM)
    (before,) = await found(admin, KIM)
    body = {"channel": "sms", "queue": "billing", "peer": {"address": KIM}}
    open_ = (await admin("POST", "/v1/contacts", body)).body["contact"]
    made = await admin("POST", "/v1/customers", {"id": "kim", "identities": [{"address": KIM}]})
    assert made.status == 201, made
    assert (made.body["contacts"], made.body["merged_from"]) == (1, [before["id"]])
    assert (await admin("GET", f"/v1/customers/{before['id']}")).body["id"] == "kim"
    assert (await admin("GET", f"/v1/contacts/{open_}")).body["customer"] == "kim"
    await closed_call(admin, KIM)
    assert (await admin("GET", "/v1/customers/kim")).body["contacts"] == 2


async def test_two_customers_are_merged_and_nothing_is_lost(site: Site) -> None:
    admin = await site.client("admin")
    one = {"id": "one", "name": "One", "identities": [{"address": KIM}]}
    other = {"id": "other", "attributes": {"a": 1}, "identities": [{"address": "o@example.org"}]}
    for body in (one, other):
        assert (await admin("POST", "/v1/customers", body)).status == 201
    await admin("POST", "/v1/customers/other:do-not-contact", {"channel": "email"})
    merged = await admin("POST", "/v1/customers/one:merge", {"customer": "other"})
    assert merged.status == 200, merged
    assert {i["address"] for i in merged.body["identities"]} == {KIM, "o@example.org"}
    assert merged.body["attributes"] == {"a": 1}
    assert merged.body["do_not_contact"][0]["channel"] == "email"
    assert (await found(admin, "o@example.org"))[0]["id"] == "one"
    again = await admin("POST", "/v1/customers/one:merge", {"customer": "other"})
    assert (again.status, again.code) == (409, "same_customer")


async def test_permission_says_why_not_and_when(site: Site) -> None:
    admin = await site.client("admin")
    await admin("POST", "/v1/customers", {"id": "kim", "identities": [{"address": KIM}]})
    night_us, day_us = 1_795_298_400_000_000, 1_795_341_600_000_000  # 23:00 and 11:00 in Berlin
    path = "/v1/customers/kim/permission?channel=sms&at_us="
    at_night = (await admin("GET", f"{path}{night_us}")).body
    assert (at_night["allowed"], at_night["reason"]) == (False, "outside_hours")
    assert at_night["next_at_us"] == night_us + 9 * 3_600_000_000
    by_day = (await admin("GET", f"{path}{day_us}")).body
    assert by_day["allowed"] is True, by_day
    assert by_day["until_us"] == day_us + 10 * 3_600_000_000
    marketing = (await admin("GET", f"{path}{day_us}&purpose=marketing")).body
    assert marketing["reason"] == "consent_missing"
    said = {"state": "given", "purpose": "marketing", "source": "web form"}
    assert (await admin("POST", "/v1/customers/kim/consents", said)).status == 200
    assert (await admin("GET", f"{path}{day_us}&purpose=marketing")).body["allowed"] is True
    await admin("POST", "/v1/customers/kim:do-not-contact", {"address": KIM, "channel": "sms"})
    assert (await admin("GET", f"{path}{day_us}")).body["reason"] == "do_not_contact"
    lifted = {"address": "+49 30 123456", "channel": "sms", "lifted": True}
    await admin("POST", "/v1/customers/kim:do-not-contact", lifted)
    assert (await admin("GET", f"{path}{day_us}")).body["allowed"] is True


async def test_an_agent_sees_the_customers_of_their_own_contacts(site: Site) -> None:
    admin, ana = await site.client("admin"), await site.client("agent")
    ben = await site.client("agent", agent="ben")
    await admin("POST", "/v1/customers", {"id": "kim", "identities": [{"address": KIM}]})
    assert (await ana("GET", "/v1/customers/kim")).status == 404
    await admin("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    body = {"channel": "email", "queue": "front", "customer": "kim"}
    contact = (await admin("POST", "/v1/contacts", body)).body["contact"]
    (offer,) = (await ana("GET", "/v1/reservations")).body["reservations"]
    assert offer["contact"] == contact
    assert (await ana("GET", "/v1/customers/kim")).body["identities"][0]["address"] == KIM
    assert (await ben("GET", "/v1/customers/kim")).status == 404
    said = {"state": "withdrawn", "channel": "voice"}
    assert (await ben("POST", "/v1/customers/kim/consents", said)).status == 404
    kept = await ana("POST", "/v1/customers/kim/consents", said)
    assert kept.body["consents"][0]["source"] == "agent"
    await ana("POST", f"/v1/reservations/{offer['id']}:accept", {})
    await ana("POST", f"/v1/contacts/{contact}:complete", {})
    assert (await ana("GET", "/v1/customers/kim")).status == 200  # wrap-up
    await ana("POST", f"/v1/reservations/{offer['id']}:finish-wrap-up", {})
    assert (await ana("GET", "/v1/customers/kim")).status == 404


async def test_a_client_sees_no_address_and_no_name(site: Site) -> None:
    admin, client = await site.client("admin"), await site.client("client")
    body = {"id": "kim", "name": "Kim", "identities": [{"address": KIM, "label": "mobile"}]}
    await admin("POST", "/v1/customers", body)
    seen = (await client("GET", "/v1/customers/kim")).body
    assert (seen["id"], seen["identities"][0]["label"]) == ("kim", "mobile")
    assert KIM not in str(seen)
    assert "Kim" not in str(seen)
    assert [row["id"] for row in await found(client, KIM)] == ["kim"]


async def test_customers_are_there_after_a_restart(site: Site, tmp_path: Any) -> None:
    from tests.api.site import api_of, start

    admin = await site.client("admin")
    await admin("POST", "/v1/customers", {"id": "kim", "identities": [{"address": KIM}]})
    await site.server.stop()
    server = await start(tmp_path)
    again = Site(server, api_of(server), site.session)
    try:
        client = again.anybody(admin.token)
        assert [row["id"] for row in await found(client, KIM)] == ["kim"]
        await closed_call(client, KIM)
        assert (await client("GET", "/v1/customers/kim")).body["contacts"] == 1
    finally:
        await server.stop()


async def test_an_outcome_is_recorded_as_an_event(site: Site) -> None:
    admin = await site.client("admin")
    await admin("POST", "/v1/customers", {"id": "kim", "identities": [{"address": KIM}]})
    tried_us = site.api.clock.now_us() - 60_000_000
    body = {"channel": "sms", "address": KIM, "outcome": "replied", "attempted_at_us": tried_us}
    assert (await admin("POST", "/v1/customers/kim/outcomes", body)).status == 204
    assert (await admin("POST", "/v1/customers/lee/outcomes", body)).status == 404
    wrong = await admin("POST", "/v1/customers/kim/outcomes", {**body, "outcome": "sulked"})
    assert wrong.status == 422
    for moment in (5, tried_us + 2 * 86_400_000_000):
        wrong = await admin(
            "POST", "/v1/customers/kim/outcomes", {**body, "attempted_at_us": moment}
        )
        assert (wrong.status, wrong.code) == (422, "attempted_at_us")


async def test_what_is_written_after_stop_is_refused_in_words_until_start(site: Site) -> None:
    admin = await site.client("admin")

    async def texts(text: str, id_: str) -> str:
        message = {"text": text, "id": id_}
        body = {"channel": "sms", "queue": "front", "peer": {"address": KIM}, "message": message}
        told = await admin("POST", "/v1/messages", body)
        assert told.status in (200, 201), told
        contact: str = told.body["contact"]
        return contact

    contact = await texts("Where is my parcel?", "m1")
    assert await texts("STOP", "m2") == contact
    place = f"/v1/contacts/{contact}/messages"
    refused = await admin("POST", place, {"text": "On its way."})
    assert (refused.status, refused.code) == (409, "opted_out")
    assert "keyword STOP on sms" in refused.body["detail"]
    await texts("START", "m3")
    assert (await admin("POST", place, {"text": "On its way."})).status < 300


async def test_an_objection_is_taken_back_under_the_customer_whose_address_it_is(
    site: Site,
) -> None:
    admin = await site.client("admin")
    for id_, address in (("kim", KIM), ("lee", "+4930777777")):
        body = {"id": id_, "identities": [{"address": address}]}
        assert (await admin("POST", "/v1/customers", body)).status == 201
    block = {"channel": "voice", "address": KIM, "source": "by letter"}
    set_ = await admin("POST", "/v1/customers/kim:do-not-contact", block)
    assert [said["source"] for said in set_.body["do_not_contact"]] == ["by letter"]
    lifted = {"channel": "voice", "address": KIM, "lifted": True}
    refused = await admin("POST", "/v1/customers/lee:do-not-contact", lifted)
    assert (refused.status, refused.code) == (409, "identity_taken")
    question = "/v1/customers/kim/permission?channel=voice"
    assert (await admin("GET", question)).body["reason"] == "do_not_contact"
    done = await admin("POST", "/v1/customers/kim:do-not-contact", lifted)
    assert "do_not_contact" not in done.body
