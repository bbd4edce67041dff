"""The oracle of matching: the promised order in plain scans, to judge each choice of the engine.

Each judgement is a sentence about what should have been chosen instead, or None. And the moves that
a reservation may make.
"""

from __future__ import annotations

from collections.abc import Sequence

from router.core import events as e
from router.core.model import (
    Agent,
    AgentId,
    Contact,
    ContactId,
    ContactState,
    Requirements,
    ReservationState,
)
from router.core.policy import Action, ActionKind, Queue, Strategy
from router.testing.naive import SERVING, World

Key = tuple[int, int, int]
Terms = tuple[int, int, float, bool, int, AgentId]

_R = ReservationState
MOVES: dict[type, tuple[ReservationState, ...]] = {
    e.OfferAccepted: (_R.OFFERED,),
    e.OfferRejected: (_R.OFFERED,),
    e.OfferExpired: (_R.OFFERED,),
    e.OfferRescinded: (_R.OFFERED,),
    e.ReservationConnecting: (_R.ACCEPTED, _R.CONNECTED),
    e.ReservationConnected: (_R.ACCEPTED, _R.CONNECTING),
    e.ReservationSuspended: (_R.CONNECTED,),
    e.ReservationResumed: (_R.SUSPENDED,),
    e.CustomerHeld: (_R.CONNECTED,),
    e.CustomerResumed: (_R.CONNECTED,),
    e.WrapUpStarted: (_R.CONNECTED,),
    e.WrapUpExtended: (_R.WRAPPING,),
    e.ReservationEnded: (*SERVING, _R.WRAPPING),
    e.ReservationFailed: (_R.OFFERED, *SERVING),
}
"""From which states each may come; from the product's words, not from the engine's table."""


def key(contact: Contact) -> Key:
    """Smaller is served first."""
    return (contact.tier, contact.due_at_us - contact.head_start_us, contact.arrival_no)


def better_contact(world: World, agent: Agent, chosen: Contact) -> str | None:
    """Contact selection: the least rank, then the smallest key, of all this agent may have."""
    best: tuple[int, Key, Contact] | None = None
    for contact in world.contacts.values():
        if contact.state is not ContactState.QUEUED and contact is not chosen:
            continue
        fit = world.eligible(agent, contact)
        if fit is None:
            continue
        candidate = (fit[1], key(contact), contact)
        if best is None or candidate[:2] < best[:2]:
            best = candidate
    if best is None or best[2] is chosen:
        return None
    return (
        f"{agent.id} got {chosen.id} {key(chosen)} instead of {best[2].id} {best[1]}"
        f" of rank {best[0]}"
    )


def passed_over(world: World, agent: Agent, chosen: Contact) -> str | None:
    """A contact that looks for an agent must not overtake one that the agent should have first.

    Only one that is better in rank and key alike is meant: where both directions of selection meet
    in one moment (a reload, an agent who becomes free as a contact returns) either may go first.
    """
    fit = world.eligible(agent, chosen)
    limit = (fit[1] if fit else 0, key(chosen))
    for contact in world.contacts.values():
        if contact.state is not ContactState.QUEUED or key(contact) >= limit[1]:
            continue
        other = world.eligible(agent, contact)
        if other is not None and other[1] <= limit[0]:
            return f"{agent.id} got {chosen.id} {limit}, {contact.id} {key(contact)} passed over"
    return None


def better_agent(world: World, chosen: Agent, contact: Contact, queue: Queue) -> str | None:
    """Agent selection: rank, true room, strategy, longest idle, id."""
    best: tuple[Terms, Agent] | None = None
    of_chosen: Terms | None = None
    for agent in world.agents.values():
        fit = world.eligible(agent, contact)
        if fit is None:
            continue
        terms = _terms(world, agent, contact, queue, fit)
        if agent is chosen:
            of_chosen = terms
        if best is None or terms < best[0]:
            best = (terms, agent)
    if best is None or best[1] is chosen:
        return None
    return (
        f"{contact.id} ({queue.strategy.value}) went to {chosen.id} {of_chosen}"
        f" instead of {best[1].id} {best[0]}"
    )


def _terms(
    world: World, agent: Agent, contact: Contact, queue: Queue, fit: tuple[int, int]
) -> Terms:
    interrupts, rank = fit
    asked = dict(contact.requirements)
    term: float = 0
    if queue.strategy is Strategy.LEAST_LOADED:
        term = world.load(agent.id) / world.capacity(agent)
    elif queue.strategy is Strategy.BEST_FIT:
        weights = queue.fit_weights
        term = -sum(weights.get(s, 1.0) * agent.skills.get(s, 0) for s, _ in contact.requirements)
    elif queue.strategy is Strategy.KEEP_SPECIALISTS:
        term = len(agent.skills.keys() - asked.keys())
    elif queue.strategy is Strategy.ROUND_ROBIN:
        term = agent.offered_at_us
    by_rank = queue.rank_first or queue.strategy is Strategy.ORDERED
    return (rank if by_rank else 0, interrupts, term, *world.idle_order(agent))


def decision_fault(world: World, event: e.ContactOffered, queue: Queue) -> str | None:
    """A sentence if the decision record does not tell what was decided."""
    decision = event.decision
    contact, agent = world.contacts[event.contact], world.agents[event.agent]
    by_contact = decision.edge == "contact"
    winner = event.agent if by_contact else event.contact
    runners_up = [candidate.id for candidate in decision.runners_up]
    where = f"{event.reservation}: the decision record"
    if decision.winner.id != winner:
        return f"{where} names {decision.winner.id}, {winner} was chosen"
    if decision.requirements != contact.requirements or decision.step != contact.step:
        return f"{where} has {decision.requirements} at step {decision.step}"
    if by_contact and decision.strategy != queue.strategy.value:
        return f"{where} has strategy {decision.strategy}"
    if len({winner, *runners_up}) != 1 + len(runners_up) or len(runners_up) > 3:
        return f"{where} names {winner} and {runners_up}"
    if decision.eligible < 1 + len(runners_up):
        return f"{where} counts {decision.eligible} eligible, names {1 + len(runners_up)}"
    for id_ in runners_up:
        if by_contact:
            fit = world.eligible(world.agents[AgentId(id_)], contact)
        else:
            fit = world.eligible(agent, world.contacts[ContactId(id_)])
        if fit is None:
            return f"{where} names {id_}, not eligible, as a runner-up"
    return None


def relaxed(requirements: Requirements, actions: Sequence[Action]) -> Requirements:
    """What is asked after a relaxation step."""
    asked = dict(requirements)
    for action in actions:
        match action.kind:
            case ActionKind.LOWER if action.skill in asked:
                asked[action.skill] = min(asked[action.skill], action.level)
            case ActionKind.DROP:
                asked.pop(action.skill, None)
            case ActionKind.ADD:
                asked[action.skill] = max(asked.get(action.skill, 0), action.level)
            case _:
                pass
    return tuple(sorted(asked.items()))
