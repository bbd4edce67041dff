"""The token of an adapter: all of the API that its role admits, on its own channel and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.api.auth import Role, make_token
from router.api.routes import ROUTES
from router.channel import Address, NewContact
from router.core.model import ReservationId
from tests.api.site import CONFIG, Client, Site, api_of, start
from tests.api.test_routes import BODIES, body_of, path_of

LINES = CONFIG.replace(
    "phones: {type: remote, channel: voice}",
    "phones: {type: remote, channel: voice}\n      desk_phones: {type: remote, channel: voice}",
)
SUBMITTED: dict[str, Any] = {"queue": "front", "message": {"text": "hello", "id": "m1"}}


async def speaker(site: Site, adapter: str) -> Client:
    text, row = make_token(
        Role.ADAPTER, now_us=site.api.clock.now_us(), channel=adapter, name=adapter
    )
    await site.api.tokens.add("oak", row)
    return site.anybody(text)


async def begun(client: Client, channel: str, external_id: str) -> str:
    body = {**SUBMITTED, "channel": channel, "external_id": external_id}
    answer = await client("POST", "/v1/contacts", body)
    assert answer.status == 201, answer
    return str(answer.body["contact"])


async def offered(site: Site, contact: str) -> str:
    admin = await site.client("admin")
    (reservation,) = (await admin("GET", f"/v1/contacts/{contact}")).body["reservations"]
    return str(reservation)


ON_OBJECTS = [
    route
    for route in ROUTES
    if Role.ADAPTER in route.roles and route.path.startswith(("/v1/contacts/{", "/v1/reservations"))
]


def test_the_matrix_below_is_not_empty() -> None:
    names = {route.operation for route in ON_OBJECTS}
    assert {"getContact", "updateContact", "contactAbandon", "contactComplete", "contactInput",
            "contactCallback", "reservationConnected", "reservationHungUp"} <= names  # fmt: skip
    assert len(names) >= 14


@pytest.mark.parametrize("route", ON_OBJECTS, ids=lambda route: route.operation)
async def test_contacts_of_another_channel_are_not_there(route: Any, site: Site) -> None:
    """Each operation, on a text of the other channel: as if it did not exist, and untouched."""
    admin, phones = await site.client("admin"), await speaker(site, "phones")
    await admin("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    text = await begun(admin, "sms", "s1")
    theirs = text if route.path.startswith("/v1/contacts") else await offered(site, text)
    before = (await admin("GET", f"/v1/contacts/{text}")).body
    body = body_of(route)
    if route.operation == "postMessage":
        body = {"text": "I am the customer", "direction": "from_customer", "id": "x9"}
    answer = await phones(route.method, path_of(route, theirs), body)
    assert (answer.status, answer.code) == (404, "not_found"), answer
    assert theirs in answer.body["detail"]  # what it says of one that never was
    assert (await admin("GET", f"/v1/contacts/{text}")).body == before
    if route.path.startswith("/v1/contacts"):  # on its own channel the same is not refused so
        own = await begun(phones, "voice", "v1")
        allowed = await phones(route.method, path_of(route, own), body)
        assert allowed.status != 403
        assert allowed.body.get("detail") != f"no contact {own!r}"


@pytest.mark.parametrize("operation", ["submitContact", "receiveMessage", "askRoute"])
async def test_nothing_begins_and_nothing_is_asked_on_another_channel(
    operation: str, site: Site
) -> None:
    phones = await speaker(site, "phones")
    route = next(route for route in ROUTES if route.operation == operation)
    body = {**BODIES[operation], "channel": "sms"}
    answer = await phones(route.method, route.path, body)
    assert (answer.status, answer.code) == (403, "forbidden"), answer
    assert "voice" in answer.body["detail"]
    assert (await phones(route.method, route.path, {**body, "channel": "voice"})).status < 300
    admin = await site.client("admin")
    found = (await admin("GET", "/v1/contacts?channel=sms")).body["contacts"]
    assert found == []


async def test_a_batch_with_one_of_another_channel_is_refused_whole(site: Site) -> None:
    phones, admin = await speaker(site, "phones"), await site.client("admin")
    batch = {"contacts": [{"channel": c, "queue": "front"} for c in ("voice", "sms")]}
    assert (await phones("POST", "/v1/contacts:batch", batch)).status == 403
    assert (await admin("GET", "/v1/contacts")).body["contacts"] == []


async def test_what_became_of_an_attempt_is_told_for_the_own_channel_only(site: Site) -> None:
    phones, admin = await speaker(site, "phones"), await site.client("admin")
    assert (await admin("POST", "/v1/customers", {"id": "kim"})).status == 201
    body = BODIES["recordOutcome"]
    assert (
        await phones("POST", "/v1/customers/kim/outcomes", {**body, "channel": "sms"})
    ).status == 403
    assert (await phones("POST", "/v1/customers/kim/outcomes", body)).status == 204


async def test_lists_show_the_own_channel_open_and_closed(site: Site) -> None:
    admin, phones = await site.client("admin"), await speaker(site, "phones")
    call, text = await begun(phones, "voice", "v1"), await begun(admin, "sms", "s1")
    gone_call, gone_text = await begun(phones, "voice", "v2"), await begun(admin, "sms", "s2")
    for id_ in (gone_call, gone_text):
        assert (await admin("POST", f"/v1/contacts/{id_}:cancel", {})).status == 200
    for path, ours, theirs in (
        ("/v1/contacts", call, text),
        ("/v1/contacts?state=closed", gone_call, gone_text),
    ):
        everything = [row["id"] for row in (await admin("GET", path)).body["contacts"]]
        assert {ours, theirs} <= set(everything)
        assert [row["id"] for row in (await phones("GET", path)).body["contacts"]] == [ours]
    assert (await phones("GET", "/v1/contacts?channel=sms")).status == 403
    assert (await phones("GET", f"/v1/contacts/{gone_text}")).status == 404
    assert (await phones("GET", f"/v1/contacts/{gone_call}")).status == 200


async def test_the_legs_of_another_channels_contact_are_out_of_reach(site: Site) -> None:
    """Who could say `connected` or `hung_up` for others would end their conversations."""
    admin, phones = await site.client("admin"), await speaker(site, "phones")
    await admin("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    text = await begun(admin, "sms", "s1")
    reservation = await offered(site, text)
    for verb, body in (("connected", {}), ("failed", {"reason": "busy"}), ("hung-up", {})):
        answer = await phones("POST", f"/v1/reservations/{reservation}:{verb}", body)
        assert answer.status == 404, answer
    row = site.server.hosts["oak"].workspace.engine.state.reservations[ReservationId(reservation)]
    assert row.state == "offered"


async def test_of_two_adapters_on_one_channel_neither_reaches_what_the_other_brought(
    tmp_path: Path,
) -> None:
    server = await start(tmp_path, LINES)
    async with aiohttp.ClientSession() as session:
        site = Site(server, api_of(server), session)
        admin = await site.client("admin")
        phones, desk_phones = await speaker(site, "phones"), await speaker(site, "desk_phones")
        bringing = server.hosts["oak"].channels.get("phones")
        assert bringing is not None
        new = NewContact(external_id="p1", customer=Address(address="+49301"), to="+4930555100")
        contact = (await bringing.router.submit(new)).contact
        assert (await phones("GET", f"/v1/contacts/{contact}")).status == 200
        assert (await desk_phones("GET", f"/v1/contacts/{contact}")).status == 404
        assert (await desk_phones("POST", f"/v1/contacts/{contact}:abandon", {})).status == 404
        assert (await desk_phones("GET", "/v1/contacts")).body["contacts"] == []
        # What came over the API is nobody's in particular.
        shared = await begun(admin, "voice", "v1")
        assert (await desk_phones("GET", f"/v1/contacts/{shared}")).status == 200
    await server.stop()


async def test_the_token_of_an_adapter_that_is_gone_reaches_nothing(site: Site) -> None:
    gone = await speaker(site, "unplugged")
    admin = await site.client("admin")
    contact = await begun(admin, "voice", "v1")
    assert (await gone("GET", "/v1/contacts")).status == 403
    assert (await gone("POST", "/v1/contacts", {**SUBMITTED, "channel": "voice"})).status == 403
    assert (await gone("GET", f"/v1/contacts/{contact}")).status == 404
