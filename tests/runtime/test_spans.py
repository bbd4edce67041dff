"""A contact's events as spans: what begins where, what is in them, and what is not."""

from __future__ import annotations

import pytest

from router.core import events as e
from router.core.model import (
    AgentId,
    Candidate,
    Contact,
    ContactId,
    ContactOutcome,
    Decision,
    Direction,
    QueueId,
    Reservation,
    ReservationId,
)
from router.runtime.spans import MOST_NOTES, Lives, Parent, Span, ids_of, read_parent

C, R, ANA, FRONT = ContactId("c1"), ReservationId("r1"), AgentId("ana"), QueueId("front")
DECISION = Decision(edge="contact", strategy="longest_idle", winner=Candidate("ana", ()))
CALLER = Parent(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, is_sampled=True)


def received(at_us: int = 1, contact: ContactId = C, **more: object) -> e.ContactReceived:
    return e.ContactReceived(at_us=at_us, contact=contact, channel="voice", **more)  # type: ignore[arg-type]


def queued(at_us: int = 2) -> e.ContactQueued:
    return e.ContactQueued(
        at_us=at_us, contact=C, queue=FRONT, tier=0, head_start_us=0, due_at_us=9, arrival_no=1,
        visit_no=1, visit_at_us=1, reason="submitted",
    )  # fmt: skip


def offered(at_us: int, reservation: ReservationId = R) -> e.ContactOffered:
    return e.ContactOffered(
        at_us=at_us, reservation=reservation, contact=C, agent=ANA, queue=FRONT, channel="voice",
        units=100, rank=1, deadline_at_us=99, decision=DECISION,
    )  # fmt: skip


def life(*events: e.Event, lives: Lives | None = None) -> list[Span]:
    lives = Lives("oak") if lives is None else lives
    return [span for seq, event in enumerate(events, 1) for span in lives.take(seq, event)]


def told(spans: list[Span]) -> list[tuple[str, int, int]]:
    return [(span.name, span.start_us, span.end_us) for span in spans]


WHOLE = (
    received(), queued(), offered(5),
    e.OfferExpired(at_us=9, reservation=R, contact=C, agent=ANA),
    e.ContactReturned(at_us=9, contact=C, reason="no_answer", head_start_us=0),
    offered(11, ReservationId("r2")),
    e.OfferAccepted(at_us=12, reservation=ReservationId("r2"), contact=C, agent=ANA),
    e.ReservationConnecting(at_us=12, reservation=ReservationId("r2"), deadline_at_us=50),
    e.ReservationConnected(at_us=15, reservation=ReservationId("r2")),
    e.CustomerHeld(at_us=20, reservation=ReservationId("r2")),
    e.ContactClosed(at_us=30, contact=C, outcome=ContactOutcome.COMPLETED, reason="completed"),
    e.WrapUpStarted(at_us=30, reservation=ReservationId("r2"), deadline_at_us=60),
    e.ReservationEnded(at_us=41, reservation=ReservationId("r2"), reason="wrap_up_finished"),
)  # fmt: skip


def test_a_whole_life_is_one_trace() -> None:
    lives = Lives("oak")
    spans = life(*WHOLE, lives=lives)
    assert told(spans) == [
        ("queued", 2, 5), ("offered", 5, 9), ("queued", 9, 11), ("offered", 11, 12),
        ("connecting", 12, 15), ("in service", 15, 30), ("wrap-up", 30, 41), ("contact", 1, 41),
    ]  # fmt: skip
    root = spans[-1]
    assert (root.trace, root.id) == ids_of("c1")
    assert {span.trace for span in spans} == {root.trace}
    assert {span.parent for span in spans[:-1]} == {root.id}
    assert len({span.id for span in spans}) == len(spans)
    assert root.attributes["router.outcome"] == "completed"
    assert (root.attributes["router.seq"], root.attributes["router.seq_closed"]) == (1, 11)
    assert [note.name for note in root.notes] == ["customer held"]
    assert spans[1].attributes["router.result"] == "expired"
    assert len(lives) == 0, "nothing of a contact is kept that is over"


def test_the_same_log_gives_the_same_ids() -> None:
    assert [span.id for span in life(*WHOLE)] == [span.id for span in life(*WHOLE)]


def test_what_a_caller_traces_stands_in_the_callers_trace() -> None:
    lives = Lives("oak", share=0.0001)
    lives.expect("c1", CALLER)
    spans = life(*WHOLE, lives=lives)
    assert {span.trace for span in spans} == {CALLER.trace}
    assert (spans[-1].parent, spans[-1].is_remote) == (CALLER.span, True)


def test_a_callers_decision_not_to_trace_is_kept() -> None:
    lives = Lives("oak")
    lives.expect("c1", CALLER._replace(is_sampled=False))
    assert life(*WHOLE, lives=lives) == []
    assert len(lives) == 0


def test_the_share_is_kept_by_all_who_see_the_trace() -> None:
    lives = Lives("oak", share=0.25)
    sampled = 0
    for number in range(2_000):
        contact = ContactId(f"c{number}")
        closed = e.ContactClosed(at_us=2, contact=contact, outcome=ContactOutcome.ABANDONED)
        spans = life(received(contact=contact), closed, lives=lives)
        sampled += len(spans)
        assert bool(spans) == (ids_of(contact)[0] & (1 << 64) - 1 < 0.25 * (1 << 64))
    assert 400 < sampled < 600


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "00-0-0-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n", "0" * 300,
    ],
)  # fmt: skip
def test_what_is_no_traceparent_is_none(text: str) -> None:
    assert read_parent(text) is None


def test_a_traceparent_of_today_and_of_a_later_version() -> None:
    text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert read_parent(text) == CALLER
    assert read_parent("cc" + text[2:] + "-what-comes-later") == CALLER
    assert read_parent(text[:-2] + "00") == CALLER._replace(is_sampled=False)


def test_a_call_that_fails_is_an_error_with_the_routers_own_reason() -> None:
    failed = e.ReservationFailed(at_us=9, reservation=R, contact=C, agent=ANA, reason="busy")
    closed = e.ContactClosed(
        at_us=9, contact=C, outcome=ContactOutcome.FAILED, reason="Ms Canary was rude"
    )
    spans = life(received(), queued(), offered(5), failed, closed)
    assert [(span.name, span.error) for span in spans] == [
        ("queued", ""), ("offered", "busy"), ("contact", "in words"),
    ]  # fmt: skip


def test_a_contact_that_came_of_another_leads_to_it() -> None:
    lives = Lives("oak")
    life(received(contact=ContactId("c0")), lives=lives)
    consult = received(contact=C, consult_of=ContactId("c0"), callback_of=ContactId("older"))
    [root] = life(
        consult, e.ContactClosed(at_us=3, contact=C, outcome=ContactOutcome.COMPLETED), lives=lives
    )
    assert root.links == [ids_of("c0"), ids_of("older")]


def test_a_consulted_agent_who_takes_over_serves_in_the_contacts_trace() -> None:
    lives = Lives("oak")
    consult = ContactId("c2")
    r2 = ReservationId("r2")
    offer = offered(3, r2)
    spans = life(
        received(), received(contact=consult, consult_of=C),
        e.ContactOffered(**{f: getattr(offer, f) for f in offer.__struct_fields__}
                         | {"contact": consult}),
        e.OfferAccepted(at_us=4, reservation=r2, contact=consult, agent=ANA),
        e.ReservationConnected(at_us=5, reservation=r2, contact=consult),
        e.ReservationMoved(at_us=8, reservation=r2, from_contact=consult, contact=C, agent=ANA),
        e.ContactClosed(at_us=8, contact=consult, outcome=ContactOutcome.COMPLETED),
        e.ReservationEnded(at_us=10, reservation=r2),
        e.ContactClosed(at_us=10, contact=C, outcome=ContactOutcome.COMPLETED),
        lives=lives,
    )  # fmt: skip
    service = [span for span in spans if span.name == "in service"]
    assert [(s.trace, s.start_us, s.end_us) for s in service] == [
        (ids_of("c2")[0], 5, 8), (ids_of("c1")[0], 8, 10),
    ]  # fmt: skip
    assert len(lives) == 0


def test_what_was_there_before_a_start_goes_on_under_the_same_ids() -> None:
    lives = Lives("oak")
    row = Contact(id=C, channel="chat", direction=Direction.INBOUND, created_at_us=1)
    r2 = Reservation(
        id=ReservationId("r2"), contact=C, agent=ANA, channel="chat", queue=FRONT, units=1,
        offered_at_us=11, accepted_at_us=12, connected_at_us=15,
    )  # fmt: skip
    lives.adopt([row], [r2])
    spans = life(*WHOLE[9:], lives=lives)
    assert told(spans) == [("in service", 15, 30), ("wrap-up", 30, 41), ("contact", 1, 41)]
    assert (spans[-1].trace, spans[-1].id) == ids_of("c1")
    assert spans[-1].attributes["router.resumed"] is True


def test_a_wrap_up_goes_on_after_a_start() -> None:
    lives = Lives("oak")
    held = Reservation(
        id=R, contact=C, agent=ANA, channel="chat", queue=FRONT, units=1, offered_at_us=5,
        accepted_at_us=6, connected_at_us=7, wrap_at_us=30,
    )  # fmt: skip
    lives.adopt([], [held])
    spans = life(e.ReservationEnded(at_us=41, reservation=R), lives=lives)
    assert told(spans) == [("wrap-up", 30, 41), ("contact", 5, 41)]
    assert len(lives) == 0


def test_what_nobody_knows_and_what_is_without_end_costs_little() -> None:
    lives = Lives("oak")
    assert life(*WHOLE[1:], lives=lives) == []
    assert len(lives) == 0
    many = [e.MessageReceived(at_us=2, contact=C, message="m", size=1)] * (MOST_NOTES + 10)
    closed = e.ContactClosed(at_us=3, contact=C, outcome=ContactOutcome.COMPLETED)
    [root] = life(received(), *many, closed, lives=lives)
    assert (len(root.notes), root.attributes["router.notes_left_out"]) == (MOST_NOTES, 10)


def test_an_effect_is_asked_of_a_backend() -> None:
    lives = Lives("oak")
    life(received(), lives=lives)
    said = {"router.effect": "e1-7", "router.result": "unknown"}
    [span] = lives.effect("c1", "DeliverMessage", 5, 8, said)
    assert (span.name, span.parent, span.is_outward, span.error) == (
        "DeliverMessage", ids_of("c1")[1], True, "unknown",
    )  # fmt: skip
    [late] = lives.effect("c9", "EndContact", 5, 8, {"router.result": "done"})
    assert (late.trace, late.parent, late.error) == (*ids_of("c9"), "")
