"""Drawn lives of customers who share addresses: no objection is lost, and none outlives its end.

The long form: `python -m router.testing.permissions --lives 1000`.
"""

from __future__ import annotations

from typing import Any

import pytest

from router.core import objections
from router.core.customer_model import Customer
from router.runtime.objections import ObjectionBook
from router.testing.objection_lives import run_lives


def test_whatever_becomes_of_customers_their_addresses_keep_what_was_objected_to() -> None:
    report = run_lives(12, seed=7)
    assert report.decisions == 12 * 75
    assert report.violations == []
    assert report.needless == []
    assert 0.1 < report.verdicts["allowed"] / report.decisions < 0.9


def _forgotten_with_the_customer(self: ObjectionBook, row: Customer) -> None:
    """As it was: an erasure takes the rows of the customer's addresses along."""
    for identity in row.identities:
        self.rows.pop(identity.hash, None)
        self._at(identity.hash)


def _nothing(*_: Any, **__: Any) -> None:
    """Does not happen."""


async def _never_brought(self: ObjectionBook, *_: Any) -> list[Customer]:
    """The store is not asked."""
    return []


FAULTS = [
    (ObjectionBook, "erased", _forgotten_with_the_customer),
    (ObjectionBook, "_leave", _nothing),
    (ObjectionBook, "write", _nothing),
    (ObjectionBook, "bring", _never_brought),
    (objections, "_objected", _nothing),
    (objections, "_withdraw", _nothing),
]


@pytest.mark.parametrize(
    ("where", "what", "fault"),
    FAULTS,
    ids=[
        "erased with the customer",
        "left behind",
        "unwritten",
        "unread",
        "unheard",
        "unwithdrawn",
    ],
)
def test_the_checker_sees_an_objection_that_is_lost(
    where: Any, what: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, what, fault)
    assert run_lives(12, seed=7).violations


def test_the_checker_sees_an_objection_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    follow = objections.follow

    def deaf_to_start(row: objections.Objections, event: objections.Said) -> None:
        if not getattr(event, "lifted", False):
            follow(row, event)

    monkeypatch.setattr(objections, "follow", deaf_to_start)
    assert run_lives(12, seed=7).needless
