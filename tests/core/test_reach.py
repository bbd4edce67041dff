from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.model import Agent, AgentId, Presence, QueueId, Requirements
from router.core.policy import Profile
from router.core.queues import Waiting
from router.core.reach import Rank, Reach
from router.core.roster import Roster, Seat
from router.core.skills import meets, signature
from tests.core.centre import policy

Q = QueueId("q")
EN = signature({"en": 3})


class World:
    """Agents of two profiles; a queue that profile *all* serves at rank 1 and *help* at rank 2."""

    def __init__(self) -> None:
        self.roster = Roster()
        self.waiting = Waiting()
        profiles = {name: Profile(id=name, queues=()) for name in ("all", "help")}
        self.roster.use(policy(profiles=profiles), 0)
        self.reach = Reach(self.roster, self.waiting)
        pools = self.roster.pools
        self.ranks = [Rank(1, [pools["all"]], None), Rank(2, [pools["help"]], None)]

    def put(self, name: str, skills: Mapping[str, int], profile: str = "all") -> None:
        """The agent is new, or has other skills or another profile now."""
        id_ = AgentId(name)
        seat = self.roster.seats.get(id_)
        if seat is None:
            seat = self.roster.seats[id_] = Seat(Agent(id=id_, presence=Presence.READY))
        else:
            self.roster.unshelve(seat)
            self.waiting.withdraw(id_, seat.reader)
        seat.agent.skills, seat.agent.profile = dict(skills), profile
        self.waiting.enroll(id_, seat.reader, seat.agent.skills)
        self.roster.shelve(seat, 0)

    def remove(self, name: str) -> None:
        """The agent is gone."""
        seat = self.roster.seats.pop(AgentId(name))
        self.roster.unshelve(seat)
        self.waiting.withdraw(seat.agent.id, seat.reader)

    def asked(self, requirements: Requirements = EN, times: int = 3) -> list[Rank]:
        """What is left of the ranks when it was asked for so often."""
        for _ in range(times - 1):
            self.reach.narrow(self.ranks, Q, requirements)
        return self.reach.narrow(self.ranks, Q, requirements)


def few(ranks: list[Rank]) -> dict[int, list[str] | None]:
    return {
        rank: None if seats is None else [seat.agent.id for seat in seats]
        for rank, _, seats, *_ in ranks
    }


def test_of_a_new_signature_it_is_known_who_meets_it_anywhere() -> None:
    world = World()
    world.put("a", {"en": 5, "de": 2})
    world.put("b", {"en": 5, "de": 1})
    own, helping = world.asked(signature({"en": 4, "de": 2}), times=1)
    assert own.reached == helping.reached == [{"a"}]
    assert own.new
    assert own.few is None
    assert world.asked(signature({"en": 4, "fr": 1}), times=1) == []


def test_of_a_new_signature_that_many_meet_only_the_skills_are_known() -> None:
    world = World()
    for number in range(700):
        world.put(f"a{number}", {"en": 5, "de": 1 + number % 2})
    (own, _) = world.asked(signature({"en": 4, "de": 1}), times=1)
    assert [len(each) for each in own.reached or ()] == [700, 700]


def test_a_popular_signature_names_its_few_agents_rank_by_rank() -> None:
    world = World()
    world.put("b", {"en": 3})
    world.put("a", {"en": 5})
    world.put("weak", {"en": 2})
    world.put("h", {"en": 4}, "help")
    assert few(world.asked()) == {1: ["a", "b"], 2: ["h"]}


def test_a_rank_that_nobody_can_serve_at_is_left_out() -> None:
    world = World()
    world.put("a", {"de": 5})
    world.put("h", {"en": 4}, "help")
    assert few(world.asked()) == {2: ["h"]}
    assert world.asked(signature({"en": 5})) == []


def test_where_many_can_serve_only_the_pools_are_named() -> None:
    world = World()
    for number in range(20):
        world.put(f"a{number}", {"en": 5})
    assert few(world.asked()) == {1: None}
    for number in range(700):
        world.put(f"h{number}", {"en": 5}, "help")
    assert few(world.asked()) == {1: None, 2: None}


def test_whoever_comes_goes_or_changes_is_known_at_once() -> None:
    world = World()
    world.put("a", {"en": 5})
    assert few(world.asked()) == {1: ["a"]}
    world.put("b", {"en": 3}, "help")
    assert few(world.asked(times=1)) == {1: ["a"], 2: ["b"]}
    world.put("a", {"en": 2})
    assert few(world.asked(times=1)) == {2: ["b"]}
    world.put("b", {"en": 3})
    assert few(world.asked(times=1)) == {1: ["b"]}
    world.remove("b")
    assert world.asked(times=1) == []


def test_where_nobody_who_could_has_room_nobody_is_asked() -> None:
    world = World()
    world.put("a", {"en": 5})
    world.put("free", {"de": 5})
    assert few(world.asked()) == {1: ["a"]}
    seat = world.roster.seats[AgentId("a")]
    world.roster.unshelve(seat)
    assert world.asked(times=1) == []
    world.roster.shelve(seat, 0)
    assert few(world.asked(times=1)) == {1: ["a"]}


def test_new_settings_begin_anew() -> None:
    world = World()
    world.put("a", {"en": 5})
    assert few(world.asked()) == {1: ["a"]}
    world.roster.seats[AgentId("a")].agent.profile = "help"
    world.reach.forget()
    assert few(world.asked()) == {2: ["a"]}


LEVELS = st.dictionaries(st.sampled_from(["en", "de", "fr"]), st.integers(1, 3))
ASKED = st.dictionaries(st.sampled_from(["en", "de", "fr"]), st.integers(1, 3), min_size=1)
ACTS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "remove"]), st.integers(0, 12), LEVELS, ASKED),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_it_names_whom_a_scan_finds(
    acts: list[tuple[str, int, dict[str, int], dict[str, int]]],
) -> None:
    world = World()
    for act, number, levels, asked in acts:
        name = AgentId(f"a{number}")
        if act == "put":
            world.put(name, levels, "all" if number % 2 else "help")
        elif name in world.roster.seats:
            world.remove(name)
        requirements = signature(asked)
        able: dict[str, list[str]] = {"all": [], "help": []}
        for id_, seat in sorted(world.roster.seats.items()):
            if meets(seat.agent.skills, requirements):
                able[seat.agent.profile].append(id_)
        ranks = [(1, able["all"]), (2, able["help"])]
        assert few(world.asked(requirements)) == {rank: ids for rank, ids in ranks if ids}
