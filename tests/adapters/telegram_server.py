"""Telegram's Bot API as its public documentation describes it, and what it got.

Written from core.telegram.org/bots/api (Making requests, setWebhook, Update, sendMessage,
sendChatAction); shares no code with the adapter. Updates are delivered in order, and said again
until they are answered with 2xx, as Telegram does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import aiohttp
from aiohttp import web

from router.testing.adapter_harness import Signal

TOKEN = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
SECRET = "A-secret_of_ours"
LONGEST = 4096


class Telegram:
    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.sent: list[tuple[int, str]] = []
        """(chat, text) of every message that a customer's phone shows."""
        self.actions: list[tuple[int, str]] = []
        self.asked = 0
        self.modes: dict[int, str] = {}
        self.flood = 0
        self.is_stalled = False
        self.hook = ""
        self.port = 0
        self._updates = itertools.count(7_000_000)
        self._messages = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self._release = asyncio.Event()

    async def start(self) -> None:
        app = web.Application()
        app.add_routes(
            [web.post("/bot{token}/sendMessage", self._send),
             web.post("/bot{token}/sendChatAction", self._action)]
        )  # fmt: skip
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]
        self._client = self._client or aiohttp.ClientSession()

    async def kill(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            assert runner.server is not None
            for connection in list(runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            await runner.cleanup()

    async def stop(self) -> None:
        self._release.set()
        await self.kill()
        if self._client is not None:
            await self._client.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def to(self, chat: int) -> list[str]:
        return [text for number, text in self.sent if number == chat]

    # -- updates ---------------------------------------------------------------------------------

    def update(self, chat: int, text: str | None, **more: Any) -> dict[str, Any]:
        who = {"id": chat, "is_bot": False, "first_name": "Ada", "language_code": "de"}
        message: dict[str, Any] = {
            "message_id": next(self._messages), "from": who, "date": 1_790_000_000,
            "chat": {"id": chat, "first_name": "Ada", "type": "private"}, **more,
        }  # fmt: skip
        if text is not None:
            message["text"] = text
        return {"update_id": next(self._updates), "message": message}

    def pressed(self, chat: int, data: str) -> dict[str, Any]:
        """An inline button was pressed."""
        update = self.update(chat, "menu")
        message = update.pop("message")
        query = {"id": "4382bfdwdsb323b2d9", "from": message["from"], "message": message,
                 "chat_instance": "1", "data": data}  # fmt: skip
        return {**update, "callback_query": query}

    async def deliver(self, update: dict[str, Any], secret: str | None = SECRET) -> tuple[int, str]:
        """One attempt to deliver: status and body of the answer."""
        headers = {"Content-Type": "application/json"}
        if secret is not None:
            headers["X-Telegram-Bot-Api-Secret-Token"] = secret
        assert self._client is not None
        body = json.dumps(update).encode()
        async with self._client.post(self.hook, data=body, headers=headers) as answer:
            return answer.status, await answer.text()

    async def insist(self, updates: list[dict[str, Any]]) -> int:
        """Deliver in order, each until it is taken; how many attempts it took."""
        attempts = 0
        for update in updates:
            while True:
                attempts += 1
                try:
                    if (await self.deliver(update))[0] // 100 == 2:
                        break
                except OSError:
                    await asyncio.sleep(0.05)  # as Telegram does, but sooner
        return attempts

    # -- methods ---------------------------------------------------------------------------------

    def _refuse(self, code: int, text: str, **parameters: int) -> web.Response:
        body: dict[str, Any] = {"ok": False, "error_code": code, "description": text}
        if parameters:
            body["parameters"] = parameters
        return web.json_response(body, status=code)

    async def _read(self, request: web.Request) -> dict[str, Any] | web.Response:
        if request.match_info["token"] != TOKEN:
            return self._refuse(401, "Unauthorized")
        if request.content_type != "application/json":
            return self._refuse(400, "Bad Request: message text is empty")
        values: dict[str, Any] = await request.json()
        if not isinstance(values.get("chat_id"), int):
            return self._refuse(400, "Bad Request: chat not found")
        return values

    async def _send(self, request: web.Request) -> web.Response:
        self.asked += 1
        values = await self._read(request)
        if isinstance(values, web.Response):
            return values
        if self.is_stalled:
            await self._release.wait()
        if self.flood > 0:
            self.flood -= 1
            return self._refuse(429, "Too Many Requests: retry after 1", retry_after=1)
        chat, text = values["chat_id"], values.get("text", "")
        mode = self.modes.get(chat, "")
        if mode == "blocked":
            return self._refuse(403, "Forbidden: bot was blocked by the user")
        if mode == "bad gateway":
            return self._refuse(502, "Bad Gateway")
        if not text.strip():
            return self._refuse(400, "Bad Request: message text is empty")
        if len(text) > LONGEST:
            return self._refuse(400, "Bad Request: message is too long")
        self.sent.append((chat, text))
        self.signal.notify()
        if mode == "cut":
            assert request.transport is not None
            request.transport.abort()
        me = {"id": 123456, "is_bot": True, "first_name": "Care", "username": "care_bot"}
        message = {"message_id": next(self._messages), "from": me, "date": 1_790_000_000,
                   "chat": {"id": chat, "type": "private"}, "text": text}  # fmt: skip
        return web.json_response({"ok": True, "result": message})

    async def _action(self, request: web.Request) -> web.Response:
        values = await self._read(request)
        if isinstance(values, web.Response):
            return values
        self.actions.append((values["chat_id"], values["action"]))
        self.signal.notify()
        return web.json_response({"ok": True, "result": True})
