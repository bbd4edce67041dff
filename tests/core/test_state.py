from __future__ import annotations

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.model import SECOND_US, ContactId, QueueId
from router.core.policy import Queue
from router.core.record import Row
from router.core.state import APPLY, ROWS, State, applies
from tests.core.centre import Centre, policy
from tests.core.ruled import centre as ruled
from tests.core.ruled import rule


def kinds(rows: list[tuple[str, str, Row]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, id_, _ in rows:
        found.setdefault(kind, []).append(id_)
    return {kind: sorted(ids) for kind, ids in found.items()}


def test_what_changed_is_drained_once() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.engine.state.drain()
    centre.submit("c1")
    changes = centre.engine.state.drain()
    assert kinds(changes.upserts) == {
        "agent": ["ana"], "contact": ["c1"], "reservation": ["r1"], "totals": [""],
    }  # fmt: skip
    assert (changes.deletes, changes.closed) == ([], [])
    assert centre.engine.state.drain().upserts == []


def test_a_closed_contact_is_deleted_and_handed_to_the_archive() -> None:
    centre = Centre()
    centre.submit("c1", external_id="x1", peer_key="p1")
    centre.say(c.AbandonContact(contact=ContactId("c1"), reason="hung up"))
    changes = centre.engine.state.drain()
    assert changes.deletes == [("contact", "c1")]
    assert [(row.id, row.outcome, row.outcome_reason) for row in changes.closed] == [
        ("c1", "abandoned", "hung up")
    ]
    state = centre.engine.state
    assert (state.contacts, state.by_external, state.by_peer, len(state.timers)) == ({}, {}, {}, 0)


def test_a_row_that_came_and_went_in_one_turn_is_only_deleted() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), most_waiting=0)))
    centre.engine.state.drain()
    centre.submit("c1")
    changes = centre.engine.state.drain()
    assert "contact" not in kinds(changes.upserts)
    assert changes.deletes == [("contact", "c1")]


def test_each_change_of_a_contact_raises_its_version() -> None:
    centre = Centre()
    centre.submit("c1")
    before = centre.of("c1").version
    centre.say(c.WatchContact(contact=ContactId("c1")))
    assert centre.of("c1").version == before + 1
    assert centre.of("c1").watched


def test_a_row_of_an_unknown_kind_is_refused() -> None:
    class Odd(Row):
        pass

    with pytest.raises(TypeError, match="no state row 'odd'"):
        State().load("odd", Odd())


def test_an_event_has_one_handler() -> None:
    with pytest.raises(AssertionError, match="ContactQueued has a handler"):
        applies(e.ContactQueued)(APPLY[e.ContactQueued])


def test_every_kind_of_row_can_be_loaded() -> None:
    centre = ruled(rule("all", watch=True))
    centre.agent("ana")
    centre.submit("c1")
    centre.accept("c1")
    centre.say(c.PauseChannel(channel="sms"))
    rows = centre.engine.state.drain().upserts
    assert {kind for kind, _, _ in rows} == set(ROWS)
    fresh = State()
    for kind, _, row in rows:
        assert type(row) is ROWS[kind]
        fresh.load(kind, row)
    assert (list(fresh.contacts), list(fresh.agents), list(fresh.reservations)) == (
        ["c1"], ["ana"], ["r1"],
    )  # fmt: skip


def test_entries_of_those_who_were_served_do_not_pile_up() -> None:
    """A shared timer an hour ahead, and ten thousand contacts that are answered at once."""
    centre = Centre(policy(Queue(id=QueueId("q"), longest_wait_us=3600 * SECOND_US)))
    centre.agent("ana")
    for number in range(3_000):
        centre.submit(f"c{number}", "voice")
        centre.say(c.AbandonContact(contact=ContactId(f"c{number}")))
    assert sum(map(len, centre.engine.state.dues.values())) <= 1_001


def test_new_settings_leave_keys_and_places_as_they_are() -> None:
    centre = Centre()
    for number in range(5):
        centre.submit(f"c{number}")
    keys = {id_: entry.key for id_, entry in centre.engine.state.waiting.entries.items()}
    centre.say(c.ApplyPolicy(policy=policy(Queue(id=QueueId("q"), targets_us={"chat": 1}))))
    assert {i: en.key for i, en in centre.engine.state.waiting.entries.items()} == keys


def test_a_step_of_the_wall_clock_moves_calendar_deadlines_only() -> None:
    queue = Queue(id=QueueId("q"), longest_wait_us=600 * SECOND_US)
    centre = Centre(policy(queue))
    centre.submit("waits")
    centre.submit("later", not_before_us=centre.now_us + 3600 * SECOND_US)
    late_us = centre.engine.state.timers.at(("late", "q"))
    opens_us = centre.engine.state.timers.at(("window", "later"))
    assert opens_us is not None
    centre.say(c.StepClock(by_us=60 * SECOND_US))
    assert centre.engine.state.timers.at(("late", "q")) == late_us
    assert centre.engine.state.timers.at(("window", "later")) == opens_us - 60 * SECOND_US


def test_who_is_offered_at_once_stands_in_no_line_and_comes_into_one_with_all_its_timers() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), longest_wait_us=300 * SECOND_US)))
    centre.agent("ana")
    state, began_us = centre.engine.state, centre.now_us
    centre.submit("c1", "voice")
    assert centre.agents_of("c1") == ["ana"]
    late = ("late", "q")
    assert (len(state.waiting), state.timers.at(late), state.dues) == (0, None, {})
    centre.say(c.RejectOffer(reservation=centre.offer_of("c1").id))
    centre.away("ana")
    assert [*state.waiting.entries] == ["c1"]
    assert state.positions.count(QueueId("q"), "voice") == 1
    assert state.timers.at(late) == began_us + 300 * SECOND_US


def test_who_has_come_into_a_line_stands_there_for_whoever_looks_first() -> None:
    centre = Centre()
    for number in range(3):
        centre.submit(f"c{number}")
    state = centre.engine.state
    assert state.positions.count_all(QueueId("q")) == 3
    assert [*state.waiting.entries] == ["c0", "c1", "c2"]
    centre.agent("ana")
    assert "c0" in centre.held_by("ana")
    assert [*state.waiting.entries] == [
        id_ for id_ in ("c0", "c1", "c2") if not centre.agents_of(id_)
    ]
