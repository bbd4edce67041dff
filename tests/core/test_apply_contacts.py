from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.apply_contacts import _closed, _leaving
from router.core.facts import Facts
from router.core.model import FOR_EVER_US, SECOND_US, AgentId, ContactId, QueueId
from router.core.policy import Action, ActionKind, Queue, Step
from router.core.queues import key_of
from router.core.restart import lay_out
from router.core.rules.book import Moment
from router.core.rules.verbs import Then
from router.core.state import APPLY, State
from router.errors import Refused
from tests.core.centre import Centre, only, policy, profiles
from tests.core.ruled import centre, known, rule, segment

LOWER = Action(kind=ActionKind.LOWER, skill="en", level=1)
ADD = Action(kind=ActionKind.ADD_QUEUE, queue=QueueId("r"))
STEPS = (
    Step(name="less", after_us=20 * SECOND_US, actions=(LOWER,)),
    Step(name="more", after_us=40 * SECOND_US, actions=(ADD,)),
)
SETTINGS = policy(
    Queue(id=QueueId("q"), steps=STEPS, wrap_up_us={"voice": 9 * SECOND_US}, parallel=2),
    Queue(id=QueueId("r"), longest_wait_us=300 * SECOND_US),
    profiles=profiles(all=[("q", 1), ("r", 2, 30)], other=[("r", 1)]),
    grace_us=0,
)


def day(seed: int, steps: int, kind: type[Centre] = Centre) -> Centre:
    """A seeded stretch of a day; what cannot be is refused and changes nothing."""
    rng = random.Random(seed)
    centre = kind(SETTINGS)
    for number in range(4):
        centre.agent(f"a{number}", {"en": 1 + number}, profile=("all", "other")[number % 2])
    for number in range(steps):
        contacts = sorted(centre.engine.state.contacts)
        picked = rng.choice(contacts) if contacts else "none"
        agent = AgentId(f"a{rng.randrange(4)}")
        act = rng.randrange(12)
        try:
            if act <= 3:
                centre.submit(
                    f"c{number}",
                    rng.choice(["voice", "chat", "sms", "email"]),
                    queue=QueueId(rng.choice("qr")),
                    requirements=(("en", rng.randint(1, 4)),) if rng.random() < 0.5 else (),
                    external_id=f"x{number}" if rng.random() < 0.5 else "",
                    peer_key=f"p{number % 7}",
                )
            elif act == 4:
                centre.accept(picked)
            elif act == 5:
                centre.complete(picked)
            elif act == 6:
                centre.say(c.ConnectReservation(reservation=centre.offer_of(picked).id))
            elif act == 7:
                centre.say(c.RejectOffer(reservation=centre.offer_of(picked).id))
            elif act == 8:
                rng.choice([centre.away, centre.ready])(agent)
            elif act == 9:
                centre.say(c.ParkContact(contact=ContactId(picked)))
            elif act == 10:
                centre.say(
                    c.SwitchChannel(contact=ContactId(picked), channel=rng.choice(["chat", "sms"]))
                )
            else:
                centre.wait(rng.uniform(0, 15))
        except (Refused, KeyError, IndexError):
            continue
    return centre


def rebuilt(centre: Centre) -> State:
    """The indexes as a start lays them out from the rows."""
    old, fresh = centre.engine.state, State()
    fresh.use(SETTINGS, centre.now_us)
    for rows, kind in (
        (old.agents, "agent"),
        (old.contacts, "contact"),
        (old.reservations, "reservation"),
    ):
        for row in rows.values():
            fresh.load(kind, deepcopy(row))
    fresh.load("totals", deepcopy(old.totals))
    lay_out(fresh, centre.now_us, 0)
    return fresh


def layout(state: State) -> dict[str, object]:
    """What indexes say, in a form that can be compared."""
    places = {
        id_: (
            entry.key,
            sorted((b.line.queue, b.line.channel, b.line.delay_us) for b in entry.buckets),
        )
        for id_, entry in state.waiting.entries.items()
    }
    seats = {
        id_: (
            seat.room,
            seat.interrupted,
            seat.load.units,
            {k: n for k, n in seat.load.counts.items() if n},
        )
        for id_, seat in state.roster.seats.items()
    }
    positions = {
        id_: state.positions.of(entry.contact.queue, entry.contact.channel, key_of(entry.contact))
        for id_, entry in state.waiting.entries.items()
    }
    own = {agent: sorted(kept) for agent, kept in state.waiting.own.items()}
    counts = {
        (queue, channel): state.positions.count(queue, channel)
        for queue in SETTINGS.queues
        for channel in SETTINGS.channels
    }
    cools = sorted(
        key
        for key in state.timers.keys()  # noqa: SIM118 - not a dictionary
        if key[0] in ("cool", "hold", "reservation", "silence", "close")
    )
    return {
        "places": places, "seats": seats, "own": own, "counts": counts, "timers": cools,
        "positions": positions, "customers": sorted(state.by_customer),
        "external": dict(sorted(state.by_external.items())),
        "ready": {name: pool.ready for name, pool in state.roster.pools.items()},
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_indexes_kept_by_events_are_those_that_a_start_lays_out(seed: int) -> None:
    for steps in (25, 60, 120):
        centre = day(seed, steps)
        assert layout(centre.engine.state) == layout(rebuilt(centre))


def test_a_day_reaches_most_of_what_can_happen() -> None:
    states = {
        contact.state
        for seed in range(12)
        for contact in day(seed, 60).engine.state.contacts.values()
    }
    assert {"queued", "offered", "active", "parked"} <= states


def test_every_event_about_contacts_has_its_handler_here_or_with_the_agents() -> None:
    homes = {handler.__module__.rpartition(".")[2] for handler in APPLY.values()}
    assert {"apply_contacts", "apply_agents"} <= homes
    assert APPLY[e.ContactClosed] is _closed


def test_who_is_not_in_a_line_need_not_leave_one() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1")
    assert _leaving(centre.engine.state, ContactId("c1")).state == "offered"


def test_a_new_visit_forgets_declines_and_exclusions_of_the_last_one() -> None:
    centre = Centre()
    for name in ("ana", "bo"):
        centre.agent(name)
    centre.submit("c1")
    centre.say(c.RejectOffer(reservation=centre.offer_of("c1").id))
    centre.accept("c1")
    assert centre.of("c1").declines == {"ana": 1}
    centre.say(c.TransferContact(contact=ContactId("c1"), queue=QueueId("q")))
    contact = centre.of("c1")
    assert (contact.declines, list(contact.excluded), contact.hops) == ({}, ["bo"], 1)
    assert centre.engine.state.timers.at(("cool", "c1", "ana")) is None


def test_a_consult_excludes_who_asks_for_ever() -> None:
    centre = Centre()
    centre.agent("ana", capacity=200, maximum={"chat": 9})
    centre.submit("c1")
    centre.accept("c1")
    centre.say(c.StartConsult(contact=ContactId("c1"), consult=ContactId("k1")))
    assert centre.of("k1").excluded == {"ana": FOR_EVER_US}
    assert centre.of("k1").state == "queued"


# --- why it stands before the supervisor ----------------------------------------------------------

C1 = ContactId("c1")
TOPIC = 'has(contact.attributes.topic) && contact.attributes.topic == "bill"'


def world() -> Centre:
    return centre(
        rule("complaints", TOPIC, watch=True),
        rule("calm", 'contact.channel == "email"', watch=False),
        rule("shout", 'contact.attributes["input.mood"] == "angry"', Moment.INPUT, watch=True),
        segments=(segment("angry", "customer.contacts > 5", then=Then(watch=True)),),
    )


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({}, ""),
        ({"attributes": {"topic": "bill"}}, "rule complaints"),
        ({"facts": known(contacts=9)}, "segment angry"),
        ({"attributes": {"topic": "bill"}, "facts": known(contacts=9)}, "rule complaints"),
        ({"facts": known(watched=True), "watched": True}, "customer"),
        ({"watched": True, "by": "ana"}, "ana"),
    ],
)
def test_the_cause_is_on_record(fields: dict[str, Any], cause: str) -> None:
    here = world()
    received = only(here.submit("c1", **fields), e.ContactReceived)
    assert (received.watched, received.watched_for) == (bool(cause), cause)
    assert here.of("c1").watched_for == cause


def test_a_rule_that_says_no_leaves_no_cause() -> None:
    here = world()
    here.submit("c1", "email", facts=known(contacts=9))
    assert (here.of("c1").watched, here.of("c1").watched_for) == (False, "")


def test_without_rules_the_customer_or_whoever_asked_is_the_cause() -> None:
    here = Centre()
    here.submit("c1", watched=True, facts=Facts(customer=known(watched=True).customer))
    here.submit("c2", watched=True, by="crm")
    assert [here.of(id_).watched_for for id_ in ("c1", "c2")] == ["customer", "crm"]


def test_a_person_or_a_rule_on_input_is_the_cause_later() -> None:
    here = world()
    here.submit("c1")
    here.say(c.WatchContact(contact=C1, watched=True, by="lea"))
    assert here.of("c1").watched_for == "lea"
    here.say(c.WatchContact(contact=C1, watched=False, by="lea"))
    assert (here.of("c1").watched, here.of("c1").watched_for) == (False, "")
    here.say(c.CollectInput(contact=C1, name="mood", prompt="?"))
    here.say(c.ReportInput(contact=C1, name="mood", value="angry"))
    assert (here.of("c1").watched, here.of("c1").watched_for) == (True, "rule shout")
