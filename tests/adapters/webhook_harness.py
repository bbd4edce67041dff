"""Described backends behind a real web server: Telegram and WhatsApp, by the shipped samples."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from adapters.webhook import Webhook, routes
from router.channel import ChannelLost
from router.testing.adapter_harness import (
    AskingHarness,
    FailingHarness,
    RouterDouble,
    Signal,
    TypingHarness,
)
from tests.adapters import telegram_server, whatsapp_server
from tests.adapters.telegram_server import Telegram
from tests.adapters.whatsapp_server import WhatsApp

SAMPLES = Path(__file__).parents[2] / "config" / "webhooks"
SECRETS = {
    "telegram.token": telegram_server.TOKEN,
    "telegram-webhook.secret": telegram_server.SECRET,
    "whatsapp.token": whatsapp_server.TOKEN,
    "whatsapp-app.secret": whatsapp_server.APP_SECRET,
    "whatsapp-verify.token": whatsapp_server.VERIFY,
}


def described(name: str, url: str, folder: Path, **change: Any) -> dict[str, Any]:
    """The sample's settings, with its files in this folder and its backend at this URL."""
    text = (SAMPLES / f"{name}.yaml").read_text("utf-8")
    text = text.replace("https://api.telegram.org", url).replace("https://graph.facebook.com", url)
    for file, secret in SECRETS.items():
        (folder / file).write_text(secret + "\n")
        (folder / file).chmod(0o600)
        text = text.replace(f"_file: {file}", f"_file: {folder / file}")
    settings: dict[str, Any] = yaml.safe_load(text)["adapters"][name]
    del settings["type"], settings["channel"]
    return {**settings, **change}


class Mounted:
    """A webhook adapter that runs, with its routes where the API mounts them."""

    def __init__(self, name: str, settings: dict[str, Any], router: RouterDouble) -> None:
        self.router = router
        self.name = name
        self.webhook = Webhook(name, settings, router)
        self._run: asyncio.Task[None] | None = None

    async def open(self) -> str:
        app, inner = web.Application(), web.Application()
        inner.add_routes(routes(self.webhook))
        app.add_subapp(f"/v1/webhook/{self.name}", inner)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        await self.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1/webhook/{self.name}/in"

    async def close(self) -> None:
        await self.stop()
        await self._runner.cleanup()

    async def start(self) -> None:
        before = len(self.router.states)
        self._run = asyncio.get_running_loop().create_task(self.webhook.run())
        await self.router.signal.until(lambda: "up" in self.router.states[before:])

    async def stop(self) -> None:
        assert self._run is not None
        self._run.cancel()
        with suppress(asyncio.CancelledError, ChannelLost):
            await self._run

    async def lost(self) -> None:
        assert self._run is not None
        with pytest.raises(ChannelLost):
            await asyncio.wait_for(self._run, 30)


CHATS = {"fail": "900901", "unknown": "900902", "lost": "900903", "busy": "not-a-chat"}


class TelegramHarness(FailingHarness, AskingHarness, TypingHarness):
    def __init__(self, folder: Path, **change: Any) -> None:
        self.router = RouterDouble(Signal())
        self.signal = self.router.signal
        self.server = Telegram(self.signal)
        self.server.modes = {900901: "blocked", 900902: "bad gateway"}
        self._folder = folder
        self._change = {"timeout_s": 2.0, "patience_s": 3.0, "waiting": 30, **change}
        self._updates: dict[tuple[str, str], dict[str, Any]] = {}

    async def __aenter__(self) -> TelegramHarness:
        await self.server.start()
        settings = described("telegram", self.server.url, self._folder, **self._change)
        settings["refused_status"] = self._change.get("refused_status", 422)
        self.mounted = Mounted("telegram", settings, self.router)
        self.channel = self.webhook = self.mounted.webhook
        self.server.hook = await self.mounted.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.mounted.close()
        await self.server.stop()

    async def start(self) -> None:
        await self.mounted.start()

    async def stop(self) -> None:
        await self.mounted.stop()

    def chat(self, who: str) -> int:
        return int(who.removeprefix("+"))

    def is_of(self, who: str, customer: Any) -> bool:
        return bool(customer.address == who.removeprefix("+"))

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        told = await self.write(who, text, "first")
        if who == CHATS["lost"]:
            await self.server.kill()
        return told

    async def write(self, who: str, text: str, message_id: str) -> str:
        update = self._updates.setdefault(
            (who, message_id), self.server.update(self.chat(who), text)
        )
        status, body = await self.server.deliver(update)
        return "" if status == 200 else f"{status} {body}"

    async def leave(self, who: str) -> None:
        raise NotImplementedError("a thread cannot leave")

    def read(self, who: str) -> list[str]:
        return self.server.to(self.chat(who))

    def external_id(self, who: str) -> str:
        return next(id_ for id_, c in self.router.contacts.items() if self.is_of(who, c.customer))

    def troubled(self, word: str) -> str:
        return CHATS[word]

    async def back(self) -> None:
        await self.mounted.lost()
        await self.server.start()
        await self.start()

    async def stall(self) -> int:
        self.server.is_stalled = True
        return 30

    def held(self) -> int:
        return self.webhook.sender.held

    def asked(self, who: str) -> list[str]:
        lines = [text.partition("\n") for text in self.read(who)]
        return [prompt for prompt, menu, _ in lines if menu]

    async def answer(self, who: str, value: str) -> None:
        pressed = self.server.pressed(self.chat(who), value)
        assert (await self.server.deliver(pressed))[0] == 200

    def typed(self, who: str) -> int:
        return self.server.actions.count((self.chat(who), "typing"))


class WhatsAppHarness:
    """WhatsApp, for what Telegram does not have: signatures, receipts, several in one call."""

    def __init__(self, folder: Path, **change: Any) -> None:
        self.router = RouterDouble(Signal())
        self.server = WhatsApp(self.router.signal)
        self._folder = folder
        self._change = {"timeout_s": 2.5, "patience_s": 4.0, **change}

    async def __aenter__(self) -> WhatsAppHarness:
        await self.server.start()
        settings = described("whatsapp", self.server.url, self._folder, **self._change)
        self.mounted = Mounted("whatsapp", settings, self.router)
        self.webhook = self.mounted.webhook
        self.server.hook = await self.mounted.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.mounted.close()
        await self.server.stop()
