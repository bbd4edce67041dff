"""Answers that come after the agent went on: they take away nothing that was begun meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import OpenPage
from tests.web.fake_board import busy
from tests.web.fake_server import FakeServer
from tests.web.fake_world import World
from tests.web.scenes import at_work

pytestmark = [pytest.mark.slow, pytest.mark.peer]

FIRST_KEY = """
    new MutationObserver((_, observer) => {
        if (!document.querySelector(".desk, .wall")) return;
        observer.disconnect();
        dispatchEvent(new KeyboardEvent("keydown", { key: "?" }));
    }).observe(document, { childList: true, subtree: true });
"""
"""Presses a key in the moment in which the page is drawn for the first time."""


async def desk(open_page: OpenPage, server: FakeServer) -> Page:
    page = await open_page(f"{server.url}/desk#ticket=crk_ana")
    await page.wait_for_selector(".desk")
    return page


async def answered(page: Page, server: FakeServer, late: str) -> None:
    """Let the late answer go out, and wait until the page has drawn what came after it."""
    server.late.pop(late).set()
    await page.keyboard.press("Alt+r")
    await expect(page.locator("#presence")).to_have_value("not_ready/break")


@pytest.mark.parametrize("path", ["desk#ticket=crk_ana", "wallboard#ticket=crk_sup"])
async def test_a_page_hears_its_keys_from_its_first_drawing_on(
    open_page: OpenPage, server: FakeServer, path: str
) -> None:
    page = await open_page("about:blank")
    await page.add_init_script(FIRST_KEY)
    await page.goto(f"{server.url}/{path}")
    await expect(page.get_by_role("dialog")).to_be_visible()


async def test_an_acceptance_answered_late_leaves_the_contact_that_was_chosen_meanwhile(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    _, jonas, _ = at_work(world)
    page = await desk(open_page, server)
    server.late["accept"] = asyncio.Event()
    await page.locator(".offer").get_by_role("button", name="Accept").click()
    await server.got("accept")
    await expect(page.locator(".offer")).to_have_count(0)
    await page.locator(f".row[data-contact={jonas}]").click()
    await answered(page, server, "accept")
    await expect(page.locator(".conversation .name")).to_have_text("Jonas Weber")


async def test_a_transfer_answered_late_leaves_the_sheet_that_was_opened_meanwhile(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    maria, *_ = at_work(world)
    page = await desk(open_page, server)
    server.late["transfer"] = asyncio.Event()
    await page.locator(f".row[data-contact={maria}]").click()
    await page.keyboard.press("t")
    await page.keyboard.type("billing")
    await page.keyboard.press("Enter")
    await server.got("transfer")
    await expect(page.locator(f".row[data-contact={maria}]")).to_have_count(0)
    await page.get_by_role("button", name="Complete").click()
    await page.get_by_label("Reason").fill("moved in the meantime")
    await answered(page, server, "transfer")
    await expect(page.get_by_label("Reason")).to_have_value("moved in the meantime")


async def test_a_note_that_is_written_on_while_it_is_saved_stays_open(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    maria, *_ = at_work(world)
    page = await desk(open_page, server)
    server.late["update"] = asyncio.Event()
    await page.locator(f".row[data-contact={maria}]").click()
    await page.locator("#note").click()
    await page.keyboard.type("Calls back")
    await page.keyboard.press("Control+Enter")
    saved = await server.got("update")
    assert saved["attributes"] == {"note": "Calls back"}
    await page.keyboard.type(" on Monday")
    await answered(page, server, "update")
    await expect(page.locator("#note-text")).to_have_value("Calls back on Monday")
    await page.keyboard.press("Control+Enter")
    saved = await server.got("update", 2)
    assert saved["attributes"] == {"note": "Calls back on Monday"}
    await expect(page.locator("#note-text")).to_have_count(0)


async def test_a_move_answered_late_leaves_the_question_that_was_asked_meanwhile(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    busy(world)
    page = await open_page(f"{server.url}/wallboard#ticket=crk_sup", width=1440, height=900)
    await page.wait_for_selector(".wall")
    late = server.late["move"] = asyncio.Event()
    await page.locator("[data-queue=care]").click()
    await page.locator(".contact-line").first.click()
    await page.locator("#move").select_option("billing")
    await page.get_by_role("button", name="Confirm").click()
    await server.got("move")
    await page.locator("#reprioritize").select_option("5")
    asked = page.get_by_role("alertdialog")
    await expect(asked).to_contain_text("5 more minutes")
    late.set()
    await expect(page.locator(".said-notices")).to_contain_text("Move")
    await page.get_by_role("button", name="Confirm").click()
    await server.got("reprioritize")
    await expect(asked).to_have_count(0)


async def test_a_key_that_undoes_what_is_not_answered_yet_is_heard_and_a_slip_is_not(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    at_work(world)
    page = await desk(open_page, server)
    late = server.late["presence"] = server.late["accept"] = asyncio.Event()
    await page.keyboard.press("a")
    await page.keyboard.press("a")
    await page.keyboard.press("r")
    await expect(page.locator("#presence")).to_have_value("not_ready/break")
    await page.keyboard.press("r")
    await expect(page.locator("#presence")).to_have_value("ready")
    sent = [each["type"] for each in server.commands]
    assert sent == ["accept", "presence", "presence"]
    late.set()


async def test_a_question_that_follows_one_not_answered_yet_is_confirmed_by_key_as_well(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    busy(world)
    page = await open_page(f"{server.url}/wallboard#ticket=crk_sup", width=1440, height=900)
    await page.wait_for_selector(".wall")
    late = server.late["presence"] = asyncio.Event()
    await page.locator("[data-agent]").first.click()
    drill = page.locator("[data-drill=agent]")
    for name, shown in (("Set: Ready", "Ready"), ("Set: Offline", "Offline")):
        await drill.get_by_role("button", name=name).click()
        await page.keyboard.press("Enter")
        await expect(drill.locator(".facts")).to_contain_text(shown)
    late.set()
    await expect(page.get_by_role("alertdialog")).to_have_count(0)
