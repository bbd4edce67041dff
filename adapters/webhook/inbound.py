"""The backend's calls: who may, within which bounds, and what they are answered."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from aiohttp import web

from adapters import Bucket, hook_answer, hook_body, hook_rate
from adapters.webhook.channel import Webhook
from adapters.webhook.reading import parsed

log = logging.getLogger(__name__)

COMPLAINTS_PER_S = 1 / 60
"""How often the log says that a call was not genuine: whoever forges them must not fill it."""


def routes(channel: Webhook) -> list[web.RouteDef]:
    """What the API mounts under ``/v1/webhook/{name}``."""
    config = channel.config
    rate, complaints = Bucket(config.per_s, config.burst), Bucket(COMPLAINTS_PER_S, 3)

    async def on_call(request: web.Request) -> web.StreamResponse:
        body = await hook_body(request, None, config.body_bytes)
        now_s = datetime.now(UTC).timestamp()
        if not channel.gate.admits(request.headers, body, now_s):
            if complaints.take(asyncio.get_running_loop().time()) == 0:
                log.warning("%s: a call was not signed as it should be, or too late", channel.name)
            raise web.HTTPForbidden(text="the signature does not match")
        hook_rate(rate)
        if channel.gate.is_replay(request.headers, now_s):
            return web.Response(text="known")
        try:
            said = channel.read(parsed(body))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        refused = None
        for call in said:
            answer = await hook_answer(call())
            if answer is not None and answer.status != 422:
                return answer  # all of it again: ids make what was taken harmless
            refused = refused or answer
        channel.gate.taken(request.headers, now_s)
        if refused is not None:
            log.warning("%s: a message was refused: %s", channel.name, refused.text)
            return web.Response(status=config.refused_status, text=refused.text)
        return web.Response(text="ok")

    async def on_question(request: web.Request) -> web.StreamResponse:
        answer = channel.gate.challenge(request.query)
        return web.Response(text=answer) if answer else web.Response(status=403)

    return [web.post("/in", on_call), web.get("/in", on_question, allow_head=False)]
