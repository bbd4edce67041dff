"""Backends for the lab, each with customers who write through it and count what they get."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from loadtest.server import free_port
from tests.adapters.twilio_provider import ACCOUNT, PUBLIC, TOKEN, Provider
from tests.outside.clerks import MARK

OURS = "+4930555100"
TWICE = 0.2
"""How often a backend says a thing again that was acknowledged already."""


def number_of(customer: int) -> str:
    """A customer's telephone number."""
    return f"+493010000{customer:03d}"


class _Nobody:
    """Who is told that something arrived: nobody, the lab looks by itself."""

    def notify(self) -> None:
        """Do nothing."""


class TwilioLike:
    """A messaging provider with webhooks and REST (`tests/adapters/twilio_provider.py`)."""

    adapter = "texts"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._provider = Provider(_Nobody())
        self._provider.port = free_port()
        self._taken: Counter[str] = Counter()
        self._is_up = False
        self._rng = random.Random(1)

    async def start(self) -> None:
        await self._provider.start()
        self._is_up = True

    async def kill(self) -> None:
        self._is_up = False
        await self._provider.kill()

    def config(self, port: int) -> str:
        token = self._directory / "twilio.token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self._provider.hook = f"http://127.0.0.1:{port}"
        return f"""
adapters:
  texts:
    type: twilio
    channel: sms
    account: {ACCOUNT}
    token_file: {token}
    public_url: {PUBLIC}
    api_url: {self._provider.url}
    sender: "{OURS}"
entry_points:
  texts: {{channel: sms, address: "{OURS}", queue: desk}}
"""

    async def send(self, customer: int, text: str) -> None:
        if not self._is_up:
            raise ConnectionError("the provider is away")
        mark = MARK.findall(text)[0]
        sid = "SM" + mark.encode().hex().ljust(32, "0")
        for _ in range(2 if self._rng.random() < TWICE else 1):
            status, answer = await self._provider.text_in(number_of(customer), OURS, text, sid)
            if status in {429, 503, 507}:
                raise ConnectionError(answer)
            assert status == 200, f"the webhook was answered {status}: {answer}"
        self._taken[mark] += 1

    def taken(self) -> Counter[str]:
        return self._taken

    def received(self) -> list[str]:
        return [message["body"] for message in self._provider.messages]

    async def close(self) -> None:
        await self._provider.stop()
