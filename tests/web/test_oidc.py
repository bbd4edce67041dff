"""Signing in with the company's account, in a real browser, at a real identity provider."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.api.walk import company
from tests.web.conftest import OpenPage

pytestmark = [pytest.mark.peer, pytest.mark.slow]


async def at_provider(page: Page, login: str) -> None:
    """The provider's own pages: name and password, then its consent."""
    await page.get_by_placeholder("Enter any login").fill(login)
    await page.get_by_placeholder("and password").fill("hunter2 hunter2")
    await page.get_by_role("button", name="Sign-in").click()
    await page.get_by_role("button", name="Continue").click()


async def test_an_agent_signs_in_works_and_signs_out_here_and_there(
    tmp_path: Path, open_page: OpenPage
) -> None:
    async with company(tmp_path, backchannel=True) as (site, _, _person):
        base = f"http://localhost:{site.server.port}"
        page = await open_page(f"{base}/desk")
        way = page.get_by_role("link", name="Sign in with Oak ID")
        await expect(way).to_be_visible()
        await expect(page.get_by_label("Password")).to_have_count(0)
        await page.keyboard.press("Tab")
        await expect(way).to_be_focused()
        await page.keyboard.press("Enter")
        await at_provider(page, "ana-7")
        await page.wait_for_selector(".desk")
        assert page.url == f"{base}/desk", "neither code nor ticket stays in the address"
        await expect(page.locator(".me")).to_have_text("Ana")
        await page.get_by_role("button", name="Ready").click()
        await expect(page.get_by_label("Presence")).to_have_value("ready")
        await page.reload()
        await page.wait_for_selector(".desk")

        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_text("You are signed out here.")).to_be_visible()
        await page.get_by_role("link", name="Sign out of Oak ID too").click()
        await page.get_by_role("button", name="Yes, sign me out").click()
        await expect(page.get_by_text("You are not signed in.")).to_be_visible()
        # Out there as well: the provider asks for the name again.
        await page.get_by_role("link", name="Sign in with Oak ID").click()
        await expect(page.get_by_placeholder("Enter any login")).to_be_visible()


async def test_a_supervisor_whom_the_provider_knows_comes_in_at_once(
    tmp_path: Path, open_page: OpenPage
) -> None:
    async with company(tmp_path) as (site, _, _person):
        base = f"http://localhost:{site.server.port}"
        page = await open_page(f"{base}/desk")
        await page.get_by_role("link", name="Sign in with Oak ID").click()
        await at_provider(page, "sue-9")
        # No agent: said in words, and nothing is left in the address.
        await expect(page.get_by_role("alert")).to_have_text(
            "Your account has no access to this page. Ask your administrator for it."
        )
        assert page.url == f"{base}/desk"
        await page.goto(f"{base}/wallboard")
        await page.get_by_role("link", name="Sign in with Oak ID").click()
        await page.wait_for_selector(".headline")


async def test_passwords_stand_beside_it_where_somebody_has_one(
    tmp_path: Path, open_page: OpenPage
) -> None:
    async with company(tmp_path) as (site, _, _person):
        admin = await site.client("admin")
        body = {"password": "correct horse battery", "role": "agent", "agent": "ben"}
        assert (await admin("PUT", "/v1/logins/ben", body)).status == 200
        page = await open_page(f"http://localhost:{site.server.port}/desk", locale="de-DE")
        await expect(page.get_by_role("link", name="Mit Oak ID anmelden")).to_be_visible()
        await page.get_by_label("Name").fill("ben")
        await page.get_by_label("Passwort").fill("correct horse battery")
        await page.get_by_role("button", name="Anmelden", exact=True).click()
        await page.wait_for_selector(".desk")
        await page.get_by_role("button", name="Abmelden").click()
        await expect(page.get_by_text("Sie sind hier abgemeldet.")).to_be_visible()
        await expect(page.get_by_text("läuft weiter")).to_have_count(0)


async def test_a_provider_that_does_not_answer_keeps_nobody_else_out(
    tmp_path: Path, open_page: OpenPage
) -> None:
    async with company(tmp_path) as (site, identity, _person):
        identity._process.terminate()
        await identity._process.wait()
        page = await open_page(f"http://localhost:{site.server.port}/wallboard")
        await page.get_by_role("link", name="Sign in with Oak ID").click()
        await expect(page.get_by_role("alert")).to_have_text(
            "The company’s sign-in does not answer. Try again in a moment."
        )
        await expect(page.get_by_role("button", name="I have a sign-in link")).to_be_visible()
        assert (await site.anybody()("GET", "/readyz")).status == 200
