"""The auditor finds broken rules in event lists written by hand, and nothing in a good one."""

from __future__ import annotations

from typing import Any

import pytest

from router.core import events as e
from router.core.model import (
    SECOND_US,
    AgentId,
    Candidate,
    ContactId,
    ContactOutcome,
    Decision,
    Presence,
    QueueId,
    Requirements,
    ReservationId,
)
from router.core.policy import (
    Channel,
    Hours,
    HoursSpan,
    Policy,
    Profile,
    ProfileQueue,
    Queue,
    Step,
    Strategy,
)
from router.testing.auditor import Auditor
from router.testing.open_minutes import OpenMinutes

Q = QueueId("q")
SHIP = QueueId("ship")


def policy(**queue: Any) -> Policy:
    return Policy(
        version="v",
        channels={
            "voice": Channel(name="voice", cost=100, maximum=1, interrupts=("email",)),
            "email": Channel(name="email", cost=10, maximum=2, tier=1),
        },
        queues={Q: Queue(id=Q, **queue), SHIP: Queue(id=SHIP)},
        profiles={
            "p": Profile(id="p", queues=(ProfileQueue(queue=Q),)),
            "late": Profile(id="late", queues=(ProfileQueue(queue=Q, delay_us=30 * SECOND_US),)),
            "both": Profile(
                id="both", queues=(ProfileQueue(queue=Q, rank=2), ProfileQueue(queue=SHIP))
            ),
        },
    )


def agent(name: str, at: int = 0, *, profile: str = "p", **skills: int) -> list[e.Event]:
    id_ = AgentId(name)
    return [
        e.AgentPut(at_us=at, agent=id_, order=ord(name[0]), skills=skills, profile=profile),
        e.PresenceChanged(at_us=at, agent=id_, presence=Presence.READY),
    ]


def arrive(
    name: str,
    at: int,
    number: int,
    *,
    channel: str = "voice",
    asks: Requirements = (),
    tier: int = 0,
    queue: QueueId = Q,
    **more: Any,
) -> list[e.Event]:
    id_ = ContactId(name)
    received = {k: more.pop(k) for k in ("external_id",) if k in more}
    return [
        e.ContactReceived(at_us=at, contact=id_, channel=channel, **received),
        e.ContactQueued(
            at_us=at, contact=id_, queue=queue, tier=tier, head_start_us=0,
            due_at_us=at + 20 * SECOND_US, arrival_no=number, visit_no=1, visit_at_us=at,
            requirements=asks, **more,
        ),
    ]  # fmt: skip


def offer(
    reservation: str,
    contact: str,
    to: str,
    at: int,
    *,
    edge: str = "contact",
    channel: str = "voice",
    asks: Requirements = (),
    strategy: str = "longest_idle",
) -> e.Event:
    winner = to if edge == "contact" else contact
    return e.ContactOffered(
        at_us=at, reservation=ReservationId(reservation), contact=ContactId(contact),
        agent=AgentId(to), queue=Q, channel=channel, units=100 if channel == "voice" else 10,
        rank=1, deadline_at_us=at + 20 * SECOND_US,
        decision=Decision(
            edge=edge, strategy=strategy, requirements=asks, winner=Candidate(winner, ())
        ),
    )  # fmt: skip


def accept(reservation: str, contact: str, by: str, at: int) -> e.Event:
    return e.OfferAccepted(
        at_us=at, reservation=ReservationId(reservation), contact=ContactId(contact),
        agent=AgentId(by),
    )  # fmt: skip


def connected(reservation: str, at: int) -> e.Event:
    return e.ReservationConnected(at_us=at, reservation=ReservationId(reservation))


def ended(reservation: str, at: int) -> e.Event:
    return e.ReservationEnded(at_us=at, reservation=ReservationId(reservation))


def closed(contact: str, at: int) -> e.Event:
    return e.ContactClosed(at_us=at, contact=ContactId(contact), outcome=ContactOutcome.COMPLETED)


def audit(*frames: list[e.Event], settings: Policy | None = None) -> list[str]:
    auditor = Auditor(settings or policy())
    for frame in frames:
        auditor.frame(frame, max(event.at_us for event in frame))
    return [f"{violation.id} {violation.text}" for violation in auditor.violations]


def life(at: int = 100) -> list[e.Event]:
    return [
        offer("r1", "c1", "ana", at),
        accept("r1", "c1", "ana", at + 1),
        connected("r1", at + 2),
        closed("c1", at + 3),
        ended("r1", at + 3),
    ]


def test_a_plain_life_breaks_nothing() -> None:
    auditor = Auditor(policy())
    auditor.frame([*agent("ana"), *arrive("c1", 100, 1), *life()], 200)
    auditor.finish()
    assert auditor.violations == []
    assert (auditor.received, auditor.accepts) == (1, 1)


def test_waiting_while_an_eligible_agent_has_room_is_seen() -> None:
    assert audit([*agent("ana"), *arrive("c1", 5, 1)]) == ["I6 c1 waits in q while ana has room"]


def test_waiting_for_a_skill_a_delay_or_a_room_is_right() -> None:
    assert audit([*agent("ana", en=2), *arrive("c1", 5, 1, asks=(("en", 3),))]) == []
    assert audit([*agent("ana", profile="late"), *arrive("c1", 5, 1)]) == []
    assert (
        audit(
            [*agent("ana"), *arrive("c1", 5, 1), offer("r1", "c1", "ana", 5), *arrive("c2", 6, 2)]
        )
        == []
    )


def test_a_delay_that_is_over_counts() -> None:
    late = [*agent("ana", profile="late"), *arrive("c1", 5, 1)]
    tick = agent("bo", 5 + 30 * SECOND_US, profile="none")
    assert audit(late, tick) == ["I6 c1 waits in q while ana has room"]


def test_an_offer_below_the_level_asked_is_seen() -> None:
    found = audit(
        [*agent("ana", en=2), *arrive("c1", 5, 1, asks=(("en", 3),)), offer("r1", "c1", "ana", 5)]
    )
    assert found == ["I4 c1 is offered to ana, who is not eligible"]


def test_passing_over_the_longest_idle_agent_is_seen() -> None:
    found = audit(
        [*agent("ana", 0), *agent("bo", 1), *arrive("c1", 5, 1), offer("r1", "c1", "bo", 5)]
    )
    assert len(found) == 1
    assert "c1 (longest_idle) went to bo" in found[0]
    assert "instead of ana" in found[0]


def test_passing_over_the_smaller_key_is_seen() -> None:
    waiting = [*arrive("c1", 5, 1), *arrive("c2", 6, 2), *arrive("c0", 7, 3, tier=-1)]
    for wrong in ("c1", "c2"):
        found = audit([*waiting, *agent("ana", 9), offer("r1", wrong, "ana", 9, edge="agent")])
        assert len(found) == 1
        assert f"ana got {wrong}" in found[0]
        assert "instead of c0" in found[0]
    assert audit([*waiting, *agent("ana", 9), offer("r1", "c0", "ana", 9, edge="agent")]) == []


def test_the_rank_goes_before_the_key() -> None:
    waiting = [*arrive("c1", 5, 1), *arrive("c2", 6, 2, queue=SHIP)]
    found = audit(
        [*waiting, *agent("ana", 9, profile="both"), offer("r1", "c1", "ana", 9, edge="agent")]
    )
    assert len(found) == 1
    assert "instead of c2" in found[0]


def test_true_room_goes_before_interruption_and_interrupted_work_comes_back_first() -> None:
    busy = [
        *agent("ana"),
        *arrive("e1", 1, 1, channel="email", tier=1),
        offer("r1", "e1", "ana", 1, channel="email"),
        accept("r1", "e1", "ana", 2),
        connected("r1", 2),
        *agent("bo", 3),
        *arrive("c1", 4, 2),
    ]
    suspend = e.ReservationSuspended(
        at_us=4, reservation=ReservationId("r1"), by=ReservationId("r2")
    )
    wrong = audit([*busy, suspend, offer("r2", "c1", "ana", 4)])
    assert len(wrong) == 1
    assert "instead of bo" in wrong[0]
    away = e.PresenceChanged(at_us=3, agent=AgentId("bo"), presence=Presence.NOT_READY)
    right = [*busy[:-2], away, *busy[-2:], suspend, offer("r2", "c1", "ana", 4)]
    assert audit(right) == []
    talk = [accept("r2", "c1", "ana", 5), connected("r2", 6), *arrive("c2", 7, 3)]
    over = [closed("c1", 8), ended("r2", 8), offer("r3", "c2", "ana", 8, edge="agent")]
    assert "I4 ana gets new work while r1 is suspended" in audit([*right, *talk, *over])


def test_two_accepts_are_seen() -> None:
    found = audit(
        [
            *agent("ana"), *agent("bo"), *arrive("c1", 5, 1), offer("r1", "c1", "ana", 5),
            offer("r2", "c1", "bo", 5), accept("r1", "c1", "ana", 6), accept("r2", "c1", "bo", 6),
        ],
        settings=policy(parallel=2),
    )  # fmt: skip
    assert "I3 c1 is served by ana and bo" in found


def test_more_offers_than_the_queue_makes_at_once_are_seen() -> None:
    offers = [offer("r1", "c1", "ana", 5), offer("r2", "c1", "bo", 5)]
    found = audit([*agent("ana"), *agent("bo"), *arrive("c1", 5, 1), *offers])
    assert found == ["I3 c1 is offered to more than 1"]


def test_a_load_above_capacity_is_seen() -> None:
    emails = []
    for number in range(3):
        emails += arrive(f"e{number}", number, number, channel="email", tier=1)
        emails.append(offer(f"r{number}", f"e{number}", "ana", number, channel="email"))
    found = audit([*agent("ana"), *emails])
    assert "I2 ana holds 3 email contacts, at most 2" in found


def test_an_offer_to_somebody_who_left_is_seen() -> None:
    away = e.PresenceChanged(at_us=3, agent=AgentId("ana"), presence=Presence.NOT_READY)
    found = audit([*agent("ana"), away, *arrive("c1", 5, 1), offer("r1", "c1", "ana", 5)])
    assert found == ["I5 c1 is offered to ana, who is not ready or lost"]
    lost = e.AgentLost(at_us=3, agent=AgentId("ana"))
    assert audit([*agent("ana"), lost, *arrive("c1", 5, 1), offer("r1", "c1", "ana", 5)]) == found


def test_a_key_that_changes_on_return_is_seen() -> None:
    reject = e.OfferRejected(
        at_us=6, reservation=ReservationId("r1"), contact=ContactId("c1"), agent=AgentId("ana"),
        until_us=6 + 30 * SECOND_US,
    )  # fmt: skip
    back = e.ContactReturned(at_us=6, contact=ContactId("c1"), reason="rejected", head_start_us=5)
    found = audit([*agent("ana"), *arrive("c1", 5, 1), offer("r1", "c1", "ana", 5), reject, back])
    assert found == ["I4 c1 returned (rejected) with another key: head start 0 became 5"]


def test_a_due_moment_outside_the_rule_is_seen() -> None:
    events = arrive("c1", 5, 1)
    wrong = e.ContactQueued(
        at_us=5, contact=ContactId("c1"), queue=Q, tier=0, head_start_us=0, due_at_us=6,
        arrival_no=1, visit_no=1, visit_at_us=5,
    )  # fmt: skip
    assert audit([events[0], wrong]) == [f"I4 c1 is due at {5 + 20 * SECOND_US}, not at 6"]


def test_an_offer_beyond_its_deadline_is_seen_but_not_within_the_grace_after_a_restart() -> None:
    start = [*agent("ana"), *arrive("c1", 5, 1), offer("r1", "c1", "ana", 5)]
    late = 5 + 21 * SECOND_US
    tick = agent("bo", late, profile="none")
    assert audit(start, tick) == ["I11 r1 is offered beyond its deadline 20.000005"]
    auditor = Auditor(policy())
    auditor.frame(start, 5)
    auditor.recovered(late)
    auditor.frame(tick, late)
    assert auditor.violations == []


def test_a_step_that_is_overdue_is_seen() -> None:
    settings = policy(steps=(Step(name="wider", after_us=10, actions=()),))
    start = arrive("c1", 5, 1)
    assert audit(start, agent("ana", 16, profile="none"), settings=settings) == [
        "I11 c1: step 'wider' is overdue"
    ]


def test_ends_that_come_twice_or_never_are_seen() -> None:
    frame = [*agent("ana"), *arrive("c1", 100, 1), *life()]
    assert audit([*frame, closed("c1", 104)]) == ["I1 ContactClosed for c1, which has ended"]
    auditor = Auditor(policy())
    auditor.frame(arrive("c1", 100, 1), 100)
    auditor.finish()
    assert [v.text for v in auditor.violations] == ["c1 never ended, it is queued"]


def test_one_external_id_for_two_contacts_is_seen() -> None:
    twice = [*arrive("c1", 5, 1, external_id="x"), *arrive("c2", 6, 2, external_id="x")]
    assert audit(twice) == ["I12 voice 'x' is both c1 and c2"]


def test_events_out_of_time_are_seen() -> None:
    assert audit([*arrive("c1", 5, 1), *agent("ana", 4, profile="none")])[0].startswith("I16")


@pytest.mark.parametrize(
    ("strategy", "winner"),
    [
        (Strategy.LONGEST_IDLE, "ana"),
        (Strategy.BEST_FIT, "bo"),
        (Strategy.KEEP_SPECIALISTS, "cy"),
    ],
)
def test_each_strategy_has_its_own_winner(strategy: Strategy, winner: str) -> None:
    people = [
        *agent("ana", 0, en=3, de=1), *agent("bo", 1, en=9, de=1), *agent("cy", 2, en=4),
    ]  # fmt: skip
    settings = policy(strategy=strategy)
    for name in ("ana", "bo", "cy"):
        found = audit(
            [
                *people,
                *arrive("c1", 5, 1, asks=(("en", 3),)),
                offer("r1", "c1", name, 5, asks=(("en", 3),), strategy=strategy),
            ],
            settings=settings,
        )
        assert (found == []) == (name == winner)


def test_minutes_of_opening_follow_the_wall_clock_over_a_clock_change() -> None:
    weekend = HoursSpan(days=(5, 6), start_minute=0, end_minute=180)
    hours = OpenMinutes(Hours(id="h", zone="Europe/Berlin", spans=(weekend,)))
    midnight = 1_774_738_800 * SECOND_US  # 2026-03-29 00:00 in Berlin: at 2:00 it becomes 3:00
    assert hours.is_open(midnight)
    assert not hours.is_open(midnight + 2 * 3600 * SECOND_US)
    assert hours.add_open(midnight, 3600 * SECOND_US) == midnight + 3600 * SECOND_US


def test_a_miss_that_counts_though_somebody_accepted_is_seen() -> None:
    missed = e.OfferExpired(
        at_us=7, reservation=ReservationId("r2"), contact=ContactId("c1"), agent=AgentId("bo")
    )
    found = audit(
        [
            *agent("ana"), *agent("bo"), *arrive("c1", 5, 1), offer("r1", "c1", "ana", 5),
            offer("r2", "c1", "bo", 5), accept("r1", "c1", "ana", 6), missed,
        ],
        settings=policy(parallel=2),
    )  # fmt: skip
    assert found == [
        "I11 r2 expired before its deadline",
        "I3 r2 counts as missed though somebody accepted",
    ]


def test_a_rejection_without_cool_down_is_seen() -> None:
    reject = e.OfferRejected(
        at_us=6, reservation=ReservationId("r1"), contact=ContactId("c1"), agent=AgentId("ana")
    )
    found = audit([*agent("ana"), *arrive("c1", 5, 1), offer("r1", "c1", "ana", 5), reject])
    assert "I4 c1 may go to ana again without cool-down" in found


def test_overtaking_by_a_contact_that_looks_for_an_agent_is_seen() -> None:
    waiting = [*arrive("c1", 5, 1), *arrive("c2", 6, 2)]
    found = audit([*waiting, *agent("ana", 9), offer("r1", "c2", "ana", 9)])
    assert len(found) == 1
    assert found[0].startswith("I4 ana got c2")
    assert found[0].endswith("passed over")


def test_a_decision_record_that_tells_something_else_is_seen() -> None:
    people = [*agent("ana"), *agent("bo")]
    for winner, runners_up, words in (
        ("bo", (), "names bo, ana was chosen"),
        ("ana", ("bo", "bo"), "names ana and ['bo', 'bo']"),
        ("ana", ("bo",), "counts 1 eligible, names 2"),
    ):
        decision = Decision(
            edge="contact",
            strategy="longest_idle",
            winner=Candidate(winner, ()),
            runners_up=tuple(Candidate(id_, ()) for id_ in runners_up),
            eligible=1,
        )
        told = e.ContactOffered(
            at_us=5, reservation=ReservationId("r1"), contact=ContactId("c1"), queue=Q,
            agent=AgentId("ana"), channel="voice", units=100, rank=1, deadline_at_us=99,
            decision=decision,
        )  # fmt: skip
        found = audit([*people, *arrive("c1", 5, 1), told])
        assert found == [f"I17 r1: the decision record {words}"]
