"""The HTTP side: from the table of operations to an aiohttp application.

No middleware: each operation is one function that authenticates, limits, decodes, calls its handler
and encodes; what it does not know it answers with a problem (RFC 9457).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from typing import Any

from aiohttp import web

from router.api import inside, oidc_pages, pages
from router.api.auth import Principal, Tokens
from router.api.desk import Memories
from router.api.hops import Hop
from router.api.hub import Hub
from router.api.limits import Limits
from router.api.oidc import Provider
from router.api.openapi import describe
from router.api.passwords import Logins
from router.api.problems import ApiError, problem
from router.api.proxy import HOPPED, Proxy
from router.api.routes import ROUTES
from router.api.table import ANYBODY, Call, Reply, Route, reader_of
from router.api.tenant import Tenant
from router.api.websocket import Sockets
from router.api.wire import BODY_BYTES, encode_json
from router.config import ServerSettings
from router.errors import Invalid, NotFound, RouterError
from router.runtime.clock import Clock
from router.runtime.context import AppContext
from router.runtime.feed import Subscription

log = logging.getLogger("router.api")

BODY_TIMEOUT_S = 15.0
_NOBODY = Principal(workspace="", token="", role="")  # type: ignore[arg-type]  # stands for no token
WebHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """What all handlers share."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.clock: Clock = context.clock
        self.settings: ServerSettings = context.config.server
        limits = self.settings.limits
        self.limits = Limits(
            token_rate=limits.requests_per_s,
            token_burst=limits.requests_burst,
            connections=limits.connections_per_token,
        )
        self.tokens = Tokens()
        self.logins = Logins()
        self.tenants: dict[str, Tenant] = {}
        self.provider: Provider | None = None
        """The identity provider that people may sign in with."""
        self.memories = Memories(context.secret if context.node else b"")
        self.sockets = Sockets(self)
        self.doors: dict[tuple[str, str], web.Application] = {}
        """Paths of adapters that are served here, by type and name of the adapter."""
        self.door_places = {
            (adapter.type, adapter_name): name
            for name, settings in context.config.workspaces.items()
            for adapter_name, adapter in settings.adapters.items()
        }
        """Which workspace's they are, served here or not."""
        self.proxy = Proxy(self, context.node) if context.node else None
        self.streams: dict[Subscription, None] = {}
        """Open event streams over HTTP."""
        self.openapi = encode_json(describe(ROUTES))
        self.proxies = [ip_network(text, strict=False) for text in self.settings.trusted_proxies]
        self._durations: dict[tuple[str, int], Any] = {}
        for name in context.workspaces:
            self.admit(name)

    def admit(self, name: str) -> None:
        """A workspace is served here from now on."""
        context = self.context
        workspace = context.workspaces[name]
        self.tokens.load(workspace)
        self.logins.load(workspace)
        self.tenants[name] = tenant = Tenant(
            workspace,
            desks=context.desks[name],
            channels=context.channels[name],
            intake=context.intakes[name],
            messages=context.messages[name],
            measures=context.measures[name],
        )
        tenant.hub = Hub(tenant)
        for type_, adapter, routes in tenant.channels.routes():
            self.doors[type_, adapter] = _door(self, f"/v1/{type_}/{adapter}", routes)

    def dismiss(self, name: str) -> None:
        """A workspace is not served here any more."""
        self.tenants.pop(name, None)
        self.tokens.unload(name)
        self.logins.unload(name)
        for place in [place for place, owner in self.door_places.items() if owner == name]:
            self.doors.pop(place, None)
        self.sockets.dismiss(name)

    def authenticate(self, request: web.Request, now_us: int) -> Principal:
        """Whose request this is. Raises ApiError 401 (429 for who guesses)."""
        header = request.headers.get("Authorization", "")
        if header[:7] == "Bearer ":
            who = self.tokens.find(header[7:], now_us)
            if who is not None:
                self.limits.charge(who.token, now_us)
                return who
            if (unsure := self.unsure()) is not None:
                raise unsure
        self.limits.charge_address(self.address(request), now_us)
        if not header:
            raise ApiError(401, "no_token", "expected `Authorization: Bearer crt_…`, got none")
        raise ApiError(401, "wrong_token", "this token is unknown or has expired")

    def serves(self) -> list[str]:
        """The workspaces of which this node knows all: not one whose ownership it could not renew
        in time, which another node may have taken and changed since."""
        return [n for n, tenant in self.tenants.items() if not tenant.workspace.writer.lapsed]

    def unsure(self) -> ApiError | None:
        """What is said instead of "there is no such thing" where this node cannot know it."""
        if len(self.serves()) == len(self.tenants):
            return None
        return ApiError(
            503, "unavailable", "this node could not renew its ownership in time", retry_after_s=1.0
        )

    def address(self, request: web.Request) -> str:
        """Who is at the other end of the connection; behind a trusted proxy, what it says."""
        passed: Hop | None = request.get(HOPPED)
        if passed is not None:
            return passed.address
        peer = request.remote or ""
        # Some proxies add a field of their own behind the client's: together they are one list.
        fields = ",".join(request.headers.getall("X-Forwarded-For", []))
        for hop in reversed(fields.replace(" ", "").split(",")):
            if not self.is_proxy(peer):
                break
            peer = hop or peer
        return peer

    def is_proxy(self, address: str) -> bool:
        """Is it one of `trusted_proxies`?"""
        try:
            return any(ip_address(address) in net for net in self.proxies)
        except ValueError:
            return False

    def tenant_of(self, who: Principal) -> Tenant:
        """The workspace of a token. Raises ApiError 503 if it is not served here."""
        tenant = self.tenants.get(who.workspace)
        if tenant is None or tenant.workspace.stopped or self.context.stopping:
            raise ApiError(
                503, "unavailable", "this workspace is not served here now", retry_after_s=5.0
            )
        return tenant

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        key = (route, status)
        child = self._durations.get(key)
        if child is None:
            child = self._durations[key] = self.context.metrics.http.labels(route, method, status)
        child.observe(seconds)


def build(context: AppContext) -> web.Application:
    """The application that serves the API and the pages."""
    api = Api(context)
    app = web.Application(
        client_max_size=min(BODY_BYTES, api.settings.limits.body_bytes),
        middlewares=[] if api.proxy is None else [_elsewhere(api.proxy)],
    )
    app[API] = api
    api.sockets.mount(app)  # first: routes refuse other methods, and share a path with a socket
    _mount(app, api)
    if api.proxy is not None:
        inside.mount(app, api)
    oidc_pages.mount(app, api)
    pages.mount(app)
    app.router.add_route("*", "/{tail:.*}", _by_door(api))
    app.on_response_prepare.append(_plain_headers)
    app.on_shutdown.append(_close)
    return app


def _elsewhere(proxy: Proxy) -> Any:
    @web.middleware
    async def serve(request: web.Request, handler: WebHandler) -> web.StreamResponse:
        return await proxy.serve(request, handler)

    return serve


def _by_door(api: Api) -> WebHandler:
    """Paths of adapters: these come and go with their workspaces."""

    async def serve(request: web.Request) -> web.StreamResponse:
        parts = request.path.split("/")
        door = api.doors.get((parts[2], parts[3])) if len(parts) > 3 else None
        if door is None or parts[1] != "v1":
            return await _unknown(request)
        answer: web.StreamResponse = await door._handle(request)
        return answer

    return serve


API: web.AppKey[Api] = web.AppKey("api", Api)


def _mount(app: web.Application, api: Api) -> None:
    """Routes that differ in a verb after a colon share what aiohttp sees: the path before it."""
    by_path: dict[str, dict[str, dict[str, WebHandler]]] = {}
    for route in ROUTES:
        path, verb = route.path, ""
        if "{id}:" in path:
            path, _, verb = path.rpartition(":")
        by_path.setdefault(path, {}).setdefault(route.method, {})[verb] = _serve(api, route)
    for path, methods in by_path.items():
        for method, verbs in methods.items():
            handler = verbs[""] if list(verbs) == [""] else _by_verb(verbs)
            app.router.add_route(method, path, handler)
        app.router.add_route("*", path, _not_allowed(sorted(methods)))


def _door(api: Api, prefix: str, routes: Any) -> web.Application:
    """An adapter with paths of its own (a socket, a webhook); no token of ours is asked."""

    @web.middleware
    async def name_the_caller(request: web.Request, handler: WebHandler) -> web.StreamResponse:
        # `remote` is the proxy where there is one; an adapter knows nothing of our proxies.
        address = api.address(request)
        if "X-Forwarded-For" in request.headers and not api.is_proxy(request.remote or ""):
            address = ""  # a proxy that nobody has told us of: its address is not the caller's
        return await handler(request.clone(remote=address))

    inner = web.Application(middlewares=[name_the_caller])
    inner.add_routes(routes)
    door = web.Application()
    door.add_subapp(prefix, inner)
    door.router.add_route("*", "/{tail:.*}", _unknown)
    door.on_response_prepare.append(_plain_headers)
    door.freeze()
    return door


def _serve(api: Api, route: Route) -> WebHandler:
    """One operation as an aiohttp handler."""
    handler, admitted = route.handler, route.roles
    name, method, clock = route.operation, route.method, api.clock
    has_id = "{id}" in route.path
    read = None if route.body is None else reader_of(route)

    async def serve(request: web.Request) -> web.StreamResponse:
        started_us = clock.now_us()
        try:
            if admitted is ANYBODY:
                call = Call(api, request, _NOBODY, None, started_us, "")  # type: ignore[arg-type]
            else:
                who = api.authenticate(request, started_us)
                if who.role not in admitted:
                    raise ApiError(403, "forbidden", f"role {who.role} may not do that: {name}")
                id_ = request.match_info.get("id", "") if has_id else ""
                call = Call(api, request, who, api.tenant_of(who), started_us, id_)
            if read is not None:
                call.raw = raw = await _read(request)
                call.body = read(raw)
            reply = await handler(call)
            response = _answer(reply) if isinstance(reply, Reply) else reply
        except asyncio.CancelledError:
            raise
        except NotFound as error:
            # A name in a body that means nothing makes the body wrong, not the path.
            wrong = error if has_id else Invalid(error.code, str(error))
            response = problem(api.unsure() or wrong)
        except (ApiError, RouterError) as error:
            response = problem(error)
        except web.HTTPRequestEntityTooLarge:
            response = problem(ApiError(413, "too_large", f"at most {BODY_BYTES} bytes"))
        except ConnectionError:
            raise
        except Exception as error:  # the edge: log once, show an id
            response = problem(error)
        api.observe(name, method, response.status, (clock.now_us() - started_us) * 1e-6)
        return response

    return serve


def _answer(reply: Reply) -> web.Response:
    status, value, headers = reply
    if value is None:
        return web.Response(status=status, headers=headers)
    return web.Response(
        status=status, body=encode_json(value), content_type="application/json", headers=headers
    )


async def _read(request: web.Request) -> bytes:
    """The body, within its time. Raises ApiError."""
    kind = request.headers.get("Content-Type", "")
    if kind != "application/json" and kind.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(
            415, "content_type", f"expected application/json, got {kind or 'no content type'!r:.80}"
        )
    if request.content.is_eof():  # small bodies come with their header: no timer needed
        return await request.read()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise ApiError(408, "too_slow", f"the body took over {BODY_TIMEOUT_S:.0f} s") from None


def _by_verb(verbs: dict[str, WebHandler]) -> WebHandler:
    async def serve(request: web.Request) -> web.StreamResponse:
        head, colon, verb = request.match_info["id"].rpartition(":")
        if not colon:
            head, verb = verb, ""
        handler = verbs.get(verb)
        if handler is None:
            if verb:
                return problem(ApiError(404, "not_found", f"no action {verb!r:.60}"))
            return problem(ApiError(405, "method", "this path takes an action: …:verb"))
        request.match_info["id"] = head
        return await handler(request)

    return serve


def _not_allowed(methods: list[str]) -> WebHandler:
    async def serve(request: web.Request) -> web.StreamResponse:
        detail = f"expected {' or '.join(methods)}, got {request.method}"
        return problem(ApiError(405, "method", detail, allow=methods))

    return serve


async def _unknown(request: web.Request) -> web.StreamResponse:
    return problem(ApiError(404, "not_found", "there is nothing at this path"))


async def _plain_headers(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    headers["Server"] = "contact-router"  # instead of library and interpreter versions
    headers["X-Content-Type-Options"] = "nosniff"


async def _close(app: web.Application) -> None:
    for stream in list(app[API].streams):
        stream.close()
    await app[API].sockets.close("the server stops")
    proxy = app[API].proxy
    if proxy is not None:
        await proxy.close()


class SlowClients:
    """Cuts connections that have opened and then not sent a first whole request header in time.

    aiohttp gives them its keep-alive timeout, which is meant for pauses between requests.
    """

    def __init__(self, server: web.Server, limit_s: float = 20.0) -> None:
        self._server = server
        self._limit_s = limit_s
        self._since: dict[Any, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look every quarter of the limit from now on."""
        self._look()

    def stop(self) -> None:
        """No more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        since: dict[Any, float] = {}
        for connection in list(self._server.connections):
            if connection._request_count:
                continue
            first = since[connection] = self._since.get(connection, now)
            if now - first > self._limit_s:
                connection.force_close()
                if connection.transport is not None:
                    connection.transport.abort()
        self._since = since
        self._timer = loop.call_later(self._limit_s / 4, self._look)
