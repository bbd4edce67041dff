"""The agent's own numbers at the top of the desk."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.web.conftest import OpenPage
from tests.web.fake_server import FakeServer, now_us
from tests.web.fake_world import World

pytestmark = [pytest.mark.slow, pytest.mark.peer]


async def test_an_agent_sees_the_numbers_of_the_shift_with_their_formulas(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await open_page(f"{server.url}/desk#ticket=crk_ana", width=1440, height=900)
    numbers = page.locator(".numbers")
    await expect(numbers).to_have_text("Handled12Mean3:04Missed1Busy71 %")
    busy = await numbers.locator("[data-number=occupancy]").get_attribute("title")
    assert (busy or "").startswith("(handling + wrap-up) / (handling + wrap-up + available) · ")
    shift = world.shift | {"handled": 13, "aht_us": 200_000_000}
    server.tell("agent", {"type": "tick", "epoch": 1, "seq": 1, "now_us": now_us(), "shift": shift})
    await expect(numbers).to_contain_text("Handled13Mean3:20")


async def test_before_anything_was_handled_a_mean_is_a_dash(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    world.shift |= {"handled": 0, "aht_us": None, "missed": 0, "occupancy": None}
    page = await open_page(f"{server.url}/desk#ticket=crk_ana", width=1440, height=900)
    await expect(page.locator(".numbers")).to_have_text("Handled0Mean–Missed0Busy–")
