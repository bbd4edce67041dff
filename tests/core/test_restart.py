"""A start from rows goes on as if there had been no stop: same decisions, deadlines, reasons."""

from __future__ import annotations

import random
from copy import deepcopy

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.engine import Engine
from router.core.model import SECOND_US, ContactId, QueueId
from router.core.queues import Entry, Positions, Waiting
from router.core.restart import lay_out
from router.core.state import State
from router.errors import Refused
from tests.core.centre import Centre
from tests.core.test_apply_contacts import SETTINGS, day


class Ticking(Centre):
    """No two commands have one moment: what is due at the same one has no order after a start."""

    def say(self, command: c.Command) -> list[e.Event]:
        events = self.wait(0.001)
        return events + super().say(command)


def restarted(centre: Centre) -> Centre:
    """Another centre, from copies of this one's rows, at the same moment."""
    again = Ticking(SETTINGS)
    again.now_us = centre.now_us
    again.engine = Engine(SETTINGS, fresh(centre), centre.now_us)
    again.engine.resume(centre.now_us)
    return again


def fresh(centre: Centre) -> State:
    """Copies of the rows, loaded and not laid out yet."""
    old, state = centre.engine.state, State()
    state.use(SETTINGS, centre.now_us)
    for kind, rows in (
        ("agent", old.agents), ("contact", old.contacts), ("reservation", old.reservations),
        ("estimate", old.estimates), ("pause", old.pauses), ("rule", old.rule_counts),
    ):  # fmt: skip
        turned = list(rows.values())  # type: ignore[attr-defined]
        turned.reverse()  # a store gives rows in no order that means anything
        for row in turned:
            state.load(kind, deepcopy(row))
    state.load("totals", deepcopy(old.totals))
    return state


SHARED = ("delay", "late", "step", "treat", "resume")


def deadlines(centre: Centre) -> tuple[dict[tuple[str, ...], int | None], dict[object, object]]:
    """Every deadline that still means something: each contact's own, and turns with shared ones."""
    state = centre.engine.state
    keys = state.timers.keys()
    own = {key: state.timers.at(key) for key in keys if key[0] not in SHARED}
    waiting = {id_: entry.contact.visit_no for id_, entry in state.waiting.entries.items()}
    turns = {
        key: sorted({due for due in dues if waiting.get(due[2]) == due[3]})
        for key, dues in state.dues.items()
    }
    return own, {key: found for key, found in turns.items() if found}


def go_on(centre: Centre, seed: int) -> list[e.Event]:
    """The same further stretch of a day, whatever has been before; all that comes of it."""
    rng, events = random.Random(seed), centre.wait(0)
    for number in range(40):
        contacts = sorted(centre.engine.state.contacts)
        picked = rng.choice(contacts) if contacts else "none"
        agent = f"a{rng.randrange(5)}"
        act = rng.randrange(8)
        try:
            if act == 0:
                events += centre.submit(f"n{number}", "chat", queue=QueueId(rng.choice("qr")))
            elif act == 1:
                events += centre.accept(picked)
            elif act == 2:
                events += centre.complete(picked)
            elif act == 3:
                events += centre.agent(agent, {"en": rng.randint(1, 5)}, profile="all")
            elif act == 4:
                events += rng.choice([centre.away, centre.ready])(agent)
            elif act == 5:
                cancel = c.CancelContact(contact=ContactId(picked))
                events += centre.say(cancel)
            else:
                events += centre.wait(rng.uniform(0, 25))
        except (Refused, KeyError, IndexError):
            continue
    return events


@pytest.mark.parametrize("seed", range(15))
def test_who_started_from_the_rows_goes_on_as_who_never_stopped(seed: int) -> None:
    for steps in (30, 90):
        centre = day(seed, steps, Ticking)
        again = restarted(centre)
        assert again.wait(0) == []  # what could be matched was matched
        assert deadlines(again) == deadlines(centre)
        went_on = go_on(again, seed)
        assert went_on == go_on(centre, seed)
        assert any(type(event) is e.ContactOffered for event in went_on)


@pytest.mark.parametrize("seed", range(10))
def test_positions_of_many_are_those_of_each_by_itself(seed: int) -> None:
    rng, waiting = random.Random(seed), Waiting()
    centre = day(seed, 120)
    entries: list[Entry] = [waiting.add(row) for row in centre.engine.state.contacts.values()]
    one_by_one, at_once = Positions(), Positions()
    few = entries[: len(entries) // 3]
    for entry in entries:
        one_by_one.add(entry)
    at_once.add_all(few)  # where somebody stands already, too
    at_once.add_all(entries[len(few) :])
    gone = rng.sample(entries, len(entries) // 4)
    for entry in gone:
        one_by_one.remove(entry)
        at_once.remove(entry)
    for entry in entries:
        queue, channel = entry.contact.queue, entry.contact.channel
        key = (entry.contact.tier, entry.contact.due_at_us, entry.contact.arrival_no)
        assert at_once.of(queue, channel, key) == one_by_one.of(queue, channel, key)
        assert at_once.count(queue, channel) == one_by_one.count(queue, channel)


@pytest.mark.parametrize("seed", range(5))
def test_what_was_due_meanwhile_has_the_grace_and_falls_due_in_the_order_of_offers(
    seed: int,
) -> None:
    centre = day(seed, 120)
    state, later_us = fresh(centre), centre.now_us + 3600 * SECOND_US
    lay_out(state, later_us, 30 * SECOND_US)
    held = sorted(state.reservations.values(), key=lambda row: int(row.id[1:]))
    rung = [row.id for row in held if row.deadline_at_us]
    soonest_us = later_us + 30 * SECOND_US
    assert all(row.deadline_at_us == soonest_us for row in held if row.deadline_at_us)
    fired = []
    while (due := state.timers.pop(soonest_us)) is not None:
        if due[1][0] == "reservation":
            fired.append(due[1][1])
    assert fired == rung


def test_rows_that_contradict_each_other_are_not_laid_out() -> None:
    centre = day(1, 120)
    state = fresh(centre)
    assert state.reservations
    state.agents.clear()
    with pytest.raises((AssertionError, KeyError)):
        lay_out(state, centre.now_us, 0)
