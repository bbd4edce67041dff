from __future__ import annotations

import pytest

from router.core.model import (
    Agent,
    AgentId,
    Contact,
    ContactId,
    QueueId,
    Reservation,
    ReservationId,
    Term,
)
from router.core.policy import Queue, Strategy
from router.core.roster import Seat
from router.core.scoring import agent_score, agent_terms, contact_terms
from tests.core.centre import policy

CONTACT = Contact(
    id=ContactId("c1"),
    channel="chat",
    queue=QueueId("q"),
    tier=1,
    due_at_us=50,
    head_start_us=20,
    arrival_no=4,
    requirements=(("billing", 2), ("en", 1)),
)


def seat(name: str, idle: int, units: int = 0, **fields: object) -> Seat:
    made = Seat(Agent(id=AgentId(name), **fields))  # type: ignore[arg-type]
    made.idle = (idle, name)
    if units:
        made.load.add(
            Reservation(
                id=ReservationId(f"r-{name}"),
                contact=ContactId("other"),
                agent=AgentId(name),
                queue=QueueId("q"),
                channel="chat",
                units=units,
            )
        )
    return made


def best(strategy: Strategy, *seats: Seat, **settings: object) -> str:
    queue = Queue(id=QueueId("q"), strategy=strategy, **settings)  # type: ignore[arg-type]
    return min(seats, key=lambda s: agent_score(s, CONTACT, queue, policy())).agent.id


def test_longest_idle_puts_unloaded_agents_first_then_time_then_id() -> None:
    loaded, late, early, twin = seat("a", 1, 33), seat("b", 9), seat("d", 5), seat("c", 5)
    assert best(Strategy.LONGEST_IDLE, loaded, late, early) == "d"
    assert best(Strategy.LONGEST_IDLE, early, twin) == "c"
    assert best(Strategy.ORDERED, loaded, late) == "b"


def test_least_loaded_compares_shares_of_the_own_capacity() -> None:
    small = seat("a", 1, 20, capacity=50)
    large = seat("b", 9, 60, capacity=200)
    assert best(Strategy.LEAST_LOADED, small, large) == "b"


def test_best_fit_takes_the_highest_weighted_level() -> None:
    speaks, knows = (
        seat("a", 1, skills={"en": 9, "billing": 3}),
        seat("b", 9, skills={"en": 3, "billing": 8}),
    )
    assert best(Strategy.BEST_FIT, speaks, knows) == "a"
    assert best(Strategy.BEST_FIT, speaks, knows, fit_weights={"billing": 2.0}) == "b"


def test_keep_specialists_takes_who_has_fewest_other_skills() -> None:
    rare = seat("a", 1, skills={"en": 9, "billing": 9, "thai": 9})
    plain = seat("b", 9, skills={"en": 1, "billing": 2})
    assert best(Strategy.KEEP_SPECIALISTS, rare, plain) == "b"


def test_round_robin_takes_whose_last_offer_is_longest_ago() -> None:
    assert (
        best(Strategy.ROUND_ROBIN, seat("a", 1, offered_at_us=9), seat("b", 9, offered_at_us=3))
        == "b"
    )


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        (Strategy.LEAST_LOADED, "load"),
        (Strategy.BEST_FIT, "fit"),
        (Strategy.KEEP_SPECIALISTS, "surplus_skills"),
        (Strategy.ROUND_ROBIN, "last_offer_at_us"),
    ],
)
def test_the_strategys_term_stands_in_the_record_by_name(strategy: Strategy, name: str) -> None:
    queue = Queue(id=QueueId("q"), strategy=strategy)
    candidate = agent_terms(seat("a", 7), CONTACT, queue, policy(), 2, by_interruption=False)
    assert [term.name for term in candidate.terms] == ["rank", name, "idle_since_us"]


def test_terms_stand_in_the_order_in_which_they_were_compared() -> None:
    queue = Queue(id=QueueId("q"))
    loaded = agent_terms(seat("a", 7, 33), CONTACT, queue, policy(), 2, by_interruption=True)
    assert loaded.terms == (
        Term("rank", 2),
        Term("by_interruption", 1),
        Term("last_accept_at_us", 7),
    )
    waiting = contact_terms(CONTACT, 3)
    assert waiting.id == "c1"
    assert waiting.terms == (
        Term("rank", 3), Term("tier", 1), Term("due_us", 30), Term("arrival_no", 4)
    )  # fmt: skip
