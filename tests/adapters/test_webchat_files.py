"""Visitors' files over real sockets: off by default, nobody else's, bounded, and said once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapters import read_settings
from adapters.webchat import Settings, routes
from adapters.webchat.files import HELD, HELD_S, NoFile, Rates, Shelf, kind_of, name_for
from router.channel import EndContact, NewMessage, OutcomeUnknown, Overloaded, StoreFull
from router.core.model import ContactId
from router.errors import ConfigError, Refused
from router.testing.conformance import CUSTOMER, OTHER
from tests.adapters.webchat_harness import Browser, WebChatHarness

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
PDF = b"%PDF-1.7\n%%EOF\n"


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


async def upload(
    harness: WebChatHarness, token: str, data: Any = PNG, *, name: str = "a.png", origin: str = ""
) -> Answer:
    headers = {
        "Origin": origin or harness.origin, "Webchat-Token": token, "Webchat-File-Name": name,
    }  # fmt: skip
    url = harness.url.replace("/ws", "/files")
    async with harness.client.post(url, data=data, headers=headers) as answer:
        return Answer(answer.status, await answer.json(), dict(answer.headers))


async def kept(harness: WebChatHarness, who: str = CUSTOMER, data: bytes = PNG) -> str:
    answer = await upload(harness, harness.browser(who).token, data)
    assert answer.status == 201, answer
    return str(answer.body["id"])


async def say(browser: Browser, id_: str, files: list[str], text: str = "") -> str:
    seen = len(browser.frames)
    await browser.send(type="say", id=id_, text=text, files=files)

    def answers() -> list[dict[str, Any]]:
        return [frame for frame in browser.frames[seen:] if frame.get("id") == id_]

    await browser.harness.signal.until(lambda: bool(answers()))
    return str(answers()[0].get("code", ""))


def messages(harness: WebChatHarness) -> list[NewMessage]:
    said = [s for s in harness.router.calls if s.call in ("submit", "message")]
    return [s.args[0].message for s in said]


@pytest.fixture
async def harness() -> AsyncIterator[WebChatHarness]:
    async with WebChatHarness(files=True, file_bytes=1000) as harness:
        await harness.browser(CUSTOMER).open()
        yield harness


async def test_a_file_goes_with_the_message_that_names_it(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    welcome = browser.frames[0]
    assert (welcome["files"], welcome["file_bytes"]) == (True, 1000)
    answer = await upload(harness, browser.token, name="my%20b%C3%AAte.png")
    assert (answer.status, answer.body["name"], answer.body["size"]) == (201, "my bête.png", 108)
    assert answer.headers["Access-Control-Allow-Origin"] == harness.origin
    assert harness.router.said("attach")[0].args == (PNG, "image/png", "attachment")
    second = await kept(harness, data=PDF)
    assert await say(browser, "m1", [answer.body["id"], second], "look") == ""
    (message,) = messages(harness)
    assert message.text == "look"
    assert [(file["name"], file["size"]) for file in message.attachments] == [
        ("my bête.png", len(PNG)),
        ("a.png.pdf", len(PDF)),
    ]
    assert browser.of("message")[0]["files"] == ["my bête.png", "a.png.pdf"]
    await browser.close()
    await browser.open()
    assert browser.frames[0]["messages"][0]["files"] == ["my bête.png", "a.png.pdf"]


async def test_a_message_without_words_is_called_what_its_file_is(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    assert await say(browser, "m1", [await kept(harness)], " ") == ""
    assert messages(harness)[0].text == "a.png"
    assert await say(browser, "m2", []) == "too_long", "neither words nor files"


async def test_files_are_off_by_default() -> None:
    async with WebChatHarness() as harness:
        browser = harness.browser(CUSTOMER)
        await browser.open()
        assert "files" not in browser.frames[0]
        answer = await upload(harness, browser.token)
        assert (answer.status, answer.code) == (404, "no_files")
        assert harness.router.said("attach") == []
        assert await say(browser, "m1", ["whatever"]) == "no_file"
        assert messages(harness) == []


async def test_pages_of_other_origins_are_not_taken(harness: WebChatHarness) -> None:
    token = harness.browser(CUSTOMER).token
    for origin in ("https://evil.example", "null"):
        answer = await upload(harness, token, origin=origin)
        assert (answer.status, answer.code) == (403, "origin")
        assert "Access-Control-Allow-Origin" not in answer.headers
    url = harness.url.replace("/ws", "/files")
    question = {"Access-Control-Request-Method": "POST"}
    for origin, status in ((harness.origin, 204), ("https://evil.example", 403)):
        headers = {"Origin": origin, **question}
        async with harness.client.options(url, headers=headers) as preflight:
            allowed = preflight.headers.get("Access-Control-Allow-Headers", "")
            assert (preflight.status, "Webchat-Token" in allowed) == (status, status == 204)
    assert harness.router.said("attach") == []


async def test_a_token_counts_if_it_is_ours_and_its_page_is_open(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    for token in ("", "nonsense", browser.token[:-1], "é"):
        url = harness.url.replace("/ws", "/files")
        headers = {"Origin": harness.origin, "Webchat-Token": token.encode().decode("latin-1")}
        async with harness.client.post(url, data=PNG, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "token")
    await browser.close()
    await harness.signal.until(
        lambda: not any(c.pages for c in harness.chat.conversations.values())
    )
    assert (await upload(harness, browser.token)).code == "not_here"
    assert harness.router.said("attach") == []


async def test_nobody_says_another_visitors_file(harness: WebChatHarness) -> None:
    other = harness.browser(OTHER)
    await other.open()
    id_ = await kept(harness)
    assert await say(other, "m1", [id_], "mine now") == "no_file"
    assert messages(harness) == []
    assert await say(harness.browser(CUSTOMER), "m1", [id_]) == ""


async def test_a_file_is_said_once(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    id_ = await kept(harness)
    assert await say(browser, "m1", [id_]) == ""
    assert await say(browser, "m1", [id_]) == "", "the same message again"
    assert len(messages(harness)) == 1
    assert await say(browser, "m2", [id_]) == "no_file", "another message with the same file"
    assert len(messages(harness)) == 1


async def test_what_is_said_again_after_trouble_has_its_file(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    id_ = await kept(harness)
    harness.router.fail("submit", Overloaded("busy", retry_after_s=0.1), OutcomeUnknown("?"))
    assert await say(browser, "m1", [id_]) == "try_again"
    assert await say(browser, "m1", [id_]) == "try_again"
    assert await say(browser, "m1", [id_]) == ""
    assert len(harness.router.messages) == 1
    assert len(messages(harness)[-1].attachments) == 1


async def test_a_file_of_an_ended_conversation_is_not_said_in_the_next(
    harness: WebChatHarness,
) -> None:
    browser = harness.browser(CUSTOMER)
    assert await say(browser, "m1", [], "hello") == ""
    id_ = await kept(harness)
    bye = EndContact(channel="chat", contact=ContactId("c1"), outcome="completed")
    await harness.channel.perform(harness.task(CUSTOMER, bye))
    assert await say(browser, "m2", [id_]) == "no_file"
    assert await say(browser, "m2", [await kept(harness)]) == "", "a new one begins a new contact"
    assert len(harness.router.said("submit")) == 2


async def test_too_big_is_refused_before_it_is_read(harness: WebChatHarness) -> None:
    token = harness.browser(CUSTOMER).token
    reader, writer = await connected(harness)
    writer.write(head(harness, token, 5_000_000_000))
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
    assert b" 413 " in answer, "not one byte of the body was sent"
    writer.close()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield PNG

    chunked = await upload(harness, token, pieces())
    assert (chunked.status, chunked.code) == (413, "too_big"), "without a length, too"
    assert harness.router.said("attach") == []


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"MZ\x90\0 a program", "photo.png"),
        (b"<html><script>alert(1)</script>", "photo.png"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "photo.svg"),
        (b"PK\x03\x04 a zip", "bill.pdf"),
        (b"", "photo.png"),
    ],
)
async def test_a_type_is_what_the_bytes_say(
    harness: WebChatHarness, data: bytes, name: str
) -> None:
    answer = await upload(harness, harness.browser(CUSTOMER).token, data, name=name)
    assert (answer.status, answer.code) == (415, "type")
    assert harness.router.said("attach") == []


def test_a_name_gets_the_ending_of_its_type() -> None:
    assert name_for("Photo.JPG", "image/jpeg") == "Photo.JPG"
    assert name_for("page.html", "image/gif") == "page.html.gif"
    assert name_for("txt.exe\u202e.png\u200e", "image/png").endswith("\u200e.png")
    assert kind_of(b"RIFF\0\0\0\0WEBPVP8 ") == "image/webp"
    assert kind_of("grüße".encode()) == "text/plain"
    assert kind_of("grüße".encode("latin-1")) == kind_of(b"a\0b") == ""


async def test_too_many_in_an_hour_come_later() -> None:
    async with WebChatHarness(files=True, files_per_hour=2) as harness:
        browser, other = harness.browser(CUSTOMER), harness.browser(OTHER)
        await browser.open()
        await other.open()
        answers = [await upload(harness, browser.token) for _ in range(3)]
        assert [a.status for a in answers] == [201, 201, 429]
        assert 1700 <= int(answers[2].headers["Retry-After"]) <= 1800
        assert (await upload(harness, other.token)).status == 201, "each visitor has their own"
        await browser.close()
        await browser.open()
        assert (await upload(harness, browser.token)).status == 429, "a reload gives no new ones"


def test_an_hour_is_counted_by_a_clock_and_the_longest_ago_is_forgotten() -> None:
    rates = Rates(2)
    assert [rates.take("v", 1e6) for _ in range(3)] == [0, 0, 1800]
    assert rates.take("v", 1e6 + 1800) == 0


async def test_what_waits_for_its_message_is_bounded_and_short_lived(
    harness: WebChatHarness,
) -> None:
    browser = harness.browser(CUSTOMER)
    ids = [await kept(harness) for _ in range(HELD + 1)]
    assert await say(browser, "m0", ids[:1]) == "no_file", "the oldest had to go"
    assert await say(browser, "m0", [ids[1], ids[-1]]) == ""
    shelf = Shelf()
    id_ = shelf.put("a.png", {}, 100.0)
    assert [held.name for held in shelf.find((id_,), 99 + HELD_S)] == ["a.png"]
    with pytest.raises(NoFile):
        shelf.find((id_,), 100 + HELD_S)
    await browser.send(type="say", id="m1", text="", files=["x"] * 6)
    assert (await browser.until("error"))["code"] == "invalid"


async def test_a_visitor_uploads_one_at_a_time(harness: WebChatHarness) -> None:
    token = harness.browser(CUSTOMER).token
    harness.router.gates["attach"] = gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(upload(harness, token))
        await harness.signal.until(lambda: bool(harness.router.said("attach")))
        second = await upload(harness, token)
        assert (second.status, second.code) == (503, "try_again")
        gate.set()
    assert first.result().status == 201
    assert (await upload(harness, token)).status == 201


async def test_a_slow_body_is_given_up_and_a_cut_one_is_nothing(harness: WebChatHarness) -> None:
    token = harness.browser(CUSTOMER).token
    harness.chat.uploads.grace_s = 0.1
    reader, writer = await connected(harness)
    writer.write(head(harness, token, 500) + PNG)
    assert b" 408 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
    writer.close()
    harness.chat.uploads.grace_s = 5.0
    _, writer = await connected(harness)
    writer.write(head(harness, token, 500) + PNG)
    shelf = next(iter(harness.chat.conversations.values())).files
    async with asyncio.timeout(30):
        while not shelf.busy:  # noqa: ASYNC110 - nothing tells when a head was read
            await asyncio.sleep(0)
        writer.transport.abort()
        while shelf.busy:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    assert harness.router.said("attach") == []
    assert (await upload(harness, token)).status == 201, "nothing is left of either"


async def test_trouble_of_the_store_is_told_as_it_is(harness: WebChatHarness) -> None:
    token = harness.browser(CUSTOMER).token
    harness.router.fail("attach", StoreFull("full"), Refused("no_attachments", "keeps no files"))
    full = await upload(harness, token)
    assert (full.status, full.code, "Retry-After" in full.headers) == (503, "try_again", True)
    never = await upload(harness, token)
    assert (never.status, never.code) == (422, "no_attachments")
    await harness.stop()
    assert (await upload(harness, token)).status == 503
    await harness.start()


async def test_after_a_restart_the_file_is_sent_again_and_the_message_is_one(
    tmp_path: Path,
) -> None:
    secret = str(tmp_path / "secret")
    async with WebChatHarness(files=True, secret_file=secret) as before:
        browser = before.browser(CUSTOMER)
        await browser.open()
        assert await say(browser, "m1", [await kept(before)]) == ""
        token, id_ = browser.token, await kept(before)
    async with WebChatHarness(before.router, files=True, secret_file=secret) as after:
        browser = after.browser(CUSTOMER)
        browser.token = token
        await browser.open()
        assert [m["text"] for m in browser.frames[0]["messages"]] == ["a.png"]
        assert await say(browser, "m1", ["gone"]) == "", "it was durable: no file is asked for"
        assert await say(browser, "m2", [id_]) == "no_file"
        assert await say(browser, "m2", [await kept(after)]) == ""
        assert list(before.router.messages.values()) == ["a.png", "a.png"]


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [
        ("file_types", ["image/svg+xml"], "file_types"),
        ("file_types", [], "file_types"),
        ("file_bytes", 26 * 1024 * 1024, "file_bytes"),
        ("file_bytes", 0, "file_bytes"),
        ("files_per_hour", 0, "files_per_hour"),
    ],
)
def test_settings_that_cannot_work_are_refused(setting: str, value: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        read_settings(Settings, {"key": "k", setting: value}, "adapters.site")


async def test_both_paths_are_mounted(harness: WebChatHarness) -> None:
    mounted = {(route.method, route.path) for route in routes(harness.chat)}
    assert mounted == {("GET", "/ws"), ("POST", "/files"), ("OPTIONS", "/files")}


async def connected(harness: WebChatHarness) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = harness.origin.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


def head(harness: WebChatHarness, token: str, length: int) -> bytes:
    return (
        f"POST /v1/webchat/site/files HTTP/1.1\r\nHost: {harness.origin.removeprefix('http://')}"
        f"\r\nOrigin: {harness.origin}\r\nWebchat-Token: {token}\r\n"
        f"Webchat-File-Name: a.png\r\nContent-Length: {length}\r\n\r\n"
    ).encode()
