"""Files in the chat widget in a real browser: a shop on another origin, with a strict policy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from router.api import pages
from router.channel import NewMessage
from router.errors import StoreFull
from tests.adapters.test_widget import CHROMIUM, Visit
from tests.adapters.webchat_harness import KEY, WebChatHarness

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]
playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(3000)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


class Shop:
    """A site of its own origin, whose policy names the router's origin and no other."""

    def __init__(self) -> None:
        self.router = ""

    async def __aenter__(self) -> Shop:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/favicon.ico", self._nothing)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.origin = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _page(self, _: web.Request) -> web.Response:
        socket = self.router.replace("http", "ws")
        policy = (
            f"default-src 'none'; script-src {self.router}; connect-src {self.router} {socket}; "
            "require-trusted-types-for 'script'"
        )
        text = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title><h1>A shop'
            f'</h1><script src="{self.router}/widget.js" data-channel="site" data-key="{KEY}" '
            "async></script>"
        )
        return web.Response(
            text=text, content_type="text/html", headers={"Content-Security-Policy": policy}
        )

    async def _nothing(self, _: web.Request) -> web.Response:
        return web.Response(status=204)


class FilesVisit(Visit):
    """A visit to the shop."""

    shop: Shop

    async def open(self) -> None:
        await self.page.goto(f"{self.shop.origin}/")
        await self.page.get_by_role("button", name="Chat").click()

    async def choose(self, *files: tuple[str, bytes]) -> None:
        async with self.page.expect_file_chooser() as chosen:
            await self.page.get_by_role("button", name="Attach files").click()
        await (await chosen.value).set_files(
            [{"name": n, "mimeType": "image/png", "buffer": data} for n, data in files]
        )

    async def sent(self, count: int) -> list[NewMessage]:
        said = self.harness.router.calls

        def found() -> list[NewMessage]:
            return [s.args[0].message for s in said if s.call in ("submit", "message")]

        await self.harness.signal.until(lambda: len(found()) >= count)
        return found()


@pytest.fixture
async def visit(request: pytest.FixtureRequest) -> AsyncIterator[FilesVisit]:
    settings = {"files": True, "file_bytes": 4000, **getattr(request, "param", {})}
    async with Shop() as shop:
        harness = WebChatHarness(origins=[shop.origin], **settings)
        app = web.Application()
        pages.mount(app)  # as the server serves them: other origins' pages load them
        harness.pages = [
            web.get(resource.canonical, route.handler)
            for resource in app.router.resources()
            if resource.canonical.startswith("/widget")
            for route in resource
            if route.method == "GET"
        ]
        async with harness, playwright.async_playwright() as runner:
            shop.router = harness.origin
            browser = await runner.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            page = await browser.new_page(viewport={"width": 320, "height": 568})
            # Whoever listens has choosers intercepted from now on: one that is opened by a key, at
            # once, could else come before the browser knows that somebody waits for it.
            page.on("filechooser", lambda _: None)
            visit = FilesVisit(harness, page)
            visit.shop = shop
            yield visit
            await browser.close()
            assert visit.complaints == []


async def test_a_visitor_of_another_origin_sends_files_with_words(visit: FilesVisit) -> None:
    await visit.open()
    await visit.choose(("photo ä.png", PNG), ("two.png", PNG))
    await visit.page.get_by_text("two.png is ready to be sent").wait_for()
    await visit.say("look at this")
    (message,) = await visit.sent(1)
    assert message.text == "look at this"
    assert [file["name"] for file in message.attachments] == ["photo ä.png", "two.png"]
    assert [s.args[0] for s in visit.harness.router.said("attach")] == [PNG, PNG]
    await visit.page.locator(".visitor[data-state='']").wait_for()
    assert (await visit.texts())[-1] == "look at this\nFile: photo ä.png\nFile: two.png"
    assert await visit.page.locator(".chosen li").count() == 0
    await visit.page.reload()
    await visit.page.get_by_role("button", name="Chat").click()
    await visit.page.get_by_text("File: two.png").wait_for()
    assert await visit.page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize("visit", [{"files": False}], indirect=True)
async def test_without_files_there_is_no_button_and_the_module_is_not_loaded(
    visit: FilesVisit,
) -> None:
    loaded: list[str] = []
    visit.page.on("request", lambda request: loaded.append(request.url))
    await visit.open()
    await visit.say("hello")
    await visit.page.locator(".visitor[data-state='']").wait_for()
    assert await visit.page.get_by_role("button", name="Attach files").count() == 0
    assert [url for url in loaded if "widget_files" in url] == []
    assert any(url.endswith("/widget.js") for url in loaded)


async def test_it_is_used_with_the_keyboard_alone_and_told_to_screen_readers(
    visit: FilesVisit,
) -> None:
    await visit.open()
    await visit.page.get_by_role("button", name="Attach files").wait_for()
    await visit.page.get_by_label("Your message").focus()
    press = visit.page.keyboard.press
    await press("Tab")
    async with visit.page.expect_file_chooser() as chosen:
        await press("Enter")
    files = [{"name": n, "mimeType": "image/png", "buffer": PNG} for n in ("a.png", "b.png")]
    await (await chosen.value).set_files(files)
    await visit.page.locator(".note[aria-live=polite]", has_text="b.png is ready").wait_for()
    assert await visit.page.get_by_role("list", name="Files to send").count() == 1
    await press("Shift+Tab")  # from the text back to the last file
    focused = "(e) => e.getRootNode().activeElement === e"
    assert await visit.page.get_by_role("button", name="Remove b.png").evaluate(focused)
    await press("Enter")
    assert await visit.page.get_by_label("Your message").evaluate(focused)
    await press("Enter")
    (message,) = await visit.sent(1)
    assert [file["name"] for file in message.attachments] == ["a.png"]


async def test_what_is_not_taken_is_said_in_words(visit: FilesVisit) -> None:
    await visit.open()
    await visit.choose(("huge.png", PNG * 2))
    await visit.page.get_by_text("huge.png: this file is too big").wait_for()
    await visit.choose(("fake.png", b"MZ\x90\0 a program"))
    await visit.page.get_by_text("Taken are PNG, JPEG, GIF, WEBP, PDF").wait_for()
    await visit.choose(*((f"{n}.png", PNG) for n in range(6)))
    await visit.page.get_by_text("At most 5 files").wait_for()
    assert await visit.page.locator(".chosen li").count() == 5
    assert [c for c in visit.complaints if "415" not in c] == []
    visit.complaints.clear()  # the browser notes every answer of 400 and above


async def test_progress_is_shown_and_nothing_is_said_before_the_file_is_there(
    visit: FilesVisit,
) -> None:
    gate = visit.harness.router.gates["attach"] = asyncio.Event()
    visit.harness.router.fail("attach", StoreFull("one moment"))
    await visit.open()
    await visit.choose(("slow.png", PNG))
    await visit.page.get_by_role("progressbar", name="Uploading slow.png").wait_for()
    await visit.harness.signal.until(lambda: bool(visit.harness.router.said("attach")))
    await visit.say("here it is")
    await visit.page.get_by_text("a file is still on its way").wait_for()
    assert visit.harness.router.messages == {}
    gate.set()
    await visit.page.get_by_text("slow.png is ready").wait_for()
    await visit.page.get_by_role("button", name="Send").click()
    (message,) = await visit.sent(1)
    assert (message.text, len(message.attachments)) == ("here it is", 1)
    visit.complaints = [c for c in visit.complaints if "503" not in c]


async def test_a_server_that_forgot_the_file_gets_it_again_and_the_message_is_one(
    visit: FilesVisit,
) -> None:
    await visit.open()
    await visit.choose(("a.png", PNG))
    await visit.page.get_by_text("a.png is ready").wait_for()
    await visit.harness.stop()
    visit.harness.chat.conversations.clear()
    await visit.page.get_by_text("The connection is lost").wait_for()
    await visit.say("see the file")
    await visit.harness.start()
    (message,) = await visit.sent(1)
    assert (message.text, len(message.attachments)) == ("see the file", 1)
    assert len(visit.harness.router.said("attach")) == 2
    await visit.page.locator(".visitor[data-state='']").wait_for()
    assert len(visit.harness.router.messages) == 1
    visit.complaints = [c for c in visit.complaints if "503" not in c]


async def test_a_long_name_leaves_its_progress_and_its_button_in_sight(visit: FilesVisit) -> None:
    gate = visit.harness.router.gates["attach"] = asyncio.Event()
    await visit.open()
    await visit.choose((f"{'a-very-long-name-' * 6}.png", PNG))
    bar, remove = visit.page.get_by_role("progressbar"), visit.page.locator(".remove")
    clip = visit.page.get_by_role("button", name="Attach files").locator("svg")
    for part in (bar, remove, clip):
        box = await part.bounding_box()
        assert box is not None
        assert box["width"] > 15
        assert box["x"] + box["width"] <= 312
    await remove.click()  # while it is on its way
    assert await visit.page.locator(".chosen li").count() == 0
    gate.set()
    await visit.say("never mind")
    (message,) = await visit.sent(1)
    assert (message.text, message.attachments) == ("never mind", ())


def test_the_module_has_no_way_to_write_markup() -> None:
    source = (pages.WEB / "widget_files.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|\.cookie|createObjectURL",
        source,
    )
