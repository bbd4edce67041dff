"""The terms of a choice: what is compared, in order, and how it is written down."""

from __future__ import annotations

from router.core.model import Candidate, Contact, Term
from router.core.policy import Policy, Queue, Strategy
from router.core.queues import key_of
from router.core.roster import Seat
from router.core.skills import fit, surplus

Score = tuple[float | int | str | bool, ...]


def agent_score(seat: Seat, contact: Contact, queue: Queue, policy: Policy) -> Score:
    """What agent selection compares within one rank; smaller wins.

    Every strategy ends with longest idle (unloaded agents before loaded ones), then the id.
    """
    return (
        *_strategy_terms(seat, contact, queue, policy),
        bool(seat.load.reservations),
        *seat.idle,
    )


def _strategy_terms(seat: Seat, contact: Contact, queue: Queue, policy: Policy) -> Score:
    match queue.strategy:
        case Strategy.LONGEST_IDLE | Strategy.ORDERED:  # first: by far the most common
            return ()
        case Strategy.LEAST_LOADED:
            return (seat.load.units / (seat.agent.capacity or policy.capacity),)
        case Strategy.BEST_FIT:
            return (-fit(seat.agent.skills, contact.requirements, queue.fit_weights),)
        case Strategy.KEEP_SPECIALISTS:
            return (surplus(seat.agent.skills, contact.requirements),)
        case Strategy.ROUND_ROBIN:
            return (seat.agent.offered_at_us,)


_TERM = {
    Strategy.LEAST_LOADED: "load",
    Strategy.BEST_FIT: "fit",
    Strategy.KEEP_SPECIALISTS: "surplus_skills",
    Strategy.ROUND_ROBIN: "last_offer_at_us",
}


def agent_terms(
    seat: Seat, contact: Contact, queue: Queue, policy: Policy, rank: int, by_interruption: bool
) -> Candidate:
    """An agent, as a decision record shows it."""
    terms = [Term("rank", rank)]
    if by_interruption:
        terms.append(Term("by_interruption", 1))
    strategy = _strategy_terms(seat, contact, queue, policy)
    if strategy:
        value = strategy[0]
        terms.append(Term(_TERM[queue.strategy], value))
    if seat.load.reservations:
        terms.append(Term("last_accept_at_us", seat.idle[0]))
    else:
        terms.append(Term("idle_since_us", seat.idle[0]))
    return Candidate(seat.agent.id, tuple(terms))


def contact_terms(contact: Contact, rank: int) -> Candidate:
    """A contact, as a decision record shows it."""
    tier, due, arrival = key_of(contact)
    return Candidate(
        contact.id,
        (Term("rank", rank), Term("tier", tier), Term("due_us", due), Term("arrival_no", arrival)),
    )
