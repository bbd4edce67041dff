"""The right column of the desk: the customer, the learned hint and its week, in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.web import fake_customer as fake
from tests.web.conftest import OpenPage
from tests.web.fake_server import FakeServer
from tests.web.fake_world import World

NINE = "9\u2060–\u206010"
"""Not to be broken between two lines."""
pytestmark = [pytest.mark.slow, pytest.mark.peer]


async def served(
    open_page: OpenPage, server: FakeServer, world: World, preference: Any, **more: Any
) -> Page:
    """A desk with one accepted contact of this customer."""
    world.customers["maria"] = {
        "profile": fake.profile("maria"),
        "preference": preference,
        "contacts": {"contacts": fake.past()},
    }
    reservation = world.offer(
        "chat", "Maria", text="My invoice is wrong.", customer="maria",
        segment_reason="customer.attributes.plan == 'family'",
    )  # fmt: skip
    world.carry_out({"type": "accept", "reservation": reservation})
    page = await open_page(f"{server.url}/desk#ticket=crk_ana", **more)
    await page.wait_for_selector(".desk")
    return page


async def test_the_hint_says_channel_hour_address_evidence_and_likelihood(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await served(open_page, server, world, fake.known("maria"))
    reach = page.get_by_role("region", name="How they are reached")
    await expect(reach.locator(".hint-title")).to_have_text(f"SMS works best: Tuesday {NINE}, …42")
    await expect(reach).to_contain_text(
        re.compile(r"8 of 10 reached, last \w{3},? \d+ \w{3} · came to us 3 times")
    )
    await expect(reach).to_contain_text("Likelihood 74–91 %")
    await expect(reach).to_contain_text("Hours are the customer's own: Europe/Lisbon")
    blocked = reach.locator(".blocked")
    await expect(blocked.nth(0)).to_contain_text(re.compile("voice …42: opted out.*no end set"))
    await expect(blocked.nth(1)).to_contain_text(re.compile("email …rg: contacted often.*until"))


async def test_who_it_is_what_they_agreed_to_and_the_last_contacts(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await served(open_page, server, world, fake.known("maria"))
    aside = page.get_by_role("complementary")
    await expect(aside.locator("h2")).to_have_text("Maria Sandoval")
    await expect(aside.locator(".segment")).to_have_text(
        "loyal because customer.attributes.plan == 'family'"
    )
    consent = page.get_by_role("region", name="Consent")
    await expect(consent.locator("li")).to_contain_text(
        ["Do not contact: voice, mobile", "Withdrawn: email, marketing", "Given: SMS, service"]
    )
    history = page.get_by_role("region", name="Last contacts")
    await expect(history).to_contain_text("14 in all")
    await expect(history.locator("li")).to_contain_text(
        ["Parked", "callback promised", "abandoned"]
    )


async def test_the_week_is_a_table_that_says_each_hour_and_goes_by_keyboard(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await served(open_page, server, world, fake.known("maria"))
    grid = page.get_by_role("grid", name="SMS: likelihood by weekday and hour")
    await expect(grid.get_by_role("gridcell")).to_have_count(7 * 24)
    await expect(grid.get_by_role("rowheader")).to_have_text(
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    )
    await expect(grid.locator("[data-best]")).to_have_attribute(
        "aria-label", "Tuesday 9–10: 86 %, recommended"
    )
    await expect(grid.locator("[tabindex='0']")).to_have_count(1)
    await expect(grid.locator("[data-cell='6-9']")).to_have_class("shut")
    await page.keyboard.press("l")
    await expect(grid.locator("[data-best]")).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowRight")
    await expect(grid.locator("[data-cell='2-10']")).to_be_focused()
    await expect(page.locator(".heat-told")).to_contain_text("Wednesday 10–11: ")
    await page.keyboard.press("Home")
    await expect(page.locator(".heat-told")).to_have_text("Wednesday 0–1: not permitted")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="email 2/4").click()
    other = page.get_by_role("grid", name="email: likelihood by weekday and hour")
    await expect(other.get_by_role("gridcell")).to_have_count(7 * 24)
    await expect(other.locator("[data-best]")).to_have_count(0)


async def test_little_evidence_and_none_are_said_in_words(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await served(open_page, server, world, fake.little("maria"))
    reach = page.locator(".reach")
    await expect(reach.locator(".hint-title")).to_have_text(
        f"Others like this: SMS, Tuesday {NINE}, …42"
    )
    await expect(reach).to_contain_text("Little evidence (2 attempts): from customers like this")
    await expect(reach).to_contain_text("Their time zone is not known: hours are ours.")
    world.customers["maria"]["preference"] = fake.blank("maria")
    await page.reload()
    await expect(reach.locator(".hint-title")).to_have_text(
        "No hour of the coming week is permitted."
    )
    await expect(reach).to_contain_text("Nothing is known of this customer yet.")
    await expect(reach.locator(".blocked")).to_contain_text("every channel: do not contact")
    del world.customers["maria"]
    await page.reload()
    await expect(reach).to_contain_text("Nothing is known of this customer yet.")
    await expect(page.get_by_role("region", name="Last contacts")).to_contain_text("None that we")


async def test_the_conversation_does_not_wait_and_a_failure_can_be_tried_again(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    server.slow.clear()
    page = await served(open_page, server, world, fake.known("maria"))
    await expect(page.locator(".reach")).to_have_attribute("aria-busy", "true")
    await page.locator("#composer").fill("Good morning")
    await page.keyboard.press("Enter")
    await server.got("send")
    await expect(page.locator(".message.from-agent")).to_contain_text("Good morning")
    server.broken.add("preference")
    server.slow.set()
    await expect(page.locator(".reach .problem")).to_contain_text("Could not be loaded: too much")
    await expect(page.locator(".aside h2")).to_have_text("Maria Sandoval")  # the others came
    server.broken.clear()
    await page.locator(".reach").get_by_role("button", name="Try again").click()
    await expect(page.locator(".hint-title")).to_contain_text("SMS works best")


async def test_who_comes_back_to_a_contact_sees_at_once_what_was_known(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await served(open_page, server, world, fake.known("maria"))
    await expect(page.locator(".hint-title")).to_contain_text("SMS works best")
    other = world.offer("chat", "Jonas", text="Hello")
    await page.wait_for_selector(f"[data-reservation={other}]")
    await page.keyboard.press("a")
    await expect(page.locator(".conversation .name")).to_have_text("Jonas")
    await expect(page.locator(".reach")).to_contain_text("Nothing is known of this customer yet.")
    server.slow.clear()
    first = next(id_ for id_, each in world.contacts.items() if each["customer"] == "maria")
    await page.locator(f"[data-contact={first}]").click()
    await expect(page.locator(".hint-title")).to_contain_text("SMS works best")
    server.slow.set()


async def test_the_hint_is_in_the_agents_language(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await served(open_page, server, world, fake.known("maria"), locale="de-DE", width=1000)
    reach = page.get_by_role("region", name="Erreichbarkeit")
    await expect(reach.locator(".hint-title")).to_have_text(
        f"SMS klappt am besten: Dienstag {NINE} Uhr, …42"
    )
    await expect(reach).to_contain_text("8 von 10 erreicht")
    await expect(reach).to_contain_text("Wahrscheinlichkeit 74–91 %")
    width = await page.evaluate("document.querySelector('.aside').scrollWidth")
    assert width <= 264  # nothing sticks out of the column


async def test_hostile_words_of_a_customer_stay_text(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    preference = fake.known("maria")
    preference["blocked"] = [{"channel": nasty, "address": nasty, "reason": nasty, "text": nasty}]
    preference["zone"] = nasty
    page = await served(open_page, server, world, preference)
    world.customers["maria"]["profile"] |= {
        "name": nasty, "language": nasty, "attributes": {nasty: nasty},
        "consents": [{"state": "given", "at_us": 1, "channel": nasty, "source": nasty}],
    }  # fmt: skip
    await page.reload()
    await expect(page.locator(".blocked").first).to_contain_text(nasty)
    await expect(page.locator(".aside h2")).to_have_text(nasty)
    assert await page.locator("img").count() == 0
