"""Short forms of two profiles against the real server, judged by what must hold at any speed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import uvloop

from loadtest.runs import conduct, judge, page, run, trace
from loadtest.runs.measures import Measures
from loadtest.server import installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ALWAYS = ("audit_faults", "unanswered", "desk_shed", "wrong_answers", "client_errors")
"""No slow machine explains one of these."""


@pytest.mark.parametrize(
    ("name", "seconds", "share", "legs"),
    [
        ("mixed-channels", 4.0, 0.3, {"offer", "accept", "connected", "complete", "put_through"}),
        ("reconnect-storm", 4.0, 0.3, {"offer", "accept", "complete", "reconnect", "message"}),
    ],
)
def test_a_short_day_loses_and_doubles_nothing(
    name: str, seconds: float, share: float, legs: set[str], tmp_path: Path
) -> None:
    wanted, folder = run.read(name, seconds)
    result = run.run(conduct.grown(wanted, share), folder)
    outcome, found = result.outcome, result.figures
    wrong = {
        "audit": {name: one.wrong[:5] for name, one in outcome.audits.items() if one.wrong},
        **{figure: found[figure] for figure in ALWAYS if found[figure]},
    }
    assert wrong == {"audit": {}}
    assert found["due"] > 20
    assert found["served"] > 10
    assert legs <= set(outcome.measures.legs), "each of them was measured"
    for leg in legs:
        assert outcome.measures.leg(leg, range(-1, 60)).percentile(1.0) > 0
    file = result.write(tmp_path, name)
    text = file.read_text()
    assert text.count("<svg") >= 5
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", ""), "it needs nothing from elsewhere"
    result.write(tmp_path / "kept", name, is_brief=True)
    brief = json.loads((tmp_path / "kept" / f"{name}.json").read_text())
    plain = json.loads(file.with_suffix(".json").read_text())
    assert brief["figures"] == plain["figures"]
    assert "legs" not in brief, "small enough to be kept"
    assert plain["figures"]["served"] == found["served"]
    again = Measures()
    again.add(plain)
    assert again.plain() == outcome.measures.plain(), "all that was counted stands in it"


def test_a_day_is_recorded_and_played_again(tmp_path: Path) -> None:
    """From a real server's event stream to a trace, and from the trace to a real server."""

    async def record() -> list[tuple[int, str]]:
        config = (
            "server: {port: PORT, durability: process}\n"
            "entry_points:\n"
            "  site: {channel: chat, address: site, queue: q}\n"
            "  text: {channel: sms, address: '+4930555200', queue: q}\n"
            "queues: {q: {}}\n"
        )
        async with installation(config) as server:
            await server.start()
            for number in range(12):
                channel = ("chat", "sms", "sms")[number % 3]
                point = {"chat": "site", "sms": "text"}[channel]
                await server.good(
                    "POST", "/v1/contacts",
                    {"channel": channel, "entry_point": point, "external_id": f"e{number}",
                     "peer": {"address": f"+4915100000{number:02}"}},
                )  # fmt: skip
            return await trace.arrivals(server.url, server.admin)

    found = uvloop.run(record())
    assert [channel for _, channel in found] == ["chat", "sms", "sms"] * 4
    assert trace.write(tmp_path / "recorded.csv", found) == 12
    assert "+49" not in (tmp_path / "recorded.csv").read_text(), "nothing of who they were"
    wanted, _ = run.read("mixed-channels", 4.0)
    wanted.trace = "recorded.csv"
    smaller = conduct.grown(wanted, 0.1)
    result = run.run(smaller, tmp_path, ceilings=True)
    found_again = result.figures
    assert (found_again["due"], found_again["audit_faults"], found_again["unanswered"]) == (
        12,
        0,
        0,
    )
    assert found_again["bare_life_us"] > 0
    assert found_again["ceiling_share"] > 0


def test_an_expectation_is_missed_by_a_worse_figure_and_by_none() -> None:
    assert judge.Verdict("a", 1.0, 1.0, None).passed
    assert not judge.Verdict("a", 0.9, 1.0, None).passed
    assert not judge.Verdict("a", 2.0, None, 1.9).passed
    assert not judge.Verdict("a", None, None, 1.0).passed
    assert page.figure(1234.5) == "1,234"
