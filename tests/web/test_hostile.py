"""Whatever customers write stays text: on the desk, the wallboard and in the chat, real server.

The corpus goes into each field that a customer can fill. A page that runs, loads or reports
anything, or opens a dialog, fails by itself (`conftest.open_page`); here is looked at what it shows
and whether it still has its width.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.async_api import Locator, Page, expect

from adapters.loopback import Loopback
from router.api.auth import Role, Use, make_token
from router.app import Server
from router.channel import Address, NewContact, NewMessage
from tests.api.site import api_of, start
from tests.web.conftest import OpenPage
from tests.web.hostile import CORPUS

pytestmark = [pytest.mark.slow, pytest.mark.peer]

CONFIG = """
server: {durability: process, limits: {requests_per_s: 100000, requests_burst: 1000000}}
workspaces:
  oak:
    adapters:
      mails: {type: loopback, channel: email}
      site: {type: webchat, channel: chat, key: the-site, messages_per_s: 1000, burst: 1000,
             history: 500, strangers_per_min: 1000}
    entry_points:
      post: {channel: email, address: help@oak.example, queue: front}
      web: {channel: chat, address: site, queue: front}
    queues: {front: {most_waiting: 1000}, back: {most_waiting: 1000}}
    profiles: {all: {front: 1}}
    agents:
      ana: {name: Ana, profile: all, capacity: 10000, maximum: {email: 1000, chat: 10},
            auto_accept: [email, chat]}
"""

READ = """async (ids) => {
    const drawn = () => new Promise((done) => setTimeout(done));  // a choice draws at once
    const text = (selector) => document.querySelector(selector)?.textContent ?? null;
    const found = [];
    for (const id of ids) {
        document.querySelector(`.row[data-contact="${id}"]`).click();
        await drawn();
        const columns = document.querySelectorAll(".work, .said, .aside");
        const wide = [document.documentElement, ...columns]
            .filter((each) => each.scrollWidth > each.clientWidth + 1);
        found.push({
            name: text(".conversation .name"),
            subject: text(".message .subject"),
            text: text(".message .plain"),
            file: text(".message [data-file]"),
            facts: [...document.querySelectorAll(".aside dd")].map((each) => each.textContent),
            wide: wide.map((each) => each.className || each.tagName),
        });
    }
    return found;
}"""


LIVES = """async (ids) => {
    const frame = () => new Promise((done) => setTimeout(done, 20));
    const wrong = [];
    for (const id of ids) {
        location.hash = `#contact=${id}`;
        await frame();
        const life = () => document.querySelector(".life li[data-event]");
        for (let n = 0; n < 1500 && !life(); n++) await frame();
        if (!life()) wrong.push(`${id}: nothing is shown`);
        const parts = document.querySelectorAll(".right, .life");
        for (const each of [document.documentElement, ...parts])
            if (each.scrollWidth > each.clientWidth + 1) wrong.push(`${id}: ${each.className}`);
    }
    return wrong;
}"""


SAY = """async (first, texts) => {
    // As `fill` and `press` do it, without a round trip to the browser for each.
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const root = first.getRootNode();
    for (const text of texts) {
        const box = first.isConnected ? first : root.querySelector(`#${first.id}`);
        box.focus();
        box.value = text;
        box.dispatchEvent(new InputEvent("input", { bubbles: true, composed: true }));
        const key = { key: "Enter", bubbles: true, composed: true, cancelable: true };
        box.dispatchEvent(new KeyboardEvent("keydown", key));
        await frame();
    }
}"""


BLANK = " \t\n\x0b\x0c\r\xa0\u3000\u2028\u2029\ufeff"
"""What the pages cut off at the ends of what somebody types (ECMA-262, WhiteSpace)."""


class Shop:
    """The server, with a contact for each string of the corpus: in all of its fields."""

    def __init__(self, server: Server, open_page: OpenPage) -> None:
        self.server = server
        self.url = f"http://127.0.0.1:{server.port}"
        self.open_page = open_page
        self.contacts: dict[str, str] = {}
        """By contact: its string."""
        self.files: dict[str, str] = {}
        """By contact: the name of its file, as the router has made it."""

    async def page(self, path: str, role: Role, agent: str = "", **options: Any) -> Page:
        api = api_of(self.server)
        text, row = make_token(
            role, now_us=api.clock.now_us(), agent=agent, use=Use.TICKET, once=True, name="lead"
        )
        await api.tokens.add("oak", row)
        return await self.open_page(f"{self.url}/{path}#ticket={text}", **options)

    async def arrive(self) -> None:
        found = self.server.hosts["oak"].channels.get("mails")
        assert isinstance(found, Loopback)
        for number, text in enumerate(CORPUS):
            file = await found.router.attach(b"%PDF-1.4", name=text, kind="application/pdf")
            new = NewContact(
                external_id=f"x{number}",
                customer=Address(address=text, name=text),
                to="help@oak.example",
                attributes={"topic": text, text[:100]: [text, {text: text}]},
                message=NewMessage(id=f"m{number}", text=text, subject=text, attachments=(file,)),
            )
            receipt = await found.router.submit(new)
            self.contacts[receipt.contact] = text
            self.files[receipt.contact] = file["name"]


@pytest.fixture
async def shop(tmp_path: Path, open_page: OpenPage) -> AsyncIterator[Shop]:
    server = await start(tmp_path, CONFIG)
    yield Shop(server, open_page)
    await server.stop()


def test_the_corpus_is_what_it_says() -> None:
    assert len(CORPUS) >= 200
    assert len(set(CORPUS)) == len(CORPUS)
    assert max(len(text) for text in CORPUS) == 200


async def test_the_desk_shows_every_hostile_string_as_what_it_is(shop: Shop) -> None:
    await shop.arrive()
    page = await shop.page("desk", Role.AGENT, "ana", width=1000)
    await page.wait_for_selector(".desk")
    await page.locator("#presence").select_option("ready")
    await expect(page.locator(".row")).to_have_count(len(CORPUS), timeout=30_000)
    read = await page.evaluate(READ, list(shop.contacts))
    wrong = []
    for (contact, text), found in zip(shop.contacts.items(), read, strict=True):
        if found["wide"]:
            wrong.append(f"{text!r} makes {found['wide']} wider than the page")
        wrong.extend(
            f"{field}: {found[field]!r} is shown for {text!r}"
            for field in ("text", "subject", "name")
            if found[field] != text
        )
        if found["file"] != shop.files[contact]:
            wrong.append(f"file: {found['file']!r} is shown for {shop.files[contact]!r}")
        if found["facts"].count(text) < 2:  # the address and an attribute
            wrong.append(f"facts: {text!r} is not among {found['facts']}")
    assert not wrong, "\n".join(wrong)
    assert page.url == f"{shop.url}/desk"


async def test_the_wallboard_keeps_its_shape_whoever_waits(shop: Shop) -> None:
    await shop.arrive()
    page = await shop.page("wallboard", Role.SUPERVISOR, width=1000)
    await page.locator("[data-queue=front]").click()
    await expect(page.locator(".contact-line").first).to_be_visible()
    wrong = await page.evaluate(LIVES, list(shop.contacts)[::2])
    assert wrong == []


async def test_a_visitor_sees_what_was_said_as_what_it_is(shop: Shop) -> None:
    ana = await shop.page("desk", Role.AGENT, "ana")
    await ana.locator("#presence").select_option("ready")
    chat = await shop.open_page(f"{shop.url}/widget.html?channel=site&key=the-site", width=320)
    box = chat.get_by_label("Your message")
    said = [text for text in CORPUS if text.strip(BLANK) == text and "\r" not in text]
    await say(box, said)
    theirs = chat.locator(".message .text")
    await expect(theirs.filter(has_text=said[-1])).to_be_visible(timeout=30_000)
    await expect(ana.locator(".message.from-customer")).to_have_count(len(said), timeout=30_000)
    await say(ana.locator("#composer"), said)
    await expect(ana.locator(".message.from-agent:not(.unsent)")).to_have_count(
        len(said), timeout=30_000
    )
    at_desk = await ana.locator(".message.from-customer .plain").all_text_contents()
    assert at_desk == said
    await expect(chat.locator(".message")).to_have_count(2 * len(said) + 1, timeout=30_000)
    in_chat = await theirs.all_text_contents()
    assert in_chat[-len(said) :] == said
    assert await chat.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await chat.reload()
    await expect(chat.locator(".message").nth(400)).to_be_attached(timeout=30_000)


async def say(box: Locator, texts: list[str]) -> None:
    """All of them, one after the other; the first and the last by the keyboard."""
    await box.fill(texts[0])
    await box.press("Enter")
    await box.evaluate(SAY, texts[1:-1])
    await box.fill(texts[-1])
    await box.press("Enter")


async def test_what_a_link_to_the_chat_says_is_text(shop: Shop) -> None:
    """One page goes from link to link: a fresh server, browser and profile each cost a second."""
    chat = await shop.open_page("about:blank", width=320)
    wrong = []
    for field in ("name", "title", "greeting", "channel", "key"):
        for text in CORPUS[::20]:
            query = {"channel": "site", "key": "the-site", field: text}
            await chat.goto(f"{shop.url}/widget.html?{urlencode(query)}")
            await expect(chat.get_by_label("Your message")).to_be_visible()
            if not await chat.evaluate("document.documentElement.scrollWidth <= innerWidth"):
                wrong.append(f"{field}: {text!r} makes the page wider")
            await chat.evaluate("localStorage.clear(), sessionStorage.clear()")  # a stranger again
    assert wrong == []
