"""The shipped samples on a real server: killed under traffic, counted at the backends."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from router.testing.adapter_harness import Signal
from tests.adapters.documented import accept, serving, texts_of, until_settled
from tests.adapters.telegram_server import Telegram
from tests.adapters.webhook_harness import SAMPLES, SECRETS
from tests.adapters.whatsapp_server import WhatsApp

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_telegram_chat_survives_the_death_of_both_sides(tmp_path: Path) -> None:
    telegram = Telegram(Signal())
    await telegram.start()
    config = (SAMPLES / "telegram.yaml").read_text("utf-8")
    try:
        config = config.replace("https://api.telegram.org", telegram.url)
        async with serving(tmp_path, config, SECRETS) as served:
            telegram.hook = f"http://127.0.0.1:{served.port}/v1/webhook/telegram/in"
            await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
            updates = [telegram.update(4711, f"hello {number}") for number in range(40)]
            assert await telegram.insist(updates[:1]) == 1
            [row] = (await served.good("GET", "/v1/contacts"))["contacts"]
            contact = row["id"]
            await accept(served, contact)

            async def answers(first: int) -> None:
                for number in range(first, first + 20):
                    body = {"text": f"answer {number}"}
                    await served.good("POST", f"/v1/contacts/{contact}/messages", body)

            async with asyncio.TaskGroup() as group:
                talking = group.create_task(telegram.insist(updates[1:] + updates[:10]))
                await answers(0)
                # None is under way: what became of one that is cut off nobody could know.
                await until_settled(served, contact, lambda results: len(results["done"]) >= 20)
                await telegram.kill()
                await answers(20)
                await telegram.start()
                await telegram.signal.until(lambda: len(telegram.sent) >= 40)
                await served.kill()
                talking_more = group.create_task(telegram.insist([telegram.update(4711, "late")]))
                await served.start()
                await talking_more
                await talking
            texts = await texts_of(served, contact)
            assert await served.stop() == 0
        wrote = Counter(text for who, text in texts if who == "customer")
        assert wrote == Counter([*(f"hello {n}" for n in range(40)), "late"])
        assert Counter(telegram.to(4711)) == Counter(f"answer {n}" for n in range(40))
        log = (tmp_path / "log").read_text()
        assert "Traceback" not in log
        assert "4711" not in log
        assert "hello" not in log
    finally:
        await telegram.stop()


async def test_a_whatsapp_receipt_finds_its_message_after_a_restart(tmp_path: Path) -> None:
    whatsapp = WhatsApp(Signal())
    await whatsapp.start()
    config = (SAMPLES / "whatsapp.yaml").read_text("utf-8")
    try:
        config = config.replace("https://graph.facebook.com", whatsapp.url)
        async with serving(tmp_path, config, SECRETS) as served:
            whatsapp.hook = f"http://127.0.0.1:{served.port}/v1/webhook/whatsapp/in"
            await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
            hello = whatsapp.change(whatsapp.message("4930900100", "hello"))
            assert (await whatsapp.deliver(hello))[0] == 200
            [row] = (await served.good("GET", "/v1/contacts"))["contacts"]
            await accept(served, row["id"])
            await served.good("POST", f"/v1/contacts/{row['id']}/messages", {"text": "hi Ada"})
            await until_settled(served, row["id"], lambda results: len(results["done"]) == 1)
            await served.kill()
            await served.start()
            [sent] = whatsapp.sent
            assert sent["to"] == "4930900100"
            for _ in range(2):
                status = whatsapp.status(sent, "delivered")
                assert (await whatsapp.deliver(whatsapp.change(statuses=(status,))))[0] == 200
            assert (await whatsapp.deliver(hello))[0] == 200
            texts = await texts_of(served, row["id"])
            assert await served.stop() == 0
            events = (await served.command("tail")).splitlines()
        assert [text for _, text in texts] == ["hello", "hi Ada"]
        assert sum('"delivered"' in line for line in events) == 1
        assert len(whatsapp.sent) == 1
    finally:
        await whatsapp.stop()
