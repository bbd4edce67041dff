"""The page's sample on a real server and a real Kannel: from a phone to the desk and back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from router.testing.adapter_harness import Signal
from router.testing.conformance import CUSTOMER
from tests.adapters.documented import accept, sample, serving, texts_of, until_settled
from tests.adapters.kannel_peer import Boxes, Line, needs_kannel, parts
from tests.runtime.server import Served

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(120), needs_kannel]


async def test_a_customer_and_an_agent_write_to_each_other_through_kannel(tmp_path: Path) -> None:
    signal = Signal()
    boxes = Boxes(tmp_path / "kannel", "http://127.0.0.1:1")
    config = sample("kannel").replace("http://127.0.0.1:13013/cgi-bin/sendsms", boxes.send_url)
    line = Line(boxes.ports["line"], signal)
    async with serving(tmp_path, config, {"kannel.password": "secret"}) as served:
        # The page's port is 8080; the server under test has its own.
        hook = f"http://127.0.0.1:{served.port}/v1/kannel/texts"
        served.config.write_text(
            served.config.read_text().replace("http://127.0.0.1:8080/v1/kannel/texts", hook)
        )
        assert await served.stop() == 0
        boxes.hook = hook
        try:
            await boxes.start()
            await line.connect()
            await served.start()
            await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
            line.write(CUSTOMER, "Mein Anschluß ist tot 😀")
            contact = await first_contact(served)
            await accept(served, contact)
            answer = "Guten Tag, wir sehen nach. " * 10
            await served.good("POST", f"/v1/contacts/{contact}/messages", {"text": answer})
            await signal.until(lambda: len(line.got) == 2)
            assert parts(line.got) == answer

            # The router is killed; what the customer writes meanwhile is brought when it is back.
            await served.kill()
            line.write(CUSTOMER, "are you there")
            await served.start()
            await until_brought(served, contact, "are you there")
            await served.good("POST", f"/v1/contacts/{contact}/messages", {"text": "yes"})
            await signal.until(lambda: len(line.got) == 3)
            await until_settled(served, contact, lambda results: bool(results["delivered"]))
            texts = await texts_of(served, contact)
            assert await served.stop() == 0
        finally:
            await line.close()
            await boxes.kill()
        assert [text for who, text in texts if who == "customer"] == [
            "Mein Anschluß ist tot 😀", "are you there",
        ]  # fmt: skip


async def first_contact(served: Served) -> str:
    async with asyncio.timeout(30):
        while True:
            rows: list[dict[str, Any]] = (await served.good("GET", "/v1/contacts"))["contacts"]
            if rows:
                return str(rows[0]["id"])
            await asyncio.sleep(0.02)  # another process: only asking tells


async def until_brought(served: Served, contact: str, text: str) -> None:
    async with asyncio.timeout(60):
        while True:
            if ("customer", text) in await texts_of(served, contact):
                return
            await asyncio.sleep(0.1)  # another process: only asking tells
