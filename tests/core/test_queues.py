from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.model import AgentId, Contact, ContactId, QueueId
from router.core.queues import Line, Positions, Reader, Waiting, key_of
from router.core.skills import meets, signature

Q, R = QueueId("q"), QueueId("r")
SKILLS = ["billing", "en", "fr", "tech", "vip"]


def contact(
    number: int, *, tier: int = 0, due: int = 0, head: int = 0, queue: QueueId = Q, **asked: int
) -> Contact:
    return Contact(
        id=ContactId(f"c{number}"),
        channel="chat",
        queue=queue,
        tier=tier,
        due_at_us=due,
        head_start_us=head,
        arrival_no=number,
        requirements=signature(asked),
    )


def heads(reader: Reader) -> list[str]:
    """The first contact of each bucket that this reader knows, best first."""
    found = sorted(
        head for group in reader.groups for each in group.heads.values() for head in each
    )
    return [next(head[2].in_order()).contact.id for head in found]


def test_the_key_is_tier_then_due_less_head_start_then_arrival() -> None:
    assert key_of(contact(7, tier=1, due=100, head=30)) == (1, 70, 7)
    later_but_due_sooner = contact(2, due=10)
    assert key_of(later_but_due_sooner) < key_of(contact(1, due=20))
    assert key_of(contact(1, due=20)) < key_of(contact(0, tier=1))


def test_a_bucket_shows_its_best_contact_whatever_the_order_of_arrival() -> None:
    waiting, reader = Waiting(), Reader()
    waiting.enroll(AgentId("a"), reader, {"en": 5})
    line = waiting.line(Q, "chat", 0)
    for number, due in ((1, 30), (2, 10), (3, 20)):
        waiting.place(waiting.add(contact(number, due=due, en=1)), line)
    assert heads(reader) == ["c2"]
    waiting.remove(contact(2))
    assert heads(reader) == ["c3"]
    waiting.remove(contact(1))
    waiting.remove(contact(3))
    assert heads(reader) == []
    assert (len(waiting), waiting.busy, line.count) == (0, set(), 0)


def test_one_that_leaves_from_the_middle_is_not_seen_again() -> None:
    waiting, reader = Waiting(), Reader()
    waiting.enroll(AgentId("a"), reader, {})
    line = waiting.line(Q, "chat", 0)
    for number in range(1, 4):
        waiting.place(waiting.add(contact(number, due=number)), line)
    waiting.remove(contact(2))
    waiting.remove(contact(1))
    assert heads(reader) == ["c3"]


def test_one_that_returns_with_the_same_key_stands_where_it_stood() -> None:
    waiting, reader = Waiting(), Reader()
    waiting.enroll(AgentId("a"), reader, {})
    line = waiting.line(Q, "chat", 0)
    one, two = contact(1, due=5), contact(2, due=9)
    waiting.place(waiting.add(two), line)
    waiting.place(waiting.add(one), line)
    for _ in range(3):
        waiting.remove(two)
        waiting.place(waiting.add(two), line)
    bucket = waiting.entries[ContactId("c1")].buckets[0]
    assert [entry.contact.id for entry in bucket.in_order()] == ["c1", "c2"]


def test_an_agent_is_told_of_groups_made_before_and_after() -> None:
    waiting, before, after, stranger = Waiting(), Reader(), Reader(), Reader()
    waiting.enroll(AgentId("a"), before, {"en": 5, "fr": 5})
    waiting.enroll(AgentId("x"), stranger, {"fr": 5})
    waiting.place(waiting.add(contact(1, en=3)), waiting.line(Q, "chat", 0))
    waiting.enroll(AgentId("b"), after, {"en": 5})
    waiting.place(waiting.add(contact(2, due=5)), waiting.line(Q, "chat", 0))
    assert heads(before) == heads(after) == ["c1", "c2"]
    assert heads(stranger) == ["c2"]


def test_an_agent_who_has_gone_is_told_nothing_more() -> None:
    waiting, reader = Waiting(), Reader()
    waiting.enroll(AgentId("a"), reader, {"en": 5})
    waiting.withdraw(AgentId("a"), reader)
    waiting.place(waiting.add(contact(1, en=3)), waiting.line(Q, "chat", 0))
    assert reader.groups == []


def test_one_kept_for_an_agent_can_be_reached_by_nobody_else() -> None:
    waiting, reader = Waiting(), Reader()
    waiting.enroll(AgentId("a"), reader, {})
    held = contact(1)
    held.hold_agent = AgentId("b")
    waiting.keep_for(waiting.add(held), AgentId("b"))
    assert heads(reader) == []
    assert list(waiting.own[AgentId("b")]) == ["c1"]
    waiting.remove(held)
    assert waiting.own == {}


def test_a_line_counts_who_stands_in_it() -> None:
    waiting = Waiting()
    line, helping = waiting.line(Q, "chat", 0), waiting.line(Q, "chat", 30)
    assert waiting.line(Q, "chat", 0) is line
    entry = waiting.add(contact(1))
    for each in (line, helping, line):
        waiting.place(entry, each)
    assert (line.count, helping.count, waiting.busy) == (1, 1, {line, helping})


def test_positions_count_within_queue_and_channel() -> None:
    positions, waiting = Positions(), Waiting()
    first, second = contact(1, due=10), contact(2, due=5)
    for each in (first, second, contact(3, due=1, queue=R)):
        positions.add(waiting.add(each))
    assert positions.of(Q, "chat", key_of(second)) == 1
    assert positions.of(Q, "chat", key_of(first)) == 2
    assert positions.of(Q, "voice", (0, 0, 0)) == 1
    assert (positions.count(Q, "chat"), positions.count(Q, "voice")) == (2, 0)
    positions.remove(waiting.remove(second))
    assert positions.of(Q, "chat", key_of(first)) == 1
    assert (positions.count_all(Q), positions.count_all(R)) == (1, 1)


@dataclass
class Naive:
    """The same, as lists that are scanned."""

    waiting: dict[str, Contact] = field(default_factory=dict)
    stands: dict[str, set[Line]] = field(default_factory=dict)

    def best(self, levels: dict[str, int], line: Line) -> str | None:
        able = [
            contact
            for contact in self.waiting.values()
            if line in self.stands[contact.id] and meets(levels, contact.requirements)
        ]
        return min(able, key=key_of).id if able else None


def best(reader: Reader, levels: dict[str, int], line: Line) -> str | None:
    """As an agent finds it: heads of the buckets of its groups that are of this line."""
    found = [
        next(head[2].in_order())
        for group in reader.groups
        for head in group.heads.get(line.queue, [])
        if head[2].line is line and meets(levels, head[2].requirements)
    ]
    return min(found, key=lambda entry: entry.key).contact.id if found else None


ASKED = st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 3), max_size=4)
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["in", "in", "out", "enroll"]),
        st.integers(0, 60),
        ASKED,
        st.integers(0, 1),
        st.sets(st.integers(0, 2), max_size=3),
    ),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_every_agent_finds_in_every_line_what_a_scan_finds(
    acts: list[tuple[str, int, dict[str, int], int, set[int]]],
) -> None:
    waiting, naive = Waiting(), Naive()
    lines = [waiting.line(Q, "chat", 0), waiting.line(R, "chat", 0), waiting.line(Q, "chat", 30)]
    agents = {
        AgentId(f"a{i}"): (Reader(), {skill: 1 + (i + n) % 3 for n, skill in enumerate(SKILLS[i:])})
        for i in range(5)
    }
    for number, (act, due, asked, tier, stands) in enumerate(acts):
        if act == "in":
            new = contact(number, tier=tier, due=due, **asked)
            entry = waiting.add(new)
            naive.waiting[new.id], naive.stands[new.id] = new, {lines[i] for i in stands}
            for i in sorted(stands):
                waiting.place(entry, lines[i])
        elif act == "out" and naive.waiting:
            gone = sorted(naive.waiting)[due % len(naive.waiting)]
            waiting.remove(naive.waiting.pop(gone))
        elif act == "enroll":
            name = AgentId(f"a{due % 5}")
            reader, levels = agents[name]
            waiting.withdraw(name, reader)
            waiting.enroll(name, reader, levels)
        for reader, levels in agents.values():
            if reader.mask or not levels:
                for line in lines:
                    assert best(reader, levels, line) == naive.best(levels, line)
    assert waiting.busy == {
        line
        for line in lines
        if any(line in s for c, s in naive.stands.items() if c in naive.waiting)
    }


def test_a_group_with_many_heads_is_read_by_queue() -> None:
    waiting, reader = Waiting(), Reader()
    waiting.enroll(AgentId("a"), reader, {"en": 5})
    here, there = waiting.line(Q, "chat", 0), waiting.line(R, "chat", 0)
    for level in range(1, 61):
        for line, shift in ((here, 0), (there, 100)):
            number = level + shift
            waiting.place(waiting.add(contact(number, due=number, en=level)), line)
    (group,) = (group for group in reader.groups if group.heads)
    assert list(group.heads) == [Q, R]
    assert group.first == min(entry.key for entry in waiting.entries.values())
    assert best(reader, {"en": 30}, there) == "c101"
    for number in (1, 2, 101):
        waiting.remove(contact(number))
    assert best(reader, {"en": 30}, there) == "c102"
    assert best(reader, {"en": 30}, here) == "c3"
