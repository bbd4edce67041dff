"""A desk that is opened twice, left, or changed by somebody else: on a real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from adapters.loopback import Loopback
from router.api.auth import Role, Use, make_token
from router.app import Server
from router.core.model import AgentId, Presence
from tests.api.site import api_of, start
from tests.web.conftest import OpenPage

pytestmark = [pytest.mark.slow, pytest.mark.peer]

CONFIG = """
server: {durability: process}
workspaces:
  oak:
    adapters: {texts: {type: loopback, channel: sms}}
    entry_points: {texting: {channel: sms, address: "+4930555300", queue: front}}
    queues: {front: {wrap_up: 600s}}
    profiles: {all: {front: 1}}
    agents: {ana: {name: Ana, profile: all}}
"""


class House:
    """The server, and pages that are signed in."""

    def __init__(self, server: Server, open_page: OpenPage) -> None:
        self.server = server
        self.open_page = open_page

    @property
    def presence(self) -> Presence:
        return self.server.hosts["oak"].workspace.engine.state.agents[AgentId("ana")].presence

    async def page(self, path: str, role: Role, agent: str = "") -> Page:
        api = api_of(self.server)
        text, row = make_token(
            role, now_us=api.clock.now_us(), agent=agent, use=Use.TICKET, once=True, name="lead"
        )
        await api.tokens.add("oak", row)
        return await self.open_page(f"http://127.0.0.1:{self.server.port}/{path}#ticket={text}")

    async def desk(self) -> Page:
        page = await self.page("desk", Role.AGENT, "ana")
        await page.wait_for_selector(".desk")
        await page.locator("#presence").select_option("ready")
        await expect(page.locator(".top [data-state=live]")).to_be_visible()
        await expect(page.get_by_role("button", name="Ready")).to_have_count(0)
        return page

    async def writing(self, desk: Page) -> None:
        """A customer writes, and the desk takes the contact."""
        texts = self.server.hosts["oak"].channels.get("texts")
        assert isinstance(texts, Loopback)
        await texts.arrive("+491701", to="+4930555300", text="Hello", name="Maria")
        await expect(desk.locator(".offer")).to_be_visible()
        await desk.keyboard.press("a")
        await expect(desk.locator("#composer")).to_be_visible()


@pytest.fixture
async def house(tmp_path: Path, open_page: OpenPage) -> AsyncIterator[House]:
    server = await start(tmp_path, CONFIG)
    yield House(server, open_page)
    await server.stop()


async def doubled(page: Page) -> Page:
    """The same tab once more, as a browser doubles it: with all that it remembers."""
    held = await page.evaluate("JSON.stringify(sessionStorage)")
    other = await page.context.new_page()
    await other.add_init_script(
        f"if (!sessionStorage.length) Object.assign(sessionStorage, {json.dumps(json.loads(held))})"
    )
    await other.goto(page.url)
    return other


async def test_a_desk_that_was_opened_again_elsewhere_does_not_look_alive(house: House) -> None:
    first = await house.desk()
    await house.writing(first)
    await first.locator("#composer").fill("I am half way thr")
    second = await doubled(first)
    await second.wait_for_selector(".desk")
    await expect(first.get_by_role("heading", name="Open in another tab")).to_be_visible()
    await expect(first.locator("#composer, #presence")).to_have_count(0)
    await expect(first).to_have_title("Open in another tab · contact-router")
    await expect(second.locator("#composer")).to_have_value("I am half way thr")
    await first.get_by_role("button", name="Use here").click()
    await expect(first.locator("#composer")).to_have_value("I am half way thr")
    await expect(second.get_by_role("heading", name="Open in another tab")).to_be_visible()


async def test_a_wallboard_that_was_opened_again_elsewhere_shows_no_old_numbers(
    house: House,
) -> None:
    first = await house.page("wallboard", Role.SUPERVISOR)
    await first.wait_for_selector(".wall")
    second = await doubled(first)
    await second.wait_for_selector(".wall")
    await expect(first.get_by_role("heading", name="Open in another tab")).to_be_visible()
    await expect(first.locator(".wall")).to_have_count(0)


async def test_who_signs_out_is_offline_and_not_a_desk_that_was_lost(house: House) -> None:
    page = await house.desk()
    wall = await house.page("wallboard", Role.SUPERVISOR)
    await expect(wall.locator("[data-agent=ana][data-presence=ready]")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("You are signed out here.")).to_be_visible()
    await expect(wall.locator("[data-agent=ana][data-presence=offline]")).to_be_visible()
    assert house.presence is Presence.OFFLINE
    await expect(wall.locator(".attention-list")).to_have_count(0)


async def test_who_still_holds_a_contact_is_told_so_before_the_way_out(house: House) -> None:
    page = await house.desk()
    await house.writing(page)
    leave = page.get_by_role("button", name="Sign out")
    await leave.click()
    await expect(page.locator(".notice")).to_contain_text("You still hold 1 contact.")
    await page.locator("#composer").fill("Still here")
    assert house.presence is Presence.READY
    await leave.click()
    await expect(page.get_by_text("You are signed out here.")).to_be_visible()
    # Not offline: the contact goes back to its queue as those of a lost desk do.
    assert house.presence is not Presence.OFFLINE


async def test_an_agent_is_told_when_a_supervisor_changes_their_presence(house: House) -> None:
    page = await house.desk()
    wall = await house.page("wallboard", Role.SUPERVISOR)
    await wall.locator("[data-agent=ana]").click()
    await wall.get_by_role("button", name="Set: Not ready").click()
    await wall.get_by_role("button", name="Confirm").click()
    await expect(page.locator(".notice")).to_contain_text("lead changed your presence: Not ready")
    await page.locator("#presence").select_option("not_ready/lunch")
    await expect(page.locator("#presence")).to_have_value("not_ready/lunch")
    await expect(page.locator(".notice")).to_have_count(1)


async def test_wrap_up_goes_on_saying_whom_it_is_about(house: House) -> None:
    page = await house.desk()
    await house.writing(page)
    await page.keyboard.press("e")
    await page.keyboard.press("Enter")
    wrap_up = page.locator(".wrap-up")
    await expect(wrap_up).to_contain_text("completed")
    await expect(page.locator(".conversation .name")).to_have_text("Maria")
    await expect(page.locator(".aside h2")).to_have_text("Maria")
    await expect(page.locator(".aside")).to_contain_text("+491701")
    await expect(page.locator("[data-group=wrapping] .row")).to_contain_text("Maria")
    await page.reload()
    await expect(wrap_up).to_contain_text("completed")
    await expect(page.locator("[data-group=wrapping] .row")).to_contain_text("Maria")
