"""Clocks: the calendar of whoever reads a report, and a clock that is wrong or is set meanwhile."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import OpenPage
from tests.web.fake_board import busy
from tests.web.fake_server import FakeServer
from tests.web.fake_world import MINUTE, World, now_us

pytestmark = [pytest.mark.slow, pytest.mark.peer]


async def set_clock(page: Page, minutes: int) -> None:
    """The machine's clock goes this much further than it went."""
    await page.evaluate(
        "(ms) => { const real = Date.now; Date.now = () => real() + ms; }", minutes * 60_000
    )


async def reported(page: Page) -> dict[str, str]:
    """What the page asks for when its report is opened."""
    async with page.expect_request("**/v1/reports?*") as asked:
        await page.keyboard.press("r")
    query = parse_qs(urlsplit((await asked.value).url).query)
    return {name: values[0] for name, values in query.items()}


async def wall(open_page: OpenPage, server: FakeServer, world: World) -> Page:
    busy(world)
    page = await open_page(f"{server.url}/wallboard#ticket=crk_sup", width=1440)
    await page.wait_for_selector(".wall")
    return page


async def test_days_of_a_report_are_those_of_the_readers_calendar(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await wall(open_page, server, world)
    assert (await reported(page))["zone"] == "Europe/Berlin"


async def test_a_report_ends_now_by_the_servers_clock(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await wall(open_page, server, world)
    await set_clock(page, -10)
    before = now_us()
    until = int((await reported(page))["to_us"])
    assert before - MINUTE < until < now_us() + MINUTE


async def test_a_ring_stays_true_when_the_clock_is_set_back(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await open_page(f"{server.url}/desk#ticket=crk_ana")
    await page.wait_for_selector(".desk")
    await set_clock(page, -10)
    world.offer("chat", "Maria", text="Hello", timeout_s=200)
    ring = page.locator(".offer .ring-text")
    await expect(ring).not_to_be_empty()
    assert int(await ring.inner_text()) < 400  # not 10 minutes more; what is left is the way here
    await expect(page.locator(".connection")).to_have_attribute("data-state", "live")


async def test_a_page_that_gets_no_frames_goes_on_telling(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await open_page(f"{server.url}/desk#ticket=crk_ana")
    await page.wait_for_selector(".desk")
    # A window that is covered in the moment in which something comes in gets no more of them.
    await page.evaluate("window.requestAnimationFrame = () => 0")
    world.offer("chat", "Maria", text="Hello")
    await expect(page).to_have_title("● Offer · contact-router")
