"""The way in: what Kannel fetches for each message and each receipt, and what it is answered.

An answer has no text: Kannel would send it to the customer.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from adapters import Bucket, hook_answer, hook_body, hook_rate
from adapters.kannel.channel import Kannel
from adapters.kannel.codec import incoming, raw_parameters, status

log = logging.getLogger(__name__)

BODY_MOST = 80_000
"""Octets of a text; the longest that 255 parts can hold has half of that."""

COMPLAINTS_PER_S = 1 / 60
"""How often the log says that a request was not Kannel's: whoever sends them must not fill it."""


def routes(channel: Kannel) -> list[web.RouteDef]:
    """What the API mounts under ``/v1/kannel/{name}``."""
    gate = _Gate(channel)

    async def on_message(request: web.Request) -> web.Response | None:
        params = await gate.allowed(request)
        try:
            message = incoming(params)
        except ValueError as error:
            log.warning("%s: post-url does not say what it must: %s", channel.name, error)
            return web.HTTPBadRequest()
        return await hook_answer(channel.arrive(message))

    async def on_status(request: web.Request) -> web.Response | None:
        params = await gate.allowed(request)
        try:
            state = status(params)
        except ValueError:
            return web.HTTPBadRequest()
        refusal = await hook_answer(channel.tell(state)) if state is not None else None
        # 422: of a message that is not known any more. Nothing to say again.
        return None if refusal is not None and refusal.status == 422 else refusal

    return [
        web.get("/incoming", _silent(on_message)),
        web.post("/incoming", _silent(on_message)),
        web.get("/status", _silent(on_status)),
    ]


class _Gate:
    """Tells Kannel's requests from anybody else's."""

    def __init__(self, channel: Kannel) -> None:
        self._channel = channel
        self._rate = Bucket(channel.config.per_s, channel.config.burst)
        self._complaints = Bucket(COMPLAINTS_PER_S, 3)

    async def allowed(self, request: web.Request) -> dict[str, bytes]:
        """The parameters of a request that may be made. Raises the answer for any other."""
        channel = self._channel
        try:
            peer = ipaddress.ip_address(request.remote or "")
        except ValueError:
            raise self._refusal("from an address that is not known") from None
        peer = getattr(peer, "ipv4_mapped", None) or peer
        if not any(peer in network for network in channel.peers):
            raise self._refusal("from elsewhere than `peers` says")
        params = raw_parameters(request.raw_path.partition("?")[2])
        key = params.get("key", b"")
        # Hexadecimal in addresses that we make ourselves (`status_url`).
        known = (channel.key.encode(), channel.key.encode().hex().encode())
        if channel.key and not any(hmac.compare_digest(key, one) for one in known):
            raise self._refusal("without the key")
        hook_rate(self._rate)  # after the key: what is refused uses up nothing
        body = await hook_body(request, None, BODY_MOST)
        if request.method == "POST":
            params["text"] = body
        return params

    def _refusal(self, why: str) -> web.HTTPForbidden:
        if self._complaints.take(asyncio.get_running_loop().time()) == 0:
            log.warning("%s: a request %s", self._channel.name, why)
        return web.HTTPForbidden()


def _silent(handler: Callable[[web.Request], Awaitable[web.Response | None]]) -> Handler:
    """Whatever the handler says, without a word of text."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            refusal = await handler(request)
        except web.HTTPException as error:
            refusal = error
        if refusal is None:
            return web.Response()
        again = refusal.headers.get("Retry-After")
        return web.Response(status=refusal.status, headers={"Retry-After": again} if again else {})

    return answer
