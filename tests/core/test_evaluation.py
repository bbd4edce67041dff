from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.evaluation import Evaluation, evaluate
from router.core.facts import Facts, LearnedWindow, Outbound, Permission
from router.core.model import SECOND_US, AgentId, ContactId, ContactState, Direction, QueueId
from router.core.policy import Action, ActionKind, Full, Hours, Limit, Queue, Step
from router.core.rules.book import Match
from router.core.rules.verbs import At, PreferAgent, Schedule
from router.errors import Invalid, NotFound, Refused
from tests.core.centre import START_US, Centre, only
from tests.core.ruled import centre, known, rule, segment, when

C1 = ContactId("c1")
HOUR_US = 3600 * SECOND_US
BILL = 'has(contact.attributes.topic) && contact.attributes.topic == "bill"'


def submission(**fields: Any) -> c.SubmitContact:
    fields.setdefault("queue", QueueId("q"))
    return c.SubmitContact(contact=C1, channel=fields.pop("channel", "chat"), **fields)


def asked(world: Centre, **fields: Any) -> Evaluation:
    return world.engine.evaluate(submission(**fields), world.now_us)


def busy(world: Centre) -> Centre:
    """Ana has no room for chats any more, one waits."""
    world.agent("ana", {"en": 5})
    for n in range(4):
        world.submit(f"x{n}")
    return world


def window(start_h: float, end_h: float, channel: str = "chat") -> LearnedWindow:
    return LearnedWindow(
        channel=channel, address="h", start_us=START_US + int(start_h * HOUR_US),
        end_us=START_US + int(end_h * HOUR_US), probability=0.8, low=0.7, high=0.9,
    )  # fmt: skip


OUT: dict[str, Any] = {
    "direction": Direction.OUTBOUND, "customer": "kim", "peer_key": "h/chat/us",
}  # fmt: skip
TODAY = Permission(allowed=False, reason="quiet_hours", next_at_us=START_US + HOUR_US)
NEVER = Permission(allowed=False, reason="do_not_contact", text="asked not to be")
LEARNED = Outbound(learned=True)


def closed(limit: Limit) -> Centre:
    queue = Queue(id=QueueId("q"), hours="never", on_closed=limit)
    return centre(queues=(queue,), hours={"never": Hours(id="never")})


def full(limit: Limit) -> Centre:
    return busy(centre(queues=(Queue(id=QueueId("q"), most_waiting=1, on_full=limit),)))


WORLDS: dict[str, tuple[Callable[[], Centre], dict[str, Any], str]] = {
    "free": (lambda: _with_agent(centre()), {}, "offered"),
    "busy": (lambda: busy(centre()), {}, "waits"),
    "nobody": (lambda: centre(), {}, "waits"),
    "rejected": (
        lambda: centre(rule("no", BILL, reject="sorry")),
        {"attributes": {"topic": "bill"}},
        "rejected",
    ),
    "deflected": (lambda: centre(rule("no", deflect="write")), {}, "deflected"),
    "later": (lambda: centre(), {"not_before_us": START_US + HOUR_US}, "scheduled"),
    "closed": (lambda: closed(Limit(action=Full.QUEUE)), {}, "waits"),
    "closed, away": (lambda: closed(Limit(text="closed")), {}, "deflected"),
    "closed, call": (lambda: closed(Limit(action=Full.CALLBACK)), {}, "callback"),
    "closed, over": (
        lambda: closed(Limit(action=Full.OVERFLOW, queue=QueueId("billing"))),
        {},
        "waits",
    ),
    "full": (lambda: full(Limit(text="full")), {}, "deflected"),
    "full, over": (
        lambda: full(Limit(action=Full.OVERFLOW, queue=QueueId("billing"))),
        {},
        "waits",
    ),
    "full, if": (lambda: full(Limit(condition=when("false"))), {}, "waits"),
    "places": (lambda: busy(centre(waiting_places=1)), {}, "deflected"),
    "out now": (lambda: _with_agent(centre()), {**OUT}, "offered"),
    "out, not allowed": (centre, {**OUT, "facts": Facts(permission=TODAY)}, "scheduled"),
    "out, never": (centre, {**OUT, "facts": Facts(permission=NEVER)}, "cancelled"),
    "out, too late": (centre, {**OUT, "outbound": Outbound(latest_at_us=START_US)}, "expired"),
    "out, window": (
        centre,
        {**OUT, "outbound": LEARNED, "facts": Facts(windows=(window(2, 3),))},
        "scheduled",
    ),
    "out, window now": (
        centre,
        {**OUT, "outbound": LEARNED, "facts": Facts(windows=(window(-1, 1),))},
        "waits",
    ),
    "out, elsewhere": (
        centre,
        {**OUT, "outbound": LEARNED, "facts": Facts(windows=(window(-1, 1, "sms"),))},
        "scheduled",
    ),
    "out, message": (
        centre,
        {**OUT, "outbound": Outbound(mode="message_first", template="t")},
        "scheduled",
    ),
    "out, unknown": (centre, {"direction": Direction.OUTBOUND}, "waits"),
}


def _with_agent(world: Centre) -> Centre:
    world.agent("ana")
    return world


def came(world: Centre, fields: dict[str, Any]) -> str:
    """Submit it: what became of it, in the words of an evaluation."""
    try:
        events = world.say(submission(**fields))
    except Refused:
        return "rejected"
    if any(isinstance(event, e.ContactReceived) and event.callback_of for event in events):
        return "callback"
    contact = world.engine.state.contacts.get(C1)
    if contact is None:
        return only(events, e.ContactClosed).outcome.value
    return {ContactState.QUEUED: "waits"}.get(contact.state, contact.state.value)


@pytest.mark.parametrize("name", WORLDS)
def test_what_is_said_is_what_then_happens(name: str) -> None:
    make, fields, outcome = WORLDS[name]
    world = make()
    found = asked(world, **fields)
    assert found.outcome == outcome
    assert came(world, fields) == outcome
    contact = world.engine.state.contacts.get(C1)
    if contact is None or outcome == "scheduled" or (found.turned and found.turned.queue):
        return
    place = (contact.queue, contact.requirements, contact.tier, contact.due_at_us)
    assert (found.queue, found.requirements, found.tier, found.due_at_us) == place
    if outcome == "waits":
        assert found.position == world.engine._decider.position(contact)
        assert found.wait_us == contact.promised_wait_us
    else:
        assert found.agents is not None
        assert [found.agents.winner.id] == world.agents_of("c1")


@pytest.mark.parametrize("name", WORLDS)
def test_asking_changes_nothing(name: str) -> None:
    make, fields, _ = WORLDS[name]
    world, twin = make(), make()
    world.engine.state.drain()
    before = world.engine.next_deadline()
    asked(world, **fields)
    changes = world.engine.state.drain()
    assert (changes.upserts, changes.deletes, changes.closed) == ([], [], [])
    assert world.engine.next_deadline() == before
    assert came(world, fields) == came(twin, fields)
    assert world.wait(30) == twin.wait(30)


def test_each_condition_is_told_with_what_it_came_to() -> None:
    world = centre(
        rule("bills", BILL, queue="billing", set={"a": 1}),
        rule("loyal", 'segment == "loyal"', tier=-1, set={"a": 2}),
        rule("broken", "contact.attributes.none == 1"),
        match=Match.ALL,
        segments=(segment("loyal", "customer.contacts > 10"), segment("passive")),
    )
    found = asked(world, attributes={"topic": "bill"}, facts=known(contacts=12))
    assert (found.segment.segment, found.segment.reason) == ("loyal", "customer.contacts > 10")
    assert [(v.name, v.matched, v.looked_at) for v in found.segment.verdicts] == [
        ("loyal", True, True),
        ("passive", False, False),
    ]
    assert [(v.name, v.matched) for v in found.plan.verdicts] == [
        ("bills", True), ("loyal", True), ("broken", False),
    ]  # fmt: skip
    step = found.plan.verdicts[0].step
    assert step is not None
    assert [part.reads for part in step.parts][1] == (("contact.attributes.topic", '"bill"'),)
    assert "none" in found.plan.verdicts[2].error
    assert found.plan.sources == {
        "queue": "bills", "set.a": "loyal", "tier": "loyal",
    }  # fmt: skip
    assert (found.queue, found.tier, found.attributes) == ("billing", -1, {"topic": "bill", "a": 2})


def test_a_rule_that_rejects_is_told_with_its_words() -> None:
    world = centre(rule("no", reject="not_for_us"))
    found = asked(world)
    assert (found.outcome, found.text) == ("rejected", "not_for_us")


@pytest.mark.parametrize(
    ("fields", "error"), [({"channel": "fax"}, Invalid), ({"queue": QueueId("x")}, NotFound)]
)
def test_what_cannot_be_submitted_cannot_be_asked_about(
    fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        asked(centre(), **fields)
    with pytest.raises(NotFound, match="no contact 'c9'"):
        centre().engine.evaluate(ContactId("c9"), START_US)


def test_the_agent_for_whom_it_would_be_held_is_the_only_one() -> None:
    world = centre(rule("mine", prefer_agent=PreferAgent(for_us=9 * SECOND_US)))
    for name in ("ana", "bo", "cleo"):
        world.agent(name)
    found = asked(world, customer="kim", facts=known(last_agent="cleo"))
    assert (found.hold_agent, found.hold_us) == ("cleo", 9 * SECOND_US)
    assert found.agents is not None
    assert found.agents.winner.id == "cleo"
    free = asked(world)
    assert free.agents is not None
    assert [free.agents.winner.id, *(r.id for r in free.agents.runners_up)] == ["ana", "bo", "cleo"]
    assert free.agents.winner.terms[0].name == "rank"


def test_whom_each_step_would_reach_is_told() -> None:
    step = Step(
        name="less", after_us=SECOND_US, actions=(Action(kind=ActionKind.DROP, skill="en"),)
    )
    world = centre(queues=(Queue(id=QueueId("q"), steps=(step,)),))
    world.agent("ana", {"de": 1})
    found = asked(world, requirements=(("en", 5),))
    assert [(reach.step, reach.available) for reach in found.steps] == [("asked", 0), ("less", 1)]
    assert found.outcome == "waits"


def test_a_contact_that_goes_out_is_told_with_window_and_permission() -> None:
    world = centre(rule("hour", schedule=Schedule(at=At.LEARNED_WINDOW, latest_us=4 * HOUR_US)))
    facts = Facts(windows=(window(2, 6), window(1, 2)), permission=TODAY)
    going = asked(world, **OUT, facts=facts).going
    assert going is not None
    assert (going.reason, going.at_us) == ("learned_window", START_US + 2 * HOUR_US)
    assert going.until_us == START_US + 4 * HOUR_US, "the last moment comes before its end"
    assert going.window == window(2, 6)
    assert going.terms.learned
    late = asked(world, **OUT, facts=Facts(windows=(window(5, 6),))).going
    assert late is not None
    assert (late.reason, late.at_us) == ("latest_moment", 0)
    without = asked(world, **OUT, facts=Facts(permission=TODAY)).going
    assert without is not None
    assert (without.reason, without.at_us) == ("quiet_hours", START_US + HOUR_US)


def test_a_live_contact_is_shown_as_it_is_and_judged_as_it_would_be_now() -> None:
    world = centre(
        rule("long", 'contact.waited > duration("10s")', tier=-1),
        segments=(segment("loyal"),),
    )
    busy(world)
    world.submit("c1", attributes={"a": 1})
    world.wait(15)
    found = world.engine.evaluate(C1, world.now_us)
    assert (found.is_live, found.outcome, found.position) == (True, "queued", 2)
    assert found.plan.rules == ("long",)
    assert found.tier == 0, "as it is"
    assert (found.segment.segment, found.agents) == ("loyal", None)
    world.say(c.UpdateContact(contact=C1, segment="passive", by="bo"))
    world.agent("bo", ready=False)
    assert world.engine.evaluate(C1, world.now_us).attributes == {"a": 1}
    served = world.engine.evaluate(ContactId("x0"), world.now_us)
    assert (served.outcome, served.agents) == ("offered", None)


def test_a_live_contact_on_the_shelf_says_when_it_goes_out() -> None:
    world = centre()
    facts = Facts(windows=(window(2, 3),))
    world.say(submission(**OUT, outbound=LEARNED, facts=facts))
    found = world.engine.evaluate(C1, world.now_us)
    assert found.going is not None
    assert (found.outcome, found.going.at_us) == ("scheduled", START_US + 2 * HOUR_US)


def test_a_segment_given_with_the_contact_stays_its_segment() -> None:
    world = centre(rule("vip", 'segment == "loyal"', tier=-1), segments=(segment("passive"),))
    world.submit("c1", segment="loyal")
    found = world.engine.evaluate(C1, world.now_us)
    assert (found.segment.segment, found.plan.rules) == ("loyal", ("vip",))


def test_evaluation_is_done_with_a_decider_of_its_own() -> None:
    world = centre(rule("wait", 'queue.longest_wait > duration("1h")', tier=-1))
    decider = world.engine._decider
    asked(world)
    assert decider.oldest == {}
    assert evaluate(decider, submission(prefer_agent=AgentId(""))).outcome == "waits"
