"""The page's sample on a real server beside a real prosody; both die, and the customer counts."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from router.testing.adapter_harness import Signal
from tests.adapters.documented import accept, sample, serving, texts_of, until_settled
from tests.adapters.prosody import DOMAIN, PROSODY, SECRET, Client, Prosody

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(PROSODY is None, reason="prosody is not installed"),
]

SUPPORT = f"support@{DOMAIN}"


async def insist(client: Client, text: str, id_: str) -> None:
    """As a client with a resumed stream: the same stanza until it is acknowledged."""
    async with asyncio.timeout(40):
        while await client.say(SUPPORT, text, id_):  # noqa: ASYNC110 - told to wait
            await asyncio.sleep(0.1)


async def refused(client: Client, text: str, id_: str) -> str:
    """Why nobody takes it. What the server wrote to a socket that had just ended is said again."""
    async with asyncio.timeout(60):
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    return await client.say(SUPPORT, text, id_)


async def test_a_chat_survives_the_death_of_both_sides(tmp_path: Path) -> None:
    prosody = Prosody(tmp_path)
    prosody.add("ada")
    await prosody.start()
    client = Client("ada", prosody.c2s, Signal())
    config = sample("xmpp").replace("port: 5347", f"port: {prosody.component}")
    try:
        async with serving(tmp_path, config, {"component.secret": SECRET}) as served:
            await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
            await client.open()
            await insist(client, "hello 0", "m0")
            [row] = (await served.good("GET", "/v1/contacts"))["contacts"]
            contact = row["id"]
            await accept(served, contact)

            async def answers(first: int) -> None:
                for number in range(first, first + 15):
                    body = {"text": f"answer {number}"}
                    await served.good("POST", f"/v1/contacts/{contact}/messages", body)

            await answers(0)
            for number in range(1, 10):
                await insist(client, f"hello {number}", f"m{number}")
            await until_settled(served, contact, lambda results: len(results["delivered"]) >= 15)
            assert len(client.got) == 15
            prosody.kill()
            await answers(15)
            await client.close()
            await prosody.start()
            await client.open()
            await client.signal.until(lambda: len(client.got) >= 30, 40)
            await served.kill()
            assert await refused(client, "are you there?", "m10"), "nobody is"
            await served.start()
            await insist(client, "are you there?", "m10")
            await insist(client, "hello 3", "m3")
            texts = await texts_of(served, contact)
            assert await served.stop() == 0
            events = (await served.command("tail")).splitlines()
        wrote = Counter(text for who, text in texts if who == "customer")
        assert wrote == Counter([*(f"hello {n}" for n in range(10)), "are you there?"])
        got = Counter(text for _, text in client.got)
        assert got == Counter(f"answer {n}" for n in range(30))
        # Receipts that were under way when a server died are lost with it; none is told twice.
        told = [re.findall(r'"message": ?"(\w+)"', e)[0] for e in events if '"delivered"' in e]
        assert 15 <= len(set(told)) == len(told) <= 30
        log = (tmp_path / "log").read_text()
        assert "Traceback" not in log
        assert "ada@" not in log
        assert "hello" not in log
    finally:
        await client.close()
        prosody.kill()
