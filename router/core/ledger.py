"""How often a customer is contacted: one ledger for all outbound contacts on all channels.

A contact is entered when the decision for it is made (reserved, at the moment for which it is
meant), kept when it was sent, and taken out when it was not. Reserved and sent count alike: two
decisions cannot share the last free place.

A limit says at most N in any stretch of length W. Stretches are half open, so contacts exactly W
apart do not fall into one; they reach into the future as well, because a contact meant for Tuesday
must leave room for the one already meant for Wednesday.

These functions take and give the entries of one customer, sorted by (at_us, id).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from router.core.permission_facts import LedgerEntry
from router.core.permission_policy import FrequencyLimit, LimitScope, applies
from router.errors import Refused

MOST_ENTRIES = 512
"""Entries kept of one customer: far above what any sensible set of limits lets through."""

Entries = tuple[LedgerEntry, ...]


class Blocked(NamedTuple):
    """No contact may be made in `[from_us, until_us)`, because of `limit`."""

    from_us: int
    until_us: int
    limit: FrequencyLimit


def reserve(entries: Entries, entry: LedgerEntry) -> Entries:
    """The ledger with a contact that is meant; one of the same id is moved.

    Whether a limit lets it is asked before (`blocked`). Raises Refused: `already_sent` if this id
    stands as sent, `ledger_full` beyond `MOST_ENTRIES`.
    """
    others = _without(entries, entry.id)
    if len(others) < len(entries) and _named(entries, entry.id).sent:
        raise Refused("already_sent", f"expected an attempt not made yet, got {entry.id!r}: sent")
    if len(others) >= MOST_ENTRIES:
        raise Refused(
            "ledger_full", f"expected at most {MOST_ENTRIES} contacts in the ledger, got one more"
        )
    return _sorted((*others, entry))


def confirm(entries: Entries, entry: LedgerEntry) -> Entries:
    """The ledger after this contact was sent at `entry.at_us`, whatever was reserved for it.

    What has happened is entered always, with a reservation or without.
    """
    sent = LedgerEntry(
        entry.at_us, entry.channel, entry.address, entry.purpose, entry.id, sent=True
    )
    return _sorted((*_without(entries, entry.id), sent))


def release(entries: Entries, entry_id: str) -> Entries:
    """The ledger without a reservation that came to nothing; what was sent stays."""
    return tuple(entry for entry in entries if entry.sent or entry.id != entry_id)


def undone(entries: Entries, entry_id: str) -> Entries:
    """The ledger without an attempt that, as is known now, has reached nobody."""
    return _without(entries, entry_id)


def pruned(entries: Entries, limits: Iterable[FrequencyLimit], now_us: int) -> Entries:
    """The ledger without what no limit can count any more, now or later."""
    keep_us = max((limit.per_us for limit in limits), default=0)
    if not entries or entries[0].at_us > now_us - keep_us:
        return entries
    return tuple(entry for entry in entries if entry.at_us > now_us - keep_us)


def merged(one: Entries, other: Entries) -> Entries:
    """The ledger of two customers who turned out to be one; of the same id, the one sent."""
    by_id: dict[str, LedgerEntry] = {}
    for entry in (*one, *other):
        before = by_id.get(entry.id)
        if before is None or (entry.sent, entry.at_us) > (before.sent, before.at_us):
            by_id[entry.id] = entry
    return _sorted(by_id.values())


def blocked(
    entries: Entries,
    limits: Iterable[FrequencyLimit],
    channel: str,
    address: str,
    purpose: str,
    *,
    exempt: tuple[str, ...] = (),
    besides: str = "",
) -> list[Blocked]:
    """When one more contact would be one too many, sorted by start; they may overlap.

    `exempt` purposes are counted and held only by limits that name them. `besides` is the id of the
    contact's own reservation, which does not stand in its way when it is checked again.
    """
    found: list[Blocked] = []
    for limit in limits:
        if not applies(limit.channels, limit.purposes, channel, purpose, exempt):
            continue
        moments = [
            entry.at_us
            for entry in entries
            if applies(limit.channels, limit.purposes, entry.channel, entry.purpose, exempt)
            and (limit.scope is LimitScope.CUSTOMER or entry.address == address)
            and entry.id != besides
        ]
        found.extend(_full(moments, limit))
    found.sort(key=_start)
    return found


def next_free(blocks: Sequence[Blocked], at_us: int) -> int:
    """The first moment from `at_us` on that lies in none of these blocks, sorted by start."""
    for block in blocks:
        if block.from_us > at_us:
            break
        at_us = max(at_us, block.until_us)
    return at_us


def _full(moments: list[int], limit: FrequencyLimit) -> Iterable[Blocked]:
    """Where a contact would make `most + 1` within less than `per_us`.

    `most` neighbours from a to b, b - a < per_us, leave no room for another between
    b - per_us and a + per_us, both exclusive.
    """
    for index in range(len(moments) - limit.most + 1):
        first_us, last_us = moments[index], moments[index + limit.most - 1]
        if last_us - first_us < limit.per_us:
            yield Blocked(last_us - limit.per_us + 1, first_us + limit.per_us, limit)


def _start(block: Blocked) -> int:
    return block.from_us


def _named(entries: Entries, entry_id: str) -> LedgerEntry:
    return next(entry for entry in entries if entry.id == entry_id)


def _without(entries: Entries, entry_id: str) -> Entries:
    return tuple(entry for entry in entries if entry.id != entry_id)


def _sorted(entries: Iterable[LedgerEntry]) -> Entries:
    return tuple(sorted(entries, key=lambda entry: (entry.at_us, entry.id)))
