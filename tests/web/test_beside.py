"""Two contacts side by side, and notes that the customer never sees."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.web.conftest import OpenPage
from tests.web.fake_server import FakeServer
from tests.web.fake_world import World
from tests.web.live import Demo
from tests.web.scenes import at_work

pytestmark = [pytest.mark.slow, pytest.mark.peer]


def pane(page: Page, contact: str) -> Locator:
    return page.locator(f"[data-pane={contact}]")


async def desk(open_page: OpenPage, server: FakeServer, width: int) -> Page:
    page = await open_page(f"{server.url}/desk#ticket=crk_ana", width=width, height=900)
    await page.wait_for_selector(".desk")
    return page


async def test_two_contacts_stand_side_by_side_by_keyboard(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    maria, jonas, priya = at_work(world)
    page = await desk(open_page, server, 1440)
    await page.locator(f".row[data-contact={maria}]").click()
    await page.keyboard.press("v")
    await page.locator(f".row[data-contact={jonas}]").click()
    for each in (maria, jonas):
        await expect(pane(page, each)).to_be_visible()
    await expect(pane(page, jonas)).to_have_attribute("data-active", "yes")
    await page.keyboard.press("m")
    await page.keyboard.type("On Thursday.")
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await expect(pane(page, maria)).to_have_attribute("data-active", "yes")
    await expect(page.locator(".aside h2")).to_have_text("Maria Sandoval")
    await page.keyboard.press("m")
    await page.keyboard.type("It is corrected.")
    await page.keyboard.press("Enter")
    assert (await server.got("send"))["contact"] == maria
    await expect(pane(page, maria).locator(".from-agent").last).to_contain_text("It is corrected.")
    await expect(pane(page, jonas).locator("textarea")).to_have_value("On Thursday.")
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await page.keyboard.press("m")
    await page.keyboard.press("Enter")
    sent = await server.got("send", 2)
    assert (sent["contact"], sent["text"]) == (jonas, "On Thursday.")

    # A third one takes the place of the one that is not kept; nothing moves under the mouse.
    await page.locator(f".row[data-contact={priya}]").click()
    await expect(pane(page, jonas)).to_have_count(0)
    await expect(pane(page, maria)).to_be_visible()
    await pane(page, maria).get_by_role("button", name="Park").click()
    assert (await server.got("park"))["contact"] == maria
    await expect(pane(page, priya)).to_be_visible()


async def test_a_message_reaches_the_pane_that_is_not_worked_on(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    maria, jonas, _ = at_work(world)
    page = await desk(open_page, server, 1440)
    await page.locator(f".row[data-contact={maria}]").click()
    await pane(page, maria).get_by_role("button", name=re.compile("Keep it beside")).click()
    await page.locator(f".row[data-contact={jonas}]").click()
    await page.locator("#composer").fill("half a sen")
    world.customer_writes(maria, "And the delivery note?")
    await expect(pane(page, maria)).to_contain_text("And the delivery note?")
    await expect(page.locator("#composer")).to_be_focused()
    await expect(page.locator("#composer")).to_have_value("half a sen")
    # The sheet opens in the pane whose button was pressed.
    await pane(page, maria).get_by_role("button", name="Transfer").click()
    await expect(pane(page, maria).locator("[data-sheet=transfer]")).to_be_visible()
    await expect(page.locator("[data-sheet]")).to_have_count(1)
    await page.keyboard.press("Escape")
    await pane(page, maria).get_by_role("button", name=re.compile("Put away")).click()
    await expect(pane(page, jonas)).to_have_count(0)
    await expect(pane(page, maria)).to_be_visible()


async def test_a_narrow_desk_shows_one_at_a_time(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    maria, jonas, _ = at_work(world)
    page = await desk(open_page, server, 1440)
    await page.locator(f".row[data-contact={maria}]").click()
    await page.keyboard.press("v")
    await page.locator(f".row[data-contact={jonas}]").click()
    await expect(pane(page, maria)).to_be_visible()
    await page.set_viewport_size({"width": 1280, "height": 800})
    await expect(pane(page, maria)).to_be_hidden()
    await expect(pane(page, jonas)).to_be_visible()
    await page.keyboard.press("g")
    await expect(pane(page, jonas)).to_be_visible()
    await page.set_viewport_size({"width": 1440, "height": 900})
    await expect(pane(page, maria)).to_be_visible()


async def test_a_note_stays_with_the_contact_and_never_goes_to_the_customer(
    demo: Demo, open_page: OpenPage
) -> None:
    page = await open_page(demo.desk)
    await page.wait_for_selector(".desk")
    await page.locator("#presence").select_option("ready")
    sent = await demo.post(
        "/v1/messages",
        {
            "channel": "sms",
            "external_id": "sms-1",
            "peer": {"address": "+4917100000", "name": "Maria", "to": "+4930555300"},
            "message": {"id": "in-1", "text": "Where is my table?"},
        },
    )
    contact = sent["contact"]
    await page.wait_for_selector(".offer")
    await page.keyboard.press("a")
    await expect(pane(page, contact)).to_be_visible()
    await page.keyboard.press("u")
    await expect(page.locator("#note-text")).to_be_focused()
    await page.keyboard.type("Angry about <b>the delivery</b>")
    await page.reload()  # what is typed is kept, saved or not
    await expect(page.locator("#note-text")).to_have_value("Angry about <b>the delivery</b>")
    await page.locator("#note-text").press("Control+Enter")
    note = page.locator(".note .plain")
    await expect(note).to_have_text("Angry about <b>the delivery</b>")
    held = await demo.get(f"/v1/contacts/{contact}")
    assert held["attributes"]["note"] == "Angry about <b>the delivery</b>"
    said = (await demo.get(f"/v1/contacts/{contact}/messages"))["messages"]
    assert [each["text"] for each in said] == ["Where is my table?"]
    await page.reload()
    await expect(note).to_have_text("Angry about <b>the delivery</b>")
    await page.locator("#note").click()
    await page.locator("#note-text").fill("")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#note-text")).to_have_count(0)  # it is open until it is saved
    await expect(note).to_have_count(0)
    assert "note" not in (await demo.get(f"/v1/contacts/{contact}")).get("attributes", {})
