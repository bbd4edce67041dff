"""What was learned of a customer, over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.api.site import Site
from tests.api.test_customers import KIM, closed_call, found

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)


def us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


async def with_history(site: Site) -> tuple[Any, str]:
    """Kim answers text messages on Tuesdays after nine in Berlin, and nothing else."""
    admin = await site.client("admin")
    await closed_call(admin, KIM, "Kim")
    (kim,) = await found(admin, KIM)
    now = datetime.now(BERLIN)
    tuesday = now.replace(hour=9, minute=30, second=0, microsecond=0)
    tuesday -= DAY * ((now.weekday() - 1) % 7 or 7)
    for week in range(10):
        at = tuesday - week * 7 * DAY
        for channel, outcome, later in (
            ("sms", "replied" if week % 5 else "ignored", timedelta()),
            ("sms", "ignored", timedelta(days=2, hours=6)),
            ("voice", "no_answer", timedelta(hours=3)),
        ):
            if at + later > now:
                continue
            body = {
                "channel": channel,
                "address": KIM,
                "attempted_at_us": us(at + later),
                "outcome": outcome,
            }
            answer = await admin("POST", f"/v1/customers/{kim['id']}/outcomes", body)
            assert answer.status == 204, answer
    return admin, kim["id"]


async def test_the_best_window_comes_with_its_evidence(site: Site) -> None:
    admin, kim = await with_history(site)
    answer = await admin("GET", f"/v1/customers/{kim}/preference")
    assert answer.status == 200, answer
    told = answer.body
    best = told["best"]
    assert (best["channel"], best["address"], best["weekday"]) == ("sms", "..56", 1)
    assert (best["attempts"], best["successes"], best["level"]) == (10, 8, "exact")
    assert best["low"] < best["probability"] < best["high"]
    assert "8 of 10 answered" in best["text"]
    assert KIM not in str(told)
    assert told["zone"] == "Europe/Berlin"
    assert told["inbound"] == 1
    assert told["confidence"] == "high"
    chances = [window["probability"] for window in told["windows"]]
    assert len(chances) == 8
    # First is the hour that was tried, if another one is not better by more than nothing.
    assert chances[1:] == sorted(chances[1:], reverse=True)
    assert chances[0] > max(chances) - 0.01


async def test_the_week_of_a_channel_shows_where_contact_is_not_permitted(site: Site) -> None:
    admin, kim = await with_history(site)
    told = (await admin("GET", f"/v1/customers/{kim}/preference?limit=1")).body
    weeks = {week["channel"]: week for week in told["channels"]}
    assert weeks.keys() == {"sms", "voice"}
    assert (weeks["sms"]["attempts"], weeks["sms"]["successes"]) in ((20, 8), (19, 8))
    cells = weeks["sms"]["cells"]
    assert [len(day) for day in cells] == [24] * 7
    best = told["best"]
    assert cells[best["weekday"]][best["hour"]] == best["probability"]
    for day in cells:
        assert [hour for hour, p in enumerate(day) if p is None] == [*range(8), *range(21, 24)]


async def test_after_a_stop_the_channel_is_blocked_and_gives_no_window(site: Site) -> None:
    admin, kim = await with_history(site)
    body = {"channel": "sms", "source": "phone call"}
    await admin("POST", f"/v1/customers/{kim}:do-not-contact", body)
    told = (await admin("GET", f"/v1/customers/{kim}/preference")).body
    assert {window["channel"] for window in told["windows"]} == {"voice"}
    blocked = [view for view in told["blocked"] if view["channel"] == "sms"]
    assert [(view["reason"], view["next_at_us"]) for view in blocked] == [("do_not_contact", 0)]
    (week,) = [week for week in told["channels"] if week["channel"] == "sms"]
    assert all(p is None for day in week["cells"] for p in day)


async def test_somebody_of_whom_nothing_is_known_is_not_made_up(site: Site) -> None:
    admin = await site.client("admin")
    await admin("POST", "/v1/customers", {"id": "new"})
    told = (await admin("GET", "/v1/customers/new/preference")).body
    assert (told["best"], told["windows"], told["channels"]) == (None, [], [])
    assert told["confidence"] == "low"


async def test_a_span_or_channel_that_cannot_be_is_refused_by_name(site: Site) -> None:
    admin = await site.client("admin")
    await admin("POST", "/v1/customers", {"id": "new"})
    path = "/v1/customers/new/preference"
    for asked, place in (
        ("?from_us=5&until_us=5", "until_us"),
        (f"?from_us=5&until_us={1 << 50}", "until_us"),
        ("?channels=pigeon", "channels"),
        ("?limit=0", "limit"),
    ):
        answer = await admin("GET", path + asked)
        assert answer.status == 422 or answer.status == 400, answer
        assert place in answer.body["detail"]
