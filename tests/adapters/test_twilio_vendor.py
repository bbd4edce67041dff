"""The provider of our tests speaks as the vendor: its own client library understands it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from router.testing.adapter_harness import Signal
from tests.adapters.twilio_provider import ACCOUNT, TOKEN, Provider


class Redirected(TwilioHttpClient):
    """The vendor's HTTP client, with the provider of this test behind the vendor's host name."""

    def __init__(self, url: str) -> None:
        super().__init__(timeout=5, pool_connections=False)
        self._url = url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        there = url.replace("https://api.twilio.com", self._url)
        assert there != url
        return super().request(method, there, *args, **kwargs)


async def test_the_vendors_client_sends_lists_and_is_refused() -> None:
    provider = Provider(Signal())
    provider.modes["+4930900901"] = "refused"
    await provider.start()
    try:
        client = Client(ACCOUNT, TOKEN, http_client=Redirected(provider.url))

        def talk() -> None:
            sent = client.messages.create(
                to="+4930900100", from_="+4930555300", body="Grüße 👋",
                status_callback="https://router.example.com/status?effect=e1",
            )  # fmt: skip
            assert (sent.status, sent.direction, sent.body) == (
                "queued",
                "outbound-api",
                "Grüße 👋",
            )
            [found] = client.messages.list(to="+4930900100", limit=20)
            assert (found.sid, found.date_created) == (sent.sid, sent.date_created)
            with pytest.raises(TwilioRestException) as refused:
                client.messages.create(to="+4930900901", from_="+4930555300", body="hi")
            assert (refused.value.code, refused.value.status) == (21211, 400)
            provider.throttled = 1
            with pytest.raises(TwilioRestException) as slow:
                client.messages.create(to="+4930900100", from_="+4930555300", body="hi")
            assert slow.value.status == 429

        await asyncio.to_thread(talk)
        assert provider.to("+4930900100") == ["Grüße 👋"]
    finally:
        await provider.stop()
