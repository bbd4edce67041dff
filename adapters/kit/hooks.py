"""Webhooks of a backend: their body within its bounds, their rate, and what they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from aiohttp import web

from adapters.kit.crew import TRY_AGAIN
from adapters.kit.sending import Bucket
from router.channel import Refused


async def hook_body(
    request: web.Request, rate: Bucket | None, most: int, for_s: float = 10.0
) -> bytes:
    """A webhook's body, within its size and time; raises the answer (429, 413, 408,
    400).

    None as `rate` where `hook_rate` follows: after a signature, forged calls use up nothing.
    """
    if rate is not None:
        hook_rate(rate)
    if (request.content_length or 0) > most:
        raise web.HTTPRequestEntityTooLarge(most, request.content_length or 0)
    body = bytearray()
    try:
        async with asyncio.timeout(for_s):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > most:
                    raise web.HTTPRequestEntityTooLarge(most, len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, ConnectionError):  # not in the coding it names, or cut off
        raise web.HTTPBadRequest(text="the body cannot be read") from None
    return bytes(body)


def hook_rate(bucket: Bucket) -> None:
    """Raises 429 when this call is one too many."""
    wait_s = bucket.take(asyncio.get_running_loop().time())
    if wait_s > 0:
        raise web.HTTPTooManyRequests(headers=_later(wait_s))


async def hook_answer(call: Awaitable[object]) -> web.Response | None:
    """None when a `Router` call was durable; 503: say it again (ids make it safe); 422: never."""
    try:
        await call
    except TRY_AGAIN as error:
        after_s = getattr(error, "retry_after_s", 2.0)
        return web.Response(status=503, text="not taken: say it again", headers=_later(after_s))
    except Refused as refused:
        return web.Response(status=422, text=f"refused: {refused.code}")
    return None


def _later(after_s: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, -int(-after_s // 1)))}
