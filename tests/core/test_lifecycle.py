from __future__ import annotations

from enum import StrEnum

import pytest

from router.core import events as e
from router.core.lifecycle import (
    CONTACT,
    OPEN,
    PRESENCE,
    RESERVATION,
    SERVING,
    contact_after,
    reservation_after,
)
from router.core.model import ContactState as C
from router.core.model import Presence
from router.core.model import ReservationState as R


def reachable(table: dict[tuple[StrEnum, type], StrEnum], start: StrEnum) -> set[StrEnum]:
    found, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for (before, _), after in table.items():
            if before is here and after not in found:
                found.add(after)
                todo.append(after)
    return found


def test_every_state_can_be_reached() -> None:
    assert reachable(dict(CONTACT), C.RECEIVED) == set(C)
    assert reachable(dict(RESERVATION), R.OFFERED) == set(R)


@pytest.mark.parametrize("state", [s for s in C if s is not C.CLOSED])
def test_every_contact_can_be_closed_from_where_it_is(state: C) -> None:
    assert contact_after(state, e.ContactClosed) is C.CLOSED


@pytest.mark.parametrize("state", sorted(OPEN))
def test_every_open_reservation_can_end(state: R) -> None:
    ends = {after for (before, _), after in RESERVATION.items() if before is state}
    assert ends - OPEN


def test_nothing_leads_out_of_an_end() -> None:
    assert all(before is not C.CLOSED for before, _ in CONTACT)
    assert {before for before, _ in RESERVATION} == OPEN
    assert SERVING < OPEN


def test_every_presence_may_follow_every_other() -> None:
    assert {(a, b): True for a in Presence for b in Presence} == PRESENCE


def test_a_move_that_no_table_has_is_a_broken_invariant() -> None:
    with pytest.raises(AssertionError, match="contact closed: no transition for OfferAccepted"):
        contact_after(C.CLOSED, e.OfferAccepted)
    with pytest.raises(AssertionError, match="reservation done: no transition for OfferAccepted"):
        reservation_after(R.DONE, e.OfferAccepted)


def test_a_cool_down_may_end_in_any_state_that_a_live_contact_can_be_left_in() -> None:
    settled = [s for s in C if s not in (C.RECEIVED, C.CLOSED)]
    assert all(contact_after(state, e.CoolDownEnded) is state for state in settled)
