"""A rule tried on the wallboard: written, corrected, and whom it would have moved today."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Page, Route, expect

from tests.api.site import Site, api_of, start
from tests.web.conftest import OpenPage
from tests.web.test_axe import AXE, check
from tests.web.test_reports import Wall

pytestmark = [pytest.mark.slow, pytest.mark.peer]

CONFIG = """
server: {durability: process}
workspaces:
  oak:
    segments:
      loud: {when: 'has(contact.attributes.topic) && contact.attributes.topic == "noise"'}
    rules:
      - {name: busy, when: queue.waiting > 6, then: {head_start: 10s}}
      - {name: noise, when: segment == "loud", then: {queue: billing}}
      - {name: calls, when: contact.channel == "voice", then: {set: {kind: call}, tier: 1}}
    hours: {always: {zone: ZONE, open: {mon-sun: 00:00-24:00}}}
    queues: {front: {hours: always}, billing: {require: {billing: 3}}}
    profiles: {all: {front: 1, billing: 1}}
    agents: {ana: {name: Ana, profile: all}}
"""
BILLS = """name: bills
when: contact.attributes.topic == "bill"
then: {queue: billing, require: {billing: 6}, head_start: 30s}
"""


def where_it_is_noon() -> str:
    """A zone in which today neither begins nor ends while a test runs."""
    east = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-east:+d}"  # POSIX counts westwards


@pytest.fixture
async def wall(tmp_path: Path, open_page: OpenPage) -> AsyncIterator[Wall]:
    server = await start(tmp_path, CONFIG.replace("ZONE", where_it_is_noon()))
    async with aiohttp.ClientSession() as session:
        yield Wall(server, Site(server, api_of(server), session), open_page)
    await server.stop()


async def some_contacts(wall: Wall) -> list[str]:
    admin = await wall.site.client("admin")
    made = []
    for channel, topic in (
        ("chat", "bill"), ("voice", "x"), ("sms", "noise"), ("voice", "bill"), ("email", "bill"),
    ):  # fmt: skip
        body = {
            "channel": channel, "queue": "front", "attributes": {"topic": topic},
            "peer": {"address": "+4930192837465", "name": "Kim Canarisch"},
        }  # fmt: skip
        answer = await admin("POST", "/v1/contacts", body)
        assert answer.status == 201, answer
        made.append(answer.body["contact"])
    return made


async def opened(wall: Wall, **options: object) -> Page:
    page = await wall.page(**options)
    await page.get_by_role("button", name="Rules", exact=True).click()
    await page.locator("#rule").wait_for()
    return page


async def kept(page: Page, name: str) -> None:
    """For whoever wants to look: a picture in the folder that PICTURES names."""
    if folder := os.environ.get("PICTURES"):
        await page.screenshot(path=f"{folder}/{name}.png", animations="disabled")


async def test_a_rule_is_written_tried_and_its_contacts_are_opened(wall: Wall) -> None:
    contacts = await some_contacts(wall)
    page = await opened(wall)
    await expect(page.locator(".empty")).to_contain_text("whom it would have moved today")
    assert await page.locator("#try").is_disabled()
    await page.locator("#rule").fill(BILLS)
    await page.locator("#try-place").select_option("before")
    assert await page.locator("#try").is_disabled(), "before which one?"
    await page.locator("#try-other").select_option("noise")
    await page.locator("#try").click()
    figure = page.locator("[data-figure]")
    await expect(figure.nth(2)).to_contain_text("3")
    assert await figure.locator("dd").all_text_contents() == ["5", "3", "3"]
    rows = page.locator(".moved tbody tr")
    await expect(rows).to_have_count(3)
    links = await rows.locator("a").evaluate_all("all => all.map((each) => each.hash)")
    assert links == [f"#contact={contacts[n]}" for n in (4, 3, 0)]
    await expect(rows.nth(1)).to_contain_text("calls")
    await expect(rows.nth(1)).to_contain_text("bills")
    changes = await rows.nth(2).locator(".changes li").all_inner_texts()
    assert "queue front → billing" in changes
    assert "require no special skills → billing 6" in changes
    assert "head_start 0s → 30s" in changes
    assert "Canarisch" not in await page.content()
    await expect(page.get_by_role("status").filter(has_text="treated differently")).to_have_text(
        "5 judged, the rule matches 3, 3 treated differently."
    )
    await kept(page, "moved")
    await rows.first.locator("a").click()
    await expect(page.locator("[data-drill=contact]")).to_contain_text("Kim Canarisch")
    await page.go_back()
    await expect(rows).to_have_count(3)
    await expect(page.locator("#rule")).to_have_value(BILLS)
    await page.reload()
    await expect(page.locator("#rule")).to_have_value(BILLS)
    await expect(page.locator("#try-other")).to_have_value("noise")


async def test_what_is_wrong_stands_under_its_place(wall: Wall) -> None:
    page = await opened(wall)
    wrong = 'name: bills\nwhen: contact.chanel == "sms"\nthen: {queue: biling, teir: 3}'
    await page.locator("#rule").fill(wrong)
    await page.locator("#rule").press("Control+Enter")
    told = page.get_by_role("alert")
    await expect(told).to_contain_text("3 things are wrong")
    found = told.locator("ol > li")
    assert await found.locator("p").all_inner_texts() == [
        "Line 2, column 15: when: contact has no field 'chanel', did you mean 'channel'?",
        "Line 3, column 15: then.queue: unknown queue 'biling', did you mean 'billing'?",
        "Line 3, column 23: then: unknown key 'teir', did you mean 'tier'?",
    ]
    excerpts = [text.split("\n") for text in await found.locator("pre").all_text_contents()]
    assert [line.rstrip() for line in excerpts[0]] == [
        '    contact.chanel == "sms"', "            ^^^^^^",
    ]  # fmt: skip
    for (line, caret), word in zip(excerpts[1:], ("biling", "teir"), strict=True):
        assert line[caret.index("^") :].startswith(word)
    family = await found.locator("pre").first.evaluate(
        "(each) => getComputedStyle(each).fontFamily"
    )
    assert "mono" in family.lower()
    await kept(page, "wrong")
    await page.locator("#rule").fill("{name: busy, then: {tier: 1}}")
    await page.locator("#try").click()
    await expect(told).to_contain_text("there is a rule 'busy' already")
    # What is put right is not wrong any more.
    await page.locator("#rule").fill("{name: tiers, then: {tier: 1}}")
    await page.locator("#try").click()
    await expect(page.locator(".found")).to_contain_text("No contact has come in today.")
    await expect(told).to_have_count(0)


async def test_a_rule_in_force_is_changed_from_what_it_says(wall: Wall) -> None:
    await some_contacts(wall)
    page = await opened(wall)
    await page.locator("#try-place").select_option("instead_of")
    await page.locator("#try-other").select_option("noise")
    rule = page.locator("#rule")
    await expect(rule).to_have_value(
        'name: noise\nwhen: segment == "loud"\nthen:\n  queue: billing\n'
    )
    await page.locator("#try").click()
    await expect(page.locator(".found")).to_contain_text("It would have moved nobody.")
    await kept(page, "nobody")
    await page.locator("#try-other").select_option("calls")  # nothing was typed: the next one's
    await expect(rule).to_have_value('name: calls\nwhen: contact.channel == "voice"\nthen:\n'
                                     '  tier: 1\n  set: {"kind": "call"}\n')  # fmt: skip
    mine = "name: calls\nwhen: queue.waiting > 3\nthen: {tier: 7}\n"
    await rule.fill(mine)
    await page.locator("#try-other").select_option("busy")
    await expect(rule).to_have_value(mine)
    await page.locator("#try-other").select_option("calls")
    await page.locator("#try").click()
    limits = page.locator(".limits li")
    await expect(limits.first).to_contain_text(
        "what queue.waiting was at that moment is not recorded"
    )
    await expect(page.locator(".found .empty")).to_have_text(
        "It would have moved nobody of those judged."
    )
    await kept(page, "limits")


async def test_while_it_is_tried_nobody_asks_twice(wall: Wall) -> None:
    await some_contacts(wall)
    page = await opened(wall)
    asked: list[Route] = []

    async def hold(route: Route) -> None:
        asked.append(route)

    await page.route("**/v1/rules:try", hold)
    await page.locator("#rule").fill(BILLS)
    async with page.expect_request("**/v1/rules:try"):
        await page.locator("#rule").press("Control+Enter")
    button = page.locator("#try")
    await expect(button).to_have_text("Trying …")
    await expect(button).to_be_disabled()
    await page.locator("#rule").press("Control+Enter")
    await kept(page, "busy")
    assert len(asked) == 1
    await asked[0].continue_()
    await expect(button).to_be_enabled()
    await expect(page.locator(".moved tbody tr")).to_have_count(2)
    assert len(asked) == 1


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: .ci/servers brings it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everybody_can_use_it(wall: Wall, scheme: str) -> None:
    await some_contacts(wall)
    page = await opened(wall, scheme=scheme, width=1280)
    await check(page)
    await page.locator("#rule").fill(BILLS)
    await page.locator("#try-place").select_option("before")
    await page.locator("#try-other").select_option("busy")
    await page.locator("#try").click()
    await page.locator(".moved").wait_for()
    await check(page)
    await kept(page, f"moved-{scheme}")
    await page.locator("#rule").fill("{name: x, when: contact.chanel == 'a', then: {teir: 3}}")
    await page.locator("#try").click()
    await page.locator(".wrong").wait_for()
    await check(page)
    await kept(page, f"wrong-{scheme}")
    await page.locator("#rule").fill("{name: x, when: queue.ready == 0, then: {tier: 3}}")
    await page.locator("#try").click()
    await page.locator(".limits").wait_for()
    await check(page)


async def test_it_is_used_in_german_by_keyboard_on_a_tablet(wall: Wall) -> None:
    await some_contacts(wall)
    page = await wall.page(locale="de-DE", width=1000, height=700)
    await page.keyboard.press("t")
    await page.locator("#rule").focus()
    await page.keyboard.type("{name: alle, then: {queue: billing}}")
    await page.keyboard.press("Tab")
    await page.keyboard.press("v")
    await expect(page.locator("#try-place")).to_have_value("before")
    await page.keyboard.press("Tab")
    await page.keyboard.press("b")
    await expect(page.locator("#try-other")).to_have_value("busy")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-figure=moved]")).to_have_text("Anders behandelt4")
    await expect(page.locator(".limits")).to_contain_text("'noise' is never reached")
    over = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not over, "it is wider than the screen"
    await kept(page, "german")
