"""The wallboard on a real server: reports, arrivals, rules that are tried, channels in trouble."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from playwright.async_api import Page, expect

from adapters.loopback import Loopback
from router.api.auth import Role, Use, make_token
from router.app import Server
from router.runtime.clock import SystemClock
from tests.api.site import Site, api_of, start
from tests.web.conftest import OpenPage

pytestmark = [pytest.mark.slow, pytest.mark.peer]

CONFIG = """
server: {durability: process}
workspaces:
  oak:
    adapters:
      phones: {type: remote, channel: voice}
      texts: {type: loopback, channel: sms}
    entry_points:
      texting: {channel: sms, address: "+4930555300", queue: front}
    segments:
      loud: {when: 'has(contact.attributes.topic) && contact.attributes.topic == "noise"'}
    rule_match: all
    rules:
      - name: noise-to-billing
        when: segment == "loud"
        then: {queue: billing}
      - {name: others, when: contact.channel == "voice", then: {tier: 0}}
    queues: {front: {}, billing: {}}
    profiles: {all: {front: 1, billing: 1}}
    agents: {ana: {name: Ana, profile: all, auto_accept: [sms]}}
"""


TODAY = datetime(2027, 6, 15, 10, 20, tzinfo=ZoneInfo("Europe/Berlin"))
"""By the server's clock, which pages follow: no hour and no day ends while a test runs."""


class Wall:
    """The server, its loopback, and a supervisor's page and client."""

    def __init__(self, server: Server, site: Site, open_page: OpenPage) -> None:
        self.server = server
        self.site = site
        self.open_page = open_page

    @property
    def texts(self) -> Loopback:
        found = self.server.hosts["oak"].channels.get("texts")
        assert isinstance(found, Loopback)
        return found

    async def page(self, **options: Any) -> Page:
        api = api_of(self.server)
        text, row = make_token(
            Role.SUPERVISOR, now_us=api.clock.now_us(), use=Use.TICKET, once=True, name="lead"
        )
        await api.tokens.add("oak", row)
        url = f"{self.site.base}/wallboard#ticket={text}"
        page = await self.open_page(url, **{"width": 1440, "height": 900, **options})
        await page.wait_for_selector(".wall")
        return page


@pytest.fixture
async def wall(tmp_path: Path, open_page: OpenPage) -> AsyncIterator[Wall]:
    off_ns = int(TODAY.timestamp() * 1e9) - time.time_ns()
    clock = SystemClock(wall_ns=lambda: time.time_ns() + off_ns)
    server = await start(tmp_path, CONFIG, clock)
    async with aiohttp.ClientSession() as session:
        yield Wall(server, Site(server, api_of(server), session), open_page)
    await server.stop()


async def some_contacts(wall: Wall) -> list[str]:
    """Two that ana answers, then one that waits, of the segment `loud`."""
    ana = await wall.site.client("agent")
    assert (await ana("POST", "/v1/agents/ana:presence", {"presence": "ready"})).status == 200
    made = [(await wall.texts.arrive(f"+4917{n}", to="+4930555300", text="hi")) for n in range(2)]
    assert (await ana("POST", "/v1/agents/ana:presence", {"presence": "offline"})).status == 200
    made.append(
        await wall.texts.arrive(
            "+49179", to="+4930555300", text="Noise!", attributes={"topic": "noise"}
        )
    )
    return [each.contact for each in made]


async def test_a_report_says_what_the_server_counts_and_comes_as_a_file(wall: Wall) -> None:
    await some_contacts(wall)
    page = await wall.page()
    await page.keyboard.press("r")
    rows = page.locator(".report tbody tr")
    await expect(rows).to_have_count(2)
    heads = await page.locator(".report thead th").all_text_contents()
    cells = {
        (await row.locator("td").all_text_contents())[0]: dict(
            zip(heads[1:], await row.locator("td").all_text_contents(), strict=True)
        )
        for row in await rows.all()
    }
    assert (cells["front"]["Received"], cells["front"]["Answered"]) == ("2", "2")
    assert cells["front"]["Service level"] == "100 %"
    assert (cells["billing"]["Received"], cells["billing"]["Service level"]) == ("1", "–")
    level = page.locator(".report thead th", has_text="Service level")
    assert "SL6" in (await level.get_attribute("title") or "")

    await page.locator("#by").select_option("agent")
    await expect(page.locator(".report tbody tr").first).to_contain_text("ana")
    await page.locator("#by").select_option("queue,channel")
    await expect(page.locator(".report tbody tr").first).to_contain_text("SMS")
    few = await page.locator(".report thead th").count()
    await page.locator("#all-measures").check()
    await expect(page.locator(".report thead th").nth(few + 10)).to_be_visible()
    await page.locator("#interval").select_option("86400")
    day = page.locator(".report tbody th").first
    await expect(day).not_to_contain_text(":")
    async with page.expect_download() as downloading:
        await page.locator("#csv").click()
    path = await (await downloading.value).path()
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("start,queue,channel,received,")
    assert {tuple(line.split(",")[1:4]) for line in lines[1:]} == {
        ("front", "sms", "2"),
        ("billing", "sms", "1"),
    }
    assert "crt_" not in page.url
    await page.locator("#span").select_option("yesterday")
    await expect(page.locator("[data-view=reports]")).to_contain_text("Nothing was counted")
    await page.keyboard.press("Escape")
    await page.locator("body").click(position={"x": 2, "y": 2})
    await page.keyboard.press("Escape")
    await expect(page.locator("[data-queue=front]")).to_be_visible()


async def test_arrivals_stand_at_their_weekday_and_hour(wall: Wall) -> None:
    await some_contacts(wall)
    page = await wall.page()
    await page.get_by_role("button", name="Arrivals", exact=True).click()
    cell = page.locator("[data-cell='1-10']")
    await expect(cell).to_have_attribute("data-best", "yes")
    assert "3 in all" in (await cell.get_attribute("aria-label") or "")
    await page.locator("#arrivals-of").select_option("billing")
    words = "Tuesday 10–11: 0.3 a week, 1 in all, the most"
    await expect(cell).to_have_attribute("aria-label", words)
    # By keyboard: one stop, then arrows.
    await page.locator(".heat [tabindex='0']").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("[data-cell='0-10']")).to_be_focused()
    await expect(page.locator(".heat-told")).to_contain_text("Monday 10–11")
    await page.reload()
    await expect(page.locator("[data-view=arrivals]")).to_be_visible()


async def test_the_rules_are_tried_on_a_contact_and_nothing_happens_to_it(wall: Wall) -> None:
    contacts = await some_contacts(wall)
    page = await wall.page()
    await page.locator("[data-queue=billing]").click()
    await page.locator(f"[data-contact={contacts[2]}]").click()
    await expect(page.locator("[data-event=ContactQueued]").first).to_be_visible()
    before = await page.locator(".timeline li").count()
    await page.locator("#evaluate").click()
    tried = page.locator(".evaluated")
    await expect(tried).to_contain_text("queue billing")
    await expect(tried).to_contain_text("loud")
    verdicts = page.locator(".verdict")
    await expect(verdicts.first).to_contain_text("noise-to-billing matches")
    await expect(verdicts.first).to_contain_text("does: queue billing")
    await expect(verdicts.nth(1)).to_contain_text("others does not match")
    await expect(verdicts.nth(1)).to_contain_text('contact.channel = "sms"')
    await expect(tried).to_contain_text("contact-router replay")
    assert await page.locator(".timeline li").count() == before


async def test_a_channel_that_is_down_is_seen_from_across_the_room(wall: Wall) -> None:
    page = await wall.page()
    tile = page.locator(".tile.channels")
    await expect(tile).to_have_attribute("data-worst", "down")
    await expect(tile.locator(".tile-value")).to_have_text("1 down")
    size = await tile.locator(".tile-value").evaluate("(each) => getComputedStyle(each).fontSize")
    assert float(size.removesuffix("px")) >= 28
    first = tile.locator("li").first
    await expect(first).to_have_attribute("data-channel", "phones")
    await expect(first).to_contain_text("down")
    await expect(page.locator(".attention-list")).to_contain_text("phones is down")
    calm = await tile.evaluate("(each) => getComputedStyle(each).backgroundColor")
    phones = await wall.site.client("adapter")
    async with phones.socket("/v1/channels/phones", protocols=["contact-router.v1.json"]) as link:
        await link.send_json({"type": "hello", "token": phones.token})
        await expect(tile).not_to_have_attribute("data-worst", "down")
        await expect(tile).not_to_have_css("background-color", calm)
    await expect(tile).to_have_attribute("data-worst", "down")
