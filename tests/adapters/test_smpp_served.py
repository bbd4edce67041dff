"""The page's sample on a real server and a real SMS centre: a conversation, and both killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.documented import accept, sample, serving, texts_of, until_settled
from tests.adapters.smsc_peer import Smsc, needs_smsc
from tests.runtime.server import Served

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(120), needs_smsc]

CUSTOMER = "+4930900100"


async def first_contact(served: Served) -> str:
    async with asyncio.timeout(30):
        while True:
            rows: list[dict[str, Any]] = (await served.good("GET", "/v1/contacts"))["contacts"]
            if rows:
                return str(rows[0]["id"])
            await asyncio.sleep(0.02)  # another process: only asking tells


async def left(smsc: Smsc, count: int = 0) -> None:
    """Until the centre has not more than so many messages to deliver."""
    async with asyncio.timeout(60):
        while True:
            begun = len(smsc.events)
            await smsc.do("left")
            if smsc.seen("left", since=begun)[0]["count"] <= count:
                return
            await asyncio.sleep(0.05)  # another process: only asking tells


async def test_a_customer_and_an_agent_write_to_each_other_and_both_ends_die(
    tmp_path: Path,
) -> None:
    smsc = await Smsc(tmp_path / "smsc").start(receipts="both", retry=100)
    config = sample("smpp").replace("port: 2775", f"port: {smsc.port}", 1)
    assert str(smsc.port) in config
    try:
        async with serving(tmp_path, config, {"smsc.password": "secret"}) as served:
            await smsc.signal.until(lambda: bool(smsc.seen("bound")))
            await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
            assert await smsc.write("m0", "Mein Anschluß ist tot, bitte €5 zurück") == 0
            contact = await first_contact(served)
            await accept(served, contact)
            answer = "Guten Tag! " + "Wir sehen nach. 😀 " * 12
            await served.good("POST", f"/v1/contacts/{contact}/messages", {"text": answer})
            await smsc.signal.until(lambda: len(smsc.got(CUSTOMER)) >= 4)
            assert "".join(smsc.got(CUSTOMER)) == answer

            async def answers(first: int, count: int) -> None:
                for number in range(first, first + count):
                    body = {"text": f"answer {number}"}
                    await served.good("POST", f"/v1/contacts/{contact}/messages", body)

            async def writes(first: int, count: int) -> None:
                for number in range(first, first + count):
                    await smsc.write(f"m{number}", f"hello {number}", wait=False)

            # The centre dies with messages under way in both directions.
            await asyncio.gather(answers(0, 60), writes(1, 60))
            await smsc.kill()
            await answers(60, 20)
            await smsc.start(receipts="both", retry=100)
            # The first answer, and these: of each it is known what became of it, or that nobody
            # knows, so that the server's death below leaves nothing more open.
            await until_settled(
                served, contact, lambda results: len(results["done"] | results["unknown"]) >= 81
            )

            # The server dies with customers' messages under way.
            await writes(61, 60)
            await served.kill()
            before = len(smsc.events)
            await served.start()
            await smsc.signal.until(lambda: bool(smsc.seen("bound", since=before)))
            await left(smsc)
            await served.until(f"/v1/contacts/{contact}", state="active")
            texts = await texts_of(served, contact)
            assert await served.stop() == 0
            events = (await served.command("tail")).splitlines()
        wrote = Counter(text for who, text in texts if who == "customer")
        assert wrote == Counter(
            ["Mein Anschluß ist tot, bitte €5 zurück", *(f"hello {n}" for n in range(1, 121))]
        )
        got = Counter(text for text in smsc.got(CUSTOMER) if text.startswith("answer"))
        assert max(got.values()) == 1, "sent twice"
        # What the centre's death has left open is said to be unknown, and may have come.
        unknown = sum("EffectSettled" in event and '"unknown"' in event for event in events)
        assert len(got) >= 80 - unknown
        assert unknown <= 10, "more than the window"
        told = sum("EffectSettled" in event and '"delivered"' in event for event in events)
        print(f"{len(got)} of 80 answers came, {unknown} unknown, {told} receipts, {len(wrote)} in")
        assert told > 0, "no receipt was told"
    finally:
        await smsc.kill()
