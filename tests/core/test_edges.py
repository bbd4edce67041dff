from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from router.core import commands as c
from router.core import events as e
from router.core.edges import AGENT_EDGE, CONTACT_EDGE, EDGES, Edges
from router.core.model import AgentId, ContactId, QueueId, ReservationId
from router.core.policy import Queue
from router.errors import NotFound, Refused
from tests.core.centre import Centre, policy, profiles


@pytest.mark.parametrize("kind", sorted(EDGES, key=lambda kind: kind.__name__))
def test_an_event_with_an_edge_names_what_it_makes_matchable(kind: type) -> None:
    fields = {field.name for field in msgspec.structs.fields(kind)}
    assert kind in get_args(e.Event)
    if EDGES[kind] & CONTACT_EDGE:
        assert "contact" in fields
    if EDGES[kind] == AGENT_EDGE:
        assert "agent" in fields


def test_every_event_that_frees_capacity_has_an_agents_edge() -> None:
    freeing = (
        e.OfferRejected,
        e.OfferExpired,
        e.OfferRescinded,
        e.ReservationFailed,
        e.ReservationEnded,
    )
    assert all(EDGES[kind] & AGENT_EDGE for kind in freeing)


def edges(centre: Centre) -> Edges:
    found = Edges(centre.engine.state)
    found.now_us = centre.now_us
    return found


def test_what_is_not_there_is_named() -> None:
    found = edges(Centre())
    with pytest.raises(NotFound, match="no contact 'c9'"):
        found.contact(ContactId("c9"))
    with pytest.raises(NotFound, match="no agent 'a9'"):
        found.agent(AgentId("a9"))
    with pytest.raises(NotFound, match="no queue 'q9'"):
        found.queue(QueueId("q9"))
    assert found.queue_settings(QueueId("q9")).id == "q9"


def test_a_reservation_is_shown_to_its_own_agent_only() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    found = edges(centre)
    assert found.reservation(ReservationId("r1"), AgentId("ana")).contact == "c1"
    with pytest.raises(NotFound, match="no reservation 'r1'"):
        found.reservation(ReservationId("r1"), AgentId("bo"))
    with pytest.raises(Refused, match="nobody serves contact 'c1'"):
        found.serving(centre.of("c1"))
    centre.accept("c1")
    assert found.serving(centre.of("c1"), AgentId("ana")).id == "r1"
    with pytest.raises(Refused, match="served by 'ana'"):
        found.serving(centre.of("c1"), AgentId("bo"))


def test_tier_and_target_are_the_queues_where_it_names_them_and_the_channels_where_not() -> None:
    queue = Queue(id=QueueId("q"), tiers={"chat": 3}, targets_us={"voice": 7})
    found = edges(Centre(policy(queue)))
    assert (found.tier_of(queue, "chat"), found.tier_of(queue, "email")) == (3, 1)
    assert found.due_at_us(queue, "voice", 100) == 107
    assert found.due_at_us(queue, "chat", 100) == 100 + 60_000_000


def test_positions_and_waits_are_counted_per_queue() -> None:
    centre = Centre(
        policy(
            Queue(id=QueueId("q")),
            Queue(id=QueueId("r")),
            profiles=profiles(all=[("q", 1)], other=[("r", 1)]),
        )
    )
    for name in ("c1", "c2"):
        centre.submit(name, "voice", requirements=(("rare", 9),))
    centre.agent("ana")
    centre.agent("bo")
    centre.agent("cy", profile="other")
    centre.submit("c3", "voice")
    found = edges(centre)
    assert [found.position(centre.of(name)) for name in ("c1", "c2")] == [1, 2]
    assert found.wait_us(QueueId("r"), "voice", 1) == 0
    assert found.wait_us(QueueId("nobody-serves-it"), "voice", 1) == -1


@pytest.mark.parametrize("channel", ["voice", "chat", "sms", "email"])
def test_both_edges_match_whoever_comes_second(channel: str) -> None:
    contact_first, agent_first = Centre(), Centre()
    contact_first.submit("c1", channel)
    contact_first.agent("ana")
    agent_first.agent("ana")
    agent_first.submit("c1", channel)
    assert contact_first.agents_of("c1") == agent_first.agents_of("c1") == ["ana"]


def test_an_agent_who_gets_another_skill_or_profile_is_tried_at_once() -> None:
    centre = Centre()
    centre.submit("c1", requirements=(("en", 3),))
    centre.agent("ana", {"en": 2})
    assert centre.agents_of("c1") == []
    centre.say(c.PutAgent(agent=AgentId("ana"), skills={"en": 3}, profile="all"))
    assert centre.agents_of("c1") == ["ana"]
