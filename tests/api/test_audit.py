"""Whoever changes, listens, exports or signs in leaves a row: who, what, on what, from where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from loadtest.server import free_port
from router.api.routes import ROUTES
from router.app import Server
from router.config import load
from tests.api.site import CONFIG, Site, api_of

FROM = "203.0.113.9"
VIA = {"X-Forwarded-For": FROM}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A server that was started from a file, behind a proxy."""
    file = tmp_path / "router.yaml"
    port = free_port()
    text = CONFIG.replace("server: {", f"server: {{port: {port}, trusted_proxies: [127.0.0.1], ")
    file.write_text(text, encoding="utf-8")
    server = Server(load(file), file, data=tmp_path / "data")
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield Site(server, api_of(server), session)
    await server.stop()


class Clerk:
    """Calls as somebody, from behind the proxy; remembers nothing."""

    def __init__(self, site: Site) -> None:
        self.site = site

    async def __call__(
        self, role: str, method: str, path: str, body: Any = None, *, ok: bool = True
    ) -> Any:
        client = self.site.anybody() if role == "-" else await self.site.client(role)
        answer = await client(method, path, body, **VIA)
        assert not ok or answer.status < 300, (method, path, answer)
        return answer.body


async def people(do: Clerk) -> None:
    await do("admin", "PUT", "/v1/agents/cat", {"name": "Cat", "profile": "all"})
    await do("admin", "DELETE", "/v1/agents/cat")
    login = {"password": "a long enough word", "role": "supervisor"}
    await do("admin", "PUT", "/v1/logins/sue", login)
    signed_in = {"name": "sue", "password": "a long enough word"}
    session = await do("-", "POST", "/v1/session:password", signed_in)
    sue = do.site.anybody(session["token"])
    assert (await sue("DELETE", "/v1/session", **VIA)).status == 204
    await do("admin", "DELETE", "/v1/logins/sue")
    token = await do("admin", "POST", "/v1/tokens", {"role": "client"})
    await do("admin", "DELETE", f"/v1/tokens/{token['id']}")
    await do("admin", "POST", "/v1/config:reload", {})


async def customers(do: Clerk) -> None:
    await do("admin", "POST", "/v1/customers", {"id": "kim"})
    await do("admin", "POST", "/v1/customers", {"id": "lee"})
    await do("admin", "PUT", "/v1/customers/kim", {"watched": True})
    await do("admin", "PATCH", "/v1/customers/kim", {"language": "de"})
    await do("admin", "POST", "/v1/customers/kim/consent", {"state": "given"}, ok=False)
    await do("admin", "GET", "/v1/customers/kim:export")
    await do("supervisor", "GET", "/v1/reports.csv?by=queue")


async def supervision(do: Clerk) -> str:
    ears = {"name": "Ben", "profile": "all", "endpoints": {"voice": "PJSIP/ben"}}
    await do("admin", "PUT", "/v1/agents/ben", ears)
    await do("supervisor", "POST", "/v1/agents/ana:presence", {"presence": "ready"})
    call = {"channel": "voice", "queue": "front", "external_id": "call-1"}
    contact: str = (await do("admin", "POST", "/v1/contacts", call))["contact"]
    rows = (await do("admin", "GET", "/v1/reservations"))["reservations"]
    [held] = [row["id"] for row in rows]
    await do("admin", "POST", f"/v1/reservations/{held}:accept", {})
    await do("admin", "POST", f"/v1/reservations/{held}:connected", {})
    listened = await do("supervisor", "POST", f"/v1/contacts/{contact}:monitor", {"agent": "ben"})
    stop = {"monitor": listened["monitor"]}
    await do("supervisor", "POST", f"/v1/contacts/{contact}:stop-monitor", stop)
    await do("supervisor", "POST", f"/v1/contacts/{contact}:record", {"on": True}, ok=False)
    mail = {"channel": "email", "queue": "front"}
    await do("admin", "POST", "/v1/agents/ana:presence", {"presence": "not_ready"})
    waiting: str = (await do("admin", "POST", "/v1/contacts", mail))["contact"]
    path = f"/v1/contacts/{waiting}"
    await do("supervisor", "POST", f"{path}:reprioritize", {"tier": 0})
    await do("supervisor", "POST", f"{path}:require", {"requirements": {}})
    await do("supervisor", "POST", f"{path}:move", {"queue": "billing"})
    await do("supervisor", "POST", "/v1/agents/ben:presence", {"presence": "not_ready"})
    await do("supervisor", "POST", f"{path}:pull", {"agent": "ben"}, ok=False)
    return contact


async def test_every_act_is_on_record_with_who_and_from_where(site: Site) -> None:
    do = Clerk(site)
    await people(do)
    await customers(do)
    contact = await supervision(do)
    admin = await site.client("admin")
    rows = (await admin("GET", "/v1/audit?limit=500")).body["rows"]
    seen = {row["action"] for row in rows}
    for action in (
        "agent.put", "agent.delete", "login.put", "login.remove", "session.open", "session.close",
        "token.create", "token.revoke", "config.reload", "customer.create", "customer.put",
        "customer.patch", "customer.export", "report.export", "contact.monitor",
        "contact.stop_monitor", "contact.reprioritize", "contact.require", "contact.move",
        "agent.presence",
    ):  # fmt: skip
        assert action in seen, f"{action} left no row; {sorted(seen)}"
    assert all(row["address"] == FROM for row in rows), "as the proxy says, not the proxy's own"
    assert all(row["by"] for row in rows)
    told = {(row["action"], row["by"], row.get("subject", "")) for row in rows}
    assert ("contact.monitor", "token:supervisor", f"{contact} for ben") in told
    assert ("customer.export", "token:admin", "kim") in told
    assert ("session.open", "login:sue", "login:sue") in told
    by_admin = [row for row in rows if row["action"] == "agent.presence"]
    assert {row["by"] for row in by_admin} == {"token:supervisor"}, "programs fill no lists"


def test_what_an_administrator_changes_is_audited() -> None:
    """A new operation for administrators alone must say what it leaves, or why nothing."""
    harmless = {
        "checkConfig": "changes nothing",
        "putQueue": "refused: the file owns it",
        "putRule": "refused: the file owns it",
        "putSegment": "refused: the file owns it",
        "putHours": "refused: the file owns it",
        "putEntryPoint": "refused: the file owns it",
        "putProfile": "refused: the file owns it",
    }
    for route in ROUTES:
        only_admins = {role.value for role in route.roles} == {"admin"}
        if only_admins and route.method != "GET" and route.operation not in harmless:
            assert route.audited, f"{route.operation} leaves no audit row"
