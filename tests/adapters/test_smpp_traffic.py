"""Connections cut at every byte, a centre killed under traffic: nothing lost, nothing twice.

What we sent is counted in the centre's own file, what customers wrote at the router's door.
"""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from adapters import Crew, Facts, Questions
from adapters.smpp import pdu
from adapters.smpp.inbound import Inbound
from adapters.smpp.settings import Settings
from adapters.smpp.store import Store
from router.channel import NewContact, Receipt
from router.testing.adapter_harness import RouterDouble, Signal
from tests.adapters.smsc_peer import SmppHarness, needs_smsc

pytestmark = [pytest.mark.peer, needs_smsc]


def judge(outcomes: dict[str, str], got: list[str]) -> None:
    """Every message of ours, by how its sending ended, against what the centre accepted."""
    counts = Counter(got)
    assert set(counts) <= set(outcomes)
    for text, outcome in outcomes.items():
        allowed = {"sent": (1,), "failed": (0,), "unknown": (0, 1)}[outcome]
        assert counts[text] in allowed, f"{text!r} ended as {outcome}, and {counts[text]} came"


async def fresh(harness: SmppHarness) -> None:
    """A new connection, with no faults."""
    assert harness.proxy is not None
    for way in (harness.proxy.requests, harness.proxy.answers):
        way.cut_at = way.reset_at = -1
    bound = len(harness.smsc.seen("bound"))
    await harness.proxy.reset()
    await harness.signal.until(lambda: len(harness.smsc.seen("bound")) > bound)
    await harness.back()


@pytest.mark.parametrize(("where", "end"), [("requests", "cut_at"), ("answers", "reset_at")])
async def test_a_connection_cut_at_any_byte_loses_and_doubles_nothing(
    where: str, end: str, tmp_path: Path
) -> None:
    async with SmppHarness(tmp_path, proxied=True) as harness:
        assert harness.proxy is not None
        way = getattr(harness.proxy, where)
        await fresh(harness)
        before = way.passed
        assert await harness.send(0, "measured") == "sent"
        size = way.passed - before
        outcomes = {"measured": "sent"}
        assert 17 < size < 120
        for offset in range(0, size + 4, 3):
            passed = way.passed
            await fresh(harness)
            setattr(way, end, way.passed - passed + offset)
            text = f"text {offset}"
            outcomes[text] = await harness.send(offset + 1, text)
        judge(outcomes, harness.smsc.got())
        seen = Counter(outcomes.values())
        assert seen["unknown"] > 0
        assert seen["sent"] > 1


async def test_a_message_to_us_cut_at_any_byte_comes_once(tmp_path: Path) -> None:
    async with SmppHarness(tmp_path, proxied=True) as harness:
        assert harness.proxy is not None
        texts = []
        for where, size in (("answers", 90), ("requests", 18)):
            way = getattr(harness.proxy, where)
            for offset in range(0, size, 3):
                passed = way.passed
                await fresh(harness)
                way.cut_at = way.passed - passed + offset
                texts.append(f"{where} {offset}")
                await harness.smsc.write(f"{where}{offset}", texts[-1], wait=False)
        await fresh(harness)
        await drained(harness)
        assert Counter(harness.router.messages.values()) == Counter(texts)


@pytest.mark.slow
async def test_a_centre_killed_under_traffic_loses_and_doubles_nothing(tmp_path: Path) -> None:
    messages, kills = 300, 4
    settings = {"state_file": str(tmp_path / "texts.state"), "turn_s": 6.0, "outbound": 1_000}
    async with SmppHarness(tmp_path, smsc={"window": 5, "binds": 2}, **settings) as harness:
        outcomes: dict[str, str] = {}

        async def agent(which: int) -> None:
            for number in range(which, messages, 10):
                text = f"answer {number}" if number % 7 else f"long {number} " + "x€" * 200
                outcomes[text] = await harness.send(number, text, f"+4930900{which:03}")

        async def customers() -> list[str]:
            texts = []
            for number in range(messages):
                # Many say "yes", each once: who says it twice around a death may be merged.
                says_yes = number % 5 == 0
                source = f"4930900{number if says_yes else number % 10:03}"
                texts.append("yes" if says_yes else f"hello {number}")
                try:
                    async with asyncio.timeout(20):
                        await harness.smsc.write(f"m{number}", texts[-1], source=source, wait=False)
                except (OSError, AssertionError, TimeoutError):
                    texts.pop()  # the centre did not say that it has it
                    await asyncio.sleep(0.05)
            return texts

        async def death() -> None:
            for number in range(1, kills + 1):
                await submitted(harness, number * messages // (kills + 2))
                await harness.smsc.kill()
                await harness.smsc.start(delay=5, retry=50)
                await harness.signal.until(lambda: harness.router.states[-1] == "up")

        await harness.smsc.do("set", delay=5)
        async with asyncio.TaskGroup() as all_of_it:
            for which in range(10):
                all_of_it.create_task(agent(which))
            dying = all_of_it.create_task(death())
            await dying
        # Customers write while it lives, and it dies with their messages under way.
        texts = await customers()
        await harness.smsc.kill()
        await harness.smsc.start(retry=50)
        await drained(harness)
        counts = Counter(outcomes.values())
        print(f"{dict(counts)} of {len(outcomes)} out, {len(texts)} in, {kills + 1} kills")
        singles = {text: how for text, how in outcomes.items() if text.startswith("answer")}
        judge(singles, [text for text in harness.smsc.got() if text.startswith("answer")])
        long_sent = sum(how == "sent" for text, how in outcomes.items() if text.startswith("long"))
        firsts = [text for text in harness.smsc.got() if text.startswith("long")]
        assert max(Counter(firsts).values()) == 1
        assert len(firsts) >= long_sent
        assert counts["sent"] > messages // 2
        assert Counter(harness.router.messages.values()) == Counter(texts)


async def submitted(harness: SmppHarness, count: int) -> None:
    await harness.signal.until(lambda: len(harness.smsc.submits()) >= count)


async def drained(harness: SmppHarness) -> None:
    """Until the centre has nothing left to deliver."""
    async with asyncio.timeout(45):
        while True:
            begun = len(harness.smsc.events)
            await harness.smsc.do("left")
            if harness.smsc.seen("left", since=begun)[0]["count"] == 0:
                return
            await asyncio.sleep(0.05)  # another process: only asking tells


class Counting(RouterDouble):
    """Counts, and keeps nothing."""

    def __init__(self) -> None:
        super().__init__(Signal())
        self.count = 0
        self.marked = 0

    async def message(self, contact: NewContact) -> Receipt:
        assert contact.message is not None
        self.count += 1
        self.marked += "is missing]" in contact.message.text
        return self.receipt


INCOMPLETE = int(os.environ.get("SMPP_INCOMPLETE", "4000"))
"""A million takes some minutes: SMPP_INCOMPLETE=1000000."""


@pytest.mark.slow
async def test_long_messages_that_are_never_completed_take_no_more_memory_than_set(
    tmp_path: Path,
) -> None:
    settings = Settings(smscs={"x": {}}, long_most=500, long_wait_s=1e6)
    router = Counting()
    crew, facts = Crew("texts", most=10), Facts("texts")
    store = Store("")
    inbound = Inbound("texts", settings, store, router, Questions(router, facts), facts, crew,
                      lambda: False)  # fmt: skip
    await store.open(0.0)
    inbound.connected(1)
    watch = asyncio.get_running_loop().create_task(inbound.watch())
    held = []
    tracemalloc.start()
    try:
        for number in range(INCOMPLETE):
            message = pdu.Message(
                source=f"4930{number:08}", source_ton=1, source_npi=1, destination="1",
                destination_ton=1, destination_npi=1, esm_class=0x40, data_coding=0,
                payload=b"\x05\x00\x03\x07\x02\x01" + b"x" * 153, tlvs={},
            )  # fmt: skip
            assert await inbound.hear(message, 1, "main") == pdu.OK
            if number % 50 == 0:
                inbound.hearing.read_until(1, asyncio.get_running_loop().time())
            if number in (INCOMPLETE // 3, INCOMPLETE - 1):
                held.append(tracemalloc.get_traced_memory()[0])
            assert len(inbound.reassembly) <= 1_000
    finally:
        tracemalloc.stop()
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await store.close()
    assert router.count == router.marked
    assert router.count + len(inbound.reassembly) == INCOMPLETE, "some were lost"
    assert held[1] < held[0] + 400_000, f"it grows: {held}"
