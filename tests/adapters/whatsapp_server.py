"""WhatsApp's Cloud API as Meta's public documentation describes it, and what it got.

Written from developers.facebook.com/docs/whatsapp/cloud-api (messages, webhooks: components and
payload examples, error codes); shares no code with the adapter.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
from typing import Any

import aiohttp
from aiohttp import web

from router.testing.adapter_harness import Signal

TOKEN, APP_SECRET, VERIFY = "EAAJB-token", "app-secret", "verify-me"
PHONE_ID, OURS = "106540352242922", "15550783881"


class WhatsApp:
    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.sent: list[dict[str, Any]] = []
        self.errors: list[tuple[int, int]] = []
        """(HTTP status, error code) of the next answers."""
        self.hook = ""
        self.port = 0
        self._ids = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.post(f"/v23.0/{PHONE_ID}/messages", self._send)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]
        self._client = self._client or aiohttp.ClientSession()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._client is not None:
            await self._client.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _send(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._error(401, 190, "Error validating access token")
        if self.errors:
            return self._error(*self.errors.pop(0), "told to")
        values = await request.json()
        right = (
            values.get("messaging_product") == "whatsapp"
            and values.get("type") == "text"
            and isinstance(values.get("text", {}).get("body"), str)
            and 0 < len(values["text"]["body"]) <= 4096
            and isinstance(values.get("to"), str)
            and values["to"].removeprefix("+").isdecimal()
        )
        if not right:
            return self._error(400, 100, "Invalid parameter")
        id_ = f"wamid.HBgLMTY0NjcwNDM1OTUVAgARGBI{next(self._ids):08d}"
        self.sent.append({**values, "id": id_})
        self.signal.notify()
        wa_id = values["to"].removeprefix("+")
        return web.json_response(
            {"messaging_product": "whatsapp", "messages": [{"id": id_}],
             "contacts": [{"input": values["to"], "wa_id": wa_id}]}
        )  # fmt: skip

    def _error(self, status: int, code: int, text: str) -> web.Response:
        error = {"message": text, "type": "OAuthException", "code": code, "fbtrace_id": "A1"}
        return web.json_response({"error": error}, status=status)

    # -- webhooks --------------------------------------------------------------------------------

    def message(self, wa_id: str, text: str, id_: str = "") -> dict[str, Any]:
        return {"from": wa_id, "id": id_ or f"wamid.in{next(self._ids)}",
                "timestamp": "1790000000", "text": {"body": text}, "type": "text"}  # fmt: skip

    def change(self, *messages: dict[str, Any], statuses: tuple[Any, ...] = ()) -> dict[str, Any]:
        value: dict[str, Any] = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": OURS, "phone_number_id": PHONE_ID},
        }
        if messages:
            value["contacts"] = [{"profile": {"name": "Ada"}, "wa_id": messages[0]["from"]}]
            value["messages"] = list(messages)
        if statuses:
            value["statuses"] = list(statuses)
        return {"value": value, "field": "messages"}

    def status(self, sent: dict[str, Any], state: str, error: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": sent["id"], "status": state, "timestamp": "1790000001",
            "recipient_id": sent["to"].removeprefix("+"),
        }  # fmt: skip
        if "biz_opaque_callback_data" in sent:
            found["biz_opaque_callback_data"] = sent["biz_opaque_callback_data"]
        if error:
            title = "Message undeliverable"
            found["errors"] = [{"code": error, "title": title, "message": title}]
        return found

    async def deliver(self, *changes: dict[str, Any], secret: str = APP_SECRET) -> tuple[int, str]:
        body = {"object": "whatsapp_business_account",
                "entry": [{"id": "102290129340398", "changes": list(changes)}]}  # fmt: skip
        return await self.post(json.dumps(body).encode(), secret)

    async def post(self, body: bytes, secret: str) -> tuple[int, str]:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}
        assert self._client is not None
        async with self._client.post(self.hook, data=body, headers=headers) as answer:
            return answer.status, await answer.text()

    async def verify(self, token: str, mode: str = "subscribe") -> tuple[int, str]:
        query = {"hub.mode": mode, "hub.challenge": "1158201444", "hub.verify_token": token}
        assert self._client is not None
        async with self._client.get(self.hook, params=query) as answer:
            return answer.status, await answer.text()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30):
            await self.signal.until(lambda: len(self.sent) >= count)
