"""Call controls of the desk, and a supervisor who listens: the pages on a real server with a PBX in
memory. What was done is looked up at that PBX."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from adapters.loopback import Line, Loopback
from router.api.auth import Role, Use, make_token
from router.app import Server
from tests.api.site import api_of, start
from tests.web.conftest import OpenPage

CONFIG = """
server: {durability: process}
workspaces:
  oak:
    adapters:
      pbx: {type: loopback, channel: voice, media: true}
      texts: {type: loopback, channel: sms}
      site: {type: loopback, channel: chat}
      mails: {type: loopback, channel: email}
    entry_points:
      hotline: {channel: voice, address: "+4930555100", queue: front}
      texting: {channel: sms, address: "+4930555300", queue: front}
      shop: {channel: chat, address: shop, queue: front}
      desk: {channel: email, address: help@example.com, queue: front}
    contacting: {windows: {always: {open: {mon-sun: "00:00-24:00"}}}}
    queues: {front: {}, experts: {}}
    profiles: {all: {front: 1}, gurus: {experts: 1}}
    agents:
      ana: {name: Ana, profile: all, endpoints: {voice: SIP/ana}}
      ben: {name: Ben, profile: gurus, endpoints: {voice: SIP/ben}}
      cy: {name: Cy Young, profile: gurus, endpoints: {voice: SIP/cy}}
"""


class House:
    """The server, and pages that are signed in."""

    def __init__(self, server: Server, open_page: OpenPage) -> None:
        self.server = server
        self.open_page = open_page

    def backend(self, name: str) -> Loopback:
        found = self.server.hosts["oak"].channels.get(name)
        assert isinstance(found, Loopback)
        return found

    async def page(self, path: str, role: Role, agent: str = "") -> Page:
        api = api_of(self.server)
        text, row = make_token(
            role, now_us=api.clock.now_us(), agent=agent, use=Use.TICKET, once=True, name="lead"
        )
        await api.tokens.add("oak", row)
        return await self.open_page(f"http://127.0.0.1:{self.server.port}/{path}#ticket={text}")

    async def desk(self, agent: str) -> Page:
        page = await self.page("desk", Role.AGENT, agent)
        await page.wait_for_selector(".desk")
        await page.locator("#presence").select_option("ready")
        await expect(page.locator(".connection")).to_have_attribute("data-state", "live")
        return page

    async def talking(self, page: Page) -> tuple[str, Line]:
        """A caller whom this desk has taken by its key."""
        receipt = await self.backend("pbx").arrive("+491701", to="+4930555100", name="Maria")
        await expect(page.locator(".offer")).to_be_visible()
        await page.keyboard.press("a")
        await expect(page.locator(".call")).to_have_attribute("data-state", "connected")
        [line] = self.backend("pbx").lines.values()
        return receipt.contact, line


@pytest.fixture
async def house(tmp_path: Path, open_page: OpenPage) -> AsyncIterator[House]:
    server = await start(tmp_path, CONFIG)
    yield House(server, open_page)
    await server.stop()


async def test_hold_consult_conference_and_hand_over_by_keyboard(house: House) -> None:
    ana, ben = await house.desk("ana"), await house.desk("ben")
    pbx = house.backend("pbx")
    _, line = await house.talking(ana)
    await ana.keyboard.press("h")
    await pbx.until(lambda: line.held)
    await expect(ana.get_by_role("button", name="Resume")).to_be_visible()
    await ana.keyboard.press("h")
    await pbx.until(lambda: not line.held)
    await ana.keyboard.press("o")
    await ana.keyboard.type("experts")
    await ana.keyboard.press("Enter")
    await expect(ben.locator(".offer")).to_contain_text("Maria")
    await ben.keyboard.press("a")
    await expect(ana.locator(".strip")).to_contain_text("Active")
    await expect(ana.get_by_role("button", name="Resume")).to_have_count(0)
    await ana.keyboard.press("f")
    await pbx.until(lambda: line.conference)
    await expect(ana.locator(".strip")).to_contain_text("hear each other")
    await expect(ana.locator(".row")).to_contain_text("conference")
    await ana.get_by_role("button", name="Apart again").click()
    await pbx.until(lambda: not line.conference)
    await ana.get_by_role("button", name="Hand over").click()
    await expect(ana.locator(".row")).to_have_count(0)
    await expect(ben.get_by_role("toolbar").get_by_text("Hold")).to_be_visible()
    # What the PBX is asked to do comes after what the pages are told.
    await pbx.until(lambda: [ring.endpoint for ring in pbx.rings.values()] == ["SIP/ben"])
    await pbx.until(lambda: line.hears() == list(pbx.rings))


async def test_what_is_recorded_is_seen_and_what_is_lost_too(house: House) -> None:
    page = await house.desk("ana")
    _, line = await house.talking(page)
    pbx = house.backend("pbx")
    await page.keyboard.press("c")
    await expect(page.locator(".recording")).to_have_text("· recording")
    await pbx.until(lambda: list(line.recordings.values()) == [True])
    await page.get_by_role("button", name="Pause recording").click()
    await expect(page.locator(".head")).to_contain_text("recording paused")
    await pbx.until(lambda: list(line.recordings.values()) == [False])
    await page.keyboard.press("c")
    await expect(page.locator(".recording")).to_be_visible()
    await pbx.lose_recording(next(iter(line.recordings)))
    await expect(page.locator(".recording")).to_have_count(0)
    await expect(page.get_by_role("button", name="Record")).to_be_visible()


async def test_a_chat_becomes_a_call_and_an_email_a_callback(house: House) -> None:
    page = await house.desk("ana")
    pbx, site, mails = house.backend("pbx"), house.backend("site"), house.backend("mails")
    await site.arrive("visitor-7", to="shop", text="Can we talk?", name="Maria")
    await expect(page.locator(".offer")).to_be_visible()
    await page.keyboard.press("a")
    await page.wait_for_selector("#composer")
    await page.get_by_role("button", name="Channel").click()
    sheet = page.locator("[data-sheet=switch_channel]")
    await expect(sheet.locator("#elsewhere")).to_have_value("voice")
    await sheet.get_by_label("Address").fill("+491701234542")
    await page.keyboard.press("Enter")
    await expect(page.locator(".call")).to_have_attribute("data-state", "connected")
    [line] = pbx.lines.values()
    assert line.customer.address == "+491701234542"
    await pbx.hang_up(line.external_id)
    await expect(page.locator(".row")).to_have_count(0)
    await mails.arrive("kim@example.org", to="help@example.com", text="Call me", name="Kim")
    await expect(page.locator(".offer")).to_be_visible()
    await page.keyboard.press("a")
    await page.wait_for_selector("#composer")
    await page.locator(".brand").click()
    await page.keyboard.press("b")
    sheet = page.locator("[data-sheet=callback]")
    await expect(sheet).to_contain_text("keeps its place")
    await sheet.get_by_role("button", name="Callback").click()
    await expect(page.locator(".notice")).to_contain_text("phone")
    await sheet.get_by_label("Address").fill("+491709999999")
    await page.keyboard.press("Enter")
    await expect(page.locator(".offer")).to_contain_text("Kim")
    await page.keyboard.press("a")
    await expect(page.locator(".call")).to_have_attribute("data-state", "connected")
    [line] = pbx.lines.values()
    assert (line.customer.address, line.customer.name) == ("+491709999999", "Kim")


async def test_a_supervisor_listens_whispers_and_stops(house: House) -> None:
    ana = await house.desk("ana")
    contact, line = await house.talking(ana)
    wall = await house.page(f"wallboard?contact={contact}", Role.SUPERVISOR)
    await wall.wait_for_selector(".board, main")
    await wall.evaluate(f"location.hash = 'contact={contact}'")
    listen = wall.locator(".listen")
    await expect(listen).to_be_visible()
    await expect(listen.get_by_role("button", name="Whisper")).to_be_disabled()
    await listen.locator("#listener").select_option("cy")
    await listen.get_by_role("button", name="Listen").click()
    await expect(listen.get_by_role("alertdialog")).to_contain_text("Nobody hears you")
    await wall.keyboard.press("Enter")
    pbx = house.backend("pbx")
    await pbx.until(lambda: bool(line.listeners))
    row = listen.locator("[data-monitor]")
    await expect(row).to_contain_text("Cy Young")
    await row.get_by_role("button", name="Whisper").click()
    await wall.keyboard.press("Enter")
    await pbx.until(lambda: line.agent_hears() == ["SIP/cy"])
    await expect(row).to_contain_text("Whisper")
    await row.get_by_role("button", name="Stop listening").click()
    await wall.keyboard.press("Enter")
    await pbx.until(lambda: not line.listeners)
    await expect(row).to_have_count(0)
    await expect(wall.locator(".timeline")).to_contain_text("Cy Young listens in: Whisper")
    await expect(ana.locator("body")).not_to_contain_text("Cy Young listens")
