from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.model import Agent, AgentId, Contact, ContactId, Presence, QueueId, Requirements
from router.core.policy import Profile, default_channels
from router.core.roster import Roster, Seat, Shelf
from router.core.skills import meets, signature
from tests.core.centre import policy

SETTINGS = policy(
    profiles={"all": Profile(id="all", queues=()), "other": Profile(id="other", queues=())}
)
CHAT = 1 << list(default_channels()).index("chat")


def agent(name: str, idle: int = 0, profile: str = "all", **skills: int) -> Agent:
    return Agent(
        id=AgentId(name),
        profile=profile,
        skills=skills,
        presence=Presence.READY,
        idle_since_us=idle,
    )


def roster(*agents: Agent) -> Roster:
    made = Roster()
    for each in agents:
        made.seats[each.id] = Seat(each)
    made.use(SETTINGS, 0)
    return made


def asking(**asked: int) -> Contact:
    return Contact(
        id=ContactId("c"), channel="chat", queue=QueueId("q"), requirements=signature(asked)
    )


def shelves(made: Roster, profile: str = "all") -> list[Shelf]:
    classes = made.available([made.pools[profile]], CHAT)
    return [shelf for each in classes or () for shelf in each]


def first(made: Roster, contact: Contact) -> str | None:
    found = [seat for shelf in shelves(made) if (seat := shelf.first(contact)) is not None]
    return min(found, key=lambda seat: seat.idle).agent.id if found else None


def test_the_longest_idle_stands_first_and_ties_end_with_the_id() -> None:
    made = roster(agent("c", 5), agent("b", 5), agent("a", 9))
    (shelf,) = shelves(made)
    assert [seat.agent.id for seat in shelf.walk(asking())] == ["b", "c", "a"]


def test_who_comes_back_from_an_offer_stands_where_their_idle_time_says() -> None:
    made = roster(*(agent(name, idle) for name, idle in (("a", 1), ("b", 2), ("c", 3), ("d", 4))))
    (shelf,) = shelves(made)
    seat = made.seats[AgentId("b")]
    made.unshelve(seat)
    assert [s.agent.id for s in shelf.walk(asking())] == ["a", "c", "d"]
    made.shelve(seat, 0)
    assert [s.agent.id for each in shelves(made) for s in each.walk(asking())] == [
        "a",
        "b",
        "c",
        "d",
    ]


def test_who_is_not_ready_or_lost_stands_nowhere() -> None:
    away = agent("a")
    away.presence = Presence.NOT_READY
    lost = agent("b")
    lost.lost_at_us = 5
    made = roster(away, lost)
    assert made.available(made.pools.values(), CHAT) is None
    assert made.seats[AgentId("a")].room == 0


def test_each_profile_has_a_pool_of_its_own_and_an_unknown_one_too() -> None:
    made = roster(agent("a"), agent("b", profile="other"), agent("c", profile="gone"))
    assert {name: pool.ready for name, pool in made.pools.items()} == {
        "all": 1,
        "other": 1,
        "gone": 1,
    }
    assert [s.agent.id for shelf in shelves(made, "other") for s in shelf.walk(asking())] == ["b"]


def test_an_excluded_agent_is_stepped_over() -> None:
    made = roster(agent("a", 1, en=5), agent("b", 2, en=5))
    contact = asking(en=3)
    assert first(made, contact) == "a"
    contact.excluded = {AgentId("a"): 1}
    assert first(made, contact) == "b"


def test_who_comes_after_the_winner_is_found_within_the_bound() -> None:
    made = roster(*(agent(f"a{i:02}", i, en=i % 3) for i in range(12)))
    (shelf,) = shelves(made)
    winner = shelf.first(asking(en=2))
    assert winner is not None
    assert winner.agent.id == "a02"
    assert [s.agent.id for s in shelf.after(winner, asking(en=2), 100, 9)] == ["a05", "a08", "a11"]
    assert [s.agent.id for s in shelf.after(winner, asking(en=2), 3, 9)] == ["a05"]
    assert [s.agent.id for s in shelf.after(winner, asking(en=2), 100, 2)] == ["a05", "a08"]


def test_who_was_stepped_over_once_is_found_when_it_comes_back() -> None:
    agents = [agent(f"a{i:03}", i, en=1, de=1 + (i in (40, 90))) for i in range(100)]
    made = roster(*agents)
    asked = asking(en=1, de=2)
    for _ in range(3):
        assert first(made, asked) == "a040"
    for name, then in (("a040", "a090"), ("a090", None)):
        made.unshelve(made.seats[AgentId(name)])
        assert first(made, asked) == then
    for name in ("a090", "a040"):
        made.shelve(made.seats[AgentId(name)], 0)
        assert first(made, asked) == name


def test_lists_do_not_grow_with_the_comings_and_goings() -> None:
    made = roster(*(agent(f"a{i:03}", i, en=1) for i in range(100)))
    (shelf,) = shelves(made)
    for turn in range(1000):
        seat = made.seats[AgentId(f"a{turn % 90:03}")]
        made.unshelve(seat)
        assert first(made, asking(en=1)) != seat.agent.id
        seat.agent.idle_since_us = 1000 + turn
        made.shelve(seat, 0)
    assert first(made, asking(en=1)) == "a090"
    assert len(shelf.by_skill["en"].places) < 300


AGENTS = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.dictionaries(st.sampled_from(["en", "de", "fr"]), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=40,
)
ASKED = st.dictionaries(st.sampled_from(["en", "de", "fr"]), st.integers(1, 3), max_size=3)
MOVES = st.lists(st.tuples(st.integers(0, 39), st.integers(0, 30), ASKED), max_size=60)


@settings(max_examples=60, deadline=None)
@given(AGENTS, MOVES)
def test_the_first_on_the_shelves_is_the_one_that_a_scan_finds(
    people: list[tuple[int, dict[str, int]]], moves: list[tuple[int, int, dict[str, int]]]
) -> None:
    agents = [agent(f"a{i:02}", idle, **skills) for i, (idle, skills) in enumerate(people)]
    made = roster(*agents)
    away: set[str] = set()
    for which, idle, asked in moves:
        moved = agents[which % len(agents)]
        seat = made.seats[moved.id]
        made.unshelve(seat)
        if idle % 3 == 0 and moved.id not in away:
            moved.presence = Presence.NOT_READY
            away.add(moved.id)
        else:
            moved.presence = Presence.READY
            moved.idle_since_us = idle
            away.discard(moved.id)
        made.shelve(seat, 0)
        for each in (asked, {}, {"en": 2}):  # some ask again and again
            assert first(made, asking(**each)) == scanned(agents, signature(each))
        listed = [s.agent.id for shelf in shelves(made) for s in shelf.walk(asking(**asked))]
        assert listed == scanned_all(agents, signature(asked))


def scanned_all(agents: list[Agent], requirements: Requirements) -> list[str]:
    able = [a for a in agents if a.presence is Presence.READY and meets(a.skills, requirements)]
    return [a.id for a in sorted(able, key=lambda a: (a.idle_since_us, a.id))]


def scanned(agents: list[Agent], requirements: Requirements) -> str | None:
    return next(iter(scanned_all(agents, requirements)), None)


def test_who_came_back_to_the_front_unseen_is_not_her_own_runner_up() -> None:
    made = roster(agent("a", 1, en=5), agent("b", 2, en=5), agent("c", 3, en=5))
    (shelf,) = shelves(made)
    asked, seat = asking(en=5), made.seats[AgentId("a")]
    assert first(made, asked) == "a"
    made.unshelve(seat)
    assert first(made, asked) == "b"
    # The walk stands behind `b` now; `a` comes back to her place, and nobody looks.
    made.shelve(seat, 0)
    shelves(made)
    assert [s.agent.id for s in shelf.after(seat, asked, 10, 3)] == ["b", "c"]
