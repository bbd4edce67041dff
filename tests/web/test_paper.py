"""What is printed is whole: nothing of it stays behind an edge that scrolls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.web.conftest import OpenPage
from tests.web.fake_board import busy
from tests.web.fake_server import FakeServer
from tests.web.fake_world import World

pytestmark = [pytest.mark.slow, pytest.mark.peer]

WHOLE = "(each) => each.scrollHeight <= each.clientHeight && each.scrollWidth <= each.clientWidth"


async def printed(page: Page, selector: str) -> dict[str, Any]:
    """The page as on paper; gives the place of an element on it."""
    await page.emulate_media(media="print")
    box = await page.locator(selector).last.bounding_box()
    assert box is not None
    return dict(box)


async def test_a_conversation_is_printed_whole(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    reservation = world.offer("chat", "Maria", text="Hello")
    contact = world.reservations[reservation]["contact"]
    world.carry_out({"type": "accept", "reservation": reservation})
    for line in range(40):
        world.customer_writes(contact, f"Line {line}")
    page = await open_page(f"{server.url}/desk#ticket=crk_ana")
    await expect(page.locator(".message")).to_have_count(41)
    first = await printed(page, ".day")
    last = await printed(page, "[data-message]")
    assert last["y"] - first["y"] > 1600
    assert await page.locator(".said").evaluate(WHOLE)
    await expect(page.locator(".top")).to_be_hidden()
    await expect(page.locator(".aside h2")).to_be_visible()


async def test_a_report_is_printed_whole(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    busy(world)
    rows = [
        {"start_us": 1_790_000_000_000_000 + n * 900_000_000, "queue": "care", "received": n}
        for n in range(200)
    ]
    report = {"by": ["queue"], "formulas": {}, "rows": rows, "total": {"received": 19_900}}

    async def answer(route: Route) -> None:
        await route.fulfill(body=json.dumps(report), content_type="application/json")

    page = await open_page(f"{server.url}/wallboard#ticket=crk_sup", width=1280)
    await page.wait_for_selector(".wall")
    await page.route("**/v1/reports?*", answer)
    await page.keyboard.press("r")
    await expect(page.locator(".report tbody tr")).to_have_count(200)
    total = await printed(page, ".report tfoot tr")
    assert total["y"] > 200 * 15
    assert await page.locator(".report-rows").evaluate(WHOLE)
    await expect(page.locator(".right")).to_be_hidden()
