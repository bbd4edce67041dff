"""Notices that the router can save nothing, for adapters whose customers cannot be asked to wait.

Nothing new has to be told for it: `Router.open` is refused as long as the router's memory is ahead
of its store, and costs no commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from adapters.kit.crew import TRY_AGAIN
from router.channel import Router

LOOK_S = 1.0


async def watch_store(
    router: Router,
    *,
    after_s: float,
    away: Callable[[], Awaitable[None]],
    back: Callable[[], Awaitable[None]],
    look_s: float = LOOK_S,
) -> None:
    """Look every `look_s` seconds, until cancelled.

    `away` is called at each look once nothing could be saved for `after_s` seconds; `back` once
    when it can again, however short the time was: what was insisted on may have been given up.
    """
    loop = asyncio.get_running_loop()
    since_s: float | None = None
    while True:
        await asyncio.sleep(look_s)
        asked_s = loop.time()
        try:
            await router.open()
        except TRY_AGAIN:
            since_s = asked_s if since_s is None else since_s
            if loop.time() - since_s >= after_s:
                await away()
            continue
        if since_s is not None:
            since_s = None
            await back()
