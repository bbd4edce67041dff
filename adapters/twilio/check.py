"""What is wrong with a messaging account, in plain words: asked by the doctor."""

from __future__ import annotations

from typing import Any

from adapters import Finding, read_secret, read_settings
from adapters.twilio.rest import Rest
from adapters.twilio.settings import Settings
from router.channel import ChannelLost


async def check(name: str, settings: dict[str, Any], endpoints: list[str]) -> list[Finding]:
    """Findings about the account; sends nothing. Raises ConfigError for wrong settings."""
    del endpoints  # agents have no phones here
    where = f"adapters.{name}"
    config = read_settings(Settings, settings, where)
    token = read_secret(config.token_file, f"{where}.token_file")
    user, secret = config.account, token
    if config.api_key_id:
        user, secret = config.api_key_id, read_secret(config.api_key_file, f"{where}.api_key_file")
    findings = []
    if not config.public_url.startswith("https://"):
        text = "public_url is not https: texts would cross the net in the open"
        findings.append(Finding(level="warning", text=text))
    if not config.sender and not config.service:
        text = "neither sender nor service: only who has written to a number can be written to"
        findings.append(Finding(level="warning", text=text))
    rest = Rest(config, user, secret)
    await rest.open()
    try:
        await rest.probe()
    except ChannelLost as lost:
        return [*findings, Finding(level="error", text=str(lost))]
    finally:
        await rest.close()
    incoming = f"{config.public_url}/incoming"
    text = f"the account can be used; the provider must be told to call {incoming}"
    return [*findings, Finding(level="ok", text=text)]
