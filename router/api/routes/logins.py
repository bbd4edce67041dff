"""Names and passwords over HTTP, and signing in with one."""

from __future__ import annotations

from contextlib import suppress

from router.api import bodies as b
from router.api.audit import audit_row
from router.api.auth import SESSION_US, Role, Use, make_token
from router.api.passwords import LoginRow, make_login
from router.api.problems import ApiError
from router.api.routes.admin import PLAIN, SessionView, session_view
from router.api.table import ANYBODY, Call, Reply, Route, roles
from router.api.views import View
from router.core.model import AgentId
from router.errors import Invalid, NotFound


class LoginView(View):
    """A name that signs in; nobody is ever told its password."""

    name: str
    role: Role
    agent: str = ""
    changed_at_us: int = 0
    by: str = ""


class LoginList(View):
    """All names of the workspace."""

    logins: list[LoginView]


class WaysView(View):
    """How people may sign in here."""

    password: bool
    """By name and password; not where nobody has one and there is a provider."""
    provider: str = ""
    """What people call the identity provider; empty: there is none."""


def _view(row: LoginRow) -> LoginView:
    return LoginView(row.name, row.role, row.agent, row.changed_at_us, row.by)


async def list_logins(call: Call) -> Reply:
    """All names, in order."""
    return Reply(200, LoginList([_view(row) for row in call.api.logins.of(call.tenant.name)]))


async def put_login(call: Call) -> Reply:
    """A name gets a (new) password; sessions that it has opened end."""
    body: b.LoginBody = call.body
    if body.agent:
        await call.tenant.workspace.settled()
        if AgentId(body.agent) not in call.tenant.state.agents:
            raise Invalid("unknown_agent", f"no agent {body.agent!r} - at `$.agent`")
    row = make_login(call.id, Role(body.role), body.agent, call.now_us, call.who.by)
    audit = audit_row(call, "login.put", call.id)
    kept = await call.api.logins.put(call.tenant.name, row, body.password, audit)
    await _end_sessions(call, kept)
    return Reply(200, _view(kept))


async def remove_login(call: Call) -> Reply:
    """A name is gone, and the sessions that it has opened end."""
    audit = audit_row(call, "login.remove", call.id)
    row = await call.api.logins.remove(call.tenant.name, call.id, call.who.by, audit)
    await _end_sessions(call, row)
    return Reply(204)


async def _end_sessions(call: Call, login: LoginRow) -> None:
    for row in call.api.tokens.of(call.tenant.name):
        if row.use is Use.SESSION and row.by == login.mark:
            audit = audit_row(call, "session.close", row.id)
            await call.api.tokens.revoke(call.tenant.name, row.id, call.who.by, (audit,))


async def sign_in(call: Call) -> Reply:
    """Name and password become a session token."""
    api = call.api
    body: b.PasswordBody = call.body
    if api.context.stopping:
        raise ApiError(503, "unavailable", "the server stops", retry_after_s=2.0)
    address = api.address(call.request)
    count = api.context.metrics.sign_ins.labels
    try:
        workspace, login = await api.logins.check(
            body.workspace, body.name, body.password, address, call.now_us
        )
    except ApiError as error:
        if error.status == 401 and (unsure := api.unsure()) is not None:
            raise unsure from None
        count("password", error.code).inc()
        raise
    text, row = make_token(
        login.role,
        now_us=call.now_us,
        name=login.name,
        use=Use.SESSION,
        agent=login.agent,
        length_us=SESSION_US,
        by=login.mark,
    )
    await api.tokens.add(workspace, row, (audit_row(call, "session.open", login.mark, login.mark),))
    if not api.logins.is_current(workspace, login):
        # Changed or removed meanwhile: whoever did so has not seen this session to end it.
        with suppress(NotFound):
            await api.tokens.revoke(workspace, row.id, login.mark)
        raise ApiError(401, "wrong_login", "this name and password do not fit")
    who = api.tokens.find(text, call.now_us)
    if who is None:
        raise ApiError(401, "wrong_login", "this name and password do not fit")
    count("password", "ok").inc()
    return Reply(200, session_view(api, text, row, who), PLAIN)


async def list_ways(call: Call) -> Reply:
    """How people may sign in here, for the page that asks them to."""
    provider = call.api.provider
    # Of several nodes each knows the names of its own workspaces only.
    is_one_of_many = call.api.context.cluster is not None
    return Reply(
        200,
        WaysView(
            password=provider is None or is_one_of_many or call.api.logins.any(),
            provider="" if provider is None else provider.label,
        ),
        PLAIN,
    )


ADMIN = roles("admin")

ROUTES: tuple[Route, ...] = (
    Route("signIn", "POST", "/v1/session:password", sign_in, ANYBODY, {200: SessionView},
          "Exchange a name and a password for a session token. Five tries a minute.",
          body=b.PasswordBody, audited="session.open", errors=(401, 507)),
    Route("listSignInWays", "GET", "/v1/session:ways", list_ways, ANYBODY, {200: WaysView},
          "How people sign in here: by password, by an identity provider, or both."),
    Route("listLogins", "GET", "/v1/logins", list_logins, ADMIN, {200: LoginList},
          "Who signs in with a password."),
    Route("putLogin", "PUT", "/v1/logins/{id}", put_login, ADMIN, {200: LoginView},
          "Give a name a password; sessions that it has opened end.", body=b.LoginBody,
          audited="login.put", errors=(507,)),
    Route("removeLogin", "DELETE", "/v1/logins/{id}", remove_login, ADMIN, {204: None},
          "A name signs in no more; its sessions end.", audited="login.remove",
          errors=(404, 507)),
)  # fmt: skip
