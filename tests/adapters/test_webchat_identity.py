"""Visitors whom the site vouches for, visitors it does not, and too many strangers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.webchat import WebChat
from adapters.webchat.codec import Hello, Signer
from adapters.webchat.door import NETWORKS, Crowded, Door
from adapters.webchat.identity import ATTRIBUTES, CLAIMS_BYTES, Notary, NotTrue
from router.errors import ConfigError
from router.testing.adapter_harness import RouterDouble, Signal
from tests.adapters.webchat_harness import KEY, Browser, WebChatHarness

SECRET = "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15"
NOW_S = int(datetime.now(UTC).timestamp())


def signed(claims: Any, secret: str = SECRET) -> str:
    """As a site's server does it, by the description alone."""
    text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return text + "." + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def kim(**more: Any) -> dict[str, Any]:
    return {"id": "customer-42", "exp": NOW_S + 3600, "name": "Kim", **more}


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[WebChatHarness]:
    secret = tmp_path / "identity.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    async with WebChatHarness(identity_secret_file=str(secret), strangers_per_min=3) as harness:
        yield harness


async def test_a_signed_visitor_is_the_customer_that_the_site_knows(
    harness: WebChatHarness,
) -> None:
    browser = harness.browser("kim")
    browser.identity = signed(kim(attributes={"plan": "gold", "site": "forged", "orders": 3}))
    assert await browser.say("hello", "m1") == ""
    [contact] = [said.args[0] for said in harness.router.said("submit")]
    assert (contact.customer.address, contact.customer.name) == ("customer-42", "Kim")
    assert contact.attributes == {
        "plan": "gold", "orders": 3, "site": "site", "origin": harness.origin,
    }  # fmt: skip
    assert browser.of("error") == []


async def test_on_another_device_they_go_on_where_they_were(harness: WebChatHarness) -> None:
    phone, desktop = harness.browser("phone"), harness.browser("desktop")
    phone.identity = signed(kim())
    desktop.identity = signed(kim(exp=NOW_S + 7200))
    await phone.say("from the phone", "m1")
    await desktop.open()
    assert [m["text"] for m in desktop.frames[0]["messages"]] == ["from the phone"]
    await desktop.say("from the desk", "m2")
    assert len(harness.router.contacts) == 1
    assert (await phone.until("message", 2))["text"] == "from the desk"


async def test_who_signs_out_leaves_nothing_to_read_for_who_comes_next(
    harness: WebChatHarness,
) -> None:
    browser = harness.browser("shared")
    browser.identity = signed(kim())
    await browser.say("my account number is 7", "m1")
    await browser.close()
    for identity in ("", signed(kim(id="customer-43", name="Lee"))):
        browser.identity = identity
        await browser.open()
        assert browser.frames[0].get("messages", []) == []
        await browser.close()


@pytest.mark.parametrize(
    ("identity", "why"),
    [
        (signed(kim(), secret="x" * 40), "does not match"),
        (signed(kim()).replace(".", "A."), "does not match"),
        (signed(kim(exp=NOW_S - 1)), "has expired"),
        (signed(kim(exp=NOW_S + 91 * 86_400)), "more than 90 days"),
        (signed({"id": "customer-42"}), "missing required field `exp`"),
        (signed(kim(attributes={"a": {"b": 1}})), "Expected `bool | int | float | str`"),
        (signed(kim(attributes={str(n): n for n in range(ATTRIBUTES + 1)})), "more than 20"),
        (signed(kim(role="admin")), "unknown field `role`"),
        (signed("[" * 500), "not right"),
        ("not.base64.at.all", "does not match"),
        ("A" * (CLAIMS_BYTES + 1) + ".x", f"more than {CLAIMS_BYTES} bytes"),
    ],
)
async def test_what_is_not_signed_right_is_not_believed(
    harness: WebChatHarness, identity: str, why: str
) -> None:
    browser = harness.browser("stranger")
    browser.identity = identity
    assert await browser.say("hello", "m1") == ""
    assert why in (await browser.until("error"))["text"]
    [contact] = [said.args[0] for said in harness.router.said("submit")]
    assert contact.customer.address.startswith("v")
    assert contact.attributes == {"site": "site", "origin": harness.origin}


def test_a_site_without_a_secret_believes_nobody() -> None:
    with pytest.raises(NotTrue, match="takes no identities"):
        Notary(b"").check(signed(kim(), secret=""), NOW_S)


async def test_too_many_strangers_from_one_address_come_back_later(
    harness: WebChatHarness,
) -> None:
    browsers = [Browser(harness) for _ in range(4)]
    for browser in browsers:
        await browser.open()
    assert [browser.closed for browser in browsers] == [None, None, None, 1013]
    # Whoever is known is let in: by a token, or because the site vouches for them.
    await browsers[0].close()
    await browsers[0].open()
    known = Browser(harness)
    known.identity = signed(kim())
    await known.open()
    assert (browsers[0].closed, known.closed) == (None, None)
    for browser in [*browsers, known]:
        await browser.close()


def test_addresses_are_counted_apart_and_not_without_end() -> None:
    door = Door(Signer(b"s" * 32, "site", 30), Notary(b""), strangers_per_min=60)
    hello = Hello(key=KEY)
    for _ in range(60):
        door.admit(hello, "192.0.2.1", 1_000.0)
    with pytest.raises(Crowded):
        door.admit(hello, "192.0.2.1", 1_000.5)
    assert door.admit(hello, "192.0.2.1", 1_001.5).is_new
    for number in range(NETWORKS + 5):
        door.admit(hello, f"2001:db8::{number:x}", 1_002.0)
    assert len(door._by_network) == NETWORKS


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        ("short", 0o600, "expected >= 32"),
        (SECRET, 0o644, "may be read by others"),
        (None, 0o600, "No such file"),
    ],
)
def test_a_secret_that_is_none_is_refused(
    tmp_path: Path, content: str | None, mode: int, why: str
) -> None:
    file = tmp_path / "identity.secret"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    settings = {"key": KEY, "identity_secret_file": str(file)}
    with pytest.raises(ConfigError, match=why):
        WebChat("site", settings, RouterDouble(Signal()))
