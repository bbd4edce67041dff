"""The chat widget in a real browser, on a page with a strict Content-Security-Policy."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from router.channel import CollectFromContact, EndContact, Task
from router.core.model import ContactId
from router.testing.conformance import STRANGE, deliver
from tests.adapters.webchat_harness import KEY, WebChatHarness

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")

WEB = Path(__file__).parents[2] / "router" / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'none'; "
    "frame-src 'none'; require-trusted-types-for 'script'"
)
PAGE = f"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Shop</title>
<h1>A shop</h1><script src="/widget.js" data-channel="site" data-key="{KEY}" async></script>"""
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</span><script>alert(1)</script>",
    'javascript:alert(1) http://x" onmouseover=alert(1)',
    STRANGE,
]


class Visit:
    """An open page, everything the browser complained about, and effects for its contact."""

    def __init__(self, harness: WebChatHarness, page: Any) -> None:
        self.harness = harness
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        page.on("console", self._console)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning") and "WebSocket" not in message.text:
            self.complaints.append(message.text)

    async def open(self) -> None:
        await self.page.goto(f"{self.harness.origin}/")
        await self.page.get_by_role("button", name="Chat").click()

    async def say(self, text: str) -> None:
        box = self.page.get_by_label("Your message")
        await box.fill(text)
        await box.press("Enter")

    async def perform(self, effect: Any, id_: str, text: str = "") -> None:
        contact = self.harness.router.said("submit")[-1].args[0]
        task = Task(id=id_, epoch=1, workspace="main", effect=effect, text=text,
                    external_id=contact.external_id, customer=contact.customer,
                    our_address="site")  # fmt: skip
        await self.harness.channel.perform(task)

    async def texts(self) -> list[str]:
        found: list[str] = await self.page.locator(".message .text").all_text_contents()
        return found


@pytest.fixture
async def visit() -> AsyncIterator[Visit]:
    async def shop(_: web.Request) -> web.Response:
        return web.Response(
            text=PAGE, content_type="text/html", headers={"Content-Security-Policy": POLICY}
        )

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(
            WEB / request.path.strip("/"), headers={"Content-Security-Policy": POLICY}
        )

    async def nothing(_: web.Request) -> web.Response:
        return web.Response(status=204)

    harness = WebChatHarness()
    harness.pages = [
        web.get("/", shop),
        *[web.get(f"/{each.name}", file) for each in sorted(WEB.glob("widget*"))],
        web.get("/favicon.ico", nothing),
    ]
    flags = [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update",
    ]  # fmt: skip
    async with harness, playwright.async_playwright() as runner:
        browser = await runner.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        page = await browser.new_page(viewport={"width": 320, "height": 568})
        visit = Visit(harness, page)
        yield visit
        await browser.close()
        assert visit.complaints == []


async def test_a_visitor_chats_and_finds_it_all_again_after_a_reload(visit: Visit) -> None:
    await visit.open()
    await visit.say("my line is dead")
    await visit.page.get_by_text("You are number 3 in line").wait_for()
    await visit.perform(deliver(), "e1", "Hello, this is Ana.")
    await visit.page.get_by_text("this is Ana").wait_for()
    await visit.page.reload()
    await visit.page.get_by_role("button", name="Chat").click()
    await visit.page.get_by_text("this is Ana").wait_for()
    assert (await visit.texts())[-2:] == ["my line is dead", "Hello, this is Ana."]
    await visit.say("still there?")
    await visit.harness.signal.until(lambda: len(visit.harness.router.messages) == 2)
    assert len(visit.harness.router.contacts) == 1
    assert await visit.page.context.cookies() == []


async def test_the_visitor_sees_that_the_agent_types_until_the_message_is_there(
    visit: Visit,
) -> None:
    await visit.page.clock.install()  # it is forgotten after five seconds, and machines are slow
    await visit.open()
    await visit.say("my line is dead")
    await visit.harness.signal.until(lambda: bool(visit.harness.router.contacts))
    await visit.page.clock.pause_at(await visit.page.evaluate("Date.now() + 60_000"))
    external_id = visit.harness.router.said("submit")[-1].of
    status = visit.page.get_by_role("status")
    await visit.perform(deliver(), "e1", "Hello, this is Ana.")
    await visit.page.get_by_text("this is Ana").wait_for()
    assert await status.text_content() == ""
    visit.harness.channel.agent_typing(external_id)
    await visit.page.get_by_text("Your agent is writing").wait_for()
    await visit.say("I am here")  # one's own message ends nothing
    await visit.harness.signal.until(lambda: len(visit.harness.router.messages) == 2)
    assert await status.text_content() == "Your agent is writing…"
    await visit.perform(deliver(2), "e2", "I am looking at it.")
    await visit.page.get_by_text("looking at it").wait_for()
    assert await status.text_content() == ""
    visit.harness.channel.agent_typing(external_id)
    await visit.page.get_by_text("Your agent is writing").wait_for()
    await visit.page.clock.fast_forward(4900)
    assert await status.text_content() == "Your agent is writing…"
    await visit.page.clock.fast_forward(200)
    assert await status.text_content() == ""


async def test_what_anybody_wrote_stays_text(visit: Visit) -> None:
    await visit.open()
    for number, text in enumerate(HOSTILE):
        await visit.say(text)
        await visit.page.locator(".visitor[data-state='']").nth(number).wait_for()
        await visit.perform(deliver(number), f"e{number}", text)
        await visit.page.locator(".agent").nth(number).wait_for()
    assert (await visit.texts())[1:] == [text for text in HOSTILE for _ in range(2)]
    links = await visit.page.locator(".message a").all()
    assert [await link.get_attribute("href") for link in links] == ["http://x"] * 2


async def test_it_is_used_with_the_keyboard_alone(visit: Visit) -> None:
    await visit.page.goto(f"{visit.harness.origin}/")
    await visit.page.get_by_role("button", name="Chat").wait_for()
    press = visit.page.keyboard.press
    await press("Tab")
    await press("Enter")
    await visit.page.keyboard.type("hello")
    await press("Shift+Enter")
    await visit.page.keyboard.type("there")
    await press("Enter")
    await visit.harness.signal.until(lambda: bool(visit.harness.router.messages))
    assert list(visit.harness.router.messages.values()) == ["hello\nthere"]
    await visit.perform(question(), "e1")
    await visit.page.get_by_role("button", name="Repairs").wait_for()
    await press("Shift+Tab")
    await press("Enter")
    await visit.harness.signal.until(lambda: bool(visit.harness.router.said("collected")))
    assert visit.harness.router.said("collected")[0].args[:2] == ("topic", "2")
    await press("Escape")
    launcher = visit.page.get_by_role("button", name="Chat")
    assert await launcher.get_attribute("aria-expanded") == "false"
    assert await launcher.evaluate("(e) => e.getRootNode().activeElement === e")


async def test_new_messages_are_announced_and_old_ones_are_not(visit: Visit) -> None:
    await visit.open()
    await visit.page.locator("[role=log][aria-live=polite]").wait_for()
    await visit.say("hello")
    await visit.harness.signal.until(lambda: bool(visit.harness.router.said("submit")))
    await visit.page.keyboard.press("Escape")
    await visit.perform(deliver(), "e1", "Hello, this is Ana.")
    await visit.page.get_by_role("button", name="Chat, 1 new").click()
    assert await visit.page.get_by_role("status").count() == 1


async def test_it_fits_320_pixels_and_the_newest_message_is_in_sight(visit: Visit) -> None:
    await visit.open()
    await visit.say("x" * 400)
    await visit.harness.signal.until(lambda: bool(visit.harness.router.said("submit")))
    for number in range(8):
        await visit.perform(deliver(number), f"e{number}", f"answer {number} " * 12)
    await visit.perform(question(), "e9")
    await visit.page.get_by_role("button", name="Repairs").wait_for()
    last = visit.page.locator(".message").last
    await visit.page.wait_for_function(
        "(e) => e.getBoundingClientRect().bottom <= e.parentElement.getBoundingClientRect().bottom",
        arg=await last.element_handle(),
    )
    assert await visit.page.evaluate("document.documentElement.scrollWidth") == 320


async def test_a_message_written_while_the_server_restarts_arrives_once(visit: Visit) -> None:
    await visit.open()
    await visit.say("before")
    await visit.harness.signal.until(lambda: len(visit.harness.router.messages) == 1)
    await visit.harness.stop()
    visit.harness.chat.conversations.clear()
    await visit.page.get_by_text("The connection is lost").wait_for()
    await visit.say("meanwhile")
    await visit.harness.start()
    await visit.harness.signal.until(lambda: len(visit.harness.router.messages) == 2)
    assert list(visit.harness.router.messages.values()) == ["before", "meanwhile"]
    assert (await visit.texts())[1:] == ["before", "meanwhile"]
    visit.complaints = [c for c in visit.complaints if "503" not in c]


async def test_too_long_a_message_is_not_sent_and_says_by_how_much(visit: Visit) -> None:
    await visit.open()
    await visit.page.get_by_label("Your message").fill("é" * 2049)
    await visit.page.get_by_text("The message is 2 bytes too long").wait_for()
    assert await visit.page.get_by_role("button", name="Send").is_disabled()


async def test_the_farewell_is_read_and_the_next_message_begins_anew(visit: Visit) -> None:
    await visit.open()
    await visit.say("hello")
    await visit.page.get_by_role("button", name="End chat").wait_for()
    bye = EndContact(channel="chat", contact=ContactId("c1"), outcome="completed", text="Bye!")
    await visit.perform(bye, "e1")
    await visit.page.get_by_text("This chat has ended").wait_for()
    assert (await visit.texts())[-1] == "Bye!"
    await visit.say("one more thing")
    await visit.harness.signal.until(lambda: len(visit.harness.router.said("submit")) == 2)
    first, second = (s.of for s in visit.harness.router.said("submit"))
    assert first != second


async def test_it_takes_its_looks_from_the_page(visit: Visit) -> None:
    await visit.open()
    await visit.page.evaluate(
        "document.documentElement.style.setProperty('--chat-accent', 'rgb(1, 2, 3)')"
    )
    colour = await visit.page.locator(".send").evaluate(
        "(e) => getComputedStyle(e).backgroundColor"
    )
    assert colour == "rgb(1, 2, 3)"


async def test_the_page_of_its_own_opens_at_once(visit: Visit) -> None:
    await visit.page.goto(f"{visit.harness.origin}/widget.html?channel=site&key={KEY}")
    await visit.say("from a link")
    await visit.harness.signal.until(lambda: bool(visit.harness.router.messages))


def test_the_widget_has_six_variables_and_no_way_to_write_markup() -> None:
    source = (WEB / "widget.js").read_text()
    names = set(re.findall(r"var\((--chat-[a-z-]+)", source))
    assert len(names) == 6
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|\.cookie", source
    )


def question() -> CollectFromContact:
    return CollectFromContact(
        channel="chat", contact=ContactId("c1"), name="topic", prompt="What is it about?",
        choices={"1": "Billing", "2": "Repairs"},
    )  # fmt: skip
