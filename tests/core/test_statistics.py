"""The measures against hand-made cases and against a recount of random lives."""

from __future__ import annotations

import json
from random import Random
from typing import get_args

import pytest

from router.core import events as e
from router.core.model import (
    DAY_US,
    MINUTE_US,
    SECOND_US,
    Agent,
    AgentId,
    Contact,
    ContactId,
    ContactOutcome,
    ContactState,
    Presence,
    Reservation,
    ReservationId,
    ReservationState,
)
from router.core.policy import Policy, Queue, default_channels
from router.core.statistics import (
    FORMULAS,
    HANDLERS,
    SERVICE_LEVELS,
    Count,
    Measures,
    service_level,
)
from router.core.tallies import ENDS, INTERVAL_US, KEPT_INTERVALS, Cell, overall_goal
from tests.core.contact_lives import (
    CARE,
    MONDAY_US,
    SALES,
    Lives,
    agent,
    answer,
    assert_conserved,
    cell,
    closed,
    named,
    offered,
    policy,
    presence,
    queued,
    received,
)

PASSED_OVER = (
    *(e.ContactRelaxed, e.ContactReprioritized, e.RequirementsChanged, e.HoldEnded),
    *(e.CoolDownEnded, e.ContactUpdated, e.CallbackOffered, e.InputAsked, e.InputCollected),
    *(e.MessageReceived, e.MessageSent),
    *(e.ConsultStarted, e.ConsultEnded, e.WrapUpExtended, e.AgentLost, e.AgentBack),
    *(e.RouteAnswered, e.EffectSettled, e.PolicyApplied, e.ClockStepped, e.CommandDeadLettered),
    *(e.ContactLinked, e.AuditRecorded, e.ChannelPaused, e.ChannelResumed),
    *(e.CustomerChanged, e.IdentityAdded, e.IdentityRemoved, e.CustomersMerged),
    *(e.ConsentChanged, e.DoNotContactChanged, e.CustomerErased),
    *(e.ConferenceStarted, e.ConferenceEnded, e.MonitorStarted, e.MonitorChanged, e.MonitorEnded),
    *(e.RecordingStarted, e.RecordingPaused, e.RecordingResumed, e.RecordingEnded),
    *(e.OutboundReserved, e.OutboundSent, e.OutboundReleased, e.OutcomeRecorded),
)


def test_every_event_is_counted_or_passed_over_on_purpose() -> None:
    assert {*HANDLERS} | {*PASSED_OVER} == {*get_args(e.Event)}
    assert not {*HANDLERS} & {*PASSED_OVER}


def test_the_example_data_of_the_field_gives_the_seven_known_service_levels() -> None:
    # ICMI: 1000 answered, 860 of them in time; 60 abandoned, 20 in time, 10 of those short.
    measures = Measures(policy())
    waits_s = [(10, True)] * 860 + [(30, True)] * 140
    waits_s += [(3, False)] * 10 + [(10, False)] * 10 + [(30, False)] * 40
    for number, (wait_s, answers) in enumerate(waits_s):
        id_, at_us = f"c{number}", MONDAY_US + number * SECOND_US // 4
        measures.apply(received(id_, at_us))
        measures.apply(queued(id_, at_us))
        if answers:
            answer(measures, id_, at_us + wait_s * SECOND_US)
        else:
            end_us = at_us + wait_s * SECOND_US
            measures.apply(closed(id_, end_us, ContactOutcome.ABANDONED))
    counts = measures.counts(CARE, "voice")
    levels = {name: service_level(counts, name) for name in SERVICE_LEVELS}
    expected = {
        "SL1": 83.0,
        "SL2": 86.0,
        "SL3": 81.1,
        "SL4": 82.7,
        "SL5": 82.1,
        "SL6": 81.9,
        "SL7": 81.1,
    }
    assert {n: round(100 * v, 1) for n, v in levels.items() if v is not None} == expected
    shown = cell(measures, MONDAY_US + 10 * MINUTE_US)
    assert shown["service_level"] == 860 / 1050
    assert shown["asa_us"] == (860 * 10 + 140 * 30) * SECOND_US // 1000
    assert shown["abandon_rate"] == 60 / 1060
    assert shown["short_abandoned"] == 10
    assert shown["waiting"] == 0


def test_the_seventh_level_counts_what_flowed_out() -> None:
    counts = [0] * len(Count)
    counts[Count.ANSWERED] = counts[Count.ANSWERED_IN_TARGET] = 6
    counts[Count.OVERFLOWED], counts[Count.DEFLECTED], counts[Count.SWITCHED] = 1, 2, 1
    assert service_level(counts, "SL7") == 0.6
    assert service_level(counts) == 1.0


def test_nothing_measured_is_none_and_not_a_hundred_per_cent() -> None:
    measures = Measures(policy())
    measures.apply(received("c1", MONDAY_US))
    measures.apply(queued("c1", MONDAY_US))
    measures.apply(e.AgentPut(at_us=MONDAY_US, agent=AgentId("ana"), order=1))
    shown = cell(measures, MONDAY_US + 7)
    for measure in ("service_level", "asa_us", "aht_us", "abandon_rate", "rona_rate"):
        assert shown[measure] is None
    assert agent(measures, MONDAY_US + 7)["occupancy"] is None
    assert (shown["waiting"], shown["longest_wait_us"]) == (1, 7)


def test_every_shown_measure_has_its_formula_and_the_snapshot_is_json() -> None:
    measures = Measures(policy())
    measures.apply(received("c1", MONDAY_US))
    measures.apply(queued("c1", MONDAY_US))
    answer(measures, "c1", MONDAY_US + SECOND_US)
    assert {*cell(measures, MONDAY_US)} <= {*FORMULAS}
    described = {"presence", "reason", "presence_at_us", "started_at_us", "holding"}
    assert {*agent(measures, MONDAY_US)} - described <= {*FORMULAS}
    snapshot = measures.snapshot(MONDAY_US + DAY_US)
    assert json.loads(json.dumps(snapshot)) == snapshot


def test_handle_time_is_talk_hold_and_wrap_up() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    measures.apply(presence(t, Presence.READY))
    measures.apply(received("c1", t))
    measures.apply(queued("c1", t))
    measures.apply(offered("r1", "c1", t + 10))
    measures.apply(e.OfferAccepted(at_us=t + 15, **named("r1", "c1")))
    r1 = ReservationId("r1")
    measures.apply(e.ReservationConnecting(at_us=t + 15, reservation=r1, deadline_at_us=t + 99))
    measures.apply(e.ReservationConnected(at_us=t + 20, reservation=r1))
    measures.apply(e.CustomerHeld(at_us=t + 120, reservation=r1))
    measures.apply(e.CustomerResumed(at_us=t + 150, reservation=r1))
    measures.apply(closed("c1", t + 220, ContactOutcome.COMPLETED))
    measures.apply(e.WrapUpStarted(at_us=t + 220, reservation=r1, deadline_at_us=t + 300))
    measures.apply(e.ReservationEnded(at_us=t + 260, reservation=r1))
    shown = cell(measures, t + 300)
    assert (shown["talk_us"], shown["hold_us"], shown["wrap_us"]) == (170, 30, 40)
    assert (shown["handled"], shown["aht_us"], shown["asa_us"]) == (1, 240, 20)
    mine = agent(measures, t + 300)
    assert (mine["ready_us"], mine["available_us"], mine["handling_us"]) == (300, 55, 245)
    assert mine["occupancy"] == 245 / 300
    assert (mine["talk_us"], mine["hold_us"], mine["wrap_us"]) == (170, 30, 40)


def test_several_contacts_at_once_are_contact_time_twice_and_agent_time_once() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    measures.apply(presence(t, Presence.READY))
    for number, at_us in ((1, t), (2, t + 50)):
        id_, res = f"c{number}", f"r{number}"
        measures.apply(received(id_, at_us, "chat"))
        measures.apply(queued(id_, at_us))
        measures.apply(offered(res, id_, at_us, channel="chat"))
        measures.apply(e.OfferAccepted(at_us=at_us, **named(res, id_)))
    for number, at_us in ((1, t + 100), (2, t + 150)):
        measures.apply(closed(f"c{number}", at_us, ContactOutcome.COMPLETED))
        measures.apply(e.ReservationEnded(at_us=at_us, reservation=ReservationId(f"r{number}")))
    mine = agent(measures, t + 200)
    assert (mine["talk_us"], mine["handling_us"], mine["available_us"]) == (200, 150, 50)
    assert cell(measures, t + 200, channel="chat")["answered"] == 2


def test_an_interrupted_contact_is_neither_talk_nor_handling_while_suspended() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    measures.apply(presence(t, Presence.READY))
    for number, channel in ((1, "email"), (2, "voice")):
        measures.apply(received(f"c{number}", t, channel))
        measures.apply(queued(f"c{number}", t))
    r1, r2 = ReservationId("r1"), ReservationId("r2")
    measures.apply(offered("r1", "c1", t, channel="email"))
    measures.apply(e.OfferAccepted(at_us=t, **named("r1", "c1")))
    measures.apply(e.ReservationSuspended(at_us=t + 40, reservation=r1, by=r2))
    assert agent(measures, t + 100)["available_us"] == 60
    measures.apply(e.ReservationResumed(at_us=t + 100, reservation=r1, units=10))
    measures.apply(e.ReservationSuspended(at_us=t + 130, reservation=r1, by=r2))
    measures.apply(offered("r2", "c2", t + 130))
    measures.apply(e.OfferAccepted(at_us=t + 130, **named("r2", "c2")))
    measures.apply(e.ReservationEnded(at_us=t + 150, reservation=r1))
    mine = agent(measures, t + 160)
    assert (mine["talk_us"], mine["handling_us"], mine["holding"]) == (70, 100, 1)


def test_an_abandon_at_the_limit_is_not_short() -> None:
    measures = Measures(policy())
    for number, wait_us in enumerate((5 * SECOND_US - 1, 5 * SECOND_US)):
        measures.apply(received(f"c{number}", MONDAY_US))
        measures.apply(queued(f"c{number}", MONDAY_US))
        measures.apply(closed(f"c{number}", MONDAY_US + wait_us, ContactOutcome.ABANDONED))
    shown = cell(measures, MONDAY_US + DAY_US // 2)
    assert (shown["abandoned"], shown["short_abandoned"]) == (2, 1)


def test_a_leg_that_does_not_come_up_leaves_the_customer_waiting() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    measures.apply(received("c1", t))
    measures.apply(queued("c1", t))
    measures.apply(offered("r1", "c1", t + 10))
    ids = named("r1", "c1")
    measures.apply(e.OfferAccepted(at_us=t + 20, **ids))
    measures.apply(e.ReservationFailed(at_us=t + 60, reason="leg", **ids))
    measures.apply(
        e.ContactReturned(at_us=t + 60, contact=ContactId("c1"), reason="leg", head_start_us=0)
    )
    shown = cell(measures, t + 100)
    assert (shown["answered"], shown["waiting"], shown["longest_wait_us"]) == (0, 1, 100)
    assert (shown["received"], shown["handled"]) == (1, 0)
    measures.apply(closed("c1", t + 110, ContactOutcome.ABANDONED))
    assert cell(measures, t + 110)["abandoned"] == 1


def test_a_contact_handed_back_waits_again_as_a_repeat() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    measures.apply(received("c1", t, "chat"))
    measures.apply(queued("c1", t))
    measures.apply(offered("r1", "c1", t, channel="chat"))
    measures.apply(e.OfferAccepted(at_us=t + 5, **named("r1", "c1")))
    measures.apply(e.ReservationEnded(at_us=t + 30, reservation=ReservationId("r1")))
    measures.apply(
        e.ContactReturned(at_us=t + 30, contact=ContactId("c1"), reason="back", head_start_us=0)
    )
    shown = cell(measures, t + 40, channel="chat")
    assert (shown["received"], shown["repeat"], shown["waiting"]) == (2, 1, 1)
    assert shown["longest_wait_us"] == 10


def test_overflow_keeps_the_age_and_counts_in_both_queues() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    measures.apply(received("c1", t))
    measures.apply(queued("c1", t))
    measures.apply(
        e.ContactOverflowed(
            at_us=t + 30 * SECOND_US,
            contact=ContactId("c1"),
            from_queue=CARE,
            queue=SALES,
            tier=0,
            head_start_us=0,
            due_at_us=t,
        )
    )
    now_us = t + 40 * SECOND_US
    assert cell(measures, now_us)["overflowed"] == 1
    there = cell(measures, now_us, "sales")
    assert (there["received"], there["moved_in"]) == (1, 1)
    assert there["longest_wait_us"] == 40 * SECOND_US
    answer(measures, "c1", now_us)
    assert cell(measures, now_us, "sales")["answered_in_target"] == 0
    assert_conserved(measures, now_us)


def test_a_contact_turned_away_at_the_door_was_received_and_deflected() -> None:
    measures = Measures(policy())
    measures.apply(received("c1", MONDAY_US))
    measures.apply(closed("c1", MONDAY_US, ContactOutcome.DEFLECTED))
    shown = cell(measures, MONDAY_US)
    assert (shown["received"], shown["deflected"], shown["waiting"]) == (1, 1, 0)


def test_the_target_is_counted_in_open_hours() -> None:
    measures = Measures(policy(hours="office"))
    friday_us = MONDAY_US + 4 * DAY_US + (17 * 60 * MINUTE_US) - 10 * SECOND_US
    measures.apply(received("c1", friday_us))
    measures.apply(queued("c1", friday_us))
    monday_us = MONDAY_US + 7 * DAY_US + 9 * 60 * MINUTE_US
    answer(measures, "c1", monday_us + 10 * SECOND_US)
    measures.apply(received("c2", friday_us))
    measures.apply(queued("c2", friday_us))
    answer(measures, "c2", monday_us + 10 * SECOND_US + 1)
    counts = measures.counts(CARE, "voice")
    assert (counts[Count.ANSWERED], counts[Count.ANSWERED_IN_TARGET]) == (2, 1)


def test_an_outcome_counts_in_the_interval_of_arrival_and_a_day_is_kept() -> None:
    measures = Measures(policy())
    first_us = MONDAY_US + INTERVAL_US - SECOND_US
    measures.apply(received("c1", first_us))
    measures.apply(queued("c1", first_us))
    answer(measures, "c1", first_us + 10 * SECOND_US)
    rows = measures.intervals(CARE, "voice")
    assert [(start, counts[Count.ANSWERED]) for start, counts in rows] == [(MONDAY_US, 1)]
    for number in range(3 * KEPT_INTERVALS):
        at_us = first_us + number * INTERVAL_US
        measures.apply(received(f"d{number}", at_us))
        measures.apply(queued(f"d{number}", at_us))
        answer(measures, f"d{number}", at_us)
        rows = measures.intervals(CARE, "voice")
        assert len(rows) <= KEPT_INTERVALS
        recent = cell(measures, at_us)["answered"]
        assert recent == sum(counts[Count.ANSWERED] for _, counts in rows)
    assert measures.counts(CARE, "voice")[Count.ANSWERED] == 1 + 3 * KEPT_INTERVALS
    last_us = first_us + (3 * KEPT_INTERVALS - 1) * INTERVAL_US
    shown = cell(measures, last_us)
    assert (shown["arrivals"], shown["answered"]) == ([1, 1, 1, 1], KEPT_INTERVALS)
    later = cell(measures, last_us + 2 * DAY_US)
    assert (later["arrivals"], later["answered"], later["service_level"]) == ([0] * 4, 0, None)


def test_waiting_is_shown_by_age_in_steps_of_the_target() -> None:
    measures = Measures(policy())
    now_us = MONDAY_US + 60 * MINUTE_US
    for number, age_s in enumerate((0, 10, 11, 20, 21, 40, 41, 300)):
        at_us = now_us - age_s * SECOND_US
        measures.apply(received(f"c{number}", at_us))
        measures.apply(queued(f"c{number}", at_us))
    assert cell(measures, now_us)["waiting_ages"] == [2, 2, 2, 2]


def test_missed_offers_count_for_agent_and_queue() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    measures.apply(presence(t, Presence.READY))
    measures.apply(received("c1", t))
    measures.apply(queued("c1", t))
    for number, kind in enumerate((e.OfferExpired, e.OfferRejected, e.OfferRescinded)):
        measures.apply(offered(f"r{number}", "c1", t))
        measures.apply(kind(at_us=t + 5, **named(f"r{number}", "c1")))
    measures.apply(presence(t + 5, Presence.NOT_READY, "rona"))
    shown = cell(measures, t + 10)
    assert (shown["offers"], shown["missed"], shown["rejected"], shown["rescinded"]) == (3, 1, 1, 1)
    assert shown["rona_rate"] == 1 / 3
    mine = agent(measures, t + 10)
    assert (mine["offers"], mine["missed"], mine["rona_rate"]) == (3, 1, 1 / 3)
    assert mine["not_ready_us"] == {"rona": 5}


def test_reasons_without_end_are_gathered_as_other() -> None:
    measures = Measures(policy())
    for number in range(50):
        measures.apply(presence(MONDAY_US + number * 10, Presence.NOT_READY, f"reason {number}"))
    reasons = agent(measures, MONDAY_US + 500)["not_ready_us"]
    assert isinstance(reasons, dict)
    assert len(reasons) == 17
    assert sum(reasons.values()) == 500
    assert reasons["other"] == 340


def test_an_agents_numbers_begin_anew_with_the_next_shift_but_not_after_a_pause() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    measures.apply(presence(t, Presence.READY))
    measures.apply(presence(t + 100, Presence.OFFLINE))
    measures.apply(presence(t + 60 * MINUTE_US, Presence.READY))
    assert agent(measures, t + 60 * MINUTE_US)["ready_us"] == 100
    measures.apply(presence(t + 60 * MINUTE_US + 50, Presence.OFFLINE))
    measures.apply(presence(t + DAY_US, Presence.READY))
    mine = agent(measures, t + DAY_US + 7)
    assert (mine["ready_us"], mine["started_at_us"]) == (7, t + DAY_US)


def test_a_consult_is_agents_time_and_no_wait_of_a_customer() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    measures.apply(received("k1", t, "chat", consult_of=ContactId("c1")))
    measures.apply(queued("k1", t))
    measures.apply(offered("r1", "k1", t, channel="chat"))
    measures.apply(e.OfferAccepted(at_us=t + 5, **named("r1", "k1")))
    measures.apply(closed("k1", t + 25, ContactOutcome.COMPLETED))
    measures.apply(e.ReservationEnded(at_us=t + 25, reservation=ReservationId("r1")))
    snapshot = measures.snapshot(t + 30)
    assert snapshot["queues"] == {}
    totals = snapshot["totals"]
    assert isinstance(totals, dict)
    assert (totals["consults"], totals["received"], totals["live"]) == (1, 0, 0)
    assert agent(measures, t + 30)["talk_us"] == 20


def test_the_goal_of_a_workspace_is_its_queues_goals_by_what_counts() -> None:
    voice, chat = Cell(), Cell()
    voice.goal, chat.goal = 0.9, 0.5
    assert overall_goal([voice, chat]) is None
    for cell_, answered, abandoned, short in ((voice, 28, 4, 2), (chat, 9, 1, 0)):
        cell_.recent[Count.ANSWERED] = answered
        cell_.recent[Count.ABANDONED] = abandoned
        cell_.recent[Count.SHORT_ABANDONED] = short
    assert overall_goal([voice, chat]) == (30 * 0.9 + 10 * 0.5) / 40


def test_new_settings_change_the_target_and_drop_queues_that_are_gone() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    measures.apply(received("c1", t))
    measures.apply(queued("c1", t))
    slower = Queue(id=CARE, targets_us={"voice": 90 * SECOND_US})
    measures.use(Policy(version="2", channels=default_channels(), queues={CARE: slower}))
    assert cell(measures, t)["target_us"] == 90 * SECOND_US
    assert cell(measures, t)["goal"] == 0.8
    measures.use(Policy(version="3", channels=default_channels(), queues={}))
    assert cell(measures, t)["waiting"] == 1
    answer(measures, "c1", t + 5)
    measures.use(Policy(version="4", channels=default_channels(), queues={}))
    assert measures.snapshot(t)["queues"] == {}


def test_live_rows_are_adopted_and_go_on_to_be_counted() -> None:
    measures = Measures(policy())
    t = MONDAY_US
    rows = [
        Contact(id=ContactId("w"), channel="voice", queue=CARE, state=ContactState.QUEUED,
                visit_at_us=t - 40, visit_no=1),
        Contact(id=ContactId("a"), channel="voice", queue=CARE, state=ContactState.ACTIVE,
                visit_at_us=t - 90, visit_no=1, answered_at_us=t - 80),
        Contact(id=ContactId("n"), channel="voice", queue=CARE, state=ContactState.ACTIVE,
                visit_at_us=t - 60, visit_no=1, answered_at_us=t - 5),
    ]  # fmt: skip
    works = [
        Reservation(id=ReservationId("r1"), contact=ContactId("a"), agent=AgentId("ana"),
                    queue=CARE, channel="voice", state=ReservationState.CONNECTED,
                    offered_at_us=t - 85, accepted_at_us=t - 80, connected_at_us=t - 70,
                    hold_us=15, hold_at_us=t - 10),
        Reservation(id=ReservationId("r2"), contact=ContactId("n"), agent=AgentId("bo"),
                    queue=CARE, channel="voice", state=ReservationState.CONNECTING,
                    offered_at_us=t - 10, accepted_at_us=t - 5),
    ]  # fmt: skip
    people = [Agent(id=AgentId(id_), presence=Presence.READY) for id_ in ("ana", "bo")]
    measures.adopt(rows, works, people, t)
    assert_conserved(measures, t)
    shown = cell(measures, t)
    assert (shown["received"], shown["waiting"], shown["longest_wait_us"]) == (2, 2, 60)
    assert agent(measures, t + 10)["handling_us"] == 10
    measures.apply(e.ReservationConnected(at_us=t + 4, reservation=ReservationId("r2")))
    measures.apply(e.CustomerResumed(at_us=t + 5, reservation=ReservationId("r1")))
    measures.apply(closed("a", t + 20, ContactOutcome.COMPLETED))
    measures.apply(e.ReservationEnded(at_us=t + 20, reservation=ReservationId("r1")))
    mine = agent(measures, t + 20)
    assert (mine["talk_us"], mine["hold_us"], mine["holding"]) == (60, 30, 0)
    assert cell(measures, t + 20)["asa_us"] == 64
    assert_conserved(measures, t + 20)


def test_events_of_contacts_never_seen_are_passed_over() -> None:
    measures = Measures(policy())
    measures.apply(queued("x", 5))
    measures.apply(offered("rx", "x", 5))
    measures.apply(closed("x", 9, ContactOutcome.COMPLETED))
    measures.apply(e.ReservationEnded(at_us=9, reservation=ReservationId("ry")))
    assert measures.snapshot(9)["queues"] == {}
    assert_conserved(measures, 9)


@pytest.mark.parametrize("seed", range(20))
def test_no_contact_is_lost_at_any_prefix_of_a_random_stream(seed: int) -> None:
    lives = Lives(Random(seed))
    measures = Measures(policy())
    for _ in range(400):
        for event in lives.step():
            measures.apply(event)
            assert_conserved(measures, lives.now_us)
    compared = ("received", "wait_us", "answered_in_target", "abandoned_in_target",
                "short_abandoned", *(end.name.lower() for end in ENDS))  # fmt: skip
    for queue in (CARE, SALES):
        for channel in ("voice", "chat", "email"):
            counts = measures.counts(queue, channel)
            expected = lives.recount(queue, channel)
            for name in compared:
                assert counts[Count[name.upper()]] == expected.get(name, 0), (queue, channel, name)
    oldest = [lives.now_us - wait.start_us for wait in lives.open.values()]
    queues = measures.snapshot(lives.now_us)["queues"]
    assert isinstance(queues, dict)
    shown = [numbers["longest_wait_us"] for queue in queues.values() for numbers in queue.values()]
    assert max(shown) == max(oldest, default=0)


def test_memory_holds_live_contacts_only() -> None:
    lives = Lives(Random(5))
    measures = Measures(policy())
    for _ in range(3000):
        for event in lives.step():
            measures.apply(event)
    for id_ in list(lives.state):
        for event in lives.close(id_):
            measures.apply(event)
    totals = measures.snapshot(lives.now_us)["totals"]
    assert isinstance(totals, dict)
    assert totals["live"] == 0
    assert not measures._lives
    assert not measures._work
    assert all(not cell.waiting for cell in measures._cells.values())
