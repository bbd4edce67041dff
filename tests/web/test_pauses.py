"""A supervisor pauses a channel at the wallboard; everybody sees it until it is resumed."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.web.conftest import OpenPage
from tests.web.fake_board import busy
from tests.web.fake_server import FakeServer, now_us
from tests.web.fake_world import World
from tests.web.live import Demo

pytestmark = [pytest.mark.slow, pytest.mark.peer]

PEER = {"address": "+4917100000", "name": "Maria Sandoval", "to": "+4930555300"}


async def test_a_paused_channel_is_seen_by_all_and_its_contacts_come_when_it_is_resumed(
    demo: Demo, open_page: OpenPage
) -> None:
    desk = await open_page(demo.desk)
    await desk.wait_for_selector(".desk")
    await desk.locator("#presence").select_option("ready")
    mark = desk.locator(".middle .pauses[role=status]")
    await expect(mark).to_have_count(1)  # there before its words are, or they are not read out
    await expect(mark).to_be_empty()
    board = await open_page(demo.wallboard, width=1440, height=900)
    await board.wait_for_selector(".wall")

    await board.locator(".channels").get_by_role("button", name="Pause …").click()
    sms = board.locator("[data-drill=channels] [data-channel=sms]")
    await sms.get_by_role("button", name="Pause").click()
    confirmation = sms.get_by_role("alertdialog", name="Pause SMS for everybody")
    await confirmation.get_by_label("Why? Everybody sees it.").fill("nonsense <b>since noon</b>")
    await confirmation.get_by_role("button", name="Confirm").click()
    await expect(mark).to_contain_text("SMS is paused since")
    await expect(mark).to_contain_text("nonsense <b>since noon</b>")
    strip = board.locator(".store-row [data-paused=sms]")
    await expect(strip).to_contain_text("nonsense <b>since noon</b>")
    await expect(sms.get_by_role("button", name="Resume")).to_be_visible()

    sent = await demo.post(
        "/v1/messages",
        {"channel": "sms", "external_id": "sms-1", "peer": PEER,
         "message": {"id": "in-1", "text": "Is my table there?"}},
    )  # fmt: skip
    await expect(sms).to_contain_text("1 waiting")
    waits = await demo.get(f"/v1/contacts/{sent['contact']}")
    assert waits["state"] == "queued"
    again = await open_page(demo.desk.partition("#")[0])  # not signed in: nothing is told there
    await expect(again.locator(".pauses")).to_have_count(0)

    await sms.get_by_role("button", name="Resume").click()
    confirmation = sms.get_by_role("alertdialog")
    await expect(confirmation).to_contain_text("Resume SMS: 1 contact that waits is offered now.")
    await confirmation.get_by_role("button", name="Confirm").click()
    await desk.wait_for_selector(".offer")
    await expect(mark).to_be_empty()
    await expect(strip).to_have_count(0)
    await expect(board.locator(".said-notices")).to_contain_text("Resume SMS")


async def test_a_page_that_comes_later_knows_and_says_it_in_german(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    busy(world)
    paused = [{"channel": "sms", "at_us": now_us(), "by": "token:sam", "reason": "Unsinn"}]
    world.paused = paused
    page = await open_page(f"{server.url}/desk#ticket=crk_ana", locale="de-DE")
    await page.wait_for_selector(".desk")
    mark = page.locator(".middle .pauses")
    await expect(mark).to_contain_text("SMS ist angehalten seit")
    await expect(mark).to_contain_text("durch sam: Unsinn")
    server.tell("agent", {"type": "paused", "channels": []})
    await expect(mark).to_be_empty()

    wall = await open_page(f"{server.url}/wallboard#ticket=crk_sup", width=1440, height=900)
    await wall.wait_for_selector(".wall")
    strip = wall.locator(".store-row .pauses")
    await expect(strip).to_contain_text("SMS is paused since")
    headline = await wall.locator(".headline").bounding_box()
    said = await strip.bounding_box()
    assert headline is not None
    assert said is not None
    assert said["y"] + said["height"] <= headline["y"], "above the board, not over it"
    await wall.keyboard.press("p")
    await expect(wall.locator("[data-drill=channels]")).to_be_visible()
    world.paused = []
    await server.cut()
    await expect(wall.locator(".connection")).to_have_attribute("data-state", "live")
    await expect(strip).to_be_empty()


async def test_what_the_server_refuses_is_said_beside_the_button(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    busy(world)
    wall = await open_page(f"{server.url}/wallboard#ticket=crk_sup", width=1440, height=900)
    await wall.wait_for_selector(".wall")
    await wall.keyboard.press("p")
    chat = wall.locator("[data-drill=channels] [data-channel=chat]")
    await chat.get_by_role("button", name="Pause").click()
    await expect(chat.get_by_label("Why? Everybody sees it.")).to_be_focused()
    server.refuse["pause_channel"] = {"code": "rate_limited", "text": "too many requests"}
    await chat.get_by_role("button", name="Confirm").click()
    await expect(chat.get_by_role("alert")).to_contain_text("too many requests")
    sent = await server.got("pause_channel")
    assert sent["channel"] == "chat"
    assert "reason" not in sent
    await chat.get_by_label("Why? Everybody sees it.").fill("  all on the phone ")
    await chat.get_by_label("Why? Everybody sees it.").press("Enter")
    again = await server.got("pause_channel", 2)
    assert again["reason"] == "all on the phone"
    await expect(chat.get_by_role("alertdialog")).to_have_count(0)
