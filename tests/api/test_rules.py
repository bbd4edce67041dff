"""The rule book over HTTP: shown, counted, evaluated, never changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from router.core import commands as c
from router.core.model import SECOND_US, AgentId, ContactId, Presence, QueueId
from router.core.rules.book import Match, Moment, Rule, RuleBook, Segment
from router.core.rules.compile import compile_expression
from router.core.rules.context import Known, schema
from router.core.rules.types import STRING
from router.core.rules.verbs import (
    At,
    Experiment,
    PreferAgent,
    Schedule,
    SegmentStrategy,
    Then,
)
from tests.api.site import Client, Site, api_of, start

SCHEMA = schema(Known(queues={"front": "UTC", "billing": "UTC"}))


def when(text: str, expects: Any = None) -> Any:
    return compile_expression(text, SCHEMA, expects=expects)


BOOK = RuleBook(
    match=Match.ALL,
    conditions={"grown": when("customer.contacts > 3")},
    segments=(
        Segment(
            name="loyal",
            when=when('customer.attributes.plan == "gold"'),
            strategy=SegmentStrategy(then=Then(head_start_us=60 * SECOND_US), channels=("sms",)),
            place="test.yaml:3",
        ),
        Segment(name="others", strategy=SegmentStrategy(explore=False), place="test.yaml:5"),
    ),
    rules=(
        Rule(
            name="bills",
            when=when('contact.attributes.topic == "bill" && segment == "loyal"'),
            then=Then(
                queue="billing",
                require=(("english", 4),),
                set={"who": when('customer.id + "!"', STRING), "list": "short"},
                prefer_agent=PreferAgent(agent="ana", for_us=30 * SECOND_US),
                experiment=(Experiment(name="words", arms={"a": 1}),),
            ),
            place="test.yaml:9",
        ),
        Rule(name="key", on=Moment.INPUT, then=Then(watch=True), place="test.yaml:12"),
        Rule(
            name="offer",
            when=when('contact.direction == "outbound"'),
            then=Then(schedule=Schedule(at=At.LEARNED_WINDOW, purpose="marketing")),
            place="test.yaml:15",
        ),
        Rule(
            name="no",
            when=when('contact.attributes.topic == "spam"'),
            then=Then(reject="not for us"),
            place="test.yaml:19",
        ),
    ),
)


@pytest.fixture
async def lead(site: Site) -> Client:
    """A supervisor where these rules are in force."""
    workspace = site.server.hosts["oak"].workspace
    policy = msgspec.structs.replace(workspace.policy, rules=BOOK)
    await workspace.ask(c.ApplyPolicy(policy=policy))
    return await site.client("supervisor")


async def gold(site: Site, **fields: Any) -> None:
    admin = await site.client("admin")
    body = {"id": "kim", "attributes": {"plan": "gold"}, **fields}
    assert (await admin("POST", "/v1/customers", body)).status == 201


async def evaluated(lead: Client, **fields: Any) -> dict[str, Any]:
    body = {"channel": "voice", "queue": "front", **fields}
    answer = await lead("POST", "/v1/rules:evaluate", body)
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.body
    return found


async def test_the_book_is_shown_as_the_file_has_it(lead: Client) -> None:
    book = (await lead("GET", "/v1/rules")).body
    assert (book["match"], book["conditions"]) == ("all", {"grown": "customer.contacts > 3"})
    assert [rule["name"] for rule in book["rules"]] == ["bills", "key", "offer", "no"]
    bills = book["rules"][0]
    assert (bills["on"], bills["place"]) == ("received", "test.yaml:9")
    assert bills["when"] == 'contact.attributes.topic == "bill" && segment == "loyal"'
    assert bills["then"]["require"] == {"english": 4}
    assert bills["then"]["set"] == {"who": {"cel": 'customer.id + "!"'}, "list": "short"}
    assert bills["then"]["prefer_agent"] == {"agent": "ana", "for": "30s"}
    segments = (await lead("GET", "/v1/segments")).body["segments"]
    assert segments[0]["strategy"] == {"head_start": "60s", "channels": ["sms"]}
    assert segments[1] == {"name": "others", "strategy": {"explore": False}, "place": "test.yaml:5"}


async def test_matches_are_counted(site: Site, lead: Client) -> None:
    await gold(site)
    body = {
        "channel": "voice",
        "queue": "front",
        "customer": "kim",
        "attributes": {"topic": "bill"},
    }
    await lead("POST", "/v1/contacts", body)
    contact = (await lead("POST", "/v1/contacts", body)).body["contact"]
    bills, key = (await lead("GET", "/v1/rules")).body["rules"][:2]
    assert (bills["matched"], key.get("matched", 0)) == (2, 0)
    assert bills["last_at_us"] > 0
    loyal = (await lead("GET", "/v1/segments")).body["segments"][0]
    assert loyal["matched"] == 2
    shown = (await lead("GET", f"/v1/contacts/{contact}")).body
    listed = (await lead("GET", "/v1/contacts")).body["contacts"]
    assert [each["rules"] for each in listed] == [["bills"], ["bills"]]
    assert (shown["rules"], shown["segment"], shown["queue"]) == (["bills"], "loyal", "billing")
    assert shown["segment_reason"] == 'customer.attributes.plan == "gold"'


@pytest.mark.parametrize(
    ("path", "place"), [("rules/bills", "test.yaml:9"), ("segments/others", "test.yaml:5")]
)
async def test_the_book_is_changed_in_the_file(
    site: Site, lead: Client, path: str, place: str
) -> None:
    admin = await site.client("admin")
    answer = await admin("PUT", f"/v1/{path}", {})
    assert (answer.status, answer.code, answer.body["place"]) == (409, "file_owned", place)
    assert place in answer.body["detail"]
    assert (await admin("PUT", f"/v1/{path}x", {})).status == 404


async def test_a_contact_is_judged_with_what_is_known_of_its_customer(
    site: Site, lead: Client
) -> None:
    await gold(site)
    found = await evaluated(lead, customer="kim", attributes={"topic": "bill"})
    assert found["segment"]["name"] == "loyal"
    verdicts = found["segment"]["verdicts"]
    assert [(v["name"], v["place"]) for v in verdicts] == [
        ("loyal", "test.yaml:3"),
        ("others", "test.yaml:5"),
    ]
    assert verdicts[1]["text"] == "not looked at: an earlier one had decided"
    assert verdicts[0]["condition"]["reads"] == {"customer.attributes.plan": '"gold"'}
    rules = found["rules"]
    assert (rules["match"], rules["matched"]) == ("all", ["bills"])
    verbs = {verb["verb"]: (verb["value"], verb["rule"]) for verb in rules["verbs"]}
    assert verbs == {
        "head_start": ("60s", "segment loyal"),
        "queue": ("billing", "bills"),
        "require.english": (4, "bills"),
        "set.who": ("kim!", "bills"),
        "set.list": ("short", "bills"),
        "prefer_agent": ({"agent": "ana", "for": "30s"}, "bills"),
        "experiment.words": ("a", "bills"),
    }
    assert [(v["name"], v["text"]) for v in rules["verdicts"]] == [
        ("bills", "match"), ("offer", "no match"), ("no", "no match"),
    ]  # fmt: skip
    condition = rules["verdicts"][0]["condition"]
    assert [part["came"] for part in condition["parts"]] == ["true", "true"]
    assert condition["parts"][0]["reads"] == {"contact.attributes.topic": '"bill"'}
    place = found["place"]
    assert (place["queue"], place["position"], place["head_start_us"]) == ("billing", 1, 60_000_000)
    assert place["requirements"] == {"billing": 6, "english": 4}
    assert found["steps"][0]["step"] == "asked"
    assert found["text"] == ("It would wait in queue billing at position 1, for an unknown time.")
    assert (await lead("GET", "/v1/contacts")).body["contacts"] == []
    assert (await lead("GET", "/v1/rules")).body["rules"][0].get("matched", 0) == 0


async def test_who_would_get_it_is_told_with_the_terms(site: Site, lead: Client) -> None:
    workspace = site.server.hosts["oak"].workspace
    for agent in ("ana", "ben"):
        await workspace.ask(c.SetPresence(agent=AgentId(agent), presence=Presence.READY))
    found = await evaluated(lead)
    assert found["outcome"] == "offered"
    assert found["agents"]["agent"]["agent"] == "ana"
    assert [one["agent"] for one in found["agents"]["runners_up"]] == ["ben"]
    assert found["agents"]["agent"]["terms"][0] == ["rank", 1]
    assert found["text"] == "It would be offered to ana at once, in queue front."
    assert workspace.engine.state.reservations == {}


async def test_a_rule_that_rejects_is_an_answer_and_no_refusal(lead: Client) -> None:
    found = await evaluated(lead, attributes={"topic": "spam"})
    assert (found["outcome"], found["told"]) == ("rejected", "not for us")
    assert found["text"] == "It would be rejected by no: not for us"


def zone_in_which_it_is(hour: int) -> str:
    east = hour - datetime.now(UTC).hour
    east += 24 if east < -12 else 0
    return f"Etc/GMT{-east:+d}"  # POSIX counts to the west


async def test_what_goes_out_is_told_with_permission_and_windows(site: Site, lead: Client) -> None:
    where = zone_in_which_it_is(3)  # by day the best window may be open already
    await gold(site, identities=[{"kind": "phone", "address": "+4930123456"}], zone=where)
    peer = {"address": "+4930123456"}
    found = await evaluated(lead, channel="sms", direction="outbound", customer="kim", peer=peer)
    going = found["going"]
    assert going["terms"]["purpose"] == "marketing"
    assert not going["permission"]["allowed"], "nobody has consented to marketing"
    assert (found["outcome"], going["reason"]) == ("cancelled", going["permission"]["reason"])
    assert found["text"].startswith("It would never go out (cancelled): ")
    admin = await site.client("admin")
    consent = {"state": "given", "channel": "sms", "purpose": "marketing"}
    assert (await admin("POST", "/v1/customers/kim/consents", consent)).status == 200
    found = await evaluated(lead, channel="sms", direction="outbound", customer="kim", peer=peer)
    going = found["going"]
    assert found["outcome"] == "scheduled"
    assert going["reason"] == "learned_window"
    assert going["window"] == going["windows"][0]
    assert going["window"]["channel"] == "sms", "the segment's only one"
    assert "address" not in going["window"]
    assert going["at_us"] == going["window"]["start_us"] or going["at_us"] == found["at_us"]
    assert found["text"].startswith("It would go out from 20")
    state = site.server.hosts["oak"].workspace.engine.state
    assert state.contacts == {}


async def test_a_live_contact_is_evaluated_as_it_is(site: Site, lead: Client) -> None:
    workspace = site.server.hosts["oak"].workspace
    command = c.SubmitContact(contact=ContactId("c1"), channel="voice", queue=QueueId("front"))
    await workspace.ask(command)
    answer = await lead("POST", "/v1/rules:evaluate", {"contact": "c1"})
    assert (answer.status, answer.body["contact"], answer.body["outcome"]) == (200, "c1", "queued")
    assert answer.body["segment"]["name"] == "others"
    assert answer.body["text"].startswith("It is queued in queue front at position 1, ")
    missing = await lead("POST", "/v1/rules:evaluate", {"contact": "c9"})
    assert (missing.status, missing.code) == (422, "not_found"), "a name in the body"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "expected `channel`, or the id of a live `contact`"),
        ({"contact": "c1", "channel": "voice"}, "got both"),
        ({"channel": "fax", "queue": "front"}, "no channel 'fax'"),
        ({"channel": "voice", "queue": "front", "text": 1}, "unknown field"),
    ],
)
async def test_what_cannot_be_evaluated_is_told(
    lead: Client, body: dict[str, Any], words: str
) -> None:
    answer = await lead("POST", "/v1/rules:evaluate", body)
    assert answer.status == 422
    assert words in answer.body["detail"]


async def test_a_route_request_is_told_what_the_rules_decided(site: Site, lead: Client) -> None:
    await gold(site, identities=[{"kind": "phone", "address": "+4930123456"}])
    client = await site.client("client")
    body = {
        "request": "r1", "channel": "voice", "queue": "front", "address": "+4930123456",
        "attributes": {"topic": "bill"},
    }  # fmt: skip
    answer = (await client("POST", "/v1/route", body)).body
    assert (answer["queue"], answer["rules"], answer["segment"]) == ("billing", ["bills"], "loyal")
    assert answer["requirements"] == {"billing": 6, "english": 4}
    assert answer["attributes"]["list"] == "short"
    refused = await client("POST", "/v1/route", {**body, "attributes": {"topic": "spam"}})
    assert (refused.status, refused.body["detail"]) == (409, "not for us")


async def test_counters_survive_a_restart(tmp_path: Path) -> None:
    text = "queues: {front: {}}\nrules:\n  - name: all\n    then: {watch: true}\n"
    for matched in (1, 2):
        server = await start(tmp_path, text)
        try:
            async with aiohttp.ClientSession() as session:
                lead = await Site(server, api_of(server), session).client("supervisor", "main")
                body = {"channel": "voice", "queue": "front"}
                assert (await lead("POST", "/v1/contacts", body)).status == 201
                [rule] = (await lead("GET", "/v1/rules")).body["rules"]
                assert (rule["name"], rule["matched"], rule["place"]) == (
                    "all",
                    matched,
                    "test.yaml:3",
                )
        finally:
            await server.stop()
