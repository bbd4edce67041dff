"""The provider's webhooks: who may call, within which bounds, and what they are answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from adapters import Bucket, hook_answer, hook_body, hook_rate
from adapters.twilio.channel import Twilio
from adapters.twilio.codec import Params, incoming, is_genuine, parameters, status

log = logging.getLogger(__name__)

COMPLAINTS_PER_S = 1 / 60
"""How often the log says that a call was not genuine: whoever forges them must not fill it."""

T = TypeVar("T")
BODY_BYTES = 256 * 1024
"""A text of 1,600 characters has at most 19 KiB in a form; there may be other providers."""
EMPTY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""TwiML that does nothing: the router answers by the REST API, when there is an answer."""


def routes(channel: Twilio) -> list[web.RouteDef]:
    """What the API mounts under ``/v1/twilio/{name}``."""
    gate = _Gate(channel)

    async def on_message(request: web.Request) -> web.StreamResponse:
        params = await gate.genuine(request, "/incoming")
        message = _read(incoming, params)
        refusal = await hook_answer(channel.arrive(message))
        return refusal or web.Response(text=EMPTY, content_type="text/xml")

    async def on_status(request: web.Request) -> web.StreamResponse:
        params = await gate.genuine(request, "/status")
        state = _read(status, params)
        refusal = await hook_answer(channel.tell(state, dict(request.query)))
        if refusal is not None and refusal.status == 422:
            refusal = None  # of a message that is not known any more: nothing to say again
        return refusal or web.Response(status=204)

    return [web.post("/incoming", on_message), web.post("/status", on_status)]


class _Gate:
    """Tells the provider's calls from anybody else's."""

    def __init__(self, channel: Twilio) -> None:
        self._channel = channel
        self._rate = Bucket(channel.config.per_s, channel.config.burst)
        self._complaints = Bucket(COMPLAINTS_PER_S, 3)

    async def genuine(self, request: web.Request, last: str) -> Params:
        """The parameters of a signed request. Raises the answer for any other."""
        channel = self._channel
        body = await hook_body(request, None, BODY_BYTES)
        kind = request.headers.get("Content-Type", "")
        # What the provider called, as we know it: a proxy may have changed host, scheme and path,
        # and anybody may send any Host header. Only the query is the request's; it is signed.
        _, mark, query = request.raw_path.partition("?")
        url = f"{channel.config.public_url}{last}{mark}{query}"
        given = request.headers.get("X-Twilio-Signature", "")
        try:
            genuine = is_genuine(channel.token, url, kind, body, given)
            params = parameters(kind, body)
        except ValueError:
            raise web.HTTPBadRequest(text="expected a form or JSON") from None
        if not genuine:
            if self._complaints.take(asyncio.get_running_loop().time()) == 0:
                log.warning("%s: a call was not signed, or not for our public_url", channel.name)
            raise web.HTTPForbidden(text="the signature does not match")
        hook_rate(self._rate)
        if dict(params).get("AccountSid", channel.config.account) != channel.config.account:
            raise web.HTTPForbidden(text="another account")
        return params


def _read(read: Callable[[Params], T], params: Params) -> T:
    try:
        return read(params)
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
