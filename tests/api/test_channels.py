"""An adapter in another process: its socket, against the real `remote` adapter."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgpack
import pytest

from router.errors import Overloaded, StoreFull
from tests.api.site import Site
from tests.api.test_desk import Desk, desk


@asynccontextmanager
async def phones(
    site: Site, role: str = "adapter", packed: bool = False
) -> AsyncIterator[tuple[Desk, dict[str, Any]]]:
    protocol = "contact-router.v1.msgpack" if packed else "contact-router.v1.json"
    async with site.session.ws_connect(
        f"{site.base}/v1/channels/phones", protocols=[protocol]
    ) as socket:
        one = Desk(socket, packed)
        await one.say({"type": "hello", "token": await site.token(role)})
        yield one, await one.hear()


def call(number: int, **more: Any) -> dict[str, Any]:
    contact = {"external_id": f"call-{number}", "customer": {"address": "+49155"}} | more
    return {"type": "submit", "cid": number, "contact": {"to": "+4930555100"} | contact}


@pytest.mark.parametrize("packed", [False, True])
async def test_a_call_comes_in_is_connected_and_ends(site: Site, packed: bool) -> None:
    async with phones(site, packed=packed) as (pbx, welcome), desk(site) as (ana, _):
        assert welcome["type"] == "welcome"
        await ana.do("presence", presence="ready")
        await pbx.say(call(1))
        answer = await pbx.until(type="answer", cid=1)
        contact = answer["receipt"]["contact"]
        offer = await ana.until(event="ContactOffered")
        assert offer["contact"]["id"] == contact
        reservation = offer["reservation"]["id"]
        assert (await ana.do("accept", reservation=reservation))["ok"]
        task = await pbx.until(type="perform")
        while task["effect"]["type"] != "ConnectAgent":
            task = await pbx.until(type="perform")
        assert task["external_id"] == "call-1"
        await pbx.say({"type": "result", "effect": task["id"], "outcome": "done"})
        await pbx.say({"type": "connected", "cid": 2, "reservation": reservation})
        await pbx.until(type="answer", cid=2)
        await ana.until(event="ReservationConnected")
        await pbx.say({"type": "ended", "cid": 3, "external_id": "call-1", "reason": "hung up"})
        await ana.until(event="WrapUpStarted")


async def test_many_calls_can_be_under_way_and_each_is_answered(site: Site) -> None:
    async with phones(site) as (pbx, _):
        for number in range(300):
            await pbx.say(call(number))
        cids = set()
        while len(cids) < 300:
            frame = await pbx.hear()
            if frame["type"] == "answer":
                assert frame["receipt"]["contact"]
                cids.add(frame["cid"])
        await pbx.say(call(7) | {"cid": "again"})
        again = await pbx.until(type="answer", cid="again")
        assert again["receipt"]["created"] is False


async def test_a_call_waits_for_the_submission_before_it_about_the_same_contact(site: Site) -> None:
    async with phones(site) as (pbx, _):
        first = call(1)
        later: list[dict[str, Any]] = [
            call(1) | {"cid": "again"},
            {"type": "left", "cid": "left", "external_id": "call-1", "reason": "hung up"},
            call(1) | {"cid": "late"},
        ]
        for frame in [first, *later]:
            await pbx.say(frame)
        answers = {}
        while len(answers) < 4:
            frame = await pbx.hear()
            if frame["type"] == "answer":
                answers[frame["cid"]] = frame
        assert list(answers) == [1, "again", "left", "late"]
        assert "error" not in answers["left"]
        receipt = answers[1]["receipt"]
        assert answers["again"]["receipt"] | {"created": True} == receipt | {"created": True}
        assert answers["late"]["receipt"]["contact"] == receipt["contact"]
        assert answers["late"]["receipt"]["state"] == "closed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Overloaded("too much", 2.0), "overloaded"),
        (StoreFull("no room"), "overloaded"),
        (ZeroDivisionError("a fault"), "internal"),
    ],
)
async def test_a_submission_that_is_refused_at_once_is_answered_and_the_next_is_taken(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    async with phones(site) as (pbx, _):
        with monkeypatch.context() as patched:
            patched.setattr(site.server.hosts["oak"].workspace, "begin", refuse)
            await pbx.say(call(1))
            answer = await pbx.until(type="answer", cid=1)
            assert answer["error"]["code"] == code
        await pbx.say(call(1) | {"cid": 2})
        assert (await pbx.until(type="answer", cid=2))["receipt"]["contact"]


async def test_only_the_adapters_own_token_opens_its_socket(site: Site) -> None:
    for role in ("admin", "client", "agent"):
        async with site.session.ws_connect(f"{site.base}/v1/channels/phones") as socket:
            await socket.send_str(json.dumps({"type": "hello", "token": await site.token(role)}))
            assert await Desk(socket).closed() == 4403
    for name in ("texts", "nothing"):
        async with site.session.ws_connect(f"{site.base}/v1/channels/{name}") as socket:
            token = await site.token("adapter")
            await socket.send_str(json.dumps({"type": "hello", "token": token}))
            assert await Desk(socket).closed() == 4403


async def test_a_newer_session_of_an_adapter_replaces_the_older(site: Site) -> None:
    async with phones(site) as (old, _), phones(site) as (new, welcome):
        assert welcome["type"] == "welcome"
        assert await old.closed() in {4001, 4409}
        await new.say(call(1))
        await new.until(type="answer", cid=1)


async def test_garbage_on_the_socket_harms_nobody(site: Site) -> None:
    async with phones(site) as (pbx, _):
        for text in ("{", "[]", "null", '{"type": "fly"}', '{"type": "submit", "cid": 1}'):
            await pbx.socket.send_str(text)
        await pbx.say(call(2))
        answer = await pbx.until(type="answer", cid=2)
        assert answer["receipt"]["contact"]
    async with phones(site, packed=True) as (pbx, _):
        await pbx.socket.send_bytes(b"\xc1")
        await pbx.say(call(3))
        await pbx.until(type="answer", cid=3)


async def test_the_hello_is_the_same_in_msgpack(site: Site) -> None:
    async with site.session.ws_connect(
        f"{site.base}/v1/channels/phones", protocols=["contact-router.v1.msgpack"]
    ) as socket:
        await socket.send_bytes(msgpack.packb({"type": "hello", "token": "crt_x"}))
        assert await Desk(socket, packed=True).closed() == 4401
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await site.session.ws_connect(
            f"{site.base}/v1/channels/phones", headers={"Origin": "https://evil.example"}
        )


@pytest.mark.parametrize("kind", ["submit", "message"])
async def test_a_file_of_somebody_elses_cannot_be_named_nor_erased(site: Site, kind: str) -> None:
    """An adapter elsewhere that learned another file's id: it comes with no message of theirs, and
    erasing their customer leaves it where it is."""
    texts = site.server.hosts["oak"].channels.get("texts")
    assert texts is not None
    kept = await texts.router.attach(b"%PDF- a secret", name="a.pdf")
    stored = site.server.data / "attachments"
    assert [path.name for path in stored.rglob("*") if path.is_file()] == [kept["id"]]
    for entry in (kept, kept | {"key": ""}, kept | {"key": "A" * 44}, kept | {"role": "html"}):
        message = {"id": "m1", "text": "look", "attachments": [{"url": "https://a/b"}, entry]}
        async with phones(site) as (pbx, _):
            await pbx.say(call(1, message=message) | {"type": kind})
            answer = await pbx.until(type="answer", cid=1)
            assert answer["error"]["code"] == "attachment", answer
            await pbx.say({"type": "open", "cid": 2})
            assert (await pbx.until(type="answer", cid=2))["open"] == []
    async with phones(site) as (pbx, _):  # links are taken as before
        message["attachments"] = [{"url": "https://a/b"}]
        await pbx.say(call(1, message=message) | {"type": kind})
        contact = (await pbx.until(type="answer", cid=1))["receipt"]["contact"]
    admin = await site.client("admin")
    (view,) = (await admin("GET", f"/v1/contacts/{contact}/messages")).body["messages"]
    assert view.get("attachments", []) == []
    await admin("POST", f"/v1/contacts/{contact}:cancel", {})
    customer = (await admin("GET", f"/v1/contacts/{contact}")).body["customer"]
    assert (await admin("POST", f"/v1/customers/{customer}:erase", {})).status == 200
    assert [path.name for path in stored.rglob("*") if path.is_file()] == [kept["id"]]
