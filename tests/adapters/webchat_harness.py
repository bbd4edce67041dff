"""A web chat behind a real server, and visitors' pages that talk to it over real WebSockets."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from adapters.webchat import WebChat, routes
from router.channel import Address
from router.testing.adapter_harness import (
    AskingHarness,
    RouterDouble,
    Signal,
    ThreadHarness,
    TypingHarness,
)

KEY = "site-key"


class Browser:
    """A visitor's page: keeps the token, says again what was not confirmed only when told to."""

    def __init__(self, harness: WebChatHarness) -> None:
        self.harness = harness
        self.token = ""
        self.identity = ""
        self.frames: list[dict[str, Any]] = []
        self.socket: aiohttp.ClientWebSocketResponse | None = None
        self.closed: int | None = None
        self._reader: asyncio.Task[None] | None = None

    async def open(self, *, key: str = KEY, origin: str = "", name: str = "") -> None:
        self.closed = None
        self.frames.clear()
        self.socket = await self.harness.client.ws_connect(
            self.harness.url, headers={"Origin": origin or self.harness.origin}
        )
        await self.send(type="hello", key=key, token=self.token, name=name,
                        identity=self.identity)  # fmt: skip
        self._reader = asyncio.get_running_loop().create_task(self._read(self.socket))
        await self.harness.signal.until(lambda: bool(self.frames) or self.closed is not None)

    async def send(self, **frame: Any) -> None:
        assert self.socket is not None
        await self.socket.send_str(json.dumps(frame))

    async def say(self, text: str, message_id: str) -> str:
        """Returns why it was refused; empty when it was taken."""
        if self.socket is None or self.closed is not None:
            await self.open()
        seen = len(self.frames)
        await self.send(type="say", id=message_id, text=text)

        def answer() -> dict[str, Any] | None:
            fresh = self.frames[seen:]
            return next((f for f in fresh if f.get("id") == message_id), None)

        await self.harness.signal.until(lambda: answer() is not None or self.closed is not None)
        frame = answer()
        if frame is None:
            return f"closed with {self.closed}"
        return frame["code"] if frame["type"] == "refused" else ""

    async def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        await self.harness.signal.until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    def told(self) -> list[str]:
        texts = []
        for frame in self.frames:
            if frame["type"] == "welcome":
                texts += [m["text"] for m in frame.get("messages", []) if m["who"] != "visitor"]
            elif frame.get("who") in ("agent", "router"):
                texts.append(frame["text"])
        return texts

    async def close(self) -> None:
        if self.socket is not None:
            await self.socket.close()
        if self._reader is not None:
            await self._reader

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                frame = json.loads(message.data)
                self.frames.append(frame)
                self.token = frame.get("token", self.token)
                self.harness.signal.notify()
        self.closed = socket.close_code or 1000
        self.harness.signal.notify()


class WebChatHarness(ThreadHarness, TypingHarness, AskingHarness):
    def __init__(self, router: RouterDouble | None = None, **settings: Any) -> None:
        """With the router of an earlier harness: a restart."""
        self.router = router or RouterDouble(Signal())
        self.signal = self.router.signal
        defaults = {"key": KEY, "history": 50, "burst": 100}
        self.channel = self.chat = WebChat("site", {**defaults, **settings}, self.router)
        self.browsers: dict[str, Browser] = {}
        self.pages: list[web.RouteDef] = []
        """Served beside the chat."""
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WebChatHarness:
        app, chat = web.Application(), web.Application()
        chat.add_routes(routes(self.chat))
        app.add_subapp("/v1/webchat/site", chat)
        app.add_routes(self.pages)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.origin = f"http://{host}:{port}"
        self.url = f"{self.origin}/v1/webchat/site/ws"
        self.client = aiohttp.ClientSession()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for browser in self.browsers.values():
            await browser.close()
        await self.stop()
        await self.client.close()
        await self._runner.cleanup()

    async def start(self) -> None:
        before = len(self.router.states)
        self._run = asyncio.get_running_loop().create_task(self.chat.run())
        await self.signal.until(lambda: len(self.router.states) > before)

    async def stop(self) -> None:
        assert self._run is not None
        self._run.cancel()
        with suppress(asyncio.CancelledError):
            await self._run

    async def renew(self) -> None:
        for browser in self.browsers.values():
            await browser.close()
        await self.stop()
        self.chat.conversations.clear()
        await self.start()

    def asked(self, who: str) -> list[str]:
        return [frame["prompt"] for frame in self.browser(who).of("ask")]

    async def answer(self, who: str, value: str) -> None:
        name = self.browser(who).of("ask")[-1]["name"]
        await self.browser(who).send(type="choose", name=name, value=value)

    def typed(self, who: str) -> int:
        return len(self.browser(who).of("typing"))

    async def reread(self, who: str) -> list[str]:
        browser = self.browser(who)
        await browser.open()
        return [message["text"] for message in browser.frames[0]["messages"]]

    def browser(self, who: str) -> Browser:
        return self.browsers.setdefault(who, Browser(self))

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        return await self.browser(who).say(text, "m1")

    async def write(self, who: str, text: str, message_id: str) -> str:
        return await self.browser(who).say(text, message_id)

    async def leave(self, who: str) -> None:
        await self.browser(who).send(type="end")

    def read(self, who: str) -> list[str]:
        return self.browser(who).told()

    def is_of(self, who: str, customer: Address) -> bool:
        return self.browser(who).token.startswith(customer.address)

    async def stall(self) -> int:
        for browser in self.browsers.values():
            await browser.close()
        return 50

    def held(self) -> int:
        return max(len(c.messages) for c in self.chat.conversations.values())
