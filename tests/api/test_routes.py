"""Generated from the table of operations: roles, isolation, description. A new operation without an
entry here fails."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from openapi_spec_validator import validate

from router.api.actions import ACTIONS
from router.api.auth import Role
from router.api.openapi import describe
from router.api.routes import ROUTES
from router.api.table import ANYBODY, Route
from router.core import commands as c
from router.core import customer_commands as cc
from tests.api.site import Site

# admin, supervisor, agent, adapter, client, metrics: yes or no; "open" = no token asked.
MATRIX = {
    "submitContact": "y y n y y n", "submitContacts": "y y n y y n",
    "receiveMessage": "y n n y y n",
    "listContacts": "y y y y y n", "getContact": "y y y y y n", "updateContact": "y y y y y n",
    "listMessages": "y y y n n n", "linkAttachment": "y y y n n n", "getFile": "open",
    "postMessage": "y y y y y n", "listContactEvents": "y y y n n n",
    "listDecisions": "y y y n n n", "streamEvents": "y y n n y n",
    "reservationAccept": "y y y n n n", "reservationReject": "y y y n n n",
    "reservationConnected": "y n n y n n", "reservationFailed": "y n n y n n",
    "reservationFinishWrapUp": "y y y n n n", "reservationExtendWrapUp": "y y y n n n",
    "contactCancel": "y y n n y n", "contactAbandon": "y n n y y n",
    "contactReprioritize": "y y n n n n", "contactMove": "y y n n n n",
    "contactRequire": "y y n n n n", "contactPull": "y y y n n n", "contactWatch": "y y y n n n",
    "contactTransfer": "y y y n n n", "contactRequeue": "y y y n n n", "contactPark": "y y y n n n",
    "contactHold": "y y y n n n", "contactResume": "y y y n n n", "contactComplete": "y y y y n n",
    "contactSwitchChannel": "y y y n y n", "contactCallback": "y y y y y n",
    "contactReschedule": "y y n y y n", "contactConsult": "y y y n n n",
    "contactEndConsult": "y y y n n n", "contactConference": "y y y n n n",
    "contactRecord": "y y y n n n", "contactMonitor": "y y n n n n",
    "contactStopMonitor": "y y n y n n", "contactRecordingEnded": "y n n y n n",
    "reservationHungUp": "y n n y n n", "contactCollect": "y y n n n n",
    "contactInput": "y n n y y n", "agentPresence": "y y y n n n",
    "listAgents": "y y n n n n", "getAgent": "y y y n n n", "putAgent": "y n n n n n",
    "deleteAgent": "y n n n n n", "listReservations": "y y y n n n",
    "getReservation": "y y y y n n",
    "importHistory": "y y n n n n", "listCustomerContacts": "y y y n y n",
    "findCustomers": "y y n n y n", "createCustomer": "y y n n n n",
    "getCustomer": "y y y n y n", "putCustomer": "y y n n n n", "patchCustomer": "y y n n n n",
    "mergeCustomer": "y y n n n n", "setConsent": "y y y n y n", "setDoNotContact": "y y y n y n",
    "getPermission": "y y y n y n", "getPreference": "y y y n y n", "recordOutcome": "y y y y y n",
    "exportCustomer": "y n n n n n", "eraseCustomer": "y n n n n n",
    "listQueues": "y y y n y n", "getQueue": "y y y n y n", "putQueue": "y n n n n n",
    "listChannels": "y y y n n n", "channelPause": "y y n n n n", "channelResume": "y y n n n n",
    "previewQueue": "y y n n n n", "askRoute": "y n n y y n", "getStats": "y y n n n n",
    "getReport": "y y n n n n", "getReportCsv": "y y n n n n",
    "listRules": "y y n n n n", "putRule": "y n n n n n", "evaluateRules": "y y n n n n",
    "tryRule": "y y n n n n",
    "listHours": "y y n n n n", "putHours": "y n n n n n",
    "listEntryPoints": "y y n n n n", "putEntryPoint": "y n n n n n",
    "listProfiles": "y y n n n n", "putProfile": "y n n n n n",
    "listSegments": "y y n n n n", "putSegment": "y n n n n n",
    "signIn": "open", "listSignInWays": "open", "listLogins": "y n n n n n",
    "putLogin": "y n n n n n", "removeLogin": "y n n n n n",
    "openSession": "open", "closeSession": "y y y y y y", "createToken": "y n n n n n",
    "listTokens": "y n n n n n", "revokeToken": "y n n n n n", "getConfig": "y n n n n n",
    "reloadConfig": "y n n n n n", "checkConfig": "y n n n n n", "listAudit": "y n n n n n",
    "healthz": "open", "readyz": "open", "getHealth": "y y n n n y", "getMetrics": "y n n n n y",
    "getOpenapi": "open", "listNodes": "y y n n n y",
}  # fmt: skip

ROLES = [Role.ADMIN, Role.SUPERVISOR, Role.AGENT, Role.ADAPTER, Role.CLIENT, Role.METRICS]

BODIES: dict[str, dict[str, Any]] = {
    "submitContact": {"channel": "voice", "queue": "front"},
    "submitContacts": {"contacts": [{"channel": "voice", "queue": "front"}]},
    "receiveMessage": {"channel": "voice", "queue": "front", "message": {"text": "x", "id": "1"}},
    "postMessage": {"text": "hello"},
    "linkAttachment": {"message": "m1", "attachment": "f1"},
    "reservationFailed": {"reason": "busy"},
    "reservationExtendWrapUp": {"by_us": 1_000_000},
    "contactReprioritize": {"tier": 0},
    "contactMove": {"queue": "front"},
    "contactRequire": {"requirements": {}},
    "contactPull": {"agent": "ana"},
    "contactTransfer": {"queue": "front"},
    "contactSwitchChannel": {"channel": "sms"},
    "contactReschedule": {"not_before_us": 2_000_000_000_000_000},
    "contactConsult": {"queue": "front"},
    "contactMonitor": {"agent": "ben"},
    "contactStopMonitor": {"monitor": "l1"},
    "contactRecordingEnded": {"recording": "c1-r1-1"},
    "contactCollect": {"name": "menu", "prompt": "1 or 2?"},
    "contactInput": {"name": "menu", "value": "1"},
    "agentPresence": {"presence": "ready"},
    "previewQueue": {"channel": "voice"},
    "askRoute": {"request": "r", "channel": "voice", "queue": "front"},
    "evaluateRules": {"channel": "voice", "queue": "front"},
    "tryRule": {"rule": "{name: all, then: {queue: billing}}"},
    "mergeCustomer": {"customer": "kim"},
    "setConsent": {"state": "given"},
    "recordOutcome": {
        "channel": "voice",
        "address": "+4930123456",
        "outcome": "replied",
        "attempted_at_us": 1_790_000_000_000_000,
    },
    "createToken": {"role": "client"},
    "checkConfig": {"text": "queues: {}"},
    "importHistory": {"rows": [{"customer": "kim", "channel": "pigeon"}]},
    "openSession": {"ticket": "crk_x"},
    "signIn": {"name": "nobody", "password": "a long password"},
    "putLogin": {"password": "short", "role": "admin"},
}


def body_of(route: Route) -> dict[str, Any] | None:
    return None if route.body is None else BODIES.get(route.operation, {})


def path_of(route: Route, id_: str) -> str:
    return route.path.replace("{id}", id_)


def test_the_matrix_has_exactly_the_operations_there_are() -> None:
    assert sorted(MATRIX) == sorted(route.operation for route in ROUTES)
    assert len({(r.method, r.path) for r in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: r.operation)
async def test_each_role_may_do_what_the_matrix_says(route: Route, site: Site) -> None:
    row = MATRIX[route.operation].split()
    if row == ["open"]:
        assert route.roles is ANYBODY
        return
    if route.operation == "streamEvents":
        path = "/v1/events?types=Nothing"  # allowed ones get 422 instead of an endless stream
    else:
        path = path_of(route, "nobody")
    for role, may in zip(ROLES, row, strict=True):
        client = await site.client(role)
        answer = await client(route.method, path, body_of(route))
        if may == "y":
            assert answer.status != 403 or "write to customers" in str(answer.body), (role, answer)
            assert answer.status not in {401, 405, 500}, (role, answer)
        else:
            assert answer.status == 403, (role, answer)
            assert answer.code == "forbidden"
    answer = await site.anybody()(route.method, path, body_of(route))
    assert answer.status in {401, 429}, answer


async def ids_of(site: Site, workspace: str) -> dict[str, str]:
    """Something of each kind in a workspace."""
    admin = await site.client("admin", workspace)
    agent = "ana" if workspace == "oak" else "zoe"
    await admin("POST", f"/v1/agents/{agent}:presence", {"presence": "ready"})
    body = {"channel": "email", "queue": "front", "message": {"text": "hello"}}
    contact = (await admin("POST", "/v1/contacts", body)).body["contact"]
    reservation = (await admin("GET", "/v1/reservations")).body["reservations"][0]["id"]
    token = (await admin("POST", "/v1/tokens", {"role": "client"})).body["id"]
    customer = f"kim-of-{workspace}"
    assert (await admin("POST", "/v1/customers", {"id": customer})).status == 201
    login = f"sue-of-{workspace}"
    body = {"password": "a long password", "role": "supervisor"}
    assert (await admin("PUT", f"/v1/logins/{login}", body)).status == 200
    return {
        "contacts": contact,
        "reservations": reservation,
        "agents": agent,
        "tokens": token,
        "customers": customer,
        "logins": login,
    }


async def test_another_workspaces_ids_are_not_there(site: Site) -> None:
    theirs = await ids_of(site, "elm")
    await ids_of(site, "oak")
    # Names of the file are not secrets; both have `front`.
    theirs |= dict.fromkeys(("queues", "rules", "segments", "channels"), "elms-own")
    theirs |= dict.fromkeys(("hours", "entry-points", "profiles"), "elms-own")
    # Reservations are numbered per workspace: the one to ask for must not exist here too.
    admin = await site.client("admin", "elm")
    for _ in range(3):
        await admin("POST", "/v1/contacts", {"channel": "email", "queue": "front"})
    there = (await admin("GET", "/v1/reservations")).body["reservations"]
    theirs["reservations"] = there[-1]["id"]
    tried = 0
    for route in ROUTES:
        if "{id}" not in route.path or route.operation in {"putAgent", "putCustomer", "putLogin"}:
            continue
        kind = route.path.split("/")[2]
        for role in sorted(route.roles):
            client = await site.client(role)
            answer = await client(route.method, path_of(route, theirs[kind]), body_of(route))
            if answer.status == 403:
                assert route.operation == "postMessage"
                continue
            assert answer.status == 404, (route.operation, role, answer)
            tried += 1
    assert tried > 60
    for role in ("admin", "supervisor"):
        client = await site.client(role)
        body = {"contact": theirs["contacts"]}
        answer = await client("POST", "/v1/rules:evaluate", body)
        assert (answer.status, answer.code) == (422, "not_found")
    still = await site.client("admin", "elm")
    contact = (await still("GET", f"/v1/contacts/{theirs['contacts']}")).body
    assert contact["state"] == "offered"


async def test_lists_show_nothing_of_another_workspace(site: Site) -> None:
    theirs = await ids_of(site, "elm")
    admin = await site.client("admin")
    for path in (
        "contacts",
        "reservations",
        "agents",
        "tokens",
        "logins",
        "audit",
        "queues",
        "rules",
        "segments",
        "stats",
        "health",
    ):
        text = str((await admin("GET", f"/v1/{path}")).body)
        for name in ("contacts", "agents", "tokens", "logins"):
            assert theirs[name] not in text, path


def test_every_command_can_be_given_over_http() -> None:
    internal = {
        c.SettleEffect, c.ProvideCustomer, c.ReportLive, c.StepClock, c.DeadLetter, c.DeskLost,
        c.DeskBack, c.ApplyPolicy, c.LinkContact, c.RecordAudit,
    }  # fmt: skip
    by_hand = {
        c.SubmitContact: "submitContact", c.ReceiveMessage: "receiveMessage",
        c.SendMessage: "postMessage", c.PutAgent: "putAgent", c.RemoveAgent: "deleteAgent",
        c.AskRoute: "askRoute", c.HearKeyword: "receiveMessage",
        cc.ChangeCustomer: "putCustomer", cc.MergeCustomers: "mergeCustomer",
        cc.ChangeConsent: "setConsent", cc.ChangeDoNotContact: "setDoNotContact",
        cc.RecordOutcome: "recordOutcome", cc.EraseCustomer: "eraseCustomer",
    }  # fmt: skip
    import inspect

    from router.api import actions

    source = inspect.getsource(actions)
    operations = {route.operation for route in ROUTES}
    for command in get_args(c.Command):
        if command in internal or "Audit" in command.__name__:
            continue
        if command in by_hand:
            assert by_hand[command] in operations
        else:
            assert f"c.{command.__name__}(" in source, command
    assert {a.name for a in ACTIONS} >= {"consult", "callback", "collect"}


def test_the_description_is_valid_openapi() -> None:
    document = msgspec.json.decode(msgspec.json.encode(describe(ROUTES)))
    validate(document)
    assert document["openapi"] == "3.1.0"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            for status in ("401", "500"):
                if operation.get("security") != []:
                    assert status in operation["responses"]


async def test_the_server_serves_exactly_what_it_describes(site: Site) -> None:
    document = (await site.anybody()("GET", "/openapi.json")).body
    described = {(method.upper(), path) for path, ms in document["paths"].items() for method in ms}
    assert described == {(route.method, route.path) for route in ROUTES}
    served = set()
    for resource in site.server._runners[0].app.router.resources():
        for route in resource:
            if route.method not in {"*", "HEAD"} and resource.canonical.startswith("/v1/"):
                served.add((route.method, resource.canonical))
    plain = {(method, path.partition(":")[0]) if "{id}:" in path else (method, path)
             for method, path in described}  # fmt: skip
    extra = {entry for entry in served - plain if "/v1/webchat" not in entry[1]}
    assert extra == {("GET", "/v1/desk"), ("GET", "/v1/channels/{id}")}


async def test_health_tells_each_workspace_of_itself_alone(site: Site) -> None:
    oak = (await (await site.client("supervisor"))("GET", "/v1/health")).body
    elm = (await (await site.client("admin", "elm"))("GET", "/v1/health")).body
    assert any("oak/phones" in line for line in oak["degraded"])
    assert "oak" not in str(elm)
    assert list(elm["workspaces"]) == ["elm"]
