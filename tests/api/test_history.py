"""Past attempts brought in over HTTP, and a customer's last contacts."""

from __future__ import annotations

from typing import Any

from tests.api.site import Client, Site

KIM, LEE = "+4930123456", "+4930654321"
AT = 1_790_000_000_000_000
HOUR = 3_600_000_000


async def sent(client: Client, *rows: dict[str, Any]) -> Any:
    answer = await client("POST", "/v1/outcomes:import", {"rows": list(rows)})
    assert answer.status == 200, answer
    return answer.body


def tried(address: str = KIM, **more: Any) -> dict[str, Any]:
    row = {"channel": "sms", "address": address, "at_us": AT, "outcome": "replied"}
    return {name: value for name, value in (row | more).items() if value != ""}


async def test_a_row_makes_the_customer_and_the_same_row_again_is_known(site: Site) -> None:
    admin = await site.client("admin")
    rows = [tried(at_us=AT + hour * HOUR) for hour in range(3)] + [tried(LEE), tried(LEE)]
    first = await sent(admin, *rows)
    assert (first["recorded"], first["known"], first["created"]) == (4, 1, 2)
    assert [row["status"] for row in first["results"]] == ["recorded"] * 4 + ["known"]
    again = await sent(admin, *rows)
    assert (again.get("recorded", 0), again["known"], again.get("created", 0)) == (0, 5, 0)
    corrected = await sent(admin, tried(outcome="ignored"))
    assert corrected["recorded"] == 1
    (kim,) = (await admin("GET", "/v1/customers?identity=%2B4930123456")).body["customers"]
    assert [(i["kind"], i["address"]) for i in kim["identities"]] == [("phone", KIM)]
    events = [
        event
        for event in await stored(site)
        if event["type"] == "OutcomeRecorded" and event["customer"] == kim["id"]
    ]
    assert [event["outcome"] for event in events] == ["replied"] * 3 + ["ignored"]
    assert events[0]["attempted_at_us"] == AT
    assert events[0]["attempt"].startswith("import/")
    assert events[0]["attempt"] == events[3]["attempt"] != events[1]["attempt"]
    assert events[0]["address"] == kim["identities"][0]["hash"]
    audit = (await admin("GET", "/v1/audit")).body["rows"]
    assert [row["subject"] for row in audit if row["action"] == "history.import"] == [
        "4 rows", "1 rows",
    ]  # fmt: skip


async def test_customers_are_told_by_id_by_an_address_or_by_a_handle(site: Site) -> None:
    admin = await site.client("admin")
    body = await sent(
        admin,
        tried(customer="kim", purpose="marketing"),
        tried(customer="kim", channel="email", address="Kim@Example.org", outcome="ignored"),
        tried(address="", customer="kim", channel="voice", outcome="answered"),  # the phone
        tried(address="", identity="kim@example.org", channel="voice", outcome="busy"),
        tried(address="", identity="sailor7", channel="chat"),
        tried(address="", identity="kim@example.org", channel="email", direction="inbound",
              outcome="", at_us=AT + HOUR),
    )  # fmt: skip
    assert [row["status"] for row in body["results"]] == [
        "recorded", "recorded", "recorded", "rejected", "recorded", "recorded",
    ]  # fmt: skip
    assert "none on voice is known" in body["results"][3]["detail"]
    after = await sent(
        admin,
        tried(address="", identity="kim@example.org", channel="voice", outcome="busy",
              at_us=AT + HOUR),
    )  # fmt: skip
    assert after["recorded"] == 1, after
    kim = (await admin("GET", "/v1/customers/kim")).body
    assert sorted(i["kind"] for i in kim["identities"]) == ["email", "phone"]
    outcomes = [e for e in await stored(site) if e["type"] == "OutcomeRecorded"]
    assert [e["outcome"] for e in outcomes if e["customer"] == "kim"] == [
        "replied", "ignored", "answered", "inbound", "busy",
    ]  # fmt: skip
    assert outcomes[0]["source"] == "import/marketing"
    assert {e["customer"][0] for e in outcomes if e["customer"] != "kim"} == {"p"}


async def test_each_wrong_row_says_what_is_wrong_with_it_and_the_others_are_taken(
    site: Site,
) -> None:
    admin = await site.client("admin")
    wrong: dict[str, dict[str, Any]] = {
        "no channel 'smss': did you mean 'sms'?": tried(channel="smss"),
        "no outcome 'anwsered': did you mean 'answered'?": tried(outcome="anwsered"),
        "no direction 'inbond': did you mean 'inbound'?": tried(direction="inbond"),
        "expected a moment from 2000-01-01 until now, got 1790000000 µs": tried(at_us=AT // 10**6),
        "expected a customer, an identity or an address": tried(""),
        "expected phone on sms, got 'unknown'": tried("unknown"),
        "expected an id, got 'a/b'": tried(customer="a/b"),
        "inbound: expected no outcome, got 'busy'": tried(direction="inbound", outcome="busy"),
        "expected letters, digits": tried(purpose="a b"),
        "no customer 'p": tried(customer="p" + "0" * 32),
    }
    body = await sent(admin, *wrong.values(), tried())
    assert (body["rejected"], body["recorded"]) == (len(wrong), 1)
    for expected, result in zip(wrong, body["results"], strict=False):
        assert result["status"] == "rejected"
        assert expected in result["detail"]
        assert result["code"]


async def test_a_dry_run_judges_every_row_and_records_none(site: Site) -> None:
    admin = await site.client("admin")
    body = {"rows": [tried(), tried(), tried(channel="smss")], "dry_run": True}
    answer = (await admin("POST", "/v1/outcomes:import", body)).body
    assert [r["status"] for r in answer["results"]] == ["recorded", "known", "rejected"]
    assert (await admin("GET", "/v1/customers?identity=%2B4930123456")).body["customers"] == []
    assert (await sent(admin, tried()))["recorded"] == 1


async def test_an_address_of_another_customer_is_refused_but_not_one_known_by_it_alone(
    site: Site,
) -> None:
    admin = await site.client("admin")
    await sent(admin, tried(KIM), tried(LEE, customer="lee"))
    body = await sent(
        admin,
        tried(KIM, customer="kim", at_us=AT + HOUR),  # was known by the number alone: is kim now
        tried(LEE, customer="kim", at_us=AT + HOUR),
    )
    assert [row["status"] for row in body["results"]] == ["recorded", "rejected"]
    assert body["results"][1]["code"] == "identity_taken"
    assert "'lee'" in body["results"][1]["detail"]
    kim = (await admin("GET", "/v1/customers/kim")).body
    assert [i["address"] for i in kim["identities"]] == [KIM]
    assert len(kim["merged_from"]) == 1


async def test_the_last_contacts_of_a_customer_are_shown_newest_first_to_who_serves_them(
    site: Site,
) -> None:
    admin = await site.client("admin")
    ids = []
    for number in range(3):
        peer = {"address": KIM if number != 1 else LEE}
        body = {"channel": "voice", "queue": "front", "peer": peer}
        ids.append((await admin("POST", "/v1/contacts", body)).body["contact"])
        await admin("POST", f"/v1/contacts/{ids[-1]}:abandon", {})
    await admin("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    body = {"channel": "sms", "queue": "front", "peer": {"address": KIM}}
    ids.append((await admin("POST", "/v1/contacts", body)).body["contact"])
    kim = (await admin("GET", f"/v1/contacts/{ids[3]}")).body["customer"]
    ana = await site.client("agent")
    seen = await ana("GET", f"/v1/customers/{kim}/contacts")
    assert seen.status == 200, seen
    assert [c["id"] for c in seen.body["contacts"]] == [ids[3], ids[2], ids[0]]
    assert [c["state"] for c in seen.body["contacts"]] == ["offered", "closed", "closed"]
    assert seen.body["contacts"][1]["outcome"] == "abandoned"
    assert KIM not in str(seen.body)
    few = (await ana("GET", f"/v1/customers/{kim}/contacts?limit=1")).body
    assert (len(few["contacts"]), few["more"]) == (1, True)
    ben = await site.client("agent", agent="ben")
    assert (await ben("GET", f"/v1/customers/{kim}/contacts")).status == 404


async def test_history_becomes_the_hint_and_erasing_the_customer_takes_it_back(
    site: Site,
) -> None:
    admin = await site.client("admin")
    tuesday = 1_789_455_600_000_000  # 2026-09-15 09:00 in Berlin
    week = 7 * 24 * HOUR
    rows = [tried(at_us=tuesday + n * week) for n in range(8)]
    rows += [tried(channel="voice", at_us=tuesday + 8 * HOUR + n * week, outcome="no_answer")
             for n in range(8)]  # fmt: skip
    rows += [tried(direction="inbound", outcome="", channel="voice", at_us=tuesday + n * week)
             for n in range(3)]  # fmt: skip
    assert (await sent(admin, *rows))["recorded"] == 19
    (kim,) = (await admin("GET", "/v1/customers?identity=%2B4930123456")).body["customers"]
    learned = (await admin("GET", f"/v1/customers/{kim['id']}/preference")).body
    assert learned["inbound"] == 3
    counts = {c["channel"]: (c["attempts"], c["successes"]) for c in learned["channels"]}
    assert counts["sms"] == (8, 8)
    assert counts["voice"] == (8, 0)
    assert learned["best"]["channel"] == "sms"
    assert (await admin("POST", f"/v1/customers/{kim['id']}:erase", {})).status == 200
    workspace = site.server.hosts["oak"].workspace
    assert await workspace.journal.list_archive(workspace.own, "imported") == []
    again = await sent(admin, *rows)
    assert (again["recorded"], again["created"]) == (19, 1)


async def stored(site: Site) -> list[dict[str, Any]]:
    """Every event of the workspace so far, as webhooks would get them."""
    from router.journal.codec import decode_event
    from router.runtime.webhooks import public

    workspace = site.server.hosts["oak"].workspace
    await workspace.settled()
    frames = await workspace.journal.frames(workspace.own, 1, 1000)
    return [public(decode_event(event)) for frame in frames for event in frame.events]
