"""Clients of workspaces that another node owns: passed on to it, one hop, whatever they speak.

Whose a request is says its token, its ticket or its path. It goes on signed (`hops.py`), so that
its caller's address is known at the owner; one that has been passed on already goes no further.
What was sent and not answered is `outcome_unknown`; what was never sent is `unavailable`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from router.api import stalled
from router.api.auth import digest_of, is_well_formed
from router.api.hops import HEADER, Hop, Hops
from router.api.locating import Locator
from router.api.peers import Peers
from router.api.problems import ApiError, problem
from router.api.relay import relay
from router.api.routes.attachments import workspace_of_ticket
from router.journal.shared import NodeEntry

if TYPE_CHECKING:
    from router.api.http import Api

log = logging.getLogger("router.api")

HOPPED: web.RequestKey[Hop] = web.RequestKey("hop", Hop)
"""Set on a request that another node has passed on."""
DROPPED = frozenset(
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
     "transfer-encoding", "upgrade", HEADER.lower()]
)  # fmt: skip
"""Headers that end at each connection (RFC 9110 7.6.1), and our own."""
ANSWER_S = 60.0
"""So long may an owner take to begin its answer."""
HELD_S = 1.5
HELD = 512
"""So long, and so many, requests wait for a workspace that is on its way between two nodes."""
SIGN_IN_BYTES = 16 << 10
SIGN_IN_S = 5.0
"""So little comes in one piece; after so long the rest of it does not come any more."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Proxy:
    """Where a request belongs, and the way there."""

    def __init__(self, api: Api, node: str) -> None:
        self.api = api
        self.hops = Hops(api.context.secret, api.clock, node)
        self.peers = Peers(self.hops)
        self.locator = Locator(api, self.peers)
        self._held = 0

    async def close(self) -> None:
        """Safe to repeat."""
        await self.peers.close()

    # --- where it belongs -----------------------------------------------------------------------

    def note_hop(self, request: web.Request) -> Hop | None:
        """Who passed this request on, if a node of ours did."""
        header = request.headers.get(HEADER)
        if header is None:
            return None
        hop = self.hops.read(header, request.method, request.raw_path)
        if hop is not None:
            request[HOPPED] = hop
        return hop

    async def serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request here, or have it answered where it belongs."""
        hop = self.note_hop(request)
        path = request.path
        if not path.startswith("/v1/") or path == "/v1/desk" or self._is_adapter_socket(request):
            return await handler(request)  # sockets say in their first frame whose they are
        try:
            workspace = await self._workspace_of(request)
            if not workspace or workspace in self.api.tenants:
                return await handler(request)
            owner = await self.owner_of(workspace, hop)
            if owner is None:
                return await handler(request)
            return await self._forward(request, owner)
        except ApiError as error:
            return problem(error)

    async def owner_of(self, workspace: str, hop: Hop | None) -> NodeEntry | None:
        """The node to ask; None: this one, by now. Raises ApiError 503 while there is none."""
        if hop is not None:
            raise ApiError(
                503, "unavailable", "this workspace has just moved on", retry_after_s=1.0
            )
        cluster = self.api.context.cluster
        assert cluster is not None, "a proxy stands in a cluster only"
        if self._held >= HELD:
            raise _nobody()
        self._held += 1
        try:
            async with asyncio.timeout(HELD_S):
                while True:
                    if workspace in self.api.tenants:
                        return None
                    owner = cluster.owner(workspace)
                    if owner is not None and owner.name != cluster.me.name:
                        return owner
                    await cluster.change(workspace)
        except TimeoutError:
            raise _nobody() from None
        finally:
            self._held -= 1

    def _is_adapter_socket(self, request: web.Request) -> bool:
        parts = request.path.split("/")
        return len(parts) == 4 and parts[2] == "channels" and is_upgrade(request)

    async def _workspace_of(self, request: web.Request) -> str:
        """The workspace of a request; empty: nobody's, or every node answers alike."""
        api, path = self.api, request.path
        parts = path.split("/")
        if len(parts) > 3 and (parts[2], parts[3]) in api.door_places:
            return api.door_places[parts[2], parts[3]]
        if path.startswith("/v1/oidc/"):
            return ""  # whose it is stands in claims that nobody has yet (`oidc_nodes.py`)
        if path == "/v1/files":
            return workspace_of_ticket(request.query.get("ticket", ""))
        if path in ("/v1/session", "/v1/session:password") and request.method == "POST":
            return await self._workspace_of_sign_in(request)
        header = request.headers.get("Authorization", "")
        if header[:7] != "Bearer ":
            return ""
        return await self.workspace_of_token(header[7:], api.address(request))

    async def workspace_of_token(self, text: str, address: str) -> str:
        """The workspace that knows this token; empty: this one, or none. Raises ApiError."""
        api, now_us = self.api, self.api.clock.now_us()
        if api.tokens.knows(text) or not is_well_formed(text):
            return ""  # mistyped or made up without care: no other node knows it either
        found = await self.locator.find("token", digest_of(text).hex())
        if not found:
            api.limits.charge_address(address, now_us)
        return found

    async def _workspace_of_sign_in(self, request: web.Request) -> str:
        if (request.content_length or 0) > SIGN_IN_BYTES:
            return ""
        try:
            async with asyncio.timeout(SIGN_IN_S):
                raw = await request.read()
        except TimeoutError:
            raise ApiError(408, "too_slow", f"the body took over {SIGN_IN_S:.0f} s") from None
        try:
            body: Any = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        if not isinstance(body, dict):
            return ""
        ticket, name, workspace = (body.get(k) for k in ("ticket", "name", "workspace"))
        if isinstance(ticket, str):
            return await self.workspace_of_token(ticket, self.api.address(request))
        cluster = self.api.context.cluster
        if isinstance(workspace, str) and cluster is not None and workspace in cluster.places:
            return workspace
        if isinstance(name, str) and not self.api.logins.has(name):
            return await self.locator.find("login", name[:200])
        return ""

    # --- the way there --------------------------------------------------------------------------

    def headers_for(self, request: web.Request) -> CIMultiDict[str]:
        """The headers with which a request goes on."""
        headers = CIMultiDict(
            (name, value) for name, value in request.headers.items() if name.lower() not in DROPPED
        )
        api = self.api
        if api.is_proxy(request.remote or ""):
            headers.popall("X-Forwarded-For", None)  # read here: the owner trusts the hop instead
        headers[HEADER] = self.hops.sign(request.method, request.raw_path, api.address(request))
        return headers

    async def _forward(self, request: web.Request, owner: NodeEntry) -> web.StreamResponse:
        limit = self.api.settings.limits.body_bytes
        if is_upgrade(request):
            return await relay(self, request, owner)
        is_door = tuple(request.path.split("/")[2:4]) in self.api.door_places
        if not is_door and (request.content_length or 0) > limit:
            raise ApiError(413, "too_large", f"at most {limit} bytes")
        url = URL(owner.address.rstrip("/") + request.raw_path, encoded=True)
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self.peers.session.request(
                    request.method,
                    url,
                    headers=self.headers_for(request),
                    data=await self._body(request),
                    allow_redirects=False,
                    skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                )
        # RuntimeError: the session was closed, this node stops. Nothing was sent in either case.
        except (aiohttp.ClientConnectorError, RuntimeError):
            self._look_again()
            raise ApiError(
                503, "unavailable", "the node that serves this workspace cannot be reached",
                retry_after_s=1.0,
            ) from None  # fmt: skip
        except (aiohttp.ClientError, TimeoutError):
            self._look_again()
            raise self._lost(request) from None
        async with answer:
            return await pass_back(request, answer)

    async def _body(self, request: web.Request) -> bytes | AsyncIterator[bytes] | None:
        if not request.body_exists:
            return None
        if request._read_bytes is not None:
            return request._read_bytes
        return request.content.iter_any()

    def _lost(self, request: web.Request) -> ApiError:
        if request.method in ("GET", "HEAD"):
            return ApiError(503, "unavailable", "the owner did not answer", retry_after_s=1.0)
        return ApiError(
            503, "outcome_unknown",
            "the node that serves this workspace has not answered: it may have happened",
            retry_after_s=2.0,
        )  # fmt: skip

    def _look_again(self) -> None:
        cluster = self.api.context.cluster
        assert cluster is not None
        cluster.look_soon()


async def pass_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """The owner's answer, piece by piece, not read faster than the client reads it."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers.items():
        if name.lower() not in DROPPED:
            response.headers.add(name, value)
    try:
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await stalled.write(request, response, piece)
        await stalled.end(request, response)
    except (aiohttp.ClientError, ConnectionError):
        # The client has gone, or the owner: half an answer must not look like a whole one.
        if request.transport is not None:
            request.transport.abort()
    return response


def _nobody() -> ApiError:
    return ApiError(503, "unavailable", "no node serves this workspace now", retry_after_s=1.0)


def is_upgrade(request: web.Request) -> bool:
    """Does it ask for a WebSocket?"""
    return request.headers.get("Upgrade", "").lower() == "websocket"
