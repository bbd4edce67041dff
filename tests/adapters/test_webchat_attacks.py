"""The web chat as an attacker meets it: sockets that say nothing, networks of many addresses, files
that fill the disk, names and headers that are no text."""

from __future__ import annotations

import asyncio
import json
import resource
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from adapters.webchat import door as doors
from adapters.webchat import unsaid
from adapters.webchat.codec import Hello, Signer
from adapters.webchat.door import SILENT_OF_NETWORK, Crowded, Door, Porch, network_of
from adapters.webchat.files import HELD, kind_of, name_for
from adapters.webchat.identity import Notary
from router.channel import EndContact, OutcomeUnknown, Refused
from router.core.model import ContactId
from router.testing.conformance import CUSTOMER, OTHER
from tests.adapters.test_webchat_files import PNG, kept, say, upload
from tests.adapters.webchat_harness import KEY, WebChatHarness

PATIENCE_S = 30.0


@pytest.fixture
async def harness() -> AsyncIterator[WebChatHarness]:
    async with WebChatHarness(files=True, file_bytes=1000) as harness:
        await harness.browser(CUSTOMER).open()
        yield harness


# --- who counts as one ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_one_line_of_ipv6_is_one_network(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_host_with_all_addresses_of_its_network_is_as_many_strangers_as_any_other() -> None:
    door = Door(Signer(b"x" * 32, "site", 30), Notary(b""), strangers_per_min=5)
    hello = Hello(key=KEY)
    for number in range(5):
        door.admit(hello, network_of(f"2001:db8::{number:x}"), 0.0)
    with pytest.raises(Crowded):
        door.admit(hello, network_of("2001:db8::ffff"), 0.0)
    door.admit(hello, network_of("2001:db8:0:1::1"), 0.0)


def test_the_porch_has_room_for_each_network_and_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "SILENT", SILENT_OF_NETWORK + 2)
    porch = Porch()
    for _ in range(SILENT_OF_NETWORK):
        porch.enter("a")
    with pytest.raises(Crowded):
        porch.enter("a")
    porch.enter("b")
    porch.enter("c")
    with pytest.raises(Crowded):
        porch.enter("d")
    porch.leave("a")
    porch.enter("d")
    for network in ("b", "c", "d", *["a"] * (SILENT_OF_NETWORK - 1)):
        porch.leave(network)
    assert not porch._by_network  # nobody is remembered


# --- sockets --------------------------------------------------------------------------------------


async def test_sockets_that_say_nothing_are_few_and_keep_nobody_out_for_long(
    harness: WebChatHarness,
) -> None:
    headers = {"Origin": harness.origin}
    silent = [
        await harness.client.ws_connect(harness.url, headers=headers)
        for _ in range(SILENT_OF_NETWORK)
    ]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await harness.client.ws_connect(harness.url, headers=headers)
    assert refused.value.status == 503
    assert refused.value.headers is not None
    assert refused.value.headers["Retry-After"] == "2"
    assert await harness.browser(CUSTOMER).say("I am in", "m1") == ""  # who is in stays in
    # One of them says who they are, another goes: there is room for two.
    await silent[0].send_str(json.dumps({"type": "hello", "key": KEY}))
    assert (await silent[0].receive_json(timeout=PATIENCE_S))["type"] == "welcome"
    await silent[1].send_str("{}")
    assert (await silent[1].receive(timeout=PATIENCE_S)).type is aiohttp.WSMsgType.CLOSE
    more = [await harness.client.ws_connect(harness.url, headers=headers) for _ in range(2)]
    for socket in (*silent, *more):
        await socket.close()


async def raw(harness: WebChatHarness, request: bytes) -> tuple[int, bytes]:
    """Status and the rest of the answer to octets that no client would send."""
    url = URL(harness.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(request)
        async with asyncio.timeout(PATIENCE_S):
            line = await reader.readline()
            length, rest = 0, b""
            while (field := await reader.readline()) not in (b"\r\n", b""):
                rest += field
                if field.lower().startswith(b"content-length:"):
                    length = int(field.split(b":")[1])
            rest += await reader.readexactly(length)
        return int(line.split()[1]), rest
    finally:
        writer.close()


@pytest.mark.parametrize(
    "origin",
    [b"https://\xff\xfe", b"https://evil.example/" + b"x" * 4_000, b"null", b"\xed\xa0\x80"],
)
async def test_an_origin_that_is_no_text_is_refused_and_not_repeated(
    harness: WebChatHarness, origin: bytes
) -> None:
    for path, more in (
        ("ws", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"),
        ("files", b"Content-Length: 0\r\n"),
    ):
        method = b"GET" if path == "ws" else b"POST"
        head = b"%s /v1/webchat/site/%s HTTP/1.1\r\nHost: x\r\n" % (method, path.encode())
        status, rest = await raw(harness, head + b"Origin: " + origin + b"\r\n" + more + b"\r\n")
        assert status == 403
        assert origin not in rest


# --- names and types ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [b"a%00.png", b"%E2%80%AEgnp.exe", b"..%2F..%2Fetc%2Fpasswd", b"a%0D%0ASet-Cookie:%20x=y",
     b"\xff\xfe.png", b"\xed\xa0\x80", b"%ED%A0%80", b"%FF", b"%", b"%u0041", b"x" * 4_000, b"",
     b".png", b"con.png", b"a%22%3B%20filename=b.html"],
)  # fmt: skip
async def test_no_name_breaks_the_answer(harness: WebChatHarness, name: bytes) -> None:
    """What becomes of the name is the router's; here it must not break, nor leave its line."""
    url, token = URL(harness.url), harness.browser(CUSTOMER).token
    head = (
        b"POST /v1/webchat/site/files HTTP/1.1\r\nHost: %s:%d\r\nOrigin: %s\r\n"
        b"Webchat-Token: %s\r\nWebchat-File-Name: %s\r\nContent-Length: %d\r\n\r\n"
    ) % (url.host.encode(), url.port, harness.origin.encode(), token.encode(), name, len(PNG))
    status, rest = await raw(harness, head + PNG)
    assert status == 201, rest
    assert b"\nset-cookie" not in rest.lower()
    answer = json.loads(rest[rest.index(b"{") :])
    assert answer["name"].endswith(".png")
    assert 0 < len(answer["name"]) <= 125


@pytest.mark.parametrize(
    "data",
    [b"<html><script>alert(1)</script>", b"\xef\xbb\xbf<svg onload=x>", b"<?xml version='1.0'?>",
     "<script>".encode("utf-16"), b"MZ\x90\x00", b"\x7fELF", b"#!/bin/sh\n", b"%!PS-Adobe",
     b" GIF89a<script>", b"\r\n%PDF-1.7", b"RIFF\0\0\0\0WEBX", b"RIFF", b"PK\x05\x06", b"\x89PN"],
)  # fmt: skip
async def test_what_a_browser_would_run_is_no_picture(harness: WebChatHarness, data: bytes) -> None:
    answer = await upload(harness, harness.browser(CUSTOMER).token, data, name="a.png")
    assert (answer.status, answer.code) == (415, "type")
    assert harness.router.said("attach") == []


def test_a_picture_with_a_page_in_it_is_a_picture_by_name_and_type() -> None:
    for data, name in ((b"GIF89a/*<script>*/", "a.html"), (b"%PDF-1.7<script>", "a.gif.hta")):
        kind = kind_of(data)
        assert kind in ("image/gif", "application/pdf")
        assert name_for(name, kind).rpartition(".")[2] in ("gif", "pdf")


async def test_a_body_that_swells_is_given_up(harness: WebChatHarness) -> None:
    """gzip: 100 kB of 100 MB; the length that was announced is the small one."""
    async with WebChatHarness(files=True, file_bytes=2_000_000) as roomy:
        await roomy.browser(CUSTOMER).open()
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(100)] + [packer.flush()])
        url, token = URL(roomy.url), roomy.browser(CUSTOMER).token
        head = (
            f"POST /v1/webchat/site/files HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
            f"Origin: {roomy.origin}\r\nWebchat-Token: {token}\r\nContent-Encoding: gzip\r\n"
            f"Content-Length: {len(bomb)}\r\n\r\n"
        )
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        status, _ = await raw(roomy, head.encode() + bomb)
        assert status == 413
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
        assert grown_kib < 60 * 1024


async def test_a_small_file_is_not_waited_for_as_long_as_a_large_one() -> None:
    """Sixteen lines that announce a few bytes and send none would else keep everybody out."""
    async with WebChatHarness(files=True, file_bytes=25 * 1024 * 1024) as harness:
        await harness.browser(CUSTOMER).open()
        harness.chat.uploads.grace_s = 0.1
        url, token = URL(harness.url), harness.browser(CUSTOMER).token
        head = (
            f"POST /v1/webchat/site/files HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
            f"Origin: {harness.origin}\r\nWebchat-Token: {token}\r\nContent-Length: 9\r\n\r\n"
        )
        status, _ = await raw(harness, head.encode())
        assert status == 408


# --- files that nobody says -----------------------------------------------------------------------


def removed(harness: WebChatHarness) -> list[str]:
    return sorted(said.of for said in harness.router.said("discard"))


def stored(harness: WebChatHarness) -> int:
    return len(harness.router.said("attach"))


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsaid, "KEPT_S", 0.2)


@pytest.mark.usefixtures("soon")
async def test_what_is_never_said_does_not_stay_on_the_disk(harness: WebChatHarness) -> None:
    for _ in range(HELD + 2):  # more than a conversation may hold: also those that it forgot
        await kept(harness)
    await harness.signal.until(lambda: len(removed(harness)) == stored(harness), PATIENCE_S)
    assert stored(harness) == HELD + 2
    assert len(set(removed(harness))) == HELD + 2
    assert len(harness.chat.uploads._unsaid) == 0


@pytest.mark.usefixtures("soon")
async def test_what_was_said_or_may_have_been_stays(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    assert await say(browser, "m1", [await kept(harness)]) == ""
    harness.router.fail("message", OutcomeUnknown("no answer"))
    assert await say(browser, "m2", [await kept(harness)]) == "try_again"
    harness.router.fail("message", Refused("too_many", "no"))
    assert await say(browser, "m3", [await kept(harness)]) == "too_many"
    await harness.signal.until(lambda: bool(removed(harness)), PATIENCE_S)
    calls = enumerate(harness.router.calls, 1)
    places = [number for number, said in calls if said.call == "attach"]
    assert removed(harness) == [f"f{places[2]}"]
    assert len(harness.chat.uploads._unsaid) == 0


@pytest.mark.usefixtures("soon")
async def test_the_end_of_a_conversation_takes_its_files_along(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    assert await browser.say("hello", "m1") == ""
    await kept(harness)
    end = EndContact(
        channel="chat", contact=ContactId("c1"), reason="completed", outcome="completed"
    )
    await harness.channel.perform(harness.task(CUSTOMER, end, id_="e1"))
    await harness.signal.until(lambda: len(removed(harness)) == 1, PATIENCE_S)


async def test_a_stop_removes_what_nobody_can_name_any_more() -> None:
    async with WebChatHarness(files=True, file_bytes=1000) as harness:
        await harness.browser(CUSTOMER).open()
        await kept(harness)
        await kept(harness)
    assert len(removed(harness)) == 2


async def test_one_network_fills_no_disk_whoever_it_says_it_is(
    harness: WebChatHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsaid, "OF_NETWORK", 3)
    await harness.browser(OTHER).open()
    ids = [await kept(harness, who) for who in (CUSTOMER, OTHER, CUSTOMER)]
    answer = await upload(harness, harness.browser(OTHER).token)
    assert (answer.status, answer.code) == (503, "try_again")
    assert stored(harness) == 3
    assert await say(harness.browser(CUSTOMER), "m1", [ids[0]]) == ""  # said: it waits no more
    await kept(harness, OTHER)
