"""A messaging provider as the vendor's public documentation describes it, and what it got.

Written from the API reference of the Message resource and the guides on webhooks; shares no code
with the adapter. Webhooks are signed by the vendor's own library. `messages` is the count from the
outside: every message that was accepted, each as often as it was.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections import Counter
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import aiohttp
from aiohttp import web
from twilio.request_validator import RequestValidator

from router.testing.adapter_harness import Signal

ACCOUNT = "AC00000000000000000000000000000001"
TOKEN = "12345678901234567890123456789012"
PUBLIC = "https://router.example.com/v1/twilio/texts"
LONGEST = 1600


class Provider:
    def __init__(self, signal: Signal, token: str = TOKEN) -> None:
        self.signal = signal
        self.token = token
        self.messages: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        """Requests by kind: ``create``, ``list``, ``account``."""
        self.modes: dict[str, str] = {}
        """What happens to messages to a number: see `_create`."""
        self.is_stalled = False
        self.throttled = 0
        """So many more requests to send are answered 429."""
        self.hook = ""
        """Where ``https://router.example.com`` really is: the proxy in front of the router."""
        self.port = 0
        self._sids = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self._client: aiohttp.ClientSession | None = None
        self._release = asyncio.Event()
        self.callbacks: dict[str, str] = {}

    # -- the server ------------------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application()
        base = f"/2010-04-01/Accounts/{ACCOUNT}"
        app.add_routes(
            [
                web.get(f"{base}.json", self._account),
                web.post(f"{base}/Messages.json", self._create),
                web.get(f"{base}/Messages.json", self._list),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]
        self._client = self._client or aiohttp.ClientSession()

    async def kill(self) -> None:
        """Nobody listens any more; connections end in the middle."""
        runner, self._runner = self._runner, None
        if runner is not None:
            server = runner.server
            assert server is not None
            for connection in list(server.connections):
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

    def to(self, number: str) -> list[str]:
        return [message["body"] for message in self.messages if message["to"] == number]

    def _refuse(self, status: int, code: int, text: str, **headers: str) -> web.Response:
        more = f"https://www.twilio.com/docs/errors/{code}"
        body = {"code": code, "message": text, "more_info": more, "status": status}
        return web.json_response(body, status=status, headers=headers)

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        expected = base64.b64encode(f"{ACCOUNT}:{self.token}".encode()).decode()
        if request.headers.get("Authorization") == f"Basic {expected}":
            return None
        return self._refuse(401, 20003, "Authenticate")

    async def _account(self, request: web.Request) -> web.Response:
        self.asked["account"] += 1
        refused = self._unauthorized(request)
        return refused or web.json_response({"sid": ACCOUNT, "status": "active"})

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self.asked["create"] += 1
        if (refused := self._unauthorized(request)) is not None:
            return refused
        if self.is_stalled:
            await self._release.wait()
        if self.throttled > 0:
            self.throttled -= 1
            return self._refuse(429, 20429, "Too Many Requests", **{"Retry-After": "0.05"})
        form = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
        to, text = form.get("To", ""), form.get("Body", "")
        mode = self.modes.get(to, "")
        if mode == "refused":
            return self._refuse(400, 21211, f"The 'To' number {to} is not a valid phone number.")
        if mode == "stopped":
            return self._refuse(400, 21610, "Attempt to send to unsubscribed recipient")
        if mode == "broken":
            return self._refuse(500, 20500, "Internal Server Error")
        if not form.get("From") and not form.get("MessagingServiceSid"):
            return self._refuse(400, 21603, "A 'From' phone number is required.")
        if not text:
            return self._refuse(400, 21602, "Message body is required.")
        if len(text) > LONGEST:
            return self._refuse(400, 21617, "The concatenated message body exceeds the limit.")
        if mode == "silent":  # neither sent nor answered
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        message = self._keep(form)
        if mode == "cut":  # sent, and the answer is lost
            assert request.transport is not None
            request.transport.abort()
        if mode == "cut-and-called":  # the same, but the state callback comes
            assert request.transport is not None
            request.transport.abort()
            await self.report(message["sid"], "sent")
        if mode == "garbage":
            return web.Response(status=201, text="<html>", content_type="text/html")
        return web.json_response(message, status=201)

    def _keep(self, form: dict[str, str]) -> dict[str, Any]:
        now = format_datetime(datetime.now(UTC))
        sid = f"SM{next(self._sids):032x}"
        message = {
            "account_sid": ACCOUNT, "api_version": "2010-04-01", "body": form["Body"],
            "date_created": now, "date_sent": None, "date_updated": now,
            "direction": "outbound-api", "error_code": None, "error_message": None,
            "from": form.get("From"), "to": form["To"], "sid": sid,
            "messaging_service_sid": form.get("MessagingServiceSid"), "num_media": "0",
            "num_segments": "1", "price": None, "price_unit": "USD", "status": "queued",
            "subresource_uris": {},
            "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json",
        }  # fmt: skip
        self.messages.append(message)
        self.callbacks[sid] = form.get("StatusCallback", "")
        self.signal.notify()
        return message

    async def _list(self, request: web.Request) -> web.Response:
        self.asked["list"] += 1
        if (refused := self._unauthorized(request)) is not None:
            return refused
        if self.is_stalled:
            await self._release.wait()
        to, size = request.query.get("To"), int(request.query.get("PageSize", "50"))
        found = [m for m in reversed(self.messages) if to in (None, m["to"])]
        if any(self.modes.get(m["to"]) == "cut-and-called" for m in found):
            found = []  # the list lags behind
        page = {
            "messages": found[:size], "page": 0, "page_size": size, "start": 0,
            "end": len(found[:size]) - 1, "uri": request.path, "first_page_uri": request.path,
            "next_page_uri": None, "previous_page_uri": None,
        }  # fmt: skip
        return web.json_response(page)

    # -- its webhooks ----------------------------------------------------------------------------

    async def text_in(
        self, sender: str, to: str, text: str, sid: str, **more: str
    ) -> tuple[int, str]:
        """A customer's message: status and body of the router's answer."""
        params = {
            "ToCountry": "DE", "SmsMessageSid": sid, "NumMedia": "0", "SmsSid": sid,
            "SmsStatus": "received", "ToZip": "", "Body": text, "FromCountry": "DE", "To": to,
            "NumSegments": "1", "MessageSid": sid, "AccountSid": ACCOUNT, "From": sender,
            "ApiVersion": "2010-04-01", **more,
        }  # fmt: skip
        return await self.call(f"{PUBLIC}/incoming", params)

    async def report(self, sid: str, state: str, error: int = 0) -> int:
        """A state callback for a message that was sent."""
        message = next(m for m in self.messages if m["sid"] == sid)
        params = {
            "SmsSid": sid, "SmsStatus": state, "MessageStatus": state, "To": message["to"],
            "MessageSid": sid, "AccountSid": ACCOUNT, "From": message["from"] or "",
            "ApiVersion": "2010-04-01",
        }  # fmt: skip
        if error:
            params["ErrorCode"] = str(error)
        status, _ = await self.call(self.callbacks[sid], params)
        return status

    async def call(
        self, url: str, params: dict[str, str], signature: str | None = None, **headers: str
    ) -> tuple[int, str]:
        """POST to the public URL, through the proxy in front of the router."""
        if signature is None:
            signature = RequestValidator(self.token).compute_signature(url, params)
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        assert parse_qs(parts.query, strict_parsing=bool(parts.query)) is not None
        assert self._client is not None
        async with self._client.post(
            # encoded: the query must arrive letter by letter.
            yarl_of(self.hook + parts.path + query),
            data=params,
            headers={"X-Twilio-Signature": signature, **headers},
        ) as answer:
            return answer.status, await answer.text()


def yarl_of(url: str) -> Any:
    import yarl

    return yarl.URL(url, encoded=True)
