"""Answers in pieces, to clients that may have stopped reading them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from aiohttp import web

STALLED_S = 30.0
"""So long may a client take to read on; one that has gone without a word looks the same."""


async def write(request: web.Request, response: web.StreamResponse, piece: bytes) -> None:
    """Write a piece; wait until the client has read so far that another one may follow.

    Raises ConnectionError when it has gone. One that does not read for `STALLED_S` is cut off.
    """
    await _taken(request, response.write(piece))


async def end(request: web.Request, response: web.StreamResponse) -> None:
    """That was the last piece. Raises as `write` does."""
    await _taken(request, response.write_eof())


async def _taken(request: web.Request, writing: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(STALLED_S):
            await writing
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()  # an end in good order would have to be read, too
        raise ConnectionAbortedError("the client does not read") from None
