"""The pictures of README and docs, from scripted data. REWRITE=1 keeps them in docs/pictures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page

from tests.web import fake_customer
from tests.web.conftest import OpenPage
from tests.web.fake_board import busy
from tests.web.fake_server import FakeServer
from tests.web.fake_world import World
from tests.web.scenes import at_work

pytestmark = [pytest.mark.slow, pytest.mark.peer]

Picture = Callable[[Page, str], Awaitable[None]]
SIZES = [
    pytest.param("light", 1280, 800, id="light"),
    pytest.param("dark", 1280, 800, id="dark"),
    pytest.param("light", 820, 1180, id="tablet"),
]


@pytest.mark.parametrize(("scheme", "width", "height"), SIZES)
async def test_a_picture_of_the_desk(
    open_page: OpenPage, server: FakeServer, world: World, picture: Picture,
    scheme: str, width: int, height: int,
) -> None:  # fmt: skip
    first = at_work(world)[0]
    world.customers["maria"] = {
        "profile": fake_customer.profile("maria"),
        "preference": fake_customer.known("maria"),
        "contacts": {"contacts": fake_customer.past()},
    }
    page = await open_page(
        f"{server.url}/desk#ticket=crk_ana", width=width, height=height, scheme=scheme
    )
    await page.locator(f"[data-contact={first}]").click()
    await page.locator("#composer").fill("You are right: it is on the invoice twice. I have")
    await page.wait_for_selector(".offer")
    if width > 960:
        await page.wait_for_selector(".hint-title")
    await picture(page, f"desk-{'tablet' if width < 1000 else scheme}")


@pytest.mark.parametrize(("scheme", "width", "height"), SIZES)
async def test_a_picture_of_the_wallboard(
    open_page: OpenPage, server: FakeServer, world: World, picture: Picture,
    scheme: str, width: int, height: int,
) -> None:  # fmt: skip
    busy(world)
    page = await open_page(
        f"{server.url}/wallboard#ticket=crk_sup", width=width, height=height, scheme=scheme
    )
    await page.wait_for_selector(".wall")
    world.delta(events=world.events["c0000"][2:4])
    await page.wait_for_selector(".log-line")
    if scheme == "dark":
        await page.locator("[data-queue=care]").click()
        await page.locator(".contact-line").first.click()
        await page.get_by_text("Why?").click()
    await picture(page, f"wallboard-{'tablet' if width < 1000 else scheme}")


async def test_a_picture_of_the_start_page(
    open_page: OpenPage, server: FakeServer, picture: Picture
) -> None:
    page = await open_page(f"{server.url}/")
    await page.wait_for_selector(".ways")
    await picture(page, "start")
