"""The HTTP backends behind a line that cuts, hangs, resets and garbles: nothing goes out twice."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from router.channel import ChannelError
from router.testing.conformance import CUSTOMER, deliver
from router.testing.fault_proxy import FaultProxy, Way
from tests.adapters.test_twilio import TwilioHarness
from tests.adapters.webhook_harness import Mounted, TelegramHarness, described

PLACES = [0, 1, 9, 60, 200, 330]


def spoil(way: Way, fault: str, place: int) -> None:
    setattr(way, fault, place)


def mend(way: Way) -> None:
    way.cut_at = way.reset_at = way.hang_at = way.flip_at = -1
    way.flow()


async def outcomes(harness: TwilioHarness | TelegramHarness, proxy: FaultProxy) -> Counter[str]:
    """One message for each fault at each place; what the adapter said of each."""
    found: Counter[str] = Counter()
    harness.channel.sender.breaker.after = 1_000  # type: ignore[attr-defined]
    number = 0
    for way in (proxy.requests, proxy.answers):
        for fault in ("cut_at", "reset_at", "hang_at", "flip_at"):
            for place in PLACES:
                number += 1
                spoil(way, fault, place)
                task = harness.task(
                    CUSTOMER, deliver(number), id_=f"e{number}", text=f"text {number}"
                )
                try:
                    async with asyncio.timeout(30):
                        await harness.channel.perform(task)
                    found["done"] += 1
                except ChannelError as error:
                    found[type(error).__name__] += 1
                mend(way)
                await proxy.reset()  # offsets count from a connection's beginning
    return found


async def until_sent(harness: TwilioHarness | TelegramHarness) -> None:
    """In order again, on the same object; so short a patience may still end before an answer."""
    async with asyncio.timeout(30):
        for number in itertools.count(1_000):
            task = harness.task(CUSTOMER, deliver(number), id_=f"e{number}", text=f"last {number}")
            with suppress(ChannelError):
                await harness.channel.perform(task)
                return


@pytest.mark.slow
async def test_a_messaging_account_behind_a_bad_line(tmp_path: Path) -> None:
    quick = {"timeout_s": 0.15, "resolve_s": 0.15, "patience_s": 0.1}
    async with TwilioHarness(tmp_path, **quick) as harness:
        async with FaultProxy("127.0.0.1", harness.provider.port) as proxy:
            await harness.arrive(CUSTOMER)
            rest = harness.twilio.rest
            rest._url = rest._url.replace(str(harness.provider.port), str(proxy.port))
            said = await outcomes(harness, proxy)
            await until_sent(harness)
        got = Counter(harness.read(CUSTOMER))
        assert got.most_common(1)[0][1] == 1, got.most_common(3)
        assert said["UnknownOutcome"] > 10
        assert sum(text.startswith("text") for text in got) >= said["done"]


@pytest.mark.slow
async def test_a_described_backend_behind_a_bad_line(tmp_path: Path) -> None:
    async with TelegramHarness(tmp_path) as harness:
        async with FaultProxy("127.0.0.1", harness.server.port) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            settings = described("telegram", url, tmp_path, timeout_s=0.15, patience_s=0.1)
            other = Mounted("telegram", settings, harness.router)
            harness.server.hook = await other.open()
            harness.channel = other.webhook
            try:
                await harness.arrive(CUSTOMER)
                said = await outcomes(harness, proxy)
                await until_sent(harness)
            finally:
                await other.close()
        got = Counter(harness.read(CUSTOMER))
        assert got.most_common(1)[0][1] == 1, got.most_common(3)
        assert said["UnknownOutcome"] > 10
        assert sum(text.startswith("text") for text in got) >= said["done"]
