"""Signing in at a node that does not serve the workspace: what its owner does for the others.

Any node walks people to the provider and back. Tickets and sessions are rows of their workspace, so
only its owner makes and ends them: it is told who came back, or who was signed out, below /nodes/
as nodes speak (`inside.py`), and what it is told is sealed under a key of the installation's
secret, because the signature of a hop covers the path and not the body.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from router.api.audit import audit_row
from router.api.auth import TICKET_US, Principal, Role, TokenRow, Use, make_token
from router.api.oidc import Failed
from router.api.peers import PeerFailed
from router.api.problems import ApiError, problem
from router.api.proxy import HOPPED
from router.api.table import Call
from router.api.wire import encode_json
from router.core.model import AgentId
from router.errors import NotFound, RouterError
from router.runtime.cluster import Cluster

if TYPE_CHECKING:
    from router.api.http import Api
    from router.api.tenant import Tenant

PASS_S = 10.0
"""So long an owner is looked for: a takeover at the default lease is over by then."""
AGAIN_S = 0.5
"""After so long it is asked again, whether or not anything was seen to change."""
TOLD_US = 120_000_000
"""What one node tells another is good for so long: more than their clocks may differ."""
NAME_CHARS = 64
BODY_BYTES = 65_536
_encode = msgspec.msgpack.Encoder().encode
_NOBODY = Principal(workspace="", token="", role="")  # type: ignore[arg-type]  # stands for no token
T = TypeVar("T", bound="Arrived | SignedOut")


class Arrived(msgspec.Struct, frozen=True):
    """Who has come back from the provider, and as what they are let in."""

    workspace: str
    role: str
    name: str
    subject: str
    """The provider's name for them (`sub`)."""
    session: str
    """Of the provider (`sid`); empty = it named none."""
    until_us: int = 0


class SignedOut(msgspec.Struct, frozen=True):
    """Whose sessions end; one of the two may be empty."""

    subject: str
    session: str
    until_us: int = 0


class OidcNodes:
    """Tickets and ends of sessions, here or at the owner."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._cipher = AESGCM(hmac.digest(api.context.secret, b"oidc between nodes", "sha256"))

    def mount(self, app: web.Application) -> None:
        """Add what other nodes ask."""
        app.router.add_post("/nodes/oidc/arrived", self._arrived)
        app.router.add_post("/nodes/oidc/signed-out", self._signed_out)

    # --- who came back --------------------------------------------------------------------------

    async def ticket(self, request: web.Request, who: Arrived) -> str:
        """A ticket of theirs, made by who serves the workspace. Raises Failed, RouterError."""
        if self._api.proxy is None:
            return await self._make_ticket(request, who)
        with suppress(TimeoutError):
            async with asyncio.timeout(PASS_S):
                while True:
                    try:
                        return await self._try_ticket(request, who)
                    except Failed as failed:
                        if failed.code != "later":
                            raise
                    except (ApiError, PeerFailed):
                        pass
                    await self._soon(who.workspace)
        raise Failed("later", f"no node serves workspace {who.workspace}")

    async def _try_ticket(self, request: web.Request, who: Arrived) -> str:
        """Raises Failed, RouterError; ApiError, PeerFailed: the owner could not be asked.

        An answer that is lost leaves a ticket that nobody has, for a few minutes.
        """
        proxy = self._api.proxy
        assert proxy is not None, "asked only where there are several nodes"
        owner = await proxy.owner_of(who.workspace, None)
        if owner is None:
            return await self._make_ticket(request, who)
        answer = await proxy.peers.call(
            "POST",
            owner.address,
            "/nodes/oidc/arrived",
            body=self._sealed(who),
            asker=self._api.address(request),
        )
        if answer["refused"]:
            raise Failed(str(answer["refused"]), f"said by node {owner.name}")
        return str(answer["ticket"])

    async def _make_ticket(self, request: web.Request, who: Arrived) -> str:
        api = self._api
        tenant = api.tenants.get(who.workspace)
        if tenant is None or tenant.workspace.stopped or api.context.stopping:
            raise Failed("later", f"workspace {who.workspace} is not served here")
        role = Role(who.role)
        is_agent = role is Role.AGENT
        if is_agent:
            await tenant.workspace.settled()
            if AgentId(who.name) not in tenant.state.agents:
                raise Failed("no_agent")
        text, row = make_token(
            role,
            now_us=api.clock.now_us(),
            name=who.name[:NAME_CHARS],
            use=Use.TICKET,
            agent=who.name if is_agent else "",
            once=True,
            length_us=TICKET_US,
            by=f"oidc:{who.subject}",
        )
        row.subject, row.provider_session = who.subject, who.session
        subject = f"agent:{who.name}" if is_agent else f"token:{row.name}"
        audit = audit_row(self._call(request, tenant), "session.oidc", row.by, subject)
        await api.tokens.add(who.workspace, row, (audit,))
        return text

    async def _arrived(self, request: web.Request) -> web.StreamResponse:
        who = await self._told(request, Arrived)
        if who is None:
            return _nothing()
        answer = {"ticket": "", "refused": ""}
        try:
            answer["ticket"] = await self._make_ticket(request, who)
        except Failed as failed:
            answer["refused"] = failed.code
        except RouterError as error:
            return problem(error)
        return _answer(answer)

    # --- who was signed out ---------------------------------------------------------------------

    async def end_everywhere(self, request: web.Request, gone: SignedOut) -> None:
        """End their sessions in every workspace. Raises RouterError, ApiError 503: not in all."""
        done: dict[str, None] = {}
        failed = await self._end_here(request, gone, done)
        cluster = self._api.context.cluster
        if cluster is None:
            if failed is not None:
                raise failed
            return
        try:
            async with asyncio.timeout(PASS_S):
                while not all(name in done for name in cluster.places):
                    await self._tell_others(request, gone, cluster, done)
                    if all(name in done for name in cluster.places):
                        return
                    await self._soon()
                    await self._end_here(request, gone, done)
        except TimeoutError:
            raise ApiError(
                503, "unavailable", "not every workspace can be asked now", retry_after_s=5.0
            ) from None

    async def _end_here(
        self, request: web.Request, gone: SignedOut, done: dict[str, None]
    ) -> RouterError | None:
        """End them in what is served here; the workspaces go into `done`. What failed last."""
        failed: RouterError | None = None
        tokens = self._api.tokens
        for name, tenant in list(self._api.tenants.items()):
            if name in done:
                continue
            try:
                for row in tokens.of(name):
                    if _is_of(row, gone):
                        by = f"oidc:{row.subject}"
                        audit = audit_row(self._call(request, tenant), "session.close", row.id, by)
                        with suppress(NotFound):  # signed out by hand at the same moment
                            await tokens.revoke(name, row.id, by, (audit,))
            except RouterError as error:
                failed = error
            else:
                done[name] = None
        return failed

    async def _tell_others(
        self, request: web.Request, gone: SignedOut, cluster: Cluster, done: dict[str, None]
    ) -> None:
        proxy = self._api.proxy
        assert proxy is not None, "asked only where there are several nodes"
        alive = [n for n in cluster.members.alive(cluster.now_us()) if n != cluster.me.name]
        entries = [entry for entry in map(cluster.members.get, alive) if entry is not None]
        body, asker = self._sealed(gone), self._api.address(request)
        path = "/nodes/oidc/signed-out"
        answers = await asyncio.gather(
            *(proxy.peers.call("POST", e.address, path, body=body, asker=asker) for e in entries),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, PeerFailed):
                continue
            if isinstance(answer, BaseException):
                raise answer
            done.update(dict.fromkeys(answer["ended_in"]))

    async def _signed_out(self, request: web.Request) -> web.StreamResponse:
        gone = await self._told(request, SignedOut)
        if gone is None:
            return _nothing()
        done: dict[str, None] = {}
        await self._end_here(request, gone, done)
        return _answer({"ended_in": list(done)})

    # --- between nodes --------------------------------------------------------------------------

    def _sealed(self, told: Arrived | SignedOut) -> bytes:
        fresh = msgspec.structs.replace(told, until_us=self._api.clock.now_us() + TOLD_US)
        nonce = secrets.token_bytes(12)
        kind = type(told).__name__.encode()
        return nonce + self._cipher.encrypt(nonce, _encode(fresh), kind)

    async def _told(self, request: web.Request, kind: type[T]) -> T | None:
        """What another node says; None: it is not one of ours, or said it long ago."""
        if request.get(HOPPED) is None or (request.content_length or 0) > BODY_BYTES:
            return None
        data = await asyncio.wait_for(request.read(), PASS_S)
        try:
            plain = self._cipher.decrypt(data[:12], data[12:], kind.__name__.encode())
            told = msgspec.msgpack.decode(plain, type=kind)
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            return None
        return told if told.until_us > self._api.clock.now_us() else None

    async def _soon(self, workspace: str = "") -> None:
        """Wait until an owner may have changed, for a moment at most."""
        cluster = self._api.context.cluster
        assert cluster is not None, "asked only where there are several nodes"
        cluster.look_soon()
        with suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_S):
                await cluster.change(workspace)

    def _call(self, request: web.Request, tenant: Tenant) -> Call:
        return Call(self._api, request, _NOBODY, tenant, self._api.clock.now_us(), "")


def _is_of(row: TokenRow, gone: SignedOut) -> bool:
    if not row.subject or (gone.subject and row.subject != gone.subject):
        return False
    return not gone.session or row.provider_session == gone.session


def _answer(value: Any) -> web.Response:
    return web.Response(body=encode_json(value), content_type="application/json")


def _nothing() -> web.Response:
    return problem(ApiError(404, "not_found", "there is nothing at this path"))
