"""The provider's webhooks: who may call, within which bounds, and what they are answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from adapters import Bucket, hook_answer, hook_body
from adapters.twilio.channel import Twilio
from adapters.twilio.codec import Params, incoming, is_genuine, parameters, status

log = logging.getLogger(__name__)

T = TypeVar("T")
BODY_BYTES = 256 * 1024
"""A text of 1,600 characters has at most 19 KiB in a form; there may be other providers."""
EMPTY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""TwiML that does nothing: the router answers by the REST API, when there is an answer."""


def routes(channel: Twilio) -> list[web.RouteDef]:
    """What the API mounts under ``/v1/twilio/{name}``."""
    bucket = Bucket(channel.config.per_s, channel.config.burst)

    async def on_message(request: web.Request) -> web.StreamResponse:
        params = await _genuine(channel, bucket, request, "/incoming")
        message = _read(incoming, params)
        refusal = await hook_answer(channel.arrive(message))
        return refusal or web.Response(text=EMPTY, content_type="text/xml")

    async def on_status(request: web.Request) -> web.StreamResponse:
        params = await _genuine(channel, bucket, request, "/status")
        state = _read(status, params)
        refusal = await hook_answer(channel.tell(state, dict(request.query)))
        if refusal is not None and refusal.status == 422:
            refusal = None  # of a message that is not known any more: nothing to say again
        return refusal or web.Response(status=204)

    return [web.post("/incoming", on_message), web.post("/status", on_status)]


async def _genuine(channel: Twilio, bucket: Bucket, request: web.Request, last: str) -> Params:
    """The parameters of a signed request. Raises the answer for any other."""
    body = await hook_body(request, bucket, BODY_BYTES)
    kind = request.headers.get("Content-Type", "")
    # What the provider called, as we know it: a proxy may have changed host, scheme and path, and
    # anybody may send any Host header. Only the query is the request's own; it is signed.
    url = channel.config.public_url + last
    _, mark, query = request.raw_path.partition("?")
    url += mark + query
    try:
        genuine = is_genuine(
            channel.token, url, kind, body, request.headers.get("X-Twilio-Signature", "")
        )
        params = parameters(kind, body)
    except ValueError:
        raise web.HTTPBadRequest(text="expected a form or JSON") from None
    if not genuine:
        log.warning("%s: a webhook was not signed, or not for our public_url", channel.name)
        raise web.HTTPForbidden(text="the signature does not match")
    account = dict(params).get("AccountSid", channel.config.account)
    if account != channel.config.account:
        raise web.HTTPForbidden(text="another account")
    return params


def _read(read: Callable[[Params], T], params: Params) -> T:
    try:
        return read(params)
    except ValueError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
