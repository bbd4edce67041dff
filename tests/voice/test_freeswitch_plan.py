"""From every place to every wish: what `plan` orders leads there, in few rounds, and rests."""

from __future__ import annotations

import itertools
import re

import pytest

from adapters.freeswitch.calls import (
    BUSY,
    MOVING,
    MUSIC,
    PARKED,
    ROOM,
    WITH,
    Call,
    Leg,
    Play,
    Step,
    plan,
)

CUSTOMER, ANA, CEM = "customer", "ana", "cem"
TOGETHER = (f"{WITH}{ANA}", f"{WITH}{CUSTOMER}")
PAIRS = [TOGETHER, *itertools.product((PARKED, MUSIC, BUSY, MOVING, ROOM), (PARKED, MOVING, ROOM))]
WISHES = list(itertools.product((False, True), repeat=4))


class Wishes:
    """A call in one of all situations."""

    def __init__(self, serves: bool, consults: bool, held: bool, conference: bool) -> None:
        self.call = Call(customer=CUSTOMER, is_there=True, is_held=held, is_together=conference)
        if serves:
            self.call.legs["r1"] = Leg(ANA, "r1", "c1", is_up=True)
            self.call.serving = "r1"
        if consults:
            self.call.legs["r2"] = Leg(CEM, "r2", "c2", "consult", is_up=True)
            self.call.consult = "r2"

    def put(self, customer: str, ana: str, cem: str) -> None:
        self.call.at = customer
        for uuid, at in ((ANA, ana), (CEM, cem)):
            self.call.place(uuid, at)

    @property
    def heard(self) -> set[frozenset[str]]:
        """Who is with whom."""
        places = {CUSTOMER: self.call.at, **{leg.uuid: leg.at for leg in self.call.legs.values()}}
        pairs = {
            frozenset({uuid, at.removeprefix(WITH)})
            for uuid, at in places.items()
            if at.startswith(WITH)
        }
        room = frozenset(uuid for uuid, at in places.items() if at == ROOM)
        return pairs | ({room} if len(room) > 1 else set())


def wanted(serves: bool, consults: bool, held: bool, conference: bool) -> set[frozenset[str]]:
    if serves and consults and conference:
        return {frozenset({CUSTOMER, ANA, CEM})}
    if serves and consults and held:
        return {frozenset({ANA, CEM})}
    return {frozenset({CUSTOMER, ANA})} if serves and not held else set()


def check(call: Call, step: Step) -> None:
    """Nothing is ordered that FreeSWITCH would not do."""
    line = step.data.decode()
    bridge = re.search(r"uuid_bridge (\S+) (\S+)", line)
    if bridge is not None:
        assert bridge[1] == CUSTOMER, "the customer's leg is first: it parks"
        assert call.at in (PARKED, MUSIC, BUSY)
    if "-bleg" in line or "-both" in line:
        assert call.at.startswith(WITH)
    if "uuid_broadcast" in line:
        assert call.at == PARKED


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("cem", [PARKED, MOVING, ROOM])
@pytest.mark.parametrize("pair", PAIRS)
def test_every_situation_comes_to_rest_where_it_is_wanted(
    pair: tuple[str, str], cem: str, wish: tuple[bool, bool, bool, bool]
) -> None:
    if pair == TOGETHER and not wish[0]:
        return  # without a leg there is no bridge
    situation = Wishes(*wish)
    situation.put(*pair, cem)
    call = situation.call
    for _ in range(12):
        steps = plan(call, "local_stream://moh", "default")
        for step in steps:
            check(call, step)
            for uuid, at in step.places:
                call.place(uuid, at)
        moving = [x for x in (CUSTOMER, ANA, CEM) if _at(call, x) == MOVING]
        for uuid in moving:
            call.place(uuid, PARKED)  # CHANNEL_PARK
        if not steps and not moving:
            break
    else:
        raise AssertionError(f"does not come to rest: {call}")
    assert situation.heard == wanted(*wish)
    assert call.at in (MUSIC, BUSY) or any(CUSTOMER in group for group in situation.heard)


def _at(call: Call, uuid: str) -> str:
    return (
        call.at
        if uuid == CUSTOMER
        else next((leg.at for leg in call.legs.values() if leg.uuid == uuid), "")
    )


def test_what_is_to_be_said_comes_before_the_music_and_stops_it() -> None:
    call = Call(customer=CUSTOMER, is_there=True, at=MUSIC)
    call.to_play.append(Play("p1", "playback", "welcome.wav"))
    lines = [step.data.decode() for step in plan(call, "local_stream://moh", "default")]
    assert lines[0] == f"api uuid_break {CUSTOMER} all\n\n"
    assert "execute-app-arg: welcome.wav" in lines[1]


def test_nothing_is_ordered_for_a_call_that_is_over_or_not_there() -> None:
    for call in (Call(customer=CUSTOMER), Call(customer=CUSTOMER, is_there=True, is_over=True)):
        assert plan(call, "local_stream://moh", "default") == []
