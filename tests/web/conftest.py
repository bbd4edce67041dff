"""A browser for the pages' tests. A page that reports an error fails its test."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Page,
    ViewportSize,
    async_playwright,
    expect,
)

from tests.web.fake_server import FakeServer
from tests.web.fake_world import World
from tests.web.live import Demo, started

ARGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
HANGS_MS = 30_000
"""No wait of a test of pages is a measure: what is not there by then does not come."""
expect.set_options(timeout=HANGS_MS)
OpenPage = Callable[..., Awaitable[Page]]
GUARD = """
    addEventListener("securitypolicyviolation", (event) =>
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
    Object.defineProperty(window, "ran", { set: () => console.error("a stranger's script ran") });
"""
"""What would otherwise pass in silence becomes an error of the page."""
LATE = (Path(__file__).parent / "late.js").read_text(encoding="utf-8")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium; skipped, with the reason, where there is none."""
    path = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if path is None:
        pytest.skip("needs a Chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        await browser.close()


@pytest.fixture
def world() -> World:
    """What the fake server knows."""
    return World()


@pytest.fixture
async def server(world: World) -> AsyncIterator[FakeServer]:
    """A fake server on a port of its own."""
    async with FakeServer(world) as server:
        yield server


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    """A running `contact-router demo` without simulated people."""
    async with started(tmp_path) as demo:
        yield demo


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Open an address in a fresh profile; fails the test if the page reports an error."""
    problems: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        # Cut connections are reported by the browser itself: that is what some tests do.
        network = re.search("WebSocket connection|Failed to load resource", message.text)
        if message.type in {"error", "warning"} and not network:
            problems.append(f"{message.type}: {message.text}")

    def asked(url: str) -> None:
        if not re.match(r"(https?|ws)://(127\.0\.0\.1|localhost):|(data|blob|about):", url):
            problems.append(f"asked for {url}")

    async def open_(
        url: str,
        *,
        width: int = 1280,
        height: int = 800,
        scheme: str = "light",
        locale: str = "en-GB",
    ) -> Page:
        context = await browser.new_context(
            viewport=ViewportSize(width=width, height=height),
            color_scheme="dark" if scheme == "dark" else "light",
            locale=locale,
            timezone_id="Europe/Berlin",
        )
        context.set_default_timeout(HANGS_MS)
        await context.add_init_script(GUARD)
        if most := os.environ.get("LATE_MS"):
            await context.add_init_script(LATE.replace("MOST", str(int(most))))
        page = await context.new_page()
        page.on("request", lambda request: asked(request.url))
        page.on("console", heard)
        page.on("pageerror", lambda error: problems.append(f"uncaught: {error}"))
        page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
        await page.goto(url)
        return page

    yield open_
    assert problems == []


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Page, str], Awaitable[None]]:
    """Keep a picture of a page: in docs/pictures with REWRITE=1, else only made."""

    async def keep(page: Page, name: str) -> None:
        folder = PICTURES if os.environ.get("REWRITE") else tmp_path
        await page.mouse.move(0, 0)
        await page.screenshot(path=folder / f"{name}.png", animations="disabled")
        size = (folder / f"{name}.png").stat().st_size
        assert 10_000 < size < 300_000, f"{name}.png has {size} bytes, expected 10-300 kB"

    return keep
