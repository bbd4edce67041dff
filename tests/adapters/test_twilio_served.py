"""The page's sample on a real server: killed under traffic, counted at the provider."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from router.testing.adapter_harness import Signal
from tests.adapters.documented import accept, sample, serving, texts_of, until_settled
from tests.adapters.twilio_provider import TOKEN, Provider

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CUSTOMER, OURS = "+4930900100", "+4930555300"


async def say(provider: Provider, text: str, number: int) -> None:
    """A customer's message, said by the provider until the router has taken it."""
    async with asyncio.timeout(30):
        while True:
            with suppress(OSError):
                status, _ = await provider.text_in(CUSTOMER, OURS, text, f"SM{number}")
                if status == 200:
                    return
            await asyncio.sleep(0.05)  # as the provider does: it repeats


async def test_router_and_provider_die_under_traffic_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    provider = Provider(Signal())
    await provider.start()
    config = sample("twilio").replace(
        "channel: sms\n", f"channel: sms\n    api_url: {provider.url}\n", 1
    )
    try:
        async with serving(tmp_path, config, {"twilio.token": TOKEN}) as served:
            provider.hook = f"http://127.0.0.1:{served.port}"
            await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
            await say(provider, "hello 0", 0)
            [row] = (await served.good("GET", "/v1/contacts"))["contacts"]
            contact = row["id"]
            await accept(served, contact)

            async def customer() -> None:
                for number in range(1, 40):
                    await say(provider, f"hello {number}", number)

            async def answers(first: int, last: int) -> None:
                for number in range(first, last):
                    body = {"text": f"answer {number}"}
                    await served.good("POST", f"/v1/contacts/{contact}/messages", body)

            async with asyncio.TaskGroup() as group:
                group.create_task(customer())
                await answers(0, 20)
                # None is under way: what became of one that is cut off nobody could know.
                await until_settled(served, contact, lambda results: len(results["done"]) >= 20)
                assert len(provider.messages) == 20
                await provider.kill()
                await answers(20, 25)  # while it is away, for less than `patience_s`
                await provider.start()
                await answers(25, 40)
                await provider.signal.until(lambda: len(provider.messages) >= 30)
            await until_settled(served, contact, lambda results: len(results["done"]) >= 40)
            for message in provider.messages:
                assert await provider.report(message["sid"], "delivered") == 204

            customers = asyncio.get_running_loop().create_task(say(provider, "after", 100))
            await served.kill()
            await served.start()
            await customers
            texts = await texts_of(served, contact)
            assert await served.stop() == 0
            events = (await served.command("tail")).splitlines()
        wrote = Counter(text for who, text in texts if who == "customer")
        assert wrote == Counter([*(f"hello {n}" for n in range(40)), "after"])
        got = Counter(provider.to(CUSTOMER))
        assert got == Counter(f"answer {n}" for n in range(40))
        assert sum('"delivered"' in line for line in events) == 40
        log = (tmp_path / "log").read_text()
        assert "Traceback" not in log
        assert "4930900100" not in log
        assert "hello" not in log
    finally:
        await provider.stop()
