"""Signing in with a name and a password, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import expect

from tests.api.site import Site, api_of, start
from tests.web.conftest import OpenPage

GOOD = "correct horse battery"
pytestmark = pytest.mark.slow


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    server = await start(tmp_path)
    async with aiohttp.ClientSession() as session:
        site = Site(server, api_of(server), session)
        admin = await site.client("admin")
        for name, role, agent in (("ana", "agent", "ana"), ("sue", "supervisor", "")):
            body = {"password": GOOD, "role": role, "agent": agent}
            assert (await admin("PUT", f"/v1/logins/{name}", body)).status == 200
        yield site
    await server.stop()


async def test_an_agent_types_name_and_password_and_works(site: Site, open_page: OpenPage) -> None:
    page = await open_page(f"{site.base}/desk")
    await expect(page.get_by_label("Name")).to_be_focused()
    await page.keyboard.type("ana")
    await page.get_by_label("Password").fill("not this one, no")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("This name and password do not fit.")
    await page.get_by_label("Password").fill(GOOD)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".desk")
    assert GOOD not in page.url
    kept = await page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert GOOD not in kept
    await page.reload()
    await page.wait_for_selector(".desk")


async def test_a_supervisor_lands_on_the_wallboard_and_an_agent_does_not(
    site: Site, open_page: OpenPage
) -> None:
    page = await open_page(f"{site.base}/wallboard")
    await page.get_by_label("Name").fill("sue")
    await page.get_by_label("Password").fill(GOOD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.wait_for_selector(".board, .headline")


async def test_a_link_works_as_before(site: Site, open_page: OpenPage) -> None:
    page = await open_page(f"{site.base}/desk")
    await page.get_by_role("button", name="I have a sign-in link").click()
    await page.get_by_label("Sign-in link").fill("crk_nonsense")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("no longer valid")
