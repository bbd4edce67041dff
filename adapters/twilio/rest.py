"""The provider's REST API, as far as messages need it. Every answer has a deadline."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec

from adapters import NotSent, Throttled, bounded_body, http_trouble, retry_after
from adapters.twilio.codec import reason
from adapters.twilio.settings import Settings
from router.channel import ChannelError, ChannelLost, UnknownOutcome

ANSWER_BYTES = 1 << 20
CONNECT_S = 3.0
RATE = 429
LISTED = 50
"""So many of the newest messages to a number are looked through."""


class Rest:
    """One account. Used inside `async with`."""

    def __init__(self, settings: Settings, user: str, secret: str) -> None:
        self._settings = settings
        self._url = f"{settings.api_url}/2010-04-01/Accounts/{settings.account}"
        self._headers = {"Authorization": aiohttp.encode_basic_auth(user, secret)}
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Ready to ask; harmless when it is already."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s, connect=CONNECT_S),
            )

    async def close(self) -> None:
        """No more questions."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def probe(self) -> None:
        """Whether the account can be used. Raises ChannelLost."""
        try:
            status, _, _ = await self._ask("GET", ".json")
        except ChannelError as error:
            raise ChannelLost(str(error)) from error
        if status in (401, 403, 404):
            raise ChannelLost("the provider does not know this account, its key or its token")

    async def create(self, to: str, sender: str, text: str, callback: str) -> str:
        """Send one message; its SID.

        Raises NotSent (nobody there), Throttled (429), UnknownOutcome (it may have been sent) and
        ChannelError (refused).
        """
        form = {"To": to, "Body": text, "StatusCallback": callback}
        if self._settings.service:
            form["MessagingServiceSid"] = self._settings.service
        else:
            form["From"] = sender
        status, headers, answer = await self._ask("POST", "/Messages.json", form)
        if status == RATE:
            raise Throttled("the provider limits the rate", retry_after(headers.get("Retry-After")))
        if status >= 500:
            raise UnknownOutcome(f"the provider answered {status}")
        if status >= 400:
            code = answer.get("code")
            raise ChannelError(reason(code if isinstance(code, int) else 0, f"refused: {status}"))
        sid = answer.get("sid")
        if not isinstance(sid, str) or not sid:
            raise UnknownOutcome("the provider's answer was not understood")
        return sid

    async def search(self, to: str, text: str, since: datetime, known: set[str]) -> str:
        """The SID of a message of ours with this text that was made since then; empty if none is.

        `known`: those that are other messages. Raises ChannelError: it could not be asked.
        """
        query = {"To": to, "PageSize": str(LISTED)}
        status, _, answer = await self._ask("GET", "/Messages.json", query)
        if status != 200:
            raise ChannelError(f"the provider answered {status}")
        for message in answer.get("messages") or ():
            if (
                isinstance(message, dict)
                and message.get("body") == text
                and message.get("sid") not in known
                and str(message.get("direction", "")).startswith("outbound")
                and _moment(message.get("date_created")) >= since.replace(microsecond=0)
            ):
                return str(message["sid"])
        return ""

    async def _ask(
        self, method: str, path: str, values: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, Any]]:
        if self._session is None:
            raise NotSent("not connected")
        data, query = (values, None) if method == "POST" else (None, values)
        try:
            async with self._session.request(
                method, self._url + path, data=data, params=query, allow_redirects=False
            ) as response:
                body = await bounded_body(response, ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise http_trouble(error) from error
        try:
            answer = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer = {}
        return response.status, response.headers, answer


def _moment(text: object) -> datetime:
    try:
        return parsedate_to_datetime(str(text)).astimezone(UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
