"""The pages against the real server, from the message that arrives to the closed contact."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.web.conftest import OpenPage
from tests.web.live import Demo

pytestmark = [pytest.mark.slow, pytest.mark.peer]


async def test_a_text_message_is_routed_to_the_desk_answered_and_closed(
    demo: Demo, open_page: OpenPage
) -> None:
    desk = await open_page(demo.desk)
    await desk.wait_for_selector(".desk")
    await desk.locator("#presence").select_option("ready")
    await expect(desk.locator(".connection")).to_have_attribute("data-state", "live")
    sent = await demo.post(
        "/v1/messages",
        {
            "channel": "sms",
            "external_id": "sms-1",
            "peer": {
                "address": "+4917100000",
                "name": "Maria <b>Sandoval</b>",
                "to": "+4930555300",
            },
            "message": {"id": "in-1", "text": "Is my <i>table</i> there? https://oak.example/1"},
        },
    )
    contact = sent["contact"]
    await desk.wait_for_selector(".offer")
    await desk.keyboard.press("a")
    await expect(desk.locator(".conversation .name")).to_have_text("Maria <b>Sandoval</b>")
    await expect(desk.locator(".message.from-customer")).to_contain_text(
        "Is my <i>table</i> there?"
    )
    await desk.keyboard.press("m")
    await desk.keyboard.type("Yes, it came this morning.")
    await desk.keyboard.press("Enter")
    await expect(desk.locator(".message.from-agent:not(.unsent)")).to_contain_text(
        "Yes, it came this morning."
    )
    await expect(desk.locator(".unsent")).to_have_count(0)
    await desk.keyboard.press("Escape")
    await desk.keyboard.press("y")
    await expect(desk.locator(".decision").first).to_contain_text("could")

    board = await open_page(demo.wallboard, width=1440, height=900)
    await board.wait_for_selector(".wall")
    await board.locator("[data-agent=ana]").click()
    await board.locator("[data-drill=agent] .contact-line").click()
    await expect(board.locator("[data-event=OfferAccepted]")).to_contain_text("Ana accepted")
    await expect(board.locator(".decision summary").first).to_be_visible()

    await desk.keyboard.press("e")
    await desk.keyboard.press("Enter")
    await desk.wait_for_selector("#finish-wrap-up")
    await desk.keyboard.press("w")
    await expect(desk.locator(f"[data-contact={contact}]")).to_have_count(0)
    await expect(board.locator("[data-event=ContactClosed]")).to_contain_text("completed")


async def test_a_call_waits_and_is_moved_by_the_supervisor(demo: Demo, open_page: OpenPage) -> None:
    board = await open_page(demo.wallboard, width=1440, height=900)
    await board.wait_for_selector(".wall")
    body = {
        "channel": "email",
        "external_id": "m-1",
        "entry_point": "orders",
        "peer": {"address": "p@x.example", "name": "Priya"},
    }
    contact = (await demo.post("/v1/contacts", body))["contact"]
    await board.locator("[data-queue=sales]").click()
    await board.locator(f"[data-contact={contact}]").click()
    await expect(board.locator(".timeline")).to_contain_text("Queued in sales")
    await board.locator("#move").select_option("front")
    await board.get_by_role("button", name="Confirm").click()
    await expect(board.locator(".timeline")).to_contain_text("Overflowed from sales to front")
    await expect(board.locator(".life .facts")).to_contain_text("front")
