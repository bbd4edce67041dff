"""What is wrong with an XMPP server, in plain words: asked by the doctor."""

from __future__ import annotations

from typing import Any

from adapters import Finding, read_secret, read_settings
from adapters.xmpp.link import Link
from adapters.xmpp.settings import Settings
from router.channel import ChannelLost

WORDS = {
    "not-authorized": "the server does not know this component, or by another secret",
    "conflict": "this component is connected: by the router, if it runs",
    "host-unknown": "the server has no component of this name",
}


async def check(name: str, settings: dict[str, Any], endpoints: list[str]) -> list[Finding]:
    """Findings about the server; nobody is written to. Raises ConfigError for wrong settings."""
    del endpoints  # agents have no phones here
    where = f"adapters.{name}"
    config = read_settings(Settings, settings, where)
    secret = read_secret(config.secret_file, f"{where}.secret_file")
    link = Link(config, secret, lambda said: None, lambda presence: None)
    try:
        await link.open(config.connect_s)
        await link.echo(config.answer_s)
    except ChannelLost as lost:
        condition = str(lost).rpartition(" ")[2]
        level = "warning" if condition == "conflict" else "error"
        return [Finding(level=level, text=WORDS.get(condition, str(lost)))]
    finally:
        await link.close()
    return [Finding(level="ok", text="the server takes the component and answers")]
