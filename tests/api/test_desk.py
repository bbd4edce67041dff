"""The desk socket: docs/desk-protocol.md, said to a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgpack
import pytest

from adapters.loopback import Loopback
from tests.api.site import Site


def matches(frame: dict[str, Any], wanted: dict[str, Any]) -> bool:
    found = dict(frame)
    if "event" in frame:
        found["event"] = frame["event"]["type"]
    return all(found.get(name) == value for name, value in wanted.items())


class Desk:
    """A page's side of the socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, packed: bool = False) -> None:
        self.socket = socket
        self.packed = packed
        self.count = 0
        self.kept: list[dict[str, Any]] = []
        """Heard while waiting for something else."""

    async def say(self, frame: dict[str, Any]) -> None:
        if self.packed:
            await self.socket.send_bytes(msgpack.packb(frame))
        else:
            await self.socket.send_str(json.dumps(frame))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            message = await self.socket.receive()
        assert message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}, message
        if self.packed:
            frame: dict[str, Any] = msgpack.unpackb(message.data)
        else:
            frame = json.loads(message.data)
        return frame

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """The next frame in which these fields (`event` = its type) have these values."""
        for frame in self.kept:
            if matches(frame, wanted):
                self.kept.remove(frame)
                return frame
        while True:
            frame = await self.hear()
            if matches(frame, wanted):
                return frame
            self.kept.append(frame)

    async def do(self, type_: str, **fields: Any) -> dict[str, Any]:
        self.count += 1
        cid = f"k{self.count}"
        await self.say({"type": type_, "cid": cid, **fields})
        return await self.until(type="answer", cid=cid)

    async def closed(self) -> int:
        async with asyncio.timeout(30):
            while True:
                message = await self.socket.receive()
                if message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}:
                    return self.socket.close_code or 0


@contextlib.asynccontextmanager
async def desk(
    site: Site, role: str = "agent", agent: str = "ana", **hello: Any
) -> AsyncIterator[tuple[Desk, dict[str, Any]]]:
    token = hello.pop("token", None) or await site.token(role, agent=agent)
    packed = hello.pop("packed", False)
    protocol = "contact-router.v1.msgpack" if packed else "contact-router.v1.json"
    async with site.session.ws_connect(
        f"{site.base}/v1/desk", protocols=[protocol], max_msg_size=0
    ) as socket:
        one = Desk(socket, packed)
        await one.say({"type": "hello", "token": token, **hello})
        yield one, await one.hear()


async def submit(site: Site, **fields: Any) -> str:
    client = await site.client("client")
    answer = await client("POST", "/v1/contacts", {"channel": "email", "queue": "front", **fields})
    assert answer.status == 201, answer
    contact: str = answer.body["contact"]
    return contact


@pytest.mark.parametrize("packed", [False, True])
async def test_a_contact_lives_its_life_at_the_desk(site: Site, packed: bool) -> None:
    async with desk(site, packed=packed) as (ana, welcome):
        assert welcome["type"] == "welcome"
        assert welcome["agent"]["id"] == "ana"
        assert welcome["directory"]["queues"][0]["id"] == "front"
        assert (await ana.do("presence", presence="ready"))["ok"]
        contact = await submit(
            site,
            peer={"address": "kim@example.org", "name": "Kim"},
            message={"text": "Où est ma table?"},
        )
        offer = await ana.until(event="ContactOffered")
        assert offer["contact"]["id"] == contact
        assert offer["contact"]["peer"]["address"] == "kim@example.org"
        assert offer["contact"]["messages"][0]["text"] == "Où est ma table?"
        assert offer["reservation"]["state"] == "offered"
        assert offer["event"]["decision"]["winner"]["id"]
        reservation = offer["reservation"]["id"]
        answer = await ana.do("accept", reservation=reservation)
        assert answer["ok"], answer
        answer = await ana.do("send", contact=contact, text="Morgen.")
        assert answer["ok"]
        assert answer["message"]
        assert welcome["directory"]["queues"][0]["dispositions"] == ["solved", "complaint"]
        answer = await ana.do("complete", contact=contact, disposition="sloved")
        assert answer["error"]["code"] == "unknown_disposition"
        assert "did you mean 'solved'?" in answer["error"]["text"]
        answer = await ana.do("complete", contact=contact, disposition="solved")
        assert answer["ok"], answer
        assert (await ana.until(event="ContactClosed"))["event"]["disposition"] == "solved"
        supervisor = await site.client("supervisor")
        closed = await supervisor("GET", f"/v1/contacts/{contact}")
        assert closed.body["disposition"] == "solved"
        answer = await ana.do("finish_wrap_up", reservation=reservation, disposition="complaint")
        assert answer["ok"], answer
        answer = await ana.do("finish_wrap_up", reservation=reservation)
        assert answer["error"]["code"] == "gone"
        closed = await supervisor("GET", f"/v1/contacts/{contact}")
        assert closed.body["disposition"] == "complaint"
    async with desk(site) as (_, welcome):
        assert welcome["reservations"] == []


async def test_the_numbers_of_the_shift_follow_what_has_ended(site: Site) -> None:
    async with desk(site) as (ana, welcome):
        assert (welcome["shift"]["handled"], welcome["shift"]["aht_us"]) == (0, None)
        await ana.do("presence", presence="ready")
        contact = await submit(site, peer={"address": "a@b.c"})
        offer = await ana.until(event="ContactOffered")
        await ana.do("accept", reservation=offer["reservation"]["id"])
        await ana.do("complete", contact=contact)
        await ana.do("finish_wrap_up", reservation=offer["reservation"]["id"])
        tick = await ana.until(type="tick")
        while not tick["shift"]["handled"]:  # one that was under way already
            tick = await ana.until(type="tick")
        stats = (await (await site.client("supervisor"))("GET", "/v1/stats")).body["agents"]["ana"]
        for name in ("offers", "accepted", "handled", "missed", "aht_us", "started_at_us"):
            assert tick["shift"][name] == stats[name], name
    async with desk(site, "supervisor") as (_, welcome):
        assert "shift" not in welcome


async def test_typing_reaches_the_customer_and_nothing_else(site: Site) -> None:
    texts = site.server.hosts["oak"].channels.get("texts")
    assert isinstance(texts, Loopback)
    async with desk(site) as (ana, _):
        await ana.do("presence", presence="ready")
        await texts.arrive("+4930900100", to="+4930555300", text="hello", external_id="x1")
        offer = await ana.until(event="ContactOffered")
        await ana.do("accept", reservation=offer["reservation"]["id"])
        before = (await ana.do("hold", contact=offer["contact"]["id"]))["seq"]
        for contact in (offer["contact"]["id"], offer["contact"]["id"], "c-unknown", 7):
            await ana.say({"type": "typing", "contact": contact})
        await texts.until(lambda: texts.lines["x1"].typed > 0)
        after = await ana.do("resume", contact=offer["contact"]["id"])
        assert texts.lines["x1"].typed == 1, "passed on every two seconds at most"
        assert after["seq"] == before + 1


async def test_pushes_carry_whole_objects_in_order(site: Site) -> None:
    async with desk(site) as (ana, _):
        await ana.do("presence", presence="ready")
        contact = await submit(site, peer={"address": "a@b.c"})
        frames = [await ana.until(type="event", event="ContactOffered")]
        reservation = frames[0]["reservation"]["id"]
        await ana.say({"type": "accept", "cid": "a", "reservation": reservation})
        await ana.say({"type": "send", "cid": "b", "contact": contact, "text": "Hello"})
        await ana.say({"type": "complete", "cid": "c", "contact": contact})
        await ana.say({"type": "finish_wrap_up", "cid": "d", "reservation": reservation})
        while frames[-1]["event"]["type"] != "ReservationEnded":
            frame = await ana.hear()
            if frame["type"] == "event":
                frames.append(frame)
            elif frame["type"] == "answer":
                assert frame["ok"], frame
        seqs = [frame["seq"] for frame in frames]
        assert seqs == sorted(set(seqs))
        types = [frame["event"]["type"] for frame in frames]
        assert (
            types.index("OfferAccepted") < types.index("MessageSent") < types.index("ContactClosed")
        )
        sent = frames[types.index("MessageSent")]
        assert sent["message"]["text"] == "Hello"
        assert sent["message"]["from"] == "agent"
        assert frames[-1]["reservation"]["state"] == "done"


async def test_the_same_cid_is_carried_out_once_also_after_a_resume(site: Site) -> None:
    async with desk(site) as (ana, welcome):
        await ana.do("presence", presence="ready")
        await submit(site)
        offer = await ana.until(event="ContactOffered")
        await ana.say({"type": "accept", "cid": "x", "reservation": offer["reservation"]["id"]})
        first = await ana.until(type="answer", cid="x")
        await ana.say({"type": "accept", "cid": "x", "reservation": offer["reservation"]["id"]})
        assert await ana.until(type="answer", cid="x") == first
    async with desk(
        site, resume=welcome["resume"], epoch=welcome["epoch"], last_seq=offer["seq"]
    ) as (ana, second):
        assert second["resumed"]
        assert second["session"] == welcome["session"]
        missed = [frame["event"]["type"] for frame in second["missed"]]
        assert "OfferAccepted" in missed
        assert "AgentLost" in missed
        await ana.say({"type": "accept", "cid": "x", "reservation": offer["reservation"]["id"]})
        assert await ana.until(type="answer", cid="x") == first


async def test_a_newer_connection_of_a_session_replaces_the_older(site: Site) -> None:
    async with (
        desk(site) as (old, welcome),
        desk(site, resume=welcome["resume"]) as (_, second),
    ):
        assert second["resumed"]
        assert await old.closed() == 4409


async def test_another_agents_things_look_as_if_they_were_not_there(site: Site) -> None:
    async with desk(site) as (ana, _), desk(site, agent="ben") as (ben, _):
        await ana.do("presence", presence="ready")
        contact = await submit(site)
        offer = await ana.until(event="ContactOffered")
        reservation = offer["reservation"]["id"]
        for type_, fields in {
            "accept": {"reservation": reservation},
            "reject": {"reservation": reservation},
            "complete": {"contact": contact},
            "send": {"contact": contact, "text": "hi"},
            "transfer": {"contact": contact, "queue": "billing"},
        }.items():
            answer = await ben.do(type_, **fields)
            assert answer["error"]["code"] == "not_found", (type_, answer)
        answer = await ben.do("move", contact=contact, queue="billing")
        assert answer["error"]["code"] == "forbidden"
        answer = await ben.do("presence", agent="ana", presence="offline")
        assert answer["ok"]  # at a desk only one's own: the field is not looked at
        assert site.server.hosts["oak"].workspace.engine.state.agents["ana"].presence == "ready"


async def test_a_wallboard_sees_what_changes(site: Site) -> None:
    async with desk(site, "supervisor") as (wall, welcome):
        assert welcome["mode"] == "supervisor"
        assert {q["id"] for q in welcome["board"]["queues"]} == {"front", "billing"}
        assert welcome["formulas"]["service_level"]
        assert [queue["goal"] for queue in welcome["board"]["queues"]] == [0.95, 0.8]
        contact = await submit(site)
        delta = await wall.until(type="delta")
        while not delta["contacts"]:  # of a channel that has come up just now
            delta = await wall.until(type="delta")
        assert delta["contacts"][0]["id"] == contact
        front = next(q for q in delta["queues"] if q["id"] == "front")
        assert front["waiting"] == 1
        assert delta["totals"]["waiting"] == 1
        answer = await wall.do("move", contact=contact, queue="billing")
        assert answer["ok"], answer
        answer = await wall.do("presence", agent="ben", presence="ready")
        assert answer["ok"], answer
        while True:
            delta = await wall.until(type="delta")
            if any(a["id"] == "ben" and a.get("reservations") for a in delta["agents"]):
                break
        answer = await wall.do("cancel", contact=contact)
        while contact not in delta["gone"]["contacts"]:
            delta = await wall.until(type="delta")
    supervisor = await site.client("supervisor")
    stats = await supervisor("GET", "/v1/stats")
    assert stats.body["formulas"]["goal"]
    assert stats.body["queues"]["front"]["email"]["goal"] == 0.95


async def test_parked_contacts_stay_with_their_agent(site: Site) -> None:
    async with desk(site) as (ana, _):
        await ana.do("presence", presence="ready")
        contact = await submit(site, peer={"address": "p@q.r"})
        offer = await ana.until(event="ContactOffered")
        await ana.do("accept", reservation=offer["reservation"]["id"])
        answer = await ana.do("park", contact=contact)
        assert answer["ok"], answer
    async with desk(site) as (ana, welcome):
        assert [c["id"] for c in welcome["contacts"]] == [contact]
        assert welcome["contacts"][0]["state"] == "parked"
        assert welcome["reservations"] == []


async def test_the_offer_of_a_vanished_desk_goes_back(site: Site) -> None:
    async with desk(site) as (ana, _):
        await ana.do("presence", presence="ready")
        async with desk(site, agent="ben") as (ben, _):
            contact = await submit(site)
            await ana.until(event="ContactOffered")
            await ana.socket.close()
            await ben.do("presence", presence="ready")
            offer = await ben.until(event="ContactOffered")
            assert offer["contact"]["id"] == contact


async def test_wrong_hellos_are_closed_with_their_code(site: Site) -> None:
    cases: list[tuple[Any, int]] = [
        ({"type": "hello", "token": "crt_nonsense"}, 4401),
        ({"type": "hello", "token": await site.token("client")}, 4403),
        ({"type": "hello", "token": await site.token("agent"), "mode": "supervisor"}, 4403),
        ({"type": "hello", "token": await site.token("supervisor"), "mode": "agent"}, 4403),
        ({"type": "hello"}, 4400),
        ({"type": "accept", "cid": "1"}, 4400),
        ([], 4400),
        ({"type": "hello", "token": "x", "surprise": 1}, 4400),
    ]
    for hello, code in cases:
        async with site.session.ws_connect(f"{site.base}/v1/desk") as socket:
            await socket.send_str(json.dumps(hello))
            assert await Desk(socket).closed() == code, hello


async def test_bad_frames_close_the_socket_or_are_answered(site: Site) -> None:
    for text in ("{", '{"cid": "a", "cid": "b", "type": "x"}', '{"type": "accept"}', "[" * 5000):
        async with desk(site) as (ana, _):
            await ana.socket.send_str(text)
            assert await ana.closed() == 4400, text[:40]
    async with desk(site) as (ana, _):
        assert (await ana.do("fly"))["error"]["code"] == "invalid"
        assert (await ana.do("accept"))["error"]["code"] == "invalid"
        assert (await ana.do("accept", reservation=7))["error"]["code"] == "invalid"
        assert (await ana.do("presence", presence="asleep"))["error"]["code"] == "invalid"
        assert (await ana.do("presence", presence="ready", extra=1))["error"]["code"] == "invalid"
        await ana.socket.send_str("x" * 70_000)
        assert await ana.closed() == 1009


async def test_a_foreign_page_may_not_open_a_socket(site: Site) -> None:
    for origin, status in (
        ("https://evil.example", 403),
        ("null", 403),
        (f"http://127.0.0.1:{site.server.port}.evil.example", 403),
        ("https://shop.example", 101),
        (site.base, 101),
    ):
        headers = {"Origin": origin}
        if status == 101:
            async with site.session.ws_connect(f"{site.base}/v1/desk", headers=headers) as socket:
                await socket.close()
        else:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await site.session.ws_connect(f"{site.base}/v1/desk", headers=headers)
            assert refused.value.status == status


async def test_a_revoked_token_closes_its_sockets(site: Site) -> None:
    async with desk(site) as (ana, _):
        admin = await site.client("admin")
        tokens = (await admin("GET", "/v1/tokens")).body["tokens"]
        mine = next(t["id"] for t in tokens if t.get("agent") == "ana")
        assert (await admin("DELETE", f"/v1/tokens/{mine}")).status == 204
        link = next(iter(site.api.sockets._links))
        link.on_tick()
        assert await ana.closed() == 4401


async def test_a_long_reason_in_any_script_ends_with_a_whole_letter(site: Site) -> None:
    async with desk(site) as (ana, _):
        link = next(iter(site.api.sockets._links))
        link.close(4409, "x" + "é" * 100)
        assert await ana.closed() == 4409


async def test_a_reader_who_does_not_read_is_cut_and_others_are_not(site: Site) -> None:
    async with desk(site) as (ana, _), desk(site, agent="ben") as (ben, _):
        link = next(iter(site.api.sockets._links))
        for number in range(1_200):
            link.tell({"type": "tick", "n": number})
        assert await ana.closed() == 1013
        assert (await ben.do("presence", presence="ready"))["ok"]


async def test_a_server_that_stops_says_so_first(site: Site) -> None:
    async with desk(site) as (ana, _), desk(site, "supervisor") as (wall, _):
        await site.api.sockets.close("the server stops")
        for one in (ana, wall):
            assert (await one.until(type="closing"))["reason"] == "the server stops"
            assert await one.closed() == 1001


async def test_a_transfer_takes_the_contact_off_one_desk_and_to_another(site: Site) -> None:
    async with desk(site) as (ana, _), desk(site, agent="ben") as (ben, _):
        await ana.do("presence", presence="ready")
        contact = await submit(site, message={"text": "My invoice is wrong"})
        offer = await ana.until(event="ContactOffered")
        await ana.do("accept", reservation=offer["reservation"]["id"])
        await ben.do("presence", presence="ready")
        answer = await ana.do("transfer", contact=contact, target_agent="ben", reason="billing")
        assert answer["ok"], answer
        gone = await ana.until(event="ContactQueued")
        assert gone["contact"]["mine"] is False
        assert "peer" not in gone["contact"]
        offer = await ben.until(event="ContactOffered")
        assert offer["contact"]["messages"][0]["text"] == "My invoice is wrong"
