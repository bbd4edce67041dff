"""The way out: Kannel's sendsms. Every answer has a deadline."""

from __future__ import annotations

import aiohttp
from yarl import URL

from adapters import Throttled, bounded_body, http_trouble, retry_after
from adapters.kannel.codec import query, reason
from adapters.kannel.settings import Settings
from router.channel import ChannelError, ChannelLost, UnknownOutcome

ANSWER_BYTES = 16_384
CONNECT_S = 3.0
HEADERS = {"from": "X-Kannel-From", "to": "X-Kannel-To", "coding": "X-Kannel-Coding",
           "dlr-mask": "X-Kannel-DLR-Mask", "dlr-url": "X-Kannel-DLR-URL",
           "smsc": "X-Kannel-SMSC", "username": "X-Kannel-Username",
           "password": "X-Kannel-Password"}  # fmt: skip


class SendSms:
    """One smsbox."""

    def __init__(self, settings: Settings, password: str) -> None:
        self._settings = settings
        self._user = {"username": settings.username, "password": password}
        if settings.smsc:
            self._user["smsc"] = settings.smsc
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Ready to send; harmless when it is already."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s, connect=CONNECT_S)
            self._session = aiohttp.ClientSession(timeout=timeout)

    async def close(self) -> None:
        """No more requests."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def probe(self) -> None:
        """Whether somebody answers there at all. Raises ChannelLost."""
        try:
            await self._ask("GET", URL(self._settings.send_url).origin(), {}, b"")
        except ChannelError as error:
            raise ChannelLost(str(error)) from None

    async def send(self, sms: dict[str, str]) -> None:
        """Hand one message over.

        Raises NotSent (nobody there), Throttled (503: nothing was taken), UnknownOutcome (it may
        have been taken) and ChannelError (refused).
        """
        params = {**self._user, **sms}
        if self._settings.method == "get":
            # Encoded here: aiohttp would undo and redo the escapes that dlr-url has for Kannel.
            url = URL(f"{self._settings.send_url}?{query(params)}", encoded=True)
            status, answer, again = await self._ask("GET", url, {}, b"")
        else:
            headers = {HEADERS[name]: value for name, value in params.items() if name in HEADERS}
            headers["Content-Type"] = "text/plain; charset=UTF-8"
            url, body = URL(self._settings.send_url), sms["text"].encode()
            status, answer, again = await self._ask("POST", url, headers, body)
        if status == 503:
            raise Throttled("Kannel has no room now", retry_after(again))
        if status >= 500 or (status < 300 and not answer.startswith((b"0:", b"3:", b"Sent."))):
            raise UnknownOutcome(f"Kannel answered {status} and nothing that is understood")
        if status >= 300:
            raise ChannelError(f"Kannel refused it: {status} {reason(answer)}".rstrip())

    async def _ask(
        self, method: str, url: URL, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, str | None]:
        if self._session is None:
            raise ChannelLost("not connected")
        try:
            async with self._session.request(
                method, url, headers=headers, data=body or None, allow_redirects=False
            ) as answer:
                data = await bounded_body(answer, ANSWER_BYTES)
                return answer.status, data, answer.headers.get("Retry-After")
        except ValueError:  # a header that cannot be: nothing was written
            raise ChannelError("an address or a name that HTTP cannot carry") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise http_trouble(error) from None
