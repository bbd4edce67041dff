"""The sample configuration of a channel's page, served by a real process."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.runtime.server import ROOT, Served


def sample(page: str, number: int = 0) -> str:
    """A YAML block of docs/channels/<page>.md."""
    text = (ROOT / "docs" / "channels" / f"{page}.md").read_text("utf-8")
    blocks: list[str] = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return blocks[number]


@asynccontextmanager
async def serving(folder: Path, config: str, secrets: dict[str, str]) -> AsyncIterator[Served]:
    """A server with this configuration and these secret files; ended at the end."""
    served = Served(folder)
    for name, secret in secrets.items():
        file = folder / name
        file.write_text(f"{secret}\n")
        file.chmod(0o600)
    served.config.write_text(f"server: {{port: {served.port}, durability: disk}}\n{config}")
    try:
        served.token = await served.command("token", "create", "admin")
        await served.start()
        yield served
    finally:
        if served.process is not None and served.process.returncode is None:
            await served.kill()
        await served.session.close()


async def accept(served: Served, contact: str) -> str:
    """An agent takes the contact; the reservation."""
    found = await served.until(f"/v1/contacts/{contact}", state="offered")
    reservation: str = found["reservations"][0]
    await served.good("POST", f"/v1/reservations/{reservation}:accept", {})
    await served.until(f"/v1/contacts/{contact}", state="active")
    return reservation


async def until_settled(
    served: Served, contact: str, holds: Callable[[dict[str, set[str]]], bool]
) -> None:
    """Until the server has stored what became of these messages: message ids by result. What a
    peer has got, or has said, the server may not have heard of yet."""
    async with asyncio.timeout(60):
        while not holds(await _settled(served, contact)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # another process: only asking tells


async def _settled(served: Served, contact: str) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    cursor = ""
    while True:
        path = f"/v1/contacts/{contact}/events?limit=500&cursor={cursor}"
        page = await served.good("GET", path)
        for item in page["events"]:
            event = item["event"]
            if event["type"] == "EffectSettled" and event.get("message"):
                found[event["result"]].add(event["message"])
        if not (cursor := page.get("next", "")):
            return found


async def texts_of(served: Served, contact: str) -> list[tuple[str, str]]:
    """(who, text) of all messages of a contact."""
    page: dict[str, Any] = await served.good("GET", f"/v1/contacts/{contact}/messages?limit=500")
    return [(message["from"], message["text"]) for message in page["messages"]]
