from __future__ import annotations

from router.core import commands as c
from router.core import events as e
from router.core.apply_agents import _moved
from router.core.model import SECOND_US, AgentId, ContactId, Presence, QueueId
from router.core.policy import Queue
from router.core.roster import Seat
from tests.core.centre import Centre, policy

C1 = ContactId("c1")


def seat(centre: Centre, agent: str = "ana") -> Seat:
    return centre.engine.state.roster.seats[AgentId(agent)]


def test_an_offer_holds_the_channels_units_from_the_first_moment() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1", "sms")
    assert (seat(centre).load.units, seat(centre).load.counts) == (20, {"sms": 1})
    assert (centre.offer_of("c1").cost, centre.offer_of("c1").visit_no) == (20, 1)
    assert centre.who("ana").offered_at_us == centre.now_us


def test_an_offer_that_comes_to_nothing_leaves_the_idle_time_alone() -> None:
    centre = Centre()
    centre.agent("ana")
    idle_us = centre.who("ana").idle_since_us
    centre.submit("c1")
    centre.wait(3)
    centre.say(c.RejectOffer(reservation=centre.offer_of("c1").id))
    assert centre.who("ana").idle_since_us == idle_us
    assert seat(centre).load.units == 0


def test_serving_begins_the_idle_time_anew_when_it_ends() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    centre.accept("c1")
    accepted_us = centre.now_us
    centre.wait(30)
    centre.complete("c1")
    assert centre.who("ana").accepted_at_us == accepted_us
    assert centre.who("ana").idle_since_us == centre.now_us


def test_a_suspended_reservation_holds_nothing_but_still_counts() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("mail", "email")
    centre.accept("mail")
    centre.submit("call", "voice")
    mail = centre.offer_of("mail")
    assert (mail.state, mail.units, mail.cost, mail.suspended_by) == ("suspended", 0, 10, "r2")
    assert (seat(centre).load.units, seat(centre).load.counts) == (100, {"email": 1, "voice": 1})
    centre.say(c.AbandonContact(contact=ContactId("call")))
    mail = centre.offer_of("mail")
    assert (mail.state, mail.units, mail.suspended_by) == ("connected", 10, "")


def test_hold_time_is_closed_when_wrap_up_begins() -> None:
    centre = Centre(policy(Queue(id=QueueId("q"), wrap_up_us={"voice": 60 * SECOND_US})))
    centre.agent("ana")
    centre.submit("c1", "voice")
    centre.talk("c1")
    centre.say(c.HoldCustomer(contact=C1))
    centre.wait(4)
    centre.complete("c1")
    (reservation,) = centre.engine.state.reservations.values()
    assert (reservation.hold_us, reservation.hold_at_us) == (4 * SECOND_US, 0)
    assert reservation.wrap_at_us == centre.now_us


def test_a_moved_reservation_takes_the_contact_with_it() -> None:
    centre = Centre()
    for name in ("ana", "bo"):
        centre.agent(name)
        centre.submit(f"of-{name}")
        centre.accept(f"of-{name}")
    state = centre.engine.state
    (taking,) = centre.of("of-bo").reservations
    state.apply(
        e.ReservationMoved(
            at_us=centre.now_us,
            reservation=taking,
            from_contact=ContactId("of-bo"),
            contact=ContactId("of-ana"),
            agent=AgentId("bo"),
        )
    )
    assert centre.of("of-ana").reservations == (taking,)
    assert centre.of("of-bo").reservations == ()
    assert state.reservations[taking].contact == "of-ana"


def test_changing_an_agent_touches_no_reservation() -> None:
    centre = Centre()
    centre.agent("ana", {"en": 1})
    centre.submit("c1")
    centre.accept("c1")
    centre.say(c.PutAgent(agent=AgentId("ana"), skills={"de": 2}, profile="all", capacity=50))
    assert centre.held_by("ana") == {"c1": "connected"}
    assert centre.who("ana").presence is Presence.READY
    assert centre.who("ana").skills == {"de": 2}
    assert centre.engine.state.roster.pools["all"].ready == 1


def test_a_removed_agent_leaves_no_trace_in_the_indexes() -> None:
    centre = Centre()
    centre.agent("ana", {"en": 1})
    centre.say(c.RemoveAgent(agent=AgentId("ana")))
    state = centre.engine.state
    assert (state.agents, state.roster.seats, state.roster.pools["all"].ready) == ({}, {}, 0)
    known = [readers.by_agent for readers in state.waiting._readers.values()]
    assert all(AgentId("ana") not in agents for agents in known)


def test_a_reservation_moves_by_the_table() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    moved = _moved(centre.engine.state, centre.offer_of("c1").id, e.OfferAccepted)
    assert moved.state == "accepted"
