"""What the stack itself can do on this machine in this minute, taken within the run it judges.

A bare aiohttp handler that checks a contact's body and answers, a bare WebSocket that answers a
frame, and a file that is written and synced: whatever is built on them pays at least that.
"""

from __future__ import annotations

from pathlib import Path

from loadtest import contacts
from loadtest.ceiling import Bare, bare_commits
from loadtest.drivers import http, websocket
from loadtest.throughput import pipelined, post

REQUESTS, FRAMES = 6_000, 30_000
COMMITS, COMMIT_BYTES = 40, 4096
FRAMES_OF_A_LIFE = 2
"""At the least an agent says that they accept and that they are done."""


async def take(folder: Path) -> dict[str, float]:
    """Figures by name; files go to `folder`, which should be where the server's journal is."""
    bare = Bare()
    try:
        await bare.start()
        bodies = (contacts.body(number, "bare") for number in range(REQUESTS))
        requests = [http.request("/v1/contacts", body) for body in bodies]
        await post(bare.port, requests[: REQUESTS // 10])
        before_s = bare.cpu_s()
        took_s = await post(bare.port, requests)
        post_us = (bare.cpu_s() - before_s) / REQUESTS * 1e6
        frames = [websocket.frame(contacts.submit_frame(n, "bare")) for n in range(FRAMES)]
        socket = await websocket.connect(bare.port, "/socket")
        before_s = bare.cpu_s()
        socket_s = await pipelined(socket, frames)
        socket_us = (bare.cpu_s() - before_s) / FRAMES * 1e6
    finally:
        await bare.stop()
    _, median_s = bare_commits(folder, COMMIT_BYTES, COMMITS)
    return {
        "bare_post_per_s": REQUESTS / took_s,
        "bare_post_us": post_us,
        "bare_socket_per_s": FRAMES / socket_s,
        "bare_socket_us": socket_us,
        "bare_sync_ms": median_s * 1e3,
        "bare_life_us": post_us + FRAMES_OF_A_LIFE * socket_us,
    }
