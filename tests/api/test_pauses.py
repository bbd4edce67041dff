"""A paused channel over HTTP and sockets: who may, what is told, to whom, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Site
from tests.api.site import Client
from tests.api.test_desk import desk, submit

TEXT: dict[str, Any] = {"channel": "sms", "queue": "front", "peer": {"address": "+491511234"}}


async def pause(client: Client, channel: str = "sms", reason: str = "") -> dict[str, Any]:
    answer = await client("POST", f"/v1/channels/{channel}:pause", {"reason": reason})
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.body["channel"]
    return found


async def resume(client: Client, channel: str = "sms") -> dict[str, Any]:
    answer = await client("POST", f"/v1/channels/{channel}:resume", {})
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.body["channel"]
    return found


async def test_what_waits_is_offered_when_the_channel_is_resumed(site: Site) -> None:
    supervisor = await site.client("supervisor")
    async with desk(site) as (ana, welcome):
        assert welcome["paused"] == []
        assert (await ana.do("presence", presence="ready"))["ok"]
        paused = await pause(supervisor, reason="nonsense since noon")
        assert paused["pause"]["reason"] == "nonsense since noon"
        assert paused["pause"]["by"] == "token:supervisor"
        told = await ana.until(type="paused")
        assert told["channels"] == [paused["pause"]]
        contact = await submit(site, channel="sms", peer={"address": "+4915112345678"})
        seen = (await supervisor("GET", f"/v1/contacts/{contact}")).body
        assert seen["state"] == "queued"
        email = await submit(site)
        assert (await ana.until(event="ContactOffered"))["contact"]["id"] == email
        await resume(supervisor)
        assert (await ana.until(type="paused")).get("channels", []) == []
        assert (await ana.until(event="ContactOffered"))["contact"]["id"] == contact


async def test_who_comes_later_finds_it_in_the_welcome(site: Site) -> None:
    supervisor = await site.client("supervisor")
    paused = await pause(supervisor)
    async with desk(site, packed=True) as (_, welcome):
        assert welcome["paused"] == [paused["pause"]]
    async with desk(site, "supervisor") as (wall, welcome):
        assert welcome["paused"] == [paused["pause"]]
        cell = next(q for q in welcome["board"]["queues"] if q["id"] == "front")
        assert cell.get("ewt_us", -1) == -1
        assert (await wall.do("resume_channel", channel="sms"))["ok"]
        assert (await wall.until(type="paused")).get("channels", []) == []
        delta = await wall.until(type="delta")
        assert "ChannelResumed" in [event["type"] for event in delta["events"]]
        assert {queue["id"] for queue in delta["queues"]} == {"front", "billing"}


async def test_the_wallboard_pauses_and_leaves_an_audit_row(site: Site) -> None:
    async with desk(site, "supervisor") as (wall, _):
        answer = await wall.do("pause_channel", channel="voice", reason="the provider is down")
        assert answer["ok"], answer
        assert (await wall.do("pause_channel", channel="voice", reason="again"))["ok"]
        answer = await wall.do("pause_channel", channel="fax")
        assert answer["error"]["code"] == "not_found"
    await resume(await site.client("supervisor"), "voice")
    rows = (await (await site.client("admin"))("GET", "/v1/audit?limit=500")).body["rows"]
    said = [
        (row["action"], row["subject"], row["by"])
        for row in rows
        if row["action"].startswith("channel.")
    ]
    assert said[0] == ("channel.pause", "voice: the provider is down", "token:supervisor")
    assert said[-1] == ("channel.resume", "voice", "token:supervisor")
    assert all(row["address"] for row in rows if row["action"].startswith("channel."))


async def test_a_desk_pauses_nothing(site: Site) -> None:
    async with desk(site) as (ana, _):
        for command in ("pause_channel", "resume_channel"):
            assert (await ana.do(command, channel="sms"))["error"]["code"] == "forbidden"


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_channel_that_is_not_there_is_not_found(site: Site, verb: str) -> None:
    admin = await site.client("admin")
    answer = await admin("POST", f"/v1/channels/fax:{verb}", {})
    assert (answer.status, answer.code) == (404, "not_found")


async def test_one_workspace_pauses_nothing_of_another(site: Site) -> None:
    await pause(await site.client("supervisor", "oak"), "chat")
    elm = await site.client("supervisor", "elm")
    channels = (await elm("GET", "/v1/channels")).body["channels"]
    assert channels
    assert not any("pause" in channel for channel in channels)
    assert "paused" not in (await elm("GET", "/v1/stats")).body


async def test_channels_statistics_metrics_and_reasons_say_so(site: Site) -> None:
    supervisor = await site.client("supervisor")
    paused = (await pause(supervisor, reason="nonsense"))["pause"]
    listed = (await supervisor("GET", "/v1/channels")).body["channels"]
    assert {c["name"] for c in listed if "pause" in c} == {"sms"}
    assert {c["name"] for c in listed} >= {"voice", "chat", "sms", "email"}
    assert (await supervisor("GET", "/v1/stats")).body["paused"] == [paused]
    page = (await (await site.client("admin"))("GET", "/metrics")).body.decode()
    assert 'router_channel_paused{channel="sms",workspace="oak"} 1.0' in page
    assert 'router_channel_paused{channel="chat",workspace="oak"} 0.0' in page
    contact = await submit(site, **{**TEXT, "peer": {"address": "+4915112345679"}})
    told = (await supervisor("POST", "/v1/rules:evaluate", {"contact": contact})).body
    assert told["place"]["pause"] == paused
    assert told["place"].get("wait_us", -1) == -1
    assert "Channel sms is paused since" in told["text"]
    assert "by token:supervisor (nonsense)." in told["text"]
    arriving = (await supervisor("POST", "/v1/rules:evaluate", TEXT)).body
    assert "is paused since" in arriving["text"]
    await resume(supervisor)
    told = (await supervisor("POST", "/v1/rules:evaluate", {"contact": contact})).body
    assert "paused" not in told["text"]
    page = (await (await site.client("admin"))("GET", "/metrics")).body.decode()
    assert 'router_channel_paused{channel="sms",workspace="oak"} 0.0' in page


async def test_a_pause_is_on_the_event_stream(site: Site) -> None:
    supervisor, admin = await site.client("supervisor"), await site.client("admin")
    await pause(supervisor, reason="nonsense")
    await resume(supervisor)
    url = f"{site.base}/v1/events"
    headers = {"Authorization": f"Bearer {admin.token}", "Last-Event-ID": "0"}
    seen: list[str] = []
    async with site.session.get(url, headers=headers) as stream:
        async for line in stream.content:
            if line.startswith(b"event:"):
                seen.append(line[6:].strip().decode())
            if seen and seen[-1] == "ChannelResumed":
                break
    assert [name for name in seen if name.startswith("Channel")] == [
        "ChannelPaused", "ChannelResumed",
    ]  # fmt: skip


async def test_what_else_a_supervisor_does_at_the_wallboard_is_audited_as_over_http(
    site: Site,
) -> None:
    contact = await submit(site)
    async with desk(site, "supervisor") as (wall, _):
        assert (await wall.do("move", contact=contact, queue="billing"))["ok"]
        assert (await wall.do("watch", contact=contact, watched=True))["ok"]
        assert (await wall.do("presence", agent="ben", presence="not_ready"))["ok"]
    rows = (await (await site.client("admin"))("GET", "/v1/audit?limit=500")).body["rows"]
    said = [(row["action"], row["subject"]) for row in rows if row["by"] == "token:supervisor"]
    assert said == [("contact.move", contact), ("agent.presence", "ben")]
