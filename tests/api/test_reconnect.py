"""Desks that come back: what each is told, what all of them together cost, and who must wait."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import aiohttp
import msgspec
import pytest

from router.api.directory import AGAIN_US, CHANGES
from router.api.limits import LATEST_S, Herd
from router.api.trail import MISSED, Trail
from router.core import events as e
from router.core.model import AgentId, Candidate, ContactId, Decision, QueueId, ReservationId
from router.errors import JournalError
from tests.api.site import Site, api_of, start
from tests.api.test_desk import desk, submit

ANA, BEN = AgentId("ana"), AgentId("ben")
PAGES = Path(__file__).parents[2] / "router" / "web" / "page"


DECISION = Decision(edge="contact", strategy="longest_idle", winner=Candidate(id="", terms=()))


def offered(contact: str, agent: AgentId) -> e.ContactOffered:
    return e.ContactOffered(
        at_us=1, reservation=ReservationId(f"r-{contact}"), contact=ContactId(contact), agent=agent,
        queue=QueueId("front"), channel="chat", units=1, rank=1, deadline_at_us=2,
        decision=DECISION,
    )  # fmt: skip


def closed(contact: str) -> e.ContactClosed:
    return e.ContactClosed(at_us=1, contact=ContactId(contact), outcome="completed")  # type: ignore[arg-type]


def presence(agent: AgentId) -> e.PresenceChanged:
    return e.PresenceChanged(at_us=1, agent=agent, presence="ready")  # type: ignore[arg-type]


def trail(entries: int = 10_000) -> Trail:
    made = Trail(entries)
    made.know(ANA)
    return made


def seqs(made: Trail, agent: AgentId, seq: int) -> tuple[list[int], bool]:
    found, more = made.since(agent, seq)
    return [at for at, _ in found], more


# --- what happened meanwhile ----------------------------------------------------------------------


def test_an_agent_without_a_screen_is_told_of_the_end_of_a_contact_of_theirs() -> None:
    made = trail()
    made.add(1, offered("c1", ANA), {ANA: None})
    made.add(2, closed("c1"), {})
    made.add(3, closed("c2"), {})
    assert seqs(made, ANA, 0) == ([1, 2], False)
    assert seqs(made, ANA, 1) == ([2], False)


def test_what_others_do_with_a_contact_that_was_given_back_is_not_told() -> None:
    made = trail()
    gone = e.OfferRescinded(
        at_us=1, reservation=ReservationId("r-c1"), contact=ContactId("c1"), agent=ANA
    )
    made.add(1, offered("c1", ANA), {ANA: None})
    made.add(2, gone, {ANA: None})
    made.add(3, offered("c1", BEN), {BEN: None})
    made.add(4, closed("c1"), {BEN: None})
    assert seqs(made, ANA, 0) == ([1, 2], False)
    assert seqs(made, BEN, 0) == ([], False), "nobody keeps what no desk will ask for"


def test_more_than_a_desk_is_told_and_more_than_is_kept_are_said_to_be_more() -> None:
    made = trail(entries=MISSED + 100)
    for seq in range(1, MISSED + 51):
        made.add(seq, presence(ANA), {ANA: None})
    found, more = seqs(made, ANA, 0)
    assert (found[0], found[-1], len(found), more) == (51, MISSED + 50, MISSED, True)
    assert seqs(made, ANA, 60) == (list(range(61, MISSED + 51)), False)
    made.know(BEN)
    for seq in range(1000, 1000 + MISSED + 50):
        made.add(seq, presence(BEN), {BEN: None})
    assert seqs(made, ANA, MISSED)[1] is False, "none of hers after that had to go"
    assert seqs(made, ANA, 1)[1] is True, "some of hers had to go for others'"


def test_after_an_erasure_nothing_is_told_of_before() -> None:
    made = trail()
    made.add(1, offered("c1", ANA), {ANA: None})
    made.add(2, e.CustomerErased(at_us=1, customer="p1"), {})
    made.add(3, presence(ANA), {ANA: None})
    assert seqs(made, ANA, 0) == ([3], True)
    assert seqs(made, ANA, 2) == ([3], False)


async def test_what_was_missed_is_told_without_reading_the_journal(site: Site) -> None:
    async with desk(site) as (ana, welcome):
        await ana.do("presence", presence="ready")
        contact = await submit(site)
        offer = await ana.until(event="ContactOffered")
        await ana.do("accept", reservation=offer["reservation"]["id"])
    client = await site.client("client")
    answer = await client("POST", f"/v1/contacts/{contact}:abandon", {})
    assert answer.status == 200, answer

    async def unreadable(_from_seq: int, _limit: int) -> Any:
        raise JournalError("nobody may read the log here")

    workspace = site.server.hosts["oak"].workspace
    workspace.feed.read = unreadable
    async with desk(
        site, resume=welcome["resume"], epoch=welcome["epoch"], last_seq=offer["seq"]
    ) as (_, second):
        told = [frame["event"]["type"] for frame in second["missed"]]
        assert told[:2] == ["OfferAccepted", "ReservationConnected"]
        assert "ContactClosed" in told, "of a contact that was hers while she was away"
        assert not second.get("missed_more")


# --- the directory --------------------------------------------------------------------------------


async def test_of_many_agents_only_those_that_changed_are_sent(tmp_path: Path) -> None:
    people = "\n".join(f"      a{n:03}: {{name: Agent {n}, profile: all}}" for n in range(40))
    server = await start(
        tmp_path,
        "server: {durability: process}\nworkspaces:\n  oak:\n    queues: {front: {}}\n"
        f"    profiles: {{all: {{front: 1}}}}\n    agents:\n{people}\n",
    )
    try:
        tenant = api_of(server).tenants["oak"]
        directory, agents = tenant.hub.directory, tenant.state.agents
        first = directory.look()
        assert directory.look() == first, "nothing changed"
        moment_us = 0

        def later() -> int:
            nonlocal moment_us
            moment_us += AGAIN_US + 1
            directory._made_us = tenant.workspace.now_us() - AGAIN_US - 1
            return directory.look()

        assert later() == first, "time alone changes nothing"
        agents[AgentId("a007")].reason = "lunch"
        second = later()
        frame = msgspec.json.decode(directory.since(first, False))
        assert (frame["type"], [a["id"] for a in frame["agents"]]) == ("directory_agents", ["a007"])
        assert frame["agents"][0]["reason"] == "lunch"
        assert directory.since(first, False) is directory.since(first, False), "made once for all"
        packed = msgspec.msgpack.decode(directory.since(first, True))
        assert packed == frame, "both encodings say the same"
        gone = agents.pop(AgentId("a008"))
        third = later()
        frame = msgspec.json.decode(directory.since(second, False))
        assert (frame["agents"], frame["gone"]) == ([], ["a008"])
        frame = msgspec.json.decode(directory.since(first, False))
        assert ([a["id"] for a in frame["agents"]], frame["gone"]) == (["a007"], ["a008"])
        agents[gone.id] = gone
        for agent in list(agents.values())[:20]:
            agent.reason = "training"
        later()
        frame = msgspec.json.decode(directory.since(third, False))
        assert frame["type"] == "directory", "half of all: the whole is shorter"
        assert len(frame["directory"]["agents"]) == 40
        assert [q["id"] for q in frame["directory"]["queues"]] == ["front"]
        for number in range(CHANGES + 1):
            agents[AgentId("a001")].reason = f"r{number}"
            last = later()
        frame = msgspec.json.decode(directory.since(third, False))
        assert frame["type"] == "directory", "what was long ago is not known any more"
        assert last == directory.version
    finally:
        await server.stop()


@pytest.mark.parametrize("packed", [False, True], ids=["json", "msgpack"])
async def test_a_large_directory_follows_the_welcome_and_is_made_once_for_all(
    tmp_path: Path, packed: bool
) -> None:
    people = "\n".join(f"      a{n:04}: {{name: Agent {n}, profile: all}}" for n in range(800))
    server = await start(
        tmp_path,
        "server: {durability: process}\nworkspaces:\n  oak:\n    queues: {front: {}}\n"
        f"    profiles: {{all: {{front: 1}}}}\n    agents:\n{people}\n",
    )
    try:
        async with aiohttp.ClientSession() as session:
            site = Site(server, api_of(server), session)
            for role in ("agent", "supervisor"):
                async with desk(site, role, "a0001", packed=packed) as (one, welcome):
                    assert welcome["type"] == "welcome"
                    assert "directory" not in welcome
                    frame = await one.hear()
                    assert frame["type"] == "directory", "before all else"
                    assert len(frame["directory"]["agents"]) == 800
            directory = site.api.tenants["oak"].hub.directory
            assert directory.since(0, packed) is directory.since(0, packed)
    finally:
        await server.stop()


@pytest.mark.skipif(which("node") is None, reason="node is not installed")
def test_the_pages_put_the_changed_agents_in_the_place_of_the_old_ones() -> None:
    frame = {"agents": [{"id": "b", "presence": "ready"}, {"id": "d"}], "gone": ["a"]}
    before = {"queues": [1], "agents": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}
    script = (
        f"import {{ withAgents }} from {json.dumps((PAGES / 'directory.js').as_uri())};"
        f"const before = {json.dumps(before)};"
        f"const after = withAgents(before, {json.dumps(frame)});"
        "console.log(JSON.stringify({ before, after }));"
    )
    ran = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True
    )
    said = json.loads(ran.stdout)
    assert said["before"] == before, "what others hold is not changed"
    assert said["after"] == {
        "queues": [1],
        "agents": [{"id": "b", "presence": "ready"}, {"id": "c"}, {"id": "d"}],
    }


# --- the herd -------------------------------------------------------------------------------------


def test_a_herd_is_told_to_come_back_one_after_the_other() -> None:
    herd = Herd(rate=100.0, burst=50.0)
    waits = [herd.take(1_000_000) for _ in range(1_000)]
    assert waits[:50] == [0.0] * 50
    assert all(wait_s >= 1.0 for wait_s in waits[50:])
    assert waits[50:] == sorted(waits[50:]), "the later, the later"
    assert waits[-1] == pytest.approx(9.5), "950 were refused, and 100 a second come in"
    assert herd.take(1_010_000) == 0.0, "there is room for one now, whoever it is"


def test_nobody_of_a_herd_is_sent_away_for_longer_than_half_a_minute() -> None:
    herd = Herd(rate=100.0, burst=1.0)
    assert max(herd.take(1_000_000) for _ in range(10_000)) == LATEST_S
    assert herd.take(1_000_000 + 60_000_000) == 0.0, "all is forgotten"
    assert herd.take(61_000_000) == 1.0


async def test_too_many_who_come_at_once_hear_when_to_come_back(site: Site) -> None:
    site.api.limits.accepts = Herd(rate=0.01, burst=1.0)
    async with desk(site):
        pass
    async with site.session.get(
        f"{site.base}/v1/desk",
        headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                 "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="},
    ) as answer:  # fmt: skip
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 2
        assert (await answer.json())["code"] == "overloaded"
