"""What a supervisor is asked and told on the wallboard: Escape, focus, what was done, is old."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import OpenPage
from tests.web.fake_board import busy
from tests.web.fake_server import FakeServer
from tests.web.fake_world import World

pytestmark = [pytest.mark.slow, pytest.mark.peer]


async def wall(open_page: OpenPage, server: FakeServer, world: World) -> Page:
    busy(world)
    page = await open_page(f"{server.url}/wallboard#ticket=crk_sup", width=1440, height=900)
    await page.wait_for_selector(".wall")
    return page


async def test_escape_takes_back_what_was_asked_and_nothing_else(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await wall(open_page, server, world)
    await page.keyboard.press("p")
    pause = page.locator("[data-drill=channels] [data-channel=sms] button").first
    await pause.click()
    asked = page.get_by_role("alertdialog")
    await expect(asked.locator("input")).to_be_focused()
    await page.keyboard.type("nonsense from the provider")
    await page.keyboard.press("Escape")
    await expect(asked).to_have_count(0)
    await expect(page.locator("[data-drill=channels]")).to_be_visible()
    await expect(pause).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("[data-drill]")).to_have_count(0)
    assert not [each for each in server.commands if each["type"] == "pause_channel"]


async def test_the_focus_goes_back_to_the_row_that_was_opened(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await wall(open_page, server, world)
    for row, drill in (("[data-queue=care]", "queue"), ("[data-agent=a0005]", "agent")):
        await page.locator(row).focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(f"[data-drill={drill}]")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("[data-drill]")).to_have_count(0)
        await expect(page.locator(row)).to_be_focused()


async def test_what_was_done_is_said_and_can_be_put_away(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await wall(open_page, server, world)
    await page.clock.install()  # what only informs goes by itself, later than a machine is slow
    await page.locator("[data-agent=a0005]").click()
    said = page.locator(".said-notices p")
    await page.get_by_role("button", name="Set: Ready").click()
    await page.get_by_role("button", name="Confirm").click()
    await expect(said).to_contain_text("to: Ready")
    await said.get_by_role("button", name="Dismiss").click()
    await expect(said).to_have_count(0)
    await page.get_by_role("button", name="Set: Offline").click()
    await page.get_by_role("button", name="Confirm").click()
    await expect(said).to_contain_text("to: Offline")
    await page.clock.fast_forward(31_000)
    await expect(said).to_have_count(0)


async def test_a_wall_that_has_lost_its_server_says_so_across_the_room(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await wall(open_page, server, world)
    old = page.locator(".old")
    await page.clock.install()
    server.closed_for = 1000
    await server.cut()
    await expect(page.locator(".connection")).to_have_attribute("data-state", "disconnected")
    await page.clock.fast_forward(12_000)
    await expect(old).to_contain_text("No connection. These are the figures of")
    size = await old.evaluate("(each) => getComputedStyle(each).fontSize")
    assert float(size.removesuffix("px")) >= 28
    await expect(page.locator(".headline")).to_have_css("filter", "grayscale(1)")
    server.closed_for = 0
    await page.clock.fast_forward(31_000)  # the longest pause between two tries
    await expect(page.locator(".connection")).to_have_attribute("data-state", "live")
    await expect(old).to_be_empty()
