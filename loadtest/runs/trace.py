"""Records when contacts came to a server, from its event stream, as a trace for a profile to play.

One line a contact: seconds since the first one, and the channel. Nothing of who they were.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aiohttp

HEAD = "# seconds since the first contact, channel; recorded by `contact-router loadtest trace`\n"


async def arrivals(url: str, token: str, first: int = 1) -> list[tuple[int, str]]:
    """Moment (µs) and channel of each inbound contact on the stream. Raises RuntimeError."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(url, headers=headers) as session:
        async with session.get("/v1/health") as answer:
            health = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"{url}: {answer.status} {health.get('detail', '')}")
        last = max(int(one["seq"]) for one in health["workspaces"].values())
        return [
            (int(event["at_us"]), str(event["channel"]))
            async for event in _events(session, first, last)
            if event["type"] == "ContactReceived" and event.get("direction", "inbound") == "inbound"
        ]


async def _events(
    session: aiohttp.ClientSession, first: int, last: int
) -> AsyncIterator[dict[str, Any]]:
    timeout = aiohttp.ClientTimeout(total=None, sock_read=30)
    params = {"from_seq": str(first)}
    async with session.get("/v1/events", params=params, timeout=timeout) as answer:
        seq = first - 1
        async for raw in answer.content:
            if raw.startswith(b"id: "):
                seq = int(raw[4:])
            elif raw.startswith(b"data: ") and seq >= first:
                yield json.loads(raw[6:])
            if seq >= last and raw == b"\n":
                return


def write(file: Path, found: Iterable[tuple[int, str]]) -> int:
    """A trace; how many contacts it has."""
    ordered = sorted(found)
    lines = [f"{(at_us - ordered[0][0]) / 1e6:.3f},{channel}\n" for at_us, channel in ordered]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(HEAD + "".join(lines))
    return len(lines)
