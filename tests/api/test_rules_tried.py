"""A rule tried on the contacts that came in: whom it would have moved, and what cannot be said."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from router.core import commands as c
from router.core.model import SECOND_US, QueueId
from router.core.policy import Hours, HoursSpan, Policy, Queue
from router.runtime import reports, trying
from router.runtime.loop import Workspace
from tests.api.site import CONFIG, Answer, Client, Site, api_of, start
from tests.journal.conftest import RedisServer

RULES = """
    segments:
      loud: {when: 'has(contact.attributes.topic) && contact.attributes.topic == "noise"'}
    rules:
      - {name: busy, when: queue.waiting > 2, then: {head_start: 10s}}
      - {name: noise, when: segment == "loud", then: {queue: billing}}
      - {name: calls, when: 'contact.channel == "voice"', then: {set: {kind: call}, tier: 1}}
"""
BOOK = CONFIG.replace("    queues:\n      front:", f"{RULES}    queues:\n      front:", 1)
NUMBER, NAME = "+4930192837465", "Kim Canarisch"


@asynccontextmanager
async def serving(data: Path, text: str = BOOK) -> AsyncIterator[Site]:
    server = await start(data, text)
    try:
        async with aiohttp.ClientSession() as session:
            yield Site(server, api_of(server), session)
    finally:
        await server.stop()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with serving(tmp_path) as site:
        yield site


def workspace_of(site: Site) -> Workspace:
    return site.server.hosts["oak"].workspace


async def arrive(site: Site, channel: str = "chat", **fields: Any) -> str:
    admin = await site.client("admin")
    body = {"channel": channel, "queue": "front", **fields}
    answer = await admin("POST", "/v1/contacts", body)
    assert answer.status == 201, answer
    contact: str = answer.body["contact"]
    return contact


async def asked(site: Site, rule: str, **place: Any) -> Answer:
    lead: Client = await site.client("supervisor")
    return await lead("POST", "/v1/rules:try", {"rule": rule, "since_us": lately(site), **place})


def lately(site: Site) -> int:
    """An hour ago: today may have begun a second ago."""
    return site.api.clock.now_us() - 3600 * SECOND_US


async def tried(site: Site, rule: str, **place: Any) -> dict[str, Any]:
    answer = await asked(site, rule, **place)
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.body
    return found


BILLS = """
name: bills
when: has(contact.attributes.topic) && contact.attributes.topic == "bill"
then: {queue: billing, watch: true}
"""


async def test_it_moves_those_whom_it_names_and_tells_them_newest_first(site: Site) -> None:
    topics = ["bill", "", "x", "bill", "x"]
    contacts = [
        await arrive(site, attributes={"topic": topic} if topic else {}) for topic in topics
    ]
    await site.client("supervisor")  # a token is kept with a commit of its own
    await workspace_of(site).settled()
    seq = workspace_of(site).seq
    found = await tried(site, BILLS, before="busy")
    assert (found["judged"], found["matched"], found["moved"]) == (5, 2, 2)
    assert [each["contact"] for each in found["contacts"]] == [contacts[3], contacts[0]]
    newest, first = found["contacts"]
    assert newest["before"] == ["busy"]
    assert newest["after"] == first["after"] == ["bills"]
    assert "before" not in first
    assert first["changes"] == [
        {"verb": "queue", "before": "front", "after": "billing"},
        {"verb": "watch", "before": False, "after": True},
    ]
    assert {"verb": "head_start", "before": "10s", "after": "0s"} in newest["changes"]
    assert first["at_us"] < newest["at_us"] <= found["to_us"]
    assert "cut" not in found
    assert workspace_of(site).seq == seq, "something was decided"


async def test_who_rings_is_told_by_nothing_personal(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    peer = {"address": NUMBER, "name": NAME}
    await arrive(site, peer=peer, attributes={"topic": "bill", "words": NAME})
    with caplog.at_level(logging.DEBUG):
        answer = await asked(site, BILLS.replace("watch: true", "set: {topic: secret}"))
    assert answer.body["moved"] == 1
    told = json.dumps(answer.body) + caplog.text
    assert NAME not in told
    assert NUMBER[1:] not in told
    assert "secret" not in caplog.text


async def test_a_contact_counts_once_whatever_happens_to_it(site: Site) -> None:
    ana = await site.client("agent")
    admin = await site.client("admin")
    await ana("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    contact = await arrive(site, "sms", external_id="x", attributes={"topic": "bill"})
    [held] = (await ana("GET", f"/v1/contacts/{contact}")).body["reservations"]
    assert (await ana("POST", f"/v1/reservations/{held}:accept", {})).status == 200
    for number in range(3):
        said = {"text": f"hello {number}", "id": f"m{number}"}
        posted = await admin("POST", f"/v1/contacts/{contact}/messages", {**said, "from": "c"})
        assert posted.status in (201, 422), posted
    consult = {"queue": "billing"}
    assert (await ana("POST", f"/v1/contacts/{contact}:consult", consult)).status == 200
    assert (await ana("POST", f"/v1/contacts/{contact}:end-consult", {})).status == 200
    moved = await ana("POST", f"/v1/contacts/{contact}:transfer", {"queue": "billing"})
    assert moved.status == 200, moved
    for rule in (BILLS, BILLS.replace('bill"', 'none"')):
        found = await tried(site, rule, before="busy")
        assert found["judged"] == 1
        assert found["moved"] == (rule is BILLS)


async def test_each_rule_in_its_own_place_moves_nobody(site: Site) -> None:
    for number in range(12):
        channel = ("chat", "voice", "sms")[number % 3]
        topic = ("noise", "bill", "x")[number % 5 % 3]
        await arrive(site, channel, attributes={"topic": topic})
    lead = await site.client("supervisor")
    book = (await lead("GET", "/v1/rules")).body["rules"]
    for rule in book:
        found = await tried(site, rule["written"], instead_of=rule["name"])
        assert (found["judged"], found["moved"]) == (12, 0), rule
        assert found["matched"] == rule["matched"] > 0
        assert not {"contacts", "not_judged", "warnings"} & set(found)


async def test_what_was_not_recorded_is_counted_with_the_reason(site: Site) -> None:
    for _ in range(4):
        await arrive(site)
    await arrive(site, "voice", queue="billing")
    found = await tried(
        site, "{name: new, when: queue.longest_wait > duration('1m'), then: {tier: 3}}"
    )
    # The last chat found the queue busy: `busy` decided, and the new rule at the end is not asked.
    missing = {"reason": "not_recorded", "about": "queue.longest_wait"}
    assert found["not_judged"] == [{**missing, "contacts": 3}]
    assert found["judged"] == 2
    kind = "{name: new, when: has(contact.attributes.kind), then: {tier: 3}}"
    found = await tried(site, kind, before="calls")
    lost = {"reason": "overwritten", "about": "contact.attributes.kind", "contacts": 1}
    assert (found["not_judged"], found["judged"]) == ([lost], 4)


async def test_numbers_under_other_settings_are_not_believed(site: Site) -> None:
    await arrive(site)
    workspace = workspace_of(site)
    later = busy = "{name: busy, when: queue.waiting > 2, then: {head_start: 20s}}"
    assert (await tried(site, busy, instead_of="busy"))["judged"] == 1
    policy = workspace.policy
    await workspace.ask(c.ApplyPolicy(policy=policy))  # a reload
    await arrive(site)
    found = await tried(site, later, instead_of="busy")
    assert (found["judged"], found["not_judged"][0]["contacts"]) == (1, 1)


async def test_an_erased_customer_is_not_judged(site: Site) -> None:
    admin = await site.client("admin")
    kim = {"id": "kim", "name": NAME, "identities": [{"address": NUMBER}]}
    assert (await admin("POST", "/v1/customers", kim)).status == 201
    erased = await arrive(site, "voice", peer={"address": NUMBER}, attributes={"topic": "bill"})
    bare = await arrive(site, "sms", peer={"address": NUMBER})
    other = await arrive(site, attributes={"topic": "bill"})
    everybody = "{name: all, then: {queue: billing}}"
    before = await tried(site, everybody, before="busy")
    assert {each["contact"] for each in before["contacts"]} == {erased, bare, other}
    for contact in (erased, bare):
        assert (await admin("POST", f"/v1/contacts/{contact}:cancel", {})).status == 200
    assert (await admin("POST", "/v1/customers/kim:erase", {})).status == 200
    found = await tried(site, everybody, before="busy")
    assert [each["contact"] for each in found["contacts"]] == [other]
    assert found["not_judged"] == [{"reason": "erased", "contacts": 2}]


async def test_what_is_trimmed_is_said(site: Site) -> None:
    await arrive(site)
    workspace = workspace_of(site)
    await workspace.settled()
    kept_from = workspace.seq + 1
    await arrive(site)
    await workspace.settled()
    await workspace.journal.trim(workspace.own, kept_from)
    found = await tried(site, "{name: all, then: {tier: 5}}", before="busy")
    assert found["judged"] == 1
    assert found["trimmed_before_us"] == found["contacts"][0]["at_us"]
    since = await tried(site, "{name: all, then: {tier: 5}}", since_us=found["to_us"])
    assert since["judged"] == 0
    assert "trimmed_before_us" not in since


async def test_only_so_many_are_looked_at_and_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    contacts = [await arrive(site) for _ in range(5)]
    rule = "{name: all, then: {tier: 5}}"
    whole = await tried(site, rule, before="busy")
    assert (whole["judged"], whole.get("cut", False)) == (5, False)
    monkeypatch.setattr(trying, "SHOWN_MOST", 2)
    found = await tried(site, rule, before="busy")
    assert found["moved"] == 5
    assert [each["contact"] for each in found["contacts"]] == contacts[:-3:-1]
    monkeypatch.setattr(trying, "CONTACTS_MOST", 3)
    found = await tried(site, rule, before="busy")
    assert (found["judged"], found["cut"]) == (3, True)
    assert found["from_us"] > whole["contacts"][-1]["at_us"] > whole["from_us"]
    monkeypatch.setattr(trying, "CONTACTS_MOST", 5)
    assert "cut" not in await tried(site, rule, before="busy")
    monkeypatch.setattr(trying, "EVENTS_MOST", 1)
    assert (await tried(site, rule, before="busy"))["cut"] is True
    since = whole["contacts"][1]["at_us"]
    monkeypatch.undo()
    assert (await tried(site, rule, before="busy", since_us=since))["judged"] == 2


async def test_the_log_is_read_backwards_whole(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await site.client("admin")
    many = {"contacts": [{"channel": "chat", "queue": "front"}] * 7}
    contacts = []
    for _ in range(4):
        answer = await admin("POST", "/v1/contacts:batch", many)
        contacts += [each["receipt"]["contact"] for each in answer.body["results"]]
        contacts.append(await arrive(site))
    for chunk in (1, 3, 10, 1000):
        monkeypatch.setattr(trying, "_CHUNK", chunk)
        found = await tried(site, "{name: all, then: {tier: 5}}", before="busy")
        assert [each["contact"] for each in found["contacts"]] == contacts[::-1], chunk


async def test_the_loop_goes_on_meanwhile(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(20):
        await arrive(site)
    monkeypatch.setattr(trying, "SLICE_S", -1.0)  # every slice is over at once
    turns = 0
    done = asyncio.Event()

    async def count() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(count())
        found = await tried(site, "{name: all, then: {tier: 5}}")
        done.set()
    assert found["judged"] == 20
    assert turns > workspace_of(site).seq, "a turn for each event"


async def test_one_is_tried_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await arrive(site)
    lead = await site.client("supervisor")
    body = {"rule": "{name: all, then: {tier: 5}}", "since_us": lately(site)}
    answers = await asyncio.gather(*(lead("POST", "/v1/rules:try", body) for _ in range(3)))
    assert [(each.status, each.body["judged"]) for each in answers] == [(200, 1)] * 3
    monkeypatch.setitem(reports._asked, "oak", reports.WAITING_MOST + 1)
    answer = await lead("POST", "/v1/rules:try", body)
    assert (answer.status, answer.code) == (503, "overloaded")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"rule": "{name: x, then: {queue: biling}}"},
         "rule:1:25: then.queue: unknown queue 'biling', did you mean 'billing'?"),
        ({"rule": "name: x\nwhen: contact.chanel == 'a'\nthen: {tier: 1}"},
         "    contact.chanel == 'a'\n            ^^^^^^"),
        ({"rule": "{name: x, then: {queue: billing, reject: no}}"}, "exclude each other"),
        ({"rule": "{name: x, on: input, then: {tier: 1}}"}, "asked on arrival"),
        ({"rule": "{name: busy, then: {tier: 1}}"}, "there is a rule 'busy' already"),
        ({"rule": "{name: x, then: {tier: 1}}", "before": "bussy"}, "did you mean 'busy'?"),
        ({"rule": "{name: x, then: {tier: 1}}", "before": "busy", "instead_of": "busy"}, "both"),
        ({"rule": "{name: x, then: {tier: 1}}", "since_us": 5}, "of the last 32 days"),
        ({"rule": "{name: x, then: {tier: 1}}", "since_us": 1 << 53}, "of the last 32 days"),
        ({"rule": "x" * 16_385}, "16384"),
        ({"rule": ""}, "length"),
        ({}, "rule"),
    ],
)  # fmt: skip
async def test_what_cannot_be_tried_is_refused(site: Site, body: dict[str, Any], why: str) -> None:
    lead = await site.client("supervisor")
    answer = await lead("POST", "/v1/rules:try", body)
    assert answer.status == 422, answer
    assert why in "\n".join([answer.body["detail"], *answer.body.get("findings", [])])


async def test_what_can_hardly_be_meant_is_said(site: Site) -> None:
    found = await tried(site, "{name: all, then: {tier: 5}}", before="noise")
    assert found["warnings"] == [
        "'noise' is never reached: rule 'all' before it always matches",
        "'calls' is never reached: rule 'all' before it always matches",
    ]


async def test_another_workspaces_contacts_are_not_looked_at(site: Site) -> None:
    await arrive(site)
    lead = await site.client("supervisor", "elm")
    answer = await lead("POST", "/v1/rules:try", {"rule": "{name: all, then: {tier: 5}}"})
    assert (answer.status, answer.body["judged"]) == (200, 0)
    body = {"rule": "{name: all, then: {queue: billing}}"}
    assert (await lead("POST", "/v1/rules:try", body)).status == 422


def policy(**zones: str) -> Policy:
    spans = (HoursSpan((0,), 0, 60),)
    return Policy(
        version="v",
        channels={},
        queues={QueueId(n): Queue(id=QueueId(n), hours=n if z else "") for n, z in zones.items()},
        profiles={},
        hours={n: Hours(id=n, zone=z, spans=spans) for n, z in zones.items() if z},
    )


@pytest.mark.parametrize(
    ("zones", "zone"),
    [
        ({}, "UTC"),
        ({"a": ""}, "UTC"),
        ({"a": "", "b": "Europe/Berlin"}, "Europe/Berlin"),
        ({"a": "America/New_York", "b": "Asia/Tokyo", "c": "Asia/Tokyo"}, "Asia/Tokyo"),
    ],
)
def test_today_is_that_of_most_queues(zones: dict[str, str], zone: str) -> None:
    # The second has 25 hours in Berlin, the last one is the night in which they begin.
    for day, hour in ((21, 3), (25, 23), (25, 0)):
        now = datetime(2026, 10, day, hour, 30, tzinfo=ZoneInfo(zone))
        found = trying.day_start(policy(**zones), int(now.timestamp() * 1e6))
        assert datetime.fromtimestamp(found / 1e6, ZoneInfo(zone)).isoformat()[:19] == (
            f"2026-10-{day}T00:00:00"
        )


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_in_redis_it_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    redis = RedisServer(tmp_path / "redis")
    try:
        store = f"server: {{journal: {{store: redis, url: '{redis.url}'}}, "
        async with serving(tmp_path / "data", BOOK.replace("server: {", store, 1)) as site:
            await test_it_moves_those_whom_it_names_and_tells_them_newest_first(site)
            workspace = workspace_of(site)
            kept_from = workspace.seq + 1
            await arrive(site)
            await workspace.settled()
            await workspace.journal.trim(workspace.own, kept_from)
            found = await tried(site, "{name: all, then: {tier: 5}}", before="busy")
            assert (found["judged"], found["moved"]) == (1, 1)
            assert found["trimmed_before_us"] > found["from_us"]
    finally:
        redis.close()
