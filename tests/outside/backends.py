"""Backends for the lab, each with customers who write through it and count what they get."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

from loadtest.server import free_port
from tests.adapters.smsc_peer import Smsc
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


class SmsCentre:
    """A real SMS centre on npm `smpp`, a process of its own (`tests/peers/smsc`)."""

    adapter = "texts"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._smsc = Smsc(directory / "smsc")

    async def start(self) -> None:
        await self._smsc.start()

    async def kill(self) -> None:
        await self._smsc.kill()

    def config(self, port: int) -> str:
        password = self._directory / "smpp.password"
        password.write_text("secret")
        password.chmod(0o600)
        return f"""
adapters:
  texts:
    type: smpp
    channel: sms
    sender: "{OURS}"
    state_file: {self._directory / "smpp.state"}
    smscs:
      main:
        {{host: 127.0.0.1, port: {self._smsc.port}, system_id: router, password_file: {password},
         binds: 2}}
entry_points:
  texts: {{channel: sms, address: "{OURS}", queue: desk}}
"""

    async def send(self, customer: int, text: str) -> None:
        mark = MARK.findall(text)[0]
        if mark in {row.get("id") for row in self._queue()}:
            return  # it was there already when the centre died
        try:
            await self._smsc.write(
                mark, text, source=number_of(customer), destination_addr=OURS[1:], wait=False
            )
        except AssertionError:
            raise ConnectionError("the centre is away") from None

    def taken(self) -> Counter[str]:
        return Counter(row["done"] for row in self._queue() if row.get("done", "").startswith("q"))

    def received(self) -> list[str]:
        return self._smsc.got()

    async def close(self) -> None:
        await self._smsc.kill()

    def _queue(self) -> list[dict[str, str]]:
        file = self._smsc.directory / "queue.jsonl"
        if not file.exists():
            return []
        # The last line may be half written: the process was killed while it wrote.
        return [json.loads(line) for line in file.read_text("utf-8").split("\n")[:-1]]
