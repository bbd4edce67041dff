from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.matching import Matcher
from router.core.model import (
    SECOND_US,
    Agent,
    AgentId,
    Contact,
    ContactId,
    Presence,
    QueueId,
    Reservation,
    ReservationId,
    ReservationState,
)
from router.core.policy import Policy, Queue, Strategy
from router.core.queues import Waiting, key_of
from router.core.roster import Roster, Seat
from router.core.skills import fit, meets, signature, surplus
from tests.core.centre import policy, profiles

NOW_US = 1000 * SECOND_US
QUEUES = ("q", "r", "s")
PROFILES = profiles(
    front=[("q", 1), ("r", 2), ("s", 3, 30)], back=[("r", 1), ("q", 1)], only=[("s", 1)]
)


class Floor:
    """Roster, lines and matcher without an engine: everything is put where a test says."""

    def __init__(self, settings_: Policy) -> None:
        self.policy = settings_
        self.roster, self.waiting = Roster(), Waiting()
        self.roster.use(settings_, NOW_US)
        self.matcher = Matcher(self.roster, self.waiting)
        self.matcher.use(settings_)

    def seat(self, agent: Agent, *held: Reservation) -> Seat:
        seat = self.roster.seats[agent.id] = Seat(agent)
        for reservation in held:
            seat.load.add(reservation)
        self.waiting.enroll(agent.id, seat.reader, agent.skills)
        if agent.presence is Presence.READY:
            self.roster.pool(seat).ready += 1
        self.roster.shelve(seat, NOW_US)
        return seat

    def stand(self, contact: Contact) -> Contact:
        entry = self.waiting.add(contact)
        if contact.target_agent or contact.hold_agent:
            self.waiting.keep_for(entry, contact.target_agent or contact.hold_agent)
            return contact
        # As `State.place`: while its own queue is closed no other line may be read for it.
        closed = contact.queue in self.matcher.closed
        queues = (contact.queue, *(() if closed else contact.extra_queues))
        delays = {(s.queue, s.delay_us) for p in self.policy.profiles.values() for s in p.queues}
        for queue, delay_us in sorted(delays):
            if queue in queues and NOW_US - contact.visit_at_us >= delay_us:
                self.waiting.place(entry, self.waiting.line(queue, contact.channel, delay_us))
        return contact

    # The product's words, scanned.

    def ranks(self, seat: Seat, contact: Contact) -> list[int]:
        waited_us = NOW_US - contact.visit_at_us
        return [
            served.rank
            for served in self.policy.profiles[seat.agent.profile].queues
            if served.queue in (contact.queue, *contact.extra_queues)
            and served.queue not in self.matcher.closed
            and waited_us >= served.delay_us
        ]

    def room(self, seat: Seat, channel: str) -> int | None:
        bit = self.roster.bits[channel]
        return 0 if seat.room & bit else 1 if seat.interrupted & bit else None

    def is_eligible(self, seat: Seat, contact: Contact) -> bool:
        agent = seat.agent
        return (
            agent.presence is Presence.READY
            and contact.queue not in self.matcher.closed
            and self.room(seat, contact.channel) is not None
            and meets(agent.skills, contact.requirements)
            and agent.id not in contact.excluded
            and bool(self.ranks(seat, contact))
        )

    def scan_agents(self, contact: Contact) -> list[str]:
        queue = self.policy.queues[contact.queue]
        able = [s for s in self.roster.seats.values() if self.is_eligible(s, contact)]

        def order(seat: Seat) -> tuple[Any, ...]:
            agent, load = seat.agent, seat.load
            idle = agent.accepted_at_us if load.reservations else agent.idle_since_us
            term: Any = {
                Strategy.LONGEST_IDLE: 0,
                Strategy.ORDERED: 0,
                Strategy.LEAST_LOADED: load.units / (agent.capacity or 100),
                Strategy.BEST_FIT: -fit(agent.skills, contact.requirements, {}),
                Strategy.KEEP_SPECIALISTS: surplus(agent.skills, contact.requirements),
                Strategy.ROUND_ROBIN: agent.offered_at_us,
            }[queue.strategy]
            rank_counts = queue.rank_first or queue.strategy is Strategy.ORDERED
            return (
                min(self.ranks(seat, contact)) if rank_counts else 0,
                self.room(seat, contact.channel),
                term,
                bool(load.reservations),
                idle,
                agent.id,
            )

        return [seat.agent.id for seat in sorted(able, key=order)]

    def scan_contacts(self, seat: Seat) -> str | None:
        able = [
            entry.contact
            for entry in self.waiting.entries.values()
            if self.is_eligible(seat, entry.contact)
        ]
        best = min(able, key=lambda c: (min(self.ranks(seat, c)), key_of(c)), default=None)
        return best.id if best else None


def agent(name: str, profile: str = "front", **fields: Any) -> Agent:
    return Agent(id=AgentId(name), profile=profile, presence=Presence.READY, **fields)


def contact(name: str, queue: str = "q", channel: str = "chat", **fields: Any) -> Contact:
    fields.setdefault("visit_at_us", NOW_US)
    return Contact(id=ContactId(name), channel=channel, queue=QueueId(queue), **fields)


def mail(number: int, agent_: str) -> Reservation:
    return Reservation(
        id=ReservationId(f"r{number}"),
        contact=ContactId(f"m{number}"),
        agent=AgentId(agent_),
        queue=QueueId("q"),
        channel="email",
        state=ReservationState.CONNECTED,
        units=10,
        cost=10,
    )


def floor(**queue_settings: Any) -> Floor:
    queues = [Queue(id=QueueId(name), **queue_settings) for name in QUEUES]
    return Floor(policy(*queues, profiles=PROFILES))


def chosen(floor_: Floor, contact_: Contact, count: int = 1) -> list[str]:
    selection = floor_.matcher.select_agents(contact_, NOW_US, count)
    return [choice.seat.agent.id for choice in selection.chosen] if selection else []


def test_the_own_queues_agent_comes_before_a_helper_who_is_idle_longer() -> None:
    place = floor()
    place.seat(agent("helper", "front", idle_since_us=1))
    place.seat(agent("own", "back", idle_since_us=9))
    assert chosen(place, contact("c", "r")) == ["own"]


def test_ranks_do_not_count_where_the_queue_says_so() -> None:
    place = floor(rank_first=False)
    place.seat(agent("helper", "front", idle_since_us=1))
    place.seat(agent("own", "back", idle_since_us=9))
    assert chosen(place, contact("c", "r")) == ["helper"]


def test_a_delayed_helper_is_nobody_until_the_delay_is_over() -> None:
    place = floor()
    place.seat(agent("helper", "front"))
    early = contact("early", "s")
    assert chosen(place, early) == []
    late = contact("late", "s", visit_at_us=NOW_US - 30 * SECOND_US)
    assert chosen(place, late) == ["helper"]


def test_true_room_goes_before_interruption_even_for_the_longest_idle() -> None:
    place = floor()
    place.seat(agent("mailing", accepted_at_us=1), mail(1, "mailing"))
    place.seat(agent("free", idle_since_us=99))
    call = contact("call", channel="voice")
    assert chosen(place, call, 2) == ["free", "mailing"]
    place.roster.unshelve(place.roster.seats[AgentId("free")])
    selection = place.matcher.select_agents(call, NOW_US)
    assert selection is not None
    assert selection.chosen[0].by_interruption


def test_a_target_or_a_hold_leaves_one_agent_only() -> None:
    place = floor()
    for name in ("ana", "bo"):
        place.seat(agent(name))
    stranger = place.seat(agent("stranger", "only"))
    held = contact("held", hold_agent=AgentId("bo"))
    sent = contact("sent", target_agent=AgentId("stranger"))
    assert chosen(place, held, 2) == ["bo"]
    assert chosen(place, sent, 2) == ["stranger"]  # the profile is not asked
    place.stand(held)
    assert place.matcher.select_contact(place.roster.seats[AgentId("ana")], NOW_US) is None
    place.stand(sent)
    choice = place.matcher.select_contact(stranger, NOW_US)
    assert choice is not None
    assert (choice.contact.id, choice.rank) == ("sent", 0)


def test_a_held_contact_gives_no_precedence_over_an_earlier_key() -> None:
    place = floor()
    ana = place.seat(agent("ana"))
    place.stand(contact("held", hold_agent=AgentId("ana"), due_at_us=9, arrival_no=2))
    place.stand(contact("earlier", due_at_us=5, arrival_no=1))
    choice = place.matcher.select_contact(ana, NOW_US)
    assert choice is not None
    assert choice.contact.id == "earlier"


def test_a_closed_queue_is_served_by_nobody() -> None:
    place = floor()
    ana = place.seat(agent("ana"))
    waits = place.stand(contact("c"))
    place.matcher.set_closed(QueueId("q"), closed=True)
    assert chosen(place, waits) == []
    assert place.matcher.select_contact(ana, NOW_US) is None
    assert not place.matcher.may_serve(ana, waits, NOW_US)
    place.matcher.set_closed(QueueId("q"), closed=False)
    assert chosen(place, waits) == ["ana"]


def test_the_record_names_winner_runners_up_and_terms() -> None:
    place = floor(strategy=Strategy.LEAST_LOADED)
    for number, name in enumerate(("a", "b", "c", "d", "e")):
        place.seat(agent(name, idle_since_us=number))
    waits = contact("c1")
    selection = place.matcher.select_agents(waits, NOW_US)
    assert selection is not None
    decision = place.matcher.agent_decision(selection, 0, waits)
    assert (decision.edge, decision.strategy, decision.policy_version) == (
        "contact",
        "least_loaded",
        "v1",
    )
    assert decision.winner.id == "a"
    assert [c.id for c in decision.runners_up] == ["b", "c", "d"]
    assert [t.name for t in decision.winner.terms] == ["rank", "load", "idle_since_us"]


def test_an_agents_record_names_the_contacts_that_came_after() -> None:
    place = floor()
    ana = place.seat(agent("ana", skills={"en": 5}))
    for number in range(1, 5):
        place.stand(
            contact(
                f"c{number}", due_at_us=number, arrival_no=number, requirements=(("en", number),)
            )
        )
    choice = place.matcher.select_contact(ana, NOW_US)
    assert choice is not None
    decision = place.matcher.contact_decision(ana, choice)
    assert (decision.edge, decision.strategy, decision.winner.id) == (
        "agent",
        "rank_then_key",
        "c1",
    )
    assert [c.id for c in decision.runners_up] == ["c2", "c3", "c4"]
    assert decision.eligible == 4


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"presence": Presence.NOT_READY}, False),
        ({"lost_at_us": 5}, False),
        ({"skills": {}}, False),
        ({"profile": "only"}, False),
    ],
)
def test_who_could_be_worth_waiting_for(fields: dict[str, Any], expected: bool) -> None:
    place = floor()
    usual = {"presence": Presence.READY, "profile": "front", "skills": {"en": 2}}
    made = Agent(id=AgentId("a"), **{**usual, **fields})
    seat = place.seat(made)
    assert place.matcher.could_serve(seat, QueueId("q"), (("en", 2),)) is expected


def test_an_agent_in_wrap_up_is_worth_waiting_for() -> None:
    place = floor()
    wrapping = mail(1, "a")
    wrapping.state = ReservationState.WRAPPING
    away = Agent(id=AgentId("a"), presence=Presence.NOT_READY, profile="front")
    assert place.matcher.could_serve(place.seat(away, wrapping), QueueId("q"), ())


SKILLS = st.dictionaries(st.sampled_from(["en", "de", "fr"]), st.integers(1, 3), max_size=3)
AGENTS = st.lists(
    st.tuples(
        st.sampled_from(sorted(PROFILES)), SKILLS, st.integers(0, 5), st.integers(0, 10),
        st.booleans(), st.integers(0, 3),
    ),
    max_size=12,
)  # fmt: skip
CONTACTS = st.lists(
    st.tuples(
        st.sampled_from(QUEUES), st.sampled_from(["voice", "chat", "email"]), SKILLS,
        st.integers(0, 1), st.integers(0, 5), st.sampled_from([0, 29, 30, 90]),
        st.sets(st.integers(0, 11), max_size=2), st.sets(st.sampled_from(QUEUES), max_size=1),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    AGENTS,
    CONTACTS,
    st.sampled_from(list(Strategy)),
    st.booleans(),
    st.sets(st.sampled_from(QUEUES), max_size=1),
)
def test_both_selections_find_what_a_scan_finds(
    agents: list[Any], contacts: list[Any], strategy: Strategy, rank_first: bool, closed: set[str]
) -> None:
    place = floor(strategy=strategy, rank_first=rank_first)
    for name in closed:
        place.matcher.set_closed(QueueId(name), closed=True)
    for number, (profile, skills, idle, mails, ready, offered) in enumerate(agents):
        name = f"a{number:02}"
        made = Agent(
            id=AgentId(name),
            profile=profile,
            skills=skills,
            presence=Presence.READY if ready else Presence.NOT_READY,
            idle_since_us=idle,
            accepted_at_us=idle + 1,
            offered_at_us=offered,
        )
        place.seat(made, *(mail(100 * number + i, name) for i in range(mails)))
    for number, (queue, channel, asked, tier, due, waited, without, extra) in enumerate(contacts):
        place.stand(
            contact(
                f"c{number}",
                queue,
                channel,
                requirements=signature(asked),
                tier=tier,
                due_at_us=due,
                arrival_no=number,
                visit_at_us=NOW_US - waited * SECOND_US,
                excluded={AgentId(f"a{i:02}"): 1 for i in without},
                extra_queues=tuple(sorted(QueueId(q) for q in extra - {queue} - closed)),
            )
        )
    for entry in place.waiting.entries.values():
        expected = place.scan_agents(entry.contact)
        assert chosen(place, entry.contact) == expected[:1]
        if strategy is not Strategy.ORDERED:
            assert chosen(place, entry.contact, 3) == expected[:3]
    for seat in place.roster.seats.values():
        choice = place.matcher.select_contact(seat, NOW_US)
        assert (choice.contact.id if choice else None) == place.scan_contacts(seat)
