from __future__ import annotations

from router.core import commands as c
from router.core.model import SECOND_US, ContactId, QueueId
from router.core.rule_counts import RULE, SEGMENT, RuleCount, count_id, counted
from router.core.rules.book import Match, Moment
from router.core.state import State
from router.journal.codec import decode_row, encode_row
from tests.core.centre import START_US, Centre
from tests.core.ruled import centre, known, rule, segment


def counts(world: Centre) -> dict[str, tuple[int, int]]:
    """Matches, and the seconds after the start at which the last one was."""
    rows = world.engine.state.rule_counts
    return {
        id_: (row.matched, (row.last_at_us - START_US) // SECOND_US) for id_, row in rows.items()
    }


def test_a_count_knows_how_often_and_when_last() -> None:
    row = RuleCount(id=count_id(RULE, "a"), name="a")
    assert (row.id, row.matched, row.last_at_us) == ("rule/a", 0, 0)
    counted(row, 5)
    counted(row, 9)
    assert (row.matched, row.last_at_us) == (2, 9)
    assert count_id(SEGMENT, "a") == "segment/a"


def test_matches_are_counted_per_rule() -> None:
    world = centre(
        rule("vip", "contact.tier < 0", set={"a": 1}),
        rule("all", set={"b": 1}),
        rule("never", "false"),
        rule("key", on=Moment.INPUT, watch=True),
        match=Match.ALL,
    )
    world.submit("c1", "voice", tier=-1)
    world.wait(3)
    world.submit("c2", "voice")
    world.submit("c2", "voice")  # the same again
    assert counts(world) == {"rule/vip": (1, 0), "rule/all": (2, 3)}
    world.wait(1)
    world.say(c.CollectInput(contact=ContactId("c1"), name="pin", prompt="?"))
    world.say(c.ReportInput(contact=ContactId("c1"), name="pin", value="1"))
    assert counts(world)["rule/key"] == (1, 4)


def test_only_segments_whose_condition_held_are_counted() -> None:
    world = centre(segments=(segment("loyal", "customer.contacts > 10"), segment("passive")))
    world.submit("c1", customer="a", facts=known(contacts=11))
    world.submit("c2", customer="b", facts=known(contacts=9, segment="loyal"))
    world.submit("c3", customer="c", segment="loyal")
    world.wait(2)
    world.submit("c4")
    assert counts(world) == {"segment/loyal": (1, 0), "segment/passive": (1, 2)}


def test_what_asks_for_a_route_matches_nothing_that_counts() -> None:
    world = centre(rule("all", set={"b": 1}))
    world.say(c.AskRoute(request="r1", channel="voice", queue=QueueId("q")))
    assert counts(world) == {}


def test_counts_are_rows_and_come_back_with_them() -> None:
    world = centre(rule("all", set={"b": 1}))
    world.submit("c1")
    world.submit("c2")
    rows = [(kind, row) for kind, _, row in world.engine.state.drain().upserts if kind == "rule"]
    assert len(rows) == 1
    state = State()
    state.load("rule", decode_row(RuleCount, encode_row(rows[0][1])))
    assert state.rule_counts["rule/all"].matched == 2
    state.count_match(RULE, "all", START_US)
    [(kind, id_, row)] = state.drain().upserts
    assert (kind, id_, row) == ("rule", "rule/all", state.rule_counts["rule/all"])


def test_counts_of_removed_rules_and_segments_go_with_them() -> None:
    both = (segment("loyal", "customer.contacts > 10"), segment("passive"))
    world = centre(rule("all", set={"b": 1}), segments=both)
    world.submit("c1", facts=known(contacts=11))
    world.submit("c2")
    world.engine.state.drain()
    new = centre(rule("other"), segments=both[1:]).engine.policy
    world.say(c.ApplyPolicy(policy=new))
    assert counts(world) == {"segment/passive": (1, 0)}
    dropped = world.engine.state.drain().deletes
    assert {("rule", "rule/all"), ("rule", "segment/loyal")} <= set(dropped)
