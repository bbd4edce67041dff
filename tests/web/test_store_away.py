"""Both pages say calmly that nothing can be saved, and stop saying so when it is over."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.web.conftest import OpenPage
from tests.web.fake_board import busy
from tests.web.fake_server import FakeServer, now_us
from tests.web.fake_world import World

pytestmark = [pytest.mark.slow, pytest.mark.peer]

ENGLISH = "Nothing can be saved at the moment. Calls go on; what you do is tried again."
GERMAN = "Im Moment lässt sich nichts speichern. Gespräche laufen weiter"
AWAY = {"type": "store", "away": True}
BACK = {"type": "store", "away": False}


async def test_the_desk_says_that_nothing_can_be_saved_and_tries_again_what_was_done(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await open_page(f"{server.url}/desk#ticket=crk_ana")
    await page.wait_for_selector(".desk")
    region = page.locator(".middle .store-away[role=status]")
    await expect(region).to_have_count(1)  # there before its words are, or they are not read out
    await expect(region).to_be_empty()
    server.tell("agent", AWAY | {"since_us": now_us()})
    await expect(region).to_have_text(ENGLISH)
    server.refuse["presence"] = {"code": "store_full", "text": "no store"}
    await page.keyboard.press("r")
    first = await server.got("presence")
    again = await server.got("presence", 2)
    assert again == first, "the same command under the same cid"
    await expect(page.locator(".notice")).to_have_count(0)
    server.tell("agent", BACK)
    await expect(region).to_be_empty()
    # A new connection knows nothing of it until it is told.
    server.tell("agent", AWAY | {"since_us": now_us()})
    await expect(region).to_have_text(ENGLISH)
    await server.cut()
    await expect(page.locator(".connection")).to_have_attribute("data-state", "live")
    await expect(region).to_be_empty()


async def test_the_wallboard_says_it_in_german_and_loses_nothing_of_its_board(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    busy(world)
    page = await open_page(
        f"{server.url}/wallboard#ticket=crk_sup", width=1440, height=900, locale="de-DE"
    )
    await page.wait_for_selector(".wall")
    region = page.locator(".store-row .store-away[role=status]")
    await expect(region).to_be_empty()
    server.tell("supervisor", AWAY | {"since_us": now_us()})
    await expect(region).to_contain_text(GERMAN)
    headline = await page.locator(".headline").bounding_box()
    said = await region.bounding_box()
    assert headline is not None
    assert said is not None
    assert said["y"] + said["height"] <= headline["y"], "above the board, not over it"
    server.tell("supervisor", BACK)
    await expect(region).to_be_empty()


async def test_a_page_that_cannot_come_in_says_why(open_page: OpenPage, server: FakeServer) -> None:
    server.first = AWAY | {"since_us": now_us()}
    page = await open_page(f"{server.url}/desk#ticket=crk_ana")
    await expect(page.locator(".waiting .store-away")).to_have_text(ENGLISH)
    server.first = {}
    await page.wait_for_selector(".desk")
    await expect(page.locator(".store-away")).to_be_empty()
