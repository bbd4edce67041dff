"""What is wrong with a described backend, in plain words: asked by the doctor."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from adapters import Finding
from adapters.webhook.channel import Webhook
from router.channel import ChannelLost


async def check(name: str, settings: dict[str, Any], endpoints: list[str]) -> list[Finding]:
    """Findings about the backend; sends nothing. Raises ConfigError for a wrong description."""
    del endpoints  # agents have no phones here
    nobody: Any = None  # a router that nothing is said to: the channel is not run
    channel = Webhook(name, settings, nobody)
    findings = []
    url = urlsplit(channel.config.send.url)
    if url.scheme != "https" and url.hostname not in ("127.0.0.1", "localhost", "::1"):
        text = "send.url is not https: texts and secrets would cross the net in the open"
        findings.append(Finding(level="warning", text=text))
    try:
        await channel.look()
    except ChannelLost as lost:
        return [*findings, Finding(level="error", text=str(lost))]
    text = f"the backend is there; it must be told to call /v1/webhook/{name}/in"
    return [*findings, Finding(level="ok", text=text)]
