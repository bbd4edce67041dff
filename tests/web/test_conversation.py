"""What an agent sees and keeps while writing: the newest message, a note, a colleague's name."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import OpenPage
from tests.web.fake_server import FakeServer
from tests.web.fake_world import World

pytestmark = [pytest.mark.slow, pytest.mark.peer]


async def chatting(open_page: OpenPage, server: FakeServer, world: World) -> tuple[Page, str]:
    """A desk with a long chat that it has taken."""
    page = await open_page(f"{server.url}/desk#ticket=crk_ana")
    await page.wait_for_selector(".desk")
    reservation = world.offer("chat", "Maria", text="Hello")
    contact = str(world.reservations[reservation]["contact"])
    await page.wait_for_selector(".offer")
    await page.keyboard.press("a")
    await page.wait_for_selector("#composer")
    for line in range(30):
        world.customer_writes(contact, f"Line {line}")
    await expect(page.get_by_text("Line 29", exact=True).last).to_be_in_viewport()
    return page, contact


async def test_that_the_customer_types_is_seen_below_a_long_conversation(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page, contact = await chatting(open_page, server, world)
    await page.evaluate("Date.now = (now => () => now)(Date.now())")  # it is forgotten after 5 s
    server.tell("agent", {"type": "typing", "contact": contact})
    await expect(page.locator(".typing")).to_be_in_viewport(ratio=0.9)


async def test_who_reads_further_up_stays_there_until_they_write(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page, contact = await chatting(open_page, server, world)
    await page.locator(".said").evaluate("(each) => (each.scrollTop = 0)")
    await expect(page.get_by_text("Line 0", exact=True)).to_be_in_viewport()
    world.customer_writes(contact, "And one more")
    await expect(page.locator(".said")).to_contain_text("And one more")
    await expect(page.get_by_text("Line 0", exact=True)).to_be_in_viewport()
    await page.locator("#composer").fill("My answer")
    await page.keyboard.press("Enter")
    await expect(page.locator(".from-agent:not(.unsent)")).to_be_in_viewport(ratio=0.9)


async def test_enter_in_the_reason_transfers_too(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page, _contact = await chatting(open_page, server, world)
    await page.keyboard.press("t")
    await page.wait_for_selector("[data-sheet=transfer]")
    await page.keyboard.type("bill")
    await expect(page.locator("#destinations [role=option]")).to_have_count(1)
    await page.keyboard.press("Tab")
    await page.keyboard.type("asks about an invoice")
    await page.keyboard.press("Enter")
    moved = await server.got("transfer")
    assert (moved["queue"], moved["reason"]) == ("billing", "asks about an invoice")


async def test_a_word_of_an_input_method_ends_with_enter_and_transfers_nothing(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page, _contact = await chatting(open_page, server, world)
    await page.keyboard.press("t")
    field = page.locator("[data-sheet] [role=combobox]")
    await expect(field).to_be_focused()
    await field.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True})
    await page.keyboard.press("Escape")
    await expect(page.locator("[data-sheet]")).to_have_count(0)
    await page.locator("#composer").fill("Still mine")
    await page.keyboard.press("Enter")
    await server.got("send")
    assert not [each for each in server.commands if each["type"] == "transfer"]


async def test_escape_leaves_a_note_and_keeps_what_was_written(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page, _contact = await chatting(open_page, server, world)
    await page.keyboard.press("u")
    note = page.locator("#note-text")
    await expect(note).to_be_focused()
    await page.keyboard.type("Prefers to be called after six")
    await page.keyboard.press("Escape")
    await expect(note).to_have_count(0)
    await expect(page.locator(".note [data-draft]")).to_contain_text("after six")
    await page.keyboard.press("u")
    await expect(note).to_have_value("Prefers to be called after six")
    await page.get_by_role("button", name="Discard").click()
    await expect(page.locator(".note")).not_to_contain_text("after six")
    await page.keyboard.press("u")
    await expect(note).to_have_value("")
