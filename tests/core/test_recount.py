"""The measures of the past against the live ones, and against waits that nobody folded."""

from __future__ import annotations

from collections import Counter
from random import Random

import msgspec
import pytest

from router.core import events as e
from router.core.model import MINUTE_US, ContactOutcome, Presence, ReservationId
from router.core.recount import Recount, checked_dimensions, quarters, total
from router.core.statistics import Measures
from router.core.tallies import INTERVAL_US, Count
from tests.core.contact_lives import (
    CARE,
    MONDAY_US,
    SALES,
    Lives,
    closed,
    named,
    offered,
    policy,
    presence,
    queued,
    received,
)  # fmt: skip

HOUR_US = 60 * MINUTE_US


def segment_of(contact: str) -> str:
    return ("gold", "", "floating")[int(contact.removeprefix("c")) % 3]


def drawn(seed: int, steps: int = 3_000) -> tuple[list[e.Event], Lives]:
    lives = Lives(Random(seed))
    events: list[e.Event] = []
    for _ in range(steps):
        for event in lives.step():
            if isinstance(event, e.ContactReceived):
                event = msgspec.structs.replace(event, segment=segment_of(event.contact))
            events.append(event)
    return events, lives


@pytest.mark.parametrize("seed", range(8))
def test_a_span_is_counted_as_the_wallboard_counted_it_then(seed: int) -> None:
    events, lives = drawn(seed)
    first, last = events[0].at_us, lives.now_us
    assert last - first > 2 * HOUR_US
    live = Measures(policy())
    recount = Recount(policy(), first - first % INTERVAL_US, last + INTERVAL_US)
    for event in events:
        live.apply(event)
        recount.apply(event)
    rows = {
        (row["queue"], row["channel"], row["start_us"]): [row[c.name.lower()] for c in Count]
        for row in recount.rows(("queue", "channel"), 1, last)
    }
    expected = {
        (str(queue), channel, start_us): counts
        for queue in (CARE, SALES)
        for channel in ("voice", "chat", "email")
        for start_us, counts in live.intervals(queue, channel)
    }
    assert rows == expected
    assert len(rows) > 20


def test_each_wait_stands_in_its_own_interval_and_segment() -> None:
    events, lives = drawn(11)
    from_us = MONDAY_US - MONDAY_US % INTERVAL_US + 2 * INTERVAL_US
    to_us = from_us + 4 * INTERVAL_US
    recount = Recount(policy(), from_us, to_us)
    for event in events:
        recount.apply(event)
    rows = list(recount.rows(("segment",), 4, lives.now_us))
    assert {row["start_us"] for row in rows} == {from_us}
    assert {row["segment"] for row in rows} == {"gold", "", "floating"}
    begun = [w for w in lives.waits if from_us <= w.entered_us < to_us]
    ends = Counter(wait.end for wait in begun)
    for name in ("answered", "abandoned", "overflowed", "switched"):
        assert sum(row[name] for row in rows) == ends[name], name
    assert sum(row["received"] for row in rows) == len(begun) > 50


def test_a_report_is_settled_when_all_that_began_in_it_is_over() -> None:
    from_us = MONDAY_US - MONDAY_US % INTERVAL_US
    recount = Recount(policy(), from_us, from_us + INTERVAL_US)
    at_us = from_us + MINUTE_US
    for event in (received("c1", at_us), queued("c1", at_us)):
        recount.apply(event)
    assert not recount.is_settled(), "the span goes on"
    recount.apply(received("c2", from_us + INTERVAL_US))
    assert not recount.is_settled(), "c1 still waits"
    answered_us = from_us + 2 * INTERVAL_US
    recount.apply(offered("r1", "c1", answered_us))
    recount.apply(e.OfferAccepted(at_us=answered_us, **named("r1", "c1")))
    recount.apply(e.ReservationConnected(at_us=answered_us, reservation=ReservationId("r1")))
    assert not recount.is_settled(), "c1 is still served: its handle time is not known"
    over_us = answered_us + MINUTE_US
    recount.apply(closed("c1", over_us, ContactOutcome.COMPLETED))
    recount.apply(e.ReservationEnded(at_us=over_us, reservation=ReservationId("r1")))
    assert recount.is_settled()
    [row] = recount.rows(("queue",), 1, over_us)
    assert (row["received"], row["answered"], row["handled"]) == (1, 1, 1)
    assert row["wait_us"] == answered_us - at_us
    assert row["talk_us"] == MINUTE_US


def test_an_agents_times_are_cut_where_the_quarters_are() -> None:
    nine = MONDAY_US - MONDAY_US % HOUR_US
    at = lambda minute: nine + minute * MINUTE_US  # noqa: E731 - read as a clock
    recount = Recount(policy(), nine, nine + HOUR_US)
    for event in (
        presence(at(5), Presence.READY),
        received("c1", at(10)), queued("c1", at(10)), offered("r1", "c1", at(10)),
        e.OfferAccepted(at_us=at(10), **named("r1", "c1")),
        e.ReservationConnected(at_us=at(10), reservation=ReservationId("r1")),
        closed("c1", at(20), ContactOutcome.COMPLETED),
        e.WrapUpStarted(at_us=at(20), reservation=ReservationId("r1"), deadline_at_us=at(35)),
        e.ReservationEnded(at_us=at(33), reservation=ReservationId("r1")),
        presence(at(40), Presence.NOT_READY, "lunch"),
    ):  # fmt: skip
        recount.apply(event)
    rows = {row["start_us"]: row for row in recount.rows(("agent",), 1, at(50))}
    minutes = {
        (start - nine) // MINUTE_US: [row[n] // MINUTE_US for n in (
            "ready_us", "available_us", "handling_us", "not_ready_us", "talk_us", "wrap_us")]
        for start, row in rows.items()
    }  # fmt: skip
    assert minutes == {
        0: [10, 5, 5, 0, 0, 0],
        15: [15, 0, 15, 0, 0, 0],
        # Talk and wrap-up count when the contact is done; the time of the agent as it passes.
        30: [10, 7, 3, 5, 10, 13],
        45: [0, 0, 0, 5, 0, 0],
    }
    assert rows[nine + 30 * MINUTE_US]["occupancy"] == 0.3
    assert [rows[nine]["offers"], rows[nine]["accepted"], rows[nine]["handled"]] == [1, 1, 0]
    [hour] = again(recount, at(50))
    assert hour["ready_us"] == 35 * MINUTE_US
    assert hour["handled"] == 1


def again(recount: Recount, now_us: int) -> list[dict[str, int]]:
    return list(recount.rows(("agent",), 4, now_us))


@pytest.mark.parametrize("seed", range(3))
def test_agents_quarters_add_up_to_their_shift(seed: int) -> None:
    events, lives = drawn(seed)
    first = events[0].at_us - events[0].at_us % INTERVAL_US
    live = Measures(policy())
    recount = Recount(policy(), first, lives.now_us + INTERVAL_US)
    for event in [presence(first, Presence.READY), *events]:
        live.apply(event)
        recount.apply(event)
    agents = live.snapshot(lives.now_us)["agents"]
    assert isinstance(agents, dict)
    rows = list(recount.rows(("agent",), 1, lives.now_us))
    for id_, numbers in agents.items():
        for name in ("offers", "handled", "missed", "ready_us", "available_us", "handling_us",
                     "talk_us", "hold_us", "wrap_us"):  # fmt: skip
            assert sum(row[name] for row in rows if row["agent"] == id_) == numbers[name], name


def test_what_was_not_seen_to_begin_is_passed_over() -> None:
    recount = Recount(policy(), MONDAY_US - MONDAY_US % INTERVAL_US, MONDAY_US + HOUR_US)
    recount.apply(closed("c9", MONDAY_US, ContactOutcome.ABANDONED))
    recount.apply(e.ReservationEnded(at_us=MONDAY_US, reservation=ReservationId("r9")))
    assert list(recount.rows(("queue",), 1, MONDAY_US)) == []


@pytest.mark.parametrize("names", [["queue", "colour"], [], ["agent", "queue"]])
def test_a_report_by_what_there_is_not_is_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"expected some of|by agent alone"):
        checked_dimensions(names)


def test_intervals_are_quarters_half_hours_hours_and_days() -> None:
    assert [quarters(s) for s in (900, 1800, 3600, 86_400)] == [1, 2, 4, 96]
    for wrong in (0, 901, 2700, 7200):
        with pytest.raises(ValueError, match="900, 1800, 3600 or 86400"):
            quarters(wrong)


@pytest.mark.parametrize("seed", range(4))
def test_a_total_is_made_of_sums_and_not_of_means(seed: int) -> None:
    events, lives = drawn(seed)
    first, last = events[0].at_us, lives.now_us
    made = []
    for by in (("queue", "channel"), ("segment",), ("queue",)):
        recount = Recount(policy(), first - first % INTERVAL_US, last + INTERVAL_US)
        for event in events:
            recount.apply(event)
        made.append((rows := list(recount.rows(by, 1, last)), total(rows)))
    totals = [each for _, each in made]
    assert totals[0] == totals[1] == totals[2], "however it is cut, all together is the same"
    rows, whole = made[0]
    answered = sum(row["answered"] for row in rows)
    assert whole["answered"] == answered > 0
    assert whole["asa_us"] == sum(row["wait_us"] for row in rows) // answered
    base = sum(row["answered"] + row["abandoned"] - row["short_abandoned"] for row in rows)
    in_target = sum(row["answered_in_target"] for row in rows)
    assert whole["service_level"] == pytest.approx(in_target / base)
    levels = [row["service_level"] for row in rows if row["service_level"] is not None]
    assert whole["service_level"] != pytest.approx(sum(levels) / len(levels), abs=1e-6)
    assert "queue" not in whole
    assert "start_us" not in whole


def test_a_total_of_agents_is_of_their_times() -> None:
    events, lives = drawn(1)
    first, last = events[0].at_us, lives.now_us
    recount = Recount(policy(), first - first % INTERVAL_US, last + INTERVAL_US)
    for event in events:
        recount.apply(event)
    rows = list(recount.rows(("agent",), 1, last))
    whole = total(rows)
    assert whole.keys() == rows[0].keys() - {"agent", "start_us"}
    handling = sum(row["handling_us"] for row in rows)
    available = sum(row["available_us"] for row in rows)
    assert whole["occupancy"] == pytest.approx(handling / (handling + available))
    assert whole["offers"] == sum(row["offers"] for row in rows)
    assert total([]) == {}
