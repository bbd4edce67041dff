"""Tokens, sign-in, configuration, audit, health, metrics, and the description of all this."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from router.api import bodies as b
from router.api.audit import AuditRow, audit_row, decode_audit
from router.api.auth import TICKET_US, Principal, Role, TokenRow, Use, make_token
from router.api.problems import ApiError
from router.api.table import ANYBODY, PAGING, Call, Reply, Route, query, query_int, roles
from router.api.views import View
from router.config import loads
from router.config.redact import redact
from router.core.commands import RecordAudit
from router.core.model import AgentId
from router.errors import ConfigError, Invalid
from router.runtime.metrics import CONTENT_TYPE

PLAIN = {"Cache-Control": "no-store"}


class TokenView(View):
    """A token, without its text."""

    id: str
    role: str
    name: str = ""
    use: str = "token"
    agent: str = ""
    channel: str = ""
    created_at_us: int = 0
    expires_at_us: int = 0
    by: str = ""
    token: str = ""
    """Its text: only in the answer that creates it."""


class TokenPage(View):
    """Some tokens, by id."""

    tokens: list[TokenView]
    next: str = ""


class SessionView(View):
    """Signed in."""

    token: str
    expires_at_us: int
    workspace: str
    role: str
    agent: str = ""
    name: str = ""
    provider: str = ""
    """The identity provider that they signed in with, as people call it; empty: they did not."""


class ChangesView(View):
    """What a reload changed, in words."""

    changes: list[str] = []


class CheckView(View):
    """What is wrong with a configuration; nothing if it is right."""

    ok: bool = False
    findings: list[str] = []


class AuditPage(View):
    """Some audit rows, oldest first."""

    rows: list[AuditRow]
    next: str = ""


class StateView(View):
    """A word."""

    status: str
    reasons: list[str] = []


def _view(row: TokenRow, text: str = "") -> TokenView:
    return TokenView(
        id=row.id,
        role=row.role,
        name=row.name,
        use=row.use,
        agent=row.agent,
        channel=row.channel,
        created_at_us=row.created_at_us,
        expires_at_us=row.expires_at_us,
        by=row.by,
        token=text,
    )


async def create_token(call: Call) -> Reply:
    """A new token; its text is shown this once."""
    body: b.TokenBody = call.body
    if body.agent:
        await call.tenant.workspace.settled()
        if AgentId(body.agent) not in call.tenant.state.agents:
            raise Invalid("unknown_agent", f"no agent {body.agent!r} - at `$.agent`")
    if body.channel and call.tenant.channels.get(body.channel) is None:
        raise Invalid("unknown_adapter", f"no adapter {body.channel!r} - at `$.channel`")
    use = Use(body.use)
    length_us = body.expires_in_s * 1_000_000
    text, row = make_token(
        Role(body.role),
        now_us=call.now_us,
        name=body.name,
        use=use,
        agent=body.agent,
        channel=body.channel,
        once=body.once and use is Use.TICKET,
        length_us=length_us or (TICKET_US if use is Use.TICKET else 0),
        by=call.who.by,
    )
    audit = audit_row(call, "token.create", row.id)
    await call.api.tokens.add(call.tenant.name, row, (audit,))
    return Reply(201, _view(row, text), PLAIN)


async def list_tokens(call: Call) -> Reply:
    """A page of tokens."""
    limit = query_int(call, "limit", 100, 1, 500)
    cursor = query(call, "cursor", 500)
    rows = [row for row in call.api.tokens.of(call.tenant.name) if row.id > cursor]
    more = rows[limit - 1].id if len(rows) > limit else ""
    return Reply(200, TokenPage(tokens=[_view(row) for row in rows[:limit]], next=more))


async def revoke_token(call: Call) -> Reply:
    """A token ends; its sockets are closed within ten seconds."""
    audit = audit_row(call, "token.revoke", call.id)
    await call.api.tokens.revoke(call.tenant.name, call.id, call.who.by, (audit,))
    return Reply(204)


async def open_session(call: Call) -> Reply:
    """A ticket becomes a session token."""
    api = call.api
    body: b.SessionBody = call.body
    if api.context.stopping:
        raise ApiError(503, "unavailable", "the server stops", retry_after_s=2.0)
    found = await api.tokens.exchange(
        body.ticket, call.now_us, lambda who: audit_row(call, "session.open", who.by, who.by)
    )
    if found is None and (unsure := api.unsure()) is not None:
        raise unsure
    if found is None:
        api.limits.charge_address(api.address(call.request), call.now_us)
        api.context.metrics.sign_ins.labels("link", "wrong_ticket").inc()
        raise ApiError(401, "wrong_ticket", "this ticket is unknown, used, or has expired")
    if not found[1].subject:  # counted where it came back from the provider
        api.context.metrics.sign_ins.labels("link", "ok").inc()
    return Reply(200, session_view(api, *found), PLAIN)


def session_view(api: Any, text: str, row: TokenRow, who: Principal) -> SessionView:
    """What a page needs of its session."""
    return SessionView(
        token=text,
        expires_at_us=row.expires_at_us,
        workspace=who.workspace,
        role=who.role,
        agent=who.agent,
        name=_name(api, who.workspace, who.agent) or who.name,
        provider=api.provider.label if row.subject and api.provider is not None else "",
    )


def _name(api: Any, workspace: str, agent: str) -> str:
    row = api.tenants[workspace].state.agents.get(agent) if agent else None
    return row.name if row is not None else ""


async def close_session(call: Call) -> Reply:
    """Sign out: this token ends."""
    row = next(t for t in call.api.tokens.of(call.tenant.name) if t.id == call.who.token)
    if row.use is not Use.SESSION:
        raise ApiError(409, "not_a_session", "this is no session token: revoke it instead")
    audit = audit_row(call, "session.close", row.id)
    await call.api.tokens.revoke(call.tenant.name, row.id, call.who.by, (audit,))
    return Reply(204)


async def get_config(call: Call) -> Reply:
    """This workspace's configuration in force, secrets left out."""
    whole: dict[str, Any] = redact(call.api.context.config)
    return Reply(200, whole.get("workspaces", {}).get(call.tenant.name, {}))


async def reload_config(call: Call) -> Reply:
    """Read the file again; a bad file changes nothing."""
    changes: list[str] = await call.api.context.reload(call.who.by)
    subject = f"{len(changes)} changes"
    command = RecordAudit(action="config.reload", subject=subject, by=call.who.by)
    await call.tenant.workspace.ask(command, (audit_row(call, "config.reload", subject),))
    return Reply(200, ChangesView(changes=changes))


async def check_config(call: Call) -> Reply:
    """Check a configuration without applying it."""
    body: b.CheckBody = call.body
    try:
        await asyncio.to_thread(loads, body.text, "request")
    except ConfigError as error:
        return Reply(200, CheckView(findings=error.findings))
    return Reply(200, CheckView(ok=True))


async def list_audit(call: Call) -> Reply:
    """A page of the audit."""
    limit = query_int(call, "limit", 100, 1, 500)
    workspace = call.tenant.workspace
    rows = await workspace.journal.list_archive(
        workspace.own, "audit", "", query(call, "cursor", 500), limit
    )
    more = rows[-1][0] if len(rows) == limit else ""
    return Reply(200, AuditPage(rows=[decode_audit(data) for _, data in rows], next=more))


async def healthz(call: Call) -> Reply:
    """Does the event loop turn?"""
    return Reply(200, StateView(status="ok"), PLAIN)


async def readyz(call: Call) -> Reply:
    """Should traffic come here? Without reasons: those need a token."""
    if call.api.context.health.not_ready():
        return Reply(503, StateView(status="not_ready"), PLAIN)
    return Reply(200, StateView(status="ready"), PLAIN)


async def health(call: Call) -> Reply:
    """Everything about how the server is, of this workspace."""
    report: dict[str, Any] = call.api.context.health.report()
    name = call.tenant.name
    others = tuple(
        prefix
        for other in call.api.context.config.workspaces
        if other != name
        for prefix in (f"workspace {other} ", f"workspace {other}:", f"adapter {other}/")
    )
    for key in ("not_ready", "degraded"):
        report[key] = [line for line in report[key] if not line.startswith(others)]
    for key in ("workspaces", "adapters"):
        report[key] = {name: report[key][name]} if name in report[key] else {}
    return Reply(200, report, PLAIN)


async def metrics(call: Call) -> Reply | web.StreamResponse:
    """Prometheus text."""
    data = await call.api.context.metrics.render()
    return web.Response(body=data, headers={"Content-Type": CONTENT_TYPE})


async def openapi(call: Call) -> Reply | web.StreamResponse:
    """This API's description."""
    return web.Response(body=call.api.openapi, content_type="application/json")


ADMIN = roles("admin")
ALL = frozenset(Role)

ROUTES: tuple[Route, ...] = (
    Route("openSession", "POST", "/v1/session", open_session, ANYBODY, {200: SessionView},
          "Exchange the ticket of a signed-in link for a session token.", body=b.SessionBody,
          audited="session.open", errors=(401, 507)),
    Route("closeSession", "DELETE", "/v1/session", close_session, ALL, {204: None}, "Sign out.",
          audited="session.close", errors=(409, 507)),
    Route("createToken", "POST", "/v1/tokens", create_token, ADMIN, {201: TokenView},
          "A new token, bound to this workspace; its text is shown this once.", body=b.TokenBody,
          audited="token.create", errors=(507,)),
    Route("listTokens", "GET", "/v1/tokens", list_tokens, ADMIN, {200: TokenPage}, "Tokens by id.",
          params=PAGING),
    Route("revokeToken", "DELETE", "/v1/tokens/{id}", revoke_token, ADMIN, {204: None},
          "A token ends; its sockets close within ten seconds.", audited="token.revoke",
          errors=(404, 507)),
    Route("getConfig", "GET", "/v1/config", get_config, ADMIN, {200: dict[str, Any]},
          "This workspace's configuration in force, without secrets."),
    Route("reloadConfig", "POST", "/v1/config:reload", reload_config, ADMIN, {200: ChangesView},
          "Read the file again. A bad file changes nothing: 422 with every finding.",
          body=b.EmptyBody, audited="config.reload", errors=(409, 507)),
    Route("checkConfig", "POST", "/v1/config:check", check_config, ADMIN, {200: CheckView},
          "Check a configuration without applying it.", body=b.CheckBody),
    Route("listAudit", "GET", "/v1/audit", list_audit, ADMIN, {200: AuditPage},
          "Administrators' actions and sign-ins, oldest first.", params=PAGING),
    Route("healthz", "GET", "/healthz", healthz, ANYBODY, {200: StateView}, "Alive?"),
    Route("readyz", "GET", "/readyz", readyz, ANYBODY, {200: StateView, 503: StateView},
          "Ready for traffic?"),
    Route("getHealth", "GET", "/v1/health", health, roles("admin supervisor metrics"),
          {200: dict[str, Any]}, "How this workspace is, with reasons."),
    Route("getMetrics", "GET", "/metrics", metrics, roles("admin metrics"),
          {200: "text/plain"}, "Prometheus metrics."),
    Route("getOpenapi", "GET", "/openapi.json", openapi, ANYBODY, {200: dict[str, Any]},
          "This description."),
)  # fmt: skip
