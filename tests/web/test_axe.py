"""Every page is free of what axe-core finds: names, roles, order, contrast, in light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.web import fake_customer
from tests.web.conftest import OpenPage
from tests.web.fake_board import busy
from tests.web.fake_server import FakeServer, now_us
from tests.web.fake_world import World
from tests.web.live import Demo
from tests.web.scenes import at_work

AXE = Path(__file__).parents[1] / "peers" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.peer,
    pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: .ci/servers brings it"),
    pytest.mark.parametrize("scheme", ["light", "dark"]),
]

RUN = """async () => {
    const found = await axe.run(document, { resultTypes: ["violations"] });
    return {
        rules: found.testEngine && found.passes.length,
        violations: found.violations.map(({ id, nodes }) => `${id} ×${nodes.length}: `
            + `${nodes[0].target.flat().join(" ")}: ${nodes[0].failureSummary}`),
    };
}"""


async def check(page: Page) -> None:
    """No rule of axe-core is broken on what the page shows now, all its rules being on."""
    # A colour that is still on its way from one to the other has the contrast of neither.
    await page.emulate_media(reduced_motion="reduce")
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = await page.evaluate(RUN)
    assert not found["violations"], "\n".join(found["violations"])
    assert found["rules"] > 10, "axe looked at nothing"


async def test_signing_in(open_page: OpenPage, server: FakeServer, scheme: str) -> None:
    page = await open_page(f"{server.url}/desk", scheme=scheme)
    await page.wait_for_selector(".signin")
    await check(page)
    await page.locator("button.link").click()
    await page.wait_for_selector("#ticket")
    await check(page)


async def test_the_start_page(open_page: OpenPage, server: FakeServer, scheme: str) -> None:
    page = await open_page(f"{server.url}/", scheme=scheme)
    await page.wait_for_selector(".ways")
    await check(page)


async def test_the_desk(open_page: OpenPage, server: FakeServer, world: World, scheme: str) -> None:
    page = await open_page(f"{server.url}/desk#ticket=crk_ana", width=1440, scheme=scheme)
    await page.wait_for_selector(".desk")
    await check(page)
    held = at_work(world)
    world.customers["maria"] = {
        "profile": fake_customer.profile("maria"),
        "preference": fake_customer.known("maria"),
        "contacts": {"contacts": fake_customer.past()},
    }
    server.slow.set()
    await page.locator(f"[data-contact={held[0]}]").click()
    await page.wait_for_selector(".heat")
    await page.wait_for_selector(".offer")
    await page.locator("#why").click()
    await page.locator(".aside .decision").first.wait_for()
    await check(page)
    await page.keyboard.press("v")
    await page.locator(f".row[data-contact={held[1]}]").click()
    await page.locator("#note").click()
    await check(page)
    await page.locator("#note-text").press("Escape")
    await page.locator(f".row[data-contact={held[0]}]").click()
    for key in "toeqnb":
        for each in ("Escape", "Escape", key):  # out of the sheet, out of the composer
            await page.keyboard.press(each)
        await page.wait_for_selector(".action-sheet")
        await check(page)
    for each in ("Escape", "Escape", "?"):
        await page.keyboard.press(each)
    await page.wait_for_selector("dialog[open]")
    await check(page)


async def test_a_message_on_its_way(
    open_page: OpenPage, server: FakeServer, world: World, scheme: str
) -> None:
    held = at_work(world)
    page = await open_page(f"{server.url}/desk#ticket=crk_ana", scheme=scheme)
    await page.locator(f"[data-contact={held[0]}]").click()
    server.silent = True
    await page.locator("#composer").fill("It is corrected.")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".unsent")
    await check(page)


async def test_the_wallboard(
    open_page: OpenPage, server: FakeServer, world: World, scheme: str
) -> None:
    busy(world)
    page = await open_page(
        f"{server.url}/wallboard#ticket=crk_sup", width=1440, height=900, scheme=scheme
    )
    await page.wait_for_selector(".wall")
    await check(page)
    await page.locator("[data-queue=care]").click()
    await page.wait_for_selector(".contact-line")
    await check(page)
    await page.locator(".contact-line").first.click()
    await page.get_by_text("Why?").click()
    await page.locator("#move").select_option("billing")
    await page.wait_for_selector(".confirmation")
    await check(page)
    await page.keyboard.press("Escape")
    await page.locator("[data-agent]").first.click()
    await page.wait_for_selector("[data-drill=agent]")
    await check(page)


async def test_the_chat_widget(open_page: OpenPage, demo: Demo, scheme: str) -> None:
    page = await open_page(
        f"{demo.url}/widget.html?channel=site&key=demo-site", width=400, scheme=scheme
    )
    box = page.get_by_label("Your message")
    await box.fill("Is my table there?")
    await box.press("Enter")
    await page.get_by_text("Is my table there?").wait_for()
    await check(page)
    sent = page.locator(".visitor:not([data-state=sending])")
    await sent.evaluate("(each) => each.dataset.state = 'sending'")
    await check(page)


async def test_reports_arrivals_and_rules_tried(
    open_page: OpenPage, demo: Demo, scheme: str
) -> None:
    body = {
        "channel": "email",
        "external_id": "m-1",
        "entry_point": "orders",
        "peer": {"address": "p@x.example", "name": "Priya"},
    }
    await demo.post("/v1/contacts", body)
    page = await open_page(demo.wallboard, width=1280, scheme=scheme)
    await page.wait_for_selector(".wall")
    await page.keyboard.press("r")
    await page.wait_for_selector(".report tbody tr")
    await check(page)
    await page.keyboard.press("a")
    await page.wait_for_selector(".heat")
    await check(page)
    await page.keyboard.press("w")
    await page.locator("[data-queue=sales]").click()
    await page.locator(".contact-line").first.click()
    await page.locator("#evaluate").click()
    await page.wait_for_selector(".verdict")
    await check(page)


async def test_both_pages_while_nothing_can_be_saved(
    open_page: OpenPage, server: FakeServer, world: World, scheme: str
) -> None:
    busy(world)
    for path, ticket, mode in (
        ("desk", "crk_ana", "agent"),
        ("wallboard", "crk_sup", "supervisor"),
    ):
        page = await open_page(f"{server.url}/{path}#ticket={ticket}", scheme=scheme)
        await page.wait_for_selector(f".{'wall' if path == 'wallboard' else path}")
        server.tell(mode, {"type": "store", "away": True, "since_us": 1})
        await page.wait_for_selector(".store-away span")
        await check(page)
        await page.close()


async def test_both_pages_while_channels_are_paused(
    open_page: OpenPage, server: FakeServer, world: World, scheme: str
) -> None:
    busy(world)
    world.paused = [
        {"channel": "sms", "at_us": now_us(), "by": "token:sue", "reason": "nonsense"},
        {"channel": "voice", "at_us": now_us(), "by": "token:sue"},
    ]
    desk = await open_page(f"{server.url}/desk#ticket=crk_ana", scheme=scheme)
    await desk.wait_for_selector(".pauses p")
    await check(desk)
    await desk.close()
    wall = await open_page(f"{server.url}/wallboard#ticket=crk_sup", scheme=scheme)
    await wall.wait_for_selector(".pauses p")
    await wall.keyboard.press("p")
    await wall.locator("[data-drill=channels] [data-channel=chat] button").click()
    await wall.wait_for_selector(".confirmation")
    await check(wall)
