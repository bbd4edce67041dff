"""A page on a phone, or made twice as large (WCAG 2.2, 1.4.4, 1.4.10): all of it is in reach."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, expect

from tests.web.conftest import OpenPage
from tests.web.fake_board import busy
from tests.web.fake_server import FakeServer
from tests.web.fake_world import World
from tests.web.scenes import at_work

pytestmark = [pytest.mark.slow, pytest.mark.peer]

PHONE = (320, 640)
TWICE = (640, 400)  # 1280 x 800 at 200 %


async def fits(page: Page) -> None:
    """Nothing is wider than the screen."""
    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0


async def apart(one: Locator, other: Locator) -> bool:
    """Do two things stand beside each other, neither over the other?"""
    a, b = await one.bounding_box(), await other.bounding_box()
    assert a is not None
    assert b is not None
    return (
        a["x"] + a["width"] <= b["x"] + 1
        or b["x"] + b["width"] <= a["x"] + 1
        or a["y"] + a["height"] <= b["y"] + 1
        or b["y"] + b["height"] <= a["y"] + 1
    )


@pytest.mark.parametrize(("width", "height"), [PHONE, TWICE], ids=["phone", "twice"])
async def test_the_desk_has_room_for_what_was_said_and_a_way_out(
    open_page: OpenPage, server: FakeServer, world: World, width: int, height: int
) -> None:
    contact = at_work(world)[0]
    world.agent |= {"presence": "not_ready", "reason": "lunch"}
    page = await open_page(f"{server.url}/desk#ticket=crk_ana", width=width, height=height)
    await page.locator(f"[data-contact={contact}]").click()
    await expect(page.locator("#composer")).to_be_visible()
    await fits(page)
    said = await page.locator(".said").bounding_box()
    assert said is not None
    assert said["height"] >= 120
    await expect(page.get_by_role("button", name="Sign out")).to_be_in_viewport()
    for button in ("Sign out", "Ready"):
        assert await apart(page.locator(".connection"), page.get_by_role("button", name=button))
    assert await apart(page.locator(".connection"), page.locator(".tools"))
    await page.get_by_role("button", name="Accept").click()
    await server.got("accept")


@pytest.mark.parametrize(("width", "height"), [PHONE, TWICE], ids=["phone", "twice"])
async def test_the_wallboard_is_read_from_above_to_below(
    open_page: OpenPage, server: FakeServer, world: World, width: int, height: int
) -> None:
    busy(world)
    page = await open_page(f"{server.url}/wallboard#ticket=crk_sup", width=width, height=height)
    await page.wait_for_selector(".wall")
    await fits(page)
    rules = await page.get_by_role("button", name="Rules").bounding_box()
    assert rules is not None
    assert rules["width"] > rules["height"]  # letters beside each other
    await expect(page.get_by_role("button", name="Sign out")).to_be_in_viewport()
    await page.locator("[data-queue=care]").click()
    await expect(page.locator("[data-drill=queue]")).to_be_visible()
    await fits(page)


async def test_an_offer_is_seen_however_far_down_the_list_one_is(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    for number in range(40):
        reservation = world.offer("chat", f"Customer {number}", text="Hello")
        world.carry_out({"type": "accept", "reservation": reservation})
    page = await open_page(f"{server.url}/desk#ticket=crk_ana")
    last = page.locator(".row").last
    await last.scroll_into_view_if_needed()
    await last.click()
    world.offer("chat", "Newcomer", text="Hi")
    await expect(page.locator(".offer")).to_be_in_viewport(ratio=0.95)
    await expect(last).to_be_in_viewport()
    for name in ("Second", "Third", "Fourth"):
        world.offer("chat", name, text="Hi")
    await expect(page.locator(".offer")).to_have_count(4)
    await expect(page.get_by_role("button", name="Accept").first).to_be_in_viewport()
    await expect(last).to_be_in_viewport()
